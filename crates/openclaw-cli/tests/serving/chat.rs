//! Turns over the Chat Completions API (spec 07 sections 12.3 and 12.4).

use std::io::{Read, Write};

use serde_json::{Value, json};

use super::gateway::{Gateway, chat_request, read_answer, wait_until};
use super::server::{Server, error};
use super::{GOOD, LIMITED, config, entry, hi, home, key, limited_home, provider, read_json, store, stream_of};

#[test]
fn a_turn_in_one_piece_and_as_events() {
    let server = provider();
    let gateway = Gateway::owning(home(&server), &[]);
    let whole = gateway.chat(&hi());
    let body = whole.json();
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        body["choices"][0],
        json!({"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"})
    );
    assert_eq!(body["usage"], json!({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}));
    assert_eq!((body["object"].as_str(), body["model"].as_str()), (Some("chat.completion"), Some("openclaw")));
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl_"));
    for (name, value) in
        [("x-openclaw-provider", "acme"), ("x-openclaw-model", "m1"), ("x-openclaw-auth-source", "profile:acme:good")]
    {
        assert_eq!(whole.header(name), Some(value));
    }
    let stream = gateway.chat(&json!({"model": "openclaw/main", "stream": true, "messages": hi()["messages"]}));
    assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(stream.header("x-openclaw-auth-source"), Some("profile:acme:good"));
    let events = stream.events();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(chunks[0]["choices"][0], json!({"index": 0, "delta": {"role": "assistant"}, "finish_reason": null}));
    assert_eq!(chunks[1]["choices"][0], json!({"index": 0, "delta": {"content": "pong"}, "finish_reason": null}));
    assert_eq!(chunks[2]["choices"][0], json!({"index": 0, "delta": {}, "finish_reason": "stop"}));
    assert_eq!(chunks[2]["usage"]["total_tokens"], 6);
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]
        && chunk["object"] == "chat.completion.chunk"
        && chunk["model"] == "openclaw/main"));
}

#[test]
fn what_the_client_says_reaches_the_model() {
    let server = provider();
    let gateway = Gateway::owning(home(&server), &[]);
    gateway.chat(&json!({"max_tokens": 9, "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "one"}]},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]}));
    let body: Value = serde_json::from_slice(&server.asked()[0].body).unwrap();
    assert_eq!(body["max_tokens"], 9);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"}, {"role": "user", "content": "three"},
        ])
    );
    assert_eq!(server.asked()[0].bearer(), GOOD);
}

#[test]
fn a_limited_key_is_followed_by_the_next_and_recorded() {
    let server = provider();
    let sandbox = limited_home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    let answered = gateway.chat(&hi());
    assert_eq!(answered.json()["choices"][0]["message"]["content"], "pong");
    assert_eq!(answered.header("x-openclaw-auth-source"), Some("profile:acme:b"));
    // The failure is on the disk before the turn goes on; the success follows within a second.
    let stats = &read_json(&sandbox.store())["usageStats"];
    assert_eq!(
        (stats["acme:a"]["cooldownReason"].as_str(), stats["acme:a"]["cooldownModel"].as_str()),
        (Some("rate_limit"), Some("m1"))
    );
    // The log has one line for it, under the number of the request, and does not name the profile.
    let number = answered.header("x-openclaw-request-id").unwrap();
    let line = format!("Warning: auth: {number} sha256:");
    gateway.wait_until_said(&format!("[gateway] {number} "));
    let said = gateway.said();
    let line = said.lines().find(|said| said.starts_with(&line)).unwrap_or_else(|| panic!("{said}"));
    assert!(line.ends_with(" of acme: rate_limit; cooldown begins") && !line.contains("acme:a"), "{line}");
    wait_until(|| read_json(&sandbox.store())["usageStats"]["acme:b"]["lastUsed"].is_number(), "the last use");
    gateway.chat(&hi());
    let keys: Vec<String> = server.asked().iter().map(super::server::Asked::bearer).collect();
    assert_eq!(keys, [LIMITED, GOOD, GOOD]);
}

#[test]
fn turns_alternate_although_the_disk_does_not_know_yet() {
    let server = provider();
    let sandbox = home(&server)
        .profiles(store(&[("acme:a", key("acme", "sk-test-first-0000001")), ("acme:b", key("acme", GOOD))]));
    let gateway = Gateway::start(&sandbox, &[]);
    for _ in 0..4 {
        gateway.chat(&hi());
    }
    let keys: Vec<String> = server.asked().iter().map(super::server::Asked::bearer).collect();
    assert_eq!(keys, ["sk-test-first-0000001", GOOD, "sk-test-first-0000001", GOOD]);
}

#[test]
fn a_model_that_fails_is_followed_by_its_fallback() {
    let (bad, good) = (Server::saying(error("503 Service Unavailable", "overloaded")), provider());
    let mut config = config(&[("bad", entry(&bad.url())), ("acme", entry(&good.url()))]);
    config["agents"]["defaults"]["model"] = json!({"primary": "bad/m1", "fallbacks": ["acme/m2"]});
    let sandbox = home(&good)
        .config(&config.to_string())
        .profiles(store(&[("bad:a", key("bad", LIMITED)), ("acme:b", key("acme", GOOD))]));
    let gateway = Gateway::start(&sandbox, &[]);
    let answered = gateway.chat(&hi());
    assert_eq!(
        (answered.status, answered.header("x-openclaw-provider"), answered.header("x-openclaw-model")),
        (200, Some("acme"), Some("m2"))
    );
    assert_eq!((bad.connections(), good.connections()), (1, 1));
}

#[test]
fn a_turn_that_fails_says_of_what() {
    for (status, message, expected, kind) in [
        ("429 Too Many Requests", "Rate limit exceeded", 429, "rate_limit"),
        ("402 Payment Required", "insufficient credits", 402, "billing"),
        ("401 Unauthorized", "invalid api key", 401, "auth"),
        ("503 Service Unavailable", "overloaded", 503, "overloaded"),
    ] {
        let server = Server::saying(error(status, message));
        let gateway = Gateway::owning(home(&server), &[]);
        let failed = gateway.chat(&json!({"stream": true, "messages": hi()["messages"]}));
        let body = failed.json();
        assert_eq!(failed.status, expected, "{status}: {body}");
        assert!(body["error"]["type"].as_str().unwrap().starts_with(kind), "{status}: {body}");
        if expected == 429 {
            let seconds: u64 = failed.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=30).contains(&seconds), "{seconds}");
        }
    }
}

#[test]
fn sessions_keep_what_was_said_and_chosen() {
    let server = provider();
    let sandbox = home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    let say = |text: &str| gateway.chat(&json!({"user": "u1", "messages": [{"role": "user", "content": text}]}));
    say("first");
    let chosen = say("/model acme/m2@acme:good");
    assert_eq!(
        chosen.json()["choices"][0]["message"]["content"],
        "Model set to acme/m2.\nAuth profile set to acme:good."
    );
    assert_eq!(server.connections(), 1, "a command asks no model");
    let second = say("second");
    assert_eq!(second.header("x-openclaw-model"), Some("m2"));
    let body: Value = serde_json::from_slice(&server.asked()[1].body).unwrap();
    let said: Vec<&str> =
        body["messages"].as_array().unwrap()[1..].iter().map(|message| message["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["first", "pong", "second"]);
    let sessions = read_json(&sandbox.path(".openclaw/agents/main/sessions/sessions.json"));
    let entry = &sessions["agent:main:openai-user:u1"];
    assert_eq!(
        (
            entry["modelOverride"].as_str(),
            entry["authProfileOverride"].as_str(),
            entry["authProfileOverrideSource"].as_str()
        ),
        (Some("m2"), Some("acme:good"), Some("user"))
    );
    // Without a session nothing is kept.
    gateway.chat(&hi());
    assert_eq!(sessions, read_json(&sandbox.path(".openclaw/agents/main/sessions/sessions.json")));
    // A key of its own goes before `user`.
    let by_key = gateway.chat_with(
        "x-openclaw-session-key: agent:ops:mine\r\n",
        &json!({"user": "u1", "messages": [{"role": "user", "content": "x"}]}),
    );
    assert_eq!(by_key.status, 200);
    assert!(read_json(&sandbox.path(".openclaw/agents/ops/sessions/sessions.json"))["agent:ops:mine"].is_object());
}

#[test]
fn headers_choose_for_one_request() {
    let server = provider();
    let mut settings = config(&[("acme", entry(&server.url()))]);
    settings["agents"]["defaults"]["models"] = json!({"acme/m1": {}, "acme/m2": {"alias": "two"}});
    let sandbox = limited_home(&server).config(&settings.to_string());
    let gateway = Gateway::start(&sandbox, &[]);
    for text in ["acme/m2", "m2", "two"] {
        let answered =
            gateway.chat_with(&format!("x-openclaw-model: {text}\r\nx-openclaw-auth-profile: acme:b\r\n"), &hi());
        assert_eq!(
            (answered.status, answered.header("x-openclaw-model")),
            (200, Some("m2")),
            "{text}: {}",
            answered.body
        );
    }
    let locked = gateway.chat_with("x-openclaw-auth-profile: acme:a\r\n", &hi());
    assert_eq!(locked.status, 429, "a locked profile never rotates");
    for (headers, text) in [
        ("x-openclaw-model: other/m9\r\n", "Model 'other/m9' is not allowed for agent 'main'."),
        ("x-openclaw-model: 7\r\n", "is not allowed"),
        ("x-openclaw-agent: nope\r\n", "Unknown agent 'nope'."),
        ("x-openclaw-auth-profile: acme:zz\r\n", "Auth profile \"acme:zz\" not found."),
        ("x-openclaw-session-key: agent:nope:x\r\n", "Invalid `x-openclaw-session-key`"),
    ] {
        let refused = gateway.chat_with(headers, &hi());
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(refused.status == 400 && message.contains(text), "{headers}{message}");
    }
}

#[test]
fn without_sessions_it_passes_on_every_message() {
    let server = provider();
    let sandbox = home(&server);
    let gateway = Gateway::start(&sandbox, &["--no-sessions"]);
    let answered = gateway.chat(&json!({"user": "u", "messages": [{"role": "user", "content": "/model status"}]}));
    assert_eq!(answered.json()["choices"][0]["message"]["content"], "pong");
    assert!(!sandbox.path(".openclaw/agents/main/sessions").exists());
}

#[test]
fn a_client_that_goes_away_ends_the_request() {
    for streams in [true, false] {
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&ended);
        let server = Server::start(move |link| {
            link.request()?;
            let piece = json!({"choices": [{"delta": {"content": "po"}, "finish_reason": null}]});
            link.write_all(
                format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {piece}\n\n").as_bytes(),
            )?;
            let _ = link.wait_for_end();
            seen.store(true, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        });
        let gateway = Gateway::owning(home(&server), &[]);
        let mut client =
            gateway.send(&chat_request("", &json!({"stream": streams, "messages": hi()["messages"]}).to_string()));
        server.wait_for(1);
        if streams {
            let mut head = [0; 12];
            client.read_exact(&mut head).unwrap();
        }
        drop(client);
        wait_until(|| ended.load(std::sync::atomic::Ordering::SeqCst), "the end of the request to the provider");
    }
}

#[test]
fn after_the_first_text_nobody_else_is_asked() {
    let (seen, was_seen) = std::sync::mpsc::channel::<()>();
    let was_seen = std::sync::Mutex::new(was_seen);
    let server = Server::start(move |link| {
        link.request()?;
        let piece = json!({"choices": [{"delta": {"content": "po"}, "finish_reason": null}]});
        let error = json!({"error": {"message": "Rate limit exceeded", "code": "rate_limit_exceeded"}});
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        link.write_all(format!("{head}data: {piece}\n\n").as_bytes())?;
        let _ = was_seen.lock().unwrap().recv();
        link.write_all(format!("data: {error}\n\n").as_bytes())
    });
    let sandbox = limited_home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    let body = json!({"stream": true, "messages": hi()["messages"]}).to_string();
    let mut client = gateway.send(&chat_request("", &body));
    let mut first = vec![0];
    client.read_exact(&mut first).unwrap();
    seen.send(()).unwrap();
    let stream = read_answer(&mut (&first[..]).chain(client));
    let events = stream.events();
    assert_eq!((stream.status, events.len()), (200, 4), "{events:?}");
    let error: Value = serde_json::from_str(events[2]).unwrap();
    assert_eq!((error["error"]["type"].as_str(), events[3]), (Some("rate_limit"), "[DONE]"));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_model_that_says_nothing_is_said_to() {
    let server = Server::saying(stream_of(""));
    let gateway = Gateway::owning(home(&server), &[]);
    assert_eq!(gateway.chat(&hi()).json()["choices"][0]["message"]["content"], "No response from OpenClaw.");
    let stream = gateway.chat(&json!({"stream": true, "messages": hi()["messages"]}));
    assert!(
        stream.body.contains("No response from OpenClaw.") && stream.body.ends_with("data: [DONE]\n\n"),
        "{}",
        stream.body
    );
}
