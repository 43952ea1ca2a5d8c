//! The state directory and the config as files (spec 06 section 11).

use std::path::{Path, PathBuf};

use auth_store::PathKind;

use super::permissions::{is_packaged, may_change, real, tighten};
use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Change, Refusal, Repair};
use crate::request::RepairKind;

const MISSING: &str = "state.missing";
const NOT_WRITABLE: &str = "state.not_writable";
const STATE_OPEN: &str = "state.permissions";
const CONFIG_OPEN: &str = "config.permissions";
const CLOUD: &str = "state.cloud_synced";
const SD_CARD: &str = "state.sd_card";
const MULTIPLE: &str = "state.multiple";
const TITLE: &str = "State integrity";

/// The state directory is not there.
pub(super) struct StateMissing;

impl Check for StateMissing {
    fn codes(&self) -> &'static [&'static str] {
        &[MISSING]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let dir = view.scene.layout().state_dir();
        if view.host.exists(dir) {
            return Vec::new();
        }
        let remote =
            if view.scene.is_remote() { " (gateway.mode is remote: run openclaw doctor on that host)" } else { "" };
        let message = format!("CRITICAL: state directory missing: {}{remote}", view.scene.shorten(dir));
        vec![Finding::new(MISSING, Severity::Error, TITLE, message).at(dir.display().to_string()).fixable()]
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        if findings.is_empty() {
            return Ok(None);
        }
        let path = view.scene.layout().state_dir().to_owned();
        let shown = view.scene.shorten(&path);
        let mut repair = Repair::new(MISSING, RepairKind::Runtime, format!("Create {shown}?"));
        repair.default = false;
        let repair = repair.telling([format!("- Created {shown}")]);
        Ok(Some(repair.changing([Change::MakeDir { path }])))
    }
}

/// We may not write into it.
pub(super) struct StateNotWritable;

impl Check for StateNotWritable {
    fn codes(&self) -> &'static [&'static str] {
        &[NOT_WRITABLE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let dir = view.scene.layout().state_dir();
        let Some(real) = real(dir, view.host).filter(|real| real.kind == PathKind::Directory) else {
            return Vec::new();
        };
        let (user, shown) = (view.host.user_id(), view.scene.shorten(dir));
        // The superuser may everywhere.
        if user == 0 || (real.owner == user && real.mode & 0o300 == 0o300) {
            return Vec::new();
        }
        let of =
            |message: String| Finding::new(NOT_WRITABLE, Severity::Error, TITLE, message).at(dir.display().to_string());
        if real.owner == user {
            return vec![of(format!("{shown} is not writable (mode {:04o})", real.mode)).fixable()];
        }
        // Of somebody else: a group or everybody may still be allowed to write; that is then how it is wanted.
        if real.mode & 0o022 != 0 {
            return Vec::new();
        }
        let fix = format!("sudo chown -R $(id -u):$(id -g) {shown}");
        vec![of(format!("{shown} is not writable: it belongs to user {}. Run: {fix}", real.owner)).helped_by(fix)]
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let dir = view.scene.layout().state_dir();
        let Some(real) = real(dir, view.host).filter(|_| findings.iter().any(|finding| finding.fixable)) else {
            return Ok(None);
        };
        let shown = view.scene.shorten(dir);
        let repair = Repair::new(NOT_WRITABLE, RepairKind::Runtime, format!("Make {shown} writable?"));
        let change = Change::Chmod { path: real.path, before: real.mode, after: real.mode | 0o700 };
        Ok(Some(repair.telling([format!("- chmod u+rwx {shown}")]).changing([change])))
    }
}

/// Others can look into it.
pub(super) struct StatePermissions;

impl Check for StatePermissions {
    fn codes(&self) -> &'static [&'static str] {
        &[STATE_OPEN]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let dir = view.scene.layout().state_dir().to_owned();
        let shown = view.scene.shorten(&dir);
        open_to_others(view, &dir, PathKind::Directory)
            .map(|(fixable, mode)| {
                let message = format!("State directory permissions are too open ({mode:04o}). Run: chmod 700 {shown}");
                let finding = Finding::new(STATE_OPEN, Severity::Error, TITLE, message).at(dir.display().to_string());
                if fixable { finding.fixable() } else { finding.helped_by(format!("chmod 700 {shown}")) }
            })
            .into_iter()
            .collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        tighten(view, STATE_OPEN, findings, 0o700)
    }
}

/// Others can read the config.
pub(super) struct ConfigPermissions;

impl Check for ConfigPermissions {
    fn codes(&self) -> &'static [&'static str] {
        &[CONFIG_OPEN]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let file = view.scene.layout().config_path().to_owned();
        let shown = view.scene.shorten(&file);
        open_to_others(view, &file, PathKind::File)
            .map(|(fixable, mode)| {
                let message = format!("Config file is group/world readable ({mode:04o}). Run: chmod 600 {shown}");
                let finding = Finding::new(CONFIG_OPEN, Severity::Error, TITLE, message).at(file.display().to_string());
                if fixable { finding.fixable() } else { finding.helped_by(format!("chmod 600 {shown}")) }
            })
            .into_iter()
            .collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        tighten(view, CONFIG_OPEN, findings, 0o600)
    }
}

/// Whether it is open, whether that may be changed, and its mode.
fn open_to_others(view: &View<'_>, path: &Path, kind: PathKind) -> Option<(bool, u32)> {
    let real = real(path, view.host).filter(|real| real.kind == kind && !is_packaged(&real.path))?;
    (real.mode & 0o077 != 0).then(|| (may_change(path, &real, view.scene, view.host), real.mode))
}

/// It is in a place that does it no good, or there is more than one.
pub(super) struct Elsewhere;

impl Check for Elsewhere {
    fn codes(&self) -> &'static [&'static str] {
        &[CLOUD, SD_CARD, MULTIPLE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let (scene, host) = (view.scene, view.host);
        let dir = scene.layout().state_dir();
        let path = dir.display().to_string();
        let mut found = Vec::new();
        let of = |code, message: String| Finding::new(code, Severity::Info, TITLE, message).at(path.as_str());
        let synced = ["/Library/Mobile Documents/", "/Library/CloudStorage/"];
        let real = host.real_path(dir).unwrap_or_else(|_| dir.to_owned());
        if synced.iter().any(|part| real.display().to_string().contains(part)) {
            found.push(of(
                CLOUD,
                format!("{} is synchronised: slow, and two machines may write it", scene.shorten(dir)),
            ));
        }
        if device_of(&real, view).is_some_and(|device| device.starts_with("/dev/mmcblk")) {
            found.push(of(SD_CARD, format!("{} is on an SD card: slow, and worn by many writes", scene.shorten(dir))));
        }
        let others = other_state_dirs(view);
        if !others.is_empty() {
            let names: Vec<String> = others.iter().map(|dir| scene.shorten(dir)).collect();
            let message = format!(
                "Multiple state directories: {} is used, but there is also {}",
                scene.shorten(dir),
                names.join(", ")
            );
            found.push(of(MULTIPLE, message).detail("others", names));
        }
        found
    }
}

/// The device of the mount that a path is on.
fn device_of(path: &Path, view: &View<'_>) -> Option<String> {
    let mounts = view.host.read_system("/proc/self/mounts")?;
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?))
    });
    let on = fields.filter(|(_, mount)| path.starts_with(mount));
    on.max_by_key(|(_, mount)| mount.len()).map(|(device, _)| device.to_owned())
}

/// State directories of other homes, and the usual one when another is used.
fn other_state_dirs(view: &View<'_>) -> Vec<PathBuf> {
    let (layout, host) = (view.scene.layout(), view.host);
    let real = |path: &Path| host.real_path(path).ok();
    let used = real(layout.state_dir());
    let homes = ["/home", "/Users"].into_iter().flat_map(|homes| host.names_in(Path::new(homes)));
    let dirs = homes.map(|home| home.join(".openclaw")).chain([layout.home().join(".openclaw")]);
    let mut found: Vec<PathBuf> = dirs.filter(|dir| host.exists(dir) && real(dir) != used).collect();
    found.sort();
    found.dedup();
    found
}
