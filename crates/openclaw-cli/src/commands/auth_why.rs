//! `models auth why` (spec 04 section 1.8): which credential the next request uses, and why not the others.

use auth_core::model::{resolve, split_profile};
use auth_core::status::ModelsInUse;
use auth_core::{
    Candidate, CandidateSource, Eligibility, EnvOrigin, Explanation, OrderSource, Outranking, Owner, ProfileId,
    ProviderId, Standing, WindowKind, WordyDuration, explain,
};
use auth_store::AgentAuth;
use serde::Serialize;

use super::Session;
use super::status::store_remarks;
use crate::args::AuthWhy;
use crate::failure::Failure;
use crate::output::{Look, Page, Part, part, plain, print_json};
use crate::render::{Ms, advice};

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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Next {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_id: Option<String>,
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
    let explanation = explain(&session.state.situation(&auth), &provider, model.as_ref().map(|(_, id)| id.as_str()));
    let view = View { session, auth: &auth, explanation: &explanation, model_key: model.map(|(key, _)| key) };
    if args.json {
        print_json(&view.document(&models))?;
    } else {
        let mut page = Page::for_stdout(session.no_color);
        view.render(&mut page);
        page.print()?;
    }
    Ok(u8::from(explanation.next().is_none()))
}

/// The provider in question, and the model (key and id) when the question is about one.
fn subject(
    session: &Session,
    auth: &AgentAuth,
    models: &ModelsInUse,
    text: Option<&str>,
) -> Result<(ProviderId, Option<(String, String)>), Failure> {
    let of_model = |model: auth_core::ModelRef| (model.provider_id(), Some((model.key(), model.model)));
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
            next: self.explanation.next().map(|next| Next {
                source: next.source.label(),
                profile_id: match &next.source {
                    CandidateSource::Profile(id) => Some(id.to_string()),
                    _ => None,
                },
            }),
            fallbacks: models.fallbacks.clone(),
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
        };
        for candidate in &self.explanation.candidates {
            let next = candidate.standing == Standing::Next;
            let (value, reason) = (candidate.shown.clone(), self.reason(candidate));
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
            }),
            next,
            value: candidate.shown.clone(),
            source: self.place(candidate),
            reason: self.reason(candidate),
        }
    }

    /// File and line of a candidate, or where its variable was set.
    fn place(&self, candidate: &Candidate) -> String {
        let layout = &self.session.state.layout;
        match &candidate.source {
            CandidateSource::Profile(id) => {
                let owner = self.auth.view.profiles.get(id).map(|profile| profile.owner);
                let file = match owner {
                    Some(Owner::Agent) => self.auth.store_path(),
                    Some(Owner::Main) => layout.main_store_dir().join(auth_store::STORE_FILE),
                    None => return "not stored".to_owned(),
                };
                let file = layout.shorten(&file);
                candidate.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
            }
            CandidateSource::Variable { origin, .. } => origin.as_ref().map_or_else(String::new, EnvOrigin::to_string),
            CandidateSource::ConfigKey => layout.shorten(layout.config_path()),
            _ => String::new(),
        }
    }

    /// The verdict on a candidate, in words.
    fn reason(&self, candidate: &Candidate) -> String {
        match &candidate.standing {
            Standing::Next => "used next".to_owned(),
            Standing::InReserve => "tried when those before it fail".to_owned(),
            Standing::Waiting(window) => {
                let left = WordyDuration(window.until_ms - self.session.state.now().as_f64());
                format!("{}, free again in {left}", window.kind.as_str())
            }
            Standing::Ineligible(verdict) => ineligible(*verdict).to_owned(),
            Standing::LeftOut => match self.explanation.order.source {
                OrderSource::Store | OrderSource::Config => "the order in force does not name it".to_owned(),
                OrderSource::Profiles | OrderSource::All => "auth.profiles of the config does not name it".to_owned(),
            },
            Standing::Unresolved(why) => format!("its reference does not resolve: {why}"),
            Standing::Outranked(Outranking::ByProfiles) => "never asked: the provider has stored profiles".to_owned(),
            Standing::Outranked(Outranking::ByEnvironment) => "never asked: the environment has a key".to_owned(),
            Standing::Outranked(Outranking::ByConfigKey) => "never asked: the config's own key is used".to_owned(),
            Standing::Unusable => "a placeholder, or the name of a variable that is not set".to_owned(),
        }
    }

    fn render(&self, page: &mut Page) {
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
                    part(Look::Strong, next.source.label()),
                    plain(format!("  {}  {}", next.shown, self.place(next)).trim_end()),
                ],
            ),
            None => page.line(2, &[part(Look::Bad, "✗ "), part(Look::Strong, &about), plain(" has nothing to use")]),
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
                    part(Look::Strong, candidate.source.label()),
                    plain(&candidate.shown),
                    part(look, self.reason(candidate)),
                    part(Look::Faint, self.place(candidate)),
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
        if !self.explanation.order.tried.is_empty() {
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
            let help = advice::add_credential(provider);
            for line in help.login.into_iter().chain(help.variables.first().map(|name| format!("export {name}=…"))) {
                page.line(6, &[plain("    "), part(Look::Command, line)]);
            }
        }
    }
}

fn ineligible(verdict: Eligibility) -> &'static str {
    match verdict {
        Eligibility::Ok => "fit",
        Eligibility::ProfileMissing => "no such profile is stored",
        Eligibility::ProviderMismatch => "belongs to another provider",
        Eligibility::ModeMismatch => "the config expects another kind of credential",
        Eligibility::MissingCredential => "holds no secret",
        Eligibility::InvalidExpires => "its expiry is no date",
        Eligibility::Expired => "expired",
    }
}
