//! The packages of the workspace and of the lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand};
use serde::Deserialize;
use xshell::{Shell, cmd};

/// A name and a version.
pub(crate) type PackageKey = (String, String);

/// An entry of `Cargo.lock`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Where it comes from; absent for packages of the workspace.
    pub(crate) source: Option<String>,
    pub(crate) checksum: Option<String>,
}

/// Reads a lock file.
pub(crate) fn lock_file(path: &Path) -> Result<Vec<Locked>> {
    #[derive(Deserialize)]
    struct File {
        package: Vec<Locked>,
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(file.package)
}

/// What cargo knows of the workspace with all features, for one target or for all. Packages of other targets are not
/// fetched for one.
pub(crate) fn metadata(root: &Path, target: Option<&str>) -> Result<Metadata> {
    let mut options = vec!["--locked".to_owned(), "--all-features".to_owned()];
    if let Some(target) = target {
        options.extend(["--filter-platform".to_owned(), target.to_owned()]);
    }
    let mut command = MetadataCommand::new();
    command.manifest_path(root.join("Cargo.toml")).other_options(options);
    command.exec().context("cargo metadata")
}

/// A package whose code is in the binary.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression of its manifest.
    pub(crate) licence: Option<String>,
    /// The folder of its sources.
    pub(crate) folder: PathBuf,
    /// SHA-256 of the package file; absent for our own.
    pub(crate) checksum: Option<String>,
    /// Those of its dependencies that are in the binary too.
    pub(crate) dependencies: BTreeSet<PackageKey>,
}

impl Linked {
    pub(crate) fn key(&self) -> PackageKey {
        (self.name.clone(), self.version.clone())
    }

    /// Whether it is a package of this workspace.
    pub(crate) fn is_ours(&self) -> bool {
        self.checksum.is_none()
    }
}

/// The packages whose code is in the program `openclaw` for this target, sorted: normal dependencies with the features
/// of a plain build, without procedural macros and build scripts.
pub(crate) fn linked(shell: &Shell, root: &Path, target: &str) -> Result<Vec<Linked>> {
    let manifest = root.join("Cargo.toml");
    let (kinds, format) = ("normal,no-proc-macro", "{p}");
    let tree = cmd!(shell, "cargo tree --locked --manifest-path {manifest} -p openclaw-cli -e {kinds} --target {target} --prefix none --format {format}")
        .quiet()
        .read()?;
    let inside: BTreeSet<PackageKey> = tree.lines().filter_map(tree_line).collect();
    ensure!(inside.len() > 1, "cargo tree names no dependency of openclaw-cli");

    let checksums: BTreeMap<PackageKey, String> = lock_file(&root.join("Cargo.lock"))?
        .into_iter()
        .filter_map(|locked| Some(((locked.name, locked.version), locked.checksum?)))
        .collect();
    let metadata = metadata(root, Some(target))?;
    let keys: BTreeMap<_, PackageKey> = metadata
        .packages
        .iter()
        .map(|package| (package.id.clone(), (package.name.to_string(), package.version.to_string())))
        .collect();
    let nodes = metadata.resolve.as_ref().context("cargo metadata has no resolve")?;
    let mut found = Vec::new();
    for package in &metadata.packages {
        let key = (package.name.to_string(), package.version.to_string());
        if !inside.contains(&key) {
            continue;
        }
        let node = nodes.nodes.iter().find(|node| node.id == package.id).context("a package without a node")?;
        let dependencies = node.dependencies.iter().map(|id| keys[id].clone()).filter(|key| inside.contains(key));
        found.push(Linked {
            licence: package.license.clone(),
            folder: package.manifest_path.parent().context("a manifest without a folder")?.into(),
            checksum: checksums.get(&key).cloned(),
            dependencies: dependencies.filter(|other| *other != key).collect(),
            name: key.0,
            version: key.1,
        });
    }
    ensure!(found.len() == inside.len(), "cargo tree and cargo metadata do not name the same packages");
    found.sort_by_key(Linked::key);
    Ok(found)
}

/// `name v1.2.3 (place)`, as `cargo tree` writes it.
fn tree_line(line: &str) -> Option<PackageKey> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

/// Which crates of the workspace go to the registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Publishing {
    /// Those that do, each after those that it depends on, also for its tests.
    pub(crate) crates: Vec<String>,
    /// Those that could, but depend on a crate that does not: a package of that name in the registry, somebody else's,
    /// would be taken instead. Each with the crate that it waits for.
    pub(crate) withheld: Vec<(String, String)>,
}

impl Publishing {
    pub(crate) fn of(metadata: &Metadata) -> Result<Self> {
        let members = metadata.workspace_packages();
        let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
        let needed = |package: &cargo_metadata::Package| -> Vec<String> {
            let all = package.dependencies.iter().map(|dependency| dependency.name.clone());
            all.filter(|needed| names.contains(needed.as_str()) && *needed != package.name.as_str()).collect()
        };
        let may = |package: &cargo_metadata::Package| {
            package.publish.as_ref().is_none_or(|registries| !registries.is_empty())
        };
        let (mut open, kept): (Vec<_>, Vec<_>) = members.iter().copied().partition(|package| may(package));
        let mut kept: BTreeSet<String> = kept.iter().map(|package| package.name.to_string()).collect();
        let mut publishing = Self::default();
        while !open.is_empty() {
            let before = open.len();
            open.retain(|package| {
                let (name, needed) = (package.name.to_string(), needed(package));
                if let Some(missing) = needed.iter().find(|needed| kept.contains(*needed)) {
                    publishing.withheld.push((name.clone(), missing.clone()));
                    kept.insert(name);
                    return false;
                }
                if needed.iter().all(|needed| publishing.crates.contains(needed)) {
                    publishing.crates.push(name);
                    return false;
                }
                true
            });
            ensure!(open.len() < before, "the crates depend on each other in a circle");
        }
        Ok(publishing)
    }

    /// One line for each crate that is withheld.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let line = |(name, missing): &(String, String)| {
            format!(
                "{name} cannot be published: it needs {missing}, which is not (publish in its Cargo.toml); a package of that name in the registry is somebody else's"
            )
        };
        self.withheld.iter().map(line).collect()
    }
}

/// The target triple of this machine.
pub(crate) fn host(shell: &Shell) -> Result<String> {
    let text = cmd!(shell, "rustc -vV").quiet().read()?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc names no host")?.to_owned())
}

/// The version of the workspace.
pub(crate) fn version(root: &Path) -> Result<semver::Version> {
    let path = root.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: toml::Table = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let version = manifest.get("workspace").and_then(|w| w.get("package")?.get("version")?.as_str());
    Ok(version.context("Cargo.toml has no workspace.package.version")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_tree_are_read() {
        let key = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(tree_line("serde v1.0.229 (*)"), key("serde", "1.0.229"));
        assert_eq!(tree_line("auth-core v0.1.0 (/somewhere else/auth-core)"), key("auth-core", "0.1.0"));
        assert_eq!(tree_line(""), None);
    }

    #[test]
    fn crates_are_published_after_what_they_need() {
        let root = crate::root().unwrap();
        let mut command = MetadataCommand::new();
        let metadata = command.manifest_path(root.join("Cargo.toml")).no_deps().exec().unwrap();
        let publishing = Publishing::of(&metadata).unwrap();
        let place = |name: &str| publishing.crates.iter().position(|other| other == name);
        assert!(place("auth-core") < place("auth-store") && place("auth-store") < place("auth-oauth"));
        assert_eq!((place("xtask"), place("reference")), (None, None));
        for package in metadata.workspace_packages() {
            let Some(own) = place(&package.name) else { continue };
            for needed in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
                assert!(place(&needed.name).is_some_and(|place| place < own), "{} needs {}", package.name, needed.name);
            }
        }
    }

    #[test]
    fn a_crate_that_needs_an_unpublished_one_is_withheld() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n").unwrap();
        for (name, rest) in [
            ("base", ""),
            ("kept", "publish = false\n"),
            ("middle", "[dependencies]\nkept = { path = \"../kept\", version = \"0.1.0\" }\n"),
            ("top", "[dependencies]\nmiddle = { path = \"../middle\" }\nbase = { path = \"../base\" }\n"),
        ] {
            fs::create_dir_all(dir.path().join(name).join("src")).unwrap();
            fs::write(dir.path().join(name).join("src/lib.rs"), "").unwrap();
            let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}");
            fs::write(dir.path().join(name).join("Cargo.toml"), manifest).unwrap();
        }
        let mut command = MetadataCommand::new();
        let metadata = command.manifest_path(dir.path().join("Cargo.toml")).no_deps().exec().unwrap();
        let publishing = Publishing::of(&metadata).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(publishing.crates, ["base"]);
        assert_eq!(publishing.withheld, [pair("middle", "kept"), pair("top", "middle")]);
        assert!(publishing.warnings()[0].starts_with("middle cannot be published: it needs kept"));
    }
}
