//! Changing the text of a credential store without losing what this program does not know (spec 01 section 5.3).

mod mend;
#[cfg(test)]
mod secret_tests;
#[cfg(test)]
mod tests;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::credential::CredentialKind;
use crate::profile::{AuthProfiles, Owner, ProfileId, StoreSyntaxError};
use crate::provider::ProviderId;
use crate::raw_json::{self, RawObject};
use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::usage::UsageStats;

pub use mend::Retarget;

/// The version of the file format that is written.
const VERSION: &str = "1";
/// The sections of the file, in the order in which they are written.
const SECTIONS: &[&str] = &["version", "profiles", "order", "lastGood", "usageStats"];

/// Members of an object as text, in file order.
type Members = Vec<(String, Box<RawValue>)>;

/// Why a store may not be rewritten.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreEditError {
    /// The text is no store.
    #[error(transparent)]
    Syntax(#[from] StoreSyntaxError),
    /// A later program wrote it.
    #[error("has version {0}, newer than {VERSION}")]
    NewerVersion(f64),
    /// The change would have touched a profile that it is not about.
    #[error("the change would drop or alter profile \"{0}\"")]
    WouldLose(String),
    /// A reference was meant for a profile of another kind.
    #[error("auth profile \"{id}\" type mismatch: it is {has}, not {wants}")]
    TypeMismatch {
        /// The profile.
        id: String,
        /// Its kind as stored.
        has: String,
        /// The kind that was meant.
        wants: &'static str,
    },
    /// The secret that a plan moves is not there any more: the profile, and what is wrong.
    #[error("profile {0} {1}")]
    OtherSecret(String, String),
    /// A new profile needs a provider.
    #[error("auth profile \"{0}\" does not exist, and cannot be made without authProfileProvider")]
    NoProvider(String),
}

/// The text of an `auth-profiles.json`, open for changes.
#[derive(Clone)]
pub struct StoreDocument {
    original: Option<String>,
    members: Members,
    changed: bool,
}

impl std::fmt::Debug for StoreDocument {
    /// Prints section names only: the rest is secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.members.iter().map(|(name, _)| name)).finish()
    }
}

impl StoreDocument {
    /// A store that does not exist yet.
    pub fn empty() -> Self {
        let members = vec![("version".to_owned(), raw(VERSION)), ("profiles".to_owned(), raw("{}"))];
        Self { original: None, members, changed: false }
    }

    /// Opens the text of a store.
    ///
    /// # Errors
    ///
    /// When the text is no store, or one of a later version: such a file is never rewritten.
    pub fn parse(text: &str) -> Result<Self, StoreEditError> {
        Self::parse_with_profiles(text).map(|(document, _)| document)
    }

    /// The same, with what the text holds for its agent.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    pub fn parse_with_profiles(text: &str) -> Result<(Self, AuthProfiles), StoreEditError> {
        let store = AuthProfiles::parse(text, Owner::Agent)?;
        if store.version > 1.0 {
            return Err(StoreEditError::NewerVersion(store.version));
        }
        let body = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = RawObject::parse(body).map_err(|error| StoreSyntaxError::from_json(&error))?;
        Ok((Self { original: Some(text.to_owned()), members: owned(root), changed: false }, store))
    }

    /// Takes over what the legacy files of an agent hold (spec 01 section 5.5). Every field of an accepted entry is
    /// kept; only a token's `expires` that is no number is dropped.
    ///
    /// # Errors
    ///
    /// When `auth_json` or `oauth_json` is no JSON object.
    pub fn import_legacy(auth_json: Option<&str>, oauth_json: Option<&str>) -> Result<LegacyImport, StoreSyntaxError> {
        let mut document = Self::empty();
        let mut import = LegacyImport { document: Self::empty(), from_auth: 0, rejected: 0, from_oauth: 0 };
        let parse = |text: &str| {
            let body = text.strip_prefix('\u{feff}').unwrap_or(text);
            RawObject::parse(body).map(owned).map_err(|error| StoreSyntaxError::from_json(&error))
        };
        if let Some(text) = auth_json {
            let accepted = AuthProfiles::parse_legacy(text)?;
            import.rejected = accepted.rejected().len();
            for (provider, value) in parse(text)? {
                let id = ProfileId::new(format!("{provider}:default"));
                if accepted.get(&id).is_some() {
                    document.put_raw(&id, legacy_entry(&value, &provider));
                    import.from_auth += 1;
                }
            }
        }
        if let Some(text) = oauth_json {
            let mut known = AuthProfiles::default();
            known.add_legacy_oauth(text)?;
            for (provider, value) in parse(text)? {
                let id = ProfileId::new(format!("{provider}:default"));
                let taken = document.section("profiles").iter().any(|(known, _)| known == id.as_str());
                if known.get(&id).is_some() && !taken {
                    let mut fields =
                        vec![("type".to_owned(), raw("\"oauth\"")), ("provider".to_owned(), text_value(&provider))];
                    let rest = RawObject::of(&value).map(owned).unwrap_or_default();
                    fields.extend(
                        rest.into_iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "provider" | "mode")),
                    );
                    document.put_raw(&id, object(&fields));
                    import.from_oauth += 1;
                }
            }
        }
        import.document = document;
        Ok(import)
    }

    /// Sets or removes the explicit order of a provider: every spelling goes, the canonical one comes
    /// (spec 01 section 6.2). Returns whether anything changed.
    pub fn set_order(&mut self, provider: &ProviderId, ids: Option<&[ProfileId]>) -> bool {
        let mut order = self.section("order");
        let before = order.len();
        let matches = |key: &str| ProviderId::normalise(key) == *provider;
        let place = order.iter().position(|(key, _)| matches(key));
        let old = place.map(|at| order[at].clone());
        order.retain(|(key, _)| !matches(key));
        let changed = match ids {
            Some(ids) => {
                let list: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
                let entry = (provider.as_str().to_owned(), value(&Value::from(list)));
                let alone = before == order.len() + 1;
                let same = alone && old.is_some_and(|old| old.0 == entry.0 && same_json(old.1.get(), entry.1.get()));
                order.insert(place.unwrap_or(order.len()), entry);
                !same
            }
            None => before != order.len(),
        };
        if changed {
            self.set_section("order", &order);
        }
        changed
    }

    /// Stores a credential, replacing the whole entry of that id; new ones go to the end.
    pub fn put_profile(&mut self, id: &ProfileId, fields: &[(&str, Value)]) {
        let fields: Members = fields.iter().map(|(name, field)| ((*name).to_owned(), value(field))).collect();
        self.put_raw(id, object(&fields));
    }

    fn put_raw(&mut self, id: &ProfileId, entry: Box<RawValue>) {
        let mut profiles = self.section("profiles");
        match profiles.iter_mut().find(|(known, _)| known == id.as_str()) {
            Some(known) => known.1 = entry,
            None => profiles.push((id.as_str().to_owned(), entry)),
        }
        self.set_section("profiles", &profiles);
    }

    /// Every entry that may be a credential: its id, kind and provider.
    pub fn credentials(&self) -> Vec<(ProfileId, CredentialKind, ProviderId)> {
        let profiles = self.section("profiles").into_iter();
        profiles
            .filter_map(|(id, entry)| {
                let fields = owned(RawObject::of(&entry)?);
                let kind = CredentialKind::parse(&text_of(&fields, "type").or_else(|| text_of(&fields, "mode"))?)?;
                Some((ProfileId::new(id), kind, ProviderId::normalise(&text_of(&fields, "provider")?)))
            })
            .collect()
    }

    /// The plaintext of a profile's key or token, beside a reference or not.
    pub fn plaintext(&self, id: &ProfileId, kind: CredentialKind) -> Option<Secret> {
        let mut fields = self.entry(id).as_deref().and_then(RawObject::of).map(owned)?;
        take_secret(&mut fields, fields_of(kind).0).map(Secret::new)
    }

    /// Puts a reference in the place of a profile's key or token, making the profile when there is none. Returns the
    /// text that stood there.
    ///
    /// # Errors
    ///
    /// When the profile is of another kind, or there is none and no provider is given.
    pub fn set_reference(
        &mut self,
        id: &ProfileId,
        kind: CredentialKind,
        provider: Option<&str>,
        reference: &SecretRef,
    ) -> Result<Option<String>, StoreEditError> {
        let old = self.entry(id).as_deref().and_then(RawObject::of).map(owned);
        let mut fields = match (old, provider) {
            (Some(fields), _) => fields,
            (None, None) => return Err(StoreEditError::NoProvider(id.to_string())),
            (None, Some(_)) => vec![("type".to_owned(), text_value(kind.as_str()))],
        };
        let has = text_of(&fields, "type").or_else(|| text_of(&fields, "mode")).unwrap_or_default();
        if has != kind.as_str() {
            return Err(StoreEditError::TypeMismatch { id: id.to_string(), has, wants: kind.as_str() });
        }
        let has_provider = text_of(&fields, "provider").is_some_and(|provider| !provider.trim().is_empty());
        match provider {
            Some(provider) if !has_provider => {
                fields.retain(|(name, _)| name != "provider");
                let at = fields.iter().position(|(name, _)| name == "type").map_or(0, |at| at + 1);
                fields.insert(at, ("provider".to_owned(), text_value(provider)));
            }
            None if !has_provider => return Err(StoreEditError::NoProvider(id.to_string())),
            _ => {}
        }
        let (secret, field) = fields_of(kind);
        let plain = take_secret(&mut fields, secret);
        let reference = value(&reference.to_value());
        match fields.iter_mut().find(|(name, _)| name == field) {
            Some(known) => known.1 = reference,
            None => fields.push((field.to_owned(), reference)),
        }
        let entry = object(&fields);
        if self.entry(id).is_none_or(|old| !same_json(old.get(), entry.get())) {
            self.put_raw(id, entry);
        }
        Ok(plain)
    }

    /// Removes the key or token of a profile with its reference; the rest of the entry stays. Returns the text that
    /// stood there, and whether there was a reference; `None` when there was neither.
    pub fn strip_secret(&mut self, id: &ProfileId, kind: CredentialKind) -> Option<(Option<String>, bool)> {
        let mut fields = self.entry(id).as_deref().and_then(RawObject::of).map(owned)?;
        let before = fields.len();
        let (secret, field) = fields_of(kind);
        let had_reference = fields.iter().any(|(name, held)| {
            name == field && !raw_json::is_null(held) || name == secret && RawObject::of(held).is_some()
        });
        let plain = take_secret(&mut fields, secret);
        fields.retain(|(name, _)| name != field);
        if fields.len() == before {
            return None;
        }
        self.put_raw(id, object(&fields));
        Some((plain, had_reference))
    }

    /// Notes which profile of a provider worked last; another spelling of the provider is kept.
    pub fn set_last_good(&mut self, provider: &ProviderId, id: &ProfileId) {
        let mut members = self.section("lastGood");
        let known = members.iter_mut().find(|(spelling, _)| ProviderId::normalise(spelling) == *provider);
        let new = text_value(id.as_str());
        match known {
            Some((_, value)) if same_json(value.get(), new.get()) => return,
            Some((_, value)) => *value = new,
            None => members.push((provider.as_str().to_owned(), new)),
        }
        self.set_section("lastGood", &members);
    }

    /// Sets fields of a profile that is there; its other fields stay as they are. Returns whether there is one.
    pub fn set_fields(&mut self, id: &ProfileId, changes: &[(&str, Value)]) -> bool {
        let Some(mut fields) = self.entry(id).as_deref().and_then(RawObject::of).map(owned) else { return false };
        for (name, new) in changes {
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = value(new),
                None => fields.push(((*name).to_owned(), value(new))),
            }
        }
        self.put_raw(id, object(&fields));
        true
    }

    /// The entry of a profile as text, to put it back later.
    pub fn entry(&self, id: &ProfileId) -> Option<Box<RawValue>> {
        self.section("profiles").into_iter().find(|(known, _)| known == id.as_str()).map(|(_, entry)| entry)
    }

    /// Puts an entry back as it was, or removes it when there was none.
    pub fn restore(&mut self, id: &ProfileId, entry: Option<Box<RawValue>>) {
        match entry {
            Some(entry) => self.put_raw(id, entry),
            None => self.retain("profiles", |known, _| known != id.as_str()),
        }
    }

    /// Removes a profile with its statistics and its places in `order` and `lastGood`; what is empty then goes too.
    /// Returns whether there was one.
    pub fn remove_profile(&mut self, id: &ProfileId) -> bool {
        let found = self.entry(id).is_some();
        self.restore(id, None);
        self.retain("usageStats", |known, _| known != id.as_str());
        self.retain("lastGood", |_, known| raw_json::string(known).as_deref() != Some(id.as_str()));
        let mut order = self.section("order");
        let mut named = false;
        for (_, ids) in &mut order {
            let Some(list) = raw_json::strings(ids) else { continue };
            if list.iter().any(|known| known.trim() == id.as_str()) {
                named = true;
                let left: Vec<String> = list.into_iter().filter(|known| known.trim() != id.as_str()).collect();
                *ids = value(&Value::from(left));
            }
        }
        if named {
            order.retain(|(_, ids)| ids.get() != "[]");
            self.set_section("order", &order);
        }
        found
    }

    /// Keeps the members of a section that `keep` accepts; touches nothing when it accepts all.
    fn retain(&mut self, name: &str, keep: impl Fn(&str, &RawValue) -> bool) {
        let mut members = self.section(name);
        let before = members.len();
        members.retain(|(key, value)| keep(key, value));
        if members.len() != before {
            self.set_section(name, &members);
        }
    }

    /// Writes the statistics of a profile; fields that this program does not know stay.
    pub fn set_usage(&mut self, id: &ProfileId, stats: &UsageStats) {
        let mut usage = self.section("usageStats");
        let old = usage.iter().position(|(known, _)| known == id.as_str());
        let mut fields = old.and_then(|at| RawObject::of(&usage[at].1)).map(owned).unwrap_or_default();
        let mut changed = old.is_none();
        for (name, field) in stats.fields() {
            let place = fields.iter().position(|(known, _)| known == name);
            let differs = match (&field, place) {
                (Some(field), Some(at)) => !same_json(fields[at].1.get(), &field.to_string()),
                (Some(_), None) | (None, Some(_)) => true,
                (None, None) => false,
            };
            changed |= differs;
            match (field.filter(|_| differs), place) {
                (Some(field), Some(at)) => fields[at].1 = value(&field),
                (Some(field), None) => fields.push((name.to_owned(), value(&field))),
                (None, Some(at)) if differs => drop(fields.remove(at)),
                (None, _) => {}
            }
        }
        if !changed {
            return;
        }
        match old {
            Some(at) => usage[at].1 = object(&fields),
            None => usage.push((id.as_str().to_owned(), object(&fields))),
        }
        self.set_section("usageStats", &usage);
    }

    /// The text to write: sections in their order, two blanks a level, a line break at the end.
    ///
    /// # Errors
    ///
    /// When a profile that is not among `touched` would come out different from how it went in.
    pub fn to_text(&self, touched: &[&ProfileId]) -> Result<String, StoreEditError> {
        let profiles =
            self.section("profiles").into_iter().map(|(id, entry)| (id, canonical_entry(entry))).collect::<Members>();
        let mut members: Members = Vec::with_capacity(self.members.len());
        for name in SECTIONS {
            let found = self.members.iter().find(|(known, _)| known == name);
            match *name {
                "version" => members.push(("version".to_owned(), raw(VERSION))),
                "profiles" => members.push(("profiles".to_owned(), object(&profiles))),
                _ => members.extend(found.cloned()),
            }
        }
        let unknown = self.members.iter().filter(|(name, _)| !SECTIONS.contains(&name.as_str()));
        members.extend(unknown.cloned());
        let mut text = String::new();
        pretty(object(&members).get(), &mut text);
        text.push('\n');
        self.check(&text, touched)?;
        Ok(text)
    }

    /// Whether anything was changed since it was opened. A layout of its own is no change.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Compares every profile, and every entry that cannot be one, before and after.
    fn check(&self, text: &str, touched: &[&ProfileId]) -> Result<(), StoreEditError> {
        let Some(original) = &self.original else { return Ok(()) };
        let (before, after) = (AuthProfiles::parse(original, Owner::Agent)?, AuthProfiles::parse(text, Owner::Agent)?);
        for profile in before.iter().filter(|profile| !touched.contains(&&profile.id)) {
            if !after.get(&profile.id).is_some_and(|same| profile.holds_the_same(same)) {
                return Err(StoreEditError::WouldLose(profile.id.to_string()));
            }
        }
        let is_rejected = |id: &str| after.rejected().iter().any(|entry| entry.id == id);
        let mut others = before.rejected().iter().filter(|entry| !touched.iter().any(|id| id.as_str() == entry.id));
        match others.find(|entry| !is_rejected(&entry.id)) {
            Some(lost) => Err(StoreEditError::WouldLose(lost.id.clone())),
            None => Ok(()),
        }
    }

    fn section(&self, name: &str) -> Members {
        let found = self.members.iter().find(|(known, _)| known == name);
        found.and_then(|(_, section)| RawObject::of(section)).map(owned).unwrap_or_default()
    }

    /// Replaces a section; an empty one goes, except `profiles`.
    fn set_section(&mut self, name: &str, members: &Members) {
        self.changed = true;
        let place = self.members.iter().position(|(known, _)| known == name);
        match (place, members.is_empty() && name != "profiles") {
            (Some(at), true) => {
                // A section of a wrong shape reads as empty; it is not ours to remove.
                if RawObject::of(&self.members[at].1).is_some() {
                    self.members.remove(at);
                }
            }
            (Some(at), false) => self.members[at].1 = object(members),
            (None, false) => self.members.push((name.to_owned(), object(members))),
            (None, true) => {}
        }
    }
}

/// The value field and the reference field of a kind of static credential.
fn fields_of(kind: CredentialKind) -> (&'static str, &'static str) {
    match kind {
        CredentialKind::Token => ("token", "tokenRef"),
        CredentialKind::ApiKey | CredentialKind::OAuth => ("key", "keyRef"),
    }
}

fn text_of(fields: &Members, name: &str) -> Option<String> {
    fields.iter().find(|(known, _)| known == name).and_then(|(_, field)| raw_json::string(field))
}

/// Takes the value field out, under its name or its alias; gives its text.
fn take_secret(fields: &mut Members, name: &str) -> Option<String> {
    let alias = if name == "key" { "apiKey" } else { name };
    let plain = text_of(fields, name).or_else(|| text_of(fields, alias)).filter(|text| !text.trim().is_empty());
    fields.retain(|(known, _)| known != name && known != alias);
    plain
}

/// What the legacy files gave.
#[derive(Debug)]
pub struct LegacyImport {
    /// The store made of it.
    pub document: StoreDocument,
    /// How many entries came from `auth.json`.
    pub from_auth: usize,
    /// How many entries of `auth.json` cannot be used.
    pub rejected: usize,
    /// How many entries came from `oauth.json`.
    pub from_oauth: usize,
}

/// An entry of `auth.json` with its type and provider made explicit.
fn legacy_entry(entry: &RawValue, provider: &str) -> Box<RawValue> {
    let mut fields = RawObject::of(entry).map(owned).unwrap_or_default();
    // A `null` stands for the key of the entry, as on a read; stored, it would make the entry unusable.
    if fields.iter().all(|(name, field)| name != "provider" || raw_json::is_null(field)) {
        fields.retain(|(name, _)| name != "provider");
        let at = fields.iter().position(|(name, _)| name == "type").map_or(0, |at| at + 1);
        fields.insert(at, ("provider".to_owned(), text_value(provider)));
    }
    let kind = text_of(&fields, "type").or_else(|| text_of(&fields, "mode"));
    let is_token = kind.as_deref() == Some(CredentialKind::Token.as_str());
    let is_date = |field: &RawValue| raw_json::number(field).is_some_and(f64::is_finite);
    fields.retain(|(name, field)| !(is_token && name == "expires" && !is_date(field)));
    canonical_entry(object(&fields))
}

/// An entry as it is saved: aliases under their canonical names, a reference in its own field, no plaintext beside it.
/// Entries that cannot be used stay as they are.
fn canonical_entry(entry: Box<RawValue>) -> Box<RawValue> {
    let Some(mut fields) = RawObject::of(&entry).map(owned) else { return entry };
    let find = |fields: &Members, name: &str| fields.iter().position(|(known, _)| known == name);
    let text = |fields: &Members, at: usize| raw_json::string(&fields[at].1);
    let in_use = find(&fields, "provider").and_then(|at| text(&fields, at)).is_some_and(|p| !p.trim().is_empty());
    if !in_use {
        return entry;
    }
    let mut changed = false;

    if find(&fields, "type").is_none()
        && let Some(at) = find(&fields, "mode").filter(|at| text(&fields, *at).is_some())
    {
        "type".clone_into(&mut fields[at].0);
        changed = true;
    }
    let kind = find(&fields, "type").and_then(|at| text(&fields, at));
    let (secret, reference) = match kind.as_deref() {
        Some("api_key") => ("key", "keyRef"),
        Some("token") => ("token", "tokenRef"),
        Some("oauth") => ("", ""),
        _ => return entry,
    };
    if find(&fields, "key").is_none()
        && let Some(at) = find(&fields, "apiKey").filter(|at| text(&fields, *at).is_some())
    {
        "key".clone_into(&mut fields[at].0);
        changed = true;
    }
    let coerce = |raw: &RawValue| {
        let parsed: Value = serde_json::from_str(raw.get()).ok()?;
        SecretRef::coerce(&parsed, &RefDefaults::default())
    };
    let has_ref = find(&fields, reference).is_some_and(|at| coerce(&fields[at].1).is_some());
    if let Some(at) = find(&fields, secret) {
        let is_text = text(&fields, at).is_some();
        let inline = (!is_text).then(|| coerce(&fields[at].1)).flatten();
        if has_ref {
            fields.remove(at);
            changed = true;
        } else if inline.is_some() {
            reference.clone_into(&mut fields[at].0);
            changed = true;
        }
    }
    if changed { object(&fields) } else { entry }
}

/// Prints JSON text indented by two blanks a level. Numbers and strings keep their spelling.
fn pretty(text: &str, out: &mut String) {
    let mut depth = 0_usize;
    let mut chars = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                let mut escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    if c == '"' && !escaped {
                        break;
                    }
                    escaped = c == '\\' && !escaped;
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.peek().is_some_and(char::is_ascii_whitespace) {
                    chars.next();
                }
                if let Some(close @ ('}' | ']')) = chars.peek().copied() {
                    out.push(close);
                    chars.next();
                } else {
                    depth += 1;
                    line(out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
}

fn owned(object: RawObject<'_>) -> Members {
    object.into_members().map(|(name, value)| (name.into_owned(), value.to_owned())).collect()
}

fn object(members: &Members) -> Box<RawValue> {
    let mut text = String::from("{");
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(text_value(name).get());
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    raw(&text)
}

fn text_value(text: &str) -> Box<RawValue> {
    value(&Value::from(text))
}

fn value(value: &Value) -> Box<RawValue> {
    raw(&value.to_string())
}

/// JSON text that this module made itself; `null` where it is none after all, which the check before writing finds.
fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn same_json(a: &str, b: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a == b)
}
