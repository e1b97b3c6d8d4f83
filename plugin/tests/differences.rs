//! Where the engine answers otherwise than CoreDNS v1.15.0 on purpose: one test for each section of `tests/DIFFERENCES.md`, which
//! says why.
#![allow(clippy::unwrap_used)]

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType::{self, A, AAAA, CNAME, NS, PTR, SRV};
use rustk8s::wire::{Query, Rcode, Transport};
use rustk8s::{Client, Config, Engine, Outcome, Scratch, Upstream, config::PodMode, object::Kind};

const NOW: u32 = 1_700_000_000;
const LONG: &str = "a23456789-123456789-123456789-123456789-123456789-123456789-1234";

/// An engine that holds the Namespace `shop` and these objects, in JSON.
fn engine(config: Config, zones: &[&str], objects: &[String]) -> Engine {
    let zones = zones.iter().map(ToString::to_string).collect();
    let mut engine = Engine::new(&Config { zones, ..config }).unwrap();
    let namespace = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}"#.to_string();
    for object in objects.iter().chain([&namespace]) {
        let line = format!(r#"{{"type":"ADDED","object":{object}}}"#);
        engine.feed(line.as_bytes(), NOW, |error| panic!("{error}"));
    }
    for kind in Kind::ALL {
        engine.end_replace(kind, NOW);
    }
    engine.set_local_ips(&["10.9.9.9".parse().unwrap()]);
    engine
}

const ZONES: [&str; 3] = ["cluster.local", "in-addr.arpa", "ip6.arpa"];

fn headless(name: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}","namespace":"shop"}},"spec":{{"clusterIP":"None","clusterIPs":["None"],"ports":[{{"name":"http","port":80,"protocol":"TCP"}}]}}}}"#
    )
}

fn external(name: &str, target: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}","namespace":"shop"}},"spec":{{"type":"ExternalName","externalName":"{target}"}}}}"#
    )
}

/// A slice; `labels` and `endpoints` are JSON.
fn slice(name: &str, address_type: &str, labels: &str, endpoints: &str) -> String {
    format!(
        r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"{name}","namespace":"shop","labels":{labels}}},"addressType":"{address_type}","endpoints":{endpoints},"ports":[{{"name":"http","port":80,"protocol":"TCP"}}]}}"#
    )
}

const OF_WWW: &str = r#"{"kubernetes.io/service-name":"www"}"#;

/// The reply by TCP: the code, then the answers without TTL, sorted, owners left out.
fn ask(engine: &Engine, qname: &str, qtype: RecordType) -> String {
    let mut packet = Vec::new();
    let wire = rustk8s::name::from_text(qname).unwrap();
    Query::ask(7, &wire, qtype.into()).unwrap().write_error(Rcode::NO_ERROR, &mut packet);
    packet[2] &= 0x7f;
    reply(engine, &packet)
}

fn reply(engine: &Engine, packet: &[u8]) -> String {
    let mut query = Query::new();
    query.read(packet).unwrap();
    let client = Client { addr: "127.0.0.1".parse().unwrap(), transport: Transport::Tcp };
    let mut out = Vec::new();
    match engine.resolve(&query, &client, Upstream::Failed, &mut Scratch::new(), &mut out) {
        Outcome::Answer(_) => {}
        other => return format!("{other:?}"),
    }
    let message = Message::from_vec(&out).unwrap();
    let mut records: Vec<String> =
        message.answers.iter().map(|record| format!(" {} {}", record.record_type(), record.data)).collect();
    records.sort();
    format!("{}{}", Rcode(message.metadata.response_code.into()).name(), records.concat())
}

/// The name for the reverse look-up of an address.
fn reverse(address: &str) -> String {
    match address.parse().unwrap() {
        std::net::IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        std::net::IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa."
        }
    }
}

#[test]
fn fqdn_slices_are_ignored() {
    let objects = [
        headless("www"),
        slice("names", "FQDN", OF_WWW, r#"[{"addresses":["backend.example.test"]}]"#),
        slice("addresses", "IPv4", OF_WWW, r#"[{"addresses":["10.1.0.1"]}]"#),
    ];
    let engine = engine(Config::default(), &ZONES, &objects);
    assert_eq!(ask(&engine, "www.shop.svc.cluster.local.", A), "NOERROR A 10.1.0.1");
    assert_eq!(ask(&engine, "www.shop.svc.cluster.local.", CNAME), "NOERROR");
    assert_eq!(ask(&engine, "backend-example-test.www.shop.svc.cluster.local.", A), "NXDOMAIN");
}

#[test]
fn slices_without_a_service_have_no_names() {
    let objects = [
        slice("lost", "IPv4", "{}", r#"[{"addresses":["10.1.0.1"]},{"addresses":["10.1.0.2"]}]"#),
        slice("www", "IPv4", OF_WWW, r#"[{"addresses":["10.1.0.2"]}]"#),
    ];
    let engine = engine(Config::default(), &ZONES, &objects);
    assert_eq!(ask(&engine, &reverse("10.1.0.1"), PTR), "NXDOMAIN");
    assert_eq!(ask(&engine, &reverse("10.1.0.2"), PTR), "NOERROR PTR 10-1-0-2.www.shop.svc.cluster.local.");
}

#[test]
fn names_that_cannot_be_packed_are_left_out() {
    let endpoints =
        format!(r#"[{{"addresses":["10.1.0.1"],"hostname":"{LONG}"}},{{"addresses":["10.1.0.2"],"hostname":"b"}}]"#);
    let objects = [
        headless("www"),
        slice("www", "IPv4", OF_WWW, &endpoints),
        external("out", &format!("{LONG}.test")),
        external("chain", "out.shop.svc.cluster.local"),
    ];
    let engine = engine(Config::default(), &ZONES, &objects);
    assert_eq!(
        ask(&engine, "www.shop.svc.cluster.local.", SRV),
        "NOERROR SRV 0 50 80 10-1-0-1.www.shop.svc.cluster.local. SRV 0 50 80 b.www.shop.svc.cluster.local."
    );
    assert_eq!(ask(&engine, &reverse("10.1.0.1"), PTR), "NOERROR PTR 10-1-0-1.www.shop.svc.cluster.local.");
    for name in ["out", "chain"] {
        assert_eq!(ask(&engine, &format!("{name}.shop.svc.cluster.local."), A), "NOERROR");
    }
}

#[test]
fn ptr_in_the_root_zone() {
    let objects = [slice("www", "IPv4", OF_WWW, r#"[{"addresses":["10.1.0.1"],"hostname":"web-0"}]"#)];
    let engine = engine(Config::default(), &["."], &objects);
    assert_eq!(ask(&engine, &reverse("10.1.0.1"), PTR), "NOERROR PTR web-0.www.shop.svc.");
}

#[test]
fn the_name_server_of_the_root_zone() {
    let engine = engine(Config::default(), &["."], &[]);
    assert_eq!(ask(&engine, ".", NS), "NOERROR NS ns.dns.");
    assert_eq!(ask(&engine, "ns.dns.", A), "NOERROR A 10.9.9.9");
    assert_eq!(ask(&engine, "ns.dns.", AAAA), "NOERROR");
}

#[test]
fn name_servers_in_any_case() {
    let engine = engine(Config::default(), &ZONES, &[]);
    assert_eq!(ask(&engine, "Cluster.Local.", NS), "NOERROR NS ns.dns.Cluster.Local.");
    assert_eq!(ask(&engine, "NS.dns.cluster.Local.", A), "NOERROR A 10.9.9.9");
}

#[test]
fn the_name_server_of_a_doubled_zone_does_not_exist() {
    let engine = engine(Config::default(), &ZONES, &[]);
    assert_eq!(ask(&engine, "ns.dns.cluster.local.", A), "NOERROR A 10.9.9.9");
    assert_eq!(ask(&engine, "ns.dns.cluster.local.cluster.local.", A), "NXDOMAIN");
    assert_eq!(ask(&engine, "ns.dns.cluster.local.x.cluster.local.", A), "NXDOMAIN");
}

#[test]
fn queries_longer_than_512_octets_are_read() {
    let objects = [headless("www"), slice("www", "IPv4", OF_WWW, r#"[{"addresses":["10.1.0.1"]}]"#)];
    let engine = engine(Config::default(), &ZONES, &objects);
    let mut packet = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(&rustk8s::name::from_text("www.shop.svc.cluster.local.").unwrap());
    packet.extend_from_slice(&[0, 1, 0, 1]);
    // OPT with 1232 octets of room and an option of 600 octets of padding (RFC 7830).
    packet.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 2, 92, 0, 12, 2, 88]);
    packet.resize(packet.len() + 600, 0);
    assert_eq!(reply(&engine, &packet), "NOERROR A 10.1.0.1");
}

#[test]
fn addresses_are_found_whatever_their_spelling() {
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"shop"},"status":{"phase":"Running","podIP":"fd00:0:0::9","podIPs":[{"ip":"fd00:0:0::9"}]}}"#;
    let objects = [
        headless("www"),
        slice("www", "IPv6", OF_WWW, r#"[{"addresses":["FD00:0:0:0:0:0:0:1"]},{"addresses":["::ffff:10.1.0.2"]}]"#),
        pod.to_string(),
    ];
    let engine = engine(Config { pods: PodMode::Verified, ..Config::default() }, &ZONES, &objects);
    let spelled = "FD00-0-0-0-0-0-0-1.www.shop.svc.cluster.local.";
    assert_eq!(ask(&engine, &reverse("fd00::1"), PTR), format!("NOERROR PTR {spelled}"));
    assert_eq!(ask(&engine, spelled, AAAA), "NOERROR AAAA fd00::1");
    assert!(ask(&engine, &reverse("10.1.0.2"), PTR).starts_with("NOERROR PTR"));
    assert_eq!(ask(&engine, "fd00--9.shop.pod.cluster.local.", AAAA), "NOERROR AAAA fd00::9");
}

#[test]
fn several_differences_at_once() {
    let bad = format!(r#"[{{"addresses":["FD00:0:0:0:0:0:0:1"],"hostname":"{LONG}"}}]"#);
    let objects = [
        headless("www"),
        slice("lost", "IPv6", "{}", r#"[{"addresses":["fd00::1"]}]"#),
        slice("names", "FQDN", OF_WWW, r#"[{"addresses":["backend.example.test"]}]"#),
        slice("www", "IPv6", OF_WWW, &bad),
    ];
    let engine = engine(Config::default(), &ZONES, &objects);
    assert_eq!(ask(&engine, &reverse("fd00::1"), PTR), "NOERROR PTR FD00-0-0-0-0-0-0-1.www.shop.svc.cluster.local.");
    assert_eq!(ask(&engine, "www.shop.svc.cluster.local.", AAAA), "NOERROR AAAA fd00::1");
}

#[test]
fn not_equal_in_a_selector() {
    let engine = Engine::new(&Config {
        zones: vec!["cluster.local".to_string()],
        labels: Some("tier!=gold".to_string()),
        ..Config::default()
    });
    assert!(engine.is_ok());
    let selector = rustk8s::selector::LabelSelector::parse("tier!=gold").unwrap();
    // Its canonical form, which has the same meaning.
    assert_eq!(selector.to_string(), "tier notin (gold)");
}

#[test]
fn an_alias_of_the_external_view_is_written_once() {
    use rustk8s::external::{ExternalConfig, ExternalView};
    let mut engine = Engine::new(&Config::default()).unwrap();
    let events = r#"
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"dev"}}}
{"type":"ADDED","object":{"apiVersion":"v1","kind":"Service","metadata":{"name":"shop","namespace":"dev"},"spec":{"clusterIP":"10.0.0.1","ports":[{"name":"a","port":1,"protocol":"TCP"},{"name":"b","port":2,"protocol":"TCP"}]},"status":{"loadBalancer":{"ingress":[{"hostname":"lb.example.net"}]}}}}
"#;
    engine.feed(events.as_bytes(), 1, |error| panic!("{error}"));
    let zones = vec!["example.com".to_string()];
    let view = ExternalView::new(&ExternalConfig { zones, ..ExternalConfig::default() }).unwrap();
    let query = Query::ask(1, &rustk8s::name::from_text("shop.dev.example.com").unwrap(), 1).unwrap();
    let client = Client { addr: "127.0.0.1".parse().unwrap(), transport: Transport::Tcp };
    let (mut scratch, mut out) = (Scratch::new(), Vec::new());
    engine.resolve_external(&view, &query, &client, &[Upstream::Failed], &mut scratch, &mut out);
    let message = Message::from_vec(&out).unwrap();
    assert_eq!(message.answers.len(), 1, "{message}");
}
