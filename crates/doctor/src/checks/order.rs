//! Orders that name nothing, or that keep out everything (spec 06 section 8.3).

use std::collections::{BTreeMap, BTreeSet};

use auth_core::{OrderSource, ProfileId, ProviderId, resolve_order};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::Scene;

const UNKNOWN: &str = "auth.order.unknown_profile";
const EXCLUDES_ALL: &str = "auth.order.excludes_all";
const TITLE: &str = "Auth checks";

/// Ids in orders that no store has.
pub(super) struct UnknownInOrder;

/// Whether any store has a profile, or an entry that cannot be used, of this id. A store that cannot be read may.
fn exists(scene: &Scene, id: &str) -> bool {
    scene.agents.iter().any(|agent| match agent.own() {
        Some(_) => {
            let view = &agent.auth.view;
            view.profiles.get(&ProfileId::new(id)).is_some() || view.rejected().iter().any(|entry| entry.id == id)
        }
        None => true,
    })
}

/// The ids that the config's orders name.
fn in_config(scene: &Scene) -> Vec<(&str, &str)> {
    let order = scene.authored().pointer("/auth/order").and_then(Value::as_object);
    let lists = order.into_iter().flatten().filter_map(|(key, ids)| Some((key.as_str(), ids.as_array()?)));
    lists
        .flat_map(|(key, ids)| ids.iter().filter_map(Value::as_str).map(move |id| (key, id.trim())))
        .filter(|(_, id)| !id.is_empty())
        .collect()
}

/// The ids that an agent's own store names in its orders.
fn in_store(agent: &crate::scene::AgentScene) -> Vec<(String, String)> {
    let text = agent.own().and_then(|open| open.raw.as_deref()).unwrap_or_default();
    // The rest stays text: it is the bulk of the file.
    let Ok(root) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text.trim_start_matches('\u{feff}')) else {
        return Vec::new();
    };
    let order = root.get("order").and_then(|order| serde_json::from_str::<Value>(order.get()).ok());
    let order = order.as_ref().and_then(Value::as_object);
    let lists = order.into_iter().flatten().filter_map(|(key, ids)| Some((key, ids.as_array()?)));
    lists
        .flat_map(|(key, ids)| ids.iter().filter_map(Value::as_str).map(move |id| (key.clone(), id.trim().to_owned())))
        .filter(|(_, id)| !id.is_empty())
        .collect()
}

impl Check for UnknownInOrder {
    fn codes(&self) -> &'static [&'static str] {
        &[UNKNOWN]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        if !view.request.agents.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        let of = |provider: &str, id: &str, path: String| {
            let message = format!("{path} names {id}, which no store has");
            let finding = Finding::new(UNKNOWN, Severity::Warning, TITLE, message);
            finding.of_provider(provider).of_profile(id).at(path).fixable()
        };
        let mut seen = BTreeSet::new();
        for (provider, id) in in_config(scene).into_iter().filter(|(_, id)| !exists(scene, id)) {
            if seen.insert((provider, id)) {
                found.push(of(provider, id, format!("auth.order.{provider}")));
            }
        }
        for agent in &scene.agents {
            let mut seen = BTreeSet::new();
            for (provider, id) in in_store(agent).into_iter().filter(|(_, id)| !exists(scene, id)) {
                if seen.insert((provider.clone(), id.clone())) {
                    found.push(of(&provider, &id, format!("order.{provider}")).of_agent(&agent.id));
                }
            }
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let gone: BTreeSet<&str> = findings
            .iter()
            .filter(|finding| finding.fixable)
            .filter_map(|finding| finding.profile.as_deref())
            .collect();
        if gone.is_empty() {
            return Ok(None);
        }
        let mut changes = Vec::new();
        for agent in &view.scene.agents {
            let Some((_, mut document)) = agent.document() else { continue };
            document.drop_from_order(&|id| gone.contains(id));
            changes.extend(view.store_change(UNKNOWN, agent, &document, &[])?);
        }
        changes.extend(view.config_change(UNKNOWN, &|root| drop_from_config(root, &gone))?);
        let ids: Vec<&str> = gone.into_iter().collect();
        let question = format!("Remove from the order what no store has ({})?", ids.join(", "));
        let done = [format!("- Removed from the order: {}", ids.join(", "))];
        Ok(Some(Repair::new(UNKNOWN, RepairKind::Normal, question).telling(done).changing(changes)))
    }
}

fn drop_from_config(root: &mut Value, gone: &BTreeSet<&str>) {
    let Some(auth) = root.get_mut("auth").and_then(Value::as_object_mut) else { return };
    let Some(order) = auth.get_mut("order").and_then(Value::as_object_mut) else { return };
    let mut changed = false;
    order.retain(|_, ids| {
        let Some(list) = ids.as_array_mut() else { return true };
        let before = list.len();
        list.retain(|id| !id.as_str().is_some_and(|id| gone.contains(id.trim())));
        changed |= list.len() != before;
        list.len() == before || !list.is_empty()
    });
    if changed && order.is_empty() {
        auth.shift_remove("order");
    }
}

/// An order that keeps out every profile of a provider that could be used.
pub(super) struct ExcludesAll;

impl Check for ExcludesAll {
    fn codes(&self) -> &'static [&'static str] {
        &[EXCLUDES_ALL]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        let mut found = Vec::new();
        for agent in &scene.agents {
            let store = &agent.auth.view.profiles;
            let providers: BTreeSet<ProviderId> = store.providers().cloned().collect();
            for provider in providers {
                let order = resolve_order(scene.settings(), store, &provider, None, scene.now());
                let place = match order.source {
                    OrderSource::Store => "the order of the store",
                    OrderSource::Config => "auth.order of the config",
                    OrderSource::Profiles | OrderSource::All => continue,
                };
                let left_out: Vec<String> =
                    order.passed_over.iter().filter(|entry| entry.left_out).map(|entry| entry.id.to_string()).collect();
                if !order.tried.is_empty() || left_out.is_empty() {
                    continue;
                }
                let agent_option = format!("--agent {}", agent.id);
                let fix = match order.source {
                    OrderSource::Store => {
                        format!("openclaw models auth order clear --provider {provider} {agent_option}")
                    }
                    _ => format!(
                        "openclaw models auth order set --provider {provider} {agent_option} {}",
                        left_out.join(" ")
                    ),
                };
                let message = format!(
                    "{place} leaves no usable profile of {provider}, although there are some: {}. Run: {fix}",
                    left_out.join(", ")
                );
                let finding = Finding::new(EXCLUDES_ALL, Severity::Error, TITLE, message).of_agent(&agent.id);
                let finding = finding.of_provider(provider.as_str()).helped_by(fix);
                found.push(finding.detail("source", order.source.as_str()).detail("leftOut", left_out));
            }
        }
        found
    }
}
