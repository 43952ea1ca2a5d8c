//! The program on a terminal of its own, with a person who types.

use std::fs::File;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rexpect::error::Error;
use rexpect::process::wait::WaitStatus;
use rexpect::session::PtySession;

use super::identity::Identity;
use super::sandbox::Sandbox;

/// Ends a test that hangs, in milliseconds; no verdict depends on it.
const LIMIT_MS: u64 = 120_000;

/// Says how the program ended and how it left the terminal. A trap, so that the shell outlives Ctrl-C.
const AROUND: &str = "trap : INT; stty sane cols 80 rows 24; \"$@\"; code=$?; echo; echo \"ended with $code\"; stty -a";

/// A program under way.
pub(crate) struct Terminal {
    session: PtySession,
    seen: String,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// All that was on the screen, without styles.
    pub(crate) screen: String,
    /// What `stty -a` says afterwards.
    pub(crate) modes: String,
}

impl Terminal {
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        Self::run(sandbox, &sandbox.command(arguments))
    }

    pub(crate) fn run(sandbox: &Sandbox, program: &Command) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(AROUND).arg("sh").arg(program.get_program()).args(program.get_args());
        command.env_clear().env("TERM", "xterm").env("NO_COLOR", "1").env("LANG", "C.UTF-8");
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(sandbox.path(""));
        let session = rexpect::session::spawn_command(command, Some(LIMIT_MS)).unwrap();
        Self { session, seen: String::new() }
    }

    /// Waits until this is on the screen; gives what came before it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        match self.session.exp_string(text) {
            Ok(before) => {
                self.seen.push_str(&before);
                self.seen.push_str(text);
                before
            }
            Err(Error::EOF { got, .. } | Error::Timeout { got, .. }) => {
                panic!("no {text:?} on the screen:\n{}", utf8(&format!("{}{got}", self.seen)))
            }
            Err(error) => panic!("{error}\n{}", self.seen),
        }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// Waits for a question, then types.
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        self.until(question);
        self.types(keys);
    }

    /// The address that the program shows.
    pub(crate) fn address(&mut self, begins: &str) -> String {
        self.until(begins);
        let rest = self.session.exp_regex(r"[ \r\n]").unwrap();
        self.seen.push_str(&rest.0);
        self.seen.push_str(&rest.1);
        format!("{begins}{}", rest.0)
    }

    /// Sends a signal to the program, and to nobody else on the terminal.
    #[cfg(target_os = "linux")]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let shell = self.session.process.child_pid;
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let program = children.split_whitespace().next().unwrap().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(program).unwrap(), signal).unwrap();
    }

    pub(crate) fn end(mut self) -> Ended {
        let rest = match self.session.exp_eof() {
            Ok(rest) => rest,
            Err(error) => panic!("it does not end: {error}\n{}", utf8(&self.seen)),
        };
        self.seen.push_str(&rest);
        let status = self.session.process.wait().unwrap();
        assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
        let seen = without_styles(&utf8(&self.seen));
        let (screen, rest) = seen.rsplit_once("ended with ").unwrap_or_else(|| panic!("no end:\n{seen}"));
        let (code, modes) = rest.split_once('\n').unwrap();
        Ended { code: code.trim().parse().unwrap(), screen: screen.to_owned(), modes: modes.to_owned() }
    }
}

impl Ended {
    /// The terminal is as it was: what is typed is shown, line by line, and Ctrl-C works.
    pub(crate) fn left_the_terminal_whole(&self) {
        for mode in ["icanon", "echo", "isig", "opost", "icrnl"] {
            let found = self.modes.split([' ', ';', '\r', '\n']).any(|word| word == mode);
            assert!(found, "{mode} is off:\n{}\n{}", self.modes, self.screen);
        }
    }

    pub(crate) fn was_cancelled(&self) {
        assert_eq!(self.code, 130, "{}", self.screen);
        assert!(self.screen.trim_end().ends_with("Cancelled."), "{}", self.screen);
        self.left_the_terminal_whole();
    }
}

/// Nothing secret is on a screen, in a file that is not the store, or in what the opener got.
pub(crate) fn keeps_secrets(sandbox: &Sandbox, identity: &Identity, screens: &[&str]) {
    for secret in identity.secrets() {
        for screen in screens {
            assert!(!screen.contains(&secret), "{secret} is on the screen:\n{screen}");
        }
        for (path, (_, _, content)) in sandbox.tree() {
            let home = path.ends_with("auth-profiles.json") || path.to_string_lossy().contains("node_modules");
            let found = String::from_utf8_lossy(&content).contains(&secret);
            assert!(home || !found, "{secret} is in {}", path.display());
        }
    }
}

/// What was read byte by byte, as text.
fn utf8(text: &str) -> String {
    let bytes: Vec<u8> = text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text without the sequences that move the cursor and set colours.
pub(crate) fn without_styles(text: &str) -> String {
    let sequences = "\u{1b}\\[[0-9;?]*[A-Za-z]|\u{1b}\\][^\u{7}]*\u{7}|\u{1b}[()][A-Z0-9]";
    fancy_regex::Regex::new(sequences).unwrap().replace_all(text, "").into_owned()
}

/// The fixed redirect ports belong to one test at a time, also across processes.
pub(crate) struct Ports {
    _threads: MutexGuard<'static, ()>,
    _processes: File,
}

impl Ports {
    pub(crate) fn take() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let threads = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let file = File::create(std::env::temp_dir().join("openclaw-login-ports.lock")).unwrap();
        file.lock().unwrap();
        // A test of another checkout may not know of the lock.
        for port in [1455, 8085, 1456] {
            let free = || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
            let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while !free() {
                assert!(std::time::Instant::now() < limit, "port {port} is taken by something else");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
        Self { _threads: threads, _processes: file }
    }
}
