//! Writes what is made from the command tree and the table of variables: `reference DIR [--name NAME]`.
//!
//! DIR gets `completions/` for four shells, `man/` with a page for every command, `cli.md` and `environment.md`. With a
//! name, completions and pages are those of a program that is installed under that name. `cargo xtask` calls this
//! program; it is one of its own so that tasks can run while the program does not compile.

mod cli_page;
mod environment_page;
mod fish;

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
    fs::write(completions.join(format!("{name}.bash")), bash(name)?)?;
    fs::write(completions.join(format!("{name}.fish")), fish::completion(name, &named(name)))?;
    for shell in [Shell::Zsh, Shell::PowerShell] {
        clap_complete::generate_to(shell, &mut named(name), name, &completions)?;
    }
    clap_mangen::generate_to(named(name), &man)?;
    fs::write(dir.join("cli.md"), cli_page::page(&openclaw_cli::command())?)?;
    fs::write(dir.join("environment.md"), environment_page::page()?)?;
    Ok(())
}

/// The completion for bash. It is made for a name without a hyphen, which its labels cannot have, and then called by
/// the real one.
fn bash(name: &str) -> Result<String> {
    let word = name.replace('-', "_");
    let mut bytes = Vec::new();
    clap_complete::generate(Shell::Bash, &mut named(&word), &word, &mut bytes);
    let text = String::from_utf8(bytes)?;
    let lines = text.lines().map(|line| match line.strip_suffix(&word) {
        Some(start) if line.trim_start().starts_with("complete ") => format!("{start}{name}\n"),
        _ => format!("{line}\n"),
    });
    Ok(lines.collect())
}

/// The command tree under a name, complete: without the deferred parts, which only starting up needs.
fn named(name: &str) -> clap::Command {
    // Man pages are files by name, which clap wants for ever.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    let mut tree = openclaw_cli::command().name(name).bin_name(name);
    tree.build();
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tree: &clap::Command) -> usize {
        1 + tree.get_subcommands().filter(|sub| !sub.is_hide_set()).map(shown).sum::<usize>()
    }

    #[test]
    fn everything_is_there_under_the_name_that_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "openclaw-auth").unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        for file in ["openclaw-auth.bash", "_openclaw-auth", "openclaw-auth.fish", "_openclaw-auth.ps1"] {
            let text = read(&format!("completions/{file}"));
            assert!(text.contains("openclaw-auth") && text.contains("clear-cooldown"), "{file}");
            assert!(text.contains("openai-api-key"), "deferred options in {file}");
        }
        let pages: Vec<_> = fs::read_dir(dir.path().join("man")).unwrap().collect();
        assert_eq!(pages.len(), shown(&named("openclaw-auth")));
        assert!(read("man/openclaw-auth-models-auth-why.1").contains("openclaw\\-auth models auth why"));
        assert!(!dir.path().join("man/openclaw-auth-secrets-helper.1").exists());
        assert!(read("cli.md").starts_with("# Command line") && read("environment.md").contains("`OPENCLAW_UPSTREAM`"));
    }

    #[test]
    fn bash_finds_every_command_that_it_looks_for() {
        for name in ["openclaw", "openclaw-auth"] {
            let text = bash(name).unwrap();
            let lines: std::collections::BTreeSet<&str> = text.lines().map(str::trim).collect();
            let wanted: Vec<&str> =
                lines.iter().filter_map(|line| line.strip_prefix("cmd=\"")?.strip_suffix('"')).collect();
            assert!(wanted.len() > 50, "{wanted:?}");
            for label in wanted.into_iter().filter(|label| !label.is_empty()) {
                assert!(lines.contains(format!("{label})").as_str()), "{label} of {name}");
            }
            let calls: Vec<&str> = lines.iter().copied().filter(|line| line.starts_with("complete ")).collect();
            assert!(!calls.is_empty() && calls.iter().all(|call| call.ends_with(&format!(" {name}"))), "{calls:?}");
        }
    }

    #[test]
    fn odd_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "a b", "../x", "a;b"] {
            assert!(write(dir.path(), name).is_err(), "{name:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
