//! `cargo xtask proof mutants`: whether the tests of auth-core notice when its decisions are changed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::fresh;

/// Where auth-core decides; the rest of it reads, writes and names.
const DECISIONS: &[&str] = &[
    "fallback.rs",
    "health.rs",
    "model.rs",
    "order.rs",
    "rotation.rs",
    "secret.rs",
    "session/pin.rs",
    "usage.rs",
    "usage/chatgpt.rs",
    "usage/unavailable.rs",
];

/// Changes each of these files in every way that cargo-mutants knows, and runs the tests beside the code.
pub(super) fn mutants(root: &Path, work: &Path, only: &[&str]) -> Result<()> {
    let there =
        Command::new("cargo").args(["mutants", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(there.is_ok_and(|status| status.success()), "cargo-mutants is not here. Run: cargo install cargo-mutants");
    let out = fresh(work, "mutants")?;
    let mut command = Command::new("cargo");
    command.args(["mutants", "--package", "auth-core", "--timeout", "60", "--no-shuffle", "--output"]).arg(&out);
    for file in if only.is_empty() { DECISIONS } else { only } {
        command.args(["--file", &format!("crates/auth-core/src/{file}")]);
    }
    // It ends with an error when a change goes unnoticed; what it found is told below.
    command.args(["--", "--lib"]).current_dir(root).stdin(Stdio::null()).status()?;
    let report =
        std::fs::read_to_string(out.join("mutants.out/outcomes.json")).context("cargo-mutants told nothing")?;
    let report: Value = serde_json::from_str(&report)?;
    let count = |name: &str| report[name].as_u64().unwrap_or(0);
    let (caught, missed, slow, unviable) = (count("caught"), count("missed"), count("timeout"), count("unviable"));
    let viable = caught + missed + slow;
    ensure!(viable > 0, "nothing was changed");
    println!(
        "mutants: {viable} changes that compile ({unviable} do not): {} noticed, {missed} not; score {} %",
        caught + slow,
        (caught + slow) * 100 / viable
    );
    let unnoticed = std::fs::read_to_string(out.join("mutants.out/missed.txt")).unwrap_or_default();
    print!("{unnoticed}");
    Ok(())
}
