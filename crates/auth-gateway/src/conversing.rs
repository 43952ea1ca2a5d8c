//! A message to a session, from the command in it to what is kept of the answer (spec 07 sections 8 to 10). The command
//! line and the gateway both speak through this.

use std::path::PathBuf;
use std::sync::Arc;

use auth_core::session::{
    Directive, Dropped, KnownModels, PinSource, SelectError, Selection, SessionEntry, SessionPin, TurnUsage,
    find_directive, is_fresh, resolve_pin, select, validate,
};
use auth_core::{AgentId, AuthProfiles, ModelRef, ProfileId, resolve_order};
use auth_probe::wire::{Message, Role};
use auth_store::{
    AgentAuth, Host, RealHost, SessionError, SessionStore, State, StoreError, Transcript, TranscriptMessage, WriteHost,
    day_began_ms,
};

use crate::outcome::{Answer, TurnError, TurnErrorKind};
use crate::slash::View;

/// Why a message was refused before any request. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConversingError {
    /// The choice of a model or profile cannot be.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The files of the session do not allow it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The profile is not known, for want of a credential store that can be read.
    #[error("auth-profiles.json is not valid ({0}); run openclaw doctor")]
    Store(StoreError),
}

/// A profile that is not found may stand in a store that cannot be read; that is the better explanation.
fn explained(error: SelectError, auth: &AgentAuth) -> ConversingError {
    match (&error, auth.view.errors.first()) {
        (SelectError::NoProfile(_), Some(broken)) => ConversingError::Store(broken.clone()),
        _ => ConversingError::Select(error),
    }
}

/// One session of one agent.
#[derive(Debug)]
pub struct Conversing {
    /// The config and variables.
    pub state: Arc<State>,
    /// The agent.
    pub agent: AgentId,
    /// The models that it may use.
    pub known: Arc<KnownModels>,
    /// The key of the session; none for a request that belongs to no session, of which nothing is kept.
    pub key: Option<String>,
    /// The id that the caller gives the session.
    pub session_id: Option<String>,
    /// What the user should know beside the answer.
    pub notes: Vec<String>,
    /// The entry of a request without a session.
    passing: SessionEntry,
}

/// What a message said to the session itself.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The answer to a command; empty when there was none.
    pub answer: String,
    /// What is left for the model.
    pub rest: String,
}

/// What the caller wants for one turn only.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnChoice<'a> {
    /// The model.
    pub model: Option<&'a str>,
    /// The profile, which alone may answer.
    pub profile: Option<&'a str>,
}

/// What a turn begins with.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The transcript.
    pub session_id: String,
    /// Its file.
    pub session_file: PathBuf,
    /// The model.
    pub model: ModelRef,
    /// Whether somebody chose it.
    pub chosen: bool,
    /// The profile that the session is bound to.
    pub pin: Option<SessionPin>,
}

impl Conversing {
    /// A session by its key, or a request without one.
    pub fn new(
        state: Arc<State>,
        agent: AgentId,
        known: Arc<KnownModels>,
        key: Option<String>,
        session_id: Option<String>,
    ) -> Self {
        Self { state, agent, known, key, session_id, notes: Vec::new(), passing: SessionEntry::default() }
    }

    fn store(&self) -> SessionStore<'static> {
        SessionStore::of(&self.agent, &self.state.config.session, &self.state.layout, &RealHost)
    }

    fn entry(&self) -> Result<SessionEntry, SessionError> {
        match &self.key {
            Some(key) => Ok(self.store().read()?.get(key).unwrap_or_default()),
            None => Ok(self.passing.clone()),
        }
    }

    /// Changes the entry of this session.
    fn update(&mut self, change: &mut dyn FnMut(&mut SessionEntry)) -> Result<(), SessionError> {
        let Some(key) = &self.key else {
            change(&mut self.passing);
            return Ok(());
        };
        let store = self.store();
        if let Some(aside) = store.update(key, change)? {
            let shorten = |path: &PathBuf| self.state.layout.shorten(path);
            self.notes.push(format!(
                "Warning: {} was no session store and is kept as {}",
                shorten(&store.path().to_owned()),
                shorten(&aside)
            ));
        }
        Ok(())
    }

    /// Finds the command in a message and follows it.
    ///
    /// # Errors
    ///
    /// When the command cannot be followed, or the session cannot be written.
    pub fn hear(&mut self, message: &str, auth: &AgentAuth) -> Result<Heard, ConversingError> {
        let said = find_directive(message, &self.state.config);
        let profiles = &auth.view.profiles;
        match said.directive {
            None => Ok(Heard { answer: String::new(), rest: said.rest }),
            Some(Directive::Select(argument)) => {
                let selection = select(&argument, &self.state.config, &self.known, profiles);
                let selection = selection.map_err(|error| explained(error, auth))?;
                Ok(Heard { answer: self.choose(&selection)?, rest: said.rest })
            }
            Some(Directive::New(words)) => {
                let (selection, rest) = self.leading_model(&words, profiles);
                self.renew()?;
                let mut answer = "New session started.".to_owned();
                if let Some(selection) = selection {
                    answer = format!("{answer}\n{}", self.choose(&selection)?);
                }
                Ok(Heard { answer, rest })
            }
            Some(other) => {
                let entry = self.entry()?;
                let view = View { state: &self.state, auth, agent: &self.agent, known: &self.known, entry: &entry };
                Ok(Heard { answer: view.answer(&other), rest: String::new() })
            }
        }
    }

    /// Puts a choice into the session.
    fn choose(&mut self, selection: &Selection) -> Result<String, SessionError> {
        let now = RealHost.now().as_ms();
        let (id, file) = self.new_transcript();
        self.update(&mut |entry| {
            if entry.session_id().is_none() {
                entry.renew(&id, &file);
                entry.touch(now);
            }
            selection.apply(entry, now);
        })?;
        Ok(selection.answer(&self.state.config))
    }

    /// A model at the beginning of `/new …`: named exactly, or not at all.
    fn leading_model(&self, words: &str, store: &AuthProfiles) -> (Option<Selection>, String) {
        let config = &self.state.config;
        let mut parts = words.splitn(3, char::is_whitespace);
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        let exact = |text: &str| {
            let known = text.contains('/') || config.alias_target(text).is_some();
            known.then(|| select(text, config, &self.known, store).ok()).flatten()
        };
        if let Some(selection) = first.and_then(exact) {
            let rest = words[first.unwrap_or_default().len()..].trim().to_owned();
            return (Some(selection), rest);
        }
        if let (Some(first), Some(second)) = (first, second)
            && let Some(selection) = exact(&format!("{first}/{second}"))
            && self.known.all.contains(&selection.model)
        {
            return (Some(selection), third.unwrap_or_default().trim().to_owned());
        }
        (None, words.to_owned())
    }

    /// Begins a new transcript.
    fn renew(&mut self) -> Result<(), SessionError> {
        let now = RealHost.now().as_ms();
        let (id, file) = self.new_transcript();
        self.update(&mut |entry| {
            entry.renew(&id, &file);
            if entry.pin().is_some_and(|pin| pin.source == PinSource::User) {
                entry.set_pin(None);
            }
            entry.touch(now);
        })
    }

    /// The id of a new transcript, and its file.
    fn new_transcript(&self) -> (String, String) {
        let id = new_id();
        let key = self.key.as_deref().unwrap_or_default();
        let file = self.store().transcript(key, &SessionEntry::default(), &id);
        (id, file.display().to_string())
    }

    /// Brings the session up to date before a request: its id, its model, its pin.
    ///
    /// # Errors
    ///
    /// When the choice for this turn cannot be, or the session cannot be written.
    pub fn begin(&mut self, auth: &AgentAuth, own: OwnChoice<'_>) -> Result<Opened, ConversingError> {
        let state = Arc::clone(&self.state);
        let profiles = &auth.view.profiles;
        if let (Some(id), Some(broken)) = (own.profile, auth.view.errors.first())
            && profiles.get(&ProfileId::new(id.trim())).is_none()
        {
            return Err(ConversingError::Store(broken.clone()));
        }
        let now = RealHost.now();
        let settings = &state.config.session;
        let day_ms = if self.key.is_some() { day_began_ms(settings.reset_hour, now.as_ms()) } else { 0 };
        let (known, named, store) = (Arc::clone(&self.known), self.session_id.clone(), self.store());
        let key = self.key.clone().unwrap_or_default();
        let mut opened = None;
        let mut dropped = Vec::new();
        self.update(&mut |entry| {
            let fresh = named.is_some() || is_fresh(entry, settings, day_ms, now.as_ms());
            let is_new = entry.session_id().is_none() || !fresh;
            let id = match (&named, entry.session_id()) {
                (Some(id), _) => id.clone(),
                (None, Some(id)) if fresh => id.to_owned(),
                _ => new_id(),
            };
            let (model, gone) = validate(entry, &known, profiles);
            dropped = gone;
            let provider = model.provider_id();
            let order = resolve_order(&state.config, profiles, &provider, None, now);
            // An id that the user names is never new, so that a pin stays.
            let starts = is_new && named.is_none();
            let (pin, _) = resolve_pin(&order, profiles, &provider, entry, starts, now);
            let chosen = entry.model_override().is_some();
            let file = store.transcript(&key, entry, &id);
            entry.set("sessionId", id.as_str().into());
            entry.set("sessionFile", file.display().to_string().into());
            entry.touch(now.as_ms());
            opened = Some(Opened { session_id: id, session_file: file, model, chosen, pin });
        })?;
        for gone in dropped {
            self.notes.push(match gone {
                Dropped::Model(model) => {
                    format!("Note: the session's model {model} is not allowed any more; the default is used")
                }
                Dropped::Profile(id) => format!("Note: the session's profile {id} cannot be used here any more"),
            });
        }
        let mut opened = opened.unwrap_or_else(|| Opened {
            session_id: new_id(),
            session_file: PathBuf::new(),
            model: self.known.default.clone(),
            chosen: false,
            pin: None,
        });
        self.for_this_turn(&mut opened, own, profiles).map_err(|error| explained(error, auth))?;
        Ok(opened)
    }

    /// What the caller wants for this turn, which is not kept.
    fn for_this_turn(
        &self,
        opened: &mut Opened,
        own: OwnChoice<'_>,
        profiles: &AuthProfiles,
    ) -> Result<(), SelectError> {
        let config = &self.state.config;
        if let Some(model) = own.model {
            let selection = select(model, config, &self.known, profiles)?;
            opened.chosen = true;
            if opened.pin.as_ref().is_some_and(|pin| {
                profiles.get(&pin.profile).is_none_or(|profile| profile.provider != selection.model.provider_id())
            }) {
                opened.pin = None;
            }
            opened.pin = selection.profile.map(by_user).or(opened.pin.take());
            opened.model = selection.model;
        }
        if let Some(id) = own.profile {
            let argument = format!("{}@{}", opened.model.key(), id.trim());
            let selection = select(&argument, config, &self.known, profiles)?;
            opened.pin = selection.profile.map(by_user);
        }
        Ok(())
    }

    /// What was said before.
    ///
    /// # Errors
    ///
    /// When there is a transcript that cannot be read.
    pub fn history(&self, opened: &Opened) -> Result<Vec<Message>, ConversingError> {
        if self.key.is_none() {
            return Ok(Vec::new());
        }
        let before = Transcript::at(opened.session_file.clone(), &RealHost).messages()?;
        let message = |message: TranscriptMessage| {
            let role = if message.role == "user" { Role::User } else { Role::Assistant };
            Message { role, text: message.text }
        };
        Ok(before.into_iter().map(message).collect())
    }

    /// Keeps what was said and what it took.
    ///
    /// # Errors
    ///
    /// When the files of the session cannot be written.
    pub fn remember(&mut self, opened: &Opened, text: &str, answer: &Answer) -> Result<(), ConversingError> {
        if self.key.is_none() {
            return Ok(());
        }
        let say = |role: &str, text: &str| TranscriptMessage { role: role.to_owned(), text: text.to_owned() };
        let lines = [say("user", text), say("assistant", &answer.text)];
        Transcript::at(opened.session_file.clone(), &RealHost).append(&opened.session_id, &lines)?;
        let now = RealHost.now().as_ms();
        let usage = TurnUsage {
            input: answer.usage.input,
            output: answer.usage.output,
            cache_read: answer.usage.cache_read,
            cache_write: answer.usage.cache_write,
        };
        self.update(&mut |entry| {
            entry.answered(&answer.provider, &answer.model, usage);
            entry.touch(now);
        })?;
        Ok(())
    }

    /// Keeps that a turn failed.
    ///
    /// # Errors
    ///
    /// When the session cannot be written.
    pub fn failed(&mut self, error: &TurnError) -> Result<(), ConversingError> {
        let interrupted = matches!(error.kind, TurnErrorKind::Cancelled | TurnErrorKind::TimedOut);
        self.update(&mut |entry| {
            // A refusal was the answer of that model.
            if let Some(asked) = error.requests.last() {
                entry.answered(&asked.provider, &asked.model, TurnUsage::default());
            }
            entry.set("abortedLastRun", interrupted.into());
        })?;
        Ok(())
    }
}

fn by_user(profile: ProfileId) -> SessionPin {
    SessionPin { profile, source: PinSource::User }
}

/// A random UUID.
pub(crate) fn new_id() -> String {
    let (a, b) = (RealHost.random(), RealHost.random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        (b >> 48) & 0x3fff | 0x8000,
        b & 0xffff_ffff_ffff
    )
}
