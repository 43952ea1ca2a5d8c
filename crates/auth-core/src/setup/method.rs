//! Which provider is signed in to, and how (spec 04 section 1.1).

use crate::provider::{AuthKind, AuthMethod, PROVIDERS, ProviderInfo, ProviderKind, find_by_name};

/// Why there is no way to sign in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MethodError {
    /// No provider has this name.
    #[error("Unknown provider \"{name}\".\nThe providers: {known}")]
    UnknownProvider {
        /// As typed.
        name: String,
        /// The ids that there are.
        known: String,
    },
    /// The provider has no method of this name.
    #[error("{label} has no method \"{name}\".\nThe methods: {known}")]
    UnknownMethod {
        /// The provider.
        label: &'static str,
        /// As typed.
        name: String,
        /// The ids that there are.
        known: String,
    },
}

/// The providers that can be signed in to; with `tokens` only those that take a token.
pub fn login_providers(tokens: bool) -> impl Iterator<Item = &'static ProviderInfo> {
    PROVIDERS.iter().filter(move |info| info.kind == ProviderKind::Llm && login_methods(info, tokens).next().is_some())
}

/// The ways to sign in to a provider; with `tokens` only those that take a token.
pub fn login_methods(info: &'static ProviderInfo, tokens: bool) -> impl Iterator<Item = &'static AuthMethod> {
    info.auth.iter().filter(move |method| !tokens || method.kind == AuthKind::Token)
}

/// The provider of a name: an id, or one of its other names.
///
/// # Errors
///
/// When there is none, or it has no method that is wanted.
pub fn login_provider(name: &str, tokens: bool) -> Result<&'static ProviderInfo, MethodError> {
    let wanted = |info: &&ProviderInfo| login_providers(tokens).any(|known| known.id == info.id);
    find_by_name(name).filter(wanted).ok_or_else(|| MethodError::UnknownProvider {
        name: name.trim().to_owned(),
        known: login_providers(tokens).map(|info| info.id).collect::<Vec<_>>().join(", "),
    })
}

/// The method of a name: its id, else its label, whatever the case.
///
/// # Errors
///
/// When there is none.
pub fn login_method(info: &'static ProviderInfo, name: &str, tokens: bool) -> Result<&'static AuthMethod, MethodError> {
    let name = name.trim();
    let by = |of: &dyn Fn(&AuthMethod) -> &'static str| {
        login_methods(info, tokens).find(|method| of(method).eq_ignore_ascii_case(name))
    };
    by(&|method| method.method).or_else(|| by(&|method| method.label)).ok_or_else(|| MethodError::UnknownMethod {
        label: info.label,
        name: name.to_owned(),
        known: login_methods(info, tokens).map(|method| method.method).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_and_methods_have_several_names() {
        assert_eq!(login_provider(" X-AI ", false).unwrap().id, "xai");
        let anthropic = login_provider("anthropic", false).unwrap();
        assert_eq!(login_method(anthropic, "API-KEY", false).unwrap().method, "api-key");
        assert_eq!(login_method(anthropic, "anthropic api key", false).unwrap().method, "api-key");
    }

    #[test]
    fn unknown_names_list_what_there_is() {
        let error = login_provider("nosuch", false).unwrap_err().to_string();
        assert!(error.starts_with("Unknown provider \"nosuch\".") && error.contains("openai-codex"));
        let anthropic = login_provider("anthropic", false).unwrap();
        let error = login_method(anthropic, "cli", false).unwrap_err().to_string();
        assert!(error.contains("\"cli\"") && error.contains("setup-token") && error.contains("api-key"));
    }

    #[test]
    fn only_anthropic_takes_a_token() {
        assert_eq!(login_providers(true).map(|info| info.id).collect::<Vec<_>>(), ["anthropic"]);
        assert!(login_provider("mistral", true).is_err());
        let anthropic = login_provider("anthropic", true).unwrap();
        assert!(login_method(anthropic, "api-key", true).is_err());
    }
}
