//! What the config means, member by member (spec 01 sections 1.4 and 3.4, spec 02 section 14).

use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn agent_ids_are_normalised() {
    for (raw, id) in [
        ("", "main"),
        (" Ops Team ", "ops-team"),
        ("a--b__", "a--b__"),
        ("--", "main"),
        ("Ünï", "n"),
        ("-a", "a"),
        ("x", "x"),
        // What fits is only put in lower case.
        ("A-", "a-"),
        ("9_", "9_"),
        ("_a", "_a"),
        ("a  b", "a-b"),
        (&format!("{}-", "a".repeat(63)), &format!("{}-", "a".repeat(63))),
        (&format!("{}-", "a".repeat(64)), &"a".repeat(64)),
        (&"B".repeat(70), &"b".repeat(64)),
    ] {
        assert_eq!(AgentId::normalise(raw).as_str(), id, "{raw}");
    }
}

#[test]
fn an_agents_model_overrides_part_by_part() {
    let config = Config::from_value(&json!({"agents": {
        "defaults": {"model": {"primary": "a/b", "fallbacks": ["c/d"]}},
        "list": [{"id": "x", "model": "e/f"}, {"id": "y", "model": {"fallbacks": []}}, {"id": "z", "default": true}]}}));
    let of = |id: &str| config.model_of(Some(&AgentId::normalise(id)));
    assert_eq!(of("x").0.primary.as_deref(), Some("e/f"));
    assert_eq!(of("x").0.fallback_list(), ["c/d"]);
    assert_eq!((of("y").0.primary.as_deref(), of("y").0.fallback_list().len()), (Some("a/b"), 0));
    assert_eq!((of("y").1, of("y").2), (false, true));
    assert_eq!(config.default_agent().0.as_str(), "z");
}

#[test]
fn default_aliases_fill_entries_without_one() {
    let config = Config::from_value(&json!({"agents": {"defaults": {"models": {
        "anthropic/claude-opus-4-6": {}, "openai/gpt-5.4": {"alias": ""}, "groq/x": {"alias": " Fast "}, "xai/y": {"alias": "fast"}}}}}));
    assert_eq!(config.alias_target("OPUS"), Some("anthropic/claude-opus-4-6"));
    assert_eq!(config.alias_target("gpt"), None);
    assert_eq!(config.alias_target("fast"), Some("xai/y"));
}

proptest! {
    #[test]
    fn agent_ids_normalise_once(raw in "\\PC{0,80}") {
        let once = AgentId::normalise(&raw);
        prop_assert_eq!(AgentId::normalise(once.as_str()), once.clone());
        prop_assert!(!once.as_str().is_empty() && once.as_str().len() <= 64);
    }
}

fn config(root: &Value) -> Config {
    let issues = crate::config::validate(root);
    assert_eq!(issues, [], "the examples are valid");
    Config::from_value(root)
}

/// A secret as it stands, or `source:provider:id`.
fn shown(input: &SecretInput) -> String {
    match input {
        SecretInput::Plain(secret) => secret.reveal().to_owned(),
        SecretInput::Reference(to) => format!("{}:{}:{}", to.source.as_str(), to.provider, to.id),
    }
}

fn shown_headers(headers: &[(String, SecretInput)]) -> Vec<(&str, String)> {
    headers.iter().map(|(name, value)| (name.as_str(), shown(value))).collect()
}

#[test]
fn a_model_setting_is_a_text_or_an_object() {
    for (setting, primary, fallbacks) in [
        (json!(" a/b "), Some("a/b"), None),
        (json!("  "), None, None),
        (json!({}), None, None),
        (json!({"primary": " a/b "}), Some("a/b"), None),
        (json!({"primary": " ", "fallbacks": []}), None, Some(vec![])),
        (json!({"fallbacks": ["c/d", " e "]}), None, Some(vec!["c/d", " e "])),
    ] {
        let config = config(&json!({"agents": {"defaults": {"model": setting, "imageModel": setting}}}));
        let fallbacks = fallbacks.map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
        for read in [&config.model, &config.image_model] {
            assert_eq!((read.primary.as_deref(), &read.fallbacks), (primary, &fallbacks), "{setting}");
            assert_eq!(read.fallback_list(), fallbacks.clone().unwrap_or_default());
        }
        let of_nobody = config.model_of(None);
        assert_eq!(of_nobody, (config.model.clone(), false, false));
    }
}

#[test]
fn agents_are_those_of_the_list_and_main_without_one() {
    let ids = |list: Value| {
        let config = config(&json!({"agents": {"list": list}}));
        let known: Vec<String> = config.known_agents().iter().map(AgentId::to_string).collect();
        let (default, several) = config.default_agent();
        (known.join(" "), default.to_string(), several)
    };
    let answer = |known: &str, default: &str, several| (known.to_owned(), default.to_owned(), several);
    for (list, wanted) in [
        (json!([]), answer("main", "main", false)),
        (json!([{"id": "Ops"}, {"id": "dev"}, {"id": "ops"}]), answer("ops dev", "ops", false)),
        (json!([{"id": "a"}, {"id": "b", "default": true}]), answer("a b", "b", false)),
        (json!([{"id": "a", "default": true}, {"id": "b", "default": true}]), answer("a b", "a", true)),
        (json!([{}, {"id": "b", "default": false}]), answer("main b", "main", false)),
    ] {
        assert_eq!(ids(list.clone()), wanted, "{list}");
    }
    let none = config(&json!({}));
    assert_eq!((none.known_agents(), none.default_agent()), (vec![AgentId::main()], (AgentId::main(), false)));

    let two = config(&json!({"agents": {"list": [
        {"id": "a", "agentDir": " ~/a ", "model": "x/y"}, {"id": "a", "model": "z/z"}, {"id": "b", "agentDir": " "}]}}));
    let first = two.agent(&AgentId::normalise("A")).unwrap();
    assert_eq!((first.agent_dir.as_deref(), first.model.primary.as_deref()), (Some("~/a"), Some("x/y")));
    assert_eq!(two.agent(&AgentId::normalise("b")).unwrap().agent_dir, None);
    assert_eq!(two.agent(&AgentId::main()), None);
}

#[test]
fn profiles_and_orders_are_read_in_the_order_of_the_file() {
    let config = config(&json!({"auth": {
        "profiles": {
            "z:one": {"provider": "Z.AI", "mode": "api_key", "email": " m@x.example ", "displayName": " "},
            "a:two": {"provider": "a", "mode": "oauth", "displayName": "Two"}},
        "order": {"z.ai": [" z:one ", " ", "z:gone"], "a": []}}}));
    let read: Vec<_> = config
        .auth_profiles
        .values()
        .map(|entry| {
            let labels = (entry.email.as_deref(), entry.display_name.as_deref());
            (entry.id.as_str(), entry.provider.as_str(), entry.mode, labels)
        })
        .collect();
    let wanted = [
        ("z:one", "zai", CredentialKind::ApiKey, (Some("m@x.example"), None)),
        ("a:two", "a", CredentialKind::OAuth, (None, Some("Two"))),
    ];
    assert_eq!(read, wanted);
    let order = |provider: &str| {
        let ids = config.order_of(&ProviderId::normalise(provider))?;
        Some(ids.iter().map(ProfileId::as_str).collect::<Vec<_>>())
    };
    assert_eq!((order("zai"), order("a"), order("b")), (Some(vec!["z:one", "z:gone"]), Some(vec![]), None));
}

/// Spec 01 section 3.4: what is not said keeps its default, and each number has its unit.
#[test]
fn cooldowns_and_rotations_replace_their_defaults_one_by_one() {
    const MINUTE_MS: f64 = 60_000.0;
    const HOUR_MS: f64 = 3_600_000.0;
    let read = |cooldowns: Value| {
        let config = Config::from_value(&json!({"auth": {"cooldowns": cooldowns}}));
        (config.cooldowns, config.rotations)
    };
    // As whole milliseconds, which all of these are.
    let figures = |policy: &CooldownPolicy| {
        let all = [
            policy.billing_base_ms,
            policy.billing_max_ms,
            policy.auth_permanent_base_ms,
            policy.auth_permanent_max_ms,
            policy.failure_window_ms,
        ];
        all.map(|ms| ms.to_string())
    };
    let usual =
        [5.0 * HOUR_MS, 24.0 * HOUR_MS, 10.0 * MINUTE_MS, 60.0 * MINUTE_MS, 24.0 * HOUR_MS].map(|ms| ms.to_string());
    let keys = [
        ("billingBackoffHours", HOUR_MS),
        ("billingMaxHours", HOUR_MS),
        ("authPermanentBackoffMinutes", MINUTE_MS),
        ("authPermanentMaxMinutes", MINUTE_MS),
        ("failureWindowHours", HOUR_MS),
    ];
    assert_eq!(figures(&read(json!({})).0), usual);
    for (at, (key, unit)) in keys.into_iter().enumerate() {
        let mut wanted = usual.clone();
        wanted[at] = (1.5 * unit).to_string();
        assert_eq!(figures(&read(json!({key: 1.5})).0), wanted, "{key}");
        for other in [json!(0), json!(-2), json!("3")] {
            assert_eq!(figures(&read(json!({key: other})).0), usual, "{key} {other}");
        }
    }
    let by_provider = read(json!({"billingBackoffHoursByProvider": {"Z.AI": 0.5, "a": 0, "b": 2}})).0;
    let wanted = [("Z.AI".to_owned(), 0.5 * HOUR_MS), ("b".to_owned(), 2.0 * HOUR_MS)];
    assert_eq!(by_provider.billing_base_by_provider_ms, wanted);

    let counts = |cooldowns: Value| {
        let policy = read(cooldowns).1;
        (policy.overloaded, policy.overloaded_backoff_ms, policy.rate_limited)
    };
    assert_eq!(counts(json!({})), (1, 0, 1));
    assert_eq!(counts(json!({"overloadedProfileRotations": 0, "overloadedBackoffMs": 250})), (0, 250, 1));
    assert_eq!(counts(json!({"rateLimitedProfileRotations": 7})), (1, 0, 7));
    assert_eq!(counts(json!({"rateLimitedProfileRotations": 1_u64 << 40})), (1, 0, u32::MAX));
}

#[test]
fn a_provider_is_read_with_its_secrets_and_models() {
    let reference = |id: &str| json!({"source": "env", "provider": "default", "id": id});
    let config = config(&json!({"models": {"providers": {"p": {
        "baseUrl": " https://p.example/v1 ", "api": "openai-completions", "auth": "api-key", "authHeader": false,
        "apiKey": " sk-test-1\n",
        "headers": {"X-One": "1", "X-Two": reference("TWO")},
        "request": {
            "headers": {"X-Three": "3"},
            "auth": {"mode": "authorization-bearer", "token": reference("TOKEN")},
            "tls": {"ca": "-----BEGIN CERTIFICATE-----\nAA\n"}},
        "models": [
            {"id": " m ", "name": "M", "api": "x", "baseUrl": "https://m.example", "headers": {"A": "b", "C": 1},
             "compat": {"maxTokensField": "max_completion_tokens"}, "input": ["text", 1, "image"], "contextWindow": 1000},
            {"id": ""}]}}}}));
    let [p] = &config.providers[..] else { panic!("one provider") };
    assert_eq!((p.id.as_str(), p.base_url.as_deref()), ("p", Some("https://p.example/v1")));
    assert_eq!((p.api.as_deref(), p.auth.as_deref()), (Some("openai-completions"), Some("api-key")));
    assert_eq!((p.auth_header, p.own_models), (Some(false), true));
    assert_eq!(p.api_key.as_ref().map(shown).as_deref(), Some("sk-test-1"));
    assert_eq!(shown_headers(&p.headers), [("X-One", "1".to_owned()), ("X-Two", "env:default:TWO".to_owned())]);
    assert_eq!(shown_headers(&p.request_headers), [("X-Three", "3".to_owned())]);
    assert!(matches!(&p.request_auth, Some(RequestAuth::Bearer(token)) if shown(token) == "env:default:TOKEN"));
    let ca = p.tls_ca.as_ref().map(shown);
    assert_eq!(ca.as_deref(), Some("-----BEGIN CERTIFICATE-----\nAA\n"), "lines matter");
    let blank = ProviderModel {
        id: String::new(),
        api: None,
        base_url: None,
        headers: vec![],
        max_tokens_field: None,
        name: None,
        input: vec![],
        context_window: None,
    };
    let text = |text: &str| Some(text.to_owned());
    let full = ProviderModel {
        id: "m".to_owned(),
        api: text("x"),
        base_url: text("https://m.example"),
        headers: vec![("A".to_owned(), "b".to_owned())],
        max_tokens_field: text("max_completion_tokens"),
        name: text("M"),
        input: vec!["text".to_owned(), "image".to_owned()],
        context_window: Some(1000),
    };
    assert_eq!(p.models, [full, blank]);
    assert!(!format!("{p:?}").contains("sk-test-1"));
}

#[test]
fn how_a_request_authenticates_is_told_by_its_mode() {
    let read = |provider: Value| config(&json!({"models": {"providers": {"p": provider}}})).providers.remove(0);
    let auth = |auth: Value| match read(json!({"request": {"auth": auth}})).request_auth? {
        RequestAuth::Bearer(token) => Some(format!("bearer {}", shown(&token))),
        RequestAuth::Header { name, prefix, value } => Some(format!("{name}: {prefix}{}", shown(&value))),
    };
    for (setting, wanted) in [
        (json!({"mode": "authorization-bearer", "token": "tok-test"}), Some("bearer tok-test")),
        (json!({"mode": "authorization-bearer", "value": "tok-test"}), None),
        (json!({"mode": "header", "headerName": " X-Key ", "value": "v"}), Some("X-Key: v")),
        (json!({"mode": "header", "headerName": "X-Key", "prefix": "Key ", "value": "v"}), Some("X-Key: Key v")),
        (json!({"mode": "header", "headerName": " ", "value": "v"}), None),
        (json!({"mode": "header", "headerName": "X-Key", "token": "v"}), None),
        (json!({"mode": "other", "token": "t", "headerName": "X-Key", "value": "v"}), None),
        (json!({"token": "t"}), None),
    ] {
        assert_eq!(auth(setting.clone()).as_deref(), wanted, "{setting}");
    }
    let bare = read(json!({"models": [], "apiKey": " ", "request": {"tls": {"ca": " \n"}}}));
    assert!(!bare.own_models && bare.api_key.is_none() && bare.tls_ca.is_none() && bare.auth_header.is_none());
    let by_reference = read(json!({"request": {"tls": {"ca": {"source": "file", "provider": "v", "id": "/ca"}}}}));
    assert_eq!(by_reference.tls_ca.as_ref().map(shown).as_deref(), Some("file:v:/ca"));
}

#[test]
fn a_provider_is_found_by_its_key_and_then_by_what_it_means() {
    let config = config(
        &json!({"models": {"providers": {"other": {}, "Z.AI": {"api": "a"}, "zai": {"api": "b"}, "Qwencloud": {}}}}),
    );
    let found = |id: &str| config.provider(&ProviderId::normalise(id)).map(|entry| entry.id.as_str());
    assert_eq!((found("z.ai"), found("other"), found("none")), (Some("zai"), Some("other"), None));
    let row = |id: &str| config.provider_of_row(id).map(|entry| entry.id.as_str());
    assert_eq!((row("Z.AI"), row("zai"), row("z.ai"), row("none")), (Some("Z.AI"), Some("zai"), Some("zai"), None));
    let id = ProviderId::normalise("Qwencloud");
    assert_ne!(id.as_str(), "Qwencloud");
    assert_eq!(config.provider(&id).map(|entry| entry.id.as_str()), Some("Qwencloud"));
}

#[test]
fn session_plugins_and_the_rest() {
    let usual = SessionSettings::default();
    let session = |session: Value| Config::from_value(&json!({"session": session})).session;
    assert_eq!(session(json!({})), usual);
    assert_eq!(session(json!({"store": " ", "mainKey": " ", "scope": "per-sender", "reset": {"atHour": 24}})), usual);
    let set = session(
        json!({"store": " /s/{agentId} ", "mainKey": " Home ", "scope": " global ", "reset": {"atHour": 23, "idleMinutes": 90}}),
    );
    let wanted = SessionSettings {
        store: Some("/s/{agentId}".to_owned()),
        main_key: "home".to_owned(),
        is_global: true,
        reset_hour: 23,
        idle_minutes: 90,
    };
    assert_eq!(set, wanted);
    for (hour, read) in [(json!(0), 0), (json!(300), usual.reset_hour), (json!(-1), usual.reset_hour)] {
        assert_eq!(session(json!({"reset": {"atHour": hour}})).reset_hour, read, "{hour}");
    }

    let full = config(&json!({
        "plugins": {"enabled": false, "deny": [" xai ", 1],
            "entries": {"xai": {"config": {"webSearch": {"apiKey": "xai-test-1"}}}}},
        "agents": {"defaults": {"workspace": "~/w", "timeoutSeconds": 60}},
        "env": {"shellEnv": {"enabled": true, "timeoutMs": 5}}}));
    assert_eq!((full.plugins_disabled, &full.plugins_denied[..]), (true, &["xai".to_owned()][..]));
    assert_eq!(full.xai_search_key.as_ref().map(shown).as_deref(), Some("xai-test-1"));
    assert_eq!((full.workspace.as_deref(), full.turn_timeout_s), (Some("~/w"), Some(60)));
    assert_eq!(full.shell_env, ShellEnvSetting { enabled: true, timeout_ms: Some(5) });
    for enabled in [json!(true), json!(null), json!("false")] {
        assert!(!Config::from_value(&json!({"plugins": {"enabled": enabled}})).plugins_disabled);
    }
    assert_eq!(Config::from_value(&json!({})).shell_env, ShellEnvSetting::default());
}
