//! The refresher in the hands of the doctor (spec 06 section 7.5, 04 section 7).

use auth_core::{AgentId, ProfileId};
use auth_oauth::{Endpoints, Need, OAuthErrorKind, ProviderSettings, RefreshMemory, Refresher, Subject};
use auth_store::{Ground, RealHost, State};
use doctor::{Refresh, RefreshError, RefreshFailure};

use super::online::{Patient, clients};

/// Renews logins. Everything is read again for each, because the repairs before it may have changed it.
pub(crate) struct Renewal<'a> {
    pub(crate) profile: Option<&'a str>,
}

impl Refresh for Renewal<'_> {
    fn refresh(&self, agent: &AgentId, profile: &ProfileId, min_remaining_ms: i64) -> Result<(), RefreshError> {
        let other = |message: String| RefreshError { kind: RefreshFailure::Other, message };
        let (state, _) = State::read_leniently(Ground::open(&RealHost, self.profile), &RealHost);
        let endpoints = Endpoints::of(&state.environment).map_err(|error| other(error.to_string()))?;
        let clients = clients(&state).map_err(|failure| other(failure.message))?;
        let net = Patient::new(clients, false);
        let minimax = auth_core::ProviderId::normalise("minimax-portal");
        let minimax_base_url = state.config.provider(&minimax).and_then(|entry| entry.base_url.clone());
        let refresher = Refresher {
            layout: &state.layout,
            config: &state.config,
            host: &RealHost,
            settings: ProviderSettings {
                environment: &state.environment,
                host: &RealHost,
                endpoints: &endpoints,
                minimax_base_url: minimax_base_url.as_deref(),
            },
            net: &net,
            memory: &RefreshMemory::default(),
        };
        let dir = state.layout.agent_dir(&state.config, agent);
        #[expect(clippy::cast_precision_loss, reason = "a day in milliseconds")]
        let need = Need::Remaining(min_remaining_ms as f64);
        let renewed = refresher.access(Subject { agent, dir: &dir, id: profile }, &need);
        // What was asked of the doctor goes on; an interrupt is seen by the command.
        let _ = net.settled();
        match renewed {
            Ok(_) => Ok(()),
            Err(error) => {
                let (kind, message) = match error.kind {
                    OAuthErrorKind::Refused => {
                        (RefreshFailure::Revoked, "the provider refuses the login; log in again")
                    }
                    OAuthErrorKind::Unavailable => {
                        (RefreshFailure::Network, "the provider did not answer; try again later")
                    }
                    OAuthErrorKind::NotStored => (
                        RefreshFailure::Other,
                        "the new tokens could not be stored; the login is lost when this process ends",
                    ),
                    _ => (RefreshFailure::Other, "the login cannot be refreshed; log in again"),
                };
                Err(RefreshError { kind, message: message.to_owned() })
            }
        }
    }
}
