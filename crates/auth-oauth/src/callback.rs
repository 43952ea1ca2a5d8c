//! The little server that the browser comes back to (spec 04 section 5): this machine only, one path, GET only.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use auth_core::Secret;
use url::Url;
use url::form_urlencoded::parse;

use crate::code_flow::CodeFlow;
use crate::error::OAuthError;
use crate::pkce::same_in_constant_time;

/// The most of a request that is read, in bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// How long one visitor may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many visitors are served at once.
const MAX_VISITORS: usize = 16;
/// How often the listeners are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Waits for the browser. It stops listening when it is dropped, and after the first answer that belongs to the login.
#[derive(Debug)]
pub struct CallbackServer {
    answers: Receiver<Result<Secret, OAuthError>>,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
    port: u16,
}

struct Rules {
    path: String,
    /// The host of the redirect address, which is one of this machine.
    host: String,
    port: u16,
    state: Secret,
}

impl CallbackServer {
    /// Listens where the browser comes back to.
    ///
    /// # Errors
    ///
    /// When the port is taken. The login then goes on with what the user pastes.
    pub fn start(flow: &CodeFlow) -> std::io::Result<Self> {
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let url = Url::parse(flow.redirect()).map_err(|_| invalid())?;
        let port = url.port_or_known_default().ok_or_else(invalid)?;
        let mut listeners = Vec::new();
        let on = |address: IpAddr| {
            let listener = TcpListener::bind(SocketAddr::new(address, port))?;
            listener.set_nonblocking(true)?;
            Ok::<_, std::io::Error>(listener)
        };
        match url.host() {
            Some(url::Host::Ipv6(address)) if address.is_loopback() => listeners.push(on(address.into())?),
            Some(url::Host::Ipv4(address)) if address.is_loopback() => listeners.push(on(address.into())?),
            Some(url::Host::Domain("localhost")) => {
                listeners.push(on(Ipv4Addr::LOCALHOST.into())?);
                // A machine without IPv6 does without; a port that somebody else has there would get the browser's code.
                match on(Ipv6Addr::LOCALHOST.into()) {
                    Ok(listener) => listeners.push(listener),
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => return Err(error),
                    Err(_) => {}
                }
            }
            _ => return Err(invalid()),
        }
        let (sender, answers) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let host = url.host_str().unwrap_or_default().to_owned();
        let rules = Arc::new(Rules { path: url.path().to_owned(), host, port, state: flow.state().clone() });
        let stopped = Arc::clone(&stop);
        let listener = std::thread::Builder::new()
            .name("login callback".to_owned())
            .spawn(move || listen(&listeners, &rules, &stopped, &sender))?;
        Ok(Self { answers, stop, listener: Some(listener), port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the browser has brought: the code, or why there is none. `None` as long as it has not come back.
    pub fn try_answer(&self) -> Option<Result<Secret, OAuthError>> {
        self.answers.try_recv().ok()
    }
}

impl Drop for CallbackServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The port is free when this returns, a tick later at most: the next login may want it.
        let _ = self.listener.take().map(JoinHandle::join);
    }
}

fn listen(
    listeners: &[TcpListener],
    rules: &Arc<Rules>,
    stop: &Arc<AtomicBool>,
    sender: &Sender<Result<Secret, OAuthError>>,
) {
    let visitors = Arc::new(AtomicUsize::new(0));
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        for listener in listeners {
            // Those who come when it is full wait at the door: one of them may be the browser.
            if visitors.load(Ordering::Relaxed) >= MAX_VISITORS {
                break;
            }
            let Ok((stream, _)) = listener.accept() else { continue };
            idle = false;
            visitors.fetch_add(1, Ordering::Relaxed);
            let (rules, stop, sender) = (Arc::clone(rules), Arc::clone(stop), sender.clone());
            let count = Arc::clone(&visitors);
            let served = std::thread::Builder::new().spawn(move || {
                if let Some(answer) = serve(stream, &rules) {
                    // The first one counts.
                    if !stop.swap(true, Ordering::Relaxed) {
                        let _ = sender.send(answer);
                    }
                }
                count.fetch_sub(1, Ordering::Relaxed);
            });
            if served.is_err() {
                visitors.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if idle {
            std::thread::sleep(TICK);
        }
    }
}

/// Answers one visitor. Gives what the login gets, if this was the browser.
fn serve(mut stream: TcpStream, rules: &Rules) -> Option<Result<Secret, OAuthError>> {
    stream.set_nonblocking(false).ok()?;
    let head = read_head(&mut stream)?;
    let reply = judge(&head, rules);
    let page = page(&reply);
    let _ = stream.write_all(page.as_bytes());
    let _ = stream.flush();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    match reply {
        Reply::Code(code) => Some(Ok(code)),
        Reply::Refused(error) => Some(Err(error)),
        Reply::NotFound | Reply::Bad(_) => None,
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let start = Instant::now();
    let mut seen = Vec::new();
    let mut part = [0; 2048];
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        let left = PATIENCE.checked_sub(start.elapsed()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        seen.extend_from_slice(&part[..count]);
        if seen.len() > MAX_REQUEST {
            return None;
        }
    }
    String::from_utf8(seen).ok()
}

enum Reply {
    Code(Secret),
    Refused(OAuthError),
    NotFound,
    Bad(&'static str),
}

fn judge(head: &str, rules: &Rules) -> Reply {
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let mut hosts = lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = hosts.next().map(|(_, value)| value.trim());
    let one_host = hosts.next().is_none();
    let known = ["localhost", "127.0.0.1", "[::1]", rules.host.as_str()];
    let ours = host.is_some_and(|host| {
        known
            .iter()
            .any(|name| host.eq_ignore_ascii_case(name) || host.eq_ignore_ascii_case(&format!("{name}:{}", rules.port)))
    });
    if !ours || !one_host {
        return Reply::Bad("This address is for a login on this machine.");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != rules.path {
        return Reply::NotFound;
    }
    if method != "GET" {
        return Reply::Bad("Only a browser's GET is answered here.");
    }
    let pairs: Vec<(String, String)> = parse(query.as_bytes()).into_owned().collect();
    let value = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim());
    // Whoever does not know the state cannot end this login, neither well nor badly.
    if !value("state").is_some_and(|state| same_in_constant_time(state, rules.state.reveal())) {
        return Reply::Bad("This answer does not belong to the login that is under way.");
    }
    if let Some(code) = value("error") {
        return Reply::Refused(crate::pasted::refused(code, value("error_description")));
    }
    match value("code").filter(|code| !code.is_empty()) {
        Some(code) => Reply::Code(Secret::new(code)),
        None => Reply::Bad("Missing authorization code."),
    }
}

/// A page of plain words. It takes the code out of the browser's history.
fn page(reply: &Reply) -> String {
    let (status, text) = match reply {
        Reply::Code(_) => ("200 OK", "Signed in. Close this page and go back to the terminal."),
        Reply::Refused(_) => ("400 Bad Request", "The login was refused. Go back to the terminal."),
        Reply::NotFound => ("404 Not Found", "There is nothing here."),
        Reply::Bad(why) => ("400 Bad Request", *why),
    };
    let body = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>openclaw</title><p style=\"font:1.2em sans-serif;margin:3em\">{text}</p>\
         <script>history.replaceState(null,'',location.pathname)</script>\n"
    );
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &str) -> String {
        let rules =
            Rules { path: "/cb".to_owned(), host: "127.0.0.2".to_owned(), port: 1455, state: Secret::new("st-1") };
        let reply = judge(&format!("{request}\r\n\r\n"), &rules);
        let page = page(&reply);
        assert!(!page.contains("st-1") && !page.contains("c-1"), "the page repeats what came in");
        match reply {
            Reply::Code(code) => format!("code {}", code.reveal()),
            Reply::Refused(error) => format!("refused {}", error.code.unwrap_or_default()),
            Reply::NotFound => "404".to_owned(),
            Reply::Bad(_) => "400".to_owned(),
        }
    }

    #[test]
    fn only_the_browser_of_this_login_is_believed() {
        for (request, said) in [
            ("GET /cb?code=c-1&state=st-1 HTTP/1.1\r\nHost: localhost:1455", "code c-1"),
            ("GET /cb?state=st-1&code=c%2D1 HTTP/1.1\r\nhost: 127.0.0.1", "code c-1"),
            ("GET /cb?code=c-1&state=st-1 HTTP/1.1\r\nHost: 127.0.0.2:1455", "code c-1"),
            ("GET /cb?error=access_denied&state=st-1 HTTP/1.1\r\nHost: localhost", "refused access_denied"),
            ("GET /cb?error=access_denied HTTP/1.1\r\nHost: localhost", "400"),
            ("GET /cb?code=c-1&state=foreign HTTP/1.1\r\nHost: localhost", "400"),
            ("GET /cb?code=c-1 HTTP/1.1\r\nHost: localhost", "400"),
            ("GET /cb?code=&state=st-1 HTTP/1.1\r\nHost: localhost", "400"),
            ("POST /cb?code=c-1&state=st-1 HTTP/1.1\r\nHost: localhost", "400"),
            ("GET /favicon.ico HTTP/1.1\r\nHost: localhost", "404"),
            ("GET /cb?code=c-1&state=st-1 HTTP/1.1\r\nHost: evil.test", "400"),
            ("GET /cb?code=c-1&state=st-1 HTTP/1.1\r\nHost: localhost:1\r\nHost: localhost", "400"),
            ("GET /cb?code=c-1&state=st-1 HTTP/1.1", "400"),
            ("rubbish", "400"),
        ] {
            assert_eq!(answer(request), said, "{request}");
        }
    }
}
