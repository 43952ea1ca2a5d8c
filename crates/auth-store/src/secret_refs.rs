//! What the references of the config resolve to, as far as that needs no program (spec 05 sections 3 to 7).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use auth_core::config::{SecretInput, SecretProvider};
use auth_core::{
    AuthProfiles, Config, Environment, RefSource, RefState, ResolvedRefs, Secret, SecretRef, config_key_refs,
    is_file_id,
};
use serde_json::Value;

use crate::host::Host;
use crate::layout::StateLayout;
use crate::secure_file::FileFacts;

/// The limit of a file provider without one of its own, in bytes.
const DEFAULT_MAX_BYTES: u64 = 1_048_576;

/// Resolves the references of the config's keys and of the profiles that an agent sees, as far as variables and files
/// go. Those that need a program are left unasked, unless it is plain that they cannot be: reports run nothing.
pub fn resolve_refs(
    config: &Config,
    store: &AuthProfiles,
    env: &Environment,
    layout: &StateLayout,
    host: &dyn Host,
) -> ResolvedRefs {
    let of_search = match &config.xai_search_key {
        Some(SecretInput::Reference(reference)) => Some(reference.clone()),
        _ => None,
    };
    let of_profiles =
        store.iter().filter_map(|profile| profile.credential.material()?.resolved_reference(&config.ref_defaults));
    let wanted = config_key_refs(config).map(|(_, reference)| reference.clone()).chain(of_search).chain(of_profiles);
    // Asked once each, and never more of one provider than the config allows.
    let mut by_provider: Vec<((RefSource, String), Vec<SecretRef>)> = Vec::new();
    let mut seen = HashSet::new();
    for reference in wanted.filter(|reference| seen.insert(reference.clone())) {
        let key = (reference.source, reference.provider.clone());
        match by_provider.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(reference),
            None => by_provider.push((key, vec![reference])),
        }
    }
    let mut resolver = Resolver { config, env, layout, host, files: Vec::new() };
    let mut states = ResolvedRefs::default();
    for (_, group) in by_provider {
        let limit = config.max_refs_per_provider;
        let too_many = group.len() > limit;
        for reference in group {
            let state = if too_many {
                RefState::Unresolved(format!("exceeded maxRefsPerProvider ({limit})"))
            } else {
                resolver.resolve(&reference)
            };
            states.insert(reference, state);
        }
    }
    states
}

struct Resolver<'a> {
    config: &'a Config,
    env: &'a Environment,
    layout: &'a StateLayout,
    host: &'a dyn Host,
    /// Each file is read once; its failure is remembered too.
    files: Vec<(String, Result<Payload, String>)>,
}

#[derive(Clone)]
enum Payload {
    Text(Secret),
    Json(Value),
}

impl Resolver<'_> {
    fn resolve(&mut self, reference: &SecretRef) -> RefState {
        match reference.source {
            RefSource::Env => self.config.env_ref_state(reference, self.env),
            RefSource::Exec => match self.config.ref_provider(reference) {
                Ok(_) => RefState::NotRun,
                Err(why) => RefState::Unresolved(why),
            },
            RefSource::File => match self.resolve_file(reference) {
                Ok(secret) => RefState::Resolved(secret),
                Err(why) => RefState::Unresolved(why),
            },
        }
    }

    fn resolve_file(&mut self, reference: &SecretRef) -> Result<Secret, String> {
        let alias = &reference.provider;
        let Some(provider) = self.config.ref_provider(reference)? else {
            return Err(format!("Secret provider \"{alias}\" is not configured (ref: {reference})"));
        };
        let payload = self.payload(alias, provider)?;
        let id = reference.id.trim();
        let found = match payload {
            Payload::Text(text) if id == "value" => text,
            Payload::Text(_) => return Err(format!("singleValue file provider \"{alias}\" expects ref id \"value\"")),
            Payload::Json(root) => match pointer(&root, id)? {
                Value::String(text) => Secret::new(text.as_str()),
                _ => return Err(format!("the value of {reference} is not a non-empty string")),
            },
        };
        found.cleaned().ok_or_else(|| format!("the value of {reference} is not a non-empty string"))
    }

    fn payload(&mut self, alias: &str, provider: &SecretProvider) -> Result<Payload, String> {
        if let Some((_, known)) = self.files.iter().find(|(known, _)| known == alias) {
            return known.clone();
        }
        let loaded = self.load(alias, provider);
        self.files.push((alias.to_owned(), loaded.clone()));
        loaded
    }

    fn load(&self, alias: &str, provider: &SecretProvider) -> Result<Payload, String> {
        let label = format!("secrets.providers.{alias}.path");
        let setting = |name: &str| provider.settings.get(name);
        let path = self.absolute_path(setting("path").and_then(Value::as_str).unwrap_or_default(), &label)?;
        let max_bytes = setting("maxBytes").and_then(Value::as_u64).unwrap_or(DEFAULT_MAX_BYTES);
        let (facts, bytes) = self.host.read_secure(&path, max_bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => format!("{label} exceeded maxBytes ({max_bytes})"),
            std::io::ErrorKind::IsADirectory => format!("{label} must be a file"),
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                format!("{label} must not be a symlink")
            }
            _ => format!("{label} is not readable ({})", crate::secure_file::reason(&error)),
        })?;
        if setting("allowInsecurePath").and_then(Value::as_bool) != Some(true) {
            check_access(facts, self.host.user_id(), &label, &self.layout.shorten(&path))?;
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("{label} is not valid UTF-8"))?;
        if setting("mode").and_then(Value::as_str) == Some("singleValue") {
            let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
            return Ok(Payload::Text(Secret::new(text)));
        }
        match serde_json::from_str(&text) {
            Ok(root @ Value::Object(_)) => Ok(Payload::Json(root)),
            Ok(_) => Err(format!("{label} payload is not a JSON object")),
            Err(_) => Err(format!("{label} is not valid JSON")),
        }
    }

    fn absolute_path(&self, text: &str, label: &str) -> Result<PathBuf, String> {
        let text = text.trim();
        if Path::new(text).is_absolute() || text == "~" || text.starts_with("~/") {
            Ok(self.layout.user_path(text))
        } else {
            Err(format!("{label} must be an absolute path"))
        }
    }
}

/// A file with a secret must be ours alone (spec 05 section 7).
fn check_access(facts: FileFacts, user: u32, label: &str, shown: &str) -> Result<(), String> {
    if facts.mode & 0o066 != 0 {
        return Err(format!("{label} permissions are too open ({:04o}). Run: chmod 600 {shown}", facts.mode));
    }
    if facts.owner != user {
        return Err(format!("{label} must be owned by the current user"));
    }
    Ok(())
}

/// The value at a JSON pointer.
fn pointer<'a>(root: &'a Value, id: &str) -> Result<&'a Value, String> {
    let Some(rest) = id.strip_prefix('/').filter(|_| is_file_id(id)) else {
        return Err("file references of JSON files are absolute JSON pointers".to_owned());
    };
    rest.split('/').try_fold(root, |value, token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        let shown: String = token.chars().filter(|c| !c.is_control()).collect();
        let next = match value {
            Value::Array(items) => {
                if token.is_empty() || !token.bytes().all(|b| b.is_ascii_digit()) {
                    None
                } else {
                    let item = token.parse::<usize>().ok().and_then(|index| items.get(index));
                    return item.ok_or_else(|| format!("JSON pointer segment \"{shown}\" is out of bounds"));
                }
            }
            Value::Object(members) => members.get(&token),
            _ => None,
        };
        next.ok_or_else(|| format!("JSON pointer segment \"{shown}\" does not exist"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{MapHost, RealHost};
    use serde_json::json;

    fn state(host: &dyn Host, provider: &Value, id: &str) -> Result<String, String> {
        let config = Config::from_value(&json!({
            "secrets": {"providers": {"f": provider}},
            "models": {"providers": {"p": {"apiKey": {"source": "file", "provider": "f", "id": id}}}}}));
        let env = Environment::from_process(host.variables());
        let layout = StateLayout::resolve(&env, host);
        let resolved = resolve_refs(&config, &AuthProfiles::default(), &env, &layout, host);
        let (_, reference) = config_key_refs(&config).next().unwrap();
        match resolved.get(reference) {
            RefState::Resolved(secret) => Ok(secret.reveal().to_owned()),
            RefState::Unresolved(why) => Err(why.clone()),
            RefState::NotRun => Err("not run".to_owned()),
        }
    }

    #[test]
    fn files_give_values_by_pointer_or_whole() {
        let host = MapHost::new("/h")
            .file("/h/s.json", r#"{"a": {"b/c": ["x", "sk-test-1"]}, "n": 7, "": "root"}"#)
            .file("/h/one", "sk-test-2\r\n");
        let json_file = json!({"source": "file", "path": "~/s.json"});
        let get = |id: &str| state(&host, &json_file, id);
        assert_eq!(get("/a/b~1c/1").as_deref(), Ok("sk-test-1"));
        assert_eq!(get("/").as_deref(), Ok("root"));
        assert!(get("/a/b~1c/1abc").unwrap_err().contains("does not exist"));
        assert!(get("/a/b~1c/7").unwrap_err().contains("is out of bounds"));
        assert!(get("/n").unwrap_err().contains("is not a non-empty string"));
        assert!(get("value").unwrap_err().contains("absolute JSON pointers"));
        let one = json!({"source": "file", "path": "/h/one", "mode": "singleValue"});
        assert_eq!(state(&host, &one, "value").as_deref(), Ok("sk-test-2"));
        assert!(state(&host, &one, "/a").unwrap_err().contains("expects ref id \"value\""));
        assert!(
            state(&host, &json!({"source": "file", "path": "rel"}), "/a")
                .unwrap_err()
                .contains("must be an absolute path")
        );
        assert!(
            state(&host, &json!({"source": "file", "path": "/h/gone"}), "/a").unwrap_err().contains("is not readable")
        );
        assert!(
            state(&host, &json!({"source": "file", "path": "/h/one"}), "/a")
                .unwrap_err()
                .ends_with("is not valid JSON")
        );
    }

    #[test]
    fn files_that_others_can_reach_are_refused() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "sk-test-3").unwrap();
        let ask = |path: &Path, more: &Value| {
            let mut provider = json!({"source": "file", "path": path, "mode": "singleValue"});
            provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            state(&RealHost, &provider, "value")
        };
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(ask(&path, &json!({})).unwrap_err().contains("permissions are too open"));
        assert!(ask(&path, &json!({"allowInsecurePath": true})).is_ok());
        mode(0o600);
        assert_eq!(ask(&path, &json!({})).as_deref(), Ok("sk-test-3"));
        assert!(ask(&path, &json!({"maxBytes": 4})).unwrap_err().contains("exceeded maxBytes (4)"));
        assert!(ask(dir.path(), &json!({})).unwrap_err().contains("must be a file"));
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(ask(&link, &json!({})).unwrap_err().contains("must not be a symlink"));
    }
}
