//! Server-sent events, read from bytes however they are cut.
//!
//! Source: WHATWG HTML, "Server-sent events", parsing an event stream. An event at the end without its empty line is given all the
//! same: what is cut in it is noticed by whoever reads it.

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Its `data` lines, joined by line feeds.
    pub(crate) data: String,
    /// Its type; empty if it has none.
    pub(crate) kind: String,
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub(crate) struct SseParser {
    line: Vec<u8>,
    /// The last byte was a carriage return, so that a line feed would belong to it.
    after_return: bool,
    begun: bool,
    data: Option<String>,
    kind: String,
    done: Vec<SseEvent>,
}

impl SseParser {
    /// Reads more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    self.end_line();
                }
                _ => {
                    self.after_return = false;
                    self.line.push(byte);
                }
            }
        }
    }

    /// The events, with the last one even if it is not complete.
    pub(crate) fn finish(mut self) -> Vec<SseEvent> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.end_event();
        self.done
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let mut line = bytes.as_slice();
        if !self.begun {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            self.begun = true;
        }
        if line.is_empty() {
            self.end_event();
            return;
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.kind),
            _ => {}
        }
    }

    fn end_event(&mut self) {
        let kind = std::mem::take(&mut self.kind);
        if let Some(data) = self.data.take() {
            self.done.push(SseEvent { data, kind });
        }
    }
}

/// All events in `bytes`.
pub(crate) fn events(bytes: &[u8]) -> Vec<SseEvent> {
    let mut parser = SseParser::default();
    parser.push(bytes);
    parser.finish()
}

/// Whether `bytes` begin like a stream of events and not like a JSON value.
pub(crate) fn is_stream(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    [&b"data:"[..], b"event:", b":", b"id:", b"retry:"].iter().any(|field| text.starts_with(field))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: &str, data: &str) -> SseEvent {
        SseEvent { data: data.to_owned(), kind: kind.to_owned() }
    }

    #[test]
    fn lines_end_in_any_way_and_comments_are_left_out() {
        let stream = b"\xef\xbb\xbf: hello\r\nevent: a\r\ndata: 1\r\n\r\ndata:2\rdata: 3\r\rid: 7\n\ndata\n\nretry: 1\ndata:  x: y\n";
        let expected = [event("a", "1"), event("", "2\n3"), event("", ""), event("", " x: y")];
        assert_eq!(events(stream), expected);
    }

    proptest! {
        #[test]
        fn every_cut_of_a_stream_gives_the_same_events(
            stream in "(data: ?[a-zé{}\"]{0,6}|event: [a-z]{1,3}|: c|id:1)?(\r\n|\n|\r){1,3}|.{0,3}",
            more in proptest::collection::vec(any::<u8>(), 0..60),
            cuts in proptest::collection::vec(0_usize..120, 0..8),
        ) {
            let bytes = [stream.as_bytes(), &more, stream.as_bytes()].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = SseParser::default();
            cuts.windows(2).for_each(|pair| parser.push(&bytes[pair[0]..pair[1]]));
            prop_assert_eq!(parser.finish(), events(&bytes));
        }
    }
}
