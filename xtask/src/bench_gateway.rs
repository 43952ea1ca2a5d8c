//! `cargo xtask bench gateway`: what the gateway adds to a request, beside the same request without it, in one run; and
//! its memory with many open streams.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

/// Requests a second, for how long, over how many connections.
const RATE: f64 = 1000.0;
const SECONDS: f64 = 5.0;
const CONNECTIONS: usize = 16;
/// How many streams are held open.
const STREAMS: usize = 500;
const TOKEN: &str = "sk-test-bench-gateway-token";
const FIRST: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"pong\"},\"finish_reason\":null}]}\n\n";
const REST: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Builds the release binary, unless another is named, and prints the figures.
pub(crate) fn run(shell: &Shell, root: &Path, bin: Option<&str>) -> Result<()> {
    if bin.is_none() {
        cmd!(shell, "cargo build --quiet --release --locked --package openclaw-cli").run()?;
    }
    let binary = bin.map_or_else(|| root.join("target/release/openclaw"), Into::into);
    let work = root.join("target/bench/gateway");
    let provider = provider(false)?;
    println!("{RATE} requests a second over {CONNECTIONS} connections, {SECONDS} s each");
    let direct = load(provider)?;
    let mut gateway = Gateway::start(&binary, &work, provider)?;
    load(gateway.port)?; // Warm.
    let through = load(gateway.port)?;
    println!("{:<24} {:>9} {:>9} {:>9}", "", "median", "p99", "max");
    for (label, times) in [("without the gateway", &direct), ("through the gateway", &through)] {
        let at = |part: f64| quantile(times, part);
        println!("{label:<24} {:>6.3} ms {:>6.3} ms {:>6.3} ms", at(0.5), at(0.99), at(1.0));
    }
    let added = |part: f64| quantile(&through, part) - quantile(&direct, part);
    println!("{:<24} {:>6.3} ms {:>6.3} ms", "added", added(0.5), added(0.99));
    println!("memory after the load: {}", gateway.memory()?);
    gateway.end()?;

    let hanging = self::provider(true)?;
    let mut gateway = Gateway::start(&binary, &work, hanging)?;
    let before = gateway.memory()?;
    let mut open = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(request(true).as_bytes())?;
        open.push(stream);
    }
    for stream in &mut open {
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        ensure!(&status[9..] == b"200", "a stream was refused");
    }
    println!("memory before: {before}; with {STREAMS} open streams: {}", gateway.memory()?);
    drop(open);
    gateway.end()
}

fn quantile(times: &[Duration], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((times.len() - 1) as f64 * part) as usize;
    times[at].as_secs_f64() * 1000.0
}

fn request(streams: bool) -> String {
    let body = json!({"stream": streams, "messages": [{"role": "user", "content": "ping"}]}).to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A provider that answers at once, or begins an answer and never ends it.
fn provider(hangs: bool) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_all(stream, hangs));
        }
    });
    Ok(port)
}

fn answer_all(mut stream: TcpStream, hangs: bool) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let whole = format!("content-length: {}\r\n\r\n{FIRST}{REST}", FIRST.len() + REST.len());
    let answer = if hangs { format!("\r\n{FIRST}") } else { whole };
    let mut reader = BufReader::new(stream.try_clone()?);
    while read_message(&mut reader)?.is_some() {
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{answer}").as_bytes())?;
    }
    Ok(())
}

/// Reads a message with a length; its first line.
fn read_message(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if first.is_empty() {
            first.clone_from(&line);
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(first))
}

/// Sends requests at the rate and gives how long each took, sorted.
fn load(port: u16) -> Result<Vec<Duration>> {
    let begin = Instant::now() + Duration::from_millis(100);
    let workers: Vec<_> =
        (0..CONNECTIONS).map(|first| thread::spawn(move || one_connection(port, first, begin))).collect();
    let mut times = Vec::new();
    for worker in workers {
        let measured = worker.join().map_err(|_| anyhow::anyhow!("a client broke"))?;
        times.extend(measured?);
    }
    times.sort_unstable();
    ensure!(!times.is_empty(), "nothing was measured");
    Ok(times)
}

fn one_connection(port: u16, first: usize, begin: Instant) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let request = request(false);
    let mut times = Vec::new();
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let step = CONNECTIONS as f64 / RATE;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let mut due_s = first as f64 / RATE;
    while due_s < SECONDS {
        let due = begin + Duration::from_secs_f64(due_s);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        stream.write_all(request.as_bytes())?;
        let status = read_message(&mut reader)?.context("the connection ended")?;
        times.push(sent.elapsed());
        ensure!(status.contains(" 200 "), "refused: {status}");
        due_s += step;
    }
    Ok(times)
}

/// A gateway with four keys of one provider.
struct Gateway {
    child: Child,
    port: u16,
}

impl Gateway {
    fn start(binary: &Path, work: &Path, provider: u16) -> Result<Self> {
        let agent = work.join(".openclaw/agents/main/agent");
        fs::create_dir_all(&agent)?;
        let profiles: serde_json::Map<String, Value> = (0..4)
            .map(|n| {
                let key = format!("sk-test-bench-{n:020}");
                (format!("mock:{n}"), json!({"type": "api_key", "provider": "mock", "key": key}))
            })
            .collect();
        fs::write(agent.join("auth-profiles.json"), json!({"version": 1, "profiles": profiles}).to_string())?;
        let config = json!({
            "agents": {"defaults": {"model": "mock/m1"}},
            "models": {"providers": {"mock": {
                "baseUrl": format!("http://127.0.0.1:{provider}/v1"), "api": "openai-completions",
                "models": [{"id": "m1", "name": "M1"}],
            }}},
        });
        fs::write(work.join(".openclaw/openclaw.json"), config.to_string())?;
        let mut child = Command::new(binary)
            .args(["models", "serve", "--port", "0", "--json", "--max-turns", "1000"])
            .env_clear()
            .env("HOME", work)
            .env("OPENCLAW_GATEWAY_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the gateway did not start")?;
        let port = said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")?;
        Ok(Self { child, port })
    }

    /// Resident memory, and that of it which is no file.
    fn memory(&self) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kb = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let mb = |name: &str| kb(name).unwrap_or(0) / 1000;
        Ok(format!("{} MB resident, {} MB of it its own", mb("VmRSS:"), mb("RssAnon:")))
    }

    fn end(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}
