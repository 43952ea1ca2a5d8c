//! `models auth monitor install|uninstall` (spec 06 section 14.3): all of it or nothing, and nothing of anybody else.

use std::path::{Path, PathBuf};

use auth_core::monitor::units::{LAUNCHD_LABEL, MARKER, UNIT, cron_line};
use auth_store::{Host, WriteHost, monitor_env_path, write_private, write_public};

use super::runner::{cron_table, launchctl, no_runner, set_cron_table, systemctl, warn_without_linger};
use super::settings::Settings;
use super::units::{Plan, launchd_path, systemd_paths};
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::{Runner, Units};
use crate::output::{Page, plain};

/// The largest unit file that is looked at, in bytes.
const MAX_UNIT: u64 = 1024 * 1024;

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
            host.make_dir(dir)
                .map_err(|error| Failure::new(format!("cannot make the directory {}: {error}", dir.display())))?;
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
        let ours =
            session.host.read(path, MAX_UNIT).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(MARKER));
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
