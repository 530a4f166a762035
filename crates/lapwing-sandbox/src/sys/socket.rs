//! Packets with descriptors, memory files, pipes and polling.
#![expect(unsafe_code, reason = "descriptor passing has no wrapper in the standard library")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use super::check;

/// Most descriptors in one packet.
pub(crate) const FDS_MAX: usize = 8;
const CONTROL_BYTES: usize = 64;

/// Room for a header and [`FDS_MAX`] descriptors, aligned as headers are.
type Control = [u64; CONTROL_BYTES / 8];

/// Marks what pid 1 itself sends, so that it never waits for itself where sending is watched. The kernel gives this flag
/// (`MSG_SYN`) no meaning, and commands cannot send with it.
pub(crate) const OWN_SEND: i32 = 0x400;

/// Whether a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until it can be done.
    Block,
    /// Not at all: [`io::ErrorKind::WouldBlock`].
    Never,
}

impl Wait {
    fn flag(self) -> i32 {
        match self {
            Self::Block => 0,
            Self::Never => libc::MSG_DONTWAIT,
        }
    }
}

/// Two connected sockets that keep packets apart.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: `fds` has room for the two descriptors.
    check(i64::from(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) }))?;
    Ok(fds.map(own).into())
}

/// A pipe: its reading and its writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    check(i64::from(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }))?;
    Ok(fds.map(own).into())
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: called only with descriptors that the kernel just made for this process.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A file in memory, without a path.
pub(crate) fn memory_file(name: &CStr) -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: `name` is NUL-terminated.
    let fd = check(unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) })?;
    Ok(File::from(own(fd as i32)))
}

/// Takes from everyone who has or opens `file`, made by [`memory_file`], the right to write to it or change its size.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }))?;
    Ok(())
}

/// Whether `fd` is a packet socket of the unix family.
pub(crate) fn is_packet_socket(fd: BorrowedFd<'_>) -> bool {
    option(fd, libc::SO_TYPE) == Ok(libc::SOCK_SEQPACKET)
        && option(fd, libc::SO_DOMAIN) == Ok(libc::AF_UNIX)
}

fn option<T: Copy>(fd: BorrowedFd<'_>, name: i32) -> Result<T, i32> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` has `len` writable bytes.
    let result = unsafe {
        let value = value.as_mut_ptr().cast();
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, value, &raw mut len)
    };
    // SAFETY: callers ask for plain integers and structures of them: zeroed or as the kernel wrote them.
    if result == 0 { Ok(unsafe { value.assume_init() }) } else { Err(result) }
}

/// Datagrams for this socket that found no room.
pub(crate) fn dropped(fd: BorrowedFd<'_>) -> u32 {
    // Nine numbers, of which this is the last: `SK_MEMINFO_DROPS`.
    option::<[u32; 9]>(fd, libc::SO_MEMINFO).map_or(0, |numbers| numbers[8])
}

/// The process at the other end of a connection, as the kernel knows it.
pub(crate) fn peer_pid(fd: BorrowedFd<'_>) -> Option<u32> {
    option::<libc::ucred>(fd, libc::SO_PEERCRED).ok().map(|peer| peer.pid.unsigned_abs())
}

/// Sends one packet. A closed other end is [`io::ErrorKind::BrokenPipe`], or once, where it had something to read,
/// [`io::ErrorKind::ConnectionReset`].
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    wait: Wait,
) -> io::Result<()> {
    if fds.len() > FDS_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = Control::default();
    let control_bytes = carry(&mut control, &raw);
    let mut message = header(&mut control, control_bytes);
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    loop {
        let flags = libc::MSG_NOSIGNAL | OWN_SEND | wait.flag();
        // SAFETY: `message` points to live buffers of the lengths it tells.
        let sent =
            unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) } as libc::c_long;
        match check(sent) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

/// A `struct sockaddr_in` or `sockaddr_in6`, and its length.
fn address(of: SocketAddr) -> ([u8; size_of::<libc::sockaddr_in6>()], libc::socklen_t) {
    let mut address = [0; size_of::<libc::sockaddr_in6>()];
    address[2..4].copy_from_slice(&of.port().to_be_bytes());
    let (family, len) = match of {
        SocketAddr::V4(of) => {
            address[4..8].copy_from_slice(&of.ip().octets());
            (libc::AF_INET, size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(of) => {
            address[8..24].copy_from_slice(&of.ip().octets());
            address[24..28].copy_from_slice(&of.scope_id().to_ne_bytes());
            (libc::AF_INET6, size_of::<libc::sockaddr_in6>())
        }
    };
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    (address, len as libc::socklen_t)
}

/// Sends a datagram to `to` without waiting.
pub(crate) fn send_to(socket: BorrowedFd<'_>, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    let (address, len) = address(to);
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | OWN_SEND;
    // SAFETY: both buffers are live and at least of the lengths told.
    let sent = unsafe {
        let (bytes_start, address) = (bytes.as_ptr().cast(), address.as_ptr().cast());
        libc::sendto(socket.as_raw_fd(), bytes_start, bytes.len(), flags, address, len)
    };
    check(sent as libc::c_long)?;
    Ok(())
}

/// A socket of the kind `SOCK_STREAM`, which listens, or `SOCK_DGRAM`, bound to `at`. It never waits. `at` need not be an
/// address of an interface.
pub(crate) fn bind(kind: i32, at: SocketAddr) -> io::Result<OwnedFd> {
    const BACKLOG: i32 = 1024;
    let (address, len) = address(at);
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let family = if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no memory is involved.
    let socket = own(check(i64::from(unsafe { libc::socket(family, kind | flags, 0) }))? as i32);
    let set = |level, name| {
        let on = 1_i32;
        // SAFETY: `on` is live and of the length told.
        check(i64::from(unsafe {
            let value = (&raw const on).cast();
            libc::setsockopt(socket.as_raw_fd(), level, name, value, size_of::<i32>() as u32)
        }))
    };
    match at {
        SocketAddr::V4(_) => set(libc::IPPROTO_IP, libc::IP_FREEBIND)?,
        SocketAddr::V6(_) => set(libc::IPPROTO_IPV6, libc::IPV6_FREEBIND)?,
    };
    if kind == libc::SOCK_STREAM {
        set(libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    }
    // SAFETY: `address` is live and of the length told.
    check(i64::from(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), len) }))?;
    if kind == libc::SOCK_STREAM {
        // SAFETY: no memory is involved.
        check(i64::from(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) }))?;
    }
    Ok(socket)
}

/// Receives one packet of at most `max` bytes; `None` when the other end is closed.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    max: usize,
    wait: Wait,
) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    // Not cleared before: every page that is written to is one more that the next fork has to copy.
    let mut bytes: Vec<u8> = Vec::with_capacity(max);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: max };
    let mut control = Control::default();
    let mut message = header(&mut control, CONTROL_BYTES);
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    let received = loop {
        let flags = libc::MSG_CMSG_CLOEXEC | wait.flag();
        // SAFETY: `message` points to live buffers of the lengths it tells.
        let received =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) } as libc::c_long;
        match check(received) {
            Ok(received) => break received as usize,
            // A closed end that had something to read is told once, before what it has sent.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => return Err(error),
        }
    };
    let (control_bytes, flags) = (message.msg_controllen, message.msg_flags);
    let fds: Vec<OwnedFd> = carried(&mut control, control_bytes).into_iter().map(own).collect();
    if received == 0 {
        return Ok(None);
    }
    if flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet was cut off"));
    }
    // SAFETY: the kernel has written so many bytes, which are no more than `max`.
    unsafe { bytes.set_len(received) };
    Ok(Some((bytes, fds)))
}

/// The header of a message whose control messages have the first `bytes` bytes of `control`.
fn header(control: &mut Control, bytes: usize) -> libc::msghdr {
    // SAFETY: `msghdr` is integers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = bytes.min(CONTROL_BYTES) as _;
    message
}

/// Writes into `control` the message that carries these descriptors, at most [`FDS_MAX`]. How many bytes it takes: none for none.
fn carry(control: &mut Control, fds: &[i32]) -> usize {
    assert!(fds.len() <= FDS_MAX, "{} descriptors in one packet", fds.len());
    if fds.is_empty() {
        return 0;
    }
    let bytes = size_of_val(fds);
    // SAFETY: pure arithmetic.
    let (space, len) = unsafe { (libc::CMSG_SPACE(bytes as u32), libc::CMSG_LEN(bytes as u32)) };
    let message = header(control, space as usize);
    // SAFETY: `control` is aligned for a header, and large enough for one and `FDS_MAX` descriptors behind it.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = len as _;
        ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), bytes);
    }
    space as usize
}

/// The descriptors that the messages in the first `bytes` bytes of `control` carry.
fn carried(control: &mut Control, bytes: usize) -> Vec<i32> {
    let message = header(control, bytes);
    let end = message.msg_control as usize + message.msg_controllen;
    let mut fds = Vec::new();
    // SAFETY: headers are whole and lie within `msg_controllen`; of what is behind one, not more than that is read.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let data = libc::CMSG_DATA(header);
                let len = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = std::slice::from_raw_parts(data, len.min(end - data as usize));
                let numbers = data.chunks_exact(size_of::<i32>());
                let numbers = numbers.filter_map(|bytes| bytes.try_into().ok());
                fds.extend(numbers.map(i32::from_ne_bytes));
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    fds
}

/// What is asked of a descriptor in [`poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes to read, or the end.
    Read,
    /// Room to write.
    Write,
    /// Only that the other end is gone.
    Gone,
}

/// Waits until one of `fds` is ready or `limit` has passed. One answer for each.
pub(crate) fn poll(
    fds: &[(BorrowedFd<'_>, Interest)],
    limit: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut entries: Vec<libc::pollfd> = fds
        .iter()
        .map(|(fd, interest)| libc::pollfd {
            fd: fd.as_fd().as_raw_fd(),
            events: match interest {
                Interest::Read => libc::POLLIN,
                Interest::Write => libc::POLLOUT,
                Interest::Gone => 0,
            },
            revents: 0,
        })
        .collect();
    // Rounded up: a deadline has passed when the call returns for it.
    let millis = limit.map_or(-1, |limit| limit.as_micros().div_ceil(1000).min(1 << 30) as i32);
    // SAFETY: `entries` is a live array of the length told.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, millis) };
    match check(i64::from(ready)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(entries.iter().map(|entry| entry.revents != 0).collect()),
    }
}

/// Lets the async runtime wait for `fd`.
pub(crate) fn watch(fd: OwnedFd, interest: tokio::io::Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open, and the same file, until the `AsyncFd` that holds it is dropped.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    Ok(watched?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_come_out_of_a_control_message_as_they_went_in() {
        for n_fds in 0..=FDS_MAX {
            let fds: Vec<i32> = (100..).take(n_fds).collect();
            let mut control = Control::default();
            let bytes = carry(&mut control, &fds);
            assert_eq!(carried(&mut control, bytes), fds);
            // Zeros behind it are no message.
            assert_eq!(carried(&mut control, CONTROL_BYTES), fds);
        }
    }

    #[test]
    fn of_a_control_message_that_is_cut_off_only_what_is_there_is_read() {
        let fds = [7, 8, 9];
        let mut control = Control::default();
        let whole = carry(&mut control, &fds);
        for bytes in 0..whole {
            let read = carried(&mut control, bytes);
            assert!(fds.starts_with(&read), "{bytes}: {read:?}");
        }
        // A length that is wrong leads nowhere else.
        for length in [0, 1, 15, 16, 17, CONTROL_BYTES as u64, u64::from(u32::MAX)] {
            control[0] = length;
            let read = carried(&mut control, CONTROL_BYTES);
            assert!(read.len() <= (CONTROL_BYTES - 16) / 4, "{length}: {read:?}");
        }
    }
}
