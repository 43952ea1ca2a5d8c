//! `GET /v1/models`: the agents, as models (spec 07 section 12.2).

use auth_core::{AgentId, Config};
use serde_json::{Value, json};

use super::refusal::Refusal;

/// The names under which the agents can be asked.
fn names(config: &Config) -> Vec<String> {
    let default = config.default_agent().0;
    let mut names = vec!["openclaw".to_owned(), "openclaw/default".to_owned(), format!("openclaw/{default}")];
    for agent in config.known_agents() {
        let name = format!("openclaw/{agent}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn entry(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": "openclaw", "permission": []})
}

/// The whole list.
pub(crate) fn list(config: &Config) -> Value {
    let data: Vec<Value> = names(config).iter().map(|name| entry(name)).collect();
    json!({"object": "list", "data": data})
}

/// One of them; `encoded` is what stands in the address.
pub(crate) fn one(config: &Config, encoded: &str) -> Result<Value, Refusal> {
    let invalid = || Refusal::invalid("Invalid model id.");
    let id = decoded(encoded).ok_or_else(invalid)?;
    agent_named(&id, config).ok_or_else(invalid)?;
    if names(config).contains(&id) {
        return Ok(entry(&id));
    }
    Err(Refusal::new(404, "not_found", format!("Model '{id}' not found.")))
}

/// The agent that a model names; none for a model that names none. The agent need not exist.
pub(crate) fn agent_named(model: &str, config: &Config) -> Option<AgentId> {
    let model = model.trim();
    if matches!(model, "openclaw" | "openclaw/default") {
        return Some(config.default_agent().0);
    }
    let name = ["openclaw/", "openclaw:", "agent:"].iter().find_map(|prefix| model.strip_prefix(prefix))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let fits = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
    fits.then(|| AgentId::normalise(name))
}

/// Undoes the percent-encoding of a part of an address.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_models() {
        let config = Config::from_value(&json!({"agents": {"list": [{"id": "ops"}, {"id": "Home", "default": true}]}}));
        let ids: Vec<String> = names(&config);
        assert_eq!(ids, ["openclaw", "openclaw/default", "openclaw/home", "openclaw/ops"]);
        assert_eq!(one(&config, "openclaw%2Fops").unwrap()["id"], "openclaw/ops");
        assert_eq!(one(&config, "openclaw/zz").unwrap_err().status, 404);
        for bad in ["gpt-5", "openclaw/", "openclaw/%zz", "openclaw/a%0ab", "openclaw/a/b"] {
            assert_eq!(one(&config, bad).unwrap_err().message, "Invalid model id.", "{bad}");
        }
        assert_eq!(agent_named("agent:OPS", &config), Some(AgentId::normalise("ops")));
        assert_eq!(agent_named("openclaw:x", &config), Some(AgentId::normalise("x")));
        assert_eq!(agent_named("anthropic/claude", &config), None);
    }
}
