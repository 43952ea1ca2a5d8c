//! What one pass over an agent finds (spec 06 section 14.2).

use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::env_credential::AmbientFacts;
use crate::environment::Environment;
use crate::profile::{AuthProfiles, Owner};
use crate::source::ResolvedRefs;
use crate::time::Timestamp;

const NOW: i64 = 1_790_000_000_000;
const HOUR: i64 = 3_600_000;

/// What an agent sees, and how it is watched.
struct Scene {
    config: Value,
    store: Value,
    variables: Vec<(String, String)>,
    memory: Memory,
    configured: bool,
    store_unreadable: bool,
    /// The profiles that are no items.
    left_out: &'static str,
    /// The only provider that is looked at.
    only: Option<&'static str>,
}

impl Scene {
    /// An agent whose only model is `model`, with these profiles.
    fn new(model: &str, profiles: &Value) -> Self {
        Self {
            config: json!({"agents": {"defaults": {"model": model}}}),
            store: json!({"version": 1, "profiles": profiles}),
            variables: Vec::new(),
            memory: Memory::default(),
            configured: true,
            store_unreadable: false,
            left_out: "none",
            only: None,
        }
    }

    fn usage(mut self, usage: Value) -> Self {
        self.store["usageStats"] = usage;
        self
    }

    fn variable(mut self, name: &str) -> Self {
        self.variables.push((name.to_owned(), "sk-test-variable".to_owned()));
        self
    }

    fn look(&self) -> Pass {
        let config = Config::from_value(&self.config);
        let environment = Environment::from_process(self.variables.clone());
        let store = AuthProfiles::parse(&self.store.to_string(), Owner::Agent).unwrap();
        let refs = ResolvedRefs::default();
        let situation = Situation {
            config: &config,
            environment: &environment,
            ambient: AmbientFacts::default(),
            store: &store,
            refs: &refs,
            now: Timestamp::from_ms(NOW),
        };
        let watched = Survey {
            agent: &AgentId::main(),
            situation,
            store_unreadable: self.store_unreadable,
            configured: self.configured,
            includes: &|profile| profile.id.as_str() != self.left_out,
            of_provider: &|provider| self.only.is_none_or(|only| provider.as_str() == only),
            warn_ms: 24 * HOUR,
            memory: &self.memory,
        };
        let pass = survey(&watched, &|profile, _| Some(format!("fix {}", profile.id)));
        let mut again = pass.clone();
        again.lay_over(&[]);
        assert_eq!(again, pass, "no answer changes nothing");
        pass
    }

    /// Every item as `key status level`, with `+` where another profile covers, then every provider as
    /// `provider usable in_use`, then the verdict.
    fn lines(&self) -> Vec<String> {
        let pass = self.look();
        let item = |item: &Item| {
            let covered = if item.covered { "+" } else { "" };
            format!("{} {} {:?}{covered}", item.key(), item.status.as_str(), item.level)
        };
        let provider = |state: &ProviderState| {
            assert_eq!(state.agent, "main");
            let (usable, in_use) =
                (if state.usable { "usable" } else { "stuck" }, if state.in_use { " in use" } else { "" });
            format!("{} {usable}{in_use}", state.provider)
        };
        let overall = format!("{:?}", pass.overall());
        pass.items.iter().map(item).chain(pass.providers.iter().map(provider)).chain([overall]).collect()
    }
}

fn key() -> Value {
    json!({"type": "api_key", "provider": "groq", "key": "sk-test-1"})
}

fn token(left: i64) -> Value {
    json!({"type": "token", "provider": "groq", "token": "tok-test", "expires": NOW + left})
}

fn login(left: i64) -> Value {
    json!({"type": "oauth", "provider": "openai-codex", "access": "a-test", "refresh": "r-test", "expires": NOW + left})
}

fn cooling(left: i64) -> Value {
    json!({"cooldownUntil": NOW + left, "cooldownReason": "rate_limit"})
}

#[test]
fn a_credential_that_works_needs_nobody() {
    let scene = Scene::new("groq/m", &json!({"groq:k": key()}));
    assert_eq!(scene.lines(), ["main/groq:k static Fine", "groq usable in use", "Fine"]);
    let two = Scene::new("groq/m", &json!({"groq:k": key(), "groq:l": key()}));
    assert_eq!(two.lines()[..2], ["main/groq:k static Fine", "main/groq:l static Fine"], "there is nothing to cover");
    let [item] = &scene.look().items[..] else { panic!("one item") };
    assert_eq!((item.agent.as_str(), item.provider.as_str(), item.profile_id()), ("main", "groq", Some("groq:k")));
    assert_eq!((item.kind(), item.usable, item.covered), (Some(CredentialKind::ApiKey), true, false));
    assert_eq!((&item.fix, item.ends_at_ms, &item.unusable, item.renews_itself), (&None, None, &None, false));
}

#[test]
fn an_end_is_told_with_what_helps() {
    let scene = Scene::new("groq/m", &json!({"groq:t": token(-10)}));
    assert_eq!(scene.lines(), ["main/groq:t expired Alarm", "groq stuck in use", "Alarm"]);
    let [item] = &scene.look().items[..] else { panic!("one item") };
    assert_eq!((item.kind(), item.usable), (Some(CredentialKind::Token), false));
    assert_eq!((item.fix.as_deref(), item.reason.as_deref()), (Some("fix groq:t"), Some("expired")));
    assert_eq!(item.ends_at_ms, Some(Timestamp::from_ms(NOW - 10).as_f64()));

    let soon = Scene::new("groq/m", &json!({"groq:t": token(HOUR)}));
    assert_eq!(soon.lines(), ["main/groq:t expiring Warning", "groq usable in use", "Warning"]);
    assert_eq!(soon.look().items[0].fix.as_deref(), Some("fix groq:t"));
}

/// "A profile that another usable one of its provider covers counts as 2 at most."
#[test]
fn another_profile_covers_and_a_variable_does_not() {
    let two = Scene::new("groq/m", &json!({"groq:t": token(-10), "groq:k": key()}));
    let lines = ["main/groq:k static Fine", "main/groq:t expired Warning+", "groq usable in use", "Warning"];
    assert_eq!(two.lines(), lines, "by provider and id");
    let variable = Scene::new("groq/m", &json!({"groq:t": token(-10)})).variable("GROQ_API_KEY");
    assert_eq!(variable.lines(), ["main/groq:t expired Alarm", "groq usable in use", "Alarm"]);
    // One that is told of with another agent covers all the same.
    let mut hidden = two;
    hidden.left_out = "groq:k";
    assert_eq!(hidden.lines(), ["main/groq:t expired Warning+", "groq usable in use", "Warning"]);
    let both_over = Scene::new("groq/m", &json!({"groq:a": token(-10), "groq:b": token(-20)}));
    assert_eq!(both_over.lines()[..2], ["main/groq:a expired Alarm", "main/groq:b expired Alarm"]);
}

#[test]
fn a_window_alarms_only_where_nothing_is_left_that_is_in_use() {
    let alone = |model: &str, left: i64| {
        Scene::new(model, &json!({"groq:k": key()})).variable("XAI_API_KEY").usage(json!({"groq:k": cooling(left)}))
    };
    let long = alone("groq/m", 2 * HOUR);
    assert_eq!(long.lines(), ["main/groq:k cooldown Alarm", "groq stuck in use", "Alarm"]);
    let [item] = &long.look().items[..] else { panic!("one item") };
    let until = Timestamp::from_ms(NOW + 2 * HOUR).as_f64();
    assert_eq!(item.unusable, Some((until, Some("rate_limit".to_owned()))));
    assert_eq!((item.reason.as_deref(), item.usable), (Some("rate_limit"), false));
    let unused = alone("xai/m", 2 * HOUR);
    assert_eq!(unused.lines(), ["main/groq:k cooldown Warning", "groq stuck", "xai usable in use", "Warning"]);
    // A pause is no matter for a provider that nobody uses, and one that is in use cannot answer.
    assert_eq!(alone("xai/m", 60_000).lines()[0], "main/groq:k cooldown Fine");
    assert_eq!(alone("xai/m", 60_000).lines()[3], "Fine");
    assert_eq!(alone("groq/m", 60_000).lines(), ["main/groq:k cooldown Fine", "groq stuck in use", "Alarm"]);
    let covered =
        Scene::new("groq/m", &json!({"groq:k": key(), "groq:l": key()})).usage(json!({"groq:k": cooling(2 * HOUR)}));
    assert_eq!(covered.lines()[..2], ["main/groq:k cooldown Warning+", "main/groq:l static Fine"]);
    let variable = alone("groq/m", 2 * HOUR).variable("GROQ_API_KEY");
    // With a profile in the order no variable is asked.
    assert_eq!(variable.lines()[0], "main/groq:k cooldown Alarm");
}

#[test]
fn a_pause_for_one_model_leaves_the_others() {
    let mut usage = cooling(2 * HOUR);
    usage["cooldownModel"] = json!("m1");
    let mut scene = Scene::new("groq/m1", &json!({"groq:k": key()})).usage(json!({"groq:k": usage}));
    assert_eq!(scene.lines()[1], "groq stuck in use");
    scene.config = json!({"agents": {"defaults": {"model": {"primary": "groq/m1", "fallbacks": ["groq/m2"]}}}});
    assert_eq!(scene.lines(), ["main/groq:k cooldown Warning", "groq usable in use", "Warning"]);
}

#[test]
fn a_window_counts_from_when_it_was_first_seen() {
    let mut scene = Scene::new("xai/m", &json!({"groq:k": key()})).variable("XAI_API_KEY");
    scene = scene.usage(json!({"groq:k": cooling(60_000)}));
    let seen = |status: Status| {
        let mut memory = Memory::default();
        let item = Item::for_tests("main", "groq:k", status, Level::Warning);
        memory.observe(&[item], Timestamp::from_ms(NOW - HOUR), &|_| true);
        memory
    };
    for (memory, verdict) in [
        (Memory::default(), "main/groq:k cooldown Fine"),
        (seen(Status::Cooldown), "main/groq:k cooldown Warning"),
        (seen(Status::Disabled), "main/groq:k cooldown Warning"),
        (seen(Status::Ok), "main/groq:k cooldown Fine"),
    ] {
        scene.memory = memory;
        assert_eq!(scene.lines()[0], verdict);
    }
}

#[test]
fn a_login_renews_itself_until_it_is_overdue() {
    let scene = |left: i64| Scene::new("openai-codex/m", &json!({"openai-codex:l": login(left)}));
    for (left, renews, lines) in [
        (HOUR, true, ["main/openai-codex:l ok Fine", "openai-codex usable in use", "Fine"]),
        (-HOUR, true, ["main/openai-codex:l ok Fine", "openai-codex usable in use", "Fine"]),
        // A request would still be tried with it, and nobody expects it to work.
        (-24 * HOUR, false, ["main/openai-codex:l expired Alarm", "openai-codex stuck in use", "Alarm"]),
    ] {
        assert_eq!(scene(left).lines(), lines, "{left}");
        let item = &scene(left).look().items[0];
        assert_eq!((item.renews_itself, item.usable), (renews, renews), "{left}");
    }
}

#[test]
fn a_provider_in_use_without_any_credential_is_missing() {
    let none = Scene::new("groq/m", &json!({}));
    assert_eq!(none.lines(), ["main/provider/groq missing Alarm", "groq stuck in use", "Alarm"]);
    let [item] = &none.look().items[..] else { panic!("one item") };
    assert_eq!((item.provider.as_str(), item.profile_id(), item.kind()), ("groq", None, None));
    let told = (item.reason.as_deref(), item.fix.as_deref());
    assert_eq!(told, (Some("no_credential"), Some("openclaw models status")));
    let variable = Scene::new("groq/m", &json!({})).variable("GROQ_API_KEY");
    assert_eq!(variable.lines(), ["groq usable in use", "Fine"]);
    // It is told of when it is there again, and only then.
    let mut memory = Memory::default();
    let now = Timestamp::from_ms(NOW - HOUR);
    memory.observe(&none.look().items, now, &|_| true);
    let untold = memory.clone();
    let event = &memory.due(&none.look(), super::super::Timing { min_interval_ms: 0, remind_ms: 0 }, "h", now)[0];
    memory.told(event, now);
    let mut back = variable;
    back.memory = untold;
    assert_eq!(back.lines(), ["groq usable in use", "Fine"]);
    back.memory = memory.clone();
    assert_eq!(back.lines(), ["main/provider/groq ok Fine", "groq usable in use", "Fine"]);
    let mut stored = Scene::new("groq/m", &json!({"groq:t": token(-10)}));
    stored.memory = memory;
    assert_eq!(stored.lines(), ["main/groq:t expired Alarm", "groq stuck in use", "Alarm"]);
}

#[test]
fn the_models_of_the_config_are_in_use_and_the_built_in_one_only_where_something_is_stored() {
    let openai = || json!({"openai:k": {"type": "api_key", "provider": "openai", "key": "sk-test-1"}});
    let scene = |defaults: Value, profiles: Value| {
        let mut scene = Scene::new("", &profiles);
        scene.config = json!({"agents": {"defaults": defaults}});
        scene
    };
    assert_eq!(scene(json!({}), json!({})).lines(), ["Fine"]);
    assert_eq!(scene(json!({}), openai()).lines()[1], "openai usable in use");
    let image = scene(json!({"imageModel": "groq/m"}), json!({}));
    assert_eq!(image.lines(), ["main/provider/groq missing Alarm", "groq stuck in use", "Alarm"]);
    assert_eq!(scene(json!({"model": "groq/m"}), openai()).lines()[2..4], ["groq stuck in use", "openai usable"]);
    let mut unknown = Scene::new("openai/m", &openai());
    unknown.configured = false;
    assert_eq!(unknown.lines()[1], "openai usable");
    let mut one = Scene::new("groq/m", &json!({"groq:k": key(), "openai:k": openai()["openai:k"]}));
    one.only = Some("openai");
    assert_eq!(one.lines(), ["main/openai:k static Fine", "openai usable", "Fine"]);
}

#[test]
fn a_store_that_cannot_be_read_is_not_fine() {
    let mut scene = Scene::new("groq/m", &json!({})).variable("GROQ_API_KEY");
    scene.store_unreadable = true;
    let pass = scene.look();
    assert_eq!(scene.lines(), ["main/store missing Alarm", "groq usable in use", "Alarm"]);
    let told = (pass.items[0].reason.as_deref(), pass.items[0].fix.as_deref());
    assert_eq!(told, (Some("store_unreadable"), Some("openclaw doctor")));
    let now = Timestamp::from_ms(NOW - HOUR);
    scene.memory.observe(&pass.items, now, &|_| true);
    scene.store_unreadable = false;
    assert_eq!(scene.lines(), ["groq usable in use", "Fine"], "nobody was told");
    let event = &scene.memory.due(&pass, super::super::Timing { min_interval_ms: 0, remind_ms: 0 }, "h", now)[0];
    scene.memory.told(event, now);
    assert_eq!(scene.lines(), ["main/store ok Fine", "groq usable in use", "Fine"]);
}

#[test]
fn passes_of_several_agents_add_up() {
    let mut all = Scene::new("groq/m", &json!({"groq:k": key()})).look();
    all.add(Scene::new("groq/m", &json!({"groq:t": token(-10)})).look());
    assert_eq!((all.items.len(), all.providers.len(), all.overall()), (2, 2, Level::Alarm));
}
