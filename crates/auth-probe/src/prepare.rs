//! What is done before the request of a row can be made: a login is renewed, a GitHub token is exchanged (spec 03
//! section 5.5).

use std::path::PathBuf;
use std::time::Duration;

use auth_core::failure::Reason;
use auth_core::probe::{Endpoint, HeaderText};
use auth_core::provider::find as find_provider;
use auth_core::{AgentId, Config, Environment, ProfileId, Secret};
use auth_oauth::{CopilotTokens, Endpoints, Need, OAuthError, ProviderSettings, RefreshMemory, Refresher, Subject};
use auth_store::{RealHost, StateLayout};

use crate::clients::Clients;
use crate::job::{JobSettings, job};
use crate::network::{Interrupt, Network};
use crate::run::{LiveRow, Prepared};

/// Everything that preparing needs, owned, because it is done on threads that may block.
#[derive(Debug)]
pub struct Desk {
    /// Where the stores are.
    pub layout: StateLayout,
    /// What is configured.
    pub config: Config,
    /// The variables.
    pub environment: Environment,
    /// The agent whose credentials are asked.
    pub agent: AgentId,
    /// Its directory.
    pub dir: PathBuf,
    /// Where the fixed hosts are.
    pub endpoints: Endpoints,
    /// What requests go out through.
    pub clients: Clients,
    /// `models.providers.minimax-portal.baseUrl`.
    pub minimax_base_url: Option<String>,
    /// The output limit of a live request, in tokens.
    pub max_tokens: u32,
    /// A check that costs nothing instead of a request to a model.
    pub free: bool,
    /// Names this program to the other side.
    pub user_agent: &'static str,
    /// A name for the session, where the protocol wants one.
    pub session_id: String,
    /// The time in milliseconds since the epoch, for requests that are signed.
    pub now_ms: i64,
}

/// What is asked of a provider once everything is ready.
#[derive(Debug)]
pub struct Asked {
    /// The provider in normal form.
    pub provider: String,
    /// The model.
    pub model: Option<String>,
    /// Where to.
    pub endpoint: Endpoint,
    /// Whether the model was chosen here.
    pub usual_model: bool,
}

impl Desk {
    /// How the requests of this run are made.
    pub fn settings(&self) -> JobSettings<'_> {
        JobSettings {
            max_tokens: self.max_tokens,
            free: self.free,
            user_agent: self.user_agent,
            session_id: &self.session_id,
            environment: &self.environment,
            now_ms: self.now_ms,
            account_id: None,
        }
    }

    /// Renews a login that has ended, stores it, and makes the request with the new token.
    pub fn renew(&self, id: &ProfileId, asked: &Asked) -> Prepared {
        // Whoever asked may have given up by the time the answer comes; it is stored all the same.
        let net = Network::new(self.clients.clone(), Interrupt::Never);
        let refresher = Refresher {
            layout: &self.layout,
            config: &self.config,
            host: &RealHost,
            settings: ProviderSettings {
                environment: &self.environment,
                host: &RealHost,
                endpoints: &self.endpoints,
                minimax_base_url: self.minimax_base_url.as_deref(),
            },
            net: &net,
            memory: &RefreshMemory::default(),
        };
        let subject = Subject { agent: &self.agent, dir: &self.dir, id };
        match refresher.access(subject, &Need::Use) {
            Ok(access) => self.made(asked, Some(&access.token), access.entry.account_id.as_deref()),
            Err(error) => row(Reason::Auth, error.message),
        }
    }

    /// Exchanges a GitHub token for one of Copilot, and makes the request with that.
    pub fn exchange(&self, github: &Secret, asked: &Asked, timeout: Duration) -> Prepared {
        let net = Network::new(self.clients.clone(), Interrupt::Never);
        let tokens =
            CopilotTokens { layout: &self.layout, host: &RealHost, endpoints: &self.endpoints, net: &net, keep: false };
        let token = match tokens.get(github, None, timeout) {
            Ok(token) => token,
            Err(error) => return row(reason_of(&error), error.message),
        };
        if self.free {
            return Prepared::Row(Box::new(LiveRow::ok(Some("token"))));
        }
        let mut asked = Asked {
            provider: asked.provider.clone(),
            model: asked.model.clone(),
            endpoint: asked.endpoint.clone(),
            usual_model: asked.usual_model,
        };
        let usual = find_provider(&asked.provider).and_then(|info| info.base_url);
        if Some(asked.endpoint.base_url.as_str()) == usual {
            asked.endpoint.base_url = token.base_url;
        }
        if asked.endpoint.api == "github-copilot" {
            asked.endpoint.api = copilot_api(asked.model.as_deref().unwrap_or_default()).to_owned();
        }
        asked.endpoint.headers.push(("editor-version".to_owned(), HeaderText::Plain(self.user_agent.to_owned())));
        self.made(&asked, Some(&token.token), None)
    }

    fn made(&self, asked: &Asked, credential: Option<&Secret>, account_id: Option<&str>) -> Prepared {
        let Asked { provider, model, endpoint, usual_model } = asked;
        let settings = JobSettings { account_id, ..self.settings() };
        match job(provider, model.as_deref(), endpoint, credential, *usual_model, settings) {
            Ok(job) => Prepared::Job(Box::new(job)),
            Err((reason, text)) => row(reason, text),
        }
    }
}

fn row(reason: Reason, text: String) -> Prepared {
    Prepared::Row(Box::new(LiveRow::failed(reason, text)))
}

/// What a failed exchange means.
fn reason_of(error: &OAuthError) -> Reason {
    match error.status {
        // 404: the account has no Copilot.
        Some(401 | 403 | 404) => Reason::Auth,
        Some(429) => Reason::RateLimit,
        Some(500..) => Reason::Overloaded,
        Some(_) => Reason::InvalidResponse,
        None => Reason::Network,
    }
}

/// The API kind that GitHub Copilot speaks for a model (spec 03 section 5.2).
pub fn copilot_api(model: &str) -> &'static str {
    let known = find_provider("github-copilot").and_then(|info| info.models.iter().find(|known| known.id == model));
    match known {
        Some(known) => known.api,
        None if model.starts_with("claude") => "anthropic-messages",
        None if model.starts_with("gpt-5") || model.contains("codex") => "openai-responses",
        None => "openai-completions",
    }
}
