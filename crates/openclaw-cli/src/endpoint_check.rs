//! One short request that tells whether an endpoint answers (spec 04 sections 3.7 and 3.8). Used only while setting
//! up; no answer is kept.

use std::time::Duration;

use auth_core::failure::Reason;
use auth_core::{Environment, Secret};
use auth_probe::wire::{Method, Request, Value};
use auth_probe::{Clients, Proxies, status_of};
use serde_json::json;

/// Names this program to the other side.
const USER_AGENT: &str = concat!("openclaw-auth/", env!("CARGO_PKG_VERSION"));

/// Asks endpoints.
pub(crate) trait Endpoints {
    /// Whether one chat completion is answered. `Err` says why not, without anything that was sent.
    fn chat(&self, request: &Chat<'_>) -> Result<(), String>;
    /// Whether an Ollama server lists its models.
    fn ollama(&self, base_url: &str) -> Result<(), String>;
}

/// A chat completion of one token.
#[derive(Clone, Copy)]
pub(crate) struct Chat<'a> {
    pub(crate) base_url: &'a str,
    /// `openai-completions` or `anthropic-messages`.
    pub(crate) api: &'a str,
    pub(crate) model: &'a str,
    pub(crate) key: Option<&'a Secret>,
    pub(crate) timeout: Duration,
}

/// The network.
pub(crate) struct Network;

impl Endpoints for Network {
    fn chat(&self, request: &Chat<'_>) -> Result<(), String> {
        let base = request.base_url.trim_end_matches('/');
        let anthropic = request.api == "anthropic-messages";
        let url = match (anthropic, base.ends_with("/v1")) {
            (false, _) => format!("{base}/chat/completions"),
            (true, true) => format!("{base}/messages"),
            (true, false) => format!("{base}/v1/messages"),
        };
        let body = json!({
            "model": request.model,
            "max_tokens": 1,
            "messages": [{ "role": "user", "content": "Hi" }],
        });
        let plain = |name: &str, text: &str| (name.to_owned(), Value::Plain(text.to_owned()));
        let mut headers = vec![plain("user-agent", USER_AGENT), plain("content-type", "application/json")];
        if anthropic {
            headers.push(plain("anthropic-version", "2023-06-01"));
        }
        if let Some(secret) = request.key.cloned() {
            let (name, prefix) = if anthropic { ("x-api-key", "") } else { ("authorization", "Bearer ") };
            headers.push((name.to_owned(), Value::Secret { prefix, secret }));
        }
        answered(&Request { method: Method::Post, url, headers, body: Some(body.to_string()) }, request.timeout)
    }

    fn ollama(&self, base_url: &str) -> Result<(), String> {
        let url = format!("{}/api/tags", base_url.trim_end_matches('/'));
        let headers = vec![("user-agent".to_owned(), Value::Plain(USER_AGENT.to_owned()))];
        answered(&Request { method: Method::Get, url, headers, body: None }, Duration::from_secs(5))
    }
}

/// Sends a request through the client of live probes: no redirect is followed, so that a key goes where it was meant to
/// go and nowhere else.
fn answered(request: &Request, timeout: Duration) -> Result<(), String> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let clients = Clients::new(None, &Proxies::of(&Environment::from_process(variables)))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    match runtime.block_on(status_of(request, &clients, timeout)) {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(format!("HTTP status {status}")),
        Err(Reason::Timeout) => Err("no answer in time".to_owned()),
        Err(Reason::Tls) => Err("no trusted TLS connection".to_owned()),
        Err(Reason::Network) => Err("no connection".to_owned()),
        Err(_) => Err("no proper answer".to_owned()),
    }
}

/// Asks nobody: for a dry run.
pub(crate) struct Offline;

impl Endpoints for Offline {
    fn chat(&self, _request: &Chat<'_>) -> Result<(), String> {
        Err("not asked".to_owned())
    }

    fn ollama(&self, _base_url: &str) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with a status line and gives what was asked.
    fn served(status: &str, ask: impl FnOnce(&str) -> Result<(), String>) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let status = status.to_owned();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut part = [0; 4096];
            while !String::from_utf8_lossy(&seen).contains("\r\n\r\n") {
                let count = stream.read(&mut part).unwrap();
                seen.extend_from_slice(&part[..count]);
            }
            let reply = format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 2\r\n\r\n{{}}");
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8_lossy(&seen).into_owned()
        });
        let result = ask(&url);
        (result, server.join().unwrap())
    }

    fn chat(base_url: &str, api: &str) -> Result<(), String> {
        let key = Secret::new("sk-test-check");
        let timeout = Duration::from_secs(5);
        Network.chat(&Chat { base_url, api, model: "m", key: Some(&key), timeout })
    }

    #[test]
    fn requests_have_the_form_of_their_api() {
        let (result, seen) = served("200 OK", |url| chat(&format!("{url}/v1/"), "openai-completions"));
        assert!(result.is_ok() && seen.starts_with("POST /v1/chat/completions "), "{seen}");
        assert!(seen.contains("Bearer sk-test-check") && seen.contains(USER_AGENT), "{seen}");
        let (result, seen) = served("200 OK", |url| chat(url, "anthropic-messages"));
        assert!(result.is_ok() && seen.starts_with("POST /v1/messages ") && seen.contains("x-api-key"), "{seen}");
        let (result, seen) = served("200 OK", |url| Network.ollama(url));
        assert!(result.is_ok() && seen.starts_with("GET /api/tags "), "{seen}");
    }

    #[test]
    fn anything_but_success_says_why_and_is_not_followed() {
        let (result, _) = served("401 Unauthorized", |url| chat(url, "openai-completions"));
        assert_eq!(result.unwrap_err(), "HTTP status 401");
        let (result, _) = served("302 Found", |url| chat(url, "openai-completions"));
        assert_eq!(result.unwrap_err(), "HTTP status 302");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!Network.ollama(&format!("http://{closed}")).unwrap_err().is_empty());
    }
}
