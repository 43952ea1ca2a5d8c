//! `cargo xtask release VERSION`: checks, one version everywhere, a commit and a tag. Nothing is published by it.

mod changelog;
pub(crate) mod publish;
mod versions;

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use semver::Version;
use xshell::{Shell, cmd};

use crate::dist::sbom;
use crate::packages::Publishing;
use crate::{ci, deny};

/// The branch that is released.
const BRANCH: &str = "main";

/// Releases a version, or with `dry_run` checks whether it could be and shows what would change.
pub(crate) fn run(shell: &Shell, root: &Path, version: &str, dry_run: bool) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let plan = Plan::make(shell, root, version, &sbom::date(now / 86_400))?;
    plan.show();
    if dry_run {
        println!("dry run: nothing was written, nothing was tested");
        return Ok(());
    }
    plan.carry_out(shell, root, &|| {
        deny::run(shell, root, true)?;
        ci::run(shell, root)?;
        publish::package(shell, root, &plan.publishing.crates, true)
    })?;
    println!("{} is committed and tagged as {}; nothing is pushed or published", plan.version, plan.tag);
    println!("  to send it:    git push origin {BRANCH} {}", plan.tag);
    println!("  to build it:   cargo xtask dist");
    println!("  to publish it: cargo xtask publish (a dry run, unless --yes-really is given)");
    Ok(())
}

/// What a release changes.
#[derive(Debug)]
struct Plan {
    version: Version,
    tag: String,
    /// Path, text before, text after.
    edits: Vec<(&'static str, String, String)>,
    publishing: Publishing,
    /// The entry of the change log, for the tag.
    news: String,
}

impl Plan {
    /// Everything that can be said before something is written.
    fn make(shell: &Shell, root: &Path, version: &str, date: &str) -> Result<Self> {
        let version: Version = version.parse().with_context(|| format!("{version:?} is no version, such as 0.2.0"))?;
        let tag = format!("v{version}");
        let git = |words: &[&str]| -> Result<String> { Ok(cmd!(shell, "git -C {root} {words...}").quiet().read()?) };
        let changed = git(&["status", "--porcelain"])?;
        ensure!(changed.is_empty(), "the tree is not clean; commit or stash first:\n{changed}");
        let branch = git(&["branch", "--show-current"])?;
        ensure!(branch == BRANCH, "releases are made on {BRANCH}, this is {branch:?}: git switch {BRANCH}");
        let tagged = !git(&["tag", "--list", &tag])?.is_empty();

        let mut command = MetadataCommand::new();
        let metadata = command.manifest_path(root.join("Cargo.toml")).no_deps().exec().context("cargo metadata")?;
        let members = metadata.workspace_packages();
        let present = members.iter().map(|package| &package.version).max().context("there is no crate")?.clone();
        let others: Vec<String> = members
            .iter()
            .filter(|package| package.version != present)
            .map(|package| format!("{} {}", package.name, package.version))
            .collect();
        ensure!(others.is_empty(), "all crates have one version, {present}, but for: {}", others.join(", "));
        versions::check_next(&present, &version, tagged)?;

        let mut edits = Vec::new();
        let mut edit = |path: &'static str, make: &dyn Fn(&str) -> Result<String>| -> Result<String> {
            let text = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
            let new = make(&text)?;
            edits.push((path, text, new.clone()));
            Ok(new)
        };
        edit("Cargo.toml", &|text| versions::with_version(text, &version))?;
        let log = edit("CHANGELOG.md", &|text| changelog::released(text, &version.to_string(), date))?;
        let news = changelog::entry(&log, &version.to_string()).unwrap_or_default().to_owned();
        Ok(Self { tag, edits, publishing: Publishing::of(&metadata)?, news, version })
    }

    fn show(&self) {
        println!("release {}: {}", self.version, self.publishing.crates.join(", "));
        for warning in self.publishing.warnings() {
            println!("warning: {warning}");
        }
        for (path, old, new) in &self.edits {
            if old == new {
                continue;
            }
            println!("{path}");
            for (old, new) in old.lines().zip(new.lines()).filter(|(old, new)| old != new) {
                println!("  - {old}\n  + {new}");
            }
        }
        println!(
            "then: Cargo.lock, cargo xtask deny --all-targets, cargo xtask ci, cargo package, commit, tag {}",
            self.tag
        );
    }

    /// Writes, verifies, commits and tags; when something fails before the commit, the files are as they were.
    fn carry_out(&self, shell: &Shell, root: &Path, verify: &dyn Fn() -> Result<()>) -> Result<()> {
        let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
        let mut before: Vec<(&str, &str)> = self.edits.iter().map(|(path, old, _)| (*path, old.as_str())).collect();
        before.push(("Cargo.lock", &lock));
        let done = self.write(shell, root).and_then(|()| verify());
        if let Err(error) = done {
            for (path, text) in before {
                fs::write(root.join(path), text).with_context(|| format!("cannot put {path} back"))?;
            }
            return Err(error.context("not released; the files are as they were"));
        }
        let paths: Vec<&str> = before.iter().map(|(path, _)| *path).collect();
        let (subject, tag) = (format!("Release {}", self.version), &self.tag);
        let message = format!("openclaw {}\n\n{}\n", self.version, self.news);
        cmd!(shell, "git -C {root} add -- {paths...}").quiet().run()?;
        // The version may be in the files already: the commit says that it is released.
        cmd!(shell, "git -C {root} commit --quiet --allow-empty -m {subject}").quiet().run()?;
        // Lines of the change log that begin with "#" are text, no comments.
        cmd!(shell, "git -C {root} tag --annotate --cleanup=whitespace {tag} -m {message}").quiet().run()?;
        Ok(())
    }

    fn write(&self, shell: &Shell, root: &Path) -> Result<()> {
        for (path, _, new) in &self.edits {
            fs::write(root.join(path), new).with_context(|| format!("cannot write {path}"))?;
        }
        let manifest = root.join("Cargo.toml");
        cmd!(shell, "cargo update --quiet --workspace --offline --manifest-path {manifest}").quiet().run()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A repository with a workspace of two crates, of which one needs the other.
    fn repository() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n\n[workspace.package]\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace.dependencies]\nlow = { path = \"crates/low\", version = \"0.1.0\" }\n",
        );
        let manifest = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion.workspace = true\nedition.workspace = true\n{rest}")
        };
        write("crates/high/Cargo.toml", &manifest("high", "\n[dependencies]\nlow.workspace = true\n"));
        write("crates/low/Cargo.toml", &manifest("low", ""));
        for name in ["high", "low"] {
            write(&format!("crates/{name}/src/lib.rs"), "");
        }
        write("CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- new\n");
        write(".gitignore", "/target\n");
        let root = dir.path();
        run(root, "cargo", &["generate-lockfile", "--offline"]);
        for words in [
            &["init", "--quiet", "--initial-branch", "main"][..],
            &["config", "user.name", "Test"],
            &["config", "user.email", "test@localhost"],
            &["config", "commit.gpgsign", "false"],
            &["config", "tag.gpgsign", "false"],
            &["add", "--all"],
            &["commit", "--quiet", "-m", "First"],
        ] {
            run(root, "git", words);
        }
        dir
    }

    fn run(root: &Path, program: &str, words: &[&str]) -> String {
        let output = Command::new(program).args(words).current_dir(root).output().unwrap();
        assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn plan(root: &Path, version: &str) -> Result<Plan> {
        Plan::make(&Shell::new().unwrap(), root, version, "2026-03-04")
    }

    #[test]
    fn a_dry_run_writes_nothing() {
        let dir = repository();
        let shell = Shell::new().unwrap();
        super::run(&shell, dir.path(), "0.2.0", true).unwrap();
        assert_eq!(run(dir.path(), "git", &["status", "--porcelain"]), "");
        assert_eq!(run(dir.path(), "git", &["tag"]), "");
        assert_eq!(plan(dir.path(), "0.2.0").unwrap().publishing.crates, ["low", "high"]);
    }

    #[test]
    fn a_release_is_one_commit_and_a_tag() {
        let dir = repository();
        let shell = Shell::new().unwrap();
        let plan = plan(dir.path(), "0.2.0").unwrap();
        plan.carry_out(&shell, dir.path(), &|| Ok(())).unwrap();
        let git = |words: &[&str]| run(dir.path(), "git", words);
        assert_eq!(git(&["status", "--porcelain"]), "");
        assert_eq!(git(&["log", "--format=%s"]), "Release 0.2.0\nFirst");
        assert_eq!(git(&["cat-file", "-t", "v0.2.0"]), "tag");
        assert!(git(&["tag", "-n9", "--list", "v0.2.0"]).contains("- new"));
        assert_eq!(git(&["show", "--name-only", "--format="]), "CHANGELOG.md\nCargo.lock\nCargo.toml");
        assert!(git(&["show", "HEAD:CHANGELOG.md"]).contains("## 0.2.0 - 2026-03-04"));
        assert_eq!(git(&["show", "HEAD:Cargo.lock"]).matches("version = \"0.2.0\"").count(), 2);
        // The lock file is what cargo wants.
        run(dir.path(), "cargo", &["metadata", "--locked", "--offline", "--format-version", "1"]);
        assert!(self::plan(dir.path(), "0.2.0").unwrap_err().to_string().contains("v0.2.0 is tagged already"));
    }

    #[test]
    fn a_release_that_fails_leaves_the_files_as_they_were() {
        let dir = repository();
        let shell = Shell::new().unwrap();
        let fail = || anyhow::bail!("a test failed");
        let error = plan(dir.path(), "0.2.0").unwrap().carry_out(&shell, dir.path(), &fail).unwrap_err();
        assert!(format!("{error:#}").contains("a test failed"), "{error:#}");
        assert_eq!(run(dir.path(), "git", &["status", "--porcelain"]), "");
        assert_eq!(run(dir.path(), "git", &["log", "--format=%s"]), "First");
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let dir = repository();
        let told = |version: &str| plan(dir.path(), version).unwrap_err().to_string();
        assert!(told("two").contains("no version"));
        assert!(told("0.0.9").contains("lower than the present version 0.1.0"));
        run(dir.path(), "git", &["switch", "--quiet", "-c", "side"]);
        assert!(told("0.2.0").contains("releases are made on main"));
        run(dir.path(), "git", &["switch", "--quiet", "main"]);
        fs::write(dir.path().join("new.txt"), "x").unwrap();
        assert!(told("0.2.0").contains("new.txt"));
        fs::remove_file(dir.path().join("new.txt")).unwrap();
        fs::write(dir.path().join("CHANGELOG.md"), "# Changelog\n").unwrap();
        run(dir.path(), "git", &["commit", "--quiet", "-am", "Forget"]);
        assert!(told("0.2.0").contains("CHANGELOG.md says nothing of 0.2.0"));
    }
}
