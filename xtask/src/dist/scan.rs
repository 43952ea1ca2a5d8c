//! A look through a binary for texts of the machine that built it.

use anyhow::{Result, ensure};

/// Fails when one of the texts is in the binary, and shows where.
pub(crate) fn check(binary: &[u8], forbidden: &[String]) -> Result<()> {
    let found: Vec<String> =
        forbidden.iter().filter_map(|text| Some(shown(binary, find(binary, text.as_bytes())?))).collect();
    ensure!(found.is_empty(), "the binary holds paths of this machine:\n  {}", found.join("\n  "));
    Ok(())
}

/// The highest version of the C library whose symbols the binary asks for, such as `2.34`.
pub(crate) fn glibc(binary: &[u8]) -> Option<String> {
    let marker = b"GLIBC_2.";
    let mut highest: Option<u32> = None;
    let mut rest = binary;
    while let Some(at) = find(rest, marker) {
        rest = &rest[at + marker.len()..];
        let digits: String = rest.iter().take_while(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
        highest = highest.max(digits.parse().ok());
    }
    highest.map(|minor| format!("2.{minor}"))
}

/// Where a text begins in bytes.
pub(crate) fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let (first, length) = (*text.first()?, text.len());
    let mut from = 0;
    while let Some(step) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        let at = from + step;
        if bytes.get(at..at + length)? == text {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The printable text around a place.
fn shown(bytes: &[u8], at: usize) -> String {
    let end = bytes[at..].iter().take(160).take_while(|b| b.is_ascii_graphic() || **b == b' ').count();
    String::from_utf8_lossy(&bytes[at..at + end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_and_shown() {
        let binary = b"\x7fELF..\0/home/builder/src/main.rs\0..";
        let told = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            check(binary, &texts).map_err(|error| error.to_string())
        };
        assert!(told(&["/home/other", "/root/"]).is_ok());
        let error = told(&["/home/other", "/home/builder"]).unwrap_err();
        assert!(error.contains("/home/builder/src/main.rs"), "{error}");
    }

    #[test]
    fn the_newest_symbol_counts() {
        assert_eq!(glibc(b"GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0GLIBC_PRIVATE").as_deref(), Some("2.34"));
        assert_eq!(glibc(b"static"), None);
        assert_eq!(find(b"aab", b"ab"), Some(1));
        assert_eq!(find(b"aa", b"aab"), None);
    }
}
