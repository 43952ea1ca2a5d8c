//! Lines at the end of what a terminal shows, drawn over until they are cleared.
//!
//! The cursor rests at the start of the line below them, so that what the terminal itself prints there, such as the `^C`
//! of an interrupt, neither moves them nor stays. It is never hidden, and no setting of the terminal is changed: there
//! is nothing to put back, however the program ends.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use auth_store::secrets::without_seen;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::output::{Part, terminal_size};

/// Lines on standard error that can be drawn again. They are cleared when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct LiveLines {
    /// How many columns each line takes.
    drawn: Vec<usize>,
}

impl LiveLines {
    /// Whether standard error is a terminal on which lines can be drawn over. One without colour gets plain lines, by
    /// `--no-color`, `NO_COLOR`, or a `TERM` that knows no more.
    pub(crate) fn are_possible(no_color: bool) -> bool {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        io::stderr().is_terminal() && able && !plain && !no_color
    }

    /// How many lines there is room for.
    pub(crate) fn room() -> usize {
        terminal_size(io::stderr()).1.saturating_sub(1)
    }

    /// Puts these lines in the place of the earlier ones, each cut to the width of the terminal.
    pub(crate) fn draw(&mut self, lines: &[Vec<Part>]) {
        let (columns, _) = terminal_size(io::stderr());
        let mut text = self.back_to_start(columns);
        self.drawn.clear();
        for line in lines {
            // A line that fills the last column would make some terminals go on in the next.
            let (shown, width) = fitted(line, columns.saturating_sub(1));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}\u{1b}[K", without_seen(&shown).unwrap_or(shown));
            self.drawn.push(width);
        }
        text.push_str("\u{1b}[J");
        send(&text);
    }

    /// Takes the lines away.
    pub(crate) fn clear(&mut self) {
        if !self.drawn.is_empty() {
            let (columns, _) = terminal_size(io::stderr());
            send(&(self.back_to_start(columns) + "\u{1b}[J"));
            self.drawn.clear();
        }
    }

    /// What moves the cursor to the start of the first line; one that became too long for a narrower terminal takes
    /// several rows of it.
    fn back_to_start(&self, columns: usize) -> String {
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { "\r".to_owned() } else { format!("\r\u{1b}[{rows}A") }
    }
}

impl Drop for LiveLines {
    fn drop(&mut self) {
        self.clear();
    }
}

/// As much of a line as fits, in colour, and how many columns that takes.
fn fitted(parts: &[Part], columns: usize) -> (String, usize) {
    let whole: usize = parts.iter().map(|part| part.text().width()).sum();
    // Where something is cut off, a sign says so.
    let mut room = if whole <= columns { columns } else { columns.saturating_sub(1) };
    let (mut shown, mut width) = (String::new(), 0);
    for part in parts {
        let mut end = 0;
        for (at, c) in part.text().char_indices() {
            let wide = c.width().unwrap_or(0);
            if wide > room {
                shown.push_str(&part.painted(&part.text()[..end]));
                shown.push('…');
                return (shown, width + 1);
            }
            room -= wide;
            width += wide;
            end = at + c.len_utf8();
        }
        shown.push_str(&part.painted(part.text()));
    }
    (shown, width)
}

fn send(text: &str) {
    let mut stderr = io::stderr().lock();
    // A terminal that has gone away has nothing to show.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Look, part, plain};

    #[test]
    fn lines_are_cut_to_the_columns_that_they_take() {
        let line = [plain("ab"), part(Look::Good, "cde"), plain("f")];
        assert_eq!(fitted(&line, 6), ("ab\u{1b}[32mcde\u{1b}[0mf".to_owned(), 6));
        assert_eq!(fitted(&line, 5), ("ab\u{1b}[32mcd\u{1b}[0m…".to_owned(), 5));
        // Some characters take two columns, some none.
        assert_eq!(fitted(&[plain("日本語")], 6).1, 6);
        assert_eq!(fitted(&[plain("日本語")], 5), ("日本…".to_owned(), 5));
        assert_eq!(fitted(&[plain("日本語")], 4), ("日…".to_owned(), 3));
        assert_eq!(fitted(&[plain("e\u{301}e\u{301}")], 2).1, 2);
    }

    #[test]
    fn a_line_takes_several_rows_of_a_terminal_that_became_narrower() {
        let lines = LiveLines { drawn: vec![10, 0, 25] };
        assert_eq!(lines.back_to_start(80), "\r\u{1b}[3A");
        assert_eq!(lines.back_to_start(10), "\r\u{1b}[5A");
        std::mem::forget(lines);
    }
}
