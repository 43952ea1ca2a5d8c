//! Asks a provider whether one key works. Here the provider is a socket of this machine that refuses it; in a real
//! program leave `base_url` to `Endpoint::resolve`, or write the address of yours.
//!
//! ```sh
//! cargo run -p auth-probe --example probe_one_key
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{SystemTime, UNIX_EPOCH};

use auth_core::failure::ProbeStatus;
use auth_core::probe::Endpoint;
use auth_core::secrets::Redactor;
use auth_core::{Environment, Secret};
use auth_probe::{Clients, JobSettings, Limits, Proxies, Task, job, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = refusing_provider()?;
    let key = Secret::new("sk-test-revoked-0000000001");
    let environment = Environment::from_process([]);

    let endpoint = Endpoint {
        api: "openai-completions".to_owned(),
        base_url: format!("http://{address}/v1"),
        headers: Vec::new(),
        auth_header: false,
        max_tokens_field: None,
        ca: None,
        account_id: None,
    };
    let settings = JobSettings {
        max_tokens: 8,
        // `true` asks for the list of models instead of an answer, where there is one: it costs no tokens.
        free: false,
        user_agent: concat!("my-program/", env!("CARGO_PKG_VERSION")),
        session_id: "probe-1",
        environment: &environment,
        now_ms: i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?,
        account_id: None,
    };
    let request = job("acme", Some("m1"), &endpoint, Some(&key), false, settings).map_err(|(_, why)| why)?;

    // One deadline over connect, TLS, headers and body; no redirect, no retry.
    let limits = Limits { timeout_ms: 8_000, concurrency: 1 };
    let clients = Clients::new(None, &Proxies::of(&environment))?;
    let redactor = Redactor::of([key.clone()]);
    let outcome = run(vec![Task::Ready(request)], limits, &clients, &redactor, &mut |_| {}).await;

    let row = &outcome.rows[0];
    println!("{}: {}", row.status.as_str(), row.error.as_deref().unwrap_or("works"));
    assert_eq!(row.status, ProbeStatus::Auth);
    assert_eq!(row.http_status, Some(401));
    // What the provider quoted of the key is not shown.
    assert!(!row.error.as_deref().unwrap_or_default().contains("revoked-0000000001"));
    Ok(())
}

/// A provider that answers one request, with a refusal that quotes the key.
fn refusing_provider() -> std::io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        // The request is small enough for one read.
        let _ = stream.read(&mut [0; 16 * 1024])?;
        let body = r#"{"error": {"message": "Incorrect API key provided: sk-test-revoked-0000000001"}}"#;
        write!(
            stream,
            "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    Ok(address)
}
