//! Keys that stand in the config itself (spec 06 section 8.3).

use auth_core::config::SecretInput;
use auth_core::provider::is_marker;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};

const CODE: &str = "auth.secret.plaintext_in_config";

/// Names them, never shows them.
pub(super) struct Plaintext;

impl Check for Plaintext {
    fn codes(&self) -> &'static [&'static str] {
        &[CODE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        // As its author wrote it: a variable that stands for the key is none.
        let authored = auth_core::Config::from_value(view.scene.authored());
        let plain = authored.providers.iter().filter(|provider| match &provider.api_key {
            Some(SecretInput::Plain(key)) => {
                !key.is_blank() && !is_marker(key.reveal()) && !auth_core::config::holds_template(key.reveal())
            }
            _ => false,
        });
        plain
            .map(|provider| {
                let path = format!("models.providers.{}.apiKey", provider.id);
                let message = format!("{path} holds the key itself; a reference keeps it out of the config");
                let finding = Finding::new(CODE, Severity::Info, "Auth checks", message).of_provider(&provider.id);
                finding.at(path).helped_by("openclaw secrets configure")
            })
            .collect()
    }
}
