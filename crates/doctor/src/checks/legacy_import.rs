//! The credential files of earlier versions, `auth.json` and `oauth.json` (spec 01 section 5.5, spec 06 section 10.3).

use std::path::{Path, PathBuf};

use auth_core::{AuthProfiles, StoreDocument};
use auth_store::{Host, LegacyCounts};

use crate::check::{Check, View, store_write};
use crate::finding::{Finding, Severity};
use crate::repair::{Change, Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::AgentScene;

const AUTH_JSON: &str = "auth.legacy.auth_json";
const OAUTH_JSON: &str = "auth.legacy.oauth_json";
const LEFTOVER: &str = "auth.legacy.imported_leftover";
/// The largest legacy file that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Takes the old files over into stores, as the first command that writes does.
pub(super) struct LegacyImport;

/// What an agent without a store would take over.
fn pending(agent: &AgentScene) -> Option<LegacyCounts> {
    agent.own()?.legacy
}

impl Check for LegacyImport {
    fn codes(&self) -> &'static [&'static str] {
        &[AUTH_JSON, OAUTH_JSON]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        let mut found = Vec::new();
        for agent in &scene.agents {
            let legacy = agent.dir.join("auth.json");
            let counts = pending(agent);
            if let Some(counts) = counts.filter(|counts| counts.from_auth > 0) {
                let message =
                    format!("{} holds {} credentials of an earlier version", scene.shorten(&legacy), counts.from_auth);
                found.push(of_agent(AUTH_JSON, message, agent, &legacy).fixable());
            } else if let Some(ids) = never_imported(agent, &legacy, view.host) {
                let message = format!(
                    "{} holds credentials that are not used, because the agent has a store: {}",
                    scene.shorten(&legacy),
                    ids.join(", ")
                );
                let fix = format!(
                    "add what is still needed with openclaw models auth paste-api-key, then delete {}",
                    scene.shorten(&legacy)
                );
                found.push(of_agent(AUTH_JSON, message, agent, &legacy).helped_by(fix));
            }
            if let Some(counts) = counts.filter(|counts| counts.from_oauth > 0) {
                let oauth = scene.layout().legacy_oauth_file();
                let message =
                    format!("{} holds {} logins of an earlier version", scene.shorten(&oauth), counts.from_oauth);
                found.push(of_agent(OAUTH_JSON, message, agent, &oauth).fixable());
            }
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let is_main = |agent: &AgentScene| agent.dir == view.scene.layout().main_store_dir();
        let asked = |agent: &&AgentScene| {
            findings.iter().any(|finding| finding.fixable && finding.agent.as_ref() == Some(&agent.id))
        };
        // Main last: once it has profiles, the others read through them, and files of their own would never be taken
        // over. The logins of all of them become main's.
        let main = view.scene.agents.iter().find(|agent| is_main(agent)).filter(|agent| pending(agent).is_some());
        let own = |agent: &&AgentScene| !is_main(agent) && pending(agent).is_some_and(|counts| counts.from_auth > 0);
        let own = view.scene.agents.iter().filter(own);
        let rest = view.scene.agents.iter().filter(|agent| !is_main(agent));
        let Some((agent, mut counts)) =
            own.chain(main).chain(rest).filter(asked).find_map(|agent| Some((agent, pending(agent)?)))
        else {
            return Ok(None);
        };
        view.stores_may_change(AUTH_JSON)?;
        let Some(open) = agent.own() else { return Ok(None) };
        let path = agent.store_path();
        let mut document = open.document.clone();
        if !is_main(agent) && main.is_some() && counts.from_auth > 0 {
            let text = view.host.read(&agent.dir.join("auth.json"), MAX_BYTES).unwrap_or_default();
            let text = String::from_utf8(text).unwrap_or_default();
            if let Ok(import) = StoreDocument::import_legacy(Some(&text), None) {
                document = import.document;
                counts.from_oauth = 0;
            }
        }
        let after = document
            .to_text(&[])
            .map_err(|error| Refusal { code: AUTH_JSON, message: format!("{} {error}", view.scene.shorten(&path)) })?;
        let mut repair = Repair::new(AUTH_JSON, RepairKind::Unasked, "").changing([store_write(&path, None, after)]);
        let count = counts.from_auth + counts.from_oauth;
        repair.done.push(format!("- Took over {count} credentials into {}", view.scene.shorten(&path)));
        if counts.from_auth > 0 {
            let from = agent.dir.join("auth.json");
            let name = if counts.rejected == 0 { "auth.json.bak" } else { "auth.json.imported" };
            if let Some(to) = free_name(&agent.dir, name, view.host) {
                repair.done.push(format!("- {} is now {}", view.scene.shorten(&from), view.scene.shorten(&to)));
                let mode = view.host.facts(&from).map_or(0o600, |facts| facts.mode);
                repair.changes.push(Change::Rename { from, to: to.clone() });
                if mode & 0o077 != 0 {
                    repair.changes.push(Change::Chmod { path: to, before: mode, after: 0o600 });
                }
            }
        }
        Ok(Some(repair))
    }
}

fn of_agent(code: &'static str, message: String, agent: &AgentScene, path: &Path) -> Finding {
    Finding::new(code, Severity::Warning, "Legacy state detected", message)
        .of_agent(&agent.id)
        .at(path.display().to_string())
}

/// The credentials of an `auth.json` that are in no store: it stands beside one, or the agent reads through main's.
fn never_imported(agent: &AgentScene, legacy: &Path, host: &dyn Host) -> Option<Vec<String>> {
    let text = String::from_utf8(host.read(legacy, MAX_BYTES).ok()?).ok()?;
    let old = AuthProfiles::parse_legacy(&text).ok()?;
    let own = agent.profiles()?;
    let same = |profile: &auth_core::Profile| {
        let known = own.get(&profile.id).map(|known| &known.credential);
        let secret = |credential: &auth_core::Credential| credential.material().and_then(|m| m.inline().cloned());
        match (known.and_then(secret), secret(&profile.credential)) {
            (Some(a), Some(b)) => a.is_same(&b),
            (None, None) => known.is_some(),
            _ => false,
        }
    };
    let ids: Vec<String> = old.iter().filter(|profile| !same(profile)).map(|profile| profile.id.to_string()).collect();
    (!ids.is_empty()).then_some(ids)
}

/// A name that nothing has yet: the one given, or with a number.
fn free_name(dir: &Path, name: &str, host: &dyn Host) -> Option<PathBuf> {
    let names = (0..1000).map(|n| if n == 0 { name.to_owned() } else { format!("{name}.{n}") });
    names.map(|name| dir.join(name)).find(|path| host.facts(path).is_err())
}

/// What could not be taken over stays in a file of its own.
pub(super) struct ImportedLeftover;

impl Check for ImportedLeftover {
    fn codes(&self) -> &'static [&'static str] {
        &[LEFTOVER]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = Vec::new();
        for agent in &view.scene.agents {
            for path in view.host.names_in(&agent.dir) {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if !name.starts_with("auth.json.imported") {
                    continue;
                }
                let shown = view.scene.shorten(&path);
                let text = view.host.read(&path, MAX_BYTES).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let parsed = text.and_then(|text| AuthProfiles::parse_legacy(&text).ok());
                let rejected = parsed.as_ref().map(AuthProfiles::rejected).unwrap_or_default();
                let named: Vec<String> = rejected
                    .iter()
                    .map(|entry| format!("{} ({})", entry.id.trim_end_matches(":default"), entry.reason.code()))
                    .collect();
                let which = if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) };
                let message = format!(
                    "{shown} holds entries that could not be taken over{which}; delete it when they are not needed"
                );
                let finding = Finding::new(LEFTOVER, Severity::Warning, "Auth checks", message).of_agent(&agent.id);
                found.push(finding.at(path.display().to_string()).helped_by(format!("rm {shown}")));
            }
        }
        found
    }
}
