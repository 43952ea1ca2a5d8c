//! The lines of a file that a repair would change, without a secret: only texts that are known to be none are
//! shown (spec 06 section 2).

use std::collections::HashSet;

use auth_store::parse_json5;
use serde_json::Value;

use crate::repair::{FileKind, Write};

/// The most lines that are compared with each other; more are shown as gone and come.
const MAX_CELLS: usize = 4_000_000;
/// The most lines that are shown of one file.
const MAX_SHOWN: usize = 400;

/// The lines that change: `- ` before, `+ ` after, a number of lines left out in between.
pub fn changed_lines(write: &Write) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let before = write.before.as_deref().map(text).unwrap_or_default();
    let after = text(&write.after);
    let mut harmless = HashSet::new();
    for text in [&before, &after] {
        collect_harmless(text, write.kind, &mut harmless);
    }
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut lines: Vec<String> =
        differing(&before, &after).iter().map(|(sign, line)| format!("{sign} {}", masked(line, &harmless))).collect();
    if lines.len() > MAX_SHOWN {
        let more = lines.len() - MAX_SHOWN;
        lines.truncate(MAX_SHOWN);
        lines.push(format!("… and {more} more lines"));
    }
    lines
}

/// The lines that are in one text only, in order.
fn differing<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<(char, &'a str)> {
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let tail = before[head..].iter().rev().zip(after[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, after) = (&before[head..before.len() - tail], &after[head..after.len() - tail]);
    let all = |sign: char, lines: &[&'a str]| lines.iter().map(|line| (sign, *line)).collect::<Vec<_>>();
    if before.len().saturating_mul(after.len()) > MAX_CELLS {
        return [all('-', before), all('+', after)].concat();
    }
    // The longest common subsequence, from the end.
    let width = after.len() + 1;
    let mut best = vec![0_u32; (before.len() + 1) * width];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            best[i * width + j] = if before[i] == after[j] {
                best[(i + 1) * width + j + 1] + 1
            } else {
                best[(i + 1) * width + j].max(best[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || (i < before.len() && best[(i + 1) * width + j] >= best[i * width + j + 1]) {
            lines.push(('-', before[i]));
            i += 1;
        } else {
            lines.push(('+', after[j]));
            j += 1;
        }
    }
    lines
}

/// Names of members whose text is no secret, in a store and in the parts of the config that repairs change.
const HARMLESS_IN_STORE: &[&str] = &["type", "mode", "provider", "email", "displayName", "source", "id"];
const HARMLESS_IN_CONFIG: &[&str] = &[
    "provider",
    "mode",
    "email",
    "displayName",
    "primary",
    "fallbacks",
    "model",
    "imageModel",
    "alias",
    "lastTouchedVersion",
    "lastTouchedAt",
    "lastRunAt",
    "lastRunVersion",
    "lastRunCommand",
    "lastRunMode",
    "region",
    "regions",
];

fn collect_harmless(text: &str, kind: FileKind, found: &mut HashSet<String>) {
    // What cannot be parsed is masked as a whole, which is the safe side.
    let Some(root) = parse_json5(text) else { return };
    let named = if kind == FileKind::Store { HARMLESS_IN_STORE } else { HARMLESS_IN_CONFIG };
    let below: &[&str] = if kind == FileKind::Store { &["/order", "/lastGood"] } else { &["/auth/order"] };
    for pointer in below {
        root.pointer(pointer).into_iter().for_each(|value| collect_texts(value, found));
    }
    collect_named(&root, named, found);
}

fn collect_texts(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, found)),
        Value::Object(members) => members.values().for_each(|item| collect_texts(item, found)),
        _ => {}
    }
}

fn collect_named(value: &Value, named: &[&str], found: &mut HashSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_named(item, named, found)),
        Value::Object(members) => {
            for (name, item) in members {
                match item {
                    Value::String(text) if named.contains(&name.as_str()) => drop(found.insert(text.clone())),
                    Value::Array(items) if named.contains(&name.as_str()) => {
                        items.iter().filter(|item| item.is_string()).for_each(|item| collect_texts(item, found));
                    }
                    other => collect_named(other, named, found),
                }
            }
        }
        _ => {}
    }
}

/// The line with every text masked that is not known to be harmless, and every comment left out. Names of members and
/// numbers stay.
fn masked(line: &str, harmless: &HashSet<String>) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        match c {
            '"' | '\'' => {
                let body = &rest[1..];
                let end = closing(body, c);
                let (text, after) = end.map_or((body, ""), |end| (&body[..end], &body[end + 1..]));
                let is_name = after.trim_start().starts_with(':');
                let decoded =
                    serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_owned());
                let shown = if is_name || harmless.contains(&decoded) { decoded } else { auth_core::mask(&decoded) };
                out.push_str(&Value::from(shown).to_string());
                rest = after;
            }
            '/' if rest.starts_with("//") || rest.starts_with("/*") => {
                out.push_str("// …");
                return out;
            }
            '*' | '`' => {
                // The middle of a comment or of a text that began on another line.
                out.push('…');
                return out;
            }
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    // A line without any sign of JSON may be the middle of a comment.
    let structured = out.trim().is_empty() || out.contains([':', '{', '}', '[', ']', ',', '"']) || is_word(out.trim());
    if structured { out } else { "…".to_owned() }
}

fn is_word(text: &str) -> bool {
    matches!(text, "true" | "false" | "null") || text.parse::<f64>().is_ok()
}

/// Where the quote that closes a text stands.
fn closing(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return Some(at);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn lines(kind: FileKind, before: &str, after: &str) -> Vec<String> {
        changed_lines(&Write {
            path: PathBuf::from("/x"),
            guarded_by: PathBuf::from("/x"),
            kind,
            before: Some(before.as_bytes().to_vec()),
            after: after.as_bytes().to_vec(),
        })
    }

    #[test]
    fn what_changes_is_shown_and_secrets_are_not() {
        let before = "{\n  \"profiles\": {\n    \"a:old\": {\n      \"provider\": \"old\",\n      \"key\": \"sk-test-canary-000000001\"\n    }\n  }\n}\n";
        let after = before.replace("a:old", "a:new").replace("\"old\"", "\"a\"").replace("canary", "kanari");
        let shown = lines(FileKind::Store, before, &after).join("\n");
        assert!(shown.contains("-     \"a:old\": {") && shown.contains("+       \"provider\": \"a\""), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains("kanari") && shown.contains("sk-t"), "{shown}");
    }

    #[test]
    fn comments_and_odd_quotes_show_nothing() {
        let before = "{\n  // sk-test-canary-000000001\n  a: 'sk-test-canary-000000002', /* sk-test-canary-3 */\n  b: `sk-test-canary-4\n}";
        let shown = lines(FileKind::Config, before, "{}").join("\n");
        assert!(!shown.contains("canary"), "{shown}");
        let open = lines(FileKind::Config, "{a: 'sk-test-canary-0000001", "{}").join("\n");
        assert!(!open.contains("canary"), "{open}");
        let comment = lines(FileKind::Config, "/*\n sk-test-canary-0000001\n*/\n{}", "{}").join("\n");
        assert!(!comment.contains("canary"), "{comment}");
    }

    #[test]
    fn only_lines_that_differ_are_shown() {
        assert_eq!(lines(FileKind::Store, "{\n1,\n2,\n3\n}", "{\n1,\n4,\n3\n}"), ["- 2,", "+ 4,"]);
        assert!(lines(FileKind::Store, "{}", "{}").is_empty());
    }
}
