//! What an answer 402 means: no credit, or a limit that passes (spec 03 section 6.5).

use super::Reason;
use super::matcher::{any, has_any};
use super::tables::RATE_LIMIT;

/// The reason behind a 402 with this text (trimmed and in lower case).
pub(super) fn classify_402(text: &str) -> Reason {
    let text = without_wrapper(text);
    if text.is_empty() {
        return Reason::Billing;
    }
    let has = |words: &[&str]| has_any(text, words);
    let limit = has(&["limit"]);
    if has(&["subscription quota limit"]) && has(&["automatic quota refresh", "rolling time window"]) {
        return Reason::RateLimit;
    }
    if has(NO_CREDIT) || (limit && has(PLAN)) || has(HARD_LIMIT) || (limit && has(&["maximum allowed"])) {
        return Reason::Billing;
    }
    let passes = any(RATE_LIMIT, text)
        || (has(AGAIN) && has(&["usage limit", "rate limit", "organization usage"]))
        || (has(PERIOD) && (has(&["usage limit", "spend limit", "spending limit"]) || (limit && has(&["reset"]))))
        || (limit && has(&["organization", "workspace"]) && has(SPENT));
    if passes { Reason::RateLimit } else { Reason::Billing }
}

const NO_CREDIT: &[&str] = &[
    "insufficient credits",
    "insufficient quota",
    "credit balance",
    "insufficient balance",
    "plans & billing",
    "add more credits",
    "top up",
];
const PLAN: &[&str] = &["upgrade your plan", "upgrade plan", "current plan", "subscription"];
const HARD_LIMIT: &[&str] = &["billing hard limit", "hard limit reached"];
const AGAIN: &[&str] = &["try again", "retry", "temporary", "cooldown"];
const PERIOD: &[&str] = &["daily", "weekly", "monthly"];
const SPENT: &[&str] = &["spend limit", "spending limit", "billing period", "exceeded", "reached", "exhausted"];

/// The text after `error:` and the words of the status, if it starts with these.
fn without_wrapper(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("error:").map_or(text, str::trim_start);
    let is_separator = |c: char| c == ':' || c == '-' || c.is_whitespace();
    let after = |words: &str| {
        let rest = inner.strip_prefix(words)?;
        (rest.is_empty() || rest.starts_with(is_separator)).then(|| rest.trim_start_matches(is_separator))
    };
    ["http 402 payment required", "402 payment required", "http 402", "402", "payment required"]
        .into_iter()
        .find_map(after)
        .unwrap_or(inner)
        .trim_end()
}

#[cfg(test)]
mod tests {
    use super::{classify_402, without_wrapper};
    use crate::failure::Reason;

    #[test]
    fn wrappers() {
        for (text, inner) in [
            ("error: http 402: slow", "slow"),
            ("402 - slow", "slow"),
            ("402 payment required: slow", "slow"),
            ("payment required", ""),
            ("error: 402", ""),
            ("error:", ""),
            ("4020 slow", "4020 slow"),
            ("http 402 payment required", ""),
            ("402 402 slow", "402 slow"),
        ] {
            assert_eq!(without_wrapper(text), inner, "{text}");
        }
    }

    #[test]
    fn billing_words() {
        for word in [
            "insufficient credits",
            "insufficient quota",
            "credit balance",
            "insufficient balance",
            "plans & billing",
            "add more credits",
            "top up",
            "billing hard limit",
            "hard limit reached",
        ] {
            // A weaker hint of a passing limit changes nothing.
            assert_eq!(classify_402(&format!("{word}, rate limit")), Reason::Billing, "{word}");
        }
        for word in ["upgrade your plan", "upgrade plan", "current plan", "subscription", "maximum allowed"] {
            assert_eq!(classify_402(&format!("{word}: rate limit")), Reason::Billing, "{word}");
            assert_eq!(classify_402(&format!("{word}: too many requests")), Reason::RateLimit, "{word}");
        }
        assert_eq!(classify_402("no idea"), Reason::Billing);
        assert_eq!(classify_402(""), Reason::Billing);
    }

    #[test]
    fn passing_words() {
        for word in ["automatic quota refresh", "rolling time window"] {
            assert_eq!(classify_402(&format!("subscription quota limit; {word}; top up")), Reason::RateLimit, "{word}");
        }
        for text in ["subscription quota limit", "automatic quota refresh", "rolling time window: top up"] {
            assert_eq!(classify_402(text), Reason::Billing, "{text}");
        }
        for word in ["try again", "retry", "temporary", "cooldown"] {
            assert_eq!(classify_402(&format!("{word}: organization usage")), Reason::RateLimit, "{word}");
            assert_eq!(classify_402(&format!("{word}: organization")), Reason::Billing, "{word}");
            assert_eq!(classify_402(&format!("{word}: usage limit")), Reason::RateLimit, "{word}");
            assert_eq!(classify_402(&format!("{word}: rate limit")), Reason::RateLimit, "{word}");
        }
        for word in ["daily", "weekly", "monthly"] {
            for what in ["usage limit", "spend limit", "spending limit", "limit will reset"] {
                assert_eq!(classify_402(&format!("{word} {what}")), Reason::RateLimit, "{word} {what}");
            }
            assert_eq!(classify_402(&format!("{word} limit")), Reason::Billing, "{word}");
        }
        for who in ["organization", "workspace"] {
            for word in ["spend limit", "spending limit", "billing period", "exceeded", "reached", "exhausted"] {
                assert_eq!(classify_402(&format!("{who}: limit {word}")), Reason::RateLimit, "{who} {word}");
            }
            assert_eq!(classify_402(&format!("{who} limit")), Reason::Billing, "{who}");
        }
    }
}
