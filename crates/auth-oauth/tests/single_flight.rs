//! One refresh however many ask at once (spec 04 sections 7.2 and 10): threads of one process.
//!
//! Figures are printed; see them with `--nocapture`.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]
#![allow(clippy::print_stdout, reason = "the figures are worth seeing")]

mod common;

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Duration;

use auth_oauth::{Need, Origin, RefreshMemory};
use auth_store::RealHost;
use common::idp::Idp;
use common::issuer::Counts;
use common::{World, token_of};
use serde_json::json;

const THREADS: usize = 16;

/// What the threads got.
struct Outcome {
    tokens: Vec<String>,
    errors: Vec<String>,
    origins: BTreeMap<String, usize>,
}

/// Every thread asks at the same moment, each for one of the agents.
fn all_at_once(world: &World, agents: &[&str], id: &str, need: &Need, one_memory: bool) -> Outcome {
    let barrier = Barrier::new(THREADS);
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|at| {
                let (barrier, agent) = (&barrier, agents[at % agents.len()]);
                scope.spawn(move || {
                    let own = RefreshMemory::default();
                    let memory = if one_memory { &world.memory } else { &own };
                    barrier.wait();
                    world.access_by(agent, id, need, &RealHost, &world.idp, memory)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut outcome = Outcome { tokens: Vec::new(), errors: Vec::new(), origins: BTreeMap::new() };
    for result in results {
        match result {
            Ok(access) => {
                outcome.tokens.push(token_of(&access).to_owned());
                *outcome.origins.entry(format!("{:?}", access.origin)).or_default() += 1;
            }
            Err(error) => outcome.errors.push(error.to_string()),
        }
    }
    println!(
        "{THREADS} threads, agents {agents:?}: {:?}, successes {}, {:?}",
        world.idp.issuer.counts(),
        outcome.tokens.len(),
        outcome.origins
    );
    outcome
}

/// One request, the same new token for all, and it is what main's store holds.
fn assert_one_refresh(world: &World, outcome: &Outcome, id: &str) {
    assert_eq!(outcome.errors, Vec::<String>::new());
    assert_eq!(world.idp.issuer.counts(), Counts { requests: 1, rotations: 1, reuses: 0 });
    let stored = world.profile("main", id);
    assert!(outcome.tokens.iter().all(|token| stored["access"] == json!(token)));
    assert!(world.idp.issuer.is_live(stored["refresh"].as_str().unwrap()));
    assert_eq!(common::mode(&world.store_path("main")), 0o600);
    world.assert_clean();
}

#[test]
fn threads_with_one_login_make_one_request() {
    for one_memory in [true, false] {
        for provider in ["openai-codex", "anthropic", "minimax-portal"] {
            let world = World::with(Idp::slow(Duration::from_millis(150)));
            let id = format!("{provider}:x");
            world.put("main", &json!({&id: world.login(provider)}));
            let outcome = all_at_once(&world, &["main"], &id, &Need::Use, one_memory);
            assert_one_refresh(&world, &outcome, &id);
            assert_eq!(outcome.origins[&format!("{:?}", Origin::Refreshed)], 1, "one of them did the work");
        }
    }
}

#[test]
fn agents_with_copies_of_one_login_make_one_request() {
    // One sorts before `main`, the other after it: the locks are taken in one order whoever asks.
    for agents in [["main", "work"], ["alpha", "main"]] {
        let world = World::with(Idp::slow(Duration::from_millis(150)));
        let login = world.login("openai-codex");
        for agent in agents {
            world.put(agent, &json!({"openai-codex:x": login}));
        }
        let outcome = all_at_once(&world, &agents, "openai-codex:x", &Need::Use, false);
        assert_one_refresh(&world, &outcome, "openai-codex:x");
        // Where main itself refreshed, the copy of another agent is as it was, and main's login serves it.
        for agent in agents {
            let access = world.access(agent, "openai-codex:x", &Need::Use).unwrap();
            assert_eq!(token_of(&access), outcome.tokens[0], "{agent}");
        }
        assert_eq!(world.idp.count(), 1);
    }
}

#[test]
fn agents_that_read_through_main_make_one_request() {
    let world = World::with(Idp::slow(Duration::from_millis(150)));
    world.put("main", &json!({"openai-codex:x": world.login("openai-codex")}));
    let outcome = all_at_once(&world, &["main", "work", "alpha"], "openai-codex:x", &Need::Use, false);
    assert_one_refresh(&world, &outcome, "openai-codex:x");
    assert!(!world.store_path("work").exists() && !world.store_path("alpha").exists(), "nothing was copied");
}

#[test]
fn a_token_that_can_be_used_again_is_sent_once_too() {
    let world = World::with(Idp::slow(Duration::from_millis(150)));
    world.idp.issuer.set_lasting();
    let mut world = world;
    world.env.set("GEMINI_CLI_OAUTH_CLIENT_ID", "cid-test".to_owned());
    world.put("main", &json!({"google-gemini-cli:x": world.login("google-gemini-cli")}));
    let outcome = all_at_once(&world, &["main"], "google-gemini-cli:x", &Need::Use, false);
    assert_one_refresh(&world, &outcome, "google-gemini-cli:x");
}

#[test]
fn asking_for_more_than_the_provider_gives_is_done_once() {
    // A day is wanted, an hour is what there is, also for those who waited.
    for need in [Need::Remaining(86_400_000.0), Need::Remaining(f64::INFINITY), Need::Newer] {
        let world = World::with(Idp::slow(Duration::from_millis(150)));
        world.put("main", &json!({"openai-codex:x": world.login("openai-codex")}));
        let outcome = all_at_once(&world, &["main"], "openai-codex:x", &need, false);
        assert_one_refresh(&world, &outcome, "openai-codex:x");
    }
}

#[test]
fn tokens_that_live_shorter_than_the_margin_are_shared_too() {
    let world = World::with(Idp::slow(Duration::from_millis(150)));
    world.idp.issuer.set_life_s(45);
    world.put("main", &json!({"openai-codex:x": world.login("openai-codex")}));
    let outcome = all_at_once(&world, &["main"], "openai-codex:x", &Need::Use, false);
    assert_one_refresh(&world, &outcome, "openai-codex:x");
}

#[test]
fn different_logins_of_one_store_do_not_lose_each_other() {
    let world = World::with(Idp::slow(Duration::from_millis(20)));
    let ids: Vec<String> = (0..8).map(|at| format!("openai-codex:{at}")).collect();
    let logins: serde_json::Map<_, _> = ids.iter().map(|id| (id.clone(), world.login("openai-codex"))).collect();
    world.put("main", &logins.into());
    std::thread::scope(|scope| {
        for id in &ids {
            scope.spawn(|| world.access_by("main", id, &Need::Use, &RealHost, &world.idp, &world.memory).unwrap());
        }
    });
    assert_eq!(world.idp.issuer.counts(), Counts { requests: 8, rotations: 8, reuses: 0 });
    for id in &ids {
        assert!(world.idp.issuer.is_live(world.profile("main", id)["refresh"].as_str().unwrap()), "{id}");
    }
    world.assert_clean();
}

#[test]
fn those_who_wait_for_a_refusal_do_not_ask_again_in_the_same_process() {
    let world = World::with(Idp::slow(Duration::from_millis(150)));
    let login = world.login("openai-codex");
    world.idp.issuer.revoke(login["refresh"].as_str().unwrap());
    world.put("main", &json!({"openai-codex:x": login}));
    let outcome = all_at_once(&world, &["main"], "openai-codex:x", &Need::Use, true);
    assert_eq!((outcome.errors.len(), world.idp.issuer.counts().requests), (THREADS, 1));
    world.assert_clean();
}
