//! How an error body becomes a message (spec 03 section 6.2).

use serde_json::Value as Json;

use crate::wire::kind::ApiKind;

/// How much of an error body is read, in bytes.
const LONGEST: usize = 64 << 10;
/// How much of a body that is not JSON is shown, in characters.
const SHOWN: usize = 600;

/// What an HTTP error says: the message `STATUS TEXT` with the machine codes behind it, and the code.
#[must_use]
pub fn error_text(kind: ApiKind, status: u16, body: &[u8]) -> (String, Option<String>) {
    let body = body.get(..LONGEST).unwrap_or(body).trim_ascii();
    if body.is_empty() {
        return (format!("{status} status code (no body)"), None);
    }
    match serde_json::from_slice::<Json>(body) {
        Ok(body) => describe(kind, Some(status), &body),
        Err(_) => (format!("{status} {}", first_characters(body)), None),
    }
}

/// The message and the code of an error body; the status stands in front if there is one.
pub(crate) fn describe(kind: ApiKind, status: Option<u16>, body: &Json) -> (String, Option<String>) {
    // Google wraps an error into a list when the stream was not asked for as events.
    let body = match body.as_array().map(Vec::as_slice) {
        Some([only]) if only.is_object() => only,
        _ => body,
    };
    let error = given(body.get("error"));
    let said = error.and_then(|error| error.get("message")).and_then(Json::as_str);
    // A text that is compact JSON has its machine codes in it already.
    let (text, has_codes) = match (kind, said, error) {
        (ApiKind::AnthropicMessages, ..) => (body.to_string(), true),
        (_, Some(said), _) => (said.to_owned(), false),
        (_, None, Some(error)) => (error.to_string(), true),
        (_, None, None) => match body.get("message").and_then(Json::as_str) {
            Some(said) => (said.to_owned(), false),
            None => (body.to_string(), true),
        },
    };
    let mut message = status.map_or_else(String::new, |status| format!("{status} "));
    message.push_str(&text);
    if let Some(error) = error.filter(|_| !has_codes) {
        let fields = ["type", "code", "status"].into_iter().filter_map(|name| error.get(name));
        let details = error.get("details").and_then(Json::as_array).into_iter().flatten();
        let reasons = details.filter_map(|detail| detail.get("reason"));
        for word in fields.chain(reasons).filter_map(Json::as_str).filter(|word| !word.is_empty()) {
            message.push(' ');
            message.push_str(word);
        }
    }
    let code = error.and_then(|error| error.get("code")).and_then(Json::as_str).map(str::to_owned);
    (message, code.filter(|code| !code.is_empty()))
}

/// The HTTP status that an error inside a 200 names.
pub(crate) fn status_in(body: &Json) -> Option<u16> {
    let number = |place: &Json, name: &str| {
        let number = place.get(name)?.as_u64()?;
        u16::try_from(number).ok().filter(|status| (100..600).contains(status))
    };
    let any = |place: &Json| ["status", "status_code", "code"].into_iter().find_map(|name| number(place, name));
    let body = body.as_array().and_then(|parts| parts.first()).unwrap_or(body);
    body.get("error").and_then(any).or_else(|| any(body))
}

/// A value that says something: not missing, `null`, `false` or an empty text.
pub(crate) fn given(value: Option<&Json>) -> Option<&Json> {
    value.filter(|value| !matches!(value, Json::Null | Json::Bool(false)) && value.as_str() != Some(""))
}

/// The beginning of a text that may be anything.
pub(crate) fn first_characters(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.trim_ascii()).chars().take(SHOWN).collect()
}
