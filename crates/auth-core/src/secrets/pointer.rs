//! A JSON document with secrets, and the value at a pointer (spec 05 section 5).

use serde_json::Value;
use zeroize::Zeroize;

use super::error::SecretError;
use crate::secret::Secret;
use crate::secret_ref::is_file_id;

/// A JSON object whose strings are wiped from memory when it goes.
pub struct SecretJson(Value);

impl std::fmt::Debug for SecretJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretJson(…)")
    }
}

impl Drop for SecretJson {
    fn drop(&mut self) {
        wipe_json(&mut self.0);
    }
}

/// Wipes every text of a document from memory.
pub fn wipe_json(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe_json),
        Value::Object(members) => members.values_mut().for_each(wipe_json),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl SecretJson {
    /// Reads the text of a file. Neither error quotes it.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence: `is not valid JSON …`, `payload is not a JSON object`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = serde_json::from_str(text).map(Self).map_err(|error| {
            format!("is not valid JSON (line {}, column {})", error.line().max(1), error.column().max(1))
        })?;
        if document.0.is_object() { Ok(document) } else { Err("payload is not a JSON object".to_owned()) }
    }

    /// The value at a JSON pointer; `None` when it is no text.
    ///
    /// # Errors
    ///
    /// When the pointer is none, or leads nowhere.
    pub fn secret_at(&self, pointer: &str) -> Result<Option<Secret>, SecretError> {
        let found = self.value_at(pointer)?;
        Ok(found.as_str().map(Secret::new))
    }

    fn value_at(&self, pointer: &str) -> Result<&Value, SecretError> {
        let Some(rest) = pointer.strip_prefix('/').filter(|_| is_file_id(pointer)) else {
            let words = "file references of JSON files are absolute JSON pointers, such as /providers/openai/apiKey";
            return Err(SecretError::Pointer(words.to_owned()));
        };
        rest.split('/').try_fold(&self.0, |value, token| {
            let token = unescape(token);
            match value {
                Value::Object(members) => members.get(&token).ok_or_else(|| missing(&token)),
                Value::Array(items) if is_index(&token) => {
                    let item = token.parse::<usize>().ok().and_then(|index| items.get(index));
                    item.ok_or_else(|| {
                        SecretError::Pointer(format!("JSON pointer segment \"{}\" is out of bounds", shown(&token)))
                    })
                }
                _ => Err(missing(&token)),
            }
        })
    }
}

/// A member name or index as a segment of a pointer stands for it.
fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

fn is_index(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit())
}

fn missing(token: &str) -> SecretError {
    SecretError::Pointer(format!("JSON pointer segment \"{}\" does not exist", shown(token)))
}

fn shown(token: &str) -> String {
    token.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn at(document: &Value, pointer: &str) -> Result<Option<String>, String> {
        let document = SecretJson::parse(&document.to_string())?;
        let found = document.secret_at(pointer).map_err(|error| error.to_string())?;
        Ok(found.map(|secret| secret.reveal().to_owned()))
    }

    #[test]
    fn pointers_lead_to_values() {
        let document = json!({"a": {"b/c": ["x", "y"], "~": "tilde"}, "": "root", "n": 7, "01": "digits"});
        for (pointer, value) in [
            ("/a/b~1c/1", Some("y")),
            ("/a/~0", Some("tilde")),
            ("/", Some("root")),
            ("/n", None),
            ("/01", Some("digits")),
        ] {
            assert_eq!(at(&document, pointer), Ok(value.map(str::to_owned)), "{pointer}");
        }
        for (pointer, words) in [
            ("value", "absolute JSON pointers"),
            ("a", "absolute JSON pointers"),
            ("/a~2", "absolute JSON pointers"),
            ("/a/x", "segment \"x\" does not exist"),
            ("/a/b~1c/1abc", "segment \"1abc\" does not exist"),
            ("/a/b~1c/-1", "does not exist"),
            ("/a/b~1c/+1", "segment \"+1\" does not exist"),
            ("/a/b~1c/", "segment \"\" does not exist"),
            ("/a/x\n\u{7f}y", "segment \"xy\" does not exist"),
            ("/a/b~1c/7", "segment \"7\" is out of bounds"),
            ("/a/b~1c/99999999999999999999999", "is out of bounds"),
            ("/n/0", "does not exist"),
        ] {
            let error = at(&document, pointer).unwrap_err();
            assert!(error.contains(words), "{pointer}: {error}");
        }
    }

    #[test]
    fn texts_are_wiped_and_never_printed() {
        let mut document = json!({"a": "sk-test-canary-1", "b": ["sk-test-canary-2", {"c": "x"}], "n": 1, "t": true});
        wipe_json(&mut document);
        assert_eq!(document, json!({"a": "", "b": ["", {"c": ""}], "n": 1, "t": true}));
        let document = SecretJson::parse("\u{feff}{\"a\": \"sk-test-canary-1\"}").unwrap();
        assert_eq!(format!("{document:?}"), "SecretJson(…)");
    }

    #[test]
    fn a_broken_document_is_not_quoted() {
        for text in
            ["{\"k\": sk-test-canary-00000001}", "sk-test-canary-00000001", "\"sk-test-canary-00000001\"", "[]", ""]
        {
            let error = SecretJson::parse(text).unwrap_err();
            assert!(!error.contains("canary") && error.contains("JSON"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn escaping_a_name_and_reading_it_gives_its_value(name in "\\PC{0,12}", text in "\\PC{1,12}") {
            let pointer = format!("/o/{}", name.replace('~', "~0").replace('/', "~1"));
            let document = json!({"o": {name: text.clone()}});
            prop_assert_eq!(at(&document, &pointer), Ok(Some(text)));
        }

        #[test]
        fn any_pointer_ends_in_a_value_or_an_error(pointer in "[/~01a-c]{0,12}") {
            let _ = at(&json!({"a": {"b": ["c", {"c": 1}]}, "0": [[]]}), &pointer);
        }
    }
}
