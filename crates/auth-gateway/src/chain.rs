//! The models of a turn, one after the other (spec 07 section 7.2).

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use auth_core::fallback::{self, Place};
use auth_core::{ModelRef, ProfileId, Situation, resolve_order, soonest_end};

use crate::engine::{Engine, Turn};
use crate::model_run::{ModelEnd, ModelRun};
use crate::outcome::{Answer, Attempted, TurnError, TurnErrorKind};

/// What a turn has done so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Every request that failed.
    pub(crate) requests: Vec<Attempted>,
    /// Providers that were tried in vain in a window.
    pub(crate) probed: HashSet<String>,
    /// Remarks.
    pub(crate) notes: Vec<String>,
}

pub(crate) async fn run(engine: &Arc<Engine>, turn: &Turn<'_>) -> Result<Answer, TurnError> {
    let config = &turn.state.config;
    let models = if turn.no_fallback {
        vec![turn.model.clone()]
    } else {
        fallback::chain(config, Some(turn.agent), &turn.model, turn.chosen)
    };
    let configured = !turn.no_fallback && fallback::is_configured(config, Some(turn.agent));
    let mut progress = Progress::default();
    let mut failed: Vec<Attempted> = Vec::new();
    // Everything on the way in its order: requests that failed, and models that were not asked at all.
    let mut attempts: Vec<Attempted> = Vec::new();
    let mut told = 0;
    let mut last: Option<TurnErrorKind> = None;
    for (at, model) in models.iter().enumerate() {
        let place = match at {
            0 if models.len() == 1 => Place::Only,
            0 => Place::First,
            _ => Place::Later,
        };
        let has_more = at + 1 < models.len();
        let run = ModelRun { engine, turn, model, place, has_fallback: configured || has_more };
        let ended = run.run(&mut progress).await;
        attempts.extend_from_slice(&progress.requests[told..]);
        told = progress.requests.len();
        if let Err(ModelEnd::Failed(left_out) | ModelEnd::Error(left_out, _) | ModelEnd::Skipped(left_out)) = &ended
            && left_out.source.is_none()
        {
            attempts.push((**left_out).clone());
        }
        if let Err(ModelEnd::Failed(last) | ModelEnd::Error(last, _)) = &ended
            && last.reason.is_some_and(fallback::leaves_probe)
        {
            // It told nothing about the window: the next model of the provider may still try.
            progress.probed.remove(model.provider_id().as_str());
        }
        match ended {
            Ok(mut answer) => {
                answer.attempts = attempts;
                answer.notes = progress.notes;
                answer.notes.extend(failed.first().map(|first| instead_of(first, &answer)));
                return Ok(answer);
            }
            Err(ModelEnd::Stop(error)) => {
                return Err(TurnError {
                    attempts: failed,
                    requests: progress.requests,
                    notes: progress.notes,
                    ..*error
                });
            }
            Err(ModelEnd::Failed(attempted)) => {
                last = Some(TurnErrorKind::Failed);
                failed.push(*attempted);
            }
            Err(ModelEnd::Error(attempted, kind)) => {
                last = Some(kind);
                failed.push(*attempted);
            }
            Err(ModelEnd::Skipped(attempted)) => failed.push(*attempted),
        }
    }
    Err(summary(engine, turn, &models, failed, last, progress))
}

/// Says that another model answered than the one that was asked for.
fn instead_of(first: &Attempted, answer: &Answer) -> String {
    let why = match first.reason {
        Some(auth_core::FailureReason::ModelNotFound) => "was not found".to_owned(),
        _ => format!("did not answer ({})", first.error.trim_end_matches('.')),
    };
    format!(
        "Warning: model {}/{} {why}; {}/{} answered instead",
        first.provider, first.model, answer.provider, answer.model
    )
}

/// The error of a turn that nothing answered.
fn summary(
    engine: &Engine,
    turn: &Turn<'_>,
    models: &[ModelRef],
    failed: Vec<Attempted>,
    last: Option<TurnErrorKind>,
    progress: Progress,
) -> TurnError {
    let soonest_end_ms = soonest(engine, turn, models);
    let final_attempt = failed.last().cloned();
    let kind = last.unwrap_or(TurnErrorKind::Failed);
    let mut message = match (last, failed.as_slice()) {
        (Some(_), [only]) => only.error.clone(),
        _ => {
            let told = failed.iter().map(|attempted| {
                let reason = attempted.reason.map_or("unknown", auth_core::FailureReason::as_str);
                format!("{}/{}: {} ({reason})", attempted.provider, attempted.model, attempted.error)
            });
            format!("All models failed ({}): {}", failed.len(), told.collect::<Vec<_>>().join(" | "))
        }
    };
    let now = Engine::now().as_f64();
    if let Some(end) = soonest_end_ms.filter(|end| *end > now) {
        let left = (end - now) / 1000.0;
        let when = if left <= 60.0 {
            format!("ready in ~{}s", left.ceil())
        } else {
            format!("ready in ~{} min", (left / 60.0).ceil())
        };
        let _ = write!(
            message,
            "\nThe first credential is {when}. To use it at once: openclaw models auth clear-cooldown --all"
        );
    }
    let (reason, status) = final_attempt.map_or((None, None), |attempted| (attempted.reason, attempted.status));
    TurnError {
        kind,
        message,
        reason,
        status,
        attempts: failed,
        requests: progress.requests,
        soonest_end_ms,
        notes: progress.notes,
    }
}

/// When the first profile of all models is back.
fn soonest(engine: &Engine, turn: &Turn<'_>, models: &[ModelRef]) -> Option<f64> {
    let auth = engine.auth(turn.state, turn.agent).ok()?;
    let situation = Situation { now: Engine::now(), ..turn.state.situation(&auth) };
    let ends = models.iter().filter_map(|model| {
        let provider = model.provider_id();
        let order = resolve_order(situation.config, situation.store, &provider, None, situation.now);
        let ids: Vec<&ProfileId> = order.tried.iter().map(|entry| &entry.id).collect();
        soonest_end(situation.store, &ids, Some(&model.model), situation.now)
    });
    ends.reduce(f64::min)
}
