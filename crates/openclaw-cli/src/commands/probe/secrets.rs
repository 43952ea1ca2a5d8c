//! Every secret that an answer could quote, so that none is shown.

use auth_core::config::{RequestAuth, SecretInput};
use auth_core::provider::PROVIDERS;
use auth_core::secrets::Redactor;
use auth_core::{Credential, RefState, ResolvedRefs, Secret};
use auth_store::{AgentAuth, State};

/// Variables with which requests are signed, or which are sent with those.
const AWS_SECRETS: [&str; 3] = ["AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
/// Headers that hold words such as `application/json`, which answers are full of.
const OPEN_HEADERS: [&str; 6] =
    ["accept", "content-type", "user-agent", "cache-control", "anthropic-version", "anthropic-beta"];

/// What takes the secrets of the agent, of the config and of the environment out of a text; `sent` are further ones.
pub(super) fn redactor(state: &State, auth: &AgentAuth, refs: &ResolvedRefs, sent: Vec<Secret>) -> Redactor {
    let of_profiles = auth.view.profiles.iter().flat_map(|profile| match &profile.credential {
        Credential::OAuth { access, refresh, .. } => [access.clone(), refresh.clone()],
        other => [other.material().and_then(|material| material.inline().cloned()), None],
    });
    let of_refs = refs.iter().filter_map(|(_, state)| match state {
        RefState::Resolved(secret) => Some(secret.clone()),
        _ => None,
    });
    let of_config = state.config.providers.iter().flat_map(|entry| {
        let auth = match &entry.request_auth {
            Some(RequestAuth::Bearer(value) | RequestAuth::Header { value, .. }) => Some(value),
            None => None,
        };
        let headers = entry.headers.iter().chain(&entry.request_headers);
        let headers = headers.filter(|(name, _)| !OPEN_HEADERS.iter().any(|open| name.eq_ignore_ascii_case(open)));
        let headers = headers.map(|(_, value)| value);
        entry.api_key.iter().chain(headers).chain(auth)
    });
    let of_config = of_config.filter_map(|value| match value {
        SecretInput::Plain(secret) => Some(secret.clone()),
        SecretInput::Reference(_) => None,
    });
    let variables = PROVIDERS.iter().flat_map(|info| info.env_vars).copied().chain(AWS_SECRETS);
    let variables = variables.filter_map(|name| state.environment.credential(name)).map(|(secret, _)| secret);
    Redactor::of(of_profiles.flatten().chain(of_refs).chain(of_config).chain(variables).chain(sent))
}
