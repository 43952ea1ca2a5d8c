//! What the tests share: a state directory that is thrown away, and a provider that behaves like the real ones.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot prepare its world has nothing to report")]

pub(crate) mod idp;
pub(crate) mod issuer;
pub(crate) mod wire;

use std::path::{Path, PathBuf};

use auth_core::{AgentId, Config, Environment, ProfileId};
use auth_oauth::{Access, Endpoints, Need, OAuthError, ProviderSettings, RefreshMemory, Refresher, Subject, Transport};
use auth_store::{RealHost, StateLayout, WriteHost};
use serde_json::{Value, json};

use idp::Idp;

/// The beginning of the time of every test: far from the clock of the machine, which no verdict may depend on.
pub(crate) const NOW: i64 = 1_900_000_000_000;
/// Stands in every secret. It may be in the stores and in requests, nowhere else.
pub(crate) const CANARY: &str = "canary";
pub(crate) const HOUR: i64 = 3_600_000;

/// A state directory of its own, and everything around it.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) env: Environment,
    pub(crate) config: Config,
    pub(crate) endpoints: Endpoints,
    pub(crate) idp: Idp,
    pub(crate) memory: RefreshMemory,
    pub(crate) minimax_base_url: Option<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Idp::new())
    }

    pub(crate) fn with(idp: Idp) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = environment(dir.path());
        Self {
            dir,
            env,
            config: Config::default(),
            endpoints: Endpoints::default(),
            idp,
            memory: RefreshMemory::default(),
            minimax_base_url: None,
        }
    }

    pub(crate) fn layout(&self) -> StateLayout {
        StateLayout::resolve(&self.env, &RealHost)
    }

    pub(crate) fn agent_dir(&self, agent: &str) -> PathBuf {
        self.layout().agent_dir(&self.config, &AgentId::normalise(agent))
    }

    pub(crate) fn store_path(&self, agent: &str) -> PathBuf {
        self.agent_dir(agent).join("auth-profiles.json")
    }

    /// Writes the store of an agent as this program would.
    pub(crate) fn put(&self, agent: &str, profiles: &Value) {
        self.put_text(agent, &format!("{:#}\n", json!({"version": 1, "profiles": profiles})));
    }

    pub(crate) fn put_text(&self, agent: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.store_path(agent);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn text(&self, agent: &str) -> String {
        std::fs::read_to_string(self.store_path(agent)).unwrap()
    }

    pub(crate) fn profile(&self, agent: &str, id: &str) -> Value {
        let store: Value = serde_json::from_str(&self.text(agent)).unwrap();
        store["profiles"][id].clone()
    }

    pub(crate) fn settings(&self) -> ProviderSettings<'_> {
        ProviderSettings {
            environment: &self.env,
            host: &RealHost,
            endpoints: &self.endpoints,
            minimax_base_url: self.minimax_base_url.as_deref(),
        }
    }

    pub(crate) fn access(&self, agent: &str, id: &str, need: &Need) -> Result<Access, OAuthError> {
        self.access_by(agent, id, need, &RealHost, &self.idp, &self.memory)
    }

    /// As another process would: what this one remembers does not count.
    pub(crate) fn access_afresh(&self, agent: &str, id: &str) -> Result<Access, OAuthError> {
        self.access_by(agent, id, &Need::Use, &RealHost, &self.idp, &RefreshMemory::default())
    }

    pub(crate) fn access_by(
        &self,
        agent: &str,
        id: &str,
        need: &Need,
        host: &dyn WriteHost,
        net: &dyn Transport,
        memory: &RefreshMemory,
    ) -> Result<Access, OAuthError> {
        let layout = self.layout();
        let refresher =
            Refresher { layout: &layout, config: &self.config, host, settings: self.settings(), net, memory };
        let (agent, id) = (AgentId::normalise(agent), ProfileId::new(id));
        let dir = layout.agent_dir(&self.config, &agent);
        let result = refresher.access(Subject { agent: &agent, dir: &dir, id: &id }, need);
        if let Err(error) = &result {
            assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error:?}");
        }
        result
    }

    /// A login that the provider knows, already ended.
    pub(crate) fn login(&self, provider: &str) -> Value {
        self.login_until(provider, NOW - 1000)
    }

    pub(crate) fn login_until(&self, provider: &str, expires: i64) -> Value {
        let (access, refresh) = self.idp.issuer.login();
        entry(provider, &access, &refresh, expires)
    }

    /// No lock is left, and nothing else beside the stores.
    pub(crate) fn assert_clean(&self) {
        let left = files_below(self.dir.path());
        let odd: Vec<_> = left.iter().filter(|path| !path.ends_with("auth-profiles.json")).collect();
        assert!(odd.is_empty(), "left behind: {odd:?}");
    }
}

pub(crate) fn environment(home: &Path) -> Environment {
    Environment::from_process([("HOME".to_owned(), home.to_string_lossy().into_owned())])
}

/// A stored login.
pub(crate) fn entry(provider: &str, access: &str, refresh: &str, expires: i64) -> Value {
    json!({"type": "oauth", "provider": provider, "access": access, "refresh": refresh, "expires": expires})
}

/// The same with further fields.
pub(crate) fn and(mut entry: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("no object") };
    entry.as_object_mut().unwrap().extend(more);
    entry
}

pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o7777
}

pub(crate) fn token_of(access: &Access) -> &str {
    access.token.reveal()
}
