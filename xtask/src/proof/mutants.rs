//! `cargo xtask proof mutants`: whether the tests of auth-core notice when its decisions are changed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::fresh;

/// Finds panics only, and takes longer than all other tests together.
const SLOW: &str = "arbitrary_texts_do_not_panic";
/// What the libraries are compiled with: the tests spend their time there.
const LIBRARIES: &str = "profile.dev.package.\"*\".opt-level=2";

/// Changes auth-core, or some of its files, in every way that cargo-mutants knows, and runs the tests beside the code.
/// The whole takes hours.
pub(super) fn mutants(root: &Path, work: &Path, only: &[&str]) -> Result<()> {
    let there =
        Command::new("cargo").args(["mutants", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(there.is_ok_and(|status| status.success()), "cargo-mutants is not here. Run: cargo install cargo-mutants");
    let out = fresh(work, "mutants")?;
    let jobs = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8)).to_string();
    let mut command = Command::new("cargo");
    command.args(["mutants", "--package", "auth-core", "--jobs", &jobs, "--timeout", "15", "--no-shuffle", "--output"]);
    command.arg(&out);
    for file in only {
        command.args(["--file", &format!("crates/auth-core/src/{file}")]);
    }
    // Nothing but what the tests need is built for each change.
    command.args(["-C", "--lib", "-C", "--config", "-C", LIBRARIES, "--", "--", "--skip", SLOW]);
    command.env("CARGO_PROFILE_DEV_DEBUG", "none").env("CARGO_PROFILE_TEST_DEBUG", "none");
    // An input that failed once would be tried again, and fail again, for every change after it.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    // It ends with an error when a change goes unnoticed; what it found is told below.
    command.current_dir(root).stdin(Stdio::null()).status()?;
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
