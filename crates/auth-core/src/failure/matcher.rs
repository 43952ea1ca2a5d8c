//! Small patterns over lower-cased text, written down as data.

/// A test on a text. The text is lower case, and so are the words in here.
#[derive(Debug)]
pub(super) enum Pattern {
    /// The words stand somewhere.
    Has(&'static str),
    /// The words stand somewhere, with a word edge on both sides.
    Word(&'static str),
    /// The text starts with the words.
    Starts(&'static str),
    /// One line has something of the first list and something of the second, in any order.
    Line(&'static [&'static str], &'static [&'static str]),
    /// One of the words stands somewhere, and the pieces follow it.
    Seq(&'static [&'static str], &'static [Piece]),
    /// As [`Pattern::Seq`], with a word edge before the first word.
    EdgeSeq(&'static [&'static str], &'static [Piece]),
    /// The text starts with the pieces.
    Lead(&'static [Piece]),
    /// Every test holds.
    All(&'static [Pattern]),
    /// One of the tests holds.
    Any(&'static [Pattern]),
    /// The test does not hold.
    Not(&'static Pattern),
}

/// One step of a sequence.
#[derive(Debug)]
pub(super) enum Piece {
    /// One of these words.
    One(&'static [&'static str]),
    /// One of these words, or nothing.
    Opt(&'static [&'static str]),
    /// These words, any number of times, none included.
    Many(&'static [&'static str]),
    /// Blanks, at least one.
    Blank,
    /// Blanks, perhaps none.
    AnyBlank,
    /// Characters that are not blank, at least one.
    Solid,
    /// A number, perhaps with a fraction.
    Number,
    /// Anything on the same line, and then one of these words.
    Later(&'static [&'static str]),
    /// As [`Piece::Later`], with a word edge before the word.
    LaterEdge(&'static [&'static str]),
    /// A word edge.
    Edge,
}

impl Pattern {
    /// Whether the text passes. `text` must be lower case.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Has(words) => text.contains(words),
            Self::Word(words) => {
                text.match_indices(words).any(|(at, found)| is_edge(text, at) && is_edge(text, at + found.len()))
            }
            Self::Starts(words) => text.starts_with(words),
            Self::Line(first, second) => {
                has_any(text, first)
                    && text.split(is_line_end).any(|line| has_any(line, first) && has_any(line, second))
            }
            Self::Seq(head, tail) => sequence(text, head, tail, false),
            Self::EdgeSeq(head, tail) => sequence(text, head, tail, true),
            Self::Lead(pieces) => follows(text, 0, pieces),
            Self::All(tests) => tests.iter().all(|test| test.matches(text)),
            Self::Any(tests) => any(tests, text),
            Self::Not(inner) => !inner.matches(text),
        }
    }
}

/// Whether one of the tests holds.
pub(super) fn any(tests: &[Pattern], text: &str) -> bool {
    tests.iter().any(|test| test.matches(text))
}

/// Whether one of the words stands in the text.
pub(super) fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

fn sequence(text: &str, head: &[&str], tail: &[Piece], edge: bool) -> bool {
    head.iter().any(|word| {
        text.match_indices(word)
            .any(|(at, found)| (!edge || is_edge(text, at)) && follows(text, at + found.len(), tail))
    })
}

/// Whether the pieces stand at byte `at`, which is a character boundary.
fn follows(text: &str, at: usize, pieces: &[Piece]) -> bool {
    let Some((piece, tail)) = pieces.split_first() else { return true };
    let Some(here) = text.get(at..) else { return false };
    let one_of =
        |words: &[&str]| words.iter().any(|word| here.starts_with(word) && follows(text, at + word.len(), tail));
    match piece {
        Piece::One(words) => one_of(words),
        Piece::Opt(words) => one_of(words) || follows(text, at, tail),
        Piece::Many(words) => follows(text, at + repeated(here, words), tail),
        Piece::Blank => here.starts_with(char::is_whitespace) && follows(text, at + blanks(here), tail),
        Piece::AnyBlank => follows(text, at + blanks(here), tail),
        Piece::Solid => {
            let end = here.find(char::is_whitespace).unwrap_or(here.len());
            end > 0 && follows(text, at + end, tail)
        }
        Piece::Number => {
            let end = here.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(here.len());
            here.starts_with(|c: char| c.is_ascii_digit()) && follows(text, at + end, tail)
        }
        Piece::Later(words) => later(text, at, words, tail, false),
        Piece::LaterEdge(words) => later(text, at, words, tail, true),
        Piece::Edge => is_edge(text, at) && follows(text, at, tail),
    }
}

/// How many bytes of repetitions of the words stand at the start.
fn repeated(text: &str, words: &[&str]) -> usize {
    let mut rest = text;
    while let Some(next) = words.iter().find_map(|word| rest.strip_prefix(word)) {
        if next.len() == rest.len() {
            break;
        }
        rest = next;
    }
    text.len() - rest.len()
}

/// Whether one of the words stands between `at` and the end of the line, and the pieces follow it.
fn later(text: &str, at: usize, words: &[&str], tail: &[Piece], edge: bool) -> bool {
    let line = text.get(at..).and_then(|here| here.split(is_line_end).next()).unwrap_or_default();
    words.iter().any(|word| {
        line.match_indices(word)
            .any(|(start, found)| (!edge || is_edge(text, at + start)) && follows(text, at + start + found.len(), tail))
    })
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

/// Whether `at` lies between a word character (`[A-Za-z0-9_]`) and something else.
fn is_edge(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_word(at.checked_sub(1).and_then(|before| bytes.get(before))) != is_word(bytes.get(at))
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Piece};

    #[test]
    fn word_edges() {
        let tpm = Pattern::Word("tpm");
        assert!(tpm.matches("tpm"));
        assert!(tpm.matches("xtpm, (tpm)"));
        assert!(!tpm.matches("tpm_limit"));
        assert!(!tpm.matches("xtpm"));
        assert!(tpm.matches("étpmé"), "word characters are ASCII");
    }

    #[test]
    fn lines() {
        let both = Pattern::Line(&["a1"], &["b1", "b2"]);
        assert!(both.matches("x\nb2 then a1"));
        assert!(both.matches("a1 b1"));
        assert!(!both.matches("a1\nb1"));
        let then = Pattern::Seq(&["a1"], &[Piece::Later(&["b1"])]);
        assert!(then.matches("a1é b1"));
        assert!(then.matches("a1b1"));
        assert!(!then.matches("b1 a1"));
        assert!(!then.matches("a1\u{2028}b1"));
        let word = Pattern::Seq(&["a1"], &[Piece::LaterEdge(&["b1"]), Piece::Edge]);
        assert!(word.matches("a1 xb1 b1"));
        assert!(!word.matches("a1 xb1 b1x"));
    }

    #[test]
    fn pieces() {
        let image = Pattern::Seq(&["exceeds"], &[Piece::Blank, Piece::Number, Piece::AnyBlank, Piece::One(&["mb"])]);
        assert!(image.matches("exceeds  5.5mb"));
        assert!(!image.matches("exceeds5 mb"));
        assert!(!image.matches("exceeds .mb"));
        let path = Pattern::Seq(&["models/"], &[Piece::Solid, Piece::One(&[" is"])]);
        assert!(path.matches("models/é-1 is"));
        assert!(!path.matches("models/ is"));
        let many = Pattern::EdgeSeq(&["a"], &[Piece::Many(&["/a", "/b"]), Piece::Opt(&["s"]), Piece::Edge]);
        assert!(many.matches("x a/b/as"));
        assert!(!many.matches("xa"));
        assert!(!Pattern::Lead(&[Piece::One(&["b"])]).matches("ab"));
    }
}
