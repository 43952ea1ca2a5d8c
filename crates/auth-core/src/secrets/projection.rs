//! What a plan makes of the files (spec 05 section 12.1), worked out on their content. Nothing is read or written
//! here, so that a dry run and the write cannot differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::plan::{Plan, PlanPlace};
use super::target::config_secrets;
use crate::config::{AgentId, template_names, without_escapes};
use crate::credential::CredentialKind;
use crate::profile::ProfileId;
use crate::provider::{ProviderId, is_env_name_marker, is_marker};
use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::store_document::{StoreDocument, StoreEditError};

/// The config after a plan.
#[derive(Clone, Debug)]
pub struct ProjectedConfig {
    /// The document.
    pub document: Value,
    /// The secrets that references replaced.
    pub replaced: Vec<Secret>,
    /// The providers whose key was replaced.
    pub providers: Vec<ProviderId>,
}

/// Applies a plan to the config as its author wrote it.
///
/// # Errors
///
/// When a target leads through something that is no object, or to a provider that the config does not have.
pub fn project_config(document: &Value, plan: &Plan) -> Result<ProjectedConfig, String> {
    let mut projected = ProjectedConfig { document: document.clone(), replaced: Vec::new(), providers: Vec::new() };
    project_providers(&mut projected.document, plan)?;
    for target in &plan.targets {
        let PlanPlace::Config { target: kind, path, provider } = &target.place else { continue };
        let place = value_at(&mut projected.document, path, provider)?;
        if let Some(text) = place.as_str() {
            let at = path.join(".");
            same_secret(&unescaped(text), target.fingerprint.as_deref()).map_err(|why| format!("{at} {why}"))?;
            projected.replaced.extend(replaced_secret(&unescaped(text)));
        }
        *place = target.reference.to_value();
        let id = ProviderId::normalise(provider);
        if kind.is_provider_key() && !projected.providers.contains(&id) {
            projected.providers.push(id);
        }
    }
    Ok(projected)
}

/// The plaintext that a plan moves must still be the one that it was made for.
fn same_secret(text: &str, wanted: Option<&str>) -> Result<(), String> {
    let Some(wanted) = wanted else { return Ok(()) };
    let has = Secret::new(text).fingerprint().to_string();
    if replaced_secret(text).is_none() || has == wanted {
        return Ok(());
    }
    Err(format!("holds another secret ({has}) than when the plan was made ({wanted}); make a new plan"))
}

/// A text of the config as it is meant: `$${NAME}` stands for `${NAME}`. What is no name, such as `$${` in a password,
/// stands for itself.
pub fn unescaped(text: &str) -> String {
    without_escapes(text)
}

/// Every variable that a config document asks for, whatever for: `${NAME}`, references, names that stand for their
/// value, and what programs may see.
pub fn variables_named(document: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                found.extend(template_names(text));
                if is_env_name_marker(text) {
                    found.insert(text.trim().to_owned());
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                if text("source") == Some("env") {
                    found.extend(text("id").map(|id| id.trim().to_owned()));
                }
                let passed = members.get("passEnv").and_then(Value::as_array).into_iter().flatten();
                found.extend(passed.filter_map(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| walk(member, found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(document, &mut found);
    found
}

/// A text that a reference replaces, when it is a secret: neither a reference nor a placeholder.
fn replaced_secret(text: &str) -> Option<Secret> {
    let text = text.trim();
    let is_secret =
        !text.is_empty() && !is_marker(text) && SecretRef::from_template(text, &RefDefaults::default()).is_none();
    is_secret.then(|| Secret::new(text))
}

fn project_providers(document: &mut Value, plan: &Plan) -> Result<(), String> {
    if plan.provider_deletes.is_empty() && plan.provider_upserts.is_empty() {
        return Ok(());
    }
    let shape = || "Invalid path shape at secrets.providers: an object was expected".to_owned();
    let root = document.as_object_mut().ok_or_else(shape)?;
    let secrets =
        root.entry("secrets").or_insert_with(|| Value::Object(Map::new())).as_object_mut().ok_or_else(shape)?;
    let providers =
        secrets.entry("providers").or_insert_with(|| Value::Object(Map::new())).as_object_mut().ok_or_else(shape)?;
    for alias in &plan.provider_deletes {
        providers.shift_remove(alias);
    }
    for (alias, entry) in &plan.provider_upserts {
        if providers.get(alias) != Some(entry) {
            providers.insert(alias.clone(), entry.clone());
        }
    }
    if providers.is_empty() {
        secrets.shift_remove("providers");
    }
    if secrets.is_empty() {
        root.shift_remove("secrets");
    }
    Ok(())
}

/// The place of a target, made where it is missing below its provider.
fn value_at<'v>(document: &'v mut Value, path: &[String], provider: &str) -> Result<&'v mut Value, String> {
    let is_known = document.get("models").and_then(|m| m.get("providers")).and_then(|p| p.get(provider)).is_some();
    if !is_known {
        return Err(format!(
            "models.providers.{provider} is not defined in the config; a target cannot make a provider, which needs a baseUrl and models"
        ));
    }
    let mut at = document;
    for (depth, key) in path.iter().enumerate() {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let members = at
            .as_object_mut()
            .ok_or_else(|| format!("Invalid path shape at {}: an object was expected", path[..depth].join(".")))?;
        at = members.entry(key.clone()).or_insert(Value::Null);
    }
    Ok(at)
}

/// The references of a config document, as far as they are about model credentials.
pub fn config_references(document: &Value, defaults: &RefDefaults) -> Vec<(String, SecretRef)> {
    config_secrets(document)
        .iter()
        .filter_map(|secret| Some((secret.dotted(), SecretRef::coerce(secret.value, defaults)?)))
        .collect()
}

/// What a plan did to a credential store.
#[derive(Clone, Debug, Default)]
pub struct ProjectedStore {
    /// The secrets that are gone from it.
    pub replaced: Vec<Secret>,
    /// The profiles that were changed.
    pub touched: Vec<ProfileId>,
    /// Profiles that lost their reference with everything else.
    pub emptied_refs: Vec<ProfileId>,
    /// Logins of a provider whose key was replaced: they come before it.
    pub logins: Vec<ProfileId>,
}

/// Applies the targets of the agents whose store it is, and then removes static credentials of providers whose config key was
/// replaced, except those that the plan has just written.
///
/// # Errors
///
/// When a target does not fit the profile that is there.
pub fn project_store(
    store: &mut StoreDocument,
    plan: &Plan,
    agents: &[AgentId],
    providers: &[ProviderId],
) -> Result<ProjectedStore, StoreEditError> {
    let mut done = ProjectedStore::default();
    for target in &plan.targets {
        let PlanPlace::Profile { agent: owner, id, kind, provider } = &target.place else { continue };
        if !agents.contains(owner) {
            continue;
        }
        let old = store.set_reference(id, *kind, provider.as_deref(), &target.reference)?;
        if let Some(old) = &old {
            same_secret(old, target.fingerprint.as_deref())
                .map_err(|why| StoreEditError::OtherSecret(id.to_string(), why))?;
        }
        done.replaced.extend(old.as_deref().and_then(replaced_secret));
        done.touched.push(id.clone());
    }
    if plan.scrub.profiles {
        let kept: BTreeSet<ProfileId> = done.touched.iter().cloned().collect();
        for (id, kind, provider) in store.credentials() {
            if !providers.contains(&provider) || kept.contains(&id) {
                continue;
            }
            if kind == CredentialKind::OAuth {
                done.logins.push(id);
                continue;
            }
            let Some((old, had_reference)) = store.strip_secret(&id, kind) else { continue };
            done.replaced.extend(old.as_deref().and_then(replaced_secret));
            let template =
                old.as_deref().is_some_and(|old| SecretRef::from_template(old, &RefDefaults::default()).is_some());
            if had_reference || template {
                done.emptied_refs.push(id.clone());
            }
            done.touched.push(id);
        }
    }
    Ok(done)
}

/// What a plan did to a legacy `auth.json`.
#[derive(Clone, Debug, Default)]
pub struct ProjectedLegacy {
    /// Its new content; `None` when nothing changed.
    pub document: Option<Value>,
    /// Providers whose key stays, because it may exist nowhere else.
    pub kept: Vec<String>,
}

/// Removes the keys of `auth.json` that a plan has moved: of its providers, or with a value that was replaced.
pub fn project_legacy(document: &Value, providers: &[ProviderId], replaced: &[Secret]) -> ProjectedLegacy {
    let mut done = ProjectedLegacy::default();
    let Some(members) = document.as_object() else { return done };
    let mut left = members.clone();
    for (provider, entry) in members {
        let key = entry.get("key").and_then(Value::as_str).map(str::trim).filter(|key| !key.is_empty());
        let Some(key) = key.filter(|_| entry.get("type").and_then(Value::as_str) == Some("api_key")) else { continue };
        let moved = providers.contains(&ProviderId::normalise(provider))
            || replaced.iter().any(|secret| secret.is_same(&Secret::new(key)));
        if moved {
            left.shift_remove(provider);
        } else {
            done.kept.push(provider.clone());
        }
    }
    if left.len() != members.len() {
        done.document = Some(Value::Object(left));
    }
    done
}

/// Whether a text holds a secret that was replaced, as it is or as JSON writes it.
pub fn holds_secret(text: &str, secrets: &[Secret]) -> bool {
    secrets.iter().any(|secret| {
        let plain = secret.reveal();
        let quoted = Value::from(plain).to_string();
        // A short one would be found in any text; then only as a whole value.
        let found_plain = plain.len() >= 8 && text.contains(plain);
        found_plain || text.contains(&quoted) || text.contains(&format!("'{plain}'"))
    })
}

#[cfg(test)]
mod tests;
