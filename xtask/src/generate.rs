//! `cargo xtask gen`: files that are made from other files.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Writes every generated file, or with `check` only tells which are out of date.
pub(crate) fn run(root: &Path, check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (path, text) in
        [("crates/auth-core/src/provider/catalogue.rs", catalogue(&root.join("crates/auth-core/data/providers.toml"))?)]
    {
        let full = root.join(path);
        if std::fs::read_to_string(&full).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            stale.push(path);
        } else {
            std::fs::write(&full, text).with_context(|| format!("cannot write {path}"))?;
            println!("wrote {path}");
        }
    }
    ensure!(stale.is_empty(), "out of date: {}\nRun: cargo xtask gen", stale.join(", "));
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    r#for: String,
    shell_env_expected: Vec<String>,
    cooldown_exempt: Vec<String>,
    default: Default,
    provider_id_aliases: toml::Table,
    auth_id_aliases: toml::Table,
    default_model_aliases: toml::Table,
    markers: Markers,
    #[expect(dead_code, reason = "kept in the table for the usage display, which is not built yet")]
    usage_providers: toml::Table,
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
struct Default {
    provider: String,
    model: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Markers {
    exact: Vec<String>,
    prefix: Vec<String>,
    env_names_beyond_providers: Vec<String>,
    #[expect(dead_code, reason = "header markers matter to requests only")]
    header_only: Vec<String>,
}

#[derive(Deserialize)]
struct Provider {
    id: String,
    label: String,
    kind: String,
    plugin: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    env_vars: Vec<String>,
    #[serde(default)]
    auth: Vec<Auth>,
    #[serde(default)]
    apis: Vec<String>,
    base_url: Option<String>,
    #[serde(default)]
    models: Vec<Model>,
    default_model: Option<String>,
    synthetic_key: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    choice: String,
    method: String,
    kind: String,
    label: String,
    flag: Option<String>,
    #[serde(default)]
    deprecated_choices: Vec<String>,
    setup: Option<Setup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Setup {
    model: String,
    alias: Option<String>,
    base_url: Option<String>,
    api: Option<String>,
    #[serde(default)]
    profiles: Vec<String>,
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    api: String,
    name: Option<String>,
    input: Option<String>,
    context_window: Option<u64>,
}

/// The Rust source of the provider catalogue.
fn catalogue(toml_path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(toml_path).context("cannot read providers.toml")?;
    let mut table: Table = toml::from_str(&text).context("providers.toml")?;
    table.providers.sort_by(|a, b| a.id.cmp(&b.id));

    let mut out = String::new();
    let w = &mut out;
    writeln!(w, "//! The provider catalogue of {}.", table.r#for)?;
    writeln!(w, "//!")?;
    writeln!(w, "//! Generated from `data/providers.toml` by `cargo xtask gen`; do not edit.")?;
    writeln!(w, "\nuse super::{{AuthKind, AuthMethod, CatalogueModel, KeySetup, ProviderInfo, ProviderKind}};")?;

    let constant = |w: &mut String, doc: &str, name: &str, ty: &str, value: &str| {
        let visible = if name.ends_with("_ID_ALIASES") { "pub(super)" } else { "pub" };
        writeln!(w, "\n/// {doc}\n{visible} const {name}: {ty} = {value};")
    };
    constant(
        w,
        "Provider of a model reference without one.",
        "DEFAULT_PROVIDER",
        "&str",
        &quoted(&table.default.provider),
    )?;
    constant(w, "Model in use when none is configured.", "DEFAULT_MODEL", "&str", &quoted(&table.default.model))?;
    constant(
        w,
        "Variables that the login shell is asked for.",
        "SHELL_ENV_EXPECTED",
        "&[&str]",
        &list(&table.shell_env_expected),
    )?;
    constant(
        w,
        "Providers to which cooldowns never apply.",
        "COOLDOWN_EXEMPT",
        "&[&str]",
        &list(&table.cooldown_exempt),
    )?;
    constant(w, "Placeholders that are no secrets.", "MARKERS_EXACT", "&[&str]", &list(&table.markers.exact))?;
    constant(
        w,
        "Beginnings of placeholders that are no secrets.",
        "MARKERS_PREFIX",
        "&[&str]",
        &list(&table.markers.prefix),
    )?;
    constant(
        w,
        "Variable names that count as placeholders although no provider lists them.",
        "MARKER_ENV_NAMES",
        "&[&str]",
        &list(&table.markers.env_names_beyond_providers),
    )?;
    constant(
        w,
        "Built-in model aliases: alias, model reference.",
        "DEFAULT_MODEL_ALIASES",
        "&[(&str, &str)]",
        &pairs(&table.default_model_aliases)?,
    )?;
    constant(
        w,
        "Spellings of provider ids: from, to.",
        "PROVIDER_ID_ALIASES",
        "&[(&str, &str)]",
        &pairs(&table.provider_id_aliases)?,
    )?;
    constant(
        w,
        "Providers that share the credentials of another: from, to.",
        "AUTH_ID_ALIASES",
        "&[(&str, &str)]",
        &pairs(&table.auth_id_aliases)?,
    )?;

    write_providers(w, &table.providers)?;
    rustfmt(&out)
}

/// The table of providers.
fn write_providers(w: &mut String, providers: &[Provider]) -> Result<()> {
    writeln!(w, "\n/// Every known provider, sorted by id.\npub static PROVIDERS: &[ProviderInfo] = &[")?;
    for p in providers {
        let kind = if p.kind == "llm" { "Llm" } else { "Other" };
        writeln!(w, "ProviderInfo {{ id: {}, label: {}, kind: ProviderKind::{kind},", quoted(&p.id), quoted(&p.label))?;
        writeln!(w, "plugin: {},", option(p.plugin.as_deref()))?;
        writeln!(w, "aliases: {}, env_vars: {},", list(&p.aliases), list(&p.env_vars))?;
        write!(w, "auth: &[")?;
        for a in &p.auth {
            let kind = match a.kind.as_str() {
                "api_key" => "ApiKey",
                "token" => "Token",
                "oauth" => "OAuth",
                "device_code" => "DeviceCode",
                "custom" => "Custom",
                other => bail!("providers.toml: {}: unknown kind {other:?} of a sign-in method", p.id),
            };
            write!(
                w,
                "AuthMethod {{ choice: {}, method: {}, kind: AuthKind::{kind}, label: {}, flag: {}, deprecated_choices: {}, setup: {} }},",
                quoted(&a.choice),
                quoted(&a.method),
                quoted(&a.label),
                option(a.flag.as_deref()),
                list(&a.deprecated_choices),
                a.setup.as_ref().map_or("None".to_owned(), |setup| setup.source(p))
            )?;
        }
        writeln!(w, "],\napis: {}, base_url: {},", list(&p.apis), option(p.base_url.as_deref()))?;
        write!(w, "models: &[")?;
        for m in &p.models {
            write!(
                w,
                "CatalogueModel {{ id: {}, api: {}, name: {}, input: {}, context_window: {} }},",
                quoted(&m.id),
                quoted(&m.api),
                option(m.name.as_deref()),
                option(m.input.as_deref()),
                m.context_window.map_or("None".to_owned(), |n| format!("Some({})", grouped(n)))
            )?;
        }
        writeln!(
            w,
            "],\ndefault_model: {}, synthetic_key: {} }},",
            option(p.default_model.as_deref()),
            option(p.synthetic_key.as_deref())
        )?;
    }
    writeln!(w, "];")?;
    Ok(())
}

impl Setup {
    fn source(&self, provider: &Provider) -> String {
        let profiles =
            if self.profiles.is_empty() { vec![format!("{}:default", provider.id)] } else { self.profiles.clone() };
        let endpoint = match (&self.base_url, &self.api) {
            (Some(base_url), Some(api)) => format!("Some(({base_url:?}, {api:?}))"),
            _ => "None".to_owned(),
        };
        format!(
            "Some(KeySetup {{ profiles: {}, env_vars: {}, model: {}, alias: {}, endpoint: {endpoint} }})",
            list(&profiles),
            list(self.env.as_ref().unwrap_or(&provider.env_vars)),
            quoted(&self.model),
            option(self.alias.as_deref())
        )
    }
}

/// A number with an underscore between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(|group| String::from_utf8_lossy(group).into_owned());
    let head = (first > 0).then(|| digits[..first].to_owned());
    head.into_iter().chain(groups).collect::<Vec<_>>().join("_")
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn option(text: Option<&str>) -> String {
    text.map_or("None".to_owned(), |text| format!("Some({text:?})"))
}

fn list(items: &[String]) -> String {
    format!("&{items:?}")
}

fn pairs(table: &toml::Table) -> Result<String> {
    let mut out = String::from("&[");
    for (from, to) in table {
        let to = to.as_str().context("providers.toml: an alias is not a string")?;
        write!(out, "({from:?}, {to:?}),")?;
    }
    Ok(out + "]")
}

/// Formats Rust source as `cargo fmt` would.
fn rustfmt(source: &str) -> Result<String> {
    use std::io::Write;
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run rustfmt")?;
    child.stdin.take().context("rustfmt has no input")?.write_all(source.as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "rustfmt refused the generated source");
    Ok(String::from_utf8(done.stdout)?)
}
