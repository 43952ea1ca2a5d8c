//! The config and the variables as they are now, replaced as a whole when they change.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use auth_core::AgentId;
use auth_core::session::KnownModels;
use auth_store::{RealHost, State, watched_files};

use super::access::{Access, AccessSettings};
use crate::stores::{Stamp, stamps};

/// Everything that requests look at, of one moment. A request keeps the one that it began with.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: Arc<State>,
    pub(crate) access: Access,
    known: Mutex<HashMap<AgentId, Arc<KnownModels>>>,
}

impl Snapshot {
    /// The models that an agent may use.
    pub(crate) fn known(&self, agent: &AgentId) -> Arc<KnownModels> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let models = known.entry(agent.clone()).or_insert_with(|| Arc::new(KnownModels::of(&self.state.config, agent)));
        Arc::clone(models)
    }
}

/// Where the present snapshot is.
#[derive(Debug)]
pub(crate) struct Live {
    now: RwLock<Arc<Snapshot>>,
    own: AccessSettings,
    profile: Option<String>,
    watched: Mutex<(Vec<PathBuf>, Vec<Option<Stamp>>)>,
}

impl Live {
    pub(crate) fn new(state: Arc<State>, access: Access, own: AccessSettings, profile: Option<String>) -> Self {
        let files = watched_files(&state.layout);
        let stamps = stamps(&files);
        let snapshot = Snapshot { state, access, known: Mutex::default() };
        Self { now: RwLock::new(Arc::new(snapshot)), own, profile, watched: Mutex::new((files, stamps)) }
    }

    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the config or a file of variables is another than the one that was read. Says so once.
    pub(crate) fn has_changed(&self) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&watched.0);
        let changed = now != watched.1;
        watched.1 = now;
        changed
    }

    /// Reads everything again. Blocks.
    ///
    /// # Errors
    ///
    /// Why what is there cannot be used; the previous one stays.
    pub(crate) fn reload(&self) -> Result<Vec<String>, String> {
        let state = State::load(&RealHost, self.profile.as_deref()).map_err(|invalid| invalid.to_string())?;
        let access = Access::resolve(&self.own, &state).map_err(|problem| problem.to_string())?;
        let files = watched_files(&state.layout);
        let warnings = state.warnings.clone();
        {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            if watched.0 != files {
                *watched = (files.clone(), stamps(&files));
            }
        }
        let snapshot = Snapshot { state: Arc::new(state), access, known: Mutex::default() };
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(warnings)
    }
}
