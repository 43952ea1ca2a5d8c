//! Lengths of time as people write them: `90m`, `2h`, `1d12h`, `30min` (spec 06 section 14.2).

/// A text that is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no length of time; write 45s, 90m, 2h, 3d or 1d12h")]
pub struct LengthError {
    /// The text.
    pub text: String,
}

/// The longest that is taken: 100 years, in milliseconds.
const LONGEST_MS: f64 = 100.0 * 365.25 * 86_400_000.0;

/// Reads a length of time, in milliseconds. Only zero may stand without a unit.
///
/// # Errors
///
/// When a number or a unit is missing or unknown, or the sum is longer than 100 years.
pub fn parse_length(text: &str) -> Result<i64, LengthError> {
    let fail = || LengthError { text: text.to_owned() };
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(fail());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let count: f64 = rest[..digits].parse().map_err(|_| fail())?;
        rest = rest[digits..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match rest[..end].to_ascii_lowercase().as_str() {
            "ms" => 1.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1000.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
            "d" | "day" | "days" => 86_400_000.0,
            "w" | "week" | "weeks" => 604_800_000.0,
            _ => return Err(fail()),
        };
        total += count * unit;
        rest = rest[end..].trim_start();
    }
    if !total.is_finite() || total > LONGEST_MS {
        return Err(fail());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked and bounded")]
    Ok(total.round() as i64)
}

/// The shortest writing of a length that systemd and this program both take: `30min`, `2h`, `1d`, `45s`.
pub fn written_length(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let fitting = units.into_iter().find(|(unit, _)| ms >= *unit && ms % unit == 0);
    fitting.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_writings() {
        let ms = |text: &str| parse_length(text).ok();
        assert_eq!(ms("90m"), Some(5_400_000));
        assert_eq!(ms("30min"), Some(1_800_000));
        assert_eq!((ms("1d12h"), ms(" 1.5d ")), (Some(129_600_000), Some(129_600_000)));
        assert_eq!((ms("0"), ms("0s"), ms("250ms")), (Some(0), Some(0), Some(250)));
        for bad in ["", "5", "h", "-1h", "1x", "1h-", "1..5h", "1e9d", "999999999w", "NaNh", "1 2h"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_unit_has_its_names_and_a_hundred_years_are_the_most() {
        for (names, unit_ms) in [
            ("ms MS", 1),
            ("s sec secs second seconds S", 1000),
            ("m min mins minute minutes Min", 60_000),
            ("h hr hrs hour hours H", 3_600_000),
            ("d day days D", 86_400_000),
            ("w week weeks W", 604_800_000),
        ] {
            for name in names.split(' ') {
                assert_eq!(parse_length(&format!("2{name}")), Ok(2 * unit_ms), "{name}");
                assert_eq!(parse_length(&format!("1 {name} 30ms")), Ok(unit_ms + 30), "{name}");
            }
        }
        assert_eq!(parse_length("36525d"), Ok(3_155_760_000_000));
        for long in ["36525d1ms", "5218w", "9999999999999999999999h"] {
            assert_eq!(parse_length(long), Err(LengthError { text: long.to_owned() }));
        }
        let error = parse_length("1 fortnight").unwrap_err().to_string();
        assert_eq!(error, "\"1 fortnight\" is no length of time; write 45s, 90m, 2h, 3d or 1d12h");
    }

    #[test]
    fn a_length_is_written_in_its_largest_whole_unit() {
        for (ms, written) in [
            (0, "0ms"),
            (250, "250ms"),
            (1000, "1s"),
            (1001, "1001ms"),
            (45_000, "45s"),
            (60_000, "1min"),
            (90_000, "90s"),
            (1_800_000, "30min"),
            (3_600_000, "1h"),
            (5_400_000, "90min"),
            (86_400_000, "1d"),
            (129_600_000, "36h"),
        ] {
            assert_eq!(written_length(ms), written);
        }
    }

    proptest! {
        #[test]
        fn written_lengths_are_read_again(ms in 0..400_000_000_i64) {
            prop_assert_eq!(parse_length(&written_length(ms)), Ok(ms));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}") {
            let _ = parse_length(&text);
        }
    }
}
