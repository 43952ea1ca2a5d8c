//! Sign-ins that fail: refused, not for this login, broken answers, a state directory that cannot be written.

use serde_json::{Value, json};

use super::identity::{Identity, browse, fields};
use super::terminal::{Ended, Ports, Terminal, keeps_secrets};
use super::{CODEX, CONFIG, PASTE, STORE, desktop, home, json as read_json, nothing_stored, read};

const AUTHORIZE: &str = "https://auth.openai.com/oauth/authorize?";
const TOKEN: &str = "auth.openai.com/oauth/token";

#[test]
fn no_in_the_browser_ends_the_login_with_its_code() {
    let _ports = Ports::take();
    for by_paste in [false, true] {
        let identity = Identity::start();
        let sandbox = desktop(&identity);
        let mut terminal = Terminal::start(&sandbox, CODEX);
        let address = terminal.address(AUTHORIZE);
        let state = fields(address.split_once('?').unwrap().1)["state"].clone();
        terminal.until(PASTE);
        let back = format!(
            "http://localhost:1455/auth/callback?error=access_denied&error_description=No%0Athanks&state={state}"
        );
        if by_paste {
            terminal.types(&format!("{back}\r"));
        } else {
            assert_eq!(browse(&back).0, 400);
        }
        let ended = terminal.end();
        assert!(ended.code == 1 && ended.screen.contains("access_denied"), "{}", ended.screen);
        ended.left_the_terminal_whole();
        nothing_stored(&sandbox);
        assert_eq!(identity.requests(), 0);
    }
}

#[test]
fn a_pasted_address_of_another_login_is_refused() {
    let _ports = Ports::take();
    for (paste, says) in [
        ("http://localhost:1455/auth/callback?code=c-test&state=foreign\r", "State mismatch"),
        ("c-test#foreign\r", "State mismatch"),
        ("http://localhost:1455/auth/callback?code=&state=x\r", "Missing authorization code"),
        ("#\r", "Missing authorization code"),
    ] {
        let identity = Identity::start();
        let sandbox = home(&identity);
        let mut terminal = Terminal::start(&sandbox, CODEX);
        terminal.answer(PASTE, paste);
        let ended = terminal.end();
        assert!(ended.code == 1 && ended.screen.contains(says), "{paste}: {}", ended.screen);
        nothing_stored(&sandbox);
        assert_eq!(identity.requests(), 0);
    }
}

fn codex(identity: &Identity, sandbox: &super::Sandbox) -> Ended {
    let mut terminal = Terminal::start(sandbox, CODEX);
    let address = terminal.address(AUTHORIZE);
    terminal.answer(PASTE, &format!("{}\r", identity.agree(&address)));
    terminal.end()
}

#[test]
fn an_exchange_that_brings_nothing_usable_stores_nothing() {
    let _ports = Ports::take();
    let token = |claims: Value| format!("e30.{}.s", super::identity::base64url(claims.to_string().as_bytes()));
    let no_account = token(json!({"sub": "x"}));
    for (status, body, says) in [
        (
            400,
            json!({"error": "invalid_grant", "error_description": "code expired"}).to_string(),
            "HTTP 400 invalid_grant: code expired",
        ),
        (500, "<html>oops at-test-leak</html>".to_owned(), "HTTP 500"),
        (200, "<html>".to_owned(), "not a JSON object"),
        (200, json!({"access_token": "at-test-leak", "expires_in": 60}).to_string(), "refresh_token"),
        (200, json!({"access_token": "at-test-leak", "refresh_token": "rt-test-leak"}).to_string(), "expires_in"),
        (
            200,
            json!({"access_token": no_account, "refresh_token": "rt-test-leak", "expires_in": 60}).to_string(),
            "Failed to extract accountId from token",
        ),
        (302, String::new(), "redirect"),
    ] {
        let identity = Identity::start();
        identity.answer(TOKEN, status, body.as_str());
        let sandbox = home(&identity);
        let ended = codex(&identity, &sandbox);
        assert!(ended.code == 1 && ended.screen.contains(says), "{body}: {}", ended.screen);
        assert!(!ended.screen.contains("test-leak"), "{}", ended.screen);
        ended.left_the_terminal_whole();
        nothing_stored(&sandbox);
        assert_eq!(identity.asked(TOKEN).len(), 1, "a code is good once");
        keeps_secrets(&sandbox, &identity, &[&ended.screen]);
    }
}

#[test]
fn a_config_that_cannot_be_written_puts_the_store_back() {
    let _ports = Ports::take();
    let identity = Identity::start();
    let before = json!({"version": 1, "profiles": {
        "openai-codex:dev@example.com": {"type": "oauth", "provider": "openai-codex", "access": "old", "refresh": "old-r", "expires": 1}},
        "usageStats": {"openai-codex:dev@example.com": {"errorCount": 2, "cooldownUntil": 99_999_999_999_999_u64}}});
    // A config that is a link into a directory which is not there can be read as missing and cannot be written.
    let sandbox = home(&identity).profiles(before.to_string());
    std::os::unix::fs::symlink("/proc/none/openclaw.json", sandbox.path(CONFIG)).unwrap();
    let ended = codex(&identity, &sandbox);
    assert_eq!(ended.code, 1, "{}", ended.screen);
    assert!(ended.screen.contains("openclaw.json"), "{}", ended.screen);
    assert_eq!(read_json(&sandbox, STORE), before);
}

#[test]
fn a_store_that_cannot_be_changed_is_told_before_the_browser_opens() {
    let _ports = Ports::take();
    // It is broken.
    let identity = Identity::start();
    let sandbox = desktop(&identity).profiles("{ broken");
    let ended = Terminal::start(&sandbox, CODEX).end();
    assert!(ended.code == 1 && ended.screen.contains("auth-profiles.json"), "{}", ended.screen);
    assert!(read(&sandbox, "opened").is_empty() && identity.requests() == 0, "{}", ended.screen);
    assert_eq!(read(&sandbox, STORE), "{ broken");
    // Its directory cannot be made.
    let sandbox = desktop(&identity).file(".openclaw/agents", "in the way");
    let ended = Terminal::start(&sandbox, CODEX).end();
    assert!(ended.code == 1 && ended.screen.contains(".openclaw/agents"), "{}", ended.screen);
    assert!(read(&sandbox, "opened").is_empty() && identity.requests() == 0, "{}", ended.screen);
}

#[test]
fn a_locked_store_is_told_with_the_lock() {
    let identity = Identity::start();
    let sandbox = home(&identity).profiles("{\"version\":1,\"profiles\":{}}");
    let lock = sandbox.path(&format!("{STORE}.lock"));
    let held = format!("{{\"pid\":{},\"createdAt\":\"2999-01-01T00:00:00.000Z\"}}", std::process::id());
    std::fs::write(&lock, held).unwrap();
    // The file alone counts as left behind after a while; a living holder has the advisory lock too.
    let holder = std::fs::File::open(&lock).unwrap();
    holder.lock().unwrap();
    let ended = Terminal::start(&sandbox, CODEX).end();
    assert!(
        ended.code == 1 && ended.screen.contains(".lock") && ended.screen.contains(&std::process::id().to_string()),
        "{}",
        ended.screen
    );
    assert!(read_json(&sandbox, STORE)["profiles"].as_object().unwrap().is_empty());
    assert_eq!(identity.requests(), 0);
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_asked() {
    let identity = Identity::start();
    let base = &["models", "auth", "login"][..];
    for (options, says) in [
        (&["--provider", "  "][..], "Missing --provider."),
        (&["--provider", "nosuch"], "Unknown provider \"nosuch\"."),
        (&["--provider", "anthropic", "--method", "cli"], "setup-token"),
        (&["--provider", "openai-codex", "--profile-id", "anthropic:work"], "is for anthropic"),
        (&["--provider", "openai-codex", "--profile-id", "a\u{7}b"], "--profile-id"),
        (&["--provider", "openai-codex", "--agent", "nobody"], "nobody"),
        (&["--provider", "openai-codex", "--secret-input-mode", "clear"], "--secret-input-mode"),
    ] {
        let store = json!({"version": 1, "profiles": {"anthropic:work": {"type": "api_key", "provider": "anthropic", "key": "sk-test-1"}}});
        let sandbox = desktop(&identity).profiles(store.to_string());
        let ended = Terminal::start(&sandbox, &[base, options].concat()).end();
        assert!(ended.code == 1 && ended.screen.contains(says), "{options:?}: {}", ended.screen);
        assert!(read(&sandbox, "opened").is_empty());
        assert_eq!(read_json(&sandbox, STORE), store);
    }
    let sandbox = desktop(&identity).config("{ agents: 5 }");
    let ended = Terminal::start(&sandbox, CODEX).end();
    assert!(ended.code == 1 && ended.screen.contains("openclaw.json"), "{}", ended.screen);
    assert_eq!(identity.requests(), 0);
}

#[test]
fn a_dry_run_asks_nothing_and_writes_nothing() {
    let identity = Identity::start();
    for (arguments, id) in [
        (CODEX, "openai-codex:default"),
        (&["models", "auth", "login-github-copilot"], "github-copilot:github"),
        (&["models", "auth", "setup-token"], "anthropic:default"),
        (&["models", "auth", "login", "--provider", "mistral"], "mistral:default"),
        (&["models", "auth", "login", "--provider", "gemini-cli"], "google-gemini-cli:default"),
    ] {
        let sandbox = home(&identity);
        let before = sandbox.tree();
        let printed = sandbox.run(&[arguments, &["--dry-run", "--json"]].concat());
        assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.stderr);
        let printed: Value = serde_json::from_str(&printed.stdout).unwrap();
        assert!(printed["dryRun"] == true && printed["profiles"][0]["profileId"] == id, "{printed}");
        assert_eq!(sandbox.tree(), before);
    }
    assert_eq!(identity.requests(), 0);
}

#[test]
fn a_test_address_that_could_lead_away_is_refused() {
    let identity = Identity::start();
    let sandbox = home(&identity).env("OPENCLAW_AUTH_TEST_BASE_URL", "http://example.com:80");
    let ended = Terminal::start(&sandbox, CODEX).end();
    let says = "OPENCLAW_AUTH_TEST_BASE_URL must be http://127.0.0.1:PORT";
    assert!(ended.code == 1 && ended.screen.contains(says), "{}", ended.screen);
}
