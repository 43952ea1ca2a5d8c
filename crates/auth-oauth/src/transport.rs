//! The network as a login sees it: small requests, whole answers. Bring your own HTTP client.

use std::fmt;
use std::time::Duration;

use auth_core::Secret;

/// Names this program to the other side.
pub const USER_AGENT: &str = concat!("openclaw/", env!("CARGO_PKG_VERSION"));
/// The most that an implementation may read of an answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// What a login asks of the world: the network and the clock.
///
/// An implementation follows no redirect, verifies TLS, reads at most [`MAX_ANSWER_BYTES`] and gives up within the
/// timeout, body included (spec 04 section 5). A refresh calls `send` from a thread of its own, so that locks can be
/// renewed meanwhile.
pub trait Transport: Sync {
    /// Sends a request and reads the whole answer within `timeout`.
    ///
    /// # Errors
    ///
    /// When there is no complete answer. A request marked [`must_finish`](HttpRequest::must_finish) is never given up
    /// for an interrupt.
    fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError>;
    /// Waits.
    ///
    /// # Errors
    ///
    /// [`TransportError::Cancelled`] when the user ends the wait.
    fn wait(&self, time: Duration) -> Result<(), TransportError>;
    /// The time, in milliseconds since the epoch.
    fn now_ms(&self) -> i64;
}

/// A request. Its `Debug` shows neither body nor header values.
#[derive(Clone)]
pub struct HttpRequest {
    /// Sent as POST when there is a body, else as GET.
    pub body: Option<Secret>,
    /// Where it goes.
    pub url: String,
    /// Name and value of each header; names in lower case.
    pub headers: Vec<(&'static str, Secret)>,
    /// The answer must be waited for, whatever the user does meanwhile: it may hold the only copy of a new secret.
    pub must_finish: bool,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("url", &self.url)
            .field("has_body", &self.body.is_some())
            .finish_non_exhaustive()
    }
}

impl HttpRequest {
    /// A GET request.
    pub(crate) fn get(url: String) -> Self {
        Self { body: None, url, headers: Vec::new(), must_finish: false }.header("accept", "application/json")
    }

    /// A POST request with the fields of a form.
    pub(crate) fn form(url: String, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self { body: Some(Secret::new(body)), ..Self::get(url) }
            .header("content-type", "application/x-www-form-urlencoded")
    }

    /// A POST request with a JSON body.
    pub(crate) fn json(url: String, body: &serde_json::Value) -> Self {
        Self { body: Some(Secret::new(body.to_string())), ..Self::get(url) }.header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, Secret::new(value)));
        self
    }

    pub(crate) fn bearer(self, token: &Secret) -> Self {
        let value = format!("Bearer {}", token.reveal());
        self.header("authorization", &value)
    }
}

/// A whole answer. Its `Debug` does not show the body.
#[derive(Clone)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The body, at most [`MAX_ANSWER_BYTES`].
    pub body: Secret,
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// It took too long.
    #[error("no complete answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// There was no connection, or it broke. The text names the host.
    #[error("{0}")]
    Network(String),
    /// The certificate of the other side is not trusted.
    #[error("{0}")]
    Tls(String),
    /// The answer is larger than is read.
    #[error("the answer is larger than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
    /// The user gave it up.
    #[error("Cancelled.")]
    Cancelled,
}
