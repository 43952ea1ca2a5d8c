//! The vectors of spec 03 appendix A, the steps of section 6.3, and arbitrary texts.

use crate::failure::{ProbeStatus, Reason, Signal, classify, classify_message, classify_probe, parse_leading_status};
use crate::usage::FailureReason;

type Vector = (Option<Reason>, Option<u16>, &'static str, &'static str, Option<&'static str>);

/// Appendix A: result, status, message, provider, code.
const VECTORS: &[Vector] = &[
    (Some(Reason::Auth), Some(401), "Incorrect API key provided", "", None),
    (Some(Reason::Auth), Some(403), "daily limit reached", "", None),
    (Some(Reason::Auth), Some(403), "model not found", "", None),
    (Some(Reason::Auth), Some(400), "invalid_api_key", "", None),
    (Some(Reason::Auth), Some(410), "unauthorized", "", None),
    (Some(Reason::Auth), Some(418), "forbidden", "", None),
    (Some(Reason::Auth), None, "token has expired", "", None),
    (Some(Reason::Auth), None, "Access denied", "", None),
    (Some(Reason::Auth), None, "missing scope: a", "", None),
    (Some(Reason::Auth), None, "OAuth token refresh failed", "", None),
    (Some(Reason::Auth), None, "could not validate the api key", "", None),
    (Some(Reason::Auth), Some(403), "Key limit exceeded", "openai", None),
    (Some(Reason::Auth), Some(200), "unauthorized", "", None),
    (Some(Reason::AuthPermanent), Some(401), "api_key_revoked", "", None),
    (Some(Reason::AuthPermanent), Some(403), "This key has been disabled", "", None),
    (Some(Reason::AuthPermanent), None, "account has been deactivated", "", None),
    (Some(Reason::Billing), Some(403), "Insufficient credits", "", None),
    (Some(Reason::Billing), Some(402), "", "", None),
    (Some(Reason::Billing), Some(402), "Payment required", "", None),
    (Some(Reason::Billing), Some(402), "Your subscription limit was reached", "", None),
    (Some(Reason::Billing), Some(402), "maximum allowed limit", "", None),
    (Some(Reason::Billing), Some(402), "billing hard limit has been reached", "", None),
    (Some(Reason::Billing), Some(400), "insufficient_quota", "", None),
    (Some(Reason::Billing), Some(400), "Your credit balance is too low", "", None),
    (Some(Reason::Billing), None, "monthly usage limit, credit balance 0", "", None),
    (Some(Reason::Billing), None, "HTTP 402 something", "", None),
    (Some(Reason::Billing), None, "got a 402 from upstream", "", None),
    (Some(Reason::Billing), None, "billing error: please upgrade", "", None),
    (Some(Reason::Billing), Some(403), "Key limit exceeded", "openrouter", None),
    (Some(Reason::RateLimit), Some(402), "HTTP 402: daily usage limit reached", "", None),
    (Some(Reason::RateLimit), Some(402), "monthly spending limit hit", "", None),
    (Some(Reason::RateLimit), Some(402), "weekly limit, resets Monday", "", None),
    (Some(Reason::RateLimit), Some(402), "workspace limit exhausted", "", None),
    (Some(Reason::RateLimit), Some(402), "temporary: usage limit, retry", "", None),
    (
        Some(Reason::RateLimit),
        Some(402),
        "subscription quota limit; automatic quota refresh in rolling time window",
        "",
        None,
    ),
    (Some(Reason::RateLimit), Some(402), "rate limit", "", None),
    (Some(Reason::RateLimit), Some(429), "insufficient_quota: you exceeded your current quota", "", None),
    (Some(Reason::RateLimit), None, "rate limit reached", "", None),
    (Some(Reason::RateLimit), None, "Daily limit exceeded", "", None),
    (Some(Reason::RateLimit), None, "tokens per day exceeded", "", None),
    (Some(Reason::RateLimit), None, "TPM limit, prompt is too long", "", None),
    (Some(Reason::RateLimit), None, "ThrottlingException: slow", "", None),
    (Some(Reason::RateLimit), None, "concurrency limit reached", "", None),
    (Some(Reason::RateLimit), None, "", "", Some("RESOURCE_EXHAUSTED")),
    (Some(Reason::Overloaded), Some(499), "overloaded", "", None),
    (Some(Reason::Overloaded), Some(503), "overloaded", "", None),
    (Some(Reason::Overloaded), Some(503), "service unavailable: high demand", "", None),
    (Some(Reason::Overloaded), Some(529), "x", "", None),
    (Some(Reason::Overloaded), None, "Overloaded", "", None),
    (Some(Reason::Overloaded), None, "529 x", "", None),
    (Some(Reason::Overloaded), None, "ModelNotReadyException", "", None),
    (Some(Reason::Overloaded), None, "", "", Some("OVERLOADED")),
    (Some(Reason::Timeout), Some(408), "x", "", None),
    (Some(Reason::Timeout), Some(410), "gone", "", None),
    (Some(Reason::Timeout), Some(499), "client closed", "", None),
    (Some(Reason::Timeout), Some(500), "overloaded", "", None),
    (Some(Reason::Timeout), Some(503), "x", "", None),
    (Some(Reason::Timeout), Some(504), "x", "", None),
    (Some(Reason::Timeout), None, "503 Service Unavailable", "", None),
    (Some(Reason::Timeout), None, "internal server error", "", None),
    (
        Some(Reason::Timeout),
        None,
        "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"backend error\"}}",
        "",
        None,
    ),
    (Some(Reason::Timeout), None, "fetch failed", "", None),
    (Some(Reason::Timeout), None, "Connection error.", "", None),
    (Some(Reason::Timeout), None, "socket hang up", "", None),
    (Some(Reason::Timeout), None, "Unhandled stop reason: error", "", None),
    (Some(Reason::Timeout), None, "ECONNREFUSED 1.2.3.4", "", None),
    (Some(Reason::Timeout), None, "An unknown error occurred", "anthropic", None),
    (Some(Reason::Timeout), None, "Provider returned error", "openrouter", None),
    (Some(Reason::Timeout), None, "", "", Some("ETIMEDOUT")),
    (Some(Reason::Format), Some(400), "bad thing", "", None),
    (Some(Reason::Format), Some(400), "tool_use_id missing", "", None),
    (Some(Reason::Format), Some(400), "API key not valid. Please pass a valid API key.", "", None),
    (Some(Reason::ModelNotFound), Some(400), "unknown model foo", "", None),
    (Some(Reason::ModelNotFound), None, "model_is_deactivated", "", None),
    (Some(Reason::ModelNotFound), None, "models/x is not found for API version v1", "", None),
    (Some(Reason::SessionExpired), Some(400), "session expired", "", None),
    (Some(Reason::SessionExpired), Some(410), "session expired", "", None),
    (Some(Reason::SessionExpired), None, "conversation not found", "", None),
    (Some(Reason::ContextOverflow), Some(422), "prompt is too long: 300000 tokens > 200000 maximum", "", None),
    (Some(Reason::ContextOverflow), None, "上下文过长", "", None),
    (None, Some(404), "nope", "", None),
    (None, Some(404), "Not Found", "", None),
    (None, Some(413), "Request too large", "", None),
    (None, Some(520), "x", "", None),
    (None, Some(521), "x", "", None),
    (None, None, "billing: call us", "", None),
    (None, None, "request was aborted", "", None),
    (None, None, "Unexpected token n in JSON", "", None),
    (None, None, "invalid model reference x", "", None),
    (None, None, "image exceeds 5 mb", "", None),
    (None, None, "An unknown error occurred", "openai", None),
    (None, None, "", "", Some("ENOTFOUND")),
];

fn signal<'a>(status: Option<u16>, message: &'a str, code: Option<&'a str>) -> Signal<'a> {
    Signal { status, code, message, provider: "" }
}

#[test]
fn appendix_a() {
    for (expected, status, message, provider, code) in VECTORS {
        let signal = Signal { status: *status, code: *code, message, provider };
        assert_eq!(classify(&signal), *expected, "{signal:?}");
    }
}

#[test]
fn additions_of_the_probe() {
    let key = signal(Some(400), "400 API key not valid. Please pass a valid API key.", None);
    assert_eq!(classify(&key), Some(Reason::Format));
    assert_eq!(classify_probe(&key), Some(Reason::Auth));
    assert_eq!(classify_probe(&signal(None, "400 api_key_invalid", None)), Some(Reason::Auth));
    let quota = "429 You exceeded your current quota insufficient_quota";
    for (message, code, expected) in [
        (quota, None, Reason::Billing),
        ("429 no", Some("insufficient_quota"), Reason::Billing),
        ("429 no", Some("Insufficient_Quota"), Reason::Billing),
        ("429 no", Some("rate_limit_exceeded"), Reason::RateLimit),
        ("429 not_insufficient_quota", None, Reason::RateLimit),
    ] {
        let signal = signal(Some(429), message, code);
        assert_eq!(classify_probe(&signal), Some(expected), "{signal:?}");
        assert_eq!(classify(&signal), Some(Reason::RateLimit), "{signal:?}");
    }
    for (expected, status, message, provider, code) in VECTORS {
        let signal = Signal { status: *status, code: *code, message, provider };
        if !message.contains("API key not valid") {
            assert_eq!(classify_probe(&signal), *expected, "{signal:?}");
        }
    }
}

#[test]
fn codes() {
    for (reason, codes) in [
        (
            Reason::RateLimit,
            "RESOURCE_EXHAUSTED RATE_LIMIT RATE_LIMITED RATE_LIMIT_EXCEEDED TOO_MANY_REQUESTS THROTTLED THROTTLING \
 THROTTLINGEXCEPTION THROTTLING_EXCEPTION",
        ),
        (Reason::Overloaded, "OVERLOADED OVERLOADED_ERROR"),
        (
            Reason::Timeout,
            "ETIMEDOUT ESOCKETTIMEDOUT ECONNRESET ECONNABORTED ECONNREFUSED ENETUNREACH EHOSTUNREACH EHOSTDOWN ENETRESET \
 EPIPE EAI_AGAIN",
        ),
    ] {
        for code in codes.split_whitespace() {
            let lower = code.to_lowercase();
            assert_eq!(classify(&signal(None, "unauthorized", Some(&lower))), Some(reason), "{code}");
            assert_eq!(classify(&signal(Some(418), "", Some(code))), Some(reason), "{code}");
            assert_eq!(classify(&signal(Some(401), "", Some(code))), Some(Reason::Auth), "{code}");
        }
    }
}

#[test]
fn statuses() {
    for (status, message, expected) in [
        (401, "", Some(Reason::Auth)),
        (403, "credit balance", Some(Reason::Billing)),
        (408, "unauthorized", Some(Reason::Timeout)),
        (410, "rate limit", Some(Reason::Timeout)),
        (410, "credit balance", Some(Reason::Billing)),
        (410, "api key revoked", Some(Reason::AuthPermanent)),
        (422, "nothing known", Some(Reason::Format)),
        (502, "unauthorized", Some(Reason::Timeout)),
        (529, "unauthorized", Some(Reason::Overloaded)),
        (418, "nothing known", None),
        (400, "image exceeds 5 MB", Some(Reason::Format)),
    ] {
        assert_eq!(classify(&signal(Some(status), message, None)), expected, "{status} {message}");
    }
    // The status that was given wins over the one in the text, and that over none.
    assert_eq!(classify(&signal(Some(401), "408 x", None)), Some(Reason::Auth));
    assert_eq!(classify(&signal(None, "HTTP 408: x", None)), Some(Reason::Timeout));
}

#[test]
fn leading_status() {
    for (text, expected) in [
        ("429", Some(429)),
        ("429: x", Some(429)),
        ("429\tx", Some(429)),
        ("HTTP 503 x", Some(503)),
        (" http 503", Some(503)),
        ("http503", None),
        ("4290", None),
        ("429x", None),
        ("42", None),
        ("+42 x", None),
        ("x 429", None),
        ("", None),
        ("http ", None),
        ("4é9", None),
        ("httpé429", None),
    ] {
        assert_eq!(parse_leading_status(text), expected, "{text:?}");
    }
}

const REASONS: &[(Reason, &str, &str)] = &[
    (Reason::Auth, "auth", "auth"),
    (Reason::AuthPermanent, "auth_permanent", "auth"),
    (Reason::RateLimit, "rate_limit", "rate_limit"),
    (Reason::Overloaded, "overloaded", "rate_limit"),
    (Reason::Billing, "billing", "billing"),
    (Reason::Timeout, "timeout", "timeout"),
    (Reason::Format, "format", "format"),
    (Reason::ModelNotFound, "model_not_found", "unknown"),
    (Reason::SessionExpired, "session_expired", "unknown"),
    (Reason::ContextOverflow, "context_overflow", "unknown"),
    (Reason::InvalidResponse, "invalid_response", "format"),
    (Reason::Network, "network", "timeout"),
    (Reason::Tls, "tls", "unknown"),
    (Reason::RedirectRefused, "redirect_refused", "unknown"),
    (Reason::Cancelled, "cancelled", "unknown"),
    (Reason::InvalidToken, "invalid_token", "unknown"),
    (Reason::UnsupportedProbe, "unsupported_probe", "unknown"),
    (Reason::NoFreeCheck, "no_free_check", "unknown"),
];

#[test]
fn words() {
    for (reason, word, status) in REASONS {
        assert_eq!(reason.as_str(), *word);
        assert_eq!(reason.status().as_str(), *status, "{word}");
    }
    assert_eq!(ProbeStatus::Ok.as_str(), "ok");
    assert_eq!(ProbeStatus::NoModel.as_str(), "no_model");
}

/// Spec 07 section 6.3: what a turn that fails for this reason writes into the statistics.
#[test]
fn recorded_reasons() {
    for (reason, word, _) in REASONS {
        let expected = match reason {
            Reason::Auth
            | Reason::AuthPermanent
            | Reason::RateLimit
            | Reason::Overloaded
            | Reason::Billing
            | Reason::Format
            | Reason::SessionExpired => Some(*word),
            _ => None,
        };
        assert_eq!(reason.recorded().map(FailureReason::as_str), expected, "{word}");
    }
}

#[test]
fn long_texts_are_cut() {
    let late = format!("{}unauthorized", "é ".repeat(3000));
    assert_eq!(classify_message(&late, ""), None);
    let early = format!("unauthorized{}", "é".repeat(1_000_000));
    assert_eq!(classify_message(&early, ""), Some(Reason::Auth));
    // 8 KiB are looked at, and not a byte more.
    let at = |start: usize| classify_message(&format!("{}unauthorized", " x".repeat(start / 2)), "");
    assert_eq!((at(8192 - 12), at(8192 - 10)), (Some(Reason::Auth), None));
    // 8191 bytes and then a character of two: the cut falls before it.
    assert_eq!(classify_message(&format!("{}é", "a".repeat(8191)), ""), None);
}

/// Texts that would cost a matcher with backtracking minutes; here they only have to end.
#[test]
fn repeated_beginnings_end() {
    for word in
        ["models/", "reasoning ", "failed to parse ", "total token ", "workers_ai ", "daily/", "code  ", "key  "]
    {
        classify_message(&word.repeat(4000), "openrouter");
    }
}

/// A small generator, the same on every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit as u64)).unwrap()
    }
}

#[test]
fn arbitrary_texts_do_not_panic() {
    let parts = [
        "402",
        "429",
        "http ",
        "error:",
        "session",
        " not found",
        "models/",
        " is",
        "daily",
        "/weekly",
        " limit",
        "code",
        "\"",
        ":",
        "=",
        " ",
        "\n",
        "\u{2028}",
        "é",
        "İ",
        "ẞ",
        "上下文",
        "😀",
        "\0",
        "reasoning",
        "total token",
        "exceeds ",
        "key",
        "api",
        "_",
        "image exceeds",
        "5.5",
        "mb",
        "workers_ai",
        "service unavailable",
        "overload",
        "payment required",
    ];
    let providers = ["", "openrouter", "anthropic", "cloudflare", "together", "bedrock-mantle", "İ"];
    let statuses = [None, Some(0), Some(400), Some(401), Some(402), Some(410), Some(429), Some(503), Some(u16::MAX)];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..100_000 {
        let mut text = String::new();
        for _ in 0..random.below(10) {
            match random.below(3) {
                0 => text.extend(u32::try_from(random.below(0x11_0000)).ok().and_then(char::from_u32)),
                1 => text.extend(u32::try_from(random.below(128)).ok().and_then(char::from_u32)),
                _ => text.push_str(parts[random.below(parts.len())]),
            }
        }
        let code = (random.below(4) == 0).then_some(text.as_str());
        let status = statuses[random.below(statuses.len())];
        let signal = Signal { status, code, message: &text, provider: providers[random.below(providers.len())] };
        let (plain, probe) = (classify(&signal), classify_probe(&signal));
        assert!(plain == probe || matches!(probe, Some(Reason::Auth | Reason::Billing)), "{signal:?}");
    }
}
