//! Every mutilated query gets what CoreDNS v1.15.0 gives: by a table of the rules, and by comparing what the engine
//! makes of random packets with `common::miekg`, a second writing of miekg/dns's checks.
#![allow(clippy::unwrap_used)]

mod common;

use common::ask::{Ask, Opt, RD, opt_record};
use common::cluster::{Backing, Cluster, Endpoint, cluster, ips, port};
use common::miekg::{self, Accepted, Judged};
use common::model::{A, PTR, SRV, Up};
use common::name::Name;
use common::random;
use common::reply::{Data, Rec, Reply};
use common::serve::{Served, Server, labels};
use proptest::collection::vec;
use proptest::prelude::*;
use rustk8s::Snapshot;
use rustk8s::config::PodMode;
use rustk8s::wire::{Query, Reject, Transport};
use std::sync::OnceLock;

const FORMERR: u16 = 1;
const SERVFAIL: u16 = 2;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const BADVERS: u16 = 16;

/// What a packet should get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Silence,
    /// The server's own reply with this rcode.
    Error(u16),
    /// An answer of the engine.
    Answer,
}
use Due::{Answer, Error, Silence};

fn demo() -> Cluster {
    let ports = [port("http", "TCP", 80)];
    let endpoint =
        |ip, hostname: &str| Endpoint { addresses: ips(&[ip]), hostname: hostname.to_owned(), ..Endpoint::default() };
    let mut cluster = cluster()
        .service("web", Backing::ClusterIps(ips(&["10.96.0.1", "fd00:96::1"])), &ports)
        .service("db", Backing::Headless, &ports)
        .service("alias", Backing::ExternalName("www.example.com".to_owned()), &[])
        .slice("db", &ports, vec![endpoint("10.244.0.1", "db-0"), endpoint("10.244.0.2", "")]);
    cluster.config.zones = ["cluster.local", "in-addr.arpa", "ip6.arpa"].map(str::to_owned).into();
    cluster.config.pods = PodMode::Insecure;
    cluster.local_ips = ips(&["10.0.0.1"]);
    cluster
}

fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| demo().snapshot())
}

/// Serves a packet, and looks after what holds of every reply whatsoever.
fn serve(packet: &[u8], transport: Transport) -> Served {
    let up = Up::Answer {
        truncated: false,
        records: vec![Rec {
            owner: Name::of("www.example.com"),
            rtype: A,
            ttl: 60,
            data: Data::Address(ips(&["192.0.2.1"])[0]),
        }],
    };
    let served = Server::default().serve(snapshot(), packet, transport, &up);
    if let Some(octets) = served.octets() {
        let reply = Reply::read(octets).unwrap_or_else(|error| panic!("{error}: {octets:02x?} to {packet:02x?}"));
        assert_eq!(reply.id, u16::from_be_bytes([packet[0], packet[1]]));
        assert!(reply.qr);
    }
    served
}

fn due(served: &Served) -> Due {
    match served {
        Served::Silence => Silence,
        Served::Error(octets) => Error(Reply::read(octets).unwrap().rcode),
        Served::Answer(_) => Answer,
    }
}

/// A packet from its parts: flags, counts, and what follows the header.
fn packet(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut packet = Vec::new();
    for word in [0x1234, flags].into_iter().chain(counts) {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(body.concat());
    packet
}

const WEB: &[u8] = b"\x03web\x07default\x03svc\x07cluster\x05local\x00";
const A_IN: &[u8] = &[0, 1, 0, 1];

/// A record of class IN under the root.
fn record(rtype: u16, data: &[u8]) -> Vec<u8> {
    [&[0][..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 0, 9], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn option(code: u16, data: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn opt(options: &[u8]) -> Vec<u8> {
    opt_record(Opt { size: 1232, ttl: 0 }, options)
}

/// The rules, one a line. Each was confirmed with miekg/dns v1.1.73 and CoreDNS v1.15.0 themselves.
#[test]
fn the_table_of_rules() {
    let question = [WEB, A_IN].concat();
    let one = |counts: [u16; 4], more: &[u8]| packet(RD, counts, &[&question, more]);
    let asks = |name: &[u8]| packet(RD, [1, 0, 0, 0], &[name, A_IN]);
    let options = |code, data: &[u8]| one([1, 0, 0, 1], &opt(&option(code, data)));
    let soa = [b"\x00\x00".as_slice(), &[0; 20]].concat();
    let long_label = [&[63][..], &[b'x'; 63]].concat();
    let name_255 = [&long_label[..], &long_label, &long_label, &[61], &[b'y'; 61], &[0]].concat();
    let name_256 = [&long_label[..], &long_label, &long_label, &[62], &[b'y'; 62], &[0]].concat();
    // A chain of pointers, each to the one before: 126 may be followed, 127 not.
    let chain = |count: u16| {
        let mut body = vec![0xc0, (12 + 6 + (count - 2) * 2) as u8, 0, 1, 0, 1, 0xc0, 11];
        body[0] |= ((12 + 6 + (count - 2) * 2) >> 8) as u8;
        // The octet at offset 11 is the low octet of ARCOUNT: 0, the root.
        for index in 1..count - 1 {
            body.extend((0xc000 | (12 + 6 + (index - 1) * 2)).to_be_bytes());
        }
        packet(RD, [1, 0, 0, 0], &[&body])
    };
    let rules: Vec<(&str, Vec<u8>, Due)> = vec![
        ("nothing", vec![], Silence),
        ("one octet", vec![0x12], Silence),
        ("shorter than a header", packet(RD, [1, 0, 0, 0], &[])[..11].to_vec(), Silence),
        ("a response", packet(0x8000, [1, 0, 0, 0], &[&question]), Silence),
        ("a response of another opcode", packet(0xa800, [9, 9, 9, 9], &[]), Silence),
        ("a plain query", one([1, 0, 0, 0], &[]), Answer),
        ("QDCOUNT 0", one([0, 0, 0, 0], &[]), Error(FORMERR)),
        ("QDCOUNT 2", one([2, 0, 0, 0], &question), Error(FORMERR)),
        ("QDCOUNT 65535", one([65535, 0, 0, 0], &[]), Error(FORMERR)),
        ("ANCOUNT 1 without the record", one([1, 1, 0, 0], &[]), Answer),
        ("ANCOUNT 1", one([1, 1, 0, 0], &record(6, &soa)), Answer),
        ("ANCOUNT 2", one([1, 2, 0, 0], &[record(6, &soa), record(6, &soa)].concat()), Error(FORMERR)),
        ("NSCOUNT 1", one([1, 0, 1, 0], &record(6, &soa)), Answer),
        ("NSCOUNT 2", one([1, 0, 2, 0], &[]), Error(FORMERR)),
        ("ARCOUNT 2", one([1, 0, 0, 2], &[opt(&[]), record(65280, b"x")].concat()), Answer),
        ("ARCOUNT 2, two OPT records", one([1, 0, 0, 2], &[opt(&[]), opt(&[])].concat()), Answer),
        ("ARCOUNT 2, one there", one([1, 0, 0, 2], &opt(&[])), Answer),
        ("ARCOUNT 3", one([1, 0, 0, 3], &[]), Error(FORMERR)),
        ("all counts 1", one([1, 1, 1, 1], &[record(6, &soa), record(6, &soa), opt(&[])].concat()), Answer),
        ("trailing octets", one([1, 0, 0, 0], b"\xff\xff\xff"), Answer),
        ("trailing octets behind OPT", one([1, 0, 0, 1], &[opt(&[]), vec![0xc0; 40]].concat()), Answer),
        ("opcode IQUERY", packet(0x0800, [1, 0, 0, 0], &[&question]), Error(NOTIMP)),
        ("opcode STATUS", packet(0x1000, [1, 0, 0, 0], &[&question]), Error(NOTIMP)),
        ("opcode 3", packet(0x1800, [1, 0, 0, 0], &[&question]), Error(NOTIMP)),
        ("opcode NOTIFY", packet(0x2000, [1, 0, 0, 0], &[&question]), Answer),
        ("opcode UPDATE", packet(0x2800, [1, 0, 0, 0], &[&question]), Error(NOTIMP)),
        ("opcode 6", packet(0x3000, [0, 0, 0, 0], &[]), Error(NOTIMP)),
        ("opcode 15", packet(0x7800, [7, 7, 7, 7], &[]), Error(NOTIMP)),
        ("a header alone", packet(RD, [1, 0, 0, 0], &[]), Error(SERVFAIL)),
        ("a header alone, QDCOUNT 0", packet(RD, [0, 0, 0, 0], &[]), Error(FORMERR)),
        ("a header alone, NOTIFY", packet(0x2000, [1, 0, 0, 0], &[]), Error(SERVFAIL)),
        ("no name", packet(RD, [1, 0, 0, 0], &[&[0xff]]), Error(FORMERR)),
        ("no type", packet(RD, [1, 0, 0, 0], &[WEB]), Error(REFUSED)),
        ("half a type", packet(RD, [1, 0, 0, 0], &[WEB, &[0]]), Error(FORMERR)),
        ("no class", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1]]), Error(REFUSED)),
        ("half a class", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1, 0]]), Error(FORMERR)),
        ("class 0", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1, 0, 0]]), Error(REFUSED)),
        ("class CH", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1, 0, 3]]), Error(REFUSED)),
        ("class NONE", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1, 0, 254]]), Error(REFUSED)),
        ("class ANY", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1, 0, 255]]), Error(REFUSED)),
        ("class IN with the mDNS bit", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 1, 128, 1]]), Error(REFUSED)),
        ("the root", asks(&[0]), Error(REFUSED)),
        ("label type 01", asks(b"\x41x\x00"), Error(FORMERR)),
        ("label type 10", asks(b"\x81x\x00"), Error(FORMERR)),
        ("label type 01 behind a label", asks(b"\x03web\x40\x00"), Error(FORMERR)),
        ("a label over the end", packet(RD, [1, 0, 0, 0], &[b"\x09web"]), Error(FORMERR)),
        ("a name that does not end", packet(RD, [1, 0, 0, 0], &[b"\x03web"]), Error(FORMERR)),
        ("a pointer to itself", asks(&[0xc0, 12]), Error(FORMERR)),
        ("a pointer to itself, behind a label", asks(b"\x01a\xc0\x0c"), Error(FORMERR)),
        ("two pointers, each to the other", asks(b"\xc0\x0e\xc0\x0c"), Error(FORMERR)),
        ("a pointer beyond the end", asks(&[0xff, 0xff]), Error(FORMERR)),
        ("half a pointer", packet(RD, [1, 0, 0, 0], &[&[0xc0]]), Error(FORMERR)),
        ("a pointer forwards", packet(RD, [1, 0, 0, 0], &[&[0xc0, 18], A_IN, WEB]), Answer),
        ("a pointer into the header", asks(&[0xc0, 4]), Error(REFUSED)),
        ("126 pointers", chain(126), Error(REFUSED)),
        ("127 pointers", chain(127), Error(FORMERR)),
        ("255 octets", asks(&name_255), Error(REFUSED)),
        ("256 octets", asks(&name_256), Error(FORMERR)),
        ("63 octets in a label", asks(&[&long_label[..], &WEB[12..]].concat()), Answer),
        ("OPT cut short", one([1, 0, 0, 1], &opt(&[])[..10]), Error(FORMERR)),
        ("OPT longer than the packet", one([1, 0, 0, 1], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4]), Error(FORMERR)),
        ("OPT not under the root", one([1, 0, 0, 1], &[&[1, b'x'][..], &opt(&[])].concat()), Answer),
        ("OPT of version 1", one([1, 0, 0, 1], &opt_record(Opt { size: 1232, ttl: 0x1_0000 }, &[])), Error(BADVERS)),
        ("OPT of version 255", one([1, 0, 0, 1], &opt_record(Opt { size: 0, ttl: 0xffff_ffff }, &[])), Error(BADVERS)),
        (
            "OPT of version 1 and class CH",
            packet(RD, [1, 0, 0, 1], &[WEB, &[0, 1, 0, 3], &opt_record(Opt { size: 512, ttl: 0x1_0000 }, &[])]),
            Error(REFUSED),
        ),
        (
            "the last of two OPT records counts",
            one([1, 0, 0, 2], &[opt(&[]), opt_record(Opt { size: 512, ttl: 0x1_0000 }, &[])].concat()),
            Error(BADVERS),
        ),
        ("OPT in the answer section", one([1, 1, 0, 0], &opt_record(Opt { size: 512, ttl: 0x1_0000 }, &[])), Answer),
        ("a bad option in the answer section", one([1, 1, 0, 0], &opt(&[0, 8, 0, 0])), Error(FORMERR)),
        ("half an option", one([1, 0, 0, 1], &opt(&[0, 10])), Error(FORMERR)),
        ("an option over the end", one([1, 0, 0, 1], &opt(&[0, 10, 0, 9, 1])), Error(FORMERR)),
        ("cookie", options(10, &[1; 8]), Answer),
        ("cookie of one octet", options(10, &[1]), Answer),
        ("NSID", options(3, &[]), Answer),
        ("padding", options(12, &[0; 100]), Answer),
        ("an unknown option", options(65001, &[1, 2, 3]), Answer),
        ("client subnet", options(8, &[0, 1, 24, 0, 10, 0, 0]), Answer),
        ("client subnet, IPv6", options(8, &[0, 2, 56, 0, 0xfd, 0, 0, 0, 0, 0, 0]), Answer),
        ("client subnet without octets", options(8, &[]), Error(FORMERR)),
        ("client subnet, three octets", options(8, &[0, 1, 24]), Error(FORMERR)),
        ("client subnet, family 0", options(8, &[0, 0, 0, 0]), Answer),
        ("client subnet, family 0 with a prefix", options(8, &[0, 0, 1, 0]), Error(FORMERR)),
        ("client subnet, family 3", options(8, &[0, 3, 0, 0]), Error(FORMERR)),
        ("client subnet, prefix 33 of IPv4", options(8, &[0, 1, 33, 0]), Error(FORMERR)),
        ("client subnet, scope 33 of IPv4", options(8, &[0, 1, 32, 33]), Error(FORMERR)),
        ("client subnet, prefix 129 of IPv6", options(8, &[0, 2, 129, 0]), Error(FORMERR)),
        ("long-lived query", options(1, &[0; 18]), Answer),
        ("long-lived query cut short", options(1, &[0; 17]), Error(FORMERR)),
        ("update lease", options(2, &[0; 4]), Answer),
        ("update lease of 5 octets", options(2, &[0; 5]), Error(FORMERR)),
        ("expire, empty", options(9, &[]), Answer),
        ("expire of 3 octets", options(9, &[0; 3]), Error(FORMERR)),
        ("keepalive, empty", options(11, &[]), Answer),
        ("keepalive of 1 octet", options(11, &[0]), Error(FORMERR)),
        ("extended error of 1 octet", options(15, &[0]), Error(FORMERR)),
        ("report channel, a name", options(18, b"\x01a\x00"), Answer),
        ("report channel, a name with more", options(18, b"\x01a\x00more"), Answer),
        ("report channel, no name", options(18, b"\x05a"), Error(FORMERR)),
        ("zone version of 1 octet", options(19, &[0]), Error(FORMERR)),
        (
            "a good option and a bad one",
            one([1, 0, 0, 1], &opt(&[option(10, &[1; 8]), option(8, &[])].concat())),
            Error(FORMERR),
        ),
        ("a record cut short", one([1, 0, 0, 1], &record(65280, b"data")[..13]), Error(FORMERR)),
        ("a record without data", one([1, 0, 0, 1], &record(1, &[])), Answer),
        ("an A record of 3 octets", one([1, 1, 0, 0], &record(1, &[1, 2, 3])), Error(FORMERR)),
        ("an A record of 5 octets", one([1, 0, 0, 1], &record(1, &[1, 2, 3, 4, 5])), Error(FORMERR)),
        ("an AAAA record of 4 octets", one([1, 0, 0, 1], &record(28, &[1, 2, 3, 4])), Error(FORMERR)),
        ("a CNAME record of no name", one([1, 0, 0, 1], &record(5, b"\x05a")), Error(FORMERR)),
        ("a CNAME record of a name and more", one([1, 0, 0, 1], &record(5, b"\x01a\x00more")), Error(FORMERR)),
        ("an SOA record that ends in a number", one([1, 0, 1, 0], &record(6, &soa[..9])), Error(FORMERR)),
        ("an SOA record that ends between numbers", one([1, 0, 1, 0], &record(6, &soa[..6])), Answer),
        ("an SOA record of one name", one([1, 0, 1, 0], &record(6, &soa[..1])), Answer),
        ("an SOA record with more", one([1, 0, 1, 0], &record(6, &[&soa[..], &[0]].concat())), Error(FORMERR)),
        (
            "a record whose name is a loop",
            packet(RD, [1, 0, 0, 1], &[&question, &[0xc0, 42], &record(1, &[1, 2, 3, 4])[1..]]),
            Answer,
        ),
        ("a type that does not exist", packet(RD, [1, 0, 0, 0], &[WEB, &[255, 254, 0, 1]]), Answer),
        ("type OPT", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 41, 0, 1]]), Answer),
        ("type AXFR", packet(RD, [1, 0, 0, 0], &[WEB, &[0, 252, 0, 1]]), Error(REFUSED)),
        ("all flags", packet(0x07ff, [1, 0, 0, 0], &[&question]), Answer),
    ];
    let mut wrong = Vec::new();
    for (rule, octets, expected) in &rules {
        for transport in [Transport::Udp, Transport::Tcp] {
            let served = serve(octets, transport);
            if due(&served) != *expected {
                wrong.push(format!("{rule}: expected {expected:?}, got {:?}", due(&served)));
                break;
            }
            check_judged(octets, &served).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The reply, or what was read, is octet for octet what miekg/dns makes of the packet.
fn check_judged(packet: &[u8], served: &Served) -> Result<(), TestCaseError> {
    let mut query = Query::new();
    let read = query.read(packet);
    match miekg::judge(packet) {
        Judged::Silence => {
            prop_assert_eq!(read, Err(Reject::Silence), "{:02x?}", packet);
            prop_assert_eq!(served, &Served::Silence);
        }
        Judged::Reply(reply) => {
            prop_assert!(matches!(read, Err(Reject::Reply(_))), "{read:?} of {packet:02x?}, miekg/dns: {reply:02x?}");
            prop_assert_eq!(served.octets(), Some(&reply[..]), "{:02x?}", packet);
        }
        Judged::Accept(accepted) => {
            prop_assert_eq!(read, Ok(()), "{:02x?}", packet);
            prop_assert_ne!(served, &Served::Silence, "{:02x?}", packet);
            let found = Accepted {
                qname: labels(query.raw_qname()),
                qtype: query.qtype(),
                qclass: query.qclass(),
                opt: query.edns().map(|edns| (edns.udp_size, edns.ttl)),
            };
            prop_assert_eq!(&found, &*accepted, "{:02x?}", packet);
            // The reply repeats the question as asked.
            let reply = Reply::read(served.octets().unwrap()).unwrap();
            prop_assert_eq!(reply.question, [(accepted.qname, accepted.qtype, accepted.qclass)]);
        }
    }
    Ok(())
}

/// The flags of the server's own replies, bit by bit.
#[test]
fn the_flags_of_errors() {
    let question = [WEB, A_IN].concat();
    let flags = |served: Served| u16::from_be_bytes(served.octets().unwrap()[2..4].try_into().unwrap());
    for bits in 0..=0x07ffu16 {
        let ask = |opcode: u16, counts| serve(&packet(opcode << 11 | bits, counts, &[&question]), Transport::Udp);
        let kept = bits & 0x03b0;
        assert_eq!(flags(ask(0, [2, 0, 0, 0])), 0x8000 | kept | FORMERR, "TC, RD, RA, AD and CD stay: {bits:03x}");
        assert_eq!(flags(ask(4, [2, 0, 0, 0])), 0x8000 | kept | FORMERR, "the opcode does not");
        assert_eq!(flags(ask(5, [1, 0, 0, 0])), 0xa800 | kept | NOTIMP, "but for NOTIMP");
        let header = serve(&packet(bits, [1, 0, 0, 0], &[]), Transport::Udp);
        assert_eq!(flags(header), 0x8000 | bits & 0x0110 | SERVFAIL, "RD and CD stay");
        let header = serve(&packet(0x2000 | bits, [1, 0, 0, 0], &[]), Transport::Udp);
        assert_eq!(flags(header), 0xa000 | SERVFAIL, "of a NOTIFY they do not");
        assert_eq!(flags(ask(0, [1, 0, 0, 0])), 0x8400 | bits & 0x0110);
    }
}

/// BADVERS says which version is served, and nothing of the client's size or flags (CoreDNS's `edns.Version`).
#[test]
fn the_reply_to_an_unknown_version() {
    let ask = Ask::new(Name::of("web.default.svc.cluster.local"), A).edns(1232, 0x0007_8000);
    let served = serve(&ask.packet(), Transport::Udp);
    let reply = Reply::read(served.octets().unwrap()).unwrap();
    assert_eq!(reply.opt, Some(Opt { size: 0, ttl: 0x0100_0000 }));
    assert_eq!((reply.rcode, reply.aa, reply.answer.len()), (BADVERS, false, 0));
}

/// Good queries of all sorts, to be mutilated.
fn good() -> impl Strategy<Value = Vec<u8>> {
    let options = vec((prop_oneof![0..20u16, any::<u16>()], vec(any::<u8>(), 0..20)), 0..4)
        .prop_map(|options| options.into_iter().flat_map(|(code, data)| option(code, &data)).collect::<Vec<_>>());
    let data = prop_oneof![
        vec(any::<u8>(), 0..24),
        Just(b"\x01a\x00".to_vec()),
        Just(b"\xc0\x0c".to_vec()),
        Just([&b"\x01a\x00\xc0\x0c"[..], &[0; 20]].concat()),
    ];
    // The types whose data `common::miekg` knows, and unknown ones.
    let records = vec((proptest::sample::select(&[1u16, 2, 5, 6, 12, 28, 41, 41, 65280, 65281][..]), data), 0..4);
    (random::asks(&demo()), proptest::option::of(options), records).prop_map(|(ask, options, records)| {
        let mut packet = Ask { opt: None, ..ask.clone() }.packet();
        let mut counts = [0u16; 3];
        for (index, (rtype, data)) in records.into_iter().enumerate() {
            counts[index % 3] += 1;
            packet.extend(record(rtype, &data));
        }
        if let Some(opt) = ask.opt {
            counts[2] += 1;
            packet.extend(opt_record(opt, &options.unwrap_or_default()));
        }
        for (index, count) in counts.into_iter().enumerate() {
            packet[6 + 2 * index..8 + 2 * index].copy_from_slice(&count.to_be_bytes());
        }
        packet
    })
}

/// A blow to a packet.
#[derive(Clone, Debug)]
enum Blow {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    /// A pointer to anywhere near.
    Point(prop::sample::Index, u16),
    Extend(Vec<u8>),
}

fn blows() -> impl Strategy<Value = Vec<Blow>> {
    let index = any::<prop::sample::Index>;
    let blow = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, octet)| Blow::Set(at, octet)),
        (index(), 0..8u8).prop_map(|(at, bit)| Blow::Flip(at, bit)),
        index().prop_map(Blow::Cut),
        index().prop_map(Blow::Remove),
        (index(), vec(any::<u8>(), 1..20)).prop_map(|(at, octets)| Blow::Insert(at, octets)),
        (index(), 0..300u16).prop_map(|(at, to)| Blow::Point(at, to)),
        vec(any::<u8>(), 0..40).prop_map(Blow::Extend),
    ];
    vec(blow, 0..4)
}

fn struck(mut packet: Vec<u8>, blows: Vec<Blow>) -> Vec<u8> {
    for blow in blows {
        let len = packet.len();
        match blow {
            Blow::Extend(octets) => packet.extend(octets),
            _ if len == 0 => {}
            Blow::Set(at, octet) => packet[at.index(len)] = octet,
            Blow::Flip(at, bit) => packet[at.index(len)] ^= 1 << bit,
            Blow::Cut(at) => packet.truncate(at.index(len)),
            Blow::Remove(at) => _ = packet.remove(at.index(len)),
            Blow::Insert(at, octets) => {
                let at = at.index(len);
                packet.splice(at..at, octets);
            }
            Blow::Point(at, to) => {
                let at = at.index(len);
                packet.splice(at..(at + 2).min(len), (0xc000 | to).to_be_bytes());
            }
        }
    }
    packet
}

/// Whether a packet holds a record of a type whose data `common::miekg` does not know: then it is not compared.
fn known_to_miekg(packet: &[u8]) -> bool {
    const KNOWN: [u16; 8] = [0, 1, 2, 5, 6, 12, 28, 41];
    miekg::record_types(packet).into_iter().all(|rtype| KNOWN.contains(&rtype) || rtype > 0x8100)
}

proptest! {
    #![proptest_config(random::runs(20_000))]

    #[test]
    fn mutilated_queries_are_judged_as_miekg_does(good in good(), blows in blows(), tcp in any::<bool>()) {
        let packet = struck(good, blows);
        let served = serve(&packet, if tcp { Transport::Tcp } else { Transport::Udp });
        if known_to_miekg(&packet) {
            check_judged(&packet, &served)?;
        }
    }

    #[test]
    fn any_octets_at_all(packet in vec(any::<u8>(), 0..600), like_a_query in any::<bool>()) {
        let mut packet = packet;
        if like_a_query && packet.len() >= 12 {
            let counts = [packet[7] & 1, packet[9] & 1, packet[11] & 1];
            packet[2..12].copy_from_slice(&[1, 0, 0, 1, 0, counts[0], 0, counts[1], 0, counts[2]]);
        }
        let served = serve(&packet, Transport::Udp);
        if known_to_miekg(&packet) {
            check_judged(&packet, &served)?;
        }
    }

    /// An upstream can send anything as well: the reply stays one that can be read.
    #[test]
    fn any_octets_of_an_upstream(
        records in random::upstreams(),
        blows in blows(),
        size in random::udp_size(),
    ) {
        use rustk8s::{Client, Outcome, Scratch, Upstream};
        let Up::Answer { truncated, records } = records else { return Ok(()) };
        let message = common::reply::upstream_message(&Name::of("www.example.com"), A, truncated, &records);
        let message = struck(message, blows);
        let ask = Ask::new(Name::of("alias.default.svc.cluster.local"), A).edns(size, 0);
        let mut query = Query::new();
        query.read(&ask.packet()).unwrap();
        let (mut scratch, mut out) = (Scratch::new(), Vec::new());
        for transport in [Transport::Udp, Transport::Tcp] {
            let client = Client { addr: ips(&["127.0.0.1"])[0], transport };
            let outcome = snapshot().resolve(&query, &client, Upstream::Answer(&message), &mut scratch, &mut out);
            prop_assert!(matches!(outcome, Outcome::Answer(_)));
            prop_assert!(out.len() <= ask.limit(transport));
            // hickory-proto looks into more types than these; where it does, the upstream is to blame.
            if miekg::record_types(&message).into_iter().all(|rtype| [1, 5, 15, 28, 65280].contains(&rtype)) {
                check_walk(&out);
            }
        }
    }
}

/// Walks over a message with code of this file only: each name and record is in its place, and nothing is behind.
fn check_walk(message: &[u8]) {
    let end = miekg::walk(message);
    assert_eq!(end, Some(message.len()), "{message:02x?}");
}

/// Labels may hold any octets. None of these is the name of an object, and each is repeated as asked.
#[test]
fn labels_of_any_octets() {
    let base = Name::of("default.svc.cluster.local");
    let web = |label: &[u8]| Name(vec![label.to_vec()]).under(&base);
    let full = Name(vec![b"web.default".to_vec(), b"svc".to_vec()]).under(&Name::of("cluster.local"));
    let zone_in_a_label = Name(vec![b"web.default.svc.cluster.local".to_vec()]);
    let dotted_zone = Name(vec![b"web".to_vec(), b"default".to_vec(), b"svc".to_vec(), b"cluster.local".to_vec()]);
    let long = [b'w'; 63];
    let exists = [web(b"web"), web(b"WEB"), web(b"wEb")];
    let not_there = [
        web(b"web\0"),
        web(b"\0web"),
        web(b"we\\b"),
        web(b"\\web"),
        web(b"web\\"),
        web(b"web."),
        web(b".web"),
        web(b"web "),
        web(b"w\xe9b"),
        web(b"\xff"),
        web(b"\x7feb"),
        web(b"web\n"),
        web(b"\\119eb"),
        web(b"_web"),
        web(b"*"),
        web(b"any"),
        web(b"."),
        web(&long),
        full.clone(),
        // Of the letters only: '@' is before 'A', '[' behind 'Z', and have no small form.
        web(b"w\x45b\x20"),
        web(b"\x17eb"),
        web(b"7eb"),
        Name(vec![b"10.0.0.1".to_vec(), b"default".to_vec(), b"pod".to_vec()]).under(&Name::of("cluster.local")),
        Name(vec![b"10-0-0-1\0".to_vec(), b"default".to_vec(), b"pod".to_vec()]).under(&Name::of("cluster.local")),
        Name(vec![b"10-0-0-1".to_vec(), b"default".to_vec(), b"pod\0".to_vec()]).under(&Name::of("cluster.local")),
        Name(vec![b"db-0\0".to_vec()]).under(&Name::of("db.default.svc.cluster.local")),
        Name(vec![b"db-0.db".to_vec()]).under(&base),
        Name(vec![b"_http".to_vec(), b"_tcp\0".to_vec()]).under(&Name::of("web.default.svc.cluster.local")),
        Name(vec![b"_http\\".to_vec(), b"_tcp".to_vec()]).under(&Name::of("web.default.svc.cluster.local")),
        Name(vec![b"__http".to_vec(), b"_tcp".to_vec()]).under(&Name::of("web.default.svc.cluster.local")),
    ];
    for (names, rcode) in [(&exists[..], 0), (&not_there[..], 3)] {
        for name in names {
            for qtype in [A, SRV, PTR, 255] {
                let served = serve(&Ask::new(name.clone(), qtype).packet(), Transport::Udp);
                let reply = Reply::read(served.octets().unwrap()).unwrap();
                assert_eq!(reply.question, [(name.clone(), qtype, 1)]);
                assert_eq!(reply.rcode, rcode, "{name:?} {qtype}");
                assert!(matches!(served, Served::Answer(_)), "{name:?}");
                assert!(reply.answer.is_empty() || rcode == 0);
            }
        }
    }
    // A dot in a label does not make it end in the zone.
    for name in [zone_in_a_label, dotted_zone] {
        assert_eq!(due(&serve(&Ask::new(name.clone(), A).packet(), Transport::Udp)), Error(REFUSED), "{name:?}");
    }
    for labels in [["1.0", "96", "10", "in-addr", "arpa"], ["1", "0", "96.10", "in-addr", "arpa"]] {
        let served = serve(&Ask::new(Name::labels(&labels), PTR).packet(), Transport::Udp);
        assert_eq!(Reply::read(served.octets().unwrap()).unwrap().rcode, 3, "{labels:?}");
    }
}

/// A name of the most octets and of the most labels: repeated as asked, and with room for everything behind it.
#[test]
fn the_longest_names() {
    let zone = Name::of("svc.cluster.local");
    let fill = 255 - zone.wire_len();
    let mut long = Name(vec![vec![b'L'; 63]; fill / 64]);
    long.0.push(vec![b'm'; fill % 64 - 1]);
    let many = Name(vec![vec![b'x']; fill / 2 - 1]);
    let many = if fill.is_multiple_of(2) {
        Name([many.0, vec![vec![b'y']]].concat())
    } else {
        Name([many.0, vec![vec![b'y'; 2]]].concat())
    };
    for left in [long, many] {
        let name = left.under(&zone);
        assert_eq!(name.wire_len(), 255);
        for qtype in [A, SRV, PTR, 16, 6] {
            for ask in [Ask::new(name.clone(), qtype), Ask::new(name.clone(), qtype).edns(0, 0x8000)] {
                let served = serve(&ask.packet(), Transport::Udp);
                assert!(served.octets().unwrap().len() <= 512);
                let reply = Reply::read(served.octets().unwrap()).unwrap();
                assert_eq!(reply.question, [(name.clone(), qtype, 1)]);
                assert_eq!((reply.tc, reply.authority.len(), reply.opt.is_some()), (false, 1, ask.opt.is_some()));
            }
        }
    }
    // 63 octets, in capitals, of a Service that is there.
    let service = "s".repeat(63);
    let cluster = cluster().service(&service, Backing::ClusterIps(ips(&["10.96.0.9"])), &[]);
    let name = Name::of(&service.to_uppercase()).under(&Name::of("default.svc.cluster.local"));
    let served = Server::default().serve(
        &cluster.snapshot(),
        &Ask::new(name.clone(), A).packet(),
        Transport::Udp,
        &Up::NotAsked,
    );
    let reply = Reply::read(served.octets().unwrap()).unwrap();
    assert_eq!(reply.answer, [Rec { owner: name, rtype: A, ttl: 5, data: Data::Address(ips(&["10.96.0.9"])[0]) }]);
}
