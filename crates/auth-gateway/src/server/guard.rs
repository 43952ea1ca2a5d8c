//! What stands before every request: where it was meant for, which paths there are, who may use them, and a line of the
//! log.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use auth_core::{ProfileId, Secret};
use auth_store::{RealHost, WriteHost};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::access::{is_meant_for_here, presented};
use super::listen::Peer;
use super::live::Snapshot;
use super::refusal::{Refusal, Tongue, wrong_method};
use super::{Shared, catalogue, chat, messages};

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Health,
    Models,
    Model,
    Chat,
    Messages,
    Metrics,
    Page,
    Status,
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        match path {
            "/healthz" => Self::Health,
            "/v1/models" => Self::Models,
            "/v1/chat/completions" => Self::Chat,
            "/v1/messages" => Self::Messages,
            "/metrics" => Self::Metrics,
            "/" => Self::Page,
            "/status.json" => Self::Status,
            path if path.strip_prefix("/v1/models/").is_some_and(|id| !id.is_empty()) => Self::Model,
            _ => Self::Unknown,
        }
    }

    /// Its name in the log and the metrics: never what a client sent.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Health => "/healthz",
            Self::Models => "/v1/models",
            Self::Model => "/v1/models/{id}",
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
            Self::Metrics => "/metrics",
            Self::Page => "/",
            Self::Status => "/status.json",
            Self::Unknown => "(unknown)",
        }
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Chat | Self::Messages => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }

    fn allowed(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "POST",
            _ => "GET, HEAD",
        }
    }

    /// Whether anybody may see it.
    fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Page | Self::Unknown)
    }

    /// Whether it is there only when the endpoints are on.
    fn is_switched(self) -> bool {
        matches!(self, Self::Models | Self::Model | Self::Chat | Self::Messages)
    }

    fn tongue(self) -> Tongue {
        if self == Self::Messages { Tongue::Anthropic } else { Tongue::OpenAi }
    }
}

/// Who answered a request, for the log.
#[derive(Clone, Debug)]
pub(crate) struct AnsweredBy {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) profile: Option<ProfileId>,
}

/// The number of a request.
#[derive(Clone, Debug)]
struct RunId(String);

/// The number that a request has in the log.
pub(crate) fn run_id_of(request: &Request) -> String {
    request.extensions().get::<RunId>().map(|id| id.0.clone()).unwrap_or_default()
}

/// All paths.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", any(health))
        .route("/v1/models", any(models))
        .route("/v1/models/{*id}", any(model))
        .route("/v1/chat/completions", any(chat::answer))
        .route("/v1/messages", any(messages::answer))
        .route("/metrics", any(metrics))
        .route("/", any(async || super::page::page()))
        .route("/status.json", any(super::status::answer))
        .fallback(async || Refusal::not_found().response(Tongue::OpenAi))
        .layer(from_fn_with_state(Arc::clone(shared), guard))
        .with_state(Arc::clone(shared))
}

/// Passes on what may pass, and watches the answer until its last byte.
async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = Route::of(request.uri().path());
    let method = if route.allows(request.method()) { request.method().to_string() } else { "(other)".to_owned() };
    let snapshot = shared.live.now();
    let id = format!("{:016x}", RealHost.random());
    let response = match admit(&shared, &snapshot, route, &request) {
        Err(refused) => refused,
        Ok(()) => {
            request.extensions_mut().insert(snapshot);
            request.extensions_mut().insert(RunId(id.clone()));
            next.run(request).await
        }
    };
    let (mut parts, body) = response.into_parts();
    parts.headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&id) {
        parts.headers.insert("x-openclaw-request-id", id);
    }
    let by = parts.extensions.remove::<AnsweredBy>();
    let line = Line { shared, id, begun, route, method, status: parts.status.as_u16(), by };
    Response::from_parts(parts, Body::new(Watched { body, _line: line }))
}

#[expect(clippy::result_large_err, reason = "the refusal is the response")]
fn admit(shared: &Shared, snapshot: &Snapshot, route: Route, request: &Request) -> Result<(), Response> {
    let headers = request.headers();
    let tongue = route.tongue();
    let refused = |refusal: Refusal| Err(refusal.response(tongue));
    if !is_meant_for_here(headers, request.uri().authority().map(axum::http::uri::Authority::as_str)) {
        return refused(Refusal::forbidden());
    }
    if route.is_switched() && !shared.always_on && !snapshot.state.config.gateway.chat_completions {
        return refused(Refusal::disabled());
    }
    if route != Route::Unknown && !route.allows(request.method()) {
        return Err(wrong_method(route.allowed()));
    }
    if route.is_open() {
        return Ok(());
    }
    let Some(Peer(address)) = request.extensions().get::<Peer>().copied() else {
        return refused(Refusal::unauthorized());
    };
    let now = Instant::now();
    if let Some(left) = shared.guesses.locked_for(address, now) {
        return refused(Refusal::locked(left));
    }
    let shown = presented(headers, tongue == Tongue::Anthropic);
    if snapshot.access.admits(shown) {
        shared.guesses.right(address);
        return Ok(());
    }
    if shown.is_some() {
        shared.guesses.wrong(address, now);
    }
    refused(Refusal::unauthorized())
}

async fn health() -> Response {
    json_response(&json!({"ok": true, "version": env!("CARGO_PKG_VERSION")}))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    super::metrics::page(&shared.tally)
}

async fn models(request: Request) -> Response {
    match snapshot_of(&request) {
        Ok(snapshot) => json_response(&catalogue::list(&snapshot.state.config)),
        Err(refusal) => refusal.response(Tongue::OpenAi),
    }
}

async fn model(request: Request) -> Response {
    let id = request.uri().path().strip_prefix("/v1/models/").unwrap_or_default();
    let found = snapshot_of(&request).and_then(|snapshot| catalogue::one(&snapshot.state.config, id));
    match found {
        Ok(entry) => json_response(&entry),
        Err(refusal) => refusal.response(Tongue::OpenAi),
    }
}

/// The snapshot that the guard looked at.
pub(crate) fn snapshot_of(request: &Request) -> Result<Arc<Snapshot>, Refusal> {
    let missing = || Refusal::new(500, "api_error", "internal error");
    request.extensions().get::<Arc<Snapshot>>().cloned().ok_or_else(missing)
}

pub(crate) fn json_response(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The body of an answer, with the line that is written when it has ended.
struct Watched {
    body: Body,
    _line: Line,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// One line of the log.
struct Line {
    shared: Arc<Shared>,
    id: String,
    begun: Instant,
    route: Route,
    method: String,
    status: u16,
    by: Option<AnsweredBy>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.tally.request(self.route.label(), self.status);
        let by = self.by.as_ref().map_or_else(
            || "-".to_owned(),
            |by| {
                let profile = by.profile.as_ref();
                let profile = profile.map_or_else(|| "-".to_owned(), |id| hashed(id).to_string());
                format!("{}/{} {profile}", by.provider, by.model)
            },
        );
        // An open page asks every few seconds, a monitor every minute: told only when something is wrong.
        let is_watching = matches!(self.route, Route::Health | Route::Status | Route::Metrics | Route::Page);
        if is_watching && self.status < 400 {
            return;
        }
        self.shared.log(&format!(
            "[gateway] {} {} {} {} {by} {} ms",
            self.id,
            self.method,
            self.route.label(),
            self.status,
            self.begun.elapsed().as_millis()
        ));
    }
}

/// A profile id as logs and metrics show it: it may name an account.
pub(crate) fn hashed(id: &ProfileId) -> auth_core::Fingerprint {
    Secret::new(id.as_str()).fingerprint()
}
