//! The licences of everything that is in the binary, with their texts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::deny::alternatives;
use crate::packages::Linked;

/// Standard texts by SPDX name, for packages that carry none. Whose copyright it is stands in the list of authors.
const STANDARD: &[(&str, &str)] = &[
    ("MIT", include_str!("../../data/licences/MIT.txt")),
    ("Apache-2.0", include_str!("../../../LICENSE-APACHE")),
    ("ISC", include_str!("../../data/licences/ISC.txt")),
    ("Zlib", include_str!("../../data/licences/Zlib.txt")),
];

/// The page of licences, and how many packages needed a standard text.
pub(crate) fn page(packages: &[Linked], compiler: &str) -> Result<(String, usize)> {
    let mut texts: BTreeMap<String, (String, Vec<String>)> = BTreeMap::new();
    let mut standard = 0;
    let mut list = String::new();
    for package in packages.iter().filter(|package| !package.is_ours()) {
        let name = format!("{} {}", package.name, package.version);
        let licence = package.licence.as_deref().with_context(|| format!("{name} names no licence"))?;
        writeln!(list, "  {name}: {licence}")?;
        let mut own = texts_of(&package.folder)?;
        if own.is_empty() {
            own = standard_texts(licence).with_context(|| format!("{name} carries no text of its licence"))?;
            standard += 1;
        }
        for text in own {
            texts.entry(key(&text)).or_insert_with(|| (text, Vec::new())).1.push(name.clone());
        }
    }
    let library = "Rust standard library".to_owned();
    writeln!(list, "  {library}, {compiler}: MIT OR Apache-2.0")?;
    for text in standard_texts("MIT OR Apache-2.0")? {
        texts.entry(key(&text)).or_insert_with(|| (text, Vec::new())).1.push(library.clone());
    }

    let mut groups: Vec<(String, Vec<String>)> = texts.into_values().collect();
    groups.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let mut out = String::from(
        "Third-party licences\n\nThis program contains code of the packages below. Their licences follow, each text once, under the names of\nthe packages that carry it.\n\n",
    );
    out.push_str(&list);
    for (text, names) in groups {
        write!(out, "\n{}\n{}\n\n{}\n", "=".repeat(80), names.join(", "), text.trim_matches('\n'))?;
    }
    Ok((out, standard))
}

/// The texts in a package's folder: its licence, notice and copyright files.
fn texts_of(folder: &Path) -> Result<Vec<String>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in [folder.to_owned(), folder.join("LICENSES")] {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            let begins =
                ["licen", "copying", "copyright", "notice", "unlicense"].iter().any(|word| name.starts_with(word));
            let text = path.is_file() && path.extension().is_none_or(|ext| ext != "rs" && ext != "html");
            if text && (begins || folder.ends_with("LICENSES")) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        ensure!(!text.trim().is_empty(), "{} is empty", path.display());
        texts.push(text);
    }
    Ok(texts)
}

/// The standard texts that an expression asks for: of the first alternative for which all texts are known.
fn standard_texts(expression: &str) -> Result<Vec<String>> {
    let known = |name: &String| STANDARD.iter().find(|(known, _)| known == name).map(|(_, text)| (*text).to_owned());
    alternatives(expression)?
        .iter()
        .find_map(|names| names.iter().map(known).collect::<Option<Vec<_>>>())
        .with_context(|| format!("no standard text for {expression}"))
}

/// Equal for texts that differ in blanks only.
fn key(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, licence: &str, folder: &Path) -> Linked {
        Linked {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: Some(licence.to_owned()),
            folder: folder.to_owned(),
            checksum: Some("00".to_owned()),
            dependencies: std::collections::BTreeSet::new(),
        }
    }

    #[test]
    fn texts_stand_once_and_missing_ones_are_the_standard_ones() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = dir.path().join(name);
            fs::create_dir_all(folder.join("src")).unwrap();
            folder
        };
        fs::write(folder("a").join("LICENSE-MIT"), "Terms  of\nuse").unwrap();
        fs::write(folder("b").join("COPYING"), "Terms of use\r\n").unwrap();
        folder("c");
        let of = |name: &str, licence: &str| package(name, licence, &dir.path().join(name));
        let (page, standard) = page(&[of("a", "MIT"), of("b", "MIT"), of("c", "Zlib")], "1.95.0").unwrap();
        assert!(page.contains("\na 1.0.0, b 1.0.0\n"), "{page}");
        assert_eq!(page.matches("Terms").count(), 1, "{page}");
        assert!(page.contains("\nc 1.0.0\n") && page.contains("'as-is'"), "{page}");
        assert_eq!(standard, 1);
        let error = super::page(&[of("c", "LicenseRef-odd")], "1.95.0").unwrap_err();
        assert!(format!("{error:#}").contains("c 1.0.0 carries no text"), "{error:#}");
    }

    #[test]
    fn either_and_both_are_told_apart() {
        assert_eq!(standard_texts("Apache-2.0 OR MIT").unwrap().len(), 1);
        assert_eq!(standard_texts("Odd OR MIT").unwrap().len(), 1);
        assert_eq!(standard_texts("(MIT OR Odd) AND ISC").unwrap().len(), 2);
        assert!(standard_texts("MIT AND Odd").is_err());
    }
}
