//! How long credentials hold, and what `--check` makes of it (spec 02 sections 9 and 10).

use crate::collate::collate;
use crate::credential::{Credential, CredentialKind, Expiry};
use crate::profile::{AuthProfiles, Profile, ProfileId};
use crate::provider::{ProviderId, may_be_refreshed};
use crate::time::Timestamp;

/// A credential that ends sooner than this is `expiring`: 24 hours, in milliseconds.
pub const WARN_AFTER_MS: i64 = 86_400_000;

/// The health of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// Holds, or renews itself.
    Ok,
    /// Ends within 24 hours and does not renew itself.
    Expiring,
    /// Over.
    Expired,
    /// There is no credential, or no usable expiry.
    Missing,
    /// Has no end.
    Static,
}

impl HealthStatus {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::Static => "static",
        }
    }
}

/// Why a profile is not healthy, or not eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthReason {
    /// Neither a secret nor a reference.
    MissingCredential,
    /// `expires` is there but no date.
    InvalidExpires,
    /// `expires` is past.
    Expired,
}

impl HealthReason {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingCredential => "missing_credential",
            Self::InvalidExpires => "invalid_expires",
            Self::Expired => "expired",
        }
    }
}

/// The health of one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileHealth {
    /// Which profile.
    pub id: ProfileId,
    /// Its provider, normalised.
    pub provider: ProviderId,
    /// Its kind.
    pub kind: CredentialKind,
    /// Its health.
    pub status: HealthStatus,
    /// Why, where the status alone does not tell.
    pub reason: Option<HealthReason>,
    /// Stored end, in milliseconds since the epoch, when it is to be shown.
    pub expires_at_ms: Option<f64>,
    /// Time left until then, in milliseconds; negative when past.
    pub remaining_ms: Option<f64>,
    /// The stored end of the credential, shown or not, in milliseconds since the epoch.
    pub ends_at_ms: Option<f64>,
    /// A login with a refresh token and a known end: the next use after the end renews it.
    pub renews_itself: bool,
    /// The program that keeps the login alive, when it is not this one.
    pub managed_by: Option<String>,
}

/// The health of one provider: the worst of its logins and tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderHealth {
    /// Which provider.
    pub provider: ProviderId,
    /// Its health.
    pub status: HealthStatus,
    /// The soonest end among its logins and tokens, in milliseconds since the epoch.
    pub expires_at_ms: Option<f64>,
    /// Time left until then, in milliseconds.
    pub remaining_ms: Option<f64>,
    /// Places of its profiles in [`Health::profiles`].
    pub profiles: Vec<usize>,
}

/// The health of everything in a store.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Every profile, sorted by provider, then id.
    pub profiles: Vec<ProfileHealth>,
    /// Every provider, sorted by id.
    pub providers: Vec<ProviderHealth>,
}

impl Health {
    /// Judges every profile of a store.
    pub fn of(store: &AuthProfiles, now: Timestamp) -> Self {
        let mut profiles: Vec<ProfileHealth> = store.iter().map(|profile| profile_health(profile, now)).collect();
        profiles.sort_by(|a, b| {
            collate(a.provider.as_str(), b.provider.as_str()).then_with(|| collate(a.id.as_str(), b.id.as_str()))
        });
        let mut providers: Vec<ProviderHealth> = Vec::new();
        for (at, profile) in profiles.iter().enumerate() {
            match providers.last_mut().filter(|last| last.provider == profile.provider) {
                Some(last) => last.profiles.push(at),
                None => providers.push(ProviderHealth {
                    provider: profile.provider.clone(),
                    status: HealthStatus::Static,
                    expires_at_ms: None,
                    remaining_ms: None,
                    profiles: vec![at],
                }),
            }
        }
        for provider in &mut providers {
            let members = provider.profiles.iter().map(|at| &profiles[*at]);
            let (status, expires_at_ms) = roll_up(members);
            provider.status = status;
            provider.expires_at_ms = expires_at_ms;
            provider.remaining_ms = expires_at_ms.map(|at| at - now.as_f64());
        }
        Self { profiles, providers }
    }

    /// The verdict of `--check` on the store alone (spec 02 section 10): the worst status of any login or token.
    pub fn check(&self) -> CheckVerdict {
        let dynamic = self.profiles.iter().filter(|p| p.kind != CredentialKind::ApiKey);
        dynamic
            .map(|profile| match profile.status {
                HealthStatus::Expired | HealthStatus::Missing => CheckVerdict::Failing,
                HealthStatus::Expiring => CheckVerdict::Expiring,
                HealthStatus::Ok | HealthStatus::Static => CheckVerdict::Fine,
            })
            .max()
            .unwrap_or(CheckVerdict::Fine)
    }
}

/// The answer of `--check`, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckVerdict {
    /// Nothing to do: exit code 0.
    Fine,
    /// Something ends within 24 hours: exit code 2.
    Expiring,
    /// Something is over, missing or unreadable: exit code 1.
    Failing,
}

impl CheckVerdict {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Expiring => 2,
            Self::Failing => 1,
        }
    }
}

fn roll_up<'a>(profiles: impl Iterator<Item = &'a ProfileHealth>) -> (HealthStatus, Option<f64>) {
    let mut worst = None;
    let mut soonest: Option<f64> = None;
    for profile in profiles.filter(|p| p.kind != CredentialKind::ApiKey) {
        let verdict = match profile.status {
            HealthStatus::Expired | HealthStatus::Missing => CheckVerdict::Failing,
            HealthStatus::Expiring => CheckVerdict::Expiring,
            HealthStatus::Ok | HealthStatus::Static => CheckVerdict::Fine,
        };
        worst = worst.max(Some(verdict));
        if let Some(at) = profile.expires_at_ms.filter(|at| *at > 0.0) {
            soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
        }
    }
    let status = match worst {
        None => HealthStatus::Static,
        Some(CheckVerdict::Failing) => HealthStatus::Expired,
        Some(CheckVerdict::Expiring) => HealthStatus::Expiring,
        Some(CheckVerdict::Fine) => HealthStatus::Ok,
    };
    (status, soonest)
}

/// Judges one profile.
pub fn profile_health(profile: &Profile, now: Timestamp) -> ProfileHealth {
    let mut health = ProfileHealth {
        id: profile.id.clone(),
        provider: profile.provider.clone(),
        kind: profile.credential.kind(),
        status: HealthStatus::Static,
        reason: None,
        expires_at_ms: None,
        remaining_ms: None,
        ends_at_ms: match &profile.credential {
            Credential::ApiKey { .. } => None,
            Credential::Token { expires, .. } | Credential::OAuth { expires, .. } => expires.date_ms(),
        },
        renews_itself: false,
        managed_by: profile.managed_by(),
    };
    match &profile.credential {
        Credential::ApiKey { key } => {
            health.reason = (!key.is_present()).then_some(HealthReason::MissingCredential);
        }
        Credential::Token { token, .. } if !token.is_present() => {
            health.status = HealthStatus::Missing;
            health.reason = Some(HealthReason::MissingCredential);
        }
        Credential::Token { expires: Expiry::Absent, .. } => {}
        Credential::Token { expires, .. } => match expiry_state(*expires, now) {
            HealthStatus::Missing => {
                health.status = HealthStatus::Missing;
                health.reason = Some(HealthReason::InvalidExpires);
            }
            HealthStatus::Expired => {
                health.status = HealthStatus::Expired;
                health.reason = Some(HealthReason::Expired);
            }
            status => {
                health.status = status;
                health.set_times(*expires, now);
            }
        },
        Credential::OAuth { refresh, expires, .. } => {
            let state = expiry_state(*expires, now);
            let lapsing = matches!(state, HealthStatus::Expired | HealthStatus::Expiring);
            let ours = may_be_refreshed(profile.provider.as_str()) && health.managed_by.is_none();
            health.renews_itself = ours && refresh.is_some() && state != HealthStatus::Missing;
            health.status = if refresh.is_some() && lapsing { HealthStatus::Ok } else { state };
            health.set_times(*expires, now);
            if state == HealthStatus::Missing {
                health.remaining_ms = None;
            }
        }
    }
    health
}

impl ProfileHealth {
    fn set_times(&mut self, expires: Expiry, now: Timestamp) {
        if let Expiry::At(ms) = expires {
            self.expires_at_ms = Some(ms);
            self.remaining_ms = Some(ms - now.as_f64());
        }
    }
}

/// The state of an expiry on its own.
fn expiry_state(expires: Expiry, now: Timestamp) -> HealthStatus {
    let Some(at) = expires.date_ms() else { return HealthStatus::Missing };
    let left = at - now.as_f64();
    if left <= 0.0 {
        HealthStatus::Expired
    } else if left <= Timestamp::from_ms(WARN_AFTER_MS).as_f64() {
        HealthStatus::Expiring
    } else {
        HealthStatus::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Owner;

    const NOW: i64 = 1_800_000_000_000;
    const DAY: i64 = WARN_AFTER_MS;

    fn health(profiles: &str) -> Health {
        let store = AuthProfiles::parse(&format!(r#"{{"version": 1, "profiles": {{{profiles}}}}}"#), Owner::Agent);
        Health::of(&store.unwrap(), Timestamp::from_ms(NOW))
    }

    fn one(fields: &str) -> ProfileHealth {
        health(&format!(r#""p:a": {{{fields}}}"#)).profiles.remove(0)
    }

    fn token(expires: i64) -> String {
        format!(r#""type": "token", "provider": "p", "token": "sk-test-health-000001", "expires": {expires}"#)
    }

    fn login(provider: &str, refresh: bool, expires: i64) -> String {
        let refresh = if refresh { r#""refresh": "sk-test-refresh-00001", "# } else { "" };
        format!(
            r#""type": "oauth", "provider": "{provider}", "access": "sk-test-access-000001", {refresh}"expires": {expires}"#
        )
    }

    #[test]
    fn words_and_exit_codes() {
        use HealthStatus as S;
        let words = [S::Ok, S::Expiring, S::Expired, S::Missing, S::Static].map(HealthStatus::as_str);
        assert_eq!(words, ["ok", "expiring", "expired", "missing", "static"]);
        let codes = [CheckVerdict::Fine, CheckVerdict::Expiring, CheckVerdict::Failing].map(CheckVerdict::exit_code);
        assert_eq!(codes, [0, 2, 1]);
        let reasons = [HealthReason::MissingCredential, HealthReason::InvalidExpires, HealthReason::Expired];
        assert_eq!(reasons.map(HealthReason::code), ["missing_credential", "invalid_expires", "expired"]);
    }

    #[test]
    fn a_key_has_no_end_and_may_lack() {
        let key = one(r#""type": "api_key", "provider": "p", "key": "sk-test-health-000001""#);
        assert_eq!((key.status, key.reason, key.ends_at_ms), (HealthStatus::Static, None, None));
        let none = one(r#""type": "api_key", "provider": "p""#);
        assert_eq!((none.status, none.reason), (HealthStatus::Static, Some(HealthReason::MissingCredential)));
    }

    #[test]
    fn a_token_ends() {
        let cases = [
            (NOW - 1, HealthStatus::Expired, Some(HealthReason::Expired), None),
            (NOW, HealthStatus::Expired, Some(HealthReason::Expired), None),
            (NOW + 1, HealthStatus::Expiring, None, Some(1.0)),
            (NOW + DAY, HealthStatus::Expiring, None, Some(86_400_000.0)),
            (NOW + DAY + 1, HealthStatus::Ok, None, Some(86_400_001.0)),
            (0, HealthStatus::Missing, Some(HealthReason::InvalidExpires), None),
        ];
        for (expires, status, reason, left) in cases {
            let health = one(&token(expires));
            assert_eq!((health.status, health.reason, health.remaining_ms), (status, reason, left), "{expires}");
            assert_eq!(health.expires_at_ms, left.map(|left| left + 1_800_000_000_000.0), "{expires}");
            assert!(!health.renews_itself);
        }
        let endless = one(r#""type": "token", "provider": "p", "token": "sk-test-health-000001""#);
        assert_eq!((endless.status, endless.expires_at_ms), (HealthStatus::Static, None));
        let empty = one(&format!(r#""type": "token", "provider": "p", "expires": {}"#, NOW + DAY));
        assert_eq!((empty.status, empty.reason), (HealthStatus::Missing, Some(HealthReason::MissingCredential)));
    }

    #[test]
    fn a_login_renews_itself_when_somebody_can() {
        let cases = [
            ("openai-codex", true, NOW - 1, HealthStatus::Ok, true),
            ("openai-codex", true, NOW + 1, HealthStatus::Ok, true),
            ("openai-codex", true, NOW + 2 * DAY, HealthStatus::Ok, true),
            ("openai-codex", false, NOW - 1, HealthStatus::Expired, false),
            ("openai-codex", false, NOW + 1, HealthStatus::Expiring, false),
            ("openai-codex", true, 0, HealthStatus::Missing, false),
            // Nobody can renew these any more.
            ("qwen-portal", true, NOW - 1, HealthStatus::Ok, false),
        ];
        for (provider, refresh, expires, status, renews) in cases {
            let health = one(&login(provider, refresh, expires));
            assert_eq!((health.status, health.renews_itself), (status, renews), "{provider} {refresh} {expires}");
        }
        let managed = format!(r#"{}, "managedBy": "codex""#, login("openai-codex", true, NOW - 1));
        assert!(!one(&managed).renews_itself, "another program keeps it");
        let past = one(&login("openai-codex", false, NOW - 7));
        assert_eq!((past.expires_at_ms, past.remaining_ms), (Some(1_799_999_999_993.0), Some(-7.0)));
        assert_eq!(one(&login("openai-codex", true, 0)).remaining_ms, None);
    }

    #[test]
    fn a_provider_is_as_well_as_its_worst_login_or_token() {
        let of = |profiles: &[(&str, String)]| {
            let text: Vec<String> = profiles.iter().map(|(id, fields)| format!(r#""{id}": {{{fields}}}"#)).collect();
            health(&text.join(", "))
        };
        let key = r#""type": "api_key", "provider": "p""#.to_owned();
        let keys = of(&[("p:k", key.clone())]);
        assert_eq!((keys.providers[0].status, keys.check()), (HealthStatus::Static, CheckVerdict::Fine));

        let good = of(&[("p:a", token(NOW + 9 * DAY)), ("p:k", key.clone()), ("p:b", token(NOW + 3 * DAY))]);
        let provider = &good.providers[0];
        assert_eq!((good.providers.len(), provider.status, good.check()), (1, HealthStatus::Ok, CheckVerdict::Fine));
        assert_eq!(provider.remaining_ms, Some(3.0 * 86_400_000.0));
        assert_eq!(provider.expires_at_ms, Some(1_800_000_000_000.0 + 3.0 * 86_400_000.0));
        let ids: Vec<&str> = provider.profiles.iter().map(|at| good.profiles[*at].id.as_str()).collect();
        assert_eq!(ids, ["p:a", "p:b", "p:k"]);

        let soon = of(&[("p:a", token(NOW + 9 * DAY)), ("p:b", token(NOW + 5))]);
        assert_eq!((soon.providers[0].status, soon.check()), (HealthStatus::Expiring, CheckVerdict::Expiring));
        let over = of(&[("p:a", token(NOW + 5)), ("p:b", token(NOW - 5))]);
        assert_eq!((over.providers[0].status, over.check()), (HealthStatus::Expired, CheckVerdict::Failing));

        let other = token(NOW - 5).replace(r#""provider": "p""#, r#""provider": "o""#);
        let two = of(&[("p:a", token(NOW + 9 * DAY)), ("o:a", other)]);
        let names: Vec<(&str, HealthStatus)> =
            two.providers.iter().map(|provider| (provider.provider.as_str(), provider.status)).collect();
        assert_eq!(names, [("o", HealthStatus::Expired), ("p", HealthStatus::Ok)]);
        // An end that is no date is no end.
        let none = of(&[("p:a", token(0)), ("p:b", token(NOW + 9 * DAY))]);
        assert_eq!(none.providers[0].remaining_ms, Some(9.0 * 86_400_000.0));
    }
}
