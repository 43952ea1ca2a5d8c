//! Giving up: at every question and during every wait, with Ctrl-C, Esc, the end of the input, and signals.

use super::identity::Identity;
use super::terminal::{Ports, Terminal};
use super::{CODEX, PASTE, desktop, home, nothing_stored, read};

const CTRL_C: &str = "\u{3}";
const ESC: &str = "\u{1b}";
const CTRL_D: &str = "\u{4}";

/// A command, the answers that lead to a question, the question.
type Asked = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

/// Every question of every flow.
const QUESTIONS: &[Asked] = &[
    (&["models", "auth", "login"], &[], "Select a provider"),
    (&["models", "auth", "login", "--provider", "anthropic"], &[], "Auth method for Anthropic"),
    (&["models", "auth", "login", "--provider", "mistral"], &[], "Enter Mistral API key"),
    (&["models", "auth", "login", "--provider", "gemini-cli"], &[], "Continue with Google Gemini CLI OAuth?"),
    (&["models", "auth", "login", "--provider", "chutes", "--method", "oauth"], &[], "CHUTES_CLIENT_ID"),
    (&["models", "auth", "setup-token"], &[], "Continue with Anthropic token auth?"),
    (&["models", "auth", "setup-token", "--yes"], &[], "Paste Anthropic setup-token"),
    (&["models", "auth", "add"], &[], "Token provider"),
    (&["models", "auth", "add"], &[("Token provider", "\r")], "Token method"),
    (&["models", "auth", "add"], &[("Token provider", "\u{1b}[B\r")], "Provider id"),
    (&["models", "auth", "add"], &[("Token provider", "\u{1b}[B\r"), ("Provider id", "lab\r")], "Profile id"),
    (
        &["models", "auth", "add"],
        &[("Token provider", "\u{1b}[B\r"), ("Provider id", "lab\r"), ("Profile id", "\r")],
        "Does this token expire?",
    ),
    (
        &["models", "auth", "add"],
        &[
            ("Token provider", "\u{1b}[B\r"),
            ("Provider id", "lab\r"),
            ("Profile id", "\r"),
            ("Does this token expire?", "y"),
        ],
        "Expires in",
    ),
    (
        &["models", "auth", "add"],
        &[
            ("Token provider", "\u{1b}[B\r"),
            ("Provider id", "lab\r"),
            ("Profile id", "\r"),
            ("Does this token expire?", "n"),
        ],
        "Paste token for lab",
    ),
    (&["onboard"], &[], "Go on?"),
];

#[test]
fn every_question_can_be_given_up() {
    let identity = Identity::start();
    for (arguments, before, question) in QUESTIONS {
        for key in [CTRL_C, ESC] {
            let sandbox = home(&identity);
            let mut terminal = Terminal::start(&sandbox, arguments);
            for (question, keys) in *before {
                terminal.answer(question, keys);
            }
            terminal.answer(question, key);
            let ended = terminal.end();
            assert_eq!(ended.code, 130, "{arguments:?} {question} {key:?}: {}", ended.screen);
            ended.was_cancelled();
            nothing_stored(&sandbox);
        }
    }
    assert_eq!(identity.requests(), 0);
}

#[test]
fn the_wait_for_the_browser_can_be_given_up() {
    let _ports = Ports::take();
    let identity = Identity::start();
    for key in [CTRL_C, ESC, CTRL_D] {
        for sandbox in [home(&identity), desktop(&identity)] {
            let mut terminal = Terminal::start(&sandbox, CODEX);
            terminal.answer(PASTE, key);
            terminal.end().was_cancelled();
            nothing_stored(&sandbox);
        }
    }
    assert_eq!(identity.requests(), 0);
}

#[test]
fn the_wait_for_a_device_can_be_given_up() {
    let identity = Identity::start();
    for arguments in [
        &["models", "auth", "login-github-copilot"][..],
        &["models", "auth", "login", "--provider", "minimax-portal", "--method", "oauth"],
    ] {
        for key in [CTRL_C, ESC] {
            let sandbox = home(&identity);
            // Nobody agrees.
            let pending = serde_json::json!({"error": "authorization_pending", "status": "pending"});
            identity.polls(&vec![pending; 1000]);
            let mut terminal = Terminal::start(&sandbox, arguments);
            terminal.answer("gives up", key);
            terminal.end().was_cancelled();
            assert!(read(&sandbox, super::STORE).is_empty());
        }
    }
}

#[test]
fn the_exchange_can_be_given_up() {
    let _ports = Ports::take();
    let identity = Identity::start();
    let sandbox = home(&identity);
    identity.hold(true);
    let mut terminal = Terminal::start(&sandbox, CODEX);
    let address = terminal.address("https://auth.openai.com/oauth/authorize?");
    terminal.answer(PASTE, &format!("{}\r", identity.agree(&address)));
    identity.wait_for("auth.openai.com/oauth/token", 1);
    terminal.types(CTRL_C);
    let ended = terminal.end();
    identity.hold(false);
    ended.was_cancelled();
    nothing_stored(&sandbox);
}

#[cfg(target_os = "linux")]
#[test]
fn signals_end_every_wait_with_the_terminal_as_it_was() {
    use rustix::process::Signal;
    let _ports = Ports::take();
    let identity = Identity::start();
    identity.polls(&vec![serde_json::json!({"error": "authorization_pending"}); 1000]);
    let gemini = &["models", "auth", "login", "--provider", "gemini-cli"][..];
    let waits = [
        (CODEX, PASTE),
        (&["models", "auth", "login-github-copilot"], "gives up"),
        (gemini, "Continue with Google Gemini CLI OAuth?"),
    ];
    for (arguments, text) in waits {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let sandbox = home(&identity);
            let mut terminal = Terminal::start(&sandbox, arguments);
            terminal.until(text);
            // The question is on the screen before it is listened to.
            std::thread::sleep(std::time::Duration::from_millis(150));
            terminal.signal(signal);
            terminal.end().was_cancelled();
            nothing_stored(&sandbox);
        }
    }
}
