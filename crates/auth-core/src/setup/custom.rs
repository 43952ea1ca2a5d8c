//! A server that the user describes (spec 04 section 3.7).

use serde_json::{Map, Value, json};
use url::{Host, Url};

use super::changes::{apply_default_model, has_id, models_of, no_cost, provider_block};
use crate::config::Config;
use crate::config::edit::object_at;
use crate::provider::ProviderId;
use crate::secret::Secret;
use crate::secret_ref::SecretRef;

const CONTEXT_WINDOW: u64 = 16_000;
const MAX_TOKENS: u64 = 4096;
const AZURE_CONTEXT_WINDOW: u64 = 400_000;
const AZURE_MAX_TOKENS: u64 = 16_384;

/// What the options say.
#[derive(Clone, Copy, Debug, Default)]
pub struct CustomInput<'a> {
    /// `--custom-base-url`.
    pub base_url: Option<&'a str>,
    /// `--custom-model-id`.
    pub model: Option<&'a str>,
    /// `--custom-provider-id`.
    pub provider_id: Option<&'a str>,
    /// `--custom-compatibility`.
    pub compatibility: Option<&'a str>,
}

/// The key of a custom server as it is kept in the config.
#[derive(Clone, Debug)]
pub enum CustomKey {
    /// The text itself.
    Plain(Secret),
    /// A reference.
    Reference(SecretRef),
}

/// A custom server, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomProvider {
    /// The id in `models.providers`.
    pub id: String,
    /// The id that was asked for, when it stands for another server already.
    pub renamed_from: Option<String>,
    /// Its endpoint.
    pub base_url: String,
    /// Its wire protocol.
    pub api: &'static str,
    /// The model.
    pub model: String,
    is_azure: bool,
}

impl CustomProvider {
    /// Checks the options against the config.
    ///
    /// # Errors
    ///
    /// When something is missing or malformed.
    pub fn plan(input: CustomInput<'_>, config: &Config) -> Result<Self, String> {
        let given = |value: Option<&str>| value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (Some(base_url), Some(model)) = (given(input.base_url), given(input.model)) else {
            return Err("Auth choice \"custom-api-key\" requires a base URL and model ID.\nUse --custom-base-url and --custom-model-id.".to_owned());
        };
        let api = match given(input.compatibility).as_deref().map(str::to_lowercase).as_deref() {
            None | Some("openai") => "openai-completions",
            Some("anthropic") => "anthropic-messages",
            Some(_) => return Err("Invalid --custom-compatibility (use \"openai\" or \"anthropic\").".to_owned()),
        };
        let url = checked_base_url(&base_url)?;
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let is_azure = host.ends_with(".services.ai.azure.com") || host.ends_with(".openai.azure.com");
        let base_url = if is_azure { azure_base_url(&url) } else { base_url };
        let api = if host.ends_with(".openai.azure.com") { "azure-openai-responses" } else { api };
        let wanted = match given(input.provider_id) {
            // Names with a meaning of their own to programs in JavaScript that read the config.
            Some(id) => slug(&id)
                .filter(|id| !matches!(id.as_str(), "constructor" | "prototype"))
                .ok_or_else(|| invalid("Custom provider ID must include letters, numbers, or hyphens."))?,
            None => derived_id(&url),
        };
        let free = |id: &str| {
            config.provider(&ProviderId::normalise(id)).is_none_or(|known| {
                let known = known.base_url.as_deref().unwrap_or_default();
                let same_host = || Url::parse(known).is_ok_and(|known| known.host_str() == url.host_str());
                known == base_url || (is_azure && same_host())
            })
        };
        let mut id = wanted.clone();
        let mut number = 1;
        while !free(&id) {
            number += 1;
            id = format!("{wanted}-{number}");
        }
        let renamed_from = (id != wanted).then_some(wanted);
        Ok(Self { id, renamed_from, base_url, api, model, is_azure })
    }

    /// The reference of its model.
    pub fn model_reference(&self) -> String {
        format!("{}/{}", self.id, self.model)
    }

    /// Writes its block and makes its model the default one. Without a key the old one stays.
    ///
    /// # Errors
    ///
    /// When its id stands for another server by now: a key must not go to a server it was not given for.
    pub fn apply(&self, root: &mut Value, key: Option<&CustomKey>) -> Result<(), String> {
        let block = provider_block(root, &self.id);
        let known = block.get("baseUrl").and_then(Value::as_str).filter(|known| !known.contains("${"));
        if known.is_some_and(|known| !self.is_same_server(known)) {
            return Err(format!(
                "models.providers.{} was given another server meanwhile; run the command again",
                self.id
            ));
        }
        block.insert("baseUrl".to_owned(), Value::from(self.base_url.as_str()));
        block.insert("api".to_owned(), Value::from(self.api));
        if let Some(key) = key {
            let value = match key {
                CustomKey::Plain(secret) => Value::from(secret.reveal()),
                CustomKey::Reference(reference) => reference.to_value(),
            };
            if self.is_azure {
                let headers = block.entry("headers").or_insert_with(|| json!({}));
                if let Some(headers) = headers.as_object_mut() {
                    headers.insert("api-key".to_owned(), value.clone());
                }
            }
            block.insert("apiKey".to_owned(), value);
        }
        if self.is_azure {
            block.insert("authHeader".to_owned(), Value::from(false));
        }
        let entry = self.model_entry();
        let models = models_of(block);
        match models.iter_mut().find(|known| has_id(known, &self.model)).and_then(Value::as_object_mut) {
            Some(known) => merge(known, entry),
            None => models.push(Value::Object(entry)),
        }
        apply_default_model(root, &self.model_reference(), None);
        if self.is_azure && reasons(&self.model) {
            object_at(root, &["agents", "defaults", "models", &self.model_reference(), "params"])
                .entry("thinking")
                .or_insert_with(|| Value::from("medium"));
        }
        Ok(())
    }

    fn is_same_server(&self, known: &str) -> bool {
        let host = |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        known == self.base_url || (self.is_azure && host(known).is_some() && host(known) == host(&self.base_url))
    }

    fn model_entry(&self) -> Map<String, Value> {
        let (context, output) =
            if self.is_azure { (AZURE_CONTEXT_WINDOW, AZURE_MAX_TOKENS) } else { (CONTEXT_WINDOW, MAX_TOKENS) };
        let mut entry = Map::new();
        for (name, value) in [
            ("id", Value::from(self.model.as_str())),
            ("name", Value::from(format!("{} (Custom Provider)", self.model))),
            ("reasoning", Value::from(self.is_azure && reasons(&self.model))),
            ("input", json!(["text"])),
            ("cost", no_cost()),
            ("contextWindow", Value::from(context)),
            ("maxTokens", Value::from(output)),
        ] {
            entry.insert(name.to_owned(), value);
        }
        if self.is_azure {
            entry.insert("compat".to_owned(), json!({"supportsStore": false}));
        }
        entry
    }
}

/// Puts a new model entry over a known one; what its author chose stays.
fn merge(known: &mut Map<String, Value>, entry: Map<String, Value>) {
    for (name, value) in entry {
        let keep = match name.as_str() {
            "name" | "cost" | "maxTokens" => known.contains_key(&name),
            "contextWindow" => known.get(&name).and_then(Value::as_u64).is_some_and(|size| size >= CONTEXT_WINDOW),
            _ => false,
        };
        if !keep {
            known.insert(name, value);
        }
    }
}

fn invalid(why: &str) -> String {
    format!("Invalid custom provider config: {why}")
}

/// Reads the endpoint of a server that the user describes.
///
/// # Errors
///
/// When it is no http or https URL, carries a user or password, or has blanks or control characters in it.
pub fn checked_base_url(base_url: &str) -> Result<Url, String> {
    // The reader of URLs drops line breaks and tabs; the config would keep them.
    if base_url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(invalid("Custom provider base URL must be a valid URL."));
    }
    let url = Url::parse(base_url).map_err(|_| invalid("Custom provider base URL must be a valid URL."))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("Custom provider base URL must be a valid URL. It begins with http:// or https://."));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("Custom provider base URL must be a valid URL without a user or password in it."));
    }
    Ok(url)
}

/// Letters, digits and single hyphens; `None` when nothing is left.
fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for c in text.trim().to_lowercase().chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            slug.push(c);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

fn derived_id(url: &Url) -> String {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    let port = url.port().map(|port| format!("-{port}")).unwrap_or_default();
    slug(&format!("{host}{port}")).map_or_else(|| "custom".to_owned(), |slug| format!("custom-{slug}"))
}

/// The endpoint of an Azure resource, whatever part of it was given.
fn azure_base_url(url: &Url) -> String {
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/openai/v1").unwrap_or(path);
    let path = path.split("/openai/deployments/").next().unwrap_or_default();
    format!("{}{path}/openai/v1", url.origin().ascii_serialization())
}

/// Whether a model of Azure reasons: `o1`, `o3`, `o4`, and GPT from 5 on.
fn reasons(model: &str) -> bool {
    let model = model.to_lowercase();
    let generation = model.strip_prefix("gpt-").map(|rest| {
        rest.bytes()
            .take_while(u8::is_ascii_digit)
            .fold(0_u32, |n, b| n.saturating_mul(10).saturating_add(u32::from(b - b'0')))
    });
    ["o1", "o3", "o4"].iter().any(|name| model.starts_with(name)) || generation.is_some_and(|n| n >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(base_url: &str, provider_id: Option<&str>, config: &Value) -> Result<CustomProvider, String> {
        let input = CustomInput { base_url: Some(base_url), model: Some("m"), provider_id, compatibility: None };
        CustomProvider::plan(input, &Config::from_value(config))
    }

    #[test]
    fn ids_come_from_the_host() {
        for (url, id) in [
            ("http://127.0.0.1:11999/v1", "custom-127-0-0-1-11999"),
            ("https://LLM.example.com/v1", "custom-llm-example-com"),
            ("http://[::1]:8080", "custom-1-8080"),
            ("https://a.example:443", "custom-a-example"),
        ] {
            assert_eq!(plan(url, None, &json!({})).unwrap().id, id);
        }
        assert_eq!(plan("https://a.example", Some(" My  Lab! "), &json!({})).unwrap().id, "my-lab");
        let used =
            json!({"models": {"providers": {"lab": {"baseUrl": "https://b"}, "lab-2": {"baseUrl": "https://a"}}}});
        let planned = plan("https://a", Some("lab"), &used).unwrap();
        assert_eq!((planned.id.as_str(), planned.renamed_from.as_deref()), ("lab-2", Some("lab")));
        assert_eq!(plan("https://b", Some("lab"), &used).unwrap().renamed_from, None);
    }

    #[test]
    fn malformed_input_is_refused() {
        for (url, id, says) in [
            ("not a url", None, "must be a valid URL"),
            ("https://a/\nv1", None, "must be a valid URL"),
            ("https://a", Some("constructor"), "must include letters"),
            ("ftp://a.example", None, "http://"),
            ("https://me:pw@a.example", None, "user or password"),
            ("https://a.example", Some("!!!"), "must include letters"),
            (" ", None, "requires a base URL and model ID"),
        ] {
            let error = plan(url, id, &json!({})).unwrap_err();
            assert!(error.contains(says) && !error.contains("pw"), "{url}: {error}");
        }
        let input = CustomInput {
            base_url: Some("https://a"),
            model: Some("m"),
            provider_id: None,
            compatibility: Some("grpc"),
        };
        assert!(
            CustomProvider::plan(input, &Config::default()).unwrap_err().starts_with("Invalid --custom-compatibility")
        );
    }

    #[test]
    fn a_known_model_keeps_what_its_author_chose() {
        let mut root = json!({"models": {"providers": {"lab": {"baseUrl": "https://a", "apiKey": "sk-test-old",
            "models": [{"id": "m", "name": "Mine", "contextWindow": 32000, "maxTokens": 1, "extra": true}]}}}});
        let planned = plan("https://a", Some("lab"), &root).unwrap();
        planned.apply(&mut root, None).unwrap();
        root["models"]["providers"]["lab"]["baseUrl"] = json!("https://elsewhere");
        assert!(planned.apply(&mut root.clone(), None).is_err());
        root["models"]["providers"]["lab"]["baseUrl"] = json!("https://a");
        assert_eq!(
            root["models"]["providers"]["lab"],
            json!({"baseUrl": "https://a", "apiKey": "sk-test-old", "api": "openai-completions",
                "models": [{"id": "m", "name": "Mine", "contextWindow": 32000, "maxTokens": 1, "extra": true,
                    "reasoning": false, "input": ["text"], "cost": no_cost()}]})
        );
        assert_eq!(root["agents"]["defaults"]["model"], json!({"primary": "lab/m"}));
    }

    #[test]
    fn azure_has_rules_of_its_own() {
        for (url, base) in [
            ("https://r.openai.azure.com", "https://r.openai.azure.com/openai/v1"),
            ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1"),
            (
                "https://r.services.ai.azure.com/openai/deployments/x/chat?api-version=1",
                "https://r.services.ai.azure.com/openai/v1",
            ),
        ] {
            assert_eq!(plan(url, None, &json!({})).unwrap().base_url, base);
        }
        let input = CustomInput {
            base_url: Some("https://r.openai.azure.com"),
            model: Some("gpt-5-mini"),
            ..CustomInput::default()
        };
        let planned = CustomProvider::plan(input, &Config::default()).unwrap();
        let mut root = json!({});
        planned.apply(&mut root, Some(&CustomKey::Plain(Secret::new("sk-test-az")))).unwrap();
        let block = &root["models"]["providers"]["custom-r-openai-azure-com"];
        assert_eq!(block["api"], "azure-openai-responses");
        assert_eq!((&block["authHeader"], &block["headers"]["api-key"]), (&json!(false), &json!("sk-test-az")));
        assert_eq!(block["models"][0]["contextWindow"], 400_000);
        assert_eq!(block["models"][0]["reasoning"], true);
        assert_eq!(
            root["agents"]["defaults"]["models"]["custom-r-openai-azure-com/gpt-5-mini"]["params"]["thinking"],
            "medium"
        );
        assert!(reasons("o3-mini") && reasons("gpt-10") && !reasons("gpt-4o") && !reasons("llama"));
    }
}
