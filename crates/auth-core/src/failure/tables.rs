//! The tables of texts of spec 03 section 6.4, one row per entry.

use super::matcher::Pattern::{All, Any, EdgeSeq, Has, Lead, Line, Seq, Starts, Word};
use super::matcher::Piece::{AnyBlank, Edge, Later, One, Opt};
use super::matcher::{Pattern, any};

/// Billing texts longer than this count only with a plain 402.
const BILLING_MAX_CHARS: usize = 512;

/// Table R: too many requests.
pub(super) static RATE_LIMIT: &[Pattern] = &[
    Has("rate limit"),
    Has("rate_limit"),
    Has("too many requests"),
    Has("429"),
    Has("too many concurrent requests"),
    Has("throttling"),
    Has("model_cooldown"),
    Has("exceeded your current quota"),
    Has("resource has been exhausted"),
    Has("quota exceeded"),
    Has("resource_exhausted"),
    Has("throttling_exception"),
    Has("throttled"),
    Has("usage limit"),
    Word("tpm"),
    Has("tokens per minute"),
    Has("tokens per day"),
];

/// Table O: the provider is overloaded.
pub(super) static OVERLOADED: &[Pattern] = &[
    Has("overloaded_error"),
    Has("overloaded"),
    Line(&["service unavailable", "service_unavailable"], &["overload", "capacity", "high demand", "high_demand"]),
    Has("high demand"),
];

/// Table S: a fault of the server.
pub(super) static SERVER: &[Pattern] = &[
    Has("an error occurred while processing"),
    Has("internal server error"),
    Has("internal_error"),
    Has("server_error"),
    Has("service temporarily unavailable"),
    Has("service_unavailable"),
    Has("bad gateway"),
    Has("gateway timeout"),
    Has("upstream error"),
    Has("upstream connect error"),
    Has("connection reset"),
];

/// Table T: no answer.
pub(super) static TIMEOUT: &[Pattern] = &[
    Has("timeout"),
    Has("timed out"),
    Has("service unavailable"),
    Has("deadline exceeded"),
    Has("connection error"),
    Has("network error"),
    Has("network request failed"),
    Has("fetch failed"),
    Has("socket hang up"),
    Word("econnrefused"),
    Word("econnreset"),
    Word("econnaborted"),
    Word("enetunreach"),
    Word("ehostunreach"),
    Word("ehostdown"),
    Word("enetreset"),
    Word("etimedout"),
    Word("esockettimedout"),
    Word("epipe"),
    Word("enotfound"),
    Word("eai_again"),
    Seq(&["without sending "], &[Opt(&["any "]), One(&["chunk"])]),
    // "stop reason: …" and "unhandled stop reason: …" are within these.
    Has("reason: abort"),
    Has("reason: error"),
    Has("reason: malformed_response"),
    Has("reason: network_error"),
    Has("operation was aborted"),
    Seq(&["stream "], &[Opt(&["was "]), One(&["closed", "aborted"])]),
];

/// Table M: the text tells of a 402.
pub(super) static MARKER_402: &[Pattern] = &[
    STATUS_402,
    HTTP_402,
    ERROR_402,
    EdgeSeq(&["got ", "returned ", "received "], &[Opt(&["a "]), One(&["402"]), Edge]),
    Starts("402 payment required"),
    Lead(&[One(&["402"]), Edge, Later(&["used up your points"])]),
];

const STATUS_402: Pattern =
    Seq(&["status", "code"], &[Opt(&["\"", "'"]), AnyBlank, One(&[":", "="]), AnyBlank, One(&["402"]), Edge]);
const HTTP_402: Pattern = Seq(&["http 402"], &[Edge]);
const ERROR_402: Pattern = Seq(&["error "], &[Opt(&["code "]), One(&["402"]), Edge]);

/// Table B without table M: no credit.
pub(super) static BILLING: &[Pattern] = &[
    Has("payment required"),
    Has("insufficient credits"),
    Has("insufficient quota"),
    Has("insufficient_quota"),
    Has("credit balance"),
    Has("plans & billing"),
    Has("insufficient balance"),
    Has("insufficient usd or diem balance"),
    Seq(&["require"], &[Opt(&["s"]), One(&[" more credits"])]),
    All(&[
        Lead(&[
            Opt(&["error:"]),
            AnyBlank,
            // "billing error" and "insufficient credits" are within these.
            One(&["billing", "credit balance", "insufficient credit", "payment required", "http 402"]),
        ]),
        Any(&[Has("upgrade"), Has("credits"), Has("payment"), Has("plan")]),
    ]),
];

/// What of table B counts in a long text.
pub(super) static BILLING_LONG: &[Pattern] = &[STATUS_402, HTTP_402, ERROR_402, Starts("402 payment")];

/// Table P: the key is gone for good.
pub(super) static AUTH_PERMANENT: &[Pattern] = &[
    Seq(&["api"], &[GAP, One(&["key"]), GAP, One(&["revoked", "deactivated", "deleted"])]),
    Has("key has been disabled"),
    Has("key has been revoked"),
    Has("account has been deactivated"),
    Has("not allowed for this organization"),
];

const GAP: super::matcher::Piece = Opt(&["_", " "]);

/// Table A: the credential is refused.
pub(super) static AUTH: &[Pattern] = &[
    Seq(&["invalid"], &[GAP, One(&["api"]), GAP, One(&["key"])]),
    Seq(&["could not authenticate", "could not validate"], &[Later(&["api key", "credentials"])]),
    Has("permission_error"),
    Has("incorrect api key"),
    Has("invalid token"),
    Has("authentication"),
    Has("re-authenticate"),
    Has("oauth token refresh failed"),
    Has("unauthorized"),
    Has("forbidden"),
    Has("access denied"),
    Has("insufficient permission"),
    Seq(&["missing scope"], &[Opt(&["s"]), One(&[":"])]),
    Has("expired"),
    Word("401"),
    Word("403"),
    Has("no credentials found"),
    Has("no api key found"),
    Seq(&["failed to extract", "failed to parse", "failed to validate", "failed to decode"], &[Later(&["token"])]),
];

/// Table F: the request is malformed.
pub(super) static FORMAT: &[Pattern] = &[
    Has("string should match pattern"),
    Has("tool_use.id"),
    Has("tool_use_id"),
    Has("messages.1.content.1.tool_use.id"),
    Has("invalid request format"),
    Seq(&["tool call id was "], &[Later(&["must be"])]),
];

/// Table G: how an answer 400 tells of a bad key.
pub(super) static BAD_KEY_400: &[Pattern] = &[
    Has("api key not valid"),
    Has("api_key_invalid"),
    Has("api key expired"),
    Has("api_key_service_blocked"),
    Has("invalid x-api-key"),
    Has("invalid authentication"),
];

/// Table N: the account has no credit, whatever the status of the answer.
pub(super) static EMPTY_ACCOUNT: &[Pattern] = &[
    Has("insufficient balance"),
    Has("insufficient_balance"),
    Has("exceeded_current_quota_error"),
    Has("accountoverdueerror"),
    Has("arrearage"),
    Has("used all available credits"),
    Has("doesn't have any credits"),
    Has("prepayment credits are depleted"),
    Has("is suspended, possibly due to reaching the monthly spending limit"),
    Has("has reached its spend limit or has outstanding invoices"),
    Has("budget_exceeded"),
    Has("billing_hard_limit_reached"),
    Has("customer_verification_required"),
    Has("no payment method"),
    Has("usage_not_included"),
];

/// Row 2: the session is gone.
pub(super) static SESSION: &[Pattern] = &[
    Seq(&["session", "conversation"], &[One(&[" not found", " does not exist", " expired", " invalid"])]),
    Has("no such session"),
    Has("invalid session"),
    Has("session id not found"),
    Has("conversation id not found"),
];

/// Row 17: what an `api_error` of a server says.
pub(super) static API_ERROR: &[Pattern] = &[
    Has("internal server error"),
    Has("overload"),
    Has("temporarily unavailable"),
    Has("service unavailable"),
    Has("unknown error"),
    Has("server error"),
    Has("bad gateway"),
    Has("gateway timeout"),
    Has("upstream error"),
    Has("backend error"),
    Has("try again later"),
    Seq(&["temporarily"], &[Later(&["unable"])]),
    Has("unexpected error"),
];

/// Whether table B, table M included, matches.
pub(super) fn is_billing(text: &str) -> bool {
    if text.chars().nth(BILLING_MAX_CHARS).is_some() {
        return any(BILLING_LONG, text);
    }
    any(MARKER_402, text) || any(BILLING, text)
}
