//! Changes of the config as its author wrote it (spec 02 section 17, spec 04 sections 1.4 to 1.6). Each works on the
//! document; putting it into the text is the caller's.

use serde_json::{Map, Value, json};

use super::Config;
use crate::credential::CredentialKind;
use crate::model::{ModelRef, resolve};
use crate::profile::ProfileId;
use crate::provider::AuthKey;

/// Which of the two model settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelSlot {
    /// `agents.defaults.model`.
    Text,
    /// `agents.defaults.imageModel`.
    Image,
}

impl ModelSlot {
    fn key(self) -> &'static str {
        match self {
            Self::Text => "model",
            Self::Image => "imageModel",
        }
    }
}

/// Sets the primary model; fallbacks stay, and the model is allowed. Returns its key.
///
/// # Errors
///
/// `Invalid model reference: <ref>`.
pub fn set_primary(root: &mut Value, slot: ModelSlot, text: &str) -> Result<String, String> {
    let model = resolved(root, text)?;
    let key = model.key();
    let setting = model_setting(root, slot);
    setting.insert("primary".to_owned(), Value::from(key.as_str()));
    allow(root, &model);
    Ok(key)
}

/// Appends a fallback unless one already means it. Returns its key.
///
/// # Errors
///
/// `Invalid model reference: <ref>`.
pub fn add_fallback(root: &mut Value, slot: ModelSlot, text: &str) -> Result<String, String> {
    let config = Config::from_value(root);
    let model = resolved(root, text)?;
    let key = model.key();
    let present = fallbacks(root, slot).iter().any(|known| means(known, &key, &config));
    if !present {
        let mut list = fallbacks(root, slot);
        list.push(key.clone());
        model_setting(root, slot).insert("fallbacks".to_owned(), Value::from(list));
        allow(root, &model);
    }
    Ok(key)
}

/// Removes every fallback that means a model. Returns its key.
///
/// # Errors
///
/// `Invalid model reference: <ref>`, or `Fallback not found: <key>`.
pub fn remove_fallback(root: &mut Value, slot: ModelSlot, text: &str) -> Result<String, String> {
    let config = Config::from_value(root);
    let key = resolved(root, text)?.key();
    let before = fallbacks(root, slot);
    let left: Vec<String> = before.iter().filter(|known| !means(known, &key, &config)).cloned().collect();
    if left.len() == before.len() {
        let what = if slot == ModelSlot::Image { "Image fallback" } else { "Fallback" };
        return Err(format!("{what} not found: {key}"));
    }
    model_setting(root, slot).insert("fallbacks".to_owned(), Value::from(left));
    Ok(key)
}

/// Leaves an empty list of fallbacks.
pub fn clear_fallbacks(root: &mut Value, slot: ModelSlot) {
    model_setting(root, slot).insert("fallbacks".to_owned(), json!([]));
}

/// Gives a model an alias. Returns its key.
///
/// # Errors
///
/// When the alias is blank, has other characters, or stands for another model.
pub fn add_alias(root: &mut Value, alias: &str, text: &str) -> Result<String, String> {
    let alias = alias.trim();
    if alias.is_empty() {
        return Err("Alias cannot be empty.".to_owned());
    }
    if !alias.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c)) {
        return Err("Alias must use letters, numbers, dots, underscores, colons, or dashes.".to_owned());
    }
    let model = resolved(root, text)?;
    let key = model.key();
    let config = Config::from_value(root);
    let taken = config.models.iter().find(|entry| {
        let same = entry.alias.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(alias));
        same && !means(&entry.key, &key, &config)
    });
    if let Some(entry) = taken {
        return Err(format!("Alias {alias} already points to {}.", entry.key));
    }
    allow(root, &model);
    let entry = object_at(root, &["agents", "defaults", "models", &key]);
    entry.insert("alias".to_owned(), Value::from(alias));
    Ok(key)
}

/// Takes an alias away; the model stays allowed. Returns the model it stood for.
///
/// # Errors
///
/// `Alias not found: <alias>`.
pub fn remove_alias(root: &mut Value, alias: &str) -> Result<String, String> {
    let alias = alias.trim();
    let models = root.pointer_mut("/agents/defaults/models").and_then(Value::as_object_mut);
    let found = models
        .into_iter()
        .flatten()
        .find(|(_, entry)| entry.get("alias").and_then(Value::as_str).is_some_and(|known| known.trim() == alias));
    let (key, entry) = found.ok_or_else(|| format!("Alias not found: {alias}"))?;
    if let Some(entry) = entry.as_object_mut() {
        entry.shift_remove("alias");
    }
    Ok(key.clone())
}

/// Merges a patch: objects member by member, everything else replaces what is there (spec 04 section 1.4).
///
/// # Errors
///
/// When the patch has a key that JavaScript would take for more than a name.
pub fn merge_patch(root: &mut Value, patch: &Value) -> Result<(), String> {
    let Some(from) = patch.as_object() else {
        *root = patch.clone();
        return Ok(());
    };
    let into = made_object(root);
    for (key, value) in from {
        if matches!(key.as_str(), "__proto__" | "constructor" | "prototype") {
            return Err(format!("a config patch may not set {key}"));
        }
        merge_patch(into.entry(key.as_str()).or_insert(Value::Null), value)?;
    }
    Ok(())
}

/// Labels of a profile for the config.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProfileLabels<'a> {
    /// Account of the login.
    pub email: Option<&'a str>,
    /// Label for people.
    pub display_name: Option<&'a str>,
}

/// Registers a profile in `auth.profiles` and keeps `auth.order` in step (spec 04 section 1.5). `prefer_first` puts it
/// before the others of its provider.
pub fn register_profile(
    root: &mut Value,
    id: &ProfileId,
    provider: &str,
    mode: CredentialKind,
    labels: ProfileLabels<'_>,
    prefer_first: bool,
) {
    let key = AuthKey::normalise(provider);
    let config = Config::from_value(root);
    let same: Vec<(String, CredentialKind)> = config
        .auth_profiles
        .values()
        .filter(|entry| entry.provider.auth_key() == key)
        .map(|entry| (entry.id.as_str().to_owned(), entry.mode))
        .collect();

    let mut entry = Map::new();
    entry.insert("provider".to_owned(), Value::from(provider));
    entry.insert("mode".to_owned(), Value::from(mode.as_str()));
    for (name, label) in [("email", labels.email), ("displayName", labels.display_name)] {
        if let Some(label) = label {
            entry.insert(name.to_owned(), Value::from(label));
        }
    }
    object_at(root, &["auth", "profiles"]).insert(id.as_str().to_owned(), Value::Object(entry));

    let orders: Vec<String> = root
        .pointer("/auth/order")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::keys)
        .filter(|spelling| AuthKey::normalise(spelling) == key)
        .cloned()
        .collect();
    if !orders.is_empty() {
        let order = object_at(root, &["auth", "order"]);
        let mut list: Vec<String> = Vec::new();
        if prefer_first {
            list.push(id.as_str().to_owned());
        }
        for spelling in &orders {
            let ids = order.get(spelling).and_then(Value::as_array).cloned().unwrap_or_default();
            for known in ids.iter().filter_map(Value::as_str) {
                if !list.iter().any(|seen| seen == known) {
                    list.push(known.to_owned());
                }
            }
        }
        if !list.iter().any(|seen| seen == id.as_str()) {
            list.push(id.as_str().to_owned());
        }
        for spelling in orders.iter().filter(|spelling| *spelling != key.as_str()) {
            order.shift_remove(spelling);
        }
        order.insert(key.as_str().to_owned(), Value::from(list));
    } else if prefer_first && same.iter().any(|(known, other)| known != id.as_str() && *other != mode) {
        let others = same.into_iter().map(|(known, _)| known).filter(|known| known != id.as_str());
        let list: Vec<String> = std::iter::once(id.as_str().to_owned()).chain(others).collect();
        object_at(root, &["auth", "order"]).insert(key.as_str().to_owned(), Value::from(list));
    }
}

/// Removes a profile from `auth.profiles` and `auth.order`; what is empty then goes too.
pub fn forget_profile(root: &mut Value, id: &ProfileId) {
    let Some(auth) = root.get_mut("auth").and_then(Value::as_object_mut) else { return };
    if let Some(profiles) = auth.get_mut("profiles").and_then(Value::as_object_mut)
        && profiles.shift_remove(id.as_str()).is_some()
        && profiles.is_empty()
    {
        auth.shift_remove("profiles");
    }
    let Some(order) = auth.get_mut("order").and_then(Value::as_object_mut) else { return };
    let mut named = false;
    for list in order.values_mut().filter_map(Value::as_array_mut) {
        let before = list.len();
        list.retain(|known| known.as_str().map(str::trim) != Some(id.as_str()));
        named |= before != list.len();
    }
    if named {
        order.retain(|_, list| list.as_array().is_none_or(|list| !list.is_empty()));
        if order.is_empty() {
            auth.shift_remove("order");
        }
    }
}

fn resolved(root: &Value, text: &str) -> Result<ModelRef, String> {
    resolve(text, &Config::from_value(root)).ok_or_else(|| format!("Invalid model reference: {text}"))
}

/// Whether a reference as written means the model of this key.
fn means(text: &str, key: &str, config: &Config) -> bool {
    resolve(text, config).is_some_and(|model| model.key() == key)
}

fn fallbacks(root: &Value, slot: ModelSlot) -> Vec<String> {
    let list = root.pointer(&format!("/agents/defaults/{}/fallbacks", slot.key())).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The model setting as an object; a string becomes its primary.
fn model_setting(root: &mut Value, slot: ModelSlot) -> &mut Map<String, Value> {
    let defaults = object_at(root, &["agents", "defaults"]);
    if let Some(Value::String(primary)) = defaults.get(slot.key()) {
        let primary = primary.clone();
        defaults.insert(slot.key().to_owned(), json!({ "primary": primary }));
    }
    object_at(root, &["agents", "defaults", slot.key()])
}

/// Puts a model on the allowlist. Settings under its legacy doubled name move along.
fn allow(root: &mut Value, model: &ModelRef) {
    let key = model.key();
    let models = object_at(root, &["agents", "defaults", "models"]);
    let doubled = model.to_string();
    let moved = if doubled == key { None } else { models.shift_remove(&doubled) };
    if !models.contains_key(&key) {
        models.insert(key, moved.unwrap_or_else(|| json!({})));
    }
}

/// The object at a path, made where it is missing.
pub fn object_at<'a>(root: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    path.iter().fold(made_object(root), |at, key| made_object(at.entry(*key).or_insert(Value::Null)))
}

/// The value as an object; anything else is replaced by an empty one.
fn made_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().unwrap_or_else(|| unreachable!("made an object just above"))
}

#[cfg(test)]
mod tests;
