//! `secrets plan` (spec 05 section 13): every plaintext gets a name at one destination, is put there where this program
//! can do that, and a plan says which reference takes its place.

use std::cell::RefCell;
use std::path::Path;

use auth_core::secrets::{FileMode, Naming, Plan, PlanTarget, ProviderSettings, ScrubOptions};
use auth_core::{AgentId, Fingerprint, RefSource, RefState, Secret, SecretRef};
use serde_json::{Map, Value};

use super::inventory::{Holds, SecretPlace, inventory};
use super::json_file::add_to_json_file;
use super::keeper::{KeeperError, KeeperKind, KeeperPlace, NOT_FOUND, helper_arguments, keeper_provider, open_keeper};
use super::path_check::{PathLabel, absolute_path};
use super::resolver::{ExecPolicy, Resolver};
use crate::state::State;
use crate::write_host::WriteHost;

/// Where secrets move to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Variables; setting them is the user's.
    Env,
    /// The file of a file provider.
    File(String),
    /// The keyring or an age file.
    Keeper(KeeperKind),
}

impl Destination {
    /// Reads `env`, `file:<alias>`, `keyring` or `age`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "env" => Some(Self::Env),
            other => match other.strip_prefix("file:") {
                Some(alias) => Some(Self::File(alias.to_owned())),
                None => KeeperKind::parse(other).map(Self::Keeper),
            },
        }
    }
}

/// Why no plan was made. Nothing was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The config has no such file provider.
    #[error("secrets.providers.{0} is not a file provider of the config")]
    NoFileProvider(String),
    /// One file with one value cannot hold several.
    #[error("secrets.providers.{0} holds a single value (mode singleValue), so it cannot take {1} secrets")]
    SingleValue(String, usize),
    /// An alias is taken by something else.
    #[error("secrets.providers.{0} is there already and is something else; remove or rename it first")]
    AliasTaken(String),
    /// The destination cannot be used.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The destination does not tell what it has.
    #[error("the {0} store cannot be read: {1}")]
    Unusable(&'static str, String),
    /// The provider of the destination cannot be used.
    #[error(transparent)]
    Provider(#[from] auth_core::secrets::SecretError),
    /// What was put there is not what is found there.
    #[error("{0} was stored, but reading it back gave something else")]
    ReadBack(String),
}

/// Where secrets move, and how.
#[derive(Clone, Copy, Debug)]
pub struct MoveTo<'a> {
    /// Where to.
    pub destination: &'a Destination,
    /// The real path of the running program: what a keeper's provider starts.
    pub program: &'a Path,
    /// Where keepers find what they need.
    pub keeper: KeeperPlace<'a>,
    /// Whether the values are stored there; otherwise only the plan is made.
    pub store: bool,
}

/// One secret on its way.
#[derive(Clone, Debug)]
pub struct Move {
    /// Where it stands now.
    pub from: SecretPlace,
    /// What takes its place.
    pub reference: SecretRef,
    /// It, masked.
    pub shown: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Whether the reference gives it already.
    pub is_there: bool,
}

/// A plan with what it is about.
#[derive(Clone, Debug)]
pub struct Migration {
    /// The plan.
    pub plan: Plan,
    /// The secrets that move.
    pub moves: Vec<Move>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// Where the values were stored, if this program did that.
    pub stored_in: Option<String>,
}

/// Makes a plan for all plaintext of the config and of some agents' stores, and stores the values at the destination
/// first where that is ours to do, unless `store` is false.
///
/// # Errors
///
/// When the destination cannot take them. Values that were stored before the error stay there; no file of OpenClaw is
/// changed.
pub fn migrate(state: &State, authored: &Value, agents: &[AgentId], to: MoveTo<'_>) -> Result<Migration, MigrateError> {
    let MoveTo { destination, keeper, store, .. } = to;
    let host: &dyn WriteHost = keeper.host;
    let (places, errors) = inventory(state, authored, agents, host);
    let mut notes: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {}; its profiles stay as they are", state.layout.shorten(&error.path), error.message))
        .collect();
    let mut plaintext: Vec<(SecretPlace, Secret)> = Vec::new();
    let mut beside: Vec<Move> = Vec::new();
    for place in places {
        match place.holds.clone() {
            Holds::Plaintext(secret) if secret.cleaned().is_some() => plaintext.push((place, secret)),
            Holds::Plaintext(_) => {
                notes.push(format!("{} holds nothing that could be sent, and stays as it is", place.label));
            }
            Holds::Both(reference, secret) => match beside_reference(state, place, reference, &secret, host) {
                Ok(one) => beside.push(one),
                Err(note) => notes.push(note),
            },
            Holds::Reference(_) | Holds::Nothing => {}
        }
    }
    let mut upserts = Map::new();
    let mut moves = match destination {
        Destination::Env => to_variables(state, plaintext, &mut notes),
        Destination::File(alias) => to_file(state, plaintext, alias, host, store)?,
        Destination::Keeper(kind) => to_keeper(state, plaintext, *kind, to, &mut upserts)?,
    };
    let stored_in = if store && !moves.is_empty() { stored_in(state, destination, keeper) } else { None };
    moves.extend(beside);
    let targets = moves.iter().map(|one| PlanTarget {
        place: one.from.place.clone(),
        reference: one.reference.clone(),
        fingerprint: Some(one.fingerprint.to_string()),
    });
    let plan = Plan {
        targets: targets.collect(),
        provider_upserts: if moves.is_empty() { Map::new() } else { upserts },
        provider_deletes: Vec::new(),
        // Every plaintext is a target itself; whatever else a provider has is not ours to empty.
        scrub: ScrubOptions { env: true, profiles: false, legacy_auth: true },
    };
    Ok(Migration { plan, moves, notes, stored_in })
}

/// A plaintext beside a reference that gives the same goes; one that does not is for its owner to look at.
fn beside_reference(
    state: &State,
    place: SecretPlace,
    reference: SecretRef,
    secret: &Secret,
    host: &dyn WriteHost,
) -> Result<Move, String> {
    let resolver = Resolver::new(&state.config.secrets, &state.environment, &state.layout, host, ExecPolicy::Never);
    let label = &place.label;
    match resolver.resolve([&reference]).get(&reference) {
        RefState::Resolved(held) if held.is_same(secret) => Ok(moved(place, reference, secret, true)),
        RefState::Resolved(_) => Err(format!(
            "{label} holds a plaintext beside {reference}, which gives another secret; remove the plaintext by hand if it is old"
        )),
        RefState::Unresolved(_) | RefState::NotRun => {
            Err(format!("{label} holds a plaintext beside {reference}, which was not resolved; it stays as it is"))
        }
    }
}

/// Where a destination keeps what is stored there, for people.
fn stored_in(state: &State, destination: &Destination, keeper: KeeperPlace<'_>) -> Option<String> {
    match destination {
        Destination::Env => None,
        Destination::File(alias) => match state.config.secrets.providers.get(alias)? {
            ProviderSettings::File(file) => Some(state.layout.shorten(&state.layout.user_path(&file.path))),
            ProviderSettings::Env(_) | ProviderSettings::Exec(_) => None,
        },
        Destination::Keeper(KeeperKind::Keyring) => Some("the keyring".to_owned()),
        Destination::Keeper(KeeperKind::Age) => Some(state.layout.shorten(&keeper.age_path())),
    }
}

fn moved(from: SecretPlace, reference: SecretRef, secret: &Secret, is_there: bool) -> Move {
    Move { from, reference, shown: secret.masked(), fingerprint: secret.fingerprint(), is_there }
}

fn to_variables(state: &State, plaintext: Vec<(SecretPlace, Secret)>, notes: &mut Vec<String>) -> Vec<Move> {
    let mut naming = Naming::default();
    let held = |name: &str| state.environment.credential(name).map(|(secret, _)| secret);
    let alias = state.config.secrets.env_alias().to_owned();
    if let Some(ProviderSettings::Env(provider)) = state.config.secrets.providers.get(&alias)
        && provider.allowlist.is_some()
    {
        notes.push(format!("secrets.providers.{alias} has an allowlist; add the variables below to it"));
    }
    plaintext
        .into_iter()
        .map(|(place, secret)| {
            let id = naming.variable(&place.place, &place.provider, &secret, held);
            let is_there = held(&id).is_some();
            moved(place, SecretRef { source: RefSource::Env, provider: alias.clone(), id }, &secret, is_there)
        })
        .collect()
}

fn to_file(
    state: &State,
    plaintext: Vec<(SecretPlace, Secret)>,
    alias: &str,
    host: &dyn WriteHost,
    store: bool,
) -> Result<Vec<Move>, MigrateError> {
    let Some(ProviderSettings::File(provider)) = state.config.secrets.providers.get(alias) else {
        return Err(MigrateError::NoFileProvider(alias.to_owned()));
    };
    let label = PathLabel(format!("secrets.providers.{alias}.path"));
    let path = absolute_path(&provider.path, &label, &state.layout)?;
    let reference = |id: String| SecretRef { source: RefSource::File, provider: alias.to_owned(), id };
    let resolver = Resolver::new(&state.config.secrets, &state.environment, &state.layout, host, ExecPolicy::Never);
    let held = |id: &str| match resolver.resolve([&reference(id.to_owned())]).get(&reference(id.to_owned())) {
        RefState::Resolved(secret) => Some(secret.clone()),
        _ => None,
    };
    if provider.mode == FileMode::SingleValue {
        let mut distinct: Vec<Fingerprint> = plaintext.iter().map(|(_, secret)| secret.fingerprint()).collect();
        distinct.sort();
        distinct.dedup();
        let fits = plaintext.iter().all(|(_, secret)| held("value").is_some_and(|there| there.is_same(secret)));
        if distinct.len() > 1 || !fits {
            return Err(MigrateError::SingleValue(alias.to_owned(), distinct.len()));
        }
        return Ok(plaintext.into_iter().map(|(p, s)| moved(p, reference("value".to_owned()), &s, true)).collect());
    }
    let mut naming = Naming::default();
    let mut moves = Vec::new();
    let mut wanted: Vec<(String, Secret)> = Vec::new();
    for (place, secret) in plaintext {
        let id = naming.id(&place.place, &place.provider, &secret, |id| held(&format!("/{id}")));
        let pointer = format!("/{id}");
        if !wanted.iter().any(|(known, _)| *known == pointer) {
            wanted.push((pointer.clone(), secret.clone()));
        }
        moves.push(moved(place, reference(pointer), &secret, true));
    }
    if store && !wanted.is_empty() {
        add_to_json_file(&path, provider.max_bytes, &wanted, &state.layout, host)?;
        let again = Resolver::new(&state.config.secrets, &state.environment, &state.layout, host, ExecPolicy::Never);
        read_back(&again, &moves)?;
    }
    Ok(moves)
}

fn to_keeper(
    state: &State,
    plaintext: Vec<(SecretPlace, Secret)>,
    kind: KeeperKind,
    to: MoveTo<'_>,
    upserts: &mut Map<String, Value>,
) -> Result<Vec<Move>, MigrateError> {
    let MoveTo { program, keeper: place, store, .. } = to;
    let (alias, file) = match known_provider(state, kind, program, place.host) {
        Some(known) => known,
        None if state.config.secrets.providers.contains_key(kind.as_str()) => {
            return Err(MigrateError::AliasTaken(kind.as_str().to_owned()));
        }
        None => {
            upserts.insert(kind.as_str().to_owned(), keeper_provider(kind, program, place));
            (kind.as_str().to_owned(), None)
        }
    };
    let place = KeeperPlace { age_file: file.as_deref().or(place.age_file), ..place };
    let keeper = open_keeper(kind, place)?;
    // Only what is surely free is taken: an entry that cannot be read now may be somebody's.
    let fault = RefCell::new(None);
    let held = |id: &str| match keeper.get(&[id]).pop() {
        Some(Ok(secret)) => Some(secret),
        Some(Err(why)) if why == NOT_FOUND => None,
        Some(Err(why)) => {
            fault.replace(Some(why));
            None
        }
        None => None,
    };
    let mut naming = Naming::default();
    let mut moves = Vec::new();
    for (from, secret) in plaintext {
        let id = naming.id(&from.place, &from.provider, &secret, held);
        let is_there = held(&id).is_some();
        if let Some(why) = fault.take() {
            return Err(MigrateError::Unusable(kind.as_str(), why));
        }
        if store && !is_there {
            keeper.set(&id, &secret)?;
        }
        if store && !held(&id).is_some_and(|there| there.is_same(&secret)) {
            return Err(MigrateError::ReadBack(id));
        }
        let reference = SecretRef { source: RefSource::Exec, provider: alias.clone(), id };
        moves.push(moved(from, reference, &secret, store || is_there));
    }
    Ok(moves)
}

/// The alias and file of a provider of the config that is this program as a helper.
fn known_provider(
    state: &State,
    kind: KeeperKind,
    program: &Path,
    host: &dyn WriteHost,
) -> Option<(String, Option<std::path::PathBuf>)> {
    state.config.secrets.providers.iter().find_map(|(alias, provider)| {
        let ProviderSettings::Exec(exec) = provider else { return None };
        let (found, file) = helper_arguments(&exec.args)?;
        let own = host.real_path(Path::new(&exec.command)).is_ok_and(|real| real == program);
        (own && found == kind).then(|| (alias.clone(), file))
    })
}

fn read_back(resolver: &Resolver<'_>, moves: &[Move]) -> Result<(), MigrateError> {
    let states = resolver.resolve(moves.iter().map(|one| &one.reference));
    let wrong = moves.iter().find(|one| match states.get(&one.reference) {
        RefState::Resolved(secret) => secret.fingerprint() != one.fingerprint,
        RefState::Unresolved(_) | RefState::NotRun => true,
    });
    wrong.map_or(Ok(()), |one| Err(MigrateError::ReadBack(one.reference.to_string())))
}
