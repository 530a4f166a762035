//! Messages as packets: JSON in the packet itself, or, when it is long, in a memory file passed with it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::sys::socket::{self, Wait};

/// Longest message that travels in the packet. A socket's send buffer holds several of them.
const INLINE_BYTES: usize = 32 * 1024;
const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// A message with its descriptors; `None` when the other end is closed.
pub(crate) type Received<T> = Option<(T, Vec<OwnedFd>)>;

struct Packet {
    bytes: Vec<u8>,
    file: Option<File>,
}

fn encode(message: &impl Serialize) -> io::Result<Packet> {
    let mut bytes = vec![INLINE];
    serde_json::to_writer(&mut bytes, message)?;
    if bytes.len() <= INLINE_BYTES {
        return Ok(Packet { bytes, file: None });
    }
    let mut file = socket::memory_file(c"message")?;
    file.write_all(&bytes[1..])?;
    Ok(Packet { bytes: vec![IN_FILE], file: Some(file) })
}

fn decode<T: DeserializeOwned>(packet: Option<(Vec<u8>, Vec<OwnedFd>)>) -> io::Result<Received<T>> {
    let Some((bytes, mut fds)) = packet else { return Ok(None) };
    let message = match bytes.split_first() {
        Some((&INLINE, json)) => serde_json::from_slice(json)?,
        Some((&IN_FILE, _)) if !fds.is_empty() => {
            serde_json::from_slice(&contents(fds.remove(0))?)?
        }
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet without a message")),
    };
    Ok(Some((message, fds)))
}

/// All bytes of a memory file, wherever its position is.
pub(crate) fn contents(file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = File::from(file);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Sends `message` with `fds`.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
    wait: Wait,
) -> io::Result<()> {
    let packet = encode(message)?;
    send_packet(socket, &packet, fds, wait)
}

fn send_packet(
    socket: BorrowedFd<'_>,
    packet: &Packet,
    fds: &[BorrowedFd<'_>],
    wait: Wait,
) -> io::Result<()> {
    let file = packet.file.as_ref().map(AsFd::as_fd);
    let fds: Vec<BorrowedFd<'_>> = file.into_iter().chain(fds.iter().copied()).collect();
    socket::send(socket, &packet.bytes, &fds, wait)
}

/// Receives the next message.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
    wait: Wait,
) -> io::Result<Received<T>> {
    decode(socket::receive(socket, INLINE_BYTES, wait)?)
}

/// The harness's end of a socket.
pub(crate) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(socket::watch(socket, Interest::READABLE | Interest::WRITABLE)?))
    }

    pub(crate) async fn send(
        &self,
        message: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let packet = encode(message)?;
        self.0
            .async_io(Interest::WRITABLE, |socket| {
                send_packet(socket.as_fd(), &packet, fds, Wait::Never)
            })
            .await
    }

    /// Sends without waiting: for use where nothing can wait and a lost message does no harm.
    pub(crate) fn try_send(&self, message: &impl Serialize) -> io::Result<()> {
        send(self.0.get_ref().as_fd(), message, &[], Wait::Never)
    }

    pub(crate) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.0.async_io(Interest::READABLE, |socket| receive(socket.as_fd(), Wait::Never)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_and_received(text: &str) -> (String, usize) {
        let (near, far) = socket::pair().unwrap();
        let beside = socket::memory_file(c"test").unwrap();
        send(near.as_fd(), &text, &[beside.as_fd()], Wait::Block).unwrap();
        let (received, fds) = receive::<String>(far.as_fd(), Wait::Block).unwrap().unwrap();
        (received, fds.len())
    }

    #[test]
    fn what_is_short_travels_in_the_packet_and_nothing_else_is_understood() {
        let packet = encode(&"text").unwrap();
        assert!(packet.file.is_none());
        let (read, fds) = decode::<String>(Some((packet.bytes.clone(), vec![]))).unwrap().unwrap();
        assert_eq!((read.as_str(), fds.len()), ("text", 0));
        for end in 0..packet.bytes.len() {
            assert!(
                decode::<String>(Some((packet.bytes[..end].to_vec(), vec![]))).is_err(),
                "{end}"
            );
        }
        for first in 0..=u8::MAX {
            let bytes = [&[first], &packet.bytes[1..]].concat();
            let understood = decode::<String>(Some((bytes, vec![]))).is_ok();
            assert_eq!(understood, first == INLINE, "{first}");
        }
        assert!(decode::<String>(None).unwrap().is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets of packets and memory files are the kernel's")]
    fn short_and_long_messages_arrive_whole_with_their_descriptors() {
        for len in [0, 1, INLINE_BYTES - 3, INLINE_BYTES - 2, INLINE_BYTES, 5_000_000] {
            let text = "x".repeat(len);
            assert_eq!(sent_and_received(&text), (text, 1), "{len}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets of packets are the kernel's")]
    fn a_closed_other_end_is_told_apart_from_an_empty_queue() {
        let (near, far) = socket::pair().unwrap();
        let empty = receive::<String>(far.as_fd(), Wait::Never).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        drop(near);
        assert!(receive::<String>(far.as_fd(), Wait::Never).unwrap().is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets of packets are the kernel's")]
    fn a_packet_that_is_no_message_is_an_error() {
        let (near, far) = socket::pair().unwrap();
        for packet in [&[IN_FILE][..], &[9, 9], &[INLINE, b'{']] {
            socket::send(near.as_fd(), packet, &[], Wait::Block).unwrap();
            assert!(receive::<String>(far.as_fd(), Wait::Block).is_err(), "{packet:?}");
        }
    }
}
