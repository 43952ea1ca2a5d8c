//! Broken states of the home directory, made from a seed: the same seed gives the same state. Every secret in them is
//! unique and begins with `xx-test-`, so that it can be found again wherever it went.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

/// How every secret begins.
pub(crate) const SECRET: &str = "xx-test-";

/// A source of choices.
pub(crate) struct Dice {
    seed: u64,
    secrets: u32,
}

impl Dice {
    /// Choices that follow from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1), secrets: 0 }
    }

    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed >> 33
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Yes, once in so many times.
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        &from[at]
    }

    fn secret(&mut self) -> String {
        self.secrets += 1;
        format!("{SECRET}{:08x}-{}", self.seed >> 32, self.secrets)
    }
}

const PROVIDERS: &[&str] = &["anthropic", "groq", "openai", "openai-codex", "acme", "z.ai", "claude-cli"];
const IDS: &[&str] = &[
    "anthropic:claude-cli",
    "anthropic:default",
    "anthropic:me@example.com",
    "anthropic:work",
    "openai-codex:codex-cli",
    "openai-codex:me@example.com",
    "groq:default",
    "groq:b",
    "acme:default",
    "acme:me@example.com",
    "z.ai:x",
    "odd id",
];
const MODELS: &[&str] = &[
    "anthropic/claude-opus-4-6",
    "claude-cli/claude-opus-4-6",
    "Claude-CLI/claude-sonnet-4-6",
    "claude-cli/opus",
    "groq/llama",
    "acme/m",
    "openai/gpt-5.4",
];

/// Makes a state below a home directory that is empty.
pub(crate) fn make(seed: u64, home: &Path) -> io::Result<()> {
    let mut dice = Dice::new(seed);
    let state = home.join(if dice.one_in(12) { ".clawdbot" } else { ".openclaw" });
    fs::create_dir_all(&state)?;
    let config = config(&mut dice);
    if let Some(text) = &config {
        let name = if state.ends_with(".clawdbot") { "clawdbot.json" } else { "openclaw.json" };
        put(&state.join(name), text, &mut dice)?;
    }
    for agent in ["main", "work", "ops"] {
        if agent != "main" && dice.one_in(2) {
            continue;
        }
        let dir = state.join("agents").join(agent).join("agent");
        fs::create_dir_all(&dir)?;
        if !dice.one_in(5) {
            put(&dir.join("auth-profiles.json"), &store(&mut dice), &mut dice)?;
        }
        if dice.one_in(4) {
            put(&dir.join("auth.json"), &auth_json(&mut dice).to_string(), &mut dice)?;
        }
        if dice.one_in(8) {
            let path = dir.join("auth-profiles.json.77.00000000000000aa.tmp");
            put(&path, "{\"version\": 1, \"profi", &mut dice)?;
            let old = SystemTime::now() - Duration::from_secs(3600);
            fs::File::options().write(true).open(&path)?.set_modified(old)?;
        }
        if dice.one_in(8) {
            let lock = r#"{"pid": 999999999, "createdAt": "2020-01-01T00:00:00.000Z"}"#;
            put(&dir.join("auth-profiles.json.lock"), lock, &mut dice)?;
        }
        if dice.one_in(8) {
            set_mode(&dir, 0o755)?;
        }
    }
    if dice.one_in(5) {
        let dir = state.join("agent");
        fs::create_dir_all(&dir)?;
        put(&dir.join("notes.txt"), "notes", &mut dice)?;
        if dice.one_in(2) {
            put(&dir.join("auth-profiles.json"), &store(&mut dice), &mut dice)?;
        }
    }
    if dice.one_in(5) {
        let mut logins = Map::new();
        for provider in ["acme", "chutes"] {
            logins
                .insert(provider.to_owned(), json!({"access": dice.secret(), "refresh": dice.secret(), "expires": 1}));
        }
        fs::create_dir_all(state.join("credentials"))?;
        put(&state.join("credentials/oauth.json"), &Value::from(logins).to_string(), &mut dice)?;
    }
    if dice.one_in(4) {
        put(&state.join(".env"), &format!("GROQ_API_KEY={}\n", dice.secret()), &mut dice)?;
    }
    set_mode(&state, *dice.pick(&[0o700, 0o700, 0o755]))
}

fn put(path: &Path, text: &str, dice: &mut Dice) -> io::Result<()> {
    fs::write(path, text)?;
    set_mode(path, *dice.pick(&[0o600, 0o600, 0o600, 0o644, 0o640, 0o400]))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn expiry(dice: &mut Dice) -> Value {
    dice.pick(&[json!(1_u64), json!(0), json!(4_102_444_800_000_u64), json!("soon"), json!(4_102_444_800_000.5)])
        .clone()
}

fn entry(dice: &mut Dice, id: &str) -> Value {
    let own = id.split(':').next().unwrap_or("acme");
    let provider = if dice.one_in(4) { (*dice.pick(PROVIDERS)).to_owned() } else { own.to_owned() };
    let provider = if provider == "odd id" { "acme".to_owned() } else { provider };
    let mut entry = match dice.below(9) {
        0..=2 => json!({"type": "api_key", "provider": provider, "key": dice.secret()}),
        3 => json!({"type": "token", "provider": provider, "token": dice.secret(), "expires": expiry(dice)}),
        4..=5 => {
            json!({"type": "oauth", "provider": provider, "access": dice.secret(), "refresh": dice.secret(), "expires": expiry(dice)})
        }
        6 => json!({"mode": "api_key", "provider": provider, "apiKey": dice.secret()}),
        7 => {
            json!({"type": "api_key", "provider": provider, "keyRef": {"source": "env", "provider": "default", "id": "NOT_THERE"}})
        }
        _ => match dice.below(5) {
            0 => json!({"type": "nonsense", "provider": provider, "key": dice.secret()}),
            1 => json!({"type": "api_key", "key": dice.secret()}),
            2 => json!({"type": "api_key", "provider": provider, "api_key": dice.secret()}),
            3 => {
                json!({"type": "api_key", "provider": provider, "key": {"source": "env", "provider": "default", "id": "NOT_THERE"}})
            }
            _ => json!([dice.secret()]),
        },
    };
    if let Some(fields) = entry.as_object_mut() {
        if dice.one_in(4) {
            fields.insert("email".to_owned(), json!("me@example.com"));
        }
        if dice.one_in(5) {
            fields.insert("unknownField".to_owned(), json!({"keep": dice.secret()}));
        }
    }
    entry
}

fn some_ids(dice: &mut Dice) -> Vec<Value> {
    let count = dice.below(4);
    (0..count).map(|_| if dice.one_in(5) { json!("gone:id") } else { json!(dice.pick(IDS)) }).collect()
}

fn store(dice: &mut Dice) -> String {
    match dice.below(16) {
        0 => return format!("{{\"version\": 1, \"profiles\": {{\"groq:x\": {{\"key\": \"{}\"", dice.secret()),
        1 => return json!({"something": "else", "key": dice.secret()}).to_string(),
        2 => return json!([dice.secret()]).to_string(),
        _ => {}
    }
    let mut profiles = Map::new();
    for _ in 0..dice.below(6) {
        let id = *dice.pick(IDS);
        let entry = entry(dice, id);
        profiles.insert(id.to_owned(), entry);
    }
    let mut store = json!({"version": if dice.one_in(20) { 9 } else { 1 }, "profiles": profiles});
    if dice.one_in(2) {
        let mut order = Map::new();
        for _ in 0..=dice.below(2) {
            let provider = *dice.pick(PROVIDERS);
            let ids = some_ids(dice);
            order.insert(provider.to_owned(), Value::from(ids));
        }
        store["order"] = Value::from(order);
    }
    if dice.one_in(3) {
        store["lastGood"] = json!({*dice.pick(PROVIDERS): dice.pick(IDS)});
    }
    if dice.one_in(2) {
        let mut usage = Map::new();
        for _ in 0..=dice.below(3) {
            let id = if dice.one_in(4) { "gone:id" } else { *dice.pick(IDS) };
            let until = if dice.one_in(2) { 1_u64 } else { 4_102_444_800_000 };
            usage.insert(id.to_owned(), json!({"errorCount": 2, "cooldownUntil": until, "odd": [1]}));
        }
        store["usageStats"] = Value::from(usage);
    }
    if dice.one_in(6) {
        store["unknownSection"] = json!({"keep": dice.secret()});
    }
    let text = if dice.one_in(2) { store.to_string() } else { format!("{store:#}\n") };
    if dice.one_in(10) { format!("\u{feff}{text}") } else { text }
}

fn auth_json(dice: &mut Dice) -> Value {
    let mut entries = Map::new();
    for provider in ["groq", "openai", "mistral"] {
        if dice.one_in(2) {
            continue;
        }
        let entry = if dice.one_in(4) {
            json!({"type": "odd", "key": dice.secret()})
        } else {
            json!({"type": "api_key", "key": dice.secret(), "metadata": {"accountId": "a"}})
        };
        entries.insert(provider.to_owned(), entry);
    }
    Value::from(entries)
}

fn config(dice: &mut Dice) -> Option<String> {
    if dice.one_in(8) {
        return None;
    }
    if dice.one_in(20) {
        return Some("{ auth: { profiles: ".to_owned());
    }
    let mut root = Map::new();
    root.insert("gateway".to_owned(), json!({"mode": "local", "auth": {"mode": "token", "token": dice.secret()}}));
    if dice.one_in(4) {
        root.insert("gateway".to_owned(), json!({"port": 1}));
    }
    let mut auth = Map::new();
    if !dice.one_in(3) {
        let mut profiles = Map::new();
        for _ in 0..dice.below(5) {
            let id = *dice.pick(IDS);
            let provider = if dice.one_in(3) { *dice.pick(PROVIDERS) } else { id.split(':').next().unwrap_or("acme") };
            let mode = if dice.one_in(30) { "nonsense" } else { *dice.pick(&["api_key", "token", "oauth"]) };
            let mut entry = json!({"provider": provider, "mode": mode});
            if dice.one_in(4) {
                entry["email"] = json!("me@example.com");
            }
            if dice.one_in(12) {
                entry["bogus"] = json!(1);
            }
            profiles.insert(id.to_owned(), entry);
        }
        auth.insert("profiles".to_owned(), Value::from(profiles));
    }
    if dice.one_in(2) {
        let mut order = Map::new();
        for _ in 0..=dice.below(2) {
            let provider = *dice.pick(PROVIDERS);
            let ids = some_ids(dice);
            order.insert(provider.to_owned(), Value::from(ids));
        }
        auth.insert("order".to_owned(), Value::from(order));
    }
    if dice.one_in(8) {
        auth.insert("bogus".to_owned(), json!({"x": 1}));
    }
    root.insert("auth".to_owned(), Value::from(auth));
    let mut defaults = Map::new();
    if dice.one_in(2) {
        defaults.insert("model".to_owned(), json!(dice.pick(MODELS)));
    } else {
        let model = json!({"primary": dice.pick(MODELS), "fallbacks": [dice.pick(MODELS), dice.pick(MODELS)]});
        defaults.insert("model".to_owned(), model);
    }
    if dice.one_in(3) {
        defaults.insert("models".to_owned(), json!({*dice.pick(MODELS): {"alias": "a"}, *dice.pick(MODELS): {}}));
    }
    let mut agents = json!({"defaults": defaults});
    if dice.one_in(2) {
        agents["list"] = json!([{"id": "main", "default": true}, {"id": "work", "model": dice.pick(MODELS)}]);
    }
    root.insert("agents".to_owned(), agents);
    if dice.one_in(4) {
        root.insert("bogusTop".to_owned(), json!(1));
    }
    if dice.one_in(6) {
        root.insert("tools".to_owned(), json!({"web": {"x_search": {"apiKey": dice.secret()}}}));
    }
    if dice.one_in(6) {
        root.insert("memorySearch".to_owned(), json!({"remote": {"apiKey": dice.secret()}}));
    }
    if dice.one_in(6) {
        let lab =
            json!({"providers": {"lab": {"baseUrl": "https://lab.example", "apiKey": dice.secret(), "models": []}}});
        root.insert("models".to_owned(), lab);
    }
    let text = format!("{:#}", Value::from(root));
    Some(if dice.one_in(2) { format!("// kept comment\n{text}\n") } else { text })
}

/// Every file below a directory, links not followed.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

/// Every secret in a text.
pub(crate) fn secrets_in(text: &str) -> Vec<String> {
    let found = text.match_indices(SECRET).map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    found.collect()
}

/// Every secret in every file below a directory.
pub(crate) fn secrets_below(dir: &Path) -> std::collections::BTreeSet<String> {
    let texts = files(dir).into_iter().filter_map(|path| fs::read(path).ok());
    texts.flat_map(|bytes| secrets_in(&String::from_utf8_lossy(&bytes))).collect()
}

/// Path, mode and content of every file and the mode of every directory below one, without what only grows.
pub(crate) fn snapshot(home: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    fn walk(dir: &Path, found: &mut Vec<(PathBuf, u32, Vec<u8>)>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if path.ends_with("logs") {
                continue;
            }
            let content = if meta.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
            found.push((path.clone(), meta.permissions().mode() & 0o7777, content));
            if meta.is_dir() {
                walk(&path, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(home, &mut found);
    found.sort();
    found
}
