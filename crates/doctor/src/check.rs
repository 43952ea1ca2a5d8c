//! What a check is (spec 06 section 6).

use std::path::Path;

use auth_core::config;
use auth_core::{ProfileId, StoreDocument};
use auth_store::{ConfigPlanner, ConfigWriteError, Host, iso_time};
use serde_json::{Value, json};

use crate::finding::Finding;
use crate::outside::Outside;
use crate::repair::{Change, FileKind, Refusal, Repair, Write};
use crate::request::Request;
use crate::scene::{AgentScene, Scene};

/// Looks for one kind of trouble, and works out how it is mended.
pub trait Check {
    /// The codes of its findings; none of them is another check's.
    fn codes(&self) -> &'static [&'static str];

    /// Whether it may run again in the same run, after repairs of others.
    fn is_repeatable(&self, request: &Request) -> bool {
        let _ = request;
        true
    }

    /// What is wrong.
    fn detect(&self, view: &View<'_>) -> Vec<Finding>;

    /// How it is mended; `None` when nothing of it can be. Reads only. What it changes is bound to the bytes that it
    /// was worked out on.
    ///
    /// # Errors
    ///
    /// When it could be mended, but not as things stand.
    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let _ = (view, findings);
        Ok(None)
    }
}

/// What a check may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) request: &'a Request,
    pub(crate) outside: &'a Outside<'a>,
    pub(crate) host: &'a dyn Host,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("request", &self.request).finish_non_exhaustive()
    }
}

impl View<'_> {
    /// The change of the config that `edit` makes, with the stamp of this program; none when it changes nothing.
    pub(crate) fn config_change(&self, code: &'static str, edit: &dyn Fn(&mut Value)) -> Result<Vec<Change>, Refusal> {
        let layout = self.scene.layout();
        let planner = ConfigPlanner::new(layout, &self.scene.state.environment, self.host).accepting_invalid();
        let now = iso_time(self.scene.now().as_ms());
        let plan = planner.plan(&|root| {
            let before = root.clone();
            edit(root);
            if *root != before {
                let mode = if self.scene.is_remote() { "remote" } else { "local" };
                let wizard = config::edit::object_at(root, &["wizard"]);
                for (name, value) in [
                    ("lastRunAt", json!(now)),
                    ("lastRunVersion", json!(env!("CARGO_PKG_VERSION"))),
                    ("lastRunCommand", json!("doctor")),
                    ("lastRunMode", json!(mode)),
                ] {
                    wizard.insert(name.to_owned(), value);
                }
            }
            Ok(())
        });
        let plan = plan.map_err(|error| Refusal { code, message: refused(&error) })?;
        let main = layout.config_path();
        let writes = plan.files.into_iter().map(|file| {
            Change::Write(Write {
                path: file.path,
                guarded_by: main.to_owned(),
                kind: FileKind::Config,
                before: file.before,
                after: file.after.into_bytes(),
            })
        });
        Ok(writes.collect())
    }

    /// The change of an agent's own store that a changed document makes. `touched` names the profiles it is about.
    pub(crate) fn store_change(
        &self,
        code: &'static str,
        agent: &AgentScene,
        document: &StoreDocument,
        touched: &[&ProfileId],
    ) -> Result<Option<Change>, Refusal> {
        if !document.is_changed() {
            return Ok(None);
        }
        self.stores_may_change(code)?;
        let path = agent.store_path();
        let after = document
            .to_text(touched)
            .map_err(|error| Refusal { code, message: format!("{} {error}", self.scene.shorten(&path)) })?;
        let before = agent.own().and_then(|open| open.raw.as_ref()).map(|raw| raw.clone().into_bytes());
        Ok(Some(store_write(&path, before, after)))
    }

    /// Whether stores may be written at all.
    pub(crate) fn stores_may_change(&self, code: &'static str) -> Result<(), Refusal> {
        const READONLY: &str = "OPENCLAW_AUTH_STORE_READONLY";
        let forbidden = self.scene.state.environment.get(READONLY).is_some_and(|value| value.trim() == "1");
        if forbidden {
            let message = format!("{READONLY} is set, so no credential store is changed; unset it to go on");
            return Err(Refusal { code, message });
        }
        Ok(())
    }
}

/// A store with new content.
pub(crate) fn store_write(path: &Path, before: Option<Vec<u8>>, after: String) -> Change {
    Change::Write(Write {
        path: path.to_owned(),
        guarded_by: path.to_owned(),
        kind: FileKind::Store,
        before,
        after: after.into_bytes(),
    })
}

fn refused(error: &ConfigWriteError) -> String {
    match error {
        ConfigWriteError::Invalid(invalid) => {
            let first = invalid.problems.first();
            let first = first.map_or_else(String::new, |problem| format!(": {}: {}", problem.path, problem.message));
            format!("the config cannot be written{first}")
        }
        ConfigWriteError::Validation { path, message } => {
            format!("the config cannot be written: it would still be invalid: {path}: {message}")
        }
        other => other.to_string(),
    }
}
