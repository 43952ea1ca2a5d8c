//! `models auth monitor units|install|uninstall|status` (spec 06 section 14.3).

use std::path::{Path, PathBuf};

use auth_core::monitor::units::{
    Job, LAUNCHD_LABEL, MARKER, UNIT, cron_line, env_file, launchd_agent, systemd_service, systemd_timer,
};
use auth_store::{Host, WriteHost, monitor_env_path, write_private, write_public};

use super::channel::given;
use super::runner::{cron_table, launchctl, no_runner, set_cron_table, systemctl, warn_without_linger};
use super::settings::{Settings, every_ms, file};
use super::named_agents;
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::{Runner, Units};
use crate::output::{Page, plain, print_json, print_text};

pub(super) use super::unit_status::status;

/// The largest unit file that is looked at, in bytes.
const MAX_UNIT: u64 = 1024 * 1024;
/// Variables that say where the state is.
const PLACES: [&str; 4] = ["OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH", "OPENCLAW_AGENT_DIR"];

/// What there is to write.
pub(super) struct Plan {
    job: Job,
    /// Files that everybody may read.
    files: Vec<(PathBuf, String)>,
    /// The line of cron, when it is cron.
    cron: Option<String>,
    env_path: PathBuf,
    /// The content of the file of channels; none when no channel is set.
    env: Option<String>,
    /// The variables in it.
    env_names: Vec<&'static str>,
}

impl Plan {
    fn of(session: &Session, args: &Units, outer: Option<&str>) -> Result<Self, Failure> {
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
    let mut found: Vec<(String, String)> = PLACES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), value(name)?.display().to_string())))
        .collect();
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
        let mut value = given.values.join(" ");
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
        text.push_str(&format!("# {}\n{content}\n", path.display()));
    }
    if let Some(line) = &plan.cron {
        text.push_str(&format!("# crontab -e\n{line}\n\n"));
    }
    if !plan.env_names.is_empty() {
        let names = plan.env_names.join(", ");
        text.push_str(&format!(
            "# {} (0600) holds what is sensitive: {names}\n# install writes it; it is not shown.\n",
            plan.env_path.display()
        ));
    }
    print_text(&text)?;
    Ok(0)
}

/// A file before it was changed.
struct Before {
    path: PathBuf,
    old: Option<Vec<u8>>,
}

/// `install`: writes the files and switches them on.
pub(super) fn install(session: &Session, args: &Units, outer: Option<&str>) -> Result<u8, Failure> {
    Settings::read(session, &args.options, outer)?;
    let plan = Plan::of(session, args, outer)?;
    let mut paths: Vec<&Path> = plan.files.iter().map(|(path, _)| path.as_path()).collect();
    paths.push(&plan.env_path);
    refuse_foreign(session, &paths, args.force, "install")?;
    let mut page = Page::for_stdout(session.no_color);
    if args.dry_run {
        page.line(0, &[plain("Dry run: nothing was written.")]);
        for (path, _) in &plan.files {
            page.line(2, &[plain(format!("would write {}", path.display()))]);
        }
        if plan.env.is_some() {
            page.line(2, &[plain(format!("would write {} (0600)", plan.env_path.display()))]);
        }
        if let Some(line) = &plan.cron {
            page.line(2, &[plain(format!("would add to the table of cron: {line}"))]);
        }
        page.print()?;
        return Ok(0);
    }
    // Whether it can be switched on is known before anything is written.
    let runner = if args.no_enable { None } else { Some(RunnerAt::find(session, args, &plan)?) };
    let mut before: Vec<Before> = Vec::new();
    if let Err(failure) = write_files(session, &plan, &mut before)
        .and_then(|()| runner.as_ref().map_or(Ok(()), |runner| runner.enable(session, args, &plan)))
    {
        put_back(session, before);
        return Err(failure);
    }
    for (path, _) in &plan.files {
        page.line(2, &[plain(format!("wrote {}", path.display()))]);
    }
    if plan.env.is_some() {
        page.line(2, &[plain(format!("wrote {} (0600)", plan.env_path.display()))]);
    }
    if let Some(line) = &plan.cron {
        let what = if runner.is_some() { "added to the table of cron" } else { "add this line with crontab -e" };
        page.line(2, &[plain(format!("{what}: {line}"))]);
    }
    let every = auth_core::monitor::written_length(plan.job.every_ms);
    let on = match (&runner, args.format) {
        (Some(_), _) => format!("on: a pass every {every}"),
        (None, Runner::Systemd) => {
            let user = if args.system { "" } else { " --user" };
            format!("not switched on: systemctl{user} enable --now {UNIT}.timer")
        }
        (None, _) => "not switched on".to_owned(),
    };
    page.line(2, &[plain(on)]);
    page.print()?;
    if runner.is_some() && args.format == Runner::Systemd && !args.system {
        warn_without_linger(session);
    }
    Ok(0)
}

/// What switches units on.
enum RunnerAt {
    Systemctl(PathBuf),
    Launchctl(PathBuf),
    Crontab(PathBuf),
}

impl RunnerAt {
    fn find(session: &Session, args: &Units, plan: &Plan) -> Result<Self, Failure> {
        let found = |name: &str| super::system::find_program(session, name);
        let launchctl = || Some(PathBuf::from("/bin/launchctl")).filter(|path| path.exists());
        let found = match args.format {
            Runner::Systemd => found("systemctl").map(Self::Systemctl),
            Runner::Launchd => launchctl().map(Self::Launchctl),
            Runner::Cron if args.system => {
                return Err(Failure::with_fix(
                    "tables of cron belong to users",
                    "openclaw models auth monitor install --format cron",
                ));
            }
            Runner::Cron => found("crontab").map(Self::Crontab),
        };
        found.ok_or_else(|| no_runner(args.format, &cron_line(&plan.job)))
    }

    fn enable(&self, session: &Session, args: &Units, plan: &Plan) -> Result<(), Failure> {
        let cron = cron_line(&plan.job);
        match self {
            Self::Systemctl(path) => {
                let timer = format!("{UNIT}.timer");
                systemctl(session, path, args.system, &["daemon-reload"], &cron)?;
                systemctl(session, path, args.system, &["enable", "--now", &timer], &cron)
            }
            Self::Launchctl(path) => {
                let plist = launchd_path(session, args.system).display().to_string();
                launchctl(session, path, args.system, "bootstrap", &plist, &cron)
            }
            Self::Crontab(path) => {
                let line = plan.cron.clone().unwrap_or_default();
                set_cron_table(session, path, &cron_table(session, path)?, Some(&line))
            }
        }
    }
}

fn write_files(session: &Session, plan: &Plan, before: &mut Vec<Before>) -> Result<(), Failure> {
    let host = &session.host;
    let failed = |error: auth_store::WriteError| {
        Failure::with_fix(error, "openclaw models auth monitor units, and put the files in place by hand")
    };
    let mut keep = |path: &Path| {
        before.push(Before { path: path.to_owned(), old: host.read(path, MAX_UNIT).ok() });
    };
    match &plan.env {
        Some(text) => {
            keep(&plan.env_path);
            write_private(&plan.env_path, text.as_bytes(), host).map_err(failed)?;
        }
        // Channels of an earlier installation are not those of this one.
        None if host.exists(&plan.env_path) => {
            keep(&plan.env_path);
            remove(session, &plan.env_path)?;
        }
        None => {}
    }
    for (path, text) in &plan.files {
        let dir = path.parent().unwrap_or(path);
        if !host.exists(dir) {
            host.make_dir(dir).map_err(|error| {
                Failure::new(format!("cannot make the directory {}: {error}", dir.display()))
            })?;
        }
        keep(path);
        write_public(path, text.as_bytes(), host).map_err(failed)?;
    }
    Ok(())
}

fn put_back(session: &Session, before: Vec<Before>) {
    let host = &session.host;
    for file in before.into_iter().rev() {
        // More than to try cannot be done.
        let private = file.path == monitor_env_path(&session.state.layout);
        let _ = match file.old {
            Some(old) if private => write_private(&file.path, &old, host),
            Some(old) => write_public(&file.path, &old, host),
            None => {
                let _ = host.remove(&file.path);
                Ok(())
            }
        };
    }
}

fn remove(session: &Session, path: &Path) -> Result<(), Failure> {
    session.host.remove(path).map_err(|error| Failure::new(format!("cannot remove {}: {error}", path.display())))
}

/// Refuses to touch files that do not carry our mark.
fn refuse_foreign(session: &Session, paths: &[&Path], force: bool, command: &str) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    for path in paths.iter().filter(|path| session.host.exists(path)) {
        let ours = session
            .host
            .read(path, MAX_UNIT)
            .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(MARKER));
        if !ours {
            return Err(Failure::with_fix(
                format!("{} was not written by this program; it is left as it is", path.display()),
                format!("openclaw models auth monitor {command} --force"),
            ));
        }
    }
    Ok(())
}

/// `uninstall`: switches off and removes.
pub(super) fn uninstall(session: &Session, args: &Units) -> Result<u8, Failure> {
    let env_path = monitor_env_path(&session.state.layout);
    let mut paths = match args.format {
        Runner::Systemd => systemd_paths(session, args.system).to_vec(),
        Runner::Launchd => vec![launchd_path(session, args.system)],
        Runner::Cron => Vec::new(),
    };
    let units = paths.clone();
    paths.push(env_path);
    let crontab = (args.format == Runner::Cron && !args.no_enable)
        .then(|| super::system::find_program(session, "crontab"))
        .flatten();
    let table = crontab.as_ref().map(|path| cron_table(session, path)).transpose()?;
    let in_table = table.as_ref().is_some_and(|table| table.lines().any(|line| line.ends_with(&format!("# {UNIT}"))));
    let there: Vec<PathBuf> = paths.into_iter().filter(|path| session.host.exists(path)).collect();
    if there.is_empty() && !in_table {
        return Err(Failure::with_fix("nothing is installed", "openclaw models auth monitor status"));
    }
    let as_paths: Vec<&Path> = there.iter().map(PathBuf::as_path).collect();
    refuse_foreign(session, &as_paths, args.force, "uninstall")?;
    let mut page = Page::for_stdout(session.no_color);
    if args.dry_run {
        page.line(0, &[plain("Dry run: nothing was removed.")]);
        for path in &there {
            page.line(2, &[plain(format!("would remove {}", path.display()))]);
        }
        page.print()?;
        return Ok(0);
    }
    let enabled = !args.no_enable && units.iter().any(|unit| there.contains(unit));
    let systemd = (enabled && args.format == Runner::Systemd)
        .then(|| super::system::find_program(session, "systemctl"))
        .flatten();
    if let Some(path) = &systemd {
        let timer = format!("{UNIT}.timer");
        if let Err(failure) = systemctl(session, path, args.system, &["disable", "--now", &timer], "") {
            session.warn(&failure.message);
        }
    }
    if enabled && args.format == Runner::Launchd {
        let label = LAUNCHD_LABEL.to_owned();
        if let Err(failure) = launchctl(session, Path::new("/bin/launchctl"), args.system, "bootout", &label, "") {
            session.warn(&failure.message);
        }
    }
    if let (Some(path), Some(table), true) = (&crontab, &table, in_table) {
        set_cron_table(session, path, table, None)?;
        page.line(2, &[plain("removed the line from the table of cron")]);
    }
    for path in &there {
        remove(session, path)?;
        page.line(2, &[plain(format!("removed {}", path.display()))]);
    }
    if let Some(path) = &systemd
        && let Err(failure) = systemctl(session, path, args.system, &["daemon-reload"], "")
    {
        session.warn(&failure.message);
    }
    page.print()?;
    Ok(0)
}
