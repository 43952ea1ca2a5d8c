//! Whether a text says that the conversation is too long for the model (spec 03 section 6.6).

use super::matcher::Pattern::{All, Any, EdgeSeq, Has, Seq, Word};
use super::matcher::Piece::{Edge, Later, One, Opt};
use super::matcher::{Pattern, any};

/// Texts that look like an overflow and are not.
pub(super) static NOT_OVERFLOW: &[Pattern] = &[
    Word("tpm"),
    Has("tokens per minute"),
    Has("reasoning is mandatory"),
    Has("reasoning is required"),
    Has("requires reasoning"),
    Seq(&["reasoning"], &[Later(&["cannot be disabled"])]),
];

/// Texts of an overflow.
pub(super) static OVERFLOW: &[Pattern] = &[
    Has("request_too_large"),
    All(&[Has("invalid_argument"), Has("maximum number of tokens")]),
    Has("request exceeds the maximum size"),
    Has("context length exceeded"),
    Has("maximum context length"),
    Has("prompt is too long"),
    Has("prompt too long"),
    Has("exceeds model context window"),
    Has("model token limit"),
    All(&[Has("input exceeds"), Has("maximum number of tokens")]),
    All(&[Has("request size exceeds"), Any(&[Has("context window"), Has("context length")])]),
    Has("context overflow:"),
    Has("exceed context limit"),
    Has("exceeds the model's maximum context"),
    All(&[Any(&[Has("max_tokens"), Has("input length")]), Has("exceed"), Has("context")]),
    All(&[Has("413"), Has("too large")]),
    Has("context_window_exceeded"),
    Has("上下文过长"),
    Has("上下文超出"),
    Has("上下文长度超"),
    Has("超出最大上下文"),
    Has("请压缩上下文"),
    Has("input token count exceeds the maximum number of input tokens"),
    Seq(&["input is too long for "], &[One(&["this", "the"]), One(&[" model"])]),
    Has("input exceeds the maximum number of tokens"),
    Has("ollama error: context length exceeded"),
    EdgeSeq(
        &["total token"],
        &[
            Opt(&["s"]),
            Edge,
            Later(&["exceeds ", "exceed "]),
            Opt(&["the "]),
            Opt(&["model's ", "model "]),
            One(&["max", "limit"]),
        ],
    ),
];

/// Whether the text, in lower case, tells of a context overflow.
pub(super) fn is_overflow(text: &str) -> bool {
    any(OVERFLOW, text) && !any(NOT_OVERFLOW, text)
}
