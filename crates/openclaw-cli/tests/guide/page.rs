//! A page in Markdown, as far as the tests need it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{arguments, simple_commands};

/// A command that is run, and what the page shows for it.
pub(crate) struct Run {
    pub(crate) line: String,
    pub(crate) shown: Vec<String>,
}

/// A page in pieces that make it again when they are put together.
pub(crate) enum Part {
    /// Lines that are not run.
    Text(Vec<String>),
    /// A comment that asks for a home directory of this kind.
    Home(String),
    /// A command of a `console` block.
    Run(Run),
}

pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) parts: Vec<Part>,
    path: PathBuf,
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut console = false;
        for line in text.lines() {
            let home = line.strip_prefix("<!-- home: ").and_then(|rest| rest.strip_suffix(" -->"));
            let fence = line.starts_with("```");
            if let Some(kind) = home {
                parts.extend([Part::Text(std::mem::take(&mut plain)), Part::Home(kind.to_owned())]);
            } else if let Some(command) = line.strip_prefix("$ ").filter(|_| console) {
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Run(Run { line: command.to_owned(), shown: Vec::new() }));
            } else if console && !fence {
                let Some(Part::Run(run)) = parts.last_mut() else { panic!("{name}: output without a command: {line}") };
                run.shown.push(line.trim_end().to_owned());
            } else {
                plain.push(line.to_owned());
            }
            if fence {
                console = !console && line == "```console";
            }
        }
        parts.push(Part::Text(plain));
        Self { name, parts, path: path.to_owned() }
    }

    /// Writes the page with what its commands print now.
    pub(crate) fn write(&self) {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(lines) => lines.iter().for_each(|line| writeln!(text, "{line}").unwrap()),
                Part::Home(name) => writeln!(text, "<!-- home: {name} -->").unwrap(),
                Part::Run(run) => {
                    writeln!(text, "$ {}", run.line).unwrap();
                    run.shown.iter().for_each(|line| writeln!(text, "{line}").unwrap());
                }
            }
        }
        fs::write(&self.path, text).unwrap();
    }

    /// The commands of this program that are not run, each with its line: in blocks, and between backquotes.
    pub(crate) fn named_commands(&self) -> Vec<(usize, Vec<String>)> {
        self.commands().into_iter().filter(|(_, command)| arguments(command).is_some()).collect()
    }

    /// Every command that is not run.
    pub(crate) fn all_commands(&self) -> Vec<Vec<String>> {
        self.commands().into_iter().map(|(_, command)| command).collect()
    }

    fn commands(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let (mut at, mut fenced, mut of_shell) = (0, false, false);
        for part in &self.parts {
            let lines = match part {
                Part::Text(lines) => lines,
                Part::Home(_) => {
                    at += 1;
                    continue;
                }
                Part::Run(run) => {
                    at += 1 + run.shown.len();
                    continue;
                }
            };
            for line in lines {
                at += 1;
                if line.starts_with("```") {
                    fenced = !fenced;
                    of_shell = fenced && ["```sh", "```cron", "```shell", "```bash"].contains(&line.as_str());
                } else if let Some(command) = line.strip_prefix("$ ").filter(|_| fenced) {
                    found.extend(simple_commands(command).into_iter().map(|command| (at, command)));
                } else if of_shell {
                    found.extend(simple_commands(line).into_iter().map(|command| (at, command)));
                } else if !fenced {
                    // Every second piece stands between backquotes.
                    for code in line.split('`').skip(1).step_by(2) {
                        found.extend(simple_commands(code).into_iter().map(|command| (at, command)));
                    }
                }
            }
        }
        found
    }

    /// The files that the page links to.
    pub(crate) fn links(&self) -> Vec<String> {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(lines) => Some(lines),
            _ => None,
        });
        let pieces = texts.flatten().flat_map(|line| line.split("](").skip(1));
        let targets = pieces.filter_map(|piece| piece.split_once(')')).map(|(target, _)| target);
        let files = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        files.map(|target| target.split('#').next().unwrap_or(target).to_owned()).collect()
    }
}

/// Whether a page shows what was printed. `…` stands for any text of a line, a line of its own for any lines.
pub(crate) fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((any, rest)) if any == "…" => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        Some((line, rest)) => {
            printed.first().is_some_and(|first| line_matches(line, first)) && matches(rest, &printed[1..])
        }
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(mut left) = printed.strip_prefix(start) else { return false };
    let mut pieces: Vec<&str> = rest.split('…').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(end)
}

#[test]
fn dots_stand_for_text_and_lines() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let fits = |shown: &str, printed: &str| matches(&lines(shown), &lines(printed));
    assert!(fits("a … c\n…\nend", "a b c\n1\n2\nend"));
    assert!(fits("…\nend", "end"));
    assert!(!fits("a … c", "a b d"));
    assert!(!fits("a", "a\nb"));
    assert!(!fits("a\n…\nb", "a"));
    assert!(!fits("ab…b", "ab"));
}
