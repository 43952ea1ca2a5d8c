//! Live probes as values (spec 03): which credentials are asked about, at which endpoint, with which model, and what
//! is left out and why. Sending is another crate's.

mod endpoint;
mod plan;

pub use endpoint::{Endpoint, HeaderText};
pub use plan::{
    ProbeOptions, ProbePlan, ProbeRow, RowSource, Skip, SkipCode, Step, probe_references, provider_references,
};
