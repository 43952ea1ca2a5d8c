//! Anthropic logins of earlier versions: refreshed, never begun here (spec 04 section 6.6).

use auth_core::Secret;
use serde_json::json;

use super::{EARLY_MS, Renewed, ms};
use crate::answer::Answer;
use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::transport::{HttpRequest, HttpResponse};

const CLIENT_ID: &str = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
const TOKEN: &str = "https://platform.claude.com/v1/oauth/token";

pub(super) fn refresh(refresh: &Secret, endpoints: &Endpoints) -> HttpRequest {
    HttpRequest::json(
        endpoints.url(TOKEN),
        &json!({"grant_type": "refresh_token", "client_id": CLIENT_ID, "refresh_token": refresh.reveal()}),
    )
}

pub(super) fn renewed(response: &HttpResponse, sent: &[&Secret], now_ms: i64) -> Result<Renewed, OAuthError> {
    let answer = Answer::read(response, sent)?;
    Ok(Renewed {
        access: answer.required("access_token")?,
        refresh: answer.secret("refresh_token"),
        expires_ms: ms(now_ms) + answer.life_ms()? - EARLY_MS,
        fields: Vec::new(),
    })
}
