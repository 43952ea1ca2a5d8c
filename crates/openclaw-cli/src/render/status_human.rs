//! The status report for people (spec 02 section 4): what is wrong and what to type first, the details after it.

use auth_core::status::{EffectiveKind, ProviderRow};
use auth_core::{
    CredentialKind, Explanation, HealthStatus, ProfileHealth, StatusReport, Timestamp, UnusableProfile, WindowKind,
    WordyDuration, explain,
};
use auth_store::{AgentAuth, State};

use super::advice;
use super::choice::{place, reason};
use crate::output::{Look, Page, Part, part, plain};

/// Writes the report. `asked` tells that `--agent` was given.
pub(crate) fn render(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport, asked: bool) {
    let troubles = Troubles::of(state, auth, report);
    headline(page, auth, report, &troubles);
    in_use(page, state, auth, report, &troubles);
    missing(page, state, auth, report);
    attention(page, state, auth, report, &troubles);
    models(page, state, auth, report, asked);
    overview(page, state, auth, report);
    health(page, state, auth, report);
}

/// What needs somebody, gathered once.
struct Troubles<'a> {
    /// The choice for each provider in use.
    in_use: Vec<Explanation>,
    /// Over, missing or about to end.
    profiles: Vec<(&'a ProfileHealth, String)>,
    /// Waiting for the end of a window.
    waiting: &'a [UnusableProfile],
    /// Sources with different secrets.
    conflicts: Vec<auth_core::Conflict>,
    /// A plaintext beside a reference.
    shadowed: Vec<String>,
}

impl<'a> Troubles<'a> {
    fn of(state: &State, auth: &'a AgentAuth, report: &'a StatusReport) -> Self {
        let situation = state.situation(auth);
        // Only rows that something besides profiles feeds can hold two secrets.
        let mixed = report.rows.iter().filter(|row| row.env.is_some() || row.config_key.is_some());
        let conflicts = mixed
            .flat_map(|row| explain(&situation, &auth_core::ProviderId::normalise(&row.provider), None).conflicts)
            .fold(Vec::new(), |mut seen: Vec<auth_core::Conflict>, conflict| {
                // One variable can feed several rows.
                if !seen.contains(&conflict) {
                    seen.push(conflict);
                }
                seen
            });
        let shadows = |profile: &auth_core::Profile| {
            matches!(
                profile.credential.material(),
                Some(auth_core::Material::Reference { shadows_plaintext: true, .. })
            )
        };
        let mut in_use: Vec<Explanation> = Vec::new();
        for (_, model) in report.models.roles(&state.config) {
            let provider = model.provider_id();
            if !in_use.iter().any(|known| known.provider == provider) {
                in_use.push(explain(&situation, &provider, Some(&model.model)));
            }
        }
        let now = state.now();
        Self {
            in_use,
            profiles: report.health.profiles.iter().filter_map(|h| Some((h, advice::trouble(h, now)?))).collect(),
            waiting: &report.unusable,
            conflicts,
            shadowed: situation.store.iter().filter(|p| shadows(p)).map(|p| p.id.to_string()).collect(),
        }
    }
}

/// One line that says whether anybody is needed.
fn headline(page: &mut Page, auth: &AgentAuth, report: &StatusReport, troubles: &Troubles<'_>) {
    let count = |n: usize, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let with = |status: HealthStatus| troubles.profiles.iter().filter(|(h, _)| h.status == status).count();
    let without = troubles.in_use.iter().filter(|choice| choice.next().is_none()).count();
    let blocked = without.saturating_sub(report.missing.len());
    let unreadable = auth.view.errors.len();
    let bad: Vec<String> = [
        count(unreadable, "credential store cannot be read", "credential stores cannot be read"),
        count(report.missing.len(), "provider in use has no credential", "providers in use have no credential"),
        count(blocked, "provider in use has none that works now", "providers in use have none that works now"),
        count(with(HealthStatus::Expired), "credential has expired", "credentials have expired"),
        count(with(HealthStatus::Missing), "profile holds nothing usable", "profiles hold nothing usable"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let soon: Vec<String> = [
        count(with(HealthStatus::Expiring), "credential expires within a day", "credentials expire within a day"),
        count(troubles.waiting.len(), "profile is waiting", "profiles are waiting"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let all: Vec<String> = bad.iter().chain(&soon).cloned().collect();
    let (look, sign) = match (bad.is_empty(), soon.is_empty()) {
        (false, _) => (Look::Bad, "✗ "),
        (true, false) => (Look::Warning, "! "),
        (true, true) => (Look::Good, "✓ "),
    };
    let text = if all.is_empty() { "Every provider in use has a credential".to_owned() } else { all.join(", ") };
    page.line(2, &[part(look, sign), part(Look::Strong, text)]);
}

/// Each provider in use with the credential that its next request carries.
fn in_use(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport, troubles: &Troubles<'_>) {
    let roles = report.models.roles(&state.config);
    let rows: Vec<Vec<Part>> = troubles
        .in_use
        .iter()
        .map(|explanation| {
            let provider = &explanation.provider;
            let names: Vec<&str> = roles
                .iter()
                .filter(|(_, model)| model.provider_id() == *provider)
                .map(|(role, _)| role.as_str())
                .collect();
            let mut row = vec![part(Look::Strong, provider.as_str()), part(Look::Faint, names.join(", "))];
            match explanation.next() {
                Some(next) => row.extend([
                    part(Look::Good, next.source.label()),
                    plain(&next.shown),
                    part(Look::Faint, place(state, auth, next)),
                ]),
                None => row.extend(best_of_none(state, auth, explanation)),
            }
            row
        })
        .collect();
    page.table(2, &rows);
    page.gap();
}

/// The cells of a provider in use that nothing works for: its best candidate and what keeps it.
fn best_of_none(state: &State, auth: &AgentAuth, explanation: &Explanation) -> Vec<Part> {
    match explanation.candidates.first() {
        None if !auth.view.errors.is_empty() => vec![part(Look::Bad, "unknown: the store cannot be read")],
        None => vec![part(Look::Bad, "no credential")],
        Some(best) => vec![
            part(Look::Bad, best.source.label()),
            plain(&best.shown),
            part(Look::Bad, reason(best, explanation, state.now())),
        ],
    }
}

fn command(page: &mut Page, text: &str) {
    page.line(6, &[plain("    "), part(Look::Command, text)]);
}

/// Providers in use without a credential, each with the ways to give it one.
fn missing(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport) {
    if report.missing.is_empty() {
        return;
    }
    page.heading("Missing auth");
    if auth.view.errors.is_empty() && report.rows.iter().all(|row| row.kind == EffectiveKind::Missing) {
        page.line(0, &[plain("No credentials found. Give the provider in use one of these:")]);
    }
    let env_file = state.layout.shorten(&state.layout.state_dir().join(".env"));
    for missing in &report.missing {
        let needed: Vec<String> = missing.needed_by.iter().map(|(role, model)| format!("{role} {model}")).collect();
        page.line(
            4,
            &[part(Look::Bad, missing.provider.as_str()), plain(format!("  needed by {}", needed.join(", ")))],
        );
        let help = advice::add_credential(&missing.provider);
        if let Some((variable, others)) = help.variables.split_first() {
            let others = if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
            page.line(
                6,
                &[
                    plain("    a line "),
                    part(Look::Command, format!("{variable}=…")),
                    plain(format!(" in {env_file}, or the variable in the environment{others}")),
                ],
            );
        }
        if let Some(login) = &help.login {
            command(page, login);
        }
        command(page, "openclaw configure");
        if let Some(other) = other_provider(report) {
            command(page, &format!("openclaw models set {other}"));
        }
        if missing.provider.as_str() == "amazon-bedrock" {
            page.line(6, &[plain("    An instance role or SSO login of AWS is found at use and not shown here.")]);
        }
    }
    page.gap();
}

/// With no model configured, the recommended one of a provider that does have a credential.
fn other_provider(report: &StatusReport) -> Option<&'static str> {
    if report.models.configured {
        return None;
    }
    let mut with_credential = report.rows.iter().filter(|row| row.usable);
    with_credential.find_map(|row| auth_core::provider::find(&row.provider)?.default_model)
}

/// Everything else that needs somebody, each with what helps.
fn attention(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport, troubles: &Troubles<'_>) {
    let nothing = troubles.profiles.is_empty()
        && troubles.waiting.is_empty()
        && troubles.conflicts.is_empty()
        && troubles.shadowed.is_empty()
        && report.ref_errors.is_empty()
        && auth.view.errors.is_empty();
    if nothing {
        return;
    }
    page.heading("Needs attention");
    for error in &auth.view.errors {
        let path = state.layout.shorten(&error.path);
        page.line(4, &[part(Look::Bad, path), plain(format!("  {}; it is left as it is", error.message))]);
        command(page, "openclaw doctor");
    }
    for error in &report.ref_errors {
        page.line(4, &[part(Look::Bad, &error.path), plain(format!("  {}", error.message))]);
    }
    for (health, words) in &troubles.profiles {
        let look = if health.status == HealthStatus::Expiring { Look::Warning } else { Look::Bad };
        page.line(4, &[part(look, health.id.as_str()), plain(format!("  {words}"))]);
        command(page, &advice::renew(health));
    }
    for entry in troubles.waiting {
        let until = WordyDuration(entry.window.until_ms - state.now().as_f64());
        let usage = auth.view.profiles.usage(&entry.id);
        let reason = match entry.window.kind {
            WindowKind::Disabled => entry.reason.as_deref(),
            WindowKind::Cooldown => usage.and_then(|stats| stats.cooldown_reason.as_deref()),
        };
        let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let words = format!("  {}{reason}, free again in {until}", entry.window.kind.as_str());
        page.line(4, &[part(Look::Warning, entry.id.as_str()), plain(words)]);
        command(page, &format!("openclaw models auth clear-cooldown {}", advice::quoted(entry.id.as_str())));
    }
    for conflict in &troubles.conflicts {
        let ((used, used_value), (unused, unused_value)) = (&conflict.used, &conflict.unused);
        page.line(
            4,
            &[
                part(Look::Warning, "two keys"),
                plain(format!("  {used} holds {used_value} and is used; {unused} holds {unused_value} and is not")),
            ],
        );
    }
    for id in &troubles.shadowed {
        page.line(
            4,
            &[part(Look::Warning, id), plain("  has a plaintext beside its reference; the reference is used")],
        );
    }
    page.gap();
}

/// `Label         : value`, as wide as the reference has it.
fn field(page: &mut Page, label: &str, value: impl AsRef<str>) {
    let value = value.as_ref();
    let value = if value.is_empty() { "-" } else { value };
    page.line(16, &[part(Look::Faint, format!("{label:<14}")), plain(": "), plain(value)]);
}

fn models(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport, asked: bool) {
    let models = &report.models;
    field(page, "Config", state.layout.shorten(state.layout.config_path()));
    field(page, "Agent dir", state.layout.shorten(&auth.dir));
    let own = models.own.filter(|_| asked);
    let origin = |own: Option<bool>| match own {
        Some(true) => " (agent)",
        Some(false) => " (defaults)",
        None => "",
    };
    let image_origin = origin(own.map(|_| false));
    let resolved = models.resolved_default.to_string();
    let raw = &models.default_label;
    let default = if *raw == resolved { resolved } else { format!("{resolved} (from {raw})") };
    field(page, &format!("Default{}", origin(own.map(|(primary, _)| primary))), default);
    let fallbacks_label =
        format!("Fallbacks ({}){}", models.fallbacks.len(), origin(own.map(|(_, fallbacks)| fallbacks)));
    field(page, &fallbacks_label, models.fallbacks.join(", "));
    field(page, &format!("Image model{image_origin}"), models.image_model.as_deref().unwrap_or_default());
    let label = format!("Image fallbacks ({}){image_origin}", models.image_fallbacks.len());
    field(page, &label, models.image_fallbacks.join(", "));
    let aliases: Vec<String> = report.aliases.iter().map(|(alias, key)| format!("{alias} -> {key}")).collect();
    field(page, &format!("Aliases ({})", aliases.len()), aliases.join(", "));
    let allowed = if report.allowed.is_empty() { "all".to_owned() } else { report.allowed.join(", ") };
    field(page, &format!("Configured models ({})", report.allowed.len()), allowed);
    page.gap();
}

fn overview(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport) {
    page.heading("Auth overview");
    let store = state.layout.shorten(&auth.store_path());
    field(page, "Auth store", &store);
    let applied = state.environment.shell_applied();
    let shell = match (state.shell_env_enabled, applied.is_empty()) {
        (false, _) => "off".to_owned(),
        (true, true) => "on".to_owned(),
        (true, false) => format!("on (applied: {})", applied.join(", ")),
    };
    field(page, "Shell env", shell);
    let signed_in: Vec<String> = report
        .rows
        .iter()
        .filter(|row| row.sign_ins() > 0)
        .map(|row| format!("{} ({})", row.provider, row.sign_ins()))
        .collect();
    field(page, &format!("Providers w/ OAuth/tokens ({})", signed_in.len()), signed_in.join(", "));
    let models_json = state.layout.shorten(&auth.dir.join("models.json"));
    for row in &report.rows {
        row_line(page, row, &store, &models_json);
    }
    page.gap();
}

/// One provider: `- groq effective=profiles:… | profiles=1 (…) | …`.
fn row_line(page: &mut Page, row: &ProviderRow, store: &str, models_json: &str) {
    let look = match (row.kind, row.usable) {
        (EffectiveKind::Missing, _) => Look::Bad,
        (_, false) => Look::Warning,
        (_, true) => Look::Good,
    };
    let bar = || part(Look::Faint, " | ");
    let mut parts: Vec<Part> = vec![plain("- "), part(Look::Strong, &row.provider), plain(" ")];
    let detail = row.detail.as_deref().unwrap_or(store);
    parts.extend([plain("effective="), part(look, row.kind.as_str()), plain(format!(":{detail}"))]);
    if !row.usable && row.kind != EffectiveKind::Missing {
        parts.extend([bar(), part(Look::Warning, "not usable now")]);
    }
    if let Some(first) = row.first_profile.as_ref().filter(|_| row.labels.len() > 1) {
        parts.extend([bar(), plain(format!("first={first}"))]);
    }
    if !row.labels.is_empty() {
        let counts = row.counts;
        let text = format!(
            "profiles={} (oauth={}, token={}, api_key={})",
            row.labels.len(),
            counts.oauth,
            counts.token,
            counts.api_key
        );
        parts.extend([bar(), plain(text), bar(), plain(row.labels.join(", "))]);
    }
    if let Some((value, source)) = &row.env {
        parts.extend([bar(), plain(format!("env={value}")), bar(), plain(format!("source={source}"))]);
    }
    if let Some(value) = &row.config_key {
        parts.extend([
            bar(),
            plain(format!("models.json={value}")),
            bar(),
            plain(format!("source=models.json: {models_json}")),
        ]);
    }
    page.line(4, &parts);
}

/// Logins and tokens with the time they have left.
fn health(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport) {
    page.heading("OAuth/token status");
    let situation = state.situation(auth);
    let mut any = false;
    for provider in &report.health.providers {
        let members: Vec<&ProfileHealth> = provider
            .profiles
            .iter()
            .map(|at| &report.health.profiles[*at])
            .filter(|health| health.kind != CredentialKind::ApiKey)
            .collect();
        if members.is_empty() {
            continue;
        }
        any = true;
        page.line(2, &[plain("- "), part(Look::Strong, provider.provider.as_str())]);
        for health in members {
            let account = situation
                .store
                .get(&health.id)
                .and_then(|profile| auth_core::status::account_label(profile, situation.config))
                .map_or_else(String::new, |account| format!(" ({account})"));
            let (look, word) = match health.status {
                HealthStatus::Ok | HealthStatus::Static => (Look::Good, health.status.as_str()),
                HealthStatus::Expiring => (Look::Warning, "expiring"),
                HealthStatus::Expired => (Look::Bad, "expired"),
                HealthStatus::Missing => (Look::Bad, "unknown"),
            };
            page.line(
                4,
                &[plain(format!("  - {}{account} ", health.id)), part(look, word), plain(ending(health, state.now()))],
            );
        }
    }
    if !any {
        page.line(0, &[plain("- none")]);
    }
}

/// What follows the status of a login or token.
fn ending(health: &ProfileHealth, now: Timestamp) -> String {
    match (health.status, health.ends_at_ms) {
        (HealthStatus::Static, _) => ", does not expire".to_owned(),
        (HealthStatus::Expired, Some(ends)) => format!(" {} ago", WordyDuration(ends - now.as_f64())),
        (HealthStatus::Ok | HealthStatus::Expiring, Some(_)) => format!(", {}", advice::time_left(health, now)),
        _ => ", expires unknown".to_owned(),
    }
}
