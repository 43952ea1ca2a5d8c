//! What each provider wants: its endpoints, its fields, its idea of time (spec 04 section 6).

pub(crate) mod anthropic;
pub(crate) mod chutes;
pub(crate) mod codex;
pub(crate) mod copilot;
pub(crate) mod google;
pub(crate) mod minimax;

use auth_core::{Environment, Secret};
use auth_store::Host;
use serde_json::Value;

use crate::endpoints::Endpoints;
use crate::entry::LoginEntry;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::transport::{HttpRequest, HttpResponse};

/// Five minutes, which some providers' tokens are taken to end early, in milliseconds.
pub(crate) const EARLY_MS: f64 = 300_000.0;

/// What the requests of a provider depend on beside the login itself.
#[derive(Clone, Copy)]
pub struct ProviderSettings<'a> {
    /// The variables, for clients that the user brings.
    pub environment: &'a Environment,
    /// The machine, to find an installed Gemini CLI.
    pub host: &'a dyn Host,
    /// Where the fixed hosts are.
    pub endpoints: &'a Endpoints,
    /// `models.providers.minimax-portal.baseUrl`, which tells the region.
    pub minimax_base_url: Option<&'a str>,
}

impl std::fmt::Debug for ProviderSettings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProviderSettings").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// What a refresh brought.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// The new access token.
    pub access: Secret,
    /// The new refresh token; the old one stays when there is none.
    pub refresh: Option<Secret>,
    /// When the access token ends, in milliseconds since the epoch.
    pub expires_ms: f64,
    /// Further fields of the profile that the answer told.
    pub fields: Vec<(&'static str, Value)>,
}

/// A provider whose logins can be refreshed (spec 04 section 7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refreshable {
    /// `openai-codex`.
    Codex,
    /// `anthropic`, logins of earlier versions only.
    Anthropic,
    /// `google-gemini-cli`.
    Gemini,
    /// `google-antigravity`, logins of earlier versions only.
    Antigravity,
    /// `github-copilot`, logins of earlier versions only.
    Copilot,
    /// `chutes`.
    Chutes,
    /// `minimax-portal`.
    MiniMax,
}

impl Refreshable {
    /// The way to refresh the logins of a provider, given in normal form.
    pub fn of(provider: &str) -> Option<Self> {
        match provider {
            "openai-codex" => Some(Self::Codex),
            "anthropic" => Some(Self::Anthropic),
            "google-gemini-cli" => Some(Self::Gemini),
            "google-antigravity" => Some(Self::Antigravity),
            "github-copilot" => Some(Self::Copilot),
            "chutes" => Some(Self::Chutes),
            "minimax-portal" => Some(Self::MiniMax),
            _ => None,
        }
    }

    /// The provider.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Codex => codex::PROVIDER,
            Self::Anthropic => "anthropic",
            Self::Gemini => google::PROVIDER,
            Self::Antigravity => "google-antigravity",
            Self::Copilot => copilot::PROVIDER,
            Self::Chutes => chutes::PROVIDER,
            Self::MiniMax => minimax::PROVIDER,
        }
    }

    /// The secret of the user's own client that the request holds.
    pub(crate) fn client_secret(self, settings: ProviderSettings<'_>) -> Option<Secret> {
        match self {
            Self::Gemini | Self::Antigravity => google::client_of(self, settings).ok()?.secret,
            Self::Chutes => chutes::client_secret(settings.environment),
            Self::Codex | Self::Anthropic | Self::Copilot | Self::MiniMax => None,
        }
    }

    /// The request that refreshes a login.
    ///
    /// # Errors
    ///
    /// When the login lacks something that the request needs.
    pub fn request(self, entry: &LoginEntry, settings: ProviderSettings<'_>) -> Result<HttpRequest, OAuthError> {
        let refresh = entry
            .refresh
            .as_ref()
            .ok_or_else(|| OAuthError::new(OAuthErrorKind::NotOurs, "the login has no refresh token"))?;
        let mut request = match self {
            Self::Codex => codex::refresh(refresh, settings.endpoints),
            Self::Anthropic => anthropic::refresh(refresh, settings.endpoints),
            Self::Gemini | Self::Antigravity => google::refresh(self, refresh, settings)?,
            Self::Copilot => copilot::exchange(refresh, entry.enterprise_url.as_deref(), settings.endpoints)?,
            Self::Chutes => chutes::refresh(refresh, entry.client_id.as_deref(), settings)?,
            Self::MiniMax => minimax::refresh(refresh, settings),
        };
        request.must_finish = true;
        Ok(request)
    }

    /// What the answer to that request brings.
    ///
    /// # Errors
    ///
    /// When the provider refuses, or the answer lacks something.
    pub fn read(self, entry: &LoginEntry, response: &HttpResponse, now_ms: i64) -> Result<Renewed, OAuthError> {
        let sent: Vec<&Secret> = entry.refresh.iter().chain(&entry.access).collect();
        match self {
            Self::Codex => codex::renewed(response, &sent, now_ms),
            Self::Anthropic => anthropic::renewed(response, &sent, now_ms),
            Self::Gemini | Self::Antigravity => google::renewed(response, &sent, now_ms),
            Self::Copilot => copilot::renewed(response, &sent),
            Self::Chutes => chutes::renewed(response, &sent, now_ms),
            Self::MiniMax => minimax::renewed(response, &sent, now_ms),
        }
    }
}

/// Milliseconds since the epoch as a number that JavaScript would hold.
#[expect(clippy::cast_precision_loss, reason = "a date is far below 2^53")]
pub(crate) fn ms(now_ms: i64) -> f64 {
    now_ms as f64
}

/// A number for a file: whole ones without a fraction.
pub(crate) fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::from(value as i64) } else { Value::from(value) }
}
