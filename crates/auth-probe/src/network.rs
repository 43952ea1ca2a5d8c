//! The network as a login sees it: [`Transport`] over the client of live probes (spec 04 section 5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_core::Secret;
use auth_oauth::{HttpRequest, HttpResponse, MAX_ANSWER_BYTES, Transport, TransportError, USER_AGENT};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::clients::Clients;
use crate::run::chain;

/// How often an interrupt is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What ends a request or a wait before its time.
#[derive(Clone, Debug, Default)]
pub enum Interrupt {
    /// Nothing.
    #[default]
    Never,
    /// This flag, set by whoever hears of a signal.
    Flag(Arc<AtomicBool>),
}

/// The network and the clock. Each request has a connection and a small runtime of its own, so that any thread may ask.
#[derive(Clone, Debug)]
pub struct Network {
    clients: Clients,
    interrupt: Interrupt,
}

impl Network {
    /// Asks through these clients.
    pub fn new(clients: Clients, interrupt: Interrupt) -> Self {
        Self { clients, interrupt }
    }

    async fn interrupted(&self) {
        let Interrupt::Flag(flag) = &self.interrupt else { return std::future::pending().await };
        while !flag.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, TransportError> {
        let headers = headers_of(request)?;
        let client = self.clients.of(&request.url, None);
        let builder = match &request.body {
            Some(body) => client.post(&request.url).body(body.reveal().to_owned()),
            None => client.get(&request.url),
        };
        let failed = |error: &reqwest::Error| {
            let parsed = reqwest::Url::parse(&request.url).ok();
            let host = parsed.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
            let text = chain(error);
            let said = format!("{host}: {text}");
            if text.to_lowercase().contains("certificate") {
                TransportError::Tls(said)
            } else {
                TransportError::Network(said)
            }
        };
        let mut response = builder.headers(headers).send().await.map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + part.len() > MAX_ANSWER_BYTES {
                return Err(TransportError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        Ok(HttpResponse { status, body: Secret::new(String::from_utf8_lossy(&body)) })
    }
}

impl Transport for Network {
    fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
        let runtime = runtime()?;
        let answer = runtime.block_on(async {
            let asked = tokio::time::timeout(timeout, self.exchange(request));
            if request.must_finish {
                return asked.await.unwrap_or(Err(TransportError::Timeout(timeout)));
            }
            tokio::select! {
                answer = asked => answer.unwrap_or(Err(TransportError::Timeout(timeout))),
                () = self.interrupted() => Err(TransportError::Cancelled),
            }
        });
        // A name that is still being looked up has a thread of its own, which would be waited for.
        runtime.shutdown_background();
        answer
    }

    fn wait(&self, time: Duration) -> Result<(), TransportError> {
        runtime()?.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(time) => Ok(()),
                () = self.interrupted() => Err(TransportError::Cancelled),
            }
        })
    }

    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, TransportError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| TransportError::Network(format!("cannot start: {error}")))
}

fn headers_of(request: &HttpRequest) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static(USER_AGENT));
    for (name, value) in &request.headers {
        let fault = || TransportError::Network(format!("the header {name} cannot be sent"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
