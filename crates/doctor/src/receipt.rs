//! What a run changed, written down so that it can be put back (spec 06 section 12.1). No secret stands in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use auth_core::Timestamp;
use auth_store::{Host, WriteError, WriteHost, lock, replace};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of the file in the state directory.
pub const RECEIPT_FILE: &str = "doctor-receipt.json";
/// The largest receipt that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The largest file that is compared, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// What a run changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of the format.
    pub version: u32,
    /// When, in milliseconds since the epoch.
    pub at: i64,
    /// Whether it was put back.
    pub undone: bool,
    /// The changes, in order.
    pub items: Vec<Item>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Item {
    /// A file got new content.
    Write {
        /// Which one.
        path: PathBuf,
        /// Where its content before the run is.
        backup: Option<PathBuf>,
        /// Whether it existed before the run.
        existed: bool,
        /// Its permission bits before the run.
        mode: String,
        /// SHA-256 of its content before the run.
        before: Option<String>,
        /// SHA-256 of its content now.
        after: String,
    },
    /// Something was renamed.
    Rename {
        /// From this.
        from: PathBuf,
        /// To that.
        to: PathBuf,
    },
    /// Something was closed to others.
    Chmod {
        /// Which one.
        path: PathBuf,
        /// Permission bits before.
        before: String,
        /// Permission bits now.
        after: String,
    },
    /// Something went.
    Remove {
        /// Which one.
        path: PathBuf,
        /// Where it is now; locks and temporary files do not come back.
        backup: Option<PathBuf>,
    },
    /// An empty directory went.
    Rmdir {
        /// Which one.
        path: PathBuf,
        /// Its permission bits.
        mode: String,
    },
    /// A directory was made.
    Mkdir {
        /// Which one.
        path: PathBuf,
    },
    /// A symbolic link was made.
    Link {
        /// Which one.
        path: PathBuf,
    },
}

/// SHA-256 as hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Permission bits as they are written.
pub(crate) fn octal(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

impl Receipt {
    /// A receipt of nothing yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { version: 1, at: now.as_ms(), undone: false, items: Vec::new() }
    }

    /// Adds a change. What was written in this run already keeps what it was before the run.
    pub(crate) fn add(&mut self, item: Item) {
        if let Item::Write { path, after, .. } = &item {
            let known = self.items.iter_mut().find_map(|known| match known {
                Item::Write { path: known, after, .. } if known == path => Some(after),
                _ => None,
            });
            if let Some(known) = known {
                known.clone_from(after);
                return;
            }
        }
        self.items.push(item);
    }

    /// Where a file is now that stood at a path before the renames of this run.
    fn now_at(&self, path: &Path) -> PathBuf {
        self.items.iter().fold(path.to_owned(), |path, item| match item {
            Item::Rename { from, to } => path.strip_prefix(from).map_or(path.clone(), |rest| join(to, rest)),
            _ => path,
        })
    }

    /// Writes it, in place of the one before.
    pub(crate) fn save(&self, path: &Path, host: &dyn WriteHost) -> Result<(), String> {
        let mut text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        text.push('\n');
        let guard = lock(path, host).map_err(|error| error.to_string())?;
        replace(&guard, path, text.as_bytes(), host).map_err(|error: WriteError| error.to_string())
    }

    /// Reads it.
    fn load(path: &Path, host: &dyn Host) -> Result<Self, UndoError> {
        let bytes = match host.read(path, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(UndoError::Nothing),
            Err(error) => return Err(UndoError::Unreadable(path.to_owned(), error.to_string())),
        };
        let receipt: Self = serde_json::from_slice(&bytes)
            .map_err(|error| UndoError::Unreadable(path.to_owned(), format!("line {}", error.line())))?;
        if receipt.version == 1 { Ok(receipt) } else { Err(UndoError::Newer(path.to_owned())) }
    }

    /// What does not fit any more: one line each.
    fn misfits(&self, host: &dyn WriteHost) -> Vec<(PathBuf, &'static str)> {
        let content = |path: &Path| host.read(path, MAX_FILE_BYTES).ok().map(|bytes| hash(&bytes));
        let links: Vec<&PathBuf> = self
            .items
            .iter()
            .filter_map(|item| if let Item::Link { path } = item { Some(path) } else { None })
            .collect();
        let mut found = Vec::new();
        for item in &self.items {
            match item {
                Item::Write { path, backup, existed, before, after, .. } => {
                    let path = self.now_at(path);
                    if content(&path).as_ref() != Some(after) {
                        found.push((path, "is not what the repair left"));
                    }
                    let kept = backup.as_deref().map(|backup| self.now_at(backup));
                    if *existed && kept.as_deref().is_none_or(|kept| content(kept) != *before) {
                        found.push((kept.unwrap_or_default(), "is not the backup that the repair made"));
                    }
                }
                Item::Rename { from, to } => {
                    if host.facts(to).is_err() {
                        found.push((to.clone(), "is gone"));
                    }
                    if host.facts(from).is_ok() && !links.contains(&from) {
                        found.push((from.clone(), "is in use again"));
                    }
                }
                Item::Chmod { path, after, .. } => {
                    let path = self.now_at(path);
                    if host.mode_of(&path).map(octal).as_ref() != Some(after) {
                        found.push((path, "has another mode now"));
                    }
                }
                Item::Remove { path, backup: Some(backup) } => {
                    if host.facts(backup).is_err() || host.facts(path).is_ok() {
                        found.push((path.clone(), "cannot come back"));
                    }
                }
                Item::Remove { .. } | Item::Rmdir { .. } | Item::Mkdir { .. } | Item::Link { .. } => {}
            }
        }
        found
    }
}

fn join(to: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }
}

/// Why nothing was put back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// No repair was made.
    #[error("there is no repair to undo")]
    Nothing,
    /// It was put back already.
    #[error("the last repair was undone already")]
    Undone,
    /// The receipt cannot be read.
    #[error("{path} cannot be read ({why}), so nothing was undone", path = .0.display(), why = .1)]
    Unreadable(PathBuf, String),
    /// A later program wrote it.
    #[error("{} was written by a later version, so nothing was undone", .0.display())]
    Newer(PathBuf),
    /// Something changed since.
    #[error("nothing was undone: {}", .0.iter().map(|(path, why)| format!("{} {why}", path.display())).collect::<Vec<_>>().join("; "))]
    Changed(Vec<(PathBuf, &'static str)>),
    /// A change could not be taken back; those before it in the list were.
    #[error("{path} could not be put back: {why}", path = .0.display(), why = .1)]
    Failed(PathBuf, String),
}

/// Puts back what the last repair changed, or tells what would be: the paths, last change first.
///
/// # Errors
///
/// When there is nothing to put back, or something changed since. Nothing is changed then.
pub fn undo(state_dir: &Path, host: &dyn WriteHost, dry_run: bool) -> Result<Vec<PathBuf>, UndoError> {
    let place = state_dir.join(RECEIPT_FILE);
    let mut receipt = Receipt::load(&place, host)?;
    if receipt.undone {
        return Err(UndoError::Undone);
    }
    let misfits = receipt.misfits(host);
    if !misfits.is_empty() {
        return Err(UndoError::Changed(misfits));
    }
    let paths: Vec<PathBuf> = receipt.items.iter().rev().filter_map(comes_back).collect();
    if dry_run {
        return Ok(paths);
    }
    put_back(&receipt, host)?;
    receipt.undone = true;
    // The state directory itself may have got its old name back.
    let renamed = receipt.items.iter().find_map(|item| match item {
        Item::Rename { from, to } => place.strip_prefix(to).ok().map(|rest| from.join(rest)),
        _ => None,
    });
    let place = renamed.unwrap_or(place);
    receipt.save(&place, host).map_err(|why| UndoError::Failed(place, why))?;
    Ok(paths)
}

fn comes_back(item: &Item) -> Option<PathBuf> {
    match item {
        Item::Write { path, .. }
        | Item::Chmod { path, .. }
        | Item::Link { path }
        | Item::Rename { from: path, .. }
        | Item::Remove { path, backup: Some(_) } => Some(path.clone()),
        Item::Remove { .. } | Item::Rmdir { .. } | Item::Mkdir { .. } => None,
    }
}

fn put_back(receipt: &Receipt, host: &dyn WriteHost) -> Result<(), UndoError> {
    // Every lock first, in the order in which the repair took them.
    let mut guards = BTreeMap::new();
    for item in &receipt.items {
        if let Item::Write { path, .. } = item {
            let path = receipt.now_at(path);
            let guard = lock(&path, host).map_err(|error| UndoError::Failed(path.clone(), error.to_string()))?;
            guards.insert(path, guard);
        }
    }
    let misfits = receipt.misfits(host);
    if !misfits.is_empty() {
        return Err(UndoError::Changed(misfits));
    }
    for (at, item) in receipt.items.iter().enumerate().rev() {
        let failed = |path: &Path, error: std::io::Error| UndoError::Failed(path.to_owned(), error.to_string());
        match item {
            Item::Write { path, backup, existed, mode, .. } => {
                // Renames that came after this write are taken back by now.
                let earlier = Receipt { items: receipt.items[..at].to_vec(), ..receipt.clone() };
                let now = receipt.now_at(path);
                let Some(guard) = guards.get(&now) else { continue };
                let path = earlier.now_at(path);
                if *existed {
                    let kept = backup.as_deref().map(|backup| earlier.now_at(backup)).unwrap_or_default();
                    let bytes = host.read(&kept, MAX_FILE_BYTES).map_err(|error| failed(&kept, error))?;
                    replace(guard, &path, &bytes, host)
                        .map_err(|error| UndoError::Failed(path.clone(), error.to_string()))?;
                    if let Ok(mode) = u32::from_str_radix(mode, 8) {
                        host.set_mode(&path, mode).map_err(|error| failed(&path, error))?;
                    }
                } else {
                    host.remove(&path).map_err(|error| failed(&path, error))?;
                }
            }
            Item::Rename { from, to } => {
                // Locks inside go before their directory moves.
                guards.retain(|path, _| !path.starts_with(to));
                if let Some(parent) = from.parent().filter(|parent| !host.exists(parent)) {
                    host.make_dir(parent).map_err(|error| failed(parent, error))?;
                }
                host.rename(to, from).map_err(|error| failed(from, error))?;
            }
            Item::Chmod { path, before, .. } => {
                if let Ok(mode) = u32::from_str_radix(before, 8) {
                    host.set_mode(path, mode).map_err(|error| failed(path, error))?;
                }
            }
            Item::Remove { path, backup: Some(backup) } => {
                host.rename(backup, path).map_err(|error| failed(path, error))?;
            }
            Item::Link { path } => host.remove(path).map_err(|error| failed(path, error))?,
            // What was put into it since keeps it.
            Item::Mkdir { path } => drop(host.remove_dir(path)),
            Item::Remove { backup: None, .. } => {}
            Item::Rmdir { path, mode } => {
                host.make_dir(path).map_err(|error| failed(path, error))?;
                if let Ok(mode) = u32::from_str_radix(mode, 8) {
                    host.set_mode(path, mode).map_err(|error| failed(path, error))?;
                }
            }
        }
    }
    Ok(())
}
