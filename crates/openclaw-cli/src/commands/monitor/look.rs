//! Looking at every agent (spec 06 sections 7.4, 7.5 and 14.2).

use auth_core::config::AgentId;
use auth_core::monitor::{Answer, Level, Memory, Pass, Standing, Status, Survey, masked_account, survey};
use auth_core::{Owner, Profile, ProfileId, ProviderId};
use auth_store::AgentAuth;

use super::settings::Settings;
use crate::commands::Session;
use crate::commands::probe::{self, Settings as ProbeSettings};
use crate::failure::Failure;
use crate::render::advice;

/// What was found, and of which agents not everything could be read.
#[derive(Default)]
pub(super) struct Found {
    pub(super) pass: Pass,
    /// Every agent that was looked at.
    pub(super) agents: Vec<AgentId>,
    /// Those whose view has a hole.
    pub(super) partly: Vec<AgentId>,
    /// What could not be read or asked, for people.
    pub(super) troubles: Vec<String>,
    /// Whether the user ended the probe.
    pub(super) cancelled: bool,
}

/// Looks at every watched agent, from the disk alone.
pub(super) fn look(session: &Session, settings: &Settings, memory: &Memory) -> Found {
    let mut found = Found { agents: watched(session, settings), ..Found::default() };
    for agent in found.agents.clone() {
        let auth = session.state.auth_of_any(&agent, &session.host);
        let own = auth.store_path();
        let main_is_watched = found.agents.contains(&AgentId::main());
        let mut unreadable = false;
        for error in &auth.view.errors {
            let reported_elsewhere = error.path != own && agent != AgentId::main() && main_is_watched;
            unreadable |= !reported_elsewhere;
            if !reported_elsewhere {
                let shown = session.state.layout.shorten(&error.path);
                found.troubles.push(format!("{shown} {}; it is left as it is. Run: openclaw doctor", error.message));
            }
        }
        if !auth.view.errors.is_empty() {
            found.partly.push(agent.clone());
        }
        let pass = of_agent(session, settings, memory, &auth, &agent, main_is_watched, unreadable);
        found.pass.add(pass);
    }
    found
}

fn watched(session: &Session, settings: &Settings) -> Vec<AgentId> {
    if settings.agents.is_empty() { session.state.every_agent(&session.host) } else { settings.agents.clone() }
}

fn of_agent(
    session: &Session,
    settings: &Settings,
    memory: &Memory,
    auth: &AgentAuth,
    agent: &AgentId,
    main_is_watched: bool,
    store_unreadable: bool,
) -> Pass {
    let of_provider =
        |provider: &ProviderId| settings.providers.is_empty() || settings.providers.contains(&provider.auth_key());
    let is_main = *agent == AgentId::main();
    let watched = Survey {
        agent,
        situation: session.state.situation(auth),
        store_unreadable,
        configured: session.state.config.known_agents().contains(agent),
        // What is main's is told of once, with main.
        includes: &|profile: &Profile| profile.owner == Owner::Agent || is_main || !main_is_watched,
        of_provider: &of_provider,
        warn_ms: settings.warn_ms,
        memory,
    };
    survey(&watched, &|profile, standing| fix(profile, standing, settings.full_ids))
}

/// The command that helps a profile.
fn fix(profile: &Profile, standing: &Standing, full_ids: bool) -> Option<String> {
    let id = profile.id.as_str();
    let renew = advice::renew(&standing.health);
    let command = match standing.status {
        Status::Ok | Status::Static if standing.level == Level::Fine => return None,
        Status::Cooldown => return None,
        Status::Disabled if standing.reason.as_deref() == Some("billing") => advice::clear_cooldown(id),
        _ => renew,
    };
    Some(without_account(command, full_ids))
}

/// The command, or where it stands in full when it names an account that is not to leave this machine.
fn without_account(command: String, full_ids: bool) -> String {
    if !full_ids && masked_account(&command) != command { "openclaw models status".to_owned() } else { command }
}

/// Asks the providers about everything that was found, looks again, because asking may have renewed a login, and lays
/// what they said over it.
pub(super) fn ask(session: &Session, settings: &Settings, memory: &Memory, found: &Found) -> Result<Found, Failure> {
    let mut answers: Vec<Answer> = Vec::new();
    let mut cancelled = false;
    for agent in &found.agents {
        let ids = of_agent_ids(&found.pass, agent);
        if ids.is_empty() || cancelled {
            continue;
        }
        let auth = session.state.auth_of_any(agent, &session.host);
        let probed = probe::probe(session, &auth, Some(agent), &ProbeSettings::of_profiles(ids))?;
        cancelled |= probed.cancelled;
        let answer = |(id, failure): (&ProfileId, _)| Answer { agent: agent.to_string(), id: id.to_string(), failure };
        answers.extend(probed.verdicts().map(answer));
    }
    let mut found = look(session, settings, memory);
    found.cancelled = cancelled;
    found.pass.lay_over(&answers);
    for item in &mut found.pass.items {
        if item.level == Level::Fine || item.fix.is_some() {
            continue;
        }
        if let (Some(kind), Some(id)) = (item.kind(), item.profile_id()) {
            let command = advice::renew_profile(kind, &item.provider, id);
            item.fix = Some(without_account(command, settings.full_ids));
        }
    }
    Ok(found)
}

fn of_agent_ids(pass: &Pass, agent: &AgentId) -> Vec<String> {
    let own = pass.items.iter().filter(|item| item.agent == agent.as_str());
    own.filter_map(|item| item.profile_id().map(str::to_owned)).collect()
}
