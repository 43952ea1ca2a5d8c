//! What the agents see, read again only when a file has changed (budget of the gateway: no parsing on the way of a
//! request).

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth_core::{AgentId, Owner, ProfileId, Timestamp};
use auth_store::{AgentAuth, RealHost, STORE_FILE, State, UnknownAgent};

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    changed_s: i64,
    changed_ns: i64,
}

/// The stamps of some files; none for one that is not there.
pub(crate) fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some(Stamp { inode: meta.ino(), bytes: meta.len(), changed_s: meta.ctime(), changed_ns: meta.ctime_nsec() })
    };
    files.iter().map(stamp).collect()
}

/// A success that is not on the disk yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) profile: ProfileId,
    pub(crate) at: Timestamp,
}

/// The stores of the agents.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    seen: Mutex<HashMap<AgentId, Seen>>,
}

#[derive(Debug)]
struct Seen {
    state: Arc<State>,
    files: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
    auth: Arc<AgentAuth>,
}

impl Stores {
    /// What an agent sees now. `pending` gives the successes that a store does not know yet.
    pub(crate) fn auth(
        &self,
        state: &Arc<State>,
        agent: &AgentId,
        pending: &dyn Fn(&Path) -> Vec<Pending>,
    ) -> Result<Arc<AgentAuth>, UnknownAgent> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.get(agent)
            && Arc::ptr_eq(&known.state, state)
            && known.stamps == stamps(&known.files)
        {
            return Ok(Arc::clone(&known.auth));
        }
        let dir = state.layout.agent_dir(&state.config, agent);
        let main = state.layout.main_store_dir();
        let mut files = vec![dir.join(STORE_FILE), dir.join("auth.json"), state.layout.legacy_oauth_file()];
        if dir != main {
            files.extend([main.join(STORE_FILE), main.join("auth.json")]);
        }
        // Before they are read: what changes meanwhile is read again.
        let stamps = stamps(&files);
        let mut auth = state.agent_auth(Some(agent.as_str()), &RealHost)?;
        for dir in [dir.as_path(), main] {
            for success in pending(dir) {
                lay_over(&mut auth, state, dir, &success);
            }
        }
        let auth = Arc::new(auth);
        let known = Seen { state: Arc::clone(state), files, stamps, auth: Arc::clone(&auth) };
        seen.insert(agent.clone(), known);
        Ok(auth)
    }

    /// A profile of the store in this directory was used: the next order knows it, although the disk does not yet.
    pub(crate) fn used(&self, dir: &Path, success: &Pending) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for known in seen.values_mut() {
            let mut auth = AgentAuth::clone(&known.auth);
            if lay_over(&mut auth, &known.state, dir, success) {
                known.auth = Arc::new(auth);
            }
        }
    }

    /// Reads everything again at its next use.
    pub(crate) fn forget(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Puts a success into a view, if the view has that profile from that store.
fn lay_over(auth: &mut AgentAuth, state: &State, dir: &Path, success: &Pending) -> bool {
    let Some(profile) = auth.view.profiles.get(&success.profile) else { return false };
    let home = match profile.owner {
        Owner::Agent => auth.dir.as_path(),
        Owner::Main => state.layout.main_store_dir(),
    };
    if home != dir {
        return false;
    }
    let before = auth.view.profiles.usage(&success.profile).cloned().unwrap_or_default();
    let at = success.at.as_f64();
    let after = if before.last_failure_ms.is_none_or(|failed| failed <= at) {
        before.after_success(success.at)
    } else {
        // It failed afterwards: that stays, whatever a delayed success says.
        auth_core::UsageStats { last_used_ms: Some(before.last_used_ms.unwrap_or(at).max(at)), ..before }
    };
    let profiles = std::mem::take(&mut auth.view.profiles);
    auth.view.profiles = profiles.with_usage(&success.profile, after);
    true
}
