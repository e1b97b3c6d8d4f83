//! The hot path allocates nothing: an allocator that counts says so.
#![allow(clippy::unwrap_used)]

#[path = "../benches/support/mod.rs"]
mod support;

use support::counting_allocator::{CountingAllocator, calls};
use support::{Asker, Case, Cluster, Draw, packets};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Allocations of a case's queries, all of them asked once before.
fn allocations(case: Case) -> usize {
    let cluster = Cluster::new(400);
    let engine = cluster.engine();
    let mut packets = packets(case, cluster, Draw::Few, &engine);
    let mut asker = Asker::default();
    let mut round = || {
        let before = calls();
        for _ in 0..packets.len() {
            asker.ask(&engine, packets.next());
        }
        calls() - before
    };
    // The buffers grow to what these queries need, a few steps at most.
    assert!(round() < 40, "{case}: allocates while it warms up, again and again");
    round()
}

#[test]
fn no_query_of_the_hot_path_allocates() {
    for case in Case::ALL {
        assert_eq!(allocations(case), 0, "{case}");
    }
}

#[test]
fn the_counter_counts() {
    let before = calls();
    let boxed = std::hint::black_box(Box::new(7));
    assert_eq!(calls() - before, 1);
    drop(boxed);
    let mut grown: Vec<u8> = Vec::with_capacity(1);
    let before = calls();
    grown.extend_from_slice(&[0; 100]);
    assert_eq!(calls() - before, 1);
}
