//! `openclaw agent` (spec 07 section 11): one model turn, or one command to the session.

mod report;
mod slash;

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_core::session::{
    Directive, Dropped, KnownModels, PinSource, Selection, SessionChoice, SessionEntry, SessionPin, TurnUsage,
    choose_key, find_directive, is_fresh, resolve_pin, select, validate,
};
use auth_core::{AgentId, ModelRef, ProfileId, Timestamp, resolve_order};
use auth_gateway::{Answer, Engine, EngineSettings, Turn, TurnError, TurnErrorKind};
use auth_probe::wire::{Message, Role};
use auth_store::{Host, SessionStore, Transcript, TranscriptMessage, WriteHost, day_began_ms};

use super::Session;
use super::online::{Online, cancelled};
use crate::args::AgentTurn;
use crate::failure::Failure;
use crate::output::remark;
use report::Outcome;

/// The whole system prompt: there are no tools here.
const SYSTEM: &str = "You are a helpful assistant. Answer in plain text.";
/// How long a turn may take when nothing says otherwise, in seconds.
const TIMEOUT_S: u64 = 600;
const TIMED_OUT: u8 = 124;
const INTERRUPTED: u8 = 130;

pub(crate) fn run(open: &dyn Fn() -> Result<Session, Failure>, args: &AgentTurn) -> Result<u8, Failure> {
    let (message, timeout) = check(args)?;
    let session = open()?;
    let timeout = timeout.or(session.state.config.turn_timeout_s).unwrap_or(TIMEOUT_S);
    let run = AgentRun::open(session, args)?;
    run.message(message, timeout)
}

/// The checks that need nothing but the arguments.
fn check(args: &AgentTurn) -> Result<(&str, Option<u64>), Failure> {
    let fix = "openclaw agent --session-id ID --message TEXT";
    let plain = |text: &str| Failure { message: format!("{text}\nRun: {fix}"), code: 1 };
    let message =
        args.message.as_deref().ok_or_else(|| plain("error: required option '-m, --message <text>' not specified"))?;
    if message.trim().is_empty() {
        return Err(plain("Message (--message) is required"));
    }
    let delivery = args.deliver
        || [&args.channel, &args.reply_to, &args.reply_channel, &args.reply_account].iter().any(|o| o.is_some());
    if delivery {
        return Err(plain(
            "Delivery (--deliver, --channel, --reply-*) is not supported; the answer goes to standard output.",
        ));
    }
    let timeout = match args.timeout.as_deref().map(str::trim) {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| plain("--timeout must be a non-negative integer (seconds; 0 means no timeout)"))?,
        ),
    };
    let named = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    if !named(&args.to) && !named(&args.session_id) && !named(&args.agent) {
        return Err(plain("Pass --to <E.164>, --session-id, or --agent to choose a session"));
    }
    Ok((message, timeout))
}

/// One run of the command.
struct AgentRun<'a> {
    args: &'a AgentTurn,
    session: Session,
    agent: AgentId,
    key: String,
    known: KnownModels,
    started: Instant,
}

impl<'a> AgentRun<'a> {
    fn open(session: Session, args: &'a AgentTurn) -> Result<Self, Failure> {
        let filled = |text: &'a Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let named = filled(&args.agent).map(|id| session.state.agent(Some(id))).transpose()?;
        let config = &session.state.config;
        let main = AgentId::main();
        let others: Vec<AgentId> = config.known_agents().into_iter().filter(|id| *id != main).collect();
        let choice =
            SessionChoice { agent: named.as_ref(), to: filled(&args.to), session_id: filled(&args.session_id) };
        let mut read = |agent: &AgentId| {
            let store = SessionStore::of(agent, &config.session, &session.state.layout, &session.host);
            let document = store.read().unwrap_or_default();
            document.entries().map(|(key, entry)| (key.to_owned(), entry)).collect()
        };
        let (key, agent) = choose_key(choice, &config.session, &main, &others, &mut read)
            .ok_or_else(|| Failure::new("Pass --to <E.164>, --session-id, or --agent to choose a session"))?;
        let known = KnownModels::of(config, &agent);
        Ok(Self { args, agent, key, known, started: Instant::now(), session })
    }

    fn store(&self) -> SessionStore<'_> {
        let state = &self.session.state;
        SessionStore::of(&self.agent, &state.config.session, &state.layout, &self.session.host)
    }

    fn now(&self) -> Timestamp {
        self.session.host.now()
    }

    /// Changes the entry of this session.
    fn update(&self, change: &mut dyn FnMut(&mut SessionEntry)) -> Result<(), Failure> {
        let corrupt = self.store().update(&self.key, change).map_err(Failure::new)?;
        if let Some(aside) = corrupt {
            let layout = &self.session.state.layout;
            self.session.warn(&format!(
                "Warning: {} was no session store and is kept as {}",
                layout.shorten(self.store().path()),
                layout.shorten(&aside)
            ));
        }
        Ok(())
    }

    fn message(&self, message: &str, timeout: u64) -> Result<u8, Failure> {
        let said = find_directive(message, &self.session.state.config);
        let auth = self.session.state.agent_auth(Some(self.agent.as_str()), &self.session.host)?;
        let entry = self.store().read().map_err(Failure::new)?.get(&self.key).unwrap_or_default();
        let mut answer = String::new();
        let mut rest = said.rest;
        match said.directive {
            None => {}
            Some(Directive::Select(argument)) => {
                let selection = select(&argument, &self.session.state.config, &self.known, &auth.view.profiles);
                match selection {
                    Ok(selection) => answer = self.choose(&selection)?,
                    Err(error) => return report::refused(&self.session, self.args.json, &error.to_string()),
                }
            }
            Some(Directive::New(words)) => {
                let (selection, text) = self.leading_model(&words, &auth.view.profiles);
                self.renew()?;
                answer.push_str("New session started.");
                if let Some(selection) = selection {
                    answer = format!("{answer}\n{}", self.choose(&selection)?);
                }
                rest = text;
            }
            Some(other) => {
                let view = slash::View {
                    session: &self.session,
                    auth: &auth,
                    agent: &self.agent,
                    known: &self.known,
                    entry: &entry,
                };
                answer = view.answer(&other);
                rest.clear();
            }
        }
        if rest.trim().is_empty() {
            return report::said(&self.session, self.args.json, &answer, self.started.elapsed());
        }
        if !answer.is_empty() {
            remark(&answer);
        }
        drop(auth);
        self.turn(&rest, timeout)
    }

    /// Puts a choice into the session.
    fn choose(&self, selection: &Selection) -> Result<String, Failure> {
        let now = self.now().as_ms();
        self.update(&mut |entry| {
            if entry.session_id().is_none() {
                let id = self.new_id();
                let file = self.store().transcript(&id).display().to_string();
                entry.renew(&id, &file);
                entry.touch(now);
            }
            selection.apply(entry, now);
        })?;
        Ok(selection.answer(&self.session.state.config))
    }

    /// A model at the beginning of `/new …`: named exactly, or not at all.
    fn leading_model(&self, words: &str, store: &auth_core::AuthProfiles) -> (Option<Selection>, String) {
        let config = &self.session.state.config;
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
    fn renew(&self) -> Result<(), Failure> {
        let id = self.new_id();
        let now = self.now().as_ms();
        let file = self.store().transcript(&id).display().to_string();
        self.update(&mut |entry| {
            entry.renew(&id, &file);
            if entry.pin().is_some_and(|pin| pin.source == PinSource::User) {
                entry.set_pin(None);
            }
            entry.touch(now);
        })
    }

    /// A random UUID.
    fn new_id(&self) -> String {
        let (a, b) = (self.session.host.random(), self.session.host.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            (b >> 48) & 0x3fff | 0x8000,
            b & 0xffff_ffff_ffff
        )
    }

    /// One turn of the model.
    fn turn(&self, text: &str, timeout: u64) -> Result<u8, Failure> {
        let begun = self.begin()?;
        let transcript = Transcript::at(self.store().transcript(&begun.session_id), &self.session.host);
        let before = transcript.messages().map_err(Failure::new)?;
        let mut messages: Vec<Message> = before.iter().map(message_of).collect();
        messages.push(Message { role: Role::User, text: text.to_owned() });
        let online = Online::open(&self.session)?;
        let engine = Arc::new(Engine::new(EngineSettings {
            clients: online.clients.clone(),
            endpoints: online.endpoints.clone(),
            user_agent: auth_oauth::USER_AGENT,
        }));
        let state = Arc::new(self.session.state.clone());
        let turn = Turn {
            state: &state,
            agent: &self.agent,
            model: begun.model.clone(),
            chosen: begun.chosen,
            no_fallback: false,
            pin: begun.pin.clone(),
            system: SYSTEM,
            messages: &messages,
            max_tokens: None,
        };
        let ended = in_time(&engine, &turn, timeout);
        let outcome = match ended? {
            Ok(answer) => {
                self.remember(&begun, text, &answer, &transcript)?;
                Outcome::Answered(answer)
            }
            Err(error) => {
                let interrupted = matches!(error.kind, TurnErrorKind::Cancelled | TurnErrorKind::TimedOut);
                self.update(&mut |entry| {
                    // A refusal was the answer of that model.
                    if let Some(asked) = error.requests.last() {
                        entry.answered(&asked.provider, &asked.model, TurnUsage::default());
                    }
                    entry.set("abortedLastRun", interrupted.into());
                })?;
                Outcome::Failed(error)
            }
        };
        let verbose = self.args.verbose.as_deref() == Some("on");
        report::ended(&self.session, self.args.json, verbose, &begun.session_id, outcome, self.started.elapsed())
    }

    /// Brings the session up to date before a request: its id, its model, its pin.
    fn begin(&self) -> Result<Begun, Failure> {
        let state = &self.session.state;
        let auth = state.agent_auth(Some(self.agent.as_str()), &self.session.host)?;
        let profiles = &auth.view.profiles;
        let now = self.now();
        let settings = &state.config.session;
        let day_ms = day_began_ms(settings.reset_hour, now.as_ms());
        let named = self.args.session_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        let mut begun = None;
        let mut dropped = Vec::new();
        self.update(&mut |entry| {
            let fresh = named.is_some() || is_fresh(entry, settings, day_ms, now.as_ms());
            let is_new = entry.session_id().is_none() || !fresh;
            let id = match (named, entry.session_id()) {
                (Some(id), _) => id.to_owned(),
                (None, Some(id)) if fresh => id.to_owned(),
                _ => self.new_id(),
            };
            let (model, gone) = validate(entry, &self.known, profiles);
            dropped = gone;
            let provider = model.provider_id();
            let order = resolve_order(&state.config, profiles, &provider, None, now);
            // An id that the user names is never new, so that a pin stays.
            let starts = is_new && named.is_none();
            let (pin, _) = resolve_pin(&order, profiles, &provider, entry, starts, now);
            let chosen = entry.model_override().is_some();
            entry.set("sessionId", id.as_str().into());
            entry.set("sessionFile", self.store().transcript(&id).display().to_string().into());
            entry.touch(now.as_ms());
            begun = Some(Begun { session_id: id, model, chosen, pin });
        })?;
        for gone in dropped {
            self.session.warn(&match gone {
                Dropped::Model(model) => {
                    format!("Note: the session's model {model} is not allowed any more; the default is used")
                }
                Dropped::Profile(id) => format!("Note: the session's profile {id} cannot be used here any more"),
            });
        }
        let mut begun = begun.ok_or_else(|| Failure::new("the session could not be read"))?;
        self.for_this_turn(&mut begun, profiles)?;
        Ok(begun)
    }

    /// `--model` and `--auth-profile`, which are not kept.
    fn for_this_turn(&self, begun: &mut Begun, profiles: &auth_core::AuthProfiles) -> Result<(), Failure> {
        let refused = |error: auth_core::session::SelectError| Failure::new(error);
        if let Some(model) = self.args.model.as_deref() {
            let selection = select(model, &self.session.state.config, &self.known, profiles).map_err(refused)?;
            begun.chosen = true;
            if begun.pin.as_ref().is_some_and(|pin| {
                profiles.get(&pin.profile).is_none_or(|profile| profile.provider != selection.model.provider_id())
            }) {
                begun.pin = None;
            }
            begun.pin = selection.profile.map(by_user).or(begun.pin.take());
            begun.model = selection.model;
        }
        if let Some(id) = self.args.auth_profile.as_deref() {
            let argument = format!("{}@{}", begun.model.key(), id.trim());
            let selection = select(&argument, &self.session.state.config, &self.known, profiles).map_err(refused)?;
            begun.pin = selection.profile.map(by_user);
        }
        Ok(())
    }

    /// Keeps what was said and what it took.
    fn remember(&self, begun: &Begun, text: &str, answer: &Answer, transcript: &Transcript<'_>) -> Result<(), Failure> {
        let say = |role: &str, text: &str| TranscriptMessage { role: role.to_owned(), text: text.to_owned() };
        let lines = [say("user", text), say("assistant", &answer.text)];
        transcript.append(&begun.session_id, &lines).map_err(Failure::new)?;
        let now = self.now().as_ms();
        let usage = TurnUsage {
            input: answer.usage.input,
            output: answer.usage.output,
            cache_read: answer.usage.cache_read,
            cache_write: answer.usage.cache_write,
        };
        self.update(&mut |entry| {
            entry.answered(&answer.provider, &answer.model, usage);
            entry.touch(now);
        })
    }
}

/// What a turn begins with.
struct Begun {
    session_id: String,
    model: ModelRef,
    chosen: bool,
    pin: Option<SessionPin>,
}

fn by_user(profile: ProfileId) -> SessionPin {
    SessionPin { profile, source: PinSource::User }
}

fn message_of(message: &TranscriptMessage) -> Message {
    let role = if message.role == "user" { Role::User } else { Role::Assistant };
    Message { role, text: message.text.clone() }
}

/// Runs a turn within its time; Ctrl-C ends it.
fn in_time(engine: &Arc<Engine>, turn: &Turn<'_>, timeout: u64) -> Result<Result<Answer, TurnError>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let mut unheard = |_: &str| ();
        let limit = async {
            match timeout {
                0 => std::future::pending().await,
                seconds => tokio::time::sleep(Duration::from_secs(seconds)).await,
            }
        };
        tokio::select! {
            ended = engine.run(turn, &mut unheard) => ended,
            () = limit => Err(TurnError::ended(TurnErrorKind::TimedOut, format!("The turn took longer than {timeout} s."))),
            _ = tokio::signal::ctrl_c() => Err(TurnError::ended(TurnErrorKind::Cancelled, cancelled().message)),
        }
    });
    // What was begun on other threads, such as a refresh, is finished: dropping the runtime waits for it.
    drop(runtime);
    Ok(ended)
}

/// The exit code of a turn that failed.
fn exit_code(error: &TurnError) -> u8 {
    match error.kind {
        TurnErrorKind::TimedOut => TIMED_OUT,
        TurnErrorKind::Cancelled => INTERRUPTED,
        _ => 1,
    }
}
