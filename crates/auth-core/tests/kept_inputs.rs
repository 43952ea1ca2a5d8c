//! Replays the inputs that are kept for the fuzz targets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read its inputs has nothing to report")]
#![expect(clippy::disallowed_methods, reason = "the inputs are files; the crate itself reads none")]

#[path = "../../../fuzz/properties.rs"]
mod properties;

#[path = "../../../fuzz/file_properties.rs"]
mod file_properties;

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

#[test]
fn profiles() {
    replay("profiles", file_properties::profiles);
}

#[test]
fn dotenv() {
    replay("dotenv", file_properties::dotenv);
}

#[test]
fn durations() {
    replay("durations", file_properties::durations);
}

#[test]
fn directives() {
    replay("directives", file_properties::directives);
}
