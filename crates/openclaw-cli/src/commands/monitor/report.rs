//! What a pass prints.

use auth_core::Timestamp;
use auth_core::monitor::{Event, Item, Level, Message, Status, Subject, sentence};
use serde::Serialize;
use serde_json::{Value, json};

use super::pass::Outcome;
use super::settings::Settings;
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::{Monitor, MonitorFormat};
use crate::output::{Look, Page, Part, part, plain, print_json, print_lines, print_text};
use crate::render::Ms;

/// How a pass prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
    /// One document a line.
    JsonLines,
    Widget,
}

impl Form {
    pub(super) fn of(args: &Monitor) -> Result<Self, Failure> {
        match (args.json, args.format) {
            (false, None | Some(MonitorFormat::Text)) => Ok(Self::Text),
            (true, None) | (_, Some(MonitorFormat::Json)) => Ok(Self::Json),
            (false, Some(MonitorFormat::Widget)) => Ok(Self::Widget),
            (true, Some(_)) => Err(Failure::with_fix(
                "--json is --format json; choose one form",
                "openclaw models auth monitor --json",
            )),
        }
    }

    /// The form for one pass after the other.
    pub(super) fn of_many(self) -> Self {
        if self == Self::Json { Self::JsonLines } else { self }
    }
}

/// Prints a pass, and on standard error what went wrong.
pub(super) fn print(session: &Session, outcome: &Outcome, settings: &Settings, form: Form) -> Result<(), Failure> {
    for trouble in &outcome.troubles {
        session.warn(&format!("Warning: {trouble}"));
    }
    for delivery in &outcome.deliveries {
        if let Some(why) = &delivery.error {
            session.warn(&format!("Warning: {} did not take {}: {why}", delivery.channel, delivery.event));
        }
    }
    match form {
        Form::Widget => print_lines([outcome.pass.overall().widget()]),
        Form::Json => print_json(&document(outcome)),
        Form::JsonLines => print_text(&format!("{}\n", document(outcome))),
        Form::Text => {
            let mut page = Page::for_stdout(session.no_color);
            render(&mut page, outcome, settings);
            page.print()
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    agent: &'a str,
    provider: Option<&'a str>,
    profile_id: Option<&'a str>,
    r#type: Option<&'static str>,
    status: &'static str,
    level: &'static str,
    covered: bool,
    reason_code: Option<&'a str>,
    expires_at: Option<Ms>,
    remaining_ms: Option<Ms>,
    unusable_until: Option<Ms>,
    renews_itself: bool,
    since: Option<i64>,
    fix: Option<&'a str>,
}

fn document(outcome: &Outcome) -> Value {
    let now = outcome.at;
    let items: Vec<Entry<'_>> = outcome.pass.items.iter().map(|item| entry(item, outcome)).collect();
    let providers: Vec<Value> = outcome
        .pass
        .providers
        .iter()
        .map(|state| json!({ "agent": state.agent, "provider": state.provider, "usable": state.usable, "inUse": state.in_use }))
        .collect();
    let deliveries: Vec<Value> = outcome
        .deliveries
        .iter()
        .map(|done| json!({ "event": done.event, "channel": done.channel, "ok": done.error.is_none(), "error": done.error }))
        .collect();
    let overall = outcome.pass.overall();
    json!({
        "version": 1,
        "at": now.as_ms(),
        "overall": overall.overall(),
        "checkStatus": overall.exit_code(),
        "dryRun": outcome.dry_run,
        "items": items,
        "providers": providers,
        "events": outcome.events.iter().map(Event::document).collect::<Vec<_>>(),
        "deliveries": deliveries,
        "warnings": outcome.troubles,
    })
}

fn entry<'a>(item: &'a Item, outcome: &'a Outcome) -> Entry<'a> {
    let now = outcome.at;
    Entry {
        agent: &item.agent,
        provider: Some(item.provider.as_str()).filter(|provider| !provider.is_empty()),
        profile_id: item.profile_id().map(|_| item.label.as_str()),
        r#type: item.kind().map(auth_core::CredentialKind::as_str),
        status: item.status.as_str(),
        level: item.level.overall(),
        covered: item.covered,
        reason_code: item.reason.as_deref(),
        expires_at: item.ends_at_ms.map(Ms),
        remaining_ms: item.ends_at_ms.map(|ends| Ms(ends - now.as_f64())),
        unusable_until: item.unusable.as_ref().map(|(until, _)| Ms(*until)),
        renews_itself: item.renews_itself,
        since: outcome.memory.get(&item.key()).map(|known| known.since().as_ms()),
        fix: item.fix.as_deref(),
    }
}

fn render(page: &mut Page, outcome: &Outcome, settings: &Settings) {
    let items = &outcome.pass.items;
    let overall = outcome.pass.overall();
    page.line(2, &[mark(overall), plain(headline(outcome))]);
    let agents: std::collections::BTreeSet<&str> = items.iter().map(|item| item.agent.as_str()).collect();
    let rows: Vec<Vec<Part>> = items.iter().map(|item| row(item, outcome.at, agents.len() > 1)).collect();
    let columns = page.columns(2, &rows);
    for (item, row) in items.iter().zip(&rows) {
        page.row(&columns, row);
        if let Some(fix) = item.fix.as_ref().filter(|_| item.level > Level::Fine) {
            page.command(fix);
        }
    }
    for state in outcome.pass.providers.iter().filter(|state| state.in_use && !state.usable) {
        let what = format!("  {} is in use and has nothing left to use (agent {})", state.provider, state.agent);
        page.line(4, &[part(Look::Bad, what)]);
    }
    for event in &outcome.events {
        let Message { title, .. } = Message::of(event);
        let took: Vec<&str> = outcome
            .deliveries
            .iter()
            .filter(|done| done.event == event.kind.as_str() && done.error.is_none())
            .map(|done| done.channel.as_str())
            .collect();
        let (verb, whom) = match (outcome.dry_run, took.is_empty()) {
            (true, _) => {
                ("Would tell", settings.channels.iter().map(super::channel::Channel::name).collect::<Vec<_>>())
            }
            (false, true) => ("Told nobody yet", Vec::new()),
            (false, false) => ("Told", took.into_iter().map(str::to_owned).collect()),
        };
        let whom = whom.join(", ");
        let gap = if whom.is_empty() { "" } else { " " };
        page.line(2, &[part(Look::Faint, format!("{verb}{gap}{whom}: {title}"))]);
    }
    if !outcome.events.is_empty() && settings.channels.is_empty() {
        let how = "No channel is set: add --ntfy, --webhook or --notify-cmd.";
        page.line(2, &[part(Look::Faint, how)]);
    }
}

/// One line: what needs somebody now, what soon, and what looks after itself.
fn headline(outcome: &Outcome) -> String {
    let items = &outcome.pass.items;
    let count = |level: Level| items.iter().filter(|item| item.level == level).count();
    let renewing = items.iter().filter(|item| item.level == Level::Fine && item.renews_itself).count();
    let fine = count(Level::Fine) - renewing;
    let mut parts = Vec::new();
    let mut add = |n: usize, one: &str, many: &str| {
        if n > 0 {
            parts.push(format!("{n} {}", if n == 1 { one } else { many }));
        }
    };
    add(count(Level::Alarm), "needs you", "need you");
    add(count(Level::Warning), "needs you soon", "need you soon");
    add(renewing, "renews itself", "renew themselves");
    add(fine, "fine", "fine");
    if parts.is_empty() { "No credential is stored".to_owned() } else { format!("Credentials: {}", parts.join(", ")) }
}

fn mark(level: Level) -> Part {
    match level {
        Level::Fine => part(Look::Good, "✓ "),
        Level::Warning => part(Look::Warning, "! "),
        Level::Alarm => part(Look::Bad, "✗ "),
    }
}

fn row(item: &Item, now: Timestamp, with_agent: bool) -> Vec<Part> {
    let look = match item.level {
        Level::Fine => Look::Good,
        Level::Warning => Look::Warning,
        Level::Alarm => Look::Bad,
    };
    let name = match item.subject {
        Subject::Provider => format!("{} (no profile)", item.label),
        _ => item.label.clone(),
    };
    let cover = if item.covered { "; another profile is used meanwhile" } else { "" };
    let words = match item.status {
        Status::Expired | Status::Missing if item.level == Level::Alarm => {
            format!("needs you: {}", sentence(item, now))
        }
        _ => format!("{}{cover}", sentence(item, now)),
    };
    let mut row = vec![part(Look::Strong, name)];
    if with_agent {
        row.push(plain(&item.agent));
    }
    row.push(plain(item.kind().map_or("", auth_core::CredentialKind::as_str)));
    row.push(part(look, words));
    row
}
