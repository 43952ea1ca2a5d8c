//! What a watched credential is, and how bad that is.

use crate::credential::Credential;
use crate::health::{HealthReason, HealthStatus, ProfileHealth, profile_health};
use crate::profile::{AuthProfiles, Profile};
use crate::time::Timestamp;
use crate::usage::{Window, WindowKind, cooldown};

use super::{LONG_COOLDOWN_MS, RENEWAL_OVERDUE_MS};

/// The state of a credential, as metrics and messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Holds, or renews itself.
    Ok,
    /// Has no end.
    Static,
    /// Ends soon and does not renew itself.
    Expiring,
    /// Over, and does not renew itself any more.
    Expired,
    /// There is none.
    Missing,
    /// In the short window after failures.
    Cooldown,
    /// In the long one.
    Disabled,
}

impl Status {
    /// Every status, in the order of the metrics.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Static, Self::Expiring, Self::Expired, Self::Missing, Self::Cooldown, Self::Disabled];

    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Static => "static",
            Self::Expiring => "expiring",
            Self::Expired => "expired",
            Self::Missing => "missing",
            Self::Cooldown => "cooldown",
            Self::Disabled => "disabled",
        }
    }

    /// The status of that name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether it is one of the two windows.
    pub fn is_window(self) -> bool {
        matches!(self, Self::Cooldown | Self::Disabled)
    }
}

/// How much attention something needs, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// None.
    Fine,
    /// Soon, or perhaps: exit code 2.
    Warning,
    /// Now: exit code 1.
    Alarm,
}

impl Level {
    /// The exit code of a pass.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Warning => 2,
            Self::Alarm => 1,
        }
    }

    /// The stable word of `overall`.
    pub fn overall(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "expiring",
            Self::Alarm => "expired",
        }
    }

    /// What `--format widget` prints.
    pub fn widget(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Warning => "OPENCLAW_EXPIRING",
            Self::Alarm => "OPENCLAW_EXPIRED",
        }
    }
}

/// The verdict on one profile, by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its state.
    pub status: Status,
    /// How bad that is, before other profiles of its provider are looked at.
    pub level: Level,
    /// Why: a code of spec 02 section 9, or the class of the failure that opened a window.
    pub reason: Option<String>,
    /// The window that keeps it out now, and why it was opened.
    pub window: Option<(Window, Option<String>)>,
    /// Its health without windows.
    pub health: ProfileHealth,
}

impl Standing {
    /// Judges a profile. `warn_ms` is how long before its end a credential counts as expiring; `cooling_since` is when
    /// an earlier pass first saw it in a window that has not ended since.
    pub fn of(
        profile: &Profile,
        store: &AuthProfiles,
        warn_ms: i64,
        now: Timestamp,
        cooling_since: Option<Timestamp>,
    ) -> Self {
        let health = profile_health(profile, now);
        let (status, reason) = by_end(&health, warn_ms, now);
        let level = match status {
            Status::Expired | Status::Missing => Level::Alarm,
            Status::Expiring => Level::Warning,
            _ => Level::Fine,
        };
        let mut standing = Self { status, level, reason: reason.map(str::to_owned), window: None, health };
        if let Some(window) = cooldown(store, profile, None, now) {
            let why = store.usage(&profile.id).and_then(|usage| match window.kind {
                WindowKind::Cooldown => usage.cooldown_reason.clone(),
                WindowKind::Disabled => usage.disabled_reason.clone(),
            });
            standing.add_window(window, why, profile, now, cooling_since);
        }
        standing
    }

    fn add_window(
        &mut self,
        window: Window,
        why: Option<String>,
        profile: &Profile,
        now: Timestamp,
        since: Option<Timestamp>,
    ) {
        let refused = window.kind == WindowKind::Disabled && matches!(why.as_deref(), Some("auth" | "auth_permanent"));
        let renewable = matches!(&profile.credential, Credential::OAuth { refresh: Some(_), .. });
        if refused && renewable && self.level < Level::Alarm {
            // The login that should renew itself was turned down: only a new one helps.
            (self.status, self.level, self.reason) = (Status::Expired, Level::Alarm, why.clone());
        }
        // A refused key does not mend itself, however short the window is.
        let length = window.until_ms - since.map_or(now.as_f64(), Timestamp::as_f64);
        let long = refused || length > Timestamp::from_ms(LONG_COOLDOWN_MS).as_f64();
        let level = if long { Level::Warning } else { Level::Fine };
        // A short pause does not hide that the credential is about to end.
        if self.level < Level::Alarm && (self.level == Level::Fine || long) {
            self.status = match window.kind {
                WindowKind::Cooldown => Status::Cooldown,
                WindowKind::Disabled => Status::Disabled,
            };
            self.level = self.level.max(level);
            self.reason.clone_from(&why);
        }
        self.window = Some((window, why));
    }
}

/// The status that the end of a credential gives it.
fn by_end(health: &ProfileHealth, warn_ms: i64, now: Timestamp) -> (Status, Option<&'static str>) {
    let code = health.reason.map(HealthReason::code);
    let left = health.ends_at_ms.map(|ends| ends - now.as_f64());
    match health.status {
        HealthStatus::Missing => (Status::Missing, Some(code.unwrap_or(HealthReason::InvalidExpires.code()))),
        HealthStatus::Expired => (Status::Expired, Some(HealthReason::Expired.code())),
        HealthStatus::Static => (Status::Static, code),
        HealthStatus::Ok | HealthStatus::Expiring if health.renews_itself => {
            let overdue = left.is_some_and(|left| left <= -Timestamp::from_ms(RENEWAL_OVERDUE_MS).as_f64());
            if overdue { (Status::Expired, Some(HealthReason::Expired.code())) } else { (Status::Ok, None) }
        }
        HealthStatus::Ok | HealthStatus::Expiring => {
            let soon = left.is_some_and(|left| left <= Timestamp::from_ms(warn_ms).as_f64());
            (if soon { Status::Expiring } else { Status::Ok }, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Owner, ProfileId};

    const NOW: i64 = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn judged(profile: &str, usage: &str, warn_ms: i64, since: Option<i64>) -> (Status, Level, Option<String>) {
        let text = format!(r#"{{"version":1,"profiles":{{"p:x":{profile}}},"usageStats":{{"p:x":{usage}}}}}"#);
        let store = AuthProfiles::parse(&text, Owner::Agent).unwrap();
        let profile = store.get(&ProfileId::new("p:x")).unwrap();
        let since = since.map(Timestamp::from_ms);
        let standing = Standing::of(profile, &store, warn_ms, Timestamp::from_ms(NOW), since);
        (standing.status, standing.level, standing.reason)
    }

    fn token(expires: i64) -> String {
        format!(r#"{{"type":"token","provider":"p","token":"tok-test","expires":{expires}}}"#)
    }

    fn login(expires: i64) -> String {
        format!(r#"{{"type":"oauth","provider":"p","access":"a-test","refresh":"r-test","expires":{expires}}}"#)
    }

    #[test]
    fn ends_are_judged_by_the_threshold_asked_for() {
        let status = |hours: i64, warn: i64| judged(&token(NOW + hours * HOUR), "{}", warn * HOUR, None).0;
        assert_eq!((status(3, 24), status(3, 2), status(0, 2)), (Status::Expiring, Status::Ok, Status::Expired));
        assert_eq!((status(60, 72), status(60, 24)), (Status::Expiring, Status::Ok));
    }

    #[test]
    fn a_login_that_renews_itself_is_fine_for_a_day() {
        let judged = |ago: i64| judged(&login(NOW - ago), "{}", 24 * HOUR, None);
        assert_eq!(judged(1000), (Status::Ok, Level::Fine, None));
        assert_eq!(judged(24 * HOUR - 1), (Status::Ok, Level::Fine, None));
        assert_eq!(judged(24 * HOUR), (Status::Expired, Level::Alarm, Some("expired".to_owned())));
        assert_eq!(judged(-HOUR).0, Status::Ok);
    }

    #[test]
    fn a_refused_login_needs_somebody_and_a_refused_key_is_worth_a_look() {
        let disabled = |reason: &str| format!(r#"{{"disabledUntil":{},"disabledReason":"{reason}"}}"#, NOW + 600_000);
        let key = r#"{"type":"api_key","provider":"p","key":"sk-test-1"}"#;
        for reason in ["auth", "auth_permanent"] {
            let (status, level, why) = judged(&login(NOW + HOUR), &disabled(reason), HOUR, None);
            assert_eq!((status, level, why.as_deref()), (Status::Expired, Level::Alarm, Some(reason)));
            let (status, level, _) = judged(key, &disabled(reason), HOUR, None);
            assert_eq!((status, level), (Status::Disabled, Level::Warning));
        }
        assert_eq!(judged(key, &disabled("billing"), HOUR, None).1, Level::Fine);
    }

    #[test]
    fn only_long_windows_count_and_they_count_until_they_end() {
        let key = r#"{"type":"api_key","provider":"p","key":"sk-test-1"}"#;
        let cooling = |left: i64| format!(r#"{{"cooldownUntil":{},"cooldownReason":"rate_limit"}}"#, NOW + left);
        let level = |left: i64, since: Option<i64>| judged(key, &cooling(left), HOUR, since).1;
        assert_eq!((level(HOUR, None), level(HOUR + 1, None)), (Level::Fine, Level::Warning));
        assert_eq!(level(60_000, Some(NOW - HOUR)), Level::Warning, "the rest of a long window");
        assert_eq!(judged(key, &cooling(1000), HOUR, None).0, Status::Cooldown);
        assert_eq!(judged(key, &cooling(-1), HOUR, None).0, Status::Static);
    }

    #[test]
    fn a_short_pause_does_not_hide_an_end() {
        let pause = format!(r#"{{"cooldownUntil":{}}}"#, NOW + 1000);
        assert_eq!(judged(&token(NOW + HOUR), &pause, 2 * HOUR, None).0, Status::Expiring);
        let long = format!(r#"{{"cooldownUntil":{}}}"#, NOW + 9 * HOUR);
        assert_eq!(judged(&token(NOW + HOUR), &long, 2 * HOUR, None).0, Status::Cooldown);
        assert_eq!(judged(&token(NOW - HOUR), &long, 2 * HOUR, None).0, Status::Expired);
    }

    #[test]
    fn the_words_and_exit_codes_are_stable() {
        let words = ["ok", "static", "expiring", "expired", "missing", "cooldown", "disabled"];
        assert_eq!(Status::ALL.map(Status::as_str), words);
        assert_eq!(words.map(Status::parse), Status::ALL.map(Some));
        assert_eq!(Status::parse("fine"), None);
        assert_eq!(
            Status::ALL.map(Status::is_window),
            [false, false, false, false, false, true, true],
            "cooldown and disabled"
        );
        let levels = [Level::Fine, Level::Warning, Level::Alarm];
        assert_eq!(levels.map(Level::exit_code), [0, 2, 1]);
        assert_eq!(levels.map(Level::overall), ["ok", "expiring", "expired"]);
        assert_eq!(levels.map(Level::widget), ["OK", "OPENCLAW_EXPIRING", "OPENCLAW_EXPIRED"]);
    }

    #[test]
    fn what_is_missing_or_over_needs_somebody() {
        for (profile, status, level, reason) in [
            (token(NOW - 1), Status::Expired, Level::Alarm, Some("expired")),
            (
                r#"{"type":"token","provider":"p"}"#.to_owned(),
                Status::Missing,
                Level::Alarm,
                Some("missing_credential"),
            ),
            (token(-1), Status::Missing, Level::Alarm, Some("invalid_expires")),
            (r#"{"type":"token","provider":"p","token":"t"}"#.to_owned(), Status::Static, Level::Fine, None),
            (token(NOW + HOUR), Status::Expiring, Level::Warning, None),
            (token(NOW + HOUR + 1), Status::Ok, Level::Fine, None),
            (
                r#"{"type":"oauth","provider":"p","access":"a-test"}"#.to_owned(),
                Status::Missing,
                Level::Alarm,
                Some("invalid_expires"),
            ),
        ] {
            let judged = judged(&profile, "{}", HOUR, None);
            assert_eq!(judged, (status, level, reason.map(str::to_owned)), "{profile}");
        }
    }

    #[test]
    fn a_short_window_of_a_login_is_a_pause_and_a_refusal_changes_nothing_that_is_worse() {
        let until = NOW + 600_000;
        let cooling = format!(r#"{{"cooldownUntil":{until},"cooldownReason":"auth"}}"#);
        let pause = (Status::Cooldown, Level::Fine, Some("auth".to_owned()));
        assert_eq!(judged(&login(NOW + HOUR), &cooling, HOUR, None), pause);
        let key = r#"{"type":"api_key","provider":"p","key":"sk-test-1"}"#;
        assert_eq!(judged(key, &cooling, HOUR, None), pause);
        let disabled = format!(r#"{{"disabledUntil":{until},"disabledReason":"auth"}}"#);
        let over = (Status::Expired, Level::Alarm, Some("expired".to_owned()));
        assert_eq!(judged(&login(NOW - 25 * HOUR), &disabled, HOUR, None), over);
        // A login without a refresh token is no more than a token.
        let unrenewable =
            format!(r#"{{"type":"oauth","provider":"p","access":"a-test","expires":{}}}"#, NOW + 9 * HOUR);
        assert_eq!(judged(&unrenewable, &disabled, HOUR, None).0, Status::Disabled);
    }
}
