//! `CHANGELOG.md`: what is unreleased becomes the entry of a version.

use anyhow::{Result, bail, ensure};

const UNRELEASED: &str = "## Unreleased";

/// The change log with an entry for the version. An entry that is there already stays, and then nothing may be
/// unreleased.
pub(crate) fn released(text: &str, version: &str, date: &str) -> Result<String> {
    let written = entry(text, version).is_some_and(|entry| !entry.is_empty());
    let unreleased = section(text, UNRELEASED).map(str::trim);
    match (written, unreleased) {
        (true, None | Some("")) => Ok(text.to_owned()),
        (true, Some(_)) => {
            bail!("CHANGELOG.md has an entry for {version} and unreleased changes too; move them into the entry")
        }
        (false, None | Some("")) => {
            bail!("CHANGELOG.md says nothing of {version}; write what is new below \"{UNRELEASED}\"")
        }
        (false, Some(_)) => Ok(text.replacen(UNRELEASED, &format!("## {version} - {date}"), 1)),
    }
}

/// The text of a version's entry, without its heading.
pub(crate) fn entry<'a>(text: &'a str, version: &str) -> Option<&'a str> {
    let heading = text.lines().find(|line| {
        let title = line.strip_prefix("## ").and_then(|title| title.split_whitespace().next());
        title == Some(version)
    })?;
    section(text, heading).map(str::trim)
}

/// The text between a heading and the next one.
fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let begin = text.match_indices(heading).find(|(at, _)| {
        let line_begins = *at == 0 || text[..*at].ends_with('\n');
        line_begins && text[at + heading.len()..].starts_with(['\n', '\r'])
    })?;
    let rest = &text[begin.0 + heading.len()..];
    Some(rest.find("\n## ").map_or(rest, |end| &rest[..end]))
}

/// Fails unless the change log speaks of the version that is published.
pub(crate) fn require_entry(text: &str, version: &str) -> Result<()> {
    ensure!(entry(text, version).is_some(), "CHANGELOG.md has no entry for {version}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "# Changelog\n\n## Unreleased\n\n- new\n\n## 0.1.0 - 2026-01-02\n\n- first\n";

    #[test]
    fn what_is_unreleased_becomes_the_entry() {
        let text = released(LOG, "0.2.0", "2026-03-04").unwrap();
        assert_eq!(entry(&text, "0.2.0"), Some("- new"));
        assert!(text.contains("\n## 0.2.0 - 2026-03-04\n\n- new\n\n## 0.1.0") && !text.contains("Unreleased"));
        assert_eq!(entry(LOG, "0.1.0"), Some("- first"));
        assert_eq!(entry(LOG, "0.1"), None);
        require_entry(&text, "0.2.0").unwrap();
    }

    #[test]
    fn an_entry_that_is_written_stays() {
        let written = LOG.replace("## Unreleased", "## 0.2.0 - soon");
        assert_eq!(released(&written, "0.2.0", "2026-03-04").unwrap(), written);
    }

    #[test]
    fn a_release_without_news_is_refused() {
        let told = |text: &str| released(text, "0.2.0", "2026-03-04").unwrap_err().to_string();
        assert!(told(&LOG.replace("- new\n", "")).contains("says nothing of 0.2.0"));
        assert!(told(&LOG.replace("## Unreleased\n\n- new\n", "")).contains("says nothing of 0.2.0"));
        assert!(told(&format!("{LOG}\n## 0.2.0 - soon\n\n- more\n")).contains("unreleased changes too"));
        assert!(require_entry(LOG, "0.2.0").is_err());
    }
}
