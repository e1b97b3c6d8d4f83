//! Queries of every kind that a cluster's resolvers see, and a client that asks them as a server's worker does.

use super::{Cluster, Random};
use rustk8s::wire::{Query, Rcode, Transport, rtype};
use rustk8s::{Client, Outcome, Scratch, Snapshot, Upstream};
use std::fmt;
use std::net::IpAddr;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    ClusterIpA,
    /// The same, from a client that speaks EDNS.
    ClusterIpEdns,
    /// AAAA of an IPv4 Service: NODATA.
    ClusterIpAaaa,
    /// `SERVICE.NAMESPACE.svc.cluster.local.NAMESPACE.svc.cluster.local`: a full name through the search path.
    NxdomainFullName,
    /// `example.com.NAMESPACE.svc.cluster.local`: an outside name, the first of the search path. No such Service.
    NxdomainService,
    /// `example.com.svc.cluster.local`: the second. No such namespace.
    NxdomainNamespace,
    /// `example.com.cluster.local`: the third. No such class of names.
    NxdomainOther,
    ClusterIpSrv,
    /// Three endpoints.
    HeadlessA,
    /// Three endpoints.
    HeadlessSrv,
    EndpointA,
    PodA,
    ClusterIpPtr,
    EndpointPtr,
    /// In none of our zones.
    NotMine,
}

impl Case {
    pub const ALL: [Self; 15] = [
        Self::ClusterIpA,
        Self::ClusterIpEdns,
        Self::ClusterIpAaaa,
        Self::NxdomainFullName,
        Self::NxdomainService,
        Self::NxdomainNamespace,
        Self::NxdomainOther,
        Self::ClusterIpSrv,
        Self::HeadlessA,
        Self::HeadlessSrv,
        Self::EndpointA,
        Self::PodA,
        Self::ClusterIpPtr,
        Self::EndpointPtr,
        Self::NotMine,
    ];

    fn headless(self) -> bool {
        matches!(self, Self::HeadlessA | Self::HeadlessSrv | Self::EndpointA)
    }

    fn qtype(self) -> u16 {
        match self {
            Self::ClusterIpAaaa => rtype::AAAA,
            Self::ClusterIpSrv | Self::HeadlessSrv => rtype::SRV,
            Self::ClusterIpPtr | Self::EndpointPtr => rtype::PTR,
            _ => rtype::A,
        }
    }

    /// The outcome, and the records in answer, authority and additional section.
    fn expected(self) -> (Outcome, [u16; 3]) {
        let answer = |counts| (Outcome::Answer(Rcode::NO_ERROR), counts);
        match self {
            Self::ClusterIpAaaa => answer([0, 1, 0]),
            Self::NxdomainFullName | Self::NxdomainService | Self::NxdomainNamespace | Self::NxdomainOther => {
                (Outcome::Answer(Rcode::NAME_ERROR), [0, 1, 0])
            }
            Self::ClusterIpSrv | Self::ClusterIpEdns => answer([1, 0, 1]),
            Self::HeadlessA => answer([3, 0, 0]),
            Self::HeadlessSrv => answer([3, 0, 3]),
            Self::NotMine => (Outcome::NotMine, [0, 0, 0]),
            _ => answer([1, 0, 0]),
        }
    }

    /// The name that is asked about a Service.
    fn qname(self, index: usize) -> String {
        let (namespace, service) = (Cluster::namespace_name(index), Cluster::service_name(index));
        let outside =
            ["example.com", "api.stripe.com", "s3.eu-west-1.amazonaws.com", "registry.npmjs.org"][index / 40 % 4];
        let dashed = |ip: IpAddr| ip.to_string().replace('.', "-");
        let reverse = |ip: IpAddr| {
            let IpAddr::V4(ip) = ip else { unreachable!("the cluster is IPv4") };
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        };
        match self {
            Self::ClusterIpA | Self::ClusterIpEdns | Self::ClusterIpAaaa | Self::HeadlessA => {
                format!("{service}.{namespace}.svc.cluster.local")
            }
            Self::NxdomainFullName => {
                format!("{service}.{namespace}.svc.cluster.local.{namespace}.svc.cluster.local")
            }
            // Two labels more than the namespace, so that a Service is looked for.
            Self::NxdomainService => format!("example.com.{namespace}.svc.cluster.local"),
            Self::NxdomainNamespace => format!("{outside}.svc.cluster.local"),
            Self::NxdomainOther => format!("{outside}.cluster.local"),
            Self::ClusterIpSrv | Self::HeadlessSrv => format!("_http._tcp.{service}.{namespace}.svc.cluster.local"),
            Self::EndpointA => format!("{}.{service}.{namespace}.svc.cluster.local", Cluster::pod_name(index, 1)),
            Self::PodA => format!("{}.{namespace}.pod.cluster.local", dashed(Cluster::pod_ip(index, 1))),
            Self::ClusterIpPtr => reverse(Cluster::cluster_ip(index)),
            Self::EndpointPtr => reverse(Cluster::pod_ip(index, 1)),
            Self::NotMine => outside.to_string(),
        }
    }

    /// A query about a Service, as a stub resolver sends it.
    pub fn packet(self, index: usize) -> Vec<u8> {
        let edns = self == Self::ClusterIpEdns;
        let mut packet = vec![index as u8, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
        packet.extend_from_slice(&rustk8s::name::from_text(&self.qname(index)).unwrap());
        packet.extend_from_slice(&self.qtype().to_be_bytes());
        packet.extend_from_slice(&[0, 1]);
        if edns {
            packet.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        }
        packet
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ClusterIpA => "ClusterIP A",
            Self::ClusterIpEdns => "ClusterIP A with EDNS",
            Self::ClusterIpAaaa => "ClusterIP AAAA (NODATA)",
            Self::NxdomainFullName => "NXDOMAIN svc.ns.svc.zone.ns.svc.zone",
            Self::NxdomainService => "NXDOMAIN example.com.ns.svc.zone",
            Self::NxdomainNamespace => "NXDOMAIN example.com.svc.zone",
            Self::NxdomainOther => "NXDOMAIN example.com.zone",
            Self::ClusterIpSrv => "ClusterIP SRV",
            Self::HeadlessA => "headless A (3 endpoints)",
            Self::HeadlessSrv => "headless SRV (3 endpoints)",
            Self::EndpointA => "endpoint A (pod.svc.ns.svc.zone)",
            Self::PodA => "pod A (verified)",
            Self::ClusterIpPtr => "PTR of a cluster IP",
            Self::EndpointPtr => "PTR of an endpoint",
            Self::NotMine => "outside name (not ours)",
        })
    }
}

/// Which names are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// One, again and again: all in the nearest cache.
    Hot,
    /// Any of the cluster, at random: what does not fit the caches is fetched.
    Random,
    /// A few hundred of them: for tests.
    Few,
}

/// Queries one after the other in memory, as a batch from a socket is: reading them is not what is measured.
pub struct Packets {
    octets: Vec<u8>,
    ends: Vec<usize>,
    next: usize,
}

impl Packets {
    /// The next query; after the last comes the first.
    pub fn next(&mut self) -> &[u8] {
        if self.next == self.ends.len() {
            self.next = 0;
        }
        let start = if self.next == 0 { 0 } else { self.ends[self.next - 1] };
        let end = self.ends[self.next];
        self.next += 1;
        &self.octets[start..end]
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }
}

/// Queries of a case, every one of which is answered as it should be.
pub fn packets(case: Case, cluster: Cluster, draw: Draw, snapshot: &Snapshot) -> Packets {
    let mut random = Random::new(42);
    let count = match draw {
        Draw::Hot => 1,
        Draw::Random => 1 << 16,
        Draw::Few => 500,
    };
    let mut packets = Packets { octets: Vec::new(), ends: Vec::new(), next: 0 };
    while packets.ends.len() < count {
        let index = random.below(cluster.services);
        if Cluster::headless(index) == case.headless() {
            packets.octets.extend_from_slice(&case.packet(index));
            packets.ends.push(packets.octets.len());
        }
    }
    let mut asker = Asker::default();
    for _ in 0..count {
        let packet = packets.next();
        let outcome = asker.ask(snapshot, packet);
        let count = |at: usize| u16::from_be_bytes([asker.out[at], asker.out[at + 1]]);
        let counts = if outcome == Outcome::NotMine { [0; 3] } else { [count(6), count(8), count(10)] };
        assert_eq!((outcome, counts), case.expected(), "{case}: {packet:?}");
    }
    packets
}

/// The buffers of a worker.
pub struct Asker {
    query: Query,
    scratch: Scratch,
    client: Client,
    pub out: Vec<u8>,
}

impl Default for Asker {
    fn default() -> Self {
        let client = Client { addr: "10.128.0.1".parse().unwrap(), transport: Transport::Udp };
        Self { query: Query::new(), scratch: Scratch::new(), client, out: Vec::with_capacity(512) }
    }
}

impl Asker {
    /// From the packet to the reply, which is left in `out`.
    pub fn ask(&mut self, snapshot: &Snapshot, packet: &[u8]) -> Outcome {
        self.query.read(packet).unwrap();
        snapshot.resolve(&self.query, &self.client, Upstream::NotAsked, &mut self.scratch, &mut self.out)
    }
}
