//! What is said to a program that holds secrets, and how its answer is read (spec 05 sections 6.1 and 6.3).

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::SecretError;
use super::redact::Redactor;
use crate::raw_json::{self, RawObject};
use crate::secret::Secret;

/// The version of the protocol.
const VERSION: f64 = 1.0;
/// The most that is shown of what a program says about an id, in characters.
const MAX_MESSAGE: usize = 200;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    protocol_version: u32,
    #[serde(borrow)]
    provider: std::borrow::Cow<'a, str>,
    ids: Vec<std::borrow::Cow<'a, str>>,
}

/// The request for some ids: one line of JSON without its end.
pub fn exec_request(alias: &str, ids: &[&str]) -> String {
    let ids = ids.iter().map(|id| (*id).into()).collect();
    // A structure of strings always serializes.
    serde_json::to_string(&Request { protocol_version: 1, provider: alias.into(), ids }).unwrap_or_default()
}

/// Reads a request: the provider's alias and the ids.
///
/// # Errors
///
/// What is wrong with it, without quoting it.
pub fn read_exec_request(text: &str) -> Result<(String, Vec<String>), String> {
    let request: Request<'_> = serde_json::from_str(text).map_err(|error| {
        format!(
            "the request on standard input is not of the exec protocol (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if request.protocol_version != 1 {
        return Err(format!("the request has protocolVersion {}; this program speaks 1", request.protocol_version));
    }
    Ok((request.provider.into_owned(), request.ids.into_iter().map(std::borrow::Cow::into_owned).collect()))
}

/// The answer to a request, for the standard output of a helper: a value or an error for each id.
pub fn write_exec_response(answers: &[(String, Result<Secret, String>)]) -> Secret {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut values = String::new();
    let mut errors = String::new();
    for (id, answer) in answers {
        let (out, entry) = match answer {
            Ok(secret) => (&mut values, Secret::new(text(secret.reveal()))),
            Err(why) => (&mut errors, Secret::new(format!("{{\"message\":{}}}", text(why)))),
        };
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&text(id));
        out.push(':');
        out.push_str(entry.reveal());
    }
    let whole = Secret::new(format!("{{\"protocolVersion\":1,\"values\":{{{values}}},\"errors\":{{{errors}}}}}\n"));
    zeroize::Zeroize::zeroize(&mut values);
    whole
}

/// Reads what a program printed for some ids: for each, in their order, its value or why there is none. `known` are
/// secrets that its messages must not show either.
///
/// # Errors
///
/// When the answer as a whole cannot be used.
pub fn exec_response(
    alias: &str,
    output: &[u8],
    ids: &[&str],
    json_only: bool,
    known: &[Secret],
) -> Result<Vec<Result<Secret, SecretError>>, SecretError> {
    let fault = |fault: &str| SecretError::Exec { alias: alias.to_owned(), fault: fault.to_owned() };
    let as_text = !json_only && ids.len() == 1;
    let Ok(text) = std::str::from_utf8(output) else {
        return Err(fault(if as_text { "returned text that is not UTF-8" } else { "returned invalid JSON" }));
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(fault("returned empty stdout"));
    }
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return if as_text { Ok(vec![Ok(Secret::new(text))]) } else { Err(fault("returned invalid JSON")) };
    };
    let Some(answer) = RawObject::of(raw) else {
        return if as_text {
            Ok(vec![Ok(raw_json::string(raw).map_or_else(|| Secret::new(text), Secret::new))])
        } else {
            Err(fault("response must be an object"))
        };
    };
    if answer.get("protocolVersion").and_then(raw_json::number) != Some(VERSION) {
        return Err(fault("protocolVersion must be 1"));
    }
    let values = answer.get("values").and_then(RawObject::of).ok_or_else(|| fault("response missing \"values\""))?;
    let errors = answer.get("errors").and_then(RawObject::of);
    let given = values.iter().filter_map(|(_, value)| raw_json::string(value)).map(Secret::new);
    let redactor = Redactor::of(given.chain(known.iter().cloned()));
    let answer_for = |id: &str| {
        if let Some(error) = errors.as_ref().and_then(|errors| errors.get(id)) {
            let message = RawObject::of(error).and_then(|error| raw_json::string(error.get("message")?));
            let message = message.filter(|message| !message.trim().is_empty());
            let message = message.map(|message| redactor.redact(message.trim()).chars().take(MAX_MESSAGE).collect());
            return Err(SecretError::ExecFailed { alias: alias.to_owned(), id: id.to_owned(), message });
        }
        let Some(value) = values.get(id) else {
            return Err(SecretError::ExecMissing { alias: alias.to_owned(), id: id.to_owned() });
        };
        raw_json::string(value).map(Secret::new).ok_or_else(|| SecretError::NotAString(format!("exec:{alias}:{id}")))
    };
    Ok(ids.iter().map(|id| answer_for(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(output: &str, ids: &[&str], json_only: bool) -> Result<Vec<Result<String, String>>, String> {
        let answer =
            exec_response("vault", output.as_bytes(), ids, json_only, &[]).map_err(|error| error.to_string())?;
        Ok(answer
            .into_iter()
            .map(|one| one.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string()))
            .collect())
    }

    #[test]
    fn a_request_is_one_compact_line() {
        assert_eq!(
            exec_request("vault", &["a/b", "c"]),
            r#"{"protocolVersion":1,"provider":"vault","ids":["a/b","c"]}"#
        );
        assert_eq!(read_exec_request(&exec_request("v", &["a"])), Ok(("v".to_owned(), vec!["a".to_owned()])));
        for bad in ["", "{}", r#"{"protocolVersion":2,"provider":"v","ids":[]}"#, r#"{"protocolVersion":1,"ids":"a"}"#]
        {
            assert!(read_exec_request(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_id_has_its_own_answer() {
        let output = r#" {"protocolVersion":1,"values":{"a":"sk-test-1","b":"lost","n":7,"extra":"x"},
            "errors":{"b":{"message":" no entry for sk-test-1 "},"c":{"code":1},"d":"x"}} "#;
        let answer = read(output, &["a", "b", "c", "d", "n", "zz"], true).unwrap();
        assert_eq!(answer[0], Ok("sk-test-1".to_owned()));
        let errors: Vec<String> = answer[1..].iter().map(|answer| answer.clone().unwrap_err()).collect();
        assert_eq!(
            errors,
            [
                "exec provider \"vault\" failed for id \"b\" (no entry for ***)",
                "exec provider \"vault\" failed for id \"c\"",
                "exec provider \"vault\" failed for id \"d\"",
                "the value of exec:vault:n is not a non-empty string",
                "exec provider \"vault\" response missing id \"zz\"",
            ]
        );
    }

    #[test]
    fn whole_answers_that_cannot_be_used() {
        for (output, json_only, words) in [
            (" \n", true, "returned empty stdout"),
            ("sk-test-1", true, "returned invalid JSON"),
            ("{\"protocolVersion\":1,\"values\":{\"a\":\"sk-", true, "returned invalid JSON"),
            ("\"sk-test-1\"", true, "response must be an object"),
            ("{\"values\":{}}", true, "protocolVersion must be 1"),
            ("{\"values\":{}}", false, "protocolVersion must be 1"),
            ("{\"protocolVersion\":\"1\",\"values\":{}}", true, "protocolVersion must be 1"),
            ("{\"protocolVersion\":1,\"values\":[]}", true, "response missing \"values\""),
        ] {
            let error = read(output, &["a"], json_only).unwrap_err();
            assert!(error.ends_with(words) && !error.contains("sk-test"), "{output}: {error}");
        }
        assert!(
            exec_response("v", b"\xff", &["a"], true, &[]).is_err()
                && exec_response("v", b"\xff", &["a"], false, &[]).is_err()
        );
    }

    #[test]
    fn plain_text_is_a_value_where_it_may_be() {
        for (output, value) in [
            ("sk-test-1\n", "sk-test-1"),
            ("\"sk-test-2\"", "sk-test-2"),
            (" 123 ", "123"),
            ("[1]", "[1]"),
            ("null", "null"),
        ] {
            assert_eq!(read(output, &["a"], false), Ok(vec![Ok(value.to_owned())]));
        }
        assert!(read("sk-test-1", &["a", "b"], false).unwrap_err().ends_with("returned invalid JSON"));
    }

    #[test]
    fn what_a_helper_writes_is_what_is_read() {
        let answers = [("a".to_owned(), Ok(Secret::new("line\n\"x\""))), ("b".to_owned(), Err("not found".to_owned()))];
        let text = write_exec_response(&answers);
        let read = read(text.reveal(), &["a", "b"], true).unwrap();
        assert_eq!(read[0], Ok("line\n\"x\"".to_owned()));
        assert!(read[1].as_ref().unwrap_err().contains("(not found)"));
    }

    proptest! {
        #[test]
        fn any_output_is_read_or_refused(output in proptest::collection::vec(any::<u8>(), 0..64), json_only: bool) {
            let _ = exec_response("v", &output, &["a"], json_only, &[]);
        }

        #[test]
        fn messages_hold_nothing_of_broken_output(text in "[a-z]{10,20}", json_only: bool) {
            for output in [format!("{{\"protocolVersion\":2,\"values\":{{\"a\":\"{text}\"}}}}"), format!("{{{text}")] {
                if let Err(error) = exec_response("v", output.as_bytes(), &["a"], json_only, &[]) {
                    prop_assert!(!error.to_string().contains(&text));
                }
            }
        }
    }
}
