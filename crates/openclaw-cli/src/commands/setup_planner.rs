//! What a choice of setting up a provider would do, worked out before anything is written (spec 04 sections 3.3 to 3.8).

use std::time::Duration;

use auth_core::login_input::{self, duration_ms, setup_token_profile};
use auth_core::provider::{AuthMethod, KeySetup, ProviderInfo};
use auth_core::setup::{
    Choice, CustomInput, CustomKey, CustomProvider, FoundKey, InputMode, KeySource, KeyWanted, checked_base_url,
    cloudflare_base_url, find_key, zai_candidates,
};
use auth_core::{
    Credential, CredentialKind, Environment, ProfileId, ProviderId, RefSource, RefState, Secret, SecretRef, Situation,
    resolve_order,
};
use serde_json::{Value, json};

use super::change::Stored;
use super::setup_plan::{ConfigStep, Plan, refuse_blocked};
use crate::endpoint_check::{Chat, Endpoints};
use crate::failure::Failure;
use crate::onboard_args::Onboard;

/// A key that an API-key choice passes over: what begins so is a token.
pub(crate) const OAUTH_TOKEN_PREFIX: &str = "sk-ant-oat";
/// How long one endpoint of Z.AI may take.
const ZAI_TIMEOUT: Duration = Duration::from_secs(5);
/// The variable that may hold a setup-token.
pub(crate) const SETUP_TOKEN_VARIABLE: &str = "ANTHROPIC_OAUTH_TOKEN";
/// The variable that may hold the key of a custom server.
pub(crate) const CUSTOM_VARIABLE: &str = "CUSTOM_API_KEY";

/// Which variables may hold the key.
#[derive(Clone, Copy)]
pub(crate) enum Variables<'a> {
    /// Those of the provider.
    OfProvider,
    /// This one.
    Only(&'a str),
    /// None: the user said what the key is.
    None,
    /// None: the key is at this place, which gave this when it was tried.
    Elsewhere(&'a SecretRef, &'a Secret),
}

/// What a plan is made of.
#[derive(Clone, Copy)]
pub(crate) struct Planner<'a> {
    pub(crate) situation: Situation<'a>,
    pub(crate) options: &'a Onboard,
    pub(crate) mode: InputMode,
    /// The key or token that was given.
    pub(crate) given: Option<&'a Secret>,
    /// Who is asked whether an endpoint answers.
    pub(crate) endpoints: &'a dyn Endpoints,
    /// The variables to look at.
    pub(crate) variables: Variables<'a>,
}

impl Planner<'_> {
    /// Works out what a choice would do.
    ///
    /// # Errors
    ///
    /// When something is missing, malformed or forbidden.
    pub(crate) fn plan(&self, choice: &Choice) -> Result<Plan, Failure> {
        let mut plan = Plan::default();
        if let Some((info, plugin)) = choice.provider().and_then(|info| Some((info, info.plugin?))) {
            refuse_blocked(self.situation.config, info, plugin).map_err(Failure::new)?;
            plan.changes.push(ConfigStep::Plugin(info, plugin));
        }
        match choice {
            Choice::Skip => {}
            Choice::Key(info, method) => self.key(&mut plan, info, method)?,
            Choice::SetupToken(..) => self.setup_token(&mut plan)?,
            Choice::LocalServer(info) => self.local_server(&mut plan, info)?,
            Choice::Ollama(info) => self.ollama(&mut plan, info)?,
            Choice::Custom => self.custom(&mut plan)?,
            Choice::Interactive(info, method) => return Err(needs_a_person(method.choice, info, method)),
        }
        Ok(plan)
    }

    /// The names of the variables that may hold the key.
    fn names(&self, of_provider: &'static [&'static str]) -> Vec<&str> {
        match self.variables {
            Variables::OfProvider => of_provider.to_vec(),
            Variables::Only(name) => vec![name],
            Variables::None | Variables::Elsewhere(..) => Vec::new(),
        }
    }

    /// The key: at the place that was chosen for it, else wherever the options and variables have it.
    fn found(&self, wanted: &KeyWanted<'_>) -> Result<Option<FoundKey>, Failure> {
        let Variables::Elsewhere(reference, key) = self.variables else {
            return find_key(wanted, self.environment()).map_err(Failure::new);
        };
        let source = KeySource::Elsewhere { reference: reference.clone(), key: key.clone() };
        Ok(Some(FoundKey { source, notes: Vec::new() }))
    }

    fn environment(&self) -> &Environment {
        self.situation.environment
    }

    fn key(&self, plan: &mut Plan, info: &'static ProviderInfo, method: &AuthMethod) -> Result<(), Failure> {
        let Some(setup) = &method.setup else { return Err(needs_a_person(method.choice, info, method)) };
        let metadata = self.gateway_ids(info)?;
        let profiles_count = !matches!(info.plugin, Some("minimax" | "stepfun"));
        let existing = if profiles_count { self.usable_key_profile(info.id) } else { None };
        let names = self.names(setup.env_vars);
        let wanted = KeyWanted {
            provider: info.id,
            flag_name: method.flag.unwrap_or("--token"),
            flag: self.given,
            env_vars: &names,
            canonical: setup.canonical_variable().unwrap_or_default(),
            mode: self.mode,
            existing: existing.as_ref(),
            not_starting_with: (info.id == "anthropic").then_some(OAUTH_TOKEN_PREFIX),
        };
        let found = self.found(&wanted)?;
        let found = found.ok_or_else(|| Failure::new(wanted.missing(profiles_count)))?;
        let secret = self.secret_of(&found);
        self.store_key(plan, info, setup.profiles, found, metadata.as_ref());
        let model = self.endpoint(plan, info, method, setup, metadata.as_ref(), secret.as_ref())?;
        plan.changes.push(ConfigStep::DefaultModel(model.clone(), setup.alias));
        plan.model = Some(model);
        Ok(())
    }

    fn store_key(
        &self,
        plan: &mut Plan,
        info: &'static ProviderInfo,
        profiles: &[&str],
        found: FoundKey,
        metadata: Option<&GatewayIds>,
    ) {
        plan.notes.extend(found.notes);
        let (field, value) = match &found.source {
            KeySource::Existing(id) => {
                plan.existing.push((id.clone(), info.id));
                return;
            }
            KeySource::Flag(key) | KeySource::Copied { key, .. } => {
                plan.notes.extend(login_input::suspicion(info.id, key));
                ("key", Value::from(key.reveal()))
            }
            KeySource::Referenced(variable) => ("keyRef", self.env_reference(variable)),
            KeySource::Elsewhere { reference, .. } => ("keyRef", reference.to_value()),
        };
        for id in profiles {
            // A key may serve a second provider of the same vendor.
            let other = id.split(':').next().and_then(auth_core::provider::find);
            let provider = other.map_or(info.id, |info| info.id);
            let mut fields = vec![
                ("type", Value::from(CredentialKind::ApiKey.as_str())),
                ("provider", Value::from(provider)),
                (field, value.clone()),
            ];
            if let Some(ids) = metadata {
                fields.push(("metadata", json!({"accountId": ids.account, "gatewayId": ids.gateway})));
            }
            plan.profiles.push(Stored {
                id: ProfileId::new(*id),
                provider,
                kind: CredentialKind::ApiKey,
                fields,
                expires: None,
                email: None,
            });
        }
    }

    fn endpoint(
        &self,
        plan: &mut Plan,
        info: &'static ProviderInfo,
        method: &AuthMethod,
        setup: &KeySetup,
        metadata: Option<&GatewayIds>,
        secret: Option<&Secret>,
    ) -> Result<String, Failure> {
        let Some((base_url, api)) = setup.endpoint else { return Ok(setup.model.to_owned()) };
        let (provider, mut model) = setup.model.split_once('/').unwrap_or((info.id, setup.model));
        let mut base_url = Some(base_url.to_owned());
        if let Some(ids) = metadata {
            let template = base_url.as_deref().unwrap_or_default();
            base_url = Some(cloudflare_base_url(template, &ids.account, &ids.gateway).map_err(Failure::new)?);
        }
        if info.id == "zai" {
            if let Some((url, answering)) = secret.and_then(|key| self.zai_endpoint(method.choice, key)) {
                (base_url, model) = (Some(url.to_owned()), answering);
            } else {
                // The plain choice names no endpoint: one that is configured already stays.
                let configured = self.situation.config.provider(&ProviderId::normalise(info.id));
                if method.choice == "zai-api-key" && configured.is_some_and(|known| known.base_url.is_some()) {
                    base_url = None;
                }
                plan.notes.push(format!(
                    "No endpoint of {} answered this key; {} is used.",
                    info.label,
                    base_url.as_deref().unwrap_or("the configured one")
                ));
            }
        }
        plan.changes.push(ConfigStep::Endpoint { provider, base_url, api, model });
        Ok(format!("{provider}/{model}"))
    }

    /// The first endpoint of Z.AI that answers a key, with its model.
    fn zai_endpoint(&self, choice: &str, key: &Secret) -> Option<(&'static str, &'static str)> {
        zai_candidates(choice).into_iter().find(|(base_url, model)| {
            let (api, timeout) = ("openai-completions", ZAI_TIMEOUT);
            self.endpoints.chat(&Chat { base_url, api, model, key: Some(key), timeout }).is_ok()
        })
    }

    /// The key that was found, wherever it is.
    fn secret_of(&self, found: &FoundKey) -> Option<Secret> {
        match &found.source {
            KeySource::Flag(key) | KeySource::Copied { key, .. } | KeySource::Elsewhere { key, .. } => {
                Some(key.clone())
            }
            KeySource::Referenced(variable) => self.environment().credential(variable).map(|(key, _)| key),
            KeySource::Existing(id) => self.situation.store.get(id)?.credential.material()?.inline().cloned(),
        }
    }

    fn ollama(&self, plan: &mut Plan, info: &'static ProviderInfo) -> Result<(), Failure> {
        let base_url = given(self.options.custom_base_url.as_deref()).or_else(|| info.base_url.map(str::to_owned));
        let base_url = base_url.unwrap_or_default().trim_end_matches('/').to_owned();
        checked_base_url(&base_url).map_err(Failure::new)?;
        self.endpoints.ollama(&base_url).map_err(|why| {
            Failure::new(format!("Ollama could not be reached at {base_url}.\nIt says: {why}. Run: ollama serve"))
        })?;
        let model = given(self.options.custom_model_id.as_deref());
        let key = info.synthetic_key.unwrap_or_default();
        let kind = CredentialKind::ApiKey;
        let fields =
            vec![("type", Value::from(kind.as_str())), ("provider", Value::from(info.id)), ("key", Value::from(key))];
        let id = ProfileId::new(format!("{}:default", info.id));
        plan.profiles.push(Stored { id, provider: info.id, kind, fields, expires: None, email: None });
        plan.model = model.as_ref().map(|model| format!("{}/{model}", info.id));
        plan.changes.push(ConfigStep::Ollama { provider: info.id, base_url, model });
        if let Some(model) = &plan.model {
            plan.changes.push(ConfigStep::DefaultModel(model.clone(), None));
        } else {
            plan.notes.push("No model was chosen. Run: openclaw models set ollama/MODEL".to_owned());
        }
        Ok(())
    }

    /// Account and gateway of Cloudflare: from the options, else from the stored profile.
    fn gateway_ids(&self, info: &ProviderInfo) -> Result<Option<GatewayIds>, Failure> {
        if info.id != "cloudflare-ai-gateway" {
            return Ok(None);
        }
        let stored = || {
            let profile = self.situation.store.get(&ProfileId::new("cloudflare-ai-gateway:default"))?;
            serde_json::from_str::<Value>(profile.unknown.get("metadata")?.get()).ok()
        };
        let stored = stored().unwrap_or_default();
        let stored = |name: &str| stored.get(name).and_then(Value::as_str).map(str::to_owned);
        let account = given(self.options.cloudflare_ai_gateway_account_id.as_deref()).or_else(|| stored("accountId"));
        let gateway = given(self.options.cloudflare_ai_gateway_gateway_id.as_deref()).or_else(|| stored("gatewayId"));
        match (account, gateway) {
            (Some(account), Some(gateway)) => Ok(Some(GatewayIds { account, gateway })),
            _ => Err(Failure::new(
                "Cloudflare AI Gateway setup requires --cloudflare-ai-gateway-account-id and --cloudflare-ai-gateway-gateway-id.",
            )),
        }
    }

    /// The first profile of a provider whose API key is there.
    fn usable_key_profile(&self, provider: &str) -> Option<ProfileId> {
        let Situation { store, refs, now, .. } = self.situation;
        let order = resolve_order(self.situation.config, store, &ProviderId::normalise(provider), None, now);
        order.tried.into_iter().map(|entry| entry.id).find(|id| {
            let Some(Credential::ApiKey { key }) = store.get(id).map(|profile| &profile.credential) else {
                return false;
            };
            match key.resolved_reference(&self.situation.config.secrets.defaults) {
                Some(reference) => matches!(refs.get(&reference), RefState::Resolved(_)),
                None => key.inline().is_some_and(|key| !key.is_blank()),
            }
        })
    }

    /// A reference to a variable, through the alias that the config has for the environment.
    fn env_ref(&self, variable: &str) -> SecretRef {
        let provider = self.situation.config.secrets.env_alias().to_owned();
        SecretRef { source: RefSource::Env, provider, id: variable.to_owned() }
    }

    fn env_reference(&self, variable: &str) -> Value {
        self.env_ref(variable).to_value()
    }

    fn setup_token(&self, plan: &mut Plan) -> Result<(), Failure> {
        let lifetime = given(self.options.token_expires_in.as_deref());
        let lifetime = lifetime.as_deref().map(duration_ms).transpose().map_err(Failure::new)?;
        let name = self.options.token_profile_id.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let id = name.map_or_else(|| "anthropic:default".to_owned(), setup_token_profile);
        if let Some(fault) = login_input::profile_id_fault(&id) {
            return Err(Failure::new(format!("Invalid --token-profile-id: {fault}")));
        }
        let by_reference =
            self.mode == InputMode::Reference && self.environment().credential(SETUP_TOKEN_VARIABLE).is_some();
        let (field, value) = if by_reference {
            ("tokenRef", self.env_reference(SETUP_TOKEN_VARIABLE))
        } else {
            let text = self.given.map(Secret::reveal).unwrap_or_default();
            let token = login_input::token("anthropic", text).map_err(|why| {
                Failure::new(format!("Anthropic setup-token auth requires --token with a valid setup-token.\n{why}"))
            })?;
            ("token", Value::from(token.reveal()))
        };
        let expires = lifetime.map(|ms| self.situation.now.as_f64() + ms);
        let mut fields = vec![
            ("type", Value::from(CredentialKind::Token.as_str())),
            ("provider", Value::from("anthropic")),
            (field, value),
        ];
        if let Some(expires) = expires {
            fields.push(("expires", serde_json::to_value(crate::render::Ms(expires)).unwrap_or_default()));
        }
        let kind = CredentialKind::Token;
        plan.profiles.push(Stored {
            id: ProfileId::new(id),
            provider: "anthropic",
            kind,
            fields,
            expires,
            email: None,
        });
        let model = auth_core::provider::find("anthropic").and_then(|info| info.default_model);
        if let Some(model) = model {
            plan.changes.push(ConfigStep::PrimaryOnly(model.to_owned()));
            plan.model = Some(model.to_owned());
        }
        Ok(())
    }

    fn local_server(&self, plan: &mut Plan, info: &'static ProviderInfo) -> Result<(), Failure> {
        let model = given(self.options.custom_model_id.as_deref())
            .ok_or_else(|| Failure::new(format!("Missing --custom-model-id for --auth-choice {}.", info.id)))?;
        let base_url = given(self.options.custom_base_url.as_deref())
            .or_else(|| info.base_url.map(str::to_owned))
            .unwrap_or_default()
            .trim_end_matches('/')
            .to_owned();
        checked_base_url(&base_url).map_err(Failure::new)?;
        let variable = info.env_vars.first().copied().unwrap_or(CUSTOM_VARIABLE);
        let existing = self.usable_key_profile(info.id);
        let wanted = KeyWanted {
            provider: info.id,
            flag_name: "--custom-api-key",
            flag: self.given,
            env_vars: &self.names(info.env_vars),
            canonical: variable,
            mode: self.mode,
            existing: existing.as_ref(),
            not_starting_with: None,
        };
        let found = find_key(&wanted, self.environment()).map_err(Failure::new)?;
        let found = found.ok_or_else(|| Failure::new(wanted.missing(true)))?;
        self.store_key(plan, info, &[&format!("{}:default", info.id)], found, None);
        let reference = format!("{}/{model}", info.id);
        plan.changes.push(ConfigStep::LocalServer { provider: info.id, base_url, variable, model });
        plan.changes.push(ConfigStep::DefaultModel(reference.clone(), None));
        plan.model = Some(reference);
        Ok(())
    }

    fn custom(&self, plan: &mut Plan) -> Result<(), Failure> {
        let input = CustomInput {
            base_url: self.options.custom_base_url.as_deref(),
            model: self.options.custom_model_id.as_deref(),
            provider_id: self.options.custom_provider_id.as_deref(),
            compatibility: self.options.custom_compatibility.as_deref(),
        };
        let custom = CustomProvider::plan(input, self.situation.config).map_err(Failure::new)?;
        let wanted = KeyWanted {
            provider: &custom.id,
            flag_name: "--custom-api-key",
            flag: self.given,
            env_vars: &self.names(&[CUSTOM_VARIABLE]),
            canonical: CUSTOM_VARIABLE,
            mode: self.mode,
            existing: None,
            not_starting_with: None,
        };
        let key = self.found(&wanted)?.and_then(|found| {
            plan.notes.extend(found.notes);
            match found.source {
                KeySource::Flag(key) | KeySource::Copied { key, .. } => Some(CustomKey::Plain(key)),
                KeySource::Referenced(variable) => Some(CustomKey::Reference(self.env_ref(&variable))),
                KeySource::Elsewhere { reference, .. } => Some(CustomKey::Reference(reference)),
                KeySource::Existing(_) => None,
            }
        });
        if let Some(wanted) = &custom.renamed_from {
            plan.notes.push(format!("{wanted} is another server already; this one is {}.", custom.id));
        }
        plan.model = Some(custom.model_reference());
        plan.changes.push(ConfigStep::Custom(custom, key));
        Ok(())
    }
}

/// The value of an option that is not blank.
fn given(option: Option<&str>) -> Option<String> {
    option.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

struct GatewayIds {
    account: String,
    gateway: String,
}

/// A choice that cannot be made by options alone, with the command that does it.
fn needs_a_person(choice: &str, info: &ProviderInfo, method: &AuthMethod) -> Failure {
    Failure::new(format!("Auth choice \"{choice}\" requires interactive mode.\n{}", sign_in_advice(info, method)))
}

/// How to sign in to a provider that this command does not sign in to.
fn sign_in_advice(info: &ProviderInfo, method: &AuthMethod) -> String {
    let label = info.label;
    let several = info.auth.len() > 1;
    let method = if several { format!(" --method {}", method.method) } else { String::new() };
    format!("{label} has a sign-in of its own. Run: openclaw models auth login --provider {}{method}", info.id)
}
