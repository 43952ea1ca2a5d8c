//! What the commands that write the config do to it (spec 02 section 17, spec 04 sections 1.4 and 1.5).

use super::*;

#[test]
fn patches_add_and_keep() {
    let mut root = json!({"a": {"x": 1, "list": [1, 2]}, "b": 2});
    merge_patch(&mut root, &json!({"a": {"y": {"z": 1}, "list": [3]}, "b": {"c": 1}})).unwrap();
    assert_eq!(root, json!({"a": {"x": 1, "list": [3], "y": {"z": 1}}, "b": {"c": 1}}));
}

#[test]
fn patches_set_no_name_that_means_more() {
    for name in ["__proto__", "constructor", "prototype"] {
        // Wherever it stands: at the top, in something new, in an object, in what becomes one.
        for (root, place) in [
            (json!({}), None),
            (json!(null), None),
            (json!({}), Some("n")),
            (json!({"n": {}}), Some("n")),
            (json!({"n": 1}), Some("n")),
        ] {
            let inner = json!({name: {"x": 1}});
            let patch = place.map_or(inner.clone(), |place| json!({place: inner}));
            let mut merged = root.clone();
            assert_eq!(
                merge_patch(&mut merged, &patch),
                Err(format!("a config patch may not set {name}")),
                "{patch} into {root}"
            );
        }
    }
}

#[test]
fn a_primary_keeps_the_fallbacks_and_is_allowed() {
    let mut root = json!({"agents": {"defaults": {"model": {"primary": "openai/gpt-5.4", "fallbacks": ["mistral/m"]}, "models": {"groq/x": {"alias": "Fast"}}}}});
    assert_eq!(set_primary(&mut root, ModelSlot::Text, "fast").unwrap(), "groq/x");
    set_primary(&mut root, ModelSlot::Image, "google/gemini-3-pro").unwrap();
    assert_eq!(
        root,
        json!({"agents": {"defaults": {
        "model": {"primary": "groq/x", "fallbacks": ["mistral/m"]}, "imageModel": {"primary": "google/gemini-3-pro-preview"},
        "models": {"groq/x": {"alias": "Fast"}, "google/gemini-3-pro-preview": {}}}}})
    );
    assert_eq!(set_primary(&mut root, ModelSlot::Text, "foo/").unwrap_err(), "Invalid model reference: foo/");
    let mut text =
        json!({"agents": {"defaults": {"model": "a/b", "models": {"openrouter/openrouter/auto": {"x": 1}}}}});
    set_primary(&mut text, ModelSlot::Text, "openrouter/auto").unwrap();
    assert_eq!(
        text["agents"]["defaults"],
        json!({"model": {"primary": "openrouter/auto"}, "models": {"openrouter/auto": {"x": 1}}})
    );
}

#[test]
fn fallbacks_come_and_go_by_what_they_mean() {
    let mut root = json!({"agents": {"defaults": {"model": {"fallbacks": ["z.ai/glm-5", "opus-x"]}}}});
    add_fallback(&mut root, ModelSlot::Text, "zai/glm-5").unwrap();
    assert_eq!(root["agents"]["defaults"]["model"]["fallbacks"], json!(["z.ai/glm-5", "opus-x"]));
    add_fallback(&mut root, ModelSlot::Text, "groq/y").unwrap();
    remove_fallback(&mut root, ModelSlot::Text, "zai/glm-5").unwrap();
    assert_eq!(root["agents"]["defaults"]["model"]["fallbacks"], json!(["opus-x", "groq/y"]));
    assert_eq!(remove_fallback(&mut root, ModelSlot::Image, "a/b").unwrap_err(), "Image fallback not found: a/b");
    clear_fallbacks(&mut root, ModelSlot::Text);
    assert_eq!(root["agents"]["defaults"]["model"]["fallbacks"], json!([]));
}

#[test]
fn aliases_stand_for_one_model() {
    let mut root = json!({});
    add_alias(&mut root, " fast ", "groq/x").unwrap();
    assert_eq!(add_alias(&mut root, "FAST", "xai/grok-4").unwrap_err(), "Alias FAST already points to groq/x.");
    // The same alias may be set again, and another model may have another one.
    add_alias(&mut root, "Fast", "groq/x").unwrap();
    add_alias(&mut root, "slow", "xai/grok-4").unwrap();
    assert_eq!(
        root["agents"]["defaults"]["models"],
        json!({"groq/x": {"alias": "Fast"}, "xai/grok-4": {"alias": "slow"}})
    );
    assert!(
        add_alias(&mut root, "a b", "x/y").unwrap_err().starts_with("Alias must use")
            && add_alias(&mut root, " ", "x/y").is_err()
    );
    remove_alias(&mut root, "Fast").unwrap();
    assert_eq!(root["agents"]["defaults"]["models"], json!({"groq/x": {}, "xai/grok-4": {"alias": "slow"}}));
    assert_eq!(remove_alias(&mut root, "fast").unwrap_err(), "Alias not found: fast");
}

#[test]
fn registering_a_profile_keeps_the_order_in_step() {
    let register = |root: &mut Value, id: &str, mode| {
        register_profile(root, &ProfileId::new(id), "p", mode, ProfileLabels::default(), true);
    };
    let mut root = json!({});
    register(&mut root, "p:a", CredentialKind::Token);
    assert_eq!(root, json!({"auth": {"profiles": {"p:a": {"provider": "p", "mode": "token"}}}}));
    register(&mut root, "p:b", CredentialKind::ApiKey);
    assert_eq!(root["auth"]["order"], json!({"p": ["p:b", "p:a"]}));
    root["auth"]["order"] = json!({"P": ["p:a", "gone"], "p": ["p:b", "p:a"], "q": ["x"]});
    register(&mut root, "p:c", CredentialKind::ApiKey);
    assert_eq!(root["auth"]["order"], json!({"p": ["p:c", "p:a", "gone", "p:b"], "q": ["x"]}));
    forget_profile(&mut root, &ProfileId::new("x"));
    assert_eq!(root["auth"]["order"], json!({"p": ["p:c", "p:a", "gone", "p:b"]}));
    for id in ["p:a", "p:b", "p:c", "gone"] {
        forget_profile(&mut root, &ProfileId::new(id));
    }
    assert_eq!(root, json!({"auth": {}}));
}

/// Spec 04 section 1.5 step 3: without `prefer_first` a profile goes to the end of an order that is there, once.
#[test]
fn a_profile_that_is_not_preferred_goes_to_the_end() {
    for (order, wanted) in [
        (json!({"p": ["p:a"]}), json!({"p": ["p:a", "p:c"]})),
        (json!({"p": ["p:c", "p:a"]}), json!({"p": ["p:c", "p:a"]})),
        (json!({"p": []}), json!({"p": ["p:c"]})),
        (json!({"q": ["x"]}), json!({"q": ["x"]})),
    ] {
        let mut root = json!({"auth": {"profiles": {"p:a": {"provider": "p", "mode": "token"}}, "order": order}});
        let labels = ProfileLabels { email: Some("m@x.example"), display_name: Some("M") };
        register_profile(&mut root, &ProfileId::new("p:c"), "p", CredentialKind::ApiKey, labels, false);
        assert_eq!(root["auth"]["order"], wanted);
        assert_eq!(
            root["auth"]["profiles"]["p:c"],
            json!({"provider": "p", "mode": "api_key", "email": "m@x.example", "displayName": "M"})
        );
    }
}
