//! Octets of memory: a Service, an endpoint, a pod; and the peak while everything is listed anew.
//!
//! Every allocation is counted. "Asked" is what the engine asks for, "taken" what glibc's malloc makes of it; the
//! resident set, which has malloc's own slack and whatever the kernel rounds up, is printed beside it.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_precision_loss)]

mod support;

use rustk8s::Engine;
use rustk8s::object::{Event, Kind, Object, ServiceKind};
use rustk8s::shared::SharedEngine;
use support::counting_allocator::{self as memory, CountingAllocator, Octets};
use support::{Change, Cluster, NOW};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const COUNT: usize = 100_000;

fn main() {
    // `cargo test --benches` only asks whether it runs.
    let count = if std::env::args().any(|arg| arg == "--test") { 100 } else { COUNT };
    per_object(count);
    println!();
    sweep(count);
    println!();
    relist(count / 10);
}

fn namespaces(engine: &mut Engine, count: usize) {
    Cluster::new(count).list(Kind::Namespace, |event| engine.apply(event, NOW));
}

/// A Service with a cluster IP and one port.
fn service(index: usize) -> Event {
    let Object::Service(mut service) = Cluster::service(index, Change::Before) else { unreachable!() };
    (service.kind, service.cluster_ips) = (ServiceKind::ClusterIp, vec![Cluster::cluster_ip(index)]);
    Event::Upsert(Object::Service(service))
}

/// A slice of two endpoints, with hostnames if they are those of a stateful set.
fn slice(index: usize, hostnames: bool) -> Event {
    let Object::EndpointSlice(mut slice) = Cluster::slice_of(index, 2, Change::Before) else { unreachable!() };
    for (number, endpoint) in slice.endpoints.iter_mut().enumerate() {
        let hostname = format!("{}-{number}", Cluster::service_name(index));
        endpoint.hostname = if hostnames { hostname.into() } else { Box::default() };
    }
    Event::Upsert(Object::EndpointSlice(slice))
}

fn pod(index: usize) -> Event {
    Event::Upsert(Cluster::pod(index / 2, index % 2, Change::Before))
}

fn added(engine: &mut Engine, events: impl Iterator<Item = Event>) -> (Octets, isize) {
    let (before, resident) = (memory::live(), resident());
    for event in events {
        engine.apply(event, NOW);
    }
    let after = memory::live();
    let octets = Octets { asked: after.asked - before.asked, taken: after.taken - before.taken };
    (octets, self::resident() - resident)
}

fn per_object(count: usize) {
    println!("| octets each, at {count} of each | asked | taken | resident | target |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut engine = Engine::new(&Cluster::config()).unwrap();
    namespaces(&mut engine, count);
    let mut row = |name: &str, target: &str, number: usize, events: &mut dyn Iterator<Item = Event>| {
        let (octets, resident) = added(&mut engine, events);
        let each = |octets: f64| octets / number as f64;
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {target} |",
            each(octets.asked as f64),
            each(octets.taken as f64),
            each(resident as f64)
        );
    };
    row("Service, one port", "250", count, &mut (0..count).map(service));
    row("endpoint, slices of 2", "100", count, &mut (0..count / 2).map(|index| slice(index, false)));
    row("pod, verified", "100", count, &mut (0..count).map(pod));
    drop(engine);
    let mut engine = Engine::new(&Cluster::config()).unwrap();
    let mut row = |name: &str, number: usize, events: &mut dyn Iterator<Item = Event>| {
        let (octets, _) = added(&mut engine, events);
        let each = |octets: usize| octets as f64 / number as f64;
        println!("| {name} | {:.0} | {:.0} | | |", each(octets.asked), each(octets.taken));
    };
    row("endpoint with hostname, slices of 2", count, &mut (0..count / 2).map(|index| slice(index, true)));
    let large = |index: usize| Event::Upsert(Cluster::slice_of(count + index * 30, 100, Change::Before));
    row("endpoint, slices of 100", count, &mut (0..count / 100).map(large));
}

/// Pages of the tables split as they fill, so that the cost of an object depends on how many there are.
fn sweep(count: usize) {
    println!("| taken, octets each, at | Service | endpoint | pod |");
    println!("| --- | ---: | ---: | ---: |");
    for part in [1, 2, 5, 10, 15, 17, 20, 25] {
        let count = count * part / 10;
        let mut engine = Engine::new(&Cluster::config()).unwrap();
        let mut each =
            |events: &mut dyn Iterator<Item = Event>| added(&mut engine, events).0.taken as f64 / count as f64;
        let service = each(&mut (0..count).map(service));
        let endpoint = each(&mut (0..count / 2).map(|index| slice(index, false)));
        let pod = each(&mut (0..count).map(pod));
        println!("| {count} | {service:.0} | {endpoint:.0} | {pod:.0} |");
    }
}

/// Everything is listed anew while it is served: once object by object, as watches do, and once as one JSON text.
fn relist(services: usize) {
    const KINDS: [Kind; 4] = [Kind::Namespace, Kind::Service, Kind::EndpointSlice, Kind::Pod];
    let cluster = Cluster::new(services);
    let start = memory::live().taken;
    let shared = SharedEngine::new(cluster.engine());
    let counters = shared.load().counters();
    let steady = memory::live().taken - start;
    let mib = |octets: usize| octets as f64 / f64::from(1 << 20);
    println!(
        "| {} Services, {} endpoints, {} pods | MiB taken |\n| --- | ---: |\n| steady | {:.1} |",
        counters.services,
        counters.endpoints,
        counters.pods,
        mib(steady)
    );
    let peak = |work: &mut dyn FnMut()| {
        memory::reset_peak();
        work();
        assert_eq!(shared.load().counters().endpoints, counters.endpoints);
        mib(memory::peak().taken - start)
    };
    let same = peak(&mut || {
        for kind in KINDS {
            shared.update(|engine| engine.begin_replace(kind));
            cluster.list(kind, |event| shared.update(|engine| engine.apply(event, NOW)));
            shared.update(|engine| engine.end_replace(kind, NOW));
        }
    });
    println!("| peak: all listed anew, nothing changed, an old snapshot not held | {same:.1} |");
    let held = shared.load();
    let changed = peak(&mut || {
        for change in [Change::After, Change::Before] {
            shared.update(|engine| engine.begin_replace(Kind::EndpointSlice));
            for index in 0..services {
                let event = Event::Upsert(Cluster::slice(index, change));
                shared.update(|engine| engine.apply(event, NOW));
            }
            shared.update(|engine| engine.end_replace(Kind::EndpointSlice, NOW));
        }
    });
    println!("| peak: all slices changed and back, one old snapshot held throughout | {changed:.1} |");
    drop(held);
    let mut list = String::from(r#"{"kind":"ServiceList","apiVersion":"v1","items":["#);
    for index in 0..services {
        let line = Cluster::server_line(Kind::Service, index, Change::Before);
        let object = line.split_once(r#""object":"#).unwrap().1.strip_suffix('}').unwrap();
        list.push_str(object);
        list.push(if index + 1 < services { ',' } else { ']' });
    }
    list.push('}');
    list.shrink_to_fit();
    let json = peak(&mut || {
        shared.update(|engine| engine.replace(Kind::Service, list.as_bytes(), NOW, |error| panic!("{error}"))).unwrap();
    });
    let text = mib(list.capacity());
    println!("| peak: all Services listed anew as one JSON text of {text:.1} MiB, that text included | {json:.1} |");
}

/// The octets of this process that are in memory.
fn resident() -> isize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<isize>().ok());
    kib.unwrap_or_default() * 1024
}
