//! `docs/environment.md`: the variables that the program knows by name.

use std::fmt::Write as _;

use anyhow::Result;
use auth_core::{KNOWN_VARIABLES, VariableScope};

/// The whole page.
pub(crate) fn page() -> Result<String> {
    let mut out = String::from(
        "# Environment variables\n\n<!-- Generated from `crates/auth-core/src/known_variables.rs` by `cargo xtask gen`; do not edit. -->\n\nA variable counts wherever it is set: in the environment of the process, a `.env` file, the `env` block of the config, or the login shell ([where each is looked for](spec/01-state-and-store.md)), unless it is marked below. The variables that hold keys of providers are in [providers.md](providers.md). Beside those:\n\n- several keys of one provider are tried in turn: `<BASE>_API_KEYS` (with commas, semicolons or blanks between) and `<BASE>_API_KEY_*`; `OPENCLAW_LIVE_<BASE>_KEY` stands in for all of them;\n- references, `${NAME}` in the config and `passEnv` read the variables that you name there;\n- `CLAWDBOT_*` and `MOLTBOT_*` are pointed out by `openclaw doctor` and do nothing else; other `OPENCLAW_*` variables are ignored.\n",
    );
    let mut subject = "";
    for variable in KNOWN_VARIABLES {
        if variable.subject != subject {
            subject = variable.subject;
            writeln!(out, "\n## {subject}\n\n| Variable | Meaning | Specification |\n|---|---|---|")?;
        }
        let scope = match variable.scope {
            VariableScope::AnySource => "",
            VariableScope::Process => " *(environment of the process only)*",
            VariableScope::SetForOthers => " *(set by this program)*",
        };
        writeln!(out, "| `{}` | {}{scope} | {} |", variable.name, variable.meaning, variable.section)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn project() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// The sources of the program without tests, tables and the table under test.
    fn sources() -> String {
        let mut text = String::new();
        let crates = fs::read_dir(project().join("crates")).unwrap();
        let mut open: Vec<PathBuf> = crates.map(|entry| entry.unwrap().path().join("src")).collect();
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|ext| ext == "rs")
                    && !["tests.rs", "catalogue.rs", "known_variables.rs"].contains(&&*name)
                {
                    let file = fs::read_to_string(&path).unwrap();
                    text.push_str(file.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
                }
            }
        }
        text
    }

    /// Words in capitals between two marks.
    fn names_between(text: &str, mark: char) -> BTreeSet<String> {
        let name = |word: &&str| {
            word.starts_with(|c: char| c.is_ascii_uppercase())
                && !word.ends_with('_')
                && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        };
        text.split(mark).filter(name).map(str::to_owned).collect()
    }

    fn known() -> BTreeSet<String> {
        KNOWN_VARIABLES.iter().map(|variable| variable.name.to_owned()).collect()
    }

    fn specified() -> BTreeSet<String> {
        let overview = fs::read_to_string(project().join("docs/spec/00-overview.md")).unwrap();
        let (_, section) = overview.split_once("\n## 5. ").unwrap();
        let (section, _) = section.split_once("\n## 6. ").unwrap();
        let first_cells =
            section.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(1));
        names_between(&first_cells.collect::<String>(), '`')
    }

    #[test]
    fn names_stand_once_and_subjects_together() {
        assert_eq!(known().len(), KNOWN_VARIABLES.len());
        let mut subjects: Vec<&str> = KNOWN_VARIABLES.iter().map(|variable| variable.subject).collect();
        subjects.dedup();
        assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), subjects.len());
    }

    #[test]
    fn every_variable_that_the_sources_read_by_name_is_in_the_table() {
        let sources = sources();
        let (known, specified, quoted) = (known(), specified(), names_between(&sources, '"'));
        let ours = |name: &&String| name.starts_with("OPENCLAW_") || specified.contains(*name);
        // Stable words of reports and beginnings of names, which are no variables.
        let others = ["OPENCLAW_EXPIRED", "OPENCLAW_EXPIRING"];
        let missing: Vec<&String> = quoted
            .iter()
            .filter(ours)
            .filter(|name| !known.contains(*name) && !others.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "add to crates/auth-core/src/known_variables.rs: {missing:?}");
        let read = sources.split("::var(\"").chain(sources.split("::var_os(\"")).skip(1);
        for name in read
            .filter_map(|rest| rest.split('"').next())
            .filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        {
            assert!(known.contains(name), "add to crates/auth-core/src/known_variables.rs: {name}");
        }
    }

    #[test]
    fn every_variable_in_the_table_is_read_or_specified() {
        let sources = sources();
        let (specified, quoted) = (specified(), names_between(&sources, '"'));
        let stale: Vec<String> =
            known().into_iter().filter(|name| !quoted.contains(name) && !specified.contains(name)).collect();
        assert!(stale.is_empty(), "nobody reads {stale:?}");
    }
}
