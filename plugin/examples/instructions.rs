//! Runs each case a fixed number of times, for callgrind to count the instructions: `tests/bench.sh instructions`.
//!
//! ```text
//! valgrind --tool=callgrind --collect-atstart=no --toggle-collect=instructions::measured --dump-after=instructions::measured \
//!     target/release/examples/instructions SERVICES TIMES [CASE]
//! ```
//! Prints `TIMES CASE` for each, in the order of the profiles that callgrind writes. The hash seed is fixed, so that the
//! counts are the same on every run.
#![allow(clippy::unwrap_used)]

#[path = "../benches/support/mod.rs"]
mod support;

use rustk8s::object::{Event, Kind};
use rustk8s::shared::SharedEngine;
use std::hint::black_box;
use support::{Asker, Case, Change, Cluster, Draw, NOW, packets};

/// Makes an event about a Service, or what belongs to it.
type Make = fn(usize, Change) -> Event;

fn main() {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(default, |arg| arg.parse().unwrap());
    let (services, times) = (number(1000), number(100));
    let only = args.next();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let cluster = Cluster::new(services);
    let mut engine = cluster.engine();

    for case in Case::ALL {
        let name = case.to_string();
        if wanted(&name) {
            // These have been asked once each when they were checked, and the buffers grow with the first.
            let mut packets = packets(case, cluster, Draw::Hot, &engine);
            let mut asker = Asker::default();
            asker.ask(&engine, packets.next());
            report(&name, times, &mut || {
                for _ in 0..times {
                    black_box(asker.ask(&engine, packets.next()));
                }
            });
        }
    }

    let events: [(&str, Make); 4] = [
        ("apply Service: another port", |index, change| Event::Upsert(Cluster::service(index, change))),
        ("apply slice of 2 endpoints: one changes", |index, change| Event::Upsert(Cluster::slice(index, change))),
        ("apply slice of 100 endpoints: one changes", |index, change| {
            Event::Upsert(Cluster::slice_of(index, 100, change))
        }),
        ("apply pod: another address", |index, change| Event::Upsert(Cluster::pod(index, 0, change))),
    ];
    for (name, make) in events.into_iter().filter(|(name, _)| wanted(name)) {
        // Slices of 100 are few, or the addresses of one Service would be those of others.
        let index = |time: usize| (time / 2 * 30) % services / 10 * 10;
        let change = |time: usize| if time.is_multiple_of(2) { Change::After } else { Change::Before };
        let all = || (0..times).map(|time| make(index(time), change(time)));
        all().for_each(|event| engine.apply(event, NOW));
        let mut events: Vec<Event> = all().collect();
        report(name, times, &mut || events.drain(..).for_each(|event| engine.apply(event, NOW)));
    }

    let shared = SharedEngine::new(engine);
    for (name, kind) in [("Service", Kind::Service), ("slice of 2 endpoints", Kind::EndpointSlice)] {
        for (form, make) in [("slim", Cluster::slim_line as fn(_, _, _) -> _), ("full", Cluster::server_line)] {
            let name = format!("feed {form} JSON of a {name}, published");
            if wanted(&name) {
                let change = |time: usize| if time.is_multiple_of(2) { Change::After } else { Change::Before };
                let lines: Vec<String> = (0..times).map(|time| make(kind, time / 2 * 10, change(time))).collect();
                let feed = |line: &String| {
                    shared.update(|engine| engine.feed(line.as_bytes(), NOW, |error| panic!("{error}")));
                };
                lines.iter().for_each(feed);
                report(&name, times, &mut || lines.iter().for_each(feed));
            }
        }
    }
}

fn report(name: &str, times: usize, work: &mut dyn FnMut()) {
    measured(work);
    println!("{times} {name}");
}

/// Callgrind counts between its call and its return.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
    black_box(());
}
