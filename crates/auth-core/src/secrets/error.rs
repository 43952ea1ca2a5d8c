//! Why a reference does not resolve (spec 05 section 3.1). No message holds a secret, nor text of a file or of what a
//! program printed.

use crate::secret_ref::{EXEC_ID_RULE, RefSource, SecretRef};

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorScope {
    /// Every reference of the provider fails with it.
    Provider,
    /// Only this reference.
    Reference,
}

/// Why a reference does not resolve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The id is blank.
    #[error("Secret reference id is empty")]
    EmptyId,
    /// The id of an `exec` reference has not the form of one.
    #[error("{EXEC_ID_RULE}")]
    ExecId,
    /// The id of another reference has not the form of one; holds its label, masked where needed.
    #[error("{0} is not {1}")]
    Id(String, &'static str),
    /// The config has no such provider.
    #[error("Secret provider \"{alias}\" is not configured (ref: {reference})")]
    NotConfigured {
        /// Its alias.
        alias: String,
        /// The reference.
        reference: String,
    },
    /// The provider is of another kind.
    #[error("Secret provider \"{alias}\" has source \"{has}\" but ref requests \"{wants}\"")]
    SourceMismatch {
        /// Its alias.
        alias: String,
        /// Its kind.
        has: RefSource,
        /// The kind that the reference names.
        wants: RefSource,
    },
    /// More references than the config allows.
    #[error("Secret provider \"{alias}\" exceeded maxRefsPerProvider ({limit})")]
    TooManyRefs {
        /// The provider.
        alias: String,
        /// The limit.
        limit: usize,
    },
    /// The variable is not in the provider's list.
    #[error("Environment variable \"{0}\" is not allowlisted")]
    NotAllowlisted(String),
    /// The variable is unset or blank.
    #[error("Environment variable \"{0}\" is missing or empty")]
    VariableMissing(String),
    /// Something about the file or program itself; `label` is the setting that names it.
    #[error("{label} {fault}")]
    Path {
        /// `secrets.providers.<alias>.path` or `.command`.
        label: String,
        /// What is wrong, in the words of the specification.
        fault: String,
    },
    /// A pointer that leads nowhere, or is none.
    #[error("{0}")]
    Pointer(String),
    /// A file that is one value has only one id.
    #[error("singleValue file provider \"{0}\" expects ref id \"value\"")]
    SingleValueId(String),
    /// The request for a program is larger than the config allows.
    #[error("exec provider \"{alias}\" request exceeded maxBatchBytes ({limit})")]
    BatchTooLarge {
        /// The provider.
        alias: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The program, or its answer as a whole, failed.
    #[error("exec provider \"{alias}\" {fault}")]
    Exec {
        /// The provider.
        alias: String,
        /// What is wrong, in the words of the specification.
        fault: String,
    },
    /// The program says that this id failed.
    #[error("exec provider \"{alias}\" failed for id \"{id}\"{}", .message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default())]
    ExecFailed {
        /// The provider.
        alias: String,
        /// The id.
        id: String,
        /// What it says about it: redacted and cut.
        message: Option<String>,
    },
    /// The program's answer has no such id.
    #[error("exec provider \"{alias}\" response missing id \"{id}\"")]
    ExecMissing {
        /// The provider.
        alias: String,
        /// The id.
        id: String,
    },
    /// It resolves to something that cannot be a key.
    #[error("the value of {0} is not a non-empty string")]
    NotAString(String),
}

impl SecretError {
    /// How far the failure reaches.
    pub fn scope(&self) -> ErrorScope {
        match self {
            Self::TooManyRefs { .. }
            | Self::NotConfigured { .. }
            | Self::SourceMismatch { .. }
            | Self::Path { .. }
            | Self::BatchTooLarge { .. }
            | Self::Exec { .. } => ErrorScope::Provider,
            Self::EmptyId
            | Self::ExecId
            | Self::Id(..)
            | Self::NotAllowlisted(_)
            | Self::VariableMissing(_)
            | Self::Pointer(_)
            | Self::SingleValueId(_)
            | Self::ExecFailed { .. }
            | Self::ExecMissing { .. }
            | Self::NotAString(_) => ErrorScope::Reference,
        }
    }

    /// What keeps the id of a reference from being asked for at all.
    ///
    /// # Errors
    ///
    /// When it is blank, or has not the form that its source asks for.
    pub fn check_id(reference: &SecretRef) -> Result<(), Self> {
        if reference.id.trim().is_empty() {
            return Err(Self::EmptyId);
        }
        if reference.has_valid_id() {
            return Ok(());
        }
        Err(match reference.source {
            RefSource::Env => Self::Id(reference.label(), "the name of an environment variable"),
            RefSource::File => Self::Pointer(format!(
                "{}: file references of JSON files are absolute JSON pointers",
                reference.label()
            )),
            RefSource::Exec => Self::ExecId,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_before_anything_is_asked() {
        let exec = "Exec secret reference id must match";
        for (source, id, words) in [
            (RefSource::Env, " ", Some("Secret reference id is empty")),
            (RefSource::Env, " lower_1 ", None),
            (RefSource::Env, "sk-test-canary-00000001", Some("is not the name of an environment variable")),
            (RefSource::File, "value", None),
            (RefSource::File, "/a~1b", None),
            (RefSource::File, "sk-test-canary-00000001", Some("absolute JSON pointers")),
            (RefSource::Exec, "vault:a/b", None),
            (RefSource::Exec, "a/../sk-test-canary-00000001", Some(exec)),
        ] {
            let reference = SecretRef { source, provider: "p".to_owned(), id: id.to_owned() };
            let error = SecretError::check_id(&reference).err();
            assert!(error.iter().all(|error| error.scope() == ErrorScope::Reference));
            // An id that is none may be a secret in the wrong place.
            let said = error.map(|error| error.to_string());
            assert!(said.iter().all(|said| !said.contains("canary")), "{said:?}");
            assert_eq!(said.is_some(), words.is_some(), "{id}");
            assert!(said.unwrap_or_default().contains(words.unwrap_or_default()), "{id}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_provider_is_wrong_with_all_its_references() {
        let (alias, id) = ("p".to_owned(), "i".to_owned());
        let failed = |message: Option<&str>| SecretError::ExecFailed {
            alias: alias.clone(),
            id: id.clone(),
            message: message.map(str::to_owned),
        };
        for (error, scope, words) in [
            (
                SecretError::TooManyRefs { alias: alias.clone(), limit: 3 },
                ErrorScope::Provider,
                "exceeded maxRefsPerProvider (3)",
            ),
            (
                SecretError::BatchTooLarge { alias: alias.clone(), limit: 3 },
                ErrorScope::Provider,
                "exceeded maxBatchBytes (3)",
            ),
            (
                SecretError::Exec { alias: alias.clone(), fault: "returned empty stdout".to_owned() },
                ErrorScope::Provider,
                "exec provider \"p\" returned empty stdout",
            ),
            (
                SecretError::Path { label: "secrets.providers.p.path".to_owned(), fault: "is not readable".to_owned() },
                ErrorScope::Provider,
                "secrets.providers.p.path is not readable",
            ),
            (
                SecretError::NotConfigured { alias: alias.clone(), reference: "env:p:A".to_owned() },
                ErrorScope::Provider,
                "\"p\" is not configured (ref: env:p:A)",
            ),
            (
                SecretError::SourceMismatch { alias: alias.clone(), has: RefSource::File, wants: RefSource::Exec },
                ErrorScope::Provider,
                "has source \"file\" but ref requests \"exec\"",
            ),
            (SecretError::NotAllowlisted("A".to_owned()), ErrorScope::Reference, "\"A\" is not allowlisted"),
            (SecretError::VariableMissing("A".to_owned()), ErrorScope::Reference, "\"A\" is missing or empty"),
            (SecretError::SingleValueId(alias.clone()), ErrorScope::Reference, "expects ref id \"value\""),
            (failed(Some("locked")), ErrorScope::Reference, "failed for id \"i\" (locked)"),
            (failed(None), ErrorScope::Reference, "failed for id \"i\""),
            (
                SecretError::ExecMissing { alias: alias.clone(), id: id.clone() },
                ErrorScope::Reference,
                "response missing id \"i\"",
            ),
            (SecretError::NotAString("env:p:A".to_owned()), ErrorScope::Reference, "is not a non-empty string"),
        ] {
            let said = error.to_string();
            assert!(error.scope() == scope && said.contains(words), "{said}");
        }
    }
}
