//! A repair that was worked out: what it changes, and the bytes that it was worked out on (spec 06 section 12).

use std::path::{Path, PathBuf};

use auth_core::{AgentId, ProfileId};

use crate::request::RepairKind;

/// Everything that one answer decides.
#[derive(Debug)]
pub struct Repair {
    /// The code that errors and reports carry.
    pub code: &'static str,
    /// Which rule decides whether it is made.
    pub kind: RepairKind,
    /// The question.
    pub question: String,
    /// The answer of an empty line.
    pub default: bool,
    /// What changes, in this order.
    pub changes: Vec<Change>,
    /// What was done, one line each.
    pub done: Vec<String>,
    /// What follows from it for the person.
    pub afterwards: Vec<Note>,
    /// What follows when the answer is no.
    pub declined: Vec<Note>,
    /// Whether changes before one that fails are taken back.
    pub all_or_nothing: bool,
}

/// Lines under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The heading.
    pub title: &'static str,
    /// The lines.
    pub lines: Vec<String>,
}

/// Which kind of file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A credential store.
    Store,
    /// The config, or a file that it includes.
    Config,
    /// Anything else.
    Other,
}

impl FileKind {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Config => "config",
            Self::Other => "file",
        }
    }
}

/// New content for a file.
#[derive(Clone)]
pub struct Write {
    /// Which file.
    pub path: PathBuf,
    /// The file whose lock guards it.
    pub guarded_by: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// What it was worked out on; `None` when there is no such file.
    pub before: Option<Vec<u8>>,
    /// What it will hold.
    pub after: Vec<u8>,
}

impl std::fmt::Debug for Write {
    /// Prints the path only: the contents are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Write").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// Files get new content. Those that stand beside each other change together or not at all.
    Write(Write),
    /// Something gets another name, which must be free.
    Rename {
        /// Its name.
        from: PathBuf,
        /// Its new name.
        to: PathBuf,
    },
    /// Something is closed to others.
    Chmod {
        /// What.
        path: PathBuf,
        /// Its permission bits.
        before: u32,
        /// Its new permission bits.
        after: u32,
    },
    /// A lock or a temporary file goes.
    Remove {
        /// Which one.
        path: PathBuf,
    },
    /// An empty directory goes.
    RemoveDir {
        /// Which one.
        path: PathBuf,
    },
    /// A directory is made, for its owner alone.
    MakeDir {
        /// Which one.
        path: PathBuf,
    },
    /// A symbolic link is made.
    Link {
        /// Where.
        path: PathBuf,
        /// To what.
        target: PathBuf,
    },
    /// A login is renewed.
    Refresh {
        /// Whose.
        agent: AgentId,
        /// Which one.
        profile: ProfileId,
    },
}

impl Change {
    /// The file or directory that a report names.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Write(Write { path, .. })
            | Self::Chmod { path, .. }
            | Self::Remove { path }
            | Self::RemoveDir { path }
            | Self::MakeDir { path }
            | Self::Link { path, .. }
            | Self::Rename { to: path, .. } => Some(path),
            Self::Refresh { .. } => None,
        }
    }
}

impl Repair {
    /// A repair that is asked for, with yes as the default.
    pub(crate) fn new(code: &'static str, kind: RepairKind, question: impl Into<String>) -> Self {
        Self {
            code,
            kind,
            question: question.into(),
            default: true,
            changes: Vec::new(),
            done: Vec::new(),
            afterwards: Vec::new(),
            declined: Vec::new(),
            all_or_nothing: false,
        }
    }

    pub(crate) fn changing(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.changes.extend(changes);
        self
    }

    pub(crate) fn telling(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.done.extend(lines);
        self
    }
}

/// Why a repair cannot even be worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of the error.
    pub code: &'static str,
    /// Why, for people.
    pub message: String,
}
