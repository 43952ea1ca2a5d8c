//! The clients of the chaos proof: what each sends, what it saw, and whether that is the truth.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::gateway_process::TOKEN;
use super::gateway_script::{Book, HABITS, Habit, Said};
use super::loopback_http::{Answer, ask, request};

/// What the number of a request makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: usize,
    pub(crate) path: &'static str,
    streams: bool,
    /// The only profile that may answer, with no other model after it.
    pinned: Option<Habit>,
    bytes: Vec<u8>,
}

/// What a client saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// None when the connection broke before the head of an answer.
    pub(crate) answer: Option<Answer>,
}

impl Call {
    /// The request with this number; sessions are rare: each is written to the disk twice.
    pub(crate) fn new(number: usize) -> Self {
        let form = number % 8;
        let is_messages = matches!(form, 2 | 3 | 6);
        let streams = matches!(form, 1 | 3 | 7);
        let (name, habit) = HABITS[number / 8 % HABITS.len()];
        let pinned = (form >= 5).then_some(habit);
        let mut body = json!({
            "model": if is_messages { "cobalt/m1" } else if form >= 5 { "openclaw/lonely" } else { "openclaw" },
            "max_tokens": 16, "stream": streams,
            "messages": [{"role": "user", "content": format!("ping #{number}")}],
        });
        if form == 4 && number % 40 == 4 {
            body["user"] = json!(format!("user-{}", number % 3));
        }
        let headers = match pinned {
            Some(_) if is_messages => format!("x-openclaw-auth-profile: cobalt:{name}\r\n"),
            Some(_) => format!("x-openclaw-auth-profile: acme:{name}\r\n"),
            None => String::new(),
        };
        let path = if is_messages { "/v1/messages" } else { "/v1/chat/completions" };
        let bytes = request("POST", path, TOKEN, &headers, &body.to_string());
        Self { number, path, streams, pinned, bytes }
    }

    /// Sends it.
    pub(crate) fn send(&self, address: SocketAddr) -> Seen {
        let begun = Instant::now();
        let answer = ask(address, &self.bytes).ok();
        Seen { begun, ended: Instant::now(), answer }
    }

    /// Whether an answer says what the providers said.
    pub(crate) fn judge(&self, answer: &Answer, book: &Book) -> Result<()> {
        let said = book.of(self.number);
        let story = || {
            let said: Vec<String> =
                said.iter().map(|one| format!("{} {:?} {:?}", one.profile, one.habit, one.said)).collect();
            format!(
                "request {} {} pinned {:?}: {} {}\nthe providers said: {said:?}",
                self.number,
                self.path,
                self.pinned,
                answer.head,
                answer.text()
            )
        };
        let last = said.last().with_context(|| format!("no provider was asked, but: {}", story()))?;
        if answer.status == 200 {
            ensure!(answer.header("x-openclaw-provider") == Some(last.provider), "another answered: {}", story());
            let (text, failed) = self.text_of(answer);
            let broke = failed || !answer.is_whole;
            ensure!(broke == (last.said == Said::Broken), "an end that is not the truth: {}", story());
            ensure!(last.said != Said::Refused, "an answer out of nothing: {}", story());
            ensure!(text == format!("pong #{}", self.number), "another's answer {text:?}: {}", story());
            return Ok(());
        }
        ensure!(answer.is_whole, "an error that breaks off: {}", story());
        let told = (answer.json()["error"]["type"].as_str().unwrap_or_default().to_owned(), answer.status);
        let mut truths = said.iter().filter_map(|one| one.reason().map(|(kind, status)| (self.kind(kind), status)));
        let is_true = match self.pinned {
            Some(_) => truths.next_back().is_some_and(|truth| truth == told),
            None => truths.any(|truth| truth == told),
        };
        ensure!(is_true, "not what was said, {told:?}: {}", story());
        Ok(())
    }

    /// The text of an answer, and whether its stream ended with an error.
    fn text_of(&self, answer: &Answer) -> (String, bool) {
        let part = |value: &Value| {
            let chat = &value["choices"][0];
            let parts = [&chat["delta"]["content"], &chat["message"]["content"], &value["delta"]["text"]];
            let text = parts.into_iter().chain([&value["content"][0]["text"]]).find_map(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        if !self.streams {
            return (part(&answer.json()), false);
        }
        let text = answer.text();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
        let events: Vec<Value> = events.collect();
        let failed = events.iter().any(|event| event.get("error").is_some());
        (events.iter().map(part).collect(), failed)
    }

    /// The name of a reason in the API of this request.
    fn kind(&self, reason: &str) -> String {
        let theirs = match reason {
            "rate_limit" => "rate_limit_error",
            "auth" => "authentication_error",
            "billing" => "billing_error",
            "overloaded" => "overloaded_error",
            "timeout" => "timeout_error",
            other => other,
        };
        if self.path == "/v1/messages" { theirs.to_owned() } else { reason.to_owned() }
    }
}
