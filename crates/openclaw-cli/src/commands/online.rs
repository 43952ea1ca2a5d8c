//! What commands that use the network share: where requests go, through what, and what a signal does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use auth_oauth::{
    Endpoints, HttpRequest, HttpResponse, OAuthError, OAuthErrorKind, ProviderSettings, TEST_BASE_URL, Transport,
    TransportError,
};
use auth_probe::{Clients, Interrupt, Network, Proxies};
use auth_store::{Host, RealHost, State};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Session;
use crate::failure::Failure;

/// What is said to somebody who ends the command while a refresh is under way.
pub(crate) const WAITING: &str =
    "Waiting for the answer to a refresh that was sent: it may hold the only copy of the new tokens (20 s at most).";
/// How often it is looked whether somebody has.
const LOOK: Duration = Duration::from_millis(50);

/// The way to the network.
pub(crate) struct Online {
    pub(crate) endpoints: Endpoints,
    pub(crate) clients: Clients,
    pub(crate) minimax_base_url: Option<String>,
}

impl Online {
    /// Reads what the environment says about the network.
    ///
    /// # Errors
    ///
    /// When a variable has a value that cannot be used.
    pub(crate) fn open(session: &Session) -> Result<Self, Failure> {
        let endpoints = Endpoints::of(&session.state.environment).map_err(Failure::new)?;
        if endpoints.is_test() {
            crate::output::remark(&format!("Warning: {TEST_BASE_URL} is set: requests stay on this machine"));
        }
        let clients = clients(&session.state)?;
        let clients = if endpoints.is_test() { clients.loopback_only() } else { clients };
        let minimax = auth_core::ProviderId::normalise("minimax-portal");
        let minimax_base_url = session.state.config.provider(&minimax).and_then(|entry| entry.base_url.clone());
        Ok(Self { endpoints, clients, minimax_base_url })
    }

    /// What the requests of the providers depend on.
    pub(crate) fn settings<'a>(&'a self, session: &'a Session) -> ProviderSettings<'a> {
        ProviderSettings {
            environment: &session.state.environment,
            host: &session.host,
            endpoints: &self.endpoints,
            minimax_base_url: self.minimax_base_url.as_deref(),
        }
    }

    /// The network for a conversation: a signal ends what is waited for, and the command says so.
    pub(crate) fn for_login(&self) -> Conversation {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Without the flag the signal ends the process, which stores nothing either.
            let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
        }
        Conversation { network: Network::new(self.clients.clone(), Interrupt::Flag(Arc::clone(&stop))), stop }
    }

    /// The network for refreshes, for the whole command: a signal ends it, but not while an answer is waited for that
    /// may hold the only copy of a new secret.
    pub(crate) fn for_refresh(&self) -> Patient {
        Patient::new(self.clients.clone(), true)
    }
}

/// A conversation with a provider and the user.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) network: Network,
    /// Set when the user gives it up.
    pub(crate) stop: Arc<AtomicBool>,
}

/// The HTTP clients, with the certificates and proxies that the environment names.
///
/// # Errors
///
/// When a variable has a value that cannot be used.
pub(crate) fn clients(state: &State) -> Result<Clients, Failure> {
    let roots = match state.environment.non_blank("NODE_EXTRA_CA_CERTS") {
        None => None,
        Some(path) => {
            let path = state.layout.user_path(path);
            let read = RealHost.read(&path, 1 << 20);
            Some(read.map_err(|error| {
                let shown = state.layout.shorten(&path);
                Failure::new(format!("NODE_EXTRA_CA_CERTS: cannot read {shown}: {error}"))
            })?)
        }
    };
    Clients::new(roots.as_deref(), &Proxies::of(&state.environment))
        .map_err(|why| Failure::new(format!("no secure connection can be made: {why}")))
}

/// A network that lets no refresh be cut off.
#[derive(Debug)]
pub(crate) struct Patient {
    network: Network,
    may_end: Arc<AtomicBool>,
    /// The signal that asked the process to end; none is 0.
    signal: Arc<AtomicUsize>,
}

impl Patient {
    /// The network through these clients. `may_end` tells whether a signal may end the process before anything is sent.
    pub(crate) fn new(clients: Clients, may_end: bool) -> Self {
        let patient = Patient {
            network: Network::new(clients, Interrupt::Never),
            may_end: Arc::new(AtomicBool::new(may_end)),
            signal: Arc::new(AtomicUsize::new(0)),
        };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).unwrap_or_default();
            let condition = Arc::clone(&patient.may_end);
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, condition);
            let _ = signal_hook::flag::register_usize(signal, Arc::clone(&patient.signal), number);
        }
        patient
    }

    /// Called when what was asked for is stored: a signal may end the process again. Gives the exit code when one came
    /// meanwhile.
    pub(crate) fn settled(&self) -> Option<u8> {
        self.may_end.store(true, Ordering::Relaxed);
        self.asked_to_end()
    }

    fn asked_to_end(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::Relaxed);
        (signal != 0).then(|| u8::try_from(128 + signal).unwrap_or(1))
    }
}

impl Transport for Patient {
    fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, TransportError> {
        if !request.must_finish {
            return self.network.send(request, timeout);
        }
        self.may_end.store(false, Ordering::Relaxed);
        let (answered, waiting) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while waiting.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    if self.asked_to_end().is_some() {
                        return crate::output::remark(WAITING);
                    }
                }
            });
            let answer = self.network.send(request, timeout);
            drop(answered);
            answer
        })
    }

    fn wait(&self, time: Duration) -> Result<(), TransportError> {
        self.network.wait(time)
    }

    fn now_ms(&self) -> i64 {
        self.network.now_ms()
    }
}

pub(crate) fn cancelled() -> Failure {
    Failure { message: "Cancelled.".to_owned(), code: 130 }
}

/// A login or a refresh that failed, with the command that helps when the text does not name one.
pub(crate) fn oauth_failure(error: &OAuthError, fix: Option<&str>) -> Failure {
    match (error.kind, fix) {
        (OAuthErrorKind::Cancelled, _) => cancelled(),
        (_, Some(fix)) => Failure::with_fix(&error.message, fix),
        (_, None) => Failure::new(&error.message),
    }
}
