//! Outcomes one by one, and that a forecast comes true.

use super::*;
use crate::config::Config;
use crate::env_credential::AmbientFacts;
use crate::environment::Environment;
use crate::fallback::{chain, is_configured};
use crate::profile::Owner;
use crate::provider::ProviderId;
use crate::source::ResolvedRefs;
use crate::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// A config with these fallbacks after acme/m1, a store, variables.
fn told(fallbacks: &[&str], store: &Value, variables: &[(&str, &str)], outcome: &str) -> (Forecast, AuthProfiles) {
    told_of(fallbacks, store, variables, Some("m1"), outcome)
}

fn told_of(
    fallbacks: &[&str],
    store: &Value,
    variables: &[(&str, &str)],
    model: Option<&str>,
    outcome: &str,
) -> (Forecast, AuthProfiles) {
    let config = json!({"agents": {"defaults": {"model": {"primary": "acme/m1", "fallbacks": fallbacks}}}});
    told_with(&config, store, variables, model, outcome)
}

fn told_with(
    config: &Value,
    store: &Value,
    variables: &[(&str, &str)],
    model: Option<&str>,
    outcome: &str,
) -> (Forecast, AuthProfiles) {
    let config = Config::from_value(config);
    let environment =
        Environment::from_process(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let store = AuthProfiles::parse(&store.to_string(), Owner::Agent).unwrap();
    let refs = ResolvedRefs::default();
    let ambient = AmbientFacts::default();
    let situation =
        Situation { config: &config, environment: &environment, ambient, store: &store, refs: &refs, now: NOW };
    let models = chain(&config, None, &ModelRef::parse("acme/m1", "acme").unwrap(), false);
    let has_fallback = is_configured(&config, None) || models.len() > 1;
    let explanation = explain(&situation, &ProviderId::normalise("acme"), model);
    let outcome = Outcome::parse(outcome, "acme").unwrap();
    let later = Later { models: &models[1..], has_fallback };
    (forecast(&situation, &explanation, later, outcome), store)
}

fn key(provider: &str) -> Value {
    json!({"type": "api_key", "provider": provider, "key": format!("k-{provider}")})
}

fn store() -> Value {
    json!({"profiles": {"a": key("acme"), "b": {"type": "token", "provider": "acme", "token": "t", "expires": 1}, "c": key("acme"),
        "g": key("groq")}, "order": {"acme": ["a", "b", "c"]}})
}

fn next(forecast: &Forecast) -> Option<String> {
    let next = forecast.next.as_ref()?;
    let model = next.model.as_ref().map_or_else(String::new, |model| format!(" {model}"));
    Some(format!("{}{model}{}", next.source.label(), if next.probe { " probe" } else { "" }))
}

fn afterwards(forecast: &Forecast) -> Option<String> {
    forecast.afterwards.as_ref().map(CandidateSource::label)
}

#[test]
fn a_limit_is_recorded_and_the_next_profile_follows() {
    let (forecast, _) = told(&[], &store(), &[], "rate_limit");
    let written = forecast.written.as_ref().unwrap();
    assert_eq!(written.profile.as_str(), "a");
    assert_eq!(written.after.cooldown_until_ms, Some(NOW.as_f64() + 30_000.0));
    assert_eq!(written.after.cooldown_model.as_deref(), Some("m1"));
    assert_eq!(next(&forecast).as_deref(), Some("profile:c"));
    assert_eq!(afterwards(&forecast).as_deref(), Some("profile:c"));
    // About the provider alone, the window is for every model.
    let (forecast, _) = told_of(&[], &store(), &[], None, "rate_limit");
    assert_eq!(forecast.written.unwrap().after.cooldown_model, None);
}

#[test]
fn a_success_is_recorded_and_the_next_turn_starts_again() {
    let (forecast, _) = told(&[], &store(), &[], "ok");
    let written = forecast.written.as_ref().unwrap();
    assert!(written.last_good && written.after.last_used_ms == Some(NOW.as_f64()));
    assert_eq!(next(&forecast).as_deref(), Some("profile:a"));
    // Without an order of its own, the one unused for longest is next.
    let mut unordered = store();
    unordered["order"] = json!({});
    assert_eq!(next(&told(&[], &unordered, &[], "ok").0).as_deref(), Some("profile:c"));
}

#[test]
fn what_is_not_recorded_leaves_the_profile_to_the_next_turn() {
    let alone = json!({"profiles": {"a": key("acme")}});
    for outcome in ["timeout", "model_not_found", "404"] {
        let (forecast, _) = told(&[], &alone, &[], outcome);
        assert!(forecast.written.is_none() && forecast.leaves_something(), "{outcome}");
        assert_eq!((next(&forecast), afterwards(&forecast)), (None, Some("profile:a".to_owned())), "{outcome}");
    }
    for outcome in ["rate_limit", "billing", "401", "unknown"] {
        let (forecast, _) = told(&[], &alone, &[], outcome);
        assert!(forecast.written.is_some() && !forecast.leaves_something(), "{outcome}");
    }
    // A timeout rotates, a missing model does not.
    assert_eq!(next(&told(&[], &store(), &[], "timeout").0).as_deref(), Some("profile:c"));
    assert_eq!(next(&told(&[], &store(), &[], "model_not_found").0), None);
}

#[test]
fn the_chain_goes_on_where_the_model_is_given_up() {
    let fallbacks = ["lost/l", "acme/m2", "groq/g"];
    let alone = json!({"profiles": {"a": key("acme"), "g": key("groq")}});
    // A limit is one of the model: the same key may answer for another.
    let (forecast, _) = told(&fallbacks, &alone, &[], "rate_limit");
    assert_eq!(next(&forecast).as_deref(), Some("profile:a acme/m2"));
    let trials: Vec<_> = forecast.models.iter().map(|(model, trial)| (model.to_string(), trial.clone())).collect();
    let asked = Trial::Asked { probe: false };
    assert_eq!(trials, [("lost/l".to_owned(), Trial::NoCredential), ("acme/m2".to_owned(), asked)]);
    // An empty account is one of the provider.
    let (forecast, _) = told(&fallbacks, &alone, &[], "billing");
    assert_eq!(next(&forecast).as_deref(), Some("profile:g groq/g"));
    let skipped = Trial::Skipped(SkipReason::Issue(FailureReason::Billing));
    assert_eq!(forecast.models[1].1, skipped);
    assert_eq!(forecast.free_again_ms, Some(NOW.as_f64() + 5.0 * 3_600_000.0));
    assert!(forecast.afterwards.is_none() && forecast.leaves_something());
    // Overload is nobody's fault: one key is tried in its window.
    let (forecast, _) = told(&fallbacks, &alone, &[], "overloaded");
    assert_eq!(next(&forecast).as_deref(), Some("profile:a acme/m2 probe"));
    assert_eq!(next(&told(&["lost/l"], &alone, &[], "billing").0), None);
}

/// The labels of what a turn passes over.
fn passed_over(forecast: &Forecast) -> Vec<String> {
    forecast.passed_over.iter().map(|(source, _)| source.label()).collect()
}

#[test]
fn a_turn_goes_on_from_the_profile_it_asked_and_only_through_the_order() {
    // The first of the order cannot be resolved, the last stands outside of it.
    let store = json!({"profiles": {
        "lost": {"type": "api_key", "provider": "acme", "keyRef": {"source": "env", "provider": "default", "id": "GONE"}},
        "a": key("acme"), "lost2": {"type": "api_key", "provider": "acme", "key": "${GONE}"}, "b": key("acme"), "out": key("acme")},
        "order": {"acme": ["lost", "a", "lost2", "b"]}});
    let (forecast, _) = told(&[], &store, &[], "rate_limit");
    assert_eq!(forecast.asked, Some(CandidateSource::Profile(ProfileId::new("a"))));
    assert_eq!(next(&forecast).as_deref(), Some("profile:b"));
    assert_eq!(passed_over(&forecast), ["profile:lost2"]);
    assert!(matches!(forecast.passed_over[0].1, Standing::Unresolved(_)));
    // No profile of the order is asked after a missing model, and one outside of it never.
    for fallbacks in [&[][..], &["lost/l"]] {
        let (forecast, _) = told(fallbacks, &store, &[], "model_not_found");
        assert_eq!((next(&forecast), passed_over(&forecast)), (None, vec!["profile:lost2".into(), "profile:b".into()]));
    }
}

#[test]
fn the_keys_of_the_environment_follow_the_key_of_the_config() {
    let config = json!({"agents": {"defaults": {"model": "acme/m1"}},
        "models": {"providers": {"acme": {"auth": "api-key", "apiKey": "sk-test-config"}}}});
    let environment = [("ACME_API_KEY", "sk-test-env")];
    let (forecast, _) = told_with(&config, &store(), &environment, Some("m1"), "rate_limit");
    assert_eq!(forecast.asked, Some(CandidateSource::ConfigKey));
    assert_eq!((next(&forecast).as_deref(), forecast.written), (Some("env: ACME_API_KEY"), None));
    // Only a limit is a reason to ask with another key, and profiles are never asked.
    for (environment, outcome) in [(&environment[..], "auth"), (&[], "rate_limit")] {
        let (forecast, _) = told_with(&config, &store(), environment, Some("m1"), outcome);
        assert_eq!((next(&forecast), &forecast.written, &forecast.step), (None, &None, &Some(Step::ErrorIsAnswer)));
    }
}

#[test]
fn nothing_follows_the_key_that_stands_in_for_all() {
    let config = json!({"agents": {"defaults": {"model": "acme/m1"}}});
    let environment = [("OPENCLAW_LIVE_ACME_KEY", "sk-test-live"), ("ACME_API_KEY", "sk-test-env")];
    let (forecast, _) = told_with(&config, &json!({"profiles": {}}), &environment, Some("m1"), "rate_limit");
    let source = forecast.asked.as_ref().map(CandidateSource::label);
    assert_eq!((source.as_deref(), next(&forecast)), (Some("env: OPENCLAW_LIVE_ACME_KEY"), None));
}

#[test]
fn a_provider_with_one_profile_that_does_not_wait_is_not_waited_for() {
    let wait = json!({"cooldownUntil": NOW.as_ms() + 9, "failureCounts": {"rate_limit": 1}});
    let lost = json!({"type": "api_key", "provider": "groq", "key": "${GONE}"});
    let mut store = json!({"profiles": {"a": key("acme"), "g": key("groq"), "h": key("groq")}, "usageStats": {"g": wait, "h": wait}});
    let trial = |store: &Value| told(&["groq/g"], store, &[], "billing").0.models[0].1.clone();
    assert_eq!(trial(&store), Trial::Asked { probe: true });
    store["profiles"]["h"] = lost;
    store["usageStats"]["h"] = json!({});
    assert_eq!(trial(&store), Trial::NoCredential);
}

#[test]
fn keys_of_the_environment_follow_each_other_and_leave_no_trace() {
    let variables = [("ACME_API_KEY", "k1"), ("ACME_API_KEY_2", "k2")];
    let empty = json!({"profiles": {}});
    let (forecast, _) = told(&[], &empty, &variables, "429");
    assert!(forecast.written.is_none());
    assert_eq!(next(&forecast).as_deref(), Some("env: ACME_API_KEY_2"));
    assert_eq!(afterwards(&forecast).as_deref(), Some("env: ACME_API_KEY"));
    assert_eq!(next(&told(&[], &empty, &variables, "auth").0), None);
}

#[test]
fn a_login_is_renewed_before_it_is_given_up() {
    let login = json!({"profiles": {"o": {"type": "oauth", "provider": "acme", "access": "a", "refresh": "r", "expires": NOW.as_ms() + 9},
        "k": key("acme")}});
    let (forecast, _) = told(&[], &login, &[], "auth");
    assert!(forecast.renews_first);
    assert_eq!(next(&forecast).as_deref(), Some("profile:k"));
    assert!(!told(&[], &login, &[], "billing").0.renews_first);
    // Nothing else can be renewed: a login without a refresh token, a key, a variable.
    let spent =
        json!({"profiles": {"o": {"type": "oauth", "provider": "acme", "access": "a", "expires": NOW.as_ms() + 9}}});
    for (store, variables) in [(spent, &[][..]), (store(), &[]), (json!({"profiles": {}}), &[("ACME_API_KEY", "k")])] {
        let (forecast, _) = told(&[], &store, variables, "auth");
        assert!(forecast.asked.is_some() && !forecast.renews_first, "{store}");
    }
}

#[test]
fn without_a_credential_nothing_follows() {
    let waiting = json!({"profiles": {"a": key("acme"), "g": key("groq")}, "usageStats": {"a": {"disabledUntil": NOW.as_ms() + 9}}});
    let (forecast, _) = told(&["groq/g"], &waiting, &[], "rate_limit");
    assert_eq!((forecast.asked.as_ref(), forecast.step), (None, None));
    assert!(forecast.written.is_none() && !forecast.leaves_something());
}

#[test]
fn exempt_providers_are_never_put_aside() {
    let config = Config::from_value(&json!({"agents": {"defaults": {"model": "openrouter/auto"}}}));
    let text = json!({"profiles": {"o": key("openrouter")}}).to_string();
    let store = AuthProfiles::parse(&text, Owner::Agent).unwrap();
    let (environment, refs) = (Environment::from_process([]), ResolvedRefs::default());
    let ambient = AmbientFacts::default();
    let situation =
        Situation { config: &config, environment: &environment, ambient, store: &store, refs: &refs, now: NOW };
    let explanation = explain(&situation, &ProviderId::normalise("openrouter"), None);
    let later = Later { models: &[], has_fallback: false };
    let forecast = forecast(&situation, &explanation, later, Outcome::Failed(FailureReason::Billing));
    assert!(forecast.written.is_none());
    assert_eq!(afterwards(&forecast).as_deref(), Some("profile:o"));
}

proptest! {
    /// What is foretold is what `why` says afterwards, and nothing but the statistics of the asked profile changes.
    #[test]
    fn a_forecast_comes_true(
        windows in prop::collection::vec(prop::option::of(0_i64..3), 1..6), reason in 0_usize..10, with_model: bool, fallback: bool,
    ) {
        let profiles: serde_json::Map<String, Value> =
            (0..windows.len()).map(|n| (format!("p{n}"), key("acme"))).chain([("g".to_owned(), key("groq"))]).collect();
        let usage: serde_json::Map<String, Value> = windows.iter().enumerate()
            .filter_map(|(n, window)| Some((format!("p{n}"), json!({"cooldownUntil": NOW.as_ms() - 1 + (*window)?}))))
            .collect();
        let stored = json!({"profiles": profiles, "usageStats": usage});
        let reason = FailureReason::ALL[reason];
        let fallbacks: &[&str] = if fallback { &["groq/g"] } else { &[] };
        let model = with_model.then_some("m1");
        let (told, store) = told_of(fallbacks, &stored, &[], model, reason.as_str());
        let is_free = windows.iter().any(|window| window.is_none_or(|window| window < 2));
        prop_assert_eq!(told.asked.is_some(), is_free);
        let recorded = matches!(Outcome::Failed(reason).record(), Record::Failure(_));
        prop_assert_eq!(told.written.is_some(), is_free && recorded);
        if let Some(next) = &told.next {
            prop_assert!(Some(&next.source) != told.asked.as_ref());
            prop_assert_eq!(next.model.is_some(), !matches!(&next.source, CandidateSource::Profile(id) if id.as_str() != "g"));
        }
        prop_assert!(!fallback || !is_free || told.next.is_some());
        if let Some(written) = &told.written {
            prop_assert_eq!(told.asked.clone(), Some(CandidateSource::Profile(written.profile.clone())));
            prop_assert_eq!(store.usage(&written.profile).cloned().unwrap_or_default(), written.before.clone());
            prop_assert!(told.afterwards != told.asked, "a profile that failed is used again at once");
        }
    }
}
