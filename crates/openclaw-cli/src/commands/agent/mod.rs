//! `openclaw agent` (spec 07 section 11): one model turn, or one command to the session.

mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_core::AgentId;
use auth_core::session::{KnownModels, SessionChoice, choose_key};
use auth_gateway::{
    Answer, Conversing, ConversingError, Engine, EngineSettings, OwnChoice, Payload, Recording, SYSTEM, TURN_TIMEOUT_S,
    Turn, TurnError, TurnErrorKind,
};
use auth_probe::wire::{Conversation, Message, Role};
use auth_store::{AgentAuth, SessionStore};

use super::Session;
use super::online::{Online, cancelled};
use crate::args::AgentTurn;
use crate::failure::Failure;
use crate::output::remark;
use report::Outcome;

const TIMED_OUT: u8 = 124;
const INTERRUPTED: u8 = 130;

pub(crate) fn run(open: &dyn Fn() -> Result<Session, Failure>, args: &AgentTurn) -> Result<u8, Failure> {
    let (message, timeout) = check(args)?;
    let session = open()?;
    let timeout = timeout.or(session.state.config.turn_timeout_s).unwrap_or(TURN_TIMEOUT_S);
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
    conversing: Conversing,
    started: Instant,
}

impl<'a> AgentRun<'a> {
    fn open(session: Session, args: &'a AgentTurn) -> Result<Self, Failure> {
        let named = filled(args.agent.as_ref()).map(|id| session.state.agent(Some(id))).transpose()?;
        let config = &session.state.config;
        let main = AgentId::main();
        let others: Vec<AgentId> = config.known_agents().into_iter().filter(|id| *id != main).collect();
        let choice = SessionChoice {
            agent: named.as_ref(),
            to: filled(args.to.as_ref()),
            session_id: filled(args.session_id.as_ref()),
        };
        let mut read = |agent: &AgentId| {
            let store = SessionStore::of(agent, &config.session, &session.state.layout, &session.host);
            let document = store.read().unwrap_or_default();
            document.entries().map(|(key, entry)| (key.to_owned(), entry)).collect()
        };
        let (key, agent) = choose_key(choice, &config.session, &main, &others, &mut read)
            .ok_or_else(|| Failure::new("Pass --to <E.164>, --session-id, or --agent to choose a session"))?;
        let known = Arc::new(KnownModels::of(config, &agent));
        let state = Arc::new(session.state.clone());
        let id = filled(args.session_id.as_ref()).map(str::to_owned);
        let conversing = Conversing::new(state, agent, known, Some(key), id);
        Ok(Self { args, session, conversing, started: Instant::now() })
    }

    /// What the session has to say beside the answer.
    fn tell_notes(&mut self) {
        for note in self.conversing.notes.drain(..) {
            self.session.warn(&note);
        }
    }

    fn message(mut self, message: &str, timeout: u64) -> Result<u8, Failure> {
        let auth = self.session.state.agent_auth(Some(self.conversing.agent.as_str()), &self.session.host)?;
        let heard = self.conversing.hear(message, &auth);
        self.tell_notes();
        let heard = match heard {
            Ok(heard) => heard,
            Err(error @ (ConversingError::Select(_) | ConversingError::Store(_))) => {
                return report::refused(&self.session, self.args.json, &error.to_string());
            }
            Err(error) => return Err(Failure::new(error)),
        };
        if heard.rest.trim().is_empty() {
            return report::said(&self.session, self.args.json, &heard.answer, self.started.elapsed());
        }
        if !heard.answer.is_empty() {
            remark(&heard.answer);
        }
        self.turn(&heard.rest, &auth, timeout)
    }

    /// One turn of the model.
    fn turn(mut self, text: &str, auth: &AgentAuth, timeout: u64) -> Result<u8, Failure> {
        let own = OwnChoice { model: self.args.model.as_deref(), profile: self.args.auth_profile.as_deref() };
        let opened = self.conversing.begin(auth, own);
        self.tell_notes();
        let opened = opened.map_err(Failure::new)?;
        let mut messages = self.conversing.history(&opened).map_err(Failure::new)?;
        messages.push(Message { role: Role::User, text: text.to_owned() });
        let online = Online::open(&self.session)?;
        let engine = Arc::new(Engine::new(EngineSettings {
            clients: online.clients.clone(),
            endpoints: online.endpoints.clone(),
            user_agent: auth_oauth::USER_AGENT,
            recording: Recording::AtOnce,
        }));
        let turn = Turn {
            run_id: &opened.session_id,
            state: &self.conversing.state,
            agent: &self.conversing.agent,
            model: opened.model.clone(),
            chosen: opened.chosen,
            no_fallback: false,
            pin: opened.pin.clone(),
            payload: Payload::Conversation(Conversation { system: SYSTEM, messages: &messages, max_tokens: None }),
            out: None,
        };
        let ended = in_time(&engine, &turn, timeout);
        let outcome = match ended? {
            Ok(answer) => {
                self.conversing.remember(&opened, text, &answer).map_err(Failure::new)?;
                Outcome::Answered(answer)
            }
            Err(error) => {
                self.conversing.failed(&error).map_err(Failure::new)?;
                Outcome::Failed(error)
            }
        };
        self.tell_notes();
        let verbose = self.args.verbose.as_deref() == Some("on");
        report::ended(&self.session, self.args.json, verbose, &opened.session_id, outcome, self.started.elapsed())
    }
}

fn filled(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Runs a turn within its time; Ctrl-C ends it.
fn in_time(engine: &Arc<Engine>, turn: &Turn<'_>, timeout: u64) -> Result<Result<Answer, TurnError>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let ended = runtime.block_on(async {
        let limit = async {
            match timeout {
                0 => std::future::pending().await,
                seconds => tokio::time::sleep(Duration::from_secs(seconds)).await,
            }
        };
        tokio::select! {
            ended = engine.run(turn) => ended,
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
