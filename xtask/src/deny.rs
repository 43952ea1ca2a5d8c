//! `cargo xtask deny`: licences, doubled versions and sources of dependencies, by `deny.toml`.
//!
//! A small part of what cargo-deny does, with the same file, so that it needs nothing but the Rust toolchain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use xshell::Shell;

use crate::packages::{self, Locked};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bans {
    multiple_versions: Deny,
    skip: Vec<Kept>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// `name@version`.
    #[serde(rename = "crate")]
    key: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Sources {
    unknown_registry: Deny,
    unknown_git: Deny,
}

/// The only level that this check knows.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

/// What cargo says of a package.
#[derive(Debug)]
struct Licensed {
    name: String,
    licence: Option<String>,
}

/// Checks the workspace. Licences are those of packages for this machine, or for all targets, which fetches packages
/// that no build here needs; versions and sources are always those of the whole lock file.
pub(crate) fn run(shell: &Shell, root: &Path, all_targets: bool) -> Result<()> {
    let host = packages::host(shell)?;
    let metadata = packages::metadata(root, (!all_targets).then_some(host.as_str()))?;
    let licensed: Vec<Licensed> = metadata
        .packages
        .iter()
        .map(|package| Licensed {
            name: format!("{}@{}", package.name, package.version),
            licence: package.license.clone(),
        })
        .collect();
    // A dependency that names no registry comes from the default one: that is how cargo calls it in the lock file.
    let by_default: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .flat_map(|package| &package.dependencies)
        .filter(|dependency| dependency.path.is_none() && dependency.registry.is_none())
        .filter_map(|dependency| {
            let same = |package: &&cargo_metadata::Package| {
                package.name.as_str() == dependency.name && dependency.req.matches(&package.version)
            };
            Some(metadata.packages.iter().find(same)?.source.as_ref()?.repr.as_str())
        })
        .collect();
    ensure!(by_default.len() <= 1, "dependencies of the default registry have several sources: {by_default:?}");

    let path = root.join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rules: Rules = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let lock = packages::lock_file(&root.join("Cargo.lock"))?;
    let problems = problems(&rules, &lock, &licensed, by_default.first().copied());
    ensure!(problems.is_empty(), "dependencies:\n  {}\nThe rules stand in deny.toml", problems.join("\n  "));
    let of = if all_targets { "all targets" } else { &host };
    println!(
        "{} locked packages, {} older versions kept; licences of {} packages ({of}) are allowed",
        lock.len(),
        rules.bans.skip.len(),
        licensed.len()
    );
    Ok(())
}

fn problems(rules: &Rules, lock: &[Locked], licensed: &[Licensed], registry: Option<&str>) -> Vec<String> {
    let Rules { licenses, bans: Bans { multiple_versions: Deny::Deny, skip }, sources } = rules;
    let Sources { unknown_registry: Deny::Deny, unknown_git: Deny::Deny } = sources;
    let mut problems = Vec::new();

    for Licensed { name, licence } in licensed {
        let Some(licence) = licence else {
            problems.push(format!("{name} names no licence"));
            continue;
        };
        match alternatives(licence) {
            Err(error) => problems.push(format!("{name}: {error}")),
            Ok(ways) if ways.iter().any(|way| way.iter().all(|one| licenses.allow.contains(one))) => {}
            Ok(_) => problems.push(format!("{name}: the licence {licence} is not allowed")),
        }
    }

    for package in lock {
        let name = format!("{}@{}", package.name, package.version);
        match (&package.source, &package.checksum) {
            (Some(source), _) if !source.starts_with("registry+") => {
                problems.push(format!("{name} comes from {source}, not from a registry"));
            }
            (Some(source), _) if registry != Some(source.as_str()) => {
                problems.push(format!("{name} comes from another registry than the default one: {source}"));
            }
            (Some(_), None) => problems.push(format!("{name} has no checksum")),
            (None, _) | (Some(_), Some(_)) => {}
        }
    }

    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let mut unused: BTreeSet<&str> = skip.iter().map(|kept| kept.key.as_str()).collect();
    for kept in skip.iter().filter(|kept| kept.reason.trim().is_empty()) {
        problems.push(format!("{} is kept without a reason", kept.key));
    }
    for (name, versions) in versions {
        let open: Vec<&str> = versions
            .iter()
            .copied()
            .filter(|version| !skip.iter().any(|kept| kept.key == format!("{name}@{version}")))
            .collect();
        if versions.len() > 1 {
            for version in &versions {
                unused.remove(format!("{name}@{version}").as_str());
            }
        }
        if open.len() > 1 {
            problems.push(format!("{name} is there in several versions: {}", open.join(", ")));
        }
    }
    problems.extend(unused.iter().map(|kept| format!("{kept} is kept, but there is no other version of it")));
    problems
}

/// The ways to satisfy an SPDX expression, each a list of licences that hold together. `/` counts as `OR`, as in old
/// manifests.
pub(crate) fn alternatives(expression: &str) -> Result<Vec<Vec<String>>> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let ways = either(&tokens, &mut at).with_context(|| format!("cannot read the licence {expression:?}"))?;
    ensure!(at == tokens.len(), "cannot read the licence {expression:?}");
    Ok(ways)
}

fn either(tokens: &[&str], at: &mut usize) -> Result<Vec<Vec<String>>> {
    let mut ways = both(tokens, at)?;
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        ways.extend(both(tokens, at)?);
    }
    Ok(ways)
}

fn both(tokens: &[&str], at: &mut usize) -> Result<Vec<Vec<String>>> {
    let mut ways = one(tokens, at)?;
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        let more = one(tokens, at)?;
        ways = ways.iter().flat_map(|way| more.iter().map(move |more| [way.as_slice(), more].concat())).collect();
    }
    Ok(ways)
}

fn one(tokens: &[&str], at: &mut usize) -> Result<Vec<Vec<String>>> {
    let token = *tokens.get(*at).context("it ends too early")?;
    *at += 1;
    match token {
        "(" => {
            let inside = either(tokens, at)?;
            ensure!(tokens.get(*at) == Some(&")"), "a bracket is not closed");
            *at += 1;
            Ok(inside)
        }
        "OR" | "AND" | "WITH" | ")" => bail!("{token} is out of place"),
        name => match tokens.get(*at..*at + 2) {
            Some(["WITH", exception]) => {
                *at += 2;
                Ok(vec![vec![format!("{name} WITH {exception}")]])
            }
            _ => Ok(vec![vec![name.to_owned()]]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        licenses.allow = ["MIT", "Apache-2.0"]
        bans = { multiple-versions = "deny", skip = [{ crate = "old@1.0.0", reason = "somebody" }] }
        sources = { unknown-registry = "deny", unknown-git = "deny" }
    "#;
    const REGISTRY: &str = "registry+https://registry.example/index";

    fn told(rules: &str, lock: &str, licences: &[(&str, Option<&str>)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Cargo.lock");
        fs::write(&path, lock).unwrap();
        let licensed: Vec<Licensed> = licences
            .iter()
            .map(|(name, licence)| Licensed { name: (*name).to_owned(), licence: licence.map(str::to_owned) })
            .collect();
        problems(&toml::from_str(rules).unwrap(), &packages::lock_file(&path).unwrap(), &licensed, Some(REGISTRY))
    }

    fn package(name: &str, version: &str, source: &str) -> String {
        let checksum = if source.is_empty() { "" } else { "checksum = \"00\"\n" };
        let source = if source.is_empty() { String::new() } else { format!("source = \"{source}\"\n") };
        format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{source}{checksum}")
    }

    #[test]
    fn a_good_lock_file_passes() {
        let lock = [package("ours", "0.1.0", ""), package("old", "1.0.0", REGISTRY), package("old", "2.0.0", REGISTRY)];
        let licences = [("a@1.0.0", Some("MIT/Odd")), ("b@1.0.0", Some("(Odd OR MIT) AND Apache-2.0"))];
        assert_eq!(told(RULES, &lock.concat(), &licences), [""; 0]);
    }

    #[test]
    fn each_kind_of_trouble_is_named() {
        let expect = |lock: &[String], licences: &[(&str, Option<&str>)], words: &[&str]| {
            let problems = told(&RULES.replace("old@1.0.0", "x@1.0.0"), &lock.concat(), licences);
            let first: Vec<&String> =
                problems.iter().filter(|problem| !problem.starts_with("x@1.0.0 is kept")).collect();
            assert_eq!(problems.len() - first.len(), 1, "the entry for x is not needed: {problems:?}");
            assert!(first.len() == words.len() && first.iter().zip(words).all(|(p, w)| p.contains(w)), "{first:?}");
        };
        expect(&[package("a", "1.0.0", "git+https://example.com/a#0")], &[], &["a@1.0.0 comes from git+"]);
        expect(&[package("a", "1.0.0", "registry+https://other.example")], &[], &["another registry"]);
        let unchecked = package("a", "1.0.0", REGISTRY).replace("checksum = \"00\"\n", "");
        expect(&[unchecked], &[], &["a@1.0.0 has no checksum"]);
        let twice = [package("a", "1.0.0", REGISTRY), package("a", "2.0.0", REGISTRY)];
        expect(&twice, &[], &["a is there in several versions: 1.0.0, 2.0.0"]);
        expect(&[package("a", "1.0.0", REGISTRY)], &[("a@1.0.0", None)], &["a@1.0.0 names no licence"]);
        expect(
            &[package("a", "1.0.0", REGISTRY)],
            &[("a@1.0.0", Some("GPL-3.0-only AND MIT"))],
            &["a@1.0.0: the licence GPL-3.0-only AND MIT is not allowed"],
        );
        expect(&[package("a", "1.0.0", REGISTRY)], &[("a@1.0.0", Some("MIT OR"))], &["cannot read the licence"]);
    }

    #[test]
    fn exceptions_need_a_reason() {
        let lock = [package("old", "1.0.0", REGISTRY), package("old", "2.0.0", REGISTRY)].concat();
        let problems = told(&RULES.replace("somebody", " "), &lock, &[]);
        assert_eq!(problems, ["old@1.0.0 is kept without a reason"]);
    }

    #[test]
    fn expressions_are_read() {
        let ways = |text: &str| {
            let ways = alternatives(text).unwrap();
            ways.iter().map(|way| way.join("+")).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(ways("MIT OR Apache-2.0 WITH LLVM-exception"), "MIT | Apache-2.0 WITH LLVM-exception");
        assert_eq!(ways("(MIT OR Apache-2.0) AND Unicode-3.0"), "MIT+Unicode-3.0 | Apache-2.0+Unicode-3.0");
        assert_eq!(ways("A AND B OR C"), "A+B | C");
        for broken in ["", "MIT)", "(MIT", "AND MIT", "MIT Apache-2.0", "MIT WITH"] {
            assert!(alternatives(broken).is_err(), "{broken}");
        }
    }
}
