//! The secrets of a store: where they stand, how a reference takes their place, and how they are spelled.

use super::tests::{entry_of, holding, id};
use super::*;

#[test]
fn credentials_are_the_entries_that_may_be_one() {
    let document = StoreDocument::parse(
        r#"{"profiles":{"a":{"type":"api_key","provider":"Z.AI"},"b":{"mode":"token","provider":"p"},"c":{"type":"oauth","provider":"p"},
            "d":{"type":"wif","provider":"p"},"e":{"type":"oauth"},"f":7}}"#,
    )
    .unwrap();
    let found: Vec<_> = document
        .credentials()
        .into_iter()
        .map(|(id, kind, provider)| format!("{id} {} {provider}", kind.as_str()))
        .collect();
    assert_eq!(found, ["a api_key zai", "b token p", "c oauth p"]);
}

#[test]
fn the_plaintext_of_a_profile_is_read_beside_a_reference_or_not() {
    use CredentialKind::{ApiKey, Token};
    for (entry, kind, plain) in [
        (r#"{"key":"k","keyRef":{"source":"env","id":"A"}}"#, ApiKey, Some("k")),
        (r#"{"apiKey":"k"}"#, ApiKey, Some("k")),
        (r#"{"key":"k","apiKey":"other"}"#, ApiKey, Some("k")),
        (r#"{"token":"t"}"#, Token, Some("t")),
        (r#"{"token":"t"}"#, ApiKey, None),
        (r#"{"apiKey":"k"}"#, Token, None),
        (r#"{"key":" "}"#, ApiKey, None),
        (r#"{"key":{"source":"env","id":"A"}}"#, ApiKey, None),
        ("7", ApiKey, None),
    ] {
        let found = holding(entry).plaintext(&id("p:x"), kind);
        assert_eq!(found.as_ref().map(Secret::reveal), plain, "{entry}");
    }
    assert!(holding(r#"{"key":"k"}"#).plaintext(&id("p:y"), ApiKey).is_none());
}

#[test]
fn a_reference_takes_the_place_of_the_secret_and_nothing_else() {
    use CredentialKind::{ApiKey, Token};
    const REF: &str = r#"{"source":"env","provider":"default","id":"A"}"#;
    let reference = SecretRef::env("A", &RefDefaults::default());
    // The entry before, kind and provider that are meant, the text that stood there, the entry after.
    for (before, kind, provider, plain, after) in [
        (
            r#"{"type":"api_key","provider":"p","key":"k","x":1.0}"#,
            ApiKey,
            None,
            Some("k"),
            r#"{"type":"api_key","provider":"p","x":1.0,"keyRef":@}"#,
        ),
        (
            r#"{"mode":"api_key","provider":"p","apiKey":"k"}"#,
            ApiKey,
            Some("other"),
            Some("k"),
            r#"{"mode":"api_key","provider":"p","keyRef":@}"#,
        ),
        (
            r#"{"type":"token","provider":"p","tokenRef":{"source":"env","id":"B"},"token":"t","expires":5}"#,
            Token,
            None,
            Some("t"),
            r#"{"type":"token","provider":"p","tokenRef":@,"expires":5}"#,
        ),
        (
            r#"{"type":"token","provider":"p","token":" ","key":"kept"}"#,
            Token,
            None,
            None,
            r#"{"type":"token","provider":"p","key":"kept","tokenRef":@}"#,
        ),
        // The provider comes after the type, where there is one.
        (
            r#"{"x":1,"type":"api_key","provider":" ","key":"k"}"#,
            ApiKey,
            Some("p"),
            Some("k"),
            r#"{"x":1,"type":"api_key","provider":"p","keyRef":@}"#,
        ),
        (
            r#"{"x":1,"mode":"api_key","key":"k"}"#,
            ApiKey,
            Some("p"),
            Some("k"),
            r#"{"provider":"p","x":1,"mode":"api_key","keyRef":@}"#,
        ),
    ] {
        let mut document = holding(before);
        let found = document.set_reference(&id("p:x"), kind, provider, &reference).unwrap();
        assert_eq!((found.as_deref(), document.is_changed()), (plain, true), "{before}");
        assert_eq!(entry_of(&document).unwrap(), after.replace('@', REF));
        // The second time there is nothing to do.
        let mut again = StoreDocument::parse(&document.to_text(&[&id("p:x")]).unwrap()).unwrap();
        assert_eq!(again.set_reference(&id("p:x"), kind, provider, &reference).unwrap(), None);
        assert!(!again.is_changed(), "{before}");
    }
    let mut document = StoreDocument::empty();
    assert_eq!(document.set_reference(&id("p:x"), Token, Some("p"), &reference).unwrap(), None);
    let made = format!(r#"{{"type":"token","provider":"p","tokenRef":{REF}}}"#);
    assert_eq!(entry_of(&document).unwrap(), made);
}

#[test]
fn a_reference_needs_a_profile_of_its_kind_or_a_provider() {
    use CredentialKind::{ApiKey, Token};
    let reference = SecretRef::env("A", &RefDefaults::default());
    for (before, kind, provider, fault) in [
        (
            r#"{"type":"oauth","provider":"p"}"#,
            ApiKey,
            Some("p"),
            "auth profile \"p:x\" type mismatch: it is oauth, not api_key",
        ),
        (
            r#"{"type":"api_key","mode":"token","provider":"p"}"#,
            Token,
            None,
            "auth profile \"p:x\" type mismatch: it is api_key, not token",
        ),
        (r#"{"provider":"p"}"#, Token, None, "auth profile \"p:x\" type mismatch: it is , not token"),
        (r#"{"type":"token","token":"t"}"#, Token, None, "auth profile \"p:x\" does not exist"),
        (r#"{"type":"token","provider":" "}"#, Token, None, "auth profile \"p:x\" does not exist"),
        ("7", Token, None, "auth profile \"p:x\" does not exist"),
    ] {
        let mut document = holding(before);
        let error = document.set_reference(&id("p:x"), kind, provider, &reference).unwrap_err();
        assert!(error.to_string().starts_with(fault), "{error}");
        assert!(!document.is_changed() && entry_of(&document).unwrap() == before);
    }
}

#[test]
fn stripping_a_secret_tells_what_stood_there() {
    use CredentialKind::{ApiKey, Token};
    // The entry before, the text and whether there was a reference, the fields that are left.
    for (before, kind, found, after) in [
        (r#"{"type":"api_key","key":"k","x":1}"#, ApiKey, Some((Some("k"), false)), r#"{"type":"api_key","x":1}"#),
        (r#"{"apiKey":"k"}"#, ApiKey, Some((Some("k"), false)), "{}"),
        (r#"{"keyRef":{"source":"env","id":"A"}}"#, ApiKey, Some((None, true)), "{}"),
        (r#"{"key":"k","keyRef":{"source":"env","id":"A"}}"#, ApiKey, Some((Some("k"), true)), "{}"),
        (r#"{"key":{"source":"env","id":"A"}}"#, ApiKey, Some((None, true)), "{}"),
        // Neither a blank text nor a `null` is a reference.
        (r#"{"key":" "}"#, ApiKey, Some((None, false)), "{}"),
        (r#"{"key":"k","keyRef":null}"#, ApiKey, Some((Some("k"), false)), "{}"),
        (
            r#"{"token":"t","tokenRef":{"source":"env","id":"A"},"key":"k"}"#,
            Token,
            Some((Some("t"), true)),
            r#"{"key":"k"}"#,
        ),
        (r#"{"token":"t"}"#, ApiKey, None, r#"{"token":"t"}"#),
        ("7", ApiKey, None, "7"),
    ] {
        let mut document = holding(before);
        let stripped = document.strip_secret(&id("p:x"), kind);
        let stripped = stripped.as_ref().map(|(plain, reference)| (plain.as_deref(), *reference));
        assert_eq!((stripped, document.is_changed()), (found, found.is_some()), "{before}");
        assert_eq!(entry_of(&document).unwrap(), after);
    }
    assert!(holding("{}").strip_secret(&id("p:y"), ApiKey).is_none());
}

#[test]
fn entries_are_spelled_canonically_where_they_are_in_use() {
    const REF: &str = r#"{"source":"env","provider":"d","id":"A"}"#;
    for (before, after) in [
        (r#"{"mode":"api_key","provider":"p","apiKey":"k"}"#, r#"{"type":"api_key","provider":"p","key":"k"}"#),
        (r#"{"type":"token","mode":"x","provider":"p","token":"t"}"#, ""),
        (r#"{"mode":7,"provider":"p","apiKey":"k"}"#, ""),
        (r#"{"mode":"oauth","provider":"p","access":"a"}"#, r#"{"type":"oauth","provider":"p","access":"a"}"#),
        (r#"{"type":"api_key","provider":"p","key":"k","apiKey":"other"}"#, ""),
        (r#"{"type":"api_key","provider":"p","apiKey":7}"#, ""),
        // Not in use: no provider, or a kind that we do not know.
        (r#"{"mode":"api_key","provider":" ","apiKey":"k"}"#, ""),
        (r#"{"mode":"api_key","apiKey":"k"}"#, ""),
        (r#"{"type":"wif","provider":"p","apiKey":"k"}"#, ""),
        // A reference in the place of the secret moves, one beside it wins.
        (r#"{"type":"api_key","provider":"p","key":@}"#, r#"{"type":"api_key","provider":"p","keyRef":@}"#),
        (r#"{"type":"token","provider":"p","token":@}"#, r#"{"type":"token","provider":"p","tokenRef":@}"#),
        (
            r#"{"type":"token","provider":"p","token":"t","tokenRef":@}"#,
            r#"{"type":"token","provider":"p","tokenRef":@}"#,
        ),
        (r#"{"type":"api_key","provider":"p","key":7,"keyRef":@}"#, r#"{"type":"api_key","provider":"p","keyRef":@}"#),
        // A template is a text like any other here, and what is no reference stays.
        (r#"{"type":"api_key","provider":"p","key":"${A}"}"#, ""),
        (r#"{"type":"api_key","provider":"p","key":"k","keyRef":{"source":"odd"}}"#, ""),
        (r#"{"type":"api_key","provider":"p","key":"k","keyRef":null}"#, ""),
        (r#"{"type":"api_key","provider":"p","key":7}"#, ""),
        (r#"{"type":"oauth","provider":"p","key":@,"keyRef":@}"#, ""),
        ("7", ""),
    ] {
        let before = before.replace('@', REF);
        let after = if after.is_empty() { before.clone() } else { after.replace('@', REF) };
        let text = holding(&before).to_text(&[]).unwrap();
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written["profiles"]["p:x"].to_string(), after, "{before}");
    }
}
