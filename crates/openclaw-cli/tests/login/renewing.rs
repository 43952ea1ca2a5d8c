//! `models auth refresh` and the renewal before a probe: stored whatever happens meanwhile.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::identity::Identity;
use super::sandbox::{Printed, Sandbox, from_now};
use super::{STORE, json as read_json, read};

const TOKEN: &str = "auth.openai.com/oauth/token";
const MODEL: &str = "model/codex/responses";
const ID: &str = "openai-codex:dev@example.com";

fn login(identity: &Identity) -> Value {
    let (access, refresh) = identity.existing();
    json!({"type": "oauth", "provider": "openai-codex", "access": access, "refresh": refresh,
        "expires": from_now(-3600), "accountId": "acct-test-1", "email": "dev@example.com", "odd": {"kept": true}})
}

fn home(identity: &Identity, profiles: &Value) -> Sandbox {
    Sandbox::new()
        .env("OPENCLAW_AUTH_TEST_BASE_URL", &identity.base)
        .profiles(json!({"version": 1, "keep": 1.5, "profiles": profiles}).to_string())
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn ended(child: Child) -> Printed {
    Printed::of(&child.wait_with_output().unwrap())
}

/// The new tokens are stored, the rest of the entry is as it was, and the provider has not revoked the login.
fn is_renewed(sandbox: &Sandbox, identity: &Identity, id: &str, before: &Value) {
    let store = read_json(sandbox, STORE);
    let entry = &store["profiles"][id];
    assert_ne!(entry["refresh"], before["refresh"], "{entry}");
    let refresh = entry["refresh"].as_str().unwrap();
    assert_eq!(identity.current(refresh).as_deref(), Some(refresh), "the stored token is not the good one");
    assert!(entry["expires"].as_i64().unwrap() > from_now(0));
    assert_eq!((&entry["odd"], &entry["email"], &store["keep"]), (&before["odd"], &before["email"], &json!(1.5)));
    let meta = std::fs::metadata(sandbox.store()).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}

fn tells_no_secret(identity: &Identity, printed: &Printed) {
    for secret in identity.secrets() {
        printed.check_signal(&secret);
    }
}

impl Printed {
    fn check_signal(&self, secret: &str) {
        let both = format!("{}{}", self.stdout, self.stderr);
        assert!(!both.contains(secret) && !both.contains("panicked"), "{both}");
    }
}

#[test]
fn several_logins_are_renewed_and_one_that_fails_stops_nobody() {
    let identity = Identity::start();
    let good = login(&identity);
    let mut spent = login(&identity);
    spent["refresh"] = json!("rt-test-canary-spent");
    let key = json!({"type": "api_key", "provider": "openai", "key": "sk-test-1"});
    let sandbox = home(
        &identity,
        &json!({ID: good, "openai-codex:spent": spent, "openai:k": key, "qwen-portal:x":
        {"type": "oauth", "provider": "qwen-portal", "access": "a", "refresh": "r", "expires": 1}}),
    );
    let arguments = ["models", "auth", "refresh", "openai-codex:spent", "openai:k", "qwen-portal:x", ID, ID];
    let printed = sandbox.run(&[&arguments[..], &["--json"]].concat());
    assert_eq!(printed.code, 1, "{}", printed.stderr);
    is_renewed(&sandbox, &identity, ID, &good);
    tells_no_secret(&identity, &printed);
    let document: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!((&document["ok"], &document["agentId"]), (&json!(false), &json!("main")));
    let rows: Vec<(&str, bool)> = document["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["profileId"].as_str().unwrap(), row["refreshed"].as_bool().unwrap()))
        .collect();
    assert_eq!(rows, [("openai-codex:spent", false), ("openai:k", false), ("qwen-portal:x", false), (ID, true)]);
    let text = "OAuth token refresh failed for openai-codex: HTTP 401 refresh_token_reused";
    assert!(printed.stderr.contains(text), "{}", printed.stderr);
    assert!(printed.stderr.contains("Run `openclaw models auth login --provider openai-codex`"), "{}", printed.stderr);
    assert!(printed.stderr.contains("qwen-api-key"), "{}", printed.stderr);
    assert!(printed.stderr.contains("is no login"), "{}", printed.stderr);
    // What failed is as it was.
    assert_eq!(read_json(&sandbox, STORE)["profiles"]["openai-codex:spent"], spent);

    let printed = sandbox.run(&["models", "auth", "refresh", ID, "nobody:x"]);
    assert!(printed.code == 1 && printed.stderr.contains("\"nobody:x\" not found"), "{}", printed.stderr);
    assert_eq!(identity.asked(TOKEN).len(), 2, "an unknown id changes nothing");
    let printed = sandbox.run(&["models", "auth", "refresh", ID, "--dry-run", "--json"]);
    assert!(printed.code == 0 && printed.stdout.contains("\"dryRun\": true"), "{}", printed.stdout);
    assert_eq!(identity.asked(TOKEN).len(), 2);
}

#[test]
fn a_signal_waits_for_an_answer_that_is_under_way() {
    for (what, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let identity = Identity::start();
        let (one, two, three) = (login(&identity), login(&identity), login(&identity));
        let sandbox = home(&identity, &json!({"openai-codex:1": one, "openai-codex:2": two, "openai-codex:3": three}));
        // The second one is under way: what protected the first must protect it too.
        identity.hold_after(Some(1));
        let arguments = ["models", "auth", "refresh", "openai-codex:1", "openai-codex:2", "openai-codex:3"];
        let child = spawn(sandbox.command(&arguments));
        identity.wait_for(TOKEN, 2);
        signal(&child, what);
        signal(&child, what);
        std::thread::sleep(std::time::Duration::from_millis(300));
        identity.hold(false);
        let printed = ended(child);
        assert_eq!(printed.code, code, "{}\n{}", printed.stdout, printed.stderr);
        is_renewed(&sandbox, &identity, "openai-codex:1", &one);
        is_renewed(&sandbox, &identity, "openai-codex:2", &two);
        assert_eq!(read_json(&sandbox, STORE)["profiles"]["openai-codex:3"], three);
        assert!(printed.stderr.contains("Waiting for the answer"), "{}", printed.stderr);
        assert!(printed.stderr.contains("Not refreshed") && printed.stderr.contains("openai-codex:3"));
        tells_no_secret(&identity, &printed);
        assert!(!sandbox.path(&format!("{STORE}.lock")).exists());
    }
}

#[test]
fn managed_and_inherited_logins_are_left_to_their_owners() {
    let identity = Identity::start();
    let mut managed = login(&identity);
    managed["managedBy"] = json!("codex-cli");
    let sandbox =
        home(&identity, &json!({ID: managed})).config("{ agents: { list: [{ id: 'main' }, { id: 'work' }] } }");
    let printed = sandbox.run(&["models", "auth", "refresh", ID]);
    assert_eq!(printed.code, 1);
    let text = "codex-cli credential is expired; refresh it in the external CLI and retry.";
    assert!(
        printed.stderr.contains(text) && printed.stderr.contains("openclaw models auth import codex"),
        "{}",
        printed.stderr
    );
    let printed = sandbox.run(&["models", "auth", "refresh", ID, "--agent", "work"]);
    assert!(printed.code == 1 && printed.stderr.contains("belongs to agent main"), "{}", printed.stderr);
    assert_eq!(identity.requests(), 0);
}

#[test]
fn a_refresh_that_could_not_be_stored_is_not_begun() {
    let identity = Identity::start();
    let before = login(&identity);
    // Nobody can lock here.
    let sandbox = home(&identity, &json!({ID: before})).file(".openclaw/locks", "in the way");
    let printed = sandbox.run(&["models", "auth", "refresh", ID]);
    assert!(printed.code == 1 && printed.stderr.contains(".openclaw/locks"), "{}", printed.stderr);
    assert_eq!((identity.requests(), &read_json(&sandbox, STORE)["profiles"][ID]), (0, &before));
}

#[test]
fn tokens_that_cannot_be_stored_are_told_as_lost() {
    let identity = Identity::start();
    let sandbox = home(&identity, &json!({ID: login(&identity)}));
    identity.hold(true);
    let child = spawn(sandbox.command(&["models", "auth", "refresh", ID]));
    identity.wait_for(TOKEN, 1);
    // The directory goes while the answer is waited for, and cannot be made anew.
    let dir = sandbox.path(".openclaw/agents/main/agent");
    std::fs::rename(&dir, sandbox.path("moved")).unwrap();
    std::fs::write(&dir, "in the way").unwrap();
    identity.hold(false);
    let printed = ended(child);
    assert_eq!(printed.code, 1, "{}", printed.stderr);
    assert!(printed.stderr.contains("could not be stored"), "{}", printed.stderr);
    assert!(printed.stderr.contains("openclaw models auth login --provider openai-codex"), "{}", printed.stderr);
    tells_no_secret(&identity, &printed);
}

#[test]
fn a_refresh_without_an_answer_is_repeated_once_and_loses_nothing() {
    let identity = Identity::start();
    let before = login(&identity);
    let sandbox = home(&identity, &json!({ID: before}));
    identity.answer(TOKEN, 503, "<html>down</html>");
    let printed = sandbox.run(&["models", "auth", "refresh", ID]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    is_renewed(&sandbox, &identity, ID, &before);
    assert!(printed.stdout.contains(&format!("Refreshed {ID}")), "{}", printed.stdout);
    let text = read(&sandbox, STORE);
    for (status, body, says) in [
        (200, "<html>", "not a JSON object"),
        (200, "{\"access_token\":\"at-test-leak\"}", "refresh_token"),
        (403, "{\"error\":\"blocked\"}", "HTTP 403 blocked"),
    ] {
        identity.answer(TOKEN, status, body);
        let printed = sandbox.run(&["models", "auth", "refresh", ID]);
        assert!(printed.code == 1 && printed.stderr.contains(says), "{body}: {}", printed.stderr);
        assert!(!printed.stderr.contains("test-leak"));
        assert_eq!(read(&sandbox, STORE), text);
    }
}

/// A config whose Codex requests go to the same server, which answers none of them well.
fn probing(identity: &Identity, profiles: &Value) -> Sandbox {
    let config = json!({
        "agents": {"defaults": {"model": {"primary": "openai-codex/gpt-5.4"}}},
        "models": {"providers": {"openai-codex": {"baseUrl": format!("{}/model", identity.base), "api": "openai-codex-responses", "models": []}}},
    });
    home(identity, profiles).config(&config.to_string())
}

const PROBE: &[&str] = &["models", "status", "--probe", "--json", "--probe-provider", "openai-codex"];

fn row(printed: &Printed) -> Value {
    let document: Value =
        serde_json::from_str(&printed.stdout).unwrap_or_else(|_| panic!("{}{}", printed.stdout, printed.stderr));
    let results = document["auth"]["probes"]["results"].as_array().unwrap();
    results.iter().find(|row| row["profileId"] == ID).unwrap_or_else(|| panic!("{document}")).clone()
}

#[test]
fn a_probe_whose_time_is_over_stores_what_it_began() {
    let identity = Identity::start();
    let before = login(&identity);
    let sandbox = probing(&identity, &json!({ID: before}));
    identity.hold(true);
    let child = spawn(sandbox.command(&[PROBE, &["--probe-timeout", "300"]].concat()));
    identity.wait_for(TOKEN, 1);
    std::thread::sleep(std::time::Duration::from_millis(600));
    identity.hold(false);
    let printed = ended(child);
    let row = row(&printed);
    assert_eq!((printed.code, &row["status"]), (0, &json!("timeout")), "{row}");
    is_renewed(&sandbox, &identity, ID, &before);
    tells_no_secret(&identity, &printed);
}

#[test]
fn what_a_renewed_login_was_told_is_recorded() {
    let identity = Identity::start();
    let before = login(&identity);
    let sandbox = probing(&identity, &json!({ID: before}));
    identity.answer(MODEL, 429, "{\"error\":{\"message\":\"Rate limit reached\"}}");
    let printed = sandbox.run(&[PROBE, &["--probe-record"]].concat());
    assert_eq!(row(&printed)["status"], "rate_limit", "{}\n{}", printed.stdout, printed.stderr);
    assert!(!printed.stderr.contains("changed meanwhile"), "{}", printed.stderr);
    is_renewed(&sandbox, &identity, ID, &before);
    let stats = read_json(&sandbox, STORE)["usageStats"][ID].clone();
    assert!(stats["cooldownUntil"].as_i64().is_some_and(|until| until > from_now(0)), "{stats}");
    tells_no_secret(&identity, &printed);
}

#[test]
fn a_probe_that_is_ended_stores_what_it_began() {
    for what in [Signal::INT, Signal::TERM, Signal::HUP] {
        let identity = Identity::start();
        let before = login(&identity);
        let sandbox = probing(&identity, &json!({ID: before}));
        identity.hold(true);
        let child = spawn(sandbox.command(PROBE));
        identity.wait_for(TOKEN, 1);
        signal(&child, what);
        std::thread::sleep(std::time::Duration::from_millis(200));
        signal(&child, what);
        std::thread::sleep(std::time::Duration::from_millis(200));
        identity.hold(false);
        let printed = ended(child);
        assert_eq!(printed.code, 130, "{}\n{}", printed.stdout, printed.stderr);
        assert_eq!(row(&printed)["reason"], "cancelled", "{}", printed.stdout);
        assert!(printed.stderr.contains("Waiting for the answer"), "{}", printed.stderr);
        is_renewed(&sandbox, &identity, ID, &before);
        tells_no_secret(&identity, &printed);
    }
}

#[test]
fn a_probe_of_a_login_that_is_refused_asks_no_model() {
    let identity = Identity::start();
    let mut spent = login(&identity);
    spent["refresh"] = json!("rt-test-canary-spent");
    let sandbox = probing(&identity, &json!({ID: spent}));
    let printed = sandbox.run(PROBE);
    let row = row(&printed);
    assert_eq!((&row["status"], printed.code), (&json!("auth"), 0), "{row}");
    assert!(row["error"].as_str().unwrap().starts_with("OAuth token refresh failed for openai-codex"), "{row}");
    assert_eq!(identity.requests(), 1);
    assert_eq!(read_json(&sandbox, STORE)["profiles"][ID], spent);
    tells_no_secret(&identity, &printed);
}

#[test]
fn what_renews_itself_is_told_apart_from_what_needs_you() {
    let identity = Identity::start();
    let renewing = login(&identity);
    let mut managed = login(&identity);
    managed["managedBy"] = json!("codex-cli");
    let ended = json!({"type": "token", "provider": "openai-codex", "token": "t-test", "expires": from_now(-60)});
    let mut bare = login(&identity);
    bare.as_object_mut().unwrap().remove("refresh");
    let mut qwen = login(&identity);
    qwen["provider"] = json!("qwen-portal");
    for (entry, provider, says, never) in [
        (renewing, "openai-codex", "renews itself", "needs you"),
        (managed, "openai-codex", "openclaw models auth import codex", "renews itself at"),
        (ended, "openai-codex", "expired", "renews itself at"),
        (bare, "openai-codex", "openclaw models auth login --provider openai-codex", "renews itself at"),
        (qwen, "qwen-portal", "openclaw onboard --auth-choice qwen-api-key", "renews itself at"),
    ] {
        let sandbox = home(&identity, &json!({format!("{provider}:me"): entry}));
        let mut shown = String::new();
        for arguments in [&["models", "status"][..], &["models", "auth", "list"], &["models", "auth", "why", provider]]
        {
            let printed = sandbox.run(arguments);
            let text = format!("== {arguments:?}\n{}{}", printed.stdout, printed.stderr);
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(says) || flat.contains("need you") || flat.contains("needs you"), "{says}:\n{text}");
            assert!(!flat.contains(never), "{text}");
            shown.push_str(&text);
        }
        if std::env::var_os("OPENCLAW_SHOW").is_some() {
            println!("{shown}");
        }
    }
    assert_eq!(identity.requests(), 0);
}

#[test]
fn a_token_that_names_no_account_is_asked_with_the_stored_one() {
    for expired in [true, false] {
        let identity = Identity::start();
        identity.account(json!({"sub": "nobody"}));
        let mut entry = login(&identity);
        entry["expires"] = json!(from_now(if expired { -60 } else { 3600 }));
        let sandbox = probing(&identity, &json!({ID: entry}));
        sandbox.run(PROBE);
        let asked = identity.asked("model/codex/responses");
        assert_eq!(asked.len(), 1, "expired: {expired}");
        assert_eq!(asked[0].headers["chatgpt-account-id"], "acct-test-1");
    }
}

#[test]
fn a_copy_that_waited_for_the_one_of_main_is_not_spent_again() {
    let identity = Identity::start();
    let before = login(&identity);
    let store = json!({"version": 1, "keep": 1.5, "profiles": {ID: before}}).to_string();
    let config = "{ agents: { list: [{ id: 'main' }, { id: 'work' }] } }";
    let sandbox = home(&identity, &json!({ID: before})).config(config);
    let sandbox = sandbox.file(".openclaw/agents/work/agent/auth-profiles.json", store);
    identity.hold(true);
    let first = spawn(sandbox.command(PROBE));
    identity.wait_for(TOKEN, 1);
    let second = spawn(sandbox.command(&[PROBE, &["--agent", "work"]].concat()));
    // Time to stand at the lock; the verdict is the same without.
    std::thread::sleep(std::time::Duration::from_millis(700));
    identity.hold(false);
    for child in [first, second] {
        let printed = ended(child);
        assert!(!printed.stdout.contains("OAuth token refresh failed"), "{}", printed.stdout);
    }
    assert_eq!(identity.asked(TOKEN).len(), 1);
    is_renewed(&sandbox, &identity, ID, &before);
}
