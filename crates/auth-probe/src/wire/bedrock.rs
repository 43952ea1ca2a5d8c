//! `bedrock-converse-stream`, with a bearer token or to be signed with the keys of AWS, and the binary framing of its stream.

use serde_json::{Value as Json, json};

use crate::wire::reader::{BROKEN_FRAME, Step};
use crate::wire::request::{PROMPT, Request, Target, encode};

/// Prelude of eight bytes and its checksum.
const PRELUDE: usize = 12;
/// Prelude, its checksum and the checksum of the message.
const OVERHEAD: usize = 16;
/// More than any frame of an answer needs, and no more than a whole reply may have.
const LONGEST: usize = 1 << 20;

/// The live request.
pub(crate) fn request(target: &Target<'_>) -> Request {
    let body = json!({
        "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
        "inferenceConfig": {"maxTokens": target.max_tokens},
    });
    let url = format!("{}/model/{}/converse-stream", target.base(), encode(target.model, b""));
    target.post(url, target.bearer(), &body)
}

/// The region in the name of an endpoint: what follows `bedrock-runtime`, also of its FIPS and private forms.
pub(crate) fn region_of(host: &str) -> Option<&str> {
    let mut labels = host.split('.');
    labels.find(|label| matches!(*label, "bedrock-runtime" | "bedrock-runtime-fips"))?;
    labels.next().filter(|region| region.contains('-'))
}

/// Whether a JSON body is a complete answer, as `Converse` without a stream gives it.
pub(crate) fn is_complete(body: &Json) -> bool {
    body.get("stopReason").is_some_and(Json::is_string)
}

/// One message of the stream. Headers that are no texts are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    message_type: String,
    event_type: String,
    /// `:exception-type` or `:error-code`.
    error_type: String,
    error_message: String,
    payload: Vec<u8>,
}

/// Collects bytes into frames. Checksums are not looked at: TLS has done that.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// The length of the frame that the buffer begins with, once it is known.
    wanted: Option<usize>,
}

impl Frames {
    /// The next complete frame of what has been taken from `input`; none when `input` is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, &'static str> {
        loop {
            let missing = self.wanted.unwrap_or(PRELUDE).saturating_sub(self.buffer.len());
            let (head, tail) = input.split_at(missing.min(input.len()));
            self.buffer.extend_from_slice(head);
            *input = tail;
            if head.len() < missing {
                return Ok(None);
            }
            if self.wanted.take().is_some() {
                let frame = parse(&self.buffer).ok_or(BROKEN_FRAME)?;
                self.buffer.clear();
                return Ok(Some(frame));
            }
            let total = number(&self.buffer, 0).ok_or(BROKEN_FRAME)?;
            let headers = number(&self.buffer, 4).ok_or(BROKEN_FRAME)?;
            if !(OVERHEAD..=LONGEST).contains(&total) || headers > total - OVERHEAD {
                return Err(BROKEN_FRAME);
            }
            self.wanted = Some(total);
        }
    }
}

/// Reads one whole frame.
fn parse(bytes: &[u8]) -> Option<Frame> {
    let headers_end = PRELUDE.checked_add(number(bytes, 4)?)?;
    let payload = bytes.get(headers_end..bytes.len().checked_sub(4)?)?.to_vec();
    let mut frame = Frame { payload, ..Frame::default() };
    let mut rest = bytes.get(PRELUDE..headers_end)?;
    while let Some((name_length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*name_length))?;
        let (value_type, after) = after.split_first()?;
        let (length, after) = match value_type {
            0 | 1 => (0, after),
            2 => (1, after),
            3 => (2, after),
            4 => (4, after),
            5 | 8 => (8, after),
            6 | 7 => {
                let (length, after) = after.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), after)
            }
            9 => (16, after),
            _ => return None,
        };
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        if *value_type != 7 {
            continue;
        }
        let text = String::from_utf8_lossy(value).into_owned();
        match name {
            b":message-type" => frame.message_type = text,
            b":event-type" => frame.event_type = text,
            b":exception-type" | b":error-code" => frame.error_type = text,
            b":error-message" => frame.error_message = text,
            _ => {}
        }
    }
    Some(frame)
}

/// The big-endian number of four bytes at a place.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_be_bytes(*four)).ok()
}

/// One frame: an event, or an exception or error in the form of an error body.
pub(crate) fn event(frame: &Frame) -> Result<Step, &'static str> {
    let payload = serde_json::from_slice::<Json>(&frame.payload);
    if matches!(frame.message_type.as_str(), "exception" | "error") {
        let said = payload.as_ref().ok().and_then(|body| body.get("message").or_else(|| body.get("Message")));
        let message = said.and_then(Json::as_str).unwrap_or(&frame.error_message);
        let message = if message.is_empty() { "The stream ended with an exception." } else { message };
        // `originalStatusCode` is the model's own status in a modelStreamErrorException.
        let status = payload.as_ref().ok().and_then(|body| body.get("originalStatusCode")).and_then(Json::as_u64);
        let code = (!frame.error_type.is_empty()).then_some(&frame.error_type);
        return Ok(Step::Error(json!({"error": {"message": message, "code": code, "status": status}})));
    }
    if payload.is_err() && !frame.payload.is_empty() {
        return Err(BROKEN_FRAME);
    }
    Ok(if frame.event_type == "messageStop" { Step::Done } else { Step::More })
}
