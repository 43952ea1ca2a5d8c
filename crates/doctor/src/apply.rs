//! Making a repair: through the lock, only where the files still hold what it was worked out on, and read back.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use auth_store::{FileChange, FileChangeError, WriteHost, backup_name, lock, write_files};

use crate::outside::Outside;
use crate::receipt::{Item, MAX_FILE_BYTES, hash, octal};
use crate::repair::{Change, Repair, Write};

/// A login that holds for less than this is renewed when that is asked for, in milliseconds.
pub(crate) const REFRESH_AHEAD_MS: i64 = 86_400_000;

/// The files whose ring of backups has turned in this run: it turns once, so that the latest backup is the state before
/// the run.
#[derive(Debug, Default)]
pub(crate) struct Rings(BTreeSet<PathBuf>);

/// What came of a repair.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// What is different now.
    pub(crate) items: Vec<Item>,
    /// Each file with its backup, and whether the config is among them.
    pub(crate) written: Vec<(Write, Option<PathBuf>)>,
    /// Why not everything was done.
    pub(crate) failures: Vec<String>,
}

/// Makes a repair. Everything that was done is in the result, also when something failed.
pub(crate) fn apply(repair: &Repair, rings: &mut Rings, outside: &Outside<'_>, host: &dyn WriteHost) -> Applied {
    let mut applied = Applied::default();
    let mut rest = repair.changes.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let failure = if let Change::Write(_) = first {
            let together = rest.iter().take_while(|change| matches!(change, Change::Write(_))).count();
            let writes: Vec<&Write> = rest[..together]
                .iter()
                .filter_map(|change| if let Change::Write(write) = change { Some(write) } else { None })
                .collect();
            rest = &rest[together..];
            write_together(&writes, rings, &mut applied, host).err()
        } else {
            rest = others;
            one_change(first, &mut applied, outside, host).err()
        };
        if let Some(failure) = failure {
            applied.failures.push(failure);
            if repair.all_or_nothing {
                take_back(&mut applied, host);
                return applied;
            }
            // Files that did not change must not be followed by what rests on them.
            if matches!(first, Change::Write(_)) {
                return applied;
            }
        }
    }
    applied
}

fn write_together(
    writes: &[&Write],
    rings: &mut Rings,
    applied: &mut Applied,
    host: &dyn WriteHost,
) -> Result<(), String> {
    let modes: Vec<u32> = writes.iter().map(|write| host.mode_of(&write.path).unwrap_or(0o600)).collect();
    let changes: Vec<FileChange> = writes
        .iter()
        .map(|write| FileChange {
            path: write.path.clone(),
            guarded_by: write.guarded_by.clone(),
            before: write.before.clone(),
            after: write.after.clone(),
            back_up: write.before.is_some() && !rings.0.contains(&write.path),
        })
        .collect();
    write_files(&changes, host).map_err(|error| match error {
        FileChangeError::Changed(path) => {
            format!("{} changed meanwhile, so this repair was not made; run openclaw doctor again", path.display())
        }
        other => other.to_string(),
    })?;
    for (write, mode) in writes.iter().zip(modes) {
        rings.0.insert(write.path.clone());
        let backup = write.before.as_ref().map(|_| backup_name(&write.path, 0)).filter(|path| host.exists(path));
        applied.items.push(Item::Write {
            path: write.path.clone(),
            backup: backup.clone(),
            existed: write.before.is_some(),
            mode: octal(mode),
            before: write.before.as_deref().map(hash),
            after: hash(&write.after),
        });
        applied.written.push(((*write).clone(), backup));
    }
    // What is on the disk must be what was meant.
    let other = writes.iter().find(|write| host.read(&write.path, MAX_FILE_BYTES).ok().as_ref() != Some(&write.after));
    match other {
        Some(write) => Err(format!("{} was written but could not be read back as written", write.path.display())),
        None => Ok(()),
    }
}

fn one_change(
    change: &Change,
    applied: &mut Applied,
    outside: &Outside<'_>,
    host: &dyn WriteHost,
) -> Result<(), String> {
    let failed = |path: &Path, error: io::Error| format!("{}: {}", path.display(), words(&error));
    let item = match change {
        Change::Write(_) => return Ok(()),
        Change::Rename { from, to } => {
            rename(from, to, host).map_err(|error| failed(from, error))?;
            Item::Rename { from: from.clone(), to: to.clone() }
        }
        Change::Chmod { path, before, after } => {
            host.set_mode(path, *after).map_err(|error| failed(path, error))?;
            Item::Chmod { path: path.clone(), before: octal(*before), after: octal(*after) }
        }
        Change::Remove { path } => {
            remove(path, host).map_err(|why| format!("{}: {why}", path.display()))?;
            Item::Remove { path: path.clone(), backup: None }
        }
        Change::RemoveDir { path } => {
            let mode = octal(host.mode_of(path).unwrap_or(0o700));
            host.remove_dir(path).map_err(|error| failed(path, error))?;
            Item::Rmdir { path: path.clone(), mode }
        }
        Change::MakeDir { path } => {
            host.make_dir(path).map_err(|error| failed(path, error))?;
            Item::Mkdir { path: path.clone() }
        }
        Change::Link { path, target } => {
            host.make_link(target, path).map_err(|error| failed(path, error))?;
            Item::Link { path: path.clone() }
        }
        Change::Refresh { agent, profile } => {
            let refresh = outside.refresh.ok_or("no way to renew logins was given")?;
            return refresh
                .refresh(agent, profile, REFRESH_AHEAD_MS)
                .map_err(|error| format!("{profile}: {} ({})", error.message, error.kind.as_str()));
        }
    };
    applied.items.push(item);
    Ok(())
}

/// Renames onto a free name only.
fn rename(from: &Path, to: &Path, host: &dyn WriteHost) -> io::Result<()> {
    if host.facts(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if let Some(parent) = to.parent().filter(|parent| !host.exists(parent)) {
        host.make_dir(parent)?;
    }
    host.rename(from, to)?;
    // The new name is in place; a failing sync of the names cannot undo that.
    let _ = host.sync_dir(to.parent().unwrap_or(to));
    Ok(())
}

/// Removes a lock through the lock itself, so that one that is in use again stays; anything else as it is.
fn remove(path: &Path, host: &dyn WriteHost) -> Result<(), String> {
    if path.extension().is_some_and(|end| end == "lock") {
        let guarded = path.with_extension("");
        return match lock(&guarded, host) {
            Ok(guard) => {
                drop(guard);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
    }
    host.remove(path).map_err(|error| words(&error))
}

/// Takes back renames and links, last first.
fn take_back(applied: &mut Applied, host: &dyn WriteHost) {
    while let Some(item) = applied.items.pop() {
        let (path, result) = match &item {
            Item::Rename { from, to } => (to, host.rename(to, from)),
            Item::Link { path } => (path, host.remove(path)),
            _ => continue,
        };
        if let Err(error) = result {
            let why = words(&error);
            applied
                .failures
                .push(format!("{} could not be put back ({why}); set OPENCLAW_STATE_DIR to it", path.display()));
            applied.items.push(item);
            return;
        }
    }
}

/// An error of the system in words.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::AlreadyExists => "the new name is taken".to_owned(),
        io::ErrorKind::CrossesDevices => "it would go to another file system; move it by hand".to_owned(),
        io::ErrorKind::DirectoryNotEmpty => "the directory is not empty".to_owned(),
        _ => error.to_string(),
    }
}
