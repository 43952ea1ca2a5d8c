//! One request to a provider, and its answer as it comes (spec 07 sections 6.3 and 6.4).

use auth_core::failure::Reason;
use auth_core::probe::HeaderText;
use auth_core::{Secret, provider};
use auth_probe::{JobSettings, Replied, Reply, ReplyFailure, chat_job, copilot_api, forwarded_job};

use crate::candidates::Tried;
use crate::engine::{Begun, Engine, Payload, Piece};
use crate::model_run::{Ground, ModelRun};

/// A request that failed.
pub(crate) enum Failure {
    /// Nothing had been shown.
    BeforeText(ReplyFailure),
    /// The user has seen the beginning, so that nothing else can be tried.
    AfterText(ReplyFailure),
    /// Whoever asked is gone.
    NobodyListens,
}

impl ModelRun<'_> {
    /// Makes one request; once more when the connection broke before anything had come.
    pub(crate) async fn ask(
        &self,
        ground: &Ground,
        tried: &Tried,
        credential: Option<&Secret>,
    ) -> Result<(String, Replied), Failure> {
        let before = |reason, message: String| {
            Failure::BeforeText(ReplyFailure {
                reason,
                message,
                status: None,
                code: None,
                retry_after_ms: None,
                broke_early: false,
            })
        };
        let mut endpoint = ground.endpoint.clone();
        let mut exchanged = None;
        if ground.provider.as_str() == "github-copilot" && !ground.is_login_of(tried) {
            let github = credential.ok_or_else(|| before(Some(Reason::Auth), "no GitHub token".to_owned()))?;
            let token = self.engine.copilot(self.turn, github).await.map_err(|error| {
                let reason = match error.status {
                    Some(401 | 403 | 404) => Some(Reason::Auth),
                    Some(429) => Some(Reason::RateLimit),
                    Some(_) => None,
                    None => Some(Reason::Network),
                };
                before(reason, error.message)
            })?;
            let usual = provider::find("github-copilot").and_then(|info| info.base_url);
            if Some(endpoint.base_url.as_str()) == usual {
                endpoint.base_url.clone_from(&token.base_url);
            }
            if endpoint.api == "github-copilot" {
                copilot_api(&self.model.model).clone_into(&mut endpoint.api);
            }
            let agent = self.engine.settings.user_agent.to_owned();
            endpoint.headers.push(("editor-version".to_owned(), HeaderText::Plain(agent)));
            exchanged = Some(token.token);
        }
        let credential = exchanged.as_ref().or(credential);
        let settings = JobSettings {
            max_tokens: 0,
            free: false,
            user_agent: self.engine.settings.user_agent,
            session_id: "turn",
            environment: &self.turn.state.environment,
            account_id: None,
            now_ms: Engine::now().as_ms(),
        };
        let (provider, model) = (ground.provider.as_str(), self.model.model.as_str());
        let mut broke = false;
        let reply = loop {
            let job = match &self.turn.payload {
                Payload::Conversation(said) => chat_job(provider, model, &endpoint, credential, said, settings),
                Payload::Forwarded(sent) => forwarded_job(provider, model, &endpoint, credential, *sent, settings),
            };
            let job = job.map_err(|(reason, text)| before(Some(reason), text))?;
            match Reply::open(job, &self.engine.settings.clients, &ground.redactor).await {
                Ok(reply) => break reply,
                Err(failure) if failure.broke_early && !broke => broke = true,
                Err(failure) => return Err(Failure::BeforeText(failure)),
            }
        };
        self.read(tried, reply).await
    }

    /// Reads an answer, and hands it on as it comes.
    async fn read(&self, tried: &Tried, mut reply: Reply) -> Result<(String, Replied), Failure> {
        let mut text = String::new();
        let mut has_begun = false;
        loop {
            let next = match self.turn.payload {
                Payload::Conversation(_) => reply.next().await.map(|piece| piece.map(Piece::Text)),
                Payload::Forwarded(_) => reply.next_bytes().await.map(|piece| piece.map(Piece::Bytes)),
            };
            let piece = match next {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok((text, reply.ended())),
                // Whoever gets the whole answer at its end has seen nothing of this one.
                Err(failure) if has_begun && self.turn.out.is_some() => return Err(Failure::AfterText(failure)),
                Err(failure) => return Err(Failure::BeforeText(failure)),
            };
            if let Piece::Text(piece) = &piece {
                text.push_str(piece);
            }
            if let Some(out) = self.turn.out {
                if !has_begun {
                    let begun = Begun {
                        provider: self.model.provider_id().to_string(),
                        model: self.model.model.clone(),
                        used: tried.used(),
                        head: reply.head().clone(),
                    };
                    out.send(Piece::Begun(Box::new(begun))).await.map_err(|_| Failure::NobodyListens)?;
                }
                out.send(piece).await.map_err(|_| Failure::NobodyListens)?;
            }
            has_begun = true;
        }
    }
}
