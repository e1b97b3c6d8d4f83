//! What the engine offers beside resolving: transfers, search paths, metadata, the external view.
#![allow(clippy::unwrap_used)]

use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use hickory_proto::rr::RecordType::{self, A, AAAA, MX, NS, PTR, SRV};
use rustk8s::external::{ExternalConfig, ExternalView};
use rustk8s::wire::{Query, Transport};
use rustk8s::{Client, Config, Engine, Outcome, Scratch, Upstream, config::PodMode, object::Kind};

const CLUSTER: &str = include_str!("data/cluster.jsonl");
const NOW: u32 = 1_700_000_000;

fn engine(config: &Config) -> Engine {
    let mut engine = Engine::new(config).unwrap();
    engine.feed(CLUSTER.as_bytes(), NOW, |error| panic!("{error}"));
    for kind in Kind::ALL {
        engine.end_replace(kind, NOW);
    }
    engine.set_local_ips(&["10.9.9.9".parse().unwrap()]);
    engine
}

fn query(qname: &str, qtype: RecordType) -> Query {
    Query::ask(1, &rustk8s::name::from_text(qname).unwrap(), qtype.into()).unwrap()
}

fn line(record: &Record) -> String {
    format!("{} {} {}", record.name, record.record_type(), record.data)
}

fn add(engine: &mut Engine, object: &str) {
    engine.feed(format!(r#"{{"type":"ADDED","object":{object}}}"#).as_bytes(), NOW, |error| panic!("{error}"));
}

#[test]
fn a_transfer_has_every_record_between_two_soas() {
    let engine = engine(&Config::default());
    let mut transfer = engine.transfer(&query("cluster.local", RecordType::AXFR)).unwrap();
    let (mut lines, mut out) = (Vec::new(), Vec::new());
    while transfer.next_message(&mut out) {
        let message = Message::from_vec(&out).unwrap();
        assert!(message.metadata.authoritative && !message.metadata.truncation);
        lines.extend(message.answers.iter().map(line));
    }
    let soa = "cluster.local. SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 5";
    assert_eq!(lines.first().map(String::as_str), Some(soa));
    assert_eq!(lines.last().map(String::as_str), Some(soa));
    for expected in [
        "cluster.local. NS ns.dns.cluster.local.",
        "ns.dns.cluster.local. A 10.9.9.9",
        "web.dev.svc.cluster.local. A 10.0.0.1",
        "web.dev.svc.cluster.local. SRV 0 100 80 web.dev.svc.cluster.local.",
        "_http._tcp.web.dev.svc.cluster.local. SRV 0 100 80 web.dev.svc.cluster.local.",
        "_dns._udp.web.dev.svc.cluster.local. SRV 0 100 53 web.dev.svc.cluster.local.",
        "dual.dev.svc.cluster.local. AAAA fd00::a",
        "db.dev.svc.cluster.local. A 10.1.0.10",
        "db-0.db.dev.svc.cluster.local. AAAA fd00::1",
        "_sql._tcp.db.dev.svc.cluster.local. SRV 0 50 5432 db-1.db.dev.svc.cluster.local.",
        "out.dev.svc.cluster.local. CNAME www.Example.org.",
        "portless.dev.svc.cluster.local. A 10.0.0.3",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is missing from {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("nowhere.svc") || line.contains("10.1.0.12")), "{lines:#?}");
    assert!(engine.transfer(&query("svc.cluster.local", RecordType::AXFR)).is_none());
    assert!(engine.transfer(&query("example.org", RecordType::AXFR)).is_none());
}

#[test]
fn a_large_transfer_comes_in_several_messages() {
    let mut engine = engine(&Config::default());
    for index in 0..3000 {
        add(
            &mut engine,
            &format!(
                r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s{index}","namespace":"dev"}},"spec":{{"clusterIP":"10.7.{}.{}","ports":[{{"name":"http","port":80,"protocol":"TCP"}}]}}}}"#,
                index / 250,
                index % 250
            ),
        );
    }
    let mut transfer = engine.transfer(&query("cluster.local", RecordType::AXFR)).unwrap();
    let (mut records, mut messages, mut out) = (Vec::new(), 0, Vec::new());
    while transfer.next_message(&mut out) {
        messages += 1;
        records.extend(Message::from_vec(&out).unwrap().answers.iter().map(line));
    }
    assert!(messages > 5, "{messages}");
    for index in 0..3000 {
        let name = format!("s{index}.dev.svc.cluster.local.");
        assert_eq!(records.iter().filter(|line| line.starts_with(&name)).count(), 2, "{name}");
    }
}

#[test]
fn a_current_client_gets_the_soa_alone() {
    let engine = engine(&Config::default());
    for (serial, records) in [(NOW, 1), (NOW - 1, 2)] {
        let mut message = Message::query();
        let name = hickory_proto::rr::Name::from_ascii("cluster.local.").unwrap();
        message.add_query(hickory_proto::op::Query::query(name.clone(), RecordType::IXFR));
        let soa = hickory_proto::rr::rdata::SOA::new(name.clone(), name.clone(), serial, 1, 1, 1, 1);
        message.add_authority(Record::from_rdata(name, 0, hickory_proto::rr::RData::SOA(soa)));
        let mut query = Query::new();
        query.read(&message.to_vec().unwrap()).unwrap();
        assert_eq!(query.ixfr_serial(), Some(serial));
        let mut transfer = engine.transfer(&query).unwrap();
        let mut out = Vec::new();
        assert!(transfer.next_message(&mut out));
        let answers = Message::from_vec(&out).unwrap().answers;
        assert!(answers.len() >= records);
        assert_eq!(answers.len() == 1, records == 1);
    }
}

#[test]
fn a_pod_has_its_search_path() {
    let engine = engine(&Config { pods: PodMode::Verified, ..Config::default() });
    let resolv = [rustk8s::name::from_text("corp.example").unwrap()];
    let search = |client: &str, qname: &str| {
        let search = engine.autopath(&query(qname, A), client.parse().unwrap(), &resolv)?;
        Some(search.iter().map(|name| rustk8s::name::DisplayName(name).to_string()).collect::<Vec<_>>())
    };
    let expected = ["dev.svc.cluster.local.", "svc.cluster.local.", "cluster.local.", "corp.example.", "."];
    assert_eq!(search("10.1.0.1", "x.dev.svc.cluster.local").unwrap(), expected);
    assert_eq!(search("fd00:1::1", "x.dev.svc.cluster.local").unwrap(), expected);
    assert_eq!(search("10.1.0.9", "x.dev.svc.cluster.local"), None, "a finished pod");
    assert_eq!(search("10.1.0.1", "example.org"), None, "not our zone");
}

#[test]
fn a_shared_address_tells_a_namespace_only_if_it_is_one() {
    let mut engine = engine(&Config { pods: PodMode::Verified, ..Config::default() });
    let pod = |namespace: &str, name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"{namespace}"}},"status":{{"podIPs":[{{"ip":"192.0.2.5"}}]}}}}"#
        )
    };
    let client = "192.0.2.5".parse().unwrap();
    let ask = query("x.cluster.local", A);
    add(&mut engine, &pod("dev", "a"));
    add(&mut engine, &pod("dev", "b"));
    assert!(engine.autopath(&ask, client, &[]).is_some());
    add(&mut engine, &pod("prod", "c"));
    assert!(engine.autopath(&ask, client, &[]).is_none());
}

#[test]
fn metadata_says_who_asks_for_what() {
    let mut engine = engine(&Config { pods: PodMode::Verified, pod_labels: true, zonal: true, ..Config::default() });
    add(
        &mut engine,
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"q","namespace":"dev","labels":{"app":"shop"}},"status":{"podIPs":[{"ip":"10.1.0.50"}]}}"#,
    );
    let metadata = |qname: &str, client: &str| {
        let mut all = Vec::new();
        engine.metadata(&query(qname, SRV), client.parse().unwrap(), |key, value| {
            all.push(format!("{key}={}", String::from_utf8_lossy(value)));
        });
        all.join(" ")
    };
    assert_eq!(
        metadata("_http._tcp.web.dev.svc.cluster.local", "10.1.0.50"),
        "client-namespace=dev client-pod-name=q client-label/app=shop port-name=http protocol=tcp endpoint= zone= service=web namespace=dev kind=svc"
    );
    assert_eq!(
        metadata("ep.db.dev.svc.cluster.local", "10.9.9.1"),
        "port-name= protocol= endpoint=ep zone= service=db namespace=dev kind=svc"
    );
    assert_eq!(
        metadata("eu.west.pin._zone.db.dev.svc.cluster.local", "10.9.9.1"),
        "port-name= protocol= endpoint= zone=eu.west service=db namespace=dev kind=svc"
    );
    assert_eq!(metadata("x.y.cluster.local", "10.9.9.1"), "parse-error=invalid query name");
    assert_eq!(metadata("example.org", "10.9.9.1"), "");
}

fn external(engine: &Engine, view: &ExternalView, qname: &str, qtype: RecordType, upstream: &[Upstream<'_>]) -> String {
    let client = Client { addr: "127.0.0.1".parse().unwrap(), transport: Transport::Tcp };
    let (mut scratch, mut out) = (Scratch::new(), Vec::new());
    match engine.resolve_external(view, &query(qname, qtype), &client, upstream, &mut scratch, &mut out) {
        Outcome::Answer(rcode) => {
            let message = Message::from_vec(&out).unwrap();
            let mut lines = vec![rcode.name().to_string()];
            lines.extend(message.answers.iter().map(line));
            lines.extend(message.authorities.iter().map(|record| format!("auth {}", line(record))));
            lines.extend(message.additionals.iter().map(|record| format!("extra {}", line(record))));
            lines.join("\n")
        }
        Outcome::NeedUpstream { qtype } => {
            format!("upstream {} {}", rustk8s::name::DisplayName(scratch.target()), RecordType::from(qtype))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn the_external_view() {
    let mut engine = engine(&Config::default());
    add(
        &mut engine,
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"shop","namespace":"dev"},"spec":{"clusterIP":"10.0.0.50","externalIPs":["192.0.2.1"],"ports":[{"name":"http","port":80,"protocol":"TCP"}]},"status":{"loadBalancer":{"ingress":[{"ip":"2001:db8::1"}]}}}"#,
    );
    add(
        &mut engine,
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"named","namespace":"dev"},"spec":{"clusterIP":"10.0.0.51","ports":[{"name":"http","port":80,"protocol":"TCP"}]},"status":{"loadBalancer":{"ingress":[{"hostname":"lb.example.net"}]}}}"#,
    );
    let zones = vec!["example.com".to_string(), "in-addr.arpa".to_string()];
    let config = ExternalConfig { zones, ..ExternalConfig::default() };
    let view = ExternalView::new(&config).unwrap();
    let headless = ExternalView::new(&ExternalConfig { headless: true, ..config }).unwrap();
    let soa = format!("auth example.com. SOA ns1.dns.example.com. hostmaster.dns.example.com. {NOW} 7200 1800 86400 5");
    let nodata = format!("NOERROR\n{soa}");
    let nxdomain = format!("NXDOMAIN\n{soa}");
    for (view, qname, qtype, expected) in [
        (&view, "shop.dev.example.com", A, "NOERROR\nshop.dev.example.com. A 192.0.2.1"),
        (&view, "shop.dev.example.com", AAAA, "NOERROR\nshop.dev.example.com. AAAA 2001:db8::1"),
        (&view, "shop.dev.example.com", MX, &nodata),
        (&view, "web.dev.example.com", A, &nxdomain),
        (&view, "dev.example.com", A, &nodata),
        (&view, "nowhere.example.com", A, &nxdomain),
        (&view, "db.dev.example.com", A, &nxdomain),
        (
            &headless,
            "db.dev.example.com",
            A,
            "NOERROR\ndb.dev.example.com. A 10.1.0.10\ndb.dev.example.com. A 10.1.0.11",
        ),
        (&headless, "db-0.db.dev.example.com", A, "NOERROR\ndb-0.db.dev.example.com. A 10.1.0.10"),
        (
            &view,
            "_http._tcp.shop.dev.example.com",
            SRV,
            "NOERROR\n_http._tcp.shop.dev.example.com. SRV 0 50 80 shop.dev.example.com.\nextra shop.dev.example.com. A 192.0.2.1\nextra shop.dev.example.com. AAAA 2001:db8::1",
        ),
        (&view, "1.2.0.192.in-addr.arpa", PTR, "NOERROR\n1.2.0.192.in-addr.arpa. PTR shop.dev.example.com."),
        (
            &view,
            "example.com",
            NS,
            "NOERROR\nexample.com. NS ns1.dns.example.com.\nextra ns1.dns.example.com. A 10.9.9.9",
        ),
        (&view, "ns1.dns.example.com", A, "NOERROR\nns1.dns.example.com. A 10.9.9.9"),
        (&view, "dns.example.com", A, &nodata),
        (&view, "ns2.dns.example.com", A, &nxdomain),
        (&view, "named.dev.example.com", A, "upstream lb.example.net. A"),
        (&view, "named.dev.example.com", SRV, "upstream lb.example.net. A"),
        (&view, "shop.dev.example.org", A, "NotMine"),
    ] {
        assert_eq!(external(&engine, view, qname, qtype, &[]), expected, "{qname} {qtype}");
    }
    let failed = [Upstream::Failed];
    assert_eq!(
        external(&engine, &view, "named.dev.example.com", A, &failed),
        "NOERROR\nnamed.dev.example.com. CNAME lb.example.net."
    );
    let both = [Upstream::Failed, Upstream::Failed];
    assert_eq!(
        external(&engine, &view, "named.dev.example.com", SRV, &both),
        "NOERROR\nnamed.dev.example.com. SRV 0 100 80 lb.example.net."
    );
}
