//! The status report for people (spec 02 section 4): what is wrong and what to type first, the details after it.

use std::collections::{HashMap, HashSet};

use auth_core::status::{EffectiveKind, ProviderRow};
use auth_core::{
    CandidateSource, CredentialKind, Explanation, HealthStatus, ProfileHealth, ProviderId, RefSource, Standing,
    StatusReport, Timestamp, UnusableProfile, WindowKind, WordyDuration, explain,
};
use auth_store::{AgentAuth, State};

use super::advice;
use super::choice::{because, config_reference, name, place, reason, ways_out};
use crate::output::{Look, Page, Part, part, plain};

/// Writes the report. `asked` tells that `--agent` was given.
pub(crate) fn render(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport, asked: bool) {
    let troubles = Troubles::of(state, auth, report);
    let verdict = headline(auth, report, &troubles);
    page.line(2, &verdict);
    in_use(page, state, auth, report, &troubles);
    missing(page, state, auth, report);
    attention(page, state, auth, report, &troubles);
    models(page, state, auth, report, asked);
    overview(page, state, auth, report);
    health(page, state, auth, report);
    if page.has_scrolled() {
        page.gap();
        page.line(2, &verdict);
    }
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
            .flat_map(|row| explain(&situation, &ProviderId::normalise(&row.provider), None).conflicts)
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
        let mut seen = HashSet::new();
        for (_, model) in report.models.roles(&state.config) {
            let provider = model.provider_id();
            if seen.insert(provider.clone()) {
                in_use.push(explain(&situation, &provider, Some(&model.model)));
            }
        }
        let now = state.now();
        let mut profiles: Vec<(&ProfileHealth, String)> =
            report.health.profiles.iter().filter_map(|h| Some((h, advice::trouble(h, now)?))).collect();
        // What a provider in use waits for comes first.
        profiles.sort_by_key(|(health, _)| !in_use.iter().any(|choice| choice.provider == health.provider));
        Self {
            in_use,
            profiles,
            waiting: &report.unusable,
            conflicts,
            shadowed: situation.store.iter().filter(|p| shadows(p)).map(|p| p.id.to_string()).collect(),
        }
    }
}

impl Troubles<'_> {
    /// Providers in use that nothing works for, where neither a missing credential nor a listed profile says it all.
    fn stuck<'b>(&'b self, report: &'b StatusReport) -> impl Iterator<Item = &'b Explanation> {
        let missing = |choice: &Explanation| report.missing.iter().any(|missing| missing.provider == choice.provider);
        let told = |choice: &Explanation| match choice.candidates.first().map(|best| (&best.source, &best.standing)) {
            Some((CandidateSource::Profile(id), Standing::Waiting(_))) => {
                self.waiting.iter().any(|entry| entry.id == *id)
            }
            Some((CandidateSource::Profile(id), Standing::Ineligible(_))) => {
                self.profiles.iter().any(|(health, _)| health.id == *id)
            }
            _ => false,
        };
        self.in_use.iter().filter(move |choice| choice.next().is_none() && !missing(choice) && !told(choice))
    }
}

/// One line that says whether anybody is needed, and for what.
fn headline(auth: &AgentAuth, report: &StatusReport, troubles: &Troubles<'_>) -> Vec<Part> {
    let count = |n: usize, one: &str, many: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let with = |status: HealthStatus| troubles.profiles.iter().filter(|(h, _)| h.status == status).count();
    let missing: Vec<&str> = report.missing.iter().map(|missing| missing.provider.as_str()).collect();
    let blocked = troubles.in_use.iter().filter(|choice| choice.next().is_none());
    let blocked: Vec<&str> =
        blocked.map(|choice| choice.provider.as_str()).filter(|provider| !missing.contains(provider)).collect();
    let named = |providers: &[&str], what: &str| match providers.len() {
        0 => None,
        1..=3 => Some(format!("no {what} for {}", providers.join(", "))),
        n => Some(format!("no {what} for {n} providers in use")),
    };
    let missing_words = if auth.view.errors.is_empty() { "credential" } else { "readable credential" };
    let bad: Vec<String> = [
        count(auth.view.errors.len(), "credential store cannot be read", "credential stores cannot be read"),
        named(&missing, missing_words),
        named(&blocked, "working credential"),
        count(with(HealthStatus::Expired), "credential has expired", "credentials have expired"),
        count(with(HealthStatus::Missing), "profile is incomplete", "profiles are incomplete"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let soon: Vec<String> = [
        count(with(HealthStatus::Expiring), "credential expires within a day", "credentials expire within a day"),
        count(troubles.waiting.len(), "profile in cooldown", "profiles in cooldown"),
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
    let text = if all.is_empty() { "every provider in use has a credential".to_owned() } else { all.join(", ") };
    let mut letters = text.chars();
    let text = letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect());
    vec![part(look, sign), part(Look::Strong, text)]
}

/// Each provider in use with the credential that its next request carries.
fn in_use(page: &mut Page, state: &State, auth: &AgentAuth, report: &StatusReport, troubles: &Troubles<'_>) {
    let mut roles: HashMap<ProviderId, Vec<String>> = HashMap::new();
    for (role, model) in report.models.roles(&state.config) {
        roles.entry(model.provider_id()).or_default().push(role);
    }
    let rows: Vec<Vec<Part>> = troubles
        .in_use
        .iter()
        .map(|explanation| {
            let provider = &explanation.provider;
            let names = roles.get(provider).map(Vec::as_slice).unwrap_or_default();
            let names = match names {
                [first, .., last] if names.len() > 4 => format!("{first} to {last}"),
                names => names.join(", "),
            };
            let mut row = vec![part(Look::Strong, provider.as_str()), part(Look::Faint, names)];
            match explanation.next() {
                Some(next) => {
                    let note = reason(state, auth, explanation, next);
                    let look = if note == "used next" { Look::Good } else { Look::Warning };
                    row.extend([
                        part(look, name(next)),
                        plain(&next.shown),
                        part(Look::Faint, place(state, auth, next)),
                    ]);
                    if look == Look::Warning {
                        row.push(part(look, note));
                    }
                }
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
            part(Look::Bad, name(best)),
            plain(&best.shown),
            part(Look::Bad, reason(state, auth, explanation, best)),
        ],
    }
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
        let more = missing.needed_by.len().saturating_sub(4);
        let mut needed: Vec<String> =
            missing.needed_by.iter().take(4).map(|(role, model)| format!("{role} {model}")).collect();
        if more > 0 {
            needed.push(format!("{more} more"));
        }
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
        if let Some(reference) = config_reference(state, &missing.provider) {
            if reference.source == RefSource::Env && reference.has_valid_id() {
                page.line(
                    6,
                    &[
                        plain("    a line "),
                        part(Look::Command, format!("{}=…", reference.id.trim())),
                        plain(format!(" in {env_file}: its key in the config refers to that variable")),
                    ],
                );
            }
        } else if state.config.provider(&missing.provider).is_some() && help.variables.is_empty() {
            let config = state.layout.shorten(state.layout.config_path());
            page.line(6, &[plain(format!("    models.providers.{}.apiKey in {config}", missing.provider))]);
        }
        if help.variables.iter().any(|name| name.contains("KEY")) {
            page.command(&format!("openclaw models auth paste-api-key --provider {}", missing.provider));
        }
        if let Some(login) = &help.login {
            page.command(login);
        }
        page.command("openclaw configure");
        if let Some(other) = other_provider(report) {
            page.command(&format!("openclaw models set {other}"));
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
    let nothing = troubles.stuck(report).next().is_none()
        && troubles.profiles.is_empty()
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
        page.command("openclaw doctor");
    }
    for error in &report.ref_errors {
        page.line(4, &[part(Look::Bad, &error.path), plain(format!("  {}", error.message))]);
    }
    for choice in troubles.stuck(report) {
        let best = best_of_none(state, auth, choice);
        let mut line = vec![part(Look::Bad, choice.provider.as_str())];
        line.extend(best.into_iter().flat_map(|cell| [plain("  "), cell]));
        page.line(4, &line);
        for way in ways_out(state, auth, choice) {
            page.command(&way);
        }
    }
    for (health, words) in &troubles.profiles {
        let look = if health.status == HealthStatus::Expiring { Look::Warning } else { Look::Bad };
        let id = if health.id.as_str().is_empty() { "\"\"" } else { health.id.as_str() };
        page.line(4, &[part(look, id), plain(format!("  {words}"))]);
        page.command(&advice::renew(health));
    }
    waiting(page, state, auth, troubles.waiting);
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

/// Profiles in a window; many of one provider are told together.
fn waiting(page: &mut Page, state: &State, auth: &AgentAuth, entries: &[UnusableProfile]) {
    const TOGETHER: usize = 4;
    let mut by_provider: Vec<(&str, Vec<&UnusableProfile>)> = Vec::new();
    for entry in entries {
        let provider = entry.provider.as_deref().unwrap_or("profiles that are gone");
        match by_provider.iter_mut().find(|(known, _)| *known == provider) {
            Some((_, group)) => group.push(entry),
            None => by_provider.push((provider, vec![entry])),
        }
    }
    for (provider, group) in by_provider {
        if group.len() >= TOGETHER {
            // Soonest first, so the first tells when the next one is free.
            let until = WordyDuration(group[0].window.until_ms - state.now().as_f64());
            let words = format!("  {} profiles in cooldown, the next is free in {until}", group.len());
            page.line(4, &[part(Look::Warning, provider), plain(words)]);
            page.command("openclaw models auth list");
            continue;
        }
        for entry in group {
            let until = WordyDuration(entry.window.until_ms - state.now().as_f64());
            let usage = auth.view.profiles.usage(&entry.id);
            let reason = match entry.window.kind {
                WindowKind::Disabled => entry.reason.as_deref(),
                WindowKind::Cooldown => usage.and_then(|stats| stats.cooldown_reason.as_deref()),
            };
            let reason = because(reason, entry.model.as_deref());
            let words = format!("  {}{reason}, free again in {until}", entry.window.kind.as_str());
            page.line(4, &[part(Look::Warning, entry.id.as_str()), plain(words)]);
            page.command(&advice::clear_cooldown(entry.id.as_str()));
        }
    }
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
        (HealthStatus::Static, _) => String::new(),
        (HealthStatus::Expired, Some(ends)) => format!(" {} ago", WordyDuration(ends - now.as_f64())),
        (HealthStatus::Ok | HealthStatus::Expiring, Some(_)) => format!(" {}", advice::time_left(health, now)),
        _ => " expires unknown".to_owned(),
    }
}
