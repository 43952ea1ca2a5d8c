//! Writing to the machine, step by step, so that a test can stop it at any of them.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::host::{Host, RealHost};

/// What this crate asks of the machine to write. Each method is one step: done, or not done.
pub trait WriteHost: Host {
    /// Creates a file that must not exist, for its owner alone, and opens it.
    ///
    /// # Errors
    ///
    /// When something of that name exists, even a link, or the directory does not allow it.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Gives an open file the owner of another one.
    ///
    /// # Errors
    ///
    /// When the user may not do that.
    fn set_owner(&self, file: &File, user: u32, group: u32) -> io::Result<()>;
    /// Writes all bytes.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails; some bytes may be written then.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Waits until the content of a file is on the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Replaces `to` by `from` in one step.
    ///
    /// # Errors
    ///
    /// When the directory does not allow it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must not exist.
    ///
    /// # Errors
    ///
    /// When the name exists or the file system has no links.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Waits until the names in a directory are on the disk.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    ///
    /// When it is not there, or the directory does not allow it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// When it is not there, not empty, or the directory above does not allow it.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// When something of that name exists, or the directory does not allow it.
    fn make_link(&self, target: &Path, link: &Path) -> io::Result<()>;
    /// Creates a directory and those above it, for its owner alone.
    ///
    /// # Errors
    ///
    /// When the directory above does not allow it.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Sets the permission bits of a file or directory.
    ///
    /// # Errors
    ///
    /// When it is not ours.
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// The permission bits of something, following links; `None` when it is not there.
    fn mode_of(&self, path: &Path) -> Option<u32>;
    /// Appends to a file, creating it for its owner alone.
    ///
    /// # Errors
    ///
    /// When the file or its directory does not allow it.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Waits.
    fn pause(&self, time: Duration);
    /// Any 64 bits, different each time.
    fn random(&self) -> u64;
}

/// Bytes that nobody can guess, for a new secret.
///
/// # Errors
///
/// When the system has none to give.
pub fn random_bytes(count: usize) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = vec![0; count];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl WriteHost for RealHost {
    fn create(&self, path: &Path) -> io::Result<File> {
        let flags = i32::try_from(OFlags::NOFOLLOW.bits()).map_err(|_| io::ErrorKind::InvalidInput)?;
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)
    }

    fn set_owner(&self, file: &File, user: u32, group: u32) -> io::Result<()> {
        std::os::unix::fs::fchown(file, Some(user), Some(group))
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn make_link(&self, target: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, link)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn mode_of(&self, path: &Path) -> Option<u32> {
        Some(fs::metadata(path).ok()?.permissions().mode() & 0o7777)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(bytes)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u64 {
        // Seeded anew by the system for each state; good enough for names and delays.
        RandomState::new().build_hasher().finish()
    }
}

#[cfg(any(test, feature = "test-support"))]
#[doc(hidden)]
pub mod faulty {
    //! The real file system of a test directory, with a fault at a chosen step.

    use std::cell::{Cell, RefCell};
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use auth_core::Timestamp;

    use super::WriteHost;
    use crate::host::{Host, RealHost};
    use crate::login_shell::{LoginShell, LoginShellError};
    use crate::program::{Ended, Program};
    use crate::secure_file::{FileFacts, PathFacts};

    /// What goes wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// Nothing.
        None,
        /// Step `n` fails with an error number; later steps work.
        Error(usize, i32),
        /// The process is gone at step `n`: neither it nor anything after it happens. A write has written half.
        Kill(usize),
    }

    /// The machine, with one fault.
    #[derive(Debug)]
    pub struct FaultyHost {
        /// What goes wrong.
        pub fault: Cell<Fault>,
        /// The steps so far.
        pub steps: RefCell<Vec<String>>,
        /// The time, which passes in pauses only.
        pub now: Cell<Timestamp>,
        /// The variables of the process.
        pub variables: Vec<(String, String)>,
    }

    impl FaultyHost {
        /// A machine without a fault, whose only variable is `HOME`.
        pub fn new(home: &Path) -> Self {
            Self {
                fault: Cell::new(Fault::None),
                steps: RefCell::default(),
                now: Cell::new(RealHost.now()),
                variables: vec![("HOME".to_owned(), home.to_string_lossy().into_owned())],
            }
        }

        /// Counts a step and tells whether it happens.
        fn step<T>(&self, name: &str, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
            self.steps.borrow_mut().push(name.to_owned());
            let at = self.steps.borrow().len() - 1;
            match self.fault.get() {
                Fault::Error(n, errno) if n == at => Err(io::Error::from_raw_os_error(errno)),
                Fault::Kill(n) if at >= n => Err(io::Error::other("killed")),
                _ => act(),
            }
        }
    }

    impl Host for FaultyHost {
        fn variables(&self) -> Vec<(String, String)> {
            self.variables.clone()
        }
        fn current_dir(&self) -> PathBuf {
            PathBuf::from("/")
        }
        fn account_home(&self) -> Option<PathBuf> {
            None
        }
        fn now(&self) -> Timestamp {
            self.now.get()
        }
        fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
            RealHost.read(path, limit)
        }
        fn exists(&self, path: &Path) -> bool {
            RealHost.exists(path)
        }
        fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
            RealHost.real_path(path)
        }
        fn read_secure(&self, path: &Path, limit: u64, timeout_ms: u64) -> io::Result<(FileFacts, Vec<u8>)> {
            RealHost.read_secure(path, limit, timeout_ms)
        }
        fn facts(&self, path: &Path) -> io::Result<PathFacts> {
            RealHost.facts(path)
        }
        fn names_in(&self, dir: &Path) -> Vec<PathBuf> {
            RealHost.names_in(dir)
        }
        fn run_programs(&self, programs: &[Program<'_>], at_once: usize) -> Vec<Ended> {
            RealHost.run_programs(programs, at_once)
        }
        fn user_id(&self) -> u32 {
            RealHost.user_id()
        }
        fn run_login_shell(&self, _shell: &LoginShell<'_>) -> Result<Vec<u8>, LoginShellError> {
            Err(LoginShellError::Failed("none".to_owned()))
        }
    }

    impl WriteHost for FaultyHost {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.step("create", || RealHost.create(path))
        }
        fn set_owner(&self, file: &File, user: u32, group: u32) -> io::Result<()> {
            self.step("set_owner", || RealHost.set_owner(file, user, group))
        }
        fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
            self.step("write", || RealHost.write(file, bytes)).inspect_err(|_| {
                let _ = RealHost.write(file, &bytes[..bytes.len() / 2]);
            })
        }
        fn sync(&self, file: &File) -> io::Result<()> {
            self.step("sync", || RealHost.sync(file))
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step("rename", || RealHost.rename(from, to))
        }
        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.step("link", || RealHost.link(from, to))
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.step("sync_dir", || RealHost.sync_dir(dir))
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            self.step("remove", || RealHost.remove(path))
        }
        fn remove_dir(&self, dir: &Path) -> io::Result<()> {
            self.step("remove_dir", || RealHost.remove_dir(dir))
        }
        fn make_link(&self, target: &Path, link: &Path) -> io::Result<()> {
            self.step("make_link", || RealHost.make_link(target, link))
        }
        fn make_dir(&self, dir: &Path) -> io::Result<()> {
            self.step("make_dir", || RealHost.make_dir(dir))
        }
        fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
            self.step("set_mode", || RealHost.set_mode(path, mode))
        }
        fn mode_of(&self, path: &Path) -> Option<u32> {
            RealHost.mode_of(path)
        }
        fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
            self.step("append", || RealHost.append(path, bytes))
        }
        fn pause(&self, time: Duration) {
            // Time passes without waiting.
            let later = i64::try_from(time.as_millis()).unwrap_or(0);
            self.now.set(Timestamp::from_ms(self.now.get().as_ms() + later));
        }
        fn random(&self) -> u64 {
            RealHost.random()
        }
    }
}
