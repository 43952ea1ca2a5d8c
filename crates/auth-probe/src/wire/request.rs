//! Requests as values, and what all kinds have in common (spec 03 sections 5.1 and 5.2).

use auth_core::Secret;
use serde_json::Value as Json;

use crate::wire::kind::ApiKind;
use crate::wire::{anthropic, bedrock, codex, google, ollama, openai_completions, openai_responses};

/// The only user message of a probe.
pub(crate) const PROMPT: &str = "Reply with OK. Do not use tools.";

/// The headers that the HTTP client makes from the body; configured ones would contradict it.
const FRAMING_HEADERS: [&str; 2] = ["content-length", "transfer-encoding"];

/// The HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

impl Method {
    /// The word on the request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// The value of a header. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub enum Value {
    /// A text that anyone may see.
    Plain(String),
    /// A fixed text followed by a secret, such as `Bearer ` and a key.
    Secret {
        /// What stands before the secret, blank included.
        prefix: &'static str,
        /// The secret itself.
        secret: Secret,
    },
}

/// One HTTP request: all of it but the framing headers, which the client derives from `body`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The full address; it never holds a credential of ours.
    pub url: String,
    /// Names in lower case, each at most once.
    pub headers: Vec<(String, Value)>,
    /// The body of a `POST`, compact JSON.
    pub body: Option<String>,
}

/// What a probe is aimed at: a connection with its credential, completely resolved.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The protocol.
    pub kind: ApiKind,
    /// The base URL as configured; slashes at its end do not matter.
    pub base_url: &'a str,
    /// The model id as the provider knows it; for Azure the name of the deployment.
    pub model: &'a str,
    /// The key or token, already cleaned.
    pub credential: Option<&'a Secret>,
    /// The normalised provider id.
    pub provider: &'a str,
    /// The output limit that was asked for, in tokens.
    pub max_tokens: u32,
    /// Configured headers: they override the built-in ones, names compared without case.
    pub headers: &'a [(String, Value)],
    /// Whether `authorization: Bearer KEY` is sent in any case, instead of a configured or built-in one.
    pub auth_header: bool,
    /// `compat.maxTokensField` of the model.
    pub max_tokens_field: Option<&'a str>,
    /// The ChatGPT account, for `openai-codex-responses`.
    pub account_id: Option<&'a str>,
    /// `AZURE_OPENAI_API_VERSION`; none means `v1`.
    pub api_version: Option<&'a str>,
    /// `openclaw/VERSION`.
    pub user_agent: &'a str,
    /// `probe-…`, for `openai-codex-responses`.
    pub session_id: &'a str,
}

/// The one request of a live probe (5.2, 5.3).
#[must_use]
pub fn live_request(target: &Target<'_>) -> Request {
    match target.kind {
        ApiKind::AnthropicMessages => anthropic::request(target),
        ApiKind::OpenAiCompletions | ApiKind::GithubCopilot => openai_completions::request(target),
        ApiKind::OpenAiResponses | ApiKind::AzureOpenAiResponses => openai_responses::request(target),
        ApiKind::OpenAiCodexResponses => codex::request(target),
        ApiKind::GoogleGenerativeAi => google::request(target),
        ApiKind::Ollama => ollama::request(target),
        ApiKind::BedrockConverseStream => bedrock::request(target),
    }
}

/// The headers of one kind, before the configured ones are laid over them.
pub(crate) type Headers = Vec<(&'static str, Value)>;

impl Target<'_> {
    /// The base URL without slashes at its end.
    pub(crate) fn base(&self) -> &str {
        self.base_url.trim().trim_end_matches('/')
    }

    /// The base URL with `/v1`, which is not doubled.
    pub(crate) fn base_with_v1(&self) -> String {
        let base = self.base();
        if base.ends_with("/v1") { base.to_owned() } else { format!("{base}/v1") }
    }

    /// The base URL without a trailing `/v1`.
    pub(crate) fn base_without_v1(&self) -> &str {
        let base = self.base();
        base.strip_suffix("/v1").unwrap_or(base).trim_end_matches('/')
    }

    /// The credential under a header of its own, if there is one.
    pub(crate) fn key_header(&self, name: &'static str, prefix: &'static str) -> Headers {
        let value = |secret: &Secret| (name, Value::Secret { prefix, secret: secret.clone() });
        self.credential.map(value).into_iter().collect()
    }

    /// `authorization: Bearer KEY`, if there is a key.
    pub(crate) fn bearer(&self) -> Headers {
        self.key_header("authorization", "Bearer ")
    }

    /// A `POST` of compact JSON.
    pub(crate) fn post(&self, url: String, own: Headers, body: &Json) -> Request {
        self.post_text(url, own, body.to_string())
    }

    /// A `POST` of a JSON text that somebody else wrote.
    pub(crate) fn post_text(&self, url: String, own: Headers, body: String) -> Request {
        let content_type = ("content-type", Value::Plain("application/json".to_owned()));
        let headers = self.all_headers(std::iter::once(content_type), own);
        Request { method: Method::Post, url, headers, body: Some(body) }
    }

    /// A `GET`.
    pub(crate) fn get(&self, url: String, own: Headers) -> Request {
        Request { method: Method::Get, url, headers: self.all_headers(std::iter::empty(), own), body: None }
    }

    /// Built-in headers, then the configured ones over them, then the header that `authHeader` demands.
    fn all_headers(&self, first: impl Iterator<Item = (&'static str, Value)>, own: Headers) -> Vec<(String, Value)> {
        let mut headers: Vec<(String, Value)> = Vec::new();
        for (name, value) in first {
            set(&mut headers, name, value);
        }
        set(&mut headers, "user-agent", Value::Plain(self.user_agent.to_owned()));
        for (name, value) in own {
            set(&mut headers, name, value);
        }
        for (name, value) in self.headers {
            let name = name.trim().to_ascii_lowercase();
            if !FRAMING_HEADERS.contains(&name.as_str()) {
                set(&mut headers, &name, value.clone());
            }
        }
        if self.auth_header {
            for (name, value) in self.bearer() {
                set(&mut headers, name, value);
            }
        }
        headers
    }
}

/// Sets a header whose name is in lower case, in the place of an older one.
pub(crate) fn set(headers: &mut Vec<(String, Value)>, name: &str, value: Value) {
    match headers.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => headers.push((name.to_owned(), value)),
    }
}

/// A plain header.
pub(crate) fn plain(name: &'static str, text: &str) -> (&'static str, Value) {
    (name, Value::Plain(text.to_owned()))
}

/// Percent-encodes a text for a path or query; `keep` lists what stays besides letters, digits and `-._~`.
pub(crate) fn encode(text: &str, keep: &[u8]) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |four_bits: u8| DIGITS.get(usize::from(four_bits)).copied().unwrap_or('0');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}
