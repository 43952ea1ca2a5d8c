//! One refresh however many ask at once (spec 04 sections 7.2 and 10): processes, also such that are killed, and a
//! program that knows the lock file only.
//!
//! Each process is this test program again, running `child` alone. Figures are printed; see them with `--nocapture`,
//! and more of them with `AUTH_OAUTH_ROUNDS=50`.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]
#![allow(clippy::panic, reason = "a test that hangs has to end")]
#![allow(clippy::print_stdout, reason = "the figures are worth seeing")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use auth_core::Timestamp;
use auth_oauth::{Endpoints, Need, Origin, RefreshMemory};
use auth_store::faulty::FaultyHost;
use auth_store::{Host, RealHost};
use common::issuer::Counts;
use common::wire::{Wire, WireIdp};
use common::{NOW, World, entry, environment};
use serde_json::{Value, json};

const PROCESSES: usize = 16;
/// What a child is to do, as JSON.
const ORDERS: &str = "AUTH_OAUTH_TEST_CHILD";
/// When something hangs.
const LIMIT: Duration = Duration::from_secs(120);
const ID: &str = "openai-codex:x";

/// Not a test of its own: what the other processes do.
#[test]
fn child() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Value = serde_json::from_str(&orders).unwrap();
    let text = |name: &str| orders[name].as_str().unwrap();
    let mut world = World::new();
    world.env = environment(Path::new(text("home")));
    world.endpoints = Endpoints::at(text("base")).unwrap();
    until(|| Path::new(text("go")).exists());
    let memory = RefreshMemory::default();
    let result = world.access_by(text("agent"), ID, &Need::Use, &RealHost, &Wire, &memory);
    let said = match result {
        Ok(access) => format!("ok {}", access.token.reveal()),
        Err(error) => format!("error {error}"),
    };
    std::fs::write(text("out"), said).unwrap();
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "nothing happens any more");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn rounds(usual: usize) -> usize {
    std::env::var("AUTH_OAUTH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// The processes of one round, and where they work.
struct Fleet {
    world: World,
    server: WireIdp,
    children: Vec<(Child, PathBuf)>,
    scratch: tempfile::TempDir,
    start: Instant,
}

impl Fleet {
    /// Every agent has the same ended login; the processes are there and wait.
    fn new(agents: &[&str], latency: Duration) -> Self {
        let world = World::new();
        let server = WireIdp::start(latency);
        let (access, refresh) = server.issuer.login();
        for agent in agents {
            let more = json!({"type": "api_key", "provider": "groq", "key": "gsk-test-canary"});
            let login = entry("openai-codex", &access, &refresh, NOW - 1000);
            world.put(agent, &json!({ID: login, "groq:default": more}));
        }
        let scratch = tempfile::tempdir().unwrap();
        let children = (0..PROCESSES).map(|at| {
            let out = scratch.path().join(format!("out-{at}"));
            let orders = json!({
                "home": world.dir.path(),
                "base": server.base,
                "agent": agents[at % agents.len()],
                "go": scratch.path().join("go"),
                "out": out,
            });
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--test-threads=1"])
                .env(ORDERS, orders.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            (child, out)
        });
        let children = children.collect();
        Self { world, server, children, scratch, start: Instant::now() }
    }

    fn go(&mut self) {
        self.start = Instant::now();
        std::fs::write(self.scratch.path().join("go"), "").unwrap();
    }

    /// Kills a process as no handler can hinder.
    fn kill(&mut self, pid: u32) {
        let child = self.children.iter_mut().find(|(child, _)| child.id() == pid).unwrap();
        child.0.kill().unwrap();
        child.0.wait().unwrap();
    }

    /// Who has the lock of the login.
    fn holder(&self) -> Option<u32> {
        let locks = self.world.dir.path().join(".openclaw/locks");
        let path = std::fs::read_dir(locks).ok()?.next()?.ok()?.path();
        let lock: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        lock["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Waits for all that live, and checks what they and the disk say. `hung` requests never reached the books.
    fn finish(mut self, what: &str, agents: &[&str], killed: usize, hung: usize) -> World {
        for (child, _) in &mut self.children {
            let start = Instant::now();
            until(|| child.try_wait().unwrap().is_some());
            assert!(start.elapsed() < LIMIT);
        }
        let said = |out: &PathBuf| std::fs::read_to_string(out).ok();
        let results: Vec<String> = self.children.iter().filter_map(|(_, out)| said(out)).collect();
        let stored = self.world.profile("main", ID);
        let wanted = format!("ok {}", stored["access"].as_str().unwrap());
        let successes = results.iter().filter(|result| **result == wanted).count();
        let errors: Vec<&String> = results.iter().filter(|result| !result.starts_with("ok ")).collect();
        println!(
            "{what}: {PROCESSES} processes, {killed} killed, requests {} ({:?}), successes {successes}, {} ms",
            self.server.seen().len(),
            self.server.issuer.counts(),
            self.start.elapsed().as_millis()
        );
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(self.server.issuer.counts(), Counts { requests: 1, rotations: 1, reuses: 0 });
        assert_eq!((self.server.seen().len(), successes), (1 + hung, PROCESSES - killed));
        assert!(self.server.issuer.is_live(stored["refresh"].as_str().unwrap()));
        for agent in agents {
            // Where main itself refreshed, the copy of another agent is as it was, and main's login serves it.
            let access = self.world.access_by(agent, ID, &Need::Use, &RealHost, &Wire, &self.world.memory).unwrap();
            assert_eq!(json!(access.token.reveal()), stored["access"]);
            assert!(self.world.profile(agent, ID) == stored || access.origin == Origin::Main);
            assert_eq!(common::mode(&self.world.store_path(agent)), 0o600);
        }
        self.world
    }
}

#[test]
fn processes_with_one_login_make_one_request() {
    for _ in 0..rounds(2) {
        let mut fleet = Fleet::new(&["main"], Duration::from_millis(200));
        fleet.go();
        fleet.finish("one login", &["main"], 0, 0).assert_clean();
    }
}

#[test]
fn processes_of_two_agents_with_copies_make_one_request() {
    for agents in [["main", "work"], ["alpha", "main"]].iter().cycle().take(rounds(2)) {
        let mut fleet = Fleet::new(agents, Duration::from_millis(200));
        fleet.go();
        fleet.finish("two agents", agents, 0, 0).assert_clean();
    }
}

#[test]
fn killed_processes_leave_nothing_that_stops_the_others() {
    for _ in 0..rounds(1) {
        let mut fleet = Fleet::new(&["main"], Duration::from_millis(200));
        fleet.server.hang_once();
        fleet.go();
        // One has asked, and the provider has done nothing yet; the others wait.
        until(|| fleet.server.seen().len() == 1);
        let asking = fleet.holder().unwrap();
        let waiting = fleet.children.iter().map(|(child, _)| child.id()).find(|pid| *pid != asking).unwrap();
        fleet.kill(waiting);
        fleet.kill(asking);
        fleet.finish("killed while waiting and while asking", &["main"], 2, 1).assert_clean();
    }
}

/// What a program that knows the lock file only thinks of it: older than 30 seconds by its content or its date.
fn is_left_behind(lock: &Path) -> bool {
    let limit = Duration::from_secs(30);
    let changed = lock.metadata().and_then(|meta| meta.modified()).ok();
    let age = changed.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default();
    let content: Value = serde_json::from_slice(&std::fs::read(lock).unwrap_or_default()).unwrap_or_default();
    // Times of one form compare as texts.
    let oldest = RealHost.now().as_ms() - i64::try_from(limit.as_millis()).unwrap();
    age > limit || content["createdAt"].as_str().is_some_and(|created| created < auth_store::iso_time(oldest).as_str())
}

#[test]
fn a_lock_that_is_renewed_is_not_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let host = FaultyHost::new(dir.path());
    let now = host.now.get();
    host.now.set(Timestamp::from_ms(now.as_ms() - 40_000));
    let mut guard = auth_store::lock(&dir.path().join("auth-profiles.json"), &host).unwrap();
    assert!(is_left_behind(guard.path()), "its holder has worked for 40 seconds");
    host.now.set(now);
    guard.renew();
    assert!(!is_left_behind(guard.path()));
    let old = SystemTime::now() - Duration::from_secs(40);
    std::fs::File::options().write(true).open(guard.path()).unwrap().set_modified(old).unwrap();
    assert!(is_left_behind(guard.path()));
    guard.renew();
    assert!(!is_left_behind(guard.path()), "its date is renewed too");

    // A lock that was lost is not brought back, nor is that of another program touched.
    let path = guard.path().to_owned();
    std::fs::remove_file(&path).unwrap();
    guard.renew();
    assert!(!path.exists());
    std::fs::write(&path, "another's").unwrap();
    guard.renew();
    drop(guard);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "another's");
}

/// Changes the store under its lock file alone, as programs of other versions do, until it is told to stop. Returns how
/// often.
fn compete(store: &Path, stop: &AtomicBool) -> u64 {
    let lock = PathBuf::from(format!("{}.lock", store.display()));
    let mut changes = 0;
    while !stop.load(Ordering::SeqCst) {
        let created = std::fs::OpenOptions::new().write(true).create_new(true).open(&lock);
        let Ok(mut file) = created else {
            if is_left_behind(&lock) {
                let _ = std::fs::remove_file(&lock);
            }
            std::thread::sleep(Duration::from_millis(25));
            continue;
        };
        let now = auth_store::iso_time(RealHost.now().as_ms());
        let text = format!("{{\n  \"pid\": {},\n  \"createdAt\": \"{now}\"\n}}", std::process::id());
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let mut document: Value = serde_json::from_slice(&std::fs::read(store).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        changes += 1;
        document["usageStats"]["groq:default"]["errorCount"] = changes.into();
        let temporary = store.with_extension("competitor");
        std::fs::write(&temporary, format!("{document:#}\n")).unwrap();
        std::fs::set_permissions(&temporary, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::rename(&temporary, store).unwrap();
        std::fs::remove_file(&lock).unwrap();
        std::thread::sleep(Duration::from_millis(700));
    }
    changes
}

#[test]
fn a_program_that_knows_the_lock_file_only_loses_nothing_and_breaks_nothing() {
    for agents in [vec!["main"], vec!["main", "work"]].iter().cycle().take(rounds(2)) {
        let mut fleet = Fleet::new(agents, Duration::from_millis(200));
        let stop = AtomicBool::new(false);
        let store = fleet.world.store_path(agents.last().unwrap());
        let (world, changes) = std::thread::scope(|scope| {
            let competitor = scope.spawn(|| compete(&store, &stop));
            std::thread::sleep(Duration::from_millis(50));
            fleet.go();
            let world = fleet.finish("beside a foreign program", agents, 0, 0);
            stop.store(true, Ordering::SeqCst);
            (world, competitor.join().unwrap())
        });
        let kept: Value = serde_json::from_str(&world.text(agents.last().unwrap())).unwrap();
        println!("   the other program changed the store {changes} times");
        assert_eq!(kept["usageStats"]["groq:default"]["errorCount"], json!(changes), "its last change is there");
        assert_eq!(kept["profiles"]["groq:default"]["key"], json!("gsk-test-canary"));
        world.assert_clean();
    }
}
