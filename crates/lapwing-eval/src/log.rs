//! The event log of one sample: one numbered sequence, made durable at every turn.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use lapwing_core::{
    Act, Attempt, Blobs, Digest, Event, ModelError, ModelErrorKind, Output, RecordError, Recorder,
    Reply, Role,
};

pub(crate) struct Log<'a> {
    sample: u64,
    recorder: &'a dyn Recorder,
    phase: String,
    events: Vec<Event>,
    durable: usize,
    /// Bytes of files, for evidence and parts of the world that read them.
    files: HashMap<Digest, Vec<u8>>,
    remembers: bool,
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
        });
    }

    /// Resolves when every event so far is durable.
    pub(crate) async fn commit(&mut self) -> Result<(), RecordError> {
        if self.durable < self.events.len() {
            let news = self.events[self.durable..].to_vec();
            self.recorder.record(self.sample, news).await?;
            self.durable = self.events.len();
        }
        Ok(())
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
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

    /// Keeps the bytes of a file on record.
    pub(crate) fn keep_file(&mut self, bytes: Vec<u8>) {
        if self.remembers {
            let digest = self.recorder.keep(bytes.clone());
            self.files.insert(digest, bytes);
        } else {
            self.recorder.keep(bytes);
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
