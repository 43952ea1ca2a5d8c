//! What setting up a provider will write, and how the config changes with it (spec 04 sections 3.3 to 3.8).

use auth_core::config::edit::{ProfileLabels, merge_patch, register_profile};
use auth_core::provider::ProviderInfo;
use auth_core::setup::{
    CustomKey, CustomProvider, ServerModel, WizardStamp, allow_model, apply_default_model, apply_endpoint,
    apply_local_server, apply_ollama, enable_plugin, plugin_block, set_primary_only, stamp_wizard,
};
use auth_core::{Config, CredentialKind, ProfileId, Secret};
use auth_oauth::Login;
use auth_store::COMPATIBLE_VERSION;
use serde_json::Value;

use super::auth_login::stored;
use super::change::Stored;

/// Everything that will be written, and what to say about it.
#[derive(Default)]
pub(crate) struct Plan {
    /// Credentials for the store.
    pub(crate) profiles: Vec<Stored<'static>>,
    /// Profiles that are there already and are registered in the config.
    pub(crate) existing: Vec<(ProfileId, &'static str)>,
    /// A variable for the `.env` file of the state directory.
    pub(crate) dotenv: Option<(String, Secret)>,
    /// The new default model.
    pub(crate) model: Option<String>,
    /// Remarks.
    pub(crate) notes: Vec<String>,
    pub(super) changes: Vec<ConfigStep>,
}

/// One change of the config.
pub(super) enum ConfigStep {
    Plugin(&'static ProviderInfo, &'static str),
    /// Without a base URL the one that is configured stays.
    Endpoint {
        provider: &'static str,
        base_url: Option<String>,
        api: &'static str,
        model: &'static str,
    },
    Ollama {
        provider: &'static str,
        base_url: String,
        model: Option<String>,
    },
    LocalServer {
        provider: &'static str,
        base_url: String,
        variable: &'static str,
        model: String,
    },
    Custom(CustomProvider, Option<CustomKey>),
    DefaultModel(String, Option<&'static str>),
    PrimaryOnly(String),
    /// A model that may be used, beside those that may already.
    AllowedModel(String, Option<&'static str>),
    /// Settings that a sign-in brings, merged into what is there.
    Patch(Value),
}

impl Plan {
    /// Every profile of the plan: id, provider, mode.
    pub(crate) fn named_profiles(&self) -> impl Iterator<Item = (&ProfileId, &'static str, &'static str)> {
        let stored = self.profiles.iter().map(|stored| (&stored.id, stored.provider, stored.kind.as_str()));
        let existing = self.existing.iter().map(|(id, provider)| (id, *provider, CredentialKind::ApiKey.as_str()));
        stored.chain(existing)
    }

    /// Makes the changes of the config.
    ///
    /// # Errors
    ///
    /// When the config has changed since the plan was made, so that it does not fit any more.
    pub(crate) fn edit(&self, root: &mut Value, at: &str, command: &str) -> Result<(), String> {
        self.edit_settings(root)?;
        stamp_wizard(root, WizardStamp { at, version: COMPATIBLE_VERSION, command });
        Ok(())
    }

    /// As [`edit`](Self::edit), without noting that a set-up was run.
    pub(crate) fn edit_settings(&self, root: &mut Value) -> Result<(), String> {
        for (id, provider) in &self.existing {
            register_profile(root, id, provider, CredentialKind::ApiKey, ProfileLabels::default(), true);
        }
        for step in &self.changes {
            match step {
                ConfigStep::Plugin(info, id) => {
                    refuse_blocked(&Config::from_value(root), info, id)?;
                    enable_plugin(root, id);
                }
                ConfigStep::Endpoint { provider, base_url, api, model } => {
                    let info = auth_core::provider::find(provider);
                    let known = info.and_then(|info| info.models.iter().find(|known| known.id == *model));
                    apply_endpoint(root, provider, base_url.as_deref(), api, model, known.and_then(|model| model.name));
                }
                ConfigStep::Ollama { provider, base_url, model } => {
                    apply_ollama(root, provider, base_url, model.as_deref());
                }
                ConfigStep::LocalServer { provider, base_url, variable, model } => {
                    apply_local_server(root, ServerModel { provider, base_url, variable, model });
                }
                ConfigStep::Custom(custom, key) => custom.apply(root, key.as_ref())?,
                ConfigStep::DefaultModel(model, alias) => apply_default_model(root, model, *alias),
                ConfigStep::PrimaryOnly(model) => set_primary_only(root, model),
                ConfigStep::AllowedModel(model, alias) => allow_model(root, model, *alias),
                ConfigStep::Patch(patch) => merge_patch(root, patch)?,
            }
        }
        Ok(())
    }

    /// What a sign-in sets up when it is part of a set-up.
    pub(crate) fn of_login(login: Login, info: &'static ProviderInfo) -> Self {
        let mut plan = Self { profiles: vec![stored(&login)], notes: login.notes, ..Self::default() };
        if login.kind == CredentialKind::OAuth {
            plan.notes.push("The login renews itself when it is used".to_owned());
        }
        plan.changes.extend(info.plugin.map(|id| ConfigStep::Plugin(info, id)));
        plan.changes.extend(login.config_patch.map(ConfigStep::Patch));
        if let (Some(model), Some(base_url), "chutes") = (login.default_model, info.base_url, info.id)
            && let Some((provider, model)) = model.split_once('/')
        {
            let (api, base_url) =
                (info.apis.first().copied().unwrap_or("openai-completions"), Some(base_url.to_owned()));
            plan.changes.push(ConfigStep::Endpoint { provider, base_url, api, model });
        }
        if let Some(model) = login.default_model {
            plan.changes.push(ConfigStep::DefaultModel(model.to_owned(), None));
            plan.model = Some(model.to_owned());
        }
        plan
    }

    /// The same for a sign-in alone: the default model stays unless it is to be set, and plugins are left as they are
    /// (04 section 1.2).
    #[must_use]
    pub(crate) fn for_login(mut self, set_default: bool) -> Self {
        let has_block =
            self.changes.iter().any(|step| matches!(step, ConfigStep::Endpoint { .. } | ConfigStep::Patch(_)));
        let is_login = self.profiles.iter().any(|stored| stored.kind == CredentialKind::OAuth);
        let changes = std::mem::take(&mut self.changes).into_iter();
        self.changes = changes
            .filter_map(|step| match step {
                ConfigStep::Plugin(..) => None,
                ConfigStep::DefaultModel(model, alias) if !set_default => {
                    let named = alias.is_some() || has_block || is_login;
                    named.then_some(ConfigStep::AllowedModel(model, alias))
                }
                ConfigStep::PrimaryOnly(_) if !set_default => None,
                ConfigStep::PrimaryOnly(model) => Some(ConfigStep::DefaultModel(model, None)),
                step => Some(step),
            })
            .collect();
        self
    }

    /// The custom server of the plan, with its key.
    pub(crate) fn custom_server(&self) -> Option<(&CustomProvider, Option<&CustomKey>)> {
        self.changes.iter().find_map(|step| match step {
            ConfigStep::Custom(custom, key) => Some((custom, key.as_ref())),
            _ => None,
        })
    }

    /// Whether a key goes into the config, and how it is shown.
    pub(crate) fn config_key(&self) -> Option<(String, String)> {
        self.changes.iter().find_map(|step| match step {
            ConfigStep::Custom(custom, Some(key)) => {
                let shown = match key {
                    CustomKey::Plain(secret) => secret.masked(),
                    CustomKey::Reference(reference) => reference.label(),
                };
                Some((format!("models.providers.{}.apiKey", custom.id), shown))
            }
            _ => None,
        })
    }
}

/// Fails when the plugin of a provider may not be used.
pub(crate) fn refuse_blocked(config: &Config, info: &ProviderInfo, plugin: &str) -> Result<(), String> {
    match plugin_block(config, plugin) {
        Some(reason) => Err(format!("{} plugin is disabled ({reason}).", info.label)),
        None => Ok(()),
    }
}
