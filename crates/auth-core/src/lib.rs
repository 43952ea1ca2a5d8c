//! The model-provider credential model of OpenClaw, as values: profiles, their order, their health, and for every
//! decision the reasons that led to it.
//!
//! This crate does no I/O, reads no clock and no environment, and starts nothing. A caller (`auth-store` for files on
//! disk, or a program of its own) reads once and passes values in: the text of `auth-profiles.json`
//! ([`AuthProfiles::parse`]), the checked config ([`Config::from_value`]), the variables ([`Environment`]) and the time
//! ([`Timestamp`]). Decisions come out as data: [`ProfileOrder`], [`Explanation`], [`StatusReport`].
//!
//! Section numbers such as "07 section 4" refer to the specification in `docs/spec/` of the repository.
//!
//! ```
//! use auth_core::{AuthProfiles, Config, Owner, ProviderId, Timestamp, resolve_order};
//!
//! let store = AuthProfiles::parse(
//!     r#"{"version": 1, "profiles": {
//!         "groq:a": {"type": "api_key", "provider": "groq", "key": "sk-test-a-0000001"},
//!         "groq:b": {"type": "token", "provider": "groq", "token": "sk-test-b-0000001", "expires": 1000}}}"#,
//!     Owner::Agent,
//! )?;
//! let now = Timestamp::from_ms(1_800_000_000_000);
//! let order = resolve_order(&Config::default(), &store, &ProviderId::normalise("Groq"), None, now);
//! assert_eq!(order.tried[0].id.as_str(), "groq:a");
//! assert_eq!(order.passed_over[0].eligibility.code(), "expired");
//! # Ok::<(), auth_core::StoreSyntaxError>(())
//! ```
//!
//! # Limitations
//!
//! Secrets are wiped from memory when dropped, but the text that a caller parsed them from is the caller's to wipe.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod collate;
pub mod config;
mod credential;
mod dotenv;
mod env_credential;
mod environment;
mod explain;
pub mod failure;
pub mod fallback;
pub mod forecast;
mod health;
mod known_variables;
pub mod login_input;
pub mod model;
pub mod monitor;
mod order;
pub mod probe;
mod profile;
pub mod provider;
mod raw_json;
pub mod rotation;
mod secret;
mod secret_ref;
pub mod secrets;
pub mod session;
pub mod setup;
mod source;
pub mod status;
mod store_document;
mod time;
mod usage;

pub use collate::collate;
pub use config::{AgentId, Config};
pub use credential::{Credential, CredentialKind, Expiry, Material};
pub use dotenv::{DotenvEntry, is_dangerous_name, is_refused_in_workspace, is_variable_name, parse_dotenv, runs_code};
pub use env_credential::{AmbientFacts, EnvCredential, EnvKey, EnvValue, collect_keys, env_credential, live_override};
pub use environment::{EmptyValue, EnvOrigin, Environment, ShadowedVariable};
pub use explain::{Candidate, CandidateSource, Conflict, Explanation, Outranking, Standing, explain};
pub use health::{
    CheckVerdict, Health, HealthReason, HealthStatus, ProfileHealth, ProviderHealth, WARN_AFTER_MS, profile_health,
};
pub use known_variables::{KNOWN_VARIABLES, KnownVariable, VariableScope};
pub use model::ModelRef;
pub use order::{Eligibility, OrderEntry, OrderSource, ProfileOrder, eligibility, resolve_order};
pub use profile::{
    AuthProfiles, Owner, Profile, ProfileFile, ProfileId, RejectReason, RejectedEntry, StoreSyntaxError, UnknownFields,
};
pub use provider::{AuthKey, ProviderId};
pub use secret::{Fingerprint, Secret, mask};
pub use secret_ref::{RefDefaults, RefSource, SecretRef, is_env_id, is_exec_id, is_file_id, is_provider_alias};
pub use source::{
    ConfigKey, ConfigKeyState, OtherSources, RefState, ResolvedRefs, Situation, config_key_refs, host_of,
};
pub use status::StatusReport;
pub use store_document::{LegacyImport, Retarget, StoreDocument, StoreEditError};
pub use time::{ShortDuration, Timestamp, WordyDuration};
pub use usage::{
    CooldownPolicy, FailureReason, UnusableProfile, UsageStats, Window, WindowKind, asks_chatgpt_usage,
    chatgpt_cooldown_ms, cooldown, soonest_end, unavailable_reason, unusable_profiles,
};
