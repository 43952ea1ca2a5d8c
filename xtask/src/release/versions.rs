//! The one version of all crates, in the manifest of the workspace.

use anyhow::{Context, Result, bail, ensure};
use semver::Version;
use toml_edit::{DocumentMut, Item, value};

/// The manifest with the version everywhere: of the workspace, and of its crates among the dependencies. Comments and
/// layout stay.
pub(crate) fn with_version(manifest: &str, version: &Version) -> Result<String> {
    let mut document: DocumentMut = manifest.parse().context("Cargo.toml")?;
    let workspace = document.get_mut("workspace").context("Cargo.toml has no workspace")?;
    let text = version.to_string();
    let own = workspace.get_mut("package").and_then(|package| package.get_mut("version"));
    set(own.context("Cargo.toml has no workspace.package.version")?, &text);
    let dependencies = workspace.get_mut("dependencies").and_then(Item::as_table_like_mut);
    for (name, dependency) in dependencies.context("Cargo.toml has no workspace.dependencies")?.iter_mut() {
        if dependency.get("path").is_none() {
            continue;
        }
        let Some(own) = dependency.get_mut("version") else { bail!("the dependency {name} has no version") };
        set(own, &text);
    }
    Ok(document.to_string())
}

/// Replaces a text and keeps the blanks and comments around it.
fn set(item: &mut Item, text: &str) {
    let decor = item.as_value().map(|old| old.decor().clone());
    *item = value(text);
    if let (Some(new), Some(decor)) = (item.as_value_mut(), decor) {
        *new.decor_mut() = decor;
    }
}

/// Fails unless the version may follow the present one. The present one itself may be released once.
pub(crate) fn check_next(present: &Version, next: &Version, tagged: bool) -> Result<()> {
    ensure!(!tagged, "v{next} is tagged already");
    ensure!(next >= present, "{next} is lower than the present version {present}");
    ensure!(next.build.is_empty(), "{next} has build metadata, which a release cannot have");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_changed_and_nothing_else() {
        let manifest = "[workspace]\nmembers = [\"crates/*\"] # all\n\n[workspace.package]\nversion = \"0.1.0\" # one\n\n[workspace.dependencies]\nours = { path = \"crates/ours\", version = \"0.1.0\" }\nother = { version = \"0.1.0\", default-features = false }\n";
        let text = with_version(manifest, &Version::new(0, 2, 0)).unwrap();
        let expected = manifest
            .replace("version = \"0.1.0\" # one", "version = \"0.2.0\" # one")
            .replace("crates/ours\", version = \"0.1.0\"", "crates/ours\", version = \"0.2.0\"");
        assert_eq!(text, expected);
        assert!(with_version("[package]\n", &Version::new(0, 2, 0)).is_err());
    }

    #[test]
    fn versions_go_up_only() {
        let v = |text: &str| text.parse::<Version>().unwrap();
        assert!(check_next(&v("0.1.0"), &v("0.1.0"), false).is_ok(), "the first release");
        assert!(check_next(&v("0.1.0"), &v("0.1.0"), true).unwrap_err().to_string().contains("tagged already"));
        assert!(check_next(&v("0.2.0"), &v("0.2.0-rc.1"), false).unwrap_err().to_string().contains("lower"));
        assert!(check_next(&v("0.9.0"), &v("0.10.0"), false).is_ok());
        assert!(check_next(&v("0.9.0"), &v("0.10.0+x"), false).is_err());
    }
}
