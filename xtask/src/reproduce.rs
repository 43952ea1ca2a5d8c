//! `cargo xtask reproduce`: two builds in two places give the same bytes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::dist::{build, sha256, source_date};
use crate::packages;

/// Builds the last commit twice, in folders of different names and depths, each with a target directory of its own.
pub(crate) fn run(shell: &Shell, root: &Path) -> Result<()> {
    let commit = cmd!(shell, "git -C {root} rev-parse HEAD").quiet().read()?;
    let target = packages::host(shell)?;
    let epoch = source_date(shell, root)?;
    let work = tempfile::Builder::new().prefix("openclaw-reproduce-").tempdir()?;
    let mut built = Vec::new();
    for place in ["a", "another/and-deeper"] {
        let source = work.path().join(place);
        export(shell, root, &commit, &source)?;
        println!("building {commit} in {}", source.display());
        let path = build::release(shell, &source, &target, epoch)?;
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        println!("  {}  {} bytes", sha256::sum(&bytes), bytes.len());
        built.push(bytes);
        // The second build may not find anything of the first.
        fs::remove_dir_all(&source).with_context(|| format!("cannot remove {}", source.display()))?;
    }
    same(&built[0], &built[1])?;
    println!("both builds are the same bytes");
    Ok(())
}

/// The files of a commit in a folder, without its history.
fn export(shell: &Shell, root: &Path, commit: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let tar = cmd!(shell, "git -C {root} archive --format=tar {commit}").quiet().output()?.stdout;
    tar::Archive::new(tar.as_slice()).unpack(folder).with_context(|| format!("cannot fill {}", folder.display()))?;
    Ok(())
}

fn same(a: &[u8], b: &[u8]) -> Result<()> {
    let first = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    ensure!(a == b, "the builds differ: {} and {} bytes, the first difference at byte {first}", a.len(), b.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn differences_are_told() {
        assert!(same(b"abc", b"abc").is_ok());
        assert!(same(b"abc", b"abd").unwrap_err().to_string().ends_with("at byte 2"));
        assert!(
            same(b"abc", b"ab").unwrap_err().to_string().ends_with("3 and 2 bytes, the first difference at byte 2")
        );
    }
}
