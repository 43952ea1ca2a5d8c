//! Provider ids, their two normalisations, and what is known about each provider.

mod catalogue;

use std::fmt;
use std::sync::Arc;

use catalogue::{AUTH_ID_ALIASES, PROVIDER_ID_ALIASES};
pub use catalogue::{
    COOLDOWN_EXEMPT, DEFAULT_MODEL, DEFAULT_MODEL_ALIASES, DEFAULT_PROVIDER, MARKER_ENV_NAMES, MARKERS_EXACT,
    MARKERS_PREFIX, PROVIDERS, SHELL_ENV_EXPECTED,
};

/// A provider id in its normal form (spec 01 section 6.1): trimmed, lower case, known spellings unified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderId(Arc<str>);

impl ProviderId {
    /// Normalises any spelling of a provider.
    pub fn normalise(raw: &str) -> Self {
        let lower = raw.trim().to_lowercase();
        Self(rename(&lower, PROVIDER_ID_ALIASES).unwrap_or(&lower).into())
    }

    /// The normal form as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id under which credentials are shared (spec 01 section 6.3).
    pub fn auth_key(&self) -> AuthKey {
        AuthKey(rename(&self.0, AUTH_ID_ALIASES).map_or_else(|| self.0.clone(), Arc::from))
    }

    /// Whether cooldowns never apply (spec 07 section 5.2 step 1).
    pub fn is_cooldown_exempt(&self) -> bool {
        COOLDOWN_EXEMPT.contains(&self.as_str())
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A provider id normalised for credentials: plans that share the credentials of another provider become that one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthKey(Arc<str>);

impl AuthKey {
    /// Normalises any spelling of a provider.
    pub fn normalise(raw: &str) -> Self {
        ProviderId::normalise(raw).auth_key()
    }

    /// The normal form as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The environment variables that hold a credential of this provider, in lookup order.
    pub fn env_vars(&self) -> &'static [&'static str] {
        find(&self.0).map_or(&[], |info| info.env_vars)
    }
}

impl fmt::Display for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn rename<'a>(id: &str, table: &[(&str, &'a str)]) -> Option<&'a str> {
    table.iter().find(|(from, _)| *from == id).map(|(_, to)| *to)
}

/// What a provider is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// A language-model provider: takes part in model resolution and probing.
    Llm,
    /// Any other service: only a row of the status report when its variable is set.
    Other,
}

/// How a credential of a provider can be obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// An API key that the user pastes.
    ApiKey,
    /// A static token that the user pastes.
    Token,
    /// A sign-in in the browser.
    OAuth,
    /// A sign-in with a code shown on the terminal.
    DeviceCode,
    /// A form of its own, such as a local server's address.
    Custom,
}

/// One way to sign in to a provider.
#[derive(Clone, Copy, Debug)]
pub struct AuthMethod {
    /// Value of `onboard --auth-choice`.
    pub choice: &'static str,
    /// Value of `models auth login --method`.
    pub method: &'static str,
    /// What comes out of it.
    pub kind: AuthKind,
    /// Its name for people.
    pub label: &'static str,
    /// The `onboard` option that carries the key.
    pub flag: Option<&'static str>,
    /// Earlier values of `--auth-choice` that mean the same.
    pub deprecated_choices: &'static [&'static str],
    /// What a pasted key or token sets up; `None` where more than that is needed.
    pub setup: Option<KeySetup>,
}

/// What signing in with one key sets up (spec 04 section 3.4).
#[derive(Clone, Copy, Debug)]
pub struct KeySetup {
    /// The profiles that get the key, the one of the chosen provider among them.
    pub profiles: &'static [&'static str],
    /// Variables that may hold the key, in lookup order.
    pub env_vars: &'static [&'static str],
    /// The default model.
    pub model: &'static str,
    /// Short name of that model.
    pub alias: Option<&'static str>,
    /// Base URL and API of the provider block that is written, if one is.
    pub endpoint: Option<(&'static str, &'static str)>,
}

impl KeySetup {
    /// The variable that messages name: the first one for API keys.
    pub fn canonical_variable(&self) -> Option<&'static str> {
        self.env_vars.iter().find(|name| name.contains("KEY")).or(self.env_vars.first()).copied()
    }
}

/// A model of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueModel {
    /// Model id without its provider.
    pub id: &'static str,
    /// The wire protocol it speaks.
    pub api: &'static str,
    /// Its name for people, where known.
    pub name: Option<&'static str>,
    /// What it takes, such as `text+image`, where known.
    pub input: Option<&'static str>,
    /// Its context in tokens, where known.
    pub context_window: Option<u64>,
}

/// Everything known about a provider: one entry of `data/providers.toml`.
#[derive(Clone, Copy, Debug)]
pub struct ProviderInfo {
    /// Id as written in the table (not normalised).
    pub id: &'static str,
    /// Its name for people.
    pub label: &'static str,
    /// What it is for.
    pub kind: ProviderKind,
    /// The OpenClaw plugin that brings it.
    pub plugin: Option<&'static str>,
    /// Other names accepted by sign-in and look-up, not by model references.
    pub aliases: &'static [&'static str],
    /// Credential variables in lookup order.
    pub env_vars: &'static [&'static str],
    /// Ways to sign in.
    pub auth: &'static [AuthMethod],
    /// Wire protocols, the usual one first.
    pub apis: &'static [&'static str],
    /// Usual endpoint; placeholders in `<>`.
    pub base_url: Option<&'static str>,
    /// A handful of models, the default first.
    pub models: &'static [CatalogueModel],
    /// What the sign-in flow recommends.
    pub default_model: Option<&'static str>,
    /// Placeholder key of a local server that needs none.
    pub synthetic_key: Option<&'static str>,
}

/// The catalogue entry with exactly this id.
pub fn find(id: &str) -> Option<&'static ProviderInfo> {
    PROVIDERS.binary_search_by(|info| info.id.cmp(id)).ok().map(|at| &PROVIDERS[at])
}

/// The catalogue entry of an id or of one of its sign-in aliases (spec 04 section 1.1).
pub fn find_by_name(name: &str) -> Option<&'static ProviderInfo> {
    let id = ProviderId::normalise(name);
    find(id.as_str()).or_else(|| PROVIDERS.iter().find(|info| info.aliases.contains(&id.as_str())))
}

/// The providers whose logins can be refreshed (spec 04 section 7.5).
pub const REFRESHED_PROVIDERS: &[&str] = &[
    "anthropic",
    "chutes",
    "github-copilot",
    "google-antigravity",
    "google-gemini-cli",
    "minimax-portal",
    "openai-codex",
];

/// Whether a login of a provider, given in normal form, can be expected to be refreshed. Of providers that are not in the
/// catalogue nothing is known; what brought them here may refresh them.
pub fn may_be_refreshed(provider: &str) -> bool {
    let removed = provider == "qwen-portal";
    REFRESHED_PROVIDERS.contains(&provider) || (find(provider).is_none() && !removed)
}

/// Whether the text is a placeholder that stands in a key field without being a secret (spec 02 section 7).
pub fn is_marker(text: &str) -> bool {
    let text = text.trim();
    MARKERS_EXACT.contains(&text)
        || MARKERS_PREFIX.iter().any(|prefix| text.starts_with(prefix))
        || is_env_name_marker(text)
}

/// How a placeholder is shown: `marker(…)`. What follows `oauth:` is masked unless it names a provider.
pub fn marker_label(text: &str) -> String {
    let text = text.trim();
    let prefix = MARKERS_PREFIX.iter().find(|prefix| text.starts_with(*prefix));
    match prefix.map(|prefix| (*prefix, &text[prefix.len()..])) {
        Some((prefix, rest)) if find(ProviderId::normalise(rest).as_str()).is_none() => {
            format!("marker({prefix}{})", crate::secret::mask(rest))
        }
        _ => format!("marker({text})"),
    }
}

/// Whether the text is the name of a credential variable, which in a config key means that variable's value.
pub fn is_env_name_marker(text: &str) -> bool {
    let text = text.trim();
    // No variable name has a lower-case letter; real keys nearly always have one.
    !text.bytes().any(|b| b.is_ascii_lowercase())
        && (MARKER_ENV_NAMES.contains(&text) || PROVIDERS.iter().any(|info| info.env_vars.contains(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_one_id() {
        for (raw, id) in [
            (" Z.AI ", "zai"),
            ("z-ai", "zai"),
            ("QwenCloud", "qwen"),
            ("kimi-coding", "kimi"),
            ("aws-bedrock", "amazon-bedrock"),
            ("doubao", "volcengine"),
            ("volcengine-plan", "volcengine-plan"),
            ("acme", "acme"),
        ] {
            assert_eq!(ProviderId::normalise(raw).as_str(), id);
        }
        assert_eq!(AuthKey::normalise("Volcengine-Plan").as_str(), "volcengine");
        assert_eq!(AuthKey::normalise("byteplus-plan").as_str(), "byteplus");
    }

    #[test]
    fn the_catalogue_can_be_searched() {
        assert!(PROVIDERS.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(find("openai").map(|info| info.env_vars), Some(&["OPENAI_API_KEY"][..]));
        assert_eq!(find_by_name("x-ai").map(|info| info.id), Some("xai"));
        assert!(find("x-ai").is_none());
        assert_eq!(AuthKey::normalise("kimi-coding").env_vars(), ["KIMI_API_KEY", "KIMICODE_API_KEY"]);
    }

    #[test]
    fn messages_name_the_first_variable_for_keys() {
        let setup = |env_vars| KeySetup { profiles: &[], env_vars, model: "acme/m", alias: None, endpoint: None };
        assert_eq!(setup(&["A_OAUTH_TOKEN", "A_API_KEY", "B_KEY"]).canonical_variable(), Some("A_API_KEY"));
        assert_eq!(setup(&["HUB_TOKEN", "HF_TOKEN"]).canonical_variable(), Some("HUB_TOKEN"));
        assert_eq!(setup(&[]).canonical_variable(), None);
    }

    #[test]
    fn markers_are_not_secrets() {
        for marker in
            ["ollama-local", " custom-local ", "oauth:chutes", "AWS_PROFILE", "OPENAI_API_KEY", "GOOGLE_API_KEY"]
        {
            assert!(is_marker(marker), "{marker}");
        }
        assert_eq!(marker_label(" oauth:chutes "), "marker(oauth:chutes)");
        assert_eq!(marker_label("oauth:sk-test-abcdefghijkl"), "marker(oauth:sk...kl)");
        assert!(!is_marker("sk-test-1") && !is_env_name_marker("AWS_PROFILE") && !is_marker("FOO_KEY"));
    }
}
