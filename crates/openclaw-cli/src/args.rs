//! The command tree.

use clap::{Args, Parser, Subcommand};

use crate::doctor_args::Doctor;
use crate::monitor_args::Monitor;
use crate::onboard_args::{Configure, Deferred, Onboard};
use crate::secrets_args::Secrets;
use crate::serve_args::{Gateway, Serve};

/// Which credential do your agents use, does it still work, and what to do if not.
///
/// Works on the state directory of OpenClaw (~/.openclaw). Start with: openclaw models status
#[derive(Debug, Parser)]
#[command(name = "openclaw", version = VERSION, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) root: Root,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (state of OpenClaw 2026.4.5)");

#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Root {
    /// Use a state directory of its own: ~/.openclaw-NAME
    // Taken out before parsing, because it may stand anywhere; here for the help.
    #[arg(long, value_name = "NAME", global = true)]
    profile: Option<String>,
    /// The same as --profile dev
    #[arg(long, global = true)]
    dev: bool,
    /// Print without colour (as NO_COLOR does)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// What to print on standard error beside errors
    #[arg(long, value_name = "LEVEL", global = true, value_enum, default_value_t = LogLevel::Info, hide_default_value = true)]
    pub(crate) log_level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum LogLevel {
    Silent,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Models in use and the credentials behind them
    Models(Models),
    /// Set up a provider: its credential, its model, its settings
    Onboard(Box<Deferred<Onboard>>),
    /// Change one part of the set-up
    Configure(Configure),
    /// One model turn, with the credential that is in charge
    Agent(Deferred<AgentTurn>),
    /// The loopback gateway: agents and Anthropic models behind one address
    Gateway(Box<Gateway>),
    /// Keys that live elsewhere: find plaintext, put references in its place, check them
    Secrets(Deferred<Secrets>),
    /// Find what is wrong with credentials and their files, and mend it
    Doctor(Box<Deferred<Doctor>>),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 answered, 1 failed or bad arguments, 124 timed out, 130 interrupted.
In the message: /model <ref>[@profile], /model status, /models, /new, /status.")]
pub(crate) struct AgentTurn {
    /// What is said to the model
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
    /// The main session, whatever the number or address
    #[arg(short, long, value_name = "DEST")]
    pub(crate) to: Option<String>,
    /// The session of this id
    #[arg(long, value_name = "ID")]
    pub(crate) session_id: Option<String>,
    /// The main session of this agent
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Run here, without a gateway; always so in this program
    #[arg(long)]
    pub(crate) local: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How long the turn may take, in seconds (600); 0 means for ever
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) timeout: Option<String>,
    /// Use this model for this turn only
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Use this profile for this turn only
    #[arg(long, value_name = "ID")]
    pub(crate) auth_profile: Option<String>,
    /// Accepted for scripts
    #[arg(long, value_name = "LEVEL", hide = true)]
    pub(crate) thinking: Option<String>,
    /// on: say on standard error which credentials were tried
    #[arg(long, value_name = "on|off")]
    pub(crate) verbose: Option<String>,
    /// Not supported: answers go to standard output
    #[arg(long, hide = true)]
    pub(crate) deliver: bool,
    /// Not supported
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) channel: Option<String>,
    /// Not supported
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) reply_to: Option<String>,
    /// Not supported
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) reply_channel: Option<String>,
    /// Not supported
    #[arg(long, value_name = "ID", hide = true)]
    pub(crate) reply_account: Option<String>,
}

#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct Models {
    /// Print the status report as JSON
    #[arg(long)]
    pub(crate) status_json: bool,
    /// Print only the default model
    #[arg(long)]
    pub(crate) status_plain: bool,
    /// Exit 1 when a credential is missing or expired, 2 when one ends within 24 hours
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) agent: Agent,
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
}

/// Every level of the tree takes `--agent`; the innermost one that is not blank counts.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// Look at this agent instead of the default one
    #[arg(long = "agent", value_name = "ID")]
    pub(crate) id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Which credential each provider uses, and what needs attention
    // Not deferred: the options that are everywhere come last in its help.
    Status(Status),
    /// The models in use, and whether their provider has a credential
    List(Deferred<List>),
    /// Use this model by default
    Set(Deferred<SetModel>),
    /// Use this model for images
    SetImage(Deferred<SetModel>),
    /// Stored credentials and the order in which they are tried
    Auth(Auth),
    /// Short names of models
    Aliases(AliasesGroup),
    /// Models that are tried when the default one fails
    Fallbacks(FallbacksGroup),
    /// Models that are tried when the image model fails
    ImageFallbacks(FallbacksGroup),
    /// Serve the models to programs on this machine that speak to OpenAI or Anthropic
    Serve(Box<Deferred<Serve>>),
}

#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print bare values, one a line
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes with --check (0 without it, whatever the state):
  0  fine
  1  a stored login or token has expired or is missing, a provider in use has no credential, or a store cannot be read
  2  a login or token ends within 24 hours
API keys and cooldowns do not count: openclaw models auth why tells whether the next request can be made.")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) output: Output,
    /// Exit 1 when a credential is missing or expired, 2 when one ends within 24 hours
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) agent: Agent,
    #[command(flatten)]
    pub(crate) probe: Probe,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Live probes")]
#[expect(
    clippy::struct_field_names,
    clippy::struct_excessive_bools,
    reason = "each is an option of the command line, by its name"
)]
pub(crate) struct Probe {
    /// Ask every provider whether its credential works, with one small request each
    #[arg(long)]
    pub(crate) probe: bool,
    /// Only this provider
    #[arg(long, value_name = "ID")]
    pub(crate) probe_provider: Option<String>,
    /// Only these profiles; several with commas between
    #[arg(long, value_name = "ID")]
    pub(crate) probe_profile: Vec<String>,
    /// How long one answer may take, in milliseconds (8000)
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub(crate) probe_timeout: Option<String>,
    /// How many are asked at once (2)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) probe_concurrency: Option<String>,
    /// The longest answer, in tokens (8)
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) probe_max_tokens: Option<String>,
    /// live asks a model; free costs no tokens, and tells nothing about credit
    #[arg(long, value_name = "live|free")]
    pub(crate) probe_mode: Option<String>,
    /// Ask this model, with every credential of its provider; may be given several times
    #[arg(long, value_name = "MODEL")]
    pub(crate) probe_model: Vec<String>,
    /// Ask the primary model and each of its fallbacks
    #[arg(long)]
    pub(crate) probe_all_models: bool,
    /// Record the outcome for each profile, as a turn would: last use, cooldowns
    #[arg(long)]
    pub(crate) probe_record: bool,
    /// Exit 3 unless every row is ok
    #[arg(long)]
    pub(crate) probe_strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Also the models that nothing uses
    #[arg(long)]
    pub(crate) all: bool,
    /// Only models of servers on this machine or network
    #[arg(long)]
    pub(crate) local: bool,
    /// Only models of this provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

/// Options of every command that changes something.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Check and show what would change; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SetModel {
    /// provider/model, or an alias
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

#[derive(Debug, Args)]
pub(crate) struct AliasesGroup {
    #[command(subcommand)]
    pub(crate) command: Option<AliasesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AliasesCommand {
    /// Print every alias
    List(Deferred<Output>),
    /// Give a model a short name
    Add(Deferred<AliasAdd>),
    /// Take a short name away
    Remove(Deferred<AliasRemove>),
}

#[derive(Debug, Args)]
pub(crate) struct AliasAdd {
    /// The short name
    pub(crate) alias: String,
    /// provider/model
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

#[derive(Debug, Args)]
pub(crate) struct AliasRemove {
    /// The short name
    pub(crate) alias: String,
    #[command(flatten)]
    pub(crate) change: Change,
}

#[derive(Debug, Args)]
pub(crate) struct FallbacksGroup {
    #[command(subcommand)]
    pub(crate) command: Option<FallbacksCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FallbacksCommand {
    /// Print the fallbacks
    List(Deferred<Output>),
    /// Try one more model
    Add(Deferred<SetModel>),
    /// Try one model less
    Remove(Deferred<SetModel>),
    /// Try no other model
    Clear(Deferred<Change>),
}

#[derive(Debug, Args)]
pub(crate) struct Auth {
    #[command(flatten)]
    pub(crate) agent: Agent,
    #[command(subcommand)]
    pub(crate) command: Option<AuthCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Every stored credential: health, place in the order, cooldown
    List(Deferred<AuthList>),
    /// Which credential the next request uses, and why not the others
    Why(Deferred<AuthWhy>),
    /// The order in which the profiles of a provider are tried
    Order(Order),
    /// Store an API key: asked for on a terminal, else read from standard input
    PasteApiKey(Deferred<PasteApiKey>),
    /// Store a static token: asked for on a terminal, else read from standard input
    PasteToken(Deferred<PasteToken>),
    /// Store a token: asks which provider and how
    Add(Deferred<AuthAdd>),
    /// Sign in to a provider: in the browser, with a code, or with a key
    Login(Deferred<AuthLogin>),
    /// Store a setup-token
    SetupToken(Deferred<SetupToken>),
    /// Sign in to GitHub Copilot with a code
    LoginGithubCopilot(Deferred<CopilotLogin>),
    /// Renew logins now
    Refresh(Deferred<Refresh>),
    /// Take over the login of another program, or legacy files
    Import(Deferred<Import>),
    /// Remove stored credentials
    #[command(visible_alias = "logout")]
    Remove(Deferred<Remove>),
    /// Let profiles be used again that are in cooldown or disabled
    ClearCooldown(Deferred<ClearCooldown>),
    /// Watch the credentials: messages, metrics, and a timer that does it by itself
    Monitor(Box<Deferred<Monitor>>),
}

#[derive(Debug, Args)]
pub(crate) struct AuthAdd {
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

/// How a sign-in is shown.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Showing {
    /// Show the address instead of opening it, as over SSH
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Show the address as a QR code too
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuthLogin {
    /// The provider; asked for when left out
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<String>,
    /// How to sign in, where the provider has several ways
    #[arg(long, value_name = "ID")]
    pub(crate) method: Option<String>,
    /// Use the provider's model by default
    #[arg(long)]
    pub(crate) set_default: bool,
    /// The id to store it under; made of the account when left out
    #[arg(long, value_name = "ID")]
    pub(crate) profile_id: Option<String>,
    /// Sign in with a code on another device, where the provider has that
    #[arg(long, conflicts_with = "method")]
    pub(crate) device_code: bool,
    #[command(flatten)]
    pub(crate) showing: Showing,
    /// How a key is kept: plaintext (in the store) or ref (the name of the variable that holds it)
    #[arg(long, value_name = "MODE")]
    pub(crate) secret_input_mode: Option<String>,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct SetupToken {
    /// The provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<String>,
    /// Do not ask whether to go on
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct CopilotLogin {
    /// Accepted for scripts; an existing login is always replaced
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) showing: Showing,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct Refresh {
    /// The profiles
    #[arg(value_name = "PROFILE", required = true)]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ImportSource {
    /// The login of the Codex CLI
    Codex,
    /// The login of the Gemini CLI
    Gemini,
    /// auth.json and oauth.json of earlier versions
    Legacy,
}

impl ImportSource {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Legacy => "legacy",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What is taken over
    #[arg(value_name = "SOURCE")]
    pub(crate) source: ImportSource,
    /// Take the refresh token too: the other program loses its login
    #[arg(long)]
    pub(crate) take_over: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct PasteApiKey {
    /// The provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: String,
    /// The id to store it under; PROVIDER:default when left out
    #[arg(long, value_name = "ID")]
    pub(crate) profile_id: Option<String>,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct PasteToken {
    /// The provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: String,
    /// The id to store it under; PROVIDER:manual when left out
    #[arg(long, value_name = "ID")]
    pub(crate) profile_id: Option<String>,
    /// How long it holds: 365d, 12h, 1d12h; a bare number means days
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) expires_in: Option<String>,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The profiles
    #[arg(value_name = "PROFILE", required = true)]
    pub(crate) ids: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct ClearCooldown {
    /// The profiles
    #[arg(value_name = "PROFILE")]
    pub(crate) ids: Vec<String>,
    /// Every profile of the agent
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct AuthList {
    /// Only profiles of this provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct AuthWhy {
    /// A provider, a model or an alias; the default model when left out
    #[arg(value_name = "PROVIDER|MODEL")]
    pub(crate) subject: Option<String>,
    /// Tell what would follow: ok, a reason such as rate_limit, auth or billing, or an HTTP status
    #[arg(long = "if", value_name = "OUTCOME")]
    pub(crate) outcome: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct Order {
    #[command(flatten)]
    pub(crate) agent: Agent,
    #[command(subcommand)]
    pub(crate) command: Option<OrderCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// Print the order of a provider
    Get(Deferred<OrderGet>),
    /// Set the order of a provider
    Set(Deferred<OrderSet>),
    /// Go back to the automatic order
    Clear(Deferred<OrderClear>),
}

#[derive(Debug, Args)]
pub(crate) struct OrderSet {
    /// The profiles, first one first
    #[arg(value_name = "PROFILE", required = true)]
    pub(crate) ids: Vec<String>,
    /// The provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct OrderClear {
    /// The provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

#[derive(Debug, Args)]
pub(crate) struct OrderGet {
    /// The provider
    #[arg(long, value_name = "ID")]
    pub(crate) provider: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) agent: Agent,
}

/// The innermost `--agent` that is not blank.
pub(crate) fn innermost<'a>(levels: &[&'a Agent]) -> Option<&'a str> {
    levels.iter().find_map(|agent| agent.id.as_deref().filter(|id| !id.trim().is_empty()))
}
