//! Errors as the user sees them: what is wrong, and what to do.

use auth_store::{ConfigInvalid, UnknownAgent};

/// A command that ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Text for standard error; may have several lines.
    pub(crate) message: String,
    /// Exit code.
    pub(crate) code: u8,
}

impl Failure {
    /// `Error: <what>`, exit code 1.
    pub(crate) fn new(what: impl std::fmt::Display) -> Self {
        Self { message: format!("Error: {what}"), code: 1 }
    }

    /// As [`new`](Self::new), with the command that helps on a line of its own.
    pub(crate) fn with_fix(what: impl std::fmt::Display, fix: impl std::fmt::Display) -> Self {
        Self { message: format!("Error: {what}\nRun: {fix}"), code: 1 }
    }
}

impl From<ConfigInvalid> for Failure {
    fn from(invalid: ConfigInvalid) -> Self {
        Self { message: invalid.to_string(), code: 1 }
    }
}

impl From<UnknownAgent> for Failure {
    fn from(unknown: UnknownAgent) -> Self {
        let known: Vec<&str> = unknown.known.iter().map(auth_core::AgentId::as_str).collect();
        Self::new(format!("{unknown}\nConfigured: {}", known.join(", ")))
    }
}
