//! Asking the login shell for its variables (spec 01 section 2.5).

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};

/// What to run.
#[derive(Debug)]
pub struct LoginShell<'a> {
    /// The shell, an absolute path.
    pub program: &'a str,
    /// Its whole environment.
    pub environment: Vec<(&'a str, &'a str)>,
    /// Time limit in milliseconds, from the start until the shell is gone.
    pub timeout_ms: u64,
}

/// Why the login shell gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginShellError {
    /// It did not start or ended with an error.
    #[error("{0}")]
    Failed(String),
    /// It took too long and was ended.
    #[error("timed out after {0}ms")]
    TimedOut(u64),
    /// It printed more than 2 MiB.
    #[error("printed more than 2 MiB")]
    TooMuchOutput,
}

const MAX_OUTPUT: usize = 2 * 1024 * 1024;

/// Runs `<shell> -l -c 'env -0'` in a process group of its own and returns what it prints.
pub(crate) fn run(shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| LoginShellError::Failed(format!("{what}: {error}"));
    let deadline = Instant::now() + Duration::from_millis(shell.timeout_ms);
    let mut child = Command::new(shell.program)
        .args(["-l", "-c", "env -0"])
        .env_clear()
        .envs(shell.environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| failed("cannot start", &error))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut output = Vec::new();
    let read = match child.stdout.take() {
        Some(mut pipe) => read_until(&mut pipe, deadline, shell.timeout_ms, &mut output),
        None => Ok(()),
    };
    let status = read.and_then(|()| {
        loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                Ok(None) => break Err(LoginShellError::TimedOut(shell.timeout_ms)),
                Err(error) => break Err(failed("cannot wait", &error)),
            }
        }
    });
    match status {
        Ok(status) if status.success() => Ok(output),
        Ok(status) => Err(failed("the shell ended", &status)),
        Err(error) => {
            if let Some(group) = group {
                // Best effort: the group may be gone already.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            Err(error)
        }
    }
}

fn read_until(
    pipe: &mut std::process::ChildStdout,
    deadline: Instant,
    timeout_ms: u64,
    output: &mut Vec<u8>,
) -> Result<(), LoginShellError> {
    let mut buffer = [0_u8; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&*pipe, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Err(LoginShellError::TimedOut(timeout_ms)),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(LoginShellError::Failed(error.to_string())),
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => output.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LoginShellError::Failed(error.to_string())),
        }
        if output.len() > MAX_OUTPUT {
            return Err(LoginShellError::TooMuchOutput);
        }
    }
}

/// The variables in what `env -0` printed; what a noisy start-up file printed before sticks to the first name and
/// drops out with it.
pub(crate) fn parse_env0(bytes: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    bytes.split(|b| *b == 0).filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout_ms: u64) -> Result<Vec<u8>, LoginShellError> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("shell");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        run(&LoginShell { program: program.to_str().unwrap(), environment: vec![("A", "1")], timeout_ms })
    }

    #[test]
    fn gives_what_the_shell_prints() {
        let out = shell("printf 'A=%s\\0B=x=y\\0' \"$A\"", 10_000).unwrap();
        assert_eq!(parse_env0(&out).collect::<Vec<_>>(), [("A", "1"), ("B", "x=y")]);
    }

    #[test]
    fn failures_and_floods_and_hangs_end() {
        assert!(matches!(shell("exit 3", 10_000), Err(LoginShellError::Failed(_))));
        assert!(matches!(shell("head -c 3000000 /dev/zero", 10_000), Err(LoginShellError::TooMuchOutput)));
        assert!(matches!(shell("sleep 600 & wait", 50), Err(LoginShellError::TimedOut(50))));
        assert!(matches!(shell("exec >&-; sleep 600", 50), Err(LoginShellError::TimedOut(50))));
    }
}
