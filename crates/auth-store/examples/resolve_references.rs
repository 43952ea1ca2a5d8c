//! Resolves references to variables as a program of your own would, and tells how long that took.
//!
//! `cargo run --release -p auth-store --example resolve_references -- 1000`

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::Instant;

use auth_core::secrets::SecretsConfig;
use auth_core::{Environment, RefState, SecretRef};
use auth_store::secrets::{ExecPolicy, Resolver};
use auth_store::{MapHost, StateLayout};
use serde_json::json;

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let host = MapHost::new("/home/u");
    let variables = (0..count).map(|i| (format!("KEY_{i}"), format!("sk-test-variable-{i:012}")));
    let environment = Environment::from_process(variables);
    let layout = StateLayout::resolve(&environment, &host);
    let secrets = SecretsConfig::from_value(Some(&json!({"resolution": {"maxRefsPerProvider": count.clamp(1, 4096)}})));
    let references: Vec<SecretRef> =
        (0..count).map(|i| SecretRef::env(&format!("KEY_{i}"), &secrets.defaults)).collect();

    let start = Instant::now();
    let resolver = Resolver::new(&secrets, &environment, &layout, &host, ExecPolicy::Never);
    let states = resolver.resolve(&references);
    let found = references.iter().filter(|reference| matches!(states.get(reference), RefState::Resolved(_)));
    println!("{} of {count} references resolved in {:.2} ms", found.count(), start.elapsed().as_secs_f64() * 1000.0);
}
