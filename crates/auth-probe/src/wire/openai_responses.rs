//! `openai-responses` and `azure-openai-responses`, and the stream that Codex shares with them.

use serde_json::{Map, Value as Json, json};

use crate::wire::kind::ApiKind;
use crate::wire::reader::Step;
use crate::wire::request::{PROMPT, Request, Target, encode};

/// The API refuses lower output limits.
const LEAST_TOKENS: u32 = 16;

/// The one user message.
pub(crate) fn input() -> Json {
    json!([{"role": "user", "content": [{"type": "input_text", "text": PROMPT}]}])
}

/// The live request.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let is_azure = target.kind == ApiKind::AzureOpenAiResponses;
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("input".to_owned(), input());
    body.insert("stream".to_owned(), true.into());
    if !is_azure {
        body.insert("store".to_owned(), false.into());
    }
    body.insert("max_output_tokens".to_owned(), target.max_tokens.max(LEAST_TOKENS).into());
    let body = Json::Object(body);
    if is_azure {
        target.post(azure_url(target, "responses"), target.key_header("api-key", ""), &body)
    } else {
        target.post(format!("{}/responses", target.base()), target.bearer(), &body)
    }
}

/// An address of an Azure resource, with the version of its API.
pub(crate) fn azure_url(target: &Target<'_>, path: &str) -> String {
    let version = target.api_version.map(str::trim).filter(|version| !version.is_empty()).unwrap_or("v1");
    format!("{}/{path}?api-version={}", target.base(), encode(version, b""))
}

/// One event of the stream.
pub(crate) fn event(word: &str, data: &Json) -> Step {
    match word {
        "response.completed" | "response.incomplete" | "response.done" => Step::Done,
        "response.failed" => Step::Error(failure(data.get("response").unwrap_or(data))),
        _ => Step::More,
    }
}

/// What a JSON body says.
pub(crate) fn whole(body: &Json) -> Step {
    if body.get("object").and_then(Json::as_str) != Some("response") {
        return Step::More;
    }
    match body.get("status").and_then(Json::as_str) {
        Some("completed" | "incomplete") => Step::Done,
        Some("failed") => Step::Error(failure(body)),
        _ => Step::More,
    }
}

/// The error of a failed response in the form of an error body.
fn failure(response: &Json) -> Json {
    match response.get("error") {
        Some(error) if !error.is_null() => json!({ "error": error }),
        _ => json!({"error": {"message": "The response failed without a reason."}}),
    }
}
