//! The home directories in which pages run their commands.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::sandbox::{Sandbox, from_now};

const DAY: i64 = 86_400;

/// The ends of secrets in these homes: no page shows them.
pub(crate) const SECRETS: &[&str] = &["work-0000001", "home-0000002", "token-0000003", "first-0000004", "second-00005"];

const GROQ: &str = "{ agents: { defaults: { model: { primary: 'groq/llama-3.3-70b-versatile' } } } }\n";

/// Makes a home; `None` when there is none of that name.
pub(crate) fn make(name: &str) -> Option<Sandbox> {
    let home = Sandbox::new();
    Some(match name {
        "empty" => home,
        "key file" => home.file("key.txt", "sk-test-work-0000001\n"),
        "no key" => home.config(GROQ),
        "accounts" => home.config(GROQ).profiles(ACCOUNTS),
        "cooldown" => home.config(GROQ).profiles(cooldown()),
        "ends" => home.config(ANTHROPIC).profiles(ends()),
        "logins" => home.config("{ agents: { defaults: { model: 'openai-codex/gpt-5.4' } } }\n").profiles(logins()),
        "references" => home.config(REFERENCES),
        "invalid" => home.config("{\n  agents: { defaults: { model: 'groq/llama-3.3-70b-versatile' } },\n  auth: { order: 'groq:work' },\n}\n"),
        "torn" => home.config(GROQ).profiles("{\"version\": 1, \"profiles\": {\"groq:work\": {\"type\": \"api_k"),
        "misspelt" => home.config(GROQ).profiles(MISSPELT),
        "two places" => home.config(GROQ).file(".openclaw/.env", "GROQ_API_KEY=sk-test-work-0000001\n").env("GROQ_API_KEY", "sk-test-home-0000002"),
        "monitored" => home.config(ANTHROPIC).profiles(monitored()),
        "provider" => provider(home),
        "vault" => vault(home),
        "upstream" => home.config(GROQ).profiles(ACCOUNTS).file("node-openclaw", "#!/bin/sh\necho \"the other program: $*\"\n"),
        "open" => opened(home.config(GROQ).profiles(ACCOUNTS)),
        _ => return None,
    })
}

const ANTHROPIC: &str = "{ agents: { defaults: { model: { primary: 'anthropic/claude-opus-4-6' } } } }\n";

const ACCOUNTS: &str = r#"{
  "version": 1,
  "profiles": {
    "groq:work": { "type": "api_key", "provider": "groq", "key": "sk-test-work-0000001" },
    "groq:home": { "type": "api_key", "provider": "groq", "key": "sk-test-home-0000002" }
  }
}
"#;

const MISSPELT: &str = r#"{
  "version": 1,
  "profiles": {
    "groq:work": { "type": "api_key", "provider": "groq", "api_key": "sk-test-work-0000001" }
  }
}
"#;

const REFERENCES: &str = "{
  agents: { defaults: { model: 'acme/m1' } },
  models: { providers: { acme: { baseUrl: 'https://acme.invalid/v1', models: [], apiKey: '${ACME_KEY}' } } },
}
";

fn cooldown() -> String {
    let until = from_now(240);
    let tail = format!(
        "  }},\n  \"usageStats\": {{ \"groq:work\": {{ \"errorCount\": 1, \"cooldownUntil\": {until}, \"cooldownReason\": \"rate_limit\" }} }}\n}}\n"
    );
    ACCOUNTS.replace("  }\n}\n", &tail)
}

fn token(id: &str, provider: &str, expires: i64) -> String {
    format!(
        r#""{id}": {{ "type": "token", "provider": "{provider}", "token": "sk-test-token-0000003", "expires": {expires} }}"#
    )
}

fn ends() -> String {
    format!(
        r#"{{ "version": 1, "profiles": {{ {} }} }}"#,
        token("anthropic:default", "anthropic", from_now(5 * 3600 + 60))
    )
}

fn logins() -> String {
    let login = r#""openai-codex:dev@example.com": { "type": "oauth", "provider": "openai-codex", "access": "sk-test-work-0000001", "refresh": "sk-test-home-0000002", "expires": EXPIRES }"#;
    let login = login.replace("EXPIRES", &from_now(-DAY).to_string());
    format!(r#"{{ "version": 1, "profiles": {{ {login} }} }}"#)
}

fn monitored() -> String {
    let login = r#""openai-codex:default": { "type": "oauth", "provider": "openai-codex", "access": "sk-test-work-0000001", "refresh": "sk-test-home-0000002", "expires": EXPIRES }"#;
    let login = login.replace("EXPIRES", &from_now(-3600).to_string());
    let key = r#""groq:default": { "type": "api_key", "provider": "groq", "key": "sk-test-work-0000001" }"#;
    let (gone, soon) =
        (token("anthropic:default", "anthropic", from_now(-3 * DAY)), token("mistral:team", "mistral", from_now(7260)));
    format!(r#"{{ "version": 1, "profiles": {{ {gone}, {key}, {soon}, {login} }} }}"#)
}

/// A stand-in for Vault that gives one secret as text.
fn vault(home: Sandbox) -> Sandbox {
    let program = home.path("bin/vault");
    let config = VAULT.replace("PROGRAM", &program.to_string_lossy());
    let home = home.config(&config).file("bin/vault", "#!/bin/sh\necho sk-test-work-0000001\n");
    set_mode(&program, 0o700);
    home
}

const VAULT: &str = r#"{
  agents: { defaults: { model: "groq/llama-3.3-70b-versatile" } },
  models: { providers: { groq: {
    baseUrl: "https://api.groq.com/openai/v1", models: [],
    apiKey: { source: "exec", provider: "groq", id: "key" },
  } } },
  secrets: { providers: { groq: {
    source: "exec", command: "PROGRAM", args: ["kv", "get", "-field=key", "secret/groq"],
    passEnv: ["HOME", "VAULT_ADDR", "VAULT_TOKEN"], jsonOnly: false,
  } } },
}
"#;

fn opened(home: Sandbox) -> Sandbox {
    set_mode(&home.store(), 0o644);
    home
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A provider on this machine that knows the second of two keys.
fn provider(home: Sandbox) -> Sandbox {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answer(stream).unwrap_or_default()));
    home.config(&format!(
        "{{\n  agents: {{ defaults: {{ model: 'acme/m1' }} }},\n  models: {{ providers: {{ acme: {{ baseUrl: 'http://{address}/v1', api: 'openai-completions', models: [{{ id: 'm1', name: 'M1' }}] }} }} }},\n}}\n"
    ))
    .profiles(
        r#"{ "version": 1, "profiles": {
    "acme:first": { "type": "api_key", "provider": "acme", "key": "sk-test-first-0000004" },
    "acme:second": { "type": "api_key", "provider": "acme", "key": "sk-test-second-00005" } } }"#,
    )
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = Vec::new();
    let mut block = [0; 4096];
    // The head tells the key; the rest is read so that the connection ends well.
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        asked.extend_from_slice(&block[..count]);
    }
    let head = String::from_utf8_lossy(&asked).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let body = head.find("\r\n\r\n").map_or(0, |at| asked.len() - at - 4);
    stream.read_exact(&mut vec![0; length.unwrap_or(0_usize).saturating_sub(body)])?;
    let (status, kind, text) = if head.contains("bearer sk-test-second-00005") {
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"Paris.\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        ("200 OK", "text/event-stream", text)
    } else {
        ("401 Unauthorized", "application/json", r#"{"error": {"message": "Incorrect API key provided"}}"#)
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}
