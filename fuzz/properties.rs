//! What must hold for any input. Used by the fuzz targets and by the tests that replay the kept corpora.

use auth_core::secrets::{self, Redactor, SecretJson, read_exec_request};
use auth_core::{RefDefaults, Secret, SecretRef};

/// Any JSON value is a reference or none; one that is survives its own JSON form.
pub(crate) fn secret_ref(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let defaults = RefDefaults::default();
    let Some(reference) = SecretRef::coerce(&value, &defaults) else { return };
    assert_eq!(SecretRef::coerce(&reference.to_value(), &defaults).as_ref(), Some(&reference));
    // A strict id is a valid one.
    assert!(reference.id_fault().is_some() || reference.has_valid_id() || reference.id.trim() != reference.id);
    let _ = (reference.to_string(), reference.label());
}

/// The first line is a pointer, the rest a document.
pub(crate) fn json_pointer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pointer, document) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(document) = SecretJson::parse(document) else { return };
    let _ = document.secret_at(pointer);
}

/// The first byte chooses how the rest is read. No message holds a run of what the program printed, unless the program
/// said it about an id.
pub(crate) fn exec_response(data: &[u8]) {
    let Some((mode, output)) = data.split_first() else { return };
    let ids: &[&str] = if mode & 1 == 0 { &["a"] } else { &["a", "b"] };
    match secrets::exec_response("vault", output, ids, mode & 2 == 0, &[]) {
        Ok(answers) => assert_eq!(answers.len(), ids.len()),
        Err(error) => {
            let printed = String::from_utf8_lossy(output).into_owned();
            let error = error.to_string();
            let words = printed.split_whitespace().filter(|word| word.len() >= 16);
            assert!(words.into_iter().all(|word| !error.contains(word)), "{error}");
        }
    }
    let text = String::from_utf8_lossy(output);
    let _ = read_exec_request(&text);
    let _ = Redactor::of([Secret::new("sk-test-fuzz-secret-0001")]).redact(&text);
}
