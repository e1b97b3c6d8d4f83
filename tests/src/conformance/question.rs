//! Questions for a cluster: names that exist, nearly exist and must not, in every type, spelling,
//! EDNS form, flag, class and transport, and packets that are no questions.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::cluster::{LABEL_CLUSTER, LABEL_IMPORT, LABEL_SERVICE, array, text};
use super::exchange::Transport;
use super::options::OptionSet;
use super::rng::Rng;
use super::wire::{Message, Name, flag, hex, rtype, unhex};

/// A packet to send and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Query {
    /// The message, identifier zero.
    pub wire: Vec<u8>,
    /// How it travels.
    pub transport: Transport,
    /// The address that it comes from, for UDP over IPv4; `None` is 127.0.0.1.
    pub source: Option<Ipv4Addr>,
}

impl Query {
    /// A plain query: RD set, class IN, no EDNS, UDP over IPv4.
    pub fn simple(name: &str, qtype: u16) -> Self {
        let wire = Builder::new(Name::from_text(name), qtype).build();
        Self { wire, transport: Transport::Udp4, source: None }
    }

    /// The query as one token, to ask it again from the command line.
    pub fn token(&self) -> String {
        let source = self.source.map(|s| format!("@{s}")).unwrap_or_default();
        format!("{}{source}:{}", self.transport, hex(&self.wire))
    }

    /// The query of a token.
    pub fn from_token(token: &str) -> Option<Self> {
        let (head, wire) = token.split_once(':')?;
        let (transport, source) = match head.split_once('@') {
            Some((transport, source)) => (transport, Some(source.parse().ok()?)),
            None => (head, None),
        };
        let transport = match transport {
            "udp4" => Transport::Udp4,
            "udp6" => Transport::Udp6,
            "tcp4" => Transport::Tcp4,
            "tcp6" => Transport::Tcp6,
            _ => return None,
        };
        Some(Self { wire: unhex(wire)?, transport, source })
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.transport)?;
        if let Some(source) = self.source {
            write!(f, " from {source}")?;
        }
        match Message::parse(&self.wire) {
            Ok(message) => write!(f, " {message}"),
            Err(error) => write!(f, " {} bytes that are no message ({error}): {}", self.wire.len(), hex(&self.wire)),
        }
    }
}

/// Builds a query message.
#[derive(Debug, Clone)]
pub struct Builder {
    /// The header's second word.
    pub flags: u16,
    /// The name asked.
    pub qname: Name,
    /// The type asked.
    pub qtype: u16,
    /// The class asked.
    pub qclass: u16,
    /// Further records: section (1 answer, 2 authority, 3 additional) and wire form.
    pub records: Vec<(usize, Vec<u8>)>,
}

impl Builder {
    /// RD set, class IN, nothing else.
    pub fn new(qname: Name, qtype: u16) -> Self {
        Self { flags: flag::RD, qname, qtype, qclass: 1, records: Vec::new() }
    }

    /// Adds an OPT record.
    pub fn edns(&mut self, size: u16, version: u8, flags: u16, options: &[(u16, Vec<u8>)]) {
        self.records.push((3, opt_record(&Name::default(), size, version, flags, options)));
    }

    /// The message, identifier zero.
    pub fn build(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend(self.flags.to_be_bytes());
        let count = |section| self.records.iter().filter(|(s, _)| *s == section).count() as u16;
        for count in [1, count(1), count(2), count(3)] {
            out.extend(count.to_be_bytes());
        }
        self.qname.write(&mut out);
        out.extend(self.qtype.to_be_bytes());
        out.extend(self.qclass.to_be_bytes());
        for section in 1..=3 {
            for (_, record) in self.records.iter().filter(|(s, _)| *s == section) {
                out.extend_from_slice(record);
            }
        }
        out
    }
}

fn opt_record(owner: &Name, size: u16, version: u8, flags: u16, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut data = Vec::new();
    for (code, value) in options {
        data.extend(code.to_be_bytes());
        data.extend((value.len() as u16).to_be_bytes());
        data.extend_from_slice(value);
    }
    let [high, low] = flags.to_be_bytes();
    record(owner, rtype::OPT, size, u32::from_be_bytes([0, version, high, low]), &data)
}

fn record(owner: &Name, rtype: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    owner.write(&mut out);
    out.extend(rtype.to_be_bytes());
    out.extend(class.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend((data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
    out
}

/// The name that PTR questions ask for an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
pub fn reverse_name(address: IpAddr) -> Name {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            Name::from_text(format!("{d}.{c}.{b}.{a}.in-addr.arpa"))
        }
        IpAddr::V6(v6) => {
            let mut labels: Vec<String> = Vec::new();
            for octet in v6.octets().iter().rev() {
                labels.push(format!("{:x}", octet & 15));
                labels.push(format!("{:x}", octet >> 4));
            }
            Name::from_text(labels.join(".") + ".ip6.arpa")
        }
    }
}

/// The names that a cluster gives cause to ask, by what they are.
#[derive(Debug, Default)]
struct Names {
    /// Names of Services, their ports and endpoints, pods; some exist, some do not.
    forward: Vec<String>,
    /// Zones, `svc`, `pod`, namespaces, `dns-version`, and the like.
    structure: Vec<String>,
    /// Names that are reversed addresses.
    reverse: Vec<Name>,
    /// Names outside of every zone.
    outside: Vec<String>,
}

/// `count` questions for the cluster under the option set.
pub fn questions(objects: &[Value], set: &OptionSet, seed: u64, count: usize) -> Vec<Query> {
    let mut rng = Rng::new(seed, "questions");
    let names = collect(objects, set, &mut rng);
    let sources: Vec<Ipv4Addr> = (70..=90).map(|n| Ipv4Addr::new(127, 0, 0, n)).collect();
    let mut out = Vec::with_capacity(count);
    // Once each: every name that is not a variation, for its natural types.
    let natural = names.forward.iter().chain(&names.structure).map(Name::from_text);
    let mut plain: Vec<(Name, u16)> = Vec::new();
    for name in natural {
        for qtype in [rtype::A, rtype::AAAA, rtype::SRV] {
            plain.push((name.clone(), qtype));
        }
    }
    plain.extend(names.reverse.iter().map(|name| (name.clone(), rtype::PTR)));
    rng.shuffle(&mut plain);
    plain.truncate(count / 2);
    for (name, qtype) in plain {
        let mut builder = Builder::new(name, qtype);
        if rng.chance(30) {
            builder.edns(*rng.pick(&[1232, 4096, 512, 65_535]), 0, 0, &[]);
        }
        if builder.qname.is_valid() {
            out.push(Query { wire: builder.build(), transport: transport(&mut rng), source: None });
        }
    }
    while out.len() < count {
        let wire = if rng.chance(4) { malformed(&names, &mut rng) } else { question(&names, set, &mut rng) };
        let mut transport = transport(&mut rng);
        let mut source = None;
        if set.from_pods && rng.chance(60) {
            transport = Transport::Udp4;
            source = Some(*rng.pick(&sources));
        }
        out.push(Query { wire, transport, source });
    }
    out
}

fn transport(rng: &mut Rng) -> Transport {
    match rng.below(20) {
        0 | 1 => Transport::Tcp4,
        2 => Transport::Tcp6,
        3..=5 => Transport::Udp6,
        _ => Transport::Udp4,
    }
}

/// Whether the DNS text form of these labels is what [`Name::from_text`] reads back: no label is empty or too long.
fn usable(text: &str) -> bool {
    Name::from_text(text).is_valid()
}

fn dashed(address: &str) -> String {
    address.replace(['.', ':'], "-")
}

fn collect(objects: &[Value], set: &OptionSet, rng: &mut Rng) -> Names {
    let mut names = Names::default();
    let mut namespaces: BTreeSet<String> = ["sentinel", "nosuch", "DEFAULT", "*", "any"].map(str::to_owned).into();
    let mut addresses: BTreeSet<String> = BTreeSet::new();
    for object in objects {
        for pointer in ["/metadata/namespace", "/metadata/name"] {
            let is_namespace = pointer == "/metadata/namespace" || object["kind"] == "Namespace";
            if let Some(namespace) = text(object, pointer).filter(|_| is_namespace) {
                namespaces.insert(namespace.to_owned());
            }
        }
        addresses.extend(addresses_of(object).map(str::to_owned));
        for zone in set.zones.iter().chain(set.external_zones) {
            forward_names(object, zone.trim_end_matches('.'), rng, &mut names.forward);
        }
    }
    for zone in set.zones.iter().chain(set.external_zones) {
        let zone = zone.trim_end_matches('.');
        for head in [
            "",
            "svc",
            "pod",
            "dns-version",
            "ns.dns",
            "apex.dns",
            "dns",
            "hostmaster",
            "x",
            "svc.svc",
            "pod.pod",
            "x.dns-version",
            "dns-version.svc",
            "dns-version.default.svc",
            "ns.dns.svc",
            "_tcp.svc",
            "a.b.c.d.e.f",
            "x.pin._zone.svc",
            "_zone.x.default.svc",
            "*",
            "*.svc",
            "any.any.svc",
            "*.*.svc",
            "*.default.svc",
            "any.default.pod",
        ] {
            names.structure.push(join(head, zone));
        }
        for namespace in &namespaces {
            for kind in ["svc", "pod", "x", "SVC"] {
                names.structure.push(join(&format!("{namespace}.{kind}"), zone));
            }
            for head in [
                "nosuch",
                "1-2-3-4",
                "2001-db8--1",
                "1-2-3",
                "256-1-1-1",
                "-",
                "--",
                "1--1",
                "a-b-c-d",
                "01-2-3-4",
                "ffff",
            ] {
                names.forward.push(join(&format!("{head}.{namespace}.pod"), zone));
            }
            names.forward.push(join(&format!("nosuch.{namespace}.svc"), zone));
        }
        names.outside.push(format!("x{zone}"));
        // The parent of the zone, and a sibling of it.
        if let Some((_, parent)) = zone.split_once('.') {
            names.outside.push(parent.to_owned());
            names.outside.push(format!("sibling.{parent}"));
        }
    }
    for n in [
        "",
        "com",
        "example.test",
        "www1.example.test",
        "www.example.org",
        "other.test",
        "default.svc",
        "localhost",
        "version.bind",
        "id.server",
        "s1.default.svc",
    ] {
        names.outside.push(n.to_owned());
    }
    for address in &addresses {
        if let Ok(ip) = address.parse::<IpAddr>() {
            names.reverse.push(reverse_name(ip));
        }
    }
    for fixed in ["192.0.2.1", "10.96.255.254", "127.0.0.1", "2001:db8::1", "fd00:10:96::ffff", "::", "::1", "0.0.0.0"]
    {
        names.reverse.extend(fixed.parse().ok().map(reverse_name));
    }
    if !set.reverse {
        names.reverse.truncate(8);
    }
    names.forward.retain(|name| usable(name));
    names.structure.retain(|name| usable(name));
    names.outside.retain(|name| usable(name));
    names
}

fn join(head: &str, zone: &str) -> String {
    match (head, zone) {
        ("", zone) => zone.to_owned(),
        (head, "") => head.to_owned(),
        _ => format!("{head}.{zone}"),
    }
}

/// Every address that an object mentions.
fn addresses_of(object: &Value) -> impl Iterator<Item = &str> {
    let direct = ["/spec/clusterIP", "/status/podIP"].into_iter().filter_map(|p| text(object, p));
    let lists = ["/spec/clusterIPs", "/spec/externalIPs", "/spec/ips"]
        .into_iter()
        .flat_map(|p| array(object, p))
        .filter_map(Value::as_str);
    let nested = ["/status/podIPs", "/status/loadBalancer/ingress"]
        .into_iter()
        .flat_map(|p| array(object, p))
        .filter_map(|v| text(v, "/ip"));
    let endpoints = array(object, "/endpoints").iter().flat_map(|e| array(e, "/addresses")).filter_map(Value::as_str);
    direct.chain(lists).chain(nested).chain(endpoints)
}

/// Names under `zone` that an object makes exist, or nearly.
fn forward_names(object: &Value, zone: &str, rng: &mut Rng, out: &mut Vec<String>) {
    let kind = text(object, "/kind").unwrap_or_default();
    let namespace = text(object, "/metadata/namespace").unwrap_or_default();
    let own_name = text(object, "/metadata/name").unwrap_or_default();
    let label = |label: &str| object["metadata"]["labels"][label].as_str();
    match kind {
        "Service" | "ServiceImport" => {
            let base = format!("{own_name}.{namespace}");
            let full = join(&format!("{base}.svc"), zone);
            out.push(full.clone());
            out.push(join(&format!("{base}.pod"), zone));
            out.push(join(&base, zone)); // as k8s_external has it
            out.push(format!("_{own_name}.{namespace}.svc.{zone}"));
            for port in array(object, "/spec/ports") {
                let name = text(port, "/name").unwrap_or_default();
                let protocol = text(port, "/protocol").unwrap_or("TCP").to_lowercase();
                for head in [
                    format!("_{name}._{protocol}"),
                    format!("{name}.{protocol}"),
                    format!("_{name}.{protocol}"),
                    format!("{name}._{protocol}"),
                    format!("_{name}._sctp"),
                    format!("_{name}"),
                    format!("_{protocol}"),
                    format!("_._{protocol}"),
                    format!("__{name}.__{protocol}"),
                    format!("_{protocol}._{name}"),
                ] {
                    if rng.chance(50) {
                        out.push(format!("{head}.{full}"));
                    }
                }
            }
            for head in [
                "_._",
                "_nosuch._tcp",
                "a.b",
                "_._tcp",
                "x",
                "_http._tcp.x",
                "us-west-2a.pin._zone",
                "us-west-2a.prefer._zone",
                "us-west-2z.pin._zone",
                "us-west-2z.prefer._zone",
                "corp.example.com.pin._zone",
                "EU-central.Pin._ZONE",
                "x.other._zone",
                "pin._zone",
                "_zone",
            ] {
                if rng.chance(35) {
                    out.push(format!("{head}.{full}"));
                }
            }
            if let Some(external) = text(object, "/spec/externalName") {
                out.push(external.to_owned());
            }
            for address in array(object, "/spec/clusterIPs").iter().filter_map(Value::as_str) {
                out.push(format!("{}.{full}", dashed(address)));
            }
        }
        "EndpointSlice" => {
            for service in [label(LABEL_SERVICE), label(LABEL_IMPORT)].into_iter().flatten() {
                let base = join(&format!("{service}.{namespace}.svc"), zone);
                let external = join(&format!("{service}.{namespace}"), zone);
                let cluster = label(LABEL_CLUSTER).unwrap_or("east");
                for endpoint in array(object, "/endpoints").iter().take(6) {
                    let mut heads: Vec<String> = array(endpoint, "/addresses")
                        .iter()
                        .filter_map(Value::as_str)
                        .flat_map(|a| [dashed(a), dashed(a) + "0"])
                        .collect();
                    heads.extend(text(endpoint, "/hostname").map(str::to_owned));
                    heads.extend(text(endpoint, "/targetRef/name").map(str::to_owned));
                    for head in heads.into_iter().filter(|h| !h.is_empty()) {
                        out.push(format!("{head}.{base}"));
                        if rng.chance(40) {
                            out.push(format!("{head}.{external}"));
                            out.push(format!("{head}.{cluster}.{base}"));
                            out.push(format!("{head}.west.{base}"));
                            out.push(format!("_{head}.{base}"));
                            out.push(format!("_http._tcp.{head}.{base}"));
                        }
                    }
                    if let Some(topology) = text(endpoint, "/zone").filter(|z| !z.is_empty()) {
                        for directive in ["pin", "prefer", "other"] {
                            if rng.chance(40) {
                                out.push(format!("{topology}.{directive}._zone.{base}"));
                            }
                        }
                    }
                }
                for port in array(object, "/ports") {
                    let name = text(port, "/name").unwrap_or_default();
                    let protocol = text(port, "/protocol").unwrap_or("TCP").to_lowercase();
                    out.push(format!("_{name}._{protocol}.{base}"));
                    out.push(format!("_{name}._{protocol}.{external}"));
                }
            }
        }
        "Pod" => {
            for address in addresses_of(object) {
                let head = dashed(address);
                out.push(join(&format!("{head}.{namespace}.pod"), zone));
                if rng.chance(40) {
                    out.push(join(&format!("{head}.default.pod"), zone));
                    out.push(join(&format!("{head}.nosuch.pod"), zone));
                    out.push(join(&format!("x.{head}.{namespace}.pod"), zone));
                    out.push(join(&format!("_http._tcp.{head}.{namespace}.pod"), zone));
                    out.push(join(&format!("{head}.{namespace}.svc"), zone));
                }
            }
            out.push(join(&format!("{own_name}.{namespace}.pod"), zone));
            // The search path of a client in that namespace.
            out.push(join(&format!("s1.{namespace}.svc"), zone));
            out.push(join(&format!("www.example.test.{namespace}.svc"), zone));
        }
        _ => {}
    }
}

/// The types asked, the usual ones more often.
fn pick_type(rng: &mut Rng) -> u16 {
    const COMMON: [u16; 12] = [
        rtype::A,
        rtype::A,
        rtype::A,
        rtype::AAAA,
        rtype::AAAA,
        rtype::SRV,
        rtype::SRV,
        rtype::PTR,
        rtype::CNAME,
        rtype::TXT,
        rtype::NS,
        rtype::SOA,
    ];
    const RARE: [u16; 24] = [
        rtype::MX,
        rtype::ANY,
        rtype::HTTPS,
        rtype::SVCB,
        rtype::DS,
        rtype::NAPTR,
        rtype::CAA,
        rtype::DNSKEY,
        rtype::RRSIG,
        rtype::NSEC,
        rtype::HINFO,
        rtype::SPF,
        rtype::URI,
        rtype::AXFR,
        rtype::IXFR,
        rtype::OPT,
        0,
        65_535,
        38,
        39,
        253,
        254,
        249,
        250,
    ];
    match rng.below(100) {
        0..=79 => *rng.pick(&COMMON),
        80..=97 => *rng.pick(&RARE),
        _ => rng.next_u64() as u16,
    }
}

fn question(names: &Names, set: &OptionSet, rng: &mut Rng) -> Vec<u8> {
    let (mut name, mut qtype) = match rng.below(100) {
        0..=59 if !names.forward.is_empty() => (Name::from_text(rng.pick(&names.forward)), pick_type(rng)),
        60..=74 if !names.structure.is_empty() => (Name::from_text(rng.pick(&names.structure)), pick_type(rng)),
        75..=94 if set.reverse || rng.chance(5) => {
            (rng.pick(&names.reverse).clone(), if rng.chance(75) { rtype::PTR } else { pick_type(rng) })
        }
        _ => (Name::from_text(rng.pick(&names.outside)), pick_type(rng)),
    };
    if rng.chance(25) {
        let original = name.clone();
        mutate(&mut name, set, rng);
        if !name.is_valid() {
            name = original;
        }
    }
    // Transfers are compared apart, where they are served.
    if set.needs.contains(&"transfer") && matches!(qtype, rtype::AXFR | rtype::IXFR) {
        qtype = rtype::A;
    }
    spell(&mut name, rng);
    let mut builder = Builder::new(name, qtype);
    header(&mut builder, rng);
    builder.build()
}

/// 0x20 spelling, all capitals, or the labels of the zone alone in capitals.
fn spell(name: &mut Name, rng: &mut Rng) {
    let from = match rng.below(10) {
        0 => 0,
        1 => name.0.len().saturating_sub(2),
        2 => {
            for label in &mut name.0 {
                for byte in label {
                    if rng.chance(50) {
                        byte.make_ascii_uppercase();
                    }
                }
            }
            return;
        }
        _ => return,
    };
    name.0[from..].iter_mut().for_each(|label| label.make_ascii_uppercase());
}

/// One change of a name, so that it nearly exists.
fn mutate(name: &mut Name, set: &OptionSet, rng: &mut Rng) {
    let labels = name.0.len();
    let at = rng.below(labels.max(1));
    let odd: &[&[u8]] = &[
        b"*",
        b"_",
        b"-",
        b"a.b",
        b"\\",
        b"/",
        b"..",
        b".",
        b" ",
        b"\0",
        b"\xff\xfe",
        b"any",
        b"_tcp",
        b"x\ty",
        b"@",
        b"\"q\"",
        b"svc",
        b"pod",
        b"\xc3\xa9",
        b"%s",
        b"\\046",
        b"(",
        b";",
    ];
    match rng.below(13) {
        0 if labels > 0 => {
            name.0.remove(at);
        }
        1 => name.0.insert(at, b"x".to_vec()),
        2 if labels > 0 => {
            let label = name.0[at].clone();
            name.0.insert(at, label);
        }
        3 if labels > 1 => name.0.swap(at, (at + 1) % labels),
        4 if labels > 0 => {
            let position = rng.below(name.0[at].len());
            name.0[at][position] = *rng.pick(b"a0-_z9");
        }
        5 if labels > 0 => name.0[at].push(*rng.pick(b"a0-_")),
        6 if labels > 0 && name.0[at].len() > 1 => {
            name.0[at].pop();
        }
        7 => name.0.insert(at, rng.pick(odd).to_vec()),
        8 if labels > 0 => name.0[at] = rng.pick(odd).to_vec(),
        9 => {
            // Another zone behind it.
            let zone = Name::from_text(rng.pick(&[
                "cluster.local",
                "clusterset.local",
                "example.test",
                "in-addr.arpa",
                "local",
            ]));
            name.0.extend(zone.0);
        }
        10 => name.0.insert(0, super::cluster::LONG_LABEL.as_bytes().to_vec()),
        11 => {
            while name.wire_len() < 255 {
                let room = 255 - name.wire_len();
                if room < 2 {
                    break;
                }
                name.0.insert(0, vec![b'l'; (room - 1).min(63)]);
            }
        }
        _ => {
            if let Some(zone) = set.zones.first() {
                name.0.extend(Name::from_text(zone).0);
            }
        }
    }
}

fn header(builder: &mut Builder, rng: &mut Rng) {
    let percent = |rng: &mut Rng, flags: &mut u16, chance: usize, bit: u16| {
        if rng.chance(chance) {
            *flags ^= bit;
        }
    };
    let mut flags = builder.flags;
    percent(rng, &mut flags, 15, flag::RD);
    percent(rng, &mut flags, 8, flag::CD);
    percent(rng, &mut flags, 8, flag::AD);
    percent(rng, &mut flags, 2, flag::Z);
    percent(rng, &mut flags, 1, flag::AA);
    percent(rng, &mut flags, 1, flag::TC);
    percent(rng, &mut flags, 1, flag::RA);
    if rng.chance(1) {
        flags |= rng.below(16) as u16; // a response code in a query
    }
    if rng.chance(2) {
        flags |= (*rng.pick(&[1_u16, 2, 3, 4, 4, 5, 6, 15])) << 11; // IQUERY, STATUS, 3, NOTIFY, UPDATE, DSO, 15
    }
    builder.flags = flags;
    if rng.chance(3) {
        builder.qclass = *rng.pick(&[3_u16, 4, 254, 255, 0, 2, 65_535]);
    }
    if rng.chance(55) {
        let size = match rng.below(12) {
            0 => *rng.pick(&[0_u16, 1, 511, 512, 513, 65_535, 65_534]),
            1..=3 => rng.between(513, 1600) as u16,
            4 => rng.next_u64() as u16,
            5 | 6 => 512,
            7 | 8 => 4096,
            _ => 1232,
        };
        let version = if rng.chance(3) { *rng.pick(&[1_u8, 255]) } else { 0 };
        let mut flags = 0;
        percent(rng, &mut flags, 20, 0x8000);
        if rng.chance(3) {
            flags |= rng.next_u64() as u16;
        }
        let mut options = Vec::new();
        if rng.chance(20) {
            for _ in 0..rng.between(1, 3) {
                options.push(edns_option(rng));
            }
        }
        let owner = if rng.chance(1) { Name::from_text("opt.test") } else { Name::default() };
        let section = if rng.chance(1) { rng.between(1, 3) } else { 3 };
        builder.records.push((section, opt_record(&owner, size, version, flags, &options)));
        if rng.chance(1) {
            builder.edns(4096, 0, 0, &[]);
        }
    }
    if rng.chance(2) {
        let owner = builder.qname.clone();
        let extra = match rng.below(5) {
            0 => record(&owner, rtype::A, 1, 5, &[10, 0, 0, 1]),
            1 => record(&owner, rtype::TXT, 1, 5, b"\x01x"),
            2 => record(&owner, 65_280, 1, 5, b"any"),
            3 => record(&owner, rtype::A, 1, 5, &[10, 0, 0]), // data too short
            _ => {
                // A SOA, as NOTIFY and IXFR have it.
                let mut soa = vec![0, 0];
                soa.extend([0; 20]);
                record(&owner, rtype::SOA, 1, 5, &soa)
            }
        };
        builder.records.push((rng.between(1, 3), extra));
    }
}

fn edns_option(rng: &mut Rng) -> (u16, Vec<u8>) {
    let option: (u16, &[u8]) = match rng.below(16) {
        0 | 1 => (10, b"cookie12"),
        2 => (10, b"cookie12server-cookie"),
        3 => (10, b"short"),
        4 | 5 => (3, b""),
        6 => (3, b"nsid"),
        7 => (8, &[0, 1, 24, 0, 10, 1, 2]),
        8 => (8, &[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0]),
        9 => (8, &[0, 9, 24, 0, 10]),    // no such family
        10 => (8, &[0, 1, 99, 0, 1, 2]), // a prefix longer than an address
        11 => (12, &[0; 40]),
        12 => (11, &[0, 100]),
        13 => (11, b""),
        14 => (15, &[0, 18, b'x']),
        _ => (65_001, b"local"),
    };
    (option.0, option.1.to_vec())
}

/// A packet that is no good query.
fn malformed(names: &Names, rng: &mut Rng) -> Vec<u8> {
    let name = Name::from_text(rng.pick(&names.forward));
    let mut builder = Builder::new(name, *rng.pick(&[rtype::A, rtype::SRV, rtype::AAAA]));
    if rng.chance(40) {
        builder.edns(1232, 0, 0, &[(10, b"cookie12".to_vec())]);
    }
    let mut wire = builder.build();
    let question_end = 12 + builder.qname.wire_len() + 4;
    match rng.below(20) {
        0 => wire.truncate(rng.below(wire.len())),
        1 => wire.truncate(12),
        2 => wire.truncate(rng.below(12)),
        3 => wire[4..6].copy_from_slice(&[0, 0]),
        4 => wire[4..6].copy_from_slice(&[0, 2]),
        5 => wire[4..6].copy_from_slice(&[0xff, 0xff]),
        6 => wire.extend((0..rng.between(1, 20)).map(|_| rng.next_u64() as u8)),
        7 => wire[2] |= 0x80, // a response
        8 => {
            let section = rng.between(3, 5) * 2; // a count without its records
            wire[section + 1] = wire[section + 1].wrapping_add(rng.between(1, 3) as u8);
        }
        9 => {
            // The name is a pointer to itself.
            wire.splice(12..question_end, [0xc0, 12, 0, 1, 0, 1]);
        }
        10 => {
            // A pointer forward.
            wire.splice(12..question_end, [1, b'a', 0xc0, 20, 0, 1, 0, 1]);
        }
        11 => wire[12] = 0x40 | (wire[12] & 0x3f), // reserved label types
        12 => wire[12] = 0x80 | (wire[12] & 0x3f),
        13 => wire[12] = 63, // a label that runs over the rest
        14 => {
            // 256 bytes and more.
            let mut long = Vec::new();
            for _ in 0..5 {
                long.push(63);
                long.extend([b'a'; 63]);
            }
            long.extend([0, 0, 1, 0, 1]);
            wire.splice(12..question_end, long);
        }
        15 => {
            // Two questions, both there.
            let question = wire[12..question_end].to_vec();
            wire.splice(question_end..question_end, question);
            wire[5] = 2;
        }
        16 => {
            let bit = rng.below(wire.len() * 8);
            wire[bit / 8] ^= 1 << (bit % 8);
        }
        17 => wire = (0..rng.between(0, 80)).map(|_| rng.next_u64() as u8).collect(),
        18 => {
            // Three additional records: one more than is accepted.
            for _ in 0..3 {
                wire.extend(record(&Name::default(), rtype::A, 1, 0, &[1, 2, 3, 4]));
            }
            wire[11] = wire[11].wrapping_add(3);
        }
        _ => {
            // A name that ends in a pointer to a name in the header's bytes: the identifier is zero at the time of
            // reading only by chance, so point at the section counts, which are `00 01 00 00`.
            wire.splice(12..question_end, [1, b'a', 0xc0, 6, 0, 1, 0, 1]);
            wire[11] = 0;
        }
    }
    wire
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::cluster::{self, Shape};
    use super::super::options::OPTION_SETS;
    use super::*;

    fn some_questions() -> Vec<Query> {
        let set = &OPTION_SETS[0];
        let shape = Shape { zones: vec!["cluster.local".to_owned()], services: 30, ..Shape::default() };
        questions(&cluster::generate(1, &shape), set, 1, 5000)
    }

    #[test]
    fn the_promised_kinds_occur() {
        let queries = some_questions();
        assert_eq!(queries.len(), 5000);
        let messages: Vec<Message> = queries.iter().filter_map(|q| Message::parse(&q.wire).ok()).collect();
        assert!(messages.len() < queries.len(), "no malformed packet");
        for qtype in [1, 28, 33, 12, 5, 16, 2, 6, 15, 255, 65, 64, 43, 35, 65_535] {
            assert!(
                messages.iter().any(|m| m.questions.iter().any(|q| q.qtype == qtype)),
                "no question of type {qtype}"
            );
        }
        for class in [3, 255, 254] {
            assert!(messages.iter().any(|m| m.questions.iter().any(|q| q.qclass == class)), "no class {class}");
        }
        for opcode in [2, 4, 5] {
            assert!(messages.iter().any(|m| (m.flags & flag::OPCODE) >> 11 == opcode), "no opcode {opcode}");
        }
        assert!(messages.iter().any(|m| m.opts.iter().any(|o| o.version == 1)));
        assert!(messages.iter().any(|m| m.opts.iter().any(|o| o.size == 0)));
        assert!(messages.iter().any(|m| m.opts.iter().any(|o| o.flags & 0x8000 != 0)));
        for transport in [Transport::Udp4, Transport::Udp6, Transport::Tcp4, Transport::Tcp6] {
            assert!(queries.iter().any(|q| q.transport == transport));
        }
    }

    #[test]
    fn tokens_read_back() {
        for query in some_questions() {
            assert_eq!(Query::from_token(&query.token()), Some(query));
        }
        assert_eq!(Query::from_token("udp5:00"), None);
        let from = Query { source: Some(Ipv4Addr::new(127, 0, 0, 7)), ..Query::simple("a.test", 1) };
        assert_eq!(Query::from_token(&from.token()), Some(from));
    }

    #[test]
    fn reverse_names() {
        assert_eq!(reverse_name("10.96.0.1".parse().unwrap()).to_string(), "1.0.96.10.in-addr.arpa.");
        assert!(reverse_name("fd00::1".parse().unwrap()).to_string().starts_with("1.0.0.0."));
        assert_eq!(reverse_name("::".parse().unwrap()).0.len(), 34);
    }
}
