//! How long a ChatGPT login that was limited stays out of use, by what the account says of itself (spec 07 section 5.8).

use serde_json::Value;

use super::{CooldownPolicy, FailureReason, UsageStats};
use crate::provider::ProviderId;
use crate::time::Timestamp;

const SECOND_MS: f64 = 1000.0;
const MINUTE_MS: f64 = 60.0 * SECOND_MS;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
/// The length when the account says nothing that helps.
const UNKNOWN_MS: f64 = 30.0 * SECOND_MS;

/// Whether the account is asked at all: a login of ChatGPT that was limited, or failed for no reason that we know.
#[must_use]
pub fn asks_chatgpt_usage(provider: &ProviderId, is_login: bool, reason: FailureReason) -> bool {
    is_login
        && provider.as_str() == "openai-codex"
        && matches!(reason, FailureReason::RateLimit | FailureReason::Unknown)
}

/// The length of the cooldown in milliseconds. `status` is that of the answer, `None` when there was none; `body` what
/// came with it.
#[must_use]
pub fn chatgpt_cooldown_ms(status: Option<u16>, body: &[u8], now: Timestamp) -> f64 {
    match status {
        None => return UNKNOWN_MS,
        Some(401) => return 12.0 * HOUR_MS,
        Some(403) => return 24.0 * HOUR_MS,
        Some(200..=299) => {}
        Some(_) => return 5.0 * MINUTE_MS,
    }
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let Some(limit) = document.get("rate_limit").filter(|limit| limit.is_object()) else { return UNKNOWN_MS };
    if limit.get("limit_reached") == Some(&Value::Bool(false)) {
        return 15.0 * SECOND_MS;
    }
    let window = |name: &str| limit.get(name).filter(|window| window.is_object());
    let is_used_up =
        |window: &Value| window.get("used_percent").and_then(Value::as_f64).is_some_and(|used| used >= 100.0);
    let half_of = |window: Option<&Value>, hours_max: f64| {
        let reset = window.and_then(|window| reset_ms(window, now));
        reset.map_or(UNKNOWN_MS, |reset| (reset / 2.0).min(hours_max * HOUR_MS))
    };
    match (window("primary_window"), window("secondary_window")) {
        (primary, None) => half_of(primary, 4.0),
        (_, Some(secondary)) if is_used_up(secondary) => half_of(Some(secondary), 4.0),
        (Some(primary), Some(_)) if is_used_up(primary) => half_of(Some(primary), 2.0),
        _ => UNKNOWN_MS,
    }
}

/// In how many milliseconds a window begins anew; `None` when it does not say, or says a time that is over.
fn reset_ms(window: &Value, now: Timestamp) -> Option<f64> {
    let number = |name: &str| window.get(name).and_then(Value::as_f64);
    let after = number("reset_after_seconds").map(|seconds| seconds * SECOND_MS);
    let at = || number("reset_at").map(|seconds| seconds * SECOND_MS - now.as_f64());
    after.or_else(at).filter(|ms| ms.is_finite() && *ms > 0.0)
}

impl UsageStats {
    /// What a failure leaves behind when the provider told how long it lasts: as
    /// [`after_failure`](Self::after_failure), with a cooldown of `length_ms` milliseconds. A window that is open is
    /// never shortened (spec 07 section 5.8).
    #[must_use]
    pub fn after_measured_failure(
        &self,
        reason: FailureReason,
        model: Option<&str>,
        provider: &ProviderId,
        policy: &CooldownPolicy,
        now: Timestamp,
        length_ms: f64,
    ) -> Self {
        let mut next = self.after_failure(reason, model, provider, policy, now);
        if !matches!(reason, FailureReason::Billing | FailureReason::AuthPermanent) {
            let end = now.as_f64() + length_ms.round();
            next.cooldown_until_ms = Some(self.cooldown_until_ms.map_or(end, |until| until.max(end)));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn length_s(status: u16, body: &Value) -> f64 {
        chatgpt_cooldown_ms(Some(status), body.to_string().as_bytes(), NOW) / SECOND_MS
    }

    fn limited(primary: &Value, secondary: &Value) -> f64 {
        let limit = json!({"limit_reached": true, "primary_window": primary, "secondary_window": secondary});
        length_s(200, &json!({"rate_limit": limit}))
    }

    #[test]
    fn a_refusal_of_the_question_has_a_length_of_its_own() {
        let body = json!({"rate_limit": {"limit_reached": false}});
        let lengths = [(401, 43_200.0), (403, 86_400.0), (404, 300.0), (500, 300.0), (302, 300.0), (204, 15.0)];
        for (status, seconds) in lengths {
            assert_eq!(length_s(status, &body).to_bits(), f64::to_bits(seconds), "{status}");
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_half_a_minute() {
        assert_eq!(chatgpt_cooldown_ms(None, b"", NOW).to_bits(), UNKNOWN_MS.to_bits());
        for body in ["", "{", "[]", "{\"rate_limit\": null}", "{\"rate_limit\": 7}", "{\"rate_limit\": {}}"] {
            assert_eq!(chatgpt_cooldown_ms(Some(200), body.as_bytes(), NOW).to_bits(), UNKNOWN_MS.to_bits(), "{body}");
        }
    }

    #[test]
    fn the_window_that_is_used_up_gives_half_of_its_rest() {
        let none = Value::Null;
        let open = json!({"used_percent": 40, "reset_after_seconds": 7200});
        let full = json!({"used_percent": 100, "reset_after_seconds": 7200});
        let long = json!({"used_percent": 100.5, "reset_after_seconds": 999_999});
        let at = json!({"used_percent": 100, "reset_at": 1_800_000_600});
        let over = json!({"used_percent": 100, "reset_at": 1_700_000_000});
        let ending = json!({"used_percent": 100, "reset_after_seconds": 0});
        let endless = json!({"used_percent": 100, "reset_after_seconds": 1e308});
        let cases = [
            (&open, &none, 3600.0),
            (&long, &none, 14_400.0),
            (&none, &none, 30.0),
            (&open, &full, 3600.0),
            (&full, &long, 14_400.0),
            (&full, &open, 3600.0),
            (&long, &open, 7200.0),
            (&open, &open, 30.0),
            (&at, &open, 300.0),
            (&over, &open, 30.0),
            (&open, &over, 30.0),
            (&ending, &none, 30.0),
            (&endless, &none, 30.0),
        ];
        for (primary, secondary, seconds) in cases {
            assert_eq!(limited(primary, secondary).to_bits(), f64::to_bits(seconds), "{primary} {secondary}");
        }
    }

    #[test]
    fn a_measured_cooldown_is_longer_or_shorter_but_never_cuts_an_open_one() {
        let policy = CooldownPolicy::default();
        let provider = ProviderId::normalise("openai-codex");
        let fail = |stats: &UsageStats, length_ms| {
            stats.after_measured_failure(FailureReason::RateLimit, Some("m"), &provider, &policy, NOW, length_ms)
        };
        let fresh = fail(&UsageStats::default(), 15_000.0);
        assert_eq!(fresh.cooldown_until_ms, Some(NOW.as_f64() + 15_000.0));
        assert_eq!(fresh.cooldown_model.as_deref(), Some("m"));
        let open = UsageStats { cooldown_until_ms: Some(NOW.as_f64() + 60_000.0), ..UsageStats::default() };
        assert_eq!(fail(&open, 15_000.0).cooldown_until_ms, Some(NOW.as_f64() + 60_000.0));
        assert_eq!(fail(&open, 90_000.0).cooldown_until_ms, Some(NOW.as_f64() + 90_000.0));
        let over = UsageStats { cooldown_until_ms: Some(NOW.as_f64() - 1.0), ..UsageStats::default() };
        assert_eq!(fail(&over, 15_000.4).cooldown_until_ms, Some(NOW.as_f64() + 15_000.0));
        // The long window has a length of its own.
        for reason in [FailureReason::Billing, FailureReason::AuthPermanent] {
            let plain = open.after_failure(reason, Some("m"), &provider, &policy, NOW);
            assert_eq!(open.after_measured_failure(reason, Some("m"), &provider, &policy, NOW, 90_000.0), plain);
        }
        let over = UsageStats { cooldown_until_ms: Some(NOW.as_f64() - 60_000.0), ..UsageStats::default() };
        assert_eq!(fail(&over, 15_000.0).cooldown_until_ms, Some(NOW.as_f64() + 15_000.0));
        // A disable has its own length, whatever was measured.
        let reason = FailureReason::Billing;
        let unpaid = UsageStats::default().after_measured_failure(reason, None, &provider, &policy, NOW, 15_000.0);
        assert_eq!(unpaid, UsageStats::default().after_failure(reason, None, &provider, &policy, NOW));
    }

    #[test]
    fn only_a_login_of_chatgpt_is_asked_about() {
        let asks = |provider: &str, login, reason| asks_chatgpt_usage(&ProviderId::normalise(provider), login, reason);
        assert!(asks("openai-codex", true, FailureReason::RateLimit));
        assert!(asks("openai-codex", true, FailureReason::Unknown));
        assert!(!asks("openai-codex", true, FailureReason::Billing));
        assert!(!asks("openai-codex", false, FailureReason::RateLimit));
        assert!(!asks("openai", true, FailureReason::RateLimit));
    }
}
