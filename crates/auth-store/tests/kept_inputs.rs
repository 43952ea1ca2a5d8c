//! Replays the inputs that are kept for the fuzz target of `openclaw.json`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read its inputs has nothing to report")]

#[path = "../../../fuzz/config_properties.rs"]
mod config_properties;

#[path = "../../../fuzz/replay.rs"]
mod replay;

#[test]
fn config_edit() {
    replay::replay("config_edit", config_properties::config_edit);
}
