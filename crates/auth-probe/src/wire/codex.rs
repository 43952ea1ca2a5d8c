//! `openai-codex-responses`: the Responses API behind a ChatGPT login.

use serde_json::{Value as Json, json};

use crate::wire::openai_responses;
use crate::wire::request::{Headers, Request, Target, plain};

/// The claim that holds the account, and its key.
const CLAIM: (&str, &str) = ("https://api.openai.com/auth", "chatgpt_account_id");

/// The live request. It has no output limit: the service refuses one.
pub(crate) fn request(target: &Target<'_>) -> Request {
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
    target.post(url, headers, &body)
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

/// The ChatGPT account that an access token names (5.2). The signature is not checked: the service does that.
#[must_use]
pub fn codex_account_id(access_token: &str) -> Option<String> {
    let mut parts = access_token.trim().split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let claims: Json = serde_json::from_slice(&decode_base64url(payload)?).ok()?;
    let account = claims.get(CLAIM.0)?.get(CLAIM.1)?.as_str()?.trim();
    (!account.is_empty()).then(|| account.to_owned())
}

/// Decodes base64url with or without padding; none for any other character.
fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut bits = 0_u32;
    let mut count = 0_u32;
    for c in text.trim_end_matches('=').bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    // Six bits left over are half a byte and more: such a text was cut.
    (count < 6).then_some(bytes)
}
