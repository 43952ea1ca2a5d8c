//! References to secrets that live elsewhere: those that lead nowhere, and those that stand where none may
//! (spec 06 section 8.3, spec 04 section 4 step 3).

use auth_core::{Credential, CredentialKind, Profile, RefSource, RefState};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::scene::AgentScene;

const UNRESOLVED: &str = "auth.ref.unresolved";
const VIOLATION: &str = "auth.ref.oauth_violation";
const TITLE: &str = "Auth checks";

/// Names the references, and what to do.
pub(super) struct References;

impl Check for References {
    fn codes(&self) -> &'static [&'static str] {
        &[UNRESOLVED, VIOLATION]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            for profile in agent.profiles().into_iter().flat_map(auth_core::AuthProfiles::iter) {
                let violations = violations(view, agent, profile);
                if violations.is_empty() {
                    found.extend(unresolved(view, agent, profile));
                }
                found.extend(violations);
            }
        }
        found
    }
}

fn of(code: &'static str, severity: Severity, message: String, agent: &AgentScene, profile: &Profile) -> Finding {
    let finding = Finding::new(code, severity, TITLE, message).of_agent(&agent.id);
    finding
        .of_provider(profile.provider.as_str())
        .of_profile(profile.id.as_str())
        .detail("file", agent.store_path().display().to_string())
        .detail("line", profile.line)
}

fn violations(view: &View<'_>, agent: &AgentScene, profile: &Profile) -> Vec<Finding> {
    let expected = view.scene.settings().auth_profiles.get(profile.id.as_str()).map(|entry| entry.mode);
    let (fields, reason): (Vec<&str>, String) = match &profile.credential {
        Credential::OAuth { .. } => (
            profile.login_refs.clone(),
            "SecretRef is not allowed for type=\"oauth\" auth profiles (OAuth credentials are runtime-mutable)."
                .to_owned(),
        ),
        other
            if expected == Some(CredentialKind::OAuth) && other.material().is_some_and(|m| m.reference().is_some()) =>
        {
            (
                vec![if other.kind() == CredentialKind::Token { "token" } else { "key" }],
                format!(
                    "SecretRef is not allowed when auth.profiles.{}.mode is \"oauth\" (OAuth credentials are runtime-mutable).",
                    profile.id
                ),
            )
        }
        _ => return Vec::new(),
    };
    let found = fields.into_iter().map(|field| {
        let path = format!("profiles.{}.{field}", profile.id);
        let message = format!("{path}: {reason}");
        let fix = match &profile.credential {
            Credential::OAuth { .. } => format!("openclaw models auth login --provider {}", profile.provider),
            other => format!("openclaw config set auth.profiles.{}.mode {}", profile.id, other.kind().as_str()),
        };
        of(VIOLATION, Severity::Error, message, agent, profile).at(path).helped_by(fix)
    });
    found.collect()
}

fn unresolved(view: &View<'_>, agent: &AgentScene, profile: &Profile) -> Option<Finding> {
    let scene = view.scene;
    let to = profile.credential.material()?.resolved_reference(&scene.settings().secrets.defaults)?;
    let by_program = to.source == RefSource::Exec;
    let why = match agent.refs(scene).get(&to) {
        RefState::Resolved(_) => return None,
        RefState::Unresolved(why) => why.clone(),
        RefState::NotRun if by_program => {
            "not checked, because a program would have to run (--deep runs it)".to_owned()
        }
        RefState::NotRun => "not checked".to_owned(),
    };
    let field = if profile.kind() == CredentialKind::Token { "tokenRef" } else { "keyRef" };
    let path = format!("profiles.{}.{field}", profile.id);
    let severity = if by_program && !view.request.deep { Severity::Warning } else { Severity::Error };
    let message = format!("{path} ({}): {why}", to.label());
    let fix = match to.source {
        RefSource::Env => {
            format!("set {} in {}", to.id.trim(), scene.shorten(&scene.layout().state_dir().join(".env")))
        }
        RefSource::File => "openclaw secrets audit".to_owned(),
        RefSource::Exec => "openclaw secrets audit --allow-exec".to_owned(),
    };
    Some(of(UNRESOLVED, severity, message, agent, profile).at(path).helped_by(fix))
}
