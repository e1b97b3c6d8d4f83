//! Every message that the engine writes, hickory-proto reads back equal; and what it says is what the rules say.
#![allow(clippy::unwrap_used)]

mod common;

use common::ask::{Ask, CD, RD};
use common::cluster::{Backing, Cluster, Endpoint, Port, Slice, cluster, ips, nth_ip, port};
use common::miekg;
use common::model::{self, A, AAAA, Answer, Expected, NS, PTR, SRV, Up, counted};
use common::name::Name;
use common::random;
use common::reply::{Data, Rec, Reply};
use common::serve::{Served, Server};
use hickory_proto::op::Message;
use proptest::collection::vec;
use proptest::prelude::*;
use rustk8s::Snapshot;
use rustk8s::wire::Transport;

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
    // hickory-proto compresses less, and what does not fit into 64 KiB again cannot be the same.
    if octets.len() < 30_000 {
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
        if whole {
            prop_assert_eq!(found, expected);
        } else {
            for (rec, count) in found {
                prop_assert!(expected.get(rec).is_some_and(|&most| count <= most), "{:?}", rec);
            }
        }
    }
    if !whole {
        // One more of the records that are missing would not have fitted. They differ in length by their names alone.
        let [answer, authority, mut additional] = sections.map(|(found, _)| found.clone());
        let missing = |found: &[Rec], expected: &[Rec]| expected.iter().find(|rec| !found.contains(rec)).cloned();
        let mut answer = answer;
        match missing(&answer, &expected.answer) {
            Some(rec) => answer.push(longest_of(&expected.answer, rec)),
            None => {
                additional.push(longest_of(&expected.additional, missing(&additional, &expected.additional).unwrap()))
            }
        }
        let kept = miekg::truncated(ask, [&answer, &authority, &additional], 65535);
        prop_assert!(kept.iter().sum::<usize>() < answer.len() + authority.len() + additional.len(), "cut too early");
    }
    Ok(())
}

/// A record like `rec` with a target as long as any.
fn longest_of(all: &[Rec], rec: Rec) -> Rec {
    let size = |rec: &Rec| match &rec.data {
        Data::Srv { target, .. } | Data::Name(target) => target.wire_len(),
        _ => rec.owner.wire_len(),
    };
    all.iter().max_by_key(|rec| size(rec)).cloned().unwrap_or(rec)
}

/// The reply over UDP is the beginning of each section, as much of it as miekg/dns would leave.
fn check_cut(ask: &Ask, expected: &Answer, tcp: &Reply, udp: &Reply) -> Result<(), TestCaseError> {
    let sections = [&tcp.answer, &tcp.authority, &tcp.additional];
    let kept = miekg::truncated(ask, sections.map(Vec::as_slice), ask.limit(Transport::Udp));
    let found = [&udp.answer, &udp.authority, &udp.additional];
    prop_assert_eq!(found.map(Vec::len), kept, "of {:?}", sections.map(Vec::len));
    let mut cut = tcp.tc;
    for (found, all) in found.iter().zip(sections) {
        prop_assert_eq!(&found[..], &all[..found.len()]);
        cut |= found.len() < all.len();
    }
    prop_assert_eq!(udp.tc, cut || expected.truncated);
    prop_assert_eq!((udp.rcode, udp.aa), (tcp.rcode, tcp.aa));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_of_any_cluster(
        (cluster, asks) in random::clusters().prop_flat_map(|cluster| {
            let zones = cluster.config.zones.clone();
            (Just(cluster), vec((random::asks(zones), random::upstreams()), 1..40))
        }),
    ) {
        let mut bench = Bench::new(&cluster);
        for (ask, up) in &asks {
            bench.check(ask, up)?;
        }
    }
}
