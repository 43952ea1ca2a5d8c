//! `openclaw gateway run` and `openclaw models serve`: the loopback gateway (spec 07 section 12).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use auth_core::Secret;
use auth_core::config::SecretInput;
use auth_core::config::edit::object_at;
use auth_gateway::{
    Access, AccessMode, AccessProblem, AccessSettings, Control, Engine, EngineSettings, Log, Recording, Server,
    ServerError, ServerLimits, ServerSettings,
};
use auth_store::{ConfigWriter, Host, Run, random_bytes};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Session;
use super::online::Online;
use crate::args::LogLevel;
use crate::failure::Failure;
use crate::output::{print_text, remark};
use crate::serve_args::Serve;

/// The port where nothing says otherwise.
const PORT: u16 = 18789;
/// The length of a token that is made here, in bytes.
const TOKEN_BYTES: usize = 24;
/// The largest file with a password, in bytes.
const MAX_PASSWORD: u64 = 4096;
/// How many threads answer requests at most.
const MAX_THREADS: usize = 4;

/// Which of the two commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `gateway run`, which the config has to allow.
    Gateway,
    /// `models serve`, whose endpoints are always on.
    Models,
}

impl Form {
    fn command(self) -> &'static str {
        match self {
            Self::Gateway => "gateway run",
            Self::Models => "models serve",
        }
    }
}

pub(crate) fn run(open: &dyn Fn() -> Result<Session, Failure>, form: Form, args: &Serve) -> Result<u8, Failure> {
    let bind = bind(args.bind.as_deref(), form)?;
    let mut session = open()?;
    let config = &session.state.config.gateway;
    if form == Form::Gateway && !args.allow_unconfigured && config.mode.as_deref() != Some("local") {
        let text = "gateway start blocked: set gateway.mode to local (or pass --allow-unconfigured)";
        return Err(Failure::with_fix(text, "openclaw gateway run --allow-unconfigured"));
    }
    if args.bind.is_none() && config.bind.as_deref().is_some_and(|bind| !matches!(bind, "loopback" | "auto")) {
        session.warn("Warning: gateway.bind asks for more than this machine; this gateway listens on loopback only");
    }
    let access = access(&session, args, form)?;
    tell_unused_variables(&session, &access);
    if access.mode == Some(AccessMode::Open) {
        session.warn("Warning: --auth none lets every program of this machine use your credentials");
    }
    if matches!(Access::resolve(&access, &session.state), Err(AccessProblem::NoToken)) {
        make_token(&mut session, form)?;
    }
    let port = args.port.map_or_else(|| port(&session), Ok)?;
    let server = ServerSettings {
        address: SocketAddr::new(bind, port),
        state: Arc::new(session.state.clone()),
        profile: session.profile.clone(),
        access,
        always_on: form == Form::Models || args.openai,
        no_sessions: args.no_sessions,
        limits: limits(args),
        log: log(session.log_level),
    };
    let online = Online::open(&session)?;
    let clients = online.clients.clone().keeping_connections().map_err(Failure::new)?;
    let engine = Arc::new(Engine::new(EngineSettings {
        clients,
        endpoints: online.endpoints.clone(),
        user_agent: auth_oauth::USER_AGENT,
        recording: Recording::Batched,
    }));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let is_on = server.always_on || session.state.config.gateway.chat_completions;
    let json = args.json;
    let ended = runtime.block_on(async {
        let server = Server::bind(server, engine).await.map_err(|error| not_started(&error, form))?;
        let control = signals().map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
        announce(server.address(), is_on, json)?;
        server.run(control).await;
        Ok(0)
    });
    // What was begun on other threads, such as a refresh, is finished: dropping the runtime waits for it.
    drop(runtime);
    ended
}

/// Where log lines go: those of requests with `--log-level info`, warnings with `warn`.
fn log(level: LogLevel) -> Log {
    Arc::new(move |line| {
        let needed = if line.starts_with("[gateway]") { LogLevel::Info } else { LogLevel::Warn };
        if level >= needed {
            remark(line);
        }
    })
}

fn bind(word: Option<&str>, form: Form) -> Result<IpAddr, Failure> {
    let word = word.map_or("loopback", str::trim);
    let address = match word {
        "loopback" | "auto" | "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    };
    address.filter(IpAddr::is_loopback).ok_or_else(|| {
        let text = format!("--bind {word} would open the gateway to other machines; it listens on loopback only");
        Failure::with_fix(text, format!("openclaw {} --bind loopback", form.command()))
    })
}

fn port(session: &Session) -> Result<u16, Failure> {
    const NAME: &str = "OPENCLAW_GATEWAY_PORT";
    match session.state.environment.non_blank(NAME) {
        Some(text) => text.trim().parse().map_err(|_| {
            Failure::with_fix(format!("{NAME} is no port number"), format!("unset {NAME}, or give --port N"))
        }),
        None => Ok(session.state.config.gateway.port.unwrap_or(PORT)),
    }
}

/// What the command line says about access.
fn access(session: &Session, args: &Serve, form: Form) -> Result<AccessSettings, Failure> {
    let mode = match args.auth.as_deref() {
        None => None,
        Some(word) => Some(AccessMode::parse(word).ok_or_else(|| {
            let fix = format!("openclaw {} --auth token", form.command());
            Failure::with_fix("--auth must be token, password or none", fix)
        })?),
    };
    let mut secrets = [None, None];
    let command = form.command();
    for (slot, value, option, instead, fix) in [
        (0, &args.token, "--token", "OPENCLAW_GATEWAY_TOKEN", format!("OPENCLAW_GATEWAY_TOKEN=… openclaw {command}")),
        (1, &args.password, "--password", "--password-file FILE", format!("openclaw {command} --password-file FILE")),
    ] {
        let Some(value) = value else { continue };
        let secret = Secret::new(value.trim());
        if secret.is_blank() {
            return Err(Failure::with_fix(format!("{option} is empty"), fix));
        }
        session.warn(&format!(
            "Warning: other users of this machine can see what is given with {option}; use {instead} instead"
        ));
        secrets[slot] = Some(secret);
    }
    if let Some(file) = &args.password_file {
        let path = session.state.layout.user_path(file);
        let shown = session.state.layout.shorten(&path);
        let bytes = session.host.read(&path, MAX_PASSWORD);
        let bytes = bytes.map_err(|error| Failure::new(format!("--password-file: cannot read {shown}: {error}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(format!("--password-file: {shown} is not UTF-8 text")))?;
        let secret = Secret::new(text.trim());
        if secret.is_blank() {
            return Err(Failure::new(format!("--password-file: {shown} is empty")));
        }
        secrets[1] = Some(secret);
    }
    let [token, password] = secrets;
    Ok(AccessSettings { mode, token, password })
}

/// Says when a variable that somebody set opens nothing, because the config goes first (spec 07 section 12.1).
fn tell_unused_variables(session: &Session, access: &AccessSettings) {
    let config = &session.state.config.gateway;
    for (own, input, field, name) in [
        (&access.token, &config.token, "gateway.auth.token", "OPENCLAW_GATEWAY_TOKEN"),
        (&access.password, &config.password, "gateway.auth.password", "OPENCLAW_GATEWAY_PASSWORD"),
    ] {
        let Some(set) = session.state.environment.non_blank(name) else { continue };
        let goes_first =
            own.is_none() && matches!(input, Some(SecretInput::Plain(secret)) if !secret.is_same_text(set.trim()));
        if goes_first {
            session.warn(&format!(
                "Note: {name} holds another secret than {field} of the config, which goes first; the variable opens nothing"
            ));
        }
    }
}

/// Makes a token and keeps it in the config.
fn make_token(session: &mut Session, form: Form) -> Result<(), Failure> {
    let bytes = random_bytes(TOKEN_BYTES)
        .map_err(|error| Failure::new(format!("no random bytes for a gateway token: {error}")))?;
    let token = Secret::new(bytes.iter().fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    }));
    let layout = &session.state.layout;
    let writer = ConfigWriter::new(layout, &session.state.environment, &session.host, form.command());
    let written = writer.edit(Run::Real, &|root| {
        object_at(root, &["gateway", "auth"]).insert("token".to_owned(), json!(token.reveal()));
        Ok(())
    });
    let shown = layout.shorten(layout.config_path());
    written.map_err(|error| {
        Failure::with_fix(
            format!("a gateway token was made but not saved: {error}"),
            format!("OPENCLAW_GATEWAY_TOKEN=… openclaw {}", form.command()),
        )
    })?;
    remark(&format!("A new gateway token was made and saved as gateway.auth.token in {shown}"));
    session.state = auth_store::State::load(&session.host, session.profile.as_deref())?;
    Ok(())
}

fn limits(args: &Serve) -> ServerLimits {
    let usual = ServerLimits::default();
    let ms = |given: Option<u64>, usual| given.map_or(usual, Duration::from_millis);
    let turns = args.max_turns.unwrap_or(usual.turns).clamp(1, 65_536);
    ServerLimits {
        turns,
        connections: usual.connections.max(turns.saturating_mul(2)),
        head: ms(args.head_timeout_ms, usual.head),
        body: ms(args.body_timeout_ms, usual.body),
        drain: ms(args.drain_timeout_ms, usual.drain),
        ..usual
    }
}

fn not_started(error: &ServerError, form: Form) -> Failure {
    let command = form.command();
    match error {
        ServerError::Listen { address, why } if why.kind() == std::io::ErrorKind::AddrInUse => Failure::with_fix(
            format!("port {} of {} is in use; another gateway may be running", address.port(), address.ip()),
            format!("openclaw {command} --port {}", address.port().checked_add(1).unwrap_or(PORT)),
        ),
        ServerError::Listen { .. } => Failure::with_fix(error, format!("openclaw {command} --port 0")),
        ServerError::Access(_) => Failure::with_fix(error, format!("openclaw {command} --auth token")),
        _ => Failure::new(error),
    }
}

/// Says where it listens.
fn announce(address: SocketAddr, is_on: bool, json: bool) -> Result<(), Failure> {
    let url = format!("http://{address}");
    if json {
        let line = json!({"listening": url, "port": address.port(), "pid": std::process::id(), "endpoints": is_on});
        print_text(&format!("{line}\n"))?;
    }
    remark(&format!("[gateway] listening on {url} (status page: {url}/)"));
    if !is_on {
        remark(
            "[gateway] /v1 is off: set gateway.http.endpoints.chatCompletions.enabled to true, or start with --openai",
        );
    }
    Ok(())
}

/// What signals tell the gateway.
fn signals() -> std::io::Result<mpsc::Receiver<Control>> {
    let (say, control) = mpsc::channel(4);
    for (kind, what) in [
        (SignalKind::terminate(), Control::Shutdown),
        (SignalKind::interrupt(), Control::Shutdown),
        (SignalKind::hangup(), Control::Reload),
    ] {
        let mut signal = signal(kind)?;
        let say = say.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                if say.send(what).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(control)
}
