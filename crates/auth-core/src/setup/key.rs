//! Where the key of a new credential comes from (spec 04 section 3.5).

use crate::environment::Environment;
use crate::profile::ProfileId;
use crate::secret::Secret;
use crate::secret_ref::SecretRef;

/// How a secret is kept: `--secret-input-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputMode {
    /// The text itself, in the store.
    Plaintext,
    /// A reference to the variable that holds it.
    Reference,
}

impl InputMode {
    /// Reads the value of `--secret-input-mode`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "plaintext" => Some(Self::Plaintext),
            "ref" => Some(Self::Reference),
            _ => None,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct KeyWanted<'a> {
    /// The provider, for messages.
    pub provider: &'a str,
    /// The option that carries the key.
    pub flag_name: &'a str,
    /// Its value.
    pub flag: Option<&'a Secret>,
    /// Variables that may hold the key, in lookup order.
    pub env_vars: &'a [&'a str],
    /// The variable that messages name.
    pub canonical: &'a str,
    /// How it is to be kept.
    pub mode: InputMode,
    /// A profile of the provider that holds a usable key already.
    pub existing: Option<&'a ProfileId>,
    /// A value that begins so is a token, not a key, and is passed over.
    pub not_starting_with: Option<&'a str>,
}

/// A source.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The option.
    Flag(Secret),
    /// A variable whose value is copied.
    Copied {
        /// The variable.
        variable: String,
        /// Its value.
        key: Secret,
    },
    /// A variable that is referred to.
    Referenced(String),
    /// Any other place that is referred to, with what it gave when it was tried.
    Elsewhere {
        /// Where.
        reference: SecretRef,
        /// The key.
        key: Secret,
    },
    /// A profile that is there already; it stays as it is.
    Existing(ProfileId),
}

/// A source with what the user should know about it.
#[derive(Clone, Debug)]
pub struct FoundKey {
    /// Where the key comes from.
    pub source: KeySource,
    /// Remarks.
    pub notes: Vec<String>,
}

/// Finds the key: option, variables, then a profile that is there. `None` when there is nothing.
///
/// # Errors
///
/// With a key option in reference mode when no variable holds the key: it would have to be stored after all.
pub fn find_key(wanted: &KeyWanted<'_>, environment: &Environment) -> Result<Option<FoundKey>, String> {
    let mut notes = Vec::new();
    let variable = wanted.env_vars.iter().find_map(|name| {
        let (key, _) = environment.credential(name)?;
        if wanted.not_starting_with.is_some_and(|prefix| key.reveal().starts_with(prefix)) {
            if wanted.flag.is_none() {
                notes.push(format!("{name} holds a token, not an API key, and is passed over."));
            }
            return None;
        }
        Some(((*name).to_owned(), key))
    });
    let source = match (wanted.mode, wanted.flag, variable) {
        (InputMode::Plaintext, Some(key), _) => KeySource::Flag(key.clone()),
        (InputMode::Plaintext, None, Some((variable, key))) => {
            notes.push(format!("The value of {variable} was copied; --secret-input-mode ref keeps only a reference."));
            KeySource::Copied { variable, key }
        }
        (InputMode::Reference, flag, Some((variable, key))) => {
            if flag.is_some_and(|flag| !flag.is_same(&key)) {
                notes.push(format!("{variable} and {} differ; the variable is used.", wanted.flag_name));
            }
            KeySource::Referenced(variable)
        }
        (InputMode::Reference, Some(_), None) => {
            let (flag, variable) = (wanted.flag_name, wanted.canonical);
            return Err(format!(
                "{flag} cannot be used with --secret-input-mode ref unless {variable} is set in env.\nSet {variable} in env and omit {flag}, or use --secret-input-mode plaintext."
            ));
        }
        (_, None, None) => match wanted.existing {
            Some(id) => KeySource::Existing(id.clone()),
            None => return Ok(None),
        },
    };
    Ok(Some(FoundKey { source, notes }))
}

impl KeyWanted<'_> {
    /// What to say when there is no key. `profiles_count` tells whether a stored profile would have done.
    pub fn missing(&self, profiles_count: bool) -> String {
        let Self { provider, flag_name, canonical, .. } = self;
        if profiles_count {
            format!("Missing {flag_name} (or {canonical} in env, or existing {provider} API-key profile).")
        } else {
            format!("Missing {flag_name} (or {canonical} in env).")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        mode: InputMode,
        flag: Option<&str>,
        variables: &[(&str, &str)],
        existing: bool,
    ) -> Result<Option<FoundKey>, String> {
        let flag = flag.map(Secret::new);
        let existing = existing.then(|| ProfileId::new("google:work"));
        let environment =
            Environment::from_process(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let wanted = KeyWanted {
            provider: "google",
            flag_name: "--gemini-api-key",
            flag: flag.as_ref(),
            env_vars: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            canonical: "GEMINI_API_KEY",
            mode,
            existing: existing.as_ref(),
            not_starting_with: Some("sk-ant-oat"),
        };
        find_key(&wanted, &environment)
    }

    fn source(mode: InputMode, flag: Option<&str>, variables: &[(&str, &str)], existing: bool) -> String {
        match asked(mode, flag, variables, existing) {
            Ok(None) => "none".to_owned(),
            Ok(Some(FoundKey { source, notes })) => {
                let source = match source {
                    KeySource::Flag(_) => "flag".to_owned(),
                    KeySource::Copied { variable, .. } => format!("copied {variable}"),
                    KeySource::Referenced(variable) => format!("ref {variable}"),
                    KeySource::Existing(id) => id.to_string(),
                    KeySource::Elsewhere { reference, .. } => reference.to_string(),
                };
                format!("{source} +{}", notes.len())
            }
            Err(error) => error.lines().next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn sources_follow_the_table() {
        use InputMode::{Plaintext, Reference};
        let google = [("GOOGLE_API_KEY", "sk-test-2")];
        assert_eq!(source(Plaintext, Some("sk-test-1"), &google, true), "flag +0");
        assert_eq!(source(Plaintext, None, &google, true), "copied GOOGLE_API_KEY +1");
        assert_eq!(source(Reference, Some("sk-test-1"), &google, false), "ref GOOGLE_API_KEY +1");
        assert_eq!(source(Reference, Some("sk-test-2"), &google, false), "ref GOOGLE_API_KEY +0");
        assert_eq!(source(Reference, None, &google, true), "ref GOOGLE_API_KEY +0");
        assert_eq!(
            source(Reference, Some("sk-test-1"), &[], true),
            "--gemini-api-key cannot be used with --secret-input-mode ref unless GEMINI_API_KEY is set in env."
        );
        assert_eq!(source(Plaintext, None, &[("GEMINI_API_KEY", " ")], true), "google:work +0");
        assert_eq!(source(Reference, None, &[], false), "none");
        let token = [("GEMINI_API_KEY", "sk-ant-oat01-x"), ("GOOGLE_API_KEY", "sk-test-2")];
        assert_eq!(source(Plaintext, None, &token, false), "copied GOOGLE_API_KEY +2");
    }
}
