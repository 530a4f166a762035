//! A command whose input and output stay open to the harness.

use std::io;
use std::os::fd::OwnedFd;

use lapwing_core::{BoxFuture, ExitStatus, SandboxError, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;

use crate::connection::Conversation;
use crate::isolated::{drain, failed, unexpected};
use crate::protocol::Reply;

const READ_BYTES: usize = 64 * 1024;

/// One such command.
pub(crate) struct Talk {
    conversation: Conversation,
    input: pipe::Sender,
    output: pipe::Receiver,
}

impl Talk {
    pub(crate) fn new(
        conversation: Conversation,
        input: OwnedFd,
        output: OwnedFd,
    ) -> io::Result<Self> {
        let input = pipe::Sender::from_owned_fd(input)?;
        let output = pipe::Receiver::from_owned_fd(output)?;
        Ok(Self { conversation, input, output })
    }
}

impl Session for Talk {
    fn send<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Result<(), SandboxError>> {
        Box::pin(async move {
            match self.input.write_all(bytes).await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(failed("write to a command")(error))
                }
                _ => Ok(()),
            }
        })
    }

    fn receive(&mut self) -> BoxFuture<'_, Result<Vec<u8>, SandboxError>> {
        Box::pin(async move {
            let mut buffer = vec![0; READ_BYTES];
            let count = self.output.read(&mut buffer).await;
            buffer.truncate(count.map_err(failed("read from a command"))?);
            Ok(buffer)
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<ExitStatus, SandboxError>> {
        Box::pin(async move {
            let step = "finish a command";
            let Self { mut conversation, input, output } = *self;
            drop(input);
            tokio::spawn(drain(output));
            match conversation.next().await? {
                (Reply::Ended { status, .. }, _) => Ok(status),
                (Reply::Failed { cause }, _) => {
                    Err(SandboxError::Failed { step: step.to_owned(), cause })
                }
                _ => Err(unexpected(step)),
            }
        })
    }
}
