//! `secrets audit` (spec 05 section 10): plaintext that should be elsewhere, references that lead nowhere, references
//! that are passed over, and what old versions left behind. Reads; never writes, never uses the network.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use auth_core::provider::is_marker;
use auth_core::secrets::{
    ConfigSecret, ProviderSettings, config_secrets, env_lines, is_credential_variable, is_sensitive_header,
    other_secrets,
};
use auth_core::{
    AuthProfiles, Config, Credential, Material, Owner, Profile, ProviderId, RefSource, RefState, SecretRef, is_env_id,
};
use serde_json::Value;

use super::inventory::is_plaintext;
use super::resolver::{ExecPolicy, OwnHelper, Resolver};
use super::{agent_dirs, unique};
use crate::config_file::ConfigInvalid;
use crate::host::Host;
use crate::layout::StateLayout;
use crate::profiles_file::{MAX_STORE_BYTES, STORE_FILE};
use crate::secure_file::{loose_directories, reason};
use crate::state::{Ground, State};

/// The largest generated `models.json` that is read, in bytes.
const MAX_MODELS_BYTES: u64 = 5 * 1024 * 1024;
/// The largest `.env` file that is read, in bytes.
const MAX_DOTENV_BYTES: u64 = 4 * 1024 * 1024;
/// The path of a finding about a file as a whole.
const ROOT: &str = "<root>";

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingCode {
    /// A secret stands in a file itself.
    PlaintextFound,
    /// A reference leads nowhere, or a file cannot be read.
    RefUnresolved,
    /// A reference is passed over because something else comes first.
    RefShadowed,
    /// Something that old versions kept.
    LegacyResidue,
}

impl FindingCode {
    /// The stable code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlaintextFound => "PLAINTEXT_FOUND",
            Self::RefUnresolved => "REF_UNRESOLVED",
            Self::RefShadowed => "REF_SHADOWED",
            Self::LegacyResidue => "LEGACY_RESIDUE",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Should be mended.
    Warn,
    /// Does not work.
    Error,
}

impl Severity {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub code: FindingCode,
    /// How bad.
    pub severity: Severity,
    /// In which file; the bare name of the config for references that are passed over.
    pub file: String,
    /// Where in it.
    pub json_path: String,
    /// What it means. No secret, no text of a file.
    pub message: String,
    /// The provider, where known.
    pub provider: Option<String>,
    /// The profile, where it is about one.
    pub profile: Option<String>,
}

/// What an audit found.
#[derive(Clone, Debug, Default)]
pub struct AuditReport {
    /// What was found, in the order of the steps.
    pub findings: Vec<Finding>,
    /// The files that were looked at, sorted; the config always.
    pub files_scanned: Vec<String>,
    /// How many references were tried.
    pub refs_checked: usize,
    /// How many were not, because a program would have had to run.
    pub skipped_exec_refs: usize,
    /// How many secrets of other parts of OpenClaw the config holds.
    pub skipped_surfaces: usize,
    /// Remarks for standard error.
    pub remarks: Vec<String>,
}

impl AuditReport {
    /// How many findings have a code.
    pub fn count(&self, code: FindingCode) -> usize {
        self.findings.iter().filter(|finding| finding.code == code).count()
    }

    /// `unresolved`, `findings` or `clean`.
    pub fn status(&self) -> &'static str {
        if self.count(FindingCode::RefUnresolved) > 0 {
            "unresolved"
        } else if self.findings.is_empty() {
            "clean"
        } else {
            "findings"
        }
    }
}

/// A reference and where it stands.
struct Assignment {
    reference: SecretRef,
    file: String,
    json_path: String,
    provider: String,
}

/// Looks at everything that may hold model credentials. With `allow_exec` the programs of the config are run.
pub fn audit(ground: Ground, allow_exec: bool, helper: Option<&dyn OwnHelper>, host: &dyn Host) -> AuditReport {
    let layout = ground.layout.clone();
    let mut report = AuditReport { remarks: ground.warnings.clone(), ..AuditReport::default() };
    let config_path = layout.config_path().display().to_string();
    let mut scan = Scan {
        layout: &layout,
        host,
        report: &mut report,
        files: BTreeSet::from([config_path.clone()]),
        assignments: Vec::new(),
    };
    match State::read(Ground { warnings: Vec::new(), ..ground }, host) {
        Ok((state, authored)) => scan.all(&state, &authored, allow_exec, helper),
        Err(invalid) => scan.invalid_config(&invalid, &config_path),
    }
    scan.dotenv();
    let dirs = agent_dirs(&layout, None, host);
    scan.legacy(&dirs);
    report.files_scanned = scan.files.into_iter().collect();
    report
}

struct Scan<'a> {
    layout: &'a StateLayout,
    host: &'a dyn Host,
    report: &'a mut AuditReport,
    files: BTreeSet<String>,
    assignments: Vec<Assignment>,
}

impl Scan<'_> {
    fn all(&mut self, state: &State, authored: &Value, allow_exec: bool, helper: Option<&dyn OwnHelper>) {
        self.report.remarks.extend(state.warnings.iter().cloned());
        self.report.skipped_surfaces = other_secrets(authored);
        let secrets = config_secrets(authored);
        self.config(&secrets, &state.config);
        let dirs = agent_dirs(self.layout, Some(&state.config), self.host);
        let stores: Vec<AuthProfiles> = dirs.iter().filter_map(|dir| self.store(dir, &state.config)).collect();
        let models = dirs.iter().map(PathBuf::as_path).chain(state.layout.agent_dir_override());
        for path in unique(models.map(|dir| dir.join("models.json")), self.host) {
            self.models_json(&path, &state.config);
        }
        let policy = if allow_exec { ExecPolicy::Allow } else { ExecPolicy::Own };
        let resolver = Resolver::new(&state.config.secrets, &state.environment, &state.layout, self.host, policy);
        self.resolve(&resolver.with_helper(helper));
        self.shadowed(&secrets, &stores, &state.config);
        self.loose_paths(&state.config);
    }

    fn add(
        &mut self,
        code: FindingCode,
        severity: Severity,
        file: &str,
        json_path: &str,
        message: String,
    ) -> &mut Finding {
        let (file, json_path) = (file.to_owned(), json_path.to_owned());
        self.report.findings.push(Finding { code, severity, file, json_path, message, provider: None, profile: None });
        let last = self.report.findings.len() - 1;
        &mut self.report.findings[last]
    }

    fn broken(&mut self, file: &str, message: String) {
        self.add(FindingCode::RefUnresolved, Severity::Error, file, ROOT, message);
    }

    fn invalid_config(&mut self, invalid: &ConfigInvalid, file: &str) {
        let first = invalid.problems.first().map_or_else(String::new, |problem| {
            let place = problem.place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
            format!(": {}: {}{place}", problem.path, problem.message)
        });
        self.broken(
            file,
            format!("The config is invalid, so its references cannot be checked{first}. Run: openclaw doctor --fix"),
        );
    }

    fn config(&mut self, secrets: &[ConfigSecret<'_>], config: &Config) {
        let file = self.layout.config_path().display().to_string();
        for secret in secrets {
            if let Some(reference) = SecretRef::coerce(secret.value, &config.secrets.defaults) {
                self.assign(reference, &file, secret.dotted(), secret.provider);
            } else if is_plaintext(secret) {
                let message = "The secret itself stands here".to_owned();
                let finding = self.add(FindingCode::PlaintextFound, Severity::Warn, &file, &secret.dotted(), message);
                finding.provider = Some(secret.provider.to_owned());
            }
        }
    }

    fn assign(&mut self, reference: SecretRef, file: &str, json_path: String, provider: &str) {
        self.assignments.push(Assignment {
            reference,
            file: file.to_owned(),
            json_path,
            provider: provider.to_owned(),
        });
    }

    /// Reads a file that may not be there; what keeps it from being read is a finding.
    fn read(&mut self, path: &Path, limit: u64) -> Option<String> {
        let shown = path.display().to_string();
        let bytes = match self.host.read(path, limit) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return None,
            Err(error) => {
                self.files.insert(shown.clone());
                self.broken(&shown, format!("Cannot be read: {}", reason(&error)));
                return None;
            }
        };
        self.files.insert(shown.clone());
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                self.broken(&shown, format!("Invalid JSON: not UTF-8 (byte {})", error.utf8_error().valid_up_to() + 1));
                None
            }
        }
    }

    /// As [`read`](Self::read), parsed.
    fn read_json(&mut self, path: &Path, limit: u64) -> Option<Value> {
        let text = self.read(path, limit)?;
        match serde_json::from_str(text.strip_prefix('\u{feff}').unwrap_or(&text)) {
            Ok(value) => Some(value),
            Err(error) => {
                self.broken(&path.display().to_string(), not_json(&error));
                None
            }
        }
    }

    fn store(&mut self, dir: &Path, config: &Config) -> Option<AuthProfiles> {
        let path = dir.join(STORE_FILE);
        let text = self.read(&path, MAX_STORE_BYTES)?;
        let Ok(store) = AuthProfiles::parse(&text, Owner::Agent) else {
            // JSON of another shape holds no profiles, which is nothing to report.
            let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(text.trim_start_matches('\u{feff}'));
            if let Err(error) = parsed {
                self.broken(&path.display().to_string(), not_json(&error));
            }
            return None;
        };
        let file = path.display().to_string();
        for profile in store.iter() {
            self.profile(profile, &file, config);
        }
        Some(store)
    }

    fn profile(&mut self, profile: &Profile, file: &str, config: &Config) {
        let provider = profile.provider_as_stored.to_string();
        let (field, material) = match &profile.credential {
            Credential::ApiKey { key } => ("key", key),
            Credential::Token { token, .. } => ("token", token),
            Credential::OAuth { access: None, refresh: None, .. } => return,
            Credential::OAuth { .. } => {
                let message = "An OAuth login: out of scope for references, because its tokens change".to_owned();
                let path = format!("profiles.{}", profile.id);
                let finding = self.add(FindingCode::LegacyResidue, Severity::Info, file, &path, message);
                (finding.provider, finding.profile) = (Some(provider), Some(profile.id.to_string()));
                return;
            }
        };
        let path = format!("profiles.{}.{field}", profile.id);
        let shadowed = matches!(material, Material::Reference { shadows_plaintext: true, .. });
        if shadowed || material.inline().is_some_and(|secret| !secret.is_blank()) {
            let beside = if shadowed { " beside its reference, which is used" } else { "" };
            let message = format!("The secret itself stands here{beside}");
            let finding = self.add(FindingCode::PlaintextFound, Severity::Warn, file, &path, message);
            (finding.provider, finding.profile) = (Some(provider.clone()), Some(profile.id.to_string()));
        }
        if let Some(reference) = material.resolved_reference(&config.secrets.defaults) {
            if reference.source == RefSource::Env && reference.has_valid_id() && !is_env_id(reference.id.trim()) {
                self.report.remarks.push(format!(
                    "Note: {file}: {path} names the variable {}; names with lower-case letters work in stores only",
                    reference.id.trim()
                ));
            }
            self.assign(reference, file, path, &provider);
        }
    }

    fn models_json(&mut self, path: &Path, config: &Config) {
        let Some(root) = self.read_json(path, MAX_MODELS_BYTES) else { return };
        let file = path.display().to_string();
        for (id, entry) in root.get("providers").and_then(Value::as_object).into_iter().flatten() {
            let own_marker = |text: &str| {
                let provider = config.provider(&ProviderId::normalise(id));
                let key = provider.and_then(|provider| provider.api_key.as_ref());
                matches!(key, Some(auth_core::config::SecretInput::Reference(r)) if r.source == RefSource::Env && r.id.trim() == text.trim())
            };
            if let Some(key) = entry.get("apiKey") {
                let at = format!("providers.{id}.apiKey");
                self.generated(&file, &at, id, key, |text| is_marker(text) || own_marker(text));
            }
            for (name, value) in entry.get("headers").and_then(Value::as_object).into_iter().flatten() {
                let is_fine = |text: &str| {
                    let text = text.trim();
                    text == "secretref-managed" || text.starts_with("secretref-env:") || !is_sensitive_header(name)
                };
                self.generated(&file, &format!("providers.{id}.headers.{name}"), id, value, is_fine);
            }
        }
    }

    /// A value of a generated file, where neither references nor secrets belong.
    fn generated(&mut self, file: &str, at: &str, provider: &str, value: &Value, is_fine: impl Fn(&str) -> bool) {
        let (code, severity, message) = if SecretRef::coerce(value, &auth_core::RefDefaults::default()).is_some() {
            (
                FindingCode::RefUnresolved,
                Severity::Error,
                "A reference stands in a generated file, where nothing resolves it",
            )
        } else if value.as_str().is_some_and(|text| !text.trim().is_empty() && !is_fine(text)) {
            (FindingCode::PlaintextFound, Severity::Warn, "A generated file holds the secret itself")
        } else {
            return;
        };
        self.add(code, severity, file, at, message.to_owned()).provider = Some(provider.to_owned());
    }

    fn resolve(&mut self, resolver: &Resolver<'_>) {
        let states = resolver.resolve(self.assignments.iter().map(|assignment| &assignment.reference));
        let key =
            |reference: &SecretRef| (reference.source, reference.provider.clone(), reference.id.trim().to_owned());
        let distinct: BTreeSet<_> =
            self.assignments.iter().map(|a| (key(&a.reference), resolver.skips(&a.reference))).collect();
        self.report.skipped_exec_refs = distinct.iter().filter(|(_, skipped)| *skipped).count();
        self.report.refs_checked = distinct.len() - self.report.skipped_exec_refs;
        for assignment in std::mem::take(&mut self.assignments) {
            if let RefState::Unresolved(why) = states.get(&assignment.reference) {
                let message = format!("Failed to resolve {} ({why}).", assignment.reference);
                let Assignment { file, json_path, provider, .. } = &assignment;
                self.add(FindingCode::RefUnresolved, Severity::Error, file, json_path, message).provider =
                    Some(provider.clone());
            }
        }
    }

    /// References on a provider's key that stored credentials come before.
    fn shadowed(&mut self, secrets: &[ConfigSecret<'_>], stores: &[AuthProfiles], config: &Config) {
        let keys = secrets.iter().filter(|secret| secret.target.is_provider_key());
        for secret in keys.filter(|secret| SecretRef::coerce(secret.value, &config.secrets.defaults).is_some()) {
            let id = ProviderId::normalise(secret.provider);
            let mut modes: Vec<&str> = Vec::new();
            for profile in stores.iter().flat_map(AuthProfiles::iter).filter(|profile| profile.provider == id) {
                let is_there = match &profile.credential {
                    Credential::OAuth { access, refresh, .. } => access.is_some() || refresh.is_some(),
                    other => other.material().is_some_and(|m| m.inline().map_or(m.is_present(), |s| !s.is_blank())),
                };
                let mode = profile.credential.kind().as_str();
                if is_there && !modes.contains(&mode) {
                    modes.push(mode);
                }
            }
            if !modes.is_empty() {
                let message = format!(
                    "Stored credentials of {} ({}) come before this reference",
                    secret.provider,
                    modes.join("/")
                );
                let path = secret.dotted();
                self.add(FindingCode::RefShadowed, Severity::Warn, "openclaw.json", &path, message).provider =
                    Some(secret.provider.to_owned());
            }
        }
    }

    fn dotenv(&mut self) {
        let path = self.layout.state_dir().join(".env");
        let Ok(bytes) = self.host.read(&path, MAX_DOTENV_BYTES) else { return };
        let file = path.display().to_string();
        self.files.insert(file.clone());
        for line in env_lines(&String::from_utf8_lossy(&bytes)).iter().filter(|line| is_credential_variable(&line.name))
        {
            let message = format!("{} is set in the file itself (line {})", line.name, line.line);
            let at = format!("$env.{}", line.name);
            self.add(FindingCode::PlaintextFound, Severity::Warn, &file, &at, message);
        }
    }

    fn legacy(&mut self, dirs: &[PathBuf]) {
        for dir in dirs {
            let path = dir.join("auth.json");
            let Some(root) = self.read_json(&path, MAX_STORE_BYTES) else { continue };
            for (provider, entry) in root.as_object().into_iter().flatten() {
                let is_key = entry.get("type").and_then(Value::as_str) == Some("api_key");
                let held = entry.get("key").and_then(Value::as_str).is_some_and(|key| !key.trim().is_empty());
                if is_key && held {
                    let message = "A key in the legacy auth.json".to_owned();
                    let file = path.display().to_string();
                    self.add(FindingCode::LegacyResidue, Severity::Warn, &file, provider, message).provider =
                        Some(provider.clone());
                }
            }
        }
    }

    /// Directories above secret files and programs in which somebody else could put another one.
    fn loose_paths(&mut self, config: &Config) {
        let mut said = BTreeSet::new();
        for (alias, provider) in &config.secrets.providers {
            let path = match provider {
                ProviderSettings::Env(_) => continue,
                ProviderSettings::File(file) => self.layout.user_path(&file.path),
                ProviderSettings::Exec(exec) => PathBuf::from(&exec.command),
            };
            let facts = |path: &Path| self.host.facts(path);
            for dir in loose_directories(&path, self.host.user_id(), &facts) {
                if said.insert(dir.clone()) {
                    self.report.remarks.push(format!(
                        "Note: {} above secret provider \"{alias}\" belongs to or can be written by other users",
                        self.layout.shorten(&dir)
                    ));
                }
            }
        }
    }
}

fn not_json(error: &serde_json::Error) -> String {
    format!("Invalid JSON at line {}, column {}", error.line().max(1), error.column().max(1))
}
