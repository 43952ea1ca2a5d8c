//! `cargo xtask api`: what each library offers, written down in `crates/<name>/api.txt`, so that a change of it is seen
//! in review.
//!
//! The items come from the JSON of rustdoc, which any toolchain writes when told so; its format changes with releases.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

/// The format that `public-api` reads, and the Rust that writes it.
const FORMAT: u64 = 57;
const FORMAT_OF: &str = "1.95";

/// Lets rustdoc, and nothing else, take its unstable option: a variable for all of cargo would build everything anew.
const RUSTDOC: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec \"${OUTER_RUSTDOC:-rustdoc}\" \"$@\"\n";

/// Writes every list, or with `--check` tells which no longer say what the crate offers.
pub(crate) fn run(shell: &Shell, root: &Path, words: &[&str]) -> Result<()> {
    let check = match words {
        [] => false,
        ["--check"] => true,
        _ => bail!("Run: cargo xtask api [--check]"),
    };
    ensure!(run_unless_other_format(shell, root, check)?, "{}", other_format());
    Ok(())
}

/// The step of `ci`. A toolchain with another format cannot tell; that is said, and is no failure of the project.
pub(crate) fn step(shell: &Shell, root: &Path) -> Result<()> {
    if !run_unless_other_format(shell, root, true)? {
        println!("   NOT CHECKED: {}", other_format());
    }
    Ok(())
}

fn other_format() -> String {
    format!(
        "the lists of the public API need rustdoc of Rust {FORMAT_OF} (JSON format {FORMAT})\n\
         Run: cargo +{FORMAT_OF} xtask api --check"
    )
}

/// `false` when rustdoc writes another format than the one that is read here.
fn run_unless_other_format(shell: &Shell, root: &Path, check: bool) -> Result<bool> {
    let target = target(shell)?;
    let rustdoc = wrapper(&target)?;
    let mut changed = String::new();
    for library in libraries(shell)? {
        let json = rustdoc_json(shell, &rustdoc, &target, &library)?;
        let Some(now) = listed(&json)? else { return Ok(false) };
        let path = library.dir.join("api.txt");
        let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let before = fs::read_to_string(root.join(&path)).unwrap_or_default();
        if before == now {
            continue;
        }
        if check {
            write!(changed, "{path}\n{}", difference(&before, &now))?;
        } else {
            fs::write(root.join(&path), now).with_context(|| format!("cannot write {path}"))?;
            println!("wrote {path}");
        }
    }
    ensure!(changed.is_empty(), "the public API has changed:\n{changed}If that is wanted: cargo xtask api");
    Ok(true)
}

/// A crate that others can depend on.
struct Library {
    package: String,
    /// What it is called in code.
    name: String,
    dir: PathBuf,
}

/// The crates that others can depend on.
fn libraries(shell: &Shell) -> Result<Vec<Library>> {
    let metadata = metadata(shell)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let library = |package: &Value| {
        let mut targets = package["targets"].as_array().into_iter().flatten();
        let target =
            targets.find(|target| target["kind"].as_array().is_some_and(|kinds| kinds.contains(&"lib".into())))?;
        let dir = Path::new(package["manifest_path"].as_str()?).parent()?.to_owned();
        Some(Library { package: text(&package["name"])?, name: text(&target["name"])?, dir })
    };
    let mut found: Vec<Library> = metadata["packages"].as_array().into_iter().flatten().filter_map(library).collect();
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    ensure!(!found.is_empty(), "the workspace has no library");
    Ok(found)
}

fn target(shell: &Shell) -> Result<PathBuf> {
    let metadata = metadata(shell)?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target directory")?.into())
}

fn metadata(shell: &Shell) -> Result<Value> {
    let text = cmd!(shell, "cargo metadata --no-deps --format-version 1 --locked").quiet().read()?;
    serde_json::from_str(&text).context("cargo metadata")
}

/// A program that stands in for rustdoc.
fn wrapper(target: &Path) -> Result<PathBuf> {
    let dir = target.join("xtask");
    fs::create_dir_all(&dir).context("cannot make a directory below target")?;
    let path = dir.join("rustdoc");
    if fs::read_to_string(&path).is_ok_and(|text| text == RUSTDOC) {
        return Ok(path);
    }
    fs::write(&path, RUSTDOC).and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))?;
    Ok(path)
}

/// Has the JSON of a crate written, and says where.
fn rustdoc_json(shell: &Shell, rustdoc: &Path, target: &Path, library: &Library) -> Result<PathBuf> {
    let package = &library.package;
    let mut command = cmd!(
        shell,
        "cargo rustdoc --quiet --locked --lib --package {package} -- -Z unstable-options --output-format json --cap-lints allow"
    )
    .quiet()
    .env("RUSTDOC", rustdoc);
    if let Some(outer) = std::env::var_os("RUSTDOC") {
        command = command.env("OUTER_RUSTDOC", outer);
    }
    command.run()?;
    Ok(target.join("doc").join(format!("{}.json", library.name.replace('-', "_"))))
}

/// The items, one a line, sorted; none when the format is another one.
fn listed(json: &Path) -> Result<Option<String>> {
    let found: Value = serde_json::from_reader(std::io::BufReader::new(File::open(json)?)).context("rustdoc's JSON")?;
    if found["format_version"].as_u64() != Some(FORMAT) {
        return Ok(None);
    }
    drop(found);
    let build = |derived: bool| {
        let builder = public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true);
        builder.omit_auto_trait_impls(true).omit_auto_derived_impls(!derived).build()
    };
    // Of what is derived, that it is there: what its methods look like follows.
    let written: HashSet<String> = build(false)?.items().map(ToString::to_string).collect();
    let mut text = String::new();
    for item in build(true)?.items().map(ToString::to_string) {
        let derived = item.starts_with("impl") && !item.contains("StructuralPartialEq");
        if derived || written.contains(&item) {
            writeln!(text, "{item}")?;
        }
    }
    ensure!(text.lines().count() > 1, "{} lists nothing", json.display());
    Ok(Some(text))
}

/// Lines that are only in one of two sorted lists, marked.
fn difference(before: &str, now: &str) -> String {
    let mut text = String::new();
    for (sign, of, other) in [('-', before, now), ('+', now, before)] {
        let known: HashSet<&str> = other.lines().collect();
        for line in of.lines().filter(|line| !known.contains(line)) {
            text.extend(["  ", &sign.to_string(), " ", line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_both_sides() {
        let said = difference("pub fn a()\npub fn b()\n", "pub fn a(x: u8)\npub fn b()\n");
        assert_eq!(said, "  - pub fn a()\n  + pub fn a(x: u8)\n");
    }
}
