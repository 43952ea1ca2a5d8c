//! Points in time and lengths of time, as values.

use std::fmt;

/// Milliseconds since the Unix epoch. The clock is read by the caller; decisions only compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// A point in time from milliseconds since the epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub fn as_ms(self) -> i64 {
        self.0
    }

    /// The same as a floating-point number, the type in which stored times arrive. Exact for any real date.
    #[expect(clippy::cast_precision_loss, reason = "epoch milliseconds stay far below 2^53")]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

/// The compact length of time of the report's labels (spec 02 section 4): `0m`, `7m`, `36h`, `12d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShortDuration(pub f64);

impl fmt::Display for ShortDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        if !ms.is_finite() {
            return f.write_str("unknown");
        }
        if ms <= 0.0 {
            return f.write_str("0m");
        }
        let minutes = (ms / 60_000.0).round().max(1.0);
        let hours = (minutes / 60.0).round();
        if minutes < 60.0 {
            write!(f, "{minutes}m")
        } else if hours < 48.0 {
            write!(f, "{hours}h")
        } else {
            // A stored time can be any number; nobody reads more digits than these.
            write!(f, "{}d", (hours / 24.0).round().min(999_999.0))
        }
    }
}

/// A length of time in words, for sentences: `40 seconds`, `3 days`. Rounded to the nearest unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WordyDuration(pub f64);

impl fmt::Display for WordyDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = (self.0.abs() / 1000.0).round().max(1.0);
        if seconds > 100.0 * 365.25 * 86_400.0 {
            return f.write_str("more than 100 years");
        }
        let (count, unit) = match seconds {
            s if s < 90.0 => (s, "second"),
            s if s < 59.5 * 60.0 => ((s / 60.0).round(), "minute"),
            s if s < 47.5 * 3600.0 => ((s / 3600.0).round(), "hour"),
            s if s < 60.0 * 86_400.0 => ((s / 86_400.0).round(), "day"),
            s if s < 730.0 * 86_400.0 => ((s / (30.44 * 86_400.0)).round(), "month"),
            s => ((s / (365.25 * 86_400.0)).round(), "year"),
        };
        write!(f, "{count} {unit}{}", if count < 2.0 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_durations_follow_the_table() {
        let short = |ms: f64| ShortDuration(ms).to_string();
        assert_eq!(short(f64::NAN), "unknown");
        assert_eq!(short(-5.0), "0m");
        assert_eq!(short(1.0), "1m");
        assert_eq!(short(59.4 * 60_000.0), "59m");
        assert_eq!(short(59.6 * 60_000.0), "1h");
        assert_eq!(short(7_230_000.0), "2h");
        assert_eq!(short(47.4 * 3_600_000.0), "47h");
        assert_eq!(short(48.0 * 3_600_000.0), "2d");
        assert_eq!(short(864_000_000.0), "10d");
    }

    #[test]
    fn timestamps_are_milliseconds() {
        let at = Timestamp::from_ms(1_800_000_000_123);
        assert_eq!((at.as_ms(), at.as_f64().to_string().as_str()), (1_800_000_000_123, "1800000000123"));
    }

    #[test]
    fn each_unit_ends_where_the_next_begins() {
        let short = |minutes: f64| ShortDuration(minutes * 60_000.0).to_string();
        for (minutes, text) in [
            (0.0, "0m"),
            (59.0, "59m"),
            (60.0, "1h"),
            (47.0 * 60.0, "47h"),
            (48.0 * 60.0, "2d"),
            (60.0 * 60.0, "3d"),
            (f64::INFINITY, "unknown"),
            (1e12, "999999d"),
        ] {
            assert_eq!(short(minutes), text, "{minutes}");
        }
        let (hour, day, year) = (3600.0, 86_400.0, 365.25 * 86_400.0);
        let words = |seconds: f64| WordyDuration(seconds * 1000.0).to_string();
        for (seconds, text) in [
            (1.4, "1 second"),
            (89.0, "89 seconds"),
            (90.0, "2 minutes"),
            (3569.0, "59 minutes"),
            (3570.0, "1 hour"),
            (47.5 * hour - 1.0, "47 hours"),
            (47.5 * hour, "2 days"),
            (60.0 * day - 1.0, "60 days"),
            (60.0 * day, "2 months"),
            (730.0 * day - 1.0, "24 months"),
            (730.0 * day, "2 years"),
            (-3.0 * year, "3 years"),
            (100.0 * year, "100 years"),
            (100.0 * year + 1.0, "more than 100 years"),
        ] {
            assert_eq!(words(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn words_use_the_unit_a_person_would() {
        let words = |seconds: f64| WordyDuration(seconds * 1000.0).to_string();
        assert_eq!(words(0.0), "1 second");
        assert_eq!(words(75.0), "75 seconds");
        assert_eq!(words(3600.0), "1 hour");
        assert_eq!(words(-7200.0), "2 hours");
        assert_eq!(words(3.0 * 86_400.0), "3 days");
        assert_eq!(words(61.0 * 86_400.0), "2 months");
        assert_eq!(words(1e11), "more than 100 years");
    }
}
