//! OpenAI Codex: a ChatGPT login (spec 04 section 6.1).

use auth_core::{CredentialKind, Secret};
use serde_json::Value;

use super::{Renewed, ms};
use crate::answer::Answer;
use crate::claims::Claims;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::login::Login;
use crate::transport::{HttpRequest, HttpResponse};

pub(crate) const PROVIDER: &str = "openai-codex";
pub(crate) const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";
pub(crate) const AUTHORIZE: &str = "https://auth.openai.com/oauth/authorize";
pub(crate) const TOKEN: &str = "https://auth.openai.com/oauth/token";
pub(crate) const REDIRECT: &str = "http://localhost:1455/auth/callback";
pub(crate) const SCOPE: &str = "openid profile email offline_access";

pub(super) fn refresh(refresh: &Secret, endpoints: &Endpoints) -> HttpRequest {
    HttpRequest::form(
        endpoints.url(TOKEN),
        &[("grant_type", "refresh_token"), ("refresh_token", refresh.reveal()), ("client_id", CLIENT_ID)],
    )
}

pub(super) fn renewed(response: &HttpResponse, sent: &[&Secret], now_ms: i64) -> Result<Renewed, OAuthError> {
    let answer = Answer::read(response, sent)?;
    let access = answer.required("access_token")?;
    let account = Claims::of(access.reveal()).and_then(|claims| claims.account_id());
    Ok(Renewed {
        refresh: Some(answer.required("refresh_token")?),
        expires_ms: ms(now_ms) + answer.life_ms()?,
        // A token without an account keeps the one that is known: the rotated refresh token must not be lost for it.
        fields: account.into_iter().map(|id| ("accountId", Value::from(id))).collect(),
        access,
    })
}

/// What the exchange of a code brings.
pub(crate) fn login(response: &HttpResponse, sent: &[&Secret], now_ms: i64) -> Result<Login, OAuthError> {
    let answer = Answer::read(response, sent)?;
    let access = answer.required("access_token")?;
    let refresh = answer.required("refresh_token")?;
    let expires = ms(now_ms) + answer.life_ms()?;
    let claims = Claims::of(access.reveal()).unwrap_or_default();
    let account = claims.account_id().ok_or_else(|| OAuthError::protocol("Failed to extract accountId from token"))?;
    let mut login = Login::new(PROVIDER, CredentialKind::OAuth, &claims.profile_name());
    login.tokens(&access, Some(&refresh), expires);
    login.email = claims.email();
    login.field("accountId", account);
    login.default_model = auth_core::provider::find(PROVIDER).and_then(|info| info.default_model);
    Ok(login)
}
