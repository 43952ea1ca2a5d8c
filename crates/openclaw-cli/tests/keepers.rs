//! Keys at rest in an age file, through the built program: made, filled, moved into, read by others.
#![cfg(feature = "age")]

mod sandbox;

use sandbox::Sandbox;

const STORE: &str = r#"{"version": 1, "profiles": {
    "openai:default": {"type": "api_key", "provider": "openai", "key": "sk-test-canary-openai-0001"},
    "groq:work": {"type": "token", "provider": "groq", "token": "sk-test-canary-groq-000001"}}}"#;

/// A home with an age store and two plaintext keys.
fn filled() -> Sandbox {
    let home = Sandbox::new()
        .config("{ // mine\n  models: { providers: { acme: { baseUrl: 'http://127.0.0.1:9', api: 'openai-completions', models: [], apiKey: 'sk-test-canary-acme-00001' } } },\n}")
        .profiles(STORE);
    let made = home.run(&["secrets", "store", "init", "age"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    home
}

/// Every file below the home, but not those that are sealed.
fn in_the_clear(home: &Sandbox) -> Vec<String> {
    let files = home.tree();
    let found = files.iter().filter(|(_, (_, _, content))| String::from_utf8_lossy(content).contains("canary"));
    found.map(|(path, _)| path.display().to_string()).collect()
}

#[test]
fn a_keeper_takes_secrets_and_never_prints_one() {
    let home = filled();
    let set = home.with_input(&["secrets", "store", "set", "age", "openai/work"], "sk-test-canary-set-000001\n");
    assert_eq!((set.code, set.stdout.as_str()), (0, "Stored openai/work (sk-t...0001)\n"), "{}", set.stderr);
    let listed = home.run(&["secrets", "store", "ls", "age"]);
    assert_eq!(listed.stdout, "openai/work\n");
    for printed in [set, listed, home.run(&["secrets", "store", "ls", "age", "--json"])] {
        printed.check("canary");
    }
    assert_eq!(home.run(&["secrets", "store", "rm", "age", "openai/work"]).code, 0);
    assert_eq!(home.run(&["secrets", "store", "rm", "age", "openai/work"]).code, 1);
    assert_eq!(home.with_input(&["secrets", "store", "set", "age", "../x"], "v\n").code, 1);
}

#[test]
fn a_keeper_answers_the_exec_protocol() {
    let home = filled();
    home.with_input(&["secrets", "store", "set", "age", "a"], "sk-test-canary-set-000001\n");
    let ask = |request: &str| home.with_input(&["secrets", "helper", "age"], request);
    let answer = ask(r#"{"protocolVersion":1,"provider":"age","ids":["a","b"]}"#);
    let answer: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(answer["values"]["a"], "sk-test-canary-set-000001");
    assert_eq!(answer["errors"]["b"]["message"], "not found");
    assert_eq!(ask("rubbish").code, 2);
}

#[test]
fn plaintext_moves_into_a_keeper_and_nothing_of_it_is_left() {
    let home = filled();
    let plan = home.path("plan.json");
    let plan = plan.to_str().unwrap();
    let made = home.run(&["secrets", "plan", "--to", "age", "--out", plan]);
    made.check("canary");
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(!std::fs::read_to_string(plan).unwrap().contains("canary"));
    let dry = home.run(&["secrets", "apply", "--from", plan, "--dry-run"]);
    dry.check("canary");
    assert!(dry.stdout.contains("2 file(s) would change"), "{}{}", dry.stdout, dry.stderr);
    // Config, store, and the backup that making the keeper left.
    assert_eq!(in_the_clear(&home).len(), 3);
    // No --allow-exec: the only program is this one.
    let applied = home.run(&["secrets", "apply", "--from", plan]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    assert_eq!(in_the_clear(&home), Vec::<String>::new());
    assert!(std::fs::read_to_string(home.path(".openclaw/openclaw.json")).unwrap().contains("// mine"));
    let audit = home.run(&["secrets", "audit", "--check", "--json"]);
    assert_eq!(audit.code, 0, "{}", audit.stdout);
    let again = home.run(&["secrets", "apply", "--from", plan]);
    assert!(again.stdout.contains("no changes"), "{}{}", again.stdout, again.stderr);
    // As another program would ask: by starting us.
    let foreign = home.run(&["secrets", "audit", "--allow-exec", "--json"]);
    assert_eq!(foreign.code, 0, "{}", foreign.stdout);
}

#[test]
fn a_keeper_that_lost_a_value_keeps_the_plaintext() {
    let home = filled();
    let plan = home.path("plan.json");
    let plan = plan.to_str().unwrap();
    home.run(&["secrets", "plan", "--to", "age", "--out", plan]);
    home.with_input(&["secrets", "store", "set", "age", "openai/default"], "sk-test-another-one-0001\n");
    let before = in_the_clear(&home);
    let applied = home.run(&["secrets", "apply", "--from", plan]);
    assert_eq!(applied.code, 1);
    assert!(applied.stderr.contains("resolves to another secret"), "{}", applied.stderr);
    applied.check("canary");
    assert_eq!(in_the_clear(&home), before);
}
