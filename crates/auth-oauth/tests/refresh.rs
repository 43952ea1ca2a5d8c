//! When a login is refreshed, and what the store is like afterwards (spec 04 sections 7.1 and 7.2).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use std::time::Duration;

use auth_core::Secret;
use auth_oauth::{Need, OAuthErrorKind, Origin, TransportError};
use common::idp::Reply;
use common::{HOUR, NOW, World, and, mode, token_of};
use serde_json::{Value, json};

const ID: &str = "openai-codex:x";

fn world_until(expires: i64) -> World {
    let world = World::new();
    world.put("main", &json!({ID: world.login_until("openai-codex", expires)}));
    world
}

#[test]
fn a_valid_token_is_used_without_a_request_or_a_write() {
    let world = world_until(NOW + HOUR);
    let (before, changed) = (world.text("main"), world.store_path("main").metadata().unwrap().modified().unwrap());
    let access = world.access("main", ID, &Need::Use).unwrap();
    assert_eq!(access.origin, Origin::Stored);
    assert_eq!(json!(token_of(&access)), world.profile("main", ID)["access"]);
    assert_eq!(access.expires_ms, Some(1_900_003_600_000.0));
    assert_eq!((world.idp.count(), world.text("main")), (0, before));
    assert_eq!(world.store_path("main").metadata().unwrap().modified().unwrap(), changed);
    assert!(!world.dir.path().join(".openclaw/locks").exists(), "nothing was locked");
}

#[test]
fn the_last_minute_counts_as_over_as_long_as_a_refresh_works() {
    for (left_ms, requests) in [(60_001, 0), (60_000, 1), (1, 1), (0, 1), (-1, 1)] {
        let world = world_until(NOW + left_ms);
        let access = world.access("main", ID, &Need::Use).unwrap();
        assert_eq!(world.idp.count(), requests, "{left_ms} ms left");
        assert_eq!(access.origin, if requests == 0 { Origin::Stored } else { Origin::Refreshed });
    }
}

#[test]
fn the_last_minute_is_used_when_the_refresh_fails() {
    let down = || [Reply::Fail(TransportError::Network("auth.openai.com: refused".to_owned()))];
    let refused = || [Reply::Json(400, json!({"error": "invalid_grant"}))];
    for (replies, left_ms, works) in
        [(down(), 59_000, true), (refused(), 59_000, true), (down(), 0, false), (refused(), -1, false)]
    {
        let world = world_until(NOW + left_ms);
        world.idp.on("oauth/token", replies);
        let old = world.profile("main", ID);
        let result = world.access("main", ID, &Need::Use);
        assert_eq!(result.is_ok(), works, "{left_ms} ms left: {result:?}");
        assert!(result.is_err() || json!(token_of(&result.unwrap())) == old["access"]);
        assert_eq!(world.profile("main", ID), old);
        world.assert_clean();
    }
}

#[test]
fn an_end_that_is_no_date_counts_as_over() {
    for expires in [Value::Null, json!("soon"), json!(0), json!(-5), json!({}), json!("1900003600000")] {
        let world = World::new();
        world.put("main", &json!({ID: and(world.login("openai-codex"), json!({"expires": expires}))}));
        assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed, "{expires}");
        assert_eq!(world.profile("main", ID)["expires"], json!(NOW + 120 + HOUR));
    }
    let world = World::new();
    let mut login = world.login("openai-codex");
    login.as_object_mut().unwrap().remove("expires");
    world.put("main", &json!({ID: login}));
    assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
}

#[test]
fn a_blank_access_token_is_none() {
    let world = World::new();
    world.put("main", &json!({ID: and(world.login_until("openai-codex", NOW + HOUR), json!({"access": "  "}))}));
    assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
}

#[test]
fn who_needs_more_gets_a_refresh() {
    let day = 24.0 * 3_600_000.0;
    let world = world_until(NOW + HOUR);
    assert_eq!(world.access("main", ID, &Need::Remaining(3_500_000.0)).unwrap().origin, Origin::Stored);
    assert_eq!(world.access("main", ID, &Need::Remaining(0.0)).unwrap().origin, Origin::Stored);
    assert_eq!(world.access("main", ID, &Need::Remaining(day)).unwrap().origin, Origin::Refreshed);
    assert_eq!(world.access("main", ID, &Need::Newer).unwrap().origin, Origin::Refreshed);
    assert_eq!(world.idp.count(), 2);

    // Zero is a life time of its own: no margin is added to it.
    let world = world_until(NOW + 1000);
    assert_eq!(world.access("main", ID, &Need::Remaining(0.0)).unwrap().origin, Origin::Stored);
}

#[test]
fn a_token_that_was_refused_is_replaced_once() {
    let world = world_until(NOW + HOUR);
    let refused = world.access("main", ID, &Need::Use).unwrap().token;
    let first = world.access("main", ID, &Need::NotThis(refused.clone())).unwrap();
    assert_eq!((first.origin.clone(), world.idp.count()), (Origin::Refreshed, 1));
    // Whoever comes later with the same refusal takes what is there.
    let second = world.access("main", ID, &Need::NotThis(refused.clone())).unwrap();
    assert!(second.origin == Origin::Stored && second.token.is_same(&first.token));
    assert_eq!(world.idp.count(), 1);
    assert!(!first.token.is_same(&refused));
}

#[test]
fn who_needs_a_newer_token_is_not_served_with_the_old_one() {
    let world = world_until(NOW + HOUR);
    world.idp.on("oauth/token", [Reply::Json(503, json!({}))]);
    let old = world.text("main");
    for need in [Need::Newer, Need::Remaining(86_400_000.0)] {
        let error = world.access("main", ID, &need).unwrap_err();
        assert_eq!(error.kind, OAuthErrorKind::Unavailable);
    }
    let refused = world.access("main", ID, &Need::Use).unwrap().token;
    assert!(world.access("main", ID, &Need::NotThis(refused)).is_err());
    assert_eq!(world.text("main"), old);
}

#[test]
fn everything_that_the_refresh_is_not_about_stays_byte_for_byte() {
    let world = World::new();
    let login = world.login("openai-codex");
    let (access, refresh) = (login["access"].as_str().unwrap(), login["refresh"].as_str().unwrap());
    let expires = NOW - 1000;
    let text = |access: &str, refresh: &str, expires: i64, more: &str| {
        format!(
            r#"{{
  "version": 1,
  "profiles": {{
    "odd:one": {{
      "type": "api_key",
      "provider": "z.ai",
      "key": "k-caf\u00e9-canary",
      "weight": 1.50e+3,
      "nested": {{ "b": [1,  2], "a": null }}
    }},
    "openai-codex:x": {{
      "type": "oauth",
      "future": {{ "deep": [ true, 1E2 ] }},
      "refresh": "{refresh}",
      "provider": "openai-codex",
      "access": "{access}",
      "email": "A@Example.com",
      "displayName": "Me \u2713",
      "expires": {expires},
      "projectId": "p"{more}
    }},
    "broken": 7
  }},
  "order": {{ "openai-codex": ["openai-codex:x", "gone"] }},
  "lastGood": {{ "openai-codex": "openai-codex:x" }},
  "usageStats": {{ "openai-codex:x": {{ "errorCount": 3, "cooldownUntil": 1900000000001, "odd": "x" }} }},
  "extension": {{"keep":  "me"}}
}}
"#
        )
    };
    world.put_text("main", &text(access, refresh, expires, ""));
    let before: Vec<String> = world.text("main").lines().map(str::to_owned).collect();
    world.access("main", ID, &Need::Use).unwrap();
    let new = world.profile("main", ID);
    assert!(new["access"] != json!(access) && new["refresh"] != json!(refresh));
    assert_eq!((&new["accountId"], &new["expires"]), (&json!("acct-1"), &json!(NOW + 120 + HOUR)));

    // Every line that has none of the four fields is there, in the same order.
    let ours = ["\"access\"", "\"refresh\"", "\"expires\"", "\"accountId\"", "\"projectId\""];
    let rest = |lines: &[String]| {
        let squeezed = lines.concat().split_whitespace().collect::<String>();
        assert!(
            squeezed.contains(r#""weight":1.50e+3"#) && squeezed.contains(r"caf\u00e9") && squeezed.contains("1E2")
        );
        let other = |line: &&String| !ours.iter().any(|name| line.contains(name));
        lines.iter().filter(other).cloned().collect::<Vec<_>>()
    };
    let after: Vec<String> = world.text("main").lines().map(str::to_owned).collect();
    let whole = |lines: &[String]| rest(lines).concat().split_whitespace().collect::<String>();
    assert_eq!(whole(&after), whole(&before));
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let old: Value = serde_json::from_str(&before.concat()).unwrap();
    let mut wanted = names(&old["profiles"][ID]);
    wanted.push("accountId".to_owned());
    assert_eq!(names(&new), wanted, "the fields keep their places, a new one comes last");
}

#[test]
fn a_store_of_this_program_changes_in_its_values_only() {
    let world = World::new();
    let login = and(world.login("anthropic"), json!({"email": "a@example.com", "x": 1}));
    world.put("main", &json!({"a": {"type": "token", "provider": "p", "token": "t"}, "anthropic:x": login, "z": 1}));
    let before = world.text("main");
    world.access("main", "anthropic:x", &Need::Use).unwrap();
    let new = world.profile("main", "anthropic:x");
    let wanted = before
        .replace(login["access"].as_str().unwrap(), new["access"].as_str().unwrap())
        .replace(login["refresh"].as_str().unwrap(), new["refresh"].as_str().unwrap())
        .replace(&login["expires"].to_string(), &new["expires"].to_string());
    assert_eq!(world.text("main"), wanted);
    assert_eq!(mode(&world.store_path("main")), 0o600);
    world.assert_clean();
}

#[test]
fn labels_stay_and_extra_fields_follow_the_answer() {
    let world = World::new();
    let more = json!({"email": "old@example.com", "displayName": "Old", "accountId": "acct-old"});
    world.put("main", &json!({ID: and(world.login("openai-codex"), more)}));
    let access = world.access("main", ID, &Need::Use).unwrap();
    let stored = world.profile("main", ID);
    assert_eq!((&stored["email"], &stored["displayName"]), (&json!("old@example.com"), &json!("Old")));
    assert_eq!(stored["accountId"], json!("acct-1"), "what the token says now");
    assert_eq!(access.entry.account_id.as_deref(), Some("acct-1"), "and who uses it learns it at once");
    assert_eq!((access.entry.email.as_deref(), stored["type"].as_str()), (Some("old@example.com"), Some("oauth")));
}

#[test]
fn an_answer_without_an_account_keeps_the_known_one_and_the_rotated_token() {
    let world = World::new();
    world.idp.issuer.set_account(None);
    world.put("main", &json!({ID: and(world.login("openai-codex"), json!({"accountId": "acct-old"}))}));
    world.access("main", ID, &Need::Use).unwrap();
    let stored = world.profile("main", ID);
    assert_eq!(stored["accountId"], json!("acct-old"));
    assert!(world.idp.issuer.is_live(stored["refresh"].as_str().unwrap()), "the rotated token was kept");
}

#[test]
fn the_request_may_not_be_given_up_and_ends_within_the_deadline() {
    let world = world_until(NOW - 1);
    world.access("main", ID, &Need::Use).unwrap();
    let seen = world.idp.last("oauth/token");
    assert!(seen.must_finish);
    assert!(seen.timeout <= Duration::from_secs(20) && seen.timeout > Duration::from_secs(15), "{:?}", seen.timeout);
}

#[test]
fn the_new_tokens_are_on_the_disk_before_they_are_used_and_locked_while_they_are_asked_for() {
    let world = world_until(NOW - 1);
    let (store, locks) = (world.store_path("main"), world.dir.path().join(".openclaw/locks"));
    let (sent, text) = std::sync::mpsc::channel();
    let old = std::fs::read_to_string(&store).unwrap();
    world.idp.when_asked(move |_| {
        let names = |dir: &std::path::Path| {
            let mut names: Vec<String> = common::files_below(dir)
                .iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        sent.send((names(&locks), names(store.parent().unwrap()), std::fs::read_to_string(&store).unwrap())).unwrap();
    });
    let refresh = world.profile("main", ID)["refresh"].as_str().unwrap().to_owned();
    let access = world.access("main", ID, &Need::Use).unwrap();
    assert_eq!(json!(token_of(&access)), world.profile("main", ID)["access"]);
    let (locked, beside, during) = text.recv().unwrap();
    // The first 16 hexadecimal digits of the digest, of which a fingerprint has 12.
    let digest = Secret::new(format!("openai-codex\0{refresh}")).fingerprint().to_string().replace("sha256:", "oauth-");
    assert!(locked.len() == 1 && locked[0].starts_with(&digest) && locked[0].len() == "oauth-.lock".len() + 16);
    assert_eq!(beside, ["auth-profiles.json", "auth-profiles.json.lock"]);
    assert_eq!(during, old, "nothing was written before the answer");
    assert_eq!(mode(&world.dir.path().join(".openclaw/locks")), 0o700);
    world.assert_clean();
}

#[test]
fn a_login_of_another_program_is_used_and_never_spent() {
    let managed = |manager: &str, left_ms: i64| {
        let world = World::new();
        let login = and(world.login_until("openai-codex", NOW + left_ms), json!({"managedBy": manager}));
        world.put("main", &json!({ID: login}));
        world
    };
    // No margin: nothing could be done in it.
    for left_ms in [HOUR, 59_000, 1] {
        let world = managed("codex-cli", left_ms);
        assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Stored);
    }
    for (manager, help) in [
        ("codex-cli", "openclaw models auth import codex"),
        ("gemini-cli", "openclaw models auth import gemini"),
        ("other tool", "openclaw models auth login --provider openai-codex"),
    ] {
        let world = managed(manager, -1);
        let (before, token) = (world.text("main"), Secret::new("x"));
        for need in [Need::Use, Need::Newer, Need::Remaining(1.0), Need::NotThis(token)] {
            let error = world.access("main", ID, &need).unwrap_err();
            assert_eq!(
                error.message,
                format!("{manager} credential is expired; refresh it in the external CLI and retry.\n\nRun: {help}")
            );
            assert_eq!(error.kind, OAuthErrorKind::NotOurs);
        }
        assert_eq!((world.idp.count(), world.text("main")), (0, before));
    }
}

#[test]
fn what_is_no_login_is_said_to_be_none() {
    let world = World::new();
    world.put(
        "main",
        &json!({
            "groq:default": {"type": "api_key", "provider": "groq", "key": "gsk-test-canary"},
            "codex:ref": {"type": "oauth", "provider": "openai-codex", "access": "${CODEX}", "refresh": "r", "expires": 1},
        }),
    );
    for id in ["groq:default", "gone"] {
        let error = world.access("main", id, &Need::Use).unwrap_err();
        assert!(error.message.contains(id) && error.kind == OAuthErrorKind::NotOurs, "{error}");
    }
    let error = world.access("main", "codex:ref", &Need::Use).unwrap_err().message;
    assert!(error.starts_with("auth profile codex:ref policy validation failed"), "{error}");
    assert!(error.contains("- profiles.codex:ref.access: SecretRef is not allowed for type=\"oauth\""), "{error}");
    assert_eq!(world.idp.count(), 0);
}

#[test]
fn a_login_that_goes_away_meanwhile_is_not_brought_back() {
    let world = world_until(NOW - 1);
    let store = world.store_path("main");
    // A program that ignores every lock.
    world.idp.when_asked(move |_| std::fs::write(&store, "{\"version\": 1, \"profiles\": {}}").unwrap());
    let error = world.access("main", ID, &Need::Use).unwrap_err();
    assert!(error.message.contains("is no login"), "{error}");
    assert_eq!(world.text("main"), "{\"version\": 1, \"profiles\": {}}");
    world.assert_clean();
}

#[test]
fn a_login_that_is_replaced_meanwhile_wins_over_the_answer() {
    let world = world_until(NOW - 1);
    let newer = world.login_until("openai-codex", NOW + 10 * HOUR);
    let (store, text) = (world.store_path("main"), json!({"version": 1, "profiles": {ID: newer}}).to_string());
    world.idp.when_asked(move |_| std::fs::write(&store, &text).unwrap());
    let access = world.access("main", ID, &Need::Use).unwrap();
    assert_eq!(json!(token_of(&access)), newer["access"]);
    assert_eq!(world.profile("main", ID), newer);
}

#[test]
fn what_another_program_changes_meanwhile_is_kept() {
    let world = world_until(NOW - 1);
    let store = world.store_path("main");
    let path = store.clone();
    world.idp.when_asked(move |_| {
        let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        document["usageStats"] = json!({ID: {"lastUsed": 7}});
        document["profiles"]["new"] = json!({"type": "token", "provider": "p", "token": "t"});
        std::fs::write(&path, document.to_string()).unwrap();
    });
    world.access("main", ID, &Need::Use).unwrap();
    let document: Value = serde_json::from_slice(&std::fs::read(&store).unwrap()).unwrap();
    assert_eq!(document["usageStats"][ID]["lastUsed"], json!(7));
    assert_eq!(document["profiles"]["new"]["token"], json!("t"));
    assert!(world.idp.issuer.is_live(document["profiles"][ID]["refresh"].as_str().unwrap()));
}
