//! An identity provider on loopback that is as strict as the real ones: one-time codes bound to their PKCE challenge,
//! client and redirect address; device codes; refresh tokens that rotate, and a family that dies when one is used twice.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// `HOST/PATH` of the real provider, without the query.
    pub(crate) place: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    /// A field of the body, which is a form or a JSON object.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        if let Ok(body) = serde_json::from_str::<Value>(&self.body) {
            return body[name].as_str().map(str::to_owned);
        }
        fields(&self.body).remove(name)
    }
}

/// What is said instead of the usual answer.
#[derive(Clone, Debug)]
pub(crate) struct Instead {
    status: u16,
    body: String,
}

#[derive(Debug)]
struct Grant {
    challenge: String,
    redirect: String,
    client: String,
    used: bool,
}

#[derive(Debug, Default)]
struct Book {
    requests: Vec<Request>,
    grants: BTreeMap<String, Grant>,
    /// Refresh token → its family; the family's token that is good now, none once it is revoked.
    families: BTreeMap<String, usize>,
    current: Vec<Option<String>>,
    instead: BTreeMap<String, VecDeque<Instead>>,
    polls: VecDeque<Value>,
    minimax_challenge: String,
    secrets: Vec<String>,
    serial: u32,
    /// Requests after so many are held back.
    held_after: Option<usize>,
    account: Option<Value>,
    client_secret: Option<String>,
}

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    change: Condvar,
}

/// The text of an answer.
pub(crate) struct Body(String);

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Value> for Body {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

/// The provider. It listens until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    shared: Arc<Shared>,
    pub(crate) base: String,
}

pub(crate) const EMAIL: &str = "dev@example.com";

impl Identity {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared { book: Mutex::default(), change: Condvar::new() });
        let identity = Self { shared, base };
        let serving = identity.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(&stream));
            }
        });
        identity
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests to this place so far.
    pub(crate) fn asked(&self, place: &str) -> Vec<Request> {
        self.book().requests.iter().filter(|request| request.place == place).cloned().collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.book().requests.len()
    }

    /// Waits until so many requests have come to a place.
    pub(crate) fn wait_for(&self, place: &str, count: usize) {
        let mut book = self.book();
        let limit = std::time::Instant::now() + Duration::from_secs(60);
        while book.requests.iter().filter(|request| request.place == place).count() < count {
            let left = limit.saturating_duration_since(std::time::Instant::now());
            assert!(!left.is_zero(), "nobody asked {place}");
            book = self.shared.change.wait_timeout(book, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next request to a place gets this answer.
    pub(crate) fn answer(&self, place: &str, status: u16, body: impl Into<Body>) {
        let instead = Instead { status, body: body.into().0 };
        self.book().instead.entry(place.to_owned()).or_default().push_back(instead);
    }

    /// Answers are held back from now on, or let go.
    pub(crate) fn hold(&self, held: bool) {
        self.hold_after(held.then_some(0));
    }

    /// The answers to all but the first requests are held back, or let go.
    pub(crate) fn hold_after(&self, count: Option<usize>) {
        self.book().held_after = count;
        self.shared.change.notify_all();
    }

    /// What the next questions about a device code are answered with, before the login.
    pub(crate) fn polls(&self, answers: &[Value]) {
        self.book().polls.extend(answers.iter().cloned());
    }

    /// What the access tokens say of the account, instead of the usual.
    pub(crate) fn account(&self, claims: Value) {
        self.book().account = Some(claims);
    }

    /// The secret that the client has to name.
    pub(crate) fn client_secret(&self, secret: &str) {
        let mut book = self.book();
        book.client_secret = Some(secret.to_owned());
        book.secrets.push(secret.to_owned());
    }

    /// Every secret that was issued or sent, and may be shown nowhere.
    pub(crate) fn secrets(&self) -> Vec<String> {
        self.book().secrets.clone()
    }

    /// A login that was made before: its refresh token is good once.
    pub(crate) fn existing(&self) -> (String, String) {
        let mut book = self.book();
        let refresh = book.new_family();
        (book.access(), refresh)
    }

    /// Whether the family of a refresh token still lives, and with which token.
    pub(crate) fn current(&self, refresh: &str) -> Option<String> {
        let book = self.book();
        book.current[*book.families.get(refresh)?].clone()
    }

    /// The user agrees at the address that the program shows: gives the address that the browser is sent to.
    pub(crate) fn agree(&self, authorize: &str) -> String {
        let (at, query) = authorize.split_once('?').unwrap();
        let given = fields(query);
        let value = |name: &str| given.get(name).unwrap_or_else(|| panic!("{at} without {name}")).clone();
        assert_eq!((value("response_type"), value("code_challenge_method")), ("code".to_owned(), "S256".to_owned()));
        assert_eq!(value("code_challenge").len(), 43);
        assert!(value("state").len() >= 32 && !given.contains_key("code_verifier"));
        let mut book = self.book();
        book.serial += 1;
        let code = format!("code-test-canary-{:04}-{}", book.serial, &value("state")[..6]);
        book.secrets.push(code.clone());
        let grant = Grant {
            challenge: value("code_challenge"),
            redirect: value("redirect_uri"),
            client: value("client_id"),
            used: false,
        };
        book.grants.insert(code.clone(), grant);
        format!("{}?code={code}&scope=openid&state={}", value("redirect_uri"), value("state"))
    }

    fn serve(&self, stream: &TcpStream) {
        let Some(request) = read(stream) else { return };
        let (instead, number) = {
            let mut book = self.book();
            book.requests.push(request.clone());
            let verifier = request.field("code_verifier");
            book.secrets.extend(verifier);
            let instead = book.instead.get_mut(&request.place).and_then(VecDeque::pop_front);
            (instead, book.requests.len())
        };
        self.shared.change.notify_all();
        let (status, body) = match instead {
            Some(instead) => (instead.status, instead.body),
            None => {
                let (status, body) = self.book().judge(&request);
                (status, body.to_string())
            }
        };
        let mut book = self.book();
        while book.held_after.is_some_and(|count| number > count) {
            book = self.shared.change.wait(book).unwrap_or_else(PoisonError::into_inner);
        }
        drop(book);
        let mut stream = stream;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    }
}

impl Book {
    fn access(&mut self) -> String {
        self.serial += 1;
        let claims = self.account.clone().unwrap_or_else(|| {
            json!({
                "https://api.openai.com/auth": {"chatgpt_account_id": "acct-test-1"},
                "https://api.openai.com/profile": {"email": EMAIL},
            })
        });
        let text = format!("{}{}", json!({"alg": "none"}), "");
        let token = format!(
            "{}.{}.sig-canary-{:04}",
            base64url(text.as_bytes()),
            base64url(claims.to_string().as_bytes()),
            self.serial
        );
        self.secrets.push(token.clone());
        token
    }

    fn new_family(&mut self) -> String {
        self.serial += 1;
        let family = self.current.len();
        let token = format!("rt-test-canary-{family:03}-{:04}", self.serial);
        self.families.insert(token.clone(), family);
        self.current.push(Some(token.clone()));
        self.secrets.push(token.clone());
        token
    }

    fn rotate(&mut self, sent: &str) -> Option<String> {
        let family = *self.families.get(sent)?;
        if self.current[family].as_deref() != Some(sent) {
            self.current[family] = None;
            return None;
        }
        self.serial += 1;
        let token = format!("rt-test-canary-{family:03}-{:04}", self.serial);
        self.families.insert(token.clone(), family);
        self.current[family] = Some(token.clone());
        self.secrets.push(token.clone());
        Some(token)
    }

    fn tokens(&mut self) -> Value {
        json!({"access_token": self.access(), "refresh_token": self.new_family(), "expires_in": 3600, "token_type": "Bearer"})
    }

    fn judge(&mut self, request: &Request) -> (u16, Value) {
        let field = |name: &str| request.field(name).unwrap_or_default();
        match request.place.as_str() {
            "auth.openai.com/oauth/token"
            | "oauth2.googleapis.com/token"
            | "api.chutes.ai/idp/token"
            | "platform.claude.com/v1/oauth/token" => match field("grant_type").as_str() {
                "authorization_code" => self.exchange(request),
                "refresh_token" => self.refresh(request),
                _ => (400, json!({"error": "unsupported_grant_type"})),
            },
            "www.googleapis.com/oauth2/v1/userinfo" => (200, json!({"email": EMAIL})),
            "cloudcode-pa.googleapis.com/v1internal:loadCodeAssist" => {
                (200, json!({"currentTier": {"id": "free-tier"}, "cloudaicompanionProject": "project-test"}))
            }
            "api.chutes.ai/idp/userinfo" => (200, json!({"username": "dev", "sub": "sub-test"})),
            "github.com/login/device/code" => {
                self.secrets.push("dc-test-canary-0001".to_owned());
                (
                    200,
                    json!({"device_code": "dc-test-canary-0001", "user_code": "WDJB-MJHT",
                        "verification_uri": "https://github.com/login/device", "expires_in": 900, "interval": 1}),
                )
            }
            "github.com/login/oauth/access_token" => {
                if field("device_code") != "dc-test-canary-0001" {
                    return (200, json!({"error": "incorrect_device_code"}));
                }
                match self.polls.pop_front() {
                    Some(answer) => (200, answer),
                    None => {
                        self.secrets.push("gho-test-canary-0001".to_owned());
                        (200, json!({"access_token": "gho-test-canary-0001", "token_type": "bearer"}))
                    }
                }
            }
            "api.minimax.io/oauth/code" | "api.minimaxi.com/oauth/code" => {
                self.minimax_challenge = field("code_challenge");
                (
                    200,
                    json!({"user_code": "MM-1234", "verification_uri": "https://www.minimax.io/oauth/verify?code=MM-1234",
                        "expired_in": 4_102_444_800_000_u64, "interval": 2000, "state": field("state")}),
                )
            }
            "api.minimax.io/oauth/token" | "api.minimaxi.com/oauth/token" => {
                if field("grant_type") == "refresh_token" {
                    return self.refresh(request);
                }
                if base64url(&Sha256::digest(field("code_verifier"))) != self.minimax_challenge {
                    return (400, json!({"base_resp": {"status_msg": "bad verifier"}}));
                }
                match self.polls.pop_front() {
                    Some(answer) => (200, answer),
                    None => {
                        let mut answer = self.tokens();
                        answer["status"] = json!("success");
                        answer["expired_in"] = json!(4_102_444_800_000_u64);
                        (200, answer)
                    }
                }
            }
            _ => (404, json!({"error": "not_found"})),
        }
    }

    fn exchange(&mut self, request: &Request) -> (u16, Value) {
        let refuse = |why: &str| (400, json!({"error": "invalid_grant", "error_description": why}));
        let field = |name: &str| request.field(name).unwrap_or_default();
        let code = field("code");
        let Some(grant) = self.grants.get_mut(&code) else { return refuse("no such code") };
        if std::mem::replace(&mut grant.used, true) {
            return refuse("the code was used before");
        }
        if base64url(&Sha256::digest(field("code_verifier"))) != grant.challenge {
            return refuse("the verifier does not fit the challenge");
        }
        if (field("client_id"), field("redirect_uri")) != (grant.client.clone(), grant.redirect.clone()) {
            return refuse("another client or redirect address");
        }
        if self.client_secret.as_ref().is_some_and(|secret| *secret != field("client_secret")) {
            return (401, json!({"error": "invalid_client"}));
        }
        (200, self.tokens())
    }

    fn refresh(&mut self, request: &Request) -> (u16, Value) {
        let sent = request.field("refresh_token").unwrap_or_default();
        let Some(next) = self.rotate(&sent) else {
            return (
                401,
                json!({"error": {"code": "refresh_token_reused", "message": format!("{sent} was used before")}}),
            );
        };
        let access = self.access();
        let mut answer = json!({"access_token": access, "refresh_token": next, "expires_in": 3600});
        if request.place.contains("minimax") {
            answer["status"] = json!("success");
            answer["expired_in"] = json!(4_102_444_800_000_u64);
        }
        (200, answer)
    }
}

/// Percent-decoded pairs of a query or a form.
pub(crate) fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' if after.len() >= 2 => {
                let hex = std::str::from_utf8(&after[..2]).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &after[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..part.len()].copy_from_slice(part);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for at in 0..=part.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let place = target.split('?').next()?.trim_start_matches('/').to_owned();
    Some(Request { method, place, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// The browser: opens an address of this machine, gives the status and the page.
pub(crate) fn browse(url: &str) -> (u16, String) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: browser\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    (status, answer)
}
