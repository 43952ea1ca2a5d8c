//! Changing several files together, on one condition: each still holds what the change was worked out on.

use std::path::{Path, PathBuf};

use crate::backup_ring::back_up;
use crate::lock::{LockError, LockGuard, lock};
use crate::replace::{Replacement, WriteError, make_parent, replace_all};
use crate::write_host::WriteHost;

/// The largest file that is compared, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// One file of a change.
#[derive(Clone)]
pub struct FileChange {
    /// Which one.
    pub path: PathBuf,
    /// The file whose lock guards it: itself, or the config for a file that it includes.
    pub guarded_by: PathBuf,
    /// What it must hold; `None` when it must not exist.
    pub before: Option<Vec<u8>>,
    /// What it will hold.
    pub after: Vec<u8>,
    /// Whether its present content goes into its ring of backups first.
    pub back_up: bool,
}

impl std::fmt::Debug for FileChange {
    /// Prints the path only: the contents may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileChange").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why files were not changed. All are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileChangeError {
    /// Somebody wrote one meanwhile.
    #[error("{} changed meanwhile and was left alone; run the command again", .0.display())]
    Changed(PathBuf),
    /// A lock was not had.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// One cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Changes the files: all of them, or none. Locks are taken in the order of the list, so stores come by agent id and the
/// config last (spec 01 section 7).
///
/// # Errors
///
/// When a file is not what it must be, or cannot be locked or written. None is changed then.
pub fn write_files(changes: &[FileChange], host: &dyn WriteHost) -> Result<(), FileChangeError> {
    let mut guards: Vec<(&Path, LockGuard<'_>)> = Vec::with_capacity(changes.len());
    for change in changes {
        if !guards.iter().any(|(path, _)| *path == change.guarded_by) {
            make_parent(&change.path, host)?;
            guards.push((&change.guarded_by, lock(&change.guarded_by, host)?));
        }
    }
    let guard_of = |change: &FileChange| guards.iter().find(|(path, _)| *path == change.guarded_by).map(|(_, g)| g);
    for change in changes {
        let same = match (host.read(&change.path, MAX_BYTES), &change.before) {
            (Ok(now), Some(before)) => now == *before,
            (Err(error), None) => error.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        };
        if !same {
            return Err(FileChangeError::Changed(change.path.clone()));
        }
    }
    for change in changes.iter().filter(|change| change.back_up) {
        if let (Some(before), Some(guard)) = (&change.before, guard_of(change)) {
            back_up(guard, &change.path, before, host)?;
        }
    }
    let files: Vec<Replacement<'_, '_>> = changes
        .iter()
        .filter_map(|change| {
            let (path, old, new) = (change.path.as_path(), change.before.as_deref(), change.after.as_slice());
            Some(Replacement { guard: guard_of(change)?, path, old, new })
        })
        .collect();
    Ok(replace_all(&files, host)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::backup_ring::backup_name;
    use crate::host::Host;
    use crate::write_host::faulty::{Fault, FaultyHost};

    struct Bench {
        dir: tempfile::TempDir,
        host: FaultyHost,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let bench = Self { host: FaultyHost::new(dir.path()), dir };
            std::fs::write(bench.path("a"), "a0").unwrap();
            std::fs::write(bench.path("b"), "b0").unwrap();
            bench
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.path(name)).unwrap_or_default()
        }

        fn change(&self, name: &str, before: Option<&str>, after: &str) -> FileChange {
            FileChange {
                path: self.path(name),
                guarded_by: self.path(name),
                before: before.map(|text| text.as_bytes().to_vec()),
                after: after.as_bytes().to_vec(),
                back_up: true,
            }
        }
    }

    #[test]
    fn all_change_and_leave_a_backup() {
        let bench = Bench::new();
        let changes = [bench.change("a", Some("a0"), "a1"), bench.change("c", None, "c1")];
        write_files(&changes, &bench.host).unwrap();
        assert_eq!((bench.text("a"), bench.text("a.bak"), bench.text("c")), ("a1".into(), "a0".into(), "c1".into()));
        assert!(!bench.path("c.bak").exists() && !bench.path("a.lock").exists());
    }

    #[test]
    fn what_changed_meanwhile_is_not_touched() {
        for changes in [
            |bench: &Bench| [bench.change("a", Some("a0"), "a1"), bench.change("b", Some("old"), "b1")],
            |bench: &Bench| [bench.change("a", Some("a0"), "a1"), bench.change("b", None, "b1")],
            |bench: &Bench| [bench.change("a", Some("a0"), "a1"), bench.change("gone", Some("x"), "b1")],
        ] {
            let bench = Bench::new();
            let result = write_files(&changes(&bench), &bench.host);
            assert!(matches!(result, Err(FileChangeError::Changed(_))), "{result:?}");
            assert_eq!(
                (bench.text("a"), bench.text("b"), bench.text("a.bak")),
                ("a0".into(), "b0".into(), String::new())
            );
        }
    }

    /// At every step, every kind of failure: each file is old or new and for its owner alone; after a failure that the
    /// process survives all are old, and what was there is always there somewhere.
    #[test]
    fn kill_matrix_of_two_files() {
        const FULL_DISK: i32 = 28;
        let changes = |bench: &Bench| [bench.change("a", Some("a0"), "a1"), bench.change("b", Some("b0"), "b1")];
        let steps = {
            let bench = Bench::new();
            write_files(&changes(&bench), &bench.host).unwrap();
            bench.host.steps.borrow().len()
        };
        assert!(steps > 20, "{steps}");
        for step in 0..steps {
            for fault in [Fault::Kill(step), Fault::Error(step, FULL_DISK)] {
                let bench = Bench::new();
                bench.host.fault.set(fault);
                let result = write_files(&changes(&bench), &bench.host);
                for (name, old, new) in [("a", "a0", "a1"), ("b", "b0", "b1")] {
                    let now = bench.text(name);
                    assert!(now == old || now == new, "{fault:?}: {name} is {now}");
                    let kept = now == old || bench.text(&format!("{name}.bak")) == old;
                    assert!(kept, "{fault:?}: {name} is lost");
                    if result.is_ok() {
                        assert_eq!(now, new, "{fault:?}");
                    } else if matches!(fault, Fault::Error(..)) {
                        assert_eq!(now, old, "{fault:?}");
                    }
                }
                for path in bench.host.names_in(bench.dir.path()) {
                    let written = path.extension().is_some_and(|end| end == "bak" || end == "tmp" || end == "lock");
                    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                    assert!(!written || mode == 0o600, "{fault:?}: {} has mode {mode:o}", path.display());
                }
                // The next run finds its way.
                bench.host.fault.set(Fault::None);
                let now = [bench.text("a"), bench.text("b")];
                let again = [bench.change("a", Some(&now[0]), "a2"), bench.change("b", Some(&now[1]), "b2")];
                write_files(&again, &bench.host).unwrap();
                assert_eq!(bench.text("a"), "a2");
                assert_eq!(backup_name(&bench.path("a"), 0), bench.path("a.bak"));
            }
        }
    }
}
