//! Which models there are, what a choice means, and what it leaves in a session.

use super::*;
use crate::profile::Owner;
use serde_json::{Value, json};

fn config(defaults: &Value, providers: &Value) -> Config {
    Config::from_value(&json!({"agents": {"defaults": defaults}, "models": {"providers": providers}}))
}

fn allowing_some() -> Config {
    let models = json!({"mock/m1": {}, "mock/m2": {"alias": "Two"}, "other/m2": {}});
    config(&json!({"model": "mock/m1", "models": models}), &json!({}))
}

fn chosen_of(argument: &str, config: &Config) -> Result<Selection, String> {
    let key = |provider: &str| json!({"type": "api_key", "provider": provider, "key": "sk-test-1"});
    let store = json!({"version": 1, "profiles": {
        "mock:a": key("mock"), "mock:me@x.org": key("mock"), "mock:a+b@x.org": key("mock"), "other:x": key("other")}});
    let store = AuthProfiles::parse(&store.to_string(), Owner::Agent).unwrap();
    let known = KnownModels::of(config, &AgentId::main());
    select(argument, config, &known, &store).map_err(|error| error.to_string())
}

fn chosen(argument: &str) -> Result<(String, Option<String>), String> {
    let config = allowing_some();
    let selection = chosen_of(argument, &config)?;
    Ok((selection.answer(&config), selection.profile.map(|id| id.to_string())))
}

fn keys<'a>(models: impl IntoIterator<Item = &'a ModelRef>) -> Vec<String> {
    models.into_iter().map(ModelRef::key).collect()
}

#[test]
fn models_and_profiles_are_found() {
    assert_eq!(chosen("two@mock:a").unwrap().0, "Model set to Two (mock/m2).\nAuth profile set to mock:a.");
    assert_eq!(chosen("mock/m2@mock:me@x.org").unwrap().1.as_deref(), Some("mock:me@x.org"));
    assert_eq!(chosen("mock/m2@mock:a+b@x.org").unwrap().1.as_deref(), Some("mock:a+b@x.org"));
    for text in ["mock/m1", "default", "reset", "Default"] {
        assert_eq!(chosen(text).unwrap().0, "Model reset to default (mock/m1).");
    }
}

#[test]
fn an_alias_wins_over_the_words_and_numbers_that_mean_something_else() {
    let models =
        json!({"mock/m1": {}, "mock/m2": {"alias": "reset"}, "mock/m3": {"alias": "3"}, "mock/m4": {"alias": "a/b"}});
    let config = config(&json!({"model": "mock/m1", "models": models}), &json!({}));
    for (text, model) in [("reset", "mock/m2"), ("3", "mock/m3"), ("default", "mock/m1")] {
        assert_eq!(chosen_of(text, &config).unwrap().model.key(), model, "{text}");
    }
    let error = chosen_of("a/b", &config).unwrap_err();
    assert!(error.starts_with("Model \"a/b\" is not allowed."), "a slash is never part of an alias: {error}");
}

#[test]
fn refusals_say_why_and_suggest() {
    for (text, said) in [
        ("3", "Numeric model selection is not supported in chat."),
        ("other/m9", "Model \"other/m9\" is not allowed."),
        ("mock/m2@mock:nosuch", "Auth profile \"mock:nosuch\" not found."),
        ("mock/m2@other:x", "Auth profile \"other:x\" is for other, not mock."),
        ("status@mock:a", "Auth profile override requires a model selection."),
        ("LIST@mock:a", "Auth profile override requires a model selection."),
        ("", "Auth profile override requires a model selection."),
        ("x/", "Unrecognized model \"x/\"."),
    ] {
        let error = chosen(text).unwrap_err();
        assert!(error.starts_with(said), "{text}: {error}");
    }
}

#[test]
fn a_model_that_is_not_allowed_comes_with_near_names_and_the_command() {
    let models = json!({"mock/alpha-1": {}, "mock/alpha-2": {}, "mock/alpha-22": {}, "mock/al": {}, "mock/beta": {}, "x/gamma-large": {}});
    let config = config(&json!({"model": "mock/alpha-1", "models": models}), &json!({}));
    for (text, near, command) in [
        // The longest common beginning first, at most three; a name within the other counts most.
        ("mock/alpha-2", None, ""),
        ("mock/Alpha-22x", Some("mock/alpha-22, mock/alpha-2, mock/al"), "Alpha-22x mock/Alpha-22x"),
        ("mock/alpha-3", Some("mock/al, mock/alpha-1, mock/alpha-2"), "alpha-3 mock/alpha-3"),
        ("mock/large", Some("x/gamma-large"), "large mock/large"),
        ("mock/bet", Some("mock/beta"), "bet mock/bet"),
        ("mock/b", Some("mock/beta"), "b mock/b"),
        ("mock/bxx", Some(""), "bxx mock/bxx"),
        ("mock/zz", Some(""), "zz mock/zz"),
        ("mock/a/zz top's", Some(""), "zz-top-s 'mock/a/zz top'\\''s'"),
        ("mock/z_.:-+@20251001", Some(""), "z_.:---20251001 mock/z_.:-+@20251001"),
    ] {
        let result = chosen_of(text, &config).map(|selection| selection.model.key());
        let Some(near) = near else {
            assert_eq!(result.as_deref(), Ok(text));
            continue;
        };
        let near = if near.is_empty() { String::new() } else { format!(" Did you mean {near}?") };
        let said = format!(
            "Model \"{text}\" is not allowed. Use /models to list providers, or /models <provider> to list models.{near}\nTo allow it: openclaw models aliases add {command}"
        );
        assert_eq!(result, Err(said), "{text}");
    }
}

#[test]
fn an_allowlist_is_the_models_of_the_config_with_the_fallbacks_and_the_default() {
    let defaults = json!({"model": {"primary": "mock/m1", "fallbacks": ["two", "far/f"]}, "models": {"mock/m2": {"alias": "two"}, "Z.AI/z": {}, "bad/": {}}});
    let providers = json!({"own": {"models": [{"id": "o1"}, {"id": ""}, {"id": "O1"}]}});
    let config = config(&defaults, &providers);
    let known = KnownModels::of(&config, &AgentId::main());
    assert_eq!(known.default.key(), "mock/m1");
    assert_eq!(keys(&known.all), ["own/o1", "mock/m2", "zai/z", "far/f", "mock/m1"]);
    let groups = known.by_provider().into_iter().map(|(provider, models)| format!("{provider}: {:?}", keys(models)));
    assert_eq!(
        groups.collect::<Vec<_>>(),
        [r#"mock: ["mock/m2", "mock/m1"]"#, r#"zai: ["zai/z"]"#, r#"far: ["far/f"]"#],
        "a provider where its first model stands; what is known but not allowed is no choice"
    );
    for (text, allowed) in [("z-ai/Z", true), ("mock/m1", true), ("own/o1", false), ("zai/m2", false), ("far/z", false)]
    {
        let model = ModelRef::parse(text, DEFAULT_PROVIDER).unwrap();
        assert_eq!(known.allows(&model), allowed, "{text}");
    }
    let known = KnownModels::of(&allowing_some(), &AgentId::main());
    assert_eq!(keys(&known.all), ["mock/m1", "mock/m2", "other/m2"], "an allowlist hides the catalogue");
}

#[test]
fn without_an_allowlist_every_model_may_be_used() {
    let own = config(&json!({"model": "mock/m1"}), &json!({"own": {"models": [{"id": "o1"}]}}));
    let known = KnownModels::of(&own, &AgentId::main());
    assert_eq!(keys(&known.all), ["own/o1", "mock/m1"], "the models of the config hide the catalogue");
    assert!(known.allows(&ModelRef { provider: "any".to_owned(), model: "x".to_owned() }));

    let known = KnownModels::of(&config(&json!({"model": "mock/m1"}), &json!({})), &AgentId::main());
    for info in PROVIDERS {
        let of = |model: &str| ModelRef { provider: info.id.to_owned(), model: model.to_owned() };
        let is_listed = |model: &str| known.all.iter().any(|known| same(known, &of(model)));
        let is_llm = info.kind == ProviderKind::Llm;
        assert!(info.models.iter().all(|model| is_listed(model.id) == is_llm), "{}", info.id);
    }
    assert!(known.all.len() > 1 && keys(&known.all).last().is_some_and(|last| last == "mock/m1"));
}

#[test]
fn a_choice_changes_what_it_is_about() {
    let pin = |fields: Value| {
        let mut fields = fields;
        fields["authProfileOverride"] = json!("mock:a");
        fields["authProfileOverrideSource"] = json!("user");
        fields
    };
    let on_m2 = json!({"providerOverride": "mock", "modelOverride": "m2", "updatedAt": 5});
    let ran = json!({"modelProvider": "mock", "model": "m1", "contextTokens": 9});
    let noted = json!({
        "fallbackNoticeSelectedModel": "a", "fallbackNoticeActiveModel": "b", "fallbackNoticeReason": "c", "updatedAt": 5});
    let with = |one: &Value, other: &Value| {
        let mut all = one.clone();
        all.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        all
    };
    let switched = json!({"liveModelSwitchPending": true, "updatedAt": 9});
    for (before, argument, after) in [
        // Another model: what ran last and what was said about it go.
        (with(&ran, &noted), "mock/m2", with(&on_m2, &switched)),
        (with(&on_m2, &ran), "default", switched.clone()),
        (json!({}), "two@mock:a", pin(with(&on_m2, &switched))),
        (pin(json!({})), "mock/m2", with(&on_m2, &switched)),
        // The same model: only the profile changes, and no switch is announced.
        (on_m2.clone(), "mock/m2@mock:a", pin(with(&on_m2, &json!({"updatedAt": 9})))),
        (pin(with(&on_m2, &noted)), "mock/m2", with(&on_m2, &json!({"updatedAt": 9}))),
        (
            json!({"authProfileOverride": "mock:a", "authProfileOverrideSource": "auto", "authProfileOverrideCompactionCount": 1}),
            "mock/m1@mock:a",
            pin(json!({"updatedAt": 9})),
        ),
        // The same model, but another one answered last: of its provider, or of the same name elsewhere.
        (with(&on_m2, &ran), "mock/m2", with(&on_m2, &json!({"updatedAt": 9}))),
        (
            with(&on_m2, &json!({"modelProvider": "other", "model": "m2", "contextTokens": 9})),
            "mock/m2",
            with(&on_m2, &json!({"updatedAt": 9})),
        ),
        // Nothing changes: nothing is touched.
        (with(&noted, &ran), "mock/m1", with(&noted, &ran)),
        (pin(with(&on_m2, &noted)), "mock/m2@mock:a", pin(with(&on_m2, &noted))),
    ] {
        let entry = |fields: &Value| SessionEntry::new(fields.as_object().unwrap().clone());
        let mut session = entry(&before);
        chosen_of(argument, &allowing_some()).unwrap().apply(&mut session, 9);
        assert_eq!(session, entry(&after), "{before} {argument}");
    }
}

#[test]
fn a_model_is_shown_with_its_alias() {
    let config = allowing_some();
    for (model, label) in [("MOCK/M2", "Two (mock/M2)"), ("other/m2", "other/m2"), ("mock/m1", "mock/m1")] {
        assert_eq!(model_label(&ModelRef::parse(model, DEFAULT_PROVIDER).unwrap(), &config), label);
    }
}
