//! Archives that are the same bytes for the same content: sorted, one time, owner root, no time in gzip.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// A file of an archive or an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its path, relative, with slashes.
    pub(crate) path: String,
    /// Permissions.
    pub(crate) mode: u32,
    /// Content.
    pub(crate) bytes: Vec<u8>,
}

impl Entry {
    /// A file that everybody reads.
    pub(crate) fn file(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, bytes: bytes.into() }
    }

    /// A program.
    pub(crate) fn program(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o755, bytes: bytes.into() }
    }

    /// The same file below a folder.
    pub(crate) fn below(&self, folder: &str) -> Self {
        Self { path: format!("{folder}/{}", self.path), ..self.clone() }
    }
}

/// A tar archive of the files and the folders that hold them.
pub(crate) fn tar(entries: &[Entry], epoch: u64) -> Result<Vec<u8>> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut folders = BTreeSet::new();
    for entry in &sorted {
        let mut folder = Path::new(&entry.path).parent();
        while let Some(path) = folder.filter(|path| !path.as_os_str().is_empty()) {
            folders.insert(path.to_owned());
            folder = path.parent();
        }
    }
    let mut builder = tar::Builder::new(Vec::new());
    for folder in folders {
        let mut header = header(EntryType::Directory, 0o755, 0, epoch)?;
        append(&mut builder, &mut header, &format!("{}/", folder.display()), &[])?;
    }
    for entry in sorted {
        let mut header = header(EntryType::Regular, entry.mode, entry.bytes.len() as u64, epoch)?;
        append(&mut builder, &mut header, &entry.path, &entry.bytes).with_context(|| entry.path.clone())?;
    }
    Ok(builder.into_inner()?)
}

/// Appends an entry. A path that begins with a dot keeps it, as Debian has its paths.
fn append(builder: &mut tar::Builder<Vec<u8>>, header: &mut Header, path: &str, bytes: &[u8]) -> Result<()> {
    let place = header.as_gnu_mut().map(|gnu| &mut gnu.name);
    match place.and_then(|place| place.get_mut(..path.len())).filter(|_| path.starts_with("./")) {
        Some(place) => {
            place.copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(header, bytes)?;
        }
        None => builder.append_data(header, path, bytes)?,
    }
    Ok(())
}

fn header(kind: EntryType, mode: u32, size: u64, epoch: u64) -> Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    Ok(header)
}

/// Compressed as `gzip -9n` does.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Read;

    /// An entry as it comes out of an archive.
    pub(crate) struct Found {
        pub(crate) path: String,
        pub(crate) mode: u32,
        pub(crate) owner: (u64, u64),
        pub(crate) time: u64,
        pub(crate) bytes: Vec<u8>,
    }

    /// The entries of an archive.
    pub(crate) fn read_back(gzipped: &[u8]) -> Vec<Found> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(gzipped));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let header = entry.header();
            Found {
                path: entry.path().unwrap().to_string_lossy().into_owned(),
                mode: header.mode().unwrap(),
                owner: (header.uid().unwrap(), header.gid().unwrap()),
                time: header.mtime().unwrap(),
                bytes,
            }
        });
        entries.collect()
    }

    #[test]
    fn an_archive_reads_back_and_does_not_depend_on_the_order() {
        let long = format!("top/share/{}/x.1", "l".repeat(120));
        let files =
            [Entry::program("top/bin/p", "binary"), Entry::file("top/README.md", "text"), Entry::file(&*long, "far")];
        let bytes = gzip(&tar(&files, 1_700_000_000).unwrap()).unwrap();
        let turned: Vec<Entry> = files.iter().rev().cloned().collect();
        assert_eq!(bytes, gzip(&tar(&turned, 1_700_000_000).unwrap()).unwrap());
        assert_eq!(bytes[4..8], [0; 4], "gzip keeps no time");

        let back = read_back(&bytes);
        let paths: Vec<&str> = back.iter().map(|entry| entry.path.as_str()).collect();
        let folder = format!("top/share/{}/", "l".repeat(120));
        assert_eq!(paths, ["top/", "top/bin/", "top/share/", &folder, "top/README.md", "top/bin/p", &long]);
        assert!(back.iter().all(|entry| entry.owner == (0, 0) && entry.time == 1_700_000_000));
        let program = back.iter().find(|entry| entry.path == "top/bin/p").unwrap();
        assert_eq!((program.mode, program.bytes.as_slice()), (0o755, &b"binary"[..]));
    }
}
