//! Settings that moved, settings out of bounds, and keys that do not belong into the config (spec 06 section 5).

use std::fmt::Write as _;

use auth_core::config::{ConfigPath, PathPart};
use serde_json::{Map, Value};

/// A setting that has another place now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

const X_SEARCH: Moved = Moved { from: "tools.web.x_search.apiKey", to: "plugins.entries.xai.config.webSearch.apiKey" };
const BEDROCK: Moved = Moved { from: "models.bedrockDiscovery", to: "plugins.entries.amazon-bedrock.config.discovery" };
const MEMORY: Moved = Moved { from: "memorySearch", to: "agents.defaults.memorySearch" };

/// Moves every setting that has another place now. What stands there already wins.
pub(crate) fn move_settings(root: &mut Value) -> Vec<Moved> {
    let mut moved = Vec::new();
    if let Some(key) = take(root, &["tools", "web", "x_search", "apiKey"])
        && let Some(entry) = object_at(root, &["plugins", "entries", "xai"])
    {
        if entry.get("enabled") != Some(&Value::Bool(false)) {
            entry.insert("enabled".to_owned(), Value::Bool(true));
        }
        if let Some(search) = object_at(root, &["plugins", "entries", "xai", "config", "webSearch"]) {
            search.entry("apiKey").or_insert(key);
        }
        moved.push(X_SEARCH);
    }
    if root.pointer("/models/bedrockDiscovery").is_some_and(Value::is_object)
        && let Some(found) = take(root, &["models", "bedrockDiscovery"])
        && let Some(target) = object_at(root, &["plugins", "entries", "amazon-bedrock", "config", "discovery"])
    {
        fill(target, found);
        moved.push(BEDROCK);
    }
    if root.get("memorySearch").is_some_and(Value::is_object)
        && let Some(found) = take(root, &["memorySearch"])
        && let Some(target) = object_at(root, &["agents", "defaults", "memorySearch"])
    {
        fill(target, found);
        moved.push(MEMORY);
    }
    moved
}

/// The object at a path, made where it is missing; `None` when something else stands on the way.
fn object_at<'a>(root: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    path.iter()
        .try_fold(root, |at, key| Some(at.as_object_mut()?.entry(*key).or_insert_with(|| Value::Object(Map::new()))))?
        .as_object_mut()
}

/// Takes a member out, with the objects that then hold nothing. Its target must be free of obstacles: a value that
/// could not be put there stays.
fn take(root: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, above) = path.split_last()?;
    let pointer = |path: &[&str]| if path.is_empty() { String::new() } else { format!("/{}", path.join("/")) };
    let target = match path {
        ["tools", ..] => X_SEARCH.to,
        ["models", ..] => BEDROCK.to,
        _ => MEMORY.to,
    };
    let parents: Vec<&str> = target.split('.').collect();
    let parents = if path == ["tools", "web", "x_search", "apiKey"] { &parents[..parents.len() - 1] } else { &parents };
    let blocked = (1..=parents.len())
        .any(|depth| root.pointer(&pointer(&parents[..depth])).is_some_and(|value| !value.is_object()));
    if blocked {
        return None;
    }
    let found = root.pointer_mut(&pointer(above))?.as_object_mut()?.shift_remove(*last)?;
    for depth in (1..=above.len()).rev() {
        let (name, parent) = above[..depth].split_last()?;
        let parent = root.pointer_mut(&pointer(parent))?.as_object_mut()?;
        if parent.get(*name).and_then(Value::as_object).is_some_and(Map::is_empty) {
            parent.shift_remove(*name);
        }
    }
    Some(found)
}

/// Adds what is missing, level by level.
fn fill(target: &mut Map<String, Value>, from: Value) {
    let Value::Object(from) = from else { return };
    for (key, value) in from {
        match target.get_mut(&key) {
            None => drop(target.insert(key, value)),
            Some(Value::Object(below)) => fill(below, value),
            Some(_) => {}
        }
    }
}

/// Lowers output limits of Mistral models that reach their whole context. Returns the paths.
pub(crate) fn lower_mistral_limits(root: &mut Value) -> Vec<String> {
    let models = root.pointer_mut("/models/providers/mistral/models").and_then(Value::as_array_mut);
    let mut lowered = Vec::new();
    for (at, model) in models.into_iter().flatten().enumerate() {
        let Some(id) = model.get("id").and_then(Value::as_str) else { continue };
        let safe = match id {
            "devstral-medium-latest" | "pixtral-large-latest" => 32_768.0,
            "magistral-small" => 40_000.0,
            "mistral-large-latest" | "mistral-small-latest" => 16_384.0,
            _ => 8_192.0,
        };
        let number = |name: &str| model.get(name).and_then(Value::as_f64).filter(|n| n.is_finite());
        let (Some(window), Some(limit)) = (number("contextWindow"), number("maxTokens")) else { continue };
        let wanted = window.min(safe);
        if limit >= window && limit > wanted {
            #[expect(clippy::cast_possible_truncation, reason = "at most 40000, or a window that is smaller")]
            let whole = if wanted.fract() == 0.0 { Value::from(wanted as i64) } else { Value::from(wanted) };
            model["maxTokens"] = whole;
            lowered.push(format!("models.providers.mistral.models[{at}].maxTokens"));
        }
    }
    lowered
}

/// The sections that the config may have. Generous: what any version had is not taken for a mistake.
const SECTIONS: &[&str] = &[
    "$schema",
    "$include",
    "acp",
    "agents",
    "approvals",
    "audio",
    "auth",
    "bindings",
    "broadcast",
    "browser",
    "canvasHost",
    "channels",
    "cli",
    "commands",
    "cron",
    "diagnostics",
    "discovery",
    "env",
    "gateway",
    "hooks",
    "logging",
    "mcp",
    "media",
    "memory",
    "messages",
    "meta",
    "models",
    "nodeHost",
    "plugins",
    "proxy",
    "secrets",
    "security",
    "session",
    "skills",
    "talk",
    "tasks",
    "tools",
    "transcripts",
    "tts",
    "ui",
    "update",
    "web",
    "webchat",
    "wizard",
];

/// Keys of the document itself that do not belong there.
pub(crate) fn unknown_sections(root: &Value) -> Vec<ConfigPath> {
    let moved = |key: &str| key == MEMORY.from && root.get(key).is_some_and(Value::is_object);
    let keys = root.as_object().into_iter().flat_map(Map::keys);
    let unknown = keys.filter(|key| !SECTIONS.contains(&key.as_str()) && !moved(key));
    unknown.map(|key| ConfigPath::default().key(key)).collect()
}

/// Removes the member at a path.
pub(crate) fn remove_at(root: &mut Value, path: &ConfigPath) {
    let Some((last, above)) = path.parts().split_last() else { return };
    let mut at = root;
    for part in above {
        let next = match part {
            PathPart::Key(key) => at.get_mut(key.as_str()),
            PathPart::Index(index) => at.get_mut(*index),
        };
        let Some(next) = next else { return };
        at = next;
    }
    if let (PathPart::Key(key), Some(members)) = (last, at.as_object_mut()) {
        members.shift_remove(key);
    }
}

/// A path as people write it: `agents.list[0].id`.
pub(crate) fn dotted(path: &ConfigPath) -> String {
    let mut out = String::new();
    for part in path.parts() {
        match part {
            PathPart::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.extend(key.chars().filter(|c| !c.is_control()));
            }
            PathPart::Index(index) => {
                let _ = write!(out, "[{index}]");
            }
        }
    }
    if out.is_empty() { "<root>".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn moved(root: &Value) -> (Value, usize) {
        let mut root = root.clone();
        let count = move_settings(&mut root).len();
        (root, count)
    }

    #[test]
    fn settings_move_and_never_replace() {
        let (after, count) = moved(&json!({"tools": {"web": {"x_search": {"apiKey": "k"}, "fetch": {}}},
            "models": {"bedrockDiscovery": {"enabled": true, "region": "a"}}, "memorySearch": {"remote": {"apiKey": "m", "url": "u"}},
            "agents": {"defaults": {"memorySearch": {"remote": {"url": "mine"}}}},
            "plugins": {"entries": {"amazon-bedrock": {"config": {"discovery": {"region": "b"}}}}}}));
        assert_eq!(count, 3);
        assert_eq!(
            after,
            json!({"tools": {"web": {"fetch": {}}},
                "agents": {"defaults": {"memorySearch": {"remote": {"url": "mine", "apiKey": "m"}}}},
                "plugins": {"entries": {"amazon-bedrock": {"config": {"discovery": {"region": "b", "enabled": true}}},
                    "xai": {"enabled": true, "config": {"webSearch": {"apiKey": "k"}}}}}})
        );
        assert_eq!(moved(&after), (after.clone(), 0));
        let (after, _) = moved(&json!({"tools": {"web": {"x_search": {"apiKey": "old", "x": 1}}},
            "plugins": {"entries": {"xai": {"enabled": false, "config": {"webSearch": {"apiKey": "new"}}}}}}));
        assert_eq!(
            after,
            json!({"tools": {"web": {"x_search": {"x": 1}}},
                "plugins": {"entries": {"xai": {"enabled": false, "config": {"webSearch": {"apiKey": "new"}}}}}})
        );
    }

    #[test]
    fn a_key_that_has_no_free_target_stays() {
        let blocked = json!({"tools": {"web": {"x_search": {"apiKey": "k"}}}, "plugins": {"entries": []}});
        assert_eq!(moved(&blocked), (blocked.clone(), 0));
        let odd = json!({"memorySearch": 5});
        assert_eq!(moved(&odd), (odd.clone(), 0));
        assert_eq!(unknown_sections(&odd).len(), 1);
    }

    #[test]
    fn limits_are_lowered_once() {
        let mut root = json!({"models": {"providers": {"mistral": {"models": [
            {"id": "mistral-large-latest", "contextWindow": 131_072, "maxTokens": 131_072},
            {"id": "x", "contextWindow": 4096, "maxTokens": 5000}, {"id": "y", "contextWindow": 4096, "maxTokens": 100},
            {"id": "z", "contextWindow": 4096, "maxTokens": 4096}, {"contextWindow": 1, "maxTokens": 2}]}}}});
        assert_eq!(lower_mistral_limits(&mut root).len(), 2);
        assert_eq!(root["models"]["providers"]["mistral"]["models"][0]["maxTokens"], 16_384);
        assert_eq!(root["models"]["providers"]["mistral"]["models"][1]["maxTokens"], 4096);
        assert!(lower_mistral_limits(&mut root).is_empty());
    }

    #[test]
    fn unknown_keys_go_by_their_path() {
        let mut root = json!({"bogus": 1, "gateway": {}, "a": {"list": [{"x": 1, "y": 2}]}});
        assert_eq!(unknown_sections(&root).iter().map(dotted).collect::<Vec<_>>(), ["bogus", "a"]);
        let path = ConfigPath::default().key("a").key("list").index(0).key("x");
        assert_eq!(dotted(&path), "a.list[0].x");
        remove_at(&mut root, &path);
        remove_at(&mut root, &ConfigPath::default().key("gone").key("x"));
        assert_eq!(root["a"]["list"], json!([{"y": 2}]));
    }
}
