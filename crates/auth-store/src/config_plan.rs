//! Working out a change of `openclaw.json` (spec 01 section 4): which files change, to which text, and whether the
//! result is what was asked for. Reads only.

use std::path::{Path, PathBuf};

use auth_core::config::{self, PathPart};
use auth_core::{Environment, Timestamp};
use serde_json::Value;

use crate::config_file::{AuthoredConfig, COMPATIBLE_VERSION, ConfigInvalid, check, read_authored};
use crate::config_writer::{ConfigChange, ConfigWriteError};
use crate::host::{Host, Overlay};
use crate::json5_edit::{Change, EditError, apply, differences};
use crate::layout::StateLayout;
use crate::lock::iso_time;

/// A change of the config that was worked out and checked.
pub(crate) struct PlannedConfig {
    pub(crate) change: ConfigChange,
    pub(crate) authored: AuthoredConfig,
    /// The files that change, with their new texts; the main file last.
    pub(crate) texts: Vec<(PathBuf, String)>,
}

/// A change of the config that was worked out and checked, for those who write the files themselves.
#[derive(Clone, Debug, Default)]
pub struct ConfigPlan {
    /// The settings that change, dotted.
    pub settings: Vec<String>,
    /// The files that change; the main file last. None when nothing would be different.
    pub files: Vec<PlannedFile>,
}

/// A file that a plan changes.
#[derive(Clone)]
pub struct PlannedFile {
    /// Which one.
    pub path: PathBuf,
    /// What it was worked out on; `None` when it does not exist yet.
    pub before: Option<Vec<u8>>,
    /// Its new text.
    pub after: String,
}

impl std::fmt::Debug for PlannedFile {
    /// Prints the path only: the texts may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Works out changes of the config.
#[derive(Clone, Copy)]
pub struct ConfigPlanner<'a> {
    layout: &'a StateLayout,
    environment: &'a Environment,
    host: &'a dyn Host,
    accepts_invalid: bool,
}

impl std::fmt::Debug for ConfigPlanner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigPlanner").field("path", &self.layout.config_path()).finish_non_exhaustive()
    }
}

impl<'a> ConfigPlanner<'a> {
    /// A planner for the config of this layout.
    pub fn new(layout: &'a StateLayout, environment: &'a Environment, host: &'a dyn Host) -> Self {
        Self { layout, environment, host, accepts_invalid: false }
    }

    /// The same for a config that need not be valid as it is. It must be afterwards.
    #[must_use]
    pub fn accepting_invalid(self) -> Self {
        Self { accepts_invalid: true, ..self }
    }

    /// Works out a change and checks its result. `edit` gets the document as its author wrote it; what it changes there
    /// is changed in the files, and nothing else.
    ///
    /// # Errors
    ///
    /// When the config cannot be read, the result would not be valid, or a change cannot be made in place.
    pub fn plan(&self, edit: &dyn Fn(&mut Value) -> Result<(), String>) -> Result<ConfigPlan, ConfigWriteError> {
        let planned = self.work_out(edit)?;
        let before = |path: &Path| {
            let found = planned.authored.files.iter().find(|file| file.path == path);
            let main = (path == self.layout.config_path()).then(|| planned.authored.raw.clone()).flatten();
            main.or_else(|| found.map(|file| file.text.clone().into_bytes()))
        };
        let files = planned.texts.iter().map(|(path, after)| PlannedFile {
            path: path.clone(),
            before: before(path),
            after: after.clone(),
        });
        Ok(ConfigPlan { settings: planned.change.settings.clone(), files: files.collect() })
    }

    pub(crate) fn work_out(
        &self,
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<PlannedConfig, ConfigWriteError> {
        let authored = read_authored(self.layout, self.host)?;
        if !self.accepts_invalid {
            self.validate(&authored)?;
        }
        let mut wanted = authored.document.clone();
        edit(&mut wanted).map_err(ConfigWriteError::Refused)?;
        let mut changes = differences(&authored.document, &wanted);
        if changes.is_empty() {
            return Ok(PlannedConfig { change: ConfigChange::default(), authored, texts: Vec::new() });
        }
        let settings = changes.iter().map(|change| change.path.join(".")).collect();
        changes.extend(stamp(self.host.now()));
        let texts = self.edited_texts(&authored, &changes)?;
        self.verify(&authored, &texts, &wanted)?;
        Ok(PlannedConfig { change: ConfigChange { changed: true, settings }, authored, texts })
    }

    /// Checks a document as a reader would see it.
    fn validate(&self, authored: &AuthoredConfig) -> Result<(), ConfigInvalid> {
        let mut document = authored.document.clone();
        config::substitute(&mut document, self.environment);
        check(&document, authored, self.layout)
    }

    /// The files that change, with their new texts.
    fn edited_texts(
        &self,
        authored: &AuthoredConfig,
        changes: &[Change],
    ) -> Result<Vec<(PathBuf, String)>, ConfigWriteError> {
        let main = self.layout.config_path();
        let mut texts: Vec<(PathBuf, String)> = Vec::new();
        for change in changes {
            let (path, original, depth) = self.file_of(authored, change)?;
            if !texts.iter().any(|(known, _)| known == path) {
                texts.push((path.to_owned(), original.to_owned()));
            }
            let Some((_, text)) = texts.iter_mut().find(|(known, _)| known == path) else { continue };
            let local = Change { path: change.path[depth..].to_vec(), to: change.to.clone() };
            *text = apply(text, &local).map_err(|error| match error {
                EditError::Syntax(error) => {
                    self.not_safely(path, change, format!("{} at line {}", error.message, error.line))
                }
                EditError::NotAnObject(at) => {
                    self.not_safely(path, change, format!("{} is no object there", at.join(".")))
                }
            })?;
        }
        // The main file last: it is what readers begin with.
        texts.sort_by_key(|(path, _)| path == main);
        Ok(texts)
    }

    /// The file to change, its text, and how many steps of the path lie above its content. What is in one included file
    /// is changed there if it is an array or goes; everything else is set in the main file, which wins.
    fn file_of<'b>(
        &'b self,
        authored: &'b AuthoredConfig,
        change: &Change,
    ) -> Result<(&'b Path, &'b str, usize), ConfigWriteError> {
        let main = authored.files.first();
        let main_place = (self.layout.config_path(), main.map_or("", |file| file.text.as_str()), 0);
        let in_place = change.to.is_none() || change.to.as_ref().is_some_and(Value::is_array);
        if !in_place {
            return Ok(main_place);
        }
        let holders: Vec<_> = authored
            .files
            .iter()
            .filter_map(|file| {
                let prefix: Option<Vec<&str>> = file
                    .prefix
                    .parts()
                    .iter()
                    .map(|part| match part {
                        PathPart::Key(key) => Some(key.as_str()),
                        PathPart::Index(_) => None,
                    })
                    .collect();
                let prefix = prefix?;
                let below = change.path.len() > prefix.len() && change.path.iter().zip(&prefix).all(|(a, b)| a == b);
                let content = crate::json5::parse(&file.text).ok()?;
                let held = below && change.path[prefix.len()..].iter().try_fold(&content, member).is_some();
                held.then_some((file.path.as_path(), file.text.as_str(), prefix.len()))
            })
            .collect();
        match holders.as_slice() {
            [] => Ok(main_place),
            [one] => Ok(*one),
            [(path, ..), ..] => Err(self.not_safely(path, change, "it stands in several files".to_owned())),
        }
    }

    fn not_safely(&self, path: &Path, change: &Change, why: String) -> ConfigWriteError {
        let by_hand = match &change.to {
            Some(to) => format!("{} = {}", change.path.join("."), without_secrets(to, change.path.last())),
            None => format!("remove {}", change.path.join(".")),
        };
        ConfigWriteError::Unsafe { file: self.layout.shorten(path), why, by_hand }
    }

    /// Reads the new texts as a reader would and compares: only what was wanted may differ.
    fn verify(
        &self,
        authored: &AuthoredConfig,
        texts: &[(PathBuf, String)],
        wanted: &Value,
    ) -> Result<(), ConfigWriteError> {
        let files: Vec<_> = texts.iter().map(|(path, text)| (path.clone(), Some(text.as_bytes()))).collect();
        let overlay = Overlay { host: self.host, files: &files };
        let after = read_authored(self.layout, &overlay)?;
        let strip = |document: &Value| {
            let mut document = document.clone();
            if let Some(root) = document.as_object_mut() {
                root.shift_remove("meta");
            }
            document
        };
        let left = differences(&strip(wanted), &strip(&after.document));
        if let Some(first) = left.first() {
            let change = Change { path: first.path.clone(), to: None };
            let why = "the result would not be what was asked for".to_owned();
            let by_hand = differences(&authored.document, wanted).into_iter().next().unwrap_or(change);
            return Err(self.not_safely(self.layout.config_path(), &by_hand, why));
        }
        self.validate(&after).map_err(|invalid| match invalid.problems.into_iter().next() {
            Some(problem) => ConfigWriteError::Validation { path: problem.path, message: problem.message },
            None => ConfigWriteError::Refused("the result would not be valid".to_owned()),
        })
    }
}

/// The member of an object, or the element of an array.
fn member<'a>(at: &'a Value, key: &String) -> Option<&'a Value> {
    match at {
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        other => other.get(key),
    }
}

/// A value for a message: strings that may be keys are masked.
fn without_secrets(value: &Value, name: Option<&String>) -> Value {
    let holds_secrets = name.is_some_and(|name| {
        let name = name.to_lowercase();
        // What a program is started with may be one too.
        ["key", "token", "secret", "password", "headers", "args", "env"].iter().any(|part| name.contains(part))
    });
    match value {
        Value::String(text) if holds_secrets => Value::from(auth_core::mask(text)),
        Value::Array(items) => items.iter().map(|item| without_secrets(item, name)).collect(),
        Value::Object(members) => {
            let below = |member: &String| if holds_secrets { name.cloned() } else { Some(member.clone()) };
            members
                .iter()
                .map(|(member, value)| (member.clone(), without_secrets(value, below(member).as_ref())))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        other => other.clone(),
    }
}

/// `meta` as every write leaves it.
fn stamp(now: Timestamp) -> Vec<Change> {
    let set =
        |key: &str, to: String| Change { path: vec!["meta".to_owned(), key.to_owned()], to: Some(Value::from(to)) };
    vec![set("lastTouchedVersion", COMPATIBLE_VERSION.to_owned()), set("lastTouchedAt", iso_time(now.as_ms()))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_never_quotes_a_key() {
        let block = json!({"lab": {"baseUrl": "https://a", "apiKey": "sk-test-canary-0001", "headers": {"api-key": "sk-test-canary-0001"}}});
        let shown = without_secrets(&block, Some(&"providers".to_owned())).to_string();
        assert!(shown.contains("https://a") && !shown.contains("canary"), "{shown}");
        let program =
            json!({"v": {"args": ["--login", "hunter2-canary-0001"], "env": {"VAULT_PW": "hunter2-canary-0001"}}});
        let shown = without_secrets(&program, Some(&"providers".to_owned())).to_string();
        assert!(!shown.contains("canary"), "{shown}");
        let shown = without_secrets(&json!("sk-test-canary-0001"), Some(&"apiKey".to_owned())).to_string();
        assert!(!shown.contains("canary"), "{shown}");
    }
}
