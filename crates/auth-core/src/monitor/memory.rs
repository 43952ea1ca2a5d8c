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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn pass(status: Status, level: Level) -> Pass {
        Pass { items: vec![Item::for_tests("main", "a:x", status, level)], providers: Vec::new() }
    }

    #[test]
    fn the_file_has_its_stable_form_and_keeps_what_it_does_not_know() {
        let mut memory = Memory::default();
        let now = Timestamp::from_ms(NOW);
        memory.observe(&pass(Status::Ok, Level::Fine).items, Timestamp::from_ms(NOW - HOUR), &|_| true);
        let value = |memory: &Memory| serde_json::from_str::<Value>(&memory.to_text()).unwrap();
        let unknown = json!({"status": "ok", "since": NOW - HOUR, "notifiedStatus": null, "notifiedAt": null});
        assert_eq!(value(&memory), json!({"version": 1, "lastRunAt": NOW - HOUR, "items": {"main/a:x": unknown}}));

        let over = pass(Status::Expired, Level::Warning);
        memory.observe(&over.items, now, &|_| true);
        let timing = Timing { min_interval_ms: HOUR, remind_ms: 0 };
        memory.told(&memory.due(&over, timing, "h", now)[0], now);
        memory.notify_failures = 2;
        let told = json!({"status": "expired", "since": NOW, "notifiedStatus": "expired", "notifiedAt": NOW,
            "previous": "ok", "notifiedMild": true, "told": {"expired": NOW}});
        let all = json!({"version": 1, "lastRunAt": NOW, "notifyFailures": 2, "items": {"main/a:x": told}});
        assert_eq!(value(&memory), all);
        let known = memory.get("main/a:x").unwrap();
        assert_eq!((known.status(), known.since()), ("expired", now));
        let items: Vec<&str> = memory.items().map(|(key, _)| key).collect();
        assert_eq!((items, memory.get("main/a:y")), (vec!["main/a:x"], None));

        let mut later = all;
        later["x"] = json!([1]);
        later["items"]["main/a:x"]["y"] = json!("z");
        let read = Memory::parse(&later.to_string()).unwrap();
        assert_eq!(value(&read), later);
        assert!(read.to_text().ends_with("}\n"));
    }

    #[test]
    fn another_version_is_not_taken_for_ours() {
        for (text, error) in [
            (r#"{"version":2,"items":7}"#, MemoryError::Newer(2)),
            (r#"{"version":0}"#, MemoryError::Corrupt("it has no version".to_owned())),
            (r#"{"version":"1"}"#, MemoryError::Corrupt("it has no version".to_owned())),
            ("{}", MemoryError::Corrupt("it has no version".to_owned())),
            (r#"{"version":1,"items":7}"#, MemoryError::Corrupt("its fields have other types".to_owned())),
            ("{\n x", MemoryError::Corrupt("line 2 column 2".to_owned())),
        ] {
            assert_eq!(Memory::parse(text), Err(error), "{text}");
        }
        assert!(Memory::parse(r#"{"version":1}"#).is_ok());
    }

    /// What lies a little ahead was written by a clock that runs a little fast, what lies more than 24 hours ahead by
    /// one that was wrong.
    #[test]
    fn a_time_ahead_is_believed_for_a_day() {
        let over = pass(Status::Expired, Level::Alarm);
        let timing = Timing { min_interval_ms: HOUR, remind_ms: 2 * HOUR };
        let due = |told_at: i64| {
            let mut memory = Memory::default();
            let then = Timestamp::from_ms(told_at);
            memory.observe(&over.items, then, &|_| true);
            memory.told(&memory.due(&over, timing, "h", then)[0], then);
            memory.due(&over, timing, "h", Timestamp::from_ms(NOW)).len()
        };
        for (told_at, count) in [
            (NOW - 2 * HOUR, 1),
            (NOW - 2 * HOUR + 1, 0),
            (NOW, 0),
            (NOW + CLOCK_SLACK_MS, 0),
            (NOW + CLOCK_SLACK_MS + 1, 1),
        ] {
            assert_eq!(due(told_at), count, "{}", told_at - NOW);
        }
    }

    #[test]
    fn only_a_window_has_a_beginning_that_counts() {
        for (status, counts) in
            [(Status::Cooldown, true), (Status::Disabled, true), (Status::Ok, false), (Status::Expired, false)]
        {
            let mut memory = Memory::default();
            memory.observe(&pass(status, Level::Warning).items, Timestamp::from_ms(NOW), &|_| true);
            assert_eq!(memory.cooling_since("main/a:x"), counts.then(|| Timestamp::from_ms(NOW)));
            // A later pass that sees the same does not move it.
            memory.observe(&pass(status, Level::Warning).items, Timestamp::from_ms(NOW + 1), &|_| true);
            assert_eq!(memory.cooling_since("main/a:x"), counts.then(|| Timestamp::from_ms(NOW)));
        }
        assert_eq!(Memory::default().cooling_since("main/a:x"), None);
    }

    #[test]
    fn a_problem_is_told_until_it_is_told_to_be_over() {
        let mut memory = Memory::default();
        let timing = Timing { min_interval_ms: 0, remind_ms: 0 };
        let mut step = |pass: &Pass, tells: bool| {
            let now = Timestamp::from_ms(NOW);
            memory.observe(&pass.items, now, &|_| true);
            let events = memory.due(pass, timing, "h", now);
            for event in events.iter().filter(|_| tells) {
                memory.told(event, now);
            }
            (events.len(), memory.has_told("main/a:x"))
        };
        let fine = pass(Status::Static, Level::Fine);
        assert_eq!(step(&fine, true), (0, false));
        assert_eq!(step(&pass(Status::Expired, Level::Alarm), false), (1, false));
        assert_eq!(step(&pass(Status::Expired, Level::Alarm), true), (1, true));
        // A short pause needs nobody, so what was told is over.
        assert_eq!(step(&pass(Status::Cooldown, Level::Fine), true), (1, false));
        assert_eq!(step(&fine, true), (0, false));
        assert!(!memory.has_told("main/a:y"));
    }
}
