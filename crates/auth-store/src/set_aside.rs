//! Starting anew without losing what was there (spec 04 section 3.1, `--reset`).

use std::path::{Path, PathBuf};

use crate::lock::{LockError, lock};
use crate::replace::WriteError;
use crate::write_host::WriteHost;

/// Why something was not moved out of the way. It is where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetAsideError {
    /// Somebody is writing it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It cannot be renamed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Something that was moved out of the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was.
    pub from: PathBuf,
    /// Where it is.
    pub to: PathBuf,
}

impl SetAside {
    /// Puts it back, unless something else stands there now.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed.
    pub fn put_back(&self, host: &dyn WriteHost) -> Result<(), SetAsideError> {
        if host.exists(&self.from) {
            return Ok(());
        }
        host.rename(&self.to, &self.from).map_err(|error| WriteError::new(&self.to, &error))?;
        Ok(())
    }
}

/// Renames a file or directory to `<name>.reset-<epoch ms>`, closed to others, and gives the new name; `None` when it
/// does not exist.
///
/// # Errors
///
/// When its lock is kept by somebody else, or the directory above cannot be changed.
pub fn set_aside(path: &Path, host: &dyn WriteHost) -> Result<Option<SetAside>, SetAsideError> {
    if !host.exists(path) {
        return Ok(None);
    }
    let guard = lock(path, host)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".reset-{}", host.now().as_ms()));
    let aside = PathBuf::from(name);
    let failed = |error| WriteError::new(path, &error);
    host.rename(path, &aside).map_err(failed)?;
    let mode = if aside.is_dir() { 0o700 } else { 0o600 };
    host.set_mode(&aside, mode).map_err(failed)?;
    // The new name is in place; a failing sync of the names cannot undo that.
    let _ = host.sync_dir(path.parent().unwrap_or(path));
    drop(guard);
    Ok(Some(SetAside { from: path.to_owned(), to: aside }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::write_host::faulty::FaultyHost;

    #[test]
    fn files_and_directories_move_out_of_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let (file, folder) = (dir.path().join("openclaw.json"), dir.path().join("credentials"));
        std::fs::write(&file, "{}").unwrap();
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("oauth.json"), "{}").unwrap();
        for (path, mode) in [(&file, 0o600), (&folder, 0o700)] {
            let aside = set_aside(path, &host).unwrap().unwrap();
            assert!(!path.exists() && aside.to.to_string_lossy().contains(".reset-"));
            aside.put_back(&host).unwrap();
            assert!(path.exists() && !aside.to.exists());
            let aside = set_aside(path, &host).unwrap().unwrap();
            assert_eq!(aside.to.metadata().unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(set_aside(path, &host).unwrap(), None);
        }
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name.to_string_lossy().contains(".reset-")), "{left:?}");
    }
}
