//! Which models a turn tries, and what it does with one whose profiles are all out of use (spec 07 section 7).

use crate::config::{AgentId, Config};
use crate::model::{ModelRef, primary, split_profile};
use crate::provider::ProviderId;
use crate::time::Timestamp;
use crate::usage::FailureReason;

/// How long before its end a window is worth a try, in milliseconds.
const PROBE_MARGIN_MS: f64 = 120_000.0;

/// Reads a fallback: an alias, `provider/model`, or a model of the primary's provider. A profile behind it is ignored.
pub fn parse_fallback(text: &str, config: &Config, primary_provider: &str) -> Option<ModelRef> {
    let (name, _) = split_profile(text, |_| false);
    let target = config.alias_target(name).filter(|_| !name.contains('/')).unwrap_or(name);
    ModelRef::parse(target, primary_provider)
}

/// The models that a turn tries, the requested one first, each once (spec 07 section 7.1). `chosen` tells that somebody
/// chose it for the session, so that it is not the configured one by chance.
pub fn chain(config: &Config, agent: Option<&AgentId>, requested: &ModelRef, chosen: bool) -> Vec<ModelRef> {
    let (setting, _, own) = config.model_of(agent);
    let main = primary(&setting, config).model;
    let read = |text: &String| parse_fallback(text, config, &main.provider);
    let listed: Vec<ModelRef> = setting.fallback_list().iter().filter_map(read).collect();
    let same = |a: &ModelRef, b: &ModelRef| a.provider_id() == b.provider_id() && a.model == b.model;
    let is_usual = requested.provider_id() == main.provider_id() || listed.iter().any(|other| same(other, requested));
    let mut models = vec![requested.clone()];
    let fallbacks = if own || chosen || is_usual { listed } else { Vec::new() };
    // An agent with a list of its own, be it empty, wants nothing beyond it.
    for model in fallbacks.into_iter().chain((!own).then_some(main)) {
        if !models.iter().any(|known| same(known, &model)) {
            models.push(model);
        }
    }
    models
}

/// Whether the agent, or else the defaults, name a fallback.
pub fn is_configured(config: &Config, agent: Option<&AgentId>) -> bool {
    !config.model_of(agent).0.fallback_list().is_empty()
}

/// Where a model stands in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is all there is.
    Only,
    /// It is the requested one, and others follow.
    First,
    /// It follows another one.
    Later,
}

/// A model of a chain whose provider's profiles are all in a window for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cooling {
    /// What keeps most of them out.
    pub reason: FailureReason,
    /// Where it stands in the chain.
    pub place: Place,
    /// Whether the last try of this kind is long enough ago.
    pub throttle_open: bool,
    /// When the first window ends, in milliseconds since the epoch.
    pub soonest_end_ms: Option<f64>,
    /// Whether this run has tried a profile of the provider in its window already, in vain.
    pub probe_spent: bool,
}

/// What a turn does with such a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is run as any other, which finds no profile.
    Run,
    /// One profile is asked although its window is open.
    Probe,
    /// It is left out.
    Skip(SkipReason),
}

/// Why a model is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// The account is at fault, so that no model of the provider helps.
    Issue(FailureReason),
    /// The windows are open.
    InCooldown,
    /// One profile was asked in its window already.
    ProbeSpent,
}

impl SkipReason {
    /// The text of the attempt that is recorded instead of a request.
    pub fn text(self, provider: &ProviderId) -> String {
        match self {
            Self::Issue(reason) => format!("Provider {provider} has {reason} issue (skipping all models)"),
            Self::InCooldown => format!("Provider {provider} is in cooldown (all profiles unavailable)"),
            Self::ProbeSpent => format!("Provider {provider} is in cooldown (probe already attempted this run)"),
        }
    }
}

/// Decides about a model whose profiles are all in a window (spec 07 section 7.3).
pub fn admit(cooling: &Cooling, now: Timestamp) -> Admission {
    let Cooling { reason, place, throttle_open, soonest_end_ms, probe_spent } = *cooling;
    let is_near = soonest_end_ms.is_none_or(|end| now.as_f64() >= end - PROBE_MARGIN_MS);
    let is_due = place == Place::First && throttle_open && is_near;
    match reason {
        FailureReason::Billing if is_due || place == Place::Only && throttle_open => Admission::Probe,
        FailureReason::Auth | FailureReason::AuthPermanent | FailureReason::Billing => {
            Admission::Skip(SkipReason::Issue(reason))
        }
        FailureReason::RateLimit | FailureReason::Overloaded | FailureReason::Unknown => {
            if probe_spent {
                Admission::Skip(SkipReason::ProbeSpent)
            } else if place == Place::Later || is_due {
                Admission::Probe
            } else {
                Admission::Skip(SkipReason::InCooldown)
            }
        }
        FailureReason::Format
        | FailureReason::ModelNotFound
        | FailureReason::Timeout
        | FailureReason::SessionExpired => {
            if is_due {
                Admission::Run
            } else {
                Admission::Skip(SkipReason::InCooldown)
            }
        }
    }
}

/// Whether a failure leaves the one try in a window to the next model of the provider, because it tells nothing about the
/// window.
pub fn leaves_probe(reason: FailureReason) -> bool {
    matches!(
        reason,
        FailureReason::ModelNotFound
            | FailureReason::Format
            | FailureReason::Auth
            | FailureReason::AuthPermanent
            | FailureReason::SessionExpired
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    #[test]
    fn what_tells_nothing_about_a_window_leaves_the_try() {
        use FailureReason as R;
        let left: Vec<FailureReason> = R::ALL.into_iter().filter(|reason| leaves_probe(*reason)).collect();
        assert_eq!(left, [R::AuthPermanent, R::Auth, R::Format, R::ModelNotFound, R::SessionExpired]);
    }

    fn keys(config: &Value, agent: Option<&str>, requested: &str, chosen: bool) -> Vec<String> {
        let config = Config::from_value(config);
        let requested = ModelRef::parse(requested, "acme").unwrap();
        let agent = agent.map(AgentId::normalise);
        chain(&config, agent.as_ref(), &requested, chosen).iter().map(ModelRef::to_string).collect()
    }

    #[test]
    fn the_chain_follows_the_rules() {
        let config = json!({"agents": {
            "defaults": {
                "model": {"primary": "acme/m1", "fallbacks": ["Quick@acme:work", "m2", "acme/m1", " / ", "groq/g"]},
                "models": {"beta/b": {"alias": "quick"}}},
            "list": [{"id": "own", "model": {"fallbacks": ["groq/own"]}}, {"id": "none", "model": {"primary": "x/y", "fallbacks": []}},
                {"id": "text", "model": "zed/z"}]}});
        let all = ["acme/m1", "beta/b", "acme/m2", "groq/g"];
        assert_eq!(keys(&config, None, "acme/m1", false), all);
        // One of the same provider, or of the list, has the fallbacks; the primary comes last.
        assert_eq!(keys(&config, None, "acme/m9", false), ["acme/m9", "beta/b", "acme/m2", "acme/m1", "groq/g"]);
        assert_eq!(keys(&config, None, "groq/g", false), ["groq/g", "beta/b", "acme/m2", "acme/m1"]);
        // Any other has the primary alone, unless it was chosen.
        assert_eq!(keys(&config, None, "far/f", false), ["far/f", "acme/m1"]);
        assert_eq!(keys(&config, None, "far/f", true), ["far/f", "beta/b", "acme/m2", "acme/m1", "groq/g"]);
        assert_eq!(keys(&config, Some("own"), "far/f", true), ["far/f", "groq/own"]);
        assert_eq!(keys(&config, Some("none"), "x/y", false), ["x/y"]);
        assert_eq!(keys(&config, Some("text"), "zed/z", false), ["zed/z", "beta/b", "zed/m2", "acme/m1", "groq/g"]);
        let config = Config::from_value(&config);
        let has = |agent: &str| is_configured(&config, Some(&AgentId::normalise(agent)));
        assert_eq!([has("own"), has("none"), has("text")], [true, false, true]);
    }

    fn cooling(reason: FailureReason) -> Cooling {
        Cooling { reason, place: Place::First, throttle_open: true, soonest_end_ms: None, probe_spent: false }
    }

    #[test]
    fn models_in_cooldown_are_admitted_by_the_table() {
        use FailureReason::{Auth, AuthPermanent, Billing, Format, Overloaded, RateLimit, Timeout, Unknown};
        let far = Some(NOW.as_f64() + PROBE_MARGIN_MS + 1.0);
        let near = Some(NOW.as_f64() + PROBE_MARGIN_MS);
        let (issue, waits) =
            (|reason| Admission::Skip(SkipReason::Issue(reason)), Admission::Skip(SkipReason::InCooldown));
        for (reason, due, not_due, later) in [
            (Auth, issue(Auth), issue(Auth), issue(Auth)),
            (AuthPermanent, issue(AuthPermanent), issue(AuthPermanent), issue(AuthPermanent)),
            (Billing, Admission::Probe, issue(Billing), issue(Billing)),
            (RateLimit, Admission::Probe, waits, Admission::Probe),
            (Overloaded, Admission::Probe, waits, Admission::Probe),
            (Unknown, Admission::Probe, waits, Admission::Probe),
            (Format, Admission::Run, waits, waits),
            (Timeout, Admission::Run, waits, waits),
        ] {
            let first = Cooling { soonest_end_ms: near, ..cooling(reason) };
            assert_eq!(admit(&first, NOW), due, "{reason}");
            assert_eq!(admit(&Cooling { soonest_end_ms: far, ..first }, NOW), not_due, "{reason}");
            assert_eq!(admit(&Cooling { throttle_open: false, ..first }, NOW), not_due, "{reason}");
            for soonest_end_ms in [near, far] {
                assert_eq!(admit(&Cooling { place: Place::Later, soonest_end_ms, ..first }, NOW), later, "{reason}");
            }
        }
        // Alone there is nothing to be early for, but a bill may have been paid.
        assert_eq!(admit(&Cooling { place: Place::Only, ..cooling(RateLimit) }, NOW), waits);
        assert_eq!(
            admit(&Cooling { place: Place::Only, soonest_end_ms: far, ..cooling(Billing) }, NOW),
            Admission::Probe
        );
        let again = Cooling { probe_spent: true, place: Place::Later, ..cooling(RateLimit) };
        assert_eq!(admit(&again, NOW), Admission::Skip(SkipReason::ProbeSpent));
        let text = SkipReason::Issue(Billing).text(&ProviderId::normalise("acme"));
        assert_eq!(text, "Provider acme has billing issue (skipping all models)");
    }

    proptest! {
        #[test]
        fn a_chain_begins_with_what_was_asked_for_and_repeats_nothing(
            requested in "[ab]/[xyz]", fallbacks in prop::collection::vec("([ab]/)?[xyz](@p)?|/|", 0..6), chosen: bool, own: bool,
        ) {
            let model = json!({"primary": "a/x", "fallbacks": fallbacks});
            let config = if own {
                json!({"agents": {"defaults": {"model": "b/y"}, "list": [{"id": "main", "model": model}]}})
            } else {
                json!({"agents": {"defaults": {"model": model}}})
            };
            let found = keys(&config, Some("main"), &requested, chosen);
            prop_assert_eq!(&found[0], &requested);
            let mut distinct = found.clone();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), found.len());
            prop_assert!(own || found.contains(&"a/x".to_owned()));
        }
    }
}
