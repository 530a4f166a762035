//! An internet that takes everything and leads nowhere, served by pid 1. Every address is one of the loopback's, and before a
//! connection is made a listener is opened at just the place that it goes to: so ports stay free for services, and what is
//! sent is written down with its true destination.

mod dns;
mod talk;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use lapwing_core::{Contact, Protocol, Record};

use crate::record::Records;
use crate::sys::socket::{self, Interest};
use talk::Talk;

use dns::Names;
pub(crate) use dns::{OWN, SERVER};

/// How long a listener waits for a connection that was announced.
const EXPECTED: Duration = Duration::from_secs(2);
/// A connection over which nothing comes for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
/// Listeners, connections and receivers of datagrams at a time, of each. The oldest make room.
const OPEN: usize = 128;
/// Reads of one connection at a time, so that none keeps pid 1 from others.
const READS: usize = 64;
const READ_BYTES: usize = 64 * 1024;

/// All that is open.
pub(crate) struct Sink {
    names: Names,
    listeners: Vec<Listener>,
    streams: Vec<Stream>,
    receivers: Vec<Receiver>,
}

struct Listener {
    socket: TcpListener,
    at: SocketAddr,
    /// The records of connections that were announced, in their order.
    expected: Vec<Option<u64>>,
    until: Instant,
}

struct Stream {
    socket: TcpStream,
    key: Option<u64>,
    talk: Talk,
    until: Instant,
    /// More has come than was read at a time.
    more: bool,
}

struct Receiver {
    socket: UdpSocket,
    at: SocketAddr,
    /// The process that sent there first, and the record of what was sent.
    pid: u32,
    key: Option<u64>,
    /// Datagrams that found no room.
    dropped: u32,
}

impl Sink {
    /// `local` are the names that stand for this machine.
    pub(crate) fn new(local: Vec<String>) -> Self {
        let (listeners, streams, receivers) = (Vec::new(), Vec::new(), Vec::new());
        Self { names: Names::new(local), listeners, streams, receivers }
    }

    /// The process `pid` is about to send to `to`.
    pub(crate) fn expect(
        &mut self,
        protocol: Protocol,
        to: SocketAddr,
        pid: u32,
        records: &mut Records,
    ) {
        // What was sent before it comes before it.
        self.receive(records);
        match protocol {
            Protocol::Tcp => self.expect_stream(to, pid, records),
            Protocol::Udp | Protocol::Dns => self.expect_datagrams(to, pid, records),
        }
    }

    fn expect_stream(&mut self, to: SocketAddr, pid: u32, records: &mut Records) {
        let until = Instant::now() + EXPECTED;
        let contact = self.contact(Protocol::Tcp, to, pid);
        if let Some(listener) = self.listeners.iter_mut().find(|listener| listener.at == to) {
            listener.expected.push(records.open(contact));
            listener.until = until;
            return;
        }
        if self.listeners.len() >= OPEN {
            self.advance(records);
            let oldest = self.listeners.iter().enumerate().min_by_key(|(_, one)| one.until);
            if let Some(index) = oldest.map(|(index, _)| index) {
                self.listeners.swap_remove(index).close(records);
            }
        }
        match socket::bind(libc::SOCK_STREAM, to).map(TcpListener::from) {
            Ok(socket) => {
                let expected = vec![records.open(contact)];
                self.listeners.push(Listener { socket, at: to, expected, until });
            }
            // A service of this network serves the port on all addresses and will take the connection, or there is no such
            // address.
            Err(_) => {
                records.add(Record::Contact(Contact { sent_bytes: None, ..contact }));
            }
        }
    }

    fn expect_datagrams(&mut self, to: SocketAddr, pid: u32, records: &mut Records) {
        if let Some(index) = self.receivers.iter().position(|receiver| receiver.at == to) {
            // The last used stands last.
            let receiver = self.receivers.remove(index);
            self.receivers.push(receiver);
            return;
        }
        if self.receivers.len() >= OPEN {
            let mut oldest = self.receivers.remove(0);
            oldest.receive(&mut self.names, records);
            records.close(oldest.key);
        }
        if let Ok(socket) = socket::bind(libc::SOCK_DGRAM, to).map(UdpSocket::from) {
            self.receivers.push(Receiver { socket, at: to, pid, key: None, dropped: 0 });
        } else {
            let contact = self.contact(Protocol::Udp, to, pid);
            records.add(Record::Contact(Contact { sent_bytes: None, ..contact }));
        }
    }

    fn contact(&self, protocol: Protocol, to: SocketAddr, pid: u32) -> Contact {
        contact(protocol, to, pid, &self.names)
    }

    /// What to wait for; [`Sink::advance`] is to be called when any is ready.
    pub(crate) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, Interest)> {
        let listeners = self.listeners.iter().map(|listener| listener.socket.as_fd());
        let streams = self.streams.iter().map(|stream| stream.socket.as_fd());
        let receivers = self.receivers.iter().map(|receiver| receiver.socket.as_fd());
        listeners.chain(streams).chain(receivers).map(|fd| (fd, Interest::Read))
    }

    /// When [`Sink::enforce`] is to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let listeners = self.listeners.iter().map(|listener| listener.until);
        listeners.chain(self.streams.iter().map(|stream| stream.until)).min()
    }

    /// Takes what has come. Returns whether there is more.
    pub(crate) fn advance(&mut self, records: &mut Records) -> bool {
        for listener in &mut self.listeners {
            while let Ok((socket, _)) = listener.socket.accept() {
                let at = listener.at;
                let key = if listener.expected.is_empty() {
                    records.open(contact(Protocol::Tcp, at, 0, &self.names))
                } else {
                    listener.expected.remove(0)
                };
                if socket.set_nonblocking(true).is_err() {
                    records.close(key);
                    continue;
                }
                let until = Instant::now() + IDLE;
                let mut stream = Stream { socket, key, talk: Talk::new(), until, more: false };
                if stream.read(records) {
                    self.streams.push(stream);
                }
            }
        }
        // A port is taken no longer than it is needed.
        self.listeners.retain(|listener| !listener.expected.is_empty());
        self.streams.retain_mut(|stream| stream.read(records));
        while self.streams.len() > OPEN {
            let oldest = self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.until);
            if let Some(index) = oldest.map(|(index, _)| index) {
                records.close(self.streams.swap_remove(index).key);
            }
        }
        self.receive(records);
        self.streams.iter().any(|stream| stream.more)
    }

    fn receive(&mut self, records: &mut Records) {
        for receiver in &mut self.receivers {
            receiver.receive(&mut self.names, records);
        }
    }

    /// Closes what was waited for long enough.
    pub(crate) fn enforce(&mut self, now: Instant, records: &mut Records) {
        for listener in self.listeners.extract_if(.., |listener| listener.until <= now) {
            listener.close(records);
        }
        for stream in self.streams.extract_if(.., |stream| stream.until <= now) {
            records.close(stream.key);
        }
    }
}

fn contact(protocol: Protocol, to: SocketAddr, pid: u32, names: &Names) -> Contact {
    let ip = to.ip();
    Contact {
        pid,
        protocol,
        address: ip.to_string(),
        port: to.port(),
        name: names.name(ip),
        told: None,
        sent_bytes: Some(0),
        payload: Vec::new(),
    }
}

impl Listener {
    /// What was announced and did not come was tried all the same.
    fn close(self, records: &mut Records) {
        for key in self.expected {
            records.close(key);
        }
    }
}

impl Stream {
    /// Takes what has come. Returns whether more may come.
    fn read(&mut self, records: &mut Records) -> bool {
        let mut buffer = vec![0; READ_BYTES];
        self.more = false;
        for _ in 0..READS {
            match self.socket.read(&mut buffer) {
                Ok(count @ 1..) => {
                    let bytes = &buffer[..count];
                    records.sent(self.key, bytes);
                    self.until = Instant::now() + IDLE;
                    self.hear(bytes, records);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                ended => {
                    if ended.is_err() {
                        // Reset by the other side, with which the kernel throws away what was not read yet.
                        records.lose(self.key);
                    }
                    records.close(self.key);
                    return false;
                }
            }
        }
        self.more = true;
        true
    }

    fn hear(&mut self, bytes: &[u8], records: &mut Records) {
        let turn = self.talk.hear(bytes);
        if let (Some(told), Some(contact)) = (turn.told, records.contact(self.key)) {
            contact.told = Some(told);
        }
        // Who does not listen gets no answer.
        let _ = self.socket.write(turn.say);
        if turn.over {
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }
}

impl Receiver {
    fn receive(&mut self, names: &mut Names, records: &mut Records) {
        let mut buffer = vec![0; READ_BYTES];
        for _ in 0..READS {
            let Ok((count, from)) = self.socket.recv_from(&mut buffer) else { return };
            let packet = &buffer[..count];
            let is_question = self.at.port() == dns::PORT;
            if let Some((question, answer)) = is_question.then(|| names.answer(packet)).flatten() {
                // Not with the library's own, for which this process would wait itself.
                let _ = socket::send_to(self.socket.as_fd(), &answer, from);
                records.add(Record::Contact(self.look_up(question.name, names)));
                continue;
            }
            if records.contact(self.key).is_none() {
                self.key = records.open(contact(Protocol::Udp, self.at, self.pid, names));
            }
            records.sent(self.key, packet);
            // What came faster than it was read.
            if std::mem::replace(&mut self.dropped, socket::dropped(self.socket.as_fd()))
                != self.dropped
            {
                records.lose(self.key);
            }
        }
    }

    /// The name is what is sent; the rest of a question is a number that is drawn.
    fn look_up(&self, name: String, names: &Names) -> Contact {
        Contact {
            sent_bytes: Some(name.len() as u64),
            payload: name.clone().into_bytes(),
            name: Some(name),
            ..contact(Protocol::Dns, self.at, self.pid, names)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A linear congruential generator; the constants are those of Numerical Recipes.
    fn noise(seed: u32, len: usize) -> Vec<u8> {
        let step = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let states = std::iter::successors(Some(seed), step).skip(1);
        states.map(|state| (state >> 24) as u8).take(len).collect()
    }

    #[test]
    fn no_bytes_from_inside_break_the_sinkhole() {
        let mut names = Names::new(Vec::new());
        let starts: [&[u8]; 6] = [
            &[],
            &[22, 3, 1, 0],
            &[22, 3, 1, 1, 0, 1, 0, 0],
            b"POST / HTTP/1.1\r\n",
            &[0, 1, 1, 0, 0, 1],
            b"\r\n\r\n",
        ];
        for seed in 0..if cfg!(miri) { 24 } else { 4000 } {
            let start = starts[seed as usize % starts.len()];
            let bytes = [start, &noise(seed, seed as usize % 700)].concat();
            names.answer(&bytes);
            let mut talk = Talk::new();
            for piece in bytes.chunks(1 + seed as usize % 97) {
                talk.hear(piece);
            }
        }
    }
}
