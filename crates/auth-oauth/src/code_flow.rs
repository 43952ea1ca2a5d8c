//! Signing in with a code: the address for the browser, what comes back, the exchange (spec 04 sections 5 and 6).

use std::path::Path;
use std::time::Duration;

use auth_core::Secret;
use url::Url;

use crate::error::OAuthError;
use crate::login::Login;
use crate::pasted::{self, Expected, Pasted};
use crate::pkce::{Spelling, challenge, random};
use crate::provider::{ProviderSettings, chutes, codex, google};
use crate::transport::{HttpRequest, Transport, TransportError};

/// How long one request of a login may take.
pub(crate) const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// An OAuth client.
#[derive(Clone, Debug)]
pub struct OAuthClient {
    /// Its id.
    pub id: String,
    /// Its secret, where it has one.
    pub secret: Option<Secret>,
}

/// A provider that is signed in to in the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeProvider {
    /// OpenAI Codex (ChatGPT).
    Codex,
    /// The Gemini CLI's login at Google.
    Gemini,
    /// Chutes.
    Chutes,
}

/// A sign-in under way.
#[derive(Debug)]
pub struct CodeFlow {
    provider: CodeProvider,
    client: OAuthClient,
    redirect: String,
    verifier: Secret,
    state: Secret,
    address: String,
}

impl CodeProvider {
    /// The client that signs in, when one is known without asking.
    ///
    /// # Errors
    ///
    /// When the provider needs one that is installed or named by a variable, and there is none. For Chutes the user may
    /// be asked for its id.
    pub fn client(self, settings: ProviderSettings<'_>) -> Result<OAuthClient, OAuthError> {
        match self {
            Self::Codex => Ok(OAuthClient { id: codex::CLIENT_ID.to_owned(), secret: None }),
            Self::Gemini => google::gemini_client(settings),
            Self::Chutes => {
                let id = settings.environment.non_blank(chutes::CLIENT_ID_VARIABLE).map(str::trim);
                let id =
                    id.ok_or_else(|| OAuthError::protocol("Set CHUTES_CLIENT_ID to the id of your Chutes app."))?;
                Ok(Self::chutes_client(id, settings))
            }
        }
    }

    /// The client of Chutes with this id.
    pub fn chutes_client(id: &str, settings: ProviderSettings<'_>) -> OAuthClient {
        OAuthClient { id: id.to_owned(), secret: chutes::client_secret(settings.environment) }
    }

    /// How long the browser is waited for.
    pub fn patience(self) -> Duration {
        match self {
            Self::Codex | Self::Gemini => Duration::from_secs(300),
            Self::Chutes => Duration::from_secs(180),
        }
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    ///
    /// When the redirect address is none of this machine, or there are no random numbers.
    pub fn begin(self, client: OAuthClient, settings: ProviderSettings<'_>) -> Result<CodeFlow, OAuthError> {
        let (verifier, state) = match self {
            Self::Codex => (random(32, Spelling::Base64Url)?, random(16, Spelling::Hex)?),
            Self::Gemini | Self::Chutes => (random(32, Spelling::Hex)?, random(32, Spelling::Hex)?),
        };
        let (authorize, redirect, scope) = match self {
            Self::Codex => (codex::AUTHORIZE, codex::REDIRECT.to_owned(), codex::SCOPE.to_owned()),
            Self::Gemini => (google::AUTHORIZE, google::REDIRECT.to_owned(), google::SCOPE.to_owned()),
            Self::Chutes => {
                (chutes::AUTHORIZE, chutes::redirect(settings.environment)?, chutes::scopes(settings.environment))
            }
        };
        let mut fields = vec![
            ("response_type", "code".to_owned()),
            ("client_id", client.id.clone()),
            ("redirect_uri", redirect.clone()),
            ("scope", scope),
            ("code_challenge", challenge(&verifier)),
            ("code_challenge_method", "S256".to_owned()),
            ("state", state.reveal().to_owned()),
        ];
        let more: &[(&str, &str)] = match self {
            Self::Codex => &[
                ("id_token_add_organizations", "true"),
                ("codex_cli_simplified_flow", "true"),
                ("originator", "openclaw"),
            ],
            Self::Gemini => &[("access_type", "offline"), ("prompt", "consent")],
            Self::Chutes => &[],
        };
        fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let address = Url::parse_with_params(authorize, &fields)
            .map_err(|_| OAuthError::protocol("the address to sign in at cannot be made"))?;
        Ok(CodeFlow { provider: self, client, redirect, verifier, state, address: address.into() })
    }
}

impl CodeFlow {
    /// The address to open in the browser. It holds the state, and no secret that could be used alone.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where the browser comes back to.
    pub fn redirect(&self) -> &str {
        &self.redirect
    }

    /// What the browser has to bring back.
    pub(crate) fn state(&self) -> &Secret {
        &self.state
    }

    /// Reads what was pasted, in any form in which it comes.
    ///
    /// # Errors
    ///
    /// When it tells that the login failed or belongs to somebody else.
    pub fn read_pasted(&self, text: &str) -> Result<Pasted, OAuthError> {
        let mismatch = match self.provider {
            CodeProvider::Codex => "State mismatch",
            CodeProvider::Gemini | CodeProvider::Chutes => {
                "OAuth state mismatch - the pasted address belongs to another login. Run the login again."
            }
        };
        let bare_code = self.provider == CodeProvider::Codex;
        pasted::read(text, Expected { state: &self.state, bare_code, mismatch })
    }

    /// Exchanges the code. `home` is where the settings of the Gemini CLI are.
    ///
    /// # Errors
    ///
    /// When the provider refuses, or the answer lacks something. Nothing is stored in either case.
    pub fn exchange(
        &self,
        code: &Secret,
        settings: ProviderSettings<'_>,
        home: &Path,
        net: &dyn Transport,
    ) -> Result<Login, OAuthError> {
        let token = match self.provider {
            CodeProvider::Codex => codex::TOKEN,
            CodeProvider::Gemini => google::TOKEN,
            CodeProvider::Chutes => chutes::TOKEN,
        };
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", self.client.id.as_str()),
            ("code", code.reveal()),
            ("code_verifier", self.verifier.reveal()),
            ("redirect_uri", self.redirect.as_str()),
        ];
        fields.extend(self.client.secret.as_ref().map(|secret| ("client_secret", secret.reveal())));
        let request = HttpRequest::form(settings.endpoints.url(token), &fields);
        let timeout = if self.provider == CodeProvider::Gemini { google::TIMEOUT } else { LOGIN_TIMEOUT };
        let response = net.send(&request, timeout)?;
        let sent: Vec<&Secret> = [code, &self.verifier].into_iter().chain(&self.client.secret).collect();
        let now = net.now_ms();
        match self.provider {
            CodeProvider::Codex => codex::login(&response, &sent, now),
            CodeProvider::Gemini => {
                let (mut login, access) = google::login(&response, &sent, now)?;
                google::label(&mut login, &access, settings.endpoints, net)?;
                if !crate::gemini_cli::is_personal(settings.environment, home, settings.host) {
                    let project = google::project(&access, settings.environment, settings.endpoints, net)?;
                    login.field("projectId", project);
                }
                Ok(login)
            }
            CodeProvider::Chutes => {
                let (mut login, access) = chutes::login(&response, &sent, now, &self.client.id)?;
                let request = chutes::user_info(&access, settings.endpoints);
                match net.send(&request, LOGIN_TIMEOUT) {
                    Ok(info) => chutes::label(&mut login, &info),
                    Err(TransportError::Cancelled) => return Err(TransportError::Cancelled.into()),
                    Err(_) => {}
                }
                login.default_model = auth_core::provider::find(chutes::PROVIDER).and_then(|info| info.default_model);
                Ok(login)
            }
        }
    }
}
