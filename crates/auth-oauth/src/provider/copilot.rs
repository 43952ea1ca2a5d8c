//! GitHub Copilot: a device code for GitHub, and the short-lived token that requests are made with (spec 04 section
//! 6.2).

use std::time::Duration;

use auth_core::{CredentialKind, Secret};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{EARLY_MS, Renewed};
use crate::answer::Answer;
use crate::endpoints::Endpoints;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::login::Login;
use crate::transport::{HttpRequest, HttpResponse, USER_AGENT};

pub(crate) const PROVIDER: &str = "github-copilot";
const CLIENT_ID: &str = "Iv1.b507a08c87ecfe98";
const DEVICE: &str = "https://github.com/login/device/code";
const TOKEN: &str = "https://github.com/login/oauth/access_token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The longest life and pause of a device code that is believed, in seconds.
const LONGEST_S: f64 = 86_400.0;
const API_VERSION: &str = "2025-04-01";
/// The base of requests when the token does not name one.
const API: &str = "https://api.individual.githubcopilot.com";

/// A device code under way.
#[derive(Debug)]
pub(crate) struct DeviceCode {
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) life: Duration,
    pub(crate) interval: Duration,
    code: Secret,
}

pub(crate) fn begin(endpoints: &Endpoints) -> HttpRequest {
    HttpRequest::form(endpoints.url(DEVICE), &[("client_id", CLIENT_ID), ("scope", "read:user")])
}

pub(crate) fn begun(response: &HttpResponse) -> Result<DeviceCode, OAuthError> {
    let answer = Answer::read(response, &[])?;
    let text =
        |name: &'static str| answer.text(name).ok_or_else(|| OAuthError::protocol(format!("the answer has no {name}")));
    let seconds = |name: &str, usual: f64, most: f64| {
        Duration::from_secs_f64(answer.number(name).filter(|s| *s >= 0.0).unwrap_or(usual).clamp(1.0, most))
    };
    Ok(DeviceCode {
        code: answer.required("device_code")?,
        user_code: crate::login::shown(text("user_code")?),
        verification_uri: text("verification_uri")?.to_owned(),
        life: seconds("expires_in", 900.0, LONGEST_S),
        interval: seconds("interval", 5.0, LONGEST_S),
    })
}

pub(crate) fn poll(code: &DeviceCode, endpoints: &Endpoints) -> HttpRequest {
    HttpRequest::form(
        endpoints.url(TOKEN),
        &[("client_id", CLIENT_ID), ("device_code", code.code.reveal()), ("grant_type", GRANT)],
    )
}

/// What one question about a device code brought.
#[derive(Debug)]
pub(crate) enum Polled {
    /// The user has not decided.
    Pending,
    /// Ask less often.
    SlowDown,
    /// The login.
    Done(Box<Login>),
}

pub(crate) fn polled(code: &DeviceCode, response: &HttpResponse) -> Result<Polled, OAuthError> {
    let refused = |message: String| Err(OAuthError::new(OAuthErrorKind::Refused, message));
    // GitHub says no with a status of success; others of the kind use 400.
    let body: Value = serde_json::from_str(response.body.reveal()).unwrap_or_default();
    // A server that is in trouble says nothing about the code, whatever its body says.
    let in_trouble = response.status >= 500;
    match body.get("error").and_then(Value::as_str) {
        Some("authorization_pending") => return Ok(Polled::Pending),
        Some("slow_down") => return Ok(Polled::SlowDown),
        _ if in_trouble => {}
        Some("expired_token") => return refused(EXPIRED.to_owned()),
        Some("access_denied") => return refused("GitHub login cancelled".to_owned()),
        Some(code) => return refused(format!("GitHub device flow error: {}", crate::login::shown(code))),
        None => {}
    }
    let answer = Answer::read(response, &[&code.code])?;
    let token = answer.required("access_token")?;
    let mut login = Login::new(PROVIDER, CredentialKind::Token, "github");
    login.fields.push(("token", Value::from(token.reveal())));
    login.default_model = auth_core::provider::find(PROVIDER).and_then(|info| info.default_model);
    Ok(Polled::Done(Box::new(login)))
}

/// What is said when nobody typed the code in time.
pub(crate) const EXPIRED: &str = "GitHub device code expired; run login again";

/// The request that exchanges a GitHub token for one that Copilot takes.
pub(crate) fn exchange(
    github: &Secret,
    enterprise: Option<&str>,
    endpoints: &Endpoints,
) -> Result<HttpRequest, OAuthError> {
    let host = match enterprise {
        None => "github.com".to_owned(),
        Some(text) => {
            let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
            let parsed = Url::parse(&url).ok().filter(|url| url.scheme() == "https" && url.username().is_empty());
            parsed
                .and_then(|url| url.host_str().map(str::to_owned))
                .ok_or_else(|| OAuthError::protocol("enterpriseUrl of the profile is no https address"))?
        }
    };
    let url = endpoints.url(&format!("https://api.{host}/copilot_internal/v2/token"));
    Ok(HttpRequest::get(url)
        .bearer(github)
        .header("editor-version", USER_AGENT)
        .header("user-agent", USER_AGENT)
        .header("x-github-api-version", API_VERSION))
}

/// A token that requests to Copilot are made with.
#[derive(Clone, Debug)]
pub struct CopilotToken {
    /// The token.
    pub token: Secret,
    /// When it ends, in milliseconds since the epoch.
    pub expires_ms: f64,
    /// The base of requests.
    pub base_url: String,
}

pub(crate) fn exchanged(response: &HttpResponse, sent: &[&Secret]) -> Result<CopilotToken, OAuthError> {
    let answer = Answer::read(response, sent).map_err(|error| match error.status {
        Some(status) => OAuthError { message: format!("Copilot token exchange failed: HTTP {status}"), ..error },
        None => error,
    })?;
    let token = answer.required("token")?;
    let expires = answer.number("expires_at").filter(|at| *at > 0.0);
    let expires = expires.ok_or_else(|| OAuthError::protocol("the answer has no expires_at"))?;
    let expires_ms = if expires < 1e11 { expires * 1000.0 } else { expires };
    Ok(CopilotToken { base_url: base_url(&token)?, token, expires_ms })
}

/// The base of requests that a token names.
fn base_url(token: &Secret) -> Result<String, OAuthError> {
    let named = token.reveal().split(';').find_map(|part| part.trim().strip_prefix("proxy-ep="));
    let Some(named) = named.map(str::trim).filter(|named| !named.is_empty()) else { return Ok(API.to_owned()) };
    let url = if named.contains("://") { named.to_owned() } else { format!("https://{named}") };
    // Read as the client that sends the request will read it.
    let host = Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let host = host.strip_prefix("proxy.").map_or_else(|| host.clone(), |rest| format!("api.{rest}"));
    let known = [".githubcopilot.com", ".ghe.com"].iter().any(|end| host.len() > end.len() && host.ends_with(end));
    if known {
        return Ok(format!("https://{host}"));
    }
    Err(OAuthError::protocol("the Copilot token names a host that is none of GitHub"))
}

pub(super) fn renewed(response: &HttpResponse, sent: &[&Secret]) -> Result<Renewed, OAuthError> {
    let token = exchanged(response, sent)?;
    Ok(Renewed { access: token.token, refresh: None, expires_ms: token.expires_ms - EARLY_MS, fields: Vec::new() })
}

/// The file that keeps the last token of Copilot.
pub const COPILOT_CACHE: &str = "github-copilot.token.json";

/// Names the GitHub token that a cached token belongs to.
fn source_hash(github: &Secret) -> String {
    crate::pkce::hex(&Sha256::digest(github.reveal().as_bytes()))[..16].to_owned()
}

/// The token in a cache file, if it belongs to this GitHub token and holds for five more minutes.
pub(crate) fn cached(text: &str, github: &Secret, now_ms: i64) -> Option<CopilotToken> {
    let cache: Value = serde_json::from_str(text).ok()?;
    let ours = cache.get("sourceHash").and_then(Value::as_str) == Some(&source_hash(github));
    let expires_ms = cache.get("expiresAt")?.as_f64()?;
    let holds = expires_ms - super::ms(now_ms) > EARLY_MS;
    let token = Secret::new(cache.get("token")?.as_str()?).cleaned()?;
    (ours && holds).then_some(())?;
    Some(CopilotToken { base_url: base_url(&token).ok()?, token, expires_ms })
}

/// The content of the cache file.
pub(crate) fn cache_text(token: &CopilotToken, github: &Secret, now_ms: i64) -> Secret {
    let cache = json!({
        "token": token.token.reveal(),
        "expiresAt": super::number(token.expires_ms),
        "updatedAt": now_ms,
        "sourceHash": source_hash(github),
    });
    Secret::new(format!("{cache:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_github_only() {
        let base = |token: &str| base_url(&Secret::new(token)).ok();
        assert_eq!(base("tid=1;exp=2"), Some(API.to_owned()));
        assert_eq!(
            base("tid=1;proxy-ep=proxy.business.githubcopilot.com;x=1").as_deref(),
            Some("https://api.business.githubcopilot.com")
        );
        assert_eq!(base("proxy-ep=https://proxy.corp.ghe.com").as_deref(), Some("https://api.corp.ghe.com"));
        assert_eq!(base("proxy-ep=proxy.evil.test"), None);
        assert_eq!(base("proxy-ep=evilgithubcopilot.com"), None);
        for odd in
            [r"evil.test\.ghe.com", "evil.test#.ghe.com", "evil.test?.ghe.com", "x@evil.test/.ghe.com", ".ghe.com"]
        {
            assert_eq!(base(&format!("proxy-ep={odd}")), None, "{odd}");
        }
    }

    #[test]
    fn a_cache_belongs_to_one_account_and_ends_early() {
        let github = Secret::new("gho_test_1");
        let token = CopilotToken { token: Secret::new("tid=1"), expires_ms: 1_000_000.0, base_url: API.to_owned() };
        let text = cache_text(&token, &github, 5);
        assert!(cached(text.reveal(), &github, 600_000).is_some());
        assert!(cached(text.reveal(), &github, 700_000).is_none(), "less than five minutes left");
        assert!(cached(text.reveal(), &Secret::new("gho_test_2"), 0).is_none(), "another account");
        assert!(cached(r#"{"token":"t","expiresAt":9e15}"#, &github, 0).is_none(), "nobody's");
    }

    #[test]
    fn the_enterprise_host_is_asked() {
        let endpoints = Endpoints::default();
        let url = |enterprise: Option<&str>| exchange(&Secret::new("t"), enterprise, &endpoints).map(|r| r.url).ok();
        assert_eq!(url(None).as_deref(), Some("https://api.github.com/copilot_internal/v2/token"));
        assert_eq!(url(Some("corp.ghe.com")).as_deref(), Some("https://api.corp.ghe.com/copilot_internal/v2/token"));
        assert_eq!(url(Some("http://corp.ghe.com")), None);
    }

    #[test]
    fn every_answer_of_github_is_understood() {
        let code = DeviceCode {
            user_code: String::new(),
            verification_uri: String::new(),
            life: Duration::ZERO,
            interval: Duration::ZERO,
            code: Secret::new("d"),
        };
        let ask = |body: &str| polled(&code, &HttpResponse { status: 200, body: Secret::new(body) });
        assert!(matches!(ask(r#"{"error":"authorization_pending"}"#), Ok(Polled::Pending)));
        assert!(matches!(ask(r#"{"error":"slow_down"}"#), Ok(Polled::SlowDown)));
        assert!(matches!(ask(r#"{"access_token":"gho_x"}"#), Ok(Polled::Done(_))));
        for (error, text) in [
            ("expired_token", EXPIRED),
            ("access_denied", "GitHub login cancelled"),
            ("odd", "GitHub device flow error: odd"),
        ] {
            assert_eq!(ask(&format!(r#"{{"error":"{error}"}}"#)).unwrap_err().message, text);
        }
    }
}
