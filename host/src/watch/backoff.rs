//! How long to wait before the API server is asked again.

use crate::random::random_below;
use std::time::Duration;

/// Waits that double, with jitter, so that the servers of a cluster do not come back all at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Waits from `shortest` to `longest`.
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, next: shortest }
    }

    /// The next wait: a random time between half the current length and all of it.
    pub fn next_wait(&mut self) -> Duration {
        let current = self.next;
        self.next = (current * 2).min(self.longest);
        let half = current / 2;
        // Waits are minutes at most: their nanoseconds fit.
        half + Duration::from_nanos(random_below(half.as_nanos() as u64 + 1))
    }

    /// The server works: start with short waits again.
    pub fn reset(&mut self) {
        self.next = self.shortest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let milliseconds = Duration::from_millis;
        let mut backoff = Backoff::new(milliseconds(100), milliseconds(700));
        for expected in [100, 200, 400, 700, 700] {
            let wait = backoff.next_wait();
            assert!(wait >= milliseconds(expected) / 2 && wait <= milliseconds(expected), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= milliseconds(100));
    }
}
