//! Secrets in the keyring of the operating system; the ids, without values, stand in a file of the state directory.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use auth_core::Secret;
use keyring_core::{CredentialStore, Entry, Error};
use serde_json::{Value, json};

use super::{Keeper, KeeperError, KeeperPlace, NOT_FOUND, check_entry, check_id};
use crate::lock::lock;
use crate::replace::{make_parent, replace};
use crate::secure_file::reason;

/// The name under which all secrets stand.
const SERVICE: &str = "openclaw";
/// The largest index that is read, in bytes.
const MAX_INDEX: u64 = 4 * 1024 * 1024;

pub(super) struct OsKeyring<'a> {
    place: KeeperPlace<'a>,
    store: Arc<CredentialStore>,
}

impl<'a> OsKeyring<'a> {
    pub(super) fn open(place: KeeperPlace<'a>) -> Result<Self, KeeperError> {
        Ok(Self { store: system_store().map_err(|error| fault(&error))?, place })
    }

    fn entry(&self, id: &str) -> Result<Entry, Error> {
        self.store.build(SERVICE, id, None)
    }

    fn index_path(&self) -> PathBuf {
        self.place.layout.state_dir().join("secrets-index.json")
    }

    fn index(&self) -> Result<BTreeSet<String>, KeeperError> {
        let path = self.index_path();
        let fail = |why: String| KeeperError::File { file: self.place.layout.shorten(&path), why };
        let bytes = match self.place.host.read(&path, MAX_INDEX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(fail(format!("cannot be read: {}", reason(&error)))),
        };
        let root: Value = serde_json::from_slice(&bytes)
            .map_err(|error| fail(format!("is not valid JSON (line {}, column {})", error.line(), error.column())))?;
        let ids = root.get("keyring").and_then(Value::as_array).into_iter().flatten();
        Ok(ids.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn change_index(&self, change: impl FnOnce(&mut BTreeSet<String>)) -> Result<(), KeeperError> {
        let path = self.index_path();
        make_parent(&path, self.place.host)?;
        let guard = lock(&path, self.place.host)?;
        let old = self.index()?;
        let mut new = old.clone();
        change(&mut new);
        if new != old {
            let text = serde_json::to_string_pretty(&json!({ "version": 1, "keyring": new })).unwrap_or_default();
            replace(&guard, &path, format!("{text}\n").as_bytes(), self.place.host)?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn system_store() -> Result<Arc<CredentialStore>, Error> {
    Ok(zbus_secret_service_keyring_store::Store::new()?)
}

#[cfg(target_os = "macos")]
fn system_store() -> Result<Arc<CredentialStore>, Error> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

/// What went wrong, without the secret that some errors carry.
fn fault(error: &Error) -> KeeperError {
    KeeperError::Keyring(match error {
        Error::BadEncoding(_) | Error::BadDataFormat(..) => "the entry is not text".to_owned(),
        other => other.to_string(),
    })
}

impl Keeper for OsKeyring<'_> {
    fn get(&self, ids: &[&str]) -> Vec<Result<Secret, String>> {
        ids.iter()
            .map(|id| match self.entry(id).and_then(|entry| entry.get_password()) {
                Ok(text) => Ok(Secret::new(text)),
                Err(Error::NoEntry) => Err(NOT_FOUND.to_owned()),
                Err(Error::NoStorageAccess(_)) => Err("locked".to_owned()),
                Err(error) => Err(fault(&error).to_string()),
            })
            .collect()
    }

    fn set(&self, id: &str, secret: &Secret) -> Result<(), KeeperError> {
        check_entry(id, secret)?;
        self.entry(id).and_then(|entry| entry.set_password(secret.reveal())).map_err(|error| fault(&error))?;
        self.change_index(|ids| {
            ids.insert(id.to_owned());
        })
    }

    fn remove(&self, id: &str) -> Result<bool, KeeperError> {
        check_id(id)?;
        let found = match self.entry(id).and_then(|entry| entry.delete_credential()) {
            Ok(()) => true,
            Err(Error::NoEntry) => false,
            Err(error) => return Err(fault(&error)),
        };
        self.change_index(|ids| {
            ids.remove(id);
        })?;
        Ok(found)
    }

    fn ids(&self) -> Result<Vec<String>, KeeperError> {
        Ok(self.index()?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::layout::StateLayout;
    use crate::write_host::faulty::FaultyHost;
    use auth_core::Environment;

    #[test]
    fn secrets_are_in_the_keyring_and_only_ids_in_the_index() {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let environment = Environment::from_process(host.variables());
        let layout = StateLayout::resolve(&environment, &host);
        let place =
            KeeperPlace { layout: &layout, environment: &environment, host: &host, age_file: None, ask: |_| None };
        let keyring = OsKeyring { place, store: keyring_core::mock::Store::new().unwrap() };
        keyring.set("openai/work", &Secret::new("sk-test-canary-1")).unwrap();
        keyring.set("a", &Secret::new("sk-test-canary-2")).unwrap();
        assert_eq!(keyring.get(&["openai/work"])[0].as_ref().unwrap().reveal(), "sk-test-canary-1");
        assert_eq!(keyring.get(&["none"])[0].as_ref().unwrap_err(), "not found");
        assert_eq!(keyring.ids().unwrap(), ["a", "openai/work"]);
        assert!(!std::fs::read_to_string(keyring.index_path()).unwrap().contains("canary"));
        assert!(keyring.remove("a").unwrap() && !keyring.remove("a").unwrap());
        assert_eq!(keyring.ids().unwrap(), ["openai/work"]);
        std::fs::write(keyring.index_path(), "{ broken").unwrap();
        assert!(keyring.ids().unwrap_err().to_string().contains("not valid JSON"));
    }
}
