//! `cargo xtask install` and `uninstall`: the program below a prefix, and away again.

mod manifest;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use self::manifest::{Manifest, folders_above};
use crate::dist::archive::Entry;
use crate::dist::{NAMES, Parts, layout, sha256};
use crate::reference;

/// Builds the program and installs it under a name below a prefix.
pub(crate) fn run(shell: &Shell, root: &Path, prefix: Option<&str>, name: &str, force: bool) -> Result<()> {
    ensure!(NAMES.contains(&name), "the name is one of: {}", NAMES.join(", "));
    let prefix = prefix_or_default(prefix)?;
    // What stands in the way is said before minutes of building.
    check(&prefix, &Manifest::read(&prefix)?, [format!("bin/{name}").as_str()], force)?;
    let parts = Parts::make(shell, root)?;
    let reference = reference::make(shell, name)?;
    let mut files = layout::files(name, parts.binary, reference.path())?;
    files.extend(parts.documents.iter().map(|document| document.below(&format!("share/doc/{name}"))));
    install(&prefix, name, &files, force)?;

    println!("{name} {} is installed below {}: {} files", parts.version, prefix.display(), files.len());
    println!("  the program    {}", prefix.join("bin").join(name).display());
    println!("  what was put   {}", prefix.join(manifest::PATH).display());
    println!("  to remove it   cargo xtask uninstall --prefix {}", prefix.display());
    if !on_path(&prefix.join("bin")) {
        println!("{} is not on PATH", prefix.join("bin").display());
    }
    Ok(())
}

/// Removes what was installed below a prefix.
pub(crate) fn remove(prefix: Option<&str>) -> Result<()> {
    let prefix = prefix_or_default(prefix)?;
    let Removed { files, left } = uninstall(&prefix)?;
    println!("removed {files} files below {}", prefix.display());
    for path in left {
        println!("left, because somebody changed it: {}", prefix.join(path).display());
    }
    Ok(())
}

fn prefix_or_default(prefix: Option<&str>) -> Result<PathBuf> {
    match prefix {
        Some(prefix) => Ok(std::path::absolute(prefix)?),
        None => {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
            Ok(PathBuf::from(home.context("HOME is not set; say where: --prefix DIR")?).join(".local"))
        }
    }
}

fn on_path(folder: &Path) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|other| other == folder))
}

/// Puts the files below the prefix, or none of them when a file of somebody else is in the way.
fn install(prefix: &Path, name: &str, files: &[Entry], force: bool) -> Result<()> {
    let mut manifest = Manifest::read(prefix)?;
    check(prefix, &manifest, files.iter().map(|file| file.path.as_str()), force)?;

    let mut list = manifest.programs.remove(name).unwrap_or_default();
    let earlier: Vec<String> =
        list.keys().filter(|path| files.iter().all(|file| file.path != **path)).cloned().collect();
    for file in files.iter().map(|file| file.path.as_str()).chain([manifest::PATH]) {
        for folder in folders_above(file).iter().rev() {
            match fs::create_dir(prefix.join(folder)) {
                Ok(()) => {
                    manifest.folders.insert(folder.to_string_lossy().into_owned());
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                // The first is the prefix: what is above it was not made by us to stay.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    fs::create_dir_all(prefix.join(folder))
                        .with_context(|| format!("cannot create {}", prefix.join(folder).display()))?;
                    manifest.folders.insert(folder.to_string_lossy().into_owned());
                }
                Err(error) => return Err(error).with_context(|| format!("cannot create {}", folder.display())),
            }
        }
    }
    // The list is written first: a stop in the middle leaves no file that nobody knows of.
    let sums: BTreeMap<String, String> =
        files.iter().map(|file| (file.path.clone(), sha256::sum(&file.bytes))).collect();
    list.extend(sums.clone());
    manifest.programs.insert(name.to_owned(), list);
    put(prefix, &Entry::file(manifest::PATH, manifest.text()))?;
    for file in files {
        put(prefix, file)?;
    }
    // Files of an earlier version that this one does not have.
    let mut gone = Vec::new();
    for path in earlier {
        let sum = manifest.sum(&path).map(str::to_owned);
        if content_sum(&prefix.join(&path))? == sum {
            fs::remove_file(prefix.join(&path)).with_context(|| format!("cannot remove {path}"))?;
        }
        gone.push(path);
    }
    if !gone.is_empty() {
        manifest.programs.insert(name.to_owned(), sums);
        put(prefix, &Entry::file(manifest::PATH, manifest.text()))?;
    }
    Ok(())
}

/// Fails when one of the paths holds something that we did not put there, or that was changed since.
fn check<'a>(prefix: &Path, manifest: &Manifest, paths: impl IntoIterator<Item = &'a str>, force: bool) -> Result<()> {
    let mut foreign = Vec::new();
    for path in paths {
        let full = prefix.join(path);
        let Ok(about) = full.symlink_metadata() else { continue };
        ensure!(!about.is_dir(), "{} is a folder", full.display());
        let ours = about.is_file() && content_sum(&full)?.as_deref() == manifest.sum(path);
        if !ours {
            foreign.push(full.display().to_string());
        }
    }
    if !foreign.is_empty() && !force {
        bail!(
            "not installed by this, or changed since:\n  {}\nNothing was written. To replace them: --force; to have both: --name openclaw-auth",
            foreign.join("\n  ")
        );
    }
    Ok(())
}

/// The checksum of a file; none when there is no file.
fn content_sum(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(sha256::sum(&bytes))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file beside its place and moves it there: a running program keeps its old file, a link is replaced.
fn put(prefix: &Path, file: &Entry) -> Result<()> {
    let path = prefix.join(&file.path);
    let folder = path.parent().context("a file without a folder")?;
    let mut fresh = tempfile::Builder::new().prefix(".openclaw-").tempfile_in(folder)?;
    std::io::Write::write_all(&mut fresh, &file.bytes).with_context(|| format!("cannot write {}", path.display()))?;
    fresh.as_file().set_permissions(fs::Permissions::from_mode(file.mode))?;
    fresh.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Removed {
    files: usize,
    /// Files that are not what was installed.
    left: Vec<String>,
}

fn uninstall(prefix: &Path) -> Result<Removed> {
    let manifest = Manifest::read(prefix)?;
    ensure!(!manifest.programs.is_empty(), "nothing is installed below {}", prefix.display());
    let mut removed = Removed { files: 0, left: Vec::new() };
    for (path, sum) in manifest.programs.values().flatten() {
        let full = prefix.join(path);
        let Ok(about) = full.symlink_metadata() else { continue };
        if about.is_file() && content_sum(&full)?.as_ref() == Some(sum) {
            fs::remove_file(&full).with_context(|| format!("cannot remove {}", full.display()))?;
            removed.files += 1;
        } else {
            removed.left.push(path.clone());
        }
    }
    let list = prefix.join(manifest::PATH);
    fs::remove_file(&list).with_context(|| format!("cannot remove {}", list.display()))?;
    // Deeper folders first; one that holds something else stays.
    for folder in manifest.folders.iter().rev() {
        match fs::remove_dir(prefix.join(folder)) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot remove {folder}")),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(version: &str) -> Vec<Entry> {
        vec![
            Entry::program("bin/openclaw", format!("#!/bin/sh\necho {version}\n")),
            Entry::file("share/man/man1/openclaw.1", format!(".TH {version}\n")),
            Entry::file(format!("share/doc/openclaw/{version}"), "new in each version"),
        ]
    }

    /// Every path below a folder.
    fn tree(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![folder.to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_is_installed_goes_away_again_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("not/there/yet");
        install(&prefix, "openclaw", &files("1"), false).unwrap();
        let mode = fs::metadata(prefix.join("bin/openclaw")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let said = std::process::Command::new(prefix.join("bin/openclaw")).output().unwrap();
        assert_eq!(said.stdout, b"1\n");

        fs::write(prefix.join("share/man/man1/other.1"), "somebody else's").unwrap();
        assert_eq!(uninstall(&prefix).unwrap(), Removed { files: 3, left: Vec::new() });
        assert_eq!(tree(&prefix), ["share", "share/man", "share/man/man1", "share/man/man1/other.1"]);
        assert!(uninstall(&prefix).unwrap_err().to_string().starts_with("nothing is installed below"));
    }

    #[test]
    fn folders_that_were_there_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("share/man/man1")).unwrap();
        install(dir.path(), "openclaw", &files("1"), false).unwrap();
        uninstall(dir.path()).unwrap();
        assert_eq!(tree(dir.path()), ["share", "share/man", "share/man/man1"]);
    }

    #[test]
    fn a_newer_version_replaces_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "openclaw", &files("1"), false).unwrap();
        install(dir.path(), "openclaw", &files("2"), false).unwrap();
        let there = tree(dir.path());
        assert!(
            there.contains(&"share/doc/openclaw/2".to_owned()) && !there.contains(&"share/doc/openclaw/1".to_owned())
        );
        let both: Vec<Entry> = vec![Entry::program("bin/openclaw-auth", "beside")];
        install(dir.path(), "openclaw-auth", &both, false).unwrap();
        let manifest = Manifest::read(dir.path()).unwrap();
        assert_eq!(manifest.programs.keys().collect::<Vec<_>>(), ["openclaw", "openclaw-auth"]);
        assert_eq!(uninstall(dir.path()).unwrap(), Removed { files: 4, left: Vec::new() });
        assert_eq!(tree(dir.path()), [""; 0]);
    }

    #[test]
    fn a_foreign_file_stops_everything_unless_forced() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "another openclaw").unwrap();
        let prefix = dir.path().join("prefix");
        fs::create_dir_all(prefix.join("bin")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, prefix.join("bin/openclaw")).unwrap();
        let error = install(&prefix, "openclaw", &files("1"), false).unwrap_err().to_string();
        assert!(error.contains("bin/openclaw") && error.contains("--force"), "{error}");
        assert_eq!(tree(&prefix), ["bin", "bin/openclaw"]);

        install(&prefix, "openclaw", &files("1"), true).unwrap();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "another openclaw", "the link is replaced, not its end");
        assert!(prefix.join("bin/openclaw").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn changed_files_are_left_and_named() {
        let dir = tempfile::tempdir().unwrap();
        install(dir.path(), "openclaw", &files("1"), false).unwrap();
        fs::write(dir.path().join("share/man/man1/openclaw.1"), "my own notes").unwrap();
        let error = install(dir.path(), "openclaw", &files("2"), false).unwrap_err().to_string();
        assert!(error.contains("changed since") && error.contains("openclaw.1"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("bin/openclaw")).unwrap(), "#!/bin/sh\necho 1\n");

        let removed = uninstall(dir.path()).unwrap();
        assert_eq!(removed, Removed { files: 2, left: vec!["share/man/man1/openclaw.1".to_owned()] });
        assert_eq!(fs::read_to_string(dir.path().join("share/man/man1/openclaw.1")).unwrap(), "my own notes");
    }
}
