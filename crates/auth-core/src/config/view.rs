//! The typed view of the config. Built from a checked document, but total: what does not fit is left out.

use std::collections::HashSet;
use std::fmt;

use indexmap::IndexMap;
use serde_json::Value;

use super::gateway::GatewaySettings;
use crate::credential::CredentialKind;
use crate::profile::{ProfileId, find_normalised};
use crate::provider::{DEFAULT_MODEL_ALIASES, ProviderId};
use crate::rotation::RotationPolicy;
use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::secrets::SecretsConfig;
use crate::session::SessionSettings;
use crate::usage::CooldownPolicy;

/// The id of an agent in normal form (spec 01 section 1.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentId(String);

impl AgentId {
    /// The agent whose store all others read through.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// Normalises any spelling: trimmed, lower case, other characters as single dashes; nothing left is `main`.
    pub fn normalise(raw: &str) -> Self {
        let lower = raw.trim().to_lowercase();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        let first_fits = lower.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        if first_fits && lower.len() <= 64 && lower.chars().all(plain) {
            return Self(lower);
        }
        let mut id = String::with_capacity(lower.len());
        for c in lower.chars() {
            if plain(c) {
                id.push(c);
            } else if !id.ends_with('\u{0}') {
                id.push('\u{0}');
            }
        }
        let id: String = id.replace('\u{0}', "-").trim_matches('-').chars().take(64).collect();
        if id.is_empty() { Self::main() } else { Self(id) }
    }

    /// The normal form as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `model` setting: a reference, or a primary with fallbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelSetting {
    /// The primary, trimmed; `None` when unset or blank.
    pub primary: Option<String>,
    /// The fallbacks as written; `None` when the setting has no such array.
    pub fallbacks: Option<Vec<String>>,
}

impl ModelSetting {
    fn from_value(value: Option<&Value>) -> Self {
        let trimmed = |value: &Value| value.as_str().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
        match value {
            Some(Value::Object(setting)) => Self {
                primary: setting.get("primary").and_then(trimmed),
                fallbacks: setting
                    .get("fallbacks")
                    .and_then(Value::as_array)
                    .map(|items| items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            },
            Some(text) => Self { primary: trimmed(text), fallbacks: None },
            None => Self::default(),
        }
    }

    /// The fallbacks, none when the setting has no such array.
    pub fn fallback_list(&self) -> &[String] {
        self.fallbacks.as_deref().unwrap_or_default()
    }
}

/// An entry of `agents.defaults.models`: it allows a model and may give it an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedModel {
    /// The reference as written.
    pub key: String,
    /// Its alias, trimmed; the built-in one when the entry has no `alias` of its own.
    pub alias: Option<String>,
}

/// An entry of `agents.list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentEntry {
    /// Its id, normalised.
    pub id: AgentId,
    /// Whether it asks to be the default.
    pub is_default: bool,
    /// Its directory as written.
    pub agent_dir: Option<String>,
    /// Its own model.
    pub model: ModelSetting,
}

/// An entry of `auth.profiles`: which profile to expect, without any secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProfile {
    /// Its id.
    pub id: ProfileId,
    /// Its provider.
    pub provider: ProviderId,
    /// The expected kind of credential.
    pub mode: CredentialKind,
    /// Account.
    pub email: Option<String>,
    /// Label for people.
    pub display_name: Option<String>,
}

/// A field that holds a secret or a reference to one.
#[derive(Clone, Debug)]
pub enum SecretInput {
    /// The text itself.
    Plain(Secret),
    /// A reference.
    Reference(SecretRef),
}

/// What `request.auth` of a provider puts into its requests.
#[derive(Clone, Debug)]
pub enum RequestAuth {
    /// `Authorization: Bearer <token>`.
    Bearer(SecretInput),
    /// A header of its own.
    Header {
        /// The header.
        name: String,
        /// What stands before the value, as authored.
        prefix: String,
        /// The value.
        value: SecretInput,
    },
}

/// A model of a configured provider.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderModel {
    /// Its id; may be blank.
    pub id: String,
    /// Its own wire protocol.
    pub api: Option<String>,
    /// Its own endpoint.
    pub base_url: Option<String>,
    /// Its own headers.
    pub headers: Vec<(String, String)>,
    /// The field that limits its output, when it is not the usual one.
    pub max_tokens_field: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// What it takes, such as `text`.
    pub input: Vec<String>,
    /// Its context in tokens.
    pub context_window: Option<u64>,
}

/// An entry of `models.providers`.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The key as written.
    pub id: String,
    /// Endpoint.
    pub base_url: Option<String>,
    /// Wire protocol.
    pub api: Option<String>,
    /// How requests authenticate: `api-key`, `aws-sdk`, `oauth` or `token`.
    pub auth: Option<String>,
    /// Its key.
    pub api_key: Option<SecretInput>,
    /// Headers that every request carries.
    pub headers: Vec<(String, SecretInput)>,
    /// `request.headers`.
    pub request_headers: Vec<(String, SecretInput)>,
    /// `request.auth`.
    pub request_auth: Option<RequestAuth>,
    /// `request.tls.ca`: certificates in PEM.
    pub tls_ca: Option<SecretInput>,
    /// Whether the key goes into `Authorization` too.
    pub auth_header: Option<bool>,
    /// Whether the entry has a list of models that is not empty: sign-ins leave an empty one.
    pub own_models: bool,
    /// Its models.
    pub models: Vec<ProviderModel>,
}

/// Settings of the login-shell import.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShellEnvSetting {
    /// `env.shellEnv.enabled`.
    pub enabled: bool,
    /// `env.shellEnv.timeoutMs`, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// Everything that auth reads from the config.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `agents.defaults.model`.
    pub model: ModelSetting,
    /// `agents.defaults.imageModel`.
    pub image_model: ModelSetting,
    /// `agents.defaults.models`, in file order.
    pub models: Vec<AllowedModel>,
    /// `agents.list`; `None` when there is no list.
    pub agents: Option<Vec<AgentEntry>>,
    /// `auth.profiles`, in file order.
    pub auth_profiles: IndexMap<String, ConfigProfile>,
    /// `auth.order`, in file order.
    pub auth_order: Vec<(String, Vec<ProfileId>)>,
    /// `auth.cooldowns`: how long.
    pub cooldowns: CooldownPolicy,
    /// `auth.cooldowns`: how often a turn changes the profile.
    pub rotations: RotationPolicy,
    /// `models.providers`, in file order.
    pub providers: Vec<ProviderConfig>,
    /// `plugins.entries.xai.config.webSearch.apiKey`: stands in for a key of xAI.
    pub xai_search_key: Option<SecretInput>,
    /// `secrets`.
    pub secrets: SecretsConfig,
    /// `env.shellEnv`.
    pub shell_env: ShellEnvSetting,
    /// Whether `plugins.enabled` is `false`.
    pub plugins_disabled: bool,
    /// `plugins.deny`.
    pub plugins_denied: Vec<String>,
    /// `agents.defaults.workspace`.
    pub workspace: Option<String>,
    /// `session`.
    pub session: SessionSettings,
    /// `agents.defaults.timeoutSeconds`.
    pub turn_timeout_s: Option<u64>,
    /// `gateway`.
    pub gateway: GatewaySettings,
}

impl Config {
    /// Reads a document that [`validate`](super::validate) found fit.
    pub fn from_value(root: &Value) -> Self {
        let at = |path: &[&str]| path.iter().try_fold(root, |value, key| value.get(key));
        let members = |path: &[&str]| at(path).and_then(Value::as_object).into_iter().flatten();
        let secrets = SecretsConfig::from_value(root.get("secrets"));
        let ref_defaults = &secrets.defaults;
        let gateway = GatewaySettings::from_value(root.get("gateway"), &|value| secret_input(value, ref_defaults));
        Self {
            model: ModelSetting::from_value(at(&["agents", "defaults", "model"])),
            image_model: ModelSetting::from_value(at(&["agents", "defaults", "imageModel"])),
            models: members(&["agents", "defaults", "models"])
                .map(|(key, entry)| AllowedModel { key: key.clone(), alias: alias(key, entry) })
                .collect(),
            agents: at(&["agents", "list"])
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(agent).collect()),
            auth_profiles: members(&["auth", "profiles"])
                .filter_map(|(id, entry)| Some((id.clone(), config_profile(id, entry)?)))
                .collect(),
            auth_order: members(&["auth", "order"])
                .filter_map(|(provider, ids)| {
                    let ids =
                        ids.as_array()?.iter().filter_map(Value::as_str).map(str::trim).filter(|id| !id.is_empty());
                    Some((provider.clone(), ids.map(ProfileId::new).collect()))
                })
                .collect(),
            cooldowns: cooldowns(at(&["auth", "cooldowns"])),
            rotations: rotations(at(&["auth", "cooldowns"])),
            providers: members(&["models", "providers"]).map(|(id, entry)| provider(id, entry, ref_defaults)).collect(),
            xai_search_key: at(&["plugins", "entries", "xai", "config", "webSearch", "apiKey"])
                .and_then(|value| secret_input(value, ref_defaults)),
            secrets,
            shell_env: ShellEnvSetting {
                enabled: at(&["env", "shellEnv", "enabled"]).and_then(Value::as_bool).unwrap_or(false),
                timeout_ms: at(&["env", "shellEnv", "timeoutMs"]).and_then(Value::as_u64),
            },
            plugins_disabled: at(&["plugins", "enabled"]) == Some(&Value::Bool(false)),
            plugins_denied: at(&["plugins", "deny"])
                .and_then(Value::as_array)
                .map(|list| list.iter().filter_map(Value::as_str).map(|id| id.trim().to_owned()).collect())
                .unwrap_or_default(),
            workspace: at(&["agents", "defaults", "workspace"]).and_then(Value::as_str).map(str::to_owned),
            session: session(root.get("session")),
            turn_timeout_s: at(&["agents", "defaults", "timeoutSeconds"]).and_then(Value::as_u64),
            gateway,
        }
    }

    /// The ids that `--agent` accepts.
    pub fn known_agents(&self) -> Vec<AgentId> {
        let Some(list) = self.agents.as_deref().filter(|list| !list.is_empty()) else { return vec![AgentId::main()] };
        let mut seen = HashSet::new();
        list.iter().map(|entry| &entry.id).filter(|id| seen.insert(*id)).cloned().collect()
    }

    /// The agent in charge when none is named, and whether several ask to be.
    pub fn default_agent(&self) -> (AgentId, bool) {
        let Some(list) = self.agents.as_deref().filter(|list| !list.is_empty()) else {
            return (AgentId::main(), false);
        };
        let mut asking = list.iter().filter(|entry| entry.is_default);
        let first = asking.next().unwrap_or(&list[0]);
        (first.id.clone(), asking.next().is_some())
    }

    /// The first list entry of an agent.
    pub fn agent(&self, id: &AgentId) -> Option<&AgentEntry> {
        self.agents.iter().flatten().find(|entry| entry.id == *id)
    }

    /// The model settings of an agent: its primary and its fallbacks, each its own or the defaults'
    /// (spec 02 section 14), and whether they are its own.
    pub fn model_of(&self, agent: Option<&AgentId>) -> (ModelSetting, bool, bool) {
        let own = agent.and_then(|id| self.agent(id)).map(|entry| &entry.model);
        let own_primary = own.and_then(|model| model.primary.clone());
        let own_fallbacks = own.and_then(|model| model.fallbacks.clone());
        let sources = (own_primary.is_some(), own_fallbacks.is_some());
        let setting = ModelSetting {
            primary: own_primary.or_else(|| self.model.primary.clone()),
            fallbacks: own_fallbacks.or_else(|| self.model.fallbacks.clone()),
        };
        (setting, sources.0, sources.1)
    }

    /// What an alias stands for, in any case; a later entry wins.
    pub fn alias_target(&self, alias: &str) -> Option<&str> {
        let alias = alias.trim();
        self.models
            .iter()
            .rev()
            .find(|entry| entry.alias.as_deref().is_some_and(|a| a.to_lowercase() == alias.to_lowercase()))
            .map(|entry| entry.key.as_str())
    }

    /// The explicit order of a provider.
    pub fn order_of(&self, provider: &ProviderId) -> Option<&[ProfileId]> {
        find_normalised(&self.auth_order, provider).map(Vec::as_slice)
    }

    /// The config entry of a provider: the exact key first, then any that normalises to it.
    pub fn provider(&self, id: &ProviderId) -> Option<&ProviderConfig> {
        self.providers
            .iter()
            .find(|entry| entry.id == id.as_str())
            .or_else(|| self.providers.iter().find(|entry| ProviderId::normalise(&entry.id) == *id))
    }

    /// The entry whose key the report shows for a row; a row id need not be normalised.
    pub fn provider_of_row(&self, row: &str) -> Option<&ProviderConfig> {
        self.providers.iter().find(|entry| entry.id == row).or_else(|| self.provider(&ProviderId::normalise(row)))
    }
}

fn alias(key: &str, entry: &Value) -> Option<String> {
    match entry.get("alias") {
        Some(alias) => alias.as_str().map(str::trim).filter(|a| !a.is_empty()).map(str::to_owned),
        None => {
            let built_in = DEFAULT_MODEL_ALIASES.iter().find(|(_, target)| *target == key);
            built_in.map(|(alias, _)| (*alias).to_owned())
        }
    }
}

fn text(entry: &Value, key: &str) -> Option<String> {
    let found = entry.get(key)?.as_str()?.trim();
    (!found.is_empty()).then(|| found.to_owned())
}

fn agent(entry: &Value) -> Option<AgentEntry> {
    let fields = entry.as_object()?;
    Some(AgentEntry {
        id: AgentId::normalise(fields.get("id").and_then(Value::as_str).unwrap_or_default()),
        is_default: fields.get("default").and_then(Value::as_bool).unwrap_or(false),
        agent_dir: text(entry, "agentDir"),
        model: ModelSetting::from_value(fields.get("model")),
    })
}

fn config_profile(id: &str, entry: &Value) -> Option<ConfigProfile> {
    Some(ConfigProfile {
        id: ProfileId::new(id),
        provider: ProviderId::normalise(entry.get("provider")?.as_str()?),
        mode: CredentialKind::parse(entry.get("mode")?.as_str()?)?,
        email: text(entry, "email"),
        display_name: text(entry, "displayName"),
    })
}

fn session(value: Option<&Value>) -> SessionSettings {
    let usual = SessionSettings::default();
    let at = |path: &[&str]| path.iter().try_fold(value?, |value, key| value.get(key));
    let text = |path: &[&str]| at(path).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let hour = at(&["reset", "atHour"]).and_then(Value::as_u64).and_then(|hour| u8::try_from(hour).ok());
    SessionSettings {
        store: text(&["store"]).map(str::to_owned),
        main_key: text(&["mainKey"]).map_or(usual.main_key, str::to_lowercase),
        is_global: text(&["scope"]) == Some("global"),
        reset_hour: hour.filter(|hour| *hour < 24).unwrap_or(usual.reset_hour),
        idle_minutes: at(&["reset", "idleMinutes"]).and_then(Value::as_u64).unwrap_or(0),
    }
}

fn cooldowns(block: Option<&Value>) -> CooldownPolicy {
    const MINUTE_MS: f64 = 60_000.0;
    const HOUR_MS: f64 = 60.0 * MINUTE_MS;
    let number = |value: &Value| value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
    let ms = |key: &str, unit: f64| block.and_then(|b| b.get(key)).and_then(number).map(|n| n * unit);
    let by_provider = block.and_then(|b| b.get("billingBackoffHoursByProvider")).and_then(Value::as_object);
    let standard = CooldownPolicy::default();
    CooldownPolicy {
        billing_base_ms: ms("billingBackoffHours", HOUR_MS).unwrap_or(standard.billing_base_ms),
        billing_base_by_provider_ms: by_provider
            .into_iter()
            .flatten()
            .filter_map(|(provider, hours)| Some((provider.clone(), number(hours)? * HOUR_MS)))
            .collect(),
        billing_max_ms: ms("billingMaxHours", HOUR_MS).unwrap_or(standard.billing_max_ms),
        auth_permanent_base_ms: ms("authPermanentBackoffMinutes", MINUTE_MS).unwrap_or(standard.auth_permanent_base_ms),
        auth_permanent_max_ms: ms("authPermanentMaxMinutes", MINUTE_MS).unwrap_or(standard.auth_permanent_max_ms),
        failure_window_ms: ms("failureWindowHours", HOUR_MS).unwrap_or(standard.failure_window_ms),
    }
}

fn rotations(block: Option<&Value>) -> RotationPolicy {
    let whole = |key: &str| block.and_then(|b| b.get(key)).and_then(Value::as_u64);
    let count = |key: &str, standard: u32| whole(key).map_or(standard, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let standard = RotationPolicy::default();
    RotationPolicy {
        overloaded: count("overloadedProfileRotations", standard.overloaded),
        rate_limited: count("rateLimitedProfileRotations", standard.rate_limited),
        overloaded_backoff_ms: whole("overloadedBackoffMs").unwrap_or(standard.overloaded_backoff_ms),
    }
}

/// A secret field. After substitution a string is a literal, whatever it looks like.
fn secret_input(value: &Value, defaults: &RefDefaults) -> Option<SecretInput> {
    match value {
        Value::String(text) => Secret::new(text.as_str()).cleaned().map(SecretInput::Plain),
        value => SecretRef::coerce(value, defaults).map(SecretInput::Reference),
    }
}

fn secret_headers(value: Option<&Value>, defaults: &RefDefaults) -> Vec<(String, SecretInput)> {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), secret_input(value, defaults)?))).collect()
}

fn request_auth(auth: &Value, defaults: &RefDefaults) -> Option<RequestAuth> {
    let secret = |name: &str| auth.get(name).and_then(|value| secret_input(value, defaults));
    match auth.get("mode").and_then(Value::as_str)? {
        "authorization-bearer" => secret("token").map(RequestAuth::Bearer),
        "header" => Some(RequestAuth::Header {
            name: text(auth, "headerName")?,
            prefix: auth.get("prefix").and_then(Value::as_str).unwrap_or_default().to_owned(),
            value: secret("value")?,
        }),
        _ => None,
    }
}

fn provider(id: &str, entry: &Value, defaults: &RefDefaults) -> ProviderConfig {
    let api_key = entry.get("apiKey").and_then(|value| secret_input(value, defaults));
    let models =
        entry.get("models").and_then(Value::as_array).into_iter().flatten().filter(|model| model.is_object()).map(
            |model| {
                ProviderModel {
                    // A blank id stays: a provider whose first model has none is passed over.
                    id: text(model, "id").unwrap_or_default(),
                    api: text(model, "api"),
                    base_url: text(model, "baseUrl"),
                    headers: model
                        .get("headers")
                        .and_then(Value::as_object)
                        .into_iter()
                        .flatten()
                        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                        .collect(),
                    max_tokens_field: model.get("compat").and_then(|compat| text(compat, "maxTokensField")),
                    name: text(model, "name"),
                    input: model
                        .get("input")
                        .and_then(Value::as_array)
                        .map(|items| items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                        .unwrap_or_default(),
                    context_window: model.get("contextWindow").and_then(Value::as_u64),
                }
            },
        );
    ProviderConfig {
        id: id.to_owned(),
        base_url: text(entry, "baseUrl"),
        api: text(entry, "api"),
        auth: text(entry, "auth"),
        api_key,
        headers: secret_headers(entry.get("headers"), defaults),
        request_headers: secret_headers(entry.get("request").and_then(|request| request.get("headers")), defaults),
        request_auth: entry.get("request").and_then(|r| r.get("auth")).and_then(|auth| request_auth(auth, defaults)),
        tls_ca: entry.pointer("/request/tls/ca").and_then(|ca| match ca {
            // Lines matter in it.
            Value::String(text) => (!text.trim().is_empty()).then(|| SecretInput::Plain(Secret::new(text.as_str()))),
            reference => secret_input(reference, defaults),
        }),
        auth_header: entry.get("authHeader").and_then(Value::as_bool),
        own_models: entry.get("models").and_then(Value::as_array).is_some_and(|models| !models.is_empty()),
        models: models.collect(),
    }
}

#[cfg(test)]
mod tests;
