//! Keeps secrets in memory from ending up in a file when the program crashes, or in another process that looks.

use rustix::process::{Resource, Rlimit, setrlimit};

/// No core dumps, and on Linux no reading of our memory by other processes of the user. The environment with which the
/// program was started cannot be wiped.
pub(crate) fn no_dumps() {
    // Should the system refuse, the program is as safe as any other.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
