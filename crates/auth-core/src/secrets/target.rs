//! Where a reference to a model credential may stand (spec 05 section 8).

use serde_json::Value;

/// Which file a place is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetFile {
    /// `openclaw.json`.
    Config,
    /// `auth-profiles.json`.
    Profiles,
}

/// A kind of place.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Its id in the registry.
    pub id: &'static str,
    /// The word in a plan; the id is accepted too.
    pub plan_type: &'static str,
    /// Its path; `*` is any member.
    pub path: &'static [&'static str],
    /// Which file it is in.
    pub file: TargetFile,
}

macro_rules! of_providers {
    ($($id:literal, $plan_type:literal, [$($step:literal),*];)*) => {
        [$(Target { id: $id, plan_type: $plan_type, path: &["models", "providers", "*", $($step),*], file: TargetFile::Config }),*]
    };
}

/// The places in the config, in registry order.
static CONFIG_TARGETS: [Target; 13] = of_providers! {
    "models.providers.*.apiKey", "models.providers.apiKey", ["apiKey"];
    "models.providers.*.headers.*", "models.providers.headers", ["headers", "*"];
    "models.providers.*.request.headers.*", "models.providers.request.headers", ["request", "headers", "*"];
    "models.providers.*.request.auth.token", "models.providers.request.auth.token", ["request", "auth", "token"];
    "models.providers.*.request.auth.value", "models.providers.request.auth.value", ["request", "auth", "value"];
    "models.providers.*.request.tls.ca", "models.providers.request.tls.ca", ["request", "tls", "ca"];
    "models.providers.*.request.tls.cert", "models.providers.request.tls.cert", ["request", "tls", "cert"];
    "models.providers.*.request.tls.key", "models.providers.request.tls.key", ["request", "tls", "key"];
    "models.providers.*.request.tls.passphrase", "models.providers.request.tls.passphrase", ["request", "tls", "passphrase"];
    "models.providers.*.request.proxy.tls.ca", "models.providers.request.proxy.tls.ca", ["request", "proxy", "tls", "ca"];
    "models.providers.*.request.proxy.tls.cert", "models.providers.request.proxy.tls.cert", ["request", "proxy", "tls", "cert"];
    "models.providers.*.request.proxy.tls.key", "models.providers.request.proxy.tls.key", ["request", "proxy", "tls", "key"];
    "models.providers.*.request.proxy.tls.passphrase", "models.providers.request.proxy.tls.passphrase", ["request", "proxy", "tls", "passphrase"];
};

/// The places in the credential stores.
static PROFILE_TARGETS: [Target; 2] = [
    Target {
        id: "auth-profiles.api_key.key",
        plan_type: "auth-profiles.api_key.key",
        path: &["profiles", "*", "key"],
        file: TargetFile::Profiles,
    },
    Target {
        id: "auth-profiles.token.token",
        plan_type: "auth-profiles.token.token",
        path: &["profiles", "*", "token"],
        file: TargetFile::Profiles,
    },
];

/// Places of the config that hold secrets of other parts of OpenClaw: never resolved or changed here. A `[]` stands for
/// any element.
const OTHER_PATHS: &[&str] = &[
    "skills.entries.*.apiKey",
    "agents.defaults.memorySearch.remote.apiKey",
    "agents.list.[].memorySearch.remote.apiKey",
    "talk.providers.*.apiKey",
    "messages.tts.providers.*.apiKey",
    "tools.web.search.apiKey",
    "plugins.entries.brave.config.webSearch.apiKey",
    "plugins.entries.google.config.webSearch.apiKey",
    "plugins.entries.xai.config.webSearch.apiKey",
    "plugins.entries.moonshot.config.webSearch.apiKey",
    "plugins.entries.perplexity.config.webSearch.apiKey",
    "plugins.entries.firecrawl.config.webSearch.apiKey",
    "plugins.entries.tavily.config.webSearch.apiKey",
    "plugins.entries.minimax.config.webSearch.apiKey",
    "plugins.entries.firecrawl.config.webFetch.apiKey",
    "gateway.auth.token",
    "gateway.auth.password",
    "gateway.remote.token",
    "gateway.remote.password",
    "cron.webhookToken",
];
/// Names of the secrets of channels.
const CHANNEL_FIELDS: &[&str] = &[
    "token",
    "botToken",
    "appToken",
    "userToken",
    "password",
    "signingSecret",
    "webhookSecret",
    "appSecret",
    "encryptKey",
    "verificationToken",
    "accessToken",
    "clientSecret",
    "serviceAccount",
    "appPassword",
    "privateKey",
];

impl Target {
    /// Whether a path leads to such a place.
    pub fn matches<S: AsRef<str>>(&self, path: &[S]) -> bool {
        self.path.len() == path.len()
            && self.path.iter().zip(path).all(|(step, key)| *step == "*" || *step == key.as_ref())
    }

    /// Whether the place is the key of a provider: what makes its other credentials superfluous.
    pub fn is_provider_key(&self) -> bool {
        self.id == "models.providers.*.apiKey"
    }

    /// Whether only headers with a telling name count as secrets there.
    pub fn is_plain_header(&self) -> bool {
        self.id == "models.providers.*.headers.*"
    }
}

/// What a plan calls a kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeName {
    /// A model credential.
    Ours(&'static Target),
    /// Some other secret of OpenClaw.
    Other,
    /// Nothing known.
    Unknown,
}

/// The kind of place that a plan names by its type or its id.
pub(crate) fn type_named(name: &str) -> TypeName {
    let ours =
        CONFIG_TARGETS.iter().chain(&PROFILE_TARGETS).find(|target| target.plan_type == name || target.id == name);
    let bare = |path: &str| path.replace(".[]", "").replace("[]", "").replace(".*", "");
    let is_other =
        || name.starts_with("channels.") || OTHER_PATHS.iter().any(|path| *path == name || bare(path) == bare(name));
    match ours {
        Some(target) => TypeName::Ours(target),
        None if is_other() => TypeName::Other,
        None => TypeName::Unknown,
    }
}

/// The kind of place in the config that a path leads to.
pub fn target_of<S: AsRef<str>>(path: &[S]) -> Option<&'static Target> {
    CONFIG_TARGETS.iter().find(|target| target.matches(path))
}

/// Whether a config path holds a secret or a reference to one.
pub fn is_config_target<S: AsRef<str>>(path: &[S]) -> bool {
    path.first().is_some_and(|first| first.as_ref() == "models") && target_of(path).is_some()
}

/// A value at one of the places.
#[derive(Clone, Debug)]
pub struct ConfigSecret<'a> {
    /// The kind of place.
    pub target: &'static Target,
    /// Its path.
    pub path: Vec<&'a str>,
    /// The provider as the config writes it.
    pub provider: &'a str,
    /// What stands there.
    pub value: &'a Value,
}

impl ConfigSecret<'_> {
    /// The path, dotted.
    pub fn dotted(&self) -> String {
        self.path.join(".")
    }
}

/// The values at all places of a config: kind by kind, providers in file order.
pub fn config_secrets(root: &Value) -> Vec<ConfigSecret<'_>> {
    let mut found = Vec::new();
    for target in &CONFIG_TARGETS {
        walk(root, target.path, &mut Vec::new(), &mut |path, value| {
            found.push(ConfigSecret {
                target,
                path: path.to_vec(),
                provider: path.get(2).copied().unwrap_or_default(),
                value,
            });
        });
    }
    found
}

/// How many secrets of other parts of OpenClaw a config holds, as references or as text.
pub fn other_secrets(root: &Value) -> usize {
    let mut count = 0;
    let mut add = |value: &Value| {
        let is_text = value.as_str().is_some_and(|text| !text.trim().is_empty());
        count += usize::from(is_text || value.get("source").is_some());
    };
    for path in OTHER_PATHS {
        let steps: Vec<&str> = path.split('.').collect();
        walk(root, &steps, &mut Vec::new(), &mut |_, value| add(value));
    }
    for field in CHANNEL_FIELDS {
        for steps in [&["channels", "*", field][..], &["channels", "*", "accounts", "*", field]] {
            walk(root, steps, &mut Vec::new(), &mut |_, value| add(value));
        }
    }
    count
}

fn walk<'a>(value: &'a Value, steps: &[&str], path: &mut Vec<&'a str>, found: &mut impl FnMut(&[&'a str], &'a Value)) {
    let Some((step, rest)) = steps.split_first() else { return found(path, value) };
    match (*step, value) {
        ("[]", Value::Array(items)) => items.iter().for_each(|item| walk(item, rest, path, found)),
        ("*", Value::Object(members)) => {
            for (key, member) in members {
                path.push(key);
                walk(member, rest, path, found);
                path.pop();
            }
        }
        (key, Value::Object(members)) => {
            if let Some((key, member)) = members.get_key_value(key) {
                path.push(key);
                walk(member, rest, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Whether a header of this name usually carries a secret (spec 05 section 10.1).
pub fn is_sensitive_header(name: &str) -> bool {
    const EXACT: &[&str] = &[
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "apikey",
        "x-auth-token",
        "auth-token",
        "x-access-token",
        "access-token",
        "x-secret-key",
        "secret-key",
    ];
    const PARTS: &[&str] = &["api-key", "apikey", "token", "secret", "password", "credential"];
    let name = name.trim().to_lowercase();
    EXACT.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_found_kind_by_kind() {
        let config = json!({"models": {"providers": {
            "b": {"apiKey": "1", "headers": {"X": "2"}, "request": {"auth": {"value": "3"}, "proxy": {"tls": {"ca": "4"}}}},
            "a": {"apiKey": {"source": "env", "id": "X"}, "models": [{"headers": {"X": "5"}}]}}}});
        let paths: Vec<String> = config_secrets(&config).iter().map(ConfigSecret::dotted).collect();
        assert_eq!(
            paths,
            [
                "models.providers.b.apiKey",
                "models.providers.a.apiKey",
                "models.providers.b.headers.X",
                "models.providers.b.request.auth.value",
                "models.providers.b.request.proxy.tls.ca"
            ]
        );
        assert!(
            is_config_target(&["models", "providers", "x.y", "apiKey"])
                && !is_config_target(&["gateway", "auth", "token"])
        );
        for path in
            [&["models", "mode"][..], &["models", "providers", "x", "apiKey", "id"], &["models", "providers", "x"]]
        {
            assert!(!is_config_target(path) && target_of(path).is_none(), "{path:?}");
        }
    }

    #[test]
    fn kinds_of_places_have_their_own_rules() {
        for (path, is_key, is_header) in [
            (&["models", "providers", "x", "apiKey"][..], true, false),
            (&["models", "providers", "x", "headers", "apiKey"], false, true),
            (&["models", "providers", "x", "request", "headers", "X"], false, false),
            (&["models", "providers", "x", "request", "auth", "token"], false, false),
        ] {
            let target = target_of(path).unwrap();
            assert_eq!((target.is_provider_key(), target.is_plain_header()), (is_key, is_header), "{path:?}");
        }
    }

    #[test]
    fn other_secrets_are_counted() {
        let config = json!({"gateway": {"auth": {"mode": "token", "token": "t", "password": " "}},
            "agents": {"list": [{"memorySearch": {"remote": {"apiKey": {"source": "env", "provider": "default", "id": "A"}}}}]},
            "channels": {"telegram": {"botToken": "x", "accounts": {"a": {"botToken": "y"}}}}, "skills": {"entries": {"s": {"apiKey": 7}}}});
        assert_eq!(other_secrets(&config), 4);
    }

    #[test]
    fn types_have_two_names() {
        let ours = |name: &str| matches!(type_named(name), TypeName::Ours(target) if target.is_provider_key());
        assert!(ours("models.providers.apiKey") && ours("models.providers.*.apiKey"));
        for name in [
            "gateway.auth.token",
            "skills.entries.apiKey",
            "channels.telegram.botToken",
            "agents.list[].memorySearch.remote.apiKey",
        ] {
            assert_eq!(type_named(name), TypeName::Other, "{name}");
        }
        assert_eq!(type_named("nonsense"), TypeName::Unknown);
    }

    #[test]
    fn header_names_tell() {
        for (name, is) in [
            (" X-API-Key", true),
            ("X-My-Token", true),
            ("Authorization", true),
            ("X-Trace", false),
            ("User-Agent", false),
        ] {
            assert_eq!(is_sensitive_header(name), is, "{name}");
        }
    }
}
