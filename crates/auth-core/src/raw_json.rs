//! A JSON object whose members stay text until somebody needs them.
//!
//! A credential file is full of things we do not own. Reading it member by member keeps every unknown value exactly
//! as it was written, keeps a number such as `1e999` from making the whole file unreadable, and gives the place of
//! each entry in the file for messages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of one JSON object in file order. A repeated key keeps its first place and its last value.
pub(crate) struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Reads `text` if it is an object.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The value as an object, `None` for anything else.
    pub(crate) fn of(value: &'a RawValue) -> Option<Self> {
        value.get().starts_with('{').then(|| Self::parse(value.get()).ok())?
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| *v)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    pub(crate) fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
        self.0.into_iter()
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                let mut index = HashMap::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    // Small objects, the usual case, are searched; large ones get an index.
                    let earlier = if members.len() < 16 {
                        members.iter().position(|(k, _)| *k == key)
                    } else {
                        if index.is_empty() {
                            index.extend(members.iter().enumerate().map(|(i, (k, _))| (k.clone(), i)));
                        }
                        match index.entry(key.clone()) {
                            Entry::Occupied(at) => Some(*at.get()),
                            Entry::Vacant(free) => {
                                free.insert(members.len());
                                None
                            }
                        }
                    };
                    match earlier {
                        Some(at) => members[at].1 = value,
                        None => members.push((key, value)),
                    }
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// An object key, borrowed from the text where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The string that the value is, `None` for any other type.
pub(crate) fn string(value: &RawValue) -> Option<String> {
    value.get().starts_with('"').then(|| serde_json::from_str(value.get()).ok())?
}

/// The number that the value is, infinite when it does not fit; `None` for any other type.
pub(crate) fn number(value: &RawValue) -> Option<f64> {
    let text = value.get();
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then(|| text.parse().ok())?
}

pub(crate) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// The strings of an array of anything; `None` when it is no array.
pub(crate) fn strings(value: &RawValue) -> Option<Vec<String>> {
    let items: Vec<&RawValue> = value.get().starts_with('[').then(|| serde_json::from_str(value.get()).ok())??;
    Some(items.into_iter().filter_map(string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_takes_the_last_of_repeated_keys() {
        let mut text = String::from(r#"{"b": 1, "a\u0041": 2, "b": 1e999"#);
        text.extend((0..40).map(|i| format!(r#", "k{i}": {i}"#)));
        text.push_str(r#", "k7": "last", "aA": 3}"#);
        let object = RawObject::parse(&text).unwrap();
        assert_eq!(number(object.get("b").unwrap()), Some(f64::INFINITY));
        assert_eq!(string(object.get("k7").unwrap()).as_deref(), Some("last"));
        assert_eq!(object.get("aA").unwrap().get(), "3");
        let keys: Vec<_> = object.into_members().map(|(k, _)| k).take(3).collect();
        assert_eq!(keys, ["b", "aA", "k0"]);
    }

    #[test]
    fn repeated_keys_are_one_in_objects_of_any_size() {
        for count in 1..40 {
            let pairs: Vec<String> = (0..count).map(|i| format!("\"k{i}\": 0")).collect();
            let again: Vec<String> = (0..count).rev().map(|i| format!("\"k{i}\": {i}")).collect();
            let text = format!("{{{}, {}}}", pairs.join(","), again.join(","));
            let object = RawObject::parse(&text).unwrap();
            let members: Vec<_> =
                object.iter().map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect();
            let expected: Vec<_> = (0..count).map(|i| (format!("k{i}"), i.to_string())).collect();
            assert_eq!(members, expected);
        }
    }

    #[test]
    fn types_are_told_apart() {
        let object = RawObject::parse(r#"{"n": null, "s": "x", "l": ["a", 1, " b "], "o": {}, "t": true}"#).unwrap();
        let get = |key| object.get(key).unwrap();
        assert!(is_null(get("n")));
        assert_eq!(string(get("t")), None);
        assert_eq!(number(get("s")), None);
        assert_eq!(strings(get("l")).unwrap(), ["a", " b "]);
        assert!(strings(get("o")).is_none() && RawObject::of(get("o")).is_some());
    }
}
