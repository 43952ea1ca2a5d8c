//! What is made from the command tree: completions, man pages, pages of the guide.

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// Makes everything for a program of this name, in a folder that is removed when the value goes.
pub(crate) fn make(shell: &Shell, name: &str) -> Result<tempfile::TempDir> {
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    let path = dir.path();
    cmd!(shell, "cargo run --quiet --locked --package reference -- {path} --name {name}").quiet().run()?;
    Ok(dir)
}
