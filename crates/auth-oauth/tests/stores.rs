//! Which store a login is used from, and which stores a refresh changes (spec 04 sections 7.2 and 7.3, 01 section 5.4).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use auth_oauth::{Need, OAuthErrorKind, Origin};
use common::idp::Reply;
use common::{HOUR, NOW, World, and, token_of};
use serde_json::{Value, json};

const ID: &str = "openai-codex:x";

fn account(name: &str) -> Value {
    json!({"accountId": name, "email": format!("{name}@example.com")})
}

#[test]
fn an_agent_without_an_entry_refreshes_main_and_copies_nothing() {
    let world = World::new();
    world.put("main", &json!({ID: world.login("openai-codex")}));
    world.put("work", &json!({"other": {"type": "token", "provider": "p", "token": "t"}}));
    let before = world.text("work");
    let access = world.access("work", ID, &Need::Use).unwrap();
    assert_eq!(access.origin, Origin::Refreshed);
    assert_eq!(world.profile("main", ID)["access"], json!(token_of(&access)));
    assert_eq!(world.text("work"), before);
    world.assert_clean();
}

#[test]
fn an_agent_refreshes_its_own_entry_and_leaves_main_alone() {
    for agent in ["work", "alpha"] {
        let world = World::new();
        // Of main's entry nothing says that it is another account, but it does not hold longer.
        world.put("main", &json!({ID: world.login_until("openai-codex", NOW - 2000)}));
        world.put(agent, &json!({ID: world.login_until("openai-codex", NOW - 1000)}));
        let before = world.text("main");
        let access = world.access(agent, ID, &Need::Use).unwrap();
        assert_eq!(world.profile(agent, ID)["access"], json!(token_of(&access)));
        assert_eq!(world.text("main"), before);
        world.assert_clean();
    }
}

#[test]
fn mains_later_login_of_the_account_serves_in_memory() {
    let table = [
        // main, own, adopted
        (json!({}), json!({}), true),
        (account("a"), json!({}), true),
        (json!({}), account("a"), true),
        (account("a"), account("a"), true),
        (account("a"), json!({"email": "A@EXAMPLE.com"}), true),
        (account("a"), account("b"), false),
        (account("a"), json!({"accountId": "a", "email": "other@example.com"}), false),
    ];
    for (main, own, adopted) in table {
        let world = World::new();
        world.put("main", &json!({ID: and(world.login_until("openai-codex", NOW + HOUR), main.clone())}));
        world.put("work", &json!({ID: and(world.login("openai-codex"), own.clone())}));
        let (before_main, before_own) = (world.text("main"), world.text("work"));
        let access = world.access("work", ID, &Need::Use).unwrap();
        assert_eq!(access.origin == Origin::Main, adopted, "{main} {own}");
        assert_eq!(world.idp.count(), usize::from(!adopted));
        assert_eq!(world.text("main"), before_main);
        assert_eq!(world.text("work") == before_own, adopted, "nothing is copied");
    }
}

#[test]
fn mains_login_is_not_taken_when_it_is_earlier_or_of_another_provider_or_kind() {
    let token = json!({"type": "token", "provider": "openai-codex", "token": "t", "expires": NOW + 9 * HOUR});
    let world = World::new();
    for main in [world.login_until("openai-codex", NOW + HOUR), world.login_until("anthropic", NOW + 9 * HOUR), token] {
        world.put("main", &json!({ID: main}));
        world.put("work", &json!({ID: world.login_until("openai-codex", NOW + 2 * HOUR)}));
        let access = world.access("work", ID, &Need::Use).unwrap();
        assert_eq!(access.origin, Origin::Stored);
        assert_eq!(world.profile("work", ID)["access"], json!(token_of(&access)));
    }
}

#[test]
fn an_own_entry_without_an_end_gives_way_to_main() {
    let world = World::new();
    world.put("main", &json!({ID: world.login_until("openai-codex", NOW + HOUR)}));
    world.put("work", &json!({ID: and(world.login("openai-codex"), json!({"expires": "soon"}))}));
    assert_eq!(world.access("work", ID, &Need::Use).unwrap().origin, Origin::Main);
}

#[test]
fn an_own_entry_of_another_kind_hides_main() {
    let world = World::new();
    world.put("main", &json!({ID: world.login_until("openai-codex", NOW + HOUR)}));
    world.put("work", &json!({ID: {"type": "api_key", "provider": "openai", "key": "sk-test-canary"}}));
    let error = world.access("work", ID, &Need::Use).unwrap_err();
    assert_eq!(error.kind, OAuthErrorKind::NotOurs);
    assert_eq!(world.idp.count(), 0);
}

#[test]
fn copies_of_one_login_are_both_brought_up_to_date() {
    for agent in ["work", "alpha"] {
        let world = World::new();
        let login = world.login("openai-codex");
        world.put("main", &json!({ID: and(login.clone(), json!({"x": "main"})), "m": 1}));
        world.put(agent, &json!({"w": 2, ID: and(login, json!({"x": "own"}))}));
        let access = world.access(agent, ID, &Need::Use).unwrap();
        let (main, own) = (world.profile("main", ID), world.profile(agent, ID));
        for (profile, mark) in [(&main, "main"), (&own, "own")] {
            assert_eq!((&profile["access"], &profile["x"]), (&json!(token_of(&access)), &json!(mark)));
        }
        assert_eq!((&main["refresh"], world.idp.count()), (&own["refresh"], 1));
        world.assert_clean();
    }
}

#[test]
fn copies_under_other_names_are_no_copies() {
    let world = World::new();
    let login = world.login("openai-codex");
    world.put("main", &json!({"openai-codex:y": login}));
    world.put("work", &json!({ID: login}));
    world.access("work", ID, &Need::Use).unwrap();
    assert_eq!(world.profile("main", "openai-codex:y"), login);
    assert_eq!(world.profile("main", ID), Value::Null, "no entry is made");
}

#[test]
fn mains_dead_login_does_not_hide_the_agents_own() {
    let world = World::new();
    let main = world.login_until("openai-codex", NOW - 1000);
    world.idp.issuer.revoke(main["refresh"].as_str().unwrap());
    world.put("main", &json!({ID: main}));
    world.put("work", &json!({ID: world.login_until("openai-codex", NOW - 2000)}));
    let access = world.access("work", ID, &Need::Use).unwrap();
    assert_eq!((access.origin.clone(), world.idp.count()), (Origin::Refreshed, 2));
    assert_eq!(world.profile("work", ID)["access"], json!(token_of(&access)));
    assert_eq!(world.profile("main", ID), main);

    // Neither works: the stored logins are as they were.
    let world = World::new();
    world.put("main", &json!({ID: world.login_until("openai-codex", NOW - 1000)}));
    world.put("work", &json!({ID: world.login_until("openai-codex", NOW - 2000)}));
    world.idp.on("oauth/token", [Reply::Json(400, json!({"error": "invalid_grant"}))]);
    let before = (world.text("main"), world.text("work"));
    assert_eq!(world.access("work", ID, &Need::Use).unwrap_err().kind, OAuthErrorKind::Refused);
    assert_eq!((world.text("main"), world.text("work")), before);
}

#[test]
fn mains_managed_login_does_not_hide_the_agents_own() {
    let world = World::new();
    world.put("main", &json!({ID: and(world.login("openai-codex"), json!({"managedBy": "codex-cli"}))}));
    world.put("work", &json!({ID: world.login_until("openai-codex", NOW - 2000)}));
    assert_eq!(world.access("work", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
}

#[test]
fn main_serves_when_the_agents_refresh_fails() {
    for (main, serves) in [(account("a"), true), (account("b"), false)] {
        let world = World::new();
        let own = and(world.login("openai-codex"), account("a"));
        world.idp.issuer.revoke(own["refresh"].as_str().unwrap());
        world.put("work", &json!({ID: own}));
        // It comes while the agent's own is being refused, so that it was not seen before.
        let login = and(world.login_until("openai-codex", NOW + HOUR), main);
        let (store, text) = (world.store_path("main"), json!({"version": 1, "profiles": {ID: login}}).to_string());
        std::fs::create_dir_all(store.parent().unwrap()).unwrap();
        world.idp.when_asked(move |_| std::fs::write(&store, &text).unwrap());
        let result = world.access("work", ID, &Need::Use);
        assert_eq!(result.as_ref().ok().map(|access| access.origin.clone()), serves.then_some(Origin::Main));
        assert_eq!(world.profile("work", ID), own);
    }
}

#[test]
fn a_store_that_is_one_file_for_two_agents_is_refreshed_once() {
    let world = World::new();
    world.put("main", &json!({ID: world.login("openai-codex")}));
    let link = world.store_path("work");
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(world.store_path("main"), &link).unwrap();
    let access = world.access("work", ID, &Need::Use).unwrap();
    assert_eq!(world.idp.count(), 1);
    assert_eq!(world.profile("main", ID)["access"], json!(token_of(&access)));
    assert!(link.symlink_metadata().unwrap().is_symlink());
}

#[test]
fn legacy_files_are_taken_over_by_the_refresh() {
    let world = World::new();
    let login = world.login("anthropic");
    let auth = world.agent_dir("main").join("auth.json");
    std::fs::create_dir_all(auth.parent().unwrap()).unwrap();
    std::fs::write(&auth, json!({"anthropic": login}).to_string()).unwrap();
    let access = world.access("main", "anthropic:default", &Need::Use).unwrap();
    assert_eq!(world.profile("main", "anthropic:default")["access"], json!(token_of(&access)));
    assert!(!auth.exists());
    assert_eq!(common::mode(&world.store_path("main")), 0o600);
}

#[test]
fn a_store_of_a_later_version_is_read_and_not_changed() {
    let world = World::new();
    let text = |login: &Value| json!({"version": 2, "profiles": {ID: login}}).to_string();
    world.put_text("main", &text(&world.login_until("openai-codex", NOW + HOUR)));
    assert_eq!(world.access("main", ID, &Need::Use).unwrap().origin, Origin::Stored);
    world.put_text("main", &text(&world.login("openai-codex")));
    let before = world.text("main");
    let error = world.access("main", ID, &Need::Use).unwrap_err().message;
    assert!(error.contains("auth-profiles.json is not valid") && error.contains("openclaw doctor"), "{error}");
    assert_eq!((world.text("main"), world.idp.count()), (before, 0), "nothing was asked");
}

#[test]
fn a_broken_store_names_itself_and_does_not_hide_main() {
    let world = World::new();
    world.put_text("main", "{ broken canary");
    let error = world.access("main", ID, &Need::Use).unwrap_err().message;
    assert!(error.contains("auth-profiles.json") && error.contains("line 1 column 3"), "{error}");
    assert!(error.contains("openclaw doctor"), "{error}");

    let world = World::new();
    world.put("main", &json!({ID: world.login("openai-codex")}));
    world.put_text("work", "{ broken canary");
    assert_eq!(world.access("work", ID, &Need::Use).unwrap().origin, Origin::Refreshed);
    assert_eq!(world.text("work"), "{ broken canary");
}

#[test]
fn a_variable_that_forbids_writing_forbids_spending() {
    let mut world = World::new();
    world.put(
        "main",
        &json!({ID: world.login("openai-codex"), "openai-codex:y": world.login_until("openai-codex", NOW + HOUR)}),
    );
    let before = world.text("main");
    world.env.set("OPENCLAW_AUTH_STORE_READONLY", "1".to_owned());
    assert_eq!(world.access("main", "openai-codex:y", &Need::Use).unwrap().origin, Origin::Stored);
    let error = world.access("main", ID, &Need::Use).unwrap_err();
    assert!(error.message.contains("OPENCLAW_AUTH_STORE_READONLY is set"), "{error}");
    assert_eq!((world.text("main"), world.idp.count()), (before, 0));
    world.assert_clean();
}
