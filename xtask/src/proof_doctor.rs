//! `cargo xtask proof doctor`: broken states, the real program, and nothing lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[path = "../../crates/doctor/tests/states/mod.rs"]
mod states;

/// The agents that states have.
const AGENTS: &[&str] = &["main", "work", "ops"];

/// What came of all states.
#[derive(Default)]
struct Tally {
    found: usize,
    mended: usize,
    refused: usize,
    lost: usize,
}

/// Makes broken states, one for each seed: a report changes nothing, a repair loses no secret and no credential that
/// could be used, a second one changes nothing, and undo brings every file back.
pub(crate) fn run(binary: &Path, work: &Path, count: u64) -> Result<()> {
    let begin = Instant::now();
    let mut tally = Tally::default();
    for seed in 0..count {
        let home = fresh(work, "doctor")?;
        states::make(seed, &home)?;
        one(binary, &home, &mut tally).with_context(|| format!("seed {seed} ({})", home.display()))?;
    }
    println!(
        "doctor: {count} broken states: {} found, {} mended, {} refused, {} lost; reports write nothing, a second repair changes nothing, undo brings every byte back; {:.0} s",
        tally.found,
        tally.mended,
        tally.refused,
        tally.lost,
        begin.elapsed().as_secs_f32()
    );
    ensure!(tally.lost == 0, "{} secrets are lost", tally.lost);
    Ok(())
}

fn one(binary: &Path, home: &Path, tally: &mut Tally) -> Result<()> {
    let untouched = states::snapshot(home);
    let secrets = states::secrets_below(home);
    let usable = usable(binary, home)?;
    let report = doctor(binary, home, &[])?;
    ensure!(untouched == states::snapshot(home), "a report wrote something");
    tally.found += report["findings"].as_array().map_or(0, Vec::len);

    let repair = doctor(binary, home, &["--repair"])?;
    let fixed = |finding: &&Value| finding["fixed"] == true;
    tally.mended += repair["findings"].as_array().map_or(0, |all| all.iter().filter(fixed).count());
    tally.refused += repair["errors"].as_array().map_or(0, Vec::len);
    tally.lost += secrets.difference(&states::secrets_below(home)).count();
    let after = self::usable(binary, home)?;
    let worse: Vec<&String> = usable.iter().filter(|id| !after.contains(*id)).collect();
    ensure!(worse.is_empty() || after.len() >= usable.len(), "not usable any more: {worse:?}");

    let mended = states::snapshot(home);
    let again = doctor(binary, home, &["--repair"])?;
    ensure!(mended == states::snapshot(home), "a second repair changed something: {}", again["changes"]);
    if repair["receipt"].is_null() {
        ensure!(untouched == mended, "changes without a receipt");
        return Ok(());
    }
    let undo = start(binary, home, &["doctor", "--undo"])?.wait_with_output()?;
    ensure!(undo.status.success(), "undo: {}", String::from_utf8_lossy(&undo.stderr));
    let back = states::snapshot(home);
    for (path, mode, content) in &untouched {
        // What a dead process left behind does not come back.
        let left_behind = path.extension().is_some_and(|end| end == "tmp" || end == "lock");
        let same = back.iter().any(|(known, now, text)| known == path && now == mode && text == content);
        ensure!(left_behind || same, "undo does not bring back {}", path.display());
    }
    Ok(())
}

/// The profiles that each agent could use, `agent/id`, but for those that are not supported any more.
fn usable(binary: &Path, home: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for agent in AGENTS {
        // What an agent with a torn store sees beside it is nothing to count on.
        if is_torn(home, agent) {
            continue;
        }
        let arguments = ["models", "auth", "list", "--json", "--agent", agent];
        let output = start(binary, home, &arguments)?.wait_with_output()?;
        // A config that is not valid has no list.
        let Ok(list) = serde_json::from_slice::<Value>(&output.stdout) else { continue };
        for profile in list["profiles"].as_array().into_iter().flatten() {
            let id = profile["profileId"].as_str().unwrap_or_default();
            let retired = id == "openai-codex:codex-cli" || profile["provider"] == "claude-cli";
            if profile["eligible"] == true && !retired {
                // The one id that a repair renames.
                let id = if id == "anthropic:claude-cli" { "anthropic (renamed)" } else { id };
                found.insert(format!("{agent}/{id}"));
            }
        }
    }
    Ok(found)
}

fn is_torn(home: &Path, agent: &str) -> bool {
    let state = home.join(if home.join(".openclaw").exists() { ".openclaw" } else { ".clawdbot" });
    let store = state.join("agents").join(agent).join("agent/auth-profiles.json");
    fs::read(store).is_ok_and(|bytes| {
        let parsed: Value = serde_json::from_slice(without_mark(&bytes)).unwrap_or_default();
        !parsed["profiles"].is_object()
    })
}

fn doctor(binary: &Path, home: &Path, more: &[&str]) -> Result<Value> {
    let arguments = [&["doctor", "--json", "--offline", "--non-interactive"], more].concat();
    let output = start(binary, home, &arguments)?.wait_with_output()?;
    ensure!(output.status.code().is_some_and(|code| code <= 2), "ended with {:?}", output.status);
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let shown = states::secrets_in(&String::from_utf8_lossy(&both));
    ensure!(shown.is_empty(), "secrets are shown: {shown:?}");
    serde_json::from_slice(&output.stdout).context("no document")
}

/// Longer than a lock without a name counts.
const NAMELESS_LOCK: Duration = Duration::from_secs(3);

/// Kills repairs after a random while: nothing is torn or lost, and the next repair finds its way.
pub(crate) fn kill(binary: &Path, work: &Path, rounds: u64) -> Result<()> {
    let (mut killed, mut finished) = (0, 0);
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    let span = usual_time(binary, work)?;
    for round in 0..rounds {
        let home = fresh(work, "doctor-kill")?;
        states::make(round, &home)?;
        let context = || format!("round {round} ({})", home.display());
        let secrets = states::secrets_below(&home);
        let whole = whole_stores(&home);
        let mut child = start(binary, &home, &["doctor", "--repair", "--non-interactive", "--offline"])?;
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros((dice >> 33) % span));
        child.kill()?;
        if child.wait()?.code().is_some() {
            finished += 1;
        } else {
            killed += 1;
        }
        let check = || -> Result<()> {
            let left = states::secrets_below(&home);
            let gone: Vec<&String> = secrets.difference(&left).collect();
            ensure!(gone.is_empty(), "lost {gone:?}");
            ensure!(whole_stores(&home) >= whole, "a store is torn");
            Ok(())
        };
        check().with_context(context)?;
        doctor(binary, &home, &["--repair"]).with_context(context)?;
        check().with_context(context)?;
        let mut left = left_behind(&home);
        if !left.is_empty() {
            // A lock whose maker was killed before it could write its name is anybody's until its time is over.
            thread::sleep(NAMELESS_LOCK);
            doctor(binary, &home, &["--repair"]).with_context(context)?;
            left = left_behind(&home);
        }
        ensure!(left.is_empty(), "{}: left behind {left:?}", context());
    }
    println!(
        "doctor kill: {rounds} rounds, {killed} killed in the middle, {finished} finished first; nothing torn, lost or left behind"
    );
    Ok(())
}

/// Locks beside stores and the config, and what is left of some.
fn left_behind(home: &Path) -> Vec<PathBuf> {
    states::files(home)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "lock") || path.to_string_lossy().contains(".stale-"))
        // A directory without any credentials belongs to no agent.
        .filter(|path| ["openclaw.json", "auth-profiles.json"].iter().any(|name| path.with_file_name(name).exists()))
        .collect()
}

/// How long the longest of some repairs takes, in microseconds.
fn usual_time(binary: &Path, work: &Path) -> Result<u64> {
    let mut longest = Duration::from_millis(1);
    for seed in 0..5 {
        let home = fresh(work, "doctor-kill")?;
        states::make(seed, &home)?;
        let begin = Instant::now();
        doctor(binary, &home, &["--repair"])?;
        longest = longest.max(begin.elapsed());
    }
    Ok(u64::try_from(longest.as_micros())?)
}

/// How many stores can be read.
fn whole_stores(home: &Path) -> usize {
    let stores = states::files(home).into_iter().filter(|path| path.ends_with("auth-profiles.json"));
    stores
        .filter(|path| fs::read(path).is_ok_and(|bytes| serde_json::from_slice::<Value>(without_mark(&bytes)).is_ok()))
        .count()
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn start(binary: &Path, home: &Path, arguments: &[&str]) -> Result<std::process::Child> {
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn fresh(work: &Path, name: &str) -> Result<PathBuf> {
    let home = work.join(name);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home.canonicalize()?)
}
