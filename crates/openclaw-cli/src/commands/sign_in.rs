//! Signing in: in the browser, with a code on another device, here or over SSH (spec 04 sections 5 and 6).

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use auth_core::provider::{AuthKind, AuthMethod, ProviderInfo};
use auth_core::{Environment, Secret};
use auth_oauth::{
    CallbackServer, CodeFlow, CodeProvider, DeviceProvider, HttpRequest, Instructions, Login, MiniMaxRegion,
    OAuthError, Pasted, Transport, TransportError,
};
use auth_probe::Network;
use auth_store::Host;

use super::Session;
use super::online::{Conversation, Online, oauth_failure};
use crate::failure::Failure;
use crate::paste_prompt::{self, Answer};
use crate::prompt;
use crate::qr;

/// How long the look at the provider's certificate may take.
const PREFLIGHT: Duration = Duration::from_secs(5);

/// One sign-in.
pub(crate) struct SignIn<'a> {
    pub(crate) session: &'a Session,
    pub(crate) info: &'static ProviderInfo,
    pub(crate) method: &'static AuthMethod,
    /// Show the address instead of opening it.
    pub(crate) no_browser: bool,
    /// Show the address as a QR code too.
    pub(crate) qr: bool,
}

/// How a provider is signed in to.
enum Way {
    Browser(CodeProvider),
    Device(DeviceProvider),
}

fn way(info: &ProviderInfo, method: &AuthMethod) -> Option<Way> {
    Some(match (info.id, method.kind, method.method) {
        ("openai-codex", AuthKind::OAuth, _) => Way::Browser(CodeProvider::Codex),
        ("google-gemini-cli", AuthKind::OAuth, _) => Way::Browser(CodeProvider::Gemini),
        ("chutes", AuthKind::OAuth, _) => Way::Browser(CodeProvider::Chutes),
        ("github-copilot", AuthKind::DeviceCode, _) => Way::Device(DeviceProvider::Copilot),
        ("minimax-portal", AuthKind::DeviceCode, "oauth-cn") => {
            Way::Device(DeviceProvider::MiniMax(MiniMaxRegion::China))
        }
        ("minimax-portal", AuthKind::DeviceCode, _) => Way::Device(DeviceProvider::MiniMax(MiniMaxRegion::Global)),
        _ => return None,
    })
}

impl SignIn<'_> {
    /// Signs in. `None` when the user said no.
    pub(crate) fn run(&self) -> Result<Option<Login>, Failure> {
        let Some(way) = way(self.info, self.method) else {
            return Err(Failure::with_fix(
                format!("{} is set up with an address of your own.", self.method.label),
                format!(
                    "openclaw onboard --auth-choice custom-api-key --custom-provider-id {} --custom-base-url URL --custom-model-id MODEL",
                    self.info.id
                ),
            ));
        };
        let online = Online::open(self.session)?;
        let talk = online.for_login();
        let result = match way {
            Way::Browser(provider) => self.in_browser(provider, &online, &talk),
            Way::Device(provider) => self.on_device(provider, &online, &talk).map(Some),
        };
        result.map_err(|failure| match failure {
            Ended::OAuth(error) => oauth_failure(&error, None),
            Ended::Failure(failure) => failure,
        })
    }

    fn in_browser(&self, provider: CodeProvider, online: &Online, talk: &Conversation) -> Result<Option<Login>, Ended> {
        let settings = online.settings(self.session);
        if provider == CodeProvider::Gemini {
            prompt::note(
                "Google Gemini CLI",
                "This uses the sign-in of Google's Gemini CLI, which Google supports for that program only.\nAn account may be limited for it. An API key (--provider google) has no such risk.",
            )?;
            if !prompt::confirm("Continue with Google Gemini CLI OAuth?", false)? {
                return Ok(None);
            }
        }
        let client = match (provider, provider.client(settings)) {
            (CodeProvider::Chutes, Err(_)) => {
                let id = prompt::text("Client id of your Chutes app (CHUTES_CLIENT_ID)", "")?;
                CodeProvider::chutes_client(&id, settings)
            }
            (_, client) => client?,
        };
        let flow = provider.begin(client, settings)?;
        if provider == CodeProvider::Codex && !online.endpoints.is_test() {
            preflight(&flow, &talk.network)?;
        }
        let code = self.code(provider, &flow, &talk.stop)?;
        let login = flow.exchange(&code, settings, self.session.state.layout.home(), &talk.network)?;
        Ok(Some(login))
    }

    /// The code, from the browser or from what is pasted, whichever comes first.
    fn code(&self, provider: CodeProvider, flow: &CodeFlow, stop: &AtomicBool) -> Result<Secret, Ended> {
        let environment = &self.session.state.environment;
        let wsl2 = provider == CodeProvider::Gemini && is_wsl2(self.session);
        let remote = self.no_browser || wsl2 || is_remote(environment);
        let mut server = match CallbackServer::start(flow) {
            Ok(server) => Some(server),
            Err(error) => {
                let why = match error.kind() {
                    std::io::ErrorKind::AddrInUse => "another program, or another login, listens there".to_owned(),
                    _ => error.to_string(),
                };
                say(&format!(
                    "Note: the browser cannot come back to {} by itself:\n{why}. Paste the address that it shows in the end.\n",
                    flow.redirect()
                ));
                None
            }
        };
        if remote {
            say(&format!("Open this URL in your LOCAL browser:\n\n{}\n", flow.address()));
            say("After signing in, the browser shows an address that it cannot open.\nCopy that whole address.\n");
        } else {
            let opened = open_browser(environment, flow.address());
            say(&format!(
                "{}\n\n{}\n",
                if opened {
                    "The browser opens; if it does not, open this URL:"
                } else {
                    "Open this URL in your browser:"
                },
                flow.address()
            ));
        }
        if self.qr {
            say(&qr::picture(flow.address()));
        }
        let end = Instant::now() + provider.patience();
        loop {
            let mut late = false;
            let question = match (&server, remote) {
                (None, _) => "Paste the redirect URL here",
                (Some(_), true) => "Paste the redirect URL here, or wait if the browser can reach this machine",
                (Some(_), false) => "Paste the redirect URL here, or just wait for the browser",
            };
            let came = |answer: &Option<Result<Secret, OAuthError>>| match answer {
                Some(Ok(_)) => "The browser is back.",
                Some(Err(_)) => "The browser is back, without a code.",
                None => "",
            };
            let answer = paste_prompt::ask(question, stop, &came, &mut || {
                if let Some(answer) = server.as_ref().and_then(CallbackServer::try_answer) {
                    return Some(Some(answer));
                }
                late = server.is_some() && Instant::now() >= end;
                late.then_some(None)
            })?;
            match answer {
                Answer::Elsewhere(Some(answer)) => return Ok(answer?),
                Answer::Elsewhere(None) => {
                    server = None;
                    prompt::remark("The browser has not come back in time; what it shows can still be pasted.")?;
                }
                Answer::Pasted(text) => match flow.read_pasted(text.reveal())? {
                    Pasted::Code(code) => return Ok(code),
                    Pasted::Again(why) => prompt::complain(&why)?,
                },
            }
        }
    }

    fn on_device(&self, provider: DeviceProvider, online: &Online, talk: &Conversation) -> Result<Login, Ended> {
        let environment = &self.session.state.environment;
        let remote = self.no_browser || is_remote(environment);
        let show = &mut |instructions: &Instructions| {
            if !remote {
                open_browser(environment, &instructions.address);
            }
            say(&format!(
                "Open this URL on any device:  {}\nand type this code:           {}\n",
                instructions.address, instructions.user_code
            ));
            if self.qr {
                say(&qr::picture(&instructions.address));
            }
            say(&format!("Waiting for up to {} minutes; Esc gives up.", instructions.life.as_secs().div_ceil(60)));
        };
        let _keys = paste_prompt::EscapeWatch::start(&talk.stop);
        Ok(provider.login(&online.endpoints, &talk.network, show)?)
    }
}

/// Why a sign-in ended.
enum Ended {
    OAuth(OAuthError),
    Failure(Failure),
}

impl From<OAuthError> for Ended {
    fn from(error: OAuthError) -> Self {
        Self::OAuth(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Says something that is no question, whole: an address must not be broken into lines.
fn say(text: &str) {
    crate::output::remark(text);
}

/// Whether the browser of the user is elsewhere.
fn is_remote(environment: &Environment) -> bool {
    let set = |name: &&str| environment.get(name).is_some_and(|value| !value.is_empty());
    if ["SSH_CLIENT", "SSH_TTY", "SSH_CONNECTION", "REMOTE_CONTAINERS", "CODESPACES"].iter().any(set) {
        return true;
    }
    let no_display = !["DISPLAY", "WAYLAND_DISPLAY"].iter().any(set);
    cfg!(target_os = "linux") && no_display && !is_wsl(environment)
}

fn is_wsl(environment: &Environment) -> bool {
    ["WSL_INTEROP", "WSL_DISTRO_NAME", "WSLENV"]
        .iter()
        .any(|name| environment.get(name).is_some_and(|value| !value.is_empty()))
}

/// Whether this is the second version of WSL, which a browser on Windows cannot always reach.
fn is_wsl2(session: &Session) -> bool {
    let version = session.host.read(std::path::Path::new("/proc/version"), 4096).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).to_lowercase();
    is_wsl(&session.state.environment) && version.contains("wsl2")
}

/// Opens an address: one argument to the program of the system, never a shell. Whether that worked is not known; `false`
/// when there is no such program.
fn open_browser(environment: &Environment, address: &str) -> bool {
    let openers: &[&str] = if cfg!(target_os = "macos") {
        &["open"]
    } else if is_wsl(environment) {
        &["wslview", "xdg-open"]
    } else {
        &["xdg-open"]
    };
    openers.iter().any(|opener| {
        Command::new(opener)
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_ok()
    })
}

/// Looks whether the certificate of the provider is trusted before the user is sent there. Everything else shows later.
fn preflight(flow: &CodeFlow, net: &Network) -> Result<(), Ended> {
    let url = flow.address().split('?').next().unwrap_or_default().to_owned();
    let request = HttpRequest { body: None, url, headers: Vec::new(), must_finish: false };
    match net.send(&request, PREFLIGHT) {
        Err(TransportError::Tls(why)) => Err(Ended::Failure(Failure::with_fix(
            format!(
                "The certificate of the provider is not trusted: {why}\nA proxy or virus scanner between may sign with a certificate of its own."
            ),
            "export NODE_EXTRA_CA_CERTS=/path/to/its-certificate.pem, then the login again",
        ))),
        Err(TransportError::Cancelled) => Err(Ended::Failure(super::online::cancelled())),
        _ => Ok(()),
    }
}
