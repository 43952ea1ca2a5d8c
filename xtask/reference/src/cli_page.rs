//! `docs/cli.md`: every command with its options, as the help has them.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::{Arg, Command};

/// The specification's overview, whose section 4 has the exit codes.
const OVERVIEW: &str = include_str!("../../../docs/spec/00-overview.md");

/// The whole page.
pub(crate) fn page(tree: &Command) -> Result<String> {
    let mut tree = tree.clone();
    tree.build();
    let mut out = String::from(
        "# Command line\n\n<!-- Generated from the command tree by `cargo xtask gen`; do not edit. -->\n\nEvery command answers `--help` with what stands here. Variables are in [environment.md](environment.md), providers in [providers.md](providers.md).\n\n",
    );
    out.push_str("## Commands\n\n");
    contents(&mut out, &tree, 0)?;
    out.push_str("\n## Exit codes\n\n");
    out.push_str(exit_codes(OVERVIEW)?);
    out.push_str("\n## Options of every command\n\n");
    let everywhere: Vec<&Arg> = tree.get_arguments().filter(|arg| arg.is_global_set() && !arg.is_hide_set()).collect();
    table(&mut out, &everywhere)?;
    for command in tree.get_subcommands() {
        section(&mut out, command, &everywhere)?;
    }
    Ok(out)
}

/// The table of section 4 of the overview.
fn exit_codes(overview: &str) -> Result<&str> {
    let (_, section) = overview.split_once("## 4. Exit codes\n\n").context("00-overview.md has no section 4")?;
    let end = section.find("\n\n").context("section 4 of 00-overview.md does not end")?;
    Ok(&section[..=end])
}

fn contents(out: &mut String, command: &Command, depth: usize) -> Result<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = path(sub);
        let anchor = path.replace(' ', "-");
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{:indent$}- [`{path}`](#{anchor}): {about}", "", indent = depth * 2)?;
        contents(out, sub, depth + 1)?;
    }
    Ok(())
}

fn section(out: &mut String, command: &Command, everywhere: &[&Arg]) -> Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    writeln!(out, "\n## {}\n", path(command))?;
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
        let also = if aliases.is_empty() { String::new() } else { format!(" Also: {}.", aliases.join(", ")) };
        writeln!(out, "{}.{also}\n", about.to_string().trim_end_matches('.'))?;
    }
    writeln!(out, "```text\n{}\n```", command.clone().render_usage().to_string().trim())?;

    let is_known = |arg: &Arg| everywhere.iter().any(|known| known.get_id() == arg.get_id());
    let own = |arg: &&Arg| !arg.is_hide_set() && !is_known(arg) && arg.get_id() != "help";
    let arguments: Vec<&Arg> = command.get_positionals().filter(own).collect();
    if !arguments.is_empty() {
        out.push('\n');
        table(out, &arguments)?;
    }
    let options: Vec<&Arg> = command.get_opts().chain(flags(command)).filter(own).collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in command.get_arguments().filter(own).filter(|arg| !arg.is_positional()) {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    headings.sort_by_key(Option::is_some);
    for heading in headings {
        let mut of_heading: Vec<&Arg> =
            options.iter().copied().filter(|arg| arg.get_help_heading() == heading).collect();
        let place = |arg: &Arg| command.get_arguments().position(|other| other.get_id() == arg.get_id());
        of_heading.sort_by_key(|arg| place(arg));
        match heading {
            Some(heading) => writeln!(out, "\n**{heading}**\n")?,
            None => out.push('\n'),
        }
        table(out, &of_heading)?;
    }
    if let Some(after) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        writeln!(out, "\n```text\n{}\n```", after.to_string().trim_end())?;
    }
    for sub in command.get_subcommands() {
        section(out, sub, everywhere)?;
    }
    Ok(())
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.get_action().takes_values())
}

fn path(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// A table of arguments: how each is written, and what it means.
fn table(out: &mut String, arguments: &[&Arg]) -> Result<()> {
    let positional = arguments.first().is_some_and(|arg| arg.is_positional());
    writeln!(out, "| {} | Meaning |\n|---|---|", if positional { "Argument" } else { "Option" })?;
    for arg in arguments {
        writeln!(out, "| {} | {} |", cell(&written(arg)), cell(&meaning(arg)))?;
    }
    Ok(())
}

fn written(arg: &Arg) -> String {
    let value = || {
        let names = arg.get_value_names().unwrap_or_default();
        let names: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
        if names.is_empty() { format!("<{}>", arg.get_id()) } else { names.join(" ") }
    };
    if arg.is_positional() {
        return format!("`{}`", value());
    }
    let mut names: Vec<String> = arg.get_short().map(|short| format!("-{short}")).into_iter().collect();
    names.extend(arg.get_long().map(|long| format!("--{long}")));
    names.extend(arg.get_visible_aliases().unwrap_or_default().iter().map(|alias| format!("--{alias}")));
    let takes_value = arg.get_action().takes_values();
    if let Some(last) = names.last_mut().filter(|_| takes_value) {
        last.push(' ');
        last.push_str(&value());
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn meaning(arg: &Arg) -> String {
    let mut text = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        let _ = write!(text, ": {}", values.join(", "));
    }
    if takes_value && !arg.is_hide_default_value_set() {
        let defaults: Vec<String> =
            arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        if !defaults.is_empty() {
            let _ = write!(text, " (default {})", defaults.join(", "));
        }
    }
    if arg.is_required_set() {
        text.push_str(" (required)");
    }
    text
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_shown_command_and_no_hidden_one() {
        let page = page(&openclaw_cli::command()).unwrap();
        for heading in ["## openclaw models status", "## openclaw models auth order set", "## openclaw doctor"] {
            assert!(page.lines().any(|line| line == heading), "{heading}");
        }
        assert!(page.contains("| `--probe-timeout <MS>` |"), "an option that takes a value");
        assert!(page.contains("`--repair`, `--fix`"), "an alias");
        assert!(page.contains("`--probe-mode <live\\|free>`"), "a bar in a table");
        assert!(page.contains("`--openai-api-key <KEY>`"), "an option that is put together late");
        assert!(page.contains("130 cancelled prompt"), "the exit codes");
        assert!(!page.contains("secrets helper\n"), "a hidden command");
    }
}
