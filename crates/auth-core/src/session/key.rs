//! Which session a message belongs to, and whether it goes on (spec 07 section 8.3).

use super::entry::SessionEntry;
use crate::config::AgentId;

/// `session` of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// `session.store`: another place for the sessions, with `{agentId}` in it.
    pub store: Option<String>,
    /// `session.mainKey`.
    pub main_key: String,
    /// `session.scope` is `global`.
    pub is_global: bool,
    /// `session.reset.atHour`: when a day begins, local time.
    pub reset_hour: u8,
    /// `session.reset.idleMinutes`: how long a session may rest; 0 means for ever.
    pub idle_minutes: u64,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { store: None, main_key: "main".to_owned(), is_global: false, reset_hour: 4, idle_minutes: 0 }
    }
}

/// What the user named.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionChoice<'a> {
    /// `--agent`.
    pub agent: Option<&'a AgentId>,
    /// `--to`.
    pub to: Option<&'a str>,
    /// `--session-id`.
    pub session_id: Option<&'a str>,
}

/// The key of a session, and the agent whose store holds it. `sessions` gives the entries of an agent's store;
/// `others` are the other agents. `None` when nothing was named.
pub fn choose_key(
    choice: SessionChoice<'_>,
    settings: &SessionSettings,
    default_agent: &AgentId,
    others: &[AgentId],
    sessions: &mut dyn FnMut(&AgentId) -> Vec<(String, SessionEntry)>,
) -> Option<(String, AgentId)> {
    let main = &settings.main_key;
    if let Some(agent) = choice.agent {
        return Some((format!("agent:{}:{main}", agent.as_str()), agent.clone()));
    }
    let by_place = choice.to.map(|_| {
        if settings.is_global { "global".to_owned() } else { format!("agent:{}:{main}", default_agent.as_str()) }
    });
    let Some(id) = choice.session_id else { return by_place.map(|key| (key, default_agent.clone())) };
    for agent in std::iter::once(default_agent).chain(others) {
        let entries = sessions(agent);
        let mut found: Vec<&(String, SessionEntry)> =
            entries.iter().filter(|(_, entry)| entry.session_id() == Some(id)).collect();
        if let Some(key) = &by_place
            && agent == default_agent
            && found.iter().any(|(known, _)| known == key)
        {
            return Some((key.clone(), agent.clone()));
        }
        // A key that ends in the id was made for it; among equals the freshest.
        found.sort_by(|(a, one), (b, other)| {
            let structural = |key: &str| key.ends_with(&format!(":{id}"));
            let time = |entry: &SessionEntry| entry.updated_at_ms().unwrap_or(0.0);
            structural(b).cmp(&structural(a)).then(time(other).total_cmp(&time(one)))
        });
        if let Some((key, _)) = found.first() {
            return Some((key.clone(), agent.clone()));
        }
    }
    let key = by_place.unwrap_or_else(|| format!("agent:{}:explicit:{id}", default_agent.as_str()));
    Some((key, default_agent.clone()))
}

/// Whether a session goes on: it is not older than the day, and has not rested too long. `day_began_ms` is when the
/// present day began by the settings' hour, in milliseconds since the epoch.
pub fn is_fresh(entry: &SessionEntry, settings: &SessionSettings, day_began_ms: i64, now_ms: i64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a date is far below 2^53")]
    let (day_began, now) = (day_began_ms as f64, now_ms as f64);
    let Some(updated) = entry.updated_at_ms() else { return false };
    #[expect(clippy::cast_precision_loss, reason = "minutes of a config")]
    let idle = settings.idle_minutes as f64 * 60_000.0;
    updated >= day_began && (settings.idle_minutes == 0 || now - updated <= idle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(id: &str, updated: i64) -> SessionEntry {
        let mut entry = SessionEntry::default();
        entry.set("sessionId", id.into());
        entry.set("updatedAt", json!(updated));
        entry
    }

    fn key(choice: SessionChoice<'_>, entries: &[(&str, &str, SessionEntry)]) -> Option<String> {
        key_with(&SessionSettings::default(), choice, entries)
    }

    fn key_with(
        settings: &SessionSettings,
        choice: SessionChoice<'_>,
        entries: &[(&str, &str, SessionEntry)],
    ) -> Option<String> {
        let (main, ops) = (AgentId::main(), AgentId::normalise("ops"));
        let mut sessions = |agent: &AgentId| {
            let own = entries.iter().filter(|(owner, ..)| *owner == agent.as_str());
            own.map(|(_, key, entry)| ((*key).to_owned(), entry.clone())).collect()
        };
        let (key, agent) = choose_key(choice, settings, &main, &[ops], &mut sessions)?;
        Some(format!("{key} of {}", agent.as_str()))
    }

    #[test]
    fn sessions_are_named_in_three_ways() {
        let ops = AgentId::normalise("Ops");
        let named = |choice| key(choice, &[]);
        assert_eq!(named(SessionChoice::default()), None);
        let by_agent = SessionChoice { agent: Some(&ops), session_id: Some("s"), ..SessionChoice::default() };
        assert_eq!(named(by_agent).as_deref(), Some("agent:ops:main of ops"));
        let by_place = SessionChoice { to: Some("+1"), ..SessionChoice::default() };
        assert_eq!(named(by_place).as_deref(), Some("agent:main:main of main"));
        let by_id = SessionChoice { session_id: Some("s1"), ..SessionChoice::default() };
        assert_eq!(named(by_id).as_deref(), Some("agent:main:explicit:s1 of main"));
    }

    #[test]
    fn an_id_is_looked_for_in_every_store() {
        let by_id = SessionChoice { session_id: Some("s1"), ..SessionChoice::default() };
        let elsewhere = [("ops", "agent:ops:chat", entry("s1", 5))];
        assert_eq!(key(by_id, &elsewhere).as_deref(), Some("agent:ops:chat of ops"));
        let several = [("main", "agent:main:new", entry("s1", 9)), ("main", "agent:main:explicit:s1", entry("s1", 1))];
        assert_eq!(key(by_id, &several).as_deref(), Some("agent:main:explicit:s1 of main"));
    }

    #[test]
    fn the_freshest_of_several_equals_is_meant() {
        let by_id = SessionChoice { session_id: Some("s1"), ..SessionChoice::default() };
        let equals = [("main", "agent:main:old", entry("s1", 1)), ("main", "agent:main:new", entry("s1", 9))];
        assert_eq!(key(by_id, &equals).as_deref(), Some("agent:main:new of main"));
    }

    #[test]
    fn the_session_of_a_place_comes_before_others_with_the_same_id() {
        let both = SessionChoice { to: Some("+1"), session_id: Some("s1"), ..SessionChoice::default() };
        let explicit = ("main", "agent:main:explicit:s1", entry("s1", 9));
        let held = [explicit.clone(), ("main", "agent:main:main", entry("s1", 1))];
        assert_eq!(key(both, &held).as_deref(), Some("agent:main:main of main"));
        let not_held = [explicit, ("main", "agent:main:main", entry("s2", 1))];
        assert_eq!(key(both, &not_held).as_deref(), Some("agent:main:explicit:s1 of main"));
        // Only the store of the default agent can hold the session of the place.
        let elsewhere = [("ops", "agent:main:main", entry("s1", 1)), ("ops", "agent:ops:x:s1", entry("s1", 1))];
        assert_eq!(key(both, &elsewhere).as_deref(), Some("agent:ops:x:s1 of ops"));
        assert_eq!(key(both, &[]).as_deref(), Some("agent:main:main of main"));
    }

    #[test]
    fn a_global_scope_has_one_session_for_every_place() {
        let settings = SessionSettings { is_global: true, main_key: "home".to_owned(), ..SessionSettings::default() };
        let ops = AgentId::normalise("ops");
        let by_place = SessionChoice { to: Some("+1"), ..SessionChoice::default() };
        assert_eq!(key_with(&settings, by_place, &[]).as_deref(), Some("global of main"));
        let by_agent = SessionChoice { agent: Some(&ops), ..by_place };
        assert_eq!(key_with(&settings, by_agent, &[]).as_deref(), Some("agent:ops:home of ops"));
    }

    #[test]
    fn a_day_and_a_rest_end_a_session() {
        let settings = SessionSettings { idle_minutes: 10, ..SessionSettings::default() };
        assert!(is_fresh(&entry("s", 1_000_000), &settings, 900_000, 1_500_000));
        assert!(!is_fresh(&entry("s", 800_000), &settings, 900_000, 1_000_000));
        assert!(!is_fresh(&entry("s", 1_000_000), &settings, 900_000, 1_700_000));
        assert!(is_fresh(&entry("s", 900_000), &settings, 900_000, 1_500_000), "both bounds belong to it");
        assert!(is_fresh(&entry("s", 900_000), &SessionSettings::default(), 900_000, i64::MAX), "no limit of rest");
        assert!(!is_fresh(&SessionEntry::default(), &settings, 0, 0));
    }
}
