//! What a run may ask of the world beyond files. Each is a small trait, so that this crate has no socket: the command
//! line plugs in what it has.

use auth_core::{AgentId, ProfileId};

/// Renews the access token of a login.
pub trait Refresh {
    /// Renews it under its locks, unless it holds for `min_remaining_ms` milliseconds more. What is new is stored by
    /// the one who renews (spec 04 section 7).
    ///
    /// # Errors
    ///
    /// When there is no new token; the stored one is as it was.
    fn refresh(&self, agent: &AgentId, profile: &ProfileId, min_remaining_ms: i64) -> Result<(), RefreshError>;
}

/// Why a token was not renewed. No text in it comes from the answer of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RefreshError {
    /// What kind of failure.
    pub kind: RefreshFailure,
    /// What it means, for people.
    pub message: String,
}

/// What kind of failure kept a token from being renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshFailure {
    /// The login was taken back: only a new one helps.
    Revoked,
    /// The provider was not reached.
    Network,
    /// Anything else.
    Other,
}

impl RefreshFailure {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Network => "network",
            Self::Other => "other",
        }
    }
}

/// Tells whether a server can be reached over trusted TLS.
pub trait TlsCheck {
    /// Asks for an address once, following no redirect; any HTTP answer is good.
    ///
    /// # Errors
    ///
    /// When there is none.
    fn reach(&self, url: &str, timeout_ms: u64) -> Result<(), TlsFailure>;
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// The certificate is not trusted: its code in the words of Node, and why.
    Certificate {
        /// Such as `UNABLE_TO_GET_ISSUER_CERT_LOCALLY`.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// Anything else.
    Network(String),
}

impl TlsFailure {
    /// What an error of the TLS layer means. A text that speaks of no certificate is a failure of the network.
    pub fn of_text(text: &str) -> Self {
        let lower = text.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let code = if has(&["selfsigned", "self-signed", "self signed", "causedasendentity"]) {
            "DEPTH_ZERO_SELF_SIGNED_CERT"
        } else if has(&["unknownissuer", "local issuer certificate", "issuer"]) {
            "UNABLE_TO_GET_ISSUER_CERT_LOCALLY"
        } else if has(&["expired"]) {
            "CERT_HAS_EXPIRED"
        } else if has(&["notvalidforname", "not valid for name"]) {
            "ERR_TLS_CERT_ALTNAME_INVALID"
        } else if has(&["certificate"]) {
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
        } else {
            return Self::Network(text.to_owned());
        };
        Self::Certificate { code, message: text.to_owned() }
    }
}

/// What is plugged in.
#[derive(Clone, Copy, Default)]
pub struct Outside<'a> {
    /// Who renews logins; `None` when nobody can.
    pub refresh: Option<&'a dyn Refresh>,
    /// Who asks servers; `None` when nobody may.
    pub tls: Option<&'a dyn TlsCheck>,
}

impl std::fmt::Debug for Outside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { refresh, tls } = self;
        f.debug_struct("Outside").field("refresh", &refresh.is_some()).field("tls", &tls.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_tls_have_the_codes_of_node() {
        for (text, code) in [
            ("invalid peer certificate: UnknownIssuer", Some("UNABLE_TO_GET_ISSUER_CERT_LOCALLY")),
            ("invalid peer certificate: certificate expired: verification time 1", Some("CERT_HAS_EXPIRED")),
            ("invalid peer certificate: NotValidForName", Some("ERR_TLS_CERT_ALTNAME_INVALID")),
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", Some("DEPTH_ZERO_SELF_SIGNED_CERT")),
            ("invalid peer certificate: BadSignature", Some("UNABLE_TO_VERIFY_LEAF_SIGNATURE")),
            ("connection refused", None),
        ] {
            let found = match TlsFailure::of_text(text) {
                TlsFailure::Certificate { code, .. } => Some(code),
                TlsFailure::Network(_) => None,
            };
            assert_eq!(found, code, "{text}");
        }
    }
}
