//! The command that mends what kept a profile from being asked (spec 03 section 3.2).

use auth_core::CredentialKind;
use auth_core::probe::{ProbeRow, Skip, SkipCode, Step};

use crate::render::advice;

/// What to type, if anything helps.
pub(super) fn repair(row: &ProbeRow) -> Option<String> {
    let Step::Skip(Skip { code, cause, .. }) = &row.step else { return None };
    let provider = row.provider.as_str();
    match code {
        SkipCode::MissingCredential | SkipCode::Expired | SkipCode::InvalidExpires => {
            let kind = CredentialKind::parse(row.mode);
            Some(match (&row.profile, kind) {
                (Some(id), Some(kind)) => advice::renew_profile(kind, provider, id.as_str()),
                _ => format!("openclaw models auth paste-api-key --provider {}", advice::quoted(provider)),
            })
        }
        SkipCode::UnresolvedRef => {
            let audit = "openclaw secrets audit --allow-exec";
            Some(cause.as_ref().map_or_else(|| audit.to_owned(), |cause| format!("{cause}; {audit}")))
        }
        SkipCode::Ineligible => Some(format!("openclaw models auth why {}", advice::quoted(provider))),
        SkipCode::ExcludedByOrder | SkipCode::NoModel | SkipCode::Unsupported => None,
    }
}
