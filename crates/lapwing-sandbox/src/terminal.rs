//! Commands in terminals: pid 1 opens a pseudo-terminal of the sandbox, the command gets one end of it, the harness the other.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use lapwing_core::{BoxFuture, ExitStatus, SandboxError, Session, Terminal, TerminalSize};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{self, OpenptFlags};
use rustix::termios::{self, Winsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time;

use crate::connection::Conversation;
use crate::isolated::{failed, unexpected};
use crate::protocol::Reply;
use crate::sys::socket;

const READ_BYTES: usize = 64 * 1024;
/// How long output is awaited after a command's end: a background process may hold the terminal for ever.
const LINGER: Duration = Duration::from_millis(20);
/// How long a command has to end when its terminal is gone.
const GRACE: Duration = Duration::from_secs(1);

/// A new terminal of the folder `terminals`: the end that stays with the harness, and the command's.
pub(crate) fn open(terminals: &File, size: TerminalSize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let near = rustix::fs::openat(terminals, "ptmx", flags, Mode::empty())?;
    pty::unlockpt(&near)?;
    // By descriptor: what lies at its path may have been laid out by a command.
    let far = pty::ioctl_tiocgptpeer(
        &near,
        OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
    )?;
    resize(&near, size)?;
    Ok((near, far))
}

/// Makes `terminal` that of this process's session.
pub(crate) fn control(terminal: impl AsFd) -> io::Result<()> {
    Ok(rustix::process::ioctl_tiocsctty(terminal)?)
}

fn resize(terminal: impl AsFd, size: TerminalSize) -> io::Result<()> {
    let TerminalSize { rows, columns } = size;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(termios::tcsetwinsize(terminal, size)?)
}

/// The harness's end of a terminal.
pub(crate) struct Line {
    conversation: Conversation,
    near: AsyncFd<OwnedFd>,
    /// What was written while keys were waiting to be taken.
    unread: Vec<u8>,
    /// How the command ended, once it has.
    ended: Option<Reply>,
}

impl Line {
    pub(crate) fn new(conversation: Conversation, near: OwnedFd) -> io::Result<Self> {
        let near = socket::watch(near, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { conversation, near, unread: Vec::new(), ended: None })
    }
}

impl Session for Line {
    fn send<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), SandboxError>> {
        Box::pin(async move {
            let mut rest = bytes;
            while !rest.is_empty() {
                let write = |near: &OwnedFd| Ok(rustix::io::write(near, rest)?);
                let mut buffer = [0; 4096];
                // A command that waits for its output to be read takes no keys.
                let room = READ_BYTES.saturating_sub(self.unread.len()).min(buffer.len());
                let read = |near: &OwnedFd| Ok(rustix::io::read(near, &mut buffer[..room])?);
                let written = tokio::select! {
                    biased;
                    written = self.near.async_io(Interest::WRITABLE, write) => written,
                    read = self.near.async_io(Interest::READABLE, read), if room > 0 => {
                        read.map(|count| {
                            self.unread.extend_from_slice(&buffer[..count]);
                            0
                        })
                    }
                };
                match written {
                    Ok(count) => rest = &rest[count..],
                    // Nobody has the other end open any more.
                    Err(error) if is_hung_up(&error) => return Ok(()),
                    Err(error) => return Err(failed("write to a terminal")(error)),
                }
            }
            Ok(())
        })
    }

    fn receive(&mut self) -> BoxFuture<'_, Result<Vec<u8>, SandboxError>> {
        Box::pin(async move {
            if !self.unread.is_empty() {
                return Ok(std::mem::take(&mut self.unread));
            }
            let mut buffer = vec![0; READ_BYTES];
            if self.ended.is_none() {
                let read = |near: &OwnedFd| Ok(rustix::io::read(near, &mut buffer)?);
                tokio::select! {
                    biased;
                    count = self.near.async_io(Interest::READABLE, read) => return heard(count, buffer),
                    // Others that hold the terminal open are not waited for.
                    end = self.conversation.next() => self.ended = Some(end?.0),
                }
            }
            // The kernel may still be passing on what was written last.
            let read = |near: &OwnedFd| Ok(rustix::io::read(near, &mut buffer)?);
            match time::timeout(LINGER, self.near.async_io(Interest::READABLE, read)).await {
                Ok(count) => heard(count, buffer),
                Err(_) => Ok(Vec::new()),
            }
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<ExitStatus, SandboxError>> {
        Box::pin(async move {
            let step = "finish a command in a terminal";
            let Self { mut conversation, near, ended, .. } = *self;
            drop(near);
            let end = match ended {
                Some(end) => end,
                None => match time::timeout(GRACE, conversation.next()).await {
                    Ok(end) => end?.0,
                    // It does not care that its terminal is gone, so that it is killed with the conversation.
                    Err(_) => return Ok(ExitStatus::Signal { signal: libc::SIGHUP }),
                },
            };
            match end {
                Reply::Ended { status, .. } => Ok(status),
                Reply::Failed { cause } => {
                    Err(SandboxError::Failed { step: step.to_owned(), cause })
                }
                _ => Err(unexpected(step)),
            }
        })
    }
}

fn heard(count: io::Result<usize>, mut buffer: Vec<u8>) -> Result<Vec<u8>, SandboxError> {
    let count = match count {
        Err(error) if is_hung_up(&error) => 0,
        count => count.map_err(failed("read from a terminal"))?,
    };
    buffer.truncate(count);
    Ok(buffer)
}

impl Terminal for Line {
    fn resize(&mut self, size: TerminalSize) -> Result<(), SandboxError> {
        resize(self.near.get_ref(), size).map_err(failed("resize a terminal"))
    }
}

fn is_hung_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}
