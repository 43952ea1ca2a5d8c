//! `models auth remove`, alias `logout` (spec 04 section 1.8).

use auth_core::config::edit::forget_profile;
use auth_core::{AgentId, ProfileId};
use serde_json::{Value, json};

use super::Session;
use super::change::Changing;
use crate::args::Remove;
use crate::failure::Failure;
use crate::output::{Page, plain};
use crate::prompt;

pub(crate) fn remove(session: &Session, args: &Remove, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth remove")?;
    let mut ids: Vec<ProfileId> = Vec::new();
    for id in args.ids.iter().map(|id| ProfileId::new(id.as_str())) {
        changing.own_profile(&id)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let names: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
    if !args.yes && !args.change.dry_run {
        if !prompt::is_interactive() {
            return Err(Failure::with_fix(
                "removing a credential needs --yes without a terminal",
                "the same command with --yes",
            ));
        }
        let question = format!("Remove {} from {}?", names.join(", "), changing.store_path());
        if !prompt::confirm(&question, false)? {
            return Ok(0);
        }
    }
    // The config entry stays while another agent still has the profile.
    let shared: Vec<&ProfileId> = ids.iter().filter(|id| held_elsewhere(session, &changing.agent, id)).collect();
    let forget = |root: &mut Value| {
        for id in ids.iter().filter(|id| !shared.contains(id)) {
            forget_profile(root, id);
        }
        Ok(())
    };
    let touched: Vec<&ProfileId> = ids.iter().collect();
    changing.change_store(&touched, |open| {
        for id in &ids {
            open.document.remove_profile(id);
        }
        Ok(())
    })?;
    let config = changing.change_config(&forget)?;
    if changing.json() {
        let profiles: Vec<Value> = names.iter().map(|id| json!({ "profileId": id, "removed": true })).collect();
        changing.print_head(json!({ "profiles": profiles }))?;
        return Ok(0);
    }
    let mut page = Page::for_stdout(session.no_color);
    if args.change.dry_run {
        page.line(0, &[plain("Dry run: nothing was written.")]);
    }
    for id in names {
        page.line(2, &[plain(format!("Removed {id} from {}", changing.store_path()))]);
    }
    if config.changed {
        let layout = &session.state.layout;
        page.line(2, &[plain(format!("Updated {}", layout.shorten(layout.config_path())))]);
    }
    page.print()?;
    Ok(0)
}

/// Whether the own store of another agent has the profile.
fn held_elsewhere(session: &Session, agent: &AgentId, id: &ProfileId) -> bool {
    let others = session.state.config.known_agents().into_iter().filter(|other| other != agent);
    let others = others.chain((*agent != AgentId::main()).then(AgentId::main));
    others.into_iter().any(|other| {
        let auth = session.state.agent_auth(Some(other.as_str()), &session.host);
        auth.is_ok_and(|auth| {
            auth.view.profiles.get(id).is_some_and(|profile| profile.owner == auth_core::Owner::Agent)
        })
    })
}
