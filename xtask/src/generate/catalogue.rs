//! The provider table `data/providers.toml`, and the Rust source that is made from it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) r#for: String,
    pub(crate) shell_env_expected: Vec<String>,
    pub(crate) cooldown_exempt: Vec<String>,
    pub(crate) default: Default,
    pub(crate) provider_id_aliases: toml::Table,
    pub(crate) auth_id_aliases: toml::Table,
    pub(crate) default_model_aliases: toml::Table,
    pub(crate) markers: Markers,
    #[expect(dead_code, reason = "kept in the table for the usage display, which is not built yet")]
    pub(crate) usage_providers: toml::Table,
    pub(crate) providers: Vec<Provider>,
}

#[derive(Deserialize)]
pub(crate) struct Default {
    pub(crate) provider: String,
    pub(crate) model: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Markers {
    pub(crate) exact: Vec<String>,
    pub(crate) prefix: Vec<String>,
    pub(crate) env_names_beyond_providers: Vec<String>,
    #[expect(dead_code, reason = "header markers matter to requests only")]
    pub(crate) header_only: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) kind: String,
    pub(crate) plugin: Option<String>,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    pub(crate) env_vars: Vec<String>,
    #[serde(default)]
    pub(crate) auth: Vec<Auth>,
    #[serde(default)]
    pub(crate) apis: Vec<String>,
    pub(crate) base_url: Option<String>,
    #[serde(default)]
    pub(crate) models: Vec<Model>,
    pub(crate) default_model: Option<String>,
    pub(crate) synthetic_key: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Auth {
    pub(crate) choice: String,
    pub(crate) method: String,
    pub(crate) kind: String,
    pub(crate) label: String,
    pub(crate) flag: Option<String>,
    #[serde(default)]
    pub(crate) deprecated_choices: Vec<String>,
    pub(crate) setup: Option<Setup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    pub(crate) model: String,
    pub(crate) alias: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) api: Option<String>,
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
    pub(crate) env: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) api: String,
    pub(crate) name: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) context_window: Option<u64>,
}

impl Table {
    /// Reads the table, providers sorted by id.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut table: Self = toml::from_str(&text).context("providers.toml")?;
        table.providers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(table)
    }
}

/// The Rust source of the provider catalogue.
pub(crate) fn source(toml_path: &Path) -> Result<String> {
    let table = Table::read(toml_path)?;
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
