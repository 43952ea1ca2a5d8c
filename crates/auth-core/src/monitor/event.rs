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

#[cfg(test)]
mod tests {
    use super::super::status::Status;
    use super::super::survey::Subject;
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    /// The example of the specification, word for word.
    #[test]
    fn the_document_has_its_stable_form() {
        let mut item = Item::for_tests("main", "anthropic:default", Status::Expired, Level::Alarm);
        item.reason = Some("expired".to_owned());
        item.ends_at_ms = Some(Timestamp::from_ms(NOW - 10_000).as_f64());
        item.fix = Some("openclaw models auth setup-token --provider anthropic".to_owned());
        let change = Change { item, from: Some("expiring".to_owned()) };
        let event = Event::new(EventKind::StatusChanged, "gw1", Timestamp::from_ms(NOW), Level::Alarm, vec![change]);
        let wanted = json!({"version": 1, "event": "auth.status_changed", "host": "gw1", "at": NOW, "overall": "expired",
            "items": [{"agent": "main", "provider": "anthropic", "profileId": "anthropic:default", "type": "token",
            "from": "expiring", "to": "expired", "reasonCode": "expired", "expiresAt": NOW - 10_000, "remainingMs": -10_000,
            "fix": "openclaw models auth setup-token --provider anthropic"}]});
        assert_eq!(event.document(), wanted);
    }

    #[test]
    fn what_is_no_profile_has_no_id_and_a_store_no_provider() {
        let store = Item {
            subject: Subject::Store,
            provider: String::new(),
            ..Item::for_tests("main", "x", Status::Missing, Level::Alarm)
        };
        let changes = vec![Change { item: store, from: None }];
        let event = Event::new(EventKind::Reminder, "h", Timestamp::from_ms(NOW), Level::Alarm, changes);
        let wanted = json!({"agent": "main", "provider": null, "profileId": null, "type": null, "from": null,
            "to": "missing", "reasonCode": null, "expiresAt": null, "remainingMs": null, "fix": null});
        assert_eq!(event.document()["items"], json!([wanted]));
    }

    #[test]
    fn kinds_have_their_words_and_a_message_is_as_bad_as_the_worst_in_it() {
        let kinds = [EventKind::StatusChanged, EventKind::Reminder, EventKind::Recovered, EventKind::Test];
        let words = ["auth.status_changed", "auth.reminder", "auth.recovered", "auth.test"];
        assert_eq!(kinds.map(EventKind::as_str), words);
        let level = |levels: &[Level]| {
            let item = |level: &Level| Item::for_tests("main", "a:x", Status::Expiring, *level);
            let changes = levels.iter().map(|level| Change { item: item(level), from: None }).collect();
            Event::new(EventKind::StatusChanged, "h", Timestamp::from_ms(NOW), Level::Alarm, changes).level()
        };
        assert_eq!(level(&[Level::Fine, Level::Alarm, Level::Warning]), Level::Alarm);
        assert_eq!((level(&[Level::Warning, Level::Fine]), level(&[])), (Level::Warning, Level::Fine));
        let test = Event::test("gw1", Timestamp::from_ms(NOW));
        let wanted =
            json!({"version": 1, "event": "auth.test", "host": "gw1", "at": NOW, "overall": "ok", "items": []});
        assert_eq!(test.document(), wanted);
    }
}
