//! Requests to pid 1 and the way back of their replies, for many callers at once.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapwing_core::{Checkpoint, SandboxError};
use tokio::sync::{Notify, mpsc};

use crate::channel::Channel;
use crate::protocol::{Body, Event, Reply, Request, SET_UP};

type Answer = (Reply, Vec<OwnedFd>);

/// The harness's side of one sandbox's socket. Closed when the last conversation and the sandbox are dropped.
pub(crate) struct Connection {
    channel: Channel,
    state: Mutex<State>,
    called: Notify,
}

struct State {
    last_id: u64,
    /// Where replies go, by the id of their request.
    waiting: HashMap<u64, mpsc::UnboundedSender<Answer>>,
    /// Calls of programs that nobody has taken yet.
    calls: VecDeque<Checkpoint>,
    /// Why nothing more will come.
    lost: Option<String>,
}

/// The replies to one request. Dropped before the last one, it ends the command that it is about.
pub(crate) struct Conversation {
    connection: Arc<Connection>,
    id: u64,
    replies: mpsc::UnboundedReceiver<Answer>,
    over: bool,
}

impl Connection {
    pub(crate) fn open(channel: Channel) -> Arc<Self> {
        let state =
            State { last_id: SET_UP, waiting: HashMap::new(), calls: VecDeque::new(), lost: None };
        let connection =
            Arc::new(Self { channel, state: Mutex::new(state), called: Notify::new() });
        tokio::spawn(Arc::clone(&connection).read());
        connection
    }

    /// Passes on what pid 1 says, until it says no more.
    async fn read(self: Arc<Self>) {
        let lost = loop {
            match self.channel.receive::<Event>().await {
                Ok(Some((event, fds))) => self.take(event, fds),
                Ok(None) => break "its pid 1 has ended".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        let mut state = self.state();
        state.lost.get_or_insert(lost);
        state.waiting.clear();
        drop(state);
        self.called.notify_waiters();
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
            Event::Over { cause } => state.lost = Some(cause),
            // Said only before a connection is opened.
            Event::Born | Event::Stillborn { .. } => (),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self) -> SandboxError {
        let reason = self.state().lost.clone();
        SandboxError::Lost(reason.unwrap_or_else(|| "its socket is closed".to_owned()))
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
        sent.map_err(|error| SandboxError::Lost(error.to_string()))
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
