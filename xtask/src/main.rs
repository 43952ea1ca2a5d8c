//! Project tasks: `cargo xtask <task>`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks report on the terminal")]

mod api;
mod arrows;
mod bench;
mod bench_gateway;
mod ci;
mod deny;
mod dist;
mod generate;
mod install;
mod packages;
mod proof;
mod proof_doctor;
mod reference;
mod release;
mod reproduce;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

const HELP: &str = "\
Tasks of this project: cargo xtask <task>

  ci                                 everything that must pass: format, lints, structure, generated files, tests, docs
  conformance [--bin PATH] [AREA]    recorded behaviour, against this program or another
  bench                              time, memory and size of whole commands, beside /bin/true
  bench gateway [--bin PATH]         what the gateway adds, its highest rate and its memory, beside its provider
  proof [reads|kill [N]|race|doctor [[kill] N]|single-flight [N]] [--bin PATH]
                                     reading that never writes, connects or starts anything, killed in the middle of
                                     writes, many writers at once, repairs of broken states,
                                     many processes that find one login expired
  proof gateway [N] [--bin PATH]     the gateway among failing providers and N clients at once, killed and started again
  proof clients [--bin PATH]         the Python clients and curl against the gateway
  proof page [--bin PATH]            the status page in headless Chromium (chromium, chromium-driver)
  proof fuzz [SECONDS [TARGET…]]     every fuzz target for a while (cargo-fuzz)
  proof coverage [CRATE…]            the lines of each library that its own tests run (cargo-tarpaulin)
  proof mutants [FILE…]              every change of auth-core, and whether a test notices (cargo-mutants)
  gen [--check]                      write the files that are made from others, or tell which are out of date
  api [--check]                      write down what each library offers, or tell what has changed
  deny [--all-targets]               licences, doubled versions and sources of dependencies, by deny.toml

  install [--prefix DIR] [--name openclaw|openclaw-auth] [--force]
                                     build and install: program, completions, man pages (~/.local)
  uninstall [--prefix DIR]           remove what install put there
  dist [--out DIR]                   archives, Debian packages, bill of materials, checksums (target/dist/out)
  reproduce                          build the last commit twice, in two places, and compare the bytes
  release VERSION [--dry-run]        check, set the version, test, package, commit, tag
  publish [--yes-really] [--from CRATE]
                                     the tagged crates to the registry; without --yes-really a dry run
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let root = root()?;
    let shell = Shell::new()?;
    shell.change_dir(&root);
    match words {
        ["ci"] => ci::run(&shell, &root),
        ["conformance", rest @ ..] => conformance(&shell, rest),
        ["bench"] => bench::run(&shell, &root),
        ["bench", "gateway", rest @ ..] => bench_gateway::run(&shell, &root, rest),
        ["proof", rest @ ..] => proof::run(&shell, &root, rest),
        ["api", rest @ ..] => api::run(&shell, &root, rest),
        ["gen"] => generate::run(&shell, &root, false),
        ["gen", "--check"] => generate::run(&shell, &root, true),
        ["deny"] => deny::run(&shell, &root, false),
        ["deny", "--all-targets"] => deny::run(&shell, &root, true),
        ["install", rest @ ..] => {
            let options = Options::read(rest, &["--prefix", "--name"], &["--force"])?;
            let name = options.value("--name").unwrap_or("openclaw");
            install::run(&shell, &root, options.value("--prefix"), name, options.has("--force"))
        }
        ["uninstall", rest @ ..] => install::remove(Options::read(rest, &["--prefix"], &[])?.value("--prefix")),
        ["dist", rest @ ..] => {
            let options = Options::read(rest, &["--out"], &[])?;
            let out = options.value("--out").map_or_else(|| Ok(root.join("target/dist/out")), std::path::absolute)?;
            dist::run(&shell, &root, &out)
        }
        ["reproduce"] => reproduce::run(&shell, &root),
        ["release", version, rest @ ..] if !version.starts_with('-') => {
            let options = Options::read(rest, &[], &["--dry-run"])?;
            release::run(&shell, &root, version, options.has("--dry-run"))
        }
        ["publish", rest @ ..] => {
            let options = Options::read(rest, &["--from"], &["--yes-really", "--dry-run"])?;
            let dry_run = options.has("--dry-run") || !options.has("--yes-really");
            release::publish::run(&shell, &root, dry_run, options.value("--from"))
        }
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("no such task: {}\n\n{HELP}", words.join(" ")),
    }
}

/// The options of a task.
struct Options<'a> {
    values: Vec<(&'a str, &'a str)>,
    flags: Vec<&'a str>,
}

impl<'a> Options<'a> {
    /// Reads options with a value (`--out DIR`, `--out=DIR`) and without.
    fn read(words: &[&'a str], with_value: &[&str], flags: &[&str]) -> Result<Self> {
        let mut options = Self { values: Vec::new(), flags: Vec::new() };
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            let (name, joined) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            if with_value.contains(&name) {
                let value =
                    joined.or_else(|| rest.next()).filter(|value| !value.is_empty() && !value.starts_with("--"));
                options.values.push((name, value.with_context(|| format!("{name} needs a value"))?));
            } else if flags.contains(&word) {
                options.flags.push(word);
            } else {
                bail!("no such option: {word}\n\n{HELP}");
            }
        }
        Ok(options)
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.values.iter().rev().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }
}

fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no parent folder")?;
    Ok(root.to_owned())
}

fn conformance(shell: &Shell, words: &[&str]) -> Result<()> {
    let (bin, area) = match words {
        ["--bin", path, rest @ ..] => (Some(std::path::absolute(path)?), rest),
        rest => (None, rest),
    };
    let mut command = cmd!(shell, "cargo test --quiet --package openclaw-cli --test conformance -- {area...}");
    if let Some(bin) = bin {
        command = command.env("OPENCLAW_CONFORMANCE_BIN", bin);
    }
    command.run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn options_are_read_and_mistakes_refused() {
        let read = |words: &[&'static str]| Options::read(words, &["--out"], &["--force"]);
        let options = read(&["--out", "a", "--force", "--out=b"]).unwrap();
        assert_eq!((options.value("--out"), options.has("--force")), (Some("b"), true));
        for wrong in [&["--out"][..], &["--out", "--force"], &["--out="], &["--forced"], &["x"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
