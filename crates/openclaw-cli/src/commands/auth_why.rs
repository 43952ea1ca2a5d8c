//! `models auth why` (spec 04 section 1.8): which credential the next request uses, and why not the others.

use auth_core::fallback::parse_fallback;
use auth_core::forecast::forecast;
use auth_core::model::{resolve, split_profile};
use auth_core::status::ModelsInUse;
use auth_core::{
    Candidate, CandidateSource, Eligibility, EnvOrigin, Explanation, ModelRef, OrderSource, ProfileId, ProviderId,
    Standing, WindowKind, explain,
};
use auth_store::AgentAuth;
use serde::Serialize;

use super::Session;
use super::auth_forecast::{LaterModels, Told, ToldEntry, WhatIf};
use super::status::store_remarks;
use crate::args::AuthWhy;
use crate::failure::Failure;
use crate::output::{Look, Page, Part, part, plain, print_json};
use crate::render::Ms;
use crate::render::choice::{name, place, reason, ways_out};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    agent_id: String,
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    order_source: &'static str,
    candidates: Vec<ProfileEntry>,
    env: Vec<EnvEntry>,
    /// Beyond the documented keys: candidates that are neither profiles nor variables.
    others: Vec<OtherEntry>,
    next: Option<Next>,
    fallbacks: Vec<String>,
    conflicts: Vec<ConflictEntry>,
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    told: Option<ToldEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileEntry {
    profile_id: String,
    position: Option<usize>,
    eligibility: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<Unusable>,
    next: bool,
    value: String,
    source: String,
    reason: String,
}

#[derive(Serialize)]
struct Unusable {
    kind: &'static str,
    reason: Option<String>,
    until: Ms,
    /// The only model that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

#[derive(Serialize)]
struct EnvEntry {
    variable: String,
    next: bool,
    value: String,
    origin: String,
    reason: String,
}

#[derive(Serialize)]
struct OtherEntry {
    source: String,
    next: bool,
    value: String,
    reason: String,
}

/// A credential that is used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Next {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<String>,
}

impl Next {
    pub(super) fn of(source: &CandidateSource) -> Self {
        let profile_id = match source {
            CandidateSource::Profile(id) => Some(id.to_string()),
            _ => None,
        };
        Self { source: source.label(), profile_id }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConflictEntry {
    used: String,
    used_value: String,
    unused: String,
    unused_value: String,
}

pub(crate) fn run(session: &Session, args: &AuthWhy, agent: Option<&str>) -> Result<u8, Failure> {
    let auth = session.state.agent_auth(agent, &session.host)?;
    store_remarks(session, &auth);
    let models = ModelsInUse::of(&session.state.config, auth.agent.as_ref());
    let (provider, model) = subject(session, &auth, &models, args.subject.as_deref())?;
    let what_if = args.outcome.as_deref().map(|word| WhatIf::read(word, &provider)).transpose()?;
    let situation = session.state.situation(&auth);
    let explanation = explain(&situation, &provider, model.as_ref().map(|model| model.model.as_str()));
    let told = what_if.map(|what_if| {
        let later = LaterModels::of(&session.state.config, auth.agent.as_ref(), &models, &provider, model.as_ref());
        Told {
            what_if,
            forecast: forecast(&situation, &explanation, later.view(), what_if.outcome),
            model: model.clone(),
        }
    });
    let view = View { session, auth: &auth, explanation: &explanation, model_key: model.map(|model| model.key()) };
    if args.json {
        let mut document = view.document(&models);
        document.told = told.as_ref().map(|told| told.document(&session.state, &auth, &explanation));
        print_json(&document)?;
    } else {
        let mut page = Page::for_stdout(session.no_color);
        view.render(&mut page);
        if let Some(told) = &told {
            told.render(&mut page, &session.state, &auth, &explanation);
        }
        page.print()?;
    }
    Ok(u8::from(told.map_or(explanation.next().is_none(), |told| !told.forecast.leaves_something())))
}

/// The provider in question, and the model when the question is about one.
fn subject(
    session: &Session,
    auth: &AgentAuth,
    models: &ModelsInUse,
    text: Option<&str>,
) -> Result<(ProviderId, Option<ModelRef>), Failure> {
    let of_model = |model: ModelRef| (model.provider_id(), Some(model));
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(of_model(models.resolved_default.clone()));
    };
    let config = &session.state.config;
    let (name, _) = split_profile(text, |id| auth.view.profiles.get(&ProfileId::new(id)).is_some());
    if name.contains('/') || config.alias_target(name).is_some() {
        let model = resolve(name, config)
            .ok_or_else(|| Failure::with_fix(format!("Invalid model reference: {text}"), "openclaw models list"))?;
        return Ok(of_model(model));
    }
    Ok((ProviderId::normalise(name), None))
}

struct View<'a> {
    session: &'a Session,
    auth: &'a AgentAuth,
    explanation: &'a Explanation,
    model_key: Option<String>,
}

impl View<'_> {
    fn document(&self, models: &ModelsInUse) -> Document {
        let mut document = Document {
            agent_id: self.auth.agent.as_ref().map_or_else(|| "main".to_owned(), ToString::to_string),
            provider: self.explanation.provider.to_string(),
            model: self.model_key.clone(),
            order_source: self.explanation.order.source.as_str(),
            candidates: Vec::new(),
            env: Vec::new(),
            others: Vec::new(),
            next: self.explanation.next().map(|next| Next::of(&next.source)),
            fallbacks: self.fallbacks(models),
            conflicts: self
                .explanation
                .conflicts
                .iter()
                .cloned()
                .map(|conflict| ConflictEntry {
                    used: conflict.used.0,
                    used_value: conflict.used.1,
                    unused: conflict.unused.0,
                    unused_value: conflict.unused.1,
                })
                .collect(),
            told: None,
        };
        for candidate in &self.explanation.candidates {
            let next = candidate.standing == Standing::Next;
            let (value, reason) =
                (candidate.shown.clone(), reason(&self.session.state, self.auth, self.explanation, candidate));
            match &candidate.source {
                CandidateSource::Profile(id) => document.candidates.push(self.profile_entry(id, candidate, next)),
                CandidateSource::Variable { name, origin } => document.env.push(EnvEntry {
                    variable: name.clone(),
                    next,
                    value,
                    origin: origin.as_ref().map_or_else(String::new, EnvOrigin::to_string),
                    reason,
                }),
                other => document.others.push(OtherEntry { source: other.label(), next, value, reason }),
            }
        }
        document
    }

    fn profile_entry(&self, id: &ProfileId, candidate: &Candidate, next: bool) -> ProfileEntry {
        let order = &self.explanation.order;
        let entry = order.tried.iter().chain(&order.passed_over).find(|entry| entry.id == *id);
        let stats = self.auth.view.profiles.usage(id);
        let window = entry.and_then(|entry| entry.window);
        ProfileEntry {
            profile_id: id.to_string(),
            position: order.position(id),
            eligibility: entry.map_or(Eligibility::Ok, |entry| entry.eligibility).code(),
            unusable: window.map(|window| Unusable {
                kind: window.kind.as_str(),
                reason: stats.and_then(|stats| match window.kind {
                    WindowKind::Cooldown => stats.cooldown_reason.clone(),
                    WindowKind::Disabled => stats.disabled_reason.clone(),
                }),
                until: Ms(window.until_ms),
                model: stats.and_then(|stats| stats.limited_model(self.session.state.now())).map(str::to_owned),
            }),
            next,
            value: candidate.shown.clone(),
            source: place(&self.session.state, self.auth, candidate),
            reason: reason(&self.session.state, self.auth, self.explanation, candidate),
        }
    }

    /// The fallback models, aliases resolved and each once; a bare id belongs to the default model's provider.
    fn fallbacks(&self, models: &ModelsInUse) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for text in &models.fallbacks {
            let model = parse_fallback(text, &self.session.state.config, &models.resolved_default.provider);
            keys.extend(model.map(|model| model.key()).filter(|key| !keys.contains(key)));
        }
        keys
    }

    fn render(&self, page: &mut Page) {
        let state = &self.session.state;
        let provider = &self.explanation.provider;
        let about =
            self.model_key.as_ref().map_or_else(|| provider.to_string(), |model| format!("{model} ({provider})"));
        match self.explanation.next() {
            Some(next) => page.line(
                2,
                &[
                    part(Look::Good, "✓ "),
                    part(Look::Strong, &about),
                    plain(" uses "),
                    part(Look::Strong, name(next)),
                    plain(format!("  {}  {}", next.shown, place(state, self.auth, next)).trim_end()),
                ],
            ),
            None => page.line(2, &[part(Look::Bad, "✗ "), part(Look::Strong, &about), plain(self.nothing())]),
        }
        for error in &self.auth.view.errors {
            let file = state.layout.shorten(&error.path);
            page.line(
                4,
                &[
                    part(Look::Bad, "! "),
                    plain(format!("{file} {}; a profile stored there would go first", error.message)),
                ],
            );
        }
        page.gap();
        let rows: Vec<Vec<Part>> = self
            .explanation
            .candidates
            .iter()
            .map(|candidate| {
                let look = match candidate.standing {
                    Standing::Next => Look::Good,
                    Standing::InReserve => Look::Plain,
                    Standing::Waiting(_) => Look::Warning,
                    Standing::Ineligible(_) | Standing::Unresolved(_) => Look::Bad,
                    _ => Look::Faint,
                };
                vec![
                    part(Look::Strong, name(candidate)),
                    plain(&candidate.shown),
                    part(look, reason(state, self.auth, self.explanation, candidate)),
                    part(Look::Faint, place(state, self.auth, candidate)),
                ]
            })
            .collect();
        page.table(2, &rows);
        let order = match self.explanation.order.source {
            OrderSource::Store => "the order in the credential store",
            OrderSource::Config => "auth.order of the config",
            OrderSource::Profiles => "auth.profiles of the config",
            OrderSource::All => "no order is set: logins, then tokens, then keys, longest unused first",
        };
        if self.explanation.candidates.iter().any(|c| matches!(c.source, CandidateSource::Profile(_))) {
            page.line(4, &[part(Look::Faint, format!("  Order: {order}"))]);
        }
        for conflict in &self.explanation.conflicts {
            let ((used, used_value), (unused, unused_value)) = (&conflict.used, &conflict.unused);
            page.line(
                4,
                &[
                    part(Look::Warning, "! "),
                    plain(format!(
                        "{used} holds {used_value}; {unused} holds another secret, {unused_value}, that is not used"
                    )),
                ],
            );
        }
        if self.explanation.next().is_none() {
            page.line(0, &[plain("To mend it:")]);
            for command in ways_out(state, self.auth, self.explanation) {
                page.command(&command);
            }
        }
    }

    fn nothing(&self) -> String {
        let provider = &self.explanation.provider;
        let known = auth_core::provider::find_by_name(provider.as_str()).is_some()
            || self.session.state.config.provider(provider).is_some()
            || !self.explanation.candidates.is_empty();
        if known { " has nothing to use".to_owned() } else { " is not a provider that anything here knows".to_owned() }
    }
}
