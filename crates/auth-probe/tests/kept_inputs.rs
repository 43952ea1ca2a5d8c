//! Replays the inputs that are kept for the fuzz targets.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its inputs has nothing to report")]

#[path = "../../../fuzz/probe_properties.rs"]
mod probe_properties;

use std::path::Path;

fn replay(target: &str, property: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        property(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "no inputs in {}", dir.display());
}

#[test]
fn live_reply() {
    replay("live_reply", probe_properties::live_reply);
}

#[test]
fn error_body() {
    replay("error_body", probe_properties::error_body);
}
