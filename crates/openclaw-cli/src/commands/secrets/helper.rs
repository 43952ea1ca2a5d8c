//! `secrets helper` (spec 05 section 14): this program as an exec provider for others.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use auth_core::Secret;
use auth_core::secrets::{read_exec_request, write_exec_response};
use auth_store::secrets::{KeeperPlace, open_keeper};

use super::Desk;
use crate::failure::Failure;
use crate::secrets_args::Helper;

/// The largest request, in bytes: what a config may allow at most.
const MAX_REQUEST: u64 = 5_242_880;

pub(super) fn run(desk: &Desk<'_>, options: &Helper) -> Result<u8, Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::new(
            "this command answers secret requests of programs and does not print secrets on a terminal.\nTo see what is stored: openclaw secrets store ls",
        ));
    }
    let unreadable = |what: String| Failure { message: format!("Error: {what}"), code: 2 };
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_REQUEST).read_to_string(&mut text);
    read.map_err(|error| unreadable(format!("cannot read the request: {error}")))?;
    let (_, ids) = read_exec_request(text.trim()).map_err(unreadable)?;
    let ground = desk.ground();
    let place = desk.keeper_place(&ground.layout, &ground.environment);
    let place = KeeperPlace { age_file: options.store.as_deref().map(Path::new), ..place };
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answers: Vec<Result<Secret, String>> = match open_keeper(options.keeper.kind(), place) {
        Ok(keeper) => keeper.get(&asked),
        Err(error) => asked.iter().map(|_| Err(error.to_string())).collect(),
    };
    let answers: Vec<_> = ids.iter().cloned().zip(answers).collect();
    let response = write_exec_response(&answers);
    let sent = io::stdout().lock().write_all(response.reveal().as_bytes());
    sent.map_err(|error| Failure::new(format!("cannot write to standard output: {error}")))?;
    Ok(0)
}
