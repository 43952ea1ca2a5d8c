//! Keeping the outcome of a probe in the statistics of the profiles, as a turn would (spec 07 sections 5.3, 5.4 and 6.3).

use auth_core::failure::ProbeStatus;
use auth_core::probe::Step;
use auth_core::{FailureReason, Owner, Profile, ProfileId};
use auth_oauth::LoginEntry;
use auth_store::{AgentAuth, Host, StoreWriter};

use super::ProbedRow;
use crate::commands::Session;
use crate::commands::change::store_failure;
use crate::failure::Failure;

/// Records what came of each profile of the agent's own store, and returns which.
pub(super) fn record(session: &Session, auth: &AgentAuth, rows: &[ProbedRow]) -> Result<Vec<ProfileId>, Failure> {
    let mut outcomes: Vec<(&ProfileId, &ProbedRow)> = rows
        .iter()
        .filter(|probed| probed.is_telling())
        .filter_map(|probed| Some((probed.row.profile.as_ref()?, probed)))
        .collect();
    // A key that works for one model and is limited for another stays limited for that one.
    outcomes.sort_by_key(|(_, probed)| !probed.is_ok());
    let owner = |id: &ProfileId| auth.view.profiles.get(id).map(|profile| profile.owner);
    let (own, inherited): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|(id, _)| owner(id) == Some(Owner::Agent));
    for (id, _) in inherited {
        session.warn(&format!("Note: {id} is inherited from agent main; its outcome was not recorded"));
    }
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let state = &session.state;
    let writer = StoreWriter::new(&auth.dir, &state.layout, &state.environment, &session.host);
    let guard = writer.lock().map_err(store_failure)?;
    let mut open = writer.read().map_err(store_failure)?;
    let now = session.host.now();
    let mut recorded: Vec<ProfileId> = Vec::new();
    let mut ids: Vec<&ProfileId> = own.iter().map(|(id, _)| *id).collect();
    ids.sort();
    ids.dedup();
    for id in ids {
        let renewed = own.iter().any(|(other, probed)| *other == id && matches!(probed.row.step, Step::Renew { .. }));
        let same = |profile: &Profile| {
            let before = auth.view.profiles.get(id);
            before.is_some_and(|before| {
                before.credential.is_same(&profile.credential) || (renewed && is_successor(before, profile))
            })
        };
        if !open.store.get(id).is_some_and(same) {
            session.warn(&format!("Note: {id} has changed meanwhile; its outcome was not recorded"));
            continue;
        }
        let before = open.store.usage(id).cloned().unwrap_or_default();
        let of_profile = own.iter().filter(|(other, _)| *other == id).map(|(_, probed)| probed);
        let after = of_profile.fold(before, |stats, probed| match probed.recorded_reason() {
            None => stats.after_success(now),
            Some(reason) => {
                let policy = &state.config.cooldowns;
                stats.after_failure(reason, probed.row.model.as_deref(), &probed.row.provider, policy, now)
            }
        });
        open.document.set_usage(id, &after);
        recorded.push(id.clone());
    }
    let done = writer.write(Some(&guard), &open, &[]).map_err(store_failure)?;
    for note in &done.notes {
        session.warn(&format!("Note: {note}"));
    }
    Ok(recorded)
}

/// Whether one login is what became of another: the probe renewed it, and asked with the new token.
fn is_successor(before: &Profile, after: &Profile) -> bool {
    match (LoginEntry::of(before), LoginEntry::of(after)) {
        (Some(before), Some(after)) => before.is_same_account(&after),
        _ => false,
    }
}

impl ProbedRow {
    fn is_ok(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.status == ProbeStatus::Ok)
    }

    fn recorded_reason(&self) -> Option<FailureReason> {
        self.live.as_ref()?.reason?.recorded()
    }

    /// Whether the outcome says something about the credential that statistics keep.
    fn is_telling(&self) -> bool {
        let known = self.is_ok() || self.recorded_reason().is_some();
        known && !self.row.provider.is_cooldown_exempt()
    }
}
