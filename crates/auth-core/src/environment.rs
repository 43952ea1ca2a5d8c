//! The environment as a value: every variable with the place it came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;

use crate::secret::Secret;

/// Where the value of a variable came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvOrigin {
    /// The process environment.
    Process,
    /// A `.env` file.
    File {
        /// Path as shown to people.
        path: String,
        /// Line on which the entry begins, from 1.
        line: u32,
    },
    /// The `env` block of the configuration.
    Config {
        /// Path of the config file as shown to people.
        path: String,
    },
    /// The login shell.
    Shell,
}

impl fmt::Display for EnvOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str("process environment"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Config { path } => write!(f, "{path}, env block"),
            Self::Shell => f.write_str("login shell"),
        }
    }
}

#[derive(Clone)]
struct Entry {
    value: String,
    origin: EnvOrigin,
}

/// A snapshot of the variables after all sources were loaded (spec 01 section 2), first source wins.
#[derive(Clone, Default)]
pub struct Environment {
    entries: BTreeMap<String, Entry>,
    shadowed: Vec<ShadowedVariable>,
    shell_applied: Vec<String>,
}

/// A variable that another source set to a different value first.
#[derive(Clone, Debug)]
pub struct ShadowedVariable {
    /// Its name.
    pub name: String,
    /// The source that lost.
    pub origin: EnvOrigin,
    /// The value that is not used.
    pub value: Secret,
}

/// What an existing empty value means to a later source (spec 01 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyValue {
    /// It is set: the later source does not override it.
    IsSet,
    /// It is unset: the later source fills it.
    IsUnset,
}

impl Environment {
    /// Starts from the variables of the process.
    pub fn from_process(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let entries =
            variables.into_iter().map(|(name, value)| (name, Entry { value, origin: EnvOrigin::Process })).collect();
        Self { entries, ..Self::default() }
    }

    /// Sets a variable as if the process had it.
    pub fn set(&mut self, name: &str, value: String) {
        self.entries.insert(name.to_owned(), Entry { value, origin: EnvOrigin::Process });
    }

    /// Forgets a variable.
    pub fn unset(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// Gives `name` the value and origin of `from` when `name` is blank and `from` is not.
    pub fn fill_from(&mut self, name: &str, from: &str) {
        if self.non_blank(name).is_none()
            && self.non_blank(from).is_some()
            && let Some(source) = self.entries.get(from)
        {
            let copy = Entry { value: source.value.clone(), origin: source.origin.clone() };
            self.entries.insert(name.to_owned(), copy);
        }
    }

    /// Adds a variable of a later source unless an earlier one has it. Returns whether it was taken.
    pub fn add(&mut self, name: &str, value: String, origin: EnvOrigin, empty: EmptyValue) -> bool {
        match self.entries.get(name) {
            Some(old) if empty == EmptyValue::IsSet || !old.value.trim().is_empty() => {
                if old.value != value {
                    self.shadowed.push(ShadowedVariable { name: name.to_owned(), origin, value: Secret::new(value) });
                }
                false
            }
            _ => {
                if origin == EnvOrigin::Shell {
                    self.shell_applied.push(name.to_owned());
                }
                self.entries.insert(name.to_owned(), Entry { value, origin });
                true
            }
        }
    }

    /// The value of a variable, blank or not.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.value.as_str())
    }

    /// The value of a variable when it is more than white space.
    pub fn non_blank(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    /// The value of a variable that counts for paths (spec 01 section 1.1): trimmed, not empty, and not the words
    /// `undefined` or `null` that scripts leave behind.
    pub fn counting(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty() && !matches!(*value, "undefined" | "null"))
    }

    /// Whether a switch is on: `1`, `on`, `true` or `yes` in any case.
    pub fn is_truthy(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "on" | "true" | "yes"))
    }

    /// The cleaned-up credential that a variable holds (spec 02 section 6 step 2), with its origin.
    pub fn credential(&self, name: &str) -> Option<(Secret, &EnvOrigin)> {
        let entry = self.entries.get(name)?;
        let secret = Secret::new(entry.value.as_str()).cleaned()?;
        Some((secret, &entry.origin))
    }

    /// Where a variable came from.
    pub fn origin(&self, name: &str) -> Option<&EnvOrigin> {
        self.entries.get(name).map(|entry| &entry.origin)
    }

    /// Names beginning with `prefix`, sorted.
    pub fn names_with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(name, _)| name.as_str())
            .take_while(move |name| name.starts_with(prefix))
    }

    /// Every variable with its value: for the environment of a child process.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry.value.as_str()))
    }

    /// Values that lost against an earlier source, in the order in which the sources were read.
    pub fn shadowed(&self) -> &[ShadowedVariable] {
        &self.shadowed
    }

    /// The variables that the login shell gave, in the order of the expected list.
    pub fn shell_applied(&self) -> &[String] {
        &self.shell_applied
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<_> = self.entries.keys().collect();
        f.debug_struct("Environment").field("names", &names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_wins_and_the_loser_is_remembered() {
        let mut env = Environment::from_process([("A".to_owned(), "1".to_owned()), ("E".to_owned(), String::new())]);
        let file = |line| EnvOrigin::File { path: "~/.openclaw/.env".to_owned(), line };
        assert!(!env.add("A", "2".to_owned(), file(1), EmptyValue::IsSet));
        assert!(!env.add("E", "3".to_owned(), file(2), EmptyValue::IsSet));
        assert!(env.add("E", "4".to_owned(), file(3), EmptyValue::IsUnset));
        assert_eq!((env.get("A"), env.get("E")), (Some("1"), Some("4")));
        assert_eq!(env.shadowed().len(), 2);
        assert_eq!(env.origin("E").unwrap().to_string(), "~/.openclaw/.env:3");
        assert!(!format!("{env:?}").contains('4'));
    }

    #[test]
    fn the_process_is_followed_when_it_changes() {
        let mut env = Environment::from_process([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
        env.add("C", "3".to_owned(), EnvOrigin::Shell, EmptyValue::IsSet);
        env.set("C", "4".to_owned());
        env.set("D", String::new());
        env.unset("A");
        // What a child process gets: every variable, blank or not, sorted.
        assert_eq!(env.variables().collect::<Vec<_>>(), [("B", "2"), ("C", "4"), ("D", "")]);
        assert_eq!((env.get("A"), env.origin("C")), (None, Some(&EnvOrigin::Process)));
    }

    /// The last step of spec 01 section 2.1: a blank `ZAI_API_KEY` gets the value of `Z_AI_API_KEY`.
    #[test]
    fn a_blank_variable_is_filled_from_its_other_name() {
        let file = EnvOrigin::File { path: "~/.openclaw/.env".to_owned(), line: 3 };
        for (own, other, expected) in [
            (None, Some("sk-test-2"), Some("sk-test-2")),
            (Some(" "), Some("sk-test-2"), Some("sk-test-2")),
            (Some("sk-test-1"), Some("sk-test-2"), Some("sk-test-1")),
            (Some(" "), Some("\t"), Some(" ")),
            (Some(" "), None, Some(" ")),
            (None, Some(""), None),
        ] {
            let mut env = Environment::default();
            if let Some(value) = own {
                env.set("ZAI_API_KEY", value.to_owned());
            }
            if let Some(value) = other {
                env.add("Z_AI_API_KEY", value.to_owned(), file.clone(), EmptyValue::IsSet);
            }
            env.fill_from("ZAI_API_KEY", "Z_AI_API_KEY");
            assert_eq!(env.get("ZAI_API_KEY"), expected, "{own:?} {other:?}");
            if expected.is_some() && expected == other {
                assert_eq!(env.origin("ZAI_API_KEY"), Some(&file), "{own:?} {other:?}");
            }
        }
    }

    /// Spec 02 section 13: `appliedKeys` lists what the login shell gave and nothing else.
    #[test]
    fn what_the_login_shell_gave_is_listed() {
        let mut env = Environment::from_process([("A".to_owned(), "1".to_owned()), ("E".to_owned(), " ".to_owned())]);
        let config = EnvOrigin::Config { path: "~/.openclaw/openclaw.json".to_owned() };
        assert!(env.add("C", "2".to_owned(), config, EmptyValue::IsUnset));
        for (name, taken) in [("Z", true), ("A", false), ("C", false), ("E", true)] {
            assert_eq!(env.add(name, "3".to_owned(), EnvOrigin::Shell, EmptyValue::IsUnset), taken, "{name}");
        }
        assert_eq!(env.shell_applied(), ["Z", "E"]);
    }

    #[test]
    fn names_are_printed_and_values_are_not() {
        let mut env = Environment::from_process([("GROQ_API_KEY".to_owned(), "sk-test-canary-1".to_owned())]);
        env.add("GROQ_API_KEY", "sk-test-canary-2".to_owned(), EnvOrigin::Shell, EmptyValue::IsSet);
        let printed = format!("{env:?}");
        assert!(printed.contains("GROQ_API_KEY") && !printed.contains("canary"), "{printed}");
    }

    #[test]
    fn words_left_by_scripts_do_not_count_as_paths() {
        let env = Environment::from_process(
            [("A", " undefined "), ("B", "null"), ("C", " /x "), ("D", "YES")]
                .map(|(n, v)| (n.to_owned(), v.to_owned())),
        );
        assert_eq!((env.counting("A"), env.counting("B"), env.counting("C")), (None, None, Some("/x")));
        assert!(env.is_truthy("D") && !env.is_truthy("C"));
    }
}
