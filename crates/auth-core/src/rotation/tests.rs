//! Outcomes, and the step that follows each of them.

use super::*;
use proptest::prelude::*;

const REASONS: [FailureReason; 10] = FailureReason::ALL;

fn attempt(ready: &[bool]) -> Attempt<'_> {
    Attempt {
        pool: Pool::Profiles,
        ready,
        at: 0,
        renewable: false,
        overload_rotations: 0,
        limit_rotations: 0,
        has_fallback: false,
    }
}

fn failed(reason: FailureReason, attempt: &Attempt<'_>) -> Step {
    after(Outcome::Failed(reason), attempt, RotationPolicy::default())
}

#[test]
fn outcomes_are_words_or_statuses() {
    for (word, outcome) in [
        ("ok", Some("ok")),
        (" rate_limit ", Some("rate_limit")),
        ("session_expired", Some("session_expired")),
        ("200", Some("ok")),
        ("429", Some("rate_limit")),
        ("401", Some("auth")),
        ("402", Some("billing")),
        ("403", Some("auth")),
        ("400", Some("format")),
        ("408", Some("timeout")),
        ("500", Some("timeout")),
        ("503", Some("timeout")),
        ("529", Some("overloaded")),
        ("404", Some("unclassified")),
        ("302", Some("unclassified")),
        ("600", None),
        ("099", None),
        ("+42", None),
        ("bogus", None),
        ("RATE_LIMIT", None),
        ("network", None),
        ("", None),
    ] {
        assert_eq!(Outcome::parse(word, "acme").map(Outcome::as_str), outcome, "{word}");
    }
    for reason in REASONS {
        assert_eq!(Outcome::parse(reason.as_str(), "acme"), Some(Outcome::Failed(reason)));
    }
}

#[test]
fn what_tells_nothing_about_the_credential_is_not_recorded() {
    let kept = |outcome: Outcome| outcome.record();
    assert_eq!(kept(Outcome::Answered), Record::Success);
    for reason in REASONS {
        let expected = match reason {
            FailureReason::Timeout | FailureReason::ModelNotFound => Record::Nothing,
            reason => Record::Failure(reason),
        };
        assert_eq!(kept(Outcome::Failed(reason)), expected);
    }
    let nothing = [Outcome::Unclassified, Outcome::ContextOverflow, Outcome::Aborted];
    assert!(nothing.iter().all(|outcome| outcome.record() == Record::Nothing));
    assert_eq!(Outcome::of_failure(Some(Reason::Network)), Outcome::Failed(FailureReason::Timeout));
    assert_eq!(Outcome::of_failure(Some(Reason::RedirectRefused)), Outcome::Unclassified);
}

#[test]
fn the_next_profile_that_is_ready_follows() {
    let ready = [true, false, true, true];
    for reason in REASONS.into_iter().filter(|reason| *reason != FailureReason::ModelNotFound) {
        assert_eq!(failed(reason, &attempt(&ready)), Step::Ask { at: 2, wait_ms: 0 }, "{reason}");
    }
    let last = Attempt { at: 3, ..attempt(&ready) };
    assert_eq!(failed(FailureReason::Auth, &last), Step::ErrorIsAnswer);
    let because = GivenUp::NoneLeft;
    let with_fallback = Attempt { has_fallback: true, ..last };
    let step = failed(FailureReason::Auth, &with_fallback);
    assert_eq!(step, Step::FailModel { reason: FailureReason::Auth, because });
    let slow = RotationPolicy { overloaded_backoff_ms: 250, ..RotationPolicy::default() };
    let step = after(Outcome::Failed(FailureReason::Overloaded), &attempt(&ready), slow);
    assert_eq!(step, Step::Ask { at: 2, wait_ms: 250 });
}

#[test]
fn a_limit_gives_the_model_up_after_one_change_when_another_model_can_answer() {
    let ready = [true, true, true];
    for reason in [FailureReason::RateLimit, FailureReason::Overloaded] {
        let first = Attempt { has_fallback: true, ..attempt(&ready) };
        assert_eq!(failed(reason, &first), Step::Ask { at: 1, wait_ms: 0 });
        let second = Attempt { at: 1, limit_rotations: 1, overload_rotations: 1, ..first };
        let because = GivenUp::EnoughRotations;
        assert_eq!(failed(reason, &second), Step::FailModel { reason, because });
        // Without another model the count does not matter.
        let alone = Attempt { has_fallback: false, ..second };
        assert_eq!(failed(reason, &alone), Step::Ask { at: 2, wait_ms: 0 });
        let none = RotationPolicy { overloaded: 0, rate_limited: 0, ..RotationPolicy::default() };
        assert_eq!(after(Outcome::Failed(reason), &first, none), Step::FailModel { reason, because });
    }
}

#[test]
fn a_missing_model_asks_no_further_profile() {
    let ready = [true, true];
    assert_eq!(failed(FailureReason::ModelNotFound, &attempt(&ready)), Step::ErrorIsAnswer);
    let step = failed(FailureReason::ModelNotFound, &Attempt { has_fallback: true, ..attempt(&ready) });
    let because = GivenUp::ModelMissing;
    assert_eq!(step, Step::FailModel { reason: FailureReason::ModelNotFound, because });
}

#[test]
fn a_refused_token_is_renewed_first() {
    let ready = [true, true];
    let login = Attempt { renewable: true, ..attempt(&ready) };
    assert_eq!(failed(FailureReason::Auth, &login), Step::Renew);
    assert_eq!(failed(FailureReason::AuthPermanent, &login), Step::Ask { at: 1, wait_ms: 0 });
    assert_eq!(failed(FailureReason::Billing, &login), Step::Ask { at: 1, wait_ms: 0 });
}

#[test]
fn keys_follow_each_other_after_a_limit_only() {
    let ready = [true, true];
    let keys = Attempt { pool: Pool::Keys, has_fallback: true, limit_rotations: 9, ..attempt(&ready) };
    assert_eq!(failed(FailureReason::RateLimit, &keys), Step::Ask { at: 1, wait_ms: 0 });
    let because = GivenUp::NoneLeft;
    for reason in [FailureReason::Auth, FailureReason::Billing, FailureReason::Overloaded] {
        assert_eq!(failed(reason, &keys), Step::FailModel { reason, because });
    }
    let last = Attempt { at: 1, has_fallback: false, ..keys };
    assert_eq!(failed(FailureReason::RateLimit, &last), Step::ErrorIsAnswer);
}

#[test]
fn failures_have_a_status() {
    // Spec 07 section 6.3, in the order of the reasons.
    let statuses = [403, 401, 402, 400, 404, 503, 408, 429];
    let expected: Vec<Option<u16>> = statuses.into_iter().map(Some).chain([None, Some(410)]).collect();
    assert_eq!(REASONS.map(status_of), expected[..]);
}

#[test]
fn every_failure_of_a_request_has_an_outcome() {
    let failed = Outcome::Failed;
    for (reason, outcome) in [
        (Reason::Auth, failed(FailureReason::Auth)),
        (Reason::AuthPermanent, failed(FailureReason::AuthPermanent)),
        (Reason::RateLimit, failed(FailureReason::RateLimit)),
        (Reason::Overloaded, failed(FailureReason::Overloaded)),
        (Reason::Billing, failed(FailureReason::Billing)),
        (Reason::Timeout, failed(FailureReason::Timeout)),
        (Reason::Network, failed(FailureReason::Timeout)),
        (Reason::Tls, failed(FailureReason::Timeout)),
        (Reason::Format, failed(FailureReason::Format)),
        (Reason::ModelNotFound, failed(FailureReason::ModelNotFound)),
        (Reason::SessionExpired, failed(FailureReason::SessionExpired)),
        (Reason::ContextOverflow, Outcome::ContextOverflow),
        (Reason::Cancelled, Outcome::Aborted),
        (Reason::InvalidResponse, Outcome::Unclassified),
    ] {
        assert_eq!(Outcome::of_failure(Some(reason)), outcome, "{reason:?}");
    }
    assert_eq!(Outcome::of_failure(None), Outcome::Unclassified);
}

#[test]
fn attempts_are_bounded() {
    assert_eq!([0, 1, 2, 17, 18, 10_000].map(attempts_max), [32, 32, 40, 160, 160, 160]);
}

proptest! {
    /// Whatever happened: a turn goes forward, to a candidate that is ready, and a pinned profile is never replaced.
    #[test]
    fn a_turn_ends(
        ready in prop::collection::vec(any::<bool>(), 1..12), at in 0_usize..12, outcome in 0_usize..14, pool in 0_usize..3,
        renewable: bool, overload_rotations: u32, limit_rotations: u32, has_fallback: bool,
    ) {
        let at = at % ready.len();
        let pool = [Pool::Profiles, Pool::PinnedProfile, Pool::Keys][pool];
        let others = [Outcome::Answered, Outcome::Unclassified, Outcome::ContextOverflow, Outcome::Aborted];
        let outcome = REASONS.get(outcome).map_or_else(|| others[outcome - 10], |reason| Outcome::Failed(*reason));
        let attempt = Attempt { pool, ready: &ready, at, renewable, overload_rotations, limit_rotations, has_fallback };
        match after(outcome, &attempt, RotationPolicy::default()) {
            Step::Ask { at: next, .. } => {
                prop_assert!(next > at && ready[next] && pool != Pool::PinnedProfile);
                prop_assert!(ready[at + 1..next].iter().all(|ready| !ready), "one that is ready was passed over");
            }
            Step::Renew => prop_assert!(renewable && outcome == Outcome::Failed(FailureReason::Auth)),
            Step::FailModel { reason, .. } => prop_assert!(has_fallback && outcome == Outcome::Failed(reason)),
            Step::Answer => prop_assert_eq!(outcome, Outcome::Answered),
            Step::Stop => prop_assert_eq!(outcome, Outcome::Aborted),
            Step::ErrorIsAnswer => prop_assert!(!has_fallback || !matches!(outcome, Outcome::Failed(_))),
        }
    }
}
