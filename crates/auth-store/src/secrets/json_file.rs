//! Putting secrets into the JSON file of a file provider: what is there stays.

use std::io::ErrorKind;
use std::path::Path;

use auth_core::secrets::SecretJson;
use auth_core::{Secret, is_file_id};
use serde_json::Value;
use zeroize::Zeroizing;

use super::keeper::KeeperError;
use crate::json5_edit::{Change, apply};
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
    let broken = |why: String| fail(why);
    let text = match &old {
        Some(bytes) => std::str::from_utf8(bytes).map_err(|_| broken("is not UTF-8".to_owned()))?,
        None => "{}",
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let document = SecretJson::parse(text).map_err(broken)?;
    let mut new = Zeroizing::new(text.to_owned());
    for (pointer, secret) in secrets {
        match document.secret_at(pointer) {
            Ok(Some(known)) if known.is_same(secret) => continue,
            Ok(_) => return Err(fail(format!("has another value at {pointer}"))),
            Err(_) => {}
        }
        let path = steps(pointer).ok_or_else(|| fail(format!("cannot have {pointer}, which is no JSON pointer")))?;
        let change = Change { path, to: Some(Value::from(secret.reveal())) };
        let edited = apply(&new, &change).map_err(|_| fail(format!("has something else on the way to {pointer}")))?;
        new = Zeroizing::new(edited);
    }
    // What was spliced in must be read back; everything else was not touched.
    let again = SecretJson::parse(&new).map_err(broken)?;
    let stored = |(pointer, secret): &(String, Secret)| {
        again.secret_at(pointer).ok().flatten().is_some_and(|s| s.is_same(secret))
    };
    if let Some((pointer, _)) = secrets.iter().find(|entry| !stored(entry)) {
        return Err(fail(format!("has something else on the way to {pointer}")));
    }
    if new.len() as u64 > max_bytes {
        return Err(fail(format!("would exceed maxBytes ({max_bytes})")));
    }
    if old.as_ref().is_none_or(|old| old.as_slice() != new.as_bytes()) {
        replace(&guard, path, new.as_bytes(), host)?;
    }
    Ok(())
}

/// The members on the way to a pointer.
fn steps(pointer: &str) -> Option<Vec<String>> {
    let rest = pointer.strip_prefix('/').filter(|_| is_file_id(pointer))?;
    Some(rest.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
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
        let numbers = "{\"n\": 12345678901234567890123, \"f\": 1.10}";
        std::fs::write(&path, numbers).unwrap();
        add("/k", "x").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("12345678901234567890123") && text.contains("1.10") && text.contains("\"k\""), "{text}");
        assert!(add("/k2", &"y".repeat(2000)).unwrap_err().contains("would exceed maxBytes (1000)"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
