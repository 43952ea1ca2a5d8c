//! A turn on a task of its own, so that a client that goes away ends its request, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auth_core::session::SessionPin;
use auth_core::{AgentId, ModelRef};
use auth_probe::wire::{Conversation, ForwardedMessages, Message};
use auth_store::State;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::Shared;
use super::tally::Tally;
use crate::conversing::{Conversing, Opened};
use crate::engine::{Payload, Piece, Turn};
use crate::outcome::{Answer, TurnError, TurnErrorKind};

/// How many pieces of an answer wait for a slow client before the provider has to.
const PIECES: usize = 16;

/// What is asked, owned.
#[derive(Debug)]
pub(crate) enum Ask {
    Conversation { system: String, messages: Vec<Message>, max_tokens: Option<u32> },
    Forwarded(Box<Forwarded>),
}

/// A body of a client of the Messages API.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// Checked to be text.
    pub(crate) body: Bytes,
    /// Where the value of `model` stands in it.
    pub(crate) model: std::ops::Range<usize>,
    pub(crate) version: Option<String>,
    pub(crate) beta: Option<String>,
    pub(crate) query: Option<String>,
}

/// A turn that can be started.
#[derive(Debug)]
pub(crate) struct Job {
    /// The number of the request.
    pub(crate) run_id: String,
    pub(crate) state: Arc<State>,
    pub(crate) agent: AgentId,
    pub(crate) model: ModelRef,
    pub(crate) chosen: bool,
    pub(crate) no_fallback: bool,
    pub(crate) pin: Option<SessionPin>,
    pub(crate) ask: Ask,
    /// Whether the client wants it piece by piece.
    pub(crate) streams: bool,
    /// The session that keeps it, and the text that was said.
    pub(crate) session: Option<(Conversing, Opened, String)>,
    /// Held until the turn has ended.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// A turn under way. Dropping `pieces` ends it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) pieces: mpsc::Receiver<Piece>,
    pub(crate) end: JoinHandle<Result<Answer, TurnError>>,
}

impl Running {
    /// Waits for the end, and for nothing before it.
    pub(crate) async fn whole(self) -> Result<Answer, TurnError> {
        // Kept until the end: whoever waits here and goes away drops it.
        let Self { pieces, end } = self;
        let ended = end.await;
        drop(pieces);
        ended.unwrap_or_else(|_| Err(broken()))
    }
}

pub(crate) fn broken() -> TurnError {
    TurnError::ended(TurnErrorKind::Failed, "The turn ended unexpectedly.")
}

/// Starts a turn.
pub(crate) fn start(shared: &Arc<Shared>, job: Job) -> Running {
    let (out, pieces) = mpsc::channel(PIECES);
    let shared = Arc::clone(shared);
    let end = tokio::spawn(async move {
        let begun = Instant::now();
        Tally::add(&shared.tally.running);
        let result = run(&shared, &job, &out).await;
        Tally::take(&shared.tally.running);
        let now_ms = crate::Engine::now().as_ms();
        let notes = match &result {
            Ok(answer) => &answer.notes,
            Err(error) => &error.notes,
        };
        for note in notes {
            shared.log(note);
        }
        match &result {
            Ok(answer) => shared.tally.answered(answer, begun.elapsed(), now_ms),
            Err(error) => shared.tally.failed(error, begun.elapsed(), now_ms),
        }
        let Job { session, permit, .. } = job;
        let result = keep(&shared, session, result).await;
        drop(permit);
        // The end of the pieces tells that the result can be had.
        drop(out);
        result
    });
    Running { pieces, end }
}

async fn run(shared: &Arc<Shared>, job: &Job, out: &mpsc::Sender<Piece>) -> Result<Answer, TurnError> {
    let payload = match &job.ask {
        Ask::Conversation { system, messages, max_tokens } => {
            Payload::Conversation(Conversation { system, messages, max_tokens: *max_tokens })
        }
        Ask::Forwarded(sent) => {
            let text = std::str::from_utf8(&sent.body).unwrap_or_default();
            Payload::Forwarded(ForwardedMessages {
                before_model: text.get(..sent.model.start).unwrap_or_default(),
                after_model: text.get(sent.model.end..).unwrap_or_default(),
                version: sent.version.as_deref(),
                beta: sent.beta.as_deref(),
                query: sent.query.as_deref(),
            })
        }
    };
    let turn = Turn {
        run_id: &job.run_id,
        state: &job.state,
        agent: &job.agent,
        model: job.model.clone(),
        chosen: job.chosen,
        no_fallback: job.no_fallback,
        pin: job.pin.clone(),
        payload,
        out: job.streams.then_some(out),
    };
    let seconds = job.state.config.turn_timeout_s.unwrap_or(crate::TURN_TIMEOUT_S);
    let limit = async {
        match seconds {
            0 => std::future::pending().await,
            seconds => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
    };
    tokio::select! {
        ended = shared.engine.run(&turn) => ended,
        () = limit => {
            Err(TurnError::ended(TurnErrorKind::TimedOut, format!("The turn took longer than {seconds} s.")))
        }
        () = out.closed() => Err(TurnError::ended(TurnErrorKind::Cancelled, "The client went away.")),
    }
}

/// Writes the session.
async fn keep(
    shared: &Shared,
    session: Option<(Conversing, Opened, String)>,
    result: Result<Answer, TurnError>,
) -> Result<Answer, TurnError> {
    let Some((mut conversing, opened, text)) = session else { return result };
    let work = tokio::task::spawn_blocking(move || {
        let kept = match &result {
            Ok(answer) => conversing.remember(&opened, &text, answer),
            Err(error) => conversing.failed(error),
        };
        (result, kept.map_err(|error| error.to_string()))
    });
    match work.await {
        Ok((result, kept)) => {
            if let Err(why) = kept {
                shared.log(&format!("Warning: the session was not written: {why}"));
            }
            result
        }
        Err(_) => Err(broken()),
    }
}
