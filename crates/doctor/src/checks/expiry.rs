//! Logins and tokens that are over, about to end, or missing (spec 06 section 7.5).

use std::collections::HashSet;

use auth_core::provider::find_by_name;
use auth_core::status::ModelsInUse;
use auth_core::{
    CandidateSource, Credential, CredentialKind, FailureReason, Health, HealthReason, HealthStatus, ProfileHealth,
    ProfileId, ProviderId, ShortDuration, Standing, explain,
};

use crate::apply::REFRESH_AHEAD_MS;
use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Change, Refusal, Repair};
use crate::request::{RepairKind, Request};
use crate::scene::{AgentScene, Scene};

const EXPIRED: &str = "auth.expired";
const MISSING: &str = "auth.missing";
const INVALID: &str = "auth.invalid_expires";
const EXPIRING: &str = "auth.expiring";
const ACCESS_EXPIRED: &str = "auth.oauth.access_expired";
const REFRESH_FAILED: &str = "auth.oauth.refresh_failed";
const WITHDRAWN: &str = "auth.provider.withdrawn";
const TITLE: &str = "Model auth";
const QWEN_PORTAL: &str = "qwen-portal";
const QWEN_KEY: &str = "openclaw onboard --auth-choice qwen-api-key";

/// Tells what ends; renews logins when that is asked for.
pub(super) struct Expiry;

impl Check for Expiry {
    fn codes(&self) -> &'static [&'static str] {
        &[EXPIRED, MISSING, INVALID, EXPIRING, ACCESS_EXPIRED, REFRESH_FAILED, WITHDRAWN]
    }

    fn is_repeatable(&self, request: &Request) -> bool {
        // A login that could not be renewed is not tried again.
        !request.refresh
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            let Some(own) = agent.profiles() else { continue };
            let health = Health::of(own, view.scene.now());
            let sick: HashSet<&ProfileId> = health
                .profiles
                .iter()
                .filter(|profile| matches!(profile.status, HealthStatus::Expired | HealthStatus::Missing))
                .map(|profile| &profile.id)
                .collect();
            for profile in &health.profiles {
                let of_time = of_profile(view, agent, profile, &sick);
                found.extend(withdrawn(agent, profile, of_time.is_some()));
                found.extend(of_time);
            }
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        if !view.request.refresh {
            return Ok(None);
        }
        let due: Vec<(&AgentScene, ProfileId)> = view
            .scene
            .agents
            .iter()
            .flat_map(|agent| due(view.scene, agent).into_iter().map(move |id| (agent, id)))
            .filter(|(agent, id)| {
                findings.iter().any(|finding| {
                    finding.fixable
                        && finding.agent.as_ref() == Some(&agent.id)
                        && finding.profile.as_deref() == Some(id.as_str())
                })
            })
            .collect();
        if due.is_empty() {
            return Ok(None);
        }
        let refuse = |message: &str| Err(Refusal { code: REFRESH_FAILED, message: message.to_owned() });
        if view.request.offline {
            return refuse("--offline: no login is renewed");
        }
        if view.outside.refresh.is_none() {
            return refuse("no way to renew logins was given; run: openclaw models auth refresh");
        }
        let names: Vec<String> = due.iter().map(|(_, id)| id.to_string()).collect();
        let done = names.iter().map(|id| format!("- Renewed {id}"));
        let changes =
            due.iter().map(|(agent, profile)| Change::Refresh { agent: agent.id.clone(), profile: profile.clone() });
        let question = format!("Refresh expiring OAuth tokens now? ({})", names.join(", "));
        Ok(Some(Repair::new(REFRESH_FAILED, RepairKind::Normal, question).telling(done).changing(changes)))
    }
}

/// The logins that a refresh would renew: over or ending within a day, with a refresh token of their own, and not
/// refused for good.
fn due(scene: &Scene, agent: &AgentScene) -> Vec<ProfileId> {
    let now = scene.now();
    let Some(own) = agent.profiles() else { return Vec::new() };
    let renewable = own.iter().filter(|profile| {
        let Credential::OAuth { refresh: Some(_), expires, .. } = &profile.credential else { return false };
        #[expect(clippy::cast_precision_loss, reason = "a day in milliseconds")]
        let soon = expires.date_ms().is_none_or(|at| at - now.as_f64() <= REFRESH_AHEAD_MS as f64);
        let managed = profile.unknown.names().any(|name| name == "managedBy");
        let refused = own.usage(&profile.id).is_some_and(|stats| {
            stats.disabled_reason.as_deref() == Some(FailureReason::AuthPermanent.as_str())
                && stats.disabled_until_ms.is_some_and(|until| until > now.as_f64())
        });
        soon && !managed && !refused
    });
    renewable.map(|profile| profile.id.clone()).collect()
}

fn of_profile(
    view: &View<'_>,
    agent: &AgentScene,
    health: &ProfileHealth,
    sick: &HashSet<&ProfileId>,
) -> Option<Finding> {
    let scene = view.scene;
    let may_refresh = view.request.refresh && due(scene, agent).contains(&health.id);
    let id = &health.id;
    let base = |code, severity, message: String| {
        let finding = Finding::new(code, severity, TITLE, message).of_agent(&agent.id);
        let finding = finding.of_provider(health.provider.as_str()).of_profile(id.as_str());
        let finding = finding
            .detail("status", health.status.as_str())
            .detail("reasonCode", health.reason.map(HealthReason::code))
            .detail("expiresAt", health.expires_at_ms)
            .detail("remainingMs", health.remaining_ms);
        if may_refresh { finding.fixable() } else { finding }
    };
    if health.kind == CredentialKind::ApiKey {
        return None;
    }
    let renews = health.kind == CredentialKind::OAuth && health.renews_itself;
    if renews && health.remaining_ms.is_some_and(|left| left <= 0.0 || (may_refresh && left <= 86_400_000.0)) {
        let what = if health.remaining_ms.is_some_and(|left| left <= 0.0) { "is over" } else { "ends within a day" };
        let message = format!("{id}: the access token {what}; the next use renews it");
        return Some(base(ACCESS_EXPIRED, Severity::Info, message));
    }
    let (code, severity) = match (health.status, health.reason) {
        (HealthStatus::Expired, _) => (EXPIRED, Severity::Error),
        (HealthStatus::Missing, Some(HealthReason::InvalidExpires)) => (INVALID, Severity::Error),
        (HealthStatus::Missing, _) => (MISSING, Severity::Error),
        (HealthStatus::Expiring, _) => (EXPIRING, Severity::Warning),
        (HealthStatus::Ok | HealthStatus::Static, _) => return None,
    };
    let needed = code == EXPIRING
        || (is_in_use(scene, agent, &health.provider) && !is_covered(scene, agent, &health.provider, sick));
    let severity = if needed { severity } else { Severity::Warning };
    let (hint, fix) = hint(scene, health);
    let reason = health.reason.map_or_else(String::new, |reason| format!(" [{}]", reason.code()));
    let left = health.remaining_ms.map_or_else(String::new, |left| format!(" ({})", ShortDuration(left)));
    let line = format!("- {id}: {}{reason}{left} — {hint}", health.status.as_str());
    let finding = base(code, severity, format!("{id}: {}{reason}{left}; {hint}", health.status.as_str()));
    let finding = finding.shown_as(line).detail("covered", !needed);
    Some(if finding.fixable { finding } else { finding.helped_by(fix) })
}

/// A provider that does not serve this kind of login any more. `told` says that another line names the profile.
fn withdrawn(agent: &AgentScene, health: &ProfileHealth, told: bool) -> Option<Finding> {
    if health.provider.as_str() != QWEN_PORTAL || health.kind == CredentialKind::ApiKey {
        return None;
    }
    let message =
        format!("{}: the OAuth of {QWEN_PORTAL} was withdrawn; run `{QWEN_KEY}` (or `qwen-api-key-cn`)", health.id);
    let finding = Finding::new(WITHDRAWN, Severity::Warning, TITLE, message).of_agent(&agent.id);
    let mut finding = finding.of_provider(QWEN_PORTAL).of_profile(health.id.as_str()).helped_by(QWEN_KEY);
    if told {
        finding.line = None;
    }
    Some(finding)
}

/// Whether an agent has a model of this provider, as its own or by default.
fn is_in_use(scene: &Scene, agent: &AgentScene, provider: &ProviderId) -> bool {
    // What main has is what every agent reads through.
    let is_main = agent.dir == scene.layout().main_store_dir();
    let users = scene.agents.iter().filter(|user| is_main || user.id == agent.id);
    users
        .flat_map(|user| ModelsInUse::of(scene.settings(), Some(&user.id)).roles(scene.settings()))
        .any(|(_, model)| model.provider_id().auth_key() == provider.auth_key())
}

/// Whether a turn would find another credential that works.
fn is_covered(scene: &Scene, agent: &AgentScene, provider: &ProviderId, sick: &HashSet<&ProfileId>) -> bool {
    let situation = agent.situation(scene);
    let explanation = explain(&situation, provider, None);
    let only_sick = explanation.order.tried.iter().all(|entry| sick.contains(&entry.id));
    explanation.candidates.iter().any(|candidate| match (&candidate.source, &candidate.standing) {
        (CandidateSource::Profile(id), Standing::Next | Standing::InReserve) => !sick.contains(id),
        (CandidateSource::Profile(_), _) => false,
        (_, Standing::Next) => true,
        // What comes after profiles is asked when none of those may be tried at all.
        (_, Standing::InReserve | Standing::Outranked(_)) => only_sick && explanation.order.tried.is_empty(),
        _ => false,
    })
}

/// What helps, for people, and the command.
fn hint(scene: &Scene, health: &ProfileHealth) -> (String, String) {
    let provider = health.provider.as_str();
    let login = format!("openclaw models auth login --provider {provider}");
    if health.reason == Some(HealthReason::InvalidExpires) {
        let hint = format!("set expires to a future time in milliseconds, or remove it (--provider {provider})");
        return (hint, format!("openclaw models auth paste-token --provider {provider} --profile-id {}", health.id));
    }
    if provider == QWEN_PORTAL {
        return (format!("its OAuth was withdrawn; run `{QWEN_KEY}` (or `qwen-api-key-cn`)"), QWEN_KEY.to_owned());
    }
    if health.id.as_str() == "openai-codex:codex-cli" {
        return (format!("deprecated profile; run `{login}`"), login);
    }
    let legacy = provider == "anthropic" && health.id.as_str() == "anthropic:default";
    if legacy && let Some(other) = super::oauth_suggestion(scene, &health.provider, &health.id) {
        let fix = "openclaw doctor --yes";
        return (
            format!("provider anthropic, config entry {}, suggested profile {other}; run `{fix}`", health.id),
            fix.to_owned(),
        );
    }
    let has_login = find_by_name(provider).is_some_and(|info| !info.auth.is_empty());
    if has_login {
        (format!("Re-auth via `{login}` or `openclaw configure`"), login)
    } else {
        ("Re-auth via `openclaw configure`".to_owned(), "openclaw configure".to_owned())
    }
}
