//! The files of the auth monitor: what it remembers, and what it writes for others (spec 06 section 14).

use std::io;
use std::path::{Path, PathBuf};

use auth_core::monitor::{Memory, MemoryError};

use crate::host::Host;
use crate::layout::StateLayout;
use crate::lock::{LockError, LockGuard, lock, lock_unless};
use crate::replace::{WriteError, make_parent, replace, replace_open};
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// The largest memory that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How often a busy memory is asked for: about ten seconds, longer than a pass without messages takes.
const LOOKS: u32 = 7;

/// What the monitor remembers: `auth-monitor.json` of the state directory.
pub fn monitor_memory_path(layout: &StateLayout) -> PathBuf {
    layout.state_dir().join("auth-monitor.json")
}

/// The channels of installed units: `auth-monitor.env` of the state directory.
pub fn monitor_env_path(layout: &StateLayout) -> PathBuf {
    layout.state_dir().join("auth-monitor.env")
}

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorMemoryError {
    /// The file cannot be read; it stays as it is.
    #[error("{} {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        why: String,
    },
    /// What stands in it is no memory, or one of a later program.
    #[error("{} {error}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: MemoryError,
    },
}

/// Reads the memory; an empty one when there is no file.
///
/// # Errors
///
/// When the file cannot be read or does not hold a memory. It is never changed here.
pub fn read_monitor_memory(path: &Path, host: &dyn Host) -> Result<Memory, MonitorMemoryError> {
    let unreadable = |why: String| MonitorMemoryError::Unreadable { path: path.to_owned(), why };
    let bytes = match host.read(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
        Err(error) => return Err(unreadable(reason(&error))),
    };
    let content = |error| MonitorMemoryError::Content { path: path.to_owned(), error };
    let text = std::str::from_utf8(&bytes).map_err(|_| content(MemoryError::Corrupt("it is not UTF-8".to_owned())))?;
    Memory::parse(text).map_err(content)
}

/// Takes the lock of the memory; `None` when another pass keeps it for long.
///
/// # Errors
///
/// When the state directory cannot be written.
pub fn lock_monitor_memory<'a>(path: &Path, host: &'a dyn WriteHost) -> Result<Option<LockGuard<'a>>, LockError> {
    if let Err(error) = make_parent(path, host) {
        return Err(LockError::Refused { path: path.to_owned(), why: error.why });
    }
    let mut looks = 0;
    lock_unless(path, host, &mut || {
        looks += 1;
        looks > LOOKS
    })
}

/// Moves a file that is no memory out of the way, to `auth-monitor.json.bad`.
///
/// # Errors
///
/// When the directory does not allow it.
pub fn set_bad_memory_aside(_guard: &LockGuard<'_>, path: &Path, host: &dyn WriteHost) -> Result<PathBuf, WriteError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".bad");
    let bad = PathBuf::from(name);
    host.rename(path, &bad).map_err(|error| WriteError::new(path, &error))?;
    Ok(bad)
}

/// Writes a file for its owner alone, under its lock.
///
/// # Errors
///
/// When it cannot be locked or written; the old content is there then.
pub fn write_private(path: &Path, bytes: &[u8], host: &dyn WriteHost) -> Result<(), WriteError> {
    make_parent(path, host)?;
    let guard = lock(path, host).map_err(|error| WriteError { path: path.to_owned(), why: error.to_string() })?;
    replace(&guard, path, bytes, host)
}

/// Writes a file that everybody may read, 0644: metrics and units. Readers see the old content or the new one.
///
/// # Errors
///
/// When its directory does not exist or cannot be written; the old content is there then.
pub fn write_public(path: &Path, bytes: &[u8], host: &dyn WriteHost) -> Result<(), WriteError> {
    replace_open(path, bytes, 0o644, host)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::write_host::faulty::{Fault, FaultyHost};

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    /// At every step, every kind of failure: readers see the old metrics or the new ones, whole.
    #[test]
    fn kill_matrix_of_the_metrics() {
        for step in 0..10 {
            for fault in [Fault::Error(step, 28), Fault::Error(step, 13), Fault::Kill(step)] {
                let dir = tempfile::tempdir().unwrap();
                let host = FaultyHost::new(dir.path());
                let path = dir.path().join("auth.prom");
                std::fs::write(&path, "old\n").unwrap();
                host.fault.set(fault);
                let result = write_public(&path, b"new content\n", &host);
                let now = std::fs::read(&path).unwrap();
                assert!(now == b"old\n" || now == b"new content\n", "{fault:?}: torn");
                if result.is_ok() {
                    assert_eq!((now.as_slice(), mode(&path)), (&b"new content\n"[..], 0o644), "{fault:?}");
                }
                let others = files(dir.path()).into_iter().filter(|file| *file != path);
                // The collector of node_exporter reads every file with this ending.
                assert!(others.into_iter().all(|file| file.extension().is_some_and(|end| end == "tmp")), "{fault:?}");
            }
        }
    }

    #[test]
    fn the_memory_is_private_and_survives_what_it_does_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let path = dir.path().join("st/auth-monitor.json");
        assert_eq!(read_monitor_memory(&path, &host).unwrap(), Memory::default());
        let text = r#"{"version":1,"lastRunAt":5,"items":{"main/a":{"status":"ok","since":1,"notifiedStatus":null,"notifiedAt":null,"x":[1]}},"y":2}"#;
        write_private(&path, text.as_bytes(), &host).unwrap();
        let memory = read_monitor_memory(&path, &host).unwrap();
        write_private(&path, memory.to_text().as_bytes(), &host).unwrap();
        assert_eq!(mode(&path), 0o600);
        let now = std::fs::read_to_string(&path).unwrap();
        let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parsed(&now), parsed(text));
    }

    #[test]
    fn what_is_no_memory_is_told_from_what_is_newer() {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let path = dir.path().join("auth-monitor.json");
        for (text, corrupt) in
            [("{", true), ("[]", true), ("{}", true), (r#"{"version":1,"items":3}"#, true), (r#"{"version":2}"#, false)]
        {
            std::fs::write(&path, text).unwrap();
            let error = read_monitor_memory(&path, &host).unwrap_err();
            let found = matches!(error, MonitorMemoryError::Content { error: MemoryError::Corrupt(_), .. });
            assert_eq!(found, corrupt, "{text}: {error}");
        }
        let guard = lock_monitor_memory(&path, &host).unwrap().unwrap();
        let bad = set_bad_memory_aside(&guard, &path, &host).unwrap();
        assert!(bad.exists() && !path.exists());
    }
}
