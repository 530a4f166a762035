//! What becomes of a run whose budget ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapwing_core::{
    Act, BoxFuture, Message, Model, ModelError, ModelErrorKind, Output, Reply, Request, StopReason,
};
use lapwing_eval::Target;
use lapwing_store::{Ending, SampleState};

use crate::fake::{FakeModel, eval, run};

/// Answers so often, and then has no budget left.
struct Spending {
    left: AtomicUsize,
}

impl Model for Spending {
    fn name(&self) -> &'static str {
        "spending"
    }

    fn generate<'a>(&'a self, _: &'a Request) -> BoxFuture<'a, Reply> {
        let take = |left: usize| left.checked_sub(1);
        let paid = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        let output = Output {
            message: Message::assistant("done"),
            stop: StopReason::Stop,
            usage: None,
            snapshot: None,
            fingerprint: None,
            tokens: None,
        };
        let unpaid = ModelError { kind: ModelErrorKind::Budget, message: "spent".to_owned() };
        let result = if paid { Ok(output) } else { Err(unpaid) };
        Box::pin(std::future::ready(Reply { attempts: Vec::new(), result }))
    }
}

/// A run of 9 samples, one at a time, whose model answers `left` times.
fn spend(
    left: usize,
    has_room: impl Fn(usize, usize) -> bool + Send + Sync + 'static,
) -> crate::fake::Done {
    let mut eval = eval(&FakeModel::new([]), 9);
    let model: Arc<dyn Model> = Arc::new(Spending { left: AtomicUsize::new(left) });
    for (_, sample) in &mut eval.samples {
        sample.target = Target::Model(Arc::clone(&model));
    }
    eval.max_samples = 1;
    eval.has_room = Box::new(has_room);
    run(eval)
}

#[test]
fn a_sample_that_the_budget_does_not_hold_is_unfinished_and_no_other_is_begun() {
    // A sample that stops is asked once more, so that five answers are two samples and a half.
    let done = spend(5, |_, _| true);
    assert_eq!(done.ending, Ending::Stopped);
    let states: Vec<_> = done.run.samples().unwrap().iter().map(|sample| sample.state).collect();
    let (finished, begun) = ([SampleState::Done; 2], [SampleState::Begun]);
    assert_eq!(states, [&finished[..], &begun, &[SampleState::Planned; 6]].concat());
    assert_eq!(done.run.findings(1).unwrap().len(), 2);
    let acts = done.acts(3);
    let unpaid = acts
        .iter()
        .any(|act| matches!(act, Act::Generated { error: Some((ModelErrorKind::Budget, _)), .. }));
    assert!(unpaid && !acts.contains(&Act::SampleEnded), "{acts:?}");
}

#[test]
fn no_sample_is_begun_for_which_there_is_no_room() {
    let done = spend(100, |_, n_finished| n_finished < 4);
    assert_eq!(done.ending, Ending::Stopped);
    let samples = done.run.samples().unwrap();
    let n_done = samples.iter().filter(|sample| sample.state == SampleState::Done).count();
    let n_planned = samples.iter().filter(|sample| sample.state == SampleState::Planned).count();
    assert_eq!((n_done, n_planned), (4, 5));
}
