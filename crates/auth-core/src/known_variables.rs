//! The variables that the program knows by name (spec 00 section 5), as a table from which the documentation is made.
//!
//! The variables that hold keys of providers are in the catalogue ([`crate::provider::PROVIDERS`]).

/// Where a variable may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableScope {
    /// In any source: the process, a `.env` file, the config, the login shell (spec 01 section 2).
    AnySource,
    /// In the environment of the process only.
    Process,
    /// Nowhere: the program sets it for programs that it starts.
    SetForOthers,
}

/// A variable that the program knows by name.
#[derive(Clone, Copy, Debug)]
pub struct KnownVariable {
    /// Its name.
    pub name: &'static str,
    /// What it is about; neighbours in the table share it.
    pub subject: &'static str,
    /// Where it may be set.
    pub scope: VariableScope,
    /// What it does.
    pub meaning: &'static str,
    /// The section of the specification that defines it.
    pub section: &'static str,
}

use VariableScope::{AnySource as Any, Process, SetForOthers as Set};

const fn row(
    subject: &'static str,
    name: &'static str,
    scope: VariableScope,
    meaning: &'static str,
    section: &'static str,
) -> KnownVariable {
    KnownVariable { name, subject, scope, meaning, section }
}

const PLACES: &str = "Places";
const SOURCES: &str = "Where variables come from";
const PRINTING: &str = "Printing";
const NETWORK: &str = "Network";
const BEDROCK: &str = "Amazon Bedrock";
const GOOGLE: &str = "Google Vertex and Gemini";
const AZURE: &str = "Azure OpenAI";
const LOGIN: &str = "Signing in";
const KEYS: &str = "Keys";
const AT_REST: &str = "Keys at rest";
const DOCTOR: &str = "Doctor";
const MONITOR: &str = "Monitor";
const GATEWAY: &str = "Gateway and other programs";

/// Every variable that is known by name, by subject.
#[rustfmt::skip]
pub static KNOWN_VARIABLES: &[KnownVariable] = &[
    row(PLACES, "OPENCLAW_HOME", Process, "The home directory for everything below", "01 section 1.1"),
    row(PLACES, "HOME", Process, "The home directory when `OPENCLAW_HOME` is not set", "01 section 1.1"),
    row(PLACES, "USERPROFILE", Process, "The home directory when `HOME` is not set either", "01 section 1.1"),
    row(PLACES, "OPENCLAW_STATE_DIR", Any, "The state directory instead of `~/.openclaw`", "01 section 1.2"),
    row(PLACES, "OPENCLAW_CONFIG_PATH", Any, "The config file instead of `openclaw.json` in the state directory", "01 section 1.3"),
    row(PLACES, "OPENCLAW_PROFILE", Set, "The name that `--profile` gave", "01 section 1.2"),
    row(PLACES, "OPENCLAW_AGENT_DIR", Any, "The main store directory", "01 section 1.4"),
    row(PLACES, "PI_CODING_AGENT_DIR", Any, "The main store directory when `OPENCLAW_AGENT_DIR` is not set", "01 section 1.4"),
    row(PLACES, "OPENCLAW_OAUTH_DIR", Any, "The directory instead of `credentials` in the state directory", "01 section 1.5"),
    row(PLACES, "OPENCLAW_AUTH_STORE_READONLY", Any, "No credential store is written", "01 section 5.5"),

    row(SOURCES, "OPENCLAW_LOAD_SHELL_ENV", Any, "Asks the login shell for keys when no variable of a provider is set", "01 section 2.5"),
    row(SOURCES, "OPENCLAW_DEFER_SHELL_ENV_FALLBACK", Any, "Does not ask the login shell", "01 section 2.5"),
    row(SOURCES, "OPENCLAW_SHELL_ENV_TIMEOUT_MS", Any, "How long the login shell may take, in milliseconds (15000)", "01 section 2.5"),
    row(SOURCES, "SHELL", Any, "The login shell", "01 section 2.5"),
    row(SOURCES, "OPENCLAW_CLI", Set, "`1` for the login shell", "01 section 2.5"),

    row(PRINTING, "NO_COLOR", Process, "Prints without colour", "02 §4"),
    row(PRINTING, "CLICOLOR_FORCE", Process, "Prints with colour although nobody looks", "02 §4"),
    row(PRINTING, "TERM", Process, "`dumb`: without colour and moving lines", "02 §4"),
    row(PRINTING, "COLUMNS", Process, "The width of what is printed, when there is no terminal to ask", "02 §4"),

    row(NETWORK, "HTTPS_PROXY", Any, "The proxy for https; also in lower case", "03 section 5.1"),
    row(NETWORK, "HTTP_PROXY", Any, "The proxy for http; also in lower case", "03 section 5.1"),
    row(NETWORK, "ALL_PROXY", Any, "The proxy for both when theirs is not set; also in lower case", "03 section 5.1"),
    row(NETWORK, "NO_PROXY", Any, "Hosts that are asked without a proxy; also in lower case", "03 section 5.1"),
    row(NETWORK, "NODE_EXTRA_CA_CERTS", Any, "A file of further trusted certificates", "03 section 5.6"),
    row(NETWORK, "SSL_CERT_FILE", Process, "The trusted certificates instead of the system's", "03 section 5.6"),
    row(NETWORK, "SSL_CERT_DIR", Process, "A directory of trusted certificates instead of the system's", "03 section 5.6"),
    row(NETWORK, "OPENCLAW_AUTH_TEST_BASE_URL", Process, "For tests only: fixed hosts of sign-ins lead to this loopback address", "04 section 8"),

    row(BEDROCK, "AWS_BEARER_TOKEN_BEDROCK", Any, "A Bedrock API key", "02 §6"),
    row(BEDROCK, "AWS_ACCESS_KEY_ID", Any, "An access key, with its secret", "02 §6"),
    row(BEDROCK, "AWS_SECRET_ACCESS_KEY", Any, "The secret of the access key", "02 §6"),
    row(BEDROCK, "AWS_SESSION_TOKEN", Any, "The session of a temporary access key", "03 section 5.2"),
    row(BEDROCK, "AWS_PROFILE", Any, "A profile of the AWS tools; named in reports", "02 §6"),
    row(BEDROCK, "AWS_REGION", Any, "The region", "03 section 5.2"),
    row(BEDROCK, "AWS_DEFAULT_REGION", Any, "The region when `AWS_REGION` is not set", "03 section 5.2"),

    row(GOOGLE, "GOOGLE_CLOUD_API_KEY", Any, "A key of Vertex", "02 §6"),
    row(GOOGLE, "GOOGLE_APPLICATION_CREDENTIALS", Any, "The file of the application default credentials", "02 §6"),
    row(GOOGLE, "GOOGLE_CLOUD_PROJECT", Any, "The project", "02 §6"),
    row(GOOGLE, "GCLOUD_PROJECT", Any, "The project, in its older spelling", "02 §6"),
    row(GOOGLE, "GOOGLE_CLOUD_PROJECT_ID", Any, "The project of a Gemini login", "04 section 6.3"),
    row(GOOGLE, "GOOGLE_CLOUD_LOCATION", Any, "The location", "02 §6"),
    row(GOOGLE, "ANTHROPIC_VERTEX_USE_GCP_METADATA", Any, "Claude on Vertex takes its credential from the metadata server", "02 §6"),
    row(GOOGLE, "GOOGLE_GENAI_USE_GCA", Any, "A Gemini login is that of a personal account", "04 section 6.3"),
    row(GOOGLE, "OPENCLAW_GEMINI_OAUTH_CLIENT_ID", Any, "The OAuth client of Gemini logins", "04 section 6.3"),
    row(GOOGLE, "OPENCLAW_GEMINI_OAUTH_CLIENT_SECRET", Any, "The secret of that client", "04 section 6.3"),
    row(GOOGLE, "GEMINI_CLI_OAUTH_CLIENT_ID", Any, "The same, when the former is not set", "04 section 6.3"),
    row(GOOGLE, "GEMINI_CLI_OAUTH_CLIENT_SECRET", Any, "The secret of that client", "04 section 6.3"),
    row(GOOGLE, "OPENCLAW_ANTIGRAVITY_OAUTH_CLIENT_ID", Any, "The OAuth client with which old Antigravity logins are renewed", "04 section 6.3"),
    row(GOOGLE, "OPENCLAW_ANTIGRAVITY_OAUTH_CLIENT_SECRET", Any, "The secret of that client", "04 section 6.3"),

    row(AZURE, "AZURE_OPENAI_BASE_URL", Any, "The endpoint", "03 section 5.2"),
    row(AZURE, "AZURE_OPENAI_RESOURCE_NAME", Any, "The resource that the endpoint is made of", "03 section 5.2"),
    row(AZURE, "AZURE_OPENAI_API_VERSION", Any, "The version of the API", "03 section 5.2"),
    row(AZURE, "AZURE_OPENAI_DEPLOYMENT_NAME_MAP", Any, "Deployments by model: `model=deployment`, with commas between", "03 section 5.2"),

    row(LOGIN, "SSH_CLIENT", Any, "When set, the browser is taken to be on another machine", "04 section 5"),
    row(LOGIN, "SSH_TTY", Any, "The same", "04 section 5"),
    row(LOGIN, "SSH_CONNECTION", Any, "The same", "04 section 5"),
    row(LOGIN, "REMOTE_CONTAINERS", Any, "The same", "04 section 5"),
    row(LOGIN, "CODESPACES", Any, "The same", "04 section 5"),
    row(LOGIN, "DISPLAY", Any, "When neither this nor the next is set, there is no browser here", "04 section 5"),
    row(LOGIN, "WAYLAND_DISPLAY", Any, "See `DISPLAY`", "04 section 5"),
    row(LOGIN, "WSL_INTEROP", Any, "When set, the browser is that of Windows", "04 section 5"),
    row(LOGIN, "WSL_DISTRO_NAME", Any, "The same", "04 section 5"),
    row(LOGIN, "WSLENV", Any, "The same", "04 section 5"),
    row(LOGIN, "PATH", Process, "Where a browser opener, `gemini`, `systemctl`, `crontab` and notification commands are found", "04 section 6.3, 06 section 14"),
    row(LOGIN, "CHUTES_CLIENT_ID", Any, "The OAuth client of Chutes logins", "04 section 6.4"),
    row(LOGIN, "CHUTES_CLIENT_SECRET", Any, "The secret of that client", "04 section 6.4"),
    row(LOGIN, "CHUTES_OAUTH_REDIRECT_URI", Any, "Where Chutes sends the browser back to", "04 section 6.4"),
    row(LOGIN, "CHUTES_OAUTH_SCOPES", Any, "What a Chutes login may do", "04 section 6.4"),
    row(LOGIN, "CODEX_HOME", Any, "Where `models auth import codex` looks, instead of `~/.codex`", "04 section 1.8"),

    row(KEYS, "CUSTOM_API_KEY", Any, "The key of a custom provider in `onboard`", "04 section 3.7"),
    row(KEYS, "OPENCLAW_LIVE_ANTHROPIC_KEYS", Any, "Several keys of Anthropic, tried in turn", "07 section 2"),

    row(AT_REST, "OPENCLAW_AGE_IDENTITY", Any, "The identity file that opens an age store", "05 section 14"),
    row(AT_REST, "DBUS_SESSION_BUS_ADDRESS", Any, "Passed on to the keyring", "05 section 14"),
    row(AT_REST, "XDG_RUNTIME_DIR", Any, "Passed on to the keyring", "05 section 14"),

    row(DOCTOR, "OPENCLAW_SUPPRESS_NOTES", Any, "Prints no notes", "06 section 1"),
    row(DOCTOR, "OPENCLAW_UPDATE_IN_PROGRESS", Any, "`doctor --non-interactive` runs as part of an update", "06 section 2"),

    row(MONITOR, "WARN_HOURS", Any, "How many hours before its end a credential counts as ending (24)", "06 section 14"),
    row(MONITOR, "NOTIFY_NTFY", Any, "The topic or address of ntfy to which messages go", "06 section 14"),
    row(MONITOR, "NOTIFY_NTFY_TOKEN", Any, "Its access token", "06 section 14"),
    row(MONITOR, "NOTIFY_NTFY_TOKEN_FILE", Any, "The file that holds its access token", "06 section 14"),
    row(MONITOR, "NOTIFY_WEBHOOK", Any, "Addresses to which messages go as JSON, with blanks between", "06 section 14"),
    row(MONITOR, "NOTIFY_WEBHOOK_TOKEN", Any, "Their bearer token", "06 section 14"),
    row(MONITOR, "NOTIFY_WEBHOOK_TOKEN_FILE", Any, "The file that holds their bearer token", "06 section 14"),
    row(MONITOR, "NOTIFY_CMD", Any, "The command that is run for every message", "06 section 14"),
    row(MONITOR, "XDG_CONFIG_HOME", Any, "Where unit files of the user are, instead of `~/.config`", "06 section 14"),
    row(MONITOR, "OPENCLAW_AUTH_EVENT", Set, "What happened; for a notification command", "06 section 14"),
    row(MONITOR, "OPENCLAW_AUTH_STATUS", Set, "The worst status; for a notification command", "06 section 14"),
    row(MONITOR, "OPENCLAW_AUTH_SUMMARY", Set, "One line for people; for a notification command", "06 section 14"),

    row(GATEWAY, "OPENCLAW_GATEWAY_PORT", Any, "The port of the gateway", "07 section 12"),
    row(GATEWAY, "OPENCLAW_GATEWAY_TOKEN", Any, "The token that the gateway wants to see", "07 section 12"),
    row(GATEWAY, "OPENCLAW_GATEWAY_PASSWORD", Any, "The password that the gateway wants to see", "07 section 12"),
    row(GATEWAY, "OPENCLAW_UPSTREAM", Process, "The absolute path of another `openclaw`, to which commands go that this program does not have", "00 section 3"),
    row(GATEWAY, "OPENCLAW_UPSTREAM_GUARD", Set, "Stops a loop from the other program back to this one", "00 section 3"),
];
