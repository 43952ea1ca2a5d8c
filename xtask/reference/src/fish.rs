//! The completion for fish. The one that clap_complete makes knows two levels of commands; this program has four.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::{Arg, Command};

/// The file for a program of this name, of its complete command tree.
pub(crate) fn completion(name: &str, tree: &Command) -> String {
    let at = format!("__fish_{}_at", name.replace('-', "_"));
    let mut all = Vec::new();
    collect(tree, &[String::new()], &mut all);
    let mut commands = BTreeSet::new();
    let (mut valued, mut flags) = (BTreeSet::new(), BTreeSet::new());
    for (paths, command) in &all {
        commands.extend(paths.iter().filter(|path| !path.is_empty()).map(|path| quoted(path)));
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let names = if arg.get_action().takes_values() { &mut valued } else { &mut flags };
            names.extend(spellings(arg));
        }
    }
    // A name that is a flag somewhere does not hide the command behind it.
    let valued: Vec<String> = valued.difference(&flags).cloned().collect();

    let mut out = String::new();
    let _ = write!(
        out,
        "\
# Whether the line names one of these commands so far. Options and their values name none.
function {at}
    set -l commands {}
    set -l valued {}
    set -l named ''
    set -l skip
    for word in (commandline -opc)[2..-1]
        if test -n \"$skip\"
            set skip
        else if string match -q -- '-*' $word
            contains -- $word $valued; and set skip yes
        else
            set -l longer (string trim -- \"$named $word\")
            contains -- $longer $commands; or break
            set named $longer
        end
    end
    contains -- \"$named\" $argv
end

complete -c {name} -f
",
        commands.into_iter().collect::<Vec<_>>().join(" "),
        valued.join(" ")
    );
    for (paths, command) in &all {
        let paths: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
        let start = format!("complete -c {name} -n \"{at} {}\"", paths.join(" "));
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            for name in std::iter::once(below.get_name()).chain(below.get_visible_aliases()) {
                let _ = writeln!(out, "{start} -a {name} -d {}", quoted(&about));
            }
        }
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            argument(&mut out, &start, arg);
        }
    }
    out
}

/// Every visible command with the ways to write it: a command with an alias has several.
fn collect<'a>(command: &'a Command, paths: &[String], out: &mut Vec<(Vec<String>, &'a Command)>) {
    out.push((paths.to_vec(), command));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let names: Vec<&str> = std::iter::once(below.get_name()).chain(below.get_visible_aliases()).collect();
        let longer = |path: &String| {
            let path = path.clone();
            names.iter().map(move |name| format!("{path} {name}").trim_start().to_owned()).collect::<Vec<_>>()
        };
        collect(below, &paths.iter().flat_map(longer).collect::<Vec<_>>(), out);
    }
}

fn argument(out: &mut String, start: &str, arg: &Arg) {
    let names = arg.get_value_names().unwrap_or_default();
    // As it is written where the value is read later: on|off.
    let written = names.iter().find(|name| name.contains('|') && !name.contains(char::is_uppercase));
    let values: Vec<String> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .chain(written.into_iter().flat_map(|name| name.split('|').map(str::to_owned)))
        .collect();
    let takes_value = arg.get_action().takes_values();
    let values = if takes_value && !values.is_empty() { Some(quoted(&values.join(" "))) } else { None };
    if arg.is_positional() {
        if let Some(values) = values {
            let _ = writeln!(out, "{start} -a {values}");
        }
        return;
    }
    let mut line = start.to_owned();
    if let Some(short) = arg.get_short() {
        let _ = write!(line, " -s {short}");
    }
    for long in arg.get_long_and_visible_aliases().unwrap_or_default() {
        let _ = write!(line, " -l {long}");
    }
    let is_path =
        arg.get_value_names().unwrap_or_default().iter().any(|name| matches!(&**name, "FILE" | "PATH" | "DIR"));
    match values {
        Some(values) => {
            let _ = write!(line, " -x -a {values}");
        }
        None if takes_value && is_path => line.push_str(" -r -F"),
        None if takes_value => line.push_str(" -x"),
        None => {}
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(out, "{line} -d {}", quoted(help.lines().next().unwrap_or_default()));
}

fn spellings(arg: &Arg) -> Vec<String> {
    let long = arg.get_long_and_visible_aliases().unwrap_or_default().into_iter().map(|long| format!("--{long}"));
    long.chain(arg.get_short().map(|short| format!("-{short}"))).collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_has_its_line_at_its_place() {
        let tree = crate::named("openclaw-auth");
        let text = completion("openclaw-auth", &tree);
        for line in [
            "-n \"__fish_openclaw_auth_at 'models auth order'\" -a set -d ",
            "-n \"__fish_openclaw_auth_at 'models auth remove' 'models auth logout'\" -l yes",
            "-n \"__fish_openclaw_auth_at 'models auth'\" -a logout -d ",
            "-n \"__fish_openclaw_auth_at ''\" -a doctor -d ",
            "-l verbose -x -a 'on off' -d ",
            "-l from -r -F -d ",
            "-l log-level -x -a 'silent fatal error warn info debug trace' -d ",
        ] {
            assert!(text.contains(line), "{line}");
        }
        assert!(!text.contains(" helper"), "a hidden command is shown");
        let valued = text.lines().find(|line| line.trim_start().starts_with("set -l valued")).unwrap();
        assert!(valued.contains(" --agent ") && !valued.contains(" --json"), "{valued}");
        // Quotes are even on every line, but for what is escaped.
        for line in text.lines() {
            let bare = line.replace("\\\\", "").replace("\\'", "");
            assert_eq!(bare.matches('\'').count() % 2, 0, "{line}");
        }
    }
}
