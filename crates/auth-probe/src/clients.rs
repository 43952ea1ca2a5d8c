//! The HTTP clients of a run: whose certificates are trusted, and which proxy is between (spec 03 sections 5.1, 5.6).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use auth_core::{Environment, Fingerprint, Secret};
use reqwest::{Certificate, Client, NoProxy, Proxy};

use crate::run::chain;

/// How many connections to one host wait to be used again, and for how long.
const KEPT_PER_HOST: usize = 64;
const KEPT: Duration = Duration::from_secs(20);

/// The proxies that variables name (spec 03 section 5.1).
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// `HTTP_PROXY`.
    http: Option<Secret>,
    /// `HTTPS_PROXY`.
    https: Option<Secret>,
    /// `NO_PROXY`.
    no: Option<String>,
}

impl Proxies {
    /// Reads the variables, in capitals or not; `ALL_PROXY` stands in for either of the first two.
    pub fn of(environment: &Environment) -> Self {
        let variable = |names: [&str; 2]| names.into_iter().find_map(|name| environment.non_blank(name)).map(str::trim);
        let all = variable(["all_proxy", "ALL_PROXY"]);
        Self {
            http: variable(["http_proxy", "HTTP_PROXY"]).or(all).map(Secret::new),
            https: variable(["https_proxy", "HTTPS_PROXY"]).or(all).map(Secret::new),
            no: variable(["no_proxy", "NO_PROXY"]).map(str::to_owned),
        }
    }

    fn build(&self) -> Result<Vec<Proxy>, String> {
        let http = self.http.as_ref().map(|address| ("HTTP_PROXY", Proxy::http(address.reveal())));
        let https = self.https.as_ref().map(|address| ("HTTPS_PROXY", Proxy::https(address.reveal())));
        let except = self.no.as_deref().and_then(NoProxy::from_string);
        http.into_iter()
            .chain(https)
            .map(|(name, proxy)| match proxy {
                Ok(proxy) => Ok(proxy.no_proxy(except.clone())),
                // The address may hold a password.
                Err(_) => Err(format!("{name} is no address of a proxy")),
            })
            .collect()
    }
}

/// What requests go out through.
#[derive(Clone, Debug)]
pub struct Clients {
    /// To servers that have one of the usual certificates.
    usual: Pair,
    /// To servers that have certificates of their own, by those that are trusted beside the usual ones.
    own: HashMap<Fingerprint, Pair>,
    extra_roots: Vec<Certificate>,
    proxies: Vec<Proxy>,
    /// No request leaves this machine.
    loopback_only: bool,
    /// Connections are used again.
    keeps: bool,
}

#[derive(Clone, Debug)]
struct Pair {
    /// Through the proxy, where there is one.
    far: Client,
    /// To this machine, never through a proxy.
    local: Client,
}

impl Clients {
    /// Makes the clients. `extra_roots` are further certificates in PEM, from `NODE_EXTRA_CA_CERTS`.
    ///
    /// # Errors
    ///
    /// When the certificates or the address of a proxy cannot be read, or TLS cannot be set up.
    pub fn new(extra_roots: Option<&[u8]>, proxies: &Proxies) -> Result<Self, String> {
        // A second call finds one installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let extra_roots = extra_roots.map(certificates).transpose()?.unwrap_or_default();
        let proxies = proxies.build()?;
        let usual = Pair::new(&extra_roots, &proxies, false)?;
        Ok(Self { usual, own: HashMap::new(), extra_roots, proxies, loopback_only: false, keeps: false })
    }

    /// The same clients, which use a connection again: for a process that makes many requests. Whoever uses them
    /// repeats a request that broke before an answer had come.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn keeping_connections(self) -> Result<Self, String> {
        let usual = Pair::new(&self.extra_roots, &self.proxies, true)?;
        Ok(Self { usual, own: HashMap::new(), keeps: true, ..self })
    }

    /// The same clients, which refuse every model API request that would leave this machine (spec 04 section 8).
    #[must_use]
    pub fn loopback_only(self) -> Self {
        Self { loopback_only: true, ..self }
    }

    /// Whether a model API request to this address is refused.
    pub(crate) fn refuses(&self, url: &str) -> bool {
        self.loopback_only && !is_loopback(url)
    }

    /// Trusts further certificates in PEM, for the jobs that name them.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or TLS cannot be set up.
    pub fn trust(&mut self, ca: &Secret) -> Result<(), String> {
        let roots = [self.extra_roots.clone(), certificates(ca.reveal().as_bytes())?].concat();
        self.own.insert(ca.fingerprint(), Pair::new(&roots, &self.proxies, self.keeps)?);
        Ok(())
    }

    pub(crate) fn of(&self, url: &str, ca: Option<&Secret>) -> &Client {
        let pair = ca.and_then(|ca| self.own.get(&ca.fingerprint())).unwrap_or(&self.usual);
        if is_loopback(url) { &pair.local } else { &pair.far }
    }
}

pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err("the extra certificates are not PEM".to_owned()),
    }
}

impl Pair {
    fn new(extra_roots: &[Certificate], proxies: &[Proxy], keeps: bool) -> Result<Self, String> {
        let build = |proxies: &[Proxy], system_roots: bool| {
            let mut builder = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .http1_only()
                .referer(false)
                // A server may end a connection that waits; what was sent on it then would get no verdict.
                .pool_max_idle_per_host(if keeps { KEPT_PER_HOST } else { 0 })
                .pool_idle_timeout(KEPT)
                .retry(reqwest::retry::never())
                // Not those that only the process knows.
                .no_proxy();
            for proxy in proxies {
                builder = builder.proxy(proxy.clone());
            }
            let roots = extra_roots.iter().cloned();
            builder = match (extra_roots.is_empty(), system_roots) {
                (true, true) => builder,
                (false, true) => builder.tls_certs_merge(roots),
                (_, false) => builder.tls_certs_only(roots),
            };
            builder.build().map_err(|error| chain(&error))
        };
        // A machine without certificates trusts nobody, which every answer over TLS then says; others need none.
        let either = |proxies: &[Proxy]| build(proxies, true).or_else(|_| build(proxies, false));
        Ok(Self { far: either(proxies)?, local: either(&[])? })
    }
}

/// Whether an address names this machine, in any of the ways an address can be written.
fn is_loopback(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| match host_address(&url) {
        Some(address) => address.is_loopback(),
        None => is_localhost(&url),
    })
}

/// The number of a host that is one, in any of the ways it can be written.
pub(crate) fn host_address(url: &reqwest::Url) -> Option<IpAddr> {
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    host.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Whether the name of a host stands for this machine.
pub(crate) fn is_localhost(url: &reqwest::Url) -> bool {
    url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"))
}
