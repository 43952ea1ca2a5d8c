//! The guide in `docs/`: every command that a page names exists with its options, and what a page shows is what the
//! program prints.
//!
//! A block of the kind `console` is run, line for line in the order of the page, in a home directory of its own; a
//! comment `<!-- home: NAME -->` begins another one, made in `guide/homes.rs`. What it prints must be what the page
//! shows: `…` stands for any text of a line, a line `…` for any number of lines. Commands of all other blocks, and those
//! in the running text, must be understood.
//!
//! After a wanted change: `GUIDE_UPDATE=1 cargo test -p openclaw-cli --test guide`, then read the difference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read the guide has nothing to report")]

#[path = "guide/homes.rs"]
mod homes;
#[path = "guide/page.rs"]
mod page;
mod sandbox;
#[path = "guide/shell.rs"]
mod shell;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use page::{Page, Part};
use sandbox::Sandbox;
use shell::simple_commands;

/// Programs of every system that a shown command may use beside ours.
const USUAL: &[&str] = &["cat", "chmod", "cp", "echo", "grep", "ls", "mkdir", "printf", "rm"];

/// The command that stands on pages for all that the Node program does and this one does not.
const FOREIGN: &str = "channels";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The pages of the guide, sorted.
fn guide() -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    assert!(paths.len() > 5, "the guide is gone");
    paths.iter().map(|path| Page::read(path)).collect()
}

/// What a page shows is what is printed.
#[test]
fn shown_output_is_real() {
    let update = std::env::var_os("GUIDE_UPDATE").is_some();
    let mut shown = 0;
    let mut wrong = String::new();
    for mut page in guide() {
        let mut home = Sandbox::new();
        let mut changed = false;
        for part in &mut page.parts {
            match part {
                Part::Home(name) => home = homes::make(name).unwrap_or_else(|| panic!("{}: no home {name}", page.name)),
                Part::Run(run) => {
                    for command in simple_commands(&run.line) {
                        let first = command.first().map_or("", String::as_str);
                        assert!(
                            first == "openclaw" || USUAL.contains(&first),
                            "{}: a console block is run, and {first} is not for that; use another kind of block",
                            page.name
                        );
                    }
                    shown += 1;
                    let printed = printed(&home, &run.line);
                    if !page::matches(&run.shown, &printed) {
                        changed = true;
                        let (shown, real) = (run.shown.join("\n"), printed.join("\n"));
                        let _ =
                            write!(wrong, "\n{}: $ {}\n--- shown\n{shown}\n--- printed\n{real}\n", page.name, run.line);
                        run.shown = printed;
                    }
                }
                Part::Text(_) => {}
            }
        }
        if update && changed {
            page.write();
        }
    }
    assert!(shown > 20, "only {shown} commands of the guide are run");
    assert!(
        update || wrong.is_empty(),
        "{wrong}\nIf that is wanted: GUIDE_UPDATE=1 cargo test -p openclaw-cli --test guide"
    );
}

/// What a shell prints for a line, without the secrets that no page may show.
fn printed(home: &Sandbox, line: &str) -> Vec<String> {
    let bin = Path::new(env!("CARGO_BIN_EXE_openclaw")).parent().unwrap();
    let mut shell = home.command(&[]);
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", &format!("exec 2>&1\n{line}")]).stdin(std::process::Stdio::null());
    command.env_clear().current_dir(home.path(""));
    command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).env("COLUMNS", "110");
    shell.stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("panicked"), "{line}\n{text}");
    for secret in homes::SECRETS {
        assert!(!text.contains(secret), "{line}\n{text}");
    }
    let text = text.replace(home.path("").to_string_lossy().trim_end_matches('/'), "/home/u");
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// Every command that is named anywhere exists, with the options that are given.
#[test]
fn named_commands_are_understood() {
    let home = Sandbox::new();
    let mut pages = guide();
    pages.extend(["README.md", "SECURITY.md"].map(|name| Page::read(&root().join(name))));
    let mut asked = BTreeSet::new();
    let mut wrong = String::new();
    for page in &pages {
        for (at, command) in page.named_commands() {
            let Some(words) = shell::arguments(&command) else { continue };
            if !asked.insert(words.clone()) {
                continue;
            }
            let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
            arguments.push("--help");
            let printed = home.run(&arguments);
            let understood = if words[0] == FOREIGN {
                printed.stderr.contains("is not part of this program")
            } else {
                printed.code == 0 && printed.stderr.is_empty()
            };
            if !understood {
                let _ = writeln!(wrong, "{}:{at}: openclaw {}\n{}", page.name, words.join(" "), printed.stderr);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(asked.len() > 60, "only {} commands were found", asked.len());
    assert!(!home.path(".openclaw").exists(), "asking for help has written something");
}

/// A page that names a check names one that exists.
#[test]
fn named_tests_exist() {
    let mut pages = guide();
    pages.push(Page::read(&root().join("SECURITY.md")));
    let mut found = 0;
    for page in &pages {
        for command in page.all_commands() {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let ["cargo", "test", "-p", krate, rest @ ..] = words.as_slice() else { continue };
            found += 1;
            // A package may have a name of its own in the registry.
            let dir = root()
                .join("crates")
                .join(krate.strip_prefix("openclaw-").filter(|name| *name != "cli").unwrap_or(krate));
            let (place, filter) = match rest {
                ["--test", name, filter @ ..] => (dir.join("tests").join(name), filter),
                filter => (dir.join("src"), filter),
            };
            let sources = sources(&place);
            assert!(!sources.is_empty(), "{}: {command:?}: there is no such test", page.name);
            for name in filter {
                let last = name.rsplit("::").next().unwrap_or(name);
                let known = sources.contains(&format!("fn {last}")) || sources.contains(&format!("mod {last}"));
                assert!(known, "{}: {command:?}: no test of that name", page.name);
            }
        }
    }
    assert!(found > 5, "SECURITY.md names {found} tests");
}

/// The text of `<place>.rs` and of everything below `<place>/`.
fn sources(place: &Path) -> String {
    let mut text = fs::read_to_string(place.with_extension("rs")).unwrap_or_default();
    for entry in fs::read_dir(place).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

/// The index leads to every page, and pages lead to files that exist.
#[test]
fn pages_are_linked() {
    let pages = guide();
    let index = pages.iter().find(|page| page.name == "README.md").expect("docs/README.md");
    let linked = index.links();
    for page in pages.iter().filter(|page| page.name != "README.md") {
        assert!(linked.contains(&page.name), "{} is not in docs/README.md", page.name);
        for link in page.links() {
            assert!(root().join("docs").join(&link).exists(), "{}: {link} leads nowhere", page.name);
        }
    }
}
