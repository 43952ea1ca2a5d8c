//! Whether a credential works: one real request to its provider, and what the answer means (spec 03).
//!
//! A [`ProbePlan`](auth_core::probe::ProbePlan) says what is asked; [`job()`] makes the request of one of its rows,
//! [`run()`] sends them within their deadlines. The formats stand in [`wire`], one file for each API kind, without any
//! network.
//!
//! # Limitations
//!
//! Requests are HTTP/1.1. Bedrock is asked with a bearer token or with AWS keys from the environment, not with AWS profiles
//! or the roles of an instance; the token exchange of GitHub Copilot is not made.
#![deny(missing_docs)]

mod job;
mod run;
pub mod wire;

pub use job::{JobSettings, job, warning};
pub use run::{Clients, Job, Limits, LiveRow, Outcome, reach, run, status_of};
