//! The bill of materials: CycloneDX 1.5 as JSON.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::sha256;
use crate::packages::Linked;

/// The document for the program and what is linked into it.
pub(crate) fn document(packages: &[Linked], program: &str, target: &str, epoch: u64) -> Result<String> {
    let root = packages.iter().find(|package| package.name == "openclaw-cli").context("openclaw-cli is not linked")?;
    let components: Vec<Value> = packages
        .iter()
        .filter(|package| package.name != root.name)
        .map(|package| component(package, "library"))
        .collect();
    let dependencies: Vec<Value> = packages
        .iter()
        .map(|package| {
            let on = packages.iter().filter(|other| package.dependencies.contains(&other.key())).map(purl);
            json!({ "ref": purl(package), "dependsOn": on.collect::<Vec<_>>() })
        })
        .collect();
    let mut subject = component(root, "application");
    subject["name"] = json!(program);
    subject["properties"] = json!([{ "name": "target", "value": target }]);
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "timestamp": timestamp(epoch), "component": subject },
        "components": components,
        "dependencies": dependencies,
    });
    document["serialNumber"] = json!(serial_number(document.to_string().as_bytes()));
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn component(package: &Linked, kind: &str) -> Value {
    let mut value = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    });
    if let Some(licence) = &package.licence {
        // An older way to write "or", which is no SPDX expression.
        value["licenses"] = json!([{ "expression": licence.replace(" / ", "/").replace('/', " OR ") }]);
    }
    if let Some(checksum) = &package.checksum {
        value["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    value
}

/// The package URL. One of our own names where it comes from: a package of that name in the registry is not ours.
fn purl(package: &Linked) -> String {
    // `+` begins build metadata and is written as a code in a package URL.
    let plain = format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"));
    if !package.is_ours() {
        return plain;
    }
    let place = super::REPOSITORY.replace(':', "%3A").replace('/', "%2F");
    format!("{plain}?vcs_url=git%2B{place}")
}

/// A UUID made of the content, so that the same content has the same one (version 8: the bits are ours).
fn serial_number(content: &[u8]) -> String {
    let mut bytes: Vec<u8> = Sha256::digest(content).to_vec();
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = sha256::hex(&bytes[..16]);
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Seconds since 1970 as a date and time in UTC.
pub(crate) fn timestamp(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{}T{hours:02}:{minutes:02}:{:02}Z", date(days), seconds % 60)
}

/// A day since 1970 as year, month, day.
pub(crate) fn date(days: u64) -> String {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut left) = (1970, days);
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn package(name: &str, checksum: Option<&str>, on: &[&str]) -> Linked {
        Linked {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            licence: Some("MIT/Apache-2.0".to_owned()),
            folder: std::path::PathBuf::new(),
            checksum: checksum.map(str::to_owned),
            dependencies: on.iter().map(|name| ((*name).to_owned(), "1.2.3".to_owned())).collect(),
        }
    }

    #[test]
    fn the_document_has_what_the_format_asks_for() {
        let packages = [
            package("auth-core", None, &["serde"]),
            package("openclaw-cli", None, &["auth-core"]),
            package("serde", Some("ab12"), &[]),
        ];
        let text = document(&packages, "openclaw", "x86_64-unknown-linux-gnu", 951_782_400).unwrap();
        assert_eq!(text, document(&packages, "openclaw", "x86_64-unknown-linux-gnu", 951_782_400).unwrap());
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["bomFormat"], &value["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        assert_eq!(value["metadata"]["timestamp"], "2000-02-29T00:00:00Z");
        assert_eq!(value["metadata"]["component"]["type"], "application");
        let serial = value["serialNumber"].as_str().unwrap();
        assert_eq!((serial.len(), &serial[..9], &serial[23..24]), (45, "urn:uuid:", "8"), "{serial}");

        let components = value["components"].as_array().unwrap();
        assert_eq!(components.len(), 2);
        assert_eq!(components[1]["purl"], "pkg:cargo/serde@1.2.3");
        assert!(
            components[0]["purl"].as_str().unwrap().starts_with("pkg:cargo/auth-core@1.2.3?vcs_url=git%2Bhttps%3A")
        );
        assert_eq!(components[1]["hashes"][0]["content"], "ab12");
        assert_eq!(components[1]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        // Every reference leads somewhere, and every component has its place in the graph.
        let mut refs: BTreeSet<&str> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).collect();
        refs.insert(value["metadata"]["component"]["bom-ref"].as_str().unwrap());
        let graph = value["dependencies"].as_array().unwrap();
        assert_eq!(graph.iter().map(|node| node["ref"].as_str().unwrap()).collect::<BTreeSet<_>>(), refs);
        let ends = graph.iter().flat_map(|node| node["dependsOn"].as_array().unwrap());
        assert!(ends.into_iter().all(|end| refs.contains(end.as_str().unwrap())));
    }

    #[test]
    fn days_have_their_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(20_818), "2026-12-31");
        assert_eq!(timestamp(1_795_784_400), "2026-11-27T13:00:00Z");
    }
}
