//! The status report as data (spec 02): which providers have a credential, which lack one, what is about to end.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use crate::collate::collate;
use crate::config::{AgentId, Config, ModelSetting};
use crate::credential::{Credential, CredentialKind, Material};
use crate::health::{CheckVerdict, Health};
use crate::model::{ModelRef, primary, resolve};
use crate::order::{ProfileOrder, resolve_order};
use crate::profile::{Profile, ProfileId};
use crate::provider::{PROVIDERS, ProviderId, is_marker, marker_label};
use crate::secret::Secret;
use crate::source::RefState;
use crate::source::{ConfigKey, ConfigKeyState, OtherSources, Situation, config_key_refs};
use crate::time::ShortDuration;
use crate::usage::{UnusableProfile, WindowKind, cooldown, unusable_profiles};

/// The models that an agent uses.
#[derive(Clone, Debug)]
pub struct ModelsInUse {
    /// The configured primary as written; the resolved one when none is configured.
    pub default_label: String,
    /// Whether a primary is configured at all.
    pub configured: bool,
    /// What the primary means.
    pub resolved_default: ModelRef,
    /// Text for standard error when the primary had to be guessed.
    pub warning: Option<String>,
    /// Fallbacks as written.
    pub fallbacks: Vec<String>,
    /// The image model as written.
    pub image_model: Option<String>,
    /// Image fallbacks as written.
    pub image_fallbacks: Vec<String>,
    /// Whether the primary and the fallbacks are the agent's own, when an agent was asked for.
    pub own: Option<(bool, bool)>,
}

impl ModelsInUse {
    /// The models of an agent, or the defaults' when a directory was given instead of an agent.
    pub fn of(config: &Config, agent: Option<&AgentId>) -> Self {
        let (setting, own_primary, own_fallbacks) = config.model_of(agent);
        let resolved = primary(&setting, config);
        Self {
            default_label: setting.primary.clone().unwrap_or_else(|| resolved.model.to_string()),
            configured: setting.primary.is_some(),
            resolved_default: resolved.model,
            warning: resolved.warning,
            fallbacks: written(&setting),
            image_model: config.image_model.primary.clone(),
            image_fallbacks: written(&config.image_model),
            own: agent.map(|_| (own_primary, own_fallbacks)),
        }
    }

    /// The models that a turn would try, in order: the primary, then its fallbacks.
    pub fn chain(&self, config: &Config) -> Vec<ModelRef> {
        let fallbacks = self.fallbacks.iter().filter_map(|text| resolve(text, config));
        std::iter::once(self.resolved_default.clone()).chain(fallbacks).collect()
    }

    /// Every model in use with the name of its role; references that mean nothing are left out.
    pub fn roles(&self, config: &Config) -> Vec<(String, ModelRef)> {
        let numbered = |role: &str, refs: &[String]| {
            refs.iter()
                .enumerate()
                .filter_map(|(i, text)| Some((format!("{role} {}", i + 1), resolve(text, config)?)))
                .collect::<Vec<_>>()
        };
        let mut roles = vec![("default model".to_owned(), self.resolved_default.clone())];
        roles.extend(numbered("fallback", &self.fallbacks));
        let image = self.image_model.as_deref().and_then(|text| resolve(text, config));
        roles.extend(image.map(|model| ("image model".to_owned(), model)));
        roles.extend(numbered("image fallback", &self.image_fallbacks));
        roles
    }
}

fn written(setting: &ModelSetting) -> Vec<String> {
    setting.fallback_list().to_vec()
}

/// What a provider's requests would be made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectiveKind {
    /// Stored profiles.
    Profiles,
    /// The environment.
    Env,
    /// The key of the config.
    ConfigKey,
    /// The placeholder of a local server that needs no key.
    Synthetic,
    /// Nothing.
    Missing,
}

impl EffectiveKind {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Env => "env",
            Self::ConfigKey => "models.json",
            Self::Synthetic => "synthetic",
            Self::Missing => "missing",
        }
    }
}

/// One provider of the report.
#[derive(Clone, Debug)]
pub struct ProviderRow {
    /// Its id, as the row is named.
    pub provider: String,
    /// What decides.
    pub kind: EffectiveKind,
    /// The value or placeholder that decides; `None` for profiles, where it is the path of the store.
    pub detail: Option<String>,
    /// The profile that is tried first.
    pub first_profile: Option<ProfileId>,
    /// Whether a model turn could be made now.
    pub usable: bool,
    /// One label per profile, in store order.
    pub labels: Vec<String>,
    /// How many of the profiles are logins, tokens and keys.
    pub counts: KindCounts,
    /// Value and source text of the environment's credential.
    pub env: Option<(String, String)>,
    /// The config key as shown.
    pub config_key: Option<String>,
    /// Whether the row rests on nothing but a reference that does not resolve.
    pub only_unresolved: bool,
}

/// Profiles by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// Logins.
    pub oauth: usize,
    /// Static tokens.
    pub token: usize,
    /// API keys.
    pub api_key: usize,
}

impl ProviderRow {
    /// How many sign-ins the report counts for it: logins, tokens, and an OAuth token from the environment.
    pub fn sign_ins(&self) -> usize {
        let from_env = self.env.as_ref().is_some_and(|(value, _)| value == OAUTH_FROM_ENV);
        self.counts.oauth + self.counts.token + usize::from(from_env)
    }
}

/// A provider that a model in use needs and that has no credential.
#[derive(Clone, Debug)]
pub struct MissingProvider {
    /// Which one.
    pub provider: ProviderId,
    /// Which models need it: role and reference.
    pub needed_by: Vec<(String, String)>,
}

/// A reference of the config that does not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefError {
    /// Its config path.
    pub path: String,
    /// Why; holds no secret.
    pub message: String,
}

/// The whole report.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The models in use.
    pub models: ModelsInUse,
    /// Alias and the entry it points to, in file order.
    pub aliases: Vec<(String, String)>,
    /// The allowlist as written; empty allows everything.
    pub allowed: Vec<String>,
    /// Providers, sorted.
    pub rows: Vec<ProviderRow>,
    /// Providers in use without a credential, sorted.
    pub missing: Vec<MissingProvider>,
    /// Profiles in a cooldown or disabled window.
    pub unusable: Vec<UnusableProfile>,
    /// Health of every profile and provider.
    pub health: Health,
    /// References of the config that do not resolve.
    pub ref_errors: Vec<RefError>,
}

/// What the report prints for an OAuth token in the environment.
const OAUTH_FROM_ENV: &str = "OAuth (env)";

impl StatusReport {
    /// Builds the report of an agent; without one, the models come from the defaults.
    pub fn build(situation: &Situation<'_>, agent: Option<&AgentId>) -> Self {
        let config = situation.config;
        let models = ModelsInUse::of(config, agent);
        let roles = models.roles(config);
        let rows: Vec<ProviderRow> =
            candidate_rows(situation, &roles).iter().filter_map(|id| build_row(id, situation)).collect();
        Self {
            missing: missing_providers(&roles, &rows),
            aliases: aliases(config),
            allowed: config.models.iter().map(|entry| entry.key.clone()).collect(),
            unusable: unusable_profiles(situation.store, situation.now),
            health: Health::of(situation.store, situation.now),
            ref_errors: ref_errors(situation),
            models,
            rows,
        }
    }

    /// The verdict of `--check` (spec 02 section 10). `store_unreadable` tells that a store could not be read.
    pub fn check(&self, store_unreadable: bool) -> CheckVerdict {
        if store_unreadable || !self.missing.is_empty() { CheckVerdict::Failing } else { self.health.check() }
    }
}

/// Alias → entry; a later entry with the same alias wins but keeps the earlier place.
pub fn aliases(config: &Config) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in &config.models {
        let Some(alias) = &entry.alias else { continue };
        match found.iter_mut().find(|(known, _)| known == alias) {
            Some(known) => known.1.clone_from(&entry.key),
            None => found.push((alias.clone(), entry.key.clone())),
        }
    }
    found
}

/// The ids that may get a row, sorted (spec 02 section 5 steps 1 and 2).
pub(crate) fn candidate_rows(situation: &Situation<'_>, roles: &[(String, ModelRef)]) -> Vec<String> {
    let config = situation.config;
    let stored = situation.store.providers().cloned();
    let configured = config.providers.iter().map(|entry| ProviderId::normalise(&entry.id));
    let used = roles.iter().map(|(_, model)| model.provider_id());
    let allowed = config.models.iter().filter_map(|entry| Some(resolve(&entry.key, config)?.provider_id()));
    let with_variable = PROVIDERS.iter().filter(|info| {
        let key = ProviderId::normalise(info.id).auth_key();
        !info.env_vars.is_empty()
            && crate::env_credential::env_credential(&key, situation.environment, situation.ambient).is_some()
    });
    let mut ids: Vec<String> = stored
        .chain(configured)
        .chain(used)
        .chain(allowed)
        .map(|id| id.as_str().to_owned())
        .chain(with_variable.map(|info| info.id.to_owned()))
        .filter(|id| !id.is_empty())
        .collect();
    ids.sort_by(|a, b| collate(a, b));
    ids.dedup();
    ids
}

/// One row, unless there is nothing to show (spec 02 section 5 step 3).
fn build_row(id: &str, situation: &Situation<'_>) -> Option<ProviderRow> {
    let provider = ProviderId::normalise(id);
    let sources = OtherSources::of(id, situation);
    let mut labels = Vec::new();
    let mut counts = KindCounts::default();
    for profile in situation.store.of_provider(&provider.auth_key()) {
        match profile.kind() {
            CredentialKind::OAuth => counts.oauth += 1,
            CredentialKind::Token => counts.token += 1,
            CredentialKind::ApiKey => counts.api_key += 1,
        }
        labels.push(profile_label(profile, situation) + &window_suffix(profile, situation));
    }
    let has_profiles = !labels.is_empty();
    let synthetic = sources.synthetic;
    let stands_in = synthetic.is_some() || sources.xai_search.is_some();
    if !has_profiles && sources.env.is_none() && sources.config_key.is_none() && !stands_in {
        return None;
    }

    let env = sources.env.as_ref().map(|env| {
        let value = if env.is_oauth() { OAUTH_FROM_ENV.to_owned() } else { env.shown() };
        (value, env.source.clone())
    });
    let (kind, detail) = if has_profiles {
        (EffectiveKind::Profiles, None)
    } else if let Some((value, _)) = &env {
        (EffectiveKind::Env, Some(value.clone()))
    } else if let Some(key) = sources.usable_config_key() {
        (EffectiveKind::ConfigKey, Some(key.secret().map_or_else(|| key.shown.clone(), Secret::masked)))
    } else if let Some(marker) = synthetic {
        (EffectiveKind::Synthetic, Some(format!("marker({marker})")))
    } else if let Some(secret) = &sources.xai_search {
        (EffectiveKind::Synthetic, Some(secret.masked()))
    } else {
        let detail = match &sources.config_key {
            Some(ConfigKey { shown, state: ConfigKeyState::UnresolvedRef(_) }) => format!("{shown} unresolved"),
            _ => "missing".to_owned(),
        };
        (EffectiveKind::Missing, Some(detail))
    };

    let order = has_profiles.then(|| resolve_order(situation.config, situation.store, &provider, None, situation.now));
    let usable = match &order {
        Some(order) => order.first_usable().is_some(),
        None => kind != EffectiveKind::Missing || sources.aws_default_chain,
    };
    let unresolved = matches!(sources.config_key, Some(ConfigKey { state: ConfigKeyState::UnresolvedRef(_), .. }));
    Some(ProviderRow {
        provider: id.to_owned(),
        only_unresolved: kind == EffectiveKind::Missing && unresolved,
        kind,
        detail,
        first_profile: order
            .as_ref()
            .and_then(|order: &ProfileOrder| order.tried.first())
            .map(|entry| entry.id.clone()),
        usable,
        labels,
        counts,
        env,
        config_key: sources.config_key.map(|key| key.shown),
    })
}

/// `<profileId>=<what it holds>` (spec 02 section 5).
pub fn profile_label(profile: &Profile, situation: &Situation<'_>) -> String {
    let shown = |material: &Material| match material {
        Material::Inline(secret) if is_marker(secret.reveal()) => marker_label(secret.reveal()),
        Material::Inline(secret) => secret.masked(),
        Material::Reference { to, .. } => to.label(),
        Material::Absent => "missing".to_owned(),
    };
    match &profile.credential {
        Credential::ApiKey { key } => format!("{}={}", profile.id, shown(key)),
        Credential::Token { token, .. } => format!("{}=token:{}", profile.id, shown(token)),
        Credential::OAuth { .. } => match account_label(profile, situation.config) {
            Some(account) => format!("{}=OAuth ({account})", profile.id),
            None => format!("{}=OAuth", profile.id),
        },
    }
}

/// The display name or e-mail of a profile: the config's first, then the store's.
pub fn account_label<'a>(profile: &'a Profile, config: &'a Config) -> Option<&'a str> {
    let entry = config.auth_profiles.get(profile.id.as_str());
    let display_name = entry.and_then(|e| e.display_name.as_deref()).or(profile.display_name.as_deref());
    display_name.or_else(|| entry.and_then(|e| e.email.as_deref()).or(profile.email.as_deref()))
}

fn window_suffix(profile: &Profile, situation: &Situation<'_>) -> String {
    let Some(window) = cooldown(situation.store, profile, None, situation.now) else { return String::new() };
    let left = ShortDuration(window.until_ms - situation.now.as_f64());
    match window.kind {
        WindowKind::Cooldown => format!(" [cooldown {left}]"),
        WindowKind::Disabled => {
            let reason = situation.store.usage(&profile.id).and_then(|stats| stats.disabled_reason.as_deref());
            reason.map_or_else(|| format!(" [disabled {left}]"), |reason| format!(" [disabled:{reason} {left}]"))
        }
    }
}

fn missing_providers(roles: &[(String, ModelRef)], rows: &[ProviderRow]) -> Vec<MissingProvider> {
    let present: HashSet<&str> =
        rows.iter().filter(|row| !row.only_unresolved).map(|row| row.provider.as_str()).collect();
    let mut missing: BTreeMap<ProviderId, Vec<(String, String)>> = BTreeMap::new();
    for (role, model) in roles {
        let provider = model.provider_id();
        if !present.contains(provider.as_str()) {
            missing.entry(provider).or_default().push((role.clone(), model.key()));
        }
    }
    let mut missing: Vec<MissingProvider> =
        missing.into_iter().map(|(provider, needed_by)| MissingProvider { provider, needed_by }).collect();
    missing.sort_by(|a, b| collate(a.provider.as_str(), b.provider.as_str()));
    missing
}

fn ref_errors(situation: &Situation<'_>) -> Vec<RefError> {
    config_key_refs(situation.config)
        .filter_map(|(path, reference)| match situation.refs.get(reference) {
            RefState::Unresolved(message) => Some(RefError { path, message: message.clone() }),
            RefState::Resolved(_) | RefState::NotRun => None,
        })
        .collect()
}
