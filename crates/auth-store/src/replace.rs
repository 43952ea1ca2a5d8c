//! Replacing a file so that at every moment the old or the new content is there (spec 01 section 5.3).

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::lock::LockGuard;
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// A write that did not happen: the file is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {why}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why, in words.
    pub why: String,
}

impl WriteError {
    pub(crate) fn new(path: &Path, error: &io::Error) -> Self {
        Self { path: path.to_owned(), why: reason(error) }
    }
}

/// Replaces a file, through a link if it is one: temporary file beside the target, one sync, rename, one sync of the
/// directory. The result is 0600, or 0400 when it was, and keeps its owner. The guard shows that the lock of the file
/// is held.
///
/// # Errors
///
/// When the disk is full, the directory cannot be written, the file belongs to somebody else, or links form a loop.
/// The old content is untouched then.
pub fn replace(guard: &LockGuard<'_>, path: &Path, bytes: &[u8], host: &dyn WriteHost) -> Result<(), WriteError> {
    Staged::prepare(guard, path, bytes, host)?.publish(host)
}

/// Replaces a file that others read, through a link if it is one, and gives it this mode. It has no lock: each writer's
/// content is whole, and the last one stays.
pub(crate) fn replace_open(path: &Path, bytes: &[u8], mode: u32, host: &dyn WriteHost) -> Result<(), WriteError> {
    let fail = |error: &io::Error| WriteError::new(path, error);
    let target = resolve_link(path).map_err(|error| fail(&error))?;
    remove_orphans(&target, host);
    let temporary = temporary_name(&target, host);
    let staged = Staged { path: path.to_owned(), target, temporary };
    let write = || {
        let file = host.create(&staged.temporary)?;
        host.write(&file, bytes)?;
        host.set_mode(&staged.temporary, mode)?;
        host.sync(&file)
    };
    match write() {
        Ok(()) => staged.publish(host),
        Err(error) => {
            staged.discard(host);
            Err(fail(&error))
        }
    }
}

/// Replaces or makes several files: all of them, or none. Their new content is on the disk before the first of them
/// takes its place; when a later one cannot, the earlier ones get their old content back.
///
/// # Errors
///
/// As [`replace`]; every file is as it was then, unless the disk fails for good while they are put back.
pub(crate) fn replace_all(files: &[Replacement<'_, '_>], host: &dyn WriteHost) -> Result<(), WriteError> {
    let mut staged = Vec::with_capacity(files.len());
    for file in files {
        match Staged::prepare(file.guard, file.path, file.new, host) {
            Ok(one) => staged.push(one),
            Err(error) => {
                for one in staged {
                    one.discard(host);
                }
                return Err(error);
            }
        }
    }
    let mut rest = staged.into_iter();
    for (done, one) in rest.by_ref().enumerate() {
        if let Err(error) = one.publish(host) {
            rest.for_each(|one| one.discard(host));
            for file in files[..done].iter().rev() {
                file.put_back(host);
            }
            return Err(error);
        }
    }
    Ok(())
}

/// One file of [`replace_all`].
pub(crate) struct Replacement<'g, 'a> {
    pub(crate) guard: &'g LockGuard<'a>,
    pub(crate) path: &'g Path,
    /// `None` when it does not exist yet.
    pub(crate) old: Option<&'g [u8]>,
    pub(crate) new: &'g [u8],
}

impl Replacement<'_, '_> {
    fn put_back(&self, host: &dyn WriteHost) {
        // The disk has just failed; more cannot be done than to try.
        let _ = match self.old {
            Some(old) => replace(self.guard, self.path, old, host),
            None => host.remove(self.path).map_err(|error| WriteError::new(self.path, &error)),
        };
    }
}

/// A file whose new content is on the disk under another name.
struct Staged {
    path: PathBuf,
    target: PathBuf,
    temporary: PathBuf,
}

impl Staged {
    fn prepare(_guard: &LockGuard<'_>, path: &Path, bytes: &[u8], host: &dyn WriteHost) -> Result<Self, WriteError> {
        let fail = |error: &io::Error| WriteError::new(path, error);
        let target = resolve_link(path).map_err(|error| fail(&error))?;
        remove_orphans(&target, host);
        let temporary = temporary_name(&target, host);
        let staged = Self { path: path.to_owned(), target, temporary };
        match write_temporary(&staged.temporary, &staged.target, bytes, host) {
            Ok(()) => Ok(staged),
            Err(error) => {
                staged.discard(host);
                Err(fail(&error))
            }
        }
    }

    fn publish(self, host: &dyn WriteHost) -> Result<(), WriteError> {
        if let Err(error) = host.rename(&self.temporary, &self.target) {
            let failed = WriteError::new(&self.path, &error);
            self.discard(host);
            return Err(failed);
        }
        // The new content is in place; a failing sync of the names cannot undo that.
        let _ = host.sync_dir(self.target.parent().unwrap_or(&self.target));
        Ok(())
    }

    fn discard(self, host: &dyn WriteHost) {
        let _ = host.remove(&self.temporary);
    }
}

fn write_temporary(temporary: &Path, target: &Path, bytes: &[u8], host: &dyn WriteHost) -> io::Result<()> {
    let file = host.create(temporary)?;
    if let Ok(old) = target.metadata() {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            host.set_owner(&file, old.uid(), old.gid()).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("it belongs to user {} and not to us", old.uid()),
                )
            })?;
        }
        // One that its owner may only read stays so.
        if old.mode() & 0o777 == 0o400 {
            host.set_mode(temporary, 0o400)?;
        }
    }
    host.write(&file, bytes)?;
    host.sync(&file)
}

/// The file that a link leads to, whether that exists or not.
fn resolve_link(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..40 {
        match at.read_link() {
            Ok(next) => at = at.parent().unwrap_or(&at).join(next),
            // Anything else than a link ends the search.
            Err(_) => return Ok(at),
        }
    }
    Err(io::Error::from_raw_os_error(rustix::io::Errno::LOOP.raw_os_error()))
}

/// `<target>.<pid>.<random>.tmp`: the process is in the name, so that a later run can tell what was left behind.
fn temporary_name(target: &Path, host: &dyn WriteHost) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}.{:016x}.tmp", std::process::id(), host.random()));
    PathBuf::from(name)
}

/// Removes temporary files of this target whose process is gone.
fn remove_orphans(target: &Path, host: &dyn WriteHost) {
    let (Some(dir), Some(name)) = (target.parent(), target.file_name().and_then(|name| name.to_str())) else { return };
    for path in host.names_in(dir) {
        let pid = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".tmp"))
            .and_then(|middle| middle.split_once('.'))
            .filter(|(_, random)| random.len() == 16 && random.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|(pid, _)| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !crate::lock::is_running(pid)) {
            let _ = host.remove(&path);
        }
    }
}

/// Makes the directory of a file, 0700, if it is not there.
pub(crate) fn make_parent(path: &Path, host: &dyn WriteHost) -> Result<(), WriteError> {
    let dir = path.parent().unwrap_or(path);
    if host.exists(dir) {
        return Ok(());
    }
    host.make_dir(dir).map_err(|error| WriteError::new(path, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::lock::lock;
    use crate::write_host::faulty::{Fault, FaultyHost};

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn writes_through_links_and_narrows_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o664)).unwrap();
        symlink("real", &link).unwrap();
        let guard = lock(&link, &host).unwrap();
        replace(&guard, &link, b"new", &host).unwrap();
        assert_eq!((std::fs::read(&real).unwrap().as_slice(), mode(&real)), (&b"new"[..], 0o600));
        assert!(link.symlink_metadata().unwrap().is_symlink());
        let syncs = host.steps.borrow().iter().filter(|step| step.starts_with("sync")).count();
        assert_eq!(syncs, 2, "one file sync and one directory sync");

        let around = dir.path().join("around");
        symlink("around", &around).unwrap();
        assert!(replace(&guard, &around, b"x", &host).unwrap_err().why.contains("loop"));
    }

    /// At every step, every kind of failure: old or new, never torn, never wider, nothing left behind.
    #[test]
    fn kill_matrix_of_one_write() {
        let errors = [28, 27, 5, 13, 30, 122]; // ENOSPC EFBIG EIO EACCES EROFS EDQUOT
        let mut rounds = 0;
        for step in 0..12 {
            let faults = errors.iter().map(|errno| Fault::Error(step, *errno)).chain([Fault::Kill(step)]);
            for fault in faults {
                let dir = tempfile::tempdir().unwrap();
                let host = FaultyHost::new(dir.path());
                let path = dir.path().join("store.json");
                std::fs::write(&path, "old").unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
                host.fault.set(fault);
                let result = lock(&path, &host).map(|guard| replace(&guard, &path, b"new content", &host));
                let now = std::fs::read(&path).unwrap();
                assert!(now == b"old" || now == b"new content", "{fault:?}: torn");
                if matches!(result, Ok(Ok(()))) {
                    assert_eq!(now, b"new content", "{fault:?}: reported as done");
                }
                for file in host_files(dir.path()) {
                    assert_eq!(mode(&file) & 0o077, 0, "{fault:?}: {} is open to others", file.display());
                }

                // The next run works and cleans up. A killed process is gone; its files carry its number.
                host.fault.set(Fault::None);
                pretend_dead(dir.path());
                let guard = lock(&path, &host).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
                replace(&guard, &path, b"next", &host).unwrap();
                drop(guard);
                assert_eq!(host_files(dir.path()), [path], "{fault:?}: something was left behind");
                rounds += 1;
            }
        }
        assert_eq!(rounds, 84);
    }

    /// Two files at every step, with every kind of failure: both old or both new, unless the process is gone between
    /// the two renames.
    #[test]
    fn several_files_change_together() {
        for step in 0..24 {
            for fault in [Fault::Error(step, 28), Fault::Error(step, 13), Fault::Kill(step)] {
                let dir = tempfile::tempdir().unwrap();
                let host = FaultyHost::new(dir.path());
                let (one, two) = (dir.path().join("one"), dir.path().join("two"));
                std::fs::write(&one, "old").unwrap();
                let guards = (lock(&one, &host).unwrap(), lock(&two, &host).unwrap());
                host.steps.borrow_mut().clear();
                host.fault.set(fault);
                let files = [
                    Replacement { guard: &guards.0, path: &one, old: Some(b"old"), new: b"new one" },
                    Replacement { guard: &guards.1, path: &two, old: None, new: b"new two" },
                ];
                let result = replace_all(&files, &host);
                let now = (std::fs::read(&one).unwrap(), std::fs::read(&two).ok());
                let all = (b"new one".to_vec(), Some(b"new two".to_vec()));
                let none = (b"old".to_vec(), None);
                if matches!(fault, Fault::Kill(_)) {
                    assert!(now == all || now == none || now == (all.0.clone(), None), "{fault:?}: {now:?}");
                } else {
                    assert_eq!(now, if result.is_ok() { all } else { none }, "{fault:?}");
                    host.fault.set(Fault::None);
                    drop(guards);
                    let left = host_files(dir.path()).len();
                    assert!(left <= 2, "{fault:?}: something was left behind");
                }
            }
        }
    }

    fn host_files(dir: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Gives what a killed process left the number of a process that does not exist.
    fn pretend_dead(dir: &Path) {
        let ours = std::process::id().to_string();
        for path in host_files(dir) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.extension().is_some_and(|end| end == "tmp") {
                std::fs::rename(&path, dir.join(name.replace(&format!(".{ours}."), ".999999999."))).unwrap();
            } else if path.extension().is_some_and(|end| end == "lock") {
                let text = std::fs::read_to_string(&path).unwrap().replace(&ours, "999999999");
                std::fs::write(&path, text).unwrap();
            }
        }
    }
}
