//! A run: every check in its order, every repair that was decided on, and what came of it.

use std::path::PathBuf;

use auth_core::AgentId;
use auth_store::{ConfigWriter, Host, Overlay, WriteHost};

use crate::apply::{Rings, apply};
use crate::check::{Check, View};
use crate::checks;
use crate::diff::changed_lines;
use crate::finding::{Finding, Severity};
use crate::outside::Outside;
use crate::receipt::{Item, MAX_FILE_BYTES, RECEIPT_FILE, Receipt, octal};
use crate::repair::{Change, FileKind, Note, Refusal, Repair, Write};
use crate::request::{Decision, RepairKind, Request};
use crate::scene::Scene;

/// How often one check is asked for another repair.
const ROUNDS: usize = 64;
/// How often everything is looked at again after repairs.
const PASSES: usize = 4;

/// The person that a run talks to.
pub trait Desk {
    /// These were found; a question may follow.
    fn found(&mut self, findings: &[Finding]);
    /// Something to know.
    fn note(&mut self, note: &Note);
    /// Whether a repair is to be made.
    ///
    /// # Errors
    ///
    /// When the question was cancelled: the run ends.
    fn ask(&mut self, question: &str, default: bool) -> Result<bool, Cancelled>;
    /// A repair begins, and must not be interrupted until [`settled`](Self::settled).
    fn working(&mut self) {}
    /// It has ended.
    fn settled(&mut self) {}
    /// A repair was made, wholly or in part: what changed.
    fn done(&mut self, lines: &[String]);
    /// A repair would do this.
    fn would_do(&mut self, lines: &[String]);
    /// All repairs together would change this.
    fn planned(&mut self, planned: &[Planned]);
    /// A repair failed.
    fn failed(&mut self, failure: &RunError);
}

/// The question was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

/// What a repair would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// `store`, `config` or `file`.
    pub kind: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// What would be done.
    pub summary: String,
    /// The lines that would change, without secrets.
    pub lines: Vec<String>,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// `store`, `config` or `file`.
    pub kind: &'static str,
    /// Which file.
    pub path: PathBuf,
    /// What was done.
    pub summary: String,
    /// Where its content before the run is.
    pub backup: Option<PathBuf>,
}

/// A repair that was asked for and not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError {
    /// The code of what it was to mend.
    pub code: &'static str,
    /// Why.
    pub message: String,
}

/// What a run found and did.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the report")]
pub struct Report {
    /// `report`, `dry-run` or `repair`.
    pub mode: &'static str,
    /// The state directory.
    pub state_dir: PathBuf,
    /// The config file.
    pub config_path: PathBuf,
    /// Whether it exists.
    pub config_exists: bool,
    /// Whether other commands use it.
    pub config_valid: bool,
    /// Why not, one line each.
    pub config_problems: Vec<String>,
    /// Its backup, when this run wrote it.
    pub config_backup: Option<PathBuf>,
    /// Whether this run wrote it.
    pub config_written: bool,
    /// The agents that were looked at.
    pub agents: Vec<AgentId>,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
    /// What was changed.
    pub changes: Vec<Made>,
    /// What would be changed, in a dry run.
    pub planned: Vec<Planned>,
    /// What failed.
    pub errors: Vec<RunError>,
    /// The receipt that was written.
    pub receipt: Option<PathBuf>,
    /// Whether the run ended at a question.
    pub cancelled: bool,
}

impl Report {
    /// How many findings of a severity are left.
    pub fn left(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| !finding.fixed && finding.severity == severity).count()
    }

    /// How many findings of those that are left could be mended.
    pub fn fixable_left(&self) -> usize {
        self.findings.iter().filter(|finding| !finding.fixed && finding.fixable).count()
    }

    /// The exit code (spec 06 section 3).
    pub fn exit_code(&self, check: bool) -> u8 {
        if self.cancelled {
            return 130;
        }
        if !self.errors.is_empty() || (check && self.left(Severity::Error) > 0) {
            return 1;
        }
        if check && self.left(Severity::Warning) > 0 { 2 } else { 0 }
    }
}

/// A run of all checks.
#[derive(Clone, Copy)]
pub struct Doctor<'a> {
    /// The machine.
    pub host: &'a dyn WriteHost,
    /// The value of `--profile`.
    pub profile: Option<&'a str>,
    /// What was asked for.
    pub request: &'a Request,
    /// What may be asked of the world.
    pub outside: Outside<'a>,
}

impl std::fmt::Debug for Doctor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doctor").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Doctor<'_> {
    /// Runs every check, and makes the repairs that were decided on.
    pub fn run(&self, desk: &mut dyn Desk) -> Report {
        let mut course = Course {
            doctor: self,
            desk,
            scene: Scene::look(self.host, self.profile, self.request),
            laid: Vec::new(),
            originals: Vec::new(),
            rings: Rings::default(),
            receipt: None,
            failed: Vec::new(),
            shown: Vec::new(),
            told: Vec::new(),
            changed_before: 0,
            report: self.empty_report(),
        };
        let warned: Vec<String> = course.scene.state.warnings.clone();
        if !warned.is_empty() {
            course.desk.note(&Note { title: "Config warnings", lines: warned });
        }
        let wanted: Vec<Box<dyn Check>> = checks::all()
            .into_iter()
            .filter(|check| check.codes().iter().any(|code| self.request.wants(code)))
            .collect();
        for check in &wanted {
            if course.perform(&**check).is_err() {
                course.report.cancelled = true;
                return course.finish();
            }
        }
        course.until_settled(&wanted);
        let place = |finding: &Finding| wanted.iter().position(|check| check.codes().contains(&finding.code));
        course.report.findings.sort_by_key(place);
        course.finish()
    }

    fn empty_report(&self) -> Report {
        Report {
            mode: self.request.mode(),
            state_dir: PathBuf::new(),
            config_path: PathBuf::new(),
            config_exists: false,
            config_valid: false,
            config_problems: Vec::new(),
            config_backup: None,
            config_written: false,
            agents: Vec::new(),
            findings: Vec::new(),
            changes: Vec::new(),
            planned: Vec::new(),
            errors: Vec::new(),
            receipt: None,
            cancelled: false,
        }
    }
}

/// A run on its way.
struct Course<'a, 'd> {
    doctor: &'a Doctor<'a>,
    desk: &'d mut dyn Desk,
    scene: Scene,
    /// In a dry run: the files as they would be.
    laid: Vec<(PathBuf, Option<Vec<u8>>)>,
    /// In a dry run: the files as they are, with their kind.
    originals: Vec<Write>,
    rings: Rings,
    receipt: Option<Receipt>,
    /// Repairs that failed, as findings.
    failed: Vec<Finding>,
    /// What the person has seen already.
    shown: Vec<Finding>,
    /// The failures that the person knows of.
    told: Vec<RunError>,
    /// How many changes there were before this pass.
    changed_before: usize,
    report: Report,
}

impl Course<'_, '_> {
    /// Looks again until nothing changes any more: a repair may bring to light what another check mends, or take away
    /// what stood in the way of one. Nobody is asked twice.
    fn until_settled(&mut self, checks: &[Box<dyn Check>]) {
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

    fn perform(&mut self, check: &dyn Check) -> Result<(), Cancelled> {
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
        let is_new = |finding: &&Finding| !self.shown.iter().any(|known| known.is_about_the_same(finding));
        let new: Vec<Finding> = findings.iter().filter(is_new).cloned().collect();
        self.desk.found(&new);
        self.shown.extend(new);
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
        let scene = Scene::look(host, self.doctor.profile, self.doctor.request);
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
        for finding in findings.iter_mut() {
            finding.fixed |= finding.fixable && !left.iter().any(|same| same.is_about_the_same(finding));
        }
        // What a repair brings to light belongs to the same check.
        for new in left {
            if !findings.iter().any(|known| known.is_about_the_same(&new)) {
                findings.push(new);
            }
        }
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

    fn finish(mut self) -> Report {
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
    let short = |path: &std::path::Path| scene.shorten(path);
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
