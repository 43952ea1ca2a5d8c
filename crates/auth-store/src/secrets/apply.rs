//! `secrets apply` (spec 05 section 12): references in the place of plaintext, in every file or in none.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use auth_core::config;
use auth_core::secrets::{
    EnvLine, Plan, PlanPlace, ProviderSettings, SecretsConfig, config_references, env_lines, holds_secret,
    is_credential_variable, project_config, project_legacy, project_store, variables_named, without_env_lines,
};
use auth_core::{
    AgentId, AuthProfiles, Config, Environment, Owner, ProfileId, ProviderId, RefSource, RefState, Secret, SecretRef,
    StoreDocument,
};
use serde_json::Value;

use super::agent_dirs;
use super::resolver::{ExecPolicy, OwnHelper, Resolver};
use crate::backup_ring::BACKUPS;
use crate::config_writer::{ConfigWriteError, ConfigWriter};
use crate::lock::{LockError, lock};
use crate::profiles_file::{MAX_STORE_BYTES, STORE_FILE};
use crate::replace::{Replacement, WriteError, make_parent, replace_all};
use crate::secure_file::reason;
use crate::state::{Ground, State};
use crate::store_writer::{Run, StoreWriteError, StoreWriter};
use crate::write_host::WriteHost;

/// How often a plan is applied anew when somebody without the lock wrote in between.
const TRIES: usize = 3;
/// How many files the ring of backups of a store may have.
const STORE_RING: usize = 32;

/// How a plan is applied.
#[derive(Clone, Copy, Debug)]
pub struct ApplyOptions {
    /// Made, or only shown.
    pub run: Run,
    /// Whether programs may be run.
    pub allow_exec: bool,
    /// Whether backups with a replaced secret stay.
    pub keep_backups: bool,
}

/// What a plan did, or would do.
#[derive(Clone, Debug, Default)]
pub struct ApplyReport {
    /// The files that changed, sorted.
    pub changed_files: Vec<String>,
    /// How many of the plan's references were resolved.
    pub refs_checked: usize,
    /// How many were not, because a program would have had to run.
    pub skipped_exec_refs: usize,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Backups with a replaced secret: removed, to be removed, or kept.
    pub backups: Vec<String>,
    /// What comes where: the place, and the reference.
    pub targets: Vec<(String, String)>,
    /// Lines that go from the `.env` file, by their variables.
    pub env_lines: Vec<String>,
}

/// Why a plan was not applied. Every file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// It asks programs, and nobody agreed.
    #[error("Plan contains exec SecretRefs/providers. Re-run with --allow-exec.")]
    NeedsConsent,
    /// The config cannot be changed so.
    #[error(transparent)]
    Config(#[from] ConfigWriteError),
    /// A store cannot be changed so.
    #[error(transparent)]
    Store(#[from] StoreWriteError),
    /// A file that takes part cannot be used.
    #[error("{file} {why}")]
    File {
        /// The file as shown to people.
        file: String,
        /// What is wrong with it; holds no text of it.
        why: String,
    },
    /// References that do not resolve, one a line: where, which and why.
    #[error("{}", .0.join("\n"))]
    Unresolved(Vec<String>),
    /// A reference resolves to something else than the secret that it is to replace.
    #[error("{at}: {reference} resolves to another secret ({has}) than the one it is to replace ({wants})")]
    OtherSecret {
        /// Where it stands.
        at: String,
        /// The reference.
        reference: String,
        /// What it resolves to, as a fingerprint.
        has: String,
        /// What it should resolve to, as a fingerprint.
        wants: String,
    },
    /// A login and a reference meet.
    #[error("{0}")]
    Policy(String),
    /// The lock of a file was not had.
    #[error("Secrets apply failed: {0}")]
    Lock(#[from] LockError),
    /// A file could not be written; all were put back.
    #[error("Secrets apply failed: {0}")]
    Write(#[from] WriteError),
    /// Somebody keeps writing the files.
    #[error("Secrets apply failed: the files changed meanwhile; run the command again")]
    Changed,
}

/// Applies a plan, or shows what it would do. `command` names the command for the log of writes.
///
/// # Errors
///
/// When anything about it cannot be done; nothing is changed then.
pub fn apply(
    ground: impl Fn() -> Ground,
    plan: &Plan,
    options: ApplyOptions,
    helper: Option<&dyn OwnHelper>,
    host: &dyn WriteHost,
) -> Result<ApplyReport, ApplyError> {
    for _ in 0..TRIES {
        let work = Work { plan, options, helper, host };
        if let Some(report) = work.try_once(ground())? {
            return Ok(report);
        }
    }
    Err(ApplyError::Changed)
}

/// One file and what becomes of it.
struct FileChange {
    path: PathBuf,
    old: Option<Secret>,
    new: Option<Secret>,
}

impl FileChange {
    fn new(path: PathBuf, old: Option<Secret>, new: Option<String>) -> Self {
        let new = new.filter(|new| old.as_ref().is_none_or(|old| old.reveal() != new)).map(Secret::new);
        Self { path, old, new }
    }
}

/// All files of the plan as they were read and as they would be.
struct Projection {
    files: Vec<FileChange>,
    config: Config,
    /// The config as its author would have written it.
    document: Value,
    stores: Vec<(String, AuthProfiles)>,
    replaced: Vec<Secret>,
    warnings: Vec<String>,
    config_changed: bool,
    env_lines: Vec<String>,
}

struct Work<'a> {
    plan: &'a Plan,
    options: ApplyOptions,
    helper: Option<&'a dyn OwnHelper>,
    host: &'a dyn WriteHost,
}

impl Work<'_> {
    /// Applies the plan once; `None` when a file changed while it was worked out.
    fn try_once(&self, ground: Ground) -> Result<Option<ApplyReport>, ApplyError> {
        let (state, _) = State::read(ground, self.host).map_err(ConfigWriteError::from)?;
        self.check_consent(&state)?;
        let projection = self.project(&state)?;
        let targets = self.plan.targets.iter().map(|target| (describe(&target.place), target.reference.to_string()));
        let mut report = ApplyReport {
            warnings: projection.warnings.clone(),
            targets: targets.collect(),
            env_lines: projection.env_lines.clone(),
            ..ApplyReport::default()
        };
        self.check_references(&state, &projection, &mut report)?;
        let mut changed: Vec<&FileChange> = projection.files.iter().filter(|file| file.new.is_some()).collect();
        report.changed_files = changed.iter().map(|file| file.path.display().to_string()).collect();
        report.changed_files.sort();
        if changed.is_empty() {
            return Ok(Some(report));
        }
        if self.options.run == Run::Real {
            // Locks are taken in one order, so that two of us never wait for each other.
            changed.sort_by_key(|file| &file.path);
            for file in &changed {
                make_parent(&file.path, self.host)?;
            }
            let locked = changed.iter().map(|file| lock(&file.path, self.host)).collect::<Result<Vec<_>, _>>()?;
            if !self.is_unchanged(&projection) {
                return Ok(None);
            }
            let bytes = |secret: &Secret| secret.reveal().as_bytes().to_vec();
            let contents: Vec<(Option<Vec<u8>>, Vec<u8>)> = changed
                .iter()
                .map(|file| (file.old.as_ref().map(bytes), file.new.as_ref().map(bytes).unwrap_or_default()))
                .collect();
            let files: Vec<Replacement<'_, '_>> = changed
                .iter()
                .zip(&locked)
                .zip(&contents)
                .map(|((file, guard), (old, new))| Replacement { guard, path: &file.path, old: old.as_deref(), new })
                .collect();
            replace_all(&files, self.host)?;
            if projection.config_changed {
                self.config_writer(&state).written();
            }
        }
        self.backups(&state, &projection, &mut report);
        Ok(Some(report))
    }

    fn config_writer<'s>(&'s self, state: &'s State) -> ConfigWriter<'s> {
        ConfigWriter::new(&state.layout, &state.environment, self.host, "secrets apply")
    }

    /// A plan that asks programs needs consent to be applied, unless it asks only this very program.
    fn check_consent(&self, state: &State) -> Result<(), ApplyError> {
        if self.options.allow_exec || self.options.run == Run::Dry || !self.plan.uses_exec() {
            return Ok(());
        }
        let mut secrets = state.config.secrets.clone();
        let upserts = self.plan.provider_upserts.iter();
        secrets
            .providers
            .extend(upserts.filter_map(|(alias, entry)| Some((alias.clone(), ProviderSettings::from_value(entry)?))));
        let resolver = self.resolver(&secrets, state, ExecPolicy::Own);
        let upserted = self.plan.provider_upserts.iter().filter_map(|(alias, entry)| {
            let is_exec = entry.get("source").and_then(Value::as_str) == Some("exec");
            is_exec.then(|| SecretRef { source: RefSource::Exec, provider: alias.clone(), id: "any".to_owned() })
        });
        let asked = self.plan.targets.iter().map(|target| target.reference.clone()).chain(upserted);
        let foreign =
            asked.filter(|reference| reference.source == RefSource::Exec).any(|reference| resolver.skips(&reference));
        if foreign { Err(ApplyError::NeedsConsent) } else { Ok(()) }
    }

    fn resolver<'s>(&'s self, secrets: &'s SecretsConfig, state: &'s State, policy: ExecPolicy) -> Resolver<'s> {
        Resolver::new(secrets, &state.environment, &state.layout, self.host, policy).with_helper(self.helper)
    }

    fn project(&self, state: &State) -> Result<Projection, ApplyError> {
        // Worked out on the very text that is read here, so that nothing that somebody else writes is undone.
        let outcome = RefCell::new(None);
        let planned = self.config_writer(state).plan(&|root| {
            let projected = project_config(root, self.plan)?;
            root.clone_from(&projected.document);
            outcome.replace(Some(projected));
            Ok(())
        })?;
        let new_config = outcome.into_inner().ok_or(ApplyError::Changed)?;
        let files = planned.texts.iter().map(|(path, text)| {
            let old = planned.authored.files.iter().find(|file| file.path == *path);
            FileChange::new(path.clone(), old.map(|file| Secret::new(file.text.clone())), Some(text.clone()))
        });
        let files: Vec<FileChange> = files.collect();
        let mut substituted = new_config.document.clone();
        config::substitute(&mut substituted, &state.environment);
        let mut projection = Projection {
            config_changed: planned.change.changed,
            files,
            config: Config::from_value(&substituted),
            document: new_config.document,
            stores: Vec::new(),
            replaced: new_config.replaced,
            warnings: Vec::new(),
            env_lines: Vec::new(),
        };
        self.stores(state, &new_config.providers, &mut projection)?;
        if self.plan.scrub.legacy_auth {
            self.legacy(state, &new_config.providers, &mut projection)?;
        }
        if self.plan.scrub.env {
            self.dotenv(state, &mut projection)?;
        }
        Ok(projection)
    }

    /// The text of a file that takes part; `None` when it is not there.
    fn read(&self, state: &State, path: &Path, limit: u64) -> Result<Option<Secret>, ApplyError> {
        let fail = |why: String| ApplyError::File { file: state.layout.shorten(path), why };
        match self.host.read(path, limit) {
            Ok(bytes) => String::from_utf8(bytes)
                .map(|text| Some(Secret::new(text)))
                .map_err(|_| fail("is not UTF-8".to_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(fail(format!("cannot be read: {}", reason(&error)))),
        }
    }

    /// The stores, each file once, with the agents of the plan whose store it is.
    fn owners(&self, state: &State) -> Vec<(PathBuf, Vec<AgentId>)> {
        let named = self.plan.targets.iter().filter_map(|target| match &target.place {
            PlanPlace::Profile { agent, .. } => Some(agent.clone()),
            PlanPlace::Config { .. } => None,
        });
        let named = named.map(|agent| (state.layout.agent_dir(&state.config, &agent), Some(agent)));
        let known = agent_dirs(&state.layout, Some(&state.config), self.host).into_iter().map(|dir| (dir, None));
        let mut owners: Vec<(PathBuf, PathBuf, Vec<AgentId>)> = Vec::new();
        for (dir, agent) in known.chain(named) {
            let real = self.real_file(dir.join(STORE_FILE));
            let at = owners.iter().position(|(known, ..)| *known == real).unwrap_or_else(|| {
                owners.push((real, dir, Vec::new()));
                owners.len() - 1
            });
            let agents = &mut owners[at].2;
            agents.extend(agent.filter(|agent| !agents.contains(agent)));
        }
        owners.into_iter().map(|(_, dir, agents)| (dir, agents)).collect()
    }

    /// Where a file really is, whether it exists or not.
    fn real_file(&self, path: PathBuf) -> PathBuf {
        if let Ok(real) = self.host.real_path(&path) {
            return real;
        }
        let dir = path.parent().and_then(|dir| self.host.real_path(dir).ok());
        match (dir, path.file_name()) {
            (Some(dir), Some(name)) => dir.join(name),
            _ => path,
        }
    }

    fn stores(&self, state: &State, providers: &[ProviderId], projection: &mut Projection) -> Result<(), ApplyError> {
        for (dir, agents) in self.owners(state) {
            // Several paths may lead to one file; it is read and written once, as itself.
            let path = self.real_file(dir.join(STORE_FILE));
            let shown = state.layout.shorten(&path);
            let old = self.read(state, &path, MAX_STORE_BYTES)?;
            if old.is_none() && agents.is_empty() {
                continue;
            }
            let writer = StoreWriter::new(&dir, &state.layout, &state.environment, self.host);
            // Also takes over the legacy files of an agent that has no store yet, as every writer does.
            let mut document: StoreDocument = match writer.read() {
                Ok(open) => open.document,
                // A store that cannot be read is no reason to leave the others, unless the plan is about it.
                Err(error) if agents.is_empty() => {
                    projection.warnings.push(format!("{shown} was left as it is: {error}"));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let done = project_store(&mut document, self.plan, &agents, providers)
                .map_err(|error| ApplyError::File { file: shown.clone(), why: error.to_string() })?;
            projection.replaced.extend(done.replaced);
            projection.warnings.extend(done.emptied_refs.iter().map(|id| {
                format!("{shown}: profile {id} had a reference of its own, which is gone; it has no credential now")
            }));
            projection.warnings.extend(
                done.logins.iter().map(|id| {
                    format!("{shown}: the OAuth login {id} stays and takes precedence over the new reference")
                }),
            );
            let touched: Vec<&ProfileId> = done.touched.iter().collect();
            let unreadable =
                |error: auth_core::StoreEditError| ApplyError::File { file: shown.clone(), why: error.to_string() };
            let text = document.to_text(&touched).map_err(unreadable)?;
            let store = AuthProfiles::parse(&text, Owner::Agent)
                .map_err(|error| ApplyError::File { file: shown.clone(), why: error.to_string() })?;
            if document.is_changed() {
                writer.check_allowed()?;
            }
            projection.files.push(FileChange::new(path, old, document.is_changed().then_some(text)));
            projection.stores.push((shown, store));
        }
        Ok(())
    }

    fn legacy(&self, state: &State, providers: &[ProviderId], projection: &mut Projection) -> Result<(), ApplyError> {
        for (dir, agents) in self.owners(state) {
            let path = self.real_file(dir.join("auth.json"));
            // Besides the providers whose key is in the config now: those of this agent's own profiles in the plan.
            let mut providers = providers.to_vec();
            let store = self.real_file(dir.join(STORE_FILE));
            let store = projection.stores.iter().find(|(known, ..)| *known == state.layout.shorten(&store));
            for target in &self.plan.targets {
                let PlanPlace::Profile { agent, id, .. } = &target.place else { continue };
                let profile = store.and_then(|(_, store)| store.get(id));
                providers.extend(profile.filter(|_| agents.contains(agent)).map(|profile| profile.provider.clone()));
            }
            let Some(old) = self.read(state, &path, MAX_STORE_BYTES)? else { continue };
            let shown = state.layout.shorten(&path);
            let Ok(document) = serde_json::from_str::<Value>(old.reveal()) else {
                projection.warnings.push(format!("{shown} is not valid JSON and was left as it is"));
                continue;
            };
            let done = project_legacy(&document, &providers, &projection.replaced);
            if !done.kept.is_empty() {
                projection
                    .warnings
                    .push(format!("{shown} keeps the keys of {}, which the plan does not move", done.kept.join(", ")));
            }
            let new = done.document.map(|new| format!("{}\n", serde_json::to_string_pretty(&new).unwrap_or_default()));
            projection.files.push(FileChange::new(path, Some(old), new));
        }
        Ok(())
    }

    fn dotenv(&self, state: &State, projection: &mut Projection) -> Result<(), ApplyError> {
        let path = state.layout.state_dir().join(".env");
        let Some(old) = self.read(state, &path, MAX_STORE_BYTES)? else { return Ok(()) };
        let needed = projection.variables();
        let is_replaced = |line: &EnvLine| {
            let value = Secret::new(line.value.reveal().trim());
            projection.replaced.iter().any(|secret| secret.is_same(&value))
        };
        let goes =
            |line: &EnvLine| is_credential_variable(&line.name) && !needed.contains(&line.name) && is_replaced(line);
        let shown = state.layout.shorten(&path);
        let stays = env_lines(old.reveal()).into_iter().filter(|line| is_replaced(line) && !goes(line));
        let warnings: Vec<String> = stays
            .filter(|line| !needed.contains(&line.name))
            .map(|line| {
                format!("{shown}: line {} ({}) holds a secret that was replaced, and stays", line.line, line.name)
            })
            .collect();
        let gone = env_lines(old.reveal()).into_iter().filter(goes).map(|line| line.name).collect();
        let new = without_env_lines(old.reveal(), goes);
        projection.env_lines = gone;
        projection.warnings.extend(warnings);
        projection.files.push(FileChange::new(path, Some(old), Some(new)));
        Ok(())
    }

    /// Checks that the references of the plan resolve to what they must, and in a real run that all others do.
    fn check_references(
        &self,
        state: &State,
        projection: &Projection,
        report: &mut ApplyReport,
    ) -> Result<(), ApplyError> {
        let policy = if self.options.allow_exec { ExecPolicy::Allow } else { ExecPolicy::Own };
        // What the plan takes out of `.env` is not there afterwards.
        let environment = projection.environment(state);
        let secrets = &projection.config.secrets;
        let resolver = Resolver::new(secrets, &environment, &state.layout, self.host, policy).with_helper(self.helper);
        let complete = self.options.run == Run::Real || self.options.allow_exec;
        let others = if complete { projection.references() } else { Vec::new() };
        let targets = self.plan.targets.iter().map(|target| &target.reference);
        let states = resolver.resolve(targets.chain(others.iter().map(|(_, reference)| reference)));
        let mut unresolved: Vec<String> = Vec::new();
        let mut note = |at: &str, reference: &SecretRef, why: &str| {
            unresolved.push(format!("{at}: {reference} does not resolve: {why}"));
        };
        for target in &self.plan.targets {
            let at = describe(&target.place);
            match states.get(&target.reference) {
                RefState::Unresolved(why) => note(&at, &target.reference, why),
                RefState::NotRun => report.skipped_exec_refs += 1,
                RefState::Resolved(secret) => {
                    report.refs_checked += 1;
                    let has = secret.fingerprint().to_string();
                    if let Some(wants) = target.fingerprint.as_ref().filter(|wants| **wants != has) {
                        let (reference, wants) = (target.reference.to_string(), wants.clone());
                        return Err(ApplyError::OtherSecret { at, reference, has, wants });
                    }
                }
            }
        }
        let is_target = |reference: &SecretRef| self.plan.targets.iter().any(|target| target.reference == *reference);
        for (at, reference) in others.iter().filter(|(_, reference)| !is_target(reference)) {
            if let RefState::Unresolved(why) = states.get(reference) {
                note(at, reference, why);
            }
        }
        if !unresolved.is_empty() {
            unresolved.dedup();
            return Err(ApplyError::Unresolved(unresolved));
        }
        if complete {
            projection.check_policy()?;
        }
        if self.options.run == Run::Real {
            report.skipped_exec_refs = 0;
        }
        Ok(())
    }

    /// Whether every file still is what the projection was made from.
    fn is_unchanged(&self, projection: &Projection) -> bool {
        projection.files.iter().all(|file| match (self.host.read(&file.path, MAX_STORE_BYTES), &file.old) {
            (Ok(bytes), Some(old)) => bytes == old.reveal().as_bytes(),
            (Err(error), None) => error.kind() == ErrorKind::NotFound,
            _ => false,
        })
    }

    /// Backups that still hold a secret that was replaced.
    fn backups(&self, state: &State, projection: &Projection, report: &mut ApplyReport) {
        if projection.replaced.is_empty() {
            return;
        }
        let dirs = agent_dirs(&state.layout, Some(&state.config), self.host);
        let of_agents = dirs.iter().flat_map(|dir| [(dir.join(STORE_FILE), STORE_RING), (dir.join("auth.json"), 1)]);
        for (original, count) in std::iter::once((state.layout.config_path().to_owned(), BACKUPS)).chain(of_agents) {
            for backup in ring(&original, count) {
                let text = match self.host.read(&backup, MAX_STORE_BYTES) {
                    Ok(bytes) => Secret::new(String::from_utf8_lossy(&bytes).into_owned()),
                    Err(_) => continue,
                };
                if !holds_secret(text.reveal(), &projection.replaced) {
                    continue;
                }
                let shown = state.layout.shorten(&backup);
                let (keep, real) = (self.options.keep_backups, self.options.run == Run::Real);
                let failed = real && !keep && self.host.remove(&backup).is_err();
                let what = match (keep, failed, real) {
                    (true, ..) => "was kept although it holds a replaced secret",
                    (_, true, _) => "holds a replaced secret and could not be removed",
                    (_, _, true) => "held a replaced secret and was removed",
                    (_, _, false) => "holds a replaced secret and would be removed",
                };
                report.warnings.push(format!("Backup {shown} {what}"));
                if !failed {
                    report.backups.push(backup.display().to_string());
                }
            }
        }
        report.backups.sort();
    }
}

/// The backups that the writers of a file leave: `.bak`, `.bak.1` and so on.
fn ring(original: &Path, count: usize) -> impl Iterator<Item = PathBuf> {
    (0..count).map(|n| {
        let mut name = original.as_os_str().to_owned();
        name.push(if n == 0 { ".bak".to_owned() } else { format!(".bak.{n}") });
        PathBuf::from(name)
    })
}

fn describe(place: &PlanPlace) -> String {
    match place {
        PlanPlace::Config { path, .. } => path.join("."),
        PlanPlace::Profile { agent, id, .. } => format!("profile {id} of agent {agent}"),
    }
}

impl Projection {
    /// Every reference of the config and the stores, with its place.
    fn references(&self) -> Vec<(String, SecretRef)> {
        let defaults = &self.config.secrets.defaults;
        let mut found = config_references(&self.document, defaults);
        for (file, store) in &self.stores {
            found.extend(store.iter().filter_map(|profile| {
                let reference = profile.credential.material()?.resolved_reference(defaults)?;
                Some((format!("{file}: profile {}", profile.id), reference))
            }));
        }
        found
    }

    /// The variables that the config or a store needs, whatever for.
    fn variables(&self) -> BTreeSet<String> {
        let references = self.references().into_iter().map(|(_, reference)| reference);
        let of_references = references.filter(|reference| reference.source == RefSource::Env);
        of_references.map(|r| r.id.trim().to_owned()).chain(variables_named(&self.document)).collect()
    }

    /// The variables as they would be without the lines that the plan takes out of `.env`.
    fn environment(&self, state: &State) -> Environment {
        let mut environment = state.environment.clone();
        let dotenv = state.layout.state_dir().join(".env");
        let Some(file) = self.files.iter().find(|file| file.path == dotenv) else { return environment };
        let (Some(old), Some(new)) = (&file.old, &file.new) else { return environment };
        let left: BTreeSet<String> = env_lines(new.reveal()).into_iter().map(|line| line.name).collect();
        let shown = state.layout.shorten(&dotenv);
        for line in env_lines(old.reveal()).iter().filter(|line| !left.contains(&line.name)) {
            let origin = environment.origin(&line.name);
            if matches!(origin, Some(auth_core::EnvOrigin::File { path, .. }) if *path == shown) {
                environment.unset(&line.name);
            }
        }
        environment
    }

    /// Logins and references must not meet.
    fn check_policy(&self) -> Result<(), ApplyError> {
        for profile in self.stores.iter().flat_map(|(_, store)| store.iter()) {
            let mode = self.config.auth_profiles.get(profile.id.as_str()).map(|entry| entry.mode);
            if let Some(violation) = profile.ref_policy_violation(mode) {
                return Err(ApplyError::Policy(violation));
            }
        }
        Ok(())
    }
}
