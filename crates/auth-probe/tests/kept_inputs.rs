//! Replays the inputs that are kept for the fuzz targets.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its inputs has nothing to report")]

#[path = "../../../fuzz/probe_properties.rs"]
mod probe_properties;

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn live_reply() {
    replay("live_reply", probe_properties::live_reply);
}

#[test]
fn error_body() {
    replay("error_body", probe_properties::error_body);
}
