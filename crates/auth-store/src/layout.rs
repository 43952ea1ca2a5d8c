//! Where the state of OpenClaw lives (spec 01 section 1).

use std::path::{Component, Path, PathBuf};

use auth_core::config::AgentId;
use auth_core::{Config, Environment};

use crate::host::Host;

/// The directories and files of one installation, resolved once.
#[derive(Clone, Debug)]
pub struct StateLayout {
    home: PathBuf,
    current_dir: PathBuf,
    state_dir: PathBuf,
    config_path: PathBuf,
    main_store_dir: PathBuf,
    agent_dir_override: Option<PathBuf>,
    oauth_dir: PathBuf,
    home_name: &'static str,
}

impl StateLayout {
    /// Resolves every place from the variables and from what exists.
    pub fn resolve(env: &Environment, host: &dyn Host) -> Self {
        let current_dir = host.current_dir();
        let home = home(env, host, &current_dir);
        let user_path = |text: &str| user_path(text, &home, &current_dir);
        let from = |name: &str| env.counting(name).map(user_path);

        let (modern, legacy) = (home.join(".openclaw"), home.join(".clawdbot"));
        let state_dir = from("OPENCLAW_STATE_DIR").unwrap_or_else(|| {
            if !host.exists(&modern) && host.exists(&legacy) { legacy.clone() } else { modern.clone() }
        });
        let config_path = from("OPENCLAW_CONFIG_PATH").unwrap_or_else(|| {
            let mut dirs = vec![&state_dir];
            if env.counting("OPENCLAW_STATE_DIR").is_none() {
                dirs.extend([&modern, &legacy]);
            }
            let names = ["openclaw.json", "clawdbot.json"];
            let mut places = dirs.into_iter().flat_map(|dir| names.map(|name| dir.join(name)));
            places.find(|path| host.exists(path)).unwrap_or_else(|| state_dir.join("openclaw.json"))
        });
        let agent_dir_override = from("OPENCLAW_AGENT_DIR").or_else(|| from("PI_CODING_AGENT_DIR"));
        let main_store_dir =
            agent_dir_override.clone().unwrap_or_else(|| state_dir.join("agents").join("main").join("agent"));
        let oauth_dir = from("OPENCLAW_OAUTH_DIR").unwrap_or_else(|| state_dir.join("credentials"));
        let home_name = if env.non_blank("OPENCLAW_HOME").is_some() { "$OPENCLAW_HOME" } else { "~" };
        Self { home, current_dir, state_dir, config_path, main_store_dir, agent_dir_override, oauth_dir, home_name }
    }

    /// The same installation with the agent and login directories that variables set later name.
    #[must_use]
    pub(crate) fn with_directories_of(self, env: &Environment) -> Self {
        let from = |name: &str| env.counting(name).map(|text| self.user_path(text));
        let agent_dir_override = from("OPENCLAW_AGENT_DIR").or_else(|| from("PI_CODING_AGENT_DIR"));
        let main_store_dir = agent_dir_override.clone().unwrap_or_else(|| self.main_store_dir.clone());
        let oauth_dir = from("OPENCLAW_OAUTH_DIR").unwrap_or_else(|| self.oauth_dir.clone());
        Self { main_store_dir, agent_dir_override, oauth_dir, ..self }
    }

    /// The home directory.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The state directory.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The config file, whether it exists or not.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// The directory of the store that every agent reads through.
    pub fn main_store_dir(&self) -> &Path {
        &self.main_store_dir
    }

    /// The directory that a variable puts in place of the default agent's for status reports.
    pub fn agent_dir_override(&self) -> Option<&Path> {
        self.agent_dir_override.as_deref()
    }

    /// The legacy file of logins.
    pub fn legacy_oauth_file(&self) -> PathBuf {
        self.oauth_dir.join("oauth.json")
    }

    /// The directory of an agent: its own setting, else its place below the state directory.
    pub fn agent_dir(&self, config: &Config, agent: &AgentId) -> PathBuf {
        match config.agent(agent).and_then(|entry| entry.agent_dir.as_deref()) {
            Some(dir) => self.user_path(dir),
            None => self.state_dir.join("agents").join(agent.as_str()).join("agent"),
        }
    }

    /// A path that a user wrote: trimmed, `~` expanded, absolute, without `.` and `..`.
    pub fn user_path(&self, text: &str) -> PathBuf {
        user_path(text, &self.home, &self.current_dir)
    }

    /// The path as shown to people: the home directory is `~`, or `$OPENCLAW_HOME` when that variable is set.
    pub fn shorten(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            Ok(rest) if rest.as_os_str().is_empty() => self.home_name.to_owned(),
            Ok(rest) if self.home != Path::new("/") => format!("{}/{}", self.home_name, rest.display()),
            _ => path.display().to_string(),
        }
    }
}

fn home(env: &Environment, host: &dyn Host, current_dir: &Path) -> PathBuf {
    let account = || {
        let words = ["undefined", "null"];
        host.account_home().filter(|home| !words.iter().any(|word| home == Path::new(word)))
    };
    let os_home = env
        .counting("HOME")
        .or_else(|| env.counting("USERPROFILE"))
        .map(PathBuf::from)
        .or_else(account)
        .unwrap_or_else(|| current_dir.to_owned());
    let os_home = normalise(&current_dir.join(os_home));
    match env.counting("OPENCLAW_HOME") {
        Some(text) => user_path(text, &os_home, current_dir),
        None => os_home,
    }
}

fn user_path(text: &str, home: &Path, current_dir: &Path) -> PathBuf {
    let text = text.trim();
    let expanded = match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with(['/', '\\']) => home.join(rest[1..].trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    normalise(&current_dir.join(expanded))
}

/// Removes `.`, `..` and trailing slashes without looking at the disk.
pub(crate) fn normalise(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MapHost;

    fn layout(host: &MapHost) -> StateLayout {
        StateLayout::resolve(&Environment::from_process(host.variables()), host)
    }

    #[test]
    fn the_legacy_directory_counts_only_when_alone() {
        let host = MapHost::new("/home/u").file("/home/u/.clawdbot/clawdbot.json", "{}");
        assert_eq!(layout(&host).state_dir(), Path::new("/home/u/.clawdbot"));
        assert_eq!(layout(&host).config_path(), Path::new("/home/u/.clawdbot/clawdbot.json"));
        let host = host.file("/home/u/.openclaw/x", "");
        assert_eq!(layout(&host).state_dir(), Path::new("/home/u/.openclaw"));
        assert_eq!(layout(&host).config_path(), Path::new("/home/u/.clawdbot/clawdbot.json"));
        let host = host.variable("OPENCLAW_STATE_DIR", " ~/st/ ");
        assert_eq!(layout(&host).config_path(), Path::new("/home/u/st/openclaw.json"));
    }

    #[test]
    fn openclaw_home_moves_the_tilde() {
        let host =
            MapHost::new("/home/u").variable("OPENCLAW_HOME", "~/oc").variable("OPENCLAW_AGENT_DIR", "~/ad/../x");
        let layout = layout(&host);
        assert_eq!(layout.state_dir(), Path::new("/home/u/oc/.openclaw"));
        assert_eq!(layout.main_store_dir(), Path::new("/home/u/oc/x"));
        assert_eq!(layout.shorten(Path::new("/home/u/oc/x")), "$OPENCLAW_HOME/x");
        assert_eq!(layout.shorten(Path::new("/home/u/ocean")), "/home/u/ocean");
    }

    #[test]
    fn blank_and_left_over_words_do_not_count() {
        let host = MapHost::new("/home/u").variable("OPENCLAW_HOME", "undefined").variable("OPENCLAW_STATE_DIR", "  ");
        let layout = layout(&host);
        assert_eq!(layout.state_dir(), Path::new("/home/u/.openclaw"));
        assert_eq!(layout.shorten(layout.state_dir()), "$OPENCLAW_HOME/.openclaw");
        assert_eq!(layout.user_path("~name/x"), Path::new("/home/u/~name/x"));
        assert_eq!(layout.user_path("~"), Path::new("/home/u"));
    }
}
