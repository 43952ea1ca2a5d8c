//! Whether the sign-in server of OpenAI can be reached over trusted TLS (spec 06 section 8.2).

use auth_core::CredentialKind;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::outside::TlsFailure;
use crate::request::Request;

const CERTIFICATE: &str = "auth.tls.certificate";
const NETWORK: &str = "auth.tls.network";
const TITLE: &str = "OAuth TLS prerequisites";
/// How long an answer may take, in milliseconds.
const TIMEOUT_MS: u64 = 4_000;
const URL: &str = "https://auth.openai.com/oauth/authorize?response_type=code&client_id=openclaw-preflight&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback&scope=openid+profile+email";

/// Asks once, when a login needs it or `--deep` asks for it.
pub(super) struct Tls;

impl Check for Tls {
    fn codes(&self) -> &'static [&'static str] {
        &[CERTIFICATE, NETWORK]
    }

    fn is_repeatable(&self, _request: &Request) -> bool {
        // The server is asked once.
        false
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let profiles = view.scene.settings().auth_profiles.values();
        let mut codex =
            profiles.filter(|entry| entry.provider.as_str() == "openai-codex" && entry.mode == CredentialKind::OAuth);
        let needed = view.request.deep || codex.next().is_some();
        let Some(tls) = view.outside.tls.filter(|_| needed && !view.request.offline) else { return Vec::new() };
        match tls.reach(URL, TIMEOUT_MS) {
            Ok(()) => Vec::new(),
            Err(TlsFailure::Certificate { code, message }) => {
                let advice = advice();
                let message = format!(
                    "auth.openai.com: {message} ({code}). The certificates of the operating system are used, and those of SSL_CERT_FILE, SSL_CERT_DIR and NODE_EXTRA_CA_CERTS. {advice}"
                );
                let finding = Finding::new(CERTIFICATE, Severity::Error, TITLE, message).of_provider("openai-codex");
                vec![finding.helped_by(advice).detail("tlsCode", code)]
            }
            Err(TlsFailure::Network(why)) => {
                let message = format!("auth.openai.com was not reached: {why}");
                vec![Finding::new(NETWORK, Severity::Info, TITLE, message).of_provider("openai-codex")]
            }
        }
    }
}

fn advice() -> &'static str {
    if cfg!(target_os = "macos") {
        "Run: brew postinstall ca-certificates, brew postinstall openssl@3; behind a company proxy add its certificate to the keychain, or set NODE_EXTRA_CA_CERTS to it."
    } else {
        "Install the package ca-certificates; behind a company proxy set NODE_EXTRA_CA_CERTS to the file of its certificate."
    }
}
