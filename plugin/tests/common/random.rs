//! Clusters and queries for property tests. Both draw from the same few names and addresses, so that most queries hit.

use super::ask::{Ask, Opt};
use super::cluster::{Backing, Cluster, Endpoint, Import, Pod, Port, Service, Slice, nth_ip};
use super::model::{AAAA, Up};
use super::name::Name;
use super::reply::{Data, Rec};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use rustk8s::config::{Config, PodMode};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// As many cases, the same each time. With `PROPTEST_CASES` set: so many, and others each time.
pub fn runs(cases: u32) -> ProptestConfig {
    let base = ProptestConfig { failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return base;
    }
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(0x6b38_7364_6e73), ..base }
}

/// The longest label.
const LONG: &str = "l-x3456789012345678901234567890123456789012345678901234567890-l";
// Some more often than others, so that the objects of a cluster have to do with each other.
const NAMESPACES: [&str; 6] = ["default", "default", "default", "dev", "kube-system", LONG];
const SERVICES: [&str; 6] = ["web", "web", "web", "db", "kube-dns", LONG];
const HOSTNAMES: [&str; 7] = ["", "", "web-0", "Web-1", "db-0", "10-244-0-2", LONG];
const CLUSTERS: [&str; 2] = ["east", "West-2"];
const PORTS: [(&str, &str, u16); 6] = [
    ("http", "TCP", 80),
    ("http", "TCP", 8080),
    ("dns", "UDP", 53),
    ("DNS-tcp", "TCP", 53),
    ("", "TCP", 443),
    ("odd", "", 9),
];
const TOPOLOGY: [&str; 3] = ["", "eu-1a", "EU.west-1"];
/// Zones served, and those of them that are multicluster.
const ZONES: [(&[&str], &[&str]); 6] = [
    (&["cluster.local"], &[]),
    (&["cluster.local", "in-addr.arpa", "ip6.arpa"], &[]),
    (&["Cluster.Local.", "clusterset.local"], &["ClusterSet.local"]),
    (&["home.arpa", "10.in-addr.arpa", "0.0.d.f.ip6.arpa"], &[]),
    (&["local", "cluster.local", "10.in-addr.arpa"], &["cluster.local"]),
    (&["a-zone-of-some-length.with.many.labels.in.it", "in-addr.arpa"], &[]),
];
const FALLTHROUGH: [&[&str]; 7] = [&[], &[], &[], &[], &["."], &["in-addr.arpa"], &["dev.svc.cluster.local"]];
const QTYPES: [u16; 20] = [1, 1, 1, 28, 28, 33, 33, 33, 12, 12, 5, 16, 2, 6, 15, 255, 43, 65, 251, 252];

fn text(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(texts).prop_map(str::to_owned)
}

/// Addresses of endpoints and pods. One of the IPv6 addresses ends in `::`.
fn endpoint_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => (0..6u32, any::<bool>()).prop_map(|(index, v6)| nth_ip(index, v6)),
        1 => Just("fd00:244:1::".parse().unwrap()),
    ]
}

fn cluster_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        8 => (1..6u8).prop_map(|last| IpAddr::V4(Ipv4Addr::new(10, 96, 0, last))),
        4 => (1..4u8).prop_map(|last| format!("fd00:96::{last}").parse().unwrap()),
        1 => endpoint_ip(),
    ]
}

fn ports(numbered: bool) -> impl Strategy<Value = Vec<Port>> {
    let port = (select(&PORTS[..]), prop::bool::weighted(0.9)).prop_map(move |((name, protocol, number), given)| {
        Port { name: name.to_owned(), protocol: protocol.to_owned(), number: (numbered || given).then_some(number) }
    });
    vec(port, 0..4)
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let target =
        text(&["", "pod-a", "pod-b", "pod.b.c", "p234567890123456789012345678901234567890123456789012345678901234"]);
    let addresses = prop_oneof![9 => vec(endpoint_ip(), 1..2), 1 => vec(endpoint_ip(), 0..3)];
    (addresses, text(&HOSTNAMES), target).prop_map(|(addresses, hostname, target)| {
        // The topology zone follows from the address: CoreDNS keeps one for each address of a slice.
        let zone = addresses.first().map_or("", |ip| TOPOLOGY[ip.to_string().len() % 3]).to_owned();
        Endpoint { addresses, hostname, target, zone }
    })
}

fn slice() -> impl Strategy<Value = Slice> {
    let labels = (option::weighted(0.9, text(&SERVICES)), option::weighted(0.5, text(&SERVICES)), text(&CLUSTERS));
    (text(&NAMESPACES), labels, ports(false), vec(endpoint(), 0..5)).prop_map(
        |(namespace, (service, import, cluster), ports, endpoints)| Slice {
            namespace,
            name: String::new(),
            service,
            cluster: Some(cluster),
            import,
            ports,
            endpoints,
        },
    )
}

fn backing() -> impl Strategy<Value = Backing> {
    let inside = (text(&SERVICES), text(&NAMESPACES), select(&["cluster.local", "Cluster.LOCAL", "home.arpa"][..]))
        .prop_map(|(service, namespace, zone)| Backing::ExternalName(format!("{service}.{namespace}.svc.{zone}")));
    let outside = text(&["www.example.com", "Example.COM.", "10.1.2.3", "fd00::7", "svc.cluster.local", "a_b.example"]);
    prop_oneof![
        5 => vec(cluster_ip(), 1..3).prop_map(Backing::ClusterIps),
        5 => Just(Backing::Headless),
        3 => inside,
        1 => outside.prop_map(Backing::ExternalName),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let filters = (option::weighted(0.1, vec(text(&NAMESPACES), 1..3)), select(&FALLTHROUGH[..]));
    let flags = [0.05, 0.1, 0.3, 0.4].map(prop::bool::weighted);
    let pods = select(&[PodMode::Disabled, PodMode::Insecure, PodMode::Verified, PodMode::Verified][..]);
    (select(&ZONES[..]), filters, flags, pods, select(&[0, 5, 300, 301, 3600][..]), any::<u64>()).prop_map(
        |((zones, multicluster), (namespaces, fallthrough), flags, pods, ttl, hash_seed)| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            let [noendpoints, ignore_empty_service, endpoint_pod_names, zonal] = flags;
            Config {
                zones: owned(zones),
                namespaces: namespaces.unwrap_or_default(),
                pods,
                endpoint_pod_names,
                ttl,
                noendpoints,
                fallthrough: owned(fallthrough),
                ignore_empty_service,
                multicluster: owned(multicluster),
                zonal: zonal && !noendpoints,
                hash_seed,
                ..Config::default()
            }
        },
    )
}

/// A small cluster of any shape.
pub fn clusters() -> impl Strategy<Value = Cluster> {
    let services = vec((text(&NAMESPACES), text(&SERVICES), backing(), ports(true)), 0..14);
    let pods = vec((text(&NAMESPACES), vec(endpoint_ip(), 0..3), 0..8u8), 0..8);
    let imports = vec((text(&NAMESPACES), text(&SERVICES), any::<bool>(), vec(cluster_ip(), 0..3), ports(true)), 0..8);
    let namespaces = prop::sample::subsequence(&NAMESPACES[2..], 3..=4);
    let local_ips = vec(prop_oneof![endpoint_ip(), Just("192.0.2.1".parse().unwrap())], 0..3);
    let synced = prop::bool::weighted(0.9);
    (config(), namespaces, services, vec(slice(), 0..14), pods, imports, local_ips, synced).prop_map(
        |(config, namespaces, services, slices, pods, imports, mut local_ips, synced)| {
            // One object of a name: the last, as in a cluster where it was changed.
            let services: BTreeMap<_, _> =
                services.into_iter().map(|(ns, name, backing, ports)| ((ns, name), (backing, ports))).collect();
            let imports: BTreeMap<_, _> = imports
                .into_iter()
                .map(|(ns, name, headless, ips, ports)| ((ns, name), (headless, ips, ports)))
                .collect();
            let mut slices = slices;
            let owners: Vec<_> =
                services.keys().map(|key| (key, false)).chain(imports.keys().map(|key| (key, true))).collect();
            for (index, slice) in slices.iter_mut().enumerate() {
                slice.name = format!("slice-{index}");
                // Most slices belong to something.
                if index % 4 != 0 && !owners.is_empty() {
                    let ((namespace, name), imported) = owners[index / 2 % owners.len()];
                    slice.namespace.clone_from(namespace);
                    *(if imported { &mut slice.import } else { &mut slice.service }) = Some(name.clone());
                }
            }
            local_ips.sort_unstable();
            local_ips.dedup();
            Cluster {
                config,
                namespaces: namespaces.into_iter().map(str::to_owned).collect(),
                services: services
                    .into_iter()
                    .map(|((namespace, name), (backing, ports))| Service { namespace, name, backing, ports })
                    .collect(),
                slices,
                pods: pods
                    .into_iter()
                    .enumerate()
                    .map(|(index, (namespace, ips, state))| Pod {
                        namespace,
                        name: format!("pod-{index}"),
                        ips,
                        finished: state == 0,
                        deleting: state == 1,
                    })
                    .collect(),
                imports: imports
                    .into_iter()
                    .map(|((namespace, name), (headless, ips, ports))| Import { namespace, name, headless, ips, ports })
                    .collect(),
                local_ips,
                synced,
            }
        },
    )
}

/// The name under which the address of `ip` is asked.
pub fn reverse_name(ip: IpAddr) -> Name {
    let text = match ip {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles: Vec<String> = format!("{:032x}", v6.to_bits()).chars().rev().map(String::from).collect();
            nibbles.join(".") + ".ip6.arpa"
        }
    };
    Name::of(&text)
}

/// A label of any octets.
pub fn odd_label() -> impl Strategy<Value = Vec<u8>> {
    const ODD: [&[u8]; 6] = [b"a.b", b"web.default", b"\\", b"web\0", b"*", b"\xff"];
    prop_oneof![vec(any::<u8>(), 1..8), vec(any::<u8>(), 60..64), select(&ODD[..]).prop_map(<[u8]>::to_vec)]
}

/// The labels left of the zone.
fn left() -> BoxedStrategy<Name> {
    let base =
        || (text(&SERVICES), text(&NAMESPACES)).prop_map(|(service, namespace)| format!("{service}.{namespace}.svc"));
    let label = || {
        prop_oneof![
            text(&["web-0", "WEB-1", "pod-a", "10-244-0-2", "db-0", LONG]),
            endpoint_ip().prop_map(|ip| ip.to_string().replace(['.', ':'], "-")),
            Just("fd00-244-1--0".to_owned()),
        ]
    };
    let port = text(&["_http", "http", "_dns", "_dns-tcp", "_", "_odd"]);
    let protocol = text(&["_tcp", "tcp", "_UDP", "_", "_sctp"]);
    let zonal = (text(&["eu-1a", "eu.west-1", "nowhere"]), text(&["pin", "prefer", "nope"]));
    let texts = prop_oneof![
        10 => base(),
        8 => (label(), base()).prop_map(|(label, base)| format!("{label}.{base}")),
        8 => (port, protocol, base()).prop_map(|(port, protocol, base)| format!("{port}.{protocol}.{base}")),
        4 => (label(), text(&CLUSTERS), base()).prop_map(|(label, cluster, base)| format!("{label}.{cluster}.{base}")),
        4 => (zonal, base()).prop_map(|((zone, directive), base)| format!("{zone}.{directive}._zone.{base}")),
        4 => (label(), text(&NAMESPACES)).prop_map(|(label, namespace)| format!("{label}.{namespace}.pod")),
        2 => text(&NAMESPACES).prop_flat_map(|ns| select(vec![format!("{ns}.svc"), format!("{ns}.pod"), format!("x.y.z.{ns}.pod")])),
        3 => text(&["", "svc", "pod", "ns.dns", "dns-version", "x.dns-version", "a.ns.dns", "no-such.svc", "other"]),
    ];
    let odd = (vec(odd_label(), 1..3), texts.clone()).prop_map(|(odd, rest)| Name(odd).under(&Name::of(&rest)));
    let instead = (texts.clone(), odd_label(), any::<prop::sample::Index>()).prop_map(|(text, odd, index)| {
        let mut name = Name::of(&text);
        if !name.0.is_empty() {
            let index = index.index(name.0.len());
            name.0[index] = odd;
        }
        name
    });
    prop_oneof![20 => texts.prop_map(|text| Name::of(&text)), 1 => odd, 1 => instead].boxed()
}

/// The names that objects of the cluster have, or would have in other circumstances, by what they are names of.
fn names_of(cluster: &Cluster) -> Vec<Vec<Name>> {
    let base = |name: &str, namespace: &str| Name::labels(&[name, namespace, "svc"]);
    let port_labels = |ports: &[Port]| -> Vec<Name> {
        let label = |text: &str| format!("_{text}");
        ports.iter().map(|port| Name::labels(&[&label(&port.name), &label(&port.protocol)])).collect()
    };
    let [mut services, mut ports, mut endpoints, mut zonal, mut pods] = [const { Vec::new() }; 5];
    for service in &cluster.services {
        let base = base(&service.name, &service.namespace);
        ports.extend(port_labels(&service.ports).into_iter().map(|port| port.under(&base)));
        services.push(base);
    }
    for import in &cluster.imports {
        let base = base(&import.name, &import.namespace);
        ports.extend(port_labels(&import.ports).into_iter().map(|port| port.under(&base)));
        services.push(base);
    }
    for slice in &cluster.slices {
        for service in [&slice.service, &slice.import].into_iter().flatten() {
            let base = base(service, &slice.namespace);
            ports.extend(port_labels(&slice.ports).into_iter().map(|port| port.under(&base)));
            for endpoint in &slice.endpoints {
                let mut labels: Vec<String> =
                    endpoint.addresses.iter().map(|ip| ip.to_string().replace(['.', ':'], "-")).collect();
                labels.extend(
                    [&endpoint.hostname, &endpoint.target]
                        .into_iter()
                        .filter(|text| (1..64).contains(&text.len()))
                        .cloned(),
                );
                for label in labels {
                    endpoints.push(Name::labels(&[&label]).under(&base));
                    endpoints.push(Name::of(&label).under(&base));
                    if let Some(cluster) = &slice.cluster {
                        endpoints.push(Name::labels(&[&label, cluster]).under(&base));
                    }
                }
                if !endpoint.zone.is_empty() {
                    let zone = Name::of(&endpoint.zone);
                    zonal
                        .extend(["pin", "prefer"].map(|word| zone.under(&Name::labels(&[word, "_zone"])).under(&base)));
                }
            }
        }
    }
    for pod in &cluster.pods {
        let labels = pod.ips.iter().map(|ip| ip.to_string().replace(['.', ':'], "-"));
        pods.extend(labels.map(|label| Name::labels(&[&label, &pod.namespace, "pod"])));
    }
    let zones = cluster.config.zones.iter().map(|zone| Name::of(zone));
    let zones: Vec<Name> =
        zones.filter(|zone| zone.0[0] == b"home" || !zone.0.ends_with(&[b"arpa".to_vec()])).collect();
    let in_zones =
        |names: &Vec<Name>| zones.iter().flat_map(|zone| names.iter().map(|name| name.under(zone))).collect();
    let mut names: Vec<Vec<Name>> = [&services, &services, &ports, &endpoints, &zonal, &pods].map(in_zones).into();
    names
        .push(zones.iter().flat_map(|zone| ["ns.dns", "dns-version"].map(|name| Name::of(name).under(zone))).collect());
    names.push(zones);
    names.retain(|names| !names.is_empty());
    names
}

/// A qname that may mean something to this cluster, in any case.
fn qname(cluster: &Cluster) -> impl Strategy<Value = Name> + use<> {
    let outside = text(&["example.com", "svc.cluster.locale", "", "arpa"]).prop_map(|text| Name::of(&text));
    let zones = cluster.config.zones.clone();
    let zone = prop_oneof![30 => select(zones).prop_map(|zone| Name::of(&zone)), 1 => outside];
    let below = (left(), zone).prop_map(|(left, zone)| left.under(&zone));
    let reverse = prop_oneof![endpoint_ip(), cluster_ip()].prop_map(reverse_name);
    let part = (prop_oneof![endpoint_ip(), cluster_ip()], 1..6usize)
        .prop_map(|(ip, drop)| Name(reverse_name(ip).0.split_off(drop)));
    let name = prop_oneof![24 => select(names_of(cluster)).prop_flat_map(select), 10 => below, 3 => reverse, 1 => part];
    (name, prop_oneof![Just(0u64), any::<u64>()]).prop_map(|(mut name, mut bits)| {
        // Labels of any octets may make it too long.
        while name.wire_len() > 255 {
            name.0.remove(0);
        }
        for octet in name.0.iter_mut().flatten() {
            bits = bits.rotate_left(7);
            if bits & 1 == 1 {
                octet.make_ascii_uppercase();
            }
        }
        name
    })
}

/// A size of an OPT record: all of them, and more often those where something changes.
pub fn udp_size() -> impl Strategy<Value = u16> {
    prop_oneof![select(&[0, 511, 512, 513, 1220, 1232, 1480, 4096, 65535][..]), 0..4096u16, any::<u16>()]
}

/// A query of class IN and opcode QUERY or NOTIFY, its other flags and its EDNS flags at random.
pub fn asks(cluster: &Cluster) -> BoxedStrategy<Ask> {
    let qtype = prop_oneof![12 => select(&QTYPES[..]), 1 => any::<u16>()];
    // Any bits but QR and the opcode.
    let flags =
        (any::<u16>(), prop::bool::weighted(0.1)).prop_map(|(bits, notify)| bits & 0x07ff | u16::from(notify) << 13);
    // Any extended rcode and flags, version 0.
    let opt = option::of((udp_size(), any::<u32>()).prop_map(|(size, ttl)| Opt { size, ttl: ttl & 0xff00_ffff }));
    (any::<u16>(), flags, qname(cluster), qtype, opt)
        .prop_map(|(id, flags, qname, qtype, opt)| Ask { id, flags, qname, qtype, qclass: 1, opt })
        .boxed()
}

/// What an upstream has to say of a name outside.
pub fn upstreams() -> impl Strategy<Value = Up> {
    let owner =
        || text(&["www.example.com", "example.com", "edge.CDN.example", "edge.cdn.example", "a.edge.cdn.example"]);
    let data = prop_oneof![
        4 => any::<u32>().prop_map(|bits| (1, Data::Address(IpAddr::V4(bits.into())))),
        2 => any::<u128>().prop_map(|bits| (AAAA, Data::Address(IpAddr::V6(bits.into())))),
        3 => owner().prop_map(|target| (5, Data::Name(Name::of(&target)))),
        1 => (any::<u16>(), owner()).prop_map(|(preference, exchange)| (15, Data::Mx { preference, exchange: Name::of(&exchange) })),
        1 => vec(vec(any::<u8>(), 0..255), 1..3).prop_map(|texts| (16, Data::Txt(texts))),
        1 => vec(any::<u8>(), 1..300).prop_map(|octets| (65280, Data::Other(octets))),
    ];
    let rec = (owner(), 0..100_000u32, data)
        .prop_map(|(owner, ttl, (rtype, data))| Rec { owner: Name::of(&owner), rtype, ttl, data })
        .boxed();
    prop_oneof![
        1 => Just(Up::Failed),
        5 => (prop::bool::weighted(0.1), prop_oneof![vec(rec.clone(), 0..4), vec(rec, 4..60)])
            .prop_map(|(truncated, records)| Up::Answer { truncated, records }),
    ]
}
