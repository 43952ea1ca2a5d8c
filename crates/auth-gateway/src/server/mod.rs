//! The loopback gateway (spec 07 section 12): agents and Anthropic models behind one address and one secret.

mod access;
mod body;
mod catalogue;
mod chat;
mod chat_request;
mod chat_stream;
mod guard;
mod listen;
mod live;
mod messages;
mod metrics;
mod page;
mod refusal;
mod status;
mod tally;
mod turning;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_store::State;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

pub use access::{Access, AccessMode, AccessProblem, AccessSettings};

use crate::engine::Engine;
use live::Live;
use tally::Tally;

/// Bounds of everything that a client could use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// How many connections there are at once; further ones wait.
    pub connections: usize,
    /// How many turns run at once; further ones are refused.
    pub turns: usize,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long the body of a request may take.
    pub body: Duration,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// How long answers under way are waited for at the end.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            turns: 256,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_bytes: 20 << 20,
            drain: Duration::from_secs(30),
        }
    }
}

/// Where log lines go.
pub type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// What a gateway is started with.
#[derive(Clone)]
pub struct ServerSettings {
    /// Where it listens; an address of this machine only.
    pub address: SocketAddr,
    /// The config and variables at the start.
    pub state: Arc<State>,
    /// The value of `--profile`, for reading them again.
    pub profile: Option<String>,
    /// What the command line says about access.
    pub access: AccessSettings,
    /// Whether the endpoints are on whatever the config says.
    pub always_on: bool,
    /// Neither sessions nor commands in messages: every message goes to the model as it is.
    pub no_sessions: bool,
    /// The bounds.
    pub limits: ServerLimits,
    /// Where log lines go.
    pub log: Log,
}

impl std::fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSettings").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Nobody could come in.
    #[error(transparent)]
    Access(#[from] AccessProblem),
    /// The address is not one of this machine only.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {why}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        why: std::io::Error,
    },
}

/// What is told to a gateway that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Read config, variables and stores again.
    Reload,
    /// Take no more requests and finish those under way; said twice, end at once.
    Shutdown,
}

/// A gateway that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) live: Live,
    pub(crate) limits: ServerLimits,
    pub(crate) always_on: bool,
    pub(crate) no_sessions: bool,
    pub(crate) tally: Tally,
    pub(crate) guesses: access::Guesses,
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) began_ms: i64,
    pub(crate) reloading: tokio::sync::Mutex<()>,
    log: Log,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn log(&self, line: &str) {
        (self.log)(line);
    }
}

impl Server {
    /// Listens, and answers nobody yet.
    ///
    /// # Errors
    ///
    /// When the address cannot be had, or nobody could come in.
    pub async fn bind(settings: ServerSettings, engine: Arc<Engine>) -> Result<Self, ServerError> {
        if !settings.address.ip().is_loopback() {
            return Err(ServerError::NotLoopback(settings.address));
        }
        let access = Access::resolve(&settings.access, &settings.state)?;
        let failed = |why| ServerError::Listen { address: settings.address, why };
        let listener = TcpListener::bind(settings.address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let limits = settings.limits;
        let shared = Shared {
            engine,
            live: Live::new(settings.state, access, settings.access, settings.profile),
            limits,
            always_on: settings.always_on,
            no_sessions: settings.no_sessions,
            tally: Tally::default(),
            guesses: access::Guesses::default(),
            turns: Arc::new(Semaphore::new(limits.turns)),
            began_ms: Engine::now().as_ms(),
            reloading: tokio::sync::Mutex::default(),
            log: settings.log,
        };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until it is told to end, then finishes what is under way and writes what is not written yet.
    pub async fn run(self, control: mpsc::Receiver<Control>) {
        listen::run(self.listener, &self.shared, control).await;
        if let Err(why) = self.shared.engine.flush().await {
            self.shared.log(&format!("Warning: the last uses of profiles were not recorded: {why}"));
        }
    }
}
