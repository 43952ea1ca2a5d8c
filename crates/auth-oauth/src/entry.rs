//! A stored login, as far as keeping it alive needs it (spec 04 section 7).

use auth_core::{Credential, Expiry, Profile, Secret};

/// The fields of a profile of type `oauth`.
#[derive(Clone, Debug)]
pub struct LoginEntry {
    /// The provider in normal form.
    pub provider: String,
    /// The access token.
    pub access: Option<Secret>,
    /// The refresh token.
    pub refresh: Option<Secret>,
    /// Until when the access token holds.
    pub expires: Expiry,
    /// The e-mail address of the account.
    pub email: Option<String>,
    /// The account at the provider.
    pub account_id: Option<String>,
    /// The OAuth client of the login, where the user brought one.
    pub client_id: Option<String>,
    /// The Google Cloud project.
    pub project_id: Option<String>,
    /// The host of a GitHub Enterprise installation.
    pub enterprise_url: Option<String>,
    /// The program that keeps this login alive, when it is not this one.
    pub managed_by: Option<String>,
}

impl LoginEntry {
    /// The login that a profile holds; `None` for keys and tokens.
    pub fn of(profile: &Profile) -> Option<Self> {
        let Credential::OAuth { access, refresh, expires } = &profile.credential else { return None };
        let field = |name: &str| {
            let text: String = serde_json::from_str(profile.unknown.get(name)?.get()).ok()?;
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let filled = |secret: &Option<Secret>| secret.clone().filter(|secret| !secret.is_blank());
        Some(Self {
            provider: profile.provider.to_string(),
            access: filled(access),
            refresh: filled(refresh),
            expires: *expires,
            email: profile.email.clone(),
            account_id: field("accountId"),
            client_id: field("clientId"),
            project_id: field("projectId"),
            enterprise_url: field("enterpriseUrl"),
            managed_by: field("managedBy"),
        })
    }

    /// How long the access token still holds, in milliseconds; none or less when it does not.
    pub fn remaining_ms(&self, now_ms: i64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a date is far below 2^53")]
        let now = now_ms as f64;
        self.access.as_ref()?;
        self.expires.date_ms().map(|at| at - now)
    }

    /// Whether another entry is the login of the same account: the same provider, and no account or e-mail address that
    /// says otherwise.
    pub fn is_same_account(&self, other: &Self) -> bool {
        let differs =
            |a: &Option<String>, b: &Option<String>| matches!((a, b), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
        self.provider == other.provider
            && !differs(&self.account_id, &other.account_id)
            && !differs(&self.email, &other.email)
    }
}
