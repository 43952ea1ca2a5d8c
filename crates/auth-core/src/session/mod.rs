//! Sessions: which model and which profile a conversation is bound to, and for how long (spec 07 sections 8 to 10).

mod directive;
mod document;
mod entry;
mod key;
mod pin;
mod select;

pub use directive::{Directive, ModelsPage, Said, find_directive};
pub use document::{SessionDocument, SessionSyntaxError};
pub use entry::{PinSource, SessionEntry, SessionPin, TurnUsage};
pub use key::{SessionChoice, SessionSettings, choose_key, is_fresh};
pub use pin::{Dropped, resolve_pin, validate};
pub use select::{KnownModels, SelectError, Selection, model_label, select};
