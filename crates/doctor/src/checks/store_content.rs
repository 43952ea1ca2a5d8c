//! Stores that cannot be used as they are, wholly or in part (spec 06 section 8.3). Nothing here is ever overwritten.

use auth_core::{Credential, RejectReason};
use auth_store::StoreWriteError;

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::Own;

const UNREADABLE: &str = "auth.store.unreadable";
const NEWER: &str = "auth.store.newer_version";
const INVALID_ENTRY: &str = "auth.store.invalid_entry";
const MISSPELT: &str = "auth.store.misspelt_field";
const SPELLING: &str = "auth.store.legacy_spelling";
const TITLE: &str = "Auth checks";

/// Torn and foreign stores, and entries that are kept but not used.
pub(super) struct StoreContent;

impl Check for StoreContent {
    fn codes(&self) -> &'static [&'static str] {
        &[UNREADABLE, NEWER, INVALID_ENTRY, MISSPELT]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        let mut found = Vec::new();
        for agent in &scene.agents {
            let path = agent.store_path();
            let shown = scene.shorten(&path);
            let of = |code, severity, message: String| {
                Finding::new(code, severity, TITLE, message).of_agent(&agent.id).at(path.display().to_string())
            };
            match &agent.own {
                Own::Closed(StoreWriteError::NotValid { why, .. }) if agent.auth.view.errors.is_empty() => {
                    let message = format!("{shown} {why}; it is read, but not changed by this program");
                    found.push(of(NEWER, Severity::Warning, message).helped_by("update openclaw"));
                }
                Own::Closed(error) => {
                    let why = match error {
                        StoreWriteError::NotValid { why, .. } => why.clone(),
                        other => other.to_string(),
                    };
                    let backup = auth_store::backup_name(&path, 0);
                    let fix = if view.host.exists(&backup) {
                        format!("mend {shown} by hand, or put {} in its place", scene.shorten(&backup))
                    } else {
                        format!("mend {shown} by hand")
                    };
                    let message = format!("{shown} {why}; it is left as it is. To go on: {fix}");
                    found.push(of(UNREADABLE, Severity::Error, message).helped_by(fix).detail("why", why));
                }
                Own::Open(open) => {
                    for entry in open.store.rejected() {
                        let line = entry.line.map_or_else(String::new, |line| format!(", line {line}"));
                        let hint = entry.misspelt.as_ref();
                        let hint =
                            hint.map_or_else(String::new, |(is, meant)| format!(", \"{is}\" should be \"{meant}\""));
                        let kinds = match entry.reason {
                            RejectReason::InvalidType => "; the type is api_key, token or oauth",
                            _ => "",
                        };
                        let message = format!(
                            "{} is kept but not used ({}{hint}{kinds}; {shown}{line})",
                            entry.id,
                            entry.reason.code()
                        );
                        let finding = of(INVALID_ENTRY, Severity::Warning, message).of_profile(entry.id.as_str());
                        let finding = finding.detail("reason", entry.reason.code()).detail("line", entry.line);
                        found.push(finding.helped_by(format!("edit {shown}{line}")));
                    }
                    found.extend(misspelt(open).into_iter().map(|(profile, is, meant)| {
                        let line = profile.line.map_or_else(String::new, |line| format!(", line {line}"));
                        let message = format!("{} has no {meant}, but a field \"{is}\" ({shown}{line})", profile.id);
                        let finding = of(MISSPELT, Severity::Warning, message).of_profile(profile.id.as_str());
                        let finding = finding.of_provider(profile.provider.as_str()).detail("line", profile.line);
                        finding.helped_by(format!("rename \"{is}\" to \"{meant}\" in {shown}{line}"))
                    }));
                }
            }
        }
        found
    }
}

/// Profiles without a secret that have a field by a similar name.
fn misspelt(open: &auth_store::OpenStore) -> Vec<(&auth_core::Profile, String, &'static str)> {
    let bare = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let found = open.store.iter().filter_map(|profile| {
        let meant = match &profile.credential {
            Credential::ApiKey { key } if !key.is_present() => "key",
            Credential::Token { token, .. } if !token.is_present() => "token",
            _ => return None,
        };
        let similar = |name: &&str| {
            let name = bare(name);
            name == meant || (meant == "key" && name == "apikey") || (meant == "token" && name == "accesstoken")
        };
        let written = profile.unknown.names().find(similar)?.to_owned();
        Some((profile, written, meant))
    });
    found.collect()
}

/// Profiles that are spelled in an older way, which every write mends.
pub(super) struct Spelling;

impl Check for Spelling {
    fn codes(&self) -> &'static [&'static str] {
        &[SPELLING]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            let Some((_, document)) = agent.document() else { continue };
            for (id, fields) in document.old_spellings() {
                let line = agent.profiles().and_then(|own| own.get(&id)?.line);
                let message = format!("{id} is spelled in an older way ({})", fields.join(", "));
                let finding = Finding::new(SPELLING, Severity::Info, TITLE, message).of_agent(&agent.id).fixable();
                let finding = finding.of_profile(id.as_str()).at(agent.store_path().display().to_string());
                found.push(finding.detail("fields", fields).detail("line", line));
            }
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let (mut changes, mut ids) = (Vec::new(), Vec::new());
        for agent in &view.scene.agents {
            let of_agent = findings.iter().filter(|finding| finding.agent.as_ref() == Some(&agent.id));
            let named: Vec<&str> = of_agent.filter_map(|finding| finding.profile.as_deref()).collect();
            let Some((_, mut document)) = agent.document().filter(|_| !named.is_empty()) else { continue };
            document.respell();
            changes.extend(view.store_change(SPELLING, agent, &document, &[])?);
            ids.extend(named);
        }
        let question = format!("Write {} as this version does?", ids.join(", "));
        let done = ids.iter().map(|id| format!("- {id} rewritten with the present field names")).collect::<Vec<_>>();
        let repair = Repair::new(SPELLING, RepairKind::Normal, question).telling(done).changing(changes);
        Ok((!repair.changes.is_empty()).then_some(repair))
    }
}
