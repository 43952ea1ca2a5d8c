//! Settings that hide the built-in catalogue of OpenCode (spec 06 section 8.1).

use serde_json::Value;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};

const CODE: &str = "config.opencode_override";

/// Names the settings; they are never removed, because somebody may want them.
pub(super) struct OpenCode;

impl Check for OpenCode {
    fn codes(&self) -> &'static [&'static str] {
        &[CODE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let providers = [("opencode", "Zen"), ("opencode-zen", "Zen"), ("opencode-go", "Go")];
        let overriding = providers.into_iter().filter_map(|(id, name)| {
            let entry = view.scene.authored().pointer(&format!("/models/providers/{id}")).filter(|entry| is_truthy(entry))?;
            let api = entry.get("api").and_then(Value::as_str).map_or_else(String::new, |api| format!(" (api: {api})"));
            let message = format!(
                "models.providers.{id} is set{api}; it overrides the built-in OpenCode {name} catalog. Remove it to use the built-in models."
            );
            let finding = Finding::new(CODE, Severity::Warning, "OpenCode", message).of_provider(id);
            Some(finding.at(format!("models.providers.{id}")).helped_by(format!("remove models.providers.{id}")))
        });
        overriding.collect()
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}
