//! What the gateway has done so far, counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::outcome::{Answer, Attempted, TurnError};

/// How many failovers are remembered.
const FAILOVERS_MAX: usize = 50;
/// The upper ends of the buckets of durations, in milliseconds.
pub(crate) const BUCKETS_MS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 60_000];

/// A request to a provider that failed, after which something else was tried, or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Failover {
    pub(crate) at_ms: i64,
    pub(crate) attempt: Attempted,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    turns: Mutex<BTreeMap<(String, String), u64>>,
    failures: Mutex<BTreeMap<(String, &'static str), u64>>,
    tokens: Mutex<BTreeMap<(String, &'static str), u64>>,
    failovers: Mutex<VecDeque<Failover>>,
    durations: Mutex<Durations>,
    pub(crate) running: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) refused_turns: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) failed_reloads: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Durations {
    pub(crate) buckets: [u64; BUCKETS_MS.len()],
    pub(crate) count: u64,
    pub(crate) sum_ms: u64,
}

/// One row of a counter: what it counts, by its labels.
pub(crate) type Rows = Vec<(Vec<(&'static str, String)>, u64)>;

impl Tally {
    /// A request was answered.
    pub(crate) fn request(&self, route: &'static str, status: u16) {
        *locked(&self.requests).entry((route, status)).or_default() += 1;
    }

    /// A turn was answered.
    pub(crate) fn answered(&self, answer: &Answer, took: Duration, now_ms: i64) {
        self.turn(&answer.provider, "answered", took);
        self.failed_requests(&answer.attempts, now_ms);
        let usage = &answer.usage;
        let mut tokens = locked(&self.tokens);
        for (kind, count) in [
            ("input", usage.input),
            ("output", usage.output),
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write),
        ] {
            if count > 0 {
                *tokens.entry((answer.provider.clone(), kind)).or_default() += count;
            }
        }
    }

    /// A turn failed.
    pub(crate) fn failed(&self, error: &TurnError, took: Duration, now_ms: i64) {
        let last = error.attempts.last().or(error.requests.last());
        let provider = last.map_or("none", |attempt| attempt.provider.as_str());
        let outcome = if error.kind == crate::TurnErrorKind::Cancelled { "cancelled" } else { "failed" };
        self.turn(provider, outcome, took);
        self.failed_requests(&error.requests, now_ms);
    }

    fn turn(&self, provider: &str, outcome: &str, took: Duration) {
        *locked(&self.turns).entry((provider.to_owned(), outcome.to_owned())).or_default() += 1;
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut durations = locked(&self.durations);
        durations.count += 1;
        durations.sum_ms = durations.sum_ms.saturating_add(ms);
        for (bucket, most) in durations.buckets.iter_mut().zip(BUCKETS_MS) {
            *bucket += u64::from(ms <= most);
        }
    }

    fn failed_requests(&self, attempts: &[Attempted], now_ms: i64) {
        if attempts.is_empty() {
            return;
        }
        let mut failures = locked(&self.failures);
        let mut failovers = locked(&self.failovers);
        for attempt in attempts {
            let reason = attempt.reason.map_or("unknown", auth_core::FailureReason::as_str);
            // A model that was not asked is shown, but no request has failed.
            if attempt.source.is_some() {
                *failures.entry((attempt.provider.clone(), reason)).or_default() += 1;
            }
            if failovers.len() >= FAILOVERS_MAX {
                failovers.pop_front();
            }
            failovers.push_back(Failover { at_ms: now_ms, attempt: attempt.clone() });
        }
    }

    pub(crate) fn requests(&self) -> Rows {
        let rows = locked(&self.requests);
        let labels = |(route, status): &(&'static str, u16)| {
            vec![("route", (*route).to_owned()), ("status", status.to_string())]
        };
        rows.iter().map(|(key, count)| (labels(key), *count)).collect()
    }

    pub(crate) fn turns(&self) -> Rows {
        let rows = locked(&self.turns);
        let labels =
            |(provider, outcome): &(String, String)| vec![("provider", provider.clone()), ("outcome", outcome.clone())];
        rows.iter().map(|(key, count)| (labels(key), *count)).collect()
    }

    pub(crate) fn failures(&self) -> Rows {
        by_provider(&locked(&self.failures), "reason")
    }

    pub(crate) fn tokens(&self) -> Rows {
        by_provider(&locked(&self.tokens), "kind")
    }

    pub(crate) fn durations(&self) -> Durations {
        *locked(&self.durations)
    }

    /// The last failures, the newest first.
    pub(crate) fn failovers(&self) -> Vec<Failover> {
        locked(&self.failovers).iter().rev().cloned().collect()
    }

    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take(counter: &AtomicU64) {
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}

fn by_provider(rows: &BTreeMap<(String, &'static str), u64>, second: &'static str) -> Rows {
    let labels =
        |(provider, kind): &(String, &'static str)| vec![("provider", provider.clone()), (second, (*kind).to_owned())];
    rows.iter().map(|(key, count)| (labels(key), *count)).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
