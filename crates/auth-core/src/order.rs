//! Which profiles of a provider are tried, in which order, and why the others are not (spec 07 sections 3 and 4).

use std::collections::{HashMap, HashSet};

use crate::config::Config;
use crate::credential::{Credential, CredentialKind, Expiry};
use crate::profile::{AuthProfiles, Profile, ProfileId};
use crate::provider::{AuthKey, ProviderId};
use crate::time::Timestamp;
use crate::usage::{Window, cooldown};

/// Whether a profile may be tried at all. Cooldowns play no part, references are not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It may.
    Ok,
    /// No such profile in the store.
    ProfileMissing,
    /// It, or its config entry, belongs to another provider.
    ProviderMismatch,
    /// The config expects another kind of credential.
    ModeMismatch,
    /// Neither a secret nor a valid reference.
    MissingCredential,
    /// `expires` of a token is no date.
    InvalidExpires,
    /// A token whose time is over.
    Expired,
}

impl Eligibility {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ProfileMissing => "profile_missing",
            Self::ProviderMismatch => "provider_mismatch",
            Self::ModeMismatch => "mode_mismatch",
            Self::MissingCredential => "missing_credential",
            Self::InvalidExpires => "invalid_expires",
            Self::Expired => "expired",
        }
    }

    /// Whether the profile may be tried.
    pub fn is_ok(self) -> bool {
        self == Self::Ok
    }
}

/// Decides whether a profile may be tried for a provider (spec 07 section 3); the first hit wins.
pub fn eligibility(
    config: &Config,
    store: &AuthProfiles,
    provider: &ProviderId,
    id: &ProfileId,
    now: Timestamp,
) -> Eligibility {
    judge_profile(config, store.get(id), &provider.auth_key(), id, now)
}

fn judge_profile(
    config: &Config,
    profile: Option<&Profile>,
    auth_key: &AuthKey,
    id: &ProfileId,
    now: Timestamp,
) -> Eligibility {
    let Some(profile) = profile else { return Eligibility::ProfileMissing };
    if profile.auth_key != *auth_key {
        return Eligibility::ProviderMismatch;
    }
    if let Some(expected) = config.auth_profiles.get(id.as_str()) {
        if expected.provider.auth_key() != *auth_key {
            return Eligibility::ProviderMismatch;
        }
        let kind = profile.credential.kind();
        let token_as_login = expected.mode == CredentialKind::OAuth && kind == CredentialKind::Token;
        if expected.mode != kind && !token_as_login {
            return Eligibility::ModeMismatch;
        }
    }
    let missing = match &profile.credential {
        Credential::ApiKey { key } => !key.is_present(),
        Credential::Token { token, .. } => !token.is_present(),
        Credential::OAuth { access, refresh, .. } => access.is_none() && refresh.is_none(),
    };
    if missing {
        return Eligibility::MissingCredential;
    }
    if let Credential::Token { expires, .. } = &profile.credential
        && *expires != Expiry::Absent
    {
        match expires.date_ms() {
            None => return Eligibility::InvalidExpires,
            Some(at) if now.as_f64() >= at => return Eligibility::Expired,
            Some(_) => {}
        }
    }
    Eligibility::Ok
}

/// Where the sequence of profiles comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderSource {
    /// `order` of the store.
    Store,
    /// `auth.order` of the config.
    Config,
    /// The profiles that `auth.profiles` of the config names.
    Profiles,
    /// Every stored profile of the provider.
    All,
}

impl OrderSource {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Config => "config",
            Self::Profiles => "profiles",
            Self::All => "all",
        }
    }
}

/// A profile with what speaks for or against it.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderEntry {
    /// Which profile.
    pub id: ProfileId,
    /// Whether it may be tried at all.
    pub eligibility: Eligibility,
    /// The window that keeps it out for now, blind to models.
    pub window: Option<Window>,
    /// Eligible, but not part of the sequence: an explicit order or `auth.profiles` does not name it.
    pub left_out: bool,
}

/// The profiles of a provider as they are tried.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileOrder {
    /// Where the sequence comes from.
    pub source: OrderSource,
    /// The profiles that are tried, in this order.
    pub tried: Vec<OrderEntry>,
    /// Every other profile of the provider, and every named id without a profile, each with its reason.
    pub passed_over: Vec<OrderEntry>,
}

impl ProfileOrder {
    /// The first profile that can be used now.
    pub fn first_usable(&self) -> Option<&OrderEntry> {
        self.tried.iter().find(|entry| entry.window.is_none())
    }

    /// 1-based place of a profile, `None` when it is not tried.
    pub fn position(&self, id: &ProfileId) -> Option<usize> {
        self.tried.iter().position(|entry| entry.id == *id).map(|at| at + 1)
    }
}

/// Resolves the order of a provider's profiles (spec 07 section 4). `preferred` moves to the front if it is tried.
pub fn resolve_order(
    config: &Config,
    store: &AuthProfiles,
    provider: &ProviderId,
    preferred: Option<&ProfileId>,
    now: Timestamp,
) -> ProfileOrder {
    let auth_key = provider.auth_key();
    let stored_order = store.order_of(provider);
    let explicit = stored_order.or_else(|| config.order_of(provider));
    let configured: Vec<&ProfileId> = config
        .auth_profiles
        .values()
        .filter(|entry| entry.provider.auth_key() == auth_key)
        .map(|entry| &entry.id)
        .collect();
    let stored = || store.of_provider(&auth_key).map(|profile| &profile.id);

    let (source, base): (OrderSource, Vec<&ProfileId>) = match explicit {
        Some(ids) => {
            let source = if stored_order.is_some() { OrderSource::Store } else { OrderSource::Config };
            (source, ids.iter().collect())
        }
        None if !configured.is_empty() => (OrderSource::Profiles, configured.clone()),
        None => (OrderSource::All, stored().collect()),
    };

    let judge = |id: &ProfileId| {
        let profile = store.get(id);
        OrderEntry {
            id: id.clone(),
            eligibility: judge_profile(config, profile, &auth_key, id, now),
            window: profile.and_then(|profile| cooldown(store, profile, None, now)),
            left_out: false,
        }
    };
    let judged: Vec<OrderEntry> = base.iter().map(|id| judge(id)).collect();
    let all_missing = judged.iter().all(|entry| entry.eligibility == Eligibility::ProfileMissing);
    let repair = !base.is_empty() && all_missing && !configured.is_empty();

    let mut seen: HashSet<ProfileId> = HashSet::with_capacity(judged.len());
    let mut ineligible: HashMap<ProfileId, OrderEntry> = HashMap::new();
    let mut strangers = Vec::new();
    let mut tried = Vec::with_capacity(judged.len());
    let pool = if repair { stored().map(judge).collect() } else { Vec::new() };
    for entry in pool.into_iter().chain(judged) {
        if !seen.insert(entry.id.clone()) {
            continue;
        }
        let belongs = store.get(&entry.id).is_some_and(|profile| profile.auth_key == auth_key);
        match (entry.eligibility.is_ok(), belongs) {
            (true, _) => tried.push(entry),
            (false, true) => drop(ineligible.insert(entry.id.clone(), entry)),
            (false, false) => strangers.push(entry),
        }
    }
    // The other profiles of the provider in store order, then names that stand for none of them.
    let tried_ids: HashSet<&ProfileId> = tried.iter().map(|entry| &entry.id).collect();
    let mut passed_over: Vec<OrderEntry> = stored()
        .filter(|id| !tried_ids.contains(id))
        .map(|id| {
            ineligible.remove(id).unwrap_or_else(|| {
                let entry = judge(id);
                OrderEntry { left_out: entry.eligibility.is_ok(), ..entry }
            })
        })
        .collect();
    passed_over.append(&mut strangers);

    if explicit.is_none_or(<[ProfileId]>::is_empty) {
        tried.sort_by(|a, b| {
            automatic_rank(store, &a.id).partial_cmp(&automatic_rank(store, &b.id)).unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    // Stable: free ones keep their sequence, those in a window follow by soonest end.
    tried.sort_by(|a, b| {
        let end = |entry: &OrderEntry| entry.window.map_or(f64::NEG_INFINITY, |window| window.until_ms);
        end(a).total_cmp(&end(b))
    });
    if let Some(at) = preferred.and_then(|id| tried.iter().position(|entry| entry.id == *id)) {
        tried[..=at].rotate_right(1);
    }
    ProfileOrder { source, tried, passed_over }
}

/// Without an explicit order: logins before tokens before keys, then the one unused for longest.
fn automatic_rank(store: &AuthProfiles, id: &ProfileId) -> (u8, f64) {
    let kind = match store.get(id).map(Profile::kind) {
        Some(CredentialKind::OAuth) => 0,
        Some(CredentialKind::Token) => 1,
        Some(CredentialKind::ApiKey) => 2,
        None => 3,
    };
    let last_used = store.usage(id).and_then(|stats| stats.last_used_ms).unwrap_or(0.0);
    (kind, last_used)
}

impl Profile {
    /// The kind of its credential.
    pub fn kind(&self) -> CredentialKind {
        self.credential.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Owner;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

    fn ids(order: &ProfileOrder) -> Vec<&str> {
        order.tried.iter().map(|entry| entry.id.as_str()).collect()
    }

    fn order(config: &serde_json::Value, store: &serde_json::Value, provider: &str) -> ProfileOrder {
        let config = Config::from_value(config);
        let store = AuthProfiles::parse(&store.to_string(), Owner::Agent).unwrap();
        resolve_order(&config, &store, &ProviderId::normalise(provider), None, NOW)
    }

    fn key(provider: &str) -> serde_json::Value {
        json!({"type": "api_key", "provider": provider, "key": "k"})
    }

    #[test]
    fn places_count_from_one_and_sources_have_words() {
        let store = json!({"profiles": {"a": key("p"), "b": key("p"), "c": key("p")}, "order": {"p": ["c", "a"]}});
        let found = order(&json!({}), &store, "p");
        let places = ["a", "b", "c"].map(|id| found.position(&ProfileId::new(id)));
        assert_eq!(places, [Some(2), None, Some(1)]);
        let words = [OrderSource::Store, OrderSource::Config, OrderSource::Profiles, OrderSource::All];
        assert_eq!(words.map(OrderSource::as_str), ["store", "config", "profiles", "all"]);
    }

    #[test]
    fn automatic_order_is_by_kind_then_by_age_of_use() {
        let store = json!({"profiles": {
            "k1": key("p"), "k2": key("p"),
            "t": {"type": "token", "provider": "p", "token": "t"},
            "o": {"type": "oauth", "provider": "P", "refresh": "r", "expires": 1},
            "x": key("q")},
            "usageStats": {"k1": {"lastUsed": 10}, "t": {"cooldownUntil": NOW.as_ms() + 5}, "k2": {"cooldownUntil": NOW.as_ms() + 3}}});
        let found = order(&json!({}), &store, "p");
        assert_eq!(ids(&found), ["o", "k1", "k2", "t"]);
        assert_eq!(found.source, OrderSource::All);
        assert_eq!(found.first_usable().unwrap().id.as_str(), "o");
    }

    #[test]
    fn the_stores_order_wins_and_hides_all_others() {
        let store = json!({"profiles": {"a": key("p"), "b": key("p"), "c": key("p")}, "order": {" P ": ["c", "gone", "a", "c"]}});
        let found = order(&json!({"auth": {"order": {"p": ["b"]}}}), &store, "p");
        assert_eq!(ids(&found), ["c", "a"]);
        let codes: Vec<_> =
            found.passed_over.iter().map(|e| (e.id.as_str(), e.eligibility.code(), e.left_out)).collect();
        assert_eq!(codes, [("b", "ok", true), ("gone", "profile_missing", false)]);
    }

    #[test]
    fn a_stale_config_is_repaired_only_when_nothing_it_names_exists() {
        let config =
            json!({"auth": {"profiles": {"old": {"provider": "p", "mode": "api_key"}}, "order": {"p": ["older"]}}});
        let found = order(&config, &json!({"profiles": {"new": key("p")}}), "p");
        assert_eq!(ids(&found), ["new"]);
        let found = order(&json!({"auth": {"order": {"p": ["older"]}}}), &json!({"profiles": {"new": key("p")}}), "p");
        assert!(found.tried.is_empty());
        let config = json!({"auth": {"profiles": {"old": {"provider": "p", "mode": "token"}}}});
        let found = order(&config, &json!({"profiles": {"old": key("p"), "new": key("p")}}), "p");
        assert!(found.tried.is_empty());
        assert_eq!(found.passed_over[0].eligibility, Eligibility::ModeMismatch);
    }

    #[test]
    fn every_reason_has_its_case() {
        let store = json!({"profiles": {
            "mm": key("p"), "pm": key("p"), "mc": {"type": "oauth", "provider": "p", "access": " "},
            "ie": {"type": "token", "provider": "p", "token": "t", "expires": -1},
            "ex": {"type": "token", "provider": "p", "token": "t", "expires": NOW.as_ms()},
            "ok": {"type": "token", "provider": "p", "token": "t", "expires": NOW.as_ms() + 1}}});
        let config = json!({"auth": {"order": {"p": ["mm", "pm", "mc", "ie", "ex", "ok", "xx"]}, "profiles": {
            "mm": {"provider": "p", "mode": "oauth"}, "pm": {"provider": "q", "mode": "api_key"}, "ok": {"provider": "p", "mode": "oauth"}}}});
        let found = order(&config, &store, "p");
        assert_eq!(ids(&found), ["ok"]);
        let codes: Vec<_> = found.passed_over.iter().map(|e| e.eligibility.code()).collect();
        assert_eq!(
            codes,
            [
                "mode_mismatch",
                "provider_mismatch",
                "missing_credential",
                "invalid_expires",
                "expired",
                "profile_missing"
            ]
        );
    }

    #[test]
    fn a_preferred_profile_comes_first_even_in_cooldown() {
        let store = json!({"profiles": {"a": key("p"), "b": key("p"), "c": key("p")}, "usageStats": {"c": {"cooldownUntil": NOW.as_ms() + 9}}});
        let store = AuthProfiles::parse(&store.to_string(), Owner::Agent).unwrap();
        let preferred = ProfileId::new("c");
        let found = resolve_order(&Config::default(), &store, &ProviderId::normalise("p"), Some(&preferred), NOW);
        assert_eq!(ids(&found), ["c", "a", "b"]);
    }

    proptest! {
        #[test]
        fn order_is_a_permutation_of_the_eligible(
            kinds in proptest::collection::vec((0_usize..3, any::<bool>(), 0_i64..3), 0..12),
            explicit in proptest::option::of(proptest::collection::vec(0_usize..14, 0..14)),
        ) {
            let mut profiles = serde_json::Map::new();
            let mut usage = serde_json::Map::new();
            for (i, (kind, usable, window)) in kinds.iter().enumerate() {
                let secret = if *usable { "s" } else { " " };
                let entry = match kind {
                    0 => json!({"type": "api_key", "provider": "p", "key": secret}),
                    1 => json!({"type": "token", "provider": "p", "token": secret}),
                    _ => json!({"type": "oauth", "provider": "p", "access": secret}),
                };
                profiles.insert(format!("p{i}"), entry);
                usage.insert(format!("p{i}"), json!({"cooldownUntil": NOW.as_ms() - 1 + window}));
            }
            let mut store = json!({"profiles": profiles, "usageStats": usage});
            if let Some(explicit) = &explicit {
                store["order"] = json!({"p": explicit.iter().map(|i| format!("p{i}")).collect::<Vec<_>>()});
            }
            let found = order(&json!({}), &store, "p");
            let mut tried: Vec<&str> = ids(&found);
            let windows: Vec<f64> = found.tried.iter().map(|e| e.window.map_or(0.0, |w| w.until_ms)).collect();
            prop_assert!(windows.is_sorted());
            tried.sort_unstable();
            let mut expected: Vec<String> = kinds
                .iter()
                .enumerate()
                .filter(|(i, (_, usable, _))| *usable && explicit.as_ref().is_none_or(|e| e.is_empty() || e.contains(i)))
                .map(|(i, _)| format!("p{i}"))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(tried, expected);
            prop_assert!(found.passed_over.iter().all(|e| !e.eligibility.is_ok() || e.left_out));
        }
    }
}
