//! The external view: Services by the addresses that they have outside of the cluster (CoreDNS's `k8s_external`).
//!
//! `SERVICE.NAMESPACE.ZONE` answers with the Service's external IPs and its load balancer's addresses; with the option
//! `headless`, Services without any answer with their endpoints. `dns.ZONE` holds the zone's name server.

use crate::config::{ConfigError, HOSTMASTER};
use crate::engine::Snapshot;
use crate::name;
use crate::resolve::locate::{PortFilter, dashed_address, is_reverse};
use crate::resolve::request::strip_underscore;
use crate::resolve::reverse::address_of;
use crate::resolve::{Client, Outcome, Scratch, Upstream, alias_name, push_label, weight};
use crate::store::record::{External, ServiceView};
use crate::wire::{Owner, Query, Rcode, Reply, Section, read_answers, rtype};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// The options of the directive `k8s_external`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalConfig {
    /// The zones served; PTR records point into the first.
    pub zones: Vec<String>,
    /// The label below which the zone's name server is.
    pub apex: String,
    /// TTL of the records, in seconds.
    pub ttl: u32,
    /// Headless Services answer with their endpoints.
    pub headless: bool,
    /// Zones in which a name that does not exist is handed on; `.` for all, empty for none.
    pub fallthrough: Vec<String>,
}

impl Default for ExternalConfig {
    fn default() -> Self {
        Self { zones: Vec::new(), apex: String::from("dns"), ttl: 5, headless: false, fallthrough: Vec::new() }
    }
}

/// A checked [`ExternalConfig`].
#[derive(Clone, Debug)]
pub struct ExternalView {
    zones: Vec<Box<[u8]>>,
    apex: Box<[u8]>,
    ttl: u32,
    headless: bool,
    fallthrough: Vec<Box<[u8]>>,
}

impl ExternalView {
    /// Checks the options.
    ///
    /// # Errors
    /// A zone, or the apex, that is not a domain name, and a TTL over an hour.
    pub fn new(config: &ExternalConfig) -> Result<Self, ConfigError> {
        if config.ttl > 3600 {
            return Err(ConfigError::Ttl(config.ttl));
        }
        let mut apex = Vec::new();
        name::push_text(&mut apex, &config.apex.to_ascii_lowercase())
            .map_err(|reason| ConfigError::BadZone { zone: config.apex.clone(), reason })?;
        let zones = crate::config::wire_zones(&config.zones)?;
        for (wire, zone) in zones.iter().zip(&config.zones) {
            if wire.len() + apex.len() + HOSTMASTER.len() > name::MAX_NAME {
                return Err(ConfigError::LongZone { zone: zone.clone() });
            }
        }
        Ok(Self {
            zones,
            apex: apex.into_boxed_slice(),
            ttl: config.ttl,
            headless: config.headless,
            fallthrough: crate::config::wire_zones(&config.fallthrough)?,
        })
    }
}

/// A record to write: an address or an alias, and the port and name for SRV.
struct Found<'a> {
    address: External<'a>,
    port: Option<u16>,
    /// The name that has the address, in wire form.
    name: Vec<u8>,
}

/// The names of a query below its zone.
struct Asked<'a> {
    namespace: &'a [u8],
    service: &'a [u8],
    endpoint: &'a [u8],
    ports: PortFilter<'a>,
}

impl Snapshot {
    /// Answers a query by the external view into `out`, as [`resolve`](Self::resolve) does by the internal one.
    ///
    /// Load balancers with a name may need several look-ups: `upstream` holds the results of those asked for so far, in
    /// order; it is empty the first time.
    pub fn resolve_external(
        &self,
        view: &ExternalView,
        query: &Query,
        client: &Client,
        upstream: &[Upstream<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let qname = query.qname();
        let longest = view.zones.iter().filter(|zone| name::is_subdomain(zone, qname)).max_by_key(|zone| zone.len());
        let Some(zone) = longest else { return Outcome::NotMine };
        let left = query.name().label_count() - name::labels(zone).count();
        let answering = Answering {
            snapshot: self,
            view,
            query,
            start: query.name().label_start(left),
            left,
            limit: query.size_limit(client.transport),
        };
        answering.answer(upstream, scratch, out)
    }
}

struct Answering<'a> {
    snapshot: &'a Snapshot,
    view: &'a ExternalView,
    query: &'a Query,
    /// Where the zone starts in the qname.
    start: usize,
    /// Labels left of the zone.
    left: usize,
    limit: usize,
}

impl<'a> Answering<'a> {
    fn answer(&self, upstream: &[Upstream<'_>], scratch: &mut Scratch, out: &mut Vec<u8>) -> Outcome {
        if self.left == 0 {
            return self.apex(scratch, out);
        }
        if let Some(labels) = self.labels_of_apex() {
            return self.below_apex(labels, scratch, out);
        }
        let qtype = self.query.qtype();
        if qtype == rtype::PTR
            && let Some(ip) = address_of(self.query.name())
        {
            return self.pointers(ip, scratch, out);
        }
        let (found, rcode) = self.find();
        if found.is_empty() || qtype == rtype::PTR {
            if rcode == Rcode::NAME_ERROR && self.falls_through() {
                return Outcome::Fallthrough;
            }
            return self.negative(rcode, scratch, out);
        }
        match qtype {
            rtype::A | rtype::AAAA => self.addresses(&found, upstream, scratch, out),
            rtype::SRV => self.services(&found, upstream, scratch, out),
            _ => self.negative(Rcode::NO_ERROR, scratch, out),
        }
    }

    /// The zone as it is configured: this view spells it so, whatever the case of the question (CoreDNS's does).
    fn zone(&self) -> &'a [u8] {
        &self.query.qname()[self.start..]
    }

    fn falls_through(&self) -> bool {
        self.view.fallthrough.iter().any(|zone| name::is_subdomain(zone, self.query.qname()))
    }

    /// The number of labels left of the zone, if the name is `APEX.ZONE` or below.
    fn labels_of_apex(&self) -> Option<usize> {
        let before = &self.query.qname()[..self.start];
        let at = before.len().checked_sub(self.view.apex.len())?;
        let on_a_label = (0..self.left).any(|label| self.query.name().label_start(label) == at);
        (on_a_label && before[at..] == *self.view.apex).then_some(self.left)
    }

    /// `ns1.APEX.ZONE`.
    fn name_server(&self) -> Vec<u8> {
        [b"\x03ns1", &*self.view.apex, self.zone()].concat()
    }

    fn soa(&self, section: Section, reply: &mut Reply<'_>) {
        let zone = self.zone();
        let hostmaster = [HOSTMASTER, &*self.view.apex, zone].concat();
        let serial = self.snapshot.store.serials.external;
        reply.soa_of(section, zone, &self.name_server(), &hostmaster, self.view.ttl, serial);
    }

    fn reply<'b>(&self, rcode: Rcode, scratch: &'b mut Scratch, out: &'b mut Vec<u8>) -> Reply<'b>
    where
        'a: 'b,
    {
        let mut reply = Reply::new(self.query, rcode, self.limit, scratch.names(), out);
        reply.remember_qname();
        reply
    }

    fn negative(&self, rcode: Rcode, scratch: &mut Scratch, out: &mut Vec<u8>) -> Outcome {
        let mut reply = self.reply(rcode, scratch, out);
        self.soa(Section::Authority, &mut reply);
        reply.finish();
        Outcome::Answer(rcode)
    }

    /// The addresses of the Services in front of this server, seen from outside (CoreDNS's `ExternalAddress`).
    fn name_server_addresses(&self) -> Vec<IpAddr> {
        let store = &self.snapshot.store;
        let mut ips = Vec::new();
        let mut found = false;
        for &local in self.snapshot.local_ips.iter() {
            for slice in store.slices_at(local) {
                found = true;
                let Some(service) = store.service(slice.namespace, slice.service) else { continue };
                if self.view.headless && service.headless() {
                    ips.extend(slice.endpoints().map(|endpoint| endpoint.ip));
                } else {
                    ips.extend(service.external().filter_map(|external| match external {
                        External::Ip(ip) => Some(ip),
                        External::Hostname(_) => None,
                    }));
                }
            }
        }
        if !found {
            ips.extend(self.snapshot.local_ips.iter().copied());
        }
        ips.sort_unstable();
        ips.dedup();
        ips
    }

    fn apex(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Outcome {
        let mut reply = self.reply(Rcode::NO_ERROR, scratch, out);
        match self.query.qtype() {
            rtype::SOA => self.soa(Section::Answer, &mut reply),
            rtype::NS => {
                let zone = Owner::Name(self.zone());
                reply.name(Section::Answer, zone, rtype::NS, self.view.ttl, &self.name_server());
                // Here alone the zone is spelled as in the question.
                let server = [b"\x03ns1", &*self.view.apex, self.query.raw_qname()].concat();
                for ip in self.name_server_addresses() {
                    reply.address(Section::Additional, Owner::Name(&server), self.view.ttl, ip);
                }
            }
            _ => self.soa(Section::Authority, &mut reply),
        }
        reply.finish();
        Outcome::Answer(Rcode::NO_ERROR)
    }

    /// `APEX.ZONE` is empty, `ns1.APEX.ZONE` is the name server, the rest does not exist (CoreDNS's `serveSubApex`).
    fn below_apex(&self, labels: usize, scratch: &mut Scratch, out: &mut Vec<u8>) -> Outcome {
        match labels {
            1 => self.negative(Rcode::NO_ERROR, scratch, out),
            2 if self.query.name().label(0) == b"ns1" => {
                let v6 = match self.query.qtype() {
                    rtype::A => false,
                    rtype::AAAA => true,
                    _ => return self.negative(Rcode::NO_ERROR, scratch, out),
                };
                let ips: Vec<IpAddr> =
                    self.name_server_addresses().into_iter().filter(|ip| ip.is_ipv6() == v6).collect();
                if ips.is_empty() {
                    return self.negative(Rcode::NO_ERROR, scratch, out);
                }
                let mut reply = self.reply(Rcode::NO_ERROR, scratch, out);
                for ip in ips {
                    reply.address(Section::Answer, Owner::QNAME, self.view.ttl, ip);
                }
                reply.finish();
                Outcome::Answer(Rcode::NO_ERROR)
            }
            _ => self.negative(Rcode::NAME_ERROR, scratch, out),
        }
    }

    fn pointers(&self, ip: IpAddr, scratch: &mut Scratch, out: &mut Vec<u8>) -> Outcome {
        let store = &self.snapshot.store;
        let filtered = !store.settings.namespaces.is_empty();
        let services: Vec<ServiceView<'_>> = store
            .services_outside_at(ip)
            .filter(|service| !filtered || store.namespace_exposed(service.namespace))
            .collect();
        let Some(zone) = self.view.zones.first().filter(|_| !services.is_empty()) else {
            if self.falls_through() {
                return Outcome::Fallthrough;
            }
            return self.negative(Rcode::NAME_ERROR, scratch, out);
        };
        let mut reply = self.reply(Rcode::NO_ERROR, scratch, out);
        for service in services {
            let mut target = Vec::new();
            push_label(&mut target, service.name);
            push_label(&mut target, service.namespace);
            target.extend_from_slice(zone);
            if target.len() <= name::MAX_NAME {
                reply.name(Section::Answer, Owner::QNAME, rtype::PTR, self.view.ttl, &target);
            }
        }
        reply.finish();
        Outcome::Answer(Rcode::NO_ERROR)
    }

    /// What the name stands for, and NOERROR if it exists (CoreDNS's `External`).
    fn find(&self) -> (Vec<Found<'a>>, Rcode) {
        let store = &self.snapshot.store;
        let name = self.query.name();
        let label = |from_zone: usize| if from_zone < self.left { name.label(self.left - 1 - from_zone) } else { &[] };
        let namespace = label(0);
        let nothing = (Vec::new(), Rcode::NAME_ERROR);
        if is_reverse(self.query.qname()) && self.query.qtype() != rtype::PTR || !store.namespace_exposed(namespace) {
            return nothing;
        }
        let asked = match self.left {
            1 => return (Vec::new(), Rcode::NO_ERROR),
            2 => Asked { namespace, service: label(1), endpoint: &[], ports: PortFilter::ANY },
            3 => Asked { namespace, service: label(1), endpoint: strip_underscore(label(2)), ports: PortFilter::ANY },
            4 => {
                let ports = PortFilter { name: strip_underscore(label(3)), protocol: strip_underscore(label(2)) };
                Asked { namespace, service: label(1), endpoint: &[], ports }
            }
            _ => return nothing,
        };
        let Some(service) = store.service(namespace, asked.service) else { return nothing };
        let found = if self.view.headless
            && service.external().next().is_none()
            && (service.headless() || !asked.endpoint.is_empty())
        {
            self.endpoints(&asked)
        } else {
            self.external_addresses(&service, &asked)
        };
        let rcode = if found.is_empty() { Rcode::NAME_ERROR } else { Rcode::NO_ERROR };
        (found, rcode)
    }

    /// `HOST.LABELS.ZONE`; `host` is in wire form.
    fn name_below(&self, host: &[u8], labels: &[&[u8]]) -> Vec<u8> {
        let mut name = host.to_vec();
        for label in labels {
            push_label(&mut name, label);
        }
        name.extend_from_slice(self.zone());
        name
    }

    fn external_addresses(&self, service: &ServiceView<'a>, asked: &Asked<'_>) -> Vec<Found<'a>> {
        let name = self.name_below(&[], &[service.name, service.namespace]);
        let ports = || service.ports().or_sentinel().filter(|port| asked.ports.matches(port));
        let found = service.external().flat_map(|address| ports().map(move |port| (address, port.number)));
        found.map(|(address, port)| Found { address, port, name: name.clone() }).collect()
    }

    fn endpoints(&self, asked: &Asked<'_>) -> Vec<Found<'a>> {
        let store = &self.snapshot.store;
        let hash = store.settings.hasher.object(asked.namespace, asked.service);
        let spelled = dashed_address(asked.endpoint);
        let mut found = Vec::new();
        for slice in store.slices.of(hash, asked.namespace, asked.service) {
            for endpoint in slice.endpoints() {
                if !asked.endpoint.is_empty() && !endpoint.is_called(asked.endpoint, spelled) {
                    continue;
                }
                let name = self.name_below(endpoint.label().wire(), &[asked.service, asked.namespace]);
                if name.len() > name::MAX_NAME {
                    continue;
                }
                let ports = slice.ports.or_sentinel().filter(|port| asked.ports.matches(port));
                let address = External::Ip(endpoint.ip);
                found.extend(ports.map(|port| Found { address, port: port.number, name: name.clone() }));
            }
        }
        found
    }

    fn addresses(
        &self,
        found: &[Found<'_>],
        upstream: &[Upstream<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let qtype = self.query.qtype();
        let hosts = hosts(found);
        if let Some(target) = hosts.get(upstream.len()) {
            scratch.set_target(target);
            return Outcome::NeedUpstream { qtype };
        }
        let mut seen = Vec::new();
        let mut reply = self.reply(Rcode::NO_ERROR, scratch, out);
        for Found { address, .. } in found {
            if let External::Ip(ip) = *address
                && ip.is_ipv6() == (qtype == rtype::AAAA)
                && !seen.contains(&ip)
            {
                seen.push(ip);
                reply.address(Section::Answer, Owner::QNAME, self.view.ttl, ip);
            }
        }
        for (target, answer) in hosts.iter().zip(upstream) {
            // The alias has the TTL of the Service's records, not of this view (CoreDNS's `msg_to_dns.go`).
            let ttl = self.snapshot.store.settings.ttl;
            reply.name(Section::Answer, Owner::QNAME, rtype::CNAME, ttl, target);
            append_answer(answer, Section::Answer, &mut reply);
        }
        if seen.is_empty() && hosts.is_empty() {
            return self.negative(Rcode::NO_ERROR, scratch, out);
        }
        reply.finish();
        Outcome::Answer(Rcode::NO_ERROR)
    }

    fn services(
        &self,
        found: &[Found<'_>],
        upstream: &[Upstream<'_>],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let hosts = if found.iter().any(|found| found.port.is_some()) { hosts(found) } else { Vec::new() };
        // Both families of each host, one after the other.
        let asked = [rtype::A, rtype::AAAA];
        if let Some(target) = hosts.get(upstream.len() / 2) {
            scratch.set_target(target);
            return Outcome::NeedUpstream { qtype: asked[upstream.len() % 2] };
        }
        let weight = weight(found.len());
        let ttl = self.snapshot.store.settings.ttl;
        let mut seen: Vec<(Vec<u8>, u16)> = Vec::new();
        let mut addresses: Vec<(&[u8], IpAddr)> = Vec::new();
        let mut reply = self.reply(Rcode::NO_ERROR, scratch, out);
        for Found { address, port, name } in found {
            let Some(port) = *port else { continue };
            let mut target = Vec::new();
            match address {
                External::Ip(ip) => {
                    target.extend_from_slice(name);
                    if !addresses.contains(&(name, *ip)) {
                        addresses.push((name, *ip));
                    }
                }
                External::Hostname(host) => {
                    if !alias_name(host, &mut target) {
                        continue;
                    }
                }
            }
            if !seen.contains(&(target.clone(), port)) {
                reply.srv_from(Owner::QNAME, ttl, weight, port, &[&target]);
                seen.push((target, port));
            }
        }
        for (name, ip) in addresses {
            reply.address(Section::Additional, Owner::Name(name), self.view.ttl, ip);
        }
        for answer in upstream {
            append_answer(answer, Section::Additional, &mut reply);
        }
        if seen.is_empty() {
            return self.negative(Rcode::NO_ERROR, scratch, out);
        }
        reply.finish();
        Outcome::Answer(Rcode::NO_ERROR)
    }
}

/// The names of load balancers among what was found, in wire form, each once.
fn hosts(found: &[Found<'_>]) -> Vec<Vec<u8>> {
    let mut hosts: Vec<Vec<u8>> = Vec::new();
    for Found { address, .. } in found {
        let mut host = Vec::new();
        if let External::Hostname(text) = address
            && alias_name(text, &mut host)
            && !hosts.contains(&host)
        {
            hosts.push(host);
        }
    }
    hosts
}

fn append_answer(answer: &Upstream<'_>, section: Section, reply: &mut Reply<'_>) {
    let Upstream::Answer(message) = answer else { return };
    let Ok((records, truncated)) = read_answers(message) else { return };
    for record in &records {
        reply.copied(section, record);
    }
    if truncated && section == Section::Answer {
        reply.set_truncated();
    }
}
