//! References to secrets that live elsewhere (spec 05 section 1).

use std::fmt;

use serde_json::{Value, json};

use crate::secret::mask;

/// Where a reference points: which kind of provider resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefSource {
    /// An environment variable.
    Env,
    /// A file, or a member of a JSON file.
    File,
    /// A program that answers on its standard output.
    Exec,
}

impl RefSource {
    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::Exec => "exec",
        }
    }

    /// The source of that name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "env" => Some(Self::Env),
            "file" => Some(Self::File),
            "exec" => Some(Self::Exec),
            _ => None,
        }
    }
}

impl fmt::Display for RefSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A SecretRef: `{source, provider, id}` naming a secret elsewhere. Holds no secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretRef {
    /// Which kind of provider.
    pub source: RefSource,
    /// Alias in `secrets.providers`.
    pub provider: String,
    /// What to ask that provider for.
    pub id: String,
}

impl SecretRef {
    /// A reference to an environment variable through the default provider of that source.
    pub fn env(name: &str, defaults: &RefDefaults) -> Self {
        Self { source: RefSource::Env, provider: defaults.alias(RefSource::Env).to_owned(), id: name.to_owned() }
    }

    /// How the report shows it: `ref(<source>:<id>)`.
    pub fn label(&self) -> String {
        format!("ref({}:{})", self.source, self.shown_id())
    }

    /// The id as it may be shown: whole when it has the form of an id, masked otherwise, because then it may be a
    /// secret in the wrong place.
    pub fn shown_id(&self) -> String {
        let id = self.id.trim();
        if self.has_valid_id() && !id.contains(char::is_control) { id.to_owned() } else { mask(id) }
    }

    /// The JSON form, with its three members in their usual order.
    pub fn to_value(&self) -> Value {
        json!({"source": self.source.as_str(), "provider": self.provider, "id": self.id})
    }

    /// What keeps the id from being a strict one (spec 05 section 1.1), in words; `None` when it is one. Stricter than
    /// [`has_valid_id`](Self::has_valid_id) for variables.
    pub fn id_fault(&self) -> Option<&'static str> {
        match self.source {
            RefSource::Env if !is_env_id(&self.id) => {
                Some("Env secret reference id must match ^[A-Z][A-Z0-9_]{0,127}$")
            }
            RefSource::File if !is_file_id(&self.id) => {
                Some("File secret reference id must be \"value\" or a JSON pointer that starts with \"/\"")
            }
            RefSource::Exec if !is_exec_id(&self.id) => Some(EXEC_ID_RULE),
            _ => None,
        }
    }

    /// Whether the id has the form that its source asks for. Variables may have lower-case names here, since such
    /// stores work today (spec 05 section 1.1).
    pub fn has_valid_id(&self) -> bool {
        let id = self.id.trim();
        match self.source {
            RefSource::Env => id.len() <= 128 && crate::dotenv::is_variable_name(id),
            RefSource::File => is_file_id(id),
            RefSource::Exec => is_exec_id(id),
        }
    }

    /// Turns any JSON value into a reference, or tells that it is none (spec 05 section 1.3).
    pub fn coerce(value: &Value, defaults: &RefDefaults) -> Option<Self> {
        match value {
            Value::String(text) => Self::from_template(text, defaults),
            Value::Object(members) => {
                let source = RefSource::parse(members.get("source")?.as_str()?)?;
                let id = members.get("id")?.as_str()?;
                if id.trim().is_empty() {
                    return None;
                }
                let provider = match members.get("provider") {
                    Some(provider) if members.len() == 3 => {
                        provider.as_str().filter(|alias| !alias.trim().is_empty())?
                    }
                    Some(_) => return None,
                    None => defaults.alias(source),
                };
                Some(Self { source, provider: provider.to_owned(), id: id.to_owned() })
            }
            _ => None,
        }
    }

    /// The reference that a whole-string `${NAME}` stands for.
    pub fn from_template(text: &str, defaults: &RefDefaults) -> Option<Self> {
        let name = text.trim().strip_prefix("${")?.strip_suffix('}')?;
        is_env_id(name).then(|| Self::env(name, defaults))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.provider, self.shown_id())
    }
}

/// What the id of an `exec` reference must be.
pub(crate) const EXEC_ID_RULE: &str = "Exec secret reference id must match ^[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}$, \
     and path segments must not be \".\" or \"..\"";

/// The provider alias that a reference without one means: `secrets.defaults`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefDefaults {
    /// Alias for `env` references, `default` when unset.
    pub env: Option<String>,
    /// Alias for `file` references, `default` when unset.
    pub file: Option<String>,
    /// Alias for `exec` references, `default` when unset.
    pub exec: Option<String>,
}

impl RefDefaults {
    /// The alias in force for a source.
    pub fn alias(&self, source: RefSource) -> &str {
        match source {
            RefSource::Env => &self.env,
            RefSource::File => &self.file,
            RefSource::Exec => &self.exec,
        }
        .as_deref()
        .unwrap_or("default")
    }
}

/// `^[A-Z][A-Z0-9_]{0,127}$`: an environment variable name in a reference.
pub fn is_env_id(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 128
        && bytes.next().is_some_and(|b| b.is_ascii_uppercase())
        && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// `^[a-z][a-z0-9_-]{0,63}$`: an alias in `secrets.providers`.
pub fn is_provider_alias(alias: &str) -> bool {
    let mut bytes = alias.bytes();
    alias.len() <= 64
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// The word `value`, or a JSON pointer: starts with `/`, and `~` stands only before `0` or `1`.
pub fn is_file_id(id: &str) -> bool {
    id == "value" || (id.starts_with('/') && id.split('~').skip(1).all(|rest| rest.starts_with(['0', '1'])))
}

/// `^[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}$` without a `.` or `..` segment.
pub fn is_exec_id(id: &str) -> bool {
    id.len() <= 256
        && id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'/' | b'-'))
        && id.split('/').all(|segment| !matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn coerce(value: &Value) -> Option<String> {
        SecretRef::coerce(value, &RefDefaults::default()).map(|r| r.to_string())
    }

    #[test]
    fn coercion_accepts_three_forms() {
        let full = json!({"source": "file", "provider": "vault", "id": "/a"});
        assert_eq!(coerce(&full).as_deref(), Some("file:vault:/a"));
        let old = json!({"source": "exec", "id": "a", "note": 1});
        assert_eq!(coerce(&old).as_deref(), Some("exec:default:a"));
        assert_eq!(coerce(&json!(" ${KEY_1} ")).as_deref(), Some("env:default:KEY_1"));
    }

    #[test]
    fn everything_else_is_no_reference() {
        for value in [
            json!({"source": "env", "provider": "p", "id": "A", "x": 1}),
            json!({"source": "env", "provider": "", "id": "A"}),
            json!({"source": "env", "provider": null, "id": "A"}),
            json!({"source": "vault", "provider": "p", "id": "A"}),
            json!({"source": "env", "id": " "}),
            json!("$NAME"),
            json!("${lower}"),
            json!("Bearer ${NAME}"),
            json!("secretref-env:NAME"),
            json!(7),
        ] {
            assert_eq!(coerce(&value), None, "{value}");
        }
    }

    fn reference(source: RefSource, id: &str) -> SecretRef {
        SecretRef { source, provider: "p".to_owned(), id: id.to_owned() }
    }

    #[test]
    fn ids_are_strict_in_the_config_and_lenient_for_variables_in_a_store() {
        use RefSource::{Env, Exec, File};
        // Whether it is a strict id, and whether it has the form that is used.
        for (source, id, strict, usable) in [
            (Env, "OPENAI_API_KEY", true, true),
            (Env, "lower_Case1", false, true),
            (Env, " A ", false, true),
            (Env, "1A", false, false),
            (Env, "A-B", false, false),
            (Env, "", false, false),
            (File, "value", true, true),
            (File, "/providers/a~1b", true, true),
            (File, "providers/a", false, false),
            (Exec, "vault:kv/a.b", true, true),
            (Exec, "a/../b", false, false),
            (Exec, "/value", false, false),
        ] {
            let reference = reference(source, id);
            assert_eq!((reference.id_fault().is_none(), reference.has_valid_id()), (strict, usable), "{source} {id:?}");
        }
        let fault = |source| reference(source, "-").id_fault().unwrap_or_default();
        assert!(fault(Env).starts_with("Env secret reference id must match"));
        assert!(fault(File).starts_with("File secret reference id must be"));
        assert!(
            fault(Exec).starts_with("Exec secret reference id must match") && fault(Exec).contains("path segments")
        );
    }

    #[test]
    fn ids_and_aliases_have_a_longest_form() {
        let long = |first: &str, count: usize| format!("{first}{}", "A".repeat(count - 1));
        assert!(is_env_id(&long("A", 128)) && !is_env_id(&long("A", 129)));
        assert!(is_exec_id(&long("1", 256)) && !is_exec_id(&long("1", 257)));
        let variable = |count| reference(RefSource::Env, &long("_", count)).has_valid_id();
        assert!(variable(128) && !variable(129));
        assert!(is_provider_alias(&"a".repeat(64)) && !is_provider_alias(&"a".repeat(65)));
        for alias in ["", "1a", "-a", "aB", "a.b"] {
            assert!(!is_provider_alias(alias), "{alias}");
        }
        for id in ["a", "A1_Z", "A9"] {
            assert_eq!(is_env_id(id), id != "a", "{id}");
        }
        for id in ["a", "a/./b", "./a", "a/b..", "a b", "a~b", "Z9._:/-"] {
            assert_eq!(is_exec_id(id), matches!(id, "a" | "a/b.." | "Z9._:/-"), "{id}");
        }
    }

    #[test]
    fn what_may_be_a_secret_in_the_wrong_place_is_masked() {
        let env = reference(RefSource::Env, " OPENAI_API_KEY ");
        assert_eq!(
            (env.label().as_str(), env.to_string().as_str()),
            ("ref(env:OPENAI_API_KEY)", "env:p:OPENAI_API_KEY")
        );
        let wrong = reference(RefSource::Env, "sk-test-groq-000000000001");
        assert_eq!((wrong.label().as_str(), wrong.to_string().as_str()), ("ref(env:sk-t...0001)", "env:p:sk-t...0001"));
        // A pointer may hold any character, the terminal may not get it.
        assert_eq!(reference(RefSource::File, "/a\u{1b}b").shown_id(), "****");
    }

    #[test]
    fn sources_have_words_and_default_aliases() {
        let defaults = RefDefaults { file: Some("disk".to_owned()), ..RefDefaults::default() };
        let aliases = [RefSource::Env, RefSource::File, RefSource::Exec].map(|source| defaults.alias(source));
        assert_eq!(aliases, ["default", "disk", "default"]);
        for (word, source) in [("env", RefSource::Env), ("file", RefSource::File), ("exec", RefSource::Exec)] {
            assert_eq!(
                (RefSource::parse(word), source.as_str(), source.to_string().as_str()),
                (Some(source), word, word)
            );
        }
        assert_eq!(RefSource::parse("ENV"), None);
        let named = RefDefaults { env: Some("e".to_owned()), exec: Some("x".to_owned()), ..RefDefaults::default() };
        assert_eq!((named.alias(RefSource::Env), named.alias(RefSource::Exec)), ("e", "x"));
        let made = SecretRef::env("A", &named);
        assert_eq!(made.to_value().to_string(), r#"{"source":"env","provider":"e","id":"A"}"#);
    }

    #[test]
    fn id_patterns() {
        assert!(is_file_id("value") && is_file_id("/") && is_file_id("/a~0b/~1"));
        assert!(!is_file_id("a/b") && !is_file_id("/a~2") && !is_file_id("/a~"));
        assert!(is_exec_id("vault:kv/a-b.c") && !is_exec_id("a/../b") && !is_exec_id("-a") && !is_exec_id(""));
        assert!(is_provider_alias("my-vault_1") && !is_provider_alias("Vault"));
        assert!(is_env_id("A") && !is_env_id("_A") && !is_env_id(""));
    }
}
