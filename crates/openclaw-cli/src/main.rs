//! The command line: arguments in, reports out. No rule about credentials lives here.

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

use std::process::ExitCode;

fn main() -> ExitCode {
    hardening::no_dumps();
    prompt::dress();
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    ExitCode::from(commands::run(&arguments))
}
