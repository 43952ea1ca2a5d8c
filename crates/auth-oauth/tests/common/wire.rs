//! The same provider on a socket of this machine, and a transport that is just good enough to ask it: for tests with
//! several processes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{Endpoints, HttpRequest, HttpResponse, Transport, TransportError};

use super::NOW;
use super::idp::{Seen, answer};
use super::issuer::Issuer;

/// A provider on a port of this machine.
pub(crate) struct WireIdp {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) base: String,
    shared: Arc<Shared>,
}

struct Shared {
    latency: Duration,
    seen: Mutex<Vec<Seen>>,
    /// The next request is read and then never answered.
    hang: AtomicBool,
    stop: AtomicBool,
}

impl WireIdp {
    pub(crate) fn start(latency: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Arc::new(Issuer::new());
        let shared = Arc::new(Shared {
            latency,
            seen: Mutex::default(),
            hang: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (ours, books) = (Arc::clone(&shared), Arc::clone(&issuer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ours.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (ours, books) = (Arc::clone(&ours), Arc::clone(&books));
                std::thread::spawn(move || serve(&stream.unwrap(), &ours, &books));
            }
        });
        Self { issuer, base, shared }
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints::at(&self.base).unwrap()
    }

    /// The next request is read and never answered; nothing is done with its token.
    pub(crate) fn hang_once(&self) {
        self.shared.hang.store(true, Ordering::SeqCst);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for WireIdp {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared, issuer: &Issuer) {
    let Some((head, body)) = read_message(stream) else { return };
    let mut lines = head.split("\r\n");
    let target = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let seen = Seen {
        method: "POST",
        url: target,
        headers: headers.collect(),
        body,
        must_finish: true,
        timeout: Duration::ZERO,
        at_ms: 0,
    };
    shared.seen.lock().unwrap().push(seen.clone());
    if shared.hang.swap(false, Ordering::SeqCst) {
        // Until the other side is gone.
        let _ = stream.read(&mut [0]);
        return;
    }
    std::thread::sleep(shared.latency);
    let (status, body) = answer(issuer, &seen.url, &seen.refresh_token().unwrap_or_default(), NOW);
    let body = body.to_string();
    let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}

/// Reads head and body.
fn read_message(mut stream: &TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// Asks a server on this machine.
pub(crate) struct Wire;

impl Transport for Wire {
    fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
        let network = |error: std::io::Error| TransportError::Network(format!("127.0.0.1: {error}"));
        let rest = request.url.strip_prefix("http://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let mut stream = TcpStream::connect(authority).map_err(network)?;
        stream.set_read_timeout(Some(timeout)).map_err(network)?;
        let body = request.body.as_ref().map(|body| body.reveal().to_owned()).unwrap_or_default();
        let mut head = format!("POST /{path} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &request.headers {
            head.extend([*name, ": ", value.reveal(), "\r\n"]);
        }
        write!(stream, "{head}\r\n{body}").map_err(network)?;
        let answer = read_message(&stream).ok_or_else(|| TransportError::Network("127.0.0.1: closed".to_owned()))?;
        let status = answer.0.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
        Ok(HttpResponse { status, body: Secret::new(answer.1) })
    }

    fn wait(&self, time: Duration) -> Result<(), TransportError> {
        std::thread::sleep(time);
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        NOW
    }
}
