//! Asking on a terminal. Secrets are never echoed, and a cancelled question ends the command with nothing stored.

use std::io::{self, IsTerminal, Read};

use auth_core::Secret;
use cliclack::ThemeState;

use crate::failure::Failure;

/// The most that is read from standard input for one secret, in bytes.
const MAX_PIPED: u64 = 64 * 1024;

/// The usual look, except that a question which was given up says so once: the command does.
struct Look;

impl cliclack::Theme for Look {
    fn format_footer_with_message(&self, state: &ThemeState, message: &str) -> String {
        let text = match state {
            ThemeState::Active => format!("└  {message}"),
            ThemeState::Cancel => "└".to_owned(),
            ThemeState::Submit => "│".to_owned(),
            ThemeState::Error(why) => format!("└  {why}"),
        };
        format!("{}\n", self.bar_color(state).apply_to(text))
    }
}

/// Sets how questions look. Called before the first one.
pub(crate) fn dress() {
    cliclack::set_theme(Look);
}

/// Whether somebody can answer.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a secret until `accept` takes it. The mask shows that keys arrive, not which.
pub(crate) fn secret<T>(question: &str, accept: &dyn Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    loop {
        let answer = answered(cliclack::password(question).mask('•').allow_empty().interact())?;
        match accept(&answer) {
            Ok(value) => return Ok(value),
            Err(why) => told(cliclack::log::error(why))?,
        }
    }
}

/// Asks for yes or no.
pub(crate) fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    answered(cliclack::confirm(question).initial_value(default).interact())
}

/// Asks for a text that is not blank. An empty answer is the default, if there is one.
pub(crate) fn text(question: &str, default: &str) -> Result<String, Failure> {
    let mut input = cliclack::input(question);
    if !default.is_empty() {
        input = input.default_input(default);
    }
    let answer: String = answered(input.interact())?;
    Ok(answer.trim().to_owned())
}

/// Asks for one of a list: value, label, hint. A long list can be searched.
pub(crate) fn choose(
    question: &str,
    list: &[(&'static str, String, String)],
    searchable: bool,
) -> Result<&'static str, Failure> {
    let mut select = cliclack::select(question).items(list).max_rows(12);
    if searchable {
        select = select.filter_mode();
    }
    answered(select.interact())
}

/// Asks for one of a list of labels with hints; gives its place in the list.
pub(crate) fn choose_of(question: &str, list: &[(String, String)]) -> Result<usize, Failure> {
    let items: Vec<(usize, &str, &str)> =
        list.iter().enumerate().map(|(at, (label, hint))| (at, label.as_str(), hint.as_str())).collect();
    let mut select = cliclack::select(question).items(&items).max_rows(12);
    if list.len() > 12 {
        select = select.filter_mode();
    }
    answered(select.interact())
}

/// Asks for a text until `accept` takes it. An empty answer is the default, if there is one.
pub(crate) fn text_until<T>(
    question: &str,
    default: &str,
    accept: &dyn Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    loop {
        match accept(&text(question, default)?) {
            Ok(value) => return Ok(value),
            Err(why) => complain(&why)?,
        }
    }
}

/// Begins a conversation.
pub(crate) fn intro(title: &str) -> Result<(), Failure> {
    told(cliclack::intro(title))
}

/// Ends a conversation.
pub(crate) fn outro(text: &str) -> Result<(), Failure> {
    told(cliclack::outro(text))
}

/// Says something within a conversation.
pub(crate) fn remark(text: &str) -> Result<(), Failure> {
    told(cliclack::log::info(text))
}

/// Says what is wrong within a conversation.
pub(crate) fn complain(text: &str) -> Result<(), Failure> {
    told(cliclack::log::error(text))
}

/// Shows a block of lines under a title.
pub(crate) fn note(title: &str, text: &str) -> Result<(), Failure> {
    told(cliclack::note(title, text))
}

/// One secret from standard input: its only line that is not blank.
pub(crate) fn piped<T>(accept: &dyn Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(MAX_PIPED + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?;
    if bytes.len() as u64 > MAX_PIPED {
        return Err(Failure::new("standard input is larger than 64 KiB; pipe one key or token"));
    }
    // Wiped when dropped, as the value made of it.
    let text = String::from_utf8(bytes).map(Secret::new);
    let text = text.map_err(|_| Failure::new("standard input is not UTF-8; pipe one key or token"))?;
    let mut lines = text.reveal().lines().filter(|line| !line.trim().is_empty());
    let line = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        return Err(Failure::new("standard input has more than one line; pipe one key or token"));
    }
    accept(line).map_err(|why| Failure::new(format!("standard input: {why}")))
}

/// A question that was not answered is a cancel: exit code 130.
fn answered<T>(result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => Failure { message: "Cancelled.".to_owned(), code: 130 },
        _ => Failure::new(format!("cannot ask on this terminal: {error}")),
    })
}

fn told(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|error| Failure::new(format!("cannot write to the terminal: {error}")))
}
