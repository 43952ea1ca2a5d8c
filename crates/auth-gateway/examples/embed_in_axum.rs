//! A web service of one's own whose `POST /ask` is answered by a model: the credential is chosen, rotated and recorded
//! by the engine. Here the provider is a part of the same process, and refuses the first of two keys.
//!
//! ```sh
//! cargo run -p auth-gateway --example embed_in_axum
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use auth_core::{AgentId, Environment, ModelRef};
use auth_gateway::{Engine, EngineSettings, Payload, Recording, Turn};
use auth_oauth::Endpoints;
use auth_probe::wire::{Conversation, Message, Role};
use auth_probe::{Clients, Proxies};
use auth_store::{MapHost, State};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What every request needs.
struct Service {
    engine: Arc<Engine>,
    state: Arc<State>,
    model: ModelRef,
}

/// The handler: one model turn.
async fn ask(Shared(service): Shared<Arc<Service>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    let messages = [Message { role: Role::User, text }];
    let said = Conversation { system: "Answer in one word.", messages: &messages, max_tokens: Some(64) };
    let turn = Turn {
        run_id: "ask",
        state: &service.state,
        agent: &AgentId::main(),
        model: service.model.clone(),
        chosen: false,
        no_fallback: false,
        pin: None,
        payload: Payload::Conversation(said),
        // A channel here gets the answer in pieces, for services that stream.
        out: None,
    };
    match service.engine.run(&turn).await {
        Ok(answer) => (StatusCode::OK, Json(json!({ "answer": answer.text, "credential": answer.used.source }))),
        // The message holds no secret.
        Err(error) => (StatusCode::BAD_GATEWAY, Json(json!({ "error": error.message }))),
    }
}

/// The stand-in for a provider: knows one key, and answers as a stream of events.
async fn provider(headers: HeaderMap) -> (StatusCode, String) {
    if headers.get("authorization").is_none_or(|key| key != "Bearer sk-test-second-00000002") {
        return (StatusCode::UNAUTHORIZED, r#"{"error": {"message": "Incorrect API key provided"}}"#.to_owned());
    }
    let event = |content: Value| format!("data: {}\n\n", json!({ "choices": [content] }));
    let text = event(json!({ "delta": { "content": "Yes." } }));
    let end = event(json!({ "delta": {}, "finish_reason": "stop" }));
    (StatusCode::OK, format!("{text}{end}data: [DONE]\n\n"))
}

async fn serve(router: Router) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let provider = serve(Router::new().route("/v1/chat/completions", post(provider))).await?;

    // A state directory of its own. In a real program: `State::load(&RealHost, None)`.
    let home = std::env::temp_dir().join(format!("embed-in-axum-{}", std::process::id()));
    let store = home.join(".openclaw/agents/main/agent/auth-profiles.json");
    std::fs::create_dir_all(store.parent().unwrap_or(&home))?;
    std::fs::write(
        &store,
        r#"{"version": 1, "profiles": {
            "acme:first":  {"type": "api_key", "provider": "acme", "key": "sk-test-first-000000001"},
            "acme:second": {"type": "api_key", "provider": "acme", "key": "sk-test-second-00000002"}}}"#,
    )?;
    let config = json!({ "models": { "providers": { "acme": {
        "baseUrl": format!("http://{provider}/v1"), "api": "openai-completions", "models": [{ "id": "m1", "name": "M1" }]
    } } } });
    let home_text = home.to_string_lossy();
    let host = MapHost::new(&home_text).file(&format!("{home_text}/.openclaw/openclaw.json"), config.to_string());

    let clients = Clients::new(None, &Proxies::of(&Environment::from_process([])))?;
    let settings = EngineSettings {
        clients,
        endpoints: Endpoints::default(),
        user_agent: "my-service/1.0",
        recording: Recording::AtOnce,
    };
    let service = Service {
        engine: Arc::new(Engine::new(settings)),
        state: Arc::new(State::load(&host, None)?),
        model: ModelRef::parse("acme/m1", "acme").ok_or("no model")?,
    };
    let address = serve(Router::new().route("/ask", post(ask)).with_state(Arc::new(service))).await?;

    let answer = tokio::task::spawn_blocking(move || post_json(&address, "/ask", r#"{"text": "Does it work?"}"#));
    let answer = answer.await??;
    println!("{answer}");
    assert!(answer.contains(r#""answer":"Yes.""#) && answer.contains("profile:acme:second"), "{answer}");
    // The refusal is on record, under the lock of the store: the next turn does not try that key.
    assert!(std::fs::read_to_string(&store)?.contains("cooldownUntil"));
    std::fs::remove_dir_all(&home)?;
    Ok(())
}

/// What a client of the service sends.
fn post_json(address: &str, path: &str, body: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
