//! Reports as people and programs read them.

pub(crate) mod advice;
pub(crate) mod choice;
pub(crate) mod doctor_json;
pub(crate) mod status_human;
pub(crate) mod status_json;

use serde::{Serialize, Serializer};

/// A stored time: printed as a whole number where it is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ms(pub(crate) f64);

impl Serialize for Ms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}
