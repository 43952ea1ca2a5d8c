//! What setting up a provider writes into the config (spec 04 sections 1.6, 3.3, 3.4 and 3.8).

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::config::edit::object_at;

/// Why a provider's plugin cannot be used: `plugins disabled` or `blocked by denylist`.
pub fn plugin_block(config: &Config, plugin: &str) -> Option<&'static str> {
    if config.plugins_disabled {
        Some("plugins disabled")
    } else {
        config.plugins_denied.iter().any(|id| id == plugin).then_some("blocked by denylist")
    }
}

/// Enables a plugin, and names it on the allowlist if there is one.
pub fn enable_plugin(root: &mut Value, plugin: &str) {
    object_at(root, &["plugins", "entries", plugin]).insert("enabled".to_owned(), Value::from(true));
    if let Some(allowed) = root.pointer_mut("/plugins/allow").and_then(Value::as_array_mut)
        && !allowed.iter().any(|id| id.as_str() == Some(plugin))
    {
        allowed.push(Value::from(plugin));
    }
}

/// Makes a model the default one; fallbacks stay. An alias is set unless the model has one or another model has it.
pub fn apply_default_model(root: &mut Value, reference: &str, alias: Option<&str>) {
    set_primary_only(root, reference);
    allow_model(root, reference, alias);
}

/// Allows a model by name, beside those that are. An alias is set unless the model has one or another model has it.
pub fn allow_model(root: &mut Value, reference: &str, alias: Option<&str>) {
    let models = object_at(root, &["agents", "defaults", "models"]);
    let taken = |alias: &str| {
        models.iter().any(|(key, entry)| {
            let known = entry.get("alias").and_then(Value::as_str);
            key != reference && known.is_some_and(|known| known.trim().eq_ignore_ascii_case(alias))
        })
    };
    let alias = alias.filter(|alias| !taken(alias));
    let entry = models.entry(reference).or_insert_with(|| json!({}));
    if let (Some(alias), Some(entry)) = (alias, entry.as_object_mut()) {
        entry.entry("alias").or_insert_with(|| Value::from(alias));
    }
}

/// Makes a model the default one without allowing it by name; fallbacks stay.
pub fn set_primary_only(root: &mut Value, reference: &str) {
    let defaults = object_at(root, &["agents", "defaults"]);
    let fallbacks = defaults.get("model").and_then(|setting| setting.get("fallbacks")).cloned();
    let mut setting = Map::new();
    setting.insert("primary".to_owned(), Value::from(reference));
    if let Some(fallbacks) = fallbacks {
        setting.insert("fallbacks".to_owned(), fallbacks);
    }
    defaults.insert("model".to_owned(), Value::Object(setting));
}

/// Writes the block of a provider: endpoint (unless the one that is there stays), API, and its default model if none of its models has that id. What else
/// the block holds stays.
pub fn apply_endpoint(
    root: &mut Value,
    provider: &str,
    base_url: Option<&str>,
    api: &str,
    model: &str,
    name: Option<&str>,
) {
    let block = provider_block(root, provider);
    if let Some(base_url) = base_url {
        block.insert("baseUrl".to_owned(), Value::from(base_url));
    }
    block.insert("api".to_owned(), Value::from(api));
    let models = models_of(block);
    if !models.iter().any(|entry| has_id(entry, model)) {
        models.push(json!({"id": model, "name": name.unwrap_or(model)}));
    }
}

/// A model of a local server.
#[derive(Clone, Copy, Debug)]
pub struct ServerModel<'a> {
    /// The provider: `vllm`, `sglang`.
    pub provider: &'a str,
    /// Where it listens.
    pub base_url: &'a str,
    /// The variable that stands in the key field.
    pub variable: &'a str,
    /// Its id.
    pub model: &'a str,
}

/// Writes the block of a local server. Its key stands in the profile; the block names the variable only.
pub fn apply_local_server(root: &mut Value, server: ServerModel<'_>) {
    let block = provider_block(root, server.provider);
    block.insert("baseUrl".to_owned(), Value::from(server.base_url));
    block.insert("api".to_owned(), Value::from("openai-completions"));
    block.insert("apiKey".to_owned(), Value::from(server.variable));
    let models = models_of(block);
    if !models.iter().any(|entry| has_id(entry, server.model)) {
        models.push(json!({
            "id": server.model, "name": server.model, "reasoning": false, "input": ["text"],
            "cost": no_cost(), "contextWindow": 128_000, "maxTokens": 8192,
        }));
    }
}

/// Writes the block of an Ollama server, with a model if one is named.
pub fn apply_ollama(root: &mut Value, provider: &str, base_url: &str, model: Option<&str>) {
    let block = provider_block(root, provider);
    block.insert("baseUrl".to_owned(), Value::from(base_url));
    block.insert("api".to_owned(), Value::from("ollama"));
    let models = models_of(block);
    if let Some(model) = model
        && !models.iter().any(|entry| has_id(entry, model))
    {
        models.push(json!({"id": model, "name": model}));
    }
}

/// The endpoints of Z.AI to try for a choice, first one first, each with its model. A key is shown only to the region
/// that was chosen; the plain choice means the global one (3.8).
pub fn zai_candidates(choice: &str) -> Vec<(&'static str, &'static str)> {
    const GLOBAL: &str = "https://api.z.ai/api/paas/v4";
    const CN: &str = "https://open.bigmodel.cn/api/paas/v4";
    const CODING_GLOBAL: &str = "https://api.z.ai/api/coding/paas/v4";
    const CODING_CN: &str = "https://open.bigmodel.cn/api/coding/paas/v4";
    match choice {
        "zai-global" => vec![(GLOBAL, "glm-5")],
        "zai-cn" => vec![(CN, "glm-5")],
        "zai-coding-global" => vec![(CODING_GLOBAL, "glm-5"), (CODING_GLOBAL, "glm-4.7")],
        "zai-coding-cn" => vec![(CODING_CN, "glm-5"), (CODING_CN, "glm-4.7")],
        _ => vec![(GLOBAL, "glm-5"), (CODING_GLOBAL, "glm-5"), (CODING_GLOBAL, "glm-4.7")],
    }
}

/// The base URL of a Cloudflare AI gateway.
///
/// # Errors
///
/// When an id is more than one plain part of a path.
pub fn cloudflare_base_url(template: &str, account: &str, gateway: &str) -> Result<String, String> {
    for (option, id) in
        [("--cloudflare-ai-gateway-account-id", account), ("--cloudflare-ai-gateway-gateway-id", gateway)]
    {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
            return Err(format!("Invalid {option}: use letters, digits, \"-\" and \"_\"."));
        }
    }
    Ok(template.replace("ACCOUNT", account).replace("GATEWAY", gateway))
}

/// What is written about the run itself.
#[derive(Clone, Copy, Debug)]
pub struct WizardStamp<'a> {
    /// ISO 8601.
    pub at: &'a str,
    /// Version of OpenClaw that the state fits.
    pub version: &'a str,
    /// `onboard` or `configure`.
    pub command: &'a str,
}

/// Stamps `wizard`, and sets `gateway.mode` when it is missing.
pub fn stamp_wizard(root: &mut Value, stamp: WizardStamp<'_>) {
    let wizard = object_at(root, &["wizard"]);
    for (name, value) in [
        ("lastRunAt", stamp.at),
        ("lastRunVersion", stamp.version),
        ("lastRunCommand", stamp.command),
        ("lastRunMode", "local"),
    ] {
        wizard.insert(name.to_owned(), Value::from(value));
    }
    object_at(root, &["gateway"]).entry("mode").or_insert_with(|| Value::from("local"));
}

/// The block of a provider, made where it is missing; `models.mode` with it.
pub(super) fn provider_block<'a>(root: &'a mut Value, provider: &str) -> &'a mut Map<String, Value> {
    object_at(root, &["models"]).entry("mode").or_insert_with(|| Value::from("merge"));
    object_at(root, &["models", "providers", provider])
}

pub(super) fn models_of(block: &mut Map<String, Value>) -> &mut Vec<Value> {
    let models = block.entry("models").or_insert_with(|| json!([]));
    if !models.is_array() {
        *models = json!([]);
    }
    models.as_array_mut().unwrap_or_else(|| unreachable!("made an array just above"))
}

pub(super) fn has_id(entry: &Value, id: &str) -> bool {
    entry.get("id").and_then(Value::as_str) == Some(id)
}

pub(super) fn no_cost() -> Value {
    json!({"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_enabled_and_may_be_blocked() {
        let mut root = json!({"plugins": {"allow": ["openai"], "entries": {"mistral": {"config": 1}}}});
        enable_plugin(&mut root, "mistral");
        enable_plugin(&mut root, "mistral");
        assert_eq!(
            root,
            json!({"plugins": {"allow": ["openai", "mistral"], "entries": {"mistral": {"config": 1, "enabled": true}}}})
        );
        let blocked = |root: Value| plugin_block(&Config::from_value(&root), "mistral");
        assert_eq!(blocked(json!({"plugins": {"deny": ["mistral"]}})), Some("blocked by denylist"));
        assert_eq!(blocked(json!({"plugins": {"enabled": false}})), Some("plugins disabled"));
        assert_eq!(blocked(root), None);
    }

    #[test]
    fn a_default_model_keeps_fallbacks_and_aliases() {
        let mut root = json!({"agents": {"defaults": {"model": {"primary": "a/b", "fallbacks": ["c/d"]},
            "models": {"x/y": {"alias": "gpt"}, "openai/gpt-5.4": {"params": {}}}}}});
        apply_default_model(&mut root, "openai/gpt-5.4", Some("GPT"));
        assert_eq!(
            root["agents"]["defaults"],
            json!({"model": {"primary": "openai/gpt-5.4", "fallbacks": ["c/d"]},
                "models": {"x/y": {"alias": "gpt"}, "openai/gpt-5.4": {"params": {}}}})
        );
        let mut root = json!({"agents": {"defaults": {"model": "a/b"}}});
        apply_default_model(&mut root, "xai/grok-4", Some("Grok"));
        assert_eq!(
            root["agents"]["defaults"],
            json!({"model": {"primary": "xai/grok-4"}, "models": {"xai/grok-4": {"alias": "Grok"}}})
        );
    }

    #[test]
    fn endpoints_keep_what_the_user_wrote() {
        let mut root = json!({"models": {"mode": "replace", "providers": {"xai": {"headers": {"a": "b"}, "models": [{"id": "grok-4", "name": "Mine"}]}}}});
        apply_endpoint(&mut root, "xai", Some("https://api.x.ai/v1"), "openai-responses", "grok-4", None);
        apply_endpoint(&mut root, "xai", None, "openai-responses", "grok-5", Some("Grok 5"));
        assert_eq!(
            root["models"],
            json!({"mode": "replace", "providers": {"xai": {"headers": {"a": "b"},
                "models": [{"id": "grok-4", "name": "Mine"}, {"id": "grok-5", "name": "Grok 5"}],
                "baseUrl": "https://api.x.ai/v1", "api": "openai-responses"}}})
        );
    }

    #[test]
    fn a_key_stays_in_its_region() {
        for choice in ["zai-api-key", "zai-global", "zai-coding-global"] {
            assert!(zai_candidates(choice).iter().all(|(url, _)| url.starts_with("https://api.z.ai/")), "{choice}");
        }
        for choice in ["zai-cn", "zai-coding-cn"] {
            assert!(zai_candidates(choice).iter().all(|(url, _)| url.starts_with("https://open.bigmodel.cn/")));
        }
    }

    #[test]
    fn gateway_ids_are_plain() {
        let template = "https://gateway.ai.cloudflare.com/v1/ACCOUNT/GATEWAY/anthropic";
        assert_eq!(
            cloudflare_base_url(template, "acc_1", "gw-1").unwrap(),
            "https://gateway.ai.cloudflare.com/v1/acc_1/gw-1/anthropic"
        );
        for (account, gateway) in [("a/b", "g"), ("a", "../x"), ("", "g"), ("a", "g?")] {
            assert!(cloudflare_base_url(template, account, gateway).is_err());
        }
    }
}
