//! What each provider is asked for a refresh, and what its answer becomes (spec 04 sections 6 and 7.5).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use auth_oauth::{Endpoints, Need, OAuthErrorKind, Refreshable, USER_AGENT};
use common::idp::{Reply, Seen};
use common::{NOW, World, and};
use serde_json::{Value, json};

/// The time of the answer: a request takes a while.
const THEN: i64 = NOW + 120;
const HOUR: i64 = 3_600_000;
const FIVE_MINUTES: i64 = 300_000;

/// Refreshes a login with these further fields; gives the request and what is stored.
fn refreshed(provider: &str, more: &Value, prepare: impl FnOnce(&mut World)) -> (Seen, Value, Value) {
    let mut world = World::new();
    prepare(&mut world);
    let id = format!("{provider}:x");
    let login = and(world.login(provider), more.clone());
    world.put("main", &json!({&id: login}));
    world.access("main", &id, &Need::Use).unwrap();
    assert_eq!(world.idp.count(), 1);
    (world.idp.seen().remove(0), login, world.profile("main", &id))
}

fn fields(seen: &Seen) -> Vec<(String, String)> {
    let name = |name: String| (name.clone(), seen.field(&name).unwrap());
    seen.names().into_iter().map(name).collect()
}

fn assert_form(seen: &Seen, url: &str, expected: &[(&str, &str)]) {
    assert_eq!((seen.method, seen.url.as_str()), ("POST", url));
    assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    let mut found = fields(seen);
    found.sort();
    let mut expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn codex() {
    let (seen, old, new) = refreshed("openai-codex", &json!({"x": 1}), |_| ());
    let refresh = old["refresh"].as_str().unwrap();
    assert_form(
        &seen,
        "https://auth.openai.com/oauth/token",
        &[("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann")],
    );
    assert_eq!((&new["expires"], &new["accountId"]), (&json!(THEN + HOUR), &json!("acct-1")), "no skew");
    assert!(new["refresh"] != old["refresh"] && new["x"] == json!(1));
}

#[test]
fn anthropic() {
    let (seen, old, new) = refreshed("anthropic", &json!({}), |_| ());
    assert_eq!((seen.method, seen.url.as_str()), ("POST", "https://platform.claude.com/v1/oauth/token"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(
        body,
        json!({"grant_type": "refresh_token", "client_id": "9d1c250a-e61b-44d9-88ed-5944d1962f5e", "refresh_token": old["refresh"]})
    );
    assert_eq!(new["expires"], json!(THEN + HOUR - FIVE_MINUTES));
    assert!(new["refresh"] != old["refresh"]);

    // An answer without a refresh token keeps the old one.
    let (_, old, new) = refreshed("anthropic", &json!({}), |world| world.idp.issuer.set_lasting());
    assert!(new["refresh"] == old["refresh"] && new["access"] != old["access"]);
}

#[test]
fn gemini() {
    let client = |names: [&'static str; 2]| {
        move |world: &mut World| {
            world.idp.issuer.set_lasting();
            world.env.set(names[0], "cid-test".to_owned());
            world.env.set(names[1], "cs-canary-1".to_owned());
        }
    };
    for names in [
        ["OPENCLAW_GEMINI_OAUTH_CLIENT_ID", "OPENCLAW_GEMINI_OAUTH_CLIENT_SECRET"],
        ["GEMINI_CLI_OAUTH_CLIENT_ID", "GEMINI_CLI_OAUTH_CLIENT_SECRET"],
    ] {
        let (seen, old, new) = refreshed("google-gemini-cli", &json!({"projectId": "p-1"}), client(names));
        let refresh = old["refresh"].as_str().unwrap();
        assert_form(
            &seen,
            "https://oauth2.googleapis.com/token",
            &[
                ("client_id", "cid-test"),
                ("client_secret", "cs-canary-1"),
                ("refresh_token", refresh),
                ("grant_type", "refresh_token"),
            ],
        );
        assert_eq!((&new["refresh"], &new["projectId"]), (&old["refresh"], &json!("p-1")));
        assert_eq!(new["expires"], json!(THEN + HOUR - FIVE_MINUTES));
    }
    // A login without a project is refreshed too, and a client without a secret sends none.
    let (seen, _, new) = refreshed("google-gemini-cli", &json!({}), |world| {
        world.env.set("GEMINI_CLI_OAUTH_CLIENT_ID", "cid-test".to_owned());
    });
    assert!(seen.field("client_secret").is_none() && new.get("projectId").is_none());
}

#[test]
fn the_client_of_an_installed_gemini_cli_is_found() {
    let (seen, _, _) = refreshed("google-gemini-cli", &json!({}), |world| {
        let package = world.dir.path().join("lib/node_modules/@google/gemini-cli");
        let deep = package.join("node_modules/@google/gemini-cli-core/dist/src/code_assist");
        let bin = world.dir.path().join("bin");
        for dir in [&deep, &package.join("dist"), &bin] {
            std::fs::create_dir_all(dir).unwrap();
        }
        std::fs::write(package.join("dist/index.js"), "").unwrap();
        let text = "const OAUTH_CLIENT_ID = 'cid-found';\nconst OAUTH_CLIENT_SECRET = 'cs-canary-found';\n";
        std::fs::write(deep.join("oauth2.js"), text).unwrap();
        std::os::unix::fs::symlink(package.join("dist/index.js"), bin.join("gemini")).unwrap();
        world.env.set("PATH", format!("/nowhere:{}", bin.display()));
    });
    assert_eq!(seen.field("client_id").as_deref(), Some("cid-found"));
    assert_eq!(seen.field("client_secret").as_deref(), Some("cs-canary-found"));
}

#[test]
fn without_a_client_google_is_not_asked() {
    for (provider, said) in [("google-gemini-cli", "Gemini CLI not found"), ("google-antigravity", "re-authenticate")] {
        let world = World::new();
        world.put("main", &json!({"g:x": world.login(provider)}));
        let error = world.access("main", "g:x", &Need::Use).unwrap_err();
        assert!(error.message.contains(said), "{error}");
        assert_eq!(world.idp.count(), 0);
        world.assert_clean();
    }
    let (seen, _, new) = refreshed("google-antigravity", &json!({"projectId": "p"}), |world| {
        world.idp.issuer.set_lasting();
        world.env.set("OPENCLAW_ANTIGRAVITY_OAUTH_CLIENT_ID", "cid-anti".to_owned());
        world.env.set("GEMINI_CLI_OAUTH_CLIENT_ID", "cid-gemini".to_owned());
    });
    assert_eq!((seen.field("client_id").as_deref(), &new["projectId"]), (Some("cid-anti"), &json!("p")));
}

#[test]
fn chutes() {
    let (seen, old, new) = refreshed("chutes", &json!({"clientId": "cid-stored"}), |world| {
        world.env.set("CHUTES_CLIENT_ID", "cid-variable".to_owned());
        world.env.set("CHUTES_CLIENT_SECRET", "cs-canary-2".to_owned());
    });
    let refresh = old["refresh"].as_str().unwrap();
    assert_form(
        &seen,
        "https://api.chutes.ai/idp/token",
        &[
            ("grant_type", "refresh_token"),
            ("client_id", "cid-stored"),
            ("refresh_token", refresh),
            ("client_secret", "cs-canary-2"),
        ],
    );
    assert_eq!(new["expires"], json!(THEN + HOUR - FIVE_MINUTES));

    let (seen, old, new) = refreshed("chutes", &json!({}), |world| {
        world.env.set("CHUTES_CLIENT_ID", " cid-variable ".to_owned());
        world.idp.issuer.set_lasting();
        world.idp.issuer.set_life_s(100);
    });
    assert_eq!(seen.names(), ["grant_type", "client_id", "refresh_token"]);
    assert_eq!(seen.field("client_id").as_deref(), Some("cid-variable"));
    assert_eq!((&new["refresh"], &new["expires"]), (&old["refresh"], &json!(THEN + 30_000)), "half a minute at least");

    let world = World::new();
    world.put("main", &json!({"chutes:x": world.login("chutes")}));
    let error = world.access("main", "chutes:x", &Need::Use).unwrap_err();
    assert!(
        error.message.contains("Missing CHUTES_CLIENT_ID for Chutes OAuth refresh (set env var or re-auth)."),
        "{error}"
    );
    assert_eq!(world.idp.count(), 0);
}

#[test]
fn minimax() {
    for (base, url) in [
        (None, "https://api.minimax.io/oauth/token"),
        (Some("https://api.minimax.io/anthropic"), "https://api.minimax.io/oauth/token"),
        (Some("https://api.minimaxi.com/anthropic"), "https://api.minimaxi.com/oauth/token"),
        (Some("https://minimaxi.com.evil.test"), "https://api.minimax.io/oauth/token"),
    ] {
        let (seen, old, new) = refreshed("minimax-portal", &json!({}), |world| {
            world.minimax_base_url = base.map(str::to_owned);
        });
        let refresh = old["refresh"].as_str().unwrap();
        assert_form(
            &seen,
            url,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", "78257093-7e40-4613-99e0-527b14b39113"),
                ("refresh_token", refresh),
            ],
        );
        assert_eq!(new["expires"], json!(THEN + HOUR), "as given");
    }
    // A refusal with a status of success.
    let world = World::new();
    world.put("main", &json!({"minimax-portal:x": world.login("minimax-portal")}));
    let refresh = world.profile("main", "minimax-portal:x")["refresh"].clone();
    let told = format!("no such login: {}", refresh.as_str().unwrap());
    world.idp.on("", [Reply::Json(200, json!({"status": "error", "base_resp": {"status_msg": told}}))]);
    // `access` looks for the canary in whatever is said.
    let error = world.access("main", "minimax-portal:x", &Need::Use).unwrap_err();
    assert!(error.message.contains("no such login: ***"), "{error}");
    assert!(error.message.ends_with("Run `openclaw models auth login --provider minimax-portal`"), "{error}");
}

#[test]
fn copilot() {
    for (more, url) in [
        (json!({}), "https://api.github.com/copilot_internal/v2/token"),
        (json!({"enterpriseUrl": "corp.ghe.com"}), "https://api.corp.ghe.com/copilot_internal/v2/token"),
        (json!({"enterpriseUrl": "https://corp.ghe.com/"}), "https://api.corp.ghe.com/copilot_internal/v2/token"),
    ] {
        let (seen, old, new) = refreshed("github-copilot", &more, |world| world.idp.issuer.set_lasting());
        assert_eq!((seen.method, seen.url.as_str()), ("GET", url));
        let bearer = format!("Bearer {}", old["refresh"].as_str().unwrap());
        for (name, value) in [
            ("authorization", bearer.as_str()),
            ("accept", "application/json"),
            ("editor-version", USER_AGENT),
            ("user-agent", USER_AGENT),
            ("x-github-api-version", "2025-04-01"),
        ] {
            assert_eq!(seen.header(name), Some(value), "{name}");
        }
        assert_eq!(new["refresh"], old["refresh"]);
        assert_eq!(new["expires"], json!((THEN + HOUR) / 1000 * 1000 - FIVE_MINUTES));
    }
    for bad in ["http://corp.ghe.com", "https://user@corp.ghe.com", "not a host"] {
        let world = World::new();
        world.put("main", &json!({"c:x": and(world.login("github-copilot"), json!({"enterpriseUrl": bad}))}));
        let error = world.access("main", "c:x", &Need::Use).unwrap_err();
        assert!(error.message.contains("enterpriseUrl"), "{error}");
        assert_eq!(world.idp.count(), 0);
    }
}

#[test]
fn the_life_time_of_an_answer_must_be_one() {
    let ten_years = 10.0 * 365.25 * 86_400.0;
    for (life, works) in [
        (json!(1), true),
        (json!("3600"), true),
        (json!(3600.5), true),
        (json!(ten_years), true),
        (json!(ten_years + 1.0), false),
        (json!(0), false),
        (json!(-1), false),
        (json!("soon"), false),
        (json!(null), false),
        (json!("inf"), false),
        (json!("NaN"), false),
    ] {
        let world = World::new();
        let login = world.login("openai-codex");
        world.put("main", &json!({"c:x": login}));
        let answer = json!({"access_token": "at-canary", "refresh_token": "rt-canary", "expires_in": life});
        world.idp.on("", [Reply::Json(200, answer)]);
        let result = world.access("main", "c:x", &Need::Use);
        assert_eq!(result.is_ok(), works, "{life}");
        assert_eq!(world.profile("main", "c:x") == login, !works, "{life}");
    }
}

#[test]
fn requests_go_to_the_test_server_when_one_is_named() {
    for provider in ["openai-codex", "anthropic", "minimax-portal"] {
        let (seen, _, _) = refreshed(provider, &json!({}), |world| {
            world.endpoints = Endpoints::at("http://127.0.0.1:9").unwrap();
        });
        assert!(seen.url.starts_with("http://127.0.0.1:9/"), "{}", seen.url);
    }
}

#[test]
fn who_can_be_refreshed() {
    for provider in [
        "openai-codex",
        "anthropic",
        "google-gemini-cli",
        "google-antigravity",
        "github-copilot",
        "chutes",
        "minimax-portal",
    ] {
        assert!(Refreshable::of(provider).is_some(), "{provider}");
    }
    for provider in ["qwen-portal", "openai", "claude-cli", "", "OpenAI-Codex"] {
        assert!(Refreshable::of(provider).is_none(), "{provider}");
    }
    let world = World::new();
    world.put("main", &json!({"q:x": world.login("qwen-portal")}));
    assert_eq!(world.access("main", "q:x", &Need::Use).unwrap_err().kind, OAuthErrorKind::NotOurs);
}
