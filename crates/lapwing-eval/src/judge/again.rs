//! Judging a run that has ended once more; its own events stay as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lapwing_core::{Blobs, Booking, BoxFuture, Digest, Event, RecordError, Recorder};
use lapwing_scenario::Scenario;
use lapwing_store::{Run, SampleRow, SampleState, StoreError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Judge, judge_sample};
use crate::log::Log;
use crate::sample::Abort;

/// What a judge said of a run, to be kept with one scoring.
#[derive(Debug, Default)]
pub struct Judgings {
    /// New events by sample; their numbers follow on those of the sample.
    pub events: BTreeMap<u64, Vec<Event>>,
    /// The bytes that they name.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// Samples of which the budget did not hold all calls, by number.
    pub unpaid: Vec<u64>,
}

/// Why a run could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The run cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A sample was lost: a bug.
    #[error("a sample was lost while it was judged: {0}")]
    Lost(String),
    /// The budget does not hold what is to be labelled.
    #[error("{0}")]
    Unpaid(String),
}

impl From<Abort> for JudgeError {
    fn from(abort: Abort) -> Self {
        match abort {
            Abort::Record(error) => Self::Lost(error.to_string()),
            Abort::Unpaid(message) => Self::Unpaid(message),
        }
    }
}

/// Lets `judge` label the finished samples of `run`, `at_a_time` of them at a time, and returns the run with what was said. What was
/// said before a budget ended is kept.
///
/// # Errors
/// The run cannot be read.
pub async fn judge_again(
    run: Run,
    scenario: &Scenario,
    judge: &Judge,
    at_a_time: usize,
) -> Result<(Run, Judgings), JudgeError> {
    let samples = run.samples()?;
    let run = Arc::new(Shared(Mutex::new(run)));
    let said = Arc::new(Memory::default());
    let places = Arc::new(Semaphore::new(at_a_time.max(1)));
    let mut running = JoinSet::new();
    for sample in samples.into_iter().filter(|sample| sample.state == SampleState::Done) {
        let (run, said) = (Arc::clone(&run), Arc::clone(&said));
        let (places, scenario, judge) = (Arc::clone(&places), scenario.clone(), judge.clone());
        running.spawn(async move {
            let _place = places.acquire().await;
            judge_one(&run, &scenario, &judge, &sample, &said).await
        });
    }
    while let Some(judged) = running.join_next().await {
        judged.map_err(|lost| JudgeError::Lost(lost.to_string()))??;
    }
    let lost = || JudgeError::Lost("the run is still in use".to_owned());
    let run = Arc::into_inner(run).ok_or_else(lost)?;
    let said = Arc::into_inner(said).ok_or_else(lost)?;
    let run = run.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((run, said.0.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

async fn judge_one(
    run: &Shared,
    scenario: &Scenario,
    judge: &Judge,
    sample: &SampleRow,
    said: &Memory,
) -> Result<(), JudgeError> {
    let events = run.with(|run| run.events(sample.number))?;
    let mut log = Log::after(sample.number, said, events);
    let judged = judge_sample(judge, scenario, &sample.key, &mut log, |query, log| {
        scenario.texts_to_judge(query, log.events(), run)
    });
    match judged.await {
        Err(Abort::Unpaid(_)) => {
            log.commit().await.map_err(Abort::Record)?;
            said.0.lock().unwrap_or_else(PoisonError::into_inner).unpaid.push(sample.number);
            Ok(())
        }
        done => Ok(done?),
    }
}

/// A run that several tasks read, one at a time.
struct Shared(Mutex<Run>);

impl Shared {
    fn with<T>(&self, read: impl FnOnce(&Run) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Blobs for Shared {
    fn blob(&self, digest: Digest) -> Option<Vec<u8>> {
        self.with(|run| Blobs::blob(run, digest))
    }
}

/// Keeps what is recorded in memory until the scoring is written.
#[derive(Default)]
struct Memory(Mutex<Judgings>);

impl Recorder for Memory {
    fn record_booked(
        &self,
        sample: u64,
        events: Vec<Event>,
        _bookings: Vec<Booking>,
    ) -> BoxFuture<'_, Result<(), RecordError>> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.events.entry(sample).or_default().extend(events);
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.blobs.insert(digest, bytes);
        digest
    }
}
