//! The options of a pass, checked before anything is looked at.

use std::path::PathBuf;

use auth_core::AuthKey;
use auth_core::config::AgentId;
use auth_core::monitor::{Timing, parse_length};

use super::channel::{self, Channel};
use super::named_agents;
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::MonitorOptions;
use crate::output::remark;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// The options with their defaults.
pub(super) struct Settings {
    /// Only these; all when empty.
    pub(super) agents: Vec<AgentId>,
    /// Only these; all when empty.
    pub(super) providers: Vec<AuthKey>,
    pub(super) warn_ms: i64,
    pub(super) probe: bool,
    pub(super) prometheus: Option<PathBuf>,
    pub(super) channels: Vec<Channel>,
    pub(super) timing: Timing,
    pub(super) full_ids: bool,
    pub(super) strict: bool,
}

impl Settings {
    /// Reads and checks the options.
    pub(super) fn read(session: &Session, options: &MonitorOptions, outer: Option<&str>) -> Result<Self, Failure> {
        Self::with_tokens(session, options, outer, true)
    }

    /// As [`read`](Self::read), but token files need not be there yet.
    pub(super) fn without_tokens(
        session: &Session,
        options: &MonitorOptions,
        outer: Option<&str>,
    ) -> Result<Self, Failure> {
        Self::with_tokens(session, options, outer, false)
    }

    fn with_tokens(
        session: &Session,
        options: &MonitorOptions,
        outer: Option<&str>,
        tokens: bool,
    ) -> Result<Self, Failure> {
        let state = &session.state;
        let warn_ms = match &options.warn {
            Some(text) => length("--warn", text)?,
            None => warn_hours(session).unwrap_or(24 * HOUR),
        };
        let min_interval_ms =
            options.min_interval.as_deref().map_or(Ok(HOUR), |text| length("--min-interval", text))?;
        let remind_ms = options.remind.as_deref().map_or(Ok(24 * HOUR), |text| length("--remind", text))?;
        let every = state.every_agent(&session.host);
        let mut agents = Vec::new();
        for raw in named_agents(options, outer) {
            let id = AgentId::normalise(&raw);
            if !every.contains(&id) {
                return Err(auth_store::UnknownAgent { id: raw, known: every }.into());
            }
            if !agents.contains(&id) {
                agents.push(id);
            }
        }
        let providers = options.provider.iter().map(|id| id.trim()).filter(|id| !id.is_empty());
        Ok(Self {
            agents,
            providers: providers.map(AuthKey::normalise).collect(),
            warn_ms,
            probe: options.probe,
            prometheus: options.prometheus.as_deref().map(|path| file("--prometheus", path, session)).transpose()?,
            channels: channel::read(session, options, tokens)?,
            timing: Timing { min_interval_ms, remind_ms },
            full_ids: options.full_ids,
            strict: options.strict_notify,
        })
    }
}

/// A path that an option gives.
pub(super) fn file(option: &str, path: &str, session: &Session) -> Result<PathBuf, Failure> {
    if path.trim().is_empty() {
        return Err(Failure::with_fix(format!("{option} names no file"), "openclaw models auth monitor --help"));
    }
    Ok(session.state.layout.user_path(path))
}

fn length(option: &str, text: &str) -> Result<i64, Failure> {
    parse_length(text)
        .map_err(|error| Failure::with_fix(format!("{option}: {error}"), format!("the same command with {option} 2h")))
}

/// `--every`: at least a second.
pub(super) fn every_ms(text: Option<&str>) -> Result<i64, Failure> {
    let ms = text.map_or(Ok(30 * MINUTE), |text| length("--every", text))?;
    if ms < 1000 {
        return Err(Failure::with_fix("--every is at least one second", "the same command with --every 30min"));
    }
    Ok(ms)
}

/// `WARN_HOURS`, as scripts of the original knew it; one that is no number is pointed out and not used.
fn warn_hours(session: &Session) -> Option<i64> {
    let text = session.state.environment.non_blank("WARN_HOURS")?;
    let hours = text.trim().parse::<f64>().ok().filter(|hours| hours.is_finite() && (0.0..1e6).contains(hours));
    if hours.is_none() {
        remark("Warning: WARN_HOURS is no number of hours; 24 are used");
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked and bounded")]
    hours.map(|hours| (hours * 3_600_000.0).round() as i64)
}
