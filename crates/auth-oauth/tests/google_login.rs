//! Signing in as the Gemini CLI does: exchange, label and project (spec 04 section 6.3).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::path::Path;
use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{CodeProvider, Login, OAuthError, OAuthErrorKind, TransportError};
use common::idp::Reply;
use common::{CANARY, NOW, World};
use serde_json::{Value, json};

const TOKEN: &str = "oauth2.googleapis.com/token";
const INFO: &str = "oauth2/v1/userinfo";
const LOAD: &str = ":loadCodeAssist";
const ONBOARD: &str = ":onboardUser";

fn ok(body: Value) -> Reply {
    Reply::Json(200, body)
}

fn world() -> World {
    let mut world = World::new();
    world.env.set("GEMINI_CLI_OAUTH_CLIENT_ID", "cid-test".to_owned());
    world.env.set("GEMINI_CLI_OAUTH_CLIENT_SECRET", "cs-canary-0123456789".to_owned());
    let tokens = json!({"access_token": "ya29.canary", "refresh_token": "1//canary", "expires_in": 3599});
    world.idp.on(TOKEN, [ok(tokens)]);
    world.idp.on(INFO, [ok(json!({"email": "me@example.com"}))]);
    world.idp.on(LOAD, [ok(json!({"currentTier": {"id": "free-tier"}, "cloudaicompanionProject": "p-1"}))]);
    world
}

fn login_at(world: &World, home: &Path) -> Result<Login, OAuthError> {
    let settings = world.settings();
    let flow = CodeProvider::Gemini.begin(CodeProvider::Gemini.client(settings)?, settings)?;
    let result = flow.exchange(&Secret::new("4/canary-code"), settings, home, &world.idp);
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error}");
    }
    result
}

fn login(world: &World) -> Result<Login, OAuthError> {
    login_at(world, Path::new("/nowhere"))
}

fn member<'a>(members: &'a [(&'static str, Value)], name: &str) -> Option<&'a Value> {
    members.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[test]
fn from_the_code_to_the_profile() {
    let world = world();
    let login = login(&world).unwrap();
    assert_eq!(login.profile_id.as_str(), "google-gemini-cli:me@example.com");
    // Three requests of 120 ms each; the first answer counts.
    assert_eq!(
        login.members(),
        [
            ("type", json!("oauth")),
            ("provider", json!("google-gemini-cli")),
            ("access", json!("ya29.canary")),
            ("refresh", json!("1//canary")),
            ("expires", json!(NOW + 120 + 3_599_000 - 300_000)),
            ("projectId", json!("p-1")),
            ("email", json!("me@example.com")),
        ]
    );
    let seen = world.idp.seen();
    let urls: Vec<&str> = seen.iter().map(|seen| seen.url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://oauth2.googleapis.com/token",
            "https://www.googleapis.com/oauth2/v1/userinfo?alt=json",
            "https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist",
        ],
        "and nobody else gets the token"
    );
    let field = |name: &str| seen[0].field(name);
    assert_eq!(field("grant_type").as_deref(), Some("authorization_code"));
    assert_eq!(field("client_id").as_deref(), Some("cid-test"));
    assert_eq!(field("client_secret").as_deref(), Some("cs-canary-0123456789"));
    assert_eq!(field("redirect_uri").as_deref(), Some("http://localhost:8085/oauth2callback"));
    assert_eq!(field("code_verifier").map(|verifier| verifier.len()), Some(64));
    assert_eq!(seen[0].timeout, Duration::from_secs(10));
    for request in &seen[1..] {
        assert_eq!(request.header("authorization"), Some("Bearer ya29.canary"));
    }
}

#[test]
fn a_client_is_needed_and_none_is_brought_along() {
    let mut world = world();
    world.env.unset("GEMINI_CLI_OAUTH_CLIENT_ID");
    let error = login(&world).unwrap_err();
    assert!(error.message.starts_with("Gemini CLI not found. Install it first"), "{error}");
    assert!(error.message.contains("set GEMINI_CLI_OAUTH_CLIENT_ID."), "{error}");
    assert_eq!(world.idp.count(), 0);

    // Our own variables come first.
    world.env.set("GEMINI_CLI_OAUTH_CLIENT_ID", "cid-theirs".to_owned());
    world.env.set("OPENCLAW_GEMINI_OAUTH_CLIENT_ID", "cid-ours".to_owned());
    login(&world).unwrap();
    let seen = world.idp.last(TOKEN);
    assert_eq!((seen.field("client_id").as_deref(), seen.field("client_secret")), (Some("cid-ours"), None));
}

#[test]
fn without_a_refresh_token_there_is_no_login() {
    let world = world();
    world.idp.on(TOKEN, [ok(json!({"access_token": "ya29.canary", "expires_in": 3599}))]);
    assert_eq!(login(&world).unwrap_err().message, "No refresh token received. Please try again.");
    world
        .idp
        .on(TOKEN, [Reply::Json(400, json!({"error": "invalid_client", "error_description": "cs-canary-0123456789"}))]);
    assert_eq!(login(&world).unwrap_err().message, "HTTP 400 invalid_client: ***");
}

#[test]
fn a_missing_label_is_no_failure() {
    for reply in [
        Reply::Text(500, String::new()),
        Reply::Text(200, "no json".to_owned()),
        ok(json!({"email": ""})),
        ok(json!({"email": "bad\u{1b}[2J@example.com"})),
        ok(json!({})),
        Reply::Fail(TransportError::Network("www.googleapis.com: reset".to_owned())),
        Reply::Fail(TransportError::Timeout(Duration::from_secs(10))),
    ] {
        let world = world();
        world.idp.on(INFO, [reply]);
        let login = login(&world).unwrap();
        assert_eq!((login.profile_id.as_str(), login.email.as_deref()), ("google-gemini-cli:default", None));
    }
    let world = world();
    world.idp.on(INFO, [Reply::Fail(TransportError::Cancelled)]);
    assert_eq!(login(&world).unwrap_err().kind, OAuthErrorKind::Cancelled, "the user ends it anywhere");
}

#[test]
fn a_personal_account_needs_no_project() {
    let personal = [
        json!({"security": {"auth": {"selectedType": "oauth-personal"}}}),
        json!({"security": {"auth": {"enforcedType": "oauth-personal"}}}),
        json!({"selectedAuthType": "oauth-personal"}),
        json!({"enforcedAuthType": "oauth-personal"}),
    ];
    let others = [json!({"selectedAuthType": "vertex-ai"}), json!({}), json!([])];
    for (settings, asked) in personal.into_iter().map(|it| (it, false)).chain(others.into_iter().map(|it| (it, true))) {
        let world = world();
        let home = world.dir.path().join("home");
        std::fs::create_dir_all(home.join(".gemini")).unwrap();
        std::fs::write(home.join(".gemini/settings.json"), settings.to_string()).unwrap();
        let login = login_at(&world, &home).unwrap();
        assert_eq!(member(&login.members(), "projectId").is_some(), asked, "{settings}");
        assert_eq!(world.idp.seen().iter().any(|seen| seen.url.contains(LOAD)), asked);
    }
    let mut world = world();
    world.env.set("GOOGLE_GENAI_USE_GCA", "true".to_owned());
    assert!(member(&login(&world).unwrap().members(), "projectId").is_none());
}

#[test]
fn an_account_without_a_tier_is_set_up_and_waited_for() {
    let world = world();
    world.idp.on(LOAD, [ok(json!({"allowedTiers": [{"id": "legacy-tier"}, {"id": "free-tier", "isDefault": true}]}))]);
    let done = json!({"done": true, "response": {"cloudaicompanionProject": {"id": "p-made"}}});
    world.idp.on(ONBOARD, [ok(json!({"name": "operations/1"})), ok(json!({"done": false})), ok(done)]);
    let login = login(&world).unwrap();
    assert_eq!(member(&login.members(), "projectId"), Some(&json!("p-made")));
    assert_eq!(world.idp.waits(), [5000, 5000]);
    let body: Value = serde_json::from_str(&world.idp.last(ONBOARD).body).unwrap();
    assert_eq!((&body["tierId"], body.get("cloudaicompanionProject")), (&json!("free-tier"), None));
}

#[test]
fn a_set_up_that_never_ends_is_given_up() {
    let world = world();
    world.idp.on(LOAD, [ok(json!({}))]);
    world.idp.on(ONBOARD, [ok(json!({"done": false}))]);
    let error = login(&world).unwrap_err();
    assert_eq!(error.kind, OAuthErrorKind::Unavailable);
    assert_eq!(world.idp.seen().iter().filter(|seen| seen.url.contains(ONBOARD)).count(), 24);
    assert!(world.idp.waits().len() == 23 && world.idp.waits().iter().all(|wait| *wait == 5000));

    let world = self::world();
    world.idp.on(LOAD, [ok(json!({}))]);
    world.idp.on(ONBOARD, [ok(json!({"done": false}))]);
    world.idp.give_up_in_wait(2);
    assert_eq!(login(&world).unwrap_err().kind, OAuthErrorKind::Cancelled);
}

#[test]
fn the_project_of_the_variables_helps_out() {
    let own = |name: &str| {
        let mut world = world();
        world.env.set(name, " p-own ".to_owned());
        world
    };
    let project = |world: &World| member(&login(world).unwrap().members(), "projectId").cloned();
    for name in ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID"] {
        // What the service says comes first.
        assert_eq!(project(&own(name)), Some(json!("p-1")));
        let sent: Value = {
            let world = own(name);
            login(&world).unwrap();
            serde_json::from_str(&world.idp.last(LOAD).body).unwrap()
        };
        assert_eq!(sent["cloudaicompanionProject"], json!("p-own"));
        for reply in [
            ok(json!({"currentTier": {"id": "standard-tier"}})),
            Reply::Json(403, json!({"error": {"code": 403, "message": "no"}})),
            Reply::Fail(TransportError::Network("cloudcode-pa.googleapis.com: reset".to_owned())),
        ] {
            let world = own(name);
            world.idp.on(LOAD, [reply]);
            assert_eq!(project(&world), Some(json!("p-own")));
        }
        let world = own(name);
        world.idp.on(LOAD, [ok(json!({"allowedTiers": [{"id": "standard-tier", "isDefault": true}]}))]);
        world.idp.on(ONBOARD, [ok(json!({"done": true}))]);
        assert_eq!(project(&world), Some(json!("p-own")));
        let body: Value = serde_json::from_str(&world.idp.last(ONBOARD).body).unwrap();
        assert_eq!(body["cloudaicompanionProject"], json!("p-own"));
    }
}

#[test]
fn no_project_at_all_is_an_error() {
    let world = world();
    world.idp.on(LOAD, [ok(json!({"currentTier": {"id": "standard-tier"}}))]);
    assert!(login(&world).unwrap_err().message.contains("GOOGLE_CLOUD_PROJECT"));
    world.idp.on(LOAD, [Reply::Json(500, json!({"error": {"message": "ya29.canary broke"}}))]);
    assert_eq!(login(&world).unwrap_err().message, "HTTP 500: *** broke");
    world.idp.on(LOAD, [ok(json!({}))]);
    world.idp.on(ONBOARD, [ok(json!({"done": true}))]);
    assert!(login(&world).unwrap_err().message.contains("GOOGLE_CLOUD_PROJECT"));
}
