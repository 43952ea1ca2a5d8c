//! `models status` (spec 02).

use auth_core::StatusReport;
use auth_store::AgentAuth;

use super::Session;
use super::probe::{self, CANCELLED_EXIT, Probed, STRICT_EXIT, Settings};
use crate::args::Probe;
use crate::failure::Failure;
use crate::output::{Page, print_json, print_text};
use crate::render::{status_human, status_json};

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Human,
    Json,
    Plain,
}

impl Form {
    pub(crate) fn of(json: bool, plain: bool) -> Result<Self, Failure> {
        match (json, plain) {
            (true, true) => Err(Failure::new("Choose either --json or --plain, not both.")),
            (true, false) => Ok(Self::Json),
            (false, true) => Ok(Self::Plain),
            (false, false) => Ok(Self::Human),
        }
    }
}

/// Checks the probe options, whether a probe was asked for or not (spec 02 section 1).
pub(crate) fn check_probe(probe: &Probe, form: Form) -> Result<Option<Settings>, Failure> {
    if probe.probe && form == Form::Plain {
        return Err(Failure::new("--probe cannot be used with --plain output."));
    }
    let settings = Settings::read(probe, form == Form::Json)?;
    Ok(probe.probe.then_some(settings))
}

pub(crate) fn run(
    session: &Session,
    form: Form,
    check: bool,
    agent: Option<&str>,
    probing: Option<&Settings>,
) -> Result<u8, Failure> {
    let state = &session.state;
    let auth = state.status_auth(agent, &session.host)?;
    let report = StatusReport::build(&state.situation(&auth), auth.agent.as_ref());
    remarks(session, &auth, &report);
    if auth.agent.is_none() {
        note_other_directory(session, &auth)?;
    }
    let asked = agent.is_some();
    let mut probed = probing.map(|settings| probe::probe(session, &auth, auth.agent.as_ref(), settings)).transpose()?;
    match form {
        Form::Plain => print_text(&format!("{}\n", report.models.resolved_default))?,
        Form::Json => {
            let rows = probed.as_ref().map(Probed::document);
            print_json(&status_json::document(state, &auth, &report, asked, rows))?;
        }
        Form::Human => {
            let mut page = Page::for_stdout(session.no_color);
            status_human::render(&mut page, state, &auth, &report, asked);
            if let Some(probed) = &probed {
                probed.render(&mut page);
            }
            page.print()?;
        }
    }
    if let Some(failure) = probed.as_mut().and_then(|probed| probed.record_failure.take()) {
        return Err(failure);
    }
    let verdict = report.check(!auth.view.errors.is_empty());
    let code = if check { verdict.exit_code() } else { 0 };
    let strict = probing.is_some_and(|settings| settings.strict) && probed.as_ref().is_some_and(Probed::is_troubled);
    Ok(match (probed, code) {
        (Some(probed), _) if probed.cancelled => CANCELLED_EXIT,
        // What has failed already weighs more than a probe, a probe more than what is about to end.
        (_, 1) => 1,
        _ if strict => STRICT_EXIT,
        _ => code,
    })
}

/// Says on standard error what the report left out.
fn remarks(session: &Session, auth: &AgentAuth, report: &StatusReport) {
    store_remarks(session, auth);
    if let Some(warning) = &report.models.warning {
        session.warn(warning);
    }
    for error in &report.ref_errors {
        session.warn(&format!("Warning: {}: {}", error.path, error.message));
    }
}

/// Says what could not be read from the stores of an agent.
pub(crate) fn store_remarks(session: &Session, auth: &AgentAuth) {
    let layout = &session.state.layout;
    for error in &auth.view.errors {
        session.warn(&format!(
            "Warning: {} {}; it is left as it is. Run: openclaw doctor",
            layout.shorten(&error.path),
            error.message
        ));
    }
    let rejected = auth.view.rejected();
    if !rejected.is_empty() {
        let named: Vec<String> = rejected
            .iter()
            .take(10)
            .map(|entry| {
                let line = entry.line.map_or_else(String::new, |line| format!(", line {line}"));
                let hint = entry
                    .misspelt
                    .as_ref()
                    .map_or_else(String::new, |(written, meant)| format!(", \"{written}\" should be \"{meant}\""));
                let kinds = match entry.reason {
                    auth_core::RejectReason::InvalidType => "; the type is api_key, token or oauth",
                    _ => "",
                };
                format!("{} ({}{line}{hint}{kinds})", entry.id, entry.reason.code())
            })
            .collect();
        let more = if rejected.len() > 10 { format!(" and {} more", rejected.len() - 10) } else { String::new() };
        session.warn(&format!(
            "Warning: ignored invalid auth profile entries during store load: {}{more} ({})",
            named.join(", "),
            layout.shorten(&auth.store_path())
        ));
    }
    for file in &auth.view.legacy_files {
        session.debug(|| format!("[debug] legacy file in use: {}", layout.shorten(file)));
    }
}

/// A variable makes this report look elsewhere than `models auth` does.
fn note_other_directory(session: &Session, auth: &AgentAuth) -> Result<(), Failure> {
    let layout = &session.state.layout;
    let default = session.state.agent(None)?;
    let dir = layout.agent_dir(&session.state.config, &default);
    if dir != auth.dir {
        session.warn(&format!(
            "Note: OPENCLAW_AGENT_DIR or PI_CODING_AGENT_DIR makes this report show {}; openclaw models auth uses {} (agent {default}).",
            layout.shorten(&auth.dir),
            layout.shorten(&dir)
        ));
    }
    Ok(())
}
