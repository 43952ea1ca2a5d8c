//! The JSON document of `models status` (spec 02 section 3). Keys are added, never renamed or removed.

use auth_core::status::ProviderRow;
use auth_core::{ProfileHealth, StatusReport, UnusableProfile, WARN_AFTER_MS};
use auth_store::{AgentAuth, State};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Ms;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    config_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    agent_dir: String,
    default_model: &'a str,
    resolved_default: String,
    fallbacks: &'a [String],
    image_model: Option<&'a str>,
    image_fallbacks: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    model_config: Option<ModelConfig>,
    aliases: Map<String, Value>,
    allowed: &'a [String],
    auth: Auth<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelConfig {
    default_source: &'static str,
    fallbacks_source: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'a> {
    store_path: String,
    shell_env_fallback: ShellEnv<'a>,
    #[serde(rename = "providersWithOAuth")]
    providers_with_oauth: Vec<String>,
    missing_providers_in_use: Vec<&'a str>,
    providers: Vec<Row<'a>>,
    unusable_profiles: Vec<Unusable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_error: Option<StoreError<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secret_ref_errors: Vec<RefError<'a>>,
    oauth: OAuth<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probes: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShellEnv<'a> {
    enabled: bool,
    applied_keys: &'a [String],
}

#[derive(Serialize)]
struct StoreError<'a> {
    path: String,
    message: &'a str,
}

#[derive(Serialize)]
struct RefError<'a> {
    path: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    provider: &'a str,
    effective: Effective<'a>,
    profiles: Profiles<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models_json: Option<Source<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Effective<'a> {
    kind: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<&'a str>,
    usable: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profiles<'a> {
    count: usize,
    oauth: usize,
    token: usize,
    api_key: usize,
    labels: &'a [String],
}

#[derive(Serialize)]
struct Source<'a> {
    value: &'a str,
    source: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unusable<'a> {
    profile_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    until: Ms,
    remaining_ms: Ms,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OAuth<'a> {
    warn_after_ms: i64,
    profiles: Vec<Health<'a>>,
    providers: Vec<ProviderHealth<'a>>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health<'a> {
    profile_id: &'a str,
    provider: &'a str,
    r#type: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Ms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ms: Option<Ms>,
    source: &'static str,
    label: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProviderHealth<'a> {
    provider: &'a str,
    status: &'static str,
    profiles: Vec<Health<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Ms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ms: Option<Ms>,
}

/// Builds the document. `asked` tells that `--agent` was given.
pub(crate) fn document<'a>(
    state: &'a State,
    auth: &'a AgentAuth,
    report: &'a StatusReport,
    asked: bool,
    probes: Option<Value>,
) -> Document<'a> {
    let models = &report.models;
    let source = |own: bool| if own { "agent" } else { "defaults" };
    let places = Places {
        store: state.layout.shorten(&auth.store_path()),
        models_json: format!("models.json: {}", state.layout.shorten(&auth.dir.join("models.json"))),
    };
    Document {
        config_path: state.layout.config_path().display().to_string(),
        agent_id: auth.agent.as_ref().map(auth_core::AgentId::as_str),
        agent_dir: auth.dir.display().to_string(),
        default_model: &models.default_label,
        resolved_default: models.resolved_default.to_string(),
        fallbacks: &models.fallbacks,
        image_model: models.image_model.as_deref(),
        image_fallbacks: &models.image_fallbacks,
        model_config: models.own.filter(|_| asked).map(|(primary, fallbacks)| ModelConfig {
            default_source: source(primary),
            fallbacks_source: source(fallbacks),
        }),
        aliases: report.aliases.iter().map(|(alias, key)| (alias.clone(), Value::from(key.as_str()))).collect(),
        allowed: &report.allowed,
        auth: Auth { probes, ..auth_section(state, auth, report, &places) },
    }
}

/// Places as they are shown.
struct Places {
    store: String,
    models_json: String,
}

fn auth_section<'a>(state: &'a State, auth: &'a AgentAuth, report: &'a StatusReport, places: &Places) -> Auth<'a> {
    let situation = state.situation(auth);
    let label = |health: &ProfileHealth| {
        let profile = situation.store.get(&health.id);
        match profile.and_then(|profile| auth_core::status::account_label(profile, situation.config)) {
            Some(account) => format!("{} ({account})", health.id),
            None => health.id.to_string(),
        }
    };
    let profiles: Vec<Health<'a>> =
        report.health.profiles.iter().map(|health| health_entry(health, label(health))).collect();
    let providers = report.health.providers.iter().map(|provider| ProviderHealth {
        provider: provider.provider.as_str(),
        status: provider.status.as_str(),
        profiles: provider.profiles.iter().map(|at| profiles[*at].clone()).collect(),
        expires_at: provider.expires_at_ms.map(Ms),
        remaining_ms: provider.remaining_ms.map(Ms),
    });
    Auth {
        store_path: auth.store_path().display().to_string(),
        shell_env_fallback: ShellEnv {
            enabled: state.shell_env_enabled,
            applied_keys: state.environment.shell_applied(),
        },
        providers_with_oauth: report
            .rows
            .iter()
            .filter(|row| row.sign_ins() > 0)
            .map(|row| format!("{} ({})", row.provider, row.sign_ins()))
            .collect(),
        missing_providers_in_use: report.missing.iter().map(|missing| missing.provider.as_str()).collect(),
        providers: report.rows.iter().map(|row| row_entry(row, places)).collect(),
        unusable_profiles: report.unusable.iter().map(|entry| unusable_entry(entry, state.now().as_f64())).collect(),
        store_error: auth
            .view
            .errors
            .first()
            .map(|error| StoreError { path: error.path.display().to_string(), message: &error.message }),
        secret_ref_errors: report
            .ref_errors
            .iter()
            .map(|error| RefError { path: &error.path, message: &error.message })
            .collect(),
        probes: None,
        oauth: OAuth { warn_after_ms: WARN_AFTER_MS, providers: providers.collect(), profiles },
    }
}

fn row_entry<'a>(row: &'a ProviderRow, places: &Places) -> Row<'a> {
    Row {
        provider: &row.provider,
        effective: Effective {
            kind: row.kind.as_str(),
            detail: row.detail.clone().unwrap_or_else(|| places.store.clone()),
            profile_id: row.first_profile.as_ref().map(auth_core::ProfileId::as_str),
            usable: row.usable,
        },
        profiles: Profiles {
            count: row.labels.len(),
            oauth: row.counts.oauth,
            token: row.counts.token,
            api_key: row.counts.api_key,
            labels: &row.labels,
        },
        env: row.env.as_ref().map(|(value, source)| Source { value, source: source.clone() }),
        models_json: row.config_key.as_ref().map(|value| Source { value, source: places.models_json.clone() }),
    }
}

fn unusable_entry(entry: &UnusableProfile, now_ms: f64) -> Unusable<'_> {
    Unusable {
        profile_id: entry.id.as_str(),
        provider: entry.provider.as_deref(),
        kind: entry.window.kind.as_str(),
        reason: entry.reason.as_deref(),
        until: Ms(entry.window.until_ms),
        remaining_ms: Ms(entry.window.until_ms - now_ms),
        model: entry.model.as_deref(),
    }
}

fn health_entry(health: &ProfileHealth, label: String) -> Health<'_> {
    Health {
        profile_id: health.id.as_str(),
        provider: health.provider.as_str(),
        r#type: health.kind.as_str(),
        status: health.status.as_str(),
        reason_code: health.reason.map(auth_core::HealthReason::code),
        expires_at: health.expires_at_ms.map(Ms),
        remaining_ms: health.remaining_ms.map(Ms),
        source: "store",
        label,
    }
}
