//! Secrets in memory, and the little of them that may be shown.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// A key, token or password.
///
/// The bytes are wiped when the last clone goes. There is no `Display` and no `Serialize`, and `Debug` prints a
/// placeholder, so that a secret can only leave through [`Secret::reveal`]: search for that word to see every door.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes the text over as it is, blanks included.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(SecretString::from(text.into())))
    }

    /// The text itself: for the file writer, the HTTP header and the standard input of a helper, nowhere else.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether nothing is left after trimming.
    pub fn is_blank(&self) -> bool {
        self.reveal().trim().is_empty()
    }

    /// The form that may be shown to people (spec 02 section 7): at most ten characters and never more than a third.
    pub fn masked(&self) -> String {
        mask(self.reveal().trim())
    }

    /// A short stable name of the value, to compare two secrets in a report without showing either.
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Sha256::digest(self.reveal().as_bytes());
        let mut short = [0_u8; 6];
        short.copy_from_slice(&digest[..6]);
        Fingerprint(short)
    }

    /// Whether both hold the same text.
    pub fn is_same(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }

    /// Whether this text is the secret, in a time that tells nothing about where they differ.
    pub fn is_same_text(&self, text: &str) -> bool {
        let (own, other) = (Sha256::digest(self.reveal().as_bytes()), Sha256::digest(text.as_bytes()));
        let differing = own.iter().zip(other.iter()).fold(0_u8, |differing, (a, b)| differing | (a ^ b));
        std::hint::black_box(differing) == 0
    }

    /// The value as it is sent (spec 02 section 6): line breaks removed anywhere, characters above U+00FF dropped,
    /// ends trimmed. `None` when nothing is left.
    #[must_use]
    pub fn cleaned(&self) -> Option<Self> {
        let text = self.reveal();
        if !text.is_ascii() || text.contains(['\r', '\n']) {
            let kept: String = text.chars().filter(|c| !matches!(c, '\r' | '\n') && *c <= '\u{ff}').collect();
            let kept = kept.trim();
            return (!kept.is_empty()).then(|| Self::new(kept));
        }
        let trimmed = text.trim();
        if trimmed.is_empty() {
            None
        } else if trimmed.len() == text.len() {
            Some(self.clone())
        } else {
            Some(Self::new(trimmed))
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The first 48 bits of a secret's SHA-256, printed as 12 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 6]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Masks a known secret (spec 02 section 7): the one rule of the product.
///
/// Shorter than 12 characters: `****`. Shorter than 24: the first and last two. Otherwise the first six, cut so that
/// no more than a third shows, and the last four. Control characters are replaced, so that a pasted escape sequence
/// cannot reach a terminal.
pub fn mask(text: &str) -> String {
    let count = text.chars().count();
    let (head, tail) = match count {
        0 => return "missing".to_owned(),
        1..12 => return "****".to_owned(),
        12..24 => (2, 2),
        n => (6.min(n / 3 - 4), 4),
    };
    let harmless = |c: char| if c.is_control() { '?' } else { c };
    let mut shown = String::with_capacity(16);
    shown.extend(text.chars().take(head).map(harmless));
    shown.push_str("...");
    let start = text.char_indices().rev().nth(tail - 1).map_or(0, |(at, _)| at);
    shown.extend(text[start..].chars().map(harmless));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mask_shows_only_ends_of_long_secrets() {
        assert_eq!(mask(""), "missing");
        assert_eq!(mask("short"), "****");
        assert_eq!(mask("elevenchars"), "****");
        assert_eq!(mask("twelve-chars"), "tw...rs");
        assert_eq!(mask("sk-test-groq-000000000001"), "sk-t...0001");
        assert_eq!(mask("sk-test-groq-0000000000000000000001"), "sk-tes...0001");
    }

    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(mask("\u{1b}]twelve-char\u{7}"), "?]...r?");
        assert_eq!(Secret::new(" sk-test-groq-1\n").masked(), "sk...-1");
    }

    #[test]
    fn secrets_are_compared_whole() {
        let secret = Secret::new("sk-test-1");
        assert!(secret.is_same(&Secret::new("sk-test-1")) && secret.is_same_text("sk-test-1"));
        for other in ["", "sk-test-", "sk-test-1 ", "SK-TEST-1"] {
            assert!(!secret.is_same(&Secret::new(other)) && !secret.is_same_text(other), "{other:?}");
        }
        // None of many is taken for it, whatever their digests have in common.
        assert!(!(2..3000).any(|n| secret.is_same_text(&format!("sk-test-{n}"))));
    }

    #[test]
    fn fingerprints_are_the_beginning_of_a_digest() {
        assert_eq!(Secret::new("abc").fingerprint().to_string(), "sha256:ba7816bf8f01");
        assert_ne!(Secret::new("abc").fingerprint(), Secret::new("abc ").fingerprint());
    }

    #[test]
    fn blanks_alone_are_nothing() {
        assert!(Secret::new(" \t\n").is_blank() && Secret::new("").is_blank());
        assert!(!Secret::new(" x ").is_blank());
    }

    #[test]
    fn debug_never_prints_the_text() {
        assert_eq!(format!("{:?}", Secret::new("sk-test-debug-00000001")), "Secret(…)");
    }

    #[test]
    fn cleaning_removes_line_breaks_and_wide_characters() {
        let clean = |text: &str| Secret::new(text).cleaned().map(|s| s.reveal().to_owned());
        assert_eq!(clean("  sk-test\r\n-1 \n"), Some("sk-test-1".to_owned()));
        assert_eq!(clean("sk\u{2028}-te\u{fffd}st"), Some("sk-test".to_owned()));
        assert_eq!(clean("k\u{e9}y"), Some("k\u{e9}y".to_owned()));
        assert_eq!(clean(" sk-test \t"), Some("sk-test".to_owned()));
        assert_eq!(clean("sk-test"), Some("sk-test".to_owned()));
        assert_eq!(clean("sk test"), Some("sk test".to_owned()));
        for nothing in ["", "  ", " \n\u{2029}"] {
            assert_eq!(clean(nothing), None, "{nothing:?}");
        }
    }

    proptest! {
        #[test]
        fn mask_shows_at_most_a_third_and_at_most_ten(text in "\\PC{1,80}") {
            let masked = mask(&text);
            prop_assert_ne!(&masked, &text);
            if let Some((head, tail)) = masked.split_once("...") {
                let shown = head.chars().count() + tail.chars().count();
                prop_assert!(text.contains("...") || (shown <= 10 && shown * 3 <= text.chars().count()));
            } else {
                prop_assert_eq!(masked, "****");
            }
        }
    }
}
