//! Watching credentials over time (spec 06 section 14): what needs somebody, what somebody was told already, and what
//! is told now. Values in and values out: files, clocks and channels are the caller's.
//!
//! [`survey()`] judges what one agent sees, [`Pass`] is the verdict over all of them, [`Memory`] is what earlier passes
//! left behind and says which messages are due. [`Event`] is one message, [`metrics()`] the same as numbers, and
//! [`units`] the files that let a system run the monitor.

mod address;
mod answers;
mod event;
mod label;
mod length;
mod memory;
mod message;
mod metrics;
mod status;
mod survey;
#[cfg(test)]
mod tests;
pub mod units;
mod words;

pub use address::{Address, AddressError};
pub use answers::Answer;
pub use event::{Change, Event, EventKind};
pub use label::{assign_labels, masked_account};
pub use length::{LengthError, parse_length, written_length};
pub use memory::{Memory, MemoryError, Remembered, Timing};
pub use message::{Message, sentence};
pub use metrics::metrics;
pub use status::{Level, Standing, Status};
pub use survey::{Item, Pass, ProviderState, Subject, Survey, survey};
pub use words::{WordsError, split_words};

/// How long a login may be past its end before it is taken for one that does not renew itself: 24 hours, in
/// milliseconds. A program that works would have renewed it.
pub const RENEWAL_OVERDUE_MS: i64 = 86_400_000;
/// A cooldown longer than this needs attention: 1 hour, in milliseconds.
pub const LONG_COOLDOWN_MS: i64 = 3_600_000;

/// A time as it is written in JSON: whole milliseconds where it is whole.
fn number(ms: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if ms.fract() == 0.0 && ms.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
        return serde_json::Value::from(ms as i64);
    }
    serde_json::Number::from_f64(ms).map_or(serde_json::Value::Null, serde_json::Value::Number)
}
