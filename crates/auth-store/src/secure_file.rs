//! Opening a file once and judging what was opened, not what its name points to later.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// What is known about an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Permission bits.
    pub mode: u32,
    /// Id of the owner.
    pub owner: u32,
    /// How many names it has.
    pub hard_links: u64,
}

/// How much is read between two looks at the clock, in bytes.
const PART: u64 = 256 * 1024;

/// What to do with a link in the last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Refuse,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A pipe, a device or a socket.
    Special,
}

/// What is known about a path, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathFacts {
    /// What it is.
    pub kind: PathKind,
    /// Permission bits.
    pub mode: u32,
    /// Id of the owner.
    pub owner: u32,
}

impl PathFacts {
    /// Looks at a path.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::symlink_metadata(path)?;
        let kind = match meta.file_type() {
            kind if kind.is_symlink() => PathKind::Link,
            kind if kind.is_dir() => PathKind::Directory,
            kind if kind.is_file() => PathKind::File,
            _ => PathKind::Special,
        };
        Ok(Self { kind, mode: meta.mode() & 0o7777, owner: meta.uid() })
    }
}

/// The directories above a path in which somebody else could put another file: they belong neither to us nor to root,
/// or others may write there without the sticky bit (spec 05 section 7).
pub(crate) fn loose_directories(
    path: &Path,
    user: u32,
    facts: &dyn Fn(&Path) -> io::Result<PathFacts>,
) -> Vec<PathBuf> {
    let is_loose = |dir: &&Path| {
        facts(dir).is_ok_and(|facts| {
            let foreign = facts.owner != user && facts.owner != 0;
            foreign || (facts.mode & 0o022 != 0 && facts.mode & 0o1000 == 0)
        })
    };
    path.ancestors().skip(1).filter(is_loose).map(Path::to_owned).collect()
}

/// Reads a regular file of at most `limit` bytes. Never waits: a pipe or device is refused, not read.
pub(crate) fn read(path: &Path, limit: u64, links: Links) -> io::Result<(FileFacts, Vec<u8>)> {
    read_within(path, limit, links, None)
}

/// As [`read`], and given up when it takes longer than `timeout`.
pub(crate) fn read_within(
    path: &Path,
    limit: u64,
    links: Links,
    timeout: Option<Duration>,
) -> io::Result<(FileFacts, Vec<u8>)> {
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let flags = i32::try_from(flags.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    if !meta.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    if meta.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_large(limit)));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut file = file.take(limit + 1);
    loop {
        // In parts, so that a slow file system is noticed between them.
        let n = file.by_ref().take(PART).read_to_end(&mut bytes)?;
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if n == 0 {
            break;
        }
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_large(limit)));
    }
    let facts = FileFacts { mode: meta.mode() & 0o7777, owner: meta.uid(), hard_links: meta.nlink() };
    Ok((facts, bytes))
}

pub(crate) fn too_large(limit: u64) -> String {
    format!("is larger than {limit} bytes")
}

/// The reason of a failure in plain words, without the path and without an error number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "a part of its path is not a directory".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            "is a loop of symbolic links".to_owned()
        }
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5, Links::Refuse).unwrap().1, b"12345");
        assert_eq!(read(&path, 4, Links::Follow).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(reason(&read(dir.path(), 5, Links::Follow).unwrap_err()), "is a directory");
        assert_eq!(reason(&read(Path::new("/dev/zero"), 5, Links::Follow).unwrap_err()), "is not a regular file");
        let link = dir.path().join("l");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(read(&link, 5, Links::Follow).is_ok() && read(&link, 5, Links::Refuse).is_err());
        let around = dir.path().join("loop");
        std::os::unix::fs::symlink(&around, &around).unwrap();
        assert_eq!(reason(&read(&around, 5, Links::Follow).unwrap_err()), "is a loop of symbolic links");
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        assert_eq!(reason(&read(&path, 5, Links::Follow).unwrap_err()), "is not a regular file");
    }
}
