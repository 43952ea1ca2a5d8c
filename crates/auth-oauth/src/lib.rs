//! Signing in to model providers, and keeping the logins alive.
//!
//! [`CodeFlow`] signs in through the browser (PKCE, a callback on this machine, a paste where there is no browser),
//! [`DeviceProvider`] with a code that is typed on another device. Both give a [`Login`], which nobody has stored yet.
//! [`Refresher`] gives an access token that can be used, and is the only place where a refresh token is spent.
//!
//! The network is a [`Transport`] of the caller's: any HTTP client will do, and tests need none.
//!
//! # Limitations
//!
//! Blocking: in an asynchronous program, call from a thread that may block. A process that is killed between the answer
//! of a provider and the rename of the store loses the login with a provider that takes a refresh token only once; that
//! window is one file write long.
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod advice;
mod answer;
mod callback;
mod claims;
mod code_flow;
mod copilot_token;
mod device;
mod endpoints;
mod entry;
mod error;
mod gemini_cli;
mod goal;
mod import;
mod login;
mod memory;
mod pasted;
mod pkce;
mod provider;
mod refresher;
mod spend;
mod transport;

pub use callback::CallbackServer;
pub use claims::Claims;
pub use code_flow::{CodeFlow, CodeProvider, OAuthClient};
pub use copilot_token::{CopilotTokens, copilot_cache_path};
pub use device::{DeviceProvider, Instructions};
pub use endpoints::{BadTestBase, Endpoints, TEST_BASE_URL};
pub use entry::LoginEntry;
pub use error::{OAuthError, OAuthErrorKind};
pub use goal::Need;
pub use import::{ForeignCli, ImportError, Imported};
pub use login::Login;
pub use memory::RefreshMemory;
pub use pasted::Pasted;
pub use pkce::{challenge, same_in_constant_time};
pub use provider::copilot::{COPILOT_CACHE, CopilotToken};
pub use provider::minimax::MiniMaxRegion;
pub use provider::{ProviderSettings, Refreshable, Renewed};
pub use refresher::{Access, Origin, Refresher, Subject};
pub use transport::{HttpRequest, HttpResponse, MAX_ANSWER_BYTES, Transport, TransportError, USER_AGENT};
