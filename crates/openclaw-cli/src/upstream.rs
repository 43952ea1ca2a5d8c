//! Commands of the wider OpenClaw command line: handed to another `openclaw`, or refused (spec 00 section 3).

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;

/// Names the other program. Only the process environment counts.
const UPSTREAM: &str = "OPENCLAW_UPSTREAM";
/// Set for the other program; when we find it, the other program is ourselves.
const GUARD: &str = "OPENCLAW_UPSTREAM_GUARD";

/// The command that a line names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// One of ours: `models status`; empty when the line names none.
    Own(String),
    /// One that this program does not have: `channels`, `models scan`.
    Foreign(String),
}

/// Finds the command that a line names, whatever its options are.
pub(crate) fn named_command(tree: &clap::Command, arguments: &[OsString]) -> Named {
    let mut at = tree;
    let mut path: Vec<&str> = Vec::new();
    let mut words = arguments.iter().skip(1);
    // What follows a command without subcommands names none.
    while at.has_subcommands()
        && let Some(word) = words.next()
    {
        let Some(word) = word.to_str().filter(|word| *word != "--") else { break };
        if word.starts_with('-') {
            if takes_value(at, tree, word) {
                words.next();
            }
            continue;
        }
        if word.is_empty() {
            break;
        }
        path.push(word);
        match at.find_subcommand(word) {
            Some(next) => at = next,
            None => return Named::Foreign(path.join(" ")),
        }
    }
    Named::Own(path.join(" "))
}

fn takes_value(at: &clap::Command, tree: &clap::Command, word: &str) -> bool {
    let Some(name) = word.strip_prefix("--").filter(|name| !name.contains('=')) else { return false };
    if matches!(name, "help" | "version") {
        return false;
    }
    // An option of another level may stand too early; its value is no command all the same.
    find_option(at, name).or_else(|| find_option(tree, name)).unwrap_or_else(|| {
        let mut whole = tree.clone();
        whole.build();
        find_option(&whole, name).unwrap_or(false)
    })
}

/// Whether the option of this name, of a command or one below it, takes a value; `None` when there is none. Commands
/// that are not put together yet have no options.
fn find_option(at: &clap::Command, name: &str) -> Option<bool> {
    let own = at.get_arguments().find(|arg| arg.get_long() == Some(name));
    own.map(|option| option.get_action().takes_values())
        .or_else(|| at.get_subcommands().find_map(|below| find_option(below, name)))
}

/// Whether another program is named.
pub(crate) fn is_named() -> bool {
    std::env::var_os(UPSTREAM).is_some_and(|value| !value.is_empty())
}

/// Replaces this process by the other program, with arguments and environment as they are. Returns only on failure.
pub(crate) fn hand_over(tree: &clap::Command, command: &str, arguments: &[OsString]) -> Failure {
    let set = std::env::var_os(UPSTREAM).filter(|value| !value.is_empty());
    let Some(upstream) = set else { return refuse(tree, command) };
    let shown = upstream.to_string_lossy().into_owned();
    let wrong = |what: &str| {
        Failure::new(format!(
            "{UPSTREAM}={shown} {what}, so \"openclaw {command}\" cannot be handed over. Set it to the absolute path of another openclaw program, or unset it."
        ))
    };
    if std::env::var_os(GUARD).is_some() {
        return wrong("leads back to this program");
    }
    let path = Path::new(&upstream);
    if !path.is_absolute() {
        return wrong("is not an absolute path");
    }
    match path.metadata() {
        Err(_) => return wrong("does not exist"),
        Ok(meta) if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 => {
            return wrong("is not an executable file");
        }
        Ok(_) => {}
    }
    let error = Command::new(path).args(arguments.iter().skip(1)).env(GUARD, "1").exec();
    wrong(&format!("cannot be started ({error})"))
}

fn refuse(tree: &clap::Command, command: &str) -> Failure {
    let what = format!(
        "\"openclaw {command}\" is not part of this program, which covers model credentials; to hand it to another openclaw, set {UPSTREAM} to that program's absolute path."
    );
    match nearest(tree, command) {
        Some(known) => Failure::new(format!("{what}\nDid you mean: openclaw {known}")),
        None => Failure::new(format!("{what}\nWhat there is: openclaw --help")),
    }
}

/// The command that a mistyped one most resembles.
fn nearest(tree: &clap::Command, command: &str) -> Option<String> {
    let mut words: Vec<&str> = command.split(' ').collect();
    let written = words.pop()?;
    let parent = words.iter().try_fold(tree, |at, word| at.find_subcommand(word))?;
    let name = parent
        .get_subcommands()
        .map(clap::Command::get_name)
        .map(|name| (distance(name, written), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len())
        .min()?
        .1;
    words.push(name);
    Some(words.join(" "))
}

/// How many single-letter edits lie between two words.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn named(line: &str) -> Named {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        named_command(&crate::args::Cli::command(), &arguments)
    }

    #[test]
    fn own_commands_are_told_from_foreign_ones() {
        let own = |command: &str| Named::Own(command.to_owned());
        let foreign = |command: &str| Named::Foreign(command.to_owned());
        assert_eq!(named("oc models status --json extra"), own("models status"));
        assert_eq!(named("oc --log-level debug models --agent x auth list"), own("models auth list"));
        assert_eq!(named("oc --version"), own(""));
        assert_eq!(named("oc gateway --dev"), own("gateway"));
        assert_eq!(named("oc gateway run --port 1"), own("gateway run"));
        assert_eq!(named("oc gateway --port 1 status"), foreign("gateway status"));
        assert_eq!(named("oc models --agent status scan"), foreign("models scan"));
        assert_eq!(named("oc models --probe-provider groq status"), own("models status"));
        assert_eq!(named("oc models --unheard-of groq status"), foreign("models groq"));
        assert_eq!(named("oc models --help status"), own("models status"));
        assert_eq!(named("oc --log-level=debug models auth teleport"), foreign("models auth teleport"));
    }

    #[test]
    fn typing_mistakes_are_recognised() {
        let tree = crate::args::Cli::command();
        assert_eq!(nearest(&tree, "model").as_deref(), Some("models"));
        assert_eq!(nearest(&tree, "models statsu").as_deref(), Some("models status"));
        assert_eq!(nearest(&tree, "channels"), None);
        assert_eq!((distance("", "ab"), distance("kitten", "sitting")), (2, 3));
    }
}
