//! The sources of a provider beside its profiles, one by one.

use super::*;
use serde_json::json;

#[test]
fn hosts_are_found() {
    for (url, host) in [
        ("http://LOCALHOST:1/v1", Some("localhost")),
        ("http://user@127.0.0.1", Some("127.0.0.1")),
        ("http://[::1]:8080/x", Some("[::1]")),
        ("http://[0:0:0:0:0:0:0:1]:8080/x", Some("[::1]")),
        ("http://user:pass@a@Example.com:1?x=y@z", Some("example.com")),
        ("http://example.com#/@other", Some("example.com")),
        ("http://[FE80::1%25eth0]/", Some("[fe80::1%25eth0]")),
        ("http://[::1", None),
        ("http://:80/", None),
        ("http:///x", None),
        ("localhost", None),
    ] {
        assert_eq!(host_of(url).as_deref(), host, "{url}");
    }
}

#[test]
fn local_servers_need_no_key() {
    let synthetic = |provider: serde_json::Value, id: &str| {
        let config = Config::from_value(&json!({"models": {"providers": {id: provider}}}));
        synthetic_key(&ProviderId::normalise(id), &config.providers[0])
    };
    let lan = json!({"baseUrl": "http://127.0.0.1:9/v1", "api": "openai-completions", "models": [{"id": "m"}]});
    assert_eq!(synthetic(lan.clone(), "lan"), Some("custom-local"));
    let mut other = lan.clone();
    other["baseUrl"] = json!("https://example.com");
    assert_eq!(synthetic(other, "lan"), None);
    let mut keyed = lan;
    keyed["apiKey"] = json!("k");
    assert_eq!(synthetic(keyed, "lan"), None);
    assert_eq!(synthetic(json!({"api": "ollama"}), "ollama"), Some("ollama-local"));
}

#[test]
fn only_this_machine_is_local() {
    for (host, local) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("0.0.0.0", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]", true),
        ("127.0.0.2", false),
        ("localhost.example.com", false),
        ("[::2]", false),
    ] {
        assert_eq!(is_local_url(&format!("http://{host}:8080/v1")), local, "{host}");
    }
    assert!(!is_local_url("localhost"));
}

/// What `ask` finds with a config, variables and the states of references.
fn with<T>(
    config: &serde_json::Value,
    variables: &[(&str, &str)],
    refs: Vec<(SecretRef, RefState)>,
    ask: impl FnOnce(&Situation<'_>) -> T,
) -> T {
    let config = Config::from_value(config);
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = Environment::from_process(variables);
    let mut known = ResolvedRefs::default();
    for (reference, state) in refs {
        known.insert(reference, state);
    }
    let (ambient, store, now) = (AmbientFacts::default(), AuthProfiles::default(), Timestamp::from_ms(0));
    ask(&Situation { config: &config, environment: &environment, ambient, store: &store, refs: &known, now })
}

fn variable(name: &str) -> SecretRef {
    SecretRef::env(name, &crate::RefDefaults::default())
}

#[test]
fn states_of_references_are_kept_and_what_nobody_asked_for_was_not_run() {
    let mut refs = ResolvedRefs::default();
    refs.insert(variable("A"), RefState::Unresolved("why".to_owned()));
    assert!(refs.contains(&variable("A")) && !refs.contains(&variable("B")));
    assert!(matches!(refs.get(&variable("A")), RefState::Unresolved(why) if why == "why"));
    assert!(matches!(refs.get(&variable("B")), RefState::NotRun));
    refs.insert(variable("A"), RefState::Resolved(Secret::new("sk-test-1")));
    let all: Vec<_> = refs.iter().map(|(reference, state)| (reference.to_string(), format!("{state:?}"))).collect();
    assert_eq!(all, [("env:default:A".to_owned(), "Resolved(Secret(…))".to_owned())]);
}

#[test]
fn references_of_the_config_have_a_path() {
    let config = Config::from_value(&json!({"models": {"providers": {
        "Z.AI": {"apiKey": {"source": "env", "provider": "default", "id": "A"}}, "b": {"apiKey": "sk-test"}, "c": {}}}}));
    let found: Vec<_> = config_key_refs(&config).map(|(path, reference)| (path, reference.to_string())).collect();
    assert_eq!(found, [("models.providers.Z.AI.apiKey".to_owned(), "env:default:A".to_owned())]);
}

#[test]
fn a_config_key_is_good_for_what_it_names() {
    // Spec 02 section 7: how it is shown, what it is, the value that requests would carry, whether they can use it.
    let reference = json!({"source": "env", "provider": "default", "id": "A"});
    let resolved = |text: &str| Some(RefState::Resolved(Secret::new(text)));
    let of = |key: &serde_json::Value, state: Option<RefState>| {
        let config = json!({"models": {"providers": {"acme": {"apiKey": key}}}});
        let refs = state.map(|state| (variable("A"), state)).into_iter().collect();
        with(&config, &[("GROQ_API_KEY", " sk-test-variable ")], refs, |situation| {
            let key = ConfigKey::of(&situation.config.providers[0], situation).unwrap();
            let state = match &key.state {
                ConfigKeyState::Usable(_) => "usable".to_owned(),
                ConfigKeyState::Variable { name, origin, .. } => format!("{name} of the {origin}"),
                ConfigKeyState::Marker => "marker".to_owned(),
                ConfigKeyState::UnresolvedRef(why) => format!("unresolved: {why}"),
                ConfigKeyState::NotRun => "not run".to_owned(),
            };
            let secret = key.secret().map(|secret| secret.reveal().to_owned());
            (key.shown.clone(), state, secret, key.is_usable())
        })
    };
    for (key, state, expected) in [
        (json!(" sk-test-groq-1 "), None, ("sk...-1", "usable", Some("sk-test-groq-1"), true)),
        (
            json!("GROQ_API_KEY"),
            None,
            ("marker(GROQ_API_KEY)", "GROQ_API_KEY of the process environment", Some("sk-test-variable"), true),
        ),
        (json!("OPENAI_API_KEY"), None, ("marker(OPENAI_API_KEY)", "marker", None, false)),
        (json!("ollama-local"), None, ("marker(ollama-local)", "marker", None, false)),
        (reference.clone(), resolved("sk-test-\ngroq-2\n"), ("sk...-2", "usable", Some("sk-test-groq-2"), true)),
        // Nothing is left of it: what was given stays, to be refused where it is sent.
        (reference.clone(), resolved(" "), ("missing", "usable", Some(" "), true)),
        (
            reference.clone(),
            Some(RefState::Unresolved("gone".to_owned())),
            ("ref(env:A)", "unresolved: gone", None, false),
        ),
        (reference.clone(), None, ("ref(env:A)", "not run", None, true)),
    ] {
        let (shown, kind, secret, usable) = of(&key, state);
        assert_eq!((shown.as_str(), kind.as_str(), secret.as_deref(), usable), expected, "{key}");
    }
    let none = with(&json!({"models": {"providers": {"acme": {}}}}), &[], vec![], |situation| {
        ConfigKey::of(&situation.config.providers[0], situation).is_none()
    });
    assert!(none);
}

#[test]
fn every_source_beside_the_profiles_is_looked_at() {
    let local = json!({"baseUrl": "http://localhost:1", "api": "openai-completions", "models": [{"id": "m"}]});
    let entries = json!({"Groq": {"apiKey": "sk-test-groq-1"}, "marked": {"apiKey": "custom-local"}, "local": local,
        "amazon-bedrock": {"auth": "aws-sdk"}});
    let config = json!({"models": {"providers": entries},
        "plugins": {"entries": {"xai": {"config": {"webSearch": {"apiKey": "xai-test-search"}}}}}});
    let of = |row: &str| {
        with(&config, &[("ACME_API_KEY", "sk-test-acme-1")], vec![], |situation| OtherSources::of(row, situation))
    };
    let none = of("none");
    assert!(none.env.is_none() && none.config_key.is_none() && none.synthetic.is_none() && none.xai_search.is_none());
    assert!(!none.aws_default_chain && !none.aws_first && none.usable_config_key().is_none());
    assert_eq!(of("ACME").env.unwrap().source, "env: ACME_API_KEY");
    assert_eq!(of("groq").usable_config_key().map(|key| key.shown.as_str()), Some("sk...-1"));
    let marked = of("marked");
    assert!(marked.config_key.is_some() && marked.usable_config_key().is_none());
    assert_eq!(of("local").synthetic, Some("custom-local"));
    assert_eq!(of("xai").xai_search.unwrap().reveal(), "xai-test-search");
    let bedrock = of("Amazon-Bedrock");
    assert!(bedrock.aws_first && !bedrock.aws_default_chain);
    // Without a setting the chain comes last, with another one not at all.
    for (entries, chain) in [
        (json!({}), true),
        (json!({"amazon-bedrock": {"apiKey": "k"}}), true),
        (json!({"amazon-bedrock": {"auth": "api-key"}}), false),
    ] {
        let config = json!({"models": {"providers": entries}});
        let found = with(&config, &[], vec![], |situation| OtherSources::of("amazon-bedrock", situation));
        assert_eq!((found.aws_default_chain, found.aws_first), (chain, false), "{config}");
    }
}

#[test]
fn the_search_key_stands_in_where_it_is_a_secret() {
    let reference = json!({"source": "env", "provider": "default", "id": "A"});
    let of = |key: &serde_json::Value, state: Option<RefState>| {
        let config = json!({"plugins": {"entries": {"xai": {"config": {"webSearch": {"apiKey": key}}}}}});
        let refs = state.map(|state| (variable("A"), state)).into_iter().collect();
        with(&config, &[], refs, |situation| {
            OtherSources::of("xai", situation).xai_search.map(|secret| secret.reveal().to_owned())
        })
    };
    assert_eq!(of(&json!("xai-test-1"), None).as_deref(), Some("xai-test-1"));
    assert_eq!(of(&json!("XAI_API_KEY"), None), None);
    assert_eq!(of(&reference, Some(RefState::Resolved(Secret::new(" xai-test-2\n")))).as_deref(), Some("xai-test-2"));
    assert_eq!(of(&reference, Some(RefState::Unresolved("gone".to_owned()))), None);
    assert_eq!(of(&reference, None), None);
    assert_eq!(of(&json!(null), None), None);
}

#[test]
fn a_placeholder_needs_a_server_that_is_fully_described() {
    // Spec 02 section 8 step 8.
    let synthetic = |provider: serde_json::Value, id: &str| {
        let config = Config::from_value(&json!({"models": {"providers": {id: provider}}}));
        synthetic_key(&ProviderId::normalise(id), &config.providers[0])
    };
    let whole = json!({"baseUrl": "http://127.0.0.1:9/v1", "api": "openai-completions", "models": [{"id": "m"}]});
    for field in ["baseUrl", "api", "models"] {
        let mut entry = whole.clone();
        entry.as_object_mut().unwrap().remove(field);
        assert_eq!(synthetic(entry, "lan"), None, "{field}");
        // One of them is enough for Ollama.
        let entry = json!({field: whole[field]});
        assert_eq!(synthetic(entry, "Ollama"), Some("ollama-local"), "{field}");
    }
    assert_eq!(synthetic(json!({}), "ollama"), None);
    for (auth, expected) in [("api-key", Some("custom-local")), ("oauth", None), ("token", None)] {
        let mut entry = whole.clone();
        entry["auth"] = json!(auth);
        assert_eq!(synthetic(entry, "lan"), expected, "{auth}");
    }
    let mut entry = whole;
    entry["apiKey"] = json!({"source": "env", "provider": "default", "id": "A"});
    assert_eq!(synthetic(entry, "lan"), None);
}

#[test]
fn a_reference_to_a_variable_says_why_it_does_not_resolve() {
    with(&json!({}), &[("SET", "sk-test-1"), ("BLANK", " ")], vec![], |situation| {
        let state =
            |reference: &SecretRef| match RefState::of_env(reference, situation.environment, &situation.config.secrets)
            {
                RefState::Resolved(secret) => Ok(secret.reveal().to_owned()),
                RefState::Unresolved(why) => Err(why),
                RefState::NotRun => panic!("a variable is always looked up"),
            };
        assert_eq!(state(&variable("SET")).as_deref(), Ok("sk-test-1"));
        for name in ["BLANK", "GONE"] {
            assert!(state(&variable(name)).unwrap_err().contains(name));
        }
        let stranger = SecretRef { provider: "vault".to_owned(), ..variable("SET") };
        assert!(state(&stranger).unwrap_err().contains("vault"));
    });
}
