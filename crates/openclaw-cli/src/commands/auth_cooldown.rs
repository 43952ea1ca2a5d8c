//! `models auth clear-cooldown` (spec 04 section 1.8).

use auth_core::{Owner, ProfileId};
use serde_json::{Map, Value, json};

use super::Session;
use super::change::Changing;
use crate::args::ClearCooldown;
use crate::failure::Failure;
use crate::output::{Page, plain};
use crate::render::Ms;

pub(crate) fn clear(session: &Session, args: &ClearCooldown, agent: Option<&str>) -> Result<u8, Failure> {
    if args.ids.is_empty() && !args.all {
        return Err(Failure::with_fix("name the profiles, or --all", "openclaw models auth clear-cooldown --help"));
    }
    let changing = Changing::open(session, &args.change, agent, "models auth clear-cooldown")?;
    let ids: Vec<ProfileId> = if args.all {
        let own = changing.auth.view.profiles.iter().filter(|profile| profile.owner == Owner::Agent);
        own.map(|profile| profile.id.clone()).collect()
    } else {
        args.ids.iter().map(|id| ProfileId::new(id.trim())).collect()
    };
    for id in &ids {
        changing.own_profile(id)?;
    }
    let mut cleared: Vec<(ProfileId, Map<String, Value>)> = Vec::new();
    changing.change_store(&[], |open| {
        for id in &ids {
            let mut gone = Map::new();
            if let Some(stats) = open.store.usage(id) {
                let times = [("cooldownUntil", stats.cooldown_until_ms), ("disabledUntil", stats.disabled_until_ms)];
                for (name, ms) in times.into_iter().filter_map(|(name, ms)| Some((name, ms?))) {
                    gone.insert(name.to_owned(), serde_json::to_value(Ms(ms)).unwrap_or_default());
                }
                if let Some(reason) = &stats.disabled_reason {
                    gone.insert("disabledReason".to_owned(), Value::from(reason.as_str()));
                }
                open.document.set_usage(id, &stats.after_clearing());
            }
            if !args.all || !gone.is_empty() {
                cleared.push((id.clone(), gone));
            }
        }
        Ok(())
    })?;
    if changing.json() {
        let entry = |(id, gone): &(ProfileId, Map<String, Value>)| json!({ "profileId": id.as_str(), "cleared": gone });
        let profiles: Vec<Value> = cleared.iter().map(entry).collect();
        changing.print_head(json!({ "profiles": profiles }))?;
        return Ok(0);
    }
    let mut page = Page::for_stdout(session.no_color);
    if args.change.dry_run {
        page.line(0, &[plain("Dry run: nothing was written.")]);
    }
    for (id, gone) in &cleared {
        let what = if gone.is_empty() { "had no cooldown" } else { "is free again" };
        page.line(2, &[plain(format!("{id} {what}"))]);
    }
    if cleared.is_empty() {
        page.line(2, &[plain(format!("No profile of agent {} is in cooldown.", changing.agent))]);
    }
    page.print()?;
    Ok(0)
}
