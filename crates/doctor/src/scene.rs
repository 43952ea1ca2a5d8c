//! Everything that checks look at, read once. After a repair it is read again.

use std::path::{Path, PathBuf};

use auth_core::{AgentId, AuthProfiles, Config, ResolvedRefs, Situation, StoreDocument, Timestamp};
use auth_store::secrets::ExecPolicy;
use auth_store::{
    AgentAuth, ConfigReading, Ground, Host, OpenStore, STORE_FILE, State, StateLayout, StoreWriteError, open_store,
};
use serde_json::Value;

use crate::request::Request;

/// The state of the machine as checks see it.
#[derive(Debug)]
pub(crate) struct Scene {
    /// Variables, places, and the config as far as it can be used.
    pub(crate) state: State,
    /// The config with everything that is wrong with it.
    pub(crate) config: ConfigReading,
    /// The agents, sorted by id.
    pub(crate) agents: Vec<AgentScene>,
}

/// One agent.
#[derive(Debug)]
pub(crate) struct AgentScene {
    pub(crate) id: AgentId,
    pub(crate) dir: PathBuf,
    /// What it sees: its own entries over the main agent's.
    pub(crate) auth: AgentAuth,
    /// Its own store.
    pub(crate) own: Own,
}

/// The store of one agent.
#[derive(Debug)]
pub(crate) enum Own {
    /// There, or made in memory of legacy files, or empty.
    Open(Box<OpenStore>),
    /// There, but not to be changed: why.
    Closed(StoreWriteError),
}

impl Scene {
    /// Reads everything. `earlier` is what was seen before in the same run: the programs that references name are run
    /// once.
    pub(crate) fn look(host: &dyn Host, profile: Option<&str>, request: &Request, earlier: Option<&Self>) -> Self {
        let (state, config) = State::read_leniently(Ground::open(host, profile), host);
        let policy =
            if request.deep && !request.offline && earlier.is_none() { ExecPolicy::Allow } else { ExecPolicy::Never };
        let agents = agents_of(&state, host)
            .into_iter()
            .filter(|(id, _)| {
                request.agents.is_empty() || request.agents.iter().any(|raw| AgentId::normalise(raw) == *id)
            })
            .map(|(id, dir)| {
                let own = match open_store(&dir, &state.layout, host) {
                    Ok(open) => Own::Open(Box::new(open)),
                    Err(error) => Own::Closed(error),
                };
                let auth = match &own {
                    Own::Open(open) => state.auth_of_opened(id.clone(), dir.clone(), open, policy, host),
                    Own::Closed(_) => state.auth_of(Some(id.clone()), dir.clone(), policy, host),
                };
                let before = earlier.and_then(|earlier| earlier.agents.iter().find(|agent| agent.id == id));
                let auth = match before {
                    Some(before) => auth.keeping_answers_of(&before.auth),
                    None => auth,
                };
                AgentScene { id, dir, auth, own }
            })
            .collect();
        Self { state, config, agents }
    }

    pub(crate) fn layout(&self) -> &StateLayout {
        &self.state.layout
    }

    /// The config as far as it can be used.
    pub(crate) fn settings(&self) -> &Config {
        &self.state.config
    }

    /// The config as its author wrote it.
    pub(crate) fn authored(&self) -> &Value {
        &self.config.file.authored
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.state.now()
    }

    /// A path as shown to people.
    pub(crate) fn shorten(&self, path: &Path) -> String {
        self.layout().shorten(path)
    }

    /// Whether the gateway of another machine is used.
    pub(crate) fn is_remote(&self) -> bool {
        self.authored().pointer("/gateway/mode").and_then(Value::as_str) == Some("remote")
    }
}

impl AgentScene {
    /// The file of its store.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.dir.join(STORE_FILE)
    }

    /// Its own store, when that can be read.
    pub(crate) fn own(&self) -> Option<&OpenStore> {
        match &self.own {
            Own::Open(open) => Some(open),
            Own::Closed(_) => None,
        }
    }

    /// Its own entries; none when the store cannot be read.
    pub(crate) fn profiles(&self) -> Option<&AuthProfiles> {
        self.own().map(|open| &open.store)
    }

    /// Its own store for a change: what is on the disk, and the document. `None` when there is no file.
    pub(crate) fn document(&self) -> Option<(&str, StoreDocument)> {
        let open = self.own()?;
        Some((open.raw.as_deref()?, open.document.clone()))
    }

    /// Everything that a decision about it may look at.
    pub(crate) fn situation<'a>(&'a self, scene: &'a Scene) -> Situation<'a> {
        scene.state.situation(&self.auth)
    }

    pub(crate) fn refs<'a>(&'a self, scene: &'a Scene) -> &'a ResolvedRefs {
        scene.state.refs(&self.auth)
    }
}

/// Every agent with its directory, by id: those of the config, the default one, and those that have files
/// (spec 06 section 7).
fn agents_of(state: &State, host: &dyn Host) -> Vec<(AgentId, PathBuf)> {
    let dir_of = |id: &AgentId| match state.layout.agent_dir_override() {
        Some(dir) if *id == AgentId::main() => dir.to_owned(),
        _ => state.layout.agent_dir(&state.config, id),
    };
    let mut ids = state.config.known_agents();
    ids.push(state.config.default_agent().0);
    let has_files = |dir: &Path| [STORE_FILE, "auth.json"].iter().any(|name| host.exists(&dir.join(name)));
    if has_files(&dir_of(&AgentId::main())) {
        ids.push(AgentId::main());
    }
    let below = host.names_in(&state.layout.state_dir().join("agents"));
    ids.extend(below.iter().filter_map(|dir| {
        let id = AgentId::normalise(dir.file_name()?.to_str()?);
        (Some(id.as_str()) == dir.file_name()?.to_str() && has_files(&dir.join("agent"))).then_some(id)
    }));
    ids.sort();
    ids.dedup();
    let mut found: Vec<(AgentId, PathBuf)> = Vec::with_capacity(ids.len());
    for id in ids {
        let dir = dir_of(&id);
        let real = |dir: &Path| host.real_path(dir).unwrap_or_else(|_| dir.to_owned());
        if !found.iter().any(|(_, known)| real(known) == real(&dir)) {
            found.push((id, dir));
        }
    }
    found
}
