//! `ollama`, and lines of JSON.

use serde_json::{Value as Json, json};

use crate::wire::openai_completions;
use crate::wire::reader::Step;
use crate::wire::request::{Request, Target};

/// The live request.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let body = json!({
        "model": target.model,
        "messages": openai_completions::messages(),
        "stream": true,
        "think": false,
        "options": {"num_predict": target.max_tokens},
    });
    target.post(format!("{}/api/chat", target.base_without_v1()), target.bearer(), &body)
}

/// One line of the stream, or the whole body.
pub(crate) fn event(data: &Json) -> Step {
    if data.get("done").and_then(Json::as_bool) == Some(true) { Step::Done } else { Step::More }
}

/// Splits bytes into lines. Blank lines are left out.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// The next complete line of what has been taken from `input`; none when `input` is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<Vec<u8>> {
        while let Some(at) = input.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = input.split_at(at);
            self.line.extend_from_slice(head);
            *input = tail.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
        self.line.extend_from_slice(input);
        *input = &[];
        None
    }

    /// A last line without its end.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        (!self.line.trim_ascii().is_empty()).then_some(self.line)
    }
}
