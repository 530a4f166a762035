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
    /// Wall time after which one attempt is given up.
    pub attempt_limit: Duration,
    /// Wall time of one call after which no further attempt starts.
    pub total_limit: Duration,
}

impl Default for RetryConfig {
    /// 8 attempts, pauses from 1 s to 60 s, 10 minutes an attempt, 30 minutes in all.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
            attempt_limit: Duration::from_mins(10),
            total_limit: Duration::from_mins(30),
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
}

impl RetryConfig {
    /// The pause before the next attempt when `failed` attempts were made in `elapsed`, or `None` to give up.
    ///
    /// Jitter comes from `body`, so that calls which fail together do not come back together.
    pub(crate) fn pause(
        &self,
        retry: Retry,
        failed: u32,
        elapsed: Duration,
        body: &[u8],
    ) -> Option<Duration> {
        let Retry::After(asked) = retry else { return None };
        if failed >= self.attempts {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << (failed - 1).min(20));
        let pause = doubled.min(self.longest_pause).mul_f64(0.5 + 0.5 * jitter(body, failed));
        let pause = pause.max(asked.unwrap_or_default());
        (elapsed.saturating_add(pause) < self.total_limit).then_some(pause)
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

    #[test]
    fn pauses_double_within_their_jitter_up_to_the_longest() {
        let config = RetryConfig { attempts: 20, ..RetryConfig::default() };
        for (failed, full) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (19, 60)] {
            let pause = config.pause(AT_ONCE, failed, Duration::ZERO, b"body").unwrap();
            assert!(seconds(full) / 2 <= pause && pause <= seconds(full), "{failed}: {pause:?}");
        }
    }

    #[test]
    fn different_bodies_pause_differently() {
        let config = RetryConfig::default();
        let pause = |body: &[u8]| config.pause(AT_ONCE, 1, Duration::ZERO, body);
        assert_ne!(pause(b"one"), pause(b"two"));
        assert_eq!(pause(b"one"), pause(b"one"));
    }

    #[test]
    fn a_server_that_names_its_pause_is_obeyed() {
        let config = RetryConfig::default();
        let pause = config.pause(Retry::After(Some(seconds(300))), 1, Duration::ZERO, b"");
        assert_eq!(pause, Some(seconds(300)));
    }

    #[test]
    fn patience_ends_with_attempts_with_time_and_with_hopeless_failures() {
        let config = RetryConfig::default();
        assert_eq!(config.pause(AT_ONCE, 8, Duration::ZERO, b""), None);
        assert_eq!(config.pause(AT_ONCE, 1, seconds(1800), b""), None);
        assert_eq!(config.pause(Retry::After(Some(seconds(3600))), 1, seconds(0), b""), None);
        assert_eq!(config.pause(Retry::After(Some(Duration::MAX)), 1, seconds(1), b""), None);
        assert_eq!(config.pause(Retry::Never, 1, Duration::ZERO, b""), None);
    }
}
