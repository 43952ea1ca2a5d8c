//! Files and directories with secrets that others can look into (spec 06 section 8.3).

use std::path::{Path, PathBuf};

use auth_store::{Host, PathKind, backup_name};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Change, Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::Scene;

const FILES: &str = "auth.secret.permissions";
const DIRS: &str = "auth.secret.dir_permissions";
const TITLE: &str = "Auth checks";

/// What a path really is: its own mode, or that of what a link leads to.
pub(super) struct Real {
    pub(super) path: PathBuf,
    pub(super) kind: PathKind,
    pub(super) mode: u32,
    pub(super) owner: u32,
}

/// Looks at a path through links; `None` when nothing is there.
pub(super) fn real(path: &Path, host: &dyn Host) -> Option<Real> {
    let facts = host.facts(path).ok()?;
    let (path, facts) = if facts.kind == PathKind::Link {
        let real = host.real_path(path).ok()?;
        let facts = host.facts(&real).ok()?;
        (real, facts)
    } else {
        (path.to_owned(), facts)
    };
    Some(Real { path, kind: facts.kind, mode: facts.mode, owner: facts.owner })
}

/// Whether the mode of something may be changed: it is ours, and a link does not lead out of the home directory.
pub(super) fn may_change(named: &Path, real: &Real, scene: &Scene, host: &dyn Host) -> bool {
    let home = host.real_path(scene.layout().home()).unwrap_or_else(|_| scene.layout().home().to_owned());
    let is_link = host.facts(named).is_ok_and(|facts| facts.kind == PathKind::Link);
    real.owner == host.user_id() && (!is_link || real.path.starts_with(home))
}

/// Whether a path lies in a store of packages, where nobody writes.
pub(super) fn is_packaged(path: &Path) -> bool {
    path.starts_with("/nix/store")
}

/// Files that hold secrets.
pub(super) struct SecretFiles;

fn secret_files(scene: &Scene, host: &dyn Host) -> Vec<PathBuf> {
    let layout = scene.layout();
    let ring = |path: &Path| (0..5).map(|n| backup_name(path, n)).collect::<Vec<_>>();
    let mut paths = vec![layout.state_dir().join(".env"), layout.legacy_oauth_file()];
    paths.extend(ring(layout.config_path()));
    for agent in &scene.agents {
        let store = agent.store_path();
        paths.extend(ring(&store));
        paths.push(store);
        let legacy = host.names_in(&agent.dir).into_iter().filter(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                name == "auth.json" || name.starts_with("auth.json.bak") || name.starts_with("auth.json.imported")
            })
        });
        paths.extend(legacy);
    }
    paths
}

fn secret_dirs(scene: &Scene) -> Vec<PathBuf> {
    let credentials = scene.layout().legacy_oauth_file().parent().map(Path::to_owned);
    let agents = scene.agents.iter().map(|agent| agent.dir.clone());
    agents.chain(credentials).collect()
}

impl Check for SecretFiles {
    fn codes(&self) -> &'static [&'static str] {
        &[FILES]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let (scene, host) = (view.scene, view.host);
        let found = secret_files(scene, host).into_iter().filter_map(|path| {
            let real = real(&path, host).filter(|real| real.kind == PathKind::File && !is_packaged(&real.path))?;
            let (open, foreign) = (real.mode & 0o077 != 0, real.owner != host.user_id());
            let shown = scene.shorten(&path);
            let message = match (open, foreign) {
                (false, false) => return None,
                (_, true) => format!("{shown} belongs to user {}, not to us; run: chown $(id -u) {shown}", real.owner),
                (true, false) => format!("{shown} is open to others (mode {:04o}); run: chmod 600 {shown}", real.mode),
            };
            let finding = Finding::new(FILES, Severity::Error, TITLE, message).at(path.display().to_string());
            let finding = finding.detail("mode", format!("{:04o}", real.mode));
            Some(if open && may_change(&path, &real, scene, host) {
                finding.fixable()
            } else {
                finding.helped_by(format!("chmod 600 {shown}"))
            })
        });
        found.collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        tighten(view, FILES, findings, 0o600)
    }
}

/// Directories that hold such files.
pub(super) struct SecretDirs;

impl Check for SecretDirs {
    fn codes(&self) -> &'static [&'static str] {
        &[DIRS]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let (scene, host) = (view.scene, view.host);
        let found = secret_dirs(scene).into_iter().filter_map(|path| {
            let real = real(&path, host).filter(|real| {
                real.kind == PathKind::Directory && real.mode & 0o077 != 0 && !is_packaged(&real.path)
            })?;
            let shown = scene.shorten(&path);
            let message = format!("{shown} is open to others (mode {:04o}); run: chmod 700 {shown}", real.mode);
            let finding = Finding::new(DIRS, Severity::Warning, TITLE, message).at(path.display().to_string());
            let finding = finding.detail("mode", format!("{:04o}", real.mode));
            Some(if may_change(&path, &real, scene, host) {
                finding.fixable()
            } else {
                finding.helped_by(format!("chmod 700 {shown}"))
            })
        });
        found.collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        tighten(view, DIRS, findings, 0o700)
    }
}

/// Closes what the findings name to others. What is not ours to change, or is reached through a link that leads out of
/// the home directory, is refused.
pub(super) fn tighten(
    view: &View<'_>,
    code: &'static str,
    findings: &[Finding],
    mode: u32,
) -> Result<Option<Repair>, Refusal> {
    if let Some(first) = findings.first().filter(|_| !findings.iter().any(|finding| finding.fixable)) {
        let path = view.scene.shorten(Path::new(first.path.as_deref().unwrap_or_default()));
        let message =
            format!("{path} is not ours to change, or a link leads out of the home directory; change it by hand");
        return Err(Refusal { code, message });
    }
    let paths = findings.iter().filter(|finding| finding.fixable).filter_map(|finding| finding.path.as_deref());
    let changes: Vec<(Change, String)> = paths
        .filter_map(|path| {
            let path = Path::new(path);
            let real = real(path, view.host)?;
            let shown = view.scene.shorten(path);
            // One that its owner may only read stays so.
            let after = if real.mode & 0o700 == 0o400 { 0o400 } else { mode };
            Some((Change::Chmod { path: real.path, before: real.mode, after }, shown))
        })
        .collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = changes.iter().map(|(_, shown)| shown.clone()).collect();
    let question = format!("Close to others: {}?", names.join(", "));
    let done = names.iter().map(|name| format!("- chmod {mode:o} {name}"));
    let repair = Repair::new(code, RepairKind::Runtime, question).telling(done);
    Ok(Some(repair.changing(changes.into_iter().map(|(change, _)| change))))
}
