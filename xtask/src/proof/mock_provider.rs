//! A provider on loopback that speaks both APIs and answers by script: what a request gets is decided by a function.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The key, from either header.
    pub(crate) key: String,
    /// The body.
    pub(crate) body: Vec<u8>,
    api: Api,
    /// Whether a stream is asked for.
    pub(crate) streams: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Chat,
    Messages,
}

impl Asked {
    /// The messages, without what the system says.
    fn messages(&self) -> Vec<Value> {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let mut messages = body["messages"].as_array_mut().map(std::mem::take).unwrap_or_default();
        messages.retain(|message| message["role"] != "system" && message["role"] != "developer");
        messages
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> usize {
        self.messages().len()
    }

    /// The text of the last message.
    pub(crate) fn last_message(&self) -> String {
        let messages = self.messages();
        let content = messages.last().map(|message| &message["content"]);
        let text = content.and_then(|content| content.as_str().or_else(|| content[0]["text"].as_str()));
        text.unwrap_or_default().to_owned()
    }
}

/// What it gets.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// This text, as a stream if that was asked for.
    Text(String),
    /// The same after a while.
    Slow(Duration, String),
    /// A refusal: status, headers, the error's type, code and message.
    Refusal(u16, &'static str, Value),
    /// A stream that ends in the middle of an event.
    Broken(String),
    /// The connection is closed before any byte.
    Nothing,
    /// A stream whose end waits until the gate is opened.
    Held(String, Gate),
}

/// Something that is waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everybody go on who waits.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.0.1.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The provider. It listens until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct MockProvider {
    pub(crate) address: SocketAddr,
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

impl MockProvider {
    /// Starts it.
    pub(crate) fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = Arc::clone(&script);
                // A connection that breaks off is no concern of a provider.
                let serve = move || serve(stream, &*script).unwrap_or_default();
                let _ = thread::Builder::new().stack_size(256 << 10).spawn(serve);
            }
        });
        Ok(Self { address })
    }

    /// Its entry in `models.providers`, with this API.
    pub(crate) fn entry(&self, api: &str, model: &str) -> Value {
        json!({"baseUrl": format!("http://{}", self.address), "api": api, "models": [{"id": model, "name": model}]})
    }
}

/// Answers requests until the other side closes.
fn serve(mut stream: TcpStream, script: &Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(asked) = read(&mut reader)? {
        let reply = script(&asked);
        if !answer(&mut stream, &asked, reply)? {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let api = if line.contains("/messages") { Api::Messages } else { Api::Chat };
    let (mut key, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.trim_start_matches("Bearer ").clone_into(&mut key),
            "x-api-key" => value.clone_into(&mut key),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let streams = holds(&body, b"\"stream\":true") || holds(&body, b"\"stream\": true");
    Ok(Some(Asked { key, body, api, streams }))
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

/// Answers; whether the connection is used again.
fn answer(stream: &mut TcpStream, asked: &Asked, reply: Reply) -> std::io::Result<bool> {
    match reply {
        Reply::Nothing => return Ok(false),
        Reply::Text(text) => stream.write_all(&good(asked, &text))?,
        Reply::Slow(wait, text) => {
            thread::sleep(wait);
            stream.write_all(&good(asked, &text))?;
        }
        Reply::Refusal(status, headers, error) => {
            let error = match asked.api {
                Api::Chat => json!({"error": error}),
                Api::Messages => json!({"type": "error", "error": error}),
            };
            stream.write_all(&whole(status, "application/json", headers, &error.to_string()))?;
        }
        Reply::Broken(text) => {
            let [first, _] = events(asked.api, &text);
            write!(stream, "{STREAM_HEAD}{:x}\r\n{first}\r\n14\r\ndata: {{\"cho", first.len())?;
            stream.flush()?;
            // What was sent arrives before the end does.
            thread::sleep(Duration::from_millis(20));
            return Ok(false);
        }
        Reply::Held(text, gate) => {
            let [first, rest] = events(asked.api, &text);
            write!(stream, "{STREAM_HEAD}{:x}\r\n{first}\r\n", first.len())?;
            gate.wait();
            write!(stream, "{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len())?;
        }
    }
    Ok(true)
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn whole(status: u16, kind: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{headers}content-length: {length}\r\n\r\n{body}").into()
}

/// An answer with this text, in the format that was asked for.
fn good(asked: &Asked, text: &str) -> Vec<u8> {
    if asked.streams {
        let [first, rest] = events(asked.api, text);
        return whole(200, "text/event-stream", "", &format!("{first}{rest}"));
    }
    let body = match asked.api {
        Api::Chat => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
        }),
        Api::Messages => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m1",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 5, "output_tokens": 1},
        }),
    };
    whole(200, "application/json", "", &body.to_string())
}

/// The events of a stream: those until the text, and those after it.
fn events(api: Api, text: &str) -> [String; 2] {
    match api {
        Api::Chat => {
            let chunk = |choices: Value| json!({"id": "1", "object": "chat.completion.chunk", "choices": choices});
            let piece = chunk(json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]));
            let end = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
            let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}});
            [format!("data: {piece}\n\n"), format!("data: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n")]
        }
        Api::Messages => {
            let start = json!({"type": "message_start", "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m1", "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 5, "output_tokens": 1}}});
            let block =
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
            let delta =
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
            let end = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"output_tokens": 1}});
            let named = |events: &[Value]| {
                events.iter().fold(String::new(), |mut text, event| {
                    let name = event["type"].as_str().unwrap_or_default();
                    let _ = write!(text, "event: {name}\ndata: {event}\n\n");
                    text
                })
            };
            let last = [json!({"type": "content_block_stop", "index": 0}), end, json!({"type": "message_stop"})];
            [named(&[start, block, delta]), named(&last)]
        }
    }
}

/// Milliseconds since 1970, as the store has them.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
