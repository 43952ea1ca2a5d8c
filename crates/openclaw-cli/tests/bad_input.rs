//! Broken input: a clear message or a degraded report, the right exit code, never a panic, never a changed file.

mod sandbox;

use std::process::Stdio;

use sandbox::{Printed, Sandbox};

const CANARY: &str = "sk-test-canary-7f3a9c1e5b";

/// Every command that reads.
const READING: &[&[&str]] = &[
    &["models"],
    &["models", "status"],
    &["models", "status", "--json"],
    &["models", "status", "--plain", "--check"],
    &["models", "list", "--all"],
    &["models", "list", "--json"],
    &["models", "auth", "list"],
    &["models", "auth", "list", "--json"],
    &["models", "auth", "why"],
    &["models", "auth", "why", "anthropic", "--json"],
    &["models", "auth", "why", "--if", "rate_limit"],
    &["models", "auth", "why", "anthropic", "--if", "402", "--json"],
    &["models", "auth", "order", "get", "--provider", "anthropic"],
    &["models", "aliases", "list"],
    &["models", "fallbacks", "list", "--json"],
    &["models", "image-fallbacks", "list"],
    &["models", "auth", "monitor", "--dry-run"],
    &["models", "auth", "monitor", "--dry-run", "--json"],
    &["models", "auth", "monitor", "status"],
    &["models", "auth", "monitor", "units"],
];

/// Runs every reading command, checks that nothing changed, and gives what each printed.
fn read_all(sandbox: &Sandbox) -> Vec<Printed> {
    let before = sandbox.tree();
    let printed: Vec<Printed> = READING.iter().map(|arguments| sandbox.run(arguments)).collect();
    for one in &printed {
        one.check(CANARY);
    }
    assert_eq!(before, sandbox.tree(), "a command that reads has written");
    printed
}

#[test]
fn a_config_that_cannot_be_used_stops_every_command() {
    let long = format!("{}1", "[".repeat(100_000));
    for text in [
        "{ auth: {",
        "[]",
        "",
        "{ auth: { order: { x: 7 } } }",
        "{ models: { providers: { a: { apiKey: [1] } } } }",
        &long,
    ] {
        for printed in read_all(&Sandbox::new().config(&text.replace("[1]", &format!("['{CANARY}']")))) {
            assert_eq!((printed.code, printed.stdout.as_str()), (1, ""), "{text:.40}");
            assert!(printed.stderr.contains("Config invalid\nFile: ~/.openclaw/openclaw.json"), "{}", printed.stderr);
            assert!(printed.stderr.ends_with("Run: openclaw doctor --fix\n"), "{}", printed.stderr);
        }
    }
}

#[test]
fn a_store_that_cannot_be_read_degrades_the_report() {
    let broken: [&[u8]; 6] =
        [b"{ nope", b"[]", b"", b"{\"profiles\": 7}", b"{\"profiles\": {\"a\": {\"token\": \"\xff\"}}}", b"NaN"];
    for content in broken {
        let printed = read_all(&Sandbox::new().profiles(content));
        assert!(printed[1].stdout.contains("1 credential store cannot be read"), "{}", printed[1].stdout);
        assert!(printed[1].stdout.contains("openclaw doctor"), "{}", printed[1].stdout);
        assert!(printed[2].stdout.contains("\"storeError\""), "{}", printed[2].stdout);
        assert_eq!(printed[3].code, 1);
        assert!(printed[6].stdout.contains("Profiles unknown"), "{}", printed[6].stdout);
    }
}

#[test]
fn a_store_that_is_no_file_is_never_waited_for() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.store()).unwrap();
    assert!(read_all(&sandbox)[1].stderr.contains("is a directory"));

    let sandbox = Sandbox::new().profiles("");
    std::fs::remove_file(sandbox.store()).unwrap();
    std::os::unix::fs::symlink("auth-profiles.json", sandbox.store()).unwrap();
    assert!(read_all(&sandbox)[1].stderr.contains("is a loop of symbolic links"));

    let sandbox = Sandbox::new().profiles("");
    std::fs::remove_file(sandbox.store()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", sandbox.store()).unwrap();
    assert!(read_all(&sandbox)[1].stderr.contains("is not a regular file"));
}

#[test]
fn odd_values_are_read_as_far_as_they_mean_something() {
    let store = format!(
        r#"{{"version": "one", "profiles": {{
            "a": {{"type": "token", "provider": "x", "token": "{CANARY}", "expires": 1e999}},
            "b": {{"type": "token", "provider": "x", "token": "{CANARY}", "expires": -5}},
            "c": {{"type": "oauth", "provider": "x", "access": "{CANARY}", "expires": "tomorrow"}},
            "d": {{"type": "api_key", "provider": "\u001b[31m", "key": 7}},
            "e": null, "f": {{"type": [], "provider": {{}}}}, "": {{"type": "api_key", "provider": "x", "api_key": "{CANARY}"}},
            "g": {{"type": "api_key", "provider": "x", "key": "{CANARY}", "{CANARY}": "{CANARY}"}}}},
          "order": {{"x": "a", "y": [1, " ", "b"]}}, "lastGood": 7,
          "usageStats": {{"a": {{"cooldownUntil": "soon", "errorCount": -3, "failureCounts": []}}, "b": {{"disabledUntil": 1e300}}, "c": 7}}}}"#
    );
    let printed = read_all(&Sandbox::new().profiles(store));
    assert!(printed[1].stderr.contains("ignored invalid auth profile entries"), "{}", printed[1].stderr);
    assert!(!printed[1].stdout.contains('\u{1b}'), "{}", printed[1].stdout);
    assert!(printed[1].stdout.contains("expiry that is no date"), "{}", printed[1].stdout);
}

#[test]
fn a_large_store_and_deep_nesting_end() {
    let key = "x".repeat(50_000);
    let entries: Vec<String> = (0..1000)
        .map(|i| format!(r#""groq:{i}": {{"type": "api_key", "provider": "groq", "key": "{key}"}}"#))
        .collect();
    let store = format!(r#"{{"profiles": {{{}}}}}"#, entries.join(","));
    assert!(store.len() > 50_000_000);
    let printed =
        Sandbox::new().profiles(&store).run(&["models", "auth", "order", "get", "--provider", "groq", "--json"]);
    printed.check(&key);
    assert_eq!(printed.code, 0);

    let deep = format!("{{\"profiles\": {{\"a\": {}{}}}}}", "[".repeat(200_000), "]".repeat(200_000));
    read_all(&Sandbox::new().profiles(deep));
}

#[test]
fn places_that_do_not_exist_are_no_error() {
    for home in ["/nonexistent", "", "undefined"] {
        let sandbox = Sandbox::new().env("HOME", home).env("OPENCLAW_STATE_DIR", "/nonexistent/state");
        let printed = sandbox.run(&["models", "status", "--plain"]);
        assert_eq!((printed.code, printed.stdout.as_str()), (0, "openai/gpt-5.4\n"));
    }
}

#[test]
fn an_unknown_agent_is_named_with_those_that_there_are() {
    let sandbox = Sandbox::new().config("{ agents: { list: [{ id: 'Bee' }, { id: 'two' }] } }");
    for arguments in [&["models", "status", "--agent", "nope"][..], &["models", "--agent", "nope", "auth", "list"]] {
        let printed = sandbox.run(arguments);
        assert_eq!((printed.code, printed.stdout.as_str()), (1, ""));
        assert!(
            printed.stderr.contains("Unknown agent id \"nope\"") && printed.stderr.contains("Configured: bee, two")
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = Sandbox::new();
    for arguments in [&["models", "status", "--check"][..], &["models", "list", "--all", "--json"]] {
        let mut child = sandbox.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let printed = Printed::of(&child.wait_with_output().unwrap());
        printed.check(CANARY);
        assert_eq!(printed.stderr, "");
        assert_eq!(printed.code, i32::from(arguments.contains(&"--check")));
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Sandbox::new().command(&["models", "status"]).stdout(full).output().unwrap();
    let printed = Printed::of(&output);
    assert_eq!(printed.code, 1);
    assert!(printed.stderr.contains("cannot write to standard output"), "{}", printed.stderr);
}

#[test]
fn usage_errors_say_where_the_options_are() {
    let sandbox = Sandbox::new();
    for (arguments, words) in [
        (&["models", "status", "--bogus"][..], "Run: openclaw models status --help"),
        (&["models", "status", "--agent"], "Run: openclaw models status --help"),
        (&["models", "auth", "order", "get"], "--provider <ID>"),
        (&["models", "status", "--json", "--plain"], "Choose either --json or --plain, not both."),
        (&["models", "status", "--probe-timeout", "-1"], "--probe-timeout must be a positive number (ms)."),
        (&["models", "status", "--probe-concurrency", "x"], "--probe-concurrency must be > 0."),
        (&["models", "statsu"], "Did you mean: openclaw models status"),
        (&["gateway", "status"], "OPENCLAW_UPSTREAM"),
        (&["gateway"], "set gateway.mode to local"),
    ] {
        let printed = sandbox.run(arguments);
        assert_eq!((printed.code, printed.stdout.as_str()), (1, ""), "{arguments:?}");
        assert!(printed.stderr.starts_with("Error: ") && printed.stderr.contains(words), "{}", printed.stderr);
    }
}

#[test]
fn foreign_commands_go_to_the_program_that_was_named() {
    let sandbox = Sandbox::new().env("OPENCLAW_UPSTREAM", "/bin/echo");
    let printed = sandbox.run(&["--profile", "x", "gateway", "run", "a b"]);
    assert_eq!((printed.code, printed.stdout.as_str()), (0, "--profile x gateway run a b\n"));
    assert_eq!(sandbox.run(&["models", "status", "--plain"]).stdout, "openai/gpt-5.4\n");
    let folder = Sandbox::new().file("notes.txt", "");
    let no_program = folder.path("notes.txt").to_string_lossy().into_owned();
    for upstream in ["echo", "/nonexistent", &no_program, env!("CARGO_BIN_EXE_openclaw")] {
        let printed = Sandbox::new().env("OPENCLAW_UPSTREAM", upstream).run(&["gateway"]);
        assert_eq!(printed.code, 1);
        assert!(printed.stderr.contains("OPENCLAW_UPSTREAM"), "{}", printed.stderr);
    }
}

#[test]
fn secrets_in_the_wrong_place_are_not_shown() {
    let store = format!(
        r#"{{"profiles": {{
            "a": {{"type": "api_key", "provider": "anthropic", "key": "oauth:{CANARY}"}},
            "b": {{"type": "api_key", "provider": "anthropic", "keyRef": {{"source": "env", "provider": "default", "id": "{CANARY}"}}}},
            "c": {{"type": "token", "provider": "openai", "tokenRef": {{"source": "file", "provider": "default", "id": "{CANARY}"}}}}}}}}"#
    );
    let config = format!("{{ models: {{ providers: {{ foo: {{ apiKey: 'oauth:{CANARY}' }} }} }} }}");
    read_all(&Sandbox::new().profiles(store).config(&config));
}

#[test]
fn suggested_commands_are_safe_to_paste() {
    let store = r#"{"profiles": {
        "id1": {"type": "token", "provider": "$(id)", "token": "t", "expires": 5},
        "-rf": {"type": "token", "provider": "-x", "token": "t", "expires": 5},
        "a\u001b]0;x": {"type": "token", "provider": "p", "token": "t", "expires": 5}}}"#;
    let printed = Sandbox::new().profiles(store).run(&["models", "status"]);
    for line in [
        "paste-token --provider '$(id)' --profile-id id1",
        "paste-token --provider=-x --profile-id=-rf",
        "paste-token --provider p --profile-id $'a\\U0000001b]0;x'",
    ] {
        assert!(printed.stdout.contains(line), "{line} in {}", printed.stdout);
    }
}

#[test]
fn a_secret_field_takes_templates_as_references_and_escapes_as_text() {
    let config = "{ models: { providers: { p: { apiKey: '$${FOO_LONG_NAME}', models: [{ id: 'm' }] }, q: { apiKey: '${GONE}', models: [{ id: 'm' }] } } } }";
    let printed = Sandbox::new().config(config).run(&["models", "status", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(report["auth"]["providers"][0]["effective"]["kind"], "models.json");
    assert_eq!(report["auth"]["providers"][1]["effective"]["detail"], "ref(env:GONE) unresolved");
}

#[test]
fn profiles_whose_reference_cannot_work_are_passed_over() {
    let store = r#"{"profiles": {
        "groq:file": {"type": "api_key", "provider": "groq", "keyRef": {"source": "file", "provider": "gone", "id": "/a"}},
        "groq:exec": {"type": "api_key", "provider": "groq", "keyRef": {"source": "exec", "provider": "gone", "id": "a"}},
        "groq:var": {"type": "api_key", "provider": "groq", "key": "${GROQ_TEAM}"}}}"#;
    let config = "{ secrets: { defaults: { env: 'vars' } }, agents: { defaults: { model: 'groq/x' } } }";
    let sandbox = Sandbox::new().profiles(store).config(config);
    assert_eq!(sandbox.run(&["models", "auth", "why", "--json"]).code, 1);
    assert!(sandbox.run(&["models", "status"]).stdout.contains("✗ No working credential for groq"));
    let sandbox = sandbox.env("GROQ_TEAM", CANARY);
    let printed = sandbox.run(&["models", "auth", "why", "--json"]);
    assert!(printed.code == 0 && printed.stdout.contains("\"source\": \"profile:groq:var\""), "{}", printed.stdout);
}
