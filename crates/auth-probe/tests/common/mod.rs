//! What several tests need.
#![allow(dead_code)]

use auth_core::Secret;
use auth_probe::wire::{ApiKind, Method, Request, Target, Value};

/// A target with a key and nothing special.
pub(crate) fn target<'a>(kind: ApiKind, base_url: &'a str, model: &'a str, key: &'a Secret) -> Target<'a> {
    Target {
        kind,
        base_url,
        model,
        credential: Some(key),
        provider: "custom",
        max_tokens: 8,
        headers: &[],
        auth_header: false,
        max_tokens_field: None,
        account_id: None,
        api_version: None,
        user_agent: "openclaw/1.2.3",
        session_id: "probe-1",
    }
}

/// Request line, headers and body, each as one text.
pub(crate) fn shown(request: &Request) -> Vec<String> {
    let method = if request.method == Method::Get { "GET" } else { "POST" };
    let mut lines = vec![format!("{method} {}", request.url)];
    lines.extend(request.headers.iter().map(|(name, value)| match value {
        Value::Plain(text) => format!("{name}: {text}"),
        Value::Secret { prefix, secret } => format!("{name}: {prefix}{}", secret.reveal()),
    }));
    lines.extend(request.body.clone());
    lines
}
