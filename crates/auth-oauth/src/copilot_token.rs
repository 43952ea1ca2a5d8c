//! The short-lived token that requests to GitHub Copilot are made with (spec 04 section 6.2).

use std::path::PathBuf;
use std::time::Duration;

use auth_core::Secret;
use auth_store::{StateLayout, WriteHost, lock_unless, replace};

use crate::endpoints::Endpoints;
use crate::error::OAuthError;
use crate::provider::copilot::{self, COPILOT_CACHE, CopilotToken};
use crate::transport::Transport;

const MAX_CACHE: u64 = 64 * 1024;

/// Where the last token is kept.
pub fn copilot_cache_path(layout: &StateLayout) -> PathBuf {
    layout.state_dir().join("credentials").join(COPILOT_CACHE)
}

/// Gets tokens of Copilot.
#[derive(Clone, Copy)]
pub struct CopilotTokens<'a> {
    /// Where the cache is.
    pub layout: &'a StateLayout,
    /// The machine.
    pub host: &'a dyn WriteHost,
    /// Where GitHub is.
    pub endpoints: &'a Endpoints,
    /// The network.
    pub net: &'a dyn Transport,
    /// Whether the cache is brought up to date. That it cannot be written is no failure.
    pub keep: bool,
}

impl std::fmt::Debug for CopilotTokens<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CopilotTokens").field("keep", &self.keep).finish_non_exhaustive()
    }
}

impl CopilotTokens<'_> {
    /// The token that belongs to a GitHub token: from the cache when it is of this account and holds for five more
    /// minutes, else exchanged. `enterprise` is the host of a GitHub Enterprise installation.
    ///
    /// # Errors
    ///
    /// When GitHub refuses or does not answer within `timeout`.
    pub fn get(
        &self,
        github: &Secret,
        enterprise: Option<&str>,
        timeout: Duration,
    ) -> Result<CopilotToken, OAuthError> {
        let path = copilot_cache_path(self.layout);
        let cached = self.host.read(&path, MAX_CACHE).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let cached = cached.map(Secret::new);
        let now = self.net.now_ms();
        if let Some(token) = cached.and_then(|text| copilot::cached(text.reveal(), github, now)) {
            return Ok(token);
        }
        let request = copilot::exchange(github, enterprise, self.endpoints)?;
        let token = copilot::exchanged(&self.net.send(&request, timeout)?, &[github])?;
        if self.keep {
            let text = copilot::cache_text(&token, github, self.net.now_ms());
            let made = path.parent().is_none_or(|dir| self.host.exists(dir) || self.host.make_dir(dir).is_ok());
            // Whoever has the lock is writing such a token: no reason to wait.
            if made && let Ok(Some(guard)) = lock_unless(&path, self.host, &mut || true) {
                let _ = replace(&guard, &path, text.reveal().as_bytes(), self.host);
            }
        }
        Ok(token)
    }
}
