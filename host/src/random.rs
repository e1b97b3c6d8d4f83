//! Random numbers from the operating system, for jitter and for the seeds of hashes. Not for secrets.

use std::hash::{BuildHasher, RandomState};

/// A random number.
pub fn random_u64() -> u64 {
    // Each RandomState has its own keys, made from what the operating system gave.
    RandomState::new().hash_one(0)
}

/// A random number below `limit`; 0 if that is 0.
pub fn random_below(limit: u64) -> u64 {
    // The remainder prefers small numbers by less than one in 2^30 for the limits of jitter.
    random_u64().checked_rem(limit).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_are_below_the_limit() {
        assert_ne!(random_u64(), random_u64());
        assert!((0..100).all(|_| random_below(3) < 3));
        assert_eq!(random_below(0), 0);
    }
}
