//! A home directory of its own for running the built program.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test file uses a part of it, and a test may stop where it stands"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Sandbox {
    home: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), env: BTreeMap::new() }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// The store of the main agent.
    pub(crate) fn store(&self) -> PathBuf {
        self.path(".openclaw/agents/main/agent/auth-profiles.json")
    }

    pub(crate) fn file(self, below: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    pub(crate) fn config(self, content: &str) -> Self {
        self.file(".openclaw/openclaw.json", content)
    }

    pub(crate) fn profiles(self, content: impl AsRef<[u8]>) -> Self {
        self.file(".openclaw/agents/main/agent/auth-profiles.json", content)
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_openclaw"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.envs(&self.env).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Printed {
        Printed::of(&self.command(arguments).output().unwrap())
    }

    /// Runs with a text on standard input.
    pub(crate) fn with_input(&self, arguments: &[&str], input: &str) -> Printed {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that does not read is judged by what it prints.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Printed::of(&child.wait_with_output().unwrap())
    }

    /// Everything below the home directory: content, mode and time of change.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
        let mut found = BTreeMap::new();
        collect(self.home.path(), &mut found);
        found
    }
}

fn collect(dir: &Path, found: &mut BTreeMap<PathBuf, (u32, i64, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if meta.is_dir() {
            collect(&path, found);
        }
        found.insert(path, (meta.mode(), meta.mtime_nsec(), content));
    }
}

pub(crate) struct Printed {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Printed {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Panics of the program and secrets have no place in what it prints.
    pub(crate) fn check(&self, secret: &str) {
        let both = format!("{}{}", self.stdout, self.stderr);
        assert!(!both.contains("panicked"), "{both}");
        assert!(!both.contains(secret), "{both}");
        assert!((0..=2).contains(&self.code), "exit code {}\n{both}", self.code);
    }
}

/// Milliseconds since the epoch, `seconds` from now.
pub(crate) fn from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    i64::try_from(now).unwrap() + seconds * 1000
}
