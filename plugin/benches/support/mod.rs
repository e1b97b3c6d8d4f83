//! What the benchmarks, the instruction counts and the tests of the hot path share: a made-up cluster, the queries put to
//! it, and an allocator that counts.

// Each user takes its part.
#![allow(dead_code, unused_imports)]

mod cluster;
pub mod counting_allocator;
mod queries;

pub use cluster::{Change, Cluster, NOW};
pub use queries::{Asker, Case, Draw, Packets, packets};

/// Pseudo-random numbers (splitmix64), the same on every run.
pub struct Random(u64);

impl Random {
    /// Numbers that are told apart by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}
