//! Checks that cost nothing (spec 03 section 9).

use serde_json::{Value as Json, json};

use crate::wire::error_text::given;
use crate::wire::kind::ApiKind;
use crate::wire::request::{Request, Target};
use crate::wire::{anthropic, codex, google, openai_responses};

/// The request of free mode, if there is one.
#[derive(Clone, Debug)]
pub enum FreeCheck {
    /// One request that costs no tokens.
    Request {
        /// What to send.
        request: Request,
        /// The word for the field `check` of the row.
        check: &'static str,
    },
    /// Nothing is sent: reason `no_free_check`.
    None,
}

/// What a reply with status 200 to a free check means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FreeVerdict {
    /// The endpoint answers and accepts the credential.
    Ok,
    /// The credential is accepted but has no credit; the text says why.
    Billing(String),
    /// The credential is accepted but its window is used up; the text says why.
    RateLimit(String),
    /// Not the JSON that was asked for.
    Format,
}

/// A row of the table that depends on the provider, not on the kind.
#[derive(Clone, Copy)]
enum ProviderRow {
    /// `GET B` and this path with a bearer token.
    Get { path: &'static str, check: &'static str },
    /// `GET B/v1` and this path with a bearer token; `/v1` is not doubled.
    GetV1 { path: &'static str, check: &'static str },
    /// A public list proves nothing, or there is none.
    Nothing,
}

/// The rows that depend on the provider.
const PROVIDERS: [(&str, ProviderRow); 15] = [
    ("openrouter", ProviderRow::Get { path: "/key", check: "key" }),
    ("vercel-ai-gateway", ProviderRow::GetV1 { path: "/credits", check: "credits" }),
    ("deepseek", ProviderRow::Get { path: "/user/balance", check: "balance" }),
    // Its check is the token exchange, which the caller does before any request.
    ("github-copilot", ProviderRow::Nothing),
    ("kilocode", ProviderRow::Nothing),
    ("chutes", ProviderRow::Nothing),
    ("opencode", ProviderRow::Nothing),
    ("opencode-go", ProviderRow::Nothing),
    ("perplexity", ProviderRow::Nothing),
    ("amazon-bedrock", ProviderRow::Nothing),
    ("qianfan", ProviderRow::Nothing),
    ("volcengine", ProviderRow::Nothing),
    ("volcengine-plan", ProviderRow::Nothing),
    ("byteplus", ProviderRow::Nothing),
    ("byteplus-plan", ProviderRow::Nothing),
];

/// The one request of free mode: by the provider if the table has a row for it, else by the kind.
#[must_use]
pub fn free_request(target: &Target<'_>) -> FreeCheck {
    match PROVIDERS.iter().find(|(provider, _)| *provider == target.provider) {
        Some((_, ProviderRow::Get { path, check })) => {
            let request = target.get(format!("{}{path}", target.base()), target.bearer());
            FreeCheck::Request { request, check }
        }
        Some((_, ProviderRow::GetV1 { path, check })) => {
            let request = target.get(format!("{}{path}", target.base_with_v1()), target.bearer());
            FreeCheck::Request { request, check }
        }
        Some((_, ProviderRow::Nothing)) => FreeCheck::None,
        None => by_kind(target),
    }
}

fn by_kind(target: &Target<'_>) -> FreeCheck {
    let base = target.base();
    let (request, check) = match target.kind {
        ApiKind::AnthropicMessages if anthropic::is_token(target) => {
            if target.model.is_empty() {
                return FreeCheck::None;
            }
            let body = json!({"model": target.model, "messages": anthropic::messages()});
            let url = format!("{}/messages/count_tokens", target.base_with_v1());
            (target.post(url, anthropic::headers(target), &body), "count_tokens")
        }
        ApiKind::AnthropicMessages => {
            // Hosts that copy the API may not know the parameter.
            let query = if target.provider == "anthropic" { "?limit=1" } else { "" };
            (target.get(format!("{}/models{query}", target.base_with_v1()), anthropic::headers(target)), "models")
        }
        ApiKind::OpenAiCompletions | ApiKind::OpenAiResponses => {
            (target.get(format!("{base}/models"), target.bearer()), "models")
        }
        ApiKind::OpenAiCodexResponses => (codex::usage_request(target), "usage"),
        ApiKind::AzureOpenAiResponses => {
            let url = openai_responses::azure_url(target, "models");
            (target.get(url, target.key_header("api-key", "")), "models")
        }
        ApiKind::GoogleGenerativeAi => {
            (target.get(format!("{base}/models?pageSize=1"), google::headers(target)), "models")
        }
        ApiKind::Ollama => (target.get(format!("{}/api/tags", target.base_without_v1()), target.bearer()), "tags"),
        ApiKind::BedrockConverseStream | ApiKind::GithubCopilot => return FreeCheck::None,
    };
    FreeCheck::Request { request, check }
}

/// Judges the body of a reply with status 200 to a free check.
///
/// An error in the body is [`FreeVerdict::Format`]: whatever it says, the credential was not confirmed.
#[must_use]
pub fn free_verdict(provider: &str, check: &str, body: &[u8]) -> FreeVerdict {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let Ok(body) = serde_json::from_slice::<Json>(body) else { return FreeVerdict::Format };
    if !(body.is_object() || body.is_array()) || given(body.get("error")).is_some() {
        return FreeVerdict::Format;
    }
    let field = |outer: &str, name: &str| body.get(outer).and_then(|inner| inner.get(name)).or_else(|| body.get(name));
    match (provider, check) {
        ("openrouter", "key") => used_up("limit_remaining", field("data", "limit_remaining")),
        ("vercel-ai-gateway", "credits") => used_up("balance", field("data", "balance")),
        ("deepseek", "balance") if field("data", "is_available").and_then(Json::as_bool) == Some(false) => {
            FreeVerdict::Billing("The balance is not available for requests (is_available: false).".to_owned())
        }
        (_, "usage") if field("rate_limit", "limit_reached").and_then(Json::as_bool) == Some(true) => {
            FreeVerdict::RateLimit("The usage limit of the account is reached (limit_reached: true).".to_owned())
        }
        _ => FreeVerdict::Ok,
    }
}

/// Billing if a number, which may be written as a text, is zero or less. No number means no limit.
fn used_up(name: &str, value: Option<&Json>) -> FreeVerdict {
    let number = value.and_then(|value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()));
    match number {
        Some(number) if number <= 0.0 => FreeVerdict::Billing(format!("No credit is left ({name}: {number}).")),
        _ => FreeVerdict::Ok,
    }
}
