//! `cargo xtask ci`: everything that must pass before a change is good.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::{api, arrows, deny, generate};

/// Runs every step in turn and stops at the first that fails.
pub(crate) fn run(shell: &Shell, root: &Path) -> Result<()> {
    let before = tree_state(shell)?;
    let steps: [(&str, &dyn Fn() -> Result<()>); 10] = [
        ("format", &|| Ok(cmd!(shell, "cargo fmt --all -- --check").run()?)),
        ("generated files", &|| generate::run(shell, root, true)),
        ("structure", &|| arrows::check(shell)),
        ("dependencies", &|| deny::run(shell, root, false)),
        ("lints", &|| {
            Ok(cmd!(shell, "cargo clippy --quiet --locked --workspace --all-targets -- --deny warnings").run()?)
        }),
        ("tests", &|| Ok(cmd!(shell, "cargo test --quiet --locked --workspace").run()?)),
        ("optional features", &|| {
            let keepers = ["-p", "auth-store", "-p", "openclaw-cli", "--features", "age,keyring"];
            let lints = cmd!(shell, "cargo clippy --quiet --locked {keepers...} --all-targets -- --deny warnings");
            lints.run()?;
            Ok(cmd!(shell, "cargo test --quiet --locked {keepers...} keeper").run()?)
        }),
        ("no default features", &|| no_default_features(shell)),
        ("docs", &|| {
            let docs = cmd!(shell, "cargo doc --quiet --locked --workspace --no-deps --document-private-items");
            Ok(docs.env("RUSTDOCFLAGS", "--deny warnings").run()?)
        }),
        ("public API", &|| api::step(shell, root)),
    ];
    for (name, step) in steps {
        let start = Instant::now();
        println!("== {name}");
        step()?;
        println!("   {name}: {:.1} s", start.elapsed().as_secs_f32());
    }
    ensure!(before == tree_state(shell)?, "the run changed files of the project; see git status");
    println!("all steps passed");
    Ok(())
}

/// Builds every crate by itself with the fewest features: what the others switch on does not count.
fn no_default_features(shell: &Shell) -> Result<()> {
    for name in arrows::crates() {
        cmd!(shell, "cargo check --quiet --locked --no-default-features --package {name}").quiet().run()?;
    }
    Ok(())
}

/// What git sees as changed; empty outside a repository.
fn tree_state(shell: &Shell) -> Result<String> {
    let inside = cmd!(shell, "git rev-parse --is-inside-work-tree").quiet().ignore_stderr().ignore_status().read()?;
    if inside.trim() != "true" {
        return Ok(String::new());
    }
    Ok(cmd!(shell, "git status --porcelain").quiet().read()?)
}
