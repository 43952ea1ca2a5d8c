//! The table of free checks, and what error bodies say.
mod common;

use auth_core::Secret;
use auth_probe::wire::{ApiKind, FreeCheck, FreeVerdict, error_text, free_request, free_verdict};
use common::{shown, target};

fn free(provider: &str, kind: ApiKind, base: &str, key: &str) -> Option<(Vec<String>, &'static str)> {
    let key = Secret::new(key);
    let mut target = target(kind, base, "m", &key);
    target.provider = provider;
    target.account_id = Some("acc-1").filter(|_| kind == ApiKind::OpenAiCodexResponses);
    match free_request(&target) {
        FreeCheck::Request { request, check } => Some((shown(&request), check)),
        FreeCheck::None => None,
    }
}

#[test]
fn one_request_per_row() {
    use ApiKind as K;
    const BEARER: &str = "authorization: Bearer k1";
    const VERSION: &str = "anthropic-version: 2023-06-01";
    type Row = (&'static str, ApiKind, &'static str, &'static str, &'static [&'static str], &'static str);
    let rows: &[Row] = &[
        (
            "anthropic",
            K::AnthropicMessages,
            "https://a.test",
            "/v1/models?limit=1",
            &["x-api-key: k1", VERSION],
            "models",
        ),
        (
            "anthropic",
            K::AnthropicMessages,
            "https://a.test/v1",
            "/models?limit=1",
            &["x-api-key: k1", VERSION],
            "models",
        ),
        ("kimi", K::AnthropicMessages, "https://a.test/coding/", "/v1/models", &["x-api-key: k1", VERSION], "models"),
        ("openai", K::OpenAiResponses, "https://o.test/v1", "/models", &[BEARER], "models"),
        ("groq", K::OpenAiCompletions, "https://o.test/openai/v1", "/models", &[BEARER], "models"),
        ("openrouter", K::OpenAiCompletions, "https://o.test/api/v1", "/key", &[BEARER], "key"),
        ("vercel-ai-gateway", K::AnthropicMessages, "https://v.test", "/v1/credits", &[BEARER], "credits"),
        ("deepseek", K::OpenAiCompletions, "https://d.test", "/user/balance", &[BEARER], "balance"),
        (
            "google",
            K::GoogleGenerativeAi,
            "https://g.test/v1beta",
            "/models?pageSize=1",
            &["x-goog-api-key: k1"],
            "models",
        ),
        ("ollama", K::Ollama, "http://l.test", "/api/tags", &[BEARER], "tags"),
        (
            "openai-codex",
            K::OpenAiCodexResponses,
            "https://c.test",
            "/wham/usage",
            &[BEARER, "chatgpt-account-id: acc-1"],
            "usage",
        ),
        (
            "azure",
            K::AzureOpenAiResponses,
            "https://z.test/openai/v1",
            "/models?api-version=v1",
            &["api-key: k1"],
            "models",
        ),
    ];
    for (provider, kind, base, path, headers, check) in rows {
        let mut expected =
            vec![format!("GET {}{path}", base.trim_end_matches('/')), "user-agent: openclaw/1.2.3".to_owned()];
        expected.extend(headers.iter().map(|&header| header.to_owned()));
        assert_eq!(free(provider, *kind, base, "k1"), Some((expected, *check)), "{provider}");
    }
    let tags = free("ollama", K::Ollama, "http://l.test/v1/", "k1").map(|(lines, _)| lines[0].clone());
    assert_eq!(tags.as_deref(), Some("GET http://l.test/api/tags"));
    for tail in ["/codex", "/codex/responses"] {
        let usage = free("openai-codex", K::OpenAiCodexResponses, &format!("https://c.test{tail}"), "k1");
        assert_eq!(usage.map(|(lines, _)| lines[0].clone()).as_deref(), Some("GET https://c.test/wham/usage"));
    }
    for provider in
        ["kilocode", "chutes", "opencode", "opencode-go", "perplexity", "qianfan", "volcengine", "byteplus-plan"]
    {
        assert_eq!(free(provider, K::OpenAiCompletions, "https://o.test", "k1"), None);
    }
    assert_eq!(free("custom", K::BedrockConverseStream, "https://b.test", "k1"), None);
    assert_eq!(free("github-copilot", K::GithubCopilot, "https://h.test", "k1"), None);
}

#[test]
fn subscription_tokens_count_tokens() {
    let expected = [
        "POST https://a.test/v1/messages/count_tokens",
        "content-type: application/json",
        "user-agent: openclaw/1.2.3",
        "authorization: Bearer sk-ant-oat01-x",
        "anthropic-version: 2023-06-01",
        "anthropic-beta: oauth-2025-04-20",
        r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"Reply with OK. Do not use tools."}]}]}"#,
    ];
    let sent = free("anthropic", ApiKind::AnthropicMessages, "https://a.test", "sk-ant-oat01-x");
    assert_eq!(sent, Some((expected.map(str::to_owned).to_vec(), "count_tokens")));
    let token = Secret::new("sk-ant-oat01-x");
    let no_model = target(ApiKind::AnthropicMessages, "https://a.test", "", &token);
    assert!(matches!(free_request(&no_model), FreeCheck::None));
}

#[test]
fn verdicts() {
    let word = |provider: &str, check: &str, body: &str| match free_verdict(provider, check, body.as_bytes()) {
        FreeVerdict::Ok => "ok",
        FreeVerdict::Billing(_) => "billing",
        FreeVerdict::RateLimit(_) => "rate_limit",
        FreeVerdict::Format => "format",
    };
    for (provider, check, body, expected) in [
        ("openai", "models", r#"{"data":[]}"#, "ok"),
        ("openai", "models", "[]", "ok"),
        ("openai", "models", "<html></html>", "format"),
        ("openai", "models", "", "format"),
        ("openai", "models", "null", "format"),
        ("openai", "models", r#"{"error":{"message":"no"}}"#, "format"),
        ("openai", "models", r#"{"error":null,"data":[]}"#, "ok"),
        ("openrouter", "key", r#"{"data":{"limit_remaining":null}}"#, "ok"),
        ("openrouter", "key", r#"{"data":{"limit_remaining":0.5}}"#, "ok"),
        ("openrouter", "key", r#"{"data":{"limit_remaining":0}}"#, "billing"),
        ("openrouter", "key", r#"{"data":{"limit_remaining":-1.5}}"#, "billing"),
        ("vercel-ai-gateway", "credits", r#"{"balance":"95.50","total_used":"4.50"}"#, "ok"),
        ("vercel-ai-gateway", "credits", r#"{"balance":"0.00"}"#, "billing"),
        ("vercel-ai-gateway", "credits", r#"{"balance":-2}"#, "billing"),
        ("deepseek", "balance", r#"{"is_available":true}"#, "ok"),
        ("deepseek", "balance", r#"{"is_available":false}"#, "billing"),
        ("openai-codex", "usage", r#"{"rate_limit":{"allowed":true,"limit_reached":false}}"#, "ok"),
        ("openai-codex", "usage", r#"{"rate_limit":{"limit_reached":true}}"#, "rate_limit"),
        ("openai-codex", "usage", r#"{"limit_reached":true}"#, "rate_limit"),
    ] {
        assert_eq!(word(provider, check, body), expected, "{provider} {body}");
    }
}

#[test]
fn error_bodies_become_messages() {
    use ApiKind as K;
    let anthropic = r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}"#;
    let google = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"},{"x":1}]}}"#;
    let google_text = "400 API key not valid. INVALID_ARGUMENT API_KEY_INVALID";
    let openai = r#"{"error": {"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let openai_text = "401 Incorrect API key provided invalid_request_error invalid_api_key";
    for (kind, status, body, message, code) in [
        (K::OpenAiResponses, 401, openai, openai_text, Some("invalid_api_key")),
        (K::AnthropicMessages, 401, anthropic, &format!("401 {anthropic}"), None),
        (K::GoogleGenerativeAi, 400, google, google_text, None),
        (K::GoogleGenerativeAi, 400, &format!("[{google}]"), google_text, None),
        (K::Ollama, 404, r#"{"error":"model 'x' not found"}"#, r#"404 "model 'x' not found""#, None),
        (K::OpenAiCompletions, 400, r#"{"error": {"code": "c"}}"#, r#"400 {"code":"c"}"#, Some("c")),
        (K::OpenAiCompletions, 403, r#"{"message":"Forbidden"}"#, "403 Forbidden", None),
        (K::OpenAiCompletions, 403, r#"{"error":null, "x":1}"#, r#"403 {"error":null,"x":1}"#, None),
        (K::BedrockConverseStream, 500, " \n", "500 status code (no body)", None),
        (K::AnthropicMessages, 502, "<html>Bad\u{e9}", "502 <html>Bad\u{e9}", None),
    ] {
        let expected = (message.to_owned(), code.map(str::to_owned));
        assert_eq!(error_text(kind, status, body.as_bytes()), expected);
    }
    let long = error_text(K::Ollama, 500, "\u{e9}".repeat(100_000).as_bytes()).0;
    assert_eq!(long.chars().count(), 604);
    assert_eq!(error_text(K::Ollama, 500, &[b'[', 0xff]).0, "500 [\u{fffd}");
}
