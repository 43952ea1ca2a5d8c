//! Whatever the commands of a proof print holds no part of a secret.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, bail, ensure};

/// How many characters of a secret in a row make a leak.
const WINDOW: usize = 9;
/// A well-known beginning, which may show.
const PREFIX: &str = "sk-test-";

/// Everything that the commands of a proof print, in one file.
pub(super) struct Printed(PathBuf);

impl Printed {
    /// Begins anew, beside the home of the proof.
    pub(super) fn beside(home: &Path) -> Result<Self> {
        let path = home.with_extension("printed");
        fs::write(&path, "")?;
        Ok(Self(path))
    }

    /// One more end of the file, for standard output or standard error.
    pub(super) fn end(&self) -> Result<Stdio> {
        Ok(Stdio::from(File::options().append(true).open(&self.0)?))
    }

    /// Fails when a part of a secret was printed, or nothing at all. Gives the number of bytes that were looked at.
    pub(super) fn check(&self, secrets: &[String]) -> Result<usize> {
        let bytes = fs::read(&self.0)?;
        ensure!(!bytes.is_empty(), "nothing was printed, so nothing was looked at");
        check(&bytes, secrets)?;
        Ok(bytes.len())
    }
}

/// Fails when a part of a secret stands in a text.
pub(super) fn check(printed: &[u8], secrets: &[String]) -> Result<()> {
    let text = String::from_utf8_lossy(printed);
    for secret in secrets {
        let body = secret.strip_prefix(PREFIX).unwrap_or(secret);
        let parts = body.as_bytes().windows(WINDOW).filter_map(|part| std::str::from_utf8(part).ok());
        if let Some(part) = parts.into_iter().find(|part| text.contains(part)) {
            bail!("a part of a secret was printed: …{part}…");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_part_of_a_secret_is_found_and_a_masked_tail_is_not() {
        let secrets = ["sk-test-abcdefghijklmnop".to_owned()];
        assert!(check(b"uses sk-tes...mnop here", &secrets).is_ok());
        assert!(check(b"cdefghijk", &secrets).is_err());
        assert!(check(b"cdefghij", &secrets).is_ok());
    }
}
