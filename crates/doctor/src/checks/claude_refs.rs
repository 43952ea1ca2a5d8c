//! References to models of the Claude CLI in the config: `claude-cli/claude-…` is the same model of Anthropic.

use serde_json::{Map, Value};

const PREFIX: &str = "claude-cli/";

/// A reference that was found.
pub(super) struct FoundRef {
    /// Where, dotted.
    pub(super) path: String,
    /// The model behind the prefix.
    pub(super) model: String,
    /// Whether it is one of those that are rewritten.
    pub(super) rewritable: bool,
}

impl FoundRef {
    /// What to set instead, as far as that is known.
    pub(super) fn suggestion(&self) -> String {
        let model = self.model.trim();
        if model.to_ascii_lowercase().starts_with("claude-") {
            format!("anthropic/{model}")
        } else {
            "anthropic/<model>".to_owned()
        }
    }
}

fn model_of(text: &str) -> Option<&str> {
    let text = text.trim();
    let prefix = text.get(..PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then(|| text[PREFIX.len()..].trim())
}

/// The reference to the same model of Anthropic.
fn rewritten(text: &str) -> Option<String> {
    let model = model_of(text)?;
    let known = model.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("claude-"));
    known.then(|| format!("anthropic/{model}"))
}

/// The settings of models: by their names, wherever they stand below an agent.
const MODEL_SETTINGS: &[&str] = &["model", "imageModel"];
/// Blocks with a model setting of their own.
const BLOCKS: &[&str] = &["subagents", "heartbeat"];

/// Every reference, those that are rewritten first.
pub(super) fn find(root: &Value) -> Vec<FoundRef> {
    let mut found = Vec::new();
    let mut copy = root.clone();
    visit(&mut copy, &mut |path, text| {
        let model = model_of(text)?;
        let new = rewritten(text);
        let (path, model) = (path.to_owned(), model.to_owned());
        found.push(FoundRef { path, model, rewritable: new.is_some() });
        new
    });
    // What was rewritten is gone from the copy, so that only the rest is seen elsewhere.
    let known: Vec<String> = found.iter().map(|found| found.path.clone()).collect();
    elsewhere(&copy, "", &mut |path, text| {
        if let Some(model) = model_of(text).filter(|_| !known.iter().any(|known| known == path)) {
            found.push(FoundRef { path: path.to_owned(), model: model.to_owned(), rewritable: false });
        }
    });
    found
}

/// Rewrites every reference that can be.
pub(super) fn rewrite(root: &mut Value) {
    visit(root, &mut |_, text| rewritten(text));
}

/// Goes through the model settings of the agents; `change` may give a text another value, and a member another name.
fn visit(root: &mut Value, change: &mut dyn FnMut(&str, &str) -> Option<String>) {
    let Some(agents) = root.get_mut("agents") else { return };
    if let Some(defaults) = agents.get_mut("defaults") {
        visit_agent(defaults, "agents.defaults", change);
    }
    let list = agents.get_mut("list").and_then(Value::as_array_mut);
    for (at, agent) in list.into_iter().flatten().enumerate() {
        visit_agent(agent, &format!("agents.list[{at}]"), change);
    }
}

fn visit_agent(agent: &mut Value, at: &str, change: &mut dyn FnMut(&str, &str) -> Option<String>) {
    for name in MODEL_SETTINGS {
        if let Some(setting) = agent.get_mut(name) {
            visit_setting(setting, &format!("{at}.{name}"), change);
        }
    }
    for block in BLOCKS {
        if let Some(setting) = agent.get_mut(block).and_then(|block| block.get_mut("model")) {
            visit_setting(setting, &format!("{at}.{block}.model"), change);
        }
    }
    if let Some(models) = agent.get_mut("models").and_then(Value::as_object_mut) {
        let renamed: Vec<(String, String)> =
            models.keys().filter_map(|key| Some((key.clone(), change(&format!("{at}.models.{key}"), key)?))).collect();
        for (old, new) in renamed {
            rename_member(models, &old, &new);
        }
    }
}

fn visit_setting(setting: &mut Value, at: &str, change: &mut dyn FnMut(&str, &str) -> Option<String>) {
    match setting {
        Value::String(text) => {
            if let Some(new) = change(at, text) {
                *text = new;
            }
        }
        Value::Object(members) => {
            if let Some(primary) = members.get_mut("primary") {
                visit_setting(primary, &format!("{at}.primary"), change);
            }
            let fallbacks = members.get_mut("fallbacks").and_then(Value::as_array_mut);
            for (n, fallback) in fallbacks.into_iter().flatten().enumerate() {
                visit_setting(fallback, &format!("{at}.fallbacks[{n}]"), change);
            }
        }
        _ => {}
    }
}

/// Gives a member another name at its place; one that has the name already wins.
fn rename_member(members: &mut Map<String, Value>, old: &str, new: &str) {
    if members.contains_key(new) {
        members.shift_remove(old);
        return;
    }
    *members = std::mem::take(members)
        .into_iter()
        .map(|(key, value)| if key == old { (new.to_owned(), value) } else { (key, value) })
        .collect();
}

/// Goes through every text and every name of a member.
fn elsewhere(value: &Value, at: &str, see: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => see(at, text),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| elsewhere(item, &format!("{at}[{n}]"), see));
        }
        Value::Object(members) => {
            for (key, item) in members {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                see(&path, key);
                elsewhere(item, &path, see);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_rewritten_where_agents_have_them() {
        let root = json!({"agents": {
            "defaults": {"model": {"primary": "Claude-CLI/ claude-opus-4-6", "fallbacks": ["claude-cli/opus", "a/b"]},
                "imageModel": "claude-cli/Claude-x", "models": {"claude-cli/claude-a": {"alias": "a"}, "anthropic/claude-b": {}, "claude-cli/claude-b": {}}},
            "list": [{"id": "w", "model": "claude-cli/claude-c", "subagents": {"model": "claude-cli/claude-d"},
                "heartbeat": {"model": {"primary": "claude-cli/claude-e"}}}]},
            "hooks": {"gmail": {"model": "claude-cli/claude-f"}}});
        let found = find(&root);
        let left: Vec<&str> = found.iter().filter(|f| !f.rewritable).map(|f| f.path.as_str()).collect();
        assert_eq!(left, ["agents.defaults.model.fallbacks[0]", "hooks.gmail.model"]);
        let mut after = root.clone();
        rewrite(&mut after);
        assert_eq!(
            after["agents"],
            json!({"defaults": {"model": {"primary": "anthropic/claude-opus-4-6", "fallbacks": ["claude-cli/opus", "a/b"]},
                "imageModel": "anthropic/Claude-x", "models": {"anthropic/claude-a": {"alias": "a"}, "anthropic/claude-b": {}}},
            "list": [{"id": "w", "model": "anthropic/claude-c", "subagents": {"model": "anthropic/claude-d"},
                "heartbeat": {"model": {"primary": "anthropic/claude-e"}}}]})
        );
        assert_eq!(after["hooks"], root["hooks"]);
        assert!(find(&after).iter().all(|found| !found.rewritable));
        assert!(find(&json!({"a": ["", "é", "claude-cli"]})).is_empty());
    }
}
