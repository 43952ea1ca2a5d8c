//! `models status --probe` (spec 03): asking, and the rows of the report.

mod billing;
mod progress;
mod record;
mod repair;
mod report;
mod secrets;
mod settings;

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use auth_core::config::AgentId;
use auth_core::failure::{ProbeStatus, Reason};
use auth_core::probe::{Endpoint, ProbeOptions, ProbePlan, ProbeRow, Step, probe_references};
use auth_core::secrets::Redactor;
use auth_core::{ProfileId, ResolvedRefs, Secret, Situation};
use auth_oauth::LoginEntry;
use auth_probe::{
    Asked, Clients, Desk, Event, JobSettings, Limits, LiveRow, Outcome, Preparation, Task, job, run, warning,
};
use auth_store::AgentAuth;
use auth_store::secrets::{ExecPolicy, Resolver};

use self::progress::{Progress, Target};
use super::Session;
use super::online::Online;
use crate::args::LogLevel;
use crate::failure::Failure;
use crate::output::remark;
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
    /// Whether a request was made for it.
    asked: bool,
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

impl ProbedRow {
    /// How people know it while it is asked.
    fn target(&self) -> Target {
        let model = self.model().unwrap_or_else(|| self.row.provider.to_string());
        Target { model, credential: format!("{} ({})", self.row.label, self.row.mode) }
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
    let mut online = Online::open(session)?;
    for row in &plan.rows {
        if let Step::Send { endpoint, .. } | Step::Renew { endpoint, .. } = &row.step
            && let Some(ca) = &endpoint.ca
        {
            // One that cannot be read is told in the row that needs it.
            let _ = online.clients.trust(ca);
        }
    }
    let desk = Arc::new(Desk {
        layout: state.layout.clone(),
        config: state.config.clone(),
        environment: state.environment.clone(),
        agent: agent.cloned().unwrap_or_else(AgentId::main),
        dir: auth.dir.clone(),
        endpoints: online.endpoints.clone(),
        clients: online.clients.clone(),
        minimax_base_url: online.minimax_base_url.clone(),
        max_tokens: settings.max_tokens,
        free: settings.free,
        user_agent: USER_AGENT,
        session_id: format!("probe-{started_ms}"),
        now_ms: started_ms,
    });
    let mut rows: Vec<ProbedRow> = Vec::new();
    let mut jobs: Vec<Task> = Vec::new();
    let mut places: Vec<usize> = Vec::new();
    let mut secrets: Vec<Secret> = Vec::new();
    for row in plan.rows {
        let mut probed = ProbedRow { row, live: None, asked: false, warning: None };
        if let Step::Send { credential: Some(credential), .. } = &probed.row.step {
            secrets.push(credential.clone());
        }
        if let Step::Send { endpoint, .. } | Step::Renew { endpoint, .. } = &probed.row.step {
            let keyless = matches!(probed.row.step, Step::Send { credential: None, .. });
            probed.warning = warning(endpoint).filter(|_| !keyless);
        }
        match task(&desk, auth, &probed.row) {
            None => {}
            Some(Ok(task)) => {
                probed.asked = true;
                places.push(rows.len());
                jobs.push(task);
            }
            Some(Err((reason, text))) => probed.live = Some(not_sent(reason, text)),
        }
        if let (Some(repair), Step::Skip(skip)) = (repair::repair(&probed.row), &mut probed.row.step) {
            skip.error.push_str("\n→ ");
            skip.error.push_str(&repair);
        }
        rows.push(probed);
    }
    let sent = jobs.len();
    if named > 0 && sent > 0 {
        tell_cost(sent, named, settings.max_tokens)?;
    }
    let targets = places.iter().map(|at| rows[*at].target()).collect();
    let silent = settings.silent || session.log_level < LogLevel::Info;
    let progress = Progress::new(targets, silent, session.no_color);
    let redactor = secrets::redactor(state, auth, &refs, secrets);
    let outcome = send(&online.clients, jobs, settings, &redactor, progress)?;
    for (at, live) in places.into_iter().zip(outcome.rows) {
        rows[at].live = Some(live);
    }
    // All that was left out first, then what was asked, each in plan order.
    rows.sort_by_key(|probed| probed.asked);
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

/// How a row is asked; `None` when it is not.
fn task(desk: &Arc<Desk>, auth: &AgentAuth, row: &ProbeRow) -> Option<Result<Task, (Reason, String)>> {
    let asked = |endpoint: &Endpoint| Asked {
        provider: row.provider.to_string(),
        model: row.model.clone(),
        endpoint: endpoint.clone(),
        usual_model: row.usual_model,
    };
    let later = |endpoint: &Endpoint, prepare: Preparation| Task::Later { url: endpoint.base_url.clone(), prepare };
    match &row.step {
        Step::Skip(_) => None,
        Step::Renew { endpoint, profile } => {
            let (desk, profile, asked) = (Arc::clone(desk), profile.clone(), asked(endpoint));
            Some(Ok(later(endpoint, Box::new(move |_| desk.renew(&profile, &asked)))))
        }
        // A login of an earlier version holds the exchanged token itself.
        Step::Send { endpoint, credential: Some(github) }
            if row.provider.as_str() == "github-copilot" && row.mode != "oauth" =>
        {
            let (desk, github, asked) = (Arc::clone(desk), github.clone(), asked(endpoint));
            Some(Ok(later(endpoint, Box::new(move |timeout| desk.exchange(&github, &asked, timeout)))))
        }
        Step::Send { endpoint, credential } => {
            let (provider, model) = (row.provider.as_str(), row.model.as_deref());
            let stored = row.profile.as_ref().and_then(|id| auth.view.profiles.get(id));
            let account_id = stored.and_then(LoginEntry::of).and_then(|entry| entry.account_id);
            let settings = JobSettings { account_id: account_id.as_deref(), ..desk.settings() };
            let job = job(provider, model, endpoint, credential.as_ref(), row.usual_model, settings);
            Some(job.map(Task::Ready))
        }
    }
}

fn send(
    clients: &Clients,
    jobs: Vec<Task>,
    settings: &Settings,
    redactor: &Redactor,
    progress: Progress,
) -> Result<Outcome, Failure> {
    if jobs.is_empty() {
        return Ok(Outcome { rows: Vec::new(), cancelled: false });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let limits = Limits { timeout_ms: settings.timeout_ms, concurrency: settings.concurrency };
    let progress = RefCell::new(progress);
    let outcome = runtime.block_on(async {
        let mut tell = |event: Event<'_>| progress.borrow_mut().tell(event);
        tokio::select! {
            outcome = run(jobs, limits, clients, redactor, &mut tell) => outcome,
            never = animate(&progress) => match never {},
        }
    });
    // Before the report, which says the same at rest.
    drop(progress);
    // A name that is still being looked up has a thread of its own, which would hold the report up.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Keeps what moves moving.
async fn animate(progress: &RefCell<Progress>) -> Infallible {
    if !progress.borrow().is_live() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        progress.borrow_mut().draw();
    }
}
