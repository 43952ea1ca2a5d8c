//! Credentials that the environment gives a provider (spec 02 section 6, spec 07 section 2).

use crate::environment::{EnvOrigin, Environment};
use crate::provider::{AuthKey, ProviderId};
use crate::secret::Secret;

/// What files outside the state directory say about ambient credentials; gathered by whoever may look at the disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct AmbientFacts {
    /// The file named by `GOOGLE_APPLICATION_CREDENTIALS`, or Google's default place when that is unset, exists.
    pub google_adc_exists: bool,
    /// The same file can be read.
    pub google_adc_readable: bool,
}

/// A credential found in the environment.
#[derive(Clone, Debug)]
pub struct EnvCredential {
    /// The key, or the placeholder of a credential that the provider's own library will find.
    pub value: EnvValue,
    /// The source text of the report: `env: NAME`, `shell env: NAME`, `env` or `gcloud adc`.
    pub source: String,
    /// The variable that decided, where one did.
    pub variable: Option<String>,
    /// Where that variable was set.
    pub origin: Option<EnvOrigin>,
}

/// The value of a credential found in the environment.
#[derive(Clone, Debug)]
pub enum EnvValue {
    /// A key or token.
    Secret(Secret),
    /// A placeholder, not a secret: shown as `marker(…)`.
    Placeholder(&'static str),
}

impl EnvCredential {
    /// Whether the report counts it as an OAuth login: its source text says so.
    pub fn is_oauth(&self) -> bool {
        self.source.to_lowercase().contains("oauth")
    }

    /// The masked value or the placeholder.
    pub fn shown(&self) -> String {
        match &self.value {
            EnvValue::Secret(secret) => secret.masked(),
            EnvValue::Placeholder(name) => format!("marker({name})"),
        }
    }

    /// The key itself, unless it is a placeholder.
    pub fn secret(&self) -> Option<&Secret> {
        match &self.value {
            EnvValue::Secret(secret) => Some(secret),
            EnvValue::Placeholder(_) => None,
        }
    }

    fn from_variable(env: &Environment, name: &str, secret: Secret) -> Self {
        let origin = env.origin(name).cloned();
        let prefix = if origin == Some(EnvOrigin::Shell) { "shell env" } else { "env" };
        Self {
            value: EnvValue::Secret(secret),
            source: format!("{prefix}: {name}"),
            variable: Some(name.to_owned()),
            origin,
        }
    }

    fn placeholder(name: &'static str, source: &str) -> Self {
        Self { value: EnvValue::Placeholder(name), source: source.to_owned(), variable: None, origin: None }
    }
}

/// The credential that the environment gives a provider, if any.
pub fn env_credential(provider: &AuthKey, env: &Environment, ambient: AmbientFacts) -> Option<EnvCredential> {
    let listed = provider
        .env_vars()
        .iter()
        .find_map(|name| env.credential(name).map(|(secret, _)| EnvCredential::from_variable(env, name, secret)));
    let first_of_several = || {
        let first = collect_keys(provider.as_str(), env).into_iter().next()?;
        Some(EnvCredential::from_variable(env, &first.variable, first.secret))
    };
    listed.or_else(first_of_several).or_else(|| ambient_credential(provider, env, ambient))
}

/// The rules of the three providers whose own libraries find credentials without a variable of ours.
fn ambient_credential(provider: &AuthKey, env: &Environment, ambient: AmbientFacts) -> Option<EnvCredential> {
    let set = |name: &str| env.non_blank(name).is_some();
    match provider.as_str() {
        "google-vertex" => {
            if let Some((secret, origin)) = env.credential("GOOGLE_CLOUD_API_KEY") {
                return Some(EnvCredential {
                    value: EnvValue::Secret(secret),
                    source: "gcloud adc".to_owned(),
                    variable: Some("GOOGLE_CLOUD_API_KEY".to_owned()),
                    origin: Some(origin.clone()),
                });
            }
            let project = set("GOOGLE_CLOUD_PROJECT") || set("GCLOUD_PROJECT");
            (ambient.google_adc_exists && project && set("GOOGLE_CLOUD_LOCATION"))
                .then(|| EnvCredential::placeholder("<authenticated>", "gcloud adc"))
        }
        "amazon-bedrock" => {
            let name = if set("AWS_BEARER_TOKEN_BEDROCK") {
                "AWS_BEARER_TOKEN_BEDROCK"
            } else if set("AWS_ACCESS_KEY_ID") && set("AWS_SECRET_ACCESS_KEY") {
                "AWS_ACCESS_KEY_ID"
            } else if set("AWS_PROFILE") {
                "AWS_PROFILE"
            } else {
                return None;
            };
            Some(EnvCredential {
                variable: Some(name.to_owned()),
                origin: env.origin(name).cloned(),
                ..EnvCredential::placeholder(name, "env")
            })
        }
        "anthropic-vertex" => {
            let metadata = env
                .get("ANTHROPIC_VERTEX_USE_GCP_METADATA")
                .is_some_and(|value| value.trim() == "1" || value.trim().eq_ignore_ascii_case("true"));
            (metadata || ambient.google_adc_readable)
                .then(|| EnvCredential::placeholder("gcp-vertex-credentials", "gcloud adc"))
        }
        _ => None,
    }
}

/// One of several API keys of a provider.
#[derive(Clone, Debug)]
pub struct EnvKey {
    /// The variable it stands in.
    pub variable: String,
    /// The key.
    pub secret: Secret,
}

/// The beginning of the variable names of a provider (spec 07 section 2.1).
fn variable_base(id: &ProviderId) -> String {
    match id.as_str() {
        "google" | "google-vertex" => "GEMINI".to_owned(),
        id => id.to_uppercase().replace('-', "_"),
    }
}

/// The key that stands in for all others while it is set: `OPENCLAW_LIVE_<BASE>_KEY` (spec 07 section 2.3).
pub fn live_override(provider: &str, env: &Environment) -> Option<EnvKey> {
    // Seldom set, and asked for once per provider.
    env.names_with_prefix("OPENCLAW_LIVE_").next()?;
    let name = format!("OPENCLAW_LIVE_{}_KEY", variable_base(&ProviderId::normalise(provider)));
    env.credential(&name).map(|(secret, _)| EnvKey { variable: name.clone(), secret })
}

/// Every API key that the environment holds for a provider, in the order in which they are tried (spec 07 section 2.2).
pub fn collect_keys(provider: &str, env: &Environment) -> Vec<EnvKey> {
    let id = ProviderId::normalise(provider);
    let base = variable_base(&id);
    let google = base == "GEMINI";

    let one = |name: &str| env.credential(name).map(|(secret, _)| EnvKey { variable: name.to_owned(), secret });
    if let Some(key) = live_override(provider, env) {
        return vec![key];
    }

    let mut keys = Vec::new();
    let mut list = |name: &str| {
        let text = env.get(name).unwrap_or_default();
        keys.extend(
            text.split(|c: char| c.is_whitespace() || c == ',' || c == ';')
                .filter_map(|part| Secret::new(part).cleaned())
                .map(|secret| EnvKey { variable: name.to_owned(), secret }),
        );
    };
    let primary = base + "_API_KEY";
    let named: Vec<&str> = env.names_with_prefix(&primary).collect();
    if let Some(several) = named.iter().find(|name| name[primary.len()..] == *"S") {
        list(several);
    }
    if id.as_str() == "anthropic" {
        list("OPENCLAW_LIVE_ANTHROPIC_KEYS");
    }
    keys.extend(named.iter().filter(|name| **name == primary).filter_map(|name| one(name)));
    let mut numbered: Vec<(&str, &str)> = named
        .iter()
        .filter_map(|name| Some((name[primary.len()..].strip_prefix('_')?, *name)))
        .filter(|(suffix, _)| !names_something_else(suffix))
        .collect();
    numbered.sort_by_key(|(suffix, name)| (suffix.parse::<u64>().unwrap_or(u64::MAX), *name));
    let numbered = numbered.into_iter().filter(|(_, name)| env.get(name).is_some_and(looks_like_a_key));
    keys.extend(numbered.filter_map(|(_, name)| one(name)));
    if google {
        keys.extend(one("GOOGLE_API_KEY"));
    }
    let known = id.auth_key().env_vars().iter().filter(|name| !name.contains("OAUTH"));
    keys.extend(known.filter_map(|name| one(name)));

    let mut distinct: Vec<EnvKey> = Vec::with_capacity(keys.len());
    for key in keys {
        if !distinct.iter().any(|seen| seen.secret.is_same(&key.secret)) {
            distinct.push(key);
        }
    }
    distinct
}

/// Suffixes that mark a variable about a key rather than a key.
fn names_something_else(suffix: &str) -> bool {
    let last = suffix.rsplit('_').next().unwrap_or(suffix);
    suffix.is_empty()
        || matches!(last, "FILE" | "PATH" | "DIR" | "URL" | "REF" | "NAME" | "ID" | "CMD" | "COMMAND" | "HELPER")
}

fn looks_like_a_key(value: &str) -> bool {
    let value = value.trim();
    !value.contains(char::is_whitespace) && !value.starts_with(['/', '~']) && !value.starts_with("http")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_process(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())))
    }

    fn keys(provider: &str, pairs: &[(&str, &str)]) -> Vec<String> {
        collect_keys(provider, &env(pairs)).into_iter().map(|key| key.secret.reveal().to_owned()).collect()
    }

    #[test]
    fn keys_are_collected_in_order_without_repetition() {
        let pairs = [
            ("OPENAI_API_KEY_10", "k10"),
            ("OPENAI_API_KEY_2", "k2"),
            ("OPENAI_API_KEY_WORK", "work"),
            ("OPENAI_API_KEY_FILE", "/run/secret"),
            ("OPENAI_API_KEY_OLD_ID", "id"),
            ("OPENAI_API_KEY_X", "has blank"),
            ("OPENAI_API_KEYS", "a, b;c\n a"),
            ("OPENAI_API_KEY", "b"),
        ];
        assert_eq!(keys("openai", &pairs), ["a", "b", "c", "k2", "k10", "work"]);
    }

    #[test]
    fn the_override_stands_alone_and_google_uses_gemini() {
        let pairs = [("OPENCLAW_LIVE_GEMINI_KEY", "live"), ("GEMINI_API_KEY", "g"), ("GOOGLE_API_KEY", "o")];
        assert_eq!(keys("google", &pairs), ["live"]);
        assert_eq!(keys("google-vertex", &pairs[1..]), ["g", "o"]);
        assert_eq!(
            keys("anthropic", &[("ANTHROPIC_OAUTH_TOKEN", "t"), ("OPENCLAW_LIVE_ANTHROPIC_KEYS", "x y")]),
            ["x", "y"]
        );
    }

    #[test]
    fn a_listed_variable_beats_a_key_list() {
        let env = env(&[("GROQ_API_KEYS", "a,b"), ("XAI_API_KEYS", "x"), ("XAI_API_KEY", " y\n")]);
        let source =
            |id: &str| env_credential(&AuthKey::normalise(id), &env, AmbientFacts::default()).map(|c| c.source);
        assert_eq!(source("groq").as_deref(), Some("env: GROQ_API_KEYS"));
        assert_eq!(source("xai").as_deref(), Some("env: XAI_API_KEY"));
        assert_eq!(source("openai"), None);
    }

    #[test]
    fn ambient_rules() {
        let found = |id: &str, pairs: &[(&str, &str)], adc| {
            let ambient = AmbientFacts { google_adc_exists: adc, google_adc_readable: adc };
            env_credential(&AuthKey::normalise(id), &env(pairs), ambient).map(|c| c.shown())
        };
        assert_eq!(found("amazon-bedrock", &[("AWS_ACCESS_KEY_ID", "x")], false), None);
        assert_eq!(
            found("bedrock", &[("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")], false).as_deref(),
            Some("marker(AWS_ACCESS_KEY_ID)")
        );
        let vertex = [("GCLOUD_PROJECT", "p"), ("GOOGLE_CLOUD_LOCATION", "l")];
        assert_eq!(found("google-vertex", &vertex, true).as_deref(), Some("marker(<authenticated>)"));
        assert_eq!(found("google-vertex", &vertex[..1], true), None);
        let listed = [("AWS_PROFILE", "p"), ("AMAZON_BEDROCK_API_KEYS", "sk-test-a,sk-test-b")];
        assert_eq!(found("bedrock", &listed, false).as_deref(), Some("****"));
        assert_eq!(found("anthropic-vertex", &[], true).as_deref(), Some("marker(gcp-vertex-credentials)"));
    }

    /// Spec 02 section 6: what each ambient credential shows, its source text, and the variable that decided.
    #[test]
    fn ambient_credentials_name_their_source() {
        let nothing = AmbientFacts::default();
        let exists = AmbientFacts { google_adc_exists: true, google_adc_readable: false };
        let readable = AmbientFacts { google_adc_exists: true, google_adc_readable: true };
        let of_process = Some("process environment".to_owned());
        let found = |id: &str, pairs: &[(&str, &str)], ambient| {
            let found = env_credential(&AuthKey::normalise(id), &env(pairs), ambient)?;
            assert_eq!(found.origin.as_ref().map(ToString::to_string), found.variable.as_ref().and(of_process.clone()));
            assert_eq!(found.secret().is_none(), found.shown().starts_with("marker("));
            Some(format!("{} | {} | {}", found.shown(), found.source, found.variable.as_deref().unwrap_or("-")))
        };
        let metadata = |value| [("ANTHROPIC_VERTEX_USE_GCP_METADATA", value)];
        let gcp = Some("marker(gcp-vertex-credentials) | gcloud adc | -");
        let project = [("GOOGLE_CLOUD_PROJECT", "p"), ("GOOGLE_CLOUD_LOCATION", "l")];
        let google_key = [("GOOGLE_CLOUD_API_KEY", "sk-test-google")];
        for (id, pairs, ambient, expected) in [
            ("google-vertex", &google_key[..], nothing, Some("sk...le | gcloud adc | GOOGLE_CLOUD_API_KEY")),
            ("google-vertex", &project, exists, Some("marker(<authenticated>) | gcloud adc | -")),
            ("google-vertex", &project, nothing, None),
            ("google-vertex", &project[1..], exists, None),
            (
                "amazon-bedrock",
                &[("AWS_PROFILE", "p"), ("AWS_BEARER_TOKEN_BEDROCK", "t"), ("AWS_ACCESS_KEY_ID", "i")],
                nothing,
                Some("marker(AWS_BEARER_TOKEN_BEDROCK) | env | AWS_BEARER_TOKEN_BEDROCK"),
            ),
            (
                "amazon-bedrock",
                &[("AWS_PROFILE", "p"), ("AWS_SECRET_ACCESS_KEY", "s")],
                nothing,
                Some("marker(AWS_PROFILE) | env | AWS_PROFILE"),
            ),
            ("amazon-bedrock", &[("AWS_PROFILE", " ")], readable, None),
            ("anthropic-vertex", &metadata("1"), nothing, gcp),
            ("anthropic-vertex", &metadata(" TRUE\n"), nothing, gcp),
            ("anthropic-vertex", &metadata("0"), nothing, None),
            ("anthropic-vertex", &metadata("yes"), nothing, None),
            ("anthropic-vertex", &[], nothing, None),
            ("anthropic-vertex", &[], exists, None),
            ("anthropic-vertex", &[], readable, gcp),
        ] {
            assert_eq!(found(id, pairs, ambient).as_deref(), expected, "{id} {pairs:?} {ambient:?}");
        }
    }

    /// Spec 02 section 5: the report calls it OAuth when the source text does.
    #[test]
    fn a_variable_for_logins_is_one() {
        let found = |name: &str| {
            let env = env(&[(name, "sk-test-1")]);
            env_credential(&AuthKey::normalise("anthropic"), &env, AmbientFacts::default())
        };
        let is_oauth = |name| found(name).map(|found| found.is_oauth());
        assert_eq!(is_oauth("ANTHROPIC_OAUTH_TOKEN"), Some(true));
        assert_eq!(is_oauth("ANTHROPIC_API_KEY"), Some(false));
        assert_eq!(is_oauth("ANTHROPIC_API_KEYS"), Some(false));
    }
}
