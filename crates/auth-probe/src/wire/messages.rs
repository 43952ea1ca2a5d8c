//! A request that a client of the Anthropic Messages API made, on its way to a provider that speaks it (spec 07 section
//! 12.5).

use crate::wire::anthropic;
use crate::wire::kind::ApiKind;
use crate::wire::request::{Request, Target, Value};

/// What a client sent.
#[derive(Clone, Copy, Debug)]
pub struct ForwardedMessages<'a> {
    /// The members of the body around the value of `model`, as they were written.
    pub before_model: &'a str,
    /// What follows the value of `model`.
    pub after_model: &'a str,
    /// `anthropic-version`.
    pub version: Option<&'a str>,
    /// `anthropic-beta`.
    pub beta: Option<&'a str>,
    /// The query of the address.
    pub query: Option<&'a str>,
}

/// The request with the credential and the model of the target; `None` for an API that is another.
#[must_use]
pub fn forwarded_request(target: &Target<'_>, forwarded: ForwardedMessages<'_>) -> Option<Request> {
    if target.kind != ApiKind::AnthropicMessages {
        return None;
    }
    let mut headers = anthropic::headers(target);
    if let Some(version) = forwarded.version {
        headers.retain(|(name, _)| *name != "anthropic-version");
        headers.push(("anthropic-version", Value::Plain(version.to_owned())));
    }
    if let Some(beta) = forwarded.beta {
        let own = headers.iter().find_map(|(name, value)| match value {
            Value::Plain(text) if *name == "anthropic-beta" => Some(text.clone()),
            _ => None,
        });
        headers.retain(|(name, _)| *name != "anthropic-beta");
        let missing = own.filter(|own| !beta.split(',').any(|feature| feature.trim() == own));
        let all = missing.map_or_else(|| beta.to_owned(), |own| format!("{beta},{own}"));
        headers.push(("anthropic-beta", Value::Plain(all)));
    }
    let query = forwarded.query.map(|query| format!("?{query}")).unwrap_or_default();
    let model = serde_json::Value::from(target.model);
    let body = format!("{}{model}{}", forwarded.before_model, forwarded.after_model);
    Some(target.post_text(format!("{}/messages{query}", target.base_with_v1()), headers, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth_core::Secret;

    fn request(key: &str, forwarded: ForwardedMessages<'_>, kind: ApiKind) -> Option<Request> {
        let key = Secret::new(key);
        let target = Target {
            kind,
            base_url: "http://127.0.0.1:1",
            model: "claude-\"x\"",
            credential: Some(&key),
            provider: "anthropic",
            max_tokens: 0,
            headers: &[],
            auth_header: false,
            max_tokens_field: None,
            account_id: None,
            api_version: None,
            user_agent: "openclaw/1",
            session_id: "turn",
        };
        forwarded_request(&target, forwarded)
    }

    #[test]
    fn the_body_stays_and_the_headers_of_the_client_count() {
        let forwarded = ForwardedMessages {
            before_model: "{\"n\": 1e999, \"model\": ",
            after_model: " }",
            version: Some("2023-01-01"),
            beta: Some("tools-1,tools-2"),
            query: Some("beta=true"),
        };
        let made = request("sk-ant-oat01-test", forwarded, ApiKind::AnthropicMessages).unwrap();
        assert_eq!(made.url, "http://127.0.0.1:1/v1/messages?beta=true");
        assert_eq!(made.body.as_deref(), Some("{\"n\": 1e999, \"model\": \"claude-\\\"x\\\"\" }"));
        let plain = |name: &str| {
            made.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| match value {
                Value::Plain(text) => Some(text.as_str()),
                Value::Secret { .. } => None,
            })
        };
        assert_eq!(plain("anthropic-version"), Some("2023-01-01"));
        assert_eq!(plain("anthropic-beta"), Some("tools-1,tools-2,oauth-2025-04-20"));
        assert!(request("sk-test-1", forwarded, ApiKind::OpenAiCompletions).is_none());
    }
}
