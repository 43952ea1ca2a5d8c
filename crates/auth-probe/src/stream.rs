//! One request of a conversation, its reply as it comes (spec 07 section 6).

use auth_core::failure::{Reason, Signal, classify};
use auth_core::secrets::Redactor;
use bytes::Bytes;
use reqwest::Response;

use crate::clients::Clients;
use crate::run::{Job, MAX_ERROR_BODY, MAX_SHOWN, Said, chain, read_body, redirected, secrets_of, send};
use crate::wire::{ChatEnd, ChatReader, StreamError, TokenUsage, error_text};

/// Why a request has no answer, without secrets.
#[derive(Clone, Debug)]
pub struct ReplyFailure {
    /// The class of the failure, if it is known.
    pub reason: Option<Reason>,
    /// What the other side said, or what went wrong.
    pub message: String,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The code of the provider.
    pub code: Option<String>,
    /// When to try again, in milliseconds from the answer.
    pub retry_after_ms: Option<u64>,
    /// The connection broke before a single byte of an answer had come, so that the same may be sent again.
    pub broke_early: bool,
}

/// How a reply ended.
#[derive(Clone, Debug, Default)]
pub struct Replied {
    /// The tokens that it took.
    pub usage: TokenUsage,
    /// Why the model stopped.
    pub stop: Option<String>,
}

/// What stands before the bytes of a reply that is passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyHead {
    /// The status.
    pub status: u16,
    /// The headers that may be passed on: what the body is, the number of the request, the limits.
    pub headers: Vec<(String, String)>,
}

impl ReplyHead {
    fn of(response: &Response) -> Self {
        let passes = |name: &str| {
            matches!(name, "content-type" | "request-id" | "retry-after") || name.starts_with("anthropic-ratelimit-")
        };
        let headers = response.headers().iter().filter(|(name, _)| passes(name.as_str()));
        let headers = headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        Self { status: response.status().as_u16(), headers: headers.collect() }
    }
}

/// A reply under way.
#[derive(Debug)]
pub struct Reply {
    response: Response,
    head: ReplyHead,
    /// Taken when the body has ended.
    reader: Option<ChatReader>,
    job: Job,
    redactor: Redactor,
    ended: Option<Replied>,
}

impl Reply {
    /// Sends a request. `redactor` knows the secrets of the agent.
    ///
    /// # Errors
    ///
    /// When there is no answer, or it is a refusal.
    pub async fn open(job: Job, clients: &Clients, redactor: &Redactor) -> Result<Self, ReplyFailure> {
        let redactor = redactor.with(secrets_of(&job.request));
        let shown = |text: &str| redactor.redact(text).chars().take(MAX_SHOWN).collect::<String>();
        let mut response = send(&job.request, clients, job.ca.as_ref()).await.map_err(|row| ReplyFailure {
            reason: row.reason,
            message: shown(row.error.as_deref().unwrap_or("no answer")),
            status: None,
            code: None,
            retry_after_ms: None,
            broke_early: row.reason == Some(Reason::Network),
        })?;
        let status = response.status().as_u16();
        let said = Said::of(response.headers());
        let failure = |reason, message: &str, code: Option<String>| ReplyFailure {
            reason,
            message: shown(message),
            status: Some(status),
            code,
            retry_after_ms: said.retry_after_ms,
            broke_early: false,
        };
        match status {
            200..=299 => {
                let head = ReplyHead::of(&response);
                // They are slices of the buffer that they were read into: it would be kept as long as the stream lasts.
                response.headers_mut().clear();
                let reader = Some(ChatReader::new(job.kind));
                Ok(Self { response, head, reader, job, redactor, ended: None })
            }
            300..=399 => {
                let row = redirected(&response);
                Err(failure(row.reason, row.error.as_deref().unwrap_or("redirects"), None))
            }
            _ => {
                let mut body = Vec::new();
                // What came of a body that breaks off tells more than nothing.
                let _ = read_body(response, MAX_ERROR_BODY, &mut body).await;
                let (message, code) = error_text(job.kind, status, &body);
                let signal =
                    Signal { status: Some(status), code: code.as_deref(), message: &message, provider: &job.provider };
                Err(failure(classify(&signal), &message, code))
            }
        }
    }

    /// The next piece of text; none when the reply is complete.
    ///
    /// # Errors
    ///
    /// When the reply breaks off, or reports an error.
    pub async fn next(&mut self) -> Result<Option<String>, ReplyFailure> {
        loop {
            let Some(reader) = &mut self.reader else { return Ok(None) };
            let chunk = if reader.is_over() { Ok(None) } else { self.response.chunk().await };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                // The provider had said that it was done: how the connection ends does not matter.
                Err(_) if reader.is_complete() => None,
                Err(error) => return Err(self.broke(&chain(&error))),
            };
            let Some(bytes) = chunk else {
                let reader = self.reader.take();
                let Some((text, end, usage, stop)) = reader.map(ChatReader::finish) else { return Ok(None) };
                if let ChatEnd::Failed(error) = end {
                    return Err(self.failed(error));
                }
                self.ended = Some(Replied { usage, stop });
                return Ok((!text.is_empty()).then_some(text));
            };
            let text = reader.push(&bytes);
            if reader.has_failed() {
                let reader = self.reader.take();
                if let Some(ChatEnd::Failed(error)) = reader.map(|reader| reader.finish().1) {
                    return Err(self.failed(error));
                }
            }
            if !text.is_empty() {
                return Ok(Some(text));
            }
        }
    }

    /// The next bytes as they came, for somebody who reads them as the provider meant them; none when the reply is
    /// complete.
    ///
    /// # Errors
    ///
    /// When the reply breaks off, or reports an error. The bytes of the error are not given then.
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, ReplyFailure> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let chunk = match self.response.chunk().await {
            Ok(chunk) => chunk,
            Err(_) if reader.is_complete() => None,
            Err(error) => return Err(self.broke(&chain(&error))),
        };
        if let Some(bytes) = &chunk {
            reader.push(bytes);
        }
        if chunk.is_some() && !reader.has_failed() {
            return Ok(chunk);
        }
        let reader = self.reader.take();
        let Some((_, end, usage, stop)) = reader.map(ChatReader::finish) else { return Ok(None) };
        if let ChatEnd::Failed(error) = end {
            return Err(self.failed(error));
        }
        self.ended = Some(Replied { usage, stop });
        Ok(None)
    }

    /// The status and those headers that somebody who gets the bytes may see.
    pub fn head(&self) -> &ReplyHead {
        &self.head
    }

    /// How the reply ended; nothing is known before it has.
    pub fn ended(&self) -> Replied {
        self.ended.clone().unwrap_or_default()
    }

    fn broke(&self, why: &str) -> ReplyFailure {
        self.told(Some(Reason::Timeout), &format!("the answer broke off: {why}"), None, None)
    }

    fn failed(&self, error: StreamError) -> ReplyFailure {
        match error {
            StreamError::Invalid(what) => self.told(Some(Reason::InvalidResponse), what, None, None),
            StreamError::Reported { status, code, message } => {
                let signal = Signal { status, code: code.as_deref(), message: &message, provider: &self.job.provider };
                self.told(classify(&signal), &message, status, code)
            }
        }
    }

    fn told(&self, reason: Option<Reason>, message: &str, status: Option<u16>, code: Option<String>) -> ReplyFailure {
        let message = self.redactor.redact(message).chars().take(MAX_SHOWN).collect();
        ReplyFailure { reason, message, status, code, retry_after_ms: None, broke_early: false }
    }
}
