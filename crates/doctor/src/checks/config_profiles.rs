//! Entries of `auth.profiles` that do not fit what is stored (spec 06 section 8.3).

use auth_core::provider::find_by_name;
use auth_core::{CandidateSource, CredentialKind, Profile, ProfileId, explain};
use serde_json::Value;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::Scene;

const UNKNOWN: &str = "auth.profile.unknown_config";
const MISMATCH: &str = "auth.profile.mode_mismatch";
const TITLE: &str = "Auth checks";

/// Every stored profile of an id, in any store.
fn stored<'a>(scene: &'a Scene, id: &ProfileId) -> impl Iterator<Item = &'a Profile> {
    let id = id.clone();
    scene.agents.iter().filter_map(move |agent| agent.auth.view.profiles.get(&id))
}

/// Entries that nothing stands behind.
pub(super) struct UnknownConfig;

impl Check for UnknownConfig {
    fn codes(&self) -> &'static [&'static str] {
        &[UNKNOWN]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        // With only some agents in view, another one may have it.
        if !view.request.agents.is_empty() {
            return Vec::new();
        }
        let entries = scene.settings().auth_profiles.values();
        let unknown = entries.filter(|entry| {
            let other_source = scene.agents.iter().any(|agent| {
                let explanation = explain(&agent.situation(scene), &entry.provider, None);
                let elsewhere = |source: &CandidateSource| {
                    !matches!(source, CandidateSource::Profile(_) | CandidateSource::AwsDefaultChain)
                };
                explanation.candidates.iter().any(|candidate| elsewhere(&candidate.source))
            });
            stored(scene, &entry.id).next().is_none() && !other_source
        });
        unknown
            .map(|entry| {
                let provider = entry.provider.as_str();
                let fix = if find_by_name(provider).is_some() {
                    format!("openclaw models auth login --provider {provider}")
                } else {
                    format!("openclaw models auth paste-api-key --provider {provider} --profile-id {}", entry.id)
                };
                let path = format!("auth.profiles.{}", entry.id);
                let message =
                    format!("{path} has no stored credential, and {provider} has no other source. Run: {fix}");
                let finding = Finding::new(UNKNOWN, Severity::Warning, TITLE, message).of_provider(provider);
                finding.of_profile(entry.id.as_str()).at(path).helped_by(fix)
            })
            .collect()
    }
}

/// Entries whose kind or provider is not that of the stored credential, which is therefore not used.
pub(super) struct ModeMismatch;

/// What an entry is to say.
struct Mended {
    id: String,
    provider: Option<String>,
    mode: Option<CredentialKind>,
}

fn mismatches(scene: &Scene) -> Vec<(Mended, String)> {
    let entries = scene.settings().auth_profiles.values();
    entries
        .filter_map(|entry| {
            let mut profiles = stored(scene, &entry.id).peekable();
            let first = *profiles.peek()?;
            // Agents that disagree about it leave no answer.
            let agree = profiles.all(|other| other.kind() == first.kind() && other.auth_key == first.auth_key);
            let kind = first.kind();
            let other_provider = entry.provider.auth_key() != first.auth_key;
            let token_as_login = entry.mode == CredentialKind::OAuth && kind == CredentialKind::Token;
            let other_mode = entry.mode != kind && !token_as_login;
            // A reference behind an entry that says oauth is reported as what it is.
            let by_reference = first.credential.material().is_some_and(|material| material.reference().is_some());
            let violation = entry.mode == CredentialKind::OAuth && by_reference;
            // The Claude CLI as a provider is retired: nothing is made to say it.
            let retired = first.provider.as_str() == "claude-cli";
            if !agree || violation || retired || !(other_provider || other_mode) {
                return None;
            }
            let provider = other_provider.then(|| first.provider_as_stored.to_string());
            let mode = other_mode.then_some(kind);
            let what = match (&provider, mode) {
                (Some(provider), _) => {
                    format!("says provider {}, but the stored credential is of {provider}", entry.provider)
                }
                (None, _) => format!("says {}, but the stored credential is {}", entry.mode.as_str(), kind.as_str()),
            };
            Some((Mended { id: entry.id.to_string(), provider, mode }, what))
        })
        .collect()
}

impl Check for ModeMismatch {
    fn codes(&self) -> &'static [&'static str] {
        &[MISMATCH]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let found = mismatches(view.scene).into_iter().map(|(mended, what)| {
            let path = format!("auth.profiles.{}", mended.id);
            let reason = if mended.provider.is_some() { "provider_mismatch" } else { "mode_mismatch" };
            let message = format!("{path} {what}, so it is not used ({reason})");
            let finding = Finding::new(MISMATCH, Severity::Warning, TITLE, message).of_profile(&mended.id);
            let finding = finding.at(path.as_str()).detail("reason", reason);
            match &mended.provider {
                None => finding.fixable(),
                // Another provider would get an order that it did not have: somebody has to decide that.
                Some(provider) => finding.helped_by(format!("openclaw config set {path}.provider {provider}")),
            }
        });
        found.collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let asked = |id: &str| findings.iter().any(|finding| finding.profile.as_deref() == Some(id));
        let mended = mismatches(view.scene).into_iter().map(|(mended, _)| mended);
        let mended: Vec<Mended> = mended.filter(|mended| mended.provider.is_none() && asked(&mended.id)).collect();
        if mended.is_empty() {
            return Ok(None);
        }
        let changes = view.config_change(MISMATCH, &|root| {
            for one in &mended {
                let entry = root.pointer_mut("/auth/profiles").and_then(|all| all.get_mut(&one.id));
                if let (Some(entry), Some(mode)) = (entry, one.mode) {
                    entry["mode"] = Value::from(mode.as_str());
                }
            }
        })?;
        let ids: Vec<&str> = mended.iter().map(|one| one.id.as_str()).collect();
        let question = format!("Make auth.profiles say what is stored ({})?", ids.join(", "));
        let done = ids.iter().map(|id| format!("- config: auth.profiles.{id} says what is stored")).collect::<Vec<_>>();
        Ok(Some(Repair::new(MISMATCH, RepairKind::Normal, question).telling(done).changing(changes)))
    }
}
