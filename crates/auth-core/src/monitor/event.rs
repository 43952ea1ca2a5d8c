//! One message as a value (spec 06 section 14.2).

use serde_json::{Value, json};

use crate::time::Timestamp;

use super::number;
use super::status::Level;
use super::survey::Item;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Something has become worse, or wrong in another way.
    StatusChanged,
    /// Something is still wrong.
    Reminder,
    /// Something is right again.
    Recovered,
    /// Somebody tries the channels out.
    Test,
}

impl EventKind {
    /// The stable word of `event`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StatusChanged => "auth.status_changed",
            Self::Reminder => "auth.reminder",
            Self::Recovered => "auth.recovered",
            Self::Test => "auth.test",
        }
    }
}

/// One thing of a message, and the status that was told before.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What it is now.
    pub item: Item,
    /// The status that was told last, or seen before; none when this is the first.
    pub from: Option<String>,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is about.
    pub kind: EventKind,
    /// The name of this machine.
    pub host: String,
    /// When it was made.
    pub at: Timestamp,
    /// The verdict of the pass.
    pub overall: Level,
    /// What it tells of.
    pub changes: Vec<Change>,
}

impl Event {
    /// A message.
    pub fn new(kind: EventKind, host: &str, at: Timestamp, overall: Level, changes: Vec<Change>) -> Self {
        Self { kind, host: host.to_owned(), at, overall, changes }
    }

    /// The message that tries channels out.
    pub fn test(host: &str, at: Timestamp) -> Self {
        Self::new(EventKind::Test, host, at, Level::Fine, Vec::new())
    }

    /// The worst thing that it tells of.
    pub fn level(&self) -> Level {
        self.changes.iter().map(|change| change.item.level).max().unwrap_or(Level::Fine)
    }

    /// The JSON form: what a webhook gets.
    pub fn document(&self) -> Value {
        let items: Vec<Value> = self.changes.iter().map(|change| entry(change, self.at)).collect();
        json!({
            "version": 1,
            "event": self.kind.as_str(),
            "host": self.host,
            "at": self.at.as_ms(),
            "overall": self.overall.overall(),
            "items": items,
        })
    }
}

fn entry(change: &Change, now: Timestamp) -> Value {
    let item = &change.item;
    let left = item.ends_at_ms.map(|ends| number(ends - now.as_f64()));
    json!({
        "agent": item.agent,
        "provider": (!item.provider.is_empty()).then_some(&item.provider),
        "profileId": item.profile_id().map(|_| &item.label),
        "type": item.kind().map(crate::credential::CredentialKind::as_str),
        "from": change.from,
        "to": item.status.as_str(),
        "reasonCode": item.reason,
        "expiresAt": item.ends_at_ms.map(number),
        "remainingMs": left,
        "fix": item.fix,
    })
}
