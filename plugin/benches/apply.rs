//! From an event to tables that answer by it, in a cluster of 10,000 Services.
#![allow(missing_docs, clippy::unwrap_used)]
// divan hands its arguments over by reference.
#![allow(clippy::trivially_copy_pass_by_ref)]

mod support;

use divan::Bencher;
use rustk8s::Engine;
use rustk8s::feed::{Item, read_event};
use rustk8s::object::{EndpointSlice, Event, Kind, Object};
use rustk8s::shared::SharedEngine;
use std::fmt;
use support::{Change, Cluster, NOW, Random};

const SIZE: usize = 10_000;
/// Objects that change, one after the other, and then change back.
const CHANGING: usize = 4096;

fn main() {
    divan::main();
}

/// What happens.
#[derive(Clone, Copy)]
enum Case {
    /// A Service has another port.
    Service,
    /// A Service comes, and goes.
    ServiceComesAndGoes,
    /// A Service changed in something that no answer shows.
    Unchanged,
    /// An address of a slice with two endpoints is another.
    Slice2,
    /// The same, with a hundred.
    Slice100,
    /// The same, and the slice is one of fifty of its Service.
    SliceOf50,
    /// A pod has another address.
    Pod,
}

const CASES: [Case; 7] = [
    Case::Service,
    Case::ServiceComesAndGoes,
    Case::Unchanged,
    Case::Slice2,
    Case::Slice100,
    Case::SliceOf50,
    Case::Pod,
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "Service: another port",
            Self::ServiceComesAndGoes => "Service: comes or goes",
            Self::Unchanged => "Service: no answer changes",
            Self::Slice2 => "slice of 2 endpoints: one changes",
            Self::Slice100 => "slice of 100 endpoints: one changes",
            Self::SliceOf50 => "slice of 100 endpoints, one of 50 of its Service: one changes",
            Self::Pod => "pod: another address",
        })
    }
}

impl Case {
    /// An event about a Service or what belongs to it.
    fn event(self, index: usize, change: Change) -> Event {
        Event::Upsert(match self {
            Self::Service => Cluster::service(index, change),
            Self::ServiceComesAndGoes if change == Change::After => {
                return Event::Delete(Cluster::service(index, change));
            }
            Self::ServiceComesAndGoes | Self::Unchanged => Cluster::service(index, Change::Before),
            Self::Slice2 => Cluster::slice(index, change),
            Self::Slice100 => Cluster::slice_of(index, 100, change),
            Self::SliceOf50 => slice_of_large(index % 50, change),
            Self::Pod => Cluster::pod(index, 0, change),
        })
    }

    /// Events, each of which changes something (but for [`Case::Unchanged`]), to be gone through in circles.
    fn events(self) -> Vec<Event> {
        let mut random = Random::new(7);
        let mut chosen: Vec<usize> = (0..SIZE).filter(|&index| !Cluster::headless(index)).collect();
        for place in 0..CHANGING {
            let other = place + random.below(chosen.len() - place);
            chosen.swap(place, other);
        }
        let changing = match self {
            Self::SliceOf50 => (0..50).collect(),
            // So many large slices would make another cluster of it.
            Self::Slice100 => chosen[..64].to_vec(),
            _ => chosen[..CHANGING].to_vec(),
        };
        let pass = |change| changing.iter().map(move |&index| self.event(index, change));
        pass(Change::After).chain(pass(Change::Before)).collect()
    }

    /// The cluster that the events are about.
    fn engine(self) -> Engine {
        let mut engine = Cluster::new(SIZE).engine();
        // Two rounds: what the events add is there, and all buffers have grown.
        for event in (0..2).flat_map(|_| self.events()) {
            engine.apply(event, NOW);
        }
        engine
    }
}

/// A slice of a headless Service that has fifty of them.
fn slice_of_large(number: usize, change: Change) -> Object {
    let Object::EndpointSlice(slice) = Cluster::slice_of(20_000 + number * 30, 100, change) else { unreachable!() };
    let (namespace, service) = (Cluster::namespace_name(9), Cluster::service_name(9));
    let slice = EndpointSlice::new(&namespace, &format!("large-{number:05}"), &service, slice.ports, slice.endpoints);
    Object::EndpointSlice(slice)
}

/// Nobody holds a snapshot: what WASM does.
#[divan::bench(args = CASES, sample_size = 16)]
fn alone(bencher: Bencher, case: &Case) {
    let mut engine = case.engine();
    let mut events = case.events().into_iter().cycle();
    bencher.with_inputs(|| events.next().unwrap()).bench_local_values(|event| engine.apply(event, NOW));
}

/// Each event is published: the state before it is shared with readers, and nothing of it may change in place.
#[divan::bench(args = CASES, sample_size = 16)]
fn published(bencher: Bencher, case: &Case) {
    let shared = SharedEngine::new(case.engine());
    let mut events = case.events().into_iter().cycle();
    bencher
        .with_inputs(|| events.next().unwrap())
        .bench_local_values(|event| shared.update(|engine| engine.apply(event, NOW)));
}

/// A line of a watch.
#[derive(Clone, Copy)]
struct Line {
    kind: Kind,
    /// With the fields that an API server sends, or only with what answers need.
    full: bool,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind =
            if self.kind == Kind::Service { "Service: another port" } else { "slice of 2 endpoints: one changes" };
        let size = self.line(0, Change::Before).len();
        let form = if self.full { "as the API server sends it" } else { "slim" };
        write!(f, "{kind}, JSON {form} ({size} octets)")
    }
}

impl Line {
    fn line(self, index: usize, change: Change) -> String {
        let make = if self.full { Cluster::server_line } else { Cluster::slim_line };
        make(self.kind, index, change)
    }

    fn lines(self) -> Vec<String> {
        let chosen = || (0..SIZE).filter(|&index| !Cluster::headless(index)).step_by(8);
        let pass = |change| chosen().map(move |index| self.line(index, change));
        pass(Change::After).chain(pass(Change::Before)).collect()
    }
}

fn lines() -> impl Iterator<Item = Line> {
    [Kind::Service, Kind::EndpointSlice].into_iter().flat_map(|kind| [false, true].map(|full| Line { kind, full }))
}

/// The line is read, applied and published.
#[divan::bench(args = lines(), sample_size = 16)]
fn from_json(bencher: Bencher, line: &Line) {
    let shared = SharedEngine::new(Cluster::new(SIZE).engine());
    let lines = line.lines();
    let feed = |line: &str| {
        shared.update(|engine| engine.feed(line.as_bytes(), NOW, |error| panic!("{error}")));
    };
    for line in &lines {
        feed(line);
    }
    let mut next = lines.iter().cycle();
    bencher.with_inputs(|| next.next().unwrap()).bench_local_values(|line| feed(line));
}

/// The line is read, no more.
#[divan::bench(args = lines(), sample_size = 16)]
fn read_json(bencher: Bencher, line: &Line) {
    let lines = line.lines();
    let mut next = lines.iter().cycle();
    bencher.with_inputs(|| next.next().unwrap()).bench_local_values(|line| {
        let item = read_event(line.as_bytes()).unwrap();
        assert!(matches!(item, Item::Event(_)));
        item
    });
}
