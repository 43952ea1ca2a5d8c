//! `openai-completions`, also for `github-copilot`.

use serde_json::{Map, Value as Json, json};

use crate::wire::kind::ApiKind;
use crate::wire::reader::Step;
use crate::wire::request::{PROMPT, Request, Target, plain};

/// Hosts that know only the older name of the output limit; their subdomains too.
const MAX_TOKENS_HOSTS: [&str; 4] = ["chutes.ai", "api.mistral.ai", "moonshot.ai", "moonshot.cn"];

/// The one user message, also for Ollama.
pub(crate) fn messages() -> Json {
    json!([{"role": "user", "content": PROMPT}])
}

/// The live request.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let mut headers = target.bearer();
    if target.kind == ApiKind::GithubCopilot {
        headers.push(plain("editor-version", target.user_agent));
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("messages".to_owned(), messages());
    body.insert("stream".to_owned(), true.into());
    body.insert(limit_field(target).to_owned(), target.max_tokens.into());
    target.post(format!("{}/chat/completions", target.base()), headers, &Json::Object(body))
}

/// The name of the output limit (5.3): what the model says, else by the host.
fn limit_field(target: &Target<'_>) -> &'static str {
    match target.max_tokens_field {
        Some("max_tokens") => "max_tokens",
        Some("max_completion_tokens") => "max_completion_tokens",
        _ => {
            let host = host(target.base_url);
            let is_at =
                |known: &&str| host.strip_suffix(*known).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
            if MAX_TOKENS_HOSTS.iter().any(is_at) { "max_tokens" } else { "max_completion_tokens" }
        }
    }
}

/// The host of an address in lower case, without user and port; an IPv6 address comes out cut, which no table holds.
fn host(url: &str) -> String {
    let rest = url.trim().split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    place.split(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// One chunk of the stream.
pub(crate) fn event(data: &Json) -> Step {
    let choices = data.get("choices").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let has_ended = |choice: &Json| choice.get("finish_reason").is_some_and(Json::is_string);
    if choices.iter().any(has_ended) { Step::Done } else { Step::More }
}

/// Whether a JSON body is a complete answer, or an event is a chunk of one.
pub(crate) fn is_complete(body: &Json) -> bool {
    body.get("choices").is_some_and(Json::is_array)
}
