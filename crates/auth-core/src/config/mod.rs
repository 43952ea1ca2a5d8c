//! What the auth commands read from `openclaw.json`: checked, then typed (spec 01 sections 3 and 3.4).

pub mod edit;
mod gateway;
mod schema;
mod template;
mod view;

pub use gateway::GatewaySettings;
pub use schema::{ConfigIssue, validate};
pub(crate) use template::without_escapes;
pub use template::{MissingVariable, apply_env_block, env_block, holds_template, substitute, template_names};
pub use view::{
    AgentEntry, AgentId, AllowedModel, Config, ConfigProfile, ModelSetting, ProviderConfig, ProviderModel, RequestAuth,
    SecretInput, ShellEnvSetting,
};

/// A place in the config: object keys and array indexes from the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigPath(Vec<PathPart>);

/// One step of a [`ConfigPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// A member of an object.
    Key(String),
    /// An element of an array.
    Index(usize),
}

impl ConfigPath {
    /// The path of a member below this one.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(PathPart::Key(key.to_owned()))
    }

    /// The path of an element below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(PathPart::Index(index))
    }

    /// The steps from the root.
    pub fn parts(&self) -> &[PathPart] {
        &self.0
    }

    fn with(&self, part: PathPart) -> Self {
        let mut parts = self.0.clone();
        parts.push(part);
        Self(parts)
    }
}

impl std::fmt::Display for ConfigPath {
    /// Dotted, with control characters left out; `<root>` for the document itself.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("<root>");
        }
        for (at, part) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            match part {
                PathPart::Key(key) => key.chars().filter(|c| !c.is_control()).try_for_each(|c| write!(f, "{c}"))?,
                PathPart::Index(index) => write!(f, "{index}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_with_dots_and_indexes() {
        let root = ConfigPath::default();
        let agents = root.key("agents").key("list");
        for (path, text) in [
            (root.clone(), "<root>"),
            (agents.clone(), "agents.list"),
            (agents.index(1).key("id"), "agents.list.1.id"),
            (root.index(0), "0"),
            (root.key("a\u{1b}[2J\nb").key("c"), "a[2Jb.c"),
        ] {
            assert_eq!(path.to_string(), text);
        }
        let parts = [PathPart::Key("agents".to_owned()), PathPart::Key("list".to_owned()), PathPart::Index(7)];
        assert_eq!(agents.index(7).parts(), parts);
        // Going down from a place leaves the place as it is.
        assert_eq!(agents.parts().len(), 2);
    }
}
