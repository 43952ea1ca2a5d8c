//! The gateway in front of providers that fail in every way, among many clients at once, killed and started again:
//! whoever asked gets the truth, and no failure is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::gateway_clients::{Call, Seen};
use super::gateway_process::{GatewayHome, GatewayProcess, TOKEN};
use super::gateway_script::{self as script, Book, HABITS, PROVIDERS, Said};
use super::{files, is_left_over, mode_of};

/// How often the gateway is killed.
const KILLS: usize = 5;
/// How many clients there are while it is killed.
const CLIENTS: usize = 64;
/// How long a cooldown is at least: within it every failure adds to the same counters.
const WINDOW: Duration = Duration::from_secs(30);
/// How many characters of a secret are too many.
const RUN: usize = 8;
/// When a figure is not there any more.
const LIMIT: Duration = Duration::from_secs(20);

/// What happened in one run.
struct Run {
    calls: Vec<(Call, Seen)>,
    /// When nobody listened: from before the end of a life to after the beginning of the next.
    gaps: Vec<(Instant, Instant)>,
}

/// Runs both: one life with `count` requests at once, then as many while it is killed.
pub(crate) fn gateway(binary: &Path, work: &Path, count: usize) -> Result<()> {
    let begin = Instant::now();
    let book = Book::default();
    let home = home(&work.join("gateway"), &book)?;
    let watch = Watch::default();
    let mut said = String::new();
    thread::scope(|scope| -> Result<()> {
        let watcher = scope.spawn(|| watch.run(&home));
        let steady = steady(binary, &home, &book, count, &mut said);
        let killed = steady.and_then(|()| killed(binary, &home, &book, count, &mut said));
        watch.is_over.store(true, Ordering::Relaxed);
        let whole = watcher.join().map_err(|_| anyhow::anyhow!("the watcher stopped"))?;
        killed.and(whole)
    })?;
    // Whatever a killed one left behind does not stand in the way, and goes.
    let cleared = home.command(binary, &["models", "auth", "clear-cooldown", "--all"]).output()?;
    ensure!(cleared.status.success(), "the store cannot be written afterwards");
    for path in files(&home.path) {
        let mode = mode_of(&path)?;
        ensure!(mode.trailing_zeros() >= 6, "{} has mode {mode:o}", path.display());
        ensure!(!is_left_over(&path), "left behind: {}", path.display());
    }
    no_secret(&said)?;
    println!(
        "gateway: the store was looked at {} times and never torn; nothing printed holds {RUN} characters of a secret; {:.0} s",
        watch.looks.load(Ordering::Relaxed),
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

fn home(path: &Path, book: &Book) -> Result<GatewayHome> {
    let model = json!({"primary": "acme/m1", "fallbacks": ["beta/m1", "cobalt/m1"]});
    let home = GatewayHome::make(path, &model, &script::start(book)?, &script::profiles())?;
    // One agent for which nothing comes after its model.
    let config = home.path.join(".openclaw/openclaw.json");
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&config)?)?;
    let alone = json!({"primary": "acme/m1", "fallbacks": []});
    value["agents"]["list"] = json!([{"id": "main"}, {"id": "lonely", "model": alone}]);
    super::write(&config, &value.to_string())?;
    let order: serde_json::Map<String, Value> = PROVIDERS
        .iter()
        .map(|(provider, _)| {
            let ids: Vec<String> = HABITS.iter().map(|(name, _)| format!("{provider}:{name}")).collect();
            ((*provider).to_owned(), json!(ids))
        })
        .collect();
    let mut store = home.read_store()?;
    store["order"] = Value::Object(order);
    super::write(&home.store(), &store.to_string())?;
    Ok(home)
}

/// One life: all requests at once; the counters and the statistics are exactly what the providers said.
fn steady(binary: &Path, home: &GatewayHome, book: &Book, count: usize, said: &mut String) -> Result<()> {
    let begin = Instant::now();
    let gateway = GatewayProcess::start(binary, home, 0, &["--max-turns", &count.to_string()])?;
    let address = gateway.address;
    let calls: Vec<(Call, Seen)> = thread::scope(|scope| {
        let send = |number| {
            let call = Call::new(number);
            let seen = call.send(address);
            (call, seen)
        };
        let all: Vec<_> = (0..count).map(|number| scope.spawn(move || send(number))).collect();
        all.into_iter().filter_map(|one| one.join().ok()).collect()
    });
    ensure!(calls.len() == count, "a client stopped");
    let (mut answered, mut by_status) = (0, BTreeMap::new());
    for (call, seen) in &calls {
        let answer = seen.answer.as_ref();
        let answer = answer.with_context(|| format!("request {} got no answer, without a kill", call.number))?;
        call.judge(answer, book)?;
        said.push_str(&answer.head);
        said.push_str(&answer.text());
        answered += usize::from(answer.status == 200);
        *by_status.entry((call.path, answer.status)).or_insert(0_u64) += 1;
    }
    let of_requests = |(path, status): (&str, u16), count| {
        (format!("openclaw_gateway_requests_total{{route=\"{path}\",status=\"{status}\"}}"), count)
    };
    let mut wanted: BTreeMap<String, u64> = by_status.into_iter().map(|(key, count)| of_requests(key, count)).collect();
    let failures = book.failures(|one, reason| Some((one.provider, reason)));
    wanted.extend(failures.iter().map(|((provider, reason), count)| {
        let name = "openclaw_gateway_provider_failures_total";
        (format!("{name}{{provider=\"{provider}\",reason=\"{reason}\"}}"), *count)
    }));
    let metrics = settled(&gateway, &wanted)?;
    let turns: u64 = metrics.iter().filter(|(name, _)| name.contains("turns_total{")).map(|(_, count)| count).sum();
    ensure!(turns == count as u64, "{turns} turns were counted, of {count}");
    said.push_str(&gateway.get("/status.json")?.text());
    said.push_str(&gateway.get("/metrics")?.text());
    gateway.terminate()?;
    said.push_str(&gateway.ended()?);

    ensure!(begin.elapsed() < WINDOW, "this machine took {:?}; a smaller number fits", begin.elapsed());
    let store = home.read_store()?;
    let recorded = book.failures(|one, reason| one.habit.is_recorded().then(|| (one.profile.clone(), reason)));
    for ((profile, reason), count) in &recorded {
        let usage = &store["usageStats"][profile];
        ensure!(usage["failureCounts"][reason] == *count, "{profile} failed {count} times, but: {usage}");
        ensure!(usage["errorCount"] == *count, "{profile} failed {count} times, but: {usage}");
    }
    last_uses(&store, book, &calls)?;
    println!(
        "gateway: {count} requests at once in one life: {answered} answered, {} refused, each with the truth; {} requests to providers, {} failures in the metrics and {} in the statistics, none missing; {:.1} s",
        count - answered,
        book.len(),
        failures.values().sum::<u64>(),
        recorded.values().sum::<u64>(),
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

/// Waits until the counters are what they should be: a request is counted when its last byte has gone.
fn settled(gateway: &GatewayProcess, wanted: &BTreeMap<String, u64>) -> Result<BTreeMap<String, u64>> {
    let begin = Instant::now();
    loop {
        let text = gateway.get("/metrics")?.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let metrics: BTreeMap<String, u64> = lines
            .filter_map(|line| line.rsplit_once(' '))
            .filter_map(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
            .collect();
        let counts = |name: &str| {
            name.contains("provider_failures_total{") || name.contains("requests_total{") && name.contains("/v1/")
        };
        let counted: BTreeMap<&String, &u64> = metrics.iter().filter(|(name, _)| counts(name)).collect();
        if counted == wanted.iter().collect() {
            return Ok(metrics);
        }
        ensure!(begin.elapsed() < LIMIT, "the metrics are {counted:#?}\nwhere {wanted:#?} was seen");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Lives that are cut short, and one that is asked to end.
fn killed(binary: &Path, home: &GatewayHome, book: &Book, count: usize, said: &mut String) -> Result<()> {
    let begin = Instant::now();
    clear(binary, home)?;
    let first = GatewayProcess::start(binary, home, 0, &[])?;
    let address = first.address;
    let (next, before) = (AtomicUsize::new(count), book.len());
    let calls = Mutex::new(Vec::with_capacity(count));
    let listening = AtomicBool::new(true);
    let mut kept = 0;
    let (gaps, life) = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= 2 * count {
                        break;
                    }
                    let call = Call::new(number);
                    let seen = call.send(address);
                    calls.lock().unwrap_or_else(PoisonError::into_inner).push((call, seen));
                    while !listening.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(2));
                    }
                }
            });
        }
        let lives = || -> Result<_> {
            let (mut gateway, mut gaps, mut looked_at) = (first, Vec::new(), 0);
            for kill in 1..=KILLS + 1 {
                while next.load(Ordering::Relaxed) < count + count * kill / (KILLS + 2) {
                    thread::sleep(Duration::from_micros(200));
                }
                // Who has not begun waits for the next life, so that most requests meet a gateway.
                listening.store(false, Ordering::Relaxed);
                let from = Instant::now();
                // The last of them is asked to end, and finishes what it has begun.
                let ended = if kill > KILLS {
                    gateway.terminate()?;
                    gateway.ended()
                } else {
                    gateway.kill()
                };
                said.push_str(&ended?);
                // Once everybody knows how it ended, what this life has left behind is looked at.
                let life = loop {
                    let calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
                    if calls.len() == next.load(Ordering::Relaxed).min(2 * count) - count {
                        break calls.get(looked_at..).map(<[_]>::to_vec).unwrap_or_default();
                    }
                    drop(calls);
                    thread::sleep(Duration::from_millis(1));
                };
                looked_at += life.len();
                kept += failures_kept(&life, &home.read_store()?, book)?;
                // The windows of this life would keep the next one from failing.
                clear(binary, home)?;
                gateway = GatewayProcess::start(binary, home, address.port(), &[])?;
                listening.store(true, Ordering::Relaxed);
                gaps.push((from, Instant::now()));
            }
            Ok((gaps, gateway))
        };
        let result = lives();
        // Nobody waits for a gateway that does not come.
        if result.is_err() {
            next.store(2 * count, Ordering::Relaxed);
        }
        listening.store(true, Ordering::Relaxed);
        result
    })?;
    life.terminate()?;
    said.push_str(&life.ended()?);
    let calls = calls.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(calls.len() == count, "a client stopped");
    let run = Run { calls, gaps };
    let (answered, refused, cut) = run.judge(book, said)?;
    let store = home.read_store()?;
    let last = run.gaps.last().map(|gap| gap.1);
    let of_last_life: Vec<(Call, Seen)> =
        run.calls.into_iter().filter(|(_, seen)| last.is_some_and(|last| seen.begun > last)).collect();
    last_uses(&store, book, &of_last_life)?;
    println!(
        "gateway: {count} requests on {CLIENTS} connections through {KILLS} kills and 1 SIGTERM: {answered} answered, {refused} refused, {cut} cut off by a kill or an end; {} requests to providers, {kept} times a profile had failed in a life and the store knew its last failure; {:.1} s",
        book.len() - before,
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

impl Run {
    /// How many were answered, refused and cut off.
    fn judge(&self, book: &Book, said: &mut String) -> Result<(usize, usize, usize)> {
        let (mut answered, mut refused, mut cut) = (0, 0, 0);
        for (call, seen) in &self.calls {
            let overlaps = |gap: &(Instant, Instant)| seen.begun <= gap.1 && gap.0 <= seen.ended;
            let in_gap = self.gaps.iter().find(|gap| overlaps(gap));
            let Some(answer) = &seen.answer else {
                let (from, _) = in_gap.with_context(|| format!("request {} failed without a kill", call.number))?;
                let is_last = self.gaps.last().is_some_and(|last| last.0 == *from);
                // Asked to end, it finishes what it has begun: what reached a provider is answered.
                ensure!(!is_last || book.of(call.number).is_empty(), "SIGTERM cut off request {}", call.number);
                cut += 1;
                continue;
            };
            said.push_str(&answer.head);
            said.push_str(&answer.text());
            if !answer.is_whole && in_gap.is_some() {
                cut += 1;
                continue;
            }
            call.judge(answer, book)?;
            if answer.status == 200 { answered += 1 } else { refused += 1 }
        }
        Ok((answered, refused, cut))
    }
}

/// Every failure that a client heard of, or after which something else was tried, is on the disk. Gives how many
/// profiles have one.
fn failures_kept(calls: &[(Call, Seen)], store: &Value, book: &Book) -> Result<usize> {
    let mut latest: BTreeMap<String, u64> = BTreeMap::new();
    for (call, seen) in calls {
        let served = book.of(call.number);
        for (at, one) in served.iter().enumerate() {
            let went_on = seen.answer.is_some() || at + 1 < served.len();
            if one.said == Said::Refused && one.habit.is_recorded() && went_on {
                let latest = latest.entry(one.profile.clone()).or_default();
                *latest = one.at_ms.max(*latest);
            }
        }
    }
    for (profile, at_ms) in &latest {
        let usage = &store["usageStats"][profile];
        let kept = usage["lastFailureAt"].as_u64().unwrap_or(0);
        ensure!(kept >= *at_ms, "{profile} failed at {at_ms}, but: {usage}");
    }
    Ok(latest.len())
}

/// Every answer that a client got counts as a use of its profile.
fn last_uses(store: &Value, book: &Book, calls: &[(Call, Seen)]) -> Result<()> {
    for (call, seen) in calls.iter().filter(|(_, seen)| seen.answer.as_ref().is_some_and(|answer| answer.is_whole)) {
        let Some(last) = book.of(call.number).pop().filter(|last| last.said == Said::Good) else { continue };
        let used = store["usageStats"][&last.profile]["lastUsed"].as_u64().unwrap_or(0);
        ensure!(
            used >= last.at_ms,
            "{} answered at {}, but was last used at {used} ({seen:?})",
            last.profile,
            last.at_ms
        );
    }
    Ok(())
}

fn clear(binary: &Path, home: &GatewayHome) -> Result<()> {
    let cleared = home.command(binary, &["models", "auth", "clear-cooldown", "--all"]).output()?;
    ensure!(cleared.status.success(), "clear-cooldown: {}", String::from_utf8_lossy(&cleared.stderr));
    Ok(())
}

/// Looks at the store all the time.
#[derive(Debug, Default)]
struct Watch {
    is_over: AtomicBool,
    looks: AtomicUsize,
}

impl Watch {
    fn run(&self, home: &GatewayHome) -> Result<()> {
        while !self.is_over.load(Ordering::Relaxed) {
            let store = home.read_store().context("the store is torn")?;
            let count = store["profiles"].as_object().map_or(0, serde_json::Map::len);
            ensure!(count == PROVIDERS.len() * HABITS.len(), "a profile is lost");
            let mode = mode_of(&home.store())?;
            ensure!(mode == 0o600, "the store has mode {mode:o}");
            self.looks.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    }
}

/// Nothing that anybody was shown holds a stretch of a secret.
fn no_secret(said: &str) -> Result<()> {
    let keys = (0..PROVIDERS.len() * HABITS.len()).map(script::canary);
    let token = TOKEN.trim_start_matches("sk-test-gateway-").to_owned();
    for secret in keys.chain([token]) {
        for start in 0..=secret.len() - RUN {
            let part = &secret[start..start + RUN];
            ensure!(!said.contains(part), "a part of a secret was shown: {part}");
        }
    }
    Ok(())
}
