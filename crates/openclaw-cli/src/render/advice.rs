//! The next command to type.

use auth_core::provider::{self, AuthKind};
use auth_core::{CredentialKind, HealthReason, HealthStatus, ProfileHealth, ProviderId};

/// How to give a provider a credential, best way first.
pub(crate) struct AddCredential {
    /// A sign-in in the browser or with a code, where the provider has one.
    pub(crate) login: Option<String>,
    /// The variables that hold its key.
    pub(crate) variables: &'static [&'static str],
}

/// What helps a provider without a credential.
pub(crate) fn add_credential(provider: &ProviderId) -> AddCredential {
    let known = provider::find_by_name(provider.as_str()).filter(|info| !info.auth.is_empty());
    AddCredential {
        login: known.map(|_| format!("openclaw models auth login --provider {provider}")),
        variables: provider.auth_key().env_vars(),
    }
}

/// The command that gives a profile a new secret.
pub(crate) fn renew(health: &ProfileHealth) -> String {
    let (provider, id) = (&health.provider, quoted(health.id.as_str()));
    match health.kind {
        CredentialKind::OAuth => format!("openclaw models auth login --provider {provider}"),
        CredentialKind::Token => {
            let setup = provider::find(provider.as_str())
                .is_some_and(|info| info.auth.iter().any(|method| method.kind == AuthKind::Token));
            if setup {
                format!("openclaw models auth setup-token --provider {provider}")
            } else {
                format!("openclaw models auth paste-token --provider {provider} --profile-id {id}")
            }
        }
        CredentialKind::ApiKey => {
            format!("openclaw models auth paste-api-key --provider {provider} --profile-id {id}")
        }
    }
}

/// What is the matter with a profile, in words; `None` when nothing is.
pub(crate) fn trouble(health: &ProfileHealth) -> Option<String> {
    let ago = |ms: f64| auth_core::WordyDuration(ms);
    match (health.status, health.reason, health.remaining_ms) {
        (HealthStatus::Expired, _, Some(left)) => Some(format!("expired {} ago", ago(left))),
        (HealthStatus::Expired, ..) => Some("expired".to_owned()),
        (HealthStatus::Expiring, _, Some(left)) => Some(format!("expires in {}", ago(left))),
        (HealthStatus::Missing, Some(HealthReason::InvalidExpires), _) => {
            Some("has an expiry that is no date".to_owned())
        }
        (HealthStatus::Missing, Some(HealthReason::MissingCredential), _) => Some("holds no token".to_owned()),
        (HealthStatus::Missing, ..) => Some("has no known expiry".to_owned()),
        (_, Some(HealthReason::MissingCredential), _) => Some("holds no key".to_owned()),
        _ => None,
    }
}

/// An argument as a shell takes it.
pub(crate) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+=,%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_safe_to_paste() {
        assert_eq!(quoted("anthropic:me@x.org"), "anthropic:me@x.org");
        assert_eq!(quoted("a b'; rm"), "'a b'\\''; rm'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn every_llm_provider_with_a_variable_can_be_helped() {
        for info in provider::PROVIDERS.iter().filter(|info| info.kind == provider::ProviderKind::Llm) {
            let help = add_credential(&ProviderId::normalise(info.id));
            assert!(help.login.is_some() || !help.variables.is_empty() || info.auth.is_empty(), "{}", info.id);
        }
    }
}
