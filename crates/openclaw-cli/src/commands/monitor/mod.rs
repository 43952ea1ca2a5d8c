//! `models auth monitor` (spec 06 section 14): one pass over every credential, what has changed since the last one,
//! and who is told.

mod channel;
mod deliver;
mod install;
mod look;
mod pass;
mod report;
mod runner;
mod settings;
mod system;
mod unit_status;
mod units;
mod watch;

use auth_core::monitor::Event;
use auth_store::Host;

use self::deliver::{Sender, Stop};
use self::pass::{How, Outcome};
use self::report::Form;
use self::settings::Settings;
use super::Session;
use crate::failure::Failure;
use crate::monitor_args::{Monitor, MonitorCommand, MonitorOptions};
use crate::output::{Page, plain};

/// The exit code when a message could not be delivered and that was asked for.
const UNDELIVERED_EXIT: u8 = 3;

/// Runs the command. `outer_agent` is an `--agent` further up the command line.
pub(crate) fn run(
    open: &dyn Fn() -> Result<Session, Failure>,
    args: &Monitor,
    outer_agent: Option<&str>,
) -> Result<u8, Failure> {
    if let Some(command) = &args.command {
        return match command {
            MonitorCommand::Units(args) => units::print(&open()?, args, outer_agent),
            MonitorCommand::Install(args) => install::install(&open()?, args, outer_agent),
            MonitorCommand::Uninstall(args) => install::uninstall(&open()?, args),
            MonitorCommand::Status(args) => unit_status::status(&open()?, args),
        };
    }
    let form = Form::of(args)?;
    if args.watch {
        let every_ms = settings::every_ms(args.every.as_deref())?;
        return watch::run(open, args, outer_agent, form, every_ms);
    }
    if args.every.is_some() {
        return Err(Failure::with_fix(
            "--every goes with --watch; a timer runs single passes",
            "openclaw models auth monitor install --every 30min",
        ));
    }
    let session = open()?;
    let settings = Settings::read(&session, &args.options, outer_agent)?;
    if args.test_notify {
        return test(&session, &settings, args.dry_run);
    }
    let how = How { dry_run: args.dry_run, stop: &Stop::never(), carried: None };
    let outcome = pass::run(&session, &settings, how)?;
    report::print(&session, &outcome, &settings, form)?;
    Ok(exit_code(&outcome, &settings))
}

fn exit_code(outcome: &Outcome, settings: &Settings) -> u8 {
    if outcome.cancelled {
        return super::probe::CANCELLED_EXIT;
    }
    if settings.strict && outcome.has_failed_delivery() {
        return UNDELIVERED_EXIT;
    }
    if outcome.unsaved { 1 } else { outcome.pass.overall().exit_code() }
}

/// Sends a test message to every channel.
fn test(session: &Session, settings: &Settings, dry_run: bool) -> Result<u8, Failure> {
    if settings.channels.is_empty() {
        return Err(Failure::with_fix(
            "there is no channel to test",
            "openclaw models auth monitor --test-notify --ntfy TOPIC",
        ));
    }
    let event = Event::test(&system::host_name(), session.host.now());
    let mut page = Page::for_stdout(session.no_color);
    let mut failed = false;
    if dry_run {
        for channel in &settings.channels {
            page.line(2, &[plain(format!("would send a test message to {}", channel.name()))]);
        }
    } else {
        let stop = Stop::never();
        let mut sender = Sender::new(session, &stop);
        for delivery in sender.send(&event, &settings.channels) {
            match &delivery.error {
                None => page.line(2, &[plain(format!("✓ {} took a test message", delivery.channel))]),
                Some(why) => {
                    failed = true;
                    page.line(2, &[plain(format!("✗ {}: {why}", delivery.channel))]);
                }
            }
        }
    }
    page.print()?;
    Ok(if failed { UNDELIVERED_EXIT } else { 0 })
}

/// The agents that were named, the innermost level first.
fn named_agents(options: &MonitorOptions, outer: Option<&str>) -> Vec<String> {
    let own: Vec<String> =
        options.agent.iter().map(|id| id.trim()).filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if own.is_empty() { outer.map(str::to_owned).into_iter().collect() } else { own }
}
