//! Taking over the login of another program, once and on request (spec 04 section 1.8). Its file is read, never written.

use std::path::PathBuf;

use auth_core::{CredentialKind, Environment, Secret};
use auth_store::{Host, StateLayout};
use serde_json::Value;

use crate::claims::Claims;
use crate::login::Login;
use crate::provider::{codex, google};

const MAX_FILE: u64 = 1024 * 1024;

/// A program whose login can be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignCli {
    /// The Codex CLI.
    Codex,
    /// The Gemini CLI.
    Gemini,
}

/// Why there is nothing to take over.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is no file.
    #[error("{} is not there: the {program} is not signed in on this machine", path.display())]
    NotThere {
        /// The file.
        path: PathBuf,
        /// The program.
        program: &'static str,
    },
    /// The file has no login.
    #[error("{} holds no login that can be used: {why}", path.display())]
    NoLogin {
        /// The file.
        path: PathBuf,
        /// What is missing; holds no text of the file.
        why: String,
    },
}

/// A login that was read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The login.
    pub login: Login,
    /// The file that it came from.
    pub path: PathBuf,
    /// Whether the refresh token was taken too.
    pub took_refresh: bool,
}

impl ForeignCli {
    /// Its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Codex => "Codex CLI",
            Self::Gemini => "Gemini CLI",
        }
    }

    /// The file of its login.
    pub fn path(self, environment: &Environment, layout: &StateLayout) -> PathBuf {
        match self {
            Self::Codex => match environment.non_blank("CODEX_HOME") {
                Some(dir) => layout.user_path(dir).join("auth.json"),
                None => layout.home().join(".codex/auth.json"),
            },
            Self::Gemini => layout.home().join(".gemini/oauth_creds.json"),
        }
    }

    /// Reads its login. Without `take_over` the refresh token stays where it is, and the profile says who renews it.
    ///
    /// # Errors
    ///
    /// When there is no file, or no login in it.
    pub fn read(
        self,
        environment: &Environment,
        layout: &StateLayout,
        host: &dyn Host,
        take_over: bool,
    ) -> Result<Imported, ImportError> {
        let path = self.path(environment, layout);
        let no_login = |why: &str| ImportError::NoLogin { path: path.clone(), why: why.to_owned() };
        let bytes = match host.read(&path, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ImportError::NotThere { path, program: self.label() });
            }
            Err(error) => return Err(no_login(&error.to_string())),
        };
        let file: Value = serde_json::from_slice(&bytes)
            .map_err(|error| no_login(&format!("it is no JSON (line {}, column {})", error.line(), error.column())))?;
        let text =
            |place: &str| file.pointer(place).and_then(Value::as_str).and_then(|text| Secret::new(text).cleaned());
        let (access, refresh) = match self {
            Self::Codex => (text("/tokens/access_token"), text("/tokens/refresh_token")),
            Self::Gemini => (text("/access_token"), text("/refresh_token")),
        };
        let access = access.ok_or_else(|| no_login("there is no access token"))?;
        if take_over && refresh.is_none() {
            return Err(no_login("there is no refresh token to take over"));
        }
        let refresh = refresh.filter(|_| take_over);
        let claims = Claims::of(access.reveal()).unwrap_or_default();
        let expires = match self {
            Self::Codex => claims.expires_ms().map(crate::provider::ms),
            Self::Gemini => file.get("expiry_date").and_then(Value::as_f64).filter(|at| at.is_finite() && *at > 0.0),
        };
        let expires = expires.ok_or_else(|| no_login("it does not say when the access token ends"))?;
        let mut login = match self {
            Self::Codex => Login::new(codex::PROVIDER, CredentialKind::OAuth, &claims.profile_name()),
            Self::Gemini => Login::new(google::PROVIDER, CredentialKind::OAuth, "default"),
        };
        login.tokens(&access, refresh.as_ref(), expires);
        if self == Self::Codex {
            login.email = claims.email();
            let account = text("/tokens/account_id").map(|id| id.reveal().to_owned()).or_else(|| claims.account_id());
            if let Some(account) = account.as_deref().and_then(crate::login::label) {
                login.field("accountId", account);
            }
        }
        if !take_over {
            login.field("managedBy", format!("{}-cli", self.name()));
        }
        Ok(Imported { login, path, took_refresh: take_over })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Gemini => "gemini",
        }
    }
}
