//! May this file be trusted with a secret, or this program be asked for one (spec 05 section 7)?

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use auth_core::secrets::{ExecProvider, SecretError};

use crate::host::Host;
use crate::layout::{StateLayout, normalise};
use crate::secure_file::{FileFacts, PathFacts, PathKind, reason};

/// A setting that names a path, for messages.
pub(crate) struct PathLabel(pub(crate) String);

impl PathLabel {
    pub(crate) fn fault(&self, fault: impl Into<String>) -> SecretError {
        SecretError::Path { label: self.0.clone(), fault: fault.into() }
    }

    pub(crate) fn unreadable(&self, error: &io::Error) -> SecretError {
        self.fault(format!("is not readable ({})", reason(error)))
    }
}

/// A file with a secret must be ours alone.
pub(crate) fn check_secret_file(
    facts: FileFacts,
    user: u32,
    label: &PathLabel,
    shown: &str,
) -> Result<(), SecretError> {
    if facts.mode & 0o066 != 0 {
        return Err(label.fault(format!("permissions are too open ({:04o}). Run: chmod 600 {shown}", facts.mode)));
    }
    if facts.owner != user {
        return Err(label.fault(format!("must be owned by the current user (is owned by uid {})", facts.owner)));
    }
    Ok(())
}

/// The real path of a program that may be run.
pub(crate) fn checked_command(
    provider: &ExecProvider,
    label: &PathLabel,
    layout: &StateLayout,
    host: &dyn Host,
) -> Result<PathBuf, SecretError> {
    let path = Path::new(&provider.command);
    if !path.is_absolute() {
        return Err(label.fault("must be an absolute path"));
    }
    let mut facts = host.facts(path).map_err(|error| label.unreadable(&error))?;
    if facts.kind == PathKind::Link && !provider.allow_symlink_command {
        return Err(label.fault("must not be a symlink (allowSymlinkCommand would permit it)"));
    }
    let real = host.real_path(path).map_err(|error| label.unreadable(&error))?;
    if facts.kind == PathKind::Link {
        facts = host.facts(&real).map_err(|error| label.unreadable(&error))?;
    }
    if facts.kind != PathKind::File {
        return Err(label.fault("must be a file"));
    }
    let trusted = |dir: &String| {
        let dir = Path::new(dir);
        real.starts_with(host.real_path(dir).unwrap_or_else(|_| normalise(dir)))
    };
    if !provider.trusted_dirs.is_empty() && !provider.trusted_dirs.iter().any(trusted) {
        return Err(label.fault(format!("is outside trustedDirs ({})", layout.shorten(&real))));
    }
    if !provider.allow_insecure_path {
        check_program(facts, host.user_id(), label, &layout.shorten(&real))?;
    }
    if facts.mode & 0o111 == 0 {
        return Err(label.fault(format!("is not executable. Run: chmod u+x {}", layout.shorten(&real))));
    }
    Ok(real)
}

/// A program must be ours or root's, and nobody else's to change.
fn check_program(facts: PathFacts, user: u32, label: &PathLabel, shown: &str) -> Result<(), SecretError> {
    if facts.mode & 0o022 != 0 {
        return Err(label.fault(format!("permissions are too open ({:04o}). Run: chmod go-w {shown}", facts.mode)));
    }
    if facts.owner != user && facts.owner != 0 {
        return Err(label.fault(format!("must be owned by the current user or root (is owned by uid {})", facts.owner)));
    }
    Ok(())
}

/// The absolute path of a file provider.
pub(crate) fn absolute_path(text: &str, label: &PathLabel, layout: &StateLayout) -> Result<PathBuf, SecretError> {
    let text = text.trim();
    if Path::new(text).is_absolute() || text == "~" || text.starts_with("~/") {
        Ok(layout.user_path(text))
    } else {
        Err(label.fault("must be an absolute path"))
    }
}

/// What a failed reading of a secret file means.
pub(crate) fn read_fault(error: &io::Error, label: &PathLabel, max_bytes: u64, timeout_ms: u64) -> SecretError {
    match error.kind() {
        ErrorKind::FileTooLarge => label.fault(format!("exceeded maxBytes ({max_bytes})")),
        ErrorKind::TimedOut => label.fault(format!("timed out after {timeout_ms}ms")),
        ErrorKind::IsADirectory => label.fault("must be a file"),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            label.fault("must not be a symlink")
        }
        _ => label.unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_ours_alone() {
        let check = |mode, owner| {
            let label = PathLabel("secrets.providers.vault.path".to_owned());
            let facts = FileFacts { mode, owner, hard_links: 1 };
            check_secret_file(facts, 1000, &label, "~/k.json").map_err(|error| error.to_string())
        };
        assert_eq!(check(0o600, 1000), Ok(()));
        assert_eq!(check(0o400, 1000), Ok(()));
        for owner in [0, 1001] {
            assert!(check(0o600, owner).is_err_and(|error| error.contains(&format!("is owned by uid {owner}"))));
        }
        for mode in [0o640, 0o620, 0o604, 0o602] {
            assert!(check(mode, 1000).is_err_and(|error| error.contains("chmod 600 ~/k.json")), "{mode:o}");
        }
    }
}
