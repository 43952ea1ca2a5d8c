//! `openclaw secrets` through the built program: programs that misbehave, files that must not be trusted, no secret on
//! any output, all or nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its home has nothing to report")]

mod sandbox;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use sandbox::{Printed, Sandbox};
use serde_json::Value;

const CANARY: &str = "sk-test-canary-7c1d9e2f44";

/// A config with one provider of references and one key that asks it for `id`.
fn config(provider: &str, source: &str, id: &str) -> String {
    format!(
        "{{ models: {{ providers: {{ acme: {{ baseUrl: 'http://127.0.0.1:9', api: 'openai-completions', models: [],
             apiKey: {{ source: '{source}', provider: 'p', id: '{id}' }} }} }} }},
           secrets: {{ providers: {{ p: {provider} }} }} }}"
    )
}

/// A home whose one key comes from a program.
fn with_program(script: &str, more: &str) -> Sandbox {
    let home = Sandbox::new().file("bin/vault", format!("#!/bin/sh\n{script}\n"));
    mode(&home.path("bin/vault"), 0o700);
    let command = home.path("bin/vault");
    let provider = format!("{{ source: 'exec', command: '{}', {more} }}", command.display());
    home.config(&config(&provider, "exec", "acme/key"))
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What the audit says about the one reference; `None` when it resolves.
fn fault(printed: &Printed) -> Option<String> {
    printed.check(CANARY);
    let report: Value = serde_json::from_str(&printed.stdout).unwrap();
    Some(report["findings"].as_array().unwrap().first()?["message"].as_str().unwrap().to_owned())
}

#[test]
fn programs_that_misbehave_are_named_and_never_quoted() {
    for (script, more, words) in [
        (r#"echo '{"protocolVersion":1,"values":{"acme/key":"CANARY"}}'"#, "", ""),
        ("echo 'CANARY'", "jsonOnly: false", ""),
        ("echo 'CANARY'", "", "returned invalid JSON"),
        (r#"printf '{"protocolVersion":1,"values":{"acme/key":"CANARY'"#, "", "returned invalid JSON"),
        ("echo CANARY >&2; exit 3", "", "exited with code 3"),
        ("echo CANARY; exec sleep 600", "timeoutMs: 1500", "timed out after 1500ms"),
        ("exec sleep 600", "noOutputTimeoutMs: 200", "produced no output for 200ms"),
        ("exec sleep 600", "timeoutMs: 200", "produced no output for 200ms"),
        ("while :; do echo CANARY; done", "maxOutputBytes: 5000", "exceeded maxOutputBytes (5000)"),
        ("sleep 600 & sleep 600", "timeoutMs: 200", "produced no output"),
        (":", "", "returned empty stdout"),
        (
            r#"echo '{"protocolVersion":1,"values":{},"errors":{"acme/key":{"message":"no CANARY here"}}}'"#,
            "",
            "failed for id",
        ),
        (r#"echo '{"protocolVersion":1,"values":{"other":"CANARY"}}'"#, "", "response missing id"),
        (r#"echo '{"protocolVersion":1,"values":{"acme/key":["CANARY"]}}'"#, "", "not a non-empty string"),
    ] {
        let home = with_program(&script.replace("CANARY", CANARY), more);
        let found = fault(&home.run(&["secrets", "audit", "--allow-exec", "--json"]));
        match found {
            None => assert_eq!(words, "", "{script}"),
            Some(message) => assert!(!words.is_empty() && message.contains(words), "{script}: {message}"),
        }
    }
}

#[test]
fn programs_that_must_not_be_trusted_are_not_run() {
    let ran = |home: &Sandbox| home.path("bin/ran").exists();
    let script = "touch \"$(/usr/bin/dirname \"$0\")/ran\"";
    let audit = |home: &Sandbox| fault(&home.run(&["secrets", "audit", "--allow-exec", "--json"])).unwrap();

    let home = with_program(script, "");
    mode(&home.path("bin/vault"), 0o722);
    assert!(audit(&home).contains("permissions are too open") && !ran(&home));

    let home = with_program(script, "");
    mode(&home.path("bin/vault"), 0o600);
    assert!(audit(&home).contains("is not executable") && !ran(&home));

    let home = with_program(script, "trustedDirs: ['/usr/bin']");
    assert!(audit(&home).contains("is outside trustedDirs") && !ran(&home));

    // A link in the middle of the path leads out of the trusted directory.
    let home = Sandbox::new().file("elsewhere/vault", format!("#!/bin/sh\n{script}\n"));
    mode(&home.path("elsewhere/vault"), 0o700);
    fs::create_dir(home.path("trusted")).unwrap();
    symlink(home.path("elsewhere"), home.path("trusted/in")).unwrap();
    let (command, trusted) = (home.path("trusted/in/vault"), home.path("trusted"));
    let provider =
        format!("{{ source: 'exec', command: '{}', trustedDirs: ['{}'] }}", command.display(), trusted.display());
    let home = home.config(&config(&provider, "exec", "acme/key"));
    assert!(audit(&home).contains("is outside trustedDirs") && !home.path("elsewhere/ran").exists());

    // A link itself needs leave.
    let home = with_program("echo '{\"protocolVersion\":1,\"values\":{\"acme/key\":\"x\"}}'", "");
    fs::rename(home.path("bin/vault"), home.path("bin/real")).unwrap();
    symlink(home.path("bin/real"), home.path("bin/vault")).unwrap();
    assert!(audit(&home).contains("must not be a symlink"));
    let text = fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap();
    let home =
        home.config(&text.replace("source: 'exec', command", "source: 'exec', allowSymlinkCommand: true, command"));
    assert_eq!(home.run(&["secrets", "audit", "--allow-exec", "--check"]).code, 0);
}

#[test]
fn files_that_must_not_be_trusted_are_not_read() {
    let single = |path: &Path| format!("{{ source: 'file', path: '{}', mode: 'singleValue' }}", path.display());
    let audit = |home: &Sandbox| fault(&home.run(&["secrets", "audit", "--json"]));
    let home = || Sandbox::new().file("secret", CANARY);

    let ask = |home: Sandbox, path: &Path| audit(&home.config(&config(&single(path), "file", "value")));
    let start = home();
    let path = start.path("secret");
    assert_eq!(ask(start, &path), None);

    for bits in [0o640, 0o604, 0o620, 0o602] {
        let start = home();
        let path = start.path("secret");
        mode(&path, bits);
        assert!(ask(start, &path).unwrap().contains("permissions are too open"), "{bits:o}");
    }
    let start = home();
    let link = start.path("link");
    symlink(start.path("secret"), &link).unwrap();
    assert!(ask(start, &link).unwrap().contains("must not be a symlink"));

    let start = home();
    let pipe = start.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert!(ask(start, &pipe).unwrap().contains("is not readable (is not a regular file)"));
    assert!(ask(home(), Path::new("/dev/zero")).unwrap().contains("is not a regular file"));
    assert!(ask(home(), Path::new("/")).unwrap().contains("must be a file"));
    // Belongs to root; for root the permissions speak.
    let foreign = ask(home(), Path::new("/etc/passwd")).unwrap();
    assert!(foreign.contains("too open") || foreign.contains("must be owned"), "{foreign}");
}

/// Every command that looks at references, with values in a variable, a file and a program.
#[test]
fn resolved_values_reach_no_output_and_no_file() {
    let answer = format!(r#"echo '{{"protocolVersion":1,"values":{{"a":"{CANARY}-exec"}}}}'"#);
    let home = with_program(&answer, "").file("keys.json", format!(r#"{{"k": "{CANARY}-file"}}"#));
    let store = r#"{"version": 1, "profiles": {
        "groq:e": {"type": "api_key", "provider": "groq", "keyRef": {"source": "env", "provider": "default", "id": "MY_KEY"}},
        "groq:f": {"type": "api_key", "provider": "groq", "keyRef": {"source": "file", "provider": "f", "id": "/k"}},
        "groq:x": {"type": "token", "provider": "groq", "tokenRef": {"source": "exec", "provider": "p", "id": "a"}}}}"#;
    let text = fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap();
    let file = format!("f: {{ source: 'file', path: '{}' }}, p: ", home.path("keys.json").display());
    let home = home
        .config(&text.replace("p: { source", &format!("{file}{{ source")).replace("acme/key", "a"))
        .profiles(store)
        .env("MY_KEY", &format!("{CANARY}-env"));
    let before = home.tree();
    for command in [
        &["secrets", "audit"][..],
        &["secrets", "audit", "--allow-exec"],
        &["secrets", "audit", "--allow-exec", "--json"],
        &["models", "status"],
        &["models", "status", "--json"],
        &["models", "auth", "list", "--json"],
        &["models", "auth", "why", "groq", "--json"],
        &["secrets", "plan", "--to", "env"],
        &["--log-level", "trace", "secrets", "audit", "--allow-exec"],
    ] {
        let printed = home.run(command);
        printed.check(CANARY);
    }
    assert_eq!(home.tree(), before, "a command that reads wrote something");
    assert_eq!(home.run(&["secrets", "audit", "--allow-exec", "--check"]).code, 0);
}

fn plan_for(home: &Sandbox) -> String {
    let plan = r#"{"version": 1, "protocolVersion": 1, "targets": [
        {"type": "models.providers.apiKey", "path": "models.providers.acme.apiKey", "ref": {"source": "env", "provider": "default", "id": "ACME_KEY"}},
        {"type": "auth-profiles.api_key.key", "path": "profiles.acme:a.key", "agentId": "main", "ref": {"source": "env", "provider": "default", "id": "ACME_KEY"}}]}"#;
    fs::write(home.path("plan.json"), plan).unwrap();
    home.path("plan.json").display().to_string()
}

fn with_plaintext() -> Sandbox {
    Sandbox::new()
        .config(&format!(
            "{{ // keep me\n  models: {{ providers: {{ acme: {{ baseUrl: 'http://127.0.0.1:9', api: 'openai-completions', models: [], apiKey: '{CANARY}-1' }} }} }},\n}}\n"
        ))
        .profiles(format!(r#"{{"version": 1, "profiles": {{"acme:a": {{"type": "api_key", "provider": "acme", "key": "{CANARY}-2"}}}}}}"#))
        .file(".openclaw/.env", format!("# mine\nOPENAI_API_KEY={CANARY}-1\nOTHER={CANARY}-2\n"))
        .env("ACME_KEY", "sk-test-new-one-000001")
}

#[test]
fn a_plan_changes_all_files_or_none() {
    let home = with_plaintext();
    let plan = plan_for(&home);
    let before = home.tree();
    let dry = home.run(&["secrets", "apply", "--from", &plan, "--dry-run", "--json"]);
    dry.check(CANARY);
    assert_eq!(home.tree(), before);
    // The store cannot be replaced: somebody else's lock that lives.
    let lock = home.path(".openclaw/agents/main/agent/auth-profiles.json.lock");
    fs::create_dir(&lock).unwrap();
    let refused = home.run(&["secrets", "apply", "--from", &plan]);
    refused.check(CANARY);
    assert_eq!(refused.code, 1);
    fs::remove_dir(&lock).unwrap();
    let after: Vec<_> = home.tree().into_iter().map(|(path, (mode, _, content))| (path, mode, content)).collect();
    let same: Vec<_> = before.into_iter().map(|(path, (mode, _, content))| (path, mode, content)).collect();
    assert_eq!(after, same, "something changed although the command failed");

    let applied = home.run(&["secrets", "apply", "--from", &plan, "--json"]);
    applied.check(CANARY);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let shown: Value = serde_json::from_str(&applied.stdout).unwrap();
    assert_eq!(Some(shown), without_mode(&dry.stdout), "the dry run said something else");
    let config = fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap();
    assert!(config.contains("// keep me") && !config.contains(CANARY));
    let dotenv = fs::read_to_string(home.path(".openclaw/.env")).unwrap();
    assert_eq!(dotenv, format!("# mine\nOTHER={CANARY}-2\n"));
    let again = home.run(&["secrets", "apply", "--from", &plan]);
    assert!(again.stdout.contains("no changes"), "{}", again.stdout);
}

/// The report of a dry run as that of the write.
fn without_mode(text: &str) -> Option<Value> {
    let mut report: Value = serde_json::from_str(text).unwrap();
    *report.get_mut("mode")? = Value::from("write");
    Some(report)
}

#[test]
fn several_at_once_end_as_one() {
    let home = with_plaintext();
    let plan = plan_for(&home);
    let children: Vec<_> = (0..6)
        .map(|_| {
            let mut command = home.command(&["secrets", "apply", "--from", &plan]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let printed = Printed::of(&child.wait_with_output().unwrap());
        printed.check(CANARY);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
    }
    let left: Vec<_> = home
        .tree()
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "lock" || end == "tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(home.run(&["secrets", "apply", "--from", &plan]).stdout, "Secrets apply: no changes.\n");
}

#[test]
fn rubbish_is_refused_with_its_place() {
    let home = with_plaintext();
    for (plan, words) in [
        ("", "not valid JSON"),
        ("{\"version\": 1, \"protocolVersion\": 1, \"targets\": [{\"type\": \"nope\"}]}", "targets[0]: unknown type"),
        (
            "{\"version\": 1, \"protocolVersion\": 1, \"targets\": [{\"type\": \"models.providers.apiKey\", \"path\": \"models.providers.a.b.apiKey\", \"ref\": {}}]}",
            "Invalid plan target path for models.providers.apiKey: models.providers.a.b.apiKey",
        ),
    ] {
        fs::write(home.path("bad.json"), plan).unwrap();
        let path = home.path("bad.json").display().to_string();
        let printed = home.run(&["secrets", "apply", "--from", &path]);
        printed.check(CANARY);
        assert_eq!(printed.code, 1);
        assert!(
            printed.stderr.contains("Invalid secrets plan file") && printed.stderr.contains(words),
            "{}",
            printed.stderr
        );
        let piped = home.with_input(&["secrets", "apply", "--from", "-"], plan);
        assert!(piped.stderr.contains("Invalid secrets plan file: -"), "{}", piped.stderr);
    }
    for arguments in [
        &["secrets", "plan", "--to", "vault"][..],
        &["secrets", "plan", "--to", "file:none"],
        &["secrets", "reload", "--timeout", "x"],
    ] {
        assert_eq!(home.run(arguments).code, 1);
    }
}

#[test]
fn keys_move_into_the_file_of_a_provider() {
    let home = with_plaintext();
    let path = home.path("keys.json");
    let text = fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap();
    let provider = format!(
        "// keep me\n  secrets: {{ providers: {{ vault: {{ source: 'file', path: '{}' }} }} }},",
        path.display()
    );
    let home = home.config(&text.replacen("// keep me", &provider, 1)).file("keys.json", "{\"mine\": 1}");
    let made = home.run(&["secrets", "plan", "--to", "file:vault"]);
    made.check(CANARY);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept["mine"], 1);
    assert_eq!(kept["acme"]["config"], format!("{CANARY}-1"));
    let applied = home.with_input(&["secrets", "apply", "--from", "-"], &made.stdout);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    // Nothing is in the clear; that the profile comes before the config's key is worth a remark only.
    let audit = home.run(&["secrets", "audit"]);
    assert!(audit.stdout.contains("plaintext=0, unresolved=0, shadowed=1"), "{}", audit.stdout);
}

#[test]
fn a_key_that_changed_after_the_plan_is_never_lost() {
    let home = with_plaintext();
    let keys = home.path("keys.json").display().to_string();
    let text = fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap();
    let provider = format!("// keep me\n  secrets: {{ providers: {{ f: {{ source: 'file', path: '{keys}' }} }} }},");
    let home = home.config(&text.replacen("// keep me", &provider, 1));
    let plan = home.path("plan.json").display().to_string();
    assert_eq!(home.run(&["secrets", "plan", "--to", "file:f", "--out", &plan]).code, 0);
    for (file, place) in [
        (".openclaw/openclaw.json", "models.providers.acme.apiKey"),
        (".openclaw/agents/main/agent/auth-profiles.json", "acme:a"),
    ] {
        let before = fs::read_to_string(home.path(file)).unwrap();
        let rotated = before.replace(&format!("{CANARY}-"), "sk-test-rotated-key-00000");
        fs::write(home.path(file), &rotated).unwrap();
        let printed = home.run(&["secrets", "apply", "--from", &plan]);
        assert_eq!(printed.code, 1, "{}", printed.stdout);
        assert!(printed.stderr.contains("make a new plan") && printed.stderr.contains(place), "{}", printed.stderr);
        assert_eq!(fs::read_to_string(home.path(file)).unwrap(), rotated);
        fs::write(home.path(file), before).unwrap();
    }
    assert_eq!(home.run(&["secrets", "apply", "--from", &plan]).code, 0);
}

#[test]
fn linked_stores_are_one_store() {
    let home = with_plaintext();
    fs::create_dir_all(home.path(".openclaw/agents/work/agent")).unwrap();
    symlink("../../main/agent/auth-profiles.json", home.path(".openclaw/agents/work/agent/auth-profiles.json"))
        .unwrap();
    symlink("main", home.path(".openclaw/agents/twin")).unwrap();
    let plan = plan_for(&home);
    let printed = home.run(&["secrets", "apply", "--from", &plan]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let store: Value = serde_json::from_slice(&fs::read(home.store()).unwrap()).unwrap();
    assert_eq!(store["profiles"]["acme:a"]["keyRef"]["id"], "ACME_KEY");
}

#[test]
fn lines_that_something_else_needs_stay_in_the_env_file() {
    for needed in [
        "agents: { defaults: { memorySearch: { remote: { apiKey: { source: 'env', provider: 'default', id: 'OPENAI_API_KEY' } } } } },",
        "skills: { entries: { s: { apiKey: '${OPENAI_API_KEY}' } } },",
        "gateway: { note: 'Bearer ${OPENAI_API_KEY}' },",
        "secrets: { providers: { v: { source: 'exec', command: '/bin/true', passEnv: ['OPENAI_API_KEY'] } } },",
    ] {
        let home = with_plaintext();
        let text = fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap();
        let home = home.config(&text.replacen("// keep me", &format!("// keep me\n  {needed}"), 1));
        let plan = plan_for(&home);
        let printed = home.run(&["secrets", "apply", "--from", &plan]);
        assert_eq!(printed.code, 0, "{}", printed.stderr);
        assert!(fs::read_to_string(home.path(".openclaw/.env")).unwrap().contains("OPENAI_API_KEY="), "{needed}");
    }
}

#[test]
fn secrets_with_line_breaks_and_escapes_move_as_they_are() {
    let pem = "-----BEGIN KEY-----\nAAAA\nBBBB\n-----END KEY-----\n";
    let home = Sandbox::new().file("keys.json", "{}");
    let config = format!(
        "{{ models: {{ providers: {{ acme: {{ baseUrl: 'http://127.0.0.1:9', models: [], apiKey: 'sk-$${{FOO}}-111111',
             request: {{ tls: {{ key: {} }} }} }} }} }}, secrets: {{ providers: {{ f: {{ source: 'file', path: '{}' }} }} }} }}",
        Value::from(pem),
        home.path("keys.json").display()
    );
    let home = home.config(&config);
    let made = home.run(&["secrets", "plan", "--to", "file:f"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let kept: Value = serde_json::from_slice(&fs::read(home.path("keys.json")).unwrap()).unwrap();
    assert_eq!(kept["acme"]["key"], pem);
    assert_eq!(kept["acme"]["config"], "sk-${FOO}-111111");
    let applied = home.with_input(&["secrets", "apply", "--from", "-"], &made.stdout);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
}

#[test]
fn another_agents_legacy_keys_stay() {
    let home = with_plaintext().file(
        ".openclaw/agents/work/agent/auth.json",
        r#"{"acme": {"type": "api_key", "key": "sk-test-of-work-only-01"}}"#,
    );
    fs::write(
        home.path("plan.json"),
        r#"{"version": 1, "protocolVersion": 1, "targets": [{"type": "auth-profiles.api_key.key", "path": "profiles.acme:a.key", "agentId": "main",
            "ref": {"source": "env", "provider": "default", "id": "ACME_KEY"}}]}"#,
    )
    .unwrap();
    let plan = home.path("plan.json").display().to_string();
    assert_eq!(home.run(&["secrets", "apply", "--from", &plan]).code, 0);
    let kept = fs::read_to_string(home.path(".openclaw/agents/work/agent/auth.json")).unwrap();
    assert!(kept.contains("sk-test-of-work-only-01"), "{kept}");
}

#[test]
fn messages_of_programs_do_not_repeat_what_they_were_given() {
    let script =
        r#"printf '{"protocolVersion":1,"values":{},"errors":{"acme/key":{"message":"login with %s refused"}}}' "$VT""#;
    let home = with_program(script, "passEnv: ['VT']").env("VT", CANARY);
    let message = fault(&home.run(&["secrets", "audit", "--allow-exec", "--json"])).unwrap();
    assert!(message.contains("login with *** refused"), "{message}");
}

#[test]
fn only_the_ring_of_backups_is_cleared() {
    let home = with_plaintext();
    let keep = [
        ".openclaw/openclaw.json.bak.5",
        ".openclaw/openclaw.json.save",
        ".openclaw/agents/main/agent/auth.json.bak.1",
    ];
    let gone = [
        ".openclaw/openclaw.json.bak",
        ".openclaw/openclaw.json.bak.4",
        ".openclaw/agents/main/agent/auth-profiles.json.bak.2",
    ];
    let home = keep.iter().chain(&gone).fold(home, |home, path| home.file(path, format!("\"{CANARY}-1\"")));
    let plan = plan_for(&home);
    assert_eq!(home.run(&["secrets", "apply", "--from", &plan]).code, 0);
    assert!(keep.iter().all(|path| home.path(path).exists()) && gone.iter().all(|path| !home.path(path).exists()));
}

#[test]
fn a_plan_from_a_pipe_that_nobody_fills_is_refused() {
    let home = with_plaintext();
    let pipe = home.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let printed = home.run(&["secrets", "apply", "--from", &pipe.display().to_string()]);
    assert!(printed.code == 1 && printed.stderr.contains("is not a regular file"), "{}", printed.stderr);
    // Nothing is stored for a plan that cannot be written.
    let printed = home.run(&["secrets", "plan", "--to", "env", "--out", "/nowhere/plan.json"]);
    assert_eq!(printed.code, 1);
    let config = home.path(".openclaw/openclaw.json").display().to_string();
    assert!(home.run(&["secrets", "plan", "--to", "env", "--out", &config]).stderr.contains("is no plan"));
}
