//! Running programs of others: several at once, each within its time and output, and gone with everything that it
//! started when it is not (spec 05 section 6.2).

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use auth_core::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::SigId;
use zeroize::Zeroizing;

/// How often a program that has closed its outputs is asked whether it is gone.
const REAP_EVERY: Duration = Duration::from_millis(2);
/// How long the end of a program that was killed is waited for.
const REAP_FOR: Duration = Duration::from_secs(1);
/// The file descriptors above the three standard ones.
const FIRST_OTHER_FD: i32 = 3;

/// What to run. No shell reads it.
#[derive(Debug)]
pub struct Program<'a> {
    /// The program, an absolute path.
    pub path: &'a Path,
    /// Its arguments.
    pub args: Vec<&'a str>,
    /// Its whole environment.
    pub environment: Vec<(&'a str, Secret)>,
    /// Its working directory.
    pub dir: &'a Path,
    /// What it reads on standard input; nothing when absent.
    pub input: Option<Secret>,
    /// How long it may take from its start until it is gone, in milliseconds.
    pub timeout_ms: u64,
    /// How long it may be silent, in milliseconds.
    pub silence_ms: u64,
    /// The most that it may print on both outputs together, in bytes.
    pub max_output: u64,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code; without one by a signal.
    Exited(Option<i32>),
    /// Its time was over.
    TimedOut,
    /// It was silent for too long.
    Silent,
    /// It printed too much.
    TooMuchOutput,
    /// It did not start, and why.
    NotStarted(String),
}

/// A program that has ended.
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// What it printed on standard output; wiped when dropped.
    pub output: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ended").field("ending", &self.ending).finish_non_exhaustive()
    }
}

/// Runs programs, at most `at_once` at the same time, and gives their ends in the same order.
pub(crate) fn run_all(programs: &[Program<'_>], at_once: usize) -> Vec<Ended> {
    // What we were started with is not theirs to read.
    close_fds::set_fds_cloexec(FIRST_OTHER_FD, &[]);
    let mut ended: Vec<Option<Ended>> = programs.iter().map(|_| None).collect();
    let mut waiting: VecDeque<usize> = (0..programs.len()).collect();
    let mut running: Vec<(usize, Running<'_>)> = Vec::new();
    let interrupt = Interrupt::watch();
    loop {
        if let Some(signal) = interrupt.came() {
            // They have process groups of their own, so nobody else ends them.
            for (_, one) in running {
                one.end(Ending::TimedOut);
            }
            Interrupt::end_us(signal);
            return Vec::new();
        }
        while running.len() < at_once.max(1)
            && let Some(at) = waiting.pop_front()
        {
            match Running::start(&programs[at]) {
                Ok(started) => running.push((at, started)),
                Err(why) => ended[at] = Some(Ended { ending: Ending::NotStarted(why), output: Zeroizing::default() }),
            }
        }
        if running.is_empty() {
            return ended.into_iter().flatten().collect();
        }
        wait_for_any(&running);
        let mut still = Vec::with_capacity(running.len());
        for (at, mut one) in running {
            match one.advance() {
                None => still.push((at, one)),
                Some(ending) => ended[at] = Some(one.end(ending)),
            }
        }
        running = still;
    }
}

/// The code with which a program exited; none when a signal ended it.
#[derive(Clone, Copy)]
struct Exit(Option<i32>);

/// Whether being asked to end is the usual end of this process.
static ENDS_WELL: AtomicBool = AtomicBool::new(false);

/// From now on SIGTERM while programs run ends this process with code 0: it is how a service is stopped.
pub fn end_well_on_terminate() {
    ENDS_WELL.store(true, Ordering::SeqCst);
}

/// Notices that we are asked to end while programs run.
struct Interrupt {
    flags: Vec<(i32, Arc<AtomicBool>, SigId)>,
}

impl Interrupt {
    fn watch() -> Self {
        let watched = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP];
        let register = |signal: i32| {
            let flag = Arc::new(AtomicBool::new(false));
            let id = signal_hook::flag::register(signal, Arc::clone(&flag)).ok()?;
            Some((signal, flag, id))
        };
        Self { flags: watched.into_iter().filter_map(register).collect() }
    }

    fn came(&self) -> Option<i32> {
        self.flags.iter().find(|(_, flag, _)| flag.load(Ordering::SeqCst)).map(|(signal, ..)| *signal)
    }

    /// Ends this process as the signal would have.
    fn end_us(signal: i32) {
        if signal == signal_hook::consts::SIGTERM && ENDS_WELL.load(Ordering::SeqCst) {
            std::process::exit(0);
        }
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for (_, _, id) in &self.flags {
            signal_hook::low_level::unregister(*id);
        }
    }
}

struct Running<'a> {
    program: &'a Program<'a>,
    child: Child,
    stdin: Option<ChildStdin>,
    sent: usize,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    output: Zeroizing<Vec<u8>>,
    printed: u64,
    started: Instant,
    heard: Instant,
    /// How it exited, when it has although somebody keeps its outputs open.
    exited: Option<Exit>,
}

impl<'a> Running<'a> {
    fn start(program: &'a Program<'a>) -> Result<Self, String> {
        let mut child = Command::new(program.path)
            .args(&program.args)
            .env_clear()
            .envs(program.environment.iter().map(|(name, value)| (name, value.reveal())))
            .current_dir(program.dir)
            .stdin(if program.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| crate::secure_file::reason(&error))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // Should this fail, a program that neither reads nor ends could hold us; then better without the time limit
        // than without the program.
        let _ = stdin.as_ref().map(never_wait);
        let _ = stdout.as_ref().map(never_wait);
        let _ = stderr.as_ref().map(never_wait);
        let now = Instant::now();
        Ok(Self {
            program,
            child,
            stdin,
            sent: 0,
            stdout,
            stderr,
            output: Zeroizing::default(),
            printed: 0,
            started: now,
            heard: now,
            exited: None,
        })
    }

    /// When its silence has lasted too long.
    fn silence_over(&self) -> Instant {
        self.heard + Duration::from_millis(self.program.silence_ms)
    }

    /// When its time is over.
    fn time_over(&self) -> Instant {
        self.started + Duration::from_millis(self.program.timeout_ms)
    }

    /// When something must be done about it at the latest.
    fn due(&self) -> Instant {
        self.silence_over().min(self.time_over())
    }

    /// Moves bytes and looks at the clock; `Some` when it is over.
    fn advance(&mut self) -> Option<Ending> {
        self.send();
        self.receive();
        if self.printed > self.program.max_output {
            return Some(Ending::TooMuchOutput);
        }
        if self.exited.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exited = Some(Exit(status.code()));
            // What it wrote last may have come after the last look.
            self.receive();
        }
        let closed = self.stdout.is_none() && self.stderr.is_none();
        if let Some(Exit(code)) = self.exited.filter(|_| closed) {
            return Some(Ending::Exited(code));
        }
        if Instant::now() < self.due() {
            return None;
        }
        // It went by itself; whoever keeps its outputs open has nothing to say for it.
        if let Some(Exit(code)) = self.exited {
            return Some(Ending::Exited(code));
        }
        // The one that was due first, however late this look at the clock is; silence when both were.
        Some(if self.silence_over() <= self.time_over() { Ending::Silent } else { Ending::TimedOut })
    }

    fn send(&mut self) {
        let Some(pipe) = &mut self.stdin else { return };
        let input = self.program.input.as_ref().map_or(&b""[..], |input| input.reveal().as_bytes());
        while self.sent < input.len() {
            match pipe.write(&input[self.sent..]) {
                Ok(n) if n > 0 => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It does not want to read, which is its right.
                _ => break,
            }
        }
        self.stdin = None;
    }

    fn receive(&mut self) {
        let (before, max) = (self.printed, self.program.max_output);
        let (mut kept, mut dropped) = (0, 0);
        drain(&mut self.stdout, max.saturating_sub(self.printed), |bytes| {
            append(&mut self.output, bytes);
            kept += bytes.len() as u64;
        });
        drain(&mut self.stderr, max.saturating_sub(self.printed + kept), |bytes| dropped += bytes.len() as u64);
        self.printed += kept + dropped;
        if self.printed > before {
            self.heard = Instant::now();
        }
    }

    fn end(mut self, ending: Ending) -> Ended {
        let by_itself = matches!(ending, Ending::Exited(_));
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let outputs_held = self.stdout.is_some() || self.stderr.is_some();
        if let Some(group) = group.filter(|_| !by_itself || outputs_held) {
            // Best effort: the group may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
        if self.exited.is_none() {
            // It may have left its group; then it goes alone. One that we may not end is not waited for.
            let _ = self.child.kill();
            let given_up = Instant::now() + REAP_FOR;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < given_up {
                std::thread::sleep(REAP_EVERY);
            }
        }
        Ended { ending, output: if by_itself { self.output } else { Zeroizing::default() } }
    }
}

/// Reads what is there, one byte more than `most` at the most; the pipe goes when it has ended.
fn drain<P: Read>(pipe: &mut Option<P>, most: u64, mut take: impl FnMut(&[u8])) {
    let mut buffer = Zeroizing::new([0_u8; 16 * 1024]);
    let mut taken = 0_u64;
    while taken <= most
        && let Some(open) = pipe
    {
        match open.read(&mut *buffer) {
            Ok(0) => *pipe = None,
            Ok(n) => {
                take(&buffer[..n]);
                taken += n as u64;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => *pipe = None,
        }
    }
}

/// Adds bytes without leaving copies behind where the buffer has to move.
fn append(buffer: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    let wanted = buffer.len() + bytes.len();
    if wanted > buffer.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(wanted.next_power_of_two().max(4096)));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.extend_from_slice(bytes);
}

fn never_wait(fd: impl AsFd) -> rustix::io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
}

/// Waits until a program says something, takes something, or is due.
fn wait_for_any(running: &[(usize, Running<'_>)]) {
    let mut fds = Vec::new();
    let mut due: Option<Instant> = None;
    let mut reaping = false;
    for (_, one) in running {
        let pipes = (one.stdout.as_ref().map(AsFd::as_fd), one.stderr.as_ref().map(AsFd::as_fd));
        reaping |= pipes.0.is_none() && pipes.1.is_none() && one.exited.is_none();
        fds.extend(pipes.0.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(pipes.1.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        fds.extend(one.stdin.as_ref().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        due = Some(due.map_or(one.due(), |due| due.min(one.due())));
    }
    let mut wait = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
    if reaping {
        wait = wait.min(REAP_EVERY);
    }
    let wait =
        Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() };
    // Interrupted or not: the next look at the pipes and the clock tells.
    let _ = poll(&mut fds, Some(&wait));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program made of a script. It lives until the bench goes.
    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn script(&self, name: &str, text: &str) -> std::path::PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
            path
        }

        fn run(&self, text: &str, change: impl FnOnce(&mut Program<'_>)) -> (Ending, String) {
            let path = self.script("program", text);
            let mut program = program(&path);
            change(&mut program);
            let ended = run_all(&[program], 1).pop().unwrap();
            (ended.ending, String::from_utf8_lossy(&ended.output).into_owned())
        }
    }

    fn program(path: &Path) -> Program<'_> {
        Program {
            path,
            args: vec![],
            environment: vec![],
            dir: path.parent().unwrap(),
            input: None,
            timeout_ms: 60_000,
            silence_ms: 60_000,
            max_output: 1 << 20,
        }
    }

    #[test]
    fn input_arguments_and_environment_arrive_and_nothing_else() {
        let (ending, output) =
            Bench::new().run("/bin/cat; printf '|%s|%s|%s' \"$1\" \"$A\" \"${HOME-none}\"", |program| {
                program.args = vec!["a b $HOME"];
                program.environment = vec![("A", Secret::new("1"))];
                program.input = Some(Secret::new("hello"));
            });
        assert_eq!((ending, output.as_str()), (Ending::Exited(Some(0)), "hello|a b $HOME|1|none"));
    }

    #[test]
    fn large_input_and_output_pass_each_other() {
        let text = "x".repeat(900_000);
        let (ending, output) =
            Bench::new().run("exec /bin/cat", |program| program.input = Some(Secret::new(text.clone())));
        assert!(ending == Ending::Exited(Some(0)) && output == text);
        // One that does not read at all.
        let (ending, output) = Bench::new().run("echo done", |program| program.input = Some(Secret::new(text)));
        assert_eq!((ending, output.as_str()), (Ending::Exited(Some(0)), "done\n"));
    }

    #[test]
    fn slow_mute_flooding_and_failing_programs_end() {
        let bench = Bench::new();
        let quick = |program: &mut Program<'_>| program.timeout_ms = 100;
        assert_eq!(bench.run("echo half; exec sleep 600", quick), (Ending::TimedOut, String::new()));
        assert_eq!(bench.run("exec sleep 600", |program| program.silence_ms = 100).0, Ending::Silent);
        assert_eq!(bench.run("exec >&- 2>&-; exec sleep 600", quick).0, Ending::TimedOut);
        assert_eq!(bench.run("exec /bin/cat /dev/zero", |_| {}).0, Ending::TooMuchOutput);
        assert_eq!(bench.run("exec /bin/cat /dev/zero >&2", |_| {}).0, Ending::TooMuchOutput);
        assert_eq!(bench.run("echo sk-test-1; exit 3", |_| {}).0, Ending::Exited(Some(3)));
        assert_eq!(bench.run("kill -9 $$", |_| {}).0, Ending::Exited(None));
        let gone = bench.0.path().join("gone");
        assert_eq!(run_all(&[program(&gone)], 1)[0].ending, Ending::NotStarted("does not exist".to_owned()));
    }

    #[test]
    fn what_it_started_goes_with_it() {
        let bench = Bench::new();
        let mark = bench.0.path().join("child");
        let script = "sleep 600 & echo $! > child; wait";
        assert_eq!(bench.run(script, |program| program.timeout_ms = 300).0, Ending::TimedOut);
        let pid: u32 = std::fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        // The signal is on its way; a zombie that nobody reaps counts as gone.
        for _ in 0..500 {
            if !crate::lock::is_running(pid) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("process {pid} is still there");
    }

    #[test]
    fn one_that_leaves_a_child_behind_has_answered() {
        let (ending, output) = Bench::new().run("echo answer; sleep 600 & exit 0", |program| program.timeout_ms = 300);
        assert_eq!((ending, output.as_str()), (Ending::Exited(Some(0)), "answer\n"));
    }

    #[test]
    fn exactly_the_limit_is_allowed() {
        let bench = Bench::new();
        let run = |max| bench.run("printf 12345", |program| program.max_output = max);
        assert_eq!(run(5), (Ending::Exited(Some(0)), "12345".to_owned()));
        assert_eq!(run(4).0, Ending::TooMuchOutput);
    }

    #[test]
    fn several_run_at_once_but_not_more_than_asked_for() {
        let bench = Bench::new();
        // Each leaves a mark while it runs and tells how many marks there are.
        let script = "mark=$(mktemp marks/XXXXXX); sleep 0.2; ls marks | wc -l; rm $mark";
        std::fs::create_dir(bench.0.path().join("marks")).unwrap();
        let path = bench.script("program", script);
        let programs: Vec<Program<'_>> = (0..6)
            .map(|_| Program { environment: vec![("PATH", Secret::new("/usr/bin:/bin"))], ..program(&path) })
            .collect();
        let seen: Vec<usize> = run_all(&programs, 2)
            .iter()
            .map(|ended| String::from_utf8_lossy(&ended.output).trim().parse().unwrap())
            .collect();
        assert!(seen.len() == 6 && seen.iter().all(|n| *n <= 2) && seen.contains(&2), "{seen:?}");
    }
}
