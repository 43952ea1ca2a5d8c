//! Where a probe is sent (spec 03 sections 4 and 5.1).

use super::plan::Unresolved;
use crate::config::{ProviderConfig, RequestAuth, SecretInput};
use crate::provider::{ProviderId, find, is_marker};
use crate::secret::Secret;
use crate::source::{RefState, Situation};

/// A place that answers requests, without the credential.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The wire protocol.
    pub api: String,
    /// The base URL.
    pub base_url: String,
    /// Configured headers.
    pub headers: Vec<(String, HeaderText)>,
    /// Whether the key goes into `Authorization` beside the header of the protocol.
    pub auth_header: bool,
    /// The field that limits the output, when it is not the usual one.
    pub max_tokens_field: Option<String>,
    /// Certificates in PEM that are trusted here beside the usual ones: `request.tls.ca`.
    pub ca: Option<Secret>,
    /// The account that the stored login was made for, when there is one.
    pub account_id: Option<String>,
}

/// The value of a configured header.
#[derive(Clone, Debug)]
pub enum HeaderText {
    /// As it stands in the config.
    Plain(String),
    /// A secret, with what stands before it.
    Secret {
        /// What stands before it.
        prefix: String,
        /// The secret.
        secret: Secret,
    },
}

/// A row of the table of small, current models, where no model is configured.
struct Usual {
    provider: &'static str,
    model: &'static str,
    api: &'static str,
    base_url: &'static str,
}

const fn usual(provider: &'static str, model: &'static str, api: &'static str, base_url: &'static str) -> Usual {
    Usual { provider, model, api, base_url }
}

const COMPLETIONS: &str = "openai-completions";
const MESSAGES: &str = "anthropic-messages";
const RESPONSES: &str = "openai-responses";

/// The endpoints of well-known providers, each with the model that is asked when none is configured.
const USUAL: &[Usual] = &[
    usual("anthropic", "claude-haiku-4-5", MESSAGES, "https://api.anthropic.com"),
    usual("openai", "gpt-5.4-mini", RESPONSES, "https://api.openai.com/v1"),
    usual("openai-codex", "gpt-5.4", "openai-codex-responses", "https://chatgpt.com/backend-api"),
    usual(
        "google",
        "gemini-3-flash-preview",
        "google-generative-ai",
        "https://generativelanguage.googleapis.com/v1beta",
    ),
    usual("github-copilot", "claude-haiku-4.5", "github-copilot", "https://api.individual.githubcopilot.com"),
    usual("openrouter", "openrouter/auto", COMPLETIONS, "https://openrouter.ai/api/v1"),
    usual("xai", "grok-4-fast-non-reasoning", RESPONSES, "https://api.x.ai/v1"),
    usual("groq", "llama-3.1-8b-instant", COMPLETIONS, "https://api.groq.com/openai/v1"),
    usual("mistral", "mistral-small-latest", COMPLETIONS, "https://api.mistral.ai/v1"),
    usual("cerebras", "gpt-oss-120b", COMPLETIONS, "https://api.cerebras.ai/v1"),
    usual("deepseek", "deepseek-chat", COMPLETIONS, "https://api.deepseek.com"),
    usual("moonshot", "kimi-k2.5", COMPLETIONS, "https://api.moonshot.ai/v1"),
    usual("kimi", "kimi-code", MESSAGES, "https://api.kimi.com/coding/"),
    usual("minimax", "MiniMax-M2.7", MESSAGES, "https://api.minimax.io/anthropic"),
    usual("minimax-portal", "MiniMax-M2.7", MESSAGES, "https://api.minimax.io/anthropic"),
    usual("zai", "glm-4.5-air", COMPLETIONS, "https://api.z.ai/api/coding/paas/v4"),
    usual("qwen", "qwen3.5-plus", COMPLETIONS, "https://coding-intl.dashscope.aliyuncs.com/v1"),
    usual("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", COMPLETIONS, "https://api.together.xyz/v1"),
    usual(
        "fireworks",
        "accounts/fireworks/routers/kimi-k2p5-turbo",
        COMPLETIONS,
        "https://api.fireworks.ai/inference/v1",
    ),
    usual("venice", "llama-3.3-70b", COMPLETIONS, "https://api.venice.ai/api/v1"),
    usual("synthetic", "hf:MiniMaxAI/MiniMax-M2.5", MESSAGES, "https://api.synthetic.new/anthropic"),
    usual("huggingface", "deepseek-ai/DeepSeek-R1", COMPLETIONS, "https://router.huggingface.co/v1"),
    usual("nvidia", "meta/llama-3.3-70b-instruct", COMPLETIONS, "https://integrate.api.nvidia.com/v1"),
    usual("chutes", "chutesai/Mistral-Small-3.1-24B-Instruct-2503", COMPLETIONS, "https://llm.chutes.ai/v1"),
    usual("opencode", "big-pickle", COMPLETIONS, "https://opencode.ai/zen/v1"),
    usual("opencode-go", "glm-5", COMPLETIONS, "https://opencode.ai/zen/go/v1"),
    usual("vercel-ai-gateway", "anthropic/claude-haiku-4.5", MESSAGES, "https://ai-gateway.vercel.sh"),
    usual("kilocode", "kilo/auto", COMPLETIONS, "https://api.kilo.ai/api/gateway/"),
    usual("qianfan", "deepseek-v3.2", COMPLETIONS, "https://qianfan.baidubce.com/v2"),
    usual("xiaomi", "mimo-v2-flash", COMPLETIONS, "https://api.xiaomimimo.com/v1"),
    usual("stepfun", "step-3.5-flash", COMPLETIONS, "https://api.stepfun.ai/v1"),
    usual("stepfun-plan", "step-3.5-flash", COMPLETIONS, "https://api.stepfun.ai/step_plan/v1"),
    usual("volcengine", "deepseek-v3-2-251201", COMPLETIONS, "https://ark.cn-beijing.volces.com/api/v3"),
    usual("volcengine-plan", "ark-code-latest", COMPLETIONS, "https://ark.cn-beijing.volces.com/api/coding/v3"),
    usual("byteplus", "glm-4-7-251222", COMPLETIONS, "https://ark.ap-southeast.bytepluses.com/api/v3"),
    usual("byteplus-plan", "ark-code-latest", COMPLETIONS, "https://ark.ap-southeast.bytepluses.com/api/coding/v3"),
    usual("amazon-bedrock", "global.anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock-converse-stream", ""),
];

fn usual_of(provider: &ProviderId) -> Option<&'static Usual> {
    USUAL.iter().find(|row| row.provider == provider.as_str())
}

/// The model of the table.
pub(super) fn usual_model(provider: &ProviderId) -> Option<&'static str> {
    usual_of(provider).map(|row| row.model)
}

/// The region of Bedrock, where nothing says otherwise.
const DEFAULT_REGION: &str = "us-east-1";

impl Endpoint {
    /// The endpoint that requests to a model go to; `None` when nothing says where the provider is.
    ///
    /// # Errors
    ///
    /// When a header or certificate of the config is a reference that does not resolve: why.
    pub fn resolve(provider: &ProviderId, model: &str, situation: &Situation<'_>) -> Result<Option<Self>, String> {
        let entry = situation.config.provider(provider);
        Self::of(provider, entry, Some(model), situation).map_err(|unresolved| {
            format!("could not resolve SecretRef \"{}\": {}", unresolved.reference, unresolved.why)
        })
    }

    /// The endpoint of a model: its own settings over the provider's, those over the usual ones. `None` when nothing
    /// says where the provider is.
    ///
    /// # Errors
    ///
    /// When a header is a reference that does not resolve.
    pub(super) fn of(
        provider: &ProviderId,
        entry: Option<&ProviderConfig>,
        model: Option<&str>,
        situation: &Situation<'_>,
    ) -> Result<Option<Self>, Unresolved> {
        let usual = usual_of(provider);
        let info = find(provider.as_str());
        let own = entry.and_then(|entry| entry.models.iter().find(|known| Some(known.id.as_str()) == model));
        let api = own
            .and_then(|own| own.api.clone())
            .or_else(|| entry?.api.clone())
            .or_else(|| usual.map(|row| row.api.to_owned()))
            .or_else(|| info?.apis.first().map(|api| (*api).to_owned()))
            .unwrap_or_else(|| RESPONSES.to_owned());
        let base_url = azure_url(&api, situation)
            .or_else(|| own?.base_url.clone())
            .or_else(|| entry?.base_url.clone())
            .or_else(|| usual.map(|row| row.base_url.to_owned()).filter(|url| !url.is_empty()))
            .or_else(|| bedrock_url(&api, situation))
            .or_else(|| info?.base_url.filter(|url| !url.contains('<')).map(str::to_owned));
        let Some(base_url) = base_url else { return Ok(None) };
        let mut headers = Vec::new();
        for (name, value) in entry.into_iter().flat_map(|entry| entry.headers.iter().chain(&entry.request_headers)) {
            headers.push((name.clone(), header(value, "", situation)?));
        }
        headers.extend(
            own.into_iter().flat_map(|own| &own.headers).map(|(n, v)| (n.clone(), HeaderText::Plain(v.clone()))),
        );
        match entry.and_then(|entry| entry.request_auth.as_ref()) {
            Some(RequestAuth::Bearer(token)) => {
                headers.push(("authorization".to_owned(), header(token, "Bearer ", situation)?));
            }
            Some(RequestAuth::Header { name, prefix, value }) => {
                headers.push((name.clone(), header(value, &spaced(prefix), situation)?));
            }
            None => {}
        }
        let configured = entry.and_then(|entry| entry.auth_header);
        Ok(Some(Self {
            api,
            base_url,
            headers,
            auth_header: configured.unwrap_or(matches!(provider.as_str(), "minimax" | "minimax-portal")),
            max_tokens_field: own.and_then(|own| own.max_tokens_field.clone()),
            ca: entry.and_then(|entry| entry.tls_ca.as_ref()).map(|ca| of_input(ca, situation)).transpose()?,
            account_id: None,
        }))
    }
}

/// The endpoint of Azure that variables name; it goes before the config's.
fn azure_url(api: &str, situation: &Situation<'_>) -> Option<String> {
    let variable = |name: &str| situation.environment.non_blank(name).map(str::trim);
    if api != "azure-openai-responses" {
        return None;
    }
    variable("AZURE_OPENAI_BASE_URL").map(str::to_owned).or_else(|| {
        variable("AZURE_OPENAI_RESOURCE_NAME").map(|name| format!("https://{name}.openai.azure.com/openai/v1"))
    })
}

/// The endpoint of Bedrock in the region that variables name.
fn bedrock_url(api: &str, situation: &Situation<'_>) -> Option<String> {
    let variable = |name: &str| situation.environment.non_blank(name).map(str::trim);
    let region = || variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")).unwrap_or(DEFAULT_REGION);
    (api == "bedrock-converse-stream").then(|| format!("https://bedrock-runtime.{}.amazonaws.com", region()))
}

/// A scheme word gets its blank; everything else stays as authored.
fn spaced(prefix: &str) -> String {
    let is_scheme = ["bearer", "basic", "token", "key", "apikey"].contains(&prefix.to_ascii_lowercase().as_str());
    if is_scheme { format!("{prefix} ") } else { prefix.to_owned() }
}

fn header(value: &SecretInput, prefix: &str, situation: &Situation<'_>) -> Result<HeaderText, Unresolved> {
    let secret = of_input(value, situation)?;
    let secret = secret.cleaned().unwrap_or(secret);
    // A placeholder is never sent.
    let secret = if is_marker(secret.reveal()) { Secret::new("") } else { secret };
    Ok(HeaderText::Secret { prefix: prefix.to_owned(), secret })
}

/// The value of a field that may be a reference, as it was given.
fn of_input(value: &SecretInput, situation: &Situation<'_>) -> Result<Secret, Unresolved> {
    let reference = match value {
        SecretInput::Plain(text) => return Ok(text.clone()),
        SecretInput::Reference(reference) => reference.clone(),
    };
    match situation.refs.get(&reference) {
        RefState::Resolved(secret) => Ok(secret.clone()),
        RefState::Unresolved(why) => Err(Unresolved { why: why.clone(), reference }),
        RefState::NotRun => Err(Unresolved { why: "its program was not run".to_owned(), reference }),
    }
}
