//! `--watch`: one pass after the other until somebody ends it, for containers and phones without timers.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use auth_core::monitor::Memory;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::deliver::Stop;
use super::pass::{self, How};
use super::report::{self, Form};
use super::settings::Settings;
use crate::commands::Session;
use crate::commands::probe::CANCELLED_EXIT;
use crate::failure::Failure;
use crate::monitor_args::Monitor;
use crate::output::remark;

/// Runs passes. The first one must be possible; later ones that are not are told of and tried again.
pub(super) fn run(
    open: &dyn Fn() -> Result<Session, Failure>,
    args: &Monitor,
    outer_agent: Option<&str>,
    form: Form,
    every_ms: i64,
) -> Result<u8, Failure> {
    let signals = Signals::listen()?;
    auth_store::end_well_on_terminate();
    let mut carried: Option<Memory> = None;
    let mut first = true;
    loop {
        let started = Instant::now();
        match look(open, args, outer_agent, form, &signals, &mut carried) {
            Ok(()) => {}
            Err(failure) if first => return Err(failure),
            Err(failure) => remark(&failure.message),
        }
        first = false;
        let every = Duration::from_millis(u64::try_from(every_ms).unwrap_or(u64::MAX));
        if let Some(code) = signals.wait(every.saturating_sub(started.elapsed()).max(Duration::from_millis(1))) {
            return Ok(code);
        }
    }
}

fn look(
    open: &dyn Fn() -> Result<Session, Failure>,
    args: &Monitor,
    outer_agent: Option<&str>,
    form: Form,
    signals: &Signals,
    carried: &mut Option<Memory>,
) -> Result<(), Failure> {
    // Everything is read anew: what has changed since counts.
    let session = open()?;
    let settings = Settings::read(&session, &args.options, outer_agent)?;
    let how = How { dry_run: args.dry_run, stop: &signals.stop, carried: carried.take() };
    let outcome = pass::run(&session, &settings, how)?;
    report::print(&session, &outcome, &settings, form.of_many())?;
    *carried = outcome.unremembered.then_some(outcome.memory);
    Ok(())
}

/// The signals that end the loop.
struct Signals {
    stop: Stop,
    interrupt: Stop,
    wakes: UnixStream,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let fail = |error: std::io::Error| Failure::new(format!("cannot listen to signals: {error}"));
        let (wakes, writes) = UnixStream::pair().map_err(fail)?;
        let (stop, interrupt) = (Stop::never(), Stop::never());
        // The flags first: whoever is woken finds them set.
        signal_hook::flag::register(SIGTERM, stop.0.clone()).map_err(fail)?;
        signal_hook::flag::register(SIGINT, stop.0.clone()).map_err(fail)?;
        signal_hook::flag::register(SIGINT, interrupt.0.clone()).map_err(fail)?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, writes.try_clone().map_err(fail)?).map_err(fail)?;
        }
        Ok(Self { stop, interrupt, wakes })
    }

    /// Waits, and gives the exit code when a signal has come.
    fn wait(&self, time: Duration) -> Option<u8> {
        let until = Instant::now() + time.min(Duration::from_secs(10 * 365 * 86_400));
        loop {
            if self.stop.came() {
                return Some(if self.interrupt.came() { CANCELLED_EXIT } else { 0 });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.wakes.set_read_timeout(Some(left)).is_err() {
                return None;
            }
            let _ = (&self.wakes).read(&mut [0; 16]);
        }
    }
}
