//! Reading the credential stores of an agent (spec 01 sections 5.2, 5.4, 5.5). Nothing here writes.

use std::path::{Path, PathBuf};

use auth_core::{AuthProfiles, Owner, RejectedEntry};

use crate::host::Host;
use crate::layout::StateLayout;
use crate::secure_file::reason;

/// The file name of a store.
pub const STORE_FILE: &str = "auth-profiles.json";
/// The largest store that is read, in bytes.
pub(crate) const MAX_STORE_BYTES: u64 = 256 * 1024 * 1024;

/// A store that could not be read. Its file stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {message}", path.display())]
pub struct StoreError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; holds no text of the file.
    pub message: String,
}

/// What one agent sees, and what was wrong on the way.
#[derive(Clone, Debug, Default)]
pub struct StoreView {
    /// The merged view.
    pub profiles: AuthProfiles,
    /// Stores that could not be read: the agent's own first.
    pub errors: Vec<StoreError>,
    /// Legacy files that count until a command that writes takes them over.
    pub legacy_files: Vec<PathBuf>,
}

impl StoreView {
    /// Entries that are kept but not used.
    pub fn rejected(&self) -> &[RejectedEntry] {
        self.profiles.rejected()
    }
}

/// Reads the view of the agent whose directory this is: its own entries over the main store's.
pub fn read_view(agent_dir: &Path, layout: &StateLayout, host: &dyn Host) -> StoreView {
    read_view_over(None, agent_dir, layout, host)
}

/// The same, with what the agent's own file holds when that was read already.
pub(crate) fn read_view_over(
    own: Option<&AuthProfiles>,
    agent_dir: &Path,
    layout: &StateLayout,
    host: &dyn Host,
) -> StoreView {
    let main_dir = layout.main_store_dir();
    let (own_path, main_path) = (agent_dir.join(STORE_FILE), main_dir.join(STORE_FILE));
    let read_own = || own.map_or_else(|| read_file(&own_path, host), |own| FileState::Store(Box::new(own.clone())));
    let mut view = StoreView::default();
    if is_same_place(&own_path, &main_path, host) || is_same_place(agent_dir, main_dir, host) {
        view.profiles = load(read_own(), main_dir, layout, host, &mut view);
        return view;
    }
    let (main_file, own_file) = (read_file(&main_path, host), read_own());
    // An agent without a store reads through main's; only without one do its legacy files count.
    let main_has_profiles = matches!(&main_file, FileState::Store(store) if !store.is_empty());
    let own = match own_file {
        FileState::Absent if main_has_profiles => AuthProfiles::default(),
        FileState::Broken(error) if main_has_profiles => {
            view.errors.push(error);
            AuthProfiles::default()
        }
        file => load(file, agent_dir, layout, host, &mut view),
    };
    let main = load(main_file, main_dir, layout, host, &mut view);
    view.profiles = AuthProfiles::merged(main.owned_by(Owner::Main), own);
    view
}

enum FileState {
    Absent,
    Store(Box<AuthProfiles>),
    Broken(StoreError),
}

fn read_file(path: &Path, host: &dyn Host) -> FileState {
    let broken = |message: String| FileState::Broken(StoreError { path: path.to_owned(), message });
    let bytes = match host.read(path, MAX_STORE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return FileState::Absent,
        Err(error) => return broken(reason(&error)),
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => return broken(format!("is not UTF-8 (byte {})", error.valid_up_to() + 1)),
    };
    match AuthProfiles::parse(text, Owner::Agent) {
        Ok(store) => FileState::Store(Box::new(store)),
        Err(error) => broken(error.to_string()),
    }
}

/// A store from its file, or in memory from the legacy files when there is none.
fn load(file: FileState, dir: &Path, layout: &StateLayout, host: &dyn Host, view: &mut StoreView) -> AuthProfiles {
    match file {
        FileState::Store(store) => return *store,
        FileState::Broken(error) => view.errors.push(error),
        FileState::Absent => {}
    }
    let legacy_file = dir.join("auth.json");
    let text = |path: &Path| String::from_utf8(host.read(path, MAX_STORE_BYTES).ok()?).ok();
    let mut store = text(&legacy_file).and_then(|text| AuthProfiles::parse_legacy(&text).ok()).unwrap_or_default();
    if !store.is_empty() {
        view.legacy_files.push(legacy_file);
    }
    let before = store.len();
    let oauth_file = layout.legacy_oauth_file();
    if let Some(text) = text(&oauth_file) {
        // A file that is no object has nothing to give; it is left as it is.
        let _ = store.add_legacy_oauth(&text);
    }
    if store.len() > before {
        view.legacy_files.push(oauth_file);
    }
    store
}

fn is_same_place(a: &Path, b: &Path, host: &dyn Host) -> bool {
    a == b || matches!((host.real_path(a), host.real_path(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MapHost;
    use auth_core::{Environment, ProfileId};

    const MAIN: &str = "/h/.openclaw/agents/main/agent";
    const TWO: &str = "/h/.openclaw/agents/two/agent";
    const KEY: &str = r#"{"profiles": {"a:x": {"type": "api_key", "provider": "a", "key": "k"}}}"#;

    fn view(host: &MapHost, dir: &str) -> StoreView {
        let layout = StateLayout::resolve(&Environment::from_process(host.variables()), host);
        read_view(Path::new(dir), &layout, host)
    }

    fn ids(view: &StoreView) -> Vec<&str> {
        view.profiles.iter().map(|p| p.id.as_str()).collect()
    }

    #[test]
    fn other_agents_read_through_main() {
        let host = MapHost::new("/h").file(&format!("{MAIN}/{STORE_FILE}"), KEY);
        let seen = view(&host, TWO);
        assert_eq!(ids(&seen), ["a:x"]);
        assert_eq!(seen.profiles.get(&ProfileId::new("a:x")).unwrap().owner, Owner::Main);
    }

    #[test]
    fn a_broken_store_is_reported_and_the_rest_goes_on() {
        let host = MapHost::new("/h")
            .file(&format!("{MAIN}/{STORE_FILE}"), KEY)
            .file(&format!("{TWO}/{STORE_FILE}"), "{ nope");
        let seen = view(&host, TWO);
        assert_eq!(ids(&seen), ["a:x"]);
        assert_eq!(seen.errors[0].path, Path::new(TWO).join(STORE_FILE));
        assert!(seen.errors[0].message.contains("line 1 column 3"), "{}", seen.errors[0].message);
    }

    #[test]
    fn legacy_files_count_until_a_store_exists() {
        let host = MapHost::new("/h")
            .file(&format!("{MAIN}/auth.json"), r#"{"a": {"type": "api_key", "key": "k"}}"#)
            .file("/h/.openclaw/credentials/oauth.json", r#"{"b": {"refresh": "r"}, "a": {"refresh": "r"}}"#);
        let seen = view(&host, MAIN);
        assert_eq!(ids(&seen), ["a:default", "b:default"]);
        assert_eq!(seen.legacy_files.len(), 2);
        let seen = view(&host.file(&format!("{MAIN}/{STORE_FILE}"), r#"{"profiles": {}}"#), MAIN);
        assert_eq!((ids(&seen).len(), seen.legacy_files.len()), (0, 0));
    }
}
