//! Cooldowns and disables that are in force, and statistics of profiles that are gone (spec 06 section 7.4).

use auth_core::{FailureReason, ShortDuration, UsageStats, Window, WindowKind};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;

const COOLDOWN: &str = "auth.cooldown";
const DISABLED: &str = "auth.disabled";
const ORPHAN: &str = "auth.usage.orphan";

/// Tells which credentials wait, until when, and what ends it. Doctor itself never does.
pub(super) struct Windows;

impl Check for Windows {
    fn codes(&self) -> &'static [&'static str] {
        &[COOLDOWN, DISABLED]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            let Some(own) = agent.profiles() else { continue };
            for (id, stats) in own.all_usage() {
                let profile = own.get(id);
                let exempt = profile.is_some_and(|profile| profile.provider.is_cooldown_exempt());
                let Some(window) = stats.active_window(view.scene.now()).filter(|_| !exempt) else { continue };
                let mut finding = of_window(id.as_str(), stats, window, view.scene.now().as_f64());
                if let Some(profile) = profile {
                    finding = finding.of_provider(profile.provider.as_str());
                }
                found.push(finding.of_agent(&agent.id));
            }
        }
        found
    }
}

fn of_window(id: &str, stats: &UsageStats, window: Window, now_ms: f64) -> Finding {
    let left = ShortDuration(window.until_ms - now_ms);
    let disabled = window.kind == WindowKind::Disabled;
    let reason = stats.disabled_reason.as_deref().filter(|_| disabled);
    let what = match (disabled, reason) {
        (true, Some(reason)) => format!("disabled:{reason}"),
        (true, None) => "disabled".to_owned(),
        (false, _) => "cooldown".to_owned(),
    };
    let is = |wanted: FailureReason| reason == Some(wanted.as_str());
    let hint = if is(FailureReason::Billing) {
        "top up credits or switch provider"
    } else if is(FailureReason::Auth) || is(FailureReason::AuthPermanent) {
        "refresh or replace credentials"
    } else {
        "wait or switch provider"
    };
    let fix = format!("openclaw models auth clear-cooldown {id}");
    let (code, severity) = if disabled { (DISABLED, Severity::Error) } else { (COOLDOWN, Severity::Info) };
    let line = format!("- {id}: {what} ({left}) — {hint} (to end it: {fix})");
    Finding::new(code, severity, "Auth profile cooldowns", format!("{id}: {what} ({left}); {hint}"))
        .shown_as(line)
        .of_profile(id)
        .helped_by(fix)
        .detail("until", whole(window.until_ms))
        .detail("remainingMs", whole(window.until_ms - now_ms))
        .detail("errorCount", stats.error_count)
        .detail("reason", if disabled { stats.disabled_reason.clone() } else { stats.cooldown_reason.clone() })
        .detail("model", stats.cooldown_model.clone())
}

/// Milliseconds as whole numbers.
fn whole(ms: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates; times are far inside the range")]
    let whole = ms.round() as i64;
    whole
}

/// Statistics of profiles that no store has.
pub(super) struct UsageOrphan;

impl Check for UsageOrphan {
    fn codes(&self) -> &'static [&'static str] {
        &[ORPHAN]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            let Some(own) = agent.profiles() else { continue };
            // An agent keeps statistics of main's profiles in its own store too.
            let gone = own.all_usage().filter(|(id, _)| agent.auth.view.profiles.get(id).is_none());
            // An entry that cannot be used is still an entry.
            let gone = gone.filter(|(id, _)| !own.rejected().iter().any(|entry| entry.id == id.as_str()));
            found.extend(gone.map(|(id, _)| {
                let message = format!("{id} has statistics, but there is no such profile");
                let finding = Finding::new(ORPHAN, Severity::Info, "Auth checks", message);
                finding.of_agent(&agent.id).of_profile(id.as_str()).fixable()
            }));
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let (mut changes, mut done) = (Vec::new(), Vec::new());
        for agent in &view.scene.agents {
            let Some((_, mut document)) = agent.document() else { continue };
            let gone: Vec<&str> = findings
                .iter()
                .filter(|finding| finding.fixable && finding.agent.as_ref() == Some(&agent.id))
                .filter_map(|finding| finding.profile.as_deref())
                .collect();
            document.drop_usage(&|id| gone.contains(&id));
            if let Some(change) = view.store_change(ORPHAN, agent, &document, &[])? {
                changes.push(change);
                done.push(format!("- Statistics removed: {}", gone.join(", ")));
            }
        }
        let question = format!("Remove statistics of profiles that are gone ({})?", done.len());
        let repair = Repair::new(ORPHAN, RepairKind::Normal, question).telling(done).changing(changes);
        Ok((!repair.changes.is_empty()).then_some(repair))
    }
}
