//! Which profile a turn of a session begins with (spec 07 section 9).

use super::entry::{PinSource, SessionEntry, SessionPin};
use super::select::KnownModels;
use crate::model::ModelRef;
use crate::order::ProfileOrder;
use crate::profile::{AuthProfiles, ProfileId};
use crate::provider::{DEFAULT_PROVIDER, ProviderId};
use crate::time::Timestamp;
use crate::usage::cooldown;

/// What a session had chosen and cannot have any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// A model that is not allowed any more.
    Model(String),
    /// A profile that is gone or of another provider.
    Profile(ProfileId),
}

/// Checks what a session has chosen, at the beginning of a turn, and gives the model of the turn (9.1). What cannot be
/// had any more is taken out of the entry.
pub fn validate(entry: &mut SessionEntry, known: &KnownModels, store: &AuthProfiles) -> (ModelRef, Vec<Dropped>) {
    let mut dropped = Vec::new();
    let mut model = known.default.clone();
    if let Some((provider, id)) = entry.model_override() {
        let chosen = ModelRef {
            provider: ProviderId::normalise(provider.unwrap_or(DEFAULT_PROVIDER)).to_string(),
            model: id.to_owned(),
        };
        if known.allows(&chosen) {
            model = chosen;
        } else {
            dropped.push(Dropped::Model(chosen.key()));
            entry.set_model(None);
            entry.set_pin(None);
        }
    }
    if let Some(pin) = entry.pin() {
        let fits = store.get(&pin.profile).is_some_and(|profile| profile.provider == model.provider_id());
        if !fits {
            dropped.push(Dropped::Profile(pin.profile));
            entry.set_pin(None);
        }
    }
    (model, dropped)
}

/// The profile that a turn begins with, and its entry brought up to date (9.2). `is_new` tells that the session begins
/// with this turn. Returns whether the entry changed.
pub fn resolve_pin(
    order: &ProfileOrder,
    store: &AuthProfiles,
    provider: &ProviderId,
    entry: &mut SessionEntry,
    is_new: bool,
    now: Timestamp,
) -> (Option<SessionPin>, bool) {
    let before = entry.clone();
    let ids: Vec<&ProfileId> = order.tried.iter().map(|entry| &entry.id).collect();
    if let Some(pin) = entry.pin() {
        let fits = store.get(&pin.profile).is_some_and(|profile| profile.provider == *provider);
        if !fits || (!ids.is_empty() && !ids.contains(&&pin.profile)) {
            entry.set_pin(None);
        }
    }
    if ids.is_empty() {
        return (None, *entry != before);
    }
    let free = |id: &ProfileId| store.get(id).is_none_or(|profile| cooldown(store, profile, None, now).is_none());
    let first_free = || ids.iter().copied().find(|id| free(id)).or(ids.first().copied()).cloned();
    let after = |pinned: &ProfileId| {
        let at = ids.iter().position(|id| *id == pinned).unwrap_or(0);
        let round = (1..=ids.len()).map(|step| ids[(at + step) % ids.len()]);
        round.into_iter().find(|id| free(id)).unwrap_or(pinned).clone()
    };
    let chosen = match entry.pin() {
        Some(pin) if pin.source == PinSource::User && !is_new => return (Some(pin), *entry != before),
        // A new conversation begins with the first free one, not with somebody else's turn.
        Some(pin) if pin.source == PinSource::User => first_free(),
        Some(pin) if is_new || entry.compactions() > entry.pinned_at_compaction() => Some(after(&pin.profile)),
        Some(pin) if free(&pin.profile) => Some(pin.profile),
        _ => first_free(),
    };
    let pin = chosen.map(|profile| SessionPin { profile, source: PinSource::Auto });
    let unchanged = entry.pin() == pin && entry.compactions() == entry.pinned_at_compaction();
    if !unchanged {
        entry.set_pin(pin.as_ref());
    }
    (pin, *entry != before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::order::resolve_order;
    use crate::profile::Owner;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn entry(fields: &serde_json::Value) -> SessionEntry {
        let mut entry = SessionEntry::default();
        for (name, value) in fields.as_object().unwrap() {
            entry.set(name, value.clone());
        }
        entry
    }

    fn store(order: &[&str], cooling: &[&str]) -> AuthProfiles {
        let stats: serde_json::Map<String, serde_json::Value> =
            cooling.iter().map(|id| ((*id).to_owned(), json!({"cooldownUntil": 2_000_000}))).collect();
        let key = json!({"type": "api_key", "provider": "p", "key": "sk-test-1"});
        let store = json!({"version": 1, "profiles": {"p:a": key, "p:b": key, "p:c": key, "q:x": {"type": "api_key", "provider": "q", "key": "k"}},
            "order": {"p": order}, "usageStats": stats});
        AuthProfiles::parse(&store.to_string(), Owner::Agent).unwrap()
    }

    /// Profiles p:a, p:b and p:c, of which those of the order are tried; those named are in a cooldown.
    fn turn(
        session: &serde_json::Value,
        order: &[&str],
        cooling: &[&str],
        is_new: bool,
    ) -> (Option<String>, SessionEntry, bool) {
        let store = store(order, cooling);
        let provider = ProviderId::normalise("p");
        let order = resolve_order(&Config::default(), &store, &provider, None, NOW);
        let mut entry = entry(session);
        let (pin, changed) = resolve_pin(&order, &store, &provider, &mut entry, is_new, NOW);
        (pin.map(|pin| pin.profile.to_string()), entry, changed)
    }

    /// The same with p:a, p:b and p:c in this order.
    fn pinned(session: &serde_json::Value, cooling: &[&str], is_new: bool) -> (Option<String>, SessionEntry) {
        let (pin, entry, _) = turn(session, &["p:a", "p:b", "p:c"], cooling, is_new);
        (pin, entry)
    }

    fn pin(profile: &str, source: &str) -> serde_json::Value {
        json!({"authProfileOverride": profile, "authProfileOverrideSource": source, "authProfileOverrideCompactionCount": 0})
    }

    #[test]
    fn the_first_free_profile_is_kept_as_long_as_it_is_free() {
        let (first, entry) = pinned(&json!({}), &[], true);
        assert_eq!((first.as_deref(), entry.pin().map(|pin| pin.source)), (Some("p:a"), Some(PinSource::Auto)));
        assert_eq!(pinned(&pin("p:b", "auto"), &[], false).0.as_deref(), Some("p:b"));
        assert_eq!(pinned(&pin("p:b", "auto"), &["p:b"], false).0.as_deref(), Some("p:a"));
        assert!(pinned(&pin("p:b", "auto"), &["p:a", "p:b", "p:c"], false).0.is_some());
    }

    #[test]
    fn a_user_pin_holds_until_the_session_ends() {
        let (held, entry) = pinned(&pin("p:c", "user"), &["p:c"], false);
        assert_eq!((held.as_deref(), entry.pin().map(|pin| pin.source)), (Some("p:c"), Some(PinSource::User)));
        assert_eq!(pinned(&pin("p:c", "user"), &[], true).0.as_deref(), Some("p:a"));
        assert_eq!(pinned(&pin("p:a", "user"), &[], true).0.as_deref(), Some("p:a"), "the first, not the next");
        assert_eq!(pinned(&pin("q:x", "user"), &[], false).0.as_deref(), Some("p:a"), "another provider's");
        assert_eq!(pinned(&pin("p:gone", "user"), &[], false).0.as_deref(), Some("p:a"));
    }

    #[test]
    fn a_new_session_and_a_compaction_move_on() {
        assert_eq!(pinned(&pin("p:b", "auto"), &[], true).0.as_deref(), Some("p:c"));
        assert_eq!(pinned(&pin("p:c", "auto"), &["p:a"], true).0.as_deref(), Some("p:b"));
        let mut compacted = pin("p:a", "auto");
        compacted["compactionCount"] = json!(1);
        let (next, entry) = pinned(&compacted, &[], false);
        assert_eq!((next.as_deref(), entry.pinned_at_compaction()), (Some("p:b"), 1));
        // Where there is nothing to move on to, the compaction is noted all the same.
        let (next, entry, changed) = turn(&compacted, &["p:a"], &[], false);
        assert_eq!((next.as_deref(), entry.pinned_at_compaction(), changed), (Some("p:a"), 1, true));
    }

    #[test]
    fn a_pin_outside_the_order_goes_and_an_empty_order_pins_nothing() {
        let user = pin("p:c", "user");
        assert_eq!(turn(&user, &["p:a", "p:b"], &[], false).0.as_deref(), Some("p:a"), "the order lacks it");
        // An order that names no usable profile is empty; a pin that is not wrong may come into use again.
        let (none, entry, changed) = turn(&user, &["p:gone"], &[], false);
        assert_eq!(
            (none, entry.pin().map(|pin| pin.profile.to_string()), changed),
            (None, Some("p:c".to_owned()), false)
        );
        for wrong in ["p:gone", "q:x"] {
            let (none, entry, changed) = turn(&pin(wrong, "user"), &["p:gone"], &[], false);
            assert_eq!((none, entry, changed), (None, SessionEntry::default(), true), "{wrong}");
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let order = ["p:a", "p:b", "p:c"];
        for (session, changed) in [
            (json!({}), true),
            (pin("p:b", "auto"), false),
            (pin("p:c", "user"), false),
            (pin("p:gone", "user"), true),
            // A pin of the program says so by its count alone.
            (json!({"authProfileOverride": "p:b", "authProfileOverrideCompactionCount": 0}), false),
        ] {
            let (_, after, said) = turn(&session, &order, &[], false);
            assert_eq!((said, after != entry(&session)), (changed, changed), "{session}");
        }
    }

    /// What a turn of a session would go to, what the check dropped, and what is left in the entry.
    fn validated(session: &serde_json::Value) -> (String, Vec<Dropped>, SessionEntry) {
        let config = Config::from_value(&json!({"agents": {"defaults": {
            "model": "p/m1", "models": {"p/m1": {}, "p/m2": {}, "q/m": {}, "openai/m": {}}}}}));
        let known = KnownModels::of(&config, &crate::config::AgentId::main());
        let mut entry = entry(session);
        let (model, dropped) = validate(&mut entry, &known, &store(&[], &[]));
        (model.key(), dropped, entry)
    }

    #[test]
    fn a_turn_takes_what_was_chosen_while_it_can_be_had() {
        let profile = |id: &str| vec![Dropped::Profile(ProfileId::new(id))];
        let with_model = |provider: &str, model: &str, profile: &str| {
            let mut session = pin(profile, "user");
            session["providerOverride"] = json!(provider);
            session["modelOverride"] = json!(model);
            session
        };
        for (session, model, dropped) in [
            (json!({}), "p/m1", vec![]),
            (pin("p:a", "user"), "p/m1", vec![]),
            (pin("q:x", "user"), "p/m1", profile("q:x")),
            (pin("p:gone", "auto"), "p/m1", profile("p:gone")),
            (json!({"modelOverride": "m"}), "openai/m", vec![]),
            (with_model("P", "m2", "p:b"), "p/m2", vec![]),
            (with_model("q", "m", "q:x"), "q/m", vec![]),
            (with_model("q", "m", "p:a"), "q/m", profile("p:a")),
        ] {
            let mut left = entry(&session);
            if !dropped.is_empty() {
                left.set_pin(None);
            }
            assert_eq!(validated(&session), (model.to_owned(), dropped, left), "{session}");
        }
        // A model that is not allowed any more takes its profile along, whatever the profile is for.
        let gone = with_model("q", "m9", "p:a");
        assert_eq!(
            validated(&gone),
            ("p/m1".to_owned(), vec![Dropped::Model("q/m9".to_owned())], SessionEntry::default())
        );
    }
}
