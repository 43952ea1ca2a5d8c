//! From the answer of a provider to the reason why a request failed (spec 03 section 6).

mod context;
mod matcher;
mod message;
mod payment;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod table_tests;
mod tables;
#[cfg(test)]
mod tests;

use matcher::any;
use message::classify_text;

use crate::rotation::{Outcome, Record};
use crate::usage::FailureReason;

/// No more than this many bytes of a text are looked at.
const MAX_BYTES: usize = 8 * 1024;

/// Why a request failed, as far as the answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The credential is refused.
    Auth,
    /// The credential is revoked or blocked for good.
    AuthPermanent,
    /// Too many requests, or a limit that passes.
    RateLimit,
    /// The provider has too much to do.
    Overloaded,
    /// No credit.
    Billing,
    /// No answer, or one that tells of a fault of the server.
    Timeout,
    /// The request is refused as malformed.
    Format,
    /// There is no such model.
    ModelNotFound,
    /// The session is unknown or over.
    SessionExpired,
    /// The conversation is too long for the model.
    ContextOverflow,
    /// The answer cannot be read. Decided without reading texts, as all that follow.
    InvalidResponse,
    /// No connection.
    Network,
    /// The certificate of the server is not trusted.
    Tls,
    /// The server points elsewhere, and that is not followed.
    RedirectRefused,
    /// The user stopped it.
    Cancelled,
    /// The token cannot be read.
    InvalidToken,
    /// There is no way to ask this provider.
    UnsupportedProbe,
    /// The provider has no request that is free.
    NoFreeCheck,
}

impl Reason {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthPermanent => "auth_permanent",
            Self::RateLimit => "rate_limit",
            Self::Overloaded => "overloaded",
            Self::Billing => "billing",
            Self::Timeout => "timeout",
            Self::Format => "format",
            Self::ModelNotFound => "model_not_found",
            Self::SessionExpired => "session_expired",
            Self::ContextOverflow => "context_overflow",
            Self::InvalidResponse => "invalid_response",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::RedirectRefused => "redirect_refused",
            Self::Cancelled => "cancelled",
            Self::InvalidToken => "invalid_token",
            Self::UnsupportedProbe => "unsupported_probe",
            Self::NoFreeCheck => "no_free_check",
        }
    }

    /// What statistics keep of it (spec 07 section 6.3).
    pub fn recorded(self) -> Option<FailureReason> {
        match Outcome::of_failure(Some(self)).record() {
            Record::Failure(reason) => Some(reason),
            Record::Success | Record::Nothing => None,
        }
    }

    /// The status of a probe that failed for this reason (spec 03 section 6.1).
    pub fn status(self) -> ProbeStatus {
        match self {
            Self::Auth | Self::AuthPermanent => ProbeStatus::Auth,
            Self::RateLimit | Self::Overloaded => ProbeStatus::RateLimit,
            Self::Billing => ProbeStatus::Billing,
            Self::Timeout | Self::Network => ProbeStatus::Timeout,
            Self::Format | Self::InvalidResponse => ProbeStatus::Format,
            Self::ModelNotFound
            | Self::SessionExpired
            | Self::ContextOverflow
            | Self::Tls
            | Self::RedirectRefused
            | Self::Cancelled
            | Self::InvalidToken
            | Self::UnsupportedProbe
            | Self::NoFreeCheck => ProbeStatus::Unknown,
        }
    }
}

/// The outcome of a probe, for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeStatus {
    /// The credential works.
    Ok,
    /// The credential is refused, revoked or lacks a permission.
    Auth,
    /// The credential works; try later.
    RateLimit,
    /// No credit.
    Billing,
    /// No answer, or only a fault of the server.
    Timeout,
    /// The request was refused as malformed.
    Format,
    /// The error text tells more.
    Unknown,
    /// There is no model to ask.
    NoModel,
}

impl ProbeStatus {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Auth => "auth",
            Self::RateLimit => "rate_limit",
            Self::Billing => "billing",
            Self::Timeout => "timeout",
            Self::Format => "format",
            Self::Unknown => "unknown",
            Self::NoModel => "no_model",
        }
    }
}

/// What is known of a failure (spec 03 section 6.2).
#[derive(Clone, Copy, Debug)]
pub struct Signal<'a> {
    /// The HTTP status. Without one, the leading number of the message counts.
    pub status: Option<u16>,
    /// `error.code` or `error.type` of the answer, or the code of the network error.
    pub code: Option<&'a str>,
    /// The text of the error.
    pub message: &'a str,
    /// The provider that was asked.
    pub provider: &'a str,
}

/// The reason of a failure (spec 03 section 6.3), none if it is not known.
pub fn classify(signal: &Signal<'_>) -> Option<Reason> {
    classify_folded(signal, &fold(signal.message))
}

/// As [`classify`], with what a probe knows better: an account without credit and a bad key of Google.
pub fn classify_probe(signal: &Signal<'_>) -> Option<Reason> {
    let text = fold(signal.message);
    match status_of(signal, &text) {
        Some(429) if is_insufficient_quota(signal.code, &text) => Some(Reason::Billing),
        Some(400 | 401 | 403 | 412 | 429 | 500) if any(tables::EMPTY_ACCOUNT, &text) => Some(Reason::Billing),
        Some(403) if signal.provider.starts_with("kimi") && text.contains("usage limit") => Some(Reason::RateLimit),
        Some(400) if text.contains("on-demand throughput isn") => Some(Reason::ModelNotFound),
        Some(400) if any(tables::BAD_KEY_400, &text) => Some(Reason::Auth),
        _ => classify_folded(signal, &text),
    }
}

/// The reason that the text of an error tells (spec 03 section 6.4), none if it tells nothing.
pub fn classify_message(message: &str, provider: &str) -> Option<Reason> {
    classify_text(&fold(message), &fold(provider))
}

/// The status at the start of a text: `429 slow down`, `HTTP 429: slow down` (spec 03 section 6.2).
pub fn parse_leading_status(message: &str) -> Option<u16> {
    let text = message.trim_start();
    let text = match text.get(..5) {
        Some(word) if word.eq_ignore_ascii_case("http ") => text.get(5..)?,
        _ => text,
    };
    let digits = text.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let next = text.get(3..)?.chars().next();
    if next.is_some_and(|next| next != ':' && !next.is_whitespace()) {
        return None;
    }
    digits.parse().ok()
}

fn classify_folded(signal: &Signal<'_>, text: &str) -> Option<Reason> {
    let told = classify_text(text, &fold(signal.provider));
    match status_of(signal, text) {
        Some(402) => Some(payment::classify_402(text)),
        Some(429) => Some(Reason::RateLimit),
        Some(401 | 403) if any(tables::AUTH_PERMANENT, text) => Some(Reason::AuthPermanent),
        Some(401 | 403) => told.filter(|reason| *reason == Reason::Billing).or(Some(Reason::Auth)),
        Some(410) => told.filter(|reason| tells_of_gone(*reason)).or(Some(Reason::Timeout)),
        Some(499 | 503) => told.filter(|reason| *reason == Reason::Overloaded).or(Some(Reason::Timeout)),
        Some(408 | 500 | 502 | 504) => Some(Reason::Timeout),
        Some(529) => Some(Reason::Overloaded),
        Some(400 | 422) => told.or(Some(Reason::Format)),
        _ => signal.code.and_then(reason_of_code).or(told),
    }
}

fn status_of(signal: &Signal<'_>, text: &str) -> Option<u16> {
    signal.status.or_else(|| parse_leading_status(text))
}

/// What an answer 410 may stand for.
fn tells_of_gone(reason: Reason) -> bool {
    matches!(reason, Reason::SessionExpired | Reason::Billing | Reason::AuthPermanent | Reason::Auth)
}

/// The reason that a code alone tells (spec 03 section 6.3, step 3).
fn reason_of_code(code: &str) -> Option<Reason> {
    let is = |words: &[&str]| words.iter().any(|word| code.trim().eq_ignore_ascii_case(word));
    if is(RATE_LIMIT_CODES) {
        Some(Reason::RateLimit)
    } else if is(OVERLOADED_CODES) {
        Some(Reason::Overloaded)
    } else if is(TIMEOUT_CODES) {
        Some(Reason::Timeout)
    } else {
        None
    }
}

const RATE_LIMIT_CODES: &[&str] = &[
    "RESOURCE_EXHAUSTED",
    "RATE_LIMIT",
    "RATE_LIMITED",
    "RATE_LIMIT_EXCEEDED",
    "TOO_MANY_REQUESTS",
    "THROTTLED",
    "THROTTLING",
    "THROTTLINGEXCEPTION",
    "THROTTLING_EXCEPTION",
];
const OVERLOADED_CODES: &[&str] = &["OVERLOADED", "OVERLOADED_ERROR"];
const TIMEOUT_CODES: &[&str] = &[
    "ETIMEDOUT",
    "ESOCKETTIMEDOUT",
    "ECONNRESET",
    "ECONNABORTED",
    "ECONNREFUSED",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "EHOSTDOWN",
    "ENETRESET",
    "EPIPE",
    "EAI_AGAIN",
];

/// Whether the account has no credit, by `code` or by the codes that follow the text after a blank.
fn is_insufficient_quota(code: Option<&str>, text: &str) -> bool {
    const CODE: &str = "insufficient_quota";
    code.is_some_and(|code| code.trim().eq_ignore_ascii_case(CODE)) || text.split_whitespace().any(|word| word == CODE)
}

/// The text as the tables want it: trimmed, cut and in lower case.
fn fold(text: &str) -> String {
    let text = text.trim();
    let end = (0..=MAX_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_lowercase()
}
