//! The state directory of earlier versions, `~/.clawdbot` (spec 06 section 4).

use std::path::{Path, PathBuf};

use auth_store::{Host, PathKind, lock_facts};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Change, FileKind, Refusal, Repair, Write};
use crate::request::RepairKind;

const DIR: &str = "state.legacy_dir";
const CONFLICT: &str = "state.legacy_dir_conflict";
const BUSY: &str = "state.legacy_dir_busy";
const WARNINGS: &str = "Doctor warnings";
/// The most files that are looked at to tell whether everything has moved.
const MAX_FILES: usize = 10_000;
/// The largest config that is copied, in bytes.
const MAX_CONFIG_BYTES: u64 = 32 * 1024 * 1024;

/// Moves the old directory to its new name, and copies the config to its new name.
pub(super) struct LegacyDir;

/// What is to be done.
enum Plan {
    Move { from: PathBuf, to: PathBuf },
    Copy { from: PathBuf, to: PathBuf },
}

impl Check for LegacyDir {
    fn codes(&self) -> &'static [&'static str] {
        &[DIR, CONFLICT, BUSY]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        look(view).1
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let Some(plan) = look(view).0.filter(|_| findings.iter().any(|finding| finding.fixable)) else {
            return Ok(None);
        };
        let scene = view.scene;
        Ok(Some(match plan {
            Plan::Move { from, to } => {
                let line =
                    format!("State dir: {} → {} (the old name leads there)", scene.shorten(&from), scene.shorten(&to));
                let mut repair = Repair::new(DIR, RepairKind::Unasked, "").telling([line]).changing([
                    Change::Rename { from: from.clone(), to: to.clone() },
                    Change::Link { path: from, target: to },
                ]);
                repair.all_or_nothing = true;
                repair
            }
            Plan::Copy { from, to } => {
                let bytes = view.host.read(&from, MAX_CONFIG_BYTES).map_err(|error| Refusal {
                    code: DIR,
                    message: format!("{}: {}", scene.shorten(&from), crate::apply::words(&error)),
                })?;
                let line = format!("Config: copied {} to {}", scene.shorten(&from), scene.shorten(&to));
                let write =
                    Write { guarded_by: to.clone(), path: to, kind: FileKind::Config, before: None, after: bytes };
                Repair::new(DIR, RepairKind::Unasked, "").telling([line]).changing([Change::Write(write)])
            }
        }))
    }
}

fn look(view: &View<'_>) -> (Option<Plan>, Vec<Finding>) {
    let (scene, host) = (view.scene, view.host);
    let env = &scene.state.environment;
    if env.non_blank("OPENCLAW_STATE_DIR").is_some() {
        return (None, Vec::new());
    }
    let home = scene.layout().home();
    let (legacy, target) = (home.join(".clawdbot"), home.join(".openclaw"));
    let (mut plan, mut found) = (None, Vec::new());
    match whereabouts(&legacy, &target, host) {
        Whereabouts::Nothing => {}
        Whereabouts::Conflict(why) => {
            let finding = Finding::new(CONFLICT, Severity::Warning, WARNINGS, why).at(legacy.display().to_string());
            found.push(finding.helped_by(format!(
                "merge {} into {} by hand",
                scene.shorten(&legacy),
                scene.shorten(&target)
            )));
        }
        Whereabouts::Movable => match busy(&legacy, host) {
            Some((lock, pid)) => {
                let message = format!(
                    "State dir migration skipped: {} is in use by process {pid} ({})",
                    scene.shorten(&legacy),
                    scene.shorten(&lock)
                );
                let finding = Finding::new(BUSY, Severity::Warning, WARNINGS, message).at(legacy.display().to_string());
                found.push(finding.helped_by("stop the gateway, then run openclaw doctor again"));
            }
            None => {
                let message = format!("{} moves to {}", scene.shorten(&legacy), scene.shorten(&target));
                let finding = Finding::new(DIR, Severity::Warning, WARNINGS, message).at(legacy.display().to_string());
                found.push(finding.fixable());
                plan = Some(Plan::Move { from: legacy.clone(), to: target.clone() });
            }
        },
    }
    let (old, new) = (legacy.join("clawdbot.json"), target.join("openclaw.json"));
    let config_is_elsewhere = env.non_blank("OPENCLAW_CONFIG_PATH").is_some();
    if plan.is_none() && !config_is_elsewhere && !host.exists(&new) && host.exists(&old) {
        let message = format!("{} is copied to {}", scene.shorten(&old), scene.shorten(&new));
        let finding = Finding::new(DIR, Severity::Warning, WARNINGS, message).at(old.display().to_string());
        found.push(finding.fixable());
        plan = Some(Plan::Copy { from: old, to: new });
    }
    (plan, found)
}

enum Whereabouts {
    Nothing,
    Movable,
    Conflict(String),
}

fn whereabouts(legacy: &Path, target: &Path, host: &dyn Host) -> Whereabouts {
    let Ok(facts) = host.facts(legacy) else { return Whereabouts::Nothing };
    let shown = legacy.display();
    match facts.kind {
        PathKind::Link => match (host.real_path(legacy), host.real_path(target)) {
            (Ok(to), Ok(target)) if to == target => Whereabouts::Nothing,
            (Ok(to), _) => {
                Whereabouts::Conflict(format!("State dir migration skipped: {shown} is a link to {}", to.display()))
            }
            (Err(_), _) => {
                Whereabouts::Conflict(format!("State dir migration skipped: {shown} is a link that leads nowhere"))
            }
        },
        PathKind::Directory if host.facts(target).is_err() => Whereabouts::Movable,
        PathKind::Directory => {
            let mut seen = 0;
            if host.real_path(target).is_ok_and(|target| all_lead_there(legacy, &target, host, &mut seen)) {
                return Whereabouts::Nothing;
            }
            Whereabouts::Conflict(format!(
                "State dir migration skipped: target already exists ({}); {shown} is left as it is",
                target.display()
            ))
        }
        PathKind::File | PathKind::Special => {
            Whereabouts::Conflict(format!("Legacy state path is not a directory ({shown})"))
        }
    }
}

/// Whether every leaf of a directory is a link into the target.
fn all_lead_there(dir: &Path, target: &Path, host: &dyn Host, seen: &mut usize) -> bool {
    host.names_in(dir).iter().all(|path| {
        *seen += 1;
        *seen < MAX_FILES
            && match host.facts(path).map(|facts| facts.kind) {
                Ok(PathKind::Link) => host.real_path(path).is_ok_and(|real| real.starts_with(target)),
                Ok(PathKind::Directory) => all_lead_there(path, target, host, seen),
                _ => false,
            }
    })
}

/// A lock below the directory whose holder lives.
fn busy(legacy: &Path, host: &dyn Host) -> Option<(PathBuf, u32)> {
    let agents = host.names_in(&legacy.join("agents")).into_iter().map(|dir| dir.join("agent"));
    let dirs = std::iter::once(legacy.to_owned()).chain(agents);
    let locks =
        dirs.flat_map(|dir| host.names_in(&dir)).filter(|path| path.extension().is_some_and(|end| end == "lock"));
    locks.into_iter().find_map(|lock| {
        let facts = lock_facts(&lock.with_extension(""), host)?;
        (facts.is_alive && !facts.is_stale).then_some((lock, facts.pid))
    })
}
