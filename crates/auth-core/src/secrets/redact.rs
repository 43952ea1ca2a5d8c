//! Removing secrets from texts of others: error messages, bodies (spec 03 section 7.3).

use crate::secret::Secret;

/// A run of a secret this long is removed too.
const RUN: usize = 8;
/// What stands in their place.
const REMOVED: &str = "***";

/// Knows the secrets of a run and removes them, and whatever looks like one.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    known: Vec<Secret>,
}

impl Redactor {
    /// A redactor that knows these secrets. Blank and very short ones are left out: removing them would hide nothing
    /// and garble everything.
    pub fn of(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut known: Vec<Secret> =
            secrets.into_iter().filter(|secret| secret.reveal().trim().chars().count() >= RUN).collect();
        // The longest first, so that a secret within another does not split it.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        Self { known }
    }

    /// A redactor that knows these secrets too.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self::of(self.known.iter().cloned().chain(more))
    }

    /// The text without known secrets, without runs of eight characters of one, without what looks like a secret, and
    /// without control characters.
    pub fn redact(&self, text: &str) -> String {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = self.known.iter().fold(text, |text, secret| without_runs(&text, secret.reveal().trim()));
        without_lookalikes(&text)
    }
}

/// Replaces every stretch of the text that is a run of the secret.
fn without_runs(text: &str, secret: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let secret: Vec<char> = secret.chars().collect();
    let runs: std::collections::HashSet<&[char]> = secret.windows(RUN).collect();
    let mut covered = vec![false; text.len()];
    for (at, window) in text.windows(RUN).enumerate() {
        if runs.contains(window) {
            covered[at..at + RUN].fill(true);
        }
    }
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.iter().enumerate() {
        if !covered[at] {
            out.push(*c);
        } else if at == 0 || !covered[at - 1] {
            out.push_str(REMOVED);
        }
    }
    out
}

/// Beginnings of keys of well-known providers, and how many characters must follow.
const PREFIXES: &[(&str, usize)] =
    &[("sk-", 8), ("AIza", 8), ("gsk_", 8), ("xai-", 8), ("ghp_", 8), ("gho_", 8), ("ghu_", 8), ("eyJ", 16)];
/// Names that announce a secret, without blanks, underscores and dashes.
const NAMES: &[&str] = &[
    "token",
    "accesstoken",
    "refreshtoken",
    "password",
    "secret",
    "clientsecret",
    "apikey",
    "xapikey",
    "authorization",
];

fn without_lookalikes(text: &str) -> String {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut announced = Announced::No;
    // The word before, when only a blank lies between: `API key: …` is a name of two words.
    let mut before = "";
    while let Some(first) = rest.chars().next() {
        if !is_key_char(first) {
            announced = announced.after(first);
            if first != ' ' {
                before = "";
            }
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if word == "=" && announced != Announced::No {
            announced = Announced::Value;
            out.push_str(word);
            continue;
        }
        // `name=value` is one word here.
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_name(name) => (Some(name), value),
            _ => (None, word),
        };
        if let Some(name) = name {
            out.push_str(name);
            out.push('=');
        }
        let scheme = value.eq_ignore_ascii_case("bearer") || value.eq_ignore_ascii_case("basic");
        if (name.is_some() || announced == Announced::Value) && !scheme {
            out.push_str(REMOVED);
            announced = Announced::No;
        } else {
            out.push_str(&without_prefixed(value));
            announced = if scheme {
                Announced::Value
            } else if is_name(value) || is_name(&format!("{before}{value}")) {
                Announced::Name
            } else {
                Announced::No
            };
        }
        before = if value.eq_ignore_ascii_case("api") { value } else { "" };
    }
    out
}

/// Whether the next word is a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    No,
    /// A name came; a `:` or `=` makes the next word its value.
    Name,
    Value,
}

impl Announced {
    fn after(self, c: char) -> Self {
        match (self, c) {
            (Self::Name | Self::Value, ':') => Self::Value,
            (Self::Name | Self::Value, ' ' | '"' | '\'' | '`') => self,
            _ => Self::No,
        }
    }
}

fn is_name(word: &str) -> bool {
    let bare: String = word.chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|name| bare == *name) || (bare.len() < 40 && (bare.ends_with("apikey") || bare.ends_with("token")))
}

fn without_prefixed(word: &str) -> String {
    for (prefix, least) in PREFIXES {
        if let Some(at) = word.find(prefix)
            && word.len() - at - prefix.len() >= *least
            && !word[..at].ends_with(|c: char| c.is_ascii_alphanumeric())
        {
            return format!("{}{REMOVED}", &word[..at]);
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_and_likely_secrets_go() {
        let redactor = Redactor::of([Secret::new("correct-horse-battery"), Secret::new("short")]);
        for (text, shown) in [
            ("key correct-horse-battery is bad", "key *** is bad"),
            ("ends in horse-battery!", "ends in ***!"),
            ("Incorrect API key provided: sk-test-abcdefgh12", "Incorrect API key provided: ***"),
            ("api_key=abc123 and password: hunter2", "api_key=*** and password: ***"),
            ("your API key: abc123, secret = xyz, api, key: no", "your API key: ***, secret = ***, api, key: no"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("\"access_token\": \"zzz\"", "\"access_token\": \"***\""),
            ("bad key AIzaSyD-1234567", "bad key ***"),
            ("max tokens 100, short", "max tokens 100, short"),
            ("risk-free basket", "risk-free basket"),
            ("two\nlines\u{1b}[31m", "two lines [31m"),
        ] {
            assert_eq!(redactor.redact(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_run_of_a_known_secret_is_left(secret in "[a-zA-Z0-9]{12,40}", before in "\\PC{0,20}", from in 0_usize..4) {
            let text = format!("{before}{}", &secret[from..]);
            let shown = Redactor::of([Secret::new(secret.clone())]).redact(&text);
            let left: Vec<char> = secret.chars().collect();
            prop_assert!(!left.windows(RUN).any(|run| shown.contains(&run.iter().collect::<String>())), "{}", shown);
        }

        #[test]
        fn any_text_can_be_redacted(text in "\\PC{0,80}") {
            let _ = Redactor::default().redact(&text);
        }
    }
}
