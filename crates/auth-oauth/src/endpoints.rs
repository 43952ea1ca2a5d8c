//! Where the fixed hosts of the providers are: where they say, or on this machine for a test (spec 04 section 8).

use auth_core::{EnvOrigin, Environment};
use url::{Host, Url};

/// The variable that sends requests for fixed hosts to this machine.
pub const TEST_BASE_URL: &str = "OPENCLAW_AUTH_TEST_BASE_URL";

/// Where requests for the fixed hosts of the providers go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    test_base: Option<String>,
}

/// The variable has a value that could lead off the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TEST_BASE_URL} must be http://127.0.0.1:PORT")]
pub struct BadTestBase;

impl Endpoints {
    /// Reads the variable, which counts only where it stands in the process environment.
    ///
    /// # Errors
    ///
    /// When its value is anything but a port of this machine.
    pub fn of(environment: &Environment) -> Result<Self, BadTestBase> {
        let from_process = environment.origin(TEST_BASE_URL) == Some(&EnvOrigin::Process);
        match environment.get(TEST_BASE_URL).filter(|value| from_process && !value.trim().is_empty()) {
            None => Ok(Self::default()),
            Some(value) => Self::at(value),
        }
    }

    /// Sends everything to a server on this machine.
    ///
    /// # Errors
    ///
    /// When the address is anything but `http://127.0.0.1:PORT` or `http://[::1]:PORT`.
    pub fn at(base: &str) -> Result<Self, BadTestBase> {
        let base = base.trim();
        let url = Url::parse(base).map_err(|_| BadTestBase)?;
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address == std::net::Ipv4Addr::LOCALHOST,
            Some(Host::Ipv6(address)) => address == std::net::Ipv6Addr::LOCALHOST,
            Some(Host::Domain(_)) | None => false,
        };
        // Compared with the text, so that no other spelling of the address passes; a port that is the usual one of the
        // scheme is dropped by the parser.
        let port = base.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse::<u16>().ok());
        let host = url.host_str().unwrap_or_default();
        let plain = port.map(|port| format!("http://{host}:{port}"));
        let same = plain.as_deref() == Some(base.trim_end_matches('/'))
            && base.len() <= plain.as_ref().map_or(0, String::len) + 1;
        if !loopback || !same {
            return Err(BadTestBase);
        }
        Ok(Self { test_base: plain })
    }

    /// Whether requests stay on this machine.
    pub fn is_test(&self) -> bool {
        self.test_base.is_some()
    }

    /// Where a request for `https://HOST/PATH` goes.
    pub fn url(&self, fixed: &str) -> String {
        match (&self.test_base, fixed.strip_prefix("https://")) {
            (Some(base), Some(rest)) => format!("{base}/{rest}"),
            _ => fixed.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_port_of_this_machine_will_do() {
        for good in ["http://127.0.0.1:8080", "http://127.0.0.1:80", "http://[::1]:9", " http://127.0.0.1:1/ "] {
            assert!(Endpoints::at(good).is_ok(), "{good}");
        }
        for bad in [
            "https://127.0.0.1:8080",
            "http://127.0.0.1",
            "http://localhost:8080",
            "http://127.0.0.2:8080",
            "http://127.1:8080",
            "http://0x7f.0.0.1:8080",
            "http://127.0.0.1:8080/x",
            "http://127.0.0.1:8080//",
            "http://127.0.0.1:8080?x",
            "http://127.0.0.1:8080#x",
            "http://u@127.0.0.1:8080",
            "http://127.0.0.1:8080@evil.example:80",
            "http://evil.example:80",
            "http://127.0.0.1:99999",
            "rubbish",
        ] {
            assert_eq!(Endpoints::at(bad), Err(BadTestBase), "{bad}");
        }
    }

    #[test]
    fn the_path_says_which_host_was_meant() {
        let endpoints = Endpoints::at("http://127.0.0.1:8080").unwrap();
        assert_eq!(
            endpoints.url("https://auth.example/oauth/token?a=b"),
            "http://127.0.0.1:8080/auth.example/oauth/token?a=b"
        );
        assert_eq!(Endpoints::default().url("https://auth.example/x"), "https://auth.example/x");
    }

    #[test]
    fn a_file_cannot_redirect_a_login() {
        let mut environment = Environment::default();
        let origin = EnvOrigin::File { path: "~/.openclaw/.env".to_owned(), line: 1 };
        environment.add(TEST_BASE_URL, "http://127.0.0.1:1".to_owned(), origin, auth_core::EmptyValue::IsUnset);
        assert!(!Endpoints::of(&environment).unwrap().is_test());
        let process = Environment::from_process([(TEST_BASE_URL.to_owned(), "http://127.0.0.1:1".to_owned())]);
        assert!(Endpoints::of(&process).unwrap().is_test());
    }
}
