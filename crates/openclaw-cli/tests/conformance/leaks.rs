//! After every case: no part of a secret that went in may come out.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::case::{Case, Run};

/// How many characters in a row make a leak.
const WINDOW: usize = 9;
/// Members that hold secrets.
const SECRET_FIELDS: &[&str] =
    &["key", "apiKey", "api_key", "token", "access", "refresh", "access_token", "refresh_token", "idToken", "password"];
/// Well-known beginnings, which may show.
const PREFIXES: &[&str] = &["sk-test-", "sk-ant-oat01-", "sk-proj-", "sk-or-v1-", "gsk_", "AIza", "xai-", "ghp_"];

/// Every step that printed a part of a secret.
pub(crate) fn check(case: &Case, run: &Run) -> Vec<String> {
    let public = public_words(case);
    let mut problems = Vec::new();
    for secret in secrets(case, run) {
        let body = PREFIXES.iter().find_map(|prefix| secret.strip_prefix(prefix)).unwrap_or(&secret);
        let chars: Vec<char> = body.chars().collect();
        let windows: BTreeSet<String> = chars
            .windows(WINDOW)
            .map(|window| window.iter().collect::<String>())
            // Test secrets are named after what they stand for; a provider's own name is no leak.
            .filter(|window| !public.iter().any(|word| word.contains(window.as_str())))
            .collect();
        for (at, printed) in run.printed.iter().enumerate() {
            let text = format!("{}\n{}", printed.stdout, printed.stderr);
            if let Some(window) = windows.iter().find(|window| text.contains(*window)) {
                problems.push(format!("run {}: prints a part of a secret: …{window}…", at + 1));
            }
        }
    }
    problems
}

/// Provider ids, variable names, file paths and profile ids of the case.
fn public_words(case: &Case) -> Vec<String> {
    let providers = auth_core::provider::PROVIDERS.iter().map(|info| info.id.to_owned());
    let arguments = case.run.iter().flat_map(|step| step.args.iter().cloned());
    let profiles = case.files.values().filter_map(|file| file.get("profiles")?.as_object());
    let profiles = profiles.flat_map(|profiles| profiles.keys().cloned());
    let providers = providers.chain(profiles);
    providers.chain(case.files.keys().cloned()).chain(case.env.keys().cloned()).chain(arguments).collect()
}

fn secrets(case: &Case, run: &Run) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for content in case.files.values() {
        collect(&run.context.fill(content), "", &mut found);
    }
    let steps = case.run.iter().flat_map(|step| &step.env);
    for (name, value) in case.env.iter().chain(steps) {
        if ["KEY", "TOKEN", "SECRET", "PASSWORD"].iter().any(|word| name.contains(word)) {
            found.insert(value.clone());
        }
    }
    found.extend(case.run.iter().map(|step| step.stdin.trim().to_owned()));
    found.extend(case.run.iter().flat_map(|step| step.tty.iter().flatten()).map(|(_, typed)| typed.trim().to_owned()));
    let template = |text: &str| text.contains(['$', '{']) || text.contains(char::is_whitespace);
    let name = |text: &str| text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    found.retain(|text| text.len() >= 16 && !template(text) && !name(text) && !text.starts_with("http"));
    found
}

fn collect(value: &Value, name: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, item)| collect(item, key, found)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, name, found)),
        Value::String(text) if SECRET_FIELDS.contains(&name) => {
            found.insert(text.clone());
        }
        Value::String(text) => {
            // Keys inside other texts, such as a `.env` file.
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
            found.extend(words.filter(|word| word.starts_with("sk-")).map(str::to_owned));
        }
        _ => {}
    }
}
