//! Limits on requests to the API server: `apiserver_qps`, `apiserver_burst`, `apiserver_max_inflight`.

use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// The burst where only `apiserver_qps` is given: that of client-go.
const DEFAULT_BURST: u32 = 10;
/// The rate where only `apiserver_burst` is given: that of client-go.
const DEFAULT_QPS: f64 = 5.0;

/// The limits of one client. Without settings there are none: the watches of a server make few requests.
#[derive(Debug)]
pub struct Limits {
    rate: Option<Rate>,
    inflight: Option<Semaphore>,
}

/// A token bucket: `burst` requests at once, then one each `interval`.
#[derive(Debug)]
struct Rate {
    interval: Duration,
    burst: u32,
    /// When the bucket would be empty if it had been filled since (GCRA's theoretical arrival time).
    arrival: Mutex<Instant>,
}

impl Limits {
    /// Limits as the directive gives them.
    pub fn new(qps: Option<f32>, burst: Option<u64>, max_inflight: Option<u64>) -> Self {
        let rate = (qps.is_some() || burst.is_some()).then(|| {
            let qps = qps.map_or(DEFAULT_QPS, f64::from).clamp(0.001, 1e6);
            let burst = burst.map_or(DEFAULT_BURST, |burst| u32::try_from(burst).unwrap_or(u32::MAX));
            Rate {
                interval: Duration::from_secs_f64(1.0 / qps),
                burst: burst.max(1),
                arrival: Mutex::new(Instant::now()),
            }
        });
        let inflight = max_inflight
            .map(|most| Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)));
        Self { rate, inflight }
    }

    /// Waits until a request may be sent. Keep what is returned until its response starts, as CoreDNS does.
    pub async fn admit(&self) -> Option<SemaphorePermit<'_>> {
        if let Some(rate) = &self.rate {
            sleep_until(rate.reserve(Instant::now())).await;
        }
        match &self.inflight {
            // An error means that the semaphore was closed, which nobody does.
            Some(inflight) => inflight.acquire().await.ok(),
            None => None,
        }
    }
}

impl Rate {
    /// Takes the next place; returns when it is.
    fn reserve(&self, now: Instant) -> Instant {
        let credit = self.interval.saturating_mul(self.burst - 1);
        // A panic while the lock was held is impossible, and the value would still be a time.
        let mut arrival = self.arrival.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let start = (*arrival).max(now);
        *arrival = start + self.interval;
        start.checked_sub(credit).map_or(now, |start| start.max(now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let limits = Limits::new(Some(2.0), Some(3), None);
        let rate = limits.rate.unwrap();
        let start = Instant::now() + Duration::from_secs(1);
        let waits: Vec<_> = (0..5).map(|_| (rate.reserve(start) - start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000]);
        // A pause fills the bucket, and not above the burst.
        let later = start + Duration::from_mins(1);
        let waits: Vec<_> = (0..4).map(|_| (rate.reserve(later) - later).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500]);
    }

    #[tokio::test]
    async fn requests_in_flight_are_bounded() {
        let limits = Limits::new(None, None, Some(1));
        let first = limits.admit().await;
        let mut second = std::pin::pin!(limits.admit());
        assert!(tokio::time::timeout(Duration::from_millis(20), second.as_mut()).await.is_err());
        drop(first);
        assert!(second.await.is_some());
        assert!(Limits::new(None, None, None).admit().await.is_none());
    }
}
