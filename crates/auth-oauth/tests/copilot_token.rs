//! The token that requests to Copilot are made with, and its cache (spec 04 section 6.2).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{
    CopilotToken, CopilotTokens, OAuthError, OAuthErrorKind, TransportError, USER_AGENT, copilot_cache_path,
};
use auth_store::faulty::{Fault, FaultyHost};
use auth_store::{RealHost, WriteHost};
use common::idp::Reply;
use common::{CANARY, HOUR, NOW, World, files_below, mode};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(7);

fn github() -> Secret {
    Secret::new("gho_canary_0123456789")
}

fn answers(world: &World, token: &str, expires: &Value) {
    world.idp.on("copilot_internal", [Reply::Json(200, json!({"token": token, "expires_at": expires, "x": 1}))]);
}

fn world() -> World {
    let world = World::new();
    answers(&world, "tid=canary;exp=1", &json!((NOW + HOUR) / 1000));
    world
}

fn get_by(world: &World, github: &Secret, keep: bool, host: &dyn WriteHost) -> Result<CopilotToken, OAuthError> {
    let tokens = CopilotTokens { layout: &world.layout(), host, endpoints: &world.endpoints, net: &world.idp, keep };
    let result = tokens.get(github, None, TIMEOUT);
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error}");
    }
    result
}

fn get(world: &World) -> Result<CopilotToken, OAuthError> {
    get_by(world, &github(), true, &RealHost)
}

fn cache(world: &World) -> Value {
    serde_json::from_slice(&std::fs::read(copilot_cache_path(&world.layout())).unwrap()).unwrap()
}

#[test]
fn the_exchange_names_this_program() {
    let world = world();
    let token = get(&world).unwrap();
    assert_eq!((token.token.reveal(), token.expires_ms), ("tid=canary;exp=1", 1_900_003_600_000.0));
    assert_eq!(token.base_url, "https://api.individual.githubcopilot.com");
    let seen = world.idp.last("copilot_internal");
    assert_eq!((seen.method, seen.url.as_str()), ("GET", "https://api.github.com/copilot_internal/v2/token"));
    assert_eq!(seen.timeout, TIMEOUT);
    for (name, value) in [
        ("authorization", "Bearer gho_canary_0123456789"),
        ("accept", "application/json"),
        ("editor-version", USER_AGENT),
        ("user-agent", USER_AGENT),
        ("x-github-api-version", "2025-04-01"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert!(USER_AGENT.starts_with("openclaw/"));
}

#[test]
fn the_cache_has_an_owner_and_is_for_its_owner_alone() {
    let world = world();
    get(&world).unwrap();
    let path = copilot_cache_path(&world.layout());
    assert!(path.ends_with(".openclaw/credentials/github-copilot.token.json"));
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let owner = github().fingerprint().to_string().replace("sha256:", "");
    let kept = cache(&world);
    assert_eq!(
        (&kept["token"], &kept["expiresAt"], &kept["updatedAt"]),
        (&json!("tid=canary;exp=1"), &json!(NOW + HOUR), &json!(NOW + 120))
    );
    let hash = kept["sourceHash"].as_str().unwrap();
    assert!(hash.len() == 16 && hash.starts_with(&owner), "{hash}");
    assert_eq!(files_below(world.dir.path()), [path], "no lock is left");

    // The second call needs no request; another account does.
    get(&world).unwrap();
    assert_eq!(world.idp.count(), 1);
    get_by(&world, &Secret::new("gho_canary_other"), true, &RealHost).unwrap();
    assert_eq!(world.idp.count(), 2);
    assert_ne!(cache(&world)["sourceHash"], kept["sourceHash"]);
}

#[test]
fn five_minutes_must_be_left() {
    for (left_ms, requests) in [(300_001 + 120, 1), (300_000 + 120, 2), (0, 2), (-5, 2)] {
        let world = world();
        answers(&world, "tid=canary", &json!(NOW + left_ms));
        get(&world).unwrap();
        get(&world).unwrap();
        assert_eq!(world.idp.count(), requests, "{left_ms}");
    }
}

#[test]
fn ends_come_in_seconds_or_milliseconds_as_numbers_or_texts() {
    for (given, ms) in [
        (json!(1_900_003_600), 1_900_003_600_000.0),
        (json!("1900003600"), 1_900_003_600_000.0),
        (json!(1_900_003_600_000_i64), 1_900_003_600_000.0),
    ] {
        let world = world();
        answers(&world, "tid=canary", &given);
        assert!((get(&world).unwrap().expires_ms - ms).abs() < 1.0, "{given}");
    }
    for bad in [json!(null), json!("soon"), json!(0), json!(-1)] {
        let world = world();
        answers(&world, "tid=canary", &bad);
        assert_eq!(get(&world).unwrap_err().message, "the answer has no expires_at");
        assert!(!copilot_cache_path(&world.layout()).exists());
    }
}

#[test]
fn a_failure_says_its_status_and_nothing_else() {
    for status in [401, 403, 404, 500] {
        let world = world();
        world.idp.on("copilot_internal", [Reply::Json(status, json!({"message": "gho_canary_0123456789 is bad"}))]);
        let error = get(&world).unwrap_err();
        assert_eq!(error.message, format!("Copilot token exchange failed: HTTP {status}"));
        assert_eq!(error.status, Some(status));
        assert!(!copilot_cache_path(&world.layout()).exists());
    }
    let world = world();
    world.idp.on("copilot_internal", [Reply::Fail(TransportError::Timeout(TIMEOUT))]);
    assert_eq!(get(&world).unwrap_err().kind, OAuthErrorKind::Unavailable);
}

#[test]
fn requests_go_where_the_token_says_as_long_as_that_is_github() {
    let base = |token: &str| {
        let world = world();
        answers(&world, token, &json!((NOW + HOUR) / 1000));
        get(&world).map(|token| token.base_url)
    };
    for (token, url) in [
        ("tid=1;proxy-ep=proxy.individual.githubcopilot.com;exp=2", "https://api.individual.githubcopilot.com"),
        ("proxy-ep=proxy.business.githubcopilot.com", "https://api.business.githubcopilot.com"),
        ("a=b; proxy-ep= https://PROXY.corp.ghe.com:8443/x ;c=d", "https://api.corp.ghe.com"),
        ("tid=1;proxy-ep=;exp=2", "https://api.individual.githubcopilot.com"),
    ] {
        assert_eq!(base(token).unwrap(), url, "{token}");
    }
    for host in [
        "evil.test",
        "proxy.evil.test",
        "githubcopilot.com.evil.test",
        "evilgithubcopilot.com",
        "evil.test\\.ghe.com",
        "evil.test/.ghe.com",
        "evil.test?.ghe.com",
        "evil.test#.ghe.com",
        "x.ghe.com@evil.test",
        ".ghe.com",
        "127.0.0.1",
    ] {
        let error = base(&format!("tid=1;proxy-ep={host}")).unwrap_err();
        assert_eq!(error.message, "the Copilot token names a host that is none of GitHub", "{host}");
    }
}

#[test]
fn who_only_looks_writes_nothing() {
    let world = world();
    get_by(&world, &github(), false, &RealHost).unwrap();
    assert!(files_below(world.dir.path()).is_empty() && !world.dir.path().join(".openclaw").exists());
    // It reads what others have kept.
    get(&world).unwrap();
    assert_eq!(world.idp.count(), 2);
    get_by(&world, &github(), false, &RealHost).unwrap();
    assert_eq!(world.idp.count(), 2);
}

#[test]
fn a_cache_that_is_broken_or_nobodys_counts_as_absent_and_is_replaced() {
    let good = |world: &World| {
        get(world).unwrap();
        cache(world)
    };
    for change in [
        json!("{ broken"),
        json!({"sourceHash": null}),
        json!({"sourceHash": "0000000000000000"}),
        json!({"expiresAt": "never"}),
        json!({"token": " "}),
        json!({"token": 7}),
        json!({"token": "proxy-ep=evil.test"}),
    ] {
        let world = world();
        let kept = good(&world);
        let text = match &change {
            Value::String(text) => text.clone(),
            more => common::and(kept.clone(), more.clone()).to_string(),
        };
        std::fs::write(copilot_cache_path(&world.layout()), text).unwrap();
        assert_eq!(get(&world).unwrap().token.reveal(), "tid=canary;exp=1", "{change}");
        assert_eq!(world.idp.count(), 2, "{change}");
        assert_eq!(cache(&world)["token"], kept["token"]);
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_no_failure_and_nobody_waits_for_it() {
    for step in 0..10 {
        for fault in [Fault::Error(step, 28), Fault::Error(step, 13), Fault::Kill(step)] {
            let world = world();
            let host = FaultyHost::new(world.dir.path());
            host.fault.set(fault);
            let token = get_by(&world, &github(), true, &host).unwrap();
            assert_eq!(token.token.reveal(), "tid=canary;exp=1", "{fault:?}");
            for path in files_below(world.dir.path()) {
                assert_eq!(mode(&path), 0o600, "{fault:?}: {}", path.display());
            }
        }
    }
    // Somebody else is writing.
    let world = world();
    let host = FaultyHost::new(world.dir.path());
    let path = copilot_cache_path(&world.layout());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _busy = auth_store::lock(&path, &host).unwrap();
    let before = host.now.get();
    get_by(&world, &github(), true, &host).unwrap();
    assert_eq!(host.now.get(), before, "no pause");
    assert!(!path.exists());
}
