//! What a process whose system call waits is about to do, read from its memory. Another thread of it may change that memory
//! after the look.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use lapwing_core::Protocol;

use crate::sys::notify::{self, Notification};

/// Memory is mapped, or not, by the page.
const PAGE_BYTES: u64 = 4096;
/// Bytes told of a path and of all arguments together, and how many arguments.
const PATH_BYTES: usize = 4096;
const ARGUMENT_BYTES: usize = 4096;
const ARGUMENTS: u64 = 256;
/// Messages of one `sendmmsg` that are looked at.
const MESSAGES: u64 = 64;
const MESSAGE_BYTES: u64 = 64;

/// A process and its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    pub(super) process: u32,
    pub(super) parent: u32,
}

/// The process that the thread `pid` belongs to.
pub(super) fn family(pid: u32) -> Option<Family> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some(Family { process: field("Tgid:")?, parent: field("PPid:")? })
}

/// A program that is about to be run.
pub(super) struct Program {
    pub(super) path: String,
    pub(super) argv: Vec<String>,
    /// Whether there is no such file, so that it is not run after all.
    pub(super) is_missing: bool,
}

/// What is about to be run; `None` where the kernel cannot run it.
///
/// # Errors
/// The process cannot be read. A fork of pid 1 cannot.
pub(super) fn program(call: &Notification) -> io::Result<Option<Program>> {
    let at = usize::from(i64::from(call.number) == libc::SYS_execveat);
    let path = match text(call.pid, call.arguments[at], PATH_BYTES) {
        Err(error) if is_wrong(&error) => return Ok(None),
        path => path?,
    };
    let mut argv = Vec::new();
    let mut left = ARGUMENT_BYTES;
    for index in 0..ARGUMENTS {
        let place = call.arguments[at + 1].wrapping_add(8 * index);
        let pointer = number(call.pid, place).unwrap_or(0);
        if pointer == 0 || left == 0 {
            break;
        }
        let Ok(argument) = text(call.pid, pointer, left) else { break };
        left = left.saturating_sub(argument.len() + 1);
        argv.push(argument);
    }
    // As the process itself would find it, also where its folder was removed or is no path but a descriptor.
    let folder = match call.arguments[0] as i32 {
        descriptor if at == 1 && descriptor != libc::AT_FDCWD => {
            format!("/proc/{}/fd/{descriptor}", call.pid)
        }
        _ => format!("/proc/{}/cwd", call.pid),
    };
    let found = fs::metadata(Path::new(&folder).join(&path));
    let is_missing = found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    Ok(Some(Program { path, argv, is_missing }))
}

/// Where a process is about to connect or send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a place in the internet.
    Internet(Protocol, SocketAddr),
    /// To something else, or to where its socket is connected.
    Other,
    /// It cannot be told.
    Unread,
}

/// All places that the call goes to.
pub(super) fn targets(call: &Notification, process: u32) -> Vec<Target> {
    let [fd, first, second, third, fourth, fifth] = call.arguments;
    let fast_open = |flags: u64| flags & u64::from(libc::MSG_FASTOPEN.cast_unsigned()) != 0;
    let (addresses, opens) = match i64::from(call.number) {
        libc::SYS_connect => (vec![Ok((first, second))], true),
        libc::SYS_sendto => (vec![Ok((fourth, fifth))], fast_open(third)),
        libc::SYS_sendmsg => (vec![name(call.pid, first)], fast_open(second)),
        _ => {
            let message = |index| name(call.pid, first.wrapping_add(index * MESSAGE_BYTES));
            ((0..second.min(MESSAGES)).map(message).collect(), fast_open(third))
        }
    };
    let targets = addresses.into_iter().map(|address| {
        let found = address
            .and_then(|(pointer, len)| target(call.pid, process, fd as i32, pointer, len, opens));
        found.unwrap_or_else(|error| if is_wrong(&error) { Target::Other } else { Target::Unread })
    });
    let more = i64::from(call.number) == libc::SYS_sendmmsg && second > MESSAGES;
    targets.chain(more.then_some(Target::Unread)).collect()
}

/// Where a socket goes with the address at `pointer`; a stream only where the call `opens` it.
fn target(
    pid: u32,
    process: u32,
    fd: i32,
    pointer: u64,
    len: u64,
    opens: bool,
) -> io::Result<Target> {
    if pointer == 0 {
        return Ok(Target::Other);
    }
    let mut bytes = [0; 28];
    let len = bytes.len().min(len as usize);
    let read = notify::read_memory(pid, pointer, &mut bytes[..len])?;
    let Some(place) = place(&bytes[..read]) else { return Ok(Target::Other) };
    Ok(match notify::socket_protocol(process, fd)? {
        libc::IPPROTO_TCP if opens => Target::Internet(Protocol::Tcp, place),
        libc::IPPROTO_UDP => Target::Internet(Protocol::Udp, place),
        _ => Target::Other,
    })
}

/// Address and length of `msg_name` in the `struct msghdr` at `message`.
fn name(pid: u32, message: u64) -> io::Result<(u64, u64)> {
    let (pointer, len) = (number(pid, message)?, number(pid, message.wrapping_add(8))?);
    Ok((pointer, len & 0xffff_ffff))
}

/// The place in a `struct sockaddr` of the internet. That nothing in particular is this machine.
fn place(address: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes([*address.first()?, *address.get(1)?]));
    let port = u16::from_be_bytes([*address.get(2)?, *address.get(3)?]);
    match family {
        libc::AF_INET => {
            let octets: [u8; 4] = address.get(4..8)?.try_into().ok()?;
            let ip = Ipv4Addr::from(octets);
            let ip = if ip.is_unspecified() { Ipv4Addr::LOCALHOST } else { ip };
            Some(SocketAddr::new(IpAddr::V4(ip), port))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = address.get(8..24)?.try_into().ok()?;
            let ip = Ipv6Addr::from(octets);
            if let Some(ip) = ip.to_ipv4_mapped() {
                return Some(SocketAddr::new(IpAddr::V4(ip), port));
            }
            let ip = if ip.is_unspecified() { Ipv6Addr::LOCALHOST } else { ip };
            let scope = address.get(24..28).and_then(|scope| scope.try_into().ok());
            let scope = scope.map_or(0, u32::from_ne_bytes);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope)))
        }
        _ => None,
    }
}

/// Whether a look failed because of something for which the kernel cannot make the call either.
fn is_wrong(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EFAULT | libc::EBADF | libc::ENOTSOCK))
}

fn number(pid: u32, address: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    let read = notify::read_memory(pid, address, &mut bytes)?;
    if read < bytes.len() {
        return Err(io::Error::from_raw_os_error(libc::EFAULT));
    }
    Ok(u64::from_ne_bytes(bytes))
}

/// The text at `address`, to its NUL or as far as `most`.
fn text(pid: u32, address: u64, most: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let start = address.wrapping_add(bytes.len() as u64);
        let in_page = (PAGE_BYTES - start % PAGE_BYTES) as usize;
        // Most are short.
        let mut piece = [0; 256];
        let len = piece.len().min(in_page).min(most - bytes.len());
        let read = notify::read_memory(pid, start, &mut piece[..len])?;
        let end = piece[..read].iter().position(|byte| *byte == 0);
        bytes.extend_from_slice(&piece[..end.unwrap_or(read)]);
        if end.is_some() || read == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_where_the_kernel_would_go() {
        let v4 = |octets: [u8; 4]| [&[2, 0, 1, 0xbb][..], &octets, &[0; 8]].concat();
        let v6 = |ip: Ipv6Addr| [&[10, 0, 1, 0xbb, 0, 0, 0, 0][..], &ip.octets(), &[0; 4]].concat();
        let told = |bytes: &[u8]| place(bytes).map(|place| place.to_string());
        assert_eq!(told(&v4([93, 184, 216, 34])).as_deref(), Some("93.184.216.34:443"));
        assert_eq!(told(&v4([0; 4])).as_deref(), Some("127.0.0.1:443"));
        let mapped = Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped();
        assert_eq!(told(&v6(mapped)).as_deref(), Some("1.2.3.4:443"));
        assert_eq!(told(&v6(Ipv6Addr::UNSPECIFIED)).as_deref(), Some("[::1]:443"));
        assert_eq!(told(&v6("2001:db8::1".parse().unwrap())).as_deref(), Some("[2001:db8::1]:443"));
        for other in [&b""[..], &[2, 0, 1], &[2, 0, 0, 80, 1], &[1, 0, b'/', b'x'], &[10, 0, 0, 80]]
        {
            assert_eq!(told(other), None, "{other:?}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "the memory of processes is the kernel's")]
    fn what_is_not_mapped_has_no_text() {
        let own = std::process::id();
        let long = [&[b'x'; 10_000][..], &[0]].concat();
        assert_eq!(text(own, long.as_ptr() as u64, 4096).unwrap().len(), 4096);
        assert_eq!(text(own, long[9_998..].as_ptr() as u64, 4096).unwrap(), "xx");
        assert!(text(own, 8, 4096).is_err());
        assert!(text(own, u64::MAX - 4, 4096).is_err() && number(own, u64::MAX - 3).is_err());
        assert_eq!(family(own).map(|family| family.process), Some(own));
    }
}
