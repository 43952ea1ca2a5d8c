//! `models status --probe` (spec 03): asking, and the rows of the report.

use auth_core::config::AgentId;
use auth_core::failure::{ProbeStatus, Reason};
use auth_core::probe::{ProbeOptions, ProbePlan, ProbeRow, Skip, SkipCode, Step, probe_references};
use auth_core::provider::PROVIDERS;
use auth_core::secrets::Redactor;
use auth_core::{ResolvedRefs, Secret, Situation, WindowKind};
use auth_probe::{Clients, Job, JobSettings, Limits, LiveRow, Outcome, job, run, warning};
use auth_store::AgentAuth;
use auth_store::secrets::{ExecPolicy, Resolver};
use serde::Serialize;
use serde_json::Value;

use super::Session;
use crate::args::Probe;
use crate::failure::Failure;
use crate::output::{Look, Page, part, plain, remark};
use crate::prompt;

/// Names this program to the other side.
const USER_AGENT: &str = concat!("openclaw/", env!("CARGO_PKG_VERSION"));
/// The exit code of a strict probe that found something.
pub(crate) const STRICT_EXIT: u8 = 3;
/// The exit code of a run that the user ended.
pub(crate) const CANCELLED_EXIT: u8 = 130;

/// The options with their defaults.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    provider: Option<String>,
    profiles: Vec<String>,
    timeout_ms: u64,
    concurrency: usize,
    max_tokens: u32,
    free: bool,
    mode_given: bool,
    pub(crate) strict: bool,
}

impl Settings {
    /// Reads the options; checked before anything else, whether a probe was asked for or not.
    pub(crate) fn read(probe: &Probe) -> Result<Self, Failure> {
        let number = |text: &Option<String>, default: u64, most: u64, complaint: &str| match text {
            None => Ok(default),
            Some(text) => match text.trim().parse::<f64>() {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked and bounded")]
                Ok(n) if n.is_finite() && n > 0.0 => Ok((n as u64).clamp(1, most)),
                _ => Err(Failure::new(complaint)),
            },
        };
        let timeout_ms =
            number(&probe.probe_timeout, 8000, 600_000, "--probe-timeout must be a positive number (ms).")?;
        let concurrency = number(&probe.probe_concurrency, 2, 32, "--probe-concurrency must be > 0.")?;
        let max_tokens = number(&probe.probe_max_tokens, 8, 4096, "--probe-max-tokens must be > 0.")?;
        let free = match probe.probe_mode.as_deref().map(str::trim) {
            None | Some("live") => false,
            Some("free") => true,
            Some(_) => return Err(Failure::new("--probe-mode must be \"live\" or \"free\".")),
        };
        let profiles = probe.probe_profile.iter().flat_map(|ids| ids.split(','));
        Ok(Self {
            provider: probe.probe_provider.clone(),
            profiles: profiles.map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            timeout_ms,
            concurrency: usize::try_from(concurrency).unwrap_or(1),
            max_tokens: u32::try_from(max_tokens).unwrap_or(8),
            free,
            mode_given: probe.probe_mode.is_some(),
            strict: probe.probe_strict,
        })
    }
}

/// A probe that was made.
pub(crate) struct Probed {
    settings: Settings,
    started_ms: i64,
    finished_ms: i64,
    sent: usize,
    rows: Vec<ProbedRow>,
    pub(crate) cancelled: bool,
}

/// One row: what was planned, and what came of it.
struct ProbedRow {
    row: ProbeRow,
    live: Option<LiveRow>,
    check: Option<&'static str>,
    warning: Option<&'static str>,
}

/// Asks the providers.
pub(crate) fn probe(
    session: &Session,
    auth: &AgentAuth,
    agent: Option<&AgentId>,
    settings: &Settings,
) -> Result<Probed, Failure> {
    let state = &session.state;
    let situation = state.situation(auth);
    let refs = resolve(session, &situation);
    let situation = Situation { refs: &refs, ..situation };
    let options =
        ProbeOptions { provider: settings.provider.clone(), profiles: settings.profiles.clone(), free: settings.free };
    let plan = ProbePlan::build(&situation, agent, &options);
    let started_ms = now_ms(session);
    let session_id = format!("probe-{started_ms}");
    let how = JobSettings {
        max_tokens: settings.max_tokens,
        free: settings.free,
        user_agent: USER_AGENT,
        session_id: &session_id,
        environment: &state.environment,
    };
    let mut rows: Vec<ProbedRow> = Vec::new();
    let mut jobs: Vec<Job> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    // Every secret that an answer could quote.
    let mut secrets: Vec<Secret> =
        auth.view.profiles.iter().filter_map(|profile| profile.credential.material()?.inline().cloned()).collect();
    for row in plan.rows {
        let mut probed = ProbedRow { row, live: None, check: None, warning: None };
        if let Step::Send { endpoint, credential } = &probed.row.step {
            secrets.extend(credential.clone());
            probed.warning = warning(endpoint).filter(|_| credential.is_some());
            let (provider, model) = (probed.row.provider.as_str(), probed.row.model.as_deref());
            match job(provider, model, endpoint, credential.as_ref(), probed.row.usual_model, how) {
                Ok(job) => {
                    probed.check = job.check;
                    places.push(rows.len());
                    jobs.push(job);
                }
                Err((reason, text)) => probed.live = Some(not_sent(reason, text)),
            }
        }
        rows.push(probed);
    }
    let sent = jobs.len();
    let labels: Vec<String> =
        places.iter().map(|at| format!("{} ({})", rows[*at].row.provider, rows[*at].row.label)).collect();
    let outcome = send(session, jobs, settings, secrets, &labels)?;
    for (at, live) in places.into_iter().zip(outcome.rows) {
        rows[at].live = Some(live);
    }
    // All that was left out first, then what was asked, each in plan order.
    rows.sort_by_key(|probed| probed.live.is_some());
    let finished_ms = now_ms(session);
    Ok(Probed { settings: settings.clone(), started_ms, finished_ms, sent, rows, cancelled: outcome.cancelled })
}

fn now_ms(session: &Session) -> i64 {
    auth_store::Host::now(&session.host).as_ms()
}

/// A row for which no request could be made after all.
fn not_sent(reason: Reason, text: String) -> LiveRow {
    LiveRow { status: reason.status(), reason: Some(reason), error: Some(text), ..LiveRow::cancelled() }
}

/// Resolves what a probe needs; asking for one is consent to run programs.
fn resolve(session: &Session, situation: &Situation<'_>) -> ResolvedRefs {
    let state = &session.state;
    let references = probe_references(situation);
    let resolver =
        Resolver::new(&state.config.secrets, &state.environment, &state.layout, &session.host, ExecPolicy::Allow);
    resolver.resolve(&references)
}

fn send(
    session: &Session,
    jobs: Vec<Job>,
    settings: &Settings,
    secrets: Vec<Secret>,
    labels: &[String],
) -> Result<Outcome, Failure> {
    if jobs.is_empty() {
        return Ok(Outcome { rows: Vec::new(), cancelled: false });
    }
    let roots = match session.state.environment.non_blank("NODE_EXTRA_CA_CERTS") {
        None => None,
        Some(path) => {
            let path = session.state.layout.user_path(path);
            let read = auth_store::Host::read(&session.host, &path, 1 << 20);
            Some(read.map_err(|error| {
                Failure::new(format!(
                    "NODE_EXTRA_CA_CERTS: cannot read {}: {error}",
                    session.state.layout.shorten(&path)
                ))
            })?)
        }
    };
    let clients = Clients::new(roots.as_deref())
        .map_err(|why| Failure::new(format!("no secure connection can be made: {why}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let environment = &session.state.environment;
    let variables = PROVIDERS.iter().flat_map(|info| info.env_vars).filter_map(|name| environment.credential(name));
    let redactor = Redactor::of(variables.map(|(secret, _)| secret).chain(secrets));
    let limits = Limits { timeout_ms: settings.timeout_ms, concurrency: settings.concurrency };
    let watched = prompt::is_interactive();
    let mut done = 0;
    let total = jobs.len();
    let mut tell = |at: usize, row: &LiveRow| {
        done += 1;
        if watched {
            remark(&format!("[{done}/{total}] {}  {}  {} ms", labels[at], row.status.as_str(), row.latency_ms));
        }
    };
    Ok(runtime.block_on(run(jobs, limits, &clients, &redactor, &mut tell)))
}

impl Probed {
    /// Whether a strict probe fails.
    pub(crate) fn is_troubled(&self) -> bool {
        self.rows.iter().any(|probed| match (&probed.live, &probed.row.step) {
            (Some(live), _) => live.status != ProbeStatus::Ok,
            (None, Step::Skip(skip)) => skip.code != SkipCode::ExcludedByOrder,
            (None, Step::Send { .. }) => true,
        })
    }

    /// `auth.probes` of the JSON document (spec 03 section 7.1).
    pub(crate) fn document(&self) -> Value {
        let options = Options {
            provider: self.settings.provider.as_deref(),
            profile_ids: &self.settings.profiles,
            timeout_ms: self.settings.timeout_ms,
            concurrency: self.settings.concurrency,
            max_tokens: self.settings.max_tokens,
            mode: self.settings.mode_given.then_some(if self.settings.free { "free" } else { "live" }),
        };
        let document = Document {
            started_at: self.started_ms,
            finished_at: self.finished_ms,
            duration_ms: self.finished_ms - self.started_ms,
            total_targets: self.sent,
            options,
            results: self.rows.iter().map(ProbedRow::entry).collect(),
        };
        serde_json::to_value(document).unwrap_or_default()
    }

    /// The section of the human report (spec 03 section 7.2).
    pub(crate) fn render(&self, page: &mut Page) {
        page.gap();
        page.heading("Auth probes");
        if self.rows.is_empty() {
            page.line(2, &[plain("- none")]);
            return;
        }
        let mut sorted: Vec<&ProbedRow> = self.rows.iter().collect();
        sorted.sort_by(|a, b| {
            let key = |probed: &ProbedRow| (probed.row.provider.to_string(), probed.row.label.clone());
            key(a).cmp(&key(b))
        });
        let cells: Vec<Vec<_>> = sorted
            .iter()
            .map(|probed| {
                let (status, look) = probed.verdict();
                let latency = match &probed.live {
                    Some(live) if probed.was_sent() => duration(live.latency_ms),
                    _ => "-".to_owned(),
                };
                vec![
                    part(Look::Strong, probed.model().unwrap_or_else(|| format!("{}/-", probed.row.provider))),
                    plain(format!("{} ({})", probed.row.label, probed.row.mode)),
                    part(look, format!("{status} · {latency}")),
                ]
            })
            .collect();
        let columns = page.columns(2, &cells);
        for (probed, row) in sorted.iter().zip(&cells) {
            page.row(&columns, row);
            for line in probed.details() {
                page.line(6, &[plain("    ↳ "), part(Look::Faint, line)]);
            }
        }
        let seconds = u64::try_from(self.finished_ms - self.started_ms).unwrap_or(0);
        let noun = if self.sent == 1 { "target" } else { "targets" };
        page.line(
            2,
            &[plain(if self.sent == 0 {
                "No probe targets.".to_owned()
            } else {
                format!("Probed {} {noun} in {}", self.sent, duration(seconds))
            })],
        );
    }
}

impl ProbedRow {
    fn was_sent(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            !matches!(live.reason, Some(Reason::UnsupportedProbe | Reason::InvalidToken)) || live.http_status.is_some()
        })
    }

    fn model(&self) -> Option<String> {
        self.row.model.as_ref().map(|model| format!("{}/{model}", self.row.provider))
    }

    fn verdict(&self) -> (&'static str, Look) {
        let status = match (&self.live, &self.row.step) {
            (Some(live), _) => live.status,
            (None, Step::Skip(Skip { code: SkipCode::NoModel, .. })) => ProbeStatus::NoModel,
            (None, _) => ProbeStatus::Unknown,
        };
        let look = match status {
            ProbeStatus::Ok => Look::Good,
            ProbeStatus::RateLimit | ProbeStatus::Timeout | ProbeStatus::Billing => Look::Warning,
            ProbeStatus::Auth | ProbeStatus::Format => Look::Bad,
            ProbeStatus::Unknown | ProbeStatus::NoModel => Look::Faint,
        };
        (status.as_str(), look)
    }

    fn error(&self) -> Option<&str> {
        match (&self.live, &self.row.step) {
            (Some(live), _) => live.error.as_deref(),
            (None, Step::Skip(skip)) => Some(&skip.error),
            (None, Step::Send { .. }) => None,
        }
    }

    /// What stands under a row: the error, what to do, and what else is worth knowing.
    fn details(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .error()
            .into_iter()
            .flat_map(str::lines)
            .map(|line| line.trim_start_matches("↳ ").to_owned())
            .collect();
        lines.extend(self.advice());
        lines.extend(self.warning.map(str::to_owned));
        lines
    }

    /// One line of advice, by reason.
    fn advice(&self) -> Option<String> {
        let live = self.live.as_ref()?;
        let provider = &self.row.provider;
        if live.status == ProbeStatus::Ok {
            let window = self.row.window?;
            let id = self.row.profile.as_ref()?;
            let kind = if window.kind == WindowKind::Cooldown { "in cooldown" } else { "disabled" };
            return Some(format!("it works, but is {kind}; to use it now: openclaw models auth clear-cooldown {id}"));
        }
        Some(match live.reason? {
            Reason::Auth | Reason::AuthPermanent => {
                format!("store a new key: openclaw models auth paste-api-key --provider {provider}")
            }
            Reason::RateLimit | Reason::Overloaded => match live.retry_after_ms {
                Some(ms) => format!("the key works; try again in {}", duration(ms)),
                None => "the key works; try again later".to_owned(),
            },
            Reason::Billing => format!("the account of {provider} has no credit; add some at the provider"),
            Reason::ModelNotFound => {
                "openclaw models set chooses another model; --probe-mode free needs none".to_owned()
            }
            Reason::Network => "is the address right, and can this machine reach it?".to_owned(),
            _ => return None,
        })
    }

    fn entry(&self) -> Entry<'_> {
        let live = self.live.as_ref();
        let code = match (&self.live, &self.row.step) {
            (None, Step::Skip(skip)) => skip.code.code(),
            _ => None,
        };
        let sent = live.filter(|_| self.was_sent());
        Entry {
            provider: self.row.provider.as_str(),
            model: self.model(),
            profile_id: self.row.profile.as_ref().map(auth_core::ProfileId::as_str),
            label: &self.row.label,
            source: self.row.source.as_str(),
            mode: self.row.mode,
            status: self.verdict().0,
            reason_code: code,
            error: self.error(),
            latency_ms: sent.map(|live| live.latency_ms),
            reason: live.and_then(|live| live.reason).map(Reason::as_str),
            http_status: live.and_then(|live| live.http_status),
            retry_after_ms: live.and_then(|live| live.retry_after_ms),
            request_id: live.and_then(|live| live.request_id.as_deref()),
            check: self.check,
            warning: self.warning,
            quota: live.map(|live| live.quota.iter().cloned().collect()).unwrap_or_default(),
            unusable_until: self.row.window.map(|window| crate::render::Ms(window.until_ms)),
            unusable_kind: self.row.window.map(|window| window.kind.as_str()),
        }
    }
}

/// A duration as the report prints it: `412ms`, `8s`, `1.2s`.
fn duration(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let tenths = (ms + 50) / 100;
    if tenths.is_multiple_of(10) { format!("{}s", tenths / 10) } else { format!("{}.{}s", tenths / 10, tenths % 10) }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    started_at: i64,
    finished_at: i64,
    duration_ms: i64,
    total_targets: usize,
    options: Options<'a>,
    results: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    profile_ids: &'a [String],
    timeout_ms: u64,
    concurrency: usize,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<&'a str>,
    label: &'a str,
    source: &'static str,
    mode: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    quota: std::collections::BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_until: Option<crate::render::Ms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_kind: Option<&'static str>,
}
