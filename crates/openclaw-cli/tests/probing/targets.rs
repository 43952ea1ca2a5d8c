//! Which rows there are, where they are asked, and what is said of those that are not (spec 03 sections 3, 5.1, 9).

use serde_json::{Value, json};

use super::sandbox::{Sandbox, from_now};
use super::server::{Server, answer, error};
use super::{FAR, KEY, config, entry, good, key, rows, run, store, verdict, with_certificate};

fn home(providers: &[(&str, Value)], profiles: &[(&str, Value)]) -> Sandbox {
    Sandbox::new().config(&config(providers)).profiles(store(profiles))
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["profileId"].as_str().unwrap_or_default()).collect()
}

/// Spec 03 section 7.1: what is left out comes first, whatever keeps it from being sent.
#[test]
fn rows_that_are_not_sent_come_first_and_say_why() {
    let server = Server::saying(answer("200 OK", "", "{\"data\":[]}"));
    let home = home(
        &[("acme", entry(&server.url())), ("perplexity", entry(&server.url()))],
        &[
            ("acme:a", key("acme", KEY)),
            ("acme:none", key("acme", "")),
            ("lost:a", key("lost", KEY)),
            ("perplexity:a", key("perplexity", KEY)),
        ],
    );
    let found = rows(&home, FAR, &["--probe-mode", "free"]);
    assert_eq!(ids(&found), ["acme:none", "lost:a", "perplexity:a", "acme:a"]);
    let error = |at: usize| found[at]["error"].as_str().unwrap_or_default();
    let repair = "\n→ openclaw models auth paste-api-key --provider acme --profile-id acme:none";
    assert!(error(0).ends_with(repair), "{}", error(0));
    // Without an address there is nobody to ask; free mode needs no model, so that none is missing.
    assert_eq!(verdict(&found[1]), ("unknown", "unsupported_probe"));
    assert!(error(1).contains("models.providers.lost.baseUrl"), "{}", error(1));
    assert_eq!(verdict(&found[2]), ("unknown", "no_free_check"));
    assert_eq!(verdict(&found[3]), ("ok", ""));
    assert!(found[..3].iter().all(|row| row.get("latencyMs").is_none()), "{found:?}");
    assert_eq!(server.connections(), 1);

    let bedrock = json!({ "agents": { "defaults": { "model": "amazon-bedrock/m" } } }).to_string();
    let home = Sandbox::new().config(&bedrock).env("AWS_PROFILE", "work");
    let found = rows(&home, FAR, &[]);
    assert_eq!(verdict(&found[0]), ("unknown", "unsupported_probe"), "{found:?}");
    assert!(found[0]["error"].as_str().unwrap().starts_with("AWS_PROFILE cannot be probed"), "{found:?}");
}

/// Spec 03 section 3: without a key only servers on this machine are asked, and only for free.
#[test]
fn servers_without_a_key_are_asked_on_this_machine_only() {
    let server = Server::saying(answer("200 OK", "", "{\"models\":[]}"));
    let bare = |url: &str, api: &str| json!({ "baseUrl": url, "api": api, "models": [] });
    let home = Sandbox::new().config(&config(&[
        ("here", bare(&server.url(), "openai-completions")),
        (
            "keyed",
            json!({ "baseUrl": server.url(), "api": "openai-completions", "apiKey": "OPENAI_API_KEY", "models": [] }),
        ),
        ("ollama", bare("http://192.0.2.1:11434", "ollama")),
    ]));
    let found = rows(&home, FAR, &["--probe-mode", "free"]);
    let shown: Vec<_> = found.iter().map(|row| (&row["provider"], &row["mode"], &row["check"])).collect();
    assert_eq!(shown, [(&json!("here"), &json!("none"), &json!("models"))]);
    assert_eq!(server.asked()[0].header("authorization"), None);
    assert!(rows(&home, FAR, &[]).is_empty());
}

/// Spec 03 section 5.2: the variables name the resource of Azure, whatever the config says.
#[test]
fn variables_lead_to_the_resource_of_azure() {
    let (named, configured) = (Server::saying(error("401 No", "no")), Server::saying(error("401 No", "no")));
    let azure = json!({ "baseUrl": configured.url(), "api": "azure-openai-responses", "models": [{ "id": "m1", "name": "M1" }] });
    let home = home(&[("azure", azure)], &[("azure:a", key("azure", KEY))]);
    rows(&home, FAR, &[]);
    assert_eq!((named.connections(), configured.connections()), (0, 1));
    rows(&home.env("AZURE_OPENAI_BASE_URL", &named.url()), FAR, &[]);
    assert_eq!((named.connections(), configured.connections()), (1, 1));
    assert!(named.asked()[0].head.starts_with(b"POST /v1/responses?api-version=v1 "));
}

/// Spec 03 section 5.2: the token names the account of a ChatGPT login, else the store does.
#[test]
fn the_account_of_a_login_may_stand_in_the_store() {
    let server = Server::saying(error("401 No", "no"));
    let codex =
        json!({ "baseUrl": server.url(), "api": "openai-codex-responses", "models": [{ "id": "m1", "name": "M1" }] });
    // {"https://api.openai.com/auth":{"chatgpt_account_id":"of-token"}} and {}.
    let with_claim = "e30.eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoib2YtdG9rZW4ifX0.Zq7v";
    let without = "e30.e30.Zq7vXw2LmN9pRt4KbY6sHd3F";
    let login = |access: &str, account: &str| {
        json!({ "type": "oauth", "provider": "openai-codex", "access": access, "refresh": "of-no-use", "accountId": account,
            "expires": from_now(90_000) })
    };
    let home = home(
        &[("openai-codex", codex)],
        &[
            ("openai-codex:claim", login(with_claim, "of-store")),
            ("openai-codex:store", login(without, "of-store")),
            ("openai-codex:nowhere", login(&format!("{without}x"), " ")),
        ],
    );
    let found = rows(&home, FAR, &["--probe-concurrency", "1"]);
    assert_eq!(ids(&found), ["openai-codex:nowhere", "openai-codex:claim", "openai-codex:store"]);
    assert_eq!(verdict(&found[0]), ("unknown", "invalid_token"));
    let accounts: Vec<_> = server.asked().iter().map(|asked| asked.header("chatgpt-account-id")).collect();
    assert_eq!(accounts, [Some(b"of-token".to_vec()), Some(b"of-store".to_vec())]);
}

/// Spec 03 section 5.1: proxies are variables like any other, wherever they are set.
#[test]
fn a_proxy_may_be_named_in_the_dotenv_file() {
    let proxy = Server::saying(error("401 Unauthorized", "of the proxy"));
    let home = home(&[("acme", entry("http://provider.invalid/v1"))], &[("acme:a", key("acme", KEY))])
        .file(".openclaw/.env", format!("HTTP_PROXY=http://{}\n", proxy.address));
    let row = rows(&home, FAR, &[]).remove(0);
    assert_eq!(verdict(&row), ("auth", "auth"), "{row}");
    assert!(proxy.asked()[0].head.starts_with(b"POST http://provider.invalid/v1/chat/completions "));
    // Excepted; an address that is none stops everything, without being shown.
    let row = rows(&home.env("NO_PROXY", "provider.invalid"), "3000", &[]).remove(0);
    assert_eq!((row["status"].as_str(), proxy.connections()), (Some("timeout"), 1), "{row}");
    let home = self::home(&[("acme", entry("http://provider.invalid/v1"))], &[("acme:a", key("acme", KEY))]);
    let printed = run(&home.env("HTTPS_PROXY", &format!("http://me:{KEY}@[")), &["models", "status", "--probe"]);
    assert!(printed.code == 1 && printed.stderr.contains("HTTPS_PROXY is no address"), "{}", printed.stderr);
}

/// Spec 03 section 5.6: the certificates of a provider's own authority count for that provider.
#[test]
fn an_authority_of_a_provider_is_trusted_for_it_alone() {
    let (server, authority) = with_certificate("127.0.0.1", false);
    let url = server.url().replace("http:", "https:");
    let mut own = entry(&url);
    own["request"] = json!({ "tls": { "ca": authority } });
    let mut by_reference = entry(&url);
    by_reference["request"] = json!({ "tls": { "ca": { "source": "env", "provider": "default", "id": "OUR_CA" } } });
    let mut broken = entry(&url);
    broken["request"] = json!({ "tls": { "ca": "no certificate" } });
    let providers = [("broken", broken), ("other", entry(&url)), ("own", own), ("refers", by_reference)];
    let profiles: Vec<(String, Value)> =
        providers.iter().map(|(name, _)| (format!("{name}:a"), key(name, &format!("{KEY}{name}")))).collect();
    let profiles: Vec<(&str, Value)> = profiles.iter().map(|(id, profile)| (id.as_str(), profile.clone())).collect();
    let found = rows(&home(&providers, &profiles).env("OUR_CA", &authority), FAR, &[]);
    let shown: Vec<_> = found.iter().map(|row| (row["provider"].as_str().unwrap(), verdict(row))).collect();
    let tls = ("unknown", "tls");
    assert_eq!(shown, [("broken", tls), ("other", tls), ("own", ("ok", "")), ("refers", ("ok", ""))]);
    assert!(found[0]["error"].as_str().unwrap().contains("request.tls.ca"), "{found:?}");
    assert_eq!(server.asked().len(), 2);
}

/// Spec 03 section 7.2: labels sort as people read them, not as bytes.
#[test]
fn the_rows_of_the_report_are_sorted_for_people() {
    let server = Server::saying(good());
    let profiles = ["acme:b", "acme:C", "acme:a-1", "acme:a_2", "acme:a1"];
    let keys: Vec<(&str, Value)> = profiles.iter().map(|id| (*id, key("acme", &format!("{KEY}{id}")))).collect();
    let page = run(&home(&[("acme", entry(&server.url()))], &keys), &["models", "status", "--probe"]).stdout;
    let section = page.split("Auth probes").nth(1).unwrap();
    let shown: Vec<&str> = section.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(shown[..5], ["acme:a_2", "acme:a-1", "acme:a1", "acme:b", "acme:C"]);
}
