//! Signing in to GitHub Copilot with a device code (RFC 8628, spec 04 section 6.2). The time is simulated.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::time::Duration;

use auth_core::CredentialKind;
use auth_oauth::{DeviceProvider, Endpoints, Instructions, Login, OAuthError, OAuthErrorKind, TransportError};
use common::CANARY;
use common::idp::{Idp, Reply};
use serde_json::{Value, json};

const CODE: &str = "login/device/code";
const POLL: &str = "login/oauth/access_token";
const EXPIRED: &str = "GitHub device code expired; run login again";

fn code() -> Value {
    json!({
        "device_code": "dc-canary-1", "user_code": "ABCD-1234", "verification_uri": "https://github.com/login/device",
        "interval": 5, "expires_in": 900,
    })
}

fn pending() -> Reply {
    Reply::Json(200, json!({"error": "authorization_pending"}))
}

fn slow_down() -> Reply {
    Reply::Json(200, json!({"error": "slow_down", "interval": 99}))
}

fn agreed() -> Reply {
    Reply::Json(200, json!({"access_token": "gho_canary_1", "token_type": "bearer", "scope": "read:user"}))
}

fn failed(text: &str) -> Reply {
    Reply::Fail(TransportError::Network(text.to_owned()))
}

/// Signs in; gives the result and what was shown.
fn login(idp: &Idp) -> (Result<Login, OAuthError>, Vec<Instructions>) {
    let mut shown = Vec::new();
    let result =
        DeviceProvider::Copilot.login(&Endpoints::default(), idp, &mut |instructions| shown.push(instructions.clone()));
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error}");
    }
    assert!(!format!("{shown:?}").contains(CANARY));
    (result, shown)
}

fn with(code: Value, polls: impl IntoIterator<Item = Reply>) -> Idp {
    let idp = Idp::new();
    idp.on(CODE, [Reply::Json(200, code)]).on(POLL, polls);
    idp
}

fn refused(idp: &Idp) -> OAuthError {
    login(idp).0.unwrap_err()
}

#[test]
fn from_the_code_to_the_profile() {
    let idp = with(code(), [pending(), agreed()]);
    let (result, shown) = login(&idp);
    let login = result.unwrap();
    let wanted = Instructions {
        address: "https://github.com/login/device".to_owned(),
        user_code: "ABCD-1234".to_owned(),
        life: Duration::from_secs(900),
    };
    assert_eq!(shown, [wanted]);
    assert_eq!((login.profile_id.as_str(), login.kind), ("github-copilot:github", CredentialKind::Token));
    let members: Vec<_> = login.members();
    assert_eq!(
        members,
        [("type", json!("token")), ("provider", json!("github-copilot")), ("token", json!("gho_canary_1"))],
        "no expiry, no refresh token"
    );
    assert_eq!((login.expires_ms, login.default_model), (None, Some("github-copilot/gpt-4o")));
    assert!(!format!("{login:?}").contains(CANARY));

    let seen = idp.seen();
    let fields =
        |at: usize| seen[at].names().into_iter().map(|name| seen[at].field(&name).unwrap()).collect::<Vec<_>>();
    assert_eq!(seen[0].url, "https://github.com/login/device/code");
    assert_eq!(
        (seen[0].names(), fields(0)),
        (
            vec!["client_id".to_owned(), "scope".to_owned()],
            vec!["Iv1.b507a08c87ecfe98".to_owned(), "read:user".to_owned()],
        )
    );
    assert_eq!(seen[1].url, "https://github.com/login/oauth/access_token");
    assert_eq!(seen[1].names(), ["client_id", "device_code", "grant_type"]);
    assert_eq!(fields(1), ["Iv1.b507a08c87ecfe98", "dc-canary-1", "urn:ietf:params:oauth:grant-type:device_code"]);
    for request in &seen {
        assert_eq!(request.header("accept"), Some("application/json"));
        assert_eq!(request.timeout, Duration::from_secs(30));
        assert!(!request.must_finish);
    }
}

#[test]
fn one_interval_passes_before_the_first_question() {
    let idp = with(code(), [agreed()]);
    login(&idp).0.unwrap();
    let seen = idp.seen();
    assert_eq!((seen.len(), idp.waits()), (2, vec![5000]));
    assert!(seen[1].at_ms - seen[0].at_ms >= 5000);
}

#[test]
fn the_interval_is_that_of_the_answer_and_a_second_at_least() {
    for (interval, wait_ms) in [
        (json!(5), 5000),
        (json!("7"), 7000),
        (json!(0), 1000),
        (json!(0.2), 1000),
        (json!(120), 120_000),
        (json!(null), 5000),
        (json!(-3), 5000),
        (json!("soon"), 5000),
    ] {
        let mut code = code();
        code["interval"] = interval.clone();
        let idp = with(code, [agreed()]);
        login(&idp).0.unwrap();
        assert_eq!(idp.waits(), [wait_ms], "{interval}");
    }
}

#[test]
fn slow_down_counts_for_good_and_adds_up() {
    let idp = with(code(), [pending(), slow_down(), pending(), slow_down(), pending(), pending(), agreed()]);
    login(&idp).0.unwrap();
    assert_eq!(idp.waits(), [5000, 5000, 10_000, 10_000, 15_000, 15_000, 15_000]);
}

#[test]
fn a_server_or_network_in_trouble_does_not_end_the_sign_in() {
    let idp = with(
        code(),
        [
            failed("github.com: connection reset"),
            Reply::Fail(TransportError::Timeout(Duration::from_secs(30))),
            Reply::Text(500, String::new()),
            Reply::Text(502, "<html>".to_owned()),
            Reply::Json(503, json!({"error": "temporarily_unavailable"})),
            Reply::Json(504, json!({"error": "access_denied"})),
            Reply::Json(429, json!({"message": "slower"})),
            Reply::Json(400, json!({"error": "authorization_pending"})),
            agreed(),
        ],
    );
    login(&idp).0.unwrap();
    assert_eq!(idp.count(), 10);
    assert!(idp.waits().iter().all(|wait| *wait == 5000));
}

#[test]
fn trouble_that_lasts_ends_with_the_code() {
    for reply in [pending(), failed("github.com: no route"), Reply::Text(500, String::new())] {
        let idp = with(code(), [reply]);
        let start = idp.now();
        let error = refused(&idp);
        assert_eq!((error.message.as_str(), error.kind), (EXPIRED, OAuthErrorKind::Refused));
        assert!((900_000..906_000).contains(&(idp.now() - start)), "{}", idp.now() - start);
        assert!(idp.seen().iter().all(|seen| seen.at_ms < start + 900_200), "nothing is asked after the end");
    }
}

#[test]
fn every_refusal_has_its_text() {
    for (code_word, text) in [
        ("expired_token", EXPIRED),
        ("access_denied", "GitHub login cancelled"),
        ("unsupported_grant_type", "GitHub device flow error: unsupported_grant_type"),
        ("incorrect_device_code", "GitHub device flow error: incorrect_device_code"),
    ] {
        for status in [200, 400] {
            let idp = with(code(), [pending(), Reply::Json(status, json!({"error": code_word}))]);
            assert_eq!(refused(&idp).message, text);
            assert_eq!(idp.count(), 3);
        }
    }
    let idp = with(code(), [Reply::Json(404, json!({"message": "Not Found"}))]);
    assert_eq!(refused(&idp).message, "HTTP 404: Not Found");
    let idp = with(code(), [Reply::Json(200, json!({"token_type": "bearer"}))]);
    assert_eq!(refused(&idp).message, "the answer has no access_token");
    let idp = with(code(), [Reply::Fail(TransportError::Tls("github.com: unknown issuer".to_owned()))]);
    assert_eq!((refused(&idp).message.as_str(), idp.count()), ("github.com: unknown issuer", 2));
}

#[test]
fn an_interrupt_ends_at_once() {
    for wait in [1, 3] {
        let idp = with(code(), [pending()]);
        idp.give_up_in_wait(wait);
        let error = refused(&idp);
        assert_eq!((error.kind, error.message.as_str()), (OAuthErrorKind::Cancelled, "Cancelled."));
        assert_eq!(idp.count(), wait, "no question after it");
    }
    let idp = with(code(), [pending(), Reply::Fail(TransportError::Cancelled)]);
    assert_eq!(refused(&idp).kind, OAuthErrorKind::Cancelled);
    let idp = Idp::new();
    idp.on(CODE, [Reply::Fail(TransportError::Cancelled)]);
    assert_eq!((refused(&idp).kind, idp.count()), (OAuthErrorKind::Cancelled, 1));
}

#[test]
fn an_answer_without_a_code_is_an_error_and_shows_nothing() {
    for name in ["device_code", "user_code", "verification_uri"] {
        for value in [json!(null), json!(""), json!("  "), json!(7)] {
            let mut code = code();
            code[name] = value;
            let (result, shown) = login(&with(code, [agreed()]));
            assert_eq!((result.unwrap_err().message, shown.len()), (format!("the answer has no {name}"), 0));
        }
    }
    for address in [
        "http://github.com/login/device",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "github.com",
        "https://a b",
        "https:\u{1b}//x",
    ] {
        let mut code = code();
        code["verification_uri"] = json!(address);
        let (result, shown) = login(&with(code, [agreed()]));
        assert_eq!((result.unwrap_err().kind, shown.len()), (OAuthErrorKind::Protocol, 0), "{address}");
    }
    let idp = Idp::new();
    idp.on(CODE, [Reply::Json(503, json!({}))]);
    assert_eq!((refused(&idp).message.as_str(), idp.count()), ("HTTP 503", 1));
}

#[test]
fn a_user_code_cannot_write_to_the_terminal() {
    let mut code = code();
    code["user_code"] = json!("AB\u{1b}[31mCD\r\n");
    let (_, shown) = login(&with(code, [agreed()]));
    assert_eq!(shown[0].user_code, "AB[31mCD");
}

#[test]
fn the_code_lives_a_quarter_of_an_hour_when_nothing_is_said() {
    let mut code = code();
    code.as_object_mut().unwrap().remove("expires_in");
    let (_, shown) = login(&with(code, [agreed()]));
    assert_eq!(shown[0].life, Duration::from_secs(900));
}

#[test]
fn a_test_server_is_asked_where_one_is_named_and_the_user_goes_to_github() {
    let idp = with(code(), [agreed()]);
    let endpoints = Endpoints::at("http://127.0.0.1:9").unwrap();
    let mut shown = String::new();
    DeviceProvider::Copilot.login(&endpoints, &idp, &mut |it| shown.clone_from(&it.address)).unwrap();
    assert!(idp.seen().iter().all(|seen| seen.url.starts_with("http://127.0.0.1:9/github.com/login/")));
    assert_eq!(shown, "https://github.com/login/device");
}
