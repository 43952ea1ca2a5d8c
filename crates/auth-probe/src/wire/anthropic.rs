//! `anthropic-messages`.

use serde_json::{Value as Json, json};

use crate::wire::reader::Step;
use crate::wire::request::{Headers, PROMPT, Request, Target, plain};

/// Whether the credential is a subscription token, which goes into another header than a key.
pub(crate) fn is_token(target: &Target<'_>) -> bool {
    // The only place of this crate that looks at a secret: only the public prefix is looked at, to choose the header.
    target.credential.is_some_and(|secret| secret.reveal().starts_with("sk-ant-oat"))
}

/// The headers of a key or a token.
pub(crate) fn headers(target: &Target<'_>) -> Headers {
    let version = plain("anthropic-version", "2023-06-01");
    if target.provider == "github-copilot" {
        let mut headers = target.bearer();
        headers.extend([version, plain("editor-version", target.user_agent)]);
        return headers;
    }
    if is_token(target) {
        let mut headers = target.bearer();
        headers.extend([version, plain("anthropic-beta", "oauth-2025-04-20")]);
        headers
    } else {
        let mut headers = target.key_header("x-api-key", "");
        headers.push(version);
        headers
    }
}

/// The one user message.
pub(crate) fn messages() -> Json {
    json!([{"role": "user", "content": [{"type": "text", "text": PROMPT}]}])
}

/// The live request.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let body = json!({
        "model": target.model, "max_tokens": target.max_tokens, "stream": true, "messages": messages(),
    });
    target.post(format!("{}/messages", target.base_with_v1()), headers(target), &body)
}

/// One event of the stream.
pub(crate) fn event(word: &str) -> Step {
    if word == "message_stop" { Step::Done } else { Step::More }
}

/// Whether a JSON body is a complete answer.
pub(crate) fn is_complete(body: &Json) -> bool {
    body.get("type").and_then(Json::as_str) == Some("message")
}
