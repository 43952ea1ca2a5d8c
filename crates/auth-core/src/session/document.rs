//! `sessions.json`: entries of which single ones change, the others kept as they were written (spec 07 section 8.1).

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::entry::SessionEntry;
use crate::raw_json::RawObject;

/// The sessions of one agent.
#[derive(Debug, Default)]
pub struct SessionDocument(Vec<(String, Box<RawValue>)>);

/// The file is no object of entries. It is set aside, not overwritten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no session store (line {line}, column {column})")]
pub struct SessionSyntaxError {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

impl SessionDocument {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it is not one JSON object.
    pub fn parse(text: &str) -> Result<Self, SessionSyntaxError> {
        let object = RawObject::parse(text)
            .map_err(|error| SessionSyntaxError { line: error.line(), column: error.column() })?;
        Ok(Self(object.into_members().map(|(key, value)| (key.into_owned(), value.to_owned())).collect()))
    }

    /// The keys, in file order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// An entry; `None` when there is none, or it is no object.
    pub fn get(&self, key: &str) -> Option<SessionEntry> {
        let (_, raw) = self.0.iter().find(|(known, _)| known == key)?;
        let fields: Map<String, Value> = serde_json::from_str(raw.get()).ok()?;
        Some(SessionEntry::new(fields))
    }

    /// Every entry that is an object.
    pub fn entries(&self) -> impl Iterator<Item = (&str, SessionEntry)> {
        self.0
            .iter()
            .filter_map(|(key, raw)| Some((key.as_str(), SessionEntry::new(serde_json::from_str(raw.get()).ok()?))))
    }

    /// Writes an entry; new ones go to the end.
    pub fn put(&mut self, key: &str, entry: &SessionEntry) {
        let Ok(raw) = serde_json::value::to_raw_value(entry.fields()) else { return };
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some(known) => known.1 = raw,
            None => self.0.push((key.to_owned(), raw)),
        }
    }

    /// The text to write.
    pub fn to_text(&self) -> String {
        let mut text = String::from("{");
        for (at, (key, raw)) in self.0.iter().enumerate() {
            text.push_str(if at == 0 { "\n  " } else { ",\n  " });
            text.push_str(&Value::from(key.as_str()).to_string());
            text.push_str(": ");
            text.push_str(raw.get());
        }
        text.push_str(if self.0.is_empty() { "}\n" } else { "\n}\n" });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_entries_stay_as_they_were_written() {
        let text = r#"{"a": {"sessionId": "1", "odd": 1.50, "big": 123456789012345678901234567890}, "b": 7}"#;
        let mut document = SessionDocument::parse(text).unwrap();
        let mut entry = document.get("c").unwrap_or_default();
        entry.set("sessionId", "2".into());
        document.put("c", &entry);
        let written = document.to_text();
        assert!(written.contains(r#""odd": 1.50, "big": 123456789012345678901234567890"#), "{written}");
        assert_eq!(SessionDocument::parse(&written).unwrap().get("c").unwrap().session_id(), Some("2"));
        assert!(document.get("b").is_none() && document.keys().count() == 3);
    }

    #[test]
    fn an_entry_that_is_no_object_is_kept_but_never_a_session() {
        let mut document = SessionDocument::parse(r#"{"a": {"sessionId": "1"}, "b": 7, "c": {}}"#).unwrap();
        document.put("a", &document.get("c").unwrap());
        let mut entry = SessionEntry::default();
        entry.set("sessionId", "3".into());
        document.put("c", &entry);
        let entries: Vec<_> = document.entries().map(|(key, entry)| (key, entry.session_id().is_some())).collect();
        assert_eq!(entries, [("a", false), ("c", true)]);
        assert_eq!(document.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(document.to_text(), "{\n  \"a\": {},\n  \"b\": 7,\n  \"c\": {\"sessionId\":\"3\"}\n}\n");
        assert_eq!(SessionDocument::default().to_text(), "{}\n");
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "{", "null"] {
            assert!(SessionDocument::parse(text).is_err(), "{text}");
        }
    }
}
