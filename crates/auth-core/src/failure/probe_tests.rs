//! What a probe knows better than a turn (spec 03 section 6.3 step 2).

use crate::failure::{Reason, Signal, classify, classify_probe};

fn signal<'a>(status: Option<u16>, message: &'a str, code: Option<&'a str>) -> Signal<'a> {
    Signal { status, code, message, provider: "" }
}

#[test]
fn an_empty_account_is_told_by_its_text() {
    let text = "Arrearage: Access denied";
    for status in [400, 401, 403, 412, 429, 500] {
        assert_eq!(classify_probe(&signal(Some(status), text, None)), Some(Reason::Billing), "{status}");
    }
    // Only the probe knows, and only with one of these statuses.
    for (status, code, expected) in [
        (404, None, Some(Reason::Auth)),
        (408, None, Some(Reason::Timeout)),
        (503, None, Some(Reason::Timeout)),
        (529, None, Some(Reason::Overloaded)),
        (418, Some("RATE_LIMITED"), Some(Reason::RateLimit)),
    ] {
        assert_eq!(classify_probe(&signal(Some(status), text, code)), expected, "{status}");
    }
    for (status, expected) in [(400, Reason::Auth), (429, Reason::RateLimit), (500, Reason::Timeout)] {
        assert_eq!(classify(&signal(Some(status), text, None)), Some(expected), "{status}");
    }
}

#[test]
fn texts_of_kimi_and_bedrock() {
    let limit = "You have reached your usage limit for this period";
    let inference = "Invocation with on-demand throughput isn't supported; use an inference profile";
    for (status, provider, message, probe, turn) in [
        (403, "kimi", limit, Reason::RateLimit, Reason::Auth),
        (403, "kimi-coding", limit, Reason::RateLimit, Reason::Auth),
        (403, "openai", limit, Reason::Auth, Reason::Auth),
        (403, "kimi", "no access", Reason::Auth, Reason::Auth),
        (401, "kimi", limit, Reason::Auth, Reason::Auth),
        (400, "amazon-bedrock", inference, Reason::ModelNotFound, Reason::Format),
        (401, "amazon-bedrock", inference, Reason::Auth, Reason::Auth),
        (400, "amazon-bedrock", "malformed input", Reason::Format, Reason::Format),
    ] {
        let signal = Signal { status: Some(status), code: None, message, provider };
        assert_eq!((classify_probe(&signal), classify(&signal)), (Some(probe), Some(turn)), "{signal:?}");
    }
}
