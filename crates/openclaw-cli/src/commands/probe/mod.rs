//! `models status --probe` (spec 03): asking, and the rows of the report.

mod record;
mod report;
mod secrets;
mod settings;

use auth_core::config::AgentId;
use auth_core::failure::{ProbeStatus, Reason};
use auth_core::probe::{ProbeOptions, ProbePlan, ProbeRow, Step, probe_references};
use auth_core::secrets::Redactor;
use auth_core::{ProfileId, ResolvedRefs, Secret, Situation};
use auth_probe::{Clients, Job, JobSettings, Limits, LiveRow, Outcome, job, run, warning};
use auth_store::AgentAuth;
use auth_store::secrets::{ExecPolicy, Resolver};

use super::Session;
use crate::failure::Failure;
use crate::output::remark;
use crate::prompt;
pub(crate) use settings::Settings;

/// Names this program to the other side.
const USER_AGENT: &str = concat!("openclaw/", env!("CARGO_PKG_VERSION"));
/// The exit code of a strict probe that found something.
pub(crate) const STRICT_EXIT: u8 = 3;
/// The most requests when models are named: a slip must not cost a fortune.
const NAMED_REQUESTS_MAX: usize = 100;
/// The exit code of a run that the user ended.
pub(crate) const CANCELLED_EXIT: u8 = 130;

/// A probe that was made.
pub(crate) struct Probed {
    settings: Settings,
    started_ms: i64,
    finished_ms: i64,
    sent: usize,
    rows: Vec<ProbedRow>,
    /// The profiles whose outcome was recorded.
    recorded: Vec<ProfileId>,
    /// Why the outcome could not be recorded.
    pub(crate) record_failure: Option<Failure>,
    pub(crate) cancelled: bool,
}

/// One row: what was planned, and what came of it.
struct ProbedRow {
    row: ProbeRow,
    live: Option<LiveRow>,
    check: Option<&'static str>,
    warning: Option<&'static str>,
}

impl Probed {
    /// What came of each profile that was asked: whether it works, else the class of the failure.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = (&ProfileId, Option<&'static str>)> {
        self.rows.iter().filter_map(|probed| {
            let live = probed.live.as_ref()?;
            let failure = (live.status != ProbeStatus::Ok).then(|| live.reason.map_or("unknown", Reason::as_str));
            Some((probed.row.profile.as_ref()?, failure))
        })
    }
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
    let mut models = settings.models(state, agent)?;
    let mut seen = std::collections::HashSet::new();
    models.retain(|model| seen.insert(model.to_string()));
    let named = models.len();
    let options = ProbeOptions {
        provider: settings.provider.clone(),
        profiles: settings.profiles.clone(),
        free: settings.free,
        models,
    };
    let plan = ProbePlan::build(&situation, agent, &options);
    let started_ms = now_ms(session);
    let session_id = format!("probe-{started_ms}");
    let how = JobSettings {
        max_tokens: settings.max_tokens,
        free: settings.free,
        user_agent: USER_AGENT,
        session_id: &session_id,
        environment: &state.environment,
        now_ms: started_ms,
    };
    let mut rows: Vec<ProbedRow> = Vec::new();
    let mut jobs: Vec<Job> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    let mut secrets: Vec<Secret> = Vec::new();
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
    if named > 0 && sent > 0 {
        tell_cost(sent, named, settings.max_tokens)?;
    }
    let labels: Vec<String> =
        places.iter().map(|at| format!("{} ({})", rows[*at].row.provider, rows[*at].row.label)).collect();
    let redactor = secrets::redactor(state, auth, &refs, secrets);
    let outcome = send(session, jobs, settings, &redactor, &labels)?;
    for (at, live) in places.into_iter().zip(outcome.rows) {
        rows[at].live = Some(live);
    }
    // All that was left out first, then what was asked, each in plan order.
    rows.sort_by_key(|probed| probed.live.is_some());
    let finished_ms = now_ms(session);
    let mut probed = Probed {
        settings: settings.clone(),
        started_ms,
        finished_ms,
        sent,
        rows,
        recorded: Vec::new(),
        record_failure: None,
        cancelled: outcome.cancelled,
    };
    if settings.record {
        match record::record(session, auth, &probed.rows) {
            Ok(recorded) => probed.recorded = recorded,
            Err(failure) => probed.record_failure = Some(failure),
        }
    }
    Ok(probed)
}

/// Says what naming models will cost before anything is sent, and stops at a number that nobody means.
fn tell_cost(requests: usize, models: usize, max_tokens: u32) -> Result<(), Failure> {
    if requests > NAMED_REQUESTS_MAX {
        return Err(Failure::with_fix(
            format!(
                "{requests} requests are more than the {NAMED_REQUESTS_MAX} that one probe of named models may send."
            ),
            "the same command with --probe-provider or --probe-profile",
        ));
    }
    let plural = |n: usize| if n == 1 { "" } else { "s" };
    let tokens = u64::from(max_tokens) * requests as u64;
    remark(&format!(
        "{requests} request{} to {models} model{}: a few dozen tokens each to ask, at most {tokens} in all to answer",
        plural(requests),
        plural(models)
    ));
    Ok(())
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

/// Further certificates to trust, from `NODE_EXTRA_CA_CERTS`.
pub(crate) fn extra_roots(session: &Session) -> Result<Option<Vec<u8>>, Failure> {
    let Some(path) = session.state.environment.non_blank("NODE_EXTRA_CA_CERTS") else { return Ok(None) };
    let path = session.state.layout.user_path(path);
    let read = auth_store::Host::read(&session.host, &path, 1 << 20);
    read.map(Some).map_err(|error| {
        let shown = session.state.layout.shorten(&path);
        Failure::new(format!("NODE_EXTRA_CA_CERTS: cannot read {shown}: {error}"))
    })
}

fn send(
    session: &Session,
    jobs: Vec<Job>,
    settings: &Settings,
    redactor: &Redactor,
    labels: &[String],
) -> Result<Outcome, Failure> {
    if jobs.is_empty() {
        return Ok(Outcome { rows: Vec::new(), cancelled: false });
    }
    let roots = extra_roots(session)?;
    let clients = Clients::new(roots.as_deref())
        .map_err(|why| Failure::new(format!("no secure connection can be made: {why}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let limits = Limits { timeout_ms: settings.timeout_ms, concurrency: settings.concurrency };
    let watched = prompt::is_interactive();
    let mut done = 0;
    let total = jobs.len();
    let mut tell = |at: usize, row: &LiveRow| {
        done += 1;
        if watched {
            let latency = row.latency_ms.unwrap_or_default();
            remark(&format!("[{done}/{total}] {}  {}  {latency} ms", labels[at], row.status.as_str()));
        }
    };
    let outcome = runtime.block_on(run(jobs, limits, &clients, redactor, &mut tell));
    // A name that is still being looked up has a thread of its own, which would hold the report up.
    runtime.shutdown_background();
    Ok(outcome)
}
