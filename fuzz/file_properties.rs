//! What must hold for any file of the state directory and for whatever people type. Used by the fuzz targets and by the
//! tests that replay the kept corpora.

use auth_core::session::{Directive, KnownModels, find_directive, select};
use auth_core::{
    AgentId, AuthProfiles, Config, Eligibility, Owner, Profile, ProfileId, ProviderId, StoreDocument, Timestamp,
    UsageStats, is_variable_name, parse_dotenv, resolve_order,
};

const NOW: i64 = 1_800_000_000_000;

/// Any text is a store or an error with a place. A store keeps every profile through a change of one thing, and its
/// order holds each profile once.
pub(crate) fn profiles(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(store) = AuthProfiles::parse(text, Owner::Agent) else { return };
    let now = Timestamp::from_ms(NOW);
    let providers: Vec<ProviderId> = store.iter().map(|profile| profile.provider.clone()).collect();
    for provider in &providers {
        let order = resolve_order(&Config::default(), &store, provider, None, now);
        let mut tried: Vec<&ProfileId> = order.tried.iter().map(|entry| &entry.id).collect();
        assert!(order.tried.iter().all(|entry| entry.eligibility == Eligibility::Ok));
        let count = tried.len();
        tried.sort_unstable();
        tried.dedup();
        assert_eq!(tried.len(), count, "a profile stands twice in the order");
    }
    let Ok(mut document) = StoreDocument::parse(text) else { return };
    let Some(first) = store.iter().next() else { return };
    document.set_usage(&first.id, &UsageStats::default().after_success(now));
    let Ok(written) = document.to_text(&[&first.id]) else { return };
    let after = AuthProfiles::parse(&written, Owner::Agent).expect("what was written can be read");
    assert_eq!(after.iter().count(), store.iter().count());
    for profile in store.iter() {
        let same = after.get(&profile.id).expect("no profile is lost");
        let print = |profile: &Profile| {
            let material = profile.credential.material().and_then(|material| material.inline().cloned());
            (profile.credential.kind(), profile.provider.clone(), material.map(|secret| secret.fingerprint()))
        };
        assert_eq!(print(same), print(profile));
    }
    let again = StoreDocument::parse(&written).expect("what was written can be changed");
    assert_eq!(again.to_text(&[]).expect("and written again"), written, "a second writing changes the text");
}

/// Any text is a `.env` file. Every entry has a name that is one and lines that are there.
pub(crate) fn dotenv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = u32::try_from(text.split(['\n', '\r']).count()).unwrap_or(u32::MAX);
    let mut before = 0;
    for entry in parse_dotenv(text) {
        assert!(is_variable_name(&entry.name), "{:?}", entry.name);
        assert!(entry.line >= 1 && entry.line <= entry.last_line && entry.last_line <= lines);
        assert!(entry.line >= before);
        before = entry.line;
        assert_eq!(format!("{entry:?}"), format!("{}:{}", entry.name, entry.line));
    }
}

/// A duration is an error, or a whole number of milliseconds above zero.
pub(crate) fn durations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(ms) = auth_core::login_input::duration_ms(text) {
        assert!(ms > 0.0 && ms.fract() == 0.0 && ms.is_finite());
        let again = auth_core::login_input::duration_ms(&format!("{ms}ms")).expect("its own milliseconds");
        assert!((again - ms).abs() < 1.0);
    }
}

/// A message is taken apart without losing a word of it, and a choice of a model is an error or names one.
pub(crate) fn directives(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = serde_json::json!({"agents": {"defaults": {
        "model": {"primary": "anthropic/claude-opus-4-6", "fallbacks": ["groq/llama"]},
        "models": {"anthropic/claude-opus-4-6": {"alias": "opus"}, "groq/llama": {"alias": "fast"}}}}});
    let config = Config::from_value(&config);
    let store = AuthProfiles::parse(
        r#"{"version": 1, "profiles": {
            "anthropic:a+b@x.org": {"type": "api_key", "provider": "anthropic", "key": "sk-test-fuzz-00000001"},
            "12345678": {"type": "api_key", "provider": "groq", "key": "sk-test-fuzz-00000002"}}}"#,
        Owner::Agent,
    )
    .expect("a store");
    let said = find_directive(text, &config);
    assert!(said.rest.len() <= text.len());
    for word in said.rest.split_whitespace() {
        assert!(text.contains(word), "{word:?} was not said");
    }
    if said.directive.is_none() {
        assert_eq!(said.rest.trim(), text.trim());
    }
    if let Some(Directive::Select(argument)) = said.directive {
        let known = KnownModels::of(&config, &AgentId::main());
        if let Ok(selection) = select(&argument, &config, &known, &store) {
            assert!(known.allows(&selection.model));
            let profile = selection.profile.as_ref().map(|id| store.get(id).expect("a profile that exists"));
            assert!(profile.is_none_or(|profile| profile.provider == selection.model.provider_id()));
        }
    }
}
