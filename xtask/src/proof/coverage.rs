//! `cargo xtask proof coverage`: how many lines of each library its own tests run. What only the tests of the program
//! run, such as reports, is not counted: they clear the environment of the program, and with it the counter.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The libraries, from the ground up; packages and their folders.
const LIBRARIES: &[(&str, &str)] = &[
    ("auth-core", "auth-core"),
    ("auth-store", "auth-store"),
    ("auth-oauth", "auth-oauth"),
    ("auth-probe", "auth-probe"),
    ("openclaw-doctor", "doctor"),
    ("auth-gateway", "auth-gateway"),
];

/// Runs the tests of each library, or of those that are named, with a counter at each line.
pub(super) fn coverage(root: &Path, work: &Path, only: &[&str]) -> Result<()> {
    let there =
        Command::new("cargo").args(["tarpaulin", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(
        there.is_ok_and(|status| status.success()),
        "cargo-tarpaulin is not here. Run: cargo install cargo-tarpaulin"
    );
    println!("{:<16} {:>8} {:>8} {:>8}", "library", "lines", "run", "percent");
    for (package, folder) in LIBRARIES.iter().filter(|(_, folder)| only.is_empty() || only.contains(folder)) {
        let output = Command::new("cargo")
            .args(["tarpaulin", "--engine", "llvm", "--skip-clean", "--out", "Stdout", "--package", package])
            .args(["--include-files", &format!("crates/{folder}/src/*"), "--target-dir"])
            .arg(work.join("coverage"))
            .current_dir(root)
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said =
            || format!("{package}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
        ensure!(output.status.success(), "the tests failed: {}", said());
        let (run, lines) = lines_run(&text).with_context(said)?;
        println!("{folder:<16} {lines:>8} {run:>8} {:>7} %", run * 100 / lines.max(1));
    }
    Ok(())
}

/// Reads `77.39% coverage, 4613/5961 lines covered`.
fn lines_run(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().rev().find(|line| line.contains("% coverage, "))?;
    let (run, lines) = line.split_once("% coverage, ")?.1.split_once(' ')?.0.split_once('/')?;
    Some((run.parse().ok()?, lines.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::lines_run;

    #[test]
    fn the_last_line_is_read() {
        assert_eq!(lines_run("|| a: 1/2\n77.39% coverage, 4613/5961 lines covered\n"), Some((4613, 5961)));
        assert_eq!(lines_run("error"), None);
    }
}
