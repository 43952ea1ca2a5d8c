//! `cargo xtask proof`: what takes longer than a test. Real processes, real kills, real contention.

mod clients;
mod coverage;
mod fuzz;
mod gateway;
mod gateway_clients;
pub(crate) mod gateway_process;
mod gateway_script;
mod leaks;
pub(crate) mod loopback_http;
pub(crate) mod mock_provider;
mod mutants;
mod page;
mod reads;
mod rotating_server;
mod single_flight;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::proof_doctor;
use leaks::Printed;

/// How many processes update one store at once, and how often each.
const RACERS: usize = 32;
const UPDATES: usize = 100;

/// How long every fuzz target runs, in seconds.
const FUZZ_SECONDS: u64 = 60;

/// How many rounds of every variant of `single-flight`.
const FLIGHTS: usize = 200;

/// How many requests the gateway gets in each part of its proof.
const REQUESTS: usize = 1000;

/// Runs the proofs: `kill` and `single-flight` with so many rounds, `race`, `doctor` with this many states or
/// `doctor kill` with this many rounds, or all of these and `gateway`. `clients` and `page` need Python and Chromium and
/// run by name only. `--bin` names another program than the one that is built.
pub(crate) fn run(shell: &Shell, root: &Path, words: &[&str]) -> Result<()> {
    let work = root.join("target/proof");
    match words {
        ["fuzz"] => return fuzz::fuzz(root, &work, FUZZ_SECONDS, &[]),
        ["fuzz", seconds, only @ ..] => {
            return fuzz::fuzz(root, &work, seconds.parse().context("seconds is not a number")?, only);
        }
        ["coverage", only @ ..] => return coverage::coverage(root, &work, only),
        ["mutants", only @ ..] => return mutants::mutants(root, &work, only),
        _ => {}
    }
    let (words, binary) = match words {
        [words @ .., "--bin", binary] => (words, PathBuf::from(binary)),
        words => {
            cmd!(shell, "cargo build --quiet --release --locked --package openclaw-cli").run()?;
            (words, root.join("target/release/openclaw"))
        }
    };
    let binary = binary.canonicalize().context("no such program")?;
    let kill = |rounds: u64| -> Result<()> {
        kill(&binary, &work, usize::try_from(rounds)?)?;
        proof_doctor::kill(&binary, &work, rounds / 4)
    };
    match words {
        [] => {
            reads::reads(&binary, &work)?;
            kill(3000)?;
            race(&binary, &work)?;
            proof_doctor::run(&binary, &work, 1000)?;
            single_flight::single_flight(&binary, &work, FLIGHTS)?;
            gateway::gateway(&binary, &work, REQUESTS)
        }
        ["kill"] => kill(3000),
        ["kill", rounds] => kill(rounds.parse().context("rounds is not a number")?),
        ["reads"] => reads::reads(&binary, &work),
        ["race"] => race(&binary, &work),
        ["gateway"] => gateway::gateway(&binary, &work, REQUESTS),
        ["gateway", count] => gateway::gateway(&binary, &work, count.parse().context("the count is not a number")?),
        ["page"] => page::page(&binary, &work),
        ["clients"] => clients::clients(&binary, &work),
        ["doctor"] => proof_doctor::run(&binary, &work, 1000),
        ["doctor", "kill", rounds] => {
            proof_doctor::kill(&binary, &work, rounds.parse().context("rounds is not a number")?)
        }
        ["doctor", count] => proof_doctor::run(&binary, &work, count.parse().context("the count is not a number")?),
        ["single-flight"] => single_flight::single_flight(&binary, &work, FLIGHTS),
        ["single-flight", rounds] => {
            single_flight::single_flight(&binary, &work, rounds.parse().context("rounds is not a number")?)
        }
        _ => anyhow::bail!("no such proof: {}", words.join(" ")),
    }
}

/// Commands that write, each with what it reads from standard input.
const WRITES: &[(&[&str], &str)] = &[
    (&["models", "auth", "order", "set", "--provider", "p", "p:a", "p:b"], ""),
    (&["models", "auth", "order", "set", "--provider", "p", "p:b", "p:a"], ""),
    (&["models", "auth", "paste-api-key", "--provider", "p", "--profile-id", "p:new"], "sk-test-kill-0000000001\n"),
    (&["models", "auth", "clear-cooldown", "--all"], ""),
    (&["models", "auth", "remove", "p:new", "--yes"], ""),
    (&["models", "set", "p/one"], ""),
    (&["models", "fallbacks", "add", "p/two"], ""),
    (&["models", "fallbacks", "clear"], ""),
];

/// Kills a writing command after a random while, many times: afterwards both files are whole, 0600, hold what they
/// held, and the next command works.
fn kill(binary: &Path, work: &Path, rounds: usize) -> Result<()> {
    let home = fresh(work, "kill")?;
    let store = home.join(".openclaw/agents/main/agent/auth-profiles.json");
    let config = home.join(".openclaw/openclaw.json");
    write(
        &store,
        &json!({"version": 1, "keep": {"unknown": 1.0}, "profiles": {
        "p:a": {"type": "api_key", "provider": "p", "key": "sk-test-a-0000000000001"},
        "p:b": {"type": "api_key", "provider": "p", "key": "sk-test-b-0000000000001"}},
        "usageStats": {"p:a": {"errorCount": 1, "cooldownUntil": 99_999_999_999_999_u64}}})
        .to_string(),
    )?;
    write(&config, "// keep this comment\n{ gateway: { mode: 'local' } }\n")?;
    let printed = Printed::beside(&home)?;
    let (mut killed, mut finished) = (0, 0);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..rounds {
        let (arguments, input) = WRITES[round % WRITES.len()];
        let mut child = start(binary, arguments, &home, &printed)?;
        if let Some(mut stdin) = child.stdin.take() {
            use std::io::Write;
            let _ = stdin.write_all(input.as_bytes());
        }
        // A spread over the whole life of the command, which is a few milliseconds.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros(seed >> 51));
        child.kill()?;
        let status = child.wait()?;
        if status.code().is_some() {
            finished += 1;
        } else {
            killed += 1;
        }

        let text = fs::read_to_string(&store).context("the store is gone")?;
        let value: Value = serde_json::from_str(&text).with_context(|| format!("round {round}: the store is torn"))?;
        ensure!(value["profiles"]["p:a"]["key"] == "sk-test-a-0000000000001", "round {round}: a profile is lost");
        ensure!(value["keep"]["unknown"] == 1.0, "round {round}: an unknown field is lost");
        let text = fs::read_to_string(&config).context("the config is gone")?;
        ensure!(
            text.starts_with("// keep this comment") && text.trim_end().ends_with('}'),
            "round {round}: the config is torn"
        );
        for path in files(&home) {
            let mode = mode_of(&path)?;
            ensure!(mode.trailing_zeros() >= 6, "round {round}: {} has mode {mode:o}", path.display());
        }
    }
    // Whatever was left behind does not stand in the way, and goes.
    let begin = Instant::now();
    for (arguments, input) in WRITES.iter().filter(|(arguments, _)| !arguments.contains(&"remove")) {
        finish(binary, arguments, input, &home, &printed)?;
    }
    let left: Vec<PathBuf> = files(&home).into_iter().filter(|path| is_left_over(path)).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    let secrets = ["sk-test-a-0000000000001", "sk-test-b-0000000000001", "sk-test-kill-0000000001"];
    printed.check(&secrets.map(str::to_owned))?;
    println!(
        "kill: {rounds} rounds, {killed} killed in the middle, {finished} finished first; nothing torn, lost, widened, printed or left behind; the next {} commands took {:.1} s",
        WRITES.len() - 1,
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

/// Many processes change one store, each its own part, beside one that speaks the lock file only.
fn race(binary: &Path, work: &Path) -> Result<()> {
    let home = fresh(work, "race")?;
    let store = home.join(".openclaw/agents/main/agent/auth-profiles.json");
    let mut profiles = serde_json::Map::new();
    for racer in 0..RACERS {
        for name in ["a", "b"] {
            let entry = json!({"type": "api_key", "provider": format!("p{racer}"), "key": format!("sk-test-{racer}-{name}-0000001")});
            profiles.insert(format!("p{racer}:{name}"), entry);
        }
    }
    write(&store, &json!({"version": 1, "profiles": profiles, "peer": 0}).to_string())?;
    let begin = Instant::now();
    let printed = Arc::new(Printed::beside(&home)?);
    let peer = {
        let store = store.clone();
        thread::spawn(move || peer_updates(&store, UPDATES))
    };
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (binary, home, printed) = (binary.to_owned(), home.clone(), Arc::clone(&printed));
            thread::spawn(move || -> Result<usize> {
                let (a, b, provider) = (format!("p{racer}:a"), format!("p{racer}:b"), format!("p{racer}"));
                let mut busy = 0;
                for update in 0..UPDATES {
                    let (first, second) = if update % 2 == 0 { (&b, &a) } else { (&a, &b) };
                    // Busy is an honest answer under this load; the update is then asked for again.
                    while finish(
                        &binary,
                        &["models", "auth", "order", "set", "--provider", &provider, first, second],
                        "",
                        &home,
                        &printed,
                    )
                    .is_err()
                    {
                        busy += 1;
                        ensure!(busy < 1000, "racer {racer} never gets the lock");
                    }
                    let seen: Value = serde_json::from_str(&fs::read_to_string(
                        home.join(".openclaw/agents/main/agent/auth-profiles.json"),
                    )?)?;
                    ensure!(
                        seen["order"][&provider] == json!([first, second]),
                        "racer {racer}: update {update} is lost"
                    );
                }
                Ok(busy)
            })
        })
        .collect();
    let mut busy = 0;
    for racer in racers {
        busy += racer.join().map_err(|_| anyhow::anyhow!("a racer stopped"))??;
    }
    peer.join().map_err(|_| anyhow::anyhow!("the peer stopped"))??;
    let end: Value = serde_json::from_str(&fs::read_to_string(&store)?)?;
    ensure!(end["peer"] == UPDATES, "updates of the peer are lost: {} of {UPDATES}", end["peer"]);
    ensure!(end["profiles"].as_object().map_or(0, serde_json::Map::len) == 2 * RACERS, "profiles are lost");
    let secrets: Vec<String> =
        (0..RACERS).flat_map(|racer| ["a", "b"].map(|name| format!("sk-test-{racer}-{name}-0000001"))).collect();
    printed.check(&secrets)?;
    println!(
        "race: {RACERS} processes x {UPDATES} updates beside a peer with {UPDATES} that speaks the lock file only: none lost, no secret printed, {busy} answers \"busy\", {:.0} s",
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

/// Another program: takes the lock file as the Node program does, and nothing else.
fn peer_updates(store: &Path, updates: usize) -> Result<()> {
    let lock = PathBuf::from(format!("{}.lock", store.display()));
    for update in 0..updates {
        loop {
            use std::io::Write;
            if let Ok(mut file) = fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
                let now = cmd_date()?;
                write!(file, "{{\n  \"pid\": {},\n  \"createdAt\": \"{now}\"\n}}", std::process::id())?;
                break;
            }
            thread::sleep(Duration::from_millis(3));
        }
        let mut value: Value = serde_json::from_str(&fs::read_to_string(store)?)?;
        value["peer"] = json!(update + 1);
        let temporary = store.with_extension("peer");
        fs::write(&temporary, serde_json::to_string_pretty(&value)?)?;
        fs::rename(&temporary, store)?;
        fs::remove_file(&lock)?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The time as the lock file has it.
fn cmd_date() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.000Z"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn start(binary: &Path, arguments: &[&str], home: &Path, printed: &Printed) -> Result<std::process::Child> {
    let mut command = Command::new(binary);
    command.args(arguments).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    Ok(command.stdin(Stdio::piped()).stdout(printed.end()?).stderr(printed.end()?).spawn()?)
}

fn finish(binary: &Path, arguments: &[&str], input: &str, home: &Path, printed: &Printed) -> Result<()> {
    let mut child = start(binary, arguments, home, printed)?;
    if let Some(mut stdin) = child.stdin.take() {
        use std::io::Write;
        let _ = stdin.write_all(input.as_bytes());
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} failed", arguments.join(" "));
    Ok(())
}

fn fresh(work: &Path, name: &str) -> Result<PathBuf> {
    let home = work.join(name);
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    Ok(home)
}

fn write(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().context("no folder")?)?;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn mode_of(path: &Path) -> Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::symlink_metadata(path)?.permissions().mode() & 0o777)
}

fn is_left_over(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "tmp" || end == "lock") || path.to_string_lossy().contains(".stale-")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
