//! `POST /v1/chat/completions` (spec 07 sections 12.3 and 12.4).

use std::sync::Arc;

use auth_core::session::SelectError;
use auth_probe::wire::{Message, Role};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde_json::{Value, json};

use super::Shared;
use super::body::{Taken, taken};
use super::chat_request::{ChatRequest, reference};
use super::chat_stream::{ChatStream, usage};
use super::guard::{AnsweredBy, json_response};
use super::live::Snapshot;
use super::refusal::{Refusal, Tongue};
use super::turning::{self, Ask, Job, broken};
use crate::conversing::{Conversing, ConversingError, Opened, OwnChoice};
use crate::engine::{Engine, Piece};
use crate::outcome::{Answer, Used};

/// What is said when a model said nothing.
const NOTHING: &str = "No response from OpenClaw.";

/// The head of an answer: its number, its time, and the model as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Title {
    pub(crate) id: String,
    pub(crate) created_s: i64,
    pub(crate) model: String,
}

pub(crate) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match answered(&shared, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.response(Tongue::OpenAi),
    }
}

/// What is to be done once the session has been looked at.
enum Prepared {
    /// A command was answered.
    Said(String),
    /// The model is asked.
    Turn(Box<(Conversing, Opened, String, Vec<Message>)>),
}

async fn answered(shared: &Arc<Shared>, request: Request) -> Result<Response, Refusal> {
    let Taken { permit, snapshot, run_id, parts, body } = taken(shared, request).await?;
    let mut chat = ChatRequest::read(&parts.headers, &body, &snapshot.state.config)?;
    drop(body);
    if shared.no_sessions {
        chat.key = None;
    }
    let title = Title {
        id: ChatRequest::new_number(),
        created_s: Engine::now().as_ms().div_euclid(1000),
        model: chat.model.clone(),
    };
    let (streams, max_tokens) = (chat.streams, chat.max_tokens);
    let system = if chat.system.is_empty() { crate::SYSTEM.to_owned() } else { std::mem::take(&mut chat.system) };
    let agent = chat.agent.clone();
    let prepared = if chat.key.is_none() {
        prepare(shared, &snapshot, chat)?
    } else {
        let (own, snapshot) = (Arc::clone(shared), Arc::clone(&snapshot));
        let work = tokio::task::spawn_blocking(move || prepare(&own, &snapshot, chat));
        work.await.map_err(|_| Refusal::new(500, "api_error", "internal error"))??
    };
    let (mut conversing, opened, text, messages) = match prepared {
        Prepared::Said(text) => {
            return Ok(if streams { ChatStream::said(&title, &text) } else { whole(&title, &text, None) });
        }
        Prepared::Turn(turn) => *turn,
    };
    for note in conversing.notes.drain(..) {
        shared.log(&note);
    }
    let job = Job {
        run_id,
        state: Arc::clone(&snapshot.state),
        agent,
        model: opened.model.clone(),
        chosen: opened.chosen,
        no_fallback: false,
        pin: opened.pin.clone(),
        ask: Ask::Conversation { system, messages, max_tokens },
        streams,
        session: conversing.key.is_some().then_some((conversing, opened, text)),
        permit,
    };
    let mut running = turning::start(shared, job);
    if !streams {
        let answer = running.whole().await.map_err(|error| Refusal::of_turn(&error, Engine::now()))?;
        let text = if answer.text.trim().is_empty() { NOTHING } else { &answer.text };
        let mut response = whole(&title, text, Some(&answer));
        name(&mut response, &answer.provider, &answer.model, &answer.used);
        return Ok(response);
    }
    // Until the first piece there may be another status than 200.
    match running.pieces.recv().await {
        Some(Piece::Begun(begun)) => {
            let mut response = ChatStream::following(&title, running);
            name(&mut response, &begun.provider, &begun.model, &begun.used);
            Ok(response)
        }
        Some(_) => Err(Refusal::of_turn(&broken(), Engine::now())),
        None => {
            let answer = running.whole().await.map_err(|error| Refusal::of_turn(&error, Engine::now()))?;
            let mut response = ChatStream::empty(&title, NOTHING, &answer);
            name(&mut response, &answer.provider, &answer.model, &answer.used);
            Ok(response)
        }
    }
}

/// Looks at the session: the command in the message, the model, the pin, what was said before.
fn prepare(shared: &Shared, snapshot: &Snapshot, chat: ChatRequest) -> Result<Prepared, Refusal> {
    let ChatRequest { agent, key, mut messages, own_model, own_profile, .. } = chat;
    let state = &snapshot.state;
    let known = snapshot.known(&agent);
    let auth = shared.engine.auth(state, &agent).map_err(|error| Refusal::invalid(error.to_string()))?;
    let mut text = messages.pop().map(|message| message.text).unwrap_or_default();
    let mut conversing = Conversing::new(Arc::clone(state), agent, Arc::clone(&known), key, None);
    if !shared.no_sessions {
        let heard = conversing.hear(&text, &auth).map_err(|error| refused(&error))?;
        if heard.rest.trim().is_empty() {
            let passing = if conversing.key.is_none() && heard.answer.starts_with("Model ") {
                "\n(For this request only: it belongs to no session. Send `user` or x-openclaw-session-key.)"
            } else {
                ""
            };
            return Ok(Prepared::Said(format!("{}{passing}", heard.answer)));
        }
        text = heard.rest;
    }
    let own_model = own_model.map(|model| reference(&model, &known, &state.config));
    let own = OwnChoice { model: own_model.as_deref(), profile: own_profile.as_deref() };
    let opened = conversing.begin(&auth, own).map_err(|error| match &error {
        ConversingError::Select(SelectError::Unrecognized(_) | SelectError::Numeric | SelectError::NoModel)
            if own.model.is_some() =>
        {
            Refusal::invalid("Invalid `x-openclaw-model`.")
        }
        ConversingError::Select(SelectError::NotAllowed { model, .. }) => {
            Refusal::invalid(format!("Model '{model}' is not allowed for agent '{}'.", conversing.agent))
        }
        _ => refused(&error),
    })?;
    // A client that sends what was said before keeps it itself.
    if messages.is_empty() {
        messages = conversing.history(&opened).map_err(|error| refused(&error))?;
    }
    messages.push(Message { role: Role::User, text: text.clone() });
    Ok(Prepared::Turn(Box::new((conversing, opened, text, messages))))
}

fn refused(error: &ConversingError) -> Refusal {
    match error {
        ConversingError::Select(error) => Refusal::invalid(error.to_string()),
        ConversingError::Session(_) | ConversingError::Store(_) => Refusal::new(500, "api_error", error.to_string()),
    }
}

/// The answer in one piece.
fn whole(title: &Title, text: &str, answer: Option<&Answer>) -> Response {
    let finish = answer.map_or("stop", |answer| finish_reason(&answer.stop));
    json_response(&json!({
        "id": title.id, "object": "chat.completion", "created": title.created_s, "model": title.model,
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish,
        }],
        "usage": usage(answer.map(|answer| answer.usage).unwrap_or_default()),
    }))
}

/// Why a model stopped, in the words of the API.
pub(crate) fn finish_reason(stop: &str) -> &'static str {
    match stop {
        "length" => "length",
        "content_filter" | "refusal" | "safety" => "content_filter",
        _ => "stop",
    }
}

/// A stream of events.
pub(crate) fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Says who answered.
pub(crate) fn name(response: &mut Response, provider: &str, model: &str, used: &Used) {
    let set = |headers: &mut HeaderMap, name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    set(response.headers_mut(), "x-openclaw-provider", provider);
    set(response.headers_mut(), "x-openclaw-model", model);
    set(response.headers_mut(), "x-openclaw-auth-source", &used.source);
    response.extensions_mut().insert(AnsweredBy {
        provider: provider.to_owned(),
        model: model.to_owned(),
        profile: used.profile.clone(),
    });
}

/// One event.
pub(crate) fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}
