//! A gateway that runs in a scratch home.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

use super::loopback_http::{Answer, ask, request};

/// The secret of the gateways.
pub(crate) const TOKEN: &str = "sk-test-gateway-Qm7Xw2Lp9Rt4Kb";

/// A home directory with a config and a store.
#[derive(Clone, Debug)]
pub(crate) struct GatewayHome {
    pub(crate) path: PathBuf,
}

impl GatewayHome {
    /// Makes it anew: the providers by name, the profiles by id, and which models answer.
    pub(crate) fn make(
        path: &Path,
        model: &Value,
        providers: &[(&str, Value)],
        profiles: &[(String, Value)],
    ) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
        let home = Self { path: path.to_owned() };
        let providers: Map<String, Value> =
            providers.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
        let config = json!({"agents": {"defaults": {"model": model}}, "models": {"providers": providers}});
        super::write(&path.join(".openclaw/openclaw.json"), &config.to_string())?;
        let profiles: Map<String, Value> = profiles.iter().cloned().collect();
        super::write(&home.store(), &json!({"version": 1, "profiles": profiles}).to_string())?;
        Ok(home)
    }

    /// Where the store of the only agent is.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(".openclaw/agents/main/agent/auth-profiles.json")
    }

    /// What the store holds.
    pub(crate) fn read_store(&self) -> Result<Value> {
        Ok(serde_json::from_str(&fs::read_to_string(self.store())?)?)
    }

    /// A command of the program in this home.
    pub(crate) fn command(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command.args(arguments).env_clear().env("HOME", &self.path).env("PATH", "/usr/bin:/bin");
        command.env("OPENCLAW_GATEWAY_TOKEN", TOKEN).current_dir(&self.path).stdin(Stdio::null());
        command
    }
}

/// An API key in the store.
pub(crate) fn key(provider: &str, key: &str) -> Value {
    json!({"type": "api_key", "provider": provider, "key": key})
}

/// A gateway that runs; it is ended with this.
#[derive(Debug)]
pub(crate) struct GatewayProcess {
    child: Child,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl GatewayProcess {
    /// Starts one and waits until it listens. Port 0 takes a free one.
    pub(crate) fn start(binary: &Path, home: &GatewayHome, port: u16, arguments: &[&str]) -> Result<Self> {
        let port = port.to_string();
        let mut command = home.command(binary, &["models", "serve", "--json", "--port", &port]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (child.stdout.take().context("no output")?, child.stderr.take().context("no output")?);
        let said: Arc<Mutex<String>> = Arc::default();
        let kept = Arc::clone(&said);
        let reader = thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut line = String::new();
        BufReader::new(stdout.take(4096)).read_line(&mut line)?;
        let listening: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = listening["listening"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok());
        let Some(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            let _ = reader.join();
            let said = said.lock().unwrap_or_else(PoisonError::into_inner);
            anyhow::bail!("the gateway did not start: {line}{said}");
        };
        said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
        Ok(Self { child, address, said, reader: Some(reader) })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would; gives everything that it printed.
    pub(crate) fn kill(mut self) -> Result<String> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.all_said())
    }

    /// Asks it to end, without waiting.
    pub(crate) fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// Waits for the end that was asked for; gives everything that it printed.
    pub(crate) fn ended(mut self) -> Result<String> {
        let status = self.child.wait()?;
        let said = self.all_said();
        ensure!(status.success(), "the gateway ended with {status}: {said}");
        Ok(said)
    }

    fn all_said(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for a page with the right token.
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        Ok(ask(self.address, &request("GET", path, TOKEN, "", ""))?)
    }

    /// A figure of `/proc/PID/status`, in kilobytes.
    pub(crate) fn memory_kb(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let figure = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        figure.with_context(|| format!("/proc has no {field}"))
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
