//! A candidate credential in words: where it stands, why it is used or not, and what helps when nothing is.

use auth_core::{
    Candidate, CandidateSource, CredentialKind, Eligibility, EnvOrigin, Explanation, OrderSource, Outranking, Owner,
    Profile, ProfileFile, ProfileHealth, ProviderId, RefSource, RefState, SecretRef, Standing, WindowKind,
    WordyDuration, profile_health,
};
use auth_store::{AgentAuth, STORE_FILE, State};

use super::advice;

/// The file that holds a profile.
pub(crate) fn file_of(state: &State, auth: &AgentAuth, profile: &Profile) -> String {
    let dir = match profile.owner {
        Owner::Agent => auth.dir.as_path(),
        Owner::Main => state.layout.main_store_dir(),
    };
    state.layout.shorten(&match profile.file {
        ProfileFile::Store => dir.join(STORE_FILE),
        ProfileFile::LegacyAuth => dir.join("auth.json"),
        ProfileFile::LegacyOAuth => state.layout.legacy_oauth_file(),
    })
}

/// File and line of a candidate, or where its variable was set.
pub(crate) fn place(state: &State, auth: &AgentAuth, candidate: &Candidate) -> String {
    match &candidate.source {
        CandidateSource::Profile(id) => match auth.view.profiles.get(id) {
            Some(profile) => {
                let file = file_of(state, auth, profile);
                candidate.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
            }
            None => "not stored".to_owned(),
        },
        CandidateSource::Variable { origin, .. } => origin.as_ref().map_or_else(String::new, EnvOrigin::to_string),
        CandidateSource::ConfigKey | CandidateSource::XaiSearch => state.layout.shorten(state.layout.config_path()),
        _ => String::new(),
    }
}

/// The name of a candidate for people.
pub(crate) fn name(candidate: &Candidate) -> String {
    match &candidate.source {
        CandidateSource::ConfigKey => "config key".to_owned(),
        source => source.label(),
    }
}

/// The verdict on a candidate.
pub(crate) fn reason(state: &State, auth: &AgentAuth, explanation: &Explanation, candidate: &Candidate) -> String {
    let profile = match &candidate.source {
        CandidateSource::Profile(id) => auth.view.profiles.get(id),
        _ => None,
    };
    match &candidate.standing {
        Standing::Next => match profile.and_then(|p| advice::trouble(&profile_health(p, state.now()), state.now())) {
            Some(trouble) => {
                let trouble = trouble.replace("expired", "has expired");
                format!("used next, although it {trouble}{}", needs_you(state, profile))
            }
            None => format!("used next{}{}", renewed_first(state, profile), not_tried(state, auth, profile)),
        },
        Standing::InReserve => format!(
            "tried when those before it fail{}{}{}",
            renewed_first(state, profile),
            needs_you(state, profile),
            not_tried(state, auth, profile)
        ),
        Standing::Waiting(window) => {
            let usage = profile.and_then(|profile| auth.view.profiles.usage(&profile.id));
            let why = usage.and_then(|stats| match window.kind {
                WindowKind::Cooldown => stats.cooldown_reason.as_deref(),
                WindowKind::Disabled => stats.disabled_reason.as_deref(),
            });
            let why = because(why, usage.and_then(|stats| stats.limited_model(state.now())));
            let left = WordyDuration(window.until_ms - state.now().as_f64());
            format!("{}{why}, free again in {left}", window.kind.as_str())
        }
        Standing::Ineligible(verdict) => ineligible(*verdict).to_owned(),
        Standing::LeftOut => match explanation.order.source {
            OrderSource::Store | OrderSource::Config => "the order in force does not name it".to_owned(),
            OrderSource::Profiles | OrderSource::All => "auth.profiles of the config does not name it".to_owned(),
        },
        Standing::Unresolved(why) => format!("its reference does not resolve: {why}"),
        Standing::Outranked(by) => match by {
            Outranking::ByProfiles => "never asked: the provider has stored profiles".to_owned(),
            Outranking::ByEnvironment => "never asked: the environment has a key".to_owned(),
            Outranking::ByConfigKey => "never asked: the config's own key is used".to_owned(),
            Outranking::ByOverride => "never asked: a variable OPENCLAW_LIVE_…_KEY stands in".to_owned(),
            Outranking::ByAws => "never asked: the config says auth \"aws-sdk\"".to_owned(),
        },
        Standing::Unusable => "a placeholder, or the name of a variable that is not set".to_owned(),
    }
}

/// Why a window is open, in brackets, and for which model when it is for one only.
pub(crate) fn because(reason: Option<&str>, model: Option<&str>) -> String {
    let model = model.map(|model| format!("for {model} only"));
    let parts: Vec<&str> = reason.into_iter().chain(model.as_deref()).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// A login whose token has ended is used all the same.
fn renewed_first(state: &State, profile: Option<&Profile>) -> &'static str {
    let health = profile.map(|profile| profile_health(profile, state.now()));
    let ended = health.filter(|health| health.renews_itself && has_ended(state, health));
    ended.map_or("", |_| "; its token has expired and renews itself first")
}

/// The command that a login wants which has ended and does not renew itself.
fn needs_you(state: &State, profile: Option<&Profile>) -> String {
    let health = profile.filter(|profile| profile.kind() == CredentialKind::OAuth);
    let health = health.map(|profile| profile_health(profile, state.now()));
    let lost = health.filter(|health| !health.renews_itself && has_ended(state, health));
    lost.map_or_else(String::new, |health| format!("; it needs you: {}", advice::renew(&health)))
}

fn has_ended(state: &State, health: &ProfileHealth) -> bool {
    health.ends_at_ms.is_some_and(|ends| ends <= state.now().as_f64())
}

/// A reference that only a program resolves counts as good until it is used; that it was not tried must be said.
fn not_tried(state: &State, auth: &AgentAuth, profile: Option<&Profile>) -> &'static str {
    let defaults = &state.config.secrets.defaults;
    let reference = profile.and_then(|profile| profile.credential.material()?.resolved_reference(defaults));
    let situation = state.situation(auth);
    match reference.map(|reference| matches!(situation.refs.get(&reference), RefState::NotRun)) {
        Some(true) => "; not tried here, since a program would have to run: openclaw secrets audit --allow-exec",
        _ => "",
    }
}

/// Why a profile is not tried, in words.
pub(crate) fn ineligible(verdict: Eligibility) -> &'static str {
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

/// What to type when nothing can be used: about the best candidate there is, else a new credential.
pub(crate) fn ways_out(state: &State, auth: &AgentAuth, explanation: &Explanation) -> Vec<String> {
    if !auth.view.errors.is_empty() {
        return vec!["openclaw doctor".to_owned()];
    }
    let Some(best) = explanation.candidates.first() else {
        return new_credential(&explanation.provider);
    };
    let profile = match &best.source {
        CandidateSource::Profile(id) => auth.view.profiles.get(id),
        _ => None,
    };
    let reference = match (&best.source, profile) {
        (_, Some(profile)) => profile.credential.material().and_then(|material| material.reference().cloned()),
        (CandidateSource::ConfigKey, None) => config_reference(state, &explanation.provider),
        _ => None,
    };
    match (&best.standing, profile) {
        (Standing::Waiting(_), Some(profile)) => vec![advice::clear_cooldown(profile.id.as_str())],
        (Standing::Unresolved(_), _) => match reference.filter(|to| to.source == RefSource::Env && to.has_valid_id()) {
            Some(to) => vec![format!("export {}=…", to.id.trim())],
            None => vec!["openclaw doctor".to_owned()],
        },
        (Standing::LeftOut | Standing::Ineligible(Eligibility::ProfileMissing), _) => {
            vec![format!(
                "openclaw models auth order clear --provider {}",
                advice::quoted(explanation.provider.as_str())
            )]
        }
        (Standing::Ineligible(Eligibility::ModeMismatch | Eligibility::ProviderMismatch), _) => {
            vec!["openclaw doctor".to_owned()]
        }
        (Standing::Ineligible(_), Some(profile)) => vec![advice::renew(&profile_health(profile, state.now()))],
        _ => new_credential(&explanation.provider),
    }
}

/// The reference that the config holds as key of a provider.
pub(crate) fn config_reference(state: &State, provider: &ProviderId) -> Option<SecretRef> {
    match &state.config.provider(provider)?.api_key {
        Some(auth_core::config::SecretInput::Reference(reference)) => Some(reference.clone()),
        _ => None,
    }
}

fn new_credential(provider: &ProviderId) -> Vec<String> {
    let help = advice::add_credential(provider);
    let variable = help.variables.first().map(|name| format!("export {name}=…"));
    // A provider that is only signed in to takes no key.
    let paste = (variable.is_some() || help.login.is_none())
        .then(|| format!("openclaw models auth paste-api-key --provider {}", advice::quoted(provider.as_str())));
    paste.into_iter().chain(variable).chain(help.login).collect()
}
