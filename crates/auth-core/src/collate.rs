//! The order in which ids are listed (spec 02 section 5).

use std::cmp::Ordering;

/// Punctuation in the reference's `en-US` collation, lowest first; then digits, then letters.
const PUNCTUATION: &str = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$";

/// Compares two ids as the report sorts them: ASCII by the reference's `en-US` collation, so that `p:a` < `p:B`
/// and `a_b` < `a-b` < `a:b` < `a1`; everything else by code point after all ASCII.
pub fn collate(a: &str, b: &str) -> Ordering {
    let ranks = a.chars().map(rank).cmp(b.chars().map(rank));
    ranks.then_with(|| {
        // Equal but for case: at the first difference the lower-case letter comes first.
        a.chars().zip(b.chars()).find(|(x, y)| x != y).map_or(Ordering::Equal, |(x, y)| y.cmp(&x))
    })
}

fn rank(c: char) -> u32 {
    let position = |base: u32, c: char, first: char| base + (c as u32 - first as u32);
    match c {
        '0'..='9' => position(100, c, '0'),
        'a'..='z' => position(200, c, 'a'),
        'A'..='Z' => position(200, c, 'A'),
        c if c.is_ascii() => PUNCTUATION.find(c).and_then(|at| u32::try_from(at).ok()).map_or(0, |at| at + 1),
        c => 1000 + c as u32,
    }
}

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
