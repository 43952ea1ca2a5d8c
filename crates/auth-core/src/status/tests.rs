//! The report of a situation, row by row.

use super::*;
use crate::env_credential::AmbientFacts;
use crate::environment::{EmptyValue, EnvOrigin, Environment};
use crate::profile::{AuthProfiles, Owner};
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::source::ResolvedRefs;
use crate::time::Timestamp;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// What a report is made of, all empty at first.
#[derive(Default)]
struct Given {
    config: Value,
    profiles: Value,
    usage: Value,
    environment: Environment,
    refs: ResolvedRefs,
}

impl Given {
    fn with<T>(&self, ask: impl FnOnce(&Situation<'_>) -> T) -> T {
        let config = Config::from_value(&self.config);
        let profiles = if self.profiles.is_null() { json!({}) } else { self.profiles.clone() };
        let text = json!({"profiles": profiles, "usageStats": self.usage}).to_string();
        let store = AuthProfiles::parse(&text, Owner::Agent).unwrap();
        let (environment, ambient) = (&self.environment, AmbientFacts::default());
        ask(&Situation { config: &config, environment, ambient, store: &store, refs: &self.refs, now: NOW })
    }

    fn report(&self) -> StatusReport {
        self.with(|situation| StatusReport::build(situation, None))
    }

    /// The row of a provider.
    fn row(&self, provider: &str) -> Option<ProviderRow> {
        self.report().rows.into_iter().find(|row| row.provider == provider)
    }
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_process(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn providers(entries: &Value) -> Value {
    json!({"models": {"providers": entries}})
}

fn key(provider: &str) -> Value {
    json!({"type": "api_key", "provider": provider, "key": "sk-test-groq-1"})
}

fn unresolved(name: &str) -> ResolvedRefs {
    let mut refs = ResolvedRefs::default();
    refs.insert(SecretRef::env(name, &RefDefaults::default()), RefState::Unresolved(format!("{name} is gone")));
    refs
}

#[test]
fn models_come_from_the_agent_or_the_defaults_with_their_roles() {
    let config = Config::from_value(&json!({"agents": {
        "defaults": {"model": {"primary": "fast", "fallbacks": ["groq/g", "/", "opus"]}, "models": {"acme/m1": {"alias": "fast"}},
            "imageModel": {"primary": "acme/img", "fallbacks": ["zai/img"]}},
        "list": [{"id": "ops", "model": {"primary": "xai/x", "fallbacks": []}}, {"id": "plain"}]}}));
    let models = ModelsInUse::of(&config, None);
    assert_eq!((models.default_label.as_str(), models.configured, models.own), ("fast", true, None));
    assert_eq!(models.fallbacks, ["groq/g", "/", "opus"]);
    assert_eq!(
        (models.image_model.as_deref(), models.image_fallbacks.concat().as_str()),
        (Some("acme/img"), "zai/img")
    );
    let names = |models: Vec<ModelRef>| models.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(models.chain(&config)), ["acme/m1", "groq/g", "openai/opus"]);
    let roles: Vec<_> = models.roles(&config).into_iter().map(|(role, model)| format!("{role}: {model}")).collect();
    assert_eq!(
        roles,
        [
            "default model: acme/m1",
            "fallback 1: groq/g",
            "fallback 3: openai/opus",
            "image model: acme/img",
            "image fallback 1: zai/img"
        ]
    );
    let of = |agent: &str| {
        let models = ModelsInUse::of(&config, Some(&AgentId::normalise(agent)));
        (models.default_label, models.fallbacks.len(), models.own)
    };
    assert_eq!(of("ops"), ("xai/x".to_owned(), 0, Some((true, true))));
    assert_eq!(of("plain"), ("fast".to_owned(), 3, Some((false, false))));
    // With nothing configured the label is what is in use.
    let bare = Config::from_value(&json!({}));
    let models = ModelsInUse::of(&bare, None);
    assert_eq!((models.default_label.as_str(), models.configured), ("openai/gpt-5.4", false));
    assert_eq!((names(models.chain(&bare)), models.image_model), (vec!["openai/gpt-5.4".to_owned()], None));
}

#[test]
fn what_is_effective_follows_the_table() {
    let local = json!({"baseUrl": "http://localhost:1", "api": "openai-completions", "models": [{"id": "m"}]});
    let reference = json!({"source": "env", "provider": "default", "id": "GONE"});
    let program = json!({"source": "exec", "provider": "vault", "id": "a/b"});
    let search = json!({"plugins": {"entries": {"xai": {"config": {"webSearch": {"apiKey": "xai-test-search"}}}}},
        "models": {"providers": {"xai": {}}}});
    let acme = |entry: Value| providers(&json!({ "acme": entry }));
    let keyed = |key: &Value| acme(json!({ "apiKey": key }));
    let given = |config: Value, pairs: &[(&str, &str)]| Given {
        config,
        environment: variables(pairs),
        refs: unresolved("GONE"),
        ..Given::default()
    };
    let set = [("ACME_API_KEY", "sk-test-env-1")];
    // Kind, detail, whether a turn could be made, the config key as shown, whether only a reference holds the row.
    let rows = [
        (given(keyed(&json!("sk-test-groq-2")), &set), "acme", ("env", "sk...-1", true, Some("sk...-2"), false)),
        (given(keyed(&json!("sk-test-groq-2")), &[]), "acme", ("models.json", "sk...-2", true, Some("sk...-2"), false)),
        // The masked value of the variable, not its name.
        (
            given(keyed(&json!("GROQ_API_KEY")), &[("GROQ_API_KEY", "sk-test-groq-9")]),
            "acme",
            ("models.json", "sk...-9", true, Some("marker(GROQ_API_KEY)"), false),
        ),
        (
            given(keyed(&json!("GROQ_API_KEY")), &[]),
            "acme",
            ("missing", "missing", false, Some("marker(GROQ_API_KEY)"), false),
        ),
        (
            given(keyed(&reference), &[]),
            "acme",
            ("missing", "ref(env:GONE) unresolved", false, Some("ref(env:GONE)"), true),
        ),
        (given(keyed(&reference), &set), "acme", ("env", "sk...-1", true, Some("ref(env:GONE)"), false)),
        // A program is not run: it may well answer.
        (given(keyed(&program), &[]), "acme", ("models.json", "ref(exec:a/b)", true, Some("ref(exec:a/b)"), false)),
        (given(acme(local), &[]), "acme", ("synthetic", "marker(custom-local)", true, None, false)),
        (given(search, &[]), "xai", ("synthetic", "xa...ch", true, None, false)),
        (
            given(json!({}), &[("ANTHROPIC_OAUTH_TOKEN", "sk-test-env-1")]),
            "anthropic",
            ("env", "OAuth (env)", true, None, false),
        ),
        // The chain of the provider's own library may still find something.
        (
            given(providers(&json!({"amazon-bedrock": {"apiKey": "custom-local"}})), &[]),
            "amazon-bedrock",
            ("missing", "missing", true, Some("marker(custom-local)"), false),
        ),
    ];
    for (given, provider, expected) in rows {
        let row = given.row(provider).unwrap_or_else(|| panic!("no row: {expected:?}"));
        let detail = row.detail.unwrap();
        let found = (row.kind.as_str(), detail.as_str(), row.usable, row.config_key.as_deref(), row.only_unresolved);
        assert_eq!(found, expected);
        assert!(row.labels.is_empty() && row.first_profile.is_none() && row.counts == KindCounts::default());
    }
    // Nothing to show is no row.
    assert!(given(acme(json!({"baseUrl": "http://localhost:1"})), &[]).row("acme").is_none());
    assert!(given(providers(&json!({"amazon-bedrock": {}})), &[]).row("amazon-bedrock").is_none());
}

#[test]
fn a_row_with_profiles_counts_and_labels_them() {
    let given = Given {
        config: providers(&json!({"acme": {"apiKey": {"source": "env", "provider": "default", "id": "GONE"}}})),
        profiles: json!({"k": key("acme"), "t": {"type": "token", "provider": "ACME", "token": "sk-test-token1"},
            "t2": {"type": "token", "provider": "acme"}, "o": {"type": "oauth", "provider": "acme", "access": "a", "refresh": "r"},
            "k2": key("acme"), "k3": key("acme"), "other": key("groq")}),
        environment: variables(&[("ACME_API_KEY", "sk-test-env-1")]),
        refs: unresolved("GONE"),
        ..Given::default()
    };
    let row = given.row("acme").unwrap();
    assert_eq!((row.kind, row.detail.as_deref(), row.only_unresolved), (EffectiveKind::Profiles, None, false));
    assert_eq!(row.counts, KindCounts { oauth: 1, token: 2, api_key: 3 });
    assert_eq!(row.labels, ["k=sk...-1", "t=token:sk...n1", "t2=token:missing", "o=OAuth", "k2=sk...-1", "k3=sk...-1"]);
    assert_eq!((row.first_profile.as_ref().map(ProfileId::as_str), row.usable), (Some("o"), true));
    assert_eq!(row.env, Some(("sk...-1".to_owned(), "env: ACME_API_KEY".to_owned())));
    assert_eq!(row.sign_ins(), 3);
    // Profiles that cannot be used do not make way for the environment.
    let empty = Given { profiles: json!({"t": {"type": "token", "provider": "acme"}}), ..given };
    let row = empty.row("acme").unwrap();
    assert_eq!((row.kind, row.usable, row.first_profile), (EffectiveKind::Profiles, false, None));
}

#[test]
fn sign_ins_count_an_oauth_token_of_the_environment() {
    let sign_ins = |name: &str| {
        let given = Given { environment: variables(&[(name, "sk-test-env-1")]), ..Given::default() };
        given.row("anthropic").map(|row| row.sign_ins())
    };
    assert_eq!((sign_ins("ANTHROPIC_OAUTH_TOKEN"), sign_ins("ANTHROPIC_API_KEY")), (Some(1), Some(0)));
    let words = [EffectiveKind::Profiles, EffectiveKind::Env, EffectiveKind::ConfigKey, EffectiveKind::Synthetic];
    assert_eq!(words.map(EffectiveKind::as_str), ["profiles", "env", "models.json", "synthetic"]);
    assert_eq!(EffectiveKind::Missing.as_str(), "missing");
}

#[test]
fn rows_may_come_from_five_places_and_are_sorted_as_words() {
    let given = Given {
        config: json!({"agents": {"defaults": {"model": {"primary": "used/m", "fallbacks": ["acme/m"]}, "models": {"allowed/m": {}, "/": {}}}},
            "models": {"providers": {"Z.AI": {}, "a_b": {}, "a-b": {}, " ": {}, "acme": {}}}}),
        profiles: json!({"p": key("Stored"), "q": key("acme")}),
        environment: variables(&[("ANTHROPIC_API_KEY", "k"), ("AWS_PROFILE", "me")]),
        ..Given::default()
    };
    let ids = given.with(|situation| {
        let roles = ModelsInUse::of(situation.config, None).roles(situation.config);
        candidate_rows(situation, &roles)
    });
    // One variable may light up several providers; ambient credentials alone light up none.
    assert_eq!(ids, ["a_b", "a-b", "acme", "allowed", "anthropic", "anthropic-openai", "stored", "used", "zai"]);
}

#[test]
fn the_last_of_equal_aliases_wins_in_the_place_of_the_first() {
    let config = Config::from_value(&json!({"agents": {"defaults": {"models": {
        "a/1": {"alias": "x"}, "b/2": {"alias": "y"}, "c/3": {"alias": "x"}, "d/4": {}, "e/5": {"alias": "X"}}}}}));
    let found = aliases(&config);
    let found: Vec<_> = found.iter().map(|(alias, key)| (alias.as_str(), key.as_str())).collect();
    assert_eq!(found, [("x", "c/3"), ("y", "b/2"), ("X", "e/5")]);
}

#[test]
fn labels_show_no_secret_and_the_accounts_of_logins() {
    let given = Given {
        config: json!({"auth": {"profiles": {
            "named": {"provider": "p", "mode": "oauth", "displayName": "Config"},
            "mailed": {"provider": "p", "mode": "oauth", "email": "config@example.com"}}}}),
        profiles: json!({
            "key": key("p"), "marker": {"type": "api_key", "provider": "p", "key": " OPENAI_API_KEY "},
            "ref": {"type": "api_key", "provider": "p", "key": "sk-test-groq-1", "keyRef": {"source": "file", "provider": "f", "id": "/a"}},
            "template": {"type": "token", "provider": "p", "token": "${NAME}"}, "none": {"type": "api_key", "provider": "p"},
            "login": {"type": "oauth", "provider": "p"},
            "own": {"type": "oauth", "provider": "p", "email": "own@example.com"},
            "both": {"type": "oauth", "provider": "p", "email": "own@example.com", "displayName": "Own"},
            "named": {"type": "oauth", "provider": "p", "displayName": "Own"},
            "mailed": {"type": "oauth", "provider": "p", "email": "own@example.com"}}),
        ..Given::default()
    };
    let labels = given
        .with(|situation| situation.store.iter().map(|profile| profile_label(profile, situation)).collect::<Vec<_>>());
    assert_eq!(
        labels,
        [
            "key=sk...-1",
            "marker=marker(OPENAI_API_KEY)",
            "ref=ref(file:/a)",
            "template=token:ref(env:NAME)",
            "none=missing",
            "login=OAuth",
            "own=OAuth (own@example.com)",
            "both=OAuth (Own)",
            "named=OAuth (Config)",
            "mailed=OAuth (config@example.com)"
        ]
    );
}

#[test]
fn open_windows_stand_behind_the_label() {
    let at = |minutes: i64| NOW.as_ms() + minutes * 60_000;
    let given = Given {
        profiles: json!({"free": key("p"), "short": key("p"), "long": key("p"), "bare": key("p"), "over": key("p")}),
        usage: json!({"short": {"cooldownUntil": at(7), "disabledReason": "billing"},
            "long": {"disabledUntil": at(5), "cooldownUntil": at(120), "disabledReason": "billing"},
            "bare": {"disabledUntil": at(5)}, "over": {"cooldownUntil": at(0)}}),
        ..Given::default()
    };
    let row = given.row("p").unwrap();
    assert_eq!(
        row.labels,
        [
            "free=sk...-1",
            "short=sk...-1 [cooldown 7m]",
            "long=sk...-1 [disabled:billing 2h]",
            "bare=sk...-1 [disabled 5m]",
            "over=sk...-1"
        ]
    );
    let waiting: Vec<_> = given.report().unusable.iter().map(|found| found.id.to_string()).collect();
    assert_eq!(waiting, ["bare", "short", "long"]);
}

#[test]
fn a_model_in_use_without_a_credential_makes_the_check_fail() {
    let reference = |name: &str| json!({"source": "env", "provider": "default", "id": name});
    let fallbacks = ["groq/g", "acme/m", "marked/m", "fine/m", "openrouter/auto"];
    let mut refs = unresolved("GONE");
    refs.insert(SecretRef::env("SET", &RefDefaults::default()), RefState::Resolved(Secret::new("sk-test-1")));
    let mut given = Given {
        config: json!({
            "agents": {"defaults": {"model": {"primary": "zai/m", "fallbacks": fallbacks}, "imageModel": "zai/img"}},
            "models": {"providers": {"acme": {"apiKey": reference("GONE")}, "marked": {"apiKey": "custom-local"},
                "fine": {"apiKey": reference("SET")}}}}),
        environment: variables(&[("GROQ_API_KEY", "sk-test-groq-1")]),
        refs,
        ..Given::default()
    };
    let report = given.report();
    let missing: Vec<_> = report
        .missing
        .iter()
        .map(|missing| {
            let roles = missing.needed_by.iter().map(|(role, model)| format!("{role} {model}"));
            (missing.provider.as_str(), roles.collect::<Vec<_>>().join(", "))
        })
        .collect();
    // A row that rests on a reference which does not resolve is as good as none, one with a placeholder is a row.
    assert_eq!(
        missing,
        [
            ("acme", "fallback 2 acme/m".to_owned()),
            ("openrouter", "fallback 5 openrouter/auto".to_owned()),
            ("zai", "default model zai/m, image model zai/img".to_owned())
        ]
    );
    let error = RefError { path: "models.providers.acme.apiKey".to_owned(), message: "GONE is gone".to_owned() };
    assert_eq!(report.ref_errors, [error]);
    assert_eq!((report.check(false), report.check(true)), (CheckVerdict::Failing, CheckVerdict::Failing));

    let allowed = json!({"groq/g": {}, "x/y": {"alias": "z"}});
    given.config = json!({"agents": {"defaults": {"model": "groq/g", "models": allowed}}});
    let report = given.report();
    assert_eq!((report.missing.len(), report.ref_errors.len()), (0, 0));
    assert_eq!((report.check(false), report.check(true)), (CheckVerdict::Fine, CheckVerdict::Failing));
    assert_eq!(report.allowed, ["groq/g", "x/y"]);
    assert_eq!(report.aliases, [("z".to_owned(), "x/y".to_owned())]);
    // What is about to end, in use or not, is told by the health of the store.
    given.profiles = json!({"t": {"type": "token", "provider": "p", "token": "t", "expires": NOW.as_ms() + 60_000}});
    assert_eq!(given.report().check(false), CheckVerdict::Expiring);
}

#[test]
fn a_variable_of_the_login_shell_says_so() {
    let mut environment = variables(&[]);
    environment.add("GROQ_API_KEY", "sk-test-groq-1".to_owned(), EnvOrigin::Shell, EmptyValue::IsUnset);
    let row = Given { environment, ..Given::default() }.row("groq").unwrap();
    assert_eq!(row.env, Some(("sk...-1".to_owned(), "shell env: GROQ_API_KEY".to_owned())));
}
