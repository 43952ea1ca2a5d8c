//! `cargo xtask bench`: whole commands beside `/bin/true` in one run, so that the figures hold on any machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

/// The config of the homes: with a comment, as people write it.
const CONFIG: &str = "// bench\n{\n  agents: { defaults: { model: 'groq/llama' } },\n  gateway: { mode: 'local', auth: { mode: 'token', token: 'sk-test-gateway-0123456789' } },\n}\n";
/// Counted runs of each command.
const RUNS: usize = 100;

/// Builds the release binary and prints one table.
pub(crate) fn run(shell: &Shell, root: &Path) -> Result<()> {
    cmd!(shell, "cargo build --quiet --release --locked --package openclaw-cli").run()?;
    let work = root.join("target/bench");
    fs::create_dir_all(&work)?;
    // As it is installed: a file that the linker has just written lies in the page cache in smaller pieces, and starts
    // more slowly than any copy of it.
    let binary = work.join("openclaw");
    fs::copy(root.join("target/release/openclaw"), &binary)?;
    let size = fs::metadata(&binary)?.len();

    println!("{:<44} {:>9} {:>9} {:>9} {:>10}", "command", "median", "min", "ratio", "peak");
    for profiles in [1, 100, 10_000] {
        let home = make_home(&work, profiles)?;
        for arguments in [
            &["models", "status", "--check", "--plain"][..],
            &["models", "status"],
            &["models", "status", "--json"],
            &["models", "auth", "list", "--json"],
            &["models", "auth", "order", "get", "--provider", "groq"],
            &["models", "auth", "why"],
            &["models", "auth", "monitor", "--dry-run"],
            &["doctor"],
        ] {
            let label = format!("{} [{profiles}]", arguments.join(" "));
            measure(&label, &binary, arguments, &home)?;
        }
    }
    for (label, home, arguments) in reference_homes(&work)? {
        measure(&label, &binary, arguments, &home)?;
    }
    println!("\nbinary: {:.2} MB, stripped; {RUNS} runs each, in turn with /bin/true", megabytes(size));
    Ok(())
}

/// Runs a command and `/bin/true` in turn and prints the medians and their ratio.
fn measure(label: &str, binary: &Path, arguments: &[&str], home: &Path) -> Result<()> {
    let mut ours = Vec::with_capacity(RUNS);
    let mut empty = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        ours.push(time_once(command(binary, arguments, home))?);
        empty.push(time_once(command(Path::new("/bin/true"), &[], home))?);
    }
    let (ours, empty) = (sorted(ours), sorted(empty));
    let (median, base) = (ours[RUNS / 2], empty[RUNS / 2]);
    let peak = peak_memory(binary, arguments, home)?
        .map_or_else(|| "-".to_owned(), |kb| format!("{:.1} MB", megabytes(kb * 1024)));
    println!(
        "{label:<44} {:>6.2} ms {:>6.2} ms {:>8.2}x {peak:>10}",
        milliseconds(median),
        milliseconds(ours[0]),
        median.as_secs_f64() / base.as_secs_f64()
    );
    Ok(())
}

fn command(program: &Path, arguments: &[&str], home: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").current_dir(home);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn time_once(mut command: Command) -> Result<Duration> {
    let start = Instant::now();
    command.status()?;
    Ok(start.elapsed())
}

/// Peak memory in kilobytes, read by GNU time: a small parent, because the figure counts its memory before exec too.
fn peak_memory(binary: &Path, arguments: &[&str], home: &Path) -> Result<Option<u64>> {
    let time = Path::new("/usr/bin/time");
    if !time.exists() {
        return Ok(None);
    }
    let report = home.join("peak");
    let report_text = report.to_string_lossy().into_owned();
    let program = binary.to_string_lossy().into_owned();
    let all: Vec<&str> =
        ["-q", "-f", "%M", "-o", &report_text, &program].into_iter().chain(arguments.iter().copied()).collect();
    command(time, &all, home).status()?;
    let text = fs::read_to_string(&report)?;
    Ok(text.trim().parse().ok())
}

/// A home directory with this many profiles of eight providers.
fn make_home(work: &Path, profiles: usize) -> Result<PathBuf> {
    let home = work.join(format!("home-{profiles}"));
    let agent = home.join(".openclaw/agents/main/agent");
    fs::create_dir_all(&agent).with_context(|| format!("cannot create {}", agent.display()))?;
    let names = ["groq", "openai", "anthropic", "mistral", "xai", "deepseek", "together", "zai"];
    let entries: Vec<String> = (0..profiles)
        .map(|i| {
            let provider = names[i % names.len()];
            format!("    \"{provider}:account-{i}\": {{ \"type\": \"api_key\", \"provider\": \"{provider}\", \"key\": \"sk-test-{provider}-{i:020}\" }}")
        })
        .collect();
    let store = format!("{{\n  \"version\": 1,\n  \"profiles\": {{\n{}\n  }}\n}}\n", entries.join(",\n"));
    let state = home.join(".openclaw");
    let (profiles, config) = (agent.join("auth-profiles.json"), state.join("openclaw.json"));
    fs::write(&profiles, store)?;
    fs::write(&config, CONFIG)?;
    // Nothing for doctor to find.
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    for (path, bits) in [(&state, 0o700), (&agent, 0o700), (&profiles, 0o600), (&config, 0o600)] {
        fs::set_permissions(path, mode(bits))?;
    }
    ensure!(home.is_absolute(), "the bench folder is not absolute");
    Ok(home)
}

/// Homes full of references: ten agents with plaintext and variables, a thousand variables, one program asked for 512
/// secrets.
fn reference_homes(work: &Path) -> Result<Vec<(String, PathBuf, &'static [&'static str])>> {
    let variable = |i: usize| format!("{{ \"source\": \"env\", \"provider\": \"default\", \"id\": \"KEY_{i}\" }}");
    let profile =
        |i: usize, field: &str| format!("\"p{i}:a\": {{ \"type\": \"api_key\", \"provider\": \"p{i}\", {field} }}");
    let store = |entries: Vec<String>| format!("{{ \"version\": 1, \"profiles\": {{ {} }} }}\n", entries.join(",\n"));
    let write = |home: &Path, agent: &str, text: &str| -> Result<()> {
        let dir = home.join(".openclaw/agents").join(agent).join("agent");
        fs::create_dir_all(&dir)?;
        Ok(fs::write(dir.join("auth-profiles.json"), text)?)
    };
    let env_file = |home: &Path, count: usize| -> Result<()> {
        let lines: Vec<String> = (0..count).map(|i| format!("KEY_{i}=sk-test-variable-{i:012}")).collect();
        Ok(fs::write(home.join(".openclaw/.env"), format!("{}\n", lines.join("\n")))?)
    };

    let agents = work.join("home-agents");
    for agent in 0..10 {
        let entries = (0..20).map(|i| match i % 2 {
            0 => profile(i, &format!("\"key\": \"sk-test-plain-{agent}-{i:012}\"")),
            _ => profile(i, &format!("\"keyRef\": {}", variable(i))),
        });
        write(&agents, &format!("agent-{agent}"), &store(entries.collect()))?;
    }
    env_file(&agents, 20)?;

    let variables = work.join("home-variables");
    write(
        &variables,
        "main",
        &store((0..1000).map(|i| profile(i, &format!("\"keyRef\": {}", variable(i)))).collect()),
    )?;
    env_file(&variables, 1000)?;
    fs::write(
        variables.join(".openclaw/openclaw.json"),
        "{ secrets: { resolution: { maxRefsPerProvider: 1000 } } }\n",
    )?;

    let program = work.join("home-program");
    let entry =
        |i| profile(i, &format!("\"keyRef\": {{ \"source\": \"exec\", \"provider\": \"v\", \"id\": \"k/{i}\" }}"));
    write(&program, "main", &store((0..512).map(entry).collect()))?;
    let values: Vec<String> = (0..512).map(|i| format!("\"k/{i}\":\"sk-test-program-{i:012}\"")).collect();
    let script = program.join("vault");
    fs::write(
        &script,
        format!("#!/bin/sh\ncat <<'END'\n{{\"protocolVersion\":1,\"values\":{{{}}}}}\nEND\n", values.join(",")),
    )?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&script, mode)?;
    let provider = format!(
        "{{ secrets: {{ providers: {{ v: {{ source: 'exec', command: '{}', passEnv: ['PATH'] }} }} }} }}\n",
        script.display()
    );
    fs::write(program.join(".openclaw/openclaw.json"), provider)?;
    Ok(vec![
        ("secrets audit [10 agents, 200 profiles]".to_owned(), agents, &["secrets", "audit", "--json"]),
        ("secrets audit [1,000 variables]".to_owned(), variables.clone(), &["secrets", "audit", "--json"]),
        ("models status [1,000 variables]".to_owned(), variables, &["models", "status", "--json"]),
        ("secrets audit [512 of one program]".to_owned(), program, &["secrets", "audit", "--allow-exec", "--json"]),
    ])
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
