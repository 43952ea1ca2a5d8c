//! Telling (spec 06 section 14.2): ten seconds each, two more tries where that may help, no redirect followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth_core::failure::Reason;
use auth_core::monitor::{Event, Message};
use auth_probe::wire::{Method, Request, Value};
use auth_probe::{Clients, status_of};

use super::channel::Channel;
use super::system::{find_program, run_program};
use crate::commands::Session;

/// Names this program to the other side.
const USER_AGENT: &str = concat!("openclaw/", env!("CARGO_PKG_VERSION"));
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses before the second and the third try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// How long a command may take, in milliseconds.
const COMMAND_MS: u64 = 30_000;
/// How often a delivery looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whether the process was asked to end.
#[derive(Clone)]
pub(super) struct Stop(pub(super) Arc<AtomicBool>);

impl Stop {
    pub(super) fn never() -> Self {
        Self(Arc::default())
    }

    pub(super) fn came(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What came of telling one channel.
pub(super) struct Delivery {
    pub(super) event: &'static str,
    pub(super) channel: String,
    /// Why it did not arrive; holds neither address nor token.
    pub(super) error: Option<String>,
}

/// Tells. The network is set up when the first message needs it.
pub(super) struct Sender<'a> {
    session: &'a Session,
    stop: &'a Stop,
    network: Option<Result<(tokio::runtime::Runtime, Clients), String>>,
    /// Channels that failed in this pass: what fails three times will fail a fourth time.
    down: Vec<String>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(session: &'a Session, stop: &'a Stop) -> Self {
        Self { session, stop, network: None, down: Vec::new() }
    }

    /// Tells every channel, one after the other. Ends early when the process is to end.
    pub(super) fn send(&mut self, event: &Event, channels: &[Channel]) -> Vec<Delivery> {
        let message = Message::of(event);
        let mut done = Vec::new();
        for (at, channel) in channels.iter().enumerate() {
            if self.stop.came() {
                break;
            }
            let name = channel.name();
            let place = format!("{at}");
            let result = if self.down.contains(&place) {
                Err("it has just failed".to_owned())
            } else {
                match channel {
                    Channel::Command { words } => self.run(words, event, &message),
                    Channel::Webhook { address, token } => {
                        let body = event.document().to_string();
                        let headers = vec![plain("content-type", "application/json")];
                        self.post(address.reveal(), headers, token.as_ref(), body)
                    }
                    Channel::Ntfy { url, token, .. } => {
                        let headers = vec![
                            plain("content-type", "text/plain; charset=utf-8"),
                            plain("title", &message.title),
                            plain("priority", message.priority),
                            plain("tags", message.tags),
                        ];
                        self.post(url, headers, token.as_ref(), message.body.clone())
                    }
                }
            };
            if result.is_err() {
                if self.stop.came() {
                    break;
                }
                self.down.push(place);
            }
            done.push(Delivery { event: event.kind.as_str(), channel: name, error: result.err() });
        }
        done
    }

    fn run(&self, words: &[String], event: &Event, message: &Message) -> Result<(), String> {
        let (name, args) = words.split_first().ok_or("it is empty")?;
        let path = find_program(self.session, name).ok_or("there is no such program")?;
        let variables = [
            ("OPENCLAW_AUTH_EVENT", event.kind.as_str().to_owned()),
            ("OPENCLAW_AUTH_STATUS", event.overall.overall().to_owned()),
            ("OPENCLAW_AUTH_SUMMARY", message.summary.clone()),
        ];
        let input = event.document().to_string() + "\n";
        run_program(self.session, &path, args, Some(input), &variables, COMMAND_MS).map(drop)
    }

    fn post(
        &mut self,
        url: &str,
        mut headers: Vec<(String, Value)>,
        token: Option<&auth_core::Secret>,
        body: String,
    ) -> Result<(), String> {
        headers.push(plain("user-agent", USER_AGENT));
        if let Some(secret) = token.cloned() {
            headers.push(("authorization".to_owned(), Value::Secret { prefix: "Bearer ", secret }));
        }
        let request = Request { method: Method::Post, url: url.to_owned(), headers, body: Some(body) };
        let session = self.session;
        let network = self.network.get_or_insert_with(|| start(session));
        let (runtime, clients) = network.as_ref().map_err(Clone::clone)?;
        let stop = self.stop;
        runtime.block_on(async {
            tokio::select! {
                result = tries(&request, clients) => result,
                () = ended(stop) => Err("ended".to_owned()),
            }
        })
    }
}

impl Drop for Sender<'_> {
    fn drop(&mut self) {
        if let Some(Ok((runtime, _))) = self.network.take() {
            // A name that is still being looked up has a thread of its own, which would hold the end up.
            runtime.shutdown_background();
        }
    }
}

fn start(session: &Session) -> Result<(tokio::runtime::Runtime, Clients), String> {
    let clients = crate::commands::online::clients(&session.state).map_err(|failure| failure.message)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok((runtime.map_err(|error| format!("cannot start: {error}"))?, clients))
}

async fn ended(stop: &Stop) {
    while !stop.came() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn tries(request: &Request, clients: &Clients) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    loop {
        let (why, again) = match status_of(request, clients, TIMEOUT).await {
            Ok(200..=299) => return Ok(()),
            Ok(status @ (429 | 500..=599)) => (format!("HTTP status {status}"), true),
            Ok(status @ 300..=399) => (format!("HTTP status {status}; redirects are not followed"), false),
            Ok(status) => (format!("HTTP status {status}"), false),
            Err(Reason::Timeout) => (format!("no answer within {} s", TIMEOUT.as_secs()), true),
            Err(Reason::Tls) => ("no trusted TLS connection".to_owned(), false),
            Err(Reason::Network) => ("no connection".to_owned(), true),
            Err(_) => ("the request cannot be sent".to_owned(), false),
        };
        match pauses.next().filter(|_| again) {
            Some(pause) => tokio::time::sleep(*pause).await,
            None => return Err(why),
        }
    }
}

fn plain(name: &str, text: &str) -> (String, Value) {
    (name.to_owned(), Value::Plain(text.to_owned()))
}
