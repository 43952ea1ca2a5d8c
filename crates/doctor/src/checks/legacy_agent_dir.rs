//! The agent directory of earlier versions, `<state>/agent` (spec 06 sections 10.1 and 10.2). It is handled before the
//! stores are looked at: what it holds is part of them.

use std::path::{Path, PathBuf};

use auth_core::{ProfileId, StoreDocument};
use auth_store::{PathKind, STORE_FILE, open_store};

use crate::check::{Check, View, store_write};
use crate::finding::{Finding, Severity};
use crate::repair::{Change, Refusal, Repair};
use crate::request::RepairKind;

const CODE: &str = "auth.legacy.agent_dir";
/// The largest store that is merged, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Moves what is in the old directory to that of the default agent.
pub(super) struct LegacyAgentDir;

struct Places {
    from: PathBuf,
    to: PathBuf,
    /// Where what has no free place goes.
    aside: PathBuf,
    agent: String,
}

fn places(view: &View<'_>) -> Option<Places> {
    let (scene, host) = (view.scene, view.host);
    let layout = scene.layout();
    let from = layout.state_dir().join("agent");
    host.facts(&from).ok().filter(|facts| facts.kind == PathKind::Directory)?;
    let agent = scene.settings().default_agent().0;
    let agent_dir = layout.state_dir().join("agents").join(agent.as_str());
    let name = |n: usize| {
        let more = if n == 0 { String::new() } else { format!("-{n}") };
        agent_dir.join(format!("agent.legacy-{}{more}", scene.now().as_ms()))
    };
    let aside = (0..100).map(name).find(|path| !host.exists(path))?;
    Some(Places { from, to: agent_dir.join("agent"), aside, agent: agent.to_string() })
}

impl Check for LegacyAgentDir {
    fn codes(&self) -> &'static [&'static str] {
        &[CODE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let found = places(view).map(|places| {
            let (from, to) = (view.scene.shorten(&places.from), view.scene.shorten(&places.to));
            let finding =
                Finding::new(CODE, Severity::Warning, "Legacy state detected", format!("Agent dir: {from} → {to}"));
            finding.at(places.from.display().to_string()).fixable().detail("to", places.to.display().to_string())
        });
        found.into_iter().collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let Some(places) = places(view).filter(|_| !findings.is_empty()) else { return Ok(None) };
        let host = view.host;
        let mut repair = Repair::new(CODE, RepairKind::LegacyState, "Migrate legacy state?");
        if !host.exists(&places.to) {
            repair.changes.push(Change::MakeDir { path: places.to.clone() });
        }
        let mut left = false;
        for from in host.names_in(&places.from) {
            let Some(name) = from.file_name().map(|name| name.to_string_lossy().into_owned()) else { continue };
            let to = places.to.join(&name);
            if name == STORE_FILE {
                view.stores_may_change(CODE)?;
                match store(view, &from, &places.to) {
                    Store::Moves => {}
                    Store::Stays => {
                        left = true;
                        continue;
                    }
                    Store::Merges(change, taken) => {
                        left = true;
                        repair.done.push(format!("- Took over from the old {name}: {}", taken.join(", ")));
                        repair.changes.push(*change);
                        continue;
                    }
                }
            }
            if host.facts(&to).is_ok() {
                left = true;
                continue;
            }
            repair.done.push(format!("- Moved agent file {name} → agents/{}/agent", places.agent));
            repair.changes.push(Change::Rename { from, to });
        }
        if left {
            let line = format!("- Left legacy agent dir at {}", view.scene.shorten(&places.aside));
            repair.done.push(line);
            let mode = host.facts(&places.from).map_or(0o700, |facts| facts.mode);
            repair.changes.push(Change::Rename { from: places.from, to: places.aside.clone() });
            if mode & 0o777 != 0o700 {
                repair.changes.push(Change::Chmod { path: places.aside, before: mode, after: 0o700 });
            }
        } else {
            repair.changes.push(Change::RemoveDir { path: places.from });
        }
        Ok(Some(repair))
    }
}

/// What becomes of the old store.
enum Store {
    /// There is none where it goes.
    Moves,
    /// There is nothing to take over, or one of the two cannot be read.
    Stays,
    /// What the other lacks is taken over: the change, and what that is.
    Merges(Box<Change>, Vec<String>),
}

/// Target wins per profile, per provider of the orders, and per statistics. Legacy files that have not been taken over
/// yet count as the target's: a store beside them would hide them.
fn store(view: &View<'_>, from: &Path, to_dir: &Path) -> Store {
    let old = view.host.read(from, MAX_BYTES).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(old) = old.and_then(|text| StoreDocument::parse(&text).ok()) else { return Store::Stays };
    let Ok(open) = open_store(to_dir, view.scene.layout(), view.host) else { return Store::Stays };
    if open.raw.is_none() && open.legacy.is_none() {
        return Store::Moves;
    }
    let mut document = open.document;
    let known: Vec<String> = document.entries().into_iter().map(|(id, _)| id).collect();
    let taken: Vec<String> = old.entries().into_iter().map(|(id, _)| id).filter(|id| !known.contains(id)).collect();
    document.merge_missing(&old);
    if !document.is_changed() {
        return Store::Stays;
    }
    let touched: Vec<ProfileId> = taken.iter().map(|id| ProfileId::new(id.as_str())).collect();
    let Ok(after) = document.to_text(&touched.iter().collect::<Vec<_>>()) else { return Store::Stays };
    let taken = if taken.is_empty() { vec!["order and statistics".to_owned()] } else { taken };
    let change = store_write(&to_dir.join(STORE_FILE), open.raw.map(String::into_bytes), after);
    Store::Merges(Box::new(change), taken)
}
