//! From the text of an error to a reason (spec 03 section 6.4).

use super::Reason;
use super::context::is_overflow;
use super::matcher::Pattern::{All, Any, EdgeSeq, Has, Not, Seq, Word};
use super::matcher::Piece::{AnyBlank, Blank, Edge, Later, LaterEdge, Many, Number, One, Opt, Solid};
use super::matcher::{Pattern, any};
use super::payment::classify_402;
use super::tables::{
    API_ERROR, AUTH, AUTH_PERMANENT, FORMAT, MARKER_402, OVERLOADED, RATE_LIMIT, SERVER, SESSION, TIMEOUT, is_billing,
};

/// Row 1: limits on images, which no change of the credential lifts.
pub(super) static IMAGE: &[Pattern] = &[
    Has("image dimensions exceed max allowed size"),
    Seq(&["image exceeds"], &[Blank, Number, AnyBlank, One(&["mb"])]),
];

/// Row 3: there is no such model.
pub(super) static MODEL: &[Pattern] = &[
    Has("unknown model"),
    Has("model not found"),
    Has("model_not_found"),
    Has("not_found_error"),
    All(&[Has("does not exist"), Has("model")]),
    All(&[Has("invalid model"), Not(&Has("invalid model reference"))]),
    Seq(&["models/"], &[Solid, One(&[" is not found"])]),
    All(&[Word("404"), Any(&[Has("not found"), Has("not-found"), Has("not_found"), Has("notfound")])]),
];

/// Row 6: the limit of one key of OpenRouter.
pub(super) static KEY_LIMIT: Pattern =
    EdgeSeq(&["key"], &[Blank, One(&["limit"]), AnyBlank, One(&["exceeded", "reached", "hit"]), Edge]);

/// Row 7: the limit of a period.
pub(super) static PERIOD_LIMIT: Pattern = EdgeSeq(
    &["daily", "weekly", "monthly"],
    &[Many(&["/daily", "/weekly", "/monthly"]), One(&[" "]), Opt(&["usage "]), One(&["limit"]), Opt(&["s"]), Edge],
);

/// Row 20: texts of single providers that stand for themselves.
pub(super) static SPECIAL: &[(Reason, Pattern)] = &[
    (Reason::RateLimit, Word("throttlingexception")),
    (Reason::RateLimit, EdgeSeq(&["concurrency limit"], &[Opt(&[" has been"]), One(&[" reached"]), Edge])),
    (Reason::RateLimit, EdgeSeq(&["workers_ai"], &[Edge, LaterEdge(&["quota limit exceeded"]), Edge])),
    (Reason::Overloaded, Word("modelnotreadyexception")),
    (Reason::ModelNotFound, Has("model_deactivated")),
    (Reason::ModelNotFound, Has("model_is_deactivated")),
    (Reason::ModelNotFound, Has("model has been deactivated")),
];

/// Row 20: texts that count only for providers whose name contains the word.
pub(super) static OF_PROVIDER: &[(&str, Reason, Pattern)] = &[
    ("cloudflare", Reason::RateLimit, All(&[Has("workers_ai"), Any(&[Has("rate"), Has("limit"), Has("quota")])])),
    ("together", Reason::RateLimit, Seq(&["concurrency limit"], &[Later(&["breached", "reached"])])),
    ("bedrock", Reason::RateLimit, Any(&[Has("throttlingexception"), Has("too many concurrent requests")])),
    ("bedrock", Reason::Overloaded, Has("modelnotreadyexception")),
    ("mantle", Reason::Overloaded, Any(&[Has("overloaded"), Has("503")])),
];

/// The reason that a text tells. `text` comes from [`super::fold`], `provider` is lower case.
pub(super) fn classify_text(text: &str, provider: &str) -> Option<Reason> {
    if any(IMAGE, text) {
        return None;
    }
    rows_2_to_7(text, provider).or_else(|| rows_8_to_20(text, provider))
}

fn rows_2_to_7(text: &str, provider: &str) -> Option<Reason> {
    if any(SESSION, text) {
        Some(Reason::SessionExpired)
    } else if any(MODEL, text) {
        Some(Reason::ModelNotFound)
    } else if is_overflow(text) {
        Some(Reason::ContextOverflow)
    } else if any(MARKER_402, text) {
        Some(classify_402(text))
    } else if provider.contains("openrouter") && KEY_LIMIT.matches(text) {
        Some(Reason::Billing)
    } else if PERIOD_LIMIT.matches(text) {
        Some(if is_billing(text) { Reason::Billing } else { Reason::RateLimit })
    } else {
        None
    }
}

fn rows_8_to_20(text: &str, provider: &str) -> Option<Reason> {
    let status = super::parse_leading_status(text);
    if any(RATE_LIMIT, text) {
        Some(Reason::RateLimit)
    } else if any(OVERLOADED, text) || status == Some(529) {
        Some(Reason::Overloaded)
    } else if matches!(status, Some(499 | 500 | 502..=504 | 521..=524)) {
        Some(Reason::Timeout)
    } else if is_billing(text) {
        Some(Reason::Billing)
    } else if any(AUTH_PERMANENT, text) {
        Some(Reason::AuthPermanent)
    } else if any(AUTH, text) {
        Some(Reason::Auth)
    } else if vague(text, provider) || any(SERVER, text) || is_api_error(text) {
        Some(Reason::Timeout)
    } else if any(FORMAT, text) {
        Some(Reason::Format)
    } else if any(TIMEOUT, text) {
        Some(Reason::Timeout)
    } else {
        special(text, provider)
    }
}

/// Row 15: words of a provider for a fault of its own.
fn vague(text: &str, provider: &str) -> bool {
    (provider.contains("anthropic") && text.contains("an unknown error occurred"))
        || (provider.contains("openrouter") && text.contains("provider returned error"))
}

fn is_api_error(text: &str) -> bool {
    text.contains("\"type\":\"api_error\"") && any(API_ERROR, text)
}

fn special(text: &str, provider: &str) -> Option<Reason> {
    let general = SPECIAL.iter().find(|(_, test)| test.matches(text)).map(|(reason, _)| *reason);
    general.or_else(|| {
        let of_provider = |row: &&(&str, Reason, Pattern)| provider.contains(row.0) && row.2.matches(text);
        OF_PROVIDER.iter().find(of_provider).map(|row| row.1)
    })
}
