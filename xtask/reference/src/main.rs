//! Writes what is made from the command tree and the table of variables: `reference DIR [--name NAME]`.
//!
//! DIR gets `completions/` for four shells, `man/` with a page for every command, `cli.md` and `environment.md`. With a
//! name, completions and pages are those of a program that is installed under that name. `cargo xtask` calls this
//! program; it is one of its own so that tasks can run while the program does not compile.

mod cli_page;
mod environment_page;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap_complete::Shell;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [dir] => write(Path::new(dir), "openclaw"),
        [dir, "--name", name] => write(Path::new(dir), name),
        _ => Err(anyhow::anyhow!("usage: reference DIR [--name NAME]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("error: {error:#}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Writes everything below `dir`, which is made when it is not there.
fn write(dir: &Path, name: &str) -> Result<()> {
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || name.is_empty() {
        bail!("{name:?} cannot be the name of a program");
    }
    let completions = dir.join("completions");
    let man = dir.join("man");
    for dir in [&completions, &man] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        let mut tree = named(name);
        clap_complete::generate_to(shell, &mut tree, name, &completions)?;
    }
    clap_mangen::generate_to(named(name), &man)?;
    fs::write(dir.join("cli.md"), cli_page::page(&openclaw_cli::command())?)?;
    fs::write(dir.join("environment.md"), environment_page::page()?)?;
    Ok(())
}

/// The command tree under a name, complete: without the deferred parts, which only starting up needs.
fn named(name: &str) -> clap::Command {
    // Man pages are files by name, which clap wants for ever.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut tree = openclaw_cli::command().name(name).bin_name(name);
    tree.build();
    tree
}
