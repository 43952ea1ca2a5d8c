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
