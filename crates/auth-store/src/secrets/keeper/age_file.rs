//! Secrets in one file that is encrypted with age: a JSON object from id to value.
//!
//! Who can read it stands beside it in `<file>.recipients`, because an age file does not say.

use std::collections::BTreeMap;
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use auth_core::Secret;
use zeroize::Zeroizing;

use super::{
    AGE_IDENTITY, AskPassphrase, Keeper, KeeperError, KeeperMade, KeeperPlace, NOT_FOUND, check_entry, check_id,
};
use crate::lock::{LockGuard, lock};
use crate::replace::{make_parent, replace};
use crate::secure_file::reason;

/// The largest file, identity or list of recipients that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How long reading one may take, in milliseconds.
const TIMEOUT_MS: u64 = 5_000;
/// The most work that a passphrase may cost.
const MAX_WORK_FACTOR: u8 = 20;

pub(super) struct AgeFile<'a> {
    place: KeeperPlace<'a>,
    path: PathBuf,
}

type Entries = BTreeMap<String, Secret>;

impl<'a> AgeFile<'a> {
    pub(super) fn new(place: KeeperPlace<'a>) -> Self {
        Self { path: place.age_path(), place }
    }

    fn recipients_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".recipients");
        PathBuf::from(name)
    }

    fn identity_path(&self) -> PathBuf {
        match self.place.environment.counting(AGE_IDENTITY) {
            Some(text) => self.place.layout.user_path(text),
            None => self.place.layout.state_dir().join("age-identity.txt"),
        }
    }

    fn fault(&self, path: &Path, why: impl Into<String>) -> KeeperError {
        KeeperError::File { file: self.place.layout.shorten(path), why: why.into() }
    }

    /// The text of a file that is there for us; `None` when it is not there.
    fn read_text(&self, path: &Path) -> Result<Option<Secret>, KeeperError> {
        match self.place.host.read(path, MAX_BYTES) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| self.fault(path, "is not UTF-8"))?;
                Ok(Some(Secret::new(text)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.fault(path, format!("cannot be read: {}", reason(&error)))),
        }
    }

    fn identities(&self) -> Result<Vec<Box<dyn age::Identity>>, KeeperError> {
        let path = self.identity_path();
        let (facts, bytes) = self.place.host.read_secure(&path, MAX_BYTES, TIMEOUT_MS).map_err(|error| {
            let hint = if error.kind() == ErrorKind::NotFound {
                ". Set OPENCLAW_AGE_IDENTITY to the file of your identity"
            } else {
                ""
            };
            self.fault(&path, format!("{}{hint}", reason(&error)))
        })?;
        let bytes = Zeroizing::new(bytes);
        if facts.mode & 0o077 != 0 {
            let shown = self.place.layout.shorten(&path);
            return Err(
                self.fault(&path, format!("can be read by others ({:04o}). Run: chmod 600 {shown}", facts.mode))
            );
        }
        let callbacks = Passphrases(self.place.ask);
        if let Ok(file) = age::IdentityFile::from_buffer(bytes.as_slice()) {
            return file
                .with_callbacks(callbacks)
                .into_identities()
                .map_err(|error| self.fault(&path, error.to_string()));
        }
        if let Ok(identity) = age::ssh::Identity::from_buffer(BufReader::new(bytes.as_slice()), None) {
            return match identity {
                age::ssh::Identity::Unsupported(_) => {
                    Err(self.fault(&path, "is an SSH key of a kind that age does not support"))
                }
                identity => Ok(vec![Box::new(identity.with_callbacks(callbacks))]),
            };
        }
        let owned = std::io::Cursor::new(bytes.to_vec());
        match age::encrypted::Identity::from_buffer(owned, None, callbacks, Some(MAX_WORK_FACTOR)) {
            Ok(Some(identity)) => Ok(vec![Box::new(identity)]),
            _ => Err(self.fault(&path, "is no age identity")),
        }
    }

    /// What the file holds; `None` when there is none.
    fn entries(&self) -> Result<Option<Entries>, KeeperError> {
        let bytes = match self.place.host.read_secure(&self.path, MAX_BYTES, TIMEOUT_MS) {
            Ok((_, bytes)) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.fault(&self.path, reason(&error))),
        };
        let identities = self.identities()?;
        let fail = |why: &str| self.fault(&self.path, why);
        let decryptor = age::Decryptor::new(bytes.as_slice()).map_err(|_| fail("is not an age file"))?;
        let mut plain = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
        let mut reader =
            decryptor.decrypt(identities.iter().map(|identity| &**identity)).map_err(|error| match error {
                age::DecryptError::NoMatchingKeys => fail("locked: it is not encrypted for this identity"),
                other => fail(&format!("locked: {other}")),
            })?;
        reader.read_to_end(&mut plain).map_err(|_| fail("is damaged"))?;
        let parsed: BTreeMap<String, String> = serde_json::from_slice(&plain).map_err(|error| {
            fail(&format!("does not hold a JSON object of texts (line {}, column {})", error.line(), error.column()))
        })?;
        Ok(Some(parsed.into_iter().map(|(id, text)| (id, Secret::new(text))).collect()))
    }

    fn recipients(&self, lines: &str) -> Result<Vec<Box<dyn age::Recipient + Send>>, KeeperError> {
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut found: Vec<Box<dyn age::Recipient + Send>> = Vec::new();
        for line in lines {
            if let Ok(recipient) = line.parse::<age::x25519::Recipient>() {
                found.push(Box::new(recipient));
            } else if let Ok(recipient) = line.parse::<age::ssh::Recipient>() {
                found.push(Box::new(recipient));
            } else if let Ok(recipient) = line.parse::<age::plugin::Recipient>() {
                let name = recipient.plugin().to_owned();
                let plugin = age::plugin::RecipientPluginV1::new(&name, &[recipient], &[], Passphrases(self.place.ask));
                found.push(Box::new(plugin.map_err(|error| self.fault(&self.path, error.to_string()))?));
            } else {
                return Err(self.fault(&self.recipients_path(), "holds a line that is no public key"));
            }
        }
        Ok(found)
    }

    /// Encrypts to the same recipients as before, and replaces the file.
    fn write(&self, guard: &LockGuard<'_>, entries: &Entries) -> Result<(), KeeperError> {
        let list = self.read_text(&self.recipients_path())?;
        let recipients = match &list {
            Some(list) => self.recipients(list.reveal())?,
            None => Vec::new(),
        };
        if recipients.is_empty() {
            return Err(self.fault(
                &self.recipients_path(),
                "names nobody who could read the file. Run: openclaw secrets store init age",
            ));
        }
        let fail = |why: String| self.fault(&self.path, why);
        let borrowed = recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(borrowed).map_err(|error| fail(error.to_string()))?;
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| fail(error.to_string()))?;
        let text = |text: &str| Zeroizing::new(serde_json::Value::from(text).to_string());
        let mut plain =
            Zeroizing::new(String::with_capacity(entries.values().map(|s| s.reveal().len() * 6 + 600).sum()));
        for (id, secret) in entries {
            let before = if plain.is_empty() { "{" } else { "," };
            plain.push_str(before);
            plain.push_str(&text(id));
            plain.push(':');
            plain.push_str(&text(secret.reveal()));
        }
        let end = if plain.is_empty() { "{}" } else { "}" };
        plain.push_str(end);
        writer.write_all(plain.as_bytes()).map_err(|error| fail(error.to_string()))?;
        writer.finish().map_err(|error| fail(error.to_string()))?;
        replace(guard, &self.path, &sealed, self.place.host)?;
        Ok(())
    }

    /// Changes the entries under the lock of the file.
    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> (T, bool)) -> Result<T, KeeperError> {
        let missing = || self.fault(&self.path, "does not exist. Run: openclaw secrets store init age");
        if !self.place.host.exists(&self.path) {
            return Err(missing());
        }
        let guard = lock(&self.path, self.place.host)?;
        let mut entries = self.entries()?.ok_or_else(missing)?;
        let (result, changed) = change(&mut entries);
        if changed {
            self.write(&guard, &entries)?;
        }
        Ok(result)
    }

    /// Makes identity, recipients and file, as far as they are missing.
    pub(super) fn make(&self, wanted: &[String]) -> Result<KeeperMade, KeeperError> {
        let mut made = KeeperMade::default();
        let host = self.place.host;
        make_parent(&self.path, host)?;
        let list_path = self.recipients_path();
        if host.exists(&self.path) {
            if !wanted.is_empty() {
                return Err(self.fault(
                    &self.path,
                    "is there already, encrypted for others; --recipient can only be given when it is made",
                ));
            }
            // One that nobody here can read is not as it should be.
            self.entries()?;
            made.notes.push(format!("{} is there already and stays as it is", self.place.layout.shorten(&self.path)));
            return Ok(made);
        }
        let mut lines: Vec<String> = wanted.to_vec();
        for line in &lines {
            if self.recipients(line).map_or(true, |found| found.is_empty()) {
                let shown: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
                return Err(KeeperError::Recipient(shown));
            }
        }
        let foreign = !lines.is_empty();
        if lines.is_empty() {
            lines.push(self.own_recipient(&mut made)?);
        }
        let guard = lock(&list_path, host)?;
        replace(&guard, &list_path, format!("{}\n", lines.join("\n")).as_bytes(), host)?;
        drop(guard);
        made.files.push(list_path);
        let guard = lock(&self.path, host)?;
        self.write(&guard, &Entries::new())?;
        made.files.push(self.path.clone());
        if foreign && self.entries().is_err() {
            made.notes.push(format!("Note: there is no identity here that can read the file; set {AGE_IDENTITY} to one before anything is stored."));
        }
        Ok(made)
    }

    /// The public key of the identity, which is made when there is none.
    fn own_recipient(&self, made: &mut KeeperMade) -> Result<String, KeeperError> {
        let path = self.identity_path();
        let host = self.place.host;
        if host.exists(&path) {
            let text = self.read_text(&path)?.unwrap_or_else(|| Secret::new(""));
            let mut out = Vec::new();
            let written = age::IdentityFile::from_buffer(text.reveal().as_bytes())
                .ok()
                .map(|file| file.write_recipients_file(&mut out));
            return match written {
                Some(Ok(())) => Ok(String::from_utf8_lossy(&out).trim().to_owned()),
                _ => Err(self.fault(&path, "does not tell its public key; name it with --recipient")),
            };
        }
        let identity = age::x25519::Identity::generate();
        let public = identity.to_public().to_string();
        let text = Secret::new(format!("# public key: {public}\n{}\n", identity.to_string().expose_secret()));
        make_parent(&path, host)?;
        let guard = lock(&path, host)?;
        replace(&guard, &path, text.reveal().as_bytes(), host)?;
        let shown = self.place.layout.shorten(&path);
        made.notes.push(format!(
            "Note: the key {shown} lies next to its lock. Whoever copies the directory can read the secrets; keep it elsewhere and set {AGE_IDENTITY}."
        ));
        made.files.push(path);
        Ok(public)
    }
}

impl Keeper for AgeFile<'_> {
    fn get(&self, ids: &[&str]) -> Vec<Result<Secret, String>> {
        match self.entries() {
            Ok(entries) => {
                let entries = entries.unwrap_or_default();
                ids.iter().map(|id| entries.get(*id).cloned().ok_or_else(|| NOT_FOUND.to_owned())).collect()
            }
            Err(error) => ids.iter().map(|_| Err(error.to_string())).collect(),
        }
    }

    fn set(&self, id: &str, secret: &Secret) -> Result<(), KeeperError> {
        check_entry(id, secret)?;
        self.change(|entries| {
            let same = entries.get(id).is_some_and(|old| old.is_same(secret));
            entries.insert(id.to_owned(), secret.clone());
            ((), !same)
        })
    }

    fn remove(&self, id: &str) -> Result<bool, KeeperError> {
        check_id(id)?;
        self.change(|entries| {
            let found = entries.remove(id).is_some();
            (found, found)
        })
    }

    fn ids(&self) -> Result<Vec<String>, KeeperError> {
        Ok(self.entries()?.unwrap_or_default().into_keys().collect())
    }
}

/// Answers the questions of identities that need a passphrase.
#[derive(Clone, Copy)]
struct Passphrases(AskPassphrase);

impl age::Callbacks for Passphrases {
    fn display_message(&self, _message: &str) {}

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }

    fn request_public_string(&self, _description: &str) -> Option<String> {
        None
    }

    fn request_passphrase(&self, description: &str) -> Option<age::secrecy::SecretString> {
        (self.0)(description).map(|secret| age::secrecy::SecretString::from(secret.reveal().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::layout::StateLayout;
    use crate::write_host::faulty::FaultyHost;
    use auth_core::Environment;

    fn nobody(_: &str) -> Option<Secret> {
        None
    }

    fn with_store(check: impl FnOnce(&FaultyHost, KeeperPlace<'_>)) {
        let dir = tempfile::tempdir().unwrap();
        let host = FaultyHost::new(dir.path());
        let environment = Environment::from_process(host.variables());
        let layout = StateLayout::resolve(&environment, &host);
        check(
            &host,
            KeeperPlace { layout: &layout, environment: &environment, host: &host, age_file: None, ask: nobody },
        );
    }

    #[test]
    fn what_is_stored_is_found_and_nothing_is_in_the_clear() {
        with_store(|_, place| {
            let store = AgeFile::new(place);
            assert!(store.set("a", &Secret::new("x")).unwrap_err().to_string().contains("store init age"));
            let made = store.make(&[]).unwrap();
            assert_eq!(made.files.len(), 3);
            assert!(made.notes[0].contains("next to its lock"));
            store.set("openai/work", &Secret::new("sk-test-canary-\"quoted\"\n-1")).unwrap();
            store.set("b", &Secret::new("sk-test-b")).unwrap();
            let found = store.get(&["openai/work", "b", "none"]);
            assert_eq!(found[0].as_ref().unwrap().reveal(), "sk-test-canary-\"quoted\"\n-1");
            assert_eq!(found[2].as_ref().unwrap_err(), "not found");
            assert_eq!(store.ids().unwrap(), ["b", "openai/work"]);
            assert!(store.remove("b").unwrap() && !store.remove("b").unwrap());
            let sealed = std::fs::read(place.age_path()).unwrap();
            assert!(!String::from_utf8_lossy(&sealed).contains("canary"));
            // A second time leaves everything.
            assert!(store.make(&[]).unwrap().files.is_empty());
            assert_eq!(store.ids().unwrap(), ["openai/work"]);
        });
    }

    #[test]
    fn a_foreign_identity_opens_nothing_and_says_so() {
        with_store(|_, place| {
            let store = AgeFile::new(place);
            let other = age::x25519::Identity::generate().to_public().to_string();
            store.make(&[]).unwrap();
            std::fs::remove_file(place.age_path()).unwrap();
            std::fs::remove_file(store.recipients_path()).unwrap();
            assert!(store.make(&["no key".to_owned()]).unwrap_err().to_string().contains("no key"));
            let made = store.make(&[other]).unwrap();
            assert!(made.notes[0].contains("no identity here"), "{:?}", made.notes);
            assert!(store.get(&["a"])[0].as_ref().unwrap_err().contains("locked"));
            std::fs::write(place.age_path(), "rubbish").unwrap();
            assert!(store.get(&["a"])[0].as_ref().unwrap_err().contains("is not an age file"));
            std::fs::write(store.identity_path(), "rubbish").unwrap();
            assert!(store.ids().unwrap_err().to_string().contains("is no age identity"));
            assert!(store.make(&[]).is_err(), "nobody can read it");
        });
    }

    #[test]
    fn an_identity_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        with_store(|_, place| {
            let store = AgeFile::new(place);
            store.make(&[]).unwrap();
            std::fs::set_permissions(store.identity_path(), std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(store.get(&["a"])[0].as_ref().unwrap_err().contains("chmod 600"));
        });
    }

    #[test]
    fn ids_and_values_must_be_usable() {
        with_store(|_, place| {
            let store = AgeFile::new(place);
            store.make(&[]).unwrap();
            for (id, value) in [("a/../b", "x"), ("", "x"), ("a", " "), ("a", "__OPENCLAW_REDACTED__")] {
                assert!(store.set(id, &Secret::new(value)).is_err(), "{id} {value}");
            }
            assert!(store.ids().unwrap().is_empty());
        });
    }
}
