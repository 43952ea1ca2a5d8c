//! What an installed Gemini CLI tells: its OAuth client and how it was told to sign in (spec 04 section 6.3). Nothing of
//! it is run or changed.

use std::path::{Path, PathBuf};

use auth_core::{Environment, Secret};
use auth_store::Host;
use serde_json::Value;

use crate::code_flow::OAuthClient;

/// The file that names the client.
const CLIENT_FILE: &str = "oauth2.js";
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// How deep below the package it is looked for, and in how many directories.
const MAX_DEPTH: usize = 10;
const MAX_DIRS: usize = 4000;

/// The client that the `gemini` on `PATH` signs in with.
pub(crate) fn client_of_installed(environment: &Environment, host: &dyn Host) -> Option<OAuthClient> {
    let path = environment.get("PATH")?;
    let mut programs = std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("gemini"));
    let program = programs.find_map(|program| host.real_path(&program).ok())?;
    let package = package_of(&program);
    let usual = [
        "node_modules/@google/gemini-cli-core/dist/src/code_assist/oauth2.js",
        "../gemini-cli-core/dist/src/code_assist/oauth2.js",
    ];
    let known = usual.iter().map(|rest| package.join(rest)).find_map(|file| client_in(&file, host));
    known.or_else(|| search(&package, host))
}

/// The directory of the package that a program belongs to: the one below the last `node_modules` with its scope, else
/// the one above the program.
fn package_of(program: &Path) -> PathBuf {
    let parts: Vec<_> = program.components().collect();
    let name =
        |at: usize| parts.get(at).map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    let last = (0..parts.len()).rev().find(|at| name(*at) == "node_modules");
    match last {
        Some(at) => {
            let deep = if name(at + 1).starts_with('@') { 3 } else { 2 };
            parts.iter().take(at + deep).collect()
        }
        None => program.parent().and_then(Path::parent).unwrap_or(program).to_owned(),
    }
}

fn search(package: &Path, host: &dyn Host) -> Option<OAuthClient> {
    let mut waiting = vec![(package.to_owned(), 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = waiting.pop() {
        seen += 1;
        if seen > MAX_DIRS {
            return None;
        }
        for entry in host.names_in(&dir) {
            let path = if entry.is_absolute() { entry } else { dir.join(entry) };
            if path.file_name().is_some_and(|name| name == CLIENT_FILE) {
                if let Some(client) = client_in(&path, host) {
                    return Some(client);
                }
            } else if depth < MAX_DEPTH
                && host.facts(&path).is_ok_and(|facts| facts.kind == auth_store::PathKind::Directory)
            {
                waiting.push((path, depth + 1));
            }
        }
    }
    None
}

fn client_in(file: &Path, host: &dyn Host) -> Option<OAuthClient> {
    let text = String::from_utf8(host.read(file, MAX_FILE).ok()?).ok()?;
    let id = constant(&text, "OAUTH_CLIENT_ID")?;
    Some(OAuthClient { id, secret: constant(&text, "OAUTH_CLIENT_SECRET").map(Secret::new) })
}

/// The text that a JavaScript constant is set to.
fn constant(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        rest = &rest[at + name.len()..];
        let Some(value) = rest.trim_start().strip_prefix('=').map(str::trim_start) else { continue };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let Some(quote) = quote else { continue };
        let (inside, _) = value[1..].split_once(quote)?;
        let plain = !inside.is_empty() && inside.chars().all(|c| c.is_ascii_graphic() && c != '\\');
        return plain.then(|| inside.to_owned());
    }
    None
}

/// Whether the Gemini CLI is set to sign in with a personal account, which works in no project.
pub(crate) fn is_personal(environment: &Environment, home: &Path, host: &dyn Host) -> bool {
    if environment.non_blank("GOOGLE_GENAI_USE_GCA").is_some_and(|text| text.trim() == "true") {
        return true;
    }
    let text = host.read(&home.join(".gemini/settings.json"), MAX_FILE).ok();
    let settings: Value = text.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let places =
        ["/security/auth/selectedType", "/security/auth/enforcedType", "/selectedAuthType", "/enforcedAuthType"];
    places.iter().any(|place| settings.pointer(place).and_then(Value::as_str) == Some("oauth-personal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read_without_running_anything() {
        let text = "// OAUTH_CLIENT_ID here\nconst OAUTH_CLIENT_ID = '1-test.apps.example';\nvar OAUTH_CLIENT_SECRET=\"s-test\";";
        assert_eq!(constant(text, "OAUTH_CLIENT_ID").as_deref(), Some("1-test.apps.example"));
        assert_eq!(constant(text, "OAUTH_CLIENT_SECRET").as_deref(), Some("s-test"));
        assert_eq!(constant("OAUTH_CLIENT_ID = process.env.X", "OAUTH_CLIENT_ID"), None);
        assert_eq!(constant("OAUTH_CLIENT_ID = 'open", "OAUTH_CLIENT_ID"), None);
    }

    #[test]
    fn the_package_of_a_program_is_found() {
        let of = |path: &str| package_of(Path::new(path)).display().to_string();
        assert_eq!(
            of("/usr/lib/node_modules/@google/gemini-cli/dist/index.js"),
            "/usr/lib/node_modules/@google/gemini-cli"
        );
        assert_eq!(of("/opt/node_modules/gemini/bin.js"), "/opt/node_modules/gemini");
        assert_eq!(of("/opt/gemini/bin/gemini"), "/opt/gemini");
    }
}
