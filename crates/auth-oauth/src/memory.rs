//! What one process remembers of its refreshes, beside the stores (spec 04 section 7.3).

use std::collections::HashMap;
use std::sync::Mutex;

use crate::error::OAuthError;
use crate::provider::Renewed;

/// Refresh tokens that have no value any more, and new tokens that could not be stored. Shared by every refresher of a
/// process.
#[derive(Default)]
pub struct RefreshMemory(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By the name of the refresh token: what the provider said when it refused it for good.
    dead: HashMap<String, OAuthError>,
    /// By the name of the refresh token that was spent: what came for it.
    unsaved: HashMap<String, Renewed>,
}

impl std::fmt::Debug for RefreshMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshMemory")
    }
}

impl RefreshMemory {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn bury(&self, token: &str, why: &OAuthError) {
        self.with(|inner| inner.dead.insert(token.to_owned(), why.clone()));
    }

    pub(crate) fn dead(&self, token: &str) -> Option<OAuthError> {
        self.with(|inner| inner.dead.get(token).cloned())
    }

    pub(crate) fn keep(&self, token: &str, renewed: &Renewed) {
        self.with(|inner| inner.unsaved.insert(token.to_owned(), renewed.clone()));
    }

    pub(crate) fn unsaved(&self, token: &str) -> Option<Renewed> {
        self.with(|inner| inner.unsaved.get(token).cloned())
    }

    pub(crate) fn saved(&self, token: &str) {
        self.with(|inner| inner.unsaved.remove(token));
    }
}
