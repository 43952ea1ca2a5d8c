//! Comparing what a case printed and left behind with what it expects.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Map, Value, json};

use crate::case::{Case, Context, Expect, Printed, Run};
use crate::server::Arrived;

/// How far a time may be off, in milliseconds.
const TOLERANCE_MS: f64 = 120_000.0;

/// Everything that is not as expected.
pub(crate) fn check(case: &Case, run: &Run) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, (expect, printed)) in case.expect.iter().zip(&run.printed).enumerate() {
        let found = check_step(case, expect, printed, &run.context);
        problems.extend(found.into_iter().map(|problem| format!("run {}: {problem}", at + 1)));
    }
    for (path, expect) in &case.expect_files {
        let expect = run.context.fill(expect);
        let found = check_file(path, &expect, &run.context);
        problems.extend(found.into_iter().map(|problem| format!("{path}{problem}")));
    }
    problems.extend(check_requests(case, run));
    problems
}

/// Everything about the requests that is not as expected.
fn check_requests(case: &Case, run: &Run) -> Vec<String> {
    let Some(wanted) = &case.expect_requests else { return Vec::new() };
    let wanted = run.context.fill(wanted);
    let any_order = wanted.is_object();
    let rows = if any_order { &wanted["requests"] } else { &wanted };
    let mut left: Vec<&Arrived> = run.arrived.iter().collect();
    for (at, row) in rows.as_array().into_iter().flatten().enumerate() {
        let reach = if any_order { left.len() } else { left.len().min(1) };
        match left[..reach].iter().position(|request| fits(row, request, &run.context)) {
            Some(place) => drop(left.remove(place)),
            None => {
                let got: Vec<String> =
                    left.iter().take(3).map(|r| format!("{} {} {:?}", r.method, r.path, r.headers)).collect();
                return vec![format!("request {}: want {row}, got {got:?}", at + 1)];
            }
        }
    }
    left.iter().map(|request| format!("unexpected request: {} {}", request.method, request.path)).collect()
}

fn fits(row: &Value, request: &Arrived, context: &Context) -> bool {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let texts = |name: &str| row.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let same = |name: &str, got: &str| text(name).is_none_or(|wanted| wanted == got);
    let path = text("path").is_none_or(|wanted| match wanted.strip_suffix('*') {
        Some(start) => request.path.starts_with(start),
        None => request.path == wanted,
    });
    let headers = row.get("headers").and_then(Value::as_object).into_iter().flatten();
    let headers = headers.into_iter().all(|(name, wanted)| {
        let got = request.headers.get(&name.to_lowercase()).unwrap_or(&Value::Null);
        differences(wanted, got, context, "", false).is_empty()
    });
    same("server", &request.server)
        && same("method", &request.method)
        && path
        && headers
        && !texts("headers_lack").any(|name| request.headers.contains_key(&name.to_lowercase()))
        && texts("body_has").all(|part| request.body.contains(part))
        && !texts("body_lacks").any(|part| request.body.contains(part))
}

fn check_step(case: &Case, expect: &Expect, printed: &Printed, context: &Context) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(exit) = expect.exit.filter(|exit| *exit != printed.exit) {
        problems.push(format!("exit {}, want {exit}; stderr: {}", printed.exit, printed.stderr));
    }
    if let Some(wanted) = &expect.stdout_json {
        let mut wanted = context.fill(wanted);
        match serde_json::from_str::<Value>(&printed.stdout) {
            Ok(mut got) => {
                for pointer in &case.ignore {
                    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
                    drop_at(&mut wanted, &steps);
                    drop_at(&mut got, &steps);
                }
                problems
                    .extend(differences(&wanted, &got, context, "", !case.exact).iter().map(|d| format!("stdout{d}")));
            }
            Err(error) => problems.push(format!("stdout is no JSON document ({error}): {}", printed.stdout)),
        }
    }
    let both = format!("{}{}", printed.stdout, printed.stderr);
    for (name, text, has, lacks) in [
        ("stdout", &printed.stdout, &expect.stdout_has, &expect.stdout_lacks),
        ("stderr", &printed.stderr, &expect.stderr_has, &expect.stderr_lacks),
        ("output", &both, &expect.output_has, &expect.output_lacks),
    ] {
        let filled = |texts: &[String]| texts.iter().map(|text| context.fill_text(text)).collect::<Vec<_>>();
        problems
            .extend(filled(has).iter().filter(|t| !text.contains(*t)).map(|t| format!("{name} lacks {t:?}: {text}")));
        problems
            .extend(filled(lacks).iter().filter(|t| text.contains(*t)).map(|t| format!("{name} must not have {t:?}")));
    }
    problems
}

fn check_file(path: &str, expect: &Value, context: &Context) -> Vec<String> {
    let full = context.home.join(path);
    if expect.is_null() {
        return full.symlink_metadata().map_or_else(|_| Vec::new(), |_| vec![": should be absent".to_owned()]);
    }
    let Ok(meta) = fs::metadata(&full) else { return vec![": missing".to_owned()] };
    // A misspelt expectation would check nothing.
    let known = ["json", "text", "mode", "lacks"];
    let unknown = expect.as_object().into_iter().flat_map(Map::keys).filter(|key| !known.contains(&key.as_str()));
    let mut problems: Vec<String> = unknown.map(|key| format!(": unknown expectation {key:?}")).collect();
    let mode = format!("{:04o}", meta.permissions().mode() & 0o7777);
    if let Some(wanted) = expect["mode"].as_str().filter(|wanted| *wanted != mode) {
        problems.push(format!(": mode {mode}, want {wanted}"));
    }
    if meta.is_dir() {
        return problems;
    }
    let text = String::from_utf8_lossy(&fs::read(&full).unwrap_or_default()).into_owned();
    if expect["text"].as_str().is_some_and(|wanted| wanted != text) {
        problems.push(format!(": text differs: {text:?}"));
    }
    let lacks = expect["lacks"].as_array().into_iter().flatten().filter_map(Value::as_str);
    problems.extend(lacks.filter(|part| text.contains(part)).map(|part| format!(": must not have {part:?}")));
    if let Some(wanted) = expect.get("json") {
        match serde_json::from_str(&text) {
            Ok(got) => problems.extend(differences(wanted, &got, context, "", false)),
            Err(error) => problems.push(format!(": not JSON: {error}")),
        }
    }
    problems
}

fn drop_at(value: &mut Value, steps: &[&str]) {
    let Some((step, rest)) = steps.split_first() else { return };
    let fits = |key: &str| *step == "*" || step.replace("~1", "/").replace("~0", "~") == key;
    match value {
        Value::Object(members) => {
            if rest.is_empty() {
                members.retain(|key, _| !fits(key));
            } else {
                members.iter_mut().filter(|(key, _)| fits(key)).for_each(|(_, item)| drop_at(item, rest));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter_mut().enumerate().filter(|(at, _)| fits(&at.to_string())) {
                if rest.is_empty() {
                    *item = json!({ "$dropped": at });
                } else {
                    drop_at(item, rest);
                }
            }
        }
        _ => {}
    }
}

/// What is wrong with `got`. `more` lets objects have keys beyond those wanted.
fn differences(wanted: &Value, got: &Value, context: &Context, at: &str, more: bool) -> Vec<String> {
    let mismatch = |what: &str| vec![format!("{at}: want {what}, got {got}")];
    match wanted {
        Value::Object(members) if members.contains_key("$any") => Vec::new(),
        Value::Object(members) if members.contains_key("$now") || members.contains_key("$near") => {
            let offset = members.get("$now").and_then(Value::as_f64);
            #[expect(clippy::cast_precision_loss, reason = "epoch milliseconds are exact")]
            let base = offset.map_or_else(|| members["$near"].as_f64(), |offset| Some(context.now_ms as f64 + offset));
            let base = base.unwrap_or(f64::NAN);
            let tolerance = members.get("$tol").and_then(Value::as_f64).unwrap_or(TOLERANCE_MS);
            let near = got.as_f64().is_some_and(|got| (got - base).abs() <= tolerance);
            if near { Vec::new() } else { mismatch(&format!("about {base}")) }
        }
        Value::Object(members) if members.contains_key("$re") => {
            let pattern = members["$re"].as_str().unwrap_or_default();
            let fits = got
                .as_str()
                .is_some_and(|got| fancy_regex::Regex::new(pattern).is_ok_and(|re| re.is_match(got).unwrap_or(false)));
            if fits { Vec::new() } else { mismatch(&format!("/{pattern}/")) }
        }
        Value::Object(members) => {
            let subset = members.get("$subset").and_then(Value::as_object);
            let members = subset.unwrap_or(members);
            let Some(object) = got.as_object() else { return mismatch("an object") };
            let mut found = Vec::new();
            for (key, wanted) in members {
                let at = format!("{at}/{key}");
                match (wanted.get("$absent").is_some(), object.get(key)) {
                    (true, None) => {}
                    (true, Some(_)) => found.push(format!("{at}: should be absent")),
                    (false, None) => found.push(format!("{at}: missing, want {wanted}")),
                    (false, Some(got)) => found.extend(differences(wanted, got, context, &at, more)),
                }
            }
            if subset.is_none() && !more {
                let extra = object.iter().filter(|(key, _)| !members.contains_key(*key));
                found.extend(extra.map(|(key, value)| format!("{at}/{key}: unexpected {value}")));
            }
            found
        }
        Value::Array(items) => {
            let Some(got_items) = got.as_array().filter(|got| got.len() == items.len()) else {
                return mismatch(&format!("{} items", items.len()));
            };
            let pairs = items.iter().zip(got_items).enumerate();
            pairs.flat_map(|(i, (w, g))| differences(w, g, context, &format!("{at}/{i}"), more)).collect()
        }
        Value::Number(number) if number.as_f64() == got.as_f64() => Vec::new(),
        wanted if wanted == got => Vec::new(),
        wanted => mismatch(&wanted.to_string()),
    }
}
