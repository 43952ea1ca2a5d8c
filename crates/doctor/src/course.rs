//! A run on its way: one check after the other, each with the repairs that were decided on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use auth_store::{ConfigWriter, Host, Overlay};

use crate::apply::{Rings, apply};
use crate::check::{Check, View};
use crate::diff::changed_lines;
use crate::finding::{Finding, Severity, Subject};
use crate::receipt::{Item, MAX_FILE_BYTES, RECEIPT_FILE, Receipt, octal};
use crate::repair::{Change, FileKind, Refusal, Repair, Write};
use crate::report::{Made, Planned, Report, RunError};
use crate::request::{Decision, RepairKind};
use crate::run::{Cancelled, Desk, Doctor};
use crate::scene::Scene;

/// How often one check is asked for another repair.
const ROUNDS: usize = 64;
/// How often everything is looked at again after repairs.
const PASSES: usize = 4;

/// A run on its way.
pub(crate) struct Course<'a, 'd> {
    pub(crate) doctor: &'a Doctor<'a>,
    pub(crate) desk: &'d mut dyn Desk,
    pub(crate) scene: Scene,
    /// In a dry run: the files as they would be.
    pub(crate) laid: Vec<(PathBuf, Option<Vec<u8>>)>,
    /// In a dry run: the files as they are, with their kind.
    pub(crate) originals: Vec<Write>,
    pub(crate) rings: Rings,
    pub(crate) receipt: Option<Receipt>,
    /// Repairs that failed, as findings.
    pub(crate) failed: Vec<Finding>,
    /// What the person has seen already.
    pub(crate) shown: HashSet<Subject>,
    /// The failures that the person knows of.
    pub(crate) told: Vec<RunError>,
    /// How many changes there were before this pass.
    pub(crate) changed_before: usize,
    pub(crate) report: Report,
}

impl Course<'_, '_> {
    /// Looks again until nothing changes any more: a repair may bring to light what another check mends, or take away
    /// what stood in the way of one. Nobody is asked twice.
    pub(crate) fn until_settled(&mut self, checks: &[Box<dyn Check>]) {
        for _ in 0..PASSES {
            let (before, unasked) = (self.report.changes.len(), self.doctor.request.decide(RepairKind::Normal));
            if before == self.changed_before || unasked != Decision::Make || self.doctor.request.dry_run {
                return;
            }
            self.changed_before = before;
            for check in checks.iter().filter(|check| check.is_repeatable(self.doctor.request)) {
                self.report.errors.retain(|error| !check.codes().contains(&error.code));
                let _ = self.perform(&**check);
            }
        }
    }

    pub(crate) fn perform(&mut self, check: &dyn Check) -> Result<(), Cancelled> {
        let mut findings = self.detect(check);
        let mut next = self.with_view(|view| check.plan(view, &findings));
        if let Err(refusal) = &next {
            let refusal = refusal.clone();
            next = Ok(None);
            self.refuse(refusal, &mut findings);
        }
        self.show(&findings);
        for round in 0..ROUNDS {
            if round > 0 {
                let open: Vec<Finding> = findings.iter().filter(|finding| !finding.fixed).cloned().collect();
                next = self.with_view(|view| check.plan(view, &open));
            }
            let repair = match std::mem::replace(&mut next, Ok(None)) {
                Ok(Some(repair)) if !repair.changes.is_empty() => repair,
                Ok(_) => break,
                Err(refusal) => {
                    self.refuse(refusal, &mut findings);
                    break;
                }
            };
            let make = match self.doctor.request.decide(repair.kind) {
                Decision::Make => true,
                Decision::Leave => break,
                Decision::Ask => {
                    // What was looked at while somebody thought may be another by now; the bytes are compared then.
                    let answer = self.desk.ask(&repair.question, repair.default);
                    if answer.is_err() {
                        self.report.findings.append(&mut findings);
                    }
                    answer?
                }
            };
            if !make {
                repair.declined.iter().for_each(|note| self.desk.note(note));
                break;
            }
            if self.doctor.request.dry_run {
                self.pretend(&repair);
                break;
            }
            let fixed = |findings: &[Finding]| findings.iter().filter(|finding| finding.fixed).count();
            let (before, fixed_before) = (findings.len(), fixed(&findings));
            let whole = self.make(check, &repair, &mut findings);
            self.show(&findings[before..]);
            // One that mends nothing is not made again.
            if !whole || fixed(&findings) == fixed_before {
                break;
            }
        }
        // What an earlier look found and this one does not is gone.
        self.report.findings.retain(|finding| finding.fixed || !check.codes().contains(&finding.code));
        self.report.findings.append(&mut findings);
        self.report.findings.append(&mut self.failed);
        Ok(())
    }

    /// Shows what was not shown before.
    fn show(&mut self, findings: &[Finding]) {
        let shown = &mut self.shown;
        let new: Vec<Finding> = findings.iter().filter(|finding| shown.insert(finding.subject())).cloned().collect();
        self.desk.found(&new);
    }

    fn detect(&self, check: &dyn Check) -> Vec<Finding> {
        let found = self.with_view(|view| check.detect(view));
        let wanted = |finding: &Finding| self.doctor.request.wants(finding.code);
        let mut found: Vec<Finding> = found.into_iter().filter(wanted).collect();
        let key = |finding: &Finding| (finding.agent.clone(), finding.provider.clone(), finding.profile.clone());
        found.sort_by_key(key);
        found
    }

    /// A finding that a repair would mend, if only it could be worked out, is not called fixable. Only a repair that
    /// was asked for can be refused.
    fn refuse(&mut self, refusal: Refusal, findings: &mut [Finding]) {
        for finding in findings.iter_mut().filter(|finding| !finding.fixed) {
            finding.fixable = false;
        }
        if self.doctor.request.repair && !self.doctor.request.dry_run {
            self.fail(RunError { code: refusal.code, message: refusal.message });
        }
    }

    fn with_view<T>(&self, act: impl FnOnce(&View<'_>) -> T) -> T {
        let laid = self.laid_files();
        let overlay = Overlay { host: self.doctor.host, files: &laid };
        let host: &dyn Host = if laid.is_empty() { self.doctor.host } else { &overlay };
        act(&View { scene: &self.scene, request: self.doctor.request, outside: &self.doctor.outside, host })
    }

    fn laid_files(&self) -> Vec<(PathBuf, Option<&[u8]>)> {
        self.laid.iter().map(|(path, content)| (path.clone(), content.as_deref())).collect()
    }

    fn look_again(&mut self) {
        let laid = self.laid_files();
        let overlay = Overlay { host: self.doctor.host, files: &laid };
        let host: &dyn Host = if laid.is_empty() { self.doctor.host } else { &overlay };
        let scene = Scene::look(host, self.doctor.profile, self.doctor.request, Some(&self.scene));
        self.scene = scene;
    }

    /// Shows what a repair would do, and goes on as if it had been made.
    fn pretend(&mut self, repair: &Repair) {
        for change in &repair.changes {
            let Some(path) = change.path() else { continue };
            if !matches!(change, Change::Write(_)) {
                let summary = in_words(change, &self.scene);
                self.report.planned.push(Planned { kind: "file", path: path.to_owned(), summary, lines: Vec::new() });
            }
            match change {
                Change::Write(write) => {
                    if !self.originals.iter().any(|known| known.path == write.path) {
                        self.originals.push(write.clone());
                    }
                    self.lay(write.path.clone(), Some(write.after.clone()));
                }
                Change::Rename { from, to } => {
                    if let Ok(bytes) = self.with_view(|view| view.host.read(from, MAX_FILE_BYTES)) {
                        self.lay(from.clone(), None);
                        self.lay(to.clone(), Some(bytes));
                    }
                }
                _ => {}
            }
        }
        self.desk.would_do(&repair.done);
        self.look_again();
    }

    /// What all repairs together would change in files.
    fn sum_up(&mut self) {
        for original in std::mem::take(&mut self.originals) {
            let laid =
                self.laid.iter().find(|(path, _)| *path == original.path).and_then(|(_, content)| content.clone());
            let write = Write { after: laid.unwrap_or_default(), ..original };
            let summary = in_words(&Change::Write(write.clone()), &self.scene);
            let (kind, lines) = (write.kind.as_str(), changed_lines(&write));
            self.report.planned.push(Planned { kind, path: write.path, summary, lines });
        }
        self.desk.planned(&self.report.planned);
    }

    fn lay(&mut self, path: PathBuf, content: Option<Vec<u8>>) {
        match self.laid.iter_mut().find(|(known, _)| *known == path) {
            Some(known) => known.1 = content,
            None => self.laid.push((path, content)),
        }
    }

    /// Makes a repair; `true` when it was made as a whole.
    fn make(&mut self, check: &dyn Check, repair: &Repair, findings: &mut Vec<Finding>) -> bool {
        self.desk.working();
        let state_dir = self.scene.layout().state_dir().to_owned();
        let mode_before = self.doctor.host.mode_of(&state_dir);
        let mut applied = apply(repair, &mut self.rings, &self.doctor.outside, self.doctor.host);
        let wrote_config = applied.written.iter().any(|(write, _)| write.kind == FileKind::Config);
        if wrote_config {
            let state = &self.scene.state;
            ConfigWriter::new(&state.layout, &state.environment, self.doctor.host, "doctor").written();
            self.report.config_written = true;
            // Every write of the config closes the state directory to others.
            if let (Some(before), Some(after)) = (mode_before, self.doctor.host.mode_of(&state_dir))
                && before != after
            {
                let (before, after) = (octal(before), octal(after));
                applied.items.push(Item::Chmod { path: state_dir, before, after });
            }
        }
        for change in &repair.changes {
            let backup = applied.written.iter().find(|(write, _)| Some(write.path.as_path()) == change.path());
            let done = backup.is_some() || (applied.failures.is_empty() && !matches!(change, Change::Write(_)));
            let Some(path) = change.path().filter(|_| done) else { continue };
            let kind = if let Change::Write(write) = change { write.kind.as_str() } else { "file" };
            let backup = backup.and_then(|(_, backup)| backup.clone());
            if kind == FileKind::Config.as_str() {
                self.report.config_backup = backup.clone().or(self.report.config_backup.take());
            }
            let summary = in_words(change, &self.scene);
            self.report.changes.push(Made { kind, path: path.to_owned(), summary, backup });
        }
        let changed_anything = !applied.items.is_empty();
        let receipt = self.receipt.get_or_insert_with(|| Receipt::new(self.scene.now()));
        applied.items.into_iter().for_each(|item| receipt.add(item));
        self.look_again();
        if changed_anything {
            self.save_receipt();
        }
        self.desk.settled();

        let left = self.detect(check);
        let open: HashSet<Subject> = left.iter().map(Finding::subject).collect();
        for finding in findings.iter_mut() {
            finding.fixed |= finding.fixable && !open.contains(&finding.subject());
        }
        // What a repair brings to light belongs to the same check.
        let known: HashSet<Subject> = findings.iter().map(Finding::subject).collect();
        findings.extend(left.into_iter().filter(|new| !known.contains(&new.subject())));
        let whole = applied.failures.is_empty();
        if whole || changed_anything {
            self.desk.done(&repair.done);
        }
        let home = format!("{}/", self.scene.layout().home().display());
        let short = format!("{}/", self.scene.shorten(self.scene.layout().home()));
        for message in applied.failures {
            let message = message.replace(&home, &short);
            self.fail(RunError { code: repair.code, message });
        }
        if whole {
            repair.afterwards.iter().for_each(|note| self.desk.note(note));
        }
        whole
    }

    fn save_receipt(&mut self) {
        let Some(receipt) = &self.receipt else { return };
        let path = self.scene.layout().state_dir().join(RECEIPT_FILE);
        match receipt.save(&path, self.doctor.host) {
            Ok(()) => self.report.receipt = Some(path),
            Err(why) => {
                let message = format!("the repair cannot be undone, because its receipt cannot be written: {why}");
                self.fail(RunError { code: "state.not_writable", message });
            }
        }
    }

    fn fail(&mut self, error: RunError) {
        // Failures of these repairs are findings of their own.
        if matches!(error.code, "auth.claude_cli.repair_failed" | "auth.oauth.refresh_failed") {
            let failed = Finding::new(error.code, Severity::Error, "Auth profiles", error.message.as_str());
            if self.doctor.request.wants(error.code) {
                self.failed.push(failed);
            }
        }
        if !self.told.contains(&error) {
            self.desk.failed(&error);
            self.told.push(error.clone());
        }
        self.report.errors.push(error);
    }

    pub(crate) fn finish(mut self) -> Report {
        if self.doctor.request.dry_run {
            self.sum_up();
        }
        let layout = self.scene.layout();
        self.report.state_dir = layout.state_dir().to_owned();
        self.report.config_path = layout.config_path().to_owned();
        let config = &self.scene.config;
        self.report.config_exists = config.source.exists;
        self.report.config_valid = config.invalid.is_none();
        let problems = config.invalid.iter().flat_map(|invalid| &invalid.problems);
        self.report.config_problems =
            problems.map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
        self.report.agents = self.scene.agents.iter().map(|agent| agent.id.clone()).collect();
        let request = self.doctor.request;
        // A config that cannot be mended is a repair that was asked for and not made.
        if request.repair && !request.dry_run && config.invalid.is_some() && request.wants("config.invalid") {
            let known = self.report.errors.iter().any(|error| error.code.starts_with("config."));
            if !known {
                let message = "the config is invalid and cannot be mended automatically; it was not written".to_owned();
                self.fail(RunError { code: "config.invalid", message });
            }
        }
        self.report
    }
}

/// What a change does, in a few words.
fn in_words(change: &Change, scene: &Scene) -> String {
    let short = |path: &Path| scene.shorten(path);
    match change {
        Change::Write(write) if write.before.is_none() => format!("made {}", short(&write.path)),
        Change::Write(write) => format!("changed {}", short(&write.path)),
        Change::Rename { from, to } => format!("{} → {}", short(from), short(to)),
        Change::Chmod { path, before, after } => format!("{}: mode {before:04o} → {after:04o}", short(path)),
        Change::Remove { path } | Change::RemoveDir { path } => format!("removed {}", short(path)),
        Change::MakeDir { path } => format!("made {}", short(path)),
        Change::Link { path, target } => format!("{} leads to {}", short(path), short(target)),
        Change::Refresh { profile, .. } => format!("renewed {profile}"),
    }
}
