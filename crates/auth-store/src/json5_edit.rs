//! Changing single members of a JSON5 text; every other byte stays, comments included.

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use serde_json::Value;

use crate::json5::{SyntaxError, ast, convert, key_of, strip_bom};

/// One difference between two documents: the member at a path of keys gets a value, or goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) path: Vec<String>,
    pub(crate) to: Option<Value>,
}

/// Why a text was not changed.
#[derive(Debug)]
pub(crate) enum EditError {
    Syntax(SyntaxError),
    /// Something on the path is no object.
    NotAnObject(Vec<String>),
}

/// The changes that make `new` out of `old`. Objects are compared member by member, so are
/// those in an array that keeps its length; everything else as a whole. An element is named by its index.
pub(crate) fn differences(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(old, new, &mut Vec::new(), &mut changes);
    changes
}

fn compare(old: &Value, new: &Value, path: &mut Vec<String>, changes: &mut Vec<Change>) {
    if let (Value::Array(before), Value::Array(after)) = (old, new)
        && before.len() == after.len()
        && before.iter().zip(after).all(|(old, new)| old == new || (old.is_object() && new.is_object()))
    {
        // Elements that are objects change member by member, so that what stands beside them stays.
        for (at, (old, new)) in before.iter().zip(after).enumerate() {
            path.push(at.to_string());
            compare(old, new, path, changes);
            path.pop();
        }
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            changes.push(Change { path: path.clone(), to: Some(new.clone()) });
        }
        return;
    };
    let mut at = |key: &str, to: Option<&Value>, from: Option<&Value>| {
        path.push(key.to_owned());
        match (from, to) {
            (Some(from), Some(to)) => compare(from, to, path, changes),
            (_, to) => changes.push(Change { path: path.clone(), to: to.cloned() }),
        }
        path.pop();
    };
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        at(key, None, None);
    }
    for (key, to) in after {
        at(key, Some(to), before.get(key));
    }
}

/// Applies one change to a text.
pub(crate) fn apply(text: &str, change: &Change) -> Result<String, EditError> {
    let bom = text.len() - strip_bom(text).len();
    let (mark, body) = text.split_at(bom);
    let Some(root) = ast(body).map_err(EditError::Syntax)? else {
        // An empty file becomes a document.
        let mut document = Value::Object(serde_json::Map::new());
        set_in(&mut document, change);
        return Ok(format!("{mark}{}\n", pretty(&document, "", "  ", "\n")));
    };
    let style = Style::of(body);
    let mut at = &root;
    for (depth, key) in change.path.iter().enumerate() {
        if let Ast::Array(array) = at
            && let Some(element) = key.parse().ok().and_then(|index: usize| array.elements.get(index))
        {
            at = element;
            continue;
        }
        let Ast::Object(object) = at else { return Err(EditError::NotAnObject(change.path[..depth].to_vec())) };
        let position = object.properties.iter().rposition(|prop| key_of(prop) == key);
        let last = depth + 1 == change.path.len();
        let container = Container::of_object(object);
        let edited = match (position, &change.to) {
            (Some(position), Some(to)) if last => {
                let value = &object.properties[position].value;
                set_value(body, value, to, &style)
            }
            (Some(position), None) if last => remove_item(body, &container, position),
            (Some(position), _) => {
                at = &object.properties[position].value;
                continue;
            }
            (None, None) => body.to_owned(),
            (None, Some(to)) => {
                let nested = change.path[depth + 1..]
                    .iter()
                    .rev()
                    .fold(to.clone(), |inner, key| Value::Object(std::iter::once((key.clone(), inner)).collect()));
                let render = |multiline: bool, indent: &str| {
                    let name = Value::from(key.as_str());
                    format!("{name}: {}", style.render(&nested, multiline, indent))
                };
                append_item(body, &container, &style, &render)
            }
        };
        return Ok(format!("{mark}{edited}"));
    }
    match &change.to {
        Some(to) => Ok(format!("{mark}{}", set_value(body, &root, to, &style))),
        None => Err(EditError::NotAnObject(Vec::new())),
    }
}

fn set_in(document: &mut Value, change: &Change) {
    let mut at = document;
    for key in &change.path {
        if !at.is_object() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = &mut at[key.as_str()];
    }
    if let Some(to) = &change.to {
        *at = to.clone();
    }
}

/// How a text is laid out.
struct Style {
    unit: String,
    newline: &'static str,
    multiline: bool,
}

impl Style {
    fn of(text: &str) -> Self {
        let blank = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let first = text.lines().skip(1).find(|line| blank(line) > 0 && !line.trim().is_empty());
        let unit = first.map_or("  ", |line| &line[..blank(line)]);
        let unit = if unit.len() > 8 { "  " } else { unit };
        Self {
            unit: unit.to_owned(),
            newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
            multiline: text.trim().contains('\n') || text.trim() == "{}",
        }
    }

    fn render(&self, value: &Value, multiline: bool, indent: &str) -> String {
        if multiline { pretty(value, indent, &self.unit, self.newline) } else { value.to_string() }
    }
}

fn pretty(value: &Value, indent: &str, unit: &str, newline: &str) -> String {
    use serde::Serialize;
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    if value.serialize(&mut serializer).is_err() {
        return value.to_string();
    }
    String::from_utf8_lossy(&out).replace('\n', &format!("{newline}{indent}"))
}

/// The items between two brackets: members of an object or elements of an array.
struct Container {
    /// Just behind the opening bracket.
    open: usize,
    /// The closing bracket.
    close: usize,
    items: Vec<(usize, usize)>,
}

impl Container {
    fn of_object(object: &jsonc_parser::ast::Object<'_>) -> Self {
        let items = object.properties.iter().map(|prop| (prop.range().start, prop.range().end)).collect();
        Self { open: object.range.start + 1, close: object.range.end - 1, items }
    }

    fn of_array(array: &jsonc_parser::ast::Array<'_>) -> Self {
        let items = array.elements.iter().map(|item| (item.range().start, item.range().end)).collect();
        Self { open: array.range.start + 1, close: array.range.end - 1, items }
    }

    /// Where the comma behind an item stands.
    fn comma_after(&self, text: &str, item: usize) -> Option<usize> {
        let end = self.items.get(item + 1).map_or(self.close, |next| next.0);
        comma_in(text, self.items[item].1, end)
    }
}

/// The first comma in a range that holds only blanks, comments and commas.
fn comma_in(text: &str, start: usize, end: usize) -> Option<usize> {
    let mut at = start;
    while at < end {
        let rest = &text[at..end];
        if rest.starts_with(',') {
            return Some(at);
        }
        at += if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |found| found + 2)
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
    }
    None
}

/// The blanks at the beginning of the line that `at` is on, and whether nothing else stands before `at`.
fn line_indent(text: &str, at: usize) -> (&str, bool) {
    let start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let line = &text[start..at];
    let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
    (&line[..blank], blank == line.len())
}

fn append_item(text: &str, container: &Container, style: &Style, render: &dyn Fn(bool, &str) -> String) -> String {
    let (outer, _) = line_indent(text, container.open);
    let Some((first, last)) = container.items.first().zip(container.items.last()) else {
        let inner = &text[container.open..container.close];
        if !style.multiline && !inner.contains('\n') {
            return splice(text, container.close, container.close, &render(false, ""));
        }
        let indent = format!("{outer}{}", style.unit);
        let item = format!("{}{indent}{}{}{outer}", style.newline, render(true, &indent), style.newline);
        let kept = inner.trim_end();
        return splice(text, container.open + kept.len(), container.close, &item);
    };
    let (indent, alone) = line_indent(text, first.0);
    let multiline = alone && text[container.open..first.0].contains('\n');
    let comma = container.comma_after(text, container.items.len() - 1);
    let behind = comma.map_or(last.1, |comma| comma + 1);
    let trailing = if comma.is_some() { "," } else { "" };
    if !multiline {
        let item =
            if comma.is_some() { format!(" {},", render(false, "")) } else { format!(", {}", render(false, "")) };
        return splice(text, behind, behind, &item);
    }
    // A comment on the line of the last item stays with it.
    let rest = &text[behind..container.close];
    let line = &rest[..rest.find('\n').unwrap_or(0)];
    let line = line.trim_end_matches('\r');
    let comment = line.trim_start();
    let stays = comment.starts_with("//") || (comment.starts_with("/*") && comment.trim_end().ends_with("*/"));
    let place = if stays { behind + line.trim_end().len() } else { behind };
    let item = format!("{}{indent}{}{trailing}", style.newline, render(true, indent));
    let with_item = splice(text, place, place, &item);
    if comma.is_some() { with_item } else { splice(&with_item, last.1, last.1, ",") }
}

fn remove_item(text: &str, container: &Container, position: usize) -> String {
    let (start, end) = container.items[position];
    let (_, alone) = line_indent(text, start);
    if let Some(comma) = container.comma_after(text, position) {
        // What stands between the item and its comma is a comment: it stays.
        let between = &text[end..comma];
        let after = comma + 1;
        let line_end = text[after..].find('\n').map_or(text.len(), |found| after + found);
        let whole_line =
            alone && between.is_empty() && text[after..line_end].trim().is_empty() && line_end < container.close;
        if whole_line {
            let line_start = text[..start].rfind('\n').map_or(0, |found| found + 1);
            return collapse(&splice(text, line_start, line_end + 1, ""), container.open, container.items.len());
        }
        let blanks = text[after..].len() - text[after..].trim_start_matches([' ', '\t']).len();
        let kept = between.trim().to_owned();
        let gap = if position + 1 == container.items.len() { 0 } else { blanks };
        let start = if gap == 0 { start - trailing_blanks(&text[..start], container.open) } else { start };
        return collapse(&splice(text, start, after + gap, &kept), container.open, container.items.len());
    }
    let from = if alone {
        // Its line break goes too, but nothing before it.
        let line_start = text[..start].rfind('\n').unwrap_or(start);
        if text[..line_start].ends_with('\r') { line_start - 1 } else { line_start }
    } else {
        start - trailing_blanks(&text[..start], container.open)
    };
    let without = splice(text, from.max(container.open), end, "");
    let previous = position.checked_sub(1).and_then(|previous| container.comma_after(text, previous));
    let without = previous.map_or(without.clone(), |comma| splice(&without, comma, comma + 1, ""));
    collapse(&without, container.open, container.items.len())
}

/// Blanks at the end of a text, not counting those before `floor`.
fn trailing_blanks(text: &str, floor: usize) -> usize {
    (text.len() - text.trim_end_matches([' ', '\t']).len()).min(text.len().saturating_sub(floor))
}

/// Closes brackets that held one item and now hold nothing but blanks.
fn collapse(text: &str, open: usize, items_before: usize) -> String {
    let inner = text[open..].len() - text[open..].trim_start().len();
    let closes = text[open + inner..].starts_with(['}', ']']);
    if items_before == 1 && closes { splice(text, open, open + inner, "") } else { text.to_owned() }
}

fn set_value(text: &str, old: &Ast<'_>, to: &Value, style: &Style) -> String {
    if let (Ast::Array(array), Value::Array(items)) = (old, to)
        && let Some(edited) = set_array(text, array, items, style)
    {
        return edited;
    }
    let (start, end) = (old.range().start, old.range().end);
    let (indent, _) = line_indent(text, start);
    let multiline = match old {
        Ast::Object(_) | Ast::Array(_) => text[start..end].contains('\n'),
        _ => style.multiline,
    };
    splice(text, start, end, &style.render(to, multiline, indent))
}

/// Turns an array into another by removing and appending elements, so that the others keep their comments. `None` when
/// the order of those that stay would change.
fn set_array(text: &str, array: &jsonc_parser::ast::Array<'_>, items: &[Value], style: &Style) -> Option<String> {
    let old: Vec<Value> = array.elements.iter().map(convert).collect();
    let mut kept = 0;
    let mut gone = Vec::new();
    for (at, value) in old.iter().enumerate() {
        if items.get(kept) == Some(value) {
            kept += 1;
        } else {
            gone.push(at);
        }
    }
    if gone.iter().any(|at| items[kept..].contains(&old[*at])) || gone.len() == old.len() {
        return None;
    }
    let start = array.range.start;
    let mut edited = text.to_owned();
    for at in gone.into_iter().rev() {
        edited = with_array_at(&edited, start, |array| remove_item(&edited, &Container::of_array(array), at))?;
    }
    for item in &items[kept..] {
        let render = |multiline: bool, indent: &str| style.render(item, multiline, indent);
        edited =
            with_array_at(&edited, start, |array| append_item(&edited, &Container::of_array(array), style, &render))?;
    }
    Some(edited)
}

/// Parses again and finds the array that begins at a place; edits behind it do not move its beginning.
fn with_array_at(
    text: &str,
    start: usize,
    act: impl FnOnce(&jsonc_parser::ast::Array<'_>) -> String,
) -> Option<String> {
    fn find<'a, 'b>(value: &'b Ast<'a>, start: usize) -> Option<&'b jsonc_parser::ast::Array<'a>> {
        if value.range().start > start || value.range().end <= start {
            return None;
        }
        match value {
            Ast::Array(array) if array.range.start == start => Some(array),
            Ast::Array(array) => array.elements.iter().find_map(|item| find(item, start)),
            Ast::Object(object) => object.properties.iter().find_map(|prop| find(&prop.value, start)),
            _ => None,
        }
    }
    let root = ast(text).ok()??;
    find(&root, start).map(act)
}

fn splice(text: &str, start: usize, end: usize, insert: &str) -> String {
    let mut out = String::with_capacity(text.len() + insert.len());
    out.push_str(&text[..start]);
    out.push_str(insert);
    out.push_str(&text[end..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json5::parse;
    use proptest::prelude::*;
    use serde_json::json;

    fn edit(text: &str, path: &str, to: Option<Value>) -> String {
        let path = path.split('.').map(str::to_owned).collect();
        apply(text, &Change { path, to }).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn members_are_added_in_the_style_of_the_text() {
        for (before, after) in [
            ("", "{\n  \"a\": {\n    \"x\": 1\n  }\n}\n"),
            ("{}", "{\n  \"a\": {\n    \"x\": 1\n  }\n}"),
            ("{ b: 1 }", "{ b: 1, \"a\": {\"x\":1} }"),
            ("{ b: 1, }", "{ b: 1, \"a\": {\"x\":1}, }"),
            ("{\n\tb: 1 // one\n}\n", "{\n\tb: 1, // one\n\t\"a\": {\n\t\t\"x\": 1\n\t}\n}\n"),
            (
                "{\n    b: 1, /* one */\n    // end\n}",
                "{\n    b: 1, /* one */\n    \"a\": {\n        \"x\": 1\n    },\n    // end\n}",
            ),
            ("{\r\n  b: 1\r\n}\r\n", "{\r\n  b: 1,\r\n  \"a\": {\r\n    \"x\": 1\r\n  }\r\n}\r\n"),
            ("{\n  // nothing yet\n}", "{\n  // nothing yet\n  \"a\": {\n    \"x\": 1\n  }\n}"),
            ("{\n  a: {}, // empty\n}", "{\n  a: {\n    \"x\": 1\n  }, // empty\n}"),
            ("{ a: { y: 2 } }", "{ a: { y: 2, \"x\": 1 } }"),
            ("{ 'a': { \"x\": 0 } }", "{ 'a': { \"x\": 1 } }"),
        ] {
            assert_eq!(edit(before, "a.x", Some(json!(1))), after, "{before}");
        }
    }

    #[test]
    fn members_go_without_taking_comments_of_others() {
        for (before, after) in [
            ("{ b: 1, a: 2, c: 3 }", "{ b: 1, c: 3 }"),
            ("{ b: 1, a: 2 }", "{ b: 1 }"),
            ("{ b: 1, a: 2, }", "{ b: 1, }"),
            ("{ a: 2 }", "{}"),
            ("{\n  // head\n  a: 2, // tail\n  b: 3,\n}", "{\n  // head\n  // tail\n  b: 3,\n}"),
            ("{\n  b: 1, // one\n  a: 2\n}\n", "{\n  b: 1 // one\n}\n"),
            ("{\n  b: 1,\n  a: 2,\n  // end\n}\n", "{\n  b: 1,\n  // end\n}\n"),
            ("{\n  a: {\n    x: 1,\n  },\n}", "{\n}"),
        ] {
            let edited = edit(before, "a", None);
            assert_eq!(parse(&edited).unwrap().get("a"), None, "{edited}");
            if after != "{\n}" {
                assert_eq!(edited, after, "{before}");
            }
        }
        assert_eq!(edit("{ b: 1 }", "a", None), "{ b: 1 }");
    }

    #[test]
    fn arrays_keep_the_elements_that_stay() {
        let text = "{\n  a: [\n    'x', // first\n    'y', // second\n    'z'\n  ]\n}";
        assert_eq!(
            edit(text, "a", Some(json!(["x", "z", "new"]))),
            "{\n  a: [\n    'x', // first\n    // second\n    'z',\n    \"new\"\n  ]\n}"
        );
        assert_eq!(edit("{a:['x','y']}", "a", Some(json!(["y", "x"]))), "{a:[\"y\",\"x\"]}");
        assert_eq!(edit("{a:[]}", "a", Some(json!(["y"]))), "{a:[\"y\"]}");
        assert_eq!(edit("{a:['x']}", "a", Some(json!([]))), "{a:[]}");
    }

    #[test]
    fn scalars_are_replaced_in_place() {
        assert_eq!(edit("{ a: 'old' /* why */, b: 2 }", "a", Some(json!("new"))), "{ a: \"new\" /* why */, b: 2 }");
        assert_eq!(edit("{ a: 'old', a: 'older' }", "a", Some(json!(1))), "{ a: 'old', a: 1 }");
        assert!(matches!(
            apply("{a: 1}", &Change { path: vec!["a".into(), "b".into()], to: Some(json!(1)) }),
            Err(EditError::NotAnObject(path)) if path == ["a"]
        ));
    }

    #[test]
    fn differences_are_found_member_by_member() {
        let changes =
            differences(&json!({"a": {"b": 1, "c": [1]}, "d": 1}), &json!({"a": {"b": 2, "c": [1]}, "e": {}}));
        let shown: Vec<_> = changes.iter().map(|c| (c.path.join("."), c.to.clone())).collect();
        assert_eq!(
            shown,
            [("d".to_owned(), None), ("a.b".to_owned(), Some(json!(2))), ("e".to_owned(), Some(json!({})))]
        );
    }

    /// Ugly documents; every one has the path `auth.order` or can get it.
    const CORPUS: &[&str] = &[
        "{}",
        "{ auth: {} }",
        "{auth:{order:{p:['a','b']}}}",
        "// top\n{ // open\n  /* before */ auth /* key */ : /* value */ { // in\n    order: {\n      p: [ 'a' /* a */, 'b' // b\n      ], // p\n    } /* order */, // tail\n  }, // auth\n  z: 1 // z\n} // end\n",
        "{\r\n\t'auth': {\r\n\t\t\"profiles\": {}, // none\r\n\t},\r\n}",
        "{ a: '// no comment', b: \"/* nor this */\", auth: { order: { q: ['//'] } } }",
        "{\n  a: 1,\n  // about auth\n  auth: { order: { p: [] }, }, b: [1, 2,],\n}",
        "{ z: { auth: 1 }, // one line, then\n auth: { x: 1 } }",
    ];

    fn comments(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['/', '\'', '"']) {
            rest = &rest[at..];
            let end = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.find("*/").map_or(rest.len(), |end| end + 2)
            } else {
                let quote = rest.chars().next().unwrap();
                rest = &rest[rest[1..].find(quote).map_or(rest.len(), |end| end + 2)..];
                continue;
            };
            found.push(rest[..end].trim().to_owned());
            rest = &rest[end..];
        }
        found.sort();
        found
    }

    #[test]
    fn every_edit_keeps_every_comment_and_its_inverse_gives_the_same_bytes() {
        for text in CORPUS {
            for (path, to) in [
                ("auth.order.new", json!(["x:y"])),
                ("auth.cooldowns.billingMaxHours", json!(3)),
                ("meta.lastTouchedVersion", json!("2026.4.5")),
                ("auth.profiles.x:y", json!({"provider": "x", "mode": "token"})),
                ("auth.order.p", json!(["a", "b", "c"])),
            ] {
                let old = parse(text).unwrap();
                let edited = edit(text, path, Some(to));
                let new = parse(&edited).unwrap_or_else(|error| panic!("{edited}: {error:?}"));
                assert_eq!(comments(text), comments(&edited), "{path} in {text}\n{edited}");
                let back =
                    differences(&new, &old).iter().fold(edited.clone(), |text, change| apply(&text, change).unwrap());
                assert_eq!(back, *text, "{path}, by way of {edited}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_two_documents_become_each_other(
            old in proptest::collection::btree_map("[a-c]", proptest::option::of(proptest::collection::btree_map("[x-z]", 0..3_i32, 0..3)), 0..4),
            new in proptest::collection::btree_map("[a-c]", proptest::option::of(proptest::collection::btree_map("[x-z]", 0..3_i32, 0..3)), 0..4),
            multiline in any::<bool>(),
        ) {
            let (old, new) = (json!(old), json!(new));
            let text = if multiline { serde_json::to_string_pretty(&old).unwrap() } else { old.to_string() };
            let edited = differences(&old, &new).iter().fold(text, |text, change| apply(&text, change).unwrap());
            prop_assert_eq!(parse(&edited).unwrap(), new);
        }
    }
}
