//! The answer of a chat as events (spec 07 section 12.4).

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use auth_probe::wire::TokenUsage;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::chat::{Title, event, event_stream, finish_reason};
use super::refusal::{Refusal, Tongue};
use super::turning::{Running, broken};
use crate::engine::{Engine, Piece};
use crate::outcome::{Answer, TurnError};

/// A body that follows a turn. Dropping it ends the turn.
pub(crate) struct ChatStream {
    title: Title,
    ready: VecDeque<Bytes>,
    running: Option<Running>,
    /// All pieces have come; the result is waited for.
    has_all: bool,
}

impl ChatStream {
    /// The answer of a turn whose first piece is on its way.
    pub(crate) fn following(title: &Title, running: Running) -> Response {
        let mut ready = VecDeque::with_capacity(2);
        ready.push_back(Bytes::from(event(&title.chunk(&json!({"role": "assistant"}), None, None))));
        event_stream(Body::new(Self { title: title.clone(), ready, running: Some(running), has_all: false }))
    }

    /// A text that is there at once.
    pub(crate) fn said(title: &Title, text: &str) -> Response {
        event_stream(Body::from(title.all(text, "stop", TokenUsage::default())))
    }

    /// The answer of a model that said nothing.
    pub(crate) fn empty(title: &Title, text: &str, answer: &Answer) -> Response {
        event_stream(Body::from(title.all(text, finish_reason(&answer.stop), answer.usage)))
    }

    fn end(&mut self, result: &Result<Answer, TurnError>) {
        let text = match result {
            Ok(answer) => self.title.last(finish_reason(&answer.stop), answer.usage),
            Err(error) => {
                let refusal = Refusal::of_turn(error, Engine::now());
                format!("{}data: [DONE]\n\n", event(&refusal.body(Tongue::OpenAi)))
            }
        };
        self.ready.push_back(Bytes::from(text));
    }
}

impl Title {
    fn chunk(&self, delta: &Value, finish: Option<&str>, tokens: Option<TokenUsage>) -> Value {
        let mut chunk = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created_s, "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        if let Some(tokens) = tokens {
            chunk["usage"] = usage(tokens);
        }
        chunk
    }

    fn content(&self, text: &str) -> String {
        event(&self.chunk(&json!({"content": text}), None, None))
    }

    fn last(&self, finish: &str, tokens: TokenUsage) -> String {
        format!("{}data: [DONE]\n\n", event(&self.chunk(&json!({}), Some(finish), Some(tokens))))
    }

    fn all(&self, text: &str, finish: &str, tokens: TokenUsage) -> String {
        let first = event(&self.chunk(&json!({"role": "assistant"}), None, None));
        format!("{first}{}{}", self.content(text), self.last(finish, tokens))
    }
}

/// Tokens in the words of the API.
pub(crate) fn usage(tokens: TokenUsage) -> Value {
    let mut usage = json!({
        "prompt_tokens": tokens.prompt(),
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total(),
    });
    if tokens.cache_read > 0 {
        usage["prompt_tokens_details"] = json!({"cached_tokens": tokens.cache_read});
    }
    usage
}

impl HttpBody for ChatStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let has_all = self.has_all;
            let Some(running) = &mut self.running else { return Poll::Ready(None) };
            if has_all {
                let Poll::Ready(result) = Pin::new(&mut running.end).poll(context) else { return Poll::Pending };
                self.running = None;
                self.end(&result.unwrap_or_else(|_| Err(broken())));
                continue;
            }
            match running.pieces.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Piece::Text(text))) => {
                    let chunk = self.title.content(&text);
                    self.ready.push_back(Bytes::from(chunk));
                }
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => self.has_all = true,
            }
        }
    }
}
