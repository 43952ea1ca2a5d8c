//! Profile ids as they leave the machine: accounts shortened, and still different from each
//! other (spec 06 section 14.2).

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::survey::{Item, Subject};

/// The id with every e-mail address in it shortened: `anthropic:me@example.com` is `anthropic:m…@example.com`.
pub fn masked_account(id: &str) -> String {
    let ends = |c: char| c.is_whitespace() || c.is_control() || ":/<>()[],;\"'".contains(c);
    let mut shown = String::with_capacity(id.len());
    let mut rest = id;
    while let Some(at) = rest.find('@') {
        let start =
            rest[..at].rfind(ends).map_or(0, |before| before + rest[before..].chars().next().map_or(1, char::len_utf8));
        shown.push_str(&rest[..start]);
        if let Some(first) = rest[start..at].chars().next() {
            shown.extend([first, '…']);
        }
        shown.push('@');
        rest = &rest[at + 1..];
    }
    shown.push_str(rest);
    shown
}

/// Characters that would break a line or hide what stands beside them, in a message as on a terminal.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Names every item as it is shown. Ids of one agent that look the same when shortened get a tail each that stays the
/// same from pass to pass.
pub fn assign_labels(items: &mut [Item], full_ids: bool) {
    let mut seen: HashMap<(String, String), usize> = HashMap::new();
    for item in &mut *items {
        item.label = match &item.subject {
            Subject::Profile { id, .. } if full_ids => id.clone(),
            Subject::Profile { id, .. } => masked_account(id),
            Subject::Provider => item.provider.clone(),
            Subject::Store => "auth-profiles.json".to_owned(),
        };
        if item.label.contains(steers) {
            item.label = item.label.replace(steers, "?");
        }
        *seen.entry((item.agent.clone(), item.label.clone())).or_default() += 1;
    }
    for item in &mut *items {
        let Subject::Profile { id, .. } = &item.subject else { continue };
        if item.label != *id && seen.get(&(item.agent.clone(), item.label.clone())).is_some_and(|count| *count > 1) {
            let digest = Sha256::digest(id.as_bytes());
            item.label = format!("{}~{:02x}{:02x}", item.label, digest[0], digest[1]);
        }
    }
    // Two tails can be equal too, once in 65,536 times; then the place in the list tells them apart.
    let mut taken: HashMap<(String, String), usize> = HashMap::new();
    for item in items {
        let count = taken.entry((item.agent.clone(), item.label.clone())).or_default();
        *count += 1;
        if *count > 1 && matches!(item.subject, Subject::Profile { .. }) {
            item.label = format!("{}.{count}", item.label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_shortened_and_nothing_else() {
        for (id, shown) in [
            ("anthropic:default", "anthropic:default"),
            ("anthropic:me@example.com", "anthropic:m…@example.com"),
            ("anthropic:m@example.com", "anthropic:m…@example.com"),
            ("x:Jörg Ü <ü.ö@example.org> b@c.de", "x:Jörg Ü <ü…@example.org> b…@c.de"),
            ("@x", "@x"),
            ("me@example.com", "m…@example.com"),
            ("", ""),
        ] {
            assert_eq!(masked_account(id), shown);
        }
    }

    fn item(id: &str) -> Item {
        Item::for_tests("main", id, super::super::Status::Ok, super::super::Level::Fine)
    }

    #[test]
    fn accounts_that_look_alike_stay_different() {
        let mut items = vec![item("a:max@x.org"), item("a:mia@x.org"), item("a:b")];
        assign_labels(&mut items, false);
        assert!(items[0].label.starts_with("a:m…@x.org~"), "{}", items[0].label);
        assert_ne!(items[0].label, items[1].label);
        assert_eq!(items[2].label, "a:b");
        assign_labels(&mut items, true);
        assert_eq!(items[0].label, "a:max@x.org");
        let mut items = vec![item("a:\nb\u{202e}"), item("a:?b?")];
        assign_labels(&mut items, true);
        assert!(items[0].label != items[1].label && !items[0].label.contains(char::is_control), "{}", items[0].label);
    }

    #[test]
    fn only_what_looks_alike_gets_a_tail() {
        let labels = |items: &mut [Item], full_ids: bool| {
            assign_labels(items, full_ids);
            items.iter().map(|item| item.label.clone()).collect::<Vec<_>>()
        };
        let mut single = [item("a:me@x.org"), item("b:me@x.org"), item("a:b")];
        assert_eq!(labels(&mut single, false), ["a:m…@x.org", "b:m…@x.org", "a:b"]);
        // Another agent may have the same account.
        let mut agents = [item("a:me@x.org"), Item { agent: "dev".to_owned(), ..item("a:mo@x.org") }];
        assert_eq!(labels(&mut agents, false), ["a:m…@x.org", "a:m…@x.org"]);
        // An id that looks like the short form of another one keeps its name.
        let mut alike = [item("a:m…@x.org"), item("a:me@x.org")];
        let found = labels(&mut alike, false);
        assert!(found[0] == "a:m…@x.org" && found[1].starts_with("a:m…@x.org~"), "{found:?}");
        // A provider and a store have their own names, as often as they come.
        let other = |subject: Subject| Item { subject, ..item("groq:x") };
        let mut others =
            [other(Subject::Provider), other(Subject::Provider), other(Subject::Store), other(Subject::Store)];
        assert_eq!(labels(&mut others, false), ["groq", "groq", "auth-profiles.json", "auth-profiles.json"]);
        let mut steering = [item("a:\u{200b}b\u{2029}c\u{2066}\u{feff}é\u{2070}")];
        assert_eq!(labels(&mut steering, true), ["a:?b?c??é\u{2070}"]);
    }

    /// With so many accounts some tails are equal; what is shown is not, and stays what it was from pass to pass.
    #[test]
    fn equal_tails_are_told_apart() {
        let mut items: Vec<Item> = (0..2000).map(|n| item(&format!("a:m{n}@x.org"))).collect();
        assign_labels(&mut items, false);
        let labels: std::collections::HashSet<String> = items.iter().map(|item| item.label.clone()).collect();
        assert_eq!(labels.len(), items.len());
        assert!(labels.iter().any(|label| label.ends_with(".2")) && labels.iter().all(|label| !label.ends_with(".1")));
        let before: Vec<String> = items.iter().map(|item| item.label.clone()).collect();
        assign_labels(&mut items, false);
        assert!(items.iter().map(|item| &item.label).eq(&before));
    }

    proptest! {
        #[test]
        fn no_local_part_of_two_or_more_survives(local in "[a-z0-9.]{2,12}", domain in "[a-z]{1,8}\\.com") {
            let shown = masked_account(&format!("p:{local}@{domain}"));
            let (domain, account) = (format!("@{domain}"), format!("{local}@"));
            prop_assert!(shown.ends_with(&domain));
            prop_assert!(!shown.contains(&account));
        }

        #[test]
        fn labels_are_unique(ids in proptest::collection::hash_set("[ab]{1,2}@x", 0..8)) {
            let mut items: Vec<Item> = ids.iter().map(|id| item(id)).collect();
            assign_labels(&mut items, false);
            let labels: std::collections::HashSet<&str> = items.iter().map(|item| item.label.as_str()).collect();
            prop_assert_eq!(labels.len(), items.len());
        }
    }
}
