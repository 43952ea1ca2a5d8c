//! One writer at a time (spec 01 section 7): a lock file beside the file, which the Node program knows too, and an
//! advisory lock on it, which tells a living holder from a file that was left behind.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

use crate::host::Host;
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// How often a busy lock is tried.
const ATTEMPTS: u32 = 11;
/// First pause, in milliseconds; doubles each time.
const FIRST_PAUSE_MS: f64 = 100.0;
/// Longest pause, in milliseconds.
const LONGEST_PAUSE_MS: f64 = 10_000.0;
/// A lock older than this was left behind, in milliseconds, unless its holder still has the advisory lock.
const STALE_AFTER_MS: i64 = 30_000;
/// How often the advisory lock of a new file is tried, which others have for moments only.
const LOOKS: u32 = 1000;
/// A lock file without readable content may be in the making this long, in milliseconds.
const GRACE_MS: i64 = 2_000;

/// A held lock. It ends with the value; the file goes if it is still ours.
pub struct LockGuard<'a> {
    host: &'a dyn WriteHost,
    path: PathBuf,
    content: String,
    // Open for as long as the lock is held: it keeps the advisory lock.
    file: File,
}

impl std::fmt::Debug for LockGuard<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LockGuard").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{} is held by process {pid} for {} s", path.display(), age_ms / 1000)]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it; 0 when the file does not say.
        pid: u32,
        /// For how long, in milliseconds.
        age_ms: i64,
    },
    /// The lock file cannot be created.
    #[error("cannot lock {}: {why}", path.display())]
    Refused {
        /// The lock file.
        path: PathBuf,
        /// Why, in words.
        why: String,
    },
}

impl LockError {
    /// What the message of a failed write adds when somebody else was writing.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Busy { .. } => " (lock busy?)",
            Self::Refused { .. } => "",
        }
    }
}

/// Takes the lock of a file whose directory exists. `target` is the file; the lock stands beside it as
/// `<target>.lock`.
///
/// # Errors
///
/// When somebody else keeps it for longer than the attempts last, or the directory cannot be written.
pub fn lock<'a>(target: &Path, host: &'a dyn WriteHost) -> Result<LockGuard<'a>, LockError> {
    match lock_unless(target, host, &mut || false)? {
        Some(guard) => Ok(guard),
        None => Err(LockError::Refused { path: lock_path(target, host), why: "it is not needed".to_owned() }),
    }
}

/// As [`lock`], but gives up waiting, with `None`, as soon as `settled` says that the lock is not needed any more:
/// whoever holds it may have done the work.
///
/// # Errors
///
/// As [`lock`].
pub fn lock_unless<'a>(
    target: &Path,
    host: &'a dyn WriteHost,
    settled: &mut dyn FnMut() -> bool,
) -> Result<Option<LockGuard<'a>>, LockError> {
    let path = lock_path(target, host);
    let refused = |error: &io::Error| LockError::Refused { path: path.clone(), why: reason(error) };
    let mut attempt = 0;
    loop {
        match try_create(&path, host) {
            Ok(guard) => return Ok(Some(guard)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&error)),
        }
        if settled() {
            return Ok(None);
        }
        let holder = Holder::read(&path, host);
        attempt += 1;
        if attempt >= ATTEMPTS {
            let (pid, age_ms) = holder.map_or((0, 0), |holder| (holder.pid, holder.age_ms));
            return Err(LockError::Busy { path, pid, age_ms });
        }
        match holder {
            // Gone meanwhile: try again at once.
            None => {}
            Some(holder) if holder.is_stale() && take_away(&path, &holder, host) => {}
            Some(_) => host.pause(pause_before(attempt, host.random())),
        }
    }
}

/// The lock file of a target, in the real directory.
fn lock_path(target: &Path, host: &dyn Host) -> PathBuf {
    let dir = target.parent().unwrap_or(target);
    let real = host.real_path(dir).unwrap_or_else(|_| dir.to_owned());
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    real.join(name)
}

fn pause_before(attempt: u32, random: u64) -> Duration {
    let exponent = i32::try_from(attempt - 1).unwrap_or(0);
    let base = (FIRST_PAUSE_MS * 2_f64.powi(exponent)).min(LONGEST_PAUSE_MS);
    let spread = 1.0 + f64::from(u32::try_from(random >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0);
    Duration::from_secs_f64((base * spread).round().min(LONGEST_PAUSE_MS) / 1000.0)
}

fn try_create<'a>(path: &Path, host: &'a dyn WriteHost) -> io::Result<LockGuard<'a>> {
    let file = host.create(path)?;
    let content = content_at(host.now().as_ms());
    let guard = LockGuard { host, path: path.to_owned(), content, file };
    // From here on the guard removes what it made.
    // Whoever looks at the file has its lock for a moment. On a file system without advisory locks the file alone has
    // to do.
    for _ in 0..LOOKS {
        match guard.file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            Ok(()) | Err(TryLockError::Error(_)) => break,
        }
    }
    host.write(&guard.file, guard.content.as_bytes()).inspect_err(|_| {
        let _ = host.remove(path);
    })?;
    Ok(guard)
}

impl LockGuard<'_> {
    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the time of the lock to now, for work that takes long: a program that knows only the file would take a lock
    /// of more than 30 seconds for left behind. Does nothing when the lock was lost.
    pub fn renew(&mut self) {
        let ours = self.host.read(&self.path, 4096).is_ok_and(|bytes| bytes == self.content.as_bytes());
        // The same length in one write: whoever reads meanwhile sees the old or the new time.
        let content = content_at(self.host.now().as_ms());
        if ours && content.len() == self.content.len() && self.file.write_all_at(content.as_bytes(), 0).is_ok() {
            self.content = content;
        }
    }
}

/// What a lock file of this process says.
fn content_at(now_ms: i64) -> String {
    format!("{{\n  \"pid\": {},\n  \"createdAt\": \"{}\"\n}}", std::process::id(), iso_time(now_ms))
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        // Somebody may have judged us dead and taken the lock; theirs is not ours to remove.
        let ours = self.host.read(&self.path, 4096).is_ok_and(|bytes| bytes == self.content.as_bytes());
        if ours {
            let _ = self.host.remove(&self.path);
        }
    }
}

/// What a lock file says, and what the system says about it.
struct Holder {
    file: File,
    content: Vec<u8>,
    pid: u32,
    age_ms: i64,
    /// The file says who and when.
    readable: bool,
    /// The advisory lock is held.
    advisory: bool,
    /// The process is there.
    running: bool,
}

impl Holder {
    /// Reads a lock file; `None` when it is gone.
    fn read(path: &Path, host: &dyn Host) -> Option<Self> {
        let file = File::open(path).ok()?;
        let advisory = match file.try_lock_shared() {
            Ok(()) => {
                let _ = file.unlock();
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        };
        let now = host.now().as_ms();
        let changed = file.metadata().and_then(|meta| meta.modified()).ok();
        let changed = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let file_age_ms = changed.map_or(0, |since| now - i64::try_from(since.as_millis()).unwrap_or(now));
        let content = host.read(path, 4096).ok()?;
        let parsed: serde_json::Value = serde_json::from_slice(&content).unwrap_or_default();
        let pid = parsed["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let created = parsed["createdAt"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let created_age_ms = created.map(|time| now - time.as_millisecond());
        Some(Self {
            pid,
            age_ms: created_age_ms.unwrap_or(file_age_ms).max(file_age_ms),
            readable: created_age_ms.is_some() && pid != 0,
            advisory,
            running: is_running(pid),
            content,
            file,
        })
    }

    /// Whether the holder is gone. A living holder of ours keeps its advisory lock however long it works.
    fn is_stale(&self) -> bool {
        if self.advisory {
            return false;
        }
        if !self.readable {
            return self.age_ms > GRACE_MS;
        }
        !self.running || self.age_ms > STALE_AFTER_MS
    }
}

/// What a lock file says that stands beside a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFacts {
    /// The lock file.
    pub path: PathBuf,
    /// The process that made it; 0 when it does not say.
    pub pid: u32,
    /// How old it is, in milliseconds.
    pub age_ms: i64,
    /// Whether its maker is gone, so that the next writer would take it over.
    pub is_stale: bool,
    /// Whether its maker runs, or the lock itself is held.
    pub is_alive: bool,
}

/// Files beside a file that were its lock once: moved aside by a process that is gone, before it could remove them.
pub fn left_locks(target: &Path, host: &dyn Host) -> Vec<PathBuf> {
    let path = lock_path(target, host);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let maker = |path: &PathBuf| {
        let rest = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix(".stale-")?;
        rest.split_once('-')?.0.parse::<u32>().ok()
    };
    let left = host.names_in(dir).into_iter().filter(|path| maker(path).is_some_and(|pid| !is_running(pid)));
    left.collect()
}

/// Looks at the lock of a file without taking it; `None` when there is none.
pub fn lock_facts(target: &Path, host: &dyn Host) -> Option<LockFacts> {
    let path = lock_path(target, host);
    let holder = Holder::read(&path, host)?;
    let (is_stale, is_alive) = (holder.is_stale(), holder.advisory || holder.running);
    Some(LockFacts { path, pid: holder.pid, age_ms: holder.age_ms, is_stale, is_alive })
}

/// Whether a process is there and not a zombie. One of another user is there.
pub(crate) fn is_running(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    if test_kill_process(pid) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// Removes a lock that was left behind, and tells whether the way is free. Of ours only one does it: whoever has the
/// advisory lock of the very file that was judged, and finds it in its place. Other programs know no such lock, so the
/// file is renamed first: if what was moved is not what was judged, somebody else was faster, and their lock goes back.
fn take_away(path: &Path, judged: &Holder, host: &dyn WriteHost) -> bool {
    let alone = !matches!(judged.file.try_lock(), Err(TryLockError::WouldBlock));
    if !alone || !is_in_place(&judged.file, path) {
        return false;
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".stale-{}-{:016x}", std::process::id(), host.random()));
    let aside = PathBuf::from(aside);
    if host.rename(path, &aside).is_err() {
        return false;
    }
    let same = host.read(&aside, 4096).is_ok_and(|content| content == judged.content);
    if !same {
        // Without links the other's lock is lost; they notice when they release it.
        let _ = host.link(&aside, path);
    }
    let _ = host.remove(&aside);
    same
}

/// Whether a path still leads to an open file.
fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// ISO 8601 in UTC with milliseconds.
pub fn iso_time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use crate::write_host::faulty::FaultyHost;

    fn in_dir(check: impl FnOnce(&Path, &FaultyHost)) {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        check(&dir.path().canonicalize().unwrap().join("store.json"), &host);
    }

    fn leave_lock(target: &Path, content: &str) -> PathBuf {
        let path = PathBuf::from(format!("{}.lock", target.display()));
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn a_lock_says_who_and_goes_with_its_guard() {
        in_dir(|target, host| {
            let guard = lock(target, host).unwrap();
            let text = std::fs::read_to_string(guard.path()).unwrap();
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(parsed["pid"], std::process::id());
            assert!(parsed["createdAt"].as_str().unwrap().ends_with('Z') && text.starts_with("{\n  \"pid\""));
            let path = guard.path().to_owned();
            drop(guard);
            assert!(!path.exists());
        });
    }

    #[test]
    fn a_living_holder_is_never_robbed_however_long_it_works() {
        in_dir(|target, host| {
            let _held = lock(target, host).unwrap();
            host.pause(Duration::from_secs(3600));
            match lock(target, host) {
                Err(LockError::Busy { pid, age_ms, .. }) => assert!(pid == std::process::id() && age_ms >= 3_600_000),
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn a_lock_is_renewed_while_it_is_held() {
        in_dir(|target, host| {
            let mut guard = lock(target, host).unwrap();
            let before = std::fs::read_to_string(guard.path()).unwrap();
            host.pause(Duration::from_secs(10));
            guard.renew();
            let after = std::fs::read_to_string(guard.path()).unwrap();
            assert!(before != after && before.len() == after.len());
            let path = guard.path().to_owned();
            drop(guard);
            assert!(!path.exists(), "a renewed lock is still ours");
        });
    }

    #[test]
    fn waiting_ends_when_the_work_is_done() {
        in_dir(|target, host| {
            let _held = lock(target, host).unwrap();
            let mut looks = 0;
            let waited = lock_unless(target, host, &mut || {
                looks += 1;
                looks == 3
            });
            assert!(waited.unwrap().is_none() && looks == 3);
        });
    }

    #[test]
    fn what_was_left_behind_is_taken_over() {
        let old = "{\"pid\": 999999999, \"createdAt\": \"2099-01-01T00:00:00.000Z\"}".to_owned();
        let aged = format!("{{\"pid\": {}, \"createdAt\": \"2020-01-01T00:00:00.000Z\"}}", std::process::id());
        for content in [old, aged] {
            in_dir(|target, host| {
                let path = leave_lock(target, &content);
                drop(lock(target, host).unwrap());
                assert!(!path.exists());
                assert_eq!(RealHost.names_in(path.parent().unwrap()).len(), 0);
            });
        }
    }

    #[test]
    fn two_who_judged_the_same_file_do_not_both_take_it() {
        in_dir(|target, host| {
            let path = leave_lock(target, "{\"pid\": 999999999, \"createdAt\": \"2099-01-01T00:00:00.000Z\"}");
            let (one, other, late) = (
                Holder::read(&path, host).unwrap(),
                Holder::read(&path, host).unwrap(),
                Holder::read(&path, host).unwrap(),
            );
            assert!(one.is_stale() && other.is_stale());
            one.file.try_lock().unwrap();
            assert!(!take_away(&path, &other, host), "the first is at it");
            assert!(take_away(&path, &one, host) && !path.exists());
            drop(one);

            // The way is free, and somebody has taken it: what the others judged is not there any more.
            let guard = lock(target, host).unwrap();
            host.steps.borrow_mut().clear();
            assert!(!take_away(&path, &other, host) && !take_away(&path, &late, host));
            assert!(host.steps.borrow().is_empty(), "a living lock was touched: {:?}", host.steps.borrow());
            assert!(is_in_place(&guard.file, &path));
        });
    }

    #[test]
    fn a_look_at_a_lock_does_not_take_its_advisory_lock_away() {
        in_dir(|target, host| {
            let path = leave_lock(target, "");
            let looked = Holder::read(&path, host).unwrap();
            assert!(!looked.advisory);
            File::open(&path).unwrap().try_lock().unwrap();
        });
    }

    #[test]
    fn a_file_in_the_making_is_waited_for_and_then_taken() {
        in_dir(|target, host| {
            leave_lock(target, "");
            let before = host.now().as_ms();
            drop(lock(target, host).unwrap());
            assert!(host.now().as_ms() - before > GRACE_MS);
        });
    }

    #[test]
    fn the_node_program_is_waited_for_until_it_counts_as_gone() {
        in_dir(|target, host| {
            // It keeps no advisory lock, so only the age of its file can tell.
            let created = iso_time(host.now().as_ms());
            leave_lock(target, &format!("{{\"pid\": {}, \"createdAt\": \"{created}\"}}", std::process::id()));
            let before = host.now().as_ms();
            drop(lock(target, host).unwrap());
            assert!(host.now().as_ms() - before >= STALE_AFTER_MS);
        });
    }

    #[test]
    fn pauses_grow_and_spread() {
        assert_eq!(pause_before(1, 0).as_millis(), 100);
        assert_eq!(pause_before(3, 0).as_millis(), 400);
        assert!(pause_before(3, u64::MAX).as_millis() >= 799);
        assert_eq!(pause_before(11, u64::MAX).as_millis(), 10_000);
    }

    #[test]
    fn times_are_iso() {
        assert_eq!(iso_time(1_800_000_000_007), "2027-01-15T08:00:00.007Z");
    }
}
