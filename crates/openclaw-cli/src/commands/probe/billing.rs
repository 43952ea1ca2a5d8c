//! Where an account gets credit (spec 03 section 10).

use auth_core::host_of;

/// Provider, its host, and the page on which credit is added.
const PAGES: &[(&str, &str, &str)] = &[
    ("anthropic", "api.anthropic.com", "https://console.anthropic.com/settings/billing"),
    ("openai", "api.openai.com", "https://platform.openai.com/settings/organization/billing"),
    ("openrouter", "openrouter.ai", "https://openrouter.ai/settings/credits"),
    ("google", "generativelanguage.googleapis.com", "https://console.cloud.google.com/billing"),
    ("deepseek", "api.deepseek.com", "https://platform.deepseek.com/top_up"),
    ("groq", "api.groq.com", "https://console.groq.com/settings/billing"),
    ("mistral", "api.mistral.ai", "https://console.mistral.ai/billing"),
    ("xai", "api.x.ai", "https://console.x.ai"),
    ("together", "api.together.xyz", "https://api.together.ai/settings/billing"),
    ("fireworks", "api.fireworks.ai", "https://app.fireworks.ai/account/billing"),
    ("huggingface", "router.huggingface.co", "https://huggingface.co/settings/billing"),
];

/// The page of a provider, when it is the provider itself that was asked and not another host under its name.
pub(super) fn page(provider: &str, base_url: &str) -> Option<&'static str> {
    let host = host_of(base_url)?;
    PAGES.iter().find(|(name, place, _)| *name == provider && *place == host).map(|(.., page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_belongs_to_the_host_that_was_asked() {
        let credits = "https://openrouter.ai/settings/credits";
        assert_eq!(page("openrouter", "https://openrouter.ai/api/v1"), Some(credits));
        assert_eq!(page("openrouter", "http://127.0.0.1:4000/v1"), None);
        assert_eq!(page("acme", "https://openrouter.ai/api/v1"), None);
        for (provider, host, page) in PAGES {
            let known = auth_core::provider::find(provider).and_then(|info| info.base_url).and_then(host_of);
            assert!(known.is_none_or(|known| known == *host), "{provider}");
            assert!(page.starts_with("https://"), "{provider}");
        }
    }
}
