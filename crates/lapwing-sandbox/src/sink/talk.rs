//! What a sinkhole says over a connection, and which host the other side names. HTTP requests get an empty success once they
//! are complete, so that an upload ends well; TLS is refused, as nobody has the host's key; all else gets no word.

/// Bytes in which a request or greeting must show what it is.
const HEAD_BYTES: usize = 32 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const SUCCESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// A TLS alert: fatal, handshake failure.
const REFUSAL: &[u8] = &[21, 3, 1, 0, 2, 2, 40];
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// One side of a conversation, as far as it was understood.
pub(crate) struct Talk(State);

enum State {
    /// The first bytes.
    Opening(Vec<u8>),
    /// The body of a request, of which so many bytes are missing.
    Body(u64),
    /// The body of a request in chunks, its last bytes.
    Chunks(Vec<u8>),
    /// Nothing more will be said.
    Silent,
}

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// The host that the other side names.
    pub(crate) told: Option<String>,
    /// To be sent.
    pub(crate) say: &'static [u8],
    /// Nothing follows it.
    pub(crate) over: bool,
}

impl Talk {
    pub(crate) fn new() -> Self {
        Self(State::Opening(Vec::new()))
    }

    /// Takes the next bytes.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Turn {
        match &mut self.0 {
            State::Opening(head) => {
                head.extend_from_slice(bytes);
                let head = std::mem::take(head);
                self.open(head)
            }
            State::Body(missing) => {
                *missing = missing.saturating_sub(bytes.len() as u64);
                if *missing == 0 { self.succeed() } else { Turn::default() }
            }
            State::Chunks(tail) => {
                tail.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST_CHUNK.len())..]);
                tail.drain(..tail.len().saturating_sub(LAST_CHUNK.len()));
                if tail.as_slice() == LAST_CHUNK { self.succeed() } else { Turn::default() }
            }
            State::Silent => Turn::default(),
        }
    }

    fn succeed(&mut self) -> Turn {
        self.0 = State::Silent;
        Turn { say: SUCCESS, over: true, told: None }
    }

    fn open(&mut self, head: Vec<u8>) -> Turn {
        if let Some(hello) = tls_record(&head) {
            self.0 = State::Silent;
            return Turn { told: server_name(hello), say: REFUSAL, over: true };
        }
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let (head, body) = head.split_at(end + 4);
            if let Some(request) = Request::read(head) {
                return self.request(request, body);
            }
            self.0 = State::Silent;
        } else if head.len() >= HEAD_BYTES {
            self.0 = State::Silent;
        } else {
            self.0 = State::Opening(head);
        }
        Turn::default()
    }

    fn request(&mut self, request: Request, body: &[u8]) -> Turn {
        let (told, waits) = (request.host, request.waits);
        self.0 = if request.chunked { State::Chunks(Vec::new()) } else { State::Body(request.len) };
        let turn = self.hear(body);
        let say = if waits && !turn.over { CONTINUE } else { turn.say };
        Turn { told, say, ..turn }
    }
}

/// The head of an HTTP request.
struct Request {
    host: Option<String>,
    len: u64,
    chunked: bool,
    /// It sends the body when it is told to go on.
    waits: bool,
}

impl Request {
    fn read(head: &[u8]) -> Option<Self> {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let mut words = lines.next()?.split(' ');
        let (method, _, version) = (words.next()?, words.next()?, words.next()?);
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_method || !version.starts_with("HTTP/1") {
            return None;
        }
        let mut request = Self { host: None, len: 0, chunked: false, waits: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "host" => request.host = Some(value.to_owned()),
                "content-length" => request.len = value.parse().unwrap_or(u64::MAX),
                "transfer-encoding" => request.chunked = value.eq_ignore_ascii_case("chunked"),
                "expect" => request.waits = value.eq_ignore_ascii_case("100-continue"),
                _ => {}
            }
        }
        Some(request)
    }
}

/// The content of the first TLS record, if it is a whole greeting. RFC 8446, 5.1 and 4.1.2.
fn tls_record(bytes: &[u8]) -> Option<&[u8]> {
    let [22, 3, _, high, low, rest @ ..] = bytes else { return None };
    let hello = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    (hello.first() == Some(&1)).then_some(hello)
}

/// The name in the extension `server_name` of a client's greeting. RFC 6066, 3.
fn server_name(hello: &[u8]) -> Option<String> {
    // Kind and length, version, random.
    let mut rest = hello.get(4 + 2 + 32..)?;
    let _session = take(&mut rest, 1)?;
    let _suites = take(&mut rest, 2)?;
    let _compressions = take(&mut rest, 1)?;
    let mut extensions = take(&mut rest, 2)?;
    loop {
        let [high, low, ..] = *extensions else { return None };
        extensions = &extensions[2..];
        let mut extension = take(&mut extensions, 2)?;
        if [high, low] == [0, 0] {
            let mut names = take(&mut extension, 2)?;
            let [0, ..] = *names else { return None };
            names = &names[1..];
            return Some(String::from_utf8_lossy(take(&mut names, 2)?).into_owned());
        }
    }
}

/// Takes what stands behind a length of `width` bytes off `bytes`.
fn take<'b>(bytes: &mut &'b [u8], width: usize) -> Option<&'b [u8]> {
    let len = bytes.get(..width)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    let taken = bytes.get(width..width + len)?;
    *bytes = &bytes[width + len..];
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(told: Option<&str>, say: &'static [u8], over: bool) -> Turn {
        Turn { told: told.map(str::to_owned), say, over }
    }

    #[test]
    fn an_upload_is_answered_once_it_is_complete() {
        let head = "POST /in HTTP/1.1\r\nHost: drop.example\r\nContent-Length: 5\r\n\r\n";
        let mut talk = Talk::new();
        assert_eq!(talk.hear(&head.as_bytes()[..20]), turn(None, b"", false));
        assert_eq!(talk.hear(&head.as_bytes()[20..]), turn(Some("drop.example"), b"", false));
        assert_eq!(talk.hear(b"hel"), turn(None, b"", false));
        assert_eq!(talk.hear(b"lo"), turn(None, SUCCESS, true));
        let whole = format!("{head}hello");
        assert_eq!(Talk::new().hear(whole.as_bytes()), turn(Some("drop.example"), SUCCESS, true));
        let get = b"GET / HTTP/1.0\r\n\r\n";
        assert_eq!(Talk::new().hear(get), turn(None, SUCCESS, true));
    }

    #[test]
    fn a_large_upload_is_told_to_go_on_and_one_in_chunks_ends_with_the_last() {
        let head = b"PUT /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut talk = Talk::new();
        assert_eq!(talk.hear(head), turn(Some("a"), CONTINUE, false));
        assert_eq!(talk.hear(b"3\r\nabc\r\n0\r"), turn(None, b"", false));
        assert_eq!(talk.hear(b"\n\r\n"), turn(None, SUCCESS, true));
    }

    #[test]
    fn a_tls_greeting_is_refused_and_its_name_told() {
        let name = b"drop.example";
        let len = name.len() as u8;
        let mut extensions = vec![0, 10, 0, 2, 0, 0, 0, 0, 0, len + 5, 0, len + 3, 0, 0, len];
        extensions.extend_from_slice(name);
        let mut body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0]].concat();
        body.push(extensions.len() as u8);
        body.extend_from_slice(&extensions);
        let mut record = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
        record.extend_from_slice(&body);
        let mut talk = Talk::new();
        assert_eq!(talk.hear(&record[..30]), turn(None, b"", false));
        assert_eq!(talk.hear(&record[30..]), turn(Some("drop.example"), REFUSAL, true));
        for end in 9..record.len() {
            // A greeting that is cut off inside its record has no name, and nothing breaks.
            assert_eq!(server_name(&record[5..end]), None, "{end}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "it looks through 32 KiB again and again, for minutes")]
    fn what_is_neither_gets_no_word_and_takes_no_memory() {
        let mut talk = Talk::new();
        for _ in 0..40 {
            assert_eq!(talk.hear(&[b'x'; 1024]), turn(None, b"", false));
        }
        assert!(matches!(talk.0, State::Silent));
        assert_eq!(Talk::new().hear(b"hello there\r\n\r\n"), turn(None, b"", false));
    }
}
