//! The list of what was installed below a prefix, in the form that `sha256sum --check` reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Where the list lies below the prefix.
pub(crate) const PATH: &str = "share/openclaw-auth/manifest";

const FIRST_LINE: &str = "# Installed by cargo xtask install; cargo xtask uninstall reads this.";

/// What was installed, by program, and the folders that were made for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The name of a program → path below the prefix → checksum.
    pub(crate) programs: BTreeMap<String, BTreeMap<String, String>>,
    /// Folders that were not there before.
    pub(crate) folders: BTreeSet<String>,
}

impl Manifest {
    /// Reads the list below a prefix; none is an empty one.
    pub(crate) fn read(prefix: &Path) -> Result<Self> {
        let path = prefix.join(PATH);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} cannot be used", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The checksum that a path had when it was installed.
    pub(crate) fn sum(&self, path: &str) -> Option<&str> {
        self.programs.values().find_map(|files| files.get(path)).map(String::as_str)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut manifest = Self::default();
        let mut program: Option<String> = None;
        let mut lines = text.lines().enumerate();
        ensure!(lines.next().is_some_and(|(_, line)| line == FIRST_LINE), "line 1 is not that of a manifest");
        for (at, line) in lines {
            let number = at + 1;
            if let Some(folder) = line.strip_prefix("# folder ") {
                check(folder).with_context(|| format!("line {number}"))?;
                manifest.folders.insert(folder.to_owned());
            } else if let Some(name) = line.strip_prefix("# program ") {
                manifest.programs.entry(name.to_owned()).or_default();
                program = Some(name.to_owned());
            } else {
                let (sum, path) = line.split_once("  ").with_context(|| format!("line {number} has no path"))?;
                ensure!(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()), "line {number} has no checksum");
                check(path).with_context(|| format!("line {number}"))?;
                let name = program.clone().with_context(|| format!("line {number} belongs to no program"))?;
                manifest.programs.entry(name).or_default().insert(path.to_owned(), sum.to_owned());
            }
        }
        Ok(manifest)
    }

    pub(crate) fn text(&self) -> String {
        let mut out = format!("{FIRST_LINE}\n");
        for folder in &self.folders {
            let _ = writeln!(out, "# folder {folder}");
        }
        for (name, files) in &self.programs {
            let _ = writeln!(out, "# program {name}");
            for (path, sum) in files {
                let _ = writeln!(out, "{sum}  {path}");
            }
        }
        out
    }
}

/// A path of a list may lead nowhere but below the prefix.
fn check(path: &str) -> Result<()> {
    let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || path.is_empty() {
        bail!("{path:?} leads out of the prefix");
    }
    Ok(())
}

/// The folders above a path, the nearest first, without the prefix itself.
pub(crate) fn folders_above(path: &str) -> Vec<PathBuf> {
    let above = Path::new(path).ancestors().skip(1);
    above.take_while(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back() {
        let sum = "ab".repeat(32);
        let files = BTreeMap::from([("bin/openclaw".to_owned(), sum.clone())]);
        let manifest = Manifest {
            programs: BTreeMap::from([("openclaw".to_owned(), files)]),
            folders: BTreeSet::from(["share/man".to_owned()]),
        };
        assert_eq!(Manifest::parse(&manifest.text()).unwrap(), manifest);
        assert_eq!(manifest.sum("bin/openclaw"), Some(sum.as_str()));
    }

    #[test]
    fn a_list_that_leads_elsewhere_is_refused() {
        let sum = "ab".repeat(32);
        for line in [
            format!("{sum}  /etc/passwd"),
            format!("{sum}  ../x"),
            format!("{sum}  a/../../x"),
            "# folder ..".to_owned(),
            format!("{sum} bin/x"),
            "00  bin/x".to_owned(),
        ] {
            let text = format!("{FIRST_LINE}\n# program x\n{line}\n");
            assert!(Manifest::parse(&text).is_err(), "{line}");
        }
        assert!(Manifest::parse("something else\n").is_err());
    }
}
