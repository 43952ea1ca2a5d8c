//! Model references: how they are written, what they mean (spec 02 section 14).

use std::fmt;

use crate::config::{Config, ModelSetting};
use crate::provider::{DEFAULT_MODEL, DEFAULT_PROVIDER, ProviderId};

/// A model of a provider, both in normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelRef {
    /// The provider; as written in the config when the reference was inferred from there.
    pub provider: String,
    /// The provider's own id of the model.
    pub model: String,
}

impl ModelRef {
    /// Reads `provider/model`, or a bare model id with the default provider. `None` when a part is empty.
    pub fn parse(text: &str, default_provider: &str) -> Option<Self> {
        let text = text.trim();
        let (provider, model) = match text.split_once('/') {
            Some((provider, model)) => (provider.trim(), model.trim()),
            None => (default_provider, text),
        };
        if provider.is_empty() || model.is_empty() {
            return None;
        }
        let provider = ProviderId::normalise(provider);
        let model = rewrite_model_id(provider.as_str(), model);
        Some(Self { provider: provider.as_str().to_owned(), model })
    }

    /// The name under which settings are kept: `provider/model`, where a model id that already starts with its
    /// provider stands alone.
    pub fn key(&self) -> String {
        let (provider, model) = (&self.provider, &self.model);
        let doubled = model.get(..provider.len()).is_some_and(|head| head.eq_ignore_ascii_case(provider))
            && model[provider.len()..].starts_with('/');
        if doubled { model.clone() } else { format!("{provider}/{model}") }
    }

    /// The provider in normal form.
    pub fn provider_id(&self) -> ProviderId {
        ProviderId::normalise(&self.provider)
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// The static rewrites of model ids, by normalised provider.
fn rewrite_model_id(provider: &str, model: &str) -> String {
    let short_claude = |model: &str| {
        let id = match model.to_ascii_lowercase().as_str() {
            "opus-4.6" => "claude-opus-4-6",
            "opus-4.5" => "claude-opus-4-5",
            "sonnet-4.6" => "claude-sonnet-4-6",
            "sonnet-4.5" => "claude-sonnet-4-5",
            _ => return None,
        };
        Some(id.to_owned())
    };
    let rewritten = match provider {
        "anthropic" => short_claude(model),
        "huggingface" => model.strip_prefix("huggingface/").map(str::to_owned),
        "google" | "google-vertex" => match model {
            "gemini-3-pro" | "gemini-3-flash" | "gemini-3.1-pro" | "gemini-3.1-flash-lite" => {
                Some(format!("{model}-preview"))
            }
            "gemini-3.1-flash" | "gemini-3.1-flash-preview" => Some("gemini-3-flash-preview".to_owned()),
            _ => None,
        },
        "openrouter" if !model.contains('/') => Some(format!("openrouter/{model}")),
        "xai" => match model {
            "grok-4-fast-reasoning" => Some("grok-4-fast".to_owned()),
            "grok-4-1-fast-reasoning" => Some("grok-4-1-fast".to_owned()),
            "grok-4.20-reasoning" | "grok-4.20-experimental-beta-0304-reasoning" => {
                Some("grok-4.20-beta-latest-reasoning".to_owned())
            }
            "grok-4.20-non-reasoning" | "grok-4.20-experimental-beta-0304-non-reasoning" => {
                Some("grok-4.20-beta-latest-non-reasoning".to_owned())
            }
            _ => None,
        },
        "vercel-ai-gateway" if !model.contains('/') => {
            let claude = short_claude(model).unwrap_or_else(|| model.to_owned());
            claude.starts_with("claude-").then(|| format!("anthropic/{claude}"))
        }
        _ => None,
    };
    rewritten.unwrap_or_else(|| model.to_owned())
}

/// Splits `model@profile` (spec 07 section 10.2). The second part is `None` when the text names no profile.
///
/// `is_profile` tells whether a text is the id of an existing profile: such an id wins over the rules.
pub fn split_profile(text: &str, is_profile: impl Fn(&str) -> bool) -> (&str, Option<&str>) {
    let text = text.trim();
    for (at, _) in text.match_indices('@') {
        let (model, profile) = (&text[..at], &text[at + 1..]);
        if !model.is_empty() && is_profile(profile) {
            return (model, Some(profile));
        }
    }
    let after_slash = text.rfind('/').map_or(0, |at| at + 1);
    let Some(first) = text[after_slash..].find('@').map(|at| at + after_slash) else {
        return (text, None);
    };
    let rest = &text[first + 1..];
    let split = if rest.len() >= 8 && rest.as_bytes()[..8].iter().all(u8::is_ascii_digit) {
        // Eight digits are a version date unless more follows.
        match rest.as_bytes().get(8) {
            None => return (text, None),
            Some(b'@') => first + 9,
            Some(_) => first,
        }
    } else {
        first
    };
    let (model, profile) = (&text[..split], &text[split + 1..]);
    if model.is_empty() || profile.is_empty() { (text, None) } else { (model, Some(profile)) }
}

/// What an alias, a bare model id or a full reference means (*resolve*): profile suffix cut, aliases looked up.
pub fn resolve(text: &str, config: &Config) -> Option<ModelRef> {
    let (text, _) = split_profile(text, |_| false);
    if !text.contains('/')
        && let Some(target) = config.alias_target(text)
    {
        return ModelRef::parse(target, DEFAULT_PROVIDER);
    }
    ModelRef::parse(text, DEFAULT_PROVIDER)
}

/// The model in use, and a warning when its reference had to be guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// What requests go to.
    pub model: ModelRef,
    /// Text for standard error, when the configured reference is bare or wrong.
    pub warning: Option<String>,
}

/// Resolves the configured primary model (*Primary*).
pub fn primary(setting: &ModelSetting, config: &Config) -> Primary {
    let Some(raw) = setting.primary.as_deref() else {
        return Primary { model: fallback_primary(config), warning: None };
    };
    if raw.contains('/') {
        return match resolve(raw, config) {
            Some(model) => Primary { model, warning: None },
            None => Primary {
                model: fallback_primary(config),
                warning: Some(format!(
                    "Model reference \"{}\" is not valid; using the default. Fix: openclaw models set <provider/model>",
                    printable(raw)
                )),
            },
        };
    }
    if let Some(target) = config.alias_target(raw)
        && let Some(model) = ModelRef::parse(target, DEFAULT_PROVIDER)
    {
        return Primary { model, warning: None };
    }
    if let Some(provider) = unique_provider_of(raw, config) {
        return Primary { model: ModelRef { provider, model: raw.to_owned() }, warning: None };
    }
    let shown = printable(raw);
    Primary {
        model: ModelRef { provider: DEFAULT_PROVIDER.to_owned(), model: raw.to_owned() },
        warning: Some(format!(
            "Model \"{shown}\" has no provider; taken as \"{DEFAULT_PROVIDER}/{shown}\". Write \"{DEFAULT_PROVIDER}/{shown}\" instead."
        )),
    }
}

/// The only provider that has this model id among the allowlist and the configured models.
fn unique_provider_of(model: &str, config: &Config) -> Option<String> {
    let allowed = config.models.iter().filter_map(|entry| {
        let found = entry.key.contains('/').then(|| ModelRef::parse(&entry.key, DEFAULT_PROVIDER))??;
        found.model.eq_ignore_ascii_case(model).then_some(found.provider)
    });
    let configured = config.providers.iter().filter_map(|provider| {
        let has = provider.models.iter().any(|m| m.id.eq_ignore_ascii_case(model));
        has.then(|| ProviderId::normalise(&provider.id).as_str().to_owned())
    });
    let mut found: Vec<String> = allowed.chain(configured).collect();
    found.sort();
    found.dedup();
    if found.len() == 1 { found.pop() } else { None }
}

/// Step 5 of *Primary*: the built-in default, unless the configured providers clearly do not offer it.
fn fallback_primary(config: &Config) -> ModelRef {
    let built_in = || ModelRef { provider: DEFAULT_PROVIDER.to_owned(), model: DEFAULT_MODEL.to_owned() };
    let Some(first) = config
        .providers
        .iter()
        .find_map(|provider| Some((provider, provider.models.first().filter(|model| !model.id.is_empty())?)))
    else {
        return built_in();
    };
    let offered = config
        .provider(&ProviderId::normalise(DEFAULT_PROVIDER))
        .is_some_and(|openai| openai.models.iter().any(|model| model.id == DEFAULT_MODEL));
    if offered {
        return built_in();
    }
    ModelRef { provider: first.0.id.clone(), model: first.1.id.clone() }
}

/// The text up to its first control character.
fn printable(text: &str) -> &str {
    text.split(char::is_control).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> String {
        ModelRef::parse(text, DEFAULT_PROVIDER).map_or_else(|| "-".to_owned(), |model| model.key())
    }

    #[test]
    fn references_are_normalised() {
        for (text, expected) in [
            (" gpt-5.4 ", "openai/gpt-5.4"),
            ("Z.ai / glm-5", "zai/glm-5"),
            ("OpenRouter/moonshotai/kimi-k2", "openrouter/moonshotai/kimi-k2"),
            ("openrouter/auto", "openrouter/auto"),
            ("anthropic/Opus-4.6", "anthropic/claude-opus-4-6"),
            ("vercel-ai-gateway/sonnet-4.5", "vercel-ai-gateway/anthropic/claude-sonnet-4-5"),
            ("vercel-ai-gateway/claude-x", "vercel-ai-gateway/anthropic/claude-x"),
            ("google/gemini-3.1-flash", "google/gemini-3-flash-preview"),
            ("xai/grok-4.20-non-reasoning", "xai/grok-4.20-beta-latest-non-reasoning"),
            ("huggingface/huggingface/a/b", "huggingface/a/b"),
            ("foo/", "-"),
            ("/bar", "-"),
            ("", "-"),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
        let doubled = ModelRef::parse("openrouter/auto", DEFAULT_PROVIDER).unwrap();
        assert_eq!(doubled.to_string(), "openrouter/openrouter/auto");
    }

    #[test]
    fn model_ids_are_rewritten_by_provider() {
        // Spec 02 section 14, the table of *parse*, with what each rule leaves alone.
        for (text, model) in [
            ("anthropic/opus-4.5", "claude-opus-4-5"),
            ("anthropic/sonnet-4.6", "claude-sonnet-4-6"),
            ("anthropic/SONNET-4.5", "claude-sonnet-4-5"),
            ("anthropic/opus-4.4", "opus-4.4"),
            ("groq/opus-4.5", "opus-4.5"),
            ("google/gemini-3-pro", "gemini-3-pro-preview"),
            ("google/gemini-3-flash", "gemini-3-flash-preview"),
            ("google-vertex/gemini-3.1-pro", "gemini-3.1-pro-preview"),
            ("google-vertex/gemini-3.1-flash-lite", "gemini-3.1-flash-lite-preview"),
            ("google/gemini-3.1-flash-preview", "gemini-3-flash-preview"),
            ("google/gemini-2.5-pro", "gemini-2.5-pro"),
            ("openrouter/auto", "openrouter/auto"),
            ("openrouter/moonshotai/kimi-k2", "moonshotai/kimi-k2"),
            ("xai/grok-4-fast-reasoning", "grok-4-fast"),
            ("xai/grok-4-1-fast-reasoning", "grok-4-1-fast"),
            ("xai/grok-4.20-reasoning", "grok-4.20-beta-latest-reasoning"),
            ("xai/grok-4.20-experimental-beta-0304-reasoning", "grok-4.20-beta-latest-reasoning"),
            ("xai/grok-4.20-experimental-beta-0304-non-reasoning", "grok-4.20-beta-latest-non-reasoning"),
            ("xai/grok-4", "grok-4"),
            ("huggingface/a/b", "a/b"),
            ("huggingface/huggingface/a/b", "a/b"),
            ("vercel-ai-gateway/opus-4.6", "anthropic/claude-opus-4-6"),
            ("vercel-ai-gateway/gpt-5.4", "gpt-5.4"),
            ("vercel-ai-gateway/claude-x/y", "claude-x/y"),
        ] {
            assert_eq!(
                ModelRef::parse(text, DEFAULT_PROVIDER).map(|found| found.model).as_deref(),
                Some(model),
                "{text}"
            );
        }
    }

    /// The primary of a config, as `provider/model`, and its warning.
    fn primary_of(config: &serde_json::Value) -> (String, Option<String>) {
        let config = Config::from_value(config);
        let found = primary(&config.model, &config);
        (found.model.to_string(), found.warning)
    }

    #[test]
    fn a_bare_primary_belongs_to_its_alias_or_to_the_only_provider_that_has_it() {
        let of = |model: &str, allowed: serde_json::Value, providers: serde_json::Value| {
            let models = serde_json::json!({"agents": {"defaults": {"model": model, "models": allowed}}, "models": {"providers": providers}});
            let (found, warning) = primary_of(&models);
            (found, warning.is_some())
        };
        let (none, acme) =
            (serde_json::json!({}), serde_json::json!({"Acme": {"models": [{"id": "Big"}, {"id": "small"}]}}));
        let fast = serde_json::json!({"groq/llama": {"alias": "fast"}, "big": {}});
        let both = serde_json::json!({"groq/BIG": {}, "acme/big": {}});
        for (model, allowed, providers, expected) in [
            // An alias wins over everything; its target is a full reference.
            ("FAST", &fast, &acme, ("groq/llama", false)),
            // Found without regard to case, in a list of models that is not the first; the id stays as written.
            ("big", &none, &acme, ("acme/big", false)),
            ("SMALL", &none, &acme, ("acme/SMALL", false)),
            // An entry of the allowlist without a provider names none.
            ("big", &fast, &acme, ("acme/big", false)),
            // The same provider twice is one; two are none.
            ("big", &serde_json::json!({"acme/big": {}}), &acme, ("acme/big", false)),
            ("big", &both, &acme, ("openai/big", true)),
            ("other", &both, &acme, ("openai/other", true)),
            // A profile behind a bare id is not cut off.
            ("big@p", &none, &acme, ("openai/big@p", true)),
            // A full reference needs no guess.
            ("groq/big@groq:me", &none, &acme, ("groq/big", false)),
        ] {
            let (found, warns) = of(model, allowed.clone(), providers.clone());
            assert_eq!((found.as_str(), warns), expected, "{model} {allowed}");
        }
    }

    #[test]
    fn a_guessed_or_broken_primary_is_told_without_control_characters() {
        let warning = |model: &str| primary_of(&serde_json::json!({"agents": {"defaults": {"model": model}}}));
        let (model, text) = warning("gpt-9\u{1b}[31m");
        assert_eq!(model, "openai/gpt-9\u{1b}[31m");
        let text = text.unwrap();
        assert!(text.contains("\"gpt-9\"") && text.contains("Write \"openai/gpt-9\""), "{text}");
        let (model, text) = warning("/gpt\n9");
        assert_eq!(model, "openai/gpt-5.4");
        let text = text.unwrap();
        assert!(text.contains("\"/gpt\"") && text.contains("openclaw models set"), "{text}");
    }

    #[test]
    fn without_a_primary_the_built_in_one_is_used_unless_the_providers_lack_it() {
        let of = |providers: serde_json::Value| primary_of(&serde_json::json!({"models": {"providers": providers}}));
        let models = |ids: &[&str]| serde_json::json!({"models": ids.iter().map(|id| serde_json::json!({"id": id})).collect::<Vec<_>>()});
        for (providers, expected) in [
            (serde_json::json!({}), "openai/gpt-5.4"),
            // A provider without models, or whose first model has no id, offers nothing.
            (serde_json::json!({"acme": {}, "odd": models(&["", "x"])}), "openai/gpt-5.4"),
            (serde_json::json!({"Z.AI": models(&["glm-5", "glm-4"]), "acme": models(&["a"])}), "Z.AI/glm-5"),
            (serde_json::json!({"odd": models(&["", "x"]), "acme": models(&["a"])}), "acme/a"),
            (serde_json::json!({"acme": models(&["a"]), "OpenAI": models(&["gpt-4", "gpt-5.4"])}), "openai/gpt-5.4"),
            (serde_json::json!({"acme": models(&["a"]), "openai": models(&["gpt-4"])}), "acme/a"),
        ] {
            assert_eq!(of(providers.clone()), (expected.to_owned(), None), "{providers}");
        }
    }

    #[test]
    fn profile_suffixes_split_as_in_the_examples() {
        let split = |text| split_profile(text, |_| false);
        assert_eq!(split("opus@anthropic:default"), ("opus", Some("anthropic:default")));
        assert_eq!(split("openai/gpt-5.4@openai:me@x.org"), ("openai/gpt-5.4", Some("openai:me@x.org")));
        assert_eq!(split("claude-haiku-4-5@20251001"), ("claude-haiku-4-5@20251001", None));
        assert_eq!(
            split("vertex/claude@20251001@google-vertex:work"),
            ("vertex/claude@20251001", Some("google-vertex:work"))
        );
        assert_eq!(split("gpt@"), ("gpt@", None));
        assert_eq!(split("@p"), ("@p", None));
        assert_eq!(split("opus@a/b"), ("opus@a/b", None));
        assert_eq!(split("gpt@123456789"), ("gpt", Some("123456789")));
        assert_eq!(split_profile("gpt@12345678", |id| id == "12345678"), ("gpt", Some("12345678")));
        assert_eq!(split_profile("opus@a/b", |id| id == "a/b"), ("opus", Some("a/b")));
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_total(text in "\\PC{0,24}") {
            if let Some(model) = ModelRef::parse(&text, DEFAULT_PROVIDER) {
                let again = ModelRef::parse(&model.to_string(), DEFAULT_PROVIDER).unwrap();
                // A rewrite may apply once more only where an id was doubled by hand.
                prop_assert_eq!(again.provider, model.provider);
            }
            let (model, profile) = split_profile(&text, |_| false);
            let rejoined = profile.map_or_else(|| model.to_owned(), |p| format!("{model}@{p}"));
            prop_assert_eq!(rejoined, text.trim());
        }
    }
}
