//! Which candidate is next, what becomes of the others, and which sources contradict each other.

use super::*;
use crate::env_credential::AmbientFacts;
use crate::environment::{EmptyValue, Environment};
use crate::profile::{AuthProfiles, Owner};
use crate::secret_ref::SecretRef;
use crate::source::ResolvedRefs;
use crate::time::Timestamp;
use serde_json::{Value, json};

const NOW_MS: i64 = 1_800_000_000_000;

/// What a question about a provider may look at.
struct Scene {
    config: Value,
    store: Value,
    environment: Environment,
    ambient: AmbientFacts,
    refs: ResolvedRefs,
}

impl Scene {
    fn new(config: Value, profiles: Value, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut store = json!({});
        store["profiles"] = profiles;
        Self {
            config,
            store,
            environment: Environment::from_process(variables),
            ambient: AmbientFacts::default(),
            refs: ResolvedRefs::default(),
        }
    }

    fn explain(&self, provider: &str) -> Explanation {
        let config = Config::from_value(&self.config);
        let store = AuthProfiles::parse(&serde_json::to_string_pretty(&self.store).unwrap(), Owner::Agent).unwrap();
        let situation = Situation {
            config: &config,
            environment: &self.environment,
            ambient: self.ambient,
            store: &store,
            refs: &self.refs,
            now: Timestamp::from_ms(NOW_MS),
        };
        explain(&situation, &ProviderId::normalise(provider), None)
    }

    /// One line per candidate: its source, how it is shown, the verdict.
    fn lines(&self, provider: &str) -> Vec<String> {
        let explanation = self.explain(provider);
        let next = explanation.next().map(|next| next.source.clone());
        let line = |candidate: &Candidate| {
            let standing = match &candidate.standing {
                Standing::Next => {
                    assert_eq!(next.as_ref(), Some(&candidate.source));
                    "next".to_owned()
                }
                Standing::InReserve => "in reserve".to_owned(),
                Standing::Waiting(window) => format!("waiting {} s", (window.until_ms / 1e3).round() - 1.8e9),
                Standing::Ineligible(eligibility) => eligibility.code().to_owned(),
                Standing::LeftOut => "left out".to_owned(),
                Standing::Unresolved(why) => format!("unresolved: {why}"),
                Standing::Outranked(by) => format!("{by:?}"),
                Standing::Unusable => "unusable".to_owned(),
            };
            format!("{} {} {standing}", candidate.source.label(), candidate.shown)
        };
        explanation.candidates.iter().map(line).collect()
    }

    fn conflicts(&self, provider: &str) -> Vec<String> {
        let line = |conflict: &Conflict| {
            let ((used, shown), (unused, other)) = (&conflict.used, &conflict.unused);
            format!("{used} {shown}, not {unused} {other}")
        };
        self.explain(provider).conflicts.iter().map(line).collect()
    }
}

fn key(key: &str) -> Value {
    json!({"type": "api_key", "provider": "groq", "key": key})
}

fn configured(provider: &str, mut entry: Value) -> Value {
    entry["baseUrl"] = json!("https://example.com/v1");
    json!({"models": {"providers": {provider: entry}}})
}

/// Spec 07 section 6.1 step 5: with a profile in the order nothing else is asked, not even when all are waiting.
#[test]
fn profiles_decide_where_the_order_has_one() {
    let profiles = json!({"a": key("sk-test-aaaa-01"), "b": key("sk-test-bbbb-02"), "c": key("sk-test-cccc-03"),
        "left": key("sk-test-left-04"),
        "old": {"type": "token", "provider": "groq", "token": "sk-test-old-05", "expires": 1}});
    let variables = [("GROQ_API_KEY", "sk-test-env-06"), ("GROQ_API_KEY_2", "sk-test-env-07")];
    let mut scene = Scene::new(configured("groq", json!({"apiKey": "secretref-managed"})), profiles, &variables);
    scene.store["order"] = json!({"groq": ["a", "b", "old", "c"]});
    scene.store["usageStats"] = json!({"a": {"cooldownUntil": NOW_MS + 30_000}});
    let rest = [
        "profile:left sk...04 left out",
        "profile:old token:sk...05 expired",
        "env: GROQ_API_KEY sk...06 ByProfiles",
        "env: GROQ_API_KEY_2 sk...07 ByProfiles",
        "models.json marker(secretref-managed) unusable",
    ];
    let mut expected = vec!["profile:b sk...02 next", "profile:c sk...03 in reserve", "profile:a sk...01 waiting 30 s"];
    expected.extend(rest);
    assert_eq!(scene.lines("groq"), expected);

    for id in ["b", "c"] {
        scene.store["usageStats"][id] = json!({"cooldownUntil": NOW_MS + 60_000});
    }
    let mut expected =
        vec!["profile:a sk...01 waiting 30 s", "profile:b sk...02 waiting 60 s", "profile:c sk...03 waiting 60 s"];
    expected.extend(rest);
    assert_eq!(scene.lines("groq"), expected);
    assert!(scene.explain("groq").next().is_none());
}

/// Callers show where a profile stands in its file, and send what stands in the open.
#[test]
fn a_candidate_has_its_line_and_its_secret() {
    let mut scene = Scene::new(configured("xai", json!({"apiKey": "sk-test-config"})), json!({}), &[]);
    scene.config["plugins"] = json!({"entries": {"xai": {"config": {"webSearch": {"apiKey": "sk-test-search"}}}}});
    for (name, value) in [("OPENCLAW_LIVE_XAI_KEY", "sk-test-live"), ("XAI_API_KEY", "sk-test-env")] {
        scene.environment.set(name, value.to_owned());
    }
    scene.store["profiles"] = json!({
        "k": {"type": "api_key", "provider": "xai", "key": "sk-test-key"},
        "l": {"type": "oauth", "provider": "xai", "access": "sk-test-access", "refresh": "r", "expires": NOW_MS * 2},
        "r": {"type": "token", "provider": "xai", "tokenRef": {"source": "env", "provider": "default", "id": "T"}},
        "t": {"type": "token", "provider": "xai", "token": "sk-test-token"}});
    let found: Vec<_> = scene
        .explain("xai")
        .candidates
        .iter()
        .map(|one| (one.source.label(), one.line, one.secret().map(|secret| secret.reveal().to_owned())))
        .collect();
    for (label, line, secret) in [
        ("profile:k", Some(3), Some("sk-test-key")),
        ("profile:l", Some(8), None),
        ("profile:r", Some(15), None),
        ("profile:t", Some(24), Some("sk-test-token")),
        ("env: OPENCLAW_LIVE_XAI_KEY", None, Some("sk-test-live")),
        ("env: XAI_API_KEY", None, Some("sk-test-env")),
        ("models.json", None, Some("sk-test-config")),
        ("xai web search key", None, Some("sk-test-search")),
    ] {
        let expected = (label.to_owned(), line, secret.map(str::to_owned));
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    scene.environment.unset("OPENCLAW_LIVE_XAI_KEY");
    scene.environment.set("XAI_API_KEY_2", "sk-test-second".to_owned());
    let explanation = scene.explain("xai");
    let second = explanation.candidates.iter().find(|one| one.source.label() == "env: XAI_API_KEY_2").unwrap();
    assert_eq!(second.secret().map(Secret::reveal), Some("sk-test-second"));
}

/// Spec 07 sections 2.3 and 2.5, spec 02 section 8 steps 5 to 9: what a turn without a profile tries.
#[test]
fn without_a_profile_one_source_decides() {
    let api_key = |key: &str| json!({"apiKey": key});
    let both = [("GROQ_API_KEY", "sk-test-env-01"), ("GROQ_API_KEYS", "sk-test-env-02 sk-test-env-01")];
    let live = [("GROQ_API_KEY", "sk-test-env-01"), ("OPENCLAW_LIVE_GROQ_KEY", "sk-test-env-03")];
    let preferred = json!({"auth": "api-key", "apiKey": "sk-test-conf-04"});
    let ollama = json!({"api": "ollama", "apiKey": "sk-test-conf-04"});
    let aws = [("AWS_PROFILE", "work")];
    for (provider, entry, variables, expected) in [
        ("groq", json!({}), &[][..], &[][..]),
        (
            "groq",
            api_key("sk-test-conf-04"),
            &both,
            &[
                "env: GROQ_API_KEY sk...01 next",
                "env: GROQ_API_KEYS sk...02 in reserve",
                "models.json sk...04 ByEnvironment",
            ],
        ),
        ("groq", api_key("sk-test-conf-04"), &[], &["models.json sk...04 next"]),
        (
            "groq",
            api_key("secretref-managed"),
            &both[..1],
            &["env: GROQ_API_KEY sk...01 next", "models.json marker(secretref-managed) unusable"],
        ),
        // The config's own key goes first only where the config says so, and there is one.
        ("groq", preferred.clone(), &both[..1], &["models.json sk...04 next", "env: GROQ_API_KEY sk...01 in reserve"]),
        (
            "groq",
            json!({"auth": "api-key", "apiKey": "sk-test-env-01"}),
            &both[..1],
            &["models.json sk...01 next", "env: GROQ_API_KEY sk...01 ByConfigKey"],
        ),
        (
            "anthropic",
            preferred.clone(),
            &[("ANTHROPIC_OAUTH_TOKEN", "sk-test-token-05"), ("ANTHROPIC_API_KEY", "sk-test-env-06")],
            &[
                "models.json sk...04 next",
                "env: ANTHROPIC_OAUTH_TOKEN sk...05 ByConfigKey",
                "env: ANTHROPIC_API_KEY sk...06 in reserve",
            ],
        ),
        ("groq", json!({"auth": "api-key"}), &both[..1], &["env: GROQ_API_KEY sk...01 next"]),
        (
            "groq",
            json!({"auth": "token", "apiKey": "sk-test-conf-04"}),
            &both[..1],
            &["env: GROQ_API_KEY sk...01 next", "models.json sk...04 ByEnvironment"],
        ),
        // The override stands alone, before the config's key too.
        (
            "groq",
            preferred,
            &live,
            &[
                "env: OPENCLAW_LIVE_GROQ_KEY sk...03 next",
                "env: GROQ_API_KEY sk...01 ByOverride",
                "models.json sk...04 ByOverride",
            ],
        ),
        (
            "groq",
            api_key("secretref-managed"),
            &live[1..],
            &["env: OPENCLAW_LIVE_GROQ_KEY sk...03 next", "models.json marker(secretref-managed) unusable"],
        ),
        ("ollama", ollama, &[], &["models.json sk...04 next", "synthetic marker(ollama-local) ByConfigKey"]),
        ("amazon-bedrock", json!({}), &[], &["aws default chain found at use next"]),
        (
            "amazon-bedrock",
            json!({}),
            &aws,
            &["env: AWS_PROFILE marker(AWS_PROFILE) next", "aws default chain found at use ByEnvironment"],
        ),
        ("amazon-bedrock", json!({"auth": "token"}), &[], &[]),
        (
            "amazon-bedrock",
            json!({"auth": "aws-sdk"}),
            &aws,
            &["env: AWS_PROFILE marker(AWS_PROFILE) ByAws", "aws default chain found at use next"],
        ),
    ] {
        let scene = Scene::new(configured(provider, entry.clone()), json!({}), variables);
        assert_eq!(scene.lines(provider), expected, "{provider} {entry} {variables:?}");
    }
}

/// Spec 02 section 6: a credential that the provider's own library finds counts as one of the environment.
#[test]
fn a_credential_without_a_variable_is_a_candidate() {
    let entry = json!({"apiKey": "sk-test-conf-01"});
    let mut scene = Scene::new(configured("anthropic-vertex", entry), json!({}), &[]);
    scene.ambient.google_adc_readable = true;
    let ambient = "gcloud adc marker(gcp-vertex-credentials)";
    let expected = [format!("{ambient} next"), "models.json sk...01 ByEnvironment".to_owned()];
    assert_eq!(scene.lines("anthropic-vertex"), expected);
    scene.config = json!({});
    assert_eq!(scene.lines("anthropic-vertex"), [format!("{ambient} next")]);
    // Keys of the environment go before it.
    scene.environment.set("ANTHROPIC_VERTEX_API_KEY", "sk-test-env-02".to_owned());
    assert_eq!(scene.lines("anthropic-vertex"), ["env: ANTHROPIC_VERTEX_API_KEY sk...02 next"]);
}

/// Spec 07 section 6.1 step 3, spec 02 section 8 step 2.
#[test]
fn the_config_may_rank_above_profiles() {
    let profiles = json!({"a": key("sk-test-aaaa-01"),
        "old": {"type": "token", "provider": "groq", "token": "sk-test-old-02", "expires": 1}});
    let api_key = json!({"auth": "api-key", "apiKey": "sk-test-conf-03"});
    for (provider, entry, expected) in [
        (
            "groq",
            api_key.clone(),
            &["profile:a sk...01 ByConfigKey", "profile:old token:sk...02 expired", "models.json sk...03 next"][..],
        ),
        ("groq", json!({"auth": "api-key"}), &["profile:a sk...01 next", "profile:old token:sk...02 expired"]),
        // That another provider says so is nothing to this one.
        ("xai", api_key, &["profile:a sk...01 next", "profile:old token:sk...02 expired"]),
        (
            "groq",
            json!({"auth": "aws-sdk"}),
            &["profile:a sk...01 ByAws", "profile:old token:sk...02 expired", "aws default chain found at use next"],
        ),
    ] {
        let scene = Scene::new(configured(provider, entry.clone()), profiles.clone(), &[]);
        assert_eq!(scene.lines("groq"), expected, "{provider} {entry}");
    }
}

/// Spec 07 section 6.2: a candidate whose secret cannot be resolved is passed over.
#[test]
fn a_reference_that_fails_is_passed_over() {
    let refer = |source: &str, provider: &str, id: &str| json!({"source": source, "provider": provider, "id": id});
    let profile = |to: &Value| json!({"type": "api_key", "provider": "groq", "keyRef": to});
    let env = |name: &str| refer("env", "default", name);
    let file = |id: &str| refer("file", "vault", id);
    let profiles = json!({
        "1": profile(&env("MISSING_KEY")),
        "2": profile(&file("/failed")),
        "3": profile(&refer("file", "nowhere", "/key")),
        "4": profile(&refer("file", "other", "/key")),
        "5": profile(&env("WORK_KEY")),
        "6": profile(&file("/given")),
        "7": profile(&file("/not-run")),
        "8": profile(&refer("exec", "run", "key")),
        "9": {"type": "oauth", "provider": "groq", "access": "a", "refresh": "r", "expires": NOW_MS * 2,
            "tokenRef": env("WORK_KEY")}});
    let mut scene = Scene::new(json!({}), profiles, &[("WORK_KEY", "sk-test-work")]);
    scene.config["secrets"] = json!({"providers": {
        "vault": {"source": "file", "path": "/k"}, "other": {"source": "env"},
        "run": {"source": "exec", "command": "/bin/run"}}});
    scene.store["order"] = json!({"groq": ["1", "2", "3", "4", "5", "6", "7", "8", "9"]});
    let to = |id: &str| SecretRef { source: RefSource::File, provider: "vault".to_owned(), id: id.to_owned() };
    scene.refs.insert(to("/failed"), RefState::Unresolved("the file is not there".to_owned()));
    scene.refs.insert(to("/given"), RefState::Resolved(Secret::new("sk-test-given")));

    let lines = scene.lines("groq");
    for (id, expected) in [
        ("1", "unresolved: "),
        ("2", "unresolved: the file is not there"),
        ("3", "unresolved: "),
        ("4", "unresolved: "),
        ("5", "next"),
        ("6", "in reserve"),
        ("7", "in reserve"),
        ("8", "in reserve"),
        ("9", "unresolved: auth profile 9 policy validation failed"),
    ] {
        let line = lines.iter().find(|line| line.starts_with(&format!("profile:{id} "))).unwrap();
        let verdict = &line[line.find(") ").map_or(0, |at| at + 2)..];
        let verdict = verdict.strip_prefix("OAuth ").unwrap_or(verdict);
        assert!(verdict.starts_with(expected) || line.contains(expected), "{line}: {expected}");
    }
    // Why a variable or a provider does not do is told by its name.
    assert!(lines.iter().any(|line| line.starts_with("profile:1 ") && line.contains("MISSING_KEY")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("profile:3 ") && line.contains("nowhere")), "{lines:?}");
}

#[test]
fn the_reference_of_the_config_may_fail() {
    let entry = json!({"apiKey": {"source": "env", "provider": "default", "id": "MISSING_KEY"}});
    let mut scene = Scene::new(configured("groq", entry), json!({}), &[]);
    assert_eq!(scene.lines("groq"), ["models.json ref(env:MISSING_KEY) next"]);
    let to = SecretRef { source: RefSource::Env, provider: "default".to_owned(), id: "MISSING_KEY".to_owned() };
    scene.refs.insert(to, RefState::Unresolved("it is not set".to_owned()));
    assert_eq!(scene.lines("groq"), ["models.json ref(env:MISSING_KEY) unresolved: it is not set"]);
}

/// Spec 04 section 1.8: other secrets for the same provider are pointed out, several accounts are not.
#[test]
fn contradicting_sources_are_pointed_out() {
    let one = json!({"a": key("sk-test-aaaa-01")});
    let two = json!({"a": key("sk-test-aaaa-01"), "b": key("sk-test-bbbb-02")});
    let old = json!({"old": {"type": "token", "provider": "groq", "token": "sk-test-old-05", "expires": 1}});
    let marked = json!({"a": key("secretref-managed")});
    let nothing = json!({});
    let entry = |key: &str| configured("groq", json!({"apiKey": key}));
    let first = configured("groq", json!({"auth": "api-key", "apiKey": "sk-test-conf-04"}));
    let env = [("GROQ_API_KEY", "sk-test-env-03")];
    let same = [("GROQ_API_KEY", "sk-test-aaaa-01")];
    let second = [("GROQ_API_KEY", "sk-test-bbbb-02")];
    for (config, profiles, variables, expected) in [
        (&nothing, &nothing, &[][..], &[][..]),
        (&nothing, &one, &env, &["profile a sk...01, not GROQ_API_KEY (process environment) sk...03"]),
        (
            &entry("sk-test-conf-04"),
            &one,
            &env,
            &[
                "profile a sk...01, not GROQ_API_KEY (process environment) sk...03",
                "profile a sk...01, not config models.providers sk...04",
            ],
        ),
        (&first, &one, &[], &["config models.providers sk...04, not profile a sk...01"]),
        (
            &entry("sk-test-conf-04"),
            &nothing,
            &env,
            &["GROQ_API_KEY (process environment) sk...03, not config models.providers sk...04"],
        ),
        // The same secret, in whichever account.
        (&entry("sk-test-aaaa-01"), &one, &same, &[]),
        (&nothing, &two, &second, &[]),
        // Several accounts, several keys of the environment.
        (&nothing, &two, &[], &[]),
        (&nothing, &nothing, &[("GROQ_API_KEYS", "sk-test-env-03,sk-test-env-06")], &[]),
        // What may not be tried is told of as that; a placeholder is no secret.
        (&nothing, &old, &env, &[]),
        (&first, &marked, &[], &[]),
        (&entry("secretref-managed"), &one, &[], &[]),
    ] {
        let scene = Scene::new(config.clone(), profiles.clone(), variables);
        assert_eq!(scene.conflicts("groq"), expected, "{config} {profiles} {variables:?}");
    }
}

#[test]
fn a_variable_with_two_values_is_pointed_out() {
    let mut scene = Scene::new(json!({}), json!({}), &[("GROQ_API_KEY", "sk-test-env-01")]);
    let file = |line| EnvOrigin::File { path: "~/.openclaw/.env".to_owned(), line };
    for (name, value, line) in [
        ("GROQ_API_KEY", "sk-test-file-02", 2),
        ("XAI_API_KEY", "sk-test-xai-03", 3),
        ("GROQ_API_KEY", "sk-test-env-01", 4),
    ] {
        scene.environment.add(name, value.to_owned(), file(line), EmptyValue::IsSet);
    }
    scene.environment.add("XAI_API_KEY", "sk-test-xai-04".to_owned(), EnvOrigin::Shell, EmptyValue::IsUnset);
    let expected = "GROQ_API_KEY (process environment) sk...01, not GROQ_API_KEY (~/.openclaw/.env:2) sk...02";
    assert_eq!(scene.conflicts("groq"), [expected]);
    let expected = "XAI_API_KEY (~/.openclaw/.env:3) sk...03, not XAI_API_KEY (login shell) sk...04";
    assert_eq!(scene.conflicts("xai"), [expected]);

    // That the variable is not what is used makes no difference: it is when the profile is gone.
    scene.store["profiles"] = json!({"a": key("sk-test-env-01")});
    let expected = "GROQ_API_KEY (process environment) sk...01, not GROQ_API_KEY (~/.openclaw/.env:2) sk...02";
    assert_eq!(scene.conflicts("groq"), [expected]);
}
