//! Every change of a store beside what it must leave alone.

use super::*;
use crate::Timestamp;
use proptest::prelude::*;
use serde_json::json;

const UGLY: &str = r#"{"future":{"a":1.0,"b":[ ]},"profiles":{"z:b":{"type":"api_key","provider":"ZAI","key":"2","x":1e999},
        "bad":{"type":"wif","n":12345678901234567890123},"al":{"mode":"api_key","provider":"p","apiKey":"3"},
        "both":{"type":"token","provider":"p","token":"plain","tokenRef":{"source":"env","id":"T"}}},"version":1.0,
        "order":{"z.ai":["z:b"],"odd":7},"usageStats":{"z:b":{"errorCount":1,"cooldownUntil":99,"later":true}}}"#;

pub(super) fn id(text: &str) -> ProfileId {
    ProfileId::new(text)
}

#[test]
fn a_change_keeps_everything_else() {
    let mut document = StoreDocument::parse(UGLY).unwrap();
    assert!(document.set_order(&ProviderId::normalise("Z-AI"), Some(&[id("z:b")])));
    let text = document.to_text(&[]).unwrap();
    let expected = r#"{
  "version": 1,
  "profiles": {
    "z:b": {
      "type": "api_key",
      "provider": "ZAI",
      "key": "2",
      "x": 1e999
    },
    "bad": {
      "type": "wif",
      "n": 12345678901234567890123
    },
    "al": {
      "type": "api_key",
      "provider": "p",
      "key": "3"
    },
    "both": {
      "type": "token",
      "provider": "p",
      "tokenRef": {
        "source": "env",
        "id": "T"
      }
    }
  },
  "order": {
    "zai": [
      "z:b"
    ],
    "odd": 7
  },
  "usageStats": {
    "z:b": {
      "errorCount": 1,
      "cooldownUntil": 99,
      "later": true
    }
  },
  "future": {
    "a": 1.0,
    "b": []
  }
}
"#;
    assert_eq!(text, expected);
    let mut again = StoreDocument::parse(&text).unwrap();
    assert!(!again.set_order(&ProviderId::normalise("zai"), Some(&[id("z:b")])));
    assert!(!again.is_changed() && again.to_text(&[]).unwrap() == text);
}

#[test]
fn orders_go_with_all_their_spellings() {
    let mut document = StoreDocument::parse(r#"{"profiles":{},"order":{"z.ai":["a"],"ZAI":["b"]}}"#).unwrap();
    assert!(document.set_order(&ProviderId::normalise("zai"), None));
    assert_eq!(document.to_text(&[]).unwrap(), "{\n  \"version\": 1,\n  \"profiles\": {}\n}\n");
    assert!(!document.set_order(&ProviderId::normalise("zai"), None));
}

#[test]
fn removing_a_profile_takes_its_traces_along() {
    let mut document = StoreDocument::parse(
        r#"{"profiles":{"a":{"type":"oauth","provider":"p"},"b":{"type":"oauth","provider":"p"}},
                "order":{"p":["a","b"],"q":["a"]},"lastGood":{"p":"a"},"usageStats":{"a":{},"b":{}}}"#,
    )
    .unwrap();
    assert!(document.remove_profile(&id("a")) && !document.remove_profile(&id("a")));
    assert!(matches!(document.to_text(&[]), Err(StoreEditError::WouldLose(lost)) if lost == "a"));
    let text = document.to_text(&[&id("a")]).unwrap();
    let left: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        left,
        json!({"version": 1, "profiles": {"b": {"type": "oauth", "provider": "p"}}, "order": {"p": ["b"]}, "usageStats": {"b": {}}})
    );
}

#[test]
fn statistics_keep_fields_of_others() {
    let mut document = StoreDocument::parse(UGLY).unwrap();
    let store = AuthProfiles::parse(UGLY, Owner::Agent).unwrap();
    let used = store.usage(&id("z:b")).unwrap().after_success(Timestamp::from_ms(5));
    document.set_usage(&id("z:b"), &used);
    let after: Value = serde_json::from_str(&document.to_text(&[]).unwrap().replace("1e999", "0")).unwrap();
    assert_eq!(after["usageStats"]["z:b"], json!({"errorCount": 0, "later": true, "lastUsed": 5}));
}

#[test]
fn what_must_not_be_rewritten() {
    assert!(matches!(StoreDocument::parse(r#"{"version":2,"profiles":{}}"#), Err(StoreEditError::NewerVersion(_))));
    assert!(matches!(StoreDocument::parse("{ nope"), Err(StoreEditError::Syntax(_))));
}

#[test]
fn legacy_files_are_taken_over_whole() {
    let import = StoreDocument::import_legacy(
        Some(r#"{"a":{"type":"api_key","key":"k","metadata":{"x":"y"}},"g":{"mode":"token","token":"t","expires":"soon"},"bad":{"type":"x"}}"#),
        Some(r#"{"a":{"access":"other"},"o":{"type":"api_key","access":"A","refresh":"R","zz":2},"s":"x"}"#),
    )
    .unwrap();
    assert_eq!((import.from_auth, import.rejected, import.from_oauth), (2, 1, 1));
    let text = import.document.to_text(&[]).unwrap();
    let store: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        store["profiles"],
        json!({
        "a:default": {"provider": "a", "type": "api_key", "key": "k", "metadata": {"x": "y"}},
        "g:default": {"provider": "g", "type": "token", "token": "t"},
        "o:default": {"type": "oauth", "provider": "o", "access": "A", "refresh": "R", "zz": 2}})
    );
}

proptest! {
    #[test]
    fn printing_changes_nothing_but_blanks(keys in proptest::collection::vec("\\PC{0,6}", 0..6), text in "\\PC{0,12}") {
        let object: serde_json::Map<String, Value> =
            keys.into_iter().map(|key| (key, json!([text.clone(), {"n": [1, {}], "t": "a\\\"b"}]))).collect();
        let object = Value::Object(object);
        let mut out = String::new();
        pretty(&object.to_string(), &mut out);
        prop_assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), object.clone());
        prop_assert_eq!(out, serde_json::to_string_pretty(&object).unwrap());
    }

    #[test]
    fn put_then_restore_is_the_identity(name in "[a-z:]{1,8}") {
        let mut document = StoreDocument::parse(UGLY).unwrap();
        let before = document.to_text(&[]).unwrap();
        let target = id(&name);
        let old = document.entry(&target);
        document.put_profile(&target, &[("type", json!("token")), ("provider", json!("p")), ("token", json!("t"))]);
        prop_assert_ne!(&before, &document.to_text(&[&target]).unwrap());
        document.restore(&target, old);
        prop_assert_eq!(before, document.to_text(&[&target]).unwrap());
    }
}

/// A store with one profile `p:x`.
pub(super) fn holding(entry: &str) -> StoreDocument {
    StoreDocument::parse(&format!(r#"{{"profiles":{{"p:x":{entry}}}}}"#)).unwrap()
}

pub(super) fn entry_of(document: &StoreDocument) -> Option<String> {
    document.entry(&id("p:x")).map(|entry| entry.get().to_owned())
}

#[test]
fn debug_output_names_sections_only() {
    let document =
        StoreDocument::parse(r#"{"profiles":{"a":{"type":"api_key","provider":"p","key":"sk-test"}},"later":7}"#);
    assert_eq!(format!("{:?}", document.unwrap()), r#"{"profiles", "later"}"#);
}

#[test]
fn a_store_that_does_not_exist_yet_is_empty() {
    let mut document = StoreDocument::empty();
    assert!(!document.is_changed());
    assert_eq!(document.to_text(&[]).unwrap(), "{\n  \"version\": 1,\n  \"profiles\": {}\n}\n");
    document.put_profile(&id("a"), &[("type", json!("api_key")), ("provider", json!("p")), ("key", json!("k"))]);
    assert!(document.is_changed() && document.remove_profile(&id("a")));
    assert_eq!(document.to_text(&[]).unwrap(), "{\n  \"version\": 1,\n  \"profiles\": {}\n}\n");
}

#[test]
fn an_order_stands_under_its_canonical_name_in_the_place_of_the_first_spelling() {
    // The order before, the ids to set, whether that is a change, the order after.
    for (before, ids, changed, after) in [
        (r#"{"q":["1"]}"#, Some(&["a"][..]), true, r#"{"q":["1"],"zai":["a"]}"#),
        (r#"{"q":["1"],"z.ai":["a"],"r":["2"]}"#, Some(&["a"]), true, r#"{"q":["1"],"zai":["a"],"r":["2"]}"#),
        (r#"{"zai":["a"],"r":["2"],"Z-AI":["b"]}"#, Some(&["a"]), true, r#"{"zai":["a"],"r":["2"]}"#),
        (r#"{"zai":["a"]}"#, Some(&["b", "a"]), true, r#"{"zai":["b","a"]}"#),
        (r#"{"zai":["a"]}"#, Some(&["a"]), false, r#"{"zai":["a"]}"#),
        (r#"{"zai":["a"]}"#, Some(&[]), true, r#"{"zai":[]}"#),
        (r#"{"q":["1"],"ZAI":["a"],"z.ai":7}"#, None, true, r#"{"q":["1"]}"#),
        (r#"{"q":["1"]}"#, None, false, r#"{"q":["1"]}"#),
    ] {
        let mut document = StoreDocument::parse(&format!(r#"{{"profiles":{{}},"order":{before}}}"#)).unwrap();
        let ids: Option<Vec<ProfileId>> = ids.map(|ids| ids.iter().map(|text| id(text)).collect());
        assert_eq!(document.set_order(&ProviderId::normalise("zai"), ids.as_deref()), changed, "{before} {ids:?}");
        assert_eq!(document.is_changed(), changed);
        let written: Value = serde_json::from_str(&document.to_text(&[]).unwrap()).unwrap();
        assert_eq!(written["order"].to_string(), after);
    }
}

#[test]
fn the_last_success_is_noted_under_the_spelling_that_is_there() {
    let mut document = StoreDocument::parse(r#"{"profiles":{},"lastGood":{"q":"q:1","Z.AI":"a"}}"#).unwrap();
    let written = |document: &StoreDocument| {
        let text: Value = serde_json::from_str(&document.to_text(&[]).unwrap()).unwrap();
        text["lastGood"].to_string()
    };
    document.set_last_good(&ProviderId::normalise("zai"), &id("a"));
    assert!(!document.is_changed());
    document.set_last_good(&ProviderId::normalise("zai"), &id("b"));
    assert!(document.is_changed());
    assert_eq!(written(&document), r#"{"q":"q:1","Z.AI":"b"}"#);
    document.set_last_good(&ProviderId::normalise("New"), &id("n"));
    assert_eq!(written(&document), r#"{"q":"q:1","Z.AI":"b","new":"n"}"#);
}

#[test]
fn fields_are_set_in_place_of_a_profile_that_is_there() {
    let mut document = holding(r#"{"type":"oauth","provider":"p","access":"old","n":1e999}"#);
    assert!(document.set_fields(&id("p:x"), &[("access", json!("new")), ("expires", json!(5))]));
    assert_eq!(entry_of(&document).unwrap(), r#"{"type":"oauth","provider":"p","access":"new","n":1e999,"expires":5}"#);
    let mut other = holding("7");
    assert!(!other.set_fields(&id("p:x"), &[("a", json!(1))]) && !other.set_fields(&id("p:y"), &[("a", json!(1))]));
    assert!(!other.is_changed());
}

#[test]
fn removing_touches_only_what_names_the_profile() {
    let mut document = StoreDocument::parse(
        r#"{"profiles":{"b":{"type":"oauth","provider":"p"}},"order":{"p":[" a ","b"],"q":["b",1],"r":7,"s":[]},
            "lastGood":{"p":"a","q":"b","r":7},"usageStats":{"a":{"errorCount":1},"b":{}}}"#,
    )
    .unwrap();
    // There is no such profile, but traces of one.
    assert!(!document.remove_profile(&id("a")));
    assert!(document.is_changed());
    let left: Value = serde_json::from_str(&document.to_text(&[]).unwrap()).unwrap();
    assert_eq!(left["order"].to_string(), r#"{"p":["b"],"q":["b",1],"r":7}"#);
    assert_eq!(
        (left["lastGood"].to_string(), left["usageStats"].to_string()),
        (r#"{"q":"b","r":7}"#.into(), r#"{"b":{}}"#.into())
    );
    let mut again = StoreDocument::parse(&document.to_text(&[]).unwrap()).unwrap();
    assert!(!again.remove_profile(&id("a")) && !again.is_changed());
}

#[test]
fn an_entry_that_is_not_in_use_is_not_lost_either() {
    let mut document = StoreDocument::parse(UGLY).unwrap();
    assert!(document.remove_profile(&id("bad")));
    let error = document.to_text(&[&id("al")]).unwrap_err();
    assert_eq!(error.to_string(), "the change would drop or alter profile \"bad\"");
    assert!(document.to_text(&[&id("bad")]).is_ok());
    // A credential may take the place of an entry that was none.
    let mut document = StoreDocument::parse(UGLY).unwrap();
    document.put_profile(&id("bad"), &[("type", json!("token")), ("provider", json!("p")), ("token", json!("t"))]);
    assert!(document.to_text(&[&id("bad")]).is_ok());
    assert!(matches!(document.to_text(&[]), Err(StoreEditError::WouldLose(lost)) if lost == "bad"));
    // A profile that is altered counts as lost, unless the change is about it.
    let mut document = StoreDocument::parse(UGLY).unwrap();
    assert!(document.set_fields(&id("al"), &[("apiKey", json!("4"))]));
    assert!(matches!(document.to_text(&[&id("z:b")]), Err(StoreEditError::WouldLose(lost)) if lost == "al"));
    assert!(document.to_text(&[&id("al")]).is_ok());
}

#[test]
fn statistics_are_written_where_they_differ() {
    let text =
        r#"{"profiles":{},"usageStats":{"a":{"later":1.0,"errorCount":2,"lastUsed":5.0,"cooldownUntil":"odd"}}}"#;
    let read = |text: &str| {
        let store = AuthProfiles::parse(text, Owner::Agent).unwrap();
        store.usage(&id("a")).cloned().unwrap_or_default()
    };
    let written = |document: &StoreDocument| {
        let text: Value = serde_json::from_str(&document.to_text(&[]).unwrap()).unwrap();
        text["usageStats"].to_string()
    };
    // What is unreadable goes, what is equal keeps its spelling as far as it is one.
    let mut document = StoreDocument::parse(text).unwrap();
    document.set_usage(&id("a"), &UsageStats { error_count: 3, ..read(text) });
    assert_eq!(written(&document), r#"{"a":{"later":1.0,"errorCount":3,"lastUsed":5}}"#);
    let settled = document.to_text(&[]).unwrap();
    let mut again = StoreDocument::parse(&settled).unwrap();
    again.set_usage(&id("a"), &read(&settled));
    assert!(!again.is_changed());
    let more = UsageStats { cooldown_reason: Some("auth".to_owned()), last_used_ms: None, ..read(&settled) };
    again.set_usage(&id("a"), &more);
    assert!(again.is_changed());
    assert_eq!(written(&again), r#"{"a":{"later":1.0,"errorCount":3,"cooldownReason":"auth"}}"#);
    // A profile without statistics gets some, whatever they say.
    again.set_usage(&id("b"), &UsageStats::default());
    assert_eq!(written(&again), r#"{"a":{"later":1.0,"errorCount":3,"cooldownReason":"auth"},"b":{"errorCount":0}}"#);
}

#[test]
fn legacy_entries_are_usable_after_the_import() {
    let import = |auth: &str| {
        let import = StoreDocument::import_legacy(Some(auth), None).unwrap();
        let text = import.document.to_text(&[]).unwrap();
        let store = AuthProfiles::parse(&text, Owner::Agent).unwrap();
        assert_eq!((store.len(), store.rejected().len()), (import.from_auth, 0), "{auth}");
        let written: Value = serde_json::from_str(&text).unwrap();
        written["profiles"]["a:default"].to_string()
    };
    for (before, after) in [
        // The provider comes after the type, also in the place of a `null`.
        (r#"{"x":1,"type":"api_key","key":"k"}"#, r#"{"x":1,"type":"api_key","provider":"a","key":"k"}"#),
        (r#"{"mode":"token","token":"t"}"#, r#"{"provider":"a","type":"token","token":"t"}"#),
        (r#"{"type":"api_key","provider":null,"key":"k"}"#, r#"{"type":"api_key","provider":"a","key":"k"}"#),
        (r#"{"type":"api_key","provider":"P","key":"k"}"#, r#"{"type":"api_key","provider":"P","key":"k"}"#),
        // Only the expiry of a token that is none goes.
        (r#"{"type":"token","provider":"a","expires":"soon"}"#, r#"{"type":"token","provider":"a"}"#),
        (r#"{"type":"token","provider":"a","expires":1e999}"#, r#"{"type":"token","provider":"a"}"#),
        (r#"{"type":"token","provider":"a","expires":5}"#, r#"{"type":"token","provider":"a","expires":5}"#),
        (
            r#"{"type":"oauth","mode":"token","provider":"a","expires":"soon"}"#,
            r#"{"type":"oauth","mode":"token","provider":"a","expires":"soon"}"#,
        ),
    ] {
        assert_eq!(import(&format!(r#"{{"a":{before}}}"#)), after);
    }
    let none = StoreDocument::import_legacy(Some(r#"{"a":{"type":"api_key","provider":" "}}"#), None).unwrap();
    assert_eq!((none.from_auth, none.rejected, none.document.is_changed()), (0, 1, false));
    for text in ["[]", "{ nope"] {
        assert!(StoreDocument::import_legacy(Some(text), None).is_err());
        assert!(StoreDocument::import_legacy(None, Some(text)).is_err());
    }
}
