//! `openclaw models serve` and `openclaw gateway run` through the built program: clients that behave and clients that do
//! not, against providers that limit, fail and hang.
//!
//! No verdict depends on the clock; `LIMIT` only ends what hangs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

#[path = "serving/access.rs"]
mod access;
#[path = "serving/chat.rs"]
mod chat;
#[path = "serving/gateway.rs"]
mod gateway;
#[path = "serving/messages.rs"]
mod messages;
#[path = "serving/running.rs"]
mod running;
mod sandbox;
#[path = "probing/server.rs"]
#[allow(dead_code, reason = "shared with the tests of probes")]
mod server;

use std::time::Duration;

use sandbox::Sandbox;
use serde_json::{Value, json};
use server::{Server, answer, error};

/// When a program hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// The keys of the two profiles: the first is limited.
const LIMITED: &str = "sk-test-limited-Zq7vXw2LmN9pRt4K";
const GOOD: &str = "sk-test-good-Hj5bYc8TnV3sKd6F";

/// The events of an answer with this text.
fn events(text: &str) -> String {
    let piece = json!({"choices": [{"delta": {"content": text}, "finish_reason": null}]});
    let last = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}});
    format!("data: {piece}\n\ndata: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn stream_of(text: &str) -> Vec<u8> {
    answer("200 OK", "content-type: text/event-stream\r\n", events(text))
}

/// A provider that limits one key and answers `pong` to all others.
fn provider() -> Server {
    Server::start(|link| {
        let asked = link.request()?;
        let reply = if asked.bearer() == LIMITED {
            error("429 Too Many Requests", "Rate limit exceeded")
        } else {
            stream_of("pong")
        };
        std::io::Write::write_all(link, &reply)
    })
}

fn config(providers: &[(&str, Value)]) -> Value {
    let entries: serde_json::Map<String, Value> =
        providers.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
    json!({
        "agents": {"defaults": {"model": format!("{}/m1", providers[0].0)}, "list": [{"id": "main"}, {"id": "ops"}]},
        "models": {"providers": entries},
    })
}

fn entry(url: &str) -> Value {
    json!({"baseUrl": url, "api": "openai-completions", "models": [{"id": "m1", "name": "M1"}, {"id": "m2", "name": "M2"}]})
}

fn key(provider: &str, key: &str) -> Value {
    json!({"type": "api_key", "provider": provider, "key": key})
}

fn store(profiles: &[(&str, Value)]) -> String {
    let profiles: serde_json::Map<String, Value> =
        profiles.iter().map(|(id, profile)| ((*id).to_owned(), profile.clone())).collect();
    json!({"version": 1, "profiles": profiles}).to_string()
}

/// A home with one good key.
fn home(server: &Server) -> Sandbox {
    Sandbox::new()
        .config(&config(&[("acme", entry(&server.url()))]).to_string())
        .profiles(store(&[("acme:good", key("acme", GOOD))]))
}

/// A home whose first key is limited.
fn limited_home(server: &Server) -> Sandbox {
    home(server).profiles(store(&[("acme:a", key("acme", LIMITED)), ("acme:b", key("acme", GOOD))]))
}

fn hi() -> Value {
    json!({"messages": [{"role": "user", "content": "hi"}]})
}

fn read_json(path: &std::path::Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
