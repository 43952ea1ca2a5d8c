//! The direction of dependencies: a crate may use those on a lower floor, never one beside or above it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

/// The crates from the ground up.
const FLOORS: &[&[&str]] = &[
    &["auth-core"],
    &["auth-store"],
    &["auth-oauth"],
    &["auth-probe", "openclaw-doctor"],
    &["auth-gateway"],
    &["openclaw-cli"],
    &["reference"],
    &["xtask"],
];

/// All that auth-core may depend on: nothing here touches the world.
const CORE_MAY_USE: &[&str] = &["indexmap", "secrecy", "serde", "serde_json", "sha2", "thiserror", "url", "zeroize"];

/// Fails when an arrow points up or sideways, when a crate has no floor, or when auth-core takes on a dependency.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    let metadata = cmd!(shell, "cargo metadata --no-deps --format-version 1 --locked").quiet().read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(floor) = floor_of(name) else {
            problems.push(format!("{name} has no floor: add it to FLOORS in xtask/src/arrows.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let used = dependency["name"].as_str().unwrap_or_default();
            if floor_of(used).is_some_and(|below| below >= floor) {
                problems.push(format!("{name} uses {used}, which is not below it"));
            }
            let for_tests = dependency["kind"] == "dev";
            if name == "auth-core" && !for_tests && !CORE_MAY_USE.contains(&used) {
                problems.push(format!("auth-core uses {used}, which is not on its list"));
            }
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// Every crate, from the ground up.
pub(crate) fn crates() -> impl Iterator<Item = &'static str> {
    FLOORS.iter().flat_map(|floor| floor.iter().copied())
}

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors_are_ordered() {
        assert!(floor_of("auth-core") < floor_of("auth-store"));
        assert!(floor_of("openclaw-doctor") < floor_of("openclaw-cli"));
        assert_eq!(floor_of("serde"), None);
    }
}
