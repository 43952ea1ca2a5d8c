//! Options of `gateway run` and `models serve` (spec 07 section 12).

use clap::{Args, Subcommand};

/// The loopback gateway.
#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true, after_help = EXITS)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// The same as gateway alone
    Run,
}

const EXITS: &str = "\
Exit codes: 0 ended by a signal, 1 it could not be started.
SIGHUP reads config, variables and stores again; SIGTERM and Ctrl-C finish the answers under way, a second one does not.
Guide: docs/gateway.md";

/// Serve the models to programs on this machine that speak to OpenAI or Anthropic.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXITS)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line, by its name")]
pub(crate) struct Serve {
    /// The port (18789); 0 takes a free one
    #[arg(long, value_name = "N", global = true)]
    pub(crate) port: Option<u16>,
    /// loopback, or an address of this machine only
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub(crate) bind: Option<String>,
    /// What clients have to show: token, password or none
    #[arg(long, value_name = "MODE", global = true)]
    pub(crate) auth: Option<String>,
    /// The token; better in OPENCLAW_GATEWAY_TOKEN, because others can see arguments
    #[arg(long, value_name = "TOKEN", global = true)]
    pub(crate) token: Option<String>,
    /// The password; better in a file, because others can see arguments
    #[arg(long, value_name = "PASSWORD", global = true, conflicts_with = "password_file")]
    pub(crate) password: Option<String>,
    /// A file that holds the password
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) password_file: Option<String>,
    /// Switch the endpoints on for this run, whatever the config says
    #[arg(long, global = true)]
    pub(crate) openai: bool,
    /// Start although gateway.mode is not local
    #[arg(long, global = true)]
    pub(crate) allow_unconfigured: bool,
    /// No sessions and no commands in messages: every message goes to the model as it is
    #[arg(long, global = true)]
    pub(crate) no_sessions: bool,
    /// How many turns may run at once (256)
    #[arg(long, value_name = "N", global = true)]
    pub(crate) max_turns: Option<usize>,
    /// Print where it listens as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long the head of a request may take, in milliseconds
    #[arg(long, value_name = "MS", global = true, hide = true)]
    pub(crate) head_timeout_ms: Option<u64>,
    /// How long the body of a request may take, in milliseconds
    #[arg(long, value_name = "MS", global = true, hide = true)]
    pub(crate) body_timeout_ms: Option<u64>,
    /// How long answers under way are waited for at the end, in milliseconds
    #[arg(long, value_name = "MS", global = true, hide = true)]
    pub(crate) drain_timeout_ms: Option<u64>,
}
