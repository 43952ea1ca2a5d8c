//! What a client of the Chat Completions API asks for (spec 07 section 12.3).

use auth_core::session::KnownModels;
use auth_core::{AgentId, Config};
use auth_probe::wire::{Message, Role};
use axum::http::HeaderMap;
use serde_json::Value;

use super::catalogue::agent_named;
use super::refusal::Refusal;
use crate::conversing::new_id;

/// The longest name of a session, in bytes.
const LONGEST_KEY: usize = 512;

/// A request, understood.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    /// `model` as it was written.
    pub(crate) model: String,
    pub(crate) agent: AgentId,
    /// The session; none for a request of its own.
    pub(crate) key: Option<String>,
    /// The system prompt, if there is one.
    pub(crate) system: String,
    /// The conversation; the last message is the user's.
    pub(crate) messages: Vec<Message>,
    pub(crate) streams: bool,
    pub(crate) max_tokens: Option<u32>,
    /// `x-openclaw-model`.
    pub(crate) own_model: Option<String>,
    /// `x-openclaw-auth-profile`.
    pub(crate) own_profile: Option<String>,
}

impl ChatRequest {
    /// Reads a request.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8], config: &Config) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::invalid(format!("Invalid JSON in the request body: {error}")))?;
        if !body.is_object() {
            return Err(Refusal::invalid("Invalid JSON in the request body: not an object"));
        }
        let (model, by_model) = match body.get("model") {
            None | Some(Value::Null) => ("openclaw".to_owned(), config.default_agent().0),
            Some(model) => {
                let model = model.as_str().unwrap_or_default();
                let agent = agent_named(model, config)
                    .ok_or_else(|| Refusal::invalid("Invalid `model`. Use `openclaw` or `openclaw/<agentId>`."))?;
                (model.to_owned(), agent)
            }
        };
        let header = |name: &str| -> Result<Option<String>, Refusal> {
            let Some(value) = headers.get(name) else { return Ok(None) };
            let text = value.to_str().map_err(|_| Refusal::invalid(format!("Invalid `{name}`.")))?.trim();
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        let named = match header("x-openclaw-agent-id")? {
            Some(named) => Some(named),
            None => header("x-openclaw-agent")?,
        };
        let key = header("x-openclaw-session-key")?;
        let by_key = key.as_deref().map(|key| agent_of_key(key, config)).transpose()?;
        let agent = match (named, by_key) {
            (Some(named), by_key) => {
                let agent = AgentId::normalise(&named);
                if by_key.is_some_and(|by_key| by_key != agent) {
                    return Err(Refusal::invalid("`x-openclaw-session-key` names another agent."));
                }
                agent
            }
            (None, Some(agent)) => agent,
            (None, None) => by_model,
        };
        if !config.known_agents().contains(&agent) {
            return Err(Refusal::invalid(format!("Unknown agent '{agent}'.")));
        }
        let user = body.get("user").and_then(Value::as_str).map(str::trim).filter(|user| !user.is_empty());
        if user.is_some_and(|user| user.len() > LONGEST_KEY || user.chars().any(char::is_control)) {
            return Err(Refusal::invalid(format!("Invalid `user`: one line of at most {LONGEST_KEY} bytes.")));
        }
        let key = key.or_else(|| user.map(|user| format!("agent:{agent}:openai-user:{user}")));
        let (system, messages) = conversation(body.get("messages"))?;
        let limit = body.get("max_completion_tokens").or_else(|| body.get("max_tokens")).and_then(Value::as_u64);
        Ok(Self {
            model,
            agent,
            key,
            system,
            messages,
            streams: body.get("stream") == Some(&Value::Bool(true)),
            max_tokens: limit.and_then(|limit| u32::try_from(limit).ok()).filter(|limit| *limit > 0),
            own_model: header("x-openclaw-model")?,
            own_profile: header("x-openclaw-auth-profile")?,
        })
    }

    /// The number that this request's answer has.
    pub(crate) fn new_number() -> String {
        format!("chatcmpl_{}", new_id())
    }
}

/// The agent of a session key: `agent:<known agent>:…`.
fn agent_of_key(key: &str, config: &Config) -> Result<AgentId, Refusal> {
    let invalid = || Refusal::invalid("Invalid `x-openclaw-session-key`. Use `agent:<agentId>:<name>`.");
    let rest = key.strip_prefix("agent:").ok_or_else(invalid)?;
    let (agent, name) = rest.split_once(':').ok_or_else(invalid)?;
    let id = AgentId::normalise(agent);
    let fits = id.as_str() == agent && !name.trim().is_empty() && key.len() <= LONGEST_KEY;
    if !fits || key.chars().any(char::is_control) || !config.known_agents().contains(&id) {
        return Err(invalid());
    }
    Ok(id)
}

/// A bare model id as a reference: a model that is known by this id, of the default model's provider if there are
/// several; else a model of that provider.
pub(crate) fn reference(model: &str, known: &KnownModels, config: &Config) -> String {
    if model.contains('/') || config.alias_target(model).is_some() {
        return model.to_owned();
    }
    let default = known.default.provider_id();
    let (id, pinned) = model.split_once('@').map_or((model, String::new()), |(id, pin)| (id, format!("@{pin}")));
    let mut fitting = known.all.iter().filter(|known| known.model.eq_ignore_ascii_case(id) && !id.is_empty());
    let first = fitting.clone().find(|known| known.provider_id() == default).or_else(|| fitting.next());
    match first {
        Some(found) => format!("{}{pinned}", found.key()),
        None => format!("{default}/{model}"),
    }
}

/// The system prompt and the messages. The last one is the user's, or what a tool said.
fn conversation(messages: Option<&Value>) -> Result<(String, Vec<Message>), Refusal> {
    let missing = || Refusal::invalid("Missing user message in `messages`.");
    let list = messages.and_then(Value::as_array).ok_or_else(missing)?;
    let mut system = Vec::new();
    let mut said: Vec<Message> = Vec::new();
    let mut last_of_user = 0;
    for message in list {
        let text = text_of(message.get("content"))?;
        let role = match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => {
                if !text.trim().is_empty() {
                    system.push(text);
                }
                continue;
            }
            Some("user" | "tool" | "function") => Role::User,
            Some("assistant") => Role::Assistant,
            _ => return Err(Refusal::invalid("Invalid role in `messages`.")),
        };
        if text.trim().is_empty() {
            continue;
        }
        said.push(Message { role, text });
        if role == Role::User {
            last_of_user = said.len();
        }
    }
    // What the assistant says after it is a beginning that it should go on with, which not every provider takes.
    said.truncate(last_of_user);
    if said.is_empty() {
        return Err(missing());
    }
    Ok((system.join("\n\n"), said))
}

fn text_of(content: Option<&Value>) -> Result<String, Refusal> {
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let text = |part: &Value| match part.get("type").and_then(Value::as_str) {
                Some("text" | "input_text") => {
                    Ok(part.get("text").and_then(Value::as_str).unwrap_or_default().to_owned())
                }
                _ => Err(Refusal::invalid("Only text parts are supported in `messages`.")),
            };
            Ok(parts.iter().map(text).collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        Some(_) => Err(Refusal::invalid("Invalid content in `messages`.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use serde_json::json;

    fn read(headers: &[(&'static str, &'static str)], body: &Value) -> Result<ChatRequest, String> {
        let config = Config::from_value(&json!({"agents": {"list": [{"id": "main"}, {"id": "ops"}]}}));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        ChatRequest::read(&map, body.to_string().as_bytes(), &config).map_err(|refusal| refusal.message)
    }

    #[test]
    fn agents_and_sessions_of_a_request() {
        let hi = json!([{"role": "user", "content": "hi"}]);
        let plain = read(&[], &json!({"messages": hi})).unwrap();
        assert_eq!((plain.model.as_str(), plain.agent.as_str(), plain.key), ("openclaw", "main", None));
        let user = read(&[], &json!({"model": "openclaw:ops", "user": " u ", "messages": hi})).unwrap();
        assert_eq!((user.agent.as_str(), user.key.as_deref()), ("ops", Some("agent:ops:openai-user:u")));
        let named = read(&[("x-openclaw-agent", "OPS")], &json!({"model": "openclaw", "messages": hi})).unwrap();
        assert_eq!(named.agent.as_str(), "ops");
        let key = read(&[("x-openclaw-session-key", "agent:ops:mine")], &json!({"user": "u", "messages": hi})).unwrap();
        assert_eq!((key.agent.as_str(), key.key.as_deref()), ("ops", Some("agent:ops:mine")));
        for bad in ["agent:nope:x", "main", "agent:ops:", "agent:OPS:x"] {
            let error = read(&[("x-openclaw-session-key", bad)], &json!({"messages": hi})).unwrap_err();
            assert!(error.starts_with("Invalid `x-openclaw-session-key`"), "{error}");
        }
        for bad in ["a\nb".to_owned(), "x".repeat(513)] {
            assert!(read(&[], &json!({"user": bad, "messages": hi})).unwrap_err().starts_with("Invalid `user`"));
        }
        assert!(
            read(&[("x-openclaw-agent-id", "nope")], &json!({"messages": hi})).unwrap_err().contains("Unknown agent")
        );
        assert!(read(&[], &json!({"model": "gpt-5", "messages": hi})).unwrap_err().starts_with("Invalid `model`"));
    }

    #[test]
    fn messages_are_put_in_order() {
        let request = read(
            &[],
            &json!({"max_tokens": 7, "stream": true, "messages": [
                {"role": "system", "content": "a"},
                {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "input_text", "text": "two"}]},
                {"role": "assistant", "content": null, "tool_calls": []},
                {"role": "assistant", "content": "three"},
                {"role": "developer", "content": "b"},
                {"role": "tool", "content": "four"},
                {"role": "assistant", "content": "five"},
            ]}),
        )
        .unwrap();
        assert_eq!((request.system.as_str(), request.max_tokens, request.streams), ("a\n\nb", Some(7), true));
        let said: Vec<&str> = request.messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(said, ["one\ntwo", "three", "four"]);
        for bad in [
            json!({"messages": []}),
            json!({}),
            json!({"messages": [{"role": "assistant", "content": "x"}]}),
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            json!({"messages": [{"role": "user", "content": 7}]}),
            json!({"messages": [{"role": "boss", "content": "x"}]}),
            json!([]),
        ] {
            assert!(read(&[], &bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bare_ids_name_known_models() {
        let config = Config::from_value(&json!({
            "agents": {"defaults": {"model": "b/m1"}},
            "models": {"providers": {"a": {"models": [{"id": "m2"}, {"id": "m3"}]}, "b": {"models": [{"id": "m2"}]}}},
        }));
        let known = KnownModels::of(&config, &AgentId::main());
        for (text, key) in [("m2", "b/m2"), ("m3@a:x", "a/m3@a:x"), ("a/m2", "a/m2"), ("zz", "b/zz")] {
            assert_eq!(reference(text, &known, &config), key);
        }
    }
}
