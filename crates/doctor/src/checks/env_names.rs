//! Variables by names that are not read any more (spec 06 section 8.3).

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};

const CODE: &str = "auth.env.deprecated";

/// Names the variable that took the place of each.
pub(super) struct EnvNames;

impl Check for EnvNames {
    fn codes(&self) -> &'static [&'static str] {
        &[CODE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let variables = view.scene.state.environment.variables();
        let old = variables.filter_map(|(name, origin)| {
            let rest = name.strip_prefix("CLAWDBOT_").or_else(|| name.strip_prefix("MOLTBOT_"))?;
            let new = format!("OPENCLAW_{rest}");
            let message = format!("{name} is not read any more ({origin}); use {new}");
            let finding = Finding::new(CODE, Severity::Warning, "Auth checks", message).at(name);
            Some(finding.helped_by(format!("rename {name} to {new}")).detail("use", new))
        });
        old.collect()
    }
}
