//! Names for secrets that move: the variable or id under which each is found at its new place (spec 05 section 13).

use std::collections::BTreeMap;

use super::plan::PlanPlace;
use crate::provider::ProviderId;
use crate::secret::{Fingerprint, Secret};
use crate::secret_ref::is_env_id;

/// Gives names, one to each secret: equal secrets share one, different ones never do.
#[derive(Debug, Default)]
pub struct Naming {
    taken: BTreeMap<String, Fingerprint>,
}

impl Naming {
    /// A name that is in use already, with what it stands for.
    pub fn reserve(&mut self, name: &str, secret: &Secret) {
        self.taken.insert(name.to_owned(), secret.fingerprint());
    }

    /// The variable for a secret: the provider's first one, or a longer name when that means something else. `now` is
    /// what a variable holds at present.
    pub fn variable(
        &mut self,
        place: &PlanPlace,
        provider: &str,
        secret: &Secret,
        now: impl Fn(&str) -> Option<Secret>,
    ) -> String {
        let own = ProviderId::normalise(provider).auth_key();
        let first =
            own.env_vars().first().map_or_else(|| format!("{}_API_KEY", word(provider)), |name| (*name).to_owned());
        let base = match place {
            PlanPlace::Config { target, path, .. } if !target.is_provider_key() => {
                format!("{}_{}", word(provider), word(path.last().map_or("SECRET", String::as_str)))
            }
            _ => first,
        };
        let base = if is_env_id(&base) { base } else { format!("KEY_{base}") };
        let longer = format!("{base}_{}", word(&profile_name(place)));
        let is_other = |name: &str| now(name).is_some_and(|held| !held.is_same(secret));
        self.choose(secret, &[base, longer], "_", is_other)
    }

    /// The id for a secret: `<provider>/<profile>`, or `<provider>/config` for the key of a config entry.
    pub fn id(
        &mut self,
        place: &PlanPlace,
        provider: &str,
        secret: &Secret,
        now: impl Fn(&str) -> Option<Secret>,
    ) -> String {
        let base = format!("{}/{}", segment(provider), segment(&profile_name(place)));
        let is_other = |id: &str| now(id).is_some_and(|held| !held.is_same(secret));
        self.choose(secret, &[base], "-", is_other)
    }

    /// The first candidate, or the last one with a number, that nothing else has.
    fn choose(
        &mut self,
        secret: &Secret,
        candidates: &[String],
        joint: &str,
        is_other: impl Fn(&str) -> bool,
    ) -> String {
        let fingerprint = secret.fingerprint();
        if let Some((name, _)) = self.taken.iter().find(|(_, taken)| **taken == fingerprint) {
            return name.clone();
        }
        let last = candidates.last().cloned().unwrap_or_default();
        let numbered = (2..).map(|n| format!("{last}{joint}{n}"));
        let mut names = candidates.iter().cloned().chain(numbered);
        let name = names.find(|name| !self.taken.contains_key(name) && !is_other(name)).unwrap_or(last);
        self.taken.insert(name.clone(), fingerprint);
        name
    }
}

/// What a place is called within its provider.
fn profile_name(place: &PlanPlace) -> String {
    match place {
        PlanPlace::Config { target, .. } if target.is_provider_key() => "config".to_owned(),
        PlanPlace::Config { path, .. } => path.last().cloned().unwrap_or_default(),
        PlanPlace::Profile { id, .. } => id.as_str().split_once(':').map_or(id.as_str(), |(_, name)| name).to_owned(),
    }
}

/// A text as a part of a variable name.
fn word(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    let mut out = String::new();
    for c in upper.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    out.trim_matches('_').to_owned()
}

/// A text as a segment of an id.
fn segment(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let out: String = text.chars().map(plain).collect();
    let out = out.trim_start_matches(['-', '.', '_']).to_owned();
    if out.is_empty() { "default".to_owned() } else { out.chars().take(80).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AgentId;
    use crate::credential::CredentialKind;
    use crate::profile::ProfileId;
    use crate::secret_ref::is_exec_id;
    use proptest::prelude::*;

    fn profile(id: &str) -> PlanPlace {
        PlanPlace::Profile {
            agent: AgentId::main(),
            id: ProfileId::new(id),
            kind: CredentialKind::ApiKey,
            provider: None,
        }
    }

    #[test]
    fn different_secrets_never_share_a_name() {
        let mut naming = Naming::default();
        let nothing = |_: &str| None;
        let mut name = |id: &str, secret: &str| naming.variable(&profile(id), "openai", &Secret::new(secret), nothing);
        assert_eq!(name("openai:default", "a"), "OPENAI_API_KEY");
        assert_eq!(name("openai:again", "a"), "OPENAI_API_KEY");
        assert_eq!(name("openai:work", "b"), "OPENAI_API_KEY_WORK");
        assert_eq!(name("openai:work", "c"), "OPENAI_API_KEY_WORK_2");
        let mut naming = Naming::default();
        let held = |name: &str| (name == "OPENAI_API_KEY").then(|| Secret::new("other"));
        assert_eq!(naming.variable(&profile("openai:x"), "openai", &Secret::new("a"), held), "OPENAI_API_KEY_X");
        assert_eq!(naming.variable(&profile("my lab:x"), "My Lab 7!", &Secret::new("b"), nothing), "MY_LAB_7_API_KEY");
        let mut naming = Naming::default();
        let mut id =
            |profile_id: &str, secret: &str| naming.id(&profile(profile_id), "openai", &Secret::new(secret), nothing);
        assert_eq!(id("openai:default", "a"), "openai/default");
        assert_eq!(id("openai:default", "b"), "openai/default-2");
    }

    proptest! {
        #[test]
        fn names_are_names(provider in "\\PC{0,20}", id in "\\PC{1,20}") {
            let mut naming = Naming::default();
            prop_assert!(is_env_id(&naming.variable(&profile(&id), &provider, &Secret::new("a"), |_| None)));
            let mut naming = Naming::default();
            prop_assert!(is_exec_id(&naming.id(&profile(&id), &provider, &Secret::new("a"), |_| None)));
        }
    }
}
