//! One session: the fields that decide about models and credentials; all others are kept (spec 07 section 8.2).

use serde_json::{Map, Value};

use crate::profile::ProfileId;

/// Who fixed the profile of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// The user: it is used whatever its state.
    User,
    /// The program: it comes first and may change.
    Auto,
}

/// A profile that a session is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPin {
    /// The profile.
    pub profile: ProfileId,
    /// Who chose it.
    pub source: PinSource,
}

/// What the last turn took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnUsage {
    /// Tokens read anew.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from a cache.
    pub cache_read: u64,
    /// Tokens written to a cache.
    pub cache_write: u64,
}

/// An entry of `sessions.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SessionEntry(Map<String, Value>);

const PROFILE: &str = "authProfileOverride";
const SOURCE: &str = "authProfileOverrideSource";
const COUNT: &str = "authProfileOverrideCompactionCount";
const RUNTIME: &[&str] = &["model", "modelProvider", "contextTokens"];
const COUNTERS: &[&str] = &[
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "totalTokensFresh",
    "cacheRead",
    "cacheWrite",
    "estimatedCostUsd",
    "compactionCount",
];
const NOTICES: &[&str] = &["fallbackNoticeSelectedModel", "fallbackNoticeActiveModel", "fallbackNoticeReason"];

impl SessionEntry {
    pub(super) fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Every field.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Sets a field.
    pub fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn drop_all(&mut self, names: &[&str]) {
        for name in names {
            self.0.shift_remove(*name);
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// The id of the transcript.
    pub fn session_id(&self) -> Option<&str> {
        self.text("sessionId")
    }

    /// The file of the transcript, as it was noted last.
    pub fn session_file(&self) -> Option<&str> {
        self.text("sessionFile")
    }

    /// The last change, in milliseconds since the epoch.
    pub fn updated_at_ms(&self) -> Option<f64> {
        self.0.get("updatedAt")?.as_f64().filter(|at| at.is_finite())
    }

    /// Notes a change; the time never goes back.
    pub fn touch(&mut self, now_ms: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a date is far below 2^53")]
        let later = self.updated_at_ms().is_none_or(|at| at < now_ms as f64);
        if later {
            self.set("updatedAt", now_ms.into());
        }
    }

    /// The model chosen for the session: provider, if one is set, and model.
    pub fn model_override(&self) -> Option<(Option<&str>, &str)> {
        Some((self.text("providerOverride"), self.text("modelOverride")?))
    }

    /// Chooses a model for the session, or the default one.
    pub fn set_model(&mut self, chosen: Option<(&str, &str)>) {
        match chosen {
            Some((provider, model)) => {
                self.set("providerOverride", provider.into());
                self.set("modelOverride", model.into());
            }
            None => self.drop_all(&["providerOverride", "modelOverride"]),
        }
    }

    /// The model that answered last: provider and model.
    pub fn runtime_model(&self) -> Option<(&str, &str)> {
        Some((self.text("modelProvider")?, self.text("model")?))
    }

    /// Forgets which model answered last.
    pub fn forget_runtime(&mut self) {
        self.drop_all(RUNTIME);
    }

    /// Forgets what was said about a fallback.
    pub fn forget_notices(&mut self) {
        self.drop_all(NOTICES);
    }

    /// How often the conversation was condensed.
    pub fn compactions(&self) -> u64 {
        self.0.get("compactionCount").and_then(Value::as_u64).unwrap_or(0)
    }

    /// How often it had been when the pin was set.
    pub fn pinned_at_compaction(&self) -> u64 {
        self.0.get(COUNT).and_then(Value::as_u64).unwrap_or(0)
    }

    /// The profile that the session is bound to.
    pub fn pin(&self) -> Option<SessionPin> {
        let profile = ProfileId::new(self.text(PROFILE)?);
        let source = match self.text(SOURCE) {
            Some("auto") => PinSource::Auto,
            None if self.0.get(COUNT).is_some_and(Value::is_number) => PinSource::Auto,
            Some(_) | None => PinSource::User,
        };
        Some(SessionPin { profile, source })
    }

    /// Binds the session to a profile, or to none.
    pub fn set_pin(&mut self, pin: Option<&SessionPin>) {
        self.drop_all(&[PROFILE, SOURCE, COUNT]);
        let Some(pin) = pin else { return };
        self.set(PROFILE, pin.profile.as_str().into());
        match pin.source {
            PinSource::User => self.set(SOURCE, "user".into()),
            PinSource::Auto => {
                self.set(SOURCE, "auto".into());
                self.set(COUNT, self.compactions().into());
            }
        }
    }

    /// Begins a new transcript: another id, counters at zero; what was chosen stays.
    pub fn renew(&mut self, session_id: &str, session_file: &str) {
        self.drop_all(COUNTERS);
        self.drop_all(RUNTIME);
        self.set("sessionId", session_id.into());
        self.set("sessionFile", session_file.into());
    }

    /// Notes how a turn ended.
    pub fn answered(&mut self, provider: &str, model: &str, usage: TurnUsage) {
        self.set("modelProvider", provider.into());
        self.set("model", model.into());
        self.set("abortedLastRun", false.into());
        self.drop_all(&["liveModelSwitchPending"]);
        if usage == TurnUsage::default() {
            return;
        }
        // The numbers come from the provider and may be any.
        let prompt = usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
        for (name, value) in [
            ("inputTokens", usage.input),
            ("outputTokens", usage.output),
            ("cacheRead", usage.cache_read),
            ("cacheWrite", usage.cache_write),
            ("totalTokens", prompt),
        ] {
            self.set(name, value.into());
        }
        self.set("totalTokensFresh", true.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(value: Value) -> SessionEntry {
        let Value::Object(fields) = value else { panic!("no object") };
        SessionEntry::new(fields)
    }

    #[test]
    fn a_pin_says_who_set_it() {
        let source = |value: Value| entry(value).pin().map(|pin| pin.source);
        assert_eq!(source(json!({"authProfileOverride": "p:a"})), Some(PinSource::User));
        assert_eq!(
            source(json!({"authProfileOverride": "p:a", "authProfileOverrideCompactionCount": 0})),
            Some(PinSource::Auto)
        );
        assert_eq!(
            source(json!({"authProfileOverride": "p:a", "authProfileOverrideSource": "auto"})),
            Some(PinSource::Auto)
        );
        assert_eq!(source(json!({"authProfileOverride": " "})), None);
    }

    #[test]
    fn a_session_names_its_transcript() {
        let named = entry(json!({"sessionId": " s1 ", "sessionFile": " /t/s1.jsonl "}));
        assert_eq!((named.session_id(), named.session_file()), (Some("s1"), Some("/t/s1.jsonl")));
        let unnamed = entry(json!({"sessionId": 1, "sessionFile": " "}));
        assert_eq!((unnamed.session_id(), unnamed.session_file()), (None, None));
    }

    #[test]
    fn the_last_change_is_the_latest_one() {
        for (stored, now, kept) in [
            (json!(500), 400, json!(500)),
            (json!(500), 600, json!(600)),
            (json!(500.0), 500, json!(500.0)),
            (Value::Null, 400, json!(400)),
            (json!("500"), 400, json!(400)),
        ] {
            let mut entry = entry(json!({"updatedAt": stored}));
            entry.touch(now);
            assert_eq!(entry.fields()["updatedAt"], kept, "{stored} at {now}");
        }
    }

    #[test]
    fn a_model_without_a_provider_is_a_choice_and_a_provider_without_a_model_is_none() {
        let chosen = |value: Value| {
            let entry = entry(value);
            entry.model_override().map(|(provider, model)| (provider.map(str::to_owned), model.to_owned()))
        };
        assert_eq!(chosen(json!({"modelOverride": "m"})), Some((None, "m".to_owned())));
        assert_eq!(
            chosen(json!({"modelOverride": "m", "providerOverride": "p"})),
            Some((Some("p".to_owned()), "m".to_owned()))
        );
        assert_eq!(chosen(json!({"modelOverride": " ", "providerOverride": "p"})), None);
        let mut entry = SessionEntry::default();
        entry.set_model(Some(("p", "m")));
        assert_eq!(entry.model_override(), Some((Some("p"), "m")));
        entry.set_model(None);
        assert_eq!(entry, SessionEntry::default());
    }

    #[test]
    fn a_renewed_session_keeps_what_was_chosen() {
        let mut session = entry(json!({
            "sessionId": "s1", "sessionFile": "/t1", "providerOverride": "p", "modelOverride": "m",
            "authProfileOverride": "p:a", "authProfileOverrideSource": "user", "model": "m", "modelProvider": "p",
            "contextTokens": 9, "inputTokens": 1, "outputTokens": 1, "totalTokens": 1, "totalTokensFresh": true,
            "cacheRead": 1, "cacheWrite": 1, "estimatedCostUsd": 0.1, "compactionCount": 2, "x": 1}));
        session.renew("s2", "/t2");
        assert_eq!(
            session,
            entry(json!({
                "sessionId": "s2", "sessionFile": "/t2", "providerOverride": "p", "modelOverride": "m",
                "authProfileOverride": "p:a", "authProfileOverrideSource": "user", "x": 1}))
        );
    }

    #[test]
    fn a_turn_is_noted_with_its_prompt_as_the_total() {
        let noted = |input, output, cache_read, cache_write| {
            let mut session = entry(json!({"liveModelSwitchPending": true, "abortedLastRun": true, "totalTokens": 7}));
            session.answered("p", "m", TurnUsage { input, output, cache_read, cache_write });
            assert_eq!(session.runtime_model(), Some(("p", "m")));
            assert_eq!(session.fields()["abortedLastRun"], json!(false));
            assert!(!session.fields().contains_key("liveModelSwitchPending"));
            let names = ["inputTokens", "outputTokens", "cacheRead", "cacheWrite", "totalTokens"];
            names.map(|name| session.fields().get(name).and_then(Value::as_u64))
        };
        for (usage, total) in [
            ((5, 1, 20, 300), 325),
            ((5, 5, 0, 0), 5),
            ((0, 3, 0, 0), 0),
            ((0, 0, 0, 4), 4),
            ((u64::MAX, 1, u64::MAX, 1), u64::MAX),
        ] {
            let (input, output, read, write) = usage;
            assert_eq!(noted(input, output, read, write), [input, output, read, write, total].map(Some), "{usage:?}");
        }
        assert_eq!(noted(0, 0, 0, 0), [None, None, None, None, Some(7)], "what the last one took stays");
    }

    #[test]
    fn time_never_goes_back_and_unknown_fields_stay() {
        let mut entry = entry(json!({"updatedAt": 500, "x": [1]}));
        entry.touch(400);
        assert_eq!(entry.updated_at_ms(), Some(500.0));
        entry.touch(600);
        entry.renew("s2", "/t");
        entry.answered("p", "m", TurnUsage { input: 5, output: 1, ..TurnUsage::default() });
        assert_eq!(entry.fields()["totalTokens"], json!(5));
        assert_eq!(entry.fields()["x"], json!([1]));
        entry.answered("p", "m2", TurnUsage::default());
        assert_eq!((entry.fields()["totalTokens"].clone(), entry.runtime_model()), (json!(5), Some(("p", "m2"))));
    }
}
