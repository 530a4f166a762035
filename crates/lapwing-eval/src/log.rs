//! The event log of one sample: one numbered sequence, made durable at every turn.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use lapwing_core::{
    Act, Attempt, Blobs, Booking, Books, BoxFuture, Digest, Draw, Event, Model, ModelError,
    ModelErrorKind, Output, RecordError, Recorder, Reply, Request, Reserve, Role, SampleKey, Usage,
};

pub(crate) struct Log<'a> {
    sample: u64,
    recorder: &'a dyn Recorder,
    phase: String,
    events: Vec<Event>,
    /// Events that were handed on to the record.
    n_recorded: usize,
    /// Resolves when those are durable; it goes on although a limit cuts off whoever waits for it. Nobody locks it: a future alone
    /// could not be shared by reference.
    begun: Option<Mutex<BoxFuture<'a, Result<(), RecordError>>>>,
    /// What is entered in the books with the next commit.
    bookings: Vec<Booking>,
    n_reserved: u64,
    /// Reserves of the call under way, by number.
    open: Vec<u64>,
    /// Bytes of files, for evidence and parts of the world that read them.
    files: HashMap<Digest, Vec<u8>>,
    remembers: bool,
}

impl Books for Log<'_> {
    fn commit<'b>(
        &'b mut self,
        model: &'b str,
        worst: Option<Usage>,
    ) -> BoxFuture<'b, Result<(), RecordError>> {
        if let Some(worst) = worst {
            self.n_reserved += 1;
            self.open.push(self.n_reserved);
            let model = model.to_owned();
            self.bookings.push(Booking::Reserved(Reserve {
                number: self.n_reserved,
                model,
                worst,
            }));
        }
        Box::pin(Log::commit(self))
    }
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
            n_recorded: 0,
            begun: None,
            bookings: Vec::new(),
            n_reserved: 0,
            open: Vec::new(),
            files: HashMap::new(),
            remembers: false,
        }
    }

    /// A log that goes on where `events`, which are on record, end.
    pub(crate) fn after(sample: u64, recorder: &'a dyn Recorder, events: Vec<Event>) -> Self {
        Self { n_recorded: events.len(), events, ..Self::new(sample, recorder) }
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

    /// Asks `model`. What happened so far is durable before it is asked.
    pub(crate) async fn ask(
        &mut self,
        model: &dyn Model,
        request: &Request,
    ) -> Result<Reply, RecordError> {
        // What a call that was cut off may be billed for stays set aside.
        self.open.clear();
        model.ask(request, self).await
    }

    /// Pushes every attempt of a reply with its bytes; the last one carries the result. They settle what was set aside for them.
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
        self.bookings.extend(self.open.drain(..).map(Booking::Settled));
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
        self.begin_commit();
        let Some(begun) = &mut self.begun else { return Ok(()) };
        let done = begun.get_mut().unwrap_or_else(PoisonError::into_inner).await;
        self.begun = None;
        done
    }

    /// Hands on what happened so far, to become durable while something else goes on. [`Self::commit`] waits for it.
    pub(crate) fn begin_commit(&mut self) {
        if self.n_recorded == self.events.len() && self.bookings.is_empty() {
            return;
        }
        let news = self.events[self.n_recorded..].to_vec();
        self.n_recorded = self.events.len();
        let bookings = std::mem::take(&mut self.bookings);
        let done = self.recorder.record_booked(self.sample, news, bookings);
        self.begun = Some(Mutex::new(match self.begun.take() {
            None => done,
            Some(before) => Box::pin(async {
                before.into_inner().unwrap_or_else(PoisonError::into_inner).await?;
                done.await
            }),
        }));
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
        fn record_booked(
            &self,
            _: u64,
            events: Vec<Event>,
            _: Vec<Booking>,
        ) -> BoxFuture<'_, Result<(), RecordError>> {
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

    /// Keeps what is entered in the books, commit by commit.
    #[derive(Default)]
    struct Kept(Mutex<Vec<(usize, Vec<Booking>)>>);

    impl Recorder for Kept {
        fn record_booked(
            &self,
            _: u64,
            events: Vec<Event>,
            bookings: Vec<Booking>,
        ) -> BoxFuture<'_, Result<(), RecordError>> {
            self.0.lock().unwrap().push((events.len(), bookings));
            Box::pin(std::future::ready(Ok(())))
        }

        fn keep(&self, bytes: Vec<u8>) -> Digest {
            Digest::of(&bytes)
        }
    }

    /// Is paid for, and answers unless it is told not to.
    struct Paid(Usage, bool);

    impl Model for Paid {
        fn name(&self) -> &'static str {
            "paid"
        }

        fn generate<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Reply> {
            let message = "broken".to_owned();
            let error = ModelError { kind: ModelErrorKind::Transport, message };
            Box::pin(std::future::ready(Reply { attempts: Vec::new(), result: Err(error) }))
        }

        fn ask<'a>(
            &'a self,
            request: &'a Request,
            books: &'a mut dyn Books,
        ) -> BoxFuture<'a, Result<Reply, RecordError>> {
            Box::pin(async move {
                books.commit("paid", Some(self.0)).await?;
                if self.1 { Ok(self.generate(request).await) } else { std::future::pending().await }
            })
        }
    }

    #[tokio::test]
    async fn a_call_is_set_aside_with_what_came_before_it_and_settled_with_its_event() {
        let kept = Kept::default();
        let mut log = Log::new(1, &kept);
        let worst = Usage { input: 5, output: 7, ..Usage::default() };
        let reserve = |number| Booking::Reserved(Reserve { number, model: "paid".into(), worst });
        for answers in [true, false, true] {
            log.push(Act::SampleEnded);
            let request = Request::default();
            let model = Paid(worst, answers);
            tokio::select! {
                biased;
                reply = log.ask(&model, &request) => {
                    log.push_reply("paid", Role::Target, reply.unwrap()).unwrap_err();
                }
                // A limit cuts the call off.
                () = std::future::ready(()) => assert!(!answers),
            }
        }
        log.commit().await.unwrap();
        let booked = std::mem::take(&mut *kept.0.lock().unwrap());
        let second = vec![Booking::Settled(1), reserve(2)];
        assert_eq!(
            booked,
            [
                (1, vec![reserve(1)]),
                (2, second),
                (1, vec![reserve(3)]),
                (1, vec![Booking::Settled(3)]),
            ]
        );
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
