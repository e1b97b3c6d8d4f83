//! The plugins around `kubernetes`, as clients see them: metadata, autopath, transfer, `k8s_external`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{TestServer, answers, frame, query, read_frame, tcp, tcp_client, udp};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use std::fmt::Write as _;
use std::io::Write as _;

const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: dev}}
- {apiVersion: v1, kind: Service, metadata: {name: ent, namespace: dev}, spec: {clusterIP: 10.98.204.110, clusterIPs: [10.98.204.110], externalIPs: [192.0.2.7, '2001:db8::7'], ports: [{name: http, port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: inner, namespace: dev}, spec: {clusterIP: 10.98.204.111, clusterIPs: [10.98.204.111], ports: [{name: http, port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: lb, namespace: dev}, spec: {type: LoadBalancer, clusterIP: 10.98.204.112, clusterIPs: [10.98.204.112], ports: [{name: http, port: 80}]}, status: {loadBalancer: {ingress: [{hostname: ent.dev.svc.other.local}, {hostname: inner.dev.svc.other.local}, {ip: 192.0.2.8}]}}}
- {apiVersion: v1, kind: Service, metadata: {name: loop, namespace: dev}, spec: {type: LoadBalancer, clusterIP: 10.98.204.113, clusterIPs: [10.98.204.113], ports: [{port: 80}]}, status: {loadBalancer: {ingress: [{hostname: loop.dev.example.org}, {hostname: LOOP.dev.example.org}]}}}
- {apiVersion: v1, kind: Service, metadata: {name: bare, namespace: dev}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: bare-1, namespace: dev, labels: {kubernetes.io/service-name: bare}}, addressType: IPv4, ports: [{name: http, port: 80, protocol: TCP}], endpoints: [{addresses: [10.244.0.9], hostname: zero, conditions: {ready: true}}]}
";

fn rcode(message: &Message) -> ResponseCode {
    message.metadata.response_code
}

fn external(options: &str) -> TestServer {
    let corefile = format!(
        "
. {{
    bind 127.0.0.1
    errors
    kubernetes cluster.local
    k8s_external example.org in-addr.arpa {{
        {options}
    }}
}}
other.local {{
    bind 127.0.0.1
    kubernetes
}}"
    );
    TestServer::start(&corefile, OBJECTS)
}

#[test]
fn k8s_external_stands_before_kubernetes() {
    let server = external("ttl 17");
    let reply = server.ask("ent.dev.example.org.", RecordType::A);
    assert_eq!(answers(&reply), ["192.0.2.7"]);
    assert_eq!(reply.answers[0].ttl, 17);
    assert_eq!(answers(&server.ask("ent.dev.example.org.", RecordType::AAAA)), ["2001:db8::7"]);
    assert_eq!(answers(&server.ask("7.2.0.192.in-addr.arpa.", RecordType::PTR)), ["ent.dev.example.org."]);
    assert_eq!(rcode(&server.ask("bare.dev.example.org.", RecordType::A)), ResponseCode::NXDomain);
    assert_eq!(rcode(&server.ask("dns.example.org.", RecordType::A)), ResponseCode::NoError);
    // Not its zone: `kubernetes` is next.
    assert_eq!(answers(&server.ask("ent.dev.svc.cluster.local.", RecordType::A)), ["10.98.204.110"]);
    assert_eq!(rcode(&server.ask("ent.dev.svc.example.com.", RecordType::A)), ResponseCode::ServFail);
    assert_eq!(
        server.log(),
        ["[ERROR] plugin/errors: 2 ent.dev.svc.example.com. A: plugin/kubernetes: no next plugin found"]
    );
}

#[test]
fn k8s_external_options() {
    let server = external("headless\n apex zone\n fallthrough");
    assert_eq!(answers(&server.ask("bare.dev.example.org.", RecordType::A)), ["10.244.0.9"]);
    assert_eq!(answers(&server.ask("zero.bare.dev.example.org.", RecordType::A)), ["10.244.0.9"]);
    let soa = server.ask("example.org.", RecordType::SOA);
    assert!(answers(&soa)[0].starts_with("ns1.zone.example.org. hostmaster.zone.example.org. "), "{soa:?}");
    // Handed on to `kubernetes`, whose zone it is not either.
    assert_eq!(rcode(&server.ask("nx.dev.example.org.", RecordType::A)), ResponseCode::ServFail);
}

#[test]
fn k8s_external_looks_up_every_name_of_a_load_balancer() {
    let server = external("");
    for ask in [udp, tcp] {
        let reply = ask(server.addresses[0], &query("lb.dev.example.org.", RecordType::A));
        let expected =
            ["10.98.204.110", "10.98.204.111", "192.0.2.8", "ent.dev.svc.other.local.", "inner.dev.svc.other.local."];
        assert_eq!(answers(&reply), expected);
        let reply = ask(server.addresses[0], &query("lb.dev.example.org.", RecordType::SRV));
        assert_eq!(reply.answers.len(), 3);
        assert_eq!(reply.additionals.len(), 3, "{reply:?}");
        // Names that lead to themselves: look-ups within look-ups end.
        let reply = ask(server.addresses[0], &query("loop.dev.example.org.", RecordType::A));
        assert_eq!(reply.metadata.id, 4711);
    }
}

/// A query of type IXFR by a client that has this serial.
fn ixfr(zone: &str, serial: u32) -> Vec<u8> {
    let mut packet = query(zone, RecordType::IXFR);
    packet[9] = 1;
    // An SOA record of the qname, whose names are the root.
    packet.extend_from_slice(&[0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
    for number in [serial, 0, 0, 0, 0] {
        packet.extend_from_slice(&number.to_be_bytes());
    }
    packet
}

/// The messages of a transfer, up to the second SOA record.
fn transferred(server: &TestServer, packet: &[u8]) -> Vec<Message> {
    let mut stream = tcp_client(server.addresses[0]);
    stream.write_all(&frame(packet)).unwrap();
    let mut messages = Vec::new();
    let mut ends = 0;
    while ends < 2 {
        let message = read_frame(&mut stream);
        ends += message.answers.iter().filter(|record| record.record_type() == RecordType::SOA).count();
        assert!(rcode(&message) == ResponseCode::NoError && message.metadata.id == 4711, "{message:?}");
        messages.push(message);
    }
    messages
}

fn records(messages: &[Message]) -> Vec<&Record> {
    messages.iter().flat_map(|message| &message.answers).collect()
}

fn transferable(to: &str, objects: &str) -> TestServer {
    let block = format!("bind 127.0.0.1\nerrors\nlog\ntransfer {{\nto {to}\n}}\nkubernetes cluster.local");
    TestServer::start(&format!(". {{\n{block}\n}}"), objects)
}

#[test]
fn zones_are_transferred_over_tcp() {
    let server = transferable("*", OBJECTS);
    for packet in [query("cluster.local.", RecordType::AXFR), ixfr("cluster.local.", 1)] {
        let messages = transferred(&server, &packet);
        let records = records(&messages);
        assert_eq!(records.first().map(|soa| soa.record_type()), Some(RecordType::SOA));
        assert_eq!(records.first(), records.last());
        let names: Vec<_> = records.iter().map(|record| record.name.to_string()).collect();
        for name in
            ["ent.dev.svc.cluster.local.", "_http._tcp.ent.dev.svc.cluster.local.", "zero.bare.dev.svc.cluster.local."]
        {
            assert!(names.iter().any(|other| other == name), "{name} in {names:?}");
        }
    }
    let soa = server.ask("cluster.local.", RecordType::SOA);
    let RData::SOA(data) = &soa.answers[0].data else { panic!("{soa:?}") };
    let current = tcp(server.addresses[0], &ixfr("cluster.local.", data.serial));
    assert_eq!(current.answers.len(), 1);
    assert_eq!(current.answers[0].record_type(), RecordType::SOA);
}

#[test]
fn transfers_are_refused_as_in_coredns() {
    let server = transferable("192.0.2.1 [2001:db8::1]:53", OBJECTS);
    let ask = |packet: &[u8]| rcode(&tcp(server.addresses[0], packet));
    assert_eq!(ask(&query("cluster.local.", RecordType::AXFR)), ResponseCode::Refused);
    drop(server);
    let server = transferable("127.0.0.1:5353", OBJECTS);
    let ask = |packet: &[u8]| rcode(&tcp(server.addresses[0], packet));
    // By UDP; without the client's serial; no zone; no zone of `kubernetes`.
    assert_eq!(rcode(&server.ask("cluster.local.", RecordType::AXFR)), ResponseCode::Refused);
    assert_eq!(rcode(&udp(server.addresses[0], &ixfr("cluster.local.", 1))), ResponseCode::Refused);
    assert_eq!(ask(&query("cluster.local.", RecordType::IXFR)), ResponseCode::ServFail);
    assert_eq!(ask(&query("svc.cluster.local.", RecordType::AXFR)), ResponseCode::Refused);
    assert_eq!(ask(&query("example.org.", RecordType::AXFR)), ResponseCode::ServFail);
    assert!(transferred(&server, &query("cluster.local.", RecordType::AXFR)).len() == 1);
    // Without the directive.
    let server = TestServer::start("cluster.local {\nbind 127.0.0.1\nkubernetes\n}", OBJECTS);
    assert_eq!(rcode(&tcp(server.addresses[0], &query("cluster.local.", RecordType::AXFR))), ResponseCode::Refused);
}

#[test]
fn a_large_zone_is_sent_in_many_messages() {
    const SERVICES: usize = 3000;
    let mut objects = OBJECTS.to_owned();
    for number in 0..SERVICES {
        let (high, low) = (number / 250, number % 250);
        writeln!(objects, "- {{apiVersion: v1, kind: Service, metadata: {{name: many-{number}, namespace: dev}}, spec: {{clusterIP: 10.97.{high}.{low}, clusterIPs: [10.97.{high}.{low}], ports: [{{name: http, port: 80}}]}}}}").unwrap();
    }
    let server = transferable("*", &objects);
    let mut stream = tcp_client(server.addresses[0]);
    // Pipelined: a question, the zone twice, a question; the answers come whole and in order.
    let ent = query("ent.dev.svc.cluster.local.", RecordType::A);
    let axfr = query("cluster.local.", RecordType::AXFR);
    stream.write_all(&[&ent, &axfr, &axfr, &ent].map(|packet| frame(packet)).concat()).unwrap();
    assert_eq!(answers(&read_frame(&mut stream)), ["10.98.204.110"]);
    for _ in 0..2 {
        let (mut messages, mut octets, mut addresses, mut ends) = (0, 0, 0, 0);
        while ends < 2 {
            let message = read_frame(&mut stream);
            messages += 1;
            octets += message.to_vec().unwrap().len();
            let count = |rtype| message.answers.iter().filter(|record| record.record_type() == rtype).count();
            ends += count(RecordType::SOA);
            addresses += message
                .answers
                .iter()
                .filter(|record| record.name.to_string().starts_with("many-") && record.record_type() == RecordType::A)
                .count();
        }
        assert_eq!(addresses, SERVICES);
        assert!(messages > 10 && octets > 65_535, "{messages} messages");
    }
    assert_eq!(answers(&read_frame(&mut stream)), ["10.98.204.110"]);
    // One line for a transfer, with the octets of all its messages.
    let log = server.log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("AXFR")).collect();
    assert_eq!(lines.len(), 2, "{log:?}");
    let octets: usize = lines[0].split(' ').nth_back(1).unwrap().parse().unwrap();
    assert!(octets > 65_535, "{}", lines[0]);
}

/// A pod with the address that the tests' clients have.
const CLIENT: &str = "- {apiVersion: v1, kind: Pod, metadata: {name: client, namespace: dev, labels: {app: web}}, spec: {}, status: {podIP: 127.0.0.1, podIPs: [{ip: 127.0.0.1}], phase: Running}}\n- {apiVersion: v1, kind: Namespace, metadata: {name: prod}}\n- {apiVersion: v1, kind: Service, metadata: {name: far, namespace: prod}, spec: {clusterIP: 10.98.204.120, clusterIPs: [10.98.204.120], ports: [{name: http, port: 80}]}}\n- {apiVersion: v1, kind: Service, metadata: {name: out, namespace: prod}, spec: {type: ExternalName, externalName: ent.dev.svc.other.local}}\n- {apiVersion: v1, kind: Service, metadata: {name: many, namespace: prod}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}";

fn autopath(path: &str, extra: &str) -> TestServer {
    let corefile = format!(
        ". {{\nbind 127.0.0.1\nerrors\n{path}\nkubernetes cluster.local {{\npods verified\n}}\n}}\nother.local {{\nbind 127.0.0.1\nkubernetes\n}}"
    );
    TestServer::start(&corefile, &format!("{OBJECTS}{CLIENT}\n{extra}"))
}

/// The answers: owner, type, data.
fn shown(message: &Message) -> Vec<String> {
    let show = |record: &Record| format!("{} {} {}", record.name, record.record_type(), record.data);
    message.answers.iter().map(show).collect()
}

#[test]
fn autopath_walks_the_search_path_of_the_pod_that_asks() {
    let server = autopath("autopath @kubernetes", "");
    for ask in [udp, tcp] {
        let ask = |qname: &str, qtype| ask(server.addresses[0], &query(qname, qtype));
        // The first part of the path: nothing is changed.
        let reply = ask("ent.dev.svc.cluster.local.", RecordType::A);
        assert_eq!(shown(&reply), ["ent.dev.svc.cluster.local. A 10.98.204.110"]);
        // `far.prod`, typed in a pod of namespace `dev`: found with the second part.
        let reply = ask("far.prod.dev.svc.cluster.local.", RecordType::A);
        let alias = "far.prod.dev.svc.cluster.local. CNAME far.prod.svc.cluster.local.";
        assert_eq!(shown(&reply), [alias, "far.prod.svc.cluster.local. A 10.98.204.120"]);
        assert!(reply.metadata.authoritative && reply.metadata.recursion_desired && reply.metadata.id == 4711);
        assert_eq!(reply.queries[0].name().to_string(), "far.prod.dev.svc.cluster.local.");
        // `far.prod.svc`: with the third.
        let reply = ask("far.prod.svc.dev.svc.cluster.local.", RecordType::A);
        assert_eq!(reply.answers.len(), 2, "{reply:?}");
        // NODATA is an answer: there is no alias to lead to it.
        let reply = ask("far.prod.dev.svc.cluster.local.", RecordType::TXT);
        assert_eq!((rcode(&reply), reply.answers.len(), reply.authorities.len()), (ResponseCode::NoError, 0, 1));
        assert_eq!(reply.queries[0].name().to_string(), "far.prod.dev.svc.cluster.local.");
        // An alias that leads elsewhere is looked up.
        let reply = ask("out.prod.dev.svc.cluster.local.", RecordType::A);
        let expected = [
            "out.prod.dev.svc.cluster.local. CNAME out.prod.svc.cluster.local.",
            "out.prod.svc.cluster.local. CNAME ent.dev.svc.other.local.",
            "ent.dev.svc.other.local. A 10.98.204.110",
        ];
        assert_eq!(shown(&reply), expected);
    }
    // Not in the first part of the path, and the first part itself.
    assert_eq!(rcode(&server.ask("far.dev.prod.svc.cluster.local.", RecordType::A)), ResponseCode::NXDomain);
    assert_eq!(rcode(&server.ask("dev.svc.cluster.local.", RecordType::A)), ResponseCode::ServFail);
    // At the end of the path is the name as typed, which nobody here knows: CoreDNS's error, too.
    assert_eq!(rcode(&server.ask("www.example.com.dev.svc.cluster.local.", RecordType::A)), ResponseCode::ServFail);
    let log = server.log();
    assert!(
        log[0].ends_with("A: trimzone: overshot qname: dev.svc.cluster.local.for zone dev.svc.cluster.local."),
        "{log:?}"
    );
    assert!(log[1].ends_with("A: plugin/kubernetes: no next plugin found"), "{log:?}");
    // Of two kinds of refusal the first counts.
    assert_eq!(rcode(&server.ask("far.dev.svc.cluster.local.", RecordType::AXFR)), ResponseCode::ServFail);
}

#[test]
fn autopath_by_a_file_and_what_is_left_alone() {
    let file = std::env::temp_dir().join(format!("rustk8s-resolv-conf-{}", std::process::id()));
    std::fs::write(&file, "search a.cluster.local prod.svc.cluster.local svc.cluster.local\n").unwrap();
    let server = autopath(&format!("autopath {}", file.display()), "");
    let reply = server.ask("far.a.cluster.local.", RecordType::A);
    assert_eq!(shown(&reply)[1..], ["far.prod.svc.cluster.local. A 10.98.204.120"]);
    // A zone that is not ours; a plugin that is not there.
    let none = [
        autopath(&format!("autopath example.org {}", file.display()), ""),
        autopath("autopath @nobody", ""),
        autopath("autopath example.org @kubernetes", ""),
    ];
    for server in none {
        assert_eq!(rcode(&server.ask("far.a.cluster.local.", RecordType::A)), ResponseCode::NXDomain);
        assert_eq!(rcode(&server.ask("far.prod.dev.svc.cluster.local.", RecordType::A)), ResponseCode::NXDomain);
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn autopath_answers_are_cut_to_the_client() {
    let mut slice = String::from(
        "- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: many-1, namespace: prod, labels: {kubernetes.io/service-name: many}}, addressType: IPv4, ports: [{name: http, port: 80, protocol: TCP}], endpoints: [",
    );
    for number in 0..100 {
        write!(slice, "{{addresses: [10.244.1.{number}], conditions: {{ready: true}}}},").unwrap();
    }
    slice.push_str("]}");
    let server = autopath("autopath @kubernetes", &slice);
    let packet = query("many.prod.dev.svc.cluster.local.", RecordType::A);
    let cut = common::udp_bytes(server.addresses[0], &packet);
    assert!(cut.len() <= 512, "{}", cut.len());
    let cut = Message::from_vec(&cut).unwrap();
    assert!(cut.metadata.truncation && cut.answers.len() > 20, "{}", cut.answers.len());
    let whole = tcp(server.addresses[0], &packet);
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 101);
    // With EDNS: its size, and its record in the reply.
    let mut packet = packet;
    packet[11] = 1;
    packet.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
    let reply = udp(server.addresses[0], &packet);
    assert_eq!((reply.answers.len(), reply.metadata.truncation), (101, false));
    assert_eq!(reply.edns.as_ref().map(hickory_proto::op::Edns::max_payload), Some(4096));
    let services = tcp(server.addresses[0], &query("many.prod.dev.svc.cluster.local.", RecordType::SRV));
    assert_eq!((services.answers.len(), services.additionals.len()), (101, 100));
}

#[test]
fn metadata_is_logged() {
    let format = "{name} {/kubernetes/client-namespace} {/kubernetes/client-pod-name} {/kubernetes/client-label/app} {/kubernetes/client-label/no} {/kubernetes/namespace} {/kubernetes/service} [{/kubernetes/endpoint}] {/kubernetes/kind} {/log/type} {/log/class} {/other/fact}";
    let server = |metadata: &str| {
        let block =
            format!("bind 127.0.0.1\n{metadata}\nlog . \"{format}\"\nkubernetes cluster.local {{\npods verified\n}}");
        TestServer::start(&format!(". {{\n{block}\n}}"), &format!("{OBJECTS}{CLIENT}"))
    };
    let with = server("metadata cluster.local example.org");
    with.ask("ent.dev.svc.cluster.local.", RecordType::A);
    with.ask("nx.dev.svc.cluster.local.", RecordType::A);
    with.ask("www.example.org.", RecordType::A);
    with.ask("www.example.com.", RecordType::A);
    let expected = [
        "[INFO] ent.dev.svc.cluster.local. dev client web - dev ent [] svc NOERROR success -",
        "[INFO] nx.dev.svc.cluster.local. dev client web - dev nx [] svc NXDOMAIN denial -",
        "[INFO] www.example.org. dev client web - - - [-] - SERVERERROR error -",
        "[INFO] www.example.com. - - - - - - [-] - SERVERERROR error -",
    ];
    assert_eq!(with.log(), expected);
    let without = server("");
    without.ask("ent.dev.svc.cluster.local.", RecordType::A);
    assert_eq!(without.log(), ["[INFO] ent.dev.svc.cluster.local. - - - - - - [-] - - - -"]);
}
