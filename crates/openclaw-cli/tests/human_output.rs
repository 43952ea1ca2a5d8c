//! Reports as people see them, kept as pictures: at 80 and 120 columns, with and without colour.

mod sandbox;

use sandbox::{Sandbox, from_now};

const DAY: i64 = 86_400;

fn shown(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let printed = sandbox.run(arguments);
    printed.check("0000000000");
    let stderr = if printed.stderr.is_empty() { String::new() } else { format!("\n[stderr]\n{}", printed.stderr) };
    format!("{}{stderr}\n[exit {}]", printed.stdout, printed.code)
}

fn healthy() -> Sandbox {
    let store = format!(
        r#"{{
  "version": 1,
  "profiles": {{
    "anthropic:work": {{ "type": "api_key", "provider": "anthropic", "key": "sk-test-work-00000000000000001" }},
    "openai-codex:me@example.com": {{ "type": "oauth", "provider": "openai-codex", "access": "x-access", "refresh": "x-refresh", "expires": {}, "email": "me@example.com" }}
  }}
}}"#,
        from_now(3 * DAY + 60)
    );
    Sandbox::new()
        .config("{ agents: { defaults: { model: { primary: 'opus', fallbacks: ['groq/llama-3.3-70b-versatile'] }, models: { 'anthropic/claude-opus-4-6': {} } } } }")
        .profiles(store)
        .file(".openclaw/.env", "# keys\nGROQ_API_KEY=sk-test-groq-00000000000000002\n")
}

fn troubled() -> Sandbox {
    let store = format!(
        r#"{{
  "version": 1,
  "profiles": {{
    "anthropic:token": {{ "type": "token", "provider": "anthropic", "token": "sk-test-token-0000000000000001", "expires": {} }},
    "anthropic:work": {{ "type": "api_key", "provider": "anthropic", "key": "sk-test-work-00000000000000001" }},
    "chutes:me": {{ "type": "oauth", "provider": "chutes", "access": "x-access", "expires": {} }},
    "groq:team": {{ "type": "api_key", "provider": "groq", "keyRef": {{ "source": "env", "provider": "default", "id": "TEAM_KEY" }} }},
    "typo": {{ "type": "api_key", "api_key": "sk-test-typo-00000000000000001" }}
  }},
  "usageStats": {{ "anthropic:work": {{ "cooldownUntil": {}, "cooldownReason": "rate_limit", "errorCount": 1 }} }}
}}"#,
        from_now(-3 * DAY),
        from_now(5 * 3600 + 60),
        from_now(240),
    );
    Sandbox::new()
        .config(
            "{ agents: { defaults: { model: { primary: 'anthropic/claude-opus-4-6', fallbacks: ['mistral/mistral-large-latest', 'groq/x'] } } },
              models: { providers: { acme: { baseUrl: 'https://acme.invalid/v1', apiKey: '${ACME_KEY}', models: [{ id: 'a1' }] } } } }",
        )
        .profiles(store)
        .env("ANTHROPIC_API_KEY", "sk-test-other-00000000000000003")
}

#[test]
fn nothing_configured() {
    insta::assert_snapshot!(shown(&Sandbox::new().env("COLUMNS", "80"), &["models", "status"]));
}

#[test]
fn healthy_80() {
    insta::assert_snapshot!(shown(&healthy().env("COLUMNS", "80"), &["models", "status"]));
}

#[test]
fn healthy_120() {
    insta::assert_snapshot!(shown(&healthy().env("COLUMNS", "120"), &["models", "status"]));
}

#[test]
fn troubled_60() {
    insta::assert_snapshot!(shown(&troubled().env("COLUMNS", "60"), &["models", "status", "--check"]));
}

#[test]
fn troubled_120() {
    insta::assert_snapshot!(shown(&troubled().env("COLUMNS", "120"), &["models", "status"]));
}

#[test]
fn troubled_in_colour() {
    let sandbox = troubled().env("COLUMNS", "80").env("CLICOLOR_FORCE", "1");
    let printed = shown(&sandbox, &["models", "status"]).replace('\u{1b}', "␛");
    insta::assert_snapshot!(printed);
    for quiet in [
        sandbox.env("NO_COLOR", "1").run(&["models", "status"]),
        troubled().env("CLICOLOR_FORCE", "1").run(&["models", "status", "--no-color"]),
    ] {
        assert!(!quiet.stdout.contains('\u{1b}'));
    }
}

#[test]
fn auth_list() {
    insta::assert_snapshot!(shown(&troubled().env("COLUMNS", "120"), &["models", "auth", "list"]));
}

#[test]
fn a_cooldown_of_one_model_says_so() {
    let store = format!(
        r#"{{"version": 1, "profiles": {{"groq:a": {{"type": "api_key", "provider": "groq", "key": "sk-test-a"}}}},
            "usageStats": {{"groq:a": {{"cooldownUntil": {}, "cooldownReason": "rate_limit", "cooldownModel": "m1"}}}}}}"#,
        from_now(240)
    );
    let sandbox = Sandbox::new().config("{ agents: { defaults: { model: 'groq/m1' } } }").profiles(store);
    let why = "cooldown (rate_limit, for m1 only), free again in 4 minutes";
    assert!(shown(&sandbox, &["models", "status"]).matches(why).count() == 2);
    for arguments in [&["models", "auth", "why"][..], &["models", "auth", "why", "groq"]] {
        assert!(shown(&sandbox, arguments).contains(why), "{}", shown(&sandbox, arguments));
    }
    assert!(
        shown(&sandbox, &["models", "auth", "list"]).contains("cooldown (rate_limit, for m1 only), 4 minutes left")
    );
    for arguments in [
        &["models", "auth", "list", "--json"][..],
        &["models", "auth", "why", "--json"],
        &["models", "status", "--json"],
    ] {
        assert!(shown(&sandbox, arguments).contains("\"model\": \"m1\""), "{}", shown(&sandbox, arguments));
    }
}

#[test]
fn a_server_of_this_machine_needs_no_key() {
    let entry = |url: &str, key: &str| format!("{{ baseUrl: '{url}', {key} models: [{{ id: 'm' }}] }}");
    let config = format!(
        "{{ agents: {{ defaults: {{ model: 'near/m' }} }},
            models: {{ providers: {{ near: {}, v6: {}, far: {}, keyed: {} }} }} }}",
        entry("http://localhost:1/v1", ""),
        entry("http://[::1]:1/v1", ""),
        entry("https://far.invalid/v1", ""),
        entry("http://127.0.0.1:1/v1", "apiKey: { source: 'env', provider: 'default', id: 'NO_SUCH_KEY' },")
    );
    let sandbox = Sandbox::new().config(&config);
    let said = |message: &str| shown(&sandbox, &["agent", "--agent", "main", "--message", message]);
    assert!(said("/status").contains("Auth: none needed (a server of this machine)"), "{}", said("/status"));
    let status = said("/model status");
    for (provider, label) in [
        ("near", "none needed (a server of this machine)"),
        ("v6", "none needed (a server of this machine)"),
        ("far", "missing"),
        ("keyed", "missing"),
    ] {
        let line = status.lines().find(|line| line.starts_with(&format!("[{provider}]"))).unwrap_or_default();
        assert!(line.ends_with(&format!("auth: {label}")), "{status}");
    }
    assert!(said("/models near").contains("near · none needed"), "{}", said("/models near"));
}

#[test]
fn auth_why() {
    let sandbox = troubled().env("COLUMNS", "120");
    insta::assert_snapshot!("auth_why_waiting", shown(&sandbox, &["models", "auth", "why"]));
    insta::assert_snapshot!("auth_why_unresolved", shown(&sandbox, &["models", "auth", "why", "groq/x"]));
    let chain = healthy().env("ANTHROPIC_API_KEY", "sk-test-other-00000000000000003");
    insta::assert_snapshot!("auth_why_if_429", shown(&chain, &["models", "auth", "why", "--if", "429"]));
    insta::assert_snapshot!(
        "auth_why_if_auth",
        shown(&healthy(), &["models", "auth", "why", "openai-codex", "--if", "auth"])
    );
    insta::assert_snapshot!("auth_why_nothing", shown(&sandbox, &["models", "auth", "why", "mistral"]));
    let twice = healthy().env("GROQ_API_KEY", "sk-test-process-0000000000004").env("COLUMNS", "120");
    insta::assert_snapshot!("auth_why_two_keys", shown(&twice, &["models", "auth", "why", "groq"]));
}

#[test]
fn model_list() {
    insta::assert_snapshot!(shown(&healthy(), &["models", "list"]));
}

#[test]
fn order_get() {
    insta::assert_snapshot!(shown(&healthy(), &["models", "auth", "order", "get", "--provider", "Anthropic"]));
}

/// Checks whose findings do not depend on the machine.
const DOCTOR: &[&str] = &[
    "doctor",
    "--offline",
    "--only",
    "config.",
    "--only",
    "auth.exp",
    "--only",
    "auth.cooldown",
    "--only",
    "auth.store",
    "--only",
    "auth.ref",
    "--only",
    "auth.provider",
    "--only",
    "auth.source",
    "--only",
    "auth.claude_cli",
];

#[test]
fn doctor_healthy() {
    insta::assert_snapshot!(shown(&healthy(), DOCTOR));
}

#[test]
fn doctor_troubled() {
    insta::assert_snapshot!(shown(&troubled(), DOCTOR));
}

#[test]
fn doctor_diff() {
    let store = r#"{"version": 1, "profiles": {"anthropic:claude-cli": {"type": "token", "provider": "claude-cli", "token": "sk-test-token-0000000000000001"}}}"#;
    let config = "{\n  // mine\n  agents: { defaults: { model: 'claude-cli/claude-opus-4-6' } }, bogus: 1,\n  meta: {lastTouchedVersion: '2026.4.5'},\n}\n";
    let printed = shown(&Sandbox::new().config(config).profiles(store), &[DOCTOR, &["--diff"]].concat());
    // Times differ from run to run.
    let lines = printed.lines().filter(|line| !line.contains("At\": ") && !line.contains("lastRunVersion"));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn help() {
    for (name, arguments) in [
        ("help_root", &["--help"][..]),
        ("help_models", &["models", "--help"]),
        ("help_status", &["models", "status", "--help"]),
        ("help_auth", &["models", "auth"]),
        ("help_doctor", &["doctor", "--help"]),
    ] {
        insta::assert_snapshot!(name, shown(&Sandbox::new(), arguments));
    }
}
