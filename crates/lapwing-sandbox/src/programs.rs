//! The inside end of programs: their clients connect to pid 1, say what was called, and wait for the answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use crate::protocol::Event;
use crate::sys::socket::{self, Interest};

/// Name of the socket in the sandbox's own network namespace: no file, so nothing inside can remove it.
const SOCKET: &[u8] = b"programs";
/// Longest call: the program's name and its arguments.
const CALL_BYTES: usize = 64 * 1024;
/// Calls at a time; more wait in the kernel's queue.
const CALLS: usize = 128;

/// All calls that are not over.
pub(crate) struct Programs {
    listener: UnixListener,
    names: Vec<String>,
    calls: Vec<Call>,
    last_id: u64,
}

struct Call {
    id: u64,
    stream: UnixStream,
    pid: u32,
    state: State,
}

enum State {
    /// The client is telling what was called.
    Asking(Vec<u8>),
    /// The harness has been told.
    Waiting,
    /// The rest of the answer.
    Answering(Vec<u8>),
    Over,
}

impl Programs {
    pub(crate) fn new(names: Vec<String>) -> io::Result<Self> {
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(SOCKET)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, names, calls: Vec::new(), last_id: 0 })
    }

    /// What to wait for. The order is that of the answers that [`Programs::advance`] takes.
    pub(crate) fn interests(&self) -> Vec<(BorrowedFd<'_>, Interest)> {
        let accepting = if self.calls.len() < CALLS { Interest::Read } else { Interest::Gone };
        let calls = self.calls.iter().map(|call| {
            let interest = match call.state {
                State::Asking(_) => Interest::Read,
                State::Waiting | State::Over => Interest::Gone,
                State::Answering(_) => Interest::Write,
            };
            (call.stream.as_fd(), interest)
        });
        [(self.listener.as_fd(), accepting)].into_iter().chain(calls).collect()
    }

    /// Does what can be done now, and returns what the harness is to be told.
    pub(crate) fn advance(&mut self, ready: &[bool]) -> Vec<Event> {
        let mut events = Vec::new();
        let Some((accept, ready)) = ready.split_first() else { return events };
        for (call, ready) in self.calls.iter_mut().zip(ready) {
            if *ready {
                events.extend(call.advance(&self.names));
            }
        }
        for over in self.calls.extract_if(.., |call| matches!(call.state, State::Over)) {
            // Closing alone does not tell the client while a helper, which was forked before, holds a copy.
            let _ = over.stream.shutdown(Shutdown::Both);
        }
        if *accept && self.calls.len() < CALLS {
            self.accept();
        }
        events
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let Some(pid) = socket::peer_pid(stream.as_fd()) else { return };
        if stream.set_nonblocking(true).is_ok() {
            self.last_id += 1;
            let state = State::Asking(Vec::new());
            self.calls.push(Call { id: self.last_id, stream, pid, state });
        }
    }

    /// Answers the call `id`; if its caller is gone, nothing happens.
    pub(crate) fn answer(&mut self, id: u64, stdout: &str, code: i32) {
        let call = self.calls.iter_mut().find(|call| call.id == id);
        if let Some(call) = call.filter(|call| matches!(call.state, State::Waiting)) {
            let answer = [&code.to_le_bytes(), stdout.as_bytes()].concat();
            call.state = State::Answering(answer);
        }
    }
}

impl Call {
    fn advance(&mut self, names: &[String]) -> Option<Event> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asking(asked) => self.listen(asked, names),
            State::Waiting => Some(Event::CallGone { id: self.id }),
            State::Answering(answer) => {
                self.state = self.speak(answer);
                None
            }
            State::Over => None,
        }
    }

    fn listen(&mut self, mut asked: Vec<u8>, names: &[String]) -> Option<Event> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => {
                let (program, arguments) = parse_call(&asked)?;
                names.contains(&program).then(|| {
                    self.state = State::Waiting;
                    Event::Call { id: self.id, program, arguments, pid: self.pid }
                })
            }
            Ok(count) if asked.len() + count <= CALL_BYTES => {
                asked.extend_from_slice(&bytes[..count]);
                self.state = State::Asking(asked);
                None
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.state = State::Asking(asked);
                None
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn speak(&mut self, mut answer: Vec<u8>) -> State {
        match self.stream.write(&answer) {
            Ok(count) if count < answer.len() => {
                answer.drain(..count);
                State::Answering(answer)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => State::Answering(answer),
            Ok(_) | Err(_) => State::Over,
        }
    }
}

/// The program's name and its arguments from the client's argument block, in which each ends with a NUL.
fn parse_call(block: &[u8]) -> Option<(String, Vec<String>)> {
    let block = block.strip_suffix(&[0])?;
    let mut arguments =
        block.split(|byte| *byte == 0).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let path = arguments.next()?;
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    Some((name, arguments.collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_call_of_any_bytes_has_as_many_words_as_it_ends(block: Vec<u8>) {
            let ends = block.split(|byte| *byte == 0).count() - 1;
            match parse_call(&block) {
                Some((_, arguments)) => prop_assert_eq!(arguments.len() + 1, ends),
                None => prop_assert!(block.last() != Some(&0)),
            }
        }
    }

    #[test]
    fn a_call_is_the_base_name_and_the_arguments_with_empty_ones() {
        let parsed = parse_call(b"/usr/local/bin/submit\0a b\0\0\xff\0").unwrap();
        let expected = ["a b", "", "\u{fffd}"].map(str::to_owned).to_vec();
        assert_eq!(parsed, ("submit".to_owned(), expected));
        assert_eq!(parse_call(b"unfinished"), None);
        assert_eq!(parse_call(b""), None);
    }
}
