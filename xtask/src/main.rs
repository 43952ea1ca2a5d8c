//! Project tasks: `cargo xtask <task>`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks report on the terminal")]

mod arrows;
mod bench;
mod bench_gateway;
mod ci;
mod generate;
mod proof;
mod proof_doctor;

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
  proof [kill [N]|race|doctor [[kill] N]|single-flight [N]] [--bin PATH]
                                     killed in the middle of writes, many writers at once, repairs of broken states,
                                     many processes that find one login expired
  proof gateway [N] [--bin PATH]     the gateway among failing providers and N clients at once, killed and started again
  proof clients [--bin PATH]         the Python clients and curl against the gateway
  proof page [--bin PATH]            the status page in headless Chromium (chromium, chromium-driver)
  gen [--check]                      write the files that are made from others, or tell which are out of date
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
        ["gen"] => generate::run(&root, false),
        ["gen", "--check"] => generate::run(&root, true),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("no such task: {}\n\n{HELP}", words.join(" ")),
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
