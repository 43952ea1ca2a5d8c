//! `cargo xtask proof fuzz`: every fuzz target for a while, with the kept inputs as a beginning. What is found stays in
//! `fuzz/artifacts`; nothing is added to the corpus.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::fresh;

/// Runs each target, or those that are named, for so many seconds.
pub(super) fn fuzz(root: &Path, work: &Path, seconds: u64, only: &[&str]) -> Result<()> {
    let there = Command::new("cargo").args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(there.is_ok_and(|status| status.success()), "cargo-fuzz is not here. Run: cargo install cargo-fuzz");
    let targets = targets(root)?;
    if let Some(unknown) = only.iter().find(|name| !targets.iter().any(|target| target == *name)) {
        bail!("no such fuzz target: {unknown}; there are {}", targets.join(", "));
    }
    println!("{:<16} {:>12} {:>12} {:>10}", "target", "executions", "per second", "seconds");
    for target in targets.iter().filter(|target| only.is_empty() || only.contains(&target.as_str())) {
        let found = fresh(work, &format!("fuzz-{target}"))?;
        let kept = root.join("fuzz/corpus").join(target);
        let output = Command::new("cargo")
            .args(["fuzz", "run", "-O", target])
            .args([&found, &kept])
            .args(["--", &format!("-max_total_time={seconds}"), "-rss_limit_mb=4096"])
            .current_dir(root)
            // The instrumentation is not stable; the language that is compiled is.
            .env("RUSTC_BOOTSTRAP", "1")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let said: Vec<&str> = text.lines().rev().take(40).collect();
            bail!(
                "{target} failed; what made it is in fuzz/artifacts\n{}",
                said.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        let (runs, took) = done(&text).with_context(|| format!("{target} did not say what it has done"))?;
        println!("{target:<16} {runs:>12} {:>12} {took:>10}", runs / took.max(1));
    }
    Ok(())
}

/// The targets, in the order of the manifest.
fn targets(root: &Path) -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(root.join("fuzz/Cargo.toml"))?.parse()?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).context("fuzz/Cargo.toml has no targets")?;
    let names = bins.iter().filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned));
    Ok(names.collect())
}

/// Reads `Done 123 runs in 45 second(s)`.
fn done(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().rev().find(|line| line.starts_with("Done ") && line.contains(" runs in "))?;
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_read() {
        assert_eq!(done("#1 INITED\nDone 1521978 runs in 41 second(s)\n"), Some((1_521_978, 41)));
        assert_eq!(done("SUMMARY: libFuzzer: deadly signal"), None);
    }

    #[test]
    fn every_target_has_kept_inputs_and_a_replay() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
        let replays = ["auth-core", "auth-store", "auth-oauth", "auth-probe"].map(|name| {
            fs::read_to_string(root.join("crates").join(name).join("tests/kept_inputs.rs")).unwrap_or_default()
        });
        let targets = targets(root).expect("the targets");
        assert!(targets.len() >= 8);
        for target in targets {
            let kept = fs::read_dir(root.join("fuzz/corpus").join(&target)).map(Iterator::count);
            assert!(kept.is_ok_and(|count| count > 0), "{target} has no kept inputs");
            assert!(
                replays.iter().any(|text| text.contains(&format!("replay(\"{target}\""))),
                "{target} is not replayed"
            );
        }
    }
}
