//! What signing in brings: a profile, and what the config learns of it (spec 04 section 1.2).

use auth_core::{CredentialKind, ProfileId, Secret};
use serde_json::Value;

use crate::provider::number;

/// The longest label, in characters.
const MAX_LABEL: usize = 200;

/// A login that succeeded. Nothing is stored yet.
#[derive(Clone)]
pub struct Login {
    /// The provider.
    pub provider: &'static str,
    /// The id of the profile.
    pub profile_id: ProfileId,
    /// `oauth`, or `token` for a login that is never refreshed.
    pub kind: CredentialKind,
    /// The members of the profile beside `type` and `provider`, secrets among them.
    pub fields: Vec<(&'static str, Value)>,
    /// The account.
    pub email: Option<String>,
    /// When the access token ends, in milliseconds since the epoch.
    pub expires_ms: Option<f64>,
    /// A model to begin with.
    pub default_model: Option<&'static str>,
    /// What the config gets beside the profile, to be merged into it.
    pub config_patch: Option<Value>,
    /// What to tell.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The fields hold secrets.
        f.debug_struct("Login").field("profile_id", &self.profile_id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Login {
    pub(crate) fn new(provider: &'static str, kind: CredentialKind, name: &str) -> Self {
        Self {
            provider,
            profile_id: ProfileId::new(format!("{provider}:{name}")),
            kind,
            fields: Vec::new(),
            email: None,
            expires_ms: None,
            default_model: None,
            config_patch: None,
            notes: Vec::new(),
        }
    }

    /// Puts the tokens in.
    pub(crate) fn tokens(&mut self, access: &Secret, refresh: Option<&Secret>, expires_ms: f64) {
        self.fields.push(("access", Value::from(access.reveal())));
        self.fields.extend(refresh.map(|refresh| ("refresh", Value::from(refresh.reveal()))));
        self.fields.push(("expires", number(expires_ms)));
        self.expires_ms = Some(expires_ms);
    }

    pub(crate) fn field(&mut self, name: &'static str, text: impl Into<String>) {
        self.fields.push((name, Value::from(text.into())));
    }

    /// Names the profile after its account.
    pub(crate) fn rename(&mut self, name: &str) {
        self.profile_id = ProfileId::new(format!("{}:{name}", self.provider));
    }

    /// Every member of the profile, in the order in which it is written.
    pub fn members(&self) -> Vec<(&'static str, Value)> {
        let head = [("type", Value::from(self.kind.as_str())), ("provider", Value::from(self.provider))];
        let email = self.email.iter().map(|email| ("email", Value::from(email.as_str())));
        head.into_iter().chain(self.fields.iter().cloned()).chain(email).collect()
    }
}

/// A text of the other side that may become part of an id or a label.
pub(crate) fn label(text: &str) -> Option<String> {
    let good = !text.chars().any(char::is_control) && text.chars().count() <= MAX_LABEL;
    good.then(|| text.to_owned())
}

/// A text of the other side as it may be shown.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_LABEL).collect()
}
