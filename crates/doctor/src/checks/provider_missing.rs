//! Providers that a configured model needs and that have no credential at all (spec 06 section 8.3).

use auth_core::StatusReport;
use auth_core::provider::find_by_name;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};

const CODE: &str = "auth.provider.missing";

/// Says how to get one.
pub(super) struct ProviderMissing;

impl Check for ProviderMissing {
    fn codes(&self) -> &'static [&'static str] {
        &[CODE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        let mut found: Vec<Finding> = Vec::new();
        for agent in &scene.agents {
            let report = StatusReport::build(&agent.situation(scene), Some(&agent.id));
            for missing in &report.missing {
                // References to models of the Claude CLI are a finding of their own.
                if missing.provider.as_str() == "claude-cli" {
                    continue;
                }
                // The built-in default is nobody's wish.
                let explicit =
                    missing.needed_by.iter().filter(|(role, _)| report.models.configured || role != "default model");
                let models: Vec<String> = explicit.map(|(role, model)| format!("{model} ({role})")).collect();
                if models.is_empty() {
                    continue;
                }
                let provider = missing.provider.as_str();
                let info = find_by_name(provider);
                let variables = missing.provider.auth_key().env_vars();
                let login = match info.filter(|info| !info.auth.is_empty()) {
                    Some(_) => format!("openclaw models auth login --provider {provider}"),
                    None => format!("openclaw models auth paste-api-key --provider {provider}"),
                };
                let or_set =
                    if variables.is_empty() { String::new() } else { format!(", or set {}", variables.join(" or ")) };
                let message =
                    format!("{provider} has no credential, but {} needs one. Run: {login}{or_set}", models.join(", "));
                let finding = Finding::new(CODE, Severity::Error, "Auth checks", message).of_agent(&agent.id);
                let finding = finding.of_provider(provider).helped_by(login);
                found.push(finding.detail("models", models).detail("variables", variables.to_vec()));
            }
        }
        found
    }
}
