//! What the account of a ChatGPT login says about itself, when it was limited (spec 07 section 5.8).

use std::sync::Arc;
use std::time::Duration;

use auth_core::{FailureReason, Secret, asks_chatgpt_usage, chatgpt_cooldown_ms};
use auth_oauth::{Claims, HttpRequest, Transport};
use auth_probe::{Interrupt, Network};

use crate::engine::Engine;
use crate::model_run::{Ground, ModelRun};

/// Where the account is.
const USAGE_URL: &str = "https://chatgpt.com/backend-api/wham/usage";
/// How long its answer is waited for.
const LIMIT: Duration = Duration::from_secs(3);

impl ModelRun<'_> {
    /// How long the cooldown of a login is to last, in milliseconds, when its account can tell.
    pub(crate) async fn measured_ms(
        &self,
        ground: &Ground,
        is_login: bool,
        token: Option<&Secret>,
        reason: FailureReason,
    ) -> Option<f64> {
        let token = token.filter(|_| asks_chatgpt_usage(&ground.provider, is_login, reason))?;
        let url = self.engine.settings.endpoints.url(USAGE_URL);
        // A server of one's own knows nothing of that account, and its token is none of the account's.
        if authority(&ground.endpoint.base_url) != authority(&url) {
            return None;
        }
        let account = Claims::of(token.reveal()).and_then(|claims| claims.account_id());
        let account = account.or_else(|| ground.endpoint.account_id.clone());
        let mut headers = vec![
            ("authorization", Secret::new(format!("Bearer {}", token.reveal()))),
            ("accept", Secret::new("application/json")),
        ];
        headers.extend(account.map(|id| ("chatgpt-account-id", Secret::new(id))));
        let request = HttpRequest { body: None, url, headers, must_finish: false };
        let engine = Arc::clone(self.engine);
        let asked = tokio::task::spawn_blocking(move || {
            Network::new(engine.settings.clients.clone(), Interrupt::Never).send(&request, LIMIT)
        });
        let now = Engine::now();
        Some(match asked.await {
            Ok(Ok(answer)) => chatgpt_cooldown_ms(Some(answer.status), answer.body.reveal().as_bytes(), now),
            _ => chatgpt_cooldown_ms(None, b"", now),
        })
    }
}

/// Host and port of an address.
fn authority(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split('/').next()
}
