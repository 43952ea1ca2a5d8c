//! `cargo xtask proof single-flight`: many processes find one expired login at once. One of them renews it; a second use
//! of a refresh token would revoke the login at the provider.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::rotating_server::{Login, RotatingServer};
use super::{cmd_date, fresh, write};

/// How many processes find the login at once.
const PROCESSES: usize = 16;
/// How long the provider works on a refresh.
const WORK: Duration = Duration::from_millis(25);
/// The latest moment at which a process is killed, from its start, in microseconds: most have their answer by then.
const LATEST_KILL_US: u64 = 90_000;
const ID: &str = "openai-codex:me";
/// Asks with the access token, which is renewed first when it has expired. The deadline is none of what is proven.
const PROBE: &[&str] = &[
    "models",
    "status",
    "--probe",
    "--probe-mode",
    "free",
    "--probe-provider",
    "openai-codex",
    "--probe-timeout",
    "120000",
    "--json",
];
const REFRESH: &[&str] = &["models", "auth", "refresh", ID];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Nothing else happens.
    Plain,
    /// Half of the processes work for an agent that holds a copy of the login.
    TwoAgents,
    /// Another program, which knows the lock file only, changes the store all the time.
    Competitor,
    /// One process is killed at a random moment before the provider has answered.
    Killed,
    /// Everybody is told to refresh, valid or not.
    Forced,
}

impl Variant {
    const ALL: [Self; 5] = [Self::Plain, Self::TwoAgents, Self::Competitor, Self::Killed, Self::Forced];

    fn label(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::TwoAgents => "two agents",
            Self::Competitor => "competitor",
            Self::Killed => "one killed",
            Self::Forced => "forced",
        }
    }
}

/// Sums of the rounds of one variant.
#[derive(Debug, Default)]
struct Sums {
    rounds: usize,
    processes: usize,
    successes: usize,
    killed: usize,
    asked: u32,
    abandoned: u32,
    granted: u32,
    revoked: usize,
    /// Rounds in which the killed process had its answer and had not stored it.
    unavoidable: usize,
    peer_updates: u64,
    took: Duration,
}

/// Runs so many rounds of every variant.
pub(super) fn single_flight(binary: &Path, work: &Path, rounds: usize) -> Result<()> {
    let server = RotatingServer::start(WORK)?;
    let mut table = Vec::new();
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    for variant in Variant::ALL {
        let begin = Instant::now();
        let mut sums = Sums::default();
        for number in 0..rounds {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let round = Round::prepare(variant, number, &server, binary, work)?;
            round.run(seed, &mut sums).with_context(|| format!("{}, round {number}", variant.label()))?;
        }
        sums.took = begin.elapsed();
        table.push((variant, sums));
    }
    println!(
        "single flight: {PROCESSES} processes find one login that has expired\n\n\
         variant     rounds  asked  given up  granted  revoked  killed  answered, not stored  processes  well  peer writes  seconds"
    );
    for (variant, sums) in &table {
        println!(
            "{:<10}  {:>6}  {:>5}  {:>8}  {:>7}  {:>7}  {:>6}  {:>20}  {:>9}  {:>4}  {:>11}  {:>7.1}",
            variant.label(),
            sums.rounds,
            sums.asked,
            sums.abandoned,
            sums.granted,
            sums.revoked,
            sums.killed,
            sums.unavoidable,
            sums.processes,
            sums.successes,
            sums.peer_updates,
            sums.took.as_secs_f32()
        );
    }
    println!(
        "\nasked: refresh requests at the provider; given up: of those, by a process that was killed before the provider worked on it;\n\
         answered, not stored: the killed process had the only copy of the new tokens (nobody can prevent that)"
    );
    Ok(())
}

struct Round<'a> {
    variant: Variant,
    name: String,
    first: String,
    home: PathBuf,
    server: &'a RotatingServer,
    binary: &'a Path,
}

impl<'a> Round<'a> {
    fn prepare(
        variant: Variant,
        number: usize,
        server: &'a RotatingServer,
        binary: &'a Path,
        work: &Path,
    ) -> Result<Self> {
        let home = fresh(work, "single-flight")?;
        let name = format!("{}-{number}", variant.label().replace(' ', "-"));
        let first = server.login(&name);
        let config = json!({
            "agents": {"list": [{"id": "main"}, {"id": "work"}]},
            "models": {"providers": {"openai-codex": {
                "baseUrl": format!("{}/model", server.base), "api": "openai-codex-responses", "models": []}}},
        });
        write(&home.join(".openclaw/openclaw.json"), &config.to_string())?;
        let round = Self { variant, name, first, home, server, binary };
        let entry = json!({"type": "oauth", "provider": "openai-codex", "access": "at-test.old.0", "refresh": round.first,
            "expires": 1_000_000_000_000_u64, "accountId": "acct-test", "odd": {"kept": true}});
        let store = json!({"version": 1, "profiles": {ID: entry}, "peer": 0}).to_string();
        write(&round.store("main"), &store)?;
        if variant == Variant::TwoAgents {
            write(&round.store("work"), &store)?;
        }
        Ok(round)
    }

    fn store(&self, agent: &str) -> PathBuf {
        self.home.join(".openclaw/agents").join(agent).join("agent/auth-profiles.json")
    }

    fn spawn(&self, at: usize) -> Result<Child> {
        let victim = self.variant == Variant::Killed && at == 0;
        let base = if victim { &self.server.victim_base } else { &self.server.base };
        let mut command = Command::new(self.binary);
        command.args(if self.variant == Variant::Forced { REFRESH } else { PROBE });
        if self.variant == Variant::TwoAgents && at % 2 == 1 {
            command.args(["--agent", "work"]);
        }
        command.env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin").current_dir(&self.home);
        command.env("OPENCLAW_AUTH_TEST_BASE_URL", base);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    fn run(&self, seed: u64, sums: &mut Sums) -> Result<()> {
        let stop = AtomicBool::new(false);
        let (outputs, updates, was_killed) = thread::scope(|scope| -> Result<_> {
            let competing = self.variant == Variant::Competitor;
            let store = self.store("main");
            let stop = &stop;
            let peer = competing.then(|| scope.spawn(move || compete(&store, stop)));
            // The one that is killed begins first in every other round, else somewhere among the others.
            let late = if seed & 1 == 0 { 0 } else { usize::try_from(seed >> 60).unwrap_or(0) };
            let mut children = Vec::new();
            let mut victim = None;
            for at in (1..=late).chain([0]).chain(late + 1..PROCESSES) {
                let child = self.spawn(at)?;
                if at == 0 && self.variant == Variant::Killed {
                    let moment = Instant::now() + Duration::from_micros((seed >> 20) % LATEST_KILL_US);
                    victim = Some(scope.spawn(move || self.kill_before_the_answer(child, moment)));
                } else {
                    children.push((at, child));
                }
            }
            let mut was_killed = false;
            let mut outputs = Vec::new();
            for (at, child) in children {
                outputs.push((at, child.wait_with_output()?));
            }
            if let Some(victim) = victim {
                let (output, killed) = victim.join().map_err(|_| anyhow::anyhow!("the killer stopped"))??;
                was_killed = killed;
                outputs.push((0, output));
            }
            stop.store(true, Ordering::Relaxed);
            let updates = match peer {
                Some(peer) => peer.join().map_err(|_| anyhow::anyhow!("the peer stopped"))??,
                None => 0,
            };
            Ok((outputs, updates, was_killed))
        })?;
        let state = self.server.state(&self.name);
        let mut well = 0;
        let mut failed = None;
        for (at, output) in &outputs {
            let secrets = [self.first.clone(), state.refresh.clone()];
            super::leaks::check(&output.stdout, &secrets)?;
            super::leaks::check(&output.stderr, &secrets)?;
            let is_victim = was_killed && *at == 0;
            if is_victim && output.status.signal().is_some() {
                continue;
            }
            if self.is_well(output) {
                well += 1;
            } else {
                let text =
                    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                failed = Some(format!("process {at}: {}\n{text}", output.status));
            }
        }
        let died = outputs.iter().any(|(at, output)| *at == 0 && was_killed && output.status.signal().is_some());
        // Killed with the answer in its hands: the next one has nothing but a token that was used.
        let unavoidable = died && state.granted_to_victim && state.revoked;
        sums.rounds += 1;
        sums.processes += outputs.len();
        sums.successes += well;
        sums.killed += usize::from(died);
        sums.asked += state.asked;
        sums.abandoned += state.abandoned;
        sums.granted += state.granted;
        sums.revoked += usize::from(state.revoked);
        sums.unavoidable += usize::from(unavoidable);
        sums.peer_updates += updates;
        if !unavoidable {
            if let Some(failed) = failed {
                bail!("{failed}\n{state:?}");
            }
            ensure!(!state.revoked, "a token was used twice: {state:?}");
            ensure!(self.count_is_right(&state, died), "not the number of requests that is needed: {state:?}");
        }
        self.check_files(&state, unavoidable, updates)
    }

    /// Kills the process at that moment, unless the provider has answered somebody by then. Gives what it printed, and
    /// whether it was killed.
    fn kill_before_the_answer(&self, mut victim: Child, moment: Instant) -> Result<(Output, bool)> {
        while Instant::now() < moment && self.server.state(&self.name).granted == 0 {
            thread::sleep(Duration::from_micros(200));
        }
        let early = self.server.state(&self.name).granted == 0;
        if early {
            victim.kill()?;
        }
        Ok((victim.wait_with_output()?, early))
    }

    fn is_well(&self, output: &Output) -> bool {
        if self.variant == Variant::Forced {
            return output.status.success();
        }
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let rows = document["auth"]["probes"]["results"].as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["profileId"] == ID);
        row.is_some_and(|row| row["status"] == "ok")
    }

    fn count_is_right(&self, state: &Login, died: bool) -> bool {
        match self.variant {
            // Whoever begins after the first has stored is told to refresh again, and may.
            Variant::Forced => state.granted >= 1 && state.asked == state.granted,
            _ => state.granted == 1 && state.asked == 1 + state.abandoned && state.abandoned <= u32::from(died),
        }
    }

    /// What is stored is whole, and the good token unless it could not be known.
    fn check_files(&self, state: &Login, unavoidable: bool, updates: u64) -> Result<()> {
        let agents: &[&str] = if self.variant == Variant::TwoAgents { &["main", "work"] } else { &["main"] };
        for agent in agents {
            let path = self.store(agent);
            let store: Value = serde_json::from_str(&fs::read_to_string(&path)?).context("the store is torn")?;
            let entry = &store["profiles"][ID];
            let expected = if unavoidable { &self.first } else { &state.refresh };
            // What main has renewed serves the other agent as it is: nothing is copied.
            let serves = *agent == "work" && entry["refresh"] == self.first.as_str();
            let holds = serves || entry["refresh"] == expected.as_str();
            ensure!(holds, "{agent} holds another token: {entry}, {state:?}");
            ensure!(entry["odd"]["kept"] == true && entry["accountId"] == "acct-test", "fields are lost: {entry}");
            ensure!(store["peer"] == updates, "{} of {updates} updates of the peer are there", store["peer"]);
        }
        let left: Vec<PathBuf> =
            super::files(&self.home).into_iter().filter(|path| super::is_left_over(path)).collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }
}

/// Another program: knows the lock file and nothing else. Gives how often it has changed the store.
fn compete(store: &Path, stop: &AtomicBool) -> Result<u64> {
    let lock = PathBuf::from(format!("{}.lock", store.display()));
    let mut updates = 0;
    while !stop.load(Ordering::Relaxed) {
        use std::io::Write;
        match fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
            Ok(mut file) => {
                let (pid, now) = (std::process::id(), cmd_date()?);
                write!(file, "{{\n  \"pid\": {pid},\n  \"createdAt\": \"{now}\"\n}}")?;
            }
            Err(_) => {
                let age = fs::metadata(&lock).and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
                ensure!(age.is_none_or(|age| age < Duration::from_secs(30)), "a lock of half a minute");
                thread::sleep(Duration::from_millis(2));
                continue;
            }
        }
        let mut value: Value = serde_json::from_str(&fs::read_to_string(store)?)?;
        updates += 1;
        value["peer"] = json!(updates);
        let temporary = store.with_extension("peer");
        fs::write(&temporary, serde_json::to_string_pretty(&value)?)?;
        fs::rename(&temporary, store)?;
        fs::remove_file(&lock)?;
        thread::sleep(Duration::from_millis(15));
    }
    Ok(updates)
}
