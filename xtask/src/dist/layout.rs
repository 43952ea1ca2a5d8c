//! Which file of the program goes where below a prefix such as `/usr` or `~/.local`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::archive::Entry;

/// The files of a program that is installed under `name`, relative to the prefix: the program, completions for four
/// shells, man pages. `reference` is what [`crate::reference::make`] made for the same name.
pub(crate) fn files(name: &str, binary: Vec<u8>, reference: &Path) -> Result<Vec<Entry>> {
    let completion = |from: String, to: String| -> Result<Entry> {
        let path = reference.join("completions").join(from);
        Ok(Entry::file(to, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
    };
    let mut files = vec![
        Entry::program(format!("bin/{name}"), binary),
        completion(format!("{name}.bash"), format!("share/bash-completion/completions/{name}"))?,
        completion(format!("_{name}"), format!("share/zsh/site-functions/_{name}"))?,
        completion(format!("{name}.fish"), format!("share/fish/vendor_completions.d/{name}.fish"))?,
        completion(format!("_{name}.ps1"), format!("share/powershell/completions/{name}.ps1"))?,
    ];
    let mut pages = 0;
    for page in fs::read_dir(reference.join("man")).context("no man pages were made")? {
        let page = page?;
        let file = page.file_name().to_string_lossy().into_owned();
        files.push(Entry::file(format!("share/man/man1/{file}"), fs::read(page.path())?));
        pages += 1;
    }
    ensure!(pages > 0, "no man pages were made");
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The same files as Debian places and packs them, below `usr`.
pub(crate) fn debian(files: &[Entry], gzip: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<Vec<Entry>> {
    let packed = files.iter().map(|file| {
        let mut file = file.below("usr");
        file.path = file.path.replace("/zsh/site-functions/", "/zsh/vendor-completions/");
        if file.path.starts_with("usr/share/man/") {
            file.bytes = gzip(&file.bytes)?;
            file.path.push_str(".gz");
        }
        Ok(file)
    });
    packed.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the reference program would make, small.
    pub(crate) fn reference(name: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["completions", "man"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let files = [format!("{name}.bash"), format!("_{name}"), format!("{name}.fish"), format!("_{name}.ps1")];
        for file in files {
            fs::write(dir.path().join("completions").join(&file), format!("# {file}\n")).unwrap();
        }
        for page in [format!("{name}.1"), format!("{name}-models.1")] {
            fs::write(dir.path().join("man").join(&page), format!(".TH {page}\n")).unwrap();
        }
        dir
    }

    #[test]
    fn every_file_has_its_place() {
        let reference = reference("openclaw-auth");
        let files = files("openclaw-auth", b"binary".to_vec(), reference.path()).unwrap();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "bin/openclaw-auth",
                "share/bash-completion/completions/openclaw-auth",
                "share/fish/vendor_completions.d/openclaw-auth.fish",
                "share/man/man1/openclaw-auth-models.1",
                "share/man/man1/openclaw-auth.1",
                "share/powershell/completions/openclaw-auth.ps1",
                "share/zsh/site-functions/_openclaw-auth",
            ]
        );
        assert_eq!((files[0].mode, files[1].mode), (0o755, 0o644));
        let debian = debian(&files, |bytes| Ok([b"gz:", bytes].concat())).unwrap();
        assert_eq!(debian[4].path, "usr/share/man/man1/openclaw-auth.1.gz");
        assert_eq!(debian[4].bytes, b"gz:.TH openclaw-auth.1\n");
        assert_eq!(debian[6].path, "usr/share/zsh/vendor-completions/_openclaw-auth");
    }
}
