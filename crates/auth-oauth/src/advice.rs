//! What is said when a login cannot be kept alive, and which other login may serve (spec 04 sections 7.3 and 7.4).

use auth_core::{AuthProfiles, Config, CredentialKind, Profile, ProfileId};

use crate::entry::LoginEntry;
use crate::error::{OAuthError, OAuthErrorKind};

/// A login that another program keeps alive has ended.
pub(crate) fn managed_text(manager: &str) -> String {
    format!("{} credential is expired; refresh it in the external CLI and retry.", crate::login::shown(manager))
}

/// The whole text of a refresh that failed: what, why, and the command that helps. `successor` is the hint that there
/// is a better profile.
pub(crate) fn failure_text(
    entry: &LoginEntry,
    id: &ProfileId,
    successor: Option<String>,
    error: &OAuthError,
) -> String {
    let provider = &entry.provider;
    if let Some(manager) = entry.managed_by.as_deref().filter(|_| error.kind == OAuthErrorKind::NotOurs) {
        let help = match manager {
            "codex-cli" | "gemini-cli" => format!("models auth import {}", manager.trim_end_matches("-cli")),
            _ => format!("models auth login --provider {provider}"),
        };
        return format!("{}\n\nRun: openclaw {help}", error.message);
    }
    let said = error.message.trim_end_matches('.');
    let first = format!("OAuth token refresh failed for {provider}: {said}. Please try again or re-authenticate.");
    format!("{first}\n\n{}", hint(provider, id, successor))
}

fn hint(provider: &str, id: &ProfileId, successor: Option<String>) -> String {
    match (provider, id.as_str(), successor) {
        ("qwen-portal", ..) => {
            "Qwen logins are deprecated. Run: openclaw onboard --auth-choice qwen-api-key (or qwen-api-key-cn)"
                .to_owned()
        }
        (_, "openai-codex:codex-cli", _) => {
            "Deprecated profile. Run `openclaw models auth login --provider openai-codex` or `openclaw configure`."
                .to_owned()
        }
        ("anthropic", name, Some(successor)) if name.ends_with(":default") => successor,
        _ => format!("Run `openclaw models auth login --provider {provider}`"),
    }
}

/// What is told of a login that has taken the place of one called `default`.
pub(crate) fn successor_hint(
    config: &Config,
    view: &AuthProfiles,
    id: &ProfileId,
    provider: &str,
    suggested: &ProfileId,
) -> String {
    let configured = config.auth_profiles.get(id.as_str());
    let configured = configured.map_or_else(
        || format!("auth.profiles has no {id}"),
        |entry| format!("auth.profiles.{id} ({}, {})", entry.provider, entry.mode.as_str()),
    );
    let stored: Vec<&str> = view
        .iter()
        .filter(|profile| profile.kind() == CredentialKind::OAuth && profile.provider.as_str() == provider)
        .map(|profile| profile.id.as_str())
        .collect();
    format!(
        "- provider: {provider}\n- config: {configured}\n- stored logins: {}\n- suggested profile: {suggested}\nFix: openclaw doctor --yes",
        stored.join(", ")
    )
}

/// The login that has taken the place of one called `default`, of the same provider (7.3 step 3).
pub(crate) fn suggestion(
    config: &Config,
    view: &AuthProfiles,
    id: &ProfileId,
    begun: &LoginEntry,
) -> Option<ProfileId> {
    let configured = config.auth_profiles.get(id.as_str());
    let is_default = id.as_str().ends_with(":default");
    if !is_default || configured.is_some_and(|entry| entry.mode != CredentialKind::OAuth) {
        return None;
    }
    let others: Vec<&Profile> = view
        .iter()
        .filter(|profile| profile.id != *id && profile.kind() == CredentialKind::OAuth)
        .filter(|profile| profile.provider.as_str() == begun.provider)
        .collect();
    let named = |wanted: &str| {
        let email =
            |profile: &&&Profile| profile.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(wanted));
        others.iter().find(email).map(|profile| profile.id.clone())
    };
    let configured_email = configured.and_then(|entry| entry.email.as_deref());
    let last_good = || {
        let known = view.last_good(&auth_core::ProviderId::normalise(&begun.provider))?;
        others.iter().find(|profile| profile.id == *known).map(|profile| profile.id.clone())
    };
    let only = |list: &[&Profile]| match list {
        [one] => Some(one.id.clone()),
        _ => None,
    };
    let like_email: Vec<&Profile> = others
        .iter()
        .filter(|profile| profile.id.as_str().split_once(':').is_some_and(|(_, name)| name.contains('@')))
        .copied()
        .collect();
    configured_email.and_then(named).or_else(last_good).or_else(|| only(&others)).or_else(|| only(&like_email))
}
