//! `models auth monitor units` (spec 06 section 14.3): what install writes.

use std::fmt::Write as _;
use std::path::PathBuf;

use auth_core::monitor::units::{
    Job, LAUNCHD_LABEL, UNIT, cron_line, env_file, launchd_agent, systemd_service, systemd_timer,
};
use auth_store::{Host, monitor_env_path};

use super::channel::given;
use super::named_agents;
use super::settings::{Settings, every_ms, file};
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::{Runner, Units};
use crate::output::{print_json, print_text};

/// Variables that say where the state is.
const PLACES: [&str; 4] = ["OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH", "OPENCLAW_AGENT_DIR"];

/// What there is to write.
pub(super) struct Plan {
    pub(super) job: Job,
    /// Files that everybody may read.
    pub(super) files: Vec<(PathBuf, String)>,
    /// The line of cron, when it is cron.
    pub(super) cron: Option<String>,
    pub(super) env_path: PathBuf,
    /// The content of the file of channels; none when no channel is set.
    pub(super) env: Option<String>,
    /// The variables in it.
    env_names: Vec<&'static str>,
}

impl Plan {
    pub(super) fn of(session: &Session, args: &Units, outer: Option<&str>) -> Result<Self, Failure> {
        let every_ms = every_ms(args.every.as_deref())?;
        let env_path = monitor_env_path(&session.state.layout);
        let job = Job {
            program: own_path()?,
            arguments: arguments(session, args, outer)?,
            variables: places(session, args.system),
            env_file: env_path.display().to_string(),
            writes: writes(session, args)?,
            user: args.system.then(|| owner_of_state(session)).flatten(),
            every_ms,
        };
        let (env, env_names) = channels(session, args)?;
        let mut plan = Self { job, files: Vec::new(), cron: None, env_path, env, env_names };
        match args.format {
            Runner::Systemd => {
                let [service, timer] = systemd_paths(session, args.system);
                plan.files = vec![(service, systemd_service(&plan.job)), (timer, systemd_timer(every_ms))];
            }
            Runner::Launchd => plan.files = vec![(launchd_path(session, args.system), launchd_agent(&plan.job))],
            Runner::Cron => plan.cron = Some(cron_line(&plan.job)),
        }
        Ok(plan)
    }
}

fn own_path() -> Result<String, Failure> {
    let path = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find out where this program is: {error}")))?;
    path.to_str().map(str::to_owned).ok_or_else(|| Failure::new("the path of this program is not UTF-8"))
}

/// The options that are no secret, as the units repeat them.
fn arguments(session: &Session, args: &Units, outer: Option<&str>) -> Result<Vec<String>, Failure> {
    let options = &args.options;
    let mut words: Vec<String> = Vec::new();
    let mut add = |option: &str, value: &str| {
        if value.starts_with('-') {
            words.push(format!("{option}={value}"));
        } else {
            words.extend([option.to_owned(), value.to_owned()]);
        }
    };
    for agent in named_agents(options, outer) {
        add("--agent", &agent);
    }
    for provider in &options.provider {
        add("--provider", provider);
    }
    for (option, value) in
        [("--warn", &options.warn), ("--min-interval", &options.min_interval), ("--remind", &options.remind)]
    {
        if let Some(value) = value {
            add(option, value);
        }
    }
    if let Some(path) = &options.prometheus {
        add("--prometheus", &file("--prometheus", path, session)?.display().to_string());
    }
    let flags = [
        ("--probe", options.probe),
        ("--full-ids", options.full_ids),
        ("--strict-notify", options.strict_notify),
        ("--allow-http", options.allow_http),
    ];
    words.extend(flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag.to_owned()));
    Ok(words)
}

/// Where the state is, when variables say so now; for a system service always.
fn places(session: &Session, system: bool) -> Vec<(String, String)> {
    let (environment, layout) = (&session.state.environment, &session.state.layout);
    let value = |name: &str| {
        let text = environment.non_blank(name)?;
        Some(match name {
            "OPENCLAW_STATE_DIR" => layout.state_dir().to_owned(),
            "OPENCLAW_CONFIG_PATH" => layout.config_path().to_owned(),
            _ => layout.user_path(text),
        })
    };
    let mut found: Vec<(String, String)> =
        PLACES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?.display().to_string()))).collect();
    if system && !found.iter().any(|(name, _)| name == "OPENCLAW_STATE_DIR") {
        found.push(("OPENCLAW_STATE_DIR".to_owned(), layout.state_dir().display().to_string()));
    }
    found
}

fn writes(session: &Session, args: &Units) -> Result<Vec<String>, Failure> {
    let mut dirs = vec![session.state.layout.state_dir().display().to_string()];
    if let Some(path) = &args.options.prometheus {
        let path = file("--prometheus", path, session)?;
        let dir = path.parent().unwrap_or(&path).display().to_string();
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    Ok(dirs)
}

/// A system service runs as the user whose state it is.
fn owner_of_state(session: &Session) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let owner = session.state.layout.state_dir().metadata().ok()?.uid();
    (owner != 0).then_some(owner)
}

/// The file of channels: what stands in it, and which variables.
fn channels(session: &Session, args: &Units) -> Result<(Option<String>, Vec<&'static str>), Failure> {
    let mut variables: Vec<(&'static str, String)> = Vec::new();
    for given in given(session, &args.options).iter().filter(|given| !given.values.is_empty()) {
        // Blanks separate addresses there; in one they are written otherwise.
        let one = |text: &String| {
            if given.variable == "NOTIFY_WEBHOOK" { text.trim().replace(' ', "%20") } else { text.trim().to_owned() }
        };
        let mut value = given.values.iter().map(one).collect::<Vec<_>>().join(" ");
        if given.variable.ends_with("_FILE") {
            value = session.state.layout.user_path(&value).display().to_string();
        }
        variables.push((given.variable, value));
    }
    if variables.is_empty() {
        return Ok((None, Vec::new()));
    }
    let names = variables.iter().map(|(name, _)| *name).collect();
    let text = env_file(&variables).ok_or_else(|| {
        Failure::with_fix("a channel holds a line break or another control character", "the same command without it")
    })?;
    Ok((Some(text), names))
}

/// The service and the timer.
pub(super) fn systemd_paths(session: &Session, system: bool) -> [PathBuf; 2] {
    let dir = if system {
        PathBuf::from("/etc/systemd/system")
    } else {
        let environment = &session.state.environment;
        let config = environment.non_blank("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        config.unwrap_or_else(|| os_home(session).join(".config")).join("systemd/user")
    };
    ["service", "timer"].map(|end| dir.join(format!("{UNIT}.{end}")))
}

/// The agent of launchd.
pub(super) fn launchd_path(session: &Session, system: bool) -> PathBuf {
    let dir =
        if system { PathBuf::from("/Library/LaunchDaemons") } else { os_home(session).join("Library/LaunchAgents") };
    dir.join(format!("{LAUNCHD_LABEL}.plist"))
}

/// The home directory as systemd and launchd know it.
fn os_home(session: &Session) -> PathBuf {
    let home = session.state.environment.non_blank("HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    home.or_else(|| session.host.account_home()).unwrap_or_else(|| session.state.layout.home().to_owned())
}

/// `units`: prints the files.
pub(super) fn print(session: &Session, args: &Units, outer: Option<&str>) -> Result<u8, Failure> {
    Settings::without_tokens(session, &args.options, outer)?;
    let plan = Plan::of(session, args, outer)?;
    if args.json {
        let files: Vec<_> = plan
            .files
            .iter()
            .map(|(path, text)| serde_json::json!({ "path": path.display().to_string(), "content": text }))
            .collect();
        let env = plan.env.as_ref().map(|_| plan.env_path.display().to_string());
        print_json(&serde_json::json!({
            "version": 1, "files": files, "cron": plan.cron, "envFile": env, "envVariables": plan.env_names,
        }))?;
        return Ok(0);
    }
    let mut text = String::new();
    for (path, content) in &plan.files {
        let _ = write!(text, "# {}\n{content}\n", path.display());
    }
    if let Some(line) = &plan.cron {
        let _ = write!(text, "# crontab -e\n{line}\n\n");
    }
    if !plan.env_names.is_empty() {
        let names = plan.env_names.join(", ");
        let path = plan.env_path.display();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# {path} (0600) holds what is sensitive: {names}");
        text.push_str("# install writes it; it is not shown.\n");
    }
    print_text(&text)?;
    Ok(0)
}
