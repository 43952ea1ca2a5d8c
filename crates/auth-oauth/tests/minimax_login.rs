//! Signing in to MiniMax Portal with a user code (spec 04 section 6.5). The time is simulated.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{
    DeviceProvider, Endpoints, HttpRequest, HttpResponse, Instructions, Login, MiniMaxRegion, OAuthError,
    OAuthErrorKind, Transport, TransportError, challenge,
};
use common::idp::{Idp, Reply, Seen};
use common::{CANARY, NOW};
use serde_json::{Value, json};

const CODE: &str = "/oauth/code";
const TOKEN: &str = "/oauth/token";

/// The service answers with the state of the request, which is random.
struct Echo {
    idp: Idp,
    code: Value,
    code_status: u16,
}

impl Echo {
    fn new(polls: impl IntoIterator<Item = Reply>) -> Self {
        let idp = Idp::new();
        idp.on(TOKEN, polls);
        let code = json!({
            "user_code": "UC-1", "verification_uri": "https://www.minimax.io/oauth?user_code=UC-1",
            "expired_in": NOW + 600_000, "interval": 3000,
        });
        Self { idp, code, code_status: 200 }
    }

    fn code(mut self, name: &str, value: Value) -> Self {
        self.code[name] = value;
        self
    }

    fn login(&self, region: MiniMaxRegion) -> (Result<Login, OAuthError>, Vec<Instructions>) {
        let mut shown = Vec::new();
        let provider = DeviceProvider::MiniMax(region);
        let result = provider.login(&Endpoints::default(), self, &mut |it| shown.push(it.clone()));
        if let Err(error) = &result {
            assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error}");
        }
        (result, shown)
    }

    fn global(&self) -> Result<Login, OAuthError> {
        self.login(MiniMaxRegion::Global).0
    }
}

impl Transport for Echo {
    fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
        let state: Arc<Mutex<Option<String>>> = Arc::default();
        let found = Arc::clone(&state);
        self.idp.when_asked(move |seen: &Seen| *found.lock().unwrap() = seen.field("state"));
        if !request.url.contains(CODE) {
            return self.idp.send(request, timeout);
        }
        let answer = self.idp.on(CODE, [Reply::Json(200, json!({}))]).send(request, timeout);
        answer?;
        let mut body = self.code.clone();
        if body.get("state").is_none() {
            body["state"] = state.lock().unwrap().clone().into();
        }
        Ok(HttpResponse { status: self.code_status, body: Secret::new(body.to_string()) })
    }
    fn wait(&self, time: Duration) -> Result<(), TransportError> {
        self.idp.wait(time)
    }
    fn now_ms(&self) -> i64 {
        self.idp.now_ms()
    }
}

fn pending() -> Reply {
    Reply::Json(200, json!({"status": "pending"}))
}

fn success(more: &Value) -> Reply {
    let tokens = json!({
        "status": "success", "access_token": "at-canary-1", "refresh_token": "rt-canary-1", "expired_in": NOW + 7_200_000,
    });
    Reply::Json(200, common::and(tokens, more.clone()))
}

fn agreed() -> Reply {
    success(&json!({}))
}

#[test]
fn from_the_code_to_the_profile() {
    for (region, host) in [(MiniMaxRegion::Global, "api.minimax.io"), (MiniMaxRegion::China, "api.minimaxi.com")] {
        let echo = Echo::new([pending(), success(&json!({"notification_message": "Welcome\u{1b}[2J"}))]);
        let (result, shown) = echo.login(region);
        let login = result.unwrap();
        assert_eq!(shown[0].user_code, "UC-1");
        assert_eq!(shown[0].address, "https://www.minimax.io/oauth?user_code=UC-1");
        assert_eq!(shown[0].life, Duration::from_millis(600_000 - 120));
        assert_eq!(login.profile_id.as_str(), "minimax-portal:default");
        assert_eq!(
            login.members(),
            [
                ("type", json!("oauth")),
                ("provider", json!("minimax-portal")),
                ("access", json!("at-canary-1")),
                ("refresh", json!("rt-canary-1")),
                ("expires", json!(NOW + 7_200_000)),
            ]
        );
        assert_eq!(login.notes, ["Welcome[2J"]);
        let patch = login.config_patch.unwrap();
        assert_eq!(
            patch["models"]["providers"]["minimax-portal"],
            json!({"baseUrl": format!("https://{host}/anthropic"), "models": []})
        );
        let models = &patch["agents"]["defaults"]["models"];
        assert_eq!(models["minimax-portal/MiniMax-M2.7"]["alias"], json!("minimax-m2.7"));
        assert_eq!(models["minimax-portal/MiniMax-M2.7-highspeed"]["alias"], json!("minimax-m2.7-highspeed"));

        let seen = echo.idp.seen();
        assert_eq!(seen[0].url, format!("https://{host}/oauth/code"));
        let field = |at: usize, name: &str| seen[at].field(name).unwrap();
        let mut names = seen[0].names();
        names.sort();
        assert_eq!(names, ["client_id", "code_challenge", "code_challenge_method", "response_type", "scope", "state"]);
        assert_eq!(field(0, "client_id"), "78257093-7e40-4613-99e0-527b14b39113");
        assert_eq!(field(0, "scope"), "group_id profile model.completion");
        assert_eq!((field(0, "response_type"), field(0, "code_challenge_method")), ("code".into(), "S256".into()));
        let id = seen[0].header("x-request-id").unwrap();
        assert!(
            id.len() == 36 && id.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && id.as_bytes()[14] == b'4',
            "{id}"
        );

        assert_eq!(seen[1].url, format!("https://{host}/oauth/token"));
        assert_eq!(field(1, "grant_type"), "urn:ietf:params:oauth:grant-type:user_code");
        assert_eq!(field(1, "user_code"), "UC-1");
        assert_eq!(field(1, "client_id"), "78257093-7e40-4613-99e0-527b14b39113");
        let verifier = Secret::new(field(1, "code_verifier"));
        assert_eq!(challenge(&verifier), field(0, "code_challenge"));
        assert_ne!(verifier.reveal(), field(0, "state"), "the state is a value of its own");
        assert_eq!(seen[1].names().len(), 4);
    }
}

#[test]
fn two_sign_ins_share_no_random_value() {
    let values = || {
        let echo = Echo::new([agreed()]);
        echo.global().unwrap();
        let seen = echo.idp.seen();
        [seen[0].field("state"), seen[0].field("code_challenge"), seen[0].header("x-request-id").map(str::to_owned)]
    };
    let (one, other) = (values(), values());
    assert!(one.iter().zip(&other).all(|(one, other)| one.is_some() && one != other));
}

#[test]
fn an_answer_with_another_state_is_refused() {
    for state in [json!("foreign"), json!(""), json!(null), json!(1)] {
        let echo = Echo::new([agreed()]).code("state", state);
        let (result, shown) = echo.login(MiniMaxRegion::Global);
        let error = result.unwrap_err().message;
        assert!(error.starts_with("MiniMax OAuth state mismatch"), "{error}");
        assert_eq!((shown.len(), echo.idp.count()), (0, 1));
    }
}

#[test]
fn the_pause_is_that_of_the_answer_and_two_seconds_at_least() {
    for (interval, wait_ms) in [
        (json!(3000), 3000),
        (json!(100), 2000),
        (json!(0), 2000),
        (json!(-5), 2000),
        (json!(null), 2000),
        (json!("x"), 2000),
    ] {
        let echo = Echo::new([pending(), agreed()]).code("interval", interval.clone());
        echo.global().unwrap();
        assert_eq!(echo.idp.waits(), [wait_ms, wait_ms], "{interval}");
    }
}

#[test]
fn ends_are_understood_in_three_forms() {
    let seconds = (NOW + 7_200_000) / 1000;
    for (raw, expires) in [
        (json!(NOW + 7_200_000), NOW + 7_200_000),
        (json!((NOW + 7_200_000).to_string()), NOW + 7_200_000),
        (json!(seconds), seconds * 1000),
    ] {
        let echo = Echo::new([success(&json!({"expired_in": raw}))]);
        let login = echo.global().unwrap();
        assert_eq!(login.members()[4].1, json!(expires), "{raw}");
    }
    // Relative to the answer.
    let echo = Echo::new([success(&json!({"expired_in": 3600}))]);
    let login = echo.global().unwrap();
    assert_eq!(login.members()[4].1, json!(echo.idp.now() + 3_600_000));
    for bad in [json!(null), json!(0), json!(-1), json!("soon")] {
        let echo = Echo::new([success(&json!({"expired_in": bad}))]);
        assert_eq!(echo.global().unwrap_err().message, "the answer has no expired_in");
    }
}

#[test]
fn a_code_that_ends_ends_the_sign_in() {
    let timed_out = "MiniMax OAuth timed out before authorization completed.";
    for (ends, within_ms) in [
        (json!(NOW + 60_000), 64_000),
        (json!((NOW + 60_000) / 1000), 64_000),
        (json!(60), 64_000),
        (json!(NOW - 1), 4_000),
        // Nobody waits for ever.
        (json!(1e300), 3_605_000),
    ] {
        let echo = Echo::new([pending()]).code("expired_in", ends.clone());
        let error = echo.global().unwrap_err();
        assert_eq!((error.message.as_str(), error.kind), (timed_out, OAuthErrorKind::Refused));
        assert!(echo.idp.now() - NOW <= within_ms, "{ends}: {}", echo.idp.now() - NOW);
    }
}

#[test]
fn refusals_have_the_words_of_the_service() {
    let words = |status: u16, body: Value| Echo::new([pending(), Reply::Json(status, body)]).global().unwrap_err();
    let told = json!({"status": "error", "base_resp": {"status_code": 2049, "status_msg": "user said no"}});
    assert_eq!(words(200, told.clone()).message, "user said no");
    assert_eq!(words(400, told.clone()).message, "HTTP 400 2049: user said no");
    assert_eq!(words(500, told).message, "HTTP 500 2049: user said no");
    assert_eq!(words(200, json!({"status": "error"})).message, "the login was refused");
    assert_eq!(words(403, json!({})).message, "HTTP 403");
    let long = json!({"status": "error", "base_resp": {"status_msg": "x y ".repeat(500)}});
    assert!(words(200, long).message.len() <= 200);
    let secret = json!({"status": "error", "base_resp": {"status_msg": "access_token=at-canary-1 is no good"}});
    assert!(words(200, secret).message.contains("is no good"));

    let mut echo = Echo::new([agreed()]).code("base_resp", json!({"status_code": 1, "status_msg": "closed today"}));
    echo.code_status = 500;
    assert_eq!(echo.global().unwrap_err().message, "HTTP 500 1: closed today");
    for name in ["access_token", "refresh_token"] {
        let error = Echo::new([success(&json!({name: null}))]).global().unwrap_err();
        assert_eq!(error.message, format!("the answer has no {name}"));
    }
    for name in ["user_code", "verification_uri", "expired_in"] {
        let error = Echo::new([agreed()]).code(name, json!(null)).global().unwrap_err();
        assert_eq!(error.message, format!("the answer has no {name}"));
    }
    let error = Echo::new([agreed()]).code("verification_uri", json!("http://www.minimax.io/")).global().unwrap_err();
    assert!(error.message.contains("https"), "{error}");
}

#[test]
fn trouble_on_the_way_is_waited_out() {
    let echo = Echo::new([
        Reply::Fail(TransportError::Network("api.minimax.io: reset".to_owned())),
        Reply::Fail(TransportError::Timeout(Duration::from_secs(30))),
        Reply::Text(502, "<html>bad gateway</html>".to_owned()),
        Reply::Json(429, json!({})),
        agreed(),
    ]);
    echo.global().unwrap();
    assert_eq!(echo.idp.count(), 6);
}

#[test]
fn an_interrupt_ends_at_once() {
    for wait in [1, 2] {
        let echo = Echo::new([pending()]);
        echo.idp.give_up_in_wait(wait);
        assert_eq!(echo.global().unwrap_err().kind, OAuthErrorKind::Cancelled);
        assert_eq!(echo.idp.count(), wait);
    }
}

#[test]
fn keys_go_to_minimax_only() {
    let base = |url: &str| {
        let login = Echo::new([success(&json!({"resource_url": url}))]).global()?;
        Ok::<_, OAuthError>(login.config_patch.unwrap()["models"]["providers"]["minimax-portal"]["baseUrl"].clone())
    };
    assert_eq!(base("https://api.minimaxi.com/anthropic/").unwrap(), json!("https://api.minimaxi.com/anthropic"));
    assert_eq!(base("https://eu.minimax.io").unwrap(), json!("https://eu.minimax.io"));
    assert_eq!(base("  ").unwrap(), json!("https://api.minimax.io/anthropic"), "blank is missing");
    for url in [
        "http://api.minimax.io",
        "https://evil.test",
        "https://evilminimax.io",
        "https://minimax.io.evil.test",
        "https://api.minimax.io@evil.test",
        "https://user:pw@api.minimax.io",
        "https://evil.test\\.minimax.io",
        "ftp://api.minimax.io",
        "api.minimax.io",
    ] {
        let error = base(url).unwrap_err();
        assert!(error.message.contains("no address of MiniMax; nothing was stored"), "{url}: {error}");
    }
}
