//! `models auth list` (spec 04 section 1.8).

use std::collections::HashMap;

use auth_core::status::profile_label;
use auth_core::{
    AuthKey, Eligibility, Owner, Profile, ProfileHealth, ProfileId, ProviderId, RefState, Situation, Timestamp, Window,
    WindowKind, WordyDuration, eligibility, profile_health, resolve_order,
};
use auth_store::AgentAuth;
use serde::Serialize;

use super::Session;
use super::status::store_remarks;
use crate::args::AuthList;
use crate::failure::Failure;
use crate::output::{Look, Page, Part, part, plain, print_json};
use crate::render::choice::{because, file_of, ineligible};
use crate::render::{Ms, advice};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    agent_id: String,
    agent_dir: String,
    profiles: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    profile_id: String,
    provider: String,
    r#type: &'static str,
    owner: String,
    label: String,
    status: &'static str,
    reason_code: Option<&'static str>,
    expires_at: Option<Ms>,
    eligible: bool,
    eligibility: &'static str,
    position: Option<usize>,
    last_used: Option<Ms>,
    /// Where the entry stands: file and line.
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<Unusable>,
    #[serde(skip)]
    health: ProfileHealth,
    /// Why it is not tried although nothing is wrong with itself.
    #[serde(skip)]
    trouble: Option<String>,
}

#[derive(Serialize)]
struct Unusable {
    kind: &'static str,
    reason: Option<String>,
    until: Ms,
    /// The only model that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

pub(crate) fn run(session: &Session, args: &AuthList, agent: Option<&str>) -> Result<u8, Failure> {
    let auth = session.state.agent_auth(agent, &session.host)?;
    store_remarks(session, &auth);
    let situation = session.state.situation(&auth);
    let wanted = args.provider.as_deref().map(AuthKey::normalise);
    let mut orders: HashMap<&ProviderId, HashMap<ProfileId, usize>> = HashMap::new();
    let profiles: Vec<Entry> = auth
        .view
        .profiles
        .iter()
        .filter(|profile| wanted.as_ref().is_none_or(|wanted| profile.auth_key == *wanted))
        .map(|profile| {
            let positions = orders.entry(&profile.provider).or_insert_with(|| {
                let order = resolve_order(situation.config, situation.store, &profile.provider, None, situation.now);
                order.tried.into_iter().enumerate().map(|(at, entry)| (entry.id, at + 1)).collect()
            });
            entry(session, &auth, &situation, profile, positions.get(&profile.id).copied())
        })
        .collect();
    if args.json {
        let agent_id = agent_name(&auth);
        print_json(&Document { agent_id, agent_dir: auth.dir.display().to_string(), profiles })?;
    } else {
        let mut page = Page::for_stdout(session.no_color);
        render(&mut page, session, &auth, &profiles, args.provider.as_deref());
        page.print()?;
    }
    // What cannot be read is unknown, and unknown is no success.
    Ok(u8::from(profiles_unknown(&auth)))
}

fn profiles_unknown(auth: &AgentAuth) -> bool {
    !auth.view.errors.is_empty()
}

fn agent_name(auth: &AgentAuth) -> String {
    auth.agent.as_ref().map_or_else(|| "main".to_owned(), ToString::to_string)
}

fn entry(
    session: &Session,
    auth: &AgentAuth,
    situation: &Situation<'_>,
    profile: &Profile,
    position: Option<usize>,
) -> Entry {
    let health = profile_health(profile, situation.now);
    let verdict = eligibility(situation.config, situation.store, &profile.provider, &profile.id, situation.now);
    let stats = situation.store.usage(&profile.id);
    let window: Option<Window> = auth_core::cooldown(situation.store, profile, None, situation.now);
    let owner = match profile.owner {
        Owner::Agent => agent_name(auth),
        Owner::Main => "main".to_owned(),
    };
    let file = file_of(&session.state, auth, profile);
    Entry {
        profile_id: profile.id.to_string(),
        provider: profile.provider.to_string(),
        r#type: profile.kind().as_str(),
        owner,
        label: profile_label(profile, situation),
        status: health.status.as_str(),
        reason_code: health.reason.map(auth_core::HealthReason::code),
        expires_at: health.expires_at_ms.map(Ms),
        eligible: verdict.is_ok(),
        eligibility: verdict.code(),
        position,
        last_used: stats.and_then(|stats| stats.last_used_ms).map(Ms),
        source: profile.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")),
        unusable: window.map(|window| Unusable {
            kind: window.kind.as_str(),
            reason: stats.and_then(|stats| match window.kind {
                WindowKind::Cooldown => stats.cooldown_reason.clone(),
                WindowKind::Disabled => stats.disabled_reason.clone(),
            }),
            until: Ms(window.until_ms),
            model: stats.and_then(|stats| stats.limited_model(situation.now)).map(str::to_owned),
        }),
        health,
        trouble: match verdict {
            Eligibility::Ok if position.is_none() => Some("not named by the order".to_owned()),
            Eligibility::Ok => unresolved_reference(profile, situation),
            verdict => Some(ineligible(verdict).to_owned()),
        },
    }
}

/// Why the reference of a profile cannot be used, where that is known.
fn unresolved_reference(profile: &Profile, situation: &Situation<'_>) -> Option<String> {
    let to = profile.credential.material()?.resolved_reference(&situation.config.secrets.defaults)?;
    match situation.refs.get(&to) {
        RefState::Unresolved(why) => Some(why.clone()),
        RefState::Resolved(_) | RefState::NotRun => None,
    }
}

fn render(page: &mut Page, session: &Session, auth: &AgentAuth, profiles: &[Entry], provider: Option<&str>) {
    let store = session.state.layout.shorten(&auth.store_path());
    if profiles.is_empty() && profiles_unknown(auth) {
        page.line(0, &[plain(format!("Profiles unknown: {store} cannot be read (agent {}).", agent_name(auth)))]);
        page.line(4, &[plain("Find out why: "), part(Look::Command, "openclaw doctor")]);
        return;
    }
    if profiles.is_empty() {
        let of = provider.map_or_else(String::new, |provider| format!(" of \"{}\"", ProviderId::normalise(provider)));
        page.line(0, &[plain(format!("No profiles{of} in {store} (agent {}).", agent_name(auth)))]);
        page.line(4, &[plain("Add one: "), part(Look::Command, "openclaw onboard")]);
        return;
    }
    page.line(4, &[part(Look::Faint, format!("Agent {}, {store}", agent_name(auth)))]);
    // Nearly always the id begins with the provider; a column for it says nothing then.
    let with_provider = profiles.iter().any(|entry| !entry.profile_id.starts_with(&format!("{}:", entry.provider)));
    let mut heading = vec!["Profile", "Kind", "Health", "Order", "Secret", "Line"];
    if with_provider {
        heading.push("Provider");
    }
    let mut rows: Vec<Vec<Part>> = vec![heading.into_iter().map(|text| part(Look::Faint, text)).collect()];
    for entry in profiles {
        let secret = entry.label.strip_prefix(&format!("{}=", entry.profile_id)).unwrap_or(&entry.label);
        let secret = secret.strip_prefix("token:").unwrap_or(secret);
        let position = entry.position.map_or_else(|| "-".to_owned(), |position| position.to_string());
        let id = if entry.profile_id.is_empty() { "\"\"" } else { &entry.profile_id };
        let mut row = vec![
            part(Look::Strong, id),
            plain(entry.r#type),
            state_of(entry, session.state.now()),
            plain(position),
            plain(secret),
            part(Look::Faint, entry.source.strip_prefix(&format!("{store}:")).unwrap_or(&entry.source)),
        ];
        if with_provider {
            row.push(plain(&entry.provider));
        }
        rows.push(row);
    }
    page.table(0, &rows);
    let ended = |entry: &&Entry| entry.health.ends_at_ms.is_some_and(|ends| ends <= session.state.now().as_f64());
    let lost: Vec<&Entry> = profiles.iter().filter(|entry| !entry.health.renews_itself).filter(ended).collect();
    if !lost.is_empty() {
        page.gap();
    }
    for entry in lost {
        page.line(4, &[part(Look::Strong, &entry.profile_id), plain(" has expired and needs you:")]);
        page.command(&advice::renew(&entry.health));
    }
}

/// The state of a profile in a few words: what keeps it from being used comes first.
fn state_of(entry: &Entry, now: Timestamp) -> Part {
    if let Some(window) = &entry.unusable {
        let left = WordyDuration(window.until.0 - now.as_f64());
        let reason = because(window.reason.as_deref(), window.model.as_deref());
        return part(Look::Warning, format!("{}{reason}, {left} left", window.kind));
    }
    if let Some(trouble) = advice::trouble(&entry.health, now) {
        let expiring = entry.health.status == auth_core::HealthStatus::Expiring;
        return part(if expiring { Look::Warning } else { Look::Bad }, trouble);
    }
    if let Some(trouble) = &entry.trouble {
        return part(Look::Bad, trouble);
    }
    let left = advice::time_left(&entry.health, now);
    part(Look::Good, if left.is_empty() { "ok".to_owned() } else { format!("ok, {left}") })
}
