//! One model turn with the right credential.
//!
//! A [`Turn`] goes through the chain of models; on each, through the profiles or keys of its provider in their order. A
//! login that has ended is refreshed first; an answer is streamed as it comes; a refusal is classified, recorded, and
//! followed by the next credential, as the rules of `auth-core` decide. What happens is told in the [`Answer`] or the
//! [`TurnError`], without secrets.
//!
//! # Limitations
//!
//! Text only: no tools, no images. Bedrock is not among the APIs of a conversation.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod candidates;
mod chain;
mod engine;
mod model_run;
mod outcome;
mod recorder;

pub use engine::{Engine, EngineSettings, Turn};
pub use outcome::{Answer, Attempted, TurnError, TurnErrorKind, Used};
