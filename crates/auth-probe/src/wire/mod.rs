//! The wire formats of one probe request per LLM API kind, as values.
//!
//! What is sent ([`live_request`], [`free_request`]), how the reply is read ([`Reader`], [`free_verdict`]) and what an
//! error body says ([`error_text()`]). Nothing here opens a connection, reads a clock or looks at the environment.
//! Section numbers such as "5.2" refer to page 03 of the specification.
// Terms such as OpenAI and ChatGPT stand in almost every sentence of the docs.

mod anthropic;
mod bedrock;
mod chat;
mod codex;
mod error_text;
mod free;
mod google;
mod kind;
mod messages;
mod ollama;
mod openai_completions;
mod openai_responses;
mod reader;
mod request;
mod sigv4;
mod sse;

pub(crate) use bedrock::region_of;
pub use chat::{ChatEnd, ChatReader, Conversation, Message, Role, TokenUsage, chat_request};
pub use error_text::error_text;
pub use free::{FreeCheck, FreeVerdict, free_request, free_verdict};
pub use kind::ApiKind;
pub use messages::{ForwardedMessages, forwarded_request};
pub use reader::{Progress, Reader, StreamError};
pub use request::{Method, Request, Target, Value, live_request};
pub use sigv4::{AwsCredentials, sign};
