//! The providers of the chaos proof: which key gets what, and a book of everything that was said.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::gateway_process::key;
use super::mock_provider::{Asked, MockProvider, Reply, now_ms};

/// The providers, each with its API. Every one has the profiles of [`HABITS`].
pub(crate) const PROVIDERS: [(&str, &str); 3] =
    [("acme", "openai-completions"), ("beta", "openai-completions"), ("cobalt", "anthropic-messages")];

/// What a key gets, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    Limited,
    LimitedWithTime,
    Refused,
    NoCredit,
    Fails,
    Busy,
    Closes,
    Good,
    Slow,
}

/// The profiles of a provider, in their order.
pub(crate) const HABITS: [(&str, Habit); 9] = [
    ("limited", Habit::Limited),
    ("closes", Habit::Closes),
    ("refused", Habit::Refused),
    ("fails", Habit::Fails),
    ("no-credit", Habit::NoCredit),
    ("timed", Habit::LimitedWithTime),
    ("busy", Habit::Busy),
    ("good", Habit::Good),
    ("slow", Habit::Slow),
];

impl Habit {
    /// The reason that a refusal has in the statistics and the metrics, and the status that a client gets for it.
    pub(crate) fn reason(self) -> Option<(&'static str, u16)> {
        match self {
            Self::Limited | Self::LimitedWithTime => Some(("rate_limit", 429)),
            Self::Refused => Some(("auth", 401)),
            Self::NoCredit => Some(("billing", 402)),
            Self::Busy => Some(("overloaded", 503)),
            Self::Fails | Self::Closes => Some(("timeout", 504)),
            Self::Good | Self::Slow => None,
        }
    }

    /// Whether the statistics keep the refusal.
    pub(crate) fn is_recorded(self) -> bool {
        self.reason().is_some_and(|(reason, _)| reason != "timeout")
    }
}

/// What was said to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Good,
    /// A stream that broke in the middle.
    Broken,
    Refused,
}

/// One request that a provider answered.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) provider: &'static str,
    pub(crate) profile: String,
    pub(crate) habit: Habit,
    pub(crate) said: Said,
    pub(crate) at_ms: u64,
}

impl Served {
    /// The reason of the failure, and the status that a client gets for it.
    pub(crate) fn reason(&self) -> Option<(&'static str, u16)> {
        match self.said {
            Said::Good => None,
            Said::Broken => Some(("timeout", 504)),
            Said::Refused => self.habit.reason(),
        }
    }
}

/// Everything that was said, by the number that a client gave its request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(Arc<Mutex<HashMap<usize, Vec<Served>>>>);

impl Book {
    fn open(&self) -> MutexGuard<'_, HashMap<usize, Vec<Served>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said to one request, in its order.
    pub(crate) fn of(&self, number: usize) -> Vec<Served> {
        self.open().get(&number).cloned().unwrap_or_default()
    }

    /// How many requests there were.
    pub(crate) fn len(&self) -> usize {
        self.open().values().map(Vec::len).sum()
    }

    /// How often something failed, by `of`. A connection that was closed twice in a row for one request is one failure:
    /// it is repeated once.
    pub(crate) fn failures<K: Ord>(&self, of: impl Fn(&Served, &'static str) -> Option<K>) -> BTreeMap<K, u64> {
        let mut counts = BTreeMap::new();
        for served in self.open().values() {
            let mut repeated = false;
            for one in served {
                let Some((reason, _)) = one.reason() else { continue };
                repeated = one.habit == Habit::Closes && one.said == Said::Refused && !repeated;
                if !repeated && let Some(key) = of(one, reason) {
                    *counts.entry(key).or_default() += 1;
                }
            }
        }
        counts
    }
}

/// Text that no program would make up, from a number.
pub(crate) fn canary(seed: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed as u64 + 1);
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap_or(0) % LETTERS.len();
        char::from(LETTERS[at])
    };
    (0..24).map(|_| letter()).collect()
}

/// The profiles of all providers with their keys.
pub(crate) fn profiles() -> Vec<(String, Value)> {
    let all = PROVIDERS.iter().enumerate().flat_map(|(at, (provider, _))| {
        HABITS.iter().enumerate().map(move |(habit, (name, _))| {
            (format!("{provider}:{name}"), key(provider, &format!("sk-test-{}", canary(at * HABITS.len() + habit))))
        })
    });
    all.collect()
}

/// Starts the providers: their entries for the config.
pub(crate) fn start(book: &Book) -> Result<Vec<(&'static str, Value)>> {
    let mut entries = Vec::new();
    for (at, (provider, api)) in PROVIDERS.into_iter().enumerate() {
        let keys: HashMap<String, (&str, Habit)> = HABITS
            .iter()
            .enumerate()
            .map(|(habit, known)| (format!("sk-test-{}", canary(at * HABITS.len() + habit)), *known))
            .collect();
        let book = book.clone();
        let mock = MockProvider::start(move |asked| {
            let Some((name, habit)) = keys.get(&asked.key) else {
                return Reply::Refusal(401, "", json!({"type": "authentication_error", "message": "no such key"}));
            };
            let number = number_of(asked);
            let (said, reply) = reply(*habit, number, asked);
            let profile = format!("{provider}:{name}");
            let served = Served { provider, profile, habit: *habit, said, at_ms: now_ms() };
            book.open().entry(number).or_default().push(served);
            reply
        })?;
        entries.push((provider, mock.entry(api, "m1")));
    }
    Ok(entries)
}

/// The number at the end of the last message.
fn number_of(asked: &Asked) -> usize {
    asked.last_message().rsplit('#').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}

/// Whether the good answer to this request breaks, if it is a stream.
pub(crate) fn breaks(number: usize) -> bool {
    number % 16 == 1 || number % 16 == 11
}

fn reply(habit: Habit, number: usize, asked: &Asked) -> (Said, Reply) {
    let text = format!("pong #{number}");
    // Real ones show the key that they refuse; it must not go any further.
    let error = |kind: &str, text: &str| json!({"type": kind, "message": format!("{text} (key {})", asked.key)});
    let reply = match habit {
        Habit::Good | Habit::Slow if asked.streams && breaks(number) => return (Said::Broken, Reply::Broken(text)),
        Habit::Good => return (Said::Good, Reply::Text(text)),
        Habit::Slow => return (Said::Good, Reply::Slow(Duration::from_millis(60), text)),
        Habit::Limited => Reply::Refusal(429, "", error("rate_limit_error", "Rate limit reached")),
        Habit::LimitedWithTime => {
            Reply::Refusal(429, "retry-after: 20\r\n", error("rate_limit_error", "Rate limit reached"))
        }
        Habit::Refused => Reply::Refusal(401, "", error("authentication_error", "Incorrect API key provided")),
        Habit::NoCredit => Reply::Refusal(402, "", error("billing_error", "Insufficient credit balance")),
        Habit::Fails => Reply::Refusal(500, "", error("api_error", "Internal server error")),
        Habit::Busy => Reply::Refusal(503, "", error("overloaded_error", "The engine is currently overloaded")),
        Habit::Closes => Reply::Nothing,
    };
    (Said::Refused, reply)
}
