//! `models auth why --if` (spec 04 section 1.8): what an outcome would write, and who would follow.

use auth_core::config::{AgentId, Config};
use auth_core::fallback::{chain, is_configured};
use auth_core::forecast::{Forecast, Later, Trial, Written};
use auth_core::rotation::{GivenUp, Outcome, Record, Step, status_of};
use auth_core::status::ModelsInUse;
use auth_core::{
    CandidateSource, Explanation, FailureReason, ModelRef, ProviderId, Standing, UsageStats, WordyDuration,
};
use auth_store::{AgentAuth, State};
use serde::Serialize;
use serde_json::{Map, Value};

use super::auth_why::Next;
use crate::failure::Failure;
use crate::output::{Page, plain};
use crate::render::choice::{self, file_of};

/// The outcome in question.
#[derive(Clone, Copy, Debug)]
pub(super) struct WhatIf {
    pub(super) outcome: Outcome,
    /// The HTTP status, when it was given as one.
    status: Option<u16>,
}

impl WhatIf {
    pub(super) fn read(word: &str, provider: &ProviderId) -> Result<Self, Failure> {
        let outcome = Outcome::parse(word, provider.as_str()).ok_or_else(|| {
            let words: Vec<&str> = FailureReason::ALL.iter().map(|reason| reason.as_str()).collect();
            Failure::with_fix(
                format!("--if {word:?} is no outcome; it is ok, an HTTP status such as 429, or {}.", words.join(", ")),
                "openclaw models auth why --help",
            )
        })?;
        Ok(Self { outcome, status: word.trim().parse().ok() })
    }
}

/// The models that a turn would go on to.
pub(super) struct LaterModels {
    models: Vec<ModelRef>,
    has_fallback: bool,
}

impl LaterModels {
    /// `model` is what the question is about; without one it is the first in use of the provider.
    pub(super) fn of(
        config: &Config,
        agent: Option<&AgentId>,
        models: &ModelsInUse,
        provider: &ProviderId,
        model: Option<&ModelRef>,
    ) -> Self {
        let usual = &models.resolved_default;
        let in_use = chain(config, agent, usual, false);
        let of_provider = || in_use.iter().find(|model| model.provider_id() == *provider);
        let nameless = ModelRef { provider: provider.to_string(), model: String::new() };
        let requested = model.or_else(of_provider).unwrap_or(&nameless);
        let mut found = chain(config, agent, requested, requested != usual);
        found.remove(0);
        Self { has_fallback: is_configured(config, agent) || !found.is_empty(), models: found }
    }

    pub(super) fn view(&self) -> Later<'_> {
        Later { models: &self.models, has_fallback: self.has_fallback }
    }
}

/// What would follow.
pub(super) struct Told {
    pub(super) what_if: WhatIf,
    pub(super) forecast: Forecast,
    /// The model in question.
    pub(super) model: Option<ModelRef>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToldEntry {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    writes: Map<String, Value>,
    next: Option<SuccessorEntry>,
    afterwards: Option<Next>,
    steps: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SuccessorEntry {
    #[serde(flatten)]
    credential: Next,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    probe: bool,
}

impl Told {
    pub(super) fn document(&self, state: &State, auth: &AgentAuth, explanation: &Explanation) -> ToldEntry {
        let fields = self.forecast.written.iter().flat_map(|written| written.after.fields());
        ToldEntry {
            outcome: self.what_if.outcome.as_str(),
            status: self.what_if.status,
            writes: fields.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
            next: self.forecast.next.as_ref().map(|next| SuccessorEntry {
                credential: Next::of(&next.source),
                value: next.shown.clone(),
                provider: next.model.as_ref().map(|model| model.provider_id().to_string()),
                model: next.model.as_ref().map(ModelRef::key),
                probe: next.probe,
            }),
            afterwards: self.forecast.afterwards.as_ref().map(Next::of),
            steps: self.steps(state, auth, explanation),
        }
    }

    pub(super) fn render(&self, page: &mut Page, state: &State, auth: &AgentAuth, explanation: &Explanation) {
        let WhatIf { outcome, status } = self.what_if;
        let status = status.map_or_else(String::new, |status| format!(" ({status})"));
        page.gap();
        page.heading(&format!("If it ends with {}{status}", outcome.as_str()));
        for (at, step) in self.steps(state, auth, explanation).iter().enumerate() {
            page.line(5, &[plain(format!("  {}. {step}", at + 1))]);
        }
    }

    /// What happens, one after the other.
    fn steps(&self, state: &State, auth: &AgentAuth, explanation: &Explanation) -> Vec<String> {
        let told = &self.forecast;
        let subject = self.model.as_ref().map_or_else(|| explanation.provider.to_string(), ModelRef::key);
        let mut steps = Vec::new();
        match &told.asked {
            None => {
                steps.push(format!("{subject} has nothing to use: no request is made that could end like this"));
            }
            Some(asked) => {
                if told.renews_first {
                    let login = asked.label();
                    steps.push(format!("the token of {login} is renewed once and asked again; refused again:"));
                }
                steps.push(match &told.written {
                    Some(written) => self.change(state, auth, written),
                    None => self.no_change(asked, explanation),
                });
            }
        }
        let passed = told.passed_over.iter().filter_map(|(source, _)| {
            let candidate = explanation.candidates.iter().find(|candidate| candidate.source == *source)?;
            let is_ready = matches!(candidate.standing, Standing::Next | Standing::InReserve);
            (!is_ready).then(|| (source.label(), choice::reason(state, auth, explanation, candidate)))
        });
        if matches!(told.outcome.record(), Record::Failure(_)) {
            steps.extend(passed.map(|(name, why)| format!("{name} is passed over: {why}")));
        }
        steps.extend(told.step.map(|step| self.step(step, explanation, state, &subject)));
        for (model, trial) in &told.models {
            steps.push(self.trial(model, trial));
        }
        if matches!(told.step, Some(Step::FailModel { .. })) && told.next.is_none() {
            steps.push("no other model is left: the turn fails".to_owned());
        }
        if told.asked.is_some() {
            steps.push(self.afterwards(state, explanation));
        }
        steps
    }

    /// What is written, in words.
    fn change(&self, state: &State, auth: &AgentAuth, written: &Written) -> String {
        let Written { profile, before, after, last_good } = written;
        let now = state.now().as_f64();
        let file = auth.view.profiles.get(profile).map(|profile| file_of(state, auth, profile));
        let file = file.map_or_else(String::new, |file| format!("; written to {file}"));
        let Record::Failure(reason) = self.forecast.outcome.record() else {
            let cleared = if before.window_end_ms().is_some() || before.error_count > 0 {
                ", its failures and windows are forgotten"
            } else {
                ""
            };
            let good = if *last_good { ", and it is the last good one" } else { "" };
            return format!("profile:{profile} was last used now{good}{cleared}{file}");
        };
        let disables = matches!(reason, FailureReason::Billing | FailureReason::AuthPermanent);
        let end = |stats: &UsageStats| if disables { stats.disabled_until_ms } else { stats.cooldown_until_ms };
        let left = WordyDuration(end(after).unwrap_or(now) - now);
        let kept = end(before).is_some_and(|until| until > now);
        let what = match (disables, kept) {
            (true, false) => format!("is disabled for {left}"),
            (true, true) => format!("stays disabled for {left}, as before"),
            (false, false) => format!("goes into cooldown for {left}"),
            (false, true) => format!("stays in cooldown for {left}, as before"),
        };
        let model = after.cooldown_model.as_ref().filter(|_| !disables);
        let model = model.map_or_else(String::new, |model| format!(", for the model {model} only"));
        let count = match after.error_count {
            1 => "the first failure".to_owned(),
            count => format!("failure {count} in a row"),
        };
        format!("profile:{profile} {what} ({reason}{model}; {count}){file}")
    }

    /// Why nothing is written.
    fn no_change(&self, asked: &CandidateSource, explanation: &Explanation) -> String {
        let why = match (asked, self.forecast.outcome) {
            (source, _) if !matches!(source, CandidateSource::Profile(_)) => {
                "statistics are kept of stored profiles only".to_owned()
            }
            (_, Outcome::Failed(FailureReason::Timeout)) => "a timeout tells nothing about the credential".to_owned(),
            (_, Outcome::Failed(FailureReason::ModelNotFound)) => {
                "that a model is missing tells nothing about the credential".to_owned()
            }
            (_, Outcome::Failed(_)) => format!("profiles of {} are never put aside", explanation.provider),
            _ => "the status alone has no class; the text of the answer may give it one".to_owned(),
        };
        format!("nothing is written about {}: {why}", asked.label())
    }

    fn step(&self, step: Step, explanation: &Explanation, state: &State, subject: &str) -> String {
        let provider = &explanation.provider;
        match step {
            Step::Answer => "the turn ends with the answer".to_owned(),
            Step::Ask { wait_ms, .. } => {
                let next = self.successor();
                let wait = if wait_ms > 0 { format!(", after {wait_ms} ms") } else { String::new() };
                format!("{next} is asked next, in the same turn{wait}")
            }
            Step::FailModel { reason, because } => {
                let why = match because {
                    GivenUp::NoneLeft => format!("no other credential of {provider} follows"),
                    GivenUp::ModelMissing => "every other credential would be told the same".to_owned(),
                    GivenUp::EnoughRotations => {
                        let (name, most) = match reason {
                            FailureReason::Overloaded => ("overloaded", state.config.rotations.overloaded),
                            _ => ("rateLimited", state.config.rotations.rate_limited),
                        };
                        format!("auth.cooldowns.{name}ProfileRotations is {most}")
                    }
                };
                let status = status_of(reason).map_or_else(String::new, |status| format!(", {status}"));
                format!("{why}: {subject} has failed ({reason}{status})")
            }
            Step::ErrorIsAnswer | Step::Stop | Step::Renew => match self.forecast.outcome {
                Outcome::Failed(FailureReason::ModelNotFound) => {
                    "no other model is configured: the turn ends with the error".to_owned()
                }
                Outcome::Failed(_) => {
                    format!(
                        "no other credential of {provider} follows, and no other model is configured: the turn ends with the error"
                    )
                }
                _ => "nothing else is tried without a class: the turn ends with the error".to_owned(),
            },
        }
    }

    /// Who is asked next; several keys may stand under one name, but not profiles.
    fn successor(&self) -> String {
        match &self.forecast.next {
            Some(next) if matches!(next.source, CandidateSource::Profile(_)) => next.source.label(),
            Some(next) => format!("{} ({})", next.source.label(), next.shown),
            None => String::new(),
        }
    }

    fn trial(&self, model: &ModelRef, trial: &Trial) -> String {
        let key = model.key();
        match trial {
            Trial::Asked { probe } => {
                let although = if *probe { ", once, although it is in cooldown" } else { "" };
                format!("the model {key} is asked next, with {}{although}", self.successor())
            }
            Trial::Skipped(reason) => format!("the model {key} is left out: {}", reason.text(&model.provider_id())),
            Trial::NoCredential => format!("the model {key} fails: {} has no credential to use", model.provider_id()),
        }
    }

    fn afterwards(&self, state: &State, explanation: &Explanation) -> String {
        match (&self.forecast.afterwards, self.forecast.free_again_ms) {
            (Some(source), _) => format!("the next turn starts with {}", source.label()),
            (None, Some(until)) => {
                let left = WordyDuration(until - state.now().as_f64());
                format!(
                    "the next turn finds nothing of {} to use; the first is free again in {left}",
                    explanation.provider
                )
            }
            (None, None) => format!("the next turn finds nothing of {} to use", explanation.provider),
        }
    }
}
