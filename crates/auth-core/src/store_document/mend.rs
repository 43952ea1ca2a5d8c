//! Changes of a store that only a repair makes (spec 06 sections 7, 8.3 and 10.2). Each touches what it is about.

use super::{Members, RawObject, StoreDocument, canonical_entry, owned, raw_json, same_json, text_value, value};
use crate::profile::ProfileId;
use crate::provider::ProviderId;
use serde_json::Value;
use serde_json::value::RawValue;

/// How the references to a profile and to its provider change.
#[derive(Clone, Copy, Debug)]
pub struct Retarget<'a> {
    /// The id that goes.
    pub from: &'a ProfileId,
    /// The id that takes its place; `None` drops what names it.
    pub to: Option<&'a ProfileId>,
    /// The provider key that goes, compared without case and blanks.
    pub from_provider: &'a str,
    /// The provider key that takes its place.
    pub to_provider: &'a str,
    /// The profiles of that provider. An order under the key that goes which names none of them, nor the profile that
    /// moves, goes too: it would keep out all others.
    pub profiles: &'a [ProfileId],
}

impl StoreDocument {
    /// Moves a credential to another id, which must be free, and gives it a provider. Every other field stays. Returns
    /// whether it was moved.
    pub fn move_profile(&mut self, from: &ProfileId, to: &ProfileId, provider: &str) -> bool {
        let Some(entry) = self.entry(from).filter(|_| self.entry(to).is_none()) else { return false };
        let Some(mut fields) = RawObject::of(&entry).map(owned) else { return false };
        match fields.iter_mut().find(|(name, _)| name == "provider") {
            Some(field) => field.1 = text_value(provider),
            None => fields.push(("provider".to_owned(), text_value(provider))),
        }
        self.restore(from, None);
        self.put_raw(to, super::object(&fields));
        true
    }

    /// Makes `order`, `lastGood` and `usageStats` follow a profile that moved or went (spec 06 section 7.1).
    pub fn retarget(&mut self, change: &Retarget<'_>) {
        self.retarget_order(change);
        self.retarget_last_good(change);
        let mut usage = self.section("usageStats");
        if let Some(at) = usage.iter().position(|(id, _)| id == change.from.as_str()) {
            let (_, stats) = usage.remove(at);
            if let Some(to) = change.to.filter(|to| !usage.iter().any(|(id, _)| id == to.as_str())) {
                usage.push((to.as_str().to_owned(), stats));
            }
            self.set_section("usageStats", &usage);
        }
    }

    fn retarget_order(&mut self, change: &Retarget<'_>) {
        let order = self.section("order");
        let mut mended: Vec<(String, Vec<String>)> = Vec::new();
        let mut kept: Members = Vec::new();
        let mut changed = false;
        for (provider, ids) in &order {
            let Some(list) = raw_json::strings(ids) else {
                kept.push((provider.clone(), ids.clone()));
                continue;
            };
            let key = change.renamed(provider);
            changed |= key != *provider || list.iter().any(|id| id.trim() == change.from.as_str());
            if key != *provider && !list.iter().any(|id| change.fits(id.trim())) {
                continue;
            }
            let place = mended.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                mended.push((key.to_owned(), Vec::new()));
                mended.len() - 1
            });
            for id in list.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
                let id = if id == change.from.as_str() { change.to.map(ProfileId::as_str) } else { Some(id) };
                if let Some(id) = id.filter(|id| !mended[place].1.iter().any(|known| known == id)) {
                    mended[place].1.push(id.to_owned());
                }
            }
        }
        if changed {
            let lists = mended.into_iter().filter(|(_, ids)| !ids.is_empty());
            let lists = lists.map(|(provider, ids)| (provider, value(&Value::from(ids))));
            self.set_section("order", &lists.chain(kept).collect());
        }
    }

    fn retarget_last_good(&mut self, change: &Retarget<'_>) {
        let last_good = self.section("lastGood");
        let mut mended: Members = Vec::with_capacity(last_good.len());
        for (provider, id) in &last_good {
            let named = raw_json::string(id).is_some_and(|id| id == change.from.as_str());
            let key = change.renamed(provider);
            let id = match (named, change.to) {
                (false, _) => id.clone(),
                (true, Some(to)) => text_value(to.as_str()),
                (true, None) => continue,
            };
            if !mended.iter().any(|(known, _)| known == key) {
                mended.push((key.to_owned(), id));
            }
        }
        let same = mended.len() == last_good.len()
            && mended.iter().zip(&last_good).all(|(a, b)| a.0 == b.0 && same_json(a.1.get(), b.1.get()));
        if !same {
            self.set_section("lastGood", &mended);
        }
    }

    /// Removes from every list of `order` the ids that `gone` names; a list with nothing left goes too.
    pub fn drop_from_order(&mut self, gone: &dyn Fn(&str) -> bool) {
        let mut order = self.section("order");
        let mut changed = false;
        order.retain_mut(|(_, ids)| {
            let Some(list) = raw_json::strings(ids) else { return true };
            let left: Vec<&String> = list.iter().filter(|id| !gone(id.trim())).collect();
            if left.len() == list.len() {
                return true;
            }
            changed = true;
            *ids = value(&Value::from(left.into_iter().map(String::as_str).collect::<Vec<_>>()));
            ids.get() != "[]"
        });
        if changed {
            self.set_section("order", &order);
        }
    }

    /// Removes the statistics of the ids that `gone` names.
    pub fn drop_usage(&mut self, gone: &dyn Fn(&str) -> bool) {
        self.retain("usageStats", |id, _| !gone(id));
    }

    /// The profiles that are spelled in an older way: `mode` for `type`, `apiKey` for `key`, a reference in the place
    /// of the secret. With the names of the fields in question.
    pub fn old_spellings(&self) -> Vec<(ProfileId, Vec<&'static str>)> {
        let profiles = self.section("profiles");
        let old = profiles.iter().filter(|(_, entry)| may_be_old(entry.get())).filter_map(|(id, entry)| {
            let canonical = canonical_entry(entry.clone());
            let (before, after) = (RawObject::of(entry)?, RawObject::of(&canonical)?);
            let gone = |name: &str| before.get(name).is_some() && after.get(name).is_none();
            let is_object = |name: &str| before.get(name).is_some_and(|raw| raw.get().starts_with('{'));
            let renamed = ["mode", "apiKey"].into_iter().filter(|name| gone(name));
            let moved = ["key", "token"].into_iter().filter(|name| gone(name) && is_object(name));
            let names: Vec<&'static str> = renamed.chain(moved).collect();
            (!names.is_empty()).then(|| (ProfileId::new(id.as_str()), names))
        });
        old.collect()
    }

    /// Marks the document as changed, so that it is written as it stands: every write spells profiles canonically.
    pub fn respell(&mut self) {
        self.changed = true;
    }

    /// Takes over what another store has and this one lacks: profiles and statistics by id, `order` and `lastGood` by
    /// provider (spec 06 section 10.2).
    pub fn merge_missing(&mut self, other: &Self) {
        for name in ["profiles", "order", "lastGood", "usageStats"] {
            let is_same = |ours: &str, theirs: &str| match name {
                "order" | "lastGood" => ProviderId::normalise(ours) == ProviderId::normalise(theirs),
                _ => ours == theirs,
            };
            let mut members = self.section(name);
            let mut missing = other.section(name);
            missing.retain(|(theirs, _)| !members.iter().any(|(ours, _)| is_same(ours, theirs)));
            if !missing.is_empty() {
                members.append(&mut missing);
                self.set_section(name, &members);
            }
        }
        let unknown = other.members.iter().filter(|(name, _)| !super::SECTIONS.contains(&name.as_str()));
        let unknown: Members =
            unknown.filter(|(name, _)| !self.members.iter().any(|(known, _)| known == name)).cloned().collect();
        self.changed |= !unknown.is_empty();
        self.members.extend(unknown);
    }

    /// Every entry below `profiles`, also those that cannot be used: its id and its text.
    pub fn entries(&self) -> Vec<(String, Box<RawValue>)> {
        self.section("profiles")
    }
}

impl Retarget<'_> {
    fn fits(&self, id: &str) -> bool {
        (id == self.from.as_str() && self.to.is_some()) || self.profiles.iter().any(|known| known.as_str() == id)
    }

    fn renamed<'k>(&'k self, provider: &'k str) -> &'k str {
        if provider.trim().eq_ignore_ascii_case(self.from_provider) { self.to_provider } else { provider }
    }
}

/// Whether the text of an entry may hold an older spelling: one of the old names, a reference, or a name that is
/// written with escapes. Nearly all hold none, and need no reading.
fn may_be_old(entry: &str) -> bool {
    entry.contains("\"mode\"") || entry.contains("\"apiKey\"") || entry.contains('\\') || entry.rfind('{') > Some(0)
}

#[cfg(test)]
mod tests;
