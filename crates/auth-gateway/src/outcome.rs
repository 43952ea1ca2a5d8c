//! How a turn ends.

use auth_core::{FailureReason, ProfileId};
use auth_probe::wire::TokenUsage;

/// The credential that a request was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The profile, when it is one.
    pub profile: Option<ProfileId>,
    /// The stable text: `profile:<id>`, `env: <VAR>`, `models.json`, `none`.
    pub source: String,
}

/// A request that failed, or a model that was left out, on the way to the end of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The profile, when it was one.
    pub profile: Option<ProfileId>,
    /// The stable text of the credential's source; none when nothing was sent.
    pub source: Option<String>,
    /// What went wrong, without secrets.
    pub error: String,
    /// Its class.
    pub reason: Option<FailureReason>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The code of the provider.
    pub code: Option<String>,
}

/// A turn that was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// The provider that answered.
    pub provider: String,
    /// The model that answered.
    pub model: String,
    /// The credential.
    pub used: Used,
    /// The tokens.
    pub usage: TokenUsage,
    /// Why the model stopped.
    pub stop: String,
    /// What failed before, in its order: requests, and models that could not be asked.
    pub attempts: Vec<Attempted>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// What kind of failure ended a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnErrorKind {
    /// Everything that could be tried failed, or was out of use.
    Failed,
    /// There is no credential.
    NoCredential,
    /// It took too long.
    TimedOut,
    /// The user ended it.
    Cancelled,
    /// The conversation is too long for the model.
    ContextOverflow,
    /// The pinned profile cannot be used here.
    BadPin,
}

/// A turn that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TurnError {
    /// Its kind.
    pub kind: TurnErrorKind,
    /// For people, without secrets.
    pub message: String,
    /// The class of the last failure.
    pub reason: Option<FailureReason>,
    /// The HTTP status of the last failure.
    pub status: Option<u16>,
    /// The models that failed or were left out.
    pub attempts: Vec<Attempted>,
    /// The requests that failed.
    pub requests: Vec<Attempted>,
    /// When the first credential is back, in milliseconds since the epoch.
    pub soonest_end_ms: Option<f64>,
    /// What the user should know beside it.
    pub notes: Vec<String>,
}

impl TurnError {
    /// A turn that somebody ended from outside.
    pub fn ended(kind: TurnErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind, message)
    }

    pub(crate) fn new(kind: TurnErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            reason: None,
            status: None,
            attempts: Vec::new(),
            requests: Vec::new(),
            soonest_end_ms: None,
            notes: Vec::new(),
        }
    }
}
