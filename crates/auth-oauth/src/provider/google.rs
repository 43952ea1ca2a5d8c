//! Google: the login of the Gemini CLI, and logins of Antigravity from earlier versions (spec 04 section 6.3).

use std::time::Duration;

use auth_core::{CredentialKind, Environment, Secret};
use serde_json::{Value, json};

use super::{EARLY_MS, ProviderSettings, Refreshable, Renewed, ms};
use crate::answer::Answer;
use crate::code_flow::OAuthClient;
use crate::endpoints::Endpoints;
use crate::error::{OAuthError, OAuthErrorKind};
use crate::gemini_cli::client_of_installed;
use crate::login::Login;
use crate::transport::{HttpRequest, HttpResponse, Transport, TransportError};

pub(crate) const PROVIDER: &str = "google-gemini-cli";
pub(crate) const AUTHORIZE: &str = "https://accounts.google.com/o/oauth2/v2/auth";
pub(crate) const TOKEN: &str = "https://oauth2.googleapis.com/token";
pub(crate) const REDIRECT: &str = "http://localhost:8085/oauth2callback";
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile";
const USER_INFO: &str = "https://www.googleapis.com/oauth2/v1/userinfo?alt=json";
const CODE_ASSIST: &str = "https://cloudcode-pa.googleapis.com/v1internal";
/// How often the set-up of an account is asked for, and the pause between.
const SETUP_TRIES: u32 = 24;
const SETUP_PAUSE: Duration = Duration::from_secs(5);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

const GEMINI_CLIENTS: &[(&str, &str)] = &[
    ("OPENCLAW_GEMINI_OAUTH_CLIENT_ID", "OPENCLAW_GEMINI_OAUTH_CLIENT_SECRET"),
    ("GEMINI_CLI_OAUTH_CLIENT_ID", "GEMINI_CLI_OAUTH_CLIENT_SECRET"),
];
const ANTIGRAVITY_CLIENTS: &[(&str, &str)] =
    &[("OPENCLAW_ANTIGRAVITY_OAUTH_CLIENT_ID", "OPENCLAW_ANTIGRAVITY_OAUTH_CLIENT_SECRET")];

/// The client that variables name.
fn client_of_variables(environment: &Environment, names: &[(&str, &str)]) -> Option<OAuthClient> {
    names.iter().find_map(|(id, secret)| {
        let id = environment.non_blank(id)?.trim().to_owned();
        Some(OAuthClient { id, secret: environment.credential(secret).map(|(secret, _)| secret) })
    })
}

/// The client of the Gemini CLI: from variables, else from an installed one. We bring none of our own.
pub(crate) fn gemini_client(settings: ProviderSettings<'_>) -> Result<OAuthClient, OAuthError> {
    client_of_variables(settings.environment, GEMINI_CLIENTS)
        .or_else(|| client_of_installed(settings.environment, settings.host))
        .ok_or_else(|| {
            OAuthError::protocol(
                "Gemini CLI not found. Install it first (npm install -g @google/gemini-cli), or set GEMINI_CLI_OAUTH_CLIENT_ID.",
            )
        })
}

/// The client that a login is refreshed with.
pub(super) fn client_of(which: Refreshable, settings: ProviderSettings<'_>) -> Result<OAuthClient, OAuthError> {
    if which != Refreshable::Antigravity {
        return gemini_client(settings);
    }
    client_of_variables(settings.environment, ANTIGRAVITY_CLIENTS).ok_or_else(|| {
        OAuthError::new(
            OAuthErrorKind::NotOurs,
            "re-authenticate: OPENCLAW_ANTIGRAVITY_OAUTH_CLIENT_ID is not set, and this login is of an earlier version",
        )
    })
}

pub(super) fn refresh(
    which: Refreshable,
    refresh: &Secret,
    settings: ProviderSettings<'_>,
) -> Result<HttpRequest, OAuthError> {
    let client = client_of(which, settings)?;
    let mut fields =
        vec![("client_id", client.id.as_str()), ("refresh_token", refresh.reveal()), ("grant_type", "refresh_token")];
    fields.extend(client.secret.as_ref().map(|secret| ("client_secret", secret.reveal())));
    Ok(HttpRequest::form(settings.endpoints.url(TOKEN), &fields))
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

/// What the exchange of a code brings.
pub(crate) fn login(response: &HttpResponse, sent: &[&Secret], now_ms: i64) -> Result<(Login, Secret), OAuthError> {
    let answer = Answer::read(response, sent)?;
    let access = answer.required("access_token")?;
    let refresh = answer
        .secret("refresh_token")
        .ok_or_else(|| OAuthError::protocol("No refresh token received. Please try again."))?;
    let mut login = Login::new(PROVIDER, CredentialKind::OAuth, "default");
    login.tokens(&access, Some(&refresh), ms(now_ms) + answer.life_ms()? - EARLY_MS);
    login.default_model = auth_core::provider::find(PROVIDER).and_then(|info| info.default_model);
    Ok((login, access))
}

/// Labels a login with the e-mail address of its account. Failing to is no failure of the login; only the user can end
/// it here.
pub(crate) fn label(
    login: &mut Login,
    access: &Secret,
    endpoints: &Endpoints,
    net: &dyn Transport,
) -> Result<(), OAuthError> {
    let request = HttpRequest::get(endpoints.url(USER_INFO)).bearer(access);
    let response = match net.send(&request, TIMEOUT) {
        Ok(response) => response,
        Err(TransportError::Cancelled) => return Err(TransportError::Cancelled.into()),
        Err(_) => return Ok(()),
    };
    let info = Answer::read(&response, &[access]).ok();
    if let Some(email) = info.as_ref().and_then(|info| info.text("email")).and_then(crate::login::label) {
        login.rename(&email);
        login.email = Some(email);
    }
    Ok(())
}

/// The Google Cloud project that requests of this login are made in.
pub(crate) fn project(
    access: &Secret,
    environment: &Environment,
    endpoints: &Endpoints,
    net: &dyn Transport,
) -> Result<String, OAuthError> {
    let own = ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_PROJECT_ID"]
        .iter()
        .find_map(|name| environment.non_blank(name))
        .map(|text| text.trim().to_owned());
    let metadata = json!({"pluginType": "GEMINI"});
    let ask = |method: &str, body: &Value| {
        let request = HttpRequest::json(endpoints.url(&format!("{CODE_ASSIST}:{method}")), body).bearer(access);
        Answer::read(&net.send(&request, TIMEOUT)?, &[access])
    };
    let mut load = json!({"metadata": metadata.clone()});
    if let Some(own) = &own {
        load["cloudaicompanionProject"] = Value::from(own.as_str());
    }
    let loaded = ask("loadCodeAssist", &load).or_else(|error| match (&own, error.kind) {
        (_, OAuthErrorKind::Cancelled) | (None, _) => Err(error),
        // The account works in a project of its owner's choice, whatever this service says.
        (Some(_), _) => Answer::read(&HttpResponse { status: 200, body: Secret::new("{\"currentTier\":{}}") }, &[]),
    })?;
    let id_of = |value: &Value| value.as_str().or_else(|| value.get("id")?.as_str()).map(str::to_owned);
    let project_of = |answer: &Answer| answer.get("cloudaicompanionProject").and_then(id_of);
    if loaded.get("currentTier").is_some_and(Value::is_object) {
        return project_of(&loaded).or(own).ok_or_else(no_project);
    }
    let tiers = loaded.get("allowedTiers").and_then(Value::as_array);
    let usual = tiers.into_iter().flatten().find(|tier| tier.get("isDefault") == Some(&Value::Bool(true)));
    let tier = usual.and_then(|tier| tier.get("id")?.as_str()).unwrap_or("free-tier").to_owned();
    let mut onboard = json!({"tierId": tier, "metadata": metadata});
    if let Some(own) = own.as_ref().filter(|_| tier != "free-tier") {
        onboard["cloudaicompanionProject"] = Value::from(own.as_str());
    }
    for attempt in 0..SETUP_TRIES {
        if attempt > 0 {
            net.wait(SETUP_PAUSE)?;
        }
        let answer = ask("onboardUser", &onboard)?;
        if answer.get("done") == Some(&Value::Bool(true)) {
            let made = answer.get("response").and_then(|made| made.get("cloudaicompanionProject")).and_then(id_of);
            return made.or(own).ok_or_else(no_project);
        }
    }
    Err(OAuthError::new(OAuthErrorKind::Unavailable, "Google did not finish setting up the account; try again later"))
}

fn no_project() -> OAuthError {
    OAuthError::protocol("Google names no project for this account. Set GOOGLE_CLOUD_PROJECT and log in again.")
}
