//! Asking for secrets that live elsewhere, looking for those that should, and moving them (spec 05).

mod apply;
mod audit;
mod file_source;
mod inventory;
mod json_file;
mod keeper;
mod migrate;
mod path_check;
mod resolver;

use std::path::PathBuf;

use auth_core::Config;

use crate::host::Host;
use crate::layout::StateLayout;

pub use apply::{ApplyError, ApplyOptions, ApplyReport, apply};
pub use audit::{AuditReport, Finding, FindingCode, Severity, audit};
pub use inventory::{Holds, SecretPlace, inventory};
pub use keeper::{
    AGE_IDENTITY, AskPassphrase, Keeper, KeeperError, KeeperKind, KeeperMade, KeeperPlace, SelfHelper, check_entry,
    check_id, helper_arguments, keeper_provider, make_keeper, open_keeper,
};
pub use migrate::{Destination, MigrateError, Migration, Move, migrate};
pub use resolver::{ExecPolicy, OwnHelper, Resolver, report_references};

/// The directories of all agents: main's, those that exist, those that the config names.
fn agent_dirs(layout: &StateLayout, config: Option<&Config>, host: &dyn Host) -> Vec<PathBuf> {
    let agents = layout.state_dir().join("agents");
    let existing = host.names_in(&agents).into_iter().map(|dir| dir.join("agent"));
    let configured = config.map(|config| {
        let known = config.known_agents();
        known.into_iter().map(|agent| layout.agent_dir(config, &agent)).collect::<Vec<_>>()
    });
    let main = agents.join("main").join("agent");
    unique(std::iter::once(main).chain(existing).chain(configured.into_iter().flatten()))
}

/// The paths, each once.
fn unique(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}
