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
mod seen;

use std::path::PathBuf;

use auth_core::Config;

use crate::host::Host;
use crate::layout::StateLayout;

pub use apply::{ApplyError, ApplyOptions, ApplyReport, apply};
pub use audit::{AuditReport, Finding, FindingCode, Severity, audit};
pub use inventory::{Holds, SecretPlace, all_agents, inventory};
pub use keeper::{
    AGE_IDENTITY, AskPassphrase, Keeper, KeeperError, KeeperKind, KeeperMade, KeeperPlace, SelfHelper, check_entry,
    check_id, helper_arguments, keeper_provider, make_keeper, open_keeper,
};
pub use migrate::{Destination, MigrateError, Migration, Move, MoveTo, migrate};
pub use resolver::{ExecPolicy, OwnHelper, Resolver, report_references};
pub use seen::{has_seen, remember_seen, without_seen};

/// The directories of all agents: main's, those that exist, those that the config names. One that several paths lead
/// to is there once.
fn agent_dirs(layout: &StateLayout, config: Option<&Config>, host: &dyn Host) -> Vec<PathBuf> {
    let agents = layout.state_dir().join("agents");
    let existing = host.names_in(&agents).into_iter().map(|dir| dir.join("agent"));
    let configured = config.map(|config| {
        let known = config.known_agents();
        known.into_iter().map(|agent| layout.agent_dir(config, &agent)).collect::<Vec<_>>()
    });
    let main = agents.join("main").join("agent");
    unique(std::iter::once(main).chain(existing).chain(configured.into_iter().flatten()), host)
}

/// The paths, each file or directory once.
fn unique(paths: impl Iterator<Item = PathBuf>, host: &dyn Host) -> Vec<PathBuf> {
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        let real = host.real_path(&path).unwrap_or_else(|_| path.clone());
        if !seen.contains(&real) {
            seen.push(real);
            found.push(path);
        }
    }
    found
}
