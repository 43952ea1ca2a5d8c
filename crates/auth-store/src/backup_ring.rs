//! The last states of a file, beside it: `.bak`, `.bak.1` to `.bak.4`, each for its owner alone (spec 01 section 4).

use std::path::{Path, PathBuf};

use crate::lock::LockGuard;
use crate::replace::{WriteError, replace};
use crate::write_host::WriteHost;

/// How many are kept.
pub(crate) const BACKUPS: usize = 5;

/// The name of the nth backup of a file, the latest being 0.
pub fn backup_name(path: &Path, n: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(if n == 0 { ".bak".to_owned() } else { format!(".bak.{n}") });
    PathBuf::from(name)
}

/// Moves the ring on by one and puts the present content first. Other files of similar names are not touched.
///
/// # Errors
///
/// When a name cannot be changed, or the backup cannot be written. The file itself is as it was.
pub(crate) fn back_up(
    guard: &LockGuard<'_>,
    path: &Path,
    content: &[u8],
    host: &dyn WriteHost,
) -> Result<(), WriteError> {
    for n in (1..BACKUPS).rev() {
        let from = backup_name(path, n - 1);
        if host.exists(&from) {
            host.rename(&from, &backup_name(path, n)).map_err(|error| WriteError::new(&from, &error))?;
        }
    }
    replace(guard, &backup_name(path, 0), content, host)
}
