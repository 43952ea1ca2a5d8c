//! A refresh that is stopped at every step (spec 04 sections 7.2 and 10): the old login or the new one, never a torn
//! file, never a wider mode, and nothing that stops the next run.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]
#![allow(clippy::print_stdout, reason = "the figures are worth seeing")]

mod common;

use std::path::Path;

use auth_oauth::{Access, Need, OAuthError, OAuthErrorKind, Origin, RefreshMemory};
use auth_store::faulty::{Fault, FaultyHost};
use common::{NOW, World, and, files_below, mode, token_of};
use serde_json::{Value, json};

const ID: &str = "openai-codex:x";
/// More than a refresh has.
const STEPS: usize = 40;
/// ENOSPC, EIO, EACCES.
const ERRORS: [i32; 3] = [28, 5, 13];

fn run(world: &World, agent: &str, host: &FaultyHost, memory: &RefreshMemory) -> Result<Access, OAuthError> {
    world.access_by(agent, ID, &Need::Use, host, &world.idp, memory)
}

/// Gives what a killed process left behind the number of a process that does not exist.
fn pretend_dead(dir: &Path) {
    let ours = std::process::id().to_string();
    for path in files_below(dir) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|end| end == "tmp") {
            let dead = path.with_file_name(name.replace(&format!(".{ours}."), ".999999999."));
            std::fs::rename(&path, dead).unwrap();
        } else if path.extension().is_some_and(|end| end == "lock") {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace(&ours, "999999999")).unwrap();
        }
    }
}

fn is_in(path: &Path, dir: &str) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with(dir))
}

/// What must hold after every step, whatever happened.
fn check(world: &World, agents: &[&str], old: &Value, fault: Fault) {
    for agent in agents {
        let now = world.profile(agent, ID);
        let renewed = now["access"] != old["access"];
        if renewed {
            assert_ne!(now["refresh"], old["refresh"], "{fault:?}: half of it was stored");
            assert!(world.idp.issuer.is_live(now["refresh"].as_str().unwrap()), "{fault:?}");
        } else {
            assert_eq!(now, *old, "{fault:?}");
        }
        assert_eq!(world.profile(agent, "groq:default")["key"], json!("gsk-test-canary"), "{fault:?}");
    }
    for path in files_below(world.dir.path()) {
        assert_eq!(mode(&path), 0o600, "{fault:?}: {}", path.display());
    }
}

fn prepared(agents: &[&str]) -> (World, Value) {
    let world = World::new();
    let login = and(world.login("openai-codex"), json!({"x": [1, 2]}));
    for agent in agents {
        let other = json!({"type": "api_key", "provider": "groq", "key": "gsk-test-canary"});
        world.put(agent, &json!({ID: login, "groq:default": other}));
    }
    (world, login)
}

/// How many steps a refresh without a fault has.
fn steps(agents: &[&str]) -> Vec<String> {
    let (world, _) = prepared(agents);
    let host = FaultyHost::new(world.dir.path());
    run(&world, agents.last().unwrap(), &host, &RefreshMemory::default()).unwrap();
    let steps = host.steps.borrow().clone();
    assert!(steps.len() < STEPS, "{steps:?}");
    steps
}

#[test]
fn an_error_at_any_step_leaves_the_old_or_the_new_login_and_the_tokens_in_memory() {
    for agents in [&["main"][..], &["main", "work"], &["main", "alpha"]] {
        let agent = agents.last().unwrap();
        let count = steps(agents).len();
        let (mut not_asked, mut kept, mut fine) = (0, 0, 0);
        for step in 0..count {
            for errno in ERRORS {
                let (world, old) = prepared(agents);
                let host = FaultyHost::new(world.dir.path());
                let fault = Fault::Error(step, errno);
                host.fault.set(fault);
                let memory = RefreshMemory::default();
                let result = run(&world, agent, &host, &memory);
                host.fault.set(Fault::None);
                check(&world, agents, &old, fault);
                match &result {
                    Ok(access) => {
                        fine += 1;
                        assert_eq!(world.profile(agent, ID)["access"], json!(token_of(access)), "{fault:?}");
                    }
                    Err(error) if world.idp.count() == 0 => {
                        not_asked += 1;
                        assert_ne!(error.kind, OAuthErrorKind::NotStored, "{fault:?}: {error}");
                    }
                    Err(error) => {
                        kept += 1;
                        assert_eq!(error.kind, OAuthErrorKind::NotStored, "{fault:?}: {error}");
                        assert!(error.message.contains("will be lost when this process ends"), "{error}");
                        assert!(error.message.contains("auth-profiles.json"), "{error}");
                        assert!(
                            error.message.contains("openclaw models auth login --provider openai-codex"),
                            "{error}"
                        );
                    }
                }
                // The next call stores what is in memory, without a second request.
                let asked = world.idp.count();
                let tokens = [*agent, "main"].map(|agent| {
                    let access = run(&world, agent, &host, &memory).unwrap();
                    token_of(&access).to_owned()
                });
                assert!(tokens[0] == tokens[1] && json!(tokens[0]) != old["access"], "{fault:?}");
                assert_eq!(world.profile("main", ID)["access"], json!(tokens[0]), "{fault:?}");
                assert_eq!(world.idp.count(), asked.max(1), "{fault:?}");
                assert_eq!(world.idp.issuer.counts().reuses, 0, "{fault:?}");
                check(&world, agents, &old, fault);
                if result.is_err() {
                    world.assert_clean();
                }
            }
        }
        println!("{agents:?}: {count} steps, {not_asked} not asked, {kept} kept in memory, {fine} unharmed");
        assert!(not_asked > 0 && kept > 0 && fine > 0);
    }
}

#[test]
fn a_process_that_is_gone_at_any_step_leaves_nothing_that_stops_the_next() {
    for agents in [&["main"][..], &["main", "work"]] {
        let agent = agents.last().unwrap();
        let steps = steps(agents);
        let (mut old_left, mut new_left, mut lost) = (0, 0, Vec::new());
        for (step, name) in steps.iter().enumerate() {
            let (world, old) = prepared(agents);
            let host = FaultyHost::new(world.dir.path());
            let fault = Fault::Kill(step);
            host.fault.set(fault);
            let _ = run(&world, agent, &host, &RefreshMemory::default());
            check(&world, agents, &old, fault);
            host.fault.set(Fault::None);
            pretend_dead(world.dir.path());

            // The next process knows nothing of the first.
            let stored = world.profile("main", ID);
            let result = run(&world, agent, &host, &RefreshMemory::default());
            if world.idp.issuer.counts().reuses > 0 {
                // The answer had come and was not on the disk yet: that window is told of in the documentation.
                assert!(result.unwrap_err().message.contains("refresh_token_reused"), "{fault:?}");
                lost.push(name.clone());
                continue;
            }
            let access = result.unwrap();
            if stored["access"] == old["access"] {
                old_left += 1;
                assert_eq!((access.origin, world.idp.count()), (Origin::Refreshed, 1), "{fault:?}");
            } else {
                new_left += 1;
                assert_eq!(world.idp.count(), 1, "{fault:?}: the new token is used");
                assert_eq!(stored["access"], json!(token_of(&access)));
            }
            check(&world, agents, &old, fault);
            // Nor does what it left behind stop one who needs the locks.
            let memory = RefreshMemory::default();
            world.access_by(agent, ID, &Need::Newer, &host, &world.idp, &memory).unwrap();
            if agents.len() == 1 {
                // The lock of a token that is spent is nobody's any more, so that nobody removes it.
                let left = files_below(world.dir.path());
                assert!(
                    left.iter().all(|path| path.ends_with("auth-profiles.json") || is_in(path, "locks")),
                    "{left:?}"
                );
                assert!(left.len() <= 2, "{fault:?}: {left:?}");
            }
        }
        println!("{agents:?}: {} steps, old {old_left}, new {new_left}, lost at {lost:?}", steps.len());
        assert!(old_left > 0 && new_left > 0);
        // From the answer to the rename of the first store: nothing else.
        assert_eq!(lost, ["create", "write", "sync", "rename"]);
    }
}

#[test]
fn tokens_that_ended_in_memory_are_refreshed_with_what_was_kept() {
    let (world, _) = prepared(&["main"]);
    let host = FaultyHost::new(world.dir.path());
    let rename = steps(&["main"]).iter().position(|step| step == "rename").unwrap();
    host.fault.set(Fault::Error(rename, 28));
    assert_eq!(run(&world, "main", &host, &world.memory).unwrap_err().kind, OAuthErrorKind::NotStored);
    host.fault.set(Fault::None);
    world.idp.pass(std::time::Duration::from_secs(2 * 3600));
    let access = run(&world, "main", &host, &world.memory).unwrap();
    assert_eq!((access.origin.clone(), world.idp.count()), (Origin::Refreshed, 2));
    assert!(access.expires_ms.unwrap() > 1_900_007_000_000.0 && NOW < world.idp.now());
    assert_eq!(world.profile("main", ID)["access"], json!(token_of(&access)));
    assert_eq!(world.idp.issuer.counts().reuses, 0);
    world.assert_clean();
}

#[test]
fn as_long_as_it_cannot_be_stored_the_error_says_so_and_nothing_is_asked() {
    let (world, old) = prepared(&["main"]);
    let host = FaultyHost::new(world.dir.path());
    let rename = steps(&["main"]).iter().position(|step| step == "rename").unwrap();
    host.fault.set(Fault::Error(rename, 28));
    run(&world, "main", &host, &world.memory).unwrap_err();
    // Now not even a lock can be made.
    for _ in 0..3 {
        let create = host.steps.borrow().len();
        host.fault.set(Fault::Error(create, 13));
        let error = run(&world, "main", &host, &world.memory).unwrap_err();
        assert_eq!((error.kind, world.idp.count()), (OAuthErrorKind::NotStored, 1), "{error}");
        assert_eq!(world.profile("main", ID), old);
    }
    host.fault.set(Fault::None);
    // A new login of the user's makes what was kept worthless.
    let newer = world.login("openai-codex");
    world.put("main", &json!({ID: newer}));
    let access = run(&world, "main", &host, &world.memory).unwrap();
    assert_eq!((access.origin, world.idp.count()), (Origin::Refreshed, 2));
    assert_eq!(world.idp.last("oauth/token").refresh_token().as_deref(), newer["refresh"].as_str());
}

#[test]
fn one_of_two_stores_that_cannot_be_written_does_not_cost_the_other() {
    for (which, agent) in [(0, "work"), (1, "work")] {
        let (world, old) = prepared(&["main", "work"]);
        let host = FaultyHost::new(world.dir.path());
        let steps = steps(&["main", "work"]);
        let renames: Vec<usize> = (0..steps.len()).filter(|at| steps[*at] == "rename").collect();
        // A fault before the other rename shifts nothing: the temporary file is removed in the place of the sync.
        host.fault.set(Fault::Error(renames[which], 28));
        let error = run(&world, agent, &host, &world.memory).unwrap_err();
        assert_eq!(error.kind, OAuthErrorKind::NotStored);
        assert!(error.message.contains("This copy of the login will be lost"), "{error}");
        let (failed, stored) = if which == 0 { ("main", "work") } else { ("work", "main") };
        assert_eq!(world.profile(failed, ID), old);
        assert!(world.idp.issuer.is_live(world.profile(stored, ID)["refresh"].as_str().unwrap()));
        host.fault.set(Fault::None);
        // Each agent gets the new token, also the one whose store has the old one.
        for agent in ["work", "main"] {
            let access = run(&world, agent, &host, &world.memory).unwrap();
            assert_eq!(json!(token_of(&access)), world.profile(stored, ID)["access"], "{which} {agent}");
        }
        assert_eq!((world.idp.count(), world.idp.issuer.counts().reuses), (1, 0));
        world.assert_clean();
    }
}
