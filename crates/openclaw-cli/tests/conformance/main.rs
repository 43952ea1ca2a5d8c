//! Recorded behaviour, one JSON file a case: each is a test of its own against the built program.
//!
//! `cargo test --test conformance [AREA[/NAME]]`. `OPENCLAW_CONFORMANCE_BIN` names another program to run them against.
//! `intended-differences.md` beside this file lists where we differ from OpenClaw 2026.4.5; the cases that test such a
//! point end in `.ours.json`.

mod case;
mod compare;
mod leaks;
mod server;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let binary = std::env::var_os("OPENCLAW_CONFORMANCE_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_openclaw")), PathBuf::from);
    let mut trials = Vec::new();
    for area in folders(&root) {
        for file in cases(&area) {
            let name = format!("{}/{}", file_name(&area), file_name(&file).trim_end_matches(".json"));
            let binary = binary.clone();
            trials.push(Trial::test(name, move || run(&file, &binary)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(file: &Path, binary: &Path) -> Result<(), Failed> {
    let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
    let case: case::Case = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
    let run = case::execute(&case, binary).map_err(|e| e.to_string())?;
    let mut problems = compare::check(&case, &run);
    problems.extend(leaks::check(&case, &run));
    if problems.is_empty() { Ok(()) } else { Err(format!("{}\n{}", case.about, problems.join("\n")).into()) }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}

fn folders(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_dir()).collect()
}

fn cases(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
