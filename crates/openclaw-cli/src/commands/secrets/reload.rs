//! `secrets reload`: only a gateway keeps resolved secrets.

use serde_json::json;

use crate::failure::Failure;
use crate::output::print_json;
use crate::secrets_args::Reload;

pub(super) fn run(options: &Reload) -> Result<u8, Failure> {
    let timeout = options.timeout.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if timeout.is_some_and(|text| !text.parse::<u64>().is_ok_and(|ms| ms > 0)) {
        return Err(Failure::new("--timeout must be a number of milliseconds above 0"));
    }
    let where_to = options
        .url
        .as_deref()
        .map_or_else(String::new, |url| format!(" at {}", auth_core::host_of(url).unwrap_or_default()));
    let message = format!(
        "No gateway was reached{where_to}. This program resolves references anew at every run, so there is nothing to reload."
    );
    if options.json {
        print_json(&json!({ "ok": false, "error": message }))?;
    }
    Err(Failure::new(message))
}
