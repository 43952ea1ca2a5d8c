//! Rules over many passes, and what other programs read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

const START: i64 = 1_790_000_000_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const TIMING: Timing = Timing { min_interval_ms: HOUR, remind_ms: 24 * HOUR };

fn item(id: &str, status: Status, covered: bool) -> Item {
    let level = match status {
        Status::Ok | Status::Static => Level::Fine,
        Status::Expired | Status::Missing if covered => Level::Warning,
        Status::Expired | Status::Missing => Level::Alarm,
        _ => Level::Warning,
    };
    Item { covered: covered && level > Level::Fine, ..Item::for_tests("main", id, status, level) }
}

fn pass(items: Vec<Item>) -> Pass {
    Pass { items, providers: Vec::new() }
}

/// One pass: what is due, and told when `delivered`.
fn step(memory: &mut Memory, pass: &Pass, timing: Timing, at: i64, delivered: bool) -> Vec<Event> {
    let now = Timestamp::from_ms(at);
    memory.observe(&pass.items, now, &|_| true);
    let events = memory.due(pass, timing, "h", now);
    if delivered {
        for event in &events {
            memory.told(event, now);
        }
    }
    events
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[test]
fn a_story_from_fine_to_fine() {
    let mut memory = Memory::default();
    let mut see = |status: Status, at: i64| {
        let events = step(&mut memory, &pass(vec![item("a:x", status, false)]), TIMING, START + at, true);
        let from = events.first().and_then(|event| event.changes[0].from.clone());
        (kinds(&events), from)
    };
    assert_eq!(see(Status::Ok, 0), (vec![], None));
    assert_eq!(see(Status::Expiring, MINUTE), (vec!["auth.status_changed"], Some("ok".to_owned())));
    assert_eq!(see(Status::Expiring, 2 * MINUTE), (vec![], None));
    assert_eq!(see(Status::Expired, 3 * MINUTE), (vec!["auth.status_changed"], Some("expiring".to_owned())));
    assert_eq!(see(Status::Expired, 23 * HOUR), (vec![], None));
    assert_eq!(see(Status::Expired, 25 * HOUR), (vec!["auth.reminder"], Some("expired".to_owned())));
    assert_eq!(see(Status::Ok, 26 * HOUR), (vec!["auth.recovered"], Some("expired".to_owned())));
    assert_eq!(see(Status::Ok, 27 * HOUR), (vec![], None));
}

#[test]
fn what_was_not_delivered_is_told_again_with_the_same_beginning() {
    let mut memory = Memory::default();
    step(&mut memory, &pass(vec![item("a:x", Status::Ok, false)]), TIMING, START, true);
    let expired = pass(vec![item("a:x", Status::Expired, false)]);
    for round in 1..4 {
        let events = step(&mut memory, &expired, TIMING, START + round, false);
        assert_eq!((kinds(&events), events[0].changes[0].from.as_deref()), (vec!["auth.status_changed"], Some("ok")));
    }
    assert_eq!(step(&mut memory, &expired, TIMING, START + 5, true).len(), 1);
    assert_eq!(step(&mut memory, &expired, TIMING, START + 6, true), vec![]);
    let text = memory.to_text();
    assert!(text.contains("\"notifiedStatus\": \"expired\""), "{text}");
}

#[test]
fn a_problem_that_nobody_heard_of_ends_in_silence() {
    let mut memory = Memory::default();
    step(&mut memory, &pass(vec![item("a:x", Status::Expired, false)]), TIMING, START, false);
    assert_eq!(step(&mut memory, &pass(vec![item("a:x", Status::Ok, false)]), TIMING, START + 1, true), vec![]);
}

#[test]
fn a_removed_profile_is_forgotten_and_one_out_of_sight_is_not() {
    let mut memory = Memory::default();
    step(&mut memory, &pass(vec![item("a:x", Status::Expired, false)]), TIMING, START, true);
    let now = Timestamp::from_ms(START + 1);
    memory.observe(&[], now, &|_| false);
    assert!(memory.get("main/a:x").is_some());
    assert_eq!(step(&mut memory, &pass(vec![]), TIMING, START + 2, true), vec![]);
    assert!(memory.get("main/a:x").is_none());
}

#[test]
fn losing_the_cover_is_worse() {
    let mut memory = Memory::default();
    assert_eq!(step(&mut memory, &pass(vec![item("a:x", Status::Expired, true)]), TIMING, START, true).len(), 1);
    let alone = pass(vec![item("a:x", Status::Expired, false)]);
    assert_eq!(kinds(&step(&mut memory, &alone, TIMING, START + 1, true)), ["auth.status_changed"]);
    assert_eq!(step(&mut memory, &alone, TIMING, START + 2, true), vec![]);
}

#[test]
fn a_clock_that_was_wrong_does_not_silence_for_ever() {
    let mut memory = Memory::default();
    let expired = pass(vec![item("a:x", Status::Expired, false)]);
    step(&mut memory, &expired, TIMING, START + 1000 * 24 * HOUR, true);
    assert_eq!(kinds(&step(&mut memory, &expired, TIMING, START, true)), ["auth.reminder"]);
    // Two passes at once, of which the later one looked at the clock first.
    assert_eq!(step(&mut memory, &expired, TIMING, START - 1000, true), vec![]);
}

#[test]
fn no_reminder_when_none_is_wanted() {
    let never = Timing { remind_ms: 0, ..TIMING };
    let mut memory = Memory::default();
    let expired = pass(vec![item("a:x", Status::Expired, false)]);
    step(&mut memory, &expired, never, START, true);
    assert_eq!(step(&mut memory, &expired, never, START + 400 * 24 * HOUR, true), vec![]);
}

#[test]
fn the_words_of_a_message() {
    let mut expired = item("anthropic:default", Status::Expired, false);
    expired.ends_at_ms = Some(Timestamp::from_ms(START - 3 * HOUR).as_f64());
    expired.fix = Some("openclaw models auth setup-token --provider anthropic".to_owned());
    let change = Change { item: expired, from: None };
    let event = Event::new(EventKind::StatusChanged, "gw1", Timestamp::from_ms(START), Level::Alarm, vec![change]);
    let message = Message::of(&event);
    assert_eq!(
        (message.title.as_str(), message.priority, message.tags),
        ("OpenClaw: 1 credential needs you", "urgent", "warning,key")
    );
    assert_eq!(message.summary, "anthropic:default (main) expired 3 hours ago");
    assert!(message.body.contains("\n  openclaw models auth setup-token --provider anthropic\n"), "{}", message.body);
    let document = event.document();
    assert_eq!(document["items"][0]["remainingMs"], -3 * HOUR);
    assert_eq!(
        (document["event"].as_str(), document["overall"].as_str()),
        (Some("auth.status_changed"), Some("expired"))
    );
    let test = Message::of(&Event::test("gw1", Timestamp::from_ms(START)));
    assert_eq!((test.priority, test.title.as_str()), ("default", "OpenClaw: test message"));
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![
        3 => Just(Status::Ok),
        1 => Just(Status::Static),
        2 => Just(Status::Expiring),
        2 => Just(Status::Expired),
        1 => Just(Status::Missing),
        1 => Just(Status::Cooldown),
        1 => Just(Status::Disabled),
    ]
}

/// Time to the next pass in minutes, whether messages arrive, and the state of two profiles.
type Round = (i64, bool, [(Status, bool); 2]);

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let profile = || (any_status(), any::<bool>());
    let round = (1..40_i64, prop::bool::weighted(0.8), [profile(), profile()]);
    proptest::collection::vec(round, 1..60)
}

proptest! {
    /// Over any history: nothing is lost, nothing is repeated too soon, an end is told once and only of what was told.
    #[test]
    fn messages_are_neither_lost_nor_repeated(rounds in rounds(), remind in prop_oneof![Just(0), Just(2 * HOUR)]) {
        let timing = Timing { min_interval_ms: HOUR, remind_ms: remind };
        let mut memory = Memory::default();
        let mut at = START;
        let mut sent: HashMap<(String, Status, bool), i64> = HashMap::new();
        let mut open: BTreeSet<String> = BTreeSet::new();
        let mut last_told: HashMap<String, Status> = HashMap::new();
        for (minutes, delivered, profiles) in rounds {
            at += minutes * MINUTE;
            let items = ["a:x", "a:y"].iter().zip(profiles).map(|(id, (status, covered))| item(id, status, covered));
            let pass = pass(items.collect());
            let events = step(&mut memory, &pass, timing, at, delivered);
            if delivered {
                for change in events.iter().flat_map(|event| event.changes.iter().map(move |change| (event.kind, change))) {
                    let (kind, Change { item, .. }) = change;
                    if kind == EventKind::Recovered {
                        prop_assert!(open.remove(&item.key()), "an end of something that was not told");
                    } else {
                        open.insert(item.key());
                        last_told.insert(item.key(), item.status);
                        let last = sent.insert((item.key(), item.status, item.covered), at);
                        prop_assert!(last.is_none_or(|last| at - last >= HOUR), "told again too soon");
                    }
                }
                for item in &pass.items {
                    let recent = sent.get(&(item.key(), item.status, item.covered)).is_some_and(|last| at - last < HOUR);
                    let known = memory.get(&item.key()).is_some();
                    prop_assert!(known);
                    if item.level == Level::Fine {
                        prop_assert!(!open.contains(&item.key()), "an end was lost");
                    } else if !recent {
                        prop_assert!(open.contains(&item.key()), "a problem was lost");
                        prop_assert_eq!(last_told.get(&item.key()), Some(&item.status), "told as something else");
                    }
                }
            }
            let text = memory.to_text();
            prop_assert_eq!(Memory::parse(&text).unwrap().to_text(), text);
        }
    }

    /// Whatever stands in the file: an answer, never a panic.
    #[test]
    fn any_text_is_a_memory_or_not(text in "\\PC{0,80}") {
        let _ = Memory::parse(&text);
    }

    #[test]
    fn metrics_are_well_formed(
        rows in proptest::collection::vec(("\\PC{0,6}", "[\"\\\\\n{}=,a@]{0,8}", any_status(), any::<f64>(), any::<bool>()), 0..6),
    ) {
        let mut items: Vec<Item> = Vec::new();
        for (agent, id, status, ends, waits) in rows {
            let mut one = Item { agent, ..item(&id, status, false) };
            one.ends_at_ms = Some(ends);
            one.unusable = waits.then_some((ends, Some(id)));
            if !items.iter().any(|known| known.key() == one.key()) {
                items.push(one);
            }
        }
        assign_labels(&mut items, false);
        let text = metrics(&pass(items), &Memory::default(), Timestamp::from_ms(START));
        let parsed = exposition(&text);
        prop_assert!(parsed.is_ok(), "{:?}\n{}", parsed, text);
    }
}

#[test]
fn metrics_say_what_the_pass_says() {
    let mut over = item("anthropic:x", Status::Expired, false);
    over.ends_at_ms = Some(1_789_999_990_000.0);
    let mut cooling = item("groq:y", Status::Cooldown, false);
    cooling.unusable = Some((1_790_000_060_000.0, Some("rate_limit".to_owned())));
    let mut seen = pass(vec![over, cooling]);
    let state = |provider: &str, usable: bool| ProviderState {
        agent: "main".to_owned(),
        provider: provider.to_owned(),
        usable,
        in_use: true,
        elsewhere: survey::Elsewhere::Nothing,
    };
    seen.providers = vec![state("anthropic", false), state("groq", true)];
    let mut memory = Memory::default();
    memory.notify_failures = 3;
    let samples = exposition(&metrics(&seen, &memory, Timestamp::from_ms(START))).unwrap();
    let value = |name: &str| samples.get(name).copied();
    let labels = "agent=\"main\",provider=\"anthropic\",profile=\"anthropic:x\",type=\"token\"";
    assert_eq!(value(&format!("openclaw_auth_profile_status{{{labels},status=\"expired\"}}")), Some(1.0));
    assert_eq!(value(&format!("openclaw_auth_profile_status{{{labels},status=\"ok\"}}")), Some(0.0));
    assert_eq!(value(&format!("openclaw_auth_profile_expires_timestamp_seconds{{{labels}}}")), Some(1_789_999_990.0));
    let waiting = "agent=\"main\",provider=\"groq\",profile=\"groq:y\",type=\"token\",reason=\"rate_limit\"";
    let until = format!("openclaw_auth_profile_unusable_until_timestamp_seconds{{{waiting}}}");
    assert_eq!(value(&until), Some(1_790_000_060.0));
    assert_eq!(value("openclaw_auth_provider_usable{agent=\"main\",provider=\"anthropic\"}"), Some(0.0));
    assert_eq!(value("openclaw_auth_provider_usable{agent=\"main\",provider=\"groq\"}"), Some(1.0));
    assert_eq!(value("openclaw_auth_check_status"), Some(1.0));
    assert_eq!(value("openclaw_auth_last_run_timestamp_seconds"), Some(1_790_000_000.0));
    assert_eq!(value("openclaw_auth_notify_failures_total"), Some(3.0));
}

#[test]
fn times_are_whole_where_they_are_and_never_what_json_has_not() {
    for (ms, text) in [
        (0.0, "0"),
        (-10_000.0, "-10000"),
        (1.5, "1.5"),
        (9_007_199_254_740_992.0, "9007199254740992"),
        (-9_007_199_254_740_992.0, "-9007199254740992"),
        (1e300, "1e+300"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ] {
        assert_eq!(number(ms).to_string(), text);
    }
}

/// Reads the text format as strictly as its checker does: every family has one HELP and one TYPE before its samples,
/// samples of a family stand together and are different, names and labels are well formed, values are finite, the text
/// ends with a line break. Gives every sample.
fn exposition(text: &str) -> Result<BTreeMap<String, f64>, String> {
    if !text.ends_with('\n') {
        return Err("no line break at the end".to_owned());
    }
    let name_ok = |name: &str| {
        let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
        first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let (mut helps, mut types) = (BTreeSet::new(), BTreeMap::new());
    let mut closed: BTreeSet<String> = BTreeSet::new();
    let mut family = String::new();
    let mut samples = BTreeMap::new();
    for line in text[..text.len() - 1].split('\n') {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("help without a text")?;
            if !name_ok(name) || help.is_empty() || !helps.insert(name.to_owned()) {
                return wrong("help");
            }
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("type without a kind")?;
            let known = kind == "gauge" || kind == "counter";
            let counts = (kind == "counter") == name.ends_with("_total");
            if !helps.contains(name) || !known || !counts || types.insert(name.to_owned(), kind.to_owned()).is_some() {
                return wrong("type");
            }
            closed.insert(std::mem::replace(&mut family, name.to_owned()));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
        let (name, labels) = match series.split_once('{') {
            None => (series, None),
            Some((name, rest)) => (name, Some(rest.strip_suffix('}').ok_or(format!("no brace: {line}"))?)),
        };
        if !name_ok(name) || name != family || closed.contains(name) {
            return wrong("family");
        }
        if !labels.is_none_or(labels_ok) {
            return wrong("labels");
        }
        let value: f64 = value.parse().map_err(|_| format!("value: {line}"))?;
        if !value.is_finite() || samples.insert(series.to_owned(), value).is_some() {
            return wrong("value or repeated");
        }
    }
    Ok(samples)
}

fn labels_ok(mut rest: &str) -> bool {
    let mut seen = BTreeSet::new();
    loop {
        let Some((name, after)) = rest.split_once("=\"") else { return false };
        let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits || !seen.insert(name) {
            return false;
        }
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next() {
                Some((at, '"')) => break at,
                Some((_, '\\')) => match chars.next() {
                    Some((_, '\\' | '"' | 'n')) => {}
                    _ => return false,
                },
                Some((_, '\n')) | None => return false,
                Some(_) => {}
            }
        };
        match &after[end + 1..] {
            "" => return true,
            more => match more.strip_prefix(',') {
                Some(more) => rest = more,
                None => return false,
            },
        }
    }
}
