//! Reading a store entry by entry, merging two of them, the legacy files, and what a login must not hold.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> AuthProfiles {
    AuthProfiles::parse(text, Owner::Agent).unwrap()
}

fn profile<'a>(store: &'a AuthProfiles, id: &str) -> &'a Profile {
    store.get(&ProfileId::new(id)).unwrap()
}

#[test]
fn aliases_and_inline_references_are_understood() {
    let store = parse(
        r#"{"profiles": {
                "a": {"mode": "api_key", "provider": "Z.AI", "apiKey": "sk-test-a", "extra": [1.0, 1e999]},
                "b": {"type": "api_key", "provider": "x", "key": {"source": "env", "id": "B"}},
                "c": {"type": "api_key", "provider": "x", "key": 7},
                "d": {"type": "token", "provider": "x", "token": "${TOK}", "expires": "soon"},
                "e": {"type": "token", "provider": "x", "token": "plain", "tokenRef": {"source": "file", "provider": "f", "id": "/a"}}
            }}"#,
    );
    let a = profile(&store, "a");
    assert_eq!((a.provider.as_str(), a.line), ("zai", Some(2)));
    assert_eq!(a.credential.material().unwrap().inline().unwrap().reveal(), "sk-test-a");
    assert_eq!(a.unknown.get("extra").unwrap().get(), "[1.0, 1e999]");
    let reference = |id: &str| profile(&store, id).credential.material().unwrap().reference().map(SecretRef::label);
    assert_eq!(reference("b").as_deref(), Some("ref(env:B)"));
    assert!(!profile(&store, "c").credential.material().unwrap().is_present());
    assert_eq!(reference("d").as_deref(), Some("ref(env:TOK)"));
    assert!(matches!(profile(&store, "d").credential, Credential::Token { expires: Expiry::NotANumber, .. }));
    assert!(matches!(
        profile(&store, "e").credential.material(),
        Some(Material::Reference { shadows_plaintext: true, .. })
    ));
}

#[test]
fn bad_entries_are_rejected_one_by_one() {
    let store = parse(
        "{\"profiles\": {\"s\": \"x\",\n \"t\": {\"type\": \"wif\", \"mode\": \"api_key\", \"provider\": \"x\"},\n\
         \"p\": {\"type\": \"api_key\", \"api_key\": \"x\"}, \"ok\": {\"type\": \"oauth\", \"provider\": \"x\"}}}",
    );
    let rejected: Vec<_> = store.rejected().iter().map(|r| (r.id.as_str(), r.reason.code(), r.line)).collect();
    assert_eq!(
        rejected,
        [("s", "non_object", Some(1)), ("t", "invalid_type", Some(2)), ("p", "missing_provider", Some(3))]
    );
    assert_eq!(store.rejected()[2].misspelt, Some(("api_key".to_owned(), "key")));
    assert_eq!(store.len(), 1);
}

#[test]
fn what_is_no_store() {
    for text in ["", "{ nope", "[]", "7", "{}", r#"{"profiles": []}"#, r#"{"profiles": {}"#] {
        assert!(AuthProfiles::parse(text, Owner::Agent).is_err(), "{text}");
    }
    let error = AuthProfiles::parse("{\n  \"profiles\": \"sk-test-x\" oops}", Owner::Agent).unwrap_err();
    assert!(error.to_string().contains("line 2") && !error.to_string().contains("sk-test"), "{error}");
    let error = AuthProfiles::parse("\"sk-test-naked\"", Owner::Agent).unwrap_err();
    assert!(!error.to_string().contains("sk-test"), "{error}");
    assert!(AuthProfiles::parse("\u{feff}{\"profiles\":{}}", Owner::Agent).is_ok());
}

#[test]
fn the_agents_entries_replace_mains_and_keep_their_place() {
    let main = parse(
        r#"{"version": 1, "profiles": {"a": {"type": "api_key", "provider": "p", "key": "1"}, "b": {"type": "api_key", "provider": "p", "key": "2"}},
                "order": {"P": ["b", "a"]}, "usageStats": {"a": {"errorCount": 3}}}"#,
    )
    .owned_by(Owner::Main);
    let own = parse(
        r#"{"version": 2, "profiles": {"c": {"type": "api_key", "provider": "p", "key": "3"}, "a": {"type": "api_key", "provider": "q", "key": "4"}}}"#,
    );
    let view = AuthProfiles::merged(main, own);
    assert!((view.version - 2.0).abs() < f64::EPSILON);
    let of = |p: &str| view.of_provider(&AuthKey::normalise(p)).map(|x| x.id.as_str()).collect::<Vec<_>>();
    assert_eq!((of("p"), of("q")), (vec!["b", "c"], vec!["a"]));
    assert_eq!(view.order_of(&ProviderId::normalise("p")).unwrap()[0].as_str(), "b");
    assert_eq!(profile(&view, "b").owner, Owner::Main);
    assert_eq!(profile(&view, "a").owner, Owner::Agent);
    assert!(view.usage(&ProfileId::new("a")).is_some());
}

#[test]
fn legacy_files_become_default_profiles() {
    let mut store = AuthProfiles::parse_legacy(
        r#"{"anthropic": {"type": "api_key", "key": "sk-test-a"}, "groq": {"mode": "token", "token": "t"}, "bad": 1}"#,
    )
    .unwrap();
    store
        .add_legacy_oauth(r#"{"anthropic": {"access": "x"}, "chutes": {"type": "api_key", "access": "a", "refresh": "r", "zz": 2}, "s": "x"}"#)
        .unwrap();
    let ids: Vec<_> = store.iter().map(|p| (p.id.as_str(), p.credential.kind().as_str())).collect();
    assert_eq!(ids, [("anthropic:default", "api_key"), ("groq:default", "token"), ("chutes:default", "oauth")]);
    assert_eq!(store.rejected().len(), 1);
    assert!(AuthProfiles::parse_legacy(r#"{"profiles": {}}"#).unwrap().is_empty());
}

proptest! {
    #[test]
    fn never_panics_and_never_quotes_the_text(text in "\\PC{0,60}") {
        let _ = AuthProfiles::parse(&text, Owner::Agent);
        let wrapped = format!("{{\"profiles\": {{\"x\": {text}}}}}");
        let _ = AuthProfiles::parse(&wrapped, Owner::Agent);
    }

    #[test]
    fn unknown_fields_keep_their_text(number in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,12})?(e[+-]?[0-9]{1,3})?") {
        let text = format!(r#"{{"profiles": {{"x": {{"type": "oauth", "provider": "p", "n": {number}}}}}}}"#);
        let store = parse(&text);
        prop_assert_eq!(profile(&store, "x").unknown.get("n").unwrap().get(), number);
    }
}

#[test]
fn ids_are_found_by_their_text_and_count() {
    let key = |provider: &str| format!(r#"{{"type": "api_key", "provider": "{provider}", "key": "k"}}"#);
    let store = parse(&format!(
        r#"{{"profiles": {{"a:b": {}, "c": {}}}, "lastGood": {{"Z.AI": "a:b", "q": 7}}}}"#,
        key("zai"),
        key("q")
    ));
    let ids: HashSet<ProfileId> = store.iter().map(|profile| profile.id.clone()).collect();
    assert!(ids.contains("a:b") && ids.contains("c") && !ids.contains("A:B"));
    assert_eq!((store.len(), store.is_empty()), (2, false));
    assert_eq!((AuthProfiles::default().len(), AuthProfiles::default().is_empty()), (0, true));
    // The spelling of the provider does not matter; what is no id is none.
    let last_good = |provider: &str| store.last_good(&ProviderId::normalise(provider)).map(ProfileId::as_str);
    assert_eq!((last_good("zai"), last_good("q")), (Some("a:b"), None));
}

#[test]
fn debug_output_names_unknown_fields_and_shows_no_value() {
    let store = parse(
        r#"{"profiles": {"a": {"type": "oauth", "provider": "x", "access": "at-test-1", "refresh": "rt-test-1",
            "idToken": "it-test-1", "clientId": "c"}}}"#,
    );
    let found = profile(&store, "a");
    assert_eq!(found.unknown.names().collect::<Vec<_>>(), ["idToken", "clientId"]);
    assert_eq!(format!("{:?}", found.unknown), r#"{"idToken", "clientId"}"#);
    let whole = format!("{store:?}");
    assert!(whole.contains("idToken") && !whole.contains("-test-1"), "{whole}");
}

#[test]
fn a_login_holds_no_reference() {
    let reference = r#"{"source": "env", "provider": "default", "id": "X"}"#;
    let store = parse(&format!(
        r#"{{"profiles": {{
            "login": {{"type": "oauth", "provider": "x", "access": "${{A}}", "refresh": {reference}, "tokenRef": {reference}, "other": {reference}}},
            "plain": {{"type": "oauth", "provider": "x", "access": "at-test", "refresh": "$R"}},
            "key": {{"type": "api_key", "provider": "x", "keyRef": {reference}}},
            "token": {{"type": "token", "provider": "x", "token": "${{T}}"}},
            "inline": {{"type": "token", "provider": "x", "token": "t"}}}}}}"#
    ));
    let fields = |id: &str, mode: Option<CredentialKind>| {
        let text = profile(&store, id).ref_policy_violation(mode)?;
        assert!(text.starts_with(&format!("auth profile {id} policy validation failed:")), "{text}");
        let lines = text.lines().skip(1).map(|line| line.split_once(": SecretRef").unwrap().0.to_owned());
        Some(lines.collect::<Vec<_>>())
    };
    let login = Some(CredentialKind::OAuth);
    let all = ["access", "refresh", "tokenRef"].map(|name| format!("- profiles.login.{name}"));
    for mode in [None, login, Some(CredentialKind::ApiKey)] {
        assert_eq!(fields("login", mode).unwrap(), all);
        assert_eq!(fields("plain", mode), None);
        assert_eq!(fields("inline", mode), None);
    }
    // Other kinds may hold one, unless the config takes them for a login.
    for id in ["key", "token"] {
        for mode in [None, Some(CredentialKind::ApiKey), Some(CredentialKind::Token)] {
            assert_eq!(fields(id, mode), None, "{id} {mode:?}");
        }
    }
    assert_eq!(fields("key", login).unwrap(), ["- profiles.key.keyRef"]);
    assert_eq!(fields("token", login).unwrap(), ["- profiles.token.tokenRef"]);
    let text = profile(&store, "key").ref_policy_violation(login).unwrap();
    assert!(text.contains("auth.profiles.key.mode is \"oauth\""), "{text}");
}

#[test]
fn two_readings_are_the_same_when_every_field_is() {
    // Each list: an entry and what must not be taken for it.
    for entries in [
        &[
            r#"{"type": "api_key", "provider": "x", "key": "k1", "extra": 1}"#,
            r#"{"type": "api_key", "provider": "x", "key": "k2", "extra": 1}"#,
            r#"{"type": "api_key", "provider": "x", "extra": 1}"#,
            r#"{"type": "api_key", "provider": "X", "key": "k1", "extra": 1}"#,
            r#"{"type": "api_key", "provider": "x", "key": "k1"}"#,
            r#"{"type": "api_key", "provider": "x", "key": "k1", "extra": 1, "email": "e"}"#,
            r#"{"type": "api_key", "provider": "x", "key": "k1", "extra": 1, "displayName": "n"}"#,
            r#"{"type": "token", "provider": "x", "token": "k1", "extra": 1}"#,
        ][..],
        &[
            r#"{"type": "token", "provider": "x", "token": "t1", "expires": 5}"#,
            r#"{"type": "token", "provider": "x", "token": "t2", "expires": 5}"#,
            r#"{"type": "token", "provider": "x", "token": "t1", "expires": 6}"#,
            r#"{"type": "token", "provider": "x", "token": "t1"}"#,
            r#"{"type": "token", "provider": "x", "token": "${T}", "expires": 5}"#,
        ],
        &[
            r#"{"type": "api_key", "provider": "x", "key": "${A}"}"#,
            r#"{"type": "api_key", "provider": "x", "key": "${B}"}"#,
        ],
        &[
            r#"{"type": "oauth", "provider": "x", "access": "a", "refresh": "r", "expires": 5}"#,
            r#"{"type": "oauth", "provider": "x", "access": "b", "refresh": "r", "expires": 5}"#,
            r#"{"type": "oauth", "provider": "x", "access": "a", "refresh": "s", "expires": 5}"#,
            r#"{"type": "oauth", "provider": "x", "access": "a", "expires": 5}"#,
            r#"{"type": "oauth", "provider": "x", "access": "a", "refresh": "r", "expires": 6}"#,
        ],
    ] {
        let read = |entry: &str| profile(&parse(&format!(r#"{{"profiles": {{"p": {entry}}}}}"#)), "p").clone();
        for (at, other) in entries.iter().enumerate() {
            assert_eq!(read(entries[0]).holds_the_same(&read(other)), at == 0, "{other}");
            assert!(read(other).holds_the_same(&read(other)), "{other}");
        }
    }
    // The canonical spelling of an entry is the same entry.
    let read = |entry: &str| profile(&parse(&format!(r#"{{"profiles": {{"p": {entry}}}}}"#)), "p").clone();
    let old = read(r#"{"mode": "api_key", "provider": "x", "apiKey": "k", "keyRef": null}"#);
    assert!(old.holds_the_same(&read(r#"{"type": "api_key", "provider": "x", "key": "k"}"#)));
}

#[test]
fn legacy_entries_take_the_provider_of_their_key() {
    let store = AuthProfiles::parse_legacy(
        r#"{"a": {"type": "api_key", "key": "k"}, "b": {"type": "api_key", "provider": null, "key": "k"},
            "c": {"type": "api_key", "provider": "Z.AI", "key": "k"}, "d": {"type": "api_key", "provider": " ", "key": "k"},
            "e": {"type": "token", "token": "t", "expires": "soon"}, "f": {"type": "token", "token": "t", "expires": 5}}"#,
    )
    .unwrap();
    let of = |id: &str| store.get(&ProfileId::new(id)).map(|profile| &*profile.provider_as_stored);
    assert_eq!(
        ["a:default", "b:default", "c:default", "d:default"].map(of),
        [Some("a"), Some("b"), Some("Z.AI"), None]
    );
    let rejected: Vec<_> = store.rejected().iter().map(|entry| (entry.id.as_str(), entry.reason)).collect();
    assert_eq!(rejected, [("d:default", RejectReason::MissingProvider)]);
    let expires = |id: &str| match &profile(&store, id).credential {
        Credential::Token { expires, .. } => *expires,
        other => panic!("{other:?}"),
    };
    assert_eq!((expires("e:default"), expires("f:default")), (Expiry::Absent, Expiry::At(5.0)));
    assert!(store.iter().all(|profile| profile.file == ProfileFile::LegacyAuth));
    assert_eq!(store.version.to_string(), "1");
    // In a store of today there is no key to take it from.
    let today = parse(r#"{"profiles": {"a:default": {"type": "api_key", "provider": null, "key": "k"}}}"#);
    assert_eq!(today.rejected()[0].reason, RejectReason::MissingProvider);
}

#[test]
fn legacy_logins_are_logins_of_their_key_whatever_they_say() {
    let mut store = AuthProfiles::default();
    let text = r#"{"chutes": {"type": "api_key", "provider": "other", "mode": "token", "access": "at-test", "refresh": "rt-test",
        "expires": 7, "zz": 2}, " ": {"access": "a"}, "s": "x"}"#;
    store.add_legacy_oauth(text).unwrap();
    assert_eq!(store.len(), 1);
    let login = profile(&store, "chutes:default");
    assert_eq!((login.provider.as_str(), login.file), ("chutes", ProfileFile::LegacyOAuth));
    assert_eq!(login.unknown.names().collect::<Vec<_>>(), ["zz"]);
    match &login.credential {
        Credential::OAuth { access: Some(access), refresh: Some(refresh), expires } => {
            assert_eq!((access.reveal(), refresh.reveal(), *expires), ("at-test", "rt-test", Expiry::At(7.0)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn expiries_are_finite_numbers() {
    for (written, expected) in [
        ("5", Expiry::At(5.0)),
        ("-1.5", Expiry::At(-1.5)),
        ("1e999", Expiry::NotANumber),
        ("-1e999", Expiry::NotANumber),
        ("null", Expiry::NotANumber),
        ("\"5\"", Expiry::NotANumber),
    ] {
        let store = parse(&format!(
            r#"{{"profiles": {{"p": {{"type": "token", "provider": "x", "token": "t", "expires": {written}}}}}}}"#
        ));
        let Credential::Token { expires, .. } = profile(&store, "p").credential else { panic!("no token") };
        assert_eq!(expires, expected, "{written}");
    }
}

#[test]
fn a_reference_without_a_provider_means_that_of_the_config() {
    let defaults = RefDefaults { env: Some("vault".to_owned()), ..RefDefaults::default() };
    for (fields, resolved, shadows) in [
        (r#""keyRef": {"source": "env", "id": "A"}"#, Some("env:vault:A"), false),
        (r#""keyRef": {"source": "env", "provider": "own", "id": "A"}, "key": "k""#, Some("env:own:A"), true),
        (r#""keyRef": {"source": "env", "provider": "own", "id": "A"}, "key": " ""#, Some("env:own:A"), false),
        (r#""key": "${A}""#, Some("env:vault:A"), false),
        (r#""keyRef": "${A}", "key": "${B}""#, Some("env:vault:A"), true),
        (r#""keyRef": null, "key": "${B}""#, Some("env:vault:B"), false),
        (r#""keyRef": {"source": "odd"}, "key": "${B}""#, Some("env:vault:B"), false),
        // An object in the place of the key was always moved with the usual name.
        (r#""key": {"source": "env", "id": "A"}"#, Some("env:default:A"), false),
        (r#""key": "k""#, None, false),
    ] {
        let store = parse(&format!(r#"{{"profiles": {{"p": {{"type": "api_key", "provider": "x", {fields}}}}}}}"#));
        let material = profile(&store, "p").credential.material().unwrap().clone();
        let found = material.resolved_reference(&defaults).map(|reference| reference.to_string());
        assert_eq!(found.as_deref(), resolved, "{fields}");
        assert_eq!(matches!(material, Material::Reference { shadows_plaintext: true, .. }), shadows, "{fields}");
    }
}

#[test]
fn a_rejected_entry_names_the_field_that_was_meant() {
    for (written, meant) in [
        ("api-key", Some("key")),
        ("API_KEY", Some("key")),
        ("Key", Some("key")),
        ("Type", Some("type")),
        ("kind", Some("type")),
        ("Provider", Some("provider")),
        ("provider_id", Some("provider")),
        ("Token", Some("token")),
        ("access_token", Some("token")),
        // Known as they are.
        ("apiKey", None),
        ("mode", None),
        ("key", None),
        ("metadata", None),
    ] {
        let store = parse(&format!(r#"{{"profiles": {{"p": {{"{written}": "x"}}}}}}"#));
        let expected = meant.map(|meant| (written.to_owned(), meant));
        assert_eq!(store.rejected()[0].misspelt, expected, "{written}");
    }
}

#[test]
fn a_replaced_profile_keeps_its_place_among_those_of_its_provider() {
    let entry =
        |provider: &str, key: &str| format!(r#"{{"type": "api_key", "provider": "{provider}", "key": "{key}"}}"#);
    let main = parse(&format!(
        r#"{{"profiles": {{"a": {0}, "b": {0}, "c": {1}, "d": {0}}}}}"#,
        entry("p", "main"),
        entry("q", "main")
    ));
    // b stays with its provider, c comes over from another one.
    let own = parse(&format!(r#"{{"profiles": {{"c": {0}, "b": {0}}}}}"#, entry("P", "own")));
    let view = AuthProfiles::merged(main, own);
    let of = |provider: &str| {
        let provider = AuthKey::normalise(provider);
        view.of_provider(&provider)
            .map(|profile| (profile.id.as_str(), profile.credential.material().unwrap().inline().unwrap().reveal()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("p"), [("a", "main"), ("b", "own"), ("c", "own"), ("d", "main")]);
    assert_eq!(of("q"), []);
}
