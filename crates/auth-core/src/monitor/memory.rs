//! What earlier passes saw and told (spec 06 section 14.2, `auth-monitor.json`), and what is due now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::Timestamp;

use super::event::{Change, Event, EventKind};
use super::status::{Level, Status};
use super::survey::{Item, Pass};

/// The version of the file that is written.
const VERSION: u64 = 1;

/// How far clocks may disagree before what one of them wrote is not believed: 24 hours, in milliseconds.
const CLOCK_SLACK_MS: i64 = 86_400_000;

/// How often something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The same status of the same thing is not told again sooner, in milliseconds.
    pub min_interval_ms: i64,
    /// A problem that lasts is told again after this, in milliseconds; 0 never.
    pub remind_ms: i64,
}

/// What is known of one thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Remembered {
    /// Its status at the last pass.
    status: String,
    /// When that was first seen, in milliseconds since the epoch.
    since: i64,
    /// The status that somebody was told last.
    notified_status: Option<String>,
    /// When, in milliseconds since the epoch.
    notified_at: Option<i64>,
    /// The status before the present one.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    /// Whether it was told as something that somebody else covers.
    #[serde(skip_serializing_if = "is_false")]
    notified_mild: bool,
    /// When each status was told, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    told: BTreeMap<String, i64>,
    /// What this program does not know.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Remembered {
    /// When the present status was first seen.
    pub fn since(&self) -> Timestamp {
        Timestamp::from_ms(self.since)
    }

    /// The status at the last pass.
    pub fn status(&self) -> &str {
        &self.status
    }

    /// The problem that somebody was told of and not yet that it is over.
    fn told_problem(&self) -> Option<&str> {
        self.notified_status.as_deref().filter(|word| !matches!(Status::parse(word), Some(Status::Ok | Status::Static)))
    }
}

/// A memory that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// It is no memory; a new one is started.
    #[error("is not readable as the state of the monitor: {0}")]
    Corrupt(String),
    /// It comes from a later program.
    #[error("was written by a newer version ({0}) of this program")]
    Newer(u64),
}

/// What earlier passes left behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    version: u64,
    /// When the last pass ran, in milliseconds since the epoch.
    pub last_run_at: Option<i64>,
    /// How many deliveries have failed since the beginning.
    #[serde(skip_serializing_if = "is_zero")]
    pub notify_failures: u64,
    items: BTreeMap<String, Remembered>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Memory {
    /// Reads the text of the file.
    ///
    /// # Errors
    ///
    /// When it is no memory, or one of a later program.
    pub fn parse(text: &str) -> Result<Self, MemoryError> {
        // The version first: a later one may have another shape, and is not ours to judge.
        let value: Value = serde_json::from_str(text)
            .map_err(|error| MemoryError::Corrupt(format!("line {} column {}", error.line(), error.column())))?;
        match value.get("version").map(Value::as_u64) {
            Some(Some(VERSION)) => {}
            Some(Some(newer)) if newer > VERSION => return Err(MemoryError::Newer(newer)),
            _ => return Err(MemoryError::Corrupt("it has no version".to_owned())),
        }
        serde_json::from_value(value).map_err(|_| MemoryError::Corrupt("its fields have other types".to_owned()))
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let memory = Self { version: VERSION, ..self.clone() };
        // Maps with text keys and plain values always have a JSON form.
        serde_json::to_string_pretty(&memory).unwrap_or_default() + "\n"
    }

    /// What is known of a thing.
    pub fn get(&self, key: &str) -> Option<&Remembered> {
        self.items.get(key)
    }

    /// Everything that is known.
    pub fn items(&self) -> impl Iterator<Item = (&str, &Remembered)> {
        self.items.iter().map(|(key, item)| (key.as_str(), item))
    }

    /// When a thing that still is in a window was first seen in it.
    pub(super) fn cooling_since(&self, key: &str) -> Option<Timestamp> {
        let known = self.items.get(key)?;
        Status::parse(&known.status).filter(|status| status.is_window()).map(|_| known.since())
    }

    /// Whether somebody was told of a problem that is not told to be over.
    pub(super) fn has_told(&self, key: &str) -> bool {
        self.items.get(key).is_some_and(|known| known.told_problem().is_some())
    }

    /// Takes in what a pass saw. `forgets` says of the key of something that was not seen whether it is gone.
    pub fn observe(&mut self, items: &[Item], now: Timestamp, forgets: &dyn Fn(&str) -> bool) {
        let seen: std::collections::HashSet<String> = items.iter().map(Item::key).collect();
        self.items.retain(|key, _| seen.contains(key) || !forgets(key));
        for item in items {
            let word = item.status.as_str();
            let known = self.items.entry(item.key()).or_default();
            if known.status != word {
                known.previous = Some(std::mem::take(&mut known.status)).filter(|word| !word.is_empty());
                word.clone_into(&mut known.status);
                known.since = now.as_ms();
            }
        }
        self.last_run_at = Some(now.as_ms());
    }

    /// The messages that are due: what has changed, what lasts, what is over; at most one of each. Call after
    /// [`observe`](Self::observe).
    pub fn due(&self, pass: &Pass, timing: Timing, host: &str, now: Timestamp) -> Vec<Event> {
        let (mut changed, mut lasting, mut over) = (Vec::new(), Vec::new(), Vec::new());
        for item in &pass.items {
            let Some(known) = self.items.get(&item.key()) else { continue };
            let told = known.told_problem();
            let from = known.notified_status.clone().or_else(|| known.previous.clone());
            let change = || Change { item: item.clone(), from };
            let passed = |at: Option<i64>, ms: i64| {
                // A time that lies far ahead was written by a clock that was wrong.
                at.is_none_or(|at| {
                    let ago = now.as_ms().saturating_sub(at);
                    ago >= ms || ago < -CLOCK_SLACK_MS
                })
            };
            if item.level == Level::Fine {
                if told.is_some() {
                    over.push(change());
                }
                continue;
            }
            let worse = known.notified_mild && item.level == Level::Alarm;
            if told == Some(item.status.as_str()) && !worse {
                let pause = timing.remind_ms.max(timing.min_interval_ms);
                if timing.remind_ms > 0 && passed(known.notified_at, pause) {
                    lasting.push(change());
                }
            } else if passed(known.told.get(&told_key(item)).copied(), timing.min_interval_ms) {
                changed.push(change());
            }
        }
        let kinds = [(EventKind::StatusChanged, changed), (EventKind::Reminder, lasting), (EventKind::Recovered, over)];
        let some = kinds.into_iter().filter(|(_, changes)| !changes.is_empty());
        let event = |(kind, changes)| Event::new(kind, host, now, pass.overall(), changes);
        some.map(event).collect()
    }

    /// Keeps in mind that somebody has taken a message.
    pub fn told(&mut self, event: &Event, now: Timestamp) {
        for change in &event.changes {
            let Some(known) = self.items.get_mut(&change.item.key()) else { continue };
            let word = if change.item.level == Level::Fine { "ok" } else { change.item.status.as_str() };
            known.notified_status = Some(word.to_owned());
            known.notified_at = Some(now.as_ms());
            known.notified_mild = change.item.level == Level::Warning;
            known.told.insert(told_key(&change.item), now.as_ms());
        }
    }
}

/// Under what a message counts for `--min-interval`: the status, and whether it was told as the milder form of it.
fn told_key(item: &Item) -> String {
    let mild = item.level == Level::Warning && item.covered;
    format!("{}{}", item.status.as_str(), if mild { "/covered" } else { "" })
}
