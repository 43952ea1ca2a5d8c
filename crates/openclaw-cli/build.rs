//! Links the unwinder of the compiler into the program, where it lies beside the compiler: each start then loads one
//! shared library less, which is a twentieth of what a short command takes.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let native = of("HOST") == of("TARGET");
    let shared = !of("CARGO_CFG_TARGET_FEATURE").split(',').any(|feature| feature == "crt-static");
    if native && shared && of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu" {
        link_unwinder();
    }
}

/// Without the archive, the shared library serves as it does for every other program.
fn link_unwinder() {
    let Ok(answer) = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output() else { return };
    let answer = String::from_utf8_lossy(&answer.stdout);
    let archive = Path::new(answer.trim());
    // A compiler that does not have it answers the bare name.
    if archive.is_absolute()
        && archive.is_file()
        && let Some(folder) = archive.parent()
    {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
