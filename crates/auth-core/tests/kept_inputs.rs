//! Replays the inputs that are kept for the fuzz targets.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its inputs has nothing to report")]
#![expect(clippy::disallowed_methods, reason = "the inputs are files; the crate itself reads none")]

#[path = "../../../fuzz/properties.rs"]
mod properties;

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

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
