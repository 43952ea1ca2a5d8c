//! Sign-ins with a code on another device, and with a pasted token or key.

use serde_json::{Value, json};

use super::identity::Identity;
use super::terminal::{Terminal, keeps_secrets};
use super::{CONFIG, STORE, desktop, home, json as read_json, read};

const COPILOT: &[&str] = &["models", "auth", "login-github-copilot"];
const POLL: &str = "github.com/login/oauth/access_token";

#[test]
fn a_code_is_shown_and_waited_for() {
    let identity = Identity::start();
    identity.polls(&[json!({"error": "authorization_pending"}), json!({"error": "slow_down"})]);
    // A moment without a network is no end.
    identity.answer(POLL, 502, "<html>");
    let sandbox = desktop(&identity);
    let mut terminal = Terminal::start(&sandbox, COPILOT);
    terminal.until("https://github.com/login/device");
    terminal.until("WDJB-MJHT");
    let ended = terminal.end();
    assert_eq!(ended.code, 0, "{}", ended.screen);
    ended.left_the_terminal_whole();
    assert_eq!(identity.asked(POLL).len(), 4);
    let first = &identity.asked("github.com/login/device/code")[0];
    assert!(first.method == "POST" && first.headers["user-agent"].starts_with("openclaw/"), "{first:?}");
    assert_eq!(
        read_json(&sandbox, STORE)["profiles"]["github-copilot:github"],
        json!({"type": "token", "provider": "github-copilot", "token": "gho-test-canary-0001"})
    );
    assert_eq!(read_json(&sandbox, CONFIG)["auth"]["profiles"]["github-copilot:github"]["mode"], "token");
    assert_eq!(read(&sandbox, "opened"), "1\nhttps://github.com/login/device\n");
    keeps_secrets(&sandbox, &identity, &[&ended.screen]);
}

#[test]
fn a_code_that_is_refused_or_ends_stores_nothing() {
    for (answer, says) in [
        (json!({"error": "access_denied"}), "GitHub login cancelled"),
        (json!({"error": "expired_token"}), "GitHub device code expired; run login again"),
        (json!({"error": "device_flow_disabled"}), "GitHub device flow error: device_flow_disabled"),
        (json!({"odd": 1}), "access_token"),
    ] {
        let identity = Identity::start();
        identity.polls(&[answer]);
        let sandbox = home(&identity);
        let ended = Terminal::start(&sandbox, COPILOT).end();
        assert!(ended.code == 1 && ended.screen.contains(says), "{}", ended.screen);
        ended.left_the_terminal_whole();
        assert!(read(&sandbox, STORE).is_empty() && read(&sandbox, CONFIG).is_empty());
        keeps_secrets(&sandbox, &identity, &[&ended.screen]);
    }
    for (status, body) in [
        (500, json!({})),
        (200, json!({"device_code": "x"})),
        (200, json!({"device_code": "x", "user_code": "A", "verification_uri": "javascript:alert(1)"})),
        (200, Value::from("text")),
    ] {
        let identity = Identity::start();
        identity.answer("github.com/login/device/code", status, body);
        let sandbox = desktop(&identity);
        let ended = Terminal::start(&sandbox, COPILOT).end();
        assert!(ended.code == 1 && ended.screen.contains("Error: "), "{}", ended.screen);
        assert!(read(&sandbox, "opened").is_empty() && read(&sandbox, STORE).is_empty());
    }
}

#[test]
fn minimax_is_signed_in_to_in_both_regions() {
    for (method, host, base) in [
        ("oauth", "api.minimax.io", "https://api.minimax.io/anthropic"),
        ("oauth-cn", "api.minimaxi.com", "https://api.minimaxi.com/anthropic"),
    ] {
        let identity = Identity::start();
        let sandbox = home(&identity);
        let arguments = ["models", "auth", "login", "--provider", "minimax-portal", "--method", method];
        let mut terminal = Terminal::start(&sandbox, &arguments);
        terminal.until("MM-1234");
        let ended = terminal.end();
        assert_eq!(ended.code, 0, "{}", ended.screen);
        assert_eq!(identity.asked(&format!("{host}/oauth/token")).len(), 1);
        let entry = &read_json(&sandbox, STORE)["profiles"]["minimax-portal:default"];
        assert_eq!(entry["expires"], 4_102_444_800_000_u64, "{entry}");
        let config = read_json(&sandbox, CONFIG);
        assert_eq!(config["models"]["providers"]["minimax-portal"]["baseUrl"], base);
        assert_eq!(config["agents"]["defaults"]["models"]["minimax-portal/MiniMax-M2.7"]["alias"], "minimax-m2.7");
        keeps_secrets(&sandbox, &identity, &[&ended.screen]);
    }
    for (answer, says) in [
        (json!({"status": "error", "base_resp": {"status_msg": "user said no"}}), "user said no"),
        (
            json!({"status": "success", "access_token": "a", "refresh_token": "b", "expired_in": 1, "resource_url": "https://evil.example"}),
            "evil.example",
        ),
    ] {
        let identity = Identity::start();
        identity.polls(&[answer]);
        let sandbox = home(&identity);
        let ended = Terminal::start(
            &sandbox,
            &["models", "auth", "login", "--provider", "minimax-portal", "--method", "oauth"],
        )
        .end();
        assert!(ended.code == 1 && ended.screen.contains(says), "{}", ended.screen);
        assert!(read(&sandbox, STORE).is_empty() && read(&sandbox, CONFIG).is_empty());
    }
}

#[test]
fn tokens_and_keys_are_pasted_unseen() {
    let identity = Identity::start();
    let token = format!("sk-ant-oat01-{}canary", "t".repeat(80));
    let key = "sk-test-canary-0011223344";
    for (arguments, answers, id, field, secret) in [
        (
            &["models", "auth", "setup-token", "--yes"][..],
            vec![
                ("Paste Anthropic setup-token", "sk-ant-short\r".to_owned()),
                ("Paste Anthropic setup-token", format!("{token}\r")),
            ],
            "anthropic:default",
            "token",
            token.as_str(),
        ),
        (
            &["models", "auth", "setup-token"],
            vec![
                ("Continue with Anthropic token auth?", "y".to_owned()),
                ("Paste Anthropic setup-token", format!("{token}\r")),
            ],
            "anthropic:default",
            "token",
            &token,
        ),
        (
            &["models", "auth", "login", "--provider", "mistral"],
            vec![("Enter Mistral API key", format!("export MISTRAL_API_KEY=\"{key}\";\r"))],
            "mistral:default",
            "key",
            key,
        ),
        (
            &["models", "auth", "add"],
            vec![
                ("Token provider", "\u{1b}[B\r".to_owned()),
                ("Provider id", "my-lab\r".to_owned()),
                ("Profile id", "\r".to_owned()),
                ("Does this token expire?", "y".to_owned()),
                ("Expires in", "\r".to_owned()),
                ("Paste token for my-lab", format!("{key}\r")),
            ],
            "my-lab:manual",
            "token",
            key,
        ),
    ] {
        let sandbox = home(&identity);
        let mut terminal = Terminal::start(&sandbox, arguments);
        for (question, keys) in &answers {
            terminal.answer(question, keys);
        }
        let ended = terminal.end();
        assert_eq!(ended.code, 0, "{arguments:?}\n{}", ended.screen);
        ended.left_the_terminal_whole();
        assert_eq!(read_json(&sandbox, STORE)["profiles"][id][field], secret, "{}", ended.screen);
        assert!(!ended.screen.contains(secret) && !read(&sandbox, CONFIG).contains(secret), "{}", ended.screen);
    }
    assert_eq!(identity.requests(), 0);
}

#[test]
fn a_device_code_is_asked_for_only_where_there_is_one() {
    let identity = Identity::start();
    let sandbox = home(&identity);
    let ended =
        Terminal::start(&sandbox, &["models", "auth", "login", "--provider", "openai-codex", "--device-code"]).end();
    assert!(ended.code == 1 && ended.screen.contains("--no-browser"), "{}", ended.screen);
    let mut terminal = Terminal::start(
        &sandbox,
        &["models", "auth", "login", "--provider", "github-copilot", "--device-code", "--qr"],
    );
    terminal.until("WDJB-MJHT");
    let ended = terminal.end();
    assert!(ended.code == 0 && ended.screen.contains('█'), "{}", ended.screen);
}
