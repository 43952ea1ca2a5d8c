//! Variables in the config: the `env` block and `${NAME}` (spec 01 sections 2.5 and 3.3).

use serde_json::Value;

use super::{ConfigPath, PathPart};
use crate::dotenv::{is_dangerous_name, is_variable_name};
use crate::environment::{EmptyValue, EnvOrigin, Environment};
use crate::secret_ref::{RefDefaults, SecretRef};
use crate::secrets::is_config_target;

/// A `${NAME}` whose variable is unset or empty; its text stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingVariable {
    /// The variable.
    pub name: String,
    /// Where it is used.
    pub path: ConfigPath,
}

/// Replaces `${NAME}` in every string value; `$${NAME}` gives the literal `${NAME}`. Keys are left alone.
///
/// On secret fields (spec 05 section 1.4) a string that is nothing but `${NAME}` becomes the reference that it stands
/// for, so that afterwards every string there is a literal.
pub fn substitute(root: &mut Value, env: &Environment) -> Vec<MissingVariable> {
    let alias = root.pointer("/secrets/defaults/env").and_then(Value::as_str).map(str::to_owned);
    let defaults = RefDefaults { env: alias, ..RefDefaults::default() };
    let mut missing = Vec::new();
    walk(root, &ConfigPath::default(), env, &defaults, &mut missing);
    missing
}

fn walk(
    value: &mut Value,
    path: &ConfigPath,
    env: &Environment,
    defaults: &RefDefaults,
    missing: &mut Vec<MissingVariable>,
) {
    match value {
        Value::String(text) if text.contains("${") => {
            if is_secret_field(path)
                && let Some(reference) = SecretRef::from_template(text, defaults)
            {
                *value = reference.to_value();
                return;
            }
            let (replaced, names) = expand(text, env);
            missing.extend(names.into_iter().map(|name| MissingVariable { name, path: path.clone() }));
            *text = replaced;
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                walk(item, &path.index(i), env, defaults, missing);
            }
        }
        Value::Object(members) => {
            for (key, item) in members.iter_mut() {
                walk(item, &path.key(key), env, defaults, missing);
            }
        }
        _ => {}
    }
}

/// Whether the field holds a secret or a reference to one: an API key or a header of a provider.
fn is_secret_field(path: &ConfigPath) -> bool {
    let key = |part: &PathPart| match part {
        PathPart::Key(key) => Some(key.clone()),
        PathPart::Index(_) => None,
    };
    path.parts().iter().map(key).collect::<Option<Vec<_>>>().is_some_and(|keys| is_config_target(&keys))
}

/// Replaces the templates of one string and lists the variables that have no value. What is put in is not read again.
fn expand(text: &str, env: &Environment) -> (String, Vec<String>) {
    let mut out = String::with_capacity(text.len());
    let mut missing = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, after)) = rest.strip_prefix("$$").and_then(template) {
            out.push_str("${");
            out.push_str(name);
            out.push('}');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('$').and_then(template) {
            match env.get(name).filter(|value| !value.is_empty()) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str(&rest[..rest.len() - after.len()]);
                    missing.push(name.to_owned());
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    (out, missing)
}

/// Reads `{NAME}` at the start: the name and what follows.
fn template(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let mut bytes = name.bytes();
    let fits = bytes.next().is_some_and(|b| b.is_ascii_uppercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    fits.then_some((name, after))
}

/// The variables that the config's `env` block sets: `vars` first, flat keys over them.
pub fn env_block(root: &Value) -> Vec<(&str, &str)> {
    let Some(block) = root.get("env").and_then(Value::as_object) else { return Vec::new() };
    let vars = block.get("vars").and_then(Value::as_object).into_iter().flatten();
    let flat = block.iter().filter(|(key, _)| !matches!(key.as_str(), "vars" | "shellEnv"));
    let mut found: Vec<(&str, &str)> = Vec::new();
    for (name, value) in vars.chain(flat) {
        let (name, Some(value)) = (name.trim(), value.as_str()) else { continue };
        if !is_variable_name(name) || is_dangerous_name(name) || value.trim().is_empty() || holds_template(value) {
            continue;
        }
        match found.iter_mut().find(|(n, _)| *n == name) {
            Some(entry) => entry.1 = value,
            None => found.push((name, value)),
        }
    }
    found
}

/// The names in the `${NAME}` of a text; escaped ones are none.
pub fn template_names(text: &str) -> Vec<String> {
    expand(text, &Environment::default()).1
}

/// The text with `${NAME}` for every `$${NAME}`; nothing is put in for a name.
pub(crate) fn without_escapes(text: &str) -> String {
    expand(text, &Environment::default()).0
}

/// Whether a text has a `${NAME}` in it.
pub fn holds_template(text: &str) -> bool {
    text.match_indices('$').any(|(at, _)| template(&text[at + 1..]).is_some())
}

/// Adds the `env` block to the environment; `shown_path` is the config file as shown to people.
pub fn apply_env_block(root: &Value, env: &mut Environment, shown_path: &str) {
    for (name, value) in env_block(root) {
        let origin = EnvOrigin::Config { path: shown_path.to_owned() };
        if env.origin(name) != Some(&origin) {
            env.add(name, value.to_owned(), origin, EmptyValue::IsUnset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn env() -> Environment {
        let pairs = [("A", "1"), ("E", ""), ("R", "${A}")];
        Environment::from_process(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())))
    }

    #[test]
    fn templates_expand_once() {
        let check = |text: &str, wanted: &str, missing: &[&str]| {
            let (out, names) = expand(text, &env());
            assert_eq!((out.as_str(), names), (wanted, missing.iter().map(|s| (*s).to_owned()).collect()), "{text}");
        };
        check("x${A}y${A}", "x1y1", &[]);
        check("$${A} ${lower} $X ${} $", "${A} ${lower} $X ${} $", &[]);
        check("${NOPE}${E}", "${NOPE}${E}", &["NOPE", "E"]);
        check("${R}", "${A}", &[]);
        check("$$${A}", "$${A}", &[]);
        check("${A", "${A", &[]);
        check("${_}${A_1}", "${_}${A_1}", &["_", "A_1"]);
        for literal in ["${Ab}", "${A-B}", "${A B}", "${1A}", "${a}", "${}"] {
            check(literal, literal, &[]);
            assert!(!holds_template(literal), "{literal}");
        }
        assert_eq!(template_names("${A} $${B} ${C_1}x${c}"), ["A", "C_1"], "whether they are set or not");
    }

    #[test]
    fn secret_fields_turn_whole_templates_into_references() {
        let mut config = json!({"secrets": {"defaults": {"env": "vars"}}, "k${A}": 1, "models": {"providers": {
            "p": {"apiKey": "${A}", "baseUrl": "${A}", "headers": {"x": "Bearer ${A}", "y": "$${A}"}}}}});
        let missing = substitute(&mut config, &env());
        let provider = &config["models"]["providers"]["p"];
        let reference = json!({"source": "env", "provider": "vars", "id": "A"});
        assert_eq!(*provider, json!({"apiKey": reference, "baseUrl": "1", "headers": {"x": "Bearer 1", "y": "${A}"}}));
        assert!(missing.is_empty() && config.get("k${A}").is_some());
    }

    #[test]
    fn values_everywhere_are_replaced_and_what_is_missing_is_named_with_its_place() {
        let mut config = json!({"a": ["x", "${A}", ["${NOPE}"]], "b": {"c": "${E}"}, "n": 1});
        let missing = substitute(&mut config, &env());
        assert_eq!(config, json!({"a": ["x", "1", ["${NOPE}"]], "b": {"c": "${E}"}, "n": 1}));
        let places: Vec<String> = missing.iter().map(|one| format!("{} at {}", one.name, one.path)).collect();
        assert_eq!(places, ["NOPE at a.2.0", "E at b.c"]);
    }

    #[test]
    fn the_second_pass_over_the_env_block_changes_nothing_that_the_first_gave() {
        let mut env = Environment::default();
        apply_env_block(&json!({"env": {"vars": {"X": "v"}, "X": "${A}", "Y": "${A}"}}), &mut env, "c");
        apply_env_block(&json!({"env": {"vars": {"X": "v"}, "X": "1", "Y": "1"}}), &mut env, "c");
        assert_eq!((env.get("X"), env.get("Y")), (Some("v"), Some("1")));
        assert!(env.shadowed().is_empty(), "the block does not stand in its own way");
    }

    #[test]
    fn the_env_block_takes_flat_keys_over_vars() {
        let config = json!({"env": {"vars": {"X": "v", "Y": "v", "NODE_OPTIONS": "evil", "T": "${A}"}, "X": "flat", " Z ": "z", "B": " ", "9": "n", "shellEnv": {}}});
        assert_eq!(env_block(&config), [("X", "flat"), ("Y", "v"), ("Z", "z")]);
        let mut env = Environment::from_process([("X".to_owned(), " ".to_owned()), ("Y".to_owned(), "set".to_owned())]);
        apply_env_block(&config, &mut env, "~/.openclaw/openclaw.json");
        assert_eq!((env.get("X"), env.get("Y"), env.get("Z")), (Some("flat"), Some("set"), Some("z")));
    }

    proptest! {
        #[test]
        fn text_without_templates_is_untouched(text in "[^$]{0,40}") {
            prop_assert_eq!(expand(&text, &env()).0, text);
        }

        #[test]
        fn escaping_protects_any_text(name in "[A-Z_][A-Z0-9_]{0,8}", rest in "[a-z ]{0,8}") {
            let literal = format!("${{{name}}}{rest}");
            let (out, missing) = expand(&format!("${literal}"), &env());
            prop_assert_eq!(out, literal);
            prop_assert!(missing.is_empty());
        }
    }
}
