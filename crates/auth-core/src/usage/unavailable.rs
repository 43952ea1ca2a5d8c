//! Why a whole list of profiles is out of use, and when the first of them is back (spec 07 section 5.7).

use super::{FailureReason, UsageStats};
use crate::profile::{AuthProfiles, ProfileId};
use crate::time::Timestamp;

/// What an open long window weighs; no number of failures in short ones comes up to it.
const DISABLED: u64 = 1000;

/// The reason that keeps most of these profiles out of use, none when no window is open.
pub fn unavailable_reason(store: &AuthProfiles, ids: &[&ProfileId], now: Timestamp) -> Option<FailureReason> {
    let now = now.as_f64();
    let is_open = |until: Option<f64>| until.is_some_and(|until| until > now);
    let mut scores = [0_u64; FailureReason::ALL.len()];
    let mut add = |reason: FailureReason, score: u64| {
        if let Some(at) = FailureReason::ALL.iter().position(|other| *other == reason) {
            scores[at] = scores[at].saturating_add(score);
        }
    };
    // That a session is over was never a reason to stay away from a credential.
    let countable = |word: &str| FailureReason::parse(word).filter(|reason| *reason != FailureReason::SessionExpired);
    for stats in ids.iter().filter_map(|id| store.usage(id)) {
        let disabled = stats.disabled_reason.as_deref().and_then(countable);
        if let Some(reason) = disabled.filter(|_| is_open(stats.disabled_until_ms)) {
            add(reason, DISABLED);
        } else if is_open(stats.cooldown_until_ms) {
            let counted = stats.failure_counts.iter().filter(|(_, count)| *count > 0);
            let known: Vec<_> = counted.filter_map(|(word, count)| Some((countable(word)?, *count))).collect();
            if known.is_empty() {
                add(FailureReason::Unknown, 1);
            }
            for (reason, count) in known {
                add(reason, u64::from(count));
            }
        }
    }
    let most = scores.iter().copied().max().filter(|most| *most > 0)?;
    // The reasons stand in the order of their priority.
    FailureReason::ALL.into_iter().zip(scores).find(|(_, score)| *score == most).map(|(reason, _)| reason)
}

/// When the first of these profiles may be used again, in milliseconds since the epoch; it may be past. None when none
/// has a window. `model` leaves out windows that are limited to another one.
pub fn soonest_end(store: &AuthProfiles, ids: &[&ProfileId], model: Option<&str>, now: Timestamp) -> Option<f64> {
    let is_of_model = |stats: &UsageStats| {
        let limited = stats.cooldown_reason.as_deref() == Some(FailureReason::RateLimit.as_str());
        let disabled = stats.disabled_until_ms.is_some_and(|until| until > now.as_f64());
        limited && !disabled && model.is_some() && stats.cooldown_model.as_deref() == model
    };
    let windows = ids.iter().filter_map(|id| store.usage(id));
    let windows = windows.filter(|stats| model.is_none_or(|model| !stats.spares_model(model, now)));
    let (of_model, others): (Vec<&UsageStats>, Vec<&UsageStats>) = windows.partition(|stats| is_of_model(stats));
    // A limit on the model itself is one of the account; it is over when the last of them is.
    let latest = of_model.iter().filter_map(|stats| stats.window_end_ms()).reduce(f64::max);
    let earliest = others.iter().filter_map(|stats| stats.window_end_ms()).reduce(f64::min);
    latest.into_iter().chain(earliest).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn asked<T>(usage: &Value, ask: impl Fn(&AuthProfiles, &[&ProfileId]) -> T) -> T {
        let store = json!({ "profiles": {}, "usageStats": usage }).to_string();
        let store = AuthProfiles::parse(&store, Owner::Agent).unwrap();
        let ids: Vec<ProfileId> = store.all_usage().map(|(id, _)| id.clone()).collect();
        ask(&store, &ids.iter().collect::<Vec<_>>())
    }

    fn at(seconds: i64) -> i64 {
        NOW.as_ms() + seconds * 1000
    }

    #[test]
    fn the_weightiest_reason_is_named() {
        let reason =
            |usage: Value| asked(&usage, |store, ids| unavailable_reason(store, ids, NOW).map(FailureReason::as_str));
        assert_eq!(reason(json!({})), None);
        assert_eq!(reason(json!({"a": {"cooldownUntil": at(-1), "failureCounts": {"auth": 9}}})), None);
        assert_eq!(reason(json!({"a": {"cooldownUntil": at(0)}})), None, "a window that ends now is over");
        assert_eq!(reason(json!({"a": {"cooldownUntil": at(9)}})), Some("unknown"));
        assert_eq!(
            reason(json!({"a": {"cooldownUntil": at(9), "failureCounts": {"nonsense": 3, "auth": 0}}})),
            Some("unknown")
        );
        assert_eq!(
            reason(json!({"a": {"cooldownUntil": at(9), "failureCounts": {"session_expired": 3}}})),
            Some("unknown")
        );
        let counts = json!({"rate_limit": 2, "timeout": 2, "auth": 1});
        // Ties go to the reason of higher priority.
        assert_eq!(reason(json!({"a": {"cooldownUntil": at(9), "failureCounts": counts}})), Some("timeout"));
        let both = json!({
            "a": {"cooldownUntil": at(9), "failureCounts": {"rate_limit": 999}},
            "b": {"disabledUntil": at(9), "disabledReason": "billing", "cooldownUntil": at(9), "failureCounts": {"auth": 5000}}});
        assert_eq!(reason(both), Some("billing"));
        let over = json!({"b": {"disabledUntil": at(-9), "disabledReason": "billing", "cooldownUntil": at(9), "failureCounts": {"auth": 1}}});
        assert_eq!(reason(over), Some("auth"));
        // A window that ends now is over; a disable for no known reason counts by its cooldown alone.
        for stats in [json!({"cooldownUntil": at(0)}), json!({"disabledUntil": at(0), "disabledReason": "billing"})] {
            assert_eq!(reason(json!({"a": stats})), None);
        }
        let odd = json!({"disabledUntil": at(9), "disabledReason": "odd", "cooldownUntil": at(9), "failureCounts": {"timeout": 1}});
        assert_eq!(reason(json!({"a": odd})), Some("timeout"));
        // Counts add up over profiles; a disable outweighs them up to a thousand.
        let count = |reason: &str, n: u64| json!({"cooldownUntil": at(9), "failureCounts": {reason: n}});
        let many = json!({"a": count("rate_limit", 2), "b": count("rate_limit", 2), "c": count("auth", 3)});
        assert_eq!(reason(many), Some("rate_limit"));
        let disabled = json!({"disabledUntil": at(9), "disabledReason": "auth_permanent"});
        assert_eq!(reason(json!({"a": count("timeout", 1001), "b": disabled})), Some("timeout"));
        assert_eq!(reason(json!({"a": count("timeout", 1000), "b": disabled})), Some("auth_permanent"));
    }

    #[test]
    fn only_limits_of_the_very_model_count_together() {
        let end = |a: Value, b: Value, model| {
            let usage = json!({"a": a, "b": b});
            asked(&usage, |store, ids| soonest_end(store, ids, model, NOW).map(|end| (end - NOW.as_f64()) / 1000.0))
        };
        let limit = |model: &str, seconds: i64| json!({"cooldownUntil": at(seconds), "cooldownReason": "rate_limit", "cooldownModel": model});
        let unnamed = |seconds: i64| json!({"cooldownUntil": at(seconds), "cooldownReason": "rate_limit"});
        let disabled = |mut stats: Value, seconds: i64| {
            stats["disabledUntil"] = json!(at(seconds));
            stats
        };
        for (a, b, model, seconds) in [
            (limit("m1", 30), limit("m1", 50), Some("m1"), Some(50.0)),
            (limit("m1", 30), limit("m1", 50), None, Some(30.0)),
            (limit("m1", 30), limit("m2", 50), Some("m1"), Some(30.0)),
            (unnamed(30), unnamed(50), Some("m1"), Some(30.0)),
            (unnamed(30), unnamed(50), None, Some(30.0)),
            // A disable concerns every model; when it is over, even just now, the limit is one of the model again.
            (disabled(limit("m1", 30), 90), limit("m1", 50), Some("m1"), Some(50.0)),
            (disabled(limit("m1", 30), 90), limit("m1", 50), Some("m2"), Some(90.0)),
            (disabled(limit("m1", 60), 0), limit("m1", 50), Some("m1"), Some(60.0)),
            (disabled(limit("m1", 60), 0), limit("m1", 50), Some("m2"), None),
        ] {
            assert_eq!(end(a.clone(), b.clone(), model), seconds, "{a} {b} {model:?}");
        }
    }

    #[test]
    fn the_soonest_end_knows_models() {
        let end = |usage: &Value, model: Option<&str>| {
            asked(usage, |store, ids| soonest_end(store, ids, model, NOW).map(|end| (end - NOW.as_f64()) / 1000.0))
        };
        assert_eq!(end(&json!({"a": {"errorCount": 1}}), None), None);
        let usage = json!({
            "a": {"cooldownUntil": at(30), "cooldownReason": "rate_limit", "cooldownModel": "m1"},
            "b": {"cooldownUntil": at(50), "cooldownReason": "rate_limit", "cooldownModel": "m1"},
            "c": {"cooldownUntil": at(60), "cooldownReason": "auth"}, "d": {"disabledUntil": at(90)}});
        assert_eq!(end(&usage, None), Some(30.0));
        assert_eq!(end(&usage, Some("m1")), Some(50.0));
        assert_eq!(end(&usage, Some("m2")), Some(60.0));
        assert_eq!(end(&json!({"a": {"cooldownUntil": at(-5)}}), None), Some(-5.0));
        // A limit on the model that stands beside a disable is one of the profile: the earliest counts, not the latest.
        let limit = |end: i64, more: Value| {
            let mut stats = json!({"cooldownUntil": at(end), "cooldownReason": "rate_limit", "cooldownModel": "m1"});
            stats.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            stats
        };
        let disabled = limit(30, json!({"disabledUntil": at(40)}));
        let usage = json!({"a": disabled, "b": limit(90, json!({})), "c": {"cooldownUntil": at(70)}});
        assert_eq!(end(&usage, Some("m1")), Some(40.0));
        // One that ended just now does not count as a disable.
        let usage = json!({"a": limit(30, json!({"disabledUntil": at(0)})), "b": limit(90, json!({}))});
        assert_eq!(end(&usage, Some("m1")), Some(90.0));
        // Another reason is no limit on a model, and without a model in question there is none.
        let other = limit(30, json!({"cooldownReason": "overloaded"}));
        assert_eq!(end(&json!({"a": other, "b": limit(90, json!({}))}), Some("m1")), Some(30.0));
        let whole = json!({"cooldownUntil": at(30), "cooldownReason": "rate_limit"});
        assert_eq!(
            end(&json!({"a": whole, "b": {"cooldownUntil": at(20), "cooldownReason": "rate_limit"}}), None),
            Some(20.0)
        );
    }
}
