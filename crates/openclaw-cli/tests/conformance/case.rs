//! What a case says, and running it in a home directory of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::server::{Arrived, Log, Server};

/// One case file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) about: String,
    /// Path below the home directory → content.
    #[serde(default)]
    pub(crate) files: Map<String, Value>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) run: Vec<Step>,
    #[serde(default)]
    pub(crate) expect: Vec<Expect>,
    #[serde(default)]
    pub(crate) expect_files: Map<String, Value>,
    /// Loopback servers by name; `{{SERVER:name}}` is the address of one.
    #[serde(default)]
    pub(crate) servers: Map<String, Value>,
    /// What must have arrived at them, in order or in any.
    pub(crate) expect_requests: Option<Value>,
    /// Whether a document may have no keys beyond those expected.
    #[serde(default)]
    pub(crate) exact: bool,
    /// JSON pointers, `*` for any step, dropped on both sides.
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) args: Vec<String>,
    #[serde(default)]
    pub(crate) stdin: String,
    /// On a terminal: what to wait for, and what to type then.
    pub(crate) tty: Option<Vec<(String, String)>>,
    pub(crate) cwd: Option<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout_json: Option<Value>,
    pub(crate) stdout_has: Vec<String>,
    pub(crate) stdout_lacks: Vec<String>,
    pub(crate) stderr_has: Vec<String>,
    pub(crate) stderr_lacks: Vec<String>,
    pub(crate) output_has: Vec<String>,
    pub(crate) output_lacks: Vec<String>,
}

/// What placeholders stand for.
pub(crate) struct Context {
    pub(crate) home: PathBuf,
    pub(crate) now_ms: i64,
    pub(crate) servers: BTreeMap<String, String>,
}

/// What one step printed.
pub(crate) struct Printed {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A case that was run; its home directory goes with it.
pub(crate) struct Run {
    pub(crate) context: Context,
    pub(crate) printed: Vec<Printed>,
    pub(crate) arrived: Vec<Arrived>,
    _home: tempfile::TempDir,
}

impl Context {
    /// Replaces the placeholders of every string; one that is nothing but a time becomes a number.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match self.time_of(text) {
                Some(ms) => Value::from(ms),
                None => Value::String(self.fill_text(text)),
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(key, item)| (self.fill_text(key), self.fill(item))).collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }

    pub(crate) fn fill_text(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{NOW") {
            out.push_str(&rest[..at]);
            let end = rest[at..].find("}}").map_or(rest.len(), |end| at + end + 2);
            match self.time_of(&rest[at..end]) {
                Some(ms) => out.push_str(&ms.to_string()),
                None => out.push_str(&rest[at..end]),
            }
            rest = &rest[end..];
        }
        out.push_str(rest);
        let out = out.replace("{{HOME}}", &self.home.to_string_lossy());
        self.servers.iter().fold(out, |out, (name, address)| out.replace(&format!("{{{{SERVER:{name}}}}}"), address))
    }

    /// `{{NOW}}`, `{{NOW+MS}}`, `{{NOW-MS}}`.
    fn time_of(&self, text: &str) -> Option<i64> {
        let offset = text.strip_prefix("{{NOW")?.strip_suffix("}}")?;
        Some(self.now_ms + if offset.is_empty() { 0 } else { offset.parse::<i64>().ok()? })
    }
}

/// Runs every step of a case.
pub(crate) fn execute(case: &Case, binary: &Path) -> io::Result<Run> {
    let home = tempfile::Builder::new().prefix("conformance-").tempdir()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let log = Log::default();
    let mut routes = Vec::new();
    let mut servers = BTreeMap::new();
    for (name, spec) in &case.servers {
        let shared = Arc::new(Mutex::new(Value::Null));
        let server = Server::start(name, Arc::clone(&shared), &log)?;
        servers.insert(name.clone(), format!("http://{}", server.address));
        routes.push((shared, spec));
    }
    let now_ms = i64::try_from(now.as_millis()).unwrap_or_default();
    let context = Context { home: home.path().canonicalize()?, now_ms, servers };
    for (shared, spec) in routes {
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = context.fill(spec);
    }
    for (path, content) in &case.files {
        put(&context.home.join(path), &context.fill(content))?;
    }
    let printed = case.run.iter().map(|step| run_step(case, step, binary, &context)).collect::<io::Result<_>>()?;
    let arrived = log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Run { context, printed, arrived, _home: home })
}

fn put(path: &Path, content: &Value) -> io::Result<()> {
    let field = |name: &str| content.get(name);
    let mode = |default: u32| {
        field("$mode").and_then(Value::as_str).and_then(|m| u32::from_str_radix(m, 8).ok()).unwrap_or(default)
    };
    make_dir(path.parent().unwrap_or(path))?;
    if field("$dir").is_some() {
        make_dir(path)?;
        return fs::set_permissions(path, fs::Permissions::from_mode(mode(0o700)));
    }
    if let Some(target) = field("$link").and_then(Value::as_str) {
        return symlink(target, path);
    }
    let text = match (field("$text"), field("$json"), content) {
        (Some(Value::String(text)), ..) | (None, None, Value::String(text)) => text.clone(),
        (None, Some(json), _) | (None, None, json) => format!("{}\n", serde_json::to_string_pretty(json)?),
        _ => return Err(io::Error::other("a file is neither text nor JSON")),
    };
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode(0o600)))
}

fn make_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn run_step(case: &Case, step: &Step, binary: &Path, context: &Context) -> io::Result<Printed> {
    let cwd = context.home.join(step.cwd.as_deref().unwrap_or("."));
    make_dir(&cwd)?;
    let mut command = Command::new(binary);
    command
        .args(step.args.iter().map(|arg| context.fill_text(arg)))
        .current_dir(cwd)
        .env_clear()
        .env("HOME", &context.home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("TERM", "xterm"), ("LANG", "C.UTF-8"), ("NO_COLOR", "1")])
        .envs(case.env.iter().chain(&step.env).map(|(name, value)| (name, context.fill_text(value))));
    if let Some(script) = &step.tty {
        return run_on_terminal(command, script, context);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(context.fill_text(&step.stdin).as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let done = child.wait_with_output()?;
    Ok(Printed {
        exit: done.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// How long a step on a terminal may wait for anything, in milliseconds. It ends a test that would hang; no verdict
/// depends on it.
const TERMINAL_MS: u64 = 60_000;

fn run_on_terminal(command: Command, script: &[(String, String)], context: &Context) -> io::Result<Printed> {
    let failed = |error: rexpect::error::Error| io::Error::other(error.to_string());
    let mut session = rexpect::session::spawn_command(command, Some(TERMINAL_MS)).map_err(failed)?;
    let mut shown = String::new();
    for (wait, answer) in script {
        let wait = context.fill_text(wait);
        match session.exp_string(&wait) {
            Ok(before) => shown.push_str(&before),
            // The program ended before it asked: what it said is judged like anything else.
            Err(rexpect::error::Error::EOF { got, .. }) => {
                shown.push_str(&got);
                break;
            }
            Err(error) => return Err(failed(error)),
        }
        shown.push_str(&wait);
        session.send(&context.fill_text(answer)).map_err(failed)?;
        session.flush().map_err(failed)?;
    }
    shown.push_str(&session.exp_eof().unwrap_or_default());
    let status = session.process.wait().map_err(failed)?;
    let exit = match status {
        rexpect::process::wait::WaitStatus::Exited(_, code) => code,
        _ => -1,
    };
    Ok(Printed { exit, stdout: without_styles(&shown), stderr: String::new() })
}

/// The text without the sequences that move the cursor and set colours.
fn without_styles(text: &str) -> String {
    let sequences = fancy_regex::Regex::new("\u{1b}\\[[0-9;?]*[A-Za-z]|\u{1b}\\][^\u{7}]*\u{7}|\u{1b}[()][A-Z0-9]");
    sequences.map_or_else(|_| text.to_owned(), |sequences| sequences.replace_all(text, "").into_owned())
}
