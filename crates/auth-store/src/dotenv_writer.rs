//! Putting a variable into a `.env` file (spec 01 section 2): one entry, everything else as it was.

use std::io;
use std::path::{Path, PathBuf};

use auth_core::{DotenvEntry, Secret, is_variable_name, parse_dotenv};

use crate::lock::{LockError, lock};
use crate::replace::{WriteError, make_parent, replace};
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// The most that is read of a `.env` file, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a `.env` file was not changed. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DotenvWriteError {
    /// The lock was not had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        why: String,
    },
    /// The entry cannot be put there without touching another.
    #[error("{} cannot be edited safely; add {name} by hand", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// The variable.
        name: String,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What stood in a `.env` file before a variable was set.
#[derive(Clone)]
pub struct DotenvUndo {
    path: PathBuf,
    old: Secret,
}

impl std::fmt::Debug for DotenvUndo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DotenvUndo").field("path", &self.path).finish_non_exhaustive()
    }
}

impl DotenvUndo {
    /// Puts the old text back.
    ///
    /// # Errors
    ///
    /// When the file cannot be locked or written.
    pub fn undo(&self, host: &dyn WriteHost) -> Result<(), DotenvWriteError> {
        let guard = lock(&self.path, host)?;
        replace(&guard, &self.path, self.old.reveal().as_bytes(), host)?;
        Ok(())
    }
}

/// Sets a variable in a `.env` file, which is made if it is not there and is 0600 afterwards.
///
/// # Errors
///
/// When the file cannot be locked, read or written, or no spelling of the value is read back as the value.
pub fn set_dotenv_variable(
    path: &Path,
    name: &str,
    value: &Secret,
    host: &dyn WriteHost,
) -> Result<DotenvUndo, DotenvWriteError> {
    make_parent(path, host)?;
    let guard = lock(path, host)?;
    let unreadable = |why: String| DotenvWriteError::Read { path: path.to_owned(), why };
    let old = match host.read(path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".to_owned()))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unreadable(reason(&error))),
    };
    let new = with_variable(&old, name, value.reveal())
        .ok_or_else(|| DotenvWriteError::Unsafe { path: path.to_owned(), name: name.to_owned() })?;
    if new != old {
        replace(&guard, path, new.as_bytes(), host)?;
    }
    Ok(DotenvUndo { path: path.to_owned(), old: Secret::new(old) })
}

/// The text with the variable set. `None` when no way to write it is read back as it should be.
fn with_variable(text: &str, name: &str, value: &str) -> Option<String> {
    if !is_variable_name(name) {
        return None;
    }
    let others = |entries: Vec<DotenvEntry>| -> Vec<(String, String)> {
        entries.into_iter().filter(|entry| entry.name != name).map(|entry| (entry.name, entry.value)).collect()
    };
    let before = others(parse_dotenv(text));
    let (text, place) = without(text, name)?;
    let quoted = ["", "'", "`", "\""].map(|quote| format!("{name}={quote}{value}{quote}"));
    quoted.into_iter().find_map(|line| {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let line = format!("{line}\n");
        let unfinished = place >= lines.len() && lines.last().is_some_and(|last| !last.ends_with('\n'));
        let at = place.min(lines.len());
        if unfinished {
            lines.push("\n");
        }
        lines.insert(if unfinished { lines.len() } else { at }, &line);
        let new = lines.concat();
        let entries = parse_dotenv(&new);
        let set = entries.iter().any(|entry| entry.name == name && entry.value == value);
        (set && others(entries) == before).then_some(new)
    })
}

/// The text without any entry of a variable, and the line where the last one stood.
fn without(text: &str, name: &str) -> Option<(String, usize)> {
    let mut text = text.to_owned();
    let mut place = usize::MAX;
    while let Some(entry) = parse_dotenv(&text).into_iter().find(|entry| entry.name == name) {
        let first = usize::try_from(entry.line).ok()?.checked_sub(1)?;
        let last = usize::try_from(entry.last_line).ok()?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let shorter = [lines.get(..first)?, lines.get(last..)?].concat().concat();
        text = shorter;
        place = first;
    }
    Some((text, place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::write_host::faulty::FaultyHost;

    #[test]
    fn one_entry_changes_and_the_rest_stays() {
        for (before, after) in [
            ("", "KEY=sk-test-1\n"),
            ("# mine\nA=1 # one\n", "# mine\nA=1 # one\nKEY=sk-test-1\n"),
            ("A=1", "A=1\nKEY=sk-test-1\n"),
            ("A=1\nKEY=old\nB=2\n", "A=1\nKEY=sk-test-1\nB=2\n"),
            ("export KEY='old\nlines'\nB=2", "KEY=sk-test-1\nB=2"),
            ("KEY=a\nA=1\nKEY=b\n", "KEY=sk-test-1\nA=1\n"),
        ] {
            assert_eq!(with_variable(before, "KEY", "sk-test-1").as_deref(), Some(after), "{before:?}");
        }
        assert_eq!(with_variable("", "KEY", "a b#c").as_deref(), Some("KEY='a b#c'\n"));
        assert_eq!(with_variable("", "KEY", "it's # `x`").as_deref(), Some("KEY=\"it's # `x`\"\n"));
        assert_eq!(with_variable("", "NO-NAME", "x"), None);
    }

    #[test]
    fn the_file_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let path = dir.path().join("state/.env");
        set_dotenv_variable(&path, "KEY", &Secret::new("sk-test-1"), &host).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let undo = set_dotenv_variable(&path, "KEY", &Secret::new("sk-test-2"), &host).unwrap();
        undo.undo(&host).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "KEY=sk-test-1\n");
    }

    proptest! {
        #[test]
        fn what_was_set_is_read_and_nothing_else_changes(
            text in "([A-C](=| = )[a-z #'\"`]{0,6}\n){0,4}",
            value in "[!-~]{1,12}",
        ) {
            if let Some(new) = with_variable(&text, "B", &value) {
                let read = |text: &str, name: &str| parse_dotenv(text).into_iter().find(|e| e.name == name).map(|e| e.value);
                prop_assert_eq!(read(&new, "B"), Some(value));
                prop_assert_eq!(read(&new, "A"), read(&text, "A"));
                prop_assert_eq!(read(&new, "C"), read(&text, "C"));
            }
        }
    }
}
