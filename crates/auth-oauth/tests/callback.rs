//! The server that the browser comes back to, over real sockets (spec 04 section 5).

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]
#![allow(clippy::panic, reason = "a test that hangs has to end")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use auth_oauth::{CallbackServer, CodeFlow, CodeProvider, OAuthError, OAuthErrorKind};
use common::World;
use url::Url;

/// When something hangs.
const LIMIT: Duration = Duration::from_secs(30);
/// The next port to try. They lie below those that the system gives to others.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port that is free, and that no other test gets.
fn free_port() -> u16 {
    let start = 16_000 + u16::try_from(std::process::id() % 15_000).unwrap();
    loop {
        let port = start + NEXT.fetch_add(1, Ordering::SeqCst);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && !matches!(TcpListener::bind((Ipv6Addr::LOCALHOST, port)), Err(error) if error.kind() == ErrorKind::AddrInUse);
        if free {
            return port;
        }
    }
}

fn at(redirect: &str) -> CodeFlow {
    let mut world = World::new();
    world.env.set("CHUTES_CLIENT_ID", "cid-test".to_owned());
    world.env.set("CHUTES_OAUTH_REDIRECT_URI", redirect.to_owned());
    let settings = world.settings();
    CodeProvider::Chutes.begin(CodeProvider::Chutes.client(settings).unwrap(), settings).unwrap()
}

struct Visit {
    flow: CodeFlow,
    server: CallbackServer,
    state: String,
}

impl Visit {
    fn to(host: &str) -> Self {
        let flow = at(&format!("http://{host}:{}/oauth-callback", free_port()));
        let server = CallbackServer::start(&flow).unwrap();
        let address = Url::parse(flow.address()).unwrap();
        let state = address.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        Self { flow, server, state }
    }

    fn new() -> Self {
        Self::to("127.0.0.1")
    }

    fn connect(&self) -> TcpStream {
        let host = Url::parse(self.flow.redirect()).unwrap().host_str().unwrap().to_owned();
        TcpStream::connect(format!("{host}:{}", self.server.port())).unwrap()
    }

    /// Sends a request; gives the whole answer.
    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.server.port()))
    }

    fn answer(&self) -> Result<String, OAuthError> {
        let start = Instant::now();
        loop {
            if let Some(answer) = self.server.try_answer() {
                return answer.map(|code| code.reveal().to_owned());
            }
            assert!(start.elapsed() < LIMIT, "no answer");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The login goes on: what belongs to it is still taken.
    fn assert_waiting(&self) {
        assert!(self.server.try_answer().is_none());
        let page = self.get(&format!("/oauth-callback?code=c-1&state={}", self.state));
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        assert_eq!(self.answer().unwrap(), "c-1");
    }
}

fn is_free(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < LIMIT, "nothing happens any more");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_browser_of_the_login_brings_the_code() {
    let visit = Visit::new();
    assert!(visit.server.try_answer().is_none());
    let page = visit.get(&format!("/oauth-callback?state={}&code=c%2F1-canary&scope=x", visit.state));
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for header in
        ["cache-control: no-store", "referrer-policy: no-referrer", "content-security-policy: default-src 'none'"]
    {
        assert!(page.contains(header), "{header}");
    }
    assert!(!page.contains("canary") && !page.contains(&visit.state), "the page repeats a secret");
    assert_eq!(visit.answer().unwrap(), "c/1-canary");
    assert!(!format!("{:?}", visit.server).contains(&visit.state));
}

#[test]
fn it_listens_no_longer_after_the_first_answer() {
    let visit = Visit::new();
    visit.get(&format!("/oauth-callback?code=c-1&state={}", visit.state));
    assert_eq!(visit.answer().unwrap(), "c-1");
    until(|| is_free(visit.server.port()));
    assert!(visit.server.try_answer().is_none(), "one answer");
}

#[test]
fn the_port_is_free_when_the_server_is_dropped() {
    for _ in 0..20 {
        let visit = Visit::new();
        let port = visit.server.port();
        drop(visit.server);
        assert!(is_free(port));
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}

#[test]
fn a_foreign_state_neither_ends_nor_fills_the_login() {
    let visit = Visit::new();
    for query in [
        "code=c-1&state=foreign",
        "code=c-1",
        "code=c-1&state=",
        "error=access_denied&state=foreign",
        "error=access_denied",
        &format!("code=c-1&state={}x", visit.state),
        &format!("code=c-1&state=foreign&state={}", visit.state),
        "",
    ] {
        let page = visit.get(&format!("/oauth-callback?{query}"));
        assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{query}: {page}");
        assert!(!page.contains("c-1") && !page.contains(&visit.state), "{query}");
    }
    visit.assert_waiting();
}

#[test]
fn a_refusal_with_the_right_state_ends_the_login() {
    let visit = Visit::new();
    let page = visit
        .get(&format!("/oauth-callback?error=access_denied&error_description=No%0d%0athanks&state={}", visit.state));
    assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{page}");
    let error = visit.answer().unwrap_err();
    assert_eq!((error.kind, error.code.as_deref()), (OAuthErrorKind::Refused, Some("access_denied")));
    assert!(error.message.contains("access_denied") && !error.message.contains(['\r', '\n']), "{error}");
    until(|| is_free(visit.server.port()));
}

#[test]
fn an_empty_code_is_not_taken() {
    let visit = Visit::new();
    let page = visit.get(&format!("/oauth-callback?code=%20&state={}", visit.state));
    assert!(page.starts_with("HTTP/1.1 400 ") && page.contains("Missing authorization code"), "{page}");
    visit.assert_waiting();
}

#[test]
fn other_paths_are_not_there() {
    let visit = Visit::new();
    let query = format!("code=c-1&state={}", visit.state);
    for target in [
        "/".to_owned(),
        "/favicon.ico".to_owned(),
        format!("/oauth-callback/?{query}"),
        format!("/x?{query}"),
        format!("http://127.0.0.1/oauth-callback?{query}"),
    ] {
        let page = visit.get(&target);
        assert!(page.starts_with("HTTP/1.1 404 Not Found\r\n"), "{target}: {page}");
        assert!(!page.contains(&visit.state));
    }
    visit.assert_waiting();
}

#[test]
fn only_get_is_answered() {
    let visit = Visit::new();
    let target = format!("/oauth-callback?code=c-1&state={}", visit.state);
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "get", ""] {
        let page = visit.ask(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\ncontent-length: 0\r\n\r\n"));
        assert!(page.starts_with("HTTP/1.1 400 ") || page.starts_with("HTTP/1.1 404 "), "{method}: {page}");
    }
    visit.assert_waiting();
}

#[test]
fn only_names_of_this_machine_are_answered() {
    let visit = Visit::new();
    let target = format!("/oauth-callback?code=c-1&state={}", visit.state);
    let port = visit.server.port();
    for host in [
        "evil.test".to_owned(),
        format!("evil.test:{port}"),
        "127.0.0.1.evil.test".to_owned(),
        "localhost:1".to_owned(),
        format!("localhost:{port}\r\nHost: evil.test"),
        String::new(),
    ] {
        let page = visit.ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert!(page.starts_with("HTTP/1.1 400 "), "{host}: {page}");
    }
    let page = visit.ask(&format!("GET {target} HTTP/1.1\r\n\r\n"));
    assert!(page.starts_with("HTTP/1.1 400 "), "no host: {page}");
    visit.assert_waiting();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        for host in [host.to_owned(), format!("{host}:PORT")] {
            let visit = Visit::new();
            let host = host.replace("PORT", &visit.server.port().to_string());
            visit.ask(&format!("GET /oauth-callback?code=c-1&state={} HTTP/1.1\r\nhost: {host}\r\n\r\n", visit.state));
            assert_eq!(visit.answer().unwrap(), "c-1", "{host}");
        }
    }
}

#[test]
fn another_loopback_address_is_answered_under_its_name() {
    let visit = Visit::to("127.0.0.2");
    let page = visit.ask(&format!(
        "GET /oauth-callback?code=c-1&state={} HTTP/1.1\r\nHost: 127.0.0.2:{}\r\n\r\n",
        visit.state,
        visit.server.port()
    ));
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert_eq!(visit.answer().unwrap(), "c-1");
}

#[test]
fn localhost_is_listened_to_in_both_families_and_nowhere_else() {
    let visit = Visit::to("localhost");
    let port = visit.server.port();
    if let Ok(mut stream) = TcpStream::connect((Ipv6Addr::LOCALHOST, port)) {
        write!(stream, "GET /x HTTP/1.1\r\nHost: [::1]:{port}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_err(), "one address only");
    visit.assert_waiting();
}

#[test]
fn a_slow_or_silly_visitor_keeps_nobody_waiting() {
    let visit = Visit::new();
    let mut slow: Vec<TcpStream> = (0..8).map(|_| visit.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /oauth-callback?code=").unwrap();
    }
    let mut large = visit.connect();
    // It is cut off; whether that is noticed while writing depends on the system.
    let _ = large.write_all(&vec![b'x'; 64 * 1024]);
    let mut binary = visit.connect();
    binary.write_all(b"\xff\xfe\x00\r\n\r\n").unwrap();
    drop(visit.connect());
    let start = Instant::now();
    visit.assert_waiting();
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for the slow ones");
}

#[test]
fn the_browser_waits_when_there_are_too_many_visitors() {
    let visit = Visit::new();
    let mut slow: Vec<TcpStream> = (0..40).map(|_| visit.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /").unwrap();
    }
    let mut browser = visit.connect();
    let target = format!("/oauth-callback?code=c-1&state={}", visit.state);
    write!(browser, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    drop(slow);
    let mut page = String::new();
    browser.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert_eq!(visit.answer().unwrap(), "c-1");
}

#[test]
fn a_request_may_come_in_pieces() {
    let visit = Visit::new();
    let mut stream = visit.connect();
    let request = format!("GET /oauth-callback?code=c-1&state={} HTTP/1.1\r\nHost: localhost\r\n\r\n", visit.state);
    for piece in request.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
        stream.flush().unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(visit.answer().unwrap(), "c-1");
}

#[test]
fn a_port_that_is_taken_is_an_error_and_not_shared() {
    let port = free_port();
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let error = CallbackServer::start(&at(&format!("http://{host}:{port}/cb"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
    // Somebody has the port in the other family: the browser might go there.
    let port = free_port();
    if let Ok(_other) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
        let error = CallbackServer::start(&at(&format!("http://localhost:{port}/cb"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(is_free(port), "nothing is left listening");
    }
}

#[test]
fn two_answers_at_once_are_one() {
    for _ in 0..5 {
        let visit = Visit::new();
        std::thread::scope(|scope| {
            for code in 0..4 {
                let port = visit.server.port();
                let target = format!("/oauth-callback?code=c-{code}&state={}", visit.state);
                scope.spawn(move || {
                    if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                        let _ = write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                        let _ = stream.read_to_string(&mut String::new());
                    }
                });
            }
        });
        assert!(visit.answer().unwrap().starts_with("c-"));
        assert!(visit.server.try_answer().is_none());
    }
}
