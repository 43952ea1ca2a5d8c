//! `models aliases list`, `models fallbacks list`, `models image-fallbacks list` (spec 02 section 17).

use auth_core::status::aliases as alias_pairs;
use serde_json::{Map, Value, json};

use super::Session;
use super::status::Form;
use crate::failure::Failure;
use crate::output::{Page, plain, print_json, print_lines};

/// Which list of fallbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Image,
}

pub(crate) fn aliases(session: &Session, form: Form) -> Result<u8, Failure> {
    let pairs = alias_pairs(&session.state.config);
    match form {
        Form::Json => {
            let map: Map<String, Value> = pairs.into_iter().map(|(alias, key)| (alias, Value::from(key))).collect();
            print_json(&json!({ "aliases": map }))?;
        }
        Form::Plain => print_lines(pairs.iter().map(|(alias, key)| format!("{alias} {key}")))?,
        Form::Human => {
            let lines = pairs.iter().map(|(alias, key)| format!("{alias} -> {key}")).collect();
            print_list(session, "Aliases", lines)?;
        }
    }
    Ok(0)
}

pub(crate) fn fallbacks(session: &Session, form: Form, kind: Kind) -> Result<u8, Failure> {
    let config = &session.state.config;
    let (setting, title) = match kind {
        Kind::Text => (&config.model, "Fallbacks"),
        Kind::Image => (&config.image_model, "Image fallbacks"),
    };
    let refs = setting.fallback_list();
    match form {
        Form::Json => print_json(&json!({ "fallbacks": refs }))?,
        Form::Plain => print_lines(refs)?,
        Form::Human => print_list(session, title, refs.to_vec())?,
    }
    Ok(0)
}

fn print_list(session: &Session, title: &str, lines: Vec<String>) -> Result<(), Failure> {
    let mut page = Page::for_stdout(session.no_color);
    page.line(0, &[plain(format!("{title} ({}):", lines.len()))]);
    if lines.is_empty() {
        page.line(0, &[plain("- none")]);
    }
    for line in lines {
        page.line(2, &[plain(format!("- {line}"))]);
    }
    page.print()
}
