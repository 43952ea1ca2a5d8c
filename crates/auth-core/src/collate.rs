//! The order in which ids are listed (spec 02 section 5).

use std::cmp::Ordering;

/// Punctuation in the reference's `en-US` collation, lowest first; then digits, then letters.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// Compares two ids as the report sorts them: ASCII by the reference's `en-US` collation, so that `p:a` < `p:B`
/// and `a_b` < `a-b` < `a:b` < `a1`; everything else by code point after all ASCII.
pub fn collate(a: &str, b: &str) -> Ordering {
    // Ids share long beginnings; what is equal need not be ranked.
    let mut same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !a.is_char_boundary(same) {
        same -= 1;
    }
    let (a, b) = (&a[same..], &b[same..]);
    let ranks = a.chars().map(rank).cmp(b.chars().map(rank));
    ranks.then_with(|| {
        // Equal but for case: at the first difference the lower-case letter comes first.
        a.chars().zip(b.chars()).find(|(x, y)| x != y).map_or(Ordering::Equal, |(x, y)| y.cmp(&x))
    })
}

fn rank(c: char) -> u32 {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => u32::from(ASCII_RANKS[usize::from(byte)]),
        // Above every rank of ASCII, which are fewer than 128.
        _ => u32::from(c),
    }
}

/// The rank of each ASCII character; control characters come before all others.
const ASCII_RANKS: [u8; 128] = {
    let mut ranks = [0_u8; 128];
    let mut next = 1;
    let mut at = 0;
    while at < PUNCTUATION.len() {
        ranks[PUNCTUATION.as_bytes()[at] as usize] = next;
        next += 1;
        at += 1;
    }
    let mut digit = b'0';
    while digit <= b'9' {
        ranks[digit as usize] = next;
        next += 1;
        digit += 1;
    }
    let mut letter = b'a';
    while letter <= b'z' {
        ranks[letter as usize] = next;
        ranks[letter.to_ascii_uppercase() as usize] = next;
        next += 1;
        letter += 1;
    }
    ranks
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_like_the_reference() {
        let mut ids = vec!["p:B", "a1", "a:b", "p:a", "a-b", "a_b", "P:a", "aé", "ab", "a"];
        ids.sort_by(|a, b| collate(a, b));
        assert_eq!(ids, ["a", "a_b", "a-b", "a:b", "a1", "ab", "aé", "p:a", "P:a", "p:B"]);
    }

    #[test]
    fn every_ascii_character_has_the_place_of_the_specification() {
        let letters = ('a'..='z').flat_map(|letter| [letter, letter.to_ascii_uppercase()]);
        let ranked: Vec<String> = r#" _-,;:!?.'"()[]{}@*/\&#%`^+<=>|~$0123456789"#
            .chars()
            .chain(letters)
            .chain(['\u{80}', 'é', 'ÿ', 'Ā', '😀'])
            .map(String::from)
            .collect();
        for (at, low) in ranked.iter().enumerate() {
            for high in &ranked[at + 1..] {
                assert_eq!(collate(low, high), Ordering::Less, "{low:?} {high:?}");
                assert_eq!(collate(high, low), Ordering::Greater, "{high:?} {low:?}");
            }
        }
    }

    #[test]
    fn the_first_difference_decides() {
        for (low, high) in [
            // Beyond the common beginning, in the middle of a letter too.
            ("pé", "pê"),
            ("p😀a", "p😁"),
            ("abc", "abcd"),
            // Case counts last, where the ids first differ.
            ("p:a", "P:a"),
            ("aB", "Ab"),
            ("Ab", "aC"),
            ("ab:x", "aB:x"),
        ] {
            assert_eq!(collate(low, high), Ordering::Less, "{low} {high}");
            assert_eq!(collate(high, low), Ordering::Greater, "{high} {low}");
        }
    }

    proptest! {
        #[test]
        fn is_a_total_order(a in "\\PC{0,6}", b in "\\PC{0,6}", c in "\\PC{0,6}") {
            prop_assert_eq!(collate(&a, &b), collate(&b, &a).reverse());
            prop_assert_eq!(collate(&a, &b) == Ordering::Equal, a == b);
            if collate(&a, &b).is_le() && collate(&b, &c).is_le() {
                prop_assert!(collate(&a, &c).is_le());
            }
        }
    }
}
