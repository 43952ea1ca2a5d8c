//! What a repair changes in a store, and that it changes nothing else.

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

/// The store after a change, if it counts as changed.
fn changed(store: &Value, change: impl FnOnce(&mut StoreDocument)) -> Option<Value> {
    let mut document = StoreDocument::parse(&store.to_string()).unwrap();
    change(&mut document);
    let after = document.to_text(&[]).unwrap();
    document.is_changed().then(|| serde_json::from_str(&after).unwrap())
}

#[test]
fn only_what_names_the_profile_or_its_provider_follows_it() {
    let (from, to) = (ProfileId::new("a:old"), ProfileId::new("a:new"));
    let profiles = [ProfileId::new("a:x"), ProfileId::new("a:y")];
    let converted =
        Retarget { from: &from, to: Some(&to), from_provider: "old", to_provider: "a", profiles: &profiles };
    let removed = Retarget { to: None, ..converted };
    // The section, the change, what is there before and after; no after: nothing is touched.
    for (name, change, before, after) in [
        ("order", converted, json!({"b": ["b:1", " ", "b:1"], "a": ["a:x"]}), None),
        ("order", converted, json!({"b": ["b:1", " a:old "]}), Some(json!({"b": ["b:1", "a:new"]}))),
        ("order", removed, json!({"b": ["b:1", "a:old"], "c": ["a:old"]}), Some(json!({"b": ["b:1"]}))),
        // An order under the old key is taken over where it names a profile of the new provider.
        ("order", removed, json!({" OLD": ["a:y", "q:z"]}), Some(json!({"a": ["a:y", "q:z"]}))),
        ("order", removed, json!({"Old": ["q:z"], "b": ["b:1"]}), Some(json!({"b": ["b:1"]}))),
        ("order", converted, json!({"Old": ["q:z"], "b": ["b:1"]}), Some(json!({"b": ["b:1"]}))),
        ("order", removed, json!({"old": ["a:old"], "b": ["b:1"]}), Some(json!({"b": ["b:1"]}))),
        ("order", removed, json!({"old": ["a:old"]}), Some(Value::Null)),
        // What is no list is not ours.
        ("order", converted, json!({"old": 7, "b": ["a:old"]}), Some(json!({"b": ["a:new"], "old": 7}))),
        ("lastGood", converted, json!({"b": "b:1", "a": "a:x"}), None),
        ("lastGood", converted, json!({"old": "a:x"}), Some(json!({"a": "a:x"}))),
        ("lastGood", converted, json!({"a": "a:old"}), Some(json!({"a": "a:new"}))),
        ("lastGood", removed, json!({"b": "b:1", "a": "a:old"}), Some(json!({"b": "b:1"}))),
        ("lastGood", converted, json!({"a": "a:x", "old": "a:old"}), Some(json!({"a": "a:x"}))),
        ("usageStats", converted, json!({"a:x": {"errorCount": 1}}), None),
        (
            "usageStats",
            converted,
            json!({"a:x": {"errorCount": 1}, "a:old": {"errorCount": 2}}),
            Some(json!({"a:x": {"errorCount": 1}, "a:new": {"errorCount": 2}})),
        ),
        (
            "usageStats",
            converted,
            json!({"a:old": {"errorCount": 2}, "a:new": {"errorCount": 3}}),
            Some(json!({"a:new": {"errorCount": 3}})),
        ),
        ("usageStats", removed, json!({"a:old": {"errorCount": 2}}), Some(Value::Null)),
    ] {
        let mut store = json!({"version": 1, "profiles": {}});
        store[name] = before;
        let result = changed(&store, |document| document.retarget(&change)).map(|store| store[name].clone());
        assert_eq!(result, after, "{store} {:?}", change.to);
    }
}

#[test]
fn unknown_ids_leave_the_orders_and_the_statistics() {
    let gone = |id: &str| id.starts_with("gone");
    let order = json!({"version": 1, "profiles": {}, "order": {
        "p": ["p:a", " gone:1 ", "p:b", "gone:2"], "q": ["gone:1"], "r": [], "s": "gone:1", "t": ["t:a"]}});
    let left = changed(&order, |document| document.drop_from_order(&gone)).unwrap();
    assert_eq!(left["order"], json!({"p": ["p:a", "p:b"], "r": [], "s": "gone:1", "t": ["t:a"]}));
    assert_eq!(changed(&left, |document| document.drop_from_order(&gone)), None);

    let usage = json!({"version": 1, "profiles": {}, "usageStats": {"gone:1": {}, "p:a": {"errorCount": 1}}});
    let left = changed(&usage, |document| document.drop_usage(&gone)).unwrap();
    assert_eq!(left["usageStats"], json!({"p:a": {"errorCount": 1}}));
    assert_eq!(changed(&left, |document| document.drop_usage(&gone)), None);
}

#[test]
fn each_old_spelling_is_found_alone() {
    let reference = r#"{"source": "env", "provider": "default", "id": "T"}"#;
    for (fields, names) in [
        (r#""mode": "api_key", "key": "k""#.to_owned(), vec!["mode"]),
        (r#""type": "api_key", "apiKey": "k""#.to_owned(), vec!["apiKey"]),
        (r#""type": "api_key", "\u0061piKey": "k""#.to_owned(), vec!["apiKey"]),
        (format!(r#""type": "api_key", "key": {reference}"#), vec!["key"]),
        (format!(r#""mode": "token", "token": {reference}"#), vec!["mode", "token"]),
        // A reference in its own field, and a word that is only a value, are no older spelling.
        (format!(r#""type": "api_key", "keyRef": {reference}"#), vec![]),
        (r#""type": "api_key", "key": "mode", "email": "apiKey""#.to_owned(), vec![]),
        // Beside the canonical field the other one means nothing.
        (r#""type": "api_key", "mode": "token", "key": "k", "apiKey": "k2""#.to_owned(), vec![]),
    ] {
        let text = format!(r#"{{"version": 1, "profiles": {{"p:a": {{"provider": "p", {fields}}}}}}}"#);
        let document = StoreDocument::parse(&text).unwrap();
        let expected = if names.is_empty() { vec![] } else { vec![(ProfileId::new("p:a"), names)] };
        assert_eq!(document.old_spellings(), expected, "{fields}");
        assert_eq!(document.entries().iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["p:a"]);
    }
    let store = json!({"version": 1, "profiles": {"p:a": {"type": "api_key", "provider": "p", "key": "k"}}});
    assert_eq!(changed(&store, |_| {}), None);
    assert_eq!(changed(&store, StoreDocument::respell), Some(store), "what is asked for is written");
}

#[test]
fn merging_adds_only_what_is_missing() {
    let ours = json!({"version": 1, "profiles": {"a": {"type": "token", "provider": "p", "token": "t1"}},
        "order": {"Z.AI": ["a"]}, "lastGood": {"z-ai": "a"}, "usageStats": {"a": {"errorCount": 1}}, "extra": 1});
    let with = |name: &str, value: Value| {
        let mut store = ours.clone();
        store[name] = value;
        store
    };
    for (theirs, after) in [
        (json!({"version": 1, "profiles": {}}), None),
        (ours.clone(), None),
        // One provider in another spelling is the same provider; another case is another profile.
        (json!({"profiles": {}, "order": {"zai": ["b"]}, "lastGood": {"zai": "b"}, "extra": 2}), None),
        (
            json!({"profiles": {}, "usageStats": {"A": {}, "a": {}}}),
            Some(with("usageStats", json!({"a": {"errorCount": 1}, "A": {}}))),
        ),
        (json!({"profiles": {}, "lastGood": {"q": "c"}}), Some(with("lastGood", json!({"z-ai": "a", "q": "c"})))),
        (json!({"profiles": {}, "more": [1]}), Some(with("more", json!([1])))),
    ] {
        let other = StoreDocument::parse(&theirs.to_string()).unwrap();
        assert_eq!(changed(&ours, |document| document.merge_missing(&other)), after, "{theirs}");
    }
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
