//! Changes of a store that only a repair makes (spec 06 sections 7, 8.3 and 10.2). Each touches what it is about.

use super::{Members, RawObject, StoreDocument, canonical_entry, owned, raw_json, same_json, text_value, value};
use crate::profile::ProfileId;
use serde_json::Value;
use serde_json::value::RawValue;

/// How the references to a profile and to its provider change.
#[derive(Clone, Copy, Debug)]
pub struct Retarget<'a> {
    /// The id that goes.
    pub from: &'a ProfileId,
    /// The id that takes its place; `None` drops what names it.
    pub to: Option<&'a ProfileId>,
    /// The provider key that goes, compared without case and blanks.
    pub from_provider: &'a str,
    /// The provider key that takes its place.
    pub to_provider: &'a str,
    /// The profiles of that provider. An order under the key that goes which names none of them, nor the profile that
    /// moves, goes too: it would keep out all others.
    pub profiles: &'a [ProfileId],
}

impl StoreDocument {
    /// Moves a credential to another id, which must be free, and gives it a provider. Every other field stays. Returns
    /// whether it was moved.
    pub fn move_profile(&mut self, from: &ProfileId, to: &ProfileId, provider: &str) -> bool {
        let Some(entry) = self.entry(from).filter(|_| from != to && self.entry(to).is_none()) else { return false };
        let Some(mut fields) = RawObject::of(&entry).map(owned) else { return false };
        match fields.iter_mut().find(|(name, _)| name == "provider") {
            Some(field) => field.1 = text_value(provider),
            None => fields.push(("provider".to_owned(), text_value(provider))),
        }
        self.restore(from, None);
        self.put_raw(to, super::object(&fields));
        true
    }

    /// Makes `order`, `lastGood` and `usageStats` follow a profile that moved or went (spec 06 section 7.1).
    pub fn retarget(&mut self, change: &Retarget<'_>) {
        self.retarget_order(change);
        self.retarget_last_good(change);
        let mut usage = self.section("usageStats");
        if let Some(at) = usage.iter().position(|(id, _)| id == change.from.as_str()) {
            let (_, stats) = usage.remove(at);
            if let Some(to) = change.to.filter(|to| !usage.iter().any(|(id, _)| id == to.as_str())) {
                usage.push((to.as_str().to_owned(), stats));
            }
            self.set_section("usageStats", &usage);
        }
    }

    fn retarget_order(&mut self, change: &Retarget<'_>) {
        let order = self.section("order");
        let mut mended: Vec<(String, Vec<String>)> = Vec::new();
        let mut kept: Members = Vec::new();
        let mut changed = false;
        for (provider, ids) in &order {
            let Some(list) = raw_json::strings(ids) else {
                kept.push((provider.clone(), ids.clone()));
                continue;
            };
            let key = change.renamed(provider);
            changed |= key != *provider || list.iter().any(|id| id.trim() == change.from.as_str());
            if key != *provider && !list.iter().any(|id| change.fits(id.trim())) {
                continue;
            }
            let place = mended.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                mended.push((key.to_owned(), Vec::new()));
                mended.len() - 1
            });
            for id in list.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
                let id = if id == change.from.as_str() { change.to.map(ProfileId::as_str) } else { Some(id) };
                if let Some(id) = id.filter(|id| !mended[place].1.iter().any(|known| known == id)) {
                    mended[place].1.push(id.to_owned());
                }
            }
        }
        if changed {
            let lists = mended.into_iter().filter(|(_, ids)| !ids.is_empty());
            let lists = lists.map(|(provider, ids)| (provider, value(&Value::from(ids))));
            self.set_section("order", &lists.chain(kept).collect());
        }
    }

    fn retarget_last_good(&mut self, change: &Retarget<'_>) {
        let last_good = self.section("lastGood");
        let mut mended: Members = Vec::with_capacity(last_good.len());
        for (provider, id) in &last_good {
            let named = raw_json::string(id).is_some_and(|id| id == change.from.as_str());
            let key = change.renamed(provider);
            let id = match (named, change.to) {
                (false, _) => id.clone(),
                (true, Some(to)) => text_value(to.as_str()),
                (true, None) => continue,
            };
            if !mended.iter().any(|(known, _)| known == key) {
                mended.push((key.to_owned(), id));
            }
        }
        let same = mended.len() == last_good.len()
            && mended.iter().zip(&last_good).all(|(a, b)| a.0 == b.0 && same_json(a.1.get(), b.1.get()));
        if !same {
            self.set_section("lastGood", &mended);
        }
    }

    /// Removes from every list of `order` the ids that `gone` names; a list with nothing left goes too.
    pub fn drop_from_order(&mut self, gone: &dyn Fn(&str) -> bool) {
        let mut order = self.section("order");
        let mut changed = false;
        order.retain_mut(|(_, ids)| {
            let Some(list) = raw_json::strings(ids) else { return true };
            let left: Vec<&String> = list.iter().filter(|id| !gone(id.trim())).collect();
            if left.len() == list.len() {
                return true;
            }
            changed = true;
            *ids = value(&Value::from(left.into_iter().map(String::as_str).collect::<Vec<_>>()));
            ids.get() != "[]"
        });
        if changed {
            self.set_section("order", &order);
        }
    }

    /// Removes the statistics of the ids that `gone` names.
    pub fn drop_usage(&mut self, gone: &dyn Fn(&str) -> bool) {
        self.retain("usageStats", |id, _| !gone(id));
    }

    /// The profiles that are spelled in an older way: `mode` for `type`, `apiKey` for `key`, a reference in the place
    /// of the secret. With the names of the fields in question.
    pub fn old_spellings(&self) -> Vec<(ProfileId, Vec<&'static str>)> {
        let profiles = self.section("profiles");
        let old = profiles.iter().filter(|(_, entry)| may_be_old(entry.get())).filter_map(|(id, entry)| {
            let canonical = canonical_entry(entry.clone());
            let (before, after) = (RawObject::of(entry)?, RawObject::of(&canonical)?);
            let gone = |name: &str| before.get(name).is_some() && after.get(name).is_none();
            let is_object = |name: &str| before.get(name).is_some_and(|raw| raw.get().starts_with('{'));
            let renamed = ["mode", "apiKey"].into_iter().filter(|name| gone(name));
            let moved = ["key", "token"].into_iter().filter(|name| gone(name) && is_object(name));
            let names: Vec<&'static str> = renamed.chain(moved).collect();
            (!names.is_empty()).then(|| (ProfileId::new(id.as_str()), names))
        });
        old.collect()
    }

    /// Marks the document as changed, so that it is written as it stands: every write spells profiles canonically.
    pub fn respell(&mut self) {
        self.changed = true;
    }

    /// Takes over what another store has and this one lacks: profiles and statistics by id, `order` and `lastGood` by
    /// provider (spec 06 section 10.2).
    pub fn merge_missing(&mut self, other: &Self) {
        for name in ["profiles", "order", "lastGood", "usageStats"] {
            let mut members = self.section(name);
            let known: Vec<String> = members.iter().map(|(key, _)| key.clone()).collect();
            let missing = other.section(name).into_iter().filter(|(key, _)| !known.contains(key));
            let before = members.len();
            members.extend(missing);
            if members.len() > before {
                self.set_section(name, &members);
            }
        }
        let unknown = other.members.iter().filter(|(name, _)| !super::SECTIONS.contains(&name.as_str()));
        let unknown: Members =
            unknown.filter(|(name, _)| !self.members.iter().any(|(known, _)| known == name)).cloned().collect();
        self.changed |= !unknown.is_empty();
        self.members.extend(unknown);
    }

    /// Every entry below `profiles`, also those that cannot be used: its id and its text.
    pub fn entries(&self) -> Vec<(String, Box<RawValue>)> {
        self.section("profiles")
    }
}

impl Retarget<'_> {
    fn fits(&self, id: &str) -> bool {
        (id == self.from.as_str() && self.to.is_some()) || self.profiles.iter().any(|known| known.as_str() == id)
    }

    fn renamed<'k>(&'k self, provider: &'k str) -> &'k str {
        if provider.trim().eq_ignore_ascii_case(self.from_provider) { self.to_provider } else { provider }
    }
}

/// Whether the text of an entry may hold an older spelling: one of the old names, a reference, or a name that is
/// written with escapes. Nearly all hold none, and need no reading.
fn may_be_old(entry: &str) -> bool {
    entry.contains("\"mode\"") || entry.contains("\"apiKey\"") || entry.contains('\\') || entry.rfind('{') > Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mended(store: &Value, change: impl FnOnce(&mut StoreDocument), touched: &[&str]) -> Value {
        let mut document = StoreDocument::parse(&store.to_string()).unwrap();
        change(&mut document);
        let touched: Vec<ProfileId> = touched.iter().map(|id| ProfileId::new(*id)).collect();
        let text = document.to_text(&touched.iter().collect::<Vec<_>>()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn everything_follows_a_profile_that_moves() {
        let (from, to) = (ProfileId::new("a:old"), ProfileId::new("a:new"));
        let change = Retarget { from: &from, to: Some(&to), from_provider: "old", to_provider: "a", profiles: &[] };
        let store = json!({"version": 1, "profiles": {
            "a:old": {"type": "oauth", "provider": "old", "access": "at-test", "keep": 1.0},
            "a:x": {"type": "api_key", "provider": "a", "key": "sk-test"}},
            "order": {" OLD ": ["a:old"], "a": ["a:x", "a:old", " "], "b": ["b:1", "b:1"]},
            "lastGood": {"old": "a:old", "a": "a:x"}, "usageStats": {"a:old": {"errorCount": 2}}});
        let after = mended(
            &store,
            |document| {
                assert!(document.move_profile(&from, &to, "a"));
                document.retarget(&change);
            },
            &["a:old", "a:new"],
        );
        assert_eq!(
            after,
            json!({"version": 1, "profiles": {"a:x": {"type": "api_key", "provider": "a", "key": "sk-test"},
                "a:new": {"type": "oauth", "provider": "a", "access": "at-test", "keep": 1.0}},
                "order": {"a": ["a:new", "a:x"], "b": ["b:1"]}, "lastGood": {"a": "a:new"},
                "usageStats": {"a:new": {"errorCount": 2}}})
        );
        let gone = mended(
            &store,
            |document| {
                document.restore(&from, None);
                document.retarget(&Retarget { to: None, ..change });
            },
            &["a:old"],
        );
        assert_eq!(gone["order"], json!({"a": ["a:x"], "b": ["b:1"]}));
        assert_eq!((&gone["lastGood"], &gone["usageStats"]), (&json!({"a": "a:x"}), &Value::Null));
    }

    #[test]
    fn nothing_is_moved_onto_something() {
        let store = json!({"profiles": {"a": {"type": "token", "provider": "p", "token": "t1"}, "b": {"type": "token", "provider": "p", "token": "t2"}}});
        let mut document = StoreDocument::parse(&store.to_string()).unwrap();
        assert!(!document.move_profile(&ProfileId::new("a"), &ProfileId::new("b"), "p"));
        assert!(!document.move_profile(&ProfileId::new("gone"), &ProfileId::new("c"), "p"));
        assert!(!document.is_changed());
    }

    #[test]
    fn old_spellings_are_named_and_go() {
        let store = json!({"version": 1, "profiles": {
            "p:a": {"mode": "api_key", "provider": "p", "apiKey": "sk-test"},
            "p:b": {"type": "token", "provider": "p", "token": {"source": "env", "provider": "default", "id": "T"}},
            "p:c": {"type": "api_key", "provider": "p", "key": {"odd": 1}},
            "p:d": {"type": "api_key", "provider": "p", "key": "sk-test"}}});
        let document = StoreDocument::parse(&store.to_string()).unwrap();
        let named: Vec<(String, Vec<&str>)> =
            document.old_spellings().into_iter().map(|(id, names)| (id.to_string(), names)).collect();
        assert_eq!(named, [("p:a".to_owned(), vec!["mode", "apiKey"]), ("p:b".to_owned(), vec!["token"])]);
        let after = mended(&store, StoreDocument::respell, &[]);
        let again = StoreDocument::parse(&after.to_string()).unwrap();
        assert!(again.old_spellings().is_empty());
        assert_eq!(after["profiles"]["p:a"], json!({"type": "api_key", "provider": "p", "key": "sk-test"}));
    }

    #[test]
    fn merging_never_replaces() {
        let (ours, theirs) = (
            json!({"version": 1, "profiles": {"a": {"type": "token", "provider": "p", "token": "t1"}}, "order": {"p": ["a"]}}),
            json!({"version": 1, "profiles": {"a": {"type": "token", "provider": "p", "token": "t2"},
                "b": {"type": "token", "provider": "p", "token": "t3"}}, "order": {"p": ["b"], "q": ["c"]}, "extra": 1}),
        );
        let other = StoreDocument::parse(&theirs.to_string()).unwrap();
        let after = mended(&ours, |document| document.merge_missing(&other), &["b"]);
        assert_eq!((&after["profiles"]["a"]["token"], &after["profiles"]["b"]["token"]), (&json!("t1"), &json!("t3")));
        assert_eq!((&after["order"], &after["extra"]), (&json!({"p": ["a"], "q": ["c"]}), &json!(1)));
    }
    #[test]
    fn a_profile_moves_only_where_it_can() {
        let store = json!({"version": 1, "profiles": {"a": {"type": "token", "token": "t"}, "n": 7, "b": {"type": "token", "provider": "p"}}});
        let document = || StoreDocument::parse(&store.to_string()).unwrap();
        for (from, to) in [("a", "a"), ("a", "b"), ("n", "c"), ("gone", "c")] {
            let mut document = document();
            assert!(!document.move_profile(&ProfileId::new(from), &ProfileId::new(to), "p"), "{from} {to}");
            assert!(!document.is_changed());
        }
        let mut document = document();
        assert!(document.move_profile(&ProfileId::new("a"), &ProfileId::new("c"), "p"));
        let moved: Vec<_> = document.entries().into_iter().map(|(id, entry)| format!("{id} {}", entry.get())).collect();
        assert_eq!(
            moved,
            ["n 7", r#"b {"type":"token","provider":"p"}"#, r#"c {"type":"token","token":"t","provider":"p"}"#]
        );
    }

    #[test]
    fn references_to_a_profile_are_retargeted_section_by_section() {
        let (from, to, own) = (ProfileId::new("old:x"), ProfileId::new("new:x"), [ProfileId::new("new:own")]);
        let all = Retarget { from: &from, to: Some(&to), from_provider: "old", to_provider: "new", profiles: &own };
        let gone = Retarget { to: None, ..all };
        // Section, before, the change, after; an empty text is no change.
        for (section, before, change, after) in [
            ("usageStats", json!({"old:x": {"errorCount": 1}, "b": {}}), all, r#"{"b":{},"new:x":{"errorCount":1}}"#),
            (
                "usageStats",
                json!({"old:x": {"errorCount": 1}, "new:x": {"errorCount": 2}}),
                all,
                r#"{"new:x":{"errorCount":2}}"#,
            ),
            ("usageStats", json!({"old:x": {"errorCount": 1}, "b": {}}), gone, r#"{"b":{}}"#),
            ("usageStats", json!({"b": {}}), all, ""),
            ("lastGood", json!({"old": "old:x", "q": "q:1"}), all, r#"{"new":"new:x","q":"q:1"}"#),
            ("lastGood", json!({"new": "new:own", " OLD ": "old:x"}), all, r#"{"new":"new:own"}"#),
            ("lastGood", json!({"old": "old:x", "new": "new:own"}), all, r#"{"new":"new:x"}"#),
            ("lastGood", json!({"q": "old:x", "r": 7}), gone, r#"{"r":7}"#),
            ("lastGood", json!({"old": "other"}), all, r#"{"new":"other"}"#),
            ("lastGood", json!({"new": "new:own", "r": 7}), all, ""),
            // The id is replaced in every list, blanks and repetitions go with the change.
            ("order", json!({"q": ["old:x", " ", "new:x", "q:1", " q:1 "]}), all, r#"{"q":["new:x","q:1"]}"#),
            ("order", json!({"q": [" old:x "], "r": ["r:1", "r:1"]}), gone, r#"{"r":["r:1"]}"#),
            ("order", json!({"q": ["q:1", " ", "q:1"]}), all, ""),
            // Lists that come together keep their sequence; what is no list stays behind them.
            (
                "order",
                json!({"old": ["old:x"], "n": 7, "new": ["new:own", "new:x"]}),
                all,
                r#"{"new":["new:x","new:own"],"n":7}"#,
            ),
            ("order", json!({"Old": ["new:own"]}), all, r#"{"new":["new:own"]}"#),
            // A list under the key that goes keeps out all others when it names none of them.
            ("order", json!({"old": ["stranger"], "new": ["new:own"]}), all, r#"{"new":["new:own"]}"#),
            ("order", json!({"old": ["old:x", "stranger"], "q": ["q:1"]}), gone, r#"{"q":["q:1"]}"#),
            ("order", json!({"old": ["old:x", "new:own"]}), gone, r#"{"new":["new:own"]}"#),
            ("order", json!({"older": ["q:1"], "q": 7}), all, ""),
        ] {
            let mut document = StoreDocument::parse(&json!({"profiles": {}, section: before}).to_string()).unwrap();
            document.retarget(&change);
            assert_eq!(document.is_changed(), !after.is_empty(), "{section} {before}");
            let text: Value = serde_json::from_str(&document.to_text(&[]).unwrap()).unwrap();
            let after = if after.is_empty() { before.to_string() } else { after.to_owned() };
            assert_eq!(text[section].to_string(), after, "{section} {before}");
        }
    }

    #[test]
    fn what_nobody_has_is_dropped_and_nothing_else() {
        let store = json!({"version": 1, "profiles": {}, "order": {"p": [" gone ", "b"], "q": ["gone"], "r": 7, "s": ["b", 1], "t": []},
            "usageStats": {"gone": {}, "b": {}}});
        let gone = |id: &str| id == "gone";
        let after = mended(&store, |document| document.drop_from_order(&gone), &[]);
        assert_eq!(after["order"].to_string(), r#"{"p":["b"],"r":7,"s":["b",1],"t":[]}"#);
        assert_eq!(after["usageStats"], store["usageStats"]);
        let after = mended(&store, |document| document.drop_usage(&gone), &[]);
        assert_eq!((&after["usageStats"], &after["order"]), (&json!({"b": {}}), &store["order"]));
        let mut document = StoreDocument::parse(&store.to_string()).unwrap();
        document.drop_from_order(&|id| id == "other");
        document.drop_usage(&|id| id == "other");
        assert!(!document.is_changed());
    }

    #[test]
    fn a_reference_in_the_place_of_the_secret_is_an_old_spelling_beside_another_too() {
        let reference = json!({"source": "env", "provider": "default", "id": "T"});
        let store = json!({"profiles": {
            "a": {"type": "api_key", "provider": "p", "key": reference, "keyRef": reference},
            "b": {"type": "api_key", "provider": "p", "key": "sk-test", "keyRef": reference}, "n": 7}});
        let mut document = StoreDocument::parse(&store.to_string()).unwrap();
        assert_eq!(document.old_spellings(), [(ProfileId::new("a"), vec!["key"])]);
        assert!(!document.is_changed());
        document.respell();
        assert!(document.is_changed());
    }

    #[test]
    fn merging_with_what_is_there_changes_nothing() {
        let store = json!({"profiles": {"a": {"type": "token", "provider": "p"}}, "order": {"p": ["a"]}, "extra": 1});
        let (mut ours, theirs) =
            (StoreDocument::parse(&store.to_string()).unwrap(), StoreDocument::parse(&store.to_string()).unwrap());
        ours.merge_missing(&theirs);
        assert!(!ours.is_changed());
        let more = json!({"profiles": {}, "lastGood": {"p": "a"}, "usageStats": {"a": {}}, "other": 2}).to_string();
        ours.merge_missing(&StoreDocument::parse(&more).unwrap());
        let text: Value = serde_json::from_str(&ours.to_text(&[]).unwrap()).unwrap();
        assert_eq!(
            (&text["lastGood"], &text["usageStats"], &text["other"]),
            (&json!({"p": "a"}), &json!({"a": {}}), &json!(2))
        );
        let mut ours = StoreDocument::empty();
        ours.merge_missing(&StoreDocument::parse(r#"{"profiles": {}, "other": 2}"#).unwrap());
        assert!(ours.is_changed());
    }
}
