//! Sending the requests of a plan: several at once, each within its deadline, no retry, no redirect
//! (spec 03 section 5.6).

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use auth_core::failure::{ProbeStatus, Reason, Signal, classify_probe};
use auth_core::secrets::Redactor;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinSet;

use crate::schedule::Schedule;
use crate::wire::{
    ApiKind, FreeVerdict, Method, Progress, Reader, Request, StreamError, Value, error_text, free_verdict,
};

/// The most that is read of an answer that is an error, in bytes.
const MAX_ERROR_BODY: usize = 64 * 1024;
/// The most that is read of the answer of a free check, in bytes.
const MAX_CHECK_BODY: usize = 1024 * 1024;
/// The most that is shown of an error, in characters.
const MAX_SHOWN: usize = 600;

/// One request of a plan.
#[derive(Debug)]
pub struct Job {
    /// What is sent.
    pub request: Request,
    /// How the answer is read.
    pub kind: ApiKind,
    /// The check, when it is one that costs nothing.
    pub check: Option<&'static str>,
    /// The provider, for what its texts mean.
    pub provider: String,
    /// Whether the model was chosen here: that it is gone then says nothing about the key.
    pub usual_model: bool,
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one request may take, answer included, in milliseconds.
    pub timeout_ms: u64,
    /// How many are under way at once; to one host never more than [`PER_HOST_MAX`](crate::PER_HOST_MAX).
    pub concurrency: usize,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct LiveRow {
    /// The verdict.
    pub status: ProbeStatus,
    /// Why it is not good.
    pub reason: Option<Reason>,
    /// What the other side said, without secrets.
    pub error: Option<String>,
    /// From sending to the verdict, in milliseconds; none when nothing was sent, or the user gave it up.
    pub latency_ms: Option<u64>,
    /// The status of the answer.
    pub http_status: Option<u16>,
    /// When to try again, in milliseconds from the answer.
    pub retry_after_ms: Option<u64>,
    /// The name that the other side gave the request.
    pub request_id: Option<String>,
    /// What is left of the quota, as the other side says it.
    pub quota: Vec<(String, String)>,
    /// The check, when it was one that costs nothing.
    pub check: Option<&'static str>,
}

/// Does what a request needs first, within a time, on a thread that may block.
pub type Preparation = Box<dyn FnOnce(Duration) -> Prepared + Send>;

/// What a preparation ended with.
#[derive(Debug)]
pub enum Prepared {
    /// The request can be sent.
    Job(Box<Job>),
    /// There is a verdict already.
    Row(Box<LiveRow>),
}

/// One row of a plan that is asked.
pub enum Task {
    /// Its request is ready.
    Ready(Job),
    /// Something has to be done first.
    Later {
        /// Where the request will go.
        url: String,
        /// What has to be done.
        prepare: Preparation,
    },
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready(job) => f.debug_tuple("Ready").field(job).finish(),
            Self::Later { url, .. } => f.debug_struct("Later").field("url", url).finish_non_exhaustive(),
        }
    }
}

impl Task {
    fn url(&self) -> &str {
        match self {
            Self::Ready(job) => &job.request.url,
            Self::Later { url, .. } => url,
        }
    }
}

impl LiveRow {
    fn new(status: ProbeStatus, reason: Option<Reason>, error: Option<String>) -> Self {
        let (latency_ms, quota) = (None, Vec::new());
        Self {
            status,
            reason,
            error,
            latency_ms,
            http_status: None,
            retry_after_ms: None,
            request_id: None,
            quota,
            check: None,
        }
    }

    /// A credential that works.
    pub(crate) fn ok(check: Option<&'static str>) -> Self {
        Self { check, ..Self::new(ProbeStatus::Ok, None, None) }
    }

    pub(crate) fn failed(reason: Reason, error: impl Into<String>) -> Self {
        Self::new(reason.status(), Some(reason), Some(error.into()))
    }

    /// The row of a request that was given up because the user said so.
    pub fn cancelled() -> Self {
        Self::failed(Reason::Cancelled, "cancelled")
    }
}

/// What requests go out through.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Through the proxy that the environment names.
    usual: Client,
    /// To this machine, never through a proxy.
    local: Client,
    /// No request leaves this machine.
    loopback_only: bool,
}

impl Clients {
    /// Makes the clients. `extra_roots` are further certificates in PEM, from `NODE_EXTRA_CA_CERTS`.
    ///
    /// # Errors
    ///
    /// When the certificates cannot be read, or TLS cannot be set up.
    pub fn new(extra_roots: Option<&[u8]>) -> Result<Self, String> {
        // A second call finds one installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let build = |local: bool, system_roots: bool| {
            let mut builder = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .http1_only()
                .referer(false)
                // A server may end a connection that waits; what was sent on it then would get no verdict.
                .pool_max_idle_per_host(0)
                .retry(reqwest::retry::never());
            if local {
                builder = builder.no_proxy();
            }
            if let Some(pem) = extra_roots {
                let roots = reqwest::Certificate::from_pem_bundle(pem)
                    .map_err(|_| "the extra certificates are not PEM".to_owned())?;
                builder = if system_roots { builder.tls_certs_merge(roots) } else { builder.tls_certs_only(roots) };
            } else if !system_roots {
                builder = builder.tls_certs_only([]);
            }
            builder.build().map_err(|error| chain(&error))
        };
        // A machine without certificates trusts nobody, which every answer over TLS then says; others need none.
        let either = |local: bool| build(local, true).or_else(|_| build(local, false));
        Ok(Self { usual: either(false)?, local: either(true)?, loopback_only: false })
    }

    /// The same clients, which refuse every model API request that would leave this machine (spec 04 section 8).
    #[must_use]
    pub fn loopback_only(self) -> Self {
        Self { loopback_only: true, ..self }
    }

    pub(crate) fn of(&self, url: &str) -> &Client {
        if is_loopback(url) { &self.local } else { &self.usual }
    }
}

/// Whether an address names this machine, in any of the ways an address can be written.
fn is_loopback(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| match host_address(&url) {
        Some(address) => address.is_loopback(),
        None => is_localhost(&url),
    })
}

/// The number of a host that is one, in any of the ways it can be written.
pub(crate) fn host_address(url: &reqwest::Url) -> Option<IpAddr> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    host.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Host and port of an address, which have a bound of their own.
fn place(url: &str) -> String {
    let place = |url: reqwest::Url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?));
    reqwest::Url::parse(url).ok().and_then(place).unwrap_or_default()
}

/// Whether the name of a host stands for this machine.
pub(crate) fn is_localhost(url: &reqwest::Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"))
}

/// The rows of a run, in the order of its jobs, and whether the user ended it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One row for each job.
    pub rows: Vec<LiveRow>,
    /// Whether it was ended before all had answered.
    pub cancelled: bool,
}

/// What a run tells of while it goes on. Numbers are places in the list of its jobs.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The request goes out.
    Asking(usize),
    /// The verdict is there.
    Done(usize, &'a LiveRow),
    /// The user ended the run, and what was begun before a request is waited for.
    Finishing,
}

/// Sends the requests and tells of each when it goes out and when it is done. Equal requests are sent once. `redactor`
/// knows every secret of the plan. What was begun before a request is always finished, also after its deadline and
/// after an interrupt: it may hold the only copy of a new secret.
pub async fn run(
    tasks: Vec<Task>,
    limits: Limits,
    clients: &Clients,
    redactor: &Redactor,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Outcome {
    let mut rows: Vec<Option<LiveRow>> = tasks.iter().map(|_| None).collect();
    let mut twins: HashMap<String, Vec<usize>> = HashMap::new();
    let mut first: Vec<usize> = Vec::new();
    let names: Vec<String> = tasks.iter().enumerate().map(|(at, task)| identity(at, task)).collect();
    for (at, name) in names.iter().enumerate() {
        let same = twins.entry(name.clone()).or_default();
        if same.is_empty() {
            first.push(at);
        }
        same.push(at);
    }
    let mut schedule = Schedule::new(first.into_iter().map(|at| (at, place(tasks[at].url()))), limits.concurrency);
    let mut waiting: Vec<Option<Task>> = tasks.into_iter().map(Some).collect();
    let mut under_way = JoinSet::new();
    let mut cancelled = false;
    let mut interrupt = std::pin::pin!(asked_to_end());
    // Every preparation holds a sender: the channel closes when the last one has ended.
    let (preparing, mut prepared) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        while let Some(at) = schedule.next() {
            let Some(task) = waiting[at].take() else { continue };
            let (clients, redactor, preparing) = (clients.clone(), redactor.clone(), preparing.clone());
            let timeout = Duration::from_millis(limits.timeout_ms);
            twins.get(&names[at]).into_iter().flatten().for_each(|twin| on_event(Event::Asking(*twin)));
            under_way.spawn(async move { (at, ask(task, &clients, timeout, &redactor, preparing).await) });
        }
        let done = tokio::select! {
            done = under_way.join_next() => done,
            () = &mut interrupt => {
                cancelled = true;
                under_way.abort_all();
                break;
            }
        };
        match done {
            None => break,
            Some(Ok((at, row))) => {
                schedule.done(at);
                for twin in twins.get(&names[at]).into_iter().flatten() {
                    on_event(Event::Done(*twin, &row));
                    rows[*twin] = Some(row.clone());
                }
            }
            // A task that was aborted has no row; it is reported as cancelled.
            Some(Err(_)) => {}
        }
    }
    drop((preparing, under_way, waiting));
    if cancelled && prepared.try_recv() == Err(TryRecvError::Empty) {
        on_event(Event::Finishing);
    }
    let _ = prepared.recv().await;
    Outcome { rows: rows.into_iter().map(|row| row.unwrap_or_else(LiveRow::cancelled)).collect(), cancelled }
}

/// Ends when a signal asks the program to: Ctrl-C, or what a service manager or a closing terminal sends. Later ones wait
/// for what is finished yet.
async fn asked_to_end() {
    let listen = |kind| tokio::signal::unix::signal(kind).ok();
    let terminated = async |listener: Option<tokio::signal::unix::Signal>| match listener {
        Some(mut listener) => drop(listener.recv().await),
        None => std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated(listen(SignalKind::terminate())) => {}
        () = terminated(listen(SignalKind::hangup())) => {}
    }
}

/// What makes two requests the same: place, content and credential. A login that is renewed first is like no other.
fn identity(at: usize, task: &Task) -> String {
    let Task::Ready(job) = task else { return format!("later {at}") };
    let headers = job.request.headers.iter().map(|(name, value)| match value {
        Value::Plain(text) => format!("{name}:{text}"),
        Value::Secret { prefix, secret } => format!("{name}:{prefix}{}", secret.fingerprint()),
    });
    let mut parts: Vec<String> = headers.filter(|header| !header.starts_with("session_id:")).collect();
    parts.push(job.request.url.clone());
    parts.extend(job.request.body.clone());
    parts.join("\n")
}

/// Does what a request needs first, sends it and judges the answer, all within the deadline.
async fn ask(task: Task, clients: &Clients, timeout: Duration, redactor: &Redactor, preparing: Preparing) -> LiveRow {
    let start = Instant::now();
    let mut usual_model = false;
    let mut check = None;
    let mut renewed = redactor.clone();
    let asked = async {
        let job = match task {
            Task::Ready(job) => {
                drop(preparing);
                job
            }
            Task::Later { prepare, .. } => {
                let work = tokio::task::spawn_blocking(move || {
                    let prepared = prepare(timeout);
                    drop(preparing);
                    prepared
                });
                match work.await {
                    Ok(Prepared::Job(job)) => *job,
                    Ok(Prepared::Row(row)) => {
                        check = row.check;
                        return *row;
                    }
                    Err(_) => return LiveRow::failed(Reason::InvalidResponse, "it could not be made ready"),
                }
            }
        };
        (usual_model, check) = (job.usual_model, job.check);
        renewed = redactor.with(secrets_of(&job.request));
        exchange(&job, clients).await
    };
    let mut row = match tokio::time::timeout(timeout, asked).await {
        Ok(row) => row,
        Err(_) => LiveRow::failed(Reason::Timeout, format!("no complete answer within {} ms", timeout.as_millis())),
    };
    let redactor = &renewed;
    row.check = check;
    row.latency_ms = Some(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    let shown = |text: &str, most: usize| redactor.redact(text).chars().take(most).collect::<String>();
    row.request_id = row.request_id.map(|text| shown(&text, MAX_SHOWN));
    row.quota = row.quota.iter().map(|(name, value)| (shown(name, 120), shown(value, 120))).collect();
    if row.reason == Some(Reason::ModelNotFound) && usual_model {
        let more = "the key was neither confirmed nor refused; choose a model with openclaw models set, or use --probe-mode free";
        let room = MAX_SHOWN - more.len() - 3;
        row.error = Some(match &row.error {
            Some(text) => format!("{} ({more})", shown(text, room)),
            None => more.to_owned(),
        });
    }
    row.error = row.error.map(|text| shown(&text, MAX_SHOWN));
    row
}

/// Held by every preparation until it has ended.
type Preparing = tokio::sync::mpsc::Sender<()>;

fn secrets_of(request: &Request) -> Vec<auth_core::Secret> {
    let secret = |(_, value): &(String, Value)| match value {
        Value::Secret { secret, .. } => Some(secret.clone()),
        Value::Plain(_) => None,
    };
    request.headers.iter().filter_map(secret).collect()
}

/// Sends a request.
async fn send(request: &Request, clients: &Clients) -> Result<Response, LiveRow> {
    if clients.loopback_only && !is_loopback(&request.url) {
        let text = "not sent: OPENCLAW_AUTH_TEST_BASE_URL is set, so that requests stay on this machine";
        return Err(LiveRow::failed(Reason::Network, text));
    }
    let client = clients.of(&request.url);
    let builder = match request.method {
        Method::Get => client.get(&request.url),
        Method::Post => client.post(&request.url),
    };
    let headers = headers_of(request)
        .map_err(|name| LiveRow::failed(Reason::Format, format!("the value of the header {name} cannot be sent")))?;
    let builder = match &request.body {
        Some(body) => builder.body(body.clone()),
        None => builder,
    };
    builder.headers(headers).send().await.map_err(|error| unreachable_row(&error, &request.url))
}

/// Sends one request and gives the status of its answer, which is not read.
///
/// # Errors
///
/// Why there is no answer: [`Reason::Timeout`], [`Reason::Network`], [`Reason::Tls`], or [`Reason::Format`] for a
/// request that cannot be sent.
pub async fn status_of(request: &Request, clients: &Clients, timeout: Duration) -> Result<u16, Reason> {
    match tokio::time::timeout(timeout, send(request, clients)).await {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(row)) => Err(row.reason.unwrap_or(Reason::Network)),
        Err(_) => Err(Reason::Timeout),
    }
}

async fn exchange(job: &Job, clients: &Clients) -> LiveRow {
    let response = match send(&job.request, clients).await {
        Ok(response) => response,
        Err(row) => return row,
    };
    let status = response.status().as_u16();
    let said = Said::of(response.headers());
    let mut row = match status {
        200..=299 => match job.check {
            Some(check) => checked(job, check, response).await,
            None => answered(job, response).await,
        },
        300..=399 => redirected(&response),
        404 | 405 | 501 if job.check.is_some() => LiveRow::failed(
            Reason::NoFreeCheck,
            format!("{status}: this endpoint has no free check; use --probe-mode live"),
        ),
        _ => {
            let mut body = Vec::new();
            // What came of a body that breaks off tells more than nothing.
            let _ = read_body(response, MAX_ERROR_BODY, &mut body).await;
            let (message, code) = error_text(job.kind, status, &body);
            refused(job, Some(status), code.as_deref(), &message)
        }
    };
    row.http_status = Some(status);
    row.retry_after_ms = said.retry_after_ms;
    row.request_id = said.request_id;
    row.quota = said.quota;
    row
}

fn headers_of(request: &Request) -> Result<HeaderMap, &str> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let fault = |_| name.as_str();
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| name.as_str())?;
        let value = match value {
            Value::Plain(text) => HeaderValue::from_str(text).map_err(fault)?,
            Value::Secret { prefix, secret } => {
                let text = auth_core::Secret::new(format!("{prefix}{}", secret.reveal()));
                // Characters up to U+00FF go out as one byte each.
                let bytes: Vec<u8> = text.reveal().chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect();
                let mut value = HeaderValue::from_bytes(&bytes).map_err(fault)?;
                value.set_sensitive(true);
                value
            }
        };
        headers.insert(key, value);
    }
    Ok(headers)
}

/// What the headers of an answer say beside it.
struct Said {
    retry_after_ms: Option<u64>,
    request_id: Option<String>,
    quota: Vec<(String, String)>,
}

impl Said {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let seconds = |text: &str| text.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
        let in_ms = text("retry-after-ms").and_then(seconds).map(|ms| Duration::from_secs_f64(ms.min(1e9) / 1000.0));
        let in_seconds = || text("retry-after").and_then(seconds).map(|s| Duration::from_secs_f64(s.min(1e9)));
        let until = || {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text("retry-after")?).ok()?;
            Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default())
        };
        let wait = in_ms.or_else(in_seconds).or_else(until);
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(120).collect::<String>();
        let quota = headers
            .iter()
            .filter(|(name, _)| name.as_str().contains("ratelimit"))
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), plain(value.to_str().ok()?))))
            .take(20);
        Self {
            retry_after_ms: wait.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            request_id: text("request-id").or_else(|| text("x-request-id")).map(plain),
            quota: quota.collect(),
        }
    }
}

/// Reads the answer of a model until it is certain.
async fn answered(job: &Job, mut response: Response) -> LiveRow {
    let mut reader = Reader::new(job.kind);
    loop {
        let progress = match response.chunk().await {
            Ok(Some(bytes)) => reader.push(&bytes),
            Ok(None) => return ended(job, reader.finish()),
            Err(error) => return broken(&error),
        };
        if !matches!(progress, Progress::More) {
            return ended(job, progress);
        }
    }
}

fn ended(job: &Job, progress: Progress) -> LiveRow {
    match progress {
        Progress::Done => LiveRow::new(ProbeStatus::Ok, None, None),
        Progress::More => LiveRow::failed(Reason::InvalidResponse, "the answer ended early"),
        Progress::Failed(StreamError::Invalid(what)) => LiveRow::failed(Reason::InvalidResponse, what),
        Progress::Failed(StreamError::Reported { status, code, message }) => {
            refused(job, status, code.as_deref(), &message)
        }
    }
}

async fn checked(job: &Job, check: &'static str, response: Response) -> LiveRow {
    let mut body = Vec::new();
    if let Err(error) = read_body(response, MAX_CHECK_BODY, &mut body).await {
        return broken(&error);
    }
    match free_verdict(&job.provider, check, &body) {
        FreeVerdict::Ok => LiveRow::new(ProbeStatus::Ok, None, None),
        FreeVerdict::Billing(text) => LiveRow::failed(Reason::Billing, text),
        FreeVerdict::RateLimit(text) => LiveRow::failed(Reason::RateLimit, text),
        FreeVerdict::Format => LiveRow::failed(Reason::InvalidResponse, "the answer is not JSON"),
    }
}

/// Reads a body up to a limit; what comes after it is not read.
async fn read_body(mut response: Response, limit: usize, body: &mut Vec<u8>) -> Result<(), reqwest::Error> {
    while let Some(bytes) = response.chunk().await? {
        let room = limit - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if body.len() >= limit {
            break;
        }
    }
    Ok(())
}

fn refused(job: &Job, status: Option<u16>, code: Option<&str>, message: &str) -> LiveRow {
    let reason = classify_probe(&Signal { status, code, message, provider: &job.provider });
    let bucket = reason.map_or(ProbeStatus::Unknown, Reason::status);
    LiveRow::new(bucket, reason, Some(message.to_owned()))
}

fn redirected(response: &Response) -> LiveRow {
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    let host = location.and_then(auth_core::host_of).unwrap_or_else(|| "the same host".to_owned());
    let status = response.status().as_u16();
    LiveRow::failed(Reason::RedirectRefused, format!("{status}: redirects to {host}, which is not followed"))
}

fn unreachable_row(error: &reqwest::Error, url: &str) -> LiveRow {
    let text = chain(error);
    let host = Some(place(url)).filter(|host| !host.is_empty()).unwrap_or_else(|| "the address".to_owned());
    let lower = text.to_lowercase();
    if lower.contains("certificate") {
        return LiveRow { status: ProbeStatus::Unknown, ..LiveRow::failed(Reason::Tls, format!("{host}: {text}")) };
    }
    LiveRow::failed(Reason::Network, format!("{host}: {text}"))
}

fn broken(error: &reqwest::Error) -> LiveRow {
    LiveRow::failed(Reason::InvalidResponse, format!("the answer broke off: {}", chain(error)))
}

/// What is wrong, from the outside to the cause, without the URL.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut at = error.source();
    while let Some(cause) = at {
        parts.push(cause.to_string());
        at = cause.source();
    }
    parts.pop().unwrap_or_else(|| "the request could not be made".to_owned())
}
