//! `models set`, `set-image`, `aliases`, `fallbacks`, `image-fallbacks`: the commands that write (spec 02 section 17).

use auth_core::config::edit::{self, ModelSlot};
use auth_core::status::StatusReport;
use auth_core::{ModelRef, ProviderId, provider};
use auth_store::{ConfigWriter, Run};
use serde_json::{Value, json};

use super::Session;
use super::change::config_failure;
use crate::args::Change;
use crate::failure::Failure;
use crate::output::{Page, plain, print_json};

/// What to do, and how to say that it is done.
pub(crate) struct Setting<'a> {
    /// The path of the command, for the log of writes.
    pub(crate) command: &'static str,
    /// The change; returns the key that it is about.
    pub(crate) edit: &'a dyn Fn(&mut Value) -> Result<String, String>,
    /// The line that tells the result, made of the key.
    pub(crate) result: &'a dyn Fn(&str) -> String,
    /// Whether the provider of the key should have a credential.
    pub(crate) needs_auth: bool,
}

pub(crate) fn run(session: &Session, options: &Change, setting: &Setting<'_>) -> Result<u8, Failure> {
    let state = &session.state;
    let key = std::cell::RefCell::new(String::new());
    let edit = |root: &mut Value| {
        *key.borrow_mut() = (setting.edit)(root)?;
        Ok(())
    };
    let run = if options.dry_run { Run::Dry } else { Run::Real };
    let writer = ConfigWriter::new(&state.layout, &state.environment, &session.host, setting.command);
    let change = writer.edit(run, &edit).map_err(config_failure)?;
    let key = key.into_inner();
    if setting.needs_auth {
        warn_without_auth(session, &key)?;
    }
    if options.json {
        let mut document = json!({ "ok": true, "changed": change.changed, "settings": change.settings, "key": key });
        if options.dry_run {
            document["dryRun"] = Value::from(true);
        }
        print_json(&document)?;
        return Ok(0);
    }
    let mut page = Page::for_stdout(session.no_color);
    if options.dry_run {
        page.line(0, &[plain("Dry run: nothing was written.")]);
        for name in &change.settings {
            page.line(2, &[plain(format!("Would change {name}"))]);
        }
    }
    page.line(2, &[plain(format!("Updated {}", state.layout.shorten(state.layout.config_path())))]);
    page.line(2, &[plain((setting.result)(&key))]);
    page.print()?;
    Ok(0)
}

/// A model that nothing can reach yet is stored all the same, with a word about it.
fn warn_without_auth(session: &Session, key: &str) -> Result<(), Failure> {
    let Some(model) = ModelRef::parse(key, provider::DEFAULT_PROVIDER) else { return Ok(()) };
    let id: ProviderId = model.provider_id();
    let auth = session.state.agent_auth(None, &session.host)?;
    let report = StatusReport::build(&session.state.situation(&auth), auth.agent.as_ref());
    let known = provider::find(id.as_str()).is_some() || session.state.config.provider(&id).is_some();
    if report.rows.iter().any(|row| row.provider == id.as_str() && row.usable) {
        return Ok(());
    }
    session.warn(&if known {
        format!("Note: {id} has no working credential yet. Run: openclaw models auth why {key}")
    } else {
        format!("Note: no provider {id} is known. Run: openclaw models list --all")
    });
    Ok(())
}

/// The slot of the text or the image model.
pub(crate) fn slot(image: bool) -> ModelSlot {
    if image { ModelSlot::Image } else { ModelSlot::Text }
}

pub(crate) fn set(session: &Session, options: &Change, text: &str, image: bool) -> Result<u8, Failure> {
    let label = if image { "Image model" } else { "Default model" };
    run(
        session,
        options,
        &Setting {
            command: if image { "models set-image" } else { "models set" },
            edit: &|root| edit::set_primary(root, slot(image), text),
            result: &|key| format!("{label}: {key}"),
            needs_auth: true,
        },
    )
}
