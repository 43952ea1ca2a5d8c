//! What a probe asks, in order, and what it leaves out (spec 03 sections 3 and 4).

use super::endpoint::{Endpoint, usual_model};
use crate::config::{AgentId, ProviderConfig, RequestAuth, SecretInput};
use crate::credential::{Credential, Material};
use crate::failure::Reason;
use crate::model::{ModelRef, resolve};
use crate::order::{Eligibility, eligibility};
use crate::profile::{Profile, ProfileId};
use crate::provider::ProviderId;
use crate::secret::Secret;
use crate::secret_ref::SecretRef;
use crate::source::{ConfigKey, ConfigKeyState, OtherSources, RefState, Situation, is_local_url};
use crate::status::{ModelsInUse, account_label, candidate_rows};
use crate::usage::{Window, cooldown};

/// Holds the bearer token of Bedrock; shown by its name alone.
const BEDROCK_TOKEN: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct ProbeOptions {
    /// Only this provider.
    pub provider: Option<String>,
    /// Only these profiles; all when empty.
    pub profiles: Vec<String>,
    /// A check that costs nothing instead of a request to a model.
    pub free: bool,
    /// These models, with every credential of their providers; one per provider when empty.
    pub models: Vec<ModelRef>,
}

/// Where a row's credential comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSource {
    /// A stored profile.
    Profile,
    /// A variable.
    Env,
    /// The key of the config.
    ConfigKey,
    /// A model was named whose provider has no credential.
    Nowhere,
}

impl RowSource {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Env => "env",
            Self::ConfigKey => "models.json",
            Self::Nowhere => "none",
        }
    }
}

/// Why nothing is sent for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipCode {
    /// An explicit order leaves the profile out.
    ExcludedByOrder,
    /// There is no secret.
    MissingCredential,
    /// The expiry is no date.
    InvalidExpires,
    /// It has expired.
    Expired,
    /// Its reference does not resolve.
    UnresolvedRef,
    /// It does not fit the config.
    Ineligible,
    /// There is no model to ask.
    NoModel,
    /// This kind of credential cannot be probed, or nothing says where the provider is.
    Unsupported,
}

impl SkipCode {
    /// The stable code; `None` for those that are no documented reason of a skip.
    pub fn code(self) -> Option<&'static str> {
        Some(match self {
            Self::ExcludedByOrder => "excluded_by_auth_order",
            Self::MissingCredential => "missing_credential",
            Self::InvalidExpires => "invalid_expires",
            Self::Expired => "expired",
            Self::UnresolvedRef => "unresolved_ref",
            Self::Ineligible => "ineligible_profile",
            Self::NoModel => "no_model",
            Self::Unsupported => return None,
        })
    }

    /// The reason of a row that has no documented code.
    pub fn reason(self) -> Option<Reason> {
        (self == Self::Unsupported).then_some(Reason::UnsupportedProbe)
    }
}

/// A row for which nothing is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// Why.
    pub code: SkipCode,
    /// Why, in the stable words; may have several lines.
    pub error: String,
    /// The cause, where there is one behind what the words say. It holds no secret.
    pub cause: Option<String>,
}

impl Skip {
    fn new(code: SkipCode, error: impl Into<String>) -> Self {
        Self { code, error: error.into(), cause: None }
    }
}

/// What happens for a row.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nothing is sent.
    Skip(Skip),
    /// A request goes out.
    Send {
        /// Where to.
        endpoint: Box<Endpoint>,
        /// With which credential; none for a local server.
        credential: Option<Secret>,
    },
    /// A login is renewed, and a request goes out with the new token.
    Renew {
        /// Where to.
        endpoint: Box<Endpoint>,
        /// The login.
        profile: ProfileId,
    },
}

/// A login that ends within this time is renewed first, in milliseconds.
const RENEW_BEFORE_MS: f64 = 60_000.0;

/// One row of a plan.
#[derive(Clone, Debug)]
pub struct ProbeRow {
    /// The provider.
    pub provider: ProviderId,
    /// The model that is asked, without its provider.
    pub model: Option<String>,
    /// The profile, if it is one.
    pub profile: Option<ProfileId>,
    /// How the row is named.
    pub label: String,
    /// Where the credential comes from.
    pub source: RowSource,
    /// `api_key`, `token`, `oauth` or `none`.
    pub mode: &'static str,
    /// Whether the model is the usual one because none is configured.
    pub usual_model: bool,
    /// The window in which the profile would not be used.
    pub window: Option<Window>,
    /// What happens.
    pub step: Step,
}

/// The rows of a probe, in the order of the report.
#[derive(Clone, Debug, Default)]
pub struct ProbePlan {
    /// Provider by provider, profiles in store order.
    pub rows: Vec<ProbeRow>,
}

/// A reference that does not resolve.
#[derive(Clone, Debug)]
pub(super) struct Unresolved {
    pub(super) reference: SecretRef,
    pub(super) why: String,
}

/// The references that a probe may need, whatever its options.
pub fn probe_references(situation: &Situation<'_>) -> Vec<SecretRef> {
    let profiles = situation.store.iter();
    references(situation, profiles, situation.config.providers.iter())
}

/// The references that a request to one provider may need.
pub fn provider_references(situation: &Situation<'_>, provider: &ProviderId) -> Vec<SecretRef> {
    let key = provider.auth_key();
    references(situation, situation.store.of_provider(&key), situation.config.provider(provider).into_iter())
}

fn references<'a>(
    situation: &Situation<'_>,
    profiles: impl Iterator<Item = &'a Profile>,
    entries: impl Iterator<Item = &'a ProviderConfig>,
) -> Vec<SecretRef> {
    let defaults = &situation.config.secrets.defaults;
    let of_profiles = profiles.filter_map(|profile| profile.credential.material()?.resolved_reference(defaults));
    let of_entries = entries.flat_map(|entry| {
        let auth = match &entry.request_auth {
            Some(RequestAuth::Bearer(value) | RequestAuth::Header { value, .. }) => Some(value),
            None => None,
        };
        let headers = entry.headers.iter().chain(&entry.request_headers).map(|(_, value)| value);
        entry.api_key.iter().chain(headers).chain(auth).chain(&entry.tls_ca)
    });
    let of_entries = of_entries.filter_map(|value| match value {
        SecretInput::Reference(reference) => Some(reference.clone()),
        SecretInput::Plain(_) => None,
    });
    of_profiles.chain(of_entries).collect()
}

impl ProbePlan {
    /// Works out the rows.
    pub fn build(situation: &Situation<'_>, agent: Option<&AgentId>, options: &ProbeOptions) -> Self {
        let models = ModelsInUse::of(situation.config, agent);
        let roles = models.roles(situation.config);
        let wanted = options.provider.as_deref().map(ProviderId::normalise);
        let mut ids: Vec<ProviderId> = Vec::new();
        let of_models = options.models.iter().map(ModelRef::provider_id);
        let candidates: Vec<ProviderId> = if options.models.is_empty() {
            candidate_rows(situation, &roles).iter().map(|row| ProviderId::normalise(row)).collect()
        } else {
            of_models.collect()
        };
        for id in candidates {
            if wanted.as_ref().is_none_or(|wanted| *wanted == id) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut plan = Self::default();
        for provider in ids {
            if !options.models.is_empty() {
                plan.rows.extend(of_named_models(situation, options, &provider));
                continue;
            }
            let used = roles.iter().map(|(_, model)| model.clone());
            let allowed = situation.config.models.iter().filter_map(|entry| resolve(&entry.key, situation.config));
            let configured = used.chain(allowed).find(|model| model.provider_id() == provider).map(|model| model.model);
            let of_provider = Planner::new(situation, options, provider, configured);
            plan.rows.extend(of_provider.rows());
        }
        plan
    }
}

/// The rows of the named models of one provider; what is left out is told once, not once per model.
fn of_named_models(situation: &Situation<'_>, options: &ProbeOptions, provider: &ProviderId) -> Vec<ProbeRow> {
    let mut rows: Vec<ProbeRow> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for model in options.models.iter().filter(|model| model.provider_id() == *provider) {
        if seen.contains(&model.model.as_str()) {
            continue;
        }
        seen.push(&model.model);
        let planner = Planner::new(situation, options, provider.clone(), Some(model.model.clone()));
        let of_model = planner.rows();
        if of_model.is_empty() && options.profiles.is_empty() {
            let step = Planner::skip(SkipCode::MissingCredential, None);
            rows.push(planner.row(RowSource::Nowhere, "no credential".to_owned(), "none", step));
        }
        for row in of_model {
            let told = matches!(row.step, Step::Skip(_))
                && rows.iter().any(|other| matches!(other.step, Step::Skip(_)) && other.label == row.label);
            if !told {
                rows.push(row);
            }
        }
    }
    rows
}

struct Planner<'a> {
    situation: &'a Situation<'a>,
    options: &'a ProbeOptions,
    provider: ProviderId,
    model: Option<String>,
    usual_model: bool,
    endpoint: Result<Option<Endpoint>, Unresolved>,
}

impl<'a> Planner<'a> {
    fn new(
        situation: &'a Situation<'a>,
        options: &'a ProbeOptions,
        provider: ProviderId,
        configured: Option<String>,
    ) -> Self {
        let entry = situation.config.provider(&provider);
        let usual = || usual_model(&provider).filter(|_| entry.is_none_or(|entry| !entry.own_models));
        let first =
            || entry.and_then(|entry| entry.models.first()).map(|model| model.id.clone()).filter(|id| !id.is_empty());
        let is_usual = configured.is_none() && usual().is_some();
        let model = configured.or_else(|| usual().map(str::to_owned)).or_else(first);
        let endpoint = Endpoint::of(&provider, entry, model.as_deref(), situation);
        Self { situation, options, provider, model, usual_model: is_usual, endpoint }
    }

    fn rows(&self) -> Vec<ProbeRow> {
        let key = self.provider.auth_key();
        let stored: Vec<&Profile> = self.situation.store.of_provider(&key).collect();
        let chosen = |profile: &&&Profile| {
            self.options.profiles.is_empty() || self.options.profiles.iter().any(|id| id == profile.id.as_str())
        };
        let profiles: Vec<&Profile> = stored.iter().filter(chosen).copied().collect();
        if !profiles.is_empty() {
            return profiles.into_iter().map(|profile| self.profile(profile)).collect();
        }
        if !self.options.profiles.is_empty() || !stored.is_empty() {
            return Vec::new();
        }
        self.other().into_iter().collect()
    }

    fn row(&self, source: RowSource, label: String, mode: &'static str, step: Step) -> ProbeRow {
        ProbeRow {
            provider: self.provider.clone(),
            model: self.model.clone(),
            profile: None,
            label,
            source,
            mode,
            usual_model: self.usual_model,
            window: None,
            step,
        }
    }

    fn profile(&self, profile: &Profile) -> ProbeRow {
        let account = account_label(profile, self.situation.config);
        let label = account.map_or_else(|| profile.id.to_string(), |account| format!("{} ({account})", profile.id));
        let mode = profile.kind().as_str();
        let step = self.judge(profile);
        ProbeRow {
            profile: Some(profile.id.clone()),
            window: cooldown(self.situation.store, profile, None, self.situation.now),
            ..self.row(RowSource::Profile, label, mode, step)
        }
    }

    fn judge(&self, profile: &Profile) -> Step {
        let Situation { config, store, now, .. } = self.situation;
        let explicit = store.order_of(&self.provider).or_else(|| config.order_of(&self.provider));
        if explicit.is_some_and(|ids| !ids.contains(&profile.id)) {
            let error = "Excluded by auth.order for this provider.";
            return Step::Skip(Skip::new(SkipCode::ExcludedByOrder, error));
        }
        let code = match eligibility(config, store, &self.provider, &profile.id, *now) {
            Eligibility::Ok => None,
            Eligibility::ProfileMissing | Eligibility::MissingCredential => Some(SkipCode::MissingCredential),
            Eligibility::ProviderMismatch | Eligibility::ModeMismatch => Some(SkipCode::Ineligible),
            Eligibility::InvalidExpires => Some(SkipCode::InvalidExpires),
            Eligibility::Expired => Some(SkipCode::Expired),
        };
        if let Some(code) = code {
            return Self::skip(code, None);
        }
        let expected = config.auth_profiles.get(profile.id.as_str()).map(|entry| entry.mode);
        if let Some(violation) = profile.ref_policy_violation(expected) {
            return Self::skip(SkipCode::Ineligible, violation.lines().next());
        }
        let credential = match &profile.credential {
            Credential::ApiKey { key: material } | Credential::Token { token: material, .. } => {
                match self.secret_of(material) {
                    Ok(Some(secret)) => secret,
                    Ok(None) => return Self::skip(SkipCode::MissingCredential, None),
                    Err(unresolved) => return Self::unresolved(&unresolved),
                }
            }
            Credential::OAuth { access, refresh, expires } => {
                let margin = if refresh.is_some() && profile.managed_by().is_none() { RENEW_BEFORE_MS } else { 0.0 };
                let holds = expires.date_ms().is_some_and(|at| at - margin > now.as_f64());
                match access {
                    Some(access) if holds => access.clone(),
                    _ => return self.renew(profile),
                }
            }
        };
        match self.send(Some(credential)) {
            Step::Send { mut endpoint, credential } => {
                endpoint.account_id = account_id(profile);
                Step::Send { endpoint, credential }
            }
            other => other,
        }
    }

    /// A login that has to be renewed, if there is anything to ask then.
    fn renew(&self, profile: &Profile) -> Step {
        match self.send(None) {
            Step::Send { mut endpoint, .. } => {
                endpoint.account_id = account_id(profile);
                Step::Renew { endpoint, profile: profile.id.clone() }
            }
            other => other,
        }
    }

    /// The secret of a profile, wherever it is, as it is sent.
    fn secret_of(&self, material: &Material) -> Result<Option<Secret>, Unresolved> {
        let Some(reference) = material.resolved_reference(&self.situation.config.secrets.defaults) else {
            return Ok(material.inline().and_then(Secret::cleaned));
        };
        match self.situation.refs.get(&reference) {
            RefState::Resolved(secret) => Ok(secret.cleaned()),
            RefState::Unresolved(why) => Err(Unresolved { reference, why: why.clone() }),
            RefState::NotRun => Err(Unresolved { reference, why: "its program was not run".to_owned() }),
        }
    }

    /// A request, if there is a model to ask and a place to ask it.
    fn send(&self, credential: Option<Secret>) -> Step {
        if self.model.is_none() && !self.options.free {
            return Step::Skip(Skip::new(SkipCode::NoModel, "No model available for probe"));
        }
        match &self.endpoint {
            Ok(Some(endpoint)) => Step::Send { endpoint: Box::new(endpoint.clone()), credential },
            Ok(None) => {
                let provider = &self.provider;
                let error = format!(
                    "No address is known for {provider}; models.providers.{provider}.baseUrl of the config names it."
                );
                Step::Skip(Skip::new(SkipCode::Unsupported, error))
            }
            Err(unresolved) => Self::unresolved(unresolved),
        }
    }

    /// Whether the config describes a server on this machine that is asked without a key.
    fn needs_no_key(&self) -> bool {
        let Some(entry) = self.situation.config.provider(&self.provider) else { return false };
        let by_key = entry.auth.as_deref().is_none_or(|auth| auth == "api-key");
        let is_free = match &entry.api_key {
            None => true,
            Some(SecretInput::Plain(text)) => matches!(text.reveal().trim(), "ollama-local" | "custom-local"),
            Some(SecretInput::Reference(_)) => false,
        };
        by_key && is_free && matches!(&self.endpoint, Ok(Some(endpoint)) if is_local_url(&endpoint.base_url))
    }

    /// Whether requests go out in the protocol of Bedrock.
    fn is_bedrock(&self) -> bool {
        matches!(&self.endpoint, Ok(Some(endpoint)) if endpoint.api == "bedrock-converse-stream")
    }

    fn other(&self) -> Option<ProbeRow> {
        let sources = OtherSources::of(self.provider.as_str(), self.situation);
        if let Some(env) = &sources.env {
            let is_oauth = env.variable.as_deref().is_some_and(|name| name.contains("OAUTH_TOKEN"));
            let mode = if is_oauth { "oauth" } else { "api_key" };
            let step = match env.secret() {
                Some(secret) => self.send(Some(secret.clone())),
                // The request is signed with the pair of keys when it is made.
                None if env.variable.as_deref() == Some("AWS_ACCESS_KEY_ID") && self.is_bedrock() => self.send(None),
                None if env.variable.as_deref() == Some(BEDROCK_TOKEN) && self.is_bedrock() => {
                    self.send(self.situation.environment.credential(BEDROCK_TOKEN).map(|(secret, _)| secret))
                }
                None => {
                    let name = env.variable.as_deref().unwrap_or(&env.source);
                    let error = format!("{name} cannot be probed: no request is signed with it here.");
                    Step::Skip(Skip::new(SkipCode::Unsupported, error))
                }
            };
            return Some(self.row(RowSource::Env, "env".to_owned(), mode, step));
        }
        let row = |mode, step| Some(self.row(RowSource::ConfigKey, "models.json".to_owned(), mode, step));
        let key = sources.config_key.as_ref();
        let reference = self.situation.config.provider(&self.provider).and_then(|entry| match &entry.api_key {
            Some(SecretInput::Reference(reference)) => Some(reference.clone()),
            _ => None,
        });
        match (key.map(|key| &key.state), reference) {
            (Some(ConfigKeyState::UnresolvedRef(why)), Some(reference)) => {
                row("api_key", Self::unresolved(&Unresolved { reference, why: why.clone() }))
            }
            (Some(ConfigKeyState::NotRun), Some(reference)) => {
                row("api_key", Self::unresolved(&Unresolved { reference, why: "its program was not run".to_owned() }))
            }
            _ => match key.and_then(ConfigKey::secret) {
                Some(secret) => row("api_key", self.send(Some(secret.clone()))),
                None if self.options.free && self.needs_no_key() => row("none", self.send(None)),
                None => None,
            },
        }
    }

    fn skip(code: SkipCode, detail: Option<&str>) -> Step {
        let sentence = match code {
            SkipCode::MissingCredential => "no inline credential or SecretRef is configured.",
            SkipCode::Expired => "token credentials are expired.",
            SkipCode::InvalidExpires => "token expires must be a positive Unix ms timestamp.",
            _ => "profile is incompatible with provider config.",
        };
        Step::Skip(worded(code, detail.unwrap_or(sentence)))
    }

    fn unresolved(unresolved: &Unresolved) -> Step {
        let sentence = format!("could not resolve SecretRef \"{}\".", unresolved.reference);
        let cause = Some(unresolved.why.clone());
        Step::Skip(Skip { cause, ..worded(SkipCode::UnresolvedRef, &sentence) })
    }
}

/// The account that a login was made for, as it is stored.
fn account_id(profile: &Profile) -> Option<String> {
    let text: String = serde_json::from_str(profile.unknown.get("accountId")?.get()).ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

/// A skip in the stable words: the first line, and the code.
fn worded(code: SkipCode, sentence: &str) -> Skip {
    let stable = "Auth profile credentials are missing or expired.";
    Skip::new(code, format!("{stable}\n↳ Auth reason [{}]: {sentence}", code.code().unwrap_or_default()))
}
