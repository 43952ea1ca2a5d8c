//! The exact live request of each kind, for an API key.
mod common;

use auth_core::Secret;
use auth_probe::wire::{ApiKind, Target, Value, live_request};
use common::{shown, target};

const KEY: &str = "sk-test-live-00000001";

fn live(change: impl FnOnce(&mut Target<'_>), kind: ApiKind, base: &str, model: &str) -> Vec<String> {
    let key = Secret::new(KEY);
    let mut target = target(kind, base, model, &key);
    change(&mut target);
    shown(&live_request(&target))
}

const JSON: &str = "content-type: application/json";
const AGENT: &str = "user-agent: openclaw/1.2.3";
const BEARER: &str = "authorization: Bearer sk-test-live-00000001";

#[test]
fn anthropic() {
    let body = r#"{"model":"m","max_tokens":8,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Reply with OK. Do not use tools."}]}]}"#;
    let url = "POST https://a.test/v1/messages";
    let key = format!("x-api-key: {KEY}");
    let expected = [url, JSON, AGENT, &key, "anthropic-version: 2023-06-01", body];
    for base in ["https://a.test", "https://a.test/", "https://a.test/v1", "https://a.test/v1//"] {
        assert_eq!(live(|_| (), ApiKind::AnthropicMessages, base, "m"), expected);
    }
    let token = Secret::new("sk-ant-oat01-test");
    let target = target(ApiKind::AnthropicMessages, "https://a.test", "m", &token);
    let bearer = "authorization: Bearer sk-ant-oat01-test";
    let version = "anthropic-version: 2023-06-01";
    let beta = "anthropic-beta: oauth-2025-04-20";
    assert_eq!(shown(&live_request(&target)), [url, JSON, AGENT, bearer, version, beta, body]);
}

#[test]
fn completions_and_copilot() {
    let body = |field: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"Reply with OK. Do not use tools."}}],"stream":true,"{field}":8}}"#
        )
    };
    let url = "POST https://o.test/v1/chat/completions";
    let kind = ApiKind::OpenAiCompletions;
    let expected = [url, JSON, AGENT, BEARER, &body("max_completion_tokens")];
    assert_eq!(live(|_| (), kind, "https://o.test/v1/", "m"), expected);
    let copilot = live(|_| (), ApiKind::GithubCopilot, "https://o.test/v1", "m");
    let expected = [url, JSON, AGENT, BEARER, "editor-version: openclaw/1.2.3", &body("max_completion_tokens")];
    assert_eq!(copilot, expected);

    let field = |base: &str, word: Option<&'static str>| live(|t| t.max_tokens_field = word, kind, base, "m").pop();
    for base in [
        "https://llm.chutes.ai/v1",
        "https://api.mistral.ai/v1",
        "https://API.Moonshot.ai:443/v1",
        "http://u@api.moonshot.cn",
    ] {
        assert_eq!(field(base, None), Some(body("max_tokens")), "{base}");
        assert_eq!(field(base, Some("max_completion_tokens")), Some(body("max_completion_tokens")));
    }
    for base in
        ["https://notchutes.ai/v1", "https://x.test/chutes.ai", "https://x.test/?@api.mistral.ai", "", "http://[::1]:1"]
    {
        assert_eq!(field(base, None), Some(body("max_completion_tokens")), "{base}");
    }
    assert_eq!(field("https://o.test", Some("max_tokens")), Some(body("max_tokens")));
}

#[test]
fn responses_and_azure() {
    let body = r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"Reply with OK. Do not use tools."}]}],"stream":true,"store":false,"max_output_tokens":16}"#;
    let expected = ["POST https://o.test/v1/responses", JSON, AGENT, BEARER, body];
    assert_eq!(live(|_| (), ApiKind::OpenAiResponses, "https://o.test/v1", "m"), expected);
    let more = live(|t| t.max_tokens = 17, ApiKind::OpenAiResponses, "https://o.test/v1", "m");
    assert!(more.last().is_some_and(|body| body.ends_with(r#""max_output_tokens":17}"#)));

    let body = body.replace(r#""store":false,"#, "");
    let key = format!("api-key: {KEY}");
    let azure =
        |version| live(|t| t.api_version = version, ApiKind::AzureOpenAiResponses, "https://r.test/openai/v1/", "m");
    let url = "POST https://r.test/openai/v1/responses?api-version=";
    assert_eq!(azure(None), [&format!("{url}v1"), JSON, AGENT, &key, &body]);
    assert_eq!(azure(Some("2025-04-01-preview")), [&format!("{url}2025-04-01-preview"), JSON, AGENT, &key, &body]);
    assert_eq!(azure(Some("a&b"))[0], format!("{url}a%26b"));
}

#[test]
fn codex() {
    let body = r#"{"model":"m","store":false,"stream":true,"instructions":"Reply with OK.","input":[{"role":"user","content":[{"type":"input_text","text":"Reply with OK. Do not use tools."}]}],"text":{"verbosity":"low"},"include":["reasoning.encrypted_content"],"tool_choice":"auto","parallel_tool_calls":true}"#;
    let expected = [
        "POST https://c.test/backend-api/codex/responses",
        JSON,
        AGENT,
        BEARER,
        "chatgpt-account-id: acc-1",
        "originator: openclaw",
        "openai-beta: responses=experimental",
        "accept: text/event-stream",
        "session_id: probe-1",
        body,
    ];
    for tail in ["", "/", "/codex", "/codex/responses/"] {
        let base = format!("https://c.test/backend-api{tail}");
        let sent = live(|t| t.account_id = Some("acc-1"), ApiKind::OpenAiCodexResponses, &base, "m");
        assert_eq!(sent, expected);
    }
}

#[test]
fn google() {
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"Reply with OK. Do not use tools."}]}],"generationConfig":{"maxOutputTokens":8}}"#;
    let key = format!("x-goog-api-key: {KEY}");
    let url = "POST https://g.test/v1beta/models/m:streamGenerateContent?alt=sse";
    let expected = [url, JSON, AGENT, &key, body];
    assert_eq!(live(|_| (), ApiKind::GoogleGenerativeAi, "https://g.test/v1beta", "m"), expected);
    let odd = live(|_| (), ApiKind::GoogleGenerativeAi, "https://g.test/v1beta", "m?k=\u{e9}#");
    assert_eq!(odd[0], "POST https://g.test/v1beta/models/m%3Fk%3D%C3%A9%23:streamGenerateContent?alt=sse");
}

#[test]
fn ollama() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Reply with OK. Do not use tools."}],"stream":true,"think":false,"options":{"num_predict":8}}"#;
    for base in ["http://localhost:11434", "http://localhost:11434/v1/"] {
        let expected = ["POST http://localhost:11434/api/chat", JSON, AGENT, BEARER, body];
        assert_eq!(live(|_| (), ApiKind::Ollama, base, "m"), expected);
        let expected = ["POST http://localhost:11434/api/chat", JSON, AGENT, body];
        assert_eq!(live(|t| t.credential = None, ApiKind::Ollama, base, "m"), expected);
    }
}

#[test]
fn bedrock() {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Reply with OK. Do not use tools."}]}],"inferenceConfig":{"maxTokens":8}}"#;
    let base = "https://bedrock-runtime.eu-west-1.amazonaws.com";
    let url = format!("POST {base}/model/anthropic.m-v1%3A0/converse-stream");
    let expected = [&url, JSON, AGENT, BEARER, body];
    assert_eq!(live(|_| (), ApiKind::BedrockConverseStream, base, "anthropic.m-v1:0"), expected);
}

#[test]
fn configured_headers_override_and_auth_header_wins() {
    let plain = |name: &str, text: &str| (name.to_owned(), Value::Plain(text.to_owned()));
    let configured = [
        plain("X-Api-Key", "other"),
        plain("User-AGENT", "mine"),
        plain("Authorization", "Basic x"),
        plain("X-Extra", "1"),
        plain("x-extra", "2"),
        plain("Content-Length", "3"),
    ];
    let key = Secret::new(KEY);
    let mut target = target(ApiKind::AnthropicMessages, "https://a.test", "m", &key);
    target.headers = &configured;
    let headers = |target: &Target<'_>| {
        let all = shown(&live_request(target));
        all.into_iter().skip(1).filter(|line| !line.starts_with('{')).collect::<Vec<_>>()
    };
    let version = "anthropic-version: 2023-06-01";
    let with = |auth: &str| {
        [JSON, "user-agent: mine", "x-api-key: other", version, auth, "x-extra: 2"].map(str::to_owned).to_vec()
    };
    assert_eq!(headers(&target), with("authorization: Basic x"));
    target.auth_header = true;
    assert_eq!(headers(&target), with(BEARER));
}

#[test]
fn nothing_shows_the_secret() {
    let key = Secret::new(KEY);
    for kind in ApiKind::ALL {
        let mut target = target(kind, "https://a.test", "m", &key);
        target.auth_header = true;
        let request = live_request(&target);
        let text = format!("{target:?} {request:?} {} {:?}", request.url, request.body);
        assert!(!text.contains("sk-test"), "{kind:?}");
        assert!(request.body.is_some_and(|body| body.len() < 1000));
        assert_eq!(ApiKind::parse(kind.as_str()), Some(kind));
    }
    assert_eq!(ApiKind::parse(" Ollama "), Some(ApiKind::Ollama));
    assert_eq!(ApiKind::parse("openai"), None);
}
