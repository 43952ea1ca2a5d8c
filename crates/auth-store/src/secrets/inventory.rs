//! Every place that holds a model credential, with what stands there (spec 05 section 13).

use auth_core::config::holds_template;
use auth_core::provider::is_marker;
use auth_core::secrets::{ConfigSecret, PlanPlace, config_secrets, is_sensitive_header, unescaped};
use auth_core::{
    AgentId, AuthProfiles, CredentialKind, Material, Owner, RefDefaults, Secret, SecretRef, StoreDocument,
};
use serde_json::Value;

use crate::host::Host;
use crate::profiles_file::{MAX_STORE_BYTES, STORE_FILE, StoreError};
use crate::secure_file::reason;
use crate::state::State;

/// What stands at a place.
#[derive(Clone, Debug)]
pub enum Holds {
    /// The secret itself.
    Plaintext(Secret),
    /// A reference.
    Reference(SecretRef),
    /// A reference, and beside it a plaintext that is not used.
    Both(SecretRef, Secret),
    /// Nothing, or something that stands for a secret without being one.
    Nothing,
}

/// A place that holds a model credential.
#[derive(Clone, Debug)]
pub struct SecretPlace {
    /// Where.
    pub place: PlanPlace,
    /// Its provider.
    pub provider: String,
    /// `openclaw:<path>` or `auth-profiles:<agent>:<path>`.
    pub label: String,
    /// What stands there.
    pub holds: Holds,
}

/// The places of the config, and of the stores of some agents, sorted by their labels; and the stores that cannot be
/// read.
pub fn inventory(
    state: &State,
    authored: &Value,
    agents: &[AgentId],
    host: &dyn Host,
) -> (Vec<SecretPlace>, Vec<StoreError>) {
    let mut places: Vec<SecretPlace> =
        config_secrets(authored).iter().filter_map(|secret| of_config(secret, state)).collect();
    let mut errors = Vec::new();
    for agent in agents {
        match own_store(state, agent, host) {
            Ok((store, document)) => places.extend(of_store(&store, &document, agent, state)),
            Err(error) => errors.push(error),
        }
    }
    places.sort_by(|a, b| a.label.cmp(&b.label));
    (places, errors)
}

fn own_store(state: &State, agent: &AgentId, host: &dyn Host) -> Result<(AuthProfiles, StoreDocument), StoreError> {
    let path = state.layout.agent_dir(&state.config, agent).join(STORE_FILE);
    let broken = |message: String| StoreError { path: path.clone(), message };
    let bytes = match host.read(&path, MAX_STORE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((AuthProfiles::default(), StoreDocument::empty()));
        }
        Err(error) => return Err(broken(reason(&error))),
    };
    let text = String::from_utf8(bytes).map_err(|_| broken("is not UTF-8".to_owned()))?;
    let store = AuthProfiles::parse(&text, Owner::Agent).map_err(|error| broken(error.to_string()))?;
    let document = StoreDocument::parse(&text).map_err(|error| broken(error.to_string()))?;
    Ok((store, document))
}

fn of_config(secret: &ConfigSecret<'_>, state: &State) -> Option<SecretPlace> {
    let holds = match SecretRef::coerce(secret.value, &state.config.secrets.defaults) {
        Some(reference) => Holds::Reference(reference),
        None if is_plaintext(secret) => Holds::Plaintext(Secret::new(unescaped(secret.value.as_str()?))),
        None if secret.target.is_plain_header() => return None,
        None => Holds::Nothing,
    };
    Some(SecretPlace {
        place: PlanPlace::Config {
            target: secret.target,
            path: secret.path.iter().map(|step| (*step).to_owned()).collect(),
            provider: secret.provider.to_owned(),
        },
        provider: secret.provider.to_owned(),
        label: format!("openclaw:{}", secret.dotted()),
        holds,
    })
}

fn of_store(store: &AuthProfiles, document: &StoreDocument, agent: &AgentId, state: &State) -> Vec<SecretPlace> {
    let of_profile = |profile: &auth_core::Profile| {
        let kind = profile.credential.kind();
        let material = profile.credential.material()?;
        let holds = match material {
            Material::Inline(secret) if !secret.is_blank() => Holds::Plaintext(secret.clone()),
            other => match other.resolved_reference(&state.config.secrets.defaults) {
                Some(reference) => match document.plaintext(&profile.id, kind) {
                    Some(beside) if SecretRef::from_template(beside.reveal(), &RefDefaults::default()).is_none() => {
                        Holds::Both(reference, beside)
                    }
                    _ => Holds::Reference(reference),
                },
                None => Holds::Nothing,
            },
        };
        let field = if kind == CredentialKind::Token { "token" } else { "key" };
        Some(SecretPlace {
            place: PlanPlace::Profile { agent: agent.clone(), id: profile.id.clone(), kind, provider: None },
            provider: profile.provider_as_stored.to_string(),
            label: format!("auth-profiles:{agent}:profiles.{}.{field}", profile.id),
            holds,
        })
    };
    store.iter().filter_map(of_profile).collect()
}

/// Whether a config value that is no reference is a secret in plain sight.
pub(super) fn is_plaintext(secret: &ConfigSecret<'_>) -> bool {
    let Some(text) = secret.value.as_str().filter(|text| !text.trim().is_empty()) else { return false };
    // What stands for a secret is none; neither is a text that a variable completes.
    let harmless = is_marker(text) || holds_template(&text.replace("$${", ""));
    let named = !secret.target.is_plain_header() || secret.path.last().is_some_and(|name| is_sensitive_header(name));
    named && !harmless
}

/// Every agent: main, those of the config, and those that only have a directory.
pub fn all_agents(state: &State, host: &dyn Host) -> Vec<AgentId> {
    let mut agents = vec![AgentId::main()];
    let existing = host.names_in(&state.layout.state_dir().join("agents"));
    let existing = existing.iter().filter_map(|dir| dir.file_name()?.to_str()).filter_map(|name| {
        let agent = AgentId::normalise(name);
        (agent.as_str() == name).then_some(agent)
    });
    for agent in state.config.known_agents().into_iter().chain(existing) {
        if !agents.contains(&agent) {
            agents.push(agent);
        }
    }
    agents
}
