//! A question whose answer may also come from elsewhere: the browser may be back before anything is pasted. What is
//! typed is not echoed.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use auth_core::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// How often it is looked whether the answer has come from elsewhere.
const LOOK: Duration = Duration::from_millis(50);
/// How long the rest of an escape sequence, or of a paste with line breaks, may take.
const REST: Duration = Duration::from_millis(30);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How many bullets stand for what was typed at most.
const MAX_SHOWN: usize = 48;

/// How a question ended.
pub(crate) enum Answer<T> {
    /// Somebody pasted this.
    Pasted(Secret),
    /// It came from elsewhere.
    Elsewhere(T),
}

/// Asks once. `elsewhere` is looked at until it gives something or a line is entered; what it gives is told with `came`.
/// `stop` is set by a signal that ends the command.
pub(crate) fn ask<T>(
    question: &str,
    stop: &AtomicBool,
    came: &dyn Fn(&T) -> &'static str,
    elsewhere: &mut dyn FnMut() -> Option<T>,
) -> Result<Answer<T>, Failure> {
    let broken = |error: io::Error| Failure::new(format!("cannot ask on this terminal: {error}"));
    let mut err = io::stderr().lock();
    let raw = RawTerminal::enter(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG).map_err(broken)?;
    write!(err, "◆  {question}\n│  ").and_then(|()| err.flush()).map_err(broken)?;
    let mut line: Vec<u8> = Vec::new();
    loop {
        if let Some(found) = elsewhere() {
            let _ = writeln!(err, "\r\u{1b}[K│  {}", came(&found));
            return Ok(Answer::Elsewhere(found));
        }
        if stop.load(Ordering::Relaxed) {
            drop(raw);
            let _ = writeln!(err);
            return Err(cancelled());
        }
        if !readable(LOOK).map_err(broken)? {
            continue;
        }
        let mut bytes = [0; 4096];
        let count = io::stdin().lock().read(&mut bytes).map_err(broken)?;
        if count == 0 {
            drop(raw);
            let _ = writeln!(err);
            return Err(cancelled());
        }
        let mut rest = &bytes[..count];
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'\r' | b'\n' => {
                    // An address that was copied with its line breaks goes on after them.
                    if !rest.is_empty() || readable(REST).map_err(broken)? {
                        continue;
                    }
                    let _ = writeln!(err);
                    let text = String::from_utf8_lossy(&line).into_owned();
                    line.fill(0);
                    return Ok(Answer::Pasted(Secret::new(text)));
                }
                0x03 => {
                    drop(raw);
                    let _ = writeln!(err);
                    return Err(cancelled());
                }
                0x04 if line.is_empty() => {
                    drop(raw);
                    let _ = writeln!(err);
                    return Err(cancelled());
                }
                0x1b => {
                    if rest.is_empty() && !readable(REST).map_err(broken)? {
                        drop(raw);
                        let _ = writeln!(err);
                        return Err(cancelled());
                    }
                    rest = after_escape(rest);
                }
                0x7f | 0x08 => {
                    // The continuation bytes of a character go with it.
                    while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {}
                }
                0x15 => line.clear(),
                byte if *byte >= b' ' && line.len() < MAX_ANSWER => line.push(*byte),
                _ => {}
            }
        }
        let count = String::from_utf8_lossy(&line).chars().count();
        let _ = write!(err, "\r\u{1b}[K│  {}", "•".repeat(count.min(MAX_SHOWN))).and_then(|()| err.flush());
    }
}

fn cancelled() -> Failure {
    Failure { message: "Cancelled.".to_owned(), code: 130 }
}

/// What follows an escape sequence, such as the marks around a paste.
fn after_escape(rest: &[u8]) -> &[u8] {
    match rest.split_first() {
        Some((b'[' | b'O', sequence)) => {
            let end = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte));
            end.map_or(&[], |end| &sequence[end + 1..])
        }
        Some((_, after)) => after,
        None => rest,
    }
}

fn readable(wait: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
    match poll(&mut fds, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Looks for Esc, or the end of the input, while something else is waited for. What is typed is neither shown nor left
/// for the shell.
pub(crate) struct EscapeWatch {
    done: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
    _raw: Option<RawTerminal>,
}

impl EscapeWatch {
    /// Sets `stop` when the key comes. Without a terminal there is nothing to look at.
    pub(crate) fn start(stop: &Arc<AtomicBool>) -> Self {
        // Ctrl-C stays a signal, which everything that waits knows.
        let raw = RawTerminal::enter(LocalModes::ICANON | LocalModes::ECHO).ok();
        let done = Arc::new(AtomicBool::new(false));
        let (ended, stop) = (Arc::clone(&done), Arc::clone(stop));
        let watch = move || {
            while !ended.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                match readable(LOOK).and_then(|ready| if ready { given_up().map(Some) } else { Ok(None) }) {
                    Ok(Some(true)) => stop.store(true, Ordering::Relaxed),
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        let watcher = raw.as_ref().and_then(|_| std::thread::Builder::new().spawn(watch).ok());
        Self { done, watcher, _raw: raw }
    }
}

impl Drop for EscapeWatch {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// Whether what was typed gives up: Esc alone, Ctrl-D, or a terminal that has gone.
fn given_up() -> io::Result<bool> {
    let mut bytes = [0; 256];
    let count = io::stdin().lock().read(&mut bytes)?;
    Ok(matches!(&bytes[..count], [] | [0x1b | 0x04]))
}

/// A terminal that gives every byte at once and echoes none, until it is dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter(without: LocalModes) -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.local_modes -= without;
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::after_escape;

    #[test]
    fn escape_sequences_are_passed_over() {
        assert_eq!(after_escape(b"[200~code"), b"code");
        assert_eq!(after_escape(b"OAx"), b"x");
        assert_eq!(after_escape(b"[1;"), b"");
        assert_eq!(after_escape(b""), b"");
    }
}
