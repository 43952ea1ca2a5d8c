//! Taking over the login of another program (spec 04 section 1.8): its file is read, never written.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has nothing to report")]

mod common;

use auth_oauth::{ForeignCli, ImportError, Imported};
use auth_store::RealHost;
use common::issuer::jwt;
use common::{CANARY, World};
use serde_json::{Value, json};

fn read(world: &World, cli: ForeignCli, take_over: bool) -> Result<Imported, ImportError> {
    let result = cli.read(&world.env, &world.layout(), &RealHost, take_over);
    if let Err(error) = &result {
        assert!(!format!("{error} {error:?}").contains(CANARY), "a secret is told: {error}");
    }
    result
}

fn put(world: &World, cli: ForeignCli, text: &str) {
    let path = cli.path(&world.env, &world.layout());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn codex(account: Option<&str>) -> Value {
    let claims = json!({
        "exp": 4_102_444_800_u64,
        "https://api.openai.com/auth": {"chatgpt_account_id": "acct-claim"},
        "https://api.openai.com/profile": {"email": "a@example.com"},
    });
    json!({"tokens": {"access_token": jwt(&claims), "refresh_token": "rt-canary-1", "account_id": account}})
}

#[test]
fn codex_stays_the_one_that_refreshes_unless_its_login_is_taken_over() {
    let world = World::new();
    put(&world, ForeignCli::Codex, &codex(Some("acct-file")).to_string());
    let path = ForeignCli::Codex.path(&world.env, &world.layout());
    assert!(path.ends_with(".codex/auth.json"));
    let before = std::fs::read(&path).unwrap();
    for take_over in [false, true] {
        let imported = read(&world, ForeignCli::Codex, take_over).unwrap();
        let members = imported.login.members();
        let member = |name: &str| members.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        assert_eq!(imported.login.profile_id.as_str(), "openai-codex:a@example.com");
        assert_eq!(member("expires"), Some(json!(4_102_444_800_000_u64)));
        assert_eq!(member("accountId"), Some(json!("acct-file")));
        assert_eq!(member("email"), Some(json!("a@example.com")));
        assert_eq!(member("refresh"), take_over.then(|| json!("rt-canary-1")));
        assert_eq!(member("managedBy"), (!take_over).then(|| json!("codex-cli")));
        assert_eq!(imported.took_refresh, take_over);
        assert!(!format!("{imported:?}").contains(CANARY));
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    put(&world, ForeignCli::Codex, &codex(None).to_string());
    let imported = read(&world, ForeignCli::Codex, false).unwrap();
    assert!(imported.login.members().contains(&("accountId", json!("acct-claim"))));
}

#[test]
fn a_variable_says_where_codex_is() {
    let mut world = World::new();
    world.env.set("CODEX_HOME", "~/elsewhere".to_owned());
    put(&world, ForeignCli::Codex, &codex(None).to_string());
    assert!(world.dir.path().join("elsewhere/auth.json").exists());
    assert!(read(&world, ForeignCli::Codex, false).is_ok());
}

#[test]
fn gemini_gives_one_profile() {
    let world = World::new();
    let file =
        json!({"access_token": "ya29.canary", "refresh_token": "1//canary", "expiry_date": 1_900_000_000_000_u64});
    put(&world, ForeignCli::Gemini, &file.to_string());
    let imported = read(&world, ForeignCli::Gemini, false).unwrap();
    assert!(imported.path.ends_with(".gemini/oauth_creds.json"));
    assert_eq!(
        imported.login.members(),
        [
            ("type", json!("oauth")),
            ("provider", json!("google-gemini-cli")),
            ("access", json!("ya29.canary")),
            ("expires", json!(1_900_000_000_000_u64)),
            ("managedBy", json!("gemini-cli")),
        ]
    );
    assert_eq!(imported.login.profile_id.as_str(), "google-gemini-cli:default");
}

#[test]
fn what_is_missing_is_named() {
    let world = World::new();
    for cli in [ForeignCli::Codex, ForeignCli::Gemini] {
        let error = read(&world, cli, false).unwrap_err();
        assert!(matches!(&error, ImportError::NotThere { .. }) && error.to_string().contains(cli.label()), "{error}");
    }
    for (cli, text, take_over, said) in [
        (ForeignCli::Codex, "{ \"canary\": }".to_owned(), false, "line 1, column 13"),
        (ForeignCli::Codex, "{}".to_owned(), false, "no access token"),
        (ForeignCli::Codex, json!({"OPENAI_API_KEY": "sk-canary"}).to_string(), false, "no access token"),
        (
            ForeignCli::Codex,
            json!({"tokens": {"access_token": "at-canary"}}).to_string(),
            false,
            "when the access token ends",
        ),
        (ForeignCli::Gemini, json!({"access_token": "ya29.canary"}).to_string(), false, "when the access token ends"),
        (
            ForeignCli::Gemini,
            json!({"access_token": "ya29.canary", "expiry_date": 1}).to_string(),
            true,
            "no refresh token",
        ),
    ] {
        put(&world, cli, &text);
        let error = read(&world, cli, take_over).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
