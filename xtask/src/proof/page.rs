//! The status page of the gateway in a browser.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::clients::python;
use super::gateway_process::{GatewayHome, GatewayProcess, TOKEN, key};
use super::gateway_script::canary;
use super::mock_provider::{MockProvider, Reply};

/// A profile whose name would be markup if anybody took it for that.
const MARKUP: &str = "acme:<img src=x onerror=alert(1)>";

/// Opens the page, watches a failure come, and takes a picture.
pub(crate) fn page(binary: &Path, work: &Path) -> Result<()> {
    let python = python(work)?;
    let secrets: Vec<String> = (100..105).map(canary).collect();
    let limited = secrets[0].clone();
    let mock = MockProvider::start(move |asked| {
        if asked.key.ends_with(&limited) {
            let message = format!("Rate limit reached for {}", asked.key);
            return Reply::Refusal(429, "retry-after: 20\r\n", json!({"type": "rate_limit_error", "message": message}));
        }
        Reply::Text("pong".to_owned())
    })?;
    let providers =
        [("acme", mock.entry("openai-completions", "m1")), ("cobalt", mock.entry("anthropic-messages", "m1"))];
    let names = [
        ("acme", "acme:limited"),
        ("acme", "acme:good"),
        ("acme", MARKUP),
        ("cobalt", "cobalt:a"),
        ("cobalt", "cobalt:b"),
    ];
    let profiles: Vec<(String, Value)> = names
        .iter()
        .zip(&secrets)
        .map(|((provider, id), secret)| ((*id).to_owned(), key(provider, &format!("sk-test-{secret}"))))
        .collect();
    let home = GatewayHome::make(&work.join("page"), &json!("acme/m1"), &providers, &profiles)?;
    let gateway = GatewayProcess::start(binary, &home, 0, &[])?;
    let (script, picture) = (home.path.join("page.py"), work.join("page.png"));
    std::fs::write(&script, include_str!("page.py"))?;
    let mut command = Command::new(python);
    command.arg(&script).arg(format!("http://{}", gateway.address)).arg(&picture);
    command.env("GATEWAY_TOKEN", TOKEN).env("SECRETS", json!(secrets).to_string()).env("HOME", &home.path);
    // What is asked of this machine is not sent through a proxy.
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    let status = command.status().context("Python does not start")?;
    gateway.terminate()?;
    let said = gateway.ended()?;
    ensure!(status.success(), "the page is not what it should be; the gateway said:\n{said}");
    println!("page: as it should be; {}", picture.display());
    Ok(())
}
