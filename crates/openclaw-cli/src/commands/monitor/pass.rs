//! One pass: look, compare with the last one, tell, remember, write the numbers.

use std::collections::HashSet;

use auth_core::Timestamp;
use auth_core::monitor::{Event, Memory, MemoryError, Pass, assign_labels, metrics};
use auth_store::{
    Host, LockError, LockGuard, MonitorMemoryError, lock_monitor_memory, monitor_memory_path, read_monitor_memory,
    replace, set_bad_memory_aside, write_public,
};

use super::deliver::{Delivery, Sender, Stop};
use super::look::{self, Found};
use super::settings::Settings;
use super::system::host_name;
use crate::commands::Session;
use crate::failure::Failure;

/// How a pass is made.
pub(super) struct How<'a> {
    /// Neither tell nor write.
    pub(super) dry_run: bool,
    pub(super) stop: &'a Stop,
    /// What the pass before could not write down.
    pub(super) carried: Option<Memory>,
}

/// What a pass found and did.
#[expect(clippy::struct_excessive_bools, reason = "each is something else that can have happened")]
pub(super) struct Outcome {
    pub(super) pass: Pass,
    pub(super) at: Timestamp,
    pub(super) memory: Memory,
    /// What was to be told.
    pub(super) events: Vec<Event>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) troubles: Vec<String>,
    pub(super) dry_run: bool,
    /// Something could not be written.
    pub(super) unsaved: bool,
    /// The memory stands nowhere but here.
    pub(super) unremembered: bool,
    pub(super) cancelled: bool,
}

impl Outcome {
    pub(super) fn has_failed_delivery(&self) -> bool {
        self.deliveries.iter().any(|delivery| delivery.error.is_some())
    }
}

/// The memory as it was found, and whether it may be written.
struct Kept<'a> {
    memory: Memory,
    guard: Option<LockGuard<'a>>,
    /// Another pass is running: it tells, not we.
    busy: bool,
    troubles: Vec<String>,
    /// There is something wrong with the file itself.
    broken: bool,
}

/// Makes a pass.
pub(super) fn run(session: &Session, settings: &Settings, how: How<'_>) -> Result<Outcome, Failure> {
    let path = monitor_memory_path(&session.state.layout);
    let mut kept = open(session, &path, how.dry_run);
    if let Some(carried) = how.carried.filter(|_| kept.guard.is_none() || kept.broken) {
        kept.memory = carried;
    }
    let mut memory = kept.memory;
    let mut found = look::look(session, settings, &memory);
    if settings.probe {
        found = look::ask(session, settings, &memory, &found)?;
    }
    // Not when this pass began: it may have waited for another one, which has told meanwhile.
    let now = session.host.now();
    let Found { mut pass, agents, partly, troubles, cancelled } = found;
    assign_labels(&mut pass.items, settings.full_ids);

    let watched: HashSet<String> = agents.iter().map(ToString::to_string).collect();
    let whole: HashSet<&String> =
        watched.iter().filter(|id| !partly.iter().any(|p| p.as_str() == id.as_str())).collect();
    let everything = settings.agents.is_empty();
    memory.observe(&pass.items, now, &|key| {
        // Only what this pass would have seen can be gone.
        let agent = key.split('/').next().unwrap_or_default().to_owned();
        settings.providers.is_empty() && (whole.contains(&agent) || (everything && !watched.contains(&agent)))
    });
    let events = memory.due(&pass, settings.timing, &host_name(), now);

    let mut outcome = Outcome {
        pass,
        at: now,
        memory,
        events,
        deliveries: Vec::new(),
        troubles: kept.troubles.into_iter().chain(troubles).collect(),
        dry_run: how.dry_run,
        unsaved: kept.broken,
        unremembered: true,
        cancelled,
    };
    if how.dry_run || cancelled {
        return Ok(outcome);
    }
    if kept.busy {
        outcome.troubles.push("another pass is under way; this one told nobody".to_owned());
    } else {
        tell(session, settings, how.stop, &mut outcome);
    }
    if let Some(guard) = kept.guard.as_ref().filter(|_| !kept.broken) {
        match replace(guard, &path, outcome.memory.to_text().as_bytes(), &session.host) {
            Ok(()) => outcome.unremembered = false,
            Err(error) => outcome.fail(error.to_string()),
        }
    }
    if let Some(path) = &settings.prometheus {
        let text = metrics(&outcome.pass, &outcome.memory, now);
        if let Err(error) = write_public(path, text.as_bytes(), &session.host) {
            outcome.fail(format!("{error}. Does its directory exist, and may this user write there?"));
        }
    }
    Ok(outcome)
}

impl Outcome {
    fn fail(&mut self, why: String) {
        self.troubles.push(why);
        self.unsaved = true;
    }
}

fn tell(session: &Session, settings: &Settings, stop: &Stop, outcome: &mut Outcome) {
    let mut sender = Sender::new(session, stop);
    for event in &outcome.events {
        let deliveries = sender.send(event, &settings.channels);
        if deliveries.iter().any(|delivery| delivery.error.is_none()) {
            outcome.memory.told(event, session.host.now());
        }
        let failed = deliveries.iter().filter(|delivery| delivery.error.is_some()).count();
        outcome.memory.notify_failures = outcome.memory.notify_failures.saturating_add(failed as u64);
        outcome.deliveries.extend(deliveries);
    }
}

fn open<'a>(session: &'a Session, path: &std::path::Path, dry_run: bool) -> Kept<'a> {
    let mut kept = Kept { memory: Memory::default(), guard: None, busy: false, troubles: Vec::new(), broken: false };
    if !dry_run {
        match lock_monitor_memory(path, &session.host) {
            Ok(Some(guard)) => kept.guard = Some(guard),
            Ok(None) | Err(LockError::Busy { .. }) => kept.busy = true,
            Err(error) => {
                kept.broken = true;
                kept.troubles.push(format!("{error}; what was told cannot be remembered"));
            }
        }
    }
    match read_monitor_memory(path, &session.host) {
        Ok(memory) => kept.memory = memory,
        Err(error @ MonitorMemoryError::Content { error: MemoryError::Corrupt(_), .. }) => {
            let moved = kept.guard.as_ref().map(|guard| set_bad_memory_aside(guard, path, &session.host));
            match moved {
                None => kept.troubles.push(format!("{error}; a new one is started")),
                Some(Ok(bad)) => {
                    let bad = session.state.layout.shorten(&bad);
                    kept.troubles.push(format!("{error}; it is kept as {bad}, and a new one is started"));
                }
                Some(Err(failed)) => {
                    kept.broken = true;
                    kept.troubles.push(format!("{error}; {failed}"));
                }
            }
        }
        Err(error) => {
            kept.broken = true;
            kept.troubles.push(format!("{error}; it is left as it is, and what was told cannot be remembered"));
        }
    }
    kept
}
