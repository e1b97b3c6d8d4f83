//! Turns the reply to a name of the search path into the reply to the name that was asked (CoreDNS's `cnamer`).

use rustk8s::wire::{Query, Rcode, Transport, rtype};

const HEADER: usize = 12;
const TC: u8 = 0x02;
/// Pointers reach this far (RFC 1035 section 4.1.4).
const MAX_POINTER: usize = 0x3fff;
/// Names remembered for compression; beyond, names are written out.
const MAX_REMEMBERED: usize = 256;

/// A record of a message, its names written out.
struct Record {
    section: usize,
    owner: Vec<u8>,
    rtype: u16,
    class: u16,
    ttl: u32,
    rdata: Vec<u8>,
}

/// Writes into `out` what `reply` says, as the reply to `original`: its question and size, and, with `alias`, a CNAME
/// record that leads from it to the first name of the answer. `None` if `reply` is malformed.
pub(super) fn rewrite(
    original: &Query,
    transport: Transport,
    reply: &[u8],
    alias: bool,
    out: &mut Vec<u8>,
) -> Option<()> {
    let records = read(reply)?;
    // Header, question and OPT record as the server itself writes them.
    original.write_error(Rcode::NO_ERROR, out);
    let opt = out.split_off(HEADER + original.raw_qname().len() + 4);
    out[2..4].copy_from_slice(reply.get(2..4)?);
    out[11] = 0;
    let limit = original.size_limit(transport).saturating_sub(opt.len());
    let mut writer = Writer { out, known: Vec::new(), limit, truncated: false };
    writer.remember(HEADER);
    let first = records
        .iter()
        .find(|record| record.section == 0 && alias && !record.owner.eq_ignore_ascii_case(original.raw_qname()));
    if let Some(first) = first {
        writer.record(&Record {
            section: 0,
            owner: original.raw_qname().to_vec(),
            rtype: rtype::CNAME,
            class: first.class,
            ttl: first.ttl,
            rdata: first.owner.clone(),
        });
    }
    for record in &records {
        writer.record(record);
    }
    if writer.truncated {
        out[2] |= TC;
    }
    if !opt.is_empty() {
        let additional = u16::from_be_bytes([out[10], out[11]]).saturating_add(1);
        out[10..12].copy_from_slice(&additional.to_be_bytes());
        out.extend_from_slice(&opt);
    }
    Some(())
}

/// The records of a message, but for OPT.
fn read(message: &[u8]) -> Option<Vec<Record>> {
    let word = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let mut at = HEADER;
    for _ in 0..word(4)? {
        at = read_name(message, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for section in 0..3 {
        for _ in 0..word(6 + 2 * section)? {
            let (owner, end) = read_name(message, at)?;
            let (rtype, class) = (word(end)?, word(end + 2)?);
            let ttl = u32::from_be_bytes(*message.get(end + 4..)?.first_chunk()?);
            let start = end + 10;
            at = start + usize::from(word(end + 8)?);
            if rtype != rtype::OPT {
                let rdata = expanded(message.get(..at)?, start, rtype)?;
                records.push(Record { section, owner, rtype, class, ttl, rdata });
            }
        }
    }
    Some(records)
}

/// Octets before the names in the data of a record, and the number of names that may be compressed there (RFC 3597
/// section 4).
fn names_in(rtype: u16) -> (usize, usize) {
    const MX: u16 = 15;
    const DNAME: u16 = 39;
    match rtype {
        rtype::NS | rtype::CNAME | rtype::PTR | DNAME => (0, 1),
        rtype::SOA => (0, 2),
        MX => (2, 1),
        rtype::SRV => (6, 1),
        _ => (0, 0),
    }
}

/// The data of a record, its names written out. `message` ends where the data ends.
fn expanded(message: &[u8], start: usize, rtype: u16) -> Option<Vec<u8>> {
    let (before, names) = names_in(rtype);
    let mut rdata = message.get(start..start + before)?.to_vec();
    let mut at = start + before;
    for _ in 0..names {
        let (name, end) = read_name(message, at)?;
        rdata.extend_from_slice(&name);
        at = end;
    }
    rdata.extend_from_slice(message.get(at..)?);
    Some(rdata)
}

/// A name, written out, and where the message goes on.
fn read_name(message: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut at = start;
    let mut end = None;
    loop {
        let size = usize::from(*message.get(at)?);
        match size {
            0xc0.. => {
                let target = (size & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                end = end.or(Some(at + 2));
                // Pointers lead back, so that they end.
                at = Some(target).filter(|target| *target < at)?;
            }
            0x40.. => return None,
            _ => {
                name.extend_from_slice(message.get(at..=at + size)?);
                at += 1 + size;
                if size == 0 {
                    return Some((name, end.unwrap_or(at)));
                }
                if name.len() >= rustk8s::name::MAX_NAME {
                    return None;
                }
            }
        }
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Offsets of names, and of the ends of names, in the message.
    known: Vec<usize>,
    limit: usize,
    truncated: bool,
}

impl Writer<'_> {
    /// Writes a record, or nothing more once one does not fit, as miekg/dns's `Msg.Truncate`.
    fn record(&mut self, record: &Record) {
        if self.truncated {
            return;
        }
        let (start, known) = (self.out.len(), self.known.len());
        self.name(&record.owner, true);
        self.out.extend_from_slice(&record.rtype.to_be_bytes());
        self.out.extend_from_slice(&record.class.to_be_bytes());
        self.out.extend_from_slice(&record.ttl.to_be_bytes());
        self.out.extend_from_slice(&[0, 0]);
        let data = self.out.len();
        self.data(record);
        let length = u16::try_from(self.out.len() - data);
        let at = 6 + 2 * record.section;
        let count = u16::from_be_bytes([self.out[at], self.out[at + 1]]).checked_add(1);
        let (Ok(length), Some(count), true) = (length, count, self.out.len() <= self.limit) else {
            self.out.truncate(start);
            self.known.truncate(known);
            self.truncated = true;
            return;
        };
        self.out[data - 2..data].copy_from_slice(&length.to_be_bytes());
        self.out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    fn data(&mut self, record: &Record) {
        let (before, names) = names_in(record.rtype);
        // The data was put together from these parts.
        let (head, mut rest) = record.rdata.split_at(before);
        self.out.extend_from_slice(head);
        for _ in 0..names {
            let labels: usize = rustk8s::name::labels(rest).map(|label| 1 + label.len()).sum();
            let (name, behind) = rest.split_at(labels + 1);
            // Targets of SRV records are not compressed (RFC 2782).
            self.name(name, record.rtype != rtype::SRV);
            rest = behind;
        }
        self.out.extend_from_slice(rest);
    }

    /// Writes a whole name, ending it with a pointer to what is in the message already, if it may.
    fn name(&mut self, name: &[u8], compress: bool) {
        let mut rest = name;
        while let Some(size @ 1..) = rest.first().copied() {
            let found = self
                .known
                .iter()
                .copied()
                .find(|offset| read_name(self.out, *offset).is_some_and(|(known, _)| known == rest));
            match found {
                Some(offset) if compress => {
                    // What is remembered is in reach of a pointer.
                    self.out.extend_from_slice(&(0xc000 | offset as u16).to_be_bytes());
                    return;
                }
                None if self.out.len() <= MAX_POINTER && self.known.len() < MAX_REMEMBERED => {
                    self.known.push(self.out.len());
                }
                Some(_) | None => {}
            }
            let (label, behind) = rest.split_at(1 + usize::from(size));
            self.out.extend_from_slice(label);
            rest = behind;
        }
        self.out.push(0);
    }

    /// Makes the name at `offset`, which is not compressed, and what it ends in, known.
    fn remember(&mut self, offset: usize) {
        let mut at = offset;
        while let Some(size @ 1..) = self.out.get(at).copied() {
            self.known.push(at);
            at += 1 + usize::from(size);
        }
    }
}
