//! Whether a server can be reached over trusted TLS (spec 06 section 8.2), through the client of live probes.

use std::path::PathBuf;
use std::time::Duration;

use auth_core::failure::Reason;
use auth_probe::wire::{Method, Request, Value};
use auth_probe::{Clients, reach};
use doctor::{TlsCheck, TlsFailure};

/// Sends requests for fixed hosts to a server on this machine: for tests.
const TEST_BASE_URL: &str = "OPENCLAW_AUTH_TEST_BASE_URL";

/// The network, with the further certificates that `NODE_EXTRA_CA_CERTS` names.
pub(crate) struct Reach {
    /// Where requests for fixed hosts go instead.
    pub(crate) test_base: Option<String>,
    /// The file of further certificates.
    pub(crate) extra_roots: Option<PathBuf>,
}

impl Reach {
    /// Reads the override for tests; only the process environment counts (spec 04 section 8). An error is its fault.
    pub(crate) fn test_base() -> Result<Option<String>, String> {
        let Some(value) = std::env::var_os(TEST_BASE_URL).filter(|value| !value.is_empty()) else { return Ok(None) };
        let fits = value.to_str().and_then(|text| {
            let rest = text.strip_prefix("http://")?;
            let port = rest.strip_prefix("127.0.0.1:").or_else(|| rest.strip_prefix("[::1]:"))?;
            port.parse::<u16>().ok().map(|_| text.to_owned())
        });
        match fits {
            Some(base) => Ok(Some(base)),
            None => Err(format!("{TEST_BASE_URL} must be http://127.0.0.1:PORT")),
        }
    }
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
        let clients = Clients::new(extra.as_deref()).map_err(|why| TlsFailure::of_text(&why))?;
        let url = match (&self.test_base, url.strip_prefix("https://")) {
            (Some(base), Some(rest)) => format!("{base}/{rest}"),
            _ => url.to_owned(),
        };
        let agent = concat!("openclaw-auth/", env!("CARGO_PKG_VERSION")).to_owned();
        let headers = vec![("user-agent".to_owned(), Value::Plain(agent))];
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
