//! A gateway over its life: what it shows of itself, how it takes up changes, and how it ends.

use std::io::{Read, Write};
use std::sync::{Mutex, mpsc};

use rustix::process::Signal;
use serde_json::json;

use super::gateway::{Gateway, TOKEN, chat_request, head, read_answer, wait_until};
use super::server::{Asked, Server};
use super::{GOOD, LIMITED, config, entry, events, hi, home, key, limited_home, provider, store};

/// A provider that gives the first half of an answer, and the second when it is told to.
fn in_halves() -> (Server, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let server = Server::start(move |link| {
        link.request()?;
        let piece = json!({"choices": [{"delta": {"content": "first "}, "finish_reason": null}]});
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        link.write_all(format!("{head}data: {piece}\n\n").as_bytes())?;
        let _ = wait.lock().unwrap().recv();
        link.write_all(events("second").as_bytes())
    });
    (server, go)
}

/// Sends a request for a stream and waits for its first byte.
fn begin(gateway: &Gateway) -> (Vec<u8>, std::net::TcpStream) {
    let body = json!({"stream": true, "messages": hi()["messages"]}).to_string();
    let mut client = gateway.send(&chat_request("", &body));
    let mut first = vec![0];
    client.read_exact(&mut first).unwrap();
    (first, client)
}

#[test]
fn the_end_waits_for_answers_under_way() {
    let (server, go) = in_halves();
    let sandbox = home(&server);
    let mut gateway = Gateway::start(&sandbox, &[]);
    let (first, client) = begin(&gateway);
    gateway.signal(Signal::TERM);
    gateway.wait_until_said("answers under way are finished");
    assert!(std::net::TcpStream::connect(gateway.address).is_err(), "still accepts");
    go.send(()).unwrap();
    let stream = read_answer(&mut (&first[..]).chain(client));
    assert!(stream.body.contains("second") && stream.body.ends_with("data: [DONE]\n\n"), "{}", stream.body);
    assert_eq!(gateway.exit_code(), Some(0));
    // The last success was not lost.
    assert!(super::read_json(&sandbox.store())["usageStats"]["acme:good"]["lastUsed"].is_number());
}

#[test]
fn a_second_signal_and_the_end_of_patience_cut_off() {
    for patience in [None, Some("50")] {
        let (server, _go) = in_halves();
        let sandbox = home(&server);
        let more = patience.map_or(vec![], |ms| vec!["--drain-timeout-ms", ms]);
        let mut gateway = Gateway::start(&sandbox, &more);
        let (_, _client) = begin(&gateway);
        gateway.signal(Signal::INT);
        gateway.wait_until_said("answers under way are finished");
        if patience.is_none() {
            gateway.signal(Signal::INT);
        }
        assert_eq!(gateway.exit_code(), Some(0));
    }
}

#[test]
fn a_changed_config_is_taken_up_and_a_broken_one_is_not() {
    let (one, two) = (provider(), provider());
    let sandbox = home(&one);
    let gateway = Gateway::start(&sandbox, &[]);
    assert_eq!(gateway.chat(&hi()).status, 200);
    let path = sandbox.path(".openclaw/openclaw.json");
    std::fs::write(&path, config(&[("acme", entry(&two.url()))]).to_string()).unwrap();
    gateway.wait_until_said("reloaded (a file changed)");
    assert_eq!(gateway.chat(&hi()).status, 200);
    assert_eq!((one.connections(), two.connections()), (1, 1));
    std::fs::write(&path, "{ models: {").unwrap();
    gateway.wait_until_said("the previous config stays");
    assert_eq!(gateway.chat(&hi()).status, 200);
    assert_eq!(two.connections(), 2);
    // A variable in a file, and a signal.
    std::fs::write(&path, config(&[("acme", entry(&one.url()))]).to_string()).unwrap();
    gateway.signal(Signal::HUP);
    gateway.wait_until_said("reloaded (asked for)");
    wait_until(
        || {
            let before = one.connections();
            gateway.chat(&hi());
            one.connections() > before
        },
        "the config of the signal",
    );
}

#[test]
fn a_changed_store_counts_for_the_next_request() {
    let server = provider();
    let sandbox = home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    gateway.chat(&hi());
    let other = "sk-test-other-Wd4Rt8Yu2Io6Pa";
    let new = sandbox.path("new.json");
    std::fs::write(&new, store(&[("acme:new", key("acme", other))])).unwrap();
    std::fs::rename(new, sandbox.store()).unwrap();
    gateway.chat(&hi());
    let keys: Vec<String> = server.asked().iter().map(Asked::bearer).collect();
    assert_eq!(keys, [GOOD, other]);
}

#[test]
fn a_store_that_cannot_be_read_is_told_once() {
    let server = provider();
    let sandbox = home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    gateway.chat(&hi());
    assert!(!gateway.said().contains("auth-profiles.json"), "{}", gateway.said());
    let torn = "{\"version\": 1, \"profiles\": {\"acme:a\": {\"key\": \"sk-te";
    std::fs::write(sandbox.store(), torn).unwrap();
    gateway.chat(&hi());
    let last = gateway.chat(&hi());
    gateway.wait_until_said(&format!("[gateway] {} ", last.header("x-openclaw-request-id").unwrap()));
    let said = gateway.said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("no credential of it is used")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].starts_with("Warning: ~/.openclaw/agents/main/agent/auth-profiles.json"), "{said}");
    assert_eq!(std::fs::read_to_string(sandbox.store()).unwrap(), torn);
}

#[test]
fn a_stream_goes_on_over_a_reload() {
    let (server, go) = in_halves();
    let sandbox = home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    let (first, client) = begin(&gateway);
    gateway.signal(Signal::HUP);
    gateway.wait_until_said("reloaded");
    go.send(()).unwrap();
    let stream = read_answer(&mut (&first[..]).chain(client));
    assert!(stream.body.contains("second") && stream.body.ends_with("data: [DONE]\n\n"), "{}", stream.body);
}

#[test]
fn the_page_and_the_figures_show_what_happened_and_no_secret() {
    let server = provider();
    let sandbox = limited_home(&server);
    let gateway = Gateway::start(&sandbox, &[]);
    gateway.chat(&hi());
    gateway.raw(&head(
        "GET",
        &format!("/v1/models/{GOOD}?key={GOOD}"),
        "Authorization: Bearer wrong-secret-Xy12Zw34\r\n",
        None,
    ));
    let page = gateway.raw(&head("GET", "/", "", None));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'nonce-"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(page.body.matches(nonce).count(), 2);
    let status = gateway.get("/status.json");
    let report = status.json();
    let profiles = &report["agents"][0]["providers"][0]["profiles"];
    assert_eq!(profiles[0]["id"], "acme:b");
    assert_eq!(
        (profiles[1]["id"].as_str(), profiles[1]["window"]["reason"].as_str()),
        (Some("acme:a"), Some("rate_limit"))
    );
    assert_eq!(
        (report["failovers"][0]["reason"].as_str(), report["failovers"][0]["source"].as_str()),
        (Some("rate_limit"), Some("profile:acme:a"))
    );
    let metrics = gateway.get("/metrics");
    for line in [
        "openclaw_gateway_turns_total{provider=\"acme\",outcome=\"answered\"} 1",
        "openclaw_gateway_provider_failures_total{provider=\"acme\",reason=\"rate_limit\"} 1",
        "openclaw_gateway_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1",
    ] {
        assert!(metrics.body.lines().any(|known| known == line), "{line}\n{}", metrics.body);
    }
    let health = gateway.raw(&head("GET", "/healthz", "", None));
    gateway.wait_until_said("POST /v1/chat/completions 200 acme/m1 sha256:");
    let everything = [page.body, status.body, metrics.body, health.body, gateway.said()].concat();
    for secret in [GOOD, LIMITED, TOKEN, "wrong-secret"] {
        assert!(!everything.contains(secret), "{secret} is shown");
    }
    assert!(!gateway.said().contains("acme:a") && !gateway.said().contains("panicked"), "{}", gateway.said());
}
