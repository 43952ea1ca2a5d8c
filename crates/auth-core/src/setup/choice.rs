//! From the value of `--auth-choice` to a way of signing in (spec 04 sections 3.2 and 3.3).

use crate::provider::{AuthKind, AuthMethod, PROVIDERS, ProviderId, ProviderInfo, ProviderKind, find};

/// What a choice asks for.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// No credential.
    Skip,
    /// A server that the user describes.
    Custom,
    /// A local server of a known kind: vLLM, SGLang.
    LocalServer(&'static ProviderInfo),
    /// An Ollama server, which needs no key.
    Ollama(&'static ProviderInfo),
    /// An API key.
    Key(&'static ProviderInfo, &'static AuthMethod),
    /// A setup-token.
    SetupToken(&'static ProviderInfo, &'static AuthMethod),
    /// Anything that needs a person or the network: a sign-in in the browser, a device code.
    Interactive(&'static ProviderInfo, &'static AuthMethod),
}

impl Choice {
    /// The option that carries its key.
    pub fn flag(&self) -> Option<&'static str> {
        match self {
            Self::Key(_, method) => method.flag,
            Self::Custom | Self::LocalServer(_) => Some("--custom-api-key"),
            Self::SetupToken(..) => Some("--token"),
            Self::Skip | Self::Ollama(_) | Self::Interactive(..) => None,
        }
    }

    /// The provider, when it is a known one.
    pub fn provider(&self) -> Option<&'static ProviderInfo> {
        match self {
            Self::Key(info, _)
            | Self::SetupToken(info, _)
            | Self::Interactive(info, _)
            | Self::LocalServer(info)
            | Self::Ollama(info) => Some(info),
            Self::Skip | Self::Custom => None,
        }
    }
}

/// A choice with the name that reports use for it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What it asks for.
    pub choice: Choice,
    /// As typed, except that `oauth` is reported as `setup-token`.
    pub reported: String,
}

/// Why a choice is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// A former name.
    #[error("\"{choice}\" is no longer supported. Use --auth-choice {replacement} instead.")]
    Renamed {
        /// As typed.
        choice: String,
        /// Its present name.
        replacement: &'static str,
    },
    /// `token` for a provider that has none.
    #[error(
        "Auth choice \"{0}\" was not matched to a provider setup flow.\nUse --token-provider anthropic, or the key option of the provider."
    )]
    Unmatched(String),
    /// A name that never was one.
    #[error("Unknown auth choice \"{0}\".\nThe choices: {known}", known = choice_names().collect::<Vec<_>>().join(", "))]
    Unknown(String),
}

/// Finds what `--auth-choice` names. `token_provider` is the value of `--token-provider`.
///
/// # Errors
///
/// When the choice has another name now, or is none.
pub fn resolve_choice(choice: &str, token_provider: Option<&str>) -> Result<Chosen, ChoiceError> {
    let typed = choice.trim();
    let token_provider = token_provider.map(|id| id.trim().to_lowercase()).filter(|id| !id.is_empty());
    let chosen = |choice, reported: &str| Ok(Chosen { choice, reported: reported.to_owned() });
    match (typed, token_provider.as_deref()) {
        ("skip", _) => return chosen(Choice::Skip, typed),
        ("custom-api-key", _) => return chosen(Choice::Custom, typed),
        ("oauth", _) => {
            return by_name("setup-token").map_or_else(|| unknown(typed), |found| chosen(found, "setup-token"));
        }
        ("token" | "setup-token", Some("anthropic")) => {
            return by_name("setup-token").map_or_else(|| unknown(typed), |found| chosen(found, typed));
        }
        ("token", _) | ("setup-token", Some(_)) => return Err(ChoiceError::Unmatched(typed.to_owned())),
        ("apiKey", Some(provider)) => {
            let info = find(ProviderId::normalise(provider).as_str()).filter(|info| info.kind == ProviderKind::Llm);
            let found = info.and_then(|info| {
                let method =
                    info.auth.iter().find(|method| method.kind == AuthKind::ApiKey && method.setup.is_some())?;
                Some(Choice::Key(info, method))
            });
            return found.map_or_else(|| Err(ChoiceError::Unmatched(typed.to_owned())), |found| chosen(found, typed));
        }
        _ => {}
    }
    if let Some(found) = by_name(typed) {
        return chosen(found, typed);
    }
    match methods().find(|(_, method)| method.deprecated_choices.contains(&typed)) {
        Some((_, method)) => Err(ChoiceError::Renamed { choice: typed.to_owned(), replacement: method.choice }),
        None => unknown(typed),
    }
}

fn unknown(typed: &str) -> Result<Chosen, ChoiceError> {
    Err(ChoiceError::Unknown(typed.to_owned()))
}

fn methods() -> impl Iterator<Item = (&'static ProviderInfo, &'static AuthMethod)> {
    let models = PROVIDERS.iter().filter(|info| info.kind == ProviderKind::Llm);
    models.flat_map(|info| info.auth.iter().map(move |method| (info, method)))
}

fn by_name(choice: &str) -> Option<Choice> {
    let (info, method) = methods().find(|(_, method)| method.choice == choice)?;
    Some(match (method.kind, method.setup) {
        (AuthKind::ApiKey, Some(_)) => Choice::Key(info, method),
        (AuthKind::Token, Some(_)) => Choice::SetupToken(info, method),
        (AuthKind::Custom, _) if method.method == "custom" => Choice::LocalServer(info),
        (AuthKind::Custom, _) if info.synthetic_key.is_some() => Choice::Ollama(info),
        _ => Choice::Interactive(info, method),
    })
}

/// Every value of `--auth-choice`.
pub fn choice_names() -> impl Iterator<Item = &'static str> {
    methods().map(|(_, method)| method.choice).chain(["custom-api-key", "skip"])
}

/// Every option that carries an API key, each once: the option, and the name of its provider for people.
pub fn key_flags() -> Vec<(&'static str, &'static str)> {
    let mut flags: Vec<(&str, &str)> = Vec::new();
    for (info, method) in methods().filter(|(_, method)| method.setup.is_some()) {
        if let Some(flag) = method.flag.filter(|flag| !flags.iter().any(|(known, _)| known == flag)) {
            flags.push((flag, info.label));
        }
    }
    flags
}

/// The choice that a key option stands for when `--auth-choice` is left out.
pub fn choice_of_flag(flag: &str) -> Option<&'static str> {
    if flag == "--custom-api-key" {
        return Some("custom-api-key");
    }
    let mut of_flag = methods().filter(|(_, method)| method.flag == Some(flag));
    of_flag.next().map(|(_, method)| method.choice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(choice: &str, token_provider: Option<&str>) -> String {
        match resolve_choice(choice, token_provider) {
            Ok(Chosen { choice, reported }) => {
                let kind = match choice {
                    Choice::Skip => "skip".to_owned(),
                    Choice::Custom => "custom".to_owned(),
                    Choice::LocalServer(info) => format!("server {}", info.id),
                    Choice::Ollama(_) => "ollama".to_owned(),
                    Choice::Key(info, method) => format!("key {}/{}", info.id, method.method),
                    Choice::SetupToken(..) => "setup-token".to_owned(),
                    Choice::Interactive(info, _) => format!("interactive {}", info.id),
                };
                format!("{reported}: {kind}")
            }
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn choices_lead_to_methods() {
        for (choice, provider, expected) in [
            ("openai-api-key", None, "openai-api-key: key openai/api-key"),
            ("apiKey", None, "apiKey: key anthropic/api-key"),
            ("apiKey", Some(" OpenAI "), "apiKey: key openai/api-key"),
            ("apiKey", Some("nobody"), "Auth choice \"apiKey\" was not matched to a provider setup flow."),
            ("oauth", None, "setup-token: setup-token"),
            ("token", Some("anthropic"), "token: setup-token"),
            ("token", None, "Auth choice \"token\" was not matched to a provider setup flow."),
            ("setup-token", Some("openai"), "Auth choice \"setup-token\" was not matched to a provider setup flow."),
            ("setup-token", None, "setup-token: setup-token"),
            ("vllm", None, "vllm: server vllm"),
            ("ollama", None, "ollama: ollama"),
            ("copilot-proxy", None, "copilot-proxy: interactive copilot-proxy"),
            ("github-copilot", None, "github-copilot: interactive github-copilot"),
            ("microsoft-foundry-apikey", None, "microsoft-foundry-apikey: interactive microsoft-foundry"),
            (
                "minimax-api",
                None,
                "\"minimax-api\" is no longer supported. Use --auth-choice minimax-global-api instead.",
            ),
            (
                "modelstudio-api-key-cn",
                None,
                "\"modelstudio-api-key-cn\" is no longer supported. Use --auth-choice qwen-api-key-cn instead.",
            ),
            ("fal-api-key", None, "Unknown auth choice \"fal-api-key\"."),
            ("banana", None, "Unknown auth choice \"banana\"."),
        ] {
            assert_eq!(resolved(choice, provider), expected);
        }
    }

    #[test]
    fn key_options_stand_for_the_first_choice() {
        for (flag, choice) in [
            ("--minimax-api-key", "minimax-global-api"),
            ("--zai-api-key", "zai-api-key"),
            ("--moonshot-api-key", "moonshot-api-key"),
            ("--stepfun-api-key", "stepfun-standard-api-key-cn"),
            ("--modelstudio-api-key-cn", "qwen-api-key-cn"),
            ("--custom-api-key", "custom-api-key"),
        ] {
            assert_eq!(choice_of_flag(flag), Some(choice));
        }
        let flags = key_flags();
        let mut unique = flags.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), flags.len());
        assert!(
            flags
                .iter()
                .all(|(flag, _)| choice_of_flag(flag).is_some_and(|choice| resolve_choice(choice, None).is_ok()))
        );
    }

    #[test]
    fn what_a_key_sets_up_is_consistent() {
        for (info, method) in methods() {
            let Some(setup) = method.setup else { continue };
            assert!(setup.profiles.iter().any(|id| id.starts_with(&format!("{}:", info.id))), "{}", method.choice);
            assert!(setup.model.contains('/') && !setup.env_vars.is_empty(), "{}", method.choice);
        }
    }
}
