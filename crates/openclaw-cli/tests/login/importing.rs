//! `models auth import`: the login of another program, whose file stays as it is.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::identity::base64url;
use super::sandbox::{Sandbox, from_now};
use super::{CONFIG, STORE, json as read_json, read};

const ID: &str = "openai-codex:me@example.com";

fn access(seconds: i64, serial: u32) -> String {
    let claims = json!({"exp": from_now(seconds) / 1000,
        "https://api.openai.com/auth": {"chatgpt_account_id": "acct-claim"},
        "https://api.openai.com/profile": {"email": "me@example.com"}});
    format!("{}.{}.sig-canary-{serial:04}", base64url(b"{}"), base64url(claims.to_string().as_bytes()))
}

fn codex_file(seconds: i64) -> String {
    json!({"tokens": {"access_token": access(seconds, 1), "refresh_token": "rt-test-canary-codex", "account_id": "acct-file"}}).to_string()
}

/// Bytes and time of change of a file.
fn stamp(sandbox: &Sandbox, below: &str) -> (String, i64, i64, u32) {
    let meta = std::fs::metadata(sandbox.path(below)).unwrap();
    (read(sandbox, below), meta.mtime(), meta.mtime_nsec(), meta.mode())
}

fn import(sandbox: &Sandbox, more: &[&str]) -> super::sandbox::Printed {
    let printed = sandbox.run(&[&["models", "auth", "import"], more].concat());
    printed.check("rt-test-canary");
    printed.check("sig-canary");
    printed
}

#[test]
fn a_copy_leaves_the_refresh_token_and_the_file_where_they_are() {
    let sandbox = Sandbox::new().file(".codex/auth.json", codex_file(3600));
    let before = stamp(&sandbox, ".codex/auth.json");
    let tree = sandbox.tree();
    let printed = import(&sandbox, &["codex", "--dry-run", "--json"]);
    assert!(printed.code == 0 && printed.stdout.contains(ID) && sandbox.tree() == tree, "{}", printed.stderr);

    let printed = import(&sandbox, &["codex"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let entry = &read_json(&sandbox, STORE)["profiles"][ID];
    assert_eq!((&entry["managedBy"], &entry["accountId"]), (&json!("codex-cli"), &json!("acct-file")));
    assert!(entry["refresh"].is_null() && !read(&sandbox, CONFIG).contains("canary"));
    assert!(printed.stdout.contains("goes on renewing"), "{}", printed.stdout);

    let printed = import(&sandbox, &["codex", "--take-over"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let entry = &read_json(&sandbox, STORE)["profiles"][ID];
    assert_eq!(entry["refresh"], "rt-test-canary-codex");
    assert!(entry["managedBy"].is_null());
    let both = format!("{}{}", printed.stdout, printed.stderr);
    assert!(both.contains("Warning") && both.contains("will lose its own"), "{both}");
    assert_eq!(stamp(&sandbox, ".codex/auth.json"), before);

    // Now the login is ours: a copy without a refresh token does not take its place.
    let store = read(&sandbox, STORE);
    let printed = import(&sandbox, &["codex"]);
    assert!(printed.code == 1 && printed.stderr.contains("renews itself"), "{}", printed.stderr);
    assert_eq!(read(&sandbox, STORE), store);
}

#[test]
fn a_copy_never_takes_the_place_of_one_that_holds_longer() {
    let sandbox = Sandbox::new().file(".codex/auth.json", codex_file(7200)).file("old/auth.json", codex_file(60));
    assert_eq!(import(&sandbox, &["codex"]).code, 0);
    let store = read(&sandbox, STORE);
    let sandbox = sandbox.env("CODEX_HOME", "~/old");
    let printed = import(&sandbox, &["codex"]);
    assert!(printed.code == 1 && printed.stderr.contains("holds longer"), "{}", printed.stderr);
    assert_eq!(read(&sandbox, STORE), store);
    // And the other way round it does.
    let sandbox = Sandbox::new().file(".codex/auth.json", codex_file(7200)).file("old/auth.json", codex_file(60));
    let old = sandbox.path("old").display().to_string();
    let sandbox = sandbox.env("CODEX_HOME", &old);
    assert_eq!(import(&sandbox, &["codex"]).code, 0);
    let sandbox = sandbox.env("CODEX_HOME", "");
    assert_eq!(import(&sandbox, &["codex"]).code, 0);
}

#[test]
fn gemini_keeps_the_name_that_its_file_cannot_tell() {
    let file = json!({"access_token": "ya29.sig-canary-1", "refresh_token": "rt-test-canary-g", "expiry_date": from_now(3600)});
    let sandbox = Sandbox::new().file(".gemini/oauth_creds.json", file.to_string());
    let before = stamp(&sandbox, ".gemini/oauth_creds.json");
    let printed = import(&sandbox, &["gemini", "--json"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let document: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(document["profiles"][0]["profileId"], "google-gemini-cli:default");
    let entry = &read_json(&sandbox, STORE)["profiles"]["google-gemini-cli:default"];
    assert_eq!((&entry["managedBy"], &entry["expires"]), (&json!("gemini-cli"), &file["expiry_date"]));
    assert_eq!(stamp(&sandbox, ".gemini/oauth_creds.json"), before);
}

#[test]
fn files_that_hold_no_login_are_told_with_their_path() {
    for (file, says) in [
        (None, "is not there"),
        (Some("{ broken sig-canary"), "line 1"),
        (Some("[]"), "no access token"),
        (Some("{\"tokens\":{}}"), "no access token"),
        (Some("{\"tokens\":{\"access_token\":\"sig-canary\"}}"), "when the access token ends"),
        (Some("{\"OPENAI_API_KEY\":\"sig-canary\"}"), "no access token"),
    ] {
        let sandbox = match file {
            Some(text) => Sandbox::new().file("elsewhere/auth.json", text),
            None => Sandbox::new(),
        };
        let sandbox = sandbox.env("CODEX_HOME", "~/elsewhere");
        let before = sandbox.tree();
        let printed = import(&sandbox, &["codex"]);
        assert!(printed.code == 1 && printed.stderr.contains(says), "{file:?}: {}", printed.stderr);
        assert!(printed.stderr.contains("elsewhere/auth.json"), "{}", printed.stderr);
        assert!(printed.stderr.contains("openclaw models auth login --provider openai-codex"));
        assert_eq!(sandbox.tree(), before);
    }
    let no_refresh = json!({"tokens": {"access_token": access(60, 1)}});
    let sandbox = Sandbox::new().file(".codex/auth.json", no_refresh.to_string());
    let printed = import(&sandbox, &["codex", "--take-over"]);
    assert!(printed.code == 1 && printed.stderr.contains("no refresh token"), "{}", printed.stderr);
    let printed = import(&sandbox, &["gemini"]);
    assert!(printed.code == 1 && printed.stderr.contains(".gemini/oauth_creds.json"), "{}", printed.stderr);
    let printed = import(&sandbox, &["claude"]);
    assert!(printed.code == 1 && printed.stderr.contains("claude"), "{}", printed.stderr);
}

#[test]
fn files_of_earlier_versions_are_taken_over_once() {
    let sandbox = Sandbox::new();
    let printed = import(&sandbox, &["legacy"]);
    assert!(printed.code == 1 && printed.stderr.contains("nothing to take over"), "{}", printed.stderr);
    let oauth =
        json!({"anthropic": {"access": "sig-canary-a", "refresh": "rt-test-canary-a", "expires": from_now(60)}});
    let sandbox = sandbox.file(".openclaw/credentials/oauth.json", oauth.to_string());
    let before = stamp(&sandbox, ".openclaw/credentials/oauth.json");
    let tree = sandbox.tree();
    let printed = import(&sandbox, &["legacy", "--dry-run"]);
    assert!(printed.code == 0 && sandbox.tree() == tree, "{}", printed.stderr);
    let printed = import(&sandbox, &["legacy", "--json"]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert_eq!(read_json(&sandbox, STORE)["profiles"]["anthropic:default"]["refresh"], "rt-test-canary-a");
    assert_eq!(stamp(&sandbox, ".openclaw/credentials/oauth.json"), before);
    let printed = import(&sandbox, &["legacy"]);
    assert!(printed.code == 1, "{}", printed.stdout);
    let printed = import(&sandbox, &["legacy", "--take-over"]);
    assert!(printed.code == 1 && printed.stderr.contains("--take-over"), "{}", printed.stderr);
}
