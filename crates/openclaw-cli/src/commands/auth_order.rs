//! `models auth order get|set|clear` (spec 01 section 8).

use auth_core::{ProfileId, ProviderId};
use serde_json::json;

use super::Session;
use super::change::{Changing, provider_of};
use super::status::store_remarks;
use crate::args::{OrderClear, OrderGet, OrderSet};
use crate::failure::Failure;
use crate::output::{Page, plain, print_json};

pub(crate) fn get(session: &Session, args: &OrderGet, agent: Option<&str>) -> Result<u8, Failure> {
    let provider = provider_of(&args.provider)?;
    let layout = &session.state.layout;
    let auth = session.state.agent_auth(agent, &session.host)?;
    store_remarks(session, &auth);
    let order = auth.view.profiles.order_of(&provider);
    let ids: Option<Vec<&str>> = order.map(|ids| ids.iter().map(ProfileId::as_str).collect());
    let agent_id = auth.agent.as_ref().map_or("main", auth_core::AgentId::as_str);
    let store = layout.shorten(&auth.store_path());
    if args.json {
        print_json(&json!({
            "agentId": agent_id,
            "agentDir": auth.dir.display().to_string(),
            "provider": provider.as_str(),
            "authStorePath": store,
            "order": ids,
        }))?;
        return Ok(0);
    }
    let mut page = Page::for_stdout(session.no_color);
    page.line(2, &[plain(format!("Agent: {agent_id}"))]);
    page.line(2, &[plain(format!("Provider: {provider}"))]);
    page.line(2, &[plain(format!("Auth file: {store}"))]);
    let shown = ids.map_or_else(|| "(none)".to_owned(), |ids| ids.join(", "));
    page.line(2, &[plain(format!("Order override: {shown}"))]);
    page.print()?;
    Ok(0)
}

pub(crate) fn set(session: &Session, args: &OrderSet, agent: Option<&str>) -> Result<u8, Failure> {
    let provider = provider_of(&args.provider)?;
    let changing = Changing::open(session, &args.change, agent, "models auth order set")?;
    let mut ids: Vec<ProfileId> = Vec::new();
    for id in args.ids.iter().map(|id| id.trim()).filter(|id| !id.is_empty()) {
        let id = ProfileId::new(id);
        let Some(profile) = changing.auth.view.profiles.get(&id) else {
            return Err(changing.not_found(&id));
        };
        if profile.provider != provider {
            let stored = &profile.provider_as_stored;
            return Err(Failure::new(format!("Auth profile \"{id}\" is for {stored}, not {provider}.")));
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        return Err(Failure::new("Missing profile ids. Provide one or more profile ids."));
    }
    let done = changing.change_store(&[], |open| {
        open.document.set_order(&provider, Some(&ids));
        Ok(())
    })?;
    let names: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
    if changing.json() {
        changing.print_head(json!({ "provider": provider.as_str(), "order": names, "changed": done.changed }))?;
        return Ok(0);
    }
    report(&changing, args.change.dry_run, &provider, &format!("Order override: {}", names.join(", ")))
}

pub(crate) fn clear(session: &Session, args: &OrderClear, agent: Option<&str>) -> Result<u8, Failure> {
    let provider = provider_of(&args.provider)?;
    let changing = Changing::open(session, &args.change, agent, "models auth order clear")?;
    let done = changing.change_store(&[], |open| {
        open.document.set_order(&provider, None);
        Ok(())
    })?;
    if changing.json() {
        changing.print_head(json!({ "provider": provider.as_str(), "order": null, "changed": done.changed }))?;
        return Ok(0);
    }
    let code = report(&changing, args.change.dry_run, &provider, "Cleared per-agent order override.")?;
    // Without an order of its own the agent follows main's.
    let after = session.state.agent_auth(agent, &session.host)?;
    if let Some(ids) = after.view.profiles.order_of(&provider).filter(|_| !args.change.dry_run) {
        let names: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
        session.warn(&format!("Note: the order of agent main is in force now: {}", names.join(", ")));
    }
    Ok(code)
}

fn report(changing: &Changing<'_>, dry_run: bool, provider: &ProviderId, result: &str) -> Result<u8, Failure> {
    let mut page = Page::for_stdout(changing.session.no_color);
    if dry_run {
        page.line(2, &[plain("Dry run: nothing was written.")]);
    }
    page.line(2, &[plain(format!("Agent: {}", changing.agent))]);
    page.line(2, &[plain(format!("Provider: {provider}"))]);
    page.line(2, &[plain(result)]);
    page.print()?;
    Ok(0)
}
