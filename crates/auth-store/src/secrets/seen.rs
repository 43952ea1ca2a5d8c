//! The secrets that this process has resolved, so that a last look at everything it prints can hide them
//! (spec 05 section 14).

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use auth_core::{Fingerprint, Secret};

/// Shorter ones would garble any text.
const SHORTEST: usize = 8;

static SEEN: Mutex<Vec<Secret>> = Mutex::new(Vec::new());
/// What is in there already: a program that reads again and again must not grow.
static KNOWN: Mutex<BTreeSet<Fingerprint>> = Mutex::new(BTreeSet::new());

/// Notes a secret, so that nothing printed later shows it.
pub fn remember_seen(secret: &Secret) {
    if secret.reveal().trim().chars().count() < SHORTEST {
        return;
    }
    let is_new = KNOWN.lock().is_ok_and(|mut known| known.insert(secret.fingerprint()));
    if is_new && let Ok(mut seen) = SEEN.lock() {
        seen.push(secret.clone());
    }
}

/// Whether there is anything to hide.
pub fn has_seen() -> bool {
    SEEN.lock().is_ok_and(|seen| !seen.is_empty())
}

/// Every secret that was noted.
pub(crate) fn seen_secrets() -> Vec<Secret> {
    SEEN.lock().map(|seen| seen.clone()).unwrap_or_default()
}

/// The text without any secret that this process has resolved, as it is or as JSON writes it; `None` when there is
/// nothing to hide. One pass over the text, however many secrets there are.
pub fn without_seen(text: &str) -> Option<String> {
    let seen = seen_secrets();
    let mut forms: HashMap<&[u8], Vec<String>> = HashMap::new();
    let mut patterns: Vec<String> = Vec::new();
    for secret in &seen {
        let plain = secret.reveal().trim();
        let quoted = serde_json::Value::from(plain).to_string();
        let quoted = quoted[1..quoted.len() - 1].to_owned();
        patterns.extend((quoted != plain).then_some(quoted));
        patterns.push(plain.to_owned());
    }
    for pattern in &patterns {
        forms.entry(&pattern.as_bytes()[..SHORTEST]).or_default().push(pattern.clone());
    }
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while at + SHORTEST <= bytes.len() {
        let known = forms.get(&bytes[at..at + SHORTEST]);
        let hit = known.into_iter().flatten().filter(|form| bytes[at..].starts_with(form.as_bytes()));
        let Some(length) = hit.map(String::len).max() else {
            at += 1;
            continue;
        };
        out.push_str(&text[copied..at]);
        out.push_str("***");
        at += length;
        copied = at;
    }
    (copied > 0).then(|| {
        out.push_str(&text[copied..]);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_resolved_is_hidden() {
        assert_eq!(without_seen("nothing of it here"), None);
        remember_seen(&Secret::new("seen-canary-\"1\""));
        remember_seen(&Secret::new("tiny"));
        assert_eq!(without_seen("a seen-canary-\"1\" b tiny").as_deref(), Some("a *** b tiny"));
        assert_eq!(without_seen(r#"{"k": "seen-canary-\"1\""}"#).as_deref(), Some(r#"{"k": "***"}"#));
    }
}
