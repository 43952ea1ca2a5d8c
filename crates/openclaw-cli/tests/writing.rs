//! Commands that write: both files or neither, no secret outside its own file, old or new content whatever happens.

#![allow(clippy::unwrap_used, reason = "a test that cannot start the program has nothing to report")]

mod sandbox;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sandbox::{Sandbox, from_now};

const CANARY: &str = "sk-test-canary-2b8d7e6f1a";

fn text(sandbox: &Sandbox, below: &str) -> String {
    std::fs::read_to_string(sandbox.path(below)).unwrap_or_default()
}

/// A store with a key, a token in cooldown and something unknown.
fn filled() -> Sandbox {
    let store = format!(
        r#"{{"version": 1, "future": {{"x": 1.0}}, "profiles": {{
            "groq:a": {{"type": "api_key", "provider": "groq", "key": "{CANARY}-a", "note": 1}},
            "groq:b": {{"type": "token", "provider": "groq", "token": "{CANARY}-b"}}, "odd": 7}},
            "order": {{"groq": ["groq:b", "groq:a"]}}, "usageStats": {{"groq:b": {{"cooldownUntil": {}, "cooldownReason": "rate_limit"}}}}}}"#,
        from_now(600)
    );
    Sandbox::new().profiles(store).config("// mine\n{ gateway: { mode: 'local' } }\n")
}

#[test]
fn no_secret_leaves_its_file() {
    let sandbox = filled();
    let key = format!("{CANARY}-new");
    for (arguments, input) in [
        (&["models", "auth", "paste-api-key", "--provider", "groq"][..], format!("export GROQ_API_KEY='{key}'\n")),
        (&["models", "auth", "paste-token", "--provider", "mistral", "--json"], format!("{key}\n")),
        (&["models", "auth", "paste-token", "--provider", "anthropic"], format!("{key}\n")),
        (&["models", "auth", "paste-token", "--provider", "x"], format!("{key}\n{key}\n")),
        (&["models", "auth", "paste-api-key", "--provider", "x", "--dry-run"], String::new()),
        (&["models", "auth", "order", "set", "--provider", "groq", "groq:a"], String::new()),
        (&["models", "auth", "order", "clear", "--provider", "groq", "--json"], String::new()),
        (&["models", "auth", "clear-cooldown", "--all", "--json"], String::new()),
        (&["models", "auth", "remove", "groq:b", "--yes"], String::new()),
        (&["models", "auth", "logout", "gone", "--yes"], String::new()),
        (&["models", "set", "groq/x"], String::new()),
        (&["models", "aliases", "add", "fast", "groq/x", "--dry-run"], String::new()),
        (&["models", "fallbacks", "add", "mistral/m"], String::new()),
        (&["models", "image-fallbacks", "clear", "--json"], String::new()),
    ] {
        sandbox.with_input(arguments, &input).check(CANARY);
    }
    for (path, (mode, _, content)) in sandbox.tree() {
        let is_store = path.file_name().is_some_and(|name| name == "auth-profiles.json");
        let holds = String::from_utf8_lossy(&content).contains(CANARY);
        assert!(is_store || !holds, "{} holds a secret", path.display());
        let made_here = path.components().any(|part| part.as_os_str() == ".openclaw") && path.is_file();
        assert!(!made_here || mode.trailing_zeros() >= 6, "{} is open to others", path.display());
        assert!(path.extension().is_none_or(|end| end != "tmp" && end != "lock"), "{} was left behind", path.display());
    }
    let store = text(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json");
    assert!(store.contains("\"odd\": 7") && store.contains("\"x\": 1.0") && store.contains("\"note\": 1"), "{store}");
    assert!(text(&sandbox, ".openclaw/openclaw.json").starts_with("// mine\n{ gateway: { mode: 'local' }"));
}

#[test]
fn a_dry_run_writes_nothing() {
    let sandbox = filled();
    let before = sandbox.tree();
    for arguments in [
        &["models", "auth", "paste-api-key", "--provider", "new", "--dry-run"][..],
        &["models", "auth", "paste-token", "--provider", "new", "--dry-run", "--json"],
        &["models", "auth", "order", "set", "--provider", "groq", "groq:a", "--dry-run"],
        &["models", "auth", "order", "clear", "--provider", "groq", "--dry-run"],
        &["models", "auth", "clear-cooldown", "groq:b", "--dry-run"],
        &["models", "auth", "remove", "groq:b", "--dry-run"],
        &["models", "set", "groq/x", "--dry-run"],
        &["models", "fallbacks", "add", "mistral/m", "--dry-run", "--json"],
    ] {
        let printed = sandbox.run(arguments);
        printed.check(CANARY);
        assert_eq!(printed.code, 0, "{arguments:?}: {}", printed.stderr);
        assert!(
            printed.stdout.contains("Dry run") || printed.stdout.contains("\"dryRun\": true"),
            "{}",
            printed.stdout
        );
    }
    assert_eq!(before, sandbox.tree());
}

#[test]
fn a_credential_is_stored_with_its_config_entry_or_not_at_all() {
    let sandbox = filled();
    // The end of the backup ring is taken by something that cannot be replaced.
    for name in ["openclaw.json.bak.3", "openclaw.json.bak.4/x"] {
        std::fs::create_dir_all(sandbox.path(&format!(".openclaw/{name}"))).unwrap();
    }
    let before = text(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json");
    let printed = sandbox.with_input(
        &["models", "auth", "paste-token", "--provider", "groq", "--profile-id", "groq:b"],
        "tok-test-new-1\n",
    );
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("cannot write"), "{}", printed.stderr);
    let after: serde_json::Value =
        serde_json::from_str(&text(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json")).unwrap();
    let before: serde_json::Value = serde_json::from_str(&before).unwrap();
    assert_eq!(after["profiles"], before["profiles"]);
    assert_eq!(after["usageStats"]["groq:b"]["cooldownReason"], "rate_limit");
}

#[test]
fn a_file_size_limit_leaves_the_old_content() {
    let sandbox = filled();
    let before = text(&sandbox, ".openclaw/openclaw.json");
    let program = env!("CARGO_BIN_EXE_openclaw");
    let script = format!("ulimit -f 0; exec {program} models set groq/x");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("HOME", sandbox.path(""))
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert_eq!(text(&sandbox, ".openclaw/openclaw.json"), before);
    assert_eq!(sandbox.run(&["models", "set", "groq/x"]).code, 0);
    let names: Vec<_> = sandbox
        .tree()
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "tmp" || end == "lock"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let sandbox = filled();
    let dir = sandbox.path(".openclaw/agents/main/agent");
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o500)).unwrap();
    let printed = sandbox.run(&["models", "auth", "order", "set", "--provider", "groq", "groq:a"]);
    // Root may write anywhere; then there is nothing to refuse.
    if printed.code != 0 {
        assert!(printed.stderr.contains("permission denied"), "{}", printed.stderr);
    }
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_mistyped_provider_is_told() {
    let sandbox =
        Sandbox::new().config("{ models: { providers: { 'my own': { baseUrl: 'http://127.0.0.1:1', models: [] } } } }");
    let paste = |provider: &str| {
        sandbox.with_input(&["models", "auth", "paste-api-key", "--provider", provider], "sk-test-1\n")
    };
    let before = sandbox.tree();
    for provider in ["gr oq", "groq!", "groq\u{1b}[31m", "grœq"] {
        let printed = paste(provider);
        assert!(printed.code == 1 && printed.stderr.contains("is no provider id"), "{}", printed.stderr);
        assert!(printed.stderr.contains("\nRun: ") && !printed.stderr.contains('\u{1b}'), "{}", printed.stderr);
    }
    assert_eq!(before, sandbox.tree());
    for (provider, note) in [
        ("grok", "Note: nothing here knows the provider grok; did you mean groq?\n"),
        ("acme.x_1", "Note: nothing here knows the provider acme.x_1\n"),
        ("Z.AI", ""),
        ("groq", ""),
        ("my own", ""),
    ] {
        let printed = paste(provider);
        assert_eq!((printed.code, printed.stderr.as_str()), (0, note), "{provider}");
    }
}

#[test]
fn the_command_that_allows_a_model_is_named_and_does() {
    let sandbox = filled();
    assert_eq!(sandbox.run(&["models", "set", "groq/x"]).code, 0);
    for model in ["groq/org/y", "groq/it's$(z)"] {
        let choose = format!("/model {model}");
        let refused = sandbox.run(&["agent", "--agent", "main", "--message", &choose]);
        let for_a_turn = sandbox.run(&["agent", "--agent", "main", "--message", "hi", "--model", model]);
        for printed in [&refused, &for_a_turn] {
            assert!(printed.code == 1 && printed.stderr.contains("is not allowed"), "{}", printed.stderr);
            assert!(printed.stderr.contains("\nTo allow it: openclaw models aliases add "), "{}", printed.stderr);
        }
        let line = refused.stderr.lines().find_map(|line| line.strip_prefix("To allow it: ")).unwrap();
        let script = line.replacen("openclaw", env!("CARGO_BIN_EXE_openclaw"), 1);
        let done = Command::new("sh").args(["-c", &script]).env_clear().env("HOME", sandbox.path("")).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(sandbox.run(&["agent", "--agent", "main", "--message", &choose]).code, 0);
    }
}

#[test]
fn a_torn_store_is_named_instead_of_a_missing_profile() {
    let torn = r#"{"version": 1, "profiles": {
 "acme:a": {"type": "api_key", "provider": "acme", "key": "sk-test-"#;
    let sandbox = Sandbox::new().profiles(torn).config("{ agents: { list: [{ id: 'main' }, { id: 'two' }] } }");
    let before = sandbox.tree();
    for arguments in [
        &["models", "auth", "remove", "acme:a", "--yes"][..],
        &["models", "auth", "remove", "acme:a", "--yes", "--agent", "two"],
        &["models", "auth", "clear-cooldown", "acme:a"],
        &["models", "auth", "refresh", "acme:a"],
        &["models", "auth", "order", "set", "--provider", "acme", "acme:a"],
        &["models", "auth", "order", "set", "--provider", "acme", "acme:a", "--agent", "two"],
        &["agent", "--agent", "main", "--message", "hi", "--auth-profile", "acme:a"],
        &["agent", "--agent", "main", "--message", "/model openai/m@acme:a"],
        &["agent", "--agent", "main", "--message", "/model openai/m@acme:a", "--json"],
    ] {
        let printed = sandbox.run(arguments);
        let all = format!("{}{}", printed.stdout, printed.stderr);
        assert_eq!(printed.code, 1, "{arguments:?}");
        assert!(all.contains("agent/auth-profiles.json is not valid JSON") && all.contains("line 2 column"), "{all}");
        assert!(all.contains("openclaw doctor") && !all.contains("not found"), "{all}");
    }
    assert_eq!(before, sandbox.tree());
}

#[test]
fn what_is_inherited_is_not_changed_through_another_agent() {
    let sandbox = filled().config("{ agents: { list: [{ id: 'main' }, { id: 'two' }] } }");
    let before = sandbox.tree();
    for arguments in [
        &["models", "auth", "remove", "groq:a", "--yes", "--agent", "two"][..],
        &["models", "auth", "clear-cooldown", "groq:b", "--agent", "two"],
    ] {
        let printed = sandbox.run(arguments);
        assert_eq!(printed.code, 1);
        assert!(printed.stderr.contains("belongs to agent main"), "{}", printed.stderr);
    }
    assert_eq!(before, sandbox.tree());
    // An order may name profiles of main; it is the agent's own.
    assert_eq!(
        sandbox.run(&["models", "auth", "order", "set", "--provider", "groq", "groq:a", "--agent", "two"]).code,
        0
    );
    assert!(text(&sandbox, ".openclaw/agents/two/agent/auth-profiles.json").contains("\"profiles\": {}"));
}

#[test]
fn removing_asks_and_needs_an_answer() {
    let sandbox = filled();
    let printed = sandbox.run(&["models", "auth", "remove", "groq:a"]);
    assert!(printed.code == 1 && printed.stderr.contains("--yes"), "{}", printed.stderr);
    assert_eq!(sandbox.run(&["models", "auth", "remove", "groq:a", "--yes"]).code, 0);
    assert!(!text(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json").contains("groq:a"));
}

/// Seen from outside, while the program waits for a key.
#[cfg(target_os = "linux")]
#[test]
fn no_core_is_dumped() {
    let sandbox = Sandbox::new();
    let mut waiting = sandbox.command(&["models", "auth", "paste-api-key", "--provider", "groq"]);
    let mut waiting = waiting.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let core_limits = || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", waiting.id())).unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap_or_default();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    // The limit is set first of all, some moments after the process is there.
    let set = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        core_limits() == ["0", "0"]
    });
    let found = core_limits();
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    assert!(set, "the limits of a core are {found:?}");
}
