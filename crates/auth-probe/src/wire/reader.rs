//! Reads the reply of a live request (spec 03 section 5.4).

use serde_json::{Value as Json, json};

use crate::wire::bedrock::{self, Frames};
use crate::wire::error_text::{describe, first_characters, given, status_in};
use crate::wire::kind::ApiKind;
use crate::wire::ollama::{self, Lines};
use crate::wire::sse::{Event, Splitter};
use crate::wire::{anthropic, google, openai_completions, openai_responses};

/// The longest reply that is read, in bytes.
const LONGEST: usize = 1 << 20;

const BROKEN_JSON: &str = "the reply holds broken JSON";
pub(crate) const BROKEN_FRAME: &str = "the reply holds a broken event-stream message";
const EMPTY: &str = "the reply is empty";
const ENDED_EARLY: &str = "the reply ended before the answer was complete";
const HTML: &str = "the reply is an HTML page";
const INCOMPLETE: &str = "the reply is JSON but no complete answer";
const TOO_LONG: &str = "the reply is longer than 1 MiB";

/// How far a reply has been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is certain yet; [`Reader::finish`] never says this.
    More,
    /// A complete, well-formed answer; the connection may be closed.
    Done,
    /// No answer will come.
    Failed(StreamError),
}

/// Why a reply with status 200 is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The provider reported an error inside the reply: the signal of 6.2.
    Reported {
        /// The status in the error, if it has one.
        status: Option<u16>,
        /// `error.code` if it is a text, or the type of an AWS exception.
        code: Option<String>,
        /// The message, with the status in front if there is one, and the machine codes behind.
        message: String,
    },
    /// Reason `invalid_response`: not what the kind demands. The text is for people.
    Invalid(&'static str),
}

/// What one event or body says.
#[derive(Debug)]
pub(crate) enum Step {
    /// The answer goes on.
    More,
    /// The answer is complete.
    Done,
    /// The provider reports an error; the value has the form of an error body.
    Error(Json),
}

/// Reads the reply of a live request piece by piece.
///
/// The result depends on the bytes alone, not on how they are cut into pieces. After the first result other than
/// [`Progress::More`] nothing more is read and the result stays.
#[derive(Debug)]
pub struct Reader {
    kind: ApiKind,
    form: Form,
    /// How many bytes may still come.
    left: usize,
    /// Whether a chunk of an answer has been seen, without which `[DONE]` does not count.
    has_chunk: bool,
    end: Option<Progress>,
}

/// The form of a reply, known from its first byte.
#[derive(Debug)]
enum Form {
    Unknown,
    Events(Splitter),
    Lines { lines: Lines, is_first: bool },
    Frames(Frames),
    Body(Vec<u8>),
}

impl Reader {
    /// A reader for one reply.
    #[must_use]
    pub fn new(kind: ApiKind) -> Self {
        Self { kind, form: Form::Unknown, left: LONGEST, has_chunk: false, end: None }
    }

    /// A reader for a reply of any length.
    pub(crate) fn unbounded(kind: ApiKind) -> Self {
        Self { left: usize::MAX, ..Self::new(kind) }
    }

    /// Takes the next bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) -> Progress {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let (now, over) = bytes.split_at(bytes.len().min(self.left));
        self.left -= now.len();
        let mut progress = self.read(now);
        if progress == Progress::More && !over.is_empty() {
            progress = invalid(TOO_LONG);
        }
        if progress != Progress::More {
            self.form = Form::Unknown;
            self.end = Some(progress.clone());
        }
        progress
    }

    /// The body has ended.
    #[must_use]
    pub fn finish(mut self) -> Progress {
        if let Some(end) = self.end {
            return end;
        }
        let progress = match std::mem::replace(&mut self.form, Form::Unknown) {
            Form::Unknown => return invalid(EMPTY),
            Form::Events(splitter) => splitter.finish().map_or(Progress::More, |event| self.event(&event)),
            Form::Lines { lines, .. } => match lines.finish() {
                Some(line) if is_cut(&line) => Progress::More,
                Some(line) => self.json(&line),
                None => Progress::More,
            },
            Form::Frames(_) => Progress::More,
            Form::Body(body) => return self.body(&body),
        };
        if progress == Progress::More { invalid(ENDED_EARLY) } else { progress }
    }

    fn read(&mut self, bytes: &[u8]) -> Progress {
        let mut input = bytes;
        if matches!(self.form, Form::Unknown) {
            // Blanks and a byte order mark say nothing about the form.
            let is_skipped = |byte: &u8| byte.is_ascii_whitespace() || [0xef, 0xbb, 0xbf].contains(byte);
            let start = input.iter().position(|byte| !is_skipped(byte)).unwrap_or(input.len());
            input = input.get(start..).unwrap_or_default();
            let Some(first) = input.first() else { return Progress::More };
            self.form = match (first, self.kind) {
                (b'<', _) => return invalid(HTML),
                (_, ApiKind::Ollama) => Form::Lines { lines: Lines::default(), is_first: true },
                (b'{' | b'[', _) => Form::Body(Vec::new()),
                (0, ApiKind::BedrockConverseStream) => Form::Frames(Frames::default()),
                (_, ApiKind::BedrockConverseStream) => return invalid(BROKEN_FRAME),
                _ => Form::Events(Splitter::default()),
            };
        }
        // The form is taken out for the time of reading, so that its events can be judged by `self`.
        let mut form = std::mem::replace(&mut self.form, Form::Unknown);
        let progress = self.read_form(&mut form, input);
        self.form = form;
        progress
    }

    fn read_form(&mut self, form: &mut Form, mut input: &[u8]) -> Progress {
        loop {
            let progress = match form {
                Form::Unknown => return Progress::More,
                Form::Body(body) => {
                    body.extend_from_slice(input);
                    return Progress::More;
                }
                Form::Events(splitter) => match splitter.next(&mut input) {
                    Some(event) => self.event(&event),
                    None => return Progress::More,
                },
                Form::Lines { lines, is_first } => match lines.next(&mut input) {
                    Some(mut line) if std::mem::take(is_first) && is_cut(&line) => {
                        // A body over several lines: read as a whole.
                        line.push(b'\n');
                        *form = Form::Body(line);
                        continue;
                    }
                    Some(line) => self.json(&line),
                    None => return Progress::More,
                },
                Form::Frames(frames) => {
                    match frames.next(&mut input).and_then(|f| f.as_ref().map(bedrock::event).transpose()) {
                        Ok(Some(step)) => self.progress(step),
                        Ok(None) => return Progress::More,
                        Err(why) => invalid(why),
                    }
                }
            };
            if progress != Progress::More {
                return progress;
            }
        }
    }

    /// One server-sent event.
    fn event(&mut self, event: &Event) -> Progress {
        let data = event.data.trim_ascii();
        if data.is_empty() {
            return Progress::More;
        }
        if data == b"[DONE]" {
            let counts = matches!(self.kind, ApiKind::OpenAiCompletions | ApiKind::GithubCopilot) && self.has_chunk;
            return if counts { Progress::Done } else { Progress::More };
        }
        let is_error = event.name == "error";
        let data = match serde_json::from_slice::<Json>(data) {
            Ok(data) if data.is_object() => data,
            Ok(Json::String(text)) if is_error => return self.progress(Step::Error(json!({"message": text}))),
            Err(_) if is_error => {
                let message = first_characters(data);
                return Progress::Failed(StreamError::Reported { status: None, code: None, message });
            }
            _ => return invalid(BROKEN_JSON),
        };
        if let Some(body) = reported(&data, is_error) {
            return self.progress(Step::Error(body));
        }
        let word = data.get("type").and_then(Json::as_str).unwrap_or(&event.name);
        let step = match self.kind {
            ApiKind::AnthropicMessages => anthropic::event(word),
            ApiKind::OpenAiCompletions | ApiKind::GithubCopilot => {
                self.has_chunk |= openai_completions::is_complete(&data);
                openai_completions::event(&data)
            }
            ApiKind::OpenAiResponses | ApiKind::OpenAiCodexResponses | ApiKind::AzureOpenAiResponses => {
                openai_responses::event(word, &data)
            }
            ApiKind::GoogleGenerativeAi => google::event(&data),
            // These two have forms of their own and never come here.
            ApiKind::Ollama | ApiKind::BedrockConverseStream => Step::More,
        };
        self.progress(step)
    }

    /// One line of Ollama's stream.
    fn json(&self, line: &[u8]) -> Progress {
        match serde_json::from_slice::<Json>(line) {
            Ok(data) if data.is_object() => {
                self.progress(reported(&data, false).map_or_else(|| ollama::event(&data), Step::Error))
            }
            _ => invalid(BROKEN_JSON),
        }
    }

    /// A whole JSON body.
    fn body(&self, body: &[u8]) -> Progress {
        let body = match serde_json::from_slice::<Json>(body) {
            Ok(body) => body,
            Err(problem) if problem.is_eof() => return invalid(ENDED_EARLY),
            Err(_) => return invalid(BROKEN_JSON),
        };
        let first = body.as_array().and_then(|parts| parts.iter().find_map(|part| reported(part, false)));
        if let Some(error) = first.or_else(|| reported(&body, false)) {
            return self.progress(Step::Error(error));
        }
        let done_if = |is_complete: bool| if is_complete { Step::Done } else { Step::More };
        let step = match self.kind {
            ApiKind::AnthropicMessages => done_if(anthropic::is_complete(&body)),
            ApiKind::OpenAiCompletions | ApiKind::GithubCopilot => done_if(openai_completions::is_complete(&body)),
            ApiKind::OpenAiResponses | ApiKind::OpenAiCodexResponses | ApiKind::AzureOpenAiResponses => {
                openai_responses::whole(&body)
            }
            ApiKind::GoogleGenerativeAi => done_if(google::is_complete(&body)),
            ApiKind::Ollama => ollama::event(&body),
            ApiKind::BedrockConverseStream => done_if(bedrock::is_complete(&body)),
        };
        match self.progress(step) {
            Progress::More => invalid(INCOMPLETE),
            progress => progress,
        }
    }

    fn progress(&self, step: Step) -> Progress {
        match step {
            Step::More => Progress::More,
            Step::Done => Progress::Done,
            Step::Error(body) => {
                let status = status_in(&body);
                let (message, code) = describe(self.kind, status, &body);
                Progress::Failed(StreamError::Reported { status, code, message })
            }
        }
    }
}

fn invalid(why: &'static str) -> Progress {
    Progress::Failed(StreamError::Invalid(why))
}

/// Whether a line is the beginning of JSON that goes on.
fn is_cut(line: &[u8]) -> bool {
    serde_json::from_slice::<Json>(line).is_err_and(|problem| problem.is_eof())
}

/// The error that an event or body reports, in the form of an error body.
fn reported(data: &Json, is_error: bool) -> Option<Json> {
    if given(data.get("error")).is_some() {
        return Some(data.clone());
    }
    if !is_error && data.get("type").and_then(Json::as_str) != Some("error") {
        return None;
    }
    // The flat form of the Responses API: the fields of the error stand beside its type.
    let mut error = data.as_object()?.clone();
    error.shift_remove("type");
    Some(json!({ "error": error }))
}
