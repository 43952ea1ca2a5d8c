//! What follows the answer to one request of a turn: what is recorded, and whether another key or profile is asked, the
//! model is given up, or the error is the answer (spec 07 sections 2.4, 2.5, 6.3 to 6.6).
//!
//! [`after`] decides one step from what has happened so far. It makes no request and writes nothing, so that a report can
//! tell what would follow by the very rule that a turn obeys.

#[cfg(test)]
mod tests;

use crate::failure::{Reason, Signal, classify};
use crate::usage::FailureReason;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// With a failure whose class is known.
    Failed(FailureReason),
    /// With a failure that no rule knows.
    Unclassified,
    /// The conversation is too long for the model: no other credential helps.
    ContextOverflow,
    /// The user stopped it.
    Aborted,
}

impl Outcome {
    /// The outcome of a request that failed. What only a probe can tell counts as what a turn would see: a broken
    /// connection as a timeout, anything else as unclassified.
    pub fn of_failure(reason: Option<Reason>) -> Self {
        let Some(reason) = reason else { return Self::Unclassified };
        Self::Failed(match reason {
            Reason::Auth => FailureReason::Auth,
            Reason::AuthPermanent => FailureReason::AuthPermanent,
            Reason::RateLimit => FailureReason::RateLimit,
            Reason::Overloaded => FailureReason::Overloaded,
            Reason::Billing => FailureReason::Billing,
            Reason::Timeout | Reason::Network | Reason::Tls => FailureReason::Timeout,
            Reason::Format => FailureReason::Format,
            Reason::ModelNotFound => FailureReason::ModelNotFound,
            Reason::SessionExpired => FailureReason::SessionExpired,
            Reason::ContextOverflow => return Self::ContextOverflow,
            Reason::Cancelled => return Self::Aborted,
            Reason::InvalidResponse
            | Reason::RedirectRefused
            | Reason::InvalidToken
            | Reason::UnsupportedProbe
            | Reason::NoFreeCheck => return Self::Unclassified,
        })
    }

    /// The outcome that an HTTP status alone tells, at this provider.
    pub fn of_status(status: u16, provider: &str) -> Self {
        match status {
            200..=299 => Self::Answered,
            _ => Self::of_failure(classify(&Signal { status: Some(status), code: None, message: "", provider })),
        }
    }

    /// Reads `ok`, a reason of statistics, or an HTTP status.
    pub fn parse(word: &str, provider: &str) -> Option<Self> {
        let word = word.trim();
        if word == "ok" {
            return Some(Self::Answered);
        }
        let status = || word.parse().ok().filter(|status| word.len() == 3 && (100..=599).contains(status));
        FailureReason::parse(word).map(Self::Failed).or_else(|| Some(Self::of_status(status()?, provider)))
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ok",
            Self::Failed(reason) => reason.as_str(),
            Self::Unclassified => "unclassified",
            Self::ContextOverflow => "context_overflow",
            Self::Aborted => "aborted",
        }
    }

    /// What the statistics of the profile keep of it.
    pub fn record(self) -> Record {
        match self {
            Self::Answered => Record::Success,
            // None of these tells anything about the credential.
            Self::Failed(FailureReason::Timeout | FailureReason::ModelNotFound)
            | Self::Unclassified
            | Self::ContextOverflow
            | Self::Aborted => Record::Nothing,
            Self::Failed(reason) => Record::Failure(reason),
        }
    }
}

/// What the statistics of a profile keep of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing.
    Nothing,
    /// A success (spec 07 section 5.3).
    Success,
    /// A failure (spec 07 section 5.4).
    Failure(FailureReason),
}

/// How often a turn changes the profile before it gives a model up: `auth.cooldowns` (spec 07 section 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationPolicy {
    /// After how many changes because of overload.
    pub overloaded: u32,
    /// After how many changes because of a rate limit.
    pub rate_limited: u32,
    /// The wait before the next profile is asked after an overload, in milliseconds.
    pub overloaded_backoff_ms: u64,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        Self { overloaded: 1, rate_limited: 1, overloaded_backoff_ms: 0 }
    }
}

/// What kind of credentials a turn tries on a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Stored profiles, in their order.
    Profiles,
    /// A profile that the user pinned: no other one may take its place.
    PinnedProfile,
    /// Keys of the environment or the config.
    Keys,
}

/// A request that has ended, and what the turn has done on this model before.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What is tried.
    pub pool: Pool,
    /// Whether each candidate could be asked now: in no window for this model, and with a secret.
    pub ready: &'a [bool],
    /// The candidate that was asked.
    pub at: usize,
    /// Whether its token can be renewed, and has not been in this turn.
    pub renewable: bool,
    /// How often the profile was changed because of overload.
    pub overload_rotations: u32,
    /// How often the profile was changed because of a rate limit.
    pub limit_rotations: u32,
    /// Whether fallback models are configured, or the chain has a further model.
    pub has_fallback: bool,
}

/// What a turn does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It ends with the answer.
    Answer,
    /// It ends, because the user said so.
    Stop,
    /// It renews the token and asks the same candidate again.
    Renew,
    /// It asks this candidate.
    Ask {
        /// Its place.
        at: usize,
        /// After this many milliseconds.
        wait_ms: u64,
    },
    /// It gives the model up; the chain goes on, if there is more of it.
    FailModel {
        /// The class of the failure.
        reason: FailureReason,
        /// Why no other candidate is asked.
        because: GivenUp,
    },
    /// It ends with the error, which is what the user sees.
    ErrorIsAnswer,
}

/// Why a model is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// No candidate is left.
    NoneLeft,
    /// The profile was changed as often as the policy allows.
    EnoughRotations,
    /// Every other credential of the provider would be told the same.
    ModelMissing,
}

/// The step that follows an outcome.
pub fn after(outcome: Outcome, attempt: &Attempt<'_>, policy: RotationPolicy) -> Step {
    let reason = match outcome {
        Outcome::Answered => return Step::Answer,
        Outcome::Aborted => return Step::Stop,
        Outcome::Unclassified | Outcome::ContextOverflow => return Step::ErrorIsAnswer,
        Outcome::Failed(reason) => reason,
    };
    let give_up =
        |because| if attempt.has_fallback { Step::FailModel { reason, because } } else { Step::ErrorIsAnswer };
    match reason {
        FailureReason::ModelNotFound => return give_up(GivenUp::ModelMissing),
        FailureReason::Auth if attempt.renewable => return Step::Renew,
        _ => {}
    }
    let may_change = match attempt.pool {
        Pool::Profiles => true,
        Pool::PinnedProfile => false,
        // Only a limit makes another key of the same kind worth asking.
        Pool::Keys => reason == FailureReason::RateLimit,
    };
    let next = attempt.ready.iter().enumerate().skip(attempt.at + 1).find(|(_, ready)| **ready).map(|(at, _)| at);
    let next = next.filter(|_| may_change);
    if attempt.pool != Pool::Keys && attempt.has_fallback && rotations_spent(reason, attempt, policy) {
        return give_up(if next.is_some() { GivenUp::EnoughRotations } else { GivenUp::NoneLeft });
    }
    match next {
        Some(at) => {
            let wait_ms = if reason == FailureReason::Overloaded { policy.overloaded_backoff_ms } else { 0 };
            Step::Ask { at, wait_ms }
        }
        None => give_up(GivenUp::NoneLeft),
    }
}

/// Whether one more change because of this reason would be too many.
fn rotations_spent(reason: FailureReason, attempt: &Attempt<'_>, policy: RotationPolicy) -> bool {
    match reason {
        FailureReason::Overloaded => attempt.overload_rotations.saturating_add(1) > policy.overloaded,
        FailureReason::RateLimit => attempt.limit_rotations.saturating_add(1) > policy.rate_limited,
        _ => false,
    }
}

/// The HTTP status that a failure of this class is reported with, where it has one.
pub fn status_of(reason: FailureReason) -> Option<u16> {
    Some(match reason {
        FailureReason::Billing => 402,
        FailureReason::RateLimit => 429,
        FailureReason::Overloaded => 503,
        FailureReason::Auth => 401,
        FailureReason::AuthPermanent => 403,
        FailureReason::Timeout => 408,
        FailureReason::Format => 400,
        FailureReason::ModelNotFound => 404,
        FailureReason::SessionExpired => 410,
        FailureReason::Unknown => return None,
    })
}

/// The most attempts that a turn makes with so many profiles.
pub fn attempts_max(profiles: usize) -> usize {
    (24 + 8 * profiles.clamp(1, 100)).clamp(32, 160)
}
