use super::*;
use proptest::prelude::*;
use serde_json::json;

fn plan(targets: &Value, more: Value) -> Plan {
    let mut root = json!({"version": 1, "protocolVersion": 1, "targets": targets});
    if let (Some(root), Value::Object(more)) = (root.as_object_mut(), more) {
        root.extend(more);
    }
    Plan::from_value(&root).unwrap()
}

fn key_of(provider: &str) -> Value {
    json!({"type": "models.providers.apiKey", "path": format!("models.providers.{provider}.apiKey"),
        "ref": {"source": "env", "provider": "default", "id": "A_KEY"}})
}

fn profile(id: &str, provider: Option<&str>) -> Value {
    let mut target = json!({"type": "auth-profiles.api_key.key", "path": format!("profiles.{id}.key"), "agentId": "main",
        "ref": {"source": "env", "provider": "default", "id": "A_KEY"}});
    if let Some(provider) = provider {
        target["authProfileProvider"] = json!(provider);
    }
    target
}

#[test]
fn references_take_the_place_of_keys() {
    let config = json!({"models": {"providers": {"acme": {"apiKey": " sk-test-old ", "baseUrl": "x"}}}, "secrets": {"providers": {"old": {"source": "env"}}}});
    let plan = plan(
        &json!([key_of("acme")]),
        json!({"providerDeletes": ["old"], "providerUpserts": {"v": {"source": "env"}}}),
    );
    let done = project_config(&config, &plan).unwrap();
    assert_eq!(done.document["models"]["providers"]["acme"]["apiKey"]["id"], "A_KEY");
    assert_eq!(done.document["secrets"], json!({"providers": {"v": {"source": "env"}}}));
    assert_eq!((done.replaced[0].reveal(), done.providers[0].as_str()), ("sk-test-old", "acme"));
    // Once more changes nothing, and a reference is no secret to clean up.
    let again = project_config(&done.document, &plan).unwrap();
    assert!(again.document == done.document && again.replaced.is_empty());
}

#[test]
fn only_secrets_are_replaced_secrets() {
    for (old, replaced) in [
        (json!(" sk-test-old "), Some("sk-test-old")),
        // An escaped template is a literal; what is no name needs no escape.
        (json!("sk-$${NAME}-$${x"), Some("sk-${NAME}-$${x")),
        (json!(" "), None),
        (json!("${NAME}"), None),
        (json!("secretref-managed"), None),
        (json!(" OPENAI_API_KEY "), None),
        (json!({"source": "env", "id": "A"}), None),
        (Value::Null, None),
    ] {
        let config = json!({"models": {"providers": {"acme": {"apiKey": old}}}});
        let done = project_config(&config, &plan(&json!([key_of("acme")]), json!({}))).unwrap();
        assert_eq!(done.document["models"]["providers"]["acme"]["apiKey"]["id"], "A_KEY");
        assert_eq!(done.replaced.iter().map(Secret::reveal).collect::<Vec<_>>(), Vec::from_iter(replaced), "{config}");
    }
}

#[test]
fn only_keys_make_other_credentials_of_a_provider_superfluous() {
    let config = json!({"models": {"providers": {"acme": {}, "ACME": {}, "beta": {}}}});
    let header = json!({"type": "models.providers.headers", "path": "models.providers.beta.headers.X",
        "ref": key_of("beta")["ref"]});
    let plan = plan(&json!([key_of("acme"), header, key_of("ACME")]), json!({}));
    let done = project_config(&config, &plan).unwrap();
    assert_eq!(done.providers, [ProviderId::normalise("acme")]);
    assert_eq!(done.document["models"]["providers"]["beta"]["headers"]["X"]["id"], "A_KEY");
}

#[test]
fn a_plan_moves_the_secret_that_it_was_made_for_and_no_other() {
    let (made_for, other) = (Secret::new("sk-test-a").fingerprint(), Secret::new("sk-test-b").fingerprint());
    for (held, fits) in [("sk-test-a", true), ("${A_KEY}", true), ("sk-test-b", false)] {
        let wanted = [format!("another secret ({other})"), format!("when the plan was made ({made_for})")];
        let mut target = key_of("acme");
        target["fingerprint"] = json!(made_for.to_string());
        let config = json!({"models": {"providers": {"acme": {"apiKey": held}}}});
        let done = project_config(&config, &plan(&json!([target]), json!({})));
        match done {
            Ok(_) => assert!(fits),
            Err(why) => {
                assert!(!fits && why.starts_with("models.providers.acme.apiKey holds"), "{why}");
                assert!(wanted.iter().all(|words| why.contains(words)), "{why}");
            }
        }
        let mut target = profile("acme:a", None);
        target["fingerprint"] = json!(made_for.to_string());
        let text = json!({"profiles": {"acme:a": {"type": "api_key", "provider": "acme", "key": held}}}).to_string();
        let mut store = StoreDocument::parse(&text).unwrap();
        match project_store(&mut store, &plan(&json!([target]), json!({})), &[AgentId::main()], &[]) {
            Ok(_) => assert!(fits),
            Err(why) => {
                let why = why.to_string();
                assert!(!fits && why.contains("acme:a") && wanted.iter().all(|words| why.contains(words)), "{why}");
            }
        }
    }
}

#[test]
fn variables_are_found_wherever_they_are_named() {
    let config = json!({
        "gateway": {"auth": {"token": "a ${IN_TEXT} b ${AND_MORE}", "password": "$${ESCAPED} ${lower}"}},
        "list": [{"source": "env", "provider": "default", "id": " IN_LIST "}, {"source": "file", "id": "IN_FILE"}],
        "models": {"providers": {"acme": {"apiKey": " OPENAI_API_KEY ", "name": "MY_OWN_THING"}}},
        "secrets": {"providers": {"v": {"source": "exec", "passEnv": ["PASSED", 7], "env": {"A": "${SET}"}}}},
    });
    let found: Vec<String> = variables_named(&config).into_iter().collect();
    assert_eq!(found, ["AND_MORE", "IN_LIST", "IN_TEXT", "OPENAI_API_KEY", "PASSED", "SET"]);
}

#[test]
fn references_are_listed_with_their_places() {
    let config = json!({"models": {"providers": {"acme": {"apiKey": {"source": "file", "id": "/a"},
        "headers": {"X": "${H}", "Y": "plain"}}}}, "gateway": {"auth": {"token": "${G}"}}});
    let defaults = RefDefaults { file: Some("main".to_owned()), ..RefDefaults::default() };
    let found: Vec<_> = config_references(&config, &defaults).iter().map(|(at, r)| format!("{at} {r}")).collect();
    assert_eq!(found, ["models.providers.acme.apiKey file:main:/a", "models.providers.acme.headers.X env:default:H"]);
}

#[test]
fn targets_need_their_provider_and_objects_on_the_way() {
    let known = json!({"models": {"providers": {"acme": {"headers": "text"}}}});
    let error = project_config(&known, &plan(&json!([key_of("other")]), json!({}))).unwrap_err();
    assert!(error.contains("models.providers.other is not defined"), "{error}");
    let header = json!([{"type": "models.providers.headers", "path": "models.providers.acme.headers.X", "ref": key_of("a")["ref"]}]);
    assert!(
        project_config(&known, &plan(&header, json!({})))
            .unwrap_err()
            .contains("Invalid path shape at models.providers.acme.headers")
    );
    let removed = json!({"secrets": {"providers": {"v": {"source": "env"}}}, "x": 1});
    let plan = plan(&json!([]), json!({"providerDeletes": ["v"]}));
    assert_eq!(project_config(&removed, &plan).unwrap().document, json!({"x": 1}));
}

#[test]
fn stores_get_references_and_lose_what_a_provider_key_makes_superfluous() {
    let text = r#"{"version":1,"profiles":{"acme:a":{"type":"api_key","provider":"acme","key":"sk-test-a","email":"e"},
        "acme:b":{"type":"token","provider":"ACME","token":"tok-test-b"},"acme:o":{"type":"oauth","provider":"acme","access":"x"},
        "acme:r":{"type":"api_key","provider":"acme","keyRef":{"source":"env","id":"R"}},"beta:a":{"type":"api_key","provider":"beta","key":"sk-test-c"}}}"#;
    let mut store = StoreDocument::parse(text).unwrap();
    let plan = plan(&json!([profile("acme:a", None), profile("new:x", Some("new"))]), json!({}));
    let done = project_store(&mut store, &plan, &[AgentId::main()], &[ProviderId::normalise("acme")]).unwrap();
    let touched: Vec<&ProfileId> = done.touched.iter().collect();
    let after: Value = serde_json::from_str(&store.to_text(&touched).unwrap()).unwrap();
    let reference = json!({"source": "env", "provider": "default", "id": "A_KEY"});
    assert_eq!(
        after["profiles"],
        json!({"acme:a": {"type": "api_key", "provider": "acme", "email": "e", "keyRef": reference},
            "acme:b": {"type": "token", "provider": "ACME"}, "acme:o": {"type": "oauth", "provider": "acme", "access": "x"},
            "acme:r": {"type": "api_key", "provider": "acme"}, "beta:a": {"type": "api_key", "provider": "beta", "key": "sk-test-c"},
            "new:x": {"type": "api_key", "provider": "new", "keyRef": reference}})
    );
    assert_eq!(done.replaced.iter().map(Secret::reveal).collect::<Vec<_>>(), ["sk-test-a", "tok-test-b"]);
    assert_eq!((done.emptied_refs[0].as_str(), done.logins[0].as_str()), ("acme:r", "acme:o"));
}

#[test]
fn stores_lose_only_what_the_plan_says() {
    let text = r#"{"version":1,"profiles":{"acme:t":{"type":"api_key","provider":"acme","key":"${A_KEY}"},
        "acme:k":{"type":"api_key","provider":"acme","key":"sk-test-a"},"acme:e":{"type":"token","provider":"acme"}}}"#;
    let acme = [ProviderId::normalise("acme")];
    let ids = |ids: &[ProfileId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    // An inline template is a reference that goes; an empty profile loses nothing.
    let mut store = StoreDocument::parse(text).unwrap();
    let done = project_store(&mut store, &plan(&json!([]), json!({})), &[AgentId::main()], &acme).unwrap();
    assert_eq!(
        (ids(&done.emptied_refs), ids(&done.touched)),
        (vec!["acme:t".to_owned()], vec!["acme:t".to_owned(), "acme:k".to_owned()])
    );
    assert_eq!(done.replaced.iter().map(Secret::reveal).collect::<Vec<_>>(), ["sk-test-a"]);
    // Nothing when that is not wanted, and nothing of the targets of other agents.
    let kept =
        plan(&json!([profile("acme:k", None)]), json!({"options": {"scrubAuthProfilesForProviderTargets": false}}));
    let done =
        project_store(&mut StoreDocument::parse(text).unwrap(), &kept, &[AgentId::normalise("ops")], &acme).unwrap();
    assert!(done.touched.is_empty() && done.replaced.is_empty());
}

#[test]
fn targets_must_fit_their_profile() {
    let text = r#"{"profiles":{"a":{"type":"token","provider":"p","token":"t"},"o":{"type":"oauth","provider":"p"}}}"#;
    for (target, words) in [
        (profile("a", None), "type mismatch"),
        (profile("o", None), "type mismatch"),
        (profile("missing", None), "without authProfileProvider"),
    ] {
        let mut store = StoreDocument::parse(text).unwrap();
        let error = project_store(&mut store, &plan(&json!([target]), json!({})), &[AgentId::main()], &[]).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn legacy_keys_go_only_when_they_were_moved() {
    let document = json!({"acme": {"type": "api_key", "key": "k1"}, "zeta": {"type": "api_key", "key": "only-here"},
        "twin": {"type": "api_key", "key": "sk-test-moved"}, "o": {"type": "oauth", "access": "a"}});
    let done = project_legacy(&document, &[ProviderId::normalise("acme")], &[Secret::new("sk-test-moved")]);
    assert_eq!(
        done.document,
        Some(json!({"zeta": {"type": "api_key", "key": "only-here"}, "o": {"type": "oauth", "access": "a"}}))
    );
    assert_eq!(done.kept, ["zeta"]);
    assert!(project_legacy(&json!([]), &[], &[]).document.is_none());
    let blank = json!({"acme": {"type": "api_key", "key": " "}, "beta": {"type": "token", "key": "k"}});
    let done = project_legacy(&blank, &["acme", "beta"].map(ProviderId::normalise), &[]);
    assert!(done.document.is_none() && done.kept.is_empty());
}

#[test]
fn secrets_are_found_as_json_writes_them() {
    let secrets = [Secret::new("sk-test-\"quoted\""), Secret::new("tiny")];
    assert!(holds_secret(r#"{"a": "sk-test-\"quoted\""}"#, &secrets) && holds_secret("k: 'tiny'", &secrets));
    assert!(!holds_secret("destiny", &secrets));
    // Eight characters are enough to be found within a text.
    for (secret, found) in [("12345678", true), ("1234567", false)] {
        assert_eq!(holds_secret(&format!("a{secret}b"), &[Secret::new(secret)]), found);
        assert!(holds_secret(&format!("k: \"{secret}\""), &[Secret::new(secret)]));
    }
}

proptest! {
    #[test]
    fn a_plan_applied_twice_is_a_plan_applied_once(
        keys in proptest::collection::btree_map("[a-c]", proptest::option::of("[a-z]{1,6}"), 1..4),
        targets in proptest::collection::vec("[a-d]", 0..4),
    ) {
        let config = json!({"models": {"providers": keys.iter().map(|(id, key)| (id.clone(), json!({"baseUrl": "x", "apiKey": key.clone().unwrap_or_default()}))).collect::<Map<_, _>>()}});
        let plan = plan(&targets.iter().map(|id| key_of(id)).collect::<Value>(), json!({}));
        if let Ok(once) = project_config(&config, &plan) {
            let twice = project_config(&once.document, &plan).unwrap();
            prop_assert_eq!(&twice.document, &once.document);
            prop_assert!(twice.replaced.is_empty());
        }
    }
}
