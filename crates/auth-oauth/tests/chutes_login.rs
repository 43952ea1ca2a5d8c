//! Signing in to Chutes with a client of the user's (spec 04 section 6.4).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::path::Path;
use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{CodeProvider, Login, OAuthError, OAuthErrorKind, TransportError};
use common::idp::Reply;
use common::{CANARY, NOW, World};
use serde_json::{Value, json};

const TOKEN: &str = "/idp/token";
const INFO: &str = "/idp/userinfo";

fn tokens(life: &Value) -> Reply {
    Reply::Json(200, json!({"access_token": "at-canary-1", "refresh_token": "rt-canary-1", "expires_in": life}))
}

fn world() -> World {
    let mut world = World::new();
    world.env.set("CHUTES_CLIENT_ID", " cid-test ".to_owned());
    world.idp.on(TOKEN, [tokens(&json!(3600))]);
    world.idp.on(INFO, [Reply::Json(200, json!({"username": "fred", "sub": "sub-1"}))]);
    world
}

fn login(world: &World) -> Result<Login, OAuthError> {
    let settings = world.settings();
    let flow = CodeProvider::Chutes.begin(CodeProvider::Chutes.client(settings)?, settings)?;
    let result = flow.exchange(&Secret::new("c-canary-1"), settings, Path::new("/nowhere"), &world.idp);
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error}");
    }
    result
}

#[test]
fn from_the_code_to_the_profile() {
    let mut world = world();
    world.env.set("CHUTES_CLIENT_SECRET", "cs-canary-0123456789".to_owned());
    let signed_in = login(&world).unwrap();
    assert_eq!(signed_in.profile_id.as_str(), "chutes:fred");
    assert_eq!(
        signed_in.members(),
        [
            ("type", json!("oauth")),
            ("provider", json!("chutes")),
            ("access", json!("at-canary-1")),
            ("refresh", json!("rt-canary-1")),
            ("expires", json!(NOW + 120 + 3_600_000 - 300_000)),
            ("clientId", json!("cid-test")),
            ("accountId", json!("sub-1")),
            ("email", json!("fred")),
        ]
    );
    assert_eq!(signed_in.default_model, Some("chutes/zai-org/GLM-4.7-TEE"));
    let seen = world.idp.seen();
    assert_eq!(seen[0].url, "https://api.chutes.ai/idp/token");
    let mut names = seen[0].names();
    names.sort();
    assert_eq!(names, ["client_id", "client_secret", "code", "code_verifier", "grant_type", "redirect_uri"]);
    assert_eq!(seen[0].field("client_secret").as_deref(), Some("cs-canary-0123456789"));
    assert_eq!((seen[1].method, seen[1].url.as_str()), ("GET", "https://api.chutes.ai/idp/userinfo"));
    assert_eq!(seen[1].header("authorization"), Some("Bearer at-canary-1"));

    world.env.unset("CHUTES_CLIENT_SECRET");
    login(&world).unwrap();
    assert!(world.idp.last(TOKEN).field("client_secret").is_none());
}

#[test]
fn the_client_is_the_users() {
    let mut world = world();
    world.env.set("CHUTES_CLIENT_ID", "  ".to_owned());
    assert!(login(&world).unwrap_err().message.contains("CHUTES_CLIENT_ID"));
    let settings = world.settings();
    let flow = CodeProvider::Chutes.begin(CodeProvider::chutes_client("cid-typed", settings), settings).unwrap();
    assert!(flow.address().contains("client_id=cid-typed"));
}

#[test]
fn the_browser_comes_back_to_this_machine_only() {
    for (address, good) in [
        ("http://127.0.0.1:9999/cb", true),
        ("http://localhost:9999/cb", true),
        ("http://[::1]:9999/cb", true),
        ("http://127.0.0.2:9999/cb", true),
        (" http://127.0.0.1:9999/cb ", true),
        ("https://127.0.0.1:9999/cb", false),
        ("http://example.com/cb", false),
        ("http://127.0.0.1.evil.test/cb", false),
        ("http://localhost.evil.test/cb", false),
        ("http://127.0.0.1@evil.test/cb", false),
        ("http://user:pw@127.0.0.1/cb", false),
        ("http://10.0.0.1/cb", false),
        ("http://0.0.0.0:1/cb", false),
        ("127.0.0.1:9999", false),
        ("rubbish", false),
    ] {
        let mut world = world();
        world.env.set("CHUTES_OAUTH_REDIRECT_URI", address.to_owned());
        let settings = world.settings();
        let begun = CodeProvider::Chutes.begin(CodeProvider::Chutes.client(settings).unwrap(), settings);
        match begun {
            Ok(flow) => assert!(good && flow.redirect() == address.trim(), "{address}"),
            Err(error) => assert!(!good && error.message.contains("CHUTES_OAUTH_REDIRECT_URI"), "{address}: {error}"),
        }
    }
}

#[test]
fn the_scopes_may_be_chosen() {
    let mut world = world();
    world.env.set("CHUTES_OAUTH_SCOPES", "  openid \n chutes:read ".to_owned());
    let settings = world.settings();
    let flow = CodeProvider::Chutes.begin(CodeProvider::Chutes.client(settings).unwrap(), settings).unwrap();
    assert!(flow.address().contains("scope=openid+chutes%3Aread&"), "{}", flow.address());
}

#[test]
fn the_end_is_five_minutes_early_and_half_a_minute_away_at_least() {
    for (life, end_ms) in [
        (json!(3600), 3_300_000),
        (json!("3600"), 3_300_000),
        (json!(3600.9), 3_300_000),
        (json!(331), 31_000),
        (json!(330), 30_000),
        (json!(300), 30_000),
        (json!(1), 30_000),
    ] {
        let world = world();
        world.idp.on(TOKEN, [tokens(&life)]);
        assert_eq!(login(&world).unwrap().members()[4].1, json!(NOW + 120 + end_ms), "{life}");
    }
    for life in [json!(0), json!(null), json!("x")] {
        let world = world();
        world.idp.on(TOKEN, [tokens(&life)]);
        assert_eq!(login(&world).unwrap_err().kind, OAuthErrorKind::Protocol);
    }
}

#[test]
fn both_tokens_are_needed() {
    for name in ["access_token", "refresh_token"] {
        let mut answer = json!({"access_token": "at-canary-1", "refresh_token": "rt-canary-1", "expires_in": 3600});
        answer[name] = json!(" ");
        let world = world();
        world.idp.on(TOKEN, [Reply::Json(200, answer)]);
        assert_eq!(login(&world).unwrap_err().message, format!("the answer has no {name}"));
        assert_eq!(world.idp.count(), 1, "nobody is asked for a label");
    }
}

#[test]
fn a_missing_label_is_no_failure() {
    for reply in [
        Reply::Text(401, "canary".to_owned()),
        Reply::Text(200, "no json".to_owned()),
        Reply::Json(200, json!({"username": " ", "sub": 7})),
        Reply::Fail(TransportError::Network("api.chutes.ai: reset".to_owned())),
        Reply::Fail(TransportError::Timeout(Duration::from_secs(30))),
        Reply::Fail(TransportError::Tls("api.chutes.ai: expired".to_owned())),
        Reply::Fail(TransportError::TooLarge),
    ] {
        let world = world();
        world.idp.on(INFO, [reply]);
        let login = login(&world).unwrap();
        assert_eq!((login.profile_id.as_str(), login.email.as_deref()), ("chutes:default", None));
        assert!(login.members().iter().all(|(name, _)| *name != "accountId"));
    }
    let world = world();
    world.idp.on(INFO, [Reply::Fail(TransportError::Cancelled)]);
    assert_eq!(login(&world).unwrap_err().kind, OAuthErrorKind::Cancelled);
}
