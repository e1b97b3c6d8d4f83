//! What a zone says of itself: SOA, NS, and the version of the schema.

use super::locate::Located;
use super::records::push_label;
use super::{Negative, Resolver, Scratch};
use crate::wire::{Owner, Section, rtype};
use alloc::vec::Vec;
use core::net::IpAddr;

/// The version of the DNS schema, and for how many seconds its record may be kept (CoreDNS's `dns-version`).
const SCHEMA_VERSION: &[u8] = b"1.1.0";
const SCHEMA_VERSION_TTL: u32 = 28800;

impl Resolver<'_> {
    /// SOA at the apex; any other name is NODATA, whether it exists or not, as in CoreDNS.
    pub(super) fn start_of_authority(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Negative> {
        if self.zone.left > 0 {
            return Err(Negative::NoData);
        }
        let mut reply = self.reply(&mut scratch.names, out);
        reply.soa(Section::Answer, self.zone.start, self.ttl(), self.serial());
        reply.finish();
        Ok(())
    }

    /// NS at the apex, with the addresses.
    pub(super) fn name_servers(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Negative> {
        let servers = self.snapshot.name_servers(self.zone_as_asked());
        if servers.is_empty() {
            return Err(Negative::NoData);
        }
        let mut reply = self.reply(&mut scratch.names, out);
        reply.remember_qname();
        let first_of_its_name = |index: usize| servers[..index].iter().all(|other| other.name != servers[index].name);
        for index in (0..servers.len()).filter(|&index| first_of_its_name(index)) {
            reply.name(Section::Answer, Owner::QNAME, rtype::NS, self.ttl(), &servers[index].name);
        }
        for server in &servers {
            reply.address(Section::Additional, Owner::Name(&server.name), self.ttl(), server.ip);
        }
        reply.finish();
        Ok(())
    }

    /// The addresses of `ns.dns.ZONE`.
    pub(super) fn name_server_addresses(&self) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> =
            self.snapshot.name_servers(self.zone_as_asked()).into_iter().map(|server| server.ip).collect();
        ips.sort_unstable();
        ips.dedup();
        ips
    }

    /// TXT: `dns-version.ZONE` and nothing else. Names without records, the apex too, do not exist for this type.
    pub(super) fn text(&self, scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Negative> {
        if self.zone.left == 1 && self.query.name().label(0) == b"dns-version" {
            let mut reply = self.reply(&mut scratch.names, out);
            reply.txt(Owner::QNAME, SCHEMA_VERSION_TTL, SCHEMA_VERSION);
            reply.finish();
            return Ok(());
        }
        let exists = match self.located() {
            Located::Nothing | Located::NameServer | Located::Empty => false,
            // A Service that has no address yet counts as one record in CoreDNS, an import without addresses as none.
            Located::ClusterIp(service, _) => !self.zone.zone.multicluster || service.ips.count() > 0,
            located => located.exists(),
        };
        Err(if exists { Negative::NoData } else { Negative::NameError })
    }
}

/// A name server of a zone and one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameServer {
    pub name: Vec<u8>,
    pub ip: IpAddr,
}

impl crate::engine::Snapshot {
    /// The Services in front of this server, found by its own addresses, or else `ns.dns.ZONE` at those addresses
    /// (CoreDNS's `nsAddrs`). `zone` is in wire form.
    pub(crate) fn name_servers(&self, zone: &[u8]) -> Vec<NameServer> {
        let mut servers = Vec::new();
        let mut found = false;
        let name = |host: &[u8], labels: &[&[u8]]| {
            let mut name = host.to_vec();
            for label in labels {
                push_label(&mut name, label);
            }
            name.extend_from_slice(zone);
            name
        };
        for &local in self.local_ips.iter() {
            for slice in self.store.slices_at(local) {
                found = true;
                let Some(service) = self.store.service(slice.namespace, slice.service) else { continue };
                if service.headless() {
                    servers.extend(slice.endpoints().map(|endpoint| NameServer {
                        name: name(endpoint.label().wire(), &[service.name, service.namespace, b"svc"]),
                        ip: endpoint.ip,
                    }));
                } else {
                    let name = name(&[], &[service.name, service.namespace, b"svc"]);
                    servers.extend(service.ips.map(|ip| NameServer { name: name.clone(), ip }));
                }
            }
        }
        if !found {
            let name = name(&[], &[b"ns", b"dns"]);
            servers.extend(self.local_ips.iter().map(|&ip| NameServer { name: name.clone(), ip }));
        }
        let mut unique: Vec<NameServer> = Vec::with_capacity(servers.len());
        for server in servers {
            if server.name.len() <= crate::name::MAX_NAME && !unique.contains(&server) {
                unique.push(server);
            }
        }
        unique
    }
}
