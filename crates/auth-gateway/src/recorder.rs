//! Keeping what happened to a profile: one locked write for everything that has come in meanwhile (spec 07 sections 5.3
//! and 5.4).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth_core::{FailureReason, ProfileId, ProviderId, Secret, Timestamp, UsageStats};
use auth_store::{RealHost, State, StoreWriteError, StoreWriter};

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

/// Writes marks, those of one store together.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    stores: Mutex<HashMap<PathBuf, Arc<Queue>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Vec<Mark>>,
    writing: tokio::sync::Mutex<()>,
}

impl Recorder {
    /// Records a mark and returns when it is on the disk. Whoever comes while a write is under way shares the next one.
    pub(crate) async fn record(&self, state: &Arc<State>, dir: &Path, mark: Mark) -> Result<(), String> {
        let queue = {
            let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(stores.entry(dir.to_owned()).or_default())
        };
        queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
        let _turn = queue.writing.lock().await;
        let marks = std::mem::take(&mut *queue.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if marks.is_empty() {
            return Ok(());
        }
        let (state, dir) = (Arc::clone(state), dir.to_owned());
        let written = tokio::task::spawn_blocking(move || write(&state, &dir, &marks)).await;
        match written {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the statistics could not be written".to_owned()),
        }
    }
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
