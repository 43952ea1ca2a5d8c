//! Plans that put references in the place of plaintext (spec 05 section 11).

use serde_json::{Map, Value, json};

use super::target::{Target, TargetFile, TypeName, type_named};
use crate::config::{self, AgentId};
use crate::credential::CredentialKind;
use crate::profile::ProfileId;
use crate::secret_ref::{RefSource, SecretRef, is_exec_id, is_provider_alias};

/// What a plan cleans up beside its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Lines of `.env` with a value that was replaced.
    pub env: bool,
    /// Stored keys and tokens of a provider whose config key was replaced.
    pub profiles: bool,
    /// Keys in the legacy `auth.json`.
    pub legacy_auth: bool,
}

/// A checked plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to put where, in order.
    pub targets: Vec<PlanTarget>,
    /// Providers to add or replace.
    pub provider_upserts: Map<String, Value>,
    /// Providers to remove.
    pub provider_deletes: Vec<String>,
    /// What to clean up.
    pub scrub: ScrubOptions,
}

/// One place of a plan.
#[derive(Clone, Debug)]
pub struct PlanTarget {
    /// Where.
    pub place: PlanPlace,
    /// The reference that comes there.
    pub reference: SecretRef,
    /// What the reference must resolve to, as a [`Fingerprint`](crate::Fingerprint): set by plans that move a secret
    /// and do not replace it.
    pub fingerprint: Option<String>,
}

/// Where a reference comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanPlace {
    /// A place in the config.
    Config {
        /// Its kind.
        target: &'static Target,
        /// Its path.
        path: Vec<String>,
        /// The provider it belongs to.
        provider: String,
    },
    /// The key or token of a stored profile.
    Profile {
        /// Whose store.
        agent: AgentId,
        /// Which profile.
        id: ProfileId,
        /// What kind it is.
        kind: CredentialKind,
        /// The provider of a profile that does not exist yet.
        provider: Option<String>,
    },
}

impl PlanPlace {
    /// Its kind, its path, and the steps of that.
    pub fn path(&self) -> (&'static str, Vec<String>) {
        match self {
            Self::Config { target, path, .. } => (target.plan_type, path.clone()),
            Self::Profile { id, kind, .. } => {
                let (plan_type, field) = match kind {
                    CredentialKind::Token => ("auth-profiles.token.token", "token"),
                    CredentialKind::ApiKey | CredentialKind::OAuth => ("auth-profiles.api_key.key", "key"),
                };
                (plan_type, vec!["profiles".to_owned(), id.to_string(), field.to_owned()])
            }
        }
    }
}

impl PlanTarget {
    fn to_value(&self) -> Value {
        let (plan_type, path) = self.place.path();
        let mut target = Map::new();
        let mut set = |name: &str, value: Value| target.insert(name.to_owned(), value);
        set("type", Value::from(plan_type));
        set("path", Value::from(path.join(".")));
        set("pathSegments", Value::from(path));
        set("ref", self.reference.to_value());
        match &self.place {
            PlanPlace::Config { provider, .. } => {
                set("providerId", Value::from(provider.as_str()));
            }
            PlanPlace::Profile { agent, provider, .. } => {
                set("agentId", Value::from(agent.as_str()));
                if let Some(provider) = provider {
                    set("authProfileProvider", Value::from(provider.as_str()));
                }
            }
        }
        if let Some(fingerprint) = &self.fingerprint {
            set("fingerprint", Value::from(fingerprint.as_str()));
        }
        Value::Object(target)
    }
}

/// Why a plan cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFault {
    /// It is no plan.
    #[error("{0}")]
    Envelope(String),
    /// A target is not as it must be.
    #[error("targets[{index}]: {reason}")]
    Target {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// A target is a secret of another part of OpenClaw.
    #[error("targets[{index}]: {kind} is not a model credential target; OpenClaw itself can apply it")]
    NotOurs {
        /// Which, from 0.
        index: usize,
        /// Its type.
        kind: String,
    },
}

impl Plan {
    /// Checks a document.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn from_value(root: &Value) -> Result<Self, PlanFault> {
        let envelope = |text: &str| PlanFault::Envelope(text.to_owned());
        let root = root.as_object().ok_or_else(|| envelope("a plan is a JSON object"))?;
        for name in ["version", "protocolVersion"] {
            if root.get(name).and_then(Value::as_f64) != Some(1.0) {
                return Err(PlanFault::Envelope(format!("{name} must be 1")));
            }
        }
        let targets =
            root.get("targets").and_then(Value::as_array).ok_or_else(|| envelope("targets must be an array"))?;
        let targets = targets
            .iter()
            .enumerate()
            .map(|(index, target)| {
                plan_target(target).map_err(|fault| match fault {
                    TargetFault::NotOurs(kind) => PlanFault::NotOurs { index, kind },
                    TargetFault::Wrong(reason) => PlanFault::Target { index, reason },
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            targets,
            provider_upserts: upserts(root.get("providerUpserts"))?,
            provider_deletes: deletes(root.get("providerDeletes"))?,
            scrub: scrub_options(root.get("options"))?,
        })
    }

    /// The plan as a document, members in their usual order.
    pub fn to_value(&self, generated_at: &str, generated_by: &str) -> Value {
        let mut root = Map::new();
        let mut set = |name: &str, value: Value| root.insert(name.to_owned(), value);
        set("version", Value::from(1));
        set("protocolVersion", Value::from(1));
        set("generatedAt", Value::from(generated_at));
        set("generatedBy", Value::from(generated_by));
        set("targets", self.targets.iter().map(PlanTarget::to_value).collect());
        if !self.provider_upserts.is_empty() {
            set("providerUpserts", Value::Object(self.provider_upserts.clone()));
        }
        if !self.provider_deletes.is_empty() {
            let mut deletes = self.provider_deletes.clone();
            deletes.sort();
            set("providerDeletes", Value::from(deletes));
        }
        set(
            "options",
            json!({
                "scrubEnv": self.scrub.env,
                "scrubAuthProfilesForProviderTargets": self.scrub.profiles,
                "scrubLegacyAuthJson": self.scrub.legacy_auth,
            }),
        );
        Value::Object(root)
    }

    /// Whether the plan asks a program for anything.
    pub fn uses_exec(&self) -> bool {
        let targets = self.targets.iter().any(|target| target.reference.source == RefSource::Exec);
        let is_exec = |entry: &Value| entry.get("source").and_then(Value::as_str) == Some("exec");
        targets || self.provider_upserts.values().any(is_exec)
    }
}

fn upserts(value: Option<&Value>) -> Result<Map<String, Value>, PlanFault> {
    let Some(value) = value else { return Ok(Map::new()) };
    let members =
        value.as_object().ok_or_else(|| PlanFault::Envelope("providerUpserts must be an object".to_owned()))?;
    for (alias, entry) in members {
        check_alias("providerUpserts", alias)?;
        let config = serde_json::json!({"secrets": {"providers": {alias: entry}}});
        if let Some(issue) = config::validate(&config).into_iter().next() {
            return Err(PlanFault::Envelope(format!("providerUpserts: {}: {}", issue.path, issue.message)));
        }
    }
    Ok(members.clone())
}

fn deletes(value: Option<&Value>) -> Result<Vec<String>, PlanFault> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let wrong = || PlanFault::Envelope("providerDeletes must be an array of aliases".to_owned());
    let list = value.as_array().ok_or_else(wrong)?;
    let aliases: Vec<&str> = list.iter().map(|alias| alias.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?;
    aliases.iter().try_for_each(|alias| check_alias("providerDeletes", alias))?;
    Ok(aliases.into_iter().map(str::to_owned).collect())
}

fn check_alias(place: &str, alias: &str) -> Result<(), PlanFault> {
    if is_provider_alias(alias) {
        return Ok(());
    }
    let shown: String = alias.chars().filter(|c| !c.is_control()).take(80).collect();
    Err(PlanFault::Envelope(format!("{place}: \"{shown}\" is no alias; it must match ^[a-z][a-z0-9_-]{{0,63}}$")))
}

fn scrub_options(value: Option<&Value>) -> Result<ScrubOptions, PlanFault> {
    let wrong = |what: &str| PlanFault::Envelope(format!("options{what}"));
    let members = match value {
        None => None,
        Some(value) => Some(value.as_object().ok_or_else(|| wrong(" must be an object"))?),
    };
    let flag = |name: &str| match members.and_then(|members| members.get(name)) {
        None => Ok(true),
        Some(value) => value.as_bool().ok_or_else(|| wrong(&format!(".{name} must be true or false"))),
    };
    Ok(ScrubOptions {
        env: flag("scrubEnv")?,
        profiles: flag("scrubAuthProfilesForProviderTargets")?,
        legacy_auth: flag("scrubLegacyAuthJson")?,
    })
}

enum TargetFault {
    NotOurs(String),
    Wrong(String),
}

impl From<String> for TargetFault {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

fn plan_target(value: &Value) -> Result<PlanTarget, TargetFault> {
    let members = value.as_object().ok_or_else(|| "expected an object".to_owned())?;
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(120).collect::<String>();
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let kind = text("type").ok_or_else(|| "type is missing".to_owned())?;
    let target = match type_named(kind) {
        TypeName::Ours(target) => target,
        TypeName::Other => return Err(TargetFault::NotOurs(shown(kind))),
        TypeName::Unknown => return Err(format!("unknown type \"{}\"", shown(kind)).into()),
    };
    let path = text("path").ok_or_else(|| "path is missing".to_owned())?;
    let invalid = || format!("Invalid plan target path for {}: {}", target.plan_type, shown(path));
    let segments = segments(path, members.get("pathSegments"))?;
    let reserved = |segment: &String| matches!(segment.as_str(), "__proto__" | "prototype" | "constructor");
    if segments.join(".") != path || segments.iter().any(reserved) || !target.matches(&segments) {
        return Err(invalid().into());
    }
    let captured = &segments[target.path.iter().position(|step| *step == "*").unwrap_or(0)];
    let place = match target.file {
        TargetFile::Config => {
            same_as_path("providerId", text("providerId"), Some(captured))?;
            PlanPlace::Config { target, provider: captured.clone(), path: segments }
        }
        TargetFile::Profiles => {
            same_as_path("providerId", text("providerId"), None)?;
            let provider = match members.get("authProfileProvider") {
                None => None,
                Some(_) => Some(text("authProfileProvider").ok_or_else(|| "authProfileProvider is blank".to_owned())?),
            };
            let kind =
                if target.id == "auth-profiles.token.token" { CredentialKind::Token } else { CredentialKind::ApiKey };
            PlanPlace::Profile {
                agent: AgentId::normalise(text("agentId").ok_or_else(|| "agentId is missing".to_owned())?),
                id: ProfileId::new(captured.as_str()),
                kind,
                provider: provider.map(str::to_owned),
            }
        }
    };
    same_as_path("accountId", text("accountId"), None)?;
    let reference = reference(members.get("ref"))?;
    Ok(PlanTarget { place, reference, fingerprint: text("fingerprint").map(str::to_owned) })
}

/// The steps of a path: those that stand beside it, else those between its dots.
fn segments(path: &str, beside: Option<&Value>) -> Result<Vec<String>, String> {
    let given = match beside {
        None => Vec::new(),
        Some(value) => {
            let list = value.as_array().ok_or_else(|| "pathSegments must be an array".to_owned())?;
            let text =
                |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| "pathSegments must be texts".to_owned());
            list.iter().map(text).collect::<Result<Vec<_>, _>>()?
        }
    };
    let raw = if given.is_empty() { path.split('.').map(str::to_owned).collect() } else { given };
    Ok(raw.into_iter().map(|segment| segment.trim().to_owned()).filter(|segment| !segment.is_empty()).collect())
}

/// A member that repeats a part of the path must repeat it rightly.
fn same_as_path(name: &str, given: Option<&str>, held: Option<&String>) -> Result<(), String> {
    match (given, held) {
        (None, _) => Ok(()),
        (Some(given), Some(held)) if given == held => Ok(()),
        (Some(_), _) => Err(format!("{name} is not what the path says")),
    }
}

fn reference(value: Option<&Value>) -> Result<SecretRef, String> {
    let wrong = || "ref needs \"source\" (env, file or exec), \"provider\" and \"id\"".to_owned();
    let value = value.ok_or_else(wrong)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let source = text("source").and_then(RefSource::parse).ok_or_else(wrong)?;
    let (provider, id) = (text("provider").ok_or_else(wrong)?, text("id").ok_or_else(wrong)?.trim());
    if source == RefSource::Exec && !is_exec_id(id) {
        return Err(crate::secret_ref::EXEC_ID_RULE.to_owned());
    }
    if id.contains("__OPENCLAW_REDACTED__") {
        return Err("the id is the placeholder of a redacted value".to_owned());
    }
    Ok(SecretRef { source, provider: provider.trim().to_owned(), id: id.to_owned() })
}

#[cfg(test)]
mod tests;
