//! Usage statistics, cooldowns and disables (spec 07 section 5).

mod chatgpt;
#[cfg(test)]
mod tests;
mod unavailable;

use std::fmt;

use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::profile::{AuthProfiles, Profile, ProfileId, find_normalised};
use crate::provider::ProviderId;
use crate::raw_json::{self, RawObject};
use crate::time::Timestamp;
pub use chatgpt::{asks_chatgpt_usage, chatgpt_cooldown_ms};
pub use unavailable::{soonest_end, unavailable_reason};

/// The class of a failure, as far as statistics know it. In the priority order of spec 07 section 5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The credential was revoked or the account closed.
    AuthPermanent,
    /// The credential was refused.
    Auth,
    /// The account has no credit.
    Billing,
    /// The provider did not accept the form of the request.
    Format,
    /// The provider does not have the model.
    ModelNotFound,
    /// The provider is overloaded.
    Overloaded,
    /// No answer in time.
    Timeout,
    /// Too many requests.
    RateLimit,
    /// Anything else.
    Unknown,
    /// The session is over; never scored.
    SessionExpired,
}

impl FailureReason {
    /// Every reason, in priority order.
    pub const ALL: [Self; 10] = [
        Self::AuthPermanent,
        Self::Auth,
        Self::Billing,
        Self::Format,
        Self::ModelNotFound,
        Self::Overloaded,
        Self::Timeout,
        Self::RateLimit,
        Self::Unknown,
        Self::SessionExpired,
    ];

    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthPermanent => "auth_permanent",
            Self::Auth => "auth",
            Self::Billing => "billing",
            Self::Format => "format",
            Self::ModelNotFound => "model_not_found",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::RateLimit => "rate_limit",
            Self::Unknown => "unknown",
            Self::SessionExpired => "session_expired",
        }
    }

    /// The reason of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The statistics of one profile. Times are milliseconds since the epoch; a field of the wrong shape reads as absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageStats {
    /// Last success.
    pub last_used_ms: Option<f64>,
    /// Failures in a row.
    pub error_count: u32,
    /// The same per reason, in file order; unknown reasons are kept.
    pub failure_counts: Vec<(String, u32)>,
    /// Last failure.
    pub last_failure_ms: Option<f64>,
    /// End of the short window.
    pub cooldown_until_ms: Option<f64>,
    /// Why it was opened.
    pub cooldown_reason: Option<String>,
    /// The model it is limited to.
    pub cooldown_model: Option<String>,
    /// End of the long window.
    pub disabled_until_ms: Option<f64>,
    /// Why it was opened.
    pub disabled_reason: Option<String>,
}

impl UsageStats {
    pub(crate) fn from_raw(raw: &RawValue) -> Self {
        let Some(fields) = RawObject::of(raw) else { return Self::default() };
        let number = |name: &str| fields.get(name).and_then(raw_json::number);
        let time = |name: &str| number(name).filter(|ms| ms.is_finite() && *ms > 0.0);
        let text = |name: &str| fields.get(name).and_then(raw_json::string);
        let counts = fields.get("failureCounts").and_then(RawObject::of);
        Self {
            last_used_ms: time("lastUsed"),
            error_count: number("errorCount").map_or(0, count),
            failure_counts: counts
                .into_iter()
                .flat_map(RawObject::into_members)
                .filter_map(|(reason, n)| Some((reason.into_owned(), raw_json::number(n).map(count)?)))
                .collect(),
            last_failure_ms: time("lastFailureAt"),
            cooldown_until_ms: time("cooldownUntil"),
            cooldown_reason: text("cooldownReason"),
            cooldown_model: text("cooldownModel"),
            disabled_until_ms: time("disabledUntil"),
            disabled_reason: text("disabledReason"),
        }
    }

    /// Every known field as it is written: its name, and its value unless it is to be absent.
    pub fn fields(&self) -> Vec<(&'static str, Option<Value>)> {
        let time = |ms: Option<f64>| ms.map(json_number);
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let counts: Map<String, Value> =
            self.failure_counts.iter().map(|(k, n)| (k.clone(), Value::from(*n))).collect();
        vec![
            ("lastUsed", time(self.last_used_ms)),
            ("errorCount", Some(Value::from(self.error_count))),
            ("lastFailureAt", time(self.last_failure_ms)),
            ("cooldownUntil", time(self.cooldown_until_ms)),
            ("cooldownReason", text(&self.cooldown_reason)),
            ("cooldownModel", text(&self.cooldown_model)),
            ("disabledUntil", time(self.disabled_until_ms)),
            ("disabledReason", text(&self.disabled_reason)),
            ("failureCounts", (!counts.is_empty()).then_some(Value::Object(counts))),
        ]
    }

    /// The later end of the two windows in milliseconds since the epoch, whether it is past or not.
    pub fn window_end_ms(&self) -> Option<f64> {
        match (self.cooldown_until_ms, self.disabled_until_ms) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        }
    }

    /// The window that keeps the profile out now, blind to models (spec 02 section 11).
    pub fn active_window(&self, now: Timestamp) -> Option<Window> {
        let now = now.as_f64();
        let until_ms = self.window_end_ms().filter(|until| *until > now)?;
        let kind = if self.disabled_until_ms.is_some_and(|until| until > now) {
            WindowKind::Disabled
        } else {
            WindowKind::Cooldown
        };
        Some(Window { kind, until_ms })
    }

    /// The only model that the window concerns; `None` when it concerns all (spec 07 section 5.2 step 3).
    pub fn limited_model(&self, now: Timestamp) -> Option<&str> {
        let limited = self.cooldown_reason.as_deref() == Some(FailureReason::RateLimit.as_str())
            && self.disabled_until_ms.is_none_or(|until| until <= now.as_f64());
        self.cooldown_model.as_deref().filter(|_| limited)
    }

    /// Whether the window does not concern this model (spec 07 section 5.2 step 3).
    fn spares_model(&self, model: &str, now: Timestamp) -> bool {
        self.limited_model(now).is_some_and(|limited| limited != model)
    }

    fn count_of(&self, reason: FailureReason) -> u32 {
        self.failure_counts.iter().find(|(name, _)| name == reason.as_str()).map_or(0, |(_, n)| *n)
    }

    /// What a success leaves behind (spec 07 section 5.3).
    #[must_use]
    pub fn after_success(&self, now: Timestamp) -> Self {
        Self { last_used_ms: Some(now.as_f64()), ..self.after_clearing() }
    }

    /// What a manual reset or a new credential leaves behind (spec 07 section 5.6).
    #[must_use]
    pub fn after_clearing(&self) -> Self {
        Self { last_used_ms: self.last_used_ms, last_failure_ms: self.last_failure_ms, ..Self::default() }
    }

    /// What a new secret leaves behind: as [`after_clearing`](Self::after_clearing).
    #[must_use]
    pub fn after_new_credential(&self) -> Self {
        self.after_clearing()
    }

    /// What a failure leaves behind (spec 07 section 5.4). The caller skips exempt providers.
    #[must_use]
    pub fn after_failure(
        &self,
        reason: FailureReason,
        model: Option<&str>,
        provider: &ProviderId,
        policy: &CooldownPolicy,
        now: Timestamp,
    ) -> Self {
        let now_ms = now.as_f64();
        let mut next = self.clone();
        let expired = self.last_failure_ms.is_some_and(|at| now_ms - at > policy.failure_window_ms);
        let ended = self.window_end_ms().is_some_and(|end| now_ms >= end);
        if expired || ended {
            next.error_count = 0;
            next.failure_counts.clear();
        }
        next.error_count = next.error_count.saturating_add(1);
        match next.failure_counts.iter_mut().find(|(name, _)| name == reason.as_str()) {
            Some((_, n)) => *n = n.saturating_add(1),
            None => next.failure_counts.push((reason.as_str().to_owned(), 1)),
        }
        next.last_failure_ms = Some(now_ms);

        let still_open = |until: Option<f64>| until.filter(|until| *until > now_ms);
        if let FailureReason::Billing | FailureReason::AuthPermanent = reason {
            let backoff = policy.disable_ms(reason, provider, next.count_of(reason));
            next.disabled_until_ms = still_open(self.disabled_until_ms).or(Some(now_ms + backoff));
            next.disabled_reason = Some(reason.as_str().to_owned());
            return next;
        }
        let open = still_open(self.cooldown_until_ms);
        let limited = reason == FailureReason::RateLimit;
        next.cooldown_model = match (open, model) {
            (None, Some(model)) if limited => Some(model.to_owned()),
            (Some(_), Some(model)) if limited && self.cooldown_model.as_deref() == Some(model) => {
                self.cooldown_model.clone()
            }
            _ => None,
        };
        next.cooldown_until_ms = open.or(Some(now_ms + cooldown_ms(next.error_count)));
        next.cooldown_reason = Some(reason.as_str().to_owned());
        next
    }
}

/// A non-negative whole number as JavaScript would have counted it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u32 first")]
fn count(n: f64) -> u32 {
    if n.is_finite() { n.clamp(0.0, f64::from(u32::MAX)) as u32 } else { 0 }
}

/// A time as it is written: whole milliseconds where it is whole.
fn json_number(ms: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if ms.fract() == 0.0 && ms.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
        return Value::from(ms as i64);
    }
    Number::from_f64(ms).map_or(Value::Null, Value::Number)
}

/// Which of the two windows is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// The short one.
    Cooldown,
    /// The long one.
    Disabled,
}

impl WindowKind {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::Disabled => "disabled",
        }
    }
}

/// An open window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Which one.
    pub kind: WindowKind,
    /// When the later of the two ends, in milliseconds since the epoch.
    pub until_ms: f64,
}

/// Whether a profile has to be passed over now (spec 07 section 5.2); `model` limits the question to one model.
pub fn cooldown(store: &AuthProfiles, profile: &Profile, model: Option<&str>, now: Timestamp) -> Option<Window> {
    if profile.provider.is_cooldown_exempt() {
        return None;
    }
    let stats = store.usage(&profile.id)?;
    if model.is_some_and(|model| stats.spares_model(model, now)) {
        return None;
    }
    stats.active_window(now)
}

/// Cooldown of the nth failure in a row (spec 07 section 5.5).
fn cooldown_ms(error_count: u32) -> f64 {
    match error_count {
        0 | 1 => 30_000.0,
        2 => 60_000.0,
        _ => 300_000.0,
    }
}

/// The durations that the configuration may change: `auth.cooldowns` (spec 07 sections 5.5 and 13).
#[derive(Clone, Debug, PartialEq)]
pub struct CooldownPolicy {
    /// First disable after a billing failure, in milliseconds.
    pub billing_base_ms: f64,
    /// The same for single providers, in milliseconds.
    pub billing_base_by_provider_ms: Vec<(String, f64)>,
    /// Longest disable after billing failures, in milliseconds.
    pub billing_max_ms: f64,
    /// First disable after a permanent refusal, in milliseconds.
    pub auth_permanent_base_ms: f64,
    /// Longest disable after permanent refusals, in milliseconds.
    pub auth_permanent_max_ms: f64,
    /// How long a failure counts, in milliseconds.
    pub failure_window_ms: f64,
}

impl Default for CooldownPolicy {
    fn default() -> Self {
        const MINUTE: f64 = 60_000.0;
        const HOUR: f64 = 60.0 * MINUTE;
        Self {
            billing_base_ms: 5.0 * HOUR,
            billing_base_by_provider_ms: Vec::new(),
            billing_max_ms: 24.0 * HOUR,
            auth_permanent_base_ms: 10.0 * MINUTE,
            auth_permanent_max_ms: 60.0 * MINUTE,
            failure_window_ms: 24.0 * HOUR,
        }
    }
}

impl CooldownPolicy {
    fn disable_ms(&self, reason: FailureReason, provider: &ProviderId, failures: u32) -> f64 {
        let (base, max) = if reason == FailureReason::Billing {
            let own = find_normalised(&self.billing_base_by_provider_ms, provider);
            (own.copied().unwrap_or(self.billing_base_ms), self.billing_max_ms)
        } else {
            (self.auth_permanent_base_ms, self.auth_permanent_max_ms)
        };
        let base = base.max(60_000.0);
        let doublings = failures.saturating_sub(1).min(10);
        (base * f64::from(1_u32 << doublings)).min(max.max(base))
    }
}

/// A profile that is out of use for a while, as the report lists it (spec 02 section 11).
#[derive(Clone, Debug, PartialEq)]
pub struct UnusableProfile {
    /// Its id; it may have no profile any more.
    pub id: ProfileId,
    /// Its provider as stored, when the profile exists.
    pub provider: Option<String>,
    /// The open window.
    pub window: Window,
    /// The stored reason of a disable.
    pub reason: Option<String>,
    /// The only model that the window concerns; `None` when it concerns all.
    pub model: Option<String>,
}

/// Every profile with an open window, soonest end first.
pub fn unusable_profiles(store: &AuthProfiles, now: Timestamp) -> Vec<UnusableProfile> {
    let mut found: Vec<UnusableProfile> = store
        .all_usage()
        .filter_map(|(id, stats)| {
            let profile = store.get(id);
            if profile.is_some_and(|p| p.provider.is_cooldown_exempt()) {
                return None;
            }
            Some(UnusableProfile {
                id: id.clone(),
                provider: profile.map(|p| p.provider_as_stored.to_string()),
                window: stats.active_window(now)?,
                reason: stats.disabled_reason.clone(),
                model: stats.limited_model(now).map(str::to_owned),
            })
        })
        .collect();
    found.sort_by(|a, b| a.window.until_ms.total_cmp(&b.window.until_ms));
    found
}
