//! How many calls of one account are on the wire at a time.
//!
//! The number is found out: it grows while all of it is in use and calls succeed at once, and is cut when the provider says that
//! it is too much (additive increase, multiplicative decrease; Chiu and Jain 1989), after which it comes near that number slowly.
//! Calls that were sent before a cut belong to the same episode and cut nothing more. Where the provider names a pause, nobody of
//! the account asks before it is over.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Calls at a time before anything is known of the account.
const FIRST: f64 = 8.0;

/// What a cut leaves.
const KEPT: f64 = 0.7;

/// Rounds in which one more call is tried near the number that was too much.
const SLOW: f64 = 8.0;

/// Calls at a time of one account.
#[derive(Debug)]
pub(crate) struct Limiter {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    most: f64,
    in_flight: usize,
    /// Until the first cut the limit doubles every round.
    cut_at: Option<Instant>,
    /// The limit at the last cut.
    too_much: f64,
    held_until: Option<Instant>,
}

/// The leave to make one call.
pub(crate) struct Permit<'a> {
    limiter: &'a Limiter,
    begun: Instant,
    /// Whether every permit was in use while this one was.
    saturated: bool,
}

/// What became of an attempt, as far as it says something about the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It succeeded and was the first attempt of its call.
    AtOnce,
    /// The provider asks for fewer calls, perhaps for a pause.
    TooMany(Option<Duration>),
    /// Anything else: a success behind failures, or a failure for another reason.
    Other,
}

impl Limiter {
    /// A limiter that never lets more than `most` through.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1) as f64;
        let state = State {
            limit: FIRST.min(most),
            most,
            in_flight: 0,
            cut_at: None,
            too_much: most,
            held_until: None,
        };
        Self { state: Mutex::new(state), freed: Notify::new() }
    }

    /// Waits for the leave to make a call. Each permit that is given back wakes one who waits, and who gets one wakes the next
    /// while there are more: ten thousand who wait are not all woken at each.
    pub(crate) async fn permit(&self) -> Permit<'_> {
        loop {
            let freed = self.freed.notified();
            let held_until = match self.try_permit(Instant::now()) {
                Ok(permit) => return permit,
                Err(held_until) => held_until,
            };
            match held_until {
                Some(until) => sleep_until(until).await,
                None => freed.await,
            }
        }
    }

    /// A permit, or until when nobody gets one; `None` while all are in use.
    fn try_permit(&self, now: Instant) -> Result<Permit<'_>, Option<Instant>> {
        let mut state = self.lock();
        if let Some(until) = state.held_until.filter(|until| *until > now) {
            return Err(Some(until));
        }
        if state.in_flight as f64 >= state.limit.floor() {
            return Err(None);
        }
        state.in_flight += 1;
        let saturated = state.is_saturated();
        if !saturated {
            self.freed.notify_one();
        }
        Ok(Permit { limiter: self, begun: now, saturated })
    }

    /// How long nobody of the account may ask, if the provider named a pause.
    pub(crate) fn held(&self) -> Option<Duration> {
        let until = self.lock().held_until?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Calls on the wire, and how many may be there.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.lock();
        (state.in_flight, state.limit as usize)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Gives the permit back with what was learnt.
    pub(crate) fn end(self, outcome: Outcome) {
        self.end_at(outcome, Instant::now());
    }

    fn end_at(self, outcome: Outcome, now: Instant) {
        let mut state = self.limiter.lock();
        match outcome {
            Outcome::AtOnce if self.saturated || state.is_saturated() => {
                let growth = state.growth();
                state.limit = (state.limit + growth).min(state.most);
            }
            Outcome::TooMany(pause) => {
                if state.cut_at.is_none_or(|cut_at| self.begun > cut_at) {
                    state.too_much = state.limit.floor();
                    state.limit = (state.limit * KEPT).floor().max(1.0);
                    state.cut_at = Some(now);
                }
                if let Some(until) = pause.and_then(|pause| now.checked_add(pause)) {
                    state.held_until = state.held_until.max(Some(until));
                }
            }
            Outcome::AtOnce | Outcome::Other => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.limiter.lock().in_flight -= 1;
        self.limiter.freed.notify_one();
    }
}

impl State {
    /// What a call that succeeds at once adds to the limit: one before the first cut, later one a round, and near the number
    /// that was too much the last time one in [`SLOW`] rounds.
    fn growth(&self) -> f64 {
        if self.cut_at.is_none() {
            1.0
        } else if (self.limit + 1.0 - self.too_much).abs() <= 1.0 {
            1.0 / (SLOW * self.limit)
        } else {
            1.0 / self.limit
        }
    }

    fn is_saturated(&self) -> bool {
        self.in_flight as f64 >= self.limit.floor()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use tokio::task::JoinSet;
    use tokio::time::sleep;

    use super::*;

    fn limit(limiter: &Limiter) -> usize {
        limiter.load().1
    }

    /// As many permits as there are.
    fn all(limiter: &Limiter) -> Vec<Permit<'_>> {
        std::iter::from_fn(|| limiter.try_permit(Instant::now()).ok()).collect()
    }

    fn end_all(permits: Vec<Permit<'_>>, outcome: Outcome) {
        for permit in permits {
            permit.end(outcome);
        }
    }

    #[test]
    fn it_grows_only_while_all_of_it_is_used_and_only_from_first_attempts() {
        let limiter = Limiter::new(100);
        for _ in 0..50 {
            limiter.try_permit(Instant::now()).ok().unwrap().end(Outcome::AtOnce);
        }
        assert_eq!(limit(&limiter), 8);
        end_all(all(&limiter), Outcome::Other);
        assert_eq!(limit(&limiter), 8);
        end_all(all(&limiter), Outcome::AtOnce);
        assert!(limit(&limiter) > 8);
    }

    #[test]
    fn it_never_grows_above_its_most_and_never_shrinks_below_one() {
        let limiter = Limiter::new(10);
        for _ in 0..5 {
            end_all(all(&limiter), Outcome::AtOnce);
        }
        assert_eq!(limit(&limiter), 10);
        let start = Instant::now();
        for round in 1..20 {
            let now = start + Duration::from_secs(round);
            limiter.try_permit(now).ok().unwrap().end_at(Outcome::TooMany(None), now);
        }
        assert_eq!(limit(&limiter), 1);
    }

    #[test]
    fn one_episode_of_rate_limits_is_one_cut_and_growth_is_slow_after_it() {
        let limiter = Limiter::new(100);
        let permits = all(&limiter);
        let later = Instant::now() + Duration::from_secs(1);
        for permit in permits {
            permit.end_at(Outcome::TooMany(None), later);
        }
        assert_eq!(limit(&limiter), 5);
        end_all(all(&limiter), Outcome::AtOnce);
        assert!(limit(&limiter) <= 6, "{}", limit(&limiter));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_of_the_account_asks_before_a_named_pause_is_over_and_all_do_after_it() {
        let limiter = Limiter::new(100);
        let begun = Instant::now();
        let pause = Duration::from_hours(1);
        limiter.permit().await.end(Outcome::TooMany(Some(pause)));
        for _ in 0..3 {
            limiter.permit().await.end(Outcome::AtOnce);
            assert!(begun.elapsed() >= pause && begun.elapsed() < pause + Duration::from_secs(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_permit_gets_one_that_is_given_back() {
        let limiter = Limiter::new(1);
        let first = limiter.permit().await;
        let (_second, ()) = tokio::join!(limiter.permit(), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        assert_eq!(limiter.load(), (1, 1));
    }

    /// A provider that takes `most` calls of a second at a time and refuses others.
    struct Provider {
        limiter: Limiter,
        most: usize,
        end: Instant,
        busy: AtomicUsize,
        taken: AtomicUsize,
        refused: AtomicUsize,
    }

    /// One who asks it again and again.
    async fn ask(provider: Arc<Provider>) {
        let Provider { limiter, most, end, busy, taken, refused } = provider.as_ref();
        let mut outcome = Outcome::AtOnce;
        while Instant::now() < *end {
            let permit = limiter.permit().await;
            if busy.load(Relaxed) >= *most {
                refused.fetch_add(1, Relaxed);
                outcome = Outcome::Other;
                sleep(Duration::from_millis(50)).await;
                permit.end(Outcome::TooMany(None));
                sleep(Duration::from_secs(1)).await;
            } else {
                busy.fetch_add(1, Relaxed);
                sleep(Duration::from_secs(1)).await;
                busy.fetch_sub(1, Relaxed);
                taken.fetch_add(1, Relaxed);
                permit.end(std::mem::replace(&mut outcome, Outcome::AtOnce));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_finds_out_what_an_account_takes_and_stays_near_it() {
        for most in [3, 12, 40] {
            let provider = Arc::new(Provider {
                limiter: Limiter::new(200),
                most,
                end: Instant::now() + Duration::from_mins(10),
                busy: AtomicUsize::new(0),
                taken: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
            });
            let askers: JoinSet<()> = (0..64).map(|_| ask(Arc::clone(&provider))).collect();
            askers.join_all().await;
            let (taken, refused) = (provider.taken.load(Relaxed), provider.refused.load(Relaxed));
            let share = taken as f64 / (most * 600) as f64;
            assert!(share > 0.85, "{most}: {share:.2} of what it takes");
            assert!(refused * 25 < taken, "{most}: {refused} refused, {taken} taken");
        }
    }
}
