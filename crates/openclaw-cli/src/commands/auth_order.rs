//! `models auth order get` (spec 01 section 8.1).

use auth_core::{ProfileId, ProviderId};
use serde_json::json;

use super::Session;
use super::status::store_remarks;
use crate::args::OrderGet;
use crate::failure::Failure;
use crate::output::{Page, plain, print_json};

pub(crate) fn get(session: &Session, args: &OrderGet, agent: Option<&str>) -> Result<u8, Failure> {
    if args.provider.trim().is_empty() {
        return Err(Failure::new("Missing --provider."));
    }
    let layout = &session.state.layout;
    let auth = session.state.agent_auth(agent, &session.host)?;
    store_remarks(session, &auth);
    let provider = ProviderId::normalise(&args.provider);
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
