//! Transfers of a zone: AXFR, and IXFR answered by AXFR (CoreDNS's plugin/kubernetes/xfr.go).

use crate::config::Zone;
use crate::engine::Snapshot;
use crate::name;
use crate::object::ServiceKind;
use crate::resolve::{ZoneMatch, push_label, weight};
use crate::store::record::ServiceView;
use crate::wire::{NameWriter, Owner, Query, Rcode, Reply, Section, rtype};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

/// The octets that one message of a transfer may have. Below what a TCP message can hold, so that clients see the
/// first records early and names stay within the reach of compression pointers.
const MESSAGE: usize = 16 * 1024;

/// A transfer in progress. It works on its own snapshot: the zone is as it was at one moment.
#[derive(Debug)]
pub struct Transfer {
    snapshot: Snapshot,
    query: Query,
    start: usize,
    zone: Zone,
    /// Namespaces and names of the Services still to come, the next one last.
    services: Vec<(Vec<u8>, Vec<u8>)>,
    ready: VecDeque<Record>,
    stage: Stage,
    names: NameWriter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    First,
    Services,
    Last,
    Done,
}

#[derive(Debug)]
struct Record {
    owner: Vec<u8>,
    ttl: u32,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Soa,
    Address(IpAddr),
    Name(u16, Vec<u8>),
    Srv { weight: u16, port: u16, target: Vec<u8> },
}

impl Snapshot {
    /// Begins the transfer that a query of type AXFR or IXFR asks for. `None`: the qname is not one of our zones, and
    /// CoreDNS's `transfer` answers NOTAUTH or hands the query on.
    ///
    /// An IXFR whose serial is the present one gets the SOA record alone (RFC 1995 section 2).
    pub fn transfer(&self, query: &Query) -> Option<Transfer> {
        let ZoneMatch { zone, left, start } = self.zone_of(query.name())?;
        if left > 0 {
            return None;
        }
        let current = query.qtype() == rtype::IXFR && query.ixfr_serial() == Some(self.store.serials.internal);
        let mut services = Vec::new();
        if !current {
            let table = if zone.multicluster { &self.store.imports } else { &self.store.services };
            for service in table.iter().map(ServiceView::new) {
                if self.store.namespace_exposed(service.namespace) {
                    services.push((service.namespace.to_vec(), service.name.to_vec()));
                }
            }
            // By name, as CoreDNS has them; then by namespace, so that two transfers are alike.
            services
                .sort_unstable_by(|(namespace, name), (other, other_name)| (other_name, other).cmp(&(name, namespace)));
        }
        let mut transfer = Transfer {
            snapshot: self.clone(),
            query: query.clone(),
            start,
            zone: zone.clone(),
            services,
            ready: VecDeque::new(),
            stage: Stage::First,
            names: NameWriter::default(),
        };
        transfer.push(Vec::new(), Data::Soa);
        if current {
            transfer.stage = Stage::Done;
        }
        Some(transfer)
    }
}

impl Transfer {
    /// Writes the next message of the transfer into `out`. Returns false, and writes nothing, after the last.
    pub fn next_message(&mut self, out: &mut Vec<u8>) -> bool {
        if self.ready.is_empty() && !self.refill() {
            return false;
        }
        let mut names = core::mem::take(&mut self.names);
        let query = self.query.clone();
        let mut reply = Reply::new(&query, Rcode::NO_ERROR, MESSAGE, &mut names, out);
        reply.remember_qname();
        while let Some(record) = self.ready.front() {
            if !self.write(record, &mut reply) {
                break;
            }
            self.ready.pop_front();
            if self.ready.is_empty() {
                self.refill();
            }
        }
        reply.finish_part();
        self.names = names;
        true
    }

    fn write(&self, record: &Record, reply: &mut Reply<'_>) -> bool {
        let Record { owner, ttl, data } = record;
        let owner = Owner::Name(owner);
        match data {
            Data::Soa => {
                let store = &self.snapshot.store;
                reply.soa(Section::Answer, self.start, store.settings.ttl, store.serials.internal)
            }
            Data::Address(ip) => reply.address(Section::Answer, owner, *ttl, *ip),
            Data::Name(rtype, target) => reply.name(Section::Answer, owner, *rtype, *ttl, target),
            Data::Srv { weight, port, target } => reply.srv_from(owner, *ttl, *weight, *port, &[target]).is_some(),
        }
    }

    /// Makes the records that come next. Returns false at the end.
    fn refill(&mut self) -> bool {
        while self.ready.is_empty() {
            match self.stage {
                Stage::First => {
                    self.name_servers();
                    self.stage = Stage::Services;
                }
                Stage::Services => match self.services.pop() {
                    Some((namespace, name)) => self.service(&namespace, &name),
                    None => self.stage = Stage::Last,
                },
                Stage::Last => {
                    self.push(Vec::new(), Data::Soa);
                    self.stage = Stage::Done;
                }
                Stage::Done => return false,
            }
        }
        true
    }

    /// Adds a record, unless it holds a name that no message can hold.
    fn push(&mut self, owner: Vec<u8>, data: Data) {
        let ttl = self.snapshot.store.settings.ttl;
        let target = match &data {
            Data::Name(_, target) | Data::Srv { target, .. } => target.len(),
            Data::Soa | Data::Address(_) => 0,
        };
        if owner.len().max(target) <= name::MAX_NAME {
            self.ready.push_back(Record { owner, ttl, data });
        }
    }

    fn zone_name(&self) -> Vec<u8> {
        self.query.raw_qname().to_vec()
    }

    fn name_servers(&mut self) {
        let zone = self.zone_name();
        let servers = self.snapshot.name_servers(&zone);
        for (index, server) in servers.iter().enumerate() {
            if servers[..index].iter().all(|other| other.name != server.name) {
                self.push(zone.clone(), Data::Name(rtype::NS, server.name.clone()));
            }
        }
        for server in servers {
            // CoreDNS gives these no TTL.
            self.ready.push_back(Record { owner: server.name, ttl: 0, data: Data::Address(server.ip) });
        }
    }

    /// The records of one Service or `ServiceImport`.
    fn service(&mut self, namespace: &[u8], service_name: &[u8]) {
        let snapshot = self.snapshot.clone();
        let store = &snapshot.store;
        let multicluster = self.zone.multicluster;
        let found =
            if multicluster { store.import(namespace, service_name) } else { store.service(namespace, service_name) };
        let Some(service) = found else { return };
        let zone = self.zone_name();
        let under = |host: &[u8], labels: &[&[u8]]| {
            let mut name = host.to_vec();
            for label in labels.iter().chain(&[service_name, namespace, b"svc"]) {
                push_label(&mut name, label);
            }
            name.extend_from_slice(&zone);
            name
        };
        let below = |labels: &[&[u8]]| under(&[], labels);
        let base = below(&[]);
        if service.kind == ServiceKind::ExternalName {
            let mut target = Vec::new();
            if crate::resolve::alias_name(service.external_name(), &mut target)
                && name::labels(&target).next().is_some()
            {
                self.push(base, Data::Name(rtype::CNAME, target));
            }
            return;
        }
        let port_name = |port: &crate::store::record::PortView<'_>| {
            let underscored = |text: &[u8]| {
                let mut label = vec![b'_'];
                label.extend_from_slice(text);
                label.make_ascii_lowercase();
                label
            };
            below(&[&underscored(port.name), &underscored(port.protocol)])
        };
        if !service.headless() {
            for ip in service.ips {
                self.push(base.clone(), Data::Address(ip));
            }
            if service.ips.count() == 0 {
                return;
            }
            for port in service.ports() {
                // CoreDNS gives port 65535 to ports without a number; a client cannot use that.
                let Some(number) = port.number else { continue };
                let data = || Data::Srv { weight: 100, port: number, target: base.clone() };
                self.push(base.clone(), data());
                if !port.name.is_empty() {
                    self.push(port_name(&port), data());
                }
            }
            return;
        }
        let tables = if multicluster { &store.import_slices } else { &store.slices };
        let hash = store.settings.hasher.object(namespace, service_name);
        for slice in tables.of(hash, namespace, service_name) {
            let weight = weight(slice.len());
            for endpoint in slice.endpoints() {
                let host = under(endpoint.label().wire(), &[]);
                self.push(base.clone(), Data::Address(endpoint.ip));
                self.push(host.clone(), Data::Address(endpoint.ip));
                for port in slice.ports.filter(|port| !port.name.is_empty()) {
                    let Some(number) = port.number else { continue };
                    self.push(port_name(&port), Data::Srv { weight, port: number, target: host.clone() });
                }
            }
        }
    }
}
