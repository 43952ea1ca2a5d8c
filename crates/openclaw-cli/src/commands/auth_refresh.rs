//! `models auth refresh` (spec 04 sections 1.8 and 7).

use auth_core::{CredentialKind, ProfileId};
use auth_oauth::{Need, RefreshMemory, Refresher, Subject};
use serde_json::{Map, Value, json};

use super::Session;
use super::change::Changing;
use super::online::{Online, oauth_failure};
use crate::args::Refresh;
use crate::failure::Failure;
use crate::output::{Page, plain, remark};

/// What came of one profile.
struct Done {
    id: ProfileId,
    provider: String,
    kind: CredentialKind,
    expires: Option<f64>,
    failure: Option<Failure>,
}

pub(crate) fn run(session: &Session, args: &Refresh, agent: Option<&str>) -> Result<u8, Failure> {
    let changing = Changing::open(session, &args.change, agent, "models auth refresh")?;
    let mut ids: Vec<ProfileId> = Vec::new();
    for id in args.ids.iter().map(|id| ProfileId::new(id.trim())) {
        changing.own_profile(&id)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let needs_network = !args.change.dry_run && ids.iter().any(|id| kind_of(&changing, id) == CredentialKind::OAuth);
    let online = needs_network.then(|| Online::open(session)).transpose()?;
    let net = online.as_ref().map(Online::for_refresh);
    let memory = RefreshMemory::default();
    let mut done = Vec::new();
    let mut left: Vec<ProfileId> = Vec::new();
    let mut interrupted = None;
    for id in ids {
        if interrupted.is_some() {
            left.push(id);
            continue;
        }
        let mut result = outcome(&changing, id);
        if let (Some(online), Some(net), None) = (&online, &net, &result.failure) {
            let refresher = Refresher {
                layout: &session.state.layout,
                config: &session.state.config,
                host: &session.host,
                settings: online.settings(session),
                net,
                memory: &memory,
            };
            let subject = Subject { agent: &changing.agent, dir: &changing.auth.dir, id: &result.id };
            match refresher.access(subject, &Need::Newer) {
                Ok(access) => result.expires = access.expires_ms,
                Err(error) => result.failure = Some(oauth_failure(&error, None)),
            }
            interrupted = net.settled();
        }
        done.push(result);
    }
    report(&changing, &done, args.change.dry_run)?;
    if !left.is_empty() {
        let left: Vec<&str> = left.iter().map(ProfileId::as_str).collect();
        remark(&format!("Not refreshed, because the command was ended: {}", left.join(", ")));
    }
    match interrupted {
        Some(code) => Ok(code),
        None => Ok(u8::from(done.iter().any(|done| done.failure.is_some()))),
    }
}

fn kind_of(changing: &Changing<'_>, id: &ProfileId) -> CredentialKind {
    changing.auth.view.profiles.get(id).map_or(CredentialKind::ApiKey, auth_core::Profile::kind)
}

/// A profile before it is refreshed; one that is no login has failed already.
fn outcome(changing: &Changing<'_>, id: ProfileId) -> Done {
    let kind = kind_of(changing, &id);
    let profile = changing.auth.view.profiles.get(&id);
    let provider = profile.map(|profile| profile.provider.to_string()).unwrap_or_default();
    let expires =
        profile.and_then(|profile| auth_core::profile_health(profile, changing.session.state.now()).ends_at_ms);
    let failure = (kind != CredentialKind::OAuth).then(|| {
        let renew = crate::render::advice::renew_profile(kind, &provider, id.as_str());
        Failure::with_fix(
            format!("Auth profile \"{id}\" is no login ({}), so there is nothing to refresh.", kind.as_str()),
            renew,
        )
    });
    Done { id, provider, kind, expires, failure }
}

fn report(changing: &Changing<'_>, done: &[Done], dry_run: bool) -> Result<(), Failure> {
    for failure in done.iter().filter_map(|done| done.failure.as_ref()) {
        remark(&failure.message);
    }
    let worked = || done.iter().filter(|done| done.failure.is_none());
    if changing.json() {
        let profiles: Vec<Value> = done
            .iter()
            .map(|done| {
                let mut entry = Map::new();
                entry.insert("profileId".to_owned(), Value::from(done.id.as_str()));
                entry.insert("provider".to_owned(), Value::from(done.provider.as_str()));
                entry.insert("mode".to_owned(), Value::from(done.kind.as_str()));
                if let Some(expires) = done.expires {
                    entry.insert(
                        "expires".to_owned(),
                        serde_json::to_value(crate::render::Ms(expires)).unwrap_or_default(),
                    );
                }
                entry.insert("refreshed".to_owned(), Value::from(done.failure.is_none() && !dry_run));
                if let Some(failure) = &done.failure {
                    entry.insert("error".to_owned(), Value::from(failure.message.trim_start_matches("Error: ")));
                }
                Value::Object(entry)
            })
            .collect();
        let failed = done.iter().any(|done| done.failure.is_some());
        return changing.print_head(json!({ "ok": !failed, "profiles": profiles }));
    }
    let mut page = Page::for_stdout(changing.session.no_color);
    if dry_run {
        page.line(2, &[plain("Dry run: nothing was asked or written.")]);
    }
    for done in worked() {
        let verb = if dry_run { "Would refresh" } else { "Refreshed" };
        let ends = done.expires.filter(|_| !dry_run).map(|ends| {
            let left = ends - changing.session.state.now().as_f64();
            format!("; the new token holds for {}", auth_core::WordyDuration(left))
        });
        page.line(2, &[plain(format!("{verb} {}{}", done.id, ends.unwrap_or_default()))]);
    }
    page.print()
}
