//! Reads the store of an agent and changes one thing in it, as safely as the program does: under the lock that others
//! know, in one step, with every field that is not known here left as it was.
//!
//! ```sh
//! cargo run -p auth-store --example read_and_change
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use auth_core::{AgentId, Config, Environment, ProfileId, ProviderId};
use auth_store::{RealHost, StateLayout, StoreWriter};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    // A state directory of its own, with a store that another program wrote too.
    let home = std::env::temp_dir().join(format!("read-and-change-{}", std::process::id()));
    let environment = Environment::from_process([("HOME".to_owned(), home.to_string_lossy().into_owned())]);
    let layout = StateLayout::resolve(&environment, &RealHost);
    let dir = layout.agent_dir(&Config::default(), &AgentId::main());
    std::fs::create_dir_all(&dir)?;
    std::fs::write(
        dir.join("auth-profiles.json"),
        r#"{"version": 1, "profiles": {"groq:old": {"type": "api_key", "provider": "groq", "key": "sk-test-old-0000000001"}}, "theirs": [1, 2]}"#,
    )?;

    let writer = StoreWriter::new(&dir, &layout, &environment, &RealHost);
    for profile in writer.read()?.store.iter() {
        println!("before: {} ({})", profile.id, profile.provider);
    }

    // Locked, read again, changed, written: `write` wants the guard, so that nobody forgets the lock. Without a guard
    // it is a dry run.
    let (new, groq) = (ProfileId::new("groq:new"), ProviderId::normalise("groq"));
    let guard = writer.lock()?;
    let mut open = writer.read()?;
    open.document.put_profile(
        &new,
        &[("type", json!("api_key")), ("provider", json!("groq")), ("key", json!("sk-test-new-0000000002"))],
    );
    open.document.set_order(&groq, Some(&[new.clone(), ProfileId::new("groq:old")]));
    let change = writer.write(Some(&guard), &open, &[&new])?;
    drop(guard);
    assert!(change.changed);

    let after = writer.read()?;
    for profile in after.store.iter() {
        println!("after: {} ({})", profile.id, profile.provider);
    }
    assert_eq!(after.store.iter().count(), 2);
    assert!(std::fs::read_to_string(writer.path())?.contains("theirs"), "unknown fields stay");
    std::fs::remove_dir_all(&home)?;
    Ok(())
}
