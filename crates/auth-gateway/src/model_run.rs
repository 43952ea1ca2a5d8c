//! One model: its credentials one after the other (spec 07 section 6).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auth_core::fallback::{self, Admission, Cooling, Place};
use auth_core::probe::Endpoint;
use auth_core::rotation::{Attempt, GivenUp, Outcome, Pool, Record, Step, after, attempts_max, status_of};
use auth_core::session::PinSource;
use auth_core::{FailureReason, ModelRef, Owner, ProfileId, ProviderId, Secret, Situation, unavailable_reason};
use auth_core::{host_of, provider, soonest_end};
use auth_oauth::Need;
use auth_probe::{Replied, ReplyFailure};

use crate::candidates::{Candidates, NoCandidates, Preferred, Tried, candidates, is_loopback, static_secret};
use crate::chain::Progress;
use crate::engine::{Engine, Turn};
use crate::exchange::Failure;
use crate::outcome::{Answer, Attempted, TurnError, TurnErrorKind, Used};
use crate::recorder::{Mark, Recorded, What};

/// How a model ended without an answer.
pub(crate) enum ModelEnd {
    /// It failed; another model may be tried.
    Failed(Box<Attempted>),
    /// Its error is the answer, unless another model is there.
    Error(Box<Attempted>, TurnErrorKind),
    /// It was not asked.
    Skipped(Box<Attempted>),
    /// The turn ends.
    Stop(Box<TurnError>),
}

/// A model of a turn.
#[derive(Clone, Copy)]
pub(crate) struct ModelRun<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) turn: &'a Turn<'a>,
    pub(crate) model: &'a ModelRef,
    pub(crate) place: Place,
    pub(crate) has_fallback: bool,
}

/// What is known about the model and its provider at the beginning.
pub(crate) struct Ground {
    pub(crate) provider: ProviderId,
    pub(crate) endpoint: Endpoint,
    dir: PathBuf,
    candidates: Candidates,
    ready: Vec<bool>,
    pub(crate) redactor: auth_core::secrets::Redactor,
    /// The secrets that could be read at once, by place.
    secrets: Vec<Option<Result<Option<Secret>, String>>>,
    /// The candidate whose token was renewed after a refusal.
    renewed: Option<usize>,
}

impl ModelRun<'_> {
    pub(crate) async fn run(&self, progress: &mut Progress) -> Result<Answer, ModelEnd> {
        let mut ground = self.ground(progress).await?;
        let policy = self.turn.state.config.rotations;
        let (mut overloads, mut limits) = (0, 0);
        let mut renewed: Option<Secret> = None;
        let mut unresolved: Option<String> = None;
        let mut at = self.first_ready(&ground)?;
        for _ in 0..attempts_max(ground.candidates.list.len()) {
            let tried = ground.candidates.list[at].clone();
            let credential = match renewed.take() {
                Some(token) => Ok(Some(token)),
                None => self.credential(&ground, at, &tried).await,
            };
            let credential = match credential {
                Ok(credential) => credential,
                Err(why) => {
                    ground.ready[at] = false;
                    progress.notes.push(why.clone());
                    unresolved = Some(why);
                    match ground.next_ready(at) {
                        Some(next) => at = next,
                        None => break,
                    }
                    continue;
                }
            };
            let failure = match self.ask(&ground, &tried, credential.as_ref()).await {
                Ok((text, replied)) => {
                    self.remember(&ground, &tried, credential.as_ref(), What::Used, progress).await;
                    return Ok(self.answer(&tried, text, replied));
                }
                Err(Failure::AfterText(failure)) => {
                    let attempted = self.attempted(Some(&tried), &failure);
                    progress.requests.push((*attempted).clone());
                    return Err(stop(&attempted));
                }
                Err(Failure::NobodyListens) => {
                    let error = TurnError::new(TurnErrorKind::Cancelled, "The client went away.");
                    return Err(ModelEnd::Stop(Box::new(error)));
                }
                Err(Failure::BeforeText(failure)) => failure,
            };
            let attempted = self.attempted(Some(&tried), &failure);
            progress.requests.push((*attempted).clone());
            let outcome = Outcome::of_failure(failure.reason);
            self.record_failure(&ground, at, credential.as_ref(), outcome, progress).await;
            let attempt = Attempt {
                pool: ground.candidates.pool,
                ready: &ground.ready,
                at,
                renewable: ground.is_login(at) && ground.renewed != Some(at),
                overload_rotations: overloads,
                limit_rotations: limits,
                has_fallback: self.has_fallback,
            };
            match after(outcome, &attempt, policy) {
                Step::Ask { at: next, wait_ms } => {
                    overloads += u32::from(attempted.reason == Some(FailureReason::Overloaded));
                    limits += u32::from(attempted.reason == Some(FailureReason::RateLimit));
                    if wait_ms > 0 {
                        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    }
                    at = next;
                }
                Step::Renew => {
                    ground.renewed = Some(at);
                    let refused = credential.unwrap_or_else(|| Secret::new(""));
                    match self.renew(&ground, &tried, refused).await {
                        Ok(token) => renewed = Some(token),
                        Err(why) => {
                            ground.ready[at] = false;
                            unresolved = Some(why);
                            match ground.next_ready(at) {
                                Some(next) => at = next,
                                None => return Err(given_up(&attempted, None)),
                            }
                        }
                    }
                }
                Step::FailModel { because, .. } => return Err(given_up(&attempted, Some(because))),
                Step::ErrorIsAnswer if outcome == Outcome::ContextOverflow => {
                    return Err(ModelEnd::Stop(Box::new(TurnError {
                        reason: attempted.reason,
                        status: attempted.status,
                        ..TurnError::new(TurnErrorKind::ContextOverflow, &attempted.error)
                    })));
                }
                Step::ErrorIsAnswer | Step::Answer => return Err(ModelEnd::Error(attempted, TurnErrorKind::Failed)),
                Step::Stop => return Err(stop(&attempted)),
            }
        }
        let error = unresolved.unwrap_or_else(|| format!("No available auth profile for {}.", ground.provider));
        Err(ModelEnd::Failed(self.without_request(error, FailureReason::Auth)))
    }

    /// Everything that can be known before the first request.
    async fn ground(&self, progress: &mut Progress) -> Result<Ground, ModelEnd> {
        let provider = self.model.provider_id();
        let failed = |error: String| ModelEnd::Failed(self.without_request(error, FailureReason::Auth));
        let auth = self.engine.auth(self.turn.state, self.turn.agent).map_err(|error| failed(error.to_string()))?;
        progress.notes.extend(self.engine.news_of(self.turn.agent, &auth.view.errors).into_iter().map(|error| {
            format!(
                "Warning: {} {}; no credential of it is used. Run: openclaw doctor",
                self.turn.state.layout.shorten(&error.path),
                error.message
            )
        }));
        let now = Engine::now();
        let situation = Situation { now, ..self.turn.state.situation(&auth) };
        let refs = self.engine.refs(&situation, self.turn, &provider).await;
        let situation = Situation { refs: &refs, ..situation };
        let endpoint = Endpoint::resolve(&provider, &self.model.model, &situation).map_err(&failed)?;
        let endpoint = endpoint.ok_or_else(|| {
            ModelEnd::Error(
                self.without_request(
                    format!("Nothing says where {provider} is. Set models.providers.{provider}.baseUrl, or run: openclaw onboard"),
                    FailureReason::Unknown,
                ),
                TurnErrorKind::Failed,
            )
        })?;
        let pin = self
            .turn
            .pin
            .as_ref()
            .filter(|pin| situation.store.get(&pin.profile).is_some_and(|profile| profile.provider == provider));
        let preferred = Preferred {
            profile: pin.map(|pin| &pin.profile),
            locked: pin.is_some_and(|pin| pin.source == PinSource::User),
        };
        let is_local = is_loopback(&endpoint.base_url);
        let found = candidates(&situation, &provider, &self.model.model, preferred, is_local);
        let mut found = found.map_err(|why| self.no_candidates(why, &provider, &auth.store_path()))?;
        let probes = self.admitted(&found, &situation, &provider, &auth.dir, progress)?;
        if found.pool == Pool::Keys {
            // Those that were limited a moment ago come last.
            found.list.sort_by_key(
                |tried| matches!(tried, Tried::Key { secret, .. } if self.engine.was_limited(secret, now)),
            );
            warn_of_other_host(&found, &provider, &endpoint, progress);
        }
        let mut ready: Vec<bool> = found
            .list
            .iter()
            .map(|tried| found.pool == Pool::PinnedProfile || !matches!(tried, Tried::Profile { waiting: true, .. }))
            .collect();
        if probes && let Some(first) = ready.first_mut() {
            *first = true;
        }
        let secrets = found
            .list
            .iter()
            .map(|tried| match tried {
                Tried::Profile { id, .. } => Some(static_secret(&situation, id)),
                Tried::Key { secret, .. } => Some(Ok(Some(secret.clone()))),
                Tried::Nothing => None,
            })
            .collect();
        let known = situation.store.iter().filter_map(|profile| profile.credential.material()?.inline().cloned());
        let redactor = auth_core::secrets::Redactor::of(known);
        Ok(Ground {
            provider,
            endpoint,
            dir: auth.dir.clone(),
            candidates: found,
            ready,
            redactor,
            secrets,
            renewed: None,
        })
    }

    /// Decides about a provider whose profiles are all out of use for this model (7.3). `true` lets one be asked.
    fn admitted(
        &self,
        found: &Candidates,
        situation: &Situation<'_>,
        provider: &ProviderId,
        dir: &Path,
        progress: &mut Progress,
    ) -> Result<bool, ModelEnd> {
        let ids: Vec<&ProfileId> = found.order.iter().collect();
        let all_wait = !ids.is_empty()
            && ids.iter().all(|id| {
                let profile = situation.store.get(id);
                profile.is_some_and(|profile| {
                    auth_core::cooldown(situation.store, profile, Some(&self.model.model), situation.now).is_some()
                })
            });
        if !all_wait {
            return Ok(false);
        }
        let reason = unavailable_reason(situation.store, &ids, situation.now).unwrap_or(FailureReason::Unknown);
        let cooling = Cooling {
            reason,
            place: self.place,
            throttle_open: self.engine.throttle_open(dir, provider, situation.now),
            soonest_end_ms: soonest_end(situation.store, &ids, Some(&self.model.model), situation.now),
            probe_spent: progress.probed.contains(provider.as_str()),
        };
        match fallback::admit(&cooling, situation.now) {
            Admission::Skip(why) => Err(ModelEnd::Skipped(self.without_request(why.text(provider), reason))),
            Admission::Probe => {
                if self.place != Place::Later {
                    self.engine.close_throttle(dir, provider, situation.now);
                }
                progress.probed.insert(provider.to_string());
                Ok(true)
            }
            Admission::Run => Ok(false),
        }
    }

    fn first_ready(&self, ground: &Ground) -> Result<usize, ModelEnd> {
        ground.ready.iter().position(|ready| *ready).ok_or_else(|| {
            let text = format!("No available auth profile for {} (all in cooldown or unavailable).", ground.provider);
            ModelEnd::Failed(self.without_request(text, FailureReason::Unknown))
        })
    }

    /// The credential of a candidate: read, resolved, or refreshed.
    async fn credential(&self, ground: &Ground, at: usize, tried: &Tried) -> Result<Option<Secret>, String> {
        match &ground.secrets[at] {
            None => Ok(None),
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(Some(secret))) => Ok(Some(secret.clone())),
            Some(Ok(None)) => match tried {
                Tried::Profile { id, .. } => {
                    let access = self.engine.login(self.turn, &ground.dir, id, Need::Use).await;
                    access.map(|access| Some(access.token)).map_err(|error| error.message)
                }
                Tried::Key { .. } | Tried::Nothing => Ok(None),
            },
        }
    }

    /// Records a request that failed: in the statistics of a profile; a limited key for a moment in this process.
    async fn record_failure(
        &self,
        ground: &Ground,
        at: usize,
        credential: Option<&Secret>,
        outcome: Outcome,
        progress: &mut Progress,
    ) {
        let tried = &ground.candidates.list[at];
        if let (Record::Failure(reason), Tried::Profile { .. }) = (outcome.record(), tried) {
            let length_ms = self.measured_ms(ground, ground.is_login(at), credential, reason).await;
            let what = What::Failed { reason, model: self.model.model.clone(), length_ms };
            self.remember(ground, tried, credential, what, progress).await;
        }
        if let (Tried::Key { secret, .. }, Outcome::Failed(FailureReason::RateLimit)) = (tried, outcome) {
            self.engine.limit(secret, Engine::now());
        }
    }

    /// A token in the place of one that was refused.
    async fn renew(&self, ground: &Ground, tried: &Tried, refused: Secret) -> Result<Secret, String> {
        let Tried::Profile { id, .. } = tried else { return Err("nothing to renew".to_owned()) };
        let access = self.engine.login(self.turn, &ground.dir, id, Need::NotThis(refused)).await;
        access.map(|access| access.token).map_err(|error| error.message)
    }

    async fn remember(
        &self,
        ground: &Ground,
        tried: &Tried,
        credential: Option<&Secret>,
        what: What,
        progress: &mut Progress,
    ) {
        let Tried::Profile { id, owner, .. } = tried else { return };
        let dir = match owner {
            Owner::Agent => ground.dir.clone(),
            Owner::Main => self.turn.state.layout.main_store_dir().to_owned(),
        };
        let secret = if ground.is_login_of(tried) { None } else { credential.cloned() };
        let reason = match &what {
            What::Failed { reason, .. } => Some(*reason),
            What::Used => None,
        };
        let window = Arc::default();
        let mark = Mark {
            profile: id.clone(),
            provider: ground.provider.clone(),
            secret,
            at: Engine::now(),
            what,
            window: Arc::clone(&window),
        };
        if let Err(why) = self.engine.record(self.turn.state, &dir, mark).await {
            progress.notes.push(format!("Warning: what happened to {id} was not recorded: {why}"));
        }
        if let (Some(reason), Some(recorded)) = (reason, window.get()) {
            progress.notes.push(self.told(ground, id, reason, *recorded));
        }
    }

    /// The line of the log about a failure that was recorded (5.9). The profile is hashed: it may name an account.
    fn told(&self, ground: &Ground, id: &ProfileId, reason: FailureReason, recorded: Recorded) -> String {
        format!(
            "Warning: auth: {} {} of {}: {}; {} {}",
            self.turn.run_id,
            Secret::new(id.as_str()).fingerprint(),
            ground.provider,
            reason.as_str(),
            recorded.kind.as_str(),
            if recorded.reused { "goes on" } else { "begins" },
        )
    }

    fn answer(&self, tried: &Tried, text: String, replied: Replied) -> Answer {
        Answer {
            text,
            provider: self.model.provider_id().to_string(),
            model: self.model.model.clone(),
            used: tried.used(),
            usage: replied.usage,
            stop: replied.stop.unwrap_or_else(|| "stop".to_owned()),
            attempts: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn attempted(&self, tried: Option<&Tried>, failure: &ReplyFailure) -> Box<Attempted> {
        let reason = match Outcome::of_failure(failure.reason) {
            Outcome::Failed(reason) => Some(reason),
            _ => None,
        };
        let used = tried.map(Tried::used);
        let Used { profile, source } = used.unwrap_or(Used { profile: None, source: String::new() });
        Box::new(Attempted {
            provider: self.model.provider_id().to_string(),
            model: self.model.model.clone(),
            profile,
            source: Some(source).filter(|source| !source.is_empty()),
            error: failure.message.clone(),
            reason,
            status: failure.status.or_else(|| reason.and_then(status_of)),
            code: failure.code.clone(),
        })
    }

    fn without_request(&self, error: String, reason: FailureReason) -> Box<Attempted> {
        Box::new(Attempted {
            provider: self.model.provider_id().to_string(),
            model: self.model.model.clone(),
            profile: None,
            source: None,
            error,
            reason: Some(reason),
            status: status_of(reason),
            code: None,
        })
    }

    fn no_candidates(&self, why: NoCandidates, provider: &ProviderId, store: &Path) -> ModelEnd {
        match why {
            NoCandidates::NotConfigured(id) => {
                let text = format!("Auth profile \"{id}\" is not configured for {provider}.");
                ModelEnd::Stop(Box::new(TurnError::new(TurnErrorKind::BadPin, text)))
            }
            NoCandidates::Unresolved(why) => ModelEnd::Failed(self.without_request(why, FailureReason::Auth)),
            NoCandidates::Ambient(source) => {
                let text = format!(
                    "{provider} uses {source}, which turns cannot send. Set auth: \"api-key\" beside the key in models.providers.{provider} of the config, or run: openclaw models auth paste-api-key --provider {provider}"
                );
                ModelEnd::Error(self.without_request(text, FailureReason::Auth), TurnErrorKind::NoCredential)
            }
            NoCandidates::NoCredential => {
                let text = format!(
                    "No API key found for provider \"{provider}\". Auth store: {}. Run: openclaw models auth paste-api-key --provider {provider}",
                    store.display()
                );
                let attempted = self.without_request(text, FailureReason::Auth);
                ModelEnd::Error(attempted, TurnErrorKind::NoCredential)
            }
        }
    }
}

/// The model is given up for another one.
fn given_up(attempted: &Attempted, because: Option<GivenUp>) -> ModelEnd {
    let text = match (attempted.reason, because) {
        (Some(FailureReason::Overloaded), Some(GivenUp::EnoughRotations)) => {
            Some("The AI service is temporarily overloaded. Please try again in a moment.")
        }
        (Some(FailureReason::RateLimit), Some(GivenUp::EnoughRotations)) => {
            Some("The AI service is temporarily rate-limited. Please try again in a moment.")
        }
        _ => None,
    };
    let error = text.map_or_else(|| attempted.error.clone(), str::to_owned);
    ModelEnd::Failed(Box::new(Attempted { error, ..attempted.clone() }))
}

fn stop(attempted: &Attempted) -> ModelEnd {
    ModelEnd::Stop(Box::new(TurnError {
        reason: attempted.reason,
        status: attempted.status,
        ..TurnError::new(TurnErrorKind::Failed, &attempted.error)
    }))
}

/// Says that a key of the environment goes somewhere else than to its provider (spec 07 section 14).
fn warn_of_other_host(found: &Candidates, provider: &ProviderId, endpoint: &Endpoint, progress: &mut Progress) {
    let Some(Tried::Key { source, .. }) = found.list.first() else { return };
    let usual = provider::find(provider.as_str()).and_then(|info| info.base_url).and_then(host_of);
    let host = host_of(&endpoint.base_url);
    if source.starts_with("env: ") && usual.is_some() && host != usual && !is_loopback(&endpoint.base_url) {
        let host = host.unwrap_or_default();
        progress.notes.push(format!("Warning: {source} is sent to {host}, which is not the usual host of {provider}"));
    }
}

impl Ground {
    fn next_ready(&self, at: usize) -> Option<usize> {
        self.ready.iter().enumerate().skip(at + 1).find(|(_, ready)| **ready).map(|(at, _)| at)
    }

    /// Whether a candidate is a login, whose token can be renewed.
    fn is_login(&self, at: usize) -> bool {
        matches!(self.secrets.get(at), Some(Some(Ok(None))))
    }

    pub(crate) fn is_login_of(&self, tried: &Tried) -> bool {
        let Tried::Profile { id, .. } = tried else { return false };
        let at = self
            .candidates
            .list
            .iter()
            .position(|other| matches!(other, Tried::Profile { id: other, .. } if other == id));
        at.is_some_and(|at| self.is_login(at))
    }
}
