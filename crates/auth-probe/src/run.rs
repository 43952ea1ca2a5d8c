//! Sending the requests of a plan: several at once, each within its deadline, no retry, no redirect
//! (spec 03 section 5.6).

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_core::failure::{ProbeStatus, Reason, Signal, classify_probe};
use auth_core::secrets::Redactor;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response};
use tokio::task::JoinSet;

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
    /// How many are under way at once.
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
}

impl LiveRow {
    fn new(status: ProbeStatus, reason: Option<Reason>, error: Option<String>) -> Self {
        let (latency_ms, quota) = (None, Vec::new());
        Self { status, reason, error, latency_ms, http_status: None, retry_after_ms: None, request_id: None, quota }
    }

    fn failed(reason: Reason, error: impl Into<String>) -> Self {
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
        Ok(Self { usual: either(false)?, local: either(true)? })
    }

    fn of(&self, url: &str) -> &Client {
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

/// Sends the requests and tells of each when it is done. Equal requests are sent once. `redactor` knows every secret of
/// the plan.
pub async fn run(
    jobs: Vec<Job>,
    limits: Limits,
    clients: &Clients,
    redactor: &Redactor,
    on_done: &mut dyn FnMut(usize, &LiveRow),
) -> Outcome {
    let mut rows: Vec<Option<LiveRow>> = jobs.iter().map(|_| None).collect();
    let mut twins: HashMap<String, Vec<usize>> = HashMap::new();
    let mut first: Vec<usize> = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        let same = twins.entry(identity(job)).or_default();
        if same.is_empty() {
            first.push(at);
        }
        same.push(at);
    }
    let jobs: Vec<Arc<Job>> = jobs.into_iter().map(Arc::new).collect();
    let mut waiting = first.into_iter();
    let mut under_way = JoinSet::new();
    let mut cancelled = false;
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        while under_way.len() < limits.concurrency.max(1)
            && let Some(at) = waiting.next()
        {
            let (job, clients, redactor) = (Arc::clone(&jobs[at]), clients.clone(), redactor.clone());
            let timeout = Duration::from_millis(limits.timeout_ms);
            under_way.spawn(async move { (at, ask(&job, &clients, timeout, &redactor).await) });
        }
        let done = tokio::select! {
            done = under_way.join_next() => done,
            _ = &mut interrupt => {
                cancelled = true;
                under_way.abort_all();
                break;
            }
        };
        match done {
            None => break,
            Some(Ok((at, row))) => {
                for twin in twins.get(&identity(&jobs[at])).into_iter().flatten() {
                    on_done(*twin, &row);
                    rows[*twin] = Some(row.clone());
                }
            }
            // A task that was aborted has no row; it is reported as cancelled.
            Some(Err(_)) => {}
        }
    }
    Outcome { rows: rows.into_iter().map(|row| row.unwrap_or_else(LiveRow::cancelled)).collect(), cancelled }
}

/// What makes two requests the same: place, content and credential.
fn identity(job: &Job) -> String {
    let headers = job.request.headers.iter().map(|(name, value)| match value {
        Value::Plain(text) => format!("{name}:{text}"),
        Value::Secret { prefix, secret } => format!("{name}:{prefix}{}", secret.fingerprint()),
    });
    let mut parts: Vec<String> = headers.filter(|header| !header.starts_with("session_id:")).collect();
    parts.push(job.request.url.clone());
    parts.extend(job.request.body.clone());
    parts.join("\n")
}

/// Sends one request and judges the answer, within the deadline.
async fn ask(job: &Job, clients: &Clients, timeout: Duration, redactor: &Redactor) -> LiveRow {
    let start = Instant::now();
    let mut row = match tokio::time::timeout(timeout, exchange(job, clients)).await {
        Ok(row) => row,
        Err(_) => LiveRow::failed(Reason::Timeout, format!("no complete answer within {} ms", timeout.as_millis())),
    };
    row.latency_ms = Some(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
    let shown = |text: &str, most: usize| redactor.redact(text).chars().take(most).collect::<String>();
    row.request_id = row.request_id.map(|text| shown(&text, MAX_SHOWN));
    row.quota = row.quota.iter().map(|(name, value)| (shown(name, 120), shown(value, 120))).collect();
    if row.reason == Some(Reason::ModelNotFound) && job.usual_model {
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

/// Sends a request.
async fn send(request: &Request, clients: &Clients) -> Result<Response, LiveRow> {
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

/// As [`status_of`], and in words why there is no answer.
///
/// # Errors
///
/// The same reasons, each with its text: host and cause, nothing that was sent.
pub async fn reach(request: &Request, clients: &Clients, timeout: Duration) -> Result<u16, (Reason, String)> {
    match tokio::time::timeout(timeout, send(request, clients)).await {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(row)) => Err((row.reason.unwrap_or(Reason::Network), row.error.unwrap_or_default())),
        Err(_) => Err((Reason::Timeout, format!("no answer within {} ms", timeout.as_millis()))),
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
    let parsed = reqwest::Url::parse(url).ok();
    let host = parsed.and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    let host = host.unwrap_or_else(|| "the address".to_owned());
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
fn chain(error: &dyn Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut at = error.source();
    while let Some(cause) = at {
        parts.push(cause.to_string());
        at = cause.source();
    }
    parts.pop().unwrap_or_else(|| "the request could not be made".to_owned())
}
