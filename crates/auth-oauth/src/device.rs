//! Signing in with a code that is typed on another device (RFC 8628, and MiniMax's own form of it; spec 04 sections 6.2
//! and 6.5).

use std::time::Duration;

use crate::code_flow::LOGIN_TIMEOUT;
use crate::endpoints::Endpoints;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::login::Login;
use crate::pkce::{Spelling, challenge, random};
use crate::provider::copilot::{self, Polled};
use crate::provider::minimax::{self, MiniMaxRegion};
use crate::provider::ms;
use crate::transport::{Transport, TransportError};

/// What `slow_down` adds to the pause between two questions.
const SLOWER: Duration = Duration::from_secs(5);

/// A provider that is signed in to with a code on another device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceProvider {
    /// GitHub Copilot.
    Copilot,
    /// MiniMax Portal.
    MiniMax(MiniMaxRegion),
}

/// What the user has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instructions {
    /// The address to open, on any device.
    pub address: String,
    /// The code to type there.
    pub user_code: String,
    /// How long that is possible.
    pub life: Duration,
}

impl DeviceProvider {
    /// Signs in: asks for a code, has `show` show it, and waits until the user has agreed.
    ///
    /// # Errors
    ///
    /// When the user refuses or takes too long, or the provider does not answer. Nothing is stored in either case.
    pub fn login(
        self,
        endpoints: &Endpoints,
        net: &dyn Transport,
        show: &mut dyn FnMut(&Instructions),
    ) -> Result<Login, OAuthError> {
        match self {
            Self::Copilot => copilot_login(endpoints, net, show),
            Self::MiniMax(region) => minimax_login(region, endpoints, net, show),
        }
    }
}

fn copilot_login(
    endpoints: &Endpoints,
    net: &dyn Transport,
    show: &mut dyn FnMut(&Instructions),
) -> Result<Login, OAuthError> {
    let code = copilot::begun(&net.send(&copilot::begin(endpoints), LOGIN_TIMEOUT)?)?;
    let end_ms = ms(net.now_ms()) + ms(i64::try_from(code.life.as_millis()).unwrap_or(i64::MAX));
    show(&Instructions {
        address: checked_address(&code.verification_uri)?,
        user_code: code.user_code.clone(),
        life: code.life,
    });
    let mut interval = code.interval;
    loop {
        // Also before the first question: nobody is that quick.
        net.wait(interval)?;
        if ms(net.now_ms()) >= end_ms {
            return Err(OAuthError::new(OAuthErrorKind::Refused, copilot::EXPIRED));
        }
        let Some(response) = answer(net.send(&copilot::poll(&code, endpoints), LOGIN_TIMEOUT))? else { continue };
        match copilot::polled(&code, &response) {
            Ok(Polled::Pending) => {}
            Ok(Polled::SlowDown) => interval += SLOWER,
            Ok(Polled::Done(login)) => return Ok(*login),
            Err(error) if error.kind == OAuthErrorKind::Unavailable => {}
            Err(error) => return Err(error),
        }
    }
}

fn minimax_login(
    region: MiniMaxRegion,
    endpoints: &Endpoints,
    net: &dyn Transport,
    show: &mut dyn FnMut(&Instructions),
) -> Result<Login, OAuthError> {
    let verifier = random(32, Spelling::Base64Url)?;
    let state = random(16, Spelling::Base64Url)?;
    let request = minimax::begin(region, &challenge(&verifier), &state, &request_id()?, endpoints);
    let code = minimax::begun(&net.send(&request, LOGIN_TIMEOUT)?, &state, net.now_ms())?;
    let life = (code.ends_ms - ms(net.now_ms())).max(0.0);
    show(&Instructions {
        address: checked_address(&code.verification_uri)?,
        user_code: code.shown.clone(),
        life: Duration::from_secs_f64(life / 1000.0),
    });
    loop {
        net.wait(Duration::from_secs_f64(code.interval_ms / 1000.0))?;
        if ms(net.now_ms()) >= code.ends_ms {
            let text = "MiniMax OAuth timed out before authorization completed.";
            return Err(OAuthError::new(OAuthErrorKind::Refused, text));
        }
        let request = minimax::poll(region, &code, &verifier, endpoints);
        let Some(response) = answer(net.send(&request, LOGIN_TIMEOUT))? else { continue };
        match minimax::polled(region, &response, &verifier, net.now_ms()) {
            Ok(Some(login)) => return Ok(login),
            Ok(None) => {}
            Err(error) if error.kind == OAuthErrorKind::Unavailable => {}
            Err(error) => return Err(error),
        }
    }
}

/// A network that fails for a moment does not end a sign-in that the user is busy with.
fn answer<T>(result: Result<T, TransportError>) -> Result<Option<T>, OAuthError> {
    match result {
        Ok(response) => Ok(Some(response)),
        Err(TransportError::Network(_) | TransportError::Timeout(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An address that may be opened: the web, over TLS.
fn checked_address(text: &str) -> Result<String, OAuthError> {
    let good = url::Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let harmless = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    good.filter(|_| harmless)
        .map(Into::into)
        .ok_or_else(|| OAuthError::protocol("the answer names no https address to open"))
}

/// A random UUID (version 4).
fn request_id() -> Result<String, OAuthError> {
    let hex = random(16, Spelling::Hex)?;
    let h: &str = hex.reveal();
    // The variant is 8, 9, a or b; 8 will do.
    Ok(format!("{}-{}-4{}-8{}-{}", &h[..8], &h[8..12], &h[13..16], &h[17..20], &h[20..32]))
}
