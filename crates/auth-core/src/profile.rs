//! The credential store of an agent as a value (spec 01 section 5).

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::credential::{Credential, CredentialKind, Expiry, Material};
use crate::provider::{AuthKey, ProviderId};
use crate::raw_json::{self, RawObject};
use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::usage::UsageStats;

/// The id of a profile: any non-empty string, compared exactly (spec 01 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProfileId(Arc<str>);

impl ProfileId {
    /// Takes an id as it is.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ProfileId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Which file holds a profile: the inspected agent's own, or that of the main agent which all others read through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The inspected agent's own file.
    Agent,
    /// The main agent's file.
    Main,
}

/// Which of an agent's files a profile was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileFile {
    /// `auth-profiles.json`.
    Store,
    /// The legacy `auth.json`.
    LegacyAuth,
    /// The legacy `oauth.json`.
    LegacyOAuth,
}

/// Fields of a profile that this program does not know, kept exactly as they were written.
#[derive(Clone, Default)]
pub struct UnknownFields(Vec<(String, Box<RawValue>)>);

impl UnknownFields {
    /// The names, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The text of a field.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

impl fmt::Debug for UnknownFields {
    /// Prints names only: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// One stored credential with its labels.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its id.
    pub id: ProfileId,
    /// The provider as stored.
    pub provider_as_stored: Arc<str>,
    /// The provider in normal form.
    pub provider: ProviderId,
    /// The provider under which credentials are shared.
    pub auth_key: AuthKey,
    /// The credential.
    pub credential: Credential,
    /// Label for people.
    pub display_name: Option<String>,
    /// Account of the login.
    pub email: Option<String>,
    /// Line of the entry in its file, from 1.
    pub line: Option<u32>,
    /// Whose file holds it.
    pub owner: Owner,
    /// Which file that is.
    pub file: ProfileFile,
    /// The fields of a login that hold a reference, which none may.
    pub login_refs: Vec<&'static str>,
    /// What this program does not know.
    pub unknown: UnknownFields,
}

/// Fields in which a login must not hold a reference, because it changes them itself.
const LOGIN_FIELDS: &[&str] = &["access", "refresh", "token", "tokenRef", "key", "keyRef"];

impl Profile {
    /// The program that keeps this login alive when it is not this one, which then never spends its refresh token (spec
    /// 04 section 6.6).
    pub fn managed_by(&self) -> Option<String> {
        let text = self.unknown.get("managedBy").and_then(raw_json::string)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Why a login and a reference do not go together here (spec 04 section 4 step 3); `None` when they do not meet.
    /// `mode` is what the config expects of this profile.
    pub fn ref_policy_violation(&self, mode: Option<CredentialKind>) -> Option<String> {
        let (fields, reason): (Vec<&str>, _) = match &self.credential {
            Credential::OAuth { .. } => (
                self.login_refs.clone(),
                "SecretRef is not allowed for type=\"oauth\" auth profiles (OAuth credentials are runtime-mutable)."
                    .to_owned(),
            ),
            other
                if mode == Some(CredentialKind::OAuth) && other.material().is_some_and(|m| m.reference().is_some()) =>
            {
                (
                    vec![if other.kind() == CredentialKind::Token { "tokenRef" } else { "keyRef" }],
                    format!(
                        "SecretRef is not allowed when auth.profiles.{}.mode is \"oauth\" (OAuth credentials are runtime-mutable).",
                        self.id
                    ),
                )
            }
            _ => return None,
        };
        if fields.is_empty() {
            return None;
        }
        let lines: Vec<String> =
            fields.iter().map(|field| format!("\n- profiles.{}.{field}: {reason}", self.id)).collect();
        Some(format!(
            "auth profile {} policy validation failed: OAuth + SecretRef is not supported.{}",
            self.id,
            lines.concat()
        ))
    }

    /// Whether another reading of the entry gives the same credential with the same unknown fields.
    pub(crate) fn holds_the_same(&self, other: &Self) -> bool {
        let secret = |a: Option<&Secret>, b: Option<&Secret>| match (a, b) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        };
        let material = |a: &Material, b: &Material| secret(a.inline(), b.inline()) && a.reference() == b.reference();
        let credential = match (&self.credential, &other.credential) {
            (Credential::ApiKey { key: a }, Credential::ApiKey { key: b }) => material(a, b),
            (Credential::Token { token: a, expires: x }, Credential::Token { token: b, expires: y }) => {
                material(a, b) && x == y
            }
            (
                Credential::OAuth { access, refresh, expires },
                Credential::OAuth { access: other_access, refresh: other_refresh, expires: other_expires },
            ) => {
                secret(access.as_ref(), other_access.as_ref())
                    && secret(refresh.as_ref(), other_refresh.as_ref())
                    && expires == other_expires
            }
            _ => false,
        };
        // Aliases that were used are not unknown; they leave under their canonical name.
        let kept = |profile: &Self| {
            let names = profile.unknown.names().filter(|name| !matches!(*name, "mode" | "apiKey"));
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        credential
            && self.provider_as_stored == other.provider_as_stored
            && (&self.email, &self.display_name) == (&other.email, &other.display_name)
            && kept(self) == kept(other)
    }
}

/// Why an entry of the store cannot be a profile (spec 01 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The entry is no object.
    NonObject,
    /// `type` is none of the three kinds.
    InvalidType,
    /// `provider` is no text.
    MissingProvider,
}

impl RejectReason {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::NonObject => "non_object",
            Self::InvalidType => "invalid_type",
            Self::MissingProvider => "missing_provider",
        }
    }
}

/// An entry of the store that is kept but not used.
#[derive(Clone, Debug)]
pub struct RejectedEntry {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: RejectReason,
    /// Its line in the file, from 1.
    pub line: Option<u32>,
    /// The known field that an unknown one resembles, as (written, meant): `api_key` for `key`.
    pub misspelt: Option<(String, &'static str)>,
}

/// Why a text is no credential store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreSyntaxError {
    /// Not JSON, or not an object.
    #[error("is not valid JSON: {message} at line {line} column {column}")]
    Json {
        /// What the parser expected; never text of the file.
        message: String,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// JSON, but without an object `profiles`.
    #[error("has no object \"profiles\"")]
    NoProfiles,
}

impl StoreSyntaxError {
    pub(crate) fn from_json(error: &serde_json::Error) -> Self {
        let full = error.to_string();
        let message = match full.rfind(" at line ") {
            // A type error quotes the value, which may be a secret.
            Some(_) if error.is_data() => "an object was expected".to_owned(),
            Some(at) => full[..at].to_owned(),
            None => "unreadable".to_owned(),
        };
        Self::Json { message, line: error.line().max(1), column: error.column().max(1) }
    }
}

/// All profiles that one agent sees, with their order, last success and statistics.
#[derive(Clone, Debug, Default)]
pub struct AuthProfiles {
    /// Version of the file format; 1 is what this program writes.
    pub version: f64,
    profiles: IndexMap<ProfileId, Profile>,
    by_auth_key: HashMap<AuthKey, Vec<usize>>,
    order: Vec<(String, Vec<ProfileId>)>,
    last_good: Vec<(String, ProfileId)>,
    usage: HashMap<ProfileId, UsageStats>,
    usage_order: Vec<ProfileId>,
    rejected: Vec<RejectedEntry>,
}

impl AuthProfiles {
    /// Reads the text of an `auth-profiles.json` with the coercions of spec 01 section 5.2.
    ///
    /// # Errors
    ///
    /// When the text is not strict JSON or has no object `profiles`; single bad entries are
    /// [`rejected`](Self::rejected) instead.
    pub fn parse(text: &str, owner: Owner) -> Result<Self, StoreSyntaxError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = LineIndex::new(text);
        let root = RawObject::parse(text).map_err(|e| StoreSyntaxError::from_json(&e))?;
        let entries = root.get("profiles").and_then(RawObject::of).ok_or(StoreSyntaxError::NoProfiles)?;

        let mut store =
            Self { version: root.get("version").and_then(raw_json::number).unwrap_or(1.0), ..Self::default() };
        let mut spellings = Spellings::default();
        for (id, value) in entries.into_members() {
            let line = lines.line_of(value.get());
            store.take_entry(id.into_owned(), value, None, owner, line, &mut spellings);
        }
        if let Some(order) = root.get("order").and_then(RawObject::of) {
            for (provider, ids) in order.into_members() {
                let ids: Vec<ProfileId> = raw_json::strings(ids)
                    .unwrap_or_default()
                    .iter()
                    .map(|id| id.trim())
                    .filter(|id| !id.is_empty())
                    .map(ProfileId::new)
                    .collect();
                if !ids.is_empty() {
                    store.order.push((provider.into_owned(), ids));
                }
            }
        }
        if let Some(last_good) = root.get("lastGood").and_then(RawObject::of) {
            store.last_good = last_good
                .into_members()
                .filter_map(|(provider, id)| Some((provider.into_owned(), ProfileId::new(raw_json::string(id)?))))
                .collect();
        }
        if let Some(usage) = root.get("usageStats").and_then(RawObject::of) {
            for (id, stats) in usage.into_members() {
                let id = ProfileId::new(id);
                store.usage.insert(id.clone(), UsageStats::from_raw(stats));
                store.usage_order.push(id);
            }
        }
        Ok(store)
    }

    /// Reads a legacy `auth.json`: an object provider → credential, each becoming `<provider>:default`
    /// (spec 01 section 5.5).
    ///
    /// # Errors
    ///
    /// When the text is not a JSON object. An object with a `profiles` member is no legacy file and gives nothing.
    pub fn parse_legacy(text: &str) -> Result<Self, StoreSyntaxError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = LineIndex::new(text);
        let root = RawObject::parse(text).map_err(|e| StoreSyntaxError::from_json(&e))?;
        let mut store = Self { version: 1.0, ..Self::default() };
        if root.get("profiles").is_some() {
            return Ok(store);
        }
        let mut spellings = Spellings::default();
        for (provider, value) in root.into_members() {
            let line = lines.line_of(value.get());
            store.take_entry(format!("{provider}:default"), value, Some(&provider), Owner::Agent, line, &mut spellings);
        }
        for profile in store.profiles.values_mut() {
            profile.file = ProfileFile::LegacyAuth;
            // The one field that the import drops (spec 01 section 5.5).
            if let Credential::Token { expires: expires @ Expiry::NotANumber, .. } = &mut profile.credential {
                *expires = Expiry::Absent;
            }
        }
        Ok(store)
    }

    /// Adds the logins of a legacy `oauth.json`, an object provider → fields, for every `<provider>:default` that is
    /// not there yet (spec 01 section 5.5). Whatever the fields say, the result is an OAuth login of that provider.
    ///
    /// # Errors
    ///
    /// When the text is not a JSON object.
    pub fn add_legacy_oauth(&mut self, text: &str) -> Result<(), StoreSyntaxError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = RawObject::parse(text).map_err(|e| StoreSyntaxError::from_json(&e))?;
        for (provider, value) in root.into_members() {
            let id = ProfileId::new(format!("{provider}:default"));
            if self.profiles.contains_key(&id) || provider.trim().is_empty() {
                continue;
            }
            let Some(fields) = RawObject::of(value) else { continue };
            let members =
                fields.into_members().filter(|(name, _)| !matches!(&**name, "type" | "provider" | "mode")).collect();
            let provider = Spellings::default().read(&provider);
            let mut profile = build_profile(id, CredentialKind::OAuth, provider, members, Owner::Agent, None);
            profile.file = ProfileFile::LegacyOAuth;
            self.insert(profile);
        }
        Ok(())
    }

    /// Reads one entry, or records why it cannot be used.
    fn take_entry(
        &mut self,
        id: String,
        value: &RawValue,
        fallback_provider: Option<&str>,
        owner: Owner,
        line: Option<u32>,
        spellings: &mut Spellings,
    ) {
        let mut read = || {
            let entry = RawObject::of(value).ok_or(RejectReason::NonObject)?;
            let kind = match entry.get("type") {
                Some(kind) => raw_json::string(kind),
                None => entry.get("mode").and_then(raw_json::string),
            };
            let kind = kind.as_deref().and_then(CredentialKind::parse).ok_or(RejectReason::InvalidType)?;
            let provider = match entry.get("provider") {
                Some(provider) if !(fallback_provider.is_some() && raw_json::is_null(provider)) => {
                    raw_json::string(provider)
                }
                _ => fallback_provider.map(str::to_owned),
            };
            let provider = provider.filter(|p| !p.trim().is_empty()).ok_or(RejectReason::MissingProvider)?;
            let members: Vec<_> = entry.into_members().collect();
            let provider = spellings.read(&provider);
            Ok(build_profile(ProfileId::new(id.as_str()), kind, provider, members, owner, line))
        };
        match read() {
            Ok(profile) => self.insert(profile),
            Err(reason) => self.rejected.push(RejectedEntry { misspelt: misspelt_field(value), id, reason, line }),
        }
    }

    fn insert(&mut self, profile: Profile) {
        let auth_key = profile.auth_key.clone();
        let (at, old) = self.profiles.insert_full(profile.id.clone(), profile);
        if let Some(old) = old
            && let Some(places) = self.by_auth_key.get_mut(&old.auth_key)
        {
            places.retain(|place| *place != at);
        }
        let places = self.by_auth_key.entry(auth_key).or_default();
        // A replaced entry keeps its place in the file.
        let before = places.binary_search(&at).unwrap_or_else(|before| before);
        places.insert(before, at);
    }

    /// The view of an agent: the main agent's store with the agent's own entries over it, key by key
    /// (spec 01 section 5.4). Nothing is copied on disk.
    #[must_use]
    pub fn merged(main: Self, own: Self) -> Self {
        let mut view = main;
        view.version = view.version.max(own.version);
        for (_, profile) in own.profiles {
            view.insert(profile);
        }
        view.order = replaced(view.order, own.order);
        view.last_good = replaced(view.last_good, own.last_good);
        let mut usage = own.usage;
        for id in own.usage_order {
            let Some(stats) = usage.remove(&id) else { continue };
            if view.usage.insert(id.clone(), stats).is_none() {
                view.usage_order.push(id);
            }
        }
        view.rejected.extend(own.rejected);
        view
    }

    /// Marks every profile as read from another agent's file.
    #[must_use]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        for profile in self.profiles.values_mut() {
            profile.owner = owner;
        }
        self
    }

    /// How many profiles there are.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether there is no profile.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }

    /// Every profile, in store order.
    pub fn iter(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.values()
    }

    /// Every provider that has a profile, once.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderId> {
        let mut seen = HashSet::new();
        self.iter().map(|profile| &profile.provider).filter(move |provider| seen.insert(*provider))
    }

    /// The profile with exactly this id.
    pub fn get(&self, id: &ProfileId) -> Option<&Profile> {
        self.profiles.get(id)
    }

    /// The profiles that share the credentials of a provider, in store order.
    pub fn of_provider(&self, provider: &AuthKey) -> impl Iterator<Item = &Profile> {
        self.by_auth_key
            .get(provider)
            .into_iter()
            .flatten()
            .filter_map(|at| self.profiles.get_index(*at).map(|(_, profile)| profile))
    }

    /// The explicit order of a provider: the first entry whose normalised key is equal (spec 01 section 6.2).
    pub fn order_of(&self, provider: &ProviderId) -> Option<&[ProfileId]> {
        find_normalised(&self.order, provider).map(Vec::as_slice)
    }

    /// The profile that last answered for a provider. Shown only; it takes no part in the order.
    pub fn last_good(&self, provider: &ProviderId) -> Option<&ProfileId> {
        find_normalised(&self.last_good, provider)
    }

    /// The usage statistics of a profile.
    pub fn usage(&self, id: &ProfileId) -> Option<&UsageStats> {
        self.usage.get(id)
    }

    /// The same view with other statistics for a profile; nothing is written.
    #[must_use]
    pub fn with_usage(mut self, id: &ProfileId, stats: UsageStats) -> Self {
        if self.usage.insert(id.clone(), stats).is_none() {
            self.usage_order.push(id.clone());
        }
        self
    }

    /// All usage statistics, in file order; also of ids that have no profile.
    pub fn all_usage(&self) -> impl Iterator<Item = (&ProfileId, &UsageStats)> {
        self.usage_order.iter().filter_map(|id| Some((id, self.usage.get(id)?)))
    }

    /// Entries that were found but cannot be used.
    pub fn rejected(&self) -> &[RejectedEntry] {
        &self.rejected
    }
}

/// Entries by provider, in which those of `later` replace those of `earlier` whatever their spelling.
fn replaced<T>(earlier: Vec<(String, T)>, later: Vec<(String, T)>) -> Vec<(String, T)> {
    let own: HashSet<ProviderId> = later.iter().map(|(key, _)| ProviderId::normalise(key)).collect();
    earlier.into_iter().filter(|(key, _)| !own.contains(&ProviderId::normalise(key))).chain(later).collect()
}

/// The first entry whose key normalises to the provider.
pub(crate) fn find_normalised<'a, T>(entries: &'a [(String, T)], provider: &ProviderId) -> Option<&'a T> {
    entries.iter().find(|(key, _)| ProviderId::normalise(key) == *provider).map(|(_, value)| value)
}

/// Fields whose meaning this program knows; the rest goes into the unknown-field bag.
const KNOWN_FIELDS: &[&str] =
    &["type", "provider", "email", "displayName", "key", "keyRef", "token", "tokenRef", "access", "refresh", "expires"];

/// A provider as a file writes it, in all its forms.
#[derive(Clone)]
struct StoredProvider {
    as_stored: Arc<str>,
    id: ProviderId,
    auth_key: AuthKey,
}

/// The provider names of one file: few, however many profiles there are.
#[derive(Default)]
struct Spellings(HashMap<String, StoredProvider>);

impl Spellings {
    fn read(&mut self, text: &str) -> StoredProvider {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let id = ProviderId::normalise(text);
        let provider = StoredProvider { as_stored: text.into(), auth_key: id.auth_key(), id };
        self.0.insert(text.to_owned(), provider.clone());
        provider
    }
}

fn build_profile(
    id: ProfileId,
    kind: CredentialKind,
    provider: StoredProvider,
    members: Vec<(std::borrow::Cow<'_, str>, &RawValue)>,
    owner: Owner,
    line: Option<u32>,
) -> Profile {
    let field = |name: &str| members.iter().find(|(n, _)| n == name).map(|(_, v)| *v);
    let text = |name: &str| field(name).and_then(raw_json::string);
    let secret = |name: &str| text(name).filter(|t| !t.trim().is_empty()).map(Secret::new);
    let expires = match field("expires") {
        None => Expiry::Absent,
        Some(value) => match raw_json::number(value) {
            Some(ms) if ms.is_finite() => Expiry::At(ms),
            _ => Expiry::NotANumber,
        },
    };
    let credential = match kind {
        CredentialKind::ApiKey => {
            let key = field("key").or_else(|| field("apiKey").filter(|v| raw_json::string(v).is_some()));
            Credential::ApiKey { key: material(key, field("keyRef")) }
        }
        CredentialKind::Token => Credential::Token { token: material(field("token"), field("tokenRef")), expires },
        CredentialKind::OAuth => Credential::OAuth { access: secret("access"), refresh: secret("refresh"), expires },
    };
    let holds_ref = |name: &&&str| {
        let value = field(name).and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        value.is_some_and(|value| SecretRef::coerce(&value, &RefDefaults::default()).is_some())
    };
    let login_refs = match kind {
        CredentialKind::OAuth => LOGIN_FIELDS.iter().filter(holds_ref).copied().collect(),
        CredentialKind::ApiKey | CredentialKind::Token => Vec::new(),
    };
    let label = |name: &str| text(name).map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
    let (display_name, email) = (label("displayName"), label("email"));
    let unknown = members
        .into_iter()
        .filter(|(name, _)| !KNOWN_FIELDS.contains(&&**name))
        .map(|(name, value)| (name.into_owned(), value.to_owned()))
        .collect();
    Profile {
        id,
        auth_key: provider.auth_key,
        provider: provider.id,
        provider_as_stored: provider.as_stored,
        credential,
        display_name,
        email,
        line,
        owner,
        file: ProfileFile::Store,
        login_refs,
        unknown: UnknownFields(unknown),
    }
}

/// The secret of a static credential from its value field and its reference field (spec 01 section 5.2 step 3,
/// spec 05 section 1.3). The reference field wins, then a reference in the value field, then the plaintext.
fn material(value: Option<&RawValue>, reference: Option<&RawValue>) -> Material {
    let defaults = RefDefaults::default();
    let coerce = |raw: &RawValue| {
        let value: Value = serde_json::from_str(raw.get()).ok()?;
        let names_provider = value.get("provider").is_some();
        SecretRef::coerce(&value, &defaults).map(|to| (to, !names_provider))
    };
    let refer = |(to, default_provider): (SecretRef, bool), shadows_plaintext: bool| Material::Reference {
        to,
        default_provider,
        shadows_plaintext,
    };
    let plain = value.and_then(raw_json::string).filter(|text| !text.trim().is_empty());
    if let Some(found) = reference.filter(|raw| !raw_json::is_null(raw)).and_then(coerce) {
        return refer(found, plain.is_some());
    }
    match (plain, value) {
        (Some(text), _) => match SecretRef::from_template(&text, &defaults) {
            Some(to) => refer((to, true), false),
            None => Material::Inline(Secret::new(text)),
        },
        // An object in the value field is moved without the defaults of the config (spec 01 section 5.2 step 3).
        (None, Some(raw)) => coerce(raw).map_or(Material::Absent, |(to, _)| refer((to, false), false)),
        (None, None) => Material::Absent,
    }
}

/// A field that is one letter case or separator away from a known one, as (written, meant).
fn misspelt_field(value: &RawValue) -> Option<(String, &'static str)> {
    let bare = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    RawObject::of(value)?.into_members().find_map(|(name, _)| {
        if KNOWN_FIELDS.contains(&&*name) || matches!(&*name, "mode" | "apiKey") {
            return None;
        }
        let meant = match bare(&name).as_str() {
            "apikey" | "key" => "key",
            "type" | "kind" => "type",
            "provider" | "providerid" => "provider",
            "token" | "accesstoken" => "token",
            _ => return None,
        };
        Some((name.into_owned(), meant))
    })
}

/// Finds the line of a slice of a text.
struct LineIndex<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    fn new(text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect();
        Self { text, starts }
    }

    /// The line, from 1, on which a part of the text begins.
    fn line_of(&self, part: &str) -> Option<u32> {
        let offset = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let line = self.starts.partition_point(|start| *start <= offset) + 1;
        u32::try_from(line).ok()
    }
}
