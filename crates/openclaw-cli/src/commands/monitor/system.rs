//! What the monitor asks of the system: its name, programs, and who we are.

use std::path::{Path, PathBuf};

use auth_core::Secret;
use auth_store::{Ending, Host, Program};

use crate::commands::Session;

/// The name of this machine.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A program: a path, or a name that is looked up on `PATH`.
pub(super) fn find_program(session: &Session, name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(session.state.layout.user_path(name));
    }
    let path = std::env::var_os("PATH")?;
    let runs = |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(runs)
}

/// Variables that another program gets: ours, without any credential.
fn passed_on(session: &Session) -> Vec<(String, String)> {
    let keys = |name: &str| {
        auth_core::provider::PROVIDERS.iter().any(|info| info.env_vars.contains(&name))
            || ["_API_KEY", "_API_KEYS", "_TOKEN", "_SECRET", "_PASSWORD"].iter().any(|end| name.ends_with(end))
            || name.contains("_API_KEY_")
            || name.starts_with("OPENCLAW_LIVE_")
            || name.starts_with("NOTIFY_")
            || name.starts_with("AWS_")
    };
    session.host.variables().into_iter().filter(|(name, _)| !keys(name)).collect()
}

/// Runs a program to its end, at most so many milliseconds; what it printed comes back when it ended well.
pub(super) fn run_program(
    session: &Session,
    path: &Path,
    args: &[String],
    input: Option<String>,
    more: &[(&str, String)],
    timeout_ms: u64,
) -> Result<String, String> {
    let variables = passed_on(session);
    let more = more.iter().map(|(name, value)| (*name, value.as_str()));
    let environment = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(more);
    let program = Program {
        path,
        args: args.iter().map(String::as_str).collect(),
        environment: environment.map(|(name, value)| (name, Secret::new(value))).collect(),
        dir: Path::new("/"),
        input: input.map(Secret::new),
        timeout_ms,
        silence_ms: timeout_ms,
        max_output: 1024 * 1024,
    };
    let ended = session.host.run_programs(&[program], 1).pop().ok_or("it was interrupted")?;
    match ended.ending {
        Ending::Exited(Some(0)) => Ok(String::from_utf8_lossy(&ended.output).into_owned()),
        Ending::Exited(Some(code)) => Err(format!("exit code {code}")),
        Ending::Exited(None) => Err("a signal ended it".to_owned()),
        Ending::TimedOut | Ending::Silent => Err(format!("no end within {} s", timeout_ms / 1000)),
        Ending::TooMuchOutput => Err("it printed too much".to_owned()),
        Ending::NotStarted(why) => Err(format!("it does not start: {why}")),
    }
}
