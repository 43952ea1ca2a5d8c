//! What a plan makes of the files (spec 05 section 12.1), worked out on their content. Nothing is read or written
//! here, so that a dry run and the write cannot differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::plan::{Plan, PlanPlace};
use super::target::config_secrets;
use crate::config::AgentId;
use crate::config::template_names;
use crate::credential::CredentialKind;
use crate::profile::ProfileId;
use crate::provider::{ProviderId, is_env_name_marker, is_marker};
use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::store_document::{StoreDocument, StoreEditError};

/// The config after a plan.
#[derive(Clone, Debug)]
pub struct ProjectedConfig {
    /// The document.
    pub document: Value,
    /// The secrets that references replaced.
    pub replaced: Vec<Secret>,
    /// The providers whose key was replaced.
    pub providers: Vec<ProviderId>,
}

/// Applies a plan to the config as its author wrote it.
///
/// # Errors
///
/// When a target leads through something that is no object, or to a provider that the config does not have.
pub fn project_config(document: &Value, plan: &Plan) -> Result<ProjectedConfig, String> {
    let mut projected = ProjectedConfig { document: document.clone(), replaced: Vec::new(), providers: Vec::new() };
    project_providers(&mut projected.document, plan)?;
    for target in &plan.targets {
        let PlanPlace::Config { target: kind, path, provider } = &target.place else { continue };
        let place = value_at(&mut projected.document, path, provider)?;
        if let Some(text) = place.as_str() {
            let at = path.join(".");
            same_secret(&unescaped(text), target.fingerprint.as_deref()).map_err(|why| format!("{at} {why}"))?;
            projected.replaced.extend(replaced_secret(&unescaped(text)));
        }
        *place = target.reference.to_value();
        let id = ProviderId::normalise(provider);
        if kind.is_provider_key() && !projected.providers.contains(&id) {
            projected.providers.push(id);
        }
    }
    Ok(projected)
}

/// The plaintext that a plan moves must still be the one that it was made for.
fn same_secret(text: &str, wanted: Option<&str>) -> Result<(), String> {
    let Some(wanted) = wanted else { return Ok(()) };
    let has = Secret::new(text).fingerprint().to_string();
    if replaced_secret(text).is_none() || has == wanted {
        return Ok(());
    }
    Err(format!("holds another secret ({has}) than when the plan was made ({wanted}); make a new plan"))
}

/// A text of the config as it is meant: `$${NAME}` stands for `${NAME}`.
pub fn unescaped(text: &str) -> String {
    text.replace("$${", "${")
}

/// Every variable that a config document asks for, whatever for: `${NAME}`, references, names that stand for their
/// value, and what programs may see.
pub fn variables_named(document: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::String(text) => {
                found.extend(template_names(text));
                if is_env_name_marker(text) {
                    found.insert(text.trim().to_owned());
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                if text("source") == Some("env") {
                    found.extend(text("id").map(|id| id.trim().to_owned()));
                }
                let passed = members.get("passEnv").and_then(Value::as_array).into_iter().flatten();
                found.extend(passed.filter_map(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| walk(member, found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(document, &mut found);
    found
}

/// A text that a reference replaces, when it is a secret: neither a reference nor a placeholder.
fn replaced_secret(text: &str) -> Option<Secret> {
    let text = text.trim();
    let is_secret =
        !text.is_empty() && !is_marker(text) && SecretRef::from_template(text, &RefDefaults::default()).is_none();
    is_secret.then(|| Secret::new(text))
}

fn project_providers(document: &mut Value, plan: &Plan) -> Result<(), String> {
    if plan.provider_deletes.is_empty() && plan.provider_upserts.is_empty() {
        return Ok(());
    }
    let shape = || "Invalid path shape at secrets.providers: an object was expected".to_owned();
    let root = document.as_object_mut().ok_or_else(shape)?;
    let secrets =
        root.entry("secrets").or_insert_with(|| Value::Object(Map::new())).as_object_mut().ok_or_else(shape)?;
    let providers =
        secrets.entry("providers").or_insert_with(|| Value::Object(Map::new())).as_object_mut().ok_or_else(shape)?;
    for alias in &plan.provider_deletes {
        providers.shift_remove(alias);
    }
    for (alias, entry) in &plan.provider_upserts {
        if providers.get(alias) != Some(entry) {
            providers.insert(alias.clone(), entry.clone());
        }
    }
    if providers.is_empty() {
        secrets.shift_remove("providers");
    }
    if secrets.is_empty() {
        root.shift_remove("secrets");
    }
    Ok(())
}

/// The place of a target, made where it is missing below its provider.
fn value_at<'v>(document: &'v mut Value, path: &[String], provider: &str) -> Result<&'v mut Value, String> {
    let is_known = document.get("models").and_then(|m| m.get("providers")).and_then(|p| p.get(provider)).is_some();
    if !is_known {
        return Err(format!(
            "models.providers.{provider} is not defined in the config; a target cannot make a provider, which needs a baseUrl and models"
        ));
    }
    let mut at = document;
    for (depth, key) in path.iter().enumerate() {
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        let members = at
            .as_object_mut()
            .ok_or_else(|| format!("Invalid path shape at {}: an object was expected", path[..depth].join(".")))?;
        at = members.entry(key.clone()).or_insert(Value::Null);
    }
    Ok(at)
}

/// The references of a config document, as far as they are about model credentials.
pub fn config_references(document: &Value, defaults: &RefDefaults) -> Vec<(String, SecretRef)> {
    config_secrets(document)
        .iter()
        .filter_map(|secret| Some((secret.dotted(), SecretRef::coerce(secret.value, defaults)?)))
        .collect()
}

/// What a plan did to a credential store.
#[derive(Clone, Debug, Default)]
pub struct ProjectedStore {
    /// The secrets that are gone from it.
    pub replaced: Vec<Secret>,
    /// The profiles that were changed.
    pub touched: Vec<ProfileId>,
    /// Profiles that lost their reference with everything else.
    pub emptied_refs: Vec<ProfileId>,
    /// Logins of a provider whose key was replaced: they come before it.
    pub logins: Vec<ProfileId>,
}

/// Applies the targets of the agents whose store it is, and then removes static credentials of providers whose config key was
/// replaced, except those that the plan has just written.
///
/// # Errors
///
/// When a target does not fit the profile that is there.
pub fn project_store(
    store: &mut StoreDocument,
    plan: &Plan,
    agents: &[AgentId],
    providers: &[ProviderId],
) -> Result<ProjectedStore, StoreEditError> {
    let mut done = ProjectedStore::default();
    for target in &plan.targets {
        let PlanPlace::Profile { agent: owner, id, kind, provider } = &target.place else { continue };
        if !agents.contains(owner) {
            continue;
        }
        let old = store.set_reference(id, *kind, provider.as_deref(), &target.reference)?;
        if let Some(old) = &old {
            same_secret(old, target.fingerprint.as_deref())
                .map_err(|why| StoreEditError::OtherSecret(id.to_string(), why))?;
        }
        done.replaced.extend(old.as_deref().and_then(replaced_secret));
        done.touched.push(id.clone());
    }
    if plan.scrub.profiles {
        let kept: BTreeSet<ProfileId> = done.touched.iter().cloned().collect();
        for (id, kind, provider) in store.credentials() {
            if !providers.contains(&provider) || kept.contains(&id) {
                continue;
            }
            if kind == CredentialKind::OAuth {
                done.logins.push(id);
                continue;
            }
            let Some((old, had_reference)) = store.strip_secret(&id, kind) else { continue };
            done.replaced.extend(old.as_deref().and_then(replaced_secret));
            let template =
                old.as_deref().is_some_and(|old| SecretRef::from_template(old, &RefDefaults::default()).is_some());
            if had_reference || template {
                done.emptied_refs.push(id.clone());
            }
            done.touched.push(id);
        }
    }
    Ok(done)
}

/// What a plan did to a legacy `auth.json`.
#[derive(Clone, Debug, Default)]
pub struct ProjectedLegacy {
    /// Its new content; `None` when nothing changed.
    pub document: Option<Value>,
    /// Providers whose key stays, because it may exist nowhere else.
    pub kept: Vec<String>,
}

/// Removes the keys of `auth.json` that a plan has moved: of its providers, or with a value that was replaced.
pub fn project_legacy(document: &Value, providers: &[ProviderId], replaced: &[Secret]) -> ProjectedLegacy {
    let mut done = ProjectedLegacy::default();
    let Some(members) = document.as_object() else { return done };
    let mut left = members.clone();
    for (provider, entry) in members {
        let key = entry.get("key").and_then(Value::as_str).map(str::trim).filter(|key| !key.is_empty());
        let Some(key) = key.filter(|_| entry.get("type").and_then(Value::as_str) == Some("api_key")) else { continue };
        let moved = providers.contains(&ProviderId::normalise(provider))
            || replaced.iter().any(|secret| secret.is_same(&Secret::new(key)));
        if moved {
            left.shift_remove(provider);
        } else {
            done.kept.push(provider.clone());
        }
    }
    if left.len() != members.len() {
        done.document = Some(Value::Object(left));
    }
    done
}

/// Whether a text holds a secret that was replaced, as it is or as JSON writes it.
pub fn holds_secret(text: &str, secrets: &[Secret]) -> bool {
    secrets.iter().any(|secret| {
        let plain = secret.reveal();
        let quoted = Value::from(plain).to_string();
        // A short one would be found in any text; then only as a whole value.
        let found_plain = plain.len() >= 8 && text.contains(plain);
        found_plain || text.contains(&quoted) || text.contains(&format!("'{plain}'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn plan(targets: &Value, more: Value) -> Plan {
        let mut root = json!({"version": 1, "protocolVersion": 1, "targets": targets});
        if let (Some(root), Value::Object(more)) = (root.as_object_mut(), more) {
            root.extend(more);
        }
        Plan::from_value(&root).unwrap()
    }

    fn key_of(provider: &str) -> Value {
        json!({"type": "models.providers.apiKey", "path": format!("models.providers.{provider}.apiKey"),
            "ref": {"source": "env", "provider": "default", "id": "A_KEY"}})
    }

    fn profile(id: &str, provider: Option<&str>) -> Value {
        let mut target = json!({"type": "auth-profiles.api_key.key", "path": format!("profiles.{id}.key"), "agentId": "main",
            "ref": {"source": "env", "provider": "default", "id": "A_KEY"}});
        if let Some(provider) = provider {
            target["authProfileProvider"] = json!(provider);
        }
        target
    }

    #[test]
    fn references_take_the_place_of_keys() {
        let config = json!({"models": {"providers": {"acme": {"apiKey": " sk-test-old ", "baseUrl": "x"}}}, "secrets": {"providers": {"old": {"source": "env"}}}});
        let plan = plan(
            &json!([key_of("acme")]),
            json!({"providerDeletes": ["old"], "providerUpserts": {"v": {"source": "env"}}}),
        );
        let done = project_config(&config, &plan).unwrap();
        assert_eq!(done.document["models"]["providers"]["acme"]["apiKey"]["id"], "A_KEY");
        assert_eq!(done.document["secrets"], json!({"providers": {"v": {"source": "env"}}}));
        assert_eq!((done.replaced[0].reveal(), done.providers[0].as_str()), ("sk-test-old", "acme"));
        // Once more changes nothing, and a reference is no secret to clean up.
        let again = project_config(&done.document, &plan).unwrap();
        assert!(again.document == done.document && again.replaced.is_empty());
    }

    #[test]
    fn targets_need_their_provider_and_objects_on_the_way() {
        let known = json!({"models": {"providers": {"acme": {"headers": "text"}}}});
        let error = project_config(&known, &plan(&json!([key_of("other")]), json!({}))).unwrap_err();
        assert!(error.contains("models.providers.other is not defined"), "{error}");
        let header = json!([{"type": "models.providers.headers", "path": "models.providers.acme.headers.X", "ref": key_of("a")["ref"]}]);
        assert!(
            project_config(&known, &plan(&header, json!({})))
                .unwrap_err()
                .contains("Invalid path shape at models.providers.acme.headers")
        );
        let removed = json!({"secrets": {"providers": {"v": {"source": "env"}}}, "x": 1});
        let plan = plan(&json!([]), json!({"providerDeletes": ["v"]}));
        assert_eq!(project_config(&removed, &plan).unwrap().document, json!({"x": 1}));
    }

    #[test]
    fn stores_get_references_and_lose_what_a_provider_key_makes_superfluous() {
        let text = r#"{"version":1,"profiles":{"acme:a":{"type":"api_key","provider":"acme","key":"sk-test-a","email":"e"},
            "acme:b":{"type":"token","provider":"ACME","token":"tok-test-b"},"acme:o":{"type":"oauth","provider":"acme","access":"x"},
            "acme:r":{"type":"api_key","provider":"acme","keyRef":{"source":"env","id":"R"}},"beta:a":{"type":"api_key","provider":"beta","key":"sk-test-c"}}}"#;
        let mut store = StoreDocument::parse(text).unwrap();
        let plan = plan(&json!([profile("acme:a", None), profile("new:x", Some("new"))]), json!({}));
        let done = project_store(&mut store, &plan, &[AgentId::main()], &[ProviderId::normalise("acme")]).unwrap();
        let touched: Vec<&ProfileId> = done.touched.iter().collect();
        let after: Value = serde_json::from_str(&store.to_text(&touched).unwrap()).unwrap();
        let reference = json!({"source": "env", "provider": "default", "id": "A_KEY"});
        assert_eq!(
            after["profiles"],
            json!({"acme:a": {"type": "api_key", "provider": "acme", "email": "e", "keyRef": reference},
                "acme:b": {"type": "token", "provider": "ACME"}, "acme:o": {"type": "oauth", "provider": "acme", "access": "x"},
                "acme:r": {"type": "api_key", "provider": "acme"}, "beta:a": {"type": "api_key", "provider": "beta", "key": "sk-test-c"},
                "new:x": {"type": "api_key", "provider": "new", "keyRef": reference}})
        );
        assert_eq!(done.replaced.iter().map(Secret::reveal).collect::<Vec<_>>(), ["sk-test-a", "tok-test-b"]);
        assert_eq!((done.emptied_refs[0].as_str(), done.logins[0].as_str()), ("acme:r", "acme:o"));
    }

    #[test]
    fn targets_must_fit_their_profile() {
        let text =
            r#"{"profiles":{"a":{"type":"token","provider":"p","token":"t"},"o":{"type":"oauth","provider":"p"}}}"#;
        for (target, words) in [
            (profile("a", None), "type mismatch"),
            (profile("o", None), "type mismatch"),
            (profile("missing", None), "without authProfileProvider"),
        ] {
            let mut store = StoreDocument::parse(text).unwrap();
            let error =
                project_store(&mut store, &plan(&json!([target]), json!({})), &[AgentId::main()], &[]).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn legacy_keys_go_only_when_they_were_moved() {
        let document = json!({"acme": {"type": "api_key", "key": "k1"}, "zeta": {"type": "api_key", "key": "only-here"},
            "twin": {"type": "api_key", "key": "sk-test-moved"}, "o": {"type": "oauth", "access": "a"}});
        let done = project_legacy(&document, &[ProviderId::normalise("acme")], &[Secret::new("sk-test-moved")]);
        assert_eq!(
            done.document,
            Some(json!({"zeta": {"type": "api_key", "key": "only-here"}, "o": {"type": "oauth", "access": "a"}}))
        );
        assert_eq!(done.kept, ["zeta"]);
        assert!(project_legacy(&json!([]), &[], &[]).document.is_none());
    }

    #[test]
    fn secrets_are_found_as_json_writes_them() {
        let secrets = [Secret::new("sk-test-\"quoted\""), Secret::new("tiny")];
        assert!(holds_secret(r#"{"a": "sk-test-\"quoted\""}"#, &secrets) && holds_secret("k: 'tiny'", &secrets));
        assert!(!holds_secret("destiny", &secrets));
    }

    proptest! {
        #[test]
        fn a_plan_applied_twice_is_a_plan_applied_once(
            keys in proptest::collection::btree_map("[a-c]", proptest::option::of("[a-z]{1,6}"), 1..4),
            targets in proptest::collection::vec("[a-d]", 0..4),
        ) {
            let config = json!({"models": {"providers": keys.iter().map(|(id, key)| (id.clone(), json!({"baseUrl": "x", "apiKey": key.clone().unwrap_or_default()}))).collect::<Map<_, _>>()}});
            let plan = plan(&targets.iter().map(|id| key_of(id)).collect::<Value>(), json!({}));
            if let Ok(once) = project_config(&config, &plan) {
                let twice = project_config(&once.document, &plan).unwrap();
                prop_assert_eq!(&twice.document, &once.document);
                prop_assert!(twice.replaced.is_empty());
            }
        }
    }
}
