//! The naming rules, case by case: what each kind of name answers, after CoreDNS's `kubernetes` plugin and the
//! Kubernetes DNS specification 1.1.0. The cluster is `data/cluster.jsonl`, a small one with one of each.
#![allow(clippy::unwrap_used)]

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType::{self, A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
use rustk8s::wire::{Query, Rcode, Transport};
use rustk8s::{Client, Config, Engine, Outcome, Scratch, Upstream, config::PodMode, object::Kind};
use std::fmt::Write;

const CLUSTER: &str = include_str!("data/cluster.jsonl");
const NOW: u32 = 1_700_000_000;

fn engine(config: Config) -> Engine {
    let zones = ["cluster.local", "in-addr.arpa", "ip6.arpa", "clusterset.local"].map(String::from).to_vec();
    let mut engine = Engine::new(&Config { zones, ..config }).unwrap();
    feed(&mut engine, CLUSTER);
    for kind in Kind::ALL {
        engine.end_replace(kind, NOW);
    }
    engine.set_local_ips(&["10.9.9.9".parse().unwrap(), "127.0.0.1".parse().unwrap()]);
    engine
}

fn feed(engine: &mut Engine, lines: &str) {
    engine.feed(lines.as_bytes(), NOW, |error| panic!("{error}"));
}

/// Asks over TCP and prints the reply: rcode, then the records, sorted within each section, without TTLs of 5.
fn ask_with(engine: &Engine, qname: &str, qtype: RecordType, upstream: Upstream<'_>) -> String {
    let qname = if qname.ends_with('.') { qname.to_string() } else { format!("{qname}.cluster.local.") };
    let mut out = Vec::new();
    let mut query = Query::ask(7, &rustk8s::name::from_text(&qname).unwrap(), qtype.into()).unwrap();
    // Written and read back, so that reading is part of every case.
    query.write_error(Rcode::NO_ERROR, &mut out);
    out[2] &= 0x7f;
    query.read(&out.clone()).unwrap();
    let client = Client { addr: "127.0.0.1".parse().unwrap(), transport: Transport::Tcp };
    let mut scratch = Scratch::new();
    match engine.resolve(&query, &client, upstream, &mut scratch, &mut out) {
        Outcome::Answer(_) => {}
        Outcome::NeedUpstream { qtype } => {
            return format!("upstream {} {}", rustk8s::name::DisplayName(scratch.target()), RecordType::from(qtype));
        }
        other => return format!("{other:?}"),
    }
    let message = Message::from_vec(&out).unwrap();
    assert!(message.metadata.authoritative && !message.metadata.recursion_available, "{message}");
    let mut text = Rcode(message.metadata.response_code.into()).name().to_string();
    for (section, records) in
        [("", &message.answers), ("auth ", &message.authorities), ("extra ", &message.additionals)]
    {
        let line = |record: &hickory_proto::rr::Record| {
            let ttl = if record.ttl == 5 { String::new() } else { format!(" {}", record.ttl) };
            format!("{section}{}{ttl} {} {}", record.name, record.record_type(), record.data)
        };
        let mut lines: Vec<String> = records.iter().map(line).collect();
        lines.sort();
        for line in lines {
            write!(text, "\n{line}").unwrap();
        }
    }
    text
}

fn ask(engine: &Engine, qname: &str, qtype: RecordType) -> String {
    ask_with(engine, qname, qtype, Upstream::NotAsked)
}

const NXDOMAIN: &str = "NXDOMAIN";
const NODATA: &str = "NODATA";

/// Runs a table: name (below cluster.local unless it ends in a dot), type, expected answer. Of an answer's lines the
/// owner is left out where it is the name asked.
fn check(config: Config, cases: &[(&str, RecordType, &str)]) {
    let engine = engine(config);
    for (name, qtype, expected) in cases {
        let answer = ask(&engine, name, *qtype);
        let owner = if name.ends_with('.') { (*name).to_string() } else { format!("{name}.cluster.local.") };
        let zone =
            ["in-addr.arpa.", "ip6.arpa."].into_iter().find(|zone| owner.ends_with(zone)).unwrap_or("cluster.local.");
        let soa = format!("auth {zone} SOA ns.dns.{zone} hostmaster.{zone} {NOW} 7200 1800 86400 5");
        let expected = match *expected {
            NXDOMAIN => format!("NXDOMAIN\n{soa}"),
            NODATA => format!("NOERROR\n{soa}"),
            special if special.starts_with(['@', 'N']) => special.trim_start_matches('@').to_string(),
            records => format!("NOERROR\n{records}").replace("\n~", &format!("\n{owner}")),
        };
        assert_eq!(answer, expected, "{name} {qtype}");
    }
}

#[test]
fn services() {
    check(
        Config::default(),
        &[
            ("web.dev.svc", A, "~ A 10.0.0.1"),
            ("WEB.Dev.svc", A, "~ A 10.0.0.1"),
            ("web.prod.svc", A, "~ A 10.0.1.1"),
            ("web.dev.svc", AAAA, NODATA),
            ("web.dev.svc", MX, NODATA),
            ("web.dev.svc", TXT, NODATA),
            ("web.dev.svc", PTR, NODATA),
            ("web.dev.svc", CNAME, NODATA),
            ("web.dev.svc", NS, NODATA),
            ("web.dev.svc", SOA, NODATA),
            ("gone.dev.svc", A, NXDOMAIN),
            ("gone.dev.svc", MX, NXDOMAIN),
            // SOA is NODATA below the apex whether the name exists or not.
            ("gone.dev.svc", SOA, NODATA),
            ("web.staging.svc", A, NXDOMAIN),
            // The namespace is not there, so neither is what is in it.
            ("lost.nowhere.svc", A, NXDOMAIN),
            ("dual.dev.svc", A, "~ A 10.0.0.2"),
            ("dual.dev.svc", AAAA, "~ AAAA fd00::a"),
            ("portless.dev.svc", A, "~ A 10.0.0.3"),
            ("portless.dev.svc", SRV, NODATA),
            ("_http._tcp.web.dev.svc", A, "~ A 10.0.0.1"),
            ("http.tcp.web.dev.svc", A, "~ A 10.0.0.1"),
            ("_http._udp.web.dev.svc", A, NXDOMAIN),
            ("_x._tcp.web.dev.svc", A, NXDOMAIN),
            ("a._http._tcp.web.dev.svc", A, NXDOMAIN),
        ],
    );
}

#[test]
fn service_records() {
    check(
        Config::default(),
        &[
            (
                "_http._tcp.web.dev.svc",
                SRV,
                "~ SRV 0 100 80 web.dev.svc.cluster.local.\nextra web.dev.svc.cluster.local. A 10.0.0.1",
            ),
            (
                "web.dev.svc",
                SRV,
                "~ SRV 0 50 53 web.dev.svc.cluster.local.\n~ SRV 0 50 80 web.dev.svc.cluster.local.\nextra web.dev.svc.cluster.local. A 10.0.0.1",
            ),
            (
                "_HTTP._tcp.Dual.dev.svc",
                SRV,
                "~ SRV 0 50 80 dual.dev.svc.cluster.local.\nextra dual.dev.svc.cluster.local. A 10.0.0.2\nextra dual.dev.svc.cluster.local. AAAA fd00::a",
            ),
            ("_x._tcp.web.dev.svc", SRV, NXDOMAIN),
            (
                "_sql._tcp.db.dev.svc",
                SRV,
                "~ SRV 0 25 5432 db-0.db.dev.svc.cluster.local.\n~ SRV 0 25 5432 db-1.db.dev.svc.cluster.local.\n~ SRV 0 25 5432 fd00--0.db.dev.svc.cluster.local.\nextra db-0.db.dev.svc.cluster.local. A 10.1.0.10\nextra db-0.db.dev.svc.cluster.local. AAAA fd00::1\nextra db-1.db.dev.svc.cluster.local. A 10.1.0.11\nextra fd00--0.db.dev.svc.cluster.local. AAAA fd00::",
            ),
            ("empty.dev.svc", SRV, NXDOMAIN),
            ("out.dev.svc", SRV, NODATA),
            ("svc", SRV, NODATA),
        ],
    );
}

#[test]
fn headless_services_and_endpoints() {
    check(
        Config::default(),
        &[
            ("db.dev.svc", A, "~ A 10.1.0.10\n~ A 10.1.0.11"),
            ("db.dev.svc", AAAA, "~ AAAA fd00::\n~ AAAA fd00::1"),
            ("db-0.db.dev.svc", A, "~ A 10.1.0.10"),
            ("DB-0.db.dev.svc", AAAA, "~ AAAA fd00::1"),
            ("db-1.db.dev.svc", AAAA, NODATA),
            ("db-2.db.dev.svc", A, NXDOMAIN),
            ("fd00--0.db.dev.svc", AAAA, "~ AAAA fd00::"),
            ("10-1-0-10.db.dev.svc", A, NXDOMAIN),
            ("empty.dev.svc", A, NXDOMAIN),
            // Endpoint names work under a ClusterIP Service as well.
            ("10-1-0-1.web.dev.svc", A, "~ A 10.1.0.1"),
            ("10-1-0-2.web.dev.svc", A, NXDOMAIN),
            (
                "10-1-0-1.web.dev.svc",
                SRV,
                "~ SRV 0 100 8080 10-1-0-1.web.dev.svc.cluster.local.\nextra 10-1-0-1.web.dev.svc.cluster.local. A 10.1.0.1",
            ),
            ("web-abc.web.dev.svc", A, NXDOMAIN),
        ],
    );
    check(
        Config { endpoint_pod_names: true, ..Config::default() },
        &[
            ("web-abc.web.dev.svc", A, "~ A 10.1.0.1"),
            ("10-1-0-1.web.dev.svc", A, NXDOMAIN),
            ("db-0.db.dev.svc", A, "~ A 10.1.0.10"),
        ],
    );
}

#[test]
fn the_apex_and_names_without_records() {
    check(
        Config::default(),
        &[
            ("cluster.local.", A, NODATA),
            ("svc", A, NODATA),
            ("pod", A, NODATA),
            ("dev.svc", A, NODATA),
            ("nowhere.svc", A, NXDOMAIN),
            ("other", A, NXDOMAIN),
            ("dev.other", A, NXDOMAIN),
            ("cluster.local.", TXT, NXDOMAIN),
            ("dev.svc", TXT, NXDOMAIN),
            ("dns-version", TXT, "dns-version.cluster.local. 28800 TXT 1.1.0"),
            ("dns-version", A, NXDOMAIN),
            (
                "cluster.local.",
                SOA,
                "~ SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 5",
            ),
            ("Cluster.Local.", NS, "~ NS ns.dns.Cluster.Local.\nextra ns.dns.Cluster.Local. A 10.9.9.9"),
            ("ns.dns", A, "~ A 10.9.9.9"),
            ("ns.dns", AAAA, NODATA),
            ("ns.dns", SRV, NODATA),
            ("ns.dns", TXT, NXDOMAIN),
            ("ns.dns", PTR, NXDOMAIN),
            ("example.org.", A, "@NotMine"),
            ("xcluster.local.", A, "@NotMine"),
            ("cluster.local.", RecordType::AXFR, "@Transfer"),
        ],
    );
}

#[test]
fn name_servers_are_the_services_in_front_of_us() {
    let mut engine = engine(Config::default());
    engine.set_local_ips(&["10.1.0.1".parse().unwrap()]);
    assert_eq!(
        ask(&engine, "cluster.local.", NS),
        "NOERROR\ncluster.local. NS web.dev.svc.cluster.local.\nextra web.dev.svc.cluster.local. A 10.0.0.1"
    );
    engine.set_local_ips(&["10.1.0.11".parse().unwrap()]);
    assert_eq!(
        ask(&engine, "cluster.local.", NS),
        "NOERROR\ncluster.local. NS db-0.db.dev.svc.cluster.local.\ncluster.local. NS db-1.db.dev.svc.cluster.local.\nextra db-0.db.dev.svc.cluster.local. A 10.1.0.10\nextra db-1.db.dev.svc.cluster.local. A 10.1.0.11"
    );
    engine.set_local_ips(&[]);
    assert!(ask(&engine, "cluster.local.", NS).starts_with("NOERROR\nauth"));
}

#[test]
fn aliases() {
    check(
        Config::default(),
        &[
            ("out.dev.svc", A, "@upstream www.Example.org. A"),
            ("out.dev.svc", AAAA, "@upstream www.Example.org. AAAA"),
            ("out.dev.svc", CNAME, "~ CNAME www.Example.org."),
            ("out.dev.svc", MX, NODATA),
            ("out.dev.svc", TXT, NODATA),
            ("x.out.dev.svc", A, NXDOMAIN),
            ("_http._tcp.out.dev.svc", A, NXDOMAIN),
            (
                "in.dev.svc",
                A,
                "hop.dev.svc.cluster.local. CNAME web.prod.svc.cluster.local.\n~ CNAME hop.dev.svc.cluster.local.\nweb.prod.svc.cluster.local. A 10.0.1.1",
            ),
            ("in.dev.svc", AAAA, NODATA),
            ("loop.dev.svc", A, NODATA),
            ("nowhere.dev.svc", A, NODATA),
            ("number.dev.svc", A, NXDOMAIN),
        ],
    );
}

#[test]
fn what_upstream_says_comes_behind_the_alias() {
    use hickory_proto::rr::{Name, RData, Record, rdata};
    let engine = engine(Config::default());
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let mut upstream = Message::response(9, hickory_proto::op::OpCode::Query);
    let alias = RData::CNAME(rdata::CNAME(name("cdn.example.org.")));
    upstream.add_answer(Record::from_rdata(name("www.example.org."), 60, alias));
    upstream.add_answer(Record::from_rdata(name("cdn.example.org."), 60, RData::A("192.0.2.7".parse().unwrap())));
    let packet = upstream.to_vec().unwrap();
    assert_eq!(
        ask_with(&engine, "out.dev.svc", A, Upstream::Answer(&packet)),
        "NOERROR\ncdn.example.org. 60 A 192.0.2.7\nout.dev.svc.cluster.local. CNAME www.Example.org.\nwww.example.org. 60 CNAME cdn.example.org."
    );
    for failed in [Upstream::Failed, Upstream::Answer(b"short")] {
        assert!(ask_with(&engine, "out.dev.svc", A, failed).starts_with("NOERROR\nauth"));
    }
}

#[test]
fn a_chain_of_aliases_has_an_end() {
    let mut engine = engine(Config::default());
    for link in 0..=20 {
        let spec = if link == 20 {
            r#""clusterIP":"10.0.0.20","ports":[{"port":1,"protocol":"TCP"}]"#.to_string()
        } else {
            format!(r#""type":"ExternalName","externalName":"l{}.dev.svc.cluster.local""#, link + 1)
        };
        let object = format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"l{link}","namespace":"dev"}},"spec":{{{spec}}}}}"#
        );
        feed(&mut engine, &format!(r#"{{"type":"ADDED","object":{object}}}"#));
    }
    // Eleven links reach the end, as in CoreDNS; twelve do not.
    assert!(ask(&engine, "l9.dev.svc", A).contains("l20.dev.svc.cluster.local. A 10.0.0.20"));
    assert!(ask(&engine, "l8.dev.svc", A).starts_with("NOERROR\nauth"));
}

#[test]
fn reverse() {
    check(
        Config::default(),
        &[
            ("1.0.0.10.in-addr.arpa.", PTR, "~ PTR web.dev.svc.cluster.local."),
            ("10.0.1.10.in-addr.arpa.", PTR, "~ PTR db-0.db.dev.svc.cluster.local."),
            ("1.0.1.10.in-addr.arpa.", PTR, "~ PTR 10-1-0-1.web.dev.svc.cluster.local."),
            ("2.0.1.10.in-addr.arpa.", PTR, NXDOMAIN),
            ("9.9.9.9.in-addr.arpa.", PTR, NXDOMAIN),
            ("1.0.0.10.in-addr.arpa.", A, NXDOMAIN),
            ("in-addr.arpa.", PTR, NODATA),
            ("svc.in-addr.arpa.", A, NODATA),
            ("dev.svc.in-addr.arpa.", A, NXDOMAIN),
            (
                "a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                PTR,
                "~ PTR dual.dev.svc.cluster.local.",
            ),
            // A Service whose namespace is not there is found all the same, unless `namespaces` is used.
            ("5.0.0.10.in-addr.arpa.", PTR, "~ PTR lost.nowhere.svc.cluster.local."),
        ],
    );
    check(
        Config { namespaces: vec!["prod".into()], ..Config::default() },
        &[
            ("1.1.0.10.in-addr.arpa.", PTR, "~ PTR web.prod.svc.cluster.local."),
            ("1.0.0.10.in-addr.arpa.", PTR, NXDOMAIN),
            ("1.0.1.10.in-addr.arpa.", PTR, NXDOMAIN),
        ],
    );
}

#[test]
fn pods() {
    check(Config::default(), &[("10-1-0-1.dev.pod", A, NXDOMAIN), ("dev.pod", A, NXDOMAIN), ("pod", A, NODATA)]);
    check(
        Config { pods: PodMode::Insecure, ..Config::default() },
        &[
            ("192-0-2-1.dev.pod", A, "~ A 192.0.2.1"),
            ("192-0-2-1.dev.pod", AAAA, NODATA),
            ("2001-db8--1.dev.pod", AAAA, "~ AAAA 2001:db8::1"),
            ("192-0-2-1.nowhere.pod", A, NXDOMAIN),
            ("192-0-2-256.dev.pod", A, NXDOMAIN),
            ("web.dev.pod", A, NXDOMAIN),
            ("dev.pod", A, NODATA),
            (
                "192-0-2-1.dev.pod",
                SRV,
                "~ SRV 0 100 0 192-0-2-1.dev.pod.cluster.local.\nextra 192-0-2-1.dev.pod.cluster.local. A 192.0.2.1",
            ),
            ("x.y.192-0-2-1.dev.pod", A, "~ A 192.0.2.1"),
        ],
    );
    check(
        Config { pods: PodMode::Verified, ..Config::default() },
        &[
            ("10-1-0-1.dev.pod", A, "~ A 10.1.0.1"),
            ("fd00-1--1.dev.pod", AAAA, "~ AAAA fd00:1::1"),
            ("fd00-1-0-0-0-0-0-1.dev.pod", AAAA, NXDOMAIN),
            ("10-1-0-1.prod.pod", A, NXDOMAIN),
            ("10-1-0-9.dev.pod", A, NXDOMAIN),
            ("192-0-2-1.dev.pod", A, NXDOMAIN),
            ("dev.pod", A, NODATA),
        ],
    );
}

#[test]
fn options_that_hide() {
    check(
        Config { namespaces: vec!["prod".into()], ..Config::default() },
        &[
            ("web.prod.svc", A, "~ A 10.0.1.1"),
            ("web.dev.svc", A, NXDOMAIN),
            ("dev.svc", A, NXDOMAIN),
            ("prod.svc", A, NODATA),
        ],
    );
    check(
        Config { namespace_labels: Some("env in (dev)".into()), ..Config::default() },
        &[("web.dev.svc", A, "~ A 10.0.0.1"), ("web.prod.svc", A, NXDOMAIN)],
    );
    let labelled = engine(Config { labels: Some("app=none".into()), ..Config::default() });
    assert!(ask(&labelled, "web.dev.svc", A).starts_with("NXDOMAIN"));
    assert!(ask(&labelled, "dev.svc", A).starts_with("NOERROR\nauth"));
    check(
        Config { ignore_empty_service: true, ..Config::default() },
        &[
            ("web.dev.svc", A, "~ A 10.0.0.1"),
            ("idle.dev.svc", A, NXDOMAIN),
            ("out.dev.svc", CNAME, "~ CNAME www.Example.org."),
        ],
    );
    check(
        Config { noendpoints: true, ..Config::default() },
        &[("web.dev.svc", A, "~ A 10.0.0.1"), ("db.dev.svc", A, NXDOMAIN), ("10-1-0-1.web.dev.svc", A, NXDOMAIN)],
    );
    check(
        Config { fallthrough: vec!["dev.svc.cluster.local".into()], ..Config::default() },
        &[("gone.dev.svc", A, "@Fallthrough"), ("gone.prod.svc", A, NXDOMAIN), ("web.dev.svc", AAAA, NODATA)],
    );
    check(
        Config { ttl: 900, ..Config::default() },
        &[
            ("web.dev.svc", A, "~ 900 A 10.0.0.1"),
            (
                "gone.dev.svc",
                A,
                "NXDOMAIN\nauth cluster.local. 300 SOA ns.dns.cluster.local. hostmaster.cluster.local. 1700000000 7200 1800 86400 900",
            ),
        ],
    );
}

#[test]
fn zone_scoped_names() {
    check(
        Config { zonal: true, ..Config::default() },
        &[
            ("zone-a.pin._zone.db.dev.svc", A, "~ A 10.1.0.10"),
            ("zone.b.pin._zone.db.dev.svc", A, "~ A 10.1.0.11"),
            ("zone-c.pin._zone.db.dev.svc", A, NODATA),
            ("zone-c.pin._zone.db.dev.svc", TXT, NODATA),
            ("zone-c.prefer._zone.db.dev.svc", A, "~ A 10.1.0.10\n~ A 10.1.0.11"),
            ("zone-a.pin._zone.web.dev.svc", A, NXDOMAIN),
            ("zone-a.other._zone.db.dev.svc", A, NXDOMAIN),
        ],
    );
    check(Config::default(), &[("zone-a.pin._zone.db.dev.svc", A, NXDOMAIN)]);
}

#[test]
fn before_the_first_sync_nothing_is_denied() {
    let mut engine = Engine::new(&Config::default()).unwrap();
    feed(&mut engine, CLUSTER);
    assert!(!engine.synced());
    assert!(ask(&engine, "web.dev.svc", A).ends_with("A 10.0.0.1"));
    assert!(ask(&engine, "gone.dev.svc", A).starts_with("SERVFAIL"));
    for kind in [Kind::Namespace, Kind::Service, Kind::EndpointSlice] {
        engine.end_replace(kind, 1);
    }
    assert!(engine.synced());
    assert!(ask(&engine, "gone.dev.svc", A).starts_with("NXDOMAIN"));
}

#[test]
fn multicluster() {
    let mut engine = engine(Config { multicluster: vec!["clusterset.local".into()], ..Config::default() });
    let import = r#""apiVersion":"multicluster.x-k8s.io/v1alpha1","kind":"ServiceImport""#;
    let ports = r#""ports":[{"name":"http","port":80,"protocol":"TCP"}]"#;
    feed(
        &mut engine,
        &format!(
            r#"{{"type":"ADDED","object":{{{import},"metadata":{{"name":"api","namespace":"dev"}},"spec":{{"type":"ClusterSetIP","ips":["10.2.0.1"],{ports}}}}}}}
{{"type":"ADDED","object":{{{import},"metadata":{{"name":"bare","namespace":"dev"}},"spec":{{"type":"ClusterSetIP","ips":["10.2.0.2"]}}}}}}
{{"type":"ADDED","object":{{{import},"metadata":{{"name":"hl","namespace":"dev"}},"spec":{{"type":"Headless",{ports}}}}}}}
{{"type":"ADDED","object":{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"hl-1","namespace":"dev","labels":{{"multicluster.kubernetes.io/service-name":"hl","multicluster.kubernetes.io/source-cluster":"east"}}}},"addressType":"IPv4",{ports},"endpoints":[{{"addresses":["10.3.0.1"],"hostname":"h0"}}]}}}}"#
        ),
    );
    let answer = |name: &str, qtype| ask(&engine, &format!("{name}.clusterset.local."), qtype);
    assert_eq!(answer("api.dev.svc", A), "NOERROR\napi.dev.svc.clusterset.local. A 10.2.0.1");
    assert_eq!(answer("hl.dev.svc", A), "NOERROR\nhl.dev.svc.clusterset.local. A 10.3.0.1");
    assert_eq!(answer("h0.east.hl.dev.svc", A), "NOERROR\nh0.east.hl.dev.svc.clusterset.local. A 10.3.0.1");
    assert!(answer("h0.west.hl.dev.svc", A).starts_with("NXDOMAIN"));
    assert!(answer("bare.dev.svc", A).starts_with("NXDOMAIN"), "an import without ports is not answered");
    assert!(answer("web.dev.svc", A).starts_with("NXDOMAIN"), "a Service is not an import");
    assert!(ask(&engine, "api.dev.svc", A).starts_with("NXDOMAIN"), "an import is not a Service");
    assert_eq!(
        answer("_http._tcp.hl.dev.svc", SRV),
        "NOERROR\n_http._tcp.hl.dev.svc.clusterset.local. SRV 0 100 80 h0.east.hl.dev.svc.clusterset.local.\nextra h0.east.hl.dev.svc.clusterset.local. A 10.3.0.1"
    );
}

#[test]
fn changes_are_seen_at_once() {
    let mut engine = engine(Config { pods: PodMode::Verified, ..Config::default() });
    let service = |kind: &str, ip: &str| {
        format!(
            r#"{{"type":"{kind}","object":{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"web","namespace":"dev"}},"spec":{{"clusterIP":"{ip}","ports":[{{"port":80,"protocol":"TCP"}}]}}}}}}"#
        )
    };
    feed(&mut engine, &service("MODIFIED", "10.0.0.77"));
    assert_eq!(ask(&engine, "web.dev.svc", A), "NOERROR\nweb.dev.svc.cluster.local. A 10.0.0.77");
    assert!(ask(&engine, "77.0.0.10.in-addr.arpa.", PTR).ends_with("web.dev.svc.cluster.local."));
    assert!(ask(&engine, "1.0.0.10.in-addr.arpa.", PTR).starts_with("NXDOMAIN"));
    feed(&mut engine, &service("DELETED", "10.0.0.77"));
    assert!(ask(&engine, "web.dev.svc", A).starts_with("NXDOMAIN"));
    assert!(ask(&engine, "77.0.0.10.in-addr.arpa.", PTR).starts_with("NXDOMAIN"));

    // A slice that moves to another Service leaves the first.
    let slice = r#"{"type":"MODIFIED","object":{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"db-1","namespace":"dev","labels":{"kubernetes.io/service-name":"empty"}},"addressType":"IPv4","ports":[],"endpoints":[{"addresses":["10.1.0.10"]}]}}"#;
    feed(&mut engine, slice);
    assert_eq!(ask(&engine, "empty.dev.svc", A), "NOERROR\nempty.dev.svc.cluster.local. A 10.1.0.10");
    assert!(ask(&engine, "db.dev.svc", A).starts_with("NOERROR\nauth"));
    assert!(ask(&engine, "10.0.1.10.in-addr.arpa.", PTR).ends_with("PTR 10-1-0-10.empty.dev.svc.cluster.local."));

    // A pod that terminates keeps its record until it is gone; a finished one loses it at once.
    let pod = |meta: &str, phase: &str| {
        format!(
            r#"{{"type":"MODIFIED","object":{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p","namespace":"dev"{meta}}},"status":{{"phase":"{phase}","podIPs":[{{"ip":"10.1.0.1"}}]}}}}}}"#
        )
    };
    feed(&mut engine, &pod(r#","deletionTimestamp":"2026-01-01T00:00:00Z""#, "Running"));
    assert!(ask(&engine, "10-1-0-1.dev.pod", A).ends_with("A 10.1.0.1"));
    // Pods that share an address share one record.
    feed(&mut engine, &pod("", "Running").replace("\"name\":\"p\"", "\"name\":\"q\""));
    let shared = ask(&engine, "10-1-0-1.dev.pod", SRV);
    assert!(shared.contains("SRV 0 50 0 10-1-0-1.dev.pod.cluster.local."), "{shared}");
    feed(&mut engine, &pod("", "Failed").replace("\"name\":\"p\"", "\"name\":\"q\""));
    feed(&mut engine, &pod("", "Failed"));
    assert!(ask(&engine, "10-1-0-1.dev.pod", A).starts_with("NXDOMAIN"));

    feed(
        &mut engine,
        r#"{"type":"DELETED","object":{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"prod"}}}"#,
    );
    assert!(ask(&engine, "web.prod.svc", A).starts_with("NXDOMAIN"));
}
