//! What people paste, and what is made of it (spec 04 section 2).

use crate::secret::Secret;

/// The longest time a credential may be said to hold, in milliseconds: 100 years.
const MAX_DURATION_MS: f64 = 100.0 * 365.25 * 86_400_000.0;

/// Why a pasted text is not taken. The text never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// Nothing is left of it.
    #[error("Required")]
    Empty,
    /// Characters that no key has would have to be dropped.
    #[error("{0} characters cannot be part of a key; paste it again")]
    ForeignCharacters(usize),
    /// An Anthropic setup-token begins otherwise.
    #[error("Expected token starting with {SETUP_TOKEN_PREFIX}")]
    SetupTokenPrefix,
    /// An Anthropic setup-token is longer.
    #[error("Token looks too short; paste the full setup-token")]
    SetupTokenShort,
}

/// How every Anthropic setup-token begins.
pub const SETUP_TOKEN_PREFIX: &str = "sk-ant-oat01-";
/// How long an Anthropic setup-token is at least, in characters.
const SETUP_TOKEN_LENGTH: usize = 80;

/// A key or token as it is stored: line breaks removed anywhere, ends trimmed (2.1).
///
/// # Errors
///
/// When nothing is left, or when characters above U+00FF would have to be dropped: then the paste is damaged.
pub fn secret(text: &str) -> Result<Secret, InputError> {
    let breaks = |c: char| matches!(c, '\r' | '\n' | '\u{2028}' | '\u{2029}');
    let foreign = text.chars().filter(|c| *c > '\u{ff}' && !breaks(*c)).count();
    if foreign > 0 {
        return Err(InputError::ForeignCharacters(foreign));
    }
    let joined: String = text.chars().filter(|c| !breaks(*c)).collect();
    Secret::new(joined.trim()).cleaned().ok_or(InputError::Empty)
}

/// An API key as people paste it: `export NAME="key";` becomes the key (2.2).
///
/// # Errors
///
/// As [`secret`].
pub fn pasted_api_key(text: &str) -> Result<Secret, InputError> {
    let text = text.trim();
    let exported = text.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
    let assignment = exported.map_or(text, str::trim_start);
    let value = match assignment.split_once('=') {
        Some((name, value)) if crate::dotenv::is_variable_name(name.trim()) && !is_padded(name, value) => value.trim(),
        _ => text,
    };
    let value = value.strip_suffix(';').unwrap_or(value).trim_end();
    let quoted = ['"', '\'', '`'].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    secret(quoted.unwrap_or(value))
}

/// Whether a key in Base64 only looks like an assignment, for the signs that fill it up.
fn is_padded(name: &str, rest: &str) -> bool {
    let fills = rest.is_empty() || rest == "=";
    fills && (name.len() + 1 + rest.len()).is_multiple_of(4) && name.contains(|c: char| c.is_ascii_lowercase())
}

/// A token for a provider: that of Anthropic loses all white space and has a form, others are stored as they are (2.3).
///
/// # Errors
///
/// As [`secret`], and when an Anthropic setup-token does not look like one.
pub fn token(provider: &str, text: &str) -> Result<Secret, InputError> {
    if provider != "anthropic" {
        return secret(text);
    }
    let joined: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let token = secret(&joined)?;
    if !joined.starts_with(SETUP_TOKEN_PREFIX) {
        return Err(InputError::SetupTokenPrefix);
    }
    if joined.chars().count() < SETUP_TOKEN_LENGTH {
        return Err(InputError::SetupTokenShort);
    }
    Ok(token)
}

/// A remark about a key that looks like one of another kind or provider; it is stored all the same.
pub fn suspicion(provider: &str, key: &Secret) -> Option<String> {
    const PREFIXES: &[(&str, &str)] = &[
        (SETUP_TOKEN_PREFIX, "an Anthropic setup-token, which is a token and no API key"),
        ("sk-ant-", "anthropic"),
        ("sk-or-", "openrouter"),
        ("gsk_", "groq"),
        ("xai-", "xai"),
        ("AIza", "google"),
        ("sk-proj-", "openai"),
        ("hf_", "huggingface"),
        ("ghp_", "github-copilot"),
    ];
    let (_, owner) = PREFIXES.iter().find(|(prefix, _)| key.reveal().starts_with(prefix))?;
    (*owner != provider).then(|| format!("This key begins like that of {owner}."))
}

/// Reads a duration such as `365d`, `1d12h` or `90` (days), in milliseconds (2.4).
///
/// # Errors
///
/// `invalid duration: <raw>` for anything else, for a result of zero and for more than 100 years.
pub fn duration_ms(raw: &str) -> Result<f64, String> {
    let text = raw.trim().to_lowercase();
    if text.is_empty() {
        return Err("invalid duration (empty)".to_owned());
    }
    let invalid = || format!("invalid duration: {}", raw.trim());
    let mut rest = text.as_str();
    let mut total = 0.0;
    let mut parts = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let well_formed = match number.split_once('.') {
            Some((whole, fraction)) => !whole.is_empty() && !fraction.is_empty() && !fraction.contains('.'),
            None => !number.is_empty(),
        };
        let value: f64 = number.parse().ok().filter(|_| well_formed).ok_or_else(invalid)?;
        let units = [("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6), ("d", 8.64e7)];
        parts += 1;
        let unit = units.iter().find(|(name, _)| after.starts_with(name));
        let (length, factor) = match unit {
            Some((name, factor)) => (name.len(), *factor),
            None if after.is_empty() && parts == 1 => (0, 8.64e7),
            None => return Err(invalid()),
        };
        total += value * factor;
        rest = &after[length..];
    }
    let total: f64 = f64::round(total);
    if total <= 0.0 || total > MAX_DURATION_MS { Err(invalid()) } else { Ok(total) }
}

/// The name part of a setup-token's profile id (2.5). One that already begins with `anthropic:` is taken as it is.
pub fn setup_token_profile(name: &str) -> String {
    let name = name.trim();
    if name.starts_with("anthropic:") {
        return name.to_owned();
    }
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        let fits = c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        match if fits { c } else { '-' } {
            '-' if slug.ends_with('-') => {}
            c => slug.push(c),
        }
    }
    let slug = slug.trim_matches('-');
    format!("anthropic:{}", if slug.is_empty() { "default" } else { slug })
}

/// Why a text cannot be the id of a new profile (spec 01 section 5.1).
pub fn profile_id_fault(id: &str) -> Option<&'static str> {
    let count = id.chars().count();
    if count == 0 || count > 256 {
        return Some("a profile id has 1 to 256 characters");
    }
    if id.contains(char::is_control) {
        return Some("a profile id has no control characters");
    }
    matches!(id, "__proto__" | "prototype" | "constructor").then_some("this profile id is reserved")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> String {
        pasted_api_key(text).map_or_else(|error| error.to_string(), |secret| secret.reveal().to_owned())
    }

    #[test]
    fn only_a_filled_up_key_looks_like_an_assignment() {
        let pasted = |text: &str| pasted_api_key(text).map(|secret| secret.reveal().to_owned());
        assert_eq!(pasted("my_key=sk-test-1").as_deref(), Ok("sk-test-1"));
        assert_eq!(pasted("abc=").as_deref(), Ok("abc="));
        for nothing in ["abcd=", "ABC="] {
            assert_eq!(pasted(nothing), Err(InputError::Empty), "{nothing}");
        }
        assert!(secret("sk-test-\u{ff}").is_ok_and(|kept| kept.reveal().ends_with('\u{ff}')));
        assert!(matches!(secret("sk-test-\u{100}"), Err(InputError::ForeignCharacters(1))));
    }

    #[test]
    fn pasted_keys_lose_what_surrounds_them() {
        for (text, expected) in [
            ("  sk-test-1 ", "sk-test-1"),
            ("export GROQ_API_KEY=\"gsk-test-1\";\n", "gsk-test-1"),
            ("A='x=y'", "x=y"),
            ("GROQ_API_KEY = 'gsk-test-2' ;", "gsk-test-2"),
            ("export\tGROQ_API_KEY=gsk-test-3", "gsk-test-3"),
            ("dGVzdC1rZXktMQ==", "dGVzdC1rZXktMQ=="),
            ("dGVzdC1rZXktMTI=", "dGVzdC1rZXktMTI="),
            ("exported", "exported"),
            ("`k`", "k"),
            ("sk-test==", "sk-test=="),
            ("two words", "two words"),
            ("\"\"", "Required"),
            ("K=", "Required"),
            ("sk-\u{200b}test", "1 characters cannot be part of a key; paste it again"),
        ] {
            assert_eq!(key(text), expected, "{text:?}");
        }
        assert_eq!(secret("a\r\nb\u{2028}c").unwrap().reveal(), "abc");
    }

    #[test]
    fn setup_tokens_have_a_form() {
        let long = format!("{SETUP_TOKEN_PREFIX}{}", "t".repeat(70));
        let spaced = format!(" {} {}\n", &long[..40], &long[40..]);
        assert_eq!(token("anthropic", &spaced).unwrap().reveal(), long);
        assert_eq!(token("anthropic", "sk-test-wrong").unwrap_err(), InputError::SetupTokenPrefix);
        assert_eq!(token("anthropic", "sk-ant-oat01-short").unwrap_err(), InputError::SetupTokenShort);
        // 80 characters are enough, 79 are not.
        let of_length = |count: usize| token("anthropic", &long[..count]).map(|token| token.reveal().len());
        assert_eq!((of_length(80), of_length(79)), (Ok(80), Err(InputError::SetupTokenShort)));
        assert_eq!(token("anthropic", " ").unwrap_err(), InputError::Empty);
        assert_eq!(token("groq", " x y ").unwrap().reveal(), "x y");
        assert!(suspicion("anthropic", &Secret::new(long.as_str())).is_some());
        assert!(
            suspicion("groq", &Secret::new("sk-or-v1-x")).is_some()
                && suspicion("groq", &Secret::new("gsk_x")).is_none()
        );
    }

    #[test]
    fn durations_follow_the_grammar() {
        for (text, ms) in [
            ("365", 31_536_000_000.0),
            ("1h30m", 5_400_000.0),
            (" 1D12H ", 129_600_000.0),
            ("1.5d", 129_600_000.0),
            ("250ms", 250.0),
            ("1h1h", 7_200_000.0),
            // The longest one: 100 years.
            ("36525d", 3_155_760_000_000.0),
        ] {
            assert!((duration_ms(text).unwrap() - ms).abs() < 0.5, "{text}");
        }
        for text in [
            "1 h",
            "2w",
            "5x",
            "-1d",
            "0",
            "0.2ms",
            "1h30",
            ".5d",
            "1.d",
            "d",
            "1e3d",
            "36526",
            "36525d1ms",
            "200000d",
            "1..2d",
        ] {
            assert_eq!(duration_ms(text).unwrap_err(), format!("invalid duration: {text}"));
        }
        assert_eq!(duration_ms("  ").unwrap_err(), "invalid duration (empty)");
    }

    #[test]
    fn setup_token_profiles_are_slugs() {
        for (name, id) in [
            ("My Work!", "anthropic:my-work"),
            ("anthropic:As Is", "anthropic:As Is"),
            ("--", "anthropic:default"),
            ("a.b_c", "anthropic:a.b_c"),
            ("a -- b", "anthropic:a-b"),
            (" -Über 2- ", "anthropic:ber-2"),
        ] {
            assert_eq!(setup_token_profile(name), id);
        }
    }

    #[test]
    fn new_profile_ids_are_short_and_harmless() {
        let longest = "ü".repeat(256);
        for id in ["x", "my/id", "Proto", longest.as_str()] {
            assert_eq!(profile_id_fault(id), None, "{id}");
        }
        let too_long = "x".repeat(257);
        for id in ["", too_long.as_str(), "a\u{1b}b", "__proto__", "prototype", "constructor"] {
            assert!(profile_id_fault(id).is_some(), "{id:?}");
        }
    }

    proptest! {
        #[test]
        fn errors_never_quote_the_paste(text in "[a-z]{12,30}\u{200b}?") {
            if let Err(error) = token("anthropic", &text) {
                prop_assert!(!error.to_string().contains(&text[..9]));
            }
        }

        #[test]
        fn any_assignment_gives_its_value(name in "[A-Z_]{1,8}", value in "[A-Za-z0-9_-]{1,20}", quote in "[\"'`]?", end in ";?") {
            let text = format!("export {name}={quote}{value}{quote}{end}");
            prop_assert_eq!(key(&text), value);
        }
    }
}
