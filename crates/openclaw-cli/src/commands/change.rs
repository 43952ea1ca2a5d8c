//! What every command that changes credentials shares: the writers, storing with its config entry, the report.

use auth_core::config::edit::{ProfileLabels, register_profile};
use auth_core::{AgentId, AuthKey, CredentialKind, Owner, ProfileId, ProviderId, UsageStats};
use auth_store::{
    AgentAuth, ConfigChange, ConfigWriteError, ConfigWriter, OpenStore, Run, StoreChange, StoreWriteError, StoreWriter,
};
use rustix::fs::Access;
use serde_json::{Map, Value, json};

use super::Session;
use crate::args::Change;
use crate::failure::Failure;
use crate::output::{Page, plain, print_json, remark};

/// A command that changes the store of one agent.
pub(crate) struct Changing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) auth: AgentAuth,
    pub(crate) agent: AgentId,
    options: &'a Change,
    command: &'static str,
}

/// A profile as the report names it.
pub(crate) struct Stored<'a> {
    pub(crate) id: ProfileId,
    pub(crate) provider: &'a str,
    pub(crate) kind: CredentialKind,
    /// The members of the entry.
    pub(crate) fields: Vec<(&'static str, Value)>,
    pub(crate) expires: Option<f64>,
    /// The account of a login.
    pub(crate) email: Option<String>,
}

/// What a report says of the model that comes with a provider.
#[derive(Clone, Copy)]
pub(crate) struct SuggestedModel<'a> {
    pub(crate) reference: &'a str,
    /// It is the default model now.
    pub(crate) applied: bool,
}

impl<'a> Changing<'a> {
    /// Opens the agent that `--agent` names. `command` is the path of the command, for the log of writes.
    pub(crate) fn open(
        session: &'a Session,
        options: &'a Change,
        agent: Option<&str>,
        command: &'static str,
    ) -> Result<Self, Failure> {
        let auth = session.state.agent_auth(agent, &session.host)?;
        let agent = session.state.agent(agent)?;
        Ok(Self { session, auth, agent, options, command })
    }

    pub(crate) fn run(&self) -> Run {
        if self.options.dry_run { Run::Dry } else { Run::Real }
    }

    pub(crate) fn store_path(&self) -> String {
        self.session.state.layout.shorten(&self.auth.store_path())
    }

    /// The owner of a profile that the agent sees; an error when it does not exist or is inherited.
    pub(crate) fn own_profile(&self, id: &ProfileId) -> Result<(), Failure> {
        match self.auth.view.profiles.get(id).map(|profile| profile.owner) {
            Some(Owner::Agent) => Ok(()),
            Some(Owner::Main) => Err(Failure::with_fix(
                format!("Auth profile \"{id}\" belongs to agent main and is only inherited by {}.", self.agent),
                format!("the same command with --agent {}", AgentId::main()),
            )),
            None => Err(self.not_found(id)),
        }
    }

    /// A profile that the agent does not see. A store that cannot be read is the better explanation.
    pub(crate) fn not_found(&self, id: &ProfileId) -> Failure {
        match self.auth.view.errors.first() {
            Some(broken) => Failure::new(format!("auth-profiles.json is not valid ({broken}); run openclaw doctor")),
            None => Failure::with_fix(
                format!("Auth profile \"{id}\" not found in {}.", self.auth.dir.display()),
                "openclaw models auth list",
            ),
        }
    }

    /// Changes the store under its lock.
    pub(crate) fn change_store(
        &self,
        touched: &[&ProfileId],
        change: impl FnOnce(&mut OpenStore) -> Result<(), Failure>,
    ) -> Result<StoreChange, Failure> {
        let writer = self.store_writer();
        let guard = match self.run() {
            Run::Real => Some(writer.lock().map_err(store_failure)?),
            Run::Dry => None,
        };
        let mut open = writer.read().map_err(store_failure)?;
        change(&mut open)?;
        let done = writer.write(guard.as_ref(), &open, touched).map_err(store_failure)?;
        self.tell(&done);
        Ok(done)
    }

    /// Fails when the store could not be changed now: it is locked or cannot be read. Makes nothing that stays.
    pub(crate) fn ready(&self) -> Result<(), Failure> {
        let writer = self.store_writer();
        let there = auth_store::Host::exists(&self.session.host, &self.auth.dir);
        let _guard = if there { Some(writer.lock().map_err(store_failure)?) } else { None };
        writer.read().map_err(store_failure)?;
        if there {
            return Ok(());
        }
        // The directory is made when there is something to store; that must be possible.
        let host = &self.session.host;
        let parent = self.auth.dir.ancestors().skip(1).find(|dir| auth_store::Host::exists(host, dir));
        let usable = parent.is_some_and(|dir| {
            let is_dir =
                auth_store::Host::facts(host, dir).is_ok_and(|facts| facts.kind == auth_store::PathKind::Directory);
            is_dir && rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok()
        });
        if usable {
            return Ok(());
        }
        let parent = parent.unwrap_or(&self.auth.dir);
        Err(Failure::new(format!(
            "cannot create {}: {} is no directory that you may write to.",
            self.session.state.layout.shorten(&self.auth.dir),
            self.session.state.layout.shorten(parent)
        )))
    }

    fn store_writer(&self) -> StoreWriter<'_> {
        let state = &self.session.state;
        StoreWriter::new(&self.auth.dir, &state.layout, &state.environment, &self.session.host)
    }

    fn config_writer(&self) -> ConfigWriter<'_> {
        let state = &self.session.state;
        ConfigWriter::new(&state.layout, &state.environment, &self.session.host, self.command)
    }

    fn tell(&self, done: &StoreChange) {
        if done.imported > 0 {
            self.session.warn(&format!("Note: {} credentials of legacy files were taken over", done.imported));
        }
        for note in &done.notes {
            self.session.warn(&format!("Note: {note}"));
        }
    }

    /// Changes the config.
    pub(crate) fn change_config(
        &self,
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<ConfigChange, Failure> {
        self.config_writer().edit(self.run(), edit).map_err(config_failure)
    }

    /// Stores credentials and registers them in the config: both, or neither.
    pub(crate) fn store(
        &self,
        profiles: &[Stored<'_>],
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<(), Failure> {
        self.store_and_clear(profiles, None, edit)
    }

    /// As [`store`](Self::store); also ends the cooldowns of every profile of a provider that was signed in to (04
    /// section 1.2).
    pub(crate) fn store_and_clear(
        &self,
        profiles: &[Stored<'_>],
        signed_in: Option<&AuthKey>,
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let edit = registering(profiles, edit);
        // Everything is checked before anything is written.
        self.config_writer().edit(Run::Dry, &edit).map_err(config_failure)?;
        let ids: Vec<&ProfileId> = profiles.iter().map(|stored| &stored.id).collect();
        let mut before = Vec::new();
        let mut cleared: Vec<(ProfileId, UsageStats)> = Vec::new();
        self.change_store(&ids, |open| {
            let others: Vec<ProfileId> = signed_in
                .into_iter()
                .flat_map(|key| open.store.of_provider(key))
                .map(|profile| profile.id.clone())
                .filter(|id| !ids.contains(&id))
                .collect();
            for id in others {
                if let Some(stats) = open.store.usage(&id).cloned() {
                    open.document.set_usage(&id, &stats.after_clearing());
                    cleared.push((id, stats));
                }
            }
            for stored in profiles {
                before.push((
                    stored.id.clone(),
                    open.document.entry(&stored.id),
                    open.store.usage(&stored.id).cloned(),
                ));
                open.document.put_profile(&stored.id, &stored.fields);
                // A new secret is not locked out for what the old one did (04 section 1.3).
                if let Some(stats) = open.store.usage(&stored.id) {
                    open.document.set_usage(&stored.id, &stats.after_new_credential());
                }
            }
            Ok(())
        })?;
        let written = self.config_writer().edit(self.run(), &edit);
        if let Err(error) = written {
            let undone = self.change_store(&ids, |open| {
                for (id, entry, stats) in before {
                    open.document.restore(&id, entry);
                    if let Some(stats) = stats {
                        open.document.set_usage(&id, &stats);
                    }
                }
                for (id, stats) in &cleared {
                    open.document.set_usage(id, stats);
                }
                Ok(())
            });
            let failure = config_failure(error);
            return Err(match undone {
                Ok(_) => failure,
                Err(second) => Failure::new(format!(
                    "{}\nThe credential is stored but not registered in the config: {}",
                    failure.message.trim_start_matches("Error: "),
                    second.message
                )),
            });
        }
        Ok(())
    }

    /// What [`store`](Self::store) would change in the config, dotted.
    pub(crate) fn preview(
        &self,
        profiles: &[Stored<'_>],
        edit: &dyn Fn(&mut Value) -> Result<(), String>,
    ) -> Result<Vec<String>, Failure> {
        let change = self.config_writer().edit(Run::Dry, &registering(profiles, edit)).map_err(config_failure)?;
        Ok(change.settings)
    }

    /// The report of stored credentials: `Updated …`, `Auth profile: …`, or one JSON object.
    pub(crate) fn report(&self, profiles: &[Stored<'_>], notes: &[String]) -> Result<(), Failure> {
        self.report_with_model(profiles, None, notes)
    }

    /// As [`report`](Self::report), with the model that comes with the provider.
    pub(crate) fn report_with_model(
        &self,
        profiles: &[Stored<'_>],
        model: Option<SuggestedModel<'_>>,
        notes: &[String],
    ) -> Result<(), Failure> {
        let entries: Vec<Value> = profiles
            .iter()
            .map(|stored| {
                let mut entry = Map::new();
                entry.insert("profileId".to_owned(), Value::from(stored.id.as_str()));
                entry.insert("provider".to_owned(), Value::from(stored.provider));
                entry.insert("mode".to_owned(), Value::from(stored.kind.as_str()));
                if let Some(expires) = stored.expires {
                    entry.insert(
                        "expires".to_owned(),
                        serde_json::to_value(crate::render::Ms(expires)).unwrap_or_default(),
                    );
                }
                Value::Object(entry)
            })
            .collect();
        if self.options.json {
            for note in notes {
                remark(note);
            }
            let mut more = json!({ "profiles": entries });
            if let Some(model) = model {
                more["defaultModel"] = Value::from(model.reference);
            }
            more["defaultModelApplied"] = Value::from(model.is_some_and(|model| model.applied));
            return self.print_head(more);
        }
        let mut page = Page::for_stdout(self.session.no_color);
        if self.options.dry_run {
            page.line(2, &[plain("Dry run: nothing was written.")]);
        }
        let layout = &self.session.state.layout;
        let verb = if self.options.dry_run { "Would update" } else { "Updated" };
        page.line(2, &[plain(format!("{verb} {}", layout.shorten(layout.config_path())))]);
        if self.session.state.config.known_agents().len() > 1 {
            page.line(2, &[plain(format!("Agent: {} ({})", self.agent, self.store_path()))]);
        }
        for stored in profiles {
            page.line(
                2,
                &[plain(format!("Auth profile: {} ({}/{})", stored.id, stored.provider, stored.kind.as_str()))],
            );
        }
        match model {
            Some(SuggestedModel { reference, applied: true }) => {
                page.line(2, &[plain(format!("Default model set to {reference}"))]);
            }
            Some(SuggestedModel { reference, applied: false }) => {
                page.line(2, &[plain(format!("Default model available: {reference} (use --set-default to apply)"))]);
            }
            None => {}
        }
        for note in notes {
            page.line(2, &[plain(note)]);
        }
        page.print()
    }

    /// One JSON object: `ok`, `agentId`, `dryRun` in a dry run, and what the command adds.
    pub(crate) fn print_head(&self, more: Value) -> Result<(), Failure> {
        let mut head = Map::new();
        head.insert("ok".to_owned(), Value::from(true));
        head.insert("agentId".to_owned(), Value::from(self.agent.as_str()));
        if self.options.dry_run {
            head.insert("dryRun".to_owned(), Value::from(true));
        }
        if let Value::Object(more) = more {
            head.extend(more);
        }
        print_json(&head)
    }

    pub(crate) fn json(&self) -> bool {
        self.options.json
    }
}

/// The change of the config that goes with storing profiles.
fn registering<'e>(
    profiles: &'e [Stored<'_>],
    edit: &'e dyn Fn(&mut Value) -> Result<(), String>,
) -> impl Fn(&mut Value) -> Result<(), String> + 'e {
    move |root| {
        for stored in profiles {
            let labels = ProfileLabels { email: stored.email.as_deref(), display_name: None };
            register_profile(root, &stored.id, stored.provider, stored.kind, labels, true);
        }
        edit(root)
    }
}

/// The provider that `--provider` names.
pub(crate) fn provider_of(raw: &str) -> Result<ProviderId, Failure> {
    if raw.trim().is_empty() {
        return Err(Failure::new("Missing --provider."));
    }
    Ok(ProviderId::normalise(raw))
}

pub(crate) fn store_failure(error: StoreWriteError) -> Failure {
    Failure::new(error)
}

pub(crate) fn config_failure(error: ConfigWriteError) -> Failure {
    match error {
        ConfigWriteError::Invalid(invalid) => invalid.into(),
        other => Failure::new(other),
    }
}
