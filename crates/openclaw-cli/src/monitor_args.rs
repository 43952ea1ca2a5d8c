//! The options of `models auth monitor` (spec 06 section 14).

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line, by its name")]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Exit codes:
  0  fine, or ended by SIGTERM with --watch
  1  a credential has expired or is missing, or a provider in use has nothing left to use
  2  a credential ends soon, or is out of use for longer than an hour
  3  a message could not be delivered (--strict-notify, --test-notify)
Logins that renew themselves are fine. Channels may also stand in variables: NOTIFY_NTFY, NOTIFY_WEBHOOK,
NOTIFY_CMD; a bearer token in NOTIFY_NTFY_TOKEN, NOTIFY_WEBHOOK_TOKEN, or the same with _FILE."
)]
pub(crate) struct Monitor {
    #[command(flatten)]
    pub(crate) options: MonitorOptions,
    /// Keep running, and look again every --every
    #[arg(long)]
    pub(crate) watch: bool,
    /// How often --watch looks (30m)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) every: Option<String>,
    /// text for people, json for programs, widget for one word
    #[arg(long, value_enum)]
    pub(crate) format: Option<MonitorFormat>,
    /// The same as --format json
    #[arg(long)]
    pub(crate) json: bool,
    /// Say what would be sent; send and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Send a test message to every channel
    #[arg(long, conflicts_with = "watch")]
    pub(crate) test_notify: bool,
    #[command(subcommand)]
    pub(crate) command: Option<MonitorCommand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MonitorFormat {
    Text,
    Json,
    Widget,
}

// What a pass looks at and whom it tells. No doc comment: clap would print it as the text of the command.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line, by its name")]
pub(crate) struct MonitorOptions {
    /// Only this agent; may be given several times
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Vec<String>,
    /// Only this provider; may be given several times
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Vec<String>,
    /// How long before its end a credential counts as ending (24h, or WARN_HOURS)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) warn: Option<String>,
    /// Also ask the providers whether the credentials work; costs a few tokens
    #[arg(long)]
    pub(crate) probe: bool,
    /// Write metrics for Prometheus to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) prometheus: Option<String>,
    /// Run this command for every message; it reads the message as JSON
    #[arg(long, value_name = "COMMAND", help_heading = "Channels", allow_hyphen_values = true)]
    pub(crate) notify_cmd: Option<String>,
    /// Send every message as JSON to this address; may be given several times
    #[arg(long, value_name = "URL", help_heading = "Channels")]
    pub(crate) webhook: Vec<String>,
    /// The bearer token for --webhook
    #[arg(long, value_name = "FILE", help_heading = "Channels")]
    pub(crate) webhook_token_file: Option<String>,
    /// Send every message to this topic of ntfy.sh, or to this address (NOTIFY_NTFY)
    #[arg(long, value_name = "TOPIC|URL", help_heading = "Channels")]
    pub(crate) ntfy: Option<String>,
    /// The access token for --ntfy
    #[arg(long, value_name = "FILE", help_heading = "Channels")]
    pub(crate) ntfy_token_file: Option<String>,
    /// Do not tell the same status of the same profile again sooner (1h)
    #[arg(long, value_name = "DURATION", help_heading = "Channels", allow_hyphen_values = true)]
    pub(crate) min_interval: Option<String>,
    /// Tell again while a problem lasts (24h); 0 never
    #[arg(long, value_name = "DURATION", help_heading = "Channels", allow_hyphen_values = true)]
    pub(crate) remind: Option<String>,
    /// Show and send profile ids as they are, e-mail addresses included
    #[arg(long)]
    pub(crate) full_ids: bool,
    /// Exit 3 when a message could not be delivered
    #[arg(long, help_heading = "Channels")]
    pub(crate) strict_notify: bool,
    /// Send to http addresses on other machines too
    #[arg(long, help_heading = "Channels")]
    pub(crate) allow_http: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MonitorCommand {
    /// Print the files that let this system run the monitor
    Units(Units),
    /// Write these files and switch them on
    Install(Units),
    /// Switch them off and remove them
    Uninstall(Units),
    /// Whether the timer runs, and what the last pass saw
    Status(Units),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line, by its name")]
pub(crate) struct Units {
    #[command(flatten)]
    pub(crate) options: MonitorOptions,
    /// How often the monitor runs (30min)
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) every: Option<String>,
    /// For this user (the default)
    #[arg(long, conflicts_with = "system")]
    pub(crate) user: bool,
    /// For the whole system
    #[arg(long)]
    pub(crate) system: bool,
    /// Who runs it
    #[arg(long, value_enum, default_value_t = Runner::Systemd)]
    pub(crate) format: Runner,
    /// Replace files that somebody else wrote
    #[arg(long)]
    pub(crate) force: bool,
    /// Only write or remove files; nothing is switched on or off
    #[arg(long)]
    pub(crate) no_enable: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Say what would be written; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runner {
    Systemd,
    Launchd,
    Cron,
}
