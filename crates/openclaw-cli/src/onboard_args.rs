//! The options of `onboard` and `configure` (spec 04 sections 3.1 and 3.9).

use auth_core::Secret;
use auth_core::setup::key_flags;
use clap::builder::Resettable;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};

/// Set up a provider: its credential, its model, its settings.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Without --non-interactive it asks, and shows what it would write before it writes.

Choices for --auth-choice: an API key of a provider (openai-api-key, gemini-api-key, … one per key option above;
apiKey is Anthropic), setup-token, vllm, sglang, custom-api-key, skip. Choices that sign in through the browser or
with a code name the command that does it.

A secret in an argument is visible to other users of this machine: give \"-\" and pipe it in, or set the variable.")]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Onboard {
    /// Do not ask; needs --accept-risk
    #[arg(long)]
    pub(crate) non_interactive: bool,
    /// Agents can read files and run commands of this machine: accepted
    #[arg(long)]
    pub(crate) accept_risk: bool,
    /// What to set up
    #[arg(long, value_name = "CHOICE")]
    pub(crate) auth_choice: Option<String>,
    /// How a key is kept: plaintext (in the store) or ref (the name of the variable that holds it)
    #[arg(long, value_name = "MODE")]
    pub(crate) secret_input_mode: Option<String>,
    /// The provider of --token, or of the key with --auth-choice apiKey
    #[arg(long, value_name = "ID")]
    pub(crate) token_provider: Option<String>,
    /// A setup-token; "-" reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// The name to store the setup-token under
    #[arg(long, value_name = "NAME")]
    pub(crate) token_profile_id: Option<String>,
    /// How long the token holds: 365d, 12h, 1d12h; a bare number means days
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) token_expires_in: Option<String>,
    #[command(flatten)]
    pub(crate) keys: KeyOptions,
    /// Account of the Cloudflare AI gateway
    #[arg(long, value_name = "ID")]
    pub(crate) cloudflare_ai_gateway_account_id: Option<String>,
    /// Name of the Cloudflare AI gateway
    #[arg(long, value_name = "ID")]
    pub(crate) cloudflare_ai_gateway_gateway_id: Option<String>,
    /// Endpoint of a custom server
    #[arg(long, value_name = "URL")]
    pub(crate) custom_base_url: Option<String>,
    /// Model of a custom server
    #[arg(long, value_name = "ID")]
    pub(crate) custom_model_id: Option<String>,
    /// Provider id of a custom server; made of its host when left out
    #[arg(long, value_name = "ID")]
    pub(crate) custom_provider_id: Option<String>,
    /// What a custom server speaks: openai or anthropic
    #[arg(long, value_name = "KIND")]
    pub(crate) custom_compatibility: Option<String>,
    /// local, or remote (which needs no credential here)
    #[arg(long, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Start anew: config and credentials/ are kept under another name
    #[arg(long)]
    pub(crate) reset: bool,
    /// What to reset: config, config+creds+sessions or full
    #[arg(long, value_name = "SCOPE")]
    pub(crate) reset_scope: Option<String>,
    /// Reported only
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Check and show what would change; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) ignored: Ignored,
}

/// The options that carry a key: one per provider of the catalogue, and `--custom-api-key`.
#[derive(Debug, Default)]
pub(crate) struct KeyOptions {
    /// Option and value, as given.
    pub(crate) given: Vec<(&'static str, Secret)>,
}

fn key_options() -> Vec<(&'static str, &'static str)> {
    let mut options = key_flags();
    options.push(("--custom-api-key", "a custom or local server"));
    options
}

impl Args for KeyOptions {
    fn augment_args(command: Command) -> Command {
        key_options().into_iter().fold(command, |command, (flag, label)| {
            let name = &flag[2..];
            command.arg(
                Arg::new(name)
                    .long(name)
                    .value_name("KEY")
                    .help(format!("API key of {label}"))
                    .help_heading("API keys (\"-\" reads standard input)"),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for KeyOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut keys = Self::default();
        keys.update_from_arg_matches(matches)?;
        Ok(keys)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.given = key_options()
            .into_iter()
            .filter_map(|(flag, _)| Some((flag, Secret::new(matches.get_one::<String>(&flag[2..])?.as_str()))))
            .collect();
        Ok(())
    }
}

/// Options of parts of the set-up that this program does not cover: accepted, so that a script works unchanged.
#[derive(Debug, Default)]
pub(crate) struct Ignored {
    pub(crate) skip_health: bool,
    pub(crate) skip_skills: bool,
}

const WITH_VALUE: &[&str] = &[
    "flow",
    "gateway-auth",
    "gateway-bind",
    "gateway-custom-bind",
    "gateway-password",
    "gateway-port",
    "gateway-token",
    "gateway-token-ref-env",
    "remote-token",
    "remote-url",
    "tailscale",
    "daemon-runtime",
    "node-manager",
];
const BARE: &[&str] = &[
    "tailscale-reset-on-exit",
    "install-daemon",
    "no-install-daemon",
    "skip-bootstrap",
    "skip-channels",
    "skip-daemon",
    "skip-health",
    "skip-search",
    "skip-skills",
    "skip-ui",
];

impl Args for Ignored {
    fn augment_args(command: Command) -> Command {
        let with_value = WITH_VALUE.iter().map(|name| Arg::new(*name).long(*name).action(ArgAction::Append));
        let bare = BARE.iter().map(|name| Arg::new(*name).long(*name).action(ArgAction::SetTrue));
        with_value.chain(bare).fold(command, |command, arg| command.arg(arg.hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Ignored {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { skip_health: matches.get_flag("skip-health"), skip_skills: matches.get_flag("skip-skills") })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Options that are put together only when their command is named.
#[derive(Debug)]
pub(crate) struct Deferred<T>(pub(crate) T);

impl<T> std::ops::Deref for Deferred<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(|command| as_named(command, T::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| as_named(command, T::augment_args_for_update))
    }
}

/// Adds options to a command and leaves what it is for: groups of options bring descriptions of their own.
fn as_named(command: Command, augment: fn(Command) -> Command) -> Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    augment(command).about(Resettable::from(about)).long_about(Resettable::from(long_about))
}

impl<T: clap::FromArgMatches> clap::FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Change one part of the set-up.
#[derive(Debug, Args)]
pub(crate) struct Configure {
    /// The part; this program has: model
    #[arg(long, value_name = "NAME")]
    pub(crate) section: Vec<String>,
}
