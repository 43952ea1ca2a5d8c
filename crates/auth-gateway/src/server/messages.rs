//! `POST /v1/messages`: what a client of the Anthropic Messages API sends is passed on as it is, with the credential that
//! is in charge (spec 07 section 12.5).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use auth_core::probe::Endpoint;
use auth_core::provider::find as find_provider;
use auth_core::session::{KnownModels, PinSource, SessionPin, select};
use auth_core::{AgentId, Config, ModelRef, ProviderId, Situation};
use auth_probe::copilot_api;
use auth_store::AgentAuth;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Shared;
use super::body::{Taken, taken};
use super::catalogue::agent_named;
use super::chat::name;
use super::live::Snapshot;
use super::refusal::{Refusal, Tongue};
use super::turning::{self, Ask, Forwarded, Job, Running, broken};
use crate::engine::{Begun, Engine, Piece};

/// The one API that bytes can be passed on to.
const API: &str = "anthropic-messages";
/// The only query that is passed on.
const BETA_QUERY: &str = "beta=true";

pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match answered(&shared, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(Tongue::Anthropic),
    }
}

/// The only member of the body that is looked at. A second one would be read differently elsewhere and is refused.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
}

async fn answered(shared: &Arc<Shared>, request: Request) -> Result<Response, Refusal> {
    let Taken { permit, snapshot, run_id, parts, body } = taken(shared, request).await?;
    let (wanted, place) = model_of(&body)?;
    let header = |name: &str| -> Result<Option<String>, Refusal> {
        let all = parts.headers.get_all(name).iter().map(|value| value.to_str().map(str::trim));
        let all: Result<Vec<&str>, _> = all.collect();
        let all = all.map_err(|_| Refusal::invalid(format!("Invalid `{name}`.")))?.join(",");
        Ok((!all.is_empty()).then_some(all))
    };
    let config = &snapshot.state.config;
    let agent = agent(&wanted, header("x-openclaw-agent-id")?.or(header("x-openclaw-agent")?), config)?;
    let auth = shared.engine.auth(&snapshot.state, &agent).map_err(|error| Refusal::invalid(error.to_string()))?;
    let model = model(&snapshot, &agent, &auth, &wanted)?;
    let pin = pin(header("x-openclaw-auth-profile")?.as_ref(), &snapshot, &agent, &auth, &model)?;
    let forwarded = Forwarded {
        body,
        model: place,
        version: header("anthropic-version")?,
        beta: header("anthropic-beta")?,
        query: parts.uri.query().filter(|query| *query == BETA_QUERY).map(str::to_owned),
    };
    let job = Job {
        run_id,
        state: Arc::clone(&snapshot.state),
        agent,
        model,
        chosen: true,
        // Another model may understand the body otherwise.
        no_fallback: true,
        pin,
        ask: Ask::Forwarded(Box::new(forwarded)),
        streams: true,
        session: None,
        permit,
    };
    let mut running = turning::start(shared, job);
    match running.pieces.recv().await {
        Some(Piece::Begun(begun)) => Ok(passed_on(&begun, running)),
        Some(_) => Err(Refusal::of_turn(&broken(), Engine::now())),
        None => match running.whole().await {
            Ok(_) => Err(Refusal::new(502, "api_error", "The provider sent an empty answer.")),
            Err(error) => Err(Refusal::of_turn(&error, Engine::now())),
        },
    }
}

/// The model in a body, and where its value stands.
fn model_of(body: &[u8]) -> Result<(String, std::ops::Range<usize>), Refusal> {
    let invalid =
        |error: &dyn std::fmt::Display| Refusal::invalid(format!("Invalid JSON in the request body: {error}"));
    let text = std::str::from_utf8(body).map_err(|error| invalid(&error))?;
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| invalid(&error))?;
    let missing = || Refusal::invalid("model: a text is required");
    let raw = envelope.model.ok_or_else(missing)?.get();
    let model: String = serde_json::from_str(raw).map_err(|_| missing())?;
    // The value is a part of the text that it was read from.
    let start = (raw.as_ptr() as usize).checked_sub(text.as_ptr() as usize).ok_or_else(missing)?;
    Ok((model.trim().to_owned(), start..start + raw.len()))
}

/// The agent whose credentials are used.
fn agent(model: &str, named: Option<String>, config: &Config) -> Result<AgentId, Refusal> {
    let by_model = agent_named(model, config);
    let agent = named.map(|named| AgentId::normalise(&named)).or(by_model).unwrap_or_else(|| config.default_agent().0);
    if config.known_agents().contains(&agent) {
        return Ok(agent);
    }
    Err(Refusal::invalid(format!("Unknown agent '{agent}'.")))
}

/// The model that is meant: one that speaks this API.
fn model(snapshot: &Snapshot, agent: &AgentId, auth: &AgentAuth, wanted: &str) -> Result<ModelRef, Refusal> {
    let config = &snapshot.state.config;
    let known = snapshot.known(agent);
    let situation = Situation { now: Engine::now(), ..snapshot.state.situation(auth) };
    let speaks = |model: &ModelRef| speaks_messages(model, &situation);
    if agent_named(wanted, config).is_some() {
        let default = known.default.clone();
        if speaks(&default) {
            return Ok(default);
        }
        let text = format!("model: the default model {} does not speak {API}. Name one that does.", default.key());
        return Err(Refusal::invalid(text));
    }
    let found = if wanted.contains('/') || config.alias_target(wanted).is_some() {
        select(wanted, config, &known, &auth.view.profiles).map_err(|error| Refusal::invalid(error.to_string()))?.model
    } else {
        bare(wanted, &known, &speaks).ok_or_else(|| {
            Refusal::new(404, "not_found", format!("model: no provider that speaks {API} has {wanted}"))
        })?
    };
    if !known.allows(&found) {
        let text = format!("Model '{}' is not allowed for agent '{agent}'.", found.key());
        return Err(Refusal::invalid(text));
    }
    if !speaks(&found) {
        return Err(Refusal::invalid(format!("model: {} does not speak {API}", found.key())));
    }
    Ok(found)
}

/// A model by its id alone: one that is known, that of the default model's provider first; else one of Anthropic.
fn bare(id: &str, known: &KnownModels, speaks: &dyn Fn(&ModelRef) -> bool) -> Option<ModelRef> {
    let default = known.default.provider_id();
    let mut fitting: Vec<&ModelRef> =
        known.all.iter().filter(|model| model.model.eq_ignore_ascii_case(id) && speaks(model)).collect();
    fitting.sort_by_key(|model| (model.provider_id() != default, model.provider != "anthropic"));
    if let Some(found) = fitting.first() {
        return Some((*found).clone());
    }
    let is_known = find_provider("anthropic").is_some_and(|info| info.models.iter().any(|model| model.id == id));
    let model = ModelRef { provider: "anthropic".to_owned(), model: id.to_owned() };
    ((is_known || id.starts_with("claude-")) && speaks(&model)).then_some(model)
}

fn speaks_messages(model: &ModelRef, situation: &Situation<'_>) -> bool {
    let provider: ProviderId = model.provider_id();
    let api = match Endpoint::resolve(&provider, &model.model, situation) {
        Ok(Some(endpoint)) => endpoint.api,
        // What cannot be resolved yet is told when it is used.
        Err(_) => situation.config.provider(&provider).and_then(|entry| entry.api.clone()).unwrap_or_default(),
        Ok(None) => return false,
    };
    let api = if api == "github-copilot" { copilot_api(&model.model) } else { &api };
    api.eq_ignore_ascii_case(API)
}

/// The profile that alone may answer.
fn pin(
    profile: Option<&String>,
    snapshot: &Snapshot,
    agent: &AgentId,
    auth: &AgentAuth,
    model: &ModelRef,
) -> Result<Option<SessionPin>, Refusal> {
    let Some(profile) = profile else { return Ok(None) };
    let argument = format!("{}@{profile}", model.key());
    let known = snapshot.known(agent);
    let selection = select(&argument, &snapshot.state.config, &known, &auth.view.profiles)
        .map_err(|error| Refusal::invalid(error.to_string()))?;
    Ok(selection.profile.map(|profile| SessionPin { profile, source: PinSource::User }))
}

/// The answer, byte for byte.
fn passed_on(begun: &Begun, running: Running) -> Response {
    let mut response = Response::new(Body::new(Passing { running: Some(running), broke: None }));
    *response.status_mut() = StatusCode::from_u16(begun.head.status).unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    for (name, value) in &begun.head.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    *response.headers_mut() = headers;
    name(&mut response, &begun.provider, &begun.model, &begun.used);
    response
}

/// A body that passes on what a turn gives. Dropping it ends the turn.
struct Passing {
    running: Option<Running>,
    /// How it broke off; told when the bytes before it have gone out.
    broke: Option<String>,
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if let Some(message) = self.broke.take() {
            return Poll::Ready(Some(Err(std::io::Error::other(message))));
        }
        loop {
            let Some(running) = &mut self.running else { return Poll::Ready(None) };
            match running.pieces.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Piece::Bytes(bytes))) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => {
                    let Poll::Ready(result) = Pin::new(&mut running.end).poll(context) else { return Poll::Pending };
                    self.running = None;
                    let message = match result {
                        Ok(Ok(_)) => return Poll::Ready(None),
                        Ok(Err(error)) => error.message,
                        Err(_) => broken().message,
                    };
                    // A body that breaks off must not look complete. An error throws away what waits to be sent, which
                    // a pause lets go.
                    self.broke = Some(message);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_it_stands() {
        let body = "{ \"messages\": [{\"model\": \"inner\"}],\n \"mod\\u0065l\" : \"cl\\u0061ude\" , \"x\": 1e999 }";
        let (model, place) = model_of(body.as_bytes()).unwrap();
        assert_eq!((model.as_str(), &body[place]), ("claude", "\"cl\\u0061ude\""));
        for bad in
            ["{\"model\":\"a\",\"model\":\"b\"}", "{\"model\":7}", "{}", "[]", "{", "{\"model\":\"a\"} x", "\u{feff}{}"]
        {
            assert_eq!(model_of(bad.as_bytes()).unwrap_err().status, 400, "{bad}");
        }
        assert!(model_of(b"{\"model\":\"\xff\"}").is_err());
    }
}
