//! The `.env` grammar, and the names that a file may not set (spec 01 sections 2.2 to 2.4).

use std::collections::HashMap;

/// One entry of a `.env` file.
#[derive(Clone, PartialEq, Eq)]
pub struct DotenvEntry {
    /// The variable.
    pub name: String,
    /// Its value, not expanded.
    pub value: String,
    /// Line on which the entry begins, from 1.
    pub line: u32,
    /// Line on which it ends: a quoted value may have several.
    pub last_line: u32,
}

impl std::fmt::Debug for DotenvEntry {
    /// Prints the name only: the value is likely a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.line)
    }
}

/// Reads a `.env` file. Lines that are no entry are skipped; of a repeated name the last entry counts.
pub fn parse_dotenv(text: &str) -> Vec<DotenvEntry> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut entries: Vec<Option<DotenvEntry>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut rest = text.as_str();
    let mut line = 1_u32;
    while !rest.is_empty() {
        let line_end = rest.find('\n').unwrap_or(rest.len());
        let consumed = match entry(rest, line_end) {
            Some((name, value, consumed)) => {
                if is_variable_name(name) {
                    let last_line = line + newlines(&rest[..consumed]);
                    let entry = DotenvEntry { name: name.to_owned(), value, line, last_line };
                    if let Some(earlier) = places.insert(entry.name.clone(), entries.len()) {
                        entries[earlier] = None;
                    }
                    entries.push(Some(entry));
                }
                consumed
            }
            None => line_end,
        };
        let consumed = (consumed + 1).min(rest.len());
        line += newlines(&rest[..consumed]);
        rest = &rest[consumed..];
    }
    entries.into_iter().flatten().collect()
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(0)
}

/// Reads the entry that begins on this line: name, value, and how many bytes it takes without its line end.
fn entry(text: &str, line_end: usize) -> Option<(&str, String, usize)> {
    let line = &text[..line_end];
    let trimmed = line.trim_start();
    let exported = trimmed.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map(str::trim_start);
    let (name, after) = exported.and_then(name_and_rest).or_else(|| name_and_rest(trimmed))?;
    let start = line_end - after.len();

    let value = after.trim_start();
    let value_start = start + (after.len() - value.len());
    if let Some(quote @ ('"' | '\'' | '`')) = value.chars().next()
        && let Some(close) = closing_quote(text, value_start, quote)
    {
        let inner = &text[value_start + 1..close];
        let inner = if quote == '"' { unescape(inner) } else { inner.to_owned() };
        let end = text[close..].find('\n').map_or(text.len(), |at| close + at);
        return Some((name, inner, end));
    }
    let plain = value.split('#').next().unwrap_or_default().trim();
    let plain = if plain.starts_with('"') { unescape(plain) } else { plain.to_owned() };
    Some((name, plain, line_end))
}

/// Splits `NAME = …` or `NAME: …`.
fn name_and_rest(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))).unwrap_or(line.len());
    let (name, after) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    if let Some(value) = after.trim_start().strip_prefix('=') {
        return Some((name, value));
    }
    let value = after.strip_prefix(':')?;
    value.starts_with(char::is_whitespace).then_some((name, value))
}

/// The quote that ends a quoted value: the first one without a backslash before it, else the last with one; after it
/// only blanks and a comment may stand on its line.
fn closing_quote(text: &str, open: usize, quote: char) -> Option<usize> {
    let body = open + 1;
    let mut escaped = Vec::new();
    let mut found = None;
    for (at, _) in text[body..].match_indices(quote) {
        let at = body + at;
        // Before the first one stands the opening quote.
        if text.as_bytes()[at - 1] == b'\\' {
            escaped.push(at);
        } else {
            found = Some(at);
            break;
        }
    }
    found.into_iter().chain(escaped.into_iter().rev()).find(|close| {
        let tail = text[close + 1..].split('\n').next().unwrap_or_default().trim_start();
        tail.is_empty() || tail.starts_with('#')
    })
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r")
}

/// `^[A-Za-z_][A-Za-z0-9_]*$`: a name that a variable can have.
pub fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether the `.env` of the current directory may not set this variable: a checked-out project must neither replace
/// the main keys nor redirect requests nor reach into other programs.
pub fn is_refused_in_workspace(name: &str) -> bool {
    const EXACT: &[&str] = &[
        "ALL_PROXY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_OAUTH_TOKEN",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "NO_PROXY",
        "OPENAI_API_KEY",
        "OPENAI_API_KEYS",
        "UV_PYTHON",
    ];
    // Every `OPENCLAW_` and `PI_` name: the reference lists single ones and so misses new switches.
    // `NOTIFY_` names commands that run and addresses that are told of accounts.
    const PREFIXES: &[&str] = &["ANTHROPIC_API_KEY_", "NOTIFY_", "OPENAI_API_KEY_", "OPENCLAW_", "PI_"];
    const SUFFIXES: &[&str] = &["_BASE_URL", "_BASE_URLS", "_ENDPOINT", "_HOST"];
    let name = name.to_uppercase();
    EXACT.contains(&name.as_str())
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || is_dangerous_name(&name)
}

/// Names that change what other programs load or run, in any case (spec 01 section 2.4, lists A and B).
pub fn is_dangerous_name(name: &str) -> bool {
    const PREFIXES: &[&str] = &["GIT_CONFIG_", "NPM_CONFIG_", "CARGO_REGISTRIES_"];
    let name = name.to_uppercase();
    runs_code(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || DANGEROUS_B.contains(&name.as_str())
}

/// Names that are also kept from the login shell (list A).
pub fn runs_code(name: &str) -> bool {
    const PREFIXES: &[&str] = &["DYLD_", "LD_", "BASH_FUNC_"];
    let name = name.to_uppercase();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || DANGEROUS_A.contains(&name.as_str())
}

#[rustfmt::skip]
const DANGEROUS_A: &[&str] = &[
    "ANT_OPTS", "BASH_ENV", "BROWSER", "CARGO_BUILD_RUSTC", "CC", "CMAKE_CXX_COMPILER", "CMAKE_C_COMPILER", "CXX",
    "DOTNET_ADDITIONAL_DEPS", "DOTNET_STARTUP_HOOKS", "ENV", "GCONV_PATH", "GIT_EDITOR", "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF", "GIT_SEQUENCE_EDITOR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY",
    "GIT_TEMPLATE_DIR", "GLIBC_TUNABLES", "GRADLE_OPTS", "IFS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "MAVEN_OPTS",
    "NODE_OPTIONS", "NODE_PATH", "PERL5LIB", "PERL5OPT", "PS4", "PYTHONBREAKPOINT", "PYTHONHOME", "PYTHONPATH",
    "RUBYLIB", "RUBYOPT", "SBT_OPTS", "SHELL", "SHELLOPTS", "SSLKEYLOGFILE", "_JAVA_OPTIONS",
];

#[rustfmt::skip]
const DANGEROUS_B: &[&str] = &[
    "ALL_PROXY", "AWS_CONFIG_FILE", "BUNDLE_GEMFILE", "BUN_CONFIG_REGISTRY", "CGO_CFLAGS", "CGO_LDFLAGS", "CLASSPATH",
    "COMPOSER_HOME", "CORECLR_PROFILER_PATH", "CPATH", "CPLUS_INCLUDE_PATH", "CURL_CA_BUNDLE", "CURL_HOME",
    "C_INCLUDE_PATH", "DENO_DIR", "DOCKER_CERT_PATH", "DOCKER_CONTEXT", "DOCKER_HOST", "DOCKER_TLS_VERIFY", "EDITOR",
    "FCEDIT", "GEM_HOME", "GEM_PATH", "GIT_ASKPASS", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_SSH", "GIT_SSH_COMMAND",
    "GOENV", "GOFLAGS", "GONOPROXY", "GONOSUMCHECK", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY",
    "GRADLE_USER_HOME", "HISTFILE", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LESSCLOSE", "LESSOPEN", "LIBRARY_PATH",
    "LUA_CPATH", "LUA_PATH", "MANPAGER", "NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "NO_PROXY",
    "OBJC_INCLUDE_PATH", "OPENSSL_CONF", "OPENSSL_ENGINES", "PAGER", "PERL5DB", "PERL5DBCMD", "PHPRC",
    "PHP_INI_SCAN_DIR", "PIP_CONFIG_FILE", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_PYPI_URL",
    "PIP_TRUSTED_HOST", "PROMPT_COMMAND", "PYTHONSTARTUP", "PYTHONUSERBASE", "REQUESTS_CA_BUNDLE", "SSH_ASKPASS",
    "SSL_CERT_DIR", "SSL_CERT_FILE", "SUDO_EDITOR", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX",
    "UV_INDEX_URL", "UV_PYTHON", "VIRTUAL_ENV", "VISUAL", "WGETRC", "XDG_CONFIG_HOME", "YARN_RC_FILENAME", "ZDOTDIR",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String, u32)> {
        parse_dotenv(text).into_iter().map(|e| (e.name, e.value, e.line)).collect()
    }

    fn one(text: &str) -> String {
        pairs(text).into_iter().next().map_or_else(|| "-".to_owned(), |(_, value, _)| value)
    }

    #[test]
    fn values_follow_the_grammar() {
        for (text, value) in [
            ("A=basic", "basic"),
            ("A = spaced out  # note", "spaced out"),
            ("A=abc#def", "abc"),
            ("A=", ""),
            ("export A='gsk # no comment' # note", "gsk # no comment"),
            ("A: \"yaml\"", "yaml"),
            ("A:nope", "-"),
            ("A=\"x\\ny\\tz\"", "x\ny\\tz"),
            ("A='x\\ny'", "x\\ny"),
            ("A=`back \"and\" 'forth'`", "back \"and\" 'forth'"),
            ("A='it\\'s'", "it\\'s"),
            ("A='ends with \\'", "ends with \\"),
            ("A='x' # 'y'", "x"),
            ("A='it\\'s' # 'y'", "it\\'s"),
            ("A='' # 'y'", ""),
            ("A=\"x\" y", "\"x\" y"),
            ("A=\"open", "\"open"),
            ("A=$HOME/${X}", "$HOME/${X}"),
            ("  export\tA=1", "1"),
            ("export=1", "1"),
            ("A=\"\"", ""),
        ] {
            assert_eq!(one(text), value, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_through_quotes_and_line_ends() {
        let text = "# head\r\nA=1\rbroken line\nB=\"two\nlines\" # x\n\nC=3\nBAD-KEY=4\nA=9";
        let last_lines: Vec<u32> = parse_dotenv(text).iter().map(|entry| entry.last_line).collect();
        assert_eq!(last_lines, [5, 7, 9]);
        assert_eq!(
            pairs(text),
            [
                ("B".to_owned(), "two\nlines".to_owned(), 4),
                ("C".to_owned(), "3".to_owned(), 7),
                ("A".to_owned(), "9".to_owned(), 9),
            ]
        );
    }

    #[test]
    fn only_the_place_of_a_value_is_printed() {
        let entries = parse_dotenv("\nGROQ_API_KEY=sk-test-canary");
        assert_eq!(format!("{entries:?}"), "[GROQ_API_KEY:2]");
    }

    #[test]
    fn a_workspace_may_not_reach_out() {
        for name in [
            "ANTHROPIC_API_KEY_2",
            "openai_api_key",
            "OPENCLAW_STATE_DIR",
            "X_BASE_URL",
            "LD_PRELOAD",
            "PAGER",
            "OLLAMA_HOST",
        ] {
            assert!(is_refused_in_workspace(name), "{name}");
        }
        for name in ["MISTRAL_API_KEY", "GROQ_API_KEY", "HOSTING"] {
            assert!(!is_refused_in_workspace(name), "{name}");
        }
        assert!(runs_code("node_options") && !runs_code("PAGER") && is_dangerous_name("Npm_Config_X"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ A='\"`#\\\\\n\r:=xé]{0,60}") {
            let lines = u32::try_from(text.matches(['\n', '\r']).count()).unwrap() + 1;
            for entry in parse_dotenv(&text) {
                prop_assert!(entry.line >= 1 && entry.line <= lines);
            }
        }

        #[test]
        fn quoted_text_comes_back(value in "[ -&(-~]{0,30}") {
            // Anything printable but a single quote, and not ending in a backslash.
            prop_assume!(!value.ends_with('\\'));
            prop_assert_eq!(one(&format!("K='{value}'")), value);
        }
    }
}
