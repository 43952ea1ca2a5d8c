//! `models list` (spec 02 section 17).

use std::collections::{HashMap, HashSet};

use auth_core::model::resolve;
use auth_core::provider::{self, DEFAULT_PROVIDER, ProviderKind};
use auth_core::status::{EffectiveKind, ModelsInUse};
use auth_core::{Config, ModelRef, ProviderId, StatusReport, host_of};
use serde::Serialize;

use super::Session;
use super::status::{Form, store_remarks};
use crate::args::List;
use crate::failure::Failure;
use crate::output::{Look, Page, Part, part, plain, print_json, print_lines, print_text};

/// The context of a configured model that does not say its own, in tokens, as OpenClaw assumes it.
const ASSUMED_CONTEXT_WINDOW: u64 = 200_000;

#[derive(Serialize)]
struct Document {
    count: usize,
    models: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key: String,
    name: String,
    input: String,
    context_window: Option<u64>,
    local: Option<bool>,
    available: Option<bool>,
    tags: Vec<String>,
    missing: bool,
    #[serde(skip)]
    provider: ProviderId,
}

pub(crate) fn run(session: &Session, args: &List, form: Form, agent: Option<&str>) -> Result<u8, Failure> {
    let state = &session.state;
    let auth = state.status_auth(agent, &session.host)?;
    store_remarks(session, &auth);
    let report = StatusReport::build(&state.situation(&auth), auth.agent.as_ref());

    let mut entries = in_use(&state.config, &report.models);
    if args.all {
        let mut seen: HashSet<String> = entries.iter().map(|(model, _)| model.key()).collect();
        let more = everything(&state.config).into_iter().filter(|model| seen.insert(model.key()));
        entries.extend(more.map(|model| (model, Vec::new())));
    }
    let wanted = args.provider.as_deref().map(ProviderId::normalise);
    let available: HashSet<&str> =
        report.rows.iter().filter(|row| row.kind != EffectiveKind::Missing).map(|row| row.provider.as_str()).collect();
    let rows: Vec<Row> = entries
        .into_iter()
        .map(|(model, tags)| row(&state.config, &available, &model, tags))
        .filter(|row| wanted.as_ref().is_none_or(|wanted| row.provider == *wanted))
        .filter(|row| !args.local || row.local == Some(true))
        .collect();

    match form {
        Form::Json => print_json(&Document { count: rows.len(), models: rows })?,
        Form::Plain if rows.is_empty() => print_text("No models found.\n")?,
        Form::Plain => print_lines(rows.iter().map(|row| &row.key))?,
        Form::Human => {
            let mut page = Page::for_stdout(session.no_color);
            table(&mut page, &rows);
            page.print()?;
        }
    }
    Ok(0)
}

/// Each model in use once, with every role it has.
fn in_use(config: &Config, models: &ModelsInUse) -> Vec<(ModelRef, Vec<String>)> {
    let numbered = |tag: &'static str, refs: &[String]| {
        let found = refs.iter().enumerate().map(|(i, text)| (resolve(text, config), format!("{tag}#{}", i + 1)));
        found.collect::<Vec<_>>()
    };
    let mut tagged = vec![(Some(models.resolved_default.clone()), "default".to_owned())];
    tagged.extend(numbered("fallback", &models.fallbacks));
    tagged.extend(models.image_model.iter().map(|text| (resolve(text, config), "image".to_owned())));
    tagged.extend(numbered("img-fallback", &models.image_fallbacks));
    tagged.extend(
        config.models.iter().map(|entry| (ModelRef::parse(&entry.key, DEFAULT_PROVIDER), "configured".to_owned())),
    );

    let mut entries: Vec<(ModelRef, Vec<String>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (model, tag) in tagged {
        let Some(model) = model else { continue };
        match places.get(&model.key()) {
            Some(at) if entries[*at].1.contains(&tag) => {}
            Some(at) => entries[*at].1.push(tag),
            None => {
                places.insert(model.key(), entries.len());
                entries.push((model, vec![tag]));
            }
        }
    }
    let mut aliases: HashMap<usize, Vec<&str>> = HashMap::new();
    for entry in &config.models {
        let at = ModelRef::parse(&entry.key, DEFAULT_PROVIDER).and_then(|model| places.get(&model.key()));
        if let (Some(at), Some(alias)) = (at, entry.alias.as_deref()) {
            aliases.entry(*at).or_default().push(alias);
        }
    }
    for (at, aliases) in aliases {
        entries[at].1.push(format!("alias:{}", aliases.join(",")));
    }
    entries
}

/// Every model of the config and of the catalogue.
fn everything(config: &Config) -> Vec<ModelRef> {
    let configured = config.providers.iter().flat_map(|entry| {
        let provider = ProviderId::normalise(&entry.id).as_str().to_owned();
        entry
            .models
            .iter()
            .filter(|model| !model.id.is_empty())
            .map(move |model| ModelRef { provider: provider.clone(), model: model.id.clone() })
    });
    let catalogue = provider::PROVIDERS.iter().filter(|info| info.kind == ProviderKind::Llm).flat_map(|info| {
        info.models.iter().map(|model| ModelRef { provider: info.id.to_owned(), model: model.id.to_owned() })
    });
    configured.chain(catalogue).collect()
}

fn row(config: &Config, available: &HashSet<&str>, model: &ModelRef, mut tags: Vec<String>) -> Row {
    let provider = model.provider_id();
    let entry = config.provider(&provider);
    let configured = entry.and_then(|entry| entry.models.iter().find(|known| known.id == model.model));
    let info = provider::find(provider.as_str());
    let listed = info.and_then(|info| {
        info.models.iter().find(|known| {
            let known = ModelRef { provider: info.id.to_owned(), model: known.id.to_owned() };
            known.key() == model.key()
        })
    });
    let key = model.key();
    if configured.is_none() && listed.is_none() {
        tags.push("missing".to_owned());
        let name = key.clone();
        return Row {
            key,
            name,
            input: "-".to_owned(),
            context_window: None,
            local: None,
            available: None,
            tags,
            missing: true,
            provider,
        };
    }
    let base_url = entry.and_then(|entry| entry.base_url.as_deref()).or_else(|| info.and_then(|info| info.base_url));
    let input = configured.map(|known| known.input.join("+")).filter(|input| !input.is_empty());
    let name = configured.and_then(|known| known.name.as_deref()).or_else(|| listed.and_then(|known| known.name));
    let listed_window = || listed.and_then(|known| known.context_window);
    let assumed_window = configured.map(|_| ASSUMED_CONTEXT_WINDOW);
    Row {
        name: name.unwrap_or(&model.model).to_owned(),
        input: input.or_else(|| Some(listed?.input?.to_owned())).unwrap_or_else(|| "text".to_owned()),
        context_window: configured.and_then(|known| known.context_window).or_else(listed_window).or(assumed_window),
        local: Some(base_url.and_then(host_of).is_some_and(|host| is_local(&host))),
        available: Some(available.contains(provider.as_str())),
        tags,
        missing: false,
        key,
        provider,
    }
}

fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]")
        || host.strip_suffix(".local").is_some_and(|name| !name.is_empty())
}

fn table(page: &mut Page, rows: &[Row]) {
    if rows.is_empty() {
        page.line(0, &[plain("No models found.")]);
        return;
    }
    let heading = ["Model", "Auth", "Local", "Tags"].map(|text| part(Look::Faint, text)).to_vec();
    let cells = rows.iter().map(|row| {
        let auth = match row.available {
            Some(true) => part(Look::Good, "yes"),
            Some(false) => part(Look::Bad, "no"),
            None => plain("-"),
        };
        let local = if row.local == Some(true) { "yes" } else { "-" };
        vec![part(Look::Strong, &row.key), auth, plain(local), plain(row.tags.join(", "))]
    });
    let all: Vec<Vec<Part>> = std::iter::once(heading).chain(cells).collect();
    page.table(0, &all);
}
