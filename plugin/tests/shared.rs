//! Many threads on one engine: readers go on while a writer works, and see whole changes in their order.
#![cfg(feature = "std")]
#![allow(clippy::unwrap_used)]

#[path = "../benches/support/mod.rs"]
mod support;

use rustk8s::object::{Event, Kind, Object, Port, Service};
use rustk8s::shared::SharedEngine;
use rustk8s::{Outcome, Snapshot};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Asker, Case, Change, Cluster, Draw, NOW, packets};

const READERS: usize = 3;
/// Nothing here takes long; a test that hangs should say so.
const TOO_LONG: Duration = Duration::from_mins(2);

/// A Service whose address says how often it has been changed.
fn counted(index: usize, count: u32) -> Event {
    let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + count));
    let port = Port { name: "http".into(), protocol: "TCP".into(), number: Some(80) };
    let service = Service::new(&Cluster::namespace_name(index), &Cluster::service_name(index), vec![ip], vec![port]);
    Event::Upsert(Object::Service(service))
}

/// What a [`counted`] Service's address says.
fn count_of(asker: &mut Asker, snapshot: &Snapshot, index: usize) -> u32 {
    let outcome = asker.ask(snapshot, &Case::ClusterIpA.packet(index));
    assert!(matches!(outcome, Outcome::Answer(_)), "{outcome:?}");
    let address = *asker.out.last_chunk::<4>().unwrap();
    u32::from_be_bytes(address) - 0x0b00_0000
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TOO_LONG, "in vain: {what}");
        thread::yield_now();
    }
}

/// Sets the flag even if the test panics, so that the other threads end.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_answer_while_the_writer_is_in_the_middle_of_a_change() {
    let cluster = Cluster::new(200);
    let shared = SharedEngine::new(cluster.engine());
    let answered = [const { AtomicUsize::new(0) }; READERS];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for answered in &answered {
            let (shared, stop) = (&shared, &stop);
            scope.spawn(move || {
                let mut packets = packets(Case::ClusterIpA, cluster, Draw::Few, &shared.load());
                let mut asker = Asker::default();
                while !stop.load(Ordering::Relaxed) {
                    let outcome = asker.ask(&shared.load(), packets.next());
                    assert!(matches!(outcome, Outcome::Answer(_)), "{outcome:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        shared.update(|engine| {
            engine.begin_replace(Kind::Service);
            cluster.list(Kind::Service, |event| engine.apply(event, NOW));
            // The writer stands still, its lock held and its list half done. Nobody waits for it.
            let before: Vec<usize> = answered.iter().map(|answered| answered.load(Ordering::Relaxed)).collect();
            wait_until("readers answer", || {
                before.iter().zip(&answered).all(|(before, now)| now.load(Ordering::Relaxed) > before + 1000)
            });
            engine.end_replace(Kind::Service, NOW);
        });
    });
}

#[test]
fn readers_answer_while_a_writer_works_at_full_speed() {
    const CHANGES: u32 = 2000;
    let cluster = Cluster::new(2000);
    let shared = SharedEngine::new(cluster.engine());
    let kept = shared.load().clone();
    // Two Services that change together: no reader may see one without the other.
    let (one, two) = (3, 1234);
    let both = |count| {
        shared.update(|engine| {
            engine.apply(counted(one, count), NOW);
            engine.apply(counted(two, count), NOW);
        });
    };
    both(0);
    let (changes, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    // For each reader: changes that it has seen come in the midst of its queries.
    let seen = [const { AtomicUsize::new(0) }; READERS];
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for seen in &seen {
            let (shared, stop) = (&shared, &stop);
            scope.spawn(move || {
                let (mut asker, mut last) = (Asker::default(), 0);
                while !stop.load(Ordering::Relaxed) {
                    let snapshot = shared.load();
                    let count = count_of(&mut asker, &snapshot, one);
                    assert_eq!(count, count_of(&mut asker, &snapshot, two), "half a change");
                    assert!(count >= last, "a change taken back: {last}, then {count}");
                    if count > last {
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                    last = count;
                }
            });
        }
        let (shared, stop, changes) = (&shared, &stop, &changes);
        scope.spawn(move || {
            // A second writer, on everything else.
            for round in 0.. {
                let change = if round % 2 == 0 { Change::After } else { Change::Before };
                for index in (0..cluster.services).filter(|index| ![one, two].contains(index)) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    shared.update(|engine| engine.apply(Event::Upsert(Cluster::slice(index, change)), NOW));
                    changes.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut count = 0;
        // On one core too, every reader gets to see changes come: the writers go on until then.
        wait_until("every reader sees changes come", || {
            count += 1;
            both(count);
            count >= CHANGES && seen.iter().all(|seen| seen.load(Ordering::Relaxed) >= 10)
        });
    });
    assert!(changes.load(Ordering::Relaxed) > 0, "the second writer never had its turn");
    // A snapshot that was kept is what it was.
    let mut packets = packets(Case::ClusterIpA, cluster, Draw::Few, &kept);
    for _ in 0..packets.len() {
        let mut asker = Asker::default();
        assert!(matches!(asker.ask(&kept, packets.next()), Outcome::Answer(_)));
    }
    let mut asker = Asker::default();
    asker.ask(&kept, &Case::ClusterIpA.packet(one));
    let IpAddr::V4(before) = Cluster::cluster_ip(one) else { unreachable!() };
    assert_eq!(asker.out.last_chunk::<4>(), Some(&before.octets()));
}
