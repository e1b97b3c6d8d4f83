//! What a cluster answers, by the rules of CoreDNS v1.15.0 written down a second time: plain code over lists, after
//! its Go source (`plugin/kubernetes` and `plugin/backend_lookup.go`) and not after the engine.
//!
//! Where the engine decides otherwise on purpose, a comment that starts with "Decided:" says so.

use super::ask::Ask;
use super::cluster::{Backing, Cluster, NOW, Port};
use super::name::Name;
use super::reply::{Data, Rec};
use rustk8s::config::PodMode;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// What look-ups of names outside of the zones give.
#[derive(Clone, Debug)]
pub enum Up {
    /// None is expected.
    NotAsked,
    Failed,
    Answer {
        truncated: bool,
        records: Vec<Rec>,
    },
}

/// What should come of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    NotMine,
    Fallthrough,
    Transfer,
    Answer(Box<Answer>),
}

/// The sections of a reply that is not cut; the order within a section is that of the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_field_names)] // The names of the sections.
pub struct Answer {
    pub rcode: u16,
    pub answer: Vec<Rec>,
    pub authority: Vec<Rec>,
    pub additional: Vec<Rec>,
    /// The answer of the upstream was cut.
    pub truncated: bool,
    /// The name that the upstream was asked for.
    pub asked: Option<Name>,
}

/// CoreDNS's `msg.Service`.
#[derive(Clone, Debug)]
struct Found {
    host: Host,
    /// `None` is CoreDNS's port -1.
    port: Option<u16>,
    /// The name that its `Key` spells.
    key: Name,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

/// The name does not exist (CoreDNS's `IsNameError`).
struct NameError;

/// CoreDNS's `recordRequest`.
#[derive(Debug, Default)]
struct Request {
    port: String,
    protocol: String,
    endpoint: String,
    cluster: String,
    zone: String,
    zone_prefer: bool,
    service: String,
    namespace: String,
    pod_or_svc: String,
}

struct Model<'a> {
    cluster: &'a Cluster,
    /// The zone, in the case asked.
    zone: Name,
    multicluster: bool,
    up: &'a Up,
    asked: Option<Name>,
    truncated: bool,
}

/// Resolves a query of class IN (CoreDNS's `Kubernetes.ServeDNS`).
pub fn resolve(cluster: &Cluster, ask: &Ask, up: &Up) -> Expected {
    let config = &cluster.config;
    let zones = config.zones.iter().map(|zone| Name::of(zone)).filter(|zone| ask.qname.is_in(zone));
    let Some(labels) = zones.map(|zone| zone.0.len()).max() else { return Expected::NotMine };
    let zone = ask.qname.end(labels);
    let multicluster = config.multicluster.iter().any(|parent| zone.is_in(&Name::of(parent)));
    let mut model = Model { cluster, zone, multicluster, up, asked: None, truncated: false };
    let apex = ask.qname.0.len() == labels;
    let mut additional = Vec::new();
    let records = match ask.qtype {
        A | AAAA => model.addresses(&ask.qname, ask.qtype, &mut Vec::new()),
        TXT => model.texts(&ask.qname),
        CNAME => model.aliases(&ask.qname),
        PTR => model.pointers(&ask.qname),
        MX => model.services(&ask.qname, MX).map(|_| Vec::new()),
        SRV => model.ports(&ask.qname, &mut additional),
        // Decided: a zone is its own apex in any case (difference `apex-ns-in-capitals`).
        SOA => Ok(if apex { vec![model.soa()] } else { Vec::new() }),
        NS if apex => Ok(model.name_servers(&mut additional)),
        251 | 252 => return Expected::Transfer,
        _ => model.exists(&ask.qname).map(|()| Vec::new()),
    };
    let mut answer = Answer { truncated: model.truncated, asked: model.asked.clone(), additional, ..Answer::default() };
    match records {
        Err(NameError) if config.fallthrough.iter().any(|zone| ask.qname.is_in(&Name::of(zone))) => {
            return Expected::Fallthrough;
        }
        Err(NameError) => answer.rcode = if cluster.synced { 3 } else { 2 },
        Ok(records) => answer.answer = records,
    }
    if answer.answer.is_empty() {
        answer.authority = vec![model.soa()];
        answer.additional.clear();
        answer.truncated = false;
    }
    Expected::Answer(Box::new(answer))
}

impl Model<'_> {
    fn ttl(&self) -> u32 {
        self.cluster.config.ttl
    }

    /// The labels left of the zone, right to left.
    fn left(&self, name: &Name) -> Vec<String> {
        let mut texts = name.texts();
        texts.truncate(name.0.len() - self.zone.0.len());
        texts.reverse();
        texts
    }

    /// CoreDNS's `parseRequest`; `segments` from the zone on leftwards. An empty request is NODATA.
    fn parse(&self, segments: &[String]) -> Result<Request, NameError> {
        let mut request = Request::default();
        if segments.is_empty() || segments == ["svc"] || segments == ["pod"] {
            return Ok(request);
        }
        request.pod_or_svc.clone_from(&segments[0]);
        if request.pod_or_svc != "svc" && request.pod_or_svc != "pod" {
            return Err(NameError);
        }
        request.namespace.clone_from(&segments[1]);
        request.service = segments.get(2).cloned().unwrap_or_default();
        let strip = |label: &str| label.strip_prefix('_').unwrap_or(label).to_owned();
        match segments.get(3..).unwrap_or_default() {
            [] => {}
            [endpoint] => request.endpoint.clone_from(endpoint),
            [right, left] if !self.multicluster || right.starts_with('_') || left.starts_with('_') => {
                (request.protocol, request.port) = (strip(right), strip(left));
            }
            [right, left] => (request.cluster, request.endpoint) = (right.clone(), left.clone()),
            [anchor, directive, zone @ ..] => {
                let zonal = self.cluster.config.zonal && !self.multicluster && request.pod_or_svc == "svc";
                if !zonal || anchor != "_zone" {
                    return Err(NameError);
                }
                request.zone_prefer = match directive.as_str() {
                    "pin" => false,
                    "prefer" => true,
                    _ => return Err(NameError),
                };
                let zone: Vec<&str> = zone.iter().rev().map(String::as_str).collect();
                request.zone = zone.join(".");
            }
        }
        Ok(request)
    }

    fn namespace_exposed(&self, namespace: &str) -> bool {
        let configured = &self.cluster.config.namespaces;
        (configured.is_empty() || configured.iter().any(|name| name == namespace))
            && self.cluster.namespaces.iter().any(|name| name == namespace)
    }

    /// CoreDNS's `Records`.
    fn records(&self, name: &Name) -> Result<Vec<Found>, NameError> {
        let request = self.parse(&self.left(name))?;
        if request.pod_or_svc.is_empty() {
            return Ok(Vec::new());
        }
        let texts = name.texts();
        let reverse = texts.ends_with(&["in-addr".to_owned(), "arpa".to_owned()])
            || texts.ends_with(&["ip6".to_owned(), "arpa".to_owned()]);
        if reverse || !self.namespace_exposed(&request.namespace) {
            return Err(NameError);
        }
        if request.pod_or_svc == "pod" { self.find_pods(&request) } else { self.find_services(&request) }
    }

    /// CoreDNS's `findPods`.
    fn find_pods(&self, request: &Request) -> Result<Vec<Found>, NameError> {
        if self.cluster.config.pods == PodMode::Disabled {
            return Err(NameError);
        }
        if request.service.is_empty() {
            return Ok(Vec::new());
        }
        let four = request.service.matches('-').count() == 3 && !request.service.contains("--");
        let ip = request.service.replace('-', if four { "." } else { ":" });
        let key = Name::labels(&[&request.service, &request.namespace, "pod"]);
        let found = |ip| Found { host: Host::Ip(ip), port: Some(0), key: key.under(&self.zone) };
        if self.cluster.config.pods == PodMode::Insecure {
            return parse_ip(&ip).map(|ip| vec![found(ip)]).ok_or(NameError);
        }
        let pods = self.cluster.pods.iter().filter(|pod| {
            !pod.finished
                && !pod.deleting
                && pod.namespace == request.namespace
                && pod.ips.iter().any(|other| other.to_string() == ip)
        });
        let pods: Vec<Found> = pods.filter_map(|_| parse_ip(&ip)).map(found).collect();
        if pods.is_empty() { Err(NameError) } else { Ok(pods) }
    }

    /// CoreDNS's `findServices` and `findMultiClusterServices`.
    fn find_services(&self, request: &Request) -> Result<Vec<Found>, NameError> {
        if request.service.is_empty() {
            return Ok(Vec::new());
        }
        let sentinel = [Port { name: String::new(), protocol: String::new(), number: None }];
        let or_sentinel = |ports: &[Port]| if ports.is_empty() { sentinel.to_vec() } else { ports.to_vec() };
        let is = |namespace: &str, name: &str| namespace == request.namespace && name == request.service;
        let (backing, ports) = if self.multicluster {
            let mut imports = self.cluster.imports.iter();
            let import = imports.find(|import| is(&import.namespace, &import.name)).ok_or(NameError)?;
            let backing = if import.headless { Backing::Headless } else { Backing::ClusterIps(import.ips.clone()) };
            (backing, import.ports.clone())
        } else {
            let mut services = self.cluster.services.iter();
            let service = services.find(|service| is(&service.namespace, &service.name)).ok_or(NameError)?;
            (service.backing.clone(), or_sentinel(&service.ports))
        };
        let slices: Vec<_> = self
            .cluster
            .slices
            .iter()
            .filter(|slice| {
                let of = if self.multicluster { &slice.import } else { &slice.service };
                let watched = self.multicluster || !self.cluster.config.noendpoints;
                watched && slice.namespace == request.namespace && of.as_deref() == Some(&request.service)
            })
            .collect();
        let headless = backing == Backing::Headless;
        let name = |head: &[&str]| {
            dotted(head).under(&Name::labels(&[&request.service, &request.namespace, "svc"])).under(&self.zone)
        };
        if self.cluster.config.ignore_empty_service
            && matches!(backing, Backing::ClusterIps(_))
            && slices.iter().all(|slice| slice.endpoints.iter().all(|endpoint| endpoint.addresses.is_empty()))
        {
            return Err(NameError);
        }
        if !request.zone.is_empty() && !headless {
            return Err(NameError);
        }
        if let Backing::ExternalName(target) = &backing {
            let plain = request.endpoint.is_empty() && request.port.is_empty() && request.protocol.is_empty();
            if !plain || parse_ip(target).is_some() {
                return Err(NameError);
            }
            // Port 0, as Go leaves it.
            return Ok(vec![Found { host: Host::Name(target.clone()), port: Some(0), key: name(&[]) }]);
        }
        let asked = |port: &Port| {
            (request.port.is_empty() || request.port.eq_ignore_ascii_case(&port.name))
                && (request.protocol.is_empty() || request.protocol.eq_ignore_ascii_case(&port.protocol))
        };
        let Backing::ClusterIps(cluster_ips) = &backing else {
            return self.find_endpoints(request, &slices, &or_sentinel, &asked, &name);
        };
        if !request.endpoint.is_empty() {
            return self.find_endpoints(request, &slices, &or_sentinel, &asked, &name);
        }
        let mut exists = false;
        let mut found = Vec::new();
        for port in ports.iter().filter(|port| asked(port)) {
            exists = true;
            let host = |&ip: &IpAddr| Found { host: Host::Ip(ip), port: port.number, key: name(&[]) };
            found.extend(cluster_ips.iter().map(host));
        }
        if exists { Ok(found) } else { Err(NameError) }
    }

    fn find_endpoints(
        &self,
        request: &Request,
        slices: &[&super::cluster::Slice],
        or_sentinel: &dyn Fn(&[Port]) -> Vec<Port>,
        asked: &dyn Fn(&Port) -> bool,
        name: &dyn Fn(&[&str]) -> Name,
    ) -> Result<Vec<Found>, NameError> {
        let in_zone = |zone: &str| {
            let mut found = Vec::new();
            for slice in slices {
                let cluster = slice.cluster.as_deref().filter(|_| self.multicluster).unwrap_or_default();
                for endpoint in &slice.endpoints {
                    for &ip in &endpoint.addresses {
                        let label = self.endpoint_hostname(endpoint, ip);
                        let elsewhere = !zone.is_empty() && endpoint.zone.to_lowercase() != zone;
                        let other_name = !request.endpoint.is_empty()
                            && (!request.endpoint.eq_ignore_ascii_case(&label)
                                || self.multicluster && !request.cluster.eq_ignore_ascii_case(cluster));
                        if elsewhere || other_name {
                            continue;
                        }
                        let head: Vec<&str> = [&*label, cluster].into_iter().filter(|part| !part.is_empty()).collect();
                        for port in or_sentinel(&slice.ports).iter().filter(|port| asked(port)) {
                            found.push(Found { host: Host::Ip(ip), port: port.number, key: name(&head) });
                        }
                    }
                }
            }
            found
        };
        let mut found = in_zone(&request.zone);
        if found.is_empty() && request.zone_prefer {
            found = in_zone("");
        }
        if found.is_empty() && request.zone.is_empty() { Err(NameError) } else { Ok(found) }
    }

    /// CoreDNS's `endpointHostname`.
    fn endpoint_hostname(&self, endpoint: &super::cluster::Endpoint, ip: IpAddr) -> String {
        if !endpoint.hostname.is_empty() {
            return endpoint.hostname.clone();
        }
        if self.cluster.config.endpoint_pod_names && !endpoint.target.is_empty() && endpoint.target.len() < 64 {
            return endpoint.target.clone();
        }
        let dashed = ip.to_string().replace(['.', ':'], "-");
        if ip.is_ipv6() && dashed.ends_with('-') { dashed + "0" } else { dashed }
    }

    /// CoreDNS's `Services`, but for TXT and NS.
    fn services(&self, name: &Name, qtype: u16) -> Result<Vec<Found>, NameError> {
        let left = self.left(name);
        // Decided: compared without case.
        if left == ["dns", "ns"] {
            let servers =
                self.ns_addresses().into_iter().filter(|(_, ip)| (if ip.is_ipv4() { A } else { AAAA }) == qtype);
            return Ok(servers.map(|(_, ip)| Found { host: Host::Ip(ip), port: Some(0), key: name.clone() }).collect());
        }
        let mut found = self.records(name)?;
        if qtype == SRV {
            found.retain(|found| matches!(found.host, Host::Ip(_)));
        }
        Ok(found)
    }

    /// CoreDNS's `plugin.A` and `plugin.AAAA`. `before` has the targets of the chain so far.
    fn addresses(&mut self, name: &Name, qtype: u16, before: &mut Vec<Name>) -> Result<Vec<Rec>, NameError> {
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        for found in self.services(name, qtype)? {
            match found.host {
                Host::Ip(ip) => {
                    let family = if ip.is_ipv4() { A } else { AAAA };
                    if family == qtype && seen.insert(ip) {
                        records.push(Rec {
                            owner: name.clone(),
                            rtype: qtype,
                            ttl: self.ttl(),
                            data: Data::Address(ip),
                        });
                    }
                }
                Host::Name(target) => {
                    let target = Name::of(&target);
                    if target.is_in(name) || before.len() > 10 || before.contains(&target) {
                        continue;
                    }
                    let link =
                        Rec { owner: name.clone(), rtype: CNAME, ttl: self.ttl(), data: Data::Name(target.clone()) };
                    if target.is_in(&self.zone) {
                        before.push(target.clone());
                        let next = self.addresses(&target, qtype, before).unwrap_or_default();
                        if !next.is_empty() {
                            records.push(link);
                            records.extend(next);
                        }
                        continue;
                    }
                    self.asked = Some(target);
                    if let Up::Answer { truncated, records: answer } = self.up {
                        self.truncated = *truncated;
                        records.push(link);
                        records.extend(answer.iter().cloned());
                    }
                }
            }
        }
        Ok(records)
    }

    /// CoreDNS's `plugin.SRV`.
    fn ports(&self, name: &Name, additional: &mut Vec<Rec>) -> Result<Vec<Rec>, NameError> {
        let services = self.services(name, SRV)?;
        let weight = (100 / services.len().max(1)).max(1) as u16;
        let (mut seen, mut seen_addresses) = (BTreeSet::new(), BTreeSet::new());
        let mut records = Vec::new();
        for found in services {
            let (Some(port), Host::Ip(ip)) = (found.port, found.host) else { continue };
            let target = found.key;
            if seen.insert((target.clone(), port)) {
                let data = Data::Srv { priority: 0, weight, port, target: target.clone() };
                records.push(Rec { owner: name.clone(), rtype: SRV, ttl: self.ttl(), data });
            }
            if seen_addresses.insert((target.clone(), ip)) {
                let rtype = if ip.is_ipv4() { A } else { AAAA };
                additional.push(Rec { owner: target, rtype, ttl: self.ttl(), data: Data::Address(ip) });
            }
        }
        Ok(records)
    }

    /// CoreDNS's `plugin.TXT`.
    fn texts(&self, name: &Name) -> Result<Vec<Rec>, NameError> {
        let left = self.left(name);
        if left == ["dns-version"] {
            let data = Data::Txt(vec![b"1.1.0".to_vec()]);
            return Ok(vec![Rec { owner: name.clone(), rtype: TXT, ttl: 28800, data }]);
        }
        match self.records(name) {
            Ok(found) if !found.is_empty() => Ok(Vec::new()),
            Ok(_) if self.cluster.config.zonal && !self.parse(&left)?.zone.is_empty() => Ok(Vec::new()),
            _ => Err(NameError),
        }
    }

    /// CoreDNS's `plugin.CNAME`.
    fn aliases(&self, name: &Name) -> Result<Vec<Rec>, NameError> {
        let alias = self.services(name, CNAME)?.into_iter().next();
        let Some(Found { host: Host::Name(target), .. }) = alias else { return Ok(Vec::new()) };
        let data = Data::Name(Name::of(&target));
        Ok(vec![Rec { owner: name.clone(), rtype: CNAME, ttl: self.ttl(), data }])
    }

    /// Whether the name exists: CoreDNS's fake look-up for A.
    fn exists(&self, name: &Name) -> Result<(), NameError> {
        self.services(name, A).map(|_| ())
    }

    /// CoreDNS's `Reverse`.
    fn pointers(&self, name: &Name) -> Result<Vec<Rec>, NameError> {
        let Some(ip) = reversed_ip(name) else { return self.records(name).map(|_| Vec::new()) };
        let primary = self.cluster.config.zones.iter().map(|zone| Name::of(zone).lower());
        let primary = { primary }.find(|zone| {
            !(zone.0.len() > 2 && (zone.is_in(&Name::of("in-addr.arpa")) || zone.is_in(&Name::of("ip6.arpa"))))
        });
        let exposed = |namespace: &str| self.cluster.config.namespaces.is_empty() || self.namespace_exposed(namespace);
        let record = |labels: &[&str]| {
            let target = dotted(labels).under(&Name::of("svc")).under(primary.as_ref().unwrap());
            Rec { owner: name.clone(), rtype: PTR, ttl: self.ttl(), data: Data::Name(target) }
        };
        let services = self.cluster.services.iter().filter(|service| {
            let has = matches!(&service.backing, Backing::ClusterIps(ips) if ips.contains(&ip));
            has && exposed(&service.namespace)
        });
        // Decided: of several Services with one address the first by name; CoreDNS takes any.
        if let Some(service) = services.min_by_key(|service| (&service.namespace, &service.name)) {
            return Ok(vec![record(&[&service.name, &service.namespace])]);
        }
        let mut records = Vec::new();
        for (slice, service) in self.local_slices().filter(|(slice, _)| exposed(&slice.namespace)) {
            for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.addresses.contains(&ip)) {
                let record = record(&[&self.endpoint_hostname(endpoint, ip), service, &slice.namespace]);
                if !records.contains(&record) {
                    records.push(record);
                }
            }
        }
        if records.is_empty() { Err(NameError) } else { Ok(records) }
    }

    /// The slices of Services. Decided: one without the label is of none (difference `empty-label`).
    fn local_slices(&self) -> impl Iterator<Item = (&super::cluster::Slice, &str)> {
        let watched = !self.cluster.config.noendpoints;
        let slices = self.cluster.slices.iter().filter(move |_| watched);
        slices.filter_map(|slice| Some((slice, slice.service.as_deref()?)))
    }

    /// CoreDNS's `nsAddrs`.
    fn ns_addresses(&self) -> Vec<(Name, IpAddr)> {
        let mut servers = Vec::new();
        let mut found = false;
        for local in &self.cluster.local_ips {
            for (slice, service) in self.local_slices() {
                if !slice.endpoints.iter().any(|endpoint| endpoint.addresses.contains(local)) {
                    continue;
                }
                found = true;
                let services = self.cluster.services.iter();
                for service in services.filter(|other| other.namespace == slice.namespace && other.name == service) {
                    let name = |head: &[&str]| {
                        let name = Name::labels(&[&service.name, &service.namespace, "svc"]);
                        dotted(head).under(&name).under(&self.zone)
                    };
                    match &service.backing {
                        Backing::Headless => {
                            for endpoint in &slice.endpoints {
                                for &ip in &endpoint.addresses {
                                    servers.push((name(&[&self.endpoint_hostname(endpoint, ip)]), ip));
                                }
                            }
                        }
                        Backing::ClusterIps(ips) => servers.extend(ips.iter().map(|&ip| (name(&[]), ip))),
                        Backing::ExternalName(_) => {}
                    }
                }
            }
        }
        if !found {
            let name = Name::of("ns.dns").under(&self.zone);
            servers.extend(self.cluster.local_ips.iter().map(|&ip| (name.clone(), ip)));
        }
        servers
    }

    /// CoreDNS's `plugin.NS`.
    fn name_servers(&self, additional: &mut Vec<Rec>) -> Vec<Rec> {
        let mut records: Vec<Rec> = Vec::new();
        for (server, ip) in self.ns_addresses() {
            let rtype = if ip.is_ipv4() { A } else { AAAA };
            let address = Rec { owner: server.clone(), rtype, ttl: self.ttl(), data: Data::Address(ip) };
            // Decided: an address that two slices have is written once; CoreDNS repeats the record.
            if !additional.contains(&address) {
                additional.push(address);
            }
            let record = Rec { owner: self.zone.clone(), rtype: NS, ttl: self.ttl(), data: Data::Name(server) };
            if !records.contains(&record) {
                records.push(record);
            }
        }
        records
    }

    /// CoreDNS's `plugin.SOA`.
    fn soa(&self) -> Rec {
        let cluster = self.cluster;
        let changed = if self.multicluster {
            !cluster.imports.is_empty() || cluster.slices.iter().any(|slice| slice.import.is_some())
        } else {
            let pods = cluster.pods.iter().filter(|pod| !pod.finished && !pod.deleting && !pod.ips.is_empty());
            !cluster.services.is_empty()
                || self.local_slices().next().is_some()
                || cluster.config.pods == PodMode::Verified && pods.count() > 0
        };
        let serial = if changed { NOW } else { 0 };
        let data = Data::Soa {
            mname: Name::of("ns.dns").under(&self.zone),
            rname: Name::of("hostmaster").under(&self.zone),
            numbers: [serial, 7200, 1800, 86400, self.ttl()],
        };
        Rec { owner: self.zone.clone(), rtype: SOA, ttl: self.ttl().min(300), data }
    }
}

/// The name of these parts. The name of a pod may have dots, which make several labels of it.
fn dotted(parts: &[&str]) -> Name {
    Name::of(&parts.join("."))
}

/// Go's `net.ParseIP`, where an IPv4-mapped address is the IPv4 address.
fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// CoreDNS's `ExtractAddressFromReverse`, for names of digits and letters.
fn reversed_ip(name: &Name) -> Option<IpAddr> {
    let mut texts = name.texts();
    texts.reverse();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    match &*texts {
        ["arpa", "in-addr", rest @ ..] if !rest.is_empty() => parse_ip(&rest.join(".")).filter(IpAddr::is_ipv4),
        ["arpa", "ip6", rest @ ..] if !rest.is_empty() => {
            let groups: Vec<String> = rest.chunks_exact(4).map(<[&str]>::concat).collect();
            parse_ip(&groups.join(":"))
        }
        _ => None,
    }
}

/// How often each record is there: sections are compared without regard to order, which the objects do not fix.
pub fn counted(records: &[Rec]) -> BTreeMap<&Rec, usize> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record).or_default() += 1;
    }
    counts
}
