//! A message as people read it (spec 06 section 14.2).

use std::fmt::Write as _;

use crate::time::{Timestamp, WordyDuration};

use super::event::{Event, EventKind};
use super::status::{Level, Status};
use super::survey::{Item, Subject};

/// A message in words: what ntfy and a command get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// A line without names, plain ASCII, as a header may hold it.
    pub title: String,
    /// `urgent`, `high` or `default`.
    pub priority: &'static str,
    /// Tags of ntfy.
    pub tags: &'static str,
    /// One line that says the most important thing.
    pub summary: String,
    /// Everything, a line each, with the commands that help.
    pub body: String,
}

impl Message {
    /// Puts an event into words.
    pub fn of(event: &Event) -> Self {
        let mut worst_first: Vec<&super::event::Change> = event.changes.iter().collect();
        worst_first.sort_by_key(|change| std::cmp::Reverse(change.item.level));
        let lines: Vec<String> = worst_first.iter().map(|change| told(event.kind, &change.item, event.at)).collect();
        let summary = match lines.as_slice() {
            [] => "Test message of the auth monitor".to_owned(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first}, and {} more", more.len()),
        };
        let mut body = String::new();
        for (line, change) in lines.iter().zip(&worst_first) {
            // Writing to a string cannot fail.
            let _ = writeln!(body, "{line}");
            if let Some(fix) = change.item.fix.as_ref().filter(|_| event.kind != EventKind::Recovered) {
                let _ = writeln!(body, "  {fix}");
            }
        }
        if lines.is_empty() {
            let _ = writeln!(body, "{summary}: this channel works.");
        }
        let _ = write!(body, "host {}", event.host);
        let level = event.level();
        Self {
            title: title(event),
            priority: match (event.kind, level) {
                (EventKind::Recovered | EventKind::Test, _) | (_, Level::Fine) => "default",
                (_, Level::Alarm) => "urgent",
                (_, Level::Warning) => "high",
            },
            tags: match event.kind {
                EventKind::StatusChanged | EventKind::Reminder => "warning,key",
                EventKind::Recovered => "white_check_mark,key",
                EventKind::Test => "key",
            },
            summary,
            body,
        }
    }
}

fn title(event: &Event) -> String {
    let credentials = |n: usize| if n == 1 { "1 credential".to_owned() } else { format!("{n} credentials") };
    let verb = |n: usize, word: &str| if n == 1 { format!("{word}s") } else { word.to_owned() };
    let count = event.changes.len();
    let now = event.changes.iter().filter(|change| change.item.level == Level::Alarm).count();
    let what = match (event.kind, now, count - now) {
        (EventKind::Test, ..) => return "OpenClaw: test message".to_owned(),
        (EventKind::Recovered, ..) => format!("{} {} again", credentials(count), verb(count, "work")),
        (_, 0, soon) => format!("{} {} you soon", credentials(soon), verb(soon, "need")),
        (_, now, 0) => format!("{} {} you", credentials(now), verb(now, "need")),
        (_, now, soon) => format!("{} {} you, {soon} soon", credentials(now), verb(now, "need")),
    };
    let still = if event.kind == EventKind::Reminder { " reminder" } else { "" };
    format!("OpenClaw{still}: {what}")
}

/// `anthropic:default (main) expired 3 days ago`.
fn told(kind: EventKind, item: &Item, now: Timestamp) -> String {
    let name = match item.subject {
        Subject::Profile { .. } => item.label.clone(),
        Subject::Provider => format!("provider {}", item.label),
        Subject::Store => format!("the credential store {}", item.label),
    };
    let what = if kind == EventKind::Recovered { "works again".to_owned() } else { sentence(item, now) };
    let cover = if item.covered { "; another profile is used meanwhile" } else { "" };
    format!("{name} ({}) {what}{cover}", item.agent)
}

/// What is the matter with an item, as the rest of a sentence that begins with its name.
pub fn sentence(item: &Item, now: Timestamp) -> String {
    let reason = |item: &Item| item.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let left = item.ends_at_ms.map(|ends| ends - now.as_f64());
    let window = item.unusable.as_ref().map(|(until, _)| WordyDuration(until - now.as_f64()));
    match (item.status, &item.subject) {
        (Status::Missing, Subject::Store) => "cannot be read".to_owned(),
        (Status::Missing, Subject::Provider) => "has no credential".to_owned(),
        (Status::Missing, _) => match item.reason.as_deref() {
            Some("missing_credential") => "holds no credential".to_owned(),
            _ => "has no known expiry".to_owned(),
        },
        (Status::Expired, _) => match (item.reason.as_deref(), left) {
            (Some(reason), _) if reason != "expired" => format!("was refused ({reason})"),
            (_, Some(left)) if left <= 0.0 => {
                let login = item.kind() == Some(crate::credential::CredentialKind::OAuth);
                let tried = if login { " and does not renew itself" } else { "" };
                format!("expired {} ago{tried}", WordyDuration(left))
            }
            _ => "expired".to_owned(),
        },
        (Status::Expiring, _) => {
            left.map_or_else(|| "expires soon".to_owned(), |left| format!("expires in {}", WordyDuration(left)))
        }
        (Status::Cooldown | Status::Disabled, _) => {
            let word = if item.status == Status::Cooldown { "is in cooldown" } else { "is disabled" };
            window
                .map_or_else(|| format!("{word}{}", reason(item)), |left| format!("{word}{} for {left}", reason(item)))
        }
        (Status::Static, _) => "has no end".to_owned(),
        (Status::Ok, _) => match (item.renews_itself, left) {
            (true, Some(left)) if left > 0.0 => format!("expires in {}, renews itself", WordyDuration(left)),
            (true, _) => "expired, renews itself at the next use".to_owned(),
            (false, Some(left)) if left > 0.0 => format!("expires in {}", WordyDuration(left)),
            _ => "ok".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Change;
    use super::*;
    use crate::credential::CredentialKind;

    const NOW: i64 = 1_790_000_000_000;
    const HOUR: i64 = 3_600_000;

    fn item(status: Status, level: Level) -> Item {
        Item::for_tests("main", "a:x", status, level)
    }

    fn at(left: i64) -> f64 {
        Timestamp::from_ms(NOW + left).as_f64()
    }

    fn message(kind: EventKind, items: Vec<Item>) -> Message {
        let changes = items.into_iter().map(|item| Change { item, from: None }).collect();
        Message::of(&Event::new(kind, "gw1", Timestamp::from_ms(NOW), Level::Alarm, changes))
    }

    #[test]
    fn a_sentence_says_what_is_the_matter_and_since_or_until_when() {
        let oauth = Subject::Profile { id: "a:x".to_owned(), kind: CredentialKind::OAuth };
        let reason = |word: &str| Some(word.to_owned());
        let bare = |status: Status| item(status, Level::Alarm);
        let renewing = |ends_at_ms: Option<f64>| Item { renews_itself: true, ends_at_ms, ..bare(Status::Ok) };
        let ending = |status: Status, left: i64| Item { ends_at_ms: Some(at(left)), ..bare(status) };
        let waiting = |status: Status, why: Option<&str>| {
            let unusable = Some((at(2 * HOUR), None));
            Item { reason: why.map(str::to_owned), unusable, ends_at_ms: Some(at(HOUR)), ..bare(status) }
        };
        for (item, said) in [
            (Item { subject: Subject::Store, ..bare(Status::Missing) }, "cannot be read"),
            (Item { subject: Subject::Provider, ..bare(Status::Missing) }, "has no credential"),
            (Item { reason: reason("missing_credential"), ..bare(Status::Missing) }, "holds no credential"),
            (Item { reason: reason("invalid_expires"), ..bare(Status::Missing) }, "has no known expiry"),
            (ending(Status::Expired, -3 * HOUR), "expired 3 hours ago"),
            (Item { reason: reason("expired"), ..ending(Status::Expired, -3 * HOUR) }, "expired 3 hours ago"),
            (
                Item { subject: oauth, ..ending(Status::Expired, -3 * HOUR) },
                "expired 3 hours ago and does not renew itself",
            ),
            (ending(Status::Expired, 0), "expired 1 second ago"),
            (ending(Status::Expired, 1), "expired"),
            (bare(Status::Expired), "expired"),
            (Item { reason: reason("auth"), ..ending(Status::Expired, -3 * HOUR) }, "was refused (auth)"),
            (ending(Status::Expiring, 2 * HOUR), "expires in 2 hours"),
            (bare(Status::Expiring), "expires soon"),
            (waiting(Status::Cooldown, Some("rate_limit")), "is in cooldown (rate_limit) for 2 hours"),
            (waiting(Status::Disabled, None), "is disabled for 2 hours"),
            (Item { reason: reason("billing"), ..bare(Status::Disabled) }, "is disabled (billing)"),
            (bare(Status::Cooldown), "is in cooldown"),
            (bare(Status::Static), "has no end"),
            (renewing(Some(at(2 * HOUR))), "expires in 2 hours, renews itself"),
            (renewing(Some(at(0))), "expired, renews itself at the next use"),
            (renewing(Some(at(-HOUR))), "expired, renews itself at the next use"),
            (ending(Status::Ok, 48 * HOUR), "expires in 2 days"),
            (ending(Status::Ok, 0), "ok"),
            (ending(Status::Ok, -HOUR), "ok"),
            (bare(Status::Ok), "ok"),
        ] {
            assert_eq!(sentence(&item, Timestamp::from_ms(NOW)), said, "{item:?}");
        }
    }

    /// The title holds no names, for it travels in a header.
    #[test]
    fn a_title_counts_what_needs_somebody_now_and_soon() {
        use EventKind::{Recovered, Reminder, StatusChanged, Test};
        let items = |now: usize, soon: usize| {
            let of = |count: usize, level: Level| vec![item(Status::Expired, level); count];
            [of(now, Level::Alarm), of(soon, Level::Warning)].concat()
        };
        for (kind, now, soon, title, priority, tags) in [
            (StatusChanged, 1, 0, "OpenClaw: 1 credential needs you", "urgent", "warning,key"),
            (StatusChanged, 2, 0, "OpenClaw: 2 credentials need you", "urgent", "warning,key"),
            (StatusChanged, 0, 1, "OpenClaw: 1 credential needs you soon", "high", "warning,key"),
            (StatusChanged, 0, 3, "OpenClaw: 3 credentials need you soon", "high", "warning,key"),
            (StatusChanged, 1, 2, "OpenClaw: 1 credential needs you, 2 soon", "urgent", "warning,key"),
            (Reminder, 2, 1, "OpenClaw reminder: 2 credentials need you, 1 soon", "urgent", "warning,key"),
            (Recovered, 1, 0, "OpenClaw: 1 credential works again", "default", "white_check_mark,key"),
            (Recovered, 1, 1, "OpenClaw: 2 credentials work again", "default", "white_check_mark,key"),
            (Test, 0, 0, "OpenClaw: test message", "default", "key"),
        ] {
            let message = message(kind, items(now, soon));
            assert_eq!((message.title.as_str(), message.priority, message.tags), (title, priority, tags));
        }
    }

    #[test]
    fn the_worst_stands_first_with_the_command_that_helps() {
        let expiring =
            Item { label: "a:x".to_owned(), ends_at_ms: Some(at(2 * HOUR)), ..item(Status::Expiring, Level::Warning) };
        let covered = Item { covered: true, fix: Some("fix two".to_owned()), ..item(Status::Expired, Level::Warning) };
        let missing = Item {
            subject: Subject::Provider,
            label: "groq".to_owned(),
            fix: Some("fix one".to_owned()),
            ..item(Status::Missing, Level::Alarm)
        };
        let store = Item {
            subject: Subject::Store,
            label: "auth-profiles.json".to_owned(),
            agent: "dev".to_owned(),
            ..item(Status::Missing, Level::Alarm)
        };
        let items = vec![expiring, covered, missing, store];
        let changed = message(EventKind::StatusChanged, items.clone());
        assert_eq!(changed.summary, "provider groq (main) has no credential, and 3 more");
        let lines = [
            "provider groq (main) has no credential",
            "  fix one",
            "the credential store auth-profiles.json (dev) cannot be read",
            "a:x (main) expires in 2 hours",
            "a:x (main) expired; another profile is used meanwhile",
            "  fix two",
            "host gw1",
        ];
        assert_eq!(changed.body.lines().collect::<Vec<_>>(), lines);
        // What works again needs no command.
        let over = message(EventKind::Recovered, items[2..3].to_vec());
        assert_eq!(over.body, "provider groq (main) works again\nhost gw1");
        assert_eq!(over.summary, "provider groq (main) works again");
        let test = message(EventKind::Test, vec![]);
        assert_eq!(test.summary, "Test message of the auth monitor");
        assert_eq!(test.body, "Test message of the auth monitor: this channel works.\nhost gw1");
    }
}
