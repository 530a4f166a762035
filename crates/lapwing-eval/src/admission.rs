//! How many sandboxes live at a time. A sample enters once, with room for all that it can have, so that samples never hold
//! some and wait for each other's.

use lapwing_scenario::{PhaseKind, Plan, RunPlace};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Room for sandboxes. Who asks first enters first; whoever stops waiting is forgotten.
#[derive(Debug)]
pub struct Admission {
    places: Semaphore,
    most: u32,
}

impl Admission {
    /// Room for `most` sandboxes, at least one.
    pub fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX).clamp(1, 1 << 20);
        Self { places: Semaphore::new(most as usize), most }
    }

    /// Waits until there is room for `n` sandboxes, or for all there can be if `n` is more: such a sample runs alone.
    pub(crate) async fn enter(&self, n: usize) -> Option<SemaphorePermit<'_>> {
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(self.most);
        // Never closed.
        self.places.acquire_many(n).await.ok()
    }
}

/// The most sandboxes that a sample has at a time.
pub(crate) fn most_sandboxes(plan: &Plan) -> usize {
    let grades = plan.phases.iter().any(|phase| match &phase.kind {
        PhaseKind::Run { place, .. } => matches!(place, RunPlace::Backstage { .. }),
        PhaseKind::Agent { .. } | PhaseKind::Ask { .. } => false,
    });
    // A grader has one of its own, and one for what it tries out.
    let graders = if grades { 2 } else { 0 };
    plan.sandboxes.len() + usize::from(!plan.programs.is_empty()) + graders
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn who_waits_longest_enters_first_although_less_would_fit() {
        let admission = Admission::new(3);
        let mut first = pin!(admission.enter(2));
        let held = poll(first.as_mut());
        let (mut large, mut small) = (pin!(admission.enter(2)), pin!(admission.enter(1)));
        assert!(held.is_some() && poll(large.as_mut()).is_none() && poll(small.as_mut()).is_none());
        drop(held);
        let large = poll(large.as_mut());
        assert!(large.is_some() && poll(small.as_mut()).is_some());
    }

    #[test]
    fn who_stops_waiting_holds_nobody_up() {
        let admission = Admission::new(2);
        let mut first = pin!(admission.enter(1));
        let held = poll(first.as_mut());
        {
            let mut large = pin!(admission.enter(2));
            assert!(poll(large.as_mut()).is_none());
        }
        assert!(held.is_some() && poll(pin!(admission.enter(1))).is_some());
    }

    #[test]
    fn a_sample_that_needs_more_than_there_is_runs_alone() {
        let admission = Admission::new(2);
        let mut much = pin!(admission.enter(100));
        let held = poll(much.as_mut());
        assert!(held.is_some() && poll(pin!(admission.enter(1))).is_none());
    }
}
