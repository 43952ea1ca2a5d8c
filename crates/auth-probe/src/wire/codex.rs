//! `openai-codex-responses`: the Responses API behind a ChatGPT login.

use serde_json::json;

use crate::wire::openai_responses;
use crate::wire::request::{Headers, Request, Target, plain};

/// A request for a response.
pub(crate) fn post(target: &Target<'_>, body: &serde_json::Value) -> Request {
    let base = target.base();
    let url = if base.ends_with("/codex/responses") {
        base.to_owned()
    } else if base.ends_with("/codex") {
        format!("{base}/responses")
    } else {
        format!("{base}/codex/responses")
    };
    let mut headers = login(target);
    headers.extend([
        plain("originator", "openclaw"),
        plain("openai-beta", "responses=experimental"),
        plain("accept", "text/event-stream"),
        plain("session_id", target.session_id),
    ]);
    target.post(url, headers, body)
}

/// The live request. It has no output limit: the service refuses one.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let body = json!({
        "model": target.model,
        "store": false,
        "stream": true,
        "instructions": "Reply with OK.",
        "input": openai_responses::input(),
        "text": {"verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "tool_choice": "auto",
        "parallel_tool_calls": true,
    });
    post(target, &body)
}

/// The request that tells the usage window (9).
pub(crate) fn usage_request(target: &Target<'_>) -> Request {
    let base = target.base();
    let base = base.strip_suffix("/responses").filter(|rest| rest.ends_with("/codex")).unwrap_or(base);
    let base = base.strip_suffix("/codex").unwrap_or(base);
    target.get(format!("{base}/wham/usage"), login(target))
}

/// The token, and the account if it is known.
fn login(target: &Target<'_>) -> Headers {
    let mut headers = target.bearer();
    headers.extend(target.account_id.map(|id| plain("chatgpt-account-id", id)));
    headers
}
