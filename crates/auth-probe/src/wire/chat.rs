//! One turn of a conversation: the request, and the pieces of the reply as they come (spec 07 section 11.2).
//!
//! The formats are those of a probe; here the messages are the caller's, and the text is kept.

use serde_json::{Map, Value as Json, json};

use crate::wire::codex;
use crate::wire::kind::ApiKind;
use crate::wire::ollama::Lines;
use crate::wire::openai_responses::azure_url;
use crate::wire::reader::{Progress, Reader, StreamError};
use crate::wire::request::{Headers, Request, Target, encode, plain};
use crate::wire::sse::Splitter;
use crate::wire::{anthropic, google};

/// The longest reply that is kept, in bytes of text.
const LONGEST_TEXT: usize = 4 << 20;
/// What Anthropic may answer at most when nothing says otherwise, in tokens.
const ANTHROPIC_MAX_TOKENS: u32 = 8192;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
}

/// What a model is asked.
#[derive(Clone, Copy, Debug)]
pub struct Conversation<'a> {
    /// The system prompt.
    pub system: &'a str,
    /// The messages, the newest last.
    pub messages: &'a [Message],
    /// The longest answer in tokens; none leaves it to the provider.
    pub max_tokens: Option<u32>,
}

/// How many tokens a turn took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Read anew.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from a cache.
    pub cache_read: u64,
    /// Written to a cache.
    pub cache_write: u64,
}

impl TokenUsage {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.input + self.output + self.cache_read + self.cache_write
    }

    /// Everything that was read.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }
}

/// The request of a turn; `None` for an API that has none here.
#[must_use]
pub fn chat_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Option<Request> {
    Some(match target.kind {
        ApiKind::AnthropicMessages => anthropic_request(target, conversation),
        ApiKind::OpenAiCompletions | ApiKind::GithubCopilot => completions_request(target, conversation),
        ApiKind::OpenAiResponses | ApiKind::AzureOpenAiResponses => responses_request(target, conversation),
        ApiKind::OpenAiCodexResponses => codex_request(target, conversation),
        ApiKind::GoogleGenerativeAi => google_request(target, conversation),
        ApiKind::Ollama => ollama_request(target, conversation),
        ApiKind::BedrockConverseStream => return None,
    })
}

/// Messages with `role` and `content`, the system prompt first when it has a place among them.
fn plain_messages(conversation: &Conversation<'_>, with_system: bool) -> Vec<Json> {
    let system = (with_system && !conversation.system.is_empty())
        .then(|| json!({"role": "system", "content": conversation.system}));
    let messages = conversation.messages.iter().map(|message| {
        let role = if message.role == Role::User { "user" } else { "assistant" };
        json!({"role": role, "content": message.text})
    });
    system.into_iter().chain(messages).collect()
}

fn completions_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Request {
    let mut headers = target.bearer();
    if target.kind == ApiKind::GithubCopilot {
        headers.push(plain("editor-version", target.user_agent));
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.into());
    body.insert("messages".to_owned(), plain_messages(conversation, true).into());
    body.insert("stream".to_owned(), true.into());
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
    if let Some(max) = conversation.max_tokens {
        let field = target.max_tokens_field.unwrap_or("max_tokens");
        body.insert(field.to_owned(), max.into());
    }
    target.post(format!("{}/chat/completions", target.base()), headers, &Json::Object(body))
}

fn anthropic_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Request {
    let mut body = json!({
        "model": target.model,
        "max_tokens": conversation.max_tokens.unwrap_or(ANTHROPIC_MAX_TOKENS),
        "stream": true,
        "messages": plain_messages(conversation, false),
    });
    if !conversation.system.is_empty() {
        body["system"] = conversation.system.into();
    }
    target.post(format!("{}/messages", target.base_with_v1()), anthropic::headers(target), &body)
}

fn responses_input(conversation: &Conversation<'_>) -> Json {
    let items = conversation.messages.iter().map(|message| match message.role {
        Role::User => json!({"role": "user", "content": [{"type": "input_text", "text": message.text}]}),
        Role::Assistant => json!({"role": "assistant", "content": [{"type": "output_text", "text": message.text}]}),
    });
    items.collect::<Vec<_>>().into()
}

fn responses_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Request {
    let is_azure = target.kind == ApiKind::AzureOpenAiResponses;
    let mut body = json!({"model": target.model, "input": responses_input(conversation), "stream": true});
    if !conversation.system.is_empty() {
        body["instructions"] = conversation.system.into();
    }
    if let Some(max) = conversation.max_tokens {
        body["max_output_tokens"] = max.max(16).into();
    }
    if is_azure {
        return target.post(azure_url(target, "responses"), target.key_header("api-key", ""), &body);
    }
    body["store"] = false.into();
    target.post(format!("{}/responses", target.base()), target.bearer(), &body)
}

fn codex_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Request {
    let instructions =
        if conversation.system.is_empty() { "You are a helpful assistant." } else { conversation.system };
    codex::post(
        target,
        &json!({
            "model": target.model,
            "store": false,
            "stream": true,
            "instructions": instructions,
            "input": responses_input(conversation),
            "text": {"verbosity": "medium"},
            "include": ["reasoning.encrypted_content"],
            "tool_choice": "auto",
            "parallel_tool_calls": true,
        }),
    )
}

fn google_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Request {
    let contents = conversation.messages.iter().map(|message| {
        let role = if message.role == Role::User { "user" } else { "model" };
        json!({"role": role, "parts": [{"text": message.text}]})
    });
    let mut body = json!({"contents": contents.collect::<Vec<_>>()});
    if !conversation.system.is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": conversation.system}]});
    }
    if let Some(max) = conversation.max_tokens {
        body["generationConfig"] = json!({"maxOutputTokens": max});
    }
    let model = encode(target.model, b"/@:");
    let url = format!("{}/models/{model}:streamGenerateContent?alt=sse", target.base());
    let headers: Headers = google::headers(target);
    target.post(url, headers, &body)
}

fn ollama_request(target: &Target<'_>, conversation: &Conversation<'_>) -> Request {
    let mut body = json!({"model": target.model, "messages": plain_messages(conversation, true), "stream": true});
    if let Some(max) = conversation.max_tokens {
        body["options"] = json!({"num_predict": max});
    }
    target.post(format!("{}/api/chat", target.base_without_v1()), target.bearer(), &body)
}

/// What has become of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatEnd {
    /// It is complete.
    Complete,
    /// It is no answer, or broke off.
    Failed(StreamError),
}

/// Reads the reply of a turn piece by piece: the text as it comes, and at the end how it went.
#[derive(Debug)]
pub struct ChatReader {
    kind: ApiKind,
    judge: Reader,
    form: Form,
    end: Option<ChatEnd>,
    usage: TokenUsage,
    stop: Option<String>,
    kept: usize,
    /// The last event has come, whatever the connection does.
    over: bool,
}

#[derive(Debug)]
enum Form {
    Unknown,
    Events(Splitter),
    Lines(Lines),
    Body(Vec<u8>),
}

impl ChatReader {
    /// A reader for one reply.
    #[must_use]
    pub fn new(kind: ApiKind) -> Self {
        Self {
            kind,
            judge: Reader::unbounded(kind),
            form: Form::Unknown,
            end: None,
            usage: TokenUsage::default(),
            stop: None,
            kept: 0,
            over: false,
        }
    }

    /// Takes the next bytes and gives the text in them.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.end.is_none() {
            match self.judge.push(bytes) {
                Progress::More => {}
                Progress::Done => self.end = Some(ChatEnd::Complete),
                Progress::Failed(error) => self.end = Some(ChatEnd::Failed(error)),
            }
        }
        let mut text = String::new();
        self.read(bytes, &mut text);
        self.keep(text)
    }

    /// Whether the provider has said that it is done. A little may follow: how many tokens it took.
    pub fn is_complete(&self) -> bool {
        self.end == Some(ChatEnd::Complete)
    }

    /// Whether nothing more will come, although the connection may stay open.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether no answer will come.
    pub fn has_failed(&self) -> bool {
        matches!(self.end, Some(ChatEnd::Failed(_)))
    }

    /// The body has ended: the last of the text, how it went, the tokens, and why the model stopped.
    pub fn finish(mut self) -> (String, ChatEnd, TokenUsage, Option<String>) {
        let mut text = String::new();
        match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Unknown => {}
            Form::Events(splitter) => {
                if let Some(event) = splitter.finish() {
                    self.event(&event.data, &mut text);
                }
            }
            Form::Lines(lines) => {
                if let Some(line) = lines.finish() {
                    self.event(&line, &mut text);
                }
            }
            Form::Body(body) => self.body(&body, &mut text),
        }
        let text = self.keep(text);
        let end = match self.end {
            Some(end) => end,
            None => match self.judge.finish() {
                Progress::Done | Progress::More => ChatEnd::Complete,
                Progress::Failed(error) => ChatEnd::Failed(error),
            },
        };
        (text, end, self.usage, self.stop)
    }

    fn keep(&mut self, mut text: String) -> String {
        let room = LONGEST_TEXT - self.kept;
        if text.len() > room {
            let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        self.kept += text.len();
        text
    }

    fn read(&mut self, mut input: &[u8], text: &mut String) {
        if matches!(self.form, Form::Unknown) {
            let skipped = |byte: &u8| byte.is_ascii_whitespace() || [0xef, 0xbb, 0xbf].contains(byte);
            let start = input.iter().position(|byte| !skipped(byte)).unwrap_or(input.len());
            input = &input[start..];
            let Some(first) = input.first() else { return };
            self.form = match (first, self.kind) {
                (_, ApiKind::Ollama) => Form::Lines(Lines::default()),
                (b'{' | b'[', _) => Form::Body(Vec::new()),
                _ => Form::Events(Splitter::default()),
            };
        }
        let mut form = std::mem::replace(&mut self.form, Form::Unknown);
        match &mut form {
            Form::Events(splitter) => {
                while let Some(event) = splitter.next(&mut input) {
                    self.event(&event.data, text);
                }
            }
            Form::Lines(lines) => {
                while let Some(line) = lines.next(&mut input) {
                    self.event(&line, text);
                }
            }
            Form::Body(body) if body.len() + input.len() <= LONGEST_TEXT * 2 => body.extend_from_slice(input),
            Form::Unknown | Form::Body(_) => {}
        }
        self.form = form;
    }

    /// One event, or one line.
    fn event(&mut self, data: &[u8], text: &mut String) {
        let data = data.trim_ascii();
        self.over |= data == b"[DONE]";
        let Ok(data) = serde_json::from_slice::<Json>(data) else { return };
        let said = |pointer: &str| data.pointer(pointer).and_then(Json::as_str);
        self.over |= matches!(
            said("/type"),
            Some("message_stop" | "response.completed" | "response.incomplete" | "response.failed" | "response.done")
        ) || (self.kind == ApiKind::Ollama && data.get("done") == Some(&Json::Bool(true)));
        match self.kind {
            ApiKind::OpenAiCompletions | ApiKind::GithubCopilot => {
                text.push_str(said("/choices/0/delta/content").unwrap_or_default());
                self.stopped(said("/choices/0/finish_reason"));
                self.tokens(data.get("usage"));
            }
            ApiKind::AnthropicMessages => {
                text.push_str(said("/delta/text").unwrap_or_default());
                self.stopped(said("/delta/stop_reason"));
                self.tokens(data.pointer("/message/usage"));
                self.tokens(data.get("usage"));
            }
            ApiKind::OpenAiResponses | ApiKind::OpenAiCodexResponses | ApiKind::AzureOpenAiResponses => {
                if said("/type") == Some("response.output_text.delta") {
                    text.push_str(said("/delta").unwrap_or_default());
                }
                if let Some(response) = data.get("response").filter(|response| response.get("usage").is_some()) {
                    self.stopped(response.get("status").and_then(Json::as_str));
                    self.tokens(response.get("usage"));
                }
            }
            ApiKind::GoogleGenerativeAi => self.google(&data, text),
            ApiKind::Ollama => {
                text.push_str(said("/message/content").unwrap_or_default());
                self.stopped(said("/done_reason"));
                self.tokens(Some(&data));
            }
            ApiKind::BedrockConverseStream => {}
        }
    }

    fn google(&mut self, data: &Json, text: &mut String) {
        let parts = data.pointer("/candidates/0/content/parts").and_then(Json::as_array);
        let thought = |part: &&Json| part.get("thought").and_then(Json::as_bool) != Some(true);
        for part in parts.into_iter().flatten().filter(thought) {
            text.push_str(part.get("text").and_then(Json::as_str).unwrap_or_default());
        }
        self.stopped(data.pointer("/candidates/0/finishReason").and_then(Json::as_str));
        self.tokens(data.get("usageMetadata"));
    }

    /// A whole answer in one body.
    fn body(&mut self, body: &[u8], text: &mut String) {
        let Ok(body) = serde_json::from_slice::<Json>(body) else { return };
        let said = |pointer: &str| body.pointer(pointer).and_then(Json::as_str);
        match self.kind {
            ApiKind::OpenAiCompletions | ApiKind::GithubCopilot => {
                text.push_str(said("/choices/0/message/content").unwrap_or_default());
                self.stopped(said("/choices/0/finish_reason"));
            }
            ApiKind::AnthropicMessages => {
                let parts = body.get("content").and_then(Json::as_array).into_iter().flatten();
                parts.for_each(|part| text.push_str(part.get("text").and_then(Json::as_str).unwrap_or_default()));
                self.stopped(said("/stop_reason"));
            }
            ApiKind::OpenAiResponses | ApiKind::OpenAiCodexResponses | ApiKind::AzureOpenAiResponses => {
                let items = body.get("output").and_then(Json::as_array).into_iter().flatten();
                let parts = items.filter_map(|item| item.get("content")?.as_array()).flatten();
                parts
                    .filter(|part| part.get("type").and_then(Json::as_str) == Some("output_text"))
                    .for_each(|part| text.push_str(part.get("text").and_then(Json::as_str).unwrap_or_default()));
                self.stopped(said("/status"));
            }
            ApiKind::GoogleGenerativeAi => {
                let list = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
                for part in &list {
                    self.google(part, text);
                }
            }
            ApiKind::Ollama | ApiKind::BedrockConverseStream => {}
        }
        self.tokens(body.get("usage"));
    }

    fn stopped(&mut self, reason: Option<&str>) {
        if let Some(reason) = reason {
            self.stop = Some(match reason {
                "stop" | "end_turn" | "STOP" | "completed" | "stop_sequence" => "stop".to_owned(),
                "length" | "max_tokens" | "MAX_TOKENS" | "incomplete" => "length".to_owned(),
                other => other.to_lowercase().chars().filter(|c| !c.is_control()).take(40).collect(),
            });
        }
    }

    /// Takes what a report of usage says; later reports stand for all.
    fn tokens(&mut self, usage: Option<&Json>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let number = |names: &[&str]| names.iter().find_map(|name| usage.pointer(name).and_then(Json::as_u64));
        let cached = number(&[
            "/prompt_tokens_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
            "/cachedContentTokenCount",
        ]);
        if let Some(all) = number(&["/prompt_tokens", "/promptTokenCount", "/prompt_eval_count"]) {
            self.usage.input = all.saturating_sub(cached.unwrap_or(0));
        } else if let Some(input) = number(&["/input_tokens"]) {
            // Anthropic leaves the cached ones out already; OpenAI counts them in.
            self.usage.input = input.saturating_sub(cached.unwrap_or(0));
        }
        if let Some(cached) = cached.or_else(|| number(&["/cache_read_input_tokens"])) {
            self.usage.cache_read = cached;
        }
        if let Some(written) = number(&["/cache_creation_input_tokens"]) {
            self.usage.cache_write = written;
        }
        if let Some(output) = number(&["/completion_tokens", "/output_tokens", "/candidatesTokenCount", "/eval_count"])
        {
            self.usage.output = output;
        }
    }
}
