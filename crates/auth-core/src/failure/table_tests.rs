//! For every entry of every table a text that it matches.

use super::fold;
use super::matcher::Pattern;
use super::{context, message, tables};
use crate::failure::{Reason, classify_message};

/// Texts per entry, in the order of the table; `|` separates the texts of one entry.
fn check(name: &str, table: &[Pattern], samples: &[&str]) {
    assert_eq!(table.len(), samples.len(), "table {name}: one row per entry");
    for (pattern, row) in table.iter().zip(samples) {
        for sample in row.split('|') {
            assert!(pattern.matches(&fold(sample)), "table {name}: {pattern:?} on {sample:?}");
        }
    }
}

/// As [`check`], and the whole classifier has this result for every sample.
fn check_all(name: &str, table: &[Pattern], samples: &[&str], expected: Option<Reason>) {
    check(name, table, samples);
    for sample in samples.iter().flat_map(|row| row.split('|')) {
        assert_eq!(classify_message(sample, ""), expected, "table {name}: {sample:?}");
    }
}

#[test]
fn table_r() {
    let samples = [
        "Rate limit",
        "rate_limit_error",
        "Too many requests",
        "code 429",
        "too many concurrent requests",
        "Throttling: x|ThrottlingException",
        "model_cooldown",
        "You exceeded your current quota",
        "Resource has been exhausted",
        "Quota exceeded",
        "RESOURCE_EXHAUSTED",
        "throttling_exception",
        "throttled",
        "usage limit",
        "your TPM is low",
        "tokens per minute",
        "tokens per day",
    ];
    check_all("R", tables::RATE_LIMIT, &samples, Some(Reason::RateLimit));
    assert_eq!(classify_message("tpmx", ""), None);
}

#[test]
fn table_o() {
    let samples = [
        "overloaded_error",
        "Overloaded",
        "service unavailable due to capacity|overload: service_unavailable|service unavailable, high_demand|\
         high demand: service_unavailable",
        "high demand",
    ];
    check_all("O", tables::OVERLOADED, &samples, Some(Reason::Overloaded));
    assert_eq!(classify_message("service unavailable\ncapacity", ""), Some(Reason::Timeout));
}

#[test]
fn table_s() {
    let samples = [
        "An error occurred while processing your request",
        "Internal server error",
        "internal_error",
        "server_error",
        "service temporarily unavailable",
        "service_unavailable",
        "Bad gateway",
        "gateway timeout",
        "upstream error",
        "upstream connect error",
        "connection reset by peer",
    ];
    check_all("S", tables::SERVER, &samples, Some(Reason::Timeout));
}

#[test]
fn table_t() {
    let samples = [
        "timeout",
        "Request timed out.",
        "Service Unavailable",
        "deadline exceeded",
        "Connection error.",
        "network error",
        "network request failed",
        "fetch failed",
        "socket hang up",
        "connect ECONNREFUSED ::1",
        "read ECONNRESET",
        "econnaborted",
        "ENETUNREACH",
        "EHOSTUNREACH",
        "EHOSTDOWN",
        "ENETRESET",
        "ETIMEDOUT",
        "ESOCKETTIMEDOUT",
        "write EPIPE",
        "getaddrinfo ENOTFOUND x",
        "EAI_AGAIN",
        "without sending any chunks|without sending chunk|without sending any chunk",
        "reason: abort|stop reason: abort|Unhandled stop reason: abort",
        "reason: error|stop reason: error",
        "reason: malformed_response",
        "reason: network_error|unhandled stop reason: network_error",
        "This operation was aborted",
        "stream was closed|stream closed|stream was aborted|stream aborted",
    ];
    check_all("T", tables::TIMEOUT, &samples, Some(Reason::Timeout));
    for text in ["xepipe", "enotfound_x", "stream will be closed"] {
        assert_eq!(classify_message(text, ""), None, "{text}");
    }
}

#[test]
fn table_m() {
    let samples = [
        "status: 402|\"code\":402|status=402|'status' = 402|status\": 402",
        "HTTP 402|http 402: x",
        "error 402|Error code 402|error 402: x",
        "got a 402|returned 402|received a 402",
        "402 Payment Required",
        "402 you have used up your points",
    ];
    check_all("M", tables::MARKER_402, &samples, Some(Reason::Billing));
    assert_eq!(classify_message("error code: 402", ""), Some(Reason::Billing));
    for text in ["status: 4021", "forgot a 402", "x 402 payment", "402\nused up your points", "http 4020"] {
        assert_eq!(classify_message(text, ""), None, "{text}");
    }
    assert_eq!(classify_message("status: 402, rate limit", ""), Some(Reason::RateLimit));
}

#[test]
fn table_b() {
    let samples = [
        "payment required",
        "Insufficient credits",
        "insufficient quota",
        "insufficient_quota",
        "Your credit balance is 0",
        "Plans & Billing",
        "insufficient balance",
        "Insufficient USD or Diem balance",
        "this requires more credits|require more credits",
        "billing: upgrade|error: billing error, plan|Error:insufficient credit, payment|http 402 plan|\
         credit balance: credits|payment required: plan",
    ];
    check_all("B", tables::BILLING, &samples, Some(Reason::Billing));
    assert_eq!(classify_message("billing", ""), None);
    assert_eq!(classify_message("see billing, upgrade", ""), None);
}

#[test]
fn table_b_long() {
    let long = "x".repeat(512);
    let samples = ["code: 402|status=402", "http 402", "error 402|error code 402", "402 payment due"];
    check("B long", tables::BILLING_LONG, &samples);
    for sample in samples.iter().flat_map(|row| row.split('|')) {
        assert_eq!(classify_message(&format!("{sample} {long}"), ""), Some(Reason::Billing), "{sample}");
    }
    assert_eq!(classify_message(&format!("credit balance {long}"), ""), None);
    assert_eq!(classify_message(&format!("credit balance {}", "é".repeat(497)), ""), Some(Reason::Billing));
    assert_eq!(classify_message(&format!("credit balance {}", "é".repeat(498)), ""), None);
}

#[test]
fn table_p() {
    let samples = [
        "API key revoked|api_key_deactivated|apikeydeleted|api key deleted",
        "This key has been disabled",
        "key has been revoked",
        "account has been deactivated",
        "not allowed for this organization",
    ];
    check_all("P", tables::AUTH_PERMANENT, &samples, Some(Reason::AuthPermanent));
}

#[test]
fn table_a() {
    let samples = [
        "Invalid API key|invalid_api_key|invalidapikey",
        "could not authenticate your api key|could not validate credentials",
        "permission_error",
        "Incorrect API key provided",
        "invalid token",
        "authentication",
        "re-authenticate",
        "OAuth token refresh failed",
        "Unauthorized",
        "Forbidden",
        "access denied",
        "insufficient permission|insufficient permissions",
        "missing scope: a|missing scopes: a, b",
        "expired",
        "x 401 y",
        "(403)",
        "no credentials found",
        "No API key found",
        "failed to extract the token|failed to parse token|failed to validate x token|failed to decode token",
    ];
    check_all("A", tables::AUTH, &samples, Some(Reason::Auth));
    for text in ["4010", "failed to parse\ntoken", "could not validate\ncredentials", "missing scope"] {
        assert_eq!(classify_message(text, ""), None, "{text}");
    }
}

#[test]
fn table_f() {
    let samples = [
        "String should match pattern",
        "tool_use.id",
        "tool_use_id",
        "messages.1.content.1.tool_use.id",
        "invalid request format",
        "tool call id was x, must be y",
    ];
    check_all("F", tables::FORMAT, &samples, Some(Reason::Format));
}

#[test]
fn table_g() {
    let samples = [
        "API key not valid",
        "API_KEY_INVALID",
        "API key expired",
        "API_KEY_SERVICE_BLOCKED",
        "invalid x-api-key",
        "invalid authentication",
    ];
    check("G", tables::BAD_KEY_400, &samples);
}

#[test]
fn table_n() {
    let samples = [
        "Insufficient Balance",
        "insufficient_balance",
        "exceeded_current_quota_error",
        "AccountOverdueError",
        "Arrearage",
        "your team has used all available credits",
        "your team doesn't have any credits",
        "your prepayment credits are depleted",
        "account a is suspended, possibly due to reaching the monthly spending limit",
        "a has reached its spend limit or has outstanding invoices",
        "budget_exceeded",
        "billing_hard_limit_reached",
        "customer_verification_required",
        "no payment method",
        "usage_not_included",
    ];
    check("N", tables::EMPTY_ACCOUNT, &samples);
}

#[test]
fn rows_1_to_3() {
    let samples = ["image dimensions exceed max allowed size", "image exceeds 5 MB|image exceeds 4.5mb"];
    check_all("row 1", message::IMAGE, &samples, None);
    let samples = [
        "Session not found|session does not exist|session expired|session invalid|conversation not found|\
         conversation does not exist|conversation expired|conversation invalid",
        "no such session",
        "invalid session",
        "session id not found",
        "conversation id not found",
    ];
    check_all("row 2", tables::SESSION, &samples, Some(Reason::SessionExpired));
    let samples = [
        "unknown model",
        "model not found",
        "model_not_found",
        "not_found_error",
        "The model x does not exist",
        "invalid model x",
        "models/x is not found",
        "404 Not Found|404 not-found|404 not_found|404 NotFound",
    ];
    check_all("row 3", message::MODEL, &samples, Some(Reason::ModelNotFound));
    for text in ["it does not exist", "invalid model reference", "models/ is not found", "4040 not found"] {
        assert_eq!(classify_message(text, ""), None, "{text}");
    }
}

#[test]
fn context_overflow() {
    let samples = [
        "request_too_large",
        "INVALID_ARGUMENT: the maximum number of tokens",
        "request exceeds the maximum size",
        "context length exceeded",
        "maximum context length",
        "prompt is too long",
        "prompt too long",
        "exceeds model context window",
        "model token limit",
        "input exceeds 5, the maximum number of tokens",
        "request size exceeds the context window|request size exceeds the context length",
        "Context overflow: x",
        "exceed context limit",
        "exceeds the model's maximum context",
        "max_tokens exceed the context|input length may exceed context",
        "413 too large",
        "context_window_exceeded",
        "上下文过长",
        "上下文超出",
        "上下文长度超",
        "超出最大上下文",
        "请压缩上下文",
        "input token count exceeds the maximum number of input tokens",
        "input is too long for this model|input is too long for the model",
        "input exceeds the maximum number of tokens",
        "ollama error: context length exceeded",
        "total tokens of x exceed the limit|total token count exceeds max|total tokens exceed the model's maximum",
    ];
    check_all("overflow", context::OVERFLOW, &samples, Some(Reason::ContextOverflow));
    let samples = [
        "TPM",
        "tokens per minute",
        "reasoning is mandatory",
        "reasoning is required",
        "requires reasoning",
        "reasoning of x cannot be disabled",
    ];
    check("no overflow", context::NOT_OVERFLOW, &samples);
    for sample in samples {
        assert_ne!(classify_message(&format!("{sample}: prompt is too long"), ""), Some(Reason::ContextOverflow));
    }
}

#[test]
fn rows_6_and_7() {
    for text in ["Key limit exceeded", "key  limit reached", "a key limithit"] {
        assert!(message::KEY_LIMIT.matches(&fold(text)), "{text}");
        assert_eq!(classify_message(text, "OpenRouter"), Some(Reason::Billing), "{text}");
        assert_eq!(classify_message(text, "openai"), None, "{text}");
    }
    for text in ["monkey limit hit", "key limit hits"] {
        assert_eq!(classify_message(text, "openrouter"), None, "{text}");
    }
    for text in [
        "daily limit",
        "weekly limits reached",
        "monthly usage limit",
        "daily/weekly limit",
        "daily/weekly/monthly limits",
    ] {
        assert!(message::PERIOD_LIMIT.matches(&fold(text)), "{text}");
        assert_eq!(classify_message(text, ""), Some(Reason::RateLimit), "{text}");
        assert_eq!(classify_message(&format!("{text}, credit balance 0"), ""), Some(Reason::Billing), "{text}");
    }
    for text in ["daily limitation", "a daily, limit", "xdaily limit"] {
        assert_eq!(classify_message(text, ""), None, "{text}");
    }
}

#[test]
fn rows_10_to_17() {
    assert_eq!(classify_message("529 x", ""), Some(Reason::Overloaded));
    for status in [499, 500, 502, 503, 504, 521, 522, 523, 524] {
        assert_eq!(classify_message(&format!("{status} x"), ""), Some(Reason::Timeout), "{status}");
    }
    for status in [501, 505, 520, 525] {
        assert_eq!(classify_message(&format!("{status} x"), ""), None, "{status}");
    }
    for (text, provider) in [("An unknown error occurred", "my-anthropic"), ("Provider returned error", "openrouter")] {
        assert_eq!(classify_message(text, provider), Some(Reason::Timeout), "{text}");
        assert_eq!(classify_message(text, "openai"), None, "{text}");
    }
    let samples = [
        "internal server error",
        "overload",
        "temporarily unavailable",
        "service unavailable",
        "unknown error",
        "server error",
        "bad gateway",
        "gateway timeout",
        "upstream error",
        "backend error",
        "try again later",
        "temporarily we are unable",
        "unexpected error",
    ];
    check("row 17", tables::API_ERROR, &samples);
    for sample in samples {
        let text = format!(r#"{{"type":"api_error","message":"{sample}"}}"#);
        assert_eq!(classify_message(&text, ""), Some(Reason::Timeout), "{text}");
    }
    assert_eq!(classify_message(r#"{"type":"api_error","message":"no"}"#, ""), None);
    assert_eq!(classify_message("backend error", ""), None);
}

#[test]
fn row_20() {
    let samples = [
        "ThrottlingException",
        "concurrency limit reached|concurrency limit has been reached",
        "workers_ai: quota limit exceeded",
        "ModelNotReadyException",
        "model_deactivated",
        "model_is_deactivated",
        "model has been deactivated",
    ];
    assert_eq!(samples.len(), message::SPECIAL.len());
    for ((reason, pattern), row) in message::SPECIAL.iter().zip(samples) {
        for text in row.split('|') {
            assert!(pattern.matches(&fold(text)), "{text}");
            assert_eq!(classify_message(text, ""), Some(*reason), "{text}");
        }
    }
    let samples = [
        "workers_ai: quota|workers_ai: rate|workers_ai: limit",
        "concurrency limit was breached|concurrency limit now reached",
        "ThrottlingException|Too many concurrent requests",
        "ModelNotReadyException",
        "overloaded|status is 503",
    ];
    assert_eq!(samples.len(), message::OF_PROVIDER.len());
    for ((provider, reason, pattern), row) in message::OF_PROVIDER.iter().zip(samples) {
        for text in row.split('|') {
            assert!(pattern.matches(&fold(text)), "{text}");
            assert_eq!(classify_message(text, &format!("a-{provider}")), Some(*reason), "{text}");
        }
    }
    for text in ["workers_ai: quota", "concurrency limit was breached", "status is 503"] {
        assert_eq!(classify_message(text, "openai"), None, "{text}");
    }
}
