//! Where OpenClaw keeps model-provider credentials, read without ever writing.
//!
//! [`State::load`] reads the variables with every `.env` file, finds the directories, reads and checks
//! `openclaw.json`, and resolves the references that need no program. [`State::agent_auth`] then reads what one agent
//! sees. The result, a [`Situation`](auth_core::Situation), is all that the decisions of `auth-core` look at.
//!
//! Every access to the machine goes through a [`Host`]: [`RealHost`], or [`MapHost`] for tests.
//!
//! ```
//! use auth_store::{MapHost, State};
//!
//! let host = MapHost::new("/home/u")
//!     .file("/home/u/.openclaw/openclaw.json", "{ agents: { defaults: { model: 'groq/llama' } } } // JSON5")
//!     .file("/home/u/.openclaw/.env", "GROQ_API_KEY=sk-test-groq-000000001\n");
//! let state = State::load(&host, None)?;
//! let auth = state.agent_auth(None, &host)?;
//! let report = auth_core::StatusReport::build(&state.situation(&auth), auth.agent.as_ref());
//! assert_eq!(report.rows[0].env.as_ref().map(|(_, source)| source.as_str()), Some("env: GROQ_API_KEY"));
//! assert!(report.missing.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limitations
//!
//! Unix only. Variables that are not UTF-8 are not seen.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod backup_ring;
mod config_file;
mod config_plan;
mod config_writer;
mod dotenv_writer;
mod file_change;
mod host;
mod json5;
mod json5_edit;
mod layout;
mod lock;
mod login_shell;
mod monitor_files;
mod profiles_file;
mod program;
mod replace;
pub mod secrets;
mod secure_file;
mod sessions;
mod set_aside;
mod state;
mod store_writer;
mod transcript_file;
mod variables;
mod write_host;

pub use backup_ring::backup_name;
pub use config_file::{
    COMPATIBLE_VERSION, ConfigFile, ConfigInvalid, ConfigProblem, ConfigReading, ConfigSource, read_config,
};
pub use config_plan::{ConfigPlan, ConfigPlanner, PlannedFile};
pub use config_writer::{ConfigChange, ConfigWriteError, ConfigWriter};
pub use dotenv_writer::{DotenvUndo, DotenvWriteError, set_dotenv_variable};
pub use file_change::{FileChange, FileChangeError, write_files};
pub use host::{Host, MapHost, Overlay, RealHost};
pub use json5::parse_json5;
pub use layout::StateLayout;
pub use lock::{LockError, LockFacts, LockGuard, iso_time, left_locks, lock, lock_facts, lock_unless};
pub use login_shell::{LoginShell, LoginShellError};
pub use monitor_files::{
    MonitorMemoryError, lock_monitor_memory, monitor_env_path, monitor_memory_path, read_monitor_memory,
    set_bad_memory_aside, write_private, write_public,
};
pub use profiles_file::{STORE_FILE, StoreError, StoreView, read_view};
pub use program::{Ended, Ending, Program, end_well_on_terminate};
pub use replace::{WriteError, replace};
pub use secure_file::{FileFacts, PathFacts, PathKind};
pub use sessions::{SessionError, SessionStore, Transcript, TranscriptMessage, day_began_ms};
pub use set_aside::{SetAside, SetAsideError, set_aside};
pub use state::{AgentAuth, Ground, State, UnknownAgent};
pub use store_writer::{LegacyCounts, OpenStore, Run, StoreChange, StoreWriteError, StoreWriter, open_store};
pub use variables::watched_files;
#[cfg(any(test, feature = "test-support"))]
#[doc(hidden)]
pub use write_host::faulty;
pub use write_host::{WriteHost, random_bytes};
