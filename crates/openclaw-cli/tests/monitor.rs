//! `openclaw models auth monitor` through the built program: who is told what, how often, and what is left on the disk.
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod sandbox;
#[allow(dead_code, reason = "shared with the tests of probes, which use more of it")]
#[path = "probing/server.rs"]
mod server;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandbox::{Printed, Sandbox, from_now};
use serde_json::{Value, json};
use server::{Asked, Server, answer};

/// Ends a test that would hang; no verdict depends on it.
const LIMIT: Duration = Duration::from_secs(60);
const CANARY: &str = "tok-test-canary-7f3a9c1e5b";
const HOUR: i64 = 3600;

/// A home with these profiles of the main agent, and nothing configured.
fn home(profiles: &Value, usage: &Value) -> Sandbox {
    let store = json!({ "version": 1, "profiles": profiles, "usageStats": usage });
    Sandbox::new().config("{}").profiles(store.to_string())
}

fn token(provider: &str, seconds: i64) -> Value {
    json!({ "type": "token", "provider": provider, "token": CANARY, "expires": from_now(seconds) })
}

fn expired() -> Sandbox {
    home(&json!({ "anthropic:me@example.com": token("anthropic", -10) }), &json!({}))
}

fn monitor(sandbox: &Sandbox, more: &[&str]) -> Printed {
    let arguments: Vec<&str> = ["models", "auth", "monitor"].iter().chain(more).copied().collect();
    let printed = sandbox.run(&arguments);
    let both = format!("{}{}", printed.stdout, printed.stderr);
    assert!(!both.contains("panicked") && !both.contains(CANARY), "{both}");
    printed
}

fn document(sandbox: &Sandbox, more: &[&str]) -> Value {
    let arguments: Vec<&str> = ["--json"].iter().chain(more).copied().collect();
    serde_json::from_str(&monitor(sandbox, &arguments).stdout).unwrap()
}

fn memory(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&fs::read(sandbox.path(".openclaw/auth-monitor.json")).unwrap()).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

/// A server that gives these answers one after the other, then 200.
fn answering(statuses: &'static [&'static str]) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |link| {
        link.request()?;
        let at = count.fetch_add(1, Ordering::SeqCst);
        link.write_all(&answer(statuses.get(at).unwrap_or(&"200 OK"), "location: /elsewhere\r\n", "{}"))
    })
}

fn events(server: &Server) -> Vec<String> {
    let event =
        |asked: &Asked| serde_json::from_slice::<Value>(&asked.body).unwrap()["event"].as_str().unwrap().to_owned();
    server.asked().iter().map(event).collect()
}

#[test]
fn a_message_that_failed_is_delivered_once_by_a_later_pass() {
    let sandbox = expired();
    let server = answering(&["404 Not Found", "302 Found"]);
    let hook = server.url();
    for round in 1..=2 {
        let printed = monitor(&sandbox, &["--webhook", &hook]);
        assert_eq!((printed.code, server.asked().len()), (1, round), "neither is tried again in the same pass");
        assert!(
            printed.stderr.contains("webhook 127.0.0.1 did not take auth.status_changed: HTTP status"),
            "{}",
            printed.stderr
        );
        assert_eq!(memory(&sandbox)["items"]["main/anthropic:me@example.com"]["notifiedAt"], Value::Null);
    }
    assert_eq!(memory(&sandbox)["notifyFailures"], 2);
    for _ in 0..3 {
        assert_eq!(monitor(&sandbox, &["--webhook", &hook]).code, 1);
    }
    assert_eq!(server.asked().len(), 3, "the message arrived once");
    assert!(memory(&sandbox)["items"]["main/anthropic:me@example.com"]["notifiedAt"].is_i64());
    let body = String::from_utf8(server.asked()[2].body.clone()).unwrap();
    assert!(body.contains("anthropic:m…@example.com") && !body.contains("me@example.com"), "{body}");
}

#[test]
fn a_busy_server_is_tried_again_in_the_same_pass() {
    let sandbox = expired();
    let server = answering(&["503 Service Unavailable"]);
    assert_eq!(monitor(&sandbox, &["--webhook", &server.url(), "--strict-notify"]).code, 1);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn strict_means_that_somebody_was_told() {
    let sandbox = expired();
    let server = answering(&["400 Bad Request", "400 Bad Request", "400 Bad Request"]);
    assert_eq!(monitor(&sandbox, &["--webhook", &server.url(), "--strict-notify"]).code, 3);
    assert_eq!(monitor(&sandbox, &["--webhook", &server.url()]).code, 1);
    assert_eq!(monitor(&sandbox, &["--test-notify", "--webhook", &server.url()]).code, 3);
    assert_eq!(monitor(&sandbox, &["--test-notify", "--webhook", &server.url()]).code, 0);
    assert_eq!(events(&server).last().map(String::as_str), Some("auth.test"));
    assert_eq!(monitor(&sandbox, &["--test-notify"]).code, 1, "there is nobody to tell");
}

#[test]
fn one_channel_that_takes_it_is_enough() {
    let sandbox = expired();
    let (bad, good) = (answering(&["410 Gone", "410 Gone"]), answering(&[]));
    for _ in 0..2 {
        monitor(&sandbox, &["--webhook", &bad.url(), "--webhook", &good.url()]);
    }
    assert_eq!((bad.asked().len(), good.asked().len()), (1, 1));
}

#[test]
fn passes_at_the_same_time_tell_once() {
    let sandbox = expired();
    let server = Server::start(|link| {
        link.request()?;
        std::thread::sleep(Duration::from_millis(300));
        link.write_all(&answer("200 OK", "", "{}"))
    });
    let hook = server.url();
    let arguments = ["models", "auth", "monitor", "--webhook", &hook];
    let mut passes: Vec<_> =
        (0..4).map(|_| sandbox.command(&arguments).stdout(Stdio::null()).spawn().unwrap()).collect();
    assert!(passes.iter_mut().all(|pass| pass.wait().unwrap().code() == Some(1)));
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn what_is_mended_is_told_once_and_what_is_removed_is_not() {
    let sandbox = home(&json!({ "acme:a": token("acme", -10), "other:b": token("other", -10) }), &json!({}));
    let server = answering(&[]);
    let hook = server.url();
    monitor(&sandbox, &["--webhook", &hook]);
    let paste =
        ["models", "auth", "paste-token", "--provider", "acme", "--profile-id", "acme:a", "--expires-in", "90d"];
    assert_eq!(sandbox.with_input(&paste, "tok-test-new-000000001\n").code, 0);
    assert_eq!(sandbox.run(&["models", "auth", "remove", "other:b", "--yes"]).code, 0);
    assert_eq!(monitor(&sandbox, &["--webhook", &hook]).code, 0);
    assert_eq!(monitor(&sandbox, &["--webhook", &hook]).code, 0);
    assert_eq!(events(&server), ["auth.status_changed", "auth.recovered"]);
    assert!(memory(&sandbox)["items"].get("main/other:b").is_none());
}

#[test]
fn reminders_come_when_they_are_due() {
    let sandbox = home(&json!({ "acme:a": token("acme", -10) }), &json!({}));
    let told = |ago: i64| {
        json!({ "version": 1, "lastRunAt": from_now(-60), "items": { "main/acme:a": {
            "status": "expired", "since": from_now(-90 * HOUR), "notifiedStatus": "expired",
            "notifiedAt": from_now(-ago) } } })
        .to_string()
    };
    let kinds = |sandbox: &Sandbox, more: &[&str]| {
        let document = document(sandbox, more);
        let events = document["events"].as_array().unwrap();
        events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sandbox = sandbox.file(".openclaw/auth-monitor.json", told(25 * HOUR));
    assert_eq!(kinds(&sandbox, &["--dry-run"]), ["auth.reminder"]);
    assert!(kinds(&sandbox, &["--dry-run", "--remind", "0"]).is_empty());
    assert!(kinds(&sandbox, &["--dry-run", "--remind", "2d"]).is_empty());
    let sandbox = sandbox.file(".openclaw/auth-monitor.json", told(2 * HOUR));
    assert!(kinds(&sandbox, &["--dry-run"]).is_empty());
    assert_eq!(kinds(&sandbox, &["--dry-run", "--remind", "1h"]), ["auth.reminder"]);
    assert!(kinds(&sandbox, &["--dry-run", "--remind", "1h", "--min-interval", "3h"]).is_empty());
}

#[test]
fn the_exit_code_says_how_bad_it_is() {
    let key = |provider: &str| json!({ "type": "api_key", "provider": provider, "key": "sk-test-000000000001" });
    let login = |ago: i64| json!({ "type": "oauth", "provider": "acme", "access": "a-test", "refresh": "r-test", "expires": from_now(-ago) });
    let until =
        |seconds: i64| json!({ "acme:a": { "cooldownUntil": from_now(seconds), "cooldownReason": "rate_limit" } });
    let disabled =
        |reason: &str| json!({ "acme:a": { "disabledUntil": from_now(5 * HOUR), "disabledReason": reason } });
    let (ok, bad, none) = (token("acme", 90 * HOUR), token("acme", -10), json!({}));
    for (about, profiles, usage, code, word) in [
        ("nothing", json!({}), none.clone(), 0, "OK"),
        ("valid", json!({ "acme:a": ok }), none.clone(), 0, "OK"),
        ("soon", json!({ "acme:a": token("acme", 2 * HOUR) }), none.clone(), 2, "OPENCLAW_EXPIRING"),
        ("over", json!({ "acme:a": bad }), none.clone(), 1, "OPENCLAW_EXPIRED"),
        ("covered", json!({ "acme:a": bad, "acme:b": ok }), none.clone(), 2, "OPENCLAW_EXPIRING"),
        (
            "not covered by another provider",
            json!({ "acme:a": bad, "b:b": key("b") }),
            none.clone(),
            1,
            "OPENCLAW_EXPIRED",
        ),
        ("no token", json!({ "acme:a": { "type": "token", "provider": "acme" } }), none.clone(), 1, "OPENCLAW_EXPIRED"),
        ("renews itself", json!({ "acme:a": login(23 * HOUR) }), none.clone(), 0, "OK"),
        ("does not renew itself", json!({ "acme:a": login(25 * HOUR) }), none.clone(), 1, "OPENCLAW_EXPIRED"),
        ("login refused", json!({ "acme:a": login(0) }), disabled("auth_permanent"), 1, "OPENCLAW_EXPIRED"),
        ("no credit", json!({ "acme:a": key("acme") }), disabled("billing"), 2, "OPENCLAW_EXPIRING"),
        ("short pause", json!({ "acme:a": key("acme") }), until(1800), 0, "OK"),
        ("long pause", json!({ "acme:a": key("acme") }), until(2 * HOUR), 2, "OPENCLAW_EXPIRING"),
    ] {
        let printed = monitor(&home(&profiles, &usage), &["--format", "widget"]);
        assert_eq!((printed.code, printed.stdout.trim()), (code, word), "{about}");
    }
    // A model that is configured needs something that can be used.
    let config = "{ agents: { defaults: { model: 'acme/m' } } }";
    let sandbox = home(&json!({ "acme:a": key("acme") }), &until(1800)).config(config);
    assert_eq!(monitor(&sandbox, &[]).code, 1, "nothing is left to use");
    let other =
        json!({ "acme:a": { "cooldownUntil": from_now(1800), "cooldownReason": "rate_limit", "cooldownModel": "n" } });
    let sandbox = home(&json!({ "acme:a": key("acme") }), &other).config(config);
    assert_eq!(monitor(&sandbox, &[]).code, 0, "another model waits");
    let sandbox = home(&json!({ "acme:a": key("acme"), "acme:b": key("acme") }), &until(1800)).config(config);
    assert_eq!(monitor(&sandbox, &[]).code, 0);
    assert_eq!(monitor(&home(&json!({}), &none).config(config), &[]).code, 1, "nothing is stored");
    let variable = home(&json!({}), &none).config("{ agents: { defaults: { model: 'groq/m' } } }");
    assert_eq!(monitor(&variable.env("GROQ_API_KEY", "sk-test-groq-00000001"), &[]).code, 0);
}

#[test]
fn the_threshold_and_the_watched_are_what_was_asked_for() {
    let sandbox = home(&json!({ "acme:a": token("acme", 3 * HOUR), "b:b": token("b", -10) }), &json!({}));
    let code = |more: &[&str]| monitor(&sandbox, &[&["--dry-run"], more].concat()).code;
    assert_eq!((code(&["--provider", "acme"]), code(&["--provider", "b"]), code(&[])), (2, 1, 1));
    assert_eq!((code(&["--provider", "acme", "--warn", "2h"]), code(&["--provider", "acme", "--warn", "1d"])), (0, 2));
    assert_eq!(code(&["--agent", "main"]), 1);
    for bad in [&["--agent", "nobody"][..], &["--warn", "soon"], &["--every", "5m"], &["--format", "xml"], &["--nope"]]
    {
        assert_eq!(code(bad), 1, "{bad:?}");
    }
    let hours = |value: &str| {
        let sandbox = home(&json!({ "acme:a": token("acme", 3 * HOUR) }), &json!({})).env("WARN_HOURS", value);
        monitor(&sandbox, &[]).code
    };
    assert_eq!((hours("2"), hours("4"), hours("rubbish")), (0, 2, 2));
}

#[test]
fn a_probe_tells_what_no_date_says() {
    let probed = |status: &'static str, profile: Value| {
        let body = r#"{"choices":[{"message":{"content":"OK"},"finish_reason":"stop"}]}"#;
        let server = Server::saying(answer(status, "content-type: application/json\r\n", body));
        let config = json!({ "models": { "providers": { "acme": {
            "baseUrl": server.url(), "api": "openai-completions", "models": [{ "id": "m", "name": "m" }] } } } });
        let sandbox = home(&json!({ "acme:a": profile }), &json!({})).config(&config.to_string());
        let quiet = monitor(&sandbox, &["--dry-run"]).code;
        assert_eq!(server.connections(), 0, "without --probe nobody is asked");
        let printed = document(&sandbox, &["--probe"]);
        assert_eq!(server.asked().len(), 1);
        let item = &printed["items"][0];
        (quiet, printed["checkStatus"].as_i64().unwrap(), item["status"].clone(), item["reasonCode"].clone())
    };
    let key = || json!({ "type": "api_key", "provider": "acme", "key": CANARY });
    assert_eq!(probed("200 OK", key()), (0, 0, json!("static"), Value::Null));
    assert_eq!(probed("401 Unauthorized", key()), (0, 1, json!("expired"), json!("auth")));
    assert_eq!(probed("402 Payment Required", key()), (0, 1, json!("disabled"), json!("billing")), "nothing is left");
    assert_eq!(probed("500 Internal Server Error", key()), (0, 0, json!("static"), Value::Null));
}

#[test]
fn a_refused_key_that_another_covers_is_worth_a_look() {
    let server = Server::start(|link| {
        let good = link.request()?.bearer().ends_with("good");
        let body = r#"{"choices":[{"message":{"content":"OK"},"finish_reason":"stop"}]}"#;
        let status = if good { "200 OK" } else { "401 Unauthorized" };
        link.write_all(&answer(status, "content-type: application/json\r\n", body))
    });
    let config = json!({
        "agents": { "defaults": { "model": "acme/m" } },
        "models": { "providers": { "acme": {
            "baseUrl": server.url(), "api": "openai-completions", "models": [{ "id": "m", "name": "m" }] } } } });
    let key = |end: &str| json!({ "type": "api_key", "provider": "acme", "key": format!("{CANARY}-{end}") });
    let seen = |profiles: Value| {
        let printed = document(&home(&profiles, &json!({})).config(&config.to_string()), &["--probe"]);
        (
            printed["checkStatus"].clone(),
            printed["items"][0]["covered"].clone(),
            printed["providers"][0]["usable"].clone(),
        )
    };
    assert_eq!(seen(json!({ "acme:a": key("bad"), "acme:b": key("good") })), (json!(2), json!(true), json!(true)));
    assert_eq!(seen(json!({ "acme:a": key("bad"), "acme:b": key("worse") })), (json!(1), json!(false), json!(false)));
}

#[test]
fn every_agent_is_watched_and_what_is_shared_is_told_of_once() {
    let store = json!({ "version": 1, "profiles": { "b:own": token("b", -10) } }).to_string();
    let sandbox = home(&json!({ "acme:a": token("acme", -10) }), &json!({}))
        .config("{ agents: { list: [{ id: 'main' }, { id: 'work' }] } }")
        .file(".openclaw/agents/work/agent/auth-profiles.json", &store)
        .file(".openclaw/agents/gone/agent/auth-profiles.json", &store);
    let seen = |more: &[&str]| {
        let document = document(&sandbox, more);
        let items = document["items"].as_array().unwrap().iter();
        items
            .map(|item| format!("{}/{}", item["agent"].as_str().unwrap(), item["profileId"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&[]), ["main/acme:a", "work/b:own", "gone/b:own"]);
    assert_eq!(seen(&["--agent", "work"]), ["work/acme:a", "work/b:own"]);
}

#[test]
fn a_store_that_cannot_be_read_is_an_alarm_and_forgets_nothing() {
    let sandbox = expired();
    let server = answering(&[]);
    monitor(&sandbox, &["--webhook", &server.url()]);
    let good = fs::read(sandbox.store()).unwrap();
    fs::write(sandbox.store(), "{ broken").unwrap();
    let printed = monitor(&sandbox, &["--webhook", &server.url()]);
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("openclaw doctor"), "{}", printed.stderr);
    assert!(memory(&sandbox)["items"].get("main/anthropic:me@example.com").is_some());
    fs::write(sandbox.store(), good).unwrap();
    monitor(&sandbox, &["--webhook", &server.url()]);
    monitor(&sandbox, &["--webhook", &server.url()]);
    assert_eq!(events(&server), ["auth.status_changed", "auth.status_changed", "auth.recovered"]);
}

#[test]
fn a_broken_memory_is_kept_and_a_newer_one_is_left() {
    let sandbox = expired().file(".openclaw/auth-monitor.json", "{ nope");
    let printed = monitor(&sandbox, &[]);
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("auth-monitor.json.bad"), "{}", printed.stderr);
    assert_eq!(fs::read_to_string(sandbox.path(".openclaw/auth-monitor.json.bad")).unwrap(), "{ nope");
    assert_eq!(memory(&sandbox)["version"], 1);
    let newer = r#"{"version":2,"items":[]}"#;
    let sandbox = sandbox.file(".openclaw/auth-monitor.json", newer);
    assert_eq!(monitor(&sandbox, &["--format", "widget"]).stdout, "OPENCLAW_EXPIRED\n");
    assert_eq!(fs::read_to_string(sandbox.path(".openclaw/auth-monitor.json")).unwrap(), newer);
}

#[test]
fn a_dry_run_leaves_everything_as_it_is() {
    let sandbox = expired().file("p/x", "");
    let server = answering(&[]);
    let before = sandbox.tree();
    let metrics = sandbox.path("p/auth.prom").display().to_string();
    let printed = monitor(&sandbox, &["--dry-run", "--webhook", &server.url(), "--prometheus", &metrics]);
    assert_eq!((printed.code, server.connections()), (1, 0));
    assert!(printed.stdout.contains("Would tell webhook 127.0.0.1"), "{}", printed.stdout);
    assert!(before == sandbox.tree());
}

#[test]
fn a_command_reads_the_message_and_no_credential() {
    let sandbox = expired()
        .file("hook", "#!/bin/sh\n{ echo \"$1|$2\"; cat; echo; env; } >> \"$HOME/got\"\n")
        .env("ANTHROPIC_API_KEY", CANARY)
        .env("MY_TOKEN", CANARY);
    fs::set_permissions(sandbox.path("hook"), fs::Permissions::from_mode(0o700)).unwrap();
    let command = format!("{} 'a b' \"c\\\"d\"", sandbox.path("hook").display());
    let printed = monitor(&sandbox, &["--notify-cmd", &command]);
    assert!(printed.stdout.contains("Told command hook"), "{}{}", printed.stdout, printed.stderr);
    let got = fs::read_to_string(sandbox.path("got")).unwrap();
    assert!(got.starts_with("a b|c\"d\n{\"version\":1,\"event\":\"auth.status_changed\""), "{got}");
    for wanted in [
        "OPENCLAW_AUTH_EVENT=auth.status_changed\n",
        "OPENCLAW_AUTH_STATUS=expired\n",
        "OPENCLAW_AUTH_SUMMARY=anthropic:m…@example.com (main) expired",
    ] {
        assert!(got.contains(wanted), "{got}");
    }
    assert!(!got.contains(CANARY), "{got}");
    assert_eq!(monitor(&sandbox, &["--notify-cmd", "/no/such/program", "--test-notify"]).code, 3);
    assert_eq!(monitor(&sandbox, &["--notify-cmd", "'open"]).code, 1);
}

/// Secrets that go in: a credential, a bearer token, a topic, the path of a webhook.
#[test]
fn no_secret_comes_out_anywhere() {
    let (bearer, topic, place) = ("hook-canary-000000001", "topic-canary-00000001", "place-canary-00000001");
    let server = answering(&["500 Internal Server Error"; 6]);
    let sandbox = expired().file("tok", format!("{bearer}\n")).file("p/x", "");
    let (hook, ntfy) = (format!("{}/{place}", server.url()), format!("{}/{topic}", server.url()));
    let tok = sandbox.path("tok").display().to_string();
    let metrics = sandbox.path("p/auth.prom").display().to_string();
    let channels = [
        "--webhook",
        &hook,
        "--webhook-token-file",
        &tok,
        "--ntfy",
        &ntfy,
        "--ntfy-token-file",
        &tok,
        "--prometheus",
        &metrics,
    ];
    let mut printed = String::new();
    for more in [
        &[][..],
        &["--json"],
        &["--test-notify"],
        &["units"],
        &["units", "--format", "cron"],
        &["units", "--format", "launchd", "--json"],
        &["install", "--no-enable"],
        &["status", "--json"],
    ] {
        // A subcommand goes before the options.
        let one = monitor(&sandbox, &[more, &channels].concat());
        printed += &one.stdout;
        printed += &one.stderr;
    }
    let mut files = printed;
    for (path, (_, _, content)) in sandbox.tree() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !["auth-profiles.json", "tok", "auth-monitor.env"].contains(&name.as_str()) {
            files.push_str(&String::from_utf8_lossy(&content));
        }
    }
    for secret in [CANARY, bearer, topic, place] {
        assert!(!files.contains(secret), "{secret} came out");
    }
    let env = sandbox.path(".openclaw/auth-monitor.env");
    assert_eq!(mode(&env), 0o600);
    assert!(fs::read_to_string(&env).unwrap().contains(topic));
    assert!(server.asked().iter().all(|asked| asked.bearer() == bearer));
}

#[test]
fn tokens_come_from_variables_too_and_go_with_the_units() {
    let server = answering(&[]);
    let sandbox = expired().env("NOTIFY_WEBHOOK_TOKEN", "hook-test-00000001").env("NOTIFY_WEBHOOK", &server.url());
    monitor(&sandbox, &[]);
    assert_eq!(server.asked()[0].bearer(), "hook-test-00000001");
    assert_eq!(monitor(&sandbox, &["install", "--no-enable"]).code, 0);
    let env = fs::read_to_string(sandbox.path(".openclaw/auth-monitor.env")).unwrap();
    assert!(env.contains("NOTIFY_WEBHOOK_TOKEN=hook-test-00000001\n"), "{env}");
    // What was installed is what a pass reads back.
    let values: Vec<(&str, &str)> = env.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(values.contains(&("NOTIFY_WEBHOOK", server.url().as_str())), "{values:?}");
}

#[test]
fn channels_in_variables_are_not_taken_from_a_checked_out_project() {
    let server = answering(&[]);
    let text = format!("NOTIFY_NTFY={0}\nNOTIFY_WEBHOOK='{0} {0}'\nNOTIFY_CMD='touch ran'\n", server.url());
    let sandbox = expired().file(".env", &text);
    monitor(&sandbox, &[]);
    assert_eq!((server.connections(), sandbox.path("ran").exists()), (0, false));
    let sandbox = sandbox.file(".openclaw/.env", format!("NOTIFY_WEBHOOK={0} {0}\n", server.url()));
    monitor(&sandbox, &[]);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn killed_at_any_moment_it_leaves_whole_files() {
    let mut profiles = serde_json::Map::new();
    for n in 0..400 {
        profiles.insert(format!("acme:{n}"), token("acme", -10));
    }
    let sandbox = home(&profiles.into(), &json!({})).file("p/x", "");
    let metrics = sandbox.path("p/auth.prom");
    let arguments = ["models", "auth", "monitor", "--prometheus", metrics.to_str().unwrap()];
    for round in 0..40_u64 {
        let mut child = sandbox.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(round * round * 60));
        child.kill().unwrap();
        child.wait().unwrap();
        let state = sandbox.path(".openclaw/auth-monitor.json");
        if state.exists() {
            assert_eq!(mode(&state), 0o600);
            assert_eq!(memory(&sandbox)["items"].as_object().unwrap().len(), 400);
        }
        if metrics.exists() {
            let text = fs::read_to_string(&metrics).unwrap();
            assert!(text.ends_with("openclaw_auth_notify_failures_total 0\n") && mode(&metrics) == 0o644);
        }
    }
    // Whatever was left behind does not stop the next one, which also tidies up.
    assert_eq!(sandbox.run(&arguments).code, 1);
    let names = |dir: &str| {
        fs::read_dir(sandbox.path(dir)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap())
    };
    let known = ["auth-monitor.json", "openclaw.json", "agents", "auth.prom", "x"];
    let left: Vec<String> =
        names(".openclaw").chain(names("p")).filter(|name| !known.contains(&name.as_str())).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn watching_sees_what_changes_and_ends_well() {
    let sandbox = home(&json!({ "acme:a": token("acme", 90 * HOUR) }), &json!({}));
    let server = answering(&[]);
    let hook = server.url();
    let arguments = ["models", "auth", "monitor", "--watch", "--every", "1s", "--json", "--webhook", &hook];
    let mut child = sandbox.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["overall"], "ok");
    let store = json!({ "version": 1, "profiles": { "acme:a": token("acme", -10) } });
    let new = sandbox.path("new");
    fs::write(&new, store.to_string()).unwrap();
    fs::rename(&new, sandbox.store()).unwrap();
    let seen = (0..10).map(|_| next()).find(|document| document["overall"] == "expired").unwrap();
    assert_eq!(seen["events"][0]["items"][0]["from"], "ok");
    server.wait_for(1);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(events(&server), ["auth.status_changed"]);
}

#[test]
fn watching_ends_while_a_server_is_silent() {
    let sandbox = expired();
    let server = Server::start(|link| {
        link.request()?;
        link.wait_for_end()
    });
    let hook = server.url();
    let arguments = ["models", "auth", "monitor", "--watch", "--webhook", &hook];
    let mut child = sandbox.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
    server.wait_for(1);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(memory(&sandbox)["items"]["main/anthropic:me@example.com"]["notifiedAt"], Value::Null);
}

const SERVICE: &str = ".config/systemd/user/openclaw-auth-monitor.service";
const TIMER: &str = ".config/systemd/user/openclaw-auth-monitor.timer";

#[test]
fn units_are_installed_and_removed_and_nothing_foreign_is_touched() {
    let sandbox = expired();
    let install = ["install", "--no-enable", "--ntfy", "topic-1", "--every", "2h"];
    assert_eq!(monitor(&sandbox, &install).code, 0);
    assert_eq!((mode(&sandbox.path(SERVICE)), mode(&sandbox.path(TIMER))), (0o644, 0o644));
    let env = fs::read_to_string(sandbox.path(".openclaw/auth-monitor.env")).unwrap();
    assert!(env.ends_with("\nNOTIFY_NTFY=topic-1\n"), "{env}");
    assert!(fs::read_to_string(sandbox.path(TIMER)).unwrap().contains("OnUnitActiveSec=2h\n"));
    assert_eq!(monitor(&sandbox, &install).code, 0, "ours may be replaced");
    let status = monitor(&sandbox, &["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!((&status["installed"], &status["lastRunAt"]), (&json!(true), &Value::Null));
    assert_eq!(monitor(&sandbox, &["uninstall", "--no-enable"]).code, 0);
    for file in [SERVICE, TIMER, ".openclaw/auth-monitor.env"] {
        assert!(!sandbox.path(file).exists(), "{file}");
    }
    assert_eq!(monitor(&sandbox, &["uninstall", "--no-enable"]).code, 1);

    let sandbox = sandbox.file(SERVICE, "[Service]\nExecStart=/bin/true\n");
    let before = sandbox.tree();
    let printed = monitor(&sandbox, &install);
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("--force"), "{}", printed.stderr);
    assert_eq!(monitor(&sandbox, &["uninstall", "--no-enable"]).code, 1);
    assert!(before == sandbox.tree());
    assert_eq!(monitor(&sandbox, &[&install[..], &["--force"]].concat()).code, 0);
}

/// A `systemctl` that writes down what it is asked, and fails when a file says so.
fn with_systemctl(sandbox: Sandbox) -> Sandbox {
    let script = "#!/bin/sh\necho \"$@\" >> \"$HOME/asked\"\n[ ! -e \"$HOME/fail\" ]\n";
    let sandbox = sandbox.file("bin/systemctl", script).file("asked", "");
    fs::set_permissions(sandbox.path("bin/systemctl"), fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    sandbox.env("PATH", &path)
}

#[test]
fn systemd_is_told_and_a_failure_puts_everything_back() {
    let sandbox = with_systemctl(expired());
    let asked = |sandbox: &Sandbox| fs::read_to_string(sandbox.path("asked")).unwrap();
    let printed = monitor(&sandbox, &["install"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert_eq!(asked(&sandbox), "--user daemon-reload\n--user enable --now openclaw-auth-monitor.timer\n");
    assert!(printed.stderr.contains("loginctl enable-linger"), "{}", printed.stderr);
    assert_eq!(monitor(&sandbox, &["uninstall"]).code, 0);
    assert!(asked(&sandbox).ends_with("--user disable --now openclaw-auth-monitor.timer\n--user daemon-reload\n"));

    let sandbox = sandbox
        .file("fail", "")
        .file(".openclaw/auth-monitor.env", "# Written by openclaw models auth monitor install\nNOTIFY_NTFY=old\n");
    let printed = monitor(&sandbox, &["install", "--ntfy", "topic-1"]);
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("models auth monitor # openclaw-auth-monitor"), "{}", printed.stderr);
    assert!(!sandbox.path(SERVICE).exists() && !sandbox.path(TIMER).exists());
    assert!(fs::read_to_string(sandbox.path(".openclaw/auth-monitor.env")).unwrap().contains("NOTIFY_NTFY=old\n"));
}

#[test]
fn without_systemd_cron_is_advised() {
    let sandbox = expired().env("PATH", "/nonexistent");
    let before = sandbox.tree();
    let printed = monitor(&sandbox, &["install"]);
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("*/30 * * * * ") && printed.stderr.contains("crontab -e"), "{}", printed.stderr);
    assert!(before == sandbox.tree());
}

#[test]
fn a_table_of_cron_keeps_what_else_is_in_it() {
    let script = "#!/bin/sh\nif [ \"$1\" = -l ]; then cat \"$HOME/table\" 2>/dev/null || { echo 'no crontab for me' >&2; exit 1; }; else cat > \"$HOME/table\"; fi\n";
    let sandbox = expired().file("bin/crontab", script);
    fs::set_permissions(sandbox.path("bin/crontab"), fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let sandbox = sandbox.env("PATH", &path);
    let cron = ["--format", "cron"];
    assert_eq!(monitor(&sandbox, &[&["install"][..], &cron].concat()).code, 0);
    assert_eq!(fs::read_to_string(sandbox.path("table")).unwrap().lines().count(), 1);
    let sandbox = sandbox.file("table", "MAILTO=me\n0 1 * * * backup\n");
    for _ in 0..2 {
        assert_eq!(monitor(&sandbox, &[&["install", "--every", "15m"][..], &cron].concat()).code, 0);
    }
    let table = fs::read_to_string(sandbox.path("table")).unwrap();
    assert!(table.starts_with("MAILTO=me\n0 1 * * * backup\n*/15 * * * * ") && table.lines().count() == 3, "{table}");
    assert_eq!(monitor(&sandbox, &[&["uninstall"][..], &cron].concat()).code, 0);
    assert_eq!(fs::read_to_string(sandbox.path("table")).unwrap(), "MAILTO=me\n0 1 * * * backup\n");
    assert_eq!(monitor(&sandbox, &[&["uninstall"][..], &cron].concat()).code, 1);
}

/// The checker of systemd has nothing to say about the units, also when paths are awkward. Where it is not installed
/// the structure is checked.
#[test]
fn systemd_understands_the_units() {
    let sandbox = expired().file("st 100%/a \"b\"/x", "");
    let state = sandbox.path("st 100%/a \"b\"").display().to_string();
    let sandbox = sandbox.env("OPENCLAW_STATE_DIR", &state);
    let metrics = sandbox.path("st 100%/a \"b\"/$auth.prom").display().to_string();
    assert_eq!(monitor(&sandbox, &["install", "--no-enable", "--prometheus", &metrics, "--ntfy", "t"]).code, 0);
    let service = fs::read_to_string(sandbox.path(SERVICE)).unwrap();
    let lines: Vec<&str> = service.lines().collect();
    for wanted in [
        "[Unit]",
        "[Service]",
        "Type=oneshot",
        "SuccessExitStatus=2",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "After=network-online.target",
        "Wants=network-online.target",
    ] {
        assert!(lines.contains(&wanted), "{wanted}");
    }
    assert!(lines.iter().all(|line| line.is_empty() || line.starts_with(['#', '[']) || line.contains('=')));
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        return;
    }
    let mut command = Command::new(analyze);
    command.args(["verify", "--man=no"]).args([sandbox.path(SERVICE), sandbox.path(TIMER)]);
    let done = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("openclaw-auth-monitor")).collect();
    assert!(done.status.success() && ours.is_empty(), "{said}");
}
