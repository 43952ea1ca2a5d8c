//! From a row of a plan to the request that is sent (spec 03 sections 5.1 and 5.2).

use std::net::IpAddr;

use auth_core::failure::Reason;
use auth_core::probe::{Endpoint, HeaderText};
use auth_core::{Environment, Secret, host_of};

use crate::run::Job;
use crate::wire::{ApiKind, FreeCheck, Target, Value, codex_account_id, free_request, live_request};

/// What all requests of a run share.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings<'a> {
    /// The output limit of a live request, in tokens.
    pub max_tokens: u32,
    /// A check that costs nothing instead of a request to a model.
    pub free: bool,
    /// Names this program to the other side.
    pub user_agent: &'a str,
    /// A name for the session, where the protocol wants one.
    pub session_id: &'a str,
    /// The variables.
    pub environment: &'a Environment,
}

/// Makes the request of a row.
///
/// # Errors
///
/// Why none can be made: the reason and what to say.
pub fn job(
    provider: &str,
    model: Option<&str>,
    endpoint: &Endpoint,
    credential: Option<&Secret>,
    usual_model: bool,
    settings: JobSettings<'_>,
) -> Result<Job, (Reason, String)> {
    let Some(kind) = ApiKind::parse(&endpoint.api) else {
        let api: String = endpoint.api.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err((Reason::UnsupportedProbe, format!("the API kind \"{api}\" is not known")));
    };
    if kind == ApiKind::GithubCopilot {
        let text = "GitHub Copilot needs a token exchange that is not made here";
        return Err((Reason::UnsupportedProbe, text.to_owned()));
    }
    let account_id = credential.and_then(|secret| codex_account_id(secret.reveal()));
    if kind == ApiKind::OpenAiCodexResponses && account_id.is_none() {
        return Err((Reason::InvalidToken, "the access token names no account".to_owned()));
    }
    let variable = |name: &str| settings.environment.non_blank(name).map(str::trim);
    let model = model.unwrap_or_default();
    let deployment = variable("AZURE_OPENAI_DEPLOYMENT_NAME_MAP").filter(|_| kind == ApiKind::AzureOpenAiResponses);
    let deployment = deployment.and_then(|map| {
        let mut pairs = map.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| name.trim() == model).map(|(_, name)| name.trim())
    });
    let headers: Vec<(String, Value)> = endpoint
        .headers
        .iter()
        .map(|(name, text)| {
            let value = match text {
                HeaderText::Plain(text) => Value::Plain(text.clone()),
                HeaderText::Secret { prefix, secret } => {
                    Value::Secret { prefix: "", secret: Secret::new(format!("{prefix}{}", secret.reveal())) }
                }
            };
            (name.clone(), value)
        })
        .collect();
    let target = Target {
        kind,
        base_url: &endpoint.base_url,
        model: deployment.unwrap_or(model),
        credential,
        provider,
        max_tokens: settings.max_tokens,
        headers: &headers,
        auth_header: endpoint.auth_header,
        max_tokens_field: endpoint.max_tokens_field.as_deref(),
        account_id: account_id.as_deref(),
        api_version: variable("AZURE_OPENAI_API_VERSION"),
        user_agent: settings.user_agent,
        session_id: settings.session_id,
    };
    let (request, check) = if settings.free {
        match free_request(&target) {
            FreeCheck::Request { request, check } => (request, Some(check)),
            FreeCheck::None => {
                let text = format!("{provider} has no free check; use --probe-mode live");
                return Err((Reason::NoFreeCheck, text));
            }
        }
    } else {
        (live_request(&target), None)
    };
    Ok(Job { request, kind, check, provider: provider.to_owned(), usual_model })
}

/// What is to be said about an endpoint: a credential that leaves the machine without TLS.
pub fn warning(endpoint: &Endpoint) -> Option<&'static str> {
    let host = host_of(&endpoint.base_url)?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_near = match address {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        Ok(IpAddr::V6(v6)) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    let is_plain = endpoint.base_url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    (is_plain && !is_near).then_some("credential sent without TLS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_to_elsewhere_is_worth_a_warning() {
        let endpoint = |url: &str| Endpoint {
            api: "openai-completions".to_owned(),
            base_url: url.to_owned(),
            headers: Vec::new(),
            auth_header: false,
            max_tokens_field: None,
        };
        for (url, warns) in [
            ("http://api.example.com/v1", true),
            ("HTTP://8.8.8.8", true),
            ("https://api.example.com", false),
            ("http://127.0.0.1:8000", false),
            ("http://192.168.1.7/v1", false),
            ("http://[::1]:1", false),
            ("http://localhost:11434", false),
        ] {
            assert_eq!(warning(&endpoint(url)).is_some(), warns, "{url}");
        }
    }
}
