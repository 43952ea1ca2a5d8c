//! Keys at rest in the OS keyring or in an age file (spec 05 section 14). To a config both are exec providers whose
//! program is this one, so that every program that knows the exec protocol can read them.

#[cfg(feature = "age")]
mod age_file;
#[cfg(feature = "keyring")]
mod os_keyring;
mod own_helper;

use std::path::{Path, PathBuf};

use auth_core::{Environment, Secret, is_exec_id};
use serde_json::{Value, json};

use crate::layout::StateLayout;
use crate::lock::LockError;
use crate::replace::WriteError;
use crate::write_host::WriteHost;

pub use own_helper::{SelfHelper, helper_arguments};

/// How long this program may take as a helper, in milliseconds: a keyring may ask its user.
const HELPER_TIMEOUT_MS: u64 = 20_000;
/// The name of the variable that says where the age identity is.
pub const AGE_IDENTITY: &str = "OPENCLAW_AGE_IDENTITY";

/// Which keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperKind {
    /// The keyring of the operating system.
    Keyring,
    /// A file encrypted with age.
    Age,
}

impl KeeperKind {
    /// Its name: in the command line, and as the alias of its provider.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Age => "age",
        }
    }

    /// The keeper of that name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Keyring, Self::Age].into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether this program was built with it.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Keyring => cfg!(feature = "keyring"),
            Self::Age => cfg!(feature = "age"),
        }
    }
}

/// Why a keeper could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeeperError {
    /// This program was built without it.
    #[error("this program was built without {0} support (cargo feature \"{0}\")")]
    NotBuiltIn(&'static str),
    /// An id that no reference could name.
    #[error("\"{0}\" is no id: letters, digits and . _ : / - only, beginning with a letter or digit")]
    Id(String),
    /// The text is no secret.
    #[error("the value is {0}")]
    Value(&'static str),
    /// A recipient that is none.
    #[error("\"{0}\" is no public key: age1…, ssh-ed25519 … or ssh-rsa … is")]
    Recipient(String),
    /// The keyring cannot be used.
    #[error("the keyring cannot be used: {0}. On a machine without one use age: openclaw secrets store init age")]
    Keyring(String),
    /// The encrypted file cannot be used.
    #[error("{file} {why}")]
    File {
        /// The file as shown to people.
        file: String,
        /// What is wrong; holds no secret.
        why: String,
    },
    /// The lock of a file was not had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a keeper says about an id that it does not have.
pub(crate) const NOT_FOUND: &str = "not found";

/// Something that keeps secrets by id.
pub trait Keeper {
    /// The secrets of some ids, or why there are none: `not found`, `locked`.
    fn get(&self, ids: &[&str]) -> Vec<Result<Secret, String>>;
    /// Stores a secret, replacing the one of that id.
    ///
    /// # Errors
    ///
    /// When the keeper cannot be used, or the id or value is none.
    fn set(&self, id: &str, secret: &Secret) -> Result<(), KeeperError>;
    /// Removes a secret. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// When the keeper cannot be used.
    fn remove(&self, id: &str) -> Result<bool, KeeperError>;
    /// The ids, sorted.
    ///
    /// # Errors
    ///
    /// When the keeper cannot be used.
    fn ids(&self) -> Result<Vec<String>, KeeperError>;
}

/// Asks for the passphrase of an identity; `None` when nobody can answer.
pub type AskPassphrase = fn(&str) -> Option<Secret>;

/// Where a keeper finds what it needs.
#[derive(Clone, Copy)]
pub struct KeeperPlace<'a> {
    /// The state directory.
    pub layout: &'a StateLayout,
    /// The variables.
    pub environment: &'a Environment,
    /// The machine.
    pub host: &'a dyn WriteHost,
    /// The encrypted file; `secrets.age` of the state directory when `None`.
    pub age_file: Option<&'a Path>,
    /// Who is asked for a passphrase.
    pub ask: AskPassphrase,
}

impl std::fmt::Debug for KeeperPlace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeeperPlace").field("age_file", &self.age_file).finish_non_exhaustive()
    }
}

impl KeeperPlace<'_> {
    /// The encrypted file.
    pub fn age_path(&self) -> PathBuf {
        self.age_file.map_or_else(|| self.layout.state_dir().join("secrets.age"), Path::to_owned)
    }
}

/// Opens a keeper.
///
/// # Errors
///
/// When this program was built without it, or it cannot be used.
#[cfg_attr(not(any(feature = "age", feature = "keyring")), expect(unused_variables, reason = "nothing is opened"))]
pub fn open_keeper<'a>(kind: KeeperKind, place: KeeperPlace<'a>) -> Result<Box<dyn Keeper + 'a>, KeeperError> {
    match kind {
        #[cfg(feature = "age")]
        KeeperKind::Age => Ok(Box::new(age_file::AgeFile::new(place))),
        #[cfg(feature = "keyring")]
        KeeperKind::Keyring => Ok(Box::new(os_keyring::OsKeyring::open(place)?)),
        #[cfg(not(all(feature = "age", feature = "keyring")))]
        other => Err(KeeperError::NotBuiltIn(other.as_str())),
    }
}

/// What making a keeper did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeeperMade {
    /// Files that were made.
    pub files: Vec<PathBuf>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Makes what a keeper needs where it is missing: an identity, the list of recipients and an empty file for age; for a
/// keyring it only tries whether it is there.
///
/// # Errors
///
/// When this program was built without it, or it cannot be made or used.
#[cfg_attr(not(feature = "age"), expect(unused_variables, reason = "recipients belong to age"))]
pub fn make_keeper(kind: KeeperKind, place: KeeperPlace<'_>, recipients: &[String]) -> Result<KeeperMade, KeeperError> {
    match kind {
        #[cfg(feature = "age")]
        KeeperKind::Age => age_file::AgeFile::new(place).make(recipients),
        _ => open_keeper(kind, place).map(|_| KeeperMade::default()),
    }
}

/// The provider entry through which references reach a keeper.
pub fn keeper_provider(kind: KeeperKind, program: &Path, place: KeeperPlace<'_>) -> Value {
    let store = place.age_path();
    let (args, pass_env) = match kind {
        KeeperKind::Keyring => {
            (vec!["secrets", "helper", "keyring"], vec!["HOME", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"])
        }
        KeeperKind::Age => (
            vec!["secrets", "helper", "age", "--store", store.to_str().unwrap_or_default()],
            vec!["HOME", AGE_IDENTITY],
        ),
    };
    json!({
        "source": "exec",
        "command": program.display().to_string(),
        "args": args,
        "passEnv": pass_env,
        "timeoutMs": HELPER_TIMEOUT_MS,
    })
}

/// What may be stored under which id.
///
/// # Errors
///
/// When the id could not be named by a reference, or the value is no secret.
pub fn check_entry(id: &str, secret: &Secret) -> Result<(), KeeperError> {
    check_id(id)?;
    if secret.is_blank() {
        return Err(KeeperError::Value("empty"));
    }
    if secret.reveal().trim() == "__OPENCLAW_REDACTED__" {
        return Err(KeeperError::Value("the placeholder of a redacted value"));
    }
    Ok(())
}

/// Whether a reference could name an id.
///
/// # Errors
///
/// When it could not.
pub fn check_id(id: &str) -> Result<(), KeeperError> {
    if is_exec_id(id) {
        return Ok(());
    }
    let shown: String = id.chars().filter(|c| !c.is_control()).take(40).collect();
    // It may be the secret itself, in the wrong place.
    Err(KeeperError::Id(if id.len() > 40 { auth_core::mask(id) } else { shown }))
}
