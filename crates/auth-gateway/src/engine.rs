//! What turns share, and what one turn is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth_core::probe::provider_references;
use auth_core::session::SessionPin;
use auth_core::{
    AgentId, Fingerprint, ModelRef, ProfileId, ProviderId, RefState, ResolvedRefs, Secret, SecretRef, Situation,
    Timestamp,
};
use auth_oauth::{
    Access, CopilotToken, CopilotTokens, Endpoints, Need, OAuthError, ProviderSettings, RefreshMemory, Refresher,
    Subject,
};
use auth_probe::wire::{Conversation, ForwardedMessages};
use auth_probe::{Clients, Interrupt, Network, ReplyHead};
use auth_store::secrets::{ExecPolicy, Resolver};
use auth_store::{AgentAuth, Host, RealHost, State, StoreError, UnknownAgent};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::outcome::{Answer, TurnError, Used};
use crate::recorder::{Mark, Recorder, Recording, What};
use crate::stores::{Pending, Stores};

/// How long a key that was limited is tried last, in milliseconds (spec 07 section 2.5).
const LIMITED_MS: i64 = 30_000;
/// How often a provider whose profiles are all out of use is tried all the same, in milliseconds (07 section 7.3).
const THROTTLE_MS: i64 = 30_000;
/// How long a throttle is remembered, in milliseconds, and how many are.
const THROTTLE_LIFE_MS: i64 = 24 * 3_600_000;
const THROTTLES_MAX: usize = 256;
/// How long what a reference resolved to is used again, in milliseconds.
const REFS_LIFE_MS: i64 = 60_000;
/// How long the exchange of a GitHub token may take.
const EXCHANGE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// What all turns of a process go out through.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// The HTTP clients.
    pub clients: Clients,
    /// Where the fixed hosts of the providers are.
    pub endpoints: Endpoints,
    /// Names this program to the other side.
    pub user_agent: &'static str,
    /// When a success is written down.
    pub recording: Recording,
}

/// Runs turns. Shared by every turn of a process.
#[derive(Debug)]
pub struct Engine {
    pub(crate) settings: EngineSettings,
    recorder: Recorder,
    stores: Stores,
    memory: RefreshMemory,
    throttle: Mutex<HashMap<(PathBuf, String), i64>>,
    limited: Mutex<HashMap<Fingerprint, i64>>,
    refs: Mutex<HashMap<SecretRef, (RefState, i64)>>,
    /// The stores of each agent that could not be read, as they were told.
    unreadable: Mutex<HashMap<AgentId, Vec<StoreError>>>,
}

/// One turn: what is asked of which model, on behalf of whom.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// The name of this turn in the log.
    pub run_id: &'a str,
    /// The config and variables of this turn.
    pub state: &'a Arc<State>,
    /// The agent.
    pub agent: &'a AgentId,
    /// The model.
    pub model: ModelRef,
    /// Whether somebody chose it for the session, or for this turn.
    pub chosen: bool,
    /// Whether no other model may answer.
    pub no_fallback: bool,
    /// The profile that the session is bound to.
    pub pin: Option<SessionPin>,
    /// What is asked.
    pub payload: Payload<'a>,
    /// Who gets the answer as it comes. When nobody listens any more, the turn ends.
    pub out: Option<&'a mpsc::Sender<Piece>>,
}

/// What is asked of a model.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// A conversation, in the format of whichever API the model has.
    Conversation(Conversation<'a>),
    /// What a client of the Anthropic Messages API sent; the answer is passed on as bytes.
    Forwarded(ForwardedMessages<'a>),
}

/// A part of an answer under way.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The first byte has come: from now on nobody else answers.
    Begun(Box<Begun>),
    /// Text of a conversation.
    Text(String),
    /// Bytes that are passed on.
    Bytes(Bytes),
}

/// Who answers.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// The credential.
    pub used: Used,
    /// What stands before bytes that are passed on.
    pub head: ReplyHead,
}

impl Engine {
    /// An engine that remembers nothing yet.
    pub fn new(settings: EngineSettings) -> Self {
        Self {
            recorder: Recorder::new(settings.recording),
            settings,
            stores: Stores::default(),
            memory: RefreshMemory::default(),
            throttle: Mutex::default(),
            limited: Mutex::default(),
            refs: Mutex::default(),
            unreadable: Mutex::default(),
        }
    }

    /// Runs a turn.
    ///
    /// # Errors
    ///
    /// When nothing that could be tried gave an answer.
    pub async fn run(self: &Arc<Self>, turn: &Turn<'_>) -> Result<Answer, TurnError> {
        crate::chain::run(self, turn).await
    }

    /// The time.
    pub(crate) fn now() -> Timestamp {
        RealHost.now()
    }

    /// What an agent sees now. Its stores are read only when they have changed.
    ///
    /// # Errors
    ///
    /// When the config has no such agent.
    pub fn auth(&self, state: &Arc<State>, agent: &AgentId) -> Result<Arc<AgentAuth>, UnknownAgent> {
        self.stores.auth(state, agent, &|dir| self.recorder.pending(dir))
    }

    /// The stores of an agent that cannot be read, when that has not been told yet.
    pub(crate) fn news_of(&self, agent: &AgentId, errors: &[StoreError]) -> Vec<StoreError> {
        let mut told = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
        let same = told.get(agent).map_or(&[][..], Vec::as_slice) == errors;
        if same {
            return Vec::new();
        }
        told.insert(agent.clone(), errors.to_vec());
        errors.to_vec()
    }

    /// What the references of a provider resolve to; asking for a turn is consent to run programs.
    pub(crate) async fn refs(&self, situation: &Situation<'_>, turn: &Turn<'_>, provider: &ProviderId) -> ResolvedRefs {
        let wanted = provider_references(situation, provider);
        let mut known = ResolvedRefs::default();
        let now = Self::now().as_ms();
        let mut missing = Vec::new();
        {
            let cache = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
            for reference in wanted {
                match cache.get(&reference) {
                    Some((state, at)) if now - at < REFS_LIFE_MS => known.insert(reference, state.clone()),
                    _ => missing.push(reference),
                }
            }
        }
        if missing.is_empty() {
            return known;
        }
        let state = Arc::clone(turn.state);
        let resolved = tokio::task::spawn_blocking(move || {
            let resolver =
                Resolver::new(&state.config.secrets, &state.environment, &state.layout, &RealHost, ExecPolicy::Allow);
            resolver.resolve(&missing)
        });
        let Ok(resolved) = resolved.await else { return known };
        let mut cache = self.refs.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, (_, at)| now - *at < REFS_LIFE_MS);
        for (reference, state) in resolved.iter() {
            if matches!(state, RefState::Resolved(_)) {
                cache.insert(reference.clone(), (state.clone(), now));
            }
            known.insert(reference.clone(), state.clone());
        }
        known
    }

    /// Forgets what was read and what references resolved to, after a reload.
    pub fn forget(&self) {
        self.refs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.stores.forget();
    }

    /// Writes the successes that wait.
    ///
    /// # Errors
    ///
    /// Why a store could not be written; what waits for it goes on waiting.
    pub async fn flush(&self) -> Result<(), String> {
        self.recorder.flush().await
    }

    /// Records what happened to a profile in the store that holds it.
    pub(crate) async fn record(&self, state: &Arc<State>, dir: &Path, mark: Mark) -> Result<(), String> {
        if matches!(mark.what, What::Used) {
            self.stores.used(dir, &Pending { profile: mark.profile.clone(), at: mark.at });
        }
        self.recorder.record(state, dir, mark).await
    }

    /// An access token of a login, refreshed if it has to be.
    pub(crate) async fn login(
        self: &Arc<Self>,
        turn: &Turn<'_>,
        dir: &Path,
        id: &ProfileId,
        need: Need,
    ) -> Result<Access, OAuthError> {
        let (engine, state) = (Arc::clone(self), Arc::clone(turn.state));
        let (agent, dir, id) = (turn.agent.clone(), dir.to_owned(), id.clone());
        let work = tokio::task::spawn_blocking(move || {
            let net = Network::new(engine.settings.clients.clone(), Interrupt::Never);
            let minimax = state.config.provider(&ProviderId::normalise("minimax-portal"));
            let refresher = Refresher {
                layout: &state.layout,
                config: &state.config,
                host: &RealHost,
                settings: ProviderSettings {
                    environment: &state.environment,
                    host: &RealHost,
                    endpoints: &engine.settings.endpoints,
                    minimax_base_url: minimax.and_then(|entry| entry.base_url.as_deref()),
                },
                net: &net,
                memory: &engine.memory,
            };
            refresher.access(Subject { agent: &agent, dir: &dir, id: &id }, &need)
        });
        match work.await {
            Ok(result) => result,
            Err(_) => Err(OAuthError::unavailable("the login could not be looked at")),
        }
    }

    /// The token that requests to GitHub Copilot are made with.
    pub(crate) async fn copilot(
        self: &Arc<Self>,
        turn: &Turn<'_>,
        github: &Secret,
    ) -> Result<CopilotToken, OAuthError> {
        let (engine, state, github) = (Arc::clone(self), Arc::clone(turn.state), github.clone());
        let work = tokio::task::spawn_blocking(move || {
            let net = Network::new(engine.settings.clients.clone(), Interrupt::Never);
            let (layout, endpoints) = (&state.layout, &engine.settings.endpoints);
            let tokens = CopilotTokens { layout, host: &RealHost, endpoints, net: &net, keep: true };
            tokens.get(&github, None, EXCHANGE_TIMEOUT)
        });
        match work.await {
            Ok(result) => result,
            Err(_) => Err(OAuthError::unavailable("the token could not be exchanged")),
        }
    }

    /// Whether a provider may be tried although all its profiles are out of use.
    pub(crate) fn throttle_open(&self, dir: &Path, provider: &ProviderId, now: Timestamp) -> bool {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.retain(|_, at| now.as_ms() - *at < THROTTLE_LIFE_MS);
        let last = throttle.get(&(dir.to_owned(), provider.to_string()));
        last.is_none_or(|at| now.as_ms() - at >= THROTTLE_MS)
    }

    pub(crate) fn close_throttle(&self, dir: &Path, provider: &ProviderId, now: Timestamp) {
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        if throttle.len() < THROTTLES_MAX {
            throttle.insert((dir.to_owned(), provider.to_string()), now.as_ms());
        }
    }

    /// Whether a key was limited a moment ago.
    pub(crate) fn was_limited(&self, secret: &Secret, now: Timestamp) -> bool {
        let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        limited.retain(|_, at| now.as_ms() - *at < LIMITED_MS);
        limited.contains_key(&secret.fingerprint())
    }

    pub(crate) fn limit(&self, secret: &Secret, now: Timestamp) {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.fingerprint(), now.as_ms());
    }
}
