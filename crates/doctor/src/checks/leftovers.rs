//! What writers left behind: locks and temporary files (spec 06 section 8.3).

use std::path::{Path, PathBuf};

use auth_core::Timestamp;
use auth_store::{STORE_FILE, iso_time, left_locks, lock_facts};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::receipt::RECEIPT_FILE;
use crate::repair::{Change, Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::AgentScene;

const LOCK: &str = "auth.lock.stale";
const TMP: &str = "auth.tmp.leftover";
const TITLE: &str = "Auth checks";
/// A temporary file older than this was left behind, in milliseconds.
const OLD_MS: i64 = 600_000;

/// Locks whose holder is gone.
pub(super) struct StaleLocks;

impl Check for StaleLocks {
    fn codes(&self) -> &'static [&'static str] {
        &[LOCK]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let layout = view.scene.layout();
        let files = [layout.config_path().to_owned(), layout.state_dir().join(RECEIPT_FILE)];
        let stores = view.scene.agents.iter().map(|agent| (agent.store_path(), Some(agent)));
        let mut found = Vec::new();
        for (target, agent) in stores.chain(files.into_iter().map(|path| (path, None))) {
            let of = |path: &Path, message: String| {
                let finding =
                    Finding::new(LOCK, Severity::Info, TITLE, message).at(path.display().to_string()).fixable();
                agent.map_or(finding.clone(), |agent| finding.of_agent(&agent.id))
            };
            if let Some(facts) = lock_facts(&target, view.host).filter(|facts| facts.is_stale && !facts.is_alive) {
                let shown = view.scene.shorten(&facts.path);
                let message = format!("{shown} was left behind by process {}, which is gone", facts.pid);
                found.push(of(&facts.path, message).detail("ageMs", facts.age_ms));
            }
            found.extend(
                left_locks(&target, view.host)
                    .iter()
                    .map(|path| of(path, format!("{} is what is left of a lock", view.scene.shorten(path)))),
            );
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        Ok(removal(view, LOCK, findings))
    }
}

/// Temporary files beside stores; they hold secrets.
pub(super) struct Temporary;

/// The temporary files beside a store, with the time of their last change.
fn temporary(agent: &AgentScene, view: &View<'_>) -> Vec<(PathBuf, Timestamp)> {
    let is_tmp = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_prefix(STORE_FILE).is_some_and(|rest| rest.starts_with('.'))
            && path.extension().is_some_and(|end| end == "tmp")
    };
    let paths = view.host.names_in(&agent.dir).into_iter().filter(is_tmp);
    paths.filter_map(|path| Some((view.host.changed_at(&path)?, path))).map(|(at, path)| (path, at)).collect()
}

impl Check for Temporary {
    fn codes(&self) -> &'static [&'static str] {
        &[TMP]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let now = view.scene.now().as_ms();
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            let old = temporary(agent, view).into_iter().filter(|(_, at)| now - at.as_ms() > OLD_MS);
            found.extend(old.map(|(path, at)| {
                let shown = view.scene.shorten(&path);
                let message = format!("{shown} was left behind by a write that did not end ({})", iso_time(at.as_ms()));
                let finding = Finding::new(TMP, Severity::Warning, TITLE, message).of_agent(&agent.id);
                finding.at(path.display().to_string()).fixable()
            }));
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        Ok(removal(view, TMP, findings))
    }
}

fn removal(view: &View<'_>, code: &'static str, findings: &[Finding]) -> Option<Repair> {
    let paths: Vec<PathBuf> = findings
        .iter()
        .filter(|finding| finding.fixable)
        .filter_map(|finding| finding.path.as_deref().map(PathBuf::from))
        .collect();
    if paths.is_empty() {
        return None;
    }
    let names: Vec<String> = paths.iter().map(|path| view.scene.shorten(path)).collect();
    let question = format!("Remove what was left behind: {}?", names.join(", "));
    let done = names.iter().map(|name| format!("- Removed {name}"));
    let repair = Repair::new(code, RepairKind::Runtime, question).telling(done);
    Some(repair.changing(paths.into_iter().map(|path| Change::Remove { path })))
}
