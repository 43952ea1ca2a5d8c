//! One credential: what kind, where its secret is, until when it holds (spec 01 section 5).

use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, SecretRef};

/// The kind of a credential: the `type` of a profile, the `mode` of a config entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// An API key.
    ApiKey,
    /// A static bearer token, never refreshed.
    Token,
    /// A login with an access and a refresh token.
    OAuth,
}

impl CredentialKind {
    /// The word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Token => "token",
            Self::OAuth => "oauth",
        }
    }

    /// The kind of that name.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "api_key" => Some(Self::ApiKey),
            "token" => Some(Self::Token),
            "oauth" => Some(Self::OAuth),
            _ => None,
        }
    }
}

/// Where the secret of a key or token is.
#[derive(Clone, Debug)]
pub enum Material {
    /// In the profile itself.
    Inline(Secret),
    /// Elsewhere. `shadows_plaintext` tells that a plaintext stands beside the reference; the reference wins.
    Reference {
        /// Where.
        to: SecretRef,
        /// The file names no provider: `secrets.defaults` of the config says which one is meant.
        default_provider: bool,
        /// A plaintext stands beside it and is not used.
        shadows_plaintext: bool,
    },
    /// Nowhere.
    Absent,
}

impl Material {
    /// Whether there is anything to use: a secret or a reference.
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The inline secret.
    pub fn inline(&self) -> Option<&Secret> {
        match self {
            Self::Inline(secret) => Some(secret),
            Self::Reference { .. } | Self::Absent => None,
        }
    }

    /// The reference with its provider filled in from `secrets.defaults`.
    pub fn resolved_reference(&self, defaults: &RefDefaults) -> Option<SecretRef> {
        match self {
            Self::Reference { to, default_provider: true, .. } => {
                Some(SecretRef { provider: defaults.alias(to.source).to_owned(), ..to.clone() })
            }
            Self::Reference { to, .. } => Some(to.clone()),
            Self::Inline(_) | Self::Absent => None,
        }
    }

    /// The reference.
    pub fn reference(&self) -> Option<&SecretRef> {
        match self {
            Self::Reference { to, .. } => Some(to),
            Self::Inline(_) | Self::Absent => None,
        }
    }
}

/// A stored expiry, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expiry {
    /// The field is not there.
    Absent,
    /// The field is there but holds no finite number.
    NotANumber,
    /// The number as stored, whatever its value.
    At(f64),
}

impl Expiry {
    /// Milliseconds since the epoch if it is a date: finite and above zero.
    pub fn date_ms(self) -> Option<f64> {
        match self {
            Self::At(ms) if ms.is_finite() && ms > 0.0 => Some(ms),
            _ => None,
        }
    }
}

/// A stored credential, by kind.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An API key.
    ApiKey {
        /// The key.
        key: Material,
    },
    /// A static token.
    Token {
        /// The token.
        token: Material,
        /// Until when it holds; absent means for ever.
        expires: Expiry,
    },
    /// A login.
    OAuth {
        /// The access token.
        access: Option<Secret>,
        /// The refresh token.
        refresh: Option<Secret>,
        /// Until when the access token holds.
        expires: Expiry,
    },
}

impl Credential {
    /// Its kind.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::ApiKey { .. } => CredentialKind::ApiKey,
            Self::Token { .. } => CredentialKind::Token,
            Self::OAuth { .. } => CredentialKind::OAuth,
        }
    }

    /// Whether it is the same secret, or comes from the same place, as the other.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |a: Option<&Secret>, b: Option<&Secret>| match (a, b) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        };
        if let (Self::OAuth { access: a, .. }, Self::OAuth { access: b, .. }) = (self, other) {
            return same(a.as_ref(), b.as_ref());
        }
        self.kind() == other.kind()
            && match (self.material(), other.material()) {
                (Some(a), Some(b)) => a.reference() == b.reference() && same(a.inline(), b.inline()),
                _ => false,
            }
    }

    /// The key or token of a static credential; `None` for logins.
    pub fn material(&self) -> Option<&Material> {
        match self {
            Self::ApiKey { key } => Some(key),
            Self::Token { token, .. } => Some(token),
            Self::OAuth { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_ref::RefSource;

    fn inline(text: &str) -> Material {
        Material::Inline(Secret::new(text))
    }

    fn reference(source: RefSource, provider: &str, default_provider: bool) -> Material {
        let to = SecretRef { source, provider: provider.to_owned(), id: "ID".to_owned() };
        Material::Reference { to, default_provider, shadows_plaintext: false }
    }

    fn login(access: Option<&str>) -> Credential {
        Credential::OAuth {
            access: access.map(Secret::new),
            refresh: Some(Secret::new("sk-test-refresh")),
            expires: Expiry::Absent,
        }
    }

    fn token(token: Material, expires: Expiry) -> Credential {
        Credential::Token { token, expires }
    }

    fn key(key: Material) -> Credential {
        Credential::ApiKey { key }
    }

    /// Spec 01 section 5: a reference without a provider means the default one of its source.
    #[test]
    fn the_default_provider_fills_in_for_none() {
        let defaults = RefDefaults { file: Some("vault".to_owned()), ..RefDefaults::default() };
        for (material, expected) in [
            (reference(RefSource::File, "default", true), Some((RefSource::File, "vault"))),
            (reference(RefSource::Env, "default", true), Some((RefSource::Env, "default"))),
            (reference(RefSource::File, "other", false), Some((RefSource::File, "other"))),
            (inline("sk-test-1"), None),
            (Material::Absent, None),
        ] {
            let expected = expected.map(|(source, provider)| SecretRef {
                source,
                provider: provider.to_owned(),
                id: "ID".to_owned(),
            });
            assert_eq!(material.resolved_reference(&defaults), expected, "{material:?}");
        }
    }

    #[test]
    fn the_same_credential_has_the_same_kind_and_source() {
        let env = |provider| reference(RefSource::Env, provider, false);
        let same = [
            (key(inline("sk-test-1")), key(inline("sk-test-1"))),
            (key(env("p")), key(env("p"))),
            (key(Material::Absent), key(Material::Absent)),
            // When it ends plays no part.
            (token(inline("sk-test-1"), Expiry::Absent), token(inline("sk-test-1"), Expiry::At(1.0))),
            (login(Some("sk-test-a")), login(Some("sk-test-a"))),
            (login(None), login(None)),
        ];
        for (one, other) in &same {
            assert!(one.is_same(other) && other.is_same(one), "{one:?} {other:?}");
        }
        let different = [
            (key(inline("sk-test-1")), key(inline("sk-test-2"))),
            (key(inline("sk-test-1")), token(inline("sk-test-1"), Expiry::Absent)),
            (key(inline("sk-test-1")), key(env("p"))),
            (key(inline("sk-test-1")), key(Material::Absent)),
            (key(env("p")), key(env("q"))),
            (key(env("p")), key(Material::Absent)),
            (key(Material::Absent), token(Material::Absent, Expiry::Absent)),
            (key(Material::Absent), login(None)),
            (login(Some("sk-test-a")), login(Some("sk-test-b"))),
            (login(Some("sk-test-a")), login(None)),
            (login(Some("sk-test-a")), key(inline("sk-test-a"))),
        ];
        for (one, other) in &different {
            assert!(!one.is_same(other) && !other.is_same(one), "{one:?} {other:?}");
        }
    }
}
