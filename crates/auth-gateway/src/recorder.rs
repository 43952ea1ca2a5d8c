//! Keeping what happened to a profile (spec 07 sections 5.3 and 5.4).
//!
//! A failure is on the disk before the turn goes on, together with everything that has come in meanwhile. Successes of a
//! gateway are put together and written once a second and at its end: what is lost with a process that is killed is the
//! time of a last use, never a cooldown. Inside the process every order knows them at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth_core::{FailureReason, ProfileId, ProviderId, Secret, Timestamp, UsageStats};
use auth_store::{RealHost, State, StoreWriteError, StoreWriter};

use crate::stores::Pending;

/// How many marks wait at most; a store that cannot be written for long loses its oldest successes.
const MOST_WAITING: usize = 4096;

/// What happened to a profile.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) profile: ProfileId,
    pub(crate) provider: ProviderId,
    /// The key or token that was used, where it stands in the profile itself.
    pub(crate) secret: Option<Secret>,
    pub(crate) at: Timestamp,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Used,
    Failed { reason: FailureReason, model: String },
}

/// When a success is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Before the turn ends.
    #[default]
    AtOnce,
    /// With others, when [`Engine::flush`](crate::Engine::flush) is called.
    Batched,
}

/// Writes marks, those of one store together.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    recording: Recording,
    stores: Mutex<HashMap<PathBuf, Arc<Queue>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    state: Option<Arc<State>>,
    marks: Vec<Mark>,
    /// What is being written.
    leaving: Vec<Mark>,
}

impl Recorder {
    pub(crate) fn new(recording: Recording) -> Self {
        Self { recording, stores: Mutex::default() }
    }

    /// Records a mark. Whoever comes while a write is under way shares the next one.
    pub(crate) async fn record(&self, state: &Arc<State>, dir: &Path, mark: Mark) -> Result<(), String> {
        let queue = {
            let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(stores.entry(dir.to_owned()).or_default())
        };
        let may_wait = self.recording == Recording::Batched && matches!(mark.what, What::Used);
        queue.add(state, mark);
        if may_wait {
            return Ok(());
        }
        flush(queue, dir.to_owned()).await
    }

    /// The successes that the store in this directory does not know yet.
    pub(crate) fn pending(&self, dir: &Path) -> Vec<Pending> {
        let queue = self.stores.lock().unwrap_or_else(PoisonError::into_inner).get(dir).map(Arc::clone);
        let Some(queue) = queue else { return Vec::new() };
        let waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = waiting.leaving.iter().chain(&waiting.marks);
        let used = marks.filter(|mark| matches!(mark.what, What::Used));
        used.map(|mark| Pending { profile: mark.profile.clone(), at: mark.at }).collect()
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&self) -> Result<(), String> {
        let all: Vec<(PathBuf, Arc<Queue>)> = {
            let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
            stores.iter().map(|(dir, queue)| (dir.clone(), Arc::clone(queue))).collect()
        };
        let mut result = Ok(());
        for (dir, queue) in all {
            result = result.and(flush(queue, dir).await);
        }
        result
    }
}

impl Queue {
    fn add(&self, state: &Arc<State>, mark: Mark) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.state = Some(Arc::clone(state));
        if matches!(mark.what, What::Used) {
            // Of several successes in a row the last one tells everything.
            let last = waiting.marks.iter_mut().rev().find(|known| known.profile == mark.profile);
            if let Some(last) = last.filter(|last| matches!(last.what, What::Used)) {
                *last = mark;
                return;
            }
        }
        waiting.marks.push(mark);
    }

    /// Takes back what could not be written.
    fn keep(&self, failed: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut marks = std::mem::take(&mut waiting.leaving);
        if !failed {
            return;
        }
        marks.append(&mut waiting.marks);
        if marks.len() > MOST_WAITING {
            marks.retain(|mark| !matches!(mark.what, What::Used));
            marks.truncate(MOST_WAITING);
        }
        waiting.marks = marks;
    }
}

/// Writes what waits for one store. A turn that ends meanwhile does not stop it.
async fn flush(queue: Arc<Queue>, dir: PathBuf) -> Result<(), String> {
    let work = tokio::spawn(async move {
        let _turn = queue.writing.lock().await;
        let (marks, state) = {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let marks = std::mem::take(&mut waiting.marks);
            waiting.leaving.clone_from(&marks);
            (marks, waiting.state.clone())
        };
        let Some(state) = state.filter(|_| !marks.is_empty()) else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || write(&state, &dir, &marks)).await;
        let result = match written {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the statistics could not be written".to_owned()),
        };
        queue.keep(result.is_err());
        result
    });
    work.await.unwrap_or_else(|_| Err("the statistics could not be written".to_owned()))
}

fn write(state: &State, dir: &Path, marks: &[Mark]) -> Result<(), StoreWriteError> {
    let writer = StoreWriter::new(dir, &state.layout, &state.environment, &RealHost);
    let guard = writer.lock()?;
    let mut open = writer.read()?;
    let mut changed: HashMap<&ProfileId, UsageStats> = HashMap::new();
    for mark in marks {
        let Some(profile) = open.store.get(&mark.profile) else { continue };
        // Whatever happened to a key that has been replaced meanwhile says nothing about the new one.
        let stored = profile.credential.material().and_then(|material| material.inline());
        let replaced = matches!((&mark.secret, stored), (Some(used), Some(stored)) if !used.is_same(stored));
        if replaced || profile.provider.is_cooldown_exempt() && matches!(mark.what, What::Failed { .. }) {
            continue;
        }
        let before = changed.get(&mark.profile).cloned();
        let before = before.or_else(|| open.store.usage(&mark.profile).cloned()).unwrap_or_default();
        let after = match &mark.what {
            What::Used => {
                if profile.provider == mark.provider {
                    open.document.set_last_good(&mark.provider, &mark.profile);
                }
                before.after_success(mark.at)
            }
            What::Failed { reason, model } => {
                let provider = &profile.provider;
                before.after_failure(*reason, Some(model), provider, &state.config.cooldowns, mark.at)
            }
        };
        changed.insert(&mark.profile, after);
    }
    for (id, stats) in changed {
        open.document.set_usage(id, &stats);
    }
    writer.write(Some(&guard), &open, &[])?;
    Ok(())
}
