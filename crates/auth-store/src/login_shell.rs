//! Asking the login shell for its variables (spec 01 section 2.5).

use std::path::Path;

use auth_core::Secret;

use crate::program::{self, Ending, Program};

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

/// The most that is read, in bytes.
const MAX_OUTPUT: u64 = 2 * 1024 * 1024;

/// Runs `<shell> -l -c 'env -0'` in a process group of its own and returns what it prints.
pub(crate) fn run(shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError> {
    let program = Program {
        path: Path::new(shell.program),
        args: vec!["-l", "-c", "env -0"],
        environment: shell.environment.iter().map(|(name, value)| (*name, Secret::new(*value))).collect(),
        dir: Path::new("."),
        input: None,
        timeout_ms: shell.timeout_ms,
        silence_ms: shell.timeout_ms,
        max_output: MAX_OUTPUT,
    };
    let failed = |what: &str, why: &dyn std::fmt::Display| Err(LoginShellError::Failed(format!("{what}: {why}")));
    let Some(ended) = program::run_all(&[program], 1).pop() else { return failed("cannot start", &"unknown") };
    match ended.ending {
        Ending::Exited(Some(0)) => Ok(ended.output.to_vec()),
        Ending::Exited(Some(code)) => failed("the shell ended", &format_args!("exit code {code}")),
        Ending::Exited(None) => failed("the shell ended", &"by a signal"),
        Ending::TimedOut | Ending::Silent => Err(LoginShellError::TimedOut(shell.timeout_ms)),
        Ending::TooMuchOutput => Err(LoginShellError::TooMuchOutput),
        Ending::NotStarted(why) => failed("cannot start", &why),
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
