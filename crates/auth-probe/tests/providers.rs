//! Every language-model provider of the catalogue: what its answers mean.
//!
//! The answers stand in `fixtures/providers.json`. Each is judged twice: by the pure functions, and as it comes over a
//! connection of this machine, where its headers count too.
#![allow(clippy::expect_used, clippy::panic, reason = "a fixture that cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use auth_core::config::AgentId;
use auth_core::failure::{ProbeStatus, Reason, Signal, classify_probe};
use auth_core::probe::{Endpoint, ProbeOptions, ProbePlan, Step};
use auth_core::provider::{PROVIDERS, ProviderId, ProviderKind};
use auth_core::secrets::Redactor;
use auth_core::{AmbientFacts, AuthProfiles, Config, Environment, Owner, ResolvedRefs, Secret, Situation, Timestamp};
use auth_probe::wire::{ApiKind, Progress, Reader, StreamError, error_text};
use auth_probe::{Clients, Job, JobSettings, Limits, Proxies, Task, job, run};
use serde_json::{Map, Value, json};

const FIXTURES: &str = include_str!("fixtures/providers.json");
const NOW_MS: i64 = 1_790_000_000_000;
const KEY: &str = "sk-test-providers-00000001";
/// `{"https://api.openai.com/auth": {"chatgpt_account_id": "acc-test"}}` between two parts that nobody reads.
const CHATGPT_TOKEN: &str =
    "e30.eyJodHRwczovL2FwaS5vcGVuYWkuY29tL2F1dGgiOnsiY2hhdGdwdF9hY2NvdW50X2lkIjoiYWNjLXRlc3QifX0.c2ln";

struct Fixtures(Value);

/// One answer and the status that it must give.
struct Case {
    name: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What is right.
    expect: String,
    /// What is given instead, where the classification is known to be wrong.
    today: Option<String>,
    retry_after_ms: Option<u64>,
}

impl Fixtures {
    fn read() -> Self {
        Self(serde_json::from_str(FIXTURES).expect("the fixtures are JSON"))
    }

    fn members(&self, name: &str) -> &Map<String, Value> {
        self.0[name].as_object().expect("an object")
    }

    fn cases(&self, provider: &str) -> Vec<Case> {
        let cases = self.members("providers")[provider]["cases"].as_object().expect("cases");
        for name in ["ok", "bad_key", "rate_limit"] {
            assert!(cases.contains_key(name), "{provider} has no case {name}");
        }
        let of_family =
            |name: &str, family: &Value| self.0["families"][family.as_str().unwrap_or_default()][name].clone();
        cases
            .iter()
            .map(|(name, case)| match case.get("family") {
                Some(family) => Case::new(name, &of_family(name, family)),
                None => Case::new(name, case),
            })
            .collect()
    }
}

impl Case {
    fn new(name: &str, case: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let usual = match name {
            "ok" => Some("ok"),
            "bad_key" => Some("auth"),
            "rate_limit" => Some("rate_limit"),
            _ => None,
        };
        let headers = case.get("headers").and_then(Value::as_object).into_iter().flatten();
        Self {
            name: name.to_owned(),
            status: case["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status"),
            headers: headers.map(|(name, value)| (name.clone(), text(value).expect("a text"))).collect(),
            body: body(case),
            expect: text(&case["expect"]).or(usual.map(str::to_owned)).expect("an expected status"),
            today: text(&case["today"]),
            retry_after_ms: case["retry_after_ms"].as_u64(),
        }
    }

    /// Complains unless the status is the right one, or the wrong one that is known.
    fn check(&self, provider: &str, how: &str, status: ProbeStatus, why: Option<Reason>, complaints: &mut String) {
        let (is, expect) = (status.as_str(), self.expect.as_str());
        let name = &self.name;
        let complaint = match self.today.as_deref() {
            None if is == expect => return,
            None => format!("is {is} ({why:?}), not {expect}"),
            Some(today) if today == is && is != expect => return,
            Some(_) if is == expect => format!("is {is}, as it should be: take `today` out"),
            Some(today) => format!("is {is} ({why:?}), neither {expect} nor, as it was, {today}"),
        };
        let _ = writeln!(complaints, "{provider} {name} {how}: {complaint}");
    }
}

fn body(case: &Value) -> Vec<u8> {
    if let Some(frames) = case["frames"].as_array() {
        return frames.iter().flat_map(|parts| frame(&parts[0], &parts[1])).collect();
    }
    match (&case["json"], &case["lines"], &case["text"]) {
        (_, Value::Array(lines), _) => {
            let lines: Vec<&str> = lines.iter().map(|line| line.as_str().expect("a line")).collect();
            (lines.join("\n") + "\n").into_bytes()
        }
        (_, _, Value::String(text)) => text.clone().into_bytes(),
        (Value::Null, ..) => panic!("a case without a body"),
        (json, ..) => json.to_string().into_bytes(),
    }
}

/// One message of AWS's binary framing, with wrong checksums.
fn frame(headers: &Value, payload: &Value) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).expect("a short frame").to_be_bytes();
    let mut block = Vec::new();
    for (name, value) in headers.as_object().expect("headers") {
        let value = value.as_str().expect("a text");
        block.push(u8::try_from(name.len()).expect("a short name"));
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let total = number(16 + block.len() + payload.len());
    [&total[..], &number(block.len()), b"crc.", &block, payload.as_bytes(), b"crc."].concat()
}

/// What a profile of a provider leads to: where its request goes, or why there is none.
fn planned(provider: &str, entry: &Value) -> Result<(Endpoint, Option<String>, Option<Secret>), String> {
    let id = ProviderId::normalise(provider);
    let root = match entry.get("config") {
        Some(config) => json!({"models": {"providers": {provider: config}}}),
        None => json!({}),
    };
    let credential = if entry["credential"] == "chatgpt" {
        json!({"type": "oauth", "provider": id.as_str(), "access": CHATGPT_TOKEN, "refresh": "r", "expires": NOW_MS + 3_600_000})
    } else {
        json!({"type": "api_key", "provider": id.as_str(), "key": KEY})
    };
    let store = json!({"version": 1, "profiles": {"test": credential}}).to_string();
    let situation = Situation {
        config: &Config::from_value(&root),
        environment: &Environment::default(),
        ambient: AmbientFacts::default(),
        store: &AuthProfiles::parse(&store, Owner::Agent).map_err(|error| error.to_string())?,
        refs: &ResolvedRefs::default(),
        now: Timestamp::from_ms(NOW_MS),
    };
    let options = ProbeOptions { provider: Some(provider.to_owned()), ..ProbeOptions::default() };
    let plan = ProbePlan::build(&situation, None::<&AgentId>, &options);
    let row = plan.rows.into_iter().next().ok_or("no row")?;
    match row.step {
        Step::Send { endpoint, credential } => Ok((*endpoint, row.model, credential)),
        Step::Skip(skip) => Err(skip.error),
        Step::Renew { .. } => Err("has to be renewed".to_owned()),
    }
}

/// The request of a provider, or why there is none.
fn request(provider: &str, entry: &Value) -> Result<Job, String> {
    let (endpoint, model, credential) = planned(provider, entry)?;
    let settings = JobSettings {
        max_tokens: 8,
        free: false,
        user_agent: "openclaw/1.2.3",
        session_id: "probe-1",
        environment: &Environment::default(),
        now_ms: NOW_MS,
        account_id: None,
    };
    job(provider, model.as_deref(), &endpoint, credential.as_ref(), false, settings).map_err(|(_, text)| text)
}

fn language_models() -> impl Iterator<Item = &'static str> {
    PROVIDERS.iter().filter(|info| info.kind == ProviderKind::Llm).map(|info| info.id)
}

#[test]
fn every_provider_has_answers_or_a_reason() {
    let fixtures = Fixtures::read();
    let known: BTreeSet<&str> = language_models().collect();
    let (with, without) = (fixtures.members("providers"), fixtures.members("not_probed"));
    for id in &known {
        assert!(
            with.contains_key(*id) != without.contains_key(*id),
            "{id}: give its answers in fixtures/providers.json, or under not_probed the reason why it is not asked"
        );
    }
    for id in with.keys().chain(without.keys()) {
        assert!(known.contains(id.as_str()), "{id} is no language-model provider of the catalogue");
    }
    for (id, reason) in without {
        assert!(reason.as_str().is_some_and(|reason| !reason.is_empty()), "{id}");
        assert!(request(id, &Value::Null).is_err(), "{id} can be asked: give its answers");
    }
}

/// The step of Bedrock's row with these variables.
fn bedrock(variables: &[(&str, &str)]) -> (&'static str, Step) {
    let config = json!({"agents": {"defaults": {"model": "amazon-bedrock/test-model"}}});
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let situation = Situation {
        config: &Config::from_value(&config),
        environment: &Environment::from_process(variables),
        ambient: AmbientFacts::default(),
        store: &AuthProfiles::default(),
        refs: &ResolvedRefs::default(),
        now: Timestamp::from_ms(NOW_MS),
    };
    let options = ProbeOptions { provider: Some("bedrock".to_owned()), ..ProbeOptions::default() };
    let row = ProbePlan::build(&situation, None::<&AgentId>, &options).rows.into_iter().next().expect("a row");
    (row.mode, row.step)
}

#[test]
fn bedrock_is_asked_with_what_the_environment_holds() {
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_PROFILE", "work")];
    assert!(matches!(bedrock(&keys), ("api_key", Step::Send { credential: None, .. })));
    let token = [("AWS_BEARER_TOKEN_BEDROCK", "token"), ("AWS_REGION", "eu-west-1"), keys[0], keys[1]];
    let ("api_key", Step::Send { endpoint, credential: Some(secret) }) = bedrock(&token) else { panic!("not sent") };
    assert_eq!(secret.reveal(), "token");
    assert_eq!(endpoint.base_url, "https://bedrock-runtime.eu-west-1.amazonaws.com");
    assert!(matches!(bedrock(&keys[2..]), ("api_key", Step::Skip(_))));
}

/// Judges an answer without a connection.
fn judge(kind: ApiKind, provider: &str, case: &Case) -> (ProbeStatus, Option<Reason>) {
    let (status, code, message) = if case.status == 200 {
        let mut reader = Reader::new(kind);
        for bytes in case.body.chunks(7) {
            reader.push(bytes);
        }
        match reader.finish() {
            Progress::Done => return (ProbeStatus::Ok, None),
            Progress::Failed(StreamError::Reported { status, code, message }) => (status, code, message),
            Progress::More | Progress::Failed(StreamError::Invalid(_)) => {
                return (ProbeStatus::Format, Some(Reason::InvalidResponse));
            }
        }
    } else {
        let (message, code) = error_text(kind, case.status, &case.body);
        (Some(case.status), code, message)
    };
    let reason = classify_probe(&Signal { status, code: code.as_deref(), message: &message, provider });
    (reason.map_or(ProbeStatus::Unknown, Reason::status), reason)
}

#[test]
fn answers_mean_what_they_say() {
    let fixtures = Fixtures::read();
    let mut complaints = String::new();
    for (provider, entry) in fixtures.members("providers") {
        let (endpoint, ..) = planned(provider, entry).unwrap_or_else(|why| panic!("{provider}: {why}"));
        let kind = ApiKind::parse(&endpoint.api).unwrap_or_else(|| panic!("{provider}: {}", endpoint.api));
        for case in fixtures.cases(provider) {
            let (status, reason) = judge(kind, provider, &case);
            case.check(provider, "read", status, reason, &mut complaints);
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

/// Answers each request by the number that its path is, then closes the connection. Ends with the process.
fn serve(answers: Arc<Mutex<Vec<Vec<u8>>>>) -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = path_of(&mut BufReader::new(&stream))
                .and_then(|path| answers.lock().ok()?.get(path.trim_matches('/').parse::<usize>().ok()?).cloned());
            let _ = stream.write_all(&answer.unwrap_or_default());
        }
    });
    Ok(port)
}

/// Reads a whole request; its path.
fn path_of(reader: &mut impl BufRead) -> Option<String> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(first.split(' ').nth(1)?.to_owned())
}

fn answer(case: &Case) -> Vec<u8> {
    let mut head =
        format!("HTTP/1.1 {} Test\r\nconnection: close\r\ncontent-length: {}\r\n", case.status, case.body.len());
    for (name, value) in &case.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", &case.body].concat()
}

#[test]
fn answers_that_come_over_a_connection() {
    let fixtures = Fixtures::read();
    let answers: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let port = serve(Arc::clone(&answers)).expect("a free port");
    let mut asked: Vec<(String, Case)> = Vec::new();
    let mut jobs: Vec<Task> = Vec::new();
    for (provider, entry) in fixtures.members("providers") {
        for case in fixtures.cases(provider) {
            let mut job = request(provider, entry).unwrap_or_else(|why| panic!("{provider}: {why}"));
            job.request.url = format!("http://127.0.0.1:{port}/{}", asked.len());
            answers.lock().expect("no panic elsewhere").push(answer(&case));
            jobs.push(Task::Ready(job));
            asked.push((provider.clone(), case));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clients = Clients::new(None, &Proxies::default()).expect("clients");
    let limits = Limits { timeout_ms: 20_000, concurrency: 8 };
    let redactor = Redactor::of([Secret::new(KEY), Secret::new(CHATGPT_TOKEN)]);
    let outcome = runtime.block_on(run(jobs, limits, &clients, &redactor, &mut |_| ()));
    assert_eq!(outcome.rows.len(), asked.len());
    let mut complaints = String::new();
    for ((provider, case), row) in asked.iter().zip(&outcome.rows) {
        case.check(provider, "sent", row.status, row.reason, &mut complaints);
        if row.retry_after_ms != case.retry_after_ms || row.http_status != Some(case.status) {
            let seen = (row.http_status, row.retry_after_ms);
            let _ = writeln!(complaints, "{provider} {}: status and retry-after are {seen:?}", case.name);
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}
