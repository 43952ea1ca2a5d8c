//! A run: every check in its order, every repair that was decided on, and what came of it (spec 06 sections 1 and 6).

use std::path::PathBuf;

use auth_store::WriteHost;

use crate::apply::Rings;
use crate::check::Check;
use crate::checks;
use crate::course::Course;
use crate::finding::Finding;
use crate::outside::Outside;
use crate::repair::Note;
use crate::report::{Planned, Report, RunError};
use crate::request::Request;
use crate::scene::Scene;

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
            scene: Scene::look(self.host, self.profile, self.request, None),
            laid: Vec::new(),
            originals: Vec::new(),
            rings: Rings::default(),
            receipt: None,
            failed: Vec::new(),
            shown: std::collections::HashSet::new(),
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
