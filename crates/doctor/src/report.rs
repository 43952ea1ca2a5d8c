//! What a run found and did, as data.

use std::path::PathBuf;

use auth_core::AgentId;

use crate::finding::{Finding, Severity};

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

    /// As [`fixable_left`](Self::fixable_left), of a severity.
    pub fn fixable_left_of(&self, severity: Severity) -> usize {
        let left = self.findings.iter().filter(|finding| !finding.fixed && finding.fixable);
        left.filter(|finding| finding.severity == severity).count()
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
