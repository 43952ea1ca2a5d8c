//! Every place a provider's credential can come from, each with its state: shared by the report and `why`.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::config::{Config, ProviderConfig, SecretInput};
use crate::env_credential::{AmbientFacts, EnvCredential, env_credential};
use crate::environment::{EnvOrigin, Environment};
use crate::profile::AuthProfiles;
use crate::provider::{ProviderId, is_env_name_marker, is_marker, marker_label};
use crate::secret::Secret;
use crate::secret_ref::SecretRef;
use crate::secrets::SecretsConfig;
use crate::time::Timestamp;

/// Everything that a decision about credentials may look at. Values only; nothing here reads or waits.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The config.
    pub config: &'a Config,
    /// The variables.
    pub environment: &'a Environment,
    /// What the disk says about ambient credentials.
    pub ambient: AmbientFacts,
    /// The agent's view of its profiles.
    pub store: &'a AuthProfiles,
    /// What the references of the config resolve to.
    pub refs: &'a ResolvedRefs,
    /// The time of the decision.
    pub now: Timestamp,
}

/// What a reference resolves to.
#[derive(Clone, Debug)]
pub enum RefState {
    /// To this value, as it was given: clean it before it goes into a header.
    Resolved(Secret),
    /// To nothing, and why. The text holds no secret.
    Unresolved(String),
    /// Not asked: a program would have to run.
    NotRun,
}

/// The states of the references that a command needed.
#[derive(Clone, Debug, Default)]
pub struct ResolvedRefs(HashMap<SecretRef, RefState>);

impl ResolvedRefs {
    /// Records a state.
    pub fn insert(&mut self, reference: SecretRef, state: RefState) {
        self.0.insert(reference, state);
    }

    /// Whether the state of a reference is recorded.
    pub fn contains(&self, reference: &SecretRef) -> bool {
        self.0.contains_key(reference)
    }

    /// Every state that is recorded, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&SecretRef, &RefState)> {
        self.0.iter()
    }

    /// The state of a reference; one that nobody asked for has not been run.
    pub fn get(&self, reference: &SecretRef) -> &RefState {
        self.0.get(reference).unwrap_or(&RefState::NotRun)
    }
}

/// The references that the config's provider keys hold, each with its config path.
pub fn config_key_refs(config: &Config) -> impl Iterator<Item = (String, &SecretRef)> {
    config.providers.iter().filter_map(|provider| match &provider.api_key {
        Some(SecretInput::Reference(reference)) => {
            Some((format!("models.providers.{}.apiKey", provider.id), reference))
        }
        _ => None,
    })
}

/// The key that the config gives a provider.
#[derive(Clone, Debug)]
pub struct ConfigKey {
    /// How it is shown: masked, `marker(…)` or `ref(…)`.
    pub shown: String,
    /// What it is good for.
    pub state: ConfigKeyState,
}

/// What a config key is good for (spec 02 section 7).
#[derive(Clone, Debug)]
pub enum ConfigKeyState {
    /// The key itself.
    Usable(Secret),
    /// The name of a variable that is set.
    Variable {
        /// The variable.
        name: String,
        /// Its value.
        secret: Secret,
        /// Where it was set.
        origin: EnvOrigin,
    },
    /// A placeholder that is no secret, or the name of a variable that is not set.
    Marker,
    /// A reference that does not resolve, and why.
    UnresolvedRef(String),
    /// A reference that only a program can resolve; whether it does is unknown until it is used.
    NotRun,
}

impl ConfigKey {
    /// Reads the key of a provider's config entry.
    pub fn of(provider: &ProviderConfig, situation: &Situation<'_>) -> Option<Self> {
        let key = match provider.api_key.as_ref()? {
            SecretInput::Plain(text) if is_marker(text.reveal()) => {
                let name = text.reveal().trim();
                let variable = is_env_name_marker(name).then(|| situation.environment.credential(name)).flatten();
                let state = variable.map_or(ConfigKeyState::Marker, |(secret, origin)| ConfigKeyState::Variable {
                    name: name.to_owned(),
                    secret,
                    origin: origin.clone(),
                });
                Self { shown: marker_label(name), state }
            }
            SecretInput::Plain(secret) => {
                Self { shown: secret.masked(), state: ConfigKeyState::Usable(secret.clone()) }
            }
            SecretInput::Reference(reference) => match situation.refs.get(reference) {
                RefState::Resolved(secret) => {
                    let secret = secret.cleaned().unwrap_or_else(|| secret.clone());
                    Self { shown: secret.masked(), state: ConfigKeyState::Usable(secret) }
                }
                RefState::Unresolved(why) => {
                    Self { shown: reference.label(), state: ConfigKeyState::UnresolvedRef(why.clone()) }
                }
                RefState::NotRun => Self { shown: reference.label(), state: ConfigKeyState::NotRun },
            },
        };
        Some(key)
    }

    /// The value that requests would carry, when it is known.
    pub fn secret(&self) -> Option<&Secret> {
        match &self.state {
            ConfigKeyState::Usable(secret) | ConfigKeyState::Variable { secret, .. } => Some(secret),
            ConfigKeyState::Marker | ConfigKeyState::UnresolvedRef(_) | ConfigKeyState::NotRun => None,
        }
    }

    /// Whether requests can use it, or may: a reference to a program counts until it fails.
    pub fn is_usable(&self) -> bool {
        self.secret().is_some() || matches!(self.state, ConfigKeyState::NotRun)
    }
}

/// The sources of one provider beside its profiles.
#[derive(Clone, Debug)]
pub struct OtherSources {
    /// A variable or an ambient credential.
    pub env: Option<EnvCredential>,
    /// The key of the config.
    pub config_key: Option<ConfigKey>,
    /// The placeholder with which a local server is asked (spec 02 section 8 step 8).
    pub synthetic: Option<&'static str>,
    /// Whether the AWS default chain is asked when nothing else is there (step 9).
    pub aws_default_chain: bool,
    /// Whether the config says that AWS credentials come first (step 2).
    pub aws_first: bool,
    /// The key of xAI's web search, which stands in when xAI has no other (step 8).
    pub xai_search: Option<Secret>,
}

impl OtherSources {
    /// Looks at everything but the profiles, for a row id as the report writes it.
    pub fn of(row: &str, situation: &Situation<'_>) -> Self {
        let id = ProviderId::normalise(row);
        let entry = situation.config.provider_of_row(row);
        Self {
            env: env_credential(&id.auth_key(), situation.environment, situation.ambient),
            config_key: entry.and_then(|entry| ConfigKey::of(entry, situation)),
            synthetic: entry.and_then(|entry| synthetic_key(&id, entry)),
            aws_default_chain: id.as_str() == "amazon-bedrock" && entry.is_none_or(|entry| entry.auth.is_none()),
            aws_first: entry.is_some_and(|entry| entry.auth.as_deref() == Some("aws-sdk")),
            xai_search: (id.as_str() == "xai").then(|| xai_search_key(situation)).flatten(),
        }
    }

    /// The config key, when requests can use it.
    pub fn usable_config_key(&self) -> Option<&ConfigKey> {
        self.config_key.as_ref().filter(|key| key.is_usable())
    }
}

fn xai_search_key(situation: &Situation<'_>) -> Option<Secret> {
    match situation.config.xai_search_key.as_ref()? {
        SecretInput::Plain(secret) if !is_marker(secret.reveal()) => Some(secret.clone()),
        SecretInput::Plain(_) => None,
        SecretInput::Reference(reference) => match situation.refs.get(reference) {
            RefState::Resolved(secret) => secret.cleaned(),
            RefState::Unresolved(_) | RefState::NotRun => None,
        },
    }
}

/// The placeholder key of a local server that needs none.
fn synthetic_key(id: &ProviderId, entry: &ProviderConfig) -> Option<&'static str> {
    if id.as_str() == "ollama" {
        let described = entry.api.is_some() || entry.base_url.is_some() || !entry.models.is_empty();
        return described.then_some("ollama-local");
    }
    let complete = entry.api.is_some() && !entry.models.is_empty() && entry.api_key.is_none();
    let by_key = entry.auth.as_deref().is_none_or(|auth| auth == "api-key");
    let local = entry.base_url.as_deref().is_some_and(is_local_url);
    (complete && by_key && local).then_some("custom-local")
}

/// Whether a URL leads to this machine.
pub(crate) fn is_local_url(url: &str) -> bool {
    host_of(url).is_some_and(|host| {
        matches!(
            host.as_str(),
            "localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "[::ffff:127.0.0.1]" | "[::ffff:7f00:1]"
        )
    })
}

/// The host of a URL in lower case, an IPv6 address in its brackets.
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = if host.starts_with('[') { &host[..=host.find(']')?] } else { host.split(':').next()? };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(address) = inner.and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok()) {
        return Some(format!("[{address}]"));
    }
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

impl RefState {
    /// What a reference to a variable resolves to (spec 05 section 4).
    pub fn of_env(reference: &SecretRef, environment: &Environment, secrets: &SecretsConfig) -> Self {
        match secrets.env_secret(reference, environment) {
            Ok(secret) => Self::Resolved(secret),
            Err(why) => Self::Unresolved(why.to_string()),
        }
    }
}
