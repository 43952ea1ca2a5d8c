//! The release binary, built so that it is the same bytes wherever it is built.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// Where a build puts its files, below the sources: part of what makes two builds equal.
const TARGET_DIR: &str = "target/dist";

/// Builds the release binary of the sources at `source` and gives its path.
///
/// The paths of this machine are replaced: of the sources, of cargo's home, of the toolchain. The target is named, so
/// that these flags reach the binary alone and not the build scripts.
pub(crate) fn release(shell: &Shell, source: &Path, target: &str, epoch: u64) -> Result<PathBuf> {
    let places = Places::of(shell, source)?;
    let rust_flags: Vec<String> =
        places.replaced().into_iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    let c_flags: Vec<String> =
        places.replaced().into_iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
    let target_dir = source.join(TARGET_DIR);
    let manifest = source.join("Cargo.toml");
    cmd!(shell, "cargo build --release --locked --package openclaw-cli --manifest-path {manifest} --target {target} --target-dir {target_dir}")
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags.join("\u{1f}"))
        .env("CFLAGS", c_flags.join(" "))
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .env("CARGO_INCREMENTAL", "0")
        .quiet()
        .run()?;
    Ok(target_dir.join(target).join("release/openclaw"))
}

/// Where things lie on this machine.
#[derive(Debug)]
pub(crate) struct Places {
    source: PathBuf,
    cargo_home: PathBuf,
    /// The folders of unpacked packages, one for each registry.
    packages: Vec<PathBuf>,
    sysroot: PathBuf,
    /// The commit of the compiler, under which it names the sources of the standard library.
    compiler: String,
}

impl Places {
    pub(crate) fn of(shell: &Shell, source: &Path) -> Result<Self> {
        let cargo_home = match env::var_os("CARGO_HOME") {
            Some(home) => PathBuf::from(home),
            None => PathBuf::from(env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
        };
        let mut packages = Vec::new();
        for entry in fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten() {
            packages.push(entry?.path());
        }
        packages.sort();
        let version = cmd!(shell, "rustc -vV").quiet().read()?;
        let compiler = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        Ok(Self {
            source: source.to_owned(),
            cargo_home,
            packages,
            sysroot: cmd!(shell, "rustc --print sysroot").quiet().read()?.into(),
            compiler: compiler.unwrap_or("unknown").to_owned(),
        })
    }

    /// Folders and what stands for them; a later one counts more.
    fn replaced(&self) -> Vec<(String, String)> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let mut pairs = vec![
            (shown(&self.cargo_home), "/cargo".to_owned()),
            (shown(&self.sysroot), "/rust".to_owned()),
            (shown(&self.sysroot.join("lib/rustlib/src/rust")), format!("/rustc/{}", self.compiler)),
        ];
        pairs.extend(self.packages.iter().map(|folder| (shown(folder), "/packages".to_owned())));
        pairs.push((shown(&self.source), "/openclaw".to_owned()));
        pairs
    }

    /// Texts that may not be in a binary.
    pub(crate) fn forbidden(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.replaced().into_iter().map(|(from, _)| from).collect();
        texts.extend(env::var("HOME").ok().filter(|home| home.len() > 1).map(|home| format!("{home}/")));
        texts.sort();
        texts.dedup();
        texts
    }
}
