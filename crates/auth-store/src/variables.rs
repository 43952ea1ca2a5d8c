//! Loading the variables from every source (spec 01 section 2).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use auth_core::provider::SHELL_ENV_EXPECTED;
use auth_core::{Config, EmptyValue, EnvOrigin, Environment, is_refused_in_workspace, parse_dotenv, runs_code};

use crate::host::Host;
use crate::layout::StateLayout;
use crate::login_shell::{LoginShell, LoginShellError, parse_env0};
use crate::secure_file::reason;

/// The largest `.env` file that is read, in bytes.
const MAX_DOTENV_BYTES: u64 = 4 * 1024 * 1024;
/// How long the login shell may take when nothing says otherwise, in milliseconds.
const SHELL_TIMEOUT_MS: u64 = 15_000;

/// Adds the `.env` files to the variables of the process. Returns remarks for standard error.
///
/// `layout` is that of the process variables alone: what a file sets does not move the files that are read.
pub(crate) fn load_dotenv(env: &mut Environment, layout: &StateLayout, host: &dyn Host) -> Vec<String> {
    let in_process: Vec<String> = env.variables().map(|(name, _)| name.to_owned()).collect();
    let [workspace, state_file, gateway_file] = dotenv_files(layout);
    // A project's file that cannot be read is skipped in silence; one of the user's own is named.
    add_file(env, &workspace, layout, host, |name| !is_refused_in_workspace(name));

    let mut warnings = Vec::from_iter(add_file(env, &state_file, layout, host, |_| true));
    let default_file = layout.home().join(".openclaw").join(".env");
    if env.counting("OPENCLAW_STATE_DIR").is_none() || state_file == default_file {
        warnings.extend(add_file(env, &gateway_file, layout, host, |_| true));
        warnings.extend(conflict(env, layout, &state_file, &gateway_file, &in_process));
    }
    fill_zai(env);
    warnings
}

/// The files of variables: the project's, the user's own, the gateway's.
fn dotenv_files(layout: &StateLayout) -> [PathBuf; 3] {
    [
        layout.user_path(".").join(".env"),
        layout.state_dir().join(".env"),
        layout.home().join(".config").join("openclaw").join("gateway.env"),
    ]
}

/// The files that a [`State`](crate::State) is made of, for those who watch them. What the config includes is not among
/// them.
pub fn watched_files(layout: &StateLayout) -> Vec<PathBuf> {
    std::iter::once(layout.config_path().to_owned()).chain(dotenv_files(layout)).collect()
}

/// The second spelling of the Z.AI key stands in for the first.
pub(crate) fn fill_zai(env: &mut Environment) {
    env.fill_from("ZAI_API_KEY", "Z_AI_API_KEY");
}

/// Adds the entries of a file; a remark when it is there but cannot be read.
fn add_file(
    env: &mut Environment,
    path: &Path,
    layout: &StateLayout,
    host: &dyn Host,
    takes: impl Fn(&str) -> bool,
) -> Option<String> {
    let shown = layout.shorten(path);
    let bytes = match host.read(path, MAX_DOTENV_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return None,
        Err(error) => return Some(format!("[dotenv] {shown} {}; its variables are not known", reason(&error))),
    };
    for entry in parse_dotenv(&String::from_utf8_lossy(&bytes)) {
        if takes(&entry.name) {
            let origin = EnvOrigin::File { path: shown.clone(), line: entry.line };
            env.add(&entry.name, entry.value, origin, EmptyValue::IsSet);
        }
    }
    None
}

/// The line about variables that two files of the user set differently. Names only.
fn conflict(
    env: &Environment,
    layout: &StateLayout,
    state_file: &Path,
    gateway_file: &Path,
    in_process: &[String],
) -> Option<String> {
    let (kept, lost) = (layout.shorten(state_file), layout.shorten(gateway_file));
    let is_from = |origin: &EnvOrigin, file: &str| matches!(origin, EnvOrigin::File { path, .. } if path == file);
    let mut names: Vec<&str> = env
        .shadowed()
        .iter()
        .filter(|shadowed| is_from(&shadowed.origin, &lost) && !in_process.contains(&shadowed.name))
        .filter(|shadowed| env.origin(&shadowed.name).is_some_and(|origin| is_from(origin, &kept)))
        .map(|shadowed| shadowed.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty())
        .then(|| format!("[dotenv] Conflicting values in {kept} and {lost} for {}; keeping {kept}.", names.join(", ")))
}

/// Asks the login shell for the expected variables, if that is switched on and none of them is set yet. Returns
/// whether it is switched on, and a remark for standard error when the shell failed.
pub(crate) fn import_login_shell(env: &mut Environment, config: &Config, host: &dyn Host) -> (bool, Option<String>) {
    let enabled = config.shell_env.enabled || env.is_truthy("OPENCLAW_LOAD_SHELL_ENV");
    let any_set = SHELL_ENV_EXPECTED.iter().any(|name| env.non_blank(name).is_some());
    if !enabled || env.is_truthy("OPENCLAW_DEFER_SHELL_ENV_FALLBACK") || any_set {
        return (enabled, None);
    }
    match ask_login_shell(env, config, host) {
        Ok(output) => {
            let answers: Vec<(&str, &str)> = parse_env0(&output).collect();
            for name in SHELL_ENV_EXPECTED {
                let value = answers.iter().rev().find(|(n, v)| n == name && !v.trim().is_empty());
                if let Some((_, value)) = value {
                    env.add(name, (*value).to_owned(), EnvOrigin::Shell, EmptyValue::IsUnset);
                }
            }
            (true, None)
        }
        Err(error) => (true, Some(format!("[openclaw] shell env fallback failed: {error}"))),
    }
}

fn ask_login_shell(env: &Environment, config: &Config, host: &dyn Host) -> Result<Vec<u8>, LoginShellError> {
    let listed = host.read(Path::new("/etc/shells"), 64 * 1024).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    let shell = env.get("SHELL").map(str::trim).filter(|shell| {
        let path = Path::new(shell);
        path.is_absolute()
            && crate::layout::normalise(path).as_os_str() == path.as_os_str()
            && listed.lines().any(|line| line.trim() == *shell)
    });
    let home =
        env.counting("HOME").map(str::to_owned).or_else(|| host.account_home()?.into_os_string().into_string().ok());
    let kept =
        env.variables().filter(|(name, _)| !runs_code(name) && !matches!(*name, "ZDOTDIR" | "HOME" | "OPENCLAW_CLI"));
    let mut environment: Vec<(&str, &str)> = kept.collect();
    environment.push(("OPENCLAW_CLI", "1"));
    if let Some(home) = &home {
        environment.push(("HOME", home));
    }
    host.run_login_shell(&LoginShell {
        program: shell.unwrap_or("/bin/sh"),
        environment,
        timeout_ms: timeout_ms(env, config),
    })
}

/// The time limit of the shell. Zero, which elsewhere means no limit, is taken as the standard one: a report must end.
fn timeout_ms(env: &Environment, config: &Config) -> u64 {
    let from_env = || env.get("OPENCLAW_SHELL_ENV_TIMEOUT_MS")?.trim().parse::<i64>().ok()?.try_into().ok();
    config.shell_env.timeout_ms.or_else(from_env).filter(|ms| *ms > 0).unwrap_or(SHELL_TIMEOUT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MapHost;

    fn load(host: &MapHost) -> (Environment, Vec<String>) {
        let mut env = Environment::from_process(host.variables());
        let layout = StateLayout::resolve(&env, host);
        let warnings = load_dotenv(&mut env, &layout, host);
        (env, warnings)
    }

    #[test]
    fn files_follow_the_process_in_rank() {
        let mut host = MapHost::new("/h")
            .variable("A", "process")
            .file("/h/proj/.env", "A=cwd\nB=cwd\nOPENAI_API_KEY=refused\n")
            .file("/h/.openclaw/.env", "B=state\nC=state\nOPENAI_API_KEY=sk-test-state\nZ_AI_API_KEY=z\n")
            .file("/h/.config/openclaw/gateway.env", "A=gw\nC=gw\nD=gw\n");
        host.current_dir = "/h/proj".into();
        let (env, warnings) = load(&host);
        let values: Vec<_> =
            ["A", "B", "C", "D", "OPENAI_API_KEY", "ZAI_API_KEY"].map(|n| env.get(n).unwrap().to_owned()).into();
        assert_eq!(values, ["process", "cwd", "state", "gw", "sk-test-state", "z"]);
        assert_eq!(env.origin("C").unwrap().to_string(), "~/.openclaw/.env:2");
        assert_eq!(
            warnings,
            [
                "[dotenv] Conflicting values in ~/.openclaw/.env and ~/.config/openclaw/gateway.env for C; keeping ~/.openclaw/.env."
            ]
        );
    }

    #[test]
    fn another_state_directory_skips_the_gateway_file() {
        let host = MapHost::new("/h")
            .variable("OPENCLAW_STATE_DIR", "/h/st")
            .file("/h/.config/openclaw/gateway.env", "D=gw\n");
        assert_eq!(load(&host).0.get("D"), None);
    }

    #[test]
    fn the_login_shell_is_asked_only_for_expected_variables() {
        let mut host = MapHost::new("/h").variable("OPENCLAW_LOAD_SHELL_ENV", "on");
        host.login_shell = Some(b"OPENAI_API_KEY=sk-test-shell\0GROQ_API_KEY=x\0".to_vec());
        let (mut env, _) = load(&host);
        assert_eq!(import_login_shell(&mut env, &Config::default(), &host), (true, None));
        assert_eq!(env.shell_applied(), ["OPENAI_API_KEY"]);
        assert_eq!(env.get("GROQ_API_KEY"), None);

        let (mut env, _) = load(&host.clone().variable("TELEGRAM_BOT_TOKEN", "t"));
        import_login_shell(&mut env, &Config::default(), &host);
        assert!(env.shell_applied().is_empty());

        host.login_shell = None;
        let (mut env, _) = load(&host);
        assert!(
            import_login_shell(&mut env, &Config::default(), &host).1.unwrap().contains("shell env fallback failed")
        );
    }
}
