//! Providers in memory, behind the transport, with a clock of their own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{HttpRequest, HttpResponse, Transport, TransportError};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::NOW;
use super::issuer::Issuer;

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// What the issuer says to the refresh token of the request.
    Issuer,
    Json(u16, Value),
    Text(u16, String),
    Fail(TransportError),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) must_finish: bool,
    pub(crate) timeout: Duration,
    pub(crate) at_ms: i64,
}

impl Seen {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let pairs = form_urlencoded::parse(self.body.as_bytes());
        pairs.into_owned().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The names of the form, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().map(|(name, _)| name).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn refresh_token(&self) -> Option<String> {
        let json: Option<Value> = serde_json::from_str(&self.body).ok();
        let from_json = json.and_then(|json| json["refresh_token"].as_str().map(str::to_owned));
        let bearer = || self.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned);
        from_json.or_else(|| self.field("refresh_token")).or_else(bearer)
    }
}

type Hook = Box<dyn FnMut(&Seen) + Send>;

/// Every provider at once.
pub(crate) struct Idp {
    pub(crate) issuer: Arc<Issuer>,
    now: AtomicI64,
    latency: Duration,
    /// How long a request really takes, so that threads meet.
    real: Duration,
    seen: Mutex<Vec<Seen>>,
    waits: Mutex<Vec<Duration>>,
    /// Part of the address, and the replies to come for it; the last one stays.
    routes: Mutex<Vec<(String, VecDeque<Reply>)>>,
    hook: Mutex<Option<Hook>>,
    /// The wait in which the user gives up, counted from 1.
    give_up: Mutex<Option<usize>>,
}

impl Idp {
    pub(crate) fn new() -> Self {
        Self {
            issuer: Arc::new(Issuer::new()),
            now: AtomicI64::new(NOW),
            latency: Duration::from_millis(120),
            real: Duration::ZERO,
            seen: Mutex::default(),
            waits: Mutex::default(),
            routes: Mutex::default(),
            hook: Mutex::default(),
            give_up: Mutex::default(),
        }
    }

    pub(crate) fn slow(real: Duration) -> Self {
        Self { real, ..Self::new() }
    }

    /// What is answered at addresses with this part, one after the other; the last reply stays.
    pub(crate) fn on(&self, part: &str, replies: impl IntoIterator<Item = Reply>) -> &Self {
        let mut routes = self.routes.lock().unwrap();
        routes.retain(|(known, _)| known != part);
        routes.push((part.to_owned(), replies.into_iter().collect()));
        self
    }

    /// What happens when a request arrives, before it is answered.
    pub(crate) fn when_asked(&self, hook: impl FnMut(&Seen) + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    pub(crate) fn give_up_in_wait(&self, count: usize) {
        *self.give_up.lock().unwrap() = Some(count);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// The last request to an address with this part.
    pub(crate) fn last(&self, part: &str) -> Seen {
        self.seen().into_iter().rfind(|seen| seen.url.contains(part)).unwrap()
    }

    pub(crate) fn waits(&self) -> Vec<u128> {
        self.waits.lock().unwrap().iter().map(Duration::as_millis).collect()
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn reply(&self, url: &str) -> Reply {
        let mut routes = self.routes.lock().unwrap();
        let Some((_, replies)) = routes.iter_mut().find(|(part, _)| url.contains(part.as_str())) else {
            return Reply::Issuer;
        };
        if replies.len() > 1 { replies.pop_front().unwrap() } else { replies.front().cloned().unwrap_or(Reply::Issuer) }
    }
}

impl Transport for Idp {
    fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
        let headers = request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.reveal().to_owned()));
        let seen = Seen {
            method: if request.body.is_some() { "POST" } else { "GET" },
            url: request.url.clone(),
            headers: headers.collect(),
            body: request.body.as_ref().map(|body| body.reveal().to_owned()).unwrap_or_default(),
            must_finish: request.must_finish,
            timeout,
            at_ms: self.now(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        self.pass(self.latency);
        std::thread::sleep(self.real);
        if let Some(hook) = self.hook.lock().unwrap().as_mut() {
            hook(&seen);
        }
        let (status, body) = match self.reply(&seen.url) {
            Reply::Json(status, body) => (status, body.to_string()),
            Reply::Text(status, body) => (status, body),
            Reply::Fail(error) => return Err(error),
            Reply::Issuer => {
                let (status, body) =
                    answer(&self.issuer, &seen.url, &seen.refresh_token().unwrap_or_default(), self.now());
                (status, body.to_string())
            }
        };
        if body.len() > auth_oauth::MAX_ANSWER_BYTES {
            return Err(TransportError::TooLarge);
        }
        Ok(HttpResponse { status, body: Secret::new(body) })
    }

    fn wait(&self, time: Duration) -> Result<(), TransportError> {
        let mut waits = self.waits.lock().unwrap();
        waits.push(time);
        if *self.give_up.lock().unwrap() == Some(waits.len()) {
            return Err(TransportError::Cancelled);
        }
        self.pass(time);
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.now()
    }
}

/// The answer of the provider at this address to a refresh token.
pub(crate) fn answer(issuer: &Issuer, url: &str, refresh: &str, now_ms: i64) -> (u16, Value) {
    let tokens = match issuer.redeem(refresh) {
        Ok(tokens) => tokens,
        Err(refusal) => return refusal,
    };
    let life_ms = tokens.life_s * 1000;
    if url.contains("copilot_internal") {
        return (200, json!({"token": tokens.access, "expires_at": (now_ms + life_ms) / 1000}));
    }
    let mut body = json!({"access_token": tokens.access, "token_type": "Bearer"});
    if url.contains("minimax") {
        body["status"] = "success".into();
        body["expired_in"] = (now_ms + life_ms).into();
    } else {
        body["expires_in"] = tokens.life_s.into();
    }
    if let Some(refresh) = tokens.refresh {
        body["refresh_token"] = refresh.into();
    }
    (200, body)
}
