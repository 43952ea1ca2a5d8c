//! Secrets in files (spec 05 section 5).

use auth_core::Secret;
use auth_core::secrets::{FileMode, FileProvider, SecretError, SecretJson};
use zeroize::Zeroizing;

use super::path_check::{PathLabel, absolute_path, check_secret_file, read_fault};
use crate::host::Host;
use crate::layout::StateLayout;

/// What a file provider's file holds, read once.
pub(crate) enum Payload {
    /// One secret.
    Text(Secret),
    /// Several, by pointer.
    Json(SecretJson),
}

impl Payload {
    /// Reads and checks the file of a provider.
    pub(crate) fn load(
        alias: &str,
        provider: &FileProvider,
        layout: &StateLayout,
        host: &dyn Host,
    ) -> Result<Self, SecretError> {
        let label = PathLabel(format!("secrets.providers.{alias}.path"));
        let path = absolute_path(&provider.path, &label, layout)?;
        let (facts, bytes) = host
            .read_secure(&path, provider.max_bytes, provider.timeout_ms)
            .map_err(|error| read_fault(&error, &label, provider.max_bytes, provider.timeout_ms))?;
        let bytes = Zeroizing::new(bytes);
        if !provider.allow_insecure_path {
            check_secret_file(facts, host.user_id(), &label, &layout.shorten(&path))?;
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| label.fault(format!("is not valid UTF-8 (byte {})", error.valid_up_to() + 1)))?;
        match provider.mode {
            FileMode::SingleValue => {
                let end = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n'));
                Ok(Self::Text(Secret::new(end.unwrap_or(text))))
            }
            FileMode::Json => SecretJson::parse(text).map(Self::Json).map_err(|fault| label.fault(fault)),
        }
    }

    /// The secret of an id; `None` when what stands there is no text.
    pub(crate) fn secret(&self, alias: &str, id: &str) -> Result<Option<Secret>, SecretError> {
        match self {
            Self::Text(secret) if id == "value" => Ok(Some(secret.clone())),
            Self::Text(_) => Err(SecretError::SingleValueId(alias.to_owned())),
            Self::Json(document) => document.secret_at(id),
        }
    }
}
