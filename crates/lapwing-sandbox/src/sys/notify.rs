//! Being told of system calls before they are made: `SECCOMP_RET_USER_NOTIF`, and looking at who makes them.
#![expect(
    unsafe_code,
    reason = "seccomp and the memory of others have no wrapper in the standard library"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// `SECCOMP_IOCTL_NOTIF_RECV`, `SECCOMP_IOCTL_NOTIF_SEND`, the same on both architectures.
const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const NEW_LISTENER: u64 = 1 << 3;
/// Since Linux 5.19: signals do not interrupt a call that was told of, so that it is not told of twice.
const WAIT_KILLABLE: u64 = 1 << 5;
/// The call is made as if nobody had looked.
const CONTINUE: u32 = 1;

/// A call that waits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notification {
    id: u64,
    /// The thread that makes it.
    pub(crate) pid: u32,
    flags: u32,
    /// The call's number.
    pub(crate) number: i32,
    architecture: u32,
    instruction: u64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// Installs a filter on this process and its descendants to come; those calls for which it says `SECCOMP_RET_USER_NOTIF` wait
/// until they are received and let go on. Needs no new privileges.
pub(crate) fn install(filter: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let install = |flags: u64| {
        // SAFETY: the kernel copies the program, which is live, during the call.
        check(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        })
    };
    let listener = match install(NEW_LISTENER | WAIT_KILLABLE) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(NEW_LISTENER),
        result => result,
    };
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(listener? as i32) })
}

/// A call that waits at `listener`; `None` if who made it is gone. Call when it is readable.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Option<Notification>> {
    let mut notification = Notification::default();
    // SAFETY: `notification` has the kernel's layout, is zeroed as it asks, and is live.
    let received = check(i64::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), RECEIVE as _, &raw mut notification)
    }));
    match received {
        Ok(_) => Ok(Some(notification)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets the call go on. That who made it is gone is no error.
pub(crate) fn proceed(listener: BorrowedFd<'_>, notification: &Notification) -> io::Result<()> {
    let response = Response { id: notification.id, value: 0, error: 0, flags: CONTINUE };
    // SAFETY: `response` has the kernel's layout and is live.
    match check(i64::from(unsafe {
        libc::ioctl(listener.as_raw_fd(), SEND as _, &raw const response)
    })) {
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// Reads memory of the process `pid` into `bytes`, as far as it is there. How much it was.
pub(crate) fn read_memory(pid: u32, address: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: `local` describes `bytes`; the kernel checks the other process's addresses.
    let read = unsafe {
        libc::process_vm_readv(pid.cast_signed(), &raw const local, 1, &raw const remote, 1, 0)
    };
    Ok(check(read as libc::c_long)? as usize)
}

/// The protocol of the socket that is descriptor `fd` in the process `process`, as `IPPROTO_*`.
pub(crate) fn socket_protocol(process: u32, fd: i32) -> io::Result<i32> {
    let none = 0;
    // SAFETY: no memory is involved; the kernel makes a new descriptor in each call.
    let own = |fd: libc::c_long| unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: as above.
    let pidfd = own(check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, none) })?);
    // SAFETY: as above.
    let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, none) };
    let socket = own(check(taken)?);
    let mut protocol = 0_i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `protocol` has `len` writable bytes.
    check(i64::from(unsafe {
        let value = (&raw mut protocol).cast();
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            value,
            &raw mut len,
        )
    }))?;
    Ok(protocol)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;
    use crate::seccomp::{NUMBER, give, load, on};
    use crate::sys::process::{self, Fork};
    use crate::sys::socket;

    #[test]
    #[cfg_attr(miri, ignore = "a filter and a fork are the kernel's")]
    fn a_call_fails_and_does_not_hang_once_nobody_listens() {
        let tell = give(libc::SECCOMP_RET_USER_NOTIF);
        let mut filter = vec![load(NUMBER)];
        filter.extend(on(libc::SYS_pipe2, &[tell]));
        filter.push(give(libc::SECCOMP_RET_ALLOW));
        let (result, told) = socket::pipe().unwrap();
        let (mut result, mut told) = (File::from(result), File::from(told));
        // The child makes system calls only, so that it needs nothing that another thread of this process may hold.
        match process::fork().unwrap() {
            Fork::Child => {
                let listener = process::no_new_privileges().and_then(|()| install(&filter));
                drop(listener);
                let failed = socket::pipe().map_err(|error| error.raw_os_error());
                let absent = failed.err() == Some(Some(libc::ENOSYS));
                let written = told.write_all(&[u8::from(absent)]);
                process::exit(i32::from(written.is_err()))
            }
            Fork::Parent(child) => {
                drop(told);
                let mut absent = [0];
                result.read_exact(&mut absent).unwrap();
                process::reap_one(child);
                assert_eq!(absent, [1]);
            }
        }
    }
}
