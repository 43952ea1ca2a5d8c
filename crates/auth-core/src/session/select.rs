//! Choosing a model, with or without a profile (spec 07 sections 9.1 and 10.3).

use super::entry::{PinSource, SessionEntry, SessionPin};
use crate::config::{AgentId, Config};
use crate::model::{ModelRef, primary, resolve, split_profile};
use crate::profile::{AuthProfiles, ProfileId};
use crate::provider::{DEFAULT_PROVIDER, PROVIDERS, ProviderKind};

/// How many near names an error suggests.
const SUGGESTIONS: usize = 3;

/// The models that an agent may use.
#[derive(Clone, Debug)]
pub struct KnownModels {
    /// What it uses when nothing was chosen.
    pub default: ModelRef,
    /// Every known model, in the order of the config.
    pub all: Vec<ModelRef>,
    /// The models that are allowed by name; empty when all are.
    allowed: Vec<ModelRef>,
}

impl KnownModels {
    /// The models of an agent.
    pub fn of(config: &Config, agent: &AgentId) -> Self {
        let (setting, ..) = config.model_of(Some(agent));
        let default = primary(&setting, config).model;
        let mut allowed: Vec<ModelRef> = Vec::new();
        let add = |list: &mut Vec<ModelRef>, model: ModelRef| {
            if !list.iter().any(|known| same(known, &model)) {
                list.push(model);
            }
        };
        for entry in &config.models {
            if let Some(model) = ModelRef::parse(&entry.key, DEFAULT_PROVIDER) {
                add(&mut allowed, model);
            }
        }
        let mut all: Vec<ModelRef> = Vec::new();
        for provider in &config.providers {
            for model in &provider.models {
                if let Some(model) = ModelRef::parse(&format!("{}/{}", provider.id, model.id), DEFAULT_PROVIDER) {
                    add(&mut all, model);
                }
            }
        }
        if all.is_empty() && allowed.is_empty() {
            for info in PROVIDERS.iter().filter(|info| info.kind == ProviderKind::Llm) {
                for model in info.models {
                    add(&mut all, ModelRef { provider: info.id.to_owned(), model: model.id.to_owned() });
                }
            }
        }
        let fallbacks = setting.fallback_list().iter().chain(config.model.fallback_list());
        let more: Vec<ModelRef> = fallbacks.filter_map(|text| resolve(text, config)).chain([default.clone()]).collect();
        if !allowed.is_empty() {
            for model in &more {
                add(&mut allowed, model.clone());
            }
            for model in &allowed {
                add(&mut all, model.clone());
            }
        }
        for model in more {
            add(&mut all, model);
        }
        Self { default, all, allowed }
    }

    /// Whether a model may be used.
    pub fn allows(&self, model: &ModelRef) -> bool {
        self.allowed.is_empty() || self.allowed.iter().any(|known| same(known, model))
    }

    /// What may be chosen, by provider, in the order of their first models.
    pub fn by_provider(&self) -> Vec<(String, Vec<&ModelRef>)> {
        let mut groups: Vec<(String, Vec<&ModelRef>)> = Vec::new();
        for model in self.all.iter().filter(|model| self.allows(model)) {
            let provider = model.provider_id().to_string();
            match groups.iter_mut().find(|(known, _)| *known == provider) {
                Some((_, list)) => list.push(model),
                None => groups.push((provider, vec![model])),
            }
        }
        groups
    }

    fn near(&self, text: &str) -> Vec<String> {
        let wanted = text.to_lowercase();
        let tail = wanted.rsplit('/').next().unwrap_or(&wanted).to_owned();
        let mut near: Vec<(usize, String)> = self
            .all
            .iter()
            .filter(|model| self.allows(model))
            .map(|model| {
                let key = model.key();
                let id = model.model.to_lowercase();
                let shared = id.chars().zip(tail.chars()).take_while(|(a, b)| a == b).count();
                (if id.contains(&tail) || tail.contains(&id) { shared + 8 } else { shared }, key)
            })
            .filter(|(score, _)| *score >= 2)
            .collect();
        near.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        near.into_iter().map(|(_, key)| key).take(SUGGESTIONS).collect()
    }
}

fn same(a: &ModelRef, b: &ModelRef) -> bool {
    a.provider_id() == b.provider_id() && a.model.eq_ignore_ascii_case(&b.model)
}

/// A short name for a model: the last part of its id, of the characters that an alias may have.
fn alias_of(model: &str) -> String {
    let last = model.rsplit('/').next().unwrap_or(model);
    last.chars().map(|c| if c.is_ascii_alphanumeric() || "_.:-".contains(c) { c } else { '-' }).collect()
}

/// A model as an argument of a shell.
fn quoted(model: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c);
    if model.chars().all(plain) { model.to_owned() } else { format!("'{}'", model.replace('\'', "'\\''")) }
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The model.
    pub model: ModelRef,
    /// Whether it is the default one.
    pub is_default: bool,
    /// The profile, when one was named.
    pub profile: Option<ProfileId>,
}

/// Why nothing was chosen. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// A number.
    #[error(
        "Numeric model selection is not supported in chat. Use /models to list providers, or /model <provider/model>."
    )]
    Numeric,
    /// Not the name of a model.
    #[error("Unrecognized model \"{0}\". Use /models to list providers, or /models <provider> to list models.")]
    Unrecognized(String),
    /// A model that is not allowed.
    #[error(
        "Model \"{model}\" is not allowed. Use /models to list providers, or /models <provider> to list models.{near}\nTo allow it: openclaw models aliases add {} {}",
        alias_of(model),
        quoted(model)
    )]
    NotAllowed {
        /// The model.
        model: String,
        /// What it may have been, as a sentence; empty when nothing is near.
        near: String,
    },
    /// A profile without a model.
    #[error("Auth profile override requires a model selection.")]
    NoModel,
    /// A profile that does not exist.
    #[error("Auth profile \"{0}\" not found.")]
    NoProfile(String),
    /// A profile of another provider.
    #[error("Auth profile \"{id}\" is for {of}, not {wanted}.")]
    OtherProvider {
        /// The profile.
        id: String,
        /// Its provider.
        of: String,
        /// The provider of the model.
        wanted: String,
    },
}

/// Finds what `model[@profile]` names.
///
/// # Errors
///
/// When the model is unknown or not allowed, or the profile does not fit it.
pub fn select(
    argument: &str,
    config: &Config,
    known: &KnownModels,
    store: &AuthProfiles,
) -> Result<Selection, SelectError> {
    let (text, profile) = split_profile(argument, |id| store.get(&ProfileId::new(id)).is_some());
    let is_alias = |text: &str| !text.contains('/') && config.alias_target(text).is_some();
    let word = text.to_ascii_lowercase();
    if text.is_empty() || (matches!(word.as_str(), "status" | "list") && profile.is_some()) {
        return Err(SelectError::NoModel);
    }
    if text.chars().all(|c| c.is_ascii_digit()) && !is_alias(text) {
        return Err(SelectError::Numeric);
    }
    let wants_default = matches!(word.as_str(), "default" | "reset") && !is_alias(text);
    let model = if wants_default {
        known.default.clone()
    } else {
        resolve_plain(text, config).ok_or_else(|| SelectError::Unrecognized(text.to_owned()))?
    };
    if !known.allows(&model) && !same(&model, &known.default) {
        let near = known.near(text);
        let near = if near.is_empty() { String::new() } else { format!(" Did you mean {}?", near.join(", ")) };
        return Err(SelectError::NotAllowed { model: model.key(), near });
    }
    let profile = profile.map(|id| {
        let id = ProfileId::new(id.trim());
        let stored = store.get(&id).ok_or_else(|| SelectError::NoProfile(id.to_string()))?;
        if stored.provider == model.provider_id() {
            return Ok(id);
        }
        Err(SelectError::OtherProvider {
            id: id.to_string(),
            of: stored.provider.to_string(),
            wanted: model.provider_id().to_string(),
        })
    });
    let is_default = same(&model, &known.default);
    Ok(Selection { is_default, profile: profile.transpose()?, model })
}

/// An alias, a full reference, or a model of the default provider; no profile is cut off any more.
fn resolve_plain(text: &str, config: &Config) -> Option<ModelRef> {
    if !text.contains('/')
        && let Some(target) = config.alias_target(text)
    {
        return ModelRef::parse(target, DEFAULT_PROVIDER);
    }
    ModelRef::parse(text, DEFAULT_PROVIDER)
}

impl Selection {
    /// Puts the choice into a session.
    pub fn apply(&self, entry: &mut SessionEntry, now_ms: i64) {
        let before = entry.clone();
        let provider = self.model.provider_id().to_string();
        entry.set_model((!self.is_default).then_some((provider.as_str(), self.model.model.as_str())));
        let changed = entry.model_override() != before.model_override();
        let runs_another = entry.runtime_model().is_some_and(|(p, m)| p != provider || m != self.model.model);
        if changed || runs_another {
            entry.forget_runtime();
        }
        let pin = self.profile.clone().map(|profile| SessionPin { profile, source: PinSource::User });
        if before.pin() != pin {
            entry.set_pin(pin.as_ref());
        }
        if *entry != before {
            entry.forget_notices();
            if changed {
                entry.set("liveModelSwitchPending", true.into());
            }
            entry.touch(now_ms);
        }
    }

    /// What is said about it.
    pub fn answer(&self, config: &Config) -> String {
        let label = model_label(&self.model, config);
        let first = if self.is_default {
            format!("Model reset to default ({label}).")
        } else {
            format!("Model set to {label}.")
        };
        match &self.profile {
            Some(profile) => format!("{first}\nAuth profile set to {profile}."),
            None => first,
        }
    }
}

/// A model for people: with its alias, if it has one.
pub fn model_label(model: &ModelRef, config: &Config) -> String {
    let key = model.key();
    let alias = config.models.iter().find_map(|entry| {
        let of = ModelRef::parse(&entry.key, DEFAULT_PROVIDER)?;
        same(&of, model).then_some(entry.alias.as_deref()).flatten()
    });
    match alias {
        Some(alias) => format!("{alias} ({key})"),
        None => key,
    }
}

#[cfg(test)]
mod tests;
