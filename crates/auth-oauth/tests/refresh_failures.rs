//! What happens when a refresh fails, and what is said then (spec 04 sections 7.3 and 7.4).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::time::Duration;

use auth_core::Config;
use auth_oauth::{Need, OAuthError, OAuthErrorKind, Origin, TransportError};
use common::idp::Reply;
use common::{HOUR, NOW, World, and, token_of};
use serde_json::{Value, json};

const ID: &str = "openai-codex:x";

fn expired(provider: &str, id: &str) -> World {
    let world = World::new();
    world.put("main", &json!({id: world.login(provider)}));
    world
}

/// A refresh that ends with this reply, which changes nothing on the disk.
fn fail(world: &World, id: &str, replies: &[Reply]) -> OAuthError {
    world.idp.on("", replies.to_vec());
    let before = world.text("main");
    let error = world.access("main", id, &Need::Use).unwrap_err();
    assert_eq!(world.text("main"), before, "the stored login stays as it was");
    world.assert_clean();
    error
}

#[test]
fn the_text_names_the_provider_the_status_the_code_and_the_command() {
    for (status, body, said) in [
        (400, r#"{"error":"invalid_grant"}"#, "HTTP 400 invalid_grant"),
        (400, r#"{"error":"invalid_grant","error_description":"Gone."}"#, "HTTP 400 invalid_grant: Gone"),
        (401, r#"{"error":{"code":"refresh_token_reused","message":null}}"#, "HTTP 401 refresh_token_reused"),
        (401, "", "HTTP 401"),
        (403, "<html>forbidden canary</html>", "HTTP 403"),
        (500, "{", "HTTP 500"),
        (302, "", "HTTP 302: redirects, which is not followed"),
        (200, "[]", "the answer is not a JSON object"),
        (200, r#"{"access_token":"at-canary","expires_in":60}"#, "the answer has no refresh_token"),
        (200, r#"{"access_token":"at-canary","refresh_token":"rt-canary"}"#, "the answer has no expires_in"),
        (200, r#"{"refresh_token":"rt-canary","expires_in":60}"#, "the answer has no access_token"),
        (
            200,
            r#"{"access_token":"at-canary","refresh_token":"rt-canary","expires_in":0}"#,
            "the answer's expires_in is no life time",
        ),
    ] {
        let world = expired("openai-codex", ID);
        let error = fail(&world, ID, &[Reply::Text(status, body.to_owned())]);
        assert_eq!(
            error.message,
            format!(
                "OAuth token refresh failed for openai-codex: {said}. Please try again or re-authenticate.\n\nRun `openclaw models auth login --provider openai-codex`"
            )
        );
    }
}

#[test]
fn every_provider_has_its_hint() {
    let hint = |provider: &str, id: &str| {
        let world = expired(provider, id);
        let error = fail(&world, id, &[Reply::Json(400, json!({"error": "invalid_grant"}))]);
        let (first, hint) = error.message.split_once("\n\n").unwrap();
        assert!(first.starts_with(&format!("OAuth token refresh failed for {provider}: ")), "{first}");
        assert!(first.ends_with(". Please try again or re-authenticate."), "{first}");
        hint.to_owned()
    };
    for (provider, id) in
        [("anthropic", "anthropic:default"), ("minimax-portal", "minimax-portal:default"), ("some-odd", "x")]
    {
        assert_eq!(hint(provider, id), format!("Run `openclaw models auth login --provider {provider}`"));
    }
    assert_eq!(
        hint("openai-codex", "openai-codex:codex-cli"),
        "Deprecated profile. Run `openclaw models auth login --provider openai-codex` or `openclaw configure`."
    );
    let qwen = hint("qwen-portal", "qwen-portal:default");
    for part in ["deprecated", "openclaw onboard --auth-choice qwen-api-key", "qwen-api-key-cn"] {
        assert!(qwen.contains(part), "{qwen}");
    }
}

#[test]
fn providers_without_a_refresh_are_not_asked() {
    for provider in ["qwen-portal", "some-odd"] {
        let world = expired(provider, "p:x");
        let error = fail(&world, "p:x", &[]);
        assert_eq!((error.kind, world.idp.count()), (OAuthErrorKind::NotOurs, 0));
    }
    let world = World::new();
    world.put("main", &json!({ID: {"type": "oauth", "provider": "openai-codex", "access": "at-canary", "expires": 1}}));
    assert!(fail(&world, ID, &[]).message.contains("no refresh token"));
    assert_eq!(world.idp.count(), 0);
}

#[test]
fn what_may_pass_is_tried_once_more_and_never_held_against_the_login() {
    let timeout = TransportError::Timeout(Duration::from_secs(20));
    let network = TransportError::Network("auth.openai.com: connection refused".to_owned());
    for failure in [
        Reply::Fail(network),
        Reply::Fail(timeout),
        Reply::Json(500, json!({})),
        Reply::Json(503, json!({"error": "invalid_grant"})),
        Reply::Json(429, json!({"error": {"code": "rate_limited"}})),
    ] {
        // Once is enough.
        let world = expired("openai-codex", ID);
        world.idp.on("oauth/token", [failure.clone(), Reply::Issuer]);
        assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed, "{failure:?}");
        assert_eq!((world.idp.count(), world.idp.waits()), (2, vec![1000]));

        // Twice is an error, and the next call asks again.
        let world = expired("openai-codex", ID);
        let error = fail(&world, ID, std::slice::from_ref(&failure));
        assert_eq!((error.kind, world.idp.count()), (OAuthErrorKind::Unavailable, 2), "{failure:?}");
        world.idp.on("", [Reply::Issuer]);
        assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
        assert_eq!(world.idp.count(), 3);
    }
}

#[test]
fn what_is_no_network_trouble_is_not_repeated() {
    for reply in [
        Reply::Fail(TransportError::TooLarge),
        Reply::Text(200, "x".repeat(2 * 1024 * 1024)),
        Reply::Text(200, "{}".to_owned()),
        Reply::Text(307, String::new()),
        Reply::Json(404, json!({})),
    ] {
        let world = expired("openai-codex", ID);
        let error = fail(&world, ID, &[reply]);
        assert_ne!(error.kind, OAuthErrorKind::Unavailable);
        assert_eq!((world.idp.count(), world.idp.waits().len()), (1, 0));
        // And nothing is remembered of it: it was not the provider's last word about this token.
        world.idp.on("", [Reply::Issuer]);
        assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
    }
}

#[test]
fn a_refusal_for_good_is_not_asked_for_again_until_the_login_changes() {
    for (status, body) in [
        (400, json!({"error": "invalid_grant"})),
        (401, json!({"error": {"code": "refresh_token_reused"}})),
        (400, json!({})),
        (401, json!({})),
        (403, json!({"error": "invalid_grant"})),
    ] {
        let world = expired("openai-codex", ID);
        let first = fail(&world, ID, &[Reply::Json(status, body)]);
        assert_eq!(first.kind, OAuthErrorKind::Refused);
        let asked = world.idp.count();
        for need in [Need::Use, Need::Newer, Need::Remaining(1.0)] {
            let again = world.access("main", ID, &need).unwrap_err();
            assert_eq!((again.message, again.status), (first.message.clone(), Some(status)));
        }
        assert_eq!(world.idp.count(), asked, "{status}");
        // Another process knows nothing of it.
        assert!(world.access_afresh("main", ID).is_err());
        assert_eq!(world.idp.count(), asked + 1);
        // A new login is another matter.
        world.idp.on("", [Reply::Issuer]);
        world.put("main", &json!({ID: world.login("openai-codex")}));
        assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
    }
}

#[test]
fn a_refusal_belongs_to_one_token_of_one_provider() {
    let world = World::new();
    let login = world.login("openai-codex");
    world.put("main", &json!({ID: login, "anthropic:x": and(login.clone(), json!({"provider": "anthropic"}))}));
    world.idp.on("auth.openai.com", [Reply::Json(400, json!({"error": "invalid_grant"}))]);
    assert!(world.access("main", ID, &Need::Use).is_err());
    assert!(world.access("main", "anthropic:x", &Need::Use).is_ok());
}

#[test]
fn a_proxy_that_forbids_is_not_the_providers_last_word() {
    let world = expired("openai-codex", ID);
    fail(&world, ID, &[Reply::Text(403, "<html>".to_owned())]);
    world.idp.on("", [Reply::Issuer]);
    assert!(world.access("main", ID, &Need::Use).is_ok());
}

#[test]
fn somebody_elses_successor_is_refreshed_once() {
    // Another program had spent the token and stored what came, which has ended too.
    let world = expired("openai-codex", ID);
    let (store, taken) = (world.store_path("main"), world.login("openai-codex"));
    let text = json!({"version": 1, "profiles": {ID: taken}}).to_string();
    let mut first = true;
    world.idp.when_asked(move |_| {
        if std::mem::take(&mut first) {
            std::fs::write(&store, &text).unwrap();
        }
    });
    world.idp.on("oauth/token", [Reply::Json(401, json!({"error": {"code": "refresh_token_reused"}})), Reply::Issuer]);
    let access = world.access("main", ID, &Need::Use).unwrap();
    assert_eq!((access.origin.clone(), world.idp.count()), (Origin::Refreshed, 2));
    assert_eq!(world.idp.last("oauth/token").refresh_token(), taken["refresh"].as_str().map(str::to_owned));
    assert_eq!(world.profile("main", ID)["access"], json!(token_of(&access)));
}

#[test]
fn somebody_elses_valid_token_is_used_after_a_failure() {
    for reply in [Reply::Json(400, json!({"error": "invalid_grant"})), Reply::Json(500, json!({}))] {
        let world = expired("openai-codex", ID);
        let (store, taken) = (world.store_path("main"), world.login_until("openai-codex", NOW + HOUR));
        let text = json!({"version": 1, "profiles": {ID: taken}}).to_string();
        world.idp.when_asked(move |_| std::fs::write(&store, &text).unwrap());
        world.idp.on("oauth/token", [reply]);
        let access = world.access("main", ID, &Need::Use).unwrap();
        assert_eq!(json!(token_of(&access)), taken["access"]);
    }
}

#[test]
fn a_successor_that_is_refused_too_is_the_end() {
    let world = expired("openai-codex", ID);
    let store = world.store_path("main");
    let mut count = 0;
    // Every question finds another token stored.
    world.idp.when_asked(move |_| {
        count += 1;
        let login = common::entry("openai-codex", "at-canary", &format!("rt-canary-other-{count}"), 1);
        std::fs::write(&store, json!({"version": 1, "profiles": {ID: login}}).to_string()).unwrap();
    });
    world.idp.on("oauth/token", [Reply::Json(400, json!({"error": "invalid_grant"}))]);
    assert!(world.access("main", ID, &Need::Use).is_err());
    assert_eq!(world.idp.count(), 2, "once more, not for ever");
}

#[test]
fn an_interrupt_in_the_pause_is_an_interrupt() {
    let world = expired("openai-codex", ID);
    world.idp.on("oauth/token", [Reply::Json(500, json!({}))]);
    world.idp.give_up_in_wait(1);
    let error = world.access("main", ID, &Need::Use).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (OAuthErrorKind::Cancelled, "Cancelled."));
    world.assert_clean();
}

/// A dead `<provider>:default` beside other logins of the provider.
struct Legacy {
    world: World,
    provider: &'static str,
}

impl Legacy {
    fn new(provider: &'static str, own: &Value, others: &[(&str, Value)]) -> Self {
        let world = World::new();
        let dead = and(world.login(provider), own.clone());
        world.idp.issuer.revoke(dead["refresh"].as_str().unwrap());
        let mut profiles = serde_json::Map::new();
        profiles.insert(format!("{provider}:default"), dead);
        for (id, more) in others {
            profiles.insert((*id).to_owned(), and(world.login_until(provider, NOW + HOUR), more.clone()));
        }
        world.put("main", &profiles.into());
        Self { world, provider }
    }

    fn configured(mut self, entry: &Value) -> Self {
        let id = format!("{}:default", self.provider);
        self.world.config = Config::from_value(&json!({"auth": {"profiles": {id: entry}}}));
        self
    }

    fn last_good(self, id: &str) -> Self {
        let mut store: Value = serde_json::from_str(&self.world.text("main")).unwrap();
        store["lastGood"] = json!({self.provider: id});
        self.world.put_text("main", &store.to_string());
        self
    }

    fn substitute(&self) -> Option<String> {
        let id = format!("{}:default", self.provider);
        let before = self.world.text("main");
        let result = self.world.access("main", &id, &Need::Use);
        assert_eq!(self.world.text("main"), before);
        let access = result.ok()?;
        let Origin::Substitute(other) = &access.origin else { return Some(format!("{:?}", access.origin)) };
        assert_eq!(self.world.profile("main", other.as_str())["access"], json!(token_of(&access)));
        Some(other.to_string())
    }
}

#[test]
fn the_successor_of_a_legacy_default_stands_in() {
    let nothing = || json!({});
    let mail = |address: &str| json!({"email": address});
    let two = || [("codex:a", mail("a@example.com")), ("openai-codex:b@example.com", mail("b@example.com"))];
    let legacy = |own: Value, others: &[(&str, Value)]| Legacy::new("openai-codex", &own, others);
    let some = |id: &str| Some(id.to_owned());

    assert_eq!(legacy(nothing(), &[("codex:a", nothing())]).substitute(), some("codex:a"), "the only other one");
    assert_eq!(legacy(nothing(), &two()).substitute(), some("openai-codex:b@example.com"), "named like an address");
    assert_eq!(legacy(nothing(), &two()).last_good("codex:a").substitute(), some("codex:a"), "the last good one");
    let entry = |more: Value| and(json!({"provider": "openai-codex", "mode": "oauth"}), more);
    assert_eq!(
        legacy(nothing(), &two())
            .last_good("openai-codex:b@example.com")
            .configured(&entry(mail("A@example.com")))
            .substitute(),
        some("codex:a"),
        "the configured address comes first"
    );
    let unlike = [("codex:a", nothing()), ("codex:b", nothing())];
    assert_eq!(legacy(nothing(), &unlike).substitute(), None, "nothing tells which");

    // Not when something says that it is another account, or the config means another kind of credential.
    assert_eq!(legacy(mail("me@example.com"), &[("codex:a", mail("a@example.com"))]).substitute(), None);
    assert_eq!(legacy(json!({"accountId": "1"}), &[("codex:a", json!({"accountId": "2"}))]).substitute(), None);
    assert_eq!(
        legacy(json!({"accountId": "1"}), &[("codex:a", json!({"accountId": "1"}))]).substitute(),
        some("codex:a")
    );
    let token = json!({"provider": "openai-codex", "mode": "token"});
    assert_eq!(legacy(nothing(), &[("codex:a", nothing())]).configured(&token).substitute(), None);
}

#[test]
fn only_a_default_is_substituted_and_only_for_use() {
    let world = World::new();
    let dead = world.login("openai-codex");
    world.idp.issuer.revoke(dead["refresh"].as_str().unwrap());
    let other = world.login_until("openai-codex", NOW + HOUR);
    world.put("main", &json!({ID: dead, "openai-codex:y": other}));
    assert!(world.access("main", ID, &Need::Use).is_err());

    let legacy = Legacy::new("openai-codex", &json!({}), &[("codex:a", json!({}))]);
    for need in [Need::Newer, Need::Remaining(86_400_000.0)] {
        assert!(legacy.world.access("main", "openai-codex:default", &need).is_err(), "another login is no renewal");
    }
    // The token that was refused is refused under another name too.
    let same = legacy.world.profile("main", "codex:a")["access"].as_str().unwrap().to_owned();
    let access =
        legacy.world.access("main", "openai-codex:default", &Need::NotThis(auth_core::Secret::new(same.as_str())));
    assert_ne!(access.unwrap().token.reveal(), same);
}

#[test]
fn the_hint_of_anthropic_names_the_successor() {
    let legacy = Legacy::new("anthropic", &json!({}), &[("anthropic:a@example.com", json!({}))])
        .configured(&json!({"provider": "anthropic", "mode": "oauth"}));
    let world = &legacy.world;
    let error = world.access("main", "anthropic:default", &Need::Newer).unwrap_err().message;
    let (_, hint) = error.split_once("\n\n").unwrap();
    assert_eq!(
        hint,
        "- provider: anthropic\n- config: auth.profiles.anthropic:default (anthropic, oauth)\n- stored logins: anthropic:default, anthropic:a@example.com\n- suggested profile: anthropic:a@example.com\nFix: openclaw doctor --yes"
    );
}

#[test]
fn no_text_repeats_a_secret_whatever_the_provider_says() {
    let mut world = World::new();
    world.env.set("CHUTES_CLIENT_SECRET", "cs-canary-9f8e7d6c5b4a".to_owned());
    world.env.set("CHUTES_CLIENT_ID", "cid-test".to_owned());
    let login = world.login("chutes");
    let (access, refresh) =
        (login["access"].as_str().unwrap().to_owned(), login["refresh"].as_str().unwrap().to_owned());
    for (at, secret) in [access, refresh, "cs-canary-9f8e7d6c5b4a".to_owned()].into_iter().enumerate() {
        for body in [
            json!({"error": secret}),
            json!({"error": "bad", "error_description": format!("token {secret} is bad")}),
            json!({"error": {"code": secret, "message": secret, "type": secret}}),
            json!({"error": "bad", "error_description": format!("refresh_token={secret}&client_secret={secret}")}),
            json!({"base_resp": {"status_code": 1, "status_msg": secret}}),
            json!({"message": secret}),
        ] {
            world.put("main", &json!({"chutes:x": login}));
            world.idp.on("", [Reply::Json(418, body)]);
            // `access` looks for the canary in whatever is said.
            let error = world.access("main", "chutes:x", &Need::Use).unwrap_err();
            assert!(error.message.contains("HTTP 418"), "{at}: {error}");
        }
    }
}

#[test]
fn long_texts_of_the_provider_are_cut_and_control_characters_go() {
    let world = expired("openai-codex", ID);
    let body = json!({"error": "e".repeat(5000), "error_description": format!("\u{1b}[31m\r\n{}", "d".repeat(5000))});
    let error = fail(&world, ID, &[Reply::Json(400, body)]);
    assert!(error.message.len() < 700, "{}", error.message.len());
    assert!(!error.message.contains(['\u{1b}', '\r']));
}
