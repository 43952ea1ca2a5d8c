//! `cargo xtask publish`: the crates to the registry, each after those that it needs. A step of its own, which no other
//! task runs; a dry run unless it is told `--yes-really`, because what is published cannot be taken back.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use xshell::{Shell, cmd};

use super::changelog;
use crate::packages::{self, Publishing};

/// Publishes the tagged version, or with `dry_run` packages every crate and says what would be done. `from` names the
/// crate to go on with after a failure.
pub(crate) fn run(shell: &Shell, root: &Path, dry_run: bool, from: Option<&str>) -> Result<()> {
    let version = packages::version(root)?.to_string();
    let mut command = MetadataCommand::new();
    let metadata = command.manifest_path(root.join("Cargo.toml")).no_deps().exec().context("cargo metadata")?;
    let publishing = Publishing::of(&metadata)?;
    for warning in publishing.warnings() {
        println!("warning: {warning}");
    }
    let crates = remaining(publishing.crates, from)?;
    println!("{version}, in this order: {}", crates.join(", "));
    if dry_run {
        package(shell, root, &crates, false)?;
        println!("dry run: nothing was published; to publish: cargo xtask publish --yes-really");
        return Ok(());
    }
    check(shell, root, &version)?;
    for name in &crates {
        println!("publishing {name} {version}");
        cmd!(shell, "cargo publish --locked --package {name}")
            .quiet()
            .run()
            .with_context(|| format!("to go on from here: cargo xtask publish --yes-really --from {name}"))?;
    }
    println!("published {version}: {} crates", crates.len());
    Ok(())
}

/// Packages every crate; with `verify` each is built from its package alone. Packages stand in for those of our crates
/// that the registry does not have yet. Changes that are not committed may be in them: a release packages what it is
/// about to commit.
pub(super) fn package(shell: &Shell, root: &Path, crates: &[String], verify: bool) -> Result<()> {
    let manifest = root.join("Cargo.toml");
    let chosen: Vec<&str> = crates.iter().flat_map(|name| ["--package", name]).collect();
    let verify: &[&str] = if verify { &[] } else { &["--no-verify"] };
    cmd!(shell, "cargo package --quiet --locked --allow-dirty {verify...} --manifest-path {manifest} {chosen...}")
        .quiet()
        .run()?;
    println!("packaged {} crates: {}", crates.len(), root.join("target/package").display());
    Ok(())
}

/// The crates from a given one on.
fn remaining(crates: Vec<String>, from: Option<&str>) -> Result<Vec<String>> {
    let Some(from) = from else { return Ok(crates) };
    let rest: Vec<String> = crates.into_iter().skip_while(|name| name != from).collect();
    ensure!(!rest.is_empty(), "{from} is no crate that is published");
    Ok(rest)
}

/// Only a tagged commit without changes is published.
fn check(shell: &Shell, root: &Path, version: &str) -> Result<()> {
    let git = |words: &[&str]| -> Result<String> { Ok(cmd!(shell, "git -C {root} {words...}").quiet().read()?) };
    ensure!(git(&["status", "--porcelain"])?.is_empty(), "the tree is not clean");
    let tags = git(&["tag", "--points-at", "HEAD"])?;
    ensure!(
        tags.lines().any(|tag| tag == format!("v{version}")),
        "this commit is not tagged v{version}; first: cargo xtask release {version}"
    );
    let log = fs::read_to_string(root.join("CHANGELOG.md")).context("cannot read CHANGELOG.md")?;
    changelog::require_entry(&log, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_goes_on_where_it_stopped() {
        let all = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(remaining(all(), None).unwrap(), ["a", "b", "c"]);
        assert_eq!(remaining(all(), Some("b")).unwrap(), ["b", "c"]);
        assert!(remaining(all(), Some("x")).is_err());
    }

    #[test]
    fn an_untagged_commit_is_not_published() {
        let dir = tempfile::tempdir().unwrap();
        let shell = Shell::new().unwrap();
        let root = dir.path();
        let git = |words: &[&str]| cmd!(shell, "git -C {root} {words...}").quiet().ignore_stdout().run().unwrap();
        git(&["init", "--quiet"]);
        let who = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
        let commit = ["commit", "--quiet", "--allow-empty", "-m", "x"];
        git(&[&who[..], &commit[..]].concat());
        let error = check(&shell, root, "0.2.0").unwrap_err().to_string();
        assert!(error.contains("not tagged v0.2.0"), "{error}");
    }
}
