//! When an access token is good enough (spec 04 section 7.1).

use auth_core::Secret;

use crate::entry::LoginEntry;

/// An access token that ends this soon is renewed before it is used, in milliseconds.
const MARGIN_MS: f64 = 60_000.0;

/// When an access token is good enough.
#[derive(Clone, Debug)]
pub enum Need {
    /// It can be used now.
    Use,
    /// It holds for this long yet, in milliseconds.
    Remaining(f64),
    /// It is newer than the one that is stored when the work begins.
    Newer,
    /// It is another than this one, which the provider has refused whatever its expiry says.
    NotThis(Secret),
}

impl Need {
    /// Whether any token of the account serves. Who wants this login renewed is not served by another one.
    pub(crate) fn any_login(&self) -> bool {
        match self {
            Self::Use | Self::NotThis(_) => true,
            Self::Remaining(ms) => *ms <= 0.0,
            Self::Newer => false,
        }
    }
}

/// A need with what it is compared with.
pub(crate) struct Goal {
    /// How long the token must hold yet, in milliseconds.
    remaining_ms: f64,
    /// Of what holds less than the margin, the rest may still be used when the refresh fails.
    may_end_soon: bool,
    /// The token that will not do.
    not: Option<Secret>,
    /// The token that was stored when the work began.
    begun: Option<Secret>,
}

impl Goal {
    /// `can_refresh`: a margin makes no sense where nothing could be done in it.
    pub(crate) fn of(need: &Need, begun: &LoginEntry, can_refresh: bool) -> Self {
        let margin = if can_refresh { MARGIN_MS } else { 0.0 };
        let (remaining_ms, not) = match need {
            Need::Use => (margin, None),
            Need::Remaining(ms) => (*ms, None),
            Need::Newer => (0.0, begun.access.clone().or_else(|| Some(Secret::new("")))),
            Need::NotThis(token) => (0.0, Some(token.clone())),
        };
        Self { remaining_ms, may_end_soon: matches!(need, Need::Use), not, begun: begun.access.clone() }
    }

    fn token_of(&self, entry: &LoginEntry, now_ms: i64, remaining_ms: f64) -> Option<Secret> {
        let token = entry.access.as_ref()?;
        let another = self.not.as_ref().is_none_or(|not| !not.is_same(token));
        (another && entry.remaining_ms(now_ms).is_some_and(|left| left > remaining_ms)).then(|| token.clone())
    }

    /// The token of an entry, if it is good enough. One that somebody else has just got is, as long as it holds at all:
    /// asking again would bring no better one.
    pub(crate) fn met_by(&self, entry: &LoginEntry, now_ms: i64) -> Option<Secret> {
        let just_got = match (&entry.access, &self.begun) {
            (Some(token), Some(begun)) => !token.is_same(begun),
            (token, _) => token.is_some(),
        };
        self.token_of(entry, now_ms, if just_got { 0.0 } else { self.remaining_ms })
    }

    /// A token that will do when no better one is to be had.
    pub(crate) fn last_resort(&self, entry: &LoginEntry, now_ms: i64) -> Option<Secret> {
        self.met_by(entry, now_ms)
            .or_else(|| self.token_of(entry, now_ms, if self.may_end_soon { 0.0 } else { self.remaining_ms }))
    }
}
