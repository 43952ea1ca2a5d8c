//! Config entries of logins under an id that the store does not use any more (spec 06 section 7.2).

use auth_core::{AuthProfiles, CredentialKind, Profile, ProfileId, ProviderId};
use serde_json::{Map, Value};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::repair::{Refusal, Repair};
use crate::request::RepairKind;
use crate::scene::Scene;

const LEGACY: &str = "auth.oauth_id.legacy";
const AMBIGUOUS: &str = "auth.oauth_id.ambiguous";
const TITLE: &str = "Auth profiles";

/// Renames the entry to the id of the stored login. Credentials do not change.
pub(super) struct OAuthId;

/// One entry that is to be renamed.
struct Rename {
    provider: ProviderId,
    from: String,
    to: String,
    email: Option<String>,
    display_name: Option<String>,
}

enum Choice {
    Nothing,
    Rename(Box<Rename>),
    Ambiguous(ProviderId, Vec<String>),
}

impl Check for OAuthId {
    fn codes(&self) -> &'static [&'static str] {
        &[LEGACY, AMBIGUOUS]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let found = choices(view.scene).into_iter().filter_map(|choice| match choice {
            Choice::Nothing => None,
            Choice::Rename(rename) => {
                let line = format!("Auth: migrate {} → {} (OAuth profile id)", rename.from, rename.to);
                let finding = Finding::new(LEGACY, Severity::Warning, TITLE, line);
                let finding = finding.of_provider(rename.provider.as_str()).of_profile(&rename.from);
                Some(finding.at(format!("auth.profiles.{}", rename.from)).fixable().detail("target", rename.to))
            }
            Choice::Ambiguous(provider, ids) => {
                let legacy = format!("{provider}:default");
                let fix = format!("openclaw models auth order set --provider {provider} {}", ids.join(" "));
                let message = format!(
                    "{legacy} is configured as a login, but several logins are stored: {}. Choose: {fix}",
                    ids.join(", ")
                );
                let finding = Finding::new(AMBIGUOUS, Severity::Warning, TITLE, message);
                let finding = finding.of_provider(provider.as_str()).of_profile(legacy).helped_by(fix);
                Some(finding.detail("candidates", ids))
            }
        });
        found.collect()
    }

    fn plan(&self, view: &View<'_>, findings: &[Finding]) -> Result<Option<Repair>, Refusal> {
        let renames: Vec<Rename> = choices(view.scene)
            .into_iter()
            .filter_map(|choice| if let Choice::Rename(rename) = choice { Some(*rename) } else { None })
            .filter(|rename| findings.iter().any(|finding| finding.profile.as_deref() == Some(&rename.from)))
            .collect();
        if renames.is_empty() {
            return Ok(None);
        }
        let changes = view.config_change(LEGACY, &|root| renames.iter().for_each(|rename| apply(root, rename)))?;
        let done = renames.iter().map(|rename| format!("- config: {} → {}", rename.from, rename.to));
        let whose = match renames.as_slice() {
            [one] if one.provider.as_str() == "anthropic" => "Anthropic ".to_owned(),
            [one] => format!("{} ", one.provider),
            _ => String::new(),
        };
        let question = format!("Update {whose}OAuth profile id in config now?");
        Ok(Some(Repair::new(LEGACY, RepairKind::Normal, question).telling(done).changing(changes)))
    }
}

/// The login that the config's old id of a provider stands for, when it is another one.
pub(super) fn oauth_suggestion(scene: &Scene, provider: &ProviderId, legacy: &ProfileId) -> Option<String> {
    choices(scene).into_iter().find_map(|choice| match choice {
        Choice::Rename(rename) if rename.provider == *provider && rename.from == legacy.as_str() => Some(rename.to),
        _ => None,
    })
}

/// What is to be done for each provider that has such an entry.
fn choices(scene: &Scene) -> Vec<Choice> {
    let entries = scene.settings().auth_profiles.values();
    let legacy = entries.filter(|entry| {
        let prefix = entry.id.as_str().strip_suffix(":default");
        entry.mode == CredentialKind::OAuth && prefix.is_some_and(|id| ProviderId::normalise(id) == entry.provider)
    });
    legacy
        .map(|entry| {
            // The main agent's store decides; another's only when it has no login of the provider.
            let main = scene.agents.iter().filter(|agent| agent.dir == scene.layout().main_store_dir());
            let all = main.chain(&scene.agents).filter_map(|agent| agent.profiles());
            let has_login = |store: &&AuthProfiles| logins(store, &entry.provider).next().is_some();
            let Some(store) = all.into_iter().find(has_login) else { return Choice::Nothing };
            match choose(scene, &entry.provider, &entry.id, entry.email.as_deref(), store) {
                Choice::Rename(rename) if !suits_everybody(scene, &rename) => Choice::Nothing,
                choice => choice,
            }
        })
        .collect()
}

/// Whether no agent loses by it: nobody has another credential under the new id, and whoever has a login under the old
/// one has the new one too.
fn suits_everybody(scene: &Scene, rename: &Rename) -> bool {
    let (from, to) = (ProfileId::new(rename.from.as_str()), ProfileId::new(rename.to.as_str()));
    scene.agents.iter().all(|agent| {
        let seen = &agent.auth.view.profiles;
        let is_login = |id: &ProfileId| {
            seen.get(id).map(|profile| profile.kind() == CredentialKind::OAuth && profile.provider == rename.provider)
        };
        match (is_login(&from), is_login(&to)) {
            (_, Some(fits)) => fits,
            (from, None) => from != Some(true),
        }
    })
}

fn logins<'a>(store: &'a AuthProfiles, provider: &ProviderId) -> impl Iterator<Item = &'a Profile> {
    store.iter().filter(move |profile| profile.kind() == CredentialKind::OAuth && profile.provider == *provider)
}

fn choose(
    scene: &Scene,
    provider: &ProviderId,
    legacy: &ProfileId,
    email: Option<&str>,
    store: &AuthProfiles,
) -> Choice {
    let all: Vec<&Profile> = logins(store, provider).collect();
    let others: Vec<&&Profile> = all.iter().filter(|profile| profile.id != *legacy).collect();
    let is_named = |profile: &&&Profile| {
        let email = email.unwrap_or_default();
        let configured =
            scene.settings().auth_profiles.get(profile.id.as_str()).and_then(|entry| entry.email.as_deref());
        configured.or(profile.email.as_deref()) == Some(email) || profile.id.as_str() == format!("{provider}:{email}")
    };
    let by_email = email.and_then(|_| all.iter().find(is_named).copied());
    let by_last = store.last_good(provider).and_then(|id| all.iter().find(|profile| profile.id == *id).copied());
    let by_suffix = || {
        let mailish = |profile: &&&&Profile| {
            let suffix = profile.id.as_str().split_once(':').map_or("", |(_, suffix)| suffix);
            suffix.contains('@') && suffix.contains('.')
        };
        alone(&others.iter().filter(mailish).copied().collect::<Vec<_>>())
    };
    match by_email.or(by_last).or_else(|| alone(&others)).or_else(by_suffix) {
        Some(target) if target.id == *legacy => Choice::Nothing,
        Some(target) => Choice::Rename(Box::new(Rename {
            provider: provider.clone(),
            from: legacy.to_string(),
            to: target.id.to_string(),
            email: target.email.clone(),
            display_name: target.display_name.clone(),
        })),
        // One login under the old id is what the entry means.
        None if others.is_empty() => Choice::Nothing,
        None => Choice::Ambiguous(provider.clone(), others.iter().map(|profile| profile.id.to_string()).collect()),
    }
}

/// The only one.
fn alone<'a>(found: &[&&'a Profile]) -> Option<&'a Profile> {
    if let [one] = found { Some(**one) } else { None }
}

fn apply(root: &mut Value, rename: &Rename) {
    if let Some(profiles) = root.pointer_mut("/auth/profiles").and_then(Value::as_object_mut)
        && let Some(mut entry) = profiles.shift_remove(&rename.from)
    {
        if let Some(entry) = entry.as_object_mut() {
            for (name, label) in [("email", &rename.email), ("displayName", &rename.display_name)] {
                match label {
                    Some(label) => drop(entry.insert(name.to_owned(), Value::from(label.as_str()))),
                    None => drop(entry.shift_remove(name)),
                }
            }
        }
        // One that is there already stays.
        profiles.entry(rename.to.as_str()).or_insert(entry);
    }
    let Some(order) = root.pointer_mut("/auth/order").and_then(Value::as_object_mut) else { return };
    for (key, ids) in order {
        let Some(list) = ids.as_array_mut().filter(|_| ProviderId::normalise(key) == rename.provider) else { continue };
        if !list.iter().any(|id| id.as_str().map(str::trim) == Some(&rename.from)) {
            continue;
        }
        let mut seen: Map<String, Value> = Map::new();
        for id in list.iter().filter_map(Value::as_str).map(str::trim) {
            let id = if id == rename.from { rename.to.as_str() } else { id };
            seen.entry(id).or_insert_with(|| Value::from(id));
        }
        *list = seen.into_values().collect();
    }
}
