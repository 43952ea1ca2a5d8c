//! Replies, fed in pieces of every size.
use auth_probe::wire::{ApiKind, Progress, Reader, StreamError};

fn feed(kind: ApiKind, reply: &[u8], piece: usize) -> Progress {
    let mut reader = Reader::new(kind);
    for bytes in reply.chunks(piece) {
        if reader.push(bytes) != Progress::More {
            break;
        }
    }
    reader.finish()
}

/// The result, which must not depend on the pieces.
fn read(kind: ApiKind, reply: impl AsRef<[u8]>) -> Progress {
    let reply = reply.as_ref();
    let whole = feed(kind, reply, reply.len().max(1));
    for piece in [1, 2, 3, 7, 64] {
        assert_eq!(feed(kind, reply, piece), whole, "{kind:?}");
    }
    whole
}

fn is_invalid(progress: &Progress) -> bool {
    matches!(progress, Progress::Failed(StreamError::Invalid(_)))
}

fn reported(status: Option<u16>, code: Option<&str>, message: &str) -> Progress {
    let (code, message) = (code.map(str::to_owned), message.to_owned());
    Progress::Failed(StreamError::Reported { status, code, message })
}

/// One message of the binary framing, with wrong checksums.
fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(0).to_be_bytes();
    let mut block = b"\x01b\x01".to_vec();
    for (name, value) in headers {
        block.push(u8::try_from(name.len()).unwrap_or(0));
        block.extend_from_slice(name.as_bytes());
        block.push(7);
        block.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        block.extend_from_slice(value.as_bytes());
    }
    let mut bytes = number(16 + block.len() + payload.len()).to_vec();
    bytes.extend_from_slice(&number(block.len()));
    bytes.extend_from_slice(b"crc.");
    bytes.extend_from_slice(&block);
    bytes.extend_from_slice(payload.as_bytes());
    bytes.extend_from_slice(b"crc.");
    bytes
}

fn bedrock_event(event: &str) -> Vec<u8> {
    frame(&[(":event-type", event), (":content-type", "application/json"), (":message-type", "event")], r#"{"p":"ab"}"#)
}

/// For each kind the part of a stream that is no complete answer, what completes it, and a complete JSON body.
fn samples() -> Vec<(ApiKind, Vec<u8>, Vec<u8>, &'static str)> {
    use ApiKind as K;
    let anthropic = ": hi\nevent: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\ndata: \"delta\":{\"text\":\"\u{4e0a}\u{1f600}\"}}\n\n";
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"\u{e9}\"},\"finish_reason\":null}]}\n\n";
    let done = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    let response = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n";
    let completed = "data: {\"type\":\"response.completed\",\"response\":{}}\n\n";
    let response_body = r#"{"object":"response","status":"completed","error":null}"#;
    let google = "data: {\"candidates\":[{\"content\":{}}]}\r\n\r\n";
    let google_done = "data: {\"candidates\":[{\"finishReason\":\"MAX_TOKENS\"}]}\r\n\r\n";
    let text = |(kind, start, end, body): (K, &str, &str, &'static str)| (kind, start.into(), end.into(), body);
    let mut samples: Vec<_> = [
        (
            K::AnthropicMessages,
            anthropic,
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            r#"{"type":"message"}"#,
        ),
        (K::OpenAiCompletions, chunk, done, r#"{"choices":[{}]}"#),
        (K::GithubCopilot, chunk, "data: [DONE]\n\n", r#"{"choices":[]}"#),
        (K::OpenAiResponses, response, completed, response_body),
        (K::OpenAiCodexResponses, response, "data: {\"type\":\"response.done\"}\n\n", response_body),
        (
            K::AzureOpenAiResponses,
            response,
            "data: {\"type\":\"response.incomplete\"}\n\n",
            r#"{"object":"response","status":"incomplete"}"#,
        ),
        (
            K::GoogleGenerativeAi,
            google,
            google_done,
            "[{\"candidates\":[]},\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}]",
        ),
        (
            K::Ollama,
            "{\"message\":{\"content\":\"\u{4e0a}\"},\"done\":false}\n",
            "{\"done\":true}\n",
            "{\n \"message\": {},\n \"done\": true\n}\n",
        ),
    ]
    .into_iter()
    .map(text)
    .collect();
    let start = [bedrock_event("messageStart"), bedrock_event("contentBlockDelta")].concat();
    samples.push((K::BedrockConverseStream, start, bedrock_event("messageStop"), r#"{"stopReason":"max_tokens"}"#));
    samples
}

#[test]
fn complete_answers_in_every_form() {
    for (kind, start, end, body) in samples() {
        let reply = [start.clone(), end.clone()].concat();
        assert_eq!(read(kind, &reply), Progress::Done, "{kind:?}");
        assert_eq!(read(kind, body), Progress::Done, "{kind:?}");
        assert_eq!(read(kind, format!("\u{feff} \r\n{body}")), Progress::Done, "{kind:?}");
        if kind != ApiKind::BedrockConverseStream {
            let text = String::from_utf8_lossy(&reply).replace("\r\n", "\n").replace('\n', "\r\n");
            assert_eq!(read(kind, &text), Progress::Done, "{kind:?} CRLF");
            assert_eq!(read(kind, text.trim_end()), Progress::Done, "{kind:?} without the last line end");
        }
        let mut reader = Reader::new(kind);
        assert_eq!(reader.push(&start), Progress::More);
        assert_eq!(reader.push(&end), Progress::Done);
        assert_eq!(reader.push(b"<html>"), Progress::Done);
        assert_eq!(reader.finish(), Progress::Done);
    }
    let blocked = "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n";
    assert_eq!(read(ApiKind::GoogleGenerativeAi, blocked), Progress::Done);
}

#[test]
fn anything_else_is_invalid() {
    for (kind, start, end, body) in samples() {
        assert!(is_invalid(&read(kind, &start)), "{kind:?} without its end");
        for cut in 0..start.len() {
            assert!(is_invalid(&feed(kind, &start[..cut], 5)), "{kind:?} cut at {cut}");
        }
        // Blank ends of lines may be missing, the end of the data may not.
        let text_end = end.trim_ascii_end().len() - 1;
        assert!(is_invalid(&read(kind, [&start, &end[..text_end]].concat())), "{kind:?}");
        assert!(is_invalid(&read(kind, &body.as_bytes()[..body.trim_end().len() - 1])), "{kind:?}");
        for reply in [
            "",
            " \r\n",
            "<!doctype html><html></html>",
            "\n <html>",
            "OK",
            "{}",
            "[]",
            "{\"a\":1,}",
            "data: {oops\n\n",
            "data: 1\n\n",
            "data: [DONE]\n\n",
            "\0\0\0\u{1}",
        ] {
            assert!(is_invalid(&read(kind, reply)), "{kind:?} {reply}");
        }
        let long = [&start[..], &b"\n".repeat(2 << 20)].concat();
        assert!(is_invalid(&feed(kind, &long, long.len())));
        assert!(is_invalid(&feed(kind, &long, 1000)));
        assert!(is_invalid(&feed(kind, "[".repeat(3 << 19).as_bytes(), 4096)));
        assert!(is_invalid(&feed(kind, "{\"a\":\n".repeat(100_000).as_bytes(), 1)));
    }
    let too_short = [0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let headers_too_long = [0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let too_long = [0, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    for reply in [&too_short[..], &headers_too_long, &too_long] {
        assert!(is_invalid(&read(ApiKind::BedrockConverseStream, reply)));
    }
}

#[test]
fn errors_inside_a_200() {
    use ApiKind as K;
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for reply in [format!("event: error\ndata: {overloaded}\n\n"), overloaded.to_owned()] {
        assert_eq!(read(K::AnthropicMessages, reply), reported(None, None, overloaded));
    }
    let credits = r#"{"error":{"code":402,"message":"Insufficient credits"}}"#;
    for reply in [format!("data: {credits}\n\n"), credits.to_owned()] {
        assert_eq!(read(K::OpenAiCompletions, reply), reported(Some(402), None, "402 Insufficient credits"));
    }
    let failed =
        r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"Slow down"}}}"#;
    let body =
        r#"{"object":"response","status":"failed","error":{"code":"rate_limit_exceeded","message":"Slow down"}}"#;
    let flat = r#"{"type":"error","code":"rate_limit_exceeded","message":"Slow down","param":null}"#;
    for reply in [format!("data: {failed}\n\n"), body.to_owned(), format!("event: error\ndata: {flat}\n\n")] {
        for kind in [K::OpenAiResponses, K::OpenAiCodexResponses, K::AzureOpenAiResponses] {
            let expected = reported(None, Some("rate_limit_exceeded"), "Slow down rate_limit_exceeded");
            assert_eq!(read(kind, &reply), expected);
        }
    }
    let with_status = r#"{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"Used up"}}"#;
    let expected = reported(Some(429), None, "429 Used up usage_limit_reached");
    assert_eq!(read(K::OpenAiCodexResponses, format!("data: {with_status}\n\n")), expected);
    let google = r#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}"#;
    for reply in [format!("data: {google}\r\n\r\n"), google.to_owned(), format!("[{google}]")] {
        assert_eq!(read(K::GoogleGenerativeAi, reply), reported(Some(429), None, "429 Quota RESOURCE_EXHAUSTED"));
    }
    assert_eq!(
        read(K::Ollama, "{\"done\":false}\n{\"error\":\"out of memory\"}\n"),
        reported(None, None, "\"out of memory\"")
    );
    assert_eq!(
        read(K::OpenAiCompletions, "event: error\ndata: upstream broke\n\n"),
        reported(None, None, "upstream broke")
    );
    let exception = [(":message-type", "exception"), (":exception-type", "throttlingException")];
    let reply = [bedrock_event("messageStart"), frame(&exception, r#"{"message":"Too fast"}"#)].concat();
    let expected = reported(None, Some("throttlingException"), "Too fast throttlingException");
    assert_eq!(read(K::BedrockConverseStream, reply), expected);
    let error = [(":message-type", "error"), (":error-code", "InternalFailure"), (":error-message", "Broken")];
    let expected = reported(None, Some("InternalFailure"), "Broken InternalFailure");
    assert_eq!(read(K::BedrockConverseStream, frame(&error, "")), expected);
}

#[test]
fn random_bytes_never_panic_and_pieces_do_not_matter() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0)
    };
    for (kind, start, end, body) in samples() {
        let valid = [start, end].concat();
        for round in 0..1500 {
            // Noise, damaged streams and damaged bodies in turn.
            let mut reply = match round % 3 {
                0 => (0..random() % 200).map(|_| random().to_le_bytes()[0]).collect(),
                1 => valid.clone(),
                _ => body.as_bytes().to_vec(),
            };
            for _ in 0..random() % 4 {
                let at = random() % reply.len().max(1);
                match (random() % 3, reply.get_mut(at)) {
                    (0, Some(byte)) => *byte = random().to_le_bytes()[0],
                    (1, _) => reply.truncate(at),
                    _ => reply.insert(at.min(reply.len()), b"\n\r:{}[]\"\0<"[random() % 10]),
                }
            }
            assert_ne!(read(kind, &reply), Progress::More);
            let _ = auth_probe::wire::error_text(kind, 500, &reply);
            let _ = auth_probe::wire::free_verdict("openrouter", "key", &reply);
        }
    }
}
