//! Lines of a `.env` file that hold model credentials (spec 05 sections 10.1 and 12.1), read as simply as they are
//! written: no continuation, no escapes.

use crate::provider::PROVIDERS;
use crate::secret::Secret;

/// A line that sets a variable to something.
#[derive(Clone, Debug)]
pub struct EnvLine {
    /// Its number, from 1.
    pub line: usize,
    /// The variable.
    pub name: String,
    /// Its value without blanks around it and without one pair of quotes.
    pub value: Secret,
}

/// Whether a variable of this name holds a model credential.
pub fn is_credential_variable(name: &str) -> bool {
    PROVIDERS.iter().any(|info| info.env_vars.contains(&name))
}

/// The lines that set a variable to a value that is not empty.
pub fn env_lines(text: &str) -> Vec<EnvLine> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(at, line)| {
            let (name, value) = assignment(line)?;
            Some(EnvLine { line: at + 1, name: name.to_owned(), value: Secret::new(value) })
        })
        .filter(|line| !line.value.reveal().is_empty())
        .collect()
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let name = name.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace)).unwrap_or(name).trim();
    let mut letters = name.bytes();
    let is_name = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let value = value.trim();
    let unquoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    is_name.then_some((name, unquoted.unwrap_or(value)))
}

/// The text without the lines that `goes` names; line ends become `\n`, and a text with nothing left is one of them.
pub fn without_env_lines(text: &str, goes: impl Fn(&EnvLine) -> bool) -> String {
    let gone: Vec<usize> = env_lines(text).iter().filter(|line| goes(line)).map(|line| line.line).collect();
    if gone.is_empty() {
        return text.to_owned();
    }
    let kept = text.lines().enumerate().filter(|(at, _)| !gone.contains(&(at + 1))).map(|(_, line)| line);
    let mut out: String = kept.collect::<Vec<_>>().join("\n");
    if out.is_empty() || text.ends_with('\n') {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_simply() {
        let text = "# c\nA=1\r\nexport  B = ' x y '\nC=\"\"\nexportD=4\n E =5\n1F=6\nG\n#H=1\n";
        let read: Vec<_> =
            env_lines(text).into_iter().map(|line| (line.line, line.name, line.value.reveal().to_owned())).collect();
        let wanted = [(2, "A", "1"), (3, "B", " x y "), (5, "exportD", "4"), (6, "E", "5")];
        assert_eq!(read, wanted.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())));
        assert!(is_credential_variable("OPENAI_API_KEY") && !is_credential_variable("MY_OWN_THING"));
    }

    #[test]
    fn names_and_values_have_their_form() {
        for (line, read) in [
            ("_A_1=x", Some(("_A_1", "x"))),
            ("A B=x", None),
            ("A-B=x", None),
            ("=x", None),
            ("\texport\tA=x=y", Some(("A", "x=y"))),
            ("export=x", Some(("export", "x"))),
            // One pair of equal quotes goes.
            ("A='\"x\"'", Some(("A", "\"x\""))),
            ("A=\"x'", Some(("A", "\"x'"))),
            ("A=\"", Some(("A", "\""))),
            ("A= ", None),
        ] {
            let found = env_lines(line);
            let found = found.first().map(|line| (line.name.as_str(), line.value.reveal()));
            assert_eq!(found, read, "{line:?}");
        }
    }

    #[test]
    fn lines_go_and_the_rest_stays() {
        let goes = |name: &'static str| move |line: &EnvLine| line.name == name;
        for (text, name, left) in [
            ("A=1\r\nB=2\r\n", "A", "B=2\n"),
            ("A=1\nB=2", "A", "B=2"),
            ("A=1\n", "A", "\n"),
            ("A=1", "A", "\n"),
            ("A=1\r\n", "Z", "A=1\r\n"),
            ("# x\nA=1\n\nA=2\n", "A", "# x\n\n"),
        ] {
            assert_eq!(without_env_lines(text, goes(name)), left, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_named_line_is_left(text in "([AB]=[12 ]{0,2}\n?){0,5}") {
            let left = without_env_lines(&text, |line| line.name == "A");
            prop_assert!(env_lines(&left).iter().all(|line| line.name != "A"));
            prop_assert_eq!(env_lines(&left).len(), env_lines(&text).iter().filter(|line| line.name != "A").count());
        }
    }
}
