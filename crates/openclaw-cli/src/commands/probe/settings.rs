//! The options of a probe (spec 03 section 2).

use auth_core::config::AgentId;
use auth_core::model::{ModelRef, resolve};
use auth_core::status::ModelsInUse;
use auth_store::State;

use crate::args::Probe;
use crate::failure::Failure;

/// The options with their defaults.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Settings {
    pub(super) provider: Option<String>,
    pub(super) profiles: Vec<String>,
    pub(super) models: Vec<String>,
    pub(super) all_models: bool,
    pub(super) timeout_ms: u64,
    pub(super) concurrency: usize,
    pub(super) max_tokens: u32,
    pub(super) free: bool,
    pub(super) mode_given: bool,
    pub(super) record: bool,
    /// Whether nothing is shown while it goes on.
    pub(super) silent: bool,
    pub(crate) strict: bool,
}

impl Settings {
    /// Reads the options; checked before anything else, whether a probe was asked for or not. `silent` shows nothing
    /// while it goes on.
    pub(crate) fn read(probe: &Probe, silent: bool) -> Result<Self, Failure> {
        let number = |text: &Option<String>, default: u64, most: u64, complaint: &str| match text {
            None => Ok(default),
            Some(text) => match text.trim().parse::<f64>() {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked and bounded")]
                Ok(n) if n.is_finite() && n > 0.0 => Ok((n as u64).clamp(1, most)),
                _ => Err(Failure::new(complaint)),
            },
        };
        let timeout_ms =
            number(&probe.probe_timeout, 8000, 600_000, "--probe-timeout must be a positive number (ms).")?;
        let concurrency = number(&probe.probe_concurrency, 2, 32, "--probe-concurrency must be > 0.")?;
        let max_tokens = number(&probe.probe_max_tokens, 8, 4096, "--probe-max-tokens must be > 0.")?;
        let free = match probe.probe_mode.as_deref().map(str::trim) {
            None | Some("live") => false,
            Some("free") => true,
            Some(_) => return Err(Failure::new("--probe-mode must be \"live\" or \"free\".")),
        };
        let models: Vec<String> = probe.probe_model.iter().map(|text| text.trim().to_owned()).collect();
        if free && (probe.probe_all_models || !models.is_empty()) {
            return Err(Failure::with_fix(
                "a free check asks no model, so that no model can be chosen for it.",
                "the same command with --probe-mode live",
            ));
        }
        if free && probe.probe_record {
            return Err(Failure::with_fix(
                "a free check tells nothing about credit, so that it is not recorded.",
                "the same command with --probe-mode live",
            ));
        }
        let profiles = probe.probe_profile.iter().flat_map(|ids| ids.split(','));
        Ok(Self {
            provider: probe.probe_provider.clone(),
            profiles: profiles.map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            models,
            all_models: probe.probe_all_models,
            timeout_ms,
            concurrency: usize::try_from(concurrency).unwrap_or(1),
            max_tokens: u32::try_from(max_tokens).unwrap_or(8),
            free,
            mode_given: probe.probe_mode.is_some(),
            record: probe.probe_record,
            silent,
            strict: probe.probe_strict,
        })
    }

    /// The usual settings, for these profiles only.
    pub(crate) fn of_profiles(profiles: Vec<String>) -> Self {
        Self {
            provider: None,
            profiles,
            models: Vec::new(),
            all_models: false,
            timeout_ms: 8000,
            concurrency: 2,
            max_tokens: 8,
            free: false,
            mode_given: false,
            record: false,
            silent: true,
            strict: false,
        }
    }

    /// The models that were named, and those that a turn would try.
    pub(super) fn models(&self, state: &State, agent: Option<&AgentId>) -> Result<Vec<ModelRef>, Failure> {
        let mut models = Vec::new();
        for text in &self.models {
            models.push(resolve(text, &state.config).ok_or_else(|| {
                Failure::with_fix(
                    format!("--probe-model {text:?} names no model; it is provider/model or an alias."),
                    "openclaw models list",
                )
            })?);
        }
        if self.all_models {
            models.extend(ModelsInUse::of(&state.config, agent).chain(&state.config));
        }
        Ok(models)
    }
}
