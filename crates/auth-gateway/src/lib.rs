//! One model turn with the right credential.
//!
//! A [`Turn`] goes through the chain of models; on each, through the profiles or keys of its provider in their order. A
//! login that has ended is refreshed first; an answer is streamed as it comes; a refusal is classified, recorded, and
//! followed by the next credential, as the rules of `auth-core` decide. What happens is told in the [`Answer`] or the
//! [`TurnError`], without secrets.
//!
//! [`Conversing`] is what surrounds a turn in a session: commands in the message, the pin, what is kept. [`Server`] answers
//! clients of the Chat Completions API through both, and passes on those of the Messages API byte for byte.
//!
//! # Limitations
//!
//! Conversations are text only: no tools, no images. Bedrock is not among the APIs of a conversation. The server has its
//! proxies and certificates from its start; a changed included file counts after a reload that is asked for.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod account;
mod candidates;
mod chain;
mod conversing;
mod engine;
mod exchange;
mod model_run;
mod outcome;
mod recorder;
mod server;
mod slash;
mod stores;

pub use conversing::{Conversing, ConversingError, Heard, Opened, OwnChoice};
pub use engine::{Begun, Engine, EngineSettings, Payload, Piece, Turn};
pub use outcome::{Answer, Attempted, TurnError, TurnErrorKind, Used};
pub use recorder::Recording;
pub use server::{
    Access, AccessMode, AccessProblem, AccessSettings, Control, Log, Server, ServerError, ServerLimits, ServerSettings,
};

/// The system prompt where nobody gives another: there are no tools here.
pub const SYSTEM: &str = "You are a helpful assistant. Answer in plain text.";
/// How long a turn may take when nothing says otherwise, in seconds.
pub const TURN_TIMEOUT_S: u64 = 600;
