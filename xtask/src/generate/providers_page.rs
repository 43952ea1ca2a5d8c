//! `docs/providers.md`: every provider with the ways to give it a credential.

use std::fmt::Write as _;

use anyhow::Result;

use super::catalogue::{Auth, Provider, Table};

/// The whole page.
pub(crate) fn page(table: &Table) -> Result<String> {
    let mut out = String::from(
        "# Providers\n\n<!-- Generated from `crates/auth-core/data/providers.toml` by `cargo xtask gen`; do not edit. -->\n\nVariables are tried in the order in which they stand; `Option` is that of `openclaw onboard`. A way to sign in is named by `--auth-choice` of `onboard`; those in a browser or with a code are done by `openclaw models auth login --provider ID`.\n",
    );
    let (models, others): (Vec<&Provider>, Vec<&Provider>) =
        table.providers.iter().partition(|provider| provider.kind == "llm");
    writeln!(out, "\n## Models\n")?;
    summary(&mut out, &models)?;
    writeln!(
        out,
        "\n## Ways to sign in\n\n| Provider | Choice | Kind | Option | Also written |\n|---|---|---|---|---|"
    )?;
    for provider in &models {
        for auth in &provider.auth {
            writeln!(out, "{}", way(provider, auth))?;
        }
    }
    writeln!(
        out,
        "\n## Other services\n\nTheir variables are shown by `openclaw models status`; nothing else here is about them.\n\n| Id | Name | Variables |\n|---|---|---|"
    )?;
    for provider in others {
        writeln!(out, "| `{}` | {} | {} |", provider.id, cell(&provider.label), code(&provider.env_vars))?;
    }
    writeln!(out, "\n## Other spellings\n\n| Written | Means |\n|---|---|")?;
    for (from, to) in &table.provider_id_aliases {
        writeln!(out, "| `{from}` | `{}` |", to.as_str().unwrap_or_default())?;
    }
    writeln!(out, "\nProviders that share the credentials of another:\n\n| Provider | Credentials of |\n|---|---|")?;
    for (from, to) in &table.auth_id_aliases {
        writeln!(out, "| `{from}` | `{}` |", to.as_str().unwrap_or_default())?;
    }
    Ok(out)
}

fn summary(out: &mut String, providers: &[&Provider]) -> Result<()> {
    writeln!(out, "| Id | Name | Variables | Default model | Formats | Endpoint |\n|---|---|---|---|---|---|")?;
    for provider in providers {
        let model = provider.default_model.iter().cloned().collect::<Vec<_>>();
        let url = provider.base_url.iter().cloned().collect::<Vec<_>>();
        writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            provider.id,
            cell(&provider.label),
            code(&provider.env_vars),
            code(&model),
            code(&provider.apis),
            code(&url)
        )?;
    }
    Ok(())
}

fn way(provider: &Provider, auth: &Auth) -> String {
    let kind = match auth.kind.as_str() {
        "api_key" => "API key",
        "token" => "token",
        "oauth" => "browser",
        "device_code" => "code",
        other => other,
    };
    let flag = auth.flag.iter().cloned().collect::<Vec<_>>();
    format!(
        "| `{}` | `{}`: {} | {kind} | {} | {} |",
        provider.id,
        auth.choice,
        cell(&auth.label),
        code(&flag),
        code(&auth.deprecated_choices)
    )
}

/// Words as code, with commas between.
fn code(words: &[String]) -> String {
    cell(&words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
