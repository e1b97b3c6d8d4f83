//! Every message that the engine writes, hickory-proto reads back equal; and what it says is what the rules say.
#![allow(clippy::unwrap_used)]

mod common;

use common::ask::{Ask, CD, DO, RD};
use common::cluster::{Backing, Cluster, Endpoint, Pod, Port, Slice, cluster, ips, nth_ip, port};
use common::miekg;
use common::model::{self, A, AAAA, Answer, CNAME, Expected, NS, PTR, SRV, Up, counted};
use common::name::Name;
use common::random;
use common::reply::{Data, Rec, Reply};
use common::serve::{Served, Server};
use hickory_proto::op::Message;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustk8s::Snapshot;
use rustk8s::config::PodMode;
use rustk8s::wire::Transport;
use std::collections::BTreeMap;

/// A snapshot, and the server in front of it.
struct Bench<'a> {
    cluster: &'a Cluster,
    snapshot: Snapshot,
    server: Server,
}

impl<'a> Bench<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, snapshot: cluster.snapshot(), server: Server::default() }
    }

    /// Asks over TCP and UDP, and compares the replies with the rules and with each other. Gives both.
    fn check(&mut self, ask: &Ask, up: &Up) -> Result<(Reply, Reply), TestCaseError> {
        let expected = model::resolve(self.cluster, ask, up);
        let [tcp, udp] = [Transport::Tcp, Transport::Udp].map(|transport| {
            let served = self.server.serve(&self.snapshot, &ask.packet(), transport, up);
            let octets = served.octets().expect("a reply").to_vec();
            assert!(octets.len() <= ask.limit(transport), "{} octets over {transport:?}", octets.len());
            let reply = Reply::read(&octets).unwrap_or_else(|error| panic!("{error}: {octets:02x?}"));
            again(&octets, &reply);
            check_head(ask, &reply);
            (served, reply)
        });
        match expected {
            Expected::Answer(expected) => {
                prop_assert!(matches!(tcp.0, Served::Answer(_)), "expected {expected:?}, got {:?}", tcp.1);
                if let Some(target) = &expected.asked {
                    prop_assert_eq!(&self.server.target(), target);
                }
                check_whole(ask, &expected, &tcp.1)?;
                check_cut(ask, &expected, &tcp.1, &udp.1)?;
            }
            Expected::NotMine | Expected::Transfer => check_error(5, &[&tcp, &udp])?,
            Expected::Fallthrough => check_error(2, &[&tcp, &udp])?,
        }
        Ok((tcp.1, udp.1))
    }

    /// As [`check`](Self::check), where nothing but success is expected.
    fn ask(&mut self, ask: &Ask) -> (Reply, Reply) {
        self.check(ask, &Up::NotAsked).unwrap()
    }
}

/// hickory-proto writes what it has read, and reads it again as the same.
fn again(octets: &[u8], reply: &Reply) {
    // hickory-proto compresses less, and what does not fit into 65,535 octets again cannot be the same.
    if octets.len() < 12_000 {
        let message = Message::from_vec(octets).unwrap();
        let written = Message::from_vec(&message.to_vec().unwrap()).unwrap();
        let (mut first, mut second) = (Reply::of(&message).unwrap(), Reply::of(&written).unwrap());
        // The case of a name that another points to is the other's: hickory-proto compresses without regard to case.
        for reply in [&mut first, &mut second] {
            for rec in [&mut reply.answer, &mut reply.authority, &mut reply.additional].into_iter().flatten() {
                lower(rec);
            }
        }
        assert_eq!(first, second);
        assert_eq!(reply.question, second.question);
    }
}

fn lower(rec: &mut Rec) {
    rec.owner = rec.owner.lower();
    match &mut rec.data {
        Data::Name(name) | Data::Srv { target: name, .. } | Data::Mx { exchange: name, .. } => *name = name.lower(),
        Data::Soa { mname, rname, .. } => (*mname, *rname) = (mname.lower(), rname.lower()),
        Data::Address(_) | Data::Txt(_) | Data::Other(_) => {}
    }
}

/// What holds of every reply to a query that was read.
fn check_head(ask: &Ask, reply: &Reply) {
    let query = ask.flags & 0x7800 == 0;
    assert_eq!(reply.id, ask.id);
    assert!(reply.qr && !reply.ra && !reply.z && !reply.ad, "{reply:?}");
    assert_eq!(u16::from(reply.opcode), ask.flags >> 11 & 0xf);
    assert_eq!((reply.rd, reply.cd), (query && ask.flags & RD != 0, query && ask.flags & CD != 0));
    assert_eq!(reply.question, [(ask.qname.clone(), ask.qtype, ask.qclass)]);
    // The client's own size; of the TTL the upper octet of the flags.
    let echoed = ask.opt.map(|opt| common::ask::Opt { ttl: opt.ttl & 0xff00, ..opt });
    assert_eq!(reply.opt, echoed);
}

fn check_error(rcode: u16, replies: &[&(Served, Reply)]) -> Result<(), TestCaseError> {
    for (served, reply) in replies {
        prop_assert!(matches!(served, Served::Error(_)), "{reply:?}");
        prop_assert_eq!(reply.rcode, rcode);
        prop_assert!(!reply.aa && !reply.tc);
        prop_assert!(reply.answer.is_empty() && reply.authority.is_empty() && reply.additional.is_empty());
    }
    Ok(())
}

type Counts<'a> = BTreeMap<&'a Rec, usize>;

/// The reply over TCP has all the records, but for what does not fit into 65,535 octets.
fn check_whole(ask: &Ask, expected: &Answer, reply: &Reply) -> Result<(), TestCaseError> {
    prop_assert!(reply.aa);
    prop_assert_eq!(reply.rcode, expected.rcode);
    let sections = [
        (&reply.answer, &expected.answer),
        (&reply.authority, &expected.authority),
        (&reply.additional, &expected.additional),
    ];
    let whole = sections.iter().all(|(found, expected)| found.len() == expected.len());
    prop_assert_eq!(reply.tc, !whole || expected.truncated);
    for (found, expected) in sections {
        let (found, expected) = (counted(found), counted(expected));
        let more = |these: &Counts, than: &Counts| -> Vec<String> {
            let more = these.iter().filter(|(rec, count)| than.get(*rec).is_none_or(|other| *count > other));
            more.map(|(rec, count)| format!("{count} times {rec:?}")).collect()
        };
        let (superfluous, missing) = (more(&found, &expected), more(&expected, &found));
        prop_assert!(superfluous.is_empty() && (missing.is_empty() || !whole), "not {superfluous:#?} but {missing:#?}");
    }
    // Of the records that are missing, one at least does not fit: the one at which the reply was cut.
    if !whole {
        let in_answer = reply.answer.len() < expected.answer.len();
        let (found, all) = if in_answer { sections[0] } else { sections[2] };
        let present = counted(found);
        let size = |rec: &Rec| match &rec.data {
            Data::Srv { target, .. } | Data::Name(target) => target.wire_len(),
            _ => rec.owner.wire_len(),
        };
        let mut missing: Vec<&Rec> = all.iter().filter(|rec| !present.contains_key(rec)).collect();
        missing.sort_by_key(|rec| std::cmp::Reverse(size(rec)));
        let too_long = missing.into_iter().any(|rec| {
            let longer = [found.as_slice(), std::slice::from_ref(rec)].concat();
            let additional: &[Rec] = if in_answer { &[] } else { &longer };
            let sections = [if in_answer { &longer } else { &reply.answer }, &reply.authority, additional];
            miekg::truncated(ask, sections, 65535) != sections.map(<[Rec]>::len)
        });
        prop_assert!(too_long, "cut too early");
    }
    Ok(())
}

/// The reply over UDP is the beginning of each section, as much of it as miekg/dns would leave.
fn check_cut(ask: &Ask, expected: &Answer, tcp: &Reply, udp: &Reply) -> Result<(), TestCaseError> {
    let sections = [&tcp.answer, &tcp.authority, &tcp.additional];
    let kept = miekg::truncated(ask, sections.map(Vec::as_slice), ask.limit(Transport::Udp));
    let found = [&udp.answer, &udp.authority, &udp.additional];
    // The engine remembers 256 names to point to, so that later ones of very many may take more room.
    let very_many = ask.qtype == PTR && kept[0] > 200;
    // No answer for an address has an MX record, so the engine does not compress the name in one.
    let mx = tcp.answer.iter().any(|rec| rec.rtype == model::MX);
    if very_many || mx {
        prop_assert!(found.iter().zip(kept).all(|(found, kept)| found.len() <= kept), "more than {kept:?}");
    } else {
        prop_assert_eq!(found.map(Vec::len), kept, "of {:?}", sections.map(Vec::len));
    }
    let mut cut = tcp.tc;
    for (found, all) in found.iter().zip(sections) {
        prop_assert_eq!(&found[..], &all[..found.len()]);
        cut |= found.len() < all.len();
    }
    prop_assert_eq!(udp.tc, cut || expected.truncated);
    prop_assert_eq!((udp.rcode, udp.aa), (tcp.rcode, tcp.aa));
    Ok(())
}

type Asked = (Cluster, Vec<(Ask, Up)>);

fn asked_clusters(most: usize) -> impl Strategy<Value = Asked> {
    random::clusters().prop_flat_map(move |cluster| {
        let asks = vec((random::asks(&cluster), random::upstreams()), 1..most);
        (Just(cluster), asks)
    })
}

proptest! {
    #![proptest_config(random::runs(600))]

    #[test]
    fn any_query_of_any_cluster((cluster, asks) in asked_clusters(40)) {
        let mut bench = Bench::new(&cluster);
        for (ask, up) in &asks {
            bench.check(ask, up)?;
        }
    }
}

/// The property is worth something only if its queries reach all that there is.
#[test]
fn the_random_queries_reach_every_rule() {
    let mut runner = TestRunner::deterministic();
    let strategy = asked_clusters(40);
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..600 {
        let (cluster, asks) = strategy.new_tree(&mut runner).unwrap().current();
        for (ask, up) in &asks {
            let Expected::Answer(answer) = model::resolve(&cluster, ask, up) else { continue };
            let texts = ask.qname.texts();
            let has = |label: &str| texts.iter().any(|text| text == label);
            let mut reach = |what: String| *reached.entry(what).or_default() += 1;
            reach(format!("rcode {}", answer.rcode));
            if answer.answer.is_empty() {
                continue;
            }
            reach(format!("type {}", ask.qtype));
            if ask.qname.is_in(&Name::of("clusterset.local")) {
                reach("multicluster".to_owned());
            }
            for label in ["_zone", "pod", "ns", "dns-version"] {
                if has(label) {
                    reach(format!("label {label}"));
                }
            }
            if let Some(labels) = texts.iter().position(|label| label == "svc") {
                reach(format!("labels {labels}"));
            }
            let links = answer.answer.iter().filter(|rec| rec.rtype == CNAME).count();
            reach(format!("links {}", links.min(3)));
            if answer.asked.is_some() {
                reach("upstream".to_owned());
            }
            let records = [&answer.answer, &answer.authority, &answer.additional].map(Vec::as_slice);
            let kept = miekg::truncated(ask, records, ask.limit(Transport::Udp));
            if kept != records.map(<[Rec]>::len) {
                reach("cut".to_owned());
            }
        }
    }
    let rules = [
        "rcode 0",
        "rcode 2",
        "rcode 3",
        "type 1",
        "type 2",
        "type 5",
        "type 6",
        "type 12",
        "type 16",
        "type 28",
        "type 33",
        "multicluster",
        "label _zone",
        "label pod",
        "label ns",
        "label dns-version",
        "labels 2",
        "labels 3",
        "labels 4",
        "labels 5",
        "links 0",
        "links 1",
        "links 2",
        "links 3",
        "upstream",
        "cut",
    ];
    let rare: Vec<_> = rules.into_iter().filter(|rule| reached.get(*rule).is_none_or(|&times| times < 3)).collect();
    assert!(rare.is_empty(), "not reached, or hardly: {rare:?} of {reached:#?}");
}

/// A Service `web` with as many endpoints.
fn large(count: u32, hostnames: usize, slices: u32, ports: &[Port]) -> Cluster {
    let mut cluster = cluster().service("web", Backing::Headless, ports);
    let endpoint = |index: u32| Endpoint {
        addresses: if index % 7 == 3 {
            vec![nth_ip(index, false), nth_ip(index, true)]
        } else {
            vec![nth_ip(index, index.is_multiple_of(5))]
        },
        // Of very different lengths, so that every offset is met.
        hostname: match hostnames {
            0 => String::new(),
            1 => format!("web-{index}"),
            _ => format!("Web-{index}-{}", "x".repeat(index as usize * 7 % 50)),
        },
        ..Endpoint::default()
    };
    for slice in 0..slices {
        let endpoints = (0..count).filter(|index| index % slices == slice).map(endpoint).collect();
        cluster = cluster.slice("web", ports, endpoints);
    }
    cluster
}

proptest! {
    #![proptest_config(random::runs(40))]

    /// Up to 1,500 endpoints: replies reach beyond the offset 0x3fff, where pointers end, and beyond 65,535 octets.
    #[test]
    fn a_large_headless_service(
        count in prop_oneof![0..40u32, 200..320u32, 900..1500u32],
        hostnames in 0..3usize,
        slices in 1..5u32,
        ports in 0..3usize,
        sizes in vec(proptest::option::of(random::udp_size()), 1..6),
    ) {
        let ports = [port("http", "TCP", 80), port("dns", "UDP", 53)][..ports].to_vec();
        let cluster = large(count, hostnames, slices, &ports);
        let mut bench = Bench::new(&cluster);
        for size in sizes {
            for (name, qtype) in [
                ("web.default.svc.cluster.local", A),
                ("Web.Default.SVC.Cluster.Local", AAAA),
                ("web.default.svc.cluster.local", SRV),
                ("_http._tcp.web.default.svc.cluster.LOCAL", SRV),
                ("_dns._udp.web.default.svc.cluster.local", A),
            ] {
                let ask = Ask::new(Name::of(name), qtype);
                bench.check(&Ask { opt: size.map(|size| common::ask::Opt { size, ttl: DO }), ..ask }, &Up::NotAsked)?;
            }
        }
    }

    /// One address under many names: a node's, say, or a proxy's.
    #[test]
    fn an_address_of_many_endpoints(
        services in 1..9usize,
        hostnames in prop_oneof![1..30u32, 100..120u32],
        zone in proptest::sample::select(vec!["cluster.local", "home.arpa"]),
        sizes in vec(proptest::option::of(random::udp_size()), 1..6),
    ) {
        let mut cluster = cluster();
        cluster.config.zones = [zone, "in-addr.arpa"].map(str::to_owned).into();
        for service in 0..services {
            let endpoint = |index| Endpoint { addresses: ips(&["10.0.0.9"]), hostname: format!("h-{index}"), ..Endpoint::default() };
            cluster = cluster.slice(&format!("service-{service}"), &[], (0..hostnames).map(endpoint).collect());
        }
        let mut bench = Bench::new(&cluster);
        for size in sizes {
            let ask = Ask::new(random::reverse_name("10.0.0.9".parse().unwrap()), PTR);
            bench.check(&Ask { opt: size.map(|size| common::ask::Opt { size, ttl: 0 }), ..ask }, &Up::NotAsked)?;
        }
    }

    /// The names in the data of an upstream's records are compressed as miekg/dns compresses them, so that as many
    /// records fit into a datagram.
    #[test]
    fn upstream_names_are_compressed(records in vec((0..4usize, 0..4usize, 0..3u8), 1..40), size in 512..1400u16) {
        let names = ["www.example.com", "www.some-content-network.example", "a.www.some-content-network.example", "example.com"];
        let records: Vec<Rec> = records
            .into_iter()
            .map(|(owner, target, kind)| {
                let target = Name::of(names[target]);
                let (rtype, data) = match kind {
                    0 => (A, Data::Address("192.0.2.7".parse().unwrap())),
                    1 => (CNAME, Data::Name(target)),
                    _ => (model::TXT, Data::Txt(vec![b"text".to_vec()])),
                };
                Rec { owner: Name::of(names[owner]), rtype, ttl: 60, data }
            })
            .collect();
        let cluster = cluster().service("alias", Backing::ExternalName("www.example.com".to_owned()), &[]);
        let ask = Ask::new(Name::of("alias.default.svc.cluster.local"), A).edns(size, 0);
        let (tcp, udp) = Bench::new(&cluster).check(&ask, &Up::Answer { truncated: false, records })?;
        let kept = miekg::truncated(&ask, [&tcp.answer, &[], &[]], ask.limit(Transport::Udp));
        prop_assert_eq!(udp.answer.len(), kept[0], "of {}", tcp.answer.len());
    }
}

/// Pointers reach offset 0x3fff and no further: replies of all sizes around it. An endpoint with two ports has its name
/// in two records, and the nearer is pointed to.
#[test]
fn names_at_the_reach_of_pointers() {
    let ports = [port("http", "TCP", 80), port("dns", "UDP", 53)];
    for (count, hostnames, ports) in [(242, 2, &ports[..]), (250, 0, &ports[..1]), (230, 1, &ports[..])] {
        let cluster = large(count, hostnames, 1, ports);
        let mut bench = Bench::new(&cluster);
        let ask = Ask::new(Name::of("web.default.svc.cluster.local"), SRV);
        let whole = bench.ask(&ask).0;
        assert!(!whole.tc && whole.additional.len() >= count as usize);
        for size in (16_000..17_000).step_by(37).chain((17_000..60_000).step_by(1511)) {
            bench.ask(&ask.clone().edns(size, 0));
        }
    }
}

/// Pods on the network of their node have its address: one name, several pods, and the weight is shared out among them
/// (CoreDNS's `findPods` and `plugin.SRV`).
#[test]
fn the_weight_of_an_address_of_several_pods() {
    let mut cluster = cluster();
    cluster.config.pods = PodMode::Verified;
    for index in 0..3 {
        let name = format!("proxy-{index}");
        cluster.pods.push(Pod {
            namespace: "default".to_owned(),
            name,
            ips: ips(&["10.0.0.9"]),
            finished: false,
            deleting: false,
        });
    }
    let (tcp, _) = Bench::new(&cluster).ask(&Ask::new(Name::of("10-0-0-9.default.pod.cluster.local"), SRV));
    assert!(matches!(tcp.answer[..], [Rec { data: Data::Srv { weight: 33, .. }, .. }]), "{:?}", tcp.answer);
}

/// Labels left of a pod's do not matter, whatever is in them (CoreDNS's `findPods` does not look at them).
#[test]
fn labels_left_of_a_pod() {
    let mut cluster = cluster();
    cluster.config.pods = PodMode::Insecure;
    let mut bench = Bench::new(&cluster);
    for label in [&b"x"[..], b"_", b"a.b", b"\0", b"*"] {
        let name = Name(vec![label.to_vec()]).under(&Name::of("10-0-0-9.default.pod.cluster.local"));
        let (tcp, _) = bench.ask(&Ask::new(name, A));
        assert_eq!(tcp.answer.len(), 1, "{label:?}");
    }
}

/// Parts that are each allowed may together be longer than a name can be: then there is no such record, and never a
/// message that cannot be read.
#[test]
fn names_over_255_octets_are_not_written() {
    let label = |octet: &str| octet.repeat(63);
    let long_zone = [&*label("y"), &label("z"), "local"].join(".");
    let endpoint = || Endpoint { addresses: ips(&["10.0.0.1"]), hostname: label("h"), ..Endpoint::default() };
    let slice = |import: Option<String>, service: Option<String>| Slice {
        namespace: label("n"),
        name: "slice".to_owned(),
        service,
        import,
        cluster: Some(label("c")),
        ports: vec![port("http", "TCP", 80)],
        endpoints: vec![endpoint()],
    };
    let mut cluster = cluster().namespace(&label("n"));
    cluster.config.zones = vec![long_zone.clone(), "clusterset.local".to_owned(), "in-addr.arpa".to_owned()];
    cluster.config.multicluster = vec!["clusterset.local".to_owned()];
    cluster.services.push(common::cluster::Service {
        namespace: label("n"),
        name: label("s"),
        backing: Backing::Headless,
        ports: Vec::new(),
    });
    cluster.imports.push(common::cluster::Import {
        namespace: label("n"),
        name: label("s"),
        headless: true,
        ips: Vec::new(),
        ports: vec![port("http", "TCP", 80)],
    });
    cluster.slices = vec![slice(Some(label("s")), Some(label("s")))];
    cluster.local_ips = ips(&["10.0.0.1"]);
    let service = Name::labels(&[&label("s"), &label("n"), "svc"]);
    // `hostmaster` does not fit in front of this one.
    let longest = [label("a"), label("b"), label("c"), "d".repeat(55)].join(".");
    let mut alone = cluster.clone();
    alone.config.zones = vec![longest.clone()];
    alone.config.multicluster.clear();
    let mut unreadable = Vec::new();
    for (cluster, name, qtype) in [
        (&cluster, service.under(&Name::of("clusterset.local")), SRV),
        (&cluster, service.under(&Name::of(&long_zone)), SRV),
        (&cluster, Name::of(&long_zone), NS),
        (&cluster, Name::of("ns.dns").under(&Name::of(&long_zone)), A),
        (&cluster, random::reverse_name("10.0.0.1".parse().unwrap()), PTR),
        (&alone, Name::of(&longest), A),
        (&alone, Name::of(&longest), NS),
        (&alone, Name::of(&longest), model::SOA),
    ] {
        // A zone in which the names of its own SOA record do not fit may also be refused.
        if rustk8s::Engine::new(&cluster.config).is_err() {
            continue;
        }
        let engine = cluster.engine();
        for transport in [Transport::Udp, Transport::Tcp] {
            let ask = Ask::new(name.clone(), qtype);
            let served = Server::default().serve(&engine.snapshot(), &ask.packet(), transport, &Up::NotAsked);
            if let Err(error) = Reply::read(served.octets().unwrap()) {
                unreadable.push(format!("{name:?} {qtype} over {transport:?}: {error}"));
            }
        }
    }
    assert!(unreadable.is_empty(), "{unreadable:#?}");
}

/// An `externalName` that is no domain name, or an endless chain, is NODATA and never an unreadable message.
#[test]
fn aliases_that_lead_nowhere() {
    let long = ["x".repeat(63).as_str(); 4].join(".");
    let label = "x".repeat(64);
    for text in [
        "",
        ".",
        "a..b",
        &long,
        &label,
        "a\\.b",
        "alias.default.svc.cluster.local",
        "x.alias.default.svc.cluster.local",
    ] {
        let cluster = cluster().service("alias", Backing::ExternalName(text.to_owned()), &[]);
        let snapshot = cluster.snapshot();
        for qtype in [A, AAAA, CNAME, SRV, 255] {
            let ask = Ask::new(Name::of("alias.default.svc.cluster.local"), qtype);
            let served = Server::default().serve(&snapshot, &ask.packet(), Transport::Udp, &Up::Failed);
            let reply = Reply::read(served.octets().unwrap()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(reply.rcode, 0, "{text:?}");
            assert!(reply.answer.is_empty() || qtype == CNAME, "{text:?}: {:?}", reply.answer);
        }
    }
}
