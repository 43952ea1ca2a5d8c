use super::*;
use proptest::prelude::*;
fn with(target: &Value) -> Result<Plan, String> {
    Plan::from_value(&json!({"version": 1, "protocolVersion": 1, "targets": [target]}))
        .map_err(|fault| fault.to_string())
}

fn key(more: Value) -> Value {
    let mut target = json!({"type": "models.providers.apiKey", "path": "models.providers.acme.apiKey",
        "ref": {"source": "env", "provider": "default", "id": "ACME_KEY"}});
    if let (Some(target), Value::Object(more)) = (target.as_object_mut(), more) {
        target.extend(more);
    }
    target
}

#[test]
fn a_good_plan_is_read() {
    let plan = with(&key(json!({"providerId": "acme", "unknown": 1, "pathSegments": []}))).unwrap();
    assert_eq!(plan.scrub, ScrubOptions { env: true, profiles: true, legacy_auth: true });
    assert!(matches!(&plan.targets[0].place, PlanPlace::Config { provider, .. } if provider == "acme"));
    let dotted = key(
        json!({"path": "models.providers.a.b.apiKey", "pathSegments": ["models", "providers", " a.b ", "apiKey", " "]}),
    );
    assert!(
        matches!(&with(&dotted).unwrap().targets[0].place, PlanPlace::Config { provider, .. } if provider == "a.b")
    );
    let profile = json!({"type": "auth-profiles.token.token", "path": "profiles.x:y.token", "agentId": "Ops Team",
        "authProfileProvider": "x", "ref": {"source": "exec", "provider": "v", "id": "a/b"}});
    let plan = with(&profile).unwrap();
    let again = Plan::from_value(&plan.to_value("now", "test")).unwrap();
    assert_eq!(again.targets[0].place, plan.targets[0].place);
    assert!(plan.uses_exec());
    assert_eq!(
        plan.targets[0].place,
        PlanPlace::Profile {
            agent: AgentId::normalise("ops-team"),
            id: ProfileId::new("x:y"),
            kind: CredentialKind::Token,
            provider: Some("x".to_owned())
        }
    );
}

#[test]
fn a_plan_is_written_as_it_is_read() {
    let reference = json!({"source": "env", "provider": "default", "id": "ACME_KEY"});
    let targets = json!([
        {"type": "models.providers.apiKey", "path": "models.providers.a.b.apiKey",
            "pathSegments": ["models", "providers", "a.b", "apiKey"], "ref": reference, "providerId": "a.b"},
        {"type": "auth-profiles.api_key.key", "path": "profiles.x:y.key", "pathSegments": ["profiles", "x:y", "key"],
            "ref": reference, "agentId": "ops-team", "authProfileProvider": "x", "fingerprint": "sha256:0a"},
        {"type": "auth-profiles.token.token", "path": "profiles.x.token", "pathSegments": ["profiles", "x", "token"],
            "ref": reference, "agentId": "main"},
    ]);
    let options = json!({"scrubEnv": false, "scrubAuthProfilesForProviderTargets": true, "scrubLegacyAuthJson": false});
    // All there is, and as little as there may be: text, so that the order counts.
    for (upserts, deletes) in [(json!({"v": {"source": "env"}}), json!(["a", "b"])), (Value::Null, Value::Null)] {
        let mut wanted = json!({"version": 1, "protocolVersion": 1, "generatedAt": "now", "generatedBy": "test",
            "targets": targets, "providerUpserts": upserts, "providerDeletes": deletes, "options": options});
        wanted.as_object_mut().unwrap().retain(|_, member| !member.is_null());
        let plan = Plan::from_value(&wanted).unwrap();
        assert_eq!(plan.to_value("now", "test").to_string(), wanted.to_string());
        assert_eq!(plan.scrub, ScrubOptions { env: false, profiles: true, legacy_auth: false });
    }
    let plan = json!({"version": 1, "protocolVersion": 1, "targets": [], "providerDeletes": ["b", "a"]});
    assert_eq!(Plan::from_value(&plan).unwrap().to_value("", "")["providerDeletes"], json!(["a", "b"]));
}

#[test]
fn a_plan_uses_programs_that_it_asks_or_sets_up() {
    let exec_ref = json!({"source": "exec", "provider": "v", "id": "a"});
    for (targets, upserts, uses) in [
        (json!([]), json!({}), false),
        (json!([key(json!({}))]), json!({"e": {"source": "env"}}), false),
        (json!([key(json!({})), key(json!({"ref": exec_ref}))]), json!({"e": {"source": "env"}}), true),
        (json!([key(json!({}))]), json!({"e": {"source": "env"}, "v": {"source": "exec", "command": "/bin/v"}}), true),
        (json!([]), json!({"v": {"source": "exec", "command": "/bin/v"}}), true),
    ] {
        let plan = json!({"version": 1, "protocolVersion": 1, "targets": targets, "providerUpserts": upserts});
        assert_eq!(Plan::from_value(&plan).unwrap().uses_exec(), uses, "{plan}");
    }
}

#[test]
fn bad_targets_are_named() {
    for (more, words) in [
        (json!({"type": "no\u{7f}\npe"}), "unknown type \"nope\""),
        (json!({"type": " "}), "type is missing"),
        (json!({"type": "gateway.auth.token"}), "not a model credential target"),
        (json!({"path": " "}), "path is missing"),
        (
            json!({"path": "models.providers.a.b.apiKey"}),
            "Invalid plan target path for models.providers.apiKey: models.providers.a.b.apiKey",
        ),
        (json!({"path": "models.providers.__proto__.apiKey"}), "Invalid plan target path"),
        (json!({"path": "models.providers.constructor.headers.X", "type": "models.providers.headers"}), "Invalid"),
        (json!({"path": "models.providers.x.headers.prototype", "type": "models.providers.headers"}), "Invalid"),
        (json!({"path": "models.providers.acme.headers.X"}), "Invalid plan target path"),
        (json!({"pathSegments": ["models", "providers", "other", "apiKey"]}), "Invalid plan target path"),
        (json!({"pathSegments": "x"}), "pathSegments must be an array"),
        (json!({"pathSegments": [1]}), "pathSegments must be texts"),
        (json!({"providerId": "other"}), "providerId is not what the path says"),
        (json!({"accountId": "x"}), "accountId is not what the path says"),
        (json!({"ref": {"source": "env", "id": "A"}}), "ref needs"),
        (json!({"ref": {"source": "vault", "provider": "v", "id": "A"}}), "ref needs"),
        (json!({"ref": {"source": "env", "provider": " ", "id": "A"}}), "ref needs"),
        (json!({"ref": null}), "ref needs"),
        (json!({"ref": {"source": "exec", "provider": "v", "id": "a/../b"}}), "path segments"),
        (json!({"ref": {"source": "env", "provider": "v", "id": "__OPENCLAW_REDACTED__"}}), "placeholder"),
    ] {
        let error = with(&key(more.clone())).unwrap_err();
        assert!(error.starts_with("targets[0]: ") && error.contains(words), "{more}: {error}");
    }
    for (more, words) in [
        (json!({}), "agentId is missing"),
        (json!({"agentId": "main", "providerId": "a"}), "providerId is not what the path says"),
        (json!({"agentId": "main", "authProfileProvider": " "}), "authProfileProvider is blank"),
    ] {
        let mut profile = json!({"type": "auth-profiles.api_key.key", "path": "profiles.a.key"});
        profile.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert!(with(&key(profile)).unwrap_err().contains(words), "{more}");
    }
}

#[test]
fn bad_envelopes_are_named() {
    for (plan, words) in [
        (json!([]), "JSON object"),
        (json!({"version": 2, "protocolVersion": 1, "targets": []}), "version must be 1"),
        (json!({"version": 1, "targets": []}), "protocolVersion must be 1"),
        (json!({"version": 1, "protocolVersion": 1}), "targets must be an array"),
        (
            json!({"version": 1, "protocolVersion": 1, "targets": [], "providerUpserts": {"Ba\nd": {"source": "env"}}}),
            "providerUpserts: \"Bad\" is no alias",
        ),
        (
            json!({"version": 1, "protocolVersion": 1, "targets": [], "providerUpserts": {"v": {"source": "exec", "command": "rel"}}}),
            "command",
        ),
        (json!({"version": 1, "protocolVersion": 1, "targets": [], "providerDeletes": "x"}), "providerDeletes"),
        (json!({"version": 1, "protocolVersion": 1, "targets": [], "providerDeletes": [1]}), "array of aliases"),
        (
            json!({"version": 1, "protocolVersion": 1, "targets": [], "providerDeletes": ["a", "B"]}),
            "\"B\" is no alias",
        ),
        (json!({"version": 1, "protocolVersion": 1, "targets": [], "providerUpserts": []}), "must be an object"),
        (json!({"version": 1, "protocolVersion": 1, "targets": [], "options": []}), "options must be an object"),
        (json!({"version": 1, "protocolVersion": 1, "targets": [], "options": {"scrubEnv": 1}}), "options.scrubEnv"),
    ] {
        let error = Plan::from_value(&plan).unwrap_err().to_string();
        assert!(error.contains(words), "{plan}: {error}");
    }
}

proptest! {
    #[test]
    fn any_path_is_accepted_or_refused(path in "[a-z.*]{0,30}", segments in proptest::collection::vec("[a-z. ]{0,6}", 0..5)) {
        let _ = with(&key(json!({"path": path, "pathSegments": segments})));
    }
}
