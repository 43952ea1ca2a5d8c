//! A token endpoint that gives every refresh token one use, and takes a second use for theft: the whole login is revoked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// What happened to one login.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    /// The refresh token that is good now.
    pub(crate) refresh: String,
    /// The access token that is good now; empty before the first refresh and after the login was revoked.
    pub(crate) access: String,
    /// Refresh requests that arrived.
    pub(crate) asked: u32,
    /// Of those, the ones whose sender had gone before they were worked on: nothing was changed for them.
    pub(crate) abandoned: u32,
    /// Of those, the ones that got new tokens.
    pub(crate) granted: u32,
    /// Whether the ones that got new tokens include one of the process that is killed.
    pub(crate) granted_to_victim: bool,
    /// Whether a token was used twice.
    pub(crate) revoked: bool,
}

#[derive(Debug, Default)]
struct Book {
    /// By the name that every token of a login carries.
    logins: HashMap<String, Login>,
}

/// The server. It listens until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct RotatingServer {
    book: Arc<Mutex<Book>>,
    /// How long a refresh is worked on.
    work: Duration,
    /// Where the processes ask.
    pub(crate) base: String,
    /// Where the one asks that is killed, so that its requests can be told apart.
    pub(crate) victim_base: String,
}

impl RotatingServer {
    /// Starts it.
    pub(crate) fn start(work: Duration) -> Result<Self> {
        let (usual, victim) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let address = |listener: &TcpListener| Ok::<_, std::io::Error>(format!("http://{}", listener.local_addr()?));
        let server = Self { book: Arc::default(), work, base: address(&usual)?, victim_base: address(&victim)? };
        for (listener, is_victim) in [(usual, false), (victim, true)] {
            let server = server.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let server = server.clone();
                    thread::spawn(move || server.serve(&stream, is_victim));
                }
            });
        }
        Ok(server)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a login; gives its first refresh token.
    pub(crate) fn login(&self, name: &str) -> String {
        let refresh = format!("rt-test.{name}.0");
        self.book().logins.insert(name.to_owned(), Login { refresh: refresh.clone(), ..Login::default() });
        refresh
    }

    /// What happened to it.
    pub(crate) fn state(&self, name: &str) -> Login {
        self.book().logins.get(name).cloned().unwrap_or_default()
    }

    fn serve(&self, stream: &TcpStream, is_victim: bool) {
        let Some((target, head, body)) = read(stream) else { return };
        let (status, answer) = if target.contains("/oauth/token") {
            let sent = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).unwrap_or_default();
            let name = sent.split('.').nth(1).unwrap_or_default();
            if let Some(login) = self.book().logins.get_mut(name) {
                login.asked += 1;
            }
            thread::sleep(self.work);
            // Whoever has hung up gets nothing, and nothing is changed for them.
            if has_gone(stream) {
                if let Some(login) = self.book().logins.get_mut(name) {
                    login.abandoned += 1;
                }
                return;
            }
            self.book().refresh(name, sent, is_victim)
        } else {
            let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or_default();
            let name = bearer.split('.').nth(1).unwrap_or_default();
            let good = |login: &Login| !login.access.is_empty() && login.access == bearer;
            if self.book().logins.get(name).is_some_and(good) {
                (200, json!({"plan_type": "test"}))
            } else {
                (401, json!({"error": {"code": "token_expired"}}))
            }
        };
        let text = answer.to_string();
        let mut stream = stream;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
    }
}

impl Book {
    fn refresh(&mut self, name: &str, sent: &str, is_victim: bool) -> (u16, Value) {
        let Some(login) = self.logins.get_mut(name) else { return (400, json!({"error": "invalid_grant"})) };
        if login.revoked || login.refresh != sent {
            login.revoked = true;
            login.access.clear();
            return (401, json!({"error": {"code": "refresh_token_reused"}}));
        }
        login.granted += 1;
        login.granted_to_victim |= is_victim;
        login.refresh = format!("rt-test.{name}.{}", login.granted);
        login.access = format!("at-test.{name}.{}", login.granted);
        (200, json!({"access_token": login.access, "refresh_token": login.refresh, "expires_in": 3600}))
    }
}

/// Whether the other side has closed the connection.
fn has_gone(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let gone = match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    let _ = stream.set_nonblocking(false);
    gone
}

/// Target, headers and body of a request.
fn read(stream: &TcpStream) -> Option<(String, String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        head.push_str(line);
        head.push('\n');
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((target, head, String::from_utf8(body).ok()?))
}
