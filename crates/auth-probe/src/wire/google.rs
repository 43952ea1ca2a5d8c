//! `google-generative-ai`.

use serde_json::{Value as Json, json};

use crate::wire::reader::Step;
use crate::wire::request::{Headers, PROMPT, Request, Target, encode};

/// The key goes into a header, never into the address.
pub(crate) fn headers(target: &Target<'_>) -> Headers {
    target.key_header("x-goog-api-key", "")
}

/// The live request.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let model = encode(target.model, b"/@:");
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": PROMPT}]}],
        "generationConfig": {"maxOutputTokens": target.max_tokens},
    });
    target.post(format!("{}/models/{model}:streamGenerateContent?alt=sse", target.base()), headers(target), &body)
}

/// One event of the stream. A refused prompt counts: the key worked.
pub(crate) fn event(data: &Json) -> Step {
    let is_text = |pointer: &str| data.pointer(pointer).is_some_and(Json::is_string);
    if is_text("/candidates/0/finishReason") || is_text("/promptFeedback/blockReason") {
        Step::Done
    } else {
        Step::More
    }
}

/// Whether a JSON body is a complete answer: an object, or the list of objects that comes without `alt=sse`.
pub(crate) fn is_complete(body: &Json) -> bool {
    let is_last = |part: &Json| matches!(event(part), Step::Done);
    body.as_array().map_or_else(|| is_last(body), |parts| parts.iter().any(is_last))
}
