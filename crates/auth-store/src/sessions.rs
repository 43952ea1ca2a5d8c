//! Sessions on the disk: which conversation is bound to which model and profile, and what was said (spec 07 section
//! 8.1).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use auth_core::config::AgentId;
use auth_core::session::{SessionDocument, SessionEntry, SessionSettings};
use serde_json::{Value, json};

use crate::layout::StateLayout;
use crate::lock::{LockError, iso_time, lock};
use crate::replace::{WriteError, make_parent, replace};
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// The largest session store and transcript that are read, in bytes.
pub(crate) const MAX_SESSIONS: u64 = 512 * 1024 * 1024;
/// The most of a transcript that goes to a model, in messages.
const MAX_MESSAGES: usize = 400;

/// Why sessions could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Somebody else keeps the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What the threads of this process wait at before they ask for the lock file. Those that find the file there would try
/// again after a tenth of a second, and later and later, although it is free most of the time.
fn threads_of(path: &Path) -> Arc<Mutex<()>> {
    static ALL: Mutex<Option<HashMap<PathBuf, Arc<Mutex<()>>>>> = Mutex::new(None);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(all.get_or_insert_default().entry(path.to_owned()).or_default())
}

/// The sessions of one agent.
#[derive(Clone)]
pub struct SessionStore<'a> {
    path: PathBuf,
    host: &'a dyn WriteHost,
}

impl std::fmt::Debug for SessionStore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> SessionStore<'a> {
    /// The sessions of an agent, where the config has them.
    pub fn of(agent: &AgentId, settings: &SessionSettings, layout: &StateLayout, host: &'a dyn WriteHost) -> Self {
        let path = match &settings.store {
            Some(path) => layout.user_path(&path.replace("{agentId}", agent.as_str())),
            None => layout.state_dir().join("agents").join(agent.as_str()).join("sessions").join("sessions.json"),
        };
        Self { path, host }
    }

    #[cfg(test)]
    pub(crate) fn at(path: PathBuf, host: &'a dyn WriteHost) -> Self {
        Self { path, host }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn host(&self) -> &'a dyn WriteHost {
        self.host
    }

    /// Every session. A file that is none counts as empty.
    ///
    /// # Errors
    ///
    /// When there is a file that cannot be read at all.
    pub fn read(&self) -> Result<SessionDocument, SessionError> {
        Ok(self.load()?.unwrap_or_default())
    }

    /// `None` when there is a file that is no session store.
    fn load(&self) -> Result<Option<SessionDocument>, SessionError> {
        match self.host.read(&self.path, MAX_SESSIONS) {
            Ok(bytes) => Ok(String::from_utf8(bytes).ok().and_then(|text| SessionDocument::parse(&text).ok())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Some(SessionDocument::default())),
            Err(error) => Err(SessionError::Unreadable { path: self.path.clone(), why: reason(&error) }),
        }
    }

    /// Changes one session under the lock: `change` gets the entry as it is now. Returns where a file was put that was
    /// no session store.
    ///
    /// # Errors
    ///
    /// When the lock is not had, or the file cannot be read or written. Nothing is changed then.
    pub fn update(
        &self,
        key: &str,
        change: &mut dyn FnMut(&mut SessionEntry),
    ) -> Result<Option<PathBuf>, SessionError> {
        make_parent(&self.path, self.host)?;
        let threads = threads_of(&self.path);
        let _turn = threads.lock().unwrap_or_else(PoisonError::into_inner);
        let guard = lock(&self.path, self.host)?;
        let (mut document, corrupt) = match self.load()? {
            Some(document) => (document, None),
            None => (SessionDocument::default(), Some(self.put_aside()?)),
        };
        let before = document.get(key);
        let mut entry = before.clone().unwrap_or_default();
        change(&mut entry);
        if before.as_ref() != Some(&entry) || corrupt.is_some() {
            document.put(key, &entry);
            replace(&guard, &self.path, document.to_text().as_bytes(), self.host)?;
        }
        Ok(corrupt)
    }

    fn put_aside(&self) -> Result<PathBuf, SessionError> {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".corrupt-{}", self.host.now().as_ms()));
        let aside = PathBuf::from(name);
        let moved = self.host.set_mode(&self.path, 0o600).and_then(|()| self.host.rename(&self.path, &aside));
        moved.map_err(|error| SessionError::Unreadable { path: self.path.clone(), why: reason(&error) })?;
        Ok(aside)
    }
}

/// One message of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptMessage {
    /// `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub text: String,
}

/// What was said in a session. Lines of other programs are kept and passed over.
#[derive(Clone)]
pub struct Transcript<'a> {
    path: PathBuf,
    host: &'a dyn WriteHost,
}

impl std::fmt::Debug for Transcript<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcript").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Transcript<'a> {
    /// The transcript in this file.
    pub fn at(path: PathBuf, host: &'a dyn WriteHost) -> Self {
        Self { path, host }
    }

    /// The messages, the newest last.
    ///
    /// # Errors
    ///
    /// When there is a file that cannot be read.
    pub fn messages(&self) -> Result<Vec<TranscriptMessage>, SessionError> {
        let bytes = match self.host.read(&self.path, MAX_SESSIONS) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SessionError::Unreadable { path: self.path.clone(), why: reason(&error) }),
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut messages: Vec<TranscriptMessage> = text.lines().filter_map(message_of).collect();
        let first = messages.len().saturating_sub(MAX_MESSAGES);
        messages.drain(..first);
        // A conversation begins with the user.
        let first = messages.iter().position(|message| message.role == "user").unwrap_or(messages.len());
        messages.drain(..first);
        Ok(messages)
    }

    /// Appends messages, after a first line that names the session.
    ///
    /// # Errors
    ///
    /// When the file or its directory does not allow it.
    pub fn append(&self, session_id: &str, messages: &[TranscriptMessage]) -> Result<(), SessionError> {
        make_parent(&self.path, self.host)?;
        let time = iso_time(self.host.now().as_ms());
        let mut lines = String::new();
        let existing = self.host.read(&self.path, MAX_SESSIONS).unwrap_or_default();
        if existing.is_empty() {
            let cwd = self.host.current_dir().display().to_string();
            let head = json!({"type": "session", "version": 3, "id": session_id, "timestamp": time, "cwd": cwd});
            let _ = writeln!(lines, "{head}");
        } else if !existing.ends_with(b"\n") {
            // A line that a killed process left unfinished must not swallow the next one.
            lines.push('\n');
        }
        let mut parent = String::from_utf8_lossy(&existing).lines().rev().find_map(id_of);
        for message in messages {
            let id = format!("{:016x}", self.host.random());
            let content = json!([{"type": "text", "text": message.text}]);
            let line = json!({
                "type": "message", "id": id, "parentId": parent, "timestamp": time,
                "message": {"role": message.role, "content": content},
            });
            let _ = writeln!(lines, "{line}");
            parent = Some(id);
        }
        self.host
            .append(&self.path, lines.as_bytes())
            .map_err(|error| SessionError::Unreadable { path: self.path.clone(), why: reason(&error) })
    }
}

fn message_of(line: &str) -> Option<TranscriptMessage> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("type")?.as_str()? != "message" {
        return None;
    }
    let message = line.get("message")?;
    let role = message.get("role")?.as_str().filter(|role| matches!(*role, "user" | "assistant"))?;
    let content = message.get("content")?;
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let parts = parts.iter().filter(|part| part.get("type").and_then(Value::as_str) == Some("text"));
            parts.filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => return None,
    };
    (!text.is_empty()).then(|| TranscriptMessage { role: role.to_owned(), text })
}

fn id_of(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line.get("type")?.as_str()? == "message").then_some(())?;
    line.get("id")?.as_str().map(str::to_owned)
}

/// When the present day began, by the hour at which sessions are reset, in the time zone of the machine; milliseconds
/// since the epoch.
pub fn day_began_ms(reset_hour: u8, now_ms: i64) -> i64 {
    let Ok(now) = jiff::Timestamp::from_millisecond(now_ms) else { return 0 };
    let zoned = now.to_zoned(jiff::tz::TimeZone::system());
    let hour = i8::try_from(reset_hour).unwrap_or(4);
    let at_hour = zoned.with().hour(hour).minute(0).second(0).subsec_nanosecond(0).build();
    let began = at_hour.and_then(|today| if today > zoned { today.yesterday() } else { Ok(today) });
    began.map_or(0, |began| began.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use std::os::unix::fs::PermissionsExt;

    fn store(dir: &Path) -> SessionStore<'static> {
        SessionStore::at(dir.join("sessions/sessions.json"), &RealHost)
    }

    #[test]
    fn one_entry_changes_and_a_broken_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        assert!(store.update("a", &mut |entry| entry.set("sessionId", "1".into())).unwrap().is_none());
        let mode = std::fs::metadata(store.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        std::fs::write(store.path(), "rubbish").unwrap();
        let aside = store.update("b", &mut |entry| entry.set("sessionId", "2".into())).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(aside).unwrap(), "rubbish");
        assert_eq!(store.read().unwrap().get("b").unwrap().session_id(), Some("2"));
    }

    #[test]
    fn threads_take_turns_without_finding_the_lock_file_of_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = store(dir.path()).path().to_owned();
        let lock_file = dir.path().join("sessions/sessions.json.lock");
        let turn = threads_of(&path);
        let held = turn.lock().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let dir = dir.path();
                scope.spawn(move || {
                    let store = store(dir);
                    for round in 0..5 {
                        let change = &mut |entry: &mut SessionEntry| entry.set("sessionId", round.to_string().into());
                        store.update(&format!("{thread}"), change).unwrap();
                    }
                });
            }
            assert!(!lock_file.exists(), "whoever waits for another thread does not hold the file");
            drop(held);
        });
        let all = store(dir.path()).read().unwrap();
        assert!((0..8).all(|thread| all.get(&thread.to_string()).unwrap().session_id() == Some("4")));
        assert!(!lock_file.exists());
    }

    #[test]
    fn transcripts_keep_what_they_do_not_know() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions/s.jsonl");
        let transcript = Transcript::at(path.clone(), &RealHost);
        let say = |role: &str, text: &str| TranscriptMessage { role: role.to_owned(), text: text.to_owned() };
        transcript.append("s", &[say("user", "hi"), say("assistant", "ho")]).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"type\":\"odd\"}\n{\"type\":\"mess");
        std::fs::write(&path, &text).unwrap();
        transcript.append("s", &[say("user", "again")]).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&text));
        assert_eq!(transcript.messages().unwrap(), [say("user", "hi"), say("assistant", "ho"), say("user", "again")]);
    }

    #[test]
    fn a_day_begins_at_most_a_day_ago() {
        let now = 1_790_000_000_000;
        let began = day_began_ms(4, now);
        assert!(began <= now && now - began < 25 * 3_600_000);
    }
}
