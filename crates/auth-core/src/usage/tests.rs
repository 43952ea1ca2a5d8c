//! What successes and failures leave behind, and which windows are open.

use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn fail(stats: &UsageStats, reason: FailureReason, model: Option<&str>, after_ms: i64) -> UsageStats {
    let provider = ProviderId::normalise("acme");
    let now = Timestamp::from_ms(NOW.as_ms() + after_ms);
    stats.after_failure(reason, model, &provider, &CooldownPolicy::default(), now)
}

fn until(stats: &UsageStats) -> f64 {
    stats.cooldown_until_ms.unwrap() - NOW.as_f64()
}

#[test]
fn an_active_window_is_never_moved_by_failures_inside_it() {
    let first = fail(&UsageStats::default(), FailureReason::RateLimit, Some("m"), 0);
    assert!((until(&first) - 30_000.0).abs() < 1.0);
    let second = fail(&first, FailureReason::Timeout, Some("m"), 10_000);
    assert!((until(&second) - 30_000.0).abs() < 1.0);
    assert_eq!((second.error_count, second.cooldown_model.as_deref()), (2, None));
    assert_eq!(second.cooldown_reason.as_deref(), Some("timeout"));
}

#[test]
fn an_ended_window_resets_the_error_count() {
    let mut stats = fail(&UsageStats::default(), FailureReason::Overloaded, None, 0);
    stats = fail(&stats, FailureReason::Overloaded, None, 1000);
    stats = fail(&stats, FailureReason::Overloaded, None, 31_000);
    assert_eq!(stats.error_count, 1);
    assert_eq!(stats.failure_counts, [("overloaded".to_owned(), 1)]);
}

#[test]
fn disables_double_up_to_their_limit() {
    let hours = |n: u32| {
        CooldownPolicy::default().disable_ms(FailureReason::Billing, &ProviderId::normalise("x"), n) / 3_600_000.0
    };
    assert_eq!([1, 2, 3, 4, 90].map(|n| hours(n).to_string()), ["5", "10", "20", "24", "24"]);
    let minutes = |n: u32| {
        CooldownPolicy::default().disable_ms(FailureReason::AuthPermanent, &ProviderId::normalise("x"), n) / 60_000.0
    };
    assert_eq!([1, 2, 3, 4].map(|n| minutes(n).to_string()), ["10", "20", "40", "60"]);
}

#[test]
fn a_rate_limit_of_one_model_spares_the_others() {
    let store = AuthProfiles::parse(
        &format!(
            r#"{{"profiles": {{"p": {{"type": "api_key", "provider": "acme", "key": "k"}}, "o": {{"type": "api_key", "provider": "openrouter", "key": "k"}}}},
                "usageStats": {{"p": {{"cooldownUntil": {0}, "cooldownReason": "rate_limit", "cooldownModel": "m1"}}, "o": {{"cooldownUntil": {0}}}, "gone": {{"disabledUntil": {0}}}}}}}"#,
            NOW.as_ms() + 60_000
        ),
        crate::Owner::Agent,
    )
    .unwrap();
    let p = store.get(&ProfileId::new("p")).unwrap();
    assert!(cooldown(&store, p, None, NOW).is_some());
    assert!(cooldown(&store, p, Some("m1"), NOW).is_some());
    assert!(cooldown(&store, p, Some("m2"), NOW).is_none());
    let ids: Vec<_> = unusable_profiles(&store, NOW).into_iter().map(|u| (u.id.to_string(), u.provider)).collect();
    assert_eq!(ids, [("p".to_owned(), Some("acme".to_owned())), ("gone".to_owned(), None)]);
}

proptest! {
    #[test]
    fn windows_are_bounded_and_never_shrink(steps in proptest::collection::vec((0_usize..10, 0_i64..200_000_000), 1..30)) {
        let mut stats = UsageStats::default();
        let mut clock = 0;
        for (reason, step) in steps {
            clock += step;
            let before = stats.clone();
            stats = fail(&before, FailureReason::ALL[reason], Some("m"), clock);
            let now = NOW.as_f64() + Timestamp::from_ms(clock).as_f64();
            prop_assert!(stats.window_end_ms().unwrap() >= before.window_end_ms().unwrap_or(0.0));
            prop_assert!(stats.window_end_ms().unwrap() - now <= 24.0 * 3_600_000.0);
            prop_assert!(stats.error_count >= 1);
        }
        let cleared = stats.after_clearing();
        prop_assert_eq!(cleared.window_end_ms(), None);
        prop_assert_eq!(cleared.last_failure_ms, stats.last_failure_ms);
    }
}

/// The statistics that a file holds for `p`.
fn read(stats: &Value) -> UsageStats {
    let text = serde_json::json!({"profiles": {}, "usageStats": {"p": stats}}).to_string();
    let store = AuthProfiles::parse(&text, crate::Owner::Agent).unwrap();
    store.usage(&ProfileId::new("p")).unwrap().clone()
}

#[test]
fn fields_of_a_wrong_shape_are_absent_and_the_rest_is_written_as_it_was_read() {
    let whole = serde_json::json!({"lastUsed": 5, "errorCount": 2, "lastFailureAt": 6.5, "cooldownUntil": 7, "cooldownReason": "rate_limit",
        "cooldownModel": "m", "disabledUntil": 8, "disabledReason": "billing", "failureCounts": {"later": 3, "billing": 1}});
    let fields: Map<String, Value> =
        read(&whole).fields().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    assert_eq!(Value::Object(fields), whole);
    let odd = serde_json::json!({"lastUsed": 0, "errorCount": -3, "lastFailureAt": -1, "cooldownUntil": "7", "cooldownReason": 1,
        "disabledUntil": null, "failureCounts": {"auth": "x", "billing": 2.9}});
    let stats = read(&odd);
    assert_eq!(stats, UsageStats { failure_counts: vec![("billing".to_owned(), 2)], ..UsageStats::default() });
    assert_eq!(read(&serde_json::json!(7)), UsageStats::default());
    let present = UsageStats::default().fields().into_iter().filter(|(_, value)| value.is_some());
    assert_eq!(present.map(|(name, _)| name).collect::<Vec<_>>(), ["errorCount"]);
}

#[test]
fn numbers_are_written_whole_where_they_are_and_never_out_of_range() {
    for (ms, text) in [
        (1.0, "1"),
        (1.5, "1.5"),
        (-2.0, "-2"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (9_007_199_254_740_994.0, "9007199254740994.0"),
        (f64::INFINITY, "null"),
    ] {
        assert_eq!(json_number(ms).to_string(), text);
    }
    assert_eq!([-1.0, 2.9, 1e30, f64::INFINITY, f64::NAN].map(count), [0, 2, u32::MAX, 0, 0]);
}

#[test]
fn the_later_window_counts_and_the_long_one_gives_the_name() {
    let at = |seconds: f64| NOW.as_f64() + seconds * 1000.0;
    let windows = |cooldown: Option<f64>, disabled: Option<f64>| UsageStats {
        cooldown_until_ms: cooldown.map(at),
        disabled_until_ms: disabled.map(at),
        ..UsageStats::default()
    };
    for (cooldown, disabled, expected) in [
        (None, None, None),
        (Some(9.0), None, Some((WindowKind::Cooldown, 9.0))),
        (None, Some(9.0), Some((WindowKind::Disabled, 9.0))),
        (Some(5.0), Some(9.0), Some((WindowKind::Disabled, 9.0))),
        (Some(9.0), Some(5.0), Some((WindowKind::Disabled, 9.0))),
        (Some(9.0), Some(0.0), Some((WindowKind::Cooldown, 9.0))),
        (Some(0.0), Some(-1.0), None),
        (Some(0.0), None, None),
    ] {
        let window = windows(cooldown, disabled).active_window(NOW);
        let expected = expected.map(|(kind, seconds)| Window { kind, until_ms: at(seconds) });
        assert_eq!(window, expected, "{cooldown:?} {disabled:?}");
    }
    assert_eq!([WindowKind::Cooldown, WindowKind::Disabled].map(WindowKind::as_str), ["cooldown", "disabled"]);
}

#[test]
fn a_window_is_limited_to_a_model_by_a_rate_limit_alone() {
    let limited = |reason: &str, disabled: Option<f64>| {
        let stats = UsageStats {
            cooldown_until_ms: Some(NOW.as_f64() + 9.0),
            cooldown_reason: Some(reason.to_owned()),
            cooldown_model: Some("m".to_owned()),
            disabled_until_ms: disabled.map(|ms| NOW.as_f64() + ms),
            ..UsageStats::default()
        };
        stats.limited_model(NOW).map(str::to_owned)
    };
    assert_eq!(limited("rate_limit", None).as_deref(), Some("m"));
    assert_eq!(limited("rate_limit", Some(0.0)).as_deref(), Some("m"));
    assert_eq!(limited("rate_limit", Some(1.0)), None);
    assert_eq!(limited("timeout", None), None);
}

#[test]
fn a_success_clears_everything_but_the_last_failure() {
    let failed = fail(&fail(&UsageStats::default(), FailureReason::Billing, None, 0), FailureReason::Auth, None, 1);
    let now = Timestamp::from_ms(NOW.as_ms() + 5);
    let success = failed.after_success(now);
    let expected = UsageStats {
        last_used_ms: Some(now.as_f64()),
        last_failure_ms: Some(NOW.as_f64() + 1.0),
        ..UsageStats::default()
    };
    assert_eq!(success, expected);
    let again = fail(&success, FailureReason::Billing, None, 9);
    assert_eq!(again.after_clearing(), UsageStats { last_failure_ms: Some(NOW.as_f64() + 9.0), ..expected });
    assert_eq!(again.after_new_credential(), again.after_clearing());
}

#[test]
fn failures_count_until_a_day_has_passed_or_a_window_has_ended() {
    // Without a window, as a failure of the other lane leaves it.
    let counted = UsageStats {
        error_count: 1,
        failure_counts: vec![("auth".to_owned(), 1)],
        last_failure_ms: Some(NOW.as_f64()),
        ..UsageStats::default()
    };
    let day = 24 * 3_600_000;
    for (after_ms, count) in [(0, 2), (day, 2), (day + 1, 1)] {
        let next = fail(&counted, FailureReason::Auth, None, after_ms);
        assert_eq!((next.error_count, next.failure_counts[0].1), (count, count), "{after_ms}");
    }
    let open = UsageStats { cooldown_until_ms: Some(NOW.as_f64() + 100.0), ..counted.clone() };
    for (after_ms, count) in [(99, 2), (100, 1)] {
        assert_eq!(fail(&open, FailureReason::Auth, None, after_ms).error_count, count, "{after_ms}");
    }
    // 30 seconds, a minute, then five.
    let length = |errors: u32| {
        let before = UsageStats { error_count: errors, ..counted.clone() };
        until(&fail(&before, FailureReason::Timeout, None, 0)) / 1000.0
    };
    assert_eq!([0, 1, 2, 9].map(|errors| length(errors).to_string()), ["30", "60", "300", "300"]);
}

#[test]
fn a_disable_keeps_its_end_and_has_its_own_lane() {
    let first = fail(&UsageStats::default(), FailureReason::Billing, Some("m"), 0);
    let hours = |stats: &UsageStats| (stats.disabled_until_ms.unwrap() - NOW.as_f64()) / 3_600_000.0;
    assert_eq!((hours(&first).to_string().as_str(), first.disabled_reason.as_deref()), ("5", Some("billing")));
    assert_eq!((first.cooldown_until_ms, first.cooldown_model.as_deref()), (None, None));
    // Inside of it the end stays, the reason is the last one.
    let second = fail(&first, FailureReason::AuthPermanent, None, 1000);
    assert_eq!((hours(&second).to_string().as_str(), second.disabled_reason.as_deref()), ("5", Some("auth_permanent")));
    assert_eq!(second.failure_counts, [("billing".to_owned(), 1), ("auth_permanent".to_owned(), 1)]);
    // It grows with the failures of its own reason alone, whatever was counted before it.
    let counts = [("auth_permanent".to_owned(), 5), ("billing".to_owned(), 1)];
    let counted = UsageStats { error_count: 6, failure_counts: counts.to_vec(), ..UsageStats::default() };
    assert_eq!(hours(&fail(&counted, FailureReason::Billing, None, 0)).to_string(), "10");
    // A failure of the other lane opens a window beside it and leaves it as it is.
    let other = fail(&second, FailureReason::RateLimit, Some("m"), 2000);
    assert_eq!((other.disabled_until_ms, other.error_count), (second.disabled_until_ms, 3));
    assert_eq!((until(&other).to_string().as_str(), other.cooldown_model.as_deref()), ("302000", Some("m")));
}

#[test]
fn a_window_follows_the_model_that_was_limited() {
    use FailureReason::{RateLimit, Timeout};
    let after = |opened: (FailureReason, Option<&str>), failed: (FailureReason, Option<&str>)| {
        let first = fail(&UsageStats::default(), opened.0, opened.1, 0);
        fail(&first, failed.0, failed.1, 1000).cooldown_model
    };
    for (opened, failed, model) in [
        ((RateLimit, Some("m")), (RateLimit, Some("m")), Some("m")),
        ((RateLimit, Some("m")), (RateLimit, Some("n")), None),
        ((RateLimit, Some("m")), (RateLimit, None), None),
        ((RateLimit, Some("m")), (Timeout, Some("m")), None),
        // One for all models never becomes one for a single one.
        ((Timeout, Some("m")), (RateLimit, Some("m")), None),
    ] {
        assert_eq!(after(opened, failed).as_deref(), model, "{opened:?} {failed:?}");
    }
}

#[test]
fn disables_follow_the_policy_within_its_limits() {
    let policy = CooldownPolicy {
        billing_base_by_provider_ms: vec![("Z.AI".to_owned(), 7_200_000.0), ("tiny".to_owned(), 1.0)],
        billing_max_ms: 3_600_000.0,
        ..CooldownPolicy::default()
    };
    let minutes = |provider: &str, reason, n: u32| {
        (policy.disable_ms(reason, &ProviderId::normalise(provider), n) / 60_000.0).to_string()
    };
    // The longest one is no shorter than the first.
    assert_eq!(minutes("zai", FailureReason::Billing, 1), "120");
    assert_eq!(minutes("zai", FailureReason::Billing, 2), "120");
    assert_eq!(minutes("other", FailureReason::Billing, 1), "300");
    // The first is a minute at least, and doubles.
    assert_eq!(["tiny"; 3].map(|id| minutes(id, FailureReason::Billing, 3)), ["4"; 3]);
    assert_eq!(minutes("tiny", FailureReason::AuthPermanent, 0), "10");
    let open = CooldownPolicy { billing_max_ms: f64::MAX, ..policy.clone() };
    let doubled = open.disable_ms(FailureReason::Billing, &ProviderId::normalise("tiny"), 99);
    assert_eq!((doubled / 60_000.0).to_string(), "1024");
}

#[test]
fn profiles_out_of_use_are_listed_by_their_ends() {
    let at = |seconds: i64| NOW.as_ms() + seconds * 1000;
    let key = |provider: &str| serde_json::json!({"type": "api_key", "provider": provider, "key": "k"});
    let store = serde_json::json!({"profiles": {"late": key("Z.AI"), "soon": key("acme"), "free": key("acme"), "k": key("kilocode")},
        "usageStats": {
            "late": {"cooldownUntil": at(90), "cooldownReason": "rate_limit", "cooldownModel": "m"},
            "k": {"cooldownUntil": at(9)}, "free": {"cooldownUntil": at(0), "errorCount": 3},
            "soon": {"disabledUntil": at(30), "disabledReason": "billing", "cooldownUntil": at(60)}}});
    let store = AuthProfiles::parse(&store.to_string(), crate::Owner::Agent).unwrap();
    let found: Vec<_> = unusable_profiles(&store, NOW)
        .into_iter()
        .map(|found| {
            let left = (found.window.until_ms - NOW.as_f64()) / 1000.0;
            (
                found.id.to_string(),
                found.provider.unwrap(),
                found.window.kind,
                left.to_string(),
                found.reason,
                found.model,
            )
        })
        .collect();
    let row = |id: &str, provider: &str, kind, left: &str, reason: Option<&str>, model: Option<&str>| {
        (id.to_owned(), provider.to_owned(), kind, left.to_owned(), reason.map(str::to_owned), model.map(str::to_owned))
    };
    assert_eq!(
        found,
        [
            row("soon", "acme", WindowKind::Disabled, "60", Some("billing"), None),
            row("late", "Z.AI", WindowKind::Cooldown, "90", None, Some("m")),
        ]
    );
}
