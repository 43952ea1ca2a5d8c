//! The options of `doctor` (spec 06 section 1).

use clap::Args;

/// Find what is wrong with credentials and their files, and mend it.
#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal each repair is asked for. Without one nothing is repaired unless --repair or --yes
is given; only files of earlier versions are taken over (not with --json, --check or --dry-run).

Exit codes with --check (without it 0, or 1 when a repair that was asked for failed):
  0  nothing above info is left
  1  an error is left, or a repair failed
  2  only warnings are left
Codes for --only stand in the JSON report: auth. is everything about credentials.")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Doctor {
    /// Answer every question with yes
    #[arg(long)]
    pub(crate) yes: bool,
    /// Make every repair without asking
    #[arg(long, visible_alias = "fix")]
    pub(crate) repair: bool,
    /// Also repairs that overwrite a service file; there are none here
    #[arg(long)]
    pub(crate) force: bool,
    /// Never ask
    #[arg(long)]
    pub(crate) non_interactive: bool,
    /// Also what takes longer: the TLS check without a login, references that run a program
    #[arg(long)]
    pub(crate) deep: bool,
    /// Accepted; there are no suggestions here
    #[arg(long)]
    pub(crate) no_workspace_suggestions: bool,
    /// Give the gateway a token when it has none
    #[arg(long)]
    pub(crate) generate_gateway_token: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit by what is left
    #[arg(long)]
    pub(crate) check: bool,
    /// Show what --repair would change, line by line, and write nothing
    #[arg(long, visible_alias = "diff", conflicts_with_all = ["yes", "repair"])]
    pub(crate) dry_run: bool,
    /// Put back what the last repair changed
    #[arg(long, conflicts_with_all = ["yes", "repair", "force", "non_interactive", "deep", "generate_gateway_token", "check", "agent", "only", "refresh", "offline"])]
    pub(crate) undo: bool,
    /// Only the credentials of this agent; may be given several times
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Vec<String>,
    /// Only checks whose codes begin like this; may be given several times
    #[arg(long, value_name = "CODE")]
    pub(crate) only: Vec<String>,
    /// Also renew logins that end within a day
    #[arg(long)]
    pub(crate) refresh: bool,
    /// No network at all
    #[arg(long)]
    pub(crate) offline: bool,
}
