//! The program `openclaw` as two functions: [`run`] answers a command line, [`command`] describes every command.
//!
//! Arguments in, reports out: no rule about credentials lives here. The binary is a call of [`run`]; whoever needs the
//! command tree as data (the reference, man pages, completions) takes [`command`].
#![deny(missing_docs)]

mod args;
mod commands;
mod doctor_args;
mod endpoint_check;
mod failure;
mod hardening;
mod live_lines;
mod monitor_args;
mod onboard_args;
mod output;
mod paste_prompt;
mod prompt;
mod qr;
mod render;
mod root_options;
mod secrets_args;
mod serve_args;
mod tls_check;
mod upstream;

use std::ffi::OsString;

use clap::CommandFactory;

/// Runs a command line, the program's name first, and gives its exit code (spec 00 section 4).
///
/// For a process of its own: it changes limits of the process, prints, and may replace the process by another.
pub fn run(arguments: &[OsString]) -> u8 {
    hardening::no_dumps();
    prompt::dress();
    commands::run(arguments)
}

/// Every command with its options and their help (spec 00 section 3). Options of some commands are put together when
/// the tree is built: call [`clap::Command::build`] before looking at them.
pub fn command() -> clap::Command {
    args::Cli::command()
}
