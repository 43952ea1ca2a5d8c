//! The shape that the parts of the config which concern credentials must have (spec 01 section 3.4, spec 05 section 2).
//!
//! Everything else in the file is accepted, kept and not interpreted.

use serde_json::{Map, Value};

use super::ConfigPath;
use crate::secret_ref::{RefDefaults, SecretRef, is_env_id, is_provider_alias};

/// Something in the config that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigIssue {
    /// Where.
    pub path: ConfigPath,
    /// The offending member itself, for the place in the file: below `path` when a key is the fault.
    pub subject: ConfigPath,
    /// What is wrong. Never a value of the file.
    pub message: String,
    /// The fault is a key that does not belong there: without it the rest may be fine.
    pub is_unknown_key: bool,
}

/// Checks a config after includes and substitution; an empty list means valid.
pub fn validate(root: &Value) -> Vec<ConfigIssue> {
    let mut check = Check { issues: Vec::new() };
    let at = ConfigPath::default();
    let Some(top) = check.object(root, &at) else { return check.issues };
    let section = |name: &str| top.get(name).map(|value| (value, at.key(name)));
    if let Some((value, at)) = section("$schema") {
        check.string(value, &at);
    }
    if let Some((value, at)) = section("auth") {
        check.auth(value, &at);
    }
    if let Some((value, at)) = section("agents") {
        check.agents(value, &at);
    }
    if let Some((value, at)) = section("env") {
        check.env(value, &at);
    }
    if let Some((value, at)) = section("meta") {
        check.meta(value, &at);
    }
    if let Some((value, at)) = section("models") {
        check.models(value, &at);
    }
    if let Some((value, at)) = section("secrets") {
        check.secrets(value, &at);
    }
    check.issues
}

/// Bounds of a number.
#[derive(Clone, Copy)]
enum Number {
    Positive,
    Whole(f64, f64),
}

struct Check {
    issues: Vec<ConfigIssue>,
}

impl Check {
    fn report(&mut self, path: &ConfigPath, message: impl Into<String>) {
        let (path, subject) = (path.clone(), path.clone());
        self.issues.push(ConfigIssue { path, subject, message: message.into(), is_unknown_key: false });
    }

    fn object<'a>(&mut self, value: &'a Value, at: &ConfigPath) -> Option<&'a Map<String, Value>> {
        let found = value.as_object();
        if found.is_none() {
            self.report(at, format!("Invalid input: expected object, received {}", type_name(value)));
        }
        found
    }

    fn array<'a>(&mut self, value: &'a Value, at: &ConfigPath) -> Option<&'a Vec<Value>> {
        let found = value.as_array();
        if found.is_none() {
            self.report(at, format!("Invalid input: expected array, received {}", type_name(value)));
        }
        found
    }

    fn string(&mut self, value: &Value, at: &ConfigPath) {
        if !value.is_string() {
            self.report(at, format!("Invalid input: expected string, received {}", type_name(value)));
        }
    }

    fn boolean(&mut self, value: &Value, at: &ConfigPath) {
        if !value.is_boolean() {
            self.report(at, format!("Invalid input: expected boolean, received {}", type_name(value)));
        }
    }

    fn one_of(&mut self, value: &Value, words: &[&str], at: &ConfigPath) {
        if !value.as_str().is_some_and(|text| words.contains(&text)) {
            let allowed: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            self.report(at, format!("Invalid input (allowed: {})", allowed.join(", ")));
        }
    }

    fn number(&mut self, value: &Value, bounds: Number, at: &ConfigPath) {
        let n = value.as_f64();
        let (fits, wanted) = match bounds {
            Number::Positive => (n.is_some_and(|n| n.is_finite() && n > 0.0), "a number above 0".to_owned()),
            Number::Whole(min, max) => (
                n.is_some_and(|n| n.fract() == 0.0 && n >= min && n <= max),
                if max.is_finite() {
                    format!("a whole number from {min} to {max}")
                } else {
                    format!("a whole number, at least {min}")
                },
            ),
        };
        if !fits {
            self.report(at, format!("Invalid input: expected {wanted}"));
        }
    }

    fn strings(&mut self, value: &Value, at: &ConfigPath, accepts: impl Fn(&str) -> bool, wanted: &str, max: usize) {
        let Some(items) = self.array(value, at) else { return };
        if items.len() > max {
            self.report(at, format!("Too big: at most {max} items"));
        }
        for (i, item) in items.iter().enumerate() {
            if !item.as_str().is_some_and(&accepts) {
                self.report(&at.index(i), format!("Invalid input: expected {wanted}"));
            }
        }
    }

    fn no_other_keys(&mut self, object: &Map<String, Value>, known: &[&str], at: &ConfigPath) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let shown: String = key.chars().filter(|c| !c.is_control()).collect();
            let hint = nearest(&shown, known).map_or_else(String::new, |known| format!(" (did you mean \"{known}\"?)"));
            self.issues.push(ConfigIssue {
                path: at.clone(),
                subject: at.key(key),
                message: format!("Unrecognized key: \"{shown}\"{hint}"),
                is_unknown_key: true,
            });
        }
    }

    fn auth(&mut self, value: &Value, at: &ConfigPath) {
        let Some(auth) = self.object(value, at) else { return };
        self.no_other_keys(auth, &["profiles", "order", "cooldowns"], at);
        if let Some(value) = auth.get("profiles") {
            let at = at.key("profiles");
            for (id, value) in self.object(value, &at).into_iter().flatten() {
                self.auth_profile(value, &at.key(id));
            }
        }
        if let Some(value) = auth.get("order") {
            let at = at.key("order");
            for (provider, ids) in self.object(value, &at).into_iter().flatten() {
                self.strings(ids, &at.key(provider), |_| true, "string", usize::MAX);
            }
        }
        if let Some(value) = auth.get("cooldowns") {
            self.cooldowns(value, &at.key("cooldowns"));
        }
    }

    fn auth_profile(&mut self, value: &Value, at: &ConfigPath) {
        let Some(profile) = self.object(value, at) else { return };
        self.no_other_keys(profile, &["provider", "mode", "email", "displayName"], at);
        match profile.get("provider") {
            Some(provider) => self.string(provider, &at.key("provider")),
            None => self.report(&at.key("provider"), "Invalid input: expected string, received undefined"),
        }
        let mode = profile.get("mode").unwrap_or(&Value::Null);
        self.one_of(mode, &["api_key", "oauth", "token"], &at.key("mode"));
        for label in ["email", "displayName"] {
            if let Some(text) = profile.get(label) {
                self.string(text, &at.key(label));
            }
        }
    }

    fn cooldowns(&mut self, value: &Value, at: &ConfigPath) {
        const HOURS: &[&str] = &[
            "billingBackoffHours",
            "billingMaxHours",
            "authPermanentBackoffMinutes",
            "authPermanentMaxMinutes",
            "failureWindowHours",
        ];
        const COUNTS: &[&str] = &["overloadedProfileRotations", "overloadedBackoffMs", "rateLimitedProfileRotations"];
        let Some(cooldowns) = self.object(value, at) else { return };
        let known: Vec<&str> = [HOURS, COUNTS, &["billingBackoffHoursByProvider"]].concat();
        self.no_other_keys(cooldowns, &known, at);
        for (key, value) in cooldowns {
            let at = at.key(key);
            if HOURS.contains(&key.as_str()) {
                self.number(value, Number::Positive, &at);
            } else if COUNTS.contains(&key.as_str()) {
                self.number(value, Number::Whole(0.0, f64::INFINITY), &at);
            } else if key == "billingBackoffHoursByProvider" {
                for (provider, hours) in self.object(value, &at).into_iter().flatten() {
                    self.number(hours, Number::Positive, &at.key(provider));
                }
            }
        }
    }

    fn agents(&mut self, value: &Value, at: &ConfigPath) {
        let Some(agents) = self.object(value, at) else { return };
        if let Some(value) = agents.get("defaults") {
            let at = at.key("defaults");
            if let Some(defaults) = self.object(value, &at) {
                for key in ["model", "imageModel"] {
                    if let Some(model) = defaults.get(key) {
                        self.model_setting(model, &at.key(key));
                    }
                }
                if let Some(models) = defaults.get("models") {
                    self.allowed_models(models, &at.key("models"));
                }
            }
        }
        if let Some(value) = agents.get("list") {
            let at = at.key("list");
            for (i, entry) in self.array(value, &at).into_iter().flatten().enumerate() {
                let at = at.index(i);
                let Some(entry) = self.object(entry, &at) else { continue };
                for key in ["id", "agentDir"] {
                    if let Some(text) = entry.get(key) {
                        self.string(text, &at.key(key));
                    }
                }
                if let Some(default) = entry.get("default") {
                    self.boolean(default, &at.key("default"));
                }
                if let Some(model) = entry.get("model") {
                    self.model_setting(model, &at.key("model"));
                }
            }
        }
    }

    fn model_setting(&mut self, value: &Value, at: &ConfigPath) {
        if value.is_string() {
            return;
        }
        let Some(model) = value.as_object() else {
            self.report(at, format!("Invalid input: expected string or object, received {}", type_name(value)));
            return;
        };
        if let Some(primary) = model.get("primary") {
            self.string(primary, &at.key("primary"));
        }
        if let Some(fallbacks) = model.get("fallbacks") {
            self.strings(fallbacks, &at.key("fallbacks"), |_| true, "string", usize::MAX);
        }
    }

    fn allowed_models(&mut self, value: &Value, at: &ConfigPath) {
        for (key, entry) in self.object(value, at).into_iter().flatten() {
            let at = at.key(key);
            let Some(entry) = self.object(entry, &at) else { continue };
            if let Some(alias) = entry.get("alias") {
                self.string(alias, &at.key("alias"));
            }
        }
    }

    fn env(&mut self, value: &Value, at: &ConfigPath) {
        for (key, value) in self.object(value, at).into_iter().flatten() {
            let at = at.key(key);
            match key.as_str() {
                "vars" => {
                    for (name, value) in self.object(value, &at).into_iter().flatten() {
                        self.string(value, &at.key(name));
                    }
                }
                "shellEnv" => {
                    let Some(shell) = self.object(value, &at) else { continue };
                    self.no_other_keys(shell, &["enabled", "timeoutMs"], &at);
                    if let Some(enabled) = shell.get("enabled") {
                        self.boolean(enabled, &at.key("enabled"));
                    }
                    if let Some(timeout) = shell.get("timeoutMs") {
                        self.number(timeout, Number::Whole(0.0, f64::INFINITY), &at.key("timeoutMs"));
                    }
                }
                _ => self.string(value, &at),
            }
        }
    }

    fn meta(&mut self, value: &Value, at: &ConfigPath) {
        let Some(meta) = self.object(value, at) else { return };
        self.no_other_keys(meta, &["lastTouchedVersion", "lastTouchedAt"], at);
        if let Some(version) = meta.get("lastTouchedVersion") {
            self.string(version, &at.key("lastTouchedVersion"));
        }
        if let Some(time) = meta.get("lastTouchedAt").filter(|time| !time.is_string() && !time.is_number()) {
            self.report(
                &at.key("lastTouchedAt"),
                format!("Invalid input: expected string or number, received {}", type_name(time)),
            );
        }
    }

    fn models(&mut self, value: &Value, at: &ConfigPath) {
        let Some(models) = self.object(value, at) else { return };
        let Some(providers) = models.get("providers") else { return };
        let at = at.key("providers");
        for (id, provider) in self.object(providers, &at).into_iter().flatten() {
            self.provider(provider, &at.key(id));
        }
    }

    fn provider(&mut self, value: &Value, at: &ConfigPath) {
        let Some(provider) = self.object(value, at) else { return };
        for key in ["baseUrl", "api"] {
            if let Some(text) = provider.get(key) {
                self.string(text, &at.key(key));
            }
        }
        if let Some(auth) = provider.get("auth") {
            self.one_of(auth, &["api-key", "aws-sdk", "oauth", "token"], &at.key("auth"));
        }
        if let Some(header) = provider.get("authHeader") {
            self.boolean(header, &at.key("authHeader"));
        }
        if let Some(key) = provider.get("apiKey") {
            self.secret_input(key, &at.key("apiKey"));
        }
        if let Some(headers) = provider.get("headers") {
            let at = at.key("headers");
            for (name, value) in self.object(headers, &at).into_iter().flatten() {
                self.secret_input(value, &at.key(name));
            }
        }
        if let Some(request) = provider.get("request") {
            self.request(request, &at.key("request"));
        }
        if let Some(models) = provider.get("models") {
            let at = at.key("models");
            for (i, model) in self.array(models, &at).into_iter().flatten().enumerate() {
                let at = at.index(i);
                let Some(model) = self.object(model, &at) else { continue };
                match model.get("id") {
                    Some(id) => self.string(id, &at.key("id")),
                    None => self.report(&at.key("id"), "Invalid input: expected string, received undefined"),
                }
            }
        }
    }

    /// The secrets of a provider's `request` block; its other members are not ours.
    fn request(&mut self, value: &Value, at: &ConfigPath) {
        const TLS: &[&str] = &["ca", "cert", "key", "passphrase"];
        let Some(request) = self.object(value, at) else { return };
        if let Some(headers) = request.get("headers").and_then(Value::as_object) {
            for (name, value) in headers {
                self.secret_input(value, &at.key("headers").key(name));
            }
        }
        for (path, fields) in [(&["auth"][..], &["token", "value"][..]), (&["tls"], TLS), (&["proxy", "tls"], TLS)] {
            let block = path.iter().try_fold(value, |block, key| block.get(key));
            let at = path.iter().fold(at.clone(), |at, key| at.key(key));
            for field in fields {
                if let Some(value) = block.and_then(|block| block.get(field)) {
                    self.secret_input(value, &at.key(field));
                }
            }
        }
    }

    /// A string, or a reference with exactly its three members (spec 05 section 1.1, the strict level).
    fn secret_input(&mut self, value: &Value, at: &ConfigPath) {
        if value.is_string() {
            return;
        }
        let Some(object) = value.as_object() else {
            self.report(
                at,
                format!("Invalid input: expected string or secret reference, received {}", type_name(value)),
            );
            return;
        };
        self.no_other_keys(object, &["source", "provider", "id"], at);
        let Some(reference) =
            SecretRef::coerce(value, &RefDefaults::default()).filter(|_| object.contains_key("provider"))
        else {
            self.report(at, "Invalid secret reference: needs \"source\" (env, file or exec), \"provider\" and \"id\"");
            return;
        };
        if !is_provider_alias(&reference.provider) {
            self.report(&at.key("provider"), "Secret reference provider must match ^[a-z][a-z0-9_-]{0,63}$");
        }
        if let Some(fault) = reference.id_fault() {
            self.report(&at.key("id"), fault);
        }
    }

    fn secrets(&mut self, value: &Value, at: &ConfigPath) {
        let Some(secrets) = self.object(value, at) else { return };
        self.no_other_keys(secrets, &["providers", "defaults", "resolution"], at);
        if let Some(providers) = secrets.get("providers") {
            let at = at.key("providers");
            for (alias, provider) in self.object(providers, &at).into_iter().flatten() {
                self.secret_provider(provider, &at.key(alias));
            }
        }
        if let Some(value) = secrets.get("defaults") {
            let at = at.key("defaults");
            if let Some(defaults) = self.object(value, &at) {
                self.no_other_keys(defaults, &["env", "file", "exec"], &at);
                for (source, alias) in defaults {
                    if !alias.as_str().is_some_and(is_provider_alias) {
                        self.report(
                            &at.key(source),
                            "Invalid input: expected an alias matching ^[a-z][a-z0-9_-]{0,63}$",
                        );
                    }
                }
            }
        }
        if let Some(value) = secrets.get("resolution") {
            let at = at.key("resolution");
            if let Some(resolution) = self.object(value, &at) {
                let limits =
                    [("maxProviderConcurrency", 16.0), ("maxRefsPerProvider", 4096.0), ("maxBatchBytes", 5_242_880.0)];
                self.no_other_keys(resolution, &limits.map(|(name, _)| name), &at);
                self.limits(resolution, &limits, &at);
            }
        }
    }

    fn limits(&mut self, object: &Map<String, Value>, limits: &[(&str, f64)], at: &ConfigPath) {
        for (name, max) in limits {
            if let Some(value) = object.get(*name) {
                self.number(value, Number::Whole(1.0, *max), &at.key(name));
            }
        }
    }

    fn secret_provider(&mut self, value: &Value, at: &ConfigPath) {
        const MAX_MS: f64 = 120_000.0;
        const MAX_BYTES: f64 = 20_971_520.0;
        let Some(provider) = self.object(value, at) else { return };
        match provider.get("source").and_then(Value::as_str) {
            Some("env") => {
                self.no_other_keys(provider, &["source", "allowlist"], at);
                if let Some(list) = provider.get("allowlist") {
                    self.strings(list, &at.key("allowlist"), is_env_id, "an environment variable name", 256);
                }
            }
            Some("file") => {
                let known = ["source", "path", "mode", "timeoutMs", "maxBytes", "allowInsecurePath"];
                self.no_other_keys(provider, &known, at);
                if provider.get("path").and_then(Value::as_str).is_none_or(str::is_empty) {
                    self.report(&at.key("path"), "Invalid input: expected a path");
                }
                if let Some(mode) = provider.get("mode") {
                    self.one_of(mode, &["json", "singleValue"], &at.key("mode"));
                }
                self.limits(provider, &[("timeoutMs", MAX_MS), ("maxBytes", MAX_BYTES)], at);
                if let Some(flag) = provider.get("allowInsecurePath") {
                    self.boolean(flag, &at.key("allowInsecurePath"));
                }
            }
            Some("exec") => self.exec_provider(provider, at),
            _ => {
                let source = provider.get("source").unwrap_or(&Value::Null);
                self.one_of(source, &["env", "file", "exec"], &at.key("source"));
            }
        }
    }

    fn exec_provider(&mut self, provider: &Map<String, Value>, at: &ConfigPath) {
        let known = [
            "source",
            "command",
            "args",
            "timeoutMs",
            "noOutputTimeoutMs",
            "maxOutputBytes",
            "jsonOnly",
            "env",
            "passEnv",
            "trustedDirs",
            "allowInsecurePath",
            "allowSymlinkCommand",
        ];
        self.no_other_keys(provider, &known, at);
        let safe = |path: &str| {
            is_absolute(path) && !path.contains(['\0', '\r', '\n', ';', '&', '|', '`', '$', '<', '>', '"', '\''])
        };
        if !provider.get("command").and_then(Value::as_str).is_some_and(safe) {
            self.report(&at.key("command"), "Invalid input: expected an absolute path without shell characters");
        }
        if let Some(args) = provider.get("args") {
            self.strings(
                args,
                &at.key("args"),
                |arg| arg.chars().count() <= 1024,
                "a string of at most 1024 characters",
                128,
            );
        }
        let limits = [("timeoutMs", 120_000.0), ("noOutputTimeoutMs", 120_000.0), ("maxOutputBytes", 20_971_520.0)];
        self.limits(provider, &limits, at);
        for flag in ["jsonOnly", "allowInsecurePath", "allowSymlinkCommand"] {
            if let Some(value) = provider.get(flag) {
                self.boolean(value, &at.key(flag));
            }
        }
        if let Some(env) = provider.get("env") {
            let at = at.key("env");
            for (name, value) in self.object(env, &at).into_iter().flatten() {
                self.string(value, &at.key(name));
            }
        }
        if let Some(names) = provider.get("passEnv") {
            self.strings(names, &at.key("passEnv"), is_env_id, "an environment variable name", 128);
        }
        if let Some(dirs) = provider.get("trustedDirs") {
            self.strings(dirs, &at.key("trustedDirs"), is_absolute, "an absolute path", 64);
        }
    }
}

fn is_absolute(path: &str) -> bool {
    let mut chars = path.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.next() == Some(':')
        && matches!(chars.next(), Some('\\' | '/'));
    path.starts_with('/') || path.starts_with("\\\\") || drive
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The known key that a misspelt one most resembles: the same but for case and separators, or one letter off.
fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let bare = |key: &str| key.to_lowercase().replace(['_', '-'], "");
    let written = bare(written);
    known.iter().copied().find(|key| {
        let key = bare(key);
        key == written || (key.len() > 3 && within_one_edit(&key, &written))
    })
}

fn within_one_edit(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    a.len() - head - tail <= 1 && b.len() - head - tail <= 1
}

#[cfg(test)]
mod tests;
