//! `--profile` and `--dev`, which may stand anywhere on the line (spec 01 section 1.2).

use std::ffi::OsString;

use crate::failure::Failure;

/// The command line without the options that choose a state directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RootOptions {
    /// What is left for the command.
    pub(crate) arguments: Vec<OsString>,
    /// The value of `--profile`; `dev` for `--dev`.
    pub(crate) profile: Option<String>,
}

impl RootOptions {
    /// Takes the options out. `arguments` begins with the program's name.
    pub(crate) fn take(arguments: &[OsString]) -> Result<Self, Failure> {
        let mut left = Vec::with_capacity(arguments.len());
        let mut profile: Option<String> = None;
        let mut dev = false;
        let mut after_gateway = false;
        let mut rest = arguments.iter();
        left.extend(rest.next().cloned());
        while let Some(argument) = rest.next() {
            let Some(text) = argument.to_str() else {
                left.push(argument.clone());
                continue;
            };
            if text == "--" {
                left.push(argument.clone());
                left.extend(rest.cloned());
                break;
            }
            if text == "--dev" && !after_gateway {
                if profile.as_deref().is_some_and(|profile| profile != "dev") {
                    return Err(refuse("Cannot combine --dev with --profile"));
                }
                dev = true;
                continue;
            }
            let value = match text.strip_prefix("--profile") {
                Some("") => rest.next().map(|next| next.to_string_lossy().into_owned()),
                Some(value) if value.starts_with('=') => Some(value[1..].to_owned()),
                _ => {
                    after_gateway |= text == "gateway";
                    left.push(argument.clone());
                    continue;
                }
            };
            if dev {
                return Err(refuse("Cannot combine --dev with --profile"));
            }
            let value = value.unwrap_or_default();
            if value.is_empty() || value.starts_with('-') {
                return Err(refuse("--profile requires a value"));
            }
            if !is_profile_name(&value) {
                return Err(refuse("Invalid --profile (use letters, numbers, \"_\", \"-\" only)"));
            }
            profile = Some(value);
        }
        let profile = if dev { Some("dev".to_owned()) } else { profile };
        Ok(Self { arguments: left, profile })
    }
}

fn refuse(message: &str) -> Failure {
    Failure { message: format!("[openclaw] {message}"), code: 2 }
}

fn is_profile_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 64
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(line: &str) -> Result<(String, Option<String>), (u8, String)> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let words =
            |all: Vec<OsString>| all.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        RootOptions::take(&arguments).map(|o| (words(o.arguments), o.profile)).map_err(|f| (f.code, f.message))
    }

    #[test]
    fn the_options_may_stand_anywhere() {
        let found = |line, left: &str, profile: Option<&str>| {
            assert_eq!(take(line).unwrap(), (left.to_owned(), profile.map(str::to_owned)), "{line}");
        };
        found("oc models --profile Work status", "oc models status", Some("Work"));
        found("oc models status --profile=default", "oc models status", Some("default"));
        found("oc --dev models", "oc models", Some("dev"));
        found("oc --profile dev --dev models", "oc models", Some("dev"));
        found("oc gateway --dev", "oc gateway --dev", None);
        found("oc models -- --profile x", "oc models -- --profile x", None);
    }

    #[test]
    fn misuse_exits_2() {
        for (line, words) in [
            ("oc --profile", "requires a value"),
            ("oc --profile --json", "requires a value"),
            ("oc --profile=", "requires a value"),
            ("oc --profile ä", "Invalid --profile"),
            ("oc --dev --profile dev", "Cannot combine"),
            ("oc --profile x --dev", "Cannot combine"),
            ("oc --dev --profile x", "Cannot combine"),
        ] {
            let (code, message) = take(line).unwrap_err();
            assert!(code == 2 && message.starts_with("[openclaw] ") && message.contains(words), "{line}: {message}");
        }
    }
}
