//! A gateway under test: the built program, a client that speaks bytes, and what both said.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::LIMIT;
use super::sandbox::Sandbox;

/// The secret of the gateways under test.
pub(crate) const TOKEN: &str = "sk-test-gateway-Qm7Xw2Lp9Rt4Kb";

/// A running gateway; it is ended with the test.
pub(crate) struct Gateway {
    child: Child,
    /// The home of a gateway that has it for itself.
    home: Option<Sandbox>,
    pub(crate) address: SocketAddr,
    said: Arc<Mutex<String>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answered {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}\n{}{}", self.head, self.body))
    }

    /// The data of the events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }
}

impl Gateway {
    /// Starts one with a home that nobody else looks at.
    pub(crate) fn owning(home: Sandbox, arguments: &[&str]) -> Self {
        let mut gateway = Self::start(&home, arguments);
        gateway.home = Some(home);
        gateway
    }

    /// Starts one with the usual token on a free port.
    pub(crate) fn start(home: &Sandbox, arguments: &[&str]) -> Self {
        Self::command(home, &[&["models", "serve", "--port", "0", "--json"], arguments].concat())
    }

    pub(crate) fn command(home: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = home.command(arguments);
        command.env("OPENCLAW_GATEWAY_TOKEN", TOKEN);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&said);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let listening: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not started: {line}{}", said.lock().unwrap()));
        said.lock().unwrap().push_str(&line);
        let url = listening["listening"].as_str().unwrap();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self { child, home: None, address, said }
    }

    /// Everything that it has printed so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has printed this.
    pub(crate) fn wait_until_said(&self, text: &str) {
        wait_until(|| self.said().contains(text), text);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        wait_until(
            || {
                code = self.child.try_wait().unwrap();
                code.is_some()
            },
            "the end of the gateway",
        );
        code.unwrap().code()
    }

    /// A connection on which the bytes of a request were sent.
    pub(crate) fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Sends a request whose headers are given as a whole, and reads the answer.
    pub(crate) fn raw(&self, request: &str) -> Answered {
        read_answer(&mut self.send(request))
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.raw(&head("GET", path, &format!("Authorization: Bearer {TOKEN}\r\n"), None))
    }

    /// A chat request with further headers.
    pub(crate) fn chat_with(&self, headers: &str, body: &Value) -> Answered {
        self.raw(&chat_request(headers, &body.to_string()))
    }

    pub(crate) fn chat(&self, body: &Value) -> Answered {
        self.chat_with("", body)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request; the connection ends after its answer.
pub(crate) fn head(method: &str, path: &str, headers: &str, body: Option<&str>) -> String {
    let length = body.map(|body| format!("Content-Length: {}\r\n", body.len())).unwrap_or_default();
    let body = body.unwrap_or_default();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}")
}

/// A chat request with the right token.
pub(crate) fn chat_request(headers: &str, body: &str) -> String {
    let headers = format!("Authorization: Bearer {TOKEN}\r\n{headers}");
    head("POST", "/v1/chat/completions", &headers, Some(body))
}

/// Reads a whole answer, whose body may be in chunks.
pub(crate) fn read_answer(stream: &mut impl Read) -> Answered {
    let mut bytes = Vec::new();
    // A connection that breaks is judged by what came before.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Answered { status, head: head.to_owned(), body }
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(piece) = rest.get(..length).filter(|_| length > 0) else { break };
        body.push_str(piece);
        text = rest.get(length + 2..).unwrap_or_default();
    }
    body
}

/// Waits for something that must come.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LIMIT, "never came: {what}");
        thread::sleep(std::time::Duration::from_millis(5));
    }
}
