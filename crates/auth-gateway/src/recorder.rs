//! Keeping what happened to a profile (spec 07 sections 5.3 and 5.4).
//!
//! A failure is on the disk before the turn goes on, together with everything that has come in meanwhile. Successes of a
//! gateway are put together and written once a second and at its end: what is lost with a process that is killed is the
//! time of a last use, never a cooldown. Inside the process every order knows them at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use auth_core::{FailureReason, ProfileId, ProviderId, Secret, Timestamp, UsageStats, WindowKind};
use auth_store::{RealHost, State, StoreWriteError, StoreWriter};

use crate::stores::Pending;

/// How many marks wait at most; a store that cannot be written for long loses its oldest successes.
const MOST_WAITING: usize = 4096;

/// What happened to a profile.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) profile: ProfileId,
    pub(crate) provider: ProviderId,
    /// The key or token that was used, where it stands in the profile itself.
    pub(crate) secret: Option<Secret>,
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    /// Which window a failure opened or found open, known when it is written.
    pub(crate) window: Arc<OnceLock<Recorded>>,
}

/// What a failure that was written did to its profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) kind: WindowKind,
    /// The window had been open before.
    pub(crate) reused: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Used,
    Failed {
        reason: FailureReason,
        model: String,
        /// How long it lasts, in milliseconds, when somebody knows.
        length_ms: Option<f64>,
    },
}

/// When a success is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// Before the turn ends.
    #[default]
    AtOnce,
    /// With others, when [`Engine::flush`](crate::Engine::flush) is called.
    Batched,
}

/// Writes marks, those of one store together.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    recording: Recording,
    stores: Mutex<HashMap<PathBuf, Arc<Queue>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    state: Option<Arc<State>>,
    marks: Vec<Mark>,
    /// What is being written.
    leaving: Vec<Mark>,
}

impl Recorder {
    pub(crate) fn new(recording: Recording) -> Self {
        Self { recording, stores: Mutex::default() }
    }

    /// Records a mark. Whoever comes while a write is under way shares the next one.
    pub(crate) async fn record(&self, state: &Arc<State>, dir: &Path, mark: Mark) -> Result<(), String> {
        let queue = {
            let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(stores.entry(dir.to_owned()).or_default())
        };
        let may_wait = self.recording == Recording::Batched && matches!(mark.what, What::Used);
        queue.add(state, mark);
        if may_wait {
            return Ok(());
        }
        flush(queue, dir.to_owned()).await
    }

    /// The successes that the store in this directory does not know yet.
    pub(crate) fn pending(&self, dir: &Path) -> Vec<Pending> {
        let queue = self.stores.lock().unwrap_or_else(PoisonError::into_inner).get(dir).map(Arc::clone);
        let Some(queue) = queue else { return Vec::new() };
        let waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = waiting.leaving.iter().chain(&waiting.marks);
        let used = marks.filter(|mark| matches!(mark.what, What::Used));
        used.map(|mark| Pending { profile: mark.profile.clone(), at: mark.at }).collect()
    }

    /// Writes everything that waits.
    pub(crate) async fn flush(&self) -> Result<(), String> {
        let all: Vec<(PathBuf, Arc<Queue>)> = {
            let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
            stores.iter().map(|(dir, queue)| (dir.clone(), Arc::clone(queue))).collect()
        };
        let mut result = Ok(());
        for (dir, queue) in all {
            result = result.and(flush(queue, dir).await);
        }
        result
    }
}

impl Queue {
    fn add(&self, state: &Arc<State>, mark: Mark) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.state = Some(Arc::clone(state));
        if matches!(mark.what, What::Used) {
            // Of several successes in a row the last one tells everything.
            let last = waiting.marks.iter_mut().rev().find(|known| known.profile == mark.profile);
            if let Some(last) = last.filter(|last| matches!(last.what, What::Used)) {
                *last = mark;
                return;
            }
        }
        waiting.marks.push(mark);
    }

    /// Takes back what could not be written.
    fn keep(&self, failed: bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut marks = std::mem::take(&mut waiting.leaving);
        if !failed {
            return;
        }
        marks.append(&mut waiting.marks);
        if marks.len() > MOST_WAITING {
            marks.retain(|mark| !matches!(mark.what, What::Used));
            marks.truncate(MOST_WAITING);
        }
        waiting.marks = marks;
    }
}

/// Writes what waits for one store. A turn that ends meanwhile does not stop it.
async fn flush(queue: Arc<Queue>, dir: PathBuf) -> Result<(), String> {
    let work = tokio::spawn(async move {
        let _turn = queue.writing.lock().await;
        let (marks, state) = {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let marks = std::mem::take(&mut waiting.marks);
            waiting.leaving.clone_from(&marks);
            (marks, waiting.state.clone())
        };
        let Some(state) = state.filter(|_| !marks.is_empty()) else { return Ok(()) };
        let written = tokio::task::spawn_blocking(move || write(&state, &dir, &marks)).await;
        let result = match written {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the statistics could not be written".to_owned()),
        };
        queue.keep(result.is_err());
        result
    });
    work.await.unwrap_or_else(|_| Err("the statistics could not be written".to_owned()))
}

fn write(state: &State, dir: &Path, marks: &[Mark]) -> Result<(), StoreWriteError> {
    let writer = StoreWriter::new(dir, &state.layout, &state.environment, &RealHost);
    let guard = writer.lock()?;
    let mut open = writer.read()?;
    let mut changed: HashMap<&ProfileId, UsageStats> = HashMap::new();
    for mark in marks {
        let Some(profile) = open.store.get(&mark.profile) else { continue };
        // Whatever happened to a key that has been replaced meanwhile says nothing about the new one.
        let stored = profile.credential.material().and_then(|material| material.inline());
        let replaced = matches!((&mark.secret, stored), (Some(used), Some(stored)) if !used.is_same(stored));
        if replaced || profile.provider.is_cooldown_exempt() && matches!(mark.what, What::Failed { .. }) {
            continue;
        }
        let before = changed.get(&mark.profile).cloned();
        let before = before.or_else(|| open.store.usage(&mark.profile).cloned()).unwrap_or_default();
        let after = match &mark.what {
            What::Used => {
                if profile.provider == mark.provider {
                    open.document.set_last_good(&mark.provider, &mark.profile);
                }
                before.after_success(mark.at)
            }
            What::Failed { reason, model, length_ms } => {
                let (provider, policy) = (&profile.provider, &state.config.cooldowns);
                let _ = mark.window.set(recorded(&before, *reason, mark.at));
                match length_ms {
                    Some(ms) => before.after_measured_failure(*reason, Some(model), provider, policy, mark.at, *ms),
                    None => before.after_failure(*reason, Some(model), provider, policy, mark.at),
                }
            }
        };
        changed.insert(&mark.profile, after);
    }
    for (id, stats) in changed {
        open.document.set_usage(id, &stats);
    }
    writer.write(Some(&guard), &open, &[])?;
    Ok(())
}

/// Which window a failure belongs to, and whether it is open already.
fn recorded(before: &UsageStats, reason: FailureReason, at: Timestamp) -> Recorded {
    let (kind, until) = match reason {
        FailureReason::Billing | FailureReason::AuthPermanent => (WindowKind::Disabled, before.disabled_until_ms),
        _ => (WindowKind::Cooldown, before.cooldown_until_ms),
    };
    Recorded { kind, reused: until.is_some_and(|until| until > at.as_f64()) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use auth_core::{AgentId, Environment};
    use auth_store::{Ground, StateLayout};

    use super::*;
    use crate::stores::Stores;

    const STORE: &str = r#"{"version":1,"profiles":{
        "p:a":{"type":"api_key","provider":"p","key":"sk-test-a-000000001"},
        "p:b":{"type":"api_key","provider":"p","key":"sk-test-b-000000001"}}}"#;

    struct Bench {
        home: tempfile::TempDir,
        state: Arc<State>,
        dir: PathBuf,
        recorder: Recorder,
    }

    impl Bench {
        fn new(recording: Recording) -> Self {
            let home = tempfile::tempdir().unwrap();
            let variables = [("HOME".to_owned(), home.path().display().to_string())];
            let environment = Environment::from_process(variables);
            let layout = StateLayout::resolve(&environment, &RealHost);
            let dir = layout.main_store_dir().to_owned();
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join(auth_store::STORE_FILE), STORE).unwrap();
            let ground = Ground { environment, layout, warnings: Vec::new() };
            let (state, _) = State::read(ground, &RealHost).unwrap();
            Self { home, state: Arc::new(state), dir, recorder: Recorder::new(recording) }
        }

        fn path(&self) -> PathBuf {
            self.dir.join(auth_store::STORE_FILE)
        }

        fn on_disk(&self, profile: &str, field: &str) -> Option<f64> {
            let text = std::fs::read_to_string(self.path()).unwrap();
            let store: serde_json::Value = serde_json::from_str(&text).unwrap();
            store["usageStats"][profile][field].as_f64()
        }

        fn record(&self, profile: &str, at: i64, what: What) -> Result<(), String> {
            let mark = Mark {
                profile: ProfileId::new(profile),
                provider: ProviderId::normalise("p"),
                secret: None,
                at: Timestamp::from_ms(at),
                what,
                window: Arc::default(),
            };
            run(self.recorder.record(&self.state, &self.dir, mark))
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    fn limited() -> What {
        What::Failed { reason: FailureReason::RateLimit, model: "m".to_owned(), length_ms: None }
    }

    #[test]
    fn a_success_is_written_at_once_where_that_is_asked() {
        let bench = Bench::new(Recording::AtOnce);
        bench.record("p:a", 5000, What::Used).unwrap();
        assert_eq!(bench.on_disk("p:a", "lastUsed"), Some(5000.0));
    }

    #[test]
    fn successes_wait_and_a_failure_takes_them_along() {
        let bench = Bench::new(Recording::Batched);
        for at in [1000, 2000, 3000] {
            bench.record("p:a", at, What::Used).unwrap();
        }
        assert_eq!(bench.on_disk("p:a", "lastUsed"), None);
        let pending = bench.recorder.pending(&bench.dir);
        assert_eq!(pending.len(), 1, "of several the last one counts");
        assert_eq!(pending[0].at.as_ms(), 3000);
        // A view that is read meanwhile knows them.
        let stores = Stores::default();
        let auth = stores.auth(&bench.state, &AgentId::main(), &|dir| bench.recorder.pending(dir)).unwrap();
        assert_eq!(auth.view.profiles.usage(&ProfileId::new("p:a")).unwrap().last_used_ms, Some(3000.0));
        bench.record("p:b", 4000, limited()).unwrap();
        assert_eq!(bench.on_disk("p:a", "lastUsed"), Some(3000.0));
        assert!(bench.on_disk("p:b", "cooldownUntil").is_some());
        assert!(bench.recorder.pending(&bench.dir).is_empty());
        let auth = stores.auth(&bench.state, &AgentId::main(), &|dir| bench.recorder.pending(dir)).unwrap();
        assert_eq!(auth.view.profiles.usage(&ProfileId::new("p:b")).unwrap().error_count, 1, "a changed file is read");
    }

    #[test]
    fn what_happened_stays_in_its_order() {
        let bench = Bench::new(Recording::Batched);
        bench.record("p:a", 1000, What::Used).unwrap();
        bench.record("p:a", 2000, limited()).unwrap();
        bench.record("p:a", 3000, What::Used).unwrap();
        run(bench.recorder.flush()).unwrap();
        assert_eq!((bench.on_disk("p:a", "lastUsed"), bench.on_disk("p:a", "cooldownUntil")), (Some(3000.0), None));
        bench.record("p:a", 4000, What::Used).unwrap();
        bench.record("p:a", 5000, limited()).unwrap();
        assert_eq!(bench.on_disk("p:a", "lastUsed"), Some(4000.0));
        assert!(bench.on_disk("p:a", "cooldownUntil").is_some());
    }

    #[test]
    fn a_success_that_comes_late_leaves_a_later_failure_alone() {
        let bench = Bench::new(Recording::Batched);
        let stores = Stores::default();
        bench.record("p:a", 9000, limited()).unwrap();
        let view = |stores: &Stores| stores.auth(&bench.state, &AgentId::main(), &|_| Vec::new()).unwrap();
        view(&stores);
        stores.used(&bench.dir, &Pending { profile: ProfileId::new("p:a"), at: Timestamp::from_ms(8000) });
        let auth = view(&stores);
        let stats = auth.view.profiles.usage(&ProfileId::new("p:a")).unwrap();
        assert_eq!((stats.last_used_ms, stats.error_count), (Some(8000.0), 1));
        assert!(stats.cooldown_until_ms.is_some());
    }

    #[test]
    fn a_store_that_cannot_be_written_loses_nothing() {
        let bench = Bench::new(Recording::Batched);
        bench.record("p:a", 1000, What::Used).unwrap();
        std::fs::write(bench.path(), "{ broken").unwrap();
        assert!(bench.record("p:b", 2000, limited()).is_err());
        assert_eq!(std::fs::read_to_string(bench.path()).unwrap(), "{ broken");
        std::fs::write(bench.path(), STORE).unwrap();
        run(bench.recorder.flush()).unwrap();
        assert_eq!(bench.on_disk("p:a", "lastUsed"), Some(1000.0));
        assert!(bench.on_disk("p:b", "cooldownUntil").is_some());
        assert!(bench.home.path().exists());
    }

    #[test]
    fn a_profile_of_another_store_is_left_alone() {
        let bench = Bench::new(Recording::AtOnce);
        bench.record("p:nowhere", 1000, What::Used).unwrap();
        assert_eq!(bench.on_disk("p:nowhere", "lastUsed"), None);
        let stores = Stores::default();
        let view = || stores.auth(&bench.state, &AgentId::main(), &|_| Vec::new()).unwrap();
        let before = view();
        stores.used(
            &bench.home.path().join("elsewhere"),
            &Pending { profile: ProfileId::new("p:a"), at: Timestamp::from_ms(1) },
        );
        assert!(Arc::ptr_eq(&before, &view()), "the view of an unchanged store is used again");
    }
}
