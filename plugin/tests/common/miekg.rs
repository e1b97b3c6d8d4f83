//! How miekg/dns v1.1.73, the library under CoreDNS, judges packets and cuts replies: after its Go source
//! (`acceptfunc.go`, `msg.go`, `msg_helpers.go`, `edns.go`, `server.go`, `msg_truncate.go`), error by error.

use super::ask::Ask;
use super::name::Name;
use super::reply::{Data, Rec};
use std::collections::HashSet;

/// What CoreDNS's server does with a packet before any plugin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    Silence,
    /// This reply.
    Reply(Vec<u8>),
    /// Goes on as this query.
    Accept(Box<Accepted>),
}

/// A query that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub qname: Name,
    pub qtype: u16,
    pub qclass: u16,
    /// The OPT record: size and TTL.
    pub opt: Option<(u16, u32)>,
}

/// The packet cannot be read.
#[derive(Debug)]
struct Bad;

/// `Server.serveDNS`, and the header-only case of CoreDNS's `Server.ServeDNS`.
pub fn judge(packet: &[u8]) -> Judged {
    if packet.len() < 12 {
        return Judged::Silence;
    }
    let word = |index: usize| u16::from_be_bytes([packet[index * 2], packet[index * 2 + 1]]);
    let flags = word(1);
    if flags & 0x8000 != 0 {
        return Judged::Silence;
    }
    let opcode = flags >> 11 & 0xf;
    if opcode != 0 && opcode != 4 {
        return Judged::Reply(turned_around(packet, 4, true, None));
    }
    if word(2) != 1 || word(3) > 1 || word(4) > 1 || word(5) > 2 {
        return Judged::Reply(turned_around(packet, 1, false, None));
    }
    if packet.len() == 12 {
        // SetRcode: RD and CD are echoed for the opcode QUERY only.
        let echoed = if opcode == 0 { 0x0110 } else { 0x7800 };
        let mut reply = packet[..2].to_vec();
        reply.extend((0x8000 | flags & echoed | 2).to_be_bytes());
        reply.extend([0; 8]);
        return Judged::Reply(reply);
    }
    let mut reader = Reader { packet, at: 12 };
    let Ok(question) = reader.question() else { return Judged::Reply(turned_around(packet, 1, false, None)) };
    let mut opt = None;
    for section in 3..6 {
        for _ in 0..word(section) {
            if reader.at == packet.len() {
                break;
            }
            match reader.record() {
                Ok(record) if section == 5 => opt = record.or(opt),
                Ok(_) => {}
                Err(Bad) => return Judged::Reply(turned_around(packet, 1, false, Some(&question))),
            }
        }
    }
    let (qname, qtype, qclass) = question;
    Judged::Accept(Box::new(Accepted { qname, qtype, qclass, opt }))
}

/// The types of the records of a packet, as far as it can be read; nothing is said of their data.
pub fn record_types(packet: &[u8]) -> Vec<u16> {
    let mut types = Vec::new();
    let Some(counts) = packet.get(6..12) else { return types };
    let count: usize = counts.chunks(2).map(|count| usize::from(count[0]) << 8 | usize::from(count[1])).sum();
    let mut reader = Reader { packet, at: 12 };
    if reader.question().is_ok() {
        for _ in 0..count {
            let Ok(rtype) = reader.skip_record() else { break };
            types.push(rtype);
        }
    }
    types
}

/// Where a message with one question ends, if its names and records can be read.
pub fn walk(packet: &[u8]) -> Option<usize> {
    let count: usize =
        packet.get(6..12)?.chunks(2).map(|count| usize::from(count[0]) << 8 | usize::from(count[1])).sum();
    let mut reader = Reader { packet, at: 12 };
    reader.question().ok()?;
    for _ in 0..count {
        reader.record().ok()?;
    }
    Some(reader.at)
}

/// The query itself with QR and an rcode, as `SetRcodeFormatError` leaves it.
fn turned_around(packet: &[u8], rcode: u16, keeps_opcode: bool, question: Option<&(Name, u16, u16)>) -> Vec<u8> {
    let flags = u16::from_be_bytes([packet[2], packet[3]]);
    // Authoritative and Zero are cleared, the rcode is set; TC, RD, RA, AD and CD stay.
    let opcode = if keeps_opcode { flags & 0x7800 } else { 0 };
    let flags = 0x8000 | opcode | flags & (0x0200 | 0x0100 | 0x0080 | 0x0020 | 0x0010) | rcode;
    let mut reply = packet[..2].to_vec();
    reply.extend(flags.to_be_bytes());
    reply.extend([0, u8::from(question.is_some()), 0, 0, 0, 0, 0, 0]);
    if let Some((qname, qtype, qclass)) = question {
        reply.extend(qname.wire());
        reply.extend(qtype.to_be_bytes());
        reply.extend(qclass.to_be_bytes());
    }
    reply
}

struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Bad> {
        let taken = self.packet.get(self.at..self.at + count).ok_or(Bad)?;
        self.at += count;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u16, Bad> {
        self.take(2).map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    /// `UnpackDomainName`.
    fn name(&mut self) -> Result<Name, Bad> {
        let mut labels = Vec::new();
        let mut budget = 255i32;
        let mut pointers = 0;
        let mut after = None;
        loop {
            let size = self.take(1)?[0];
            match size {
                0 => break,
                1..=63 => {
                    let label = self.take(usize::from(size))?.to_vec();
                    budget -= i32::from(size) + 1;
                    if budget <= 0 {
                        return Err(Bad);
                    }
                    labels.push(label);
                }
                0xc0.. => {
                    let low = self.take(1)?[0];
                    after = after.or(Some(self.at));
                    pointers += 1;
                    if pointers > 126 {
                        return Err(Bad);
                    }
                    self.at = usize::from(size & 0x3f) << 8 | usize::from(low);
                }
                _ => return Err(Bad),
            }
        }
        self.at = after.unwrap_or(self.at);
        Ok(Name(labels))
    }

    /// `unpackQuestion`: type and class may be missing as a whole.
    fn question(&mut self) -> Result<(Name, u16, u16), Bad> {
        let qname = self.name()?;
        let qtype = if self.at == self.packet.len() { 0 } else { self.word()? };
        let qclass = if self.at == self.packet.len() { 0 } else { self.word()? };
        Ok((qname, qtype, qclass))
    }

    /// `UnpackRR`; gives the size and TTL of an OPT record.
    fn record(&mut self) -> Result<Option<(u16, u32)>, Bad> {
        self.name()?;
        let (rtype, class) = (self.word()?, self.word()?);
        let ttl = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        let size = usize::from(self.word()?);
        let start = self.at;
        self.take(size)?;
        // Names in the data may point anywhere, but do not run past the data's end.
        let mut data = Reader { packet: &self.packet[..self.at], at: start };
        if size > 0 {
            data.rdata(rtype)?;
        }
        Ok((rtype == 41).then_some((class, ttl)))
    }

    /// A record, whatever is in it; gives its type.
    fn skip_record(&mut self) -> Result<u16, Bad> {
        self.name()?;
        let rtype = self.word()?;
        self.take(6)?;
        let size = self.word()?;
        self.take(usize::from(size))?;
        Ok(rtype)
    }

    /// The `unpack` of the types that clients send in queries: SOA in NOTIFY and IXFR, addresses, and OPT.
    fn rdata(&mut self, rtype: u16) -> Result<(), Bad> {
        match rtype {
            1 => _ = self.take(4)?,
            28 => _ = self.take(16)?,
            2 | 5 | 12 => _ = self.name()?,
            6 => {
                self.name()?;
                // What is missing from the end on is empty or 0.
                if self.at < self.packet.len() {
                    self.name()?;
                }
                for _ in 0..5 {
                    if self.at < self.packet.len() {
                        self.take(4)?;
                    }
                }
            }
            41 => {
                while self.at < self.packet.len() {
                    let (code, size) = (self.word()?, self.word()?);
                    option(code, self.take(usize::from(size))?)?;
                }
            }
            _ => return Ok(()),
        }
        if self.at == self.packet.len() { Ok(()) } else { Err(Bad) }
    }
}

/// The `unpack` of an EDNS option.
fn option(code: u16, data: &[u8]) -> Result<(), Bad> {
    let fits = match code {
        // Long-lived queries, update lease.
        1 => data.len() >= 18,
        2 => matches!(data.len(), 4 | 8),
        // Client subnet.
        8 => match data {
            [0, 0, source, _, ..] => *source == 0,
            [0, 1, source, scope, ..] => *source <= 32 && *scope <= 32,
            [0, 2, source, scope, ..] => *source <= 128 && *scope <= 128,
            _ => false,
        },
        // Expire, keepalive.
        9 => data.is_empty() || data.len() >= 4,
        11 => matches!(data.len(), 0 | 2),
        // Extended error, zone version.
        15 | 19 => data.len() >= 2,
        // Report channel.
        18 => Reader { packet: data, at: 0 }.name().is_ok(),
        _ => true,
    };
    if fits { Ok(()) } else { Err(Bad) }
}

/// How many records of each section `Msg.Truncate` leaves in `limit` octets.
pub fn truncated(ask: &Ask, sections: [&[Rec]; 3], limit: usize) -> [usize; 3] {
    let limit = if ask.opt.is_some() { limit - 11 } else { limit };
    let mut lengths = Lengths { at: 12, known: HashSet::new() };
    lengths.name(&ask.qname, true);
    lengths.at += 4;
    let mut kept = [0; 3];
    for (section, records) in sections.into_iter().enumerate() {
        for record in records {
            lengths.record(record);
            if lengths.at > limit {
                return kept;
            }
            kept[section] += 1;
        }
    }
    kept
}

/// The length of a compressed message so far (`Msg.Len`).
struct Lengths {
    at: usize,
    /// The names that later ones may point to.
    known: HashSet<Vec<Vec<u8>>>,
}

impl Lengths {
    /// `domainNameLen`: what a name adds. Names that may not be compressed may still be pointed to.
    fn name(&mut self, name: &Name, compress: bool) {
        let mut length = 0;
        for index in 0..name.0.len() {
            let rest = &name.0[index..];
            if self.known.contains(rest) {
                self.at += if compress { length + 2 } else { name.wire_len() };
                return;
            }
            if self.at + length < 0x4000 {
                self.known.insert(rest.to_vec());
            }
            length += name.0[index].len() + 1;
        }
        self.at += length + 1;
    }

    fn record(&mut self, record: &Rec) {
        self.name(&record.owner, true);
        self.at += 10;
        match &record.data {
            Data::Address(ip) => self.at += if ip.is_ipv4() { 4 } else { 16 },
            Data::Name(target) => self.name(target, true),
            Data::Srv { target, .. } => {
                self.at += 6;
                self.name(target, false);
            }
            Data::Soa { mname, rname, .. } => {
                self.name(mname, true);
                self.name(rname, true);
                self.at += 20;
            }
            Data::Mx { exchange, .. } => {
                self.at += 2;
                self.name(exchange, true);
            }
            Data::Txt(texts) => self.at += texts.iter().map(|text| text.len() + 1).sum::<usize>(),
            Data::Other(octets) => self.at += octets.len(),
        }
    }
}
