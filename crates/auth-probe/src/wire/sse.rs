//! Server-sent events: bytes in pieces of any size become events.

/// One event: its name, empty if it has none, and its data lines joined with LF.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
}

/// Collects lines, ended by LF or CRLF, into events.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Splitter {
    /// The next complete event of what has been taken from `input`; none when `input` is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<Event> {
        while let Some(at) = input.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = input.split_at(at);
            self.line.extend_from_slice(head);
            *input = tail.get(1..).unwrap_or_default();
            if let Some(event) = self.end_line() {
                return Some(event);
            }
        }
        self.line.extend_from_slice(input);
        *input = &[];
        None
    }

    /// The event that lacks only the blank line after it.
    pub(crate) fn finish(mut self) -> Option<Event> {
        if !self.line.is_empty() {
            // Cannot give an event unless the line is a bare CR, which then ends one.
            if let Some(event) = self.end_line() {
                return Some(event);
            }
        }
        self.take_event()
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.is_empty() {
            return self.take_event();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, rest) = line.split_at(colon);
        let value = rest.strip_prefix(b":").unwrap_or(rest);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.has_data {
                    self.event.data.push(b'\n');
                }
                self.has_data = true;
                self.event.data.extend_from_slice(value);
            }
            b"event" => self.event.name = String::from_utf8_lossy(value).into_owned(),
            // Comments have an empty field name; `id`, `retry` and unknown fields do not matter here.
            _ => {}
        }
        None
    }

    /// Ends the event; one without data does not count.
    fn take_event(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], piece: usize) -> Vec<(String, String)> {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for mut input in text.chunks(piece) {
            while let Some(event) = splitter.next(&mut input) {
                events.push(event);
            }
        }
        events.extend(splitter.finish());
        events.into_iter().map(|e| (e.name, String::from_utf8_lossy(&e.data).into_owned())).collect()
    }

    #[test]
    fn events_do_not_depend_on_pieces_or_line_ends() {
        let text = ": hello\n\nevent: a\ndata: one\ndata:two\nid: 7\n\nevent: lost\n\n\
                    data\ndata: \u{e9}\u{4e0a}\u{1f600}\n\ndata: last";
        let expected = [("a", "one\ntwo"), ("", "\n\u{e9}\u{4e0a}\u{1f600}"), ("", "last")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        let crlf = text.replace('\n', "\r\n");
        for piece in 1..=text.len() {
            assert_eq!(split(text.as_bytes(), piece), expected);
            assert_eq!(split(crlf.as_bytes(), piece), expected);
        }
    }
}
