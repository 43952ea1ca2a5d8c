//! Whether a credential works: one real request to its provider, and what the answer means (spec 03).
//!
//! A [`ProbePlan`](auth_core::probe::ProbePlan) says what is asked; [`job()`] makes the request of one of its rows,
//! [`run()`] sends them within their deadlines. The formats stand in [`wire`], one file for each API kind, without any
//! network.
//!
//! # Limitations
//!
//! Requests are HTTP/1.1. Bedrock is asked with a bearer token or with AWS keys from the environment, not with AWS profiles
//! or the roles of an instance.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod clients;
mod job;
mod network;
mod prepare;
mod run;
mod schedule;
mod stream;
pub mod wire;

pub use clients::{Clients, Proxies};
pub use job::{JobSettings, chat_job, forwarded_job, job, warning};
pub use network::{Interrupt, Network};
pub use prepare::{Asked, Desk, copilot_api};
pub use run::{Event, Job, Limits, LiveRow, Outcome, Preparation, Prepared, Task, reach, run, status_of};
pub use schedule::PER_HOST_MAX;
pub use stream::{Replied, Reply, ReplyFailure, ReplyHead};
