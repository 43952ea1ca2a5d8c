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

/// The crates of the workspace that are published, each after those that it depends on, also for its tests.
pub(crate) fn publish_order(metadata: &Metadata) -> Result<Vec<String>> {
    let members: Vec<_> = metadata
        .workspace_packages()
        .into_iter()
        .filter(|package| package.publish.as_ref().is_none_or(|registries| !registries.is_empty()))
        .collect();
    let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let mut order: Vec<String> = Vec::new();
    while order.len() < members.len() {
        let ready = members.iter().find(|package| {
            let name = package.name.as_str();
            let needed = package.dependencies.iter().map(|dependency| dependency.name.as_str());
            let mut waits = needed.filter(|needed| names.contains(needed) && *needed != name);
            !order.iter().any(|done| done == name) && waits.all(|needed| order.iter().any(|done| done == needed))
        });
        order.push(ready.context("the crates depend on each other in a circle")?.name.to_string());
    }
    Ok(order)
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
        let order = publish_order(&metadata).unwrap();
        let place = |name: &str| order.iter().position(|other| other == name);
        assert!(place("auth-core") < place("auth-store") && place("auth-store") < place("auth-oauth"), "{order:?}");
        assert_eq!(order.last().map(String::as_str), Some("openclaw-cli"));
        assert_eq!((place("xtask"), place("reference")), (None, None));
    }
}
