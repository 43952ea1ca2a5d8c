//! The `secrets` block of the config (spec 05 section 2).

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::error::SecretError;
use crate::environment::Environment;
use crate::secret::Secret;
use crate::secret_ref::{RefDefaults, RefSource, SecretRef};

/// How long a provider may take when it does not say, in milliseconds.
const TIMEOUT_MS: u64 = 5_000;
/// The most that a file or a program may give when the provider does not say, in bytes.
const MAX_BYTES: u64 = 1_048_576;

/// Where secrets live that are not in the files, and the limits of asking there.
#[derive(Clone, Debug)]
pub struct SecretsConfig {
    /// `secrets.providers`, in file order.
    pub providers: IndexMap<String, ProviderSettings>,
    /// `secrets.defaults`.
    pub defaults: RefDefaults,
    /// `secrets.resolution.maxProviderConcurrency`: how many providers are asked at once.
    pub max_provider_concurrency: usize,
    /// `secrets.resolution.maxRefsPerProvider`: how many references a provider is asked for at most.
    pub max_refs_per_provider: usize,
    /// `secrets.resolution.maxBatchBytes`: the longest request to a program, in bytes.
    pub max_batch_bytes: u64,
}

impl Default for SecretsConfig {
    fn default() -> Self {
        Self::from_value(None)
    }
}

/// One of `secrets.providers`.
#[derive(Clone, Debug)]
pub enum ProviderSettings {
    /// The environment.
    Env(EnvProvider),
    /// A file.
    File(FileProvider),
    /// A program.
    Exec(ExecProvider),
}

/// A provider of variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvProvider {
    /// The only variables that it gives; `None` gives all.
    pub allowlist: Option<Vec<String>>,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// A JSON object, asked by pointers.
    Json,
    /// One secret.
    SingleValue,
}

/// A provider that reads a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProvider {
    /// The file as written.
    pub path: String,
    /// What it holds.
    pub mode: FileMode,
    /// How long reading may take, in milliseconds.
    pub timeout_ms: u64,
    /// The most that is read, in bytes.
    pub max_bytes: u64,
    /// Whether its permissions and owner do not matter.
    pub allow_insecure_path: bool,
}

/// A provider that runs a program.
#[derive(Clone)]
pub struct ExecProvider {
    /// The program, an absolute path.
    pub command: String,
    /// Its arguments, handed over as they are.
    pub args: Vec<String>,
    /// How long it may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long it may be silent, in milliseconds.
    pub no_output_timeout_ms: u64,
    /// The most that it may print, in bytes, on both outputs together.
    pub max_output_bytes: u64,
    /// Whether its answer must be of the protocol; otherwise one id may be answered in plain text.
    pub json_only: bool,
    /// Variables that it gets beside `pass_env`.
    pub env: Vec<(String, Secret)>,
    /// Variables of ours that it gets; no others.
    pub pass_env: Vec<String>,
    /// Where the program must lie; anywhere when empty.
    pub trusted_dirs: Vec<String>,
    /// Whether its permissions and owner do not matter.
    pub allow_insecure_path: bool,
    /// Whether `command` may be a link.
    pub allow_symlink_command: bool,
}

impl std::fmt::Debug for ExecProvider {
    /// Prints the program only: arguments and variables may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecProvider").field("command", &self.command).finish_non_exhaustive()
    }
}

impl ProviderSettings {
    /// Its kind.
    pub fn source(&self) -> RefSource {
        match self {
            Self::Env(_) => RefSource::Env,
            Self::File(_) => RefSource::File,
            Self::Exec(_) => RefSource::Exec,
        }
    }

    /// Reads the entry of a provider; `None` when its kind is unknown. What is missing or of a wrong kind counts as
    /// the default.
    pub fn from_value(entry: &Value) -> Option<Self> {
        let members = entry.as_object()?;
        Some(match RefSource::parse(members.get("source")?.as_str()?)? {
            RefSource::Env => Self::Env(EnvProvider {
                allowlist: members.get("allowlist").and_then(Value::as_array).map(|list| texts(list)),
            }),
            RefSource::File => Self::File(FileProvider {
                path: text(members, "path"),
                mode: match members.get("mode").and_then(Value::as_str) {
                    Some("singleValue") => FileMode::SingleValue,
                    _ => FileMode::Json,
                },
                timeout_ms: number(members, "timeoutMs").unwrap_or(TIMEOUT_MS),
                max_bytes: number(members, "maxBytes").unwrap_or(MAX_BYTES),
                allow_insecure_path: flag(members, "allowInsecurePath", false),
            }),
            RefSource::Exec => {
                let timeout_ms = number(members, "timeoutMs").unwrap_or(TIMEOUT_MS);
                let list = |name: &str| members.get(name).and_then(Value::as_array).map(|list| texts(list));
                let env = members.get("env").and_then(Value::as_object);
                Self::Exec(ExecProvider {
                    command: text(members, "command"),
                    args: list("args").unwrap_or_default(),
                    timeout_ms,
                    no_output_timeout_ms: number(members, "noOutputTimeoutMs").unwrap_or(timeout_ms),
                    max_output_bytes: number(members, "maxOutputBytes").unwrap_or(MAX_BYTES),
                    json_only: flag(members, "jsonOnly", true),
                    env: env
                        .into_iter()
                        .flatten()
                        .filter_map(|(name, value)| Some((name.clone(), Secret::new(value.as_str()?))))
                        .collect(),
                    pass_env: list("passEnv").unwrap_or_default(),
                    trusted_dirs: list("trustedDirs").unwrap_or_default(),
                    allow_insecure_path: flag(members, "allowInsecurePath", false),
                    allow_symlink_command: flag(members, "allowSymlinkCommand", false),
                })
            }
        })
    }
}

fn text(members: &Map<String, Value>, name: &str) -> String {
    members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(members: &Map<String, Value>, name: &str, default: bool) -> bool {
    members.get(name).and_then(Value::as_bool).unwrap_or(default)
}

/// A number as a limit: whole, at least 1.
fn number(members: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = members.get(name)?;
    value.as_u64().map(|n| n.max(1)).or_else(|| {
        let n = value.as_f64().filter(|n| n.is_finite())?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
        let whole = n.max(1.0) as u64;
        Some(whole)
    })
}

impl SecretsConfig {
    /// Reads the `secrets` block.
    pub fn from_value(block: Option<&Value>) -> Self {
        let member = |name: &str| block.and_then(|block| block.get(name));
        let alias =
            |source: &str| member("defaults").and_then(|d| d.get(source)).and_then(Value::as_str).map(str::to_owned);
        let limit = |name: &str| member("resolution").and_then(Value::as_object).and_then(|r| number(r, name));
        let count = |name: &str, default: usize| limit(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(default);
        Self {
            providers: member("providers")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(alias, entry)| Some((alias.clone(), ProviderSettings::from_value(entry)?)))
                .collect(),
            defaults: RefDefaults { env: alias("env"), file: alias("file"), exec: alias("exec") },
            max_provider_concurrency: count("maxProviderConcurrency", 4),
            max_refs_per_provider: count("maxRefsPerProvider", 512),
            max_batch_bytes: limit("maxBatchBytes").unwrap_or(262_144),
        }
    }

    /// The provider that a reference names (spec 05 section 3 step 5); `None` is the implicit one for variables.
    ///
    /// # Errors
    ///
    /// Why it cannot be asked: it is not configured, or of another kind.
    pub fn provider_of(&self, reference: &SecretRef) -> Result<Option<&ProviderSettings>, SecretError> {
        let alias = &reference.provider;
        match self.providers.get(alias) {
            Some(provider) if provider.source() == reference.source => Ok(Some(provider)),
            Some(provider) => Err(SecretError::SourceMismatch {
                alias: alias.clone(),
                has: provider.source(),
                wants: reference.source,
            }),
            None if reference.source == RefSource::Env && alias == self.defaults.alias(RefSource::Env) => Ok(None),
            None => Err(SecretError::NotConfigured { alias: alias.clone(), reference: reference.to_string() }),
        }
    }

    /// What a reference to a variable resolves to (spec 05 section 4).
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn env_secret(&self, reference: &SecretRef, environment: &Environment) -> Result<Secret, SecretError> {
        SecretError::check_id(reference)?;
        let name = reference.id.trim();
        if let Some(ProviderSettings::Env(EnvProvider { allowlist: Some(names) })) = self.provider_of(reference)?
            && !names.iter().any(|allowed| allowed == name)
        {
            return Err(SecretError::NotAllowlisted(name.to_owned()));
        }
        let found = environment.non_blank(name).map(Secret::new);
        found.ok_or_else(|| SecretError::VariableMissing(name.to_owned()))
    }

    /// The alias for references to variables: the default one, else the first that the config has, else `default`.
    pub fn env_alias(&self) -> &str {
        let declared = || {
            let mut providers = self.providers.iter();
            providers.find(|(_, settings)| settings.source() == RefSource::Env).map(|(alias, _)| alias.as_str())
        };
        let set = self.defaults.env.as_deref();
        set.or_else(declared).unwrap_or_else(|| self.defaults.alias(RefSource::Env))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_have_defaults_and_floors() {
        let block = json!({"providers": {
            "f": {"source": "file", "path": "/k", "maxBytes": 0, "timeoutMs": "x"},
            "e": {"source": "exec", "command": "/bin/v", "timeoutMs": 700.9, "env": {"VAULT_TOKEN": "sk-test-canary"}},
            "odd": {"source": "vault"}}, "resolution": {"maxProviderConcurrency": -2}});
        let secrets = SecretsConfig::from_value(Some(&block));
        assert_eq!(
            (secrets.max_provider_concurrency, secrets.max_refs_per_provider, secrets.max_batch_bytes),
            (1, 512, 262_144)
        );
        assert_eq!(secrets.providers.len(), 2);
        let Some(ProviderSettings::File(file)) = secrets.providers.get("f") else { panic!("no file provider") };
        assert_eq!((file.max_bytes, file.timeout_ms, file.mode), (1, TIMEOUT_MS, FileMode::Json));
        let Some(ProviderSettings::Exec(exec)) = secrets.providers.get("e") else { panic!("no exec provider") };
        assert_eq!((exec.timeout_ms, exec.no_output_timeout_ms, exec.json_only), (700, 700, true));
        let shown = format!("{exec:?}");
        assert!(shown.contains("/bin/v") && !shown.contains("canary") && !format!("{secrets:?}").contains("canary"));
    }

    #[test]
    fn every_setting_is_read() {
        let read = |entry: Value| ProviderSettings::from_value(&entry).unwrap();
        let ProviderSettings::File(file) = read(json!({"source": "file", "path": "~/k", "mode": "singleValue",
            "timeoutMs": 6, "maxBytes": 7, "allowInsecurePath": true}))
        else {
            panic!("no file provider")
        };
        let wanted = FileProvider {
            path: "~/k".to_owned(),
            mode: FileMode::SingleValue,
            timeout_ms: 6,
            max_bytes: 7,
            allow_insecure_path: true,
        };
        assert_eq!(file, wanted);
        let ProviderSettings::Exec(exec) =
            read(json!({"source": "exec", "command": "/bin/v", "args": ["-k", "a b", 7],
            "timeoutMs": 6, "noOutputTimeoutMs": 5, "maxOutputBytes": 8, "jsonOnly": false, "env": {"A": "1", "B": 2},
            "passEnv": ["HOME"], "trustedDirs": ["/bin"], "allowInsecurePath": true, "allowSymlinkCommand": true}))
        else {
            panic!("no exec provider")
        };
        assert_eq!(
            (exec.command.as_str(), exec.args, exec.pass_env),
            ("/bin/v", vec!["-k".to_owned(), "a b".to_owned()], vec!["HOME".to_owned()])
        );
        assert_eq!(
            (exec.timeout_ms, exec.no_output_timeout_ms, exec.max_output_bytes, exec.json_only),
            (6, 5, 8, false)
        );
        assert_eq!(
            exec.env.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect::<Vec<_>>(),
            [("A", "1")]
        );
        assert_eq!(
            (exec.trusted_dirs, exec.allow_insecure_path, exec.allow_symlink_command),
            (vec!["/bin".to_owned()], true, true)
        );
        // What is not said is the strict choice.
        let ProviderSettings::Exec(exec) = read(json!({"source": "exec"})) else { panic!("no exec provider") };
        assert!(exec.command.is_empty() && exec.args.is_empty() && exec.env.is_empty() && exec.trusted_dirs.is_empty());
        assert_eq!((exec.timeout_ms, exec.no_output_timeout_ms, exec.max_output_bytes), (5_000, 5_000, 1_048_576));
        assert!(exec.json_only && !exec.allow_insecure_path && !exec.allow_symlink_command);
        let ProviderSettings::File(file) = read(json!({"source": "file"})) else { panic!("no file provider") };
        assert!(!file.allow_insecure_path && file.max_bytes == 1_048_576);
        let block = json!({"defaults": {"env": "e", "file": "f", "exec": "x"},
            "resolution": {"maxProviderConcurrency": 2, "maxRefsPerProvider": 3.7, "maxBatchBytes": 1e300}});
        let secrets = SecretsConfig::from_value(Some(&block));
        assert_eq!(
            (secrets.max_provider_concurrency, secrets.max_refs_per_provider, secrets.max_batch_bytes),
            (2, 3, u64::MAX)
        );
        assert_eq!(
            [RefSource::Env, RefSource::File, RefSource::Exec].map(|source| secrets.defaults.alias(source)),
            ["e", "f", "x"]
        );
    }

    #[test]
    fn providers_are_found_by_alias_and_kind() {
        let secrets = SecretsConfig::from_value(Some(&json!({"providers": {
            "locked": {"source": "env", "allowlist": ["B"]}, "default": {"source": "file", "path": "/k"}}})));
        let env = Environment::from_process([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
        let ask = |alias: &str, id: &str| {
            let reference = SecretRef { source: RefSource::Env, provider: alias.to_owned(), id: id.to_owned() };
            secrets.env_secret(&reference, &env).map(|s| s.reveal().to_owned()).map_err(|e| e.to_string())
        };
        assert_eq!(ask("locked", " B ").as_deref(), Ok("2"));
        assert!(ask("locked", "A").unwrap_err().contains("not allowlisted"));
        assert!(ask("default", "A").unwrap_err().contains("has source \"file\" but ref requests \"env\""));
        assert!(ask("other", "A").unwrap_err().contains("is not configured (ref: env:other:A)"));
        assert!(ask("locked", " ").unwrap_err().contains("id is empty"));
        assert!(ask("locked", "not a name").unwrap_err().contains("is not the name"));
        assert_eq!(secrets.env_alias(), "locked");
        assert_eq!(SecretsConfig::default().env_alias(), "default");
    }

    #[test]
    fn variables_have_a_provider_without_one_in_the_config() {
        let env = Environment::from_process([("A".to_owned(), " 1 ".to_owned()), ("B".to_owned(), " ".to_owned())]);
        let ask = |block: &Value, source: RefSource, alias: &str, id: &str| {
            let reference = SecretRef { source, provider: alias.to_owned(), id: id.to_owned() };
            let secrets = SecretsConfig::from_value(Some(block));
            let provider = secrets.provider_of(&reference).map(|found| found.is_some()).map_err(|e| e.to_string());
            (provider, secrets.env_secret(&reference, &env).map(|s| s.reveal().to_owned()).map_err(|e| e.to_string()))
        };
        let missing = |alias: &str| format!("Secret provider \"{alias}\" is not configured (ref: env:{alias}:A)");
        // Under its alias, whatever that is, and under no other.
        for (block, alias, other) in
            [(json!({}), "default", "mine"), (json!({"defaults": {"env": "mine"}}), "mine", "default")]
        {
            assert_eq!(ask(&block, RefSource::Env, alias, "A"), (Ok(false), Ok(" 1 ".to_owned())));
            assert_eq!(ask(&block, RefSource::Env, other, "A"), (Err(missing(other)), Err(missing(other))));
        }
        let unset = |name: &str| format!("Environment variable \"{name}\" is missing or empty");
        for name in ["B", "C"] {
            assert_eq!(ask(&json!({}), RefSource::Env, "default", name).1, Err(unset(name)));
        }
        let open = json!({"providers": {"open": {"source": "env"}, "f": {"source": "file", "path": "/k"}}});
        assert_eq!(ask(&open, RefSource::Env, "open", "A"), (Ok(true), Ok(" 1 ".to_owned())));
        assert_eq!(ask(&open, RefSource::File, "f", "/a").0, Ok(true));
        // Files and programs have none.
        assert!(ask(&json!({}), RefSource::Exec, "default", "a").0.unwrap_err().contains("is not configured"));
    }

    #[test]
    fn new_references_to_variables_take_the_alias_in_force() {
        for (block, alias) in [
            (json!({}), "default"),
            (json!({"providers": {"f": {"source": "file", "path": "/k"}}}), "default"),
            (json!({"providers": {"f": {"source": "file"}, "e": {"source": "env"}, "g": {"source": "env"}}}), "e"),
            (json!({"providers": {"e": {"source": "env"}}, "defaults": {"env": "set"}}), "set"),
        ] {
            assert_eq!(SecretsConfig::from_value(Some(&block)).env_alias(), alias, "{block}");
        }
    }
}
