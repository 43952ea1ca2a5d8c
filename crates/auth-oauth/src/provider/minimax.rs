//! MiniMax Portal: a sign-in with a code that the user types in the browser (spec 04 section 6.5).

use auth_core::secrets::Redactor;
use auth_core::{CredentialKind, Secret};
use serde_json::{Value, json};
use url::Url;

use super::{ProviderSettings, Renewed, ms};
use crate::answer::Answer;
use crate::endpoints::Endpoints;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::login::Login;
use crate::transport::{HttpRequest, HttpResponse};

pub(crate) const PROVIDER: &str = "minimax-portal";
const CLIENT_ID: &str = "78257093-7e40-4613-99e0-527b14b39113";
const SCOPE: &str = "group_id profile model.completion";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:user_code";
const GLOBAL: &str = "https://api.minimax.io";
const CHINA: &str = "https://api.minimaxi.com";
/// The longest that a code is waited for, in milliseconds.
const LONGEST_CODE_MS: f64 = 3_600_000.0;
/// The shortest pause between two questions, in milliseconds.
pub(crate) const MIN_INTERVAL_MS: f64 = 2000.0;

/// Where an account of MiniMax lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiniMaxRegion {
    /// minimax.io.
    Global,
    /// minimaxi.com.
    China,
}

impl MiniMaxRegion {
    fn base(self) -> &'static str {
        match self {
            Self::Global => GLOBAL,
            Self::China => CHINA,
        }
    }

    /// The region of a configured base URL.
    fn of(base_url: Option<&str>) -> Self {
        let host = base_url.and_then(|url| Some(Url::parse(url.trim()).ok()?.host_str()?.to_owned()));
        match host {
            Some(host) if host == "minimaxi.com" || host.ends_with(".minimaxi.com") => Self::China,
            _ => Self::Global,
        }
    }
}

pub(super) fn refresh(refresh: &Secret, settings: ProviderSettings<'_>) -> HttpRequest {
    let base = MiniMaxRegion::of(settings.minimax_base_url).base();
    HttpRequest::form(
        settings.endpoints.url(&format!("{base}/oauth/token")),
        &[("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", refresh.reveal())],
    )
}

/// `expired_in` as milliseconds since the epoch: it may also come as seconds since then, or from now.
fn expires(answer: &Answer, now_ms: i64) -> Result<f64, OAuthError> {
    let raw = answer.number("expired_in").filter(|raw| *raw > 0.0);
    let raw = raw.ok_or_else(|| OAuthError::protocol("the answer has no expired_in"))?;
    Ok(if raw >= 1e11 {
        raw
    } else if raw > 1e9 {
        raw * 1000.0
    } else {
        ms(now_ms) + raw * 1000.0
    })
}

pub(super) fn renewed(response: &HttpResponse, sent: &[&Secret], now_ms: i64) -> Result<Renewed, OAuthError> {
    let answer = Answer::read(response, sent)?;
    failed(&answer, sent)?;
    Ok(Renewed {
        access: answer.required("access_token")?,
        refresh: answer.secret("refresh_token"),
        expires_ms: expires(&answer, now_ms)?,
        fields: Vec::new(),
    })
}

/// Whether an answer that is no success has the words of the service.
fn is_told(response: &HttpResponse) -> bool {
    let body: Value = serde_json::from_str(response.body.reveal()).unwrap_or_default();
    body.pointer("/base_resp/status_msg").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty())
}

/// An answer that is a refusal although its status says success.
fn failed(answer: &Answer, sent: &[&Secret]) -> Result<(), OAuthError> {
    let said = || {
        let text = answer.get("base_resp").and_then(|resp| resp.get("status_msg")).and_then(Value::as_str);
        let text = text.filter(|text| !text.trim().is_empty()).unwrap_or("the login was refused");
        Redactor::of(sent.iter().map(|secret| (*secret).clone())).redact(text).chars().take(200).collect::<String>()
    };
    match answer.text("status") {
        Some("error") => Err(OAuthError::new(OAuthErrorKind::Refused, said())),
        _ => Ok(()),
    }
}

/// A sign-in under way.
#[derive(Debug)]
pub(crate) struct UserCode {
    pub(crate) shown: String,
    pub(crate) verification_uri: String,
    pub(crate) ends_ms: f64,
    pub(crate) interval_ms: f64,
    code: Secret,
}

pub(crate) fn begin(
    region: MiniMaxRegion,
    challenge: &str,
    state: &Secret,
    id: &str,
    endpoints: &Endpoints,
) -> HttpRequest {
    let url = endpoints.url(&format!("{}/oauth/code", region.base()));
    HttpRequest::form(
        url,
        &[
            ("response_type", "code"),
            ("client_id", CLIENT_ID),
            ("scope", SCOPE),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            ("state", state.reveal()),
        ],
    )
    .header("x-request-id", id)
}

pub(crate) fn begun(response: &HttpResponse, state: &Secret, now_ms: i64) -> Result<UserCode, OAuthError> {
    let answer = Answer::read(response, &[state])?;
    failed(&answer, &[state])?;
    let same = answer.text("state").is_some_and(|text| crate::pkce::same_in_constant_time(text, state.reveal()));
    if !same {
        return Err(OAuthError::protocol(
            "MiniMax OAuth state mismatch: the answer does not belong to this login. Run the login again.",
        ));
    }
    let code = answer.required("user_code")?;
    let verification_uri = answer.text("verification_uri").map(str::to_owned);
    Ok(UserCode {
        shown: crate::login::shown(code.reveal()),
        verification_uri: verification_uri.ok_or_else(|| OAuthError::protocol("the answer has no verification_uri"))?,
        ends_ms: expires(&answer, now_ms)?.min(ms(now_ms) + LONGEST_CODE_MS),
        interval_ms: answer.number("interval").unwrap_or(MIN_INTERVAL_MS).clamp(MIN_INTERVAL_MS, 60_000.0),
        code,
    })
}

pub(crate) fn poll(region: MiniMaxRegion, code: &UserCode, verifier: &Secret, endpoints: &Endpoints) -> HttpRequest {
    HttpRequest::form(
        endpoints.url(&format!("{}/oauth/token", region.base())),
        &[
            ("grant_type", GRANT),
            ("client_id", CLIENT_ID),
            ("user_code", code.code.reveal()),
            ("code_verifier", verifier.reveal()),
        ],
    )
}

/// The login, when the user has agreed; `None` while that is awaited.
pub(crate) fn polled(
    region: MiniMaxRegion,
    response: &HttpResponse,
    verifier: &Secret,
    now_ms: i64,
) -> Result<Option<Login>, OAuthError> {
    let answer = Answer::read(response, &[verifier]).map_err(|error| match error.kind {
        // Told by the service itself; without its words it is a gateway that is in trouble for a moment.
        OAuthErrorKind::Unavailable if is_told(response) => OAuthError { kind: OAuthErrorKind::Refused, ..error },
        _ => error,
    })?;
    failed(&answer, &[verifier])?;
    if answer.text("status") != Some("success") {
        return Ok(None);
    }
    let access = answer.required("access_token")?;
    let refresh = answer.required("refresh_token")?;
    let mut login = Login::new(PROVIDER, CredentialKind::OAuth, "default");
    login.tokens(&access, Some(&refresh), expires(&answer, now_ms)?);
    let resource = match answer.text("resource_url") {
        Some(url) => checked_resource(url)?,
        None => format!("{}/anthropic", region.base()),
    };
    if let Some(message) = answer.text("notification_message") {
        login.notes.push(crate::login::shown(message));
    }
    login.default_model = auth_core::provider::find(PROVIDER).and_then(|info| info.default_model);
    login.config_patch = Some(json!({
        "models": {"providers": {PROVIDER: {"baseUrl": resource, "models": []}}},
        "agents": {"defaults": {"models": {
            "minimax-portal/MiniMax-M2.7": {"alias": "minimax-m2.7"},
            "minimax-portal/MiniMax-M2.7-highspeed": {"alias": "minimax-m2.7-highspeed"},
        }}},
    }));
    Ok(Some(login))
}

/// An address that keys may go to: one of MiniMax, over TLS.
fn checked_resource(url: &str) -> Result<String, OAuthError> {
    let parsed = Url::parse(url).ok();
    let good = parsed.as_ref().is_some_and(|url| {
        let host = url.host_str().unwrap_or_default();
        let ours =
            ["minimax.io", "minimaxi.com"].iter().any(|name| host == *name || host.ends_with(&format!(".{name}")));
        ours && url.scheme() == "https" && url.username().is_empty() && url.password().is_none()
    });
    if let Some(url) = parsed.as_ref().filter(|_| good) {
        // As it was understood here, so that nobody who reads it later understands another host.
        return Ok(url.as_str().trim_end_matches('/').to_owned());
    }
    let host = parsed.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "no address".to_owned());
    Err(OAuthError::protocol(format!(
        "the answer sends requests to {host}, which is no address of MiniMax; nothing was stored"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_minimax_only() {
        for (good, kept) in [
            ("https://api.minimax.io/anthropic", "https://api.minimax.io/anthropic"),
            ("https://x.minimaxi.com/", "https://x.minimaxi.com"),
            ("https://api.minimax.io\\@evil.test/", "https://api.minimax.io/@evil.test"),
        ] {
            assert_eq!(checked_resource(good).unwrap(), kept);
        }
        for bad in [
            "http://api.minimax.io",
            "https://evilminimax.io",
            "https://api.minimax.io.evil.test",
            "https://a@api.minimax.io",
            "https://evil.test\\.minimax.io",
            "x",
        ] {
            assert!(checked_resource(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ends_are_told_in_three_ways() {
        let at = |raw: &str| {
            let body = Secret::new(format!("{{\"expired_in\":{raw}}}"));
            expires(&Answer::read(&HttpResponse { status: 200, body }, &[]).unwrap(), 1_000_000).ok()
        };
        assert_eq!(at("1800000000000"), Some(1_800_000_000_000.0));
        assert_eq!(at("1800000000"), Some(1_800_000_000_000.0));
        assert_eq!(at("60"), Some(1_060_000.0));
        assert_eq!(at("0"), None);
    }

    #[test]
    fn the_region_is_that_of_the_base_url() {
        assert_eq!(MiniMaxRegion::of(Some("https://api.minimaxi.com/anthropic")), MiniMaxRegion::China);
        assert_eq!(MiniMaxRegion::of(Some("https://api.minimax.io/anthropic")), MiniMaxRegion::Global);
        assert_eq!(MiniMaxRegion::of(None), MiniMaxRegion::Global);
    }
}
