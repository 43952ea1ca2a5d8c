//! `secrets configure`: where secrets live, by asking.

use auth_core::config;
use auth_core::is_provider_alias;
use auth_core::secrets::{ProviderSettings, SecretsConfig};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::prompt;

/// Providers as they will be: what is added or changed, what goes.
#[derive(Default)]
pub(super) struct StagedProviders {
    pub(super) upserts: Map<String, Value>,
    pub(super) deletes: Vec<String>,
}

impl StagedProviders {
    /// The `secrets` block with these changes.
    pub(super) fn applied_to(&self, secrets: &SecretsConfig) -> SecretsConfig {
        let mut staged = secrets.clone();
        for alias in &self.deletes {
            staged.providers.shift_remove(alias);
            for default in [&mut staged.defaults.env, &mut staged.defaults.file, &mut staged.defaults.exec] {
                if default.as_ref() == Some(alias) {
                    *default = None;
                }
            }
        }
        for (alias, entry) in &self.upserts {
            if let Some(provider) = ProviderSettings::from_value(entry) {
                staged.providers.insert(alias.clone(), provider);
            }
        }
        staged
    }

    pub(super) fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.deletes.is_empty()
    }
}

/// Asks until there is nothing more to change.
pub(super) fn ask(secrets: &SecretsConfig) -> Result<StagedProviders, Failure> {
    let mut staged = StagedProviders::default();
    loop {
        let known: Vec<String> = staged.applied_to(secrets).providers.keys().cloned().collect();
        let mut list = vec![
            ("add", "Add a secret provider".to_owned(), "variables, a file, a program".to_owned()),
            ("done", "Go on".to_owned(), format!("{} configured", known.len())),
        ];
        if !known.is_empty() {
            list.insert(1, ("remove", "Remove a secret provider".to_owned(), known.join(", ")));
        }
        match prompt::choose("Secret providers", &list, false)? {
            "add" => {
                let (alias, entry) = one(&known)?;
                staged.deletes.retain(|gone| *gone != alias);
                staged.upserts.insert(alias, entry);
            }
            "remove" => {
                let labels: Vec<(String, String)> = known.iter().map(|alias| (alias.clone(), String::new())).collect();
                let alias = &known[prompt::choose_of("Which one?", &labels)?];
                staged.upserts.shift_remove(alias);
                if secrets.providers.contains_key(alias) {
                    staged.deletes.push(alias.clone());
                }
            }
            _ => return Ok(staged),
        }
    }
}

/// Asks for one provider.
fn one(known: &[String]) -> Result<(String, Value), Failure> {
    let kinds = [
        ("env", "Environment variables".to_owned(), "only those on a list".to_owned()),
        ("file", "A file".to_owned(), "JSON, or one secret".to_owned()),
        ("exec", "A program".to_owned(), "Vault, 1Password, sops, pass …".to_owned()),
    ];
    let kind = prompt::choose("What kind?", &kinds, false)?;
    let suggestion = [kind.to_owned(), format!("{kind}main")].into_iter().find(|alias| !known.contains(alias));
    let alias = prompt::text_until("Its alias", &suggestion.unwrap_or_default(), &|text| {
        if !is_provider_alias(text) {
            return Err(
                "An alias begins with a small letter; then small letters, digits, _ and -, at most 64.".to_owned()
            );
        }
        if known.iter().any(|taken| taken == text) {
            return Err(format!("{text} is there already; remove it first, or choose another alias."));
        }
        Ok(text.to_owned())
    })?;
    loop {
        let entry = match kind {
            "env" => env_entry()?,
            "file" => file_entry()?,
            _ => exec_entry()?,
        };
        let document = json!({"secrets": {"providers": {&alias: entry}}});
        match config::validate(&document).into_iter().next() {
            None => return Ok((alias, entry)),
            Some(issue) => prompt::complain(&format!("{}: {}", issue.path, issue.message))?,
        }
    }
}

fn env_entry() -> Result<Value, Failure> {
    let names = prompt::text("The variables it may give, with commas between (* for all)", "*")?;
    let list: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "*").collect();
    Ok(if list.is_empty() { json!({"source": "env"}) } else { json!({"source": "env", "allowlist": list}) })
}

fn file_entry() -> Result<Value, Failure> {
    let path = prompt::text_until("Path of the file (absolute, or with ~)", "", &|text| {
        let fits = text.starts_with('/') || text.starts_with("~/");
        if fits { Ok(text.to_owned()) } else { Err("The path must be absolute.".to_owned()) }
    })?;
    let modes = [
        ("json", "A JSON object".to_owned(), "asked by pointers such as /providers/openai/apiKey".to_owned()),
        ("singleValue", "One secret".to_owned(), "the whole file".to_owned()),
    ];
    let mode = prompt::choose("What does it hold?", &modes, false)?;
    Ok(json!({"source": "file", "path": path, "mode": mode}))
}

fn exec_entry() -> Result<Value, Failure> {
    let command = prompt::text_until("The program (absolute path)", "", &|text| {
        if text.starts_with('/') { Ok(text.to_owned()) } else { Err("The path must be absolute.".to_owned()) }
    })?;
    let args = prompt::text("Its arguments, one blank between (- for none)", "-")?;
    let pass = prompt::text("Variables that it may see, with commas between (- for none)", "-")?;
    let mut entry = Map::new();
    entry.insert("source".to_owned(), Value::from("exec"));
    entry.insert("command".to_owned(), Value::from(command));
    if args != "-" {
        entry.insert("args".to_owned(), args.split_whitespace().collect());
    }
    if pass != "-" {
        entry.insert("passEnv".to_owned(), pass.split(',').map(str::trim).filter(|name| !name.is_empty()).collect());
    }
    if !prompt::confirm("Does it answer in the JSON protocol (no: it prints one secret as text)?", true)? {
        entry.insert("jsonOnly".to_owned(), Value::from(false));
    }
    Ok(Value::Object(entry))
}
