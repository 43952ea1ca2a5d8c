//! Which credential the next model turn uses, and why not the others (spec 07 sections 3, 4 and 6.1).

use crate::config::Config;
use crate::env_credential::{EnvCredential, EnvKey, collect_keys, live_override};
use crate::environment::EnvOrigin;
use crate::order::{Eligibility, OrderEntry, ProfileOrder, resolve_order};
use crate::profile::{Profile, ProfileId};
use crate::provider::{ProviderId, is_marker};
use crate::secret::Secret;
use crate::secret_ref::RefSource;
use crate::source::{ConfigKeyState, OtherSources, RefState, Situation};
use crate::usage::{Window, cooldown};

/// Where a candidate credential comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateSource {
    /// A stored profile.
    Profile(ProfileId),
    /// A variable.
    Variable {
        /// Its name.
        name: String,
        /// Where it was set.
        origin: Option<EnvOrigin>,
    },
    /// A credential that the provider's own library finds.
    Ambient(String),
    /// The key of the config.
    ConfigKey,
    /// The placeholder of a local server that needs no key.
    Synthetic(&'static str),
    /// The key of xAI's web search.
    XaiSearch,
    /// The AWS default chain: instance roles, SSO.
    AwsDefaultChain,
}

impl CandidateSource {
    /// The stable text (spec 07 section 11.3): `profile:<id>`, `env: <VAR>`, `models.json`.
    pub fn label(&self) -> String {
        match self {
            Self::Profile(id) => format!("profile:{id}"),
            Self::Variable { name, origin: Some(EnvOrigin::Shell) } => format!("shell env: {name}"),
            Self::Variable { name, .. } => format!("env: {name}"),
            Self::Ambient(source) => source.clone(),
            Self::ConfigKey => "models.json".to_owned(),
            Self::Synthetic(_) => "synthetic".to_owned(),
            Self::XaiSearch => "xai web search key".to_owned(),
            Self::AwsDefaultChain => "aws default chain".to_owned(),
        }
    }
}

/// What speaks for or against a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// The next turn uses it.
    Next,
    /// Follows when those before it fail.
    InReserve,
    /// Out of use for a while.
    Waiting(Window),
    /// May not be tried.
    Ineligible(Eligibility),
    /// Could be tried, but the order in force does not name it.
    LeftOut,
    /// Its reference does not resolve, and why.
    Unresolved(String),
    /// Something of higher rank exists, so this is never asked.
    Outranked(Outranking),
    /// Names a variable that is not set, or a placeholder.
    Unusable,
}

/// Why a candidate is never asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outranking {
    /// The provider has stored profiles; nothing else is tried after them.
    ByProfiles,
    /// The environment holds a key; it goes before the config's.
    ByEnvironment,
    /// The config says `auth: "api-key"` and has a key of its own.
    ByConfigKey,
    /// A variable `OPENCLAW_LIVE_<BASE>_KEY` stands in for all others.
    ByOverride,
    /// The config says `auth: "aws-sdk"`.
    ByAws,
}

/// One candidate with its verdict.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where it comes from.
    pub source: CandidateSource,
    /// How its secret is shown: masked, a marker or a reference.
    pub shown: String,
    /// The verdict.
    pub standing: Standing,
    /// Line in the agent's or the main agent's store, for profiles.
    pub line: Option<u32>,
    secret: Option<Secret>,
}

impl Candidate {
    /// Its secret, where it stands in the open.
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    fn new(source: CandidateSource, shown: String, standing: Standing) -> Self {
        Self { source, shown, standing, line: None, secret: None }
    }
}

/// A source whose secret differs from the one in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What is used: its name and its masked value.
    pub used: (String, String),
    /// What is not: its name and its masked value.
    pub unused: (String, String),
}

/// The answer to "which credential, and why not the others".
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The provider.
    pub provider: ProviderId,
    /// The model the question is about, when it is about one.
    pub model: Option<String>,
    /// The order of the profiles.
    pub order: ProfileOrder,
    /// Every candidate: the profiles of the order, the other profiles, then what is not stored.
    pub candidates: Vec<Candidate>,
    /// Sources that hold another secret than the one in use.
    pub conflicts: Vec<Conflict>,
}

impl Explanation {
    /// The credential of the next turn.
    pub fn next(&self) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.standing == Standing::Next)
    }
}

/// Explains the choice for a provider; `model` lets a cooldown of another model pass.
pub fn explain(situation: &Situation<'_>, provider: &ProviderId, model: Option<&str>) -> Explanation {
    let order = resolve_order(situation.config, situation.store, provider, None, situation.now);
    let sources = OtherSources::of(provider.as_str(), situation);
    let config_first = prefers_config_key(situation.config, provider);

    let mut candidates: Vec<Candidate> = order
        .tried
        .iter()
        .chain(&order.passed_over)
        .map(|entry| profile_candidate(entry, situation, model, config_first))
        .collect();
    // With any profile in the order nothing else is asked, not even when all of them are waiting.
    let profiles_decide = !config_first && !order.tried.is_empty();
    let mut others = other_candidates(situation, provider, &sources, config_first);
    if profiles_decide {
        for other in others.iter_mut().filter(|other| other.standing == Standing::InReserve) {
            other.standing = Standing::Outranked(Outranking::ByProfiles);
        }
    }
    candidates.append(&mut others);
    if sources.aws_first {
        for other in
            candidates.iter_mut().filter(|other| matches!(other.standing, Standing::InReserve | Standing::Outranked(_)))
        {
            other.standing = Standing::Outranked(Outranking::ByAws);
        }
        let chain = Candidate::new(CandidateSource::AwsDefaultChain, "found at use".to_owned(), Standing::InReserve);
        candidates.push(chain);
    }
    if let Some(first) = candidates.iter_mut().find(|candidate| candidate.standing == Standing::InReserve) {
        first.standing = Standing::Next;
    }
    // One key decides among the rest; only the keys of the environment follow it (spec 07 section 2.3).
    let next = candidates.iter().find(|candidate| candidate.standing == Standing::Next).cloned();
    if let Some(next) = next.filter(|_| !profiles_decide) {
        let by_config = matches!(next.source, CandidateSource::ConfigKey);
        let by_env = matches!(next.source, CandidateSource::Variable { .. } | CandidateSource::Ambient(_));
        for later in candidates.iter_mut().filter(|later| later.standing == Standing::InReserve) {
            if !((by_env || by_config) && follows(&next, later)) {
                let by = if by_env { Outranking::ByEnvironment } else { Outranking::ByConfigKey };
                later.standing = Standing::Outranked(by);
            }
        }
    }
    let conflicts = conflicts(&candidates, situation);
    Explanation { provider: provider.clone(), model: model.map(str::to_owned), order, candidates, conflicts }
}

/// Whether a key is tried when another one was limited: another key of the environment, and no login's token.
fn follows(next: &Candidate, later: &Candidate) -> bool {
    let CandidateSource::Variable { name, .. } = &later.source else { return false };
    let same = next.secret.as_ref().zip(later.secret.as_ref()).is_some_and(|(a, b)| a.is_same(b));
    let token = matches!(next.source, CandidateSource::ConfigKey) && name.contains("OAUTH");
    !same && !token
}

/// Whether the config sends requests with its own key and ignores profiles (spec 07 section 6.1 step 3).
fn prefers_config_key(config: &Config, provider: &ProviderId) -> bool {
    config.provider(provider).is_some_and(|entry| entry.auth.as_deref() == Some("api-key") && entry.api_key.is_some())
}

fn profile_candidate(
    entry: &OrderEntry,
    situation: &Situation<'_>,
    model: Option<&str>,
    config_first: bool,
) -> Candidate {
    let profile = situation.store.get(&entry.id);
    let window = profile.and_then(|profile| cooldown(situation.store, profile, model, situation.now));
    let standing = if !entry.eligibility.is_ok() {
        Standing::Ineligible(entry.eligibility)
    } else if config_first {
        Standing::Outranked(Outranking::ByConfigKey)
    } else if entry.left_out {
        Standing::LeftOut
    } else if let Some(window) = window {
        Standing::Waiting(window)
    } else if let Some(why) = profile.and_then(|profile| unresolved(profile, situation)) {
        Standing::Unresolved(why)
    } else {
        Standing::InReserve
    };
    let shown = profile.map_or_else(String::new, |profile| {
        let label = crate::status::profile_label(profile, situation);
        label.strip_prefix(&format!("{}=", profile.id)).unwrap_or(&label).to_owned()
    });
    Candidate {
        line: profile.and_then(|profile| profile.line),
        secret: profile.and_then(|profile| profile.credential.material()?.inline().cloned()),
        ..Candidate::new(CandidateSource::Profile(entry.id.clone()), shown, standing)
    }
}

/// Why a profile's reference cannot be used, where that can be told without running anything.
fn unresolved(profile: &Profile, situation: &Situation<'_>) -> Option<String> {
    let expected = situation.config.auth_profiles.get(profile.id.as_str()).map(|entry| entry.mode);
    if let Some(violation) = profile.ref_policy_violation(expected) {
        return Some(violation);
    }
    let to = profile.credential.material()?.resolved_reference(&situation.config.secrets.defaults)?;
    let state = match situation.refs.get(&to) {
        RefState::NotRun if to.source == RefSource::Env => {
            RefState::of_env(&to, situation.environment, &situation.config.secrets)
        }
        RefState::NotRun => return situation.config.secrets.provider_of(&to).err().map(|why| why.to_string()),
        state => state.clone(),
    };
    match state {
        RefState::Unresolved(why) => Some(why),
        RefState::Resolved(_) | RefState::NotRun => None,
    }
}

/// Everything that is not stored: the environment's keys, the config key, placeholders. Steps 5 to 9 of spec 02
/// section 8, with the config key first where the config says so.
fn other_candidates(
    situation: &Situation<'_>,
    provider: &ProviderId,
    sources: &OtherSources,
    config_first: bool,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    let live = live_override(provider.as_str(), situation.environment);
    if let Some(key) = &live {
        let origin = situation.environment.origin(&key.variable).cloned();
        let source = CandidateSource::Variable { name: key.variable.clone(), origin };
        found.push(Candidate {
            secret: Some(key.secret.clone()),
            ..Candidate::new(source, key.secret.masked(), Standing::InReserve)
        });
    }
    let is_live = |env: &EnvCredential| live.as_ref().is_some_and(|key| env.variable.as_ref() == Some(&key.variable));
    if let Some(env) = sources.env.as_ref().filter(|env| !is_live(env)) {
        let keys = if live.is_some() { Vec::new() } else { collect_keys(provider.as_str(), situation.environment) };
        found.extend(environment_candidates(env, keys, config_first, situation));
    }
    if let Some(key) = &sources.config_key {
        let standing = match &key.state {
            ConfigKeyState::UnresolvedRef(why) => Standing::Unresolved(why.clone()),
            ConfigKeyState::Marker => Standing::Unusable,
            _ => Standing::InReserve,
        };
        let candidate = Candidate {
            secret: key.secret().cloned(),
            ..Candidate::new(CandidateSource::ConfigKey, key.shown.clone(), standing)
        };
        if config_first && live.is_none() { found.insert(0, candidate) } else { found.push(candidate) }
    }
    if let Some(marker) = sources.synthetic {
        found.push(Candidate::new(
            CandidateSource::Synthetic(marker),
            format!("marker({marker})"),
            Standing::InReserve,
        ));
    }
    if let Some(secret) = &sources.xai_search {
        let source = CandidateSource::XaiSearch;
        found.push(Candidate {
            secret: Some(secret.clone()),
            ..Candidate::new(source, secret.masked(), Standing::InReserve)
        });
    }
    if live.is_some() {
        for other in found.iter_mut().skip(1).filter(|other| other.standing == Standing::InReserve) {
            other.standing = Standing::Outranked(Outranking::ByOverride);
        }
    }
    if sources.aws_default_chain {
        found.push(Candidate::new(CandidateSource::AwsDefaultChain, "found at use".to_owned(), Standing::InReserve));
    }
    found
}

/// What the environment holds: the credential that resolution chose, then the other keys. When the key of the config goes
/// before all of them, they keep the order in which they are collected (spec 07 section 2.3).
fn environment_candidates(
    chosen: &EnvCredential,
    keys: Vec<EnvKey>,
    config_first: bool,
    situation: &Situation<'_>,
) -> Vec<Candidate> {
    let source = match &chosen.variable {
        Some(name) => CandidateSource::Variable { name: name.clone(), origin: chosen.origin.clone() },
        None => CandidateSource::Ambient(chosen.source.clone()),
    };
    let first =
        Candidate { secret: chosen.secret().cloned(), ..Candidate::new(source, chosen.shown(), Standing::InReserve) };
    let Some(secret) = first.secret.clone() else { return vec![first] };
    let in_its_place = config_first && keys.iter().any(|key| secret.is_same(&key.secret));
    let mut found: Vec<Candidate> = if in_its_place { Vec::new() } else { vec![first.clone()] };
    for key in keys {
        if secret.is_same(&key.secret) {
            found.extend(in_its_place.then(|| first.clone()));
            continue;
        }
        let origin = situation.environment.origin(&key.variable).cloned();
        let source = CandidateSource::Variable { name: key.variable, origin };
        let shown = key.secret.masked();
        found.push(Candidate { secret: Some(key.secret), ..Candidate::new(source, shown, Standing::InReserve) });
    }
    found
}

/// Points out other secrets for the same provider: in another kind of source, or under the same variable elsewhere.
/// Several stored accounts are no conflict.
fn conflicts(candidates: &[Candidate], situation: &Situation<'_>) -> Vec<Conflict> {
    let Some(used) = candidates.iter().find(|c| c.standing == Standing::Next) else { return Vec::new() };
    let name = |candidate: &Candidate| match &candidate.source {
        CandidateSource::Profile(id) => format!("profile {id}"),
        CandidateSource::Variable { name, origin: Some(origin) } => format!("{name} ({origin})"),
        CandidateSource::ConfigKey => "config models.providers".to_owned(),
        other => other.label(),
    };
    let used_pair = || (name(used), used.shown.clone());
    let known: Vec<&Secret> = candidates
        .iter()
        .filter(|c| std::mem::discriminant(&c.source) == std::mem::discriminant(&used.source))
        .filter_map(|c| c.secret.as_ref())
        .collect();
    let is_new = |secret: &Secret| !is_marker(secret.reveal()) && known.iter().all(|other| !other.is_same(secret));

    let mut found = Vec::new();
    if used.secret.is_some() {
        let others = candidates
            .iter()
            .filter(|c| std::mem::discriminant(&c.source) != std::mem::discriminant(&used.source))
            // What may not be tried at all is reported for that already.
            .filter(|c| !matches!(c.standing, Standing::Ineligible(_)))
            .filter(|c| c.secret.as_ref().is_some_and(is_new));
        found.extend(others.map(|other| Conflict { used: used_pair(), unused: (name(other), other.shown.clone()) }));
    }
    for candidate in candidates {
        let CandidateSource::Variable { name: variable, .. } = &candidate.source else { continue };
        let twins = situation.environment.shadowed().iter().filter(|shadowed| shadowed.name == *variable);
        found.extend(twins.map(|twin| Conflict {
            used: (name(candidate), candidate.shown.clone()),
            unused: (format!("{variable} ({})", twin.origin), twin.value.masked()),
        }));
    }
    found
}

#[cfg(test)]
mod tests;
