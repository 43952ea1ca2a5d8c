//! Sign-ins that succeed, in every way in which a code can come back.

use serde_json::json;

use super::identity::{EMAIL, Identity, browse};
use super::sandbox::{Sandbox, from_now};
use super::terminal::{Ended, Ports, Terminal, keeps_secrets};
use super::{CODEX, CONFIG, PASTE, STORE, desktop, executable, home, json as read_json, read};

const AUTHORIZE: &str = "https://auth.openai.com/oauth/authorize?";
const GOOGLE: &str = "https://accounts.google.com/o/oauth2/v2/auth?";
const CHUTES: &str = "https://api.chutes.ai/idp/authorize?";

/// What people call it, and how they make it of the address that the browser was sent to.
type Form<'a> = (&'a str, &'a dyn Fn(&str) -> String);

/// Signs in to Codex and pastes what `paste` makes of the address that the browser was sent to.
fn pasted(sandbox: &Sandbox, identity: &Identity, arguments: &[&str], paste: &dyn Fn(&str) -> String) -> Ended {
    let mut terminal = Terminal::start(sandbox, arguments);
    let address = terminal.address(AUTHORIZE);
    let back = identity.agree(&address);
    terminal.until(PASTE);
    terminal.types(&paste(&back));
    terminal.end()
}

fn is_stored(sandbox: &Sandbox, identity: &Identity, ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.screen);
    ended.left_the_terminal_whole();
    let id = format!("openai-codex:{EMAIL}");
    let entry = &read_json(sandbox, STORE)["profiles"][&id];
    assert_eq!((&entry["type"], &entry["accountId"]), (&json!("oauth"), &json!("acct-test-1")), "{entry}");
    let refresh = entry["refresh"].as_str().unwrap();
    assert_eq!(identity.current(refresh).as_deref(), Some(refresh));
    let config = read_json(sandbox, CONFIG);
    assert_eq!(config["auth"]["profiles"][&id], json!({"provider": "openai-codex", "mode": "oauth", "email": EMAIL}));
    assert!(config["agents"]["defaults"]["models"]["openai-codex/gpt-5.4"].is_object(), "{config}");
    keeps_secrets(sandbox, identity, &[&ended.screen]);
}

#[test]
fn the_browser_brings_the_code_and_is_told_so() {
    let _ports = Ports::take();
    let identity = Identity::start();
    let sandbox = desktop(&identity);
    let mut terminal = Terminal::start(&sandbox, CODEX);
    let address = terminal.address(AUTHORIZE);
    let back = identity.agree(&address);
    terminal.until(PASTE);
    // Foreign visitors do not disturb: another state, another path, another host.
    let port = "http://localhost:1455";
    assert_eq!(browse(&format!("{port}/auth/callback?code=x&state=foreign")).0, 400);
    assert_eq!(browse(&format!("{port}/auth/callback?error=access_denied&state=foreign")).0, 400);
    assert_eq!(browse(&format!("{port}/favicon.ico")).0, 404);
    let (status, page) = browse(&back);
    assert!(status == 200 && page.contains("Signed in"), "{page}");
    let ended = terminal.end();
    is_stored(&sandbox, &identity, &ended);
    // The opener got the address as one argument.
    assert_eq!(read(&sandbox, "opened"), format!("1\n{address}\n"));
    assert_eq!(identity.requests(), 1);
}

#[test]
fn the_code_is_pasted_in_every_form_in_which_people_copy_it() {
    let ports = Ports::take();
    let code = |back: &str| super::identity::fields(back.split_once('?').unwrap().1)["code"].clone();
    let state = |back: &str| super::identity::fields(back.split_once('?').unwrap().1)["state"].clone();
    let forms: [Form<'_>; 7] = [
        ("the whole address", &|back| format!("{back}\r")),
        ("with line breaks", &|back| format!("{}\r\n{}\n  {}\r", &back[..30], &back[30..50], &back[50..])),
        ("in a bracketed paste", &|back| format!("\u{1b}[200~{back}\u{1b}[201~\r")),
        ("in quotes", &|back| format!("'{back}'\r")),
        ("code#state", &|back| format!("{}#{}\r", code(back), state(back))),
        ("parameters alone", &|back| format!("code={}&state={}\r", code(back), state(back))),
        ("the bare code", &|back| format!("{}\r", code(back))),
    ];
    for (form, paste) in forms {
        let identity = Identity::start();
        let sandbox = home(&identity);
        let ended = pasted(&sandbox, &identity, CODEX, paste);
        assert_eq!(ended.code, 0, "{form}: {}", ended.screen);
        is_stored(&sandbox, &identity, &ended);
    }
    drop(ports);
}

#[test]
fn an_account_without_an_address_gets_a_name_of_its_own() {
    let _ports = Ports::take();
    let auth = |more: serde_json::Value| {
        let mut claims = json!({"chatgpt_account_id": "acct-test-1"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    for (claims, id) in [
        (
            json!({"https://api.openai.com/auth": auth(json!({"chatgpt_user_id": "user-1"}))}),
            "openai-codex:id-dXNlci0x",
        ),
        (json!({"https://api.openai.com/auth": auth(json!({})), "iss": "i", "sub": "s"}), "openai-codex:id-aXxz"),
        (json!({"https://api.openai.com/auth": auth(json!({}))}), "openai-codex:default"),
    ] {
        let identity = Identity::start();
        identity.account(claims);
        let sandbox = home(&identity);
        let ended = pasted(&sandbox, &identity, CODEX, &|back| format!("{back}\r"));
        assert_eq!(ended.code, 0, "{}", ended.screen);
        assert!(read_json(&sandbox, STORE)["profiles"][id].is_object(), "{id}\n{}", ended.screen);
    }
}

#[test]
fn mistyped_and_corrected_input_is_asked_for_again() {
    let _ports = Ports::take();
    let identity = Identity::start();
    let sandbox = home(&identity);
    let mut terminal = Terminal::start(&sandbox, CODEX);
    let address = terminal.address(AUTHORIZE);
    let back = identity.agree(&address);
    terminal.answer(PASTE, "\r");
    terminal.until("Required");
    terminal.answer(PASTE, "http://localhost:1455/auth/callback\r");
    terminal.until("no code");
    terminal.answer(PASTE, "nonsense\u{15}");
    terminal.types(&format!("{back}x\u{7f}\r"));
    is_stored(&sandbox, &identity, &terminal.end());
}

#[test]
fn a_port_that_is_taken_leaves_the_paste() {
    let ports = Ports::take();
    let taken = std::net::TcpListener::bind("127.0.0.1:1455").unwrap();
    let identity = Identity::start();
    let sandbox = desktop(&identity);
    let mut terminal = Terminal::start(&sandbox, CODEX);
    terminal.until("1455");
    let address = terminal.address(AUTHORIZE);
    let back = identity.agree(&address);
    terminal.answer(PASTE, &format!("{back}\r"));
    is_stored(&sandbox, &identity, &terminal.end());
    drop(taken);
    drop(ports);
}

#[test]
fn json_is_one_object_on_standard_output_and_questions_are_elsewhere() {
    let _ports = Ports::take();
    let identity = Identity::start();
    let sandbox = home(&identity);
    let mut program = std::process::Command::new("/bin/sh");
    let arguments = [CODEX, &["--json"]].concat();
    let inner = sandbox.command(&arguments);
    program.arg("-c").arg("\"$@\" > \"$HOME/stdout\"").arg("sh").arg(inner.get_program()).args(inner.get_args());
    program.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut terminal = Terminal::run(&sandbox, &program);
    let address = terminal.address(AUTHORIZE);
    terminal.answer(PASTE, &format!("{}\r", identity.agree(&address)));
    is_stored(&sandbox, &identity, &terminal.end());
    let printed = read_json(&sandbox, "stdout");
    let profile = &printed["profiles"][0];
    assert_eq!((&printed["ok"], &printed["agentId"]), (&json!(true), &json!("main")));
    assert_eq!(profile["profileId"], format!("openai-codex:{EMAIL}"));
    assert!(profile["expires"].as_i64().unwrap() > from_now(3000) && profile["mode"] == "oauth");
    assert_eq!(
        (&printed["defaultModel"], &printed["defaultModelApplied"]),
        (&json!("openai-codex/gpt-5.4"), &json!(false))
    );
    std::fs::remove_file(sandbox.path("stdout")).unwrap();
}

#[test]
fn a_login_changes_what_it_is_about_and_nothing_else() {
    let _ports = Ports::take();
    let config = "// my comment\n{\n  agents: { defaults: {\n    model: { primary: 'mistral/m', fallbacks: ['a/b'] }, // keep\n    models: { 'mistral/m': { alias: 'M' } },\n  }, list: [{ id: 'main' }, { id: 'work' }] },\n}\n";
    let store = json!({"version": 1, "keep": {"unknown": 1.5}, "profiles": {
        "openai-codex:old": {"type": "oauth", "provider": "openai-codex", "access": "a", "refresh": "r", "expires": 1, "odd": true},
        "anthropic:a": {"type": "api_key", "provider": "anthropic", "key": "sk-test-1"}},
        "usageStats": {
            "openai-codex:old": {"errorCount": 3, "cooldownUntil": 99_999_999_999_999_u64, "lastUsed": 5},
            "anthropic:a": {"errorCount": 3, "cooldownUntil": 99_999_999_999_999_u64}}});
    for (options, primary) in [(&[][..], "mistral/m"), (&["--set-default"], "openai-codex/gpt-5.4")] {
        let identity = Identity::start();
        let sandbox = home(&identity).config(config).profiles(store.to_string());
        let ended = pasted(&sandbox, &identity, &[CODEX, options].concat(), &|back| format!("{back}\r"));
        assert_eq!(ended.code, 0, "{}", ended.screen);
        let text = read(&sandbox, CONFIG);
        assert!(text.starts_with("// my comment") && text.contains("// keep") && text.contains(primary), "{text}");
        assert!(text.contains("alias: 'M'") && text.contains("fallbacks") && text.contains("openai-codex/gpt-5.4"));
        assert_eq!(
            text.contains("primary: 'mistral/m'") || text.contains("\"primary\": \"mistral/m\""),
            options.is_empty(),
            "{text}"
        );
        let stored = read_json(&sandbox, STORE);
        assert_eq!(stored["keep"], store["keep"]);
        assert_eq!(stored["profiles"]["openai-codex:old"], store["profiles"]["openai-codex:old"]);
        assert_eq!(stored["usageStats"]["anthropic:a"], store["usageStats"]["anthropic:a"]);
        let cleared = &stored["usageStats"]["openai-codex:old"];
        assert!(cleared["cooldownUntil"].is_null() && cleared["lastUsed"] == 5, "{cleared}");
        let says = if options.is_empty() { "use --set-default" } else { "Default model set to openai-codex/gpt-5.4" };
        assert!(ended.screen.contains(says), "{}", ended.screen);
    }
    // Another agent's store, and a name of one's own.
    let identity = Identity::start();
    let sandbox = home(&identity).config(config).profiles(store.to_string());
    let options = ["--agent", "work", "--profile-id", "openai-codex:second", "--qr", "--no-browser"];
    let ended = pasted(&sandbox, &identity, &[CODEX, &options].concat(), &|back| format!("{back}\r"));
    assert_eq!(ended.code, 0, "{}", ended.screen);
    assert!(ended.screen.contains('█') && ended.screen.contains("Agent: work"), "{}", ended.screen);
    assert_eq!(read_json(&sandbox, STORE), store);
    let work = read_json(&sandbox, ".openclaw/agents/work/agent/auth-profiles.json");
    assert_eq!(work["profiles"].as_object().unwrap().keys().collect::<Vec<_>>(), ["openai-codex:second"]);
    keeps_secrets(&sandbox, &identity, &[&ended.screen]);
}

#[test]
fn google_is_signed_in_to_with_the_client_of_the_installed_program() {
    let _ports = Ports::take();
    let client = "const OAUTH_CLIENT_ID = '1234-test.apps.googleusercontent.com';\nconst OAUTH_CLIENT_SECRET = 'GOCSPX-test-canary-7';\n";
    let core =
        "bin/node_modules/@google/gemini-cli/node_modules/@google/gemini-cli-core/dist/src/code_assist/oauth2.js";
    let gemini: &[&str] = &["models", "auth", "login", "--provider", "gemini-cli"];
    for variables in [false, true] {
        let identity = Identity::start();
        identity.client_secret("GOCSPX-test-canary-7");
        let mut sandbox = desktop(&identity);
        if variables {
            sandbox = sandbox
                .env("GEMINI_CLI_OAUTH_CLIENT_ID", "1234-test.apps.googleusercontent.com")
                .env("GEMINI_CLI_OAUTH_CLIENT_SECRET", "GOCSPX-test-canary-7");
        } else {
            let program = "bin/node_modules/@google/gemini-cli/dist/index.js";
            sandbox = sandbox.file(core, client).file(program, "#!/usr/bin/env node\n");
            executable(&sandbox, program);
            std::os::unix::fs::symlink(sandbox.path(program), sandbox.path("bin/gemini")).unwrap();
        }
        let mut terminal = Terminal::start(&sandbox, gemini);
        terminal.answer("Continue with Google Gemini CLI OAuth?", "y");
        let address = terminal.address(GOOGLE);
        assert!(address.contains("client_id=1234-test") && address.contains("access_type=offline"), "{address}");
        let back = identity.agree(&address);
        terminal.until(PASTE);
        if variables {
            // A bare code is not enough here.
            let alone = super::identity::fields(back.split_once('?').unwrap().1)["code"].clone();
            terminal.types(&format!("{alone}\r"));
            terminal.until("whole address");
            terminal.answer(PASTE, &format!("{back}\r"));
        } else {
            assert_eq!(browse(&back).0, 200);
        }
        let ended = terminal.end();
        assert_eq!(ended.code, 0, "{}", ended.screen);
        let entry = &read_json(&sandbox, STORE)["profiles"][format!("google-gemini-cli:{EMAIL}")];
        assert_eq!((&entry["projectId"], &entry["email"]), (&json!("project-test"), &json!(EMAIL)), "{}", ended.screen);
        keeps_secrets(&sandbox, &identity, &[&ended.screen]);
    }
    // Nothing that names a client.
    let identity = Identity::start();
    let sandbox = desktop(&identity);
    let mut terminal = Terminal::start(&sandbox, gemini);
    terminal.answer("Continue with Google Gemini CLI OAuth?", "y");
    let ended = terminal.end();
    assert!(ended.code == 1 && ended.screen.contains("Gemini CLI not found"), "{}", ended.screen);
    // The caution is refused by default.
    for keys in ["\r", "n"] {
        let mut terminal = Terminal::start(&sandbox, gemini);
        terminal.answer("Continue with Google Gemini CLI OAuth?", keys);
        let ended = terminal.end();
        assert!(ended.code == 0 && ended.screen.contains("Nothing was stored."), "{}", ended.screen);
        ended.left_the_terminal_whole();
    }
    assert!(identity.requests() == 0 && read(&sandbox, STORE).is_empty());
}

#[test]
fn chutes_asks_for_its_client_and_keeps_it() {
    let _ports = Ports::take();
    let chutes = &["models", "auth", "login", "--provider", "chutes", "--method", "oauth"];
    for asked in [true, false] {
        let identity = Identity::start();
        identity.client_secret("cs-test-canary-1");
        let sandbox = desktop(&identity).env("CHUTES_CLIENT_SECRET", "cs-test-canary-1");
        let sandbox = if asked { sandbox } else { sandbox.env("CHUTES_CLIENT_ID", "cid-test") };
        let mut terminal = Terminal::start(&sandbox, chutes);
        if asked {
            terminal.answer("CHUTES_CLIENT_ID", "cid-test\r");
        }
        let address = terminal.address(CHUTES);
        let back = identity.agree(&address);
        terminal.until(PASTE);
        if asked {
            assert_eq!(browse(&back).0, 200);
        } else {
            terminal.types(&format!("{back}\r"));
        }
        let ended = terminal.end();
        assert_eq!(ended.code, 0, "{}", ended.screen);
        let entry = &read_json(&sandbox, STORE)["profiles"]["chutes:dev"];
        assert_eq!(
            (&entry["clientId"], &entry["accountId"]),
            (&json!("cid-test"), &json!("sub-test")),
            "{}",
            ended.screen
        );
        keeps_secrets(&sandbox, &identity, &[&ended.screen]);
    }
}

#[test]
fn onboarding_signs_in_and_makes_the_model_the_default() {
    let _ports = Ports::take();
    let identity = Identity::start();
    let sandbox = home(&identity);
    let arguments = ["onboard", "--accept-risk", "--auth-choice", "openai-codex"];
    let mut terminal = Terminal::start(&sandbox, &arguments);
    let address = terminal.address(AUTHORIZE);
    terminal.answer(PASTE, &format!("{}\r", identity.agree(&address)));
    terminal.answer("Write it?", "y");
    let ended = terminal.end();
    is_stored(&sandbox, &identity, &ended);
    assert_eq!(read_json(&sandbox, CONFIG)["agents"]["defaults"]["model"]["primary"], "openai-codex/gpt-5.4");
    // No at the end stores nothing, although the provider has agreed.
    let sandbox = home(&identity);
    let mut terminal = Terminal::start(&sandbox, &arguments);
    let address = terminal.address(AUTHORIZE);
    terminal.answer(PASTE, &format!("{}\r", identity.agree(&address)));
    terminal.answer("Write it?", "n");
    let ended = terminal.end();
    assert!(ended.code == 0 && ended.screen.contains("Nothing was written."), "{}", ended.screen);
    super::nothing_stored(&sandbox);
}
