//! A candidate credential in words: where it stands, and why it is used or not.

use auth_core::{
    Candidate, CandidateSource, Eligibility, EnvOrigin, Explanation, OrderSource, Outranking, Owner, Standing,
    Timestamp, WordyDuration,
};
use auth_store::{AgentAuth, STORE_FILE, State};

/// File and line of a candidate, or where its variable was set.
pub(crate) fn place(state: &State, auth: &AgentAuth, candidate: &Candidate) -> String {
    let layout = &state.layout;
    match &candidate.source {
        CandidateSource::Profile(id) => {
            let file = match auth.view.profiles.get(id).map(|profile| profile.owner) {
                Some(Owner::Agent) => auth.store_path(),
                Some(Owner::Main) => layout.main_store_dir().join(STORE_FILE),
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

/// The verdict on a candidate.
pub(crate) fn reason(candidate: &Candidate, explanation: &Explanation, now: Timestamp) -> String {
    match &candidate.standing {
        Standing::Next => "used next".to_owned(),
        Standing::InReserve => "tried when those before it fail".to_owned(),
        Standing::Waiting(window) => {
            let left = WordyDuration(window.until_ms - now.as_f64());
            format!("{}, free again in {left}", window.kind.as_str())
        }
        Standing::Ineligible(verdict) => ineligible(*verdict).to_owned(),
        Standing::LeftOut => match explanation.order.source {
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
