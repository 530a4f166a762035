//! The event log of one sample: one numbered sequence, made durable at every turn.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use lapwing_core::{
    Act, Attempt, Blobs, BoxFuture, Digest, Draw, Event, ModelError, ModelErrorKind, Output,
    RecordError, Recorder, Reply, Role, SampleKey,
};

pub(crate) struct Log<'a> {
    sample: u64,
    recorder: &'a dyn Recorder,
    phase: String,
    events: Vec<Event>,
    durable: usize,
    /// The commit that was begun, which goes on although a limit cuts off whoever waits for it.
    begun: Option<Begun<'a>>,
    /// Bytes of files, for evidence and parts of the world that read them.
    files: HashMap<Digest, Vec<u8>>,
    remembers: bool,
}

/// A commit and the number of events that it makes durable. Nobody locks it: a future alone could not be shared by reference.
struct Begun<'a> {
    through: usize,
    done: Mutex<BoxFuture<'a, Result<(), RecordError>>>,
}

impl Blobs for Log<'_> {
    fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        self.files.get(&digest).cloned()
    }
}

impl<'a> Log<'a> {
    pub(crate) fn new(sample: u64, recorder: &'a dyn Recorder) -> Self {
        Self {
            sample,
            recorder,
            phase: String::new(),
            events: Vec::new(),
            durable: 0,
            begun: None,
            files: HashMap::new(),
            remembers: false,
        }
    }

    /// A log that goes on where `events`, which are on record, end.
    pub(crate) fn after(sample: u64, recorder: &'a dyn Recorder, events: Vec<Event>) -> Self {
        Self { durable: events.len(), events, ..Self::new(sample, recorder) }
    }

    /// Names the phase of the events to come; empty outside of any.
    pub(crate) fn set_phase(&mut self, phase: &str) {
        phase.clone_into(&mut self.phase);
    }

    pub(crate) fn push(&mut self, act: Act) {
        self.events.push(Event {
            seq: self.events.last().map_or(1, |last| last.seq + 1),
            phase: self.phase.clone(),
            at_ms: now_ms(),
            act,
        });
    }

    /// Pushes every attempt of a reply with its bytes; the last one carries the result.
    pub(crate) fn push_reply(
        &mut self,
        model: &str,
        role: Role,
        reply: Reply,
    ) -> Result<Output, ModelError> {
        let Reply { mut attempts, result } = reply;
        let last = attempts.pop().unwrap_or_default();
        for attempt in attempts {
            let error = attempt.error.clone().map(|error| (error.kind, error.message));
            self.push_attempt(model, role, attempt, None, error);
        }
        let error = result.as_ref().err().map(|error| (error.kind, error.message.clone()));
        self.push_attempt(model, role, last, result.as_ref().ok().cloned(), error);
        result
    }

    fn push_attempt(
        &mut self,
        model: &str,
        role: Role,
        attempt: Attempt,
        output: Option<Output>,
        error: Option<(ModelErrorKind, String)>,
    ) {
        let keep = |bytes| self.recorder.keep(bytes);
        let request = attempt.request.into_iter().map(keep).collect();
        let response = (!attempt.response.is_empty()).then(|| keep(attempt.response));
        self.push(Act::Generated {
            model: model.to_owned(),
            role,
            request,
            response,
            status: attempt.status,
            output: output.map(Box::new),
            error,
            millis: attempt.millis,
            receipt: attempt.receipt,
        });
    }

    /// Resolves when every event so far is durable.
    pub(crate) async fn commit(&mut self) -> Result<(), RecordError> {
        loop {
            if let Some(Begun { through, done }) = &mut self.begun {
                let done = done.get_mut().unwrap_or_else(PoisonError::into_inner).await;
                self.durable = *through;
                self.begun = None;
                done?;
            }
            if self.durable == self.events.len() {
                return Ok(());
            }
            self.begin_commit();
        }
    }

    /// Hands on what happened so far, to become durable while something else goes on. [`Self::commit`] waits for it.
    pub(crate) fn begin_commit(&mut self) {
        if self.begun.is_none() && self.durable < self.events.len() {
            let news = self.events[self.durable..].to_vec();
            let done = Mutex::new(self.recorder.record(self.sample, news));
            self.begun = Some(Begun { through: self.events.len(), done });
        }
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The draw of the next answer in the sample `key`.
    pub(crate) fn next_draw(&self, key: &SampleKey) -> Draw {
        let is_answer = |event: &&Event| {
            matches!(event.act, Act::Generated { output: Some(_), error: None, .. })
        };
        Draw::new(key, self.events.iter().filter(is_answer).count() as u64)
    }

    /// Keeps the bytes of files at hand from now on, for those who read them while the sample goes on.
    pub(crate) fn remember_files(&mut self) {
        self.remembers = true;
    }

    /// Whether the bytes of files are kept at hand.
    pub(crate) fn remembers(&self) -> bool {
        self.remembers
    }

    /// Whether these bytes are at hand.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.files.contains_key(&digest)
    }

    /// Keeps the bytes of a file, or of what was sent, on record.
    pub(crate) fn keep_bytes(&mut self, bytes: Vec<u8>) -> Digest {
        if self.remembers {
            let digest = self.recorder.keep(bytes.clone());
            self.files.insert(digest, bytes);
            digest
        } else {
            self.recorder.keep(bytes)
        }
    }

    pub(crate) fn recorder(&self) -> &'a dyn Recorder {
        self.recorder
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    /// Writes at once, and says so only when it is told to.
    #[derive(Default)]
    struct Slow {
        written: Mutex<Vec<u64>>,
        told: Notify,
    }

    impl Recorder for Slow {
        fn record(&self, _: u64, events: Vec<Event>) -> BoxFuture<'_, Result<(), RecordError>> {
            Box::pin(async move {
                self.written.lock().unwrap().extend(events.iter().map(|event| event.seq));
                self.told.notified().await;
                Ok(())
            })
        }

        fn keep(&self, bytes: Vec<u8>) -> Digest {
            Digest::of(&bytes)
        }
    }

    #[tokio::test]
    async fn a_commit_that_is_cut_off_is_not_written_twice() {
        let slow = Slow::default();
        let mut log = Log::new(1, &slow);
        log.push(Act::SampleEnded);
        tokio::select! {
            biased;
            _ = log.commit() => panic!("nobody told it to end"),
            () = std::future::ready(()) => {}
        }
        log.push(Act::SampleEnded);
        let both = async {
            slow.told.notify_one();
            tokio::task::yield_now().await;
            slow.told.notify_one();
        };
        let (committed, ()) = tokio::join!(log.commit(), both);
        committed.unwrap();
        assert_eq!(*slow.written.lock().unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn a_commit_that_was_begun_is_waited_for_and_not_written_twice() {
        let slow = Slow::default();
        let mut log = Log::new(1, &slow);
        log.push(Act::SampleEnded);
        log.begin_commit();
        log.begin_commit();
        slow.told.notify_one();
        log.commit().await.unwrap();
        assert_eq!(*slow.written.lock().unwrap(), [1]);
    }
}
