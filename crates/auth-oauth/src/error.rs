//! What goes wrong in a login or a refresh, shaped by what the caller does next (spec 04 section 7.4).

use crate::transport::TransportError;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OAuthErrorKind {
    /// The provider refused, and would refuse the same again.
    Refused,
    /// There was no usable answer; the same may work later.
    Unavailable,
    /// The answer or what was pasted is not what the protocol says.
    Protocol,
    /// The user gave up.
    Cancelled,
    /// This kind of login cannot be refreshed, or another program does it.
    NotOurs,
    /// The new tokens could not be stored.
    NotStored,
}

/// A login or a refresh that failed. The text holds no secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct OAuthError {
    /// What to do next.
    pub kind: OAuthErrorKind,
    /// What is wrong, for people.
    pub message: String,
    /// The error code of the provider.
    pub code: Option<String>,
    /// The HTTP status of the answer, when there was one.
    pub status: Option<u16>,
}

impl OAuthError {
    /// A failure without an answer of the provider.
    pub(crate) fn new(kind: OAuthErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, status: None }
    }

    /// A failure without an answer, which the same may not meet again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(OAuthErrorKind::Unavailable, message)
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(OAuthErrorKind::Protocol, message)
    }

    /// Whether the refresh token that was sent has no value any more.
    pub fn is_spent(&self) -> bool {
        matches!(self.code.as_deref(), Some("refresh_token_reused" | "invalid_grant"))
    }

    /// Whether no other login may stand in: the user gave up, or has to act before the process ends.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.kind, OAuthErrorKind::NotStored | OAuthErrorKind::Cancelled)
    }

    /// Whether the same refresh token would be refused again: not so with what stands between, such as a proxy.
    pub(crate) fn is_permanent(&self) -> bool {
        self.kind == OAuthErrorKind::Refused && (self.is_spent() || matches!(self.status, None | Some(400 | 401)))
    }
}

impl From<TransportError> for OAuthError {
    fn from(error: TransportError) -> Self {
        let kind = match error {
            TransportError::Cancelled => OAuthErrorKind::Cancelled,
            TransportError::TooLarge => OAuthErrorKind::Protocol,
            _ => OAuthErrorKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}
