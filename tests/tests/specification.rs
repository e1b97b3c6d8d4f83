//! The Kubernetes DNS-Based Service Discovery specification, version 1.1.0, section by section. Each case names its
//! section; each is asked of this server, and of CoreDNS, which holds the table to the specification as it is practised.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rustk8s_tests::conformance::exchange::{Client, Transport};
use rustk8s_tests::conformance::options;
use rustk8s_tests::conformance::question::{Query, reverse_name};
use rustk8s_tests::conformance::server::{Program, ServerKind};
use rustk8s_tests::conformance::wire::{Message, rtype};
use rustk8s_tests::conformance::world::World;
use serde_json::{Value, json};

const NXDOMAIN: &str = "NXDOMAIN";
const NODATA: &str = "NODATA";

/// Section, name below `cluster.local` or an address to look up in reverse, type, and the answer: the records' data, sorted,
/// then those of the additional section behind ` + `.
const CASES: &[(&str, &str, u16, &str)] = &[
    ("2.2 schema version", "dns-version", rtype::TXT, "TXT 1.1.0"),
    ("2.3.1 A", "web.shop.svc", rtype::A, "A 10.96.0.1"),
    ("2.3.1 A, no such Service", "none.shop.svc", rtype::A, NXDOMAIN),
    ("2.3.1 A, no such Namespace", "web.none.svc", rtype::A, NXDOMAIN),
    ("2.3.1 AAAA of an IPv4 Service", "web.shop.svc", rtype::AAAA, NODATA),
    ("2.3.1 A, dual stack", "dual.shop.svc", rtype::A, "A 10.96.0.2"),
    ("2.3.1 AAAA, dual stack", "dual.shop.svc", rtype::AAAA, "AAAA fd00:10:96::2"),
    (
        "2.3.2 SRV",
        "_https._tcp.web.shop.svc",
        rtype::SRV,
        "SRV 0 100 443 web.shop.svc.cluster.local. + web.shop.svc.cluster.local. A 10.96.0.1",
    ),
    (
        "2.3.2 SRV, another protocol",
        "_dns._udp.web.shop.svc",
        rtype::SRV,
        "SRV 0 100 53 web.shop.svc.cluster.local. + web.shop.svc.cluster.local. A 10.96.0.1",
    ),
    ("2.3.2 SRV, the wrong protocol", "_https._udp.web.shop.svc", rtype::SRV, NXDOMAIN),
    ("2.3.2 SRV, no such port", "_none._tcp.web.shop.svc", rtype::SRV, NXDOMAIN),
    ("2.3.3 PTR", "10.96.0.1", rtype::PTR, "PTR web.shop.svc.cluster.local."),
    ("2.3.3 PTR, IPv6", "fd00:10:96::2", rtype::PTR, "PTR dual.shop.svc.cluster.local."),
    ("2.3.3 PTR, no such address", "10.96.0.99", rtype::PTR, NXDOMAIN),
    // Ready endpoints only.
    ("2.4.1 A", "db.shop.svc", rtype::A, "A 10.244.0.1, A 10.244.0.2"),
    ("2.4.1 AAAA", "db.shop.svc", rtype::AAAA, "AAAA fd00:244::1"),
    ("2.4.1 A of an endpoint with a hostname", "db-0.db.shop.svc", rtype::A, "A 10.244.0.1"),
    ("2.4.1 AAAA of an endpoint with a hostname", "db-0.db.shop.svc", rtype::AAAA, "AAAA fd00:244::1"),
    ("2.4.1 A of an endpoint without a hostname", "10-244-0-2.db.shop.svc", rtype::A, "A 10.244.0.2"),
    ("2.4.1 A of an endpoint that is not ready", "db-9.db.shop.svc", rtype::A, NXDOMAIN),
    ("2.4.1 A, no ready endpoint", "idle.shop.svc", rtype::A, NXDOMAIN),
    ("2.4.1 A, publishNotReadyAddresses", "early.shop.svc", rtype::A, "A 10.244.0.8"),
    (
        "2.4.2 SRV",
        "_sql._tcp.db.shop.svc",
        rtype::SRV,
        "SRV 0 33 5432 10-244-0-2.db.shop.svc.cluster.local., SRV 0 33 5432 db-0.db.shop.svc.cluster.local. \
         + 10-244-0-2.db.shop.svc.cluster.local. A 10.244.0.2, db-0.db.shop.svc.cluster.local. A 10.244.0.1, \
         db-0.db.shop.svc.cluster.local. AAAA fd00:244::1",
    ),
    ("2.4.2 SRV, no such port", "_none._tcp.db.shop.svc", rtype::SRV, NXDOMAIN),
    ("2.4.3 PTR, hostname", "10.244.0.1", rtype::PTR, "PTR db-0.db.shop.svc.cluster.local."),
    ("2.4.3 PTR, IPv6", "fd00:244::1", rtype::PTR, "PTR db-0.db.shop.svc.cluster.local."),
    ("2.4.3 PTR, no hostname", "10.244.0.2", rtype::PTR, "PTR 10-244-0-2.db.shop.svc.cluster.local."),
    ("2.4.3 PTR, not ready", "10.244.0.9", rtype::PTR, NXDOMAIN),
    ("2.5.1 CNAME", "out.shop.svc", rtype::CNAME, "CNAME www.example.test."),
    (
        "2.5.1 CNAME to a name of the cluster, followed",
        "alias.shop.svc",
        rtype::A,
        "A 10.96.0.1, CNAME web.shop.svc.cluster.local.",
    ),
];

fn cluster() -> Vec<Value> {
    let service = |name: &str, spec: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec});
    let slice = |name: &str, of: &str, kind: &str, endpoints: Value| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": kind, "endpoints": endpoints,
            "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": of}},
            "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        })
    };
    let headless = json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}]});
    let mut early = headless.clone();
    early["publishNotReadyAddresses"] = json!(true);
    let not_ready = |address: &str, hostname: &str| json!([{"addresses": [address], "hostname": hostname, "conditions": {"ready": false}}]);
    // The endpoint controller says ready of every endpoint of a Service that publishes those that are not.
    let published =
        json!([{"addresses": ["10.244.0.8"], "hostname": "early-0", "conditions": {"ready": true, "serving": false}}]);
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
        service(
            "web",
            json!({"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": [
                {"name": "https", "port": 443, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}),
        ),
        service(
            "dual",
            json!({"clusterIP": "10.96.0.2", "clusterIPs": ["10.96.0.2", "fd00:10:96::2"], "ports": [
                {"name": "https", "port": 443, "protocol": "TCP"}]}),
        ),
        service("db", headless.clone()),
        slice(
            "db-4",
            "db",
            "IPv4",
            json!([{"addresses": ["10.244.0.1"], "hostname": "db-0", "conditions": {"ready": true}},
                   {"addresses": ["10.244.0.2"], "conditions": {"ready": true}}]),
        ),
        slice("db-6", "db", "IPv6", json!([{"addresses": ["fd00:244::1"], "hostname": "db-0"}])),
        slice("db-9", "db", "IPv4", not_ready("10.244.0.9", "db-9")),
        service("idle", headless),
        slice("idle", "idle", "IPv4", not_ready("10.244.0.7", "idle-0")),
        service("early", early),
        slice("early", "early", "IPv4", published),
        service("out", json!({"type": "ExternalName", "externalName": "www.example.test"})),
        service("alias", json!({"type": "ExternalName", "externalName": "web.shop.svc.cluster.local"})),
    ]
}

/// The answer as the table writes it.
fn answer(client: &mut Client, name: &str, qtype: u16) -> String {
    let name = match name.parse() {
        Ok(address) => reverse_name(address).to_string(),
        Err(_) => format!("{name}.cluster.local."),
    };
    let query = Query::simple(name.trim_end_matches('.'), qtype);
    let reply = client.ask(&query.wire, Transport::Tcp4, Duration::from_secs(5)).unwrap().unwrap();
    let message = Message::parse(&reply).unwrap();
    match (message.rcode(), message.answers.is_empty()) {
        (3, _) => return NXDOMAIN.to_owned(),
        (0, true) => return NODATA.to_owned(),
        (0, false) => {}
        (other, _) => return format!("rcode {other}"),
    }
    // hickory shows data as master files do; the suite's own wire format shows addresses only in whole records.
    let shown = hickory_proto::op::Message::from_vec(&reply).unwrap();
    let list = |records: &[hickory_proto::rr::Record], owners: bool| {
        let line = |record: &hickory_proto::rr::Record| {
            let owner = if owners { format!("{} ", record.name) } else { String::new() };
            format!("{owner}{} {}", record.record_type(), record.data)
        };
        let mut lines: Vec<String> = records.iter().map(line).collect();
        lines.sort();
        lines.join(", ")
    };
    let additional = list(&shown.additionals, true);
    let answers = list(&shown.answers, false);
    if additional.is_empty() { answers } else { format!("{answers} + {additional}") }
}

#[test]
fn every_section_is_answered_as_specified() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let programs = [ServerKind::Host, ServerKind::CoreDns].map(|kind| Program::find(&kind).unwrap());
    let set = options::find("plain").unwrap();
    let programs: Vec<&Program> = programs.iter().collect();
    let world = World::start(runtime.handle(), set, &programs, &cluster(), "127.0.0.1:9").unwrap();
    let mut wrong = Vec::new();
    for (server, name) in world.servers.iter().zip(["rustk8s", "CoreDNS"]) {
        let mut client = Client::new(server.dns_port);
        for (section, qname, qtype, expected) in CASES {
            let answer = answer(&mut client, qname, *qtype);
            if answer != *expected {
                wrong.push(format!("{name}, {section}: {qname} {}: {answer}, not {expected}", rtype::mnemonic(*qtype)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
