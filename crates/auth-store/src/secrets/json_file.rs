//! Putting secrets into the JSON file of a file provider: what is there stays.

use std::io::ErrorKind;
use std::path::Path;

use auth_core::secrets::wipe_json;
use auth_core::{Secret, is_file_id};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::keeper::KeeperError;
use crate::layout::StateLayout;
use crate::lock::lock;
use crate::replace::{make_parent, replace};
use crate::secure_file::reason;
use crate::write_host::WriteHost;

/// How long reading the file may take, in milliseconds.
const TIMEOUT_MS: u64 = 5_000;

/// Adds secrets by pointer. One that is there already must be the same.
///
/// # Errors
///
/// When the file is no JSON object, something else stands at a pointer, or it cannot be written. It is as it was then.
pub(crate) fn add_to_json_file(
    path: &Path,
    max_bytes: u64,
    secrets: &[(String, Secret)],
    layout: &StateLayout,
    host: &dyn WriteHost,
) -> Result<(), KeeperError> {
    let fail = |why: String| KeeperError::File { file: layout.shorten(path), why };
    make_parent(path, host)?;
    let guard = lock(path, host)?;
    let old = match host.read_secure(path, max_bytes, TIMEOUT_MS) {
        Ok((_, bytes)) => Some(Zeroizing::new(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(fail(reason(&error))),
    };
    let mut root = match &old {
        Some(bytes) => serde_json::from_slice(bytes)
            .map_err(|error| fail(format!("is not valid JSON (line {}, column {})", error.line(), error.column())))?,
        None => Value::Object(Map::new()),
    };
    if !root.is_object() {
        return Err(fail("payload is not a JSON object".to_owned()));
    }
    let added = secrets.iter().try_for_each(|(pointer, secret)| {
        let place =
            place_at(&mut root, pointer).ok_or_else(|| fail(format!("has something else on the way to {pointer}")))?;
        if !place.is_null() && place.as_str() != Some(secret.reveal()) {
            return Err(fail(format!("has another value at {pointer}")));
        }
        *place = Value::from(secret.reveal());
        Ok(())
    });
    let mut text = serde_json::to_string_pretty(&root).unwrap_or_default();
    wipe_json(&mut root);
    text.push('\n');
    let text = Zeroizing::new(text);
    added?;
    if old.as_ref().is_none_or(|old| old.as_slice() != text.as_bytes()) {
        replace(&guard, path, text.as_bytes(), host)?;
    }
    Ok(())
}

/// The place of a pointer, made where it is missing; `null` when nothing stands there. `None` when the way is blocked.
fn place_at<'v>(root: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    let rest = pointer.strip_prefix('/').filter(|_| is_file_id(pointer))?;
    rest.split('/').try_fold(root, |at, token| {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let name = token.replace("~1", "/").replace("~0", "~");
        Some(at.as_object_mut()?.entry(name).or_insert(Value::Null))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::write_host::faulty::FaultyHost;
    use auth_core::Environment;

    #[test]
    fn secrets_come_in_and_what_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let layout = StateLayout::resolve(&Environment::from_process(host.variables()), &host);
        let path = dir.path().join("s.json");
        let add = |pointer: &str, secret: &str| {
            let entry = (pointer.to_owned(), Secret::new(secret));
            add_to_json_file(&path, 1000, &[entry], &layout, &host).map_err(|error| error.to_string())
        };
        add("/openai/a~1b", "sk-test-canary-1").unwrap();
        add("/openai/work", "sk-test-canary-2").unwrap();
        add("/openai/work", "sk-test-canary-2").unwrap();
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
        let wanted = serde_json::json!({"openai": {"a/b": "sk-test-canary-1", "work": "sk-test-canary-2"}});
        assert_eq!(read(), wanted);
        for (pointer, secret) in [("/openai/work", "other"), ("/openai/work/deeper", "x"), ("value", "x")] {
            let error = add(pointer, secret).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
        assert_eq!(read(), wanted);
        std::fs::write(&path, "[\"sk-test-canary-3\"]").unwrap();
        assert!(add("/a", "x").unwrap_err().contains("not a JSON object"));
    }
}
