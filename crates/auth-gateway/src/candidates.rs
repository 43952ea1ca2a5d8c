//! The credentials of one model, in the order in which they are tried (spec 07 sections 2.3, 6.1 and 6.2).

use auth_core::rotation::Pool;
use auth_core::{
    CandidateSource, Credential, Owner, ProfileId, ProviderId, RefState, Secret, Situation, Standing, cooldown,
    explain, host_of, resolve_order,
};

use crate::outcome::Used;

/// A credential that may be tried.
#[derive(Clone, Debug)]
pub(crate) enum Tried {
    /// A stored profile.
    Profile {
        id: ProfileId,
        owner: Owner,
        /// Out of use for this model now.
        waiting: bool,
    },
    /// A key of the environment or the config.
    Key { source: String, secret: Secret },
    /// A server on this machine that wants none.
    Nothing,
}

impl Tried {
    pub(crate) fn used(&self) -> Used {
        match self {
            Self::Profile { id, .. } => Used { source: format!("profile:{id}"), profile: Some(id.clone()) },
            Self::Key { source, .. } => Used { profile: None, source: source.clone() },
            Self::Nothing => Used { profile: None, source: "none".to_owned() },
        }
    }
}

/// The credentials of a model.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) pool: Pool,
    pub(crate) list: Vec<Tried>,
    /// The profiles of the order, whether tried or not.
    pub(crate) order: Vec<ProfileId>,
}

/// Why there are no candidates.
pub(crate) enum NoCandidates {
    /// The pinned profile is not in the order.
    NotConfigured(ProfileId),
    /// There is no credential at all.
    NoCredential,
    /// The key of the config cannot be had, and why.
    Unresolved(String),
    /// The one in charge is found by the provider's own library, and is no key: where it comes from.
    Ambient(String),
}

/// Which profile comes first, and whether it is the only one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preferred<'a> {
    pub(crate) profile: Option<&'a ProfileId>,
    pub(crate) locked: bool,
}

pub(crate) fn candidates(
    situation: &Situation<'_>,
    provider: &ProviderId,
    model: &str,
    preferred: Preferred<'_>,
    is_local: bool,
) -> Result<Candidates, NoCandidates> {
    let entry = situation.config.provider(provider);
    let by_key = entry.is_some_and(|entry| entry.auth.as_deref() == Some("api-key") && entry.api_key.is_some());
    let order = resolve_order(situation.config, situation.store, provider, preferred.profile, situation.now);
    let ids: Vec<ProfileId> = order.tried.iter().map(|entry| entry.id.clone()).collect();
    if !by_key {
        let profile = |id: &ProfileId| {
            let stored = situation.store.get(id);
            Tried::Profile {
                id: id.clone(),
                owner: stored.map_or(Owner::Agent, |profile| profile.owner),
                waiting: stored
                    .is_some_and(|profile| cooldown(situation.store, profile, Some(model), situation.now).is_some()),
            }
        };
        if let Some(locked) = preferred.profile.filter(|_| preferred.locked) {
            if !ids.contains(locked) {
                return Err(NoCandidates::NotConfigured(locked.clone()));
            }
            return Ok(Candidates { pool: Pool::PinnedProfile, list: vec![profile(locked)], order: ids });
        }
        if !ids.is_empty() {
            let list = ids.iter().map(profile).collect();
            return Ok(Candidates { pool: Pool::Profiles, list, order: ids });
        }
    }
    let explanation = explain(situation, provider, Some(model));
    let counts = |standing: &Standing, is_variable: bool| match standing {
        Standing::Next => true,
        Standing::InReserve => is_variable,
        _ => false,
    };
    let list: Vec<Tried> = explanation
        .candidates
        .iter()
        .filter(|candidate| !matches!(candidate.source, CandidateSource::Profile(_)))
        .filter(|candidate| counts(&candidate.standing, matches!(candidate.source, CandidateSource::Variable { .. })))
        .filter_map(|candidate| {
            let secret = candidate.secret().and_then(Secret::cleaned)?;
            Some(Tried::Key { source: candidate.source.label(), secret })
        })
        .collect();
    if !list.is_empty() {
        return Ok(Candidates { pool: Pool::Keys, list, order: Vec::new() });
    }
    let unresolved = explanation.candidates.iter().find_map(|candidate| match &candidate.standing {
        Standing::Unresolved(why) => Some(format!("{}: {why}", candidate.source.label())),
        _ => None,
    });
    let ambient = explanation.next().and_then(|next| match &next.source {
        CandidateSource::Ambient(source) => Some(source.clone()),
        _ => None,
    });
    match (unresolved, ambient) {
        (Some(why), _) => Err(NoCandidates::Unresolved(why)),
        (None, _) if is_local => Ok(Candidates { pool: Pool::Keys, list: vec![Tried::Nothing], order: Vec::new() }),
        (None, Some(source)) => Err(NoCandidates::Ambient(source)),
        (None, None) => Err(NoCandidates::NoCredential),
    }
}

/// The secret of a stored key or token, wherever it is; `None` for logins.
///
/// # Errors
///
/// Why there is none.
pub(crate) fn static_secret(situation: &Situation<'_>, id: &ProfileId) -> Result<Option<Secret>, String> {
    let profile = situation.store.get(id).ok_or_else(|| format!("Auth profile \"{id}\" not found"))?;
    let expected = situation.config.auth_profiles.get(id.as_str()).map(|entry| entry.mode);
    if let Some(violation) = profile.ref_policy_violation(expected) {
        return Err(violation);
    }
    let material = match &profile.credential {
        Credential::ApiKey { key: material } | Credential::Token { token: material, .. } => material,
        Credential::OAuth { .. } => return Ok(None),
    };
    let missing = || format!("Auth profile \"{id}\" holds no credential");
    let Some(reference) = material.resolved_reference(&situation.config.secrets.defaults) else {
        return material.inline().and_then(Secret::cleaned).map(Some).ok_or_else(missing);
    };
    match situation.refs.get(&reference) {
        RefState::Resolved(secret) => secret.cleaned().map(Some).ok_or_else(missing),
        RefState::Unresolved(why) => Err(format!("could not resolve SecretRef \"{reference}\": {why}")),
        RefState::NotRun => Err(format!("could not resolve SecretRef \"{reference}\": its program was not run")),
    }
}

/// Whether an address names this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    let Some(host) = host_of(url) else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
