//! `cargo xtask gen`: files that are made from other files.

mod catalogue;
mod providers_page;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::reference;

/// Writes every generated file, or with `check` only tells which are out of date.
///
/// The catalogue comes first: the program, of whose command tree the rest is made, does not compile without it.
pub(crate) fn run(shell: &Shell, root: &Path, check: bool) -> Result<()> {
    let providers = root.join("crates/auth-core/data/providers.toml");
    let mut stale = Vec::new();
    let mut put = |path: &'static str, text: String| -> Result<()> {
        let full = root.join(path);
        if fs::read_to_string(&full).is_ok_and(|old| old == text) {
            return Ok(());
        }
        if check {
            stale.push(path);
            return Ok(());
        }
        fs::write(&full, text).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
        Ok(())
    };
    put("crates/auth-core/src/provider/catalogue.rs", catalogue::source(&providers)?)?;
    put("docs/providers.md", providers_page::page(&catalogue::Table::read(&providers)?)?)?;
    let made = reference::make(shell, "openclaw")?;
    for (name, path) in [("cli.md", "docs/cli.md"), ("environment.md", "docs/environment.md")] {
        let text = fs::read_to_string(made.path().join(name)).with_context(|| format!("cannot read {name}"))?;
        put(path, text)?;
    }
    ensure!(stale.is_empty(), "out of date: {}\nRun: cargo xtask gen", stale.join(", "));
    Ok(())
}
