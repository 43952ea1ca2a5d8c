//! Which file holds the transcript of a session (spec 07 section 8.1).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use auth_core::session::SessionEntry;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::sessions::{MAX_SESSIONS, SessionStore};

/// The longest part of a file name that repeats the id.
const MAX_NAME: usize = 200;
/// Stands before the digest in a name that was changed; no id that is used as it is has it.
const MARK: char = '+';

/// The id as a file name had it before changed names were told apart: two ids may have the same.
fn plain(id: &str) -> String {
    let safe: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    safe.trim_start_matches('.').to_owned()
}

/// The name that no other id has.
fn own(id: &str) -> String {
    let mut name: String = plain(id).chars().take(MAX_NAME).collect();
    name.push(MARK);
    for byte in &Sha256::digest(id.as_bytes())[..6] {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl SessionStore<'_> {
    /// The transcript of a session, as its entry is now. An id that is no file name gets one of its own; so does one
    /// whose name a transcript of another id has. What an older version wrote stays in use as long as it is told apart.
    pub fn transcript(&self, key: &str, entry: &SessionEntry, session_id: &str) -> PathBuf {
        let dir = self.path().parent().unwrap_or_else(|| self.path());
        let (plain, own) = (plain(session_id), own(session_id));
        let is_name = plain == session_id && plain.len() <= MAX_NAME;
        let file = |name: &str| dir.join(format!("{name}.jsonl"));
        // The directory may have moved since; the name is what counts.
        let named = entry.session_file().filter(|_| entry.session_id() == Some(session_id));
        let named = named.and_then(|file| Path::new(file).file_stem()?.to_str());
        let named_plain = named == Some(plain.as_str());
        if named == Some(own.as_str()) {
            return file(&own);
        }
        let path = file(&plain);
        let keeps = match (is_name, named_plain) {
            (true, true) => true,
            (true, false) => self.begun_by(&path).is_none_or(|id| id == session_id || self::plain(&id) != plain),
            (false, true) => {
                self.host().exists(&path)
                    && self.begun_by(&path).is_none_or(|id| id == session_id)
                    && !self.is_shared(key, &plain)
            }
            (false, false) => false,
        };
        if keeps { path } else { file(&own) }
    }

    /// The id in the first line of a transcript.
    fn begun_by(&self, path: &Path) -> Option<String> {
        let bytes = self.host().read(path, MAX_SESSIONS).ok()?;
        let head: Value = serde_json::from_slice(bytes.split(|byte| *byte == b'\n').next()?).ok()?;
        (head.get("type")?.as_str()? == "session").then_some(())?;
        head.get("id")?.as_str().map(str::to_owned)
    }

    /// Whether the entry of another session uses the file of this name.
    fn is_shared(&self, key: &str, name: &str) -> bool {
        let document = self.read().unwrap_or_default();
        document.entries().filter(|(other, _)| *other != key).any(|(_, entry)| {
            entry.session_file().and_then(|file| Path::new(file).file_stem()?.to_str()).is_some_and(|stem| stem == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use crate::sessions::{Transcript, TranscriptMessage};

    fn open(store: &SessionStore<'_>, id: &str) -> PathBuf {
        let mut file = PathBuf::new();
        store
            .update(id, &mut |entry| {
                file = store.transcript(id, entry, id);
                entry.set("sessionId", id.into());
                entry.set("sessionFile", file.display().to_string().into());
            })
            .unwrap();
        file
    }

    fn say(file: &Path, id: &str) {
        let said = TranscriptMessage { role: "user".to_owned(), text: id.to_owned() };
        Transcript::at(file.to_owned(), &RealHost).append(id, &[said]).unwrap();
    }

    /// A session as the older version left it.
    fn old(store: &SessionStore<'_>, id: &str) -> PathBuf {
        let file = store.path().with_file_name(format!("{}.jsonl", plain(id)));
        let change = &mut |entry: &mut SessionEntry| {
            entry.set("sessionId", id.into());
            entry.set("sessionFile", file.display().to_string().into());
        };
        store.update(id, change).unwrap();
        say(&file, id);
        file
    }

    #[test]
    fn every_id_has_a_file_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let store = SessionStore::at(dir.path().join("s/sessions.json"), &RealHost);
        let long = "x".repeat(400);
        let ids = ["x1:y", "x1_y", "x1/y", "a/b", "a_b", "../../x", ".x", "x", "..", "ü", "é", &long, &long[1..]];
        let files: std::collections::BTreeSet<PathBuf> = ids.iter().map(|id| open(&store, id)).collect();
        assert_eq!(files.len(), ids.len());
        assert!(files.iter().all(|file| file.parent() == store.path().parent()), "{files:?}");
        assert!(files.iter().all(|file| file.file_name().unwrap().len() < 250));
        assert!(ids.iter().all(|id| files.contains(&open(&store, id))), "the same the next time");
        assert!(files.contains(&store.path().with_file_name("x1_y.jsonl")));
        assert!(files.contains(&store.path().with_file_name("x1_y+5c5f9769614e.jsonl")), "{files:?}");
    }

    #[test]
    fn an_old_transcript_stays_in_use_while_it_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let store = SessionStore::at(dir.path().join("s/sessions.json"), &RealHost);
        let kept = old(&store, "a/b");
        assert_eq!(open(&store, "a/b"), kept);
        // Whoever comes later does not read it, and the name that was found stays.
        let later = open(&store, "a_b");
        assert_ne!(later, kept);
        assert_ne!(open(&store, "a:b"), kept);
        assert_eq!((open(&store, "a/b"), open(&store, "a_b")), (kept, later));
        // Where two have written into one file, that stays with the id whose name it is.
        let mixed = old(&store, "c_d");
        assert_eq!(old(&store, "c:d"), mixed);
        assert_ne!(open(&store, "c:d"), mixed);
        assert_eq!(open(&store, "c_d"), mixed);
        let mixed = old(&store, "e:f");
        assert_eq!(old(&store, "e/f"), mixed);
        assert!(open(&store, "e:f") != mixed && open(&store, "e/f") != mixed);
    }
}
