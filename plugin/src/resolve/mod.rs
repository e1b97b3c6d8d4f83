//! From a query to its reply: the rules of CoreDNS's `kubernetes` plugin.
//!
//! The path of a query: [`Snapshot::resolve`] finds the zone; by the question's type it takes the name apart
//! (`request`), looks up what the name stands for (`locate`) and writes the records (`records`, `chase` for
//! aliases, `reverse` for PTR, `apex` for SOA, NS and TXT); what is not there becomes NODATA, NXDOMAIN, or the
//! caller's turn.

mod apex;
mod chase;
pub(crate) mod locate;
mod records;
pub(crate) mod request;
pub(crate) mod reverse;
pub(crate) mod seen;

use crate::config::Zone;
use crate::engine::Snapshot;
use crate::wire::{NameWriter, QName, Query, Rcode, Reply, Section, Transport, rtype};
use alloc::vec::Vec;
use core::net::IpAddr;
use locate::{Located, locate};
use seen::Seen;

pub(crate) use chase::alias_name;
pub(crate) use records::{push_label, weight};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The address that the query came from.
    pub addr: IpAddr,
    /// How it came.
    pub transport: Transport,
}

/// What is known of an alias's target outside of our zones.
#[derive(Clone, Copy, Debug)]
pub enum Upstream<'a> {
    /// Nothing yet: [`Outcome::NeedUpstream`] asks for it.
    NotAsked,
    /// The look-up gave no message.
    Failed,
    /// The message that the look-up gave, whatever its rcode.
    Answer(&'a [u8]),
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The reply is written.
    Answer(Rcode),
    /// The qname is in none of our zones.
    NotMine,
    /// The name does not exist, and the option `fallthrough` hands such names on.
    Fallthrough,
    /// An alias leads out of our zones: look up [`Scratch::target`] for `qtype` and resolve again with the result.
    NeedUpstream {
        /// The type to ask for.
        qtype: u16,
    },
    /// AXFR or IXFR. CoreDNS answers REFUSED, unless its `transfer` plugin takes the query first.
    Transfer,
}

/// Buffers for resolving, used again and again. One for each thread.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    names: NameWriter,
    seen: Seen,
    hosts: Vec<records::Host>,
    name: Vec<u8>,
    alias: QName,
    links: Vec<chase::Link>,
    target: Vec<u8>,
}

impl Scratch {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn names(&mut self) -> &mut NameWriter {
        &mut self.names
    }

    pub(crate) fn set_target(&mut self, target: &[u8]) {
        self.target.clear();
        self.target.extend_from_slice(target);
    }

    /// After [`Outcome::NeedUpstream`]: the name to look up, in wire form.
    pub fn target(&self) -> &[u8] {
        &self.target
    }
}

/// The zone of a query.
#[derive(Clone, Copy)]
pub(crate) struct ZoneMatch<'a> {
    pub zone: &'a Zone,
    /// Labels of the qname left of the zone.
    pub left: usize,
    /// Where the zone starts in the qname.
    pub start: usize,
}

/// Why there are no records.
enum Negative {
    NoData,
    NameError,
}

impl Snapshot {
    /// The longest of our zones that `name` ends in.
    pub(crate) fn zone_of(&self, name: &QName) -> Option<ZoneMatch<'_>> {
        self.store.settings.zones.iter().find_map(|zone| {
            let left = name.label_count().checked_sub(zone.labels)?;
            let start = name.label_start(left);
            (name.folded()[start..] == *zone.wire).then_some(ZoneMatch { zone, left, start })
        })
    }

    /// Answers a query of class IN into `out`.
    ///
    /// The query comes from [`Query::read`]; class, EDNS version and the choice among servers are the caller's, as they
    /// are the server's in CoreDNS. `upstream` is [`Upstream::NotAsked`] the first time. Nothing is allocated once the
    /// buffers have grown, but for aliases, name servers and PTR records of many endpoints.
    pub fn resolve(
        &self,
        query: &Query,
        client: &Client,
        upstream: Upstream<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let Some(zone) = self.zone_of(query.name()) else { return Outcome::NotMine };
        let limit = query.size_limit(client.transport);
        let resolver = Resolver { snapshot: self, query, zone, limit };
        let written = match query.qtype() {
            rtype::A => return resolver.addresses(false, upstream, scratch, out),
            rtype::AAAA => return resolver.addresses(true, upstream, scratch, out),
            rtype::AXFR | rtype::IXFR => return Outcome::Transfer,
            rtype::SRV => resolver.services(scratch, out),
            rtype::PTR => resolver.pointers(scratch, out),
            rtype::TXT => resolver.text(scratch, out),
            rtype::CNAME => resolver.alias(scratch, out),
            rtype::SOA => resolver.start_of_authority(scratch, out),
            rtype::NS if zone.left == 0 => resolver.name_servers(scratch, out),
            _ => resolver.existence(),
        };
        match written {
            Ok(()) => Outcome::Answer(Rcode::NO_ERROR),
            Err(negative) => resolver.negative(&negative, scratch, out),
        }
    }

    /// Whether a name below `qname` that does not exist is handed on.
    pub(crate) fn falls_through(&self, qname: &[u8]) -> bool {
        self.store.settings.fallthrough.iter().any(|zone| crate::name::is_subdomain(zone, qname))
    }
}

/// One query on its way to one reply.
struct Resolver<'a> {
    snapshot: &'a Snapshot,
    query: &'a Query,
    zone: ZoneMatch<'a>,
    limit: usize,
}

impl<'a> Resolver<'a> {
    fn ttl(&self) -> u32 {
        self.snapshot.store.settings.ttl
    }

    fn reply<'b>(&self, names: &'b mut NameWriter, out: &'b mut Vec<u8>) -> Reply<'b>
    where
        'a: 'b,
    {
        Reply::new(self.query, Rcode::NO_ERROR, self.limit, names, out)
    }

    /// The zone's name with the case of the question, in wire form.
    fn zone_as_asked(&self) -> &'a [u8] {
        &self.query.raw_qname()[self.zone.start..]
    }

    fn located(&self) -> Located<'a> {
        locate(&self.snapshot.store, self.query.name(), self.zone.left, self.zone.zone.multicluster)
    }

    /// Types without records of their own: only whether the name exists counts.
    fn existence(&self) -> Result<(), Negative> {
        Err(if self.located().exists() { Negative::NoData } else { Negative::NameError })
    }

    /// NODATA, NXDOMAIN, SERVFAIL before the first sync, or the caller's turn (CoreDNS's `BackendError`).
    fn negative(&self, negative: &Negative, scratch: &mut Scratch, out: &mut Vec<u8>) -> Outcome {
        let rcode = match negative {
            Negative::NoData => Rcode::NO_ERROR,
            Negative::NameError if self.snapshot.falls_through(self.query.qname()) => return Outcome::Fallthrough,
            // What is not known yet may well exist.
            Negative::NameError if !self.snapshot.store.synced() => Rcode::SERVER_FAILURE,
            Negative::NameError => Rcode::NAME_ERROR,
        };
        let mut reply = Reply::new(self.query, rcode, self.limit, &mut scratch.names, out);
        reply.soa(Section::Authority, self.zone.start, self.ttl(), self.serial());
        reply.finish();
        Outcome::Answer(rcode)
    }

    fn serial(&self) -> u32 {
        let serials = &self.snapshot.store.serials;
        if self.zone.zone.multicluster { serials.multicluster } else { serials.internal }
    }
}
