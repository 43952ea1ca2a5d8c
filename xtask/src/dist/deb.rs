//! Packages for Debian and its kin: an `ar` archive of two tar archives.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use md5::{Digest, Md5};

use super::archive::{Entry, gzip, tar};

/// What the package says of itself.
#[derive(Debug)]
pub(crate) struct Control<'a> {
    pub(crate) package: &'a str,
    pub(crate) version: &'a str,
    pub(crate) target: &'a str,
    /// Packages it needs, as Debian writes them.
    pub(crate) depends: &'a str,
    pub(crate) homepage: &'a str,
    /// One line, then lines of a longer text.
    pub(crate) description: &'a [&'a str],
}

/// A package with these files; their paths are relative to the root.
pub(crate) fn package(control: &Control, files: &[Entry], epoch: u64) -> Result<Vec<u8>> {
    let rooted: Vec<Entry> = files.iter().map(|file| file.below(".")).collect();
    let mut sums = String::new();
    let mut sorted: Vec<&Entry> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    for file in &sorted {
        let sum = Md5::digest(&file.bytes);
        for byte in sum {
            write!(sums, "{byte:02x}")?;
        }
        writeln!(sums, "  {}", file.path)?;
    }
    let size: usize = files.iter().map(|file| file.bytes.len().div_ceil(1024)).sum();
    let about = [Entry::file("./control", control.text(size)?), Entry::file("./md5sums", sums)];
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", gzip(&tar(&about, epoch)?)?),
        ("data.tar.gz", gzip(&tar(&rooted, epoch)?)?),
    ];
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        // Name, time, owner, group, mode and size at fixed places.
        let header = format!("{name:<16}{epoch:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", bytes.len());
        ensure!(header.len() == 60, "{name} does not fit into the header");
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&bytes);
        if bytes.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    Ok(out)
}

impl Control<'_> {
    fn text(&self, installed_kilobytes: usize) -> Result<String> {
        let (first, rest) = self.description.split_first().context("a package without a description")?;
        let mut out = String::new();
        writeln!(out, "Package: {}", self.package)?;
        writeln!(out, "Version: {}", debian_version(self.version))?;
        writeln!(out, "Architecture: {}", architecture(self.target)?)?;
        writeln!(out, "Maintainer: The openclaw-auth authors <{MAINTAINER}>")?;
        writeln!(out, "Installed-Size: {installed_kilobytes}")?;
        if !self.depends.is_empty() {
            writeln!(out, "Depends: {}", self.depends)?;
        }
        writeln!(out, "Section: utils\nPriority: optional")?;
        writeln!(out, "Homepage: {}", self.homepage)?;
        writeln!(out, "Description: {first}")?;
        for line in rest {
            writeln!(out, " {line}")?;
        }
        Ok(out)
    }
}

/// The field wants an address; questions go to the home page.
const MAINTAINER: &str = "openclaw-auth@localhost";

/// A version before a release sorts before it, which Debian writes with a tilde.
pub(crate) fn debian_version(version: &str) -> String {
    version.replacen('-', "~", 1)
}

/// Debian's name of the processor of a target.
pub(crate) fn architecture(target: &str) -> Result<&'static str> {
    Ok(match target.split('-').next().unwrap_or_default() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7" => "armhf",
        "i686" => "i386",
        "riscv64gc" => "riscv64",
        "powerpc64le" => "ppc64el",
        "s390x" => "s390x",
        other => bail!("no name of a Debian architecture for {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::archive::tests::read_back;

    const CONTROL: Control = Control {
        package: "openclaw",
        version: "0.2.0-rc.1",
        target: "x86_64-unknown-linux-gnu",
        depends: "libc6 (>= 2.34)",
        homepage: "https://example.com",
        description: &["one line", "and more", ".", "at length"],
    };

    /// The members of an `ar` archive.
    fn members(bytes: &[u8]) -> Vec<(String, &[u8])> {
        let mut rest = bytes.strip_prefix(b"!<arch>\n").unwrap();
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (header, after) = rest.split_at(60);
            let text = std::str::from_utf8(header).unwrap();
            let size: usize = text[48..58].trim().parse().unwrap();
            assert!(text.ends_with("`\n"));
            found.push((text[..16].trim().to_owned(), &after[..size]));
            rest = &after[size + size % 2..];
        }
        found
    }

    #[test]
    fn a_package_reads_back() {
        let files = [Entry::program("usr/bin/openclaw", "binary"), Entry::file("usr/share/doc/openclaw/x", "y")];
        let bytes = package(&CONTROL, &files, 1_700_000_000).unwrap();
        assert_eq!(bytes, package(&CONTROL, &files, 1_700_000_000).unwrap());
        let members = members(&bytes);
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["debian-binary", "control.tar.gz", "data.tar.gz"]);
        assert_eq!(members[0].1, b"2.0\n");

        let about = read_back(members[1].1);
        let control =
            String::from_utf8(about.iter().find(|entry| entry.path == "./control").unwrap().bytes.clone()).unwrap();
        for line in ["Version: 0.2.0~rc.1", "Architecture: amd64", "Installed-Size: 2", "Description: one line", " ."] {
            assert!(control.lines().any(|other| other == line), "{line} in\n{control}");
        }
        let sums =
            String::from_utf8(about.iter().find(|entry| entry.path == "./md5sums").unwrap().bytes.clone()).unwrap();
        assert_eq!(sums.lines().next(), Some("9d7183f16acce70658f686ae7f1a4d20  usr/bin/openclaw"));

        let data = read_back(members[2].1);
        let binary = data.iter().find(|entry| entry.path == "./usr/bin/openclaw").unwrap();
        assert_eq!((binary.mode, binary.bytes.as_slice()), (0o755, &b"binary"[..]));
    }
}
