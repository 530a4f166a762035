//! Commands in the background. Pid 1 runs them as it runs any other; a task of the harness for each reads what it writes and
//! waits for its end.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapwing_core::{Background, BoxFuture, Command, ExitStatus, Heard, Running, SandboxError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::time;

use crate::capture::Capture;
use crate::connection::{Connection, Conversation};
use crate::isolated::{GRACE, begin, failed, unexpected};
use crate::protocol::{Body, Reply, Run};

const READ_BYTES: usize = 64 * 1024;
/// As many reads empty the largest pipe, and one that is filled meanwhile is not read for ever.
const READS: usize = 32;

/// All of one sandbox.
pub(crate) struct Commands {
    connection: Arc<Connection>,
    all: Mutex<Vec<Arc<Entry>>>,
}

/// One command.
struct Entry {
    argv: Vec<String>,
    /// Bytes kept between two polls.
    output_bytes: usize,
    /// Under which pid 1 knows it.
    id: u64,
    /// Closed where it is `None`.
    input: AsyncMutex<Option<pipe::Sender>>,
    state: Mutex<State>,
    /// Told whenever there is something new.
    news: watch::Sender<()>,
}

struct State {
    output: Capture,
    /// The pipe that it writes to, until nobody can any more.
    pipe: Option<File>,
    end: Option<Result<End, SandboxError>>,
    /// Whether a poll has told the end.
    told: bool,
}

#[derive(Clone, Copy)]
struct End {
    status: ExitStatus,
    orphans: u64,
}

impl State {
    /// Takes what is in the pipe at this moment.
    fn catch_up(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        let mut buffer = vec![0; READ_BYTES];
        for _ in 0..READS {
            match (&*pipe).read(&mut buffer) {
                Ok(count @ 1..) => self.output.push(&buffer[..count]),
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn has_news(&self) -> bool {
        !self.output.is_empty() || (self.end.is_some() && !self.told)
    }

    fn status(&self) -> Option<ExitStatus> {
        self.end.as_ref()?.as_ref().ok().map(|end| end.status)
    }
}

impl Commands {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, all: Mutex::default() }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Entry>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, number: u64) -> Result<Arc<Entry>, SandboxError> {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let found = index.and_then(|index| self.all().get(index).cloned());
        found.ok_or_else(|| SandboxError::Failed {
            step: "find a command in the background".to_owned(),
            cause: format!("none has the number {number}"),
        })
    }

    async fn start(&self, command: Command) -> Result<u64, SandboxError> {
        let step = "start a command in the background";
        let body = Body::Spawn(Run::from(&command));
        let (conversation, [input, output]): (_, [OwnedFd; 2]) =
            begin(&self.connection, step, body, &[]).await?;
        let input = pipe::Sender::from_owned_fd(input).map_err(failed(step))?;
        let output = pipe::Receiver::from_owned_fd(output).map_err(failed(step))?;
        let same = output.as_fd().try_clone_to_owned().map_err(failed(step))?;
        let entry = Arc::new(Entry {
            argv: command.argv,
            output_bytes: command.output_bytes,
            id: conversation.id(),
            input: AsyncMutex::new(Some(input)),
            state: Mutex::new(State {
                output: Capture::new(command.output_bytes),
                pipe: Some(File::from(same)),
                end: None,
                told: false,
            }),
            news: watch::Sender::new(()),
        });
        tokio::spawn(attend(Arc::clone(&entry), conversation, output));
        let number = {
            let mut all = self.all();
            all.push(Arc::clone(&entry));
            all.len() as u64
        };
        if !command.stdin.is_empty() {
            // Beside whoever started it, as a command need not read before it does something else.
            tokio::spawn(async move { entry.write(&command.stdin, &mut 0).await });
        }
        Ok(number)
    }
}

/// Reads what a command writes, also when it has ended and others write on, and waits for its end.
async fn attend(entry: Arc<Entry>, mut conversation: Conversation, output: pipe::Receiver) {
    let mut reading = std::pin::pin!(entry.read(&output));
    let mut open = true;
    let end = loop {
        tokio::select! {
            () = &mut reading, if open => open = false,
            reply = conversation.next() => break reply,
        }
    };
    if open {
        open = time::timeout(GRACE, &mut reading).await.is_err();
    }
    entry.end(match end {
        Ok((Reply::Ended { status, orphans }, _)) => Ok(End { status, orphans }),
        Ok((Reply::Failed { cause }, _)) => {
            Err(SandboxError::Failed { step: "run a command in the background".to_owned(), cause })
        }
        Ok(_) => Err(unexpected("run a command in the background")),
        Err(error) => Err(error),
    });
    if open {
        reading.await;
    }
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is written, until nobody can write any more.
    async fn read(&self, output: &pipe::Receiver) {
        let mut buffer = vec![0; READ_BYTES];
        while output.readable().await.is_ok() {
            // Under the lock, as a poll reads from the same pipe.
            let mut state = self.state();
            match output.try_read(&mut buffer) {
                Ok(count @ 1..) => state.output.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => {
                    state.pipe = None;
                    return;
                }
            }
            drop(state);
            self.news.send_replace(());
        }
    }

    fn end(&self, end: Result<End, SandboxError>) {
        self.state().end = Some(end);
        self.news.send_replace(());
    }

    /// Waits until `is_so`; what it waits for comes with news.
    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        let mut news = self.news.subscribe();
        while !is_so(&self.state()) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    async fn poll(&self, wait: Duration) -> Result<Heard, SandboxError> {
        self.state().catch_up();
        // Whether there is something new then or not, it is told.
        let _ = time::timeout(wait, self.until(State::has_news)).await;
        let mut state = self.state();
        state.catch_up();
        let end = state.end.clone().transpose()?;
        state.told = end.is_some();
        let output = std::mem::replace(&mut state.output, Capture::new(self.output_bytes));
        let (output, output_bytes) = output.finish();
        Ok(Heard {
            output,
            output_bytes,
            status: end.map(|end| end.status),
            orphans: end.map_or(0, |end| end.orphans),
        })
    }

    /// Writes as far as somebody reads. Bytes are counted as they are taken, so that this can be cut off.
    async fn write(&self, bytes: &[u8], taken: &mut usize) -> io::Result<()> {
        let mut input = self.input.lock().await;
        while let (Some(pipe), true) = (input.as_mut(), *taken < bytes.len()) {
            match pipe.write(&bytes[*taken..]).await {
                Ok(count) => *taken += count,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => *input = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Background for Commands {
    fn spawn(&self, command: Command) -> BoxFuture<'_, Result<u64, SandboxError>> {
        Box::pin(self.start(command))
    }

    fn poll(&self, number: u64, wait_ms: u64) -> BoxFuture<'_, Result<Heard, SandboxError>> {
        Box::pin(async move { self.find(number)?.poll(Duration::from_millis(wait_ms)).await })
    }

    fn feed<'a>(
        &'a self,
        number: u64,
        bytes: &'a [u8],
        last: bool,
        wait_ms: u64,
    ) -> BoxFuture<'a, Result<usize, SandboxError>> {
        Box::pin(async move {
            let entry = self.find(number)?;
            let mut taken = 0;
            let written = entry.write(bytes, &mut taken);
            match time::timeout(Duration::from_millis(wait_ms), written).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(error)) => return Err(failed("write to a command")(error)),
            }
            if last && taken == bytes.len() {
                *entry.input.lock().await = None;
            }
            Ok(taken)
        })
    }

    fn kill(&self, number: u64) -> BoxFuture<'_, Result<(), SandboxError>> {
        Box::pin(async move {
            let entry = self.find(number)?;
            self.connection.tell(Body::Kill { id: entry.id }).await?;
            entry.until(|state| state.end.is_some()).await;
            Ok(())
        })
    }

    fn list(&self) -> Vec<Running> {
        let all = self.all();
        let numbered = (1..).zip(all.iter());
        let told = numbered.map(|(number, entry)| {
            let mut state = entry.state();
            state.catch_up();
            Running {
                number,
                argv: entry.argv.clone(),
                status: state.status(),
                news: state.has_news(),
            }
        });
        told.collect()
    }
}
