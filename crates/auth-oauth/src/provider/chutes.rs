//! Chutes: a login with a client that the user brings (spec 04 section 6.4).

use auth_core::{CredentialKind, Environment, Secret};
use serde_json::Value;
use url::{Host, Url};

use super::{EARLY_MS, ProviderSettings, Renewed, ms};
use crate::answer::Answer;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::login::Login;
use crate::transport::{HttpRequest, HttpResponse};

pub(crate) const PROVIDER: &str = "chutes";
pub(crate) const CLIENT_ID_VARIABLE: &str = "CHUTES_CLIENT_ID";
const CLIENT_SECRET_VARIABLE: &str = "CHUTES_CLIENT_SECRET";
pub(crate) const AUTHORIZE: &str = "https://api.chutes.ai/idp/authorize";
pub(crate) const TOKEN: &str = "https://api.chutes.ai/idp/token";
const USER_INFO: &str = "https://api.chutes.ai/idp/userinfo";
const REDIRECT: &str = "http://127.0.0.1:1456/oauth-callback";
const SCOPES: &str = "openid profile chutes:invoke";

/// `CHUTES_CLIENT_SECRET`.
pub(crate) fn client_secret(environment: &Environment) -> Option<Secret> {
    environment.credential(CLIENT_SECRET_VARIABLE).map(|(secret, _)| secret)
}

/// Where the browser comes back to, which must be this machine.
pub(crate) fn redirect(environment: &Environment) -> Result<String, OAuthError> {
    let text = environment.non_blank("CHUTES_OAUTH_REDIRECT_URI").map_or(REDIRECT, str::trim);
    let loopback = Url::parse(text).is_ok_and(|url| {
        let local = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        local && url.scheme() == "http" && url.username().is_empty() && url.password().is_none()
    });
    if loopback {
        return Ok(text.to_owned());
    }
    Err(OAuthError::protocol(
        "CHUTES_OAUTH_REDIRECT_URI must be an http address of this machine, such as http://127.0.0.1:1456/oauth-callback",
    ))
}

pub(crate) fn scopes(environment: &Environment) -> String {
    let given = environment.non_blank("CHUTES_OAUTH_SCOPES").map_or(SCOPES, str::trim);
    given.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn refresh(
    refresh: &Secret,
    client_id: Option<&str>,
    settings: ProviderSettings<'_>,
) -> Result<HttpRequest, OAuthError> {
    let from_environment = || settings.environment.non_blank(CLIENT_ID_VARIABLE).map(str::trim);
    let client_id = client_id.or_else(from_environment).ok_or_else(|| {
        OAuthError::protocol("Missing CHUTES_CLIENT_ID for Chutes OAuth refresh (set env var or re-auth).")
    })?;
    let mut fields =
        vec![("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", refresh.reveal())];
    let secret = client_secret(settings.environment);
    fields.extend(secret.as_ref().map(|secret| ("client_secret", secret.reveal())));
    Ok(HttpRequest::form(settings.endpoints.url(TOKEN), &fields))
}

/// The end of an access token: five minutes early, but not before it can be used.
fn expires(answer: &Answer, now_ms: i64) -> Result<f64, OAuthError> {
    let now = ms(now_ms);
    let life = (answer.life_ms()? / 1000.0).floor() * 1000.0;
    Ok((now + life - EARLY_MS).max(now + 30_000.0))
}

pub(super) fn renewed(response: &HttpResponse, sent: &[&Secret], now_ms: i64) -> Result<Renewed, OAuthError> {
    let answer = Answer::read(response, sent)?;
    Ok(Renewed {
        access: answer.required("access_token")?,
        refresh: answer.secret("refresh_token"),
        expires_ms: expires(&answer, now_ms)?,
        fields: Vec::new(),
    })
}

pub(crate) fn user_info(access: &Secret, endpoints: &Endpoints) -> HttpRequest {
    HttpRequest::get(endpoints.url(USER_INFO)).bearer(access)
}

/// What the exchange of a code brings; `info` is the answer of the user information, which may be missing.
pub(crate) fn login(
    response: &HttpResponse,
    sent: &[&Secret],
    now_ms: i64,
    client_id: &str,
) -> Result<(Login, Secret), OAuthError> {
    let answer = Answer::read(response, sent)?;
    let access = answer.required("access_token")?;
    let refresh = answer.required("refresh_token")?;
    let mut login = Login::new(PROVIDER, CredentialKind::OAuth, "default");
    login.tokens(&access, Some(&refresh), expires(&answer, now_ms)?);
    login.field("clientId", client_id);
    Ok((login, access))
}

/// Labels a login with what the user information says.
pub(crate) fn label(login: &mut Login, response: &HttpResponse) {
    let Ok(info) = Answer::read(response, &[]) else { return };
    if let Some(name) = info.text("username").and_then(crate::login::label) {
        login.rename(&name);
        login.email = Some(name);
    }
    if let Some(subject) = info.text("sub").and_then(crate::login::label) {
        login.fields.push(("accountId", Value::from(subject)));
    }
}
