//! Logins of the Claude CLI, which are not supported any more (spec 06 section 7.1): the stored credential becomes an
//! Anthropic profile, and what names it follows; without stored bytes the settings go.

use auth_core::{CredentialKind, Material, Profile, ProfileId, Retarget};
use serde_json::{Map, Value};

use super::claude_refs::{self, rewrite};
use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Note, Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::{AgentScene, Scene};

const STALE: &str = "auth.claude_cli.stale";
const MODEL_REF: &str = "auth.claude_cli.model_ref";
const FAILED: &str = "auth.claude_cli.repair_failed";
const TITLE: &str = "Auth profiles";
const STALE_ID: &str = "anthropic:claude-cli";
const STALE_PROVIDER: &str = "claude-cli";

/// Converts stored logins, and rewrites or removes the settings.
pub(super) struct ClaudeCli;

fn is_stale_provider(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case(STALE_PROVIDER)
}

/// The stored credential under the old id, unless it is of another provider altogether.
fn stored(agent: &AgentScene) -> Option<&Profile> {
    let profile = agent.profiles()?.get(&ProfileId::new(STALE_ID))?;
    (is_stale_provider(&profile.provider_as_stored) || profile.provider.as_str() == "anthropic").then_some(profile)
}

/// What becomes of a stored credential.
struct Fate {
    target: ProfileId,
    /// The target holds another credential, which stays.
    kept: bool,
}

fn fate(scene: &Scene, agent: &AgentScene, profile: &Profile, config_email: Option<&str>) -> Fate {
    let blank = |text: &&str| !text.trim().is_empty();
    let name = config_email.filter(blank).or(profile.email.as_deref().filter(blank)).unwrap_or("default").trim();
    let target = ProfileId::new(format!("anthropic:{name}"));
    let Some(own) = agent.profiles() else { return Fate { target, kept: false } };
    // What the agent sees of main must not disappear behind it either.
    let seen = &agent.auth.view.profiles;
    // An entry that cannot be used has its id all the same.
    let is_rejected = |id: &ProfileId| own.rejected().iter().any(|entry| entry.id == id.as_str());
    let another = || {
        let ids = (2..1000).map(|n| ProfileId::new(format!("anthropic:{name}-{n}")));
        ids.into_iter().find(|id| seen.get(id).is_none() && own.get(id).is_none() && !is_rejected(id))
    };
    // An agent with that id of its own would not see main's any more, which it could use until now.
    let others = scene.agents.iter().filter(|other| other.dir != agent.dir).filter_map(AgentScene::profiles);
    let hides = profile.provider.as_str() == "anthropic"
        && agent.dir == scene.layout().main_store_dir()
        && others.into_iter().any(|store| store.get(&target).is_some());
    // The config gives the id to another provider.
    let is_foreign = scene
        .settings()
        .auth_profiles
        .get(target.as_str())
        .is_some_and(|entry| entry.provider.as_str() != "anthropic" && !is_stale_provider(entry.provider.as_str()));
    let taken_by_other = match (own.get(&target), seen.get(&target)) {
        (None, None) if hides || is_foreign => true,
        (None, None) if !is_rejected(&target) => return Fate { target, kept: false },
        (None, None) => true,
        // One that already works as it is must not get lost for another.
        (Some(other), _) => profile.provider.as_str() == "anthropic" && !same_secret(profile, other),
        (None, Some(other)) => !same_secret(profile, other),
    };
    match another().filter(|_| taken_by_other) {
        Some(target) => Fate { target, kept: false },
        None => Fate { target, kept: true },
    }
}

fn same_secret(a: &Profile, b: &Profile) -> bool {
    use auth_core::Credential::OAuth;
    let inline = |material: Option<&Material>| material.and_then(|material| material.inline().cloned());
    match (&a.credential, &b.credential) {
        (OAuth { access, refresh, .. }, OAuth { access: other_access, refresh: other_refresh, .. }) => {
            let same = |a: &Option<auth_core::Secret>, b: &Option<auth_core::Secret>| match (a, b) {
                (Some(a), Some(b)) => a.is_same(b),
                (None, None) => true,
                _ => false,
            };
            same(access, other_access) && same(refresh, other_refresh)
        }
        (a, b) => match (inline(a.material()), inline(b.material())) {
            (Some(a), Some(b)) => a.is_same(&b),
            _ => false,
        },
    }
}

/// The settings that name it.
struct Traces {
    /// Dotted paths of what is removed or renamed.
    paths: Vec<String>,
    /// Account and name of the configured profile.
    email: Option<String>,
    display_name: Option<String>,
}

fn traces(scene: &Scene) -> Traces {
    let root = scene.authored();
    let section = |pointer: &str| root.pointer(pointer).and_then(Value::as_object);
    let provider = |entry: &Value| entry.get("provider").and_then(Value::as_str).is_some_and(is_stale_provider);
    let mut paths = Vec::new();
    let mut first: Option<&Value> = None;
    for (id, entry) in section("/auth/profiles").into_iter().flatten() {
        if id == STALE_ID || provider(entry) {
            paths.push(format!("auth.profiles.{id}"));
            if first.is_none() || id == STALE_ID {
                first = Some(entry);
            }
        }
    }
    for (key, ids) in section("/auth/order").into_iter().flatten() {
        let names = ids.as_array().is_some_and(|ids| ids.iter().any(|id| id.as_str().map(str::trim) == Some(STALE_ID)));
        if names {
            paths.push(format!("auth.order.{key}"));
        }
    }
    let refs = claude_refs::find(root);
    paths.extend(refs.iter().filter(|found| found.rewritable).map(|found| found.path.clone()));
    let text = |name: &str| first.and_then(|entry| entry.get(name)).and_then(Value::as_str).map(str::to_owned);
    Traces { paths, email: text("email"), display_name: text("displayName") }
}

impl Check for ClaudeCli {
    fn codes(&self) -> &'static [&'static str] {
        &[STALE, MODEL_REF, FAILED]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let scene = view.scene;
        let traces = traces(scene);
        let mut found = Vec::new();
        for agent in &scene.agents {
            let Some(profile) = stored(agent) else { continue };
            let fate = fate(scene, agent, profile, traces.email.as_deref());
            let what = if fate.kept {
                let backup = auth_store::backup_name(&agent.store_path(), 0);
                format!(
                    "stored credential goes, because {} holds one that stays; the old bytes will be in {}",
                    fate.target,
                    scene.shorten(&backup)
                )
            } else {
                format!("stored credential can be converted to {}", fate.target)
            };
            let message = format!("Stale Anthropic Claude CLI state: {what}");
            let line = format!(
                "- Stale Anthropic Claude CLI state detected ({STALE_ID}).\n- Stored bytes were found under that id; this way of signing in is no longer supported.\n- {}",
                if fate.kept {
                    format!("{} is there already and stays.", fate.target)
                } else {
                    format!("They can be converted to {}.", fate.target)
                }
            );
            found.push(
                stale(message, line, &traces)
                    .of_agent(&agent.id)
                    .detail("storedBytes", true)
                    .detail("target", fate.target.as_str())
                    .detail("kept", fate.kept),
            );
        }
        if found.is_empty() && !traces.paths.is_empty() {
            let message = "Stale Anthropic Claude CLI state: no stored credential, only the settings can be removed";
            let line = format!(
                "- Stale Anthropic Claude CLI state detected in the config: {}\n- No stored bytes were found under {STALE_ID}; this way of signing in is no longer supported.\n- Only the config can be cleaned up.",
                traces.paths.join(", ")
            );
            found.push(
                stale(message.to_owned(), line, &traces).detail("storedBytes", false).detail("target", Value::Null),
            );
        }
        for left in claude_refs::find(scene.authored()).into_iter().filter(|found| !found.rewritable) {
            let message = format!("{} is set to a model of the Claude CLI and cannot be rewritten", left.path);
            let finding = Finding::new(MODEL_REF, Severity::Warning, TITLE, message).of_provider("anthropic");
            let finding = finding.at(left.path.as_str()).detail("model", left.model.as_str());
            found.push(finding.helped_by(format!("openclaw models set {}", left.suggestion())));
        }
        for finding in found.iter_mut().filter(|finding| finding.code == MODEL_REF) {
            let fix = finding.fix.clone().unwrap_or_default();
            finding.line = Some(format!("- {}. Run: {fix}", finding.message));
        }
        found
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        if !findings.iter().any(|finding| finding.code == STALE && finding.fixable) {
            return Ok(None);
        }
        let scene = view.scene;
        if !scene.config.source.readable {
            let message = "the config cannot be read, so it is not known what names this profile".to_owned();
            return Err(Refusal { code: FAILED, message });
        }
        let traces = traces(scene);
        let (mut changes, mut done, mut converted) = (Vec::new(), Vec::new(), false);
        let mut entry: Option<(ProfileId, Map<String, Value>)> = None;
        let from = ProfileId::new(STALE_ID);
        for agent in &scene.agents {
            let Some((_, mut document)) = agent.document() else { continue };
            let profile = stored(agent);
            let target = profile.map(|profile| (profile, fate(scene, agent, profile, traces.email.as_deref())));
            let mut touched = vec![from.clone()];
            if let Some((profile, fate)) = &target {
                let kind = if fate.kept {
                    document.restore(&from, None);
                    let backup = auth_store::backup_name(&agent.store_path(), 0);
                    done.push(format!(
                        "- {STALE_ID} removed, {} kept; the removed credential is in {}",
                        fate.target,
                        scene.shorten(&backup)
                    ));
                    agent.profiles().and_then(|own| own.get(&fate.target)).map_or(profile.kind(), Profile::kind)
                } else {
                    if !document.move_profile(&from, &fate.target, "anthropic") {
                        let message = format!("{} is taken; rename it, then run openclaw doctor again", fate.target);
                        return Err(Refusal { code: FAILED, message });
                    }
                    converted = true;
                    done.push(format!("- {STALE_ID} → {} ({})", fate.target, profile.kind().as_str()));
                    profile.kind()
                };
                touched.push(fate.target.clone());
                if entry.is_none() {
                    entry = Some((fate.target.clone(), config_entry(profile, kind, &traces)));
                }
            }
            let to = target.as_ref().map(|(_, fate)| &fate.target);
            document.retarget(&Retarget {
                from: &from,
                to,
                from_provider: STALE_PROVIDER,
                to_provider: "anthropic",
                profiles: &ours(agent),
            });
            let touched: Vec<&ProfileId> = touched.iter().collect();
            changes.extend(view.store_change(FAILED, agent, &document, &touched)?);
        }
        let target = entry.as_ref().map(|(id, _)| id.as_str());
        let known: Vec<ProfileId> = scene.agents.iter().flat_map(ours).collect();
        let edits = view.config_change(FAILED, &|root| mend_config(root, entry.as_ref(), &known))?;
        if !edits.is_empty() {
            done.push(match (target, traces.paths.is_empty()) {
                (Some(target), true) => format!("- config: {target} added to auth.profiles"),
                (Some(target), false) => format!("- config: {} → {target}", traces.paths.join(", ")),
                (None, _) => format!("- config: {} cleaned up", traces.paths.join(", ")),
            });
        }
        changes.extend(edits);
        let question = if entry.is_some() {
            "Convert stale Anthropic Claude CLI auth to a profile now?"
        } else {
            "Remove stale Anthropic Claude CLI config now?"
        };
        let mut repair = Repair::new(FAILED, RepairKind::Normal, question).telling(done).changing(changes);
        if !converted {
            repair.afterwards.push(Note {
                title: TITLE,
                lines: vec![
                    "- Next step: openclaw models auth login --provider anthropic --method api-key --set-default"
                        .to_owned(),
                    "- Or: openclaw models auth setup-token --provider anthropic".to_owned(),
                ],
            });
        }
        Ok(Some(repair))
    }
}

fn stale(message: String, line: String, traces: &Traces) -> Finding {
    Finding::new(STALE, Severity::Error, TITLE, message)
        .shown_as(line)
        .of_provider("anthropic")
        .of_profile(STALE_ID)
        .fixable()
        .detail("configPaths", traces.paths.clone())
}

/// The config entry of the profile, with the labels of the config first.
fn config_entry(profile: &Profile, kind: CredentialKind, traces: &Traces) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("provider".to_owned(), Value::from("anthropic"));
    entry.insert("mode".to_owned(), Value::from(kind.as_str()));
    let labels = [
        ("email", traces.email.as_deref().or(profile.email.as_deref())),
        ("displayName", traces.display_name.as_deref().or(profile.display_name.as_deref())),
    ];
    for (name, label) in labels {
        if let Some(label) = label.filter(|label| !label.trim().is_empty()) {
            entry.insert(name.to_owned(), Value::from(label));
        }
    }
    entry
}

/// The Anthropic profiles that an agent sees.
fn ours(agent: &AgentScene) -> Vec<ProfileId> {
    let all = agent.auth.view.profiles.iter();
    all.filter(|profile| profile.provider.as_str() == "anthropic").map(|profile| profile.id.clone()).collect()
}

fn mend_config(root: &mut Value, target: Option<&(ProfileId, Map<String, Value>)>, known: &[ProfileId]) {
    rewrite(root);
    let Some(auth) = root.get_mut("auth").and_then(Value::as_object_mut) else { return };
    let before = auth.clone();
    if let Some(profiles) = auth.get_mut("profiles").and_then(Value::as_object_mut) {
        profiles.retain(|id, entry| {
            let stale = entry.get("provider").and_then(Value::as_str).is_some_and(is_stale_provider);
            id != STALE_ID && !stale
        });
        if let Some((id, entry)) = target {
            profiles.entry(id.as_str()).or_insert_with(|| Value::Object(entry.clone()));
        }
        if profiles.is_empty() {
            auth.shift_remove("profiles");
        }
    }
    if let Some(order) = auth.get_mut("order").and_then(Value::as_object_mut) {
        mend_order(order, target.map(|(id, _)| id.as_str()), known);
        if order.is_empty() {
            auth.shift_remove("order");
        }
    }
    if auth.is_empty()
        && !before.is_empty()
        && let Some(root) = root.as_object_mut()
    {
        root.shift_remove("auth");
    }
}

/// The same as for the `order` of a store; untouched when nothing in it is stale.
fn mend_order(order: &mut Map<String, Value>, target: Option<&str>, known: &[ProfileId]) {
    let named = |ids: &Value| {
        ids.as_array().is_some_and(|ids| ids.iter().any(|id| id.as_str().map(str::trim) == Some(STALE_ID)))
    };
    if !order.iter().any(|(key, ids)| is_stale_provider(key) || named(ids)) {
        return;
    }
    let mut mended: Map<String, Value> = Map::new();
    for (key, ids) in &*order {
        let name = if is_stale_provider(key) { "anthropic" } else { key };
        let Some(ids) = ids.as_array() else {
            mended.insert(name.to_owned(), ids.clone());
            continue;
        };
        let fits = |id: &str| (id == STALE_ID && target.is_some()) || known.iter().any(|known| known.as_str() == id);
        if name != key && !ids.iter().filter_map(Value::as_str).any(|id| fits(id.trim())) {
            continue;
        }
        let list = mended.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        let Some(list) = list.as_array_mut() else { continue };
        for id in ids.iter().filter_map(Value::as_str).map(str::trim).filter(|id| !id.is_empty()) {
            let id = if id == STALE_ID { target } else { Some(id) };
            if let Some(id) = id.filter(|id| !list.iter().any(|known| known.as_str() == Some(*id))) {
                list.push(Value::from(id));
            }
        }
    }
    mended.retain(|_, ids| ids.as_array().is_none_or(|ids| !ids.is_empty()));
    *order = mended;
}
