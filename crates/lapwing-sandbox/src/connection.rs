//! Requests to pid 1 and the way back of their replies, for many callers at once.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapwing_core::{Checkpoint, Loss, SandboxError};
use tokio::sync::{Notify, mpsc, watch};

use crate::cause::Kills;
use crate::channel::Channel;
use crate::protocol::{Body, Event, Reply, Request, SET_UP};
use crate::verdict::Verdict;

type Answer = (Reply, Vec<OwnedFd>);

/// The harness's side of one sandbox's socket. Closed when the last conversation and the sandbox are dropped.
pub(crate) struct Connection {
    channel: Channel,
    state: Mutex<State>,
    called: Notify,
    /// Whether nothing more will come.
    gone: watch::Sender<bool>,
    /// Where pid 1 writes why it ends the sandbox.
    verdict: File,
    memory: Option<Memory>,
}

/// The memory of a sandbox that the kernel holds to its limit.
pub(crate) struct Memory {
    pub(crate) kills: Kills,
    /// What was counted when the sandbox was made.
    pub(crate) before: u64,
    pub(crate) limit_bytes: u64,
}

impl Memory {
    /// Why pid 1 has ended, if the kernel may have chosen it.
    fn ended(&self) -> Option<Verdict> {
        let Self { limit_bytes, .. } = *self;
        let mebibytes = limit_bytes >> 20;
        let cause = format!("the kernel ended it at its limit of {mebibytes} MiB of memory");
        (self.kills.count() > self.before)
            .then_some(Verdict { loss: Loss::Memory { limit_bytes }, cause })
    }
}

struct State {
    last_id: u64,
    /// Where replies go, by the id of their request.
    waiting: HashMap<u64, mpsc::UnboundedSender<Answer>>,
    /// Calls of programs that nobody has taken yet.
    calls: VecDeque<Checkpoint>,
    /// Why nothing more will come. What is found first stands.
    lost: Option<Verdict>,
}

/// The replies to one request. Dropped before the last one, it ends the command that it is about.
pub(crate) struct Conversation {
    connection: Arc<Connection>,
    id: u64,
    replies: mpsc::UnboundedReceiver<Answer>,
    over: bool,
}

impl Connection {
    pub(crate) fn open(channel: Channel, verdict: File, memory: Option<Memory>) -> Arc<Self> {
        let state =
            State { last_id: SET_UP, waiting: HashMap::new(), calls: VecDeque::new(), lost: None };
        let connection = Arc::new(Self {
            channel,
            state: Mutex::new(state),
            called: Notify::new(),
            gone: watch::Sender::new(false),
            verdict,
            memory,
        });
        tokio::spawn(Arc::clone(&connection).read());
        connection
    }

    /// Passes on what pid 1 says, until it says no more.
    async fn read(self: Arc<Self>) {
        let fault = loop {
            match self.channel.receive::<Event>().await {
                Ok(Some((event, fds))) => self.take(event, fds),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let mut state = self.state();
        state.lost.get_or_insert_with(|| self.verdict(fault));
        state.waiting.clear();
        drop(state);
        self.called.notify_waiters();
        self.gone.send_replace(true);
    }

    fn take(&self, event: Event, fds: Vec<OwnedFd>) {
        let mut state = self.state();
        match event {
            Event::Reply { id, reply } => {
                let sender = if reply.is_last() {
                    state.waiting.remove(&id)
                } else {
                    state.waiting.get(&id).cloned()
                };
                if let Some(sender) = sender {
                    // Nobody may be listening any more.
                    let _ = sender.send((reply, fds));
                }
            }
            Event::Call { id, program, arguments, pid } => {
                state.calls.push_back(Checkpoint { id, program, arguments, pid });
                self.called.notify_one();
            }
            Event::CallGone { id } => state.calls.retain(|call| call.id != id),
            // Said only before a connection is opened.
            Event::Born | Event::Stillborn { .. } => (),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that the harness is about to end the sandbox.
    pub(crate) fn destroyed(&self) {
        self.state().lost.get_or_insert_with(|| {
            Verdict::read(&self.verdict).unwrap_or_else(|| Verdict {
                loss: Loss::Destroyed,
                cause: "the harness has ended it".to_owned(),
            })
        });
    }

    /// Why the sandbox is gone, of which `fault` was seen: what pid 1 has written about it before all else.
    fn verdict(&self, fault: Option<io::Error>) -> Verdict {
        let written = Verdict::read(&self.verdict);
        let known = written.or_else(|| self.memory.as_ref().and_then(Memory::ended));
        known.unwrap_or_else(|| match fault {
            None => Verdict {
                loss: Loss::Killed,
                cause: "something outside ended its pid 1".to_owned(),
            },
            Some(error) => Verdict {
                loss: Loss::Protocol,
                cause: format!("its pid 1 cannot be understood: {error}"),
            },
        })
    }

    fn lost(&self) -> SandboxError {
        let mut state = self.state();
        let Verdict { loss, cause } = state.lost.get_or_insert_with(|| self.verdict(None)).clone();
        SandboxError::Lost { loss, cause }
    }

    /// Sends a request that has replies.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        body: Body,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Conversation, SandboxError> {
        let (sender, replies) = mpsc::unbounded_channel();
        let id = {
            let mut state = self.state();
            if state.lost.is_some() {
                drop(state);
                return Err(self.lost());
            }
            state.last_id += 1;
            let id = state.last_id;
            state.waiting.insert(id, sender);
            id
        };
        let conversation = Conversation { connection: Arc::clone(self), id, replies, over: false };
        self.send(id, body, fds).await?;
        Ok(conversation)
    }

    /// Sends a request that has no reply.
    pub(crate) async fn tell(&self, body: Body) -> Result<(), SandboxError> {
        self.send(SET_UP, body, &[]).await
    }

    async fn send(&self, id: u64, body: Body, fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
        let sent = self.channel.send(&Request { id, body }, fds).await;
        match sent {
            Ok(()) => Ok(()),
            Err(error)
                if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
            {
                // What it said before may still be on its way.
                let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
                Err(self.lost())
            }
            Err(error) => {
                Err(SandboxError::Failed { step: "ask pid 1".to_owned(), cause: error.to_string() })
            }
        }
    }

    /// The next call of a program that its caller still waits for.
    pub(crate) async fn checkpoint(&self) -> Result<Checkpoint, SandboxError> {
        loop {
            let called = self.called.notified();
            {
                let mut state = self.state();
                if let Some(call) = state.calls.pop_front() {
                    if !state.calls.is_empty() {
                        self.called.notify_one();
                    }
                    return Ok(call);
                }
                if state.lost.is_some() {
                    drop(state);
                    return Err(self.lost());
                }
            }
            called.await;
        }
    }
}

impl Conversation {
    /// Under which pid 1 knows it.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The next reply, with its descriptors.
    pub(crate) async fn next(&mut self) -> Result<Answer, SandboxError> {
        let Some(answer) = self.replies.recv().await else {
            self.over = true;
            return Err(self.connection.lost());
        };
        self.over = answer.0.is_last();
        Ok(answer)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if !self.over {
            self.connection.state().waiting.remove(&self.id);
            let kill = Request { id: SET_UP, body: Body::Kill { id: self.id } };
            // Lost only together with the sandbox, or where its socket is full: then the time limit ends the command.
            let _ = self.connection.channel.try_send(&kill);
        }
    }
}
