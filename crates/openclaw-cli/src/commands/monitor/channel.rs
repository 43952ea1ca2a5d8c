//! Who is told: a command, webhooks, a topic of ntfy. Where they are may be a secret: only hosts and the name of the
//! command are ever shown.

use auth_core::Secret;
use auth_core::monitor::{Address, AddressError, split_words};
use auth_oauth::Endpoints;
use auth_store::Host;

use super::settings::file;
use crate::commands::Session;
use crate::failure::Failure;
use crate::monitor_args::MonitorOptions;

/// The largest token file, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// Somebody who is told.
pub(super) enum Channel {
    Webhook { address: Address, token: Option<Secret> },
    Ntfy { address: Address, url: String, token: Option<Secret> },
    Command { words: Vec<String> },
}

impl Channel {
    /// The name that is shown.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Webhook { address, .. } => format!("webhook {}", address.host()),
            Self::Ntfy { address, .. } => format!("ntfy {}", address.host()),
            Self::Command { words } => {
                let program = words.first().map_or("", String::as_str);
                format!("command {}", program.rsplit('/').next().unwrap_or(program))
            }
        }
    }
}

/// A channel as it was given: by an option, or by a variable.
pub(super) struct Given {
    /// The variable that can hold it.
    pub(super) variable: &'static str,
    pub(super) values: Vec<String>,
    option: &'static str,
}

/// What was given, options before variables. Sensitive all of it.
pub(super) fn given(session: &Session, options: &MonitorOptions) -> [Given; 7] {
    let of = |option: &'static str, variable: &'static str, own: &[String]| {
        let own: Vec<String> = own.iter().filter(|text| !text.trim().is_empty()).cloned().collect();
        let from_variable = || {
            let value = session.state.environment.non_blank(variable)?;
            let several = variable == "NOTIFY_WEBHOOK";
            Some(if several { value.split_whitespace().map(str::to_owned).collect() } else { vec![value.to_owned()] })
        };
        let values = if own.is_empty() { from_variable().unwrap_or_default() } else { own };
        Given { variable, values, option }
    };
    let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
    [
        of("--notify-cmd", "NOTIFY_CMD", &one(&options.notify_cmd)),
        of("--webhook", "NOTIFY_WEBHOOK", &options.webhook),
        of("--webhook-token-file", "NOTIFY_WEBHOOK_TOKEN_FILE", &one(&options.webhook_token_file)),
        of("--ntfy", "NOTIFY_NTFY", &one(&options.ntfy)),
        of("--ntfy-token-file", "NOTIFY_NTFY_TOKEN_FILE", &one(&options.ntfy_token_file)),
        // Tokens themselves are no arguments, which every user of the machine could read.
        of("NOTIFY_WEBHOOK_TOKEN", "NOTIFY_WEBHOOK_TOKEN", &[]),
        of("NOTIFY_NTFY_TOKEN", "NOTIFY_NTFY_TOKEN", &[]),
    ]
}

/// Reads and checks the channels; `tokens` says whether their files are needed already.
pub(super) fn read(session: &Session, options: &MonitorOptions, tokens: bool) -> Result<Vec<Channel>, Failure> {
    let [command, webhooks, webhook_file, ntfy, ntfy_file, webhook_token, ntfy_token] = given(session, options);
    let mut channels = Vec::new();
    for text in &command.values {
        let words = split_words(text).map_err(|why| {
            Failure::with_fix(
                format!("{}: the command cannot be split into words: {why}", command.option),
                "the same command with --notify-cmd '/path/to/program argument'",
            )
        })?;
        channels.push(Channel::Command { words });
    }
    let wrong = |given: &Given, why: &AddressError| {
        Failure::with_fix(format!("{}: the address {why}", given.option), "openclaw models auth monitor --help")
    };
    let token = token_of(session, &webhook_file, &webhook_token, tokens && !webhooks.values.is_empty())?;
    for text in &webhooks.values {
        let address = Address::parse(text, options.allow_http).map_err(|why| wrong(&webhooks, &why))?;
        channels.push(Channel::Webhook { address, token: token.clone() });
    }
    let token = token_of(session, &ntfy_file, &ntfy_token, tokens && !ntfy.values.is_empty())?;
    if ntfy.values.is_empty() {
        return Ok(channels);
    }
    let endpoints = Endpoints::of(&session.state.environment).map_err(Failure::new)?;
    if endpoints.is_test() {
        session
            .warn(&format!("Warning: {} is set: messages for ntfy.sh stay on this machine", auth_oauth::TEST_BASE_URL));
    }
    for text in &ntfy.values {
        let address = Address::ntfy(text, options.allow_http).map_err(|why| wrong(&ntfy, &why))?;
        // A topic without an address belongs to a fixed host, which a test may keep on this machine.
        let fixed = !text.contains("://");
        let url = if fixed { endpoints.url(address.reveal()) } else { address.reveal().to_owned() };
        channels.push(Channel::Ntfy { address, url, token: token.clone() });
    }
    Ok(channels)
}

/// The bearer token of a channel: from its file, else from its variable.
fn token_of(session: &Session, given: &Given, direct: &Given, needed: bool) -> Result<Option<Secret>, Failure> {
    let Some(text) = given.values.first() else {
        let token = direct.values.first().and_then(|text| Secret::new(text.as_str()).cleaned());
        token.iter().for_each(auth_store::secrets::remember_seen);
        return Ok(token);
    };
    let path = file(given.option, text, session)?;
    if !needed {
        return Ok(None);
    }
    let shown = session.state.layout.shorten(&path);
    let fail = |why: String| {
        Failure::with_fix(format!("{}: {shown} {why}", given.option), format!("printf '%s' TOKEN > {shown}"))
    };
    let bytes =
        session.host.read(&path, MAX_TOKEN).map_err(|error| fail(format!("cannot be read: {}", error.kind())))?;
    let text = String::from_utf8(bytes).map_err(|_| fail("is not UTF-8".to_owned()))?;
    let token = Secret::new(text).cleaned().ok_or_else(|| fail("holds no token".to_owned()))?;
    auth_store::secrets::remember_seen(&token);
    Ok(Some(token))
}
