//! `openclaw secrets` (spec 05 sections 10 to 14).

mod apply;
mod audit;
mod configure;
mod configure_providers;
mod helper;
mod plan;
mod reload;
mod store;

use std::path::PathBuf;

use auth_core::Secret;
use auth_store::secrets::{KeeperPlace, SelfHelper};
use auth_store::{Ground, RealHost, State};

use super::help;
use crate::failure::Failure;
use crate::output::remark;
use crate::prompt;
use crate::secrets_args::{Secrets, SecretsCommand};

/// What these commands share: they read the files themselves, also a config that is not valid.
pub(crate) struct Desk<'a> {
    host: RealHost,
    profile: Option<&'a str>,
    no_color: bool,
    quiet: bool,
}

impl<'a> Desk<'a> {
    /// `quiet` keeps warnings back.
    pub(crate) fn new(profile: Option<&'a str>, no_color: bool, quiet: bool) -> Self {
        Self { host: RealHost, profile, no_color, quiet }
    }

    /// Variables and places.
    fn ground(&self) -> Ground {
        Ground::open(&self.host, self.profile)
    }

    /// Everything, and the config as its author wrote it.
    fn state(&self) -> Result<(State, serde_json::Value), Failure> {
        let (state, authored) = State::read(self.ground(), &self.host)?;
        for warning in &state.warnings {
            self.warn(warning);
        }
        Ok((state, authored))
    }

    /// Where keepers find what they need.
    fn keeper_place<'g>(
        &'g self,
        layout: &'g auth_store::StateLayout,
        environment: &'g auth_core::Environment,
    ) -> KeeperPlace<'g> {
        KeeperPlace { layout, environment, host: &self.host, age_file: None, ask: ask_passphrase }
    }

    /// This program as its own helper.
    fn helper<'g>(&'g self, ground: &'g Ground) -> SelfHelper<'g> {
        SelfHelper::new(own_program(), self.keeper_place(&ground.layout, &ground.environment))
    }

    /// Prints a remark on standard error, unless less was asked for.
    fn warn(&self, text: &str) {
        if !self.quiet {
            remark(text);
        }
    }
}

/// The real path of this program; empty when the system does not tell.
fn own_program() -> PathBuf {
    std::env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default()
}

/// Asks for the passphrase of an age identity, if somebody can answer.
fn ask_passphrase(question: &str) -> Option<Secret> {
    if !prompt::is_interactive() {
        return None;
    }
    prompt::secret(question, &|text| Ok(Secret::new(text))).ok()
}

/// Runs one of the commands.
pub(crate) fn run(desk: &Desk<'_>, tree: &clap::Command, secrets: &Secrets) -> Result<u8, Failure> {
    match &secrets.command {
        None => help(tree, &["secrets"], 0),
        Some(SecretsCommand::Audit(options)) => audit::run(desk, options),
        Some(SecretsCommand::Configure(options)) => configure::run(desk, options),
        Some(SecretsCommand::Plan(options)) => plan::run(desk, options),
        Some(SecretsCommand::Apply(options)) => apply::run(desk, options),
        Some(SecretsCommand::Reload(options)) => reload::run(options),
        Some(SecretsCommand::Store(store)) => store::run(desk, tree, store),
        Some(SecretsCommand::Helper(options)) => helper::run(desk, options),
    }
}
