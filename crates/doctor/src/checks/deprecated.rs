//! Profiles of external programs that are not supported any more (spec 06 section 7.3).

use auth_core::ProfileId;
use auth_core::config::edit::forget_profile;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::{AgentScene, Scene};

const CODE: &str = "auth.deprecated_profile";
/// Each id with its provider.
const DEPRECATED: &[(&str, &str)] = &[("openai-codex:codex-cli", "openai-codex")];

/// Removes them; the backup of the store still holds the credential.
pub(super) struct Deprecated;

/// Whether an agent has it. A credential of another provider under that id is somebody's own choice.
fn has(agent: &AgentScene, id: &str) -> bool {
    let provider = DEPRECATED.iter().find(|(known, _)| *known == id).map_or("", |(_, provider)| provider);
    let stored = agent.profiles().and_then(|own| own.get(&ProfileId::new(id)));
    stored.is_some_and(|profile| profile.provider.as_str() == provider)
}

/// Whether a store has a credential of another provider under that id.
fn is_taken(scene: &Scene, id: &str) -> bool {
    let stored = |agent: &AgentScene| agent.profiles().is_some_and(|own| own.get(&ProfileId::new(id)).is_some());
    scene.agents.iter().any(|agent| stored(agent) && !has(agent, id))
}

fn configured(scene: &Scene, id: &str) -> bool {
    scene.authored().pointer("/auth/profiles").and_then(|profiles| profiles.get(id)).is_some()
}

impl Check for Deprecated {
    fn codes(&self) -> &'static [&'static str] {
        &[CODE]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for (id, provider) in DEPRECATED {
            let fix = format!("openclaw models auth login --provider {provider}");
            let message = format!("{id} is deprecated. Log in again: {fix}");
            let base = Finding::new(CODE, Severity::Warning, "Auth profiles", message).of_provider(*provider);
            let base = base.of_profile(*id).fixable().detail("login", fix);
            let agents: Vec<&AgentScene> = view.scene.agents.iter().filter(|agent| has(agent, id)).collect();
            if agents.is_empty() && configured(view.scene, id) && !is_taken(view.scene, id) {
                found.push(base.clone().at(format!("auth.profiles.{id}")));
            }
            found.extend(agents.iter().map(|agent| base.clone().of_agent(&agent.id)));
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let ids = DEPRECATED.iter().map(|(id, _)| ProfileId::new(*id));
        let ids: Vec<ProfileId> =
            ids.filter(|id| findings.iter().any(|finding| finding.profile.as_deref() == Some(id.as_str()))).collect();
        if ids.is_empty() {
            return Ok(None);
        }
        let scene = view.scene;
        let (mut changes, mut done) = (Vec::new(), Vec::new());
        for agent in &scene.agents {
            let Some((_, mut document)) = agent.document() else { continue };
            for id in ids.iter().filter(|id| has(agent, id.as_str())) {
                document.remove_profile(id);
                let backup = auth_store::backup_name(&agent.store_path(), 0);
                done.push(format!("- {id} removed; the credential is still in {}", scene.shorten(&backup)));
            }
            changes.extend(view.store_change(CODE, agent, &document, &ids.iter().collect::<Vec<_>>())?);
        }
        let free: Vec<&ProfileId> = ids.iter().filter(|id| !is_taken(scene, id.as_str())).collect();
        let edits = view.config_change(CODE, &|root| free.iter().for_each(|id| forget_profile(root, id)))?;
        if !edits.is_empty() {
            let ids: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
            done.push(format!("- config: {} removed", ids.join(", ")));
        }
        changes.extend(edits);
        let question = "Remove deprecated CLI auth profiles now?";
        Ok(Some(Repair::new(CODE, RepairKind::Normal, question).telling(done).changing(changes)))
    }
}
