//! The dispatcher: starts samples, collects them, and ends a run early when it is told to.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use lapwing_core::{Act, Digest, ErrorKind, Finding, GenerateConfig, Model, Provider, RecordError};
use lapwing_scenario::Scenario;
use lapwing_store::{Ending, RunWriter};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, most_sandboxes};
use crate::design::{Planned, Target};
use crate::judge::{Judge, judge_sample};
use crate::limits::SampleLimits;
use crate::log::Log;
use crate::sample::{Abort, Runner, Shared};

/// A run to be made.
pub struct Eval {
    /// The scenario.
    pub scenario: Scenario,
    /// Where sandboxes come from.
    pub provider: Arc<dyn Provider>,
    /// The samples in the order in which they are begun, each with its number in the run.
    pub samples: Vec<(u64, Planned)>,
    /// Limits of each sample.
    pub limits: SampleLimits,
    /// How models sample.
    pub config: GenerateConfig,
    /// Optional phases that are run.
    pub optional: BTreeSet<String>,
    /// Who labels what models wrote, if anybody does.
    pub judge: Option<Judge>,
    /// Samples in flight at a time.
    pub max_samples: usize,
    /// Whether the budget has room for one more sample while so many are in flight.
    pub has_room: HasRoom,
    /// Root file systems that are ready, as the scenario names them.
    pub roots: BTreeMap<String, Digest>,
    /// Room for their sandboxes.
    pub admission: Admission,
}

/// Told the samples in flight and those that are finished, whether another can be begun.
pub type HasRoom = Box<dyn Fn(usize, usize) -> bool + Send + Sync>;

/// What happens to samples while a run goes on.
pub enum Progress {
    /// A sample began.
    Started,
    /// A sample ended, with its findings.
    Finished {
        /// Its number.
        number: u64,
        /// Its findings.
        findings: Vec<Finding>,
    },
}

/// How a run is told to end early.
#[derive(Clone, Default)]
pub struct Stop {
    /// Starts no new samples.
    pub drain: CancellationToken,
    /// Gives up the samples in flight; what they did so far stays on record, without findings.
    pub now: CancellationToken,
}

/// Runs the samples of `eval`. A fault in one sample is a finding of that sample and never ends the run.
///
/// # Errors
/// The record cannot be written. The samples in flight are given up then.
pub async fn dispatch(
    eval: Arc<Eval>,
    writer: &Arc<RunWriter>,
    stop: &Stop,
    progress: impl Fn(Progress),
) -> Result<Ending, RecordError> {
    let mut waiting = 0..eval.samples.len();
    let mut running = JoinSet::new();
    let (mut failed, mut n_unfinished, mut n_finished) = (None, 0, 0);
    loop {
        while running.len() < eval.max_samples.max(1) && !stop.drain.is_cancelled() {
            if !(eval.has_room)(running.len(), n_finished) {
                break;
            }
            let Some(index) = waiting.next() else { break };
            let (eval, writer, now) = (Arc::clone(&eval), Arc::clone(writer), stop.now.clone());
            running.spawn(async move {
                let (number, planned) = &eval.samples[index];
                let sample = sample(&eval, *number, planned, &writer);
                now.run_until_cancelled(sample).await.map(|done| (*number, done))
            });
            progress(Progress::Started);
        }
        match running.join_next().await {
            None => break,
            Some(Ok(Some((number, Ok(findings))))) => {
                n_finished += 1;
                progress(Progress::Finished { number, findings });
            }
            Some(Ok(Some((_, Err(Abort::Unpaid(_)))))) => {
                n_unfinished += 1;
                stop.drain.cancel();
            }
            Some(Ok(Some((_, Err(Abort::Record(error)))))) => {
                failed.get_or_insert(error);
                stop.drain.cancel();
                stop.now.cancel();
            }
            Some(Ok(None)) => {}
            Some(Err(lost)) => {
                failed.get_or_insert(RecordError(format!("a sample was lost: {lost}")));
                stop.drain.cancel();
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None if waiting.next().is_some() || n_unfinished > 0 || stop.now.is_cancelled() => {
            Ok(Ending::Stopped)
        }
        None => Ok(Ending::Finished),
    }
}

/// Runs one sample and keeps its findings.
async fn sample(
    eval: &Eval,
    number: u64,
    planned: &Planned,
    writer: &RunWriter,
) -> Result<Vec<Finding>, Abort> {
    let mut log = Log::new(number, writer);
    // Boxed, because a task as large as a whole sample would be copied where it is spawned.
    match catch(Box::pin(record(eval, planned, &mut log))).await {
        Ok(done) => keep_what_happened(done, &mut log).await?,
        Err(panic) => {
            log.push(Act::Failed { error: ErrorKind::Internal, message: panic });
        }
    }
    if let Some(judge) = &eval.judge {
        let judged = judge_sample(judge, &eval.scenario, &planned.key, &mut log, |query, log| {
            eval.scenario.texts_to_judge(query, log.events(), log)
        });
        match catch(judged).await {
            Ok(done) => keep_what_happened(done, &mut log).await?,
            Err(panic) => {
                log.push(Act::Failed { error: ErrorKind::Internal, message: panic });
            }
        }
    }
    log.set_phase("");
    log.push(Act::SampleEnded);
    // What happened is written before what was found in it, in one commit if they meet.
    log.begin_commit();
    let findings = eval.scenario.findings(log.events(), &log);
    writer.finish(number, findings.clone()).await?;
    log.commit().await?;
    Ok(findings)
}

/// What a sample did before its budget ended stays on record, without findings.
async fn keep_what_happened(done: Result<(), Abort>, log: &mut Log<'_>) -> Result<(), Abort> {
    if let Err(Abort::Unpaid(_)) = &done {
        log.commit().await?;
    }
    done
}

async fn record(eval: &Eval, planned: &Planned, log: &mut Log<'_>) -> Result<(), Abort> {
    let key = &planned.key;
    let plan = planned.target.plan(&eval.scenario, &key.condition, key.seed);
    let prepared = plan.and_then(|plan| {
        let Some(plan) = plan else { return Ok(None) };
        let model: Arc<dyn Model> = match &planned.target {
            Target::Model(model) => Arc::clone(model),
            Target::Policy(name) => {
                Arc::new(eval.scenario.script(name, &plan, &key.condition, key.seed)?)
            }
        };
        Ok(Some((plan, model)))
    });
    let (plan, model) = match prepared {
        Ok(Some(prepared)) => prepared,
        Ok(None) => {
            let message = "the condition has no mapping to the model's words".to_owned();
            log.push(Act::Failed { error: ErrorKind::Scenario, message });
            return Ok(());
        }
        Err(diagnostic) => {
            let message = diagnostic.to_string();
            log.push(Act::Failed { error: ErrorKind::Scenario, message });
            return Ok(());
        }
    };
    // Its time begins when it enters.
    let _entered = eval.admission.enter(most_sandboxes(&plan)).await;
    log.push(Act::SampleStarted {
        scenario: eval.scenario.digest(),
        key: key.clone(),
        values: plan.values.clone(),
    });
    let shared = Shared {
        scenario: &eval.scenario,
        provider: eval.provider.as_ref(),
        limits: eval.limits,
        config: &eval.config,
        optional: &eval.optional,
        roots: &eval.roots,
    };
    Runner::new(&shared, key, &plan, model.as_ref(), log).run().await
}

/// Polls `future` to its end, or to a panic, whose message is returned.
async fn catch<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic_message(panic.as_ref()))),
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}
