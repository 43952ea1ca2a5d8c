//! What must hold for any answer of a provider. Used by the fuzz targets and by the tests that replay the kept corpora.

use auth_core::failure::{Signal, classify, classify_probe};
use auth_probe::wire::{ApiKind, Progress, Reader, error_text};

/// The first byte chooses the kind of API, the second how the rest is cut: what is understood depends on the bytes
/// alone.
pub(crate) fn live_reply(data: &[u8]) {
    let Some((kind, piece, reply)) = chosen(data) else { return };
    let whole = read(kind, reply, reply.len().max(1));
    assert_ne!(whole, Progress::More);
    assert_eq!(read(kind, reply, piece), whole, "in pieces of {piece}");
    assert_eq!(read(kind, reply, 1), whole, "byte by byte");
}

/// The first byte chooses the kind of API, the second the status of the answer.
pub(crate) fn error_body(data: &[u8]) {
    let Some((kind, piece, body)) = chosen(data) else { return };
    let status = u16::try_from(400 + piece).unwrap_or(599);
    let (message, code) = error_text(kind, status, body);
    assert!(message.starts_with(&status.to_string()));
    let signal = |status| Signal { status, code: code.as_deref(), message: &message, provider: "openrouter" };
    // The status in front of the message counts when no other is known.
    let _ = (classify(&signal(Some(status))), classify(&signal(None)), classify_probe(&signal(Some(status))));
}

fn chosen(data: &[u8]) -> Option<(ApiKind, usize, &[u8])> {
    let [kind, piece, rest @ ..] = data else { return None };
    let kind = ApiKind::ALL[usize::from(*kind) % ApiKind::ALL.len()];
    Some((kind, usize::from(*piece).max(1), rest))
}

fn read(kind: ApiKind, reply: &[u8], piece: usize) -> Progress {
    let mut reader = Reader::new(kind);
    for bytes in reply.chunks(piece) {
        let progress = reader.push(bytes);
        if progress != Progress::More {
            return progress;
        }
    }
    reader.finish()
}
