//! Secrets that live elsewhere (spec 05): the settings of their providers, what they may answer, where a reference may
//! stand, and plans that move plaintext out of the files. Values only; asking a provider is the caller's.

mod env_lines;
mod error;
mod exec_protocol;
mod naming;
mod plan;
mod pointer;
mod projection;
mod redact;
mod settings;
mod target;

pub use env_lines::{EnvLine, env_lines, is_credential_variable, without_env_lines};
pub use error::{ErrorScope, SecretError};
pub use exec_protocol::{exec_request, exec_response, read_exec_request, write_exec_response};
pub use naming::Naming;
pub use plan::{Plan, PlanFault, PlanPlace, PlanTarget, ScrubOptions};
pub use pointer::{SecretJson, wipe_json};
pub use projection::{
    ProjectedConfig, ProjectedLegacy, ProjectedStore, config_references, holds_secret, project_config, project_legacy,
    project_store, unescaped, variables_named,
};
pub use redact::Redactor;
pub use settings::{EnvProvider, ExecProvider, FileMode, FileProvider, ProviderSettings, SecretsConfig};
pub use target::{
    ConfigSecret, Target, TargetFile, config_secrets, is_config_target, is_sensitive_header, other_secrets, target_of,
};
