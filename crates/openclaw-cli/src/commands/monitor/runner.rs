//! The programs that switch units on and off.

use std::path::Path;
use std::process::Command;

use auth_core::monitor::units::{LAUNCHD_LABEL, UNIT};
use auth_store::Host;

use super::system::run_program;
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::Runner;

/// How long one of them may take, in milliseconds.
const TIMEOUT_MS: u64 = 60_000;

/// This system has nothing that could run the units.
pub(super) fn no_runner(format: Runner, cron: &str) -> Failure {
    let what = match format {
        Runner::Systemd => "this system has no systemd (there is no systemctl)",
        Runner::Launchd => "this system has no launchd (there is no /bin/launchctl)",
        Runner::Cron => "this system has no cron (there is no crontab)",
    };
    Failure::with_fix(
        format!("{what}; nothing was written. Cron can run the monitor with this line:\n{cron}"),
        "crontab -e",
    )
}

/// Runs systemctl for the user or the system.
pub(super) fn systemctl(
    session: &Session,
    path: &Path,
    system: bool,
    words: &[&str],
    cron: &str,
) -> Result<(), Failure> {
    let scope = (!system).then_some("--user");
    let args: Vec<String> = scope.into_iter().chain(words.iter().copied()).map(str::to_owned).collect();
    run_program(session, path, &args, None, &[], TIMEOUT_MS).map(drop).map_err(|why| {
        let line = format!("systemctl {}: {why}", args.join(" "));
        if cron.is_empty() {
            return Failure { message: format!("Warning: {line}"), code: 1 };
        }
        Failure::with_fix(
            format!("{line}; everything is as it was. Without a running systemd, cron can run the monitor with this line:\n{cron}"),
            "openclaw models auth monitor install --no-enable, then switch it on by hand",
        )
    })
}

/// Asks systemctl for something.
pub(super) fn ask_systemctl(session: &Session, path: &Path, system: bool, words: &[&str]) -> Option<String> {
    let scope = (!system).then_some("--user");
    let args: Vec<String> = scope.into_iter().chain(words.iter().copied()).map(str::to_owned).collect();
    run_program(session, path, &args, None, &[], TIMEOUT_MS).ok()
}

/// Runs launchctl: `bootstrap` with the file, or `bootout` with the label.
pub(super) fn launchctl(
    session: &Session,
    path: &Path,
    system: bool,
    verb: &str,
    what: &str,
    cron: &str,
) -> Result<(), Failure> {
    let domain = if system { "system".to_owned() } else { format!("gui/{}", session.host.user_id()) };
    let args = match verb {
        "bootout" => vec![verb.to_owned(), format!("{domain}/{LAUNCHD_LABEL}")],
        _ => vec![verb.to_owned(), domain, what.to_owned()],
    };
    run_program(session, path, &args, None, &[], TIMEOUT_MS).map(drop).map_err(|why| {
        let line = format!("launchctl {}: {why}", args.join(" "));
        if cron.is_empty() {
            return Failure { message: format!("Warning: {line}"), code: 1 };
        }
        Failure::with_fix(
            format!("{line}; everything is as it was. Cron can run the monitor with this line:\n{cron}"),
            "openclaw models auth monitor install --format launchd --no-enable, then switch it on by hand",
        )
    })
}

/// The user's table of cron; empty when there is none.
pub(super) fn cron_table(_session: &Session, path: &Path) -> Result<String, Failure> {
    let fail = |why: String| {
        Failure::with_fix(
            format!("the table of cron cannot be read ({why}); it is left as it is"),
            "openclaw models auth monitor units --format cron, then crontab -e",
        )
    };
    let done = Command::new(path).arg("-l").env("LC_ALL", "C").output().map_err(|error| fail(error.to_string()))?;
    if done.status.success() {
        return String::from_utf8(done.stdout).map_err(|_| fail("it is not UTF-8".to_owned()));
    }
    // Only this answer means that nothing would be lost.
    let said = String::from_utf8_lossy(&done.stderr).to_lowercase();
    if said.contains("no crontab for") {
        return Ok(String::new());
    }
    Err(fail(format!("exit code {}", done.status.code().unwrap_or(-1))))
}

/// Writes the table of cron with this line in the place of the one that we wrote before.
pub(super) fn set_cron_table(session: &Session, path: &Path, table: &str, line: Option<&str>) -> Result<(), Failure> {
    let ours = format!("# {UNIT}");
    let mut text = String::new();
    for kept in table.lines().filter(|kept| !kept.ends_with(&ours)).chain(line) {
        text.push_str(kept);
        text.push('\n');
    }
    run_program(session, path, &["-".to_owned()], Some(text), &[], TIMEOUT_MS).map(drop).map_err(|why| {
        Failure::with_fix(
            format!("the table of cron cannot be written: {why}"),
            "openclaw models auth monitor units --format cron, then crontab -e",
        )
    })
}

/// Timers of a user stand still while nobody of that name is logged in, unless lingering is on.
pub(super) fn warn_without_linger(session: &Session) {
    let user = session.host.user_id();
    let passwd = session.host.read(Path::new("/etc/passwd"), 16 * 1024 * 1024).unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd).into_owned();
    let by_number = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == user.to_string()).then(|| name.to_owned())
    });
    let name = by_number.or_else(|| session.state.environment.non_blank("USER").map(str::to_owned));
    let lingers = name.as_ref().is_some_and(|name| {
        !name.contains('/') && session.host.exists(&Path::new("/var/lib/systemd/linger").join(name))
    });
    if !lingers {
        let name = name.unwrap_or_default();
        session.warn(
            format!(
                "Warning: lingering is off: the timer runs only while you are logged in. Run: loginctl enable-linger {name}"
            )
            .trim_end(),
        );
    }
}
