//! Replays the inputs that are kept for the fuzz targets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its inputs has nothing to report")]

#[path = "../../../fuzz/oauth_properties.rs"]
mod oauth_properties;

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn jwt_claims() {
    replay("jwt_claims", oauth_properties::jwt_claims);
}

#[test]
fn pasted() {
    replay("pasted", oauth_properties::pasted);
}

#[test]
fn token_answer() {
    replay("token_answer", oauth_properties::token_answer);
}
