//! Connections: how many, how long they may take to say something, and how they end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

use super::tally::Tally;
use super::{Control, Shared, guard};

/// How often files are looked at and successes are written.
const TICK: Duration = Duration::from_secs(1);
/// How much of the head of a request is read.
const HEAD_BYTES: usize = 64 << 10;
/// How long nothing is accepted after the machine refused, as when there are no more file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

pub(crate) async fn run(listener: TcpListener, shared: &Arc<Shared>, mut control: mpsc::Receiver<Control>) {
    let router = guard::router(shared);
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Semaphore::new(shared.limits.connections));
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            said = control.recv() => match said {
                Some(Control::Reload) => {
                    let shared = Arc::clone(shared);
                    tokio::spawn(async move { reload(&shared, "asked for").await });
                }
                Some(Control::Shutdown) | None => break,
            },
            _ = tick.tick() => look(shared),
            (stream, permit) = accept(&listener, &connections) => {
                serve(stream, permit, router.clone(), shared, &graceful);
            }
        }
    }
    drop(listener);
    shared.log("[gateway] ending; answers under way are finished");
    let ended = graceful.shutdown();
    let again = async {
        while let Some(said) = control.recv().await {
            if said == Control::Shutdown {
                return;
            }
        }
        // Nobody is left to say it.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ended => {}
        () = tokio::time::sleep(shared.limits.drain) => shared.log("[gateway] answers under way are cut off"),
        () = again => shared.log("[gateway] ended at once"),
    }
}

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(permit) = Arc::clone(connections).acquire_owned().await else { continue };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn serve(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    router: Router,
    shared: &Arc<Shared>,
    graceful: &GracefulShutdown,
) {
    let Ok(peer) = stream.peer_addr().map(|peer| Peer(peer.ip())) else { return };
    // Pieces of an answer go out as they come.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        Tally::add(&shared.tally.connections);
        // A client that breaks off is no concern of ours.
        let _ = connection.await;
        Tally::take(&shared.tally.connections);
        drop(permit);
    });
}

/// Once a second.
fn look(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if shared.live.has_changed() {
            reload(&shared, "a file changed").await;
        }
        if let Err(why) = shared.engine.flush().await {
            shared.log(&format!("Warning: the last uses of profiles were not recorded: {why}"));
        }
    });
}

/// Reads everything again.
async fn reload(shared: &Arc<Shared>, why: &str) {
    // One after the other, so that what was read last is what counts.
    let _turn = shared.reloading.lock().await;
    let own = Arc::clone(shared);
    let result = tokio::task::spawn_blocking(move || own.live.reload()).await;
    match result {
        Ok(Ok(warnings)) => {
            shared.engine.forget();
            Tally::add(&shared.tally.reloads);
            shared.log(&format!("[gateway] reloaded ({why})"));
            for warning in warnings {
                shared.log(&warning);
            }
        }
        Ok(Err(problem)) => {
            Tally::add(&shared.tally.failed_reloads);
            shared.log(&format!("[gateway] not reloaded ({why}); the previous config stays: {problem}"));
        }
        Err(_) => shared.log("[gateway] not reloaded; the previous config stays"),
    }
}
