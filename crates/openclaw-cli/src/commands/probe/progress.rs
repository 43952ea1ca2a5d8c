//! What is shown on a terminal while the providers are asked (spec 03 section 7.2).

use std::io::{self, IsTerminal};
use std::time::Instant;

use auth_core::failure::ProbeStatus;
use auth_probe::{Event, LiveRow};
use unicode_width::UnicodeWidthStr;

use super::super::online::WAITING;
use super::report::{duration, look_of};
use crate::live_lines::LiveLines;
use crate::output::{Look, Part, part, plain, remark};

/// One request of the run, as people know it.
#[derive(Debug)]
pub(super) struct Target {
    /// `provider/model`.
    pub(super) model: String,
    /// The credential and its kind.
    pub(super) credential: String,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Waiting,
    Asking(Instant),
    Done(ProbeStatus, Option<u64>),
}

#[derive(Debug)]
enum Manner {
    /// Nobody watches.
    Silent,
    /// One line for each that is done.
    Lines,
    /// A line for each, filled in as it goes.
    Live(LiveLines),
}

/// The state of every request, and how it is shown. What is drawn in place goes away when this is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    targets: Vec<Target>,
    states: Vec<State>,
    manner: Manner,
}

impl Progress {
    /// Shows nothing when `silent`, or without a terminal.
    pub(super) fn new(targets: Vec<Target>, silent: bool, no_color: bool) -> Self {
        let manner = if silent || !io::stderr().is_terminal() {
            Manner::Silent
        } else if LiveLines::are_possible(no_color) {
            Manner::Live(LiveLines::default())
        } else {
            Manner::Lines
        };
        Self { states: vec![State::Waiting; targets.len()], targets, manner }
    }

    /// Whether it moves by itself.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.manner, Manner::Live(_))
    }

    /// Takes in what has happened.
    pub(super) fn tell(&mut self, event: Event<'_>) {
        match event {
            Event::Asking(at) => self.states[at] = State::Asking(Instant::now()),
            Event::Done(at, row) => {
                self.states[at] = State::Done(row.status, row.latency_ms);
                if matches!(self.manner, Manner::Lines) {
                    self.say(at, row);
                }
            }
            Event::Finishing => {
                // What is drawn in place would be drawn over this.
                self.manner = Manner::Silent;
                remark(WAITING);
            }
        }
        self.draw();
    }

    fn say(&self, at: usize, row: &LiveRow) {
        let Target { model, credential } = &self.targets[at];
        let latency = row.latency_ms.map_or_else(|| "-".to_owned(), duration);
        let (done, all) = (self.done(), self.states.len());
        remark(&format!("[{done}/{all}] {model}  {credential}  {} · {latency}", row.status.as_str()));
    }

    /// Draws the lines anew.
    pub(super) fn draw(&mut self) {
        if !self.is_live() {
            return;
        }
        let lines = self.lines(LiveLines::room());
        if let Manner::Live(live) = &mut self.manner {
            live.draw(&lines);
        }
    }

    fn done(&self) -> usize {
        self.states.iter().filter(|state| matches!(state, State::Done(..))).count()
    }

    /// At most `room` lines. What does not fit is summed up in the last one; the others begin with the first request
    /// that is not done.
    fn lines(&self, room: usize) -> Vec<Vec<Part>> {
        let count = self.states.len();
        if count <= room {
            return (0..count).map(|at| self.line(at)).collect();
        }
        let room = room.saturating_sub(1);
        let open = self.states.iter().position(|state| !matches!(state, State::Done(..))).unwrap_or(count);
        let first = open.min(count - room);
        let mut lines: Vec<Vec<Part>> = (first..first + room).map(|at| self.line(at)).collect();
        lines.push(self.sum());
        lines
    }

    fn line(&self, at: usize) -> Vec<Part> {
        let widest = |of: fn(&Target) -> &str| self.targets.iter().map(|target| of(target).width()).max();
        let (model, credential) = (widest(|target| &target.model), widest(|target| &target.credential));
        let (sign, state) = match &self.states[at] {
            State::Waiting => (part(Look::Faint, "·"), part(Look::Faint, "waiting")),
            State::Asking(since) => {
                let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                let frame = usize::try_from(ms / 100).unwrap_or(0) % FRAMES.len();
                // Tenths below a second would only flicker.
                let so_far = if ms < 1000 { String::new() } else { format!(" {}s", ms / 1000) };
                (part(Look::Command, FRAMES[frame]), plain(format!("asking…{so_far}")))
            }
            State::Done(status, latency) => {
                let look = look_of(*status);
                let latency = latency.map_or_else(|| "-".to_owned(), duration);
                let sign = if *status == ProbeStatus::Ok { "✓" } else { "✗" };
                (part(look, sign), part(look, format!("{} · {latency}", status.as_str())))
            }
        };
        let target = &self.targets[at];
        vec![
            sign,
            plain(" "),
            part(Look::Strong, padded(&target.model, model)),
            plain(format!("  {}  ", padded(&target.credential, credential))),
            state,
        ]
    }

    /// `[12/50] 10 ok, 2 auth, 4 asking, 34 waiting`.
    fn sum(&self) -> Vec<Part> {
        let mut counts: Vec<(&str, Look, usize)> = Vec::new();
        let mut count = |word, look| match counts.iter_mut().find(|(known, ..)| *known == word) {
            Some((.., n)) => *n += 1,
            None => counts.push((word, look, 1)),
        };
        let rank = |state: &&State| match state {
            State::Done(..) => 0,
            State::Asking(_) => 1,
            State::Waiting => 2,
        };
        let mut ranked: Vec<&State> = self.states.iter().collect();
        ranked.sort_by_key(rank);
        for state in ranked {
            match state {
                State::Waiting => count("waiting", Look::Faint),
                State::Asking(_) => count("asking", Look::Plain),
                State::Done(status, _) => count(status.as_str(), look_of(*status)),
            }
        }
        let mut parts = vec![plain(format!("[{}/{}]", self.done(), self.states.len()))];
        for (at, (word, look, n)) in counts.into_iter().enumerate() {
            parts.push(plain(if at == 0 { " " } else { ", " }));
            parts.push(part(look, format!("{n} {word}")));
        }
        parts
    }
}

/// A text with blanks up to a number of columns.
fn padded(text: &str, columns: Option<usize>) -> String {
    let missing = columns.unwrap_or(0).saturating_sub(text.width());
    format!("{text}{:missing$}", "")
}

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(states: &[State]) -> Progress {
        let targets = (0..states.len())
            .map(|n| Target { model: format!("acme/m{n}"), credential: format!("acme:{n} (api_key)") })
            .collect();
        Progress { targets, states: states.to_vec(), manner: Manner::Silent }
    }

    fn shown(progress: &Progress, room: usize) -> Vec<String> {
        let lines = progress.lines(room);
        lines.iter().map(|line| line.iter().map(Part::text).collect()).collect()
    }

    #[test]
    fn every_request_has_a_line_that_fills_in() {
        let ok = State::Done(ProbeStatus::Ok, Some(412));
        let refused = State::Done(ProbeStatus::Auth, Some(1200));
        let progress = progress(&[ok, refused, State::Asking(Instant::now()), State::Waiting]);
        let wanted = [
            "✓ acme/m0  acme:0 (api_key)  ok · 412ms",
            "✗ acme/m1  acme:1 (api_key)  auth · 1.2s",
            "⠋ acme/m2  acme:2 (api_key)  asking…",
            "· acme/m3  acme:3 (api_key)  waiting",
        ];
        assert_eq!(shown(&progress, 4), wanted);
        assert_eq!(shown(&progress, 40), wanted);
    }

    #[test]
    fn what_does_not_fit_is_summed_up() {
        let ok = State::Done(ProbeStatus::Ok, Some(1));
        let refused = State::Done(ProbeStatus::Auth, Some(1));
        let mut states = vec![ok, ok, refused, State::Waiting, State::Asking(Instant::now()), ok];
        states.extend([State::Waiting; 4]);
        let begun = progress(&states);
        let sum = "[4/10] 3 ok, 1 auth, 1 asking, 5 waiting";
        let lines = shown(&begun, 4);
        assert_eq!((lines.len(), lines[3].as_str()), (4, sum));
        // It begins where something is still to come.
        assert!(lines[0].contains("acme/m3") && lines[2].contains("acme/m5"), "{lines:?}");
        assert_eq!(shown(&begun, 1), [sum]);
        assert_eq!(shown(&begun, 0), [sum]);
        let ended = progress(&[ok; 10]);
        assert_eq!(shown(&ended, 3)[2], "[10/10] 10 ok");
        assert!(shown(&ended, 3)[1].contains("acme/m9"));
    }
}
