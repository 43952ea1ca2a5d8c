//! `models auth monitor status`: the timer, and what the last pass saw.

use auth_core::Timestamp;
use auth_core::WordyDuration;
use auth_core::monitor::Status;
use auth_core::monitor::units::{MARKER, UNIT};
use auth_store::{Host, monitor_memory_path, read_monitor_memory};
use serde_json::{Map, Value, json};

use super::runner::{ask_systemctl, cron_table};
use super::system::find_program;
use super::units::{launchd_path, systemd_paths};
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::{Runner, Units};
use crate::output::{Look, Page, part, plain, print_json};

/// What the runner says.
struct Timer {
    /// Whether our files, or our line, are there.
    installed: bool,
    files: Vec<Value>,
    /// `enabled`, `disabled`; unknown without an answer.
    enabled: Option<String>,
    /// `active`, `inactive`; unknown without an answer.
    active: Option<String>,
    /// When the next pass is, in the words of the runner.
    next: Option<String>,
}

/// Prints the state of the timer and of the last pass.
pub(super) fn status(session: &Session, args: &Units) -> Result<u8, Failure> {
    let timer = timer(session, args);
    let path = monitor_memory_path(&session.state.layout);
    let memory = read_monitor_memory(&path, &session.host).map_err(|error| {
        Failure::with_fix(error, "openclaw models auth monitor, which starts a new one when this one is broken")
    })?;
    let mut counts: Map<String, Value> = Map::new();
    for status in Status::ALL {
        let count = memory.items().filter(|(_, item)| item.status() == status.as_str()).count();
        counts.insert(status.as_str().to_owned(), Value::from(count));
    }
    if args.json {
        print_json(&json!({
            "version": 1,
            "format": match args.format { Runner::Systemd => "systemd", Runner::Launchd => "launchd", Runner::Cron => "cron" },
            "installed": timer.installed,
            "files": timer.files,
            "timer": { "enabled": timer.enabled, "active": timer.active, "next": timer.next },
            "lastRunAt": memory.last_run_at,
            "notifyFailures": memory.notify_failures,
            "statuses": counts,
        }))?;
        return Ok(0);
    }
    let mut page = Page::for_stdout(session.no_color);
    let words: Vec<String> = [timer.enabled.clone(), timer.active.clone()].into_iter().flatten().collect();
    let state = match (timer.installed, words.is_empty()) {
        (false, _) => "not installed".to_owned(),
        (true, true) => "installed".to_owned(),
        (true, false) => format!("installed, {}", words.join(", ")),
    };
    page.line(11, &[part(Look::Strong, "Timer      "), plain(state)]);
    if !timer.installed {
        page.command("openclaw models auth monitor install");
    }
    if let Some(next) = &timer.next {
        page.line(11, &[part(Look::Strong, "Next pass  "), plain(next)]);
    }
    let last = match memory.last_run_at {
        None => "never".to_owned(),
        Some(at) => {
            let ago = session.host.now().as_f64() - Timestamp::from_ms(at).as_f64();
            format!("{} ago", WordyDuration(ago))
        }
    };
    page.line(11, &[part(Look::Strong, "Last pass  "), plain(last)]);
    let seen: Vec<String> = counts
        .iter()
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    if !seen.is_empty() {
        page.line(11, &[part(Look::Strong, "It saw     "), plain(seen.join(", "))]);
    }
    if memory.notify_failures > 0 {
        let failed = format!("{} deliveries have failed so far", memory.notify_failures);
        page.line(11, &[part(Look::Strong, "Messages   "), part(Look::Warning, failed)]);
    }
    page.print()?;
    Ok(0)
}

fn timer(session: &Session, args: &Units) -> Timer {
    let paths = match args.format {
        Runner::Systemd => systemd_paths(session, args.system).to_vec(),
        Runner::Launchd => vec![launchd_path(session, args.system)],
        Runner::Cron => Vec::new(),
    };
    let text = |path: &std::path::Path| {
        session.host.read(path, 1024 * 1024).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let files: Vec<Value> = paths
        .iter()
        .map(|path| {
            let text = text(path);
            json!({
                "path": path.display().to_string(),
                "present": text.is_some(),
                "ours": text.is_some_and(|text| text.contains(MARKER)),
            })
        })
        .collect();
    let present = |file: &Value| file["present"] == true;
    let mut timer = Timer {
        installed: !files.is_empty() && files.iter().all(present),
        files,
        enabled: None,
        active: None,
        next: None,
    };
    match args.format {
        Runner::Systemd => {
            if let Some(path) = find_program(session, "systemctl").filter(|_| timer.installed) {
                let unit = format!("{UNIT}.timer");
                let words = ["show", &unit, "--property=UnitFileState,ActiveState,NextElapseUSecRealtime"];
                let answer = ask_systemctl(session, &path, args.system, &words).unwrap_or_default();
                let of = |name: &str| {
                    let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
                    line.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
                };
                timer.enabled = of("UnitFileState");
                timer.active = of("ActiveState");
                timer.next = of("NextElapseUSecRealtime");
            }
        }
        Runner::Launchd => {}
        Runner::Cron => {
            let table = find_program(session, "crontab").and_then(|path| cron_table(session, &path).ok());
            let ours = format!("# {UNIT}");
            timer.installed = table.is_some_and(|table| table.lines().any(|line| line.ends_with(&ours)));
        }
    }
    timer
}
