//! What would be recorded, and who would follow, if the next request ended in a given way (spec 04 section 1.8, 07
//! sections 5.3, 5.4, 6.3 and 7).
//!
//! The steps are those of [`rotation`](crate::rotation) and [`fallback`](crate::fallback), taken on a copy of the statistics
//! instead of the file.

#[cfg(test)]
mod tests;

use crate::credential::Credential;
use crate::explain::{Candidate, CandidateSource, Explanation, Standing, explain};
use crate::fallback::{Admission, Cooling, Place, SkipReason, admit};
use crate::model::ModelRef;
use crate::profile::{AuthProfiles, ProfileId};
use crate::rotation::{Attempt, Outcome, Pool, Record, Step, after};
use crate::source::Situation;
use crate::usage::{FailureReason, UsageStats, soonest_end, unavailable_reason};

/// The models that a turn would go on to.
#[derive(Clone, Copy, Debug)]
pub struct Later<'a> {
    /// The rest of the chain, without the model in question.
    pub models: &'a [ModelRef],
    /// Whether fallback models are configured, or the chain has a further model.
    pub has_fallback: bool,
}

/// What would follow an outcome.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// How the request ended.
    pub outcome: Outcome,
    /// The credential it was made with; none when there is none to make it with, and nothing follows.
    pub asked: Option<CandidateSource>,
    /// Whether the token is renewed and asked again before anything else; the rest is what follows a second refusal.
    pub renews_first: bool,
    /// What is written about the profile.
    pub written: Option<Written>,
    /// What the turn does then; none when no request could be made.
    pub step: Option<Step>,
    /// The candidates that the turn passes over on its way to the next one.
    pub passed_over: Vec<(CandidateSource, Standing)>,
    /// The further models that it comes to, with what it does with each.
    pub models: Vec<(ModelRef, Trial)>,
    /// Who is asked next.
    pub next: Option<Successor>,
    /// The credential with which the turn after this one starts on this model.
    pub afterwards: Option<CandidateSource>,
    /// When the first profile is back if there is none, in milliseconds since the epoch.
    pub free_again_ms: Option<f64>,
}

impl Forecast {
    /// Whether something is left that could be used.
    pub fn leaves_something(&self) -> bool {
        self.next.is_some() || self.afterwards.is_some()
    }
}

/// A change of the statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Whose.
    pub profile: ProfileId,
    /// Before.
    pub before: UsageStats,
    /// After.
    pub after: UsageStats,
    /// Whether it becomes the profile that last answered.
    pub last_good: bool,
}

/// What a turn does with a further model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// It asks it.
    Asked {
        /// With a profile whose window is open, once.
        probe: bool,
    },
    /// It leaves it out.
    Skipped(SkipReason),
    /// It finds no credential for it.
    NoCredential,
}

/// Who is asked next.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    /// The credential.
    pub source: CandidateSource,
    /// How its secret is shown.
    pub shown: String,
    /// The model, when it is another one.
    pub model: Option<ModelRef>,
    /// Whether it is asked although its window is open.
    pub probe: bool,
}

impl Successor {
    fn of(candidate: &Candidate, model: Option<&ModelRef>) -> Self {
        let (source, shown) = (candidate.source.clone(), candidate.shown.clone());
        Self { source, shown, model: model.cloned(), probe: false }
    }
}

/// Tells what follows when the request that `explanation` says is next ends like this.
pub fn forecast(situation: &Situation<'_>, explanation: &Explanation, later: Later<'_>, outcome: Outcome) -> Forecast {
    let mut told = Forecast {
        outcome,
        asked: None,
        renews_first: false,
        written: None,
        step: None,
        passed_over: Vec::new(),
        models: Vec::new(),
        next: None,
        afterwards: None,
        free_again_ms: None,
    };
    // Without a credential no request is made, so that it cannot end in any way.
    let Some(asked) = explanation.next() else { return told };
    told.asked = Some(asked.source.clone());
    told.written = written(situation, explanation, asked, outcome);
    let changed = told.written.as_ref().map(|written| {
        let store: AuthProfiles = situation.store.clone();
        store.with_usage(&written.profile, written.after.clone())
    });
    let situation = Situation { store: changed.as_ref().unwrap_or(situation.store), ..*situation };

    let (pool, candidates) = pool(explanation, asked);
    let at = candidates.iter().position(|candidate| candidate.standing == Standing::Next).unwrap_or(0);
    let ready: Vec<bool> =
        candidates.iter().map(|candidate| matches!(candidate.standing, Standing::Next | Standing::InReserve)).collect();
    let mut attempt = Attempt {
        pool,
        ready: &ready,
        at,
        renewable: is_renewable(&situation, asked),
        overload_rotations: 0,
        limit_rotations: 0,
        has_fallback: later.has_fallback,
    };
    let mut step = after(outcome, &attempt, situation.config.rotations);
    if step == Step::Renew {
        told.renews_first = true;
        attempt.renewable = false;
        step = after(outcome, &attempt, situation.config.rotations);
    }
    told.step = Some(step);

    let again = explain(&situation, &explanation.provider, explanation.model.as_deref());
    told.afterwards = again.next().map(|next| next.source.clone());
    if told.afterwards.is_none() {
        let ids: Vec<&ProfileId> = again.order.tried.iter().map(|entry| &entry.id).collect();
        told.free_again_ms = soonest_end(situation.store, &ids, explanation.model.as_deref(), situation.now);
    }
    let passed = |to: usize| {
        let between = candidates[..to].iter().skip(at + 1);
        between.map(|candidate| (candidate.source.clone(), candidate.standing.clone())).collect()
    };
    match step {
        Step::Answer => {
            told.next = again.next().map(|next| Successor::of(next, None));
        }
        Step::Ask { at: to, .. } => {
            told.passed_over = passed(to);
            told.next = Some(Successor::of(candidates[to], None));
        }
        Step::FailModel { .. } => {
            told.passed_over = passed(candidates.len());
            told.go_on(&situation, later.models);
        }
        Step::ErrorIsAnswer => told.passed_over = passed(candidates.len()),
        Step::Stop | Step::Renew => {}
    }
    told
}

/// The candidates that may follow each other, and of which kind they are.
fn pool<'a>(explanation: &'a Explanation, asked: &Candidate) -> (Pool, Vec<&'a Candidate>) {
    let tried = |id: &ProfileId| explanation.order.tried.iter().any(|entry| entry.id == *id);
    let (pool, belongs): (Pool, &dyn Fn(&Candidate) -> bool) = match &asked.source {
        CandidateSource::Profile(_) => {
            (Pool::Profiles, &|candidate| matches!(&candidate.source, CandidateSource::Profile(id) if tried(id)))
        }
        // Keys of the environment follow one of theirs, or the key of the config.
        _ => (Pool::Keys, &|candidate| {
            candidate.standing == Standing::Next
                || candidate.standing == Standing::InReserve
                    && matches!(candidate.source, CandidateSource::Variable { .. })
        }),
    };
    (pool, explanation.candidates.iter().filter(|candidate| belongs(candidate)).collect())
}

/// Whether a refusal is met by renewing the token first.
fn is_renewable(situation: &Situation<'_>, asked: &Candidate) -> bool {
    let CandidateSource::Profile(id) = &asked.source else { return false };
    let login = situation.store.get(id).map(|profile| &profile.credential);
    matches!(login, Some(Credential::OAuth { refresh: Some(_), .. }))
}

fn written(
    situation: &Situation<'_>,
    explanation: &Explanation,
    asked: &Candidate,
    outcome: Outcome,
) -> Option<Written> {
    let CandidateSource::Profile(id) = &asked.source else { return None };
    let profile = situation.store.get(id)?;
    let before = situation.store.usage(id).cloned().unwrap_or_default();
    let (after, last_good) = match outcome.record() {
        Record::Nothing => return None,
        Record::Success => (before.after_success(situation.now), profile.provider == explanation.provider),
        Record::Failure(_) if profile.provider.is_cooldown_exempt() => return None,
        Record::Failure(reason) => {
            let policy = &situation.config.cooldowns;
            let model = explanation.model.as_deref();
            (before.after_failure(reason, model, &explanation.provider, policy, situation.now), false)
        }
    };
    Some(Written { profile: id.clone(), before, after, last_good })
}

impl Forecast {
    /// Goes through the further models until one is asked.
    fn go_on(&mut self, situation: &Situation<'_>, models: &[ModelRef]) {
        for model in models {
            let provider = model.provider_id();
            let explanation = explain(situation, &provider, Some(&model.model));
            let next = |candidate: &Candidate| Some(Successor::of(candidate, Some(model)));
            let (trial, next) = match (explanation.next(), waiting(&explanation)) {
                (Some(candidate), _) => (Trial::Asked { probe: false }, next(candidate)),
                (None, Some(profiles)) => {
                    let ids: Vec<&ProfileId> = explanation.order.tried.iter().map(|entry| &entry.id).collect();
                    match admission(situation, model, &ids) {
                        Admission::Probe => {
                            let first = next(profiles[0]).map(|first| Successor { probe: true, ..first });
                            (Trial::Asked { probe: true }, first)
                        }
                        Admission::Skip(reason) => (Trial::Skipped(reason), None),
                        Admission::Run => (Trial::NoCredential, None),
                    }
                }
                (None, None) => (Trial::NoCredential, None),
            };
            self.models.push((model.clone(), trial));
            if next.is_some() {
                self.next = next;
                return;
            }
        }
    }
}

/// The profiles of a provider in their order, when there are some and every one of them waits.
fn waiting(explanation: &Explanation) -> Option<Vec<&Candidate>> {
    let profile = |id: &ProfileId| {
        explanation.candidates.iter().find(|candidate| {
            matches!(&candidate.source, CandidateSource::Profile(of) if of == id)
                && matches!(candidate.standing, Standing::Waiting(_))
        })
    };
    let found: Vec<&Candidate> = explanation.order.tried.iter().filter_map(|entry| profile(&entry.id)).collect();
    (!found.is_empty() && found.len() == explanation.order.tried.len()).then_some(found)
}

fn admission(situation: &Situation<'_>, model: &ModelRef, ids: &[&ProfileId]) -> Admission {
    let cooling = Cooling {
        reason: unavailable_reason(situation.store, ids, situation.now).unwrap_or(FailureReason::Unknown),
        place: Place::Later,
        throttle_open: true,
        soonest_end_ms: soonest_end(situation.store, ids, Some(&model.model), situation.now),
        probe_spent: false,
    };
    admit(&cooling, situation.now)
}
