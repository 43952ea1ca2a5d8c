//! Names for secrets that move: the variable or id under which each is found at its new place (spec 05 section 13).

use std::collections::BTreeMap;

use super::plan::PlanPlace;
use crate::provider::ProviderId;
use crate::secret::{Fingerprint, Secret};
use crate::secret_ref::is_env_id;

/// The most that one part gives to the name of a variable, which may have 128 characters, in characters.
const MAX_WORD: usize = 36;

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
    out.trim_matches('_').chars().take(MAX_WORD).collect()
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
    use crate::secrets::target_of;
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

    /// A place in the config, by the steps below its provider.
    fn config(provider: &str, below: &[&str]) -> PlanPlace {
        let path: Vec<String> =
            ["models", "providers", provider].iter().chain(below).map(|step| (*step).to_owned()).collect();
        PlanPlace::Config { target: target_of(&path).unwrap(), path, provider: provider.to_owned() }
    }

    #[test]
    fn places_of_the_config_are_named_after_what_they_are() {
        // The name; the one for another secret at the same place; the id.
        for (provider, below, name, longer, id) in [
            ("openai", &["apiKey"][..], "OPENAI_API_KEY", "OPENAI_API_KEY_CONFIG", "openai/config"),
            ("my-lab", &["apiKey"], "MY_LAB_API_KEY", "MY_LAB_API_KEY_CONFIG", "my-lab/config"),
            ("openai", &["headers", "X--Auth"], "OPENAI_X_AUTH", "OPENAI_X_AUTH_X_AUTH", "openai/X--Auth"),
            ("7up", &["request", "auth", "token"], "KEY_7UP_TOKEN", "KEY_7UP_TOKEN_TOKEN", "7up/token"),
            ("_x y_", &["request", "tls", "key"], "X_Y_KEY", "X_Y_KEY_KEY", "x-y_/key"),
        ] {
            let place = config(provider, below);
            let mut naming = Naming::default();
            assert_eq!(naming.variable(&place, provider, &Secret::new("a"), |_| None), name);
            assert_eq!(naming.variable(&place, provider, &Secret::new("b"), |_| None), longer);
            assert_eq!(Naming::default().id(&place, provider, &Secret::new("a"), |_| None), id);
        }
        let name = Naming::default().id(&profile("no-colon"), "...", &Secret::new("a"), |_| None);
        assert_eq!(name, "default/no-colon");
    }

    #[test]
    fn names_in_use_are_used_for_the_same_secret_only() {
        let (a, b, c) = (Secret::new("a"), Secret::new("b"), Secret::new("c"));
        let place = profile("openai:work");
        let mut naming = Naming::default();
        naming.reserve("OPENAI_API_KEY", &a);
        naming.reserve("MINE", &b);
        assert_eq!(naming.variable(&place, "openai", &c, |_| None), "OPENAI_API_KEY_WORK");
        assert_eq!(naming.variable(&place, "openai", &b, |_| None), "MINE");
        // What stands at the new place already: the same secret, or another one.
        for (held, variable, id) in
            [("a", "OPENAI_API_KEY", "openai/work"), ("b", "OPENAI_API_KEY_WORK", "openai/work-2")]
        {
            let now = |name: &str| matches!(name, "OPENAI_API_KEY" | "openai/work").then(|| Secret::new(held));
            assert_eq!(Naming::default().variable(&place, "openai", &a, now), variable);
            assert_eq!(Naming::default().id(&place, "openai", &a, now), id);
        }
    }

    proptest! {
        #[test]
        fn names_are_names(provider in "\\PC{0,20}|[a-z-]{100,160}", id in "\\PC{1,20}|[a-z:-]{100,160}") {
            let mut naming = Naming::default();
            for secret in ["a", "b", "c"] {
                let name = naming.variable(&profile(&id), &provider, &Secret::new(secret), |_| None);
                prop_assert!(is_env_id(&name), "{}", name);
            }
            let mut naming = Naming::default();
            for secret in ["a", "b"] {
                let name = naming.id(&profile(&id), &provider, &Secret::new(secret), |_| None);
                prop_assert!(is_exec_id(&name), "{}", name);
            }
        }
    }
}
