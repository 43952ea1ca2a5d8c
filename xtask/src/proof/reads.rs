//! `cargo xtask proof reads`: a command that reads asks the kernel for nothing else. Watched by `strace`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::{fresh, write};

/// Commands that only read.
const READING: &[&[&str]] = &[
    &["--version"],
    &["models"],
    &["models", "status"],
    &["models", "status", "--json"],
    &["models", "status", "--check", "--plain"],
    &["models", "list", "--all"],
    &["models", "auth", "list", "--json"],
    &["models", "auth", "why"],
    &["models", "auth", "why", "--if", "429"],
    &["models", "auth", "order", "get", "--provider", "groq"],
    &["models", "aliases", "list"],
    &["models", "fallbacks", "list", "--json"],
    &["models", "auth", "monitor", "--dry-run"],
    &["models", "auth", "monitor", "units"],
    &["secrets", "audit", "--json"],
    &["doctor"],
    &["doctor", "--check"],
    &["doctor", "--diff"],
    &["doctor", "--json", "--offline"],
];

/// Calls that change files, reach a network, or start something.
const FORBIDDEN: &[&str] = &[
    "socket",
    "connect",
    "bind",
    "listen",
    "sendto",
    "sendmsg",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "mknod",
    "mknodat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "truncate",
    "ftruncate",
    "fallocate",
    "utime",
    "utimes",
    "utimensat",
    "futimesat",
    "fsync",
    "fdatasync",
    "sync",
    "syncfs",
    "setxattr",
    "fsetxattr",
    "io_uring_setup",
    "flock",
];

/// Runs every command that reads on a healthy home and on a broken one.
pub(super) fn reads(binary: &Path, work: &Path) -> Result<()> {
    let strace = Command::new("strace").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    ensure!(strace.is_ok_and(|status| status.success()), "strace is not here. Run: apt-get install strace");
    let home = fresh(work, "reads")?;
    let store = home.join(".openclaw/agents/main/agent/auth-profiles.json");
    let config = home.join(".openclaw/openclaw.json");
    let profiles = json!({"version": 1, "profiles": {
        "groq:a": {"type": "api_key", "provider": "groq", "key": "sk-test-reads-00000001"},
        "groq:b": {"type": "token", "provider": "groq", "token": "sk-test-reads-00000002", "expires": 1},
        "x:ref": {"type": "api_key", "provider": "x", "keyRef": {"source": "env", "provider": "default", "id": "X_KEY"}}}});
    let mut calls = BTreeMap::new();
    let homes = [
        (profiles.to_string(), "{ agents: { defaults: { model: 'groq/llama' } }, gateway: { mode: 'local' } }\n"),
        ("{ nope".to_owned(), "{ agents: { defaults: { model: 'groq/llama' } } }\n"),
        (profiles.to_string(), "{ broken"),
    ];
    let mut runs = 0;
    for (profiles, settings) in &homes {
        write(&store, profiles)?;
        write(&config, settings)?;
        for arguments in READING {
            watch(binary, arguments, &home, &mut calls)?;
            runs += 1;
        }
    }
    // The watch itself sees a command that writes.
    write(&config, homes[0].1)?;
    write(&store, &homes[0].0)?;
    let control = watch(binary, &["models", "set", "groq/other"], &home, &mut BTreeMap::new());
    ensure!(control.is_err(), "a command that writes went unseen");
    ensure!(calls.get("execve") == Some(&runs), "a command has started another: {calls:?}");
    let total: usize = calls.values().sum();
    println!(
        "reads: {runs} runs of {} commands on a healthy and two broken homes, {total} system calls of {} kinds; no socket, thread or process, and nothing opened for writing, renamed, removed, locked or synced",
        READING.len(),
        calls.len()
    );
    Ok(())
}

/// Runs one command and looks at each of its calls.
fn watch(binary: &Path, arguments: &[&str], home: &Path, calls: &mut BTreeMap<String, usize>) -> Result<()> {
    let log = home.with_extension("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "0", "-o"]).arg(&log).arg(binary).args(arguments);
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let text = fs::read_to_string(&log).context("strace wrote nothing")?;
    let label = arguments.join(" ");
    let mut seen = 0;
    for line in text.lines() {
        // `PID name(arguments) = result`
        let line = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
        let Some((name, rest)) = line.split_once('(') else { continue };
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        seen += 1;
        *calls.entry(name.to_owned()).or_default() += 1;
        let writes = matches!(name, "open" | "openat" | "openat2" | "creat")
            && ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| rest.contains(flag));
        let elsewhere =
            matches!(name, "write" | "writev" | "pwrite64") && !rest.starts_with("1,") && !rest.starts_with("2,");
        if FORBIDDEN.contains(&name) || writes || elsewhere {
            bail!("openclaw {label} reads, but it called {line}");
        }
    }
    ensure!(seen > 10, "nothing of {label} was seen");
    Ok(())
}
