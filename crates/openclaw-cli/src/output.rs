//! Printing: colour, width, and what comes from files made harmless.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use anstyle::{AnsiColor, Style};

use crate::failure::Failure;

/// How a part of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Heading,
    Strong,
    Faint,
    Good,
    Warning,
    Bad,
    /// A command to type.
    Command,
}

impl Look {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold().underline(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => colour(AnsiColor::Green),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Command => colour(AnsiColor::Cyan),
        }
    }
}

/// A part of a line: its text and its look. Control characters are replaced, so that nothing read from a file can
/// steer the terminal.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    text: String,
    look: Look,
}

pub(crate) fn part(look: Look, text: impl AsRef<str>) -> Part {
    let text = text.as_ref().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Part { text, look }
}

pub(crate) fn plain(text: impl AsRef<str>) -> Part {
    part(Look::Plain, text)
}

/// Lines for a person, laid out for the width of the terminal.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    width: usize,
    colour: bool,
}

impl Page {
    /// A page for standard output. Without a terminal there is no colour and lines have any length, so that one line
    /// stays one record for `grep`.
    pub(crate) fn for_stdout(no_color: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let wanted = set("CLICOLOR_FORCE") || (terminal && !dumb);
        let columns = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
        let width = columns().unwrap_or_else(|| if terminal { terminal_width() } else { usize::MAX });
        Self { text: String::new(), width: width.max(40), colour: wanted && !no_color && !set("NO_COLOR") }
    }

    /// One line; parts stand beside each other. Where it is too long it goes on in the next line, indented by
    /// `indent`, broken between words.
    pub(crate) fn line(&mut self, indent: usize, parts: &[Part]) {
        // Alternating runs of blanks and of other characters; runs of the latter that touch form one word.
        let runs: Vec<(&str, Look)> =
            parts.iter().flat_map(|part| split_runs(&part.text).map(|run| (run, part.look))).collect();
        let is_blank = |run: &str| run.starts_with(' ');
        let mut column = 0;
        let mut blanks = 0;
        for (at, (run, look)) in runs.iter().enumerate() {
            if is_blank(run) {
                blanks += run.len();
                continue;
            }
            if at == 0 || is_blank(runs[at - 1].0) {
                let word = runs[at..].iter().take_while(|(run, _)| !is_blank(run));
                let length: usize = word.map(|(run, _)| run.chars().count()).sum();
                if column > indent && column + blanks + length > self.width {
                    let _ = write!(self.text, "\n{:indent$}", "");
                    column = indent;
                } else {
                    let _ = write!(self.text, "{:blanks$}", "");
                    column += blanks;
                }
                blanks = 0;
            }
            self.paint(*look, run);
            column += run.chars().count();
        }
        self.text.push('\n');
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A heading.
    pub(crate) fn heading(&mut self, text: &str) {
        self.line(0, &[part(Look::Heading, text)]);
    }

    /// Rows under each other, columns aligned. The last columns that do not fit go under the row, on a line of their
    /// own.
    pub(crate) fn table(&mut self, indent: usize, rows: &[Vec<Part>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let length = |part: &Part| part.text.chars().count();
        let widths: Vec<usize> =
            (0..columns).map(|at| rows.iter().filter_map(|row| row.get(at)).map(length).max().unwrap_or(0)).collect();
        let mut end = indent;
        let fitting = widths.iter().take_while(|width| {
            end += *width + 2;
            end - 2 <= self.width
        });
        let fitting = fitting.count().max(1);
        for row in rows {
            let (head, tail) = row.split_at(fitting.min(row.len()));
            let mut line = vec![plain(" ".repeat(indent))];
            for (at, cell) in head.iter().enumerate() {
                line.push(cell.clone());
                line.push(plain(" ".repeat(widths[at].saturating_sub(length(cell)) + 2)));
            }
            self.line(indent + 4, &line);
            if tail.iter().any(|cell| !cell.text.is_empty()) {
                let mut line = vec![plain(" ".repeat(indent + 4))];
                for cell in tail {
                    line.extend([cell.clone(), plain("  ")]);
                }
                self.line(indent + 4, &line);
            }
        }
    }

    fn paint(&mut self, look: Look, word: &str) {
        if self.colour && look != Look::Plain {
            let style = look.style();
            let _ = write!(self.text, "{style}{word}{style:#}");
        } else {
            self.text.push_str(word);
        }
    }

    /// Sends the page to standard output.
    pub(crate) fn print(self) -> Result<(), Failure> {
        print_text(&self.text)
    }
}

/// Cuts a text where blanks begin or end.
fn split_runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let blank = rest.chars().next()? == ' ';
        let end = rest.find(|c| (c == ' ') != blank).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

/// Prints text on standard output. A reader that has gone away is no error: the exit code still counts.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    written(io::stdout().lock().write_all(text.as_bytes()))
}

/// Prints texts on standard output, one a line.
pub(crate) fn print_lines<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let mut text = String::new();
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    print_text(&text)
}

/// Prints one JSON document on standard output, indented by two.
pub(crate) fn print_json(document: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let sent = serde_json::to_writer_pretty(&mut out, document).map_err(io::Error::from);
    written(sent.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints one remark on standard error.
pub(crate) fn remark(text: &str) {
    let text: String = text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect();
    // Standard error may be closed; nothing is left to tell then.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: usize) -> Page {
        Page { text: String::new(), width, colour: false }
    }

    #[test]
    fn long_lines_break_between_words() {
        let mut page = page(20);
        page.line(4, &[plain("  one two"), part(Look::Bad, " three four"), plain(", five"), plain("  six")]);
        assert_eq!(page.text, "  one two three\n    four, five  six\n");
    }

    #[test]
    fn layout_blanks_survive_and_control_characters_do_not() {
        let mut page = page(80);
        page.line(0, &[plain("a    b"), plain("\u{1b}[31mred\r")]);
        assert_eq!(page.text, "a    b?[31mred?\n");
    }

    #[test]
    fn tables_align_or_fold() {
        let rows = vec![vec![plain("id"), plain("kind")], vec![plain("longer-id"), plain("x")]];
        let mut wide = page(40);
        wide.table(2, &rows);
        assert_eq!(wide.text, "  id         kind\n  longer-id  x\n");
        let mut narrow = page(14);
        narrow.table(2, &rows);
        assert_eq!(narrow.text, "  id\n      kind\n  longer-id\n      x\n");
    }
}
