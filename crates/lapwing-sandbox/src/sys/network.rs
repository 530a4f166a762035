//! The network namespace of this process: its loopback and its routes.
#![expect(
    unsafe_code,
    reason = "interfaces, netlink and Landlock have no wrapper in the standard library"
)]

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// The loopback is the first interface of every network namespace.
const LOOPBACK: u32 = 1;

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved; the kernel makes a new descriptor.
    let socket = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(check(i64::from(socket))? as i32) })
}

/// Brings the loopback interface up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: `ifreq` is plain bytes and integers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: `request` is what SIOCSIFFLAGS takes, and it is live.
    check(i64::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    }))?;
    Ok(())
}

/// Gives the loopback the address `ip`, beside 127.0.0.1: `ip address add`. Programs that look names up only for kinds of
/// addresses that the machine has itself, beside 127.0.0.1, look them up then.
pub(crate) fn add_address(ip: Ipv4Addr) -> io::Result<()> {
    const SINGLE: u8 = 32;
    let scope = libc::RT_SCOPE_UNIVERSE;
    let body = [libc::AF_INET as u8, SINGLE, 0, scope];
    let body = [&body[..], &LOOPBACK.to_ne_bytes()].concat();
    ask(libc::RTM_NEWADDR, &body, (libc::IFA_LOCAL, ip.octets()))
}

/// Makes every address one of this machine: `ip route add local 0.0.0.0/0 dev lo`, and `::/0`.
pub(crate) fn own_every_address() -> io::Result<()> {
    for family in [libc::AF_INET, libc::AF_INET6] {
        // Family, lengths of destination and source, type of service; table, protocol, scope, type; flags.
        let (table, protocol) = (libc::RT_TABLE_LOCAL, libc::RTPROT_BOOT);
        let kind = [table, protocol, libc::RT_SCOPE_HOST, libc::RTN_LOCAL];
        let body = [[family as u8, 0, 0, 0], kind, [0; 4]].concat();
        ask(libc::RTM_NEWROUTE, &body, (libc::RTA_OIF, LOOPBACK.to_ne_bytes()))?;
    }
    Ok(())
}

/// Has the kernel make something: one message of netlink's route family with one attribute, and its answer.
fn ask(kind: u16, body: &[u8], attribute: (u16, [u8; 4])) -> io::Result<()> {
    const HEADER_BYTES: usize = 16;
    const ATTRIBUTE_BYTES: usize = 8;
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let len = (HEADER_BYTES + body.len() + ATTRIBUTE_BYTES) as u32;
    // Length, kind, flags, number, sender.
    let mut request = len.to_ne_bytes().to_vec();
    for half in [kind, flags as u16] {
        request.extend_from_slice(&half.to_ne_bytes());
    }
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(body);
    for half in [ATTRIBUTE_BYTES as u16, attribute.0] {
        request.extend_from_slice(&half.to_ne_bytes());
    }
    request.extend_from_slice(&attribute.1);

    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    // SAFETY: pointer and length describe `request`.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    check(sent as libc::c_long)?;
    let mut answer = [0_u8; 256];
    // SAFETY: pointer and length describe `answer`.
    let received =
        unsafe { libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) };
    check(received as libc::c_long)?;
    // An `nlmsgerr`: behind the header the negated error, 0 for done.
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

/// From now on this process and its descendants reach abstract unix sockets only of each other. Since Linux 6.12.
pub(crate) fn scope_abstract_sockets() -> io::Result<()> {
    // `struct landlock_ruleset_attr`: handled accesses to files and to the network, scopes.
    const ABSTRACT_UNIX_SOCKET: u64 = 1;
    let attributes: [u64; 3] = [0, 0, ABSTRACT_UNIX_SOCKET];
    // SAFETY: the attributes are live and of the length told; the kernel makes a new descriptor.
    let ruleset = unsafe {
        let size = size_of_val(&attributes);
        let made = libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), size, 0);
        OwnedFd::from_raw_fd(check(made)? as i32)
    };
    // SAFETY: no memory is involved.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) })?;
    Ok(())
}
