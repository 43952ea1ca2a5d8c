//! Where messages go: addresses that are safe to send to (spec 06 section 14.2).

use std::fmt;

use url::{Host, Url};

/// The public server of ntfy, for a topic without an address.
const NTFY: &str = "https://ntfy.sh/";

/// An address of a channel. It may be a secret of its own, as a topic or the path of a webhook is: only the host is
/// ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    host: String,
}

/// Why an address is not used. Holds nothing of it but its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no `http` or `https` address.
    #[error("is no http or https address")]
    NotWeb,
    /// It is neither an address nor a topic of ntfy.
    #[error("is neither an address nor a topic; a topic has up to 64 letters, digits, - and _")]
    NoTopic,
    /// It holds a user name or a password.
    #[error("holds a user name or a password; put a token in a file instead")]
    UserInfo,
    /// It is not encrypted and leads off this machine.
    #[error("is not encrypted (http to {0}); use https, or --allow-http if that network is yours")]
    Plain(String),
}

impl Address {
    /// Reads an address. Plain `http` leads to this machine only, unless `allow_http` says otherwise.
    ///
    /// # Errors
    ///
    /// When it is none, holds a password, or would send messages in the clear.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, AddressError> {
        let url = Url::parse(text.trim()).map_err(|_| AddressError::NotWeb)?;
        let host = url.host().ok_or(AddressError::NotWeb)?;
        let loopback = match &host {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.to_canonical().is_loopback(),
            Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        };
        let host = host.to_string();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::UserInfo);
        }
        match url.scheme() {
            "https" => {}
            "http" if loopback || allow_http => {}
            "http" => return Err(AddressError::Plain(host)),
            _ => return Err(AddressError::NotWeb),
        }
        Ok(Self { url: url.into(), host })
    }

    /// Reads a topic of ntfy or its address.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and when it is no topic either.
    pub fn ntfy(text: &str, allow_http: bool) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.contains("://") {
            return Self::parse(text, allow_http);
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(AddressError::NoTopic);
        }
        Ok(Self { url: format!("{NTFY}{text}"), host: "ntfy.sh".to_owned() })
    }

    /// All of it, for the request and the file of channels.
    pub fn reveal(&self) -> &str {
        &self.url
    }

    /// The host, which may be shown.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.host).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encrypted_or_local_addresses_pass() {
        for good in [
            "https://x.example/in?a=b",
            "http://127.0.0.1:8/x",
            "http://[::1]/",
            "http://localhost:1/y",
            "http://a.localhost/",
            "http://[::ffff:127.0.0.1]/",
            " https://x.example ",
        ] {
            assert!(Address::parse(good, false).is_ok(), "{good}");
        }
        let plain = |text: &str| Address::parse(text, false).unwrap_err();
        assert_eq!(plain("http://x.example/secret"), AddressError::Plain("x.example".to_owned()));
        assert_eq!(plain("http://127.0.0.1.evil.example/"), AddressError::Plain("127.0.0.1.evil.example".to_owned()));
        assert_eq!(plain("http://alocalhost/"), AddressError::Plain("alocalhost".to_owned()));
        for named in ["https://u:p@x.example/", "https://u@x.example/", "https://:p@x.example/"] {
            assert_eq!(plain(named), AddressError::UserInfo);
        }
        assert_eq!(
            (plain("ftp://x/"), plain("file:///x"), plain("x")),
            (AddressError::NotWeb, AddressError::NotWeb, AddressError::NotWeb)
        );
        assert!(Address::parse("http://x.example/", true).is_ok());
    }

    #[test]
    fn topics_go_to_the_public_server_and_are_not_shown() {
        let address = Address::ntfy(" topic-1_x ", false).unwrap();
        assert_eq!((address.reveal(), address.host()), ("https://ntfy.sh/topic-1_x", "ntfy.sh"));
        assert_eq!(format!("{address:?}"), "Address(\"ntfy.sh\")");
        let own = Address::ntfy("https://ntfy.example/topic", false).unwrap();
        assert_eq!((own.reveal(), own.host()), ("https://ntfy.example/topic", "ntfy.example"));
        assert_eq!(
            Address::ntfy("http://ntfy.example/topic", false),
            Err(AddressError::Plain("ntfy.example".to_owned()))
        );
        assert!(Address::ntfy(&"x".repeat(64), false).is_ok());
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(Address::ntfy(bad, false).unwrap_err(), AddressError::NoTopic);
        }
    }
}
