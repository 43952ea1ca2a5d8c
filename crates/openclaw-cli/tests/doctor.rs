//! `openclaw doctor` through the built program: what a case does not say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

#[allow(dead_code, reason = "a part of it is used here")]
#[path = "conformance/case.rs"]
mod case;
mod sandbox;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "conformance/server.rs"]
mod server;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::Sandbox;
use serde_json::{Value, json};

const CANARY: &str = "sk-test-canary-7f3a9c1e5b";
const BINARY: &str = env!("CARGO_BIN_EXE_openclaw");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A state with a login of the Claude CLI.
fn stale() -> Sandbox {
    let store = json!({"version": 1, "profiles": {"anthropic:claude-cli":
        {"type": "oauth", "provider": "claude-cli", "access": CANARY, "refresh": "rt-test-canary-0001", "expires": 4_102_444_800_000_u64}}});
    let config = "{gateway: {mode: 'local', auth: {mode: 'token', token: 'test'}}, auth: {profiles: {'anthropic:claude-cli': {provider: 'claude-cli', mode: 'oauth'}}}}";
    Sandbox::new().config(config).profiles(store.to_string())
}

#[test]
fn a_repair_is_advised_only_where_it_mends_something() {
    let advice = "Run \"openclaw doctor --fix\" to apply changes.";
    let optional = "1 optional change, for \"openclaw doctor --fix\" to make.";
    let key = r#"{"version": 1, "profiles": {"groq:a": {"type": "api_key", "provider": "groq", "key": "sk-test-a"}}}"#;
    let home = |store: &str| {
        let sandbox = Sandbox::new().config("{ gateway: { mode: 'local' } }").profiles(store);
        for dir in ["", "agents", "agents/main", "agents/main/agent"] {
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(sandbox.path(".openclaw").join(dir), mode).unwrap();
        }
        sandbox
    };
    let said = home(key).run(&["doctor"]).stdout;
    assert!(said.contains("Nothing is wrong.") && said.contains(optional) && !said.contains(advice), "{said}");
    let torn = home(&key[..40]);
    let said = torn.run(&["doctor"]).stdout;
    assert!(said.contains("Left: 1 error.") && said.contains(optional) && !said.contains(advice), "{said}");
    std::fs::set_permissions(torn.store(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = torn.run(&["doctor"]).stdout;
    assert!(said.contains(advice) && !said.contains("optional"), "{said}");
}

#[test]
fn a_second_repair_of_every_case_changes_nothing() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/doctor");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mut case: case::Case = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let env = case.run.first().map(|step| step.env.clone()).unwrap_or_default();
        case.run = (0..3)
            .map(|_| case::Step {
                args: ["doctor", "--fix", "--non-interactive", "--offline", "--json"].map(str::to_owned).to_vec(),
                stdin: String::new(),
                tty: None,
                cwd: None,
                env: env.clone(),
            })
            .collect();
        let run = case::execute(&case, Path::new(BINARY)).unwrap();
        for (at, printed) in run.printed.iter().enumerate().skip(1) {
            let report = parsed(&printed.stdout);
            assert_eq!(report["changes"], json!([]), "{}, run {}", path.display(), at + 1);
            assert_eq!((&report["receipt"], &report["config"]["written"]), (&Value::Null, &json!(false)));
            let fixable = report["findings"].as_array().unwrap().iter().filter(|finding| finding["fixable"] == true);
            let fixable: Vec<&Value> = fixable.filter(|finding| finding["severity"] != "info").collect();
            assert!(fixable.is_empty(), "{}: {fixable:?}", path.display());
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn broken_input_is_reported_and_left_alone() {
    let configs =
        ["{ auth: {", "[]", "", "{ auth: { order: { x: 7 } } }", "{ models: { providers: { a: { apiKey: ['K'] } } } }"];
    let stores: [&[u8]; 6] = [
        b"{ nope",
        b"[]",
        b"",
        b"{\"profiles\": 7}",
        b"{\"profiles\": {\"a\": {\"token\": \"\xff\"}}}",
        b"{\"version\": 9, \"profiles\": {}}",
    ];
    for config in configs {
        for store in stores {
            let sandbox = Sandbox::new().config(&config.replace('K', CANARY)).profiles(store);
            let before = sandbox.tree();
            for arguments in [
                &["doctor", "--json"][..],
                &["doctor", "--check"],
                &["doctor", "--diff", "--offline"],
                &["doctor", "--offline"],
            ] {
                let printed = sandbox.run(arguments);
                printed.check(CANARY);
                assert!(printed.code < 3, "{arguments:?}: {}", printed.stderr);
            }
            assert!(before == sandbox.tree(), "{config} {store:?}");
            // What cannot be read is never written over.
            sandbox.run(&["doctor", "--fix", "--non-interactive", "--offline"]).check(CANARY);
            assert_eq!(std::fs::read(sandbox.store()).unwrap(), store);
        }
    }
}

#[test]
fn what_changes_while_a_question_is_open_is_not_touched() {
    let sandbox = stale();
    let mut command = Command::new(BINARY);
    command
        .args(["doctor", "--only", "auth.claude_cli"])
        .env_clear()
        .env("HOME", sandbox.path(""))
        .env("TERM", "xterm")
        .current_dir(sandbox.path(""));
    let mut session = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("Convert stale").unwrap();
    let other = json!({"version": 1, "profiles": {"anthropic:claude-cli":
        {"type": "oauth", "provider": "claude-cli", "access": "at-test-new-login", "refresh": "rt-test-new-login", "expires": 4_102_444_800_000_u64}}});
    std::fs::write(sandbox.store(), other.to_string()).unwrap();
    session.send("\r").unwrap();
    session.flush().unwrap();
    let rest = session.exp_eof().unwrap();
    assert!(rest.contains("changed meanwhile"), "{rest}");
    let status = session.process.wait().unwrap();
    assert!(matches!(status, rexpect::process::wait::WaitStatus::Exited(_, 1)), "{status:?}");
    assert_eq!(parsed(&std::fs::read_to_string(sandbox.store()).unwrap()), other);
    assert!(!sandbox.path("").join(".openclaw/openclaw.json.bak").exists());
}

#[test]
fn no_is_an_answer() {
    let sandbox = stale();
    let before = std::fs::read(sandbox.store()).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["doctor", "--only", "auth.claude_cli"]);
    command.env_clear().env("HOME", sandbox.path("")).env("TERM", "xterm").current_dir(sandbox.path(""));
    let mut session = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
    session.exp_string("Convert stale").unwrap();
    session.send("n").unwrap();
    session.flush().unwrap();
    let rest = session.exp_eof().unwrap();
    assert!(rest.contains("doctor --fix") && rest.contains("Doctor complete."), "{rest}");
    let status = session.process.wait().unwrap();
    assert!(matches!(status, rexpect::process::wait::WaitStatus::Exited(_, 0)), "{status:?}");
    assert_eq!(std::fs::read(sandbox.store()).unwrap(), before);
}

#[test]
fn programs_are_run_once_and_only_when_asked_for() {
    let sandbox = Sandbox::new().env("OPENCLAW_AUTH_TEST_BASE_URL", "http://127.0.0.1:1");
    let (program, count) = (sandbox.path("keys.sh"), sandbox.path("count"));
    let script = format!(
        "#!/bin/sh\necho run >> {}\nread -r line\nprintf '{{\"protocolVersion\":1,\"values\":{{\"a\":\"{CANARY}\"}}}}'\n",
        count.display()
    );
    let sandbox = sandbox.file("keys.sh", script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let config = format!(
        "{{bogus: 1, secrets: {{providers: {{v: {{source: 'exec', command: '{}'}}}}}}}}",
        program.canonicalize().unwrap().display()
    );
    let store = json!({"version": 1, "profiles": {
        "a:x": {"type": "api_key", "provider": "a", "keyRef": {"source": "exec", "provider": "v", "id": "a"}},
        "a:y": {"mode": "api_key", "provider": "a", "apiKey": "sk-test-2"}}});
    let sandbox = sandbox.config(&config).profiles(store.to_string());

    let report = parsed(&sandbox.run(&["doctor", "--json", "--only", "auth.ref"]).stdout);
    assert_eq!(report["findings"][0]["severity"], "warning");
    assert!(!count.exists());
    let printed = sandbox.run(&["doctor", "--deep", "--repair", "--json"]);
    printed.check(CANARY);
    let report = parsed(&printed.stdout);
    let codes: Vec<&str> = report["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
    assert!(!codes.contains(&"auth.ref.unresolved") && codes.contains(&"auth.tls.network"), "{codes:?}");
    assert!(!report["changes"].as_array().unwrap().is_empty());
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "run\n");
}

#[test]
fn a_link_out_of_the_home_directory_is_not_followed_to_change_a_mode() {
    let (sandbox, elsewhere) = (Sandbox::new(), tempfile::tempdir().unwrap());
    std::fs::set_permissions(elsewhere.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), sandbox.path(".openclaw")).unwrap();
    let printed = sandbox.run(&["doctor", "--fix", "--only", "state.permissions"]);
    assert!(printed.code == 1 && printed.stderr.contains("state.permissions"), "{}", printed.stderr);
    assert_eq!(elsewhere.path().metadata().unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn undo_puts_back_once() {
    let sandbox = stale();
    let before = std::fs::read(sandbox.store()).unwrap();
    assert_eq!(sandbox.run(&["doctor", "--undo"]).code, 1);
    let printed = sandbox.run(&["doctor", "--repair", "--json"]);
    let report = parsed(&printed.stdout);
    assert_eq!((printed.code, report["findings"][0]["fixed"].as_bool()), (0, Some(true)));
    assert_eq!(report["config"]["written"], true);
    let receipt = PathBuf::from(report["receipt"].as_str().unwrap());
    assert_eq!(receipt.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&receipt).unwrap().contains("canary"));

    let dry = sandbox.run(&["doctor", "--undo", "--dry-run"]);
    assert!(dry.code == 0 && dry.stdout.contains("Would put back") && dry.stdout.contains("auth-profiles.json"));
    let printed = sandbox.run(&["doctor", "--undo"]);
    assert!(printed.code == 0 && printed.stdout.contains("Put back ~/.openclaw/openclaw.json"), "{}", printed.stdout);
    assert_eq!(std::fs::read(sandbox.store()).unwrap(), before);
    assert!(sandbox.run(&["doctor", "--undo"]).stderr.contains("undone already"));
}

#[test]
fn undo_refuses_what_changed_since() {
    let sandbox = stale();
    sandbox.run(&["doctor", "--repair"]);
    let mut text = std::fs::read_to_string(sandbox.store()).unwrap();
    text.push('\n');
    std::fs::write(sandbox.store(), &text).unwrap();
    let printed = sandbox.run(&["doctor", "--undo"]);
    assert!(printed.code == 1 && printed.stderr.contains("auth-profiles.json"), "{}", printed.stderr);
    assert_eq!(std::fs::read_to_string(sandbox.store()).unwrap(), text);
    let json = sandbox.run(&["doctor", "--undo", "--json"]);
    let document = parsed(&json.stdout);
    assert_eq!((json.code, &document["mode"]), (1, &json!("undo")));
    assert_eq!(document["errors"].as_array().unwrap().len(), 1);
}

#[test]
fn an_update_under_way_and_unwanted_notes_are_respected() {
    let sandbox = stale().env("OPENCLAW_SUPPRESS_NOTES", "1");
    let printed = sandbox.run(&["doctor"]);
    assert!(!printed.stdout.contains("Auth profiles") && printed.stdout.contains("Doctor complete."));
    let sandbox = stale().env("OPENCLAW_UPDATE_IN_PROGRESS", "1");
    std::fs::set_permissions(sandbox.store(), std::fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.run(&["doctor", "--fix", "--only", "auth.secret"]);
    assert_eq!(sandbox.store().metadata().unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn a_repair_that_needs_the_config_is_refused_when_that_cannot_be_written() {
    let config = "{auth: {profiles: {'anthropic:claude-cli': {provider: 'claude-cli', mode: 'oauth'}, 'a:b': {provider: 'a', mode: 'nonsense'}}}}";
    let sandbox = stale().config(config);
    let store = std::fs::read(sandbox.store()).unwrap();
    let printed = sandbox.run(&["doctor", "--repair", "--json"]);
    let report = parsed(&printed.stdout);
    assert_eq!(printed.code, 1);
    let codes: Vec<&str> =
        report["errors"].as_array().unwrap().iter().filter_map(|error| error["code"].as_str()).collect();
    assert!(codes.contains(&"auth.claude_cli.repair_failed") && codes.contains(&"config.invalid"), "{codes:?}");
    assert_eq!(report["config"]["valid"], false);
    assert_eq!(std::fs::read(sandbox.store()).unwrap(), store);
    assert_eq!(sandbox.run(&["doctor", "--json"]).code, 0);
    assert_eq!(sandbox.run(&["doctor", "--check"]).code, 1);
}

#[test]
fn usage_errors_run_nothing() {
    let sandbox = stale();
    let before = sandbox.tree();
    for (arguments, text) in [
        (&["doctor", "--dry-run", "--yes"][..], "--yes"),
        (&["doctor", "--undo", "--repair"], "--repair"),
        (&["doctor", "--undo", "--only", "auth."], "--only"),
        (&["doctor", "--agent", "nobody"], "Unknown agent id \"nobody\""),
        (&["doctor", "extra"], "extra"),
        (&["doctor", "--only"], "--only"),
    ] {
        let printed = sandbox.run(arguments);
        assert!(
            printed.code == 1 && printed.stderr.contains(text),
            "{arguments:?}: {} {}",
            printed.code,
            printed.stderr
        );
    }
    let printed = sandbox.run(&["doctor", "--agent", "nobody", "--json"]);
    assert_eq!((printed.code, parsed(&printed.stdout)["errors"].as_array().unwrap().len()), (1, 1));
    assert!(before == sandbox.tree());
}
