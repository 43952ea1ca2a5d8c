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
