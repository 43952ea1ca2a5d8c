//! Clients of the Anthropic Messages API, passed on byte for byte (spec 07 section 12.5).

use std::io::Write;

use serde_json::{Value, json};

use super::gateway::{Answered, Gateway, TOKEN, head, wait_until};
use super::sandbox::Sandbox;
use super::server::{Server, answer};
use super::{GOOD, LIMITED, config, entry, key, provider, read_json, store};

const EVENTS: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3}}}\n\n: a comment\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":2}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// A provider of messages that limits one key.
fn anthropic() -> Server {
    Server::start(|link| {
        let asked = link.request()?;
        let key = asked.header("x-api-key").unwrap_or_default();
        if key == LIMITED.as_bytes() {
            let body = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}});
            return link.write_all(&answer(
                "429 Too Many Requests",
                "content-type: application/json\r\n",
                body.to_string(),
            ));
        }
        let headers = "content-type: text/event-stream\r\nrequest-id: req_1\r\nset-cookie: a=b\r\nanthropic-ratelimit-requests-remaining: 7\r\n";
        link.write_all(&answer("200 OK", headers, EVENTS))
    })
}

fn home(server: &Server, other: &Server) -> Sandbox {
    let claude = json!({
        "baseUrl": format!("http://{}", server.address), "api": "anthropic-messages",
        "models": [{"id": "claude-x", "name": "X"}],
    });
    Sandbox::new()
        .config(
            &config(&[("claude", claude), ("acme", entry(&other.url()))])
                .to_string()
                .replace("claude/m1", "claude/claude-x"),
        )
        .profiles(store(&[
            ("claude:a", key("claude", LIMITED)),
            ("claude:b", key("claude", GOOD)),
            ("acme:a", key("acme", GOOD)),
        ]))
}

fn post(gateway: &Gateway, headers: &str, body: &str) -> Answered {
    gateway.raw(&head("POST", "/v1/messages?beta=true", &format!("x-api-key: {TOKEN}\r\n{headers}"), Some(body)))
}

#[test]
fn the_body_and_the_bytes_of_the_answer_stay_as_they_are() {
    let (server, other) = (anthropic(), provider());
    let sandbox = home(&server, &other);
    let gateway = Gateway::start(&sandbox, &[]);
    let body = "{\"max_tokens\": 1e1,\n \"model\" : \"claude/claude-x\", \"stream\":true, \"tools\": [{\"name\":\"t\\u00e9\"}], \"messages\":[]}";
    let headers = "anthropic-version: 2024-01-01\r\nanthropic-beta: one\r\nanthropic-beta: two\r\nCookie: c=d\r\n";
    let answered = post(&gateway, headers, body);
    assert_eq!((answered.status, answered.body.as_str()), (200, EVENTS));
    for (name, value) in [
        ("content-type", Some("text/event-stream")),
        ("request-id", Some("req_1")),
        ("anthropic-ratelimit-requests-remaining", Some("7")),
        ("set-cookie", None),
        ("x-openclaw-provider", Some("claude")),
        ("x-openclaw-auth-source", Some("profile:claude:b")),
    ] {
        assert_eq!(answered.header(name), value, "{name}");
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "the limited key first, then the next");
    let last = &asked[1];
    assert_eq!(String::from_utf8_lossy(&last.body), body.replace("claude/claude-x", "claude-x"));
    let header = |name: &str| last.header(name).map(|value| String::from_utf8(value).unwrap());
    assert_eq!(header("x-api-key").as_deref(), Some(GOOD));
    assert_eq!(header("anthropic-version").as_deref(), Some("2024-01-01"));
    assert_eq!(header("anthropic-beta").as_deref(), Some("one,two"));
    assert_eq!((header("authorization"), header("cookie")), (None, None));
    assert!(last.head.starts_with(b"POST /v1/messages?beta=true HTTP/1.1"));
    for one in &asked {
        assert!(!String::from_utf8_lossy(&one.head).contains(TOKEN), "the gateway's secret left it");
    }
    let stats = &read_json(&sandbox.store())["usageStats"];
    assert_eq!(stats["claude:a"]["cooldownReason"], "rate_limit");
    wait_until(|| read_json(&sandbox.store())["usageStats"]["claude:b"]["lastUsed"].is_number(), "the last use");
    assert!(
        gateway.get("/metrics").body.contains("openclaw_gateway_tokens_total{provider=\"claude\",kind=\"output\"} 2")
    );
}

#[test]
fn models_are_found_by_every_name() {
    let (server, other) = (anthropic(), provider());
    let sandbox = home(&server, &other);
    let gateway = Gateway::start(&sandbox, &[]);
    for model in ["claude-x", "claude/claude-x", "openclaw", "openclaw/main", "agent:ops"] {
        let answered = post(&gateway, "", &json!({"model": model, "messages": []}).to_string());
        assert_eq!(
            (answered.status, answered.header("x-openclaw-model")),
            (200, Some("claude-x")),
            "{model}: {}",
            answered.body
        );
        let sent: Value = serde_json::from_slice(&server.asked().last().unwrap().body).unwrap();
        assert_eq!(sent["model"], "claude-x");
    }
    let locked = post(&gateway, "x-openclaw-auth-profile: claude:a\r\n", "{\"model\":\"claude-x\"}");
    assert_eq!((locked.status, locked.json()["error"]["type"].as_str()), (429, Some("rate_limit_error")));
    assert!(locked.header("retry-after").is_some());
}

#[test]
fn refusals_are_in_the_words_of_the_api() {
    let (server, other) = (anthropic(), provider());
    let sandbox = home(&server, &other);
    let gateway = Gateway::start(&sandbox, &[]);
    let error = |answered: &Answered| {
        let body = answered.json();
        assert_eq!(body["type"], "error", "{body}");
        (answered.status, body["error"]["type"].as_str().unwrap().to_owned())
    };
    let expect = |status: u16, kind: &str| (status, kind.to_owned());
    for (body, status, kind) in [
        ("{", 400, "invalid_request_error"),
        ("{}", 400, "invalid_request_error"),
        ("{\"model\":\"acme/m1\"}", 400, "invalid_request_error"),
        ("{\"model\":\"m1\"}", 404, "not_found_error"),
        ("{\"model\":\"openclaw/nope\"}", 400, "invalid_request_error"),
        ("{\"model\":\"claude-x\",\"model\":\"claude-y\"}", 400, "invalid_request_error"),
    ] {
        assert_eq!(error(&post(&gateway, "", body)), expect(status, kind), "{body}");
    }
    let wrong = gateway.raw(&head("POST", "/v1/messages", "x-api-key: wrong\r\n", Some("{}")));
    assert_eq!(error(&wrong), expect(401, "authentication_error"));
    let other_page = format!("x-api-key: {TOKEN}\r\nOrigin: https://evil.example\r\n");
    assert_eq!(
        error(&gateway.raw(&head("POST", "/v1/messages", &other_page, Some("{}")))),
        expect(403, "permission_error")
    );
    assert_eq!(server.connections() + other.connections(), 0);
}

#[test]
fn an_answer_that_breaks_off_does_not_look_complete() {
    let server = Server::start(|link| {
        link.request()?;
        let first = EVENTS.split_inclusive("\n\n").next().unwrap();
        link.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n", first.len()).as_bytes())
    });
    let other = provider();
    let sandbox = home(&server, &other);
    let gateway = Gateway::start(&sandbox, &[]);
    let mut stream = gateway.send(&head(
        "POST",
        "/v1/messages",
        &format!("x-api-key: {TOKEN}\r\n"),
        Some("{\"model\":\"claude-x\",\"stream\":true}"),
    ));
    let mut bytes = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("message_start") && !text.ends_with("0\r\n\r\n"), "{text}");
}

#[test]
fn an_error_before_the_first_event_is_followed_by_the_next_key() {
    let server = Server::start(|link| {
        let asked = link.request()?;
        let limited = asked.header("x-api-key").unwrap_or_default() == LIMITED.as_bytes();
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"Slow down\"}}\n\n";
        link.write_all(&answer("200 OK", "content-type: text/event-stream\r\n", if limited { error } else { EVENTS }))
    });
    let other = provider();
    let sandbox = home(&server, &other);
    let gateway = Gateway::start(&sandbox, &[]);
    let answered = post(&gateway, "", "{\"model\":\"claude-x\",\"stream\":true}");
    assert_eq!((answered.status, answered.body.as_str()), (200, EVENTS));
    assert_eq!(server.connections(), 2);
}
