//! `cargo xtask dist`: what is given to people who do not build the program themselves.

pub(crate) mod archive;
pub(crate) mod build;
mod deb;
pub(crate) mod layout;
mod licences;
pub(crate) mod sbom;
mod scan;
pub(crate) mod sha256;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use self::archive::{Entry, gzip, tar};
use crate::{packages, reference};

/// The names under which the program is given away: its own, and one for machines where another `openclaw` comes first.
pub(crate) const NAMES: [&str; 2] = ["openclaw", "openclaw-auth"];

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Everything that is made once, whatever the name.
pub(crate) struct Parts {
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) binary: Vec<u8>,
    /// README, change log, licences, licences of others.
    pub(crate) documents: Vec<Entry>,
    linked: Vec<packages::Linked>,
    epoch: u64,
}

/// Builds archives, packages, bill of materials and checksums into `out`.
pub(crate) fn run(shell: &Shell, root: &Path, out: &Path) -> Result<()> {
    let parts = Parts::make(shell, root)?;
    let Parts { target, version, epoch, .. } = &parts;
    let mut made: Vec<(String, Vec<u8>)> = Vec::new();
    for name in NAMES {
        let reference = reference::make(shell, name)?;
        let files = layout::files(name, parts.binary.clone(), reference.path())?;
        let top = format!("{name}-{version}-{target}");
        made.push((format!("{top}.tar.gz"), parts.archive(&top, &files)?));
        if target.contains("linux") {
            let file = format!("{name}_{}_{}.deb", deb::debian_version(version), deb::architecture(target)?);
            made.push((file, parts.deb(name, &files)?));
        }
    }
    let sbom = sbom::document(&parts.linked, NAMES[0], target, *epoch)?;
    made.push((format!("openclaw-{version}-{target}.cdx.json"), sbom.into_bytes()));

    made.sort();
    let mut sums = String::new();
    for (file, bytes) in &made {
        writeln!(sums, "{}  {file}", sha256::sum(bytes))?;
    }
    made.push(("SHA256SUMS".to_owned(), sums.into_bytes()));
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    println!("{} {version} for {target}, in {}:", NAMES[0], out.display());
    for (file, bytes) in &made {
        let path = out.join(file);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("  {:>9}  {file}", bytes.len());
    }
    println!("the binary has {} bytes, {} packages of others are in it", parts.binary.len(), parts.others());
    Ok(())
}

impl Parts {
    /// Builds the binary, looks it through, and collects what goes with it.
    pub(crate) fn make(shell: &Shell, root: &Path) -> Result<Self> {
        let target = packages::host(shell)?;
        let epoch = source_date(shell, root)?;
        println!("building the release binary for {target}");
        let path = build::release(shell, root, &target, epoch)?;
        let binary = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        scan::check(&binary, &build::Places::of(shell, root)?.forbidden())?;
        println!("no path of this machine is in it");

        let linked = packages::linked(shell, root, &target)?;
        let compiler = cmd!(shell, "rustc --version").quiet().read()?;
        let (third_party, standard) = licences::page(&linked, compiler.trim())?;
        if standard > 0 {
            println!("{standard} packages carry no text of their licence; the standard text stands in");
        }
        let mut documents = vec![Entry::file("THIRD-PARTY.txt", third_party)];
        for name in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
            documents
                .push(Entry::file(name, fs::read(root.join(name)).with_context(|| format!("cannot read {name}"))?));
        }
        let version = packages::version(root)?.to_string();
        Ok(Self { target, version, binary, documents, linked, epoch })
    }

    /// How many packages of others are in the binary.
    fn others(&self) -> usize {
        self.linked.iter().filter(|package| !package.is_ours()).count()
    }

    fn archive(&self, top: &str, files: &[Entry]) -> Result<Vec<u8>> {
        let all: Vec<Entry> = files.iter().chain(&self.documents).map(|file| file.below(top)).collect();
        gzip(&tar(&all, self.epoch)?)
    }

    fn deb(&self, name: &str, files: &[Entry]) -> Result<Vec<u8>> {
        let mut all = layout::debian(files, gzip)?;
        let folder = format!("usr/share/doc/{name}");
        for document in &self.documents {
            let mut document = document.below(&folder);
            if document.path.ends_with("/CHANGELOG.md") {
                document = Entry::file(format!("{folder}/changelog.gz"), gzip(&document.bytes)?);
            }
            all.push(document);
        }
        all.push(Entry::file(format!("{folder}/copyright"), copyright()));
        let mut depends: Vec<String> = Vec::new();
        if let Some(version) = scan::glibc(&self.binary) {
            depends.push(format!("libc6 (>= {version})"));
        }
        if scan::find(&self.binary, b"libgcc_s.so.1").is_some() {
            depends.push("libgcc-s1".to_owned());
        }
        let control = deb::Control {
            package: name,
            version: &self.version,
            target: &self.target,
            depends: &depends.join(", "),
            homepage: REPOSITORY,
            description: &[
                "model credentials of OpenClaw agents, in milliseconds",
                "Which credential do your agents use, where does it come from, does it still",
                "work, and what to do if not: the auth commands of OpenClaw as one native",
                "program on the same state directory.",
            ],
        };
        deb::package(&control, &all, self.epoch)
    }
}

/// The copyright file of the Debian package.
fn copyright() -> String {
    format!(
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: openclaw-auth\nSource: {REPOSITORY}\n\nFiles: *\nCopyright: the openclaw-auth authors\nLicense: Expat or Apache-2.0\n The texts are in LICENSE-MIT and LICENSE-APACHE of this folder; the licences of\n the packages whose code is in the program are in THIRD-PARTY.txt.\n"
    )
}

/// The time that everything made carries: `SOURCE_DATE_EPOCH`, else that of the last commit.
pub(crate) fn source_date(shell: &Shell, root: &Path) -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => cmd!(shell, "git -C {root} log -1 --format=%ct").quiet().read().context(
            "the time of the sources is not known: outside a repository, set SOURCE_DATE_EPOCH (seconds since 1970)",
        )?,
    };
    text.trim().parse().with_context(|| format!("{text:?} is no number of seconds since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts {
            target: "x86_64-unknown-linux-gnu".to_owned(),
            version: "0.1.0".to_owned(),
            binary: b"\x7fELF GLIBC_2.2.5 GLIBC_2.34 libgcc_s.so.1".to_vec(),
            documents: vec![Entry::file("README.md", "read"), Entry::file("CHANGELOG.md", "changes")],
            linked: Vec::new(),
            epoch: 1_700_000_000,
        }
    }

    #[test]
    fn archive_and_package_hold_program_and_documents() {
        let parts = parts();
        let reference = layout::tests::reference("openclaw");
        let files = layout::files("openclaw", parts.binary.clone(), reference.path()).unwrap();
        let back = archive::tests::read_back(&parts.archive("openclaw-0.1.0-here", &files).unwrap());
        let names: Vec<&str> = back.iter().map(|entry| entry.path.as_str()).collect();
        for name in ["bin/openclaw", "README.md", "share/man/man1/openclaw.1"] {
            assert!(names.contains(&format!("openclaw-0.1.0-here/{name}").as_str()), "{name} in {names:?}");
        }
        let deb = parts.deb("openclaw", &files).unwrap();
        assert_eq!(deb, parts.deb("openclaw", &files).unwrap());
        // The package is read by Debian's own tool where there is one.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        fs::write(&path, deb).unwrap();
        let ask = |what: &str| std::process::Command::new("dpkg-deb").arg(what).arg(&path).output();
        if let (Ok(info), Ok(contents)) = (ask("--info"), ask("--contents")) {
            let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(info.status.success() && text(&info).contains("Depends: libc6 (>= 2.34), libgcc-s1"));
            assert!(contents.status.success(), "{}", String::from_utf8_lossy(&contents.stderr));
            for path in
                ["./usr/bin/openclaw", "./usr/share/doc/openclaw/changelog.gz", "./usr/share/doc/openclaw/copyright"]
            {
                assert!(text(&contents).contains(path), "{path}");
            }
        }
    }
}
