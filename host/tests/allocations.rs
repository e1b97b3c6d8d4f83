//! The hot path allocates nothing once its buffers have grown: proved by an allocator that counts.
#![allow(clippy::unwrap_used)]

mod common;

use common::query;
use hickory_proto::rr::RecordType;
use rustk8s::object::Event;
use rustk8s::shared::SharedEngine;
use rustk8s::wire::Transport;
use rustk8s::{Config, Engine};
use rustk8s_host::chain::Chain;
use rustk8s_host::manifests::Manifests;
use rustk8s_host::server::socket::{Batch, UdpSocket};
use rustk8s_host::server::{Asker, Listener, Verdict, Work, ZoneTable};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

thread_local! {
    /// Allocations of this thread.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all calls go to the system's allocator unchanged; counting touches a thread-local number without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: dev}}
- {apiVersion: v1, kind: Service, metadata: {name: a, namespace: dev}, spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ports: [{name: dns, protocol: UDP, port: 53}]}}
";

fn listener() -> Arc<Listener> {
    let mut manifests = Manifests::default();
    manifests.add("test.yaml", OBJECTS).unwrap();
    let mut engine = Engine::new(&Config::default()).unwrap();
    let kinds: Vec<_> = engine.kinds().collect();
    for kind in &kinds {
        engine.begin_replace(*kind);
    }
    for object in manifests.objects {
        engine.apply(Event::Upsert(object), 1);
    }
    for kind in kinds {
        engine.end_replace(kind, 1);
    }
    let mut zones = ZoneTable::default();
    let chain = Chain::new(None, None, Some(Arc::new(SharedEngine::new(engine))));
    zones.insert(rustk8s::name::from_text("cluster.local").unwrap(), Arc::new(chain));
    Arc::new(Listener::new(zones))
}

#[test]
fn a_batch_is_received_answered_and_sent_without_allocating() {
    let listener = listener();
    let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = common::udp_client(socket.local_addr());
    let queries = [
        (query("a.dev.svc.cluster.local.", RecordType::A), 0),
        (query("_dns._udp.a.dev.svc.cluster.local.", RecordType::SRV), 0),
        (query("nx.dev.svc.cluster.local.", RecordType::AAAA), 3),
        (query("example.org.", RecordType::A), 5),
        (vec![0; 12], 1),
    ];
    let mut batch = Batch::new();
    let mut work = Work::default();
    let mut buffer = [0; 512];
    let mut round = |allowed: usize| {
        for (packet, rcode) in &queries {
            client.send(packet).unwrap();
            let before = COUNT.get();
            while batch.receive(&socket).unwrap_or(0) == 0 {}
            for (packet, path, reply) in batch.queries() {
                let asker = Asker { client: path.client(), local: socket.local_addr().ip(), transport: Transport::Udp };
                assert_eq!(listener.answer(packet, &asker, &mut work, reply), Verdict::Reply);
            }
            assert_eq!(batch.send(&socket), 0);
            let allocations = COUNT.get() - before;
            assert!(allocations <= allowed, "{allocations} allocations");
            client.recv(&mut buffer).unwrap();
            assert_eq!(buffer[3] & 0xf, *rcode);
        }
    };
    round(usize::MAX);
    for _ in 0..100 {
        round(0);
    }
}
