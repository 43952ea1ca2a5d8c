//! Printing: colour, width, and what comes from files made harmless.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use anstyle::{AnsiColor, Style};
use auth_store::secrets::{has_seen, without_seen};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

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
    Part { text: harmless(text.as_ref()), look }
}

/// Text whose characters neither steer a terminal nor hide or reorder what stands beside them.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '?' } else { c }).collect()
}

fn steers(c: char) -> bool {
    let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || hidden
}

pub(crate) fn plain(text: impl AsRef<str>) -> Part {
    part(Look::Plain, text)
}

impl Part {
    fn width(&self) -> usize {
        self.text.chars().count()
    }

    /// The text without its look.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Some text in the look of this part.
    pub(crate) fn painted(&self, text: &str) -> String {
        let style = self.look.style();
        format!("{style}{text}{style:#}")
    }
}

/// How the cells of a table stand under each other.
#[derive(Debug)]
pub(crate) struct Columns {
    indent: usize,
    fitting: usize,
    widths: Vec<usize>,
}

/// Lines for a person, laid out for the width of the terminal.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    width: usize,
    /// Lines that the terminal shows at once; `None` without a terminal.
    height: Option<usize>,
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
        let size = terminal.then(|| terminal_size(io::stdout()));
        let width = columns().unwrap_or_else(|| size.map_or(usize::MAX, |(width, _)| width));
        Self {
            text: String::new(),
            width: width.max(40),
            height: size.map(|(_, height)| height),
            colour: wanted && !no_color && !set("NO_COLOR"),
        }
    }

    /// The same with lines of at most so many characters on a terminal, and some room beside them.
    pub(crate) fn narrowed(mut self, most: usize) -> Self {
        if self.width != usize::MAX {
            self.width = self.width.saturating_sub(10).clamp(40, most);
        }
        self
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

    /// A command to type, never broken into lines, so that it can be copied.
    pub(crate) fn command(&mut self, command: &str) {
        self.text.push_str("    ");
        self.paint(Look::Command, command);
        self.text.push('\n');
    }

    /// Whether the beginning has scrolled away on a terminal.
    pub(crate) fn has_scrolled(&self) -> bool {
        self.height.is_some_and(|height| self.text.lines().count() + 1 > height)
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
        let columns = self.columns(indent, rows);
        for row in rows {
            self.row(&columns, row);
        }
    }

    /// The columns of a table: as wide as their widest cell, as many as fit.
    pub(crate) fn columns(&self, indent: usize, rows: &[Vec<Part>]) -> Columns {
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..count)
            .map(|at| rows.iter().filter_map(|row| row.get(at)).map(Part::width).max().unwrap_or(0))
            .collect();
        let mut end = indent;
        let fitting = widths.iter().take_while(|width| {
            end += *width + 2;
            end - 2 <= self.width
        });
        Columns { indent, fitting: fitting.count().max(1), widths }
    }

    /// One row of a table.
    pub(crate) fn row(&mut self, columns: &Columns, row: &[Part]) {
        let Columns { indent, fitting, widths } = columns;
        let (indent, fitting) = (*indent, *fitting);
        let (head, tail) = row.split_at(fitting.min(row.len()));
        let mut line = vec![plain(" ".repeat(indent))];
        for (at, cell) in head.iter().enumerate() {
            line.push(cell.clone());
            line.push(plain(" ".repeat(widths[at].saturating_sub(cell.width()) + 2)));
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

/// Columns and lines.
pub(crate) fn terminal_size(of: impl std::os::fd::AsFd) -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(of).ok();
    let known = |n: u16, fallback: usize| if n == 0 { fallback } else { usize::from(n) };
    size.map_or((80, 24), |size| (known(size.ws_col, 80), known(size.ws_row, 24)))
}

/// Prints text on standard output. A reader that has gone away is no error: the exit code still counts.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    let hidden = without_seen(text);
    let text = hidden.as_deref().unwrap_or(text);
    written(io::stdout().lock().write_all(text.as_bytes()))
}

/// Prints texts on standard output, one a line.
pub(crate) fn print_lines<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let mut text = String::new();
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", harmless(&line.to_string()));
    }
    print_text(&text)
}

/// Prints one JSON document on standard output, indented by two.
pub(crate) fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    if !has_seen() {
        return print_whole(document, io::BufWriter::with_capacity(64 * 1024, io::stdout().lock()));
    }
    let mut text = Vec::new();
    print_whole(document, &mut text)?;
    print_text(&String::from_utf8_lossy(&text))
}

fn print_whole(document: &impl Serialize, mut out: impl io::Write) -> Result<(), Failure> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Escaping::default());
    let sent = document.serialize(&mut serializer).map_err(io::Error::from);
    written(sent.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

/// Indents by two, and escapes what a terminal would obey.
#[derive(Default)]
struct Escaping(PrettyFormatter<'static>);

impl Formatter for Escaping {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !c.is_ascii() && steers(*c) || *c == '\u{7f}') {
            write!(writer, "{}\\u{:04x}", &rest[..at], u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
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
    let text: Vec<String> = text.split('\n').map(harmless).collect();
    let text = text.join("\n");
    let text = without_seen(&text).unwrap_or(text);
    // Standard error may be closed; nothing is left to tell then.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: usize) -> Page {
        Page { text: String::new(), width, height: None, colour: false }
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
    fn json_escapes_what_a_terminal_obeys() {
        let mut out = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, Escaping::default());
        ["a\u{9b}31m\u{7f}\u{202e}é\u{1b}"].serialize(&mut serializer).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "[\n  \"a\\u009b31m\\u007f\\u202eé\\u001b\"\n]");
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
