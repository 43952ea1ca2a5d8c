//! Signing in through the browser: the addresses field by field, what is pasted, and the exchange of Codex (spec 04
//! sections 5, 6.1 and 9).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{CodeFlow, CodeProvider, Login, OAuthError, OAuthErrorKind, Pasted, TransportError, challenge};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::idp::Reply;
use common::issuer::jwt;
use common::{CANARY, NOW, World};
use serde_json::{Value, json};
use url::Url;

const AUTH: &str = "https://api.openai.com/auth";
const PROFILE: &str = "https://api.openai.com/profile";

/// A world in which every provider has a client.
fn world() -> World {
    let mut world = World::new();
    world.env.set("GEMINI_CLI_OAUTH_CLIENT_ID", "cid-google".to_owned());
    world.env.set("CHUTES_CLIENT_ID", "cid-chutes".to_owned());
    world
}

fn begin(world: &World, provider: CodeProvider) -> CodeFlow {
    provider.begin(provider.client(world.settings()).unwrap(), world.settings()).unwrap()
}

fn parts(address: &str) -> (String, BTreeMap<String, String>) {
    let url = Url::parse(address).unwrap();
    let fields: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(fields.len(), url.query_pairs().count(), "a field came twice");
    (address.split('?').next().unwrap().to_owned(), fields)
}

/// The state of a flow, and what else its address says.
fn state_of(flow: &CodeFlow) -> String {
    parts(flow.address()).1["state"].clone()
}

#[test]
fn every_address_has_the_fields_of_its_provider() {
    let world = world();
    for (provider, at, state_len, fixed) in [
        (
            CodeProvider::Codex,
            "https://auth.openai.com/oauth/authorize",
            32,
            vec![
                ("client_id", "app_EMoamEEZ73f0CkXaXp7hrann"),
                ("redirect_uri", "http://localhost:1455/auth/callback"),
                ("scope", "openid profile email offline_access"),
                ("id_token_add_organizations", "true"),
                ("codex_cli_simplified_flow", "true"),
                ("originator", "openclaw"),
            ],
        ),
        (
            CodeProvider::Gemini,
            "https://accounts.google.com/o/oauth2/v2/auth",
            64,
            vec![
                ("client_id", "cid-google"),
                ("redirect_uri", "http://localhost:8085/oauth2callback"),
                (
                    "scope",
                    "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile",
                ),
                ("access_type", "offline"),
                ("prompt", "consent"),
            ],
        ),
        (
            CodeProvider::Chutes,
            "https://api.chutes.ai/idp/authorize",
            64,
            vec![
                ("client_id", "cid-chutes"),
                ("redirect_uri", "http://127.0.0.1:1456/oauth-callback"),
                ("scope", "openid profile chutes:invoke"),
            ],
        ),
    ] {
        let flow = begin(&world, provider);
        let (address, mut fields) = parts(flow.address());
        assert_eq!(address, at);
        for (name, value) in fixed.into_iter().chain([("response_type", "code"), ("code_challenge_method", "S256")]) {
            assert_eq!(fields.remove(name).as_deref(), Some(value), "{name}");
        }
        let state = fields.remove("state").unwrap();
        assert!(state.len() == state_len && state.bytes().all(|byte| byte.is_ascii_hexdigit()), "{state}");
        let challenge = fields.remove("code_challenge").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&challenge).unwrap().len(), 32);
        assert!(fields.is_empty(), "{fields:?}");
        assert_ne!(challenge, parts(begin(&world, provider).address()).1["code_challenge"], "every login is its own");
        assert!(!format!("{flow:?}").contains("cs-canary"));
    }
    assert_eq!(CodeProvider::Codex.patience(), Duration::from_secs(300));
    assert_eq!(CodeProvider::Gemini.patience(), Duration::from_secs(300));
    assert_eq!(CodeProvider::Chutes.patience(), Duration::from_secs(180));
}

#[test]
fn the_test_server_does_not_change_where_the_user_goes() {
    let mut world = world();
    world.endpoints = auth_oauth::Endpoints::at("http://127.0.0.1:9").unwrap();
    assert!(begin(&world, CodeProvider::Codex).address().starts_with("https://auth.openai.com/"));
}

#[test]
fn what_is_pasted_belongs_to_the_login_or_is_refused() {
    let world = world();
    for (provider, bare_code, mismatch) in [
        (CodeProvider::Codex, true, "State mismatch"),
        (CodeProvider::Gemini, false, "OAuth state mismatch - "),
        (CodeProvider::Chutes, false, "OAuth state mismatch - "),
    ] {
        let flow = begin(&world, provider);
        let state = state_of(&flow);
        let read = |text: &str| flow.read_pasted(text);
        let code = |text: &str| match read(text) {
            Ok(Pasted::Code(code)) => Some(code.reveal().to_owned()),
            _ => None,
        };
        let redirect = flow.redirect();
        for text in [
            format!("{redirect}?code=c-1&state={state}"),
            format!("  {redirect}?state={state}&code=c-1&scope=x\n"),
            format!("code=c-1&state={state}"),
            format!("c-1#{state}"),
        ] {
            assert_eq!(code(&text).as_deref(), Some("c-1"), "{text}");
        }
        assert_eq!(code("c-1").is_some(), bare_code, "{provider:?}");
        for text in [
            format!("{redirect}?code=c-1&state=foreign"),
            "code=c-1&state=foreign".to_owned(),
            "c-1#foreign".to_owned(),
            format!("c-1#{state}x"),
            format!("code=c-1&state=foreign&state={state}"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.message.starts_with(mismatch) && !error.message.contains(&state), "{text}: {error}");
        }
        let error = read(&format!("{redirect}?error=access_denied&error_description=No&state={state}")).unwrap_err();
        assert_eq!((error.code.as_deref(), error.kind), (Some("access_denied"), OAuthErrorKind::Refused));
        assert!(error.message.contains("access_denied"));
        assert_eq!(read(&format!("{redirect}?code=&state={state}")).unwrap_err().message, "Missing authorization code");
        assert!(matches!(read(" \n"), Ok(Pasted::Again(why)) if why == "Required"));
        assert!(matches!(read("https://chatgpt.com/"), Ok(Pasted::Again(_))));
    }
}

/// The exchange of a code; the request is checked on the way.
fn exchange(world: &World, reply: Reply) -> Result<Login, OAuthError> {
    world.idp.on("", [reply]);
    let flow = begin(world, CodeProvider::Codex);
    let result = flow.exchange(&Secret::new("c-canary-1"), world.settings(), Path::new("/nowhere"), &world.idp);
    let seen = world.idp.last("oauth/token");
    assert_eq!(seen.url, "https://auth.openai.com/oauth/token");
    let mut names = seen.names();
    names.sort();
    assert_eq!(names, ["client_id", "code", "code_verifier", "grant_type", "redirect_uri"]);
    let field = |name: &str| seen.field(name).unwrap();
    assert_eq!((field("grant_type"), field("code")), ("authorization_code".into(), "c-canary-1".into()));
    assert_eq!(field("client_id"), "app_EMoamEEZ73f0CkXaXp7hrann");
    assert_eq!(field("redirect_uri"), "http://localhost:1455/auth/callback");
    let verifier = Secret::new(field("code_verifier"));
    assert!(verifier.reveal().len() == 43 && verifier.reveal() != state_of(&flow));
    assert_eq!(challenge(&verifier), parts(flow.address()).1["code_challenge"]);
    assert_eq!(seen.timeout, Duration::from_secs(30));
    if let Err(error) = &result {
        let said = format!("{error} {error:?}");
        assert!(!said.contains(CANARY) && !said.contains(verifier.reveal()), "a secret is told: {said}");
    }
    result
}

fn tokens(claims: &Value) -> Value {
    json!({"access_token": jwt(claims), "refresh_token": "rt-canary-1", "expires_in": 3600, "id_token": "it-canary"})
}

#[test]
fn a_login_has_its_account_and_its_name() {
    let world = world();
    let claims =
        json!({AUTH: {"chatgpt_account_id": "acct-1", "chatgpt_user_id": "u"}, PROFILE: {"email": "a@example.com"}});
    let login = exchange(&world, Reply::Json(200, tokens(&claims))).unwrap();
    assert_eq!(login.profile_id.as_str(), "openai-codex:a@example.com");
    assert_eq!(
        login.members(),
        [
            ("type", json!("oauth")),
            ("provider", json!("openai-codex")),
            ("access", json!(jwt(&claims))),
            ("refresh", json!("rt-canary-1")),
            ("expires", json!(NOW + 120 + 3_600_000)),
            ("accountId", json!("acct-1")),
            ("email", json!("a@example.com")),
        ]
    );
    assert_eq!(login.default_model, Some("openai-codex/gpt-5.4"));
    assert!(login.config_patch.is_none() && !format!("{login:?}").contains(CANARY));
}

#[test]
fn the_name_of_a_profile_follows_the_table() {
    let id = |subject: &str| format!("id-{}", URL_SAFE_NO_PAD.encode(subject));
    let account = |more: Value| json!({AUTH: common::and(json!({"chatgpt_account_id": "acct-1"}), more)});
    let with = |base: Value, more: Value| common::and(base, more);
    for (claims, name) in [
        (
            with(account(json!({"user_id": "u"})), json!({PROFILE: {"email": " a@example.com "}})),
            "a@example.com".to_owned(),
        ),
        (account(json!({"chatgpt_account_user_id": "x", "chatgpt_user_id": "y", "user_id": "z"})), id("x")),
        (account(json!({"chatgpt_user_id": "y", "user_id": "z"})), id("y")),
        (with(account(json!({"user_id": "z"})), json!({"sub": "s"})), id("z")),
        (with(account(json!({})), json!({"iss": "https://i", "sub": "s"})), id("https://i|s")),
        (with(account(json!({})), json!({"sub": "s"})), id("s")),
        (with(account(json!({})), json!({"iss": "https://i"})), "default".to_owned()),
        (with(account(json!({"user_id": "  "})), json!({PROFILE: {"email": ""}, "sub": 7})), "default".to_owned()),
    ] {
        let login = exchange(&world(), Reply::Json(200, tokens(&claims))).unwrap();
        assert_eq!(login.profile_id.as_str(), format!("openai-codex:{name}"), "{claims}");
        assert_eq!(login.email.is_some(), name.contains('@'));
    }
}

#[test]
fn without_an_account_nothing_is_stored() {
    let opaque = |token: &str| json!({"access_token": token, "refresh_token": "rt-canary-1", "expires_in": 3600});
    for answer in [
        tokens(&json!({"sub": "s"})),
        tokens(&json!({AUTH: {"chatgpt_account_id": ""}})),
        tokens(&json!({AUTH: {"chatgpt_account_id": 7}})),
        tokens(&json!({AUTH: "x"})),
        opaque("at-canary-opaque"),
        opaque(&format!("{}.four", jwt(&json!({AUTH: {"chatgpt_account_id": "a"}})))),
        opaque("e30.!!canary!!.sig"),
    ] {
        let error = exchange(&world(), Reply::Json(200, answer)).unwrap_err();
        assert_eq!(error.message, "Failed to extract accountId from token");
    }
}

#[test]
fn an_exchange_that_fails_says_why_and_no_more() {
    let good = || tokens(&json!({AUTH: {"chatgpt_account_id": "acct-1"}}));
    let without = |name: &str| {
        let mut answer = good();
        answer.as_object_mut().unwrap().remove(name);
        Reply::Json(200, answer)
    };
    let network = TransportError::Network("auth.openai.com: no route".to_owned());
    for (reply, said, kind) in [
        (without("access_token"), "the answer has no access_token", OAuthErrorKind::Protocol),
        (without("refresh_token"), "the answer has no refresh_token", OAuthErrorKind::Protocol),
        (without("expires_in"), "the answer has no expires_in", OAuthErrorKind::Protocol),
        (
            Reply::Json(400, json!({"error": "invalid_grant", "error_description": "code c-canary-1 is used"})),
            "HTTP 400 invalid_grant: code *** is used",
            OAuthErrorKind::Refused,
        ),
        (Reply::Text(302, String::new()), "HTTP 302: redirects, which is not followed", OAuthErrorKind::Protocol),
        (Reply::Text(200, "c-canary-1".to_owned()), "the answer is not a JSON object", OAuthErrorKind::Protocol),
        (Reply::Text(503, "<html>canary</html>".to_owned()), "HTTP 503", OAuthErrorKind::Unavailable),
        (
            Reply::Text(200, format!("{{\"x\":\"{}\"}}", "canary ".repeat(200_000))),
            "the answer is larger than 1048576 bytes",
            OAuthErrorKind::Protocol,
        ),
        (Reply::Fail(network), "auth.openai.com: no route", OAuthErrorKind::Unavailable),
        (
            Reply::Fail(TransportError::Timeout(Duration::from_secs(30))),
            "no complete answer within 30 s",
            OAuthErrorKind::Unavailable,
        ),
        (Reply::Fail(TransportError::Cancelled), "Cancelled.", OAuthErrorKind::Cancelled),
    ] {
        let world = world();
        let error = exchange(&world, reply).unwrap_err();
        assert_eq!((error.message.as_str(), error.kind), (said, kind));
        assert_eq!(world.idp.count(), 1, "a code is good for one exchange");
    }
}
