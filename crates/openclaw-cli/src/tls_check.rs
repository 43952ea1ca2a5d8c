//! Whether a server can be reached over trusted TLS (spec 06 section 8.2), through the client of live probes.

use std::path::PathBuf;
use std::time::Duration;

use auth_core::failure::Reason;
use auth_oauth::{Endpoints, USER_AGENT};
use auth_probe::wire::{Method, Request, Value};
use auth_probe::{Clients, Proxies, reach};
use doctor::{TlsCheck, TlsFailure};

/// The network, with the further certificates that `NODE_EXTRA_CA_CERTS` names.
pub(crate) struct Reach {
    /// Where the fixed hosts are.
    pub(crate) endpoints: Endpoints,
    /// The file of further certificates.
    pub(crate) extra_roots: Option<PathBuf>,
    /// The proxies of the environment.
    pub(crate) proxies: Proxies,
}

impl TlsCheck for Reach {
    fn reach(&self, url: &str, timeout_ms: u64) -> Result<(), TlsFailure> {
        let extra = match &self.extra_roots {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|error| TlsFailure::Certificate {
                code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
                message: format!("NODE_EXTRA_CA_CERTS names {}, which cannot be read: {error}", path.display()),
            })?),
        };
        let clients = Clients::new(extra.as_deref(), &self.proxies).map_err(|why| TlsFailure::of_text(&why))?;
        let url = self.endpoints.url(url);
        let headers = vec![("user-agent".to_owned(), Value::Plain(USER_AGENT.to_owned()))];
        let request = Request { method: Method::Get, url, headers, body: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| TlsFailure::Network(format!("cannot start: {error}")))?;
        match runtime.block_on(reach(&request, &clients, Duration::from_millis(timeout_ms))) {
            Ok(_) => Ok(()),
            Err((Reason::Tls, text)) => Err(TlsFailure::of_text(&text)),
            Err((_, text)) => Err(TlsFailure::Network(text)),
        }
    }
}
