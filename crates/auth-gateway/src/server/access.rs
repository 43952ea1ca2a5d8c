//! Who may come in (spec 07 section 12.1): a shared secret, a request that was meant for this machine, and a limit on
//! guessing.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use auth_core::Secret;
use auth_core::config::SecretInput;
use auth_store::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};

/// How many wrong secrets are too many, within which time, and how long nothing is looked at then.
const WRONG_MAX: usize = 10;
const WRONG_WITHIN: Duration = Duration::from_secs(60);
const LOCKED_FOR: Duration = Duration::from_secs(300);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 1024;

/// What a client has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// A token.
    Token,
    /// A password.
    Password,
    /// Nothing.
    Open,
}

impl AccessMode {
    /// Reads the word of the config and the command line.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "token" => Some(Self::Token),
            "password" => Some(Self::Password),
            "none" => Some(Self::Open),
            _ => None,
        }
    }
}

/// What the command line says about access; it goes before the config.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// `--auth`.
    pub mode: Option<AccessMode>,
    /// `--token`.
    pub token: Option<Secret>,
    /// `--password`, or what `--password-file` holds.
    pub password: Option<Secret>,
}

/// Why nobody could come in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessProblem {
    /// Mode `token`, and there is none.
    #[error("gateway auth mode is token, but there is no token")]
    NoToken,
    /// Mode `password`, and there is none.
    #[error("gateway auth mode is password, but no password is configured. Set OPENCLAW_GATEWAY_PASSWORD")]
    NoPassword,
    /// The secret is kept elsewhere.
    #[error("{0} is a secret reference, which the gateway does not resolve. Set {1} instead")]
    Reference(&'static str, &'static str),
    /// The config asks for something that this program does not have.
    #[error(
        "gateway.auth.mode \"{0}\" is not supported. Use token or password, or give --auth none for an open loopback port"
    )]
    Unknown(String),
}

/// The lock of the door.
#[derive(Clone, Debug)]
pub enum Access {
    /// This token or password opens it.
    Secret(Secret),
    /// It is open.
    Open,
}

impl Access {
    /// Works out what opens the door: the command line before the config before the variables.
    ///
    /// # Errors
    ///
    /// When nobody could come in.
    pub fn resolve(own: &AccessSettings, state: &State) -> Result<Self, AccessProblem> {
        let config = &state.config.gateway;
        let variable = |name: &str| state.environment.non_blank(name).map(|text| Secret::new(text.trim()));
        let found = |own: &Option<Secret>, input: &Option<SecretInput>, field, name| {
            if let Some(secret) = own.clone() {
                return Ok(Some(secret));
            }
            match (input, variable(name)) {
                (Some(SecretInput::Plain(secret)), _) => Ok(Some(secret.clone())),
                (_, Some(secret)) => Ok(Some(secret)),
                (Some(SecretInput::Reference(_)), None) => Err(AccessProblem::Reference(field, name)),
                (None, None) => Ok(None),
            }
        };
        let token = || found(&own.token, &config.token, "gateway.auth.token", "OPENCLAW_GATEWAY_TOKEN");
        let password = || found(&own.password, &config.password, "gateway.auth.password", "OPENCLAW_GATEWAY_PASSWORD");
        let mode = match (own.mode, config.auth_mode.as_deref()) {
            (Some(mode), _) => mode,
            (None, _) if own.token.is_some() => AccessMode::Token,
            (None, _) if own.password.is_some() => AccessMode::Password,
            (None, Some(word)) => match AccessMode::parse(word) {
                // An open port is asked for on the command line or not at all.
                Some(AccessMode::Open) | None => return Err(AccessProblem::Unknown(word.to_owned())),
                Some(mode) => mode,
            },
            (None, None) if password()?.is_some() => AccessMode::Password,
            (None, None) => AccessMode::Token,
        };
        match mode {
            AccessMode::Token => token()?.map(Self::Secret).ok_or(AccessProblem::NoToken),
            AccessMode::Password => password()?.map(Self::Secret).ok_or(AccessProblem::NoPassword),
            AccessMode::Open => Ok(Self::Open),
        }
    }

    /// Whether this opens the door. Takes the same time whatever is wrong.
    pub(crate) fn admits(&self, presented: Option<&str>) -> bool {
        match self {
            Self::Open => true,
            Self::Secret(secret) => presented.is_some_and(|presented| secret.is_same_text(presented)),
        }
    }
}

/// What a client shows: the bearer of `Authorization`, and `x-api-key` where clients of Anthropic come in.
pub(crate) fn presented(headers: &HeaderMap, takes_api_key: bool) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, secret) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    });
    let key = || headers.get("x-api-key")?.to_str().ok().map(str::trim);
    bearer.or_else(|| takes_api_key.then(key).flatten()).filter(|secret| !secret.is_empty())
}

/// Whether a request was meant for this machine. A name that was made to point here is not; neither is a page of
/// somewhere else in a browser that runs here.
pub(crate) fn is_meant_for_here(headers: &HeaderMap, target: Option<&str>) -> bool {
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
    let host_fits = match (host, target) {
        (Some(host), None) => is_loopback_authority(host),
        (Some(host), Some(target)) => is_loopback_authority(host) && is_loopback_authority(target),
        (None, Some(target)) => is_loopback_authority(target),
        (None, None) => false,
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    host_fits
        && origins.all(|origin| {
            let rest = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            rest.is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && is_loopback_authority(rest))
        })
}

/// Whether `host[:port]` names this machine.
fn is_loopback_authority(text: &str) -> bool {
    let text = text.trim();
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, rest)) => (host, rest.strip_prefix(':').or(rest.is_empty().then_some("0"))),
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        },
    };
    let port_fits = port.is_some_and(|port| port.parse::<u16>().is_ok());
    let lower = host.to_ascii_lowercase();
    let host_fits = match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => lower == "localhost" || lower.ends_with(".localhost"),
    };
    port_fits && host_fits
}

/// Counts wrong secrets by address.
#[derive(Debug, Default)]
pub(crate) struct Guesses {
    by_address: Mutex<HashMap<IpAddr, Track>>,
}

#[derive(Debug, Default)]
struct Track {
    wrong: VecDeque<Instant>,
    locked_until: Option<Instant>,
}

impl Guesses {
    /// How long nothing of this address is looked at any more.
    pub(crate) fn locked_for(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let tracks = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let until = tracks.get(&address)?.locked_until?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// A wrong secret came.
    pub(crate) fn wrong(&self, address: IpAddr, now: Instant) {
        let mut tracks = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if tracks.len() >= ADDRESSES_MAX && !tracks.contains_key(&address) {
            let is_recent = |track: &Track| {
                track.locked_until.is_some_and(|until| until > now)
                    || track.wrong.back().is_some_and(|at| now.saturating_duration_since(*at) < WRONG_WITHIN)
            };
            tracks.retain(|_, track| is_recent(track));
            if tracks.len() >= ADDRESSES_MAX {
                return;
            }
        }
        let track = tracks.entry(address).or_default();
        while track.wrong.front().is_some_and(|at| now.saturating_duration_since(*at) >= WRONG_WITHIN) {
            track.wrong.pop_front();
        }
        track.wrong.push_back(now);
        if track.wrong.len() >= WRONG_MAX {
            track.wrong.clear();
            track.locked_until = Some(now + LOCKED_FOR);
        }
    }

    /// The right one came.
    pub(crate) fn right(&self, address: IpAddr) {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn names_of_this_machine() {
        for (text, fits) in [
            ("localhost", true),
            ("LOCALHOST:80", true),
            ("a.localhost:1", true),
            ("127.0.0.1:18789", true),
            ("127.9.9.9", true),
            ("[::1]:5", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost.evil.example", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
            ("0.0.0.0", false),
            ("10.0.0.1:80", false),
            ("localhost:80:80", false),
            ("localhost:", false),
            ("localhost@evil.example", false),
            ("[::1", false),
            ("[::1]x", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_authority(text), fits, "{text}");
        }
    }

    #[test]
    fn other_origins_and_missing_hosts_are_refused() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        let fits = |pairs: &[(&'static str, &'static str)]| is_meant_for_here(&headers(pairs), None);
        assert!(fits(&[("host", "localhost:1")]));
        assert!(fits(&[("host", "localhost:1"), ("origin", "http://127.0.0.1:3000")]));
        assert!(!fits(&[("host", "localhost:1"), ("origin", "https://evil.example")]));
        assert!(!fits(&[("host", "localhost:1"), ("origin", "null")]));
        assert!(!fits(&[("host", "localhost:1"), ("origin", "http://localhost"), ("origin", "http://x.example")]));
        assert!(!fits(&[("host", "rebound.example")]));
        assert!(!fits(&[]));
        assert!(!is_meant_for_here(&headers(&[("host", "localhost")]), Some("evil.example")));
    }

    #[test]
    fn ten_wrong_secrets_lock_one_address() {
        let guesses = Guesses::default();
        let (here, there) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let start = Instant::now();
        for second in 0..9 {
            guesses.wrong(here, start + Duration::from_secs(second));
        }
        // The oldest is too old by now.
        guesses.wrong(here, start + Duration::from_secs(60));
        assert_eq!(guesses.locked_for(here, start + Duration::from_secs(60)), None);
        guesses.wrong(here, start + Duration::from_secs(60));
        let locked = |second| guesses.locked_for(here, start + Duration::from_secs(second));
        assert_eq!(locked(60), Some(LOCKED_FOR));
        assert_eq!(locked(359), Some(Duration::from_secs(1)));
        assert_eq!(locked(360), None);
        assert_eq!(guesses.locked_for(there, start), None);
        for _ in 0..9 {
            guesses.wrong(there, start);
        }
        guesses.right(there);
        guesses.wrong(there, start);
        assert_eq!(guesses.locked_for(there, start), None);
    }

    #[test]
    fn only_the_whole_secret_opens() {
        let access = Access::Secret(Secret::new("sk-test-gateway-token"));
        assert!(access.admits(Some("sk-test-gateway-token")));
        for wrong in [
            None,
            Some(""),
            Some("sk-test-gateway-toke"),
            Some("sk-test-gateway-tokenx"),
            Some("SK-test-gateway-token"),
        ] {
            assert!(!access.admits(wrong), "{wrong:?}");
        }
        assert!(Access::Open.admits(None));
    }
}
