//! The next command to type.

use auth_core::provider::{self, AuthKind};
use auth_core::{CredentialKind, HealthReason, HealthStatus, ProfileHealth, ProviderId, Timestamp, WordyDuration};

/// How to give a provider a credential, best way first.
pub(crate) struct AddCredential {
    /// A sign-in in the browser or with a code, where the provider has one.
    pub(crate) login: Option<String>,
    /// The variables that hold its credential, those for keys before those for tokens.
    pub(crate) variables: Vec<&'static str>,
}

/// What helps a provider without a credential.
pub(crate) fn add_credential(provider: &ProviderId) -> AddCredential {
    let mut variables = provider.auth_key().env_vars().to_vec();
    variables.sort_by_key(|name| !name.contains("KEY"));
    let known = provider::find_by_name(provider.as_str()).filter(|info| !info.auth.is_empty());
    AddCredential { login: known.map(|_| format!("openclaw models auth login --provider {provider}")), variables }
}

/// The command that gives a profile a new secret.
pub(crate) fn renew(health: &ProfileHealth) -> String {
    match health.managed_by.as_deref().and_then(|by| by.strip_suffix("-cli")) {
        Some(source @ ("codex" | "gemini")) => format!("openclaw models auth import {source}"),
        _ => renew_profile(health.kind, health.provider.as_str(), health.id.as_str()),
    }
}

/// The command that gives the profile of that id a new secret.
pub(crate) fn renew_profile(kind: CredentialKind, provider_id: &str, id: &str) -> String {
    let provider = option("--provider", provider_id);
    let id = option("--profile-id", id);
    match kind {
        // Its logins ended with the service (04 section 7.4).
        CredentialKind::OAuth if provider_id == "qwen-portal" => {
            "openclaw onboard --auth-choice qwen-api-key".to_owned()
        }
        CredentialKind::OAuth => {
            // Some logins of earlier versions cannot be begun any more.
            let can_sign_in = provider::find(provider_id).is_some_and(|info| {
                info.auth.iter().any(|method| matches!(method.kind, AuthKind::OAuth | AuthKind::DeviceCode))
            });
            let known = provider::find(provider_id).is_some_and(|info| !info.auth.is_empty());
            if can_sign_in || !known {
                format!("openclaw models auth login {provider}")
            } else {
                format!("openclaw models auth paste-api-key {provider}")
            }
        }
        CredentialKind::Token => {
            let setup = provider::find(provider_id)
                .is_some_and(|info| info.auth.iter().any(|method| method.kind == AuthKind::Token));
            if setup {
                format!("openclaw models auth setup-token {provider}")
            } else {
                format!("openclaw models auth paste-token {provider} {id}")
            }
        }
        CredentialKind::ApiKey => format!("openclaw models auth paste-api-key {provider} {id}"),
    }
}

/// What is the matter with a profile, in words; `None` when nothing is.
pub(crate) fn trouble(health: &ProfileHealth, now: Timestamp) -> Option<String> {
    let away = health.ends_at_ms.map(|ends| WordyDuration(ends - now.as_f64()));
    let words = match (health.status, health.reason, away) {
        (HealthStatus::Expired, _, Some(ago)) => return Some(format!("expired {ago} ago")),
        (HealthStatus::Expiring, _, Some(left)) => return Some(format!("expires in {left}")),
        // With a refresh token that nobody here can use.
        (HealthStatus::Ok, ..)
            if !health.renews_itself && health.ends_at_ms.is_some_and(|ends| ends <= now.as_f64()) =>
        {
            "expired, and does not renew itself"
        }
        (HealthStatus::Expired, ..) => "expired",
        (HealthStatus::Missing, Some(HealthReason::InvalidExpires), _) => "has an expiry that is no date",
        (HealthStatus::Missing, Some(HealthReason::MissingCredential), _) => "holds no token",
        (HealthStatus::Missing, ..) => "has no known expiry",
        (_, Some(HealthReason::MissingCredential), _) => "holds no key",
        _ => return None,
    };
    Some(words.to_owned())
}

/// How long a healthy credential holds, in words; empty for one without an end.
pub(crate) fn time_left(health: &ProfileHealth, now: Timestamp) -> String {
    let Some(ends) = health.ends_at_ms else { return String::new() };
    let left = ends - now.as_f64();
    match (health.renews_itself, left > 0.0) {
        (true, true) => format!("expires in {}, renews itself", WordyDuration(left)),
        (true, false) => "expired, renews itself at the next use".to_owned(),
        (false, true) => format!("expires in {}", WordyDuration(left)),
        (false, false) => "expired and does not renew itself".to_owned(),
    }
}

/// The command that ends the cooldown of a profile.
pub(crate) fn clear_cooldown(id: &str) -> String {
    let dashes = if id.starts_with('-') { "-- " } else { "" };
    format!("openclaw models auth clear-cooldown {dashes}{}", quoted(id))
}

/// An option with its value, as a shell takes it.
fn option(name: &str, value: &str) -> String {
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{separator}{}", quoted(value))
}

/// An argument as a shell takes it; control characters in the form of `$'…'`.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+=,%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    if !argument.contains(|c: char| c.is_control() || !c.is_ascii() && !c.is_alphanumeric()) {
        return format!("'{}'", argument.replace('\'', "'\\''"));
    }
    let escaped: String = argument
        .chars()
        .map(|c| match c {
            '\'' | '\\' => format!("\\{c}"),
            c if c.is_ascii() && !c.is_control() || c.is_alphanumeric() => c.to_string(),
            c => format!("\\U{:08x}", u32::from(c)),
        })
        .collect();
    format!("$'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_safe_to_paste() {
        assert_eq!(quoted("anthropic:me@x.org"), "anthropic:me@x.org");
        assert_eq!(quoted("a b'; rm"), "'a b'\\''; rm'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a\u{1b}'b"), "$'a\\U0000001b\\'b'");
        assert_eq!(option("--provider", "$(id)"), "--provider '$(id)'");
        assert_eq!(
            (option("--provider", "-x"), clear_cooldown("-rf")),
            ("--provider=-x".to_owned(), "openclaw models auth clear-cooldown -- -rf".to_owned())
        );
    }

    #[test]
    fn every_llm_provider_with_a_variable_can_be_helped() {
        for info in provider::PROVIDERS.iter().filter(|info| info.kind == provider::ProviderKind::Llm) {
            let help = add_credential(&ProviderId::normalise(info.id));
            assert!(help.login.is_some() || !help.variables.is_empty() || info.auth.is_empty(), "{}", info.id);
        }
    }
}
