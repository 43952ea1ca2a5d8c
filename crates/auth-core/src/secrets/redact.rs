//! Removing secrets from texts of others: error messages, bodies (spec 03 section 7.3).

use crate::secret::Secret;

/// A run of a secret this long is removed too.
const RUN: usize = 8;
/// What stands in their place.
const REMOVED: &str = "***";

/// Knows the secrets of a run and removes them, and whatever looks like one.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    known: Vec<Secret>,
}

impl Redactor {
    /// A redactor that knows these secrets. Blank and very short ones are left out: removing them would hide nothing
    /// and garble everything.
    pub fn of(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let known = secrets.into_iter().filter(|secret| secret.reveal().trim().chars().count() >= RUN).collect();
        Self { known }
    }

    /// A redactor that knows these secrets too.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Secret>) -> Self {
        Self::of(self.known.iter().cloned().chain(more))
    }

    /// The text without known secrets, without runs of eight characters of one, without what looks like a secret, and
    /// without control characters.
    pub fn redact(&self, text: &str) -> String {
        let text: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Everything is looked for in the text as it came: what one secret removes must not split another.
        let mut covered = vec![false; text.len()];
        for secret in &self.known {
            cover_runs(&text, secret.reveal().trim(), &mut covered);
        }
        cover_gaps(&text, &mut covered);
        without_lookalikes(&without_covered(&text, &covered))
    }
}

/// Marks every stretch of the text that is a run of the secret.
fn cover_runs(text: &[char], secret: &str, covered: &mut [bool]) {
    let secret: Vec<char> = secret.chars().collect();
    let runs: std::collections::HashSet<&[char]> = secret.windows(RUN).collect();
    for (at, window) in text.windows(RUN).enumerate() {
        if runs.contains(window) {
            covered[at..at + RUN].fill(true);
        }
    }
}

/// Marks what stands between two marked stretches of one word: a secret that was written otherwise at a few places.
fn cover_gaps(text: &[char], covered: &mut [bool]) {
    let mut end = None;
    for at in 0..text.len() {
        if !covered[at] {
            continue;
        }
        if let Some(end) = end {
            let gap = end..at;
            if gap.len() < RUN && !text[gap.clone()].iter().any(|c| c.is_whitespace()) {
                covered[gap].fill(true);
            }
        }
        end = Some(at + 1);
    }
}

/// The text with something else in place of what is marked.
fn without_covered(text: &[char], covered: &[bool]) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.iter().enumerate() {
        if !covered[at] {
            out.push(*c);
        } else if at == 0 || !covered[at - 1] {
            out.push_str(REMOVED);
        }
    }
    out
}

/// Beginnings of keys of well-known providers, and how many characters must follow.
const PREFIXES: &[(&str, usize)] =
    &[("sk-", 8), ("AIza", 8), ("gsk_", 8), ("xai-", 8), ("ghp_", 8), ("gho_", 8), ("ghu_", 8), ("eyJ", 16)];
/// Names that announce a secret, without blanks, underscores and dashes.
const NAMES: &[&str] = &[
    "token",
    "accesstoken",
    "refreshtoken",
    "password",
    "secret",
    "clientsecret",
    "apikey",
    "xapikey",
    "authorization",
];

fn without_lookalikes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut announced = Announced::No;
    // The word before, when only a blank lies between: `API key: …` is a name of two words.
    let mut before = "";
    while let Some(first) = rest.chars().next() {
        let links = matches!(first, ':' | '=') && announced != Announced::No;
        let starts_value = announced == Announced::Value && !ends_value(first);
        if links || !(starts_value || is_key_char(first)) {
            announced = announced.after(first);
            if first != ' ' {
                before = "";
            }
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let word = up_to(rest, |c| !is_key_char(c));
        // `name=value` is one word here.
        if let Some((name, _)) = word.split_once('=')
            && is_name(name)
        {
            out.push_str(name);
            rest = &rest[name.len()..];
            announced = Announced::Name;
            continue;
        }
        let scheme = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
        if announced == Announced::Value && !scheme {
            // All of it: what is no part of a usual key may well be part of a password or of an escape.
            rest = &rest[up_to(rest, ends_value).len()..];
            out.push_str(REMOVED);
            announced = Announced::No;
        } else {
            rest = &rest[word.len()..];
            out.push_str(&without_prefixed(word));
            announced = if scheme {
                Announced::Value
            } else if is_name(word) || is_name(&format!("{before}{word}")) {
                Announced::Name
            } else {
                Announced::No
            };
        }
        before = if word.eq_ignore_ascii_case("api") { word } else { "" };
    }
    out
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~')
}

/// Whether the value of a name cannot go on with this character.
fn ends_value(c: char) -> bool {
    const ENDS: &str = "\"'`\\,;&|<>()[]{}";
    c.is_whitespace() || ENDS.contains(c)
}

fn up_to(text: &str, is_end: impl Fn(char) -> bool) -> &str {
    text.find(is_end).map_or(text, |end| &text[..end])
}

/// Whether the next word is a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    No,
    /// A name came; a `:` or `=` makes what follows its value.
    Name,
    Value,
}

impl Announced {
    fn after(self, c: char) -> Self {
        match (self, c) {
            (Self::Name | Self::Value, ':' | '=') => Self::Value,
            (Self::Name | Self::Value, '"' | '\'' | '`' | '\\') => self,
            (Self::Name | Self::Value, c) if c.is_whitespace() => self,
            _ => Self::No,
        }
    }
}

fn is_name(word: &str) -> bool {
    let bare: String = word.chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect::<String>().to_ascii_lowercase();
    NAMES.iter().any(|name| bare == *name) || (bare.len() < 40 && (bare.ends_with("apikey") || bare.ends_with("token")))
}

fn without_prefixed(word: &str) -> String {
    let keys = PREFIXES.iter().flat_map(|(prefix, least)| {
        word.match_indices(prefix).map(|(at, _)| word.split_at(at)).filter(|(before, key)| {
            key[prefix.len()..].len() >= *least && !before.ends_with(|c: char| c.is_ascii_alphanumeric())
        })
    });
    // The first of them: a key of another kind may stand before the one that is found first.
    match keys.map(|(before, _)| before).min_by_key(|before| before.len()) {
        Some(before) => format!("{before}{REMOVED}"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_and_likely_secrets_go() {
        let redactor = Redactor::of([Secret::new("correct-horse-battery"), Secret::new("short")]);
        for (text, shown) in [
            ("key correct-horse-battery is bad", "key *** is bad"),
            ("ends in horse-battery!", "ends in ***!"),
            ("Incorrect API key provided: sk-test-abcdefgh12", "Incorrect API key provided: ***"),
            ("api_key=abc123 and password: hunter2", "api_key=*** and password: ***"),
            ("your API key: abc123, secret = xyz, api, key: no", "your API key: ***, secret = ***, api, key: no"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("\"access_token\": \"zzz\"", "\"access_token\": \"***\""),
            ("bad key AIzaSyD-1234567", "bad key ***"),
            ("secret =xyz, password= hunter2, token == \"abc\"", "secret =***, password= ***, token == \"***\""),
            ("password: p@ss%w0rd! and more", "password: *** and more"),
            ("token: %2Babc&n=1 api_key=abc%2Bd/e%3D&x=1", "token: ***&n=1 api_key=***&x=1"),
            (r#"{\"access_token\":\"zzz\",\"n\":1}"#, r#"{\"access_token\":\"***\",\"n\":1}"#),
            ("token:\u{a0}abc", "token:\u{a0}***"),
            (
                "authorization: token=abc authorization: basic dXNlcg==",
                "authorization: token=*** authorization: basic ***",
            ),
            ("password: Bearer: abc", "password: Bearer: ***"),
            ("token: <missing> abc, a: b = c, n=1", "token: <missing> abc, a: b = c, n=1"),
            ("my-api_key: a X-Auth-Token: b tokens: c", "my-api_key: *** X-Auth-Token: *** tokens: c"),
            ("API\nkey: abc api  key: abc api-key: abc", "API key: *** api  key: *** api-key: ***"),
            ("apis key: abc key: abc", "apis key: abc key: abc"),
            ("max tokens 100, short", "max tokens 100, short"),
            ("risk-free basket", "risk-free basket"),
            ("two\nlines\u{1b}[31m", "two lines [31m"),
        ] {
            assert_eq!(redactor.redact(text), shown, "{text}");
        }
    }

    #[test]
    fn beginnings_of_keys_need_a_key_after_them_and_no_word_before() {
        let redact = |text: &str| Redactor::default().redact(text);
        for (prefix, least) in PREFIXES {
            let enough = format!("{prefix}{}", "a".repeat(*least));
            for before in ["", "x=", "(", "a-"] {
                assert_eq!(redact(&format!("{before}{enough}")), format!("{before}***"));
            }
            for harmless in [format!("x{enough}"), format!("7{enough}"), enough[..enough.len() - 1].to_owned()] {
                assert_eq!(redact(&harmless), harmless);
            }
        }
        // Not only the first one of a kind, and not only one kind.
        assert_eq!(redact("task-sk-abcdefgh"), "task-***");
        assert_eq!(redact("ghp_abcdefgh/sk-abcdefgh"), "***");
    }

    #[test]
    fn names_of_values_are_short() {
        for (length, shown) in [(39, "***"), (40, "abc")] {
            for end in ["apikey", "Token"] {
                let name = format!("{}{end}", "x".repeat(length - end.len()));
                assert_eq!(Redactor::default().redact(&format!("{name}: abc")), format!("{name}: {shown}"));
            }
        }
    }

    #[test]
    fn a_redactor_learns_more() {
        let redactor = Redactor::of([Secret::new("correct-horse")]).with([Secret::new(" battery-staple ")]);
        assert_eq!(redactor.redact("correct-horse, battery-staple"), "***, ***");
        assert!(!format!("{redactor:?}").contains("horse"));
    }

    #[test]
    fn a_known_secret_goes_with_what_was_changed_in_its_midst() {
        let redactor = Redactor::of([Secret::new("correct horse/battery-staple")]);
        for (text, shown) in [
            // Up to seven other characters, and no blank.
            ("correct 1234567orse/battery", "***"),
            ("correct 12345678orse/battery", "***12345678***"),
            ("correct 123 567orse/battery", "***123 567***"),
            // Less than eight characters of it tell nothing.
            ("correct1234567orse/bat", "correct1234567***"),
            ("horse batter", "horse batter"),
            ("a battery-staple", "a ***"),
        ] {
            assert_eq!(redactor.redact(text), shown, "{text}");
        }
    }

    #[test]
    fn secrets_that_share_pieces_do_not_split_each_other() {
        let one = "sk-CHUNKAAAA1aBc2DeCHUNKBBBBfG3hI4jCHUNKCCCC";
        let other = "sk-CHUNKCCCC0000000CHUNKBBBB0000000CHUNKAAAA00000000000000";
        for known in [[one, other], [other, one]] {
            let redactor = Redactor::of(known.map(Secret::new));
            assert_eq!(redactor.redact(&format!("500 boom {one} here")), "500 boom *** here");
            assert_eq!(redactor.redact(&format!("{other}, {one}")), "***, ***");
        }
        let redactor = Redactor::of([Secret::new("correct-horse-battery-staple")]);
        assert_eq!(redactor.redact("correct-horse%2Dbattery-staple"), "***");
        assert_eq!(redactor.redact("correct-horse and battery-staple"), "*** and ***");
    }

    proptest! {
        #[test]
        fn a_whole_secret_leaves_nothing(
            pieces in proptest::collection::vec("[a-zA-Z0-9]{8,12}", 2..5),
            glue in proptest::collection::vec("[a-zA-Z0-9]{0,7}", 5),
            turn in 0_usize..5,
        ) {
            let joined = |from: usize| -> String {
                (0..pieces.len()).flat_map(|at| [pieces[(at + from) % pieces.len()].as_str(), glue[at].as_str()]).collect()
            };
            let (one, other) = (joined(0), format!("{}-longer-than-the-other", joined(turn)));
            let redactor = Redactor::of([Secret::new(one.clone()), Secret::new(other)]);
            prop_assert_eq!(redactor.redact(&format!("bad {one} !")), "bad *** !");
        }

        #[test]
        fn no_run_of_a_known_secret_is_left(secret in "[a-zA-Z0-9]{12,40}", before in "\\PC{0,20}", from in 0_usize..4) {
            let text = format!("{before}{}", &secret[from..]);
            let shown = Redactor::of([Secret::new(secret.clone())]).redact(&text);
            let left: Vec<char> = secret.chars().collect();
            prop_assert!(!left.windows(RUN).any(|run| shown.contains(&run.iter().collect::<String>())), "{}", shown);
        }

        #[test]
        fn any_text_can_be_redacted(text in "\\PC{0,80}") {
            let _ = Redactor::default().redact(&text);
        }
    }
}
