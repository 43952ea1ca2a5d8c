//! Setting up providers: every choice of the catalogue in both modes, what is refused, what a reset keeps.

mod sandbox;

use auth_core::provider::{AuthKind, AuthMethod, PROVIDERS, ProviderInfo, ProviderKind};
use sandbox::{Printed, Sandbox};

const CANARY: &str = "sk-test-canary-6e1f09c2d4";

fn key_choices() -> impl Iterator<Item = (&'static ProviderInfo, &'static AuthMethod)> {
    let models = PROVIDERS.iter().filter(|info| info.kind == ProviderKind::Llm);
    let methods = models.flat_map(|info| info.auth.iter().map(move |method| (info, method)));
    methods.filter(|(_, method)| method.kind == AuthKind::ApiKey && method.setup.is_some())
}

fn onboard(sandbox: &Sandbox, more: &[&str]) -> Printed {
    let mut arguments = vec!["onboard", "--non-interactive", "--accept-risk", "--json"];
    if more.iter().any(|option| option.contains("cloudflare")) {
        arguments.extend(["--cloudflare-ai-gateway-account-id", "acc", "--cloudflare-ai-gateway-gateway-id", "gw"]);
    }
    arguments.extend(more);
    sandbox.run(&arguments)
}

/// A home from which no request leaves this machine.
fn offline() -> Sandbox {
    Sandbox::new().env("HTTPS_PROXY", "http://127.0.0.1:9").env("HTTP_PROXY", "http://127.0.0.1:9")
}

fn read(sandbox: &Sandbox, below: &str) -> String {
    std::fs::read_to_string(sandbox.path(below)).unwrap_or_default()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[test]
fn every_key_choice_stores_the_key_and_nothing_else_holds_it() {
    let mut seen = 0;
    for (info, method) in key_choices() {
        let (Some(setup), Some(flag)) = (method.setup, method.flag) else { continue };
        let sandbox = offline();
        let printed = onboard(&sandbox, &["--auth-choice", method.choice, flag, CANARY]);
        assert_eq!(printed.code, 0, "{}: {}", method.choice, printed.stderr);
        assert_eq!(json(&printed.stdout)["authChoice"], method.choice);
        let store = json(&read(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json"));
        let config = read(&sandbox, ".openclaw/openclaw.json");
        for id in setup.profiles {
            assert_eq!(store["profiles"][id]["key"], CANARY, "{}", method.choice);
            assert_eq!(json(&config)["auth"]["profiles"][id]["mode"], "api_key", "{}", method.choice);
        }
        assert_eq!(json(&config)["agents"]["defaults"]["model"]["primary"], setup.model);
        assert_eq!(json(&config)["plugins"]["entries"][info.plugin.unwrap_or_default()]["enabled"], true);
        if let Some((_, api)) = setup.endpoint {
            let provider = setup.model.split('/').next().unwrap_or_default();
            assert_eq!(json(&config)["models"]["providers"][provider]["api"], api, "{}", method.choice);
        }
        for text in [&config, &printed.stdout, &printed.stderr] {
            assert!(!text.contains(CANARY), "{}", method.choice);
        }
        // Once more: nothing but time stamps changes, and the profile is found by `status`.
        onboard(&sandbox, &["--auth-choice", method.choice, flag, CANARY]);
        let (mut first, mut again) = (json(&config), json(&read(&sandbox, ".openclaw/openclaw.json")));
        for document in [&mut first, &mut again] {
            document["wizard"] = serde_json::Value::Null;
            document["meta"] = serde_json::Value::Null;
        }
        assert_eq!(first, again, "{}", method.choice);
        let status = sandbox.run(&["models", "status", "--check"]);
        assert_eq!(status.code, 0, "{}: {}", method.choice, status.stdout);
        seen += 1;
    }
    assert!(seen > 35, "{seen} choices");
}

#[test]
fn references_keep_the_key_out_of_every_file() {
    for (_, method) in key_choices() {
        let (Some(setup), Some(flag)) = (method.setup, method.flag) else { continue };
        let Some(variable) = setup.canonical_variable() else { continue };
        let sandbox = offline().env(variable, CANARY);
        let printed = onboard(&sandbox, &["--auth-choice", method.choice, "--secret-input-mode", "ref"]);
        assert_eq!(printed.code, 0, "{}: {}", method.choice, printed.stderr);
        for (path, (_, _, content)) in sandbox.tree() {
            assert!(!String::from_utf8_lossy(&content).contains(CANARY), "{}: {}", method.choice, path.display());
        }
        let store = json(&read(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json"));
        assert_eq!(store["profiles"][setup.profiles[0]]["keyRef"]["id"], variable, "{}", method.choice);

        // Without the variable the option alone would have to be stored, and without either there is nothing.
        let empty = Sandbox::new();
        let refused = onboard(&empty, &["--auth-choice", method.choice, "--secret-input-mode", "ref", flag, CANARY]);
        let says = format!("{flag} cannot be used with --secret-input-mode ref unless {variable} is set in env.");
        assert!(refused.code == 1 && refused.stderr.contains(&says), "{}: {}", method.choice, refused.stderr);
        let missing = onboard(&empty, &["--auth-choice", method.choice]);
        let says = format!("Missing {flag} (or {variable} in env");
        // Cloudflare asks for its gateway first.
        let other = method.choice.starts_with("cloudflare") && missing.stderr.contains("gateway-id");
        assert!(
            missing.code == 1 && (missing.stderr.contains(&says) || other),
            "{}: {}",
            method.choice,
            missing.stderr
        );
        assert!(empty.tree().is_empty(), "{}: {:?}", method.choice, empty.tree().keys());
    }
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_written() {
    let long = format!("sk-ant-oat01-{}", "t".repeat(80));
    for (options, says) in [
        (&["--auth-choice", "openai-api-key", "--mistral-api-key", CANARY][..], "--mistral-api-key does not belong"),
        (&["--auth-choice", "skip", "--mistral-api-key", CANARY], "--mistral-api-key does not belong"),
        (&["--auth-choice", "openai-api-key", "--token", &long], "--token does not belong"),
        (&["--token", &long, "--openai-api-key", CANARY], "Multiple API key flags"),
        (
            &[
                "--auth-choice",
                "vllm",
                "--custom-model-id",
                "m",
                "--custom-base-url",
                "not a url",
                "--custom-api-key",
                CANARY,
            ],
            "must be a valid URL",
        ),
        (
            &[
                "--auth-choice",
                "custom-api-key",
                "--custom-model-id",
                "m",
                "--custom-base-url",
                "http://h/",
                "--custom-provider-id",
                "constructor",
            ],
            "must include letters",
        ),
        (&["--auth-choice", "openai-codex"], "models auth login --provider openai-codex"),
        (
            &["--auth-choice", "ollama", "--custom-base-url", "http://127.0.0.1:9/"],
            "Ollama could not be reached at http://127.0.0.1:9.",
        ),
        (&["--auth-choice", "vllm"], "Missing --custom-model-id for --auth-choice vllm."),
        (&["--auth-choice", "vllm", "--custom-model-id", "m"], "Missing --custom-api-key (or VLLM_API_KEY in env"),
        (&["--auth-choice", "setup-token", "--token", &long, "--token-expires-in", "soon"], "invalid duration: soon"),
        (&["--openai-api-key", "sk-\u{200b}test"], "cannot be part of a key"),
        (&["--openai-api-key", CANARY, "--mode", "elsewhere"], "Invalid --mode"),
        (&["--openai-api-key", CANARY, "--reset", "--reset-scope", "all"], "Invalid --reset-scope"),
        (&["--openai-api-key", CANARY, "--bogus"], "--bogus"),
        (&["--auth-choice", "fal-api-key"], "Unknown auth choice \"fal-api-key\"."),
        (
            &[
                "--auth-choice",
                "cloudflare-ai-gateway-api-key",
                "--cloudflare-ai-gateway-api-key",
                CANARY,
                "--cloudflare-ai-gateway-account-id",
                "a/b",
            ],
            "cannot be used multiple times",
        ),
    ] {
        let sandbox = Sandbox::new();
        let printed = onboard(&sandbox, options);
        assert!(printed.code == 1 && printed.stderr.contains(says), "{options:?}: {}", printed.stderr);
        assert!(!printed.stderr.contains(CANARY) && sandbox.tree().is_empty(), "{options:?}");
    }
    let denied = Sandbox::new().config("{ plugins: { deny: ['mistral'] } }");
    let before = denied.tree();
    let printed = onboard(&denied, &["--mistral-api-key", CANARY]);
    assert!(printed.code == 1 && printed.stderr.contains("Mistral plugin is disabled (blocked by denylist)."));
    assert_eq!(denied.tree(), before);
}

#[test]
fn setup_tokens_and_local_servers_are_stored_as_specified() {
    let token = format!("sk-ant-oat01-{}", "t".repeat(80));
    let sandbox = Sandbox::new().config("{ agents: { defaults: { model: { primary: 'a/b', fallbacks: ['c/d'] } } } }");
    let printed = onboard(
        &sandbox,
        &["--auth-choice", "oauth", "--token", &token, "--token-profile-id", "My Work", "--token-expires-in", "1d"],
    );
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert_eq!(json(&printed.stdout)["authChoice"], "setup-token");
    let store = json(&read(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json"));
    assert_eq!(store["profiles"]["anthropic:my-work"]["type"], "token");
    let config = read(&sandbox, ".openclaw/openclaw.json");
    assert!(config.contains("anthropic/claude-sonnet-4-6") && config.contains("c/d") && !config.contains("models"));

    let sandbox = Sandbox::new();
    let options =
        ["--auth-choice", "vllm", "--custom-model-id", "llama", "--custom-base-url", "http://127.0.0.1:9/v1/"];
    let printed = onboard(&sandbox, &[&options[..], &["--custom-api-key", CANARY]].concat());
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let config = json(&read(&sandbox, ".openclaw/openclaw.json"));
    let block = &config["models"]["providers"]["vllm"];
    assert_eq!((&block["baseUrl"], &block["apiKey"]), (&"http://127.0.0.1:9/v1".into(), &"VLLM_API_KEY".into()));
    assert_eq!(config["agents"]["defaults"]["model"]["primary"], "vllm/llama");
}

#[test]
fn an_ollama_server_that_answers_is_set_up_without_a_key() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut seen = [0; 1024];
        let count = stream.read(&mut seen).expect("its head");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").expect("an answer");
        String::from_utf8_lossy(&seen[..count]).into_owned()
    });
    let sandbox = Sandbox::new();
    let options = ["--auth-choice", "ollama", "--custom-base-url", &url, "--custom-model-id", "llama3"];
    let printed = onboard(&sandbox, &options);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(server.join().expect("it ends").starts_with("GET /api/tags "));
    let store = json(&read(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json"));
    assert_eq!(store["profiles"]["ollama:default"]["key"], "ollama-local");
    let config = json(&read(&sandbox, ".openclaw/openclaw.json"));
    assert_eq!(config["agents"]["defaults"]["model"]["primary"], "ollama/llama3");
    assert_eq!(config["models"]["providers"]["ollama"]["baseUrl"], url.as_str());
}

#[test]
fn a_reset_keeps_the_old_state_under_another_name() {
    let sandbox = Sandbox::new()
        .config("// mine\n{ agents: { defaults: { model: 'a/b' } }, auth: { order: { x: ['x:y'] } } }")
        .file(".openclaw/credentials/oauth.json", "{}");
    let refused = onboard(&sandbox, &["--reset", "--auth-choice", "openai-api-key"]);
    assert!(refused.code == 1 && read(&sandbox, ".openclaw/openclaw.json").starts_with("// mine"));
    let printed = onboard(&sandbox, &["--reset", "--openai-api-key", CANARY]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    let names: Vec<String> = sandbox.tree().keys().map(|path| path.display().to_string()).collect();
    let kept = |what: &str| names.iter().any(|name| name.contains(what));
    assert!(kept("openclaw.json.reset-") && kept("credentials.reset-"), "{names:?}");
    let config = read(&sandbox, ".openclaw/openclaw.json");
    assert!(!config.contains("x:y") && config.contains("openai:default"));
}

#[test]
fn a_dry_run_writes_nothing_and_standard_input_carries_secrets() {
    use std::io::Write;
    let sandbox = Sandbox::new();
    let printed = onboard(&sandbox, &["--openai-api-key", CANARY, "--dry-run"]);
    assert!(printed.code == 0 && json(&printed.stdout)["dryRun"] == true && sandbox.tree().is_empty());

    let mut command = sandbox.command(&["onboard", "--non-interactive", "--accept-risk", "--openai-api-key", "-"]);
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().expect("the program starts");
    writeln!(child.stdin.take().expect("a pipe"), "{CANARY}").expect("it reads");
    let printed = Printed::of(&child.wait_with_output().expect("it ends"));
    assert!(printed.code == 0 && !printed.stderr.contains("list of processes"), "{}", printed.stderr);
    assert!(
        !printed.stdout.contains(CANARY)
            && read(&sandbox, ".openclaw/agents/main/agent/auth-profiles.json").contains(CANARY)
    );
}

#[test]
fn a_reset_that_fails_leaves_everything_where_it_was() {
    let sandbox = Sandbox::new()
        .config("// mine\n{ agents: { defaults: { model: 'a/b' } } }")
        .file(".openclaw/credentials/oauth.json", "{}")
        .profiles("{broken");
    let names = |sandbox: &Sandbox| sandbox.tree().into_keys().collect::<Vec<_>>();
    let before = names(&sandbox);
    let printed = onboard(&sandbox, &["--reset", "--openai-api-key", CANARY]);
    assert!(printed.code == 1 && printed.stderr.contains("auth-profiles.json is not valid"), "{}", printed.stderr);
    assert_eq!(names(&sandbox), before);
    assert!(read(&sandbox, ".openclaw/openclaw.json").starts_with("// mine"));
}

#[test]
fn a_reset_forgets_the_agents_and_variables_of_the_old_config() {
    let config =
        "{ agents: { list: [{ id: 'work', default: true }] }, env: { vars: { OPENAI_API_KEY: 'sk-test-old' } } }";
    let sandbox = Sandbox::new().config(config);
    let refused = onboard(&sandbox, &["--reset", "--auth-choice", "openai-api-key", "--secret-input-mode", "ref"]);
    assert!(refused.code == 1 && read(&sandbox, ".openclaw/openclaw.json") == config, "{}", refused.stderr);
    let printed = onboard(&sandbox, &["--reset", "--openai-api-key", CANARY]);
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert!(sandbox.run(&["models", "auth", "list"]).stdout.contains("openai:default"));
}

#[test]
fn a_key_never_goes_to_another_server_of_the_same_name() {
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        let run = |url: &str, more: &[&str]| {
            let options = ["onboard", "--non-interactive", "--accept-risk", "--auth-choice", "custom-api-key"];
            let custom = ["--custom-provider-id", "lab", "--custom-model-id", "m", "--custom-base-url", url];
            let mut command = sandbox.command(&[&options[..], &custom[..], more].concat());
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("the program starts")
        };
        let (with_key, without) = (run("http://one/v1", &["--custom-api-key", CANARY]), run("http://two/v1", &[]));
        for child in [with_key, without] {
            child.wait_with_output().expect("it ends");
        }
        let config = json(&read(&sandbox, ".openclaw/openclaw.json"));
        for block in config["models"]["providers"].as_object().into_iter().flat_map(serde_json::Map::values) {
            assert!(block["apiKey"].is_null() || block["baseUrl"] == "http://one/v1", "{block}");
        }
    }
}
