//! The official Python clients and curl against the gateway: what people really send.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::gateway_process::{GatewayHome, GatewayProcess, TOKEN, key};
use super::mock_provider::{MockProvider, Reply};

/// What the keys end with whose requests are refused.
const LIMITED: &str = "limited-Zq7vXw2LmN9pRt4K";
const BROKE: &str = "broke-Vd3nGs8QxF6wJk2M";

/// Runs the clients; their transcript goes to the terminal.
pub(crate) fn clients(binary: &Path, work: &Path) -> Result<()> {
    let python = python(work)?;
    let mock = MockProvider::start(|asked| {
        if asked.key.ends_with(LIMITED) {
            let error = json!({"type": "rate_limit_error", "message": "Rate limit reached"});
            return Reply::Refusal(429, "retry-after: 7\r\n", error);
        }
        if asked.key.ends_with(BROKE) {
            let error = json!({"type": "insufficient_quota", "message": "Insufficient credit balance"});
            return Reply::Refusal(402, "", error);
        }
        Reply::Text(format!("pong to '{}' of {}", asked.last_message(), asked.count()))
    })?;
    let providers =
        [("acme", mock.entry("openai-completions", "m1")), ("cobalt", mock.entry("anthropic-messages", "m1"))];
    let profiles: Vec<(String, Value)> = [
        ("acme:a", "acme", "sk-test-acme-a-Hj5bYc8TnV3sKd6F".to_owned()),
        ("acme:b", "acme", "sk-test-acme-b-Wm4zPr7XhB2qLf9C".to_owned()),
        ("acme:limited", "acme", format!("sk-test-{LIMITED}")),
        ("acme:broke", "acme", format!("sk-test-{BROKE}")),
        ("cobalt:a", "cobalt", "sk-test-cobalt-a-Tg6yNv1DkS8jRc5H".to_owned()),
        ("cobalt:limited", "cobalt", format!("sk-test-{LIMITED}")),
    ]
    .map(|(id, provider, secret)| (id.to_owned(), key(provider, &secret)))
    .into();
    let home = GatewayHome::make(&work.join("clients-home"), &json!("acme/m1"), &providers, &profiles)?;
    // The ones that are refused come last: they are asked only by name.
    let order = ["models", "auth", "order", "set", "--provider"];
    for provider in ["acme", "cobalt"] {
        let ids = profiles.iter().map(|(id, _)| id.as_str()).filter(|id| id.starts_with(provider));
        let arguments: Vec<&str> = order.into_iter().chain([provider]).chain(ids).collect();
        ensure!(home.command(binary, &arguments).output()?.status.success(), "the order was not set");
    }
    let gateway = GatewayProcess::start(binary, &home, 0, &[])?;
    let script = work.join("clients.py");
    std::fs::write(&script, include_str!("clients.py"))?;
    let mut command = Command::new(python);
    command.arg(&script).arg(format!("http://{}", gateway.address)).env("GATEWAY_TOKEN", TOKEN);
    // What is asked of this machine is not sent through a proxy.
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let status = command.status().context("Python does not start")?;
    gateway.terminate()?;
    let said = gateway.ended()?;
    ensure!(status.success(), "a client was answered otherwise than documented; the gateway said:\n{said}");
    println!("clients: every answer as documented; {} requests", said.matches(" ms\n").count());
    Ok(())
}

/// A Python with the clients and a driver of browsers, made at the first use.
pub(crate) fn python(work: &Path) -> Result<PathBuf> {
    let home = work.join("clients");
    let python = home.join("bin/python");
    if !python.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&home).status().context("python3 is missing")?;
        ensure!(made.success(), "no environment for Python could be made");
    }
    let has_all = Command::new(&python).args(["-c", "import openai, anthropic, selenium"]).output()?.status.success();
    if !has_all {
        let pip = ["-m", "pip", "install", "--quiet", "openai", "anthropic", "selenium"];
        let installed = Command::new(&python).args(pip).status()?;
        ensure!(installed.success(), "the Python clients could not be installed");
    }
    Ok(python)
}
