//! Finds what is wrong with the model credentials of OpenClaw, and mends it without losing any (spec 06).
//!
//! Each kind of trouble is a [`Check`] in a file of its own: it detects, and works out a [`Repair`] that is bound to the
//! bytes it was worked out on. A [`Doctor`] runs all of them in their order. What may be done follows from the
//! [`Request`]; the person is asked through a [`Desk`]; repairs are made through the locks and atomic writes of
//! `auth-store`, read back, and written down in a receipt, from which [`undo`] puts everything back.
//!
//! The crate starts no thread and opens no socket. What needs the network is plugged in: see [`Outside`].
//!
//! # Limitations
//!
//! A refreshed token is not undone. Files of other parts of OpenClaw are neither checked nor changed.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod apply;
mod check;
mod checks;
mod config_moves;
mod course;
mod diff;
mod finding;
mod outside;
mod receipt;
mod repair;
mod report;
mod request;
mod run;
mod scene;

pub use check::{Check, View};
pub use diff::changed_lines;
pub use finding::{Finding, Severity};
pub use outside::{Outside, Refresh, RefreshError, RefreshFailure, TlsCheck, TlsFailure};
pub use receipt::{Item, RECEIPT_FILE, Receipt, UndoError, undo};
pub use repair::{Change, FileKind, Note, Refusal, Repair, Write};
pub use report::{Made, Planned, Report, RunError};
pub use request::{Decision, RepairKind, Request};
pub use run::{Cancelled, Desk, Doctor};
