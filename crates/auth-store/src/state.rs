//! Everything that a command reads, read once.

use std::path::PathBuf;

use auth_core::config::AgentId;
use auth_core::{AmbientFacts, Config, Environment, RefState, ResolvedRefs, Situation, Timestamp};

use crate::config_file::{ConfigFile, ConfigInvalid, ConfigReading, read_config, read_config_leniently};
use crate::host::Host;
use crate::layout::StateLayout;
use crate::profiles_file::{STORE_FILE, StoreView, read_view, read_view_over};
use crate::secrets::{ExecPolicy, Resolver, report_references};
use crate::store_writer::OpenStore;
use crate::variables::{fill_zai, import_login_shell, load_dotenv};

/// The variables, places and settings of one run.
#[derive(Clone, Debug)]
pub struct State {
    /// Where everything is.
    pub layout: StateLayout,
    /// The variables of all sources.
    pub environment: Environment,
    /// The config.
    pub config: Config,
    /// Whether the login shell may be asked.
    pub shell_env_enabled: bool,
    /// Remarks for standard error.
    pub warnings: Vec<String>,
    ambient: AmbientFacts,
    now: Timestamp,
}

/// What there is before the config is read.
#[derive(Debug)]
pub struct Ground {
    /// The variables of the process and of every `.env` file.
    pub environment: Environment,
    /// Where everything is.
    pub layout: StateLayout,
    /// Remarks for standard error.
    pub warnings: Vec<String>,
}

impl Ground {
    /// Reads the variables and finds the places. `profile` is the value of `--profile`, already checked.
    pub fn open(host: &dyn Host, profile: Option<&str>) -> Self {
        let mut environment = Environment::from_process(host.variables());
        if let Some(profile) = profile {
            apply_profile(&mut environment, host, profile);
        }
        let layout = StateLayout::resolve(&environment, host);
        let mut warnings: Vec<String> = host
            .unreadable_variables()
            .into_iter()
            .filter(|name| concerns_us(name))
            .map(|name| format!("Warning: the value of {name} is not UTF-8 and is ignored"))
            .collect();
        warnings.extend(load_dotenv(&mut environment, &layout, host));
        // The files may have moved what is read from here on.
        let layout = StateLayout::resolve(&environment, host);
        Self { environment, layout, warnings }
    }
}

/// `--agent` named an agent that the config does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unknown agent id \"{id}\". Use \"openclaw agents list\" to see configured agents.")]
pub struct UnknownAgent {
    /// The id as written.
    pub id: String,
    /// The ids that there are.
    pub known: Vec<AgentId>,
}

/// One agent's credentials: the only input of every report and decision about it.
#[derive(Clone, Debug)]
pub struct AgentAuth {
    /// The agent; `None` when a variable gave a directory instead.
    pub agent: Option<AgentId>,
    /// Its directory.
    pub dir: PathBuf,
    /// What it sees.
    pub view: StoreView,
    refs: ResolvedRefs,
}

impl AgentAuth {
    /// Takes over what references resolved to before, so that no program is asked twice.
    #[must_use]
    pub fn keeping_answers_of(mut self, earlier: &Self) -> Self {
        for (reference, state) in earlier.refs.iter() {
            if matches!(self.refs.get(reference), RefState::NotRun) && self.refs.contains(reference) {
                self.refs.insert(reference.clone(), state.clone());
            }
        }
        self
    }

    /// The file of its own store.
    pub fn store_path(&self) -> PathBuf {
        self.dir.join(STORE_FILE)
    }
}

impl State {
    /// Reads variables, config and references. `profile` is the value of `--profile`, already checked.
    ///
    /// # Errors
    ///
    /// When the config cannot be used.
    pub fn load(host: &dyn Host, profile: Option<&str>) -> Result<Self, ConfigInvalid> {
        Self::read(Ground::open(host, profile), host).map(|(state, _)| state)
    }

    /// Reads config and references on top of what is known already. The second value is the config as its author wrote
    /// it: includes resolved, variables not.
    ///
    /// # Errors
    ///
    /// When the config cannot be used.
    pub fn read(ground: Ground, host: &dyn Host) -> Result<(Self, serde_json::Value), ConfigInvalid> {
        let Ground { mut environment, layout, warnings } = ground;
        let file = read_config(&layout, &mut environment, host)?;
        Ok(Self::of_config(environment, layout, warnings, file, host))
    }

    /// The same with a config that need not be valid: what does not fit is left out of the typed content.
    pub fn read_leniently(ground: Ground, host: &dyn Host) -> (Self, ConfigReading) {
        let Ground { mut environment, layout, warnings } = ground;
        let mut reading = read_config_leniently(&layout, &mut environment, host);
        let file = ConfigFile {
            config: reading.file.config.clone(),
            authored: serde_json::Value::Null,
            warnings: std::mem::take(&mut reading.file.warnings),
        };
        let (state, _) = Self::of_config(environment, layout, warnings, file, host);
        (state, reading)
    }

    fn of_config(
        mut environment: Environment,
        layout: StateLayout,
        mut warnings: Vec<String>,
        file: ConfigFile,
        host: &dyn Host,
    ) -> (Self, serde_json::Value) {
        warnings.extend(file.warnings);
        fill_zai(&mut environment);
        // The config may name directories too; itself and the state directory it cannot move any more.
        let layout = layout.with_directories_of(&environment);
        let (shell_env_enabled, shell_warning) = import_login_shell(&mut environment, &file.config, host);
        warnings.extend(shell_warning);
        let state = Self {
            ambient: ambient_facts(&environment, &layout, host),
            now: host.now(),
            layout,
            environment,
            config: file.config,
            shell_env_enabled,
            warnings,
        };
        (state, file.authored)
    }

    /// The agent that `--agent` names, or the default one. Blank counts as not given.
    ///
    /// # Errors
    ///
    /// When the config has no such agent.
    pub fn agent(&self, raw: Option<&str>) -> Result<AgentId, UnknownAgent> {
        let Some(raw) = raw.map(str::trim).filter(|raw| !raw.is_empty()) else {
            return Ok(self.config.default_agent().0);
        };
        let id = AgentId::normalise(raw);
        let known = self.config.known_agents();
        if known.contains(&id) { Ok(id) } else { Err(UnknownAgent { id: raw.to_owned(), known }) }
    }

    /// The credentials of an agent, as `models auth` commands see them (spec 01 section 1.4).
    ///
    /// # Errors
    ///
    /// When the config has no such agent.
    pub fn agent_auth(&self, raw: Option<&str>, host: &dyn Host) -> Result<AgentAuth, UnknownAgent> {
        let agent = self.agent(raw)?;
        let dir = self.layout.agent_dir(&self.config, &agent);
        Ok(self.auth_of(Some(agent), dir, ExecPolicy::Never, host))
    }

    /// The credentials that `models status` reports: without `--agent`, a directory given by a variable comes first.
    ///
    /// # Errors
    ///
    /// When the config has no such agent.
    pub fn status_auth(&self, raw: Option<&str>, host: &dyn Host) -> Result<AgentAuth, UnknownAgent> {
        let named = raw.is_some_and(|raw| !raw.trim().is_empty());
        match self.layout.agent_dir_override() {
            Some(dir) if !named => Ok(self.auth_of(None, dir.to_owned(), ExecPolicy::Never, host)),
            _ => self.agent_auth(raw, host),
        }
    }

    /// The credentials of an agent that may be one that the config does not have any more.
    pub fn auth_of_any(&self, agent: &AgentId, host: &dyn Host) -> AgentAuth {
        let dir = self.layout.agent_dir(&self.config, agent);
        self.auth_of(Some(agent.clone()), dir, ExecPolicy::Never, host)
    }

    /// Every agent: those of the config, the default one first, then those that only have a store on the disk.
    pub fn every_agent(&self, host: &dyn Host) -> Vec<AgentId> {
        let mut agents = vec![self.config.default_agent().0];
        agents.extend(self.config.known_agents());
        for dir in host.names_in(&self.layout.state_dir().join("agents")) {
            let Some(name) = dir.file_name().and_then(|name| name.to_str()) else { continue };
            let id = AgentId::normalise(name);
            if id.as_str() == name && host.exists(&dir.join("agent").join(STORE_FILE)) {
                agents.push(id);
            }
        }
        let mut seen = std::collections::HashSet::new();
        agents.retain(|id| seen.insert(id.clone()));
        agents
    }

    /// The credentials of the agent whose directory this is. `policy` says which programs references may run.
    pub fn auth_of(&self, agent: Option<AgentId>, dir: PathBuf, policy: ExecPolicy, host: &dyn Host) -> AgentAuth {
        self.auth_over(read_view(&dir, &self.layout, host), agent, dir, policy, host)
    }

    /// The same for an agent whose own store was opened already.
    pub fn auth_of_opened(
        &self,
        agent: AgentId,
        dir: PathBuf,
        own: &OpenStore,
        policy: ExecPolicy,
        host: &dyn Host,
    ) -> AgentAuth {
        let own = own.raw.is_some().then_some(&own.store);
        self.auth_over(read_view_over(own, &dir, &self.layout, host), Some(agent), dir, policy, host)
    }

    fn auth_over(
        &self,
        view: StoreView,
        agent: Option<AgentId>,
        dir: PathBuf,
        policy: ExecPolicy,
        host: &dyn Host,
    ) -> AgentAuth {
        let resolver = Resolver::new(&self.config.secrets, &self.environment, &self.layout, host, policy);
        let refs = resolver.resolve(&report_references(&self.config, &view.profiles));
        AgentAuth { agent, dir, view, refs }
    }

    /// Everything that a decision about this agent may look at.
    pub fn situation<'a>(&'a self, auth: &'a AgentAuth) -> Situation<'a> {
        Situation {
            config: &self.config,
            environment: &self.environment,
            ambient: self.ambient,
            store: &auth.view.profiles,
            refs: &auth.refs,
            now: self.now,
        }
    }

    /// What the references of an agent resolve to.
    pub fn refs<'a>(&self, auth: &'a AgentAuth) -> &'a ResolvedRefs {
        &auth.refs
    }

    /// The time of this run.
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

/// `--profile NAME` (spec 01 section 1.2): a state directory and a config file of its own, unless variables say where.
fn apply_profile(env: &mut Environment, host: &dyn Host, profile: &str) {
    let blank = |env: &Environment, name: &str| env.non_blank(name).is_none();
    if blank(env, "OPENCLAW_STATE_DIR") {
        let home = StateLayout::resolve(env, host).home().to_owned();
        let name = if profile.eq_ignore_ascii_case("default") { String::new() } else { format!("-{profile}") };
        env.set("OPENCLAW_STATE_DIR", home.join(format!(".openclaw{name}")).to_string_lossy().into_owned());
    }
    if blank(env, "OPENCLAW_CONFIG_PATH") {
        let state_dir = StateLayout::resolve(env, host).state_dir().to_owned();
        env.set("OPENCLAW_CONFIG_PATH", state_dir.join("openclaw.json").to_string_lossy().into_owned());
    }
    env.set("OPENCLAW_PROFILE", profile.to_owned());
}

/// Whether a variable that cannot be read would have been looked at.
fn concerns_us(name: &str) -> bool {
    let listed = |name: &str| auth_core::provider::PROVIDERS.iter().any(|info| info.env_vars.contains(&name));
    name.starts_with("OPENCLAW_") || name.starts_with("PI_") || name == "HOME" || listed(name)
}

/// What there is of Google's application default credentials (spec 02 section 6).
fn ambient_facts(env: &Environment, layout: &StateLayout, host: &dyn Host) -> AmbientFacts {
    let default = || layout.home().join(".config/gcloud/application_default_credentials.json");
    let path = env.counting("GOOGLE_APPLICATION_CREDENTIALS").map_or_else(default, |path| layout.user_path(path));
    let exists = host.exists(&path);
    AmbientFacts {
        google_adc_exists: exists,
        google_adc_readable: exists && host.read(&path, 16 * 1024 * 1024).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::MapHost;

    #[test]
    fn a_profile_has_a_directory_of_its_own() {
        let host = MapHost::new("/h").file("/h/.openclaw-Work/openclaw.json", "{}");
        let state = State::load(&host, Some("Work")).unwrap();
        assert_eq!(state.layout.state_dir(), Path::new("/h/.openclaw-Work"));
        assert_eq!(state.layout.config_path(), Path::new("/h/.openclaw-Work/openclaw.json"));
        assert_eq!(state.environment.get("OPENCLAW_PROFILE"), Some("Work"));
        let state = State::load(&MapHost::new("/h"), Some("DEFAULT")).unwrap();
        assert_eq!(state.layout.state_dir(), Path::new("/h/.openclaw"));
        let host = MapHost::new("/h").variable("OPENCLAW_STATE_DIR", "/st");
        assert_eq!(State::load(&host, Some("x")).unwrap().layout.config_path(), Path::new("/st/openclaw.json"));
    }

    #[test]
    fn a_file_may_move_what_is_read_after_it() {
        let host = MapHost::new("/h")
            .file("/h/.openclaw/.env", "OPENCLAW_CONFIG_PATH=~/alt.json\nOPENCLAW_AGENT_DIR=~/ad\n")
            .file("/h/alt.json", "{agents: {list: [{id: 'Ops Team'}]}}");
        let state = State::load(&host, None).unwrap();
        assert_eq!(state.status_auth(None, &host).unwrap().dir, Path::new("/h/ad"));
        assert_eq!(
            state.status_auth(Some("ops team"), &host).unwrap().dir,
            Path::new("/h/.openclaw/agents/ops-team/agent")
        );
        assert_eq!(state.agent_auth(None, &host).unwrap().agent.unwrap().as_str(), "ops-team");
        assert_eq!(state.agent(Some(" nope ")).unwrap_err().id, "nope");
    }
}
