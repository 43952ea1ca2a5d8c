//! Options of `openclaw secrets`.

use clap::{Args, Subcommand, ValueEnum};

/// Keys that live elsewhere: find plaintext, put references in its place, check them.
#[derive(Debug, Args)]
pub(crate) struct Secrets {
    #[command(subcommand)]
    pub(crate) command: Option<SecretsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Find plaintext, references that lead nowhere, and leftovers
    Audit(Audit),
    /// Choose where keys live, by asking
    Configure(Configure),
    /// Copy all plaintext into one place, and make a plan that puts references in its stead
    Plan(MakePlan),
    /// Put a plan into effect: all of it, or nothing
    Apply(Apply),
    /// Ask a running gateway to read its secrets again
    Reload(Reload),
    /// Keep secrets in the OS keyring or an encrypted file
    Store(Store),
    /// Answer an exec request on standard input
    #[command(hide = true)]
    Helper(Helper),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  nothing that does not work (with --check: nothing at all)
  1  with --check: something was found
  2  a reference leads nowhere, or a file cannot be read")]
pub(crate) struct Audit {
    /// Exit 1 when anything was found
    #[arg(long)]
    pub(crate) check: bool,
    /// Run the programs of exec providers, to check their references too
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Apply {
    /// The plan; "-" reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: String,
    /// Check everything and show what would change; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Run the programs of exec providers
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// Leave backups that hold a replaced secret
    #[arg(long)]
    pub(crate) keep_backups: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Configure {
    /// Put the plan into effect
    #[arg(long)]
    pub(crate) apply: bool,
    /// Do not ask again before that
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only set up secret providers
    #[arg(long)]
    pub(crate) providers_only: bool,
    /// Do not ask about secret providers
    #[arg(long)]
    pub(crate) skip_provider_setup: bool,
    /// Look at this agent's profiles instead of the default agent's
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Run the programs of exec providers, to check references
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// Write the plan to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) plan_out: Option<String>,
    /// Print plan and check as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Places: env (variables, which you set yourself), file:ALIAS (the JSON file of a file provider), keyring, age.
The values are put into a file, keyring or age store at once and stay where they are until the plan is applied:
openclaw secrets apply --from FILE --dry-run")]
pub(crate) struct MakePlan {
    /// Where the keys are to live
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: String,
    /// Only this agent's profiles, and the keys of the config
    #[arg(long, value_name = "ID", conflicts_with = "all_agents")]
    pub(crate) agent: Option<String>,
    /// The profiles of all agents (as without --agent)
    #[arg(long)]
    pub(crate) all_agents: bool,
    /// Write the plan to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<String>,
    /// Store no value and write no file; print the plan
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print what was done as JSON, the plan in it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// The gateway
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Its token
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// How long to wait, in milliseconds
    #[arg(long, value_name = "MS")]
    pub(crate) timeout: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a store of our own keeps secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keeper {
    /// The keyring of the operating system
    Keyring,
    /// A file encrypted with age
    Age,
}

impl Keeper {
    /// The keeper of the library.
    pub(crate) fn kind(self) -> auth_store::secrets::KeeperKind {
        match self {
            Self::Keyring => auth_store::secrets::KeeperKind::Keyring,
            Self::Age => auth_store::secrets::KeeperKind::Age,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: Option<StoreCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make the store, and a provider for it in the config
    Init(StoreInit),
    /// Store a secret; it is asked for, or read from standard input
    Set(StoreEntry),
    /// Remove a secret
    Rm(StoreEntry),
    /// Print the ids; no command shows a person a secret
    Ls(StoreList),
}

#[derive(Debug, Args)]
pub(crate) struct StoreInit {
    /// Which store
    #[arg(value_enum)]
    pub(crate) keeper: Keeper,
    /// Who can read an age file: a public key (age1…, ssh-ed25519 …); without one a new identity is made
    #[arg(long, value_name = "KEY")]
    pub(crate) recipient: Vec<String>,
    /// Check and show what would change; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StoreEntry {
    /// Which store
    #[arg(value_enum)]
    pub(crate) keeper: Keeper,
    /// The id, such as openai/work
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct StoreList {
    /// Which store
    #[arg(value_enum)]
    pub(crate) keeper: Keeper,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Helper {
    /// Which store
    #[arg(value_enum)]
    pub(crate) keeper: Keeper,
    /// The encrypted file
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<String>,
}
