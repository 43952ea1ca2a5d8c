//! Replays the inputs that are kept for the fuzz targets.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its inputs has nothing to report")]
#![expect(clippy::disallowed_methods, reason = "the inputs are files; the crate itself reads none")]

#[path = "../../../fuzz/properties.rs"]
mod properties;

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
fn secret_ref() {
    replay("secret_ref", properties::secret_ref);
}

#[test]
fn json_pointer() {
    replay("json_pointer", properties::json_pointer);
}

#[test]
fn exec_response() {
    replay("exec_response", properties::exec_response);
}
