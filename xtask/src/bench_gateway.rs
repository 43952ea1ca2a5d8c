//! `cargo xtask bench gateway`: what the gateway adds to an answer, how many it gives, and what it holds in memory,
//! beside the same requests sent to the provider itself in the same run.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::proof::gateway_process::{GatewayHome, GatewayProcess, TOKEN, key};
use crate::proof::loopback_http::{Link, request};
use crate::proof::mock_provider::{Gate, MockProvider, Reply};

/// The fixed schedule: how many requests a second, on how many connections, how long, how often each side.
const RATE: u32 = 1000;
const CONNECTIONS: usize = 32;
const LEG: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
/// How long the highest rate is measured.
const RUSH: Duration = Duration::from_secs(4);
/// Streams that are open at once.
const STREAMS: usize = 500;
/// Profiles in the store: one answers, the others are there to be looked at.
const PROFILES: usize = 20;
/// What the gateway may add at the median and at the 99th percentile, and what it may hold.
const BUDGET_P50: Duration = Duration::from_micros(300);
const BUDGET_P99: Duration = Duration::from_millis(2);
const BUDGET_KB: u64 = 25_000;

/// One kind of request: to the provider itself, and through the gateway.
struct Kind {
    label: &'static str,
    direct: Vec<u8>,
    through: Vec<u8>,
}

/// The latencies that most requests kept below.
#[derive(Clone, Copy, Debug, Default)]
struct Latency {
    p50: Duration,
    p99: Duration,
}

/// Runs the measurement; `--bin` names another program than the one that is built.
pub(crate) fn run(shell: &Shell, root: &Path, words: &[&str]) -> Result<()> {
    let binary = match words {
        ["--bin", binary] => PathBuf::from(binary),
        [] => {
            cmd!(shell, "cargo build --quiet --release --locked --package openclaw-cli").run()?;
            root.join("target/release/openclaw")
        }
        _ => anyhow::bail!("usage: cargo xtask bench gateway [--bin PATH]"),
    };
    let binary = binary.canonicalize().context("no such program")?;
    let gate = Gate::default();
    let held = gate.clone();
    let mock = MockProvider::start(move |asked| {
        if asked.body.windows(5).any(|word| word == b"held!") {
            return Reply::Held("pong".to_owned(), held.clone());
        }
        Reply::Text("pong".to_owned())
    })?;
    let home = home(root, &mock)?;
    let turns = (STREAMS + 12).to_string();
    let gateway = GatewayProcess::start(&binary, &home, 0, &["--max-turns", &turns])?;
    let kinds = kinds();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    println!(
        "{cores} cores shared by load, provider and gateway; load average before {}",
        load.split(' ').next().unwrap_or("-")
    );

    println!("\n{RATE} requests/s on {CONNECTIONS} connections, from the time each was due; {ROUNDS} rounds in turn");
    println!("{:<28} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}", "", "direct", "p99", "gateway", "p99", "adds", "p99");
    for kind in &kinds {
        at_rate(kind, mock.address, gateway.address)?;
    }

    println!("\nas fast as answers come, {} s each", RUSH.as_secs());
    println!("{:<28} {:>12} {:>14} {:>14}", "", "connections", "direct", "gateway");
    for kind in &kinds {
        for connections in [32, 64] {
            let direct = if kind.direct.is_empty() {
                "-".to_owned()
            } else {
                format!("{:.0}/s", rush(mock.address, &kind.direct, connections)?)
            };
            let through = rush(gateway.address, &kind.through, connections)?;
            println!("{:<28} {connections:>12} {direct:>14} {:>12.0}/s", kind.label, through);
        }
    }
    let after_load = gateway.memory_kb("VmHWM")?;
    drop(gateway);

    let gateway = GatewayProcess::start(&binary, &home, 0, &["--max-turns", &turns])?;
    let idle = gateway.memory_kb("VmRSS")?;
    let open = open_streams(gateway.address)?;
    let [with_streams, own, program, peak] =
        ["VmRSS", "RssAnon", "RssFile", "VmHWM"].map(|name| gateway.memory_kb(name));
    let (with_streams, own, program, peak) = (with_streams?, own?, program?, peak?);
    gate.open();
    drop(open);
    println!(
        "\nmemory: {} MB at the start, {} MB with {STREAMS} open streams ({} of its own, {} of the program's file; peak {}), {} KB each; {} MB after the load above; budget {} MB: {}",
        megabytes(idle),
        megabytes(with_streams),
        megabytes(own),
        megabytes(program),
        megabytes(peak),
        with_streams.saturating_sub(idle) / STREAMS as u64,
        megabytes(after_load),
        megabytes(BUDGET_KB),
        verdict(with_streams.max(peak) <= BUDGET_KB)
    );
    Ok(())
}

fn home(root: &Path, mock: &MockProvider) -> Result<GatewayHome> {
    let providers = [
        ("acme", mock.entry("openai-completions", "m1")),
        ("cobalt", mock.entry("anthropic-messages", "m1")),
        ("beta", mock.entry("openai-completions", "m1")),
    ];
    let mut profiles = vec![
        ("acme:a".to_owned(), key("acme", "sk-test-acme-000000000001")),
        ("cobalt:a".to_owned(), key("cobalt", "sk-test-cobalt-0000000001")),
    ];
    for number in profiles.len()..PROFILES {
        profiles.push((format!("beta:{number}"), key("beta", &format!("sk-test-beta-{number:012}"))));
    }
    GatewayHome::make(&root.join("target/bench/gateway"), &json!("acme/m1"), &providers, &profiles)
}

fn kinds() -> [Kind; 5] {
    let ask = |model: &str, streams: bool| json!({"model": model, "max_tokens": 16, "stream": streams, "messages": [{"role": "user", "content": "ping"}]});
    let bytes = |path: &str, body: &Value| request("POST", path, TOKEN, "", &body.to_string());
    let kind = |label, path: &str, theirs: &str, ours: &str, streams| Kind {
        label,
        direct: bytes(path, &ask(theirs, streams)),
        through: bytes(path, &ask(ours, streams)),
    };
    let mut with_user = ask("openclaw", false);
    with_user["user"] = json!("bench");
    let chat = "/v1/chat/completions";
    [
        kind("chat", chat, "m1", "openclaw", false),
        kind("chat, stream", chat, "m1", "openclaw", true),
        kind("messages", "/v1/messages", "m1", "cobalt/m1", false),
        kind("messages, stream", "/v1/messages", "m1", "cobalt/m1", true),
        // A session is written for each; nothing of that kind can be asked of the provider.
        Kind { label: "chat in one session", direct: Vec::new(), through: bytes(chat, &with_user) },
    ]
}

/// Both sides in turn at the fixed rate; one row.
fn at_rate(kind: &Kind, provider: SocketAddr, gateway: SocketAddr) -> Result<()> {
    if kind.direct.is_empty() {
        return Ok(());
    }
    // Connections are made and code is warm before anything counts.
    paced(provider, &kind.direct, Duration::from_millis(500))?;
    paced(gateway, &kind.through, Duration::from_millis(500))?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push((paced(provider, &kind.direct, LEG)?, paced(gateway, &kind.through, LEG)?));
    }
    let of = |pick: &dyn Fn(&(Latency, Latency)) -> Duration| median(rounds.iter().map(pick).collect());
    let added_p50 = of(&|(direct, through)| through.p50.saturating_sub(direct.p50));
    let added_p99 = of(&|(direct, through)| through.p99.saturating_sub(direct.p99));
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}  {}",
        kind.label,
        shown(of(&|round| round.0.p50)),
        shown(of(&|round| round.0.p99)),
        shown(of(&|round| round.1.p50)),
        shown(of(&|round| round.1.p99)),
        shown(added_p50),
        shown(added_p99),
        verdict(added_p50 <= BUDGET_P50 && added_p99 <= BUDGET_P99)
    );
    Ok(())
}

/// Sends requests on a fixed schedule, whatever becomes of the earlier ones. A latency begins when a request was due, so
/// that waiting for a connection counts.
fn paced(address: SocketAddr, request: &[u8], length: Duration) -> Result<Latency> {
    let every = Duration::from_secs(1) / RATE;
    let count = u32::try_from(length.as_nanos() / every.as_nanos())?;
    let next = AtomicU32::new(0);
    let all: Mutex<Vec<Duration>> = Mutex::new(Vec::with_capacity(count as usize));
    let (ready, begin) = (Barrier::new(CONNECTIONS), Instant::now() + Duration::from_millis(50));
    at_once(CONNECTIONS, &|| {
        let link = Link::open(address);
        ready.wait();
        let (mut link, mut own) = (link?, Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let due = begin + every * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = link.ask(request)?;
            own.push(due.elapsed());
            ensure!(answer.status == 200 && answer.is_whole, "{}{}", answer.head, answer.text());
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
        Ok(())
    })?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_unstable();
    let at = |hundredth: usize| all.get(all.len() * hundredth / 100).copied().unwrap_or_default();
    Ok(Latency { p50: at(50), p99: at(99) })
}

/// Answers per second when every connection asks again as soon as it has its answer.
fn rush(address: SocketAddr, request: &[u8], connections: usize) -> Result<f64> {
    let count = AtomicU64::new(0);
    let begin = Instant::now();
    at_once(connections, &|| {
        let mut link = Link::open(address)?;
        while begin.elapsed() < RUSH {
            let answer = link.ask(request)?;
            ensure!(answer.status == 200 && answer.is_whole, "{}{}", answer.head, answer.text());
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(f64::from(u32::try_from(count.into_inner())?) / begin.elapsed().as_secs_f64())
}

/// Streams of both APIs whose first bytes have come and whose end has not.
fn open_streams(address: SocketAddr) -> Result<Vec<Link>> {
    let ask = |path: &str, model: &str| {
        let body = json!({"model": model, "max_tokens": 16, "stream": true, "messages": [{"role": "user", "content": "held!"}]});
        request("POST", path, TOKEN, "", &body.to_string())
    };
    let (chat, messages) = (ask("/v1/chat/completions", "openclaw"), ask("/v1/messages", "cobalt/m1"));
    let mut open = Vec::with_capacity(STREAMS);
    for number in 0..STREAMS {
        let mut link = Link::open(address)?;
        let answer = link.begin(if number % 2 == 0 { &chat } else { &messages })?;
        ensure!(answer.status == 200, "stream {number}: {}", answer.head);
        open.push(link);
    }
    Ok(open)
}

/// Does the same on many threads; the first error of any is told.
fn at_once(threads: usize, work: &(dyn Fn() -> Result<()> + Sync)) -> Result<()> {
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a thread stopped"))?)
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn megabytes(kb: u64) -> String {
    format!("{}.{}", kb / 1000, kb % 1000 / 100)
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}
