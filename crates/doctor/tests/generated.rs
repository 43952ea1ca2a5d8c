//! Properties of repairs, on states that are broken in every way that we know, in any mixture.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop where it stands")]

mod bench;
mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use auth_core::{AgentId, Credential, Profile, ProviderId, eligibility};
use auth_store::secrets::ExecPolicy;
use auth_store::{Ground, STORE_FILE, State};
use bench::Home;
use doctor::{Request, undo};

/// How many states are made.
const STATES: u64 = 80;

fn repair() -> Request {
    Request { repair: true, non_interactive: true, offline: true, ..Request::default() }
}

/// What each agent could use: the profile's secret by its id. Ids and providers that are not supported any more do not
/// count; that is what repairs are about.
fn usable(home: &Home) -> BTreeMap<(String, String), String> {
    let (state, _) = State::read_leniently(Ground::open(home, None), home);
    let mut found = BTreeMap::new();
    for agent in ["main", "work", "ops"] {
        let id = AgentId::normalise(agent);
        let dir = state.layout.agent_dir(&state.config, &id);
        let auth = state.auth_of(Some(id), dir, ExecPolicy::Never, home);
        if auth.view.errors.iter().any(|error| error.path == auth.store_path()) {
            // What an agent with a torn store sees beside it is nothing to count on.
            continue;
        }
        let situation = state.situation(&auth);
        for profile in situation.store.iter() {
            let retired = profile.id.as_str() == "openai-codex:codex-cli" || profile.provider.as_str() == "claude-cli";
            let fits = eligibility(situation.config, situation.store, &profile.provider, &profile.id, situation.now);
            if !retired && fits.is_ok() {
                found.insert((agent.to_owned(), profile.id.to_string()), secret_of(profile));
            }
        }
    }
    found
}

/// For which providers each agent could make a request. An order that names what is not there is left out: without it
/// another one is in force.
fn served(home: &Home) -> BTreeSet<(String, ProviderId)> {
    let (state, _) = State::read_leniently(Ground::open(home, None), home);
    let mut found = BTreeSet::new();
    for agent in ["main", "work", "ops"] {
        let id = AgentId::normalise(agent);
        let dir = state.layout.agent_dir(&state.config, &id);
        let auth = state.auth_of(Some(id), dir, ExecPolicy::Never, home);
        if auth.view.errors.iter().any(|error| error.path == auth.store_path()) {
            continue;
        }
        let situation = state.situation(&auth);
        for provider in ["anthropic", "groq", "openai", "acme", "zai", "lab"].map(ProviderId::normalise) {
            let explained = auth_core::explain(&situation, &provider, None);
            let gone = |entry: &auth_core::OrderEntry| entry.eligibility == auth_core::Eligibility::ProfileMissing;
            if explained.next().is_some() && !explained.order.passed_over.iter().any(gone) {
                found.insert((agent.to_owned(), provider));
            }
        }
    }
    found
}

fn secret_of(profile: &Profile) -> String {
    match &profile.credential {
        Credential::OAuth { access, refresh, .. } => {
            let text =
                |secret: &Option<auth_core::Secret>| secret.as_ref().map_or(String::new(), |s| s.reveal().to_owned());
            format!("{} {}", text(access), text(refresh))
        }
        other => other
            .material()
            .map(|material| match (material.inline(), material.reference()) {
                (Some(secret), _) => secret.reveal().to_owned(),
                (None, Some(reference)) => reference.label(),
                (None, None) => String::new(),
            })
            .unwrap_or_default(),
    }
}

fn with_state(seed: u64, act: impl FnOnce(&Home)) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    states::make(seed, &root).unwrap();
    act(&Home::new(&root));
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

#[test]
fn a_report_changes_nothing() {
    for seed in 0..STATES {
        with_state(seed, |home| {
            let before = states::snapshot(&home.dir);
            for request in [
                Request { json: true, ..Request::default() },
                Request { check: true, terminal: true, ..Request::default() },
                Request { dry_run: true, ..Request::default() },
            ] {
                let mut desk = bench::Silent::default();
                home.doctor_with(&request, &mut desk);
                assert!(desk.asked.is_empty(), "seed {seed}: {:?}", desk.asked);
                let shown = desk.lines.join("\n");
                assert!(states::secrets_in(&shown).is_empty(), "seed {seed}: a secret is shown: {shown}");
            }
            assert!(before == states::snapshot(&home.dir), "seed {seed}: a report wrote something");
        });
    }
}

#[test]
fn repair_keeps_what_works_and_loses_no_secret() {
    for seed in 0..STATES {
        with_state(seed, |home| {
            let (before, served_before) = (usable(home), served(home));
            let secrets = states::secrets_below(&home.dir);
            let report = home.doctor(&repair());
            let (after, served_after) = (usable(home), served(home));

            let values: BTreeSet<&String> = after.values().collect();
            let lost: Vec<_> = before.iter().filter(|(_, secret)| !values.contains(secret)).collect();
            assert!(lost.is_empty(), "seed {seed}: not usable any more: {lost:?}\n{:?}", report.changes);
            assert!(after.len() >= before.len(), "seed {seed}: {} of {}", after.len(), before.len());
            for (key, secret) in &before {
                let renamed = key.1 == "anthropic:claude-cli";
                assert!(renamed || after.get(key) == Some(secret), "seed {seed}: {key:?} holds another secret");
            }
            let after_all = |key: &&(String, ProviderId)| !served_after.contains(*key);
            let unserved: Vec<_> = served_before.iter().filter(after_all).collect();
            assert!(unserved.is_empty(), "seed {seed}: no credential any more for {unserved:?}");
            let left = states::secrets_below(&home.dir);
            let gone: Vec<_> = secrets.difference(&left).collect();
            assert!(gone.is_empty(), "seed {seed}: lost {gone:?}\n{:?}", report.changes);
        });
    }
}

#[test]
fn a_second_repair_changes_nothing() {
    for seed in 0..STATES {
        with_state(seed, |home| {
            let first = home.doctor(&repair());
            let between = states::snapshot(&home.dir);
            let second = home.doctor(&repair());
            assert!(
                between == states::snapshot(&home.dir),
                "seed {seed}: changed again: {:?} {:#?}",
                second.changes,
                second.findings.iter().filter(|f| f.fixed).collect::<Vec<_>>()
            );
            assert!(second.changes.is_empty() && second.receipt.is_none(), "seed {seed}");
            if first.errors.is_empty() {
                let left: Vec<_> =
                    second.findings.iter().filter(|f| f.fixable && !f.code.starts_with("gateway.")).collect();
                assert!(left.is_empty(), "seed {seed}: still fixable: {left:?}");
            }
        });
    }
}

#[test]
fn undo_puts_every_byte_back() {
    for seed in 0..STATES {
        with_state(seed, |home| {
            let before = states::snapshot(&home.dir);
            let report = home.doctor(&repair());
            if report.receipt.is_none() {
                assert_eq!(before, states::snapshot(&home.dir), "seed {seed}: changes without a receipt");
                return;
            }
            let state_dir = home.dir.join(".openclaw");
            undo(&state_dir, home, false).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let after = states::snapshot(&home.dir);
            for (path, mode, content) in &before {
                let name = path.file_name().unwrap().to_string_lossy();
                if name.ends_with(".tmp") || name.ends_with(".lock") {
                    continue;
                }
                let found = after.iter().find(|(known, ..)| known == path);
                let Some((_, new_mode, new_content)) = found else { panic!("seed {seed}: {} is gone", path.display()) };
                assert!(content == new_content, "seed {seed}: {} differs:\n{}", path.display(), read(path));
                assert_eq!(mode, new_mode, "seed {seed}: mode of {}", path.display());
            }
            let store_or_config = |path: &Path| {
                path.ends_with(STORE_FILE) || path.ends_with("openclaw.json") || path.ends_with("clawdbot.json")
            };
            for (path, ..) in after.iter().filter(|(path, ..)| store_or_config(path)) {
                assert!(before.iter().any(|(known, ..)| known == path), "seed {seed}: {} is new", path.display());
            }
            // Once is enough.
            let again = if state_dir.exists() { state_dir } else { home.dir.join(".clawdbot") };
            assert!(undo(&again, home, false).is_err());
        });
    }
}
