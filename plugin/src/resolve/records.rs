//! Address and SRV records of Services, endpoints and pods.

use super::locate::{Endpoints, Located, PortFilter};
use super::seen::Seen;
use super::{Negative, Outcome, Resolver, Scratch, Upstream};
use crate::name::MAX_NAME;
use crate::store::record::{EndpointLabel, PortView, ServiceView};
use crate::wire::{Owner, Rcode, Reply, Section};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Pointers reach this far (RFC 1035 section 4.1.4).
const MAX_POINTER: usize = 0x3fff;

/// The target of an SRV record, and one of its addresses.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// The hash of the target's name.
    target: u64,
    /// Where the target's name is in the message.
    offset: u32,
    ip: IpAddr,
}

/// The buffers that SRV records of endpoints need.
struct SrvScratch<'a> {
    name: &'a mut Vec<u8>,
    seen: &'a mut Seen,
    hosts: &'a mut Vec<Host>,
}

impl Resolver<'_> {
    /// A (or AAAA): the path that nearly every query takes.
    pub(super) fn addresses(
        &self,
        v6: bool,
        upstream: Upstream<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let located = self.located();
        if let Located::Alias(alias) = located {
            return self.chase(alias, v6, upstream, scratch, out);
        }
        let (names, seen) = (&mut scratch.names, &mut scratch.seen);
        let mut reply = self.reply(names, out);
        let found = self.write_addresses(&located, v6, Owner::QNAME, seen, &mut reply);
        match found {
            Some(true) => {
                reply.finish();
                Outcome::Answer(Rcode::NO_ERROR)
            }
            Some(false) => self.negative(&Negative::NoData, scratch, out),
            None => self.negative(&Negative::NameError, scratch, out),
        }
    }

    /// Writes the addresses of one family that a name stands for, each once. Returns whether there is one, or `None`
    /// if the name does not exist.
    pub(super) fn write_addresses(
        &self,
        located: &Located<'_>,
        v6: bool,
        owner: Owner<'_>,
        seen: &mut Seen,
        reply: &mut Reply<'_>,
    ) -> Option<bool> {
        let ttl = self.ttl();
        let mut any = false;
        let mut write = |ip: IpAddr, reply: &mut Reply<'_>| {
            if ip.is_ipv6() == v6 {
                any = true;
                reply.address(Section::Answer, owner, ttl, ip);
            }
        };
        match located {
            Located::Nothing => return None,
            // An alias to an alias is the chase's work.
            Located::Empty | Located::Alias(_) => {}
            Located::NameServer => {
                for ip in self.name_server_addresses() {
                    write(ip, reply);
                }
            }
            Located::Pod { ip, .. } => write(*ip, reply),
            Located::ClusterIp(service, _) => {
                let mut ips = service.ips;
                // The API server allows two addresses; anybody else may say more, so each is written once.
                let first = ips.next();
                if let Some(first) = first {
                    write(first, reply);
                }
                seen.clear();
                for ip in ips.filter(|&ip| Some(ip) != first) {
                    if seen.insert(self.hash(ip, &[]), 0) {
                        write(ip, reply);
                    }
                }
            }
            Located::Endpoints(endpoints) => {
                let mut exists = endpoints.is_zonal();
                seen.clear();
                for (_, endpoint) in endpoints.iter() {
                    exists = true;
                    if endpoint.ip.is_ipv6() == v6 && seen.insert(self.hash(endpoint.ip, &[]), 0) {
                        write(endpoint.ip, reply);
                    }
                }
                if !exists {
                    return None;
                }
            }
        }
        Some(any)
    }

    /// SRV, with the addresses of the targets behind them.
    pub(super) fn services(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Negative> {
        let located = self.located();
        let mut reply = self.reply(&mut scratch.names, out);
        let seen = &mut scratch.seen;
        let any = match &located {
            Located::Nothing => return Err(Negative::NameError),
            Located::Empty | Located::NameServer | Located::Alias(_) => false,
            Located::Pod { namespace, label, ip, pods } => {
                self.pod_name(namespace, label, &mut scratch.name);
                let name = &scratch.name;
                // Port 0, once for all of them.
                if let Some(target) = reply.srv(Owner::QNAME, self.ttl(), weight(*pods), 0, &[name]) {
                    reply.address(Section::Additional, at(target, name), self.ttl(), *ip);
                }
                true
            }
            Located::ClusterIp(service, ports) => {
                self.srv_of_service(service, *ports, &mut scratch.name, seen, &mut reply)
            }
            Located::Endpoints(endpoints) => {
                let mut buffers = SrvScratch { name: &mut scratch.name, seen, hosts: &mut scratch.hosts };
                self.srv_of_endpoints(endpoints, &mut buffers, &mut reply).ok_or(Negative::NameError)?
            }
        };
        if !any {
            return Err(Negative::NoData);
        }
        reply.finish();
        Ok(())
    }

    /// `LABEL.NAMESPACE.pod.ZONE` in wire form, the zone spelled as in the question.
    fn pod_name(&self, namespace: &[u8], label: &[u8], name: &mut Vec<u8>) {
        name.clear();
        push_label(name, label);
        push_label(name, namespace);
        push_label(name, b"pod");
        name.extend_from_slice(self.zone_as_asked());
    }

    fn srv_of_service(
        &self,
        service: &ServiceView<'_>,
        filter: PortFilter<'_>,
        name: &mut Vec<u8>,
        seen: &mut Seen,
        reply: &mut Reply<'_>,
    ) -> bool {
        self.service_name(service.namespace, service.name, name);
        let asked = |port: &PortView<'_>| filter.matches(port);
        let ips = service.ips.count();
        // An import without ports was not located, so the sentinel is a Service's only.
        let weight = weight(service.ports().or_sentinel().filter(asked).count() * ips);
        if ips == 0 {
            return false;
        }
        seen.clear();
        let mut target = None;
        let mut any = false;
        for number in service.ports().or_sentinel().filter(asked).filter_map(|port| port.number) {
            if seen.insert(u64::from(number), 0) {
                any = true;
                let written = reply.srv(Owner::QNAME, self.ttl(), weight, number, &[name]);
                target = target.or(written);
            }
        }
        let Some(target) = target else { return any };
        seen.clear();
        for ip in service.ips {
            if seen.insert(self.hash(ip, &[]), 0) {
                reply.address(Section::Additional, at(target, name), self.ttl(), ip);
            }
        }
        any
    }

    /// Returns `None` if the name does not exist, and else whether there are records.
    fn srv_of_endpoints(
        &self,
        endpoints: &Endpoints<'_>,
        scratch: &mut SrvScratch<'_>,
        reply: &mut Reply<'_>,
    ) -> Option<bool> {
        let SrvScratch { name, seen, hosts } = scratch;
        let total = endpoints.record_count();
        if total == 0 {
            return endpoints.is_zonal().then_some(false);
        }
        self.service_name(endpoints.namespace, endpoints.service, name);
        let asked = |port: &PortView<'_>| endpoints.ports.matches(port);
        let (ttl, weight) = (self.ttl(), weight(total));
        seen.clear();
        hosts.clear();
        let mut any = false;
        for (slice, endpoint) in endpoints.iter() {
            let label = endpoint.label();
            // A name that no message can hold is left out; CoreDNS leaves the whole reply out.
            let cluster = if slice.cluster.is_empty() { 0 } else { 1 + slice.cluster.len() };
            if label.wire().len() + cluster + name.len() > MAX_NAME {
                continue;
            }
            let target = self.target_hash(&label, slice.cluster);
            let mut host = None;
            for number in slice.ports.or_sentinel().filter(asked).filter_map(|port| port.number) {
                any = true;
                let record = target ^ (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if let Some(offset) = seen.get(record) {
                    host.get_or_insert(offset);
                    continue;
                }
                let written = with_cluster(slice.cluster, |cluster| {
                    reply.srv(Owner::QNAME, ttl, weight, number, &[label.wire(), cluster, name])
                });
                // Full: nothing that comes later can fit in either.
                let Some(offset) = written else { return Some(true) };
                seen.insert(record, offset as u32);
                // The first of several is the likeliest to be within reach of pointers.
                host.get_or_insert(offset as u32);
            }
            // A slice without a port has no SRV records, and so no addresses to add.
            if let Some(offset) = host {
                hosts.push(Host { target, offset, ip: endpoint.ip });
            }
        }
        seen.clear();
        // Offset of the Service's own name at the end of the first target, for hosts too far away to point to.
        let first = hosts.first().map_or(0, |host| host.offset as usize);
        let parent = |reply: &Reply<'_>| first + reply.name_len(first) - name.len();
        for Host { target, offset, ip } in hosts.iter() {
            if !seen.insert(self.hash(*ip, &target.to_ne_bytes()), 0) {
                continue;
            }
            let offset = *offset as usize;
            let written = if offset <= MAX_POINTER {
                reply.address(Section::Additional, Owner::At(offset as u16), ttl, *ip)
            } else {
                let own = reply.name_len(offset) - name.len();
                let mut below = [0; 128];
                below[..own].copy_from_slice(reply.octets(offset, own));
                let parent = parent(reply) as u16;
                reply.address(Section::Additional, Owner::Below(&below[..own], parent), ttl, *ip)
            };
            if !written {
                break;
            }
        }
        Some(any)
    }

    /// CNAME: an alias is shown, not followed.
    pub(super) fn alias(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Negative> {
        let Located::Alias(alias) = self.located() else { return self.existence() };
        if !super::chase::alias_name(alias, &mut scratch.name) {
            return Err(Negative::NoData);
        }
        let mut reply = self.reply(&mut scratch.names, out);
        reply.remember_qname();
        reply.name(Section::Answer, Owner::QNAME, crate::wire::rtype::CNAME, self.ttl(), &scratch.name);
        reply.finish();
        Ok(())
    }

    /// `SERVICE.NAMESPACE.svc.ZONE` in wire form, the zone spelled as in the question.
    pub(super) fn service_name(&self, namespace: &[u8], service: &[u8], name: &mut Vec<u8>) {
        name.clear();
        push_label(name, service);
        push_label(name, namespace);
        push_label(name, b"svc");
        name.extend_from_slice(self.zone_as_asked());
    }

    fn hash(&self, ip: IpAddr, label: &[u8]) -> u64 {
        self.snapshot.store.settings.hasher.endpoint(ip, label)
    }

    fn target_hash(&self, label: &EndpointLabel, cluster: &[u8]) -> u64 {
        self.snapshot.store.settings.hasher.identity(cluster, label.wire())
    }
}

/// A hundred shared out, at least 1 each (CoreDNS's `plugin.SRV`; its floating point gives the same for all counts).
pub(crate) fn weight(records: usize) -> u16 {
    (100 / records.max(1)).max(1) as u16
}

/// The owner at `offset`, where pointers reach it.
fn at(offset: usize, name: &[u8]) -> Owner<'_> {
    if offset <= MAX_POINTER { Owner::At(offset as u16) } else { Owner::Name(name) }
}

/// Calls `write` with the label of a cluster in wire form, or nothing where there is no cluster.
fn with_cluster<T>(cluster: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
    let len = cluster.len().min(crate::name::MAX_LABEL);
    if len == 0 {
        return write(&[]);
    }
    let mut wire = [0; 64];
    wire[0] = len as u8;
    wire[1..=len].copy_from_slice(&cluster[..len]);
    write(&wire[..=len])
}

/// Appends a label of at most 63 octets; a longer one, which no object of the API has, loses its end.
pub(crate) fn push_label(name: &mut Vec<u8>, label: &[u8]) {
    let label = &label[..label.len().min(crate::name::MAX_LABEL)];
    name.push(label.len() as u8);
    name.extend_from_slice(label);
}
