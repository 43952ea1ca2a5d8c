//! Reading `openclaw.json`: JSON5, includes, the `env` block, `${NAME}`, checks (spec 01 section 3).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use auth_core::config::{self, AgentId, ConfigPath};
use auth_core::{Config, Environment};
use serde_json::{Map, Value};

use crate::host::Host;
use crate::json5;
use crate::layout::{StateLayout, normalise};
use crate::secure_file::reason;

/// The largest config file that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 32 * 1024 * 1024;
/// The largest included file, in bytes.
const MAX_INCLUDE_BYTES: u64 = 2 * 1024 * 1024;
/// How long reading an included file may take, in milliseconds.
const INCLUDE_TIMEOUT_MS: u64 = 15_000;
/// How deep includes may nest.
const MAX_INCLUDE_DEPTH: usize = 10;
/// How many files may be included in all: nobody needs more, and a small set that includes itself in turn could ask
/// for billions.
const MAX_INCLUDES: usize = 500;
/// How many problems of a config are shown.
const MAX_PROBLEMS: usize = 50;
/// The version of OpenClaw whose files this program reads and writes.
pub const COMPATIBLE_VERSION: &str = "2026.4.5";

/// A config file that was read.
#[derive(Debug)]
pub struct ConfigFile {
    /// Its typed content.
    pub config: Config,
    /// The document as its author wrote it: includes resolved, variables not.
    pub authored: Value,
    /// Remarks for standard error.
    pub warnings: Vec<String>,
}

/// A config that cannot be used. Its text is the whole message for the user (spec 01 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigInvalid {
    /// The file as shown to people.
    pub file: String,
    /// What is wrong, one line each.
    pub problems: Vec<ConfigProblem>,
}

/// One thing that is wrong with a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The dotted path of the setting, or `<root>`.
    pub path: String,
    /// What is wrong; holds no value of the file.
    pub message: String,
    /// File, line and column, where the setting can be found.
    pub place: Option<String>,
}

impl fmt::Display for ConfigInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Config invalid\nFile: {}\nProblem:", self.file)?;
        for problem in &self.problems {
            write!(f, "  - {}: {}", problem.path, problem.message)?;
            if let Some(place) = &problem.place {
                write!(f, " ({place})")?;
            }
            writeln!(f)?;
        }
        write!(f, "\nRun: openclaw doctor --fix")
    }
}

impl std::error::Error for ConfigInvalid {}

/// Reads and checks the config. The `env` block is applied to `env` on the way.
///
/// # Errors
///
/// When the file, or one that it includes, cannot be read, parsed or does not have the right shape. An absent file is
/// an empty config.
pub fn read_config(layout: &StateLayout, env: &mut Environment, host: &dyn Host) -> Result<ConfigFile, ConfigInvalid> {
    let shown = layout.shorten(layout.config_path());
    let authored = read_authored(layout, host)?;
    let mut document = authored.document.clone();
    config::apply_env_block(&document, env, &shown);
    let missing = config::substitute(&mut document, env);
    check(&document, &authored, layout)?;
    // Once more: a value that used a variable of the block is complete only now.
    config::apply_env_block(&document, env, &shown);
    let config = Config::from_value(&document);

    let mut warnings: Vec<String> = missing.iter().map(|missing| missing_warning(missing, &shown)).collect();
    if config.default_agent().1 {
        warnings.push(format!(
            "Config warning: several agents are marked default; using \"{}\" ({shown})",
            config.default_agent().0
        ));
    }
    warnings.extend(newer_version(&document).map(|version| {
        format!("Config warning: {shown} was last written by OpenClaw {version}, newer than {COMPATIBLE_VERSION}")
    }));
    Ok(ConfigFile { config, authored: authored.document, warnings })
}

/// A config that was read as far as it goes: what does not fit is left out of the typed content.
#[derive(Debug)]
pub struct ConfigReading {
    /// Its typed content, and remarks.
    pub file: ConfigFile,
    /// Where its settings stand.
    pub source: ConfigSource,
    /// What is wrong with single settings.
    pub issues: Vec<config::ConfigIssue>,
    /// Why no other command would use it.
    pub invalid: Option<ConfigInvalid>,
}

/// The files that a config was read from.
pub struct ConfigSource {
    /// Whether the main file exists.
    pub exists: bool,
    /// Whether it could be read at all, with everything that it includes.
    pub readable: bool,
    files: Vec<LoadedFile>,
}

impl fmt::Debug for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| &file.path)).finish()
    }
}

impl ConfigSource {
    /// File, line and column of a setting, for people.
    pub fn place_of(&self, path: &ConfigPath) -> Option<String> {
        place_of(&self.files, path)
    }
}

/// Reads the config as far as it goes, for the command that mends it.
pub(crate) fn read_config_leniently(layout: &StateLayout, env: &mut Environment, host: &dyn Host) -> ConfigReading {
    let shown = layout.shorten(layout.config_path());
    let authored = match read_authored(layout, host) {
        Ok(authored) => authored,
        Err(invalid) => {
            let document = Value::Object(Map::new());
            let file = ConfigFile { config: Config::from_value(&document), authored: document, warnings: Vec::new() };
            let source = ConfigSource { exists: host.exists(layout.config_path()), readable: false, files: Vec::new() };
            return ConfigReading { file, source, issues: Vec::new(), invalid: Some(invalid) };
        }
    };
    let mut document = authored.document.clone();
    config::apply_env_block(&document, env, &shown);
    let missing = config::substitute(&mut document, env);
    let issues = config::validate(&document);
    let invalid = check(&document, &authored, layout).err();
    config::apply_env_block(&document, env, &shown);
    let warnings = missing.iter().map(|missing| missing_warning(missing, &shown)).collect();
    let source = ConfigSource { exists: authored.raw.is_some(), readable: true, files: authored.files };
    let file = ConfigFile { config: Config::from_value(&document), authored: authored.document, warnings };
    ConfigReading { file, source, issues, invalid }
}

fn missing_warning(missing: &config::MissingVariable, shown: &str) -> String {
    format!("Config warning: missing env var \"{}\" at {} ({shown})", missing.name, missing.path)
}

/// The config as its author wrote it: includes resolved, variables not.
pub(crate) struct AuthoredConfig {
    pub(crate) document: Value,
    /// The bytes of the main file; `None` when it does not exist.
    pub(crate) raw: Option<Vec<u8>>,
    /// Every file that took part, the main one first.
    pub(crate) files: Vec<LoadedFile>,
}

/// Reads the main file and everything that it includes.
pub(crate) fn read_authored(layout: &StateLayout, host: &dyn Host) -> Result<AuthoredConfig, ConfigInvalid> {
    let path = layout.config_path();
    let mut reader = Reader { host, layout, root_dir: path.parent().unwrap_or(path), files: Vec::new() };
    let invalid = |problem| ConfigInvalid { file: layout.shorten(path), problems: vec![problem] };
    match host.read(path, MAX_CONFIG_BYTES) {
        Ok(bytes) => {
            let document = reader.parse_main(path, bytes.clone()).map_err(invalid)?;
            Ok(AuthoredConfig { document, raw: Some(bytes), files: reader.files })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(AuthoredConfig { document: Value::Object(Map::new()), raw: None, files: Vec::new() })
        }
        Err(error) => {
            let message = format!("read failed: {}", reason(&error));
            Err(invalid(ConfigProblem { path: "<root>".to_owned(), message, place: None }))
        }
    }
}

/// Checks a document after substitution.
pub(crate) fn check(document: &Value, authored: &AuthoredConfig, layout: &StateLayout) -> Result<(), ConfigInvalid> {
    let mut issues = config::validate(document);
    let more = issues.len().saturating_sub(MAX_PROBLEMS);
    issues.truncate(MAX_PROBLEMS);
    let mut problems: Vec<ConfigProblem> = issues
        .into_iter()
        .map(|issue| ConfigProblem {
            path: issue.path.to_string(),
            message: issue.message,
            place: place_of(&authored.files, &issue.subject),
        })
        .collect();
    if more > 0 {
        let message = format!("and {more} more");
        problems.push(ConfigProblem { path: "<root>".to_owned(), message, place: None });
    }
    if problems.is_empty() {
        problems.extend(duplicate_agent_dirs(&Config::from_value(document), document, layout));
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigInvalid { file: layout.shorten(layout.config_path()), problems })
    }
}

/// The version that wrote the file, when it is newer than the one we follow.
fn newer_version(document: &Value) -> Option<&str> {
    let version = document.get("meta")?.get("lastTouchedVersion")?.as_str()?;
    let numbers =
        |text: &str| -> Option<Vec<u64>> { text.split('-').next()?.split('.').map(|part| part.parse().ok()).collect() };
    (numbers(version)? > numbers(COMPATIBLE_VERSION)?).then_some(version)
}

/// Two agents with one directory would overwrite each other's credentials.
fn duplicate_agent_dirs(config: &Config, document: &Value, layout: &StateLayout) -> Vec<ConfigProblem> {
    let bound = document.get("bindings").and_then(Value::as_array).into_iter().flatten();
    let bound = bound.filter_map(|binding| Some(AgentId::normalise(binding.get("agentId")?.as_str()?)));
    let mut ids = config.known_agents();
    ids.push(config.default_agent().0);
    ids.extend(bound);
    let mut seen: HashSet<AgentId> = HashSet::new();
    let mut dirs: HashMap<PathBuf, AgentId> = HashMap::new();
    let mut problems = Vec::new();
    for id in ids.into_iter().filter(|id| seen.insert(id.clone())) {
        let dir = layout.agent_dir(config, &id);
        match dirs.entry(dir) {
            Entry::Vacant(free) => drop(free.insert(id)),
            Entry::Occupied(taken) => problems.push(ConfigProblem {
                path: "agents.list".to_owned(),
                message: format!(
                    "Duplicate agentDir detected: \"{}\" and \"{id}\" both use {}; give each agent its own directory",
                    taken.get(),
                    layout.shorten(taken.key())
                ),
                place: None,
            }),
        }
    }
    problems
}

/// A file that took part, with the config path at which its content stands.
pub(crate) struct LoadedFile {
    pub(crate) path: PathBuf,
    shown: String,
    pub(crate) text: String,
    pub(crate) prefix: ConfigPath,
}

struct Reader<'a> {
    host: &'a dyn Host,
    layout: &'a StateLayout,
    root_dir: &'a Path,
    files: Vec<LoadedFile>,
}

impl Reader<'_> {
    fn parse_main(&mut self, path: &Path, bytes: Vec<u8>) -> Result<Value, ConfigProblem> {
        let at = ConfigPath::default();
        let value = self
            .parse(path, bytes, &at)
            .map_err(|(message, place)| problem(&at, format!("JSON5 parse failed: {message}"), place))?;
        self.resolve(value, path, &at, &mut vec![normalise(path)])
    }

    /// Parses a file; an error is its message and its place.
    fn parse(&mut self, path: &Path, bytes: Vec<u8>, at: &ConfigPath) -> Result<Value, (String, Option<String>)> {
        let shown = self.layout.shorten(path);
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = String::from_utf8_lossy(&error.as_bytes()[..good]).matches('\n').count() + 1;
            ("the file is not UTF-8".to_owned(), Some(format!("{shown}, line {line}")))
        })?;
        let parsed = json5::parse(&text).map_err(|error| {
            let place = format!("{shown}, line {}, column {}", error.line, error.column);
            (error.message, Some(place))
        })?;
        self.files.push(LoadedFile { path: path.to_owned(), shown, text, prefix: at.clone() });
        Ok(parsed)
    }

    /// Replaces every `$include` below a value.
    fn resolve(
        &mut self,
        value: Value,
        file: &Path,
        at: &ConfigPath,
        chain: &mut Vec<PathBuf>,
    ) -> Result<Value, ConfigProblem> {
        match value {
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, item)| self.resolve(item, file, &at.index(i), chain))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Value::Object(mut members) => {
                let include = members.shift_remove("$include");
                let mut own = Map::with_capacity(members.len());
                for (key, item) in members {
                    let resolved = self.resolve(item, file, &at.key(&key), chain)?;
                    own.insert(key, resolved);
                }
                let Some(include) = include else { return Ok(Value::Object(own)) };
                let included = self.include(&include, file, at, chain)?;
                if own.is_empty() {
                    return Ok(included);
                }
                if !included.is_object() {
                    return Err(problem(
                        at,
                        "Sibling keys require the included content to be an object".to_owned(),
                        None,
                    ));
                }
                Ok(merge(included, Value::Object(own)))
            }
            other => Ok(other),
        }
    }

    fn include(
        &mut self,
        include: &Value,
        file: &Path,
        at: &ConfigPath,
        chain: &mut Vec<PathBuf>,
    ) -> Result<Value, ConfigProblem> {
        let wrong = || {
            problem(
                &at.key("$include"),
                "Invalid input: expected a file name or an array of file names".to_owned(),
                None,
            )
        };
        match include {
            Value::String(name) => self.include_file(name, file, at, chain),
            Value::Array(names) => {
                let mut merged = Value::Object(Map::new());
                for name in names {
                    let next = self.include_file(name.as_str().ok_or_else(wrong)?, file, at, chain)?;
                    merged = merge(merged, next);
                }
                Ok(merged)
            }
            _ => Err(wrong()),
        }
    }

    fn include_file(
        &mut self,
        name: &str,
        from: &Path,
        at: &ConfigPath,
        chain: &mut Vec<PathBuf>,
    ) -> Result<Value, ConfigProblem> {
        let target = normalise(&from.parent().unwrap_or(from).join(name));
        let shown = self.layout.shorten(&target);
        let place = || place_of(&self.files, &at.key("$include"));
        let fail = |message: String| Err(problem(at, message, place()));
        if !target.starts_with(normalise(self.root_dir)) {
            return fail(format!("Include path escapes config directory: {shown}"));
        }
        if chain.contains(&target) {
            let mut names: Vec<String> = chain.iter().map(|path| self.layout.shorten(path)).collect();
            names.push(shown);
            return fail(format!("Circular include detected: {}", names.join(" -> ")));
        }
        if self.files.len() > MAX_INCLUDES {
            return fail(format!("More than {MAX_INCLUDES} files are included; the last one was: {shown}"));
        }
        if chain.len() > MAX_INCLUDE_DEPTH {
            return fail(format!("Maximum include depth ({MAX_INCLUDE_DEPTH}) exceeded at: {shown}"));
        }
        let real = match (self.host.real_path(&target), self.host.real_path(self.root_dir)) {
            (Ok(real), Ok(root)) if real.starts_with(&root) => real,
            (Ok(_), Ok(_)) => {
                return fail(format!("Include path resolves outside config directory (symlink): {shown}"));
            }
            (Err(error), _) | (_, Err(error)) => {
                return fail(format!("Failed to read include file: {shown} ({})", reason(&error)));
            }
        };
        let bytes = match self.host.read_secure(&real, MAX_INCLUDE_BYTES, INCLUDE_TIMEOUT_MS) {
            Ok((facts, bytes)) if facts.hard_links <= 1 => bytes,
            Ok(_) => return fail(format!("Include file failed security checks: {shown} (it has several hard links)")),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return fail(format!("Failed to read include file: {shown} ({})", reason(&error)));
            }
            Err(error) => return fail(format!("Include file failed security checks: {shown} ({})", reason(&error))),
        };
        let parsed = self.parse(&target, bytes, at).map_err(|(message, place)| {
            problem(at, format!("Failed to parse include file: {shown}: {message}"), place)
        })?;
        chain.push(target.clone());
        let resolved = self.resolve(parsed, &target, at, chain);
        chain.pop();
        resolved
    }
}

/// File, line and column of a setting: in the file that holds it, an included one before the main one.
fn place_of(files: &[LoadedFile], subject: &ConfigPath) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for file in files.iter().rev() {
        let Some(rest) = subject.parts().strip_prefix(file.prefix.parts()) else { continue };
        let Some((line, column, depth)) = deepest(&file.text, rest) else { continue };
        let depth = depth + file.prefix.parts().len();
        if best.as_ref().is_none_or(|(known, _)| depth > *known) {
            best = Some((depth, format!("{}, line {line}, column {column}", file.shown)));
        }
    }
    best.map(|(_, place)| place)
}

/// Line and column of the deepest existing member on a path, and how deep it is.
fn deepest(text: &str, parts: &[config::PathPart]) -> Option<(usize, usize, usize)> {
    let path = |depth: usize| {
        parts[..depth].iter().fold(ConfigPath::default(), |path, part| match part {
            config::PathPart::Key(key) => path.key(key),
            config::PathPart::Index(index) => path.index(*index),
        })
    };
    let (line, column) = json5::locate(text, &path(parts.len()))?;
    // The depth that was reached is the shortest prefix with this place.
    let depth = (0..=parts.len()).find(|depth| json5::locate(text, &path(*depth)) == Some((line, column)))?;
    Some((line, column, depth))
}

fn problem(at: &ConfigPath, message: String, place: Option<String>) -> ConfigProblem {
    ConfigProblem { path: at.to_string(), message, place }
}

/// Arrays concatenate, objects merge by key, else the later wins.
fn merge(earlier: Value, later: Value) -> Value {
    match (earlier, later) {
        (Value::Array(mut a), Value::Array(b)) => {
            a.extend(b);
            Value::Array(a)
        }
        (Value::Object(mut a), Value::Object(b)) => {
            for (key, value) in b {
                if matches!(key.as_str(), "__proto__" | "prototype" | "constructor") {
                    continue;
                }
                let merged = match a.get_mut(&key) {
                    Some(old) => merge(old.take(), value),
                    None => value,
                };
                a.insert(key, merged);
            }
            Value::Object(a)
        }
        (_, later) => later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MapHost;

    fn read(host: &MapHost) -> (Result<ConfigFile, ConfigInvalid>, Environment) {
        let mut env = Environment::from_process(host.variables());
        let layout = StateLayout::resolve(&env, host);
        (read_config(&layout, &mut env, host), env)
    }

    fn home() -> MapHost {
        MapHost::new("/h")
    }

    fn problems(host: &MapHost) -> String {
        read(host).0.unwrap_err().to_string()
    }

    #[test]
    fn absent_is_empty_and_valid() {
        assert!(read(&home()).0.unwrap().config.providers.is_empty());
    }

    #[test]
    fn parse_errors_name_file_line_and_column() {
        let text = problems(&home().file("/h/.openclaw/openclaw.json", "{\n  auth: {\n"));
        assert!(
            text.contains("JSON5 parse failed") && text.contains("~/.openclaw/openclaw.json, line 2, column"),
            "{text}"
        );
        let text = problems(&home().file("/h/.openclaw/openclaw.json", b"{\n a: '\xff' }".to_vec()));
        assert!(text.contains("not UTF-8") && text.contains("line 2"), "{text}");
        assert!(problems(&home().file("/h/.openclaw/openclaw.json", "")).contains("the file is empty"));
    }

    #[test]
    fn includes_merge_and_their_faults_are_placed() {
        let host = home()
            .file(
                "/h/.openclaw/openclaw.json",
                "{ auth: { $include: ['./a.json5', 'sub/b.json5'], order: { x: ['own'] } } }",
            )
            .file("/h/.openclaw/a.json5", "{ order: { x: ['a'] } }")
            .file("/h/.openclaw/sub/b.json5", "{ $include: '../c.json5', order: { y: ['b'] } }")
            .file("/h/.openclaw/c.json5", "{ profiles: {} }");
        let config = read(&host).0.unwrap().config;
        let order: Vec<_> = config.auth_order.iter().map(|(p, ids)| (p.as_str(), ids.len())).collect();
        assert_eq!(order, [("x", 2), ("y", 1)]);

        let text = problems(&host.clone().file("/h/.openclaw/c.json5", "{\n  zz: 1 }"));
        assert!(text.contains("auth: Unrecognized key: \"zz\" (~/.openclaw/c.json5, line 2, column 3)"), "{text}");
    }

    #[test]
    fn includes_stay_inside_and_end() {
        let main = |text: &str| home().file("/h/.openclaw/openclaw.json", text);
        assert!(problems(&main("{ $include: '../x.json' }")).contains("Include path escapes config directory"));
        assert!(problems(&main("{ $include: './gone.json' }")).contains("Failed to read include file"));
        assert!(
            problems(&main("{ $include: './b.json' }").file("/h/.openclaw/b.json", "{ x"))
                .contains("Failed to parse include file")
        );
        let around = main("{ $include: './b.json' }").file("/h/.openclaw/b.json", "{ $include: './openclaw.json' }");
        assert!(
            problems(&around)
                .contains("Circular include detected: ~/.openclaw/openclaw.json -> ~/.openclaw/b.json -> ")
        );
        assert!(
            problems(&main("{ $include: './b.json', a: 1 }").file("/h/.openclaw/b.json", "[1]"))
                .contains("Sibling keys")
        );
        let twice = |n: usize| format!("{{ $include: [{}] }}", format!("'./{n}.json',").repeat(9));
        let wide = (1..8).fold(main(&twice(1)), |host, n| host.file(&format!("/h/.openclaw/{n}.json"), twice(n + 1)));
        let wide = wide.file("/h/.openclaw/8.json", "{}");
        assert!(problems(&wide).contains("More than 500 files are included"));
        let mut deep = main("{ $include: './0.json' }");
        for i in 0..12 {
            deep = deep.file(&format!("/h/.openclaw/{i}.json"), format!("{{ $include: './{}.json' }}", i + 1));
        }
        assert!(problems(&deep).contains("Maximum include depth (10) exceeded"));
    }

    #[test]
    fn variables_of_the_block_reach_the_rest() {
        let host = home().file(
            "/h/.openclaw/openclaw.json",
            "{ env: { vars: { BASE: 'https://x.invalid' }, URL2: '${BASE}/v2' }, models: { providers: { p: { baseUrl: '${BASE}/v1', apiKey: '${P_KEY}' } } }, agents: { defaults: { model: '${GONE}' } } }",
        );
        let (file, env) = read(&host);
        let file = file.unwrap();
        assert_eq!(file.config.providers[0].base_url.as_deref(), Some("https://x.invalid/v1"));
        assert!(matches!(file.config.providers[0].api_key, Some(config::SecretInput::Reference(_))));
        assert_eq!(env.get("URL2"), Some("https://x.invalid/v2"));
        assert_eq!(file.warnings.len(), 1);
        assert!(file.warnings[0].contains("missing env var \"GONE\" at agents.defaults.model"));
    }

    #[test]
    fn a_newer_writer_is_only_a_warning() {
        let meta = |version: &str| {
            home().file("/h/.openclaw/openclaw.json", format!("{{meta: {{lastTouchedVersion: '{version}'}}}}"))
        };
        assert_eq!(read(&meta("2026.4.5")).0.unwrap().warnings.len(), 0);
        assert_eq!(read(&meta("2026.11.1-beta.1")).0.unwrap().warnings.len(), 1);
        assert_eq!(read(&meta("strange")).0.unwrap().warnings.len(), 0);
    }

    #[test]
    fn one_directory_for_two_agents_is_refused() {
        let host = home().file(
            "/h/.openclaw/openclaw.json",
            "{agents: {list: [{id: 'a', agentDir: '~/x'}, {id: 'b', agentDir: '~/x/'}]}}",
        );
        let text = problems(&host);
        assert!(
            text.contains("Duplicate agentDir detected") && text.contains("\"a\"") && text.contains("\"b\""),
            "{text}"
        );
    }
}
