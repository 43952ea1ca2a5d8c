//! What a config may hold and what is said of the rest, rule by rule.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn issues(config: &Value) -> Vec<String> {
    validate(config).into_iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect()
}

#[test]
fn a_valid_config_has_no_issue() {
    let config = json!({
        "$schema": "x", "gateway": {"anything": [1]}, "bogusTop": 1,
        "auth": {"profiles": {"a:b": {"provider": "a", "mode": "token"}}, "order": {"a": []}, "cooldowns": {"billingMaxHours": 0.5}},
        "agents": {"defaults": {"model": "a/b", "models": {"a/b": {"alias": "x", "params": {}}}}, "list": [{"id": "main", "default": true}]},
        "models": {"providers": {"a": {"apiKey": {"source": "env", "provider": "default", "id": "A_KEY"}, "models": [{"id": "m"}]}}},
        "secrets": {"providers": {"v": {"source": "exec", "command": "/bin/v", "args": ["x"]}}, "defaults": {"exec": "v"}},
        "env": {"A": "b", "vars": {"C": "d"}, "shellEnv": {"enabled": true, "timeoutMs": 0}},
        "meta": {"lastTouchedAt": 1}
    });
    assert_eq!(issues(&config), Vec::<String>::new());
}

#[test]
fn issues_name_path_and_cause() {
    let config = json!({"auth": {"profiles": {"a:b": {"provider": "a"}}, "zz": 1, "profile": {}}});
    assert_eq!(
        issues(&config),
        [
            "auth: Unrecognized key: \"zz\"",
            "auth: Unrecognized key: \"profile\" (did you mean \"profiles\"?)",
            "auth.profiles.a:b.mode: Invalid input (allowed: \"api_key\", \"oauth\", \"token\")"
        ]
    );
    assert_eq!(
        issues(&json!({"agents": {"defaults": {"model": 42}}})),
        ["agents.defaults.model: Invalid input: expected string or object, received number"]
    );
    assert_eq!(issues(&json!([])), ["<root>: Invalid input: expected object, received array"]);
}

#[test]
fn references_in_the_config_are_strict() {
    let of = |reference: Value| issues(&json!({"models": {"providers": {"a": {"apiKey": reference}}}}));
    assert_eq!(of(json!("sk-test-1")), Vec::<String>::new());
    assert!(of(json!({"source": "env", "id": "A"}))[0].contains("Invalid secret reference"));
    assert!(of(json!({"source": "env", "provider": "default", "id": "lower"}))[0].contains("apiKey.id"));
    assert!(of(json!({"source": "exec", "provider": "v", "id": "a/../b"}))[0].contains("path segments"));
    assert!(of(json!(7))[0].contains("secret reference"));
}

proptest! {
    #[test]
    fn never_quotes_values(secret in "[a-z]{12,20}") {
        let config = json!({"auth": &secret, "agents": {"defaults": {"model": [&secret]}, "list": &secret},
            "models": {"providers": {"p": {"apiKey": [&secret], "auth": &secret}}}, "secrets": {"providers": {"v": {"source": &secret}}},
            "env": {"X": [&secret]}, "meta": &secret});
        let all = issues(&config).join("\n");
        prop_assert!(!all.contains(&secret) && !all.is_empty());
    }
}

/// A document with one value at a dotted path; a number in the path is the place in an array.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, part| if part == "0" { json!([value]) } else { json!({part: value}) })
}

/// A value of each type, with the name of the type.
fn typed() -> [(&'static str, Value); 6] {
    [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("number", json!(7)),
        ("string", json!("x")),
        ("array", json!([])),
        ("object", json!({})),
    ]
}

#[test]
fn a_member_of_another_type_is_named_with_both_types() {
    let rows = [
        (
            "object",
            "auth auth.profiles auth.profiles.a:b auth.order auth.cooldowns auth.cooldowns.billingBackoffHoursByProvider \
             agents agents.defaults agents.defaults.models agents.defaults.models.a/b agents.list.0 env env.vars \
             env.shellEnv meta models models.providers models.providers.p models.providers.p.headers \
             models.providers.p.request models.providers.p.models.0 secrets secrets.providers secrets.providers.v \
             secrets.defaults secrets.resolution",
        ),
        ("array", "auth.order.p agents.list agents.defaults.model.fallbacks models.providers.p.models"),
        (
            "string",
            "$schema agents.list.0.id agents.list.0.agentDir agents.list.0.model.primary agents.defaults.model.primary \
             agents.defaults.imageModel.primary agents.defaults.models.a/b.alias env.X env.vars.X \
             meta.lastTouchedVersion models.providers.p.baseUrl models.providers.p.api models.providers.p.models.0.id",
        ),
        ("boolean", "agents.list.0.default env.shellEnv.enabled models.providers.p.authHeader"),
        ("string or object", "agents.defaults.model agents.defaults.imageModel agents.list.0.model"),
        ("string or number", "meta.lastTouchedAt"),
        (
            "string or secret reference",
            "models.providers.p.apiKey models.providers.p.headers.x models.providers.p.request.headers.x \
             models.providers.p.request.auth.token models.providers.p.request.auth.value \
             models.providers.p.request.tls.ca models.providers.p.request.tls.cert models.providers.p.request.tls.key \
             models.providers.p.request.tls.passphrase models.providers.p.request.proxy.tls.ca \
             models.providers.p.request.proxy.tls.cert models.providers.p.request.proxy.tls.key \
             models.providers.p.request.proxy.tls.passphrase",
        ),
    ];
    for (wanted, paths) in rows {
        for path in paths.split_whitespace() {
            for (name, value) in typed() {
                let fits =
                    wanted.split(" or ").any(|word| word == name || word == "secret reference" && name == "object");
                if !fits {
                    let issue = format!("{path}: Invalid input: expected {wanted}, received {name}");
                    assert_eq!(issues(&nested(path, value)), [issue]);
                }
            }
        }
    }
    assert_eq!(
        issues(&json!({"meta": {"lastTouchedAt": "2026-01-01"}, "agents": {"defaults": {"imageModel": {}}}})),
        NONE
    );
}

const NONE: [&str; 0] = [];

#[test]
fn members_that_must_be_there_are_missed() {
    let undefined = "Invalid input: expected string, received undefined";
    assert_eq!(
        issues(&json!({"auth": {"profiles": {"a:b": {"mode": "oauth"}}}})),
        [format!("auth.profiles.a:b.provider: {undefined}")]
    );
    assert_eq!(
        issues(&nested("models.providers.p.models.0", json!({"name": "M"}))),
        [format!("models.providers.p.models.0.id: {undefined}")]
    );
    let profile = |member: &str, value: Value| {
        let mut profile = json!({"provider": "a", "mode": "api_key", "email": "m@x.example", "displayName": "M"});
        profile[member] = value;
        issues(&json!({"auth": {"profiles": {"a:b": profile}}}))
    };
    for member in ["provider", "email", "displayName"] {
        assert_eq!(profile(member, json!("x")), NONE);
        assert_eq!(profile(member, json!(1)).len(), 1, "{member}");
    }
    for (mode, count) in [("api_key", 0), ("oauth", 0), ("token", 0), ("api-key", 1), ("", 1)] {
        assert_eq!(profile("mode", json!(mode)).len(), count, "{mode}");
    }
    for (auth, count) in [("api-key", 0), ("aws-sdk", 0), ("oauth", 0), ("token", 0), ("api_key", 1)] {
        assert_eq!(issues(&nested("models.providers.p.auth", json!(auth))).len(), count, "{auth}");
    }
}

#[test]
fn cooldowns_are_numbers_above_zero_and_counts_whole_ones() {
    let hours = "billingBackoffHours billingMaxHours authPermanentBackoffMinutes authPermanentMaxMinutes \
                 failureWindowHours billingBackoffHoursByProvider.p";
    let counts = "overloadedProfileRotations overloadedBackoffMs rateLimitedProfileRotations";
    let rows = [
        (hours, "a number above 0", [json!(0.001), json!(1), json!(9e9)], [json!(0), json!(-1), json!("1")]),
        (counts, "a whole number, at least 0", [json!(0), json!(7), json!(2.0)], [json!(-1), json!(0.5), json!(null)]),
    ];
    for (keys, wanted, good, bad) in rows {
        for path in keys.split_whitespace().map(|key| format!("auth.cooldowns.{key}")) {
            for value in &good {
                assert_eq!(issues(&nested(&path, value.clone())), NONE, "{value}");
            }
            for value in &bad {
                let issue = format!("{path}: Invalid input: expected {wanted}");
                assert_eq!(issues(&nested(&path, value.clone())), [issue], "{value}");
            }
        }
    }
    assert_eq!(issues(&nested("env.shellEnv.timeoutMs", json!(0))), NONE);
    assert_eq!(issues(&nested("env.shellEnv.timeoutMs", json!(-1))).len(), 1);
}

/// A source, one of its members, values that fit there, values that do not, what is said of these.
type Row<'a> = (&'a Value, &'a str, Vec<Value>, Vec<Value>, &'a str);

/// The sources of spec 05 section 2 as they may be, with one member changed by each row.
#[test]
fn sources_of_secrets_keep_to_their_limits() {
    let provider = |base: &Value, path: &str, value: &Value| {
        let mut provider = base.clone();
        provider[path] = value.clone();
        issues(&json!({"secrets": {"providers": {"v": provider}}}))
    };
    let env = json!({"source": "env", "allowlist": ["A", "B_1"]});
    let file = json!({"source": "file", "path": "/s", "mode": "json", "timeoutMs": 5000, "maxBytes": 1, "allowInsecurePath": true});
    let exec = json!({"source": "exec", "command": "/bin/v", "args": ["a b"], "timeoutMs": 1, "noOutputTimeoutMs": 1,
        "maxOutputBytes": 1, "jsonOnly": false, "env": {"A": "b"}, "passEnv": ["HOME"], "trustedDirs": ["/bin"],
        "allowInsecurePath": false, "allowSymlinkCommand": true});
    for base in [&env, &file, &exec] {
        assert_eq!(provider(base, "source", &base["source"]), NONE, "{base}");
        let unknown = provider(base, "zz", &json!(1));
        assert_eq!(unknown, ["secrets.providers.v: Unrecognized key: \"zz\""], "{base}");
    }
    for source in [json!("vault"), json!(null), json!(1)] {
        let all = provider(&json!({}), "source", &source);
        assert_eq!(all, ["secrets.providers.v.source: Invalid input (allowed: \"env\", \"file\", \"exec\")"]);
    }

    let number = |from: u32, to: u32| format!("expected a whole number from {from} to {to}");
    let strings = |text: &str, count: usize| json!(vec![text; count]);
    let (ms, bytes) = (number(1, 120_000), number(1, 20_971_520));
    let path = "expected an absolute path without shell characters";
    let name = "expected an environment variable name";
    let rows: Vec<Row> = vec![
        (&env, "allowlist", vec![json!([]), strings("A", 256)], vec![json!(["lower"]), json!([1])], name),
        (&env, "allowlist", vec![], vec![strings("A", 257)], "Too big: at most 256 items"),
        (&file, "path", vec![json!("~/x")], vec![json!(""), json!(1), json!(null)], "expected a path"),
        (&file, "mode", vec![json!("singleValue")], vec![json!("text")], "allowed: \"json\", \"singleValue\""),
        (&file, "timeoutMs", vec![json!(1), json!(120_000)], vec![json!(0), json!(120_001), json!(1.5)], &ms),
        (&file, "maxBytes", vec![json!(1), json!(20_971_520)], vec![json!(0), json!(20_971_521)], &bytes),
        (&file, "allowInsecurePath", vec![], vec![json!("yes")], "expected boolean"),
        (&exec, "timeoutMs", vec![json!(120_000)], vec![json!(0), json!(120_001)], &ms),
        (&exec, "noOutputTimeoutMs", vec![json!(120_000)], vec![json!(0), json!(120_001)], &ms),
        (&exec, "maxOutputBytes", vec![json!(20_971_520)], vec![json!(0), json!(20_971_521)], &bytes),
        (
            &exec,
            "args",
            vec![strings("", 128), json!(["é".repeat(1024)])],
            vec![json!(["é".repeat(1025)])],
            "at most 1024 characters",
        ),
        (&exec, "args", vec![], vec![strings("", 129)], "Too big: at most 128 items"),
        (&exec, "passEnv", vec![strings("A", 128)], vec![json!(["a"])], name),
        (&exec, "passEnv", vec![], vec![strings("A", 129)], "Too big: at most 128 items"),
        (
            &exec,
            "trustedDirs",
            vec![strings("/x", 64), json!(["C:\\x", "d:/x", "\\\\host\\share"])],
            vec![
                json!(["x"]),
                json!(["~/x"]),
                json!(["C:x"]),
                json!(["1:/x"]),
                json!(["Cd/x"]),
                json!(["CdX"]),
                json!([""]),
            ],
            "expected an absolute path",
        ),
        (&exec, "trustedDirs", vec![], vec![strings("/x", 65)], "Too big: at most 64 items"),
        (
            &exec,
            "command",
            vec![json!("C:\\v.exe"), json!("/a b/v")],
            vec![json!("v"), json!("~/v"), json!(null)],
            path,
        ),
        (&exec, "env", vec![json!({})], vec![json!({"A": 1})], "expected string, received number"),
        (&exec, "jsonOnly", vec![], vec![json!(1)], "expected boolean"),
        (&exec, "allowInsecurePath", vec![], vec![json!(1)], "expected boolean"),
        (&exec, "allowSymlinkCommand", vec![], vec![json!(1)], "expected boolean"),
    ];
    for (base, member, good, bad, message) in rows {
        for value in good {
            assert_eq!(provider(base, member, &value), NONE, "{member} {value}");
        }
        for value in bad {
            let all = provider(base, member, &value);
            let place = format!("secrets.providers.v.{member}");
            assert!(matches!(&all[..], [one] if one.starts_with(&place) && one.contains(message)), "{value}: {all:?}");
        }
    }
    for c in "\0\r\n;&|`$<>\"'".chars() {
        assert_eq!(provider(&exec, "command", &json!(format!("/bin/v{c}"))).len(), 1, "{c:?}");
    }
}

#[test]
fn settings_of_resolution_keep_to_their_limits() {
    for (member, max) in [("maxProviderConcurrency", 16), ("maxRefsPerProvider", 4096), ("maxBatchBytes", 5_242_880)] {
        let path = format!("secrets.resolution.{member}");
        for (value, count) in [(0, 1), (1, 0), (max, 0), (max + 1, 1)] {
            assert_eq!(issues(&nested(&path, json!(value))).len(), count, "{member} {value}");
        }
    }
    for source in ["env", "file", "exec"] {
        let path = format!("secrets.defaults.{source}");
        assert_eq!(issues(&nested(&path, json!("v_1-x"))), NONE);
        for bad in [json!("Upper"), json!(""), json!(1)] {
            let issue = format!("{path}: Invalid input: expected an alias matching ^[a-z][a-z0-9_-]{{0,63}}$");
            assert_eq!(issues(&nested(&path, bad)), [issue]);
        }
    }
    for (path, parent) in [
        ("secrets.zz", "secrets"),
        ("secrets.resolution.zz", "secrets.resolution"),
        ("meta.zz", "meta"),
        ("env.shellEnv.zz", "env.shellEnv"),
        ("auth.cooldowns.zz", "auth.cooldowns"),
    ] {
        assert_eq!(issues(&nested(path, json!({}))), [format!("{parent}: Unrecognized key: \"zz\"")]);
    }
}

#[test]
fn a_reference_of_the_config_has_its_three_members_and_their_patterns() {
    let of = |reference: Value| issues(&nested("models.providers.p.apiKey", reference));
    let at = "models.providers.p.apiKey";
    assert_eq!(of(json!({"source": "file", "provider": "v", "id": "/a~0b/~1"})), NONE);
    assert_eq!(
        of(json!({"source": "env", "provider": "V", "id": "A"})),
        [format!("{at}.provider: Secret reference provider must match ^[a-z][a-z0-9_-]{{0,63}}$")]
    );
    for (reference, words) in [
        (json!({"source": "env", "id": "A"}), "needs \"source\""),
        (json!({"source": "vault", "provider": "v", "id": "A"}), "needs \"source\""),
        (json!({"source": "env", "provider": "v", "id": ""}), "needs \"source\""),
        (json!({"source": "env", "provider": "v", "id": "A", "x": 1}), "Unrecognized key: \"x\""),
    ] {
        assert!(of(reference.clone())[0].contains(words), "{reference}");
    }
}

/// An unknown key names the object that it stands in, points at itself, and may be meant for another one.
#[test]
fn an_unknown_key_is_told_with_what_it_may_mean() {
    for (key, hint) in [
        ("Profiles", Some("profiles")),
        ("pro_files", Some("profiles")),
        ("pro-Files", Some("profiles")),
        ("profile", Some("profiles")),
        ("rofiles", Some("profiles")),
        ("xprofiles", Some("profiles")),
        ("profilesx", Some("profiles")),
        ("profxiles", Some("profiles")),
        ("profxles", Some("profiles")),
        ("ordr", Some("order")),
        ("cooldown", Some("cooldowns")),
        ("prxxles", None),
        ("profilesxx", None),
        ("xxprofiles", None),
        ("ofiles", None),
        ("oders2", None),
        ("ile", None),
        ("", None),
    ] {
        let hint = hint.map_or_else(String::new, |known| format!(" (did you mean \"{known}\"?)"));
        assert_eq!(issues(&json!({"auth": {key: {}}})), [format!("auth: Unrecognized key: \"{key}\"{hint}")]);
    }
    // Names of up to three letters resemble too much; of more they are matched from the fourth on.
    for (path, hint) in [
        ("secrets.defaults.ev", ""),
        ("secrets.defaults.ENV", " (did you mean \"env\"?)"),
        ("secrets.defaults.fil", " (did you mean \"file\"?)"),
    ] {
        let all = issues(&nested(path, json!("v")));
        let key = path.rsplit('.').next().unwrap();
        assert_eq!(all, [format!("secrets.defaults: Unrecognized key: \"{key}\"{hint}")]);
    }

    let [issue] = &validate(&json!({"auth": {"z\u{1b}z": 1}}))[..] else { panic!("one issue") };
    assert_eq!((issue.path.to_string(), issue.message.as_str()), ("auth".to_owned(), "Unrecognized key: \"zz\""));
    assert_eq!((issue.subject.parts().len(), issue.is_unknown_key), (2, true));
    let [issue] = &validate(&json!({"auth": 1}))[..] else { panic!("one issue") };
    assert_eq!((&issue.subject, issue.is_unknown_key), (&issue.path, false));
}
