//! The server as clients see it: UDP and TCP, IPv4 and IPv6, which block answers, and what hostile clients get.
#![allow(clippy::unwrap_used)]

mod common;

use common::{TestServer, answers, frame, loopback, query, read_frame, tcp, tcp_client, udp, udp_bytes, udp_client};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};

const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: dev}}
- {apiVersion: v1, kind: Service, metadata: {name: ent, namespace: dev}, spec: {clusterIP: 10.98.204.110, clusterIPs: [10.98.204.110], ports: [{name: http, port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: out, namespace: dev}, spec: {type: ExternalName, externalName: ent.dev.svc.other.local}}
- {apiVersion: v1, kind: Service, metadata: {name: lost, namespace: dev}, spec: {type: ExternalName, externalName: www.example.org}}
- {apiVersion: v1, kind: Service, metadata: {name: ring, namespace: dev}, spec: {type: ExternalName, externalName: back.dev.svc.other.local}}
- {apiVersion: v1, kind: Service, metadata: {name: back, namespace: dev}, spec: {type: ExternalName, externalName: ring.dev.svc.cluster.local}}
";

const ENT: &str = "ent.dev.svc.cluster.local.";

fn both_families() -> TestServer {
    let addresses: Vec<_> = loopback().iter().map(ToString::to_string).collect();
    TestServer::start(&format!("cluster.local in-addr.arpa {{\nbind {}\nkubernetes\n}}", addresses.join(" ")), OBJECTS)
}

#[test]
fn udp_and_tcp_over_both_families() {
    let server = both_families();
    assert_eq!(server.addresses.iter().map(SocketAddr::ip).collect::<Vec<_>>(), loopback());
    assert!(server.addresses.iter().all(|address| address.port() == server.addresses[0].port()));
    for address in &server.addresses {
        for reply in [udp(*address, &query(ENT, RecordType::A)), tcp(*address, &query(ENT, RecordType::A))] {
            assert_eq!(answers(&reply), ["10.98.204.110"]);
            assert_eq!(reply.metadata.id, 4711);
            assert!(reply.metadata.authoritative && reply.metadata.recursion_desired);
        }
    }
}

#[test]
fn many_clients_at_once_get_their_own_answers() {
    let server = both_families();
    let address = server.addresses[0];
    std::thread::scope(|scope| {
        for client in 0..4_u16 {
            scope.spawn(move || {
                let socket = udp_client(address);
                let mut buffer = [0; 512];
                for number in 0..200_u16 {
                    let mut packet = query(ENT, RecordType::A);
                    let id = client * 1000 + number;
                    packet[..2].copy_from_slice(&id.to_be_bytes());
                    socket.send(&packet).unwrap();
                    let length = socket.recv(&mut buffer).unwrap();
                    assert_eq!(buffer[..2], id.to_be_bytes());
                    assert!(length > packet.len());
                }
            });
        }
    });
}

#[test]
fn the_longest_zone_answers_and_others_are_refused() {
    let corefile = "
cluster.local {
    bind 127.0.0.1
    kubernetes
}
local {
    bind 127.0.0.1
    errors
    kubernetes other.local
}
empty.org {
    bind 127.0.0.1
}";
    let server = TestServer::start(corefile, OBJECTS);
    let rcode = |qname: &str| server.ask(qname, RecordType::A).metadata.response_code;
    assert_eq!(rcode(ENT), ResponseCode::NoError);
    assert_eq!(rcode("ENT.dev.svc.Cluster.LOCAL."), ResponseCode::NoError);
    assert_eq!(rcode("ent.dev.svc.other.local."), ResponseCode::NoError);
    assert_eq!(rcode("nx.dev.svc.cluster.local."), ResponseCode::NXDomain);
    // In a zone of the block, in none of its plugin: nobody is next.
    assert_eq!(rcode("www.third.local."), ResponseCode::ServFail);
    assert_eq!(server.log(), ["[ERROR] plugin/errors: 2 www.third.local. A: plugin/kubernetes: no next plugin found"]);
    // No block, and a block without plugins.
    for qname in ["example.org.", "a.empty.org.", "."] {
        let reply = server.ask(qname, RecordType::A);
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused, "{qname}");
        assert!(!reply.metadata.authoritative);
    }
    // DS belongs to the parent, which knows no such zone.
    let ds = server.ask("cluster.local.", RecordType::DS);
    assert_eq!(ds.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(server.ask(ENT, RecordType::AXFR).metadata.response_code, ResponseCode::Refused);
}

#[test]
fn aliases_are_followed_through_other_server_blocks() {
    let corefile = "
cluster.local {
    bind 127.0.0.1
    kubernetes
}
other.local {
    bind 127.0.0.1
    kubernetes
}";
    let server = TestServer::start(corefile, OBJECTS);
    for ask in [udp, tcp] {
        let reply = ask(server.addresses[0], &query("out.dev.svc.cluster.local.", RecordType::A));
        assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
        assert_eq!(answers(&reply), ["10.98.204.110", "ent.dev.svc.other.local."]);
        // Nobody here serves example.org: the alias alone is the answer.
        let reply = ask(server.addresses[0], &query("lost.dev.svc.cluster.local.", RecordType::A));
        assert_eq!(answers(&reply), ["www.example.org."]);
        // Two aliases that name each other end.
        let reply = ask(server.addresses[0], &query("ring.dev.svc.cluster.local.", RecordType::A));
        assert_eq!(reply.metadata.id, 4711);
    }
}

#[test]
fn malformed_packets_get_what_coredns_says_and_hurt_nobody() {
    let server = both_families();
    let address = server.addresses[0];
    let good = query(ENT, RecordType::A);
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        edit(&mut packet);
        packet
    };
    let rcode = |packet: &[u8]| udp_bytes(address, packet)[3] & 0xf;
    // QDCOUNT of 0 and of 2; an opcode that is not served; class CH; a pointer to itself; a reserved label; cut short.
    assert_eq!(rcode(&edited(&|packet| packet[5] = 0)), 1);
    assert_eq!(rcode(&edited(&|packet| packet[5] = 2)), 1);
    assert_eq!(rcode(&edited(&|packet| packet[2] = 0x28)), 4);
    assert_eq!(rcode(&edited(&|packet| *packet.last_mut().unwrap() = 3)), 5);
    assert_eq!(rcode(&edited(&|packet| packet[12..14].copy_from_slice(&[0xc0, 12]))), 1);
    assert_eq!(rcode(&edited(&|packet| packet[12] = 0x40)), 1);
    assert_eq!(rcode(&good[..20]), 1);
    // Bytes after the end are nothing.
    assert_eq!(rcode(&edited(&|packet| packet.push(0))), 0);
    // Silence for what is no query at all: the next reply is that of the next query.
    let client = udp_client(address);
    for packet in [&[][..], &[7; 11], &edited(&|packet| packet[2] |= 0x80)] {
        client.send(packet).unwrap();
    }
    client.send(&good).unwrap();
    let mut buffer = [0; 512];
    client.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..2], good[..2]);
    // Every single byte of a query, wrong in several ways.
    for place in 0..good.len() {
        for byte in [0, 0x3f, 0x80, 0xc0, 0xff] {
            client.send(&edited(&|packet| packet[place] = byte)).unwrap();
        }
        client.send(&good[..place]).unwrap();
    }
    client.send(&vec![0xff; 65_000]).unwrap();
    assert_eq!(answers(&udp(address, &good)), ["10.98.204.110"]);
}

#[test]
fn edns_version_and_size() {
    let server = both_families();
    let mut packet = query(ENT, RecordType::A);
    // An OPT record with version 1: BADVERS, rcode 16, of which the header holds the lower half.
    packet[11] = 1;
    packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0]);
    let reply = udp_bytes(server.addresses[0], &packet);
    assert_eq!(reply[3] & 0xf, 0);
    assert_eq!(reply[reply.len() - 6], 1);
}

#[test]
fn tcp_is_pipelined_and_survives_odd_clients() {
    let server = both_families();
    let mut stream = tcp_client(server.addresses[0]);
    // Several in one write, one byte by byte.
    let mut bytes = Vec::new();
    for id in 0..50_u16 {
        let mut packet = query(if id % 2 == 0 { ENT } else { "lost.dev.svc.cluster.local." }, RecordType::A);
        packet[..2].copy_from_slice(&id.to_be_bytes());
        bytes.extend(frame(&packet));
    }
    stream.write_all(&bytes).unwrap();
    for byte in frame(&query(ENT, RecordType::A)) {
        stream.write_all(&[byte]).unwrap();
    }
    let mut ids: Vec<_> = (0..51).map(|_| read_frame(&mut stream).metadata.id).collect();
    ids.sort_unstable();
    let expected: Vec<u16> = (0..50).chain([4711]).collect();
    assert_eq!(ids, expected);
    // A message of no length, and one that is no query: no reply, and the connection goes on.
    stream.write_all(&[0, 0]).unwrap();
    stream.write_all(&frame(&[1; 5])).unwrap();
    stream.write_all(&frame(&query(ENT, RecordType::A))).unwrap();
    assert_eq!(read_frame(&mut stream).metadata.id, 4711);
    // The end of the client's half is not the end of its answers.
    stream.write_all(&frame(&query("out.dev.svc.cluster.local.", RecordType::A))).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_frame(&mut stream).metadata.id, 4711);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    // A client that begins and does not go on is let go.
    let mut stuck = tcp_client(server.addresses[0]);
    stuck.write_all(&[0, 40, 1]).unwrap();
    assert_eq!(stuck.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn long_answers_are_cut_for_udp_and_whole_over_tcp() {
    let addresses: Vec<_> = (1..=100).map(|number| format!("{{addresses: [10.1.0.{number}]}}")).collect();
    let objects = format!(
        "{OBJECTS}- {{apiVersion: v1, kind: Service, metadata: {{name: many, namespace: dev}}, spec: {{clusterIP: None, clusterIPs: [None], ports: [{{port: 80}}]}}}}
- {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: many-1, namespace: dev, labels: {{kubernetes.io/service-name: many}}}}, ports: [{{port: 80}}], endpoints: [{}]}}
",
        addresses.join(", ")
    );
    let server = TestServer::start("cluster.local {\nbind 127.0.0.1\nkubernetes\n}", &objects);
    let packet = query("many.dev.svc.cluster.local.", RecordType::A);
    let cut = udp_bytes(server.addresses[0], &packet);
    assert!(cut.len() <= 512 && cut[2] & 2 != 0);
    let whole = tcp(server.addresses[0], &packet);
    assert_eq!((whole.answers.len(), whole.metadata.truncation), (100, false));
}

#[test]
fn queries_are_logged() {
    let server = TestServer::start("cluster.local {\nbind 127.0.0.1\nlog\nkubernetes\n}", OBJECTS);
    let client = udp_client(server.addresses[0]);
    client.send(&query("Ent.dev.svc.cluster.local.", RecordType::A)).unwrap();
    client.recv(&mut [0; 512]).unwrap();
    tcp(server.addresses[0], &query("out.dev.svc.cluster.local.", RecordType::AAAA));
    let lines = server.log();
    let port = client.local_addr().unwrap().port();
    let expected = format!(
        "[INFO] 127.0.0.1:{port} - 4711 \"A IN ent.dev.svc.cluster.local. udp 43 false 512\" NOERROR qr,aa,rd "
    );
    assert!(lines[0].starts_with(&expected), "{lines:?}");
    assert!(lines[1].contains("\"AAAA IN out.dev.svc.cluster.local. tcp 43 false 65535\" NOERROR"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

/// What a GET gives: the status and the body.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = tcp_client(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn health_and_ready_and_the_lameduck_time() {
    let corefile = "
cluster.local {
    bind 127.0.0.1
    health 127.0.0.1:0 {
        lameduck 1500ms
    }
    kubernetes
}
other.local {
    bind 127.0.0.1
    ready 127.0.0.1:0
    kubernetes
}";
    let mut server = TestServer::start(corefile, OBJECTS);
    let [one, two] = server.http[..] else { panic!("{:?}", server.http) };
    let (health, ready) = if get(one, "/health").0 == 200 { (one, two) } else { (two, one) };
    assert_eq!(get(health, "/health"), (200, "OK".to_owned()));
    assert_eq!(get(ready, "/ready"), (200, "OK".to_owned()));
    let address = server.addresses[0];
    let stopping = server.begin_stop();
    // Not ready, and answering on.
    while get(ready, "/ready") != (503, "Shutting down".to_owned()) {}
    assert_eq!(get(health, "/health").0, 200);
    assert_eq!(answers(&udp(address, &query(ENT, RecordType::A))), ["10.98.204.110"]);
    server.wait(stopping);
    assert!(std::net::TcpStream::connect(health).is_err());
    // The port is free again.
    UdpSocket::bind(address).unwrap();
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_busy_port_stops_the_start_and_nothing_stays() {
    let busy = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let corefile = format!(
        "cluster.local:{free} {{\nbind 127.0.0.1\nkubernetes\n}}\ncluster.local:{port} {{\nbind 127.0.0.1\nkubernetes\n}}"
    );
    let Err(error) = TestServer::try_start(&corefile, None, OBJECTS) else { panic!("started") };
    let text = error.to_string();
    assert!(text.starts_with(&format!("UDP 127.0.0.1:{port} is in use by another process; choose")), "{text}");
    assert_eq!((error.exit_code(), text.contains('\n')), (2, false));
    UdpSocket::bind(("127.0.0.1", free)).unwrap();
    // A second server of ours does not take a part of the first one's queries.
    let server = both_families();
    let port = server.addresses[0].port();
    let again = format!("cluster.local:{port} {{\nbind 127.0.0.1\nkubernetes\n}}");
    assert!(TestServer::try_start(&again, None, OBJECTS).is_err());
}

#[test]
fn what_cannot_be_served_stops_the_start_with_its_line() {
    let corefile = "cluster.local {\nbind 127.0.0.1\nerrors {\nconsolidate 5m \\pL+\n}\nkubernetes\n}";
    let Err(error) = TestServer::try_start(corefile, Some(0), OBJECTS) else { panic!("started") };
    let expected = "Corefile:3: directive 'errors': option 'consolidate': pattern '\\pL+': ";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(error.exit_code(), 2);
}
