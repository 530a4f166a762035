//! A sandbox as the harness sees it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lapwing_core::{
    Answer, Background, BoxFuture, Captured, Checkpoint, Command, ExitStatus, Manifest, NewFile,
    Observed, Process, Sandbox, SandboxError, SandboxSpec, Service, Session, Snapshot, Terminal,
    TerminalSize,
};
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::time;

use crate::background::Commands;
use crate::base::Base;
use crate::capture::Capture;
use crate::cgroup::Group;
use crate::channel::{self, Channel};
use crate::connection::{Connection, Conversation, Memory};
use crate::files;
use crate::fork;
use crate::native::Native;
use crate::protocol::{Body, PutFile, Reply, Run, Task};
use crate::record;
use crate::session::Talk;
use crate::sys::process;
use crate::sys::socket;
use crate::terminal::Line;

/// How long output is awaited after a command's end: a background process may hold the pipe for ever.
pub(crate) const GRACE: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 * 1024;

/// What a sandbox is made of, and by whom.
pub(crate) struct Make {
    pub(crate) native: Native,
    pub(crate) spec: SandboxSpec,
    pub(crate) base: Base,
}

/// One sandbox. Ends with this value.
pub(crate) struct Isolated {
    connection: Arc<Connection>,
    pidfd: AsyncFd<OwnedFd>,
    pub(crate) make: Make,
    background: Commands,
    /// Paths that were made read-only.
    pub(crate) protected: Mutex<Vec<String>>,
    /// Dropped after the processes in it were killed.
    _group: Option<Group>,
}

impl Drop for Isolated {
    fn drop(&mut self) {
        process::kill_pidfd(self.pidfd.get_ref().as_fd());
    }
}

impl Isolated {
    pub(crate) fn new(
        channel: Channel,
        pidfd: OwnedFd,
        group: Option<Group>,
        verdict: File,
        make: Make,
    ) -> std::io::Result<Self> {
        let pidfd = socket::watch(pidfd, Interest::READABLE)?;
        let kills = group.as_ref().map(Group::watch).transpose()?.flatten();
        let memory = kills.map(|kills| Memory {
            before: kills.count(),
            kills,
            limit_bytes: make.spec.limits.memory_bytes,
        });
        let connection = Connection::open(channel, verdict, memory);
        let protected = Mutex::default();
        let background = Commands::new(Arc::clone(&connection));
        Ok(Self { connection, pidfd, background, make, protected, _group: group })
    }

    /// Sends a request that has one reply.
    async fn ask(
        &self,
        step: &str,
        body: Body,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), SandboxError> {
        let mut conversation = self.connection.ask(body, fds).await?;
        match conversation.next().await? {
            (Reply::Failed { cause }, _) => {
                Err(SandboxError::Failed { step: step.to_owned(), cause })
            }
            answer => Ok(answer),
        }
    }

    /// Has a helper do `task`. Its output.
    pub(crate) async fn help(
        &self,
        step: &str,
        task: Task,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Vec<u8>, SandboxError> {
        match self.ask(step, Body::Help(task), fds).await? {
            (Reply::Output, fds) => {
                let file = fds.into_iter().next().ok_or_else(|| unexpected(step))?;
                channel::contents(file).map_err(failed(step))
            }
            _ => Err(unexpected(step)),
        }
    }

    /// Reads files.
    async fn read(
        &self,
        step: &str,
        paths: &[String],
        max_bytes: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, SandboxError> {
        let mut read = Vec::with_capacity(paths.len());
        while read.len() < paths.len() {
            let task = Task::Get { paths: paths[read.len()..].to_vec(), max_bytes };
            let output = self.help(step, task, &[]).await?;
            let parts = files::parts(&output).filter(|parts| !parts.is_empty());
            read.extend(parts.ok_or_else(|| unexpected(step))?);
        }
        Ok(read)
    }

    async fn help_json<T: DeserializeOwned>(
        &self,
        step: &str,
        task: Task,
    ) -> Result<T, SandboxError> {
        let bytes = self.help(step, task, &[]).await?;
        serde_json::from_slice(&bytes).map_err(|error| SandboxError::Failed {
            step: step.to_owned(),
            cause: error.to_string(),
        })
    }

    async fn run(&self, command: Command) -> Result<Captured, SandboxError> {
        let step = "run a command";
        let begun = Instant::now();
        let input = memory_file(&[&command.stdin]).map_err(failed(step))?;
        let fds: Vec<BorrowedFd<'_>> = input.iter().map(AsFd::as_fd).collect();
        let (mut conversation, [stdout, stderr]) =
            begin(&self.connection, step, Body::Exec(Run::from(&command)), &fds).await?;
        let mut stdout = Stream::new(stdout, command.output_bytes).map_err(failed(step))?;
        let mut stderr = Stream::new(stderr, command.output_bytes).map_err(failed(step))?;

        let end = {
            let mut outputs = std::pin::pin!(async { tokio::join!(stdout.read(), stderr.read()) });
            let mut reading = true;
            loop {
                tokio::select! {
                    _ = &mut outputs, if reading => reading = false,
                    end = conversation.next() => {
                        if reading {
                            let _ = time::timeout(GRACE, &mut outputs).await;
                        }
                        break end?;
                    }
                }
            }
        };
        let millis = begun.elapsed().as_millis() as u64;
        let status = match end {
            (Reply::Ended { status, .. }, _) => status,
            (Reply::Failed { cause }, _) => {
                return Err(SandboxError::Failed { step: step.to_owned(), cause });
            }
            _ => return Err(unexpected(step)),
        };
        let (stdout, stdout_bytes) = stdout.finish();
        let (stderr, stderr_bytes) = stderr.finish();
        Ok(Captured { status, stdout, stderr, stdout_bytes, stderr_bytes, millis })
    }
}

/// Starts a command. The conversation that tells its end, and what it is heard by.
pub(crate) async fn begin<const N: usize>(
    connection: &Arc<Connection>,
    step: &str,
    body: Body,
    fds: &[BorrowedFd<'_>],
) -> Result<(Conversation, [OwnedFd; N]), SandboxError> {
    let mut conversation = connection.ask(body, fds).await?;
    match conversation.next().await? {
        (Reply::Started, fds) => {
            let pipes = fds.try_into().map_err(|_| unexpected(step))?;
            Ok((conversation, pipes))
        }
        (Reply::Failed { cause }, _) => Err(SandboxError::Failed { step: step.to_owned(), cause }),
        _ => Err(unexpected(step)),
    }
}

/// The pieces in one memory file; `None` if there are no bytes. It is sealed: a command could else grow its input, which
/// counts nowhere.
fn memory_file(pieces: &[&[u8]]) -> std::io::Result<Option<std::fs::File>> {
    if pieces.iter().all(|piece| piece.is_empty()) {
        return Ok(None);
    }
    let mut file = socket::memory_file(c"input")?;
    for piece in pieces {
        file.write_all(piece)?;
    }
    std::io::Seek::rewind(&mut file)?;
    socket::seal(&file)?;
    Ok(Some(file))
}

pub(crate) fn failed(step: &str) -> impl FnOnce(std::io::Error) -> SandboxError + '_ {
    move |error| SandboxError::Failed { step: step.to_owned(), cause: error.to_string() }
}

pub(crate) fn unexpected(step: &str) -> SandboxError {
    SandboxError::Failed {
        step: step.to_owned(),
        cause: "pid 1 gave an answer to another question".to_owned(),
    }
}

/// One output of a command.
struct Stream {
    pipe: pipe::Receiver,
    capture: Capture,
    open: bool,
}

impl Stream {
    fn new(pipe: OwnedFd, max: usize) -> std::io::Result<Self> {
        let pipe = pipe::Receiver::from_owned_fd(pipe)?;
        Ok(Self { pipe, capture: Capture::new(max), open: true })
    }

    /// Reads to the end.
    async fn read(&mut self) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = self.pipe.read(&mut buffer).await {
            self.capture.push(&buffer[..count]);
        }
        self.open = false;
    }

    fn finish(self) -> (Vec<u8>, u64) {
        if self.open {
            tokio::spawn(drain(self.pipe));
        }
        self.capture.finish()
    }
}

/// Reads on without keeping anything, so that a background process does not die of a closed pipe.
pub(crate) async fn drain(mut pipe: pipe::Receiver) {
    let mut buffer = vec![0; 4096];
    while let Ok(1..) = pipe.read(&mut buffer).await {}
}

impl Sandbox for Isolated {
    fn exec(&self, command: Command) -> BoxFuture<'_, Result<Captured, SandboxError>> {
        Box::pin(self.run(command))
    }

    fn open(&self, command: Command) -> BoxFuture<'_, Result<Box<dyn Session>, SandboxError>> {
        Box::pin(async move {
            let step = "open a command";
            let (conversation, [input, output]) =
                begin(&self.connection, step, Body::Open(Run::from(&command)), &[]).await?;
            let talk = Talk::new(conversation, input, output).map_err(failed(step))?;
            Ok(Box::new(talk) as Box<dyn Session>)
        })
    }

    fn terminal(
        &self,
        command: Command,
        size: TerminalSize,
    ) -> BoxFuture<'_, Result<Box<dyn Terminal>, SandboxError>> {
        Box::pin(async move {
            let step = "open a terminal";
            let body = Body::Terminal { run: Run::from(&command), size };
            let (conversation, [near]) = begin(&self.connection, step, body, &[]).await?;
            let line = Line::new(conversation, near).map_err(failed(step))?;
            Ok(Box::new(line) as Box<dyn Terminal>)
        })
    }

    fn background(&self) -> Result<&dyn Background, SandboxError> {
        Ok(&self.background)
    }

    fn start(&self, name: &str, command: Command) -> BoxFuture<'_, Result<(), SandboxError>> {
        let body = Body::Start { name: name.to_owned(), run: Run::from(&command) };
        Box::pin(async move { self.ask("start a service", body, &[]).await.map(|_| ()) })
    }

    fn wait(
        &self,
        name: &str,
        limit_ms: u64,
    ) -> BoxFuture<'_, Result<Option<ExitStatus>, SandboxError>> {
        let step = "wait for a service";
        let body = Body::Wait { name: name.to_owned(), limit_ms };
        Box::pin(async move {
            match self.ask(step, body, &[]).await? {
                (Reply::Status { status }, _) => Ok(status),
                _ => Err(unexpected(step)),
            }
        })
    }

    fn put(&self, files: Vec<NewFile>) -> BoxFuture<'_, Result<(), SandboxError>> {
        Box::pin(async move {
            if files.is_empty() {
                return Ok(());
            }
            let step = "put files";
            let pieces: Vec<&[u8]> = files.iter().map(|file| file.bytes.as_slice()).collect();
            let bytes = memory_file(&pieces).map_err(failed(step))?;
            let fds: Vec<BorrowedFd<'_>> = bytes.iter().map(AsFd::as_fd).collect();
            let files = files.iter().map(|file| PutFile {
                path: file.path.clone(),
                mode: file.mode,
                size: file.bytes.len() as u64,
            });
            let task = Task::Put { files: files.collect() };
            self.help(step, task, &fds).await.map(|_| ())
        })
    }

    fn get(
        &self,
        path: &str,
        max_bytes: u64,
    ) -> BoxFuture<'_, Result<Option<Vec<u8>>, SandboxError>> {
        let paths = [path.to_owned()];
        Box::pin(async move {
            let read = self.read("get a file", &paths, max_bytes).await?;
            Ok(read.into_iter().next().flatten())
        })
    }

    fn get_all<'a>(
        &'a self,
        paths: &'a [String],
        max_bytes: u64,
    ) -> BoxFuture<'a, Result<Vec<Option<Vec<u8>>>, SandboxError>> {
        Box::pin(self.read("get files", paths, max_bytes))
    }

    fn protect(&self, paths: &[String]) -> BoxFuture<'_, Result<(), SandboxError>> {
        let body = Body::Protect { paths: paths.to_vec() };
        let paths = paths.to_vec();
        Box::pin(async move {
            if paths.is_empty() {
                return Ok(());
            }
            self.ask("protect files", body, &[]).await?;
            self.protected.lock().unwrap_or_else(PoisonError::into_inner).extend(paths);
            Ok(())
        })
    }

    fn manifest(&self) -> BoxFuture<'_, Result<Manifest, SandboxError>> {
        Box::pin(async move {
            let written = self.help_json("take a manifest", Task::Manifest).await?;
            Ok(self.make.base.manifest(written))
        })
    }

    fn processes(&self) -> BoxFuture<'_, Result<Vec<Process>, SandboxError>> {
        Box::pin(self.help_json("list processes", Task::Processes))
    }

    fn services(&self) -> BoxFuture<'_, Result<Vec<Service>, SandboxError>> {
        Box::pin(async move {
            let step = "list services";
            match self.ask(step, Body::Services, &[]).await? {
                (Reply::Services { services }, _) => Ok(services),
                _ => Err(unexpected(step)),
            }
        })
    }

    fn observed(&self) -> BoxFuture<'_, Result<Observed, SandboxError>> {
        Box::pin(async move {
            let step = "ask what was written down";
            match self.ask(step, Body::Observed, &[]).await? {
                (Reply::Output, fds) => {
                    let file = fds.into_iter().next().ok_or_else(|| unexpected(step))?;
                    let bytes = channel::contents(file).map_err(failed(step))?;
                    record::read(&bytes).map_err(failed(step))
                }
                (Reply::Absent, _) => Ok(Observed::default()),
                _ => Err(unexpected(step)),
            }
        })
    }

    fn checkpoint(&self) -> BoxFuture<'_, Result<Checkpoint, SandboxError>> {
        Box::pin(self.connection.checkpoint())
    }

    fn answer(&self, id: u64, answer: Answer) -> BoxFuture<'_, Result<(), SandboxError>> {
        let body = Body::Answer { call: id, stdout: answer.stdout, code: answer.code };
        Box::pin(async move { self.connection.tell(body).await })
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Box<dyn Snapshot>, SandboxError>> {
        Box::pin(fork::freeze(self))
    }

    fn destroy(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        Box::pin(async move {
            self.connection.destroyed();
            process::kill_pidfd(self.pidfd.get_ref().as_fd());
            // Pid 1 ends after every other process of its namespace.
            let ended = self.pidfd.readable().await;
            ended.map(|_| ()).map_err(failed("destroy a sandbox"))
        })
    }
}
