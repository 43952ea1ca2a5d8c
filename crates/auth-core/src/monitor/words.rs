//! A command in one text, split as a shell would split it, without a shell (spec 06 section 14.2).

/// A text that does not end its quotes, or says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash ends the text.
    #[error("a backslash stands at the end")]
    OpenEscape,
    /// There is no word.
    #[error("it is empty")]
    Empty,
}

/// Splits a command into words: blanks separate, `'…'` keeps everything, `"…"` keeps all but `\"`, `\\`, `\$` and
/// `` \` ``, a backslash keeps the next character. Nothing is expanded.
///
/// # Errors
///
/// When a quote or a backslash is left open, or there is no word at all.
pub fn split_words(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(WordsError::OpenQuote)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(WordsError::OpenQuote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(WordsError::OpenQuote)? {
                            '\n' => {}
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next().ok_or(WordsError::OpenEscape)? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(WordsError::Empty) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_like_a_shell() {
        let split = |text: &str| split_words(text).unwrap();
        assert_eq!(split("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(split(r#"'a b' "c d" e\ f"#), ["a b", "c d", "e f"]);
        assert_eq!(split(r#"x'y'"z" "" '$HOME' "\$a\b""#), ["xyz", "", "$HOME", "$a\\b"]);
        assert_eq!(split_words("'a"), Err(WordsError::OpenQuote));
        assert_eq!(split_words("\"a\\"), Err(WordsError::OpenQuote));
        assert_eq!(split_words("a\\"), Err(WordsError::OpenEscape));
        assert_eq!(split_words("  "), Err(WordsError::Empty));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[ -~]{0,8}", 1..5)) {
            let text: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
            prop_assert_eq!(split_words(&text.join(" ")), Ok(words));
        }
    }
}
