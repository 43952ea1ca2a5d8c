//! Refreshes a stored login through a client of one's own. Here it is a provider in memory, so that nothing leaves the
//! machine; in a real program `send` calls the HTTP client that is there anyway.
//!
//! ```sh
//! cargo run -p auth-oauth --example refresh_with_your_client
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_core::{AgentId, Config, Environment, ProfileId, Secret};
use auth_oauth::{
    Endpoints, HttpRequest, HttpResponse, Need, ProviderSettings, RefreshMemory, Refresher, Subject, Transport,
    TransportError,
};
use auth_store::{RealHost, StateLayout};

/// A client: three methods.
struct InMemory;

impl Transport for InMemory {
    fn send(&self, request: &HttpRequest, _timeout: Duration) -> Result<HttpResponse, TransportError> {
        // A real one: POST when there is a body, GET otherwise; follow no redirect, read at most `MAX_ANSWER_BYTES`, and
        // do not give up before the answer when `request.must_finish` is set.
        println!("asked: {}", request.url);
        let body = r#"{"access_token": "at-test-new", "refresh_token": "rt-test-new", "expires_in": 3600}"#;
        Ok(HttpResponse { status: 200, body: Secret::new(body) })
    }

    fn wait(&self, time: Duration) -> Result<(), TransportError> {
        std::thread::sleep(time);
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // A state directory of its own, with a login that has ended.
    let home = std::env::temp_dir().join(format!("refresh-with-your-client-{}", std::process::id()));
    let store = home.join(".openclaw/agents/main/agent/auth-profiles.json");
    std::fs::create_dir_all(store.parent().unwrap_or(&home))?;
    std::fs::write(
        &store,
        r#"{"version": 1, "profiles": {"anthropic:me": {"type": "oauth", "provider": "anthropic", "access": "at-test-old", "refresh": "rt-test-old", "expires": 1}}}"#,
    )?;

    let environment = Environment::from_process([("HOME".to_owned(), home.to_string_lossy().into_owned())]);
    let layout = StateLayout::resolve(&environment, &RealHost);
    let (config, endpoints, memory) = (Config::default(), Endpoints::default(), RefreshMemory::default());
    let refresher = Refresher {
        layout: &layout,
        config: &config,
        host: &RealHost,
        settings: ProviderSettings {
            environment: &environment,
            host: &RealHost,
            endpoints: &endpoints,
            minimax_base_url: None,
        },
        net: &InMemory,
        memory: &memory,
    };
    let (agent, id) = (AgentId::main(), ProfileId::new("anthropic:me"));
    let subject = Subject { agent: &agent, dir: &layout.agent_dir(&config, &agent), id: &id };

    // The first call refreshes, the second one finds what the first has stored. However many threads and
    // processes ask at once, there is one request.
    for _ in 0..2 {
        let access = refresher.access(subject, &Need::Use)?;
        println!("{:?}: {}", access.origin, access.token.masked());
    }
    println!("{}", std::fs::read_to_string(&store)?.contains("at-test-new"));
    std::fs::remove_dir_all(&home)?;
    Ok(())
}
