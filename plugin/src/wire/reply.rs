//! Writing a reply.
//!
//! Records go straight into the caller's buffer. A record that would not fit is taken back, TC is set, and no more are
//! written: what is left is what miekg/dns's `Msg.Truncate` leaves of the same records.

use super::{CLASS_IN, HEADER, Query, Rcode, UpstreamRecord, rtype};
use crate::name;
use alloc::vec::Vec;
use core::net::IpAddr;

const TC: u8 = 0x02;
/// The octets of a reply's OPT record.
const OPT_SIZE: usize = 11;
/// Pointers reach this far (RFC 1035 section 4.1.4).
const MAX_POINTER: usize = 0x3fff;
/// Names remembered for compression; beyond, names are written out.
const MAX_REMEMBERED: usize = 256;

/// The sections of a reply after the question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// The owner of a record.
#[derive(Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// The name at this offset of the message, which is at most 0x3fff.
    At(u16),
    /// A name in wire form.
    Name(&'a [u8]),
    /// A label, its length in front, under the name at this offset, which is at most 0x3fff.
    Below(&'a [u8], u16),
}

impl Owner<'_> {
    /// The qname.
    pub const QNAME: Self = Self::At(HEADER as u16);
}

/// Names of the message that later ones may point to. Reused from reply to reply.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameWriter {
    /// Offsets of names, and of the ends of names, in the message.
    known: Vec<u16>,
}

/// A reply in the making.
pub(crate) struct Reply<'a> {
    out: &'a mut Vec<u8>,
    names: &'a mut NameWriter,
    query: &'a Query,
    /// Where records have to end, so that the OPT record still fits.
    limit: usize,
    truncated: bool,
}

impl<'a> Reply<'a> {
    /// Starts an authoritative reply: header and question. `limit` is the most octets that it may have.
    pub fn new(query: &'a Query, rcode: Rcode, limit: usize, names: &'a mut NameWriter, out: &'a mut Vec<u8>) -> Self {
        query.write_head(query.reply_flags(true, rcode), out);
        names.known.clear();
        let opt = if query.edns().is_some() { OPT_SIZE } else { 0 };
        Self { out, names, query, limit: limit - opt, truncated: false }
    }

    /// Ends the reply: the OPT record, and TC where something was left out.
    pub fn finish(self) {
        if self.truncated {
            self.out[2] |= TC;
        }
        self.query.write_opt(self.out);
    }

    /// Ends one of several messages that make a whole: what did not fit comes in the next.
    pub fn finish_part(self) {
        self.query.write_opt(self.out);
    }

    /// Sets TC whether or not something was left out: the answer of an upstream was cut.
    pub fn set_truncated(&mut self) {
        self.truncated = true;
    }

    /// The octets of the uncompressed name at `offset`.
    pub fn name_len(&self, offset: usize) -> usize {
        let mut at = offset;
        while let Some(&size) = self.out.get(at).filter(|size| **size != 0) {
            at += 1 + usize::from(size);
        }
        at + 1 - offset
    }

    /// `len` octets of the message from `offset`, fewer at its end.
    pub fn octets(&self, offset: usize, len: usize) -> &[u8] {
        self.out.get(offset..offset + len).unwrap_or_default()
    }

    /// Writes a record, its data by `rdata`. Returns whether it fitted.
    fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: u16,
        ttl: u32,
        rdata: impl FnOnce(&mut NameWriter, &mut Vec<u8>),
    ) -> bool {
        if self.truncated {
            return false;
        }
        let start = self.out.len();
        let known = self.names.known.len();
        match owner {
            Owner::At(offset) => self.out.extend_from_slice(&(0xc000 | offset).to_be_bytes()),
            Owner::Name(wire) => self.names.write(self.out, wire),
            Owner::Below(label, offset) => {
                self.out.extend_from_slice(label);
                self.out.extend_from_slice(&(0xc000 | offset).to_be_bytes());
            }
        }
        let mut head = [0; 10];
        head[..2].copy_from_slice(&rtype.to_be_bytes());
        head[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        head[4..8].copy_from_slice(&ttl.to_be_bytes());
        self.out.extend_from_slice(&head);
        let data = self.out.len();
        rdata(self.names, self.out);
        if self.out.len() > self.limit {
            self.out.truncate(start);
            self.names.known.truncate(known);
            self.truncated = true;
            return false;
        }
        let len = (self.out.len() - data) as u16;
        self.out[data - 2..data].copy_from_slice(&len.to_be_bytes());
        let at = section as usize;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]).wrapping_add(1);
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        true
    }

    /// An A or AAAA record, by the family of `address`.
    pub fn address(&mut self, section: Section, owner: Owner<'_>, ttl: u32, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.record(section, owner, rtype::A, ttl, |_, out| out.extend_from_slice(&v4.octets())),
            IpAddr::V6(v6) => {
                self.record(section, owner, rtype::AAAA, ttl, |_, out| out.extend_from_slice(&v6.octets()))
            }
        }
    }

    /// A record whose data is one name that may be compressed: CNAME, NS, PTR (RFC 3597 section 4).
    pub fn name(&mut self, section: Section, owner: Owner<'_>, rtype: u16, ttl: u32, target: &[u8]) -> bool {
        self.record(section, owner, rtype, ttl, |names, out| names.write(out, target))
    }

    /// An SRV record; its target is not compressed (RFC 2782). Returns the offset of the target.
    pub fn srv(&mut self, owner: Owner<'_>, ttl: u32, weight: u16, port: u16, target: &[&[u8]]) -> Option<usize> {
        let mut offset = 0;
        self.record(Section::Answer, owner, rtype::SRV, ttl, |_, out| {
            out.extend_from_slice(&[0, 0]);
            out.extend_from_slice(&weight.to_be_bytes());
            out.extend_from_slice(&port.to_be_bytes());
            offset = out.len();
            for part in target {
                out.extend_from_slice(part);
            }
        })
        .then_some(offset)
    }

    /// A TXT record of one string of at most 255 octets.
    pub fn txt(&mut self, owner: Owner<'_>, ttl: u32, text: &[u8]) -> bool {
        self.record(Section::Answer, owner, rtype::TXT, ttl, |_, out| {
            out.push(text.len() as u8);
            out.extend_from_slice(text);
        })
    }

    /// The SOA record of a zone as CoreDNS makes it. `zone` is where the zone's name starts in the qname.
    pub fn soa(&mut self, section: Section, zone: usize, ttl: u32, serial: u32) -> bool {
        let zone = pointer_into_qname(zone);
        self.record(section, Owner::At(zone), rtype::SOA, ttl.min(300), |_, out| {
            let zone = (0xc000 | zone).to_be_bytes();
            out.extend_from_slice(b"\x02ns\x03dns");
            out.extend_from_slice(&zone);
            out.extend_from_slice(crate::config::HOSTMASTER);
            out.extend_from_slice(&zone);
            for value in [serial, 7200, 1800, 86400, ttl] {
                out.extend_from_slice(&value.to_be_bytes());
            }
        })
    }

    /// An SOA record whose names are not CoreDNS's usual ones.
    pub fn soa_of(
        &mut self,
        section: Section,
        zone: &[u8],
        server: &[u8],
        hostmaster: &[u8],
        ttl: u32,
        serial: u32,
    ) -> bool {
        self.record(section, Owner::Name(zone), rtype::SOA, ttl, |names, out| {
            names.write(out, server);
            names.write(out, hostmaster);
            for value in [serial, 7200, 1800, 86400, ttl] {
                out.extend_from_slice(&value.to_be_bytes());
            }
        })
    }

    /// As [`srv`](Self::srv), and makes the target known to names written later.
    pub fn srv_from(&mut self, owner: Owner<'_>, ttl: u32, weight: u16, port: u16, target: &[&[u8]]) -> Option<usize> {
        let offset = self.srv(owner, ttl, weight, port, target)?;
        self.names.remember_name(self.out, offset);
        Some(offset)
    }

    /// A record from another message. Data that is one name is compressed, other data is written as it is.
    pub fn copied(&mut self, section: Section, record: &UpstreamRecord) -> bool {
        let UpstreamRecord { owner, rtype, ttl, rdata } = record;
        let owner = Owner::Name(owner);
        match *rtype {
            rtype::CNAME | rtype::NS | rtype::PTR => self.name(section, owner, *rtype, *ttl, rdata),
            _ => self.record(section, owner, *rtype, *ttl, |_, out| out.extend_from_slice(rdata)),
        }
    }

    /// Makes the qname, and what it ends in, known to names written later.
    pub fn remember_qname(&mut self) {
        let name = self.query.name();
        for index in 0..name.label_count() {
            self.names.remember(pointer_into_qname(name.label_start(index)));
        }
    }
}

/// The message offset of what starts at `at` in the qname.
pub(crate) fn pointer_into_qname(at: usize) -> u16 {
    // A name has at most 255 octets, so the sum is far below the reach of a pointer.
    (HEADER + at) as u16
}

impl NameWriter {
    fn remember(&mut self, offset: u16) {
        if self.known.len() < MAX_REMEMBERED {
            self.known.push(offset);
        }
    }

    /// Makes the uncompressed name at `offset`, and what it ends in, known.
    fn remember_name(&mut self, message: &[u8], offset: usize) {
        let mut at = offset;
        while at <= MAX_POINTER && message[at] != 0 && !self.knows(message, &message[at..]) {
            self.remember(at as u16);
            at += 1 + usize::from(message[at]);
        }
    }

    fn knows(&self, message: &[u8], name: &[u8]) -> bool {
        self.known.iter().any(|&offset| same_name(message, usize::from(offset), name))
    }

    /// Appends a name, ending it with a pointer to the longest end already in the message.
    pub fn write(&mut self, out: &mut Vec<u8>, name: &[u8]) {
        let mut at = 0;
        while at < name.len() && name[at] != 0 {
            let rest = &name[at..];
            let found = self.known.iter().copied().find(|&offset| same_name(out, usize::from(offset), rest));
            if let Some(offset) = found {
                out.extend_from_slice(&(0xc000 | offset).to_be_bytes());
                return;
            }
            if out.len() <= MAX_POINTER {
                self.remember(out.len() as u16);
            }
            let end = at + 1 + usize::from(name[at]);
            out.extend_from_slice(&name[at..end]);
            at = end;
        }
        out.push(0);
    }
}

/// Whether the name at `offset` of `message`, which this module has written, is `name`, its case included.
///
/// A name that is still being written ends where the message ends, and so is not yet any name.
fn same_name(message: &[u8], offset: usize, name: &[u8]) -> bool {
    let mut at = offset;
    let mut expected = name::labels(name);
    loop {
        let Some(&size) = message.get(at) else { return false };
        let size = usize::from(size);
        if size >= 0xc0 {
            let Some(&low) = message.get(at + 1) else { return false };
            at = (size & 0x3f) << 8 | usize::from(low);
            continue;
        }
        let label = message.get(at + 1..at + 1 + size);
        match expected.next() {
            None => return size == 0,
            Some(expected) if label == Some(expected) => at += 1 + size,
            Some(_) => return false,
        }
    }
}
