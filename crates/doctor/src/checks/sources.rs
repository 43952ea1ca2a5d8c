//! Credentials that are not the ones somebody thinks they are: two sources that differ, keys that a service does not
//! see, profiles that nothing reaches.

use auth_core::secrets::is_credential_variable;
use auth_core::status::ModelsInUse;
use auth_core::{CandidateSource, EnvOrigin, ProviderId, explain, is_refused_in_workspace, parse_dotenv};

use crate::check::{Check, View};
use crate::finding::{Finding, Severity};
use crate::scene::AgentScene;

const CONFLICT: &str = "auth.source.conflict";
const SERVICE: &str = "auth.env.service";
const REFUSED: &str = "auth.env.refused";
const UNREACHED: &str = "auth.profile.unreached";
const TITLE: &str = "Auth hints";
/// The largest `.env` file that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Hints, all of them for information.
pub(super) struct Sources;

impl Check for Sources {
    fn codes(&self) -> &'static [&'static str] {
        &[CONFLICT, SERVICE, REFUSED, UNREACHED]
    }

    fn detect(&self, view: &View<'_>) -> Vec<Finding> {
        let mut found = refused(view);
        for agent in &view.scene.agents {
            let models = ModelsInUse::of(view.scene.settings(), Some(&agent.id));
            let mut providers: Vec<ProviderId> = models
                .roles(view.scene.settings())
                .into_iter()
                .filter(|(role, _)| models.configured || role != "default model")
                .map(|(_, model)| model.provider_id())
                .chain(agent.auth.view.profiles.providers().cloned())
                .collect();
            providers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            providers.dedup();
            for provider in &providers {
                found.extend(of_provider(view, agent, provider));
            }
        }
        found
    }
}

fn hint(code: &'static str, message: String, agent: &AgentScene, provider: &ProviderId) -> Finding {
    let finding = Finding::new(code, Severity::Info, TITLE, message);
    finding.of_agent(&agent.id).of_provider(provider.as_str())
}

fn of_provider(view: &View<'_>, agent: &AgentScene, provider: &ProviderId) -> Vec<Finding> {
    let scene = view.scene;
    let explanation = explain(&agent.situation(scene), provider, None);
    let why = format!("openclaw models auth why {provider} --agent {}", agent.id);
    let mut found = Vec::new();
    for conflict in &explanation.conflicts {
        let ((used, shown), (unused, other)) = (&conflict.used, &conflict.unused);
        let message = format!("{provider}: {used} ({shown}) is used, but {unused} holds another secret ({other})");
        let finding = hint(CONFLICT, message.clone(), agent, provider).helped_by(why.clone());
        found.push(
            finding.shown_as(format!("- {message}")).detail("used", used.as_str()).detail("unused", unused.as_str()),
        );
    }
    if let Some(next) = explanation.next()
        && let CandidateSource::Variable { name, origin: Some(origin) } = &next.source
        && let Some(place) = seen_only_here(view, origin)
    {
        let env = scene.shorten(&scene.layout().state_dir().join(".env"));
        let message = format!(
            "{provider}: {name} comes from {place}; a gateway that runs as a service does not see it. Put it into {env}"
        );
        let finding = hint(SERVICE, message.clone(), agent, provider).at(name.as_str());
        found.push(finding.helped_by(format!("put {name} into {env}")).detail("place", place));
    }
    let own = agent.profiles();
    for left in explanation.order.passed_over.iter().filter(|entry| entry.left_out) {
        if own.is_some_and(|own| own.get(&left.id).is_some()) {
            let message = format!("{} is never tried: the order in force does not name it", left.id);
            let finding = hint(UNREACHED, message, agent, provider).of_profile(left.id.as_str());
            found.push(finding.helped_by(why.clone()));
        }
    }
    found
}

/// Where a variable comes from that only this shell or this directory has.
fn seen_only_here(view: &View<'_>, origin: &EnvOrigin) -> Option<String> {
    let workspace = view.scene.layout().user_path(".").join(".env");
    match origin {
        EnvOrigin::Process => Some("this shell".to_owned()),
        EnvOrigin::File { path, .. } if *path == view.scene.shorten(&workspace) => {
            let state = view.scene.layout().state_dir().join(".env");
            (workspace != state).then(|| path.clone())
        }
        EnvOrigin::File { .. } | EnvOrigin::Config { .. } | EnvOrigin::Shell => None,
    }
}

/// Keys in the `.env` of the current directory that are not taken from there.
fn refused(view: &View<'_>) -> Vec<Finding> {
    let scene = view.scene;
    let (workspace, state) = (scene.layout().user_path(".").join(".env"), scene.layout().state_dir().join(".env"));
    if workspace == state {
        return Vec::new();
    }
    let Ok(bytes) = view.host.read(&workspace, MAX_BYTES) else { return Vec::new() };
    let entries = parse_dotenv(&String::from_utf8_lossy(&bytes));
    let lost =
        entries.into_iter().filter(|entry| is_credential_variable(&entry.name) && is_refused_in_workspace(&entry.name));
    lost.map(|entry| {
        let (here, there) = (scene.shorten(&workspace), scene.shorten(&state));
        let message =
            format!("{} in {here}, line {}, is not read from there. Put it into {there}", entry.name, entry.line);
        let finding = Finding::new(REFUSED, Severity::Info, TITLE, message.clone()).at(workspace.display().to_string());
        let finding = finding.shown_as(format!("- {message}")).detail("variable", entry.name.as_str());
        finding.detail("line", entry.line).helped_by(format!("put {} into {there}", entry.name))
    })
    .collect()
}
