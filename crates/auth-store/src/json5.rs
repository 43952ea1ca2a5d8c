//! JSON5 text as a value, and the place of any member in the text (spec 01 sections 3.1 and 4).

use auth_core::config::{ConfigPath, PathPart};
use jsonc_parser::ast::{ObjectProp, ObjectPropName, Value as Ast};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::{Map, Number, Value};

/// Why a text is not JSON5. The message never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// Everything JSON5 allows; a missing comma is a mistake.
fn options() -> ParseOptions {
    ParseOptions { allow_missing_commas: false, ..ParseOptions::default() }
}

pub(crate) fn ast(text: &str) -> Result<Option<Ast<'_>>, SyntaxError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options()).map_err(|error| SyntaxError {
        message: error.kind().to_string(),
        line: error.line_display(),
        column: error.column_display(),
    })?;
    if let Some((at, message)) = parsed.value.as_ref().and_then(|value| beyond_json5(value, text)) {
        let (line, column) = line_and_column(text, at);
        return Err(SyntaxError { message: message.to_owned(), line, column });
    }
    Ok(parsed.value)
}

/// What the parser lets pass although JSON5 does not have it: a line break in a string, a key that is no name.
fn beyond_json5(value: &Ast<'_>, text: &str) -> Option<(usize, &'static str)> {
    match value {
        Ast::StringLit(string) => broken_string(string.range.start, &text[string.range.start..string.range.end]),
        Ast::Array(array) => array.elements.iter().find_map(|item| beyond_json5(item, text)),
        Ast::Object(object) => object.properties.iter().find_map(|prop| {
            let key = match &prop.name {
                ObjectPropName::String(string) => {
                    broken_string(string.range.start, &text[string.range.start..string.range.end])
                }
                ObjectPropName::Word(word) => {
                    (!is_name(word.value)).then_some((word.range.start, "Expected a name or a quoted string as key"))
                }
            };
            key.or_else(|| beyond_json5(&prop.value, text))
        }),
        _ => None,
    }
}

fn broken_string(start: usize, raw: &str) -> Option<(usize, &'static str)> {
    let at = raw.match_indices(['\n', '\r']).map(|(at, _)| at).find(|at| {
        let before = raw[..*at].trim_end_matches('\r');
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        backslashes.is_multiple_of(2)
    })?;
    Some((start + at, "Line break in a string"))
}

/// A name as ECMAScript has it, as far as it matters here.
fn is_name(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '$'))
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '\u{200c}' | '\u{200d}'))
}

fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Reads a JSON5 document. Of repeated keys the last counts; numbers that JSON does not have become null.
pub(crate) fn parse(text: &str) -> Result<Value, SyntaxError> {
    match ast(strip_bom(text))? {
        Some(value) => Ok(convert(&value)),
        None => Err(SyntaxError { message: "the file is empty".to_owned(), line: 1, column: 1 }),
    }
}

/// Parses a JSON5 text; `None` when it is none.
pub fn parse_json5(text: &str) -> Option<Value> {
    parse(text).ok()
}

pub(crate) fn strip_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

pub(crate) fn convert(value: &Ast<'_>) -> Value {
    match value {
        Ast::StringLit(string) => Value::String(string.value.clone().into_owned()),
        Ast::NumberLit(number) => number_value(number.value),
        Ast::BooleanLit(boolean) => Value::Bool(boolean.value),
        Ast::NullKeyword(_) => Value::Null,
        Ast::Array(array) => array.elements.iter().map(convert).collect(),
        Ast::Object(object) => {
            let members: Map<String, Value> =
                object.properties.iter().map(|prop| (key_of(prop).to_owned(), convert(&prop.value))).collect();
            Value::Object(members)
        }
    }
}

pub(crate) fn key_of<'a>(prop: &'a ObjectProp<'_>) -> &'a str {
    match &prop.name {
        ObjectPropName::String(string) => &string.value,
        ObjectPropName::Word(word) => word.value,
    }
}

fn number_value(text: &str) -> Value {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    if let Some(hexadecimal) = hexadecimal {
        let parsed = i64::from_str_radix(hexadecimal, 16).map(|n| if negative { -n } else { n });
        return parsed.map_or(Value::Null, Value::from);
    }
    if let Ok(whole) = digits.parse::<i64>() {
        return Value::from(if negative { -whole } else { whole });
    }
    let float = digits.parse::<f64>().ok().map(|n| if negative { -n } else { n });
    float.and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

/// Line and column, from 1, of a member: of its key, or of the element of an array. Of the nearest member above when
/// it is not there; `None` when not even the first step is.
pub(crate) fn locate(text: &str, path: &ConfigPath) -> Option<(usize, usize)> {
    let text = strip_bom(text);
    let root = ast(text).ok()??;
    let mut at = None;
    let mut value = &root;
    for part in path.parts() {
        let next = match (part, value) {
            (PathPart::Key(key), Ast::Object(object)) => object
                .properties
                .iter()
                .rev()
                .find(|prop| key_of(prop) == key)
                .map(|prop| (prop.range().start, &prop.value)),
            (PathPart::Index(index), Ast::Array(array)) => {
                array.elements.get(*index).map(|element| (element.range().start, element))
            }
            _ => None,
        };
        let Some((start, next)) = next else { break };
        at = Some(start);
        value = next;
    }
    let start = if path.parts().is_empty() { root.range().start } else { at? };
    Some(line_and_column(text, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ugly but legal documents.
    const CORPUS: &[&str] = &[
        "{}",
        "// c\n{a:1,/* x */'b':\"q\",}",
        "{ \"a\": .5, b: 5., c: 0xFF, d: +7, e: -0x10, f: 1e3 }",
        "[ 'it\\'s', \"\\x41\\u0042\", 'line\\\ncontinued', '\\v\\0\\b' ]",
        "{ a: { $include: './x' }, _b: null, $c: [1, 2, ], 'd e': true }",
        "\u{feff}{ ключ: 'значение', é: 1 }",
        "\t{\u{a0}a\u{2028}: 1}\r\n",
        "{ a: 1, a: 2, b: { a: 3 } }",
        "'just a string'",
        "-12.5e-3",
    ];

    #[test]
    fn reads_what_the_oracle_reads() {
        for text in CORPUS {
            let oracle: Value = json5::from_str(strip_bom(text)).unwrap_or_else(|e| panic!("{text}: {e}"));
            let ours = parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert!(same(&ours, &oracle), "{text}: {ours} is not {oracle}");
        }
    }

    /// Equal, whether a number was read as whole or not.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
            }
            (a, b) => a == b,
        }
    }

    #[test]
    fn refuses_what_the_oracle_refuses() {
        for text in [
            "",
            "{ not json",
            "{a 1}",
            "{a: 1 b: 2}",
            "[1 2]",
            "{a: 01x}",
            "{'a: 1}",
            "{a: }",
            "{} {}",
            "{,}",
            "[,]",
            "{a: undefined}",
            "{a: 'x\ny'}",
            "{a-b: 1}",
            "{12: 1}",
        ] {
            assert!(json5::from_str::<Value>(text).is_err(), "{text}");
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("{\n  a: 1,\n  b: sk-test-1\n}").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(!error.message.contains("sk-test"), "{}", error.message);
    }

    #[test]
    fn members_are_located() {
        let text = "// head\n{\n  auth: {\n    profiles: { 'a:b': { mode: 1 } },\n    list: [1,\n      {x: 2}] } }";
        let path = |parts: &[&str]| {
            parts.iter().fold(ConfigPath::default(), |path, part| match part.parse() {
                Ok(index) => path.index(index),
                Err(_) => path.key(part),
            })
        };
        assert_eq!(locate(text, &path(&["auth", "profiles", "a:b", "mode"])), Some((4, 26)));
        assert_eq!(locate(text, &path(&["auth", "profiles", "a:b", "gone"])), Some((4, 17)));
        assert_eq!(locate(text, &path(&["auth", "list", "1", "x"])), Some((6, 8)));
        assert_eq!(locate(text, &path(&["nope"])), None);
        assert_eq!(locate(text, &ConfigPath::default()), Some((2, 1)));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[{}\\[\\],:'\"a-c0-9.\\\\/*\n +-]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn reads_all_json(items in proptest::collection::vec(("\\PC{0,8}", -1e9..1e9_f64), 0..6)) {
            let value: Value = items.into_iter().map(|(k, n)| (k, Value::from(n))).collect::<Map<_, _>>().into();
            prop_assert!(same(&parse(&value.to_string()).unwrap(), &value));
        }
    }
}
