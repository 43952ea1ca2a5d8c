//! What one agent's credentials look like in one pass (spec 06 section 14.2).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::collate::collate;
use crate::config::AgentId;
use crate::credential::CredentialKind;
use crate::explain::{self, CandidateSource, Explanation, explain};
use crate::profile::{Profile, ProfileId};
use crate::provider::ProviderId;
use crate::source::Situation;
use crate::status::ModelsInUse;

use super::memory::Memory;
use super::status::{Level, Standing, Status};

/// What an item is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A stored profile.
    Profile {
        /// Its id.
        id: String,
        /// Its kind.
        kind: CredentialKind,
    },
    /// A provider that a model in use needs and that has no credential.
    Provider,
    /// A credential store that cannot be read.
    Store,
}

/// One watched thing in one pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Whose it is.
    pub agent: String,
    /// Its provider; empty for a store.
    pub provider: String,
    /// What it is.
    pub subject: Subject,
    /// Its name as it is shown; see [`assign_labels`](super::assign_labels).
    pub label: String,
    /// Its state.
    pub status: Status,
    /// How bad that is, all in all.
    pub level: Level,
    /// Whether another profile of the provider does its work meanwhile.
    pub covered: bool,
    /// Whether a request could be made with it now.
    pub usable: bool,
    /// Why, as a code.
    pub reason: Option<String>,
    /// The end of the credential, in milliseconds since the epoch.
    pub ends_at_ms: Option<f64>,
    /// The end of the window that keeps it out, in milliseconds since the epoch, and why that was opened.
    pub unusable: Option<(f64, Option<String>)>,
    /// Whether the next use after its end renews it.
    pub renews_itself: bool,
    /// The command that helps, without a secret and without an account.
    pub fix: Option<String>,
}

impl Item {
    /// Its key in the memory: `<agent>/<profileId>`.
    pub fn key(&self) -> String {
        match &self.subject {
            Subject::Profile { id, .. } => format!("{}/{id}", self.agent),
            Subject::Provider => provider_key(&self.agent, &self.provider),
            Subject::Store => store_key(&self.agent),
        }
    }

    /// The id of the profile, when it is one.
    pub fn profile_id(&self) -> Option<&str> {
        match &self.subject {
            Subject::Profile { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The kind of the credential, when it is a profile.
    pub fn kind(&self) -> Option<CredentialKind> {
        match self.subject {
            Subject::Profile { kind, .. } => Some(kind),
            _ => None,
        }
    }

    fn bare(agent: &str, subject: Subject, status: Status, level: Level) -> Self {
        Self {
            agent: agent.to_owned(),
            provider: String::new(),
            subject,
            label: String::new(),
            status,
            level,
            covered: false,
            usable: false,
            reason: None,
            ends_at_ms: None,
            unusable: None,
            renews_itself: false,
            fix: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(agent: &str, id: &str, status: Status, level: Level) -> Self {
        let provider = id.split(':').next().unwrap_or_default().to_owned();
        let subject = Subject::Profile { id: id.to_owned(), kind: CredentialKind::Token };
        Self { provider, label: id.to_owned(), ..Self::bare(agent, subject, status, level) }
    }
}

/// An agent whose store cannot be read: what it holds is unknown, and unknown is not fine.
fn unreadable_store(agent: &str) -> Item {
    let (reason, fix) = (Some("store_unreadable".to_owned()), Some("openclaw doctor".to_owned()));
    Item { reason, fix, ..Item::bare(agent, Subject::Store, Status::Missing, Level::Alarm) }
}

fn provider_key(agent: &str, provider: &str) -> String {
    format!("{agent}/provider/{provider}")
}

fn store_key(agent: &str) -> String {
    format!("{agent}/store")
}

/// Whether a provider can be used by an agent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderState {
    /// Whose view this is.
    pub agent: String,
    /// Which provider.
    pub provider: String,
    /// Whether the next request can be made.
    pub usable: bool,
    /// Whether a configured model of the agent needs it.
    pub in_use: bool,
    /// What could be used that is no item of this agent.
    pub(super) elsewhere: Elsewhere,
}

/// What a provider could be used with, besides the items of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// Nothing.
    Nothing,
    /// Something that is no profile, such as a variable. It covers no profile.
    NoProfile,
    /// A profile, such as one of main.
    Profile,
}

/// What is watched and how.
pub struct Survey<'a> {
    /// The agent.
    pub agent: &'a AgentId,
    /// What it sees.
    pub situation: Situation<'a>,
    /// Whether its own store cannot be read.
    pub store_unreadable: bool,
    /// Whether the models of the agent count: it is one of the config.
    pub configured: bool,
    /// Which profiles become items; others still count when it is about what a provider can use.
    pub includes: &'a dyn Fn(&Profile) -> bool,
    /// Which providers are looked at.
    pub of_provider: &'a dyn Fn(&ProviderId) -> bool,
    /// How long before its end a credential counts as expiring, in milliseconds.
    pub warn_ms: i64,
    /// What earlier passes left behind.
    pub memory: &'a Memory,
}

/// Everything that one pass found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pass {
    /// Every watched thing: by agent in the order in which they were looked at, then provider, then id.
    pub items: Vec<Item>,
    /// Every provider that has profiles or is in use.
    pub providers: Vec<ProviderState>,
}

impl Pass {
    /// The verdict over everything.
    pub fn overall(&self) -> Level {
        let stuck = self.providers.iter().any(|provider| provider.in_use && !provider.usable);
        let worst = self.items.iter().map(|item| item.level).max().unwrap_or(Level::Fine);
        if stuck { Level::Alarm } else { worst }
    }

    /// Adds what another agent showed.
    pub fn add(&mut self, other: Self) {
        self.items.extend(other.items);
        self.providers.extend(other.providers);
    }
}

/// Looks at one agent. `fix` gives the command that helps a profile.
pub fn survey(watched: &Survey<'_>, fix: &dyn Fn(&Profile, &Standing) -> Option<String>) -> Pass {
    let Situation { store, now, .. } = watched.situation;
    let agent = watched.agent.as_str();
    let standing = |profile: &Profile| {
        let since = watched.memory.cooling_since(&format!("{agent}/{}", profile.id));
        Standing::of(profile, store, watched.warn_ms, now, since)
    };

    let in_use = if watched.configured { models_in_use(watched) } else { BTreeMap::new() };
    let mut of_provider: HashMap<&str, Vec<&Profile>> = HashMap::new();
    for profile in store.iter().filter(|profile| (watched.includes)(profile)) {
        if (watched.of_provider)(&profile.provider) {
            of_provider.entry(profile.provider.as_str()).or_default().push(profile);
        }
    }
    let mut providers: Vec<ProviderId> = of_provider.values().map(|profiles| profiles[0].provider.clone()).collect();
    providers.extend(in_use.keys().map(|id| ProviderId::normalise(id)).filter(|id| (watched.of_provider)(id)));
    providers.sort_by(|a, b| collate(a.as_str(), b.as_str()));
    providers.dedup();

    let mut pass = Pass::default();
    for provider in providers {
        let models = in_use.get(provider.as_str());
        let used = models.is_some();
        // A pause for one model does not keep the others from being used.
        let mut able = Able::default();
        for model in models.map_or_else(|| vec![None], |ids| ids.iter().map(|id| Some(id.as_str())).collect()) {
            able.add(&explain(&watched.situation, &provider, model), |id| store.get(id).map(&standing));
        }
        let mut profiles = of_provider.remove(provider.as_str()).unwrap_or_default();
        pass.providers.push(ProviderState {
            agent: agent.to_owned(),
            provider: provider.to_string(),
            usable: able.anything(),
            in_use: used,
            elsewhere: able.besides(&profiles),
        });
        profiles.sort_by(|a, b| collate(a.id.as_str(), b.id.as_str()));
        for profile in profiles {
            let standing = standing(profile);
            let fix = fix(profile, &standing);
            pass.items.push(item(agent, profile, standing, &able, used, fix));
        }
        let has_profiles = store.of_provider(&provider.auth_key()).next().is_some();
        pass.items.extend(provider_item(watched, &provider, used, has_profiles, able.anything()));
    }
    if watched.store_unreadable {
        pass.items.push(unreadable_store(agent));
    } else if watched.memory.has_told(&store_key(agent)) {
        pass.items.push(Item::bare(agent, Subject::Store, Status::Ok, Level::Fine));
    }
    pass
}

fn item(agent: &str, profile: &Profile, standing: Standing, able: &Able, used: bool, fix: Option<String>) -> Item {
    let subject = Subject::Profile { id: profile.id.to_string(), kind: profile.kind() };
    let covered = standing.level > Level::Fine && able.profile_besides(profile.id.as_str());
    let level = match standing.level {
        Level::Alarm if covered => Level::Warning,
        // Nothing is left that could be used meanwhile.
        Level::Warning if used && !able.anything() => Level::Alarm,
        level => level,
    };
    Item {
        provider: profile.provider.to_string(),
        covered,
        usable: able.profiles.contains(profile.id.as_str()),
        reason: standing.reason,
        ends_at_ms: standing.health.ends_at_ms,
        unusable: standing.window.map(|(window, why)| (window.until_ms, why)),
        renews_itself: standing.health.renews_itself && standing.level < Level::Alarm,
        fix: fix.filter(|_| level > Level::Fine),
        ..Item::bare(agent, subject, standing.status, level)
    }
}

/// The item of a provider without any stored profile: missing, or there again after it was.
fn provider_item(
    watched: &Survey<'_>,
    provider: &ProviderId,
    used: bool,
    has_profiles: bool,
    usable: bool,
) -> Option<Item> {
    let agent = watched.agent.as_str();
    let item = |status: Status, level: Level| Item {
        provider: provider.to_string(),
        ..Item::bare(agent, Subject::Provider, status, level)
    };
    if used && !usable && !has_profiles {
        let (reason, fix) = (Some("no_credential".to_owned()), Some("openclaw models status".to_owned()));
        return Some(Item { reason, fix, ..item(Status::Missing, Level::Alarm) });
    }
    let told = watched.memory.has_told(&provider_key(agent, provider.as_str()));
    (told && usable).then(|| item(Status::Ok, Level::Fine))
}

/// What a provider's next request could be made with.
#[derive(Default)]
struct Able {
    profiles: BTreeSet<String>,
    other: bool,
}

impl Able {
    fn add(&mut self, explanation: &Explanation, standing: impl Fn(&ProfileId) -> Option<Standing>) {
        let open = |candidate: &&explain::Candidate| {
            matches!(candidate.standing, explain::Standing::Next | explain::Standing::InReserve)
        };
        for candidate in explanation.candidates.iter().filter(open) {
            match &candidate.source {
                CandidateSource::Profile(id) => {
                    if standing(id).is_some_and(|standing| standing.level < Level::Alarm) {
                        self.profiles.insert(id.to_string());
                    }
                }
                _ => self.other = true,
            }
        }
    }

    fn anything(&self) -> bool {
        self.other || !self.profiles.is_empty()
    }

    fn besides(&self, items: &[&Profile]) -> Elsewhere {
        if self.profiles.iter().any(|id| !items.iter().any(|own| own.id.as_str() == id)) {
            Elsewhere::Profile
        } else if self.other {
            Elsewhere::NoProfile
        } else {
            Elsewhere::Nothing
        }
    }

    fn profile_besides(&self, id: &str) -> bool {
        self.profiles.iter().any(|other| other != id)
    }
}

/// The models that are configured, by provider. The built-in default counts only where somebody has stored something
/// for it: nobody chose it.
fn models_in_use(watched: &Survey<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let Situation { config, store, .. } = watched.situation;
    let models = ModelsInUse::of(config, Some(watched.agent));
    let mut in_use: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (at, (_, model)) in models.roles(config).into_iter().enumerate() {
        let provider = model.provider_id();
        let nobody_chose = at == 0 && !models.configured;
        if !nobody_chose || store.of_provider(&provider.auth_key()).next().is_some() {
            in_use.entry(provider.to_string()).or_default().insert(model.model);
        }
    }
    in_use
}

#[cfg(test)]
mod tests;
