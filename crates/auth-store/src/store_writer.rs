//! Changing a credential store: lock, read again, change one thing, replace (spec 01 sections 5.3 to 5.5).

use std::path::{Path, PathBuf};

use auth_core::{AuthProfiles, Owner, ProfileId, StoreDocument, StoreEditError};

use crate::host::Host;
use crate::layout::StateLayout;
use crate::lock::{LockError, LockGuard, lock, lock_unless};
use crate::profiles_file::{MAX_STORE_BYTES, STORE_FILE};
use crate::replace::{WriteError, make_parent, replace};
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// Forbids every change of a store.
const READONLY: &str = "OPENCLAW_AUTH_STORE_READONLY";

/// Why a store was not changed. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreWriteError {
    /// A variable forbids it.
    #[error("{READONLY} is set, so no credential store is changed. Unset it to go on.")]
    ReadOnly,
    /// The lock was not had.
    #[error("Failed to update auth-profiles.json{hint}. {0}", hint = .0.hint())]
    Lock(#[from] LockError),
    /// The file is there but cannot be taken for a store.
    #[error("auth-profiles.json is not valid ({} {why}); run openclaw doctor", path.display())]
    NotValid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; holds no text of the file.
        why: String,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a change of a store did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreChange {
    /// Whether the file is different now, or would be in a dry run.
    pub changed: bool,
    /// How many profiles came in from legacy files.
    pub imported: usize,
    /// What else the user should know.
    pub notes: Vec<String>,
}

/// Whether a change is made or only shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Made.
    Real,
    /// Checked and reported, but not written.
    Dry,
}

/// The store of one agent, open for a change.
#[derive(Clone, Copy)]
pub struct StoreWriter<'a> {
    dir: &'a Path,
    layout: &'a StateLayout,
    host: &'a dyn WriteHost,
    read_only: bool,
}

impl std::fmt::Debug for StoreWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreWriter").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl<'a> StoreWriter<'a> {
    /// A writer for the agent whose directory this is.
    pub fn new(dir: &'a Path, layout: &'a StateLayout, env: &auth_core::Environment, host: &'a dyn WriteHost) -> Self {
        let read_only = env.get(READONLY).is_some_and(|value| value.trim() == "1");
        Self { dir, layout, host, read_only }
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.dir.join(STORE_FILE)
    }

    /// Whether stores may be changed at all.
    ///
    /// # Errors
    ///
    /// When a variable forbids it.
    pub(crate) fn check_allowed(&self) -> Result<(), StoreWriteError> {
        if self.read_only { Err(StoreWriteError::ReadOnly) } else { Ok(()) }
    }

    /// Takes the lock of the store, creating its directory.
    ///
    /// # Errors
    ///
    /// When writing is forbidden, or somebody else keeps the lock.
    pub fn lock(&self) -> Result<LockGuard<'a>, StoreWriteError> {
        self.check_allowed()?;
        make_parent(&self.path(), self.host)?;
        Ok(lock(&self.path(), self.host)?)
    }

    /// As [`lock`](Self::lock), but gives up waiting, with `None`, as soon as `settled` says that the lock is not
    /// needed any more. It is asked before every pause, so that other locks can be renewed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_unless(&self, settled: &mut dyn FnMut() -> bool) -> Result<Option<LockGuard<'a>>, StoreWriteError> {
        self.check_allowed()?;
        make_parent(&self.path(), self.host)?;
        Ok(lock_unless(&self.path(), self.host, settled)?)
    }

    /// Reads the store as it is now, with the legacy files taken over when there is none yet.
    ///
    /// # Errors
    ///
    /// When the file is there but is no store that may be rewritten.
    pub fn read(&self) -> Result<OpenStore, StoreWriteError> {
        open_store(self.dir, self.layout, self.host)
    }

    /// Writes the store if it changed, and then puts a legacy file that was taken over out of the way. The guard shows
    /// that the lock is held; without one it is a dry run: checked, but not written. `touched` names the profiles that
    /// the change is about.
    ///
    /// # Errors
    ///
    /// When the change would lose something it is not about, or the file cannot be written.
    pub fn write(
        &self,
        guard: Option<&LockGuard<'_>>,
        open: &OpenStore,
        touched: &[&ProfileId],
    ) -> Result<StoreChange, StoreWriteError> {
        let path = self.path();
        let text = open.document.to_text(touched).map_err(|error: StoreEditError| StoreWriteError::NotValid {
            path: path.clone(),
            why: error.to_string(),
        })?;
        let changed = open.document.is_changed();
        let mut change = StoreChange {
            changed,
            imported: open.legacy.map_or(0, |import| import.from_auth + import.from_oauth),
            notes: Vec::new(),
        };
        if let Some(guard) = guard.filter(|_| changed) {
            replace(guard, &path, text.as_bytes(), self.host)?;
            change.notes.extend(open.legacy.and_then(|import| self.retire_legacy(import, &text)));
        }
        Ok(change)
    }

    /// Removes `auth.json` after its content was read back from the store, or sets it aside when it holds entries that
    /// could not be taken over. Returns what to tell.
    fn retire_legacy(&self, import: LegacyCounts, written: &str) -> Option<String> {
        if import.from_auth == 0 {
            return None;
        }
        let old = self.dir.join("auth.json");
        let read_back = self.host.read(&self.path(), MAX_STORE_BYTES).is_ok_and(|bytes| bytes == written.as_bytes());
        if !read_back {
            return Some(format!(
                "{} was left where it is: the new store could not be read back",
                self.layout.shorten(&old)
            ));
        }
        if import.rejected == 0 {
            return self.host.remove(&old).err().map(|error| {
                format!("{} was taken over but could not be removed: {}", self.layout.shorten(&old), reason(&error))
            });
        }
        let aside = (0..1000)
            .map(|n| if n == 0 { "auth.json.imported".to_owned() } else { format!("auth.json.imported.{n}") })
            .map(|name| self.dir.join(name))
            .find(|path| !self.host.exists(path))?;
        let moved = self.host.set_mode(&old, 0o600).and_then(|()| self.host.rename(&old, &aside));
        Some(match moved {
            Ok(()) => format!(
                "{} entries of auth.json cannot be used; the file is now {}",
                import.rejected,
                self.layout.shorten(&aside)
            ),
            Err(error) => format!("{} could not be renamed: {}", self.layout.shorten(&old), reason(&error)),
        })
    }
}

/// Opens the store of the agent whose directory this is, with the legacy files taken over when there is none yet.
///
/// # Errors
///
/// When the file is there but is no store that may be rewritten.
pub fn open_store(dir: &Path, layout: &StateLayout, host: &dyn Host) -> Result<OpenStore, StoreWriteError> {
    let path = dir.join(STORE_FILE);
    let invalid = |why: String| StoreWriteError::NotValid { path: path.clone(), why };
    match host.read(&path, MAX_STORE_BYTES) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| invalid("is not UTF-8".to_owned()))?;
            let (document, store) =
                StoreDocument::parse_with_profiles(&text).map_err(|error| invalid(error.to_string()))?;
            Ok(OpenStore { document, store, legacy: None, raw: Some(text) })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(open_legacy(dir, layout, host)),
        Err(error) => Err(invalid(reason(&error))),
    }
}

fn open_legacy(dir: &Path, layout: &StateLayout, host: &dyn Host) -> OpenStore {
    let text = |path: &Path| match host.read(path, MAX_STORE_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).ok(),
        Err(_) => None,
    };
    // An agent that reads through main's profiles has no legacy files of its own to take over.
    let main = layout.main_store_dir().join(STORE_FILE);
    let main_has_profiles = main != dir.join(STORE_FILE)
        && text(&main).is_some_and(|text| AuthProfiles::parse(&text, Owner::Main).is_ok_and(|store| !store.is_empty()));
    let empty =
        || OpenStore { document: StoreDocument::empty(), store: AuthProfiles::default(), legacy: None, raw: None };
    if main_has_profiles {
        return empty();
    }
    let auth_path = dir.join("auth.json");
    let auth = text(&auth_path).filter(|text| AuthProfiles::parse_legacy(text).is_ok());
    let oauth = text(&layout.legacy_oauth_file()).filter(|text| AuthProfiles::default().add_legacy_oauth(text).is_ok());
    let Ok(import) = StoreDocument::import_legacy(auth.as_deref(), oauth.as_deref()) else { return empty() };
    if import.from_auth + import.from_oauth == 0 {
        return empty();
    }
    let parsed = import.document.to_text(&[]).ok().and_then(|text| AuthProfiles::parse(&text, Owner::Agent).ok());
    let counts = LegacyCounts { from_auth: import.from_auth, from_oauth: import.from_oauth, rejected: import.rejected };
    OpenStore { document: import.document, store: parsed.unwrap_or_default(), legacy: Some(counts), raw: None }
}

/// A store as read, open for a change.
pub struct OpenStore {
    /// Its text, open for changes.
    pub document: StoreDocument,
    /// Its content.
    pub store: AuthProfiles,
    /// What the legacy files gave, when it was made of them.
    pub legacy: Option<LegacyCounts>,
    /// The text of the file; `None` when there is none.
    pub raw: Option<String>,
}

impl std::fmt::Debug for OpenStore {
    /// Prints no text of the file: it is secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenStore").field("document", &self.document).finish_non_exhaustive()
    }
}

/// How many entries came from the legacy files.
#[derive(Clone, Copy, Debug)]
pub struct LegacyCounts {
    /// From `auth.json`.
    pub from_auth: usize,
    /// From `oauth.json`.
    pub from_oauth: usize,
    /// Entries of `auth.json` that cannot be used.
    pub rejected: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_host::faulty::{Fault, FaultyHost};
    use auth_core::{Environment, ProviderId};
    use serde_json::json;

    struct Bench {
        dir: tempfile::TempDir,
        agent: PathBuf,
        host: FaultyHost,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let agent = dir.path().join(".openclaw/agents/main/agent");
            std::fs::create_dir_all(&agent).unwrap();
            Self { host: FaultyHost::new(dir.path()), agent, dir }
        }

        fn with<T>(&self, act: impl FnOnce(&StoreWriter<'_>) -> T) -> T {
            use crate::host::Host;
            let env = Environment::from_process(self.host.variables());
            let layout = StateLayout::resolve(&env, &self.host);
            act(&StoreWriter::new(&self.agent, &layout, &env, &self.host))
        }

        fn file(&self, name: &str, text: &str) {
            let path = self.agent.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        /// Stores one more profile.
        fn add(&self, id: &str) -> Result<StoreChange, StoreWriteError> {
            self.with(|writer| {
                let guard = writer.lock()?;
                let mut open = writer.read()?;
                let id = ProfileId::new(id);
                open.document
                    .put_profile(&id, &[("type", json!("token")), ("provider", json!("p")), ("token", json!("t"))]);
                writer.write(Some(&guard), &open, &[&id])
            })
        }

        fn ids(&self) -> Vec<String> {
            let text = std::fs::read_to_string(self.agent.join(STORE_FILE)).unwrap_or_default();
            AuthProfiles::parse(&text, Owner::Agent)
                .map(|s| s.iter().map(|p| p.id.to_string()).collect())
                .unwrap_or_default()
        }
    }

    #[test]
    fn legacy_files_are_taken_over_before_the_first_write() {
        let bench = Bench::new();
        bench.file("auth.json", r#"{"a": {"type": "api_key", "key": "k"}, "bad": 1}"#);
        bench.file("../../../credentials/oauth.json", r#"{"o": {"refresh": "r"}}"#);
        let change = bench.add("new").unwrap();
        assert_eq!(
            (change.imported, bench.ids()),
            (2, vec!["a:default".to_owned(), "o:default".to_owned(), "new".to_owned()])
        );
        assert!(!bench.agent.join("auth.json").exists() && bench.agent.join("auth.json.imported").exists());
        assert!(change.notes[0].contains("auth.json.imported"), "{:?}", change.notes);
        assert_eq!(bench.add("again").unwrap().imported, 0);
    }

    #[test]
    fn nothing_changes_in_a_store_that_cannot_be_read_or_is_newer() {
        for text in ["{ broken", r#"{"version": 2, "profiles": {}}"#, "[]"] {
            let bench = Bench::new();
            bench.file(STORE_FILE, text);
            let error = bench.add("x").unwrap_err().to_string();
            assert!(error.contains("auth-profiles.json is not valid") && error.contains("openclaw doctor"), "{error}");
            assert_eq!(std::fs::read_to_string(bench.agent.join(STORE_FILE)).unwrap(), text);
        }
    }

    #[test]
    fn no_change_is_no_write_and_an_empty_store_is_not_made() {
        let bench = Bench::new();
        let clear = |bench: &Bench| {
            bench.with(|writer| {
                let guard = writer.lock().unwrap();
                let mut open = writer.read().unwrap();
                open.document.set_order(&ProviderId::normalise("p"), None);
                writer.write(Some(&guard), &open, &[]).unwrap().changed
            })
        };
        assert!(!clear(&bench) && !bench.agent.join(STORE_FILE).exists());
        bench.add("a").unwrap();
        bench.host.steps.borrow_mut().clear();
        assert!(!clear(&bench));
        assert!(!bench.host.steps.borrow().iter().any(|step| step == "rename"));
    }

    #[test]
    fn a_variable_forbids_writing() {
        let mut bench = Bench::new();
        bench.host.variables.push((READONLY.to_owned(), "1".to_owned()));
        assert!(bench.add("x").unwrap_err().to_string().contains(READONLY));
    }

    /// The import with its removal, stopped at every step: no profile is ever lost.
    #[test]
    fn kill_matrix_of_an_import() {
        for step in 0..12 {
            for fault in [Fault::Kill(step), Fault::Error(step, 28), Fault::Error(step, 13)] {
                let bench = Bench::new();
                bench.file("auth.json", r#"{"a": {"type": "api_key", "key": "k"}}"#);
                bench.host.fault.set(fault);
                let _ = bench.add("new");
                bench.host.fault.set(Fault::None);
                let lock = bench.agent.join("auth-profiles.json.lock");
                if lock.exists() {
                    let text = std::fs::read_to_string(&lock).unwrap();
                    std::fs::write(&lock, text.replace(&std::process::id().to_string(), "999999999")).unwrap();
                }
                bench.add("later").unwrap();
                let ids = bench.ids();
                assert!(
                    ids.contains(&"a:default".to_owned()) && ids.contains(&"later".to_owned()),
                    "{fault:?}: {ids:?}"
                );
            }
        }
        drop(Bench::new().dir);
    }
}
