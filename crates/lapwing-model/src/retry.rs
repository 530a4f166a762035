//! When a failed attempt is repeated, and after what pause.

use std::time::Duration;

use lapwing_core::Digest;

/// How long to be patient with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Most attempts of one call, the first included.
    pub attempts: u32,
    /// Pause after the first failure; doubled after each further one.
    pub first_pause: Duration,
    /// Longest pause that is chosen here; a server may ask for a longer one.
    pub longest_pause: Duration,
    /// Wall time after which one attempt is given up; a streamed one has six times as much.
    pub attempt_limit: Duration,
    /// Time without a byte after which an answer that began to come is given up.
    pub silence_limit: Duration,
    /// Time of one call's attempts and pauses after which no further attempt starts, rate limits left out.
    pub total_limit: Duration,
    /// The same for a call that the provider asks to come later; the number of its attempts is not limited.
    pub throttled_limit: Duration,
}

impl Default for RetryConfig {
    /// 8 attempts, pauses from 1 s to 60 s, 10 minutes an attempt, 2 minutes of silence, 2 hours in all; 2 days under rate limits.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
            attempt_limit: Duration::from_mins(10),
            silence_limit: Duration::from_mins(2),
            total_limit: Duration::from_hours(2),
            throttled_limit: Duration::from_hours(48),
        }
    }
}

/// Whether a failure can pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same request would fail again.
    Never,
    /// It may succeed later; the server may say when.
    After(Option<Duration>),
    /// It came too early; the server may say when it will do.
    Throttled(Option<Duration>),
}

/// Failed attempts of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failed {
    /// By their own fault or the server's.
    pub(crate) broken: u32,
    /// Because they came too early.
    pub(crate) throttled: u32,
}

impl RetryConfig {
    /// The pause before the next attempt when some `failed` in `elapsed`, the last of them as `retry` says, or `None` to give up.
    ///
    /// Jitter comes from `body`, so that calls which fail together do not come back together.
    pub(crate) fn pause(
        &self,
        retry: Retry,
        failed: Failed,
        elapsed: Duration,
        body: &[u8],
    ) -> Option<Duration> {
        let (asked, limit) = match retry {
            Retry::Never => return None,
            Retry::After(_) if failed.broken >= self.attempts => return None,
            Retry::After(asked) => (asked, self.total_limit),
            Retry::Throttled(asked) => (asked, self.throttled_limit),
        };
        let count = failed.broken + failed.throttled;
        let doubled = self.first_pause.saturating_mul(1 << count.saturating_sub(1).min(20));
        let pause = doubled.min(self.longest_pause).mul_f64(0.5 + 0.5 * jitter(body, count));
        let pause = pause.max(asked.unwrap_or_default());
        (elapsed.saturating_add(pause) < limit).then_some(pause)
    }
}

/// A number in `[0, 1)` that is fixed by its arguments.
fn jitter(body: &[u8], failed: u32) -> f64 {
    let digest = Digest::of(&[&failed.to_le_bytes(), body].concat());
    f64::from(digest.as_bytes()[0]) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Retry = Retry::After(None);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn broken(broken: u32) -> Failed {
        Failed { broken, throttled: 0 }
    }

    #[test]
    fn pauses_double_within_their_jitter_up_to_the_longest() {
        let config = RetryConfig { attempts: 20, ..RetryConfig::default() };
        for (failed, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (19, 60)] {
            let pause = config.pause(AT_ONCE, broken(failed), Duration::ZERO, b"body").unwrap();
            assert!(seconds(full) / 2 <= pause && pause <= seconds(full), "{failed}: {pause:?}");
        }
    }

    #[test]
    fn different_bodies_pause_differently() {
        let config = RetryConfig::default();
        let pause = |body: &[u8]| config.pause(AT_ONCE, broken(1), Duration::ZERO, body);
        assert_ne!(pause(b"one"), pause(b"two"));
        assert_eq!(pause(b"one"), pause(b"one"));
    }

    #[test]
    fn a_server_that_names_its_pause_is_obeyed_also_when_it_is_a_day() {
        let config = RetryConfig::default();
        for asked in [300, 86_400] {
            let retry = Retry::Throttled(Some(seconds(asked)));
            let pause = config.pause(retry, broken(0), Duration::ZERO, b"");
            assert_eq!(pause, Some(seconds(asked)));
        }
    }

    #[test]
    fn coming_too_early_uses_up_no_attempt() {
        let config = RetryConfig::default();
        let failed = Failed { broken: 0, throttled: 500 };
        assert!(config.pause(Retry::Throttled(None), failed, seconds(36_000), b"").is_some());
        assert!(config.pause(AT_ONCE, Failed { broken: 1, ..failed }, seconds(60), b"").is_some());
    }

    #[test]
    fn patience_ends_with_attempts_with_time_and_with_hopeless_failures() {
        let config = RetryConfig::default();
        let pause = |retry, failed, elapsed| config.pause(retry, failed, elapsed, b"");
        assert_eq!(pause(AT_ONCE, broken(8), Duration::ZERO), None);
        assert_eq!(pause(AT_ONCE, broken(1), seconds(7200)), None);
        assert_eq!(pause(Retry::After(Some(seconds(7200))), broken(1), seconds(0)), None);
        assert_eq!(pause(Retry::Throttled(Some(Duration::MAX)), broken(1), seconds(1)), None);
        assert_eq!(pause(Retry::Never, broken(1), Duration::ZERO), None);
    }
}
