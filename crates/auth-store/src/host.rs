//! The machine behind one value, so that a test never touches the real one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_core::Timestamp;

use crate::login_shell::{self, LoginShell, LoginShellError};
use crate::program::{self, Ended, Ending, Program};
use crate::secure_file::{self, FileFacts, PathFacts, PathKind};

/// What this crate asks of the machine. Everything here reads; nothing writes.
pub trait Host {
    /// The variables of the process; those that are not UTF-8 are left out.
    fn variables(&self) -> Vec<(String, String)>;
    /// The names of those that were left out.
    fn unreadable_variables(&self) -> Vec<String> {
        Vec::new()
    }
    /// The current directory.
    fn current_dir(&self) -> PathBuf;
    /// The home directory of the account, whatever the variables say.
    fn account_home(&self) -> Option<PathBuf>;
    /// The time.
    fn now(&self) -> Timestamp;
    /// Reads a regular file of at most `limit` bytes, following links.
    ///
    /// # Errors
    ///
    /// When there is no such file, it is no regular file, it is larger, or it may not be read.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// Whether something is there, following links.
    fn exists(&self, path: &Path) -> bool;
    /// The path with every link resolved.
    ///
    /// # Errors
    ///
    /// When nothing is there, or links form a loop.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf>;
    /// Opens a file without following a link in its last component, and reads it with what is known about it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); a link is an error too, and so is taking longer than `timeout_ms` milliseconds.
    fn read_secure(&self, path: &Path, limit: u64, timeout_ms: u64) -> io::Result<(FileFacts, Vec<u8>)>;
    /// What is known about a path, links not followed.
    ///
    /// # Errors
    ///
    /// When nothing is there, or a directory above may not be searched.
    fn facts(&self, path: &Path) -> io::Result<PathFacts>;
    /// When a file was last changed; `None` when it is not there or that is not known.
    fn changed_at(&self, path: &Path) -> Option<Timestamp> {
        let _ = path;
        None
    }
    /// A text of the system itself, such as its list of mounts; `None` when it has none.
    fn read_system(&self, path: &str) -> Option<String> {
        let _ = path;
        None
    }
    /// The names in a directory, sorted; none when it cannot be read.
    fn names_in(&self, dir: &Path) -> Vec<PathBuf>;
    /// Runs programs, at most `at_once` at the same time, and gives their ends in the same order.
    fn run_programs(&self, programs: &[Program<'_>], at_once: usize) -> Vec<Ended>;
    /// The id of the user we run as.
    fn user_id(&self) -> u32;
    /// Asks the login shell for its variables, as `env -0` prints them.
    ///
    /// # Errors
    ///
    /// When it cannot be started, fails, prints too much or takes too long.
    fn run_login_shell(&self, shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError>;
}

/// A machine on which some files are other than they are, or not there: to see what reading would give.
#[derive(Clone, Copy)]
pub struct Overlay<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The files that differ, with their content; `None` is a file that is not there.
    pub files: &'a [(PathBuf, Option<&'a [u8]>)],
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(path, _)| path)).finish()
    }
}

impl<'a> Overlay<'a> {
    /// How a file differs.
    fn other(&self, path: &Path) -> Laid<'a> {
        let real = |path: &Path| self.host.real_path(path).ok();
        let same = |known: &Path| known == path || real(known).is_some_and(|known| Some(known) == real(path));
        match self.files.iter().find(|(known, _)| same(known)) {
            None => Laid::Nothing,
            Some((_, None)) => Laid::Hidden,
            Some((_, Some(content))) => Laid::Content(content),
        }
    }
}

/// What an overlay lays over a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Laid<'a> {
    Nothing,
    /// The file is not there.
    Hidden,
    Content(&'a [u8]),
}

impl Host for Overlay<'_> {
    fn variables(&self) -> Vec<(String, String)> {
        self.host.variables()
    }
    fn unreadable_variables(&self) -> Vec<String> {
        self.host.unreadable_variables()
    }
    fn current_dir(&self) -> PathBuf {
        self.host.current_dir()
    }
    fn account_home(&self) -> Option<PathBuf> {
        self.host.account_home()
    }
    fn now(&self) -> Timestamp {
        self.host.now()
    }
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        match self.other(path) {
            Laid::Nothing => self.host.read(path, limit),
            Laid::Hidden => Err(io::ErrorKind::NotFound.into()),
            Laid::Content(content) => Ok(content.to_vec()),
        }
    }
    fn exists(&self, path: &Path) -> bool {
        match self.other(path) {
            Laid::Nothing => self.host.exists(path),
            other => other != Laid::Hidden,
        }
    }
    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        match self.other(path) {
            Laid::Hidden => Err(io::ErrorKind::NotFound.into()),
            // The directory of a file that does not exist yet is the machine's to know.
            _ => self.host.real_path(path),
        }
    }
    fn read_secure(&self, path: &Path, limit: u64, timeout_ms: u64) -> io::Result<(FileFacts, Vec<u8>)> {
        match self.other(path) {
            Laid::Nothing => self.host.read_secure(path, limit, timeout_ms),
            Laid::Hidden => Err(io::ErrorKind::NotFound.into()),
            Laid::Content(content) => {
                let facts = FileFacts { mode: 0o600, owner: self.user_id(), hard_links: 1 };
                Ok((facts, content.to_vec()))
            }
        }
    }
    fn facts(&self, path: &Path) -> io::Result<PathFacts> {
        match self.other(path) {
            Laid::Hidden => Err(io::ErrorKind::NotFound.into()),
            _ => self.host.facts(path),
        }
    }
    fn changed_at(&self, path: &Path) -> Option<Timestamp> {
        self.host.changed_at(path)
    }
    fn read_system(&self, path: &str) -> Option<String> {
        self.host.read_system(path)
    }
    fn names_in(&self, dir: &Path) -> Vec<PathBuf> {
        self.host.names_in(dir).into_iter().filter(|path| self.other(path) != Laid::Hidden).collect()
    }
    fn run_programs(&self, programs: &[Program<'_>], at_once: usize) -> Vec<Ended> {
        self.host.run_programs(programs, at_once)
    }
    fn user_id(&self) -> u32 {
        self.host.user_id()
    }
    fn run_login_shell(&self, shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError> {
        self.host.run_login_shell(shell)
    }
}

/// The machine itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealHost;

impl Host for RealHost {
    fn variables(&self) -> Vec<(String, String)> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn unreadable_variables(&self) -> Vec<String> {
        std::env::vars_os()
            .filter(|(_, value)| value.to_str().is_none())
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }

    fn current_dir(&self) -> PathBuf {
        std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
    }

    fn account_home(&self) -> Option<PathBuf> {
        std::env::home_dir().filter(|home| home.is_absolute())
    }

    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        secure_file::read(path, limit, secure_file::Links::Follow).map(|(_, bytes)| bytes)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        path.canonicalize()
    }

    fn read_secure(&self, path: &Path, limit: u64, timeout_ms: u64) -> io::Result<(FileFacts, Vec<u8>)> {
        let timeout = Duration::from_millis(timeout_ms);
        secure_file::read_within(path, limit, secure_file::Links::Refuse, Some(timeout))
    }

    fn facts(&self, path: &Path) -> io::Result<PathFacts> {
        PathFacts::of(path)
    }

    fn changed_at(&self, path: &Path) -> Option<Timestamp> {
        let changed = std::fs::symlink_metadata(path).ok()?.modified().ok()?;
        let since = changed.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok().map(Timestamp::from_ms)
    }

    fn read_system(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    fn names_in(&self, dir: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten();
        let mut names: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.sort();
        names
    }

    fn run_programs(&self, programs: &[Program<'_>], at_once: usize) -> Vec<Ended> {
        program::run_all(programs, at_once)
    }

    fn user_id(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn run_login_shell(&self, shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError> {
        login_shell::run(shell)
    }
}

/// A machine made of maps: for tests and for programs that keep credentials elsewhere.
#[derive(Clone, Debug)]
pub struct MapHost {
    /// Variables of the process.
    pub variables: BTreeMap<String, String>,
    /// Files by absolute path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// The current directory.
    pub current_dir: PathBuf,
    /// The time.
    pub now: Timestamp,
    /// What the login shell answers; `None` makes it fail.
    pub login_shell: Option<Vec<u8>>,
    /// What programs print, by their path.
    pub programs: BTreeMap<PathBuf, Vec<u8>>,
}

impl MapHost {
    /// A machine with a home directory and nothing in it.
    pub fn new(home: &str) -> Self {
        Self {
            variables: BTreeMap::from([("HOME".to_owned(), home.to_owned())]),
            files: BTreeMap::new(),
            current_dir: PathBuf::from(home),
            now: Timestamp::from_ms(1_800_000_000_000),
            login_shell: None,
            programs: BTreeMap::new(),
        }
    }

    /// Adds a program that prints this, whatever it is asked.
    #[must_use]
    pub fn program(mut self, path: &str, output: impl Into<Vec<u8>>) -> Self {
        self.programs.insert(PathBuf::from(path), output.into());
        self.file(path, "")
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(PathBuf::from(path), content.into());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Host for MapHost {
    fn variables(&self) -> Vec<(String, String)> {
        self.variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn current_dir(&self) -> PathBuf {
        self.current_dir.clone()
    }

    fn account_home(&self) -> Option<PathBuf> {
        None
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.files.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, secure_file::too_large(limit)));
        }
        Ok(bytes)
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.keys().any(|file| file.starts_with(path))
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        if self.exists(path) { Ok(path.to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn read_secure(&self, path: &Path, limit: u64, _timeout_ms: u64) -> io::Result<(FileFacts, Vec<u8>)> {
        let facts = FileFacts { mode: 0o600, owner: self.user_id(), hard_links: 1 };
        self.read(path, limit).map(|bytes| (facts, bytes))
    }

    fn facts(&self, path: &Path) -> io::Result<PathFacts> {
        let (kind, mode) = match (self.files.contains_key(path), self.exists(path)) {
            (true, _) => (PathKind::File, if self.programs.contains_key(path) { 0o700 } else { 0o600 }),
            (false, true) => (PathKind::Directory, 0o700),
            (false, false) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(PathFacts { kind, mode, owner: self.user_id() })
    }

    fn names_in(&self, dir: &Path) -> Vec<PathBuf> {
        let below = self.files.keys().filter_map(|path| path.strip_prefix(dir).ok()?.components().next());
        let mut names: Vec<PathBuf> = below.map(|name| dir.join(name)).collect();
        names.dedup();
        names
    }

    fn run_programs(&self, programs: &[Program<'_>], _at_once: usize) -> Vec<Ended> {
        let run = |program: &Program<'_>| match self.programs.get(program.path) {
            Some(output) => Ended { ending: Ending::Exited(Some(0)), output: output.clone().into() },
            None => Ended { ending: Ending::NotStarted("does not exist".to_owned()), output: Vec::new().into() },
        };
        programs.iter().map(run).collect()
    }

    fn user_id(&self) -> u32 {
        1000
    }

    fn run_login_shell(&self, _shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError> {
        self.login_shell.clone().ok_or(LoginShellError::Failed("no shell".to_owned()))
    }
}
