//! What `/model`, `/models` and `/status` say (spec 07 section 10.3).

use std::fmt::Write as _;

use auth_core::probe::Endpoint;
use auth_core::session::{Directive, KnownModels, ModelsPage, SessionEntry, model_label, validate};
use auth_core::status::profile_label;
use auth_core::{
    AgentId, ModelRef, OtherSources, ProviderId, ShortDuration, Situation, Standing, explain, profile_health,
    resolve_order,
};
use auth_store::{AgentAuth, State};

use crate::candidates::is_loopback;

/// What the answers are made of.
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) auth: &'a AgentAuth,
    pub(crate) agent: &'a AgentId,
    pub(crate) known: &'a KnownModels,
    pub(crate) entry: &'a SessionEntry,
}

impl View<'_> {
    /// The answer to a command that changes nothing.
    pub(crate) fn answer(&self, directive: &Directive) -> String {
        match directive {
            Directive::Current => self.current(),
            Directive::Status => self.status(),
            Directive::Models(None) => self.providers(),
            Directive::Models(Some(page)) => self.models(page),
            Directive::SessionStatus => self.session_status(),
            // These change the session and are answered where that is done.
            Directive::Select(_) | Directive::New(_) => String::new(),
        }
    }

    fn situation(&self) -> Situation<'_> {
        self.state.situation(self.auth)
    }

    /// The model of the next turn.
    fn model(&self) -> ModelRef {
        let mut entry = self.entry.clone();
        validate(&mut entry, self.known, &self.auth.view.profiles).0
    }

    fn current(&self) -> String {
        let model = self.model();
        let config = &self.state.config;
        let mut text = format!("Current: {}", model_label(&model, config));
        if let Some((provider, id)) = self.entry.runtime_model()
            && (provider != model.provider_id().as_str() || id != model.model)
        {
            let _ = write!(text, "\nActive: {provider}/{id} (runtime)");
        }
        if let Some(pin) = self.entry.pin() {
            let by = if pin.source == auth_core::session::PinSource::User { "by you" } else { "automatic" };
            let _ = write!(text, "\nAuth profile: {} ({by})", pin.profile);
        }
        text.push_str(
            "\nSwitch: /model <provider/model>[@profile]\nBrowse: /models, /models <provider>\nMore: /model status",
        );
        text
    }

    fn providers(&self) -> String {
        let groups = self.known.by_provider();
        let lines = groups.iter().map(|(provider, models)| format!("- {provider} ({})", models.len()));
        format!("Providers:\n{}\nUse: /models <provider>", lines.collect::<Vec<_>>().join("\n"))
    }

    fn models(&self, page: &ModelsPage) -> String {
        let wanted = ProviderId::normalise(&page.provider);
        let groups = self.known.by_provider();
        let Some((provider, models)) = groups.into_iter().find(|(provider, _)| *provider == wanted.as_str()) else {
            return format!("Unknown provider: {}\n{}", page.provider, self.providers());
        };
        let total = models.len();
        let pages = total.div_ceil(page.limit).max(1);
        let at = page.page.min(pages);
        let first = (at - 1) * page.limit;
        let shown: Vec<&&ModelRef> = models.iter().skip(first).take(page.limit).collect();
        let head = format!(
            "Models ({provider} · {}) — showing {}-{} of {total} (page {at}/{pages})",
            self.auth_label(&wanted),
            first + 1,
            first + shown.len()
        );
        let lines = shown.iter().map(|model| format!("- {provider}/{}", model.model));
        format!("{head}\n{}", lines.collect::<Vec<_>>().join("\n"))
    }

    fn status(&self) -> String {
        let state = self.state;
        let mut text = format!(
            "Current: {}\nDefault: {}\nAgent: {}\nAuth file: {}",
            model_label(&self.model(), &state.config),
            model_label(&self.known.default, &state.config),
            self.agent.as_str(),
            state.layout.shorten(&self.auth.store_path())
        );
        for (provider, models) in self.known.by_provider() {
            let id = ProviderId::normalise(&provider);
            let first = models.first().map_or("", |model| model.model.as_str());
            let endpoint = Endpoint::resolve(&id, first, &self.situation()).ok().flatten();
            let configured = state.config.provider(&id).is_some_and(|entry| entry.base_url.is_some());
            let (url, api) = endpoint.map_or(("default".to_owned(), "default".to_owned()), |endpoint| {
                let url = if configured { endpoint.base_url } else { "default".to_owned() };
                (url, endpoint.api)
            });
            let _ = write!(text, "\n\n[{provider}] endpoint: {url} api: {api} auth: {}", self.auth_label(&id));
            for model in models {
                let _ = write!(text, "\n- {}", model_label(model, &state.config));
            }
        }
        text
    }

    /// Every profile of the order with its state, else where the key comes from.
    fn auth_label(&self, provider: &ProviderId) -> String {
        let situation = self.situation();
        let pin = self
            .entry
            .pin()
            .filter(|pin| situation.store.get(&pin.profile).is_some_and(|profile| profile.provider == *provider));
        let preferred = pin.as_ref().map(|pin| &pin.profile);
        let order = resolve_order(situation.config, situation.store, provider, preferred, situation.now);
        if order.tried.is_empty() {
            let sources = OtherSources::of(provider.as_str(), &situation);
            if let Some(env) = &sources.env {
                return format!("{} ({})", env.shown(), env.source);
            }
            if let Some(key) = sources.usable_config_key() {
                return format!("{} (config)", key.shown);
            }
            let needs_none = self.is_keyless(provider, &situation);
            return if needs_none { "none needed (a server of this machine)" } else { "missing" }.to_owned();
        }
        let labels = order.tried.iter().enumerate().filter_map(|(at, tried)| {
            let profile = situation.store.get(&tried.id)?;
            let mut flags = Vec::new();
            if at == 0 {
                flags.push("next".to_owned());
            }
            if preferred == Some(&tried.id) {
                flags.push("pinned".to_owned());
            }
            if situation.store.last_good(provider) == Some(&tried.id) {
                flags.push("lastGood".to_owned());
            }
            if let Some(window) = &tried.window {
                let left = window.until_ms - situation.now.as_f64();
                flags.push(format!("cooldown {}", ShortDuration(left)));
            }
            if let Some(ends) = profile_health(profile, situation.now).ends_at_ms {
                let left = ends - situation.now.as_f64();
                flags.push(if left > 0.0 {
                    format!("expires in {}", ShortDuration(left))
                } else {
                    "expired".to_owned()
                });
            }
            let label = profile_label(profile, &situation);
            Some(if flags.is_empty() { label } else { format!("{label} ({})", flags.join(", ")) })
        });
        labels.collect::<Vec<_>>().join(", ")
    }

    /// Whether a turn would ask without a credential: the server is one of this machine, and no key is meant for it that
    /// cannot be had.
    fn is_keyless(&self, provider: &ProviderId, situation: &Situation<'_>) -> bool {
        let mut models = self.known.all.iter().filter(|model| model.provider_id() == *provider);
        let model = models.next().map_or("", |model| model.model.as_str());
        let endpoint = Endpoint::resolve(provider, model, situation).ok().flatten();
        let candidates = explain(situation, provider, None).candidates;
        endpoint.is_some_and(|endpoint| is_loopback(&endpoint.base_url))
            && !candidates.iter().any(|candidate| matches!(candidate.standing, Standing::Unresolved(_)))
    }

    fn session_status(&self) -> String {
        let model = self.model();
        let mut text = format!("Model: {}", model_label(&model, &self.state.config));
        if let Some((provider, id)) = self.entry.runtime_model() {
            let _ = write!(text, "\nAnswered last: {provider}/{id}");
        }
        let _ = write!(text, "\nAuth: {}", self.auth_label(&model.provider_id()));
        let count = |name: &str| self.entry.fields().get(name).and_then(serde_json::Value::as_u64);
        if let (Some(input), Some(output)) = (count("inputTokens"), count("outputTokens")) {
            let _ = write!(text, "\nTokens of the last turn: {input} in, {output} out");
        }
        text
    }
}
