//! What must hold for any `openclaw.json`. Used by the fuzz target and by the test that replays its kept corpus.

use auth_core::config::edit::{self, ModelSlot};
use auth_store::{ConfigPlanner, MapHost, State, parse_json5};
use serde_json::Value;

const PATH: &str = "/home/u/.openclaw/openclaw.json";

/// Any text is a config or an error. An edit changes what it is about, keeps the rest and the comments, and a second one
/// changes nothing.
pub(crate) fn config_edit(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let before = parse_json5(text);
    let edit = |root: &mut Value| edit::set_primary(root, ModelSlot::Text, "groq/llama-fuzz").map(drop);
    let plan = |text: &str| {
        let host = MapHost::new("/home/u").file(PATH, text);
        let empty = State::load(&MapHost::new("/home/u"), None).expect("an empty state");
        let planner = ConfigPlanner::new(&empty.layout, &empty.environment, &host).accepting_invalid();
        planner.plan(&edit).ok().and_then(|plan| plan.files.into_iter().next_back()).map(|file| file.after)
    };
    let Some(after) = plan(text) else { return };
    let (before, now) = (before.unwrap_or_default(), parse_json5(&after).expect("what was written can be read"));
    assert_eq!(
        now.pointer("/agents/defaults/model/primary").or(now.pointer("/agents/defaults/model")),
        Some(&"groq/llama-fuzz".into())
    );
    for (key, value) in before.as_object().into_iter().flatten() {
        // `meta` is stamped, the models of the agents are what the edit is about.
        assert!(key == "agents" || key == "meta" || now.get(key) == Some(value), "{key} has changed");
    }
    assert!(plan(&after).is_none(), "a second edit changes the text");
}
