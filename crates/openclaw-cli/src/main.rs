//! The program: see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    ExitCode::from(openclaw_cli::run(&arguments))
}
